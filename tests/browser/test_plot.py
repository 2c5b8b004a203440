"""The chart component in a real browser: what it draws, says, and lets through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

Check = Callable[[Page], None]
Shot = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def address(browser: object, serve: Callable[..., Any]) -> str:
    return str(serve("tests/browser/plot_app.py").url)


@pytest.fixture
def charts(page: Page, address: str) -> Page:
    page.goto(address)
    expect(page.locator(".plot svg > g.pointer")).to_have_count(6)  # the hidden one waits
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    return page


def chart(page: Page, name: str) -> Locator:
    return page.get_by_role("figure", name=name, exact=False)


def test_lines_have_gaps_powers_and_a_mark_where_the_figure_says(
    charts: Page, assert_clean: Check, shot: Shot
) -> None:
    lines = chart(charts, "Lines over t")
    frame = lines.locator("svg svg")
    box = frame.bounding_box()
    assert box
    assert lines.locator("svg svg path[fill=none]").count() == 2
    expect(lines.locator("svg").first).to_contain_text("1000")
    expect(lines.locator("svg").first).to_contain_text(
        "10−6"
    )  # the exponent is a raised piece of text
    mark = lines.locator("svg svg > path").last.bounding_box()
    assert mark
    middle = (mark["x"] + mark["width"] / 2 - box["x"]) / box["width"]
    assert middle == pytest.approx(0.566, abs=0.02)  # log10(50) of log10(1000)
    path = lines.locator("svg svg path[fill=none]").nth(1).get_attribute("d") or ""
    first = float(path[1:].split(" ")[0])  # the line with a gap begins at t = 21
    assert first / box["width"] == pytest.approx(0.441, abs=0.02)
    assert_clean(charts)
    shot(charts, "plot-kinds")


def test_pointing_tells_all_lines_and_the_keyboard_does_the_same(charts: Page) -> None:
    lines = chart(charts, "Lines over t")
    box = lines.locator("svg svg").bounding_box()
    assert box
    charts.mouse.move(box["x"] + box["width"] * 2 / 3, box["y"] + 60)  # t = 100
    tip = lines.locator(".tip")
    expect(tip).to_be_visible()
    told = tip.inner_text()
    t = int(told.split()[0])
    assert 90 < t < 110
    assert "L0: 1" in told.replace("\n", "")
    assert f"L1: {1 / t:.4g}" in told.replace("\n", "")
    charts.mouse.move(5, 5)
    expect(tip).to_be_hidden()
    lines.focus()
    for _ in range(3):
        charts.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("3")
    expect(lines.get_by_role("status")).to_contain_text("L0")
    charts.keyboard.press("Escape")
    expect(tip).to_be_hidden()


def test_a_cell_is_told_and_chosen_by_pointer_and_by_keyboard(charts: Page) -> None:
    matrix = chart(charts, "A matrix")
    box = matrix.locator("canvas").bounding_box()
    assert box

    def at(row: int, column: int) -> tuple[float, float]:
        return box["x"] + (column + 0.5) / 3 * box["width"], box["y"] + (row + 0.5) / 3 * box[
            "height"
        ]

    charts.mouse.move(*at(0, 1))
    expect(matrix.locator(".tip")).to_have_text("a a becomes b: 0.25")
    expect(matrix.locator(".pointer path")).to_be_attached()
    charts.mouse.click(*at(1, 0))
    expect(charts.get_by_text("chosen 0,1", exact=True)).to_be_visible()
    charts.mouse.move(5, 5)
    matrix.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "Enter"):  # the first is where it begins
        charts.keyboard.press(key)
    expect(charts.get_by_text("chosen 0,1 1,1", exact=True)).to_be_visible()


def test_what_a_reader_typed_stays_text(charts: Page) -> None:
    matrix = chart(charts, "A matrix")
    expect(matrix.locator("svg").first).to_contain_text("<img src=x onerror=alert(1)>")
    assert charts.locator(".plot img").count() == 0
    box = matrix.locator("canvas").bounding_box()
    assert box
    charts.mouse.move(box["x"] + box["width"] - 5, box["y"] + 5)
    expect(matrix.locator(".tip")).to_have_text("a a becomes <img src=x onerror=alert(1)>: 0")
    assert charts.locator(".plot img").count() == 0


def test_cells_have_the_colour_of_their_number(charts: Page) -> None:
    pixels = chart(charts, "A matrix").locator("canvas").evaluate(
        "(c) => [...c.getContext('2d').getImageData(0, 0, 3, 3).data].filter((_, i) => i % 4 === 3)"
    )  # fmt: skip
    shares = [v / 255 for v in pixels]
    expected = [0.75, 0.25, 0, 0.1, 0.9, 0, 0.2, 0.3, 0.5]
    for share, p in zip(shares, expected, strict=True):
        assert share == pytest.approx(p and 0.07 + 0.93 * (p - 0.001) / 0.999, abs=0.01)


def test_bars_stand_on_each_other_and_counts_on_the_axis(charts: Page) -> None:
    bars = chart(charts, "Bars").locator("svg svg rect")
    assert bars.count() == 6
    low, high = bars.nth(0).bounding_box(), bars.nth(3).bounding_box()
    assert low
    assert high
    assert high["y"] + high["height"] == pytest.approx(low["y"], abs=1)
    assert low["height"] / high["height"] == pytest.approx(7.5, rel=0.1)
    chart(charts, "A histogram").scroll_into_view_if_needed()
    counts = [float(b.get_attribute("height") or 0) for b in
              chart(charts, "A histogram").locator("svg svg rect").all()]  # fmt: skip
    assert counts[2] == pytest.approx(2 * counts[4] / 3, abs=0.2)  # 2 of 1.0..1.5, 3 of 2.0..2.5


def test_five_matrices_have_five_titles_and_one_row_is_framed(charts: Page) -> None:
    many = chart(charts, "Five matrices")
    assert many.locator("canvas").count() == 5
    for k in range(5):
        expect(many.locator("svg").first).to_contain_text(f"x = {k}")
    assert many.locator("svg svg rect").count() == 5 + 1  # one round each, one round the row


def test_a_move_draws_anew_and_a_hidden_chart_waits(charts: Page, assert_clean: Check) -> None:
    lines = chart(charts, "Lines over t")
    slider = charts.get_by_role("slider", name="Lines")
    slider.focus()
    charts.keyboard.press("ArrowRight")
    expect(lines.locator("svg svg path[fill=none]")).to_have_count(3)
    expect(lines.locator("svg")).to_have_count(2)  # the drawing and its frame, not a second one
    charts.get_by_text("Closed", exact=True).click()
    expect(chart(charts, "Behind a click").locator("svg").first).to_be_visible()
    charts.set_viewport_size({"width": 390, "height": 844})
    expect(lines.locator("svg").first).not_to_have_attribute("width", "1000")
    assert_clean(charts)
