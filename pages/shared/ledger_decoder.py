"""The last step's bell: cut into gray levels for one pixel, and what its width costs for all."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.gaussian import Gaussian
from diffusion_core.likelihood import (
    decoder_costs,
    discretized_gaussian_exact,
    elbo_term,
    normal_log_density,
)
from pages.shared import chapter
from pages.shared.figures import BARE, CLEAR, Figure, Line, chart, line_chart, name_at
from pages.shared.ledger import (
    DIMENSIONS,
    LEVEL,
    SIDE,
    Pixel,
    Setting,
    bell_chances,
    bits_per_dim,
    model_of,
    sha_of,
    unit,
)
from pages.shared.palette import COLORS
from pages.shared.plot import plot

WIDTHS = tuple(
    round(digit * 10.0**power, 3)
    for power in (-2, -1, 0, 1)
    for digit in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    if digit * 10.0**power >= 0.02
)
"""Widths of the bell that can be chosen, in gray levels."""
START = 0.6
"""The one nearest to √β̃₂ of digits-eps on its thousand steps."""
GRID = np.geomspace(0.002, 500, 140)
AROUND, MOST_AROUND = 8, 40
"""So many gray levels are drawn on either side of the true one."""
SCALES = (0.01, 0.05)
"""Tops of the axis for flat bells: the first of which the highest level has at most 0.6; else 1."""
FLOOR_BITS = -math.log2(1e-12)
"""What `discretized_gaussian_tanh` lets a pixel cost at most."""
TICKS = [digit * 10.0**power for power in range(-3, 3) for digit in (1, 2, 5)]
_OF = "_decoder_of"


class Decoder(NamedTuple):
    """The decoder of one picture at t = 1; widths are standard deviations, in gray levels.

    Attributes:
        named: name -> width.
        widths: [n]: the named ones, `WIDTHS`, then `GRID`.
        bits: [n] L₀ in bits/dim.
        unbounded: [len(GRID)] the same by the exact bell, where no pixel's cost is cut off.
        mean: [28, 28] x̂₀, as gray levels from 0 to 255.
        true: [28, 28] x₀, the same.
    """

    named: dict[str, float]
    widths: np.ndarray
    bits: np.ndarray
    unbounded: np.ndarray
    mean: np.ndarray
    true: np.ndarray

    def cost(self, width: float) -> float:
        """L₀ in bits/dim at one of `WIDTHS`."""
        return float(self.bits[len(self.named) + WIDTHS.index(width)])

    @property
    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Widths and bits of the `GRID`."""
        return self.widths[-len(GRID) :], self.bits[-len(GRID) :]

    @property
    def best(self) -> tuple[float, float]:
        """The cheapest width and its bits/dim."""
        widths, bits = self.curve
        return float(widths[bits.argmin()]), float(bits.min())

    @property
    def missed(self) -> tuple[int, int]:
        """A pixel that is missed a little more than all are on average, and not by its bin's luck.

        If possible it is far from black and white, whose bins have no end.
        """
        wanted = max(1.5 * self.named["error"], 0.75)
        gap = np.abs(np.abs(self.mean - self.true) - wanted)
        gray = np.abs(self.true - 127.5) < 127.5 - AROUND
        row, column = np.unravel_index(
            int(np.where(gray, gap, gap + 256).argmin()), self.true.shape
        )
        return int(row), int(column)


def named_widths(setting: Setting) -> dict[str, float]:
    """The widths that code takes for the decoder, √β₁ and √β̃₂, in gray levels."""
    diffusion, t = model_of(setting).diffusion, torch.ones(1, dtype=torch.int64)
    one = torch.ones(1, 1, dtype=torch.float64)
    variances = {
        "√β₁": diffusion.q_step(one, t, t - 1).var,
        "√β̃₂": diffusion.posterior_coefficients(t + 1, t, one)[2],
    }
    return {name: float(var) ** 0.5 / LEVEL for name, var in variances.items()}


