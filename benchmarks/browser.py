"""How long a reader waits, measured in a real Chromium against a server started for it.

`python -m benchmarks.browser` prints a table: cold start, a slider's answer on each page, the
player's frame. It needs Chromium and nothing else running on the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
MOVES = 30
PLAYER = "window.findPlayer()"
# Components live in shadow trees, which document.querySelector does not enter.
FIND = """window.findPlayer = () => {
  const seek = (root) => {
    const here = root.querySelector('[role=group][data-frame]');
    if (here) return here;
    for (const e of root.querySelectorAll('*')) {
      const found = e.shadowRoot && seek(e.shadowRoot);
      if (found) return found;
    }
    return null;
  };
  return (window.known?.isConnected && window.known) || (window.known = seek(document));
};"""


@contextlib.contextmanager
def served() -> Iterator[str]:
    """A fresh server on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
    command += [f"--server.port={port}", "--server.fileWatcherType=none"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        url = f"http://127.0.0.1:{port}"
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=1)
                break
            time.sleep(0.02)
        yield url
        os.killpg(process.pid, signal.SIGTERM)


def wait(page: Page, condition: str) -> None:
    """Wait for a JavaScript condition, asking at every animation frame."""
    page.wait_for_function(condition, polling="raf", timeout=20_000)


def answers(page: Page, label: str) -> list[float]:
    """Milliseconds from a key on a slider to the player's new picture on screen, per move.

    The clock runs in the page: from the key's event to the animation frame after the player has
    drawn the new run.
    """
    page.evaluate(
        """() => {
        const player = window.findPlayer;
        window.answers = []; window.asked = 0;
        addEventListener('keydown', () => { window.asked = performance.now(); }, true);
        const look = (before) => {
          const now = player()?.dataset.run;
          if (window.asked && now !== before) {
            requestAnimationFrame(() => {
              window.answers.push(performance.now() - window.asked); window.asked = 0; });
          }
          requestAnimationFrame(() => look(now));
        };
        look(player().dataset.run);
        }"""
    )
    slider = page.get_by_role("slider", name=label).first
    slider.focus()
    for move in range(MOVES):
        slider.press("ArrowLeft" if move % 2 else "ArrowRight")
        wait(page, f"window.answers.length === {move + 1}")
        page.wait_for_timeout(150)
    return page.evaluate("window.answers")


def line(what: str, values: list[float]) -> None:
    """Print median and 95th percentile."""
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    print(f"{what:58} {statistics.median(ordered):8.1f} {p95:8.1f}", flush=True)


def main() -> None:
    """Measure and print."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    print(f"{'milliseconds':58} {'median':>8} {'95 %':>8}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        browser = browser.new_context()
        browser.add_init_script(FIND)
        cold = []
        for _ in range(3):
            started = time.perf_counter()
            with served() as url:
                page = browser.new_page()
                page.goto(url)
                page.get_by_role("button", name="Sample sixteen").wait_for()
                wait(page, f"{PLAYER}?.dataset.have > 0")
                cold.append(1e3 * (time.perf_counter() - started))
                page.close()
        line("streamlit run -> first noise on the start page", cold)
        with served() as url:
            page = browser.new_page()
            page.goto(url)
            wait(page, f"{PLAYER}?.dataset.have > 0")
            whole = []
            for _ in range(5):
                before = json.dumps(page.evaluate(f"{PLAYER}.dataset.run"))  # as JavaScript
                started = time.perf_counter()
                page.get_by_role("button", name="Sample sixteen").click()
                wait(page, f"{PLAYER}.dataset.run !== {before} && {PLAYER}.dataset.have > 50")
                whole.append(1e3 * (time.perf_counter() - started))
            line("button -> 16 digits x 50 steps, all frames in the browser", whole)
            for path, label in (
                ("forward_process?T=100", "Number of steps T"),
                ("reverse_sampling", "Steps"),
                ("reverse_sampling", "Fresh noise"),
            ):
                page = browser.new_page()
                page.emulate_media(reduced_motion="reduce")
                page.goto(f"{url}/{path}")
                wait(page, f"{PLAYER}?.dataset.have > 0")
                if "forward" in path:
                    page.get_by_text("More: break the formula").click()
                page.wait_for_timeout(3000)
                line(f"{path.split('?')[0]}: {label} -> first new frame", answers(page, label))
                stats = page.evaluate(f"{PLAYER}.playerStats")
                print(f"    player, drawing one frame: {stats}", flush=True)
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
