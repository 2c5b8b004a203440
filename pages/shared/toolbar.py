"""The tools of every page: copy link, reset, presentation mode, lesson."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from pages.shared import lesson
from pages.shared.component import component
from pages.shared.state import has_defaults, jumps, reset_state, show_offered

_PRESENT = "present"
_TOOLS = "copy_link"
_HERE = Path(__file__).parent


_copy_link = component(_TOOLS)


def toolbar(title: str = "") -> None:
    """Draw the tools in the current container; `chapter.header` calls this.

    Args:
        title: the page's title.
    """
    _copy_link(key=_TOOLS, data={"jumps": jumps()}, width="content", on_show_change=_pressed)
    if has_defaults():
        st.button(
            "Reset",
            key="reset",
            type="tertiary",
            icon=":material/restart_alt:",
            on_click=reset_state,
            help="Put every control of this page back to where it started",
        )
    lesson.editor(title)
    on = presenting()
    st.button(
        "Leave presentation" if on else "Present",
        key="toggle_present",
        type="tertiary",
        icon=":material/close_fullscreen:" if on else ":material/slideshow:",
        on_click=_present,
        args=(not on,),
        help="Back to the sidebar and the usual size; the key p does the same"
        if on
        else "Large type, no sidebar, for a projector; the key p does the same",
    )
    if on:
        st.html(f"<style>{(_HERE / 'present.css').read_text(encoding='utf-8')}</style>")


def _pressed() -> None:
    """Answer a button that stands in the text; copy_link.js hears all of them."""
    state = st.session_state.get(_TOOLS)
    show_offered(state.get("show") if isinstance(state, Mapping) else None)


def presenting() -> bool:
    """Whether presentation mode is on: `?present=1`, kept while the reader moves between pages."""
    if st.query_params.get(_PRESENT) == "1":
        st.session_state[_PRESENT] = True
    elif st.session_state.get(_PRESENT):
        st.query_params[_PRESENT] = "1"
    return bool(st.session_state.get(_PRESENT))


def _present(on: bool) -> None:
    st.session_state[_PRESENT] = on
    if on:
        st.query_params[_PRESENT] = "1"
    else:
        st.query_params.pop(_PRESENT, None)
