"""A network's average errors, measured and kept; and the chart of how noise can be named."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.noise_errors import NoiseErrors, last_dose, noise_errors
from pages.shared import load
from pages.shared.chapter import prose
from pages.shared.figures import Figure, Line, line_chart, name_at
from pages.shared.plot import plot
from pages.shared.runs import STEPS
from pages.shared.target_charts import EVERY_SECOND_POWER, digits_process

COUNT = 20  # digits of the gallery, two of each
ASKED = (1, 20, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 980, 990, 995, 998, 1000)
GAIN_AXIS = "σ/a: noise over signal (picture on the left, noise on the right)"
TINT = {"digits-eps": -0.64, "digits-x0": 0.001, "digits-v": 0.000}
"""Error of brightness at t = 998, as the answers say it; a test measures it again."""
BIAS = 0.002
"""The bias of digits-eps there."""


class OnTestDigits(NamedTuple):
    """The same on the first `count` test digits of MNIST, which is not shipped; a test has it."""

    count: int = 1000
    tint: float = -0.64
    named: float = 0.66
    explained: float = 0.69
    x0_bias: float = 0.014
    v_bias: float = -0.013


REAL = OnTestDigits()


def pictures_and_noise() -> tuple[Tensor, Tensor]:
    """The digits that are asked about, and a noise for each, under seed 0; both [20, 1, 28, 28]."""
    pixels = [load.gallery_digit(k % 10, k // 10) for k in range(COUNT)]
    x0 = torch.from_numpy(np.stack(pixels)).float()[:, None] / 127.5 - 1
    return x0, torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))


def measure(denoiser: NetworkDenoiser, steps: tuple[int, ...] = ASKED) -> list[NoiseErrors]:
    """A network's average errors over digits of the gallery; one call a step."""
    walk, found = noise_errors(denoiser.diffusion, denoiser, *pictures_and_noise(), steps), []
    for _ in steps:
        with STEPS.turn():
            found.append(next(walk))
    return found


@st.cache_data(max_entries=6, show_spinner="Asking the networks about 20 digits …")
def measured(network: str, sha256: str) -> list[NoiseErrors]:
    """The same, kept; `sha256` tells versions of a network apart."""
    return measure(load.network(network)[0])


@cache  # the process has a thousand steps, and an answer of a chart 150 ms
def rates(steps: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The rates a and sigma of the digits' process at some steps, each [n] float64."""
    a, sigma = digits_process().rates(torch.tensor(steps), torch.zeros(len(steps), 1).double())
    return a.flatten(), sigma.flatten()


def gains(steps: tuple[int, ...]) -> np.ndarray:
    """sigma/a at some steps, [n]."""
    a, sigma = rates(steps)
    return (sigma / a).numpy()


def naming(told: list[NoiseErrors]) -> None:
    """Which noise a network names, and how much of it can be named.

    Args:
        told: average errors of digits-eps.
    """
    prose(
        "**The network predicts all the noise in xₜ.** Of what the last step alone has added, "
        "next to nothing can be known, but at the two ends."
    )
    plot(
        named_chart(told),
        key="x_named_chart",
        alt="Share of the noise that the network names, and of the last step's noise, over σ/a",
    )
    first = told[0]
    st.caption(
        "Red, dashed: the last step's share of all the noise; unbroken: what is predicted of it. "
        "Were ε̂ the exact mean E[ε|xₜ], the two upper lines would be one. At t = 1 they are "
        f"{first.named:.2f} and {first.explained:.2f} on these digits, made by a network; on "
        f"{REAL.count:,} test digits of MNIST, {REAL.named:.2f} and {REAL.explained:.2f}."
    )


def named_chart(told: list[NoiseErrors]) -> Figure:
    """How much of the noise can be named: of all of it, and of the last step's alone."""
    steps = tuple(one.t for one in told)
    x, t = gains(steps), torch.tensor(steps)
    named = np.array([one.named for one in told])
    explained = np.array([one.explained for one in told])
    share = last_dose(digits_process(), torch.ones(len(t), 1, dtype=torch.float64), t).square()
    last = share.flatten().numpy()
    lines = [
        Line("βₜ/(1−ᾱₜ)", x, last, "bits", 0, "left", 14, dash="dash"),
        Line("1 − mean of (ε̂ − ε)²", x, explained, "p", 10, "left", -16, dash="dot"),
        Line("mean of ε̂²", x, named, "eps", 16, "right", 14),
        Line("predicted of that", x, named * last, "bits", 10, "center", 14),
    ]
    figure = line_chart(
        lines,
        x_title=GAIN_AXIS,
        y_title="share of the noise",
        log_x=True,
        y_range=(-0.04, 1.1),
        height=340,
        x_axis=EVERY_SECOND_POWER,
    )
    gap = f"t = 1: {named[0]:.2f} against {explained[0]:.2f}"
    figure["layout"]["annotations"].append(
        name_at(np.log10(4 * x[0]), gap, "p", y=0.62, xanchor="left")  # right of the red lines
    )
    return figure
