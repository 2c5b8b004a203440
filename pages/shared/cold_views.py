"""What the page on cold diffusion shows: digits restored, noise taken away, digits from gray."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from diffusion_core.cold import STEPS, blur, variety
from pages.shared.bench import sheet_of, spoken_steps
from pages.shared.cold_world import (
    SHOWN,
    WATCHED,
    WAYS,
    Born,
    NoiseShot,
    Shot,
    gallery_of,
    gray_of,
    shown_classes,
    shown_digits,
)
from pages.shared.palette import COLORS as PALETTE
from pages.shared.player import Curve, Frames, Panel

TITLES = {
    "naive": "1: $\\hat x_0$ blurred again",
    "improved": "2: $x_t$ + change of $D(\\hat x_0)$",
}
GLYPHS = (  # rows of three pixels
    "### #.# #.# #.# ###",
    ".#. ##. .#. .#. ###",
    "### ..# ### #.. ###",
    "### ..# .## ..# ###",
    "#.# #.# ### ..# ..#",
    "### #.. ### ..# ###",
    "### #.. ### #.# ###",
    "### ..# ..# .#. .#.",
    "### #.# ### #.# ###",
    "### #.# ### ..# ###",
)
COLORS = {"naive": "bits", "improved": "p"}
NOISE_TITLES = (
    ("DDIM: $x_t$", "DDIM", "q"),
    ("Algorithm 2, noise of $x_t$", "algorithm 2 with the noise that x_t holds", "p"),
    ("Algorithm 1, fresh noise", "algorithm 1 with fresh noise", "bits"),
    ("Algorithm 2, fresh noise", "algorithm 2 with fresh noise", "eps"),
)
NOISE_NAMES = ("DDIM", "algorithm 2", "1, fresh noise", "2, fresh noise")
GAP = "largest difference of a pixel from DDIM’s (log)"
TINY = 1e-8
FINE = 25  # t below which errors are so small that they need a third digit


def marked(shot: Shot) -> np.ndarray:
    """A sheet in colours, with what the judge reads in the corner of digits it takes for others.

    Returns:
        uint8 [H, W, 3].
    """
    out = np.repeat(shot.x_t[..., None], 3, axis=2)
    red = [int(PALETTE["bits"][k : k + 2], 16) for k in (1, 3, 5)]
    side = round(SHOWN**0.5)
    for k, (said, true) in enumerate(zip(shot.read, shown_classes().tolist(), strict=False)):
        if said != true:
            rows = [[dot == "#" for dot in row] for row in GLYPHS[said].split()]
            top, left = 29 * (k // side) + 1, 29 * (k % side) + 24
            out[top - 1 : top + 6, left - 1 : left + 4] = 0  # or it can't be read on stripes
            out[top : top + 5, left : left + 3][np.array(rows)] = red
    return out


def stretched(x: Tensor, n: int, level: int) -> Panel:
    """What is given, from its darkest pixel to its brightest."""
    lo, hi = float(x.min()), max(float(x.max()), float(x.min()) + 1e-3)
    shown = sheet_of((x - lo) * (2 / (hi - lo)) - 1)
    return Panel(
        f"Given: $x_{{{level}}}$, contrast × {2 / (hi - lo):.1f}",
        "the blurred digits that are to be restored, their contrast stretched",
        still(shown, n), lo=lo, hi=hi,
    )  # fmt: skip


def still(picture: np.ndarray, n: int) -> np.ndarray:
    """A picture that stays the same for n frames."""
    return np.broadcast_to(picture, (n, *picture.shape))


def restore_frames(shots: Sequence[Sequence[Shot]], start: int, kind: str, level: int) -> Frames:
    """The true digits, what is given, what is said at once, and the ways back."""
    n, x0 = len(shots), shown_digits()
    given = blur(x0, torch.full((len(x0),), level))
    panels = [
        Panel("True digits: $x_0$", "the digits before they were blurred", still(sheet_of(x0), n),
              "x0"),
        stretched(given, n, level),
    ]  # fmt: skip
    if kind != "mean":
        alt = f"what the restorer says at t = {level}"
        panels.append(Panel("Asked once: $\\hat x_0$", alt, still(marked(shots[0][-1]), n), "x0"))
    gray = f"mean gray of the {shown_classes()[WATCHED]} (white is 1)"
    error = "mean squared error from $x_0$"
    curves, digits = [], 3 if level < FINE else 2
    for k, way in enumerate(WAYS[kind]):
        squares = way.degradation != "blur"
        color = "q" if squares else COLORS[way.rule]
        name = f"algorithm {1 if way.rule == 'naive' else 2}"
        name += ", squares" if squares else ""
        title = "2, squares instead of blur" if squares else TITLES[way.rule]
        alt = f"{name}: {'squares go' if squares else 'the blur goes'} back step by step"
        panels.append(Panel(title, alt, np.stack([marked(stop[k]) for stop in shots]), color))
        tracks = {error: np.array([stop[k].error for stop in shots])}
        if not squares:  # they are bright, and have another gray at every step
            tracks[gray] = np.array([stop[k].gray for stop in shots])
        curves += [
            Curve(name, values, color, chart, 0, digits=3 if chart == gray else digits)
            for chart, values in tracks.items()
        ]
    at_once = np.array([stop[-1].error for stop in shots])
    curves += [
        Curve("asked once", at_once, "x0", error, 0, digits=digits, dash="5 5"),
        Curve("true", np.full(n, gray_of(x0)), "x0", gray, 0, digits=3, dash="5 5"),
    ]
    stops = range(level, -1, -1)
    # A chart's curves stand together, in the order in which the text speaks of them.
    curves.sort(key=lambda curve: curve.chart != error)
    return Frames(panels, spoken_steps(stops, start, n), curves)


def noise_frames(shots: Sequence[Sequence[NoiseShot]], start: int, stops: Sequence[int]) -> Frames:
    """DDIM and the rules of cold diffusion, with noise for a degradation."""
    panels, curves = [], []
    for k, (title, alt, color) in enumerate(NOISE_TITLES):
        panels.append(Panel(title, alt, np.stack([stop[k].x_t for stop in shots]), color))
        if k:
            gap = np.array([max(stop[k].gap, TINY) for stop in shots])
            curves.append(
                Curve(NOISE_NAMES[k], gap, color, GAP, TINY, 100,
                      digits=6 if k == 1 else 1, log=True)
            )  # fmt: skip
    return Frames(panels, spoken_steps(stops, start, len(shots)), curves)


def born_frames(shots: Sequence[Born], start: int, digit: int) -> Frames:
    """Gray that becomes digits, beside the gallery's."""
    n, real = len(shots), gallery_of(digit)
    panels = [
        Panel("From gray: $x_t$", f"{digit}s that come out of flat gray",
              np.stack([s.x_t for s in shots]), "p"),
        Panel("$\\hat x_0$: what the restorer says", "the digits that the restorer names",
              np.stack([s.x0 for s in shots]), "x0"),
        Panel("Gallery, for comparison", f"{digit}s of the gallery", still(sheet_of(real), n), "q"),
    ]  # fmt: skip
    chart = "variety: squared difference of two digits, per pixel"
    curves = [
        Curve("x̂₀ of these", np.array([s.variety for s in shots]), "p", chart, 0),
        Curve("the gallery’s", np.full(n, float(variety(real))), "q", chart, 0, dash="5 5"),
    ]
    return Frames(panels, spoken_steps(range(STEPS, -1, -1), start, n), curves)
