"""How long a reader waits, in a real Chromium: `python -m benchmarks.browser`, best when idle.

Starts a server and prints a table: cold start, switching to each page, the answer to each slider
that the server answers, and the player's frame. It needs Chromium and takes a few minutes.

A slider's answer is timed in the page, from the key's event to the frame that shows the last
change that this move brought: text, charts, or a player's new run. The slider's own label does not
count, nor do later frames of a run that the player goes on fetching and the words that come with
them: the answer is there when the new run's first frame is. The slider walks to its end and back,
so that fresh values and repeated ones both occur.

A rented machine runs at half its speed while its neighbours are busy, for seconds or minutes: the
same page then takes up to half as long again. So each row is measured twice, minutes apart, and the
run with the smaller median counts; the other one's stands beside it. In each run the smallest page
that Streamlit can serve is measured too, a slider and a line of text, and each slider is also given
in multiples of it: that ratio says more of the page and less of the machine's hour.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import statistics
import time
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from playwright.sync_api import BrowserContext, Error, Locator, Page, sync_playwright

from benchmarks import streamlit_client
from benchmarks.streamlit_client import ROOT

MOVES, ROUNDS, STARTS = 60, 3, 5
RUNS = 2
SMALLEST = ("", "value")
ANSWER, FRAME, SWITCH, START = 150, 16, 500, 3000  # ms that are allowed
# Address and the key of the control that is moved there: those that a computed answer follows.
CONTROLS = (
    ("cold_diffusion", "cot"),
    ("cold_diffusion?coview=Noise", "costeps"),
    ("cold_diffusion?coview=From+nothing", "conoise"),
    ("conventions", "ct"),
    ("conventions", "cT"),
    ("discrete_posterior", "dT"),
    ("discrete_sampling", "dssteps"),
    ("elbo", "eb_T"),
    ("elbo?eb_view=Decoder", "eb_width"),
    ("elbo?eb_view=Three+forms", "eb_t"),
    ("elbo?eb_view=Two+decompositions", "eb_x0"),
    ("entropy?enview=Two+orders", "enapart"),
    ("entropy?enview=KL+below+0%3F", "endraws"),
    ("formula_detective", "d1_t"),
    ("formula_detective", "d1_x0"),
    ("forward_process?T=100", "T"),
    ("guidance", "guscale"),
    ("hierarchical_vae", "hvT"),
    ("ilvr", "ilblock"),
    ("latent_diffusion?ldview=Scale", "ldfactor"),
    ("learned_schedule", "ls_path"),
    ("learned_schedule?ls_view=T+steps", "ls_T"),
    ("noise_schedules", "T"),
    ("noise_schedules?match=fewer+steps", "kept"),
    ("noise_schedules?nview=A+large+picture", "nside"),
    ("posterior", "T"),
    ("reverse_rules", "rust"),
    ("reverse_rules", "ruT"),
    ("reverse_sampling", "steps"),
    ("reverse_sampling", "eta"),
    ("score", "sclevel"),
    ("score?scview=Digits", "sccalls"),
    ("score?scview=How+much+noise", "sceta"),
    ("score?scview=One+place", "scx"),
    ("transition_matrices", "tt"),
    ("transition_matrices", "tT"),
    ("vae", "vax"),
    ("vae?vaview=Many+draws", "vak"),
    ("vae?vaview=Without+the+KL", "vaspread"),
    ("vae?vaview=Sum+or+mean", "vanoise"),
    ("vae?vaview=Gray+pixels", "vagray"),
    ("vqvae", "vqdigit"),
    ("vqvae?vqview=Codebook", "vqsize"),
    ("vqvae?vqview=Gradient", "vqz"),
    ("why_a_model", "wT"),
    ("x0_vs_eps", "digit"),
    ("x0_vs_eps?xview=Side+by+side", "xsteps"),
    ("x0_vs_eps?xview=Loss+weights", "xgamma"),
)
# Components live in shadow trees, which neither document.querySelector nor a MutationObserver
# enters by itself. Of players only the run is watched: their frames move by themselves.
FIND = """
window.findRoots = (root = document) => [root, ...[...root.querySelectorAll('*')]
  .filter((e) => e.shadowRoot).flatMap((e) => window.findRoots(e.shadowRoot))];
