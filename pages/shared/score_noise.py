"""The view of the page on the score that asks how much noise Langevin's walk needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.mixtures import GaussianMixture, mixture_score
from diffusion_core.score import langevin, langevin_rest, langevin_variance
from pages.shared import chapter
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
FIRST = 60  # steps that the second chart shows: enough to come to rest, for every η
EXTENT = 3.2
CELLS = 64
WIDTH = 0.5  # of each hump
CURVED = 1 / WIDTH**2  # of log p, on a hump that stands alone
LEFT = (0.353, 0.233, 0.459)
"""Share of the walkers left of 0 with each noise, at the first η; a test walks anew."""
HUE = {"right": "x0", "root": "eps", "step": "bits"}
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def humps() -> GaussianMixture:
    """Two groups on a line, the right one larger."""
    places, shares = ([[-1.0], [1.0]], [0.35, 0.65])
    means, weights = (torch.tensor(row, dtype=torch.float64) for row in (places, shares))
    return GaussianMixture(means, weights, WIDTH)


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


class End(NamedTuple):
    """What the walkers are held against.

    Attributes:
        name: of the curve.
        x: [n] places, evenly spaced.
        density: [n].
    """

    name: str
    x: np.ndarray
    density: np.ndarray

    def left(self) -> float:
        """The share left of 0, wherever between two places that is."""
        spacing = self.x[1] - self.x[0]
        return float(np.interp(0, self.x + spacing / 2, self.density.cumsum() * spacing))


@st.cache_data(max_entries=12, show_spinner=False)
def ending(noise: str, eta: float) -> tuple:
    """The fields of `End`: where steps of that length end, if ever they get there.

    With c = η no walker does, and a step's noise is too small for a grid: there it is p to the
    power of 1/T, where short steps would end.
    """
    if noise == "step":
        x = np.linspace(-5, 5, 2001)
        temperature = share_of(noise, eta) ** 2
        power = f"{1 / temperature:.0f}".translate(RAISED)
        return tuple(End(f"p{power}, never reached", x, tempered(x, temperature)))
    places, data = torch.linspace(-4.5, 4.5, 181, dtype=torch.float64), humps()
    density = langevin_rest(
        lambda y: mixture_score(data, y), places, 2 * eta, noise=share_of(noise, eta)
    )
    return tuple(End(f"where steps of {eta:g} end", places.numpy(), density.numpy()))


def spread(noise: str, eta: float) -> np.ndarray:
    """Walkers' standard deviation over their hump's, at the start and after FIRST steps each.

    The hump stands alone. In units of its width it is N(0, 1), and steps are `CURVED` as long.
    """
    told: np.ndarray = (
        langevin_variance(
            2 * eta * CURVED, FIRST, noise=share_of(noise, eta), start=(START / WIDTH) ** 2
        ).sqrt().numpy()
    )  # fmt: skip
    return told


def at_rest(noise: str, eta: float) -> float:
    """What `spread` comes to in the end."""
    return share_of(noise, eta) / math.sqrt(1 - eta * CURVED / 2)


@cache
def p_itself() -> End:
    """p, as an `End`."""
    x = np.linspace(-5, 5, 2001)
    return End("p", x, tempered(x, 1.0))


def humps_figure(told: Rest, noise: str, end: End) -> Figure:
    """Where the walkers are, p, and where they would end."""
    edges = np.linspace(-EXTENT, EXTENT, CELLS + 1)
    width = edges[1] - edges[0]
    counts = np.histogram(told.x, edges)[0] / len(told.x) / width
    lines = []
    for one, color, dash in ((p_itself(), "q", "solid"), (end, "p", "dot")):
        shown = np.abs(one.x) <= EXTENT
        lines.append(Line(one.name, one.x[shown], one.density[shown], color, 0, dash=dash, width=3))
    top = 1.15 * max(float(counts.max()), *(float(line.y.max()) for line in lines))
    figure = line_chart(
        lines, x_title="x", y_title=f"density; bars: walkers after {told.steps:,} steps",
        y_range=(0, top), y_axis={"showgrid": False}, height=320,
    )  # fmt: skip
    figure["data"].insert(
        0,
        {"type": "bar", "x": (edges[1:] + edges[:-1]) / 2, "y": counts, "width": width,
         "name": "walkers", "opacity": 0.45, "marker": {"color": COLORS[HUE[noise]]},
         "hovertemplate": "%{y:.3f}"},
    )  # fmt: skip
    names = [
        ("p", "q"),
        (f"{end.name}, dotted", "p"),
        (f"walkers with c = {NOISES[noise]}", HUE[noise]),
    ]
    figure["layout"]["annotations"] = legend(names, 0.02, "left")
    return figure


def legend(names: Sequence[tuple[str, str]], x: float, anchor: str) -> list[dict[str, object]]:
    """Names below each other at the top of a chart, each with its colour."""
    return [
        name_at(x, name, color, xref="paper", y=0.98 - 0.08 * k, yref="paper", xanchor=anchor)
        for k, (name, color) in enumerate(names)
    ]


def spread_figure(noise: str, eta: float) -> Figure:
    """How wide walkers on one hump become with each noise; the chosen one in full."""
    steps = np.arange(FIRST + 1.0)
    lines = [
        Line(f"c = {NOISES[one]}: {at_rest(one, eta):.2f} in the end", steps, spread(one, eta),
             HUE[one], FIRST, "right", 0, "solid" if one == noise else "dot",
             3 if one == noise else 1.5)
        for one in NOISES
    ]  # fmt: skip
    figure = line_chart(
        lines, x_title="steps", y_title="on one hump alone: walkers’ width over the hump’s",
        y_range=(0, 3.1), y_axis={"showgrid": False}, height=320,
    )  # fmt: skip
    figure["layout"]["annotations"] = legend([(line.label, line.color) for line in lines], 0.98,
                                             "right")  # fmt: skip
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
    told, end = Rest(*walked(noise, eta)), End(*ending(noise, eta))
    chapter.prose(seen(noise, eta, told, end))
    left, right = st.columns(2, gap="medium")
    plot(
        humps_figure(told, noise, end), key="sc_humps", place=left,
        alt="A density with two humps, and a histogram of where Langevin’s walkers end",
    )  # fmt: skip
    plot(
        spread_figure(noise, eta), key="sc_spread", place=right,
        alt="Width of Langevin’s walkers on one hump alone, step by step, for three noises",
    )  # fmt: skip
    st.caption(
        f"x ← x + η ∇log p(x) + c z, with z from N(0, 1) and the exact score of p. {WALKERS:,} "
        f"walkers, begun as N(0, {START:g}²); as many steps as make η times their number "
        f"{TIME:g}: {told.steps:,} here. Right, by a formula: what becomes of the width on a hump "
        f"N(0, {WIDTH:g}²) without the other; dotted, the two noises not chosen. This η is a step "
        "along the score, not DDIM’s share of fresh noise. The formulas below write δ for 2η and "
        "κ for c/√(2η), so κ² for T."
    )


def ask() -> None:
    """Which noise is right."""
    p, squared = left_share(1.0), left_share(0.5)
    right, root, step = LEFT
    chapter.question(
        "Which noise c makes the walkers end in p: √(2η), √η or η?",
        {
            "√(2η)": "What η pulls in, this noise pushes out again, as strongly as p asks for: "
            f"T = c²/(2η) = 1. With steps of {ETA:g}, {right:.0%} of the walkers end left of 0, "
            f"where p has {p:.0%}. Steps ten times as long end in something flatter.",
            "√η": f"Too little: T = ½, and the walkers end in p². {root:.0%} of them are left of "
            f"0, where p² has {squared:.0%} and p {p:.0%}. It would be right with half of the "
            "pull, η/2, and so Song and Ermon write it.",
            "η": f"Next to none: T = η/2, {ETA / 2:g} for steps of {ETA:g}. Each walker climbs "
            f"the hill that it stands on, {step:.0%} the left one, and stays at its top.",
        },
        answer="√(2η)",
    )


def seen(noise: str, eta: float, told: Rest, end: End) -> str:
    """What is to be seen with that noise, in a sentence or two."""
    p, peak = p_itself(), end.density.max()
    walkers = f"{(told.x < 0).mean():.0%}"
    held = (
        f"Left of 0 it has {end.left():.0%}, p {p.left():.0%}, and the walkers {walkers}; its "
        f"peak is {peak:.2f} high, p’s {p.density.max():.2f}."
    )
    temperature = f"**T = {told.temperature:.3g}**"
    return {
        "right": f"{temperature}, p’s own temperature: short steps end in p, steps of {eta:g} in "
        f"the dotted curve. {held} A long step leaves walkers too far out before the score is "
        f"asked again: on one hump alone, {at_rest('right', eta):.2f} times its width.",
        "root": f"{temperature}, colder than p: short steps end in p², steps of {eta:g} in the "
        f"dotted curve. {held}",
        "step": f"{temperature}, next to no noise: short steps would end in "
        f"{end.name.split(',')[0]}, one spike at the right (dotted). But the walkers can’t cross "
        f"the valley: each climbs the hill that it stands on, {walkers} the left one, where p has "
        f"{p.left():.0%}.",
    }[noise]


@cache
def left_share(temperature: float) -> float:
    """The share of p to the power of 1/T that lies left of 0."""
    x = np.linspace(-5, 5, 2001)
    return End("", x, tempered(x, temperature)).left()


def confusions() -> list[Confusion]:
    """What people ask of the noise, with a setting that shows the answer."""
    right, root, step = (at_rest(one, ETA) for one in NOISES)
    long = End(*ending("right", ETAS[-1]))
    return [
        Confusion(
            "Langevin’s noise: √(2η), √η or η?",
            "√(2η), where the score is multiplied by η. Written with half the step, x + (ε/2) ∇log "
            "p + √ε z, it is the same: ε = 2η. With noise c the walk comes to rest in p to the "
            "power of 1/T, T = c²/(2η), as if at another temperature, if its steps are short. On "
            "one hump N(0, s²) all is exact: the standard deviation ends at s c/√(2η − η²/s²). "
            f"For s = {WIDTH:g} and η = {ETA:g} that is s times {right:.3f} with √(2η), "
            f"{root:.3f} with √η, {step:.3f} with η; for η = {ETAS[-1]:g} and √(2η), "
            f"{at_rest('right', ETAS[-1]):.2f}. √η is p², since T = ½: of p {left_share(1.0):.0%} "
            f"lie left of 0, of p² {left_share(0.5):.0%}, of the walkers {LEFT[0]:.0%} and "
            f"{LEFT[1]:.0%}. With c = η there is next to no noise: T = η/2, and a walker climbs "
            "the hill it stands on and stays.",
            {"scview": "noise", "scnoise": "root"},
            "Left: the bars follow the dotted line, narrower than p and with less in the smaller "
            "hump. Then choose η: two spikes on the peaks. Right: only √(2η) ends near 1.",
            threads=["google-research/ibc#6", "openai/ebm_code_release#2",
                     "JavierAntoran/Bayesian-Neural-Networks#17", "point0bar1/ebm-anatomy#1"],
        ),
        Confusion(
            "The noise is √(2η), as it should be. Why don’t Langevin’s walkers end in p?",
            "The step is too long. The noise of one step is added at once, the pull is asked for "
            "once, where the step begins; only for η → 0 do the two balance in p. What a walk of "
            "steps of any length comes to rest in can be computed: the density that one step "
            f"leaves as it is. For η = {ETAS[-1]:g} it has {long.left():.0%} left of 0, where p "
            f"has {left_share(1.0):.0%}, and fills the valley. Take shorter steps, and more of "
            "them; or throw a step away where it goes wrong, as Metropolis’ rule does (MALA).",
            {"scview": "noise", "sceta": ETAS[-1]},
            "Left: the bars follow the dotted line, not p. Right: the walkers end too wide.",
        ),
    ]  # fmt: skip
