"""The VQ-VAE's page in a real browser: tokens are pressed, and codes are shown how to learn."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import idle, opened, show_me

Check = Callable[[Page], None]


@pytest.mark.parametrize(
    "address",
    [
        "vqvae",
        "vqvae?vqfrom=Draw",
        "vqvae?vqview=Drawn",
        "vqvae?vqview=Codebook",
        "vqvae?vqview=Gradient",
        "vqvae?vqview=Gradient&vqpart=In+training",
    ],
)
@pytest.mark.parametrize("width", [1280, 390])
def test_every_view_is_drawn(
    page: Page, base: str, address: str, width: int, assert_clean: Check
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    opened(page, f"{base}/{address}")
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)  # or a choice cut off is not seen
    assert_clean(page)


def test_a_token_is_chosen_by_pressing_it(page: Page, base: str) -> None:
    opened(page, f"{base}/vqvae")
    expect(page.get_by_text(re.compile(r"^Row 4, column 4: the encoder"))).to_be_visible()
    tokens = page.get_by_label("The 7 by 7 tokens as numbers on colours", exact=False)
    expect(tokens.locator("svg").first).to_be_visible()
    idle(page)
    box = tokens.bounding_box()
    assert box
    # The middle of the sixth column, and of the second row under the title.
    x, y = box["width"] * 5.5 / 7, 28 + (box["height"] - 28) * 1.5 / 7
    tokens.click(position={"x": x, "y": y})
    expect(page.get_by_text(re.compile(r"^Row 2, column 6: the encoder"))).to_be_visible()
    expect(page).to_have_url(re.compile(r"vqacross=6"))
    expect(page).to_have_url(re.compile(r"vqdown=2"))


def test_the_exchange_shares_the_first_screen_with_its_controls(page: Page, base: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    opened(page, f"{base}/vqvae")
    page.get_by_text("A digit", exact=True).click()
    expect(page.get_by_text("Not quite.")).to_be_visible()
    page.get_by_role("button", name="Exchange all 49, one by one").click()
    now = page.locator(".player .now")
    expect(now).to_contain_text("49 of 49 tokens exchanged")
    box = page.locator(".player .controls").bounding_box()
    assert box
    assert box["y"] + box["height"] < 800
    expect(page).to_have_url(re.compile(r"vqput=all"))
    page.get_by_role("button", name="Its own tokens again").click()
    expect(page.get_by_text(re.compile(r"^Row 4, column 4: the encoder"))).to_be_visible()


def test_the_nearest_code_is_framed_on_its_picture(page: Page, base: str) -> None:
    opened(page, f"{base}/vqvae")
    sheet = page.get_by_alt_text("The 128 codes as little pictures", exact=False)
    box, frame = sheet.bounding_box(), sheet.locator("xpath=../div").bounding_box()
    assert box
    assert frame
    # Code 98 is the third of the seventh row, and the whole image is drawn as wide as its box.
    across = (frame["x"] + frame["width"] / 2 - box["x"]) / box["width"]
    down = (frame["y"] + frame["height"] / 2 - box["y"]) / box["height"]
    assert abs(across - 2.5 / 16) < 0.01
    assert abs(down - 6.5 / 8) < 0.02
    assert sheet.evaluate("e => getComputedStyle(e).objectFit") == "fill"


def test_show_me_restarts_the_dead_codes(page: Page, base: str) -> None:
    opened(page, f"{base}/vqvae?vqview=Codebook")
    now = page.locator(".player .now")
    expect(now).to_contain_text("3 of 8 codes used")
    fold = page.locator("details.fold").filter(has_text="What is codebook collapse")
    fold.locator("summary").click()
    show_me(fold, lambda: "vqlearn=Restarts" in page.url)
    idle(page)
    expect(now).to_contain_text("8 of 8 codes used")


def test_twelve_digits_are_drawn(page: Page, base: str, assert_clean: Check) -> None:
    opened(page, f"{base}/vqvae?vqview=Drawn")
    expect(page.locator(".player .now")).to_contain_text("done in 25 steps", timeout=60_000)
    assert_clean(page)
