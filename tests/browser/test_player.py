"""The player and the canvas, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import idle

TOTAL = 50
REST = 30
AHEAD = 12

NewPage = Callable[..., Page]
Check = Callable[[Page], None]
Shot = Callable[[Page, str], Path]


@pytest.fixture(scope="module")
def url(serve: Callable[..., Any], browser: object) -> str:
    """The test's own script; `browser` first, so that without one no server is started."""
    return serve("tests/browser/player_app.py").url


def live(page: Page) -> Locator:
    return page.get_by_role("group", name="Reverse process")


def static(page: Page) -> Locator:
    return page.get_by_role("group", name="Forward process")


def everything(page: Page) -> Locator:
    return page.get_by_role("group", name="Everything")


def number(player: Locator, name: str) -> int:
    return int(player.get_attribute(f"data-{name}") or -1)


def stats(player: Locator) -> dict[str, float]:
    return player.evaluate("(e) => e.playerStats")


def button(player: Locator, name: str) -> Locator:
    return player.get_by_role("button", name=name, exact=True)


def scrub(player: Locator) -> Locator:
    return player.get_by_role("slider")


def wait_until(page: Page, player: Locator, condition: str) -> None:
    """Wait until a JavaScript condition on `frame`, `have` holds."""
    handle = player.element_handle()
    page.wait_for_function(
        f"(e) => {{ const frame = +e.dataset.frame, have = +e.dataset.have; return {condition}; }}",
        arg=handle,
        polling=20,
    )


def pixels(player: Locator, panel: int = 0) -> list[int]:
    return (
        player.locator("canvas")
        .nth(panel)
        .evaluate(
            "(c) => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
        )
    )


# ---- a live run --------------------------------------------------------------------------------


def test_a_live_run_arrives_once_and_whole(page: Page, url: str, assert_clean: Check) -> None:
    page.goto(f"{url}/?autoplay=1")
    player = live(page)
    expect(player).to_have_attribute("data-have", str(TOTAL))
    expect(player).to_have_attribute("data-frame", str(TOTAL - 1))  # it plays to the end
    expect(button(player, "Play")).to_be_visible()  # and stops there
    assert stats(player)["received"] == TOTAL
    # 49 frames beyond the first, up to 8 a request.
    assert stats(player)["pulls"] <= 12
    expect(page.locator("#computed")).to_have_text(str(TOTAL))
    expect(page.locator("#live_frame")).to_have_text(str(TOTAL - 1))
    # The noisy picture has become the clean one.
    assert_clean(page)


def test_it_computes_only_what_is_watched(page: Page, url: str) -> None:
    page.goto(url)
    player = live(page)
    wait_until(page, player, f"have > {AHEAD}")
    idle(page)
    assert number(player, "frame") == 0
    assert number(player, "have") <= AHEAD + 9
    sent = page.seen.sent
    page.wait_for_timeout(500)  # nothing more is asked for
    assert page.seen.sent == sent
    expect(page.locator("#computed")).to_have_text(str(number(player, "have")))


def test_pause_stops_asking(page: Page, url: str) -> None:
    page.goto(f"{url}/?autoplay=1")
    player = live(page)
    wait_until(page, player, "frame >= 4")
    button(player, "Pause").click()
    wait_until(page, player, f"have - 1 - frame >= {AHEAD}")
    frame, have = number(player, "frame"), number(player, "have")
    assert have < TOTAL
    expect(page.locator("#live_frame")).to_have_text(str(frame))
    idle(page)
    sent = page.seen.sent
    page.wait_for_timeout(500)
    assert page.seen.sent == sent
    assert (number(player, "frame"), number(player, "have")) == (frame, have)

    # Back: the picture of the frame before, without asking.
    pulls = stats(player)["pulls"]
    now = pixels(player)
    button(player, "One frame back").click()
    assert number(player, "frame") == frame - 1
    assert pixels(player) != now
    assert stats(player)["pulls"] == pulls
    button(player, "One frame forward").click()
    assert pixels(player) == now


