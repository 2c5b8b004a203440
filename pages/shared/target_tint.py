"""Tinted pictures: what a small bias of a network's answer does to the picture read from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.noise_errors import NoiseErrors, brightness_error
from diffusion_core.parameterization import EPS, X0, Parameterization, V
from pages.shared import load
from pages.shared.chapter import prose
from pages.shared.figures import INKS, Figure, Line, line_chart, upright
from pages.shared.pictures import as_bytes, png_address
from pages.shared.plot import plot
from pages.shared.runs import STEPS
from pages.shared.target_averages import (
    ASKED,
    COUNT,
    GAIN_AXIS,
    REAL,
    gains,
    pictures_and_noise,
    rates,
)
from pages.shared.target_charts import EVERY_SECOND_POWER

CHOICES = (500, 990, 998)  # steps t
EDGE = 998  # the last step in the charts; at t = 1000 sigma/a is 63 times as large
SHOWN = 3  # which of the digits is shown
RANGE = 2.0  # what white is in the pictures; black is its opposite
_STYLE = """<style>
.tints { display: grid; grid-template-columns: repeat(4, minmax(0, 6.25rem)); gap: 0 1rem; }
@media (max-width: 640px) { .tints { gap: 0 0.35rem; } }
.tints figure { margin: 0; font-size: 0.8125rem; line-height: 1.4; }
.tints figure { font-variant-numeric: tabular-nums; }
.tints b { font-size: 0.9375rem; }
.tints img, .tints i { display: block; width: 84px; border-radius: 2px; }
.tints img { height: 84px; image-rendering: pixelated; }
.tints i { height: 44px; margin: 4px 0; print-color-adjust: exact; }
</style>"""


class Look(NamedTuple):
    """How a network is called and drawn.

    Attributes:
        names: what it names.
        target: the same as a parameterization.
        color: a key of `INKS`.
        places: where its name stands in the chart of pictures and in that of answers: index in
            ASKED, side, pixels up.
    """

    names: str
    target: Parameterization
    color: str
    places: tuple[tuple[int, str, int], tuple[int, str, int]]


LOOKS = {
    "digits-eps": Look("ε", EPS, "eps", ((15, "right", -12), (3, "left", 14))),
    "digits-x0": Look("x₀", X0, "x0", ((16, "right", 16), (1, "left", -16))),
    "digits-v": Look("v", V, "ink", ((10, "center", -24), (11, "center", -18))),
}


@st.cache_data(max_entries=6, show_spinner=False)
def seen(network: str, sha256: str) -> np.ndarray:
    """What a network's answers make of one digit, uint8 [3, 28, 28], one for each of CHOICES."""
    denoiser = load.network(network)[0]
    x0, eps = (each[SHOWN].expand(len(CHOICES), 1, 28, 28) for each in pictures_and_noise())
    t = torch.tensor(CHOICES)
    with STEPS.turn():
        said = denoiser(denoiser.diffusion.q_sample(x0, t, eps), t)
    return as_bytes(said.x0[:, 0] / RANGE)


@st.cache_data(max_entries=1, show_spinner=False)
def example() -> tuple[np.ndarray, float]:
    """The digit that is shown, uint8 [28, 28] as the others, and the mean brightness of all."""
    x0 = pictures_and_noise()[0]
    return as_bytes(x0[SHOWN] / RANGE)[0], float(x0.mean())


def factor(target: Parameterization, steps: tuple[int, ...]) -> np.ndarray:
    """What a bias of the answer is multiplied by on its way into the picture, [n]."""
    a, sigma = rates(steps)
    return brightness_error(torch.ones_like(a), a, sigma, target).numpy()


def tinted(shas: dict[str, str], told: dict[str, list[NoiseErrors]]) -> None:
    """The three pictures at one step, and two charts over all steps.

    Args:
        shas: network -> sha256 of its weights; "digits-eps" is among them.
        told: network -> its average errors, at each step of ASKED.
    """
    edge = told["digits-eps"][ASKED.index(EDGE)]
    gain = float(gains((EDGE,))[0])
    prose(
        f"**A bias of {edge.bias:.3f} in ε̂, times σ/a = {gain:.0f}, is a picture "
        f"{abs(edge.brightness):.2f} too dark**, where black and white are 2 apart."
    )
    left, right = st.columns([0.52, 0.48], gap="medium")
    line = left.container(horizontal=True, vertical_alignment="center", gap="small")
    line.markdown("x̂₀, read at σ/a =", width="content")
    t = line.segmented_control(
        "x̂₀, read at σ/a", CHOICES, key="xgain", default=EDGE, required=True, bind="query-params",
        format_func=gain_name, width="content", label_visibility="collapsed",
    )  # fmt: skip
    left.html(_STYLE + row_of_pictures(shas, told, t))
    plot(
        error_chart(told, t),
        key="x_tint_chart",
        alt="Error of the picture's brightness over noise to signal, for three networks",
        place=right,
    )
    plot(
        bias_chart(told, t),
        key="x_bias_chart",
        alt="Mean error of what each network itself names, over noise to signal",
        place=left,
    )
    with right:
        reasons(told)
    st.caption(
        f"Averages over {COUNT} generated digits and their pixels, each under a noise of its own; "
        "the networks were not told the digit, x̂₀ is not clipped. Bands: two standard errors over "
        "the digits. Pictures: one of them, from −2 (black) to 2 (white), and below it the mean "
        f"brightness of all {COUNT}. On {REAL.count:,} test digits of MNIST ε's x̂₀ is "
        f"{abs(REAL.tint):.2f} too dark at t = {EDGE}, too."
    )