window.playersIn = (root) => [...root.querySelectorAll('[role=group][data-frame]')];
window.findPlayers = () => window.findRoots().flatMap(window.playersIn);
window.findPlayer = () =>
  window.known?.isConnected ? window.known : (window.known = window.findPlayers()[0]);

window.watch = (key) => {
  const main = document.querySelector('[data-testid=stMain]');
  const app = document.querySelector('[data-testid=stApp]');
  const seen = window.seen = { asked: 0, painted: 0 };
  const painted = () => {
    if (!seen.begun)
      requestAnimationFrame(() => { if (seen.asked) seen.painted = performance.now(); });
  };
  const own = (node) => main.querySelector('.st-key-' + key)?.contains(node);
  // React and innerHTML also put back what was there: that is no answer.
  const html = (nodes) => [...nodes].map((n) => n.outerHTML ?? n.nodeValue).join('');
  const changed = (r) => r.type === 'childList' ? html(r.addedNodes) !== html(r.removedNodes)
    : r.oldValue !== (r.type === 'attributes' ? r.target.getAttribute(r.attributeName)
                                              : r.target.nodeValue);
  const observer = new MutationObserver((records) => {
    if (records.some((r) => !own(r.target) && changed(r))) painted();
    if (playing) look();
  });
  const inside = window.findRoots().slice(1).filter((root) => !window.playersIn(root).length);
  for (const root of [main, ...inside])
    observer.observe(root, { subtree: true, childList: true, characterDataOldValue: true,
      attributeOldValue: true,
      attributeFilter: ['d', 'transform', 'points', 'x', 'y', 'width', 'height', 'href', 'src'] });
  // A loop over animation frames would draw one after the other, and slow what it measures.
  let players = [], runs = '';
  const look = () => {
    if (!players.length || players.some((p) => !p.isConnected)) {
      players = window.findPlayers();
      for (const player of players)
        new MutationObserver(look).observe(player, { attributeFilter: ['data-run'] });
    }
    const now = players.map((p) => p.dataset.run).join();
    if (now !== runs) { runs = now; painted(); seen.begun = true; }
  };
  look();
  seen.begun = false;
  const playing = players.length > 0;
  addEventListener('keydown', (e) => {
    [seen.asked, seen.painted, seen.begun] = [e.timeStamp, 0, false];
  }, true);
  // The answer in ms; 0 where nothing changed; null while it may still be on its way.
  window.answer = (patience) => {
    const now = performance.now();
    const still = now - Math.max(seen.asked, seen.painted);
    if (app.dataset.testScriptState !== 'notRunning' && now - seen.asked < patience) return null;
    if (seen.painted && still > 120) return seen.painted - seen.asked;
    return still > patience ? 0 : null;
  };
};

// When a button with these words and a picture in a player are there; a look every 20 ms.
window.started = (words, patience) => new Promise((done, failed) => {
  const end = Date.now() + patience;
  const look = () => {
    if (Date.now() > end) return failed(new Error(`no ${words} after ${patience} ms`));
    const buttons = [...document.querySelectorAll('[data-testid=stMain] button')];
    if (buttons.some((b) => b.textContent.includes(words)) && window.findPlayer()?.dataset.have > 0)
      requestAnimationFrame(() => done(Date.now()));
    else setTimeout(look, 20);
  };
  look();
});

window.switchTo = (link) => new Promise((done) => {
  const title = () => document.querySelector('[data-testid=stMain] h1')?.textContent;
  const before = title();
  const started = performance.now();
  const look = () => {
    if (title() && title() !== before) requestAnimationFrame(() => done(performance.now() - started));
    else requestAnimationFrame(look);
  };
  link.click();
  look();
});
"""  # noqa: E501
PLAYER = "window.findPlayer()"


class Figure(NamedTuple):
    """One row of the table: times in ms, and what is allowed; 0 for no limit.

    Where only a mean is known, it stands for the median, and `times` holds the worst alone.
    """

    what: str
    times: list[float]
    allowed: float = 0
    remark: str = ""
    mean: float | None = None

    @property
    def p95(self) -> float:
        """95th percentile."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]

    def __str__(self) -> str:
        """A row of Markdown; a figure that is too large is marked."""
        limit = f"≤ {self.allowed:g}" if self.allowed else ""
        shown = f"{self.p95:.1f}" if self.p95 < 10 else f"{self.p95:.0f}"
        if self.allowed and not self.p95 <= self.allowed:
            shown = f"✗ **{shown}**"
        middle = statistics.median(self.times) if self.mean is None else self.mean
        count = len(self.times) if self.mean is None else ""
        return f"| {self.what} | {middle:.1f} | {shown} | {limit} | {count} | {self.remark} |"