@st.cache_data(max_entries=64, show_spinner=False)
def decoder_of(pixels: bytes, setting: Setting, sha256: str) -> Decoder:
    """Ask the network once, at t = 1, and price every width."""
    model, t = model_of(setting), torch.ones(1, dtype=torch.int64)
    x0 = unit(pixels)
    generator = torch.Generator().manual_seed(setting.seed)
    eps = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    mean = elbo_term(model.diffusion, model, x0, t, eps, clip_x0=setting.clip).p.mean
    error = float((mean - x0).square().mean()) ** 0.5 / LEVEL
    named = named_widths(setting) | {"error": error}
    widths = np.concatenate([list(named.values()), WIDTHS, GRID])
    v = torch.from_numpy(widths * LEVEL).square()
    exact = decoder_costs(x0, mean, v[-len(GRID) :], discretized_gaussian_exact)
    return Decoder(
        named,
        widths,
        bits_per_dim(decoder_costs(x0, mean, v).numpy()),
        bits_per_dim(exact.numpy()),
        ((mean + 1) / LEVEL).reshape(SIDE, SIDE).numpy(),
        ((x0 + 1) / LEVEL).round().reshape(SIDE, SIDE).numpy(),
    )


def begin_at_the_usual(setting: Setting) -> None:
    """Put the slider on √β̃₂ when the schedule is another one; a link's own wish comes first."""
    here = setting.network, setting.T, setting.zero_terminal
    before = st.session_state.get(_OF)
    if here != before and (before is not None or "eb_width" not in st.query_params):
        usual = math.log(named_widths(setting)["√β̃₂"])
        st.session_state["eb_width"] = min(WIDTHS, key=lambda width: abs(math.log(width) - usual))
    st.session_state[_OF] = here


def decoder_view(pixels: bytes, setting: Setting, pixel: Pixel) -> None:
    """The question, and what answers it.

    Args:
        pixels: the digit.
        setting: of its ledger.
        pixel: whose bell is shown; None for one that the network misses a little.
    """
    told = decoder_of(pixels, setting, sha_of(setting.network))
    chapter.prose(
        "The last step must name one of 256 gray levels for every pixel. How wide should its "
        "bell be? About as wide as x̂₀ is wrong: here **"
        f"{told.named['error']:.2g} gray levels**."
    )
    at_a_width(told, setting, pixel)


@st.fragment
def at_a_width(told: Decoder, setting: Setting, pixel: Pixel) -> None:
    """One pixel's bell over the gray levels, beside the first bar over the width of the bell."""
    begin_at_the_usual(setting)
    width = st.select_slider(
        "Width of the bell, in gray levels", WIDTHS, value=START, key="eb_width",
        bind="query-params", format_func=lambda width: f"{width:g}", width=320,
    )  # fmt: skip
    at = told.missed if pixel is None else pixel
    mean, true = float(told.mean[at]), int(told.true[at])
    chances = bell_chances(mean, width)
    chance = float(chances[true])
    left, right = st.columns([4, 5], gap="medium")
    plot(
        bell_chart(chances, mean, true, width),
        key="eb_bell",
        alt=f"The decoder's bell for pixel {at[0]}, {at[1]}, cut into gray levels: the true one, "
        f"{true}, has probability {shown(chance)}",
        place=left,
    )
    plot(
        width_chart(told, width),
        key="eb_decoder",
        alt="Cost of the last step over the width of the decoder, with three named widths",
        place=right,
    )
    best, least = told.best
    usual = ", ".join(
        f"{name} = {told.named[name]:.2g} levels: {told.bits[i]:.3f}"
        for i, name in enumerate(told.named)
        if name != "error"
    )
    chapter.prose(
        f"Pixel {at[0]}, {at[1]}: the bell stands at x̂₀ = {mean:.2f}, and level {true} has the "
        f"area **{shown(chance)}**, which costs −log₂ {shown(chance)} = "
        f"**{bits_of(chance):.2g} bits**. All {DIMENSIONS} pixels: "
        f"**{told.cost(width):.3f} bits/dim**. The least is **{least:.3f}**, at a width of "
        f"{best * LEVEL:.2g} on the scale from −1 to 1, that is "
        f"**{best:.2g} gray levels**. In code: {usual}. √β̃₁ would be no width at all, 0."
    )
    st.caption(
        "“error” is the root of the mean squared error of this x̂₀. Far to the left the curve "
        "flattens: this decoder counts no probability below 10⁻¹², so a missed pixel costs "
        f"{FLOOR_BITS:.0f} bits at most. Dotted, where it is higher: the exact bell without that "
        "floor."
    )


def shown(chance: float) -> str:
    """A probability of two digits, the small ones with a power of ten."""
    if chance >= 1e-3:
        return f"{chance:.2g}"
    digits, power = f"{chance:.0e}".split("e")
    return f"{digits} × 10{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def bits_of(chance: float) -> float:
    """−log₂ of a probability; 0, and not −0, for certainty."""
    return abs(math.log2(chance))


