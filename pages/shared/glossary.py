"""Every term and symbol of the app, said once: hover notes and the notation page both read this.

`chapter.term("posterior")` shows the gist that stands here. A page may still give its own words,
`chapter.term("mean", "...")`; `entries` collects those from the pages' source, so that the glossary
holds every term of every page without anybody having to copy it here.
"""

from __future__ import annotations

import ast
import functools
import re
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

    def rank(entry: Entry) -> int:
        names = [_plain(name) for name in (entry.word, *entry.also)]
        if text in names:
            return 0
        if any(text in name for name in names):
            return 1
        said = " ".join([entry.gist, *(gist for _, gist in entry.notes)])
        return 2 if text in _plain(said) else 3

    ranked = sorted(((rank(entry), i) for i, entry in enumerate(among)))
    return [among[i] for place, i in ranked if place < 3]


def find_symbols(wanted: str) -> list[Symbol]:
    """Symbols for a search: by spelling, name, code or meaning."""
    text = _plain(wanted)
    if not text:
        return list(SYMBOLS)
    return [
        symbol
        for symbol in SYMBOLS
        if text == _plain(symbol.plain)
        or (len(text) > 2 and _plain(symbol.plain).startswith(text))
        or text in {_plain(name) for name in symbol.code.split(", ")}
        or (len(text) > 2 and text in _plain(f"{symbol.name} {symbol.meaning} {symbol.code}"))
    ]


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
    words = re.sub(r"[\s\-‑–]+", " ", text.casefold()).strip()
    return words[:-1] if len(words) > 3 and words.endswith("s") else words
