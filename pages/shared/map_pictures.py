"""The small pictures of the start page's map, which tools/thumbnails draws, as one style sheet.

A style sheet is no element of the page, and all pictures are one image in it: a browser opens a
document for each SVG image. The pictures' colours serve both themes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).with_name("thumbnails")
WIDTH, HEIGHT = 96, 64
"""What each has in the image that holds all; 8 pixels of the height keep it from the next."""


@cache
def style() -> str:
    """A style element that gives each link of the map the picture of its page.

    They are decoration: a screen reader is told nothing of them.
    """
    files = sorted(FOLDER.glob("*.svg"))
    rules = [f'.cards a::before {{ background-image: url("{_address(files)}") }}']
    for k, path in enumerate(files):
        place = f"0 {-k * HEIGHT / 16:g}rem"
        rules.append(f'.cards a[href="{path.stem}"]::before {{ background-position: {place} }}')
    return "<style>\n" + "\n".join(rules) + "\n</style>"


def _address(files: list[Path]) -> str:
    """The image as an address; no sign in it ends a string, a tag or an address."""
    texts = [path.read_text(encoding="utf-8").strip() for path in files]
    below = [text.replace("<svg ", f"<svg y='{k * HEIGHT}' ", 1) for k, text in enumerate(texts)]
    size = f"width='{WIDTH}' height='{len(files) * HEIGHT}'"
    whole = f"<svg xmlns='http://www.w3.org/2000/svg' {size}>{''.join(below)}</svg>"
    for sign in '%"<>#':
        whole = whole.replace(sign, f"%{ord(sign):02X}")
    return f"data:image/svg+xml,{whole}"
