"""A server of the app, and readers that speak Streamlit's websocket protocol to it.

A reader here costs little beside the server, unlike a browser: it parses what it is sent and
remembers which widgets there are, but draws nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from streamlit.components.v2.bidi_component.main import _make_trigger_id
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[1]
ASK = 8  # frames for one request, as the player asks
TTL = 2  # seconds that the server keeps a session whose reader has gone
START_SECONDS = 60.0
ANSWER_SECONDS = 60.0
TICKS = os.sysconf("SC_CLK_TCK")


ARENAS = {"MALLOC_ARENA_MAX": "2"}
"""As `make app` and deploy/Dockerfile have it: each session's thread would otherwise keep a heap of
its own, 747 MB with sixty sessions instead of 564."""


class Server(NamedTuple):
    """A server started here; Linux alone tells its figures, in /proc."""

    url: str
    pid: int

    def threads(self) -> int:
        """Threads of the process."""
        return self._status("Threads")

    def megabytes(self) -> float:
        """Memory that the process holds in RAM."""
        return self._status("VmRSS") / 1024

    def cpu_seconds(self) -> float:
        """Time that its threads have spent computing, together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def _status(self, field: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


@contextlib.contextmanager
def served(*flags: str, script: str = "app.py") -> Iterator[Server]:
    """A fresh server on a free port, with further flags of Streamlit's; it ends with the block.

    Raises:
        RuntimeError: if it does not answer within a minute.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1"]
    command += ["--server.fileWatcherType=none", f"--server.disconnectedSessionTTL={TTL}", *flags]
    nothing = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    env = os.environ | ARENAS
    process = subprocess.Popen(command, cwd=ROOT, env=env, start_new_session=True, **nothing)
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
                break
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the server did not start")
            time.sleep(0.05)
        yield Server(f"ws://127.0.0.1:{port}/_stcore/stream", process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Reader:
    """One session: what its page shows, and what it sends.

    Attributes:
        page: the page's address.
        widgets: name in the address -> the widget's message.
        buttons: label -> the button's message.
        player: the last message of the page's player, None where there is none.
        received: bytes of the last answer.
        failed: whether the last answer held an error instead of a page.
    """

    def __init__(self, socket: ClientConnection, page: str) -> None:
        """Read `page` through `socket`."""
        self.page = page
        self.widgets: dict[str, Any] = {}
        self.buttons: dict[str, Any] = {}
        self.player: Any = None
        self.received = 0
        self.failed = False
        self._socket = socket
        self._script = ""
        self._fragments: dict[str, str] = {}
        self._states: dict[str, WidgetState] = {}

    async def open(self, query: str = "") -> float:
        """Open the page; returns the seconds until its script has run."""
        message = BackMsg()
        message.rerun_script.page_name = self.page
        message.rerun_script.query_string = query
        return await self._run(message)

    async def send(self, state: WidgetState, trigger: bool = False) -> float:
        """Set one widget; returns the seconds until the answer is complete."""
        self._states[state.id] = state
        message = BackMsg()
        message.rerun_script.page_script_hash = self._script
        message.rerun_script.fragment_id = self._fragments.get(state.id, "")
        message.rerun_script.widget_states.widgets.extend(self._states.values())
        if trigger:
            del self._states[state.id]
        return await self._run(message)

    async def _run(self, message: BackMsg) -> float:
        start = time.perf_counter()
        self.received, self.failed = 0, False
        await self._socket.send(message.SerializeToString())
        async with asyncio.timeout(ANSWER_SECONDS):
            async for data in self._socket:
                answer = ForwardMsg.FromString(data)  # type: ignore[arg-type]
                self.received += len(data)
                self._note(answer)
                if answer.WhichOneof("type") == "script_finished":
                    break
        return time.perf_counter() - start

    def _note(self, answer: ForwardMsg) -> None:
        if answer.WhichOneof("type") == "new_session":
            self._script = answer.new_session.page_script_hash
        if answer.WhichOneof("type") != "delta" or not answer.delta.HasField("new_element"):
            return
        element = answer.delta.new_element
        kind = element.WhichOneof("type")
        self.failed |= kind == "exception"
        widget = getattr(element, kind)
        if not hasattr(widget, "id"):
            return
        self._fragments[widget.id] = answer.delta.fragment_id
        if getattr(widget, "query_param_key", ""):
            self.widgets[widget.query_param_key] = widget
        if kind == "button":
            self.buttons[widget.label] = widget
        if kind == "bidi_component" and "player" in widget.component_name:
            self.player = widget

    def header(self) -> dict[str, Any]:
        """What the player was told about its frames."""
        data = self.player.bytes
        (length,) = struct.unpack_from("<I", data)
        return dict(json.loads(data[4 : 4 + length]))

    async def move(self, key: str, number: int) -> float:
        """Put a slider somewhere else; numbers in a row put it to places far apart."""
        slider = self.widgets[key]
        state = WidgetState(id=slider.id)
        if len(slider.options):
            state.string_array_value.data.append(slider.options[number % len(slider.options)])
        else:
            steps = round((slider.max - slider.min) / slider.step)
            at = slider.min + slider.step * (7919 * (number + 1) % (steps + 1))
            # A slider with two ends keeps the upper one where it may be.
            ends = [at] if len(slider.default) == 1 else [min(at, slider.max - 1), slider.max]
            state.double_array_value.data.extend(ends)
        return await self.send(state)

    async def pull(self, have: int) -> float:
        """Ask for the next frames of the run, as the player does."""
        request = {"run": self.header()["run"], "have": have, "ask": ASK}
        state = WidgetState(id=_make_trigger_id(self.player.id, "events"))
        self._fragments[state.id] = self._fragments[self.player.id]
        state.json_trigger_value = json.dumps([{"event": "pull", "value": request}])
        return await self.send(state, trigger=True)

    async def press(self, label: str) -> float:
        """Press a button."""
        state = WidgetState(id=self.buttons[label].id, trigger_value=True)
        return await self.send(state, trigger=True)


@contextlib.asynccontextmanager
async def reading(server: Server, page: str) -> AsyncIterator[Reader]:
    """A session on a page; it is closed as a tab is, without a word."""
    # Whoever comes while the server is busy waits for its handshake longer than the default.
    options: dict[str, Any] = {"max_size": None, "open_timeout": ANSWER_SECONDS}
    async with connect(server.url, subprotocols=["streamlit"], **options) as socket:  # type: ignore[list-item]
        yield Reader(socket, page)
