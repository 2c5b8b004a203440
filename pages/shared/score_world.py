"""Walks that follow a score in the plane, as a page's controls ask for them, in arrays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.mixtures import (
    PLANE_DATA,
    GaussianMixture,
    draw_x0,
    group_probs,
    mixture_denoiser,
    mixture_log_density,
)
from diffusion_core.schedules import SCHEDULES, evenly_spaced
from diffusion_core.score import (
    annealed_langevin,
    flow_step,
    reverse_sde_step,
    score,
    sliced_distance,
)
from diffusion_core.score_matching import Errors, learn_score

T = 1000
DATA = {"two": "Two groups", "ring": "Ring", "spiral": "Spiral"}
STEPS = (5, 10, 20, 40, 60, 100)
LEVELS = (20, 100, 200, 300, 400, 600, 0)
"""Noise levels that Langevin's walk can stay at; 0 stands for falling with the others."""
WALKERS = 300  # that are drawn
COUNTED = {"two": 3000, "ring": WALKERS, "spiral": WALKERS}
"""Walkers that shares and distances are of; the first `WALKERS` of them are drawn."""
TELLABLE = {"two": 0.03, "ring": 0.12, "spiral": 0.10}
"""Of sets of COUNTED true draws one in ten lies farther than that from the others."""
SETS = {"two": 4, "ring": 6, "spiral": 6}
"""Sets of true draws that the distance is averaged over, since one differs from the next."""
GRID = 13  # arrows along each side
SHADES = 48  # cells of the density along each side
EXTENT = 2.8
RATE = 0.5  # Langevin's step, as a share of the variance of one group at that level
OPAQUE = 150  # of 255: the density where it is highest
DRAWS = 60
ARROWS = 24  # of the draws that get an arrow
LOOKS, LEARNERS, LEARNER_STEPS = 50, 400, 40
BETWEEN = 30  # gradient steps from one look to the next


@cache
def diffusion() -> GaussianDiffusion:
    """The process of this page: DDPM's own schedule."""
    return GaussianDiffusion(SCHEDULES["linear"](T))


def times(steps: int) -> list[int]:
    """Where a walk stops, T first and 0 last."""
    return [*evenly_spaced(T, steps), 0]


def lower_left(x: Tensor) -> Tensor:
    """Which points lie on the side of the smaller of two groups: [*] bool."""
    return x.sum(-1) < 0


def border() -> np.ndarray:
    """Where the side of `lower_left` ends, in dashes' places: float32 [1, 1, 4]."""
    return np.array([[[-EXTENT, EXTENT, 2 * EXTENT, -2 * EXTENT]]], np.float32)


def true_share(mixture: GaussianMixture, t: int) -> float:
    """The share of the noisy data at t that lies to the lower left, exactly."""
    alpha_bar = float(diffusion().schedule.alpha_bar[t])
    spread = math.sqrt(2 * (alpha_bar * mixture.std**2 + 1 - alpha_bar))  # of the two numbers' sum
    middles = math.sqrt(alpha_bar) * mixture.means.sum(1)
    below = torch.special.ndtr(-middles / spread)
    return float(mixture.weights @ below)


class Walks(NamedTuple):
    """Three walks from one start, at every stop.

    Attributes:
        points: float32 [3, n, WALKERS, 2]: with fresh noise, without, Langevin's.
        far: [3, n] distance of those that are counted from sets of the noisy data at the level of
            each stop, on average.
        drawn: [n] the same for points that are drawn from them, the mean of some sets.
        share: [3, n] share of those that are counted to the lower left.
        truth: [n] the true one.
        crossed: share of the walkers that end on different sides with and without noise.
    """

    points: np.ndarray
    far: np.ndarray
    drawn: np.ndarray
    share: np.ndarray
    truth: np.ndarray
    crossed: float


