"""Setting a page's controls from code: for links, experiments, reset and presentation mode.

How `bind="query-params"` behaves (Streamlit 1.67, tried in Chromium):

- The widget's `key` is the parameter's name. Sliders, number and text inputs, checkboxes, toggles,
  radios, selectboxes, multiselects, pills, segmented controls, tabs, expanders, date, time and
  colour inputs take it; buttons, uploads and components don't.
- A value equal to the default is not in the address. A value that isn't allowed (out of range, an
  unknown option, the wrong type) is dropped, not clamped: the widget shows its default and the
  address is cleaned. A float for an integer slider is cut off: 5.7 becomes 5.
- Options appear in the address as their formatted label and are matched to the letter.
- A toggle reads `true` and `false`, not `1`.
- `st.query_params[key] = ...` raises for a bound key. Set `st.session_state[key]` in a callback
  (that is, before the widget is drawn): widget and address follow, moves by hand are kept.
- What is set for a widget whose key is new to the session shows in the widget, but not in the
  address. So `remember_defaults` makes all keys known, those of views not yet opened, too; but not
  those that the opened link asks for, which the widgets take from there.
- Deleting the key is no reset: the widget then takes what the page was opened with. Reset by
  setting defaults, as `reset_state` does.
- A bound value survives a visit to another page, and a page that uses the same key gets it: keys
  that mean different things must differ between pages.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx

from pages.shared.lesson import OWN

_DEFAULTS = "_page_defaults"
_JUMPS = "_page_jumps"
_LINK = "_link_opened"
_LOOK = "_look_at"
_LOOKED_FROM = "_look_at_from"
_JUST_SET = "_look_at_just_set"
_OFFERED = "_settings_offered"
_ASKED = "why"
TEXTS = {
    "dformula", "enp", "enq", "find", "points", "puzzle", "rudata", "tpoints", "trows", "ttext",
    "wpoints",
}  # fmt: skip
"""Keys of fields for text; "" is a wish like any other there, and can't be met anywhere else."""
_MOST_SENTENCES = 5


def remember_defaults(defaults: Mapping[str, object]) -> None:
    """Note what each control of this page is set to when nobody has touched it."""
    if st.session_state.get(_DEFAULTS, dict(defaults)) != dict(defaults):  # another page
        stop_looking()
        st.session_state[_LINK] = {}
        st.session_state[_OFFERED] = {}
    st.session_state[_DEFAULTS] = dict(defaults)
    for key, value in defaults.items():
        if key not in st.session_state and key not in st.session_state.get(_LINK, {}):
            st.session_state[key] = value


def has_defaults() -> bool:
    """Whether this page has controls to reset."""
    return bool(st.session_state.get(_DEFAULTS))


def remember_link(renamed: Mapping[str, Mapping[str, str]]) -> None:
    """Note what the address asked for when this session was opened, before any control drops it.

    Args:
        renamed: key -> what an option was called in older links -> what it is called now.
    """
    if _LINK not in st.session_state:
        st.session_state[_LINK] = asked = st.query_params.to_dict()
        # A number input fails on a number that is no finite float, and of "" a segmented control
        # makes None, required or not. Controls read the address as it was when the run began, so
        # another run is needed.
        bad = [k for k, v in asked.items() if _is_endless(v) or (not v and k not in {*TEXTS, *OWN})]
        for key in bad:
            del st.query_params[key]
        old = [key for key, names in renamed.items() if asked.get(key) in names]
        for key in old:
            st.query_params[key] = asked[key] = renamed[key][asked[key]]
        if bad or old:
            st.rerun()


def _is_endless(value: str) -> bool:
    """Whether it is written as a number, but as none that a control could hold."""
    try:
        return abs(float(value)) >= 1e15  # "nan" a control refuses itself
    except ValueError:
        return False


