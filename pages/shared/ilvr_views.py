"""What the page on ILVR shows: digits held to a reference, two pixels beside their true law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pages.shared import ilvr_world
from pages.shared.bench import spoken_steps
from pages.shared.cloud import Cloud, Strokes, Word
from pages.shared.ilvr_world import REACH, Asked, Pixels, Shot
from pages.shared.player import Curve, Frames, Panel

UNTIL = {0: "to the end", ilvr_world.FREE: "nothing held"}


def spoken(asked: Asked, of: Asked) -> str:
    """In a few words: how `asked` is held, as far as `of` is not held as is usual."""
    usual = of.usual()
    parts = []
    if of.last != usual.last:
        parts.append(UNTIL.get(asked.last, f"until t = {asked.last}"))
    if of.told != usual.told:
        parts.append("no class told" if asked.told is None else f"told {asked.told}")
    if of.noised != usual.noised:
        parts.append("with noise" if asked.noised else "without noise")
    return ", ".join(parts)


def digit_frames(
    shots: Sequence[Shot], start: int, stops: Sequence[int], reference: np.ndarray, asked: Asked
) -> Frames:
    """The reference, what is held of it, and the digits; beside those to compare with, if any."""
    fixed = np.repeat(ilvr_world.both(reference, asked.N)[None], len(shots), 0)
    panels = [Panel("y, φ(y)", "the reference, and under it its block means", fixed, "q")]
    sheet = "the digits that the network sees in them"
    own, usual = spoken(asked, asked), spoken(asked.usual(), asked)
    beside = [shot.usual for shot in shots if shot.usual is not None]
    ways = [(own or "x̂₀", "x0", shots)]
    if beside:
        ways.insert(0, (usual, "xt", beside))
        panels += [
            Panel(f"$\\hat x_0$: {usual}", f"{sheet}, {usual}",
                  np.stack([s.x0 for s in beside]), "xt"),
            Panel(f"$\\hat x_0$: {own}", f"{sheet}, {own}",
                  np.stack([s.x0 for s in shots]), "x0"),
        ]  # fmt: skip
    else:
        panels += [
            Panel("$x_t$: the pictures so far", "the noisy pictures",
                  np.stack([s.x_t for s in shots]), "xt"),
            Panel("$\\hat x_0$: its guess of them", sheet,
                  np.stack([s.x0 for s in shots]), "x0"),
        ]  # fmt: skip
    gap = "block means of x̂₀ off those of y (root mean square)"
    faint = "faint pixels of x̂₀, neither ink nor black (%)"
    curves = [
        *(Curve(name, np.array([s.gap for s in way]), color, gap, 0, 1)
          for name, color, way in ways),
        *(Curve(name, np.array([100 * s.faint for s in way]), color, faint, 0, 60, digits=0)
          for name, color, way in ways),
    ]  # fmt: skip
    return Frames(panels, spoken_steps(stops, start, len(shots)), curves)


def pixel_frames(told: Pixels) -> Frames:
    """ILVR's walks in the plane of two pixels, and what is known exactly of three laws."""
    names = ("ILVR", "told φ(y)", "true")
    looks = (("p", ()), ("bits", ()), ("q", (5.0, 5.0)))
    plane = Cloud(
        "ILVR’s walks, and densities along the line",
        "walks held to the mean gray of two pixels, over the density of all noisy data, and the "
        "densities along the line of that mean gray: ILVR’s, told, true",
        told.points, color="p", extent=REACH, density=ilvr_world.shades(), shade="xt", radius=2,
        side=28, axes=("left pixel", "right pixel"),
        words=[
            Word(1.5, 2.45 - 0.3 * k, [f"{name}: {a:.2f}, {b:.2f}" for a, b in
                 zip(told.left[k] + 0.0, told.right[k] + 0.0, strict=True)], color)
            for k, (name, (color, _)) in enumerate(zip(names, looks, strict=True))
        ],
        strokes=[
            Strokes(ilvr_world.line(), "xt", 1),
            *(Strokes(bell, color, 2.5, dash)
              for bell, (color, dash) in zip(ilvr_world.bells(told), looks, strict=True)),
        ],
    )  # fmt: skip
    mean, wide = "average of each pixel: left above, right below", "spread of left − right"
    means, spreads = [], []
    for k, (name, (color, dash)) in enumerate(zip(names, looks, strict=True)):
        pattern = " ".join(f"{d:g}" for d in dash)
        means += [
            Curve(f"{name}, {side}", values[k], color, mean, 0, 1.6, dash=pattern)
            for side, values in (("left", told.left), ("right", told.right))
        ]
        spreads.append(Curve(name, told.spread[k], color, wide, 0, 1.5, dash=pattern))
    captions = [f"t = {t}" if t else "t = 0 · done" for t in ilvr_world.shown()]
    return Frames([], captions, [*means, *spreads], clouds=[plane])
