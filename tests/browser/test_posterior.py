"""The posterior page in a real browser: what is dragged follows, and both sides agree."""

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
from tests.browser.conftest import idle, show_me, unfold

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[[Page, str], Path]

NAMES = {"x0": "x zero", "xt": "x t,", "s": "step s", "t": "step t"}
VIEWS = {"line": "", "weights": "Weights", "variance": "β or β̃?", "picture": "Picture"}


@pytest.fixture
def url(browser: object, server: Any) -> str:
    return f"{server.url}/posterior"


def axis(page: Page) -> Locator:
    return page.get_by_role("group", name="Bayes' rule on a number line")


def handle(page: Page, key: str) -> Locator:
    return axis(page).get_by_role("slider", name=re.compile(f"^{NAMES[key]}"))


def opened(page: Page, address: str) -> None:
    page.goto(address)
    expect(axis(page)).to_have_attribute("data-answered", "true")


def drawn(page: Page) -> dict[str, float]:
    data = axis(page).evaluate("(e) => ({ ...e.dataset })")
    return {key: float(data[key]) for key in ("x0", "xt", "t", "s", "mean", "variance", "logArea")}


def curve(page: Page) -> str:
    return axis(page).locator("path.line.posterior").get_attribute("d") or ""


def middle(target: Locator) -> tuple[float, float]:
    box = target.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def cells(page: Page, row: str) -> list[str]:
    return axis(page).locator(f"tr.{row} td").all_text_contents()


def holds(key: str, value: float) -> re.Pattern[str]:
    """An address in which `key` is `value`."""
    return re.compile(rf"{key}={re.escape(f'{value:g}')}0*(&|$)")


def answered(page: Page) -> None:
    expect(axis(page)).to_have_attribute("data-answered", "true")


def test_dragging_x0_moves_the_density_and_letting_go_asks_the_server(
    page: Page, url: str, assert_clean: Check
) -> None:
    opened(page, url)
    page.wait_for_timeout(300)  # whatever the page still sends when it opens
    before, at, sent = curve(page), drawn(page), page.seen.sent  # type: ignore[attr-defined]
    x, y = middle(handle(page, "x0"))
    page.mouse.move(x, y)
    page.mouse.down()
    seen = {before}
    for k in range(1, 11):
        page.mouse.move(x - 20 * k, y)
        page.evaluate(
            "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"
        )
        seen.add(curve(page))
    assert len(seen) == 11  # every move redrew it
    assert page.seen.sent == sent  # type: ignore[attr-defined]  # and nobody was asked
    expect(axis(page)).to_have_attribute("data-answered", "false")
    assert drawn(page)["x0"] < at["x0"] - 1
    page.mouse.up()
    answered(page)
    now = drawn(page)
    expect(page).to_have_url(holds("px0", now["x0"]))
    assert cells(page, "closed") == cells(page, "drawn") == cells(page, "summed")
    assert_clean(page)


def test_a_drag_is_drawn_at_the_rate_of_the_screen(page: Page, url: str) -> None:
    opened(page, url)
    x, y = middle(handle(page, "xt"))
    page.mouse.move(x, y)
    page.mouse.down()
    for k in range(60):
        page.mouse.move(x + 2 * k, y)
    page.mouse.up()
    stats = axis(page).evaluate("(e) => e.bayesStats")
    assert stats["draws"] > 20
    assert stats["total"] / stats["draws"] < 8  # half a frame at 60 a second, on a busy machine


