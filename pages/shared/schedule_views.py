"""Two schedules on one timeline: their pictures, their charts, and a sentence on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from diffusion_core.schedules import counted_up, evenly_spaced
from pages.shared import chapter
from pages.shared.player import Curve, Panel, player
from pages.shared.schedule_ends import left_of
from pages.shared.schedule_world import DRAWN, PICKED, UNSCALED, Shown

NAMES = {
    UNSCALED: "linear, β as for T = 1000",
    "log_snr_linear": "straight in log-SNR",
    DRAWN: "drawn by you",
}
"""What a picture's title says for the names that only code would choose."""
PLACE = "_schedules_place"
"""Session key: where on the timeline a "Show me" wants to be, as a share of the way."""
REST = 0.4
"""Where the timeline comes to rest: there two schedules differ most visibly."""
SNR_CHART = "log-SNR (nats)"
SIGNAL_CHART = "signal √ᾱ that is left"
BETA_CHART = "β, noise of one step (log)"


def named(schedule: str) -> str:
    """A schedule's name as a sentence has it."""
    return NAMES.get(schedule, schedule)


def said(snr: float) -> str:
    """A signal-to-noise ratio as a caption has it."""
    return f"{snr:.3g}" if np.isfinite(snr) else "∞"


class Words(NamedTuple):
    """What is written about two pictures over time.

    Attributes:
        titles: of the three pictures, the last of which is the difference.
        labels: of the two curves.
        captions: one per frame.
        label: what a screen reader calls the timeline.
        sentence: what is said under it.
        badge: a warning over the second picture.
    """

    titles: tuple[str, str, str]
    labels: tuple[str, str]
    captions: list[str]
    label: str
    sentence: str
    badge: str = ""


# --- schedule A beside schedule B -----------------------------------------------------------------


def show_schedules(shown: Shown, about: str, a: str, b: str, T: int, by_snr: bool) -> None:
    """Schedule A beside schedule B, at equal steps or at equal SNR."""
    left, right = shown.sides
    rows = zip(left.steps, right.steps, left.snr, right.snr, strict=True)
    captions = [
        f"SNR {said(one)} · A at t = {t}, B at t = {s}" if by_snr
        else f"t = {t} of {T} · SNR: A {said(one)}, B {said(other)}"
        for t, s, one, other in rows
    ]  # fmt: skip
    words = Words(
        (f"A: {a}", f"B: {b}", "|A − B|"),
        ("A", "B"),
        captions,
        "Noising under two schedules",
        farthest(shown, T, by_snr),
    )
    if by_snr:
        clocks = left.steps, right.steps
        first = pair(words, clocks, "step t with this SNR", lo=0, hi=T, digits=0)
    else:
        clocks = left.alpha_bar, right.alpha_bar
        first = pair(words, clocks, "ᾱ, share of the variance", lo=0, hi=1, digits=3)
    alts = [f"{about} under schedule {name}" for name in words.labels]
    timeline(shown, words, alts, first, "A: t = " if by_snr else "t = ")
    chapter.prose(words.sentence)


def farthest(shown: Shown, T: int, by_snr: bool) -> str:
    """Where A and B are farthest apart, and their SNRs there."""
    left, right = shown.sides
    worst = int(shown.apart.argmax())
    apart, t, s = shown.apart[worst], left.steps[worst], right.steps[worst]
    one, other = left.snr[worst], right.snr[worst]
    if by_snr:
        ends_early = s == T and other > one
        why = "where B has ended" if ends_early else "as near as B's whole steps come"
        return (
            f"**At the same SNR** the pixels of A and B differ by at most {apart:.3f} on average "
            f"(black to white is 2). That is at t = {t} of A and {s} of B: SNR {said(one)} and "
            f"{said(other)}, {why}."
        )
    return (
        f"**At the same t** the pixels of A and B differ by up to {apart:.3f} on average "
        f"(black to white is 2). That is at t = {t}, where A has the SNR {said(one)} and B "
        f"{said(other)}."
    )


# --- fewer steps ----------------------------------------------------------------------------------


def show_fewer(shown: Shown, about: str, a: str, asked: int, T: int, beside: str) -> None:
    """Kept steps with betas of their own, beside picked betas or steps counted up from 1."""
    steps = shown.sides[0].steps.tolist()
    left, right = (np.sqrt(side.alpha_bar) for side in shown.sides)
    tell = respaced if beside == PICKED else counted
    words = tell(steps, T, a, asked, float(left[-1]), float(right[-1]))
    first = pair(words, (left, right), SIGNAL_CHART, lo=0, hi=1, digits=3)
    timeline(shown, words, [f"{about}, {name}" for name in words.labels], first)
    chapter.prose(too_many(asked, T) + words.sentence)


