"""What the first reader would wait for, loaded while their browser fetches the frontend.

Importing PyTorch takes about a second of computing. Left to the first page that needs it, that
second begins only when the browser has come with its question.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import AsyncIterator

import streamlit as st


@contextlib.asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Begin to load when the server starts, and let it serve meanwhile."""
    threading.Thread(target=load_start_page, name="warm", daemon=True).start()
    yield


def load_start_page() -> None:
    """Import what the start page imports.

    A page that comes to the same import meanwhile waits for it at Python's own lock. Two things
    must hold for that, and `tests/test_imports.py` sees to them: modules import each other in no
    circle, and `import torch` stands before any import of a part of it, since a part of a package
    that is half there doesn't wait.

    Without a pause, the collector would go through a growing heap again and again (a quarter of a
    million objects at the end, a fifth of the time) to free next to nothing. See `load.settle`.
    """
    gc.disable()
    try:
        from pages.shared import bench, chapter, contents, load, map_pictures, player  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()
