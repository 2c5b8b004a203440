"""The app behind a proxy that adds the headers of `deploy/headers.conf`: nothing is blocked."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_app import drawn, player, wait_for

HEADERS = Path(__file__).resolve().parents[2] / "deploy" / "headers.conf"
END = b"\r\n\r\n"
PATIENCE_MS = 90_000


def deployed_headers() -> dict[str, str]:
    """Name -> value of every `add_header NAME "VALUE" always;`."""
    lines = [line for line in HEADERS.read_text().splitlines() if line and not line.startswith("#")]
    found = [re.fullmatch(r'add_header ([\w-]+) "([^"]+)" always;', line) for line in lines]
    assert all(found), "each line that is no comment is one header"
    return {match[1]: match[2] for match in found if match}


async def forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass bytes on until the source ends."""
    try:
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()


async def serve_one(
    client: asyncio.StreamReader, answer: asyncio.StreamWriter, port: int, extra: bytes
) -> None:
    """One request per connection, so that each answer has one head to add headers to."""
    try:
        head = await client.readuntil(END)
        if b"\r\nupgrade:" not in head.lower():
            head = re.sub(rb"(?i)\r\nconnection:[^\r]*", b"\r\nConnection: close", head)
        server, request = await asyncio.open_connection("127.0.0.1", port)
        request.write(head)
        upload = asyncio.create_task(forward(client, request))
        head = await server.readuntil(END)
        answer.write(head[: -len(END)] + b"\r\n" + extra + END)
        await forward(server, answer)
        upload.cancel()
    except (asyncio.IncompleteReadError, ConnectionError):
        answer.close()


@pytest.fixture(scope="module")
def url(browser: object, server: Any) -> Iterator[str]:
    """The app's address behind the proxy, which lives in a thread with a loop of its own."""
    extra = "\r\n".join(f"{name}: {value}" for name, value in deployed_headers().items()).encode()
    port = urlsplit(server.url).port or 80
    started: Queue[tuple[int, Callable[[], object]]] = Queue()

    async def proxy() -> None:
        stop = asyncio.Event()
        listening = await asyncio.start_server(
            lambda r, w: serve_one(r, w, port, extra), "127.0.0.1", 0
        )
        loop = asyncio.get_running_loop()
        own = listening.sockets[0].getsockname()[1]
        started.put((own, lambda: loop.call_soon_threadsafe(stop.set)))
        await stop.wait()
        listening.close()

    thread = threading.Thread(target=lambda: asyncio.run(proxy()))
    thread.start()
    own, stop = started.get(timeout=10)
    yield f"http://127.0.0.1:{own}"
    stop()
    thread.join(timeout=10)


WATCH = """window.blocked = [];
document.addEventListener("securitypolicyviolation", (e) =>
  window.blocked.push(`${e.violatedDirective}: ${e.blockedURI} (${e.sourceFile}:${e.lineNumber})`));
"""


PAGES = (
    "",
    "reverse_sampling?steps=10",
    "noise_schedules",
    "transition_matrices",
    "notation",
    "model_cards",
)
"""A player, a live run, charts, points to be clicked, many formulas, tables."""


def test_the_policy_blocks_nothing_that_a_page_needs(
    page: Page, url: str, assert_clean: Callable[[Page], None]
) -> None:
    """One page after the other in one tab, which keeps the scripts that all of them load."""
    page.add_init_script(WATCH)
    for path in PAGES:
        answer = page.goto(f"{url}/{path}")
        assert answer is not None
        sent = answer.headers
        assert {k: sent.get(k.lower()) for k in deployed_headers()} == deployed_headers()
        expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=PATIENCE_MS)
        # The first time some hundred scripts come through the proxy above, each on its own.
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=PATIENCE_MS)
        drawn(page)
        if path == "" or "sampling" in path:
            wait_for(page, "have > 0")
            player(page).get_by_role("slider").focus()
            page.keyboard.press("End")
        if "sampling" in path:
            wait_for(page, "have === total")
        assert page.evaluate("window.blocked") == [], path
        assert_clean(page)


def test_the_policy_is_one() -> None:
    """Only what is named, from this origin, and no inline script."""
    parts = deployed_headers()["Content-Security-Policy"].split("; ")
    policy = {part.split(" ")[0]: part for part in parts}
    assert policy["default-src"] == "default-src 'none'"
    assert "'unsafe-inline'" not in policy["script-src"]
    assert policy["connect-src"] == "connect-src 'self'"
    assert not re.search(r"https?:|\*", " ".join(policy.values()))
