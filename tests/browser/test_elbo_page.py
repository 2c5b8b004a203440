"""The ELBO page in a real browser: bars come as they are computed, and wait when nobody looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import show_me

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[[Page, str], Path]

FIRST_MS = 120_000  # the first visitor waits for torch and the network, on a busy machine long
VIEWS = (
    "Ledger", "Decoder", "Test set", "Three forms", "Weights", "Estimator", "Two decompositions"
)  # fmt: skip


@pytest.fixture
def url(browser: object, server: Any) -> str:
    return f"{server.url}/elbo"


def player(page: Page) -> Locator:
    return page.locator(".player")


def have(page: Page) -> int:
    return int(player(page).get_attribute("data-have") or 0)


def opened(page: Page, address: str) -> None:
    page.goto(address)
    expect(player(page)).to_have_attribute("data-have", re.compile(r"^[1-9]"), timeout=FIRST_MS)


def caption(page: Page) -> str:
    return page.locator(".player .now").inner_text()


def bars(page: Page) -> int:
    """How many bars the first chart draws."""
    path = page.locator(".player path.curve-all").first.get_attribute("d") or ""
    return path.count("M")


def test_the_ledger_is_computed_and_added_up(page: Page, url: str, assert_clean: Check) -> None:
    opened(page, f"{url}?eb_T=50")
    expect(player(page)).to_have_attribute("data-have", "50", timeout=FIRST_MS)
    expect(
        page.get_by_text(re.compile(r"Together [\d.]+ bits/dim, that is [\d,]+ bits for 784"))
    ).to_be_visible()
    assert bars(page) == 50
    player(page).get_by_role("slider").press("Home")
    assert caption(page).startswith("t = 1 · L₀ = ")
    page.keyboard.press("ArrowRight")
    assert caption(page).startswith("t = 2 · L₁ = ")
    assert "NaN" not in page.locator("body").inner_text()
    assert_clean(page)


def test_a_paused_ledger_computes_no_more_than_lies_ahead(page: Page, url: str) -> None:
    opened(page, f"{url}?eb_T=100&eb_seed=17")
    player(page).get_by_role("button", name="Pause").click()
    page.wait_for_timeout(1500)  # what was asked for before the pause may still come
    stopped = have(page)
    page.wait_for_timeout(1500)
    assert have(page) == stopped
    shown = int(player(page).get_attribute("data-frame") or 0)
    assert stopped <= shown + 1 + 12 + 8


def test_why_shows_the_decompositions(page: Page, url: str, assert_clean: Check) -> None:
    opened(page, f"{url}?eb_T=5")
    box = page.get_by_text("Is the consistency form as usually printed the same bound?")
    box.scroll_into_view_if_needed()
    box.click()
    detail = page.locator("details").filter(has=box)
    shown = page.get_by_text("consistency, KL as often written")
    show_me(detail, lambda: shown.count() > 0)
    expect(page.get_by_text("−1.978").or_(page.get_by_text("-1.978")).first).to_be_visible()
    assert_clean(page)


def test_at_the_first_step_a_point_is_drawn(page: Page, url: str) -> None:
    """In the middle of the small chart, high up: the point's line at t = 1, nothing at t = 2."""
    opened(page, f"{url}?eb_T=5")
    expect(player(page)).to_have_attribute("data-have", "5", timeout=FIRST_MS)
    slider = player(page).get_by_role("slider")

    def ink() -> int:
        return int(
            page.locator(".player canvas.chart").evaluate(
                """(c) => {
                  const [x, y] = [Math.round(c.width / 2) - 2, Math.round(0.2 * c.height)];
                  const found = c.getContext("2d").getImageData(x, y, 5, 3).data;
                  return found.filter((_, i) => i % 4 === 3).reduce((a, b) => a + b);
                }"""
            )
        )

    slider.press("Home")
    assert caption(page).startswith("t = 1 ")
    assert ink() > 0
    slider.press("ArrowRight")
    assert caption(page).startswith("t = 2 ")
    assert ink() == 0


