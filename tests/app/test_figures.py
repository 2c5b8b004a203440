"""Charts are handed to plotly unchecked, for speed: here each kind is checked, once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import pytest

from pages.shared.figures import Figure, Line, chart, line_chart
from pages.shared.ledger_estimators import CHAIN_NAMES, estimator_chart, histogram_chart, running
from pages.shared.matrices import facets, flow_figure, matrix_figure
from pages.shared.rule_figures import Pile, bars_figure, kernel_figure

NAMES = ("a", "b", "c", "[M]")
P = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.6, 0.0, 0.3], [0.2, 0.2, 0.6, 0.0], [0, 0, 0, 1.0]])
ERROR = np.where(np.arange(4)[:, None] == 2, np.nan, P - 0.2)
X = np.linspace(0.1, 5, 30)
MATRIX = {"title": "Q", "words": "%{x} %{y}", "rows": "from", "columns": "to"}


def lines(**options: object) -> Figure:
    """Two lines, one with a gap."""
    gap = np.where(X > 2, X, np.nan)
    return line_chart(
        [Line("grows", X, X**2, "q", 5), Line("gap", X, gap, "p", 20, dash="dash")],
        x_title="x", y_title="y", **options,  # type: ignore[arg-type]
    )  # fmt: skip


KINDS: dict[str, Callable[[], Figure]] = {
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
    "facets": lambda: facets(
        np.stack([P] * 5), NAMES, titles=list("abcde"), words=["w"] * 5, chosen=(4, 1), log=True
    ),
    "histogram": lambda: histogram_chart(
        {"one": np.array([0.1, 0.2]), "two": np.array([1.0])}, {"one": "q", "two": "p"},
        np.linspace(0, 2, 5), "bits",
    ),
    "running mean": lambda: running({"uniform": np.array([1.0, 2.0, 4.0])}, 2.0),
    "estimators": lambda: estimator_chart(
        dict.fromkeys(CHAIN_NAMES, (1.0, 0.2, 0.3)), 1.5
    ),
    "bars, no truth": lambda: bars_figure(
        [Pile("one", P[0], "q")], None, NAMES, title="t", about="a", x_title="x"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_plotly_would_take_it(kind: str) -> None:
    figure = KINDS[kind]()
    go.Figure(figure)  # raises where a property or its value is none of plotly's
    assert figure["data"]


def test_a_misspelt_property_would_be_found() -> None:
    with pytest.raises(ValueError, match="colour"):
        go.Figure(chart([{"type": "scatter", "y": [1], "line": {"colour": "red"}}], {}))
