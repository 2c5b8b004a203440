"""The numbers that the page on latent diffusion names."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from diffusion_core.latents import scaled_snr
from pages.shared import latent_world
from pages.shared.latent_world import Plane


class Measured(NamedTuple):
    """What takes too long for a first look; a test computes each anew.

    Attributes:
        unsure: share of 2,000 decoded points of which the judge is less than 90 % sure: draws of
            the prior, and of the aggregated posterior of the 2,000 digits.
        holes: the same of the prior's draws where the digits hardly ever are, and elsewhere.
        mnist: whole and part of the KL term, as in `KlParts`, over MNIST's test set.
        nats: the autoencoder's KL, per digit of the gallery.
        width: standard deviation of its q(z|x), on average, in units of the latents.
        error: root mean square difference of a decoded digit, white minus black being 2.
        outside: share of the gallery's latents beyond -1..1.
        clipped: `error`, where they were clipped to that.
        plain: share of decoded draws of N(0, I) of which the judge is less than 90 % sure, and
            of decoded digits of the gallery.
        alike: correlation of neighbouring errors at t = 500, on pixels and on the latent, for the
            digit that the view opens with.
        gray: of what is lit of twelve eights, the share between a quarter and three quarters: what
            the network of latents aims at first, decoded, and what that of pixels does.
        cost: multiply-adds of one look: at a latent, at pixels; of decoding.
    """

    unsure: tuple[float, float]
    holes: tuple[float, float]
    mnist: tuple[float, float]
    nats: float
    width: float
    error: float
    outside: float
    clipped: float
    plain: tuple[float, float]
    alike: tuple[float, float]
    gray: tuple[float, float]
    cost: tuple[int, int, int]


MEASURED = Measured(
    unsure=(0.0985, 0.062),
    holes=(0.147, 0.080),
    mnist=(7.025, 0.346),
    nats=288,
    width=0.27,
    error=0.058,
    outside=0.26,
    clipped=0.272,
    plain=(0.515, 0.055),
    alike=(0.0025, 0.628),
    gray=(0.389, 0.683),
    cost=(64_881_216, 127_863_296, 17_625_888),
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
    """

    drawn: float
    walked: float
    kl: tuple[float, float, float]
    kl_plain: tuple[float, float, float]
    drawn_plain: float
    even: tuple[int, int, int]


@st.cache_data(max_entries=1, show_spinner=False)
def facts() -> tuple:
    """Compute them."""
    told = Plane(*latent_world.plane("forms", 0))
    schedule = latent_world.process().schedule
    even = [int((scaled_snr(schedule, c) < 1).nonzero()[0]) for c in (0.2, 1.0, 5.0)]
    return tuple(
        Facts(
            float(told.rare[0]),
            float(told.rare[-1]),
            latent_world.parts("forms"),
            latent_world.parts("plain"),
            latent_world.rare_draws("plain", 0),
            (even[0], even[1], even[2]),
        )
    )