@contextlib.contextmanager
def served(script: str = "app.py") -> Iterator[str]:
    """The address of a fresh server."""
    with streamlit_client.served(script=script) as server:
        yield server.url.replace("ws:", "http:").removesuffix("/_stcore/stream")


def wait(page: Page, condition: str) -> None:
    """Wait for a JavaScript condition, asking at every animation frame."""
    page.wait_for_function(condition, polling="raf", timeout=60_000)


def settled(page: Page) -> None:
    """Wait until the page's script has run and its answers are drawn."""
    wait(page, "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState"
               " === 'notRunning'")  # fmt: skip
    page.get_by_role("heading", level=1).first.wait_for()
    page.locator("[data-testid=stSkeleton]").first.wait_for(state="detached")
    page.wait_for_timeout(1000)


def answers(page: Page, key: str, patience: int) -> tuple[list[float], int]:
    """Milliseconds per move that changed the page, and how many moves changed nothing."""
    place = page.locator(f".st-key-{key}")
    box = page.locator("[data-testid=stExpander]", has=place)
    if box.count() and not place.is_visible():
        box.locator("summary").first.click()
    control = place.locator("[role=slider], input").first
    control.focus()
    page.wait_for_timeout(500)
    page.evaluate("(key) => window.watch(key)", key)
    slider = control.get_attribute("role") == "slider"
    keys = ("ArrowRight", "ArrowLeft") if slider else ("ArrowUp", "ArrowDown")
    times: list[float] = []
    way = same = 0
    for _ in range(MOVES):
        if (now := value(control)) in ends(control):
            way = 0 if now == ends(control)[0] else 1
        control.press(keys[way])
        known = f"(window.told = window.answer({patience})) !== null"
        page.wait_for_function(known, polling=50, timeout=4 * patience)
        took = page.evaluate("window.told")
        if took:
            times.append(took)
        else:
            same += 1
    return times, same


def value(control: Locator) -> str | None:
    """What a slider or a number box says."""
    return control.get_attribute("aria-valuenow") or control.input_value()


def ends(control: Locator) -> tuple[str | None, ...]:
    """The smallest and the largest value."""
    slider = control.get_attribute("role") == "slider"
    names = ("aria-valuemin", "aria-valuemax") if slider else ("min", "max")
    return tuple(control.get_attribute(name) for name in names)


def cold(context: BrowserContext) -> list[float]:
    """From `streamlit run` to noise in the start page's player and a button to press.

    The page itself notes when: asked from outside, a busy machine adds its time to answer. The
    first start is not counted: it is the one that reads from disk and compiles to bytecode.
    """
    times = []
    for _ in range(1 + STARTS):
        started = time.time()
        with served() as url:
            page = context.new_page()
            page.goto(url)
            there = page.evaluate("window.started('Sample sixteen', 60000)")
            times.append(there - 1e3 * started)
            page.close()
    return times[1:]


def whole_run(page: Page) -> list[float]:
    """From the start page's button to all frames of sixteen digits in the browser."""
    times = []
    for _ in range(5):
        before = json.dumps(page.evaluate(f"{PLAYER}.dataset.run"))  # as JavaScript
        started = time.perf_counter()
        page.get_by_role("button", name="Sample sixteen").click()
        wait(page, f"{PLAYER}.dataset.run !== {before} && {PLAYER}.dataset.have > 50")
        times.append(1e3 * (time.perf_counter() - started))
    return times


