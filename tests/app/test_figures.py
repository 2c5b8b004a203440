"""Charts are handed to plotly unchecked, for speed: here each kind is checked, once."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import pytest

from pages.shared.figures import Line, chart, line_chart
from pages.shared.matrices import flow_figure, matrix_figure
from pages.shared.rule_figures import Pile, bars_figure, kernel_figure

NAMES = ("a", "b", "c", "[M]")
P = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.6, 0.0, 0.3], [0.2, 0.2, 0.6, 0.0], [0, 0, 0, 1.0]])
ERROR = np.where(np.arange(4)[:, None] == 2, np.nan, P - 0.2)
X = np.linspace(0.1, 5, 30)
MATRIX = {"title": "Q", "words": "%{x} %{y}", "rows": "from", "columns": "to"}


def lines(**options: object) -> go.Figure:
    """Two lines, one with a gap."""
    gap = np.where(X > 2, X, np.nan)
    return line_chart(
        [Line("grows", X, X**2, "q", 5), Line("gap", X, gap, "p", 20, dash="dash")],
        x_title="x", y_title="y", **options,  # type: ignore[arg-type]
    )  # fmt: skip


KINDS: dict[str, Callable[[], go.Figure]] = {
    "lines": lines,
    "lines, logarithmic": lambda: lines(log_x=True, log_y=True, y_range=(0.01, 30)),
    "lines, other axes": lambda: lines(
        x_axis={"dtick": 2, "exponentformat": "power"}, y_axis={"tickvals": [1], "ticktext": ["a"]}
    ),
    "lines, backwards": lambda: lines(x_axis={"autorange": "reversed"}),
    "matrix": lambda: matrix_figure(P, NAMES, row=1, column=2, log=True, **MATRIX),
    "matrix, dark": lambda: matrix_figure(
        P, NAMES, row=1, column=2, log=False, dark=True, **MATRIX
    ),
    "flow": lambda: flow_figure(
        P, NAMES, np.array([[0, 1], [1, 1], [3, 1], [3, 3]]), title="t", words="w", t=2, log=True
    ),
    "kernel": lambda: kernel_figure(
        P, ERROR, NAMES, title="t", about="a", color="p", row=1, t=4, s=3
    ),
    "bars": lambda: bars_figure(
        [Pile("one", P[0], "q"), Pile("two", P[1], "p", 0.5)], P[2], NAMES,
        title="t", about="a", x_title="x",
    ),
    "bars, no truth": lambda: bars_figure(
        [Pile("one", P[0], "q")], None, NAMES, title="t", about="a", x_title="x"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_plotly_would_take_it(kind: str) -> None:
    figure = KINDS[kind]()
    go.Figure(figure.to_dict())  # raises where a property or its value is none of plotly's
    assert json.loads(figure.to_json())["data"]


def test_it_is_what_would_be_built_step_by_step() -> None:
    slow = go.Figure(go.Scatter(x=[1, 2], y=[3.0, 4.0], mode="lines"))
    slow.update_layout(title_text="t", height=200)
    quick = chart(
        [{"type": "scatter", "x": [1, 2], "y": [3.0, 4.0], "mode": "lines"}],
        {"title": {"text": "t"}, "height": 200},
    )
    assert json.loads(quick.to_json()) == json.loads(slow.to_json())


def test_a_misspelt_property_would_be_found() -> None:
    with pytest.raises(ValueError, match="colour"):
        go.Figure(chart([{"type": "scatter", "y": [1], "line": {"colour": "red"}}], {}).to_dict())
