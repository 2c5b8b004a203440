"""The view of the page on the score that asks how much noise Langevin's walk needs."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.mixtures import GaussianMixture, mixture_score
from diffusion_core.score import langevin, langevin_variance
from pages.shared.chapter import Confusion
from pages.shared.figures import Figure, Line, level, line_chart, name_at
from pages.shared.palette import COLORS
from pages.shared.plot import plot

NOISES = {"right": "√(2η)", "root": "√η", "step": "η"}
ETAS = (0.02, 0.05, 0.1, 0.2)
ETA = 0.02
TIME = 24.0  # steps times η: long enough for the humps' shares to settle with the right noise
WALKERS = 1500
START = 1.5  # standard deviation of the walkers' places before the first step
FIRST = 120  # steps that the second chart shows
EXTENT = 3.2
CELLS = 64
LEFT = (0.353, 0.233)
"""Share of the walkers left of 0 with √(2η) and √η, at the first η; a test walks anew."""
HUE = {"right": "q", "root": "eps", "step": "bits"}


def humps() -> GaussianMixture:
    """Two groups on a line, the right one larger."""
    places, shares = ([[-1.0], [1.0]], [0.35, 0.65])
    means, weights = (torch.tensor(row, dtype=torch.float64) for row in (places, shares))
    return GaussianMixture(means, weights, 0.5)


def share_of(noise: str, eta: float) -> float:
    """The noise c over the √(2η) that it has to be; its square is the temperature."""
    c = {"right": math.sqrt(2 * eta), "root": math.sqrt(eta), "step": eta}[noise]
    return c / math.sqrt(2 * eta)


def tempered(x: np.ndarray, temperature: float) -> np.ndarray:
    """The density of p to the power of 1/T at even places, which hold nearly all of it."""
    data = humps()
    gap = (torch.from_numpy(x)[:, None] - data.means[:, 0]).square()
    log_p = (data.weights.log() - 0.5 * gap / data.std**2).logsumexp(1) / temperature
    p: np.ndarray = log_p.softmax(0).numpy() / (x[1] - x[0])
    return p


class Rest(NamedTuple):
    """Walkers after their last step, and what they are held against.

    Attributes:
        x: [WALKERS] where they are.
        temperature: T = c² / (2η).
        steps: how many they took.
    """

    x: np.ndarray
    temperature: float
    steps: int


@st.cache_data(max_entries=12, show_spinner=False)
def walked(noise: str, eta: float) -> tuple:
    """The fields of `Rest`, on the two humps."""
    data, generator = humps(), torch.Generator().manual_seed(0)
    start = START * torch.randn(WALKERS, 1, generator=generator, dtype=torch.float64)
    share, steps = share_of(noise, eta), round(TIME / eta)
    *_, x = langevin(
        lambda y: mixture_score(data, y), start, 2 * eta, steps, noise=share, generator=generator
    )
    return tuple(Rest(x[:, 0].numpy(), share**2, steps))


def spread(noise: str, eta: float) -> np.ndarray:
    """Standard deviation of walkers of N(0, 1) at the start and after each of FIRST steps."""
    told: np.ndarray = (
        langevin_variance(2 * eta, FIRST, noise=share_of(noise, eta), start=START**2).sqrt().numpy()
    )
    return told


def at_rest(noise: str, eta: float) -> float:
    """Standard deviation of walkers of N(0, 1) in the end."""
    return math.sqrt(share_of(noise, eta) ** 2 / (1 - eta / 2))


def humps_figure(told: Rest, noise: str) -> Figure:
    """Where the walkers are, p, and p to the power of 1/T."""
    edges = np.linspace(-EXTENT, EXTENT, CELLS + 1)
    width = edges[1] - edges[0]
    counts = np.histogram(told.x, edges)[0] / len(told.x) / width
    x = np.linspace(-5, 5, 2001)
    p, own = tempered(x, 1.0), tempered(x, told.temperature)
    top = 1.15 * max(float(counts.max()), float(p.max()))
    shown = np.abs(x) <= EXTENT
    lines = [Line("p", x[shown], p[shown], "q", 0)]
    if noise != "right":
        power = f"{1 / told.temperature:.3g}"
        lines.append(Line(f"p to the power of {power}", x[shown], own[shown], "p", 0, dash="dot"))
    figure = line_chart(
        lines, x_title="x", y_title=f"density; bars: walkers after {told.steps:,} steps",
        y_range=(0, top), height=320,
    )  # fmt: skip
    figure["data"].insert(
        0,
        {"type": "bar", "x": (edges[1:] + edges[:-1]) / 2, "y": counts, "width": width,
         "name": "walkers", "opacity": 0.4, "marker": {"color": COLORS["bits"]},
         "hovertemplate": "%{y:.3f}"},
    )  # fmt: skip
    figure["layout"]["annotations"] = [
        name_at(0.02, line.label + (", dotted" if line.dash == "dot" else ""), line.color,
                xref="paper", y=0.97 - 0.08 * k, yref="paper", xanchor="left")
        for k, line in enumerate(lines)
    ]  # fmt: skip
    return figure


def spread_figure(noise: str, eta: float) -> Figure:
    """How wide walkers of N(0, 1) become with each noise; the chosen one in full."""
    steps = np.arange(FIRST + 1.0)
    lines = [
        Line(f"c = {NOISES[one]}: {at_rest(one, eta):.3f} in the end", steps, spread(one, eta),
             HUE[one], FIRST, "right", 0, "solid" if one == noise else "dot",
             3 if one == noise else 1.5)
        for one in NOISES
    ]  # fmt: skip
    figure = line_chart(
        lines, x_title="steps", y_title="the same on N(0, 1): walkers’ standard deviation",
        y_range=(0, 1.6), height=320,
    )  # fmt: skip
    figure["layout"]["annotations"] = [
        name_at(0.98, line.label, line.color, xref="paper", y=0.97 - 0.08 * k, yref="paper",
                xanchor="right")
        for k, line in enumerate(lines)
    ]  # fmt: skip
    figure["layout"]["shapes"] = [level(1.0, "xt", width=1)]
    return figure


def how_much_noise(second: DeltaGenerator, third: DeltaGenerator) -> None:
    """Langevin's walk with too little noise, on two humps and on N(0, 1)."""
    noise = second.segmented_control(
        "Noise c", list(NOISES), key="scnoise", default="right", required=True,
        bind="query-params", format_func=NOISES.get, width="content",
    )  # fmt: skip
    eta = third.select_slider(
        "Step η", ETAS, ETA, key="sceta", bind="query-params", width=180,
        format_func=lambda e: f"{e:g}",
    )  # fmt: skip
    told = Rest(*walked(noise, eta))
    left, right = st.columns(2, gap="medium")
    plot(
        humps_figure(told, noise), key="sc_humps", place=left,
        alt="A density with two humps, and a histogram of where Langevin’s walkers end",
    )  # fmt: skip
    plot(
        spread_figure(noise, eta), key="sc_spread", place=right,
        alt="Standard deviation of Langevin’s walkers of N(0, 1), step by step, for three noises",
    )  # fmt: skip
    st.caption(
        f"x ← x + η ∇log p(x) + c z, with z from N(0, 1); T = c²/(2η) = {told.temperature:.3g}. "
        f"{WALKERS:,} walkers, begun as N(0, {START:g}²), with the exact score of p: "
        f"{(told.x < 0).mean():.0%} of them end left of 0, where p has "
        f"{left_share(1.0):.0%}. The curves on the right have a formula; dotted, the other two."
    )