def test_end_of_an_unfinished_run_is_sought(page: Page, url: str) -> None:
    page.goto(url)
    player = live(page)
    button(player, "Last frame").click()
    expect(player).to_have_attribute("data-frame", str(TOTAL - 1))
    assert stats(player)["received"] == TOTAL


def test_another_run_starts_anew(page: Page, url: str) -> None:
    page.goto(url)
    player = live(page)
    button(player, "Last frame").click()
    expect(player).to_have_attribute("data-frame", str(TOTAL - 1))
    before = pixels(player, 2)
    height = player.bounding_box()["height"]
    page.get_by_label("Seed").fill("3")
    page.get_by_label("Seed").press("Enter")
    expect(player).to_have_attribute("data-frame", "0")
    assert pixels(player, 2) != before
    assert player.bounding_box()["height"] == height  # the layout did not jump
    wait_until(page, player, f"have > {AHEAD} && have < {TOTAL}")


def test_while_a_control_is_moved_nothing_more_is_asked_for(page: Page, url: str) -> None:
    page.goto(url)
    player = live(page)
    wait_until(page, player, f"have > {AHEAD}")
    idle(page)
    page.wait_for_timeout(800)  # the run came a while ago: its successor may ask at once
    seed, postponed = page.get_by_label("Seed"), stats(player)["postponed"]
    seed.press("ArrowUp")
    wait_until(page, player, "have > 1")
    assert stats(player)["postponed"] == postponed
    page.wait_for_timeout(800)
    for number in range(2, 5):
        run = player.get_attribute("data-run")
        seed.press("ArrowUp")
        expect(seed).to_have_value(str(number))
        expect(player).not_to_have_attribute("data-run", run or "")
    assert stats(player)["postponed"] > postponed
    wait_until(page, player, f"have > {AHEAD}")  # it rests: the last run is computed


def test_nothing_is_asked_for_between_a_move_and_its_answer(page: Page, url: str) -> None:
    page.goto(url)
    player = live(page)
    wait_until(page, player, f"have > {AHEAD}")
    seed = page.get_by_label("Seed")
    for number in (1, 2):
        run = player.get_attribute("data-run")
        seed.press("ArrowUp")
        expect(seed).to_have_value(str(number))
        expect(player).not_to_have_attribute("data-run", run or "")
    page.wait_for_timeout(80)
    asked = player.evaluate(
        """async (player, seed) => {
            const before = player.playerStats.pulls;
            seed.dispatchEvent(new KeyboardEvent("keydown", { key: "Shift", bubbles: true }));
            await new Promise((done) => setTimeout(done, 200));
            return player.playerStats.pulls - before;
        }""",
        seed.element_handle(),
    )
    assert asked == 0  # it counts as a move whose answer takes its time
    wait_until(page, player, f"have > {AHEAD}")  # and which never comes here


def test_remount_asks_for_all_there_is(page: Page, url: str) -> None:
    page.goto(url)
    player = live(page)
    button(player, "Last frame").click()
    expect(player).to_have_attribute("data-frame", str(TOTAL - 1))
    page.get_by_text("Show", exact=True).click()
    expect(player).to_have_count(0)
    page.get_by_text("Show", exact=True).click()
    expect(player).to_have_attribute("data-have", str(TOTAL))
    assert stats(player)["pulls"] <= 2


def test_reload_in_mid_run(page: Page, url: str, assert_clean: Check) -> None:
    page.goto(f"{url}/?autoplay=1")
    player = live(page)
    wait_until(page, player, "frame >= 3")
    page.reload()
    expect(player).to_have_attribute("data-have", str(TOTAL))
    assert stats(player)["received"] == TOTAL
    assert_clean(page)


