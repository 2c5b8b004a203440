"""Where the regions of two codes meet, as exact strokes in the plane."""

from __future__ import annotations

import numpy as np

FLAT = 1e-12


def meeting_lines(codes: np.ndarray, extent: float) -> np.ndarray:
    """The edges between the regions of points nearest to each code.

    Args:
        codes: [n, K, 2].
        extent: edges are cut off at the square from -extent to extent.

    Returns:
        float32 [n, K (K - 1) / 2, 4] where each begins, and how far it goes; of no length for two
        codes that are no neighbours.
    """
    one, other = np.triu_indices(codes.shape[1], 1)
    middle = (codes[:, one] + codes[:, other]) / 2
    # On the line's point p no third code k may be nearer: 2 p (e_k - e_i) <= |e_k|² - |e_i|².
    away = codes[:, None] - codes[:, one][:, :, None]
    square = np.square(codes).sum(-1)
    room = square[:, None] - square[:, one][:, :, None] - 2 * (middle[:, :, None] * away).sum(-1)
    along = _across(codes[:, other] - codes[:, one])
    return cut(middle, along, extent, 2 * (along[:, :, None] * away).sum(-1), room)


def level_lines(slope: np.ndarray, values: np.ndarray, extent: float) -> np.ndarray:
    """Where slope · x has certain values, as `meeting_lines`.

    Args:
        slope: [n, 2].
        values: [n, L].
        extent: as there.
    """
    foot = (values / np.square(slope).sum(-1, keepdims=True))[:, :, None] * slope[:, None]
    along = np.broadcast_to(_across(slope)[:, None], foot.shape)
    nothing = np.zeros((*foot.shape[:2], 0))
    return cut(foot, along, extent, nothing, nothing)


def cut(
    base: np.ndarray, along: np.ndarray, extent: float, rates: np.ndarray, room: np.ndarray
) -> np.ndarray:
    """The pieces of lines base + s · along in the square where rates · s <= room.

    Args:
        base: [n, L, 2].
        along: [n, L, 2], of length 1, or 0 for no line.
        extent: half the square's side.
        rates: [n, L, m].
        room: [n, L, m].

    Returns:
        float32 [n, L, 4], as `meeting_lines`.
    """
    rates = np.concatenate([rates, along, -along], -1)
    room = np.concatenate([room, extent - base, extent + base], -1)
    flat = np.abs(rates) < FLAT
    ends = room / np.where(flat, 1, rates)
    low = np.where(~flat & (rates < 0), ends, -np.inf).max(-1)
    high = np.where(~flat & (rates > 0), ends, np.inf).min(-1)
    gone = (flat & (room < -FLAT)).any(-1) | ~(low < high) | ~along.any(-1)
    low, high = (np.where(gone, 0, end)[..., None] for end in (low, high))
    pieces = np.concatenate([base + low * along, (high - low) * along], -1)
    return pieces.astype(np.float32)


def _across(way: np.ndarray) -> np.ndarray:
    """At right angles to vectors [..., 2], of length 1; 0 for none."""
    long = np.linalg.norm(way, axis=-1, keepdims=True)
    turned = np.stack([-way[..., 1], way[..., 0]], -1)
    return np.where(long > FLAT, turned / np.maximum(long, FLAT), 0.0)
