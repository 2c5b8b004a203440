"""The conventions page, and terms with their glossary, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from diffusion_core.convention_tables import GaussianState, gaussian_table
from diffusion_core.published import published
from pages.shared.translation import written

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[[Page, str], Path]


@pytest.fixture
def url(browser: object, server: Any) -> str:
    return f"{server.url}/conventions"


def table(page: Page, name: str = "One noisy pixel in six conventions") -> Locator:
    return page.get_by_role("region", name=name)


def cell(page: Page, row: int, column: int) -> Locator:
    return table(page).locator(f'[data-cell="{row},{column}"]')


def settled(page: Page) -> None:
    expect(page.get_by_role("heading", name="Sources")).to_be_visible()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def test_a_cell_copies_code_that_gives_its_number(
    new_page: NewPage, url: str, assert_clean: Check
) -> None:
    page = new_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{url}?ct=17&cschedule=cosine")
    told = gaussian_table(GaussianState("cosine", 1000, 17, -0.4, 0.6))
    for row, column, key in ((4, 3, "edm"), (6, 1, "improved"), (1, 4, "vdm")):
        expected = told.columns[key].cells[row]
        expect(cell(page, row, column).locator(".value")).to_have_text(written(expected.value))
        cell(page, row, column).click()
        expect(page.get_by_text(f"Copied: {told.rows[row]}")).to_be_visible()
        names: dict[str, Any] = {}
        exec(page.evaluate("() => navigator.clipboard.readText()"), names)
        assert names["result"] == pytest.approx(expected.value, rel=1e-11)
    table(page).get_by_role("button", name="diffusers").first.click()
    expect(page.get_by_text("Copied: all of diffusers")).to_be_visible()
    names = {}
    exec(page.evaluate("() => navigator.clipboard.readText()"), names)
    assert list(names["results"]) == list(told.rows)
    assert_clean(page)


def test_where_copying_is_forbidden_the_code_is_shown_selected(page: Page, url: str) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.goto(url)
    cell(page, 0, 0).focus()
    page.keyboard.press("Enter")
    field = page.get_by_label("The code, selected")
    expect(field).to_be_focused()
    assert "result = t" in field.input_value()
    assert field.evaluate("(e) => e.selectionEnd - e.selectionStart") == len(field.input_value())


def test_a_step_moves_all_conventions_and_the_address(page: Page, url: str) -> None:
    page.goto(url)
    expect(cell(page, 0, 0).locator(".value")).to_have_text("300")
    page.get_by_role("slider", name="Step t").focus()
    page.keyboard.press("Home")
    expect(cell(page, 0, 1).locator(".value")).to_have_text("0")
    expect(cell(page, 6, 4).locator(".value")).to_have_text("no such step")
    assert "ct=1" in page.url


def test_a_pasted_and_an_uploaded_schedule_are_recognised(
    page: Page, url: str, assert_clean: Check
) -> None:
    page.goto(f"{url}?cview=Your+schedule")
    expect(page.get_by_text("picked from the 1000")).to_be_visible()
    field = page.get_by_label("Your betas or alphas_cumprod")
    field.fill("[0.1, NaN]")
    field.press("Control+Enter")
    expect(page.get_by_text("The value at index 1 is NaN")).to_be_visible()
    betas = published("scaled_linear", 1000).beta[1:].tolist()
    page.locator('input[type="file"]').set_input_files(
        {"name": "betas.json", "mimeType": "application/json", "buffer": json.dumps(betas).encode()}
    )
    expect(page.get_by_text("Stable Diffusion", exact=False).first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="All 1,000 rows of the posterior as CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 1001
    assert lines[1].startswith("0,1,")
    assert_clean(page)


def test_a_term_shows_its_gist_and_leads_to_the_glossary(
    page: Page, server: Any, assert_clean: Check
) -> None:
    page.goto(f"{server.url}/conventions")
    settled(page)
    page.locator("details").filter(has_text="guidance scale of 1").locator("summary").click()
    word = page.locator(".term", has_text="guidance scale").first
    word.hover()
    note = word.locator(".gist")
    expect(note).to_be_visible()
    link = note.get_by_role("link", name="Glossary")
    link.hover()  # the note stays while the pointer goes there
    expect(note).to_be_visible()
    page.mouse.move(5, 5)
    expect(note).to_be_hidden()
    word.focus()
    page.keyboard.press("Tab")
    expect(link).to_be_focused()
    expect(note).to_be_visible()
    address = link.evaluate("(e) => e.href")
    assert_clean(page)
    page.goto(address)
    expect(page.locator(".found")).to_contain_text("guidance scale")
    assert_clean(page)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_both_pages_are_clean(
    new_page: NewPage, server: Any, assert_clean: Check, shot: Shot, width: int, scheme: str
) -> None:
    page = new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    for view in ("Gaussian", "Categories", "Guidance", "Your schedule"):
        page.goto(f"{server.url}/conventions?cview={view}")
        settled(page)
        assert_clean(page)
        shot(page, f"conventions-{view.split()[0]}-{width}-{scheme}")
    page.goto(f"{server.url}/notation")
    settled(page)
    expect(page.locator(".symbols .katex").last).to_be_visible()
    assert_clean(page)
    shot(page, f"notation-{width}-{scheme}")


def test_typing_finds_a_symbol(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/notation")
    page.get_by_label("Find a symbol or a term").press_sequentially("tweedie")
    expect(page.locator(".found")).to_contain_text("Tweedie's formula")
    expect(page.locator(".symbols")).to_have_count(0)
