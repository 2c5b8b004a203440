"""Steps against quality for categories: what the card says, and a small live count."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.checkpoints import read_card
from diffusion_core.datasets import to_unit
from diffusion_core.quality import standard_error
from diffusion_core.recipes import RECIPES
from pages.shared import discrete_networks as networks
from pages.shared.discrete_bench import Row, Start, panel, times_of, walk
from pages.shared.numbers import plus_minus
from pages.shared.player import Curve, player
from pages.shared.quality_exhibit import judge
from pages.shared.runs import STEPS

LIVE_STEPS = (1, 2, 4, 8, 16, 32)
LIVE_COUNT = 36
SHOWN = 16
LIVE_SEED = 2_000
CERTAIN = "how certain a classifier is, %"
RIGHT = "recognised as the digit asked for, %"
CLASSES = "different digits among them"
BITS = "bound, bits per dimension"
COMPARED = {
    BITS: "bits/dim",
    "recognised as its class": "recognised",
    "Fréchet distance": "Fréchet distance",
}
"""Metrics on a card -> their column."""


class Point(NamedTuple):
    """What was sampled with some number of steps.

    Attributes:
        steps: network calls.
        right: how many were recognised as asked; None where no class can be asked for.
        certain: mean probability of the likeliest class.
        classes: how many of the ten digits the classifier saw.
        pictures: uint8 [SHOWN, 28, 28].
    """

    steps: int
    right: int | None
    certain: float
    classes: int
    pictures: np.ndarray


def sample_and_judge(row: Row, counts: Sequence[int] = LIVE_STEPS) -> list[Point]:
    """Sample with each number of steps, in turn with everybody else, and have it judged."""
    counts = [n for n in counts if n <= row.net.T]
    bar, done, points = st.progress(0.0, text="Sampling …"), 0, []
    for n in counts:
        start = Start("each", n, LIVE_SEED, LIVE_COUNT)
        generator = torch.Generator().manual_seed(start.seed)
        x = row.net.denoiser.diffusion.prior_sample((start.count, *row.net.shape), generator)
        steps = walk(row, x, times_of(row.net, n)[:-1], start, generator)
        for _ in range(n + 1):
            with STEPS.turn():
                x = next(steps).x_t
            done += 1
            bar.progress(done / (sum(counts) + len(counts)), text=f"Sampling with {n} steps …")
        points.append(judged(row.net.bytes(x), n, start.label(row.net)))
    bar.empty()
    return points


def judged(pictures: torch.Tensor, steps: int, label: torch.Tensor | None) -> Point:
    """What the classifier makes of pictures, uint8 [N, 28, 28]."""
    with torch.inference_mode():
        probs = judge()(to_unit(pictures)).softmax(1)
    most, seen = probs.max(1)
    right = None if label is None else int((seen == label).sum())
    return Point(steps, right, float(most.mean()), len(seen.unique()), pictures[:SHOWN].numpy())


def section(row: Row, sha256: str) -> None:
    """The card's figures, and the live count with its pictures."""
    card_metrics(row.net.card.fields.get("metrics"), row.net.about.name)
    kernels_compared(row.net.about.name)
    kept: dict[Any, list[Point]] = st.session_state.setdefault("_discrete_quality", {})
    ident = (sha256, row.order if row.net.orders else "")
    if st.button(
        f"Sample {LIVE_COUNT} pictures with {', '.join(map(str, LIVE_STEPS))} steps",
        icon=":material/experiment:", key="ds_measure",
    ):  # fmt: skip
        kept[ident] = sample_and_judge(row)
    if ident not in kept:
        st.caption("It takes some seconds. Nothing is stored: these are your own samples.")
        return
    points = kept[ident]
    draw(row, points)


