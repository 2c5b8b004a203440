"""A lesson as a link: views of the app in an order, each with a question to think about first.

The whole lesson is in one parameter of the address, `lesson`, as base64url of compressed JSON;
`stop` says where in it the reader is. Nothing is kept on the server beyond the reader's session.
A stop's view is the query string that the page's own "Copy link" would give, and going to a stop
opens that address anew: whatever a link can ask for is checked in one place, by the controls.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urljoin

import streamlit as st

MOST_STOPS = 20
MOST_CODE = 4096
"""Characters of the packed lesson: browsers and mail programs pass addresses of this length on."""
MOST_QUESTION = 200
MOST_VIEW = 1000
OWN = ("lesson", "stop", "present", "why")
"""Parameters that belong to the app's frame and are no part of a view."""
_MOST_TEXT = 64 * 1024  # unpacked; a small code can hold much more, and must not
_PAGES = Path(__file__).parents[1]
_TITLE = re.compile(r'\bheader\(\s*"([^"]+)"')
_CODE = re.compile(r"[A-Za-z0-9_-]+")
_FOLLOWED = "_lesson_followed"
_DRAFT = "_lesson_draft"
_FULL = "_lesson_full"


class LessonError(ValueError):
    """What is wrong with a lesson, as the end of a sentence."""


@dataclass(frozen=True)
class Stop:
    """One view, and what to ask before it is played with.

    Attributes:
        page: the page's name in the address, "" for the start page.
        view: its settings as a query string, "" for the defaults.
        question: what the reader should predict, "" for nothing.
    """

    page: str
    view: str = ""
    question: str = ""


@dataclass(frozen=True)
class Followed:
    """A lesson and the stop that the reader is at, counted from 0."""

    code: str
    stops: tuple[Stop, ...]
    at: int

    def address(self, at: int, *, presenting: bool = False) -> str:
        """The link to one stop, relative to any page's address."""
        stop = self.stops[at]
        ends = [("present", "1")] * presenting + [("lesson", self.code), ("stop", str(at + 1))]
        query = "&".join(filter(None, [stop.view, urlencode(ends)]))
        return f"./{stop.page}?{query}"


@functools.cache
def titles() -> dict[str, str]:
    """Each page's name in the address -> its title, as the page gives it to `chapter.header`."""
    found = {}
    for path in sorted(_PAGES.glob("*/*.py")):
        title = _TITLE.search(path.read_text(encoding="utf-8"))
        if path.parent.name != "shared" and title:
            found["" if path.stem == "start" else path.stem] = title[1]
    return found


def clean_view(query: str) -> str:
    """A query string without what belongs to the app's frame, written in one way."""
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=100)
    return urlencode([(key, value) for key, value in pairs if key not in OWN], quote_via=quote)


def pack(stops: Sequence[Stop]) -> str:
    """Write a lesson as text that fits into an address.

    Raises:
        LessonError: if it is too long for one.
    """
    rows = [[stop.page, stop.view, stop.question] for stop in stops]
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    code = base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")
    if len(code) > MOST_CODE:
        raise LessonError("it is too long for one link: remove a stop or shorten a question")
    return code


def unpack(code: str) -> tuple[Stop, ...]:
    """Read what `pack` wrote; it comes out of an address and may be anything.

    Raises:
        LessonError: if it is no lesson of this app.
    """
    if len(code) > MOST_CODE:
        raise LessonError(f"it is longer than {MOST_CODE} characters")
    try:
        rows = json.loads(_inflated(code))
    except (ValueError, zlib.error, RecursionError):
        raise LessonError("it was cut off or changed on its way") from None
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_STOPS:
        raise LessonError(f"it must have 1 to {MOST_STOPS} stops")
    return tuple(map(_read_stop, rows))


def _inflated(code: str) -> str:
    if not _CODE.fullmatch(code):
        raise ValueError
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)), _MOST_TEXT)
    if not unpacker.eof:
        raise ValueError
    return text.decode()


