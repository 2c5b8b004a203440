"""Every term and symbol of the app, said once: hover notes and the notation page both read this.

`chapter.term("posterior")` shows the gist that stands here. A page may still give its own words,
`chapter.term("mean", "...")`; `entries` collects those from the pages' source, so that the glossary
holds every term of every page without anybody having to copy it here.
"""

from __future__ import annotations

import ast
import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from pages.shared.glossary_tables import SYMBOLS, TERMS, Symbol, Term

__all__ = [
    "SYMBOLS",
    "TERMS",
    "Entry",
    "Symbol",
    "Term",
    "Use",
    "address",
    "entries",
    "find_entries",
    "find_symbols",
    "gist_of",
    "lookup",
    "page_titles",
    "uses",
]

ROOT = Path(__file__).resolve().parents[2]
MOST_CHARACTERS = 60
"""Of a search that comes out of an address."""


_OVER = {"\u0302": " hat", "\u0303": " tilde", "\u0304": " bar", "\u0305": " bar"}
_LETTER = r"(?:[\u0302-\u0305]|[^\W\u2080-\u209c])"
"""What makes another symbol of the one before it: an accent or a letter, but no index."""


class Use(NamedTuple):
    """One `term(...)` in a page's source.

    Attributes:
        word: the first argument.
        gist: the second where it is written out; None where there is none or it is computed.
        computed: whether there is a gist that only the running page knows.
        page: the file's name without `.py`; "" for a file that is no page.
    """

    word: str
    gist: str | None
    computed: bool
    page: str


@dataclass(frozen=True)
class Entry:
    """A term as the glossary shows it.

    Attributes:
        word: the headword.
        gist: what it means; "" where only the page can say it.
        also: other names.
        notes: (page, gist) of pages that say it in their own words.
        pages: where it is used or explained.
    """

    word: str
    gist: str
    also: tuple[str, ...]
    notes: tuple[tuple[str, str], ...]
    pages: tuple[str, ...]


def lookup(word: str) -> Term | None:
    """The term of this name, spelled in any case and number, or None."""
    return _index().get(_plain(word))


def gist_of(word: str) -> str:
    """What the glossary says of a word.

    Raises:
        ValueError: when the word is not in `TERMS`.
    """
    found = lookup(word)
    if found is None:
        raise ValueError(f"{word!r} is not in the glossary: add it there, or give term() a gist")
    return found.gist


def address(word: str) -> str:
    """Link to a word's entry on the notation page, relative to any page's address."""
    found = lookup(word)
    return f"notation?find={quote(found.word if found else word, safe='')}"


def uses(root: Path = ROOT) -> list[Use]:
    """Every `term(...)` whose word is written out, in the source of all pages."""
    found: list[Use] = []
    for path in sorted((root / "pages").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "term(" in text:
            page = "" if path.parent.name == "shared" else path.stem
            found += _uses_in(text, page)
    return found


def _uses_in(text: str, page: str) -> Iterator[Use]:
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
        word = _literal(node.args[0])
        if name != "term" or word is None:
            continue
        given = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "gist")]
        gist = _literal(given[0]) if given else None
        yield Use(word, gist, bool(given) and gist is None, page)


