"""What the player's planes send to the browser."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from pages.shared.cloud import Cloud, Strokes, Word, pack_clouds
from pages.shared.player import _join, _pack

POINTS = np.arange(3 * 5 * 2, dtype=float).reshape(3, 5, 2)


def test_the_bytes_are_what_was_given_in_the_order_in_which_they_are_read() -> None:
    """player_cloud.js takes points, arrows, strong arrows and shade, each from a multiple of 4."""
    arrows, strong = np.ones((3, 7, 4)), np.zeros((3, 1, 4))
    shade = np.arange(3 * 5 * 5, dtype=np.uint8).reshape(3, 5, 5)
    cloud = Cloud("c", "a cloud", POINTS, density=shade, arrows=arrows, strong=strong, trails=2,
                  fresh=3)  # fmt: skip
    header, blobs = _pack([], ["a", "b", "c"], [], [], 0, 10, [cloud, Cloud("d", "", POINTS)])
    data = _join(header, blobs)
    (length,) = struct.unpack_from("<I", data)
    full, bare = json.loads(data[4 : 4 + length])["clouds"]
    assert (full["points"], full["arrows"], full["strong"]) == (5, 7, 1)
    assert (full["shadeH"], full["shadeW"], full["w"], full["trails"]) == (5, 5, 12, 2)
    assert full["fresh"] == 3
    assert (bare["arrows"], bare["strong"], bare["shadeH"]) == (0, 0, 0)
    at = 4 + length
    for array in (POINTS, arrows, strong, shade, POINTS):
        read = np.frombuffer(data, "u1" if array is shade else "<i2", array.size, at)
        here = read.reshape(array.shape) * (1 if array is shade else 3.0 / full["units"])
        far = 4 * 3.0  # what lies further off than four times the border
        assert np.abs(here - array.clip(-far, far if array is not shade else 255)).max() < 2e-4
        at += -(-read.nbytes // 4) * 4
    assert at == len(data)


@pytest.mark.parametrize("extent", [0.5, 3.0])
def test_places_are_sent_to_a_hundredth_of_a_pixel(extent: float) -> None:
    """And what has no place in the plane, or none at all, is not in it."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-extent, extent, (2, 500, 2))
    points[1, :3] = np.array([[np.nan, 0], [99 * extent, np.inf], [-np.inf, -99 * extent]])
    (header,), (blob, *_) = pack_clouds([Cloud("c", "", points, extent=extent)], 2)
    read = np.frombuffer(blob, "<i2").reshape(points.shape) / header["units"]
    pixels = 220 / 2  # from the middle of a large plane to its border
    assert np.abs(read - points / extent)[0].max() * pixels < 0.01
    assert np.abs(read[1, 3:] - points[1, 3:] / extent).max() * pixels < 0.01
    assert (np.abs(read[1, :3]).max(1) > 2).all()


def test_what_two_clouds_share_is_sent_with_the_first() -> None:
    shade, arrows = np.ones((3, 4, 4), np.uint8), np.ones((3, 2, 4))
    other = 2 * shade
    clouds = [
        Cloud("a", "", POINTS, density=other),
        Cloud("b", "", POINTS, density=shade, arrows=arrows),
        Cloud("c", "", POINTS, density=shade.copy(), arrows=arrows.copy()),
        Cloud("d", "", POINTS, density=other, arrows=2 * arrows),
    ]
    headers, blobs = pack_clouds(clouds, 3)
    assert [h["shadeOf"] for h in headers] == [0, 1, 1, 0]
    assert [h["arrowsOf"] for h in headers] == [0, 1, 1, 3]
    sizes = [len(blob) for blob in blobs]
    point, field = POINTS.size * 2, 3 * 2 * 4 * 2
    assert sizes == [point, 0, 0, 48, point, field, 0, 48, point, 0, point, field, 0]


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
        ({"strokes": [Strokes(np.zeros((3, 2, 4)), "red")]}, "no concepts"),
        ({"strokes": [Strokes(np.zeros((2, 2, 4)))]}, r"not \[3, M, 4\]"),
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
    assert [len(blob) for blob in blobs] == [POINTS.size * 2, 2 * 4 * 2, 0, 16]


