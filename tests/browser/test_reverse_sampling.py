"""The bench in a real browser: numbers follow the player, files come down, points are measured."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import unfold

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[[Page, str], Path]


@pytest.fixture
def url(browser: object, server: Any) -> str:
    return f"{server.url}/reverse_sampling"


def player(page: Page) -> Locator:
    return page.get_by_role("group", name="Sampling, from noise to picture")


def finished(page: Page, address: str) -> None:
    page.goto(address)
    expect(player(page)).to_have_attribute("data-run", re.compile("."))
    page.wait_for_function(
        "(e) => +e.dataset.have === +e.querySelector('.scrub').max + 1",
        arg=player(page).element_handle(),
    )
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def download(page: Page, label: str) -> bytes:
    with page.expect_download() as got:
        page.get_by_role("button", name=label, exact=False).click()
    return Path(got.value.path()).read_bytes()


def test_the_numbers_follow_the_player(page: Page, url: str, assert_clean: Check) -> None:
    finished(page, f"{url}?steps=5&numbers=this+step")
    table = page.get_by_role("region", name="Numbers of this step")
    player(page).get_by_role("slider").focus()
    page.keyboard.press("Home")
    expect(table).to_contain_text("t = 1000")
    page.keyboard.press("ArrowRight")
    expect(table).to_contain_text("t = 800")
    page.keyboard.press("End")
    expect(table).to_contain_text("t = 0")
    assert_clean(page)


def test_the_numbers_are_of_no_step_that_the_player_passes(
    page: Page, url: str, assert_clean: Check
) -> None:
    page.goto(f"{url}?steps=100&numbers=this+step")
    table = page.get_by_role("region", name="Numbers of this step")
    pause = page.get_by_text("While the frames move")
    expect(pause).to_be_visible()
    expect(table).to_be_hidden()
    player(page).get_by_role("slider").focus()
    page.keyboard.press(" ")
    expect(pause).to_be_hidden()
    here = re.search(r"t = \d+", player(page).inner_text())
    assert here
    expect(table.get_by_role("columnheader").first).to_have_text(here[0])
    page.keyboard.press(" ")
    expect(pause).to_be_visible()
    expect(table).to_be_hidden()
    assert_clean(page)


def test_on_a_phone_steps_and_eta_follow_the_pictures(new_page: NewPage, url: str) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    finished(page, f"{url}?steps=5")
    tops = [
        page.locator(f".st-key-{key}").bounding_box()["y"]
        for key in ("rview", "bench_stage", "steps", "eta", "bench_below")
    ]
    assert tops == sorted(tops)


def test_a_run_can_be_taken_away(page: Page, url: str, assert_clean: Check) -> None:
    finished(page, f"{url}?steps=5&compare=true")
    gif = Image.open(io.BytesIO(download(page, "GIF")))
    assert (gif.format, gif.n_frames) == ("GIF", 6)
    assert Image.open(io.BytesIO(download(page, "PNG strip"))).format == "PNG"
    rows = list(csv.DictReader(io.StringIO(download(page, "CSV").decode())))
    assert [(row["run"], row["t"]) for row in rows][::6] == [("DDIM", "1000"), ("DDPM", "1000")]
    compile(download(page, "Script"), "script.py", "exec")
    assert b'"nbformat": 4' in download(page, "Notebook")
    assert_clean(page)


def test_a_solver_needs_no_dial(page: Page, url: str, assert_clean: Check) -> None:
    finished(page, f"{url}?steps=5&sampler=Heun&compare=true&sampler_b=DPM-Solver%2B%2B+2M")
    expect(player(page)).to_contain_text("Heun")
    expect(player(page)).to_contain_text("DPM-Solver++ 2M")
    expect(page.get_by_role("slider", name=re.compile("η"))).to_have_count(0)
    expect(page.get_by_text("Asked 8 and 5 times for each picture")).to_be_visible()
    assert_clean(page)


def test_a_point_is_measured_live(page: Page, url: str, assert_clean: Check) -> None:
    finished(page, f"{url}?steps=2")
    expect(page.get_by_text("Recognised as the digit asked for, %")).to_be_visible()
    page.get_by_role("button", name=re.compile(r"Sample \d+ digits and count")).click()
    expect(page.get_by_text(re.compile(r"Live, \d+ digits only"))).to_be_visible()
    assert_clean(page)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_everything_at_once_fits(
    new_page: NewPage, url: str, assert_clean: Check, shot: Shot, width: int, scheme: str
) -> None:
    page = new_page(viewport={"width": width, "height": 720}, color_scheme=scheme)
    finished(page, f"{url}?steps=5&compare=true&numbers=all+steps&sampler_b=Heun")
    unfold(page)
    assert_clean(page)
    shot(page, f"bench-{width}-{scheme}")
    assert player(page).locator("canvas").first.bounding_box()["y"] < 720


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_numbers_of_steps_can_be_compared(
    new_page: NewPage, url: str, assert_clean: Check, shot: Shot, width: int, scheme: str
) -> None:
    page = new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.goto(f"{url}?steps=2")
    views = {
        "More and more steps": ("More and more steps from one noise", "1 step: all the noise"),
        "To noise and back": ("To noise and back, by steps", "10 steps there, 10 back"),
    }
    for view, (label, rests) in views.items():
        page.get_by_role("radio", name=view).click()
        expect(page).to_have_url(re.compile(f"rview={view.split()[0]}"))
        group = page.get_by_role("group", name=label)
        expect(group).to_contain_text(rests, timeout=60_000)
        assert_clean(page)
        shot(page, f"steps-{view.split()[0].lower()}-{width}-{scheme}")
