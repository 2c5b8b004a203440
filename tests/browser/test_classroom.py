"""A class in front of a projector: presentation mode, a lesson as a link, a handout on paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import idle
from tests.browser.test_app import PAGES, drawn, opened

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[..., Any]


@pytest.fixture
def url(browser: object, server: Any) -> str:
    """The app's address; `browser` first, so that without one no server is started."""
    return server.url


def sidebar(page: Page) -> Any:
    return page.get_by_test_id("stSidebar")


# Presentation mode.


def test_one_key_turns_presentation_on_and_off(page: Page, url: str, assert_clean: Check) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    opened(page, f"{url}/posterior?pt=77")
    drawn(page)
    before = page.evaluate("parseFloat(getComputedStyle(document.querySelector('h1')).fontSize)")
    page.get_by_role("heading", level=1).press("Alt+p")
    expect(page).to_have_url(re.compile("present=1"))
    expect(sidebar(page)).to_be_hidden()
    assert "pt=77" in page.url
    after = page.evaluate("parseFloat(getComputedStyle(document.querySelector('h1')).fontSize)")
    assert after > 1.25 * before
    drawn(page)
    assert_clean(page)
    page.get_by_role("heading", level=1).press("Alt+p")
    expect(page).not_to_have_url(re.compile("present"))
    expect(sidebar(page)).to_be_visible()


def test_a_link_opens_in_presentation_mode(page: Page, url: str) -> None:
    opened(page, f"{url}/posterior?pt=77&present=1")
    drawn(page)
    expect(sidebar(page)).to_be_hidden()
    page.get_by_role("button", name="Leave presentation").click()
    expect(sidebar(page)).to_be_visible()
    expect(page).to_have_url(re.compile(r"posterior\?pt=77$"))


def test_a_letter_alone_is_no_command(page: Page, url: str) -> None:
    """Whoever speaks to the machine, or types into the wrong place, must not lose the sidebar."""
    opened(page, f"{url}/posterior")
    drawn(page)
    page.get_by_role("combobox", name="Noise schedule").press("p")
    page.keyboard.press("Escape")  # the open menu hides the rest of the page
    page.locator("h1").press("Control+p")
    page.wait_for_timeout(500)
    idle(page)
    slider = page.get_by_role("slider").first
    slider.press("p")
    page.wait_for_timeout(500)
    idle(page)
    assert "present" not in page.url
    slider.press("Alt+p")
    expect(page).to_have_url(re.compile("present=1"))


# A lesson as a link.


def test_a_lesson_from_collecting_to_leaving(
    page: Page, new_page: NewPage, url: str, assert_clean: Check, shot: Shot
) -> None:
    opened(page, f"{url}/posterior")
    drawn(page)
    page.get_by_role("radio", name="Weights").or_(
        page.get_by_role("button", name="Weights")
    ).click()
    expect(page).to_have_url(re.compile("pview=Weights"))
    page.get_by_role("button", name="Lesson").click()
    page.get_by_role("button", name="Add this view").click()
    question = page.get_by_role("textbox", name="Question at stop 1")
    question.fill("Where do the <b>weights</b> cross?")
    question.press("Enter")
    page.keyboard.press("Escape")
    page.get_by_test_id("stSidebar").get_by_role("link", name="Forward process").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Forward process")
    drawn(page)
    page.get_by_role("button", name="Lesson").click()
    page.get_by_role("button", name="Add this view").click()
    expect(page.get_by_text("2. Forward process", exact=True)).to_be_visible()
    expect(question).to_have_value("Where do the <b>weights</b> cross?")
    shot(page, "lesson-editor")
    link = page.get_by_test_id("stPopoverBody").locator("pre").inner_text()
    assert link.startswith(f"{url}/posterior?pview=Weights&lesson=")

    pupil = new_page(viewport={"width": 1280, "height": 720})
    pupil.goto(link)
    bar = pupil.get_by_role("navigation", name="Lesson")
    expect(bar).to_contain_text("Stop 1 of 2")
    expect(bar).to_contain_text("Where do the <b>weights</b> cross?")
    drawn(pupil)
    assert "pview=Weights" in pupil.url
    bar.get_by_role("link", name="Next").click()
    expect(pupil.get_by_role("heading", level=1)).to_have_text("Forward process")
    expect(bar).to_contain_text("Stop 2 of 2")
    bar.get_by_role("link", name="Previous").click()
    expect(pupil).to_have_url(re.compile("posterior.*pview=Weights"))
    pupil.get_by_test_id("stSidebar").get_by_role("link", name="Model cards").click()
    expect(bar).to_contain_text("Back to stop 1 of 2")
    bar.get_by_role("link", name="Back to stop").click()
    expect(pupil).to_have_url(re.compile("posterior.*pview=Weights"))
    drawn(pupil)
    assert_clean(pupil)
    shot(pupil, "lesson-followed")
    pupil.get_by_role("button", name="Leave the lesson").click()
    expect(bar).to_have_count(0)
    expect(pupil).to_have_url(re.compile(r"posterior\?pview=Weights$"))