def test_strokes_follow_the_shade_and_are_read_in_that_order() -> None:
    still, moving = np.ones((1, 2, 4)), np.arange(3 * 4, dtype=float).reshape(3, 1, 4)
    cloud = Cloud("c", "", POINTS, strokes=[Strokes(still, "q"), Strokes(moving, dash=(4, 4))])
    (header, _), blobs = pack_clouds([cloud, Cloud("d", "", POINTS)], 3)
    assert [(s["count"], s["frames"], s["color"], s["dash"]) for s in header["strokes"]] == [
        (2, 1, "q", []), (1, 3, "xt", [4, 4]),
    ]  # fmt: skip
    points = POINTS.size * 2
    assert [len(b) for b in blobs] == [points, 0, 0, 0, 16, 24, points, 0]  # nothing twice
    read = np.frombuffer(blobs[5], "<i2").reshape(moving.shape) * 3.0 / header["units"]
    np.testing.assert_allclose(read, moving, atol=1e-3)


def test_a_mark_stands_for_every_point_or_for_none() -> None:
    (plain, marked), _ = pack_clouds(
        [Cloud("a", "", POINTS), Cloud("b", "", POINTS, marks=" 0123")], 3
    )
    assert (plain["marks"], marked["marks"]) == ("", " 0123")
    with pytest.raises(ValueError, match="4 marks, 5 points"):
        pack_clouds([Cloud("c", "", POINTS, marks="0123")], 3)


def test_marks_have_a_hue_each_or_their_points() -> None:
    hues = ["p", "x0", "eps", "q", "bits"]
    (plain, hued), _ = pack_clouds(
        [Cloud("a", "", POINTS), Cloud("b", "", POINTS, marks=" 0123", hues=hues)], 3
    )
    assert (plain["hues"], hued["hues"]) == ([], hues)
    with pytest.raises(ValueError, match="1 hues, 5 marks"):
        pack_clouds([Cloud("c", "", POINTS, marks=" 0123", hues=["p"])], 3)
    with pytest.raises(ValueError, match="are no concepts"):
        pack_clouds([Cloud("d", "", POINTS, marks=" 0123", hues=["mauve"] * 5)], 3)


def test_rings_lines_and_words_travel_behind_the_rest() -> None:
    """player_cloud.js takes rings after the shade, then all lines frame by frame."""
    rings = np.full((3, 2, 2), np.nan)
    rings[1, 0] = [1.5, -1.5]
    lines = [np.ones((3, 4, 2)), np.zeros((3, 2, 2))]
    cloud = Cloud("c", "", POINTS, rings=rings, lines=[(lines[0], "p"), (lines[1], "q")],
                  words=(Word(1.5, 0, "one"), Word(0, 0, ["a", "b", "c"], "eps")))  # fmt: skip
    (header,), (*_, ringed, drawn) = pack_clouds([cloud], 3)
    assert (header["rings"], header["lines"]) == (2, [[4, "p"], [2, "q"]])
    assert [word["texts"] for word in header["words"]] == [["one"], ["a", "b", "c"]]
    assert header["words"][0]["x"] == header["units"] / 2
    there = np.frombuffer(ringed, "<i2").reshape(3, 2, 2) / header["units"]
    assert there[1, 0].tolist() == [0.5, -0.5]
    assert (there[[0, 2]] > 2).all()  # out of the picture
    np.testing.assert_allclose(
        np.frombuffer(drawn, "<i2").reshape(3, 6, 2) / header["units"],
        np.concatenate(lines, axis=1) / 3, atol=1e-4,
    )  # fmt: skip
    with pytest.raises(ValueError, match="neither one text nor 3"):
        pack_clouds([Cloud("c", "", POINTS, words=(Word(0, 0, ["a", "b"]),))], 3)
    with pytest.raises(ValueError, match="no concepts"):
        pack_clouds([Cloud("c", "", POINTS, lines=[(lines[0], "red")])], 3)