def left_share(temperature: float) -> float:
    """The share of p to the power of 1/T that lies left of 0."""
    x = np.linspace(-5, 5, 2001)
    return float(tempered(x, temperature)[x < 0].sum() * (x[1] - x[0]))


def confusions() -> list[Confusion]:
    """What people ask of the noise, with a setting that shows the answer."""
    right, root, step = (at_rest(one, ETA) for one in NOISES)
    return [
        Confusion(
            "Langevin’s noise: √(2η), √η or η?",
            "√(2η), where the score is multiplied by η. Written with half the step, x + (ε/2) ∇log "
            "p + √ε z, it is the same: ε = 2η. With noise c the walk comes to rest in p to the "
            "power of 1/T, T = c²/(2η), as if at another temperature (for small η; a long step "
            "spreads a little more). On N(0, 1) all is exact: the variance ends at c²/(2η − η²), "
            f"and for η = {ETA:g} the standard deviation at {right:.3f} with √(2η), {root:.3f} "
            f"with √η, {step:.3f} with η. √η is p², since T = ½: of p "
            f"{left_share(1.0):.0%} lie left of 0, of p² {left_share(0.5):.0%}, of the walkers "
            f"{LEFT[0]:.0%} and {LEFT[1]:.0%}. With c = η there is next to no noise: T = η/2, "
            "and a walker climbs the hill it stands on and stays.",
            {"scview": "noise", "scnoise": "root"},
            "Left: the bars follow the dotted line, narrower than p and with less in the smaller "
            "hump. Then choose η: two spikes on the peaks. Right: only √(2η) ends at 1.",
            threads=["google-research/ibc#6", "openai/ebm_code_release#2",
                     "JavierAntoran/Bayesian-Neural-Networks#17", "point0bar1/ebm-anatomy#1"],
        ),
    ]  # fmt: skip