@pytest.mark.parametrize(
    ("schedule", "T", "t", "s", "x0", "x_t"),
    [
        ("linear", 1000, 300, 200, 0.8, -0.4),
        ("linear", 1000, 2, 1, 1.0, 0.95),
        ("linear", 1000, 1000, 999, -1.0, 2.5),
        ("cosine", 1000, 700, 3, -2.0, 0.01),
        ("cosine", 10, 1, 0, 0.3, -0.7),
        ("sigmoid", 100, 60, 30, 0.0, 0.0),
        ("log_snr_linear", 1000, 500, 250, 3.0, -3.0),
    ],
)
def test_the_browser_and_python_agree(
    page: Page, url: str, schedule: str, T: int, t: int, s: int, x0: float, x_t: float
) -> None:
    opened(
        page,
        f"{url}?schedule_p={schedule}&T={T}&pt={t}&ps={s}&px0={x0}&pxt={x_t}&pmix=true",
    )
    expect(axis(page)).to_have_attribute("data-t", str(t))
    diffusion = GaussianDiffusion(SCHEDULES[schedule](T))
    clean, noisy = (torch.tensor([v], dtype=torch.float64) for v in (x0, x_t))
    steps = torch.tensor([t]), torch.tensor([s])
    closed = diffusion.q_posterior(noisy, clean, *steps)
    end = diffusion.q_marginal(clean, steps[0])
    told = drawn(page)
    assert (told["x0"], told["xt"], told["t"], told["s"]) == (x0, x_t, t, s)
    assert told["mean"] == pytest.approx(float(closed.mean), abs=1e-6)
    assert told["variance"] == pytest.approx(float(closed.var), rel=1e-6, abs=0)
    log_area = torch.distributions.Normal(end.mean, end.var.sqrt()).log_prob(noisy)
    assert told["logArea"] == pytest.approx(float(log_area), rel=1e-6)
    weights = point_posterior(diffusion, noisy, torch.tensor([-1.0, 1.0]), *steps).weights[0]
    shown = (axis(page).get_attribute("data-weights") or "").split()
    assert [float(w) for w in shown] == pytest.approx(weights.tolist(), abs=1e-6)
    assert cells(page, "closed") == cells(page, "drawn")


def test_the_keyboard_moves_every_handle_and_s_stays_before_t(
    page: Page, url: str, assert_clean: Check
) -> None:
    opened(page, url)
    handle(page, "x0").focus()
    page.keyboard.press("ArrowRight")
    expect(handle(page, "x0")).to_have_attribute("aria-valuetext", "0.85")
    page.keyboard.press("Shift+ArrowLeft")
    expect(handle(page, "x0")).to_have_attribute("aria-valuenow", "0.84")
    expect(page).to_have_url(re.compile(r"px0=0\.84"))
    handle(page, "s").focus()
    page.keyboard.press("End")  # s pushes t along
    expect(handle(page, "t")).to_have_attribute("aria-valuenow", "1000")
    expect(handle(page, "s")).to_have_attribute("aria-valuenow", "999")
    handle(page, "t").focus()
    page.keyboard.press("Home")  # t pushes s along
    expect(handle(page, "t")).to_have_attribute("aria-valuenow", "1")
    expect(handle(page, "s")).to_have_attribute("aria-valuenow", "0")
    expect(page).to_have_url(re.compile(r"pt=1(&|$)"))
    answered(page)
    expect(axis(page)).to_contain_text("At s = 0 nothing is left to multiply")
    assert cells(page, "drawn")[1] == "0"
    assert axis(page).locator("line.spike.posterior").count() == 1
    expect(handle(page, "t")).to_be_focused()  # the answer did not take the keyboard away
    assert_clean(page)


def test_a_finger_drags(new_page: NewPage, url: str) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    opened(page, url)
    handle(page, "xt").scroll_into_view_if_needed()
    x, y = middle(handle(page, "xt"))
    cdp = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        cdp.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": px, "y": py} for px, py in points]},
        )

    touch("touchStart", (x, y))
    for k in range(1, 9):
        touch("touchMove", (x + 8 * k, y))
    touch("touchEnd")
    answered(page)
    moved = drawn(page)["xt"]
    assert moved > 0.3
    expect(page).to_have_url(holds("pxt", moved))


def test_a_click_on_the_line_brings_the_nearer_step(page: Page, url: str) -> None:
    opened(page, url)
    lane = axis(page).locator(".lane.steps")
    box = lane.bounding_box()
    assert box
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    expect(handle(page, "t")).to_have_attribute("aria-valuenow", "900")
    expect(handle(page, "s")).to_have_attribute("aria-valuenow", "200")
    axis(page).get_by_role("button", name="one step").click()
    expect(handle(page, "s")).to_have_attribute("aria-valuenow", "899")
    answered(page)
    expect(page).to_have_url(re.compile("ps=899"))


