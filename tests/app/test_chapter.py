"""The bones of a page: question, why?, try this, reset, presentation mode."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from pages.shared import chapter
from tests.app.settings import offered, press

PAGE = """
import streamlit as st
from pages.shared import chapter
from tests.app.settings import press

chapter.header("A page", defaults={"steps": 50, "sampler": "ddim"})
chapter.question(
    "What happens?", {"It grows": "No, **because**.", "It shrinks": "Since it is scaled."},
    answer="It shrinks", key="guess", state={"steps": 7}, look="The curve.",
)
steps = st.slider("Steps", 1, 100, 50, key="steps", bind="query-params")
sampler = st.selectbox("Sampler", ["ddim", "ddpm"], key="sampler", bind="query-params")
st.text(f"{steps} {sampler}")
chapter.prose("A " + chapter.term("schedule", "levels < 1 & > 0") + ".")
chapter.why([
    chapter.Confusion(
        "Why noise?", "Because.", {"sampler": "ddpm"}, threads=["who/what#7", "a talk"],
    ),
    chapter.Confusion("Why not?", "So."),
])
chapter.try_this([chapter.Experiment("Five steps", "blur.", {"steps": 5})])
chapter.sources([chapter.Source("Ho et al. 2020", "eq. 4", "https://arxiv.org/abs/2006.11239")])
"""


def page(**query: str) -> AppTest:
    at = AppTest.from_string(PAGE, default_timeout=20)
    for key, value in query.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception
    return at


def shown(at: AppTest) -> str:
    return at.text[0].value


def said(at: AppTest) -> str:
    return "\n".join(element.value for element in at.markdown)


def params(at: AppTest) -> dict[str, object]:
    return {
        key: value[0] if isinstance(value, list) else value
        for key, value in at.query_params.items()
    }


def test_a_guess_is_answered_with_the_reason() -> None:
    at = page()
    assert "Not quite" not in said(at)
    assert "Right." not in said(at)
    at.button_group(key="guess").set_value("It grows").run()
    assert "**Not quite.** No, **because**." in said(at)
    at.button_group(key="guess").set_value("It shrinks").run()
    assert "**Right.** Since it is scaled." in said(at)


def test_under_the_answer_a_button_shows_it() -> None:
    at = page()
    assert "question" not in offered(at)
    at.button_group(key="guess").set_value("It grows").run()
    assert offered(at)[0] == "question"
    press(at, "question")
    assert shown(at).startswith("7 ")


def test_a_guess_is_not_in_the_address() -> None:
    at = page()
    at.button_group(key="guess").set_value("It grows").run()
    assert not params(at)


def test_a_guess_runs_what_is_around_the_question_if_it_is_not_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a fragment of its own a guess would leave the rest of the page as it was."""
    fragments = []
    monkeypatch.setattr(chapter.st, "fragment", lambda f: fragments.append(f) or f)
    for alone in (True, False):
        at = AppTest.from_string(
            "from pages.shared import chapter\n"
            f"chapter.question('?', {{'a': 'so'}}, answer='a', key='guess', alone={alone})",
            default_timeout=20,
        ).run()
        assert not at.exception
        at.pills[0].select("a").run()
        assert "**Right.** so" in said(at)
        assert bool(fragments) == alone
        fragments.clear()


def test_the_answer_must_be_an_option() -> None:
    with pytest.raises(ValueError, match="'b' is not one of"):
        chapter.question("?", {"a": ""}, answer="b")


def test_an_experiment_starts_from_the_defaults() -> None:
    at = page()
    at.selectbox(key="sampler").set_value("ddpm").run()
    at.slider(key="steps").set_value(70).run()
    assert shown(at) == "70 ddpm"
    press(at, "try_0")
    assert shown(at) == "5 ddim"
    assert params(at) == {"steps": "5"}


def test_a_confusion_shows_its_setting() -> None:
    at = page()
    press(at, "why_0")
    assert shown(at) == "50 ddpm"
    assert "Asked in [what #7](https://github.com/who/what/issues/7), a talk · " in said(at)


def test_what_lies_below_the_exhibit_is_one_element_for_each_bone() -> None:
    """Streamlit goes through all elements of a page at every answer."""
    at = page()
    assert offered(at) == ["why_0", "try_0"]
    assert not at.expander
    [why] = [m.value for m in at.markdown if "Why noise?" in m.value]
    assert why.count("<details") == why.count("</details>") == 2
    assert "Why not?" in why
    [tried] = [m.value for m in at.markdown if "**Expect:** blur." in m.value]
    assert "Five steps</button>" in tried


@pytest.mark.parametrize(
    "name", ["why_1", "why_9", "", "steps", "x" * 10_000, None, 3, [], ["why_0"], {"why_0": 1}]
)
def test_a_name_that_is_no_setting_changes_nothing(name: object) -> None:
    at = press(page(steps="20"), name)
    assert not at.exception
    assert shown(at) == "20 ddim"


def test_settings_of_the_page_before_are_forgotten() -> None:
    at = page()
    at.session_state["_page_defaults"] = {"other": 1}  # as if this page had just been opened
    at.session_state["_settings_offered"] = {"why_9": ({"steps": 7}, "")}
    at.run()
    assert shown(press(at, "why_9")) == "50 ddim"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"steps": "20", "sampler": "ddpm"}, "20 ddpm"),
        ({"steps": "500"}, "50 ddim"),  # out of range: the default, not the nearest
        ({"steps": "many", "sampler": "DDPM"}, "50 ddim"),
        ({"steps": "7.9"}, "7 ddim"),
    ],
)
def test_an_address_sets_the_page_or_is_cleaned(query: dict[str, str], expected: str) -> None:
    at = page(**query)
    assert shown(at) == expected
    kept = params(at)
    assert ("steps" in kept) == (not expected.startswith("50"))
    assert ("sampler" in kept) == expected.endswith("ddpm")


def test_reset_means_the_defaults_and_not_the_address_the_page_was_opened_with() -> None:
    at = page(steps="20", sampler="ddpm")
    at.button(key="reset").click().run()
    assert shown(at) == "50 ddim"
    assert not params(at)


def test_presentation_mode_is_in_the_address_and_keeps_the_controls() -> None:
    at = page(steps="20")
    at.button(key="toggle_present").click().run()
    assert params(at) == {"steps": "20", "present": "1"}
    assert at.button(key="toggle_present").label == "Leave presentation"
    at.button(key="toggle_present").click().run()
    assert params(at) == {"steps": "20"}
    assert page(present="1").button(key="toggle_present").label == "Leave presentation"


def test_a_term_is_escaped_and_reachable_by_keyboard() -> None:
    text = said(page())
    assert "levels &lt; 1 &amp; &gt; 0" in text
    assert 'tabindex="0"' in text


def test_sources_link_to_the_paper() -> None:
    assert "- [Ho et al. 2020](https://arxiv.org/abs/2006.11239), eq. 4" in said(page())
