"""What the page on the score shows: walks, one place, a network that learns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffusion_core.mixtures import PLANE_DATA
from pages.shared.cloud import Cloud, Strokes
from pages.shared.player import Curve, Frames
from pages.shared.score_world import (
    DATA,
    EXTENT,
    PLACE_TIMES,
    Lesson,
    Place,
    Walks,
    border,
    field,
    shade,
    times,
    true_share,
)

NAMES = ("SDE: fresh noise", "ODE: no noise", "Langevin")
COLORS = ("eps", "p", "bits")
TRAILS = 4  # walkers whose way is drawn
FRESH = 8  # of its steps, the last ones, in full
SHARE = "share at the lower left"
FAR = "distance from the noisy data at that level (log)"


def level_name(level: int) -> str:
    """What a level that Langevin's walk stays at is called."""
    return f"stays at t = {level}" if level else "falls like the others'"


def walk_frames(told: Walks, data: str, steps: int, level: int) -> Frames:
    """Three walks side by side over the density and the score at their level."""
    stops = tuple(times(steps))
    levels = (stops, stops, (level,) if level else stops)
    titles = (*NAMES[:2], f"Langevin: {level_name(level)}")
    clouds = [
        Cloud(
            title,
            f"walkers over the density of the data with noise ({DATA[data].lower()}); {title}",
            points,
            color=color,
            extent=EXTENT,
            density=shade(data, at),
            arrows=field(data, at),
            trails=TRAILS,
            trail=color,
            fresh=FRESH,
            strokes=[Strokes(border(), "xt", 1, (6, 5))] if data == "two" else [],
        )
        for title, points, color, at in zip(titles, told.points, COLORS, levels, strict=True)
    ]
    curves = []
    if data == "two":
        curves = [
            Curve(name, share, color, SHARE, 0, 0.6)
            for name, share, color in zip(NAMES, told.share, COLORS, strict=True)
        ]
        curves.append(Curve("noisy data", told.truth, "q", SHARE, 0, 0.6, dash="6 5"))
        if level:
            own = np.full(len(stops), true_share(PLANE_DATA[data](), level))
            curves.append(Curve(f"noisy data at {level}", own, "bits", SHARE, 0, 0.6, dash="2 4"))
    curves += [
        Curve(name, far, color, FAR, 0.01, 1, log=True)
        for name, far, color in zip(NAMES, told.far, COLORS, strict=True)
    ]
    curves.append(Curve("true draws", told.drawn, "q", FAR, 0.01, 1, log=True, dash="6 5"))
    captions = [
        (f"SDE and ODE: t = {t} · Langevin: t = {level}" if level else f"t = {t}")
        + (f" · step {i} of {steps}" if t else f" · done in {steps} steps")
        for i, t in enumerate(stops)
    ]
    return Frames([], captions, curves, clouds=clouds)


def pair(xy: np.ndarray) -> str:
    """Two numbers: "(0.72, −0.10)"."""
    return "({:.2f}, {:.2f})".format(*(xy + 0.0)).replace("-", "−")


def place_frames(told: Place, data: str, x: float, y: float) -> Frames:
    """The pulls of single pairs and their average at one place, and the x_0 behind them."""
    n = len(PLACE_TIMES)
    here = np.broadcast_to(np.array([x, y], np.float32), (n, 1, 2))
    clean = shade(data, (0,))
    clouds = [
        Cloud(
            "Pulls at $x_t$: single pairs, their mean",
            "arrows from a fixed noisy point to the signal of points it may have been, and their "
            "average, the score times the noise's variance",
            here,
            extent=EXTENT,
            density=shade(data, PLACE_TIMES),
            arrows=told.signal,
            field="eps",
            strong=told.pull,
            radius=5,
        ),
        Cloud(
            "$x_0$ it may have been, $\\hat x_0$ their mean",
            "draws of clean points that may have become the fixed noisy point, and their mean",
            np.concatenate([told.mean, told.x0], axis=1),
            color="x0",
            extent=EXTENT,
            density=clean,
            trails=1,
            trail="p",
            radius=2.5,
        ),
    ]
    curves = [
        Curve("of x₀ around x̂₀", told.spread, "x0", "what xₜ leaves open: rms distance", 0),
    ]
    if data == "two":
        curves.append(Curve("p(group | xₜ)", told.group, "q", "from the lower left group?", 0, 1))
    eps = -told.pull[:, 0, 2:] / told.sigma[:, None]
    captions = [
        f"t = {t} · σ = {s:.2f} · ε̂ = {pair(e)} · score −ε̂/σ = {pair(-e / s)}"
        for t, s, e in zip(PLACE_TIMES, told.sigma, eps, strict=True)
    ]
    return Frames([], captions, curves, clouds=clouds)


def lesson_frames(lessons: Sequence[Lesson], start: int, data: str, level: int) -> Frames:
    """A network's score beside the true one, what it draws, and its loss in two parts."""
    n = len(lessons)
    noisy, clean = shade(data, (level,)), shade(data, (0,))
    nothing = np.zeros((n, 0, 2), np.float32)
    clouds = [
        Cloud("true score", f"the exact score at t = {level} as arrows", nothing, color="q",
              extent=EXTENT, density=noisy, arrows=field(data, (level,))),
        Cloud("the network's", f"the network's score at t = {level} as arrows", nothing, color="p",
              extent=EXTENT, density=noisy, arrows=np.stack([one.field for one in lessons]),
              field="p"),
        Cloud("where its walks end", "points that the network's walks without noise end in, over "
              "the density of the data", np.stack([one.drawn for one in lessons]), color="p",
              extent=EXTENT, density=clean),
    ]  # fmt: skip
    errors = [one.errors for one in lessons]
    parts = "squared error per number (log)"
    curves = [
        Curve("training loss", np.array([e.loss for e in errors]), "bits", parts, 1e-3, 1,
              digits=3, log=True),
        Curve("best possible", np.array([e.floor for e in errors]), "q", parts, 1e-3, 1, digits=3,
              log=True),
        Curve("to be learnt", np.array([e.score for e in errors]), "p", parts, 1e-3, 1, digits=3,
              log=True),
    ]  # fmt: skip
    right = true_share(PLANE_DATA[data](), 0)
    where = "the spiral" if data == "spiral" else "a group"
    captions = [
        f"{one.steps:,} gradient steps · {one.near:.0%} end at {where}"
        + f", {one.share:.0%} at the lower left (of the data {right:.0%})" * (data == "two")
        for one in lessons
    ]
    return Frames([], captions, curves, clouds=clouds)
