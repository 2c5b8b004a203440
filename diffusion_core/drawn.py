"""A noise schedule drawn by hand: points to a curve, and what to do with a drawing that is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from diffusion_core.schedules import NoiseSchedule

Point = tuple[float, float]
"""(t / T, alpha_bar)."""

LEAST_POINTS = 2
MOST_POINTS = 12
LEAST_DROP = 0.001
"""How far alpha_bar falls at least from one point to the next when a drawing is mended."""


class Mended(NamedTuple):
    """A drawing that is a schedule.

    Attributes:
        points: increasing in t / T up to 1, falling in alpha_bar; the start (0, 1) is left out.
        notes: what was changed, one sentence each.
    """

    points: list[Point]
    notes: list[str]


def from_points(points: Sequence[Point], T: int, name: str = "drawn") -> NoiseSchedule:
    r"""The schedule whose alpha_bar runs smoothly from 1 through the points, never rising.

    $$m_i = \frac{w_1 + w_2}{w_1/d_{i-1} + w_2/d_i}, \qquad
    w_1 = 2h_i + h_{i-1}, \qquad w_2 = h_i + 2h_{i-1}$$

    Source: Fritsch & Butland 1984, as in MATLAB's and SciPy's pchip: a cubic on each interval h_i,
    whose slope m_i at a point is a weighted harmonic mean of the slopes d on both sides.

    Args:
        points: (t / T, alpha_bar), increasing and falling; the last at t / T = 1, where alpha_bar
            may be 0. The start (0, 1) is implied.
        T: number of steps.
        name: what menus call it.

    Raises:
        ValueError: when the points are not that, or T < 1.
    """
    if T < 1:
        raise ValueError(f"a schedule needs at least one step, not {T}")
    u = np.array([0.0, *(p[0] for p in points)], dtype=np.float64)
    y = np.array([1.0, *(p[1] for p in points)], dtype=np.float64)
    if not (np.isfinite(u).all() and np.isfinite(y).all()):
        raise ValueError("a point is not a finite number")
    if not len(points) or u[-1] != 1 or (np.diff(u) <= 0).any():
        raise ValueError("the points must lie in order, from after t/T = 0 to t/T = 1")
    if (np.diff(y) >= 0).any() or y[-1] < 0:
        raise ValueError("alpha_bar must fall from 1 at every point, and not below 0")
    alpha_bar = _falling_cubic(u, y, np.arange(T + 1) / T)
    alpha_bar[0], alpha_bar[T] = 1.0, y[-1]
    return NoiseSchedule(name, torch.from_numpy(alpha_bar))


def _falling_cubic(
    x: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate strictly falling y over increasing x without rising anywhere."""
    h, d = np.diff(x), np.diff(y) / np.diff(x)
    slope = np.full_like(y, d[0])
    if len(h) > 1:
        w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
        slope[1:-1] = (w1 + w2) / (w1 / d[:-1] + w2 / d[1:])
        # At the ends a parabola through three points, unless it would rise.
        slope[0] = min(0.0, d[0] + h[0] * (d[0] - d[1]) / (h[0] + h[1]))
        slope[-1] = min(0.0, d[-1] + h[-1] * (d[-1] - d[-2]) / (h[-1] + h[-2]))
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(h) - 1)
    s = (at - x[i]) / h[i]
    rise = s * s * (3 - 2 * s)
    bend = s * (1 - s) * h[i] * ((1 - s) * slope[i] - s * slope[i + 1])
    value: NDArray[np.float64] = y[i] + rise * (y[i + 1] - y[i]) + bend
    return value


def read_points(text: str) -> list[Point]:
    """Points from text such as "0.25:0.9, 0.5:0.4, 1:0".

    Raises:
        ValueError: with a sentence that says what is wrong and where.
    """
    parts = [part for part in text.replace(";", ",").split(",") if part.strip()]
    if not parts:
        raise ValueError("There is no point in it.")
    if len(parts) > MOST_POINTS + 1:  # somebody may write the start (0, 1), too
        raise ValueError(f"It has {len(parts)} points; {MOST_POINTS} are the most.")
    points = []
    for number, part in enumerate(parts, 1):
        try:
            u, alpha_bar = (float(value) for value in part.split(":"))
        except ValueError:
            raise ValueError(f"Point {number} is not two numbers with a colon between.") from None
        if not (np.isfinite(u) and np.isfinite(alpha_bar)):
            raise ValueError(f"Point {number} is not finite.")
        points.append((u, alpha_bar))
    return points


def write_points(points: Sequence[Point]) -> str:
    """Points as text that `read_points` reads, to three decimals."""
    return ",".join(f"{round(u, 3):g}:{round(alpha_bar, 3):g}" for u, alpha_bar in points)


def mend_points(points: Sequence[Point]) -> Mended:
    """Make a schedule's points from any finite ones, changing as little as possible.

    Args:
        points: (t / T, alpha_bar), finite, in any order.

    Returns:
        Points that `from_points` takes, and a sentence for each kind of change.
    """
    notes: list[str] = []
    if any(not (0 <= u <= 1 and 0 <= v <= 1) for u, v in points):
        notes.append("A point lay outside of 0 … 1 and was moved to the edge.")
    inside = [(_hold(u), _hold(v)) for u, v in points]
    ordered = sorted(inside, key=lambda point: point[0])
    if ordered != inside:
        notes.append("The points were put in the order of time.")
    if any(u == 0 and v != 1 for u, v in ordered):
        notes.append("Every schedule starts at ᾱ = 1, so a point at t = 0 was left out.")
    by_time: dict[float, float] = {}
    for u, v in ordered:
        if u > 0:
            by_time.setdefault(u, v)
    if len(by_time) < sum(u > 0 for u, _ in ordered):
        notes.append("Of points at the same time the first was kept.")
    if 1.0 not in by_time:
        by_time[1.0] = 0.0
        notes.append("The curve stopped before t = T; it was drawn on to ᾱ = 0 there.")
    kept = list(by_time.items())
    if len(kept) < LEAST_POINTS:
        middle = _hold((1.0 + kept[0][1]) / 2)
        kept.insert(0, (0.5, middle))
        notes.append("Two points make a straight line; a third was put in its middle.")
    values = [v for _, v in kept]
    count = len(values)
    fallen: list[float] = []
    for v in values:  # never higher than the one before
        fallen.append(min(v, round((fallen[-1] if fallen else 1.0) - LEAST_DROP, 3)))
    # ... and high enough above 0 for those that follow
    fallen = [max(v, round((count - 1 - i) * LEAST_DROP, 3)) for i, v in enumerate(fallen)]
    if fallen != values:
        notes.append(
            "ᾱ has to fall from point to point: noise can't be taken away again. Where the curve "
            "rose or was flat, it now falls a little."
        )
    return Mended([(u, v) for (u, _), v in zip(kept, fallen, strict=True)], notes)


def _hold(value: float) -> float:
    """Into 0 … 1, at the three decimals that `write_points` keeps."""
    return round(min(max(value, 0.0), 1.0), 3)
