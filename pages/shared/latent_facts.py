"""The numbers that the page on latent diffusion names."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from diffusion_core.latents import KL_WEIGHT, as_beta
from pages.shared import latent_world
from pages.shared.latent_world import Plane


class Measured(NamedTuple):
    """What takes too long for a first look; a test computes each anew.

    Attributes:
        unsure: share of 2,000 decoded points of which the judge is less than 90 % sure: draws of
            the prior, and exact ones of q(z), of the 2,000 digits and of the 200.
        holes: the same of the prior's draws where the digits hardly ever are, and elsewhere.
        forms: numbers of forms of each digit, and for each number the share of the view's draws
            where those digits hardly ever are, and the part of the KL term that a prior could save.
        mnist: whole and part of the KL term, as in `KlParts`, over MNIST's test set.
        nats: the autoencoder's KL, per digit of the gallery.
        sampled: mean squared error of a pixel, with z drawn from q(z|x).
        width: standard deviation of its q(z|x), mean and median, in units of the latents.
        size: its latents' standard deviation, that they are divided by.
        error: root mean square difference of a decoded digit, white minus black being 2.
        outside: share of the gallery's latents beyond -1..1.
        clipped: `error`, where they were clipped to that.
        plain: share of decoded draws of N(0, I) of which the judge is less than 90 % sure, and
            of decoded digits of the gallery.
        walked: as `plain`, of 200 digits that the network of latents draws in 25 steps, decoded.
        spread: of the gallery's latents, over all numbers: variance of the means, and the mean of
            the variances of q(z|x); and of how many numbers the second is the larger one.
        alike: correlation of neighbouring errors at t = 500, on pixels and on the latent, and on
            the latent at t = 25, for the digit that the view opens with.
        large: for latents five times too large, that digit, t = 500: how far its decoded latent is
            off, how far without any noise, and what the noise changes; root mean squares.
        same: of the gallery's 200 digits, in how many the judge sees the same digit once decoded.
        copied: share of the view's points, 200 digits, within three standard deviations of one
            digit's latent: as drawn, and after the walk.
        gray: of what is lit of twelve eights, the share between a quarter and three quarters: what
            the network of latents aims at first, decoded, and what that of pixels does.
        cost: multiply-adds of one call: of the network of latents, that of pixels; of decoding.
        slower: how many times as much processor time a call at twelve pictures takes as one at
            twelve latents; medians on one thread of an idle x86 processor, float32.
    """

    unsure: tuple[float, float, float]
    holes: tuple[float, float]
    forms: tuple[tuple[int, float, float], ...]
    mnist: tuple[float, float]
    nats: float
    sampled: float
    width: tuple[float, float]
    size: float
    error: float
    outside: float
    clipped: float
    plain: tuple[float, float]
    walked: float
    spread: tuple[float, float, int]
    alike: tuple[float, float, float]
    large: tuple[float, float, float]
    same: int
    copied: tuple[float, float]
    gray: tuple[float, float]
    cost: tuple[int, int, int]
    slower: float


MEASURED = Measured(
    unsure=(0.0985, 0.062, 0.055),
    holes=(0.147, 0.080),
    forms=((1, 0.699, 1.847), (10, 0.273, 0.662), (50, 0.156, 0.421)),
    mnist=(7.025, 0.346),
    nats=288,
    sampled=0.0039,
    width=(0.265, 0.143),
    size=0.958,
    error=0.058,
    outside=0.26,
    clipped=0.272,
    plain=(0.515, 0.055),
    walked=0.07,
    spread=(0.799, 0.123, 30),
    alike=(0.0025, 0.628, 0.43),
    large=(0.146, 0.152, 0.089),
    same=198,
    copied=(0.281, 0.965),
    gray=(0.389, 0.683),
    cost=(64_881_216, 127_863_296, 17_625_888),
    slower=1.4,
)


class Facts(NamedTuple):
    """The numbers that the text names, for the page's defaults.

    Attributes:
        drawn: share of the prior's draws where the digits hardly ever are.
        walked: the same after the walk.
        kl: as `KlParts`, for the 2,000 digits.
        kl_plain: for the 200.
        drawn_plain: as `drawn`, for the 200.
        even: t at which signal and noise are equal, for factors 0.2, 1 and 5.
        beta: the weight of the autoencoder's KL term, as `as_beta` has it.
    """

    drawn: float
    walked: float
    kl: tuple[float, float, float]
    kl_plain: tuple[float, float, float]
    drawn_plain: float
    even: tuple[int, int, int]
    beta: float


@st.cache_data(max_entries=1, show_spinner=False)
def facts() -> tuple:
    """Compute them."""
    told = Plane(*latent_world.plane("forms", 0))
    even = [latent_world.even_at(c) for c in latent_world.SCALES]
    return tuple(
        Facts(
            float(told.rare[0]),
            float(told.rare[-1]),
            latent_world.parts("forms"),
            latent_world.parts("plain"),
            latent_world.rare_draws("plain", 0),
            (even[0], even[1], even[2]),
            as_beta(KL_WEIGHT, 784, 147, MEASURED.sampled),
        )
    )
