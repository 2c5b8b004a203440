"""ILVR with the digits' network, and on two pixels where all is known, in arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from diffusion_core.cold import variety
from diffusion_core.datasets import to_uint8, to_unit
from diffusion_core.denoisers import NetworkDenoiser
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
HELD = (0, 100, 250, 500, 750)
STEPS = 50
COUNT = 16

# --- digits ---------------------------------------------------------------------------------------


class Measured(NamedTuple):
    """What came out of ILVR for twenty digits of the gallery, three times each; seed 0, 50 steps.

    Attributes:
        recognised: share in which the classifier sees the reference's digit.
        variety: of the three of one reference, on average.
        faint: share of pixels that are neither ink nor black: 1.5 to 25 % of white.
        told: share in which the classifier sees the class that was told; the reference's if none.
    """

    recognised: float
    variety: float
    faint: float
    told: float


MEASURED: dict[str, Measured] = {
    "N = 1": Measured(1.0, 0.0, 0.04, 1.0),
    "N = 2": Measured(1.0, 0.02, 0.07, 1.0),
    "N = 4": Measured(0.73, 0.19, 0.13, 0.73),
    "N = 7": Measured(0.20, 0.36, 0.21, 0.20),
    "N = 28": Measured(0.15, 0.46, 0.25, 0.15),
    "free": Measured(0.08, 0.49, 0.04, 0.08),
    "N = 7 to 250": Measured(0.15, 0.40, 0.04, 0.15),
    "N = 4 without noise": Measured(0.77, 0.19, 0.13, 0.77),
    "N = 7 to 250, an eight": Measured(0.13, 0.31, 0.05, 0.90),
}
"""Sixty pictures each; `tests/app/test_ilvr_view.py` makes them anew."""


class Shot(NamedTuple):
    """What is shown of one stop.

    Attributes:
        x_t: uint8 [H, W] sheet.
        x0: the same of the digits that the network sees in it; in the end of what they are.
        gap: root mean square difference of their low-pass from the reference's.
        variety: of x0.
    """

    x_t: np.ndarray
    x0: np.ndarray
    gap: float
    variety: float


class Asked(NamedTuple):
    """How the walk is held.

    Attributes:
        N: pixels a side of a block.
        last: the last t that is held; 0 holds to the end.
        told: the class that the network is told, or None.
        noised: whether the reference gets noise.
        seed: of all noise.
    """

    N: int
    last: int
    told: int | None
    noised: bool
    seed: int


def held(denoiser: NetworkDenoiser, reference: np.ndarray, asked: Asked) -> Iterator[Shot]:
    """`COUNT` digits held to one reference, uint8 [28, 28]; a shot for each of STEPS + 1 stops."""
    generator = torch.Generator().manual_seed(asked.seed)
    x_T = torch.randn(COUNT, 1, 28, 28, generator=generator)
    y = to_unit(torch.from_numpy(reference)[None])
    coarse = low_pass(y, asked.N)
    walk = ilvr(
        denoiser.diffusion, remembering(denoiser, denoiser, denoiser.diffusion.T), y, x_T,
        evenly_spaced(denoiser.diffusion.T, STEPS), N=asked.N, last=asked.last,
        noised=asked.noised, generator=generator,
        label=None if asked.told is None else torch.full((COUNT,), asked.told),
    )  # fmt: skip
    for stop in walk:
        x0 = stop.x_t if stop.prediction is None else stop.prediction.x0
        gap = (low_pass(x0, asked.N) - coarse).square().mean().sqrt()
        yield Shot(_sheet(stop.x_t), _sheet(x0), float(gap), float(variety(x0)))


def both(reference: np.ndarray, N: int) -> np.ndarray:
    """The reference above what is held of it, twice as large, as high as a sheet: uint8 [115, 56].

    Args:
        reference: uint8 [28, 28].
        N: as in `Asked`.
    """
    coarse = to_uint8(low_pass(to_unit(torch.from_numpy(reference)[None]), N))[0].numpy()
    large = [np.repeat(np.repeat(one, 2, 0), 2, 1) for one in (reference, coarse)]
    return np.concatenate([large[0], np.full((3, 56), 127, np.uint8), large[1]])


def _sheet(x: Tensor) -> np.ndarray:
    return bench.sheet(to_uint8(x).numpy())


# --- two pixels -----------------------------------------------------------------------------------

WIDTHS = (1.0, 0.3)
GRAY = 0.8
PIXEL_STEPS, EVERY = 100, 2
WALKERS = 300
REACH = 2.4
IN_ALL_STEPS = (1.23, 0.37)
"""Where ILVR ends on average in 1,000 steps, left and right; a test computes it anew."""


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
        points: float32 [2, n, WALKERS, 2]: ILVR's walk, and draws of the true law with noise.
        left: [2, n] mean of the left pixel: of ILVR, of the true law, exactly.
        right: the same of the right one.
        spread: [2, n] standard deviation of left minus right.
    """

    points: np.ndarray
    left: np.ndarray
    right: np.ndarray
    spread: np.ndarray


@st.cache_data(max_entries=8, show_spinner=False)
def two_pixels(last: int, noised: bool, seed: int) -> tuple:
    """The fields of `Pixels`."""
    mean, cov, phi, y = pixels()
    times = evenly_spaced(diffusion().T, PIXEL_STEPS)
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(WALKERS, 1, 1, 2, generator=generator, dtype=torch.float64)
    walk = ilvr(
        diffusion(), gaussian_denoiser(diffusion(), mean, cov), y[None, None, None], x_T, times,
        N=2, last=last, noised=noised, clip_x0=False, generator=generator,
    )  # fmt: skip
    walked = torch.stack([stop.x_t for stop in walk])[::EVERY].reshape(-1, WALKERS, 2)
    m, V = given_coarse(mean, cov, phi, y)
    # Of rank one: what is known of the pixels is their sum.
    root = torch.linalg.eigh(V)
    wide = root.eigenvectors * root.eigenvalues.clamp_min(0).sqrt()
    x0, noise = (
        torch.randn(WALKERS, 2, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    x0 = m + x0 @ wide.T
    drawn = torch.stack(
        [diffusion().q_sample(x0, torch.full((WALKERS,), t), noise) for t in shown()]
    )
    laws = law(last, noised), true_law()
    return tuple(
        Pixels(
            torch.stack([walked, drawn]).float().numpy(),
            *(np.stack([one[k] for one in laws]) for k in range(3)),
        )
    )


@st.cache_data(max_entries=16, show_spinner=False)
def law(last: int, noised: bool) -> np.ndarray:
    """Left mean, right mean, spread of left minus right, at the stops shown: [3, n]. Of ILVR."""
    mean, cov, phi, y = pixels()
    times = evenly_spaced(diffusion().T, PIXEL_STEPS)
    laws = ilvr_law(diffusion(), mean, cov, phi, y, times, last=last, noised=noised)
    return np.array([_told(m, V) for m, V in laws[::EVERY]]).T


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