def switches(page: Page) -> Iterator[Figure]:
    """From a click in the navigation to the other page's title, for every page."""
    titles = re.findall(r'Page\([^)]*title="([^"]+)"', (ROOT / "app.py").read_text())
    titles = titles[1:] + titles[:1]  # the first is where the reader is
    times: dict[str, list[float]] = {title: [] for title in titles}
    for _ in range(1 + ROUNDS):
        for title in titles:
            links = page.locator("[data-testid=stSidebarNavLink]")
            link = links.get_by_text(title, exact=True).first.element_handle()
            times[title].append(page.evaluate("(link) => window.switchTo(link)", link))
            settled(page)
    first = {title: found.pop(0) for title, found in times.items()}
    yield Figure("switch to a page, all pages", list(chain(*times.values())), SWITCH)
    slowest = max(times, key=lambda title: statistics.median(times[title]))
    yield Figure(f"the slowest: {slowest}", times[slowest], SWITCH)
    slowest = max(first, key=lambda title: first[title])
    yield Figure(
        "the first visit of all to each page",
        list(first.values()),
        remark=f"loads libraries and networks; slowest: {slowest}",
    )


class Run(NamedTuple):
    """One control's answers.

    Attributes:
        times: ms of each move that changed the page.
        same: moves that changed nothing.
        player: what the page's player says of its drawing.
        failed: why there are no times.
    """

    times: list[float]
    same: int = 0
    player: dict[str, float] | None = None
    failed: str = ""

    @property
    def median(self) -> float:
        """Median of the times; endless where there are none."""
        return statistics.median(self.times) if self.times else float("inf")


def move(context: BrowserContext, url: str, control: tuple[str, str], patience: int) -> Run:
    """Open a page anew and move one of its controls."""
    address, key = control
    page = context.new_page()
    try:
        page.goto(f"{url}/{address}")
        settled(page)
        times, same = answers(page, key, patience)
        return Run(times, same, page.evaluate(f"{PLAYER}?.playerStats"))
    except Error as error:
        return Run([], failed=str(error).splitlines()[0])
    finally:
        page.close()


def sliders(context: BrowserContext, url: str, patience: int, only: str) -> Iterator[Figure]:
    """Each control's answers, and how long its page's player draws a frame."""
    names = {control: f"{control[0].split('?')[0]}: `{control[1]}`" for control in CONTROLS}
    chosen = [control for control in CONTROLS if only in names[control]]
    names[SMALLEST] = "the smallest page: a slider and a line of text"
    with served("benchmarks/smallest_app.py") as smallest:
        addresses = dict.fromkeys(chosen, url) | {SMALLEST: smallest}
        runs = [{control: move(context, at, control, patience) for control, at in addresses.items()}
                for _ in range(RUNS)]  # fmt: skip
    typical = {c: statistics.fmean(run[c].median for run in runs) for c in addresses}
    for control in (SMALLEST, *chosen):
        best, *others = sorted((run[control] for run in runs), key=lambda run: run.median)
        remarks = [f"{typical[control] / typical[SMALLEST]:.2f} × the smallest page"]
        remarks += [f"{best.same} moves changed nothing"] if best.same else []
        remarks += [f"in the other run {run.median:.0f}" for run in others if run.times]
        yield Figure(
            names[control], best.times or [float("nan")], ANSWER,
            "; ".join([*remarks, *([best.failed] if best.failed else [])]),
        )  # fmt: skip
        if best.player and best.player["draws"]:
            mean = best.player["total"] / best.player["draws"]
            worst = best.player["worst"]
            yield Figure("its player draws a frame: mean and worst", [worst], FRAME, mean=mean)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="only the sliders whose name holds this")
    parser.add_argument("--patience", type=int, default=5000, help="ms to wait for one answer")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    print("| milliseconds | median | 95 % | allowed | times | |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(reduced_motion="reduce")
        context.add_init_script(FIND)
        if not options.only:
            what = "`streamlit run`, disk warm, to the first noise on the start page"
            print(Figure(what, cold(context), START), flush=True)
        with served() as url:
            if not options.only:
                page = context.new_page()
                page.emulate_media(reduced_motion="no-preference")  # else it waits to be played
                page.goto(url)
                wait(page, f"{PLAYER}?.dataset.have > 0")
                what = "button to 16 digits × 50 steps, fetched as they are played"
                print(Figure(what, whole_run(page)), flush=True)
                for figure in switches(page):
                    print(figure, flush=True)
                page.close()
            for figure in sliders(context, url, options.patience, options.only):
                print(figure, flush=True)
        browser.close()


if __name__ == "__main__":
    main()
