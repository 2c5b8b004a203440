"""Write `pages/shared/asked.json`: `python -m tools.questions`, after a change of any "Why?".

Each page is run once, in its default setting, and what it hands to `chapter.why` is noted.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from streamlit.testing.v1 import AppTest

from pages.shared import chapter
from pages.shared.asked import INDEX, words_of
from pages.shared.glossary import page_titles

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300


def asked_on(page: str) -> list[chapter.Confusion]:
    """What a page lists under "Why?"."""
    (path,) = ROOT.glob(f"pages/[!s]*/{page}.py")
    found: list[chapter.Confusion] = []

    def note(items: Sequence[chapter.Confusion]) -> None:
        found.extend(items)

    with patch.object(chapter, "why", note):
        app = AppTest.from_file(str(path), default_timeout=SECONDS).run()
    if app.exception:
        raise RuntimeError(f"{page} does not run: {app.exception[0].message}")
    return found


def row(page: str, item: chapter.Confusion) -> dict[str, object]:
    """A question as the index has it. Numbers are left out of its words: pages compute them."""
    told = html.unescape(re.sub(r"<[^>]*>|\\[a-z]+", " ", f"{item.answer} {item.look}"))
    words = {word for word in words_of(told) if len(word) > 2 and word.isalpha()}
    return {
        "page": page,
        "asks": item.asks,
        "threads": list(item.threads),
        "words": " ".join(sorted(words)),
    }


def rows() -> list[dict[str, object]]:
    """The index of all pages, in the order of the navigation."""
    return [row(page, item) for page in page_titles() for item in asked_on(page)]


def written(found: list[dict[str, object]]) -> str:
    """The index as text, a line for each question."""
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in found)
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    if not INDEX.exists():
        INDEX.write_text("[]", encoding="utf-8")  # the page that lists them runs, too
    INDEX.write_text(written(rows()), encoding="utf-8")
