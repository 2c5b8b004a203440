"""The app as a reader meets it, in a real browser."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import idle, show_me, unfold

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[[Page, str], Path]

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["", *sorted(p.stem for p in ROOT.glob("pages/[!s]*/*.py") if p.stem != "start")]


@pytest.fixture
def url(browser: object, server: Any) -> str:
    """The app's address; `browser` first, so that without one no server is started."""
    return server.url


def player(page: Page) -> Locator:
    return page.get_by_role("group", name=re.compile("Sampling|Noising"))


def at(page: Page) -> int:
    return int(player(page).get_attribute("data-frame") or -1)


def run_of(page: Page) -> str:
    expect(player(page)).to_have_attribute("data-run", re.compile("."))
    return player(page).get_attribute("data-run") or ""


def wait_for(page: Page, condition: str) -> None:
    """Wait until a JavaScript condition on the player's `frame`, `have` and `total` holds."""
    expect(player(page)).to_have_attribute("data-frame", re.compile(r"\d"))
    page.wait_for_function(
        f"""(e) => {{ const frame = +e.dataset.frame, have = +e.dataset.have,
        total = +e.querySelector('.scrub').max + 1; return {condition}; }}""",
        arg=player(page).element_handle(),
        polling=20,
    )


def opened(page: Page, address: str, title: str | None = None) -> None:
    page.goto(address)
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text(title) if title else expect(heading).to_be_visible()


def drawn(page: Page) -> None:
    """Wait until nothing on the page is still to come: the script, its parts, their pictures."""
    idle(page)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    for group in page.locator("[role=group][data-frame]").all():
        expect(group).to_have_attribute("data-have", re.compile("[1-9]"))


def picture(page: Page, panel: int) -> list[int]:
    return (
        player(page)
        .locator("canvas")
        .nth(panel)
        .evaluate(
            "(c) => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
        )
    )


def test_from_a_cold_start_to_the_first_sample(
    browser: object, serve: Callable[..., Any], new_page: NewPage, assert_clean: Check
) -> None:
    """A newcomer's first minute: press the button, watch a digit come, step back, see x̂0."""
    started = time.monotonic()
    fresh = serve("app.py")
    page = new_page()
    opened(page, fresh.url)
    page.get_by_role("button", name="Sample sixteen digits from noise").click()
    wait_for(page, "frame === total - 1 && have === total")
    assert time.monotonic() - started < 60
    expect(player(page)).to_contain_text("done in 50 steps")
    finished = picture(page, 0)
    player(page).get_by_role("slider").focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    wait_for(page, "frame === total - 31")
    noisy, guess = picture(page, 0), picture(page, 1)
    assert noisy != finished
    assert noisy != guess
    assert_clean(page)


def test_run_pause_step_and_scrub(page: Page, url: str, assert_clean: Check) -> None:
    opened(page, f"{url}/reverse_sampling?steps=100")
    wait_for(page, "frame > 3")
    player(page).get_by_role("slider").focus()
    page.keyboard.press(" ")
    expect(player(page).get_by_role("button", name="Play", exact=True)).to_be_visible()
    here = at(page)
    page.keyboard.press("ArrowLeft")
    wait_for(page, f"frame === {here - 1}")
    page.keyboard.press("ArrowRight")
    wait_for(page, f"frame === {here}")
    wait_for(page, "have === total || have - frame > 12")  # paused, it still fetches a few ahead
    idle(page)
    sent = page.seen.sent  # type: ignore[attr-defined]
    page.keyboard.press("Home")
    wait_for(page, "frame === 0")
    expect(player(page)).to_contain_text("t = 1000")
    assert page.seen.sent == sent  # type: ignore[attr-defined]  # nobody was asked
    page.keyboard.press("End")
    wait_for(page, "frame === total - 1")
    expect(player(page)).to_contain_text("t = 0 · done in 100 steps")
    assert_clean(page)


def test_two_runs_start_alike_and_part(page: Page, url: str, assert_clean: Check) -> None:
    opened(page, f"{url}/reverse_sampling?compare=true&steps=20")
    wait_for(page, "have === total")
    player(page).get_by_role("slider").focus()
    page.keyboard.press("Home")
    wait_for(page, "frame === 0")
    assert picture(page, 0) == picture(page, 2)  # the same x_T
    assert picture(page, 1) == picture(page, 3)  # seen by the same network
    page.keyboard.press("End")
    wait_for(page, "frame === total - 1")
    assert picture(page, 0) != picture(page, 2)
    assert_clean(page)


