"""ILVR with the digits' network, and on two pixels where all is known, in arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from diffusion_core.datasets import to_uint8, to_unit
from diffusion_core.denoisers import Denoiser, NetworkDenoiser
from diffusion_core.ilvr import (
    as_matrix,
    gaussian_denoiser,
    given_coarse,
    ilvr,
    ilvr_law,
    low_pass,
)
from diffusion_core.schedules import evenly_spaced
from pages.shared import bench
from pages.shared.first_look import remembering
from pages.shared.score_world import OPAQUE, SHADES, diffusion, grid

BLOCKS = (1, 2, 4, 7, 14, 28)
FREE = 1000  # held until then: not at all
HELD = (0, 100, 250, 500, 750, FREE)
STEPS = 50
COUNT = 9

# --- digits ---------------------------------------------------------------------------------------


class Measured(NamedTuple):
    """What came out of ILVR for twenty digits of the gallery, three times each; seed 0, 50 steps.

    Attributes:
        recognised: share in which the classifier sees the reference's digit.
        variety: of the three of one reference, on average.
        faint: share of pixels that are neither ink nor black: 1.5 to 25 % of white.
        gap: root mean square difference of their low-pass from the reference's.
    """

    recognised: float
    variety: float
    faint: float
    gap: float


BY_BLOCK: dict[int, Measured] = {
    1: Measured(1.0, 0.0, 0.04, 0.0),
    2: Measured(1.0, 0.02, 0.07, 0.0),
    4: Measured(0.73, 0.19, 0.13, 0.0),
    7: Measured(0.20, 0.36, 0.21, 0.0),
    14: Measured(0.13, 0.44, 0.34, 0.0),
    28: Measured(0.15, 0.46, 0.25, 0.0),
}
"""Held to the end."""
BY_END: dict[int, Measured] = {
    0: BY_BLOCK[4],
    100: Measured(0.75, 0.20, 0.05, 0.06),
    250: Measured(0.72, 0.22, 0.04, 0.11),
    500: Measured(0.58, 0.28, 0.04, 0.18),
    750: Measured(0.38, 0.41, 0.04, 0.32),
    FREE: Measured(0.08, 0.49, 0.04, 0.46),
}
"""N = 4, by the last t that is held."""
WITHOUT_NOISE = Measured(0.67, 0.19, 0.13, 0.0)
"""N = 4, to the end."""
LEFT = {"bicubic": 0.27, "bilinear": 0.38}
"""Of other resizes' coarse difference, what one exchange leaves: root mean square over it."""
TOLD_EIGHT = 0.89
"""N = 7, held until 250, all told to be an eight: share seen as one, of references that are none.

`tests/app/test_ilvr_page.py` makes all of these anew, of sixty pictures each.
"""


class Shot(NamedTuple):
    """What is shown of one stop.

    Attributes:
        x_t: uint8 [H, W] sheet.
        x0: the same of the digits that the network sees in it; in the end of what they are.
        gap: root mean square difference of their low-pass from the reference's.
        faint: share of its pixels that are neither ink nor black, as in `Measured`.
        usual: the same of the walk it is compared with, from the same noise; None where it is none.
    """

    x_t: np.ndarray
    x0: np.ndarray
    gap: float
    faint: float
    usual: Shot | None = None


class Asked(NamedTuple):
    """How the walk is held.

    Attributes:
        N: pixels a side of a block.
        last: the last t that is held; 0 holds to the end, `FREE` holds none.
        told: the class that the network is told, or None.
        noised: whether the reference gets noise.
        seed: of all noise.
    """

    N: int
    last: int
    told: int | None
    noised: bool
    seed: int

    def usual(self) -> Asked:
        """What it is compared with: the same but for one thing, or itself where there is nothing.

        No class, if it is told one; else with noise, if it has none; else to the end.
        """
        if self.told is not None:
            return self._replace(told=None)
        return self._replace(last=0) if self.noised else self._replace(noised=True)


def held(denoiser: NetworkDenoiser, reference: np.ndarray, asked: Asked) -> Iterator[Shot]:
    """`COUNT` digits held to one reference, uint8 [28, 28]; a shot for each of STEPS + 1 stops.

    Where there is something to compare them with (`Asked.usual`), that goes along.
    """
    network = remembering(denoiser, denoiser, denoiser.diffusion.T)
    walk = _held(denoiser, network, reference, asked)
    if asked == asked.usual():
        yield from walk
        return
    for shot, usual in zip(walk, _held(denoiser, network, reference, asked.usual()), strict=True):
        yield shot._replace(usual=usual)


