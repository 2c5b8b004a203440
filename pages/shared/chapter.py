"""The bones that every page shares: title, question, why?, try this, sources.

A page, from top to bottom:

>>> chapter.header("Reverse sampling", defaults={"steps": 50, "eta": 0.0})
>>> chapter.question("What is left of ...?", {"Nothing": "...", "Noise": "..."}, answer="Noise")
>>> steps = st.slider("Steps", 1, 100, 50, key="steps", bind="query-params")  # the exhibit
>>> explain.formula_and_code(GaussianDiffusion.q_sample)
>>> chapter.why([chapter.Confusion("...", "...", state={"eta": 1.0})])
>>> chapter.try_this([chapter.Experiment("...", "...", state={"steps": 5})])
>>> chapter.sources([chapter.Source("Ho et al. 2020", "eq. 4", "https://arxiv.org/abs/2006.11239")])
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from zlib import crc32

import streamlit as st

from pages.shared import glossary, lesson
from pages.shared.asked import slug, thread
from pages.shared.component import code
from pages.shared.state import (
    apply_state,
    asked_for,
    looking,
    offer,
    remember_defaults,
    remember_link,
    reset_state,
    stop_looking,
    unheeded_link,
)
from pages.shared.toolbar import presenting, toolbar

__all__ = [
    "Confusion",
    "Experiment",
    "Source",
    "apply_state",
    "aside",
    "fold",
    "grid",
    "header",
    "look",
    "presenting",
    "prose",
    "question",
    "report_link",
    "reset_state",
    "sources",
    "term",
    "toolbar",
    "try_this",
    "why",
]

_CSS = Path(__file__).with_name("chapter.css")
_PRINT = Path(__file__).with_name("print.css")


@dataclass(frozen=True)
class Confusion:
    """A thing that people get wrong, as they would say it.

    Args:
        asks: the confusion, one short line.
        answer: Markdown; may hold `term(...)`.
        state: control values that let the reader see the answer; none for prose only.
        look: what to look at then, said above the exhibit.
        show: label of the button that sets them.
        threads: where people asked this, as `asked.thread` reads it.
    """

    asks: str
    answer: str
    state: Mapping[str, object] | None = None
    look: str = ""
    show: str = "Show me"
    threads: Sequence[str] = ()


@dataclass(frozen=True)
class Experiment:
    """Something to try, with what will happen.

    Args:
        do: the experiment, one short line; it is the button's label.
        expect: what the reader will see, and the reason.
        state: control values; every control not named goes back to its default.
    """

    do: str
    expect: str
    state: Mapping[str, object]


@dataclass(frozen=True)
class Source:
    """A paper or thread, and where in it."""

    title: str
    where: str = ""
    url: str | None = None


def header(
    title: str,
    *,
    defaults: Mapping[str, object] | None = None,
    renamed: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Draw the page's title with its tools.

    Args:
        title: the page's name.
        defaults: key -> value of every control that "reset" puts back.
        renamed: key -> an option's name in older links -> its name now.
    """
    remember_link(renamed or {})
    remember_defaults(defaults or {})
    st.html(_CSS)
    st.html(_PRINT)
    lesson.bar(title, presenting=presenting())
    with st.container(
        key="chapter_header",
        horizontal=True,
        horizontal_alignment="distribute",
        vertical_alignment="center",
    ):
        st.title(title, anchor=False, width="content")
        with st.container(horizontal=True, gap="small", width="content", key="chapter_tools"):
            toolbar(title)
            code()  # here its placeholder, there until the style sheet is, pushes nothing down


def question(
    text: str,
    options: Mapping[str, str],
    *,
    answer: str,
    key: str = "",
    state: Mapping[str, object] | None = None,
    look: str = "",
    alone: bool = True,
) -> None:
    """Ask for a prediction, then say why it holds or doesn't. Never blocks the exhibit.

    Args:
        text: the question, one sentence.
        options: each possible answer -> why it is right or wrong (Markdown).
        answer: the right one.
        key: the session key of the guess, made from the question if it isn't given. Unlike a
            control's, it is not in the address: a shared link must not give the answer away.
        state: control values that show the answer; a button under it sets them.
        look: what to look at then, as a confusion's.
        alone: whether a guess leaves what is around the question as it is. If not, what the
            question stands in runs again: it may name what it had kept from the reader, whose
            guess is in the session's state under `key`.

    Raises:
        ValueError: if `answer` is not among the options.
    """
    if answer not in options:
        raise ValueError(f"the answer {answer!r} is not one of {list(options)}")
    see = None if state is None else ("See it", "question", state, look)
    ask = st.fragment(_ask) if alone else _ask  # a guess must not disturb the exhibit
    ask(text, options, answer, key or f"guess_{crc32(text.encode()):08x}", see)


def _ask(
    text: str,
    options: Mapping[str, str],
    answer: str,
    key: str,
    see: tuple[str, str, Mapping[str, object], str] | None,
) -> None:
    with st.container(key=f"chapter_question_{key}", gap="xsmall"):
        guess = st.pills(text, list(options), key=key, persist_state="session")
        if guess is not None:
            # Of the guess, not of the question, to which the answer may be no.
            verdict = "Right." if guess == answer else "Not quite."
            prose(f"**{verdict}** {options[guess]}" + (f"\n\n{_button(*see)}" if see else ""))


