"""The page about discrete sampling in a real browser, with whichever networks are here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from pages.shared.discrete_networks import available
from tests.browser.conftest import unfold

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[[Page, str], Path]

RUN = "Sampling, from noise to data"
PLAYERS = {
    "": RUN,
    "Side by side": "Kernels side by side, from noise to data",
    "Plant errors": "Errors planted in a run",
    "Bits": "The cost of a generated digit 3, over the steps t",
    "Fill in the blank": "Two ways to one term, for a generated digit 3",
}

pytestmark = pytest.mark.skipif(
    "binary-absorbing" not in available(), reason="no network over categories is here"
)


@pytest.fixture
def url(browser: object, server: Any) -> str:
    return f"{server.url}/discrete_sampling"


def player(page: Page, label: str = RUN) -> Locator:
    return page.get_by_role("group", name=label)


def finished(page: Page, address: str, label: str = RUN) -> Locator:
    page.goto(address)
    found = player(page, label)
    expect(found).to_have_attribute("data-run", re.compile("."), timeout=60_000)
    page.wait_for_function(
        "(e) => +e.dataset.have === +e.querySelector('.scrub').max + 1",
        arg=found.element_handle(),
        timeout=60_000,
    )
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    return found


def pixels(canvas: Locator) -> Any:
    """What a canvas holds, as a string."""
    return canvas.evaluate("(c) => c.toDataURL()")


def test_a_run_is_followed_and_stepped_back(page: Page, url: str, assert_clean: Check) -> None:
    found = finished(page, f"{url}?dssteps=10&dsnet=binary-absorbing")
    slider = found.get_by_role("slider")
    slider.focus()
    page.keyboard.press("End")
    expect(found).to_contain_text("done in 10 steps")
    end = pixels(found.locator("canvas").first)
    page.keyboard.press("ArrowLeft")
    expect(found).to_contain_text("step 9 of 10")
    assert pixels(found.locator("canvas").first) != end
    sent = page.seen.sent  # type: ignore[attr-defined]
    page.keyboard.press("Home")
    expect(found).to_contain_text("t = 1000")
    page.keyboard.press("ArrowRight")
    expect(found).to_contain_text("unmasked")
    assert page.seen.sent == sent  # type: ignore[attr-defined]
    assert_clean(page)


def test_the_confidence_map_is_there_and_another_order_changes_it(page: Page, url: str) -> None:
    found = finished(page, f"{url}?dssteps=10&dsnet=binary-absorbing")
    sure = found.get_by_role("img", name=re.compile("the network's confidence"))
    expect(sure).to_be_visible()
    expect(page.get_by_text("known, no longer asked")).to_be_visible()
    found.get_by_role("slider").focus()
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    random, run = pixels(sure), found.get_attribute("data-run")
    page.get_by_role("radio", name="most confident first").click()
    expect(found).not_to_have_attribute("data-run", run or "")
    page.wait_for_function(
        "(e) => +e.dataset.have === +e.querySelector('.scrub').max + 1",
        arg=found.element_handle(),
    )
    found.get_by_role("slider").focus()
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert pixels(sure) != random
    expect(page).to_have_url(re.compile(r"dsorder=most(\+|%20)confident"))


def test_planted_errors_stay_under_absorbing_noise(
    page: Page, url: str, assert_clean: Check
) -> None:
    finished(
        page,
        f"{url}?dssteps=10&dsview=Plant+errors&dsrows=binary-absorbing",
        PLAYERS["Plant errors"],
    )
    table = page.get_by_role("region", name="What became of the errors")
    expect(table).to_contain_text("180 (100 %)")
    assert_clean(page)


def test_the_two_ways_agree_to_rounding(page: Page, url: str, assert_clean: Check) -> None:
    finished(page, f"{url}?dsview=Fill+in+the+blank", PLAYERS["Fill in the blank"])
    sentence = page.get_by_text("the two ways differ by at most")
    expect(sentence).to_be_visible()
    found = re.search(r"at most (\S+) nats", sentence.inner_text())
    assert found
    assert float(found.group(1)) < 1e-10
    assert_clean(page)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_every_view_is_clean(
    new_page: NewPage, url: str, assert_clean: Check, shot: Shot, width: int, scheme: str
) -> None:
    page = new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    for view, label in PLAYERS.items():
        steps = f"{url}?dssteps=5"
        finished(page, f"{steps}&dsview={view.replace(' ', '+')}" if view else steps, label)
        if not view:
            assert player(page).locator("canvas").first.bounding_box()["y"] < 844
            unfold(page)
            page.wait_for_timeout(300)  # expanders open with a transition
        assert_clean(page)
        shot(page, f"discrete-sampling-{view.split(' ')[0].lower() or 'run'}-{width}-{scheme}")
