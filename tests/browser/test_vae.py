"""The VAE's page in a real browser: a slider moves q and both bars, and the shade is drawn."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import idle, opened, show_me

Check = Callable[[Page], None]


def told(page: Page, term: str) -> float:
    """What the bars' chart writes behind a term."""
    found = page.get_by_text(re.compile(rf"^{re.escape(term)} = [\d.]+( →)?$")).first.text_content()
    return float((found or "").removesuffix(" →").split(" = ")[1])


def guessed(page: Page, base: str) -> None:
    """Open the page and guess: what is missing has its name then, and not before."""
    opened(page, f"{base}/vae")
    gap = told(page, "missing")
    expect(page.get_by_text(re.compile(r"^KL\(q‖p\(z\|x\)\) = "))).to_have_count(0)
    page.get_by_role("radio", name="The decoder’s blur").click()
    expect(page.get_by_text(f"KL(q‖p(z|x)) = {gap:.2f}").first).to_be_visible()
    expect(page.get_by_text(re.compile("^missing = "))).to_have_count(0)
    idle(page)


@pytest.mark.parametrize(
    "address",
    [
        "vae",
        "vae?vafit=Best+normal+nearby",
        "vae?vaview=Many+draws",
        "vae?vaview=Two+gradients",
        "vae?vaview=Without+the+KL",
        "vae?vaview=Without+the+KL&vasource=q%28z%7Cx%29+of+one+digit",
        "vae?vaview=Sum+or+mean",
        "vae?vaview=Gray+pixels",
        "vae?vaview=The+plane",
    ],
)
def test_every_view_is_drawn(page: Page, base: str, address: str, assert_clean: Check) -> None:
    opened(page, f"{base}/{address}")
    assert_clean(page)


def test_the_plane_can_be_read_on_a_phone(
    new_page: Callable[..., Page], base: str, assert_clean: Check
) -> None:
    page = new_page(viewport={"width": 390, "height": 844})
    opened(page, f"{base}/vae?vaview=The+plane")
    plane = page.locator(".player canvas").last.bounding_box()
    assert plane is not None
    assert plane["width"] >= 200  # its 200 numerals lie on top of each other in a third of a row
    assert_clean(page)


def test_a_slider_moves_q_and_log_p_stays(page: Page, base: str) -> None:
    guessed(page, base)
    exact, gap = told(page, "−log p(x)"), told(page, "KL(q‖p(z|x))")
    page.get_by_role("slider", name="Shift across").press("End")
    expect(page.get_by_text(re.compile(r"^KL\(q‖p\(z\|x\)\) = "))).not_to_have_text(
        f"KL(q‖p(z|x)) = {gap:.2f}"
    )
    idle(page)
    assert told(page, "−log p(x)") == exact
    assert told(page, "KL(q‖p(z|x))") > gap + 1
    both = told(page, "E[−log p(x|z)]") + told(page, "KL(q‖p(z))")
    assert abs(both - exact - told(page, "KL(q‖p(z|x))")) < 0.03


def test_show_me_finds_the_best_normal(page: Page, base: str) -> None:
    guessed(page, base)
    gap = told(page, "KL(q‖p(z|x))")
    box = page.locator("details.fold").filter(
        has_text="Is it the encoder’s fault, or the decoder’s?"
    )
    box.locator("summary").click()
    show_me(box, lambda: page.get_by_role("slider", name="Shift across").count() == 0)
    idle(page)
    assert told(page, "KL(q‖p(z|x))") < 0.2 * gap


def test_the_value_less_its_average_is_a_quieter_gradient(page: Page, base: str) -> None:
    opened(page, f"{base}/vae?vaview=Two+gradients")
    title = page.get_by_text(re.compile(r"^by value, times ∇ log q: standard deviation"))

    def spread() -> float:
        return float((title.first.text_content() or "").split()[-1].replace(",", ""))

    raw = spread()
    page.get_by_role("radio", name="less its average").click()
    idle(page)
    expect(title.first).not_to_contain_text(f"{raw:,.0f}")
    assert spread() < 0.2 * raw


def test_a_wider_draw_changes_what_the_second_network_decodes(page: Page, base: str) -> None:
    opened(page, f"{base}/vae?vaview=Without+the+KL")
    said = page.get_by_text(re.compile(r"^The judge is sure .* of 128 draws\.$")).last
    before = said.text_content()
    page.get_by_role("slider", name="s of N(0, s²I)").press("End")
    idle(page)
    expect(said).not_to_have_text(before or "")


def test_a_slider_leaves_the_question_and_the_code_alone(page: Page, base: str) -> None:
    """Only the view's own fragment runs; the formulas of another view come with that view."""
    opened(page, f"{base}/vae")
    code = page.locator(".grid.explained").first
    expect(code).to_contain_text("def two_terms")
    page.evaluate("document.querySelector('.grid.explained').dataset.kept = '1'")
    page.get_by_role("slider", name="Shift across").press("End")
    idle(page)
    expect(code).to_have_attribute("data-kept", "1")
    page.get_by_role("radio", name="Gray pixels").click()
    idle(page)
    expect(code).to_contain_text("def gray_cost")


def test_the_planes_numerals_are_in_colour(page: Page, base: str) -> None:
    """Of five hues; they were all gray."""
    opened(page, f"{base}/vae?vaview=The+plane")
    idle(page)
    found = page.locator(".player canvas").last.evaluate(
        """canvas => {
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          const hues = new Set();
          for (let i = 0; i < data.length; i += 4) {
            const [r, g, b, a] = data.slice(i, i + 4);
            const high = Math.max(r, g, b), low = Math.min(r, g, b);
            if (a < 150 || high - low < 60) continue;
            const [of, less, more] = high === r ? [0, b, g] : high === g ? [2, r, b] : [4, g, r];
            hues.add(Math.round(((of + (more - less) / (high - low) + 6) % 6) * 2));
          }
          return hues.size;
        }"""
    )
    assert found >= 5
