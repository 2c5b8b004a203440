"""The page of the learned schedule in a real browser: a slider that moves the path, real draws."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

NewPage = Callable[..., Page]
Check = Callable[[Page], None]

FIRST_MS = 120_000  # the first visitor waits for torch, the network and the table
BOUND = re.compile(r"bits/dim on this path and on every other")


@pytest.fixture
def url(browser: object, server: Any) -> str:
    return f"{server.url}/learned_schedule"


def test_the_slider_moves_the_variance_and_not_the_bound(
    page: Page, url: str, assert_clean: Check
) -> None:
    page.goto(f"{url}?ls_path=5")
    said = page.get_by_text(BOUND)
    expect(said).to_be_visible(timeout=FIRST_MS)
    expect(said).to_contain_text("95% learned, 5% cosine.")
    before = said.inner_text()
    page.get_by_role("slider").first.press("ArrowLeft")
    expect(said).to_contain_text("Learned.")
    after = said.inner_text()
    bound, variance = (re.compile(p) for p in (r"time: (\S+\s±\s\S+)", r"here: (\S+\s±\s\S+)"))
    assert bound.findall(before) == bound.findall(after) != []
    assert variance.findall(before) != variance.findall(after)
    assert_clean(page)


@pytest.mark.parametrize("view", ["The path", "T steps", "The ends"])
def test_every_view_fits_a_telephone(
    new_page: NewPage, url: str, assert_clean: Check, view: str
) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.goto(f"{url}?ls_view={view.replace(' ', '+')}")
    expect(page.locator(".plot svg").first).to_be_visible(timeout=FIRST_MS)
    expect(page.get_by_text("Sources", exact=True)).to_be_visible(timeout=FIRST_MS)
    assert_clean(page)
