"""Reverse kernels as heat maps that show their error, and one row of them as bars. No Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pages.shared.figures import BARE, CLEAR, Figure, chart
from pages.shared.matrices import spoken
from pages.shared.palette import COLORS

VISIBLE = 0.005
"""An error below this is not written into its cell: it would read as 0.00."""
DEEP = 0.8  # the probability of the full colour
DARK = 0.48  # from here on a cell's text is white
_QUIET = BARE | {"ticks": ""}


class Pile(NamedTuple):
    """Bars of one colour, one per state.

    Attributes:
        label: what they are, when pointed at.
        heights: one per state.
        color: a key of `COLORS`.
        opacity: 0..1.
    """

    label: str
    heights: np.ndarray
    color: str
    opacity: float = 1.0


def ink(color: str, alpha: float) -> str:
    """A concept's colour with a given opacity, as CSS."""
    red, green, blue = (int(COLORS[color][i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha:g})"


def signed(error: float) -> str:
    """An error with its sign, two digits."""
    return f"{'+' if error > 0 else '−'}{abs(error):.2f}"


def kernel_figure(
    p: np.ndarray,
    error: np.ndarray,
    names: Sequence[str],
    *,
    title: str,
    about: str,
    color: str,
    row: int,
    t: int,
    s: int,
    height: int = 300,
) -> Figure:
    """A reverse kernel: each cell its probability and, below, how far that is from the truth.

    Args:
        p: [K, K] probabilities, rows are x_t.
        error: [K, K] what is written below, where it is visible; NaN in rows that can't occur.
        names: one per state.
        title: set above.
        about: smaller, below the title.
        color: a key of `COLORS`.
        row: the emphasised row.
        t: the step of the rows.
        s: the step of the columns.
        height: pixels.
    """
    K = len(p)
    able = np.isfinite(error)
    states = list(range(K))
    traces: list[dict[str, Any]] = [
        {
            "type": "heatmap",
            "z": np.where(able, p, 0.0),
            "x": states,
            "y": states,
            "zmin": 0,
            "zmax": DEEP,
            "xgap": 1,
            "ygap": 1,
            "colorscale": [[0, ink(color, 0.04)], [1, ink(color, 1)]],
            "showscale": False,
            "text": _told(p, error, names, t, s),
            "hovertemplate": "%{text}<extra></extra>",
        }
    ]
    wrong = able & (np.abs(np.nan_to_num(error)) >= VISIBLE)
    for deep in (False, True):
        where = able & ((p > DARK) == deep)
        font = {"size": 12 if K < 6 else 10} | ({"color": "#fff"} if deep else {})
        traces += [
            _write(where & ~wrong, [_short(v, K) for v in p[where & ~wrong]], font, 0),
            _write(where & wrong, [_short(v, K) for v in p[where & wrong]], font, -0.14),
        ]
        off = font | {"size": font["size"] - 1} | ({} if deep else {"color": COLORS["bits"]})
        told = [f"<b>{signed(v)}</b>" for v in error[where & wrong]]
        traces.append(_write(where & wrong, told, off, 0.24))
    traces.append(_write(~able, ["–"] * int((~able).sum()), {"size": 11}, 0))
    looked_at = {
        "type": "rect", "x0": -0.5, "x1": K - 0.5, "y0": row - 0.5, "y1": row + 0.5,
        "layer": "above", "line": {"color": COLORS["xt"], "width": 2},
    }  # fmt: skip
    ticks = {"tickvals": states, "ticktext": list(names), "tickfont": {"size": 11}} | _QUIET
    across = {"title": {"text": f"to x<sub>{s}</sub>", "standoff": 4}, "range": [-0.5, K - 0.5]}
    down = {"title": {"text": f"from x<sub>{t}</sub>", "standoff": 2}, "range": [K - 0.5, -0.5]}
    heading = f"<b>{title}</b><br><span style='font-size:12px'>{about}</span>"
    layout = {
        "title": {"text": heading, "font": {"size": 14, "color": COLORS[color]}, "x": 0,
                  "xref": "container", "y": 0.95, "yanchor": "top"},
        "height": height,
        "margin": {"l": 40, "r": 4, "t": 48, "b": 38},
        "hovermode": "closest",
        "xaxis": across | ticks,
        "yaxis": down | ticks,
        "shapes": [looked_at],
    }  # fmt: skip
    return chart(traces, layout | CLEAR)


def _short(p: float, K: int) -> str:
    return spoken(p) if K < 6 else f"{p:.2f}"


def _write(
    where: np.ndarray, text: list[str], font: dict[str, object], lower: float
) -> dict[str, Any]:
    y, x = np.nonzero(where)
    return {"type": "scatter", "x": x, "y": y + lower, "mode": "text", "text": text,
            "textfont": font, "hoverinfo": "skip"}  # fmt: skip


def _told(
    p: np.ndarray, error: np.ndarray, names: Sequence[str], t: int, s: int
) -> list[list[str]]:
    """What each cell says when it is pointed at, [K][K]."""
    K = len(p)
    return [
        [
            f"x<sub>{t}</sub> = {names[i]} can't occur"
            if np.isnan(error[i, j])
            else f"from x<sub>{t}</sub> = <b>{names[i]}</b> to x<sub>{s}</sub> = <b>{names[j]}</b>"
            f"<br>with probability {p[i, j]:.6g}<br>off the truth by {error[i, j]:.2g}"
            for j in range(K)
        ]
        for i in range(K)
    ]


def bars_figure(
    piles: Sequence[Pile],
    marks: np.ndarray | None,
    names: Sequence[str],
    *,
    title: str,
    about: str,
    x_title: str,
    height: int = 280,
) -> Figure:
    """Bars over the states, on top of each other, and where the truth is.

    Args:
        piles: from the bottom up.
        marks: the truth, one per state; None for no marks.
        names: one per state.
        title: set above.
        about: smaller, below the title.
        x_title: name of the horizontal axis.
        height: pixels.
    """
    states = list(range(len(names)))
    traces: list[dict[str, Any]] = [
        {
            "type": "bar", "x": states, "y": pile.heights, "name": pile.label,
            "marker": {"color": ink(pile.color, pile.opacity), "line": {"width": 0}},
            "hovertemplate": f"{pile.label}: %{{y:.4g}}<extra></extra>",
        }
        for pile in piles
    ]  # fmt: skip
    top = np.sum([pile.heights for pile in piles], 0)
    if marks is not None:
        traces.append(
            {
                "type": "scatter", "x": states, "y": marks, "mode": "markers",
                "marker": {"symbol": "line-ew", "size": 20,
                           "line": {"width": 3, "color": COLORS["q"]}},
                "hovertemplate": "truth: %{y:.4g}<extra></extra>",
            }
        )  # fmt: skip
        top = np.maximum(top, marks)
    across = {"title": {"text": x_title, "standoff": 4}, "tickvals": states,
              "ticktext": list(names), "tickfont": {"size": 11}}  # fmt: skip
    up = {"range": [0, max(1.0, float(top.max())) * 1.04], "nticks": 3, "tickfont": {"size": 11}}
    heading = f"<b>{title}</b><br><span style='font-size:12px'>{about}</span>"
    layout = {
        "barmode": "stack",
        "bargap": 0.3,
        "title": {"text": heading, "font": {"size": 14}, "x": 0, "xref": "container", "y": 0.94,
                  "yanchor": "top"},
        "height": height,
        "margin": {"l": 30, "r": 4, "t": 52, "b": 38},
        "hovermode": "closest",
        "xaxis": across | _QUIET,
        "yaxis": up | _QUIET | {"showgrid": True},
    }  # fmt: skip
    return chart(traces, layout | CLEAR)