def draw(row: Row, points: Sequence[Point]) -> None:
    """One frame per number of steps."""
    images = np.stack([np.repeat(p.pictures[..., None], 3, -1) for p in points])
    asked = points[0].right is not None
    main = [100 * (p.right or 0) / LIVE_COUNT if asked else 100 * p.certain for p in points]
    player(
        [panel("finished pictures", "what this number of steps makes", images, "x0", 0)],
        key="ds_quality_player",
        total=len(points),
        captions=[caption(p) for p in points],
        curves=[
            Curve("", np.array(main), "p", RIGHT if asked else CERTAIN, 0, 100, digits=0),
            Curve("", np.array([p.classes for p in points], float), "x0", CLASSES, 0, 10, digits=0),
        ],
        ticks=[(i, str(p.steps)) for i, p in enumerate(points)],
        ends=("one step", f"{points[-1].steps} steps"),
        scale=2,
        frame=len(points) - 1,
        fps=1,
        report_frame=False,
        label="Finished pictures, from few steps to many",
    )
    st.caption(
        f"{row.name}: {LIVE_COUNT} pictures per number of steps, {SHOWN} of them shown, judged by "
        "the shipped classifier. So few tell a large difference and no small one. A judge's "
        "certainty says nothing of variety; the second curve does."
    )


def caption(point: Point) -> str:
    """One line under the pictures."""
    steps = f"{point.steps} step{'s' if point.steps > 1 else ''}"
    if point.right is None:
        return f"{steps} · certain {point.certain:.0%} · {point.classes} of 10 digits"
    rate = point.right / LIVE_COUNT
    error = standard_error(rate, LIVE_COUNT)
    share = plus_minus(f"{rate:.0%}", f"{error:.0%}")
    return f"{steps} · {point.right} of {LIVE_COUNT} as asked, {share}"


def kernels_compared(name: str) -> None:
    """The cards of networks with one recipe but for the kernel, best bound first."""
    figures = {
        other: {m["name"]: m for m in read_card(other, networks.ROOT).fields.get("metrics") or []}
        for other in networks.siblings(name, networks.available())
    }
    ranked = sorted(
        (other for other in figures if BITS in figures[other]),
        key=lambda other: float(figures[other][BITS]["value"]),
    )
    if len(ranked) < 2:
        return
    rows = [
        "| kernel | " + " | ".join(COMPARED.values()) + " |",
        "|---" * (1 + len(COMPARED)) + "|",
    ]
    rows += [
        f"| {networks.KERNELS[RECIPES[other].kernel]} | "
        + " | ".join(_figure(figures[other].get(metric)) for metric in COMPARED)
        + " |"
        for other in ranked
    ]
    order = networks.KERNELS[RECIPES[ranked[0]].kernel]
    for better, worse in itertools.pairwise(ranked):
        apart = _apart(figures[better][BITS], figures[worse][BITS])
        told = " better than " if apart else " level with "
        order += told + networks.KERNELS[RECIPES[worse].kernel]
    st.markdown(
        "**Only the kernel differs** (test digits for the bound, samples for the rest):\n\n"
        + "\n".join(rows)
    )
    floors = {
        str(m["reference"]) for of in figures.values() for m in of.values() if m.get("reference")
    }
    st.caption(
        f"By the bound: {order} (level: less than two standard errors apart). D3PM found Gaussian "
        "better than absorbing better than uniform on photographs in colour (Austin et al. 2021, "
        "their results on CIFAR-10). Lower is better for bits and distance. A distance's floor "
        f"({', '.join(sorted(floors))}) is that of as many real digits; below it a network is not "
        "better than reality, since so few pictures do not fix a distribution."
    )


def _apart(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two means differ by more than two standard errors of their difference."""
    error = math.hypot(*(float(m.get("standard_error", 0)) for m in (one, other)))
    return abs(float(one["value"]) - float(other["value"])) > 2 * error


def _figure(metric: dict[str, Any] | None) -> str:
    if metric is None:
        return "–"
    value, error = f"{metric['value']:.4g}", metric.get("standard_error")
    return value if error is None else plus_minus(value, f"{error:.2g}")


def card_metrics(metrics: object, name: str) -> None:
    """What was measured for the card, each with its number of samples."""
    found = [
        m for m in (metrics if isinstance(metrics, list) else [])
        if isinstance(m, dict) and isinstance(m.get("value"), int | float)
        and math.isfinite(m["value"])
    ]  # fmt: skip
    if not found:
        st.caption(f"Nothing has been measured for the card of {name} yet.")
        return
    rows = [
        f"- **{m.get('name')}**: {_figure(m)} ({m.get('samples')} samples; {m.get('setting')}"
        + (f"; {m['reference']})" if m.get("reference") else ")")
        for m in found
    ]
    st.markdown("On its card:\n" + "\n".join(rows))