def test_the_bell_follows_its_slider(page: Page, url: str, assert_clean: Check) -> None:
    page.goto(f"{url}?eb_view=Decoder")
    bell = page.get_by_role("img", name="The decoder's bell for pixel").or_(
        page.get_by_label(re.compile("The decoder's bell for pixel"))
    )
    expect(bell.first).to_be_visible(timeout=FIRST_MS)
    before = bell.first.get_attribute("aria-label") or ""
    title = page.get_by_text(re.compile(r"all pixels: L₀ = [\d.]+ bits/dim"))
    expect(title).to_be_visible()
    drawn = title.text_content() or ""
    slider = page.get_by_role("slider", name="Width of the bell")
    for _ in range(4):
        slider.press("ArrowRight")
    expect(bell.first).not_to_have_attribute("aria-label", before)
    expect(title).not_to_have_text(drawn)
    expect(page).to_have_url(re.compile(r"eb_width=1\.5"))
    assert_clean(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_a_telephone(
    new_page: NewPage, url: str, assert_clean: Check, shot: Shot, scheme: str
) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    opened(page, f"{url}?eb_T=5")
    for view in VIEWS:
        page.get_by_role("radio", name=view, exact=True).or_(
            page.get_by_role("button", name=view, exact=True)
        ).first.click()
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
        marker = {
            "Ledger": page.locator(".player"),
            "Decoder": page.get_by_text("The last step must name"),
            "Estimator": page.get_by_text("After "),
        }.get(view, page.locator("main table, table"))
        expect(marker.first).to_be_visible(timeout=FIRST_MS)
        assert_clean(page)
    shot(page, f"elbo_{scheme}")


CUT = """(boxes) => boxes.filter((box) => box.scrollWidth > box.clientWidth + 1
    && box.clientWidth > 0).map((box) => box.textContent)"""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("address", ["elbo", "learned_schedule", "reverse_sampling"])
def test_no_formula_is_cut(server: Any, page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{server.url}/{address}")
    expect(page.get_by_text("Sources", exact=True)).to_be_visible(timeout=FIRST_MS)
    page.locator("details.fold").evaluate_all("(folds) => folds.forEach((f) => f.open = true)")
    formulas = page.locator(".stMarkdown .katex-display")
    expect(formulas.nth(3)).to_be_attached()
    assert formulas.evaluate_all(CUT) == []


@pytest.mark.parametrize("width", [300, 320, 340])
def test_a_formula_scrolls_where_it_is_too_wide(url: str, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    opened(page, url)
    expect(page.locator(".katex-display[tabindex]").first).to_be_attached()
    folded = page.locator("details.fold").first
    folded.locator("summary").click()
    expect(folded.locator(".katex-display[tabindex]").first).to_be_visible()
    # Where the browser's rounding decides, either is right. The page looks a moment after a change.
    page.wait_for_function(
        """() => {
          const found = [...document.querySelectorAll(".stMarkdown .katex-display")]
            .filter((box) => box.checkVisibility()).map((box) => {
              const ends = [...box.querySelectorAll(".base")].map((b) => b.getBoundingClientRect().right);
              const beyond = Math.max(...ends) - box.getBoundingClientRect().right;
              return [beyond, getComputedStyle(box).overflowX === "auto", box.tabIndex === 0];
            }).filter(([beyond]) => Math.abs(beyond) > 2.5);
          return new Set(found.map(([beyond]) => beyond > 0)).size === 2
            && found.every(([beyond, scrolls, reached]) => beyond > 0 === scrolls && scrolls === reached);
        }"""  # noqa: E501
    )
    # What sticks out of the text is the ring of what has the focus.
    text = page.get_by_test_id("stMarkdownContainer").filter(has=page.locator(".grid, .fold"))
    overflows = text.evaluate_all("(boxes) => boxes.map((e) => getComputedStyle(e).overflow)")
    assert set(overflows) == {"visible"}
