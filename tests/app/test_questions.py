"""The list of all questions: what the pages ask, to be searched, with links that lead there."""

from __future__ import annotations

import json
import re
from itertools import groupby
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

from diffusion_core.checkpoints import load, load_module
from diffusion_core.samplers import sample
from diffusion_core.schedules import evenly_spaced
from pages.home import start
from pages.shared.asked import (
    _READERS,
    INDEX,
    MOST,
    NEAREST,
    Question,
    alike,
    find,
    pages_for,
    questions,
    slug,
    thread,
    words_of,
)
from pages.shared.contents import MAP, page_contents
from pages.shared.glossary import page_titles
from tests.app.test_pages import open_page
from tools.questions import asked_on, row

TITLES = page_titles()
ASKING = list(dict.fromkeys(q.page for q in questions()))


def folds(at: AppTest) -> list[tuple[str, bool]]:
    """Each question of an opened page by its name, and whether its answer is shown."""
    text = "\n".join(m.value for m in at.markdown)
    found = re.findall(r'<details class="fold" data-asks="([^"]+)"( open data-shown="1")?>', text)
    return [(name, bool(shown)) for name, shown in found]


@pytest.mark.parametrize("page", TITLES)
def test_the_list_holds_what_the_page_asks(page: str) -> None:
    """Where this fails, a "Why?" has changed: run `python -m tools.questions`."""
    rows = [r for r in json.loads(INDEX.read_text(encoding="utf-8")) if r["page"] == page]
    assert rows == [row(page, item) for item in asked_on(page)]


def test_every_page_with_a_why_is_in_the_list_in_the_navigations_order() -> None:
    assert len(ASKING) == len(list(groupby(questions(), lambda q: q.page)))
    assert ASKING == [page for page in TITLES if page in ASKING]
    assert len(ASKING) >= 24
    assert len(questions()) > 150


def test_no_two_questions_of_a_page_share_an_address() -> None:
    addresses = [q.address for q in questions()]
    assert len(set(addresses)) == len(addresses)
    assert all(re.fullmatch(r"[a-z0-9_]+\?why=[a-z0-9-]+", address) for address in addresses)


@pytest.mark.parametrize("page", ASKING)
def test_an_address_opens_its_answer_and_no_other(page: str) -> None:
    question = [q for q in questions() if q.page == page][-1]
    at = open_page(page, why=slug(question.asks))
    assert not at.exception
    assert not at.toast
    assert [name for name, shown in folds(at) if shown] == [slug(question.asks)]
    assert not any(shown for _, shown in folds(open_page(page)))


@pytest.mark.parametrize("wish", ["no-such-question", "<script>alert(1)</script>", "x" * 5000])
def test_a_question_that_no_page_has_is_answered_with_a_sentence(wish: str) -> None:
    at = open_page("elbo", why=wish)
    assert not at.exception
    assert [toast.value.startswith("This page has no question “") for toast in at.toast] == [True]
    assert "<script>" not in at.toast[0].value
    assert len(at.toast[0].value) < 200
    assert not any(shown for _, shown in folds(at))


def test_show_me_and_reset_leave_the_question() -> None:
    question = next(q for q in questions() if q.page == "posterior")
    at = open_page("posterior", why=slug(question.asks))
    assert "why" in at.query_params
    at.button(key="reset").click().run()
    assert "why" not in at.query_params


@pytest.mark.parametrize("question", questions(), ids=lambda q: q.address)
def test_whoever_types_a_question_finds_it_among_the_first(question: Question) -> None:
    """Not always as the very first: "Why is x̂₀ clipped?" is asked on two pages."""
    found, whole = find(question.asks, TITLES, questions())
    assert question in found[:3]
    assert whole


def asks(page: str, text: str, words: str = "") -> Question:
    return Question(page, text, (), words)


SOME = [
    asks("a", "Why is x̂₀ clipped?", "pixel white error"),
    asks("b", "β or β̃ for the variance?", "posterior"),
    asks("b", "Why is fresh noise added?", "clipping variance spread"),
]


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("clip", 0), ("clipping", 0), ("x0", 0), ("X0 CLIPPED", 0), ("why do people clip x_0", 0),
        ("beta", 1), ("β", 1), ("beta tilde variance", 1), ("variances", 1), ("posterior", 1),
        ("noise", 2), ("spread", 2), ("second noise", 2),
    ],
)  # fmt: skip
def test_a_search_ranks_by_the_rarest_words_and_the_question_before_the_answer(
    typed: str, first: int
) -> None:
    titles = {"a": "First", "b": "Second"}
    assert find(typed, titles, SOME).questions[0] == SOME[first]


