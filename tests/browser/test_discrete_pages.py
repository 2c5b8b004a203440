"""The pages of transition matrices and their inverse in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import show_me

NewPage = Callable[..., Page]
Check = Callable[[Page], None]


@pytest.fixture
def url(browser: object, server: Any) -> str:
    return str(server.url)


def chart(page: Page, index: int) -> Locator:
    return page.locator(".plot").nth(index)


def settled(page: Page, charts: int) -> None:
    expect(page.locator(".plot svg > g.pointer")).to_have_count(charts)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def cell(page: Page, index: int, row: int, column: int, n: int = 8) -> tuple[float, float]:
    """The middle of a cell, in pixels of the window."""
    box = chart(page, index).locator("canvas").bounding_box()
    assert box
    return (
        box["x"] + (column + 0.5) / n * box["width"],
        box["y"] + (row + 0.5) / n * box["height"],
    )


def test_a_cell_says_its_probability_in_words_and_is_followed_when_clicked(
    page: Page, url: str, assert_clean: Check
) -> None:
    page.goto(f"{url}/transition_matrices?tkernel=Absorbing")
    settled(page, 3)
    x, y = cell(page, 1, row=5, column=7)
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y)
    words = chart(page, 1).locator(".tip")
    expect(words).to_contain_text("After 40 steps, a 5 has become a [M]")
    expect(words).to_contain_text("with probability 0.19")
    expect(chart(page, 1).locator(".pointer path")).to_be_attached()  # the pointer's row, column
    page.mouse.click(x, y)
    expect(page).to_have_url(re.compile(r"ti=5"))  # column 7 is the default: not in the address
    expect(page.get_by_text("Row 5", exact=True)).to_be_visible()
    expect(chart(page, 2)).to_contain_text("5 through time")
    x, y = cell(page, 0, row=1, column=1)
    page.mouse.click(x, y)
    expect(page).to_have_url(re.compile(r"ti=1.*tj=1|tj=1.*ti=1"))
    assert_clean(page)


def test_the_exhibit_is_on_the_first_screen(new_page: NewPage, url: str) -> None:
    page = new_page(viewport={"width": 1280, "height": 720})
    page.goto(f"{url}/transition_matrices")
    settled(page, 3)
    box = chart(page, 1).bounding_box()
    assert box
    assert box["y"] + box["height"] <= 720
    page.goto(f"{url}/discrete_posterior")
    rows = page.locator(".audit tbody tr")
    expect(rows).to_have_count(9)
    last = rows.last.bounding_box()
    assert last
    assert last["y"] + last["height"] <= 720


def test_five_kernels_play_side_by_side(page: Page, url: str, assert_clean: Check) -> None:
    page.goto(f"{url}/transition_matrices?tview=A+digit")
    player = page.locator(".player")
    expect(player).to_have_attribute("data-have", "41")
    expect(player.locator("canvas").first).to_be_visible()
    names = ["Uniform", "Absorbing", "Gaussian", "Neighbours", "Mask, replace"]
    expect(player.locator(".title")).to_have_text(names)
    assert_clean(page)


def test_a_sentence_is_corrupted_and_foreign_letters_are_named(
    page: Page, url: str, assert_clean: Check
) -> None:
    page.goto(f"{url}/transition_matrices?tview=A+sentence")
    box = page.get_by_label("A sentence", exact=True)
    expect(page.get_by_text("of the letters differ").first).to_be_visible()
    box.fill("Zwölf Boxkämpfer <b>jagen</b>")
    box.press("Enter")
    expect(page.get_by_text(re.compile("other characters .* became spaces"))).to_be_visible()
    expect(page.get_by_text("zw lf boxk mpfer", exact=False).first).to_be_visible()
    assert_clean(page)


def test_a_left_out_step_shows_its_damage(page: Page, url: str, assert_clean: Check) -> None:
    page.goto(f"{url}/discrete_posterior")
    table = page.locator(".audit")
    expect(table.locator("tbody tr")).to_have_count(9)
    last = table.locator("tbody tr").last
    expect(last.locator(".wrong")).to_have_count(0)
    why = page.locator("details").filter(has_text="Why is q normalised before")
    why.get_by_text("Why is q normalised before").click()
    show_me(why, lambda: last.locator(".wrong").count() == 2)
    expect(table.locator(".mark")).to_have_text(["left out"])
    expect(page).to_have_url(re.compile("dskip=the(%20|\\+)normalisation"))
    assert_clean(page)


@pytest.mark.parametrize("name", ["transition_matrices", "discrete_posterior"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_sideways_scroll(
    new_page: NewPage, url: str, name: str, scheme: str, assert_clean: Check
) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page.goto(f"{url}/{name}")
    settled(page, {"transition_matrices": 3, "discrete_posterior": 1}[name])
    assert_clean(page)