def test_without_x0_there_are_two_humps_and_a_button_shows_them(
    page: Page, url: str, assert_clean: Check, shot: Shot
) -> None:
    opened(page, url)
    idle(page)
    box = page.locator("details").filter(has_text="Gaussian, or only when x₀ is given")
    box.locator("summary").click()
    show_me(box, lambda: "pmix=true" in page.url)
    expect(page).to_have_url(re.compile("pmix=true"))
    answered(page)
    path = axis(page).locator("path.line.forgotten").get_attribute("d") or ""
    heights = [-float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", path)]
    heights = [a for a, b in zip(heights, [*heights[1:], None], strict=True) if a != b]
    humps = sum(a < b > c for a, b, c in zip(heights, heights[1:], heights[2:], strict=False))
    assert humps == 2
    expect(axis(page)).to_contain_text("50.0 % for x₀ = −1, 50.0 % for x₀ = 1")
    assert_clean(page)
    shot(page, "posterior-humps")
    page.get_by_role("button", name="Reset").click()
    expect(axis(page)).to_have_attribute("data-s", "200")
    expect(page.get_by_text("Each value has its own bell")).to_have_count(0)


def test_one_step_back_the_bells_merge_in_a_close_up(
    page: Page, url: str, assert_clean: Check
) -> None:
    opened(page, f"{url}?pmix=true&px0=1&pxt=0&pt=300&ps=100")
    closeup = axis(page).locator(".closeup")
    expect(axis(page).locator(".bells path")).to_have_count(2)
    expect(axis(page)).to_contain_text("5.7 of their standard deviations apart")
    expect(closeup.locator("path")).to_have_count(0)
    axis(page).get_by_role("button", name="one step").click()
    answered(page)
    expect(axis(page)).to_contain_text("0.16 of their standard deviations apart")
    expect(closeup.locator("path.bell")).to_have_count(2)
    heights = [-float(y) for y in re.findall(
        r"[\d.]+ ([\d.]+)", closeup.locator("path.sum").get_attribute("d") or ""
    )]  # fmt: skip
    assert sum(a < b >= c for a, b, c in zip(heights, heights[1:], heights[2:], strict=False)) == 1
    name = axis(page).locator(".name.forgotten").bounding_box()
    peak = axis(page).locator("path.line.posterior").bounding_box()
    assert name
    assert peak
    assert name["y"] > peak["y"] + 100  # not over the peak
    x, y = middle(handle(page, "s"))
    page.mouse.move(x - 8, y)
    page.mouse.down()
    page.mouse.move(x - 108, y)
    page.mouse.up()
    answered(page)
    expect(handle(page, "t")).to_have_attribute("aria-valuenow", "300")
    assert drawn(page)["s"] < 250  # s was not hidden under t
    assert_clean(page)


@pytest.mark.parametrize(
    ("asked", "apart", "humps"),
    [
        ("pt=300&ps=50", "11", 0),  # far apart on the line itself
        ("pt=300&ps=299&schedule_p=log_snr_linear", "13.6", 2),  # far apart, and thin as one line
        ("pt=300&ps=1", "[12][0-9][0-9]", 0),
    ],
)
def test_a_close_up_shows_only_what_the_line_does_not(
    page: Page, url: str, asked: str, apart: str, humps: int, assert_clean: Check
) -> None:
    opened(page, f"{url}?pmix=true&px0=1&pxt=0&{asked}")
    said = re.compile(rf"thin bell, {apart}[.0-9]* of their standard deviations apart")
    expect(axis(page)).to_contain_text(said)
    closeup = axis(page).locator(".closeup")
    expect(closeup.locator("path.bell")).to_have_count(humps)
    wider = [float(text.split()[0]) for text in closeup.locator("text").all_text_contents()]
    assert all(times >= 2 for times in wider)
    assert len(wider) == bool(humps)
    assert_clean(page)


def test_every_button_of_why_shows_its_view(page: Page, url: str) -> None:
    opened(page, url)
    box = page.locator("details").filter(has_text="which variance should a reverse step use")
    box.locator("summary").click()
    show_me(box, lambda: page.get_by_text("the best for v = 0.01").count() > 0)
    expect(page.get_by_text("the best for v = 0.01").first).to_be_visible()
    expect(page.get_by_text("At t = 2: β̃ is 45.5% of the forward noise")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_view_is_clean(
    new_page: NewPage, url: str, assert_clean: Check, shot: Shot, width: int, scheme: str
) -> None:
    page = new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    for view, label in VIEWS.items():
        page.goto(f"{url}?pview={label}" if label else url)
        if view == "line":
            answered(page)
        elif view == "picture":
            expect(
                page.get_by_role("group", name=re.compile("posterior of a pict"))
            ).to_be_visible()
        else:
            expect(page.locator(".plot svg").first).to_be_visible()
        expect(page.get_by_role("heading", name="Sources")).to_be_visible()
        idle(page)
        if view == "line":
            unfold(page)
        page.wait_for_timeout(300)  # expanders open with a transition
        assert_clean(page)
        shot(page, f"posterior-{view}-{width}-{scheme}")