def _read_stop(row: object) -> Stop:
    if not isinstance(row, list) or len(row) != 3 or not all(isinstance(v, str) for v in row):
        raise LessonError("one of its stops is none")
    page, view, question = row
    if page not in titles():
        raise LessonError("it leads to a page that is not here")
    # JSON can spell half a surrogate pair, which is no text and can't be sent to a browser.
    whole = all(c.isprintable() for c in view + question)
    if len(view) > MOST_VIEW or len(question) > MOST_QUESTION or not whole:
        raise LessonError("one of its stops says too much")
    try:
        return Stop(page, clean_view(view), question)
    except ValueError:
        raise LessonError("one of its stops says too much") from None


# Following a lesson.


def following() -> Followed | None:
    """The lesson that the address asks for, or the one begun on another page of this visit."""
    held: Followed | None = st.session_state.get(_FOLLOWED)
    code = st.query_params.get("lesson")
    if code is not None and (held is None or held.code != code or "stop" in st.query_params):
        held = st.session_state[_FOLLOWED] = _asked_for(code, st.query_params.get("stop", "1"))
    if held is None:
        for key in ("lesson", "stop"):
            st.query_params.pop(key, None)
    elif code is None:  # a visit to another page cleared the address
        st.query_params.update({"lesson": held.code, "stop": str(held.at + 1)})
    return held


def _asked_for(code: str, stop: str) -> Followed | None:
    try:
        stops = unpack(code)
    except LessonError as fault:
        _say(f"The lesson in this link can't be read: {fault}. The page is shown without it.")
        return None
    if not (stop.isascii() and stop.isdigit() and len(stop) < 4 and 1 <= int(stop) <= len(stops)):
        _say(f"The lesson in this link has stops 1 to {len(stops)}; it begins at the first.")
        stop = "1"
        st.query_params["stop"] = stop
    return Followed(code, stops, int(stop) - 1)


def _say(sentence: str) -> None:
    st.toast(sentence, icon=":material/link_off:", duration="infinite")


def leave() -> None:
    """End the lesson; the page stays as it is."""
    st.session_state[_FOLLOWED] = None
    for key in ("lesson", "stop"):
        st.query_params.pop(key, None)