@pytest.mark.parametrize("trouble", ["lose", "kill"])
def test_trouble_is_survived(page: Page, url: str, trouble: str, assert_clean: Check) -> None:
    page.goto(f"{url}/?{trouble}=1")
    player = live(page)
    wait_until(page, player, "have >= 1")
    button(player, "Last frame").click()
    expect(player).to_have_attribute("data-have", str(TOTAL))
    assert stats(player)["received"] == TOTAL
    assert_clean(page)


@pytest.mark.parametrize(
    ("others", "said"),
    [(0, "computing…"), (9, "9 others are sampling: your turn every 0.2 s")],
)
def test_who_waits_is_told_what_for(page: Page, url: str, others: int, said: str) -> None:
    page.goto(f"{url}/?crowd={others}")
    waiting = page.get_by_role("group", name="Waiting")
    expect(waiting.locator(".state")).to_have_text(said)


def test_two_sessions_are_apart(new_page: NewPage, url: str) -> None:
    one, other = new_page(), new_page()
    for page in (one, other):
        page.goto(url)
    other.get_by_label("Seed").fill("5")
    other.get_by_label("Seed").press("Enter")
    for page in (one, other):
        button(live(page), "Last frame").click()
    for page in (one, other):
        expect(live(page)).to_have_attribute("data-frame", str(TOTAL - 1))
        assert stats(live(page))["received"] >= TOTAL
    assert pixels(live(one), 2) != pixels(live(other), 2)


# ---- moving in time ----------------------------------------------------------------------------


def test_keyboard(page: Page, url: str) -> None:
    page.goto(url)
    player = static(page)
    expect(player).to_have_attribute("data-have", str(TOTAL))
    slider = scrub(player)
    slider.focus()
    for key, frame in [
        ("End", 49),
        ("ArrowRight", 49),
        ("ArrowLeft", 48),
        ("Home", 0),
        ("ArrowLeft", 0),
        ("ArrowRight", 1),
        ("ArrowUp", 2),
        ("PageUp", 7),
    ]:
        page.keyboard.press(key)
        assert number(player, "frame") == frame, key
    expect(slider).to_have_attribute("aria-valuetext", "t = 143")
    page.keyboard.press("Space")
    expect(button(player, "Pause")).to_be_visible()
    wait_until(page, player, "frame > 7")
    page.keyboard.press("Space")
    expect(button(player, "Play")).to_be_visible()
    # On a button, space is the button's own.
    button(player, "First frame").focus()
    page.keyboard.press("Space")
    expect(player).to_have_attribute("data-frame", "0")
    expect(button(player, "Play")).to_be_visible()


def test_scrubbing_asks_nobody(page: Page, url: str) -> None:
    page.goto(url)
    player = static(page)
    wait_until(page, live(page), f"have > {AHEAD}")
    idle(page)
    slider = scrub(player)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    y = box["y"] + box["height"] / 2
    sent, draws = page.seen.sent, stats(player)["draws"]
    page.mouse.move(box["x"] + 8, y)
    page.mouse.down()
    for i in range(1, 41):
        page.mouse.move(box["x"] + 8 + (box["width"] - 16) * i / 50, y)
    assert number(player, "frame") == pytest.approx(40 / 50 * 49, abs=1)
    assert stats(player)["draws"] - draws >= 20
    page.wait_for_timeout(400)  # longer than the player waits once it is let go
    assert page.seen.sent == sent
    page.mouse.up()
    expect(page.locator("#static_frame")).to_have_text(str(number(player, "frame")))
    assert page.seen.sent == sent + 1
    expect(page.locator("#static_runs")).to_have_text("2")


def test_what_is_drawn_is_what_was_sent(page: Page, url: str) -> None:
    """The last frame of the live run's x0_hat is the ring, byte for byte."""
    page.goto(url)
    player = live(page)
    button(player, "Last frame").click()
    expect(player).to_have_attribute("data-frame", str(TOTAL - 1))
    drawn = pixels(player, 1)
    y, x = np.mgrid[:28, :28] - 13.5
    ring = np.clip((np.clip(4 - 2 * np.abs(np.hypot(x, y) - 8), -1, 1) + 1) * 127.5, 0, 255)
    assert drawn[::4] == drawn[1::4] == drawn[2::4] == ring.astype(np.uint8).ravel().tolist()


