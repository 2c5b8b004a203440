"""Quality against network calls: the stored record as charts, and one point to measure again."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st
import torch

from diffusion_core import quality
from diffusion_core.checkpoints import CheckpointError, load_module
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.judging import REAL_SETS
from diffusion_core.networks import Classifier
from pages.shared import chapter, quality_chart
from pages.shared.numbers import plus_minus
from pages.shared.plot import plot
from pages.shared.quality_chart import LivePoint
from pages.shared.runs import STEPS

LIVE_COUNT = 40
LIVE_SEED = 1_000


@st.cache_data(max_entries=8, show_spinner=False)
def record(name: str, weights: str) -> quality.Quality:
    """The stored record; `weights` is the sha256 it must belong to, part of the cache's key."""
    return quality.read(name)


@st.cache_resource(max_entries=1, show_spinner="Loading the judge …")
def judge() -> Classifier:
    """The classifier that recognises digits."""
    module, _ = load_module("classifier")
    assert isinstance(module, Classifier)
    return module


def section(denoiser: NetworkDenoiser, name: str, weights: str) -> None:
    """Draw the section for one network.

    Args:
        denoiser: the network.
        name: of its folder.
        weights: sha256 of its weights.
    """
    try:
        measured = record(name, weights)
    except CheckpointError as error:
        st.info(str(error), icon=":material/hourglass_empty:")
        return
    live: list[LivePoint] = st.session_state.setdefault("_live_points", {}).setdefault(weights, [])
    place = st.container()
    _measure_again(denoiser, measured, live)
    with place:
        left, right = st.columns(2, gap="medium")
        plot(
            quality_chart.recognised_chart(measured, live),
            key="quality_recognised",
            alt="Share of pictures recognised as the digit asked for, over network calls",
            place=left,
        )
        plot(
            quality_chart.frechet_chart(measured),
            key="quality_frechet",
            alt="Fréchet distance to real digits over network calls, by sampler",
            place=right,
        )
        st.caption(told(measured))


def told(measured: quality.Quality) -> str:
    """What the charts rest on, and how far to trust them."""
    errors = {quality.standard_error(p.recognised, measured.count): p for p in measured.points}
    least, most = min(errors), max(errors)
    worst = errors[most]
    return (
        f"Network {measured.network}, {measured.count} pictures per point, every point from the "
        f"same noise (seed {measured.seed}), judged by a classifier that recognises "
        f"{measured.ceiling:.1%} of real test digits. A share is uncertain by {100 * least:.1f} to "
        f"{100 * most:.1f} percentage points (standard error), most of all the lowest: "
        f"{quality_chart.name_of(worst)} with {worst.calls} calls, {worst.recognised:.0%}."
        + _told_of_distance(measured)
    )


def _told_of_distance(measured: quality.Quality) -> str:
    """How far chance alone moves a Fréchet distance; nothing where that was not measured."""
    if not measured.repeated:
        return ""
    again = np.array(measured.repeated)
    either = math.hypot(measured.floor_spread, again.std(ddof=1))
    return (
        f" So few pictures do not fix a distribution: {REAL_SETS} sets of "
        f"{measured.count} real digits, drawn at random, have themselves a Fréchet distance of "
        f"{plus_minus(f'{measured.floor:.0f}', f'{measured.floor_spread:.0f}')} (mean, standard "
        "deviation; the line is the mean), and "
        f"{quality_chart.name_of(quality.Point(*quality.REPEATED, 0, 0, 0))} with "
        f"{quality.REPEATED.steps} calls, drawn {len(again)} times from other noise, "
        f"{plus_minus(f'{again.mean():.0f}', f'{again.std(ddof=1):.0f}')}. A point within about "
        f"{2 * either:.0f} of the line can't be told from it, on either side. Luck moves all "
        "points together, as they share their noise."
    )


def _measure_again(
    denoiser: NetworkDenoiser, measured: quality.Quality, live: list[LivePoint]
) -> None:
    options = list(range(len(measured.points)))
    default = next(i for i in options if measured.points[i].sampler == "ddim")
    one, two = st.columns([2, 3], vertical_alignment="bottom", gap="medium")
    chosen = one.selectbox(
        "One point, measured live", options, index=default, key="quality_point",
        format_func=lambda i: f"{quality_chart.name_of(measured.points[i])}, "
        f"{measured.points[i].calls} calls",
    )  # fmt: skip
    point = measured.points[chosen]
    if two.button(
        f"Sample {LIVE_COUNT} digits and count", icon=":material/experiment:", key="quality_live"
    ):
        fresh = _count(denoiser, point, seed=LIVE_SEED + len(live))
        live[:] = [*live[-5:], fresh]
    if live:
        st.markdown(verdict(live[-1], measured))


def _count(denoiser: NetworkDenoiser, point: quality.Point, seed: int) -> LivePoint:
    """Sample a few digits, step by step in turn with everybody else, and have them judged."""
    label = torch.arange(LIVE_COUNT) % 10
    setting = quality.Setting(point.sampler, point.variance, point.steps)
    walk = quality.draw(denoiser.diffusion, denoiser, label, setting, seed=seed)
    bar, parts = st.progress(0.0, text="Sampling …"), []
    for done in range(point.steps + 1):
        with STEPS.turn():
            parts.append(next(walk))
        bar.progress((done + 1) / (point.steps + 1), text="Sampling …")
    right = round(quality.recognised(judge(), torch.cat(parts), label) * LIVE_COUNT)
    return LivePoint(point, right, LIVE_COUNT)


def verdict(live: LivePoint, measured: quality.Quality) -> str:
    """One sentence on the point measured last, beside the stored one."""
    share = plus_minus(f"{live.right / live.count:.0%}", f"{live.error:.0%}")
    return (
        f"**Live, {live.count} digits only:** {quality_chart.name_of(live.point)} with "
        f"{live.point.calls} calls drew {live.right} of {live.count} as asked, "
        f"{share}; of the {measured.count} stored, "
        f"{live.point.recognised:.1%}. It is the diamond in the first chart. A Fréchet distance "
        "of so few would mean nothing."
    )


def intro() -> None:
    """Say what is compared."""
    chapter.prose(
        "A picture costs as many network calls as the sampler makes. Two judges: how often a "
        "classifier sees the digit that was asked for, and the "
        + chapter.term(
            "Fréchet distance",
            "how far the cloud of pictures lies from that of real digits, in mean and spread, "
            "by what the classifier notices",
        )
        + ". They need not agree: a sampler that draws the same textbook seven every time "
        "pleases the first and not the second."
    )
