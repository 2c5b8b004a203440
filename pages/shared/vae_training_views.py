"""What the page on the VAE shows of its training: gradients by draws, and doing without the KL."""

from __future__ import annotations

from typing import Any

import numpy as np

from pages.shared.figures import (
    BARE,
    CLEAR,
    INKS,
    Figure,
    Line,
    chart,
    level,
    line_chart,
    name_at,
    upright,
)
from pages.shared.palette import COLORS
from pages.shared.pictures import png_address
from pages.shared.vae_training_world import (
    GRADIENTS,
    NETWORKS,
    SHEET,
    Drawn,
    Gradients,
)
from pages.shared.vae_views import HUES, upwards

BARS = {"vae": "p", "vae-no-kl": "eps"}  # colour of each of `NETWORKS`
WAYS = {"through": ("through z = μ + σε", "p"), "by_value": ("by value, times ∇ log q", "eps")}
BINS = 61
PLANE = 262  # side of the plane in pixels: a ring is round
WIDE = 40 + PLANE + 8  # with what stands beside it


def reach(told: Gradients) -> tuple[float, float]:
    """What both histograms show of the axis: 2.5 of the wider one's deviations, both ways."""
    half = 2.5 * max(told.spread)
    return told.exact - half, told.exact + half


def draws_figure(told: Gradients, way: str, by: str) -> Figure:
    """How often a single draw says what of the gradient; both ways have the same axis."""
    name, color = WAYS[way]
    values = getattr(told, way)
    edges = np.linspace(*reach(told), BINS + 1)
    share = np.histogram(values, edges)[0] / len(values)
    bars = {"type": "bar", "x": (edges[1:] + edges[:-1]) / 2, "y": share, "name": "draws",
            "opacity": 0.8, "marker": {"color": COLORS[color]}, "width": edges[1] - edges[0],
            "hovertemplate": "%{y:.3f} of them"}  # fmt: skip
    layout = {
        "xaxis": BARE | {"title": {"text": f"gradient by {by}, a single draw’s", "standoff": 4},
                         "range": list(edges[[0, -1]]), "nticks": 6},
        "yaxis": BARE | {"nticks": 3, "showgrid": True, "range": [0, 1.15 * float(share.max())]},
        "title": {"text": f"{name}: standard deviation {_short(float(values.std()))}",
                  "font": {"size": 14, "color": COLORS[color]}, "x": 0, "xref": "container",
                  "y": 0.98},
        "height": 185, "margin": {"l": 48, "r": 12, "t": 34, "b": 42}, "bargap": 0,
        "shapes": [upright(told.exact, "q", width=1, dash="dash")], "hovermode": "closest",
    } | CLEAR  # fmt: skip
    return chart([bars], layout)


def _short(value: float) -> str:
    """A number with at least two figures."""
    return f"{value:,.{0 if value >= 10 else 1}f}"


