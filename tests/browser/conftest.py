"""A real Chromium against a real server.

Without a Chromium the browser tests are skipped, loudly; where `CI=true` that is a failure.
`CHROMIUM` names the browser if it is not on the PATH under one of its usual names.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    WebSocket,
    expect,
    sync_playwright,
)
from playwright.sync_api import TimeoutError as PlaywrightTimeout

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = Path(__file__).parent / "artifacts"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_SECONDS = 60
# Opened at /page, Streamlit first looks for its server under /page/ and finds it under /.
_PROBE = re.compile(r"://[^/]+/[^/]+/_stcore/(health|host-config)$")
PATIENCE_MS = 20_000  # a busy machine; every wait is for a condition and ends when it holds
OPEN_MS = 120_000  # a first visit on a busy machine

expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every browser test a second chance, and say so in the report ("R").

    On two busy cores a click can fall into the moment in which Streamlit replaces the button, or a
    page take longer than any sensible patience. What is really broken fails twice.
    """
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome, None if there is none."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    return next((path for path in map(shutil.which, NAMES) if path), None)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say it where it can't be missed."""
    if find_chromium() is None:
        terminalreporter.section("BROWSER TESTS DID NOT RUN", sep="!", red=True)
        terminalreporter.line("No Chromium was found. Install it (Debian: apt install chromium),")
        terminalreporter.line("or name one in the environment variable CHROMIUM.")


@dataclass
class Server:
    """A running Streamlit server."""

    url: str
    process: subprocess.Popen[bytes]
    log_path: Path

    def log(self) -> str:
        """Return what it has written so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start servers: `serve("app.py")`, paths from the project's root; all end with the session."""
    servers: list[Server] = []

    def start(script: str, port: int | None = None, **env: str) -> Server:
        port = port or _free_port()
        log_path = tmp_path_factory.mktemp("server") / "log.txt"
        command = [sys.executable, "-m", "streamlit", "run", script]
        command += ["--server.headless=true", f"--server.port={port}"]
        command += ["--server.address=127.0.0.1", "--browser.gatherUsageStats=false"]
        command += ["--server.fileWatcherType=none"]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": path} | env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        server = Server(f"http://127.0.0.1:{port}", process, log_path)
        servers.append(server)
        deadline = time.monotonic() + START_SECONDS
        while not _healthy(server.url):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{script} did not start:\n{server.log()}")
            time.sleep(0.1)
        return server

    yield start
    for server in servers:
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGTERM)
            try:
                server.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(server.process.pid, signal.SIGKILL)
                server.process.wait()


@pytest.fixture(scope="session")
def server(serve: Callable[..., Server]) -> Server:
    """The app."""
    return serve("app.py")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests; each test has a context of its own in it."""
    path = find_chromium()
    if path is None:
        message = "no Chromium on the PATH and none in CHROMIUM"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{message}; in CI the browser tests must run")
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@dataclass
class Seen:
    """What went on behind a page."""

    problems: list[str] = field(default_factory=list)  # console errors, uncaught exceptions
    sent: int = 0  # websocket messages from the browser to the server


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages, each in a context of its own: `new_page(color_scheme="dark")`.

    What goes on behind a page is collected on it as `page.seen`.
    """
    contexts = []

    def open_page(**options: Any) -> Page:
        options = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"} | options
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        seen = page.seen = Seen()  # type: ignore[attr-defined]

        def on_console(message: ConsoleMessage) -> None:
            if message.type == "error" and not _PROBE.search(message.location.get("url", "")):
                seen.problems.append(f"console: {message.text} ({message.location.get('url')})")

        def on_socket(socket: WebSocket) -> None:
            def count(_: Any) -> None:
                seen.sent += 1

            socket.on("framesent", count)

        page.on("console", on_console)
        page.on("pageerror", lambda error: seen.problems.append(f"uncaught: {error}"))
        page.on("websocket", on_socket)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """A page of 1280 × 900, light."""
    return new_page()