def test_the_keyboard_keeps_its_place_in_the_editor(page: Page, url: str) -> None:
    """Where a pressed button goes or is turned off, the focus goes beside it."""
    opened(page, f"{url}/posterior")
    page.get_by_role("button", name="Lesson").click()
    for stop in (1, 2, 3):
        page.get_by_role("button", name="Add this view").click()
        expect(page.get_by_role("button", name=f"Remove stop {stop}.")).to_be_visible()
    for pressed, then in (
        ("Up stop 2.", "Down stop 1."),  # further up it can't go
        ("Remove stop 2.", "Remove stop 2."),  # the third came in its place
        ("Remove stop 2.", "Remove stop 1."),
        ("Remove stop 1.", "Add this view"),
    ):
        page.get_by_role("button", name=pressed).press("Enter")
        expect(page.get_by_role("button", name=then)).to_be_focused()
    expect(page.get_by_role("button", name="Remove")).to_have_count(0)


def test_a_broken_lesson_is_said_and_the_page_works(
    page: Page, url: str, assert_clean: Check
) -> None:
    opened(page, f"{url}/posterior?lesson=eJwrong&stop=3&pt=77")
    expect(page.get_by_test_id("stToast")).to_contain_text("can't be read")
    expect(page.get_by_role("navigation", name="Lesson")).to_have_count(0)
    drawn(page)
    expect(page).to_have_url(re.compile(r"posterior\?pt=77$"))
    assert_clean(page)


def test_the_bar_fits_a_phone(new_page: NewPage, url: str, assert_clean: Check, shot: Shot) -> None:
    from pages.shared.lesson import Stop, pack

    stops = [Stop("elbo", "", "Which of the thousand steps holds most of the bits, and why?")] * 3
    page = new_page(viewport={"width": 390, "height": 844})
    opened(page, f"{url}/elbo?lesson={pack(stops)}&stop=2")
    drawn(page)
    expect(page.get_by_role("navigation", name="Lesson")).to_contain_text("Stop 2 of 3")
    assert_clean(page)
    shot(page, "lesson-phone")


# On paper.

_ON_PAPER = """() => {
  const faults = [];
  const shown = (e) => e.checkVisibility({ visibilityProperty: true })
    && e.getBoundingClientRect().height > 0;
  const screenOnly = '[data-testid="stSidebar"], [data-testid="stHeader"], .st-key-chapter_tools, '
    + '[data-testid="stFileUploader"], [data-testid="stPopover"]';
  for (const e of document.querySelectorAll(screenOnly)) {
    if (shown(e)) faults.push("still there: " + (e.dataset.testid || e.className));
  }
  for (const e of document.querySelectorAll('[data-testid="stButton"], button[data-show]')) {
    if (shown(e) && !e.closest(".try")) faults.push("button: " + e.innerText);
  }
  for (const e of document.querySelectorAll("h1, h2, h3, p, li, summary, input, label")) {
    const { color } = getComputedStyle(e);
    const own = e.closest(".katex, [style*='color']");
    if (shown(e) && !own && color !== "rgb(0, 0, 0)") faults.push(color + ": " + e.innerText);
  }
  for (const e of document.querySelectorAll("details")) {
    if (!e.children[1].getBoundingClientRect().height) faults.push("folded: " + e.innerText);
  }
  for (let e = document.querySelector(".stMainBlockContainer"); e; e = e.parentElement) {
    const { overflowY, backgroundColor } = getComputedStyle(e);
    if (/auto|scroll|hidden/.test(overflowY)) faults.push("cut off by " + e.className);
    if (!/^rgba\\(0, 0, 0, 0\\)$|255, 255, 255/.test(backgroundColor)) {
      faults.push(backgroundColor + " paper: " + e.className);
    }
  }
  return faults;
}"""


def test_all_of_a_page_is_printed(page: Page, url: str) -> None:
    """The window shows a fourth of this page, paper all of it, on several sheets."""
    opened(page, f"{url}/posterior")
    drawn(page)
    sheets = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))
    assert 3 <= sheets <= 12


# Every page, in one visit.


def check_tools(page: Page, path: str) -> None:
    """The link can be copied, the controls reset."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    expect(page.get_by_role("button", name="Lesson", exact=True)).to_be_visible()
    if path not in ("", "model_cards"):  # these have no controls
        expect(page.get_by_role("button", name="Reset", exact=True)).to_be_visible()


def check_paper(page: Page) -> None:
    """A clean sheet: see _ON_PAPER."""
    page.emulate_media(media="print")
    page.wait_for_timeout(400)  # colours fade
    faults = page.evaluate(_ON_PAPER)
    page.emulate_media(media="screen")
    assert not faults, "\n".join(faults)


def check_projected(page: Page, scheme: str) -> None:
    """Large type, no sidebar, black on white or white on black."""
    page.get_by_role("heading", level=1).press("Alt+p")
    expect(sidebar(page)).to_be_hidden()
    drawn(page)
    ink, paper = page.evaluate(
        """() => [["h1", "color"], [".stApp", "backgroundColor"]].map(
          ([what, which]) => getComputedStyle(document.querySelector(what))[which])"""
    )
    black, white = "rgb(0, 0, 0)", "rgb(255, 255, 255)"
    assert (ink, paper) == ((black, white) if scheme == "light" else (white, black))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES, ids=lambda p: p or "start")
def test_every_page_is_fit_for_a_class(
    new_page: NewPage, url: str, assert_clean: Check, shot: Shot, path: str, scheme: str
) -> None:
    viewport = {"width": 1280, "height": 720}
    page = new_page(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    opened(page, f"{url}/{path}")
    drawn(page)
    check_tools(page, path)
    check_paper(page)
    check_projected(page, scheme)
    assert_clean(page)
    shot(page, f"present-{path or 'start'}-{scheme}")
