"""Questions: every confusion that a page settles, in one list to search."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

import streamlit as st

from pages.shared import chapter
from pages.shared.asked import MOST_CHARACTERS, Question, find, questions, thread
from pages.shared.glossary import page_titles

DEFAULTS = {"puzzle": "", "public": False}
TRY = "why clip, beta or beta tilde, mask token …"


def item(question: Question, title: str = "") -> str:
    """One question as a list's item: a link, the page if it is given, and where it was asked."""
    asked = [thread(mark) for mark in question.threads]
    marks = [
        f'<a class="thread" href="{address}" target="_blank">{escape(name)}</a>'
        if address else escape(name)
        for name, address in asked
    ]  # fmt: skip
    small = [escape(title)] * bool(title) + [f"asked in {', '.join(marks)}"] * bool(marks)
    below = f" <small>{' · '.join(small)}</small>" if small else ""
    link = f'<a href="{escape(question.address)}">{escape(question.asks)}</a>'
    return f"<li>{link}{below}</li>"


def by_page(found: Sequence[Question], titles: dict[str, str]) -> str:
    """The whole list, a block for each page."""
    blocks = []
    for page, group in groupby(found, lambda question: question.page):
        items = "".join(map(item, group))
        title = f'<h3><a href="{page}">{escape(titles[page])}</a></h3>'
        blocks.append(f"<section>{title}<ul>{items}</ul></section>")
    return f'<div class="asks columns">{"".join(blocks)}</div>'


def by_rank(found: Sequence[Question], titles: dict[str, str]) -> str:
    """What a search found, the best first."""
    items = "".join(item(question, titles[question.page]) for question in found)
    return f'<div class="asks found"><ul>{items}</ul></div>'


@st.fragment
def exhibit() -> None:
    """A search over all questions."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        wanted = st.text_input(
            "What puzzles you?", key="puzzle", bind="query-params", type="search",
            max_chars=MOST_CHARACTERS, placeholder=TRY, width=420, live=True,
        )  # fmt: skip
        public = st.checkbox(
            "Only what people asked in public", key="public", bind="query-params"
        )
    titles = page_titles()
    among = [q for q in questions() if q.threads or not public]
    found, whole = find(wanted, titles, among)
    if not wanted.strip():
        st.html(f"<p>{len(found)} questions, by page.</p>" + by_page(found, titles))
        return
    if not found:
        told = f"Nothing here speaks of “{escape(wanted)}”. An empty field shows all questions"
    elif whole:
        told = f"{len(found)} of {len(among)}"
    else:
        told = f"No question has all of “{escape(wanted)}”; these come nearest"
    st.html(f'<p role="status">{told}.</p>' + by_rank(found, titles))


chapter.header("Questions", defaults=DEFAULTS)
chapter.prose(
    "Every question that a page answers, as students and engineers put it. Each leads to its "
    "answer, and the answer to the exhibit that shows it."
)
exhibit()
chapter.report_link()
