"""Arrays to charts: frameless, lines named where they run instead of in a legend. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pages.shared.palette import COLORS


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        label: set beside the line in its colour.
        x: [n].
        y: [n]; values that a logarithmic axis can't show leave a gap.
        color: a key of `COLORS`, or "ink", the text's own colour: a player draws "xt" in it.
        at: where along the line its label stands, as an index.
        anchor: which side of the label is at that place: "left", "center" or "right".
        shift: pixels that the label stands above the line; negative is below.
        dash: plotly's name of the line's pattern.
        width: pixels.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    color: str
    at: int
    anchor: str = "left"
    shift: int = 12
    dash: str = "solid"
    width: float = 2


INKS = COLORS | {"ink": "currentColor"}
"""What a line or a name may be drawn in."""

Figure = dict[str, Any]
"""A figure in plotly's words: {"data": a list of traces, "layout": {...}}, all plain.

`plotly.graph_objects.Figure(figure)` makes plotly's own object of it. Here it stays plain: plotly
checks every property that is set, every time, while all sessions wait for the interpreter (of the
20 ms that a 6 × 6 heat map with numbers took, 19 were that), and without the checks its object
still costs 2 ms a chart. tests/app/test_figures.py has plotly check each kind of chart once.
"""

BARE: dict[str, Any] = {"showgrid": False, "zeroline": False, "showline": False, "fixedrange": True}
"""An axis of which only the labels are seen."""
CLEAR = {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "showlegend": False}


def chart(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> Figure:
    """A figure of plain dictionaries, as plotly.js takes them: `{"type": "scatter", ...}`."""
    return {"data": list(traces), "layout": dict(layout)}


def upright(x: float, color: str, *, width: float = 2, dash: str = "solid") -> dict[str, Any]:
    """A line across the chart at x, as a shape."""
    return {"type": "line", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1,
            "line": {"color": COLORS[color], "width": width, "dash": dash}}  # fmt: skip


def level(y: float, color: str, *, width: float = 2) -> dict[str, Any]:
    """A line across the chart at y, as a shape."""
    return {"type": "line", "xref": "paper", "y0": y, "y1": y, "x0": 0, "x1": 1,
            "line": {"color": COLORS[color], "width": width}}  # fmt: skip


def name_at(x: float, text: str, color: str, **options: Any) -> dict[str, Any]:
    """A bold name in its colour, as an annotation; plotly's properties say where."""
    return {"x": x, "text": f"<b>{text}</b>", "showarrow": False,
            "font": {"color": INKS[color], "size": 14}} | options  # fmt: skip


def line_chart(
    lines: Sequence[Line],
    *,
    x_title: str,
    y_title: str,
    log_x: bool = False,
    log_y: bool = False,
    y_range: tuple[float, float] | None = None,
    height: int = 300,
    x_axis: Mapping[str, Any] | None = None,
    y_axis: Mapping[str, Any] | None = None,
) -> Figure:
    """Lines over one axis, each with its name beside it.

    Args:
        lines: what is drawn, the last on top.
        x_title: name and unit of the horizontal axis.
        y_title: name and unit of the vertical axis, set above it.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is logarithmic.
        y_range: ends of the vertical axis, in its unit; None for all there is.
        height: pixels.
        x_axis: further properties of the horizontal axis, as plotly names them.
        y_axis: of the vertical axis.
    """
    traces, names = [], []
    for line in lines:
        y = np.where(line.y > 0, line.y, np.nan) if log_y else line.y
        traces.append(
            {
                "type": "scatter",
                "x": line.x,
                "y": y,
                "mode": "lines" if len(line.x) > 20 else "lines+markers",
                "name": line.label,
                "line": {"color": INKS[line.color], "dash": line.dash, "width": line.width},
                "hovertemplate": "%{y:.4g}",
            }
        )
        where = float(line.x[line.at]), float(y[line.at])
        if not np.isfinite(where[1]):
            continue  # a name can't stand where its line isn't
        names.append(
            name_at(
                np.log10(where[0]) if log_x else where[0],
                line.label,
                line.color,
                y=np.log10(where[1]) if log_y else where[1],
                xanchor=line.anchor,
                yanchor="middle",
                yshift=line.shift,
            )
        )
    quiet = BARE | {"tickfont": {"size": 12}}
    powers = {"dtick": 1, "exponentformat": "power", "showexponent": "all"}
    ends = {} if y_range is None else {"range": [*(np.log10(y_range) if log_y else y_range)]}
    layout = {
        "xaxis": {"title": {"text": x_title, "standoff": 8}, "type": "log" if log_x else "linear"}
        | ({"dtick": 1} if log_x else {})
        | quiet
        | dict(x_axis or {}),
        "yaxis": {"type": "log" if log_y else "linear", "nticks": 5}
        | ends
        | (powers if log_y else {})
        | quiet
        | {"showgrid": True}
        | dict(y_axis or {}),
        # Above the axis, not along it: read without turning the head.
        "title": {"text": y_title, "font": {"size": 14}, "x": 0, "xref": "container", "y": 0.98},
        "height": height,
        "margin": {"l": 48, "r": 12, "t": 40, "b": 44},
        "hovermode": "x unified",
        "annotations": names,
    } | CLEAR
    return chart(traces, layout)
