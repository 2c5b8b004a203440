"""Every symbol and every term of the app, in one place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

import streamlit as st

from pages.shared import chapter, glossary
from pages.shared.chapter import Confusion, Experiment, Source
from pages.shared.glossary import Entry, Symbol
from pages.shared.palette import COLORS, textcolor

CONCEPTS = {
    "x0": "the clean picture, and its prediction",
    "eps": "noise, its prediction, the score",
    "q": "the true process",
    "p": "the model",
    "bits": "bits and losses",
    "xt": "the noisy picture",
}
DEFAULTS = {"find": ""}
STYLE = """<style>
.symbols table, .terms table { width: 100%; }
.symbols th, .symbols td { text-align: left; vertical-align: top; padding: .4rem .9rem .4rem 0;
  border: 0; border-bottom: 1px solid var(--line); }
.symbols td:first-child { white-space: nowrap; font-size: 1.125rem; }
.symbols td:nth-child(3), .symbols td:nth-child(4) { font-variant-numeric: tabular-nums; }
.stApp .symbols small { color: light-dark(#5a5f66, #b6b5b1); }
.symbols th small { display: block; font-weight: 400; }
.entries { columns: 2; column-gap: 3rem; max-width: none; }
.entries > div { break-inside: avoid; margin-bottom: .9rem; }
.entries p { margin: 0; max-width: none; }
.entries .quiet { font-size: .875rem; opacity: .8; }
.entries .found { border-left: 3px solid currentColor; padding-left: .75rem; }
.swatches { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; font-size: .9375rem; }
.swatches i { display: inline-block; width: .8rem; height: .8rem; border-radius: 50%;
  margin-right: .4rem; }
@media (max-width: 960px) {
  .entries { columns: 1; }
  .symbols table, .symbols thead, .symbols tbody, .symbols tr, .symbols td { display: block; }
  .symbols th { display: none; }
  .symbols th:nth-child(3) { display: block; border: 0; padding: 0; }
  .symbols td { border: 0; padding: 0; }
  .symbols td:empty { display: none; }
  .symbols tr { border-bottom: 1px solid var(--line); padding: .6rem 0; }
}
</style>"""


@st.cache_data(max_entries=1, show_spinner=False)
def all_entries() -> list[Entry]:
    """The glossary, with what the pages add in their own words."""
    return glossary.entries(glossary.uses())


def links(pages: Sequence[str]) -> str:
    """Pages by name, as links, in the order of the navigation; those that aren't there left out."""
    titles = glossary.page_titles()
    return ", ".join(f'<a href="{page}">{escape(titles[page])}</a>' for page in titles
                     if page in pages)  # fmt: skip


def symbol_table(symbols: Sequence[Symbol]) -> str:
    """Rows of a Markdown table: letter, meaning, shape, range, where to see it."""
    shapes = "Shape, in code <small>B pictures, each of shape D; tables for steps 0 … T</small>"
    lines = [f"| Symbol | Meaning | {shapes} | Range | Pages |", "|---|---|---|---|---|"]
    for symbol in symbols:
        tex = textcolor(symbol.concept, symbol.tex) if symbol.concept else symbol.tex
        tex = tex.replace("|", r"\vert ").replace(r"\\vert ", r"\Vert ")  # a bar ends the cell
        shape = f"{symbol.shape}<br>" if symbol.shape else ""
        code = ", ".join(f"<code>{escape(name)}</code>" for name in symbol.code.split(", "))
        meaning = f"**{symbol.name}.** {plain(symbol.meaning)}"
        where = f"<small>{links(symbol.pages)}</small>"
        cells = [f"${tex}$", meaning, plain(shape) + code, plain(symbol.range), where]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plain(text: str) -> str:
    """Text in which brackets and stars are no Markdown."""
    return re.sub(r"([\[\]*_|~])", r"\\\1", text)


def entry_html(entry: Entry, found: bool) -> str:
    """One term: what it means, its other names, pages' own words, where it is used."""
    also = f" <span class='quiet'>({escape(', '.join(entry.also))})</span>" if entry.also else ""
    gist = escape(entry.gist) if entry.gist else "explained where it is used"
    titles = glossary.page_titles()
    notes = "".join(
        f"<p class='quiet'>On {escape(titles[page])}: {escape(said)}</p>"
        for page, said in entry.notes
        if page in titles
    )
    seen = links(entry.pages)
    where = f"<p class='quiet'>{seen}</p>" if seen else ""
    name = " class='found'" if found else ""
    return f"<div{name}><p><b>{escape(entry.word)}</b>{also}: {gist}.</p>{notes}{where}</div>"


@st.fragment
def exhibit() -> None:
    """A search over both tables."""
    top = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    wanted = top.text_input(
        "Find a symbol or a term", key="find", bind="query-params", type="search",
        max_chars=glossary.MOST_CHARACTERS, placeholder="σ, β̃, alpha bar, posterior, KL …",
        width=420, live=True,
    )  # fmt: skip
    entries = glossary.find_entries(wanted, all_entries())
    symbols = glossary.find_symbols(wanted)
    if not entries and not symbols:
        st.html(
            f"<p>Nothing here is called “{escape(wanted)}”, or mentions it. Try a shorter word; "
            "an empty field shows everything.</p>"
        )
        return
    parts = [show_symbols, show_terms] if symbols and not names_a_term(wanted) else [
        show_terms, show_symbols]  # fmt: skip
    if symbols and entries:
        top.markdown(":gray[Go to] [Symbols](#symbols) | [Terms](#terms)", width="content")
    for part in parts:
        part(wanted, symbols, entries)


def names_a_term(wanted: str) -> bool:
    """Whether a search is a term's name: then terms come first."""
    return bool(wanted.strip()) and (
        glossary.lookup(wanted) is not None
        or any(wanted.strip().casefold() == entry.word.casefold() for entry in all_entries())
    )


def show_symbols(wanted: str, symbols: Sequence[Symbol], entries: Sequence[Entry]) -> None:
    """The table of symbols."""
    if not symbols:
        return
    st.subheader("Symbols", anchor="symbols")
    chapter.prose(f'<div class="symbols">\n\n{symbol_table(symbols)}\n\n</div>')


def show_terms(wanted: str, symbols: Sequence[Symbol], entries: Sequence[Entry]) -> None:
    """The glossary."""
    if not entries:
        return
    st.subheader("Terms", anchor="terms")
    first = names_a_term(wanted)
    body = "".join(entry_html(e, first and place == 0) for place, e in enumerate(entries))
    st.html(f'<div class="entries">{body}</div>')


def page() -> None:
    """Lay out the page."""
    chapter.header("Notation and glossary", defaults=DEFAULTS)
    st.html(STYLE)
    chapter.prose(
        "A letter keeps its meaning and its colour in formulas and beside controls; where papers "
        "clash, as over σ, v and w, the table says so. A hat marks a prediction. Steps run from "
        "0, the clean picture, to T."
    )
    chapter.question(
        "You read “σ = 3” in a paper. Can it be the σ of this app?",
        {
            "Yes": "Here σ = √(1−ᾱ) is the factor of the noise in xₜ, and never above 1.",
            "No": "Here σ = √(1−ᾱ) is never above 1. A σ of 3 is noise per unit of signal, "
            "√((1−ᾱ)/ᾱ), as in EDM or in score-SDE's VE process; here that is written σ̃.",
        },
        answer="No",
    )
    chapter.look()
    swatches = "".join(
        f'<span><i style="background:{COLORS[name]}"></i>{label}</span>'
        for name, label in CONCEPTS.items()
    )
    st.html(f'<div class="swatches">{swatches}</div>')
    exhibit()
    chapter.why(
        [
            Confusion(
                "Is σ a variance, a standard deviation, or a noise level?",
                "Here always a standard deviation: σ² is a variance. EDM's noise level has a "
                "tilde.",
                {"find": "sigma"},
                look="Both σ, with their ranges: one ends at 1, the other doesn't.",
            ),
            Confusion(
                "What is the difference between β, β̃ and √β?",
                "βₜ is the variance that step t adds, √βₜ what noise is multiplied by, and β̃ₜ the "
                "variance of the posterior, never larger than βₜ.",
                {"find": "beta"},
                look="β and β̃: one belongs to the way forth, the other to the way back.",
            ),
            Confusion(
                "Is γ a noise level or a guidance scale?",
                "Both are in use: VDM's γ is −log SNR, and Luo's tutorial writes γ for the scale "
                "that others call s.",
                {"find": "gamma"},
                look="The meaning of γ here.",
            ),
        ]
    )
    chapter.try_this(
        [
            Experiment("Look up the posterior", "its symbols, its mean and its variance.",
                       {"find": "posterior"}),
            Experiment("Look up what KL means", "a divergence in nats, coloured as a cost.",
                       {"find": "KL"}),
        ]
    )  # fmt: skip
    chapter.sources(
        [
            Source("Ho, Jain, Abbeel 2020, Denoising Diffusion Probabilistic Models",
                   "most of the letters", "https://arxiv.org/abs/2006.11239"),
            Source("Kingma, Salimans, Poole, Ho 2021, Variational Diffusion Models", "γ and SNR",
                   "https://arxiv.org/abs/2107.00630"),
            Source("Austin et al. 2021, Structured Denoising Diffusion (D3PM)", "Q and K",
                   "https://arxiv.org/abs/2107.03006"),
            Source("Karras et al. 2022, Elucidating the Design Space (EDM)", "σ̃",
                   "https://arxiv.org/abs/2206.00364"),
        ]
    )  # fmt: skip


page()
