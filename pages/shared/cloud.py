"""Points that move in a plane, over a density and a field of arrows: a panel of the player."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pages.shared.palette import COLORS

UNITS = 8000
"""Half as many bytes as numbers need: a two-hundredth of a pixel in a plane of 80 pixels."""
FARTHEST = 32000
"""What lies further off, four times as far as the border, is put there."""


@dataclass(frozen=True)
class Word:
    """A word in the plane.

    Attributes:
        x: Where its middle is.
        y: The same.
        text: What it says; where it changes with time, one text per frame.
        color: Its concept, a key of `COLORS`.
    """

    x: float
    y: float
    text: str | Sequence[str]
    color: str = "xt"


@dataclass(frozen=True)
class Strokes:
    """Straight strokes without heads: borders, axes, a curve in pieces.

    Attributes:
        places: float `[n, L, 4]`, or `[1, L, 4]`: where each begins, and how far it goes.
        color: The concept, a key of `COLORS`.
        width: In CSS pixels.
        dash: Lengths of strokes and gaps in CSS pixels; none is unbroken.
    """

    places: np.ndarray
    color: str = "xt"
    width: float = 1.5
    dash: tuple[float, ...] = ()


@dataclass(frozen=True)
class Cloud:
    r"""A square piece of the plane that changes with time.

    Attributes:
        title: Shown above it, as a panel's.
        alt: What a screen reader says.
        points: float `[n, M, 2]`; n frames beginning at `start`.
        color: The concept of title and points, a key of `COLORS`.
        row: As for a panel.
        extent: The plane is shown from -extent to extent, both ways.
        density: uint8 `[n, H, W]`, first row on top: how opaque the shade is; `[1, H, W]` where it
            is the same in all frames; None for no shade.
        shade: The density's concept.
        arrows: float `[n, K, 4]`, or `[1, K, 4]`: where each begins, and how far it goes; None for
            none. Of a field of more than a hundred every other is left out on a small plane; where
            there is one for each point none is.
        field: The arrows' concept.
        strong: float `[n, J, 4]` more arrows, drawn thick over the points; None for none.
        pull: The concept of those.
        trails: Of how many points, the first ones, the way so far is drawn.
        trail: The trails' concept.
        fresh: How many of the last steps of each way are drawn in full, the rest faint; 0: all.
        radius: Of a point, in CSS pixels.
        marks: One character per point, drawn in place of its dot; "" for dots.
        hues: The marks' concepts, one per point; none for the points' own.
        numbered: Whether those with a trail are numbered, from 1 on.
        rings: float `[n, R, 2]` places that get a ring; NaN for none.
        ring: The rings' concept.
        lines: float `[n, L, 2]` unbroken lines, each with its concept.
        words: What is written over all that.
        side: What the player takes for its height and width in pixels, to fit it into a row.
        strokes: Drawn under the points, the last on top.
        axes: What is counted to the right and upwards, written along the border with the whole
            numbers; "" for planes whose places have no unit.
    """

    title: str
    alt: str
    points: np.ndarray
    color: str = "xt"
    row: int = 0
    extent: float = 3.0
    density: np.ndarray | None = None
    shade: str = "q"
    arrows: np.ndarray | None = None
    field: str = "q"
    strong: np.ndarray | None = None
    pull: str = "q"
    trails: int = 0
    trail: str = "p"
    fresh: int = 0
    radius: float = 1.5
    marks: str = ""
    hues: Sequence[str] = ()
    numbered: bool = False
    rings: np.ndarray | None = None
    ring: str = "bits"
    lines: Sequence[tuple[np.ndarray, str]] = ()
    words: Sequence[Word] = ()
    side: int = 12
    strokes: Sequence[Strokes] = ()
    axes: tuple[str, str] = ("", "")


def pack_clouds(clouds: Sequence[Cloud], n: int) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Check clouds of n frames; return their part of the header, and their arrays as bytes.

    What two clouds have in common, a shade or a field of arrows, is sent with the first of them.

    Raises:
        ValueError: If shapes, types or concepts do not fit.
    """
    packed = [_pack_cloud(cloud, n) for cloud in clouds]
    blobs: list[bytes] = []
    for k, (header, arrays, strokes) in enumerate(packed):
        for name in ("arrows", "shade"):
            first = next(j for j in range(k + 1) if packed[j][1][name] == arrays[name])
            header[f"{name}Of"] = first
        blobs += [a for name, a in arrays.items() if header.get(f"{name}Of", k) == k]
        blobs += [_bytes(places) for places in strokes]
    return [header for header, _, _ in packed], blobs