def bar(title: str, *, presenting: bool) -> None:
    """Draw where in a lesson the reader is, above the page's title; nothing without a lesson.

    Args:
        title: the title of the page it is drawn on.
        presenting: whether the next stop is to be opened in presentation mode, too.
    """
    lesson = following()
    if lesson is None:
        return
    with st.container(key="lesson_bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(_navigation(lesson, title, presenting=presenting))
        st.button(
            "Leave the lesson", key="lesson_leave", type="tertiary", on_click=leave,
            icon=":material/close:", width="content",
        )  # fmt: skip


def _navigation(lesson: Followed, title: str, *, presenting: bool) -> str:
    """The bar's links and question as HTML."""
    stop, many = lesson.stops[lesson.at], len(lesson.stops)

    def link(at: int, text: str, rel: str = "") -> str:
        if not 0 <= at < many:
            return f'<span class="lesson-step" aria-disabled="true">{text}</span>'
        address = escape(lesson.address(at, presenting=presenting))
        return f'<a class="lesson-step" href="{address}" target="_self"{rel}>{text}</a>'

    place = f"Stop {lesson.at + 1} of {many}"
    if title != titles()[stop.page]:
        place = f"Back to stop {lesson.at + 1} of {many}"
    asked = f"<p><b>Predict.</b> {escape(stop.question)}</p>" if stop.question else ""
    return (
        f'<nav class="lesson" aria-label="Lesson">{link(lesson.at - 1, "← Previous")}'
        f"{link(lesson.at, place)}{link(lesson.at + 1, 'Next →')}{asked}</nav>"
    )


# Making a lesson.


def editor(title: str) -> None:
    """Draw the popover in which views are collected and put in order.

    Args:
        title: the title of the page it is drawn on; a page without an address of its own has none.
    """
    page = next((name for name, known in titles().items() if known == title), None)
    if page is None:
        return
    with st.popover(
        "Lesson", type="tertiary", icon=":material/school:", key="lesson_popover",
        help="Collect views of these pages into a lesson, and share it as one link",
    ):  # fmt: skip
        _edit(page)


def draft() -> list[tuple[int, Stop]]:
    """The stops collected in this visit, each with a number that stays its own when they move."""
    collected: list[tuple[int, Stop]] = st.session_state.setdefault(_DRAFT, [])
    return collected


def _number() -> int:
    return max((number for number, _ in draft()), default=0) + 1


def add_view(page: str) -> None:
    """Add what the address bar holds to the draft; to be called from a callback."""
    view = clean_view(urlencode(_pairs(), quote_via=quote))
    stops = [stop for _, stop in draft()]
    fault = f"A lesson has at most {MOST_STOPS} stops." if len(stops) >= MOST_STOPS else ""
    if len(view) > MOST_VIEW:
        fault = "This view has too many settings for a lesson."
    st.session_state[_FULL] = fault
    if not fault:
        draft().append((_number(), Stop(page, view)))


def _pairs() -> list[tuple[str, str]]:
    return [(key, value) for key in st.query_params for value in st.query_params.get_all(key)]


def _take_over(stops: Sequence[Stop]) -> None:
    draft().clear()
    for stop in stops:
        draft().append((_number(), stop))


def _move(place: int, by: int) -> None:
    stops = draft()
    stops[place], stops[place + by] = stops[place + by], stops[place]


def _remove(place: int) -> None:
    st.session_state[_FULL] = ""
    del draft()[place]


def _ask(place: int) -> None:
    number, stop = draft()[place]
    words = str(st.session_state.get(f"lesson_question_{number}", ""))
    question = "".join(c for c in words if c.isprintable())[:MOST_QUESTION]
    draft()[place] = (number, Stop(stop.page, stop.view, question))


@st.fragment  # collecting must not disturb the exhibit
def _edit(page: str) -> None:
    st.button(
        "Add this view", key="lesson_add", icon=":material/add:", on_click=add_view, args=(page,)
    )
    if fault := st.session_state.get(_FULL):
        st.caption(fault)
    followed = st.session_state.get(_FOLLOWED)
    if followed is not None:
        st.button(
            "Edit the lesson you follow", key="lesson_edit", type="tertiary",
            icon=":material/edit:", on_click=_take_over, args=(followed.stops,),
        )  # fmt: skip
    if not draft():
        st.caption(
            "Set a page as your class should see it, add it, go on to the next page. Each view "
            "can ask a question to think about first. The list is kept until this tab is reloaded."
        )
        return
    for place, (number, stop) in enumerate(draft()):
        _row(place, number, stop)
    _link()


def _row(place: int, number: int, stop: Stop) -> None:
    name = f"{place + 1}. {titles()[stop.page]}"
    of = f" *stop {name}*"  # chapter.css leaves that to screen readers
    with st.container(key=f"lesson_row_{number}", gap=None):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{name}**", width="stretch")
            for word, by in (("Up", -1), ("Down", 1)):
                st.button(
                    word + of, key=f"lesson_{word.lower()}_{number}", type="tertiary",
                    disabled=not 0 <= place + by < len(draft()), on_click=_move, args=(place, by),
                    width="content",
                )  # fmt: skip
            st.button(
                "Remove" + of, key=f"lesson_remove_{number}", type="tertiary", width="content",
                on_click=_remove, args=(place,),
            )  # fmt: skip
        st.text_input(
            f"Question at stop {name}", stop.question, key=f"lesson_question_{number}",
            max_chars=MOST_QUESTION, placeholder="What should they predict? (may stay empty)",
            label_visibility="collapsed", on_change=_ask, args=(place,),
        )  # fmt: skip


def _link() -> None:
    try:
        stops = tuple(stop for _, stop in draft())
        address = Followed(pack(stops), stops, 0).address(0)
    except LessonError as fault:
        st.caption(f"This lesson has no link yet: {fault}.")
        return
    address = urljoin(st.context.url or "", address)
    st.markdown(f"**The lesson as a link** ({len(address):,} characters)")
    st.code(address, language=None, wrap_lines=True, height=80)
    st.link_button("Try it in a new tab", address, icon=":material/open_in_new:")
