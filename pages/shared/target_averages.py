"""Two charts about a network's average errors: tinted pictures, and how noise can be named."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.noise_errors import NoiseErrors, brightness_error, last_dose, noise_errors
from pages.shared import load
from pages.shared.figures import Figure, Line, line_chart
from pages.shared.plot import plot
from pages.shared.runs import STEPS
from pages.shared.target_charts import EVERY_SECOND_POWER, digits_process

COUNT = 20  # digits of the gallery, two of each
ASKED = (1, 20, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 950, 980, 990, 995, 998, 1000)
LOOKS = {  # name in the chart, colour, where the name stands: index in ASKED, side, pixels up
    "digits-eps": ("names ε", "eps", 16, "right", 12),
    "digits-x0": ("names x₀", "x0", 17, "right", 16),
    "digits-v": ("names v", "xt", 17, "right", -16),
}
TINT = {"digits-eps": -0.64, "digits-x0": 0.001, "digits-v": 0.000}
"""Error of brightness at t = 998, as the answers say it; a test measures it again."""
BIAS = 0.002
"""The bias of digits-eps there."""


def measure(denoiser: NetworkDenoiser, steps: tuple[int, ...] = ASKED) -> list[NoiseErrors]:
    """A network's average errors over digits of the gallery, all under seed 0; one call a step."""
    pixels = [load.gallery_digit(k % 10, k // 10) for k in range(COUNT)]
    x0 = torch.from_numpy(np.stack(pixels)).float()[:, None] / 127.5 - 1
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    walk, found = noise_errors(denoiser.diffusion, denoiser, x0, eps, steps), []
    for _ in steps:
        with STEPS.turn():
            found.append(next(walk))
    return found


@st.cache_data(max_entries=6, show_spinner="Asking the networks about 20 digits …")
def measured(network: str, sha256: str) -> list[NoiseErrors]:
    """The same, kept; `sha256` tells versions of a network apart."""
    return measure(load.network(network)[0])


def averaged(shas: dict[str, str]) -> None:
    """Draw both charts.

    Args:
        shas: network -> sha256 of its weights, for those that are here; "digits-eps" always is.
    """
    told = {name: measured(name, sha) for name, sha in shas.items()}
    left, right = st.columns(2, gap="large")
    plot(
        tint_chart(told),
        key="x_tint_chart",
        alt="Error of the picture's brightness over noise to signal, for three networks",
        place=left,
    )
    plot(
        named_chart(told["digits-eps"]),
        key="x_named_chart",
        alt="Share of the noise that the network names, and of the last step's noise, over t",
        place=right,
    )
    st.caption(
        f"Averages over {COUNT} digits that a network made and all their pixels, under one noise; "
        "the networks were not told the digit; x̂₀ is not clipped. σ/a is 1 near t = 500, 64 at "
        "t = 990, 321 at t = 998. δ is the bias of ε̂ in the network that names ε. At both ends of "
        "the right chart the last step has added most of the noise there is."
    )


def tint_chart(told: dict[str, list[NoiseErrors]]) -> Figure:
    """How far off x̂₀ is in brightness, and the bias that does it."""
    a, sigma = digits_process().rates(torch.tensor(ASKED), torch.zeros(len(ASKED), 1).double())
    gain = (sigma / a).flatten().numpy()
    bias = torch.tensor([one.bias for one in told["digits-eps"]], dtype=torch.float64)
    shift = brightness_error(bias[:, None], a, sigma).flatten().abs().numpy()
    lines = [
        Line("bias δ of ε̂", gain, bias.abs().numpy(), "eps", 3, "center", 18, dash="dash"),
        Line("δ σ/a", gain, shift, "eps", 14, "left", -12, dash="dot", width=5),
    ]
    for name, (label, color, at, side, up) in LOOKS.items():
        if name in told:
            errors = np.array([abs(one.brightness) for one in told[name]])
            lines.append(Line(label, gain, errors, color, at, side, up))
    return line_chart(
        lines,
        x_title="σ/a: noise over signal (picture on the left, noise on the right)",
        y_title="error of x̂₀'s brightness (black is −1, white 1)",
        log_x=True,
        log_y=True,
        y_range=(3e-5, 200),
        height=340,
        x_axis=EVERY_SECOND_POWER,
    )


def named_chart(told: list[NoiseErrors]) -> Figure:
    """How much of the noise can be named: of all of it, and of the last step's alone."""
    t = torch.tensor([one.t for one in told])
    named = np.array([one.named for one in told])
    explained = np.array([one.explained for one in told])
    diffusion = digits_process()
    share = last_dose(diffusion, torch.ones(len(t), 1, dtype=torch.float64), t).square()
    lines = [
        Line("1 − mean of (ε̂ − ε)²", t.numpy(), explained, "p", 8, "left", -14, dash="dot"),
        Line("mean of ε̂²", t.numpy(), named, "eps", 8, "right", 14),
        Line("of the last step's noise", t.numpy(), named * share.flatten().numpy(), "bits", 7,
             "center", 14),
    ]  # fmt: skip
    return line_chart(
        lines,
        x_title="step t",
        y_title="share of the noise that is named",
        y_range=(-0.04, 1.1),
        height=340,
    )
