"""Answers that are ready before a reader asks for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

PAUSE = 0.02  # seconds between two answers, for whoever waits for the interpreter


def ahead(ask: Callable[..., object], settings: Iterable[tuple]) -> threading.Thread:
    """Compute the answers to a control that has few values, in the background, one by one.

    To be begun once in a process, from a function under `st.cache_resource`, when its page has been
    drawn. A reader who comes sooner to a value waits for it as without.

    Args:
        ask: a function under `st.cache_data`, which keeps the answers.
        settings: its arguments, one tuple per answer.
    """

    def answer() -> None:
        for setting in settings:
            ask(*setting)
            time.sleep(PAUSE)

    thread = threading.Thread(target=answer, name="ahead", daemon=True)
    thread.start()
    return thread
