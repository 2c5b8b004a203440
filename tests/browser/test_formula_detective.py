"""The formula detective in a real browser: a verdict, the digits it ruins, a formula typed in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from pages.shared.cases import CASES

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[[Page, str], Path]


@pytest.fixture
def url(browser: object, server: Any) -> str:
    return f"{server.url}/formula_detective"


def opened(page: Page, address: str) -> None:
    page.goto(address)
    # The first visitor waits for the imports, too.
    expect(page.locator(".plot svg").first).to_be_visible(timeout=90_000)
    expect(page.locator('[data-testid="stSkeleton"]')).to_have_count(0)


def judge(page: Page, name: str) -> None:
    page.get_by_test_id("stButtonGroup").get_by_text(CASES[name].answer, exact=True).click()
    expect(page.get_by_role("heading", name="The evidence")).to_be_visible()


def player(page: Page) -> Locator:
    return page.locator(".player")


def test_the_exhibit_is_alive_on_the_first_screen(
    new_page: NewPage, url: str, assert_clean: Check
) -> None:
    page = new_page(viewport={"width": 1280, "height": 720})
    opened(page, url)
    value = page.get_by_text("As printed, mean of")
    expect(value).to_be_in_viewport()
    expect(page.get_by_test_id("stSlider").first).to_be_in_viewport()
    before = value.inner_text()
    page.get_by_role("slider", name="Step t").press("ArrowLeft")
    expect(value).not_to_have_text(before)
    expect(page).to_have_url(f"{url}?d1_t=9")
    expect(page.get_by_text("It should read")).to_have_count(0)
    assert_clean(page)


def test_a_verdict_runs_the_network_with_both_formulas(
    page: Page, url: str, assert_clean: Check, shot: Shot
) -> None:
    opened(page, url)
    judge(page, "Posterior mean")
    expect(page.get_by_text("Judged 1 of 20")).to_be_visible()
    expect(page.get_by_text("It should read")).to_be_visible()
    expect(page.get_by_text("an error of exactly 2")).to_be_visible()
    expect(player(page)).to_have_attribute("data-have", "21", timeout=60_000)
    expect(player(page).locator("canvas").first).to_be_visible()
    assert_clean(page)
    shot(page, "formula_detective")


def test_another_case_by_link_has_its_own_controls(
    new_page: NewPage, url: str, assert_clean: Check
) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    opened(page, f"{url}?case={quote('Signs in the bound')}")
    expect(page.get_by_role("slider", name="Mean of q")).to_be_visible()
    judge(page, "Signs in the bound")
    expect(page.get_by_text("an error of 2·KL")).to_be_visible()
    page.get_by_role("button", name="Next case").click()
    expect(page.get_by_role("slider", name="Step t")).to_be_visible()
    expect(page.get_by_text("Judged 1 of 20")).to_be_visible()
    assert_clean(page)


def test_a_formula_that_is_typed_is_answered(page: Page, url: str, assert_clean: Check) -> None:
    opened(page, url)
    expect(page.get_by_text("An example, wrong on purpose")).to_be_visible()
    field = page.get_by_role("textbox", name="Formula")
    field.fill("(xₜ − σ·ε)/a")
    field.press("Enter")
    expect(page.get_by_text("Right: on all settings")).to_be_visible()
    field.fill("[x](javascript:alert(1))")
    field.press("Enter")
    expect(page.get_by_text("can't be read as part of a formula")).to_be_visible()
    assert_clean(page)
