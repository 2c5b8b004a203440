"""Latent diffusion in a real browser: planes beside a sheet, a live run, a slider's answer."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import idle, show_me

Check = Callable[[Page], None]
OPEN_MS = 120_000


def opened(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".player canvas").first).to_be_visible(timeout=OPEN_MS)
    expect(page.get_by_role("heading", name="Sources")).to_be_visible()
    idle(page)


def to(page: Page, button: str) -> None:
    page.locator(f".player .{button}").click()


def test_the_draws_stand_still_and_the_walk_does_not(
    page: Page, base: str, assert_clean: Check
) -> None:
    opened(page, f"{base}/latent_diffusion?ldview=In+the+plane")
    expect(page.locator("canvas.plane")).to_have_count(2)
    to(page, "last")
    expect(page.locator(".player .now")).to_contain_text("the latents of 200 digits × 10 forms")
    shown = "c => c.toDataURL()"
    last = [page.locator("canvas.plane").nth(k).evaluate(shown) for k in (0, 1)]
    to(page, "first")
    expect(page.locator(".player .now")).to_contain_text("t = 1000")
    first = [page.locator("canvas.plane").nth(k).evaluate(shown) for k in (0, 1)]
    assert first[0] == last[0]
    assert first[1] != last[1]
    assert_clean(page)


def test_planes_are_as_large_as_the_sheet_beside_them(page: Page, base: str) -> None:
    opened(page, f"{base}/latent_diffusion?ldview=In+the+plane")
    wide = page.locator(".player canvas").evaluate_all(
        "all => all.map(c => c.getBoundingClientRect()).filter(b => b.width > 100)"
        ".map(b => [b.width, b.top])"
    )
    assert len(wide) >= 3
    assert min(width for width, _ in wide) > 200


def test_digits_are_drawn_to_the_end_and_their_cost_is_told(
    page: Page, base: str, assert_clean: Check
) -> None:
    opened(page, f"{base}/latent_diffusion?ldview=Digits")
    to(page, "last")
    expect(page.locator(".player .now")).to_contain_text("done in 25 steps", timeout=60_000)
    expect(page.get_by_text("multiply-adds so far")).to_be_visible()
    assert_clean(page)


def test_a_factor_reaches_picture_and_address(page: Page, base: str) -> None:
    opened(page, f"{base}/latent_diffusion?ldview=Scale")
    expect(page.get_by_text("decoded, × 0.2")).to_be_visible()
    page.get_by_role("slider", name="Latents multiplied by").press("ArrowRight")
    expect(page.get_by_text("decoded, × 0.5")).to_be_visible()
    expect(page).to_have_url(re.compile(r"ldfactor=0.5"))


def test_show_me_leads_to_the_view_it_speaks_of(page: Page, base: str) -> None:
    opened(page, f"{base}/latent_diffusion?ldview=In+the+plane")
    fold = page.locator("details", has_text="Can it draw details that the decoder can’t?")
    fold.locator("summary").click()
    show_me(fold, lambda: page.locator("canvas.plane").count() == 0)
    expect(page).to_have_url(re.compile(r"ldview=What(%20|\+)is(%20|\+)lost"))


def test_show_me_opens_at_the_t_it_names_also_from_another_t(page: Page, base: str) -> None:
    opened(page, f"{base}/latent_diffusion?ldview=Scale")
    to(page, "last")
    expect(page.locator(".player .now")).to_contain_text("t = 975")
    fold = page.locator("details", has_text="Is noise in a latent noise in the picture?")
    fold.locator("summary").click()
    now = page.locator(".player .now")
    show_me(fold, lambda: now.inner_text().strip() == "t = 500")
    expect(now).to_have_text("t = 500")


def test_on_a_phone_planes_stand_abreast_and_fill_the_column(
    page: Page, base: str, assert_clean: Check
) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    opened(page, f"{base}/latent_diffusion?ldview=In+the+plane")
    left, right = page.locator("canvas.plane").evaluate_all(
        "all => all.map(c => c.getBoundingClientRect()).map(b => [b.left, b.top, b.width])"
    )
    assert left[1] == right[1]
    assert right[0] + right[2] - left[0] > 0.88 * 390
    assert_clean(page)
