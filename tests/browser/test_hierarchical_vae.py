"""From VAE to diffusion in a real browser: four models learn, walk down, and fill a table."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import show_me
from tests.browser.test_connections import OPEN_MS, inked, opened

Check = Callable[[Page], None]


def test_four_models_learn_and_walk_down(page: Page, base: str, assert_clean: Check) -> None:
    opened(page, f"{base}/hierarchical_vae?hvT=2", 4)
    page.locator(".player .last").click()
    expect(page.locator(".player .now")).to_contain_text("x drawn from p(x|z₁)", timeout=OPEN_MS)
    assert all(share > 0.005 for share in inked(page))
    expect(page.get_by_text("After 400 of 400 gradient steps")).to_be_visible()
    rows = page.locator("table tr").filter(has=page.locator("td"))
    expect(rows).to_have_count(8)
    expect(page.locator("table th").nth(4)).to_have_text("DDPM (1, 2, 3)")
    bound, calls = (rows.nth(i).locator("td").nth(4).inner_text() for i in (0, 7))
    bound = float(bound)
    assert 2.4 < bound < 2.8
    assert calls == "1"
    assert_clean(page)


def test_one_model_shows_its_levels(page: Page, base: str, assert_clean: Check) -> None:
    opened(page, f"{base}/hierarchical_vae?hvview=One+model&hvT=2", 3)
    page.locator(".player .last").click()
    expect(page.locator(".player .now")).to_contain_text("400 gradient steps", timeout=OPEN_MS)
    assert all(share > 0.005 for share in inked(page))
    assert_clean(page)


def test_show_me_leads_to_depth(page: Page, base: str) -> None:
    opened(page, f"{base}/hierarchical_vae?hvview=One+model&hvT=1", 2)
    fold = page.locator("details", has_text="Is the bound tight?")
    fold.locator("summary").click()
    show_me(fold, lambda: page.get_by_text("network calls for one point").count() == 1)
    expect(page).to_have_url(re.compile("hvview=How(%20|\\+)deep"))
