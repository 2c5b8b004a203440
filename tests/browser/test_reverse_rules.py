"""The page about two reverse rules in a real browser: bars are pulled, rows clicked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import idle, show_me, unfold

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[[Page, str], Path]

OPEN_MS = 120_000
VIEWS = {"matrices": "", "row": "One row", "chain": "Whole chain"}
CHARTS = {"matrices": 3, "row": 4, "chain": 2}


@pytest.fixture
def url(browser: object, server: Any) -> str:
    return f"{server.url}/reverse_rules"


def bars(page: Page) -> Locator:
    return page.get_by_role("group", name="The data distribution")


def opened(page: Page, address: str, charts: int = 3) -> None:
    page.goto(address)
    drawn = page.locator(".plot svg > g.pointer")
    expect(drawn).to_have_count(charts, timeout=OPEN_MS)
    expect(page.get_by_role("heading", name="Sources")).to_be_visible()
    idle(page)


def numbers(page: Page) -> list[float]:
    return [float(v) for v in (bars(page).get_attribute("data-text") or "").split()]


def test_a_pulled_bar_reaches_matrices_and_address(
    page: Page, url: str, assert_clean: Check
) -> None:
    opened(page, url)
    assert numbers(page) == [0.304, 0.257, 0.404, 0.035]
    expect(page.get_by_text("Worst: from x₂ = 3 to x₁ = 3")).to_be_visible()
    slider = bars(page).get_by_role("slider", name="state 3")
    box = slider.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    pulled = numbers(page)
    assert pulled[3] == pytest.approx(0.5, abs=0.06)
    assert sum(pulled) == pytest.approx(1, abs=0.003)
    assert pulled[0] / pulled[2] == pytest.approx(0.304 / 0.404, abs=0.02)  # the others share
    expect(page).to_have_url(re.compile("rudata="))
    expect(page.get_by_text("Worst: from x₂ = 3 to x₁ = 3")).to_have_count(0)
    assert numbers(page) == pulled  # the answer did not move the bars
    assert_clean(page)


def test_the_keyboard_pulls_and_states_come_and_go(page: Page, url: str) -> None:
    opened(page, url)
    slider = bars(page).get_by_role("slider", name="state 0")
    slider.focus()
    page.keyboard.press("End")
    expect(page.get_by_text("Both rules give the truth")).to_be_visible()
    assert numbers(page)[0] == 1
    expect(slider).to_be_focused()  # the answer did not take the keyboard away
    bars(page).get_by_role("button", name="More states").click()
    expect(bars(page).get_by_role("slider")).to_have_count(5)
    expect(bars(page).get_by_role("button", name="More states")).to_be_disabled()
    for left in (4, 3, 2):
        bars(page).get_by_role("button", name="Fewer").click()
        expect(bars(page).get_by_role("slider")).to_have_count(left)
    expect(bars(page).get_by_role("button", name="Fewer")).to_be_disabled()
    expect(page).to_have_url(re.compile(r"rudata=1(\+|%20)0(&|$)"))
    page.get_by_role("button", name="Reset").click()
    expect(bars(page).get_by_role("slider")).to_have_count(4)
    assert numbers(page) == [0.304, 0.257, 0.404, 0.035]


def test_a_clicked_row_is_looked_at_and_a_why_shows_its_view(
    page: Page, url: str, assert_clean: Check
) -> None:
    opened(page, url)
    matrix = page.locator(".plot").nth(2).locator("canvas")
    box = matrix.bounding_box()
    assert box
    page.mouse.move(box["x"] + 20, box["y"] + 0.375 * box["height"])
    page.mouse.click(box["x"] + 22, box["y"] + 0.375 * box["height"])
    expect(page).to_have_url(re.compile("rurow=1"))
    why = page.locator("details").filter(has_text="if it is Bayes' rule")
    why.locator("summary").click()
    show_me(why, lambda: "ruview=One" in page.url)
    expect(page.get_by_text("What is known: x₂ = 3")).to_be_visible()
    expect(page.get_by_text("a belief that has seen x₂ already")).to_be_visible()
    assert_clean(page)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "dark")])
def test_every_view_is_clean(
    new_page: NewPage, url: str, assert_clean: Check, shot: Shot, width: int, scheme: str
) -> None:
    height = 844 if width == 390 else 720
    page = new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    for view, label in VIEWS.items():
        opened(page, f"{url}?ruview={label}" if label else url, CHARTS[view])
        if view == "matrices":
            unfold(page)
            page.wait_for_timeout(300)  # expanders open with a transition
        assert_clean(page)
        shot(page, f"rules-{view}-{width}-{scheme}")
