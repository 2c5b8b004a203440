"""What the page on guidance shows: guided walks, two gradients, digits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pages.shared.bench import spoken_steps
from pages.shared.cloud import Cloud, Strokes, Word
from pages.shared.guidance_world import (
    COUNT,
    REACH,
    STEPS,
    WIDE,
    Gradients,
    Guided,
    Shot,
    circle,
    clean_circles,
    middle_place,
    shades,
)
from pages.shared.player import Curve, Frames, Panel
from pages.shared.score_world import times

COLORS = ("q", "p", "bits")
TRAILS = 6
SIDE = 40  # of a plane, magnified at most SCALE times
SCALE = 6
POWERS = {0.0: "⁰", 1.0: "¹", 2.0: "²", 3.0: "³", 5.0: "⁵", 8.0: "⁸"}
APART = 300  # the t at which the two averages are shown for good


def spoken(scale: float) -> str:
    """A scale as a power: "2", "1.5"."""
    return f"{scale:g}"


def walk_frames(told: Guided, scale: float) -> Frames:
    """The class alone, guided, and what guidance is said to draw from; and why they differ."""
    names = ("the class (s = 1)", f"guided, s = {spoken(scale)}", "p(x) p(y|x)ˢ")
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
            extent=WIDE,
            density=shades(WIDE),
            shade="xt",
            trails=0 if k == 2 else TRAILS,
            trail=color,
            rings=None if k == 2 else points[:, :1],
            ring="xt",
            lines=[(circle(), color)],
            strokes=[Strokes(clean_circles(), "xt", 1, (2, 3))],
            side=SIDE,
            words=(
                Word(-1.7, 2.55, "asked for", color),
                Word(1.7, 2.55, "not asked for"),
                Word(-0.3, -0.8, [f"{share:.0%}" for share in told.middle[k]], color),
            ),
        )
        for k, (title, alt, points, color) in enumerate(
            zip(titles, alts, told.points, COLORS, strict=True)
        )
    ]
    middle = "of the class’ side: share in the circled group"
    sure = "p(y | xₜ) on average"
    curves = [
        Curve(name, values, color, middle, 0, 0.5)
        for name, values, color in zip(names, told.middle[:3], COLORS, strict=True)
    ]
    curves.append(Curve("q(xₜ) p(y|xₜ)ˢ", told.middle[3], "p", middle, 0, 0.5, dash="5 5"))
    curves += [
        Curve(name, values, color, sure, 0, 1)
        for name, values, color in zip(names, told.sure, COLORS, strict=True)
    ]
    captions = spoken_steps(times(STEPS), 0, STEPS + 1)
    return Frames([], captions, curves, clouds=[*clouds, powers_cloud(told.powers, scale)])


def at_the_middle(powers: np.ndarray) -> np.ndarray:
    """Powers [2, n, PLACES] where the class' middle group lies at each stop: [2, n]."""
    along = np.linspace(-REACH, REACH, powers.shape[2])
    return np.array(
        [
            [np.interp(x, along, values) for x, values in zip(middle_place(), way, strict=True)]
            for way in powers
        ]
    )


def powers_cloud(powers: np.ndarray, scale: float) -> Cloud:
    """Along the line through both middle groups: two averages that s is put on before and after.

    Both are drawn over their values on the class' far side, since only differences push.
    What they are at t = `APART` stays, dashed: at the walks' end the two have met.
    """
    along = np.linspace(-REACH, REACH, powers.shape[2])
    powers = powers / powers[..., :1]  # what is the same everywhere pushes nowhere
    height = 0.7 * REACH  # of 1; 0 is as far below the middle
    ways = [np.stack(np.broadcast_arrays(along, height * (2 * v - 1)), axis=-1) for v in powers]
    floor = np.broadcast_to([[-REACH, -height], [REACH, -height]], (powers.shape[1], 2, 2))
    here = height * (2 * at_the_middle(powers) - 1)
    dots = np.stack(np.broadcast_arrays(middle_place(), here), axis=-1).transpose(1, 0, 2)
    apart = times(STEPS).index(APART)
    power = POWERS.get(scale, "ˢ")
    order = "=" if scale in (0, 1) else "<" if scale > 1 else ">"
    return Cloud(
        f"(average of p){power} {order} average of p{power}",
        "along the line through both middle groups, the power of the average and the average of "
        f"the powers; dashed at t = {APART}",
        dots, color="xt", extent=REACH, radius=3, side=SIDE,
        lines=[(floor, "xt"), (ways[1], "bits"), (ways[0], "p")],
        strokes=[_dashed(ways[1][apart], "bits"), _dashed(ways[0][apart], "p")],
        words=(
            Word(1.1, 1.25, "average of", "bits"),
            Word(1.1, 0.85, "the powers", "bits"),
            Word(1.1, 0.25, "power of", "p"),
            Word(1.1, -0.15, "the average", "p"),
            Word(0, 2.15, "factor on q(xₜ), left = 1"),
            Word(-2.2, height, "1"),
            Word(-2.2, 0.25 - height, "0"),
            Word(-1.35, -2.1, "asked for"),
            Word(1.35, -2.1, "not asked for"),
        ),
    )  # fmt: skip


def _dashed(line: np.ndarray, color: str) -> Strokes:
    """A line [L, 2] in dashes, the same in all frames."""
    return Strokes(
        np.concatenate([line[:-1], np.diff(line, axis=0)], axis=1)[None], color, dash=(3, 4)
    )


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
              density=shades(REACH)[:n], shade="xt", arrows=arrows, field=color)
        for (title, alt, color), arrows in zip(titles, told.arrows, strict=True)
    ]  # fmt: skip
    chart = "the push, over the right one’s size: error (log)"
    curves = [Curve("of clean points", told.off, "bits", chart, 0.01, 1e4, digits=1, log=True)]
    shift = "another question, a step’s shift of μ: error over its size"
    curves += [
        Curve("gradient at xₜ (code)", told.shift[0], "q", shift, 0, 1),
        Curve("gradient at μ (derived)", told.shift[1], "eps", shift, 0, 1),
    ]
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
            Curve(name, outside, color, "pixels of x̂₀ beyond black or white (%)", 0, 100, digits=0)
        )
    captions = spoken_steps(stops, start, len(shots))
    counts = [shot.recognised for shot in shots[-1]]
    if None not in counts:
        captions[-1] += f" · recognised of {COUNT}: {' and '.join(map(str, counts))}"
    return Frames(panels, captions, curves)
