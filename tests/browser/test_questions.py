"""The list of questions as a reader uses it: type, press, be led to the answer, and back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import idle, show_me

Check = Callable[[Page], None]
DISTANCE = "Is KL a distance?"


@pytest.fixture
def url(browser: object, server: Any) -> str:
    """The app's address; `browser` first, so that without one no server is started."""
    return server.url


def answer(page: Page) -> Locator:
    return page.locator("details[data-shown]")


def in_view(fold: Locator) -> bool:
    return fold.evaluate(
        "(e) => { const b = e.getBoundingClientRect(); return b.top >= 0 && b.top < innerHeight }"
    )


def test_a_typed_question_leads_to_its_answer_and_the_answer_to_the_exhibit(
    page: Page, url: str, assert_clean: Check
) -> None:
    page.goto(f"{url}/questions")
    field = page.get_by_label("What puzzles you?")
    field.press_sequentially("kl distances")
    link = page.locator(".asks.found li > a").first
    expect(link).to_have_text(DISTANCE)
    page.evaluate("() => { window.notReloaded = true }")
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Entropy and KL")
    expect(answer(page).locator("summary")).to_contain_text(DISTANCE)
    idle(page)
    page.wait_for_function(
        """() => { const b = document.querySelector('details[data-shown]').getBoundingClientRect();
        return b.top >= 0 && b.bottom <= innerHeight }"""
    )
    assert page.evaluate("window.notReloaded")  # the app stays, as between pages
    show_me(answer(page), lambda: "why=" not in page.url)
    expect(page.locator(".st-key-chapter_look")).to_contain_text("Got it")
    page.go_back()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Questions")
    assert_clean(page)


def test_a_link_to_an_answer_opens_it_in_view_with_the_focus_on_it(
    page: Page, url: str, assert_clean: Check
) -> None:
    page.goto(f"{url}/x0_vs_eps?why=why-is-x0-clipped-at-all")
    expect(answer(page)).to_have_attribute("open", "")
    page.wait_for_function(
        """() => { const fold = document.querySelector('details[data-shown]');
        const b = fold.getBoundingClientRect();
        return b.top >= 0 && b.bottom <= innerHeight &&
          document.activeElement === fold.querySelector('summary') }"""
    )
    page.keyboard.press("Enter")  # the reader closes it: nothing scrolls or opens it again
    idle(page)
    expect(answer(page)).not_to_have_attribute("open", "")
    assert_clean(page)


def test_the_start_pages_questions_lead_to_answers(
    page: Page, url: str, assert_clean: Check
) -> None:
    page.goto(url)
    link = page.locator(".asks.famous li > a").first
    asked = link.inner_text()
    link.click()
    expect(answer(page).locator("summary")).to_contain_text(asked)
    idle(page)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Diffusion, step by step")
    page.get_by_role("link", name=re.compile("All .* questions")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Questions")
    page.locator(".asks h3 a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Forward process")
    expect(answer(page)).to_have_count(0)
    assert_clean(page)


def test_a_reader_who_scrolls_is_not_pulled_back(page: Page, url: str) -> None:
    page.goto(f"{url}/x0_vs_eps?why=why-is-x0-clipped-at-all")
    expect(answer(page)).to_have_count(1)
    page.wait_for_function("() => document.querySelector('[data-testid=stMain]').scrollTop > 300")
    page.mouse.move(640, 400)
    page.mouse.wheel(0, -20_000)
    page.wait_for_function("() => document.querySelector('[data-testid=stMain]').scrollTop < 10")
    page.wait_for_timeout(600)  # longer than from one pull to the next
    assert not in_view(answer(page))
