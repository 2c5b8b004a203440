"""Questions: every confusion that a page settles, in one list to search."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from urllib.parse import quote

import streamlit as st

from pages.shared import chapter
from pages.shared.asked import MOST_CHARACTERS, Question, find, pages_for, questions, thread
from pages.shared.contents import page_contents
from pages.shared.glossary import lookup, page_titles

DEFAULTS = {"puzzle": "", "public": False}
TRY = "why clip, beta or beta tilde, mask token …"


def item(question: Question, title: str = "") -> str:
    """One question as a list's item: a link, the page if it is given, and where it was asked."""
    asked = [thread(mark) for mark in question.threads]
    marks = ", ".join(
        f'<a class="thread" href="{address}" target="_blank">{escape(name)}</a>'
        if address else escape(name)
        for name, address in asked
    )  # fmt: skip
    where = f"<small>{escape(title)}</small>" if title else ""
    number = f"asked in {len(asked)} public thread{'s' * (len(asked) > 1)}"
    public = f"<details><summary>{number}</summary><span>{marks}</span></details>" if asked else ""
    link = f'<a href="{escape(question.address)}">{escape(question.asks)}</a>'
    return f"<li>{link}{where}{public}</li>"


def by_page(found: Sequence[Question], titles: dict[str, str]) -> str:
    """The whole list, a block for each page."""
    blocks = []
    for page, group in groupby(found, lambda question: question.page):
        items = list(map(item, group))
        title = f'<h3><a href="{page}">{escape(titles[page])}</a></h3>'
        # Folded on a phone, where all of them make a column that nobody scrolls through.
        fold = f'<details class="phone"><summary>{len(items)} questions</summary>'
        blocks.append(f"<section>{title}{fold}<ul>{''.join(items)}</ul></details></section>")
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
        public = st.checkbox("Only what people asked in public", key="public", bind="query-params")
    titles, contents = page_titles(), page_contents()
    among = [q for q in questions() if q.threads or not public]
    found, whole = find(wanted, contents, among)
    if not wanted.strip():
        st.html(f"<p>{len(found)} questions, by page.</p>" + by_page(found, titles))
        return
    typed = escape(wanted)
    if not found:
        told = f"No question speaks of “{typed}”. An empty field shows all of them."
    elif whole:
        told = f"{len(found)} of {len(among)}, the nearest first."
    else:
        told = f"No question has all of “{typed}”. These come nearest."
    pages = ", ".join(
        f'<a href="{page}">{escape(titles[page])}</a>' for page in pages_for(wanted, contents)
    )
    notes = [f"Whole pages on it: {pages}."] * bool(pages)
    if term := lookup(wanted):
        word = f'<a href="notation?find={quote(term.word)}">{escape(term.word)}</a>'
        notes.append(f"In the glossary: {word}, {escape(term.gist)}.")
    st.html(
        f'<p role="status">{told}</p><div class="asks notes">'
        + "".join(f"<p>{note}</p>" for note in notes) + "</div>" + by_rank(found, titles)
    )  # fmt: skip


chapter.header("Questions", defaults=DEFAULTS)
chapter.prose(
    "Every question that a page answers, as students and engineers put it. Each leads to its "
    "answer, and the answer to the exhibit that shows it."
)
exhibit()
chapter.report_link()