# What must not be on any page. KaTeX sets what it can't parse in red and raises nothing.
_FAULTS = """() => {
  const faults = [];
  const text = document.body.innerText;
  if (text.includes("Traceback")) faults.push("a traceback");
  const boxes = document.querySelectorAll('[data-testid="stException"]');
  boxes.forEach((box) => faults.push("exception: " + box.innerText));
  document.querySelectorAll(".katex-error").forEach((e) => faults.push("KaTeX: " + e.textContent));
  document.querySelectorAll(".katex [style*='color']").forEach((e) => {
    const { color } = getComputedStyle(e);
    if (color === "rgb(204, 0, 0)") faults.push("red KaTeX: " + e.textContent);
  });
  for (const e of [document.documentElement, document.querySelector('[data-testid="stMain"]')]) {
    if (e && e.scrollWidth > e.clientWidth) {
      faults.push(`horizontal scroll: ${e.scrollWidth} px in ${e.clientWidth}`);
    }
  }
  document.querySelectorAll("[role=radiogroup]").forEach((e) => {
    if (e.scrollWidth > e.clientWidth + 1) faults.push("choices cut off: " + e.innerText);
  });
  return faults;
}"""


@pytest.fixture
def assert_clean() -> Callable[[Page], None]:
    """Check a page: no errors, no red formula, no horizontal scroll, no choice cut off.

    Charts are drawn anew one after the other when a window has another width, so a page has five
    seconds to come to rest; a fault that stays is a fault.
    """

    def check(page: Page) -> None:
        with contextlib.suppress(PlaywrightTimeout):
            page.wait_for_function(f"!({_FAULTS})().length", timeout=5000)
        problems = page.seen.problems + page.evaluate(_FAULTS)  # type: ignore[attr-defined]
        assert not problems, "\n".join(problems)

    return check


@pytest.fixture
def shot() -> Callable[[Page, str], Path]:
    """Keep a picture of the whole page under `tests/browser/artifacts/`."""

    def take(page: Page, name: str) -> Path:
        # Streamlit scrolls inside the window, so "full page" is a window as high as the page.
        size = page.viewport_size or {"width": 1280, "height": 900}
        height = page.evaluate(
            """() => document.querySelector('[data-testid="stMain"]')?.scrollHeight ?? 0"""
        )
        page.set_viewport_size({"width": size["width"], "height": max(size["height"], height)})
        ARTIFACTS.mkdir(exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        # Two frames, so that what depends on the size has been drawn.
        page.evaluate(
            "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"
        )
        page.screenshot(path=path)
        page.set_viewport_size(size)
        return path

    return take


@pytest.fixture
def base(browser: object, server: Any) -> str:
    """The address of the app, where there is a browser to open it."""
    return str(server.url)


def opened(page: Page, address: str, first: str = "h1") -> None:
    """Open a page and wait until all of it is there.

    Args:
        page: the browser's.
        address: of the page.
        first: the element of its exhibit to wait for, as long as the page may compute for it.
    """
    page.goto(address)
    expect(page.locator(first).first).to_be_visible(timeout=OPEN_MS)
    expect(page.get_by_role("heading", name="Sources")).to_be_visible(timeout=OPEN_MS)
    idle(page)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def idle(page: Page) -> None:
    """Wait until Streamlit runs no script; its "running" sign comes a while after the start."""
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning")


def unfold(page: Page) -> None:
    """Open every expander, folds in folds too, and wait until the last has come to rest."""
    for summary in page.locator("details > summary").all():
        if summary.is_visible():  # what is folded on a phone only is open already
            summary.click()
    idle(page)
    page.wait_for_function("() => document.getAnimations().every((a) => a.playState !== 'running')")


def show_me(box: Any, done: Callable[[], bool]) -> None:
    """Press the "Show me" of an opened Why until it took effect.

    A press that falls into the moment in which Streamlit replaces the button is lost, on a busy
    machine now and then; a reader presses again, too, and a second press changes nothing.
    """
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        box.get_by_role("button", name="Show me").click()
        until = time.monotonic() + 4
        while time.monotonic() < until:
            if done():
                return
            box.page.wait_for_timeout(50)
    pytest.fail("Show me showed nothing")