def respaced(steps: list[int], T: int, a: str, asked: int, left: float, wrong: float) -> Words:
    """Betas of their own beside betas picked from the long list; √ᾱ of both at the end."""
    n = steps[-1]
    kept = [0, *evenly_spaced(T, n)[::-1]]
    return Words(
        ("betas of their own", "picked betas", "difference"),
        ("of their own", "picked"),
        [f"step {k} of {n}, which is t = {kept[k]}" for k in steps],
        "Noising in fewer steps",
        f"**{n} of the {T} steps of {named(a)}.** Betas of their own, 1 − ᾱₜ/ᾱₛ from each kept "
        f"step s to the next one t, end with {left:.2%} of the signal (√ᾱ), as all {T} steps do. "
        f"The betas picked from the long list end with {wrong:.2%}.",
        "wrong on purpose" if asked < T else "",
    )


def counted(steps: list[int], T: int, a: str, asked: int, left: float, right: float) -> Words:
    """Steps counted down from T beside steps counted up from 1; √ᾱ of both at the end."""
    n = steps[-1]
    down, up = ([0, *times(T, n)[::-1]] for times in (evenly_spaced, counted_up))
    told = (
        f"**Where all {T} steps are kept, both ways are the same.** With {named(a)} they end at "
        f"t = {T} with {left:.2%} of the signal (√ᾱ). Keep fewer, and the two part."
        if down == up
        else f"**Sampling starts at the last of these {n} pictures, and puts pure noise in its "
        f"place.** With {named(a)}, steps counted down from T end at t = {down[-1]} with "
        f"{left:.2%} of the signal (√ᾱ); counted up from 1 they end at t = {up[-1]} with "
        f"{right:.2%}. Noise has none: the network takes that for a picture in mid-gray, which is "
        "0."
    )
    return Words(
        ("from T down", "from 1 up", "difference"),
        ("from T down", "from 1 up"),
        [f"step {k} of {n} · t = {down[k]} beside t = {up[k]}" for k in steps],
        "Noising in fewer steps, of two choices",
        told,
    )


def too_many(asked: int, T: int) -> str:
    """What is said when more steps are to be kept than there are."""
    return f"There are only {T} steps, so all of them are kept. " if asked > T else ""


# --- the timeline of either -----------------------------------------------------------------------


def timeline(
    shown: Shown, words: Words, alts: Sequence[str], first: list[Curve], counts: str = "step "
) -> None:
    """The player: three pictures and four charts.

    Args:
        shown: what is on it.
        words: what is written about that.
        alts: what a screen reader says of the first two pictures.
        first: the curves of the first chart.
        counts: what the axis of time counts.
    """
    place = st.session_state.pop(PLACE, None)
    n = len(words.captions)
    left, right = shown.sides
    one, other = words.labels
    rows = zip(map(left_of, left.alpha_bar), map(left_of, right.alpha_bar), strict=True)
    player(
        [
            Panel(words.titles[0], alts[0], left.frames, "q"),
            Panel(words.titles[1], alts[1], right.frames, badge=words.badge),
            Panel(words.titles[2], "distance of the two pictures", shown.difference, lo=0, hi=2),
        ],
        curves=[
            *first,
            *pair(words, (left.log_snr, right.log_snr), SNR_CHART, high=144),
            *pair(words, (left.beta, right.beta), BETA_CHART, digits=5, log=True),
            Curve("difference", shown.apart, "xt", "mean distance of pixels", 0,
                  max(0.5, float(shown.apart.max())), 3),
        ],
        key="schedules_player",
        scale=6,
        total=n,
        captions=words.captions,
        notes=[
            f"{one}: ᾱ {a[0]}, signal √ᾱ {a[1]} · {other}: ᾱ {b[0]}, √ᾱ {b[1]}" for a, b in rows
        ],
        charts_last=True,
        ends=("the picture", "noise"),
        ticks=[(k, f"{counts}{left.steps[k]}") for k in ((n - 1) // 4, (n - 1) // 2)] * (n > 4),
        autoplay=place is None,
        rest=round(REST * (n - 1)),
        hold=place is None,
        frame=None if place is None else round(place * (n - 1)),
        report_frame=False,
        label=words.label,
    )  # fmt: skip


def pair(
    words: Words, values: tuple[np.ndarray, np.ndarray], chart: str, **axes: Any
) -> list[Curve]:
    """A chart's two curves, in the colours of the two pictures.

    Args:
        words: what has their labels.
        values: [n] each.
        chart: its title.
        axes: as `Curve` has them.
    """
    return [
        Curve(label, line, color, chart, **axes)
        for label, line, color in zip(words.labels, values, ("q", "xt"), strict=True)
    ]
