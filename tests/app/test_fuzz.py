"""Every page under what nobody would type: links, forged messages, and readers who click about.

Controls are found on the pages (`tests/app/hostile.py`), so a new page is in here by itself. The
draws are hypothesis' own, the same on every run.
"""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, SearchStrategy

from pages.shared.state import TEXTS
from tests.app.hostile import (
    SCRIPT,
    Control,
    bound,
    controls,
    described,
    explained,
    heeded,
    injected,
    no_numbers,
    send,
    unreadable,
)
from tests.app.settings import offered, press
from tests.app.test_pages import PAGES, open_page

SEQUENCES = 200  # of a reader's moves, over all pages
MOVES = 5
LINKS = 8  # for each page

few = settings(
    derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # a page takes a tenth of a second: shrinking would take minutes
)  # fmt: skip
JUNK = (
    "", " ", "nan", "NaN", "inf", "-inf", "Infinity", "1e400", "-1e400", "1e15", "-1", "0", "1",
    "007", "0x10", "1_000", "1e3", "0.1", "5.7", "٣", "−1", "9" * 400, "x" * 5000, "true", "True",
    "None", "null", "[]", "{}", "\x00", "\ud7ff\u202e", SCRIPT,
    "[x](javascript:alert(1))", "$\\frac", "'; drop table digits", "../../etc/passwd",
    "%00", "🙂" * 9,
)  # fmt: skip
STRANGE_KEYS = ("nonsense", "lesson", "stop", "present", "_page_defaults", "", "a" * 3000, "<b>")


def values(control: Control) -> SearchStrategy[str]:
    """What somebody may put behind `key=`: an honest value, one just beside, or anything."""
    honest: list[str] = [control.default, *control.options]
    for end, beyond in ((control.low, -1), (control.high, 1)):
        if end is not None and math.isfinite(end):
            honest += [f"{end:g}", f"{end + beyond:g}"]
    return st.one_of(
        st.sampled_from(honest), st.sampled_from(JUNK), st.text(max_size=30),
        st.floats().map(str), st.integers().map(str),
    )  # fmt: skip


def assert_sound(at: Any, *typed: str) -> None:
    """No exception, no NaN but what was `typed`, and nothing for a browser to refuse or run."""
    assert not [e.message for e in at.exception]
    assert not injected(at)
    assert not no_numbers(at, *typed)
    assert not unreadable(at)


@pytest.mark.parametrize("name", PAGES)
def test_any_link_is_followed_or_a_sentence_says_that_it_is_not(name: str) -> None:
    known = controls(name)

    @settings(few, max_examples=LINKS)
    @given(st.data())
    def check(data: DataObject) -> None:
        keys = st.sampled_from([*known, *STRANGE_KEYS])
        query = {
            key: data.draw(values(known[key]) if key in known else st.sampled_from(JUNK))
            for key in data.draw(st.lists(keys, unique=True, max_size=8))
        }
        at = open_page(name, **query)
        assert_sound(at)
        silent = [
            key
            for key, asked in query.items()
            if key in known and not heeded(at, known[key], asked) and not explained(at, key)
        ]
        rest = any("more can't be followed" in toast.value for toast in at.toast)
        assert not silent or rest, (query, [t.value for t in at.toast])
        assert_sound(at.run())

    check()


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_value_is_no_option(name: str) -> None:
    """One key at a time: of "" Streamlit makes None for a control that always has a value."""
    for key, control in controls(name).items():
        at = open_page(name, **{key: ""})
        assert_sound(at)
        assert not at.error, key
        if control.kind:  # "" is one that no view shows by itself
            assert (control.kind in ("TextInput", "TextArea")) == (key in TEXTS), key
        assert key in TEXTS or explained(at, key), key


@pytest.mark.parametrize("name", PAGES)
def test_a_link_that_spells_out_the_defaults_is_followed_without_a_word(name: str) -> None:
    """Streamlit drops from the address what is default, as it does with what is impossible."""
    defaults = {key: control.default for key, control in controls(name).items() if control.default}
    at = open_page(name, **defaults)
    assert_sound(at)
    assert not at.toast, [toast.value for toast in at.toast]


def test_a_wish_for_a_control_of_another_view_is_answered_there() -> None:
    shown = 0
    for view in controls("discrete_posterior")["dview"].options:
        at = open_page("discrete_posterior", dx0="-7")
        assert not at.toast
        switch = next(w for w in bound(at) if w.key == "dview")
        send(at, switch, string_array_value=[view])
        there = "dx0" in {w.key for w in bound(at)}
        assert explained(at, "dx0") == there
        assert not at.run().toast  # said once
        shown += there
    assert shown