@st.cache_data(max_entries=24, show_spinner=False)
def walks(data: str, steps: int, level: int, seed: int) -> tuple:
    """The fields of `Walks`; the first two walks don't hang on the level, and are kept."""
    process, mixture = diffusion(), PLANE_DATA[data]()
    stops = times(steps)
    fallen, far, drawn = falling_walks(data, steps, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    levels = stops if level == 0 else [level] * len(stops)
    start = torch.from_numpy(fallen[0, 0])
    third = torch.stack(
        [start, *_langevin(process, mixture_denoiser(process, mixture), mixture, start,
                           levels[:-1], generator)]
    )  # fmt: skip
    own = true_draws(data, tuple(stops) if level == 0 else (level,), seed)
    points = torch.cat([torch.from_numpy(fallen), third[None]])
    sides = lower_left(points)
    return tuple(
        Walks(
            points[:, :, :WALKERS].float().numpy(),
            np.stack([*far, sliced_distance(third[:, None], own, directions()).mean(1).numpy()]),
            drawn,
            sides.double().mean(-1).numpy(),
            np.array([true_share(mixture, t) for t in stops]),
            float((sides[0, -1] != sides[1, -1]).double().mean()),
        )
    )


@st.cache_data(max_entries=24, show_spinner=False)
def falling_walks(data: str, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The walks down the levels: points [2, n, COUNTED, 2], `far` [2, n] and `drawn` [n]."""
    process = diffusion()
    denoiser, stops = mixture_denoiser(process, PLANE_DATA[data]()), times(steps)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(COUNTED[data], 2, generator=generator, dtype=torch.float64)
    points = torch.stack(
        [
            torch.stack([start, *sde_walk(process, denoiser, start, stops, generator)]),
            torch.stack([start, *flow_walk(process, denoiser, start, stops)]),
        ]
    )
    truth = true_draws(data, tuple(stops), seed)
    far = sliced_distance(points[:, :, None], truth, directions()).mean(-1)
    drawn = sliced_distance(truth[:, 1:], truth[:, :1], directions()).mean(1)
    return points.numpy(), far.numpy(), drawn.numpy()


def true_draws(data: str, at: tuple[int, ...], seed: int) -> Tensor:
    """Sets of draws of the noisy data at each t: [n, SETS, COUNTED, 2]."""
    many, generator = SETS[data] * COUNTED[data], torch.Generator().manual_seed(seed + 2)
    clean = PLANE_DATA[data]().sample(many, generator)
    noise = torch.randn(many, 2, generator=generator, dtype=torch.float64)
    t = torch.tensor(at).repeat_interleave(many)
    noisy = diffusion().q_sample(clean.repeat(len(at), 1), t, noise.repeat(len(at), 1))
    return noisy.reshape(len(at), SETS[data], COUNTED[data], 2)


def directions() -> Tensor:
    """Eight directions, over half a turn: [8, 2]."""
    angles = torch.arange(8, dtype=torch.float64) * (math.pi / 8)
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def _pairs(stops: list[int], count: int) -> Iterator[tuple[Tensor, Tensor]]:
    for t, s in itertools.pairwise(stops):
        yield torch.full((count,), t), torch.full((count,), s)


def sde_walk(
    process: GaussianDiffusion, denoiser: Denoiser, x: Tensor, stops: list[int],
    generator: torch.Generator,
) -> Iterator[Tensor]:  # fmt: skip
    """Every stop but the first of a walk with fresh noise."""
    for t, s in _pairs(stops, len(x)):
        step = reverse_sde_step(process, x, score(process, denoiser, x, t), t, s)
        x = step.sample(torch.randn(x.shape, generator=generator, dtype=x.dtype))
        yield x


def flow_walk(
    process: GaussianDiffusion, denoiser: Denoiser, x: Tensor, stops: list[int]
) -> Iterator[Tensor]:
    """Every stop but the first of a walk without."""
    for t, s in _pairs(stops, len(x)):
        x = flow_step(process, x, score(process, denoiser, x, t), t, s)
        yield x


def _langevin(
    process: GaussianDiffusion, denoiser: Denoiser, mixture: GaussianMixture, x: Tensor,
    levels: list[int], generator: torch.Generator,
) -> Iterator[Tensor]:  # fmt: skip
    return annealed_langevin(
        process, denoiser, x, levels, rate=RATE, finest=mixture.std, generator=generator
    )


# --- what lies behind the points ------------------------------------------------------------------


def grid(cells: int, extent: float = EXTENT) -> Tensor:
    """The middles of cells x cells squares, first row on top: [cells * cells, 2] float64."""
    half = extent / cells
    along = torch.linspace(-extent + half, extent - half, cells, dtype=torch.float64)
    y, x = torch.meshgrid(along.flip(0), along, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


@st.cache_data(max_entries=24, show_spinner=False)
def shade(data: str, at: tuple[int, ...]) -> np.ndarray:
    """The density of the noisy data at each t, highest where opaque: uint8 [n, SHADES, SHADES]."""
    mixture, places = PLANE_DATA[data](), grid(SHADES)
    return np.stack([shaded(mixture, places, t) for t in at])


def shaded(mixture: GaussianMixture, places: Tensor, t: int) -> np.ndarray:
    """The density at t on a grid of SHADES x SHADES places, as in `shade`."""
    told = mixture_log_density(diffusion(), mixture, places, torch.full((len(places),), t))
    opaque = (told - told.max()).exp() * OPAQUE
    return opaque.round().to(torch.uint8).reshape(SHADES, SHADES).numpy()


@st.cache_data(max_entries=24, show_spinner=False)
def field(data: str, at: tuple[int, ...]) -> np.ndarray:
    """The exact score at each t as arrows on a grid: float32 [n, GRID * GRID, 4]."""
    mixture = PLANE_DATA[data]()
    best = mixture_denoiser(diffusion(), mixture)
    return np.stack([arrows(best, t, mixture.std) for t in at])


def arrows(denoiser: Denoiser, t: int, std: float) -> np.ndarray:
    """A denoiser's score at t as arrows on a grid, long ones cut to a cell: [GRID * GRID, 4].

    At t = 0, where there is no noise to be named, it is that of t = 1.

    Args:
        denoiser: whose score.
        t: the step.
        std: of the groups; arrows are as long as the score times the groups' width at t.
    """
    places = grid(GRID)
    at = torch.full((len(places),), max(t, 1))
    slope = score(diffusion(), denoiser, places.float(), at).double()
    alpha_bar = float(diffusion().schedule.alpha_bar[t])
    width = math.sqrt(1 - alpha_bar + alpha_bar * std**2)
    return as_arrows(places, slope * width, EXTENT)


def as_arrows(places: Tensor, way: Tensor, extent: float) -> np.ndarray:
    """Vectors of order 1 at places of a grid, as arrows that a cell holds: float32 [n, 4].

    Args:
        places: [n, 2] where they stand, in their middle.
        way: [n, 2]; 2 fills a cell, longer ones are cut.
        extent: of the grid.
    """
    longest = 2 * extent / GRID * 0.9
    way = way * (0.5 * longest)
    way = way * (longest / way.norm(dim=1, keepdim=True).clamp(min=1e-9)).clamp(max=1)
    return torch.cat([places - way / 2, way], dim=1).float().numpy()


# --- one place ------------------------------------------------------------------------------------


class Place(NamedTuple):
    """One x_t that stays where it is while the noise level falls.

    Attributes:
        x0: float32 [n, DRAWS, 2] draws from q(x_0|x_t).
        signal: float32 [n, ARROWS, 4] arrows from x_t to a x_0, for some of the draws.
        pull: float32 [n, 1, 4] their exact average: sigma^2 times the score.
        sigma: [n] of the noise.
        mean: float32 [n, 1, 2] E[x_0|x_t].
        group: [n] p(lower left group|x_t), of two groups.
        spread: [n] root mean square distance of x_0 from its mean, from the draws.
    """

    x0: np.ndarray
    signal: np.ndarray
    pull: np.ndarray
    sigma: np.ndarray
    mean: np.ndarray
    group: np.ndarray
    spread: np.ndarray


PLACE_TIMES = (*range(1000, 0, -20), 10, 1)
MANY = 2000  # draws that the averages are taken of


@st.cache_data(max_entries=32, show_spinner=False)
def place(data: str, x: float, y: float, seed: int) -> tuple:
    """The fields of `Place`, at `PLACE_TIMES`."""
    process, mixture = diffusion(), PLANE_DATA[data]()
    n = len(PLACE_TIMES)
    here = torch.tensor([[x, y]], dtype=torch.float64)
    t = torch.tensor(PLACE_TIMES)
    best = mixture_denoiser(process, mixture)(here.expand(n, 2), t)
    a, sigma = process.rates(t, here.expand(n, 2))
    draws = torch.stack(
        [
            draw_x0(
                process, mixture, here.expand(MANY, 2), torch.full((MANY,), at),
                generator=torch.Generator().manual_seed(seed),
            )
            for at in PLACE_TIMES
        ]
    )  # fmt: skip
    ways = a[..., None] * draws - here
    pull = (a * best.x0 - here)[:, None]
    spread = (draws - best.x0[:, None]).square().sum(-1).mean(1).sqrt()

    def arrows_from(way: Tensor) -> np.ndarray:
        return torch.cat([here.expand_as(way), way], dim=-1).float().numpy()

    return tuple(
        Place(
            draws[:, :DRAWS].float().numpy(),
            arrows_from(ways[:, :ARROWS]),
            arrows_from(pull),
            sigma.flatten().numpy(),
            best.x0[:, None].float().numpy(),
            group_probs(process, mixture, here.expand(n, 2), t)[:, 0].numpy(),
            spread.numpy(),
        )
    )


# --- a network that learns ------------------------------------------------------------------------


class Lesson(NamedTuple):
    """What is shown of a network on its way.

    Attributes:
        steps: gradient steps so far.
        errors: its training loss in parts.
        field: float32 [GRID * GRID, 4] its score at the level that is looked at.
        drawn: float32 [LEARNERS, 2] what its walks without noise end in.
        near: share of those within three widths of a group.
        share: of those at the lower left.
    """

    steps: int
    errors: Errors
    field: np.ndarray
    drawn: np.ndarray
    near: float
    share: float


def lessons(data: str, level: int, seed: int) -> Iterator[Lesson | None]:
    """A network's way from nothing, LOOKS + 1 times, with a pause after each gradient step."""
    process, mixture = diffusion(), PLANE_DATA[data]()
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(LEARNERS, 2, generator=generator)
    stops = times(LEARNER_STEPS)
    for look in learn_score(process, mixture, steps=LOOKS * BETWEEN, seed=seed):
        if look.steps % BETWEEN:
            yield None
            continue
        *_, drawn = flow_walk(process, look.denoiser, start, stops)
        gap = torch.cdist(drawn.double(), mixture.means).amin(1)
        near = float((gap < 3 * mixture.std).double().mean())
        shown = arrows(look.denoiser, level, mixture.std)
        share = float(lower_left(drawn).double().mean())
        yield Lesson(look.steps, look.errors(), shown, drawn.numpy(), near, share)
