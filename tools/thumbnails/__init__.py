"""Small pictures for the start page's map, one per page, drawn from what the pages compute.

`python -m tools.thumbnails` writes them to pages/shared/thumbnails/; the app only reads those.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tools.thumbnails import connections, discrete, gaussian, reference

FOLDER = Path(__file__).parents[2] / "pages" / "shared" / "thumbnails"

THUMBNAILS: dict[str, Callable[[], str]] = {
    **gaussian.THUMBNAILS,
    **discrete.THUMBNAILS,
    **connections.THUMBNAILS,
    **reference.THUMBNAILS,
}
"""A page's file name -> its picture, as SVG."""
