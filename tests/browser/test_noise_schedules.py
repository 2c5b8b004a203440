"""Noise schedules in a real browser: the drawn curve by mouse, finger and keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from diffusion_core.drawn import from_points, read_points
from tests.browser.conftest import idle, show_me, unfold

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[[Page, str], Path]


@pytest.fixture
def address(browser: object, server: Any) -> str:
    """The page's address; `browser` first, so that without one no server is started."""
    return f"{server.url}/noise_schedules"


def player(page: Page) -> Locator:
    return page.get_by_role("group", name=re.compile("Noising"))


def handle(page: Page, number: int) -> Locator:
    return page.get_by_role("slider", name=re.compile(f"Point {number} of"))


def opened(page: Page, address: str, frame: int = 40) -> None:
    """Open the page and rest on one frame."""
    page.goto(address)
    expect(player(page)).to_have_attribute("data-have", re.compile(r"\d"))
    rest(page, frame)


def rest(page: Page, frame: int) -> None:
    player(page).get_by_role("slider").evaluate(
        "(e, at) => { e.value = at; e.dispatchEvent(new Event('input', { bubbles: true }));"
        " e.dispatchEvent(new Event('change', { bubbles: true })); }",
        frame,
    )
    expect(player(page)).to_have_attribute("data-frame", str(frame))


def picture(page: Page, panel: int) -> list[int]:
    read = "(c) => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    return player(page).locator("canvas").nth(panel).evaluate(read)


def run_of(page: Page) -> str:
    return player(page).get_attribute("data-run") or ""


def another_run(page: Page, before: str) -> None:
    expect(player(page)).not_to_have_attribute("data-run", before)


def points_in(page: Page) -> str:
    """The drawn points as the address has them."""
    page.wait_for_function("() => location.search.includes('points=')")
    return page.evaluate("() => new URLSearchParams(location.search).get('points')")


def test_dragging_a_point_changes_the_picture_and_the_address(
    page: Page, address: str, assert_clean: Check, new_page: NewPage
) -> None:
    opened(page, f"{address}?schedule_b=drawn")
    a, b, before = picture(page, 0), picture(page, 1), run_of(page)
    box = handle(page, 2).locator(".dot").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 20, y + 40, steps=5)
    page.mouse.up()
    another_run(page, before)
    rest(page, 40)
    assert picture(page, 0) == a
    assert picture(page, 1) != b
    text = points_in(page)
    moved = read_points(text)[1]
    assert moved[0] < 0.5
    assert moved[1] < 0.6
    assert_clean(page)
    other = new_page()  # the link that a friend gets
    opened(other, page.url)
    assert picture(other, 1) == picture(page, 1)
    expect(handle(other, 2)).to_have_attribute("aria-valuenow", f"{moved[1]:g}")


def test_a_point_can_not_be_dragged_above_the_one_before(page: Page, address: str) -> None:
    opened(page, f"{address}?schedule_b=drawn")
    before = run_of(page)
    box = handle(page, 2).locator(".dot").bounding_box()
    assert box
    page.mouse.move(box["x"] + 7, box["y"] + 7)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] - 300, steps=4)
    page.mouse.up()
    another_run(page, before)
    points = read_points(points_in(page))
    assert points == sorted(points)
    heights = [1.0, *(v for _, v in points)]
    assert heights == sorted(heights, reverse=True)
    assert len(set(heights)) == 5


def test_a_finger_moves_a_point(new_page: NewPage, address: str) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    opened(page, f"{address}?schedule_b=drawn")
    before = run_of(page)
    handle(page, 3).scroll_into_view_if_needed()
    box = handle(page, 3).locator(".dot").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: dict[str, float]) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    touch("touchStart", {"x": x, "y": y})
    for k in range(1, 6):
        touch("touchMove", {"x": x, "y": y - 8 * k})
    touch("touchEnd")
    another_run(page, before)
    assert read_points(points_in(page))[2][1] > 0.2


