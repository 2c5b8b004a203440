"""The page "x0 or eps?" in a real browser: alive at once, answers, and clean in every view."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import show_me, unfold

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[[Page, str], Path]

VIEWS = {
    "one": "", "three": "Side by side", "clip": "Clip lens", "round": "Rounding",
    "weights": "Loss weights", "mean": "Errors", "naming": "Errors&xpart=Which noise?",
}  # fmt: skip


@pytest.fixture
def url(browser: object, server: Any) -> str:
    return f"{server.url}/x0_vs_eps"


def settled(page: Page) -> None:
    expect(page.get_by_role("heading", name="Sources")).to_be_visible()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def test_it_is_alive_before_any_click_and_scrubs_without_the_server(
    new_page: NewPage, url: str, assert_clean: Check
) -> None:
    page = new_page(viewport={"width": 1280, "height": 720}, reduced_motion="reduce")
    page.goto(url)
    settled(page)
    player = page.locator(".player")
    expect(player.get_by_text("t = 600 · signal-to-noise ratio 0.52")).to_be_visible()
    canvases = player.locator("canvas")
    expect(canvases).to_have_count(7)
    lowest = canvases.last.bounding_box()
    assert lowest
    assert lowest["y"] + lowest["height"] < 720  # the exhibit is on the first screen
    page.wait_for_timeout(500)
    sent = page.seen.sent  # type: ignore[attr-defined]
    player.get_by_role("slider").focus()
    page.keyboard.press("End")
    expect(player.get_by_text(re.compile("^t = 1000 ·"))).to_be_visible()
    page.wait_for_timeout(500)
    assert page.seen.sent == sent  # type: ignore[attr-defined]
    assert_clean(page)


def test_a_view_is_in_the_address_and_a_why_shows_the_clip_lens(
    page: Page, url: str, assert_clean: Check, shot: Shot
) -> None:
    page.goto(url)
    settled(page)
    page.get_by_role("radio", name="Rounding").click()
    expect(page).to_have_url(re.compile("xview=Rounding"))
    expect(page.locator(".plot svg").first).to_be_visible()
    box = page.locator("details").filter(has_text="ε̂ → μ is one line")
    box.locator("summary").click()
    show_me(box, lambda: "xview=Clip" in page.url)
    expect(page.get_by_text(re.compile("Without clipping the two routes differ"))).to_be_visible()
    expect(page.locator(".player canvas")).to_have_count(5)
    assert_clean(page)
    shot(page, "x0-clip-lens")


def test_three_ways_to_clip_run_to_the_end(page: Page, url: str, assert_clean: Check) -> None:
    page.goto(f"{url}?xview=Side by side&xcompare=Clipping&xsteps=5")
    settled(page)
    player = page.locator(".player")
    expect(player.locator("canvas")).to_have_count(3)
    expect(player.get_by_text("t = 0 · done in 5 steps")).to_be_visible()
    expect(player).to_have_attribute("data-have", "6")
    assert_clean(page)


def press(page: Page, label: str) -> None:
    page.locator(".try button[data-show]").filter(has_text=label).click()


def test_a_button_goes_to_its_frame_again_and_again(
    page: Page, url: str, assert_clean: Check
) -> None:
    page.goto(url)
    settled(page)
    player = page.locator(".player")
    for label, told in (
        ("Go to t = 990", re.compile("^t = 990 ·")),
        ("Sample without clipping", "t = 40 · step 24 of 25"),
    ):
        for _ in range(2):
            press(page, label)
            expect(player.get_by_text(told)).to_be_visible(timeout=30_000)
            expect(player).not_to_have_class(re.compile("playing"))
            expect(player.locator(".curve .value").first).not_to_have_text("–")
            player.get_by_role("button", name="First").click()
            expect(player.get_by_text(told)).not_to_be_visible()
    assert_clean(page)


def test_runs_side_by_side_share_the_first_screen_with_their_curves(
    new_page: NewPage, url: str
) -> None:
    page = new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page.goto(f"{url}?xview=Side by side&xsteps=5")
    settled(page)
    slider = page.locator(".player").get_by_role("slider")
    expect(slider).to_be_visible()
    box = slider.bounding_box()
    assert box
    assert box["y"] + box["height"] < 800


def test_the_pictures_of_the_tint_follow_the_choice(
    page: Page, url: str, assert_clean: Check
) -> None:
    page.goto(f"{url}?xview=Errors")
    settled(page)
    pictures = page.locator(".tints img")
    expect(pictures).to_have_count(4)
    expect(page.locator(".tints")).to_contain_text("× −321")
    widths = pictures.evaluate_all("(all) => all.map((i) => [i.naturalWidth, i.offsetWidth])")
    assert widths == [[28, 84]] * 4
    before = pictures.nth(1).get_attribute("src")
    page.get_by_role("radio", name="64", exact=True).click()
    expect(page.locator(".tints")).to_contain_text("× −64")
    expect(page).to_have_url(re.compile("xgain=64"))
    assert pictures.nth(1).get_attribute("src") != before
    page.get_by_role("radio", name="Which noise?").click()
    expect(page.locator(".plot")).to_have_count(1)
    expect(page.locator(".plot")).to_contain_text("t = 1: 0.77 against 0.54")
    assert_clean(page)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_every_view_is_clean(
    new_page: NewPage, url: str, assert_clean: Check, shot: Shot, width: int, scheme: str
) -> None:
    page = new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    for view, label in VIEWS.items():
        page.goto(f"{url}?xview={label}" if label else url)
        settled(page)
        if view in {"round", "weights", "mean", "naming"}:
            expect(page.locator(".plot svg").first).to_be_visible()
        else:
            expect(page.locator(".player canvas").first).to_be_visible()
        if view == "one":
            unfold(page)
            page.wait_for_timeout(300)  # expanders open with a transition
        assert_clean(page)
        shot(page, f"x0-{view}-{width}-{scheme}")