@pytest.mark.parametrize("name", PAGES)
def test_a_value_out_of_range_is_not_taken(name: str) -> None:
    """Streamlit's browser side keeps a slider in its range; a message needs no browser."""
    typeable = ("\x00" * 50, "9" * 5000, "nan", "-inf inf", SCRIPT)
    wrong: dict[str, list[dict[str, Any]]] = {
        "Slider": [
            {"double_array_value": v} for v in ([-1e9], [1e300], [math.nan], [], [1.0, 2.0])
        ],
        "NumberInput": [{"double_value": v} for v in (-1e9, 1e300)],
        "Selectbox": [{"string_value": "no such option"}],
        "ButtonGroup": [{"string_array_value": v} for v in (["no such option"], ["a", "b"])],
        "TextInput": [{"string_value": v} for v in typeable],
        "TextArea": [{"string_value": v} for v in typeable],
        "Checkbox": [],
    }
    typed: list[str] = []  # stays in its field while the next ones have their turn
    at = open_page(name)
    for key in [widget.key for widget in bound(at)]:
        kind = controls(name)[key].kind
        options = controls(name)[key].options
        messages = wrong["ButtonGroup" if kind == "Slider" and options else kind]
        for message in messages:
            widget = next((w for w in bound(at) if w.key == key), None)
            if widget is None:  # the message before led to a view that does not have it
                at = open_page(name)
                widget = next(w for w in bound(at) if w.key == key)
            typed.append(message.get("string_value", ""))
            assert_sound(send(at, widget, **message), *typed)


@pytest.mark.parametrize("name", PAGES)
def test_a_forged_message_harms_its_sender_only_until_the_next(name: str) -> None:
    """A state of the wrong type: at worst an error that tells nothing, and all is well again."""
    at = open_page(name)
    for key in [widget.key for widget in bound(at)]:
        kind = controls(name)[key].kind
        forged = {"string_value": "x"} if kind in ("Slider", "NumberInput") else {"double_value": 3}
        send(at, next(w for w in bound(at) if w.key == key), **forged)
        assert all("redacted" in e.message for e in at.exception)
        assert not any(e.stack_trace for e in at.exception)
        at = open_page(name)
        assert_sound(at)


@pytest.mark.parametrize("name", PAGES)
def test_a_reader_who_clicks_about(name: str) -> None:
    @settings(few, max_examples=math.ceil(SEQUENCES / len(PAGES)))
    @given(st.data())
    def check(data: DataObject) -> None:
        at = open_page(name)
        for _ in range(data.draw(st.integers(1, MOVES))):
            widgets = [w for w in bound(at) if not w.proto.disabled]
            buttons = [b for b in at.button if not b.disabled]
            moved = data.draw(st.sampled_from([*widgets, *buttons, *offered(at)]))
            if isinstance(moved, str):
                press(at, moved)
            elif moved in buttons:
                moved.click().run()
            else:
                moves = honest_moves(controls(name).get(moved.key), moved)
                send(at, moved, **data.draw(moves))
            assert_sound(at)

    check()


def honest_moves(control: Control | None, widget: Any) -> SearchStrategy[dict[str, Any]]:
    """What a browser can send for this widget."""
    control = control or described(widget)
    low, high = (-1e3 if control.low is None else control.low), (control.high or 1e3)
    numbers = st.floats(low, max(low, high), allow_nan=False)
    if control.kind == "NumberInput":
        whole = widget.proto.data_type == widget.proto.INT
        picked = st.integers(math.ceil(low), math.floor(max(low, high))) if whole else numbers
        return picked.map(lambda v: {"double_value": v})
    if control.kind == "Checkbox":
        return st.booleans().map(lambda v: {"bool_value": v})
    if control.kind == "Selectbox":
        return st.sampled_from(control.options).map(lambda v: {"string_value": v})
    if control.kind in ("TextInput", "TextArea"):
        return st.sampled_from(["", "0.5", "1 2", "1, -1", "-0.25 0.5", "0", "x", "beta"]).map(
            lambda v: {"string_value": v}
        )
    if control.options:
        return st.sampled_from(control.options).map(lambda v: {"string_array_value": [v]})
    step = widget.proto.step or 1
    steps = st.integers(0, max(0, round((max(low, high) - low) / step)))
    return steps.map(lambda n: {"double_array_value": [min(low + n * step, high)]})


def test_hidden_controls_are_found_too() -> None:
    """The net is as wide as the pages' own lists of defaults."""
    for name in PAGES:
        at = open_page(name)
        assert controls(name).keys() >= at.session_state["_page_defaults"].keys()
        assert {w.key for w in bound(at)} <= controls(name).keys()
    assert sum(len(controls(name)) for name in PAGES) > 100
    assert re.fullmatch(r"\d+(\.0)?", controls("reverse_sampling")["seed"].default)