def _held(
    denoiser: NetworkDenoiser, network: Denoiser, reference: np.ndarray, asked: Asked
) -> Iterator[Shot]:
    generator = torch.Generator().manual_seed(asked.seed)
    x_T = torch.randn(COUNT, 1, 28, 28, generator=generator)
    y = to_unit(torch.from_numpy(reference)[None])
    coarse = low_pass(y, asked.N)
    walk = ilvr(
        denoiser.diffusion, network, y, x_T, evenly_spaced(denoiser.diffusion.T, STEPS),
        N=asked.N, last=asked.last, noised=asked.noised, generator=generator,
        label=None if asked.told is None else torch.full((COUNT,), asked.told),
    )  # fmt: skip
    for stop in walk:
        x0 = stop.x_t if stop.prediction is None else stop.prediction.x0
        gap = (low_pass(x0, asked.N) - coarse).square().mean().sqrt()
        yield Shot(bench.sheet_of(stop.x_t), bench.sheet_of(x0), float(gap), faint(x0))


def faint(x0: Tensor) -> float:
    """The share of pixels that are neither ink nor black: 1.5 to 25 % of white."""
    images = to_uint8(x0)
    return float(((images > 3) & (images < 64)).double().mean())


def both(reference: np.ndarray, N: int) -> np.ndarray:
    """The reference above what is held of it: uint8 [59, 28].

    Args:
        reference: uint8 [28, 28].
        N: as in `Asked`.
    """
    coarse = to_uint8(low_pass(to_unit(torch.from_numpy(reference)[None]), N))[0].numpy()
    return np.concatenate([reference, np.full((3, 28), 127, np.uint8), coarse])


# --- two pixels -----------------------------------------------------------------------------------

WIDTHS = (1.0, 0.3)
GRAY = 0.8
PIXEL_STEPS, EVERY = 100, 2
WALKERS = 300
REACH = 2.7
ENDS: dict[int, tuple[float, float, float]] = {
    25: (1.19, 0.41, 0.61), 100: (1.22, 0.38, 0.66), 1000: (1.23, 0.37, 0.69)
}  # fmt: skip
"""By the number of steps: where ILVR ends, left and right mean, spread of left minus right."""
BARE: dict[int, float] = {25: 0.594, 100: 0.655, 1000: 0.686}
"""The spread, if the reference gets no noise."""
NOISY: dict[int, float] = {25: 0.606, 100: 0.658, 1000: 0.686}
"""The spread, if it does, to as many digits."""
KNOWING: tuple[float, float, float] = (1.47, 0.13, 0.57)
"""Where 1,000 steps end if the denoiser knows the mean gray; tests compute all of these anew."""


def shown() -> list[int]:
    """The times of the stops that are shown, T first and 0 last."""
    return [*evenly_spaced(diffusion().T, PIXEL_STEPS), 0][::EVERY]


