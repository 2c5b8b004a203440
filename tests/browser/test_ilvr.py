"""ILVR in a real browser: what is held is seen to be held."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import idle, show_me

Check = Callable[[Page], None]
OPEN_MS = 120_000
PIXELS = """picture => [...picture.getContext("2d")
  .getImageData(0, 0, picture.width, picture.height).data].filter((_, i) => i % 4 == 0)"""


def opened(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".player .now")).to_contain_text("t = ", timeout=OPEN_MS)
    expect(page.get_by_role("heading", name="Sources")).to_be_visible()
    idle(page)


def to_end(page: Page) -> None:
    page.locator(".player .last").click()
    expect(page.locator(".player .now")).to_contain_text("done", timeout=60_000)


def picture(page: Page, alt: str) -> Locator:
    return page.locator(".player canvas").and_(page.get_by_role("img", name=alt))


def pixels(page: Page, alt: str) -> list[int]:
    return list(picture(page, alt).evaluate(PIXELS))


@pytest.mark.parametrize(
    "query", ["", "?ilpic=Two+pixels", "?ilpic=A+drawing&ilblock=7&ilheld=100"]
)
def test_each_reference_runs_to_its_end(
    page: Page, base: str, query: str, assert_clean: Check
) -> None:
    opened(page, f"{base}/ilvr{query}")
    to_end(page)
    assert_clean(page)


def test_where_every_pixel_is_held_all_digits_are_the_reference(page: Page, base: str) -> None:
    """Seen at N = 2 moved to 1, which the address tells, too."""
    opened(page, f"{base}/ilvr?ilblock=2")
    page.get_by_role("slider", name="Block N").press("ArrowLeft")
    expect(page).to_have_url(re.compile("ilblock=1"))
    expect(page.get_by_text("each 1 × 1 block replaced by its mean")).to_be_visible()
    to_end(page)
    fixed = pixels(page, "its block means")
    sheet = pixels(page, "the digits that the network sees")
    reference = [fixed[r * 28 + c] for r in range(28) for c in range(28)]
    for top in range(0, 87, 29):
        for left in range(0, 87, 29):
            cell = [sheet[(top + r) * 86 + left + c] for r in range(28) for c in range(28)]
            assert max(abs(a - b) for a, b in zip(cell, reference, strict=True)) <= 1


def test_show_me_leads_to_the_two_pixels(page: Page, base: str) -> None:
    opened(page, f"{base}/ilvr")
    fold = page.locator("details", has_text="Does ILVR sample")
    fold.locator("summary").click()
    show_me(fold, lambda: picture(page, "the densities along the line").count() == 1)
    to_end(page)
    expect(page.locator(".player")).to_contain_text("1.47")