def _literal(node: ast.expr) -> str | None:
    """A string that is written out, else None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def entries(found: Sequence[Use]) -> list[Entry]:
    """The glossary: `TERMS`, and what pages explain in their own words, by name."""
    told: dict[str, list[Use]] = {}
    for use in found:
        known = lookup(use.word)
        told.setdefault(known.word if known else use.word, []).append(use)
    result = [_entry(term, told.pop(term.word, [])) for term in TERMS]
    merged: dict[str, list[Use]] = {}
    for word, group in told.items():  # "Average" and "average" are one
        merged.setdefault(_plain(word), []).extend(group)
    for group in merged.values():
        gist = next((use.gist for use in group if use.gist), "")
        result.append(_entry(Term(group[0].word, gist), group))
    return sorted(result, key=lambda entry: entry.word.casefold())


def _entry(term: Term, group: Sequence[Use]) -> Entry:
    notes = dict.fromkeys(
        (use.page, use.gist) for use in group if use.gist and use.gist != term.gist
    )
    pages = dict.fromkeys([*term.pages, *(use.page for use in group if use.page)])
    return Entry(term.word, term.gist, term.also, tuple(notes), tuple(pages))


def find_entries(wanted: str, among: Sequence[Entry]) -> list[Entry]:
    """Entries for a search: the one of that name first, then those that mention it."""
    text = _plain(wanted)
    if not text:
        return list(among)
    whole = re.compile(rf"(?<![\w'’]){re.escape(text)}(?!{_LETTER})")
    held = whole.search if len(text) < 3 else lambda said: text in said  # "h" is in every word

    def rank(entry: Entry) -> int:
        names = [_plain(name) for name in (entry.word, *entry.also)]
        if text in names:
            return 0
        if any(held(name) for name in names):
            return 1
        said = " ".join([entry.gist, *(gist for _, gist in entry.notes)])
        return 2 if held(_plain(said)) else 3

    ranked = sorted(((rank(entry), i) for i, entry in enumerate(among)))
    return [among[i] for place, i in ranked if place < 3]


def find_symbols(wanted: str) -> list[Symbol]:
    """Symbols for a search: by letter, TeX, spelling, name, code or meaning.

    A letter that has no row brings the rows that speak of it.
    """
    text = _plain(wanted)
    if not text:
        return list(SYMBOLS)
    found = [
        symbol
        for symbol in SYMBOLS
        if any(_same_letter(typed, own) for typed in spelled(wanted) for own in spelled(symbol.tex))
        or text == _plain(symbol.plain)
        or (len(text) > 2 and _plain(symbol.plain).startswith(text))
        or text in {_plain(name) for name in symbol.code.split(", ")}
        or (len(text) > 2 and text in _plain(f"{symbol.name} {symbol.meaning} {symbol.code}"))
    ]
    return found or [s for s in SYMBOLS if not text.isascii() and text in _plain(s.meaning)]


def spelled(symbol: str) -> set[tuple[str, str]]:
    r"""How symbols are called, however they are typed: `ᾱₜ` and `\bar{\alpha}_t` are one.

    Args:
        symbol: one, or several with commas between them.

    Returns:
        (letter and what is over it, index), such as ("alpha bar", "t").
    """
    text = "".join(map(_named, unicodedata.normalize("NFD", symbol))).casefold()
    text = re.sub(r"\\(mathbf|mathrm|boldsymbol|bm|text|var)(?=\W|[a-z])|\$", " ", text)
    text = re.sub(r"\s+", " ", re.sub(r"[\\{}]", " ", text)).replace(" _", "_").replace("_ ", "_")
    text = re.sub(r"\b(?:wide)?(bar|hat|tilde) ?([a-z]+)(?![a-z])", r"\2 \1", text)
    parts = [part.strip().partition("_") for part in text.split(",")]
    return {(letter, index.replace("_", "").strip()) for letter, _, index in parts if letter}


def _named(letter: str) -> str:
    """A Greek letter, an accent or an index in plain letters."""
    if letter in _OVER:
        return _OVER[letter]
    kind, _, plain = unicodedata.decomposition(letter).partition(" ")
    if kind == "<sub>":
        return "_" + chr(int(plain, 16))
    name = unicodedata.name(unicodedata.normalize("NFKD", letter)[0], "")
    return name.split()[-1] if name.startswith("GREEK") or name == "NABLA" else letter


def _same_letter(typed: tuple[str, str], own: tuple[str, str]) -> bool:
    """Whether a symbol is the one that was typed; without an accent or an index, any will do."""
    (letter, index), (name, at) = typed, own
    over = name.startswith(f"{letter} ") and not index
    return (letter == name or over) and (not index or not at or index == at)


@functools.cache
def page_titles(root: Path = ROOT) -> dict[str, str]:
    """File name -> title of every page in the navigation, read from app.py."""
    titles = {}
    for node in ast.walk(ast.parse((root / "app.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "Page" and node.args:
            path = _literal(node.args[0])
            title = next((_literal(k.value) for k in node.keywords if k.arg == "title"), None)
            if path and title:
                titles[Path(path).stem] = title
    return titles


@functools.cache
def _index() -> dict[str, Term]:
    return {_plain(name): term for term in TERMS for name in (term.word, *term.also)}


def _plain(text: str) -> str:
    """Case, hyphens and a plural's s make no other word."""
    words = re.sub(r"[\s\-‑–]+", " ", unicodedata.normalize("NFC", text).casefold()).strip()
    return words[:-1] if len(words) > 3 and words.endswith("s") else words