def pixels() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean [2], covariance [2, 2], low-pass [2, 2] and reference [2] of the two pixels."""
    wide = torch.tensor(WIDTHS, dtype=torch.float64)
    gray = torch.full((2,), GRAY, dtype=torch.float64)
    return torch.zeros_like(wide), wide.square().diag(), as_matrix((1, 2), 2), gray


class Pixels(NamedTuple):
    """Two pixels held to their mean gray, at the stops that are shown.

    Attributes:
        points: float32 [n, WALKERS, 2], ILVR's walks.
        left: [3, n] mean of the left pixel, exactly: ILVR's; with a denoiser that is told the mean
            gray; of the true law with noise.
        right: the same of the right one.
        spread: [3, n] standard deviation of left minus right.
    """

    points: np.ndarray
    left: np.ndarray
    right: np.ndarray
    spread: np.ndarray


@st.cache_data(max_entries=8, show_spinner=False)
def two_pixels(last: int, noised: bool, seed: int) -> tuple:
    """The fields of `Pixels`."""
    mean, cov, _, y = pixels()
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(WALKERS, 1, 1, 2, generator=generator, dtype=torch.float64)
    walk = ilvr(
        diffusion(), gaussian_denoiser(diffusion(), mean, cov), y[None, None, None], x_T,
        evenly_spaced(diffusion().T, PIXEL_STEPS), N=2, last=last, noised=noised, clip_x0=False,
        generator=generator,
    )  # fmt: skip
    points = torch.stack([stop.x_t for stop in walk])[::EVERY].reshape(-1, WALKERS, 2)
    laws = law(last, noised), law(last, noised, knowing=True), true_law()
    return tuple(
        Pixels(points.float().numpy(), *(np.stack([one[k] for one in laws]) for k in range(3)))
    )


@st.cache_data(max_entries=16, show_spinner=False)
def law(last: int, noised: bool, knowing: bool = False) -> np.ndarray:
    """Left mean, right mean, spread of left minus right, at the stops shown: [3, n]. Of ILVR.

    Where the denoiser is knowing, it is the best one for pixels whose mean gray is the reference's,
    and takes all of the 1,000 steps: fewer end in too little spread.
    """
    mean, cov, phi, y = pixels()
    if knowing:
        mean, cov = given_coarse(mean, cov, phi, y)
    times = evenly_spaced(diffusion().T, diffusion().T if knowing else PIXEL_STEPS)
    laws = ilvr_law(diffusion(), mean, cov, phi, y, times, last=last, noised=noised)
    at = dict(zip([*times, 0], laws, strict=True))
    return np.array([_told(*at[t]) for t in shown()]).T


@st.cache_data(max_entries=1, show_spinner=False)
def true_law() -> np.ndarray:
    """The same of pixels whose mean gray is known, with noise."""
    m, V = given_coarse(*pixels())
    one = torch.eye(2, dtype=torch.float64)
    alpha_bar = [float(diffusion().schedule.alpha_bar[t]) for t in shown()]
    return np.array([_told(a**0.5 * m, a * V + (1 - a) * one) for a in alpha_bar]).T


def _told(m: Tensor, V: Tensor) -> tuple[float, float, float]:
    spread = float((V[0, 0] + V[1, 1] - 2 * V[0, 1]).clamp_min(0)) ** 0.5
    return float(m[0]), float(m[1]), spread


def line() -> np.ndarray:
    """Where the mean gray is that of the noisy reference, on average: float32 [n, 1, 4].

    From corner to corner of more than the plane that is shown.
    """
    gray = np.array([float(diffusion().schedule.alpha_bar[t]) ** 0.5 * GRAY for t in shown()])
    long = np.full(len(gray), 4 * REACH)
    half = long / 2
    return np.stack([gray - half, gray + half, long, -long], -1)[:, None].astype(np.float32)


BELL, PIECES, WIDE = 1.2, 48, 3.2  # height of a density of 1; of a bell; its reach in deviations


def bells(told: Pixels) -> np.ndarray:
    """The densities along the line, standing on it, with a stem at each average.

    What has been let go may have another mean gray, and stands on a line through that.

    Returns:
        float32 [3, n, PIECES + 1, 4].
    """
    away = np.array([1, -1]) / 2**0.5  # along the line; up is at right angles to it
    up = np.array([1, 1]) / 2**0.5
    middle, wide = (told.left - told.right) / 2**0.5, told.spread / 2**0.5
    steps = np.concatenate([np.linspace(-WIDE, WIDE, PIECES + 1), [0]])
    along = middle[..., None] + wide[..., None] * steps
    high = BELL * np.exp(-0.5 * steps**2) / (2 * np.pi) ** 0.5 / wide[..., None]
    foot = (told.left + told.right)[..., None, None] / 2 * np.ones(2)
    places = foot + along[..., None] * away + high[..., None] * up
    stem = np.concatenate([(foot + along[..., None] * away)[:, :, -1:], places[:, :, -1:]], 2)
    begin = np.concatenate([places[:, :, :PIECES], stem[:, :, :1]], 2)
    end = np.concatenate([places[:, :, 1 : PIECES + 1], stem[:, :, 1:]], 2)
    return np.concatenate([begin, end - begin], -1).astype(np.float32)


@st.cache_data(max_entries=1, show_spinner=False)
def shades() -> np.ndarray:
    """The density of all noisy pairs of pixels at each stop shown: uint8 [n, SHADES, SHADES]."""
    places = grid(SHADES, REACH)
    found = []
    for t in shown():
        a = float(diffusion().schedule.alpha_bar[t])
        var = a * torch.tensor(WIDTHS, dtype=torch.float64).square() + 1 - a
        opaque = (-0.5 * places.square() / var).sum(1).exp() * OPAQUE
        found.append(opaque.round().to(torch.uint8).reshape(SHADES, SHADES).numpy())
    return np.stack(found)
