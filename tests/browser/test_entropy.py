"""The page on entropy in a real browser: bars are pulled with the keyboard, and the sums follow."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import idle, opened

Check = Callable[[Page], None]


@pytest.mark.parametrize(
    "address",
    [
        "entropy",
        "entropy?enq=1+0",
        "entropy?enview=Two+orders",
        "entropy?enfit=By+hand",
        "entropy?enview=KL+below+0%3F&encall=q%2C+p",
    ],
)
def test_every_view_is_drawn(page: Page, base: str, address: str, assert_clean: Check) -> None:
    opened(page, f"{base}/{address}")
    assert_clean(page)


def test_a_pulled_bar_changes_what_is_wasted(page: Page, base: str) -> None:
    opened(page, f"{base}/entropy")
    expect(page.get_by_text("H(p, q) = 2.25: 0.50 wasted", exact=False).first).to_be_visible()
    expect(page.get_by_text("0.75 red − 0.25 faint = 0.50 wasted", exact=False)).to_be_visible()
    expect(page.locator(".bars .said").filter(has_text="0.125")).to_have_count(4)
    expect(page.get_by_role("button", name="More letters")).to_have_count(2)
    bar = page.get_by_role("slider", name="How often each letter is drawn: A")
    for _ in range(5):
        bar.press("ArrowDown")
    expect(page.get_by_text("H(p, q) = 2.25: 0.50 wasted", exact=False)).to_have_count(0)
    expect(page).to_have_url(re.compile("enp="))
    expect(page).to_have_url(re.compile("enq="))  # what it was coded for then stays so elsewhere
    idle(page)
    told = page.get_by_text(re.compile(r"^entropy H\(p\) = [\d.]+ bits")).first.text_content() or ""
    assert float(told.split(" = ")[1].split()[0]) > 1.75  # A is rarer, and all are more alike


def test_peaks_are_moved_apart(page: Page, base: str) -> None:
    opened(page, f"{base}/entropy?enview=Two+orders&enfit=Smallest+KL%28p%E2%80%96q%29")
    before = page.get_by_text(re.compile(r"^KL\(p‖q\) = ")).first.text_content()
    page.get_by_role("slider", name="Peaks apart").press("End")
    expect(page.get_by_text(re.compile(r"^KL\(p‖q\) = ")).first).not_to_have_text(before or "")
    expect(page).to_have_url(re.compile("enapart=6"))


def test_on_a_phone_blocks_and_bars_are_on_one_screen(
    new_page: Callable[..., Page], base: str
) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    opened(page, f"{base}/entropy")
    blocks = page.get_by_role("figure", name=re.compile("^A block per letter")).bounding_box()
    assert blocks
    for name in ("How often each letter is drawn: A", "What the code was made for: D"):
        bar = page.get_by_role("slider", name=name).bounding_box()
        assert bar
        assert blocks["y"] + blocks["height"] <= bar["y"]  # the chart comes first
        assert bar["y"] + bar["height"] - blocks["y"] < 844
        assert bar["x"] + bar["width"] <= 390


def test_dots_lie_on_the_blocks(page: Page, base: str) -> None:
    """Letters of 0.9 and 0.1 have words of one bit: B's dot lies within its block."""
    opened(page, f"{base}/entropy?enp=0.9+0.1&enq=0.9+0.1")
    chart = page.get_by_role("figure", name=re.compile("^A block per letter"))
    expect(chart.locator("svg svg > rect")).to_have_count(4)
    order = chart.locator("svg svg > *").evaluate_all("all => all.map((e) => e.outerHTML)")
    dots = [k for k, part in enumerate(order) if "a3.5 3.5" in part]
    blocks = [k for k, part in enumerate(order) if part.startswith("<rect")]
    assert len(dots) == 2
    assert len(blocks) == 4
    assert max(blocks) < min(dots)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_averages_below_0_have_another_colour(
    new_page: Callable[..., Page], base: str, scheme: str
) -> None:
    page = new_page(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
    opened(page, f"{base}/entropy?enview=KL+below+0%3F")
    chart = page.get_by_role("figure", name=re.compile("^Histogram of averages"))
    expect(chart).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("figure", name=re.compile("^What kl_div comes"))).to_be_in_viewport()
    drawn = chart.locator("svg svg > rect").evaluate_all(
        "all => all.filter((e) => e.height.baseVal.value > 1).map((e) =>"
        " [e.x.baseVal.value, getComputedStyle(e).fill])"
    )
    zero = chart.locator("svg svg > path").first.evaluate("(e) => e.getBBox().x")
    below, above = ({color for x, color in drawn if (x < zero - 1) == side} for side in (1, 0))
    assert len(below) == len(above) == 1
    assert below != above


def test_on_a_phone_bars_then_calls_then_draws(new_page: Callable[..., Page], base: str) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    opened(page, f"{base}/entropy?enview=KL+below+0%3F")
    first = page.get_by_role("slider", name="What the code was made for: C").bounding_box()
    call = (
        page.get_by_role("radio", name="log q, p")
        .or_(page.get_by_role("button", name="log q, p"))
        .first.bounding_box()
    )
    sums = page.get_by_role("figure", name=re.compile("^What kl_div comes")).bounding_box()
    draws = page.get_by_role("figure", name=re.compile("^Histogram of averages")).bounding_box()
    assert first
    assert call
    assert sums
    assert draws
    assert first["y"] < call["y"] < sums["y"] < draws["y"]
    assert sums["y"] + sums["height"] - call["y"] < 844  # the call and what it comes to
