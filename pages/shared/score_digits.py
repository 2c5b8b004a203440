"""The view of the page on the score in which a network's score leads to pictures, in four ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.score_walks import WAYS, noise_seen, score_walk
from pages.shared import bench, chapter, load
from pages.shared.chapter import Confusion
from pages.shared.first_look import remembering
from pages.shared.player import Curve, Frames, Panel, follow, session_runs

CALLS = (10, 20, 50, 100, 200)
RATES = (0.1, 0.3, 1.0)
RATE = 0.3
COUNT = 9
TITLES = {
    "sde": "SDE: fresh noise",
    "ode": "ODE: no noise",
    "corrected": "SDE, corrected",
    "langevin": "Langevin",
}
COLORS = {"sde": "eps", "ode": "p", "corrected": "x0", "langevin": "bits"}
NOISE = "noise that the network sees, over what the level has"
SURE = "p(digit asked for | x̂₀), these nine"


def on_digits(second: DeltaGenerator) -> None:
    """Four walks from one noise, with as many calls of the network each."""
    calls = second.select_slider(
        "Network calls", CALLS, 20, key="sccalls", bind="query-params", width=210,
        help="Of each walk. The corrected one takes half as many levels, and two calls at each.",
    )  # fmt: skip
    stage = st.container()
    with st.expander("More: Langevin’s steps, which digits, other noise"):
        left, middle, right = st.columns(3, gap="large")
        rate = middle.select_slider(
            "Langevin’s step r, of the noise’s variance", RATES, RATE, key="scrate",
            bind="query-params", format_func=lambda r: f"{r:g}",
        )  # fmt: skip
        digit = left.selectbox(
            "Digits", bench.NAMED, key="scdigit", bind="query-params",
            format_func=bench.digit_name,
        )  # fmt: skip
        seed = right.number_input("Seed", 0, 9999, 0, key="scseed", bind="query-params")
    denoiser, card = load.network_or_stop("digits-eps")
    live = session_runs().open(
        repr(("score digits", card.fields["sha256"], digit, calls, rate, seed)),
        lambda: walks(denoiser, digit, calls, rate, seed),
        calls + 1,
    )
    with stage:
        follow(
            live,
            lambda rows, start: frames(rows, start, calls, rate),
            key="sc_digits", scale=2, autoplay=True, hold=True, report_frame=False,
            charts_last=True, beside=True, rest=calls, ends=("noise", "pictures"),
            label="Four walks along one score",
        )  # fmt: skip
        st.caption(
            "Shown is xₜ, where each walk is. “Corrected” takes one of Langevin’s steps at each "
            f"of half as many levels, too; it adds r = {rate:g} of the level’s noise variance. "
            "Langevin’s walk takes nothing else: its xₜ has far more noise than its t says; the "
            "network notices (lower chart), but removes too little. Nine digits are few: of "
            f"{ASKED}, in 20 calls, {MEASURED[RATE][0]:.1%} (SDE), {MEASURED[RATE][1]:.1%} (ODE) "
            f"and {MEASURED[RATE][2]:.1%} (corrected) are recognised."
        )


def ask() -> None:
    """Which walk is left with noise."""
    sde, ode, corrected, alone = MEASURED[RATE]
    why = (
        f"It lags behind the levels. At its last call the network is told that t = {LAST_T}, and "
        f"names {NAMED[0]:.1f} times that level’s noise, while the pictures’ blank margin has "
        f"{NAMED[1]:.0f} times: the rest stays. Of {ASKED} digits {alone:.0%} are recognised."
    )
    chapter.question(
        f"Each walk gets 20 calls of the network (Langevin’s step: r = {RATE:g}). Which of them "
        "ends in pictures full of noise?",
        {
            "SDE: it adds noise at every step": f"Only as much as the next level has, and that "
            f"goes to 0: {sde:.1%} of {ASKED} digits are recognised. It is Langevin’s. {why}",
            "Langevin’s": why,
            "None: the last call takes it away": f"Of three that is true: {sde:.1%} (SDE), "
            f"{ode:.1%} (ODE) and {corrected:.1%} (corrected) are recognised. Not of Langevin’s. "
            f"{why}",
        },
        answer="Langevin’s",
    )


BY_CARD = (0.976, 0.9645)
"""Share of digits recognised with and without fresh noise, as the network's card has it."""
ASKED = 200  # digits that `MEASURED` is of
MEASURED = {0.3: (0.985, 0.94, 0.98, 0.31), 1.0: (0.985, 0.94, 0.98, 0.67)}
"""Langevin's step -> share recognised as the digits asked for, in 20 calls, as in `WAYS`."""
LAST_T = 50
NAMED = (2.08, 6.4)
"""At Langevin's last of 20 calls, r = RATE: noise that the network names over its level's, and the
standard deviation in the pictures' margins over it; a test walks anew."""
READ = (9, 6, 8, 7)
"""Digits that the classifier reads as asked of the nine on each sheet, in 20 calls, r = 1."""


