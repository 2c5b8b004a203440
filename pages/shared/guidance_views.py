"""What the page on guidance shows: guided walks, two gradients, digits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pages.shared.cloud import Cloud
from pages.shared.guidance_world import REACH, STEPS, Gradients, Guided, Shot, shades
from pages.shared.player import Curve, Frames, Panel
from pages.shared.score_world import times

COLORS = ("q", "p", "bits")
TRAILS = 6


def spoken(scale: float) -> str:
    """A scale as a power: "2", "1.5"."""
    return f"{scale:g}"


def walk_frames(told: Guided, scale: float) -> Frames:
    """The class alone, guided, and what guidance is said to draw from."""
    names = ("s = 1", f"guided, s = {spoken(scale)}", "p(x) p(y|x)ˢ")
    titles = ("The class alone: s = 1", f"Guided: s = {spoken(scale)}", "Drawn from p(x) p(y|x)ˢ")
    alts = (
        "walks to the asked class without guidance",
        f"walks to the asked class with guidance scale {spoken(scale)}",
        "points drawn from the density that guidance is said to sample, with noise put on",
    )
    clouds = [
        Cloud(
            title,
            f"{alt}, over the density of both classes with noise",
            points,
            color=color,
            extent=REACH,
            density=shades(),
            shade="xt",
            trails=0 if k == 2 else TRAILS,
            trail=color,
        )
        for k, (title, alt, points, color) in enumerate(
            zip(titles, alts, told.points, COLORS, strict=True)
        )
    ]
    middle = "share in the class’ middle group"
    sure = "p(y | xₜ) on average"
    curves = [
        Curve(name, values, color, middle, 0, 0.7)
        for name, values, color in zip(names, told.middle[:3], COLORS, strict=True)
    ]
    curves.append(Curve("q(xₜ) p(y|xₜ)ˢ", told.middle[3], "p", middle, 0, 0.7, dash="5 5"))
    curves += [
        Curve(name, values, color, sure, 0, 1)
        for name, values, color in zip(names, told.sure, COLORS, strict=True)
    ]
    captions = [
        f"t = {t} · step {i} of {STEPS}" if t else f"t = 0 · done in {STEPS} steps"
        for i, t in enumerate(times(STEPS))
    ]
    return Frames([], captions, curves, clouds=clouds)


def gradient_frames(told: Gradients) -> Frames:
    """The push towards the class, from scores and from two classifiers."""
    n = len(told.gap)
    nothing = np.zeros((n, 0, 2), np.float32)
    titles = (
        ("Class minus any: the scores", "the score of the class minus the score of all", "p"),
        ("Classifier that knows the noise", "the gradient of the exact classifier at t", "q"),
        ("Classifier of clean points", "the gradient of a classifier of clean points", "bits"),
    )
    clouds = [
        Cloud(title, f"{alt}, as arrows", nothing, color=color, extent=REACH,
              density=shades()[:n], shade="xt", arrows=arrows, field=color)
        for (title, alt, color), arrows in zip(titles, told.arrows, strict=True)
    ]  # fmt: skip
    chart = "off by so many times the right one’s size (log)"
    curves = [Curve("of clean points", told.off, "bits", chart, 0.01, 1e4, digits=1, log=True)]
    captions = [f"t = {t}" for t in times(STEPS)[:-1]]
    return Frames([], captions, curves, clouds=clouds)


def digit_frames(
    shots: Sequence[Sequence[Shot]], start: int, stops: Sequence[int], scales: Sequence[float]
) -> Frames:
    """Sheets of digits, one per scale."""
    panels, curves = [], []
    for k, scale in enumerate(scales):
        own = [stop[k] for stop in shots]
        color = "q" if k == 0 else "p"
        name = f"s = {spoken(scale)}"
        title = f"$\\hat x_0$ {'guided' if k else 'asked for'}, {name}"
        panels.append(
            Panel(title, f"what is aimed at, {name}", np.stack([s.x0 for s in own]), "x0")
        )
        outside = np.array([100 * s.outside for s in own])
        curves.append(
            Curve(name, outside, color, "pixels of x̂₀ out of range (%)", 0, 100, digits=0)
        )
    total = len(stops) - 1
    captions = [
        f"t = {t} · step {start + i} of {total}" if t else f"t = 0 · done in {total} steps"
        for i, t in enumerate(stops[start : start + len(shots)])
    ]
    return Frames(panels, captions, curves)