def test_a_deep_link_as_the_first_request_restores_everything(
    browser: object, serve: Callable[..., Any], new_page: NewPage, assert_clean: Check
) -> None:
    fresh = serve("app.py")
    page = new_page()
    opened(
        page,
        f"{fresh.url}/reverse_sampling?steps=20&class=7&eta=0.5&seed=12&compare=true&eta_b=0.2",
        "Reverse sampling",
    )
    wait_for(page, "total === 21")
    expect(page.get_by_role("slider", name=re.compile("Fresh noise η"))).to_have_value("0.5")
    expect(player(page)).to_contain_text("η = 0.5")
    expect(player(page)).to_contain_text("η = 0.2")
    expect(page.get_by_text("Page not found")).to_have_count(0)
    page.get_by_text("More: seed, compare").click()
    expect(page.get_by_label("Seed", exact=True)).to_have_value("12")
    assert "class=7" in page.url
    assert_clean(page)


def test_reload_in_mid_run(page: Page, url: str, assert_clean: Check) -> None:
    opened(page, f"{url}/reverse_sampling?steps=100&seed=5")
    wait_for(page, "frame > 5")
    page.reload()
    wait_for(page, "frame > 5")
    assert "seed=5" in page.url
    player(page).get_by_role("slider").focus()
    page.keyboard.press("End")
    wait_for(page, "frame === total - 1")
    assert_clean(page)


def test_two_readers_do_not_see_each_others_state(new_page: NewPage, url: str) -> None:
    one, other = new_page(), new_page()
    opened(one, f"{url}/reverse_sampling?seed=1&steps=10")
    opened(other, f"{url}/reverse_sampling?seed=2&steps=20")
    for page in (one, other):
        wait_for(page, "have === total")
    one.get_by_role("button", name="Other noise").click()
    expect(one).to_have_url(re.compile("seed=2"))
    wait_for(one, "total === 11")
    wait_for(other, "total === 21")
    assert "seed=2" in other.url
    assert "steps=20" in other.url


def test_same_link_same_pictures(new_page: NewPage, url: str) -> None:
    seen = []
    for _ in range(2):
        page = new_page(reduced_motion="reduce")
        opened(page, f"{url}/reverse_sampling?steps=10&seed=3&eta=1.0")
        player(page).get_by_role("slider").focus()
        page.keyboard.press("End")
        wait_for(page, "frame === total - 1")
        seen.append(picture(page, 0))
    assert seen[0] == seen[1]


def test_no_site_around_the_app_may_steer_it(url: str) -> None:
    with urllib.request.urlopen(f"{url}/_stcore/host-config") as answer:
        assert json.load(answer)["allowedOrigins"] == []


def test_a_hostile_link_says_what_was_replaced(page: Page, url: str, assert_clean: Check) -> None:
    opened(page, f"{url}/reverse_sampling?steps=banana&seed=[x](javascript:alert(1))&eta=0.5")
    toasts = page.get_by_test_id("stToast")
    expect(toasts).to_have_count(2)
    expect(toasts.filter(has_text="steps=banana")).to_have_count(1)
    expect(page.get_by_test_id("stToast").locator("a")).to_have_count(0)
    expect(page.get_by_role("slider", name=re.compile("Fresh noise η"))).to_have_value("0.5")
    assert_clean(page)


def test_the_mistake_in_the_forward_process_shows(page: Page, url: str, shot: Shot) -> None:
    opened(page, f"{url}/forward_process")
    idle(page)
    box = page.locator("details").filter(has_text="Why is the picture multiplied by")
    box.locator("summary").click()
    show_me(box, lambda: "keep=1" in page.url)
    expect(page).to_have_url(re.compile("keep=1"))
    player(page).get_by_role("slider").focus()
    page.keyboard.press("End")
    wait_for(page, "frame === total - 1")
    idle(page)
    spread = player(page).get_by_text("step by step", exact=True).first.locator("xpath=..")
    value = float(re.findall(r"[\d.]+", spread.inner_text())[-1])
    assert value > 3
    shot(page, "forward-exploded")


