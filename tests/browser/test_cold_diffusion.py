"""Cold diffusion in a real browser: ways back are computed to their end, and seen to differ."""

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
    expect(page.locator(".player .now")).to_contain_text("done in", timeout=60_000)


def picture(page: Page, alt: str) -> Locator:
    return page.locator(".player canvas").and_(page.get_by_role("img", name=alt))


def pixels(page: Page, alt: str) -> list[int]:
    return list(picture(page, alt).evaluate(PIXELS))


@pytest.mark.parametrize(
    "query",
    ["", "?corestorer=division", "?coview=Noise&costeps=5", "?coview=From+nothing&conoise=0"],
)
def test_each_view_runs_to_its_end(page: Page, base: str, query: str, assert_clean: Check) -> None:
    opened(page, f"{base}/cold_diffusion{query}")
    to_end(page)
    assert_clean(page)


def test_a_wrong_answer_is_forgiven_where_the_degradation_goes_straight(
    page: Page, base: str
) -> None:
    opened(page, f"{base}/cold_diffusion?corestorer=always+the+average&cot=20")
    to_end(page)
    true, squares, naive = (
        pixels(page, alt)
        for alt in ("before they were blurred", "squares go back", "algorithm 1: the blur")
    )
    assert max(abs(a - b) for a, b in zip(true, squares, strict=True)) <= 1
    assert sum(abs(a - b) for a, b in zip(true, naive, strict=True)) > 10 * len(true)


def test_a_new_level_reaches_the_player_and_the_address(page: Page, base: str) -> None:
    opened(page, f"{base}/cold_diffusion?cot=6")
    slider = page.get_by_role("slider", name="Blurred to t")
    slider.press("ArrowLeft")
    expect(page).to_have_url(re.compile("cot=5"))
    to_end(page)
    expect(page.locator(".player .now")).to_contain_text("done in 5 steps")


def test_show_me_leads_to_the_view_it_speaks_of(page: Page, base: str) -> None:
    opened(page, f"{base}/cold_diffusion?cot=3")
    fold = page.locator("details", has_text="What has this to do with DDIM?")
    fold.locator("summary").click()
    show_me(fold, lambda: picture(page, "DDIM").count() == 1)
    to_end(page)
    same = zip(pixels(page, "DDIM"), pixels(page, "the noise that x_t holds"), strict=True)
    assert max(abs(a - b) for a, b in same) <= 1


def test_show_me_goes_to_the_end_where_the_view_is_there_already(page: Page, base: str) -> None:
    opened(page, f"{base}/cold_diffusion?cot=30")
    now, first = page.locator(".player .now"), page.locator(".player .first")
    fold = page.locator("details", has_text="Why does algorithm 1 go wrong?")
    fold.locator("summary").click()
    for _ in range(2):  # the second time all that is sent but the count is the same, too
        first.click()
        expect(now).to_contain_text("step 0 of 30")
        show_me(fold, lambda: "step 0" not in now.inner_text())
        expect(now).to_contain_text("done in 30 steps", timeout=60_000)


def test_five_pictures_share_a_row_on_a_small_laptop(page: Page, base: str) -> None:
    """With the usual gap the last one would stand alone on a line below."""
    page.set_viewport_size({"width": 1280, "height": 800})
    opened(page, f"{base}/cold_diffusion?cot=3")
    boxes = page.locator(".player figure canvas").evaluate_all(
        "all => all.map(c => c.getBoundingClientRect()).map(b => [b.top, b.width, b.right])"
    )
    assert len(boxes) == 5
    assert len({top for top, _, _ in boxes}) == 1
    assert min(width for _, width, _ in boxes) == 172  # two pixels for one
    assert boxes[-1][2] <= 1240
