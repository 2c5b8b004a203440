"""A data distribution as bars that can be pulled, and as text that can be shared."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import streamlit as st

from pages.shared.component import component
from pages.shared.palette import COLORS

LEAST, MOST = 2, 5
"""Real states: [MASK] makes one more."""
START = "0.304 0.257 0.404 0.035"
_MOST_CHARACTERS = 200

_component = component("distribution_bars")


class Distribution(NamedTuple):
    """Probabilities that sum to 1, and what was mended.

    Attributes:
        probs: one per real state.
        note: one sentence, or "".
    """

    probs: tuple[float, ...]
    note: str = ""


def read_distribution(text: str) -> Distribution:
    """Probabilities that a reader typed; whatever can't be used is replaced, and said."""
    words = [word for word in re.split(r"[\s,;]+", text.strip()[:_MOST_CHARACTERS]) if word]
    try:
        weights = [float(word) for word in words]
    except ValueError:
        return _instead("not every entry is a number")
    if len(weights) < LEAST:
        return _instead(f"at least {LEAST} states are needed")
    if not all(map(math.isfinite, weights)):
        return _instead("a probability must be a finite number")
    if min(weights) < 0:
        return _instead(f"{min(weights):g} is below 0, so it is no probability")
    too_many = len(weights) - MOST
    weights = weights[:MOST]
    total = sum(weights)
    if total == 0:
        return _instead("all are 0, so nothing could ever happen")
    if not math.isfinite(total):
        return _instead("these numbers are too large to add up")
    probs = tuple(weight / total for weight in weights)
    if too_many > 0:
        return Distribution(
            probs,
            f"{too_many + MOST} states are more than these matrices can show: the first {MOST} are "
            "used, divided by their sum.",
        )
    if abs(total - 1) > 0.001 * len(weights):  # more than rounding to three digits does
        return Distribution(probs, f"They sum to {total:g}; each is divided by that.")
    return Distribution(probs)


def _instead(trouble: str) -> Distribution:
    return Distribution(
        read_distribution(START).probs, f"{trouble.capitalize()}: {START} is used instead."
    )


def distribution_bars(
    text: str,
    probs: tuple[float, ...],
    *,
    key: str,
    on_text: Callable[[str], None],
    label: str,
    color: str = "x0",
    names: str = "01234",
    each: str = "Probability of state # in the data",
    what: str = "states",
    places: int = 2,
) -> None:
    """Show bars that mouse, finger and keyboard can pull; they always sum to 1.

    Args:
        text: where the numbers come from: bars that sent it know it when it comes back.
        probs: one per state.
        key: the component's key.
        on_text: called before the rerun with the new numbers as text (see `read_distribution`).
        label: what a screen reader calls the bars.
        color: a key of `COLORS`.
        names: a character per state.
        each: what a screen reader calls one bar, its name in the place of the #.
        what: what the bars are, on the button that adds one.
        places: decimals above a bar; a 0 in the third place is left out.
    """

    def moved() -> None:
        state = st.session_state.get(key)
        sent = parse_bars(state.get("drawing") if isinstance(state, dict) else None)
        if sent is not None:
            on_text(sent)

    _component(
        key=key,
        data={
            "text": text,
            "probs": list(probs),
            "least": LEAST,
            "most": MOST,
            "color": COLORS[color],
            "label": label,
            "names": list(names),
            "each": each,
            "what": what,
            "places": places,
        },
        on_drawing_change=moved,
    )


def parse_bars(message: object) -> str | None:
    """Check what a browser sent, which may be anything.

    Args:
        message: `{"text": "0.5 0.5", "count": 3}` if it is honest; the count makes every message
            another one, so that the same bars can be sent twice.

    Returns:
        The text, or None if it holds no distribution.
    """
    text = message.get("text") if isinstance(message, dict) else None
    if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
        return None
    return None if read_distribution(text).note else text