def test_a_search_without_a_match_finds_nothing_and_an_empty_one_all() -> None:
    assert find("zebra", {}, SOME) == ([], False)
    assert find("  ", {}, SOME) == (SOME, True)
    assert find("?!", {}, SOME) == (SOME, True)
    assert find("why is", {}, SOME).questions  # of small words alone, those count


def test_where_none_has_all_words_the_nearest_few_are_given() -> None:
    many = [asks("a", f"Is thing {i} a noise?") for i in range(3 * NEAREST)]
    found, whole = find("noise zebra", {}, many)
    assert len(found) == NEAREST
    assert not whole
    assert len(find("noise", {}, many).questions) == len(many)


@pytest.mark.parametrize(
    ("wanted", "word", "same"),
    [
        ("clip", "clipped", True), ("clipping", "clipped", True), ("x", "x0", False),
        ("kl", "kl", True), ("1", "1000", False), ("ddim", "ddpm", False), ("ode", "model", False),
        ("posterior", "post", False), ("predict", "pred", False),
        ("schedules", "schedule", True), ("sde", "side", False),
    ],
)  # fmt: skip
def test_words_are_alike_up_to_their_ends(wanted: str, word: str, same: bool) -> None:
    assert alike(wanted, word) is same


def test_greek_subscripts_and_accents_are_read_plainly() -> None:
    assert words_of("q(xₜ₋₁ | xₜ), ε̂ or Ε, σ², √ᾱ") == [
        "q", "xt", "1", "xt", "eps", "or", "eps", "sigma", "2", "sqrt", "alpha",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mark", "name", "address"),
    [
        ("openai/improved-diffusion#64", "improved-diffusion #64",
         "https://github.com/openai/improved-diffusion/issues/64"),
        ("https://ai.stackexchange.com/questions/36051/", "AI Stack Exchange 36051",
         "https://ai.stackexchange.com/questions/36051/"),
        ("https://math.stackexchange.com/q/12", "Math Stack Exchange 12",
         "https://math.stackexchange.com/q/12"),
        ("https://stats.stackexchange.com/q/12", "Cross Validated 12",
         "https://stats.stackexchange.com/q/12"),
        ("https://discuss.example.org/t/5", "discuss.example.org", "https://discuss.example.org/t/5"),
        ("a discussion of Lin et al.", "a discussion of Lin et al.", None),
    ],
)  # fmt: skip
def test_a_thread_is_named_and_linked(mark: str, name: str, address: str | None) -> None:
    assert thread(mark) == (name, address)


def test_every_thread_that_looks_like_one_has_an_address() -> None:
    marks = {mark for q in questions() for mark in q.threads}
    assert len(marks) > 15
    assert all(thread(mark)[1] for mark in marks if "#" in mark or "http" in mark)


def test_the_start_pages_questions_are_asked_there() -> None:
    listed = {(q.page, q.asks) for q in questions()}
    assert set(start.FAMOUS.items()) <= listed


@pytest.mark.parametrize(
    ("typed", "page", "asks"),
    [
        ("how many steps do I need", "learned_schedule", "Do more steps always help?"),
        ("why does the network predict noise", "reverse_sampling", "The network names all"),
        ("stochastic vs deterministic sampling", "reverse_sampling", "Without any noise (η = 0)"),
        ("is the model memorizing the training images", "why_a_model", "And the network?"),
        ("cfg scale", "guidance", "Is the scale s"),
        ("why predict noise", "x0_vs_eps", "If all targets can be converted"),
        ("why predict noise", "x0_vs_eps", "The target is noise"),
        ("black image", "x0_vs_eps", "My samples look right"),
        ("timestep 999", "noise_schedules", "Why does sampling begin at 981"),
        ("loss plateau", "score", "The loss stalls"),
        ("how does ddim work", "cold_diffusion", "What has this to do with DDIM?"),
    ],
)  # fmt: skip
def test_a_newcomers_words_find_it_among_the_first(typed: str, page: str, asks: str) -> None:
    found = find(typed, page_contents(), questions()).questions[:3]
    assert any(q.page == page and q.asks.startswith(asks) for q in found)


