"""Points that move in a plane, over a density and a field of arrows: a panel of the player."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pages.shared.palette import COLORS

SIDE = 12  # of a cloud among clouds


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
            none.
        field: The arrows' concept.
        strong: float `[n, J, 4]` more arrows, drawn thick over the points; None for none.
        pull: The concept of those.
        trails: Of how many points, the first ones, the way so far is drawn.
        trail: The trails' concept.
        radius: Of a point, in CSS pixels.
        side: What the player takes for its height and width in pixels, to fit it into a row; where
            pictures stand in the same row, as many as they have.
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
    radius: float = 1.5
    side: int = SIDE


def pack_cloud(cloud: Cloud, n: int) -> tuple[dict[str, Any], list[bytes]]:
    """Check a cloud of n frames; return its part of the header, and its arrays as bytes.

    Raises:
        ValueError: If shapes, types or concepts do not fit.
    """
    colors = {cloud.color, cloud.shade, cloud.field, cloud.pull, cloud.trail}
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
    header = {
        "title": cloud.title, "alt": cloud.alt, "color": cloud.color, "row": cloud.row,
        "extent": cloud.extent, "shade": cloud.shade, "field": cloud.field, "pull": cloud.pull,
        "trails": cloud.trails, "trail": cloud.trail, "radius": cloud.radius,
        "w": cloud.side, "h": cloud.side, "points": points.shape[1], "arrows": arrows.shape[1],
        "strong": strong.shape[1], "shadeH": shade.shape[1], "shadeW": shade.shape[2],
        "shades": len(shade), "fields": len(arrows),
    }  # fmt: skip
    return header, [a.tobytes() for a in (points, arrows, strong, np.ascontiguousarray(shade))]


def _numbers(cloud: Cloud, values: np.ndarray, n: int, size: int) -> np.ndarray:
    found = np.ascontiguousarray(values, dtype="<f4")
    if found.ndim != 3 or len(found) != n or found.shape[2] != size:
        raise ValueError(f"cloud {cloud.title!r}: {found.shape}, not [{n}, M, {size}]")
    return found
