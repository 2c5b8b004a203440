"""Every chart speaks the part of plotly's language that the component draws, and no more."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pages.shared.figures import chart
from pages.shared.plot import as_text, parse_click
from tests.app.plots import plots
from tests.app.test_figures import KINDS
from tests.app.test_pages import open_page

# Properties as paths, without indices. What is in brackets may hold anything.
TRACE = {
    "type", "x", "y", "mode", "name", "opacity", "hoverinfo", "hovertemplate", "xaxis", "yaxis",
    "[text]", "[customdata]", "line.color", "line.dash", "line.width", "line.shape",
    "marker.color", "marker.size", "marker.symbol", "marker.opacity", "marker.line.width",
    "marker.line.color", "[textfont]", "error_y.array", "error_y.color",
    "fill", "fillcolor", "z", "zmin", "zmax", "[colorscale]", "showscale", "xgap", "ygap", "width",
}  # fmt: skip
AXIS = {
    "title.text", "title.standoff", "type", "range", "autorange", "[tickvals]", "[ticktext]",
    "nticks", "dtick", "tickfont.size", "exponentformat", "showexponent", "showgrid", "zeroline",
    "showline", "fixedrange", "showspikes", "ticks", "domain", "anchor", "matches",
    "showticklabels",
}  # fmt: skip
LAYOUT = {
    "title.text", "title.font.size", "title.font.color", "title.x", "title.xref", "title.y",
    "title.yanchor", "height", "margin.l", "margin.r", "margin.t", "margin.b", "showlegend",
    "hovermode", "paper_bgcolor", "plot_bgcolor", "barmode", "bargap",
    *(f"annotations.{key}" for key in (
        "x", "y", "xref", "yref", "text", "font.size", "font.color", "showarrow", "xanchor",
        "yanchor", "xshift", "yshift",
    )),
    *(f"shapes.{key}" for key in (
        "type", "x0", "x1", "y0", "y1", "xref", "yref", "line.color", "line.width", "line.dash",
        "fillcolor", "layer", "opacity",
    )),
}  # fmt: skip
VALUES = {
    "type": {"scatter", "bar", "heatmap"},
    "mode": {"lines", "markers", "text", "lines+markers"},
    "hovermode": {"x unified", "closest"},
    "barmode": {"stack", "overlay"},
    "symbol": {"circle", "circle-open", "square", "diamond", "line-ew"},
    "layer": {"above", "below"},
    "dash": {"solid", "dash", "dot", "dashdot", "longdash"},
    "fill": {"toself"},
    "xgap": {1},
    "showscale": {False},
    "showlegend": {False},
    "showarrow": {False},
}
"""Properties whose other values would be drawn as if they were these."""
FORMAT = re.compile(r"%\{\w+(\[\d+\])?(:\.\d+[gf])?\}")


def leaves(item: Any, path: str, known: set[str]) -> Iterator[tuple[str, Any]]:
    """Each property's path and value; lists of records are walked, lists of values are not."""
    if f"[{path}]" in known:
        yield f"[{path}]", None
    elif isinstance(item, dict):
        for key, value in item.items():
            yield from leaves(value, f"{path}.{key}".lstrip("."), known)
    elif isinstance(item, list) and item and isinstance(item[0], dict):
        for value in item:
            yield from leaves(value, path, known)
    else:
        yield path, item


