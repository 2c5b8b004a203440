"""Numbers that the page from a VAE to diffusion names."""

from __future__ import annotations

import math
from typing import NamedTuple

import streamlit as st

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.hierarchical import SHORT_LOG_SNR, level_schedule, prior_mismatch
from diffusion_core.mixtures import PLANE_DATA, GaussianMixture
from pages.shared import hierarchy_world


class Learnt(NamedTuple):
    """What training gave at the page's defaults, in the order of `VARIANTS`.

    Attributes:
        bounds: nats, four levels.
        near: share drawn near a group.
        left: share drawn at the lower left.
        eight: bounds with eight levels.
        single: bound of a VAE (free, one level) and of a DDPM of one level.
        ring: bounds on the ring, four levels; free has one number.
        told: nats that each of eight levels tells about the one below, encoder learnt, same
            dimension: the least.
        same: bounds at `DEPTHS` for the same calls: learnt encoder.
        ddpm: DDPM.
        scatter: at eight levels: one level's log-ratio, its KL, all levels in a walk, all KLs.
    """

    bounds: tuple[float, ...] = (0.57, 0.62, 1.63, 1.25)
    near: tuple[float, ...] = (0.94, 0.95, 0.76, 0.73)
    left: tuple[float, ...] = (0.20, 0.20, 0.31, 0.14)
    eight: tuple[float, ...] = (0.54, 0.60, 1.61, 0.94)
    single: tuple[float, float] = (0.67, 2.83)
    ring: tuple[float, ...] = (2.43, 1.54, 1.78, 2.50)
    told: float = 0.80
    same: tuple[float, ...] = (0.71, 1.02, 0.98, 1.66, 2.54, 4.50)
    ddpm: tuple[float, ...] = (2.83, 2.59, 1.16, 0.85, 0.67, 0.62)
    scatter: tuple[float, ...] = (1.12, 0.50, 1.00, 1.65)


LEARNT = Learnt()
"""Half a minute of training: a test does it again."""


class Facts(NamedTuple):
    """The numbers that need no training; two groups unless it says otherwise.

    Attributes:
        best: entropy of the data.
        kept: alpha_bar at the top of the encoder that ends short.
        prior: its prior term.
        mismatch: what of that is lost.
        ring: the same of the ring.
        ends: of the encoder that does not end short.
        top: its whole prior term, which what z_T tells about x can't exceed.
    """

    best: float
    kept: float
    prior: float
    mismatch: float
    ring: float
    ends: float
    top: float


def mean_prior_term(process: GaussianDiffusion, mixture: GaussianMixture) -> float:
    """The average of KL(q(z_T|x) || N(0, I)) over the data, which has a formula: nats."""
    kept, D = float(process.schedule.alpha_bar[-1]), mixture.means.shape[1]
    square = float(mixture.weights @ mixture.means.square().sum(1)) + D * mixture.std**2
    return 0.5 * (kept * square - D * kept - D * math.log1p(-kept))


@st.cache_data(max_entries=1, show_spinner=False)
def facts() -> tuple:
    """Compute them."""
    short, whole = (GaussianDiffusion(level_schedule(4, *last)) for last in ((SHORT_LOG_SNR,), ()))
    two, ring = PLANE_DATA["two"](), PLANE_DATA["ring"]()
    return tuple(
        Facts(
            hierarchy_world.best_possible("two"),
            float(short.schedule.alpha_bar[-1]),
            mean_prior_term(short, two),
            prior_mismatch(short, two),
            prior_mismatch(short, ring),
            prior_mismatch(whole, two),
            mean_prior_term(whole, two),
        )
    )
