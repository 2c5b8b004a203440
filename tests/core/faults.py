"""Work that is killed again and again, or that finds the disk full; as a script, for test_faults.

Each piece of work runs in a fork of this process, which has imported everything and computes on
one thread: a start costs milliseconds, and fifty of them no more than a few seconds.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import resource
import signal
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # what the first optimiser would import, seconds in every fork
from safetensors import SafetensorError, safe_open

from diffusion_core import ledger
from diffusion_core.checkpoints import save_network
from diffusion_core.datasets import DataError, IdxFile, fetch, save_gallery
from diffusion_core.training import CHECKPOINT, train
from tests.core.tiny import TINY, tiny_data

KILLS = 50
LONG = replace(TINY, steps=100_000)  # longer than all the tries together get
Work = Callable[[Callable[[int], None]], None]  # is given a function to report its progress with


def _packed() -> tuple[IdxFile, bytes]:
    """A file for downloads, which does not compress."""
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 28, 28), np.uint8)
    plain = struct.pack(">BBBB3I", 0, 0, 8, 3, *pixels.shape) + pixels.tobytes()
    packed = gzip.compress(plain, mtime=0)
    sums = [hashlib.sha256(data).hexdigest() for data in (packed, plain)]
    return IdxFile("pixels-idx3-ubyte", pixels.shape, len(packed), *sums, ("pixels",)), packed


DOWNLOAD, SERVED = _packed()


def forked(work: Work, seconds: float | None = None) -> tuple[list[int], str]:
    """Run `work` in a process of its own, killed after `seconds` if it still runs.

    Returns:
        What it reported, and how it ended: "killed", "done", or the sentence of its error.
    """
    back, there = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(back)
        try:
            work(lambda number: say(there, number))
            ending = "done"
        except (OSError, SafetensorError, DataError) as error:
            ending = str(error).replace("\n", " ")
        say(there, ending)
        os._exit(0)
    os.close(there)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(back) as pipe:
        lines = pipe.read().splitlines()
    os.waitpid(child, 0)
    numbers = [int(line) for line in lines if line.isdigit()]
    return numbers, next((line for line in lines if not line.isdigit()), "killed")


def say(pipe: int, word: object) -> None:
    """One line to the other end."""
    os.write(pipe, f"{word}\n".encode())


def saved_step(folder: Path) -> int:
    """The step of the checkpoint, which must be whole; 0 where there is none."""
    if not (folder / CHECKPOINT).exists():
        return 0
    with safe_open(folder / CHECKPOINT, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118
            file.get_tensor(key)
        return int(file.metadata()["step"])


def training(folder: Path, every: int = 1, steps: int | None = None) -> Work:
    """Training from the checkpoint on, with a new one after `every` steps."""

    def work(report: Callable[[int], None]) -> None:
        options = {"device": "cpu", "folder": folder, "data": tiny_data()}
        for step in train(LONG, checkpoint_every=every, **options):  # type: ignore[arg-type]
            report(step.step)
            if step.step == steps:
                return

    return work


def kill_training(folder: Path) -> None:
    """Kill a training run, whose every step ends with a checkpoint, at random moments."""
    rng = random.Random(0)
    start = time.perf_counter()
    forked(training(folder / "first", steps=10))  # what a start and ten steps take just now
    longest = time.perf_counter() - start
    tries = []
    for _ in range(KILLS):
        before = saved_step(folder)
        steps, ending = forked(training(folder), rng.uniform(0, longest))
        left = sorted(path.name for path in folder.iterdir() if path.name != "first")
        tries.append({
            "before": before, "steps": steps, "ending": ending,
            "after": saved_step(folder), "left": left,
        })  # fmt: skip
    last = saved_step(folder) + 1
    forked(training(folder, steps=last))
    forked(training(folder / "undisturbed", every=last, steps=last))
    print(json.dumps({"tries": tries, "last": last}))


def kill_download(folder: Path, mirror: str) -> None:
    """Kill a download at random moments, then let it end."""
    rng = random.Random(0)

    def work(report: Callable[[int], None]) -> None:
        fetch(DOWNLOAD, folder, mirrors=[mirror], progress=lambda done, *_: report(done))

    tries = [forked(work, rng.uniform(0, 0.4)) for _ in range(KILLS // 2)]
    print(json.dumps({"tries": tries, "last": forked(work)}))


def fill_disk(folder: Path, mirror: str) -> None:
    """Write each kind of file, then once more on a disk that takes no more than a part of it.

    The limit on a file's size stands for the disk: the system refuses to write past it.
    """
    noise = torch.randint(256, (50, 28, 28), dtype=torch.uint8)
    network, fields = TINY.build(), {"recipe": asdict(TINY)}
    averages = ledger.read_averages("digits-eps")
    assert averages is not None
    options = {"device": "cpu", "data": tiny_data(), "checkpoint_every": 1}
    writers: dict[str, tuple[Callable[[Path], object], int]] = {
        "checkpoint": (lambda place: next(train(LONG, folder=place, **options)), 99_999),  # type: ignore[arg-type]
        "weights": (lambda place: save_network(network, fields, place), 9_999),
        "card": (lambda place: save_network(network, {"recipe": "x" * 10**6}, place), 999_999),
        "gallery": (lambda place: save_gallery(place / "gallery.png", noise), 9_999),
        "averages": (lambda place: ledger.write_averages(averages, place.parent), 99),
        "download": (lambda place: fetch(DOWNLOAD, place, mirrors=[mirror]), 9_999),
    }
    for name, (write, limit) in writers.items():
        place = folder / (averages.name if name == "averages" else name)
        place.mkdir()

        def fresh(_: object, write: Callable[[Path], object] = write, place: Path = place) -> None:
            write(place)

        def hampered(_: object, work: Work = fresh, limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            work(_)

        # A file that was downloaded is not downloaded again, so here the disk is full at once.
        endings = [] if name == "download" else [forked(fresh)[1]]
        before = contents(place)
        endings += [forked(hampered)[1]]
        after = contents(place)
        endings += [forked(fresh)[1]]
        report = {"name": name, "before": before, "after": after, "endings": endings}
        print(json.dumps(report | {"end": sorted(contents(place))}))


def contents(folder: Path) -> dict[str, str]:
    """The hash of each file, locks left out."""
    files = (path for path in folder.iterdir() if path.name != ".lock")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


if __name__ == "__main__":
    torch.set_num_threads(1)
    command, place, *rest = sys.argv[1:]
    tasks = {"training": kill_training, "download": kill_download, "disk": fill_disk}
    tasks[command](Path(place), *rest)
