"""Schedules by name, and what is computed of two of them on one picture with one noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from diffusion_core.drawn import from_points, read_points
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.published import straight_betas
from diffusion_core.schedules import (
    SCHEDULES,
    NoiseSchedule,
    counted_up,
    evenly_spaced,
    nearest_snr,
    rescale_zero_terminal_snr,
    respace_with_picked_betas,
)
from pages.shared.pictures import as_bytes, shown_steps

DRAWN = "drawn"
UNSCALED = "linear_unscaled"
RECIPES = {**SCHEDULES, UNSCALED: straight_betas}
SAME_T, SAME_SNR, FEWER = "same t", "same SNR", "fewer steps"
PICKED, UP = "picked betas", "steps from 1 up"


class Side(NamedTuple):
    """One of two pictures over the frames, and what is true of its schedule there.

    Attributes:
        frames: uint8 [n, H, W(, 3)].
        steps: [n] int64, the step that each frame shows.
        alpha_bar: [n] float64.
        snr: [n] float64, infinite at t = 0.
        log_snr: [n] float64; NaN, which a chart leaves out, where it is infinite.
        beta: [n] float64; NaN at t = 0.
    """

    frames: np.ndarray
    steps: np.ndarray
    alpha_bar: np.ndarray
    snr: np.ndarray
    log_snr: np.ndarray
    beta: np.ndarray


class Shown(NamedTuple):
    """Two pictures over the frames, left and right, and how far they are apart.

    Attributes:
        sides: the two.
        difference: uint8 [n, H, W(, 3)], the distance of each pixel, black where there is none.
        apart: [n] mean distance of the pixels.
    """

    sides: tuple[Side, Side]
    difference: np.ndarray
    apart: np.ndarray


def schedule_of(recipe: str, T: int, zero: bool = False) -> NoiseSchedule:
    """A schedule by its name in the menu, or from the text of a drawn one."""
    schedule = RECIPES[recipe](T) if recipe in RECIPES else from_points(read_points(recipe), T)
    return rescale_zero_terminal_snr(schedule) if zero else schedule


def root_left(schedule: NoiseSchedule, t: int) -> float:
    """The signal √ᾱ at a step."""
    return float(schedule.alpha_bar[t].sqrt())


@st.cache_data(max_entries=64, show_spinner=False)
def two_schedules(
    pixels: bytes, shape: tuple[int, ...], a: str, b: str, zero_b: bool, T: int, seed: int,
    by_snr: bool,
) -> Shown:  # fmt: skip
    """One picture with one noise under two schedules, at equal steps or at equal SNR."""
    left, right = schedule_of(a, T), schedule_of(b, T, zero_b)
    t = shown_steps(T, shape)
    s = nearest_snr(right, left.log_snr[t]) if by_snr else t
    return noised(pixels, shape, seed, (left, t), (right, s))


@st.cache_data(max_entries=64, show_spinner=False)
def two_respacings(
    pixels: bytes, shape: tuple[int, ...], a: str, n: int, T: int, seed: int, beside: str
) -> Shown:
    """One picture under n of T steps, beside a way to keep them that goes wrong."""
    schedule = schedule_of(a, T)
    kept = evenly_spaced(T, n)[::-1]
    wrong = (
        respace_with_picked_betas(schedule, kept)
        if beside == PICKED
        else schedule.respace(counted_up(T, n)[::-1])
    )
    right = schedule.respace(kept)
    k = shown_steps(right.T, shape)
    return noised(pixels, shape, seed, (right, k), (wrong, k))


def noised(
    pixels: bytes, shape: tuple[int, ...], seed: int, left: tuple[NoiseSchedule, Tensor],
    right: tuple[NoiseSchedule, Tensor],
) -> Shown:  # fmt: skip
    """The picture at the given steps [n] of both schedules, with the same noise everywhere."""
    image = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(1, *shape)
    x0 = image.float() / 127.5 - 1
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed))
    one, other = (
        GaussianDiffusion(schedule).q_sample(
            x0.expand(len(steps), *shape), steps, eps.expand(len(steps), *shape)
        )
        for schedule, steps in (left, right)
    )
    far = (one - other).abs()
    return Shown(
        (side_of(one, *left), side_of(other, *right)),
        as_bytes(far - 1),
        far.flatten(1).mean(1).numpy(),
    )


def side_of(pictures: Tensor, schedule: NoiseSchedule, steps: Tensor) -> Side:
    """Pictures [n, H, W(, 3)] with what is true of the schedule at their steps [n]."""
    log_snr = schedule.log_snr[steps]
    return Side(
        as_bytes(pictures),
        steps.numpy(),
        schedule.alpha_bar[steps].numpy(),
        schedule.snr[steps].numpy(),
        log_snr.where(log_snr.isfinite(), torch.nan).numpy(),
        schedule.beta[steps].where(steps > 0, torch.nan).numpy(),
    )