def _pack_cloud(cloud: Cloud, n: int) -> tuple[dict[str, Any], dict[str, bytes], list[np.ndarray]]:
    colors = {cloud.color, cloud.shade, cloud.field, cloud.pull, cloud.trail, cloud.ring}
    colors |= {color for _, color in cloud.lines} | {word.color for word in cloud.words}
    colors |= {stroke.color for stroke in cloud.strokes} | {*cloud.hues}
    if not colors <= set(COLORS):
        raise ValueError(f"{colors - set(COLORS)} are no concepts; they are {', '.join(COLORS)}")
    nothing = np.zeros((n, 0, 4), np.float32)
    points = _numbers(cloud, cloud.points, n, 2)
    arrows = nothing if cloud.arrows is None else cloud.arrows
    arrows = _numbers(cloud, arrows, 1 if len(arrows) == 1 else n, 4)
    strong = _numbers(cloud, nothing if cloud.strong is None else cloud.strong, n, 4)
    shade = np.zeros((n, 0, 0), np.uint8) if cloud.density is None else cloud.density
    if shade.dtype != np.uint8 or shade.ndim != 3 or len(shade) not in {1, n}:
        raise ValueError(f"cloud {cloud.title!r}: {shade.dtype} {shade.shape}, not [{n}, H, W]")
    if len(cloud.marks) not in {0, points.shape[1]}:
        raise ValueError(
            f"cloud {cloud.title!r}: {len(cloud.marks)} marks, {points.shape[1]} points"
        )
    if len(cloud.hues) not in {0, len(cloud.marks)}:
        raise ValueError(f"cloud {cloud.title!r}: {len(cloud.hues)} hues, {len(cloud.marks)} marks")
    rings = _numbers(cloud, np.zeros((n, 0, 2)) if cloud.rings is None else cloud.rings, n, 2)
    lines = [_numbers(cloud, line, n, 2) for line, _ in cloud.lines]
    words = [
        {"x": round(word.x * UNITS / cloud.extent), "y": round(word.y * UNITS / cloud.extent),
         "texts": [word.text] if isinstance(word.text, str) else list(word.text),
         "color": word.color}
        for word in cloud.words
    ]  # fmt: skip
    if any(len(word["texts"]) not in {1, n} for word in words):
        raise ValueError(f"cloud {cloud.title!r}: a word has neither one text nor {n}")
    strokes = [_numbers(cloud, s.places, 1 if len(s.places) == 1 else n, 4) for s in cloud.strokes]
    header = {
        "title": cloud.title, "alt": cloud.alt, "color": cloud.color, "row": cloud.row,
        "marks": cloud.marks, "hues": list(cloud.hues),
        "units": UNITS, "shade": cloud.shade, "field": cloud.field, "pull": cloud.pull,
        "trails": cloud.trails, "trail": cloud.trail, "fresh": cloud.fresh,
        "radius": cloud.radius,
        "w": cloud.side, "h": cloud.side, "points": points.shape[1], "arrows": arrows.shape[1],
        "strong": strong.shape[1], "shadeH": shade.shape[1], "shadeW": shade.shape[2],
        "shades": len(shade), "fields": len(arrows), "numbered": cloud.numbered,
        "rings": rings.shape[1], "ring": cloud.ring, "words": words,
        "lines": [[line.shape[1], color]
                  for line, (_, color) in zip(lines, cloud.lines, strict=True)],
        "axes": list(cloud.axes), "extent": cloud.extent,
        "strokes": [
            {"count": len(p[0]), "frames": len(p), "color": s.color, "width": s.width,
             "dash": list(s.dash)}
            for s, p in zip(cloud.strokes, strokes, strict=True)
        ],
    }  # fmt: skip
    arrays = {"points": points, "arrows": arrows, "strong": strong, "shade": shade}
    if rings.size:
        arrays["ringed"] = rings
    if lines:
        arrays["drawn"] = np.concatenate(lines, axis=1)
    return header, {name: _bytes(a) for name, a in arrays.items()}, strokes


def _bytes(a: np.ndarray) -> bytes:
    return np.ascontiguousarray(a).tobytes()


def _numbers(cloud: Cloud, values: np.ndarray, n: int, size: int) -> np.ndarray:
    """Places as whole numbers, `UNITS` from the middle of the plane to its border."""
    if values.ndim != 3 or len(values) != n or values.shape[2] != size:
        raise ValueError(f"cloud {cloud.title!r}: {values.shape}, not [{n}, M, {size}]")
    units = np.rint(np.asarray(values, np.float32) * np.float32(UNITS / cloud.extent))
    return np.nan_to_num(units, nan=FARTHEST).clip(-FARTHEST, FARTHEST).astype("<i2")