def recognised(denoiser: NetworkDenoiser, rate: float, calls: int = 20) -> tuple[float, ...]:
    """Compute one of `MEASURED`: as many of each digit, from one noise for all ways."""
    label = torch.arange(ASKED) % 10
    x_T = torch.randn(ASKED, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    shares = []
    for way in WAYS:
        *_, end = score_walk(
            denoiser.diffusion, denoiser, x_T, way, calls, label=label, rate=rate,
            generator=torch.Generator().manual_seed(1),
        )  # fmt: skip
        with torch.inference_mode():
            said = load.classifier()(end.x.float().clamp(-1, 1)).argmax(1)
        shares.append(float((said == label).double().mean()))
    return tuple(shares)


def _shares(rate: float) -> str:
    """What `MEASURED` says, in words."""
    sde, ode, corrected, alone = MEASURED[rate]
    return (
        f"{sde:.1%} (SDE), {ode:.1%} (ODE), {corrected:.1%} (corrected) and {alone:.1%} (Langevin)"
    )


def confusions() -> list[Confusion]:
    """What people ask of networks' scores, each with a setting that shows the answer."""
    return [
        Confusion(
            "Are score models and diffusion models two kinds of network?",
            "Not by the network. Both name the noise in a picture, trained by losses that differ "
            "in their weights only, and −ε̂/σ is the score. What differed was the walk: Song and "
            "Ermon’s was Langevin’s, Ho and others’ the step with fresh noise. Here one network, "
            "trained as DDPM’s, is followed in four ways. With 20 calls each, and long "
            f"steps for Langevin’s (r = 1), of {ASKED} digits {_shares(1.0)} are recognised as the "
            f"ones asked for; with r = {RATE:g}, as the view opens, {MEASURED[RATE][3]:.0%} of "
            "Langevin’s.",
            {"scview": "digits", "scrate": 1.0},
            f"r is 1 now. Last frame: of the nine digits a classifier reads {READ[0]} (SDE), "
            f"{READ[1]} (ODE), {READ[2]} (corrected) and {READ[3]} (Langevin) as asked; on "
            "Langevin’s sheet, under what is left of the noise, you may read fewer.",
            threads=["LuChengTHU/dpm-solver#19"],
        ),
        Confusion(
            "What are predictor and corrector?",
            "The predictor leads to the next level: a step of the SDE or the ODE. If it is long, "
            "it may end beside that level’s data. The corrector stays at the level: one of "
            "Langevin’s steps, which pulls towards its data from wherever the walk is. Here there "
            "is little to correct: with half as many levels, the corrected walk does about as "
            f"well ({MEASURED[0.3][2]:.1%} against {MEASURED[0.3][0]:.1%}).",
            {"scview": "digits"},
            "First and third sheet. Step through: of the levels in the caption, the third stays "
            "for two calls.",
            threads=["jiaor17/DiffCSP#15", "jiaor17/DiffCSP#7"],
        ),
        Confusion(
            "Why is Langevin’s walk so slow by itself?",
            "A step of size r takes it r/2 of the way to its level’s data, 15% for r = 0.3, and "
            f"meanwhile the level falls. It lags behind, and with r = {RATE:g} and 20 calls "
            f"{MEASURED[RATE][3]:.0%} of the digits are recognised. With r = 1 it is faster, "
            f"{MEASURED[1.0][3]:.0%}, but leaves noise of its own: many such steps at one level "
            "end with 1/√(1 − r/4) of its noise, "
            f"{1 / (1 - 1 / 4) ** 0.5:.2f} for r = 1. Song and Ermon took a hundred steps a level.",
            {"scview": "digits"},
            "Lower chart: on the red walk the network sees more noise than the level has, the more "
            "so the nearer it is to the end. Then, under “More”, set Langevin’s step to 1: red "
            "and blue are too noisy from the first step on, and red ends less far off.",
        ),
        Confusion(
            "Why are more digits recognised with fresh noise than without?",
            "In many small steps along an exact score both would end in the same distribution. A "
            "network’s is a little wrong, and they treat a mistake differently. Of points of "
            "N(0, I), where all can be computed, the ODE carries a mistake made at t to the end "
            "in full; of the SDE’s, √ᾱₜ is left, and the rest is drawn anew. That is a likely "
            f"reason. By the network’s card, of 2,000 digits in 50 calls {BY_CARD[0]:.1%} are "
            f"recognised with fresh noise and {BY_CARD[1]:.1%} without.",
            {"scview": "digits", "sccalls": 50},
            "Upper chart, of these nine digits: the purple line settles below orange and blue, and "
            "does not come back.",
        ),
    ]


class Moment(NamedTuple):
    """One walk after some calls.

    Attributes:
        t: its level.
        x: uint8 [H, W] sheet of where it is.
        x0: uint8 [H, W] sheet of what its score points at.
        noise: as `noise_seen`; at the end, of the last call.
        sure: what a classifier gives the digits asked for; NaN where none were.
        told: the level that the network was last told.
    """

    t: int
    x: np.ndarray
    x0: np.ndarray
    noise: float
    sure: float
    told: int


def walks(
    denoiser: NetworkDenoiser, digit: str, calls: int, rate: float, seed: int
) -> Iterator[list[Moment] | None]:
    """All four call by call, with a pause after each one's step.

    Yields:
        A moment of each, calls + 1 times.
    """
    label = bench.Start(digit, calls, seed, COUNT).label
    x_T = torch.randn(COUNT, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
    network = remembering(denoiser, denoiser, denoiser.diffusion.T)
    runs = [
        score_walk(
            denoiser.diffusion, network, x_T, way, calls, label=label, rate=rate,
            generator=torch.Generator().manual_seed(bench.FRESH_SEEDS + seed),
        )
        for way in WAYS
    ]  # fmt: skip
    seen, told = [0.0] * len(runs), [0] * len(runs)
    for _ in range(calls + 1):
        row = []
        for k, run in enumerate(runs):
            stop = next(run)
            x0 = stop.x if stop.prediction is None else stop.prediction.x0
            if stop.prediction is not None:
                seen[k], told[k] = noise_seen(stop), stop.t
            sure = sure_of(x0, label)
            sheets = bench.sheet_of(stop.x), bench.sheet_of(x0)
            row.append(Moment(stop.t, *sheets, seen[k], sure, told[k]))
            if len(row) < len(runs):
                yield None
        yield row


def sure_of(x0: torch.Tensor, label: torch.Tensor | None) -> float:
    """What the classifier gives the digits asked for, on average."""
    if label is None:
        return float("nan")
    with torch.inference_mode():
        probs = load.classifier()(x0.float().clamp(-1, 1)).softmax(1)
    return float(probs[torch.arange(len(label)), label].mean())


def frames(rows: Sequence[Sequence[Moment]], start: int, calls: int, rate: float) -> Frames:
    """Four sheets of where the walks are, and two charts."""
    panels, curves = [], []
    for k, way in enumerate(WAYS):
        own = [row[k] for row in rows]
        panels.append(
            Panel(
                TITLES[way] + (f", r = {rate:g}" if way == "langevin" else ""),
                f"nine pictures on the walk “{TITLES[way]}”",
                np.stack([m.x for m in own]),
                COLORS[way],
                row=k // 2,
            )
        )
    for chart, name, low, top in ((SURE, "sure", 0.0, 1.0), (NOISE, "noise", 0.5, 2.0)):
        curves += [
            Curve(
                TITLES[way],
                np.array([getattr(row[k], name) for row in rows]),
                COLORS[way],
                chart,
                low,
                top,
                dash="6 5" if way == "corrected" else "",
            )
            for k, way in enumerate(WAYS)
        ]
    captions = [
        f"{start + i} of {calls} calls · levels t = " + ", ".join(str(moment.t) for moment in row)
        if start + i < calls
        else f"done in {calls} calls · Langevin’s last was told t = {row[-1].told}, and named "
        f"{row[-1].noise:.2f} times its noise"
        for i, row in enumerate(rows)
    ]
    return Frames(panels, captions, curves)
