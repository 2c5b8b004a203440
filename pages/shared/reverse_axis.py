"""A number line with the true reverse step on it: drag the data, x_t, t and the step's length."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st

from pages.shared.component import component
from pages.shared.palette import COLORS

LIMIT = 3.0
"""Points and x_t are dragged from -LIMIT to LIMIT."""
MOST_POINTS = 8
STEPS = (1000, 500, 200, 100, 50, 20, 10, 5, 4, 3, 2)
"""In how many steps T the whole way is walked: the fewer, the longer each one is."""
SMALLEST = 1e-13
"""A divergence below this is rounding, here and in the browser."""
_MOST = 1e6  # of any number that a browser may send; also refuses what is no number
_NUMBER = re.compile(r"[-+−]?(?:\d+\.?\d*|\.\d+)", re.ASCII)

_component = component("reverse_axis")


class Scene(NamedTuple):
    """What is on the line.

    Attributes:
        points: the data, 1 to MOST_POINTS numbers.
        chosen: index of the point that is taken for x_0.
        x_t: the noisy value.
        t: where it sits.
        T: one of STEPS; the step goes back to s = t - 1000/T, or to 0.
    """

    points: tuple[float, ...]
    chosen: int
    x_t: float
    t: int
    T: int


class Told(NamedTuple):
    """What the server found for one of the three curves: mean, deviation, divergence in nats."""

    mean: float
    std: float
    nats: float


def earlier(t: int, T: int, whole: int = 1000) -> int:
    """The step s that one of T equal steps leads back to from t, never before 0."""
    return max(0, t - round(whole / T))


def read_points(text: str) -> tuple[float, ...]:
    """Data from text such as "-1, 0.5 1", sorted, rounded to the hundredth.

    Raises:
        ValueError: one sentence about what is wrong.
    """
    parts = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
    if not parts:
        raise ValueError("There is no number in it.")
    if len(parts) > MOST_POINTS:
        raise ValueError(f"More than {MOST_POINTS} points don't fit.")
    wrong = next((part for part in parts if not _NUMBER.fullmatch(part)), None)
    if wrong is not None:
        raise ValueError(f"“{wrong[:20]}” is no number.")
    points = [round(float(part.replace("−", "-")), 2) + 0.0 for part in parts]
    if max(map(abs, points)) > LIMIT:
        raise ValueError(f"Points lie between −{LIMIT:g} and {LIMIT:g}.")
    return tuple(sorted(points))


def write_points(points: Sequence[float]) -> str:
    """Points as `read_points` reads them."""
    return ", ".join(f"{point:g}" for point in points)


def reverse_axis(
    alpha_bar: np.ndarray,
    scene: Scene,
    *,
    key: str,
    told: dict[str, Told],
    on_move: Callable[[Scene], None],
) -> None:
    """Show q(x_s|x_t) of a few points beside q(x_s|x_t,x_0) and the best Gaussian model's step.

    The browser draws from the closed forms and sums the divergence itself, so that everything
    follows the finger; when a handle is let go the server's numbers take their place.

    Args:
        alpha_bar: float64 [1001].
        scene: where the handles stand.
        key: the component's key.
        told: the server's numbers for "true" (nats: from its nearest Gaussian), "known", "model".
        on_move: called before the next script run with what the reader let go of.
    """
    message = _message(key)
    echo = message.get("n") if isinstance(message, dict) else None

    def moved() -> None:
        found = parse_scene(_message(key), len(alpha_bar) - 1)
        if found is not None:
            on_move(found)

    header = {
        "at": scene._asdict(),
        "echo": echo if type(echo) is int else 0,
        "limit": LIMIT,
        "most": MOST_POINTS,
        "steps": STEPS,
        "smallest": SMALLEST,
        "told": {name: _plain(numbers) for name, numbers in told.items()},
        "colors": COLORS,
        "label": "The reverse step on a number line",
    }
    text = json.dumps(header, allow_nan=False).encode()
    table = np.ascontiguousarray(alpha_bar, dtype="<f8").tobytes()
    data = struct.pack("<I", len(text)) + text + table
    _component(key=key, data=data, on_scene_change=moved)


def parse_scene(message: object, whole: int) -> Scene | None:
    """Check what a browser sent, which may be anything.

    Args:
        message: a scene's fields by name if it is honest.
        whole: steps of the process.

    Returns:
        The scene, numbers rounded to the hundredth, or None if it is no such scene.
    """
    if not isinstance(message, dict) or not isinstance(message.get("points"), list):
        return None
    points, counts = message["points"], [message.get(k) for k in ("chosen", "t", "T")]
    numbers = [*points, message.get("x_t"), *counts]
    if not 1 <= len(points) <= MOST_POINTS:
        return None
    # A whole number arrives as an int or, from the same JavaScript value, as a float.
    if not all(type(v) in (int, float) and abs(v) <= _MOST for v in numbers):
        return None
    chosen, t, T = map(int, counts)
    *placed, x_t = (round(float(v), 2) + 0.0 for v in numbers[:-3])
    if max(map(abs, [*placed, x_t])) > LIMIT or [chosen, t, T] != counts:
        return None
    if not (0 <= chosen < len(points) and 1 <= t <= whole and T in STEPS):
        return None
    return Scene(tuple(placed), chosen, x_t, t, T)


def _message(key: str) -> object:
    state = st.session_state.get(key)
    return state.get("scene") if isinstance(state, dict) else None


def _plain(told: Told) -> dict[str, float | None]:
    """As JSON, which has no infinity: None stands for it."""
    return {name: value if math.isfinite(value) else None for name, value in told._asdict().items()}
