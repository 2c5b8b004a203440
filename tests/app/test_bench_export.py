"""A run taken away: what is in the files is what was on the page."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffusion_core import checkpoints
from pages.shared import bench, run_export
from pages.shared.bench import Rule, Start
from tests.app.test_bench import stub

START = Start("each", 4, 3, 4)
RULES = [Rule(), Rule(1.0, "beta", 0.8, True, False, 2, early=True)]
TIMES = [50, 38, 25, 12, 0]
NAMES = [rule.name for rule in RULES]


@pytest.fixture(scope="module")
def shots() -> list[list[bench.Shot]]:
    return list(bench.run(stub(), START, RULES))


def test_the_times_are_those_of_the_run(shots: list[list[bench.Shot]]) -> None:
    assert [shot[0].numbers.t for shot in shots] == bench.stops(stub(), START.steps)
    assert len(TIMES) == len(shots)


def test_the_gif_has_every_frame_and_ends_on_the_picture(shots: list[list[bench.Shot]]) -> None:
    picture = Image.open(io.BytesIO(run_export.gif(shots, TIMES)))
    assert picture.n_frames == len(shots)
    picture.seek(len(shots) - 1)
    frame = np.asarray(picture.convert("L")).astype(int)
    side = 2 * shots[-1][0].x_t.shape[0]
    top, left = run_export._BAR, run_export._GAP
    shown = frame[top : top + side : 2, left : left + side : 2]
    assert np.abs(shown - shots[-1][0].x_t).max() <= 1
    long = run_export.gif(shots * 60, [*range(300)])
    assert Image.open(io.BytesIO(long)).n_frames <= run_export.MOST_GIF_FRAMES


def test_the_strip_goes_from_noise_to_picture(shots: list[list[bench.Shot]]) -> None:
    picture = np.asarray(Image.open(io.BytesIO(run_export.strip(shots, TIMES, NAMES))))
    side, gap = shots[0][0].x_t.shape[0], run_export._GAP
    top = run_export._BAR
    assert np.array_equal(picture[top : top + side, gap : gap + side], shots[0][0].x_t)
    last = gap + 4 * (side + gap)
    assert np.array_equal(picture[top : top + side, last : last + side], shots[-1][0].x_t)


@pytest.mark.parametrize(("count", "most"), [(1, 9), (2, 9), (9, 9), (51, 9), (201, 101)])
def test_picked_frames_hold_both_ends(count: int, most: int) -> None:
    picked = run_export.spread(count, most)
    assert picked[0] == 0
    assert picked[-1] == count - 1
    assert len(picked) == len(set(picked)) == min(count, most)


def test_the_csv_says_what_the_table_says(shots: list[list[bench.Shot]]) -> None:
    rows = list(csv.DictReader(io.StringIO(run_export.table(shots, NAMES))))
    assert len(rows) == len(shots) * len(RULES)
    for row, shot in zip(rows, [s[r] for r in range(2) for s in shots], strict=True):
        for key, value in shot.numbers._asdict().items():
            told = None if row[key] == "" else float(row[key])
            assert told == (None if value is None else pytest.approx(value, rel=1e-6))


def code(**more: Any) -> run_export.Recipe:
    given = {"start": START, "rules": RULES, "networks": ["tiny"] * 2, "hashes": ["ab"] * 2}
    return run_export.Recipe(**(given | more))


def same_pictures(folder: Path, shots: list[list[bench.Shot]]) -> None:
    for row in range(len(shots[-1])):
        made = np.asarray(Image.open(folder / f"run_{row + 1}.png"))
        side = round(START.count**0.5)
        tiles = made.reshape(side, 28, side, 28).swapaxes(1, 2).reshape(-1, 28, 28)
        assert np.array_equal(bench.sheet(tiles), shots[-1][row].x_t)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder to run in; every network asked for is the stub."""
    monkeypatch.chdir(tmp_path)
    card = checkpoints.Card("tiny", tmp_path, {"sha256": "ab"})
    monkeypatch.setattr(checkpoints, "load", lambda name: (stub(), card))
    return tmp_path


def test_the_script_makes_the_run_again(
    tiny: Path, shots: list[list[bench.Shot]], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(code().script(), "script.py", "exec"), {})
    same_pictures(tiny, shots)
    told = capsys.readouterr().out
    assert told.count("t = ") == len(shots) * len(RULES)
    assert "will differ" not in told


def test_the_script_says_when_the_weights_have_changed(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(code(hashes=["cd"] * 2).script(), "script.py", "exec"), {})
    assert "will differ" in capsys.readouterr().out


def test_the_notebook_makes_the_run_again(tiny: Path, shots: list[list[bench.Shot]]) -> None:
    book = json.loads(code().notebook())
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    assert book["cells"][0]["cell_type"] == "markdown"
    space: dict[str, Any] = {}
    for cell in book["cells"][1:]:
        exec("".join(cell["source"]), space)
    same_pictures(tiny, shots)
    assert book["cells"][-1]["source"] == ["sheet"]  # what the notebook shows


@pytest.mark.parametrize("digit", ["any", "7"])
@pytest.mark.parametrize("sampler", ["ddpm", "heun", "dpmpp_2m"])
def test_the_script_knows_every_sampler_and_class(tiny: Path, digit: str, sampler: str) -> None:
    start, rules = START._replace(digit=digit), [Rule(sampler=sampler, rederive=False)]
    script = code(start=start, rules=rules).script()
    exec(compile(script, "script.py", "exec"), {})
    same_pictures(tiny, list(bench.run(stub(), start, rules)))


def test_with_the_shipped_network_the_script_draws_the_same_digits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    denoiser, card = checkpoints.load("digits-eps")
    rules = [Rule(1.0)]
    script = run_export.Recipe(START, rules, [card.name], [card.fields["sha256"]]).script()
    exec(compile(script, "script.py", "exec"), {})
    same_pictures(tmp_path, list(bench.run(denoiser, START, rules)))
