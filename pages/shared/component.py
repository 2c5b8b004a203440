"""The app's own components, and how their code gets to the browser: once for each page.

With each answer Streamlit sends a component's JavaScript again, and the browser reads all of it to
see whether it has changed. Most of what a slider's move sent was code. So what goes along is a few
lines that ask the page for the code, and `code` brings that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

_ASSETS = Path(__file__).parent / "components"


def component(name: str) -> Callable[..., Any]:
    """What mounts a component of `components/`: its .html and .css, and the .js of that name.

    Args:
        name: what its files are called.

    Returns:
        Streamlit's function that mounts it: key, data, callbacks.
    """
    caller = f"const NAME = {json.dumps(name)};\n" + _read("shelf.js") + _read("caller.js")
    return st.components.v2.component(
        f"diffusion_{name}", html=_read(f"{name}.html"), css=_read(f"{name}.css"), js=caller
    )


def code() -> None:
    """Bring the code of all components; `chapter.header` calls this.

    While a page is shown, Streamlit sends what is unchanged only once. From app.py it would be once
    for all pages, but there a page left while its player fetched brought the frontend down more
    often (see `leaving` in player.js).
    """
    _bring(key="components_code", data=_sources())


@cache
def _sources() -> bytes:
    """Name -> JavaScript as JSON. A component's parts, as in plot_scales.js, stand before it."""
    names = [path.stem for path in sorted(_ASSETS.glob("*.html"))]
    parts = {
        name: [*sorted(_ASSETS.glob(f"{name}_*.js")), _ASSETS / f"{name}.js"] for name in names
    }
    sources = {name: "\n".join(map(_text, paths)) for name, paths in parts.items()}
    return json.dumps(sources).encode()


def _read(name: str) -> str:
    return _text(_ASSETS / name)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


_bring = st.components.v2.component(
    "diffusion_code", js=_read("shelf.js") + _read("code.js"), isolate_styles=False
)
