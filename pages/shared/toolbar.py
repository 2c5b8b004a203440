"""The tools of every page: copy link, reset, presentation mode, lesson."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex

import streamlit as st

from pages.shared import lesson
from pages.shared.component import component
from pages.shared.state import has_defaults, jumps, reset_state, show_offered

_PRESENT = "present"
_TOOLS = "copy_link"
_SESSION = "_session_name"
_HERE = Path(__file__).parent
RENEWED = (
    "A new connection: settings are kept; pasted numbers, drawings and an unsaved lesson are gone."
)
"""Said where a tab outlived its session: after a restart, or a long sleep."""


_copy_link = component(_TOOLS)


def toolbar(title: str = "") -> None:
    """Draw the tools in the current container; `chapter.header` calls this.

    Args:
        title: the page's title.
    """
    session = st.session_state.setdefault(_SESSION, token_hex(8))
    told = _copy_link(
        key=_TOOLS,
        data={"jumps": jumps(), "session": session},
        width="content",
        on_show_change=_pressed,
        on_renewed_change=lambda: None,
    )
    # Not in the callback: a session that has just begun calls none.
    before = told.get("renewed")
    if before and before != session:
        st.toast(RENEWED, icon=":material/sync_problem:")
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
        help="Back to the sidebar and the usual size; Alt+P does the same"
        if on
        else "Large type, no sidebar, for a projector; Alt+P does the same",
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
