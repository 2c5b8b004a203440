"""Transition matrices as pictures: heat maps whose cells speak, in the style of `figures`.

No Streamlit here. Rows are "from".
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from pages.shared.figures import BARE, CLEAR, Figure, chart
from pages.shared.palette import COLORS

MOST_CELLS = 32  # per side: more can't be told apart, or pointed at
WRITTEN = 8  # per side: up to here each cell has its number
INK = {False: "#22262b", True: "#ffffff"}
"""What is written on the cells, by whether the page is dark."""
FLOOR = -6.0  # log10 of the smallest probability that has a colour


def spoken(p: float) -> str:
    """A probability in a few characters."""
    if p == 0:
        return "0"
    if p > 0.9995:
        return "1" if p == 1 else "0.999…"
    return f"{p:.3f}" if p >= 0.00095 else f"{p:.0e}".replace("e-0", "e-")


def shade(p: np.ndarray, log: bool) -> np.ndarray:
    """What a cell's colour says, 0..1: the probability, or its logarithm from 1e-6 up; 0 is 0."""
    if not log:
        return np.asarray(p)
    with np.errstate(divide="ignore"):
        return np.where(p > 0, np.clip(1 - np.log10(p) / FLOOR, 0.04, 1), 0.0)


def heat(p: np.ndarray, words: str, *, log: bool, **options: object) -> dict[str, Any]:
    """Cells [rows, columns] in shades of the true process's colour, 0 in none.

    Args:
        p: probabilities.
        words: what a cell says when it is pointed at; `%{x}`, `%{y}`, `%{customdata}` are filled.
        log: whether the shade is that of the logarithm.
        options: further properties of the heat map.
    """
    red, green, blue = (int(COLORS["q"][i : i + 2], 16) for i in (1, 3, 5))
    ink = f"{red}, {green}, {blue}"
    shades = [[0, f"rgba({ink}, 0)"], [0.001, f"rgba({ink}, 0.07)"], [1, f"rgba({ink}, 1)"]]
    return {
        "type": "heatmap",
        "z": shade(p, log),
        "customdata": p,
        "zmin": 0,
        "zmax": 1,
        "colorscale": shades,
        "showscale": False,
        "hovertemplate": words + "<extra></extra>",
        **options,
    }