def test_a_full_name_finds_what_its_abbreviation_does() -> None:
    short = find("cfg", page_contents(), questions()).questions
    for name in ("classifier-free guidance", "Classifier free guidance", "guidance"):
        assert find(name, page_contents(), questions()).questions == short
        assert pages_for(name, page_contents()) == ["guidance"]
    assert pages_for("predict noise", page_contents()) == ["x0_vs_eps"]


def test_a_word_that_is_everywhere_gives_what_speaks_of_it_and_no_half_of_the_list() -> None:
    found = find("how many steps", page_contents(), questions()).questions
    assert MOST <= len(found) < 30
    for question in found[MOST:]:
        said = f"{question.asks} {page_contents()[question.page]}"
        assert any(alike("steps", word) for word in words_of(said))


def test_readers_words_are_of_questions_that_are_asked() -> None:
    listed = [q.asks for q in questions()]
    for begins in _READERS:
        assert sum(asks.startswith(begins) for asks in listed) == 1, begins


def test_pages_are_found_by_title_and_question() -> None:
    assert pages_for("guidance", page_contents()) == ["guidance"]
    assert pages_for("what should the network predict", page_contents()) == ["x0_vs_eps"]
    assert pages_for("zebra", page_contents()) == []
    assert pages_for("  ", page_contents()) == []


def test_the_table_of_contents_is_the_navigation() -> None:
    names = {page: name for pages in MAP.values() for page, (name, _) in pages.items()}
    assert names == {page: TITLES[page] for page in names}
    assert set(TITLES) - set(names) == {"start", "questions"}


def notes(at: AppTest) -> str:
    return "\n".join(html.proto.body for html in at.get("html") if "notes" in html.proto.body)


def test_a_search_names_whole_pages_and_what_the_glossary_says(search: Any) -> None:
    assert 'Whole pages on it: <a href="vae">VAE</a>' in notes(search("vae"))
    assert 'In the glossary: <a href="notation?find=Fr%C3%A9chet%20distance">' in notes(
        search("FID")
    )
    assert "<p>Whole" not in notes(search("FID"))


def test_the_first_digits_a_visitor_sees_are_what_they_are_called() -> None:
    """Sampled without the app: the start page's run, and the three after it."""
    net, _ = load("digits-eps", "cpu")
    judge, _ = load_module("classifier", "cpu")
    label = torch.arange(16) % 10
    for seed in range(start.SEED, start.SEED + 4):
        x_T = torch.randn(16, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
        times = evenly_spaced(1000, start.STEPS)
        *_, last = sample(net.diffusion, net, x_T, times, label=label, generator=torch.Generator())
        with torch.inference_mode():
            belief = judge(last.x_t.clamp(-1, 1)).softmax(1)
        assert (belief.argmax(1) == label).all()
        assert float(belief.max(1).values.min()) > 0.9


def listing(at: AppTest) -> str:
    return "\n".join(html.proto.body for html in at.get("html") if 'class="asks' in html.proto.body)


@pytest.fixture
def search() -> Any:
    def typed(text: str, public: bool = False) -> AppTest:
        asked = {"puzzle": text, "public": "true" if public else ""}
        at = open_page("questions", **{key: value for key, value in asked.items() if value})
        assert not at.exception
        return at

    return typed


def test_the_page_lists_all_by_page(search: Any) -> None:
    shown = listing(search(""))
    assert all(f'href="{q.address}"' in shown for q in questions())
    assert all(f'<a href="{page}">' in shown for page in ASKING)


def test_the_page_can_leave_out_what_nobody_asked_in_public(search: Any) -> None:
    shown = listing(search("", public=True))
    for q in questions():
        assert (f'href="{q.address}"' in shown) == bool(q.threads)


def test_a_typed_search_is_told_and_hostile_text_is_text(search: Any) -> None:
    at = search("<img src=x onerror=alert(1)>")
    text = "\n".join(html.proto.body for html in at.get("html"))
    assert "<img" not in text
    assert "&lt;img" in text
