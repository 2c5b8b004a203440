"""What the player's planes send to the browser."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from pages.shared.cloud import Cloud
from pages.shared.player import _join, _pack

POINTS = np.arange(3 * 5 * 2, dtype=float).reshape(3, 5, 2)


def test_the_bytes_are_what_was_given_in_the_order_in_which_they_are_read() -> None:
    """player_cloud.js takes points, arrows, strong arrows and shade, each from a multiple of 4."""
    arrows, strong = np.ones((3, 7, 4)), np.zeros((3, 1, 4))
    shade = np.arange(3 * 5 * 5, dtype=np.uint8).reshape(3, 5, 5)
    cloud = Cloud("c", "a cloud", POINTS, density=shade, arrows=arrows, strong=strong, trails=2)
    header, blobs = _pack([], ["a", "b", "c"], [], [], 0, 10, [cloud, Cloud("d", "", POINTS)])
    data = _join(header, blobs)
    (length,) = struct.unpack_from("<I", data)
    full, bare = json.loads(data[4 : 4 + length])["clouds"]
    assert (full["points"], full["arrows"], full["strong"]) == (5, 7, 1)
    assert (full["shadeH"], full["shadeW"], full["w"], full["trails"]) == (5, 5, 12, 2)
    assert (bare["arrows"], bare["strong"], bare["shadeH"]) == (0, 0, 0)
    at = 4 + length
    for array in (POINTS.astype("<f4"), arrows.astype("<f4"), strong.astype("<f4"), shade,
                  POINTS.astype("<f4")):  # fmt: skip
        assert data[at : at + array.nbytes] == array.tobytes()
        at += -(-array.nbytes // 4) * 4
    assert at == len(data)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"points": POINTS[:2]}, r"not \[3, M, 2\]"),
        ({"points": np.zeros((3, 5, 3))}, r"not \[3, M, 2\]"),
        ({"arrows": np.zeros((3, 5, 2))}, r"not \[3, M, 4\]"),
        ({"strong": np.zeros((2, 5, 4))}, r"not \[3, M, 4\]"),
        ({"density": np.zeros((3, 5, 5))}, r"not \[3, H, W\]"),
        ({"density": np.zeros((2, 5, 5), np.uint8)}, r"not \[3, H, W\]"),
        ({"trail": "red"}, "no concepts"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, object], sentence: str) -> None:
    cloud = Cloud(**({"title": "c", "alt": "", "points": POINTS} | changes))
    with pytest.raises(ValueError, match=sentence):
        _pack([], ["a", "b", "c"], [], [], 0, 3, [cloud])


def test_what_stands_still_is_sent_once() -> None:
    shade, arrows = np.ones((1, 4, 4), np.uint8), np.ones((1, 2, 4))
    cloud = Cloud("c", "", POINTS, density=shade, arrows=arrows)
    header, blobs = _pack([], ["a", "b", "c"], [], [], 0, 3, [cloud])
    assert (header["clouds"][0]["shades"], header["clouds"][0]["fields"]) == (1, 1)
    assert [len(blob) for blob in blobs] == [POINTS.size * 4, 2 * 4 * 4, 0, 16]
