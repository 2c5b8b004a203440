"""The numbers that the page on the VAE names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st

from pages.shared import vae_training_world as training
from pages.shared import vae_world
from pages.shared.vae_training_world import NETWORKS, Gradients
from pages.shared.vae_world import COUNTS, DRAWS, WIDTHS, Digit, Many

DEFAULT = 3
TWO_PLACES = (9, 2)  # a digit, and its variant, whose posterior has two peaks
WRONG_PLACE = (8, 1)  # one that the encoder puts where its posterior is not
BY_HAND = ((2.0, -2.0), (-1.5, 1.5))  # shifts of q: off the posterior, and onto it
LATE = 256  # draws of the gradient, after which the one by value is still off


class Judged(NamedTuple):
    """What takes too long for a first look, of draws with seed 0; a test judges anew.

    Attributes:
        common: share of draws of N(0, I) for the digit that has fewest, with the KL, and for the
            one that has most.
        missing: digits that no such draw gives without it.
        sure: share of those that the judge is sure of: with the KL, without.
        same: share of draws of the first digit's q(z|x) that are taken for it, with the KL.
        any_common: as `common`, of draws of q(z|x) of any digit.
        any_sure: as `sure`, of those.
        wrong: what the digit that is encoded to the wrong place is taken for, decoded from where
            the encoder puts it and from the peak of its posterior.
    """

    common: tuple[float, float]
    missing: tuple[int, ...]
    sure: tuple[float, float]
    same: float
    any_common: tuple[float, float]
    any_sure: tuple[float, float]
    wrong: tuple[int, int]


JUDGED = Judged(
    (0.05469, 0.13281), (1, 4, 7, 9), (0.92188, 0.77344),
    1.0, (0.05469, 0.14844), (0.95312, 0.95312), (8, 6),
)  # fmt: skip


class Facts(NamedTuple):
    """The numbers that the text names; of the page's first digit unless it says otherwise.

    Attributes:
        log_p: log p(x).
        gap: log p(x) minus the bound with the encoder's q.
        best: the same with the best normal.
        cost: reconstruction term.
        kl: KL of the encoder's q from the prior.
        two: what remains of the gap, with the best normal, of the digit with two peaks.
        kept: the share of that digit's posterior within four widths of that normal.
        wrong: the gap of the digit that is encoded to the wrong place: encoder's q, best near it,
            best at the posterior's peak.
        wrong_pixels: nats that its pixels cost at the encoder's place, and at the peak.
        by_hand: the gap of the first digit with q shifted as in BY_HAND.
        neighbours: [10] of each digit's numerals on the plane, the share whose nearest neighbour
            is the same digit.
        among: what most of the other neighbours are, of the digit with the smallest share.
        saved: by how much reconstruction falls at the smallest width.
        paid: by how much KL(q || p(z)) rises there.
        prior_bound: the bound with draws of the prior, K = 1.
        prior_all: log of the average of all of them.
        prior_useful: how many of them count.
        surprise: KL(p(z|x) || p(z)).
        sixty_four: log p(x) minus the bound with K = 64.
        far: log p(x) minus the bound with K = 1024: draws of q, and of q twice as wide.
        useful: how many of all draws count: of q, and of q twice as wide.
        slope: the gradient of E_q[log p(x|z)] by the first number of mu.
        gradients: standard deviations of single draws of it: through z, by value, by value less
            its average.
        late: how far the average of the first LATE of those by value is from the gradient.
        widths: median standard deviation of q(z|x) over the gallery: with the KL, without.
        near: share of the gallery's digits encoded to within 2 of 0: with the KL, without.
        farthest: how far from 0 the network without the KL puts one of them.
        card: mean -log p(x) and negative bound over test digits, and how many, as the card has it.
    """

    log_p: float
    gap: float
    best: float
    cost: float
    kl: float
    two: float
    kept: float
    wrong: tuple[float, float, float]
    wrong_pixels: tuple[float, float]
    by_hand: tuple[float, float]
    neighbours: tuple[float, ...]
    among: int
    saved: float
    paid: float
    prior_bound: float
    prior_all: float
    prior_useful: float
    surprise: float
    sixty_four: float
    far: tuple[float, float]
    useful: tuple[float, float]
    slope: float
    gradients: tuple[float, float, float]
    late: float
    widths: tuple[float, float]
    near: tuple[float, float]
    farthest: float
    card: tuple[float, float, int]


def neighbours(places: np.ndarray, labels: np.ndarray) -> tuple[tuple[float, ...], int]:
    """How often the nearest of the other places is of the same class, by class.

    Args:
        places: [N, 2].
        labels: [N], each below 10.

    Returns:
        The ten shares, and which other class is nearest most often to the class with the smallest.
    """
    if not len(places):  # the sheet is missing
        return (0.0,) * 10, 0
    apart = np.linalg.norm(places[:, None] - places, axis=2) + np.diag([np.inf] * len(places))
    nearest = labels[apart.argmin(1)]
    shares = [float((nearest[labels == k] == k).mean()) for k in range(10)]
    fewest = int(np.argmin(shares))
    others = nearest[(labels == fewest) & (nearest != fewest)]
    return tuple(shares), int(np.bincount(others, minlength=10).argmax())


@st.cache_data(max_entries=1, show_spinner=False)
def facts() -> tuple:
    """Compute them."""
    card = vae_world.network()[2]
    told = Digit(*vae_world.digit(DEFAULT, 0))

    def gap(
        label: int, variant: int, *, best: bool, shift: tuple[float, float] = (0.0, 0.0)
    ) -> float:
        of = Digit(*vae_world.digit(label, variant - 1))
        q = vae_world.q_of(of, best=best, shift=shift, width=1.0)
        return of.log_evidence - vae_world.terms_of(label, variant - 1, q).bound

    own = WIDTHS.index(1.0)
    prior = Many(*vae_world.many(DEFAULT, 0, "prior", 0))
    ours = Many(*vae_world.many(DEFAULT, 0, "encoder", 0))
    wide = Many(*vae_world.many(DEFAULT, 0, "wide", 0))
    by_mean, centred = (
        Gradients(*training.gradients(DEFAULT, 0, "mean", less=less)) for less in (False, True)
    )
    codes = [training.encodings(name) for name in NETWORKS]
    there = (WRONG_PLACE[0], WRONG_PLACE[1] - 1)
    wrong = Digit(*vae_world.digit(*there))
    two = vae_world.q_of(
        Digit(*vae_world.digit(TWO_PLACES[0], TWO_PLACES[1] - 1)), best=True, shift=(0, 0), width=1
    )
    figures = {m["name"]: m for m in card["metrics"]}
    measured = figures["-log p(x), nats per digit"]
    return tuple(
        Facts(
            told.log_evidence,
            gap(DEFAULT, 1, best=False),
            gap(DEFAULT, 1, best=True),
            float(told.costs[own]),
            float(told.nats[own]),
            gap(*TWO_PLACES, best=True),
            vae_world.share_near(TWO_PLACES[0], TWO_PLACES[1] - 1, two),
            (
                gap(*WRONG_PLACE, best=False),
                gap(*WRONG_PLACE, best=True),
                wrong.log_evidence
                - vae_world.terms_of(*there, vae_world.at_the_peak(*there)).bound,
            ),
            wrong.pixels,
            tuple(gap(DEFAULT, 1, best=False, shift=shift) for shift in BY_HAND),
            *neighbours(*training.codes()),
            float(told.costs[own] - told.costs[0]),
            float(told.nats[0] - told.nats[own]),
            float(prior.bounds[0]),
            float(vae_world.told_by(prior.log_w, DRAWS)[0]),
            prior.useful,
            told.surprise,
            told.log_evidence - float(ours.bounds[COUNTS.index(64)]),
            tuple(told.log_evidence - float(m.bounds[-1]) for m in (ours, wide)),
            (ours.useful, wide.useful),
            by_mean.exact,
            (*by_mean.spread, centred.spread[1]),
            abs(float(by_mean.by_value[:LATE].mean()) - by_mean.exact),
            tuple(float(np.median(width)) for _, width in codes),
            tuple(training.near_zero(mean) for mean, _ in codes),
            float(np.linalg.norm(codes[1][0], axis=1).max()),
            (
                measured["value"],
                figures["negative bound, nats per digit"]["value"],
                measured["samples"],
            ),
        )
    )
