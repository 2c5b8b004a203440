"""Every page for readers without a mouse, without sharp eyes, with a screen reader.

axe-core (https://github.com/dequelabs/axe-core) looks at every page, light and dark, with
everything unfolded; serious and critical findings fail.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import unfold
from tests.browser.test_app import PAGES, drawn, opened

NewPage = Callable[..., Page]

# Streamlit's own markup, out of our reach: (rule, part of the page) -> the reason.
STREAMLIT = {
    ("list", '[data-testid="stSidebarNavItems"]'): "the navigation's sections are divs in a list",
    ("listitem", '[data-testid="stSidebarNavItems"] li'): "and its links are items of those divs",
}
_RUN = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  const grave = violations.filter((v) => ["serious", "critical"].includes(v.impact));
  return grave.flatMap((v) => v.nodes.map((n) => ({
    rule: v.id,
    impact: v.impact,
    html: n.html.slice(0, 200),
    why: n.failureSummary,
    // A node inside a component is a path of selectors, one per shadow tree.
    light: n.target.length === 1 && typeof n.target[0] === "string" ? n.target[0] : "",
  })));
}"""
_IS_ONE_OF = "([selector, kind]) => document.querySelector(selector)?.matches(kind) ?? false"


@pytest.fixture
def url(browser: object, server: Any) -> str:
    """The app's address; `browser` first, so that without one no server is started."""
    return server.url


@pytest.fixture(scope="session")
def axe() -> str:
    """The audit's script, out of the package that carries it."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def findings(page: Page, axe: str) -> list[str]:
    """What axe finds grave, without what is Streamlit's."""
    page.evaluate(axe)
    found = []
    for node in page.evaluate(_RUN):
        ours = not any(
            rule == node["rule"]
            and node["light"]
            and page.evaluate(_IS_ONE_OF, [node["light"], kind])
            for rule, kind in STREAMLIT
        )
        if ours:
            found.append(f"{node['impact']} {node['rule']}: {node['html']}\n    {node['why']}")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES, ids=lambda p: p or "start")
def test_axe_finds_nothing_grave(
    new_page: NewPage, url: str, axe: str, path: str, scheme: str
) -> None:
    page = new_page(color_scheme=scheme, reduced_motion="reduce")
    opened(page, f"{url}/{path}")
    drawn(page)
    unfold(page)
    found = findings(page, axe)
    assert not found, "\n".join(found)


def test_the_audit_sees_what_is_wrong_in_a_component_too(page: Page, url: str, axe: str) -> None:
    """A button without a name and words too pale to read must not pass."""
    opened(page, f"{url}/model_cards")
    drawn(page)
    page.evaluate(
        """() => {
          const host = [...document.querySelectorAll("div")].find((e) => e.shadowRoot);
          host.shadowRoot.append(document.createElement("button"));
          const pale = document.createElement("p");
          pale.textContent = "pale";
          pale.style.cssText = "color: #999; background: #fff";
          document.querySelector("h1").after(pale);
        }"""
    )
    found = "\n".join(findings(page, axe))
    assert "critical button-name" in found
    assert "serious color-contrast" in found


# The tab order. A group of radio buttons is one stop, as is a group of toggle buttons that moves
# by arrow keys: it counts as reached with any of its members.
_MARK = """() => {
  const roots = [document.querySelector('[data-testid="stMain"]')];
  let count = 0;
  const wanted = [];
  while (roots.length) {
    const root = roots.pop();
    for (const e of root.querySelectorAll("*")) {
      if (e.shadowRoot) roots.push(e.shadowRoot);
      if (!e.matches("button, input, select, textarea, summary, a[href], [role=slider]")) continue;
      if (e.disabled || e.closest("[inert], [aria-hidden=true], [hidden]")) continue;
      if (e.matches("input[type=file]")) continue;  // its button is what is pressed
      const group = e.closest("[role=radiogroup], [role=group].stButtonGroup, [role=toolbar]");
      const unit = e.matches("[role=radio], [type=radio]") && group ? group : e;
      if (unit.dataset.wanted === undefined) {
        const box = e.closest("label")?.getBoundingClientRect() ?? e.getBoundingClientRect();
        if (!box.width || !box.height || !e.checkVisibility({ visibilityProperty: true })) continue;
        // What only helps the mouse (the arrows of a number field) says so with tabindex -1.
        if (e.tabIndex < 0 && unit === e) continue;
        unit.dataset.wanted = count++;
        const name = e.getAttribute("aria-label") || e.textContent || e.outerHTML;
        wanted.push(name.trim().slice(0, 80));
      }
    }
  }
  return wanted;
}"""
_FOCUSED = """() => {
  let e = document.activeElement;
  while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
  for (let up = e; up; up = up.parentNode ?? up.host) {
    if (up.dataset?.wanted !== undefined) return +up.dataset.wanted;
  }
  return e === document.body ? -2 : -1;
}"""


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p or "start")
def test_tab_reaches_every_control(new_page: NewPage, url: str, path: str) -> None:
    page = new_page(reduced_motion="reduce")
    opened(page, f"{url}/{path}")
    drawn(page)
    page.locator("details.fold").evaluate_all("(folds) => folds.forEach((f) => (f.open = true))")
    wanted = page.evaluate(_MARK)
    assert len(wanted) >= 3
    reached = set()
    page.get_by_test_id("stMain").evaluate("(e) => { e.tabIndex = -1; e.focus(); }")
    for _ in range(3 * len(wanted) + 40):
        page.keyboard.press("Tab")
        at = page.evaluate(_FOCUSED)
        if at == -2:
            break  # round the end
        reached.add(at)
        if len(reached - {-1}) == len(wanted):
            break
    missed = [name for number, name in enumerate(wanted) if number not in reached]
    assert not missed, f"Tab never reaches: {missed}"


def sliders(page: Page) -> list[Locator]:
    """The sliders of the page, those inside components too."""
    return [s for s in page.get_by_role("slider").all() if s.is_visible() and s.is_enabled()]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p or "start")
def test_arrow_keys_move_every_slider(new_page: NewPage, url: str, path: str) -> None:
    page = new_page(reduced_motion="reduce")
    opened(page, f"{url}/{path}")
    drawn(page)
    for place in range(len(sliders(page))):
        slider = sliders(page)[place]
        name = slider.get_attribute("aria-label") or slider.get_attribute("aria-labelledby")
        slider.focus()
        before = _value(slider)
        for press in range(90):  # one way is free, once a live run has its second frame
            page.keyboard.press("ArrowLeft" if press % 3 == 0 else "ArrowRight")
            page.wait_for_timeout(60)
            if _value(slider) != before:
                break
        assert _value(slider) != before, f"no arrow key moves {name}"
        drawn(page)


def _value(slider: Locator) -> str:
    return slider.evaluate(
        "(e) => e.getAttribute('aria-valuetext') ?? e.getAttribute('aria-valuenow') ?? e.value"
    )


def test_expanders_open_by_key(page: Page, url: str) -> None:
    opened(page, f"{url}/posterior")
    drawn(page)
    box = page.get_by_test_id("stExpander").first
    box.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(box.get_by_role("spinbutton").first).to_be_visible()
