"""A number line with Bayes' rule on it: drag x_0 and x_t, the densities follow in the browser."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st

from pages.shared.component import component
from pages.shared.palette import COLORS

LIMIT = 3.0
"""x_0 and x_t are dragged from -LIMIT to LIMIT."""
_MOST = 1e6  # of any number that a browser may send; also refuses what is no number

_component = component("bayes_axis")


class Point(NamedTuple):
    """Where the four handles stand: 0 <= s < t."""

    x0: float
    x_t: float
    t: int
    s: int


class Moments(NamedTuple):
    """What the server found: mean, standard deviation, log of the area under the product."""

    mean: float
    std: float
    log_area: float


def bayes_axis(
    alpha_bar: np.ndarray,
    at: Point,
    *,
    key: str,
    closed: Moments,
    summed: Moments,
    residual: float,
    points: Sequence[float] = (-1.0, 1.0),
    forgotten: bool = False,
    on_move: Callable[[Point], None],
) -> None:
    """Show q(x_t|x_s), q(x_s|x_0) and their normalised product over x_s, with draggable handles.

    The browser draws from the closed form, without asking; the server's numbers stand beside its
    own and are asked for when a handle is let go.

    Args:
        alpha_bar: float64 [T+1].
        at: where the handles stand.
        key: the component's key.
        closed: what `GaussianDiffusion.q_posterior` says at `at`.
        summed: what the quadrature says there.
        residual: the largest gap between the two, as a share of the peak.
        points: the data when x_0 is forgotten, equally likely.
        forgotten: whether q(x_s|x_t) over these points is drawn, too.
        on_move: called before the next script run with where the reader let go.
    """
    T = len(alpha_bar) - 1
    message = _message(key)
    echo = message.get("n") if isinstance(message, dict) else None

    def moved() -> None:
        point = parse_point(_message(key), T)
        if point is not None:
            on_move(point)

    header = {
        "at": {"x0": at.x0, "xt": at.x_t, "t": at.t, "s": at.s},
        "echo": echo if type(echo) is int else 0,
        "limit": LIMIT,
        "points": list(points),
        "forgotten": forgotten,
        "closed": _told(closed),
        "summed": _told(summed),
        "residual": residual,
        "colors": COLORS,
        "label": "Bayes' rule on a number line",
    }
    text = json.dumps(header, allow_nan=False).encode()
    table = np.ascontiguousarray(alpha_bar, dtype="<f8").tobytes()
    data = struct.pack("<I", len(text)) + text + table
    _component(key=key, data=data, on_point_change=moved)


def parse_point(message: object, T: int) -> Point | None:
    """Check what a browser sent, which may be anything.

    Args:
        message: `{"x0": float, "xt": float, "t": int, "s": int}` if it is honest.
        T: steps of the process.

    Returns:
        The point, numbers rounded to the hundredth, or None if it is no such point.
    """
    if not isinstance(message, dict):
        return None
    numbers = [message.get("x0"), message.get("xt")]
    steps = [message.get("t"), message.get("s")]
    # A whole number arrives as an int or, from the same JavaScript value, as a float.
    if not all(type(v) in (int, float) and abs(v) <= _MOST for v in numbers + steps):
        return None
    x0, x_t = (round(float(v), 2) for v in numbers)
    t, s = map(int, steps)
    if max(abs(x0), abs(x_t)) > LIMIT or [t, s] != steps:
        return None
    return Point(x0, x_t, t, s) if 0 <= s < t <= T else None


def _message(key: str) -> object:
    state = st.session_state.get(key)
    return state.get("point") if isinstance(state, dict) else None


def _told(moments: Moments) -> dict[str, float]:
    return {"mean": moments.mean, "std": moments.std, "logArea": moments.log_area}
