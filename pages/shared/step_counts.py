"""The same start with more and more steps, and pictures sent to noise and back. No Streamlit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.samplers import Step, encode, sample
from diffusion_core.schedules import evenly_spaced
from diffusion_core.step_table import turn_gap
from pages.shared import bench
from pages.shared.first_look import remembering
from pages.shared.player import Curve, Frames, Panel

COUNTS = (1, 2, 5, 10, 20, 50)
LOOPS = (5, 10, 20, 50, 100)
SENT = 9  # pictures that go to noise and back,
ROW = 17  # those of this row of the gallery: each is taken for its class, a test holds
ONE_STEP, FIFTY_STEPS = 0.03, 0.51
"""Spread of a pixel among 16 pictures of digits-v, no class, `bench.SEED`; a test measures it."""
RETURNED = {10: 0.37, 100: 0.08}
"""Steps -> how far digits-v, not told the digit, brings a digit back off (rms); likewise."""
TOLD = {10: 0.30, 100: 0.03}
"""The same when it is told the digit."""
FOUND = 0.6
"""Spread of the noise it finds with the most of these steps."""


class Grown(NamedTuple):
    """What one number of steps makes of a starting noise.

    Attributes:
        noise: uint8 [H, W] sheet of x_T.
        made: uint8 [H, W] sheet of the finished pictures.
        spread: standard deviation of a pixel among the pictures (rms over pixels).
        gray: share of the pixels that are neither black nor white.
        largest: largest absolute value of the first x0_hat before it is clipped.
    """

    noise: np.ndarray
    made: np.ndarray
    spread: float
    gray: float
    largest: float


class Loop(NamedTuple):
    """What one number of steps does to pictures on their way to noise and back.

    Attributes:
        picture, found, back: uint8 [H, W] sheets: as they were, the noise found, returned.
        off: uint8 [H, W] sheet of the difference, gray for none.
        error: its root mean square.
        turn: the most that a single step up and down misses by (rms).
        spread: standard deviation of the noise found.
    """

    picture: np.ndarray
    found: np.ndarray
    back: np.ndarray
    off: np.ndarray
    error: float
    turn: float
    spread: float


def grow(denoiser: NetworkDenoiser, digit: str, seed: int) -> Iterator[Grown | None]:
    """Sample from one x_T with each of `COUNTS` steps (DDIM); None after each network call."""
    T = denoiser.diffusion.T
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(bench.COUNT, 1, 28, 28, generator=generator)
    label = bench.Start(digit, 1, seed).label
    for count in COUNTS:
        first = None
        for step in sample(
            denoiser.diffusion, remembering(denoiser, denoiser, T), x_T, evenly_spaced(T, count),
            label=label, generator=torch.Generator(),
        ):  # fmt: skip
            first = first or step.raw
            if step.t:
                yield None
        assert first is not None
        made = step.x_t
        yield Grown(
            bench.sheet_of(x_T / bench.NOISE_RANGE),
            bench.sheet_of(made),
            float(made.var(0).mean().sqrt()),
            float((made.abs() < 0.9).float().mean()),
            float(first.x0.abs().max()),
        )


def there_and_back(
    denoiser: NetworkDenoiser, x: Tensor, label: Tensor | None
) -> Iterator[Loop | None]:
    """Encode and decode pictures [B, 1, 28, 28] with each of `LOOPS` steps; None after each call.

    They are taken for x_1, as if they had its noise.
    """
    diffusion = denoiser.diffusion
    for count in LOOPS:
        steps = [1, *(t for t in reversed(evenly_spaced(diffusion.T, count)) if t > 1)]
        up: list[Step] = []
        for step in encode(diffusion, denoiser, x, steps, label=label):
            up.append(step)
            yield None
        down: list[Step] = []
        for step in sample(
            diffusion, denoiser, up[-1].x_t, steps[::-1], label=label, generator=torch.Generator()
        ):
            down.append(step)
            yield None
        looks = [(s.t, s.prediction.eps) for s in (*up, down[0]) if s.prediction is not None]
        gaps = [
            turn_gap(diffusion, eps_s, eps_t, s, t).square().mean().sqrt()
            for (s, eps_s), (t, eps_t) in itertools.pairwise(looks)
        ]
        off = down[-1].x_t - x
        yield Loop(
            bench.sheet_of(x),
            bench.sheet_of(up[-1].x_t / bench.NOISE_RANGE),
            bench.sheet_of(down[-1].x_t),
            bench.sheet_of(off),
            float(off.square().mean().sqrt()),
            float(max(gaps, default=0.0)),
            float(up[-1].x_t.std()),
        )


def draw_grown(shots: Sequence[Grown], start: int) -> Frames:
    """What the player shows of consecutive numbers of steps."""
    noise = bench.NOISE_RANGE
    counts = COUNTS[start : start + len(shots)]
    return Frames(
        [
            Panel("$x_T$: the start", "the starting noise", _frames(shots, "noise"), "eps", 0,
                  -noise, noise),
            Panel("what the steps make of it", "the finished pictures", _frames(shots, "made"),
                  "x0"),
        ],
        [f"{n} steps" if n > 1 else "1 step: all the noise at once" for n in counts],
        [
            Curve("spread", _values(shots, "spread"), "p",
                  "spread of a pixel among the 16 pictures", 0, 0.6),
            Curve("gray", 100 * _values(shots, "gray"), "bits",
                  "pixels neither black nor white (%)", 0, 50, digits=0),
        ],
        notes=[
            bench.FIRST if n == 1 and shot.largest > bench.WILD else ""
            for n, shot in zip(counts, shots, strict=True)
        ],
    )  # fmt: skip


def draw_loops(shots: Sequence[Loop], start: int) -> Frames:
    """What the player shows of consecutive numbers of steps."""
    noise = bench.NOISE_RANGE
    moved = "how far it comes back off (rms)"
    return Frames(
        [
            Panel("$x$: the picture", "the digits sent", _frames(shots, "picture"), "x0"),
            Panel("$x_T$: the noise found", "the noise that encoding ends at",
                  _frames(shots, "found"), "eps", 0, -noise, noise),
            Panel("and back", "the digits that decoding returns", _frames(shots, "back"), "x0"),
            Panel("difference", "returned minus sent: gray where they agree, white where brighter",
                  _frames(shots, "off"), "p"),
        ],
        [f"{n} steps there, {n} back" for n in LOOPS[start : start + len(shots)]],
        [
            Curve("after all steps", _values(shots, "error"), "p", moved, 0, 0.6),
            Curve("one step and back, the worst", _values(shots, "turn"), "bits", moved, 0, 0.6,
                  digits=3),
            Curve("spread", _values(shots, "spread"), "eps",
                  "spread of the noise found (1: standard noise)", 0, 1.1, line=1),
        ],
    )  # fmt: skip


def _frames(shots: Sequence[Grown] | Sequence[Loop], name: str) -> np.ndarray:
    return np.stack([getattr(shot, name) for shot in shots])


def _values(shots: Sequence[Grown] | Sequence[Loop], name: str) -> np.ndarray:
    return np.array([getattr(shot, name) for shot in shots])