def check(figure: dict[str, Any]) -> None:
    """Raise where a chart asks for something that would not be drawn."""
    figure["layout"] = {k: v for k, v in figure["layout"].items() if v != []}
    told = [(path, value, TRACE) for trace in figure["data"] for path, value in
            leaves(trace, "", TRACE)]  # fmt: skip
    for key, value in figure["layout"].items():
        known, top = (AXIS, value) if re.fullmatch(r"[xy]axis\d*", key) else (LAYOUT, {key: value})
        told += [(path, v, known) for path, v in leaves(top, "", known)]
        assert known is LAYOUT or value.get("type", "linear") in {"linear", "log", "category"}
    for path, value, known in told:
        assert path in known, f"the component draws no {path} = {value!r}"
        name = path.rsplit(".", 1)[-1]
        if name in VALUES and (known is TRACE or name != "type"):
            for one in value if isinstance(value, list) else [value]:
                assert one in VALUES[name], f"{path} = {one!r}"
    for trace in figure["data"]:
        for marked in re.findall(r"%\{[^}]*\}", trace.get("hovertemplate") or ""):
            assert FORMAT.fullmatch(marked), marked
    for shape in figure["layout"].get("shapes", ()):
        assert shape["type"] in {"rect", "line"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_component_draws_all_that_a_chart_asks_for(kind: str) -> None:
    check(json.loads(as_text(KINDS[kind]())))


VIEWS = [
    ("discrete_posterior", {}, 1),
    ("discrete_posterior", {"dview": "Bayes' rule as a table"}, 1),
    ("elbo", {}, 1),
    ("elbo", {"eb_view": "Decoder"}, 2),
    ("elbo", {"eb_view": "Estimator"}, 2),
    ("elbo", {"eb_view": "Two decompositions"}, 1),
    ("elbo", {"eb_view": "Three forms"}, 2),
    ("elbo", {"eb_view": "Weights"}, 1),
    ("elbo", {"eb_view": "Test set"}, 1),
    ("formula_detective", {}, 1),
    ("learned_schedule", {}, 2),
    ("learned_schedule", {"ls_view": "T steps"}, 1),
    ("learned_schedule", {"ls_view": "The ends"}, 2),
    ("noise_schedules", {}, 0),
    ("posterior", {"pview": "Weights"}, 2),
    ("posterior", {"pview": "β or β̃?"}, 1),
    ("reverse_rules", {}, 3),
    ("reverse_rules", {"ruview": "One row"}, 4),
    ("reverse_rules", {"ruview": "Whole chain"}, 2),
    ("reverse_sampling", {}, 2),
    ("transition_matrices", {}, 3),
    ("transition_matrices", {"tview": "Forgetting"}, 2),
    ("why_a_model", {"wview": "How Gaussian?"}, 2),
    ("x0_vs_eps", {"xview": "Loss weights"}, 2),
    ("x0_vs_eps", {"xview": "Rounding"}, 1),
    ("x0_vs_eps", {"xview": "Errors"}, 2),
    ("x0_vs_eps", {"xview": "Errors", "xpart": "Which noise?"}, 1),
]


@pytest.mark.parametrize(("page", "query", "least"), VIEWS)
def test_every_page_asks_for_what_is_drawn(page: str, query: dict[str, str], least: int) -> None:
    at = open_page(page, **query)
    assert not at.exception
    shown = plots(at)
    assert len(shown) >= least
    for figure in shown:
        check(figure)


def test_a_property_that_is_not_drawn_is_found() -> None:
    for trace, layout in (
        ({"type": "scatter", "y": [1], "fill": "tozeroy", "x": [1]}, {}),
        ({"type": "pie"}, {}),
        ({"type": "scatter", "y": [1], "hovertemplate": "%{y:.0%}"}, {}),
        ({"type": "scatter", "y": [1]}, {"legend": {"x": 1}}),
        ({"type": "scatter", "y": [1]}, {"xaxis": {"rangeslider": {"visible": True}}}),
    ):
        with pytest.raises(AssertionError):
            check(json.loads(as_text(chart([trace], layout))))


def test_streamlits_own_charts_are_used_nowhere() -> None:
    for path in (Path(__file__).parents[2] / "pages").rglob("*.py"):
        assert ".plotly_chart(" not in path.read_text(encoding="utf-8"), path


def test_numbers_that_json_lacks_become_gaps() -> None:
    trace = {"type": "scatter", "x": [1.0, 2.0], "y": np.array([math.nan, math.inf])}
    told = json.loads(as_text(chart([trace], {"height": np.int64(200)})))
    assert told["data"][0]["y"] == [None, None]
    assert told["layout"] == {"height": 200}


@pytest.mark.parametrize(
    "message",
    [None, 3, "x", [], {}, {"x": 1}, {"x": "1", "y": 2}, {"x": math.nan, "y": 0},
     {"x": True, "y": 1}, {"x": None, "y": None}, {"x": math.inf, "y": 1}, {"x": [1], "y": 2},
     {"x": 10**400, "y": 1}],
)  # fmt: skip
def test_a_click_that_is_none_is_ignored(message: object) -> None:
    assert parse_click(message) is None
    assert parse_click({"x": 3, "y": 0.5}) == (3.0, 0.5)


@pytest.mark.parametrize(("low", "high"), [(-3, 3), (-12.5, 9.5), (-30, 30), (-320, 300)])
@pytest.mark.parametrize("kind", [list, np.array, lambda v: np.reshape(v, (20, -1)).tolist()])
def test_numbers_keep_six_digits(low: float, high: float, kind: Callable[[Any], Any]) -> None:
    rng = np.random.default_rng(0)
    values = 10.0 ** rng.uniform(low, high, 2000) * rng.choice([-1.0, 1.0], 2000)
    values[:3] = 0.0, 999999.5, -0.1
    told = np.ravel(json.loads(as_text({"y": kind(values.tolist())}))["y"])
    assert told.tolist() == [float(f"{v:.6g}") for v in values]
    shortest = len(json.dumps([float(f"{v:.6g}") for v in values]))
    assert len(json.dumps(told.tolist())) == shortest


@pytest.mark.parametrize("kind", [list, np.array])
def test_what_is_no_number_is_null_among_many(kind: Callable[[Any], Any]) -> None:
    values = [0.5, math.nan, math.inf, -math.inf, 1e-300, 0.0]
    assert json.loads(as_text({"y": kind(values)}))["y"] == [0.5, None, None, None, 1e-300, 0]
