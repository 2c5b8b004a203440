"""Killed processes, full disks, GPUs without memory: nothing half written, and the next goes on.

Work to be killed runs in forks of another process, `tests/core/faults.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from diffusion_core.checkpoints import load_module, save_network
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.discrete_sampling import NetworkDiscreteDenoiser
from diffusion_core.parameterization import EPS
from diffusion_core.recipes import RECIPES
from diffusion_core.training import CHECKPOINT
from tests.core.faults import DOWNLOAD, KILLS, SERVED
from tests.core.test_training import CATEGORIES
from tests.core.tiny import TINY

ROOT = Path(__file__).resolve().parents[2]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def reports(*arguments: object) -> list[Any]:
    """What `tests.core.faults` printed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.faults", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- killed processes -----------------------------------------------------------------------------


@needs_fork
def test_training_killed_at_fifty_random_moments_goes_on_bit_for_bit(tmp_path: Path) -> None:
    (report,) = reports("training", tmp_path)
    assert len(report["tries"]) == KILLS
    for before, after in zip(report["tries"], report["tries"][1:], strict=False):
        assert before["after"] == after["before"]
    for one in report["tries"]:
        assert one["ending"] == "killed"
        steps = one["steps"] or [one["before"]]  # none is reported where the kill came early
        assert steps == list(range(steps[0], steps[0] + len(steps)))
        assert steps[0] - one["before"] in (0, 1)
        assert one["after"] - steps[-1] in (0, 1)  # a step is saved, then reported
        assert set(one["left"]) <= {CHECKPOINT, f".{CHECKPOINT}.part"}
    assert report["last"] > KILLS // 4  # it did get on
    assert {path.name for path in tmp_path.iterdir()} == {CHECKPOINT, "first", "undisturbed"}
    killed, whole = (load_file(f / CHECKPOINT) for f in (tmp_path, tmp_path / "undisturbed"))
    assert killed.keys() == whole.keys()
    for key, value in killed.items():
        assert torch.equal(value, whole[key]), key


class Slow(BaseHTTPRequestHandler):
    """Serves one file, with pauses; notes where each request began."""

    begun: list[int]

    def log_message(self, *_: object) -> None:
        """Keep the tests quiet."""

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.begun.append(start)
        self.send_response(206 if start else 200)
        if start:
            last = len(SERVED) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(SERVED)}")
        self.send_header("Content-Length", str(len(SERVED) - start))
        self.end_headers()
        with suppress(ConnectionError):
            for at in range(start, len(SERVED), 4096):
                self.wfile.write(SERVED[at : at + 4096])
                time.sleep(0.005)


@pytest.fixture
def mirror() -> Iterator[tuple[str, list[int]]]:
    begun: list[int] = []
    handler = type("Noted", (Slow,), {"begun": begun})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", begun
        server.shutdown()
        thread.join()


@needs_fork
def test_a_download_killed_again_and_again_goes_on(
    tmp_path: Path, mirror: tuple[str, list[int]]
) -> None:
    url, begun = mirror
    (report,) = reports("download", tmp_path, url)
    assert {ending for _, ending in report["tries"]} <= {"killed", "done"}
    assert report["last"][1] == "done"
    assert begun == sorted(begun)  # no byte is thrown away
    assert begun[-1] > 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{DOWNLOAD.name}.gz", ".lock"}
    assert (tmp_path / f"{DOWNLOAD.name}.gz").read_bytes() == SERVED


# --- full disks -----------------------------------------------------------------------------------


@needs_fork
def test_a_full_disk_costs_nothing_that_was_there(
    tmp_path: Path, mirror: tuple[str, list[int]]
) -> None:
    found = {report["name"]: report for report in reports("disk", tmp_path, mirror[0])}
    assert found.keys() == {"checkpoint", "weights", "card", "gallery", "averages", "download"}
    for name, report in found.items():
        *before, full, again = report["endings"]
        assert [*before, again] == ["done"] * (len(before) + 1), report
        assert "File too large" in full, report
        if name == "download":  # what was fetched is kept to go on from
            assert report["before"] == {}
            assert report["after"].keys() <= {f"{DOWNLOAD.name}.gz.part"}
            assert "make room" in full
        else:
            assert report["before"]
            assert report["after"] == report["before"]
        assert not [file for file in report["end"] if file.endswith(".part")]


# --- a GPU without memory -------------------------------------------------------------------------


class Hungry(nn.Module):
    """Stands for a network on a GPU that has room for so many examples at once."""

    def __init__(self, inner: nn.Module, room: int) -> None:
        super().__init__()
        self.inner, self.room, self.asked = inner, room, list[int]()

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        self.asked.append(len(x))
        if len(x) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        output: Tensor = self.inner(x, t, label)
        return output


@pytest.mark.parametrize("labelled", [False, True])
def test_a_batch_too_large_for_the_gpu_is_asked_in_parts(labelled: bool) -> None:
    torch.manual_seed(0)
    inner, generator = TINY.build().eval(), torch.Generator().manual_seed(0)
    for value in inner.parameters():  # untrained it would answer 0
        nn.init.normal_(value, std=0.1, generator=generator)
    x_t, t = torch.randn(7, 1, 28, 28, generator=generator), torch.arange(1, 8)
    label = torch.arange(7) if labelled else None
    hungry = Hungry(inner, 2)
    whole, parts = (NetworkDenoiser(m, TINY.diffusion, EPS)(x_t, t, label) for m in (inner, hungry))
    torch.testing.assert_close(parts, whole)
    assert hungry.asked == [7, 4, 2, 2, 3, 2, 1]


def test_a_batch_of_categories_too_large_for_the_gpu_is_asked_in_parts() -> None:
    inner = CATEGORIES.build().eval()
    x_t, t = torch.full((5, 28, 28), 4), torch.arange(1, 6)
    diffusion = CATEGORIES.discrete_diffusion
    whole, parts = (
        NetworkDiscreteDenoiser(m, diffusion)(x_t, t) for m in (inner, Hungry(inner, 2))
    )
    torch.testing.assert_close(parts, whole)


def test_no_room_for_one_example_is_a_sentence() -> None:
    denoiser = NetworkDenoiser(Hungry(TINY.build(), 0), TINY.diffusion, EPS)
    with pytest.raises(MemoryError, match="has no memory left, not even for one") as error:
        denoiser(torch.zeros(3, 1, 28, 28), torch.tensor([1, 2, 3]))
    assert str(error.value).endswith(".")


def test_a_network_that_does_not_fit_on_the_gpu_goes_to_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPES["classifier"]
    save_network(recipe.build(), {"recipe": asdict(recipe)}, tmp_path / "classifier")
    move = nn.Module.to

    def full(module: nn.Module, place: object) -> nn.Module:
        if place == torch.device("meta"):  # a device that every machine has
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return move(module, place)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(nn.Module, "to", full)
    with pytest.warns(UserWarning, match="it runs on the CPU"):
        module, _ = load_module("classifier", "meta", tmp_path)
    assert {p.device.type for p in module.parameters()} == {"cpu"}