def test_a_frame_is_drawn_in_a_fraction_of_a_refresh(page: Page, url: str) -> None:
    page.goto(url)
    player = static(page)
    expect(player).to_have_attribute("data-have", str(TOTAL))
    scrub(player).focus()
    before = stats(player)
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    after = stats(player)
    mean = (after["total"] - before["total"]) / (after["draws"] - before["draws"])
    print(f"three pictures of 112 × 112, a histogram and a curve: {mean:.2f} ms a frame")
    assert mean < 8


def test_reduced_motion(new_page: NewPage, url: str) -> None:
    page = new_page(reduced_motion="reduce")
    page.goto(f"{url}/?autoplay=1")
    player = live(page)
    wait_until(page, player, f"have > {AHEAD}")
    idle(page)
    assert number(player, "frame") == 0
    expect(button(player, "Play")).to_be_visible()
    button(player, "One frame forward").click()
    assert number(player, "frame") == 1


# ---- the keys of the page ----------------------------------------------------------------------


def test_a_button_of_the_page_leaves_the_arrows_to_the_player(page: Page, url: str) -> None:
    page.goto(f"{url}/?extras=1")
    player = everything(page)
    expect(player).to_have_attribute("data-frame", str(REST))  # it has played and come to rest
    page.keyboard.press("ArrowRight")  # nothing has the focus
    assert number(player, "frame") == REST + 1
    page.get_by_role("button", name="Plain").click()
    idle(page)
    for key, frame in [
        ("ArrowLeft", REST),
        ("Shift+ArrowLeft", REST),
        ("Control+ArrowLeft", REST),
        ("Alt+Home", REST),
        ("ArrowUp", REST),
        ("End", TOTAL - 1),
        ("Home", 0),
        ("ArrowRight", 1),
        ("Space", 1),
    ]:
        page.keyboard.press(key)
        assert number(player, "frame") == frame, key
    expect(button(player, "Play")).to_be_visible()  # on a button, space is the button's own
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("Space")
    expect(button(player, "Pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(button(player, "Play")).to_be_visible()
    page.locator('[data-testid="stMain"]').focus()
    page.keyboard.press("Home")
    assert number(player, "frame") == 0


def test_controls_keep_their_keys(page: Page, url: str) -> None:
    page.goto(f"{url}/?extras=1")
    player = page.locator(".player")  # a role is hidden while a list is open
    expect(player).to_have_attribute("data-frame", str(REST))
    controls = {
        "text": page.get_by_label("Word"),
        "slider": page.get_by_role("slider", name="Number"),
        "choice": page.get_by_role("radio", name="two"),
        "radio": page.get_by_role("radio", name="north"),
        "select": page.get_by_role("combobox"),
    }
    for name, control in controls.items():
        control.focus()
        for key in ("ArrowRight", "Home", "ArrowLeft", "End", "Space"):
            page.keyboard.press(key)
            assert number(player, "frame") == REST, f"{key} in {name}"
        expect(player).to_have_class("player")  # it does not play
        page.keyboard.press("Escape")
    idle(page)
    expect(page.get_by_role("slider", name="Number")).to_have_value("9")


def test_of_two_players_the_one_used_last_has_the_keys(new_page: NewPage, url: str) -> None:
    page = new_page(viewport={"width": 1280, "height": 1800})
    page.goto(url)
    one, other = live(page), static(page)
    wait_until(page, one, "have > 3")
    expect(other).to_have_attribute("data-have", str(TOTAL))
    blur = "() => document.activeElement.blur()"

    def frames() -> tuple[int, int]:
        return number(one, "frame"), number(other, "frame")

    page.keyboard.press("ArrowRight")
    assert frames() == (1, 0)  # the first one on the page
    button(other, "One frame forward").click()
    page.keyboard.press("ArrowRight")
    page.evaluate(blur)
    page.keyboard.press("ArrowRight")
    assert frames() == (1, 3)
    button(one, "One frame back").click()
    page.evaluate(blur)
    page.keyboard.press("ArrowRight")
    assert frames() == (1, 3)
    sheet(page).focus()
    page.keyboard.press("ArrowRight")
    assert frames() == (1, 3)
    # One that is gone, or scrolled away, has no say.
    page.get_by_text("Show", exact=True).click()
    expect(one).to_have_count(0)
    page.evaluate(blur)
    page.keyboard.press("ArrowRight")
    assert number(other, "frame") == 4
    page.get_by_text("Show", exact=True).click()
    wait_until(page, one, "have > 3")
    page.set_viewport_size({"width": 1280, "height": 300})
    page.evaluate(blur)
    page.keyboard.press("ArrowRight")
    assert frames() == (1, 4)


# ---- coming to rest ----------------------------------------------------------------------------


def test_a_run_comes_to_rest(page: Page, url: str) -> None:
    page.goto(f"{url}/?autoplay=1&rest=1")
    player = live(page)
    wait_until(page, player, f"frame === {TOTAL - 1}")
    wait_until(page, player, f"frame === {REST}")
    expect(page.locator("#live_frame")).to_have_text(str(REST))
    expect(button(player, "Play")).to_be_visible()
    button(player, "Play").click()  # it has been at its end: again from the beginning
    wait_until(page, player, f"frame < {REST}")
    button(player, "Last frame").click()
    page.wait_for_timeout(1200)
    assert number(player, "frame") == TOTAL - 1  # somebody wants to see that


def test_a_run_that_was_touched_stays(page: Page, url: str) -> None:
    page.goto(f"{url}/?autoplay=1&rest=1")
    player = live(page)
    wait_until(page, player, "frame > 2")
    button(player, "Pause").click()
    button(player, "Play").click()
    wait_until(page, player, f"frame === {TOTAL - 1}")
    page.wait_for_timeout(1200)
    assert number(player, "frame") == TOTAL - 1


def test_without_motion_it_begins_at_rest(new_page: NewPage, url: str) -> None:
    page = new_page(reduced_motion="reduce")
    page.goto(f"{url}/?autoplay=1&rest=1")
    player = live(page)
    wait_until(page, player, f"frame === {REST}")
    expect(button(player, "Play")).to_be_visible()
    assert stats(player)["received"] < TOTAL


# ---- looks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "ratio"), [(1280, 1), (390, 3)])
def test_looks(
    new_page: NewPage, url: str, assert_clean: Check, shot: Shot, theme: str, width: int, ratio: int
) -> None:
    page = new_page(
        viewport={"width": width, "height": 844}, device_scale_factor=ratio, color_scheme=theme
    )
    page.goto(url)
    wait_until(page, live(page), f"have > {AHEAD}")
    scrub(live(page)).focus()
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    scrub(static(page)).focus()
    for _ in range(17):
        page.keyboard.press("ArrowRight")
    for player in (live(page), static(page)):
        for picture in player.locator("figure canvas:not(.chart)").all():
            css, real = picture.evaluate("(c) => [c.getBoundingClientRect().width, c.width]")
            assert css * ratio / real == pytest.approx(round(css * ratio / real), abs=0.01)
    # Three digits stand abreast on a phone too.
    tops = {round(c.bounding_box()["y"]) for c in live(page).locator("figure canvas").all()}
    assert len(tops) == 1
    # The cursor of a chart stands above the slider's thumb.
    cursor = static(page).locator(".cursor").bounding_box()["x"]
    box = scrub(static(page)).bounding_box()
    assert cursor == pytest.approx(box["x"] + 8 + (box["width"] - 16) * 17 / 49, abs=1)
    idle(page)
    assert_clean(page)
    shot(page, f"player-{theme}-{width}")


def widths(player: Locator) -> list[float]:
    """Return the widths of the pictures, in CSS pixels."""
    boxes = player.locator("figure canvas:not(.chart)").all()
    return [box.bounding_box()["width"] for box in boxes]


def middle(locator: Locator) -> float:
    box = locator.bounding_box()
    return box["y"] + box["height"] / 2


def test_on_a_phone_the_buttons_follow_the_pictures(new_page: NewPage, url: str) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, device_scale_factor=3)
    page.goto(url)
    player = static(page)
    expect(player).to_have_attribute("data-have", str(TOTAL))
    picture, histogram = player.locator("figure canvas").first, player.locator("canvas.chart")
    play, curve = button(player, "Play"), player.locator(".chart-line")
    assert middle(picture) < middle(play) < middle(histogram) < middle(curve)
    assert middle(play) - middle(picture) < 220
    # Three of 112 pixels, three device pixels each: they fill the row.
    assert widths(player) == pytest.approx([112] * 3, abs=0.01)
    page.set_viewport_size({"width": 1280, "height": 844})
    page.wait_for_function("(e) => e.clientWidth > 900", arg=player.element_handle())
    assert middle(picture) == pytest.approx(middle(histogram), abs=2)
    assert middle(picture) < middle(curve) < middle(play)
    assert widths(player) == [224] * 3


def test_large_type_has_larger_pictures(new_page: NewPage, url: str, assert_clean: Check) -> None:
    page = new_page(viewport={"width": 1920, "height": 1080})
    page.goto(f"{url}/?present=1")
    expect(static(page)).to_have_attribute("data-have", str(TOTAL))
    # 28 pixels at most four times, twice that in large type; 112 twice, and four times fits.
    page.wait_for_function(
        "(e) => e.querySelector('canvas').clientWidth > 112", arg=live(page).element_handle()
    )
    assert widths(live(page)) == [224] * 3
    assert set(widths(static(page))) <= {336, 448}
    assert_clean(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_can_be_read(new_page: NewPage, url: str, theme: str) -> None:
    page = new_page(color_scheme=theme)
    page.goto(f"{url}/?extras=1")
    player = everything(page)
    expect(player).to_have_attribute("data-frame", str(REST))
    texts = ".title, .badge, .row-label, .of, .curve > span, .range span, .ticks span, .ends span"
    found = player.evaluate(
        """(player, texts) => {
            const context = document.createElement("canvas").getContext("2d");
            const rgb = (color) => {
                context.fillStyle = color;
                context.fillRect(0, 0, 1, 1);
                return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
            };
            const luminance = (color) => rgb(color)
                .map((c) => c / 255)
                .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
                .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
            const app = document.querySelector('[data-testid="stApp"]');
            const paper = luminance(getComputedStyle(app).backgroundColor);
            return [...player.querySelectorAll(texts)].map((e) => {
                const ink = luminance(getComputedStyle(e).color);
                const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
                return [e.textContent, ratio];
            });
        }""",
        texts,
    )
    assert len(found) > 25
    least = min(found, key=lambda pair: pair[1])
    print(f"{theme}: the palest text is {least[0]!r}, {least[1]:.2f} : 1")
    assert least[1] >= 4.5
    # A line keeps the concept's own colour.
    strokes = player.locator(".curve-past").evaluate_all("(l) => l.map((e) => e.style.stroke)")
    assert strokes == [f"var(--c-{name})" for name in ("x0", "q", "p", "bits", "eps")]


def test_charts(page: Page, url: str) -> None:
    page.goto(f"{url}/?extras=1")
    player = everything(page)
    expect(player).to_have_attribute("data-frame", str(REST))
    lines = player.locator(".chart-line")
    ends = [line.locator(".range span").all_inner_texts() for line in lines.all()]
    assert ends == [["1", "0", "0.5"], ["1", "10⁻⁸"], ["0.5", "0", "0.25"]]
    # A gap is drawn as one, and has no value.
    path = lines.nth(0).locator(".curve-past").get_attribute("d")
    assert path.count("M") == 2
    assert "NaN" not in path
    value = lines.nth(0).locator(".value").first
    expect(value).to_have_text("0.62")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    expect(value).to_have_text("–")
    expect(lines.nth(0).locator("circle")).to_have_attribute("visibility", "hidden")
    # What is there for comparison has a dashed line, no cursor's dot and no value.
    expect(lines.nth(0).locator(".curve-all.ghost")).to_have_css("stroke-dasharray", "5px, 4px")
    expect(lines.nth(0).locator(".curve.ghost .value")).to_be_empty()
    expect(lines.nth(0).locator("circle")).to_have_count(1)
    # A pattern stands before its line's name; where one line has one, the others show theirs.
    half = lines.nth(2)
    patterns = [None, None, "7 4"]
    dash = "(l) => l.map((e) => e.getAttribute('stroke-dasharray') || null)"
    assert half.locator(".sample path").evaluate_all(dash) == patterns
    assert half.locator(".curve-past").evaluate_all(dash) == patterns
    expect(lines.nth(0).locator(".sample")).to_have_count(0)
    # On a logarithmic axis 10^(-8 g) is straight, and zeros lie on the floor.
    line = lines.nth(1).locator(".curve-past").get_attribute("d").replace("h0", "")
    ys = [float(point.split()[1]) for point in line[1:].split("L")]
    assert ys[0] == ys[4] == 68
    assert np.diff(ys[5:]) == pytest.approx(np.diff(ys[5:]).mean(), abs=0.11)
    # Ticks stand where the cursor would; one that has no room is only a mark.
    ticks = player.locator(".ticks span")
    shown = ticks.evaluate_all(
        "(l) => l.filter((e) => !e.style.visibility).map((e) => e.innerText)"
    )
    assert shown == ["0", "250", "500", "750", "1000"]
    scrub(player).focus()
    page.keyboard.press("Home")
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    box, cursor = ticks.nth(1).bounding_box(), lines.nth(0).locator(".cursor").bounding_box()
    assert box["x"] + box["width"] / 2 == pytest.approx(cursor["x"], abs=1)


def test_badges_notes_and_rows_beside(page: Page, url: str, assert_clean: Check) -> None:
    page.goto(f"{url}/?extras=1")
    player = everything(page)
    expect(player).to_have_attribute("data-frame", str(REST))
    badge = player.locator(".badge")
    expect(badge).to_have_text("broken: × 1 instead of × √(1−β)")
    described = player.locator("canvas").nth(2)
    now = player.locator(".caption .now").get_attribute("id")  # which frame it shows
    expect(described).to_have_attribute("aria-describedby", f"{badge.get_attribute('id')} {now}")

    expect(player.locator(".sentence")).to_be_empty()
    height = player.bounding_box()["height"]
    page.keyboard.press("ArrowRight")
    expect(player.locator(".sentence")).to_have_text("one short sentence")
    expect(scrub(player)).to_have_attribute("aria-valuetext", "t = 633. one short sentence")
    assert player.bounding_box()["height"] == height

    blocks, pictures = player.locator(".block"), player.locator("figure canvas")
    assert len({middle(picture) for picture in pictures.all()}) == 1
    assert len({middle(label) for label in player.locator(".row-label").all()}) == 1
    page.set_viewport_size({"width": 960, "height": 900})
    page.wait_for_function("(e) => e.clientWidth < 900", arg=player.element_handle())
    assert blocks.nth(0).bounding_box()["x"] == blocks.nth(1).bounding_box()["x"]
    assert middle(blocks.nth(0)) < middle(blocks.nth(1))
    assert_clean(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "ratio"), [(1280, 1), (390, 3)])
def test_everything_looks(
    new_page: NewPage, url: str, assert_clean: Check, shot: Shot, theme: str, width: int, ratio: int
) -> None:
    page = new_page(
        viewport={"width": width, "height": 844}, device_scale_factor=ratio, color_scheme=theme
    )
    page.goto(f"{url}/?extras=1&histogram=1")
    expect(everything(page)).to_have_attribute("data-frame", str(REST))
    idle(page)
    assert len(set(widths(everything(page)))) == 1  # one row has a histogram, and all are compared
    assert_clean(page)
    shot(page, f"player-extras-{theme}-{width}")


def test_a_broken_page_is_noticed(page: Page, url: str, assert_clean: Check) -> None:
    page.goto(f"{url}/?broken=1")
    expect(page.locator(".katex")).to_have_count(1)
    with pytest.raises(AssertionError) as caught:
        assert_clean(page)
    assert "KaTeX" in str(caught.value)
    assert "horizontal scroll" in str(caught.value)


# ---- the canvas --------------------------------------------------------------------------------


def sheet(page: Page) -> Locator:
    return page.get_by_role("application", name="Draw a digit")


def stroke(page: Page, points: list[tuple[float, float]]) -> None:
    """Draw through points given in picture pixels, 0 to 28."""
    sheet(page).scroll_into_view_if_needed()
    box = sheet(page).bounding_box()
    at = [(box["x"] + x / 28 * box["width"], box["y"] + y / 28 * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for x, y in at[1:]:
        page.mouse.move(x, y, steps=4)
    page.mouse.up()


def test_drawing(page: Page, url: str, assert_clean: Check, shot: Shot) -> None:
    page.goto(url)
    ink = page.locator("#ink")
    expect(ink).to_have_text("0")
    stroke(page, [(8, 6), (20, 6), (12, 24)])
    expect(page.locator("#heaviest")).to_have_text("255")
    seven = int(ink.inner_text())
    assert 50 < seven < 120  # two lines, 12 and 20 pixels long, about 2.5 wide
    stroke(page, [(10, 14), (19, 14)])
    expect(ink).not_to_have_text(str(seven))
    shot(page, "canvas")

    sheet(page).focus()
    page.keyboard.press("Control+z")
    expect(ink).to_have_text(str(seven))

    # It outlives its own disappearance, and a rerun does not wipe it.
    page.get_by_text("Show sheet").click()
    expect(sheet(page)).to_have_count(0)
    page.get_by_text("Show sheet").click()
    expect(ink).to_have_text(str(seven))
    kept = sheet(page).evaluate(
        """(c) => c.getContext('2d').getImageData(0, 0, 28, 28).data
               .filter((v, i) => i % 4 === 0 && v > 127).length"""
    )
    assert kept == seven

    page.get_by_role("button", name="Clear").click()
    expect(ink).to_have_text("0")
    page.get_by_role("button", name="Undo").click()
    expect(ink).to_have_text(str(seven))
    assert_clean(page)


def test_drawing_with_keys(page: Page, url: str) -> None:
    page.goto(url)
    sheet(page).focus()
    for _ in range(3):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    expect(page.locator("#heaviest")).to_have_text("255")
    dot = int(page.locator("#ink").inner_text())
    page.keyboard.down("Space")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.keyboard.up("Space")
    expect(page.locator("#ink")).not_to_have_text(str(dot))
    expect(page.locator(".said")).to_have_text("row 12, column 21: ink")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".said")).to_have_text("row 12, column 23: empty")


def test_drawing_with_a_finger_does_not_scroll(new_page: NewPage, url: str) -> None:
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.goto(url)
    sheet(page).scroll_into_view_if_needed()
    idle(page)
    scroll = "() => document.querySelector('[data-testid=\"stMain\"]').scrollTop"
    before = page.evaluate(scroll)
    box = sheet(page).bounding_box()
    touch = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] - 20
    touch.send(
        "Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]}
    )
    for i in range(1, 11):
        points = [{"x": x, "y": y - 20 * i}]
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("#heaviest")).to_have_text("255")
    assert int(page.locator("#ink").inner_text()) > 30
    assert page.evaluate(scroll) == before
