"""A checkout whose networks are missing, or are not the ones on their cards.

Each is a copy of the project with another `pretrained/`, looked at by a process of its own: what
modules read once, at their import, is read there, too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOOK = """
import json, socket
from tests.app.test_pages import PAGES, open_page
asked = []
socket.socket.connect = lambda *address: asked.append(repr(address))
for name in PAGES:
    at = open_page(name)
    print(json.dumps({
        "page": name,
        "exceptions": [e.message for e in at.exception],
        "titles": len(at.title),
        "errors": [e.value for e in at.error],
        "links": len(at.get("page_link")),
        "asked": asked,
        "sources": any(s.value == "Sources" for s in at.subheader),
    }), flush=True)
"""


def tampered(folder: Path) -> None:
    """One bit of each network is another."""
    for weights in folder.glob("*/weights.safetensors"):
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)


def other_cards(folder: Path) -> None:
    """The cards tell of other weights and other recipes."""
    for path in folder.glob("*/card.json"):
        card = json.loads(path.read_text())
        path.write_text(json.dumps(card | {"sha256": "0" * 64, "recipe": {}}))


def broken_cards(folder: Path) -> None:
    """The cards and the tables beside them are cut off."""
    for path in folder.glob("*/*.json"):
        path.write_text(path.read_text()[:40])


def missing(folder: Path) -> None:
    """Nothing is there, not even the folder."""
    shutil.rmtree(folder)


@pytest.mark.parametrize("harm", [missing, tampered, other_cards, broken_cards])
def test_each_page_says_what_is_wrong_and_offers_what_works(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    for name in ("pages", "diffusion_core", "pretrained", ".streamlit", "tests/app", "app.py"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "tests/__init__.py").touch()
    harm(tmp_path / "pretrained")
    done = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "DIFFUSION_DATA": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) > 10
    for report in reports:
        assert not report["exceptions"], report
        assert not report["asked"], report  # nothing is looked for in a network
        assert report["titles"] == 1, report
        assert all(text.endswith(".") and "Error" not in text for text in report["errors"]), report
        if report["page"] not in ("model_cards", "questions"):
            assert report["sources"] or report["links"], report
    said = {report["page"] for report in reports if report["errors"]}
    assert {"start", "reverse_sampling"} <= said
    assert not said & {"forward_process", "posterior", "notation", "transition_matrices"}