def test_the_keyboard_moves_adds_and_removes_points(
    page: Page, address: str, assert_clean: Check
) -> None:
    opened(page, f"{address}?schedule_b=drawn")
    before = run_of(page)
    handle(page, 2).focus()
    for key in ("ArrowDown", "ArrowDown", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    expect(handle(page, 2)).to_have_attribute("aria-valuetext", "ᾱ 0.58 at 0.45 of T")
    another_run(page, before)
    assert points_in(page) == "0.25:0.95,0.45:0.58,0.75:0.1,1:0"
    page.get_by_role("button", name="Add a point").press("Enter")
    expect(page.get_by_role("slider", name="Point 5 of 5")).to_be_visible()
    handle(page, 1).focus()
    page.keyboard.press("Delete")
    expect(page.get_by_role("slider", name="Point 4 of 4")).to_be_visible()
    page.wait_for_function("() => !decodeURIComponent(location.search).includes('0.25:0.95')")
    page.get_by_role("button", name="Reset").click()
    expect(page).not_to_have_url(re.compile("points="))
    assert_clean(page)


def test_reset_and_text_come_back_into_the_drawing(page: Page, address: str) -> None:
    opened(page, f"{address}?schedule_b=drawn&points=0.5:0.2,1:0.1")
    expect(handle(page, 1)).to_have_attribute("aria-valuenow", "0.2")
    page.get_by_text("More: steps, picture").click()
    field = page.get_by_label(re.compile("The drawn curve, as"))
    field.fill("0.5:0.9,0.7:nan")
    field.press("Enter")
    expect(page.get_by_text("Point 2 is not finite")).to_be_visible()
    expect(handle(page, 1)).to_have_attribute("aria-valuenow", "0.2")  # nothing is lost
    expect(field).to_have_value("0.5:0.9,0.7:nan")
    field.fill("0.5:0.3,0.7:0.6,1:0")
    field.press("Enter")
    expect(page.get_by_text("noise can't be taken away again")).to_be_visible()
    expect(handle(page, 2)).to_have_attribute("aria-valuenow", "0.299")


@pytest.mark.parametrize("text", ["0.25:0.95,0.5:0.6,0.75:0.1,1:0", "0.1:0.99,0.15:0.2,1:0.05"])
def test_the_curve_on_the_screen_is_the_computed_one(page: Page, address: str, text: str) -> None:
    opened(page, f"{address}?schedule_b=drawn&points={text}")
    drawing = page.locator(".editor .curve")
    path = re.findall(r"[-\d.]+", drawing.get_attribute("d") or "")
    xs, ys = [float(x) for x in path[::2]], [float(y) for y in path[1::2]]
    fixed = page.locator(".editor .fixed")
    end = from_points(read_points(text), 120).alpha_bar
    top = float(fixed.get_attribute("cy") or 0)
    scale = (ys[-1] - top) / (1 - float(end[-1]))
    assert len(xs) == 121
    for y, alpha_bar in zip(ys, end.tolist(), strict=True):
        assert y == pytest.approx(top + (1 - alpha_bar) * scale, abs=0.05)  # of a pixel


def test_at_the_same_snr_the_two_pictures_are_equal(
    page: Page, address: str, assert_clean: Check
) -> None:
    opened(page, address)
    before = run_of(page)

    def apart() -> int:
        return max(abs(a - b) for a, b in zip(picture(page, 0), picture(page, 1), strict=True))

    assert apart() > 60  # of 255
    page.get_by_role("radio", name="same SNR").or_(
        page.get_by_role("button", name="same SNR")
    ).first.click()
    another_run(page, before)
    assert player(page).get_attribute("data-frame") == "40"  # still at the same place in time
    assert apart() <= 2
    assert_clean(page)


def test_a_why_goes_where_the_answer_is(page: Page, address: str, shot: Shot) -> None:
    opened(page, address)
    before = run_of(page)
    box = page.locator("details").filter(has_text="I sample with 50 of 1000 steps")
    box.locator("summary").click()
    show_me(box, lambda: run_of(page) != before)
    another_run(page, before)
    expect(player(page)).to_have_attribute("data-frame", "50")
    expect(player(page)).to_contain_text("step 50 of 50")
    expect(page).to_have_url(re.compile("match=fewer"))
    before = run_of(page)
    page.get_by_role("slider", name="Steps that are kept").press("ArrowLeft")
    another_run(page, before)
    expect(page).to_have_url(re.compile("kept=20"))
    expect(player(page)).to_contain_text("step 20 of 20")  # still at the end
    expect(page.get_by_role("combobox", name=re.compile("Schedule B"))).to_have_count(0)
    shot(page, "noise_schedules-fewer")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_clean_with_everything_open(
    new_page: NewPage, address: str, assert_clean: Check, shot: Shot, width: int, scheme: str
) -> None:
    page = new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    opened(page, f"{address}?schedule_b=drawn")
    expect(handle(page, 4)).to_be_visible()
    unfold(page)
    idle(page)
    assert_clean(page)
    shot(page, f"noise_schedules-{width}-{scheme}")


def test_the_timeline_is_under_the_pictures_and_on_the_first_screen(
    new_page: NewPage, address: str
) -> None:
    page = new_page(viewport={"width": 1280, "height": 800})
    opened(page, address)
    slider = player(page).get_by_role("slider")
    expect(slider).to_be_in_viewport()
    picture = player(page).locator("canvas").first.bounding_box()
    at, charts = slider.bounding_box(), player(page).locator(".chart-line")
    heights = [chart.locator("> svg").bounding_box()["height"] for chart in charts.all()]  # type: ignore[index]
    assert picture
    assert at
    assert picture["y"] + picture["height"] <= at["y"] < charts.first.bounding_box()["y"]  # type: ignore[index]
    assert heights == [72, 144, 72, 72]
    line = charts.nth(1).locator(".curve-all").first.bounding_box()
    assert line
    assert line["height"] > 50  # drawn over the whole height, not over a chart of 72
    # What is past of the line is cut off at the cursor alone, not below either.
    assert float(charts.nth(1).locator("clipPath rect").get_attribute("height") or 0) > 144


@pytest.mark.parametrize(
    ("asks", "shown"),
    [
        ("first step back divides", "Spread of the mean after the first step back"),
        ("nearly pure noise", "The mean brightness at t = T"),
    ],
)
def test_a_why_opens_the_view_with_its_evidence(
    page: Page, address: str, assert_clean: Check, asks: str, shown: str
) -> None:
    opened(page, address)
    box = page.locator("details").filter(has_text=asks)
    box.locator("summary").first.click()
    chart = page.get_by_role("figure", name=re.compile(shown))
    show_me(box, lambda: chart.count() > 0)
    expect(chart).to_be_in_viewport()
    assert_clean(page)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_digits_of_both_ways_to_count_are_on_one_screen(
    new_page: NewPage, address: str, assert_clean: Check, width: int
) -> None:
    page = new_page(viewport={"width": width, "height": 800})
    page.goto(f"{address}?nview=Where+sampling+starts")
    rows = page.get_by_role("img", name=re.compile("Ten digits made in 5 steps"))
    expect(rows).to_have_count(2)
    idle(page)
    upper, lower = (row.bounding_box() for row in rows.all())
    assert upper
    assert lower
    assert upper["width"] == lower["width"] <= width
    assert lower["y"] + lower["height"] - upper["y"] < 800
    read = "(e) => e.complete && e.naturalWidth"
    assert [row.evaluate(read) for row in rows.all()] == [840, 840]
    assert_clean(page)
