"""What the player and the canvas send to the browser, and what they accept from it."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from pages.shared import player as module
from pages.shared.canvas import parse_ink
from pages.shared.player import Curve, Histogram, Panel, _join, _pack, _parse_frame, player


def panel(**changes: object) -> Panel:
    fields = {"title": "$x_t$", "alt": "", "frames": np.zeros((3, 5, 7), np.uint8)} | changes
    return Panel(**fields)


def test_the_bytes_are_what_was_given() -> None:
    gray = np.arange(3 * 5 * 7, dtype=np.uint8).reshape(3, 5, 7)
    color = np.arange(3 * 2 * 2 * 3, dtype=np.uint8).reshape(3, 2, 2, 3)[:, ::-1]  # not contiguous
    curve, counts = np.linspace(0, 1, 10), np.arange(12.0).reshape(3, 4)
    header, blobs = _pack(
        [panel(frames=gray), panel(frames=color)],
        ["ä", "b", "c"],
        [Curve("c", curve), Curve("d", curve[:3])],
        [Histogram("h", "", counts)],
        start=4,
        total=10,
    )
    data = _join(header, blobs)
    (length,) = struct.unpack_from("<I", data)
    said = json.loads(data[4 : 4 + length])
    assert said["captions"] == ["ä", "b", "c"]
    assert [(p["h"], p["w"], p["c"]) for p in said["panels"]] == [(5, 7, 1), (2, 2, 3)]
    assert [(c["start"], c["n"]) for c in said["curves"]] == [(0, 10), (4, 3)]
    at = 4 + length
    for array in (gray, color, counts.astype("<f4"), curve.astype("<f4"), curve[:3].astype("<f4")):
        assert at % 4 == 0
        assert data[at : at + array.nbytes] == array.tobytes()
        at += -(-array.nbytes // 4) * 4
    assert at == len(data)


@pytest.mark.parametrize(
    ("panels", "curves", "histograms", "start", "sentence"),
    [
        ([panel(frames=np.zeros((3, 5, 7)))], [], [], 0, "not uint8"),
        ([panel(frames=np.zeros((3, 5, 7, 4), np.uint8))], [], [], 0, "not uint8"),
        ([panel(frames=np.zeros((2, 5, 7), np.uint8))], [], [], 0, "2 frames, 3 captions"),
        ([panel(color="red")], [], [], 0, "no concept"),
        ([panel()], [Curve("c", np.zeros(4))], [], 0, "curve 'c'"),
        ([panel()], [Curve("c", np.ones(3), lo=0, log=True)], [], 0, "logarithmic"),
        ([panel()], [Curve("c", np.ones(3), line=-1, log=True)], [], 0, "logarithmic"),
        ([panel()], [], [Histogram("h", "", np.zeros((2, 9)))], 0, "histogram 'h'"),
        ([panel()], [], [], 8, "do not fit"),
        ([panel()], [], [], -1, "do not fit"),
    ],
)
def test_what_does_not_fit_is_said(
    panels: list[Panel],
    curves: list[Curve],
    histograms: list[Histogram],
    start: int,
    sentence: str,
) -> None:
    with pytest.raises(ValueError, match=sentence):
        _pack(panels, ["a", "b", "c"], curves, histograms, start, 10)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rest": 10}, "rest at frame 10"),
        ({"rest": -1}, "rest at frame -1"),
        ({"ticks": [(0, "0"), (10, "1000")]}, "tick at frame 10"),
        ({"notes": ["a"]}, "1 notes, 3 captions"),
    ],
)
def test_options_that_do_not_fit_are_said(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        player([panel()], key="k", total=10, captions=["a", "b", "c"], **options)


@pytest.mark.parametrize("asked", [True, False])
def test_options_reach_the_browser(asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []

    def component(data: bytes, **_: object) -> dict[str, object]:
        sent.append(data)
        return {}

    monkeypatch.setattr(module, "_component", component)
    values = np.array([1, np.nan, 3])
    options = {"rest": 2, "notes": ["", "n", ""], "ticks": [(1, "100")], "beside": True}
    curve = {"line": 1.0, "log": True, "ghost": True, "dash": "7 5"}
    player(
        [panel(badge="broken") if asked else panel()],
        key="k",
        total=10,
        captions=["a", "b", "c"],
        curves=[Curve("c", values, **curve) if asked else Curve("c", values)],
        **(options if asked else {}),
    )
    (length,) = struct.unpack_from("<I", sent[0])
    said = json.loads(sent[0][4 : 4 + length], parse_constant=pytest.fail)  # no NaN in it
    found = {name: said[name] for name in options}, said["panels"][0]["badge"]
    of_curve = {name: said["curves"][0][name] for name in curve}
    if asked:
        assert found == (options | {"ticks": [[1, "100"]]}, "broken")
        assert of_curve == curve
    else:
        assert found == ({"rest": None, "notes": [], "ticks": [], "beside": False}, "")
        assert of_curve == {"line": None, "log": False, "ghost": False, "dash": ""}
    assert sent[0].endswith(values.astype("<f4").tobytes())


@pytest.mark.parametrize(
    ("value", "frame"),
    [
        ({"run": "a", "index": 3}, 3),
        ({"run": "a", "index": 0}, 0),
        ({"run": "b", "index": 3}, None),
        ({"run": "a", "index": 10}, None),
        ({"run": "a", "index": -1}, None),
        ({"run": "a", "index": True}, None),
        ({"run": "a", "index": 3.0}, None),
        ({"run": "a"}, None),
        (3, None),
        (None, None),
    ],
)
def test_a_reported_frame_is_checked(value: object, frame: int | None) -> None:
    assert _parse_frame(value, "a", 10) == frame


def test_ink() -> None:
    pixels = [0] * 783 + [255]
    ink = parse_ink({"sheet": "s", "pixels": pixels}, "s", 28)
    assert ink is not None
    assert (ink.dtype, ink.shape, ink[27, 27], ink.sum()) == (np.uint8, (28, 28), 255, 255)


@pytest.mark.parametrize(
    "message",
    [
        None,
        "ink",
        [0] * 784,
        {"sheet": "s"},
        {"sheet": "other", "pixels": [0] * 784},
        {"sheet": "s", "pixels": [0] * 783},
        {"sheet": "s", "pixels": [0] * 10_000},
        {"sheet": "s", "pixels": "0" * 784},
        {"sheet": "s", "pixels": [0] * 783 + [256]},
        {"sheet": "s", "pixels": [0] * 783 + [-1]},
        {"sheet": "s", "pixels": [0] * 783 + [0.5]},
        {"sheet": "s", "pixels": [0] * 783 + [None]},
        {"sheet": "s", "pixels": [0] * 783 + [True]},
    ],
)
def test_what_is_no_ink_is_ignored(message: object) -> None:
    assert parse_ink(message, "s", 28) is None
