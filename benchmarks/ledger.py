"""How long the bound of one digit takes, core and page: `python -m benchmarks.ledger`.

On the page another digit is chosen, and the clock runs from the key to the animation frame in
which the first bars, and then all of them, are on screen. It needs Chromium and nothing else
running on the machine.
"""

from __future__ import annotations

import shutil
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch
from playwright.sync_api import Page, sync_playwright

from benchmarks.browser import FIND, PLAYER, served, wait
from diffusion_core.checkpoints import load
from diffusion_core.datasets import load_gallery, to_unit
from diffusion_core.elbo import gaussian_elbo_terms
from pages.shared.load import usable_cores

DIGITS = 5  # the variants beside the first one
CLOCK = """() => {
  const before = window.findPlayer().dataset.run;
  const said = window.said = {};
  let start = 0;
  addEventListener('keydown', () => { start = performance.now(); }, {once: true, capture: true});
  const look = () => {
    const data = window.findPlayer()?.dataset;
    if (start && data && data.run !== before && +data.have > 0) {
      said.first ??= performance.now() - start;
      if (data.have === data.total) { said.all = performance.now() - start; return; }
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


def in_the_core(name: str) -> tuple[float, float]:
    """Seconds to the first terms and to all of one digit."""
    cores = usable_cores()
    torch.set_num_threads(1)
    with ThreadPoolExecutor(cores) as pool:
        denoiser = replace(load(name)[0], pool=pool, parts=cores)
        x0 = to_unit(load_gallery().images[:1]).double()
        times = []
        for seed in range(3):
            started = time.perf_counter()
            generator = torch.Generator().manual_seed(seed)
            walk = gaussian_elbo_terms(
                denoiser.diffusion, denoiser, x0, batch=64, generator=generator
            )
            next(walk)
            first = time.perf_counter() - started
            for _ in walk:
                pass
            times.append((first, time.perf_counter() - started))
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def on_the_page(page: Page) -> tuple[float, float]:
    """Milliseconds to the first bars and to all bars of another digit."""
    page.evaluate(CLOCK)
    page.locator(".st-key-variant input").press("ArrowUp")
    page.wait_for_function("window.said.all", timeout=60_000)
    said = page.evaluate("window.said")
    return said["first"], said["all"]


def main() -> None:
    """Measure and print a table."""
    print(
        "| the bound of one digit, T = 1000, two cores | first terms | all terms |\n|---|---|---|"
    )
    for name in ("digits-eps", "digits-iddpm"):
        first, every = in_the_core(name)
        print(f"| core, {name} | {1e3 * first:.0f} ms | {every:.2f} s |", flush=True)
    with sync_playwright() as playwright, served() as url:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page()
        page.add_init_script(FIND)
        page.goto(f"{url}/elbo")
        whole = "player => player && player.dataset.have === player.dataset.total"
        wait(page, f"({whole})({PLAYER})")
        times = []
        for _ in range(DIGITS):
            times.append(on_the_page(page))
            page.wait_for_timeout(300)
        firsts, wholes = zip(*times, strict=True)
        for what, pick in (("median", statistics.median), ("slowest", max)):
            print(
                f"| page, {what} of {DIGITS} digits | {pick(firsts):.0f} ms "
                f"| {pick(wholes) / 1e3:.2f} s |",
                flush=True,
            )
        browser.close()


if __name__ == "__main__":
    main()
