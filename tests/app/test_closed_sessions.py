"""Readers who leave in the middle of a run, and a server that dies: nothing stays, nothing is lost.

Against a real server; its process tells what lives in it when it gets a signal.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.streamlit_client import TTL, Server, reading, served

PAGE = "reverse_sampling"
READERS = 4
SECONDS = 60.0  # at most, until the server has noticed

# Python runs a module of this name when it starts.
COUNTING = """
import signal

def count(*_):
    import gc, json, os, threading
    gc.collect()
    gc.unfreeze()  # what pages.shared.load.settle took out of sight
    kinds = [type(thing).__name__ for thing in gc.get_objects()]
    told = {kind: kinds.count(kind) for kind in ("AppSession", "Runs", "LiveRun", "Tensor")}
    names = [thread.name for thread in threading.enumerate()]
    # The event loop has a pool of its own, which grows to a handful.
    told["threads"] = [name for name in names if not name.startswith("ThreadPoolExecutor")]
    path = os.environ["COUNTS"]
    with open(path + ".part", "w") as file:
        json.dump(told, file)
    os.replace(path + ".part", path)

signal.signal(signal.SIGUSR1, count)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Server], dict[str, Any]]:
    """What lives in a server that is started from here on."""
    path = tmp_path / "counts.json"
    (tmp_path / "sitecustomize.py").write_text(COUNTING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("COUNTS", str(path))

    def ask(server: Server) -> dict[str, Any]:
        path.unlink(missing_ok=True)
        os.kill(server.pid, signal.SIGUSR1)
        end = time.monotonic() + SECONDS
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.05)
        return dict(json.loads(path.read_text()))

    return ask


async def read(server: Server, seed: int, leave: bool = True) -> bytes:
    """Start a run, see its first frames, and leave while the next ones are computed."""
    async with reading(server, PAGE) as reader:
        await reader.open(f"seed={seed}")
        await reader.pull(0)
        data: bytes = reader.player.bytes
        shown = data[4 + int.from_bytes(data[:4], "little") :]  # the header tells times, too
        if leave:
            task = asyncio.create_task(reader.pull(8))
            await asyncio.sleep(0.02)
            task.cancel()
    return shown


def test_who_leaves_in_the_middle_of_a_run_leaves_nothing(
    count: Callable[[Server], dict[str, Any]],
) -> None:
    async def visit(seeds: range) -> None:
        await asyncio.gather(*(read(server, seed) for seed in seeds))

    async def look_in() -> None:
        async with reading(server, "notation") as reader:
            await reader.open()

    def emptied() -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while (told := count(server))["Runs"] and time.monotonic() < end:
            time.sleep(TTL + 0.5)
            asyncio.run(look_in())  # Streamlit drops old sessions when the next one ends
            time.sleep(0.5)
        return told

    with served() as server:
        asyncio.run(visit(range(READERS)))  # loads the network, fills the caches
        before = emptied()
        # The same noise: what the network says of that is kept, for all and for a while.
        asyncio.run(visit(range(READERS)))
        during = count(server)
        after = emptied()
    assert during["LiveRun"] > 0  # what is counted is what there is
    assert after["Runs"] == after["LiveRun"] == 0
    assert after["AppSession"] <= 2  # those that looked in
    assert after["Tensor"] <= before["Tensor"]
    assert sorted(after["threads"]) == sorted(before["threads"])


def test_a_killed_server_gives_the_same_run_again() -> None:
    shown = []
    for _ in range(2):
        with served() as server:
            shown.append(asyncio.run(read(server, seed=5)))
            os.kill(server.pid, signal.SIGKILL)
    first, second = shown
    assert first == second
    assert len(first) > 8 * 28 * 28
