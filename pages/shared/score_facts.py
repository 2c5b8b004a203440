"""The numbers that the page on the score names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.mixtures import (
    GaussianMixture,
    draw_x0,
    mixture_denoiser,
    mixture_log_density,
    two_groups,
)
from diffusion_core.score import pair_score, score, tweedie
from diffusion_core.score_matching import matching_errors
from pages.shared import score_world
from pages.shared.score_world import PLACE_TIMES, Place, Walks

WALK, LEVEL = 60, 20  # what the page opens with: steps of a walk, and Langevin's level t
FINE, FINE_ENDS = 100, (0.028, 0.024, 0.028)
"""Steps in which walks with and without fresh noise end alike, and how far from the data these two
and true draws lie; a test walks anew."""
AT, NOISY = (-0.1, -0.1), 200  # likewise: the place that is looked at, and its t

LEARNT = (0.147, 0.144, 0.125)
"""Of the network at the page's defaults, after all its lessons: loss, floor, share of its
walks that end at the lower left."""


class Facts(NamedTuple):
    """The numbers that the text names; unless it says otherwise, for the page's defaults.

    Attributes:
        share: [3] of the walkers at the lower left, in the order of `Walks`.
        low: of the noisy data at t = 20.
        far: [3] distance from those data.
        drawn: the same of true draws.
        crossed: walkers that end on different sides with and without noise.
        short: [3] `far` after ten steps.
        blurred: Langevin's share at t = 300, and the noisy data's there.
        blurred_true: of the noisy data at t = 300.
        falling: Langevin's share with falling noise.
        late: its distance then.
        gap: distance of the mean of the pairs' scores from the exact score, at one place.
        length: of that score.
        mean: both coordinates of x0_hat there.
        valley: density of the data at x0_hat, relative to the larger group's middle.
        floors: squared error of the best answer for t below 20 and above 300.
        loss: of a network after all its lessons.
        floor: of the best answer on the same draws.
        learnt: share of that network's walks that end at the lower left.
    """

    share: np.ndarray
    low: float
    far: np.ndarray
    drawn: float
    crossed: float
    short: np.ndarray
    blurred: float
    blurred_true: float
    falling: float
    late: float
    gap: float
    length: float
    mean: float
    valley: float
    floors: tuple[float, float]
    loss: float
    floor: float
    learnt: float


@st.cache_data(max_entries=1, show_spinner=False)
def facts() -> tuple:
    """Compute them, but for `LEARNT`, which takes two seconds: a test does."""
    process, data = score_world.diffusion(), two_groups()
    told, short = (Walks(*score_world.walks("two", steps, LEVEL, 0)) for steps in (WALK, 10))
    blurred, falling = (Walks(*score_world.walks("two", WALK, t, 0)) for t in (300, 0))
    here = torch.tensor([AT], dtype=torch.float64)
    t, clean = torch.tensor([NOISY]), torch.tensor([0])
    exact = score(process, mixture_denoiser(process, data), here, t)
    many, at = here.expand(2000, 2), t.expand(2000)
    x0 = draw_x0(process, data, many, at, generator=torch.Generator().manual_seed(0))
    x0_hat = tweedie(process, here, exact, t)
    peak = mixture_log_density(process, data, data.means[[1]], clean)
    return tuple(
        Facts(
            told.share[:, -1],
            score_world.true_share(data, LEVEL),
            told.far[:, -1],
            float(told.drawn[-1]),
            told.crossed,
            short.far[:, -1],
            float(blurred.share[2, -1]),
            score_world.true_share(data, 300),
            float(falling.share[2, -1]),
            float(falling.far[2, -1]),
            float((pair_score(process, many, x0, at).mean(0) - exact[0]).norm()),
            float(exact.norm()),
            float(x0_hat[0, 0]),
            float((mixture_log_density(process, data, x0_hat, clean) - peak).exp()),
            unknowable(process, data),
            *LEARNT,
        )
    )


def unknowable(process: GaussianDiffusion, data: GaussianMixture) -> tuple[float, float]:
    """The squared error of the best answer, per number, for t below 20 and above 300."""
    n, generator = 20_000, torch.Generator().manual_seed(0)
    x0, eps = data.sample(n, generator), torch.randn(n, 2, generator=generator).double()
    best = mixture_denoiser(process, data)
    told = []
    for least, beyond in ((1, 20), (301, process.T + 1)):
        t = torch.randint(least, beyond, (n,), generator=generator)
        told.append(matching_errors(process, best, best, x0, t, eps).floor)
    return told[0], told[1]


@st.cache_data(max_entries=3, show_spinner=False)
def ended(data: str) -> list[float]:
    """How far from the data each of the walks ends, as the page opens."""
    far = Walks(*score_world.walks(data, WALK, LEVEL, 0)).far
    return [float(one[-1]) for one in far]


@st.cache_data(max_entries=6, show_spinner=False)
def pulled(data: str, t: int = NOISY) -> tuple[float, float]:
    """Where the view opens, at t: length of the average pull, average length of the pulls."""
    told = Place(*score_world.place(data, *AT, 0))
    at = PLACE_TIMES.index(t)
    pull, each = (np.linalg.norm(a[at, :, 2:], axis=1) for a in (told.pull, told.signal))
    return float(pull.mean()), float(each.mean())
