"""A chart on the page: a figure of plotly's, drawn once for each answer.

Measured in Chromium on two cores: `st.plotly_chart` takes a figure that has changed for another
chart, mounts it anew and draws it several times on the way; plotly.js alone takes 10 to 30 ms to
draw one of ours, and this component 5 to 10. That leaves a slider's answer its 150 ms where a page
has three charts. No page loads plotly.js, either: it is 4.7 MB.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from math import isfinite
from typing import Any

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.shared.component import component
from pages.shared.figures import Figure

_FAR = 1e9  # no cell or point of ours lies there
_SMALL = 1e-12

_component = component("plot")


def plot(
    figure: Figure,
    *,
    key: str,
    alt: str,
    place: DeltaGenerator | None = None,
    on_click: Callable[[float, float], None] | None = None,
) -> None:
    """Show a chart; what is pointed at, or reached with the arrow keys, says its numbers.

    Args:
        figure: what is drawn; the component knows what tests/app/test_plot.py lists.
        key: the component's key.
        alt: what a screen reader calls the chart.
        place: container or column; None for where the script is.
        on_click: called before the rerun with x and y of the point or cell that was chosen.
    """

    def clicked() -> None:
        state = st.session_state.get(key)
        at = parse_click(state.get("clicked") if isinstance(state, dict) else None)
        if on_click and at:
            on_click(*at)

    data = {"figure": as_text(figure), "alt": alt, "clickable": on_click is not None}
    with nullcontext() if place is None else place:
        _component(key=key, data=data, on_clicked_change=clicked)


def parse_click(message: object) -> tuple[float, float] | None:
    """Check what a browser sent, which may be anything: `{"x": 3, "y": 0.5}` if it is honest."""
    if not isinstance(message, Mapping):
        return None
    at = message.get("x"), message.get("y")
    known = [float(v) for v in at if type(v) in (int, float) and abs(v) < _FAR]  # NaN is not
    return (known[0], known[1]) if len(known) == 2 else None


def as_text(figure: Figure) -> str:
    """The figure as JSON: numbers of six digits, null for those that JSON doesn't have."""
    return json.dumps(_plain(figure), allow_nan=False)


def _plain(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _plain(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        if set(map(type, item)) != {float}:
            return [_plain(value) for value in item]
        item = np.array(item)
    if isinstance(item, np.ndarray):
        if item.dtype.kind in "iub":
            return item.tolist()  # as it is, and JSON has it
        return _short(item) if item.dtype.kind == "f" else _plain(item.tolist())
    if isinstance(item, np.generic):
        return _plain(item.item())
    if isinstance(item, float):
        return float(f"{item:.6g}") if isfinite(item) else None
    return item


def _short(values: np.ndarray) -> list[Any]:
    """Many numbers at once, the same: a chart has thousands, and each would take a microsecond."""
    size = np.abs(values.astype(np.float64))
    plain = np.isfinite(size) & (size > _SMALL) & (size < _FAR)
    rest = ~plain & (size != 0)  # one by one: powers of ten that large or small are not exact
    digits = 5 - np.floor(np.log10(size, out=np.zeros_like(size), where=plain))
    up, down = 10.0 ** np.maximum(digits, 0), 10.0 ** np.maximum(-digits, 0)
    short = np.round(np.where(plain, values, 0.0) * up / down) * down / up
    if not rest.any():
        return list(short.tolist())
    return list(np.where(rest, np.vectorize(_plain, otypes=[object])(values), short).tolist())