def bell_chart(chances: np.ndarray, mean: float, true: int, width: float) -> Figure:
    """Bars for the gray levels around the true one, which is coloured, and the bell over them."""
    around = min(max(AROUND, math.ceil(1.2 * abs(mean - true))), MOST_AROUND)
    first = min(max(true - around, 0), 255 - 2 * around)
    levels = np.arange(first, first + 2 * around + 1)
    x = np.union1d(
        np.linspace(levels[0] - 0.5, levels[-1] + 0.5, 120), mean + width * np.linspace(-4, 4, 81)
    )
    bell = Gaussian(*(torch.tensor(v, dtype=torch.float64) for v in (mean, width**2)))
    density = normal_log_density(torch.from_numpy(x), bell).exp().numpy()
    chance = float(chances[true])
    top = next((top for top in SCALES if chances[levels].max() <= 0.6 * top), 1.0)
    name = f"p = {shown(chance)}, −log₂ p = {bits_of(chance):.2g} bits"
    traces: list[dict[str, Any]] = [
        {"type": "bar", "x": levels, "y": chances[levels], "opacity": 0.75, "width": 0.92,
         "marker": {"color": [COLORS["x0" if level == true else "p"] for level in levels]},
         "hovertemplate": "level %{x}: %{y:.3g}"},
        {"type": "scatter", "x": x, "y": np.where(density > 1.05 * top, np.nan, density),
         "mode": "lines", "hoverinfo": "skip", "line": {"color": COLORS["p"], "width": 2}},
    ]  # fmt: skip
    layout = {
        "xaxis": BARE | {"title": {"text": "gray level", "standoff": 8},
                         "range": [levels[0] - 0.5, levels[-1] + 0.5]},
        "yaxis": BARE | {"showgrid": True, "tickvals": [0, top / 2, top],
                         "range": [0, 1.3 * top]},
        "title": {"text": "one pixel: probability of a level", "font": {"size": 14}, "x": 0,
                  "xref": "container", "y": 0.98},
        "height": 250,
        "margin": {"l": 36, "r": 8, "t": 30, "b": 44},
        "hovermode": "closest",
        "annotations": [name_at(true, name, "x0", y=1.18 * top)],
    }  # fmt: skip
    return chart(traces, layout | CLEAR)


def width_chart(told: Decoder, width: float) -> Figure:
    """L₀ over the width, with the named widths and the chosen one as points."""
    widths, bits = told.curve
    ends = [*told.named.values(), width]
    low, high = min(ends[:-1]) / 6, max(ends[:-1]) * 6
    low, high = min(low, width / 1.2), max(high, width * 1.2)
    seen = (widths >= low) & (widths <= high)
    top = max(1.5 * told.best[1], 1.15 * float(bits[seen].max()))
    higher = np.where(told.unbounded > 1.02 * bits, told.unbounded, np.nan)
    colors = dict(zip(told.named, ("q", "p", "x0"), strict=True))
    points = []
    # Names side by side under the points; above them where the curve is too near the axis.
    for (name, at), (anchor, shift) in zip(
        sorted(told.named.items(), key=lambda item: item[1]),
        (("right", 15), ("center", 33), ("left", 15)),
        strict=True,
    ):
        bar = told.bits[told.widths == at][:1]
        lift = 1 if bar[0] < 0.2 * top else -1
        points.append(
            Line(name, np.array([at]), bar, colors[name], 0, anchor=anchor, shift=lift * shift)
        )
    cost = told.cost(width)
    lines = [Line("", widths, higher, "bits", 0, dash="dot", width=1.5),
             Line("", widths, bits, "bits", 0), *points]  # fmt: skip
    figure = line_chart(
        lines,
        x_title=f"width of the bell, in gray levels (1 level = {LEVEL:.4f})",
        y_title=f"all pixels: L₀ = {cost:.2f} bits/dim",
        log_x=True,
        height=250,
        y_range=(0.0, top),
        x_axis={"range": [math.log10(low), math.log10(high)], "tickvals": TICKS,
                "ticktext": [f"{tick:g}" for tick in TICKS]},
    )  # fmt: skip
    figure["data"].append(
        {"type": "scatter", "x": [width], "y": [cost], "mode": "markers", "name": "chosen",
         "marker": {"color": COLORS["bits"], "size": 15, "symbol": "circle-open",
                    "line": {"width": 3}},
         "hovertemplate": "%{y:.4g}"}
    )  # fmt: skip
    figure["layout"]["margin"] = {"l": 36, "r": 8, "t": 30, "b": 44}
    return figure
