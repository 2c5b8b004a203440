"""What the page on ILVR shows: digits held to a reference, two pixels beside their true law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pages.shared import ilvr_world
from pages.shared.cloud import Cloud
from pages.shared.ilvr_world import REACH, Asked, Pixels, Shot
from pages.shared.player import Curve, Frames, Panel


def spoken(asked: Asked, of: Asked) -> str:
    """In a few words: how `asked` is held, as far as `of` is not held as is usual."""
    usual = of.usual()
    parts = []
    if of.last != usual.last:
        parts.append(f"until t = {asked.last}" if asked.last else "to the end")
    if of.told != usual.told:
        parts.append("no class told" if asked.told is None else f"told {asked.told}")
    if of.noised != usual.noised:
        parts.append("with noise" if asked.noised else "without noise")
    return ", ".join(parts)


def digit_frames(
    shots: Sequence[Shot], start: int, stops: Sequence[int], reference: np.ndarray, asked: Asked
) -> Frames:
    """The reference, what is held of it, and the digits; beside those held as is usual, if any."""
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
            Panel("$\\hat x_0$: the digits seen in it", sheet,
                  np.stack([s.x0 for s in shots]), "x0"),
        ]  # fmt: skip
    gap, variety = "φ(x̂₀) off φ(y), rms", "squared difference of two"
    curves = [
        *(Curve(name, np.array([s.gap for s in way]), color, gap, 0, 1)
          for name, color, way in ways),
        *(Curve(name, np.array([s.variety for s in way]), color, variety, 0, 0.6)
          for name, color, way in ways),
    ]  # fmt: skip
    total = len(stops) - 1
    captions = [
        f"t = {t} · step {start + i} of {total}" if t else f"t = 0 · done in {total} steps"
        for i, t in enumerate(stops[start : start + len(shots)])
    ]
    return Frames(panels, captions, curves)


def pixel_frames(told: Pixels, last: int) -> Frames:
    """ILVR's walk beside the true law, and the line that either is held to."""
    titles = (
        ("ILVR", "walks that are held to the mean gray of two pixels", "p"),
        ("ILVR, the denoiser told φ(y)", "the same walks with a denoiser that is told", "bits"),
        ("True: drawn from p(x | φ(x) = φ(y))", "draws of the true law, with noise", "q"),
    )
    to = np.stack([told.left, told.right], 2)[:, :, None]
    averages = np.concatenate([np.zeros_like(to), to], 3)
    clouds = [
        Cloud(title, f"{alt}, over the density of all noisy data", points, color=color,
              extent=REACH, density=ilvr_world.shades(), shade="xt", radius=2,
              arrows=ilvr_world.line(0 if k == 2 else last), field="xt",
              strong=averages[k], pull=color)
        for k, ((title, alt, color), points) in enumerate(zip(titles, told.points, strict=True))
    ]  # fmt: skip
    curves = []
    mean, wide = "mean of each pixel: left above, right below", "spread of left − right"
    for k, name, color in ((0, "ILVR", "p"), (2, "true", "q")):
        dash = "5 5" if k else ""
        curves += [
            Curve(f"{name}, left", told.left[k], color, mean, 0, 1.6, dash=dash),
            Curve(f"{name}, right", told.right[k], color, mean, 0, 1.6, dash=dash),
        ]
    for k, name, color in ((0, "ILVR", "p"), (1, "told φ(y)", "bits"), (2, "true", "q")):
        dash = "5 5" if k == 2 else ""
        curves.append(Curve(name, told.spread[k], color, wide, 0, 1.5, dash=dash))
    captions = [f"t = {t}" if t else "t = 0 · done" for t in ilvr_world.shown()]
    return Frames([], captions, curves, clouds=clouds)