def unheeded_link() -> list[str]:
    """Say, once per session, which parts of the opened link could not be followed.

    To be called when all controls have been drawn: by then Streamlit has dropped from the address
    what they can't be set to. A control of another view has its turn when that view is opened.
    """
    asked, defaults = st.session_state.get(_LINK, {}), st.session_state.get(_DEFAULTS, {})
    waiting = {
        key: value
        for key, value in asked.items()
        if key in defaults and key in st.query_params and key not in st.session_state
    }
    st.session_state[_LINK] = waiting
    sentences = []
    for key, value in asked.items():
        shown = f"“{key}={value}”" if len(value) <= 40 else f"“{key}={value[:40]}…”"
        if key in defaults:
            used = _written(key, st.session_state.get(key, defaults[key]))
            # What stays in the address was followed, but for 5.7 of a whole number: 5 is left.
            if not _same(used, value) and st.query_params.get(key) != value:
                sentences.append(
                    f"The link asks for {shown}, which is not possible; {used} is used."
                )
        elif key not in OWN:
            sentences.append(f"The link asks for {shown}, which this page does not know.")
    more = len(sentences) - _MOST_SENTENCES
    if more > 0:
        sentences[_MOST_SENTENCES:] = [f"Of what the link asks for, {more} more can't be followed."]
    return sentences


def _written(key: str, value: object) -> object:
    """A control's value as the control writes it into the address: of an option, its label.

    Streamlit drops both what a control can't be set to and what it is set to anyway, and offers no
    way to ask which it was. A control that is not drawn has nobody to ask, either.
    """
    context = get_script_run_ctx(suppress_warning=True)
    try:
        state = context.session_state._state  # type: ignore[union-attr]
        told = state._new_widget_state.widget_metadata[state._key_id_mapper.get_id_from_key(key)]
        written = told.serializer(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        return value
    alone = isinstance(written, list) and len(written) == 1
    return written[0] if alone else written


def _same(used: object, written: str) -> bool:
    """Whether a control's value is what the address says, written some other way.

    Of several values of one key, the address tells the last.
    """
    if isinstance(used, list | tuple):
        return any(_same(one, written) for one in used)
    try:
        return float(str(used)) == float(written)
    except ValueError:
        return str(used).casefold() == written.casefold()


def apply_state(**values: object) -> None:
    """Set controls by key; the others stay. To be called from a callback, before they are drawn."""
    for key, value in values.items():
        st.session_state[key] = value
        st.session_state.get(_LINK, {}).pop(key, None)


def asked_for() -> str:
    """The question that the address names, whose answer is to be shown; "" for none."""
    return st.query_params.get(_ASKED, "")


def reset_state() -> None:
    """Put every control that the page's header knows of back to its default."""
    stop_looking()
    st.query_params.pop(_ASKED, None)
    apply_state(**st.session_state.get(_DEFAULTS, {}))


def show_state(values: Mapping[str, object], look: str = "") -> None:
    """Go to one setting of the exhibit: defaults, then `values`, then scroll up to look at it.

    Args:
        values: control values.
        look: what to look at there; `looking` gives it back until another setting is asked for.
    """
    reset_state()
    apply_state(**values)
    st.session_state[_LOOK] = look
    st.session_state[_LOOKED_FROM] = st.query_params.to_dict()
    st.session_state[_JUST_SET] = True
    st.session_state[_JUMPS] = jumps() + 1


def offer(name: str, values: Mapping[str, object], look: str) -> None:
    """Have `show_offered` know a setting by its name; the rest as for `show_state`."""
    st.session_state.setdefault(_OFFERED, {})[name] = (dict(values), look)


def show_offered(name: object) -> None:
    """Go to a setting that this page offers; a browser sent its name, which may be anything."""
    found = st.session_state.get(_OFFERED, {}).get(name) if isinstance(name, str) else None
    if found:
        show_state(*found)


def looking() -> str:
    """What the reader was last told to look at, "" for nothing. To be asked once a run.

    The browser's Back takes back the setting; the address is then the one from before, and there is
    nothing to look at. In the run that makes the setting it still is.
    """
    if not st.session_state.pop(_JUST_SET, False) and (
        st.session_state.get(_LOOKED_FROM) == st.query_params.to_dict()
    ):
        stop_looking()
    return str(st.session_state.get(_LOOK, ""))


def stop_looking() -> None:
    """Forget what the reader was told to look at."""
    st.session_state[_LOOK] = ""


def jumps() -> int:
    """How often `show_state` asked for the exhibit to be brought into view."""
    return int(st.session_state.get(_JUMPS, 0))
