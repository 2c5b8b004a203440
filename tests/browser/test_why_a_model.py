"""The page "Why a model?" in a real browser: what is dragged follows, and both sides agree."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from diffusion_core.bayes import point_posterior
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import SCHEDULES
from diffusion_core.true_reverse import (
    best_model_step,
    divergence,
    moment_matched,
    non_gaussianity,
)
from pages.shared.reverse_axis import earlier
from tests.browser.conftest import idle, show_me, unfold

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[[Page, str], Path]

VIEWS = {"line": "", "gauss": "How Gaussian?", "digits": "Digits"}


@pytest.fixture
def url(browser: object, server: Any) -> str:
    return f"{server.url}/why_a_model"


def axis(page: Page) -> Locator:
    return page.get_by_role("group", name="The reverse step on a number line")


def handle(page: Page, name: str) -> Locator:
    return axis(page).get_by_role("slider", name=re.compile(f"^{name}"))


def opened(page: Page, address: str) -> None:
    page.goto(address)
    expect(axis(page)).to_have_attribute("data-answered", "true")


def drawn(page: Page) -> dict[str, str]:
    return axis(page).evaluate("(e) => ({ ...e.dataset })")


def curve(page: Page) -> str:
    return axis(page).locator(".wide path.line.true").get_attribute("d") or ""


def middle(target: Locator) -> tuple[float, float]:
    box = target.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def humps(path: str) -> int:
    heights = [-float(y) for y in re.findall(r"[\d.-]+ (-?[\d.]+)", path)]
    heights = [a for a, b in zip(heights, [*heights[1:], None], strict=True) if a != b]
    return sum(a < b > c for a, b, c in zip(heights, heights[1:], heights[2:], strict=False))


def test_dragging_a_data_point_moves_the_mixture_and_letting_go_asks_the_server(
    page: Page, url: str, assert_clean: Check
) -> None:
    opened(page, url)
    page.wait_for_timeout(300)  # whatever the page still sends when it opens
    before, sent = curve(page), page.seen.sent  # type: ignore[attr-defined]
    x, y = middle(handle(page, "data point 3"))
    page.mouse.move(x, y)
    page.mouse.down()
    seen = {before}
    for k in range(1, 9):
        page.mouse.move(x + 12 * k, y)
        page.evaluate(
            "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"
        )
        seen.add(curve(page))
    assert len(seen) == 9  # every move redrew it
    assert page.seen.sent == sent  # type: ignore[attr-defined]  # and nobody was asked
    expect(axis(page)).to_have_attribute("data-answered", "false")
    page.mouse.up()
    expect(axis(page)).to_have_attribute("data-answered", "true")
    moved = drawn(page)["points"].split()[2]
    assert float(moved) > 1.5
    expect(page).to_have_url(re.compile(rf"wpoints=[^&]*{re.escape(moved)}(&|$)"))
    stats = axis(page).evaluate("(e) => e.reverseStats")
    assert stats["draws"] > 8
    assert stats["least"] < 8  # half a frame at 60 a second; the least, as machines are busy
    assert_clean(page)


def test_longer_steps_stop_being_gaussian_under_the_finger(page: Page, url: str) -> None:
    """T from 1000 to 2 by the keyboard: the number rises at every stop, humps appear."""
    opened(page, f"{url}?wT=1000")
    assert humps(curve(page)) == 1
    handle(page, "jumps from noise").focus()
    gaps = [float(drawn(page)["j"])]
    for _ in range(10):
        before = drawn(page)["steps"]
        page.keyboard.press("ArrowRight")
        expect(axis(page)).not_to_have_attribute("data-steps", before)
        gaps.append(float(drawn(page)["j"]))
    assert gaps == sorted(gaps)
    assert gaps[0] < 1e-8
    assert gaps[-1] > 1
    assert humps(curve(page)) == 3
    expect(axis(page)).to_have_attribute("data-answered", "true")
    expect(page).to_have_url(re.compile("wT=2(&|$)"))
    expect(handle(page, "jumps from noise")).to_be_focused()  # the answer left the keyboard there


@pytest.mark.parametrize(
    ("schedule", "points", "chosen", "x_t", "t", "T"),
    [
        ("cosine", (-1.2, -0.8, 0.9), 3, 0.1, 520, 3),
        ("linear", (-1.0, 1.0), 1, 0.0, 520, 1000),
        ("sigmoid", (-3.0, -1.0, 0.0, 0.5, 0.5, 1.0, 2.0, 3.0), 8, -1.3, 700, 2),
    ],
)
def test_the_browser_and_python_agree(
    page: Page, url: str, schedule: str, points: tuple[float, ...], chosen: int, x_t: float,
    t: int, T: int,
) -> None:  # fmt: skip
    text = "+".join(map(str, points))
    opened(
        page, f"{url}?wschedule={schedule}&wpoints={text}&wi={chosen}&wx={x_t}&wt={t}&wT={T}"
    )  # fmt: skip
    expect(axis(page)).to_have_attribute("data-points", " ".join(f"{p:g}" for p in points))
    told = drawn(page)
    diffusion = GaussianDiffusion(SCHEDULES[schedule](1000))
    arguments = (
        diffusion, torch.tensor([x_t]).double(), torch.tensor(points).double(),
        torch.tensor([t]), torch.tensor([earlier(t, T)]),
    )  # fmt: skip
    mixture = point_posterior(*arguments)
    matched, model = moment_matched(mixture), best_model_step(*arguments)
    known = diffusion.q_posterior(
        arguments[1], arguments[2][[chosen - 1]], arguments[3], arguments[4]
    )
    assert float(told["mean"]) == pytest.approx(float(matched.mean), abs=1e-6)
    assert float(told["matched"]) == pytest.approx(float(matched.var), rel=1e-6)
    assert float(told["j"]) == pytest.approx(float(non_gaussianity(mixture)), rel=1e-6, abs=1e-14)
    for name, step in (("klModel", model), ("klKnown", known)):
        assert float(told[name]) == pytest.approx(float(divergence(mixture, step)), rel=1e-5)


def test_points_are_added_chosen_and_removed(page: Page, url: str, assert_clean: Check) -> None:
    opened(page, url)
    points = axis(page).get_by_role("slider", name=re.compile("^data point"))
    expect(points).to_have_count(3)
    axis(page).get_by_role("button", name="Add a data point").click()
    expect(points).to_have_count(4)
    expect(page).to_have_url(re.compile("wpoints="))
    expect(axis(page)).to_have_attribute("data-answered", "true")
    points.nth(0).focus()  # to look at a point is to choose it
    expect(axis(page)).to_have_attribute("data-chosen", "0")
    for left in (3, 2, 1):
        page.keyboard.press("Delete")
        expect(points).to_have_count(left)
    page.keyboard.press("Delete")  # the last one stays
    expect(points).to_have_count(1)
    expect(axis(page)).to_contain_text("With a single data point the true step is exactly Gaussian")
    expect(axis(page)).to_have_attribute("data-answered", "true")
    assert_clean(page)


def test_a_button_of_why_shows_the_digits(page: Page, url: str, assert_clean: Check) -> None:
    opened(page, url)
    idle(page)
    box = page.locator("details").filter(has_text="why not sample with it")
    box.locator("summary").click()
    group = page.get_by_role("group", name=re.compile("Exact and learned guesses"))
    show_me(box, lambda: group.count() > 0)
    expect(group).to_be_visible()
    expect(page).to_have_url(re.compile("wT=50"))
    expect(page.get_by_text("The exact guess is a digit of the data").first).to_be_visible()
    assert_clean(page)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (320, "light")])
def test_every_view_is_clean(
    new_page: NewPage, url: str, assert_clean: Check, shot: Shot, width: int, scheme: str
) -> None:
    page = new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    for view, label in VIEWS.items():
        page.goto(f"{url}?wview={label}" if label else url)
        if view == "line":
            expect(axis(page)).to_have_attribute("data-answered", "true")
        elif view == "digits":
            expect(page.get_by_role("group", name=re.compile("Exact and learned"))).to_be_visible()
        else:
            expect(page.locator(".plot svg").first).to_be_visible()
        expect(page.get_by_role("heading", name="Sources")).to_be_visible()
        idle(page)
        if view == "line":
            unfold(page)
        page.wait_for_timeout(300)  # expanders open with a transition
        assert_clean(page)
        shot(page, f"why-{view}-{width}-{scheme}")