def reasons(told: dict[str, list[NoiseErrors]]) -> None:
    """Why a large bias may do no harm, and why v has no tint: what was measured."""
    first = told["digits-eps"][ASKED.index(1)]
    prose(
        f"At the left end a bias is harmless: {first.bias:.3f} in ε̂, times σ/a = "
        f"{gains((1,))[0]:.3f}, is {abs(first.brightness):.4f} of brightness."
    )
    if {"digits-x0", "digits-v"} <= set(told):
        prose(
            f"The other networks are no more exact: at t = {EDGE}, on test digits, x₀'s bias is "
            f"{REAL.x0_bias:.3f} and v's {signed(REAL.v_bias, 3)}. But these are multiplied by 1 "
            "and by σ, which is never more than 1."
        )


def gain_name(t: int) -> str:
    """A step as the reader chooses it, by its sigma/a."""
    return f"{gains((t,))[0]:.0f}"


def signed(value: float, digits: int) -> str:
    """A number with its sign, none for what is rounded to 0."""
    text = f"{value:+.{digits}f}"
    return (text[1:] if float(text) == 0 else text).replace("-", "−")


def row_of_pictures(shas: dict[str, str], told: dict[str, list[NoiseErrors]], t: int) -> str:
    """The digit and what each network makes of it, with their mean brightness, as HTML."""
    digit, true = example()
    cells = [cell("true x₀", "x0", digit, true, "")]
    for name, look in LOOKS.items():
        if name not in told:
            continue
        error = told[name][ASKED.index(t)].brightness
        times = float(factor(look.target, (t,))[0])
        by = signed(times, 0 if abs(times) > 10 else 2).lstrip("+")
        sum_up = f"{signed(error / times, 4)} × {by}<br>= {signed(error, 3)}"
        pixels = seen(name, shas[name])[CHOICES.index(t)]
        cells.append(cell(f"predicts {look.names}", look.color, pixels, true + error, sum_up))
    return f'<div class="tints">{"".join(cells)}</div>'


def cell(title: str, color: str, pixels: np.ndarray, mean: float, below: str) -> str:
    """One picture uint8 [28, 28], a patch as bright as `mean`, and what is said of them."""
    gray = round(255 * (mean / RANGE + 1) / 2)
    ink = f"color-mix(in srgb, {INKS[color]} 70%, var(--ink))"
    said = signed(mean, 2)
    return (
        f'<figure><b style="color: {ink}">{title}</b>'
        f'<img alt="{title}: the picture, mean brightness {said}" '
        f'src="{png_address(pixels)}">'
        f'<i style="background: rgb({gray} {gray} {gray})"></i>mean {said}<br>{below}</figure>'
    )


def error_chart(told: dict[str, list[NoiseErrors]], t: int) -> Figure:
    """How much too bright x̂₀ is, with its sign; the chosen step is marked."""
    lines, bands = [], []
    for name, look in LOOKS.items():
        if name in told:
            errors = np.array([one.brightness for one in told[name]])
            spread = np.array([one.spread for one in told[name]])
            lines.append(drawn(f"predicts {look.names}", errors, look.color, look.places[0]))
            bands.append(band(errors, 2 * spread, look.color))
    return over_gains(
        lines, bands, t, "too bright (above 0) or too dark: mean error of x̂₀", (-0.8, 0.2), 330
    )


def bias_chart(told: dict[str, list[NoiseErrors]], t: int) -> Figure:
    """How far off each network's own answer is on average."""
    lines, bands = [], []
    for name, look in LOOKS.items():
        if name in told:
            times = factor(look.target, ASKED)
            errors = np.array([one.brightness for one in told[name]]) / times
            spread = np.array([one.spread for one in told[name]]) / np.abs(times)
            lines.append(drawn(f"{look.names}", errors, look.color, look.places[1]))
            bands.append(band(errors, 2 * spread, look.color))
    figure = over_gains(
        lines, bands, t, "bias δ of what each network itself predicts", (-0.06, 0.06), 190
    )
    figure["layout"]["xaxis"]["title"]["text"] = "σ/a"  # in full under the other chart
    return figure


def drawn(label: str, values: np.ndarray, color: str, place: tuple[int, str, int]) -> Line:
    """A line over sigma/a, up to EDGE."""
    return Line(label, gains(ASKED)[:-1], values[:-1], color, *place)


def band(values: np.ndarray, half: np.ndarray, color: str) -> dict[str, Any]:
    """What chance does to a line."""
    x = gains(ASKED)[:-1]
    upper, lower = (values + half)[:-1], (values - half)[:-1]
    return {"type": "scatter", "x": np.concatenate([x, x[::-1]]),
            "y": np.concatenate([upper, lower[::-1]]), "fill": "toself", "fillcolor": INKS[color],
            "opacity": 0.16, "line": {"width": 0}, "hoverinfo": "skip"}  # fmt: skip


def over_gains(
    lines: list[Line],
    bands: list[dict[str, Any]],
    t: int,
    title: str,
    ends: tuple[float, float],
    height: int,
) -> Figure:
    """Lines with their bands behind them; a hairline at a step."""
    figure = line_chart(
        lines, x_title=GAIN_AXIS, y_title=title, log_x=True, y_range=ends, height=height,
        x_axis=EVERY_SECOND_POWER,
    )  # fmt: skip
    figure["data"] = bands + figure["data"]
    figure["layout"]["shapes"] = [upright(float(gains((t,))[0]), "xt", width=1.5)]
    return figure