def look() -> None:
    """Repeat what a Why or a Try asked the reader to look at, above the exhibit it set."""
    text = looking()
    # There even if empty: what follows would be made anew, and open folds close, if it moved up.
    with st.container(
        key="chapter_look", horizontal=True, vertical_alignment="center", gap="small"
    ):
        if not text:
            return
        st.markdown(f":material/visibility: {text}")
        st.button("Got it", key="look_done", type="tertiary", on_click=stop_looking)


def why(items: Sequence[Confusion]) -> None:
    """List confusions; each opens to its answer and to a setting of the exhibit that shows it.

    The one that the address names (`?why=...`, see `asked.slug`) is open, and in view.
    """
    st.subheader("Why?", anchor="why")
    wanted = asked_for()
    told = []
    for number, item in enumerate(items):
        name, parts = slug(item.asks), [item.answer]
        if item.state is not None:
            parts.append(_button(item.show, f"why_{number}", item.state, item.look))
        asked = f"Asked in {', '.join(map(_thread, item.threads))} · " if item.threads else ""
        parts.append(aside(asked + _here(name)))
        told.append(fold(item.asks, "\n\n".join(parts), name=name, shown=name == wanted))
    prose("\n\n".join(told))
    if wanted and wanted not in {slug(item.asks) for item in items}:
        st.toast(
            f"This page has no question “{_literal(wanted[:40])}”; those it has are under “Why?”.",
            icon=":material/link_off:",
            duration="infinite",
        )


def _thread(mark: str) -> str:
    """Markdown: a public thread, linked where it can be."""
    name, address = thread(mark)
    return f"[{name}]({address})" if address else name


def _here(name: str) -> str:
    """Markdown: the way to this very answer, to be copied or opened in another tab."""
    return f'<a href="?why={name}">Link to this answer</a>'


def try_this(items: Sequence[Experiment]) -> None:
    """List experiments: a button that sets the controls, and what to expect."""
    st.subheader("Try this", anchor="try-this")
    cells = []
    for number, item in enumerate(items):
        button = _button(item.do, f"try_{number}", item.state, f"{item.do}: {item.expect}")
        cells += [button, f"**Expect:** {item.expect}"]
    prose(grid(cells, "try"))


def report_link() -> None:
    """Say which wishes of the opened link the page could not follow; call it at the page's end.

    Every control has been drawn by then, so what could not be set has been dropped.
    """
    for sentence in unheeded_link():
        st.toast(_literal(sentence), icon=":material/link_off:", duration="infinite")


def sources(items: Sequence[Source]) -> None:
    """List papers with the place in them: the last bone, so `report_link` is called here."""
    report_link()
    st.subheader("Sources", anchor="sources")
    lines = []
    for item in items:
        title = f"[{item.title}]({item.url})" if item.url else item.title
        lines.append(f"- {title}, {item.where}" if item.where else f"- {title}")
    prose("\n".join(lines))


def _literal(text: str) -> str:
    """Text that Markdown shows as it is: it comes out of an address, and may hold anything."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|$:~-])", r"\\\1", text)


def prose(text: str) -> None:
    """Write Markdown that may hold `term(...)`; the style sheet sets it to reading width."""
    st.markdown(text, unsafe_allow_html=True)


def say(notes: Iterable[str]) -> None:
    """What was mended, one line each."""
    for note in notes:
        st.caption(f":material/build: {note}")


# Below the exhibit a page has few elements, each a long text: at every answer of the exhibit
# Streamlit's frontend goes through all elements of the page, and an expander with a button in it is
# three. So what folds, stands in two columns or is pressed there is HTML in the text.


def fold(title: str, text: str, *, name: str = "", shown: bool = False) -> str:
    """Markdown for `prose`: a line that opens to a text.

    Args:
        title: the line.
        text: what it opens to.
        name: for the page's own code, to find it by.
        shown: whether it is open, and to be brought into view.
    """
    marks = f' data-asks="{escape(name)}"' * bool(name) + ' open data-shown="1"' * shown
    line = f"<summary>\n\n{title}\n\n</summary>"
    return f'<details class="fold"{marks}>\n{line}\n\n{text}\n\n</details>'


def grid(cells: Sequence[str], name: str) -> str:
    """Markdown for `prose`: two columns, one under the other on a phone.

    Args:
        cells: Markdown; left, right, left, right.
        name: class for the style sheet.
    """
    boxes = "\n\n".join(f"<div>\n\n{cell}\n\n</div>" for cell in cells)
    return f'<div class="grid {name}">\n\n{boxes}\n\n</div>'


def _button(label: str, name: str, state: Mapping[str, object], look_at: str) -> str:
    """Markdown for `prose`: a button that goes to a setting of the exhibit.

    Args:
        label: Markdown.
        name: of the setting, once on a page.
        state: control values.
        look_at: as in `show_state`.
    """
    offer(name, state, look_at)
    return f'<button type="button" data-show="{name}">{label}</button>'


def aside(text: str) -> str:
    """Markdown for `prose` in small type: where something is from."""
    return f'<div class="aside">\n\n{text}\n\n</div>'


def term(word: str, gist: str | None = None) -> str:
    """A word with a hover note, as HTML for `prose`: shown on hover, on focus and when tapped.

    The note ends with a link to the word's entry in the glossary.

    Args:
        word: as the sentence has it.
        gist: what it means here, plain text; the glossary's own words if it isn't given.

    Raises:
        ValueError: when no gist is given and the glossary doesn't know the word.
    """
    told = glossary.gist_of(word) if gist is None else gist
    return (
        f'<span class="term" tabindex="0">{escape(word)}'
        f'<span class="gist" role="note">{escape(told)} '
        f'<a href="{escape(glossary.address(word))}">Glossary</a></span></span>'
    )
