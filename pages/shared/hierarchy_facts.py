"""Numbers that the page from a VAE to diffusion names."""

from __future__ import annotations

import math
from typing import NamedTuple

import streamlit as st

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.hierarchical import (
    SHORT_LOG_SNR,
    level_schedule,
    mean_prior_term,
    prior_mismatch,
)
from diffusion_core.mixtures import PLANE_DATA
from pages.shared import hierarchy_world


class Learnt(NamedTuple):
    """What training gave at the page's defaults, in the order of `VARIANTS`.

    Attributes:
        bounds: nats, four levels.
        left: share of many drawn points at the lower left.
        longer: of the last two, trained four times as long: the same share.
        deep_left: of the same two with the greatest depth, trained as at `DEPTHS`: the same share.
        gentle: bound of the DDPM when its log-SNR goes from 2 to -3 only.
        eight: bounds with eight levels.
        single: bound of a VAE (free, one level) and of a DDPM of one level.
        ring: bounds on the ring, four levels; free has one number.
        told: nats that each of eight levels tells about the one below, encoder learnt, same
            dimension: the least.
        same: bounds at `DEPTHS` for the same calls: learnt encoder.
        ddpm: DDPM.
        patient: bound of the learnt encoder at the greatest depth, for as many gradient steps as
            the DDPM has.
        scatter: at the greatest depth, as in `Scatter`.
        parts: of the DDPM with four levels: reconstruction, and levels between.
    """

    bounds: tuple[float, ...] = (0.57, 0.62, 1.63, 1.25)
    left: tuple[float, ...] = (0.22, 0.22, 0.39, 0.14)
    longer: tuple[float, float] = (0.42, 0.14)
    deep_left: tuple[float, float] = (0.41, 0.18)
    gentle: float = 0.91
    eight: tuple[float, ...] = (0.54, 0.60, 1.61, 0.94)
    single: tuple[float, float] = (0.67, 2.83)
    ring: tuple[float, ...] = (2.43, 1.54, 1.78, 2.50)
    told: float = 0.80
    same: tuple[float, ...] = (0.71, 1.02, 0.98, 1.66, 2.54, 4.50)
    ddpm: tuple[float, ...] = (2.83, 2.59, 1.16, 0.85, 0.67, 0.62)
    patient: float = 0.57
    scatter: tuple[float, ...] = (1.37, 0.37, 0.12, 1.03, 1.13, 10.43)
    parts: tuple[float, float] = (-1.42, 2.66)


MANY = 40_000  # points that `Learnt.left` was counted on
LEARNT = Learnt()
"""A minute of training: tests do it again."""


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
        shift: how much the walk's term of z_1 lies below the KL on average, at the greatest depth.
    """

    best: float
    kept: float
    prior: float
    mismatch: float
    ring: float
    ends: float
    top: float
    shift: float


def lowest_shift(process: GaussianDiffusion, D: int = 2) -> float:
    """How much wider q(z_1|x) is than q(z_1|z_2, x), in nats of entropy.

    So much less is the average of log q(z_1|x)/p(z_1|z_2) than that of the KL.
    """
    keep = process.schedule.alpha_bar[:3]
    wide = 1 - float(keep[1])
    narrow = wide * (1 - float(keep[2] / keep[1])) / (1 - float(keep[2]))
    return 0.5 * D * math.log(wide / narrow)


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
            lowest_shift(GaussianDiffusion(level_schedule(hierarchy_world.DEPTHS[-1]))),
        )
    )
