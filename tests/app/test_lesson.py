"""Lessons: what a link may hold, what is refused, collecting, the bar."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared.lesson import (
    MOST_CODE,
    MOST_QUESTION,
    MOST_STOPS,
    MOST_VIEW,
    LessonError,
    Stop,
    clean_view,
    pack,
    titles,
    unpack,
)

ROOT = Path(__file__).resolve().parents[2]
STOPS = [
    Stop("posterior", "pt=77&pview=Weights", "Where do the weights cross?"),
    Stop("", "", ""),
    Stop("noise_schedules", "", "<b>How</b> noisy? ᾱ 你好 & more"),
]
PAGE = """
import streamlit as st
from pages.shared import chapter

chapter.header("Posterior", defaults={"steps": 50})
st.slider("Steps", 1, 100, 50, key="steps", bind="query-params")
"""


def raw(rows: object) -> str:
    """A code that holds anything."""
    text = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    return base64.urlsafe_b64encode(zlib.compress(text, 9)).decode().rstrip("=")


def page(script: str = PAGE, **query: str) -> AppTest:
    at = AppTest.from_string(script, default_timeout=20)
    for key, value in query.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception
    return at


def params(at: AppTest) -> dict[str, str]:
    return {k: v[0] if isinstance(v, list) else v for k, v in at.query_params.items()}


def bar(at: AppTest) -> str:
    found = [e.proto.body for e in at.get("html") if "<nav" in e.proto.body]
    return found[0] if found else ""


def links(at: AppTest) -> dict[str, str]:
    """Text of each link of the bar -> address."""
    found = re.findall(r'href="([^"]*)"[^>]*>([^<]*)<', bar(at))
    return {text: unescape(address) for address, text in found}


def shown_link(at: AppTest) -> str:
    return at.code[0].value


def test_every_page_has_a_title_to_be_named_by() -> None:
    files = {p.stem for p in ROOT.glob("pages/[!s]*/*.py")}
    assert set(titles()) == files - {"start"} | {""}
    assert len(set(titles().values())) == len(titles())


def test_what_is_packed_comes_back() -> None:
    code = pack(STOPS)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", code)
    assert unpack(code) == tuple(STOPS)


def test_twenty_stops_with_long_questions_fit_or_are_refused() -> None:
    words = "What changes when the schedule is cosine, and why at the noisy end? "
    stops = [Stop("noise_schedules", f"T={n}&sa=cosine", words + str(n)) for n in range(20)]
    assert len(pack(stops)) < MOST_CODE
    # Text without repetition can't be compressed: 20 times 200 signs are too much.
    dense = [Stop("", "", "".join(chr(0x4E00 + 211 * n + 7 * k) for k in range(MOST_QUESTION)))
             for n in range(MOST_STOPS)]  # fmt: skip
    with pytest.raises(LessonError, match="too long for one link"):
        pack(dense)


def test_a_view_is_written_in_one_way_and_without_the_frame() -> None:
    query = "present=1&pt=77&lesson=abc&x=a%20b+c&stop=2&empty="
    assert clean_view(query) == "pt=77&x=a%20b%20c&empty="


@pytest.mark.parametrize(
    "code",
    [
        "",
        "a",
        "not a code!",
        "A" * (MOST_CODE + 1),
        pack(STOPS)[:-9],
        pack(STOPS).swapcase(),
        base64.urlsafe_b64encode(b"[]").decode(),
        raw(b"\xff\xfe"),
        raw(b"[" * 50_000),
        raw(b"1" * 10_000),
        raw(b" " * 3_000_000 + b"[]"),  # 4 kB that would unpack to megabytes
        raw([]),
        raw({}),
        raw(None),
        raw([["posterior", "", ""]] * (MOST_STOPS + 1)),
        raw([["posterior", ""]]),
        raw([["posterior", "", 3]]),
        raw([{"page": "posterior"}]),
        raw([["nowhere", "", ""]]),
        raw([["../x", "", ""]]),
        raw([["https://example.org", "", ""]]),
        raw([["posterior", "a=" + "b" * MOST_VIEW, ""]]),
        raw([["posterior", "&".join(f"k{n}=1" for n in range(150)), ""]]),
        raw([["posterior", "", "q" * (MOST_QUESTION + 1)]]),
        raw([["posterior", "", "\ud800"]]),
        raw([["posterior", "\ud800=1", ""]]),
        raw([["posterior", "", "line\nbreak"]]),
    ],
)
def test_what_is_no_lesson_is_refused_and_the_page_works(code: str) -> None:
    with pytest.raises(LessonError):
        unpack(code)
    at = page(lesson=code, steps="20")
    assert "can't be read" in at.toast[0].value
    assert not bar(at)
    assert params(at) == {"steps": "20"}
    at.run()
    assert not at.toast


@pytest.mark.parametrize("stop", ["0", "4", "-1", "x", "", "1e3", "٢", "9" * 12])
def test_a_stop_that_is_not_there_is_the_first(stop: str) -> None:
    at = page(lesson=pack(STOPS), stop=stop)
    assert "begins at the first" in at.toast[0].value
    assert "Stop 1 of 3" in bar(at)
    assert params(at)["stop"] == "1"


def test_the_bar_leads_forwards_and_backwards() -> None:
    at = page(lesson=pack(STOPS), stop="1")
    found = links(at)
    assert list(found) == ["Stop 1 of 3", "Next →"]
    assert "Where do the weights cross?" in bar(at)
    address = urlsplit(found["Stop 1 of 3"])
    assert address.path == "./posterior"
    asked = parse_qs(address.query)
    assert asked == {"pt": ["77"], "pview": ["Weights"], "lesson": [pack(STOPS)], "stop": ["1"]}
    assert urlsplit(found["Next →"]).path == "./"
    last = page(lesson=pack(STOPS), stop="3")
    assert list(links(last)) == ["← Previous", "Back to stop 3 of 3"]  # this is another page


def test_a_question_is_shown_as_text() -> None:
    at = page(lesson=pack(STOPS), stop="3")
    assert "&lt;b&gt;How&lt;/b&gt; noisy? ᾱ 你好 &amp; more" in bar(at)


def test_presentation_mode_goes_along() -> None:
    at = page(lesson=pack(STOPS), present="1")
    assert "present=1" in links(at)["Next →"]


def test_a_lesson_outlives_a_visit_to_another_page() -> None:
    at = page(lesson=pack(STOPS), stop="2")
    at.query_params.clear()  # as a press in the sidebar does
    at.run()
    assert "stop 2 of 3" in bar(at)
    assert params(at) == {"lesson": pack(STOPS), "stop": "2"}


def test_one_press_leaves_the_lesson_and_keeps_the_view() -> None:
    at = page(lesson=pack(STOPS), stop="2", steps="20")
    at.button(key="lesson_leave").click().run()
    assert not bar(at)
    assert params(at) == {"steps": "20"}
    at.run()
    assert not bar(at)


def test_views_are_collected_asked_about_moved_and_removed() -> None:
    at = page(steps="20", present="1")
    at.button(key="lesson_add").click().run()
    at.query_params["steps"] = "30"  # the browser does this when the slider is moved
    at.button(key="lesson_add").click().run()
    at.text_input(key="lesson_question_1").set_value("What now?").run()

    def held() -> tuple[Stop, ...]:
        return unpack(parse_qs(urlsplit(shown_link(at)).query)["lesson"][0])

    first, second = Stop("posterior", "steps=20", "What now?"), Stop("posterior", "steps=30")
    assert held() == (first, second)
    assert shown_link(at).startswith("./posterior?steps=20&lesson=")
    at.button(key="lesson_down_1").click().run()
    assert held() == (second, first)
    at.button(key="lesson_up_1").click().run()
    assert held() == (first, second)
    at.button(key="lesson_remove_2").click().run()
    assert held() == (first,)
    at.button(key="lesson_remove_1").click().run()
    assert not at.code


def test_every_button_says_which_stop_it_belongs_to() -> None:
    at = page(lesson=pack(STOPS))
    at.button(key="lesson_edit").click().run()
    at.button(key="lesson_down_1").click().run()
    names = [titles()[stop.page] for stop in (STOPS[1], STOPS[0], STOPS[2])]
    said = [button.label for button in at.button if " *" in button.label]
    assert said == [
        f"{word} *stop {n}. {name}*"
        for n, name in enumerate(names, 1) for word in ("Up", "Down", "Remove")
    ]  # fmt: skip


def test_no_more_than_twenty_views() -> None:
    at = page(lesson=pack([Stop("posterior", f"steps={n}") for n in range(1, 21)]))
    at.button(key="lesson_edit").click().run()
    assert at.button(key="lesson_down_20").disabled
    at.button(key="lesson_add").click().run()
    assert "A lesson has at most 20 stops." in [caption.value for caption in at.caption]
    assert not [b for b in at.button if b.key == "lesson_down_21"]
    at.button(key="lesson_remove_20").click().run()
    assert "A lesson has at most 20 stops." not in [caption.value for caption in at.caption]


def test_the_followed_lesson_can_be_edited() -> None:
    at = page(lesson=pack(STOPS), stop="2")
    at.button(key="lesson_edit").click().run()
    at.button(key="lesson_remove_2").click().run()
    code = parse_qs(urlsplit(shown_link(at)).query)["lesson"][0]
    assert unpack(code) == (STOPS[0], STOPS[2])
    assert "Stop 2 of 3" in bar(at) or "stop 2 of 3" in bar(at)  # the one followed is as it was