def test_a_changed_setting_is_shown_at_the_same_place_in_time(page: Page, url: str) -> None:
    opened(page, f"{url}/forward_process")
    wait_for(page, "have === total")
    player(page).get_by_role("slider").focus()
    page.keyboard.press(" ")
    page.keyboard.press("Home")
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    wait_for(page, "frame === 7")
    before, noisy = run_of(page), picture(page, 0)
    page.get_by_role("spinbutton", name="Digit").fill("8")
    page.get_by_role("spinbutton", name="Digit").press("Enter")
    wait_for(page, f"e.dataset.run !== '{before}'")
    assert at(page) == 7
    assert picture(page, 0) != noisy


def test_an_upload_is_noised_in_colour(page: Page, url: str, assert_clean: Check) -> None:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (300, 200), (250, 40, 40)).save(buffer, "PNG")
    opened(page, f"{url}/forward_process?source=Upload")
    before = run_of(page)
    page.locator("input[type=file]").set_input_files(
        {"name": "red.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    )
    expect(page.get_by_text("300 by 200 pixels")).to_be_visible()
    wait_for(page, f"e.dataset.run !== '{before}'")
    player(page).get_by_role("slider").focus()
    page.keyboard.press("Home")
    page.wait_for_function(
        "(e) => String(e.getContext('2d').getImageData(0, 0, 1, 1).data) === '250,40,40,255'",
        arg=player(page).locator("canvas").first.element_handle(),
    )
    page.locator("input[type=file]").set_input_files(
        {"name": "broken.png", "mimeType": "image/png", "buffer": buffer.getvalue()[:60]}
    )
    expect(page.get_by_text("A digit stands in for it")).to_be_visible()
    assert_clean(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", PAGES, ids=lambda p: p or "start")
def test_every_page_is_clean(
    new_page: NewPage, url: str, assert_clean: Check, shot: Shot,
    path: str, width: int, scheme: str,
) -> None:  # fmt: skip
    page = new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    opened(page, f"{url}/{path}")
    expect(page.get_by_text("Page not found")).to_have_count(0)
    drawn(page)
    unfold(page)
    drawn(page)
    assert_clean(page)
    shot(page, f"{path or 'start'}-{width}-{scheme}")


def test_a_guess_is_answered_and_moves_nothing(page: Page, url: str) -> None:
    opened(page, f"{url}/reverse_sampling?steps=10")
    wait_for(page, "have === total")
    page.get_by_role("radio", name="A sharp digit").or_(
        page.get_by_role("button", name="A sharp digit")
    ).click()
    expect(page.get_by_text("Not quite.")).to_be_visible()
    wait_for(page, "have === total")


PHONE = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Mobile Safari/537.36"
)


@pytest.mark.parametrize(
    ("context", "query"),
    [
        ({}, ""),
        ({}, "?present=1"),
        ({"viewport": {"width": 390, "height": 844}, "user_agent": PHONE}, ""),
    ],
    ids=["desktop", "presentation", "phone"],
)
def test_the_map_leads_to_the_pages_and_the_app_stays(
    new_page: NewPage, url: str, assert_clean: Check, context: dict[str, Any], query: str
) -> None:
    page = new_page(**context)
    opened(page, f"{url}/{query}")
    drawn(page)
    cards = page.locator(".cards a")
    told = {"", "questions"}  # the start page itself, and the page that its questions lead to
    assert {card.get_attribute("href") for card in cards.all()} == set(PAGES) - told
    assert cards.count() == len(PAGES) - len(told)
    page.evaluate("window.stays = true")
    cards.filter(has_text="Two reverse rules").press("Enter")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Two reverse rules")
    drawn(page)
    expect(heading).to_be_in_viewport()
    assert page.url.split("?")[0] == f"{url}/reverse_rules"
    assert ("present=1" in page.url) == bool(query)
    page.go_back()
    expect(heading).to_have_text("Diffusion, step by step")
    assert page.evaluate("window.stays") is True
    assert_clean(page)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_each_card_of_the_map_has_its_picture(
    new_page: NewPage, url: str, assert_clean: Check, width: int, dark: bool
) -> None:
    page = new_page(
        viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
    )
    opened(page, url)
    pictures = list(ROOT.glob("pages/shared/thumbnails/*.svg"))
    expect(page.locator(".cards a")).to_have_count(len(pictures))
    seen = page.evaluate(CARDS)
    assert len({card["place"] for card in seen}) == len(seen)
    assert {(card["wide"], card["high"]) for card in seen} == {(96, 64 * len(seen))}
    assert {(card["across"], card["down"]) for card in seen} == {("96px", "56px")}
    rows = {(card["chapter"], card["top"]): set() for card in seen}
    for card in seen:
        rows[card["chapter"], card["top"]].add(card["height"])
    assert all(len(heights) == 1 for heights in rows.values())
    # Decoration: a screen reader meets no picture.
    for card in page.get_by_role("navigation", name="Gaussian diffusion").get_by_role("link").all():
        assert "img" not in card.aria_snapshot()
    assert_clean(page)


CARDS = """async () => Promise.all([...document.querySelectorAll(".cards a")].map(async (card) => {
    const style = getComputedStyle(card, "::before");
    const picture = style.backgroundImage.replace(/^url\\("(.*)"\\)$/s, "$1");
    const image = new Image();
    image.src = picture;
    await image.decode();
    const box = card.getBoundingClientRect();
    return {
      place: style.backgroundPosition, wide: image.naturalWidth, high: image.naturalHeight,
      across: style.width, down: style.height,
      top: Math.round(box.top), height: Math.round(box.height),
      chapter: card.parentElement.getAttribute("aria-label"),
    };
}))"""
"""What each card shows: its picture, that picture's size, the card's place and height."""


def test_a_page_may_be_left_while_its_player_fetches(
    page: Page, url: str, assert_clean: Check
) -> None:
    """An answer for the page that was left comes while the next one is drawn."""
    opened(page, url)
    nav = page.get_by_test_id("stSidebarNavLink")
    for wait in (0, 100, 300, 600, 1000, 1500):
        nav.get_by_text("ELBO", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("ELBO")
        expect(page.locator("[role=group][data-frame]")).to_have_attribute(
            "data-have", re.compile("[1-9]")
        )
        page.wait_for_timeout(wait)
        nav.get_by_text("Learned schedule", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Learned schedule")
        drawn(page)
    assert_clean(page)


def test_a_link_waits_for_what_was_asked_before_it(
    page: Page, url: str, assert_clean: Check
) -> None:
    """A button and a link in one moment: the page change must not overtake the button's message."""
    opened(page, url)
    button = page.get_by_role("button", name="Sample sixteen digits from noise")
    link = page.get_by_test_id("stSidebarNavLink").get_by_text("ELBO", exact=True)
    expect(player(page)).to_have_attribute("data-have", re.compile("[1-9]"))
    link.evaluate("(link, button) => { button.click(); link.click(); }", button.element_handle())
    expect(page.get_by_role("heading", level=1)).to_have_text("ELBO")
    drawn(page)
    arrived = page.locator("[role=group][data-frame]")
    assert arrived.evaluate("(e) => e.playerStats.postponed") == 0  # nor does this page wait
    assert_clean(page)


def test_back_takes_back_what_one_press_set_and_a_moved_control_is_no_entry(
    page: Page, url: str, assert_clean: Check
) -> None:
    """Streamlit makes an entry of the history for every control that the server sets."""
    opened(page, url)
    nav = page.get_by_test_id("stSidebarNavLink")
    nav.get_by_text("Reverse sampling", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Reverse sampling")
    drawn(page)
    moved = page.locator(".st-key-steps input")
    moved.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/reverse_sampling?steps=20")
    drawn(page)
    why = page.locator("details").filter(has_text="Why is fresh noise added")
    why.locator("summary").click()
    entries = page.evaluate("history.length")
    for press in (
        lambda: show_me(why, lambda: "eta=1" in page.url),
        lambda: page.get_by_role("button", name="Reset").click(),
    ):
        press()
        expect(moved).to_have_value("5")
        drawn(page)
        assert page.evaluate("history.length") == entries + 1  # the second takes the first's place
        page.go_back()
        expect(moved).to_have_value("4")
        drawn(page)
        assert page.url == f"{url}/reverse_sampling?steps=20"
        expect(page.get_by_role("button", name="Got it")).to_have_count(0)
    nav.get_by_text("Model cards", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Model cards")
    page.go_back()
    expect(moved).to_have_value("4")  # a page that was left is found again as it was
    drawn(page)
    assert page.url == f"{url}/reverse_sampling?steps=20"
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Diffusion, step by step")

    nav.get_by_text("Posterior", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Posterior")
    drawn(page)
    entries = page.evaluate("history.length")
    page.locator(".st-key-T input").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/posterior?*ps=20*")  # s and t follow T
    drawn(page)
    assert page.evaluate("history.length") == entries
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Diffusion, step by step")
    assert_clean(page)


def test_show_me_leads_the_keyboard_and_leaves_answers_open(
    page: Page, url: str, assert_clean: Check
) -> None:
    opened(page, f"{url}/posterior")
    drawn(page)
    folds = page.locator("details.fold")
    for fold in folds.all():
        fold.locator("summary").click()
    whole = page.locator("details.fold[open]")
    count = folds.count()
    expect(whole).to_have_count(count)
    button = folds.first.get_by_role("button", name="Show me")
    button.focus()
    button.press("Enter")
    look = page.locator(".st-key-chapter_look")
    expect(look).to_be_focused()
    drawn(page)
    expect(whole).to_have_count(count)
    page.keyboard.press("Tab")
    expect(look.get_by_role("button", name="Got it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(look).to_have_count(0)
    drawn(page)
    expect(whole).to_have_count(count)
    assert_clean(page)


def test_a_note_is_on_the_screen_and_escape_puts_it_away(new_page: NewPage, url: str) -> None:
    page = new_page(viewport={"width": 1024, "height": 900})
    opened(page, f"{url}/posterior")
    drawn(page)
    main = page.get_by_test_id("stMain")
    assert main.evaluate("(e) => e.scrollWidth - e.clientWidth") == 0
    for fold in page.locator("details.fold").all():
        fold.locator("summary").click()
    # A word that the page scrolls under the pointer is pointed at, which brings its note back.
    page.mouse.move(0, 0)
    words = page.locator(".term:visible")
    assert words.count() > 1
    for word in words.all():
        word.focus()
        note = word.locator(".gist")
        expect(note).to_be_visible()
        box = note.bounding_box()
        assert box["x"] + box["width"] <= 1024 - 15
        page.keyboard.press("Escape")
        expect(note).to_be_hidden()
        assert main.evaluate("(e) => e.scrollWidth - e.clientWidth") == 0
    words.first.focus()
    expect(words.first.locator(".gist")).to_be_visible()


def test_after_a_restart_the_page_goes_on_and_says_what_is_lost(
    page: Page, serve: Callable[..., Any]
) -> None:
    """The new session has drawn no fragment: it would answer none of the old page's controls."""
    before = serve("app.py")
    opened(page, f"{before.url}/posterior?T=100")
    drawn(page)
    page.get_by_text("β or β̃?", exact=True).first.click()
    expect(page).to_have_url(re.compile("pview="))
    drawn(page)
    os.killpg(before.process.pid, signal.SIGKILL)
    before.process.wait()
    expect(page.locator("[data-test-connection-state]")).not_to_have_attribute(
        "data-test-connection-state", "CONNECTED"
    )
    serve("app.py", port=int(before.url.rsplit(":", 1)[1]))
    expect(page.get_by_test_id("stToast")).to_contain_text("pasted numbers", timeout=60_000)
    drawn(page)
    assert "T=100" in page.url
    assert "pview=" in page.url
    page.get_by_text("On a line", exact=True).first.click()
    expect(page.get_by_role("group", name="Bayes' rule on a number line")).to_be_visible()


def test_forced_colours_leave_what_can_be_taken_hold_of(new_page: NewPage, url: str) -> None:
    """The reader's own colours replace backgrounds, of which knobs and tracks are made."""
    page = new_page(forced_colors="active")
    opened(page, f"{url}/posterior")
    drawn(page)
    paint = "(e) => getComputedStyle(e).backgroundColor"
    canvas = page.locator("body").evaluate(paint)
    for place in (".knob", ".between"):
        assert page.locator(place).first.evaluate(paint) not in (canvas, "rgba(0, 0, 0, 0)")
    chosen = page.locator('[role="radio"][aria-checked="true"]').first
    assert chosen.evaluate("(e) => getComputedStyle(e).outlineWidth") == "3px"


def test_the_browsers_buttons_may_be_used_while_a_player_fetches(
    page: Page, url: str, assert_clean: Check
) -> None:
    opened(page, url)
    page.get_by_test_id("stSidebarNavLink").get_by_text("Learned schedule", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Learned schedule")
    for wait in (100, 300, 600):
        page.go_back()
        expect(page.get_by_role("heading", level=1)).to_have_text("Diffusion, step by step")
        expect(player(page)).to_have_attribute("data-have", re.compile("[1-9]"))
        page.get_by_role("button", name="Sample sixteen digits from noise").click()
        page.wait_for_timeout(wait)
        page.go_forward()
        expect(page.get_by_role("heading", level=1)).to_have_text("Learned schedule")
        drawn(page)
    assert_clean(page)
