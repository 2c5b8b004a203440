"""A falling curve drawn through points that can be dragged: a noise schedule by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from diffusion_core.drawn import MOST_POINTS, Point, read_points, write_points
from pages.shared.component import component
from pages.shared.palette import COLORS

_MOST_CHARACTERS = 400

_component = component("curve_editor")


def curve_editor(
    points: Sequence[Point],
    *,
    key: str,
    on_text: Callable[[str], None],
    color: str = "q",
    label: str = "The drawn schedule",
) -> None:
    """Show a curve from (0, 1) through points that mouse, finger and keyboard can move.

    Args:
        points: (t / T, alpha_bar) as `from_points` takes them.
        key: The component's key.
        on_text: Called before the rerun with the new points as text (see `read_points`). It puts
            them where `points` come from, e.g. into the state of a bound text input, whose
            address can then be shared.
        color: The concept that the curve is coloured by, a key of `COLORS`.
        label: What a screen reader calls the drawing.
    """

    def moved() -> None:
        state = st.session_state.get(key)
        text = parse_drawing(state.get("drawing") if isinstance(state, dict) else None)
        if text is not None:
            on_text(text)

    _component(
        key=key,
        data={
            "text": write_points(points),
            "points": [list(point) for point in points],
            "most": MOST_POINTS,
            "color": COLORS[color],
            "label": label,
        },
        on_drawing_change=moved,
    )


def parse_drawing(message: object) -> str | None:
    """Check what a browser sent, which may be anything.

    Args:
        message: `{"text": "0.5:0.4,1:0", "count": 3}` if it is honest; the count makes every
            message another one, so that the same drawing can be sent twice.

    Returns:
        The text, or None if it holds no points.
    """
    text = message.get("text") if isinstance(message, dict) else None
    if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
        return None
    try:
        read_points(text)
    except ValueError:
        return None
    return text