def averages_figure(told: Gradients) -> Figure:
    """What the draws so far average, both ways, and what the gradient is."""
    n = np.unique(np.geomspace(1, GRADIENTS, 120).round().astype(int))
    means = {way: (np.cumsum(getattr(told, way)) / np.arange(1, GRADIENTS + 1))[n - 1]
             for way in WAYS}  # fmt: skip
    every = np.concatenate([*means.values(), [told.exact]])
    low, high = float(every.min()), float(every.max())
    pad = 0.05 * (high - low)
    lines = [
        Line(name, n.astype(float), means[way], color, len(n) // 2, "left", 16 if k else -16)
        for k, (way, (name, color)) in enumerate(WAYS.items())
    ]
    # The names stand in the corner that the lines leave, instead of on the lines, which may cross.
    figure = line_chart(
        lines, x_title="draws that are averaged", y_title="their average", log_x=True, height=370,
        y_range=(low - pad, high + pad),
        x_axis={"tickvals": [1, 8, 64, 512], "ticktext": ["1", "8", "64", "512"]},
    )  # fmt: skip
    top = 0.97 if told.exact < (low + high) / 2 else 0.22
    figure["layout"]["annotations"] = [
        name_at(1, name, color, xref="paper", y=top - 0.08 * k, yref="paper", xanchor="right",
                xshift=-6)
        for k, (name, color) in enumerate([*WAYS.values(), ("exact", "q")])
    ]  # fmt: skip
    figure["layout"]["shapes"] = [level(told.exact, "q")]
    return figure


def codes_figure(name: str, means: np.ndarray, z: np.ndarray, spread: int, *, near: bool) -> Figure:
    """Where an encoder puts the gallery's digits, as numerals, and where N(0, s^2 I) is drawn.

    Args:
        name: key in `NETWORKS`.
        means: [N, 2], digit k % 10 at k.
        z: [N, 2] the draws, as points.
        spread: s, for the ring that holds 86% of draws.
        near: whether only the ring's neighbourhood is shown.
    """
    turn = np.linspace(0, 2 * np.pi, 73)
    ring = 2 * spread * np.stack([np.cos(turn), np.sin(turn)])
    half = 2.2 * spread if near else 1.08 * max(float(np.abs(means).max(initial=0)), 2 * spread)
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "markers", "x": z[:, 0], "y": z[:, 1],
         "name": "draws", "hoverinfo": "skip", "marker": {"color": COLORS["xt"], "size": 3}},
    ]  # fmt: skip
    for label in range(10):
        here = means[label::10]
        inside = here[(np.abs(here) < half).all(1)]
        traces.append(
            {"type": "scatter", "mode": "text", "x": inside[:, 0], "y": inside[:, 1],
             "text": [str(label)] * len(inside), "hoverinfo": "skip", "name": str(label),
             "textfont": {"size": 13, "color": COLORS[HUES[label % 5]]}}
        )  # fmt: skip
    traces.append(
        {"type": "scatter", "mode": "lines", "x": ring[0], "y": ring[1], "name": "N(0, s²I)",
         "hoverinfo": "skip", "line": {"color": COLORS["p"], "width": 3}}
    )  # fmt: skip
    layout = {
        "xaxis": BARE | {"range": [-half, half], "nticks": 5,
                         "title": {"text": "z₁", "standoff": 4}},
        "yaxis": BARE | {"range": [-half, half], "nticks": 5},
        "title": {"text": "T" + trained(name)[1:], "font": {"size": 14}, "x": 0,
                  "xref": "container", "y": 0.98},
        "height": 34 + PLANE + 40, "margin": {"l": 40, "r": 8, "t": 34, "b": 40},
        "hovermode": "closest", "annotations": [upwards("z₂")],
    } | CLEAR  # fmt: skip
    return chart(traces, layout)


def trained(name: str) -> str:
    """How one of `NETWORKS` was trained."""
    return f"trained {NETWORKS[name]} the KL"


def sheet_html(pictures: np.ndarray, title: str, color: str = "p") -> str:
    """The first draws, decoded, [rows * columns of SHEET, 28, 28], as one picture; 0..1 is shown.

    An image and no chart: there is nothing to point at, and it has 33,000 pixels.
    """
    rows, columns = SHEET
    framed = np.pad(
        pictures.clip(0, 1), ((0, 0), (0, 1), (0, 1)), constant_values=0.35
    )  # between two digits
    sheet = framed.reshape(rows, columns, 29, 29).swapaxes(1, 2).reshape(29 * rows, 29 * columns)
    source = png_address((255 * sheet[:-1, :-1]).round().astype(np.uint8))
    return (
        f'<div style="color:color-mix(in srgb, {INKS[color]} 70%, currentColor);font-size:14px;'
        f'margin-bottom:4px">{title}</div>'
        f'<img src="{source}" alt="The first {len(pictures)} draws, decoded" '
        'style="display:block;width:100%;image-rendering:pixelated">'
    )


def prior_figure(told: dict[str, Drawn]) -> Figure:
    """How often the draws of each of `NETWORKS` are taken for which digit."""
    shares = {name: drawn.counts / drawn.counts.sum() for name, drawn in told.items()}
    wide = 0.8 / len(shares)
    digits = np.arange(10)
    bars = [
        {"type": "bar", "x": digits + (k - (len(shares) - 1) / 2) * wide, "y": share,
         "name": trained(name), "marker": {"color": COLORS[BARS[name]]}, "width": wide,
         "text": [f"{digit}, {trained(name)}" for digit in digits],
         "hovertemplate": "%{text}: %{y:.2f} of the draws"}
        for k, (name, share) in enumerate(shares.items())
    ]  # fmt: skip
    top = max(0.5, 1.1 * max(float(share.max()) for share in shares.values()))
    layout = {
        "xaxis": BARE | {"range": [-0.6, 9.6], "dtick": 1,
                         "title": {"text": "digit, by the classifier", "standoff": 4}},
        "yaxis": BARE | {"range": [0, top], "nticks": 4, "showgrid": True},
        "title": {"text": "share of the draws", "font": {"size": 14}, "x": 0, "xref": "container",
                  "y": 0.98},
        "annotations": [
            name_at(1, trained(name), BARS[name], xref="paper", y=0.9 - 0.2 * k, yref="paper",
                    xanchor="right")
            for k, name in enumerate(shares)
        ],
        "height": 170, "margin": {"l": 44, "r": 8, "t": 34, "b": 42}, "hovermode": "closest",
    } | CLEAR  # fmt: skip
    return chart(bars, layout)
