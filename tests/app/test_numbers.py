"""Numbers in sentences and tables: a value and its error stay on one line."""

from __future__ import annotations

import re
from pathlib import Path

from pages.shared.numbers import plus_minus, signed

PAGES = Path(__file__).resolve().parents[2] / "pages"


def test_no_line_ends_between_a_number_and_its_error() -> None:
    assert plus_minus("50%", "2%").split(" ") == ["50%\u00a0±\u00a02%"]
    assert plus_minus("", "0.01") == "±\u00a00.01"


def test_a_minus_is_no_hyphen() -> None:
    assert [signed(value) for value in (-1.005, 0.5, 12)] == ["−1.00", "0.50", "12.00"]
    assert signed(-13.26, 1) == "−13.3"


def test_every_page_writes_an_error_that_way() -> None:
    """A "±" with an ordinary space before what is computed could stand at a line's end."""
    loose = [
        f"{path.name}: {found}"
        for path in sorted(PAGES.rglob("*.py"))
        for found in re.findall(r".*± \{.*", path.read_text(encoding="utf-8"))
    ]
    assert not loose
