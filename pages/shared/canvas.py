"""A sheet to draw a digit on, at the resolution that the network sees."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import streamlit as st

from pages.shared.component import component

_component = component("canvas")


def _ignore() -> None:
    """Stand in for a callback: naming one is what makes Streamlit deliver the value."""


def canvas(
    *, key: str, initial: np.ndarray | None = None, side: int = 28, label: str = "Draw a digit"
) -> np.ndarray:
    """Show a sheet to draw on with mouse, finger or keyboard.

    Args:
        key: The component's key.
        initial: uint8 `[side, side]` that is on the sheet at first; another picture is another
            sheet and replaces what was drawn.
        side: Pixels a side.
        label: What a screen reader calls the sheet.

    Returns:
        uint8 `[side, side]`, ink (255) on black (0); sent when the pen is lifted. What was drawn
        outlives a rerun and a visit to another page.

    Raises:
        ValueError: If `initial` has another shape or type.
    """
    blank = np.zeros((side, side), np.uint8)
    first = blank if initial is None else np.ascontiguousarray(initial)
    if first.dtype != np.uint8 or first.shape != (side, side):
        raise ValueError(f"initial: {first.dtype} {first.shape}, not uint8 {(side, side)}")
    sheet = hashlib.blake2b(first.tobytes(), digest_size=8)

    # Streamlit forgets a component's value with the page; what was drawn is remembered here.
    # The state is read before the mount, so that a remounted sheet starts with all of it.
    memory = f"_canvas_{key}"
    state = st.session_state.get(key)
    sent = parse_ink(state.get("ink") if isinstance(state, dict) else None, sheet.hexdigest(), side)
    if sent is not None:
        st.session_state[memory] = (sheet.hexdigest(), sent)
    known, drawn = st.session_state.get(memory, ("", first))
    if known != sheet.hexdigest():
        drawn = first

    name = label.encode()
    data = struct.pack("<H", len(name)) + name + sheet.digest() + drawn.tobytes()
    _component(key=key, data=data, on_ink_change=_ignore)
    return drawn.copy()


def parse_ink(message: object, sheet: str, side: int) -> np.ndarray | None:
    """Check what a browser sent, which may be anything.

    Args:
        message: `{"sheet": str, "pixels": [int]}` if it is honest.
        sheet: The sheet that is on the page now; ink for another is stale.
        side: Pixels a side.

    Returns:
        uint8 `[side, side]`, or None if it is not ink for this sheet.
    """
    if not isinstance(message, dict) or message.get("sheet") != sheet:
        return None
    pixels = message.get("pixels")
    if not isinstance(pixels, list) or len(pixels) != side * side:
        return None
    if not all(type(v) is int and 0 <= v <= 255 for v in pixels):
        return None
    return np.array(pixels, np.uint8).reshape(side, side)