def matrix_figure(
    p: np.ndarray,
    names: Sequence[str],
    *,
    title: str,
    words: str,
    rows: str,
    columns: str,
    row: int,
    column: int,
    log: bool,
    dark: bool = False,
    height: int = 300,
) -> Figure:
    """A matrix with one row and one column emphasised; cells can be pointed at and clicked.

    Args:
        p: [n, n] probabilities, rows are "from".
        names: one per state or block.
        title: set above, in the process's colour.
        words: what a cell says; see `heat`. `%{x}` and `%{y}` are names.
        rows: what the vertical axis is.
        columns: what the horizontal axis is.
        row: the emphasised row.
        column: the emphasised column.
        log: whether shades are of the logarithm.
        dark: whether the page is.
        height: pixels.
    """
    n = len(p)
    traces = [heat(p, words, log=log, x=list(names), y=list(names), xgap=1, ygap=1)]
    if n <= WRITTEN:
        traces.append(_numbers(p, log, dark))
    half, blue, gray = 0.5, COLORS["x0"], COLORS["xt"]
    edge = {"type": "rect", "fillcolor": "rgba(0,0,0,0)", "layer": "above"}
    across = {"x0": -half, "x1": n - half, "y0": row - half, "y1": row + half}
    down = {"x0": column - half, "x1": column + half, "y0": -half, "y1": n - half}
    shapes = [
        edge | across | {"line": {"color": blue, "width": 2}},
        edge | down | {"line": {"color": gray, "width": 2, "dash": "dot"}},
    ]
    every = max(1, -(-n // 16))
    axis = {
        "tickvals": list(range(0, n, every)),
        "ticktext": [names[k] for k in range(0, n, every)],
        "showspikes": True,  # the pointer's own row and column, drawn by the browser as it moves
    }
    x = axis | {"title": {"text": columns, "standoff": 4}, "range": [-half, n - half]}
    y = axis | {"title": {"text": rows, "standoff": 2}, "range": [n - half, -half]}
    return _dressed(traces, title, height, x, y, shapes)


def flow_figure(
    p: np.ndarray,
    names: Sequence[str],
    paths: np.ndarray,
    *,
    title: str,
    words: str,
    t: int,
    log: bool,
    dark: bool = False,
    height: int = 300,
) -> Figure:
    """Where one state is at every step: shades for the chances, lines for a few walks.

    Args:
        p: [T+1, n] probabilities at every t.
        names: one per state or block.
        paths: [T+1, walks], rows of `names`.
        title: set above.
        words: what a cell says; `%{x}` is t, `%{text}` the state's name.
        t: marked by a line.
        log: whether shades are of the logarithm.
        dark: whether the page is.
        height: pixels.
    """
    steps, n = p.shape
    shades = heat(
        p.T, words, log=log, x=list(range(steps)), y=list(range(n)),
        text=[[name] * steps for name in names],
    )  # fmt: skip
    walks = [
        {
            "type": "scatter",
            "x": list(range(steps)),
            "y": walk,
            "mode": "lines",
            "line": {"shape": "hv", "width": 1.2, "color": INK[dark]},
            "hoverinfo": "skip",
        }
        for walk in paths.T
    ]
    now = {
        "type": "line", "xref": "x", "yref": "paper", "x0": t, "x1": t, "y0": 0, "y1": 1,
        "line": {"color": INK[dark], "width": 1.5, "dash": "dot"},
    }  # fmt: skip
    every = max(1, -(-n // 16))
    x = {"title": {"text": "step t", "standoff": 4}, "range": [-0.5, steps - 0.5]}
    y = {
        "title": {"text": "state", "standoff": 2},
        "tickvals": list(range(0, n, every)),
        "ticktext": [names[k] for k in range(0, n, every)],
        "range": [n - 0.5, -0.5],
    }
    return _dressed([shades, *walks], title, height, x, y, [now])


def facets(
    p: np.ndarray,
    names: Sequence[str],
    *,
    titles: Sequence[str],
    words: Sequence[str],
    chosen: tuple[int, int],
    log: bool,
    height: int = 300,
    ends: tuple[str, str] = ("", ""),
) -> Figure:
    """Several matrices with the same states, in rows of four.

    Args:
        p: [m, n, n].
        names: one per state.
        titles: one per matrix.
        words: what a cell says, one per matrix.
        chosen: (matrix, row) that is emphasised.
        log: whether shades are of the logarithm.
        height: pixels per row of matrices.
        ends: what rows and columns are, said at the first matrix of each line.
    """
    m, n = p.shape[:2]
    columns = min(m, 4)
    lines = -(-m // columns)
    wide, high = (1 - 0.03 * (columns - 1)) / columns, (1 - 0.26 * (lines - 1)) / lines
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": [], "shapes": []}
    axes = ["", *map(str, range(2, m + 1))]  # as plotly numbers them
    for k, axis in enumerate(axes):
        left, top = (k % columns) * (wide + 0.03), 1 - (k // columns) * (high + 0.26)
        cells = heat(p[k], words[k], log=log, x=list(names), y=list(names), xgap=1, ygap=1)
        traces.append(cells | {"xaxis": f"x{axis}", "yaxis": f"y{axis}"})
        rows, to = ends if k % columns == 0 else ("", "")
        layout[f"xaxis{axis}"] = BARE | {
            "type": "category", "domain": [left, left + wide], "title": {"text": to, "standoff": 2},
        }  # fmt: skip
        layout[f"yaxis{axis}"] = BARE | {
            "type": "category", "autorange": "reversed", "domain": [top - high, top],
            "showticklabels": k % columns == 0, "title": {"text": rows, "standoff": 2},
        }  # fmt: skip
        layout["shapes"].append(
            {"type": "rect", "xref": f"x{axis}", "yref": f"y{axis}", "x0": -0.5, "x1": n - 0.5,
             "y0": -0.5, "y1": n - 0.5, "line": {"color": COLORS["xt"], "width": 1}}
        )  # fmt: skip
        layout["annotations"].append(
            {"xref": "paper", "yref": "paper", "x": left + wide / 2, "y": top, "yanchor": "bottom",
             "yshift": 6, "text": titles[k], "showarrow": False, "font": {"size": 14}}
        )  # fmt: skip
    at = axes[chosen[0]]
    layout["shapes"].append(
        {"type": "rect", "xref": f"x{at}", "yref": f"y{at}", "x0": -0.5, "x1": n - 0.5,
         "y0": chosen[1] - 0.5, "y1": chosen[1] + 0.5, "line": {"color": COLORS["x0"], "width": 2}}
    )  # fmt: skip
    margin = {"l": 48 if ends[0] else 34, "r": 8, "t": 30, "b": 44 if ends[1] else 28}
    layout |= {"height": height * lines, "margin": margin, "hovermode": "closest"}
    return chart(traces, layout | CLEAR)


def _numbers(p: np.ndarray, log: bool, dark: bool) -> dict[str, Any]:
    """Each cell's number, legible on its shade; as a trace, since notes are slow."""
    y, x = np.indices(p.shape).reshape(2, -1)
    white = np.ones(p.size, bool) if dark else shade(p, log).reshape(-1) > 0.6
    return {
        "type": "scatter", "x": x, "y": y, "mode": "text", "hoverinfo": "skip",
        "text": [spoken(float(v)) for v in p.reshape(-1)],
        "textfont": {"size": 11, "color": [INK[bool(w)] for w in white]},
    }  # fmt: skip


def _dressed(
    traces: list[dict[str, Any]],
    title: str,
    height: int,
    x: dict[str, object],
    y: dict[str, object],
    shapes: list[dict[str, object]],
) -> Figure:
    """The figure with its layout."""
    quiet = BARE | {"tickfont": {"size": 11}}
    layout = {
        "title": {"text": title, "font": {"size": 14}, "x": 0, "xref": "container", "y": 0.98},
        "height": height,
        "margin": {"l": 44, "r": 6, "t": 34, "b": 40},
        "hovermode": "closest",
        "xaxis": quiet | x,
        "yaxis": quiet | y,
        "shapes": shapes,
    }
    return chart(traces, layout | CLEAR)


def blocks_named(starts: Sequence[int], names: Sequence[str]) -> list[str]:
    """Names of blocks of states: "0-89"; a block of one keeps its state's name."""
    ends = [*starts[1:], len(names)]
    return [
        names[a] if b == a + 1 else f"{names[a]}–{names[b - 1]}"
        for a, b in zip(starts, ends, strict=True)
    ]


def corrupted_lines(rows: Sequence[tuple[str, str, str]], original: str) -> str:
    """Texts under each other, what differs from the original in the colour of noise, as HTML.

    Args:
        rows: (name, what is said of it, text) each; "▒" stands for [MASK].
        original: the clean text.
    """
    out = []
    for name, said, text in rows:
        letters = "".join(
            escape(a)
            if a == b
            else f'<b style="color:{COLORS["eps"]}">{escape("␣" if a == " " else a)}</b>'
            for a, b in zip(text, original, strict=True)
        )
        out.append(
            f'<div style="margin:0 0 .25rem"><div style="font-size:.85rem;opacity:.75">'
            f"<b>{escape(name)}</b> · {escape(said)}</div>"
            f'<div style="font-family:var(--st-code-font, monospace);font-size:1rem;'
            f'overflow-wrap:anywhere;white-space:pre-wrap;line-height:1.35">{letters}</div></div>'
        )
    return "".join(out)


def label_places(lines: Sequence[np.ndarray], spread: float = 0.12) -> list[int]:
    """Where each line's name can stand: far from the other lines and from the names before it.

    Args:
        lines: [n] each, over the same axis, values in about 0..1.
        spread: share of the axis that a name takes to either side.
    """
    table = np.stack(lines)
    n = table.shape[1]
    x = np.linspace(0, 1, n)
    places: list[int] = []
    for k, line in enumerate(table):
        gap = np.abs(np.delete(table, k, 0) - line - 0.05).min(0, initial=1.0)
        for other, at in enumerate(places):
            near = np.abs(x - x[at]) < 2 * spread
            gap = np.where(near & (np.abs(line - table[other][at]) < 0.12), -1, gap)
        gap = np.where((x < spread) | (x > 1 - spread), -2, gap)
        places.append(int(gap.argmax()))
    return places
