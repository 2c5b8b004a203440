"""Digits sampled with a right mean and a misprinted one, from the same noise. No Streamlit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.misprints import sample_with_mean
from diffusion_core.parameterization import Prediction
from diffusion_core.schedules import evenly_spaced
from pages.shared.bench import sheet_of
from pages.shared.player import Curve, Frames, Panel

COUNT = 9
STEPS = 20
SEED = 0
FRESH_SEED = 1_000_000
ROWS = ("right", "as printed")


class Shot(NamedTuple):
    """What is shown of one step of one run.

    Attributes:
        x_t: uint8 [H, W], the noisy pictures in a square.
        x0: uint8 [H, W], the pictures that the network believes in.
        spread: standard deviation of the noisy pixels.
    """

    x_t: np.ndarray
    x0: np.ndarray
    spread: float


def times(denoiser: NetworkDenoiser) -> list[int]:
    """Timesteps of the frames; the last is 0."""
    return [*evenly_spaced(denoiser.diffusion.T, STEPS), 0]


def run(denoiser: NetworkDenoiser, mean: str) -> Iterator[list[Shot]]:
    """Sample nine digits twice in lockstep: with the right mean, and with `mean`."""
    return map(list, zip(_row(denoiser, "right"), _row(denoiser, mean), strict=True))


def _row(denoiser: NetworkDenoiser, mean: str) -> Iterator[Shot]:
    noise = torch.Generator().manual_seed(SEED)
    walk = sample_with_mean(
        denoiser.diffusion,
        denoiser,
        torch.randn(COUNT, 1, 28, 28, generator=noise),
        evenly_spaced(denoiser.diffusion.T, STEPS),
        mean,
        label=torch.arange(COUNT),
        generator=torch.Generator().manual_seed(FRESH_SEED + SEED),
    )
    last: Prediction | None = None
    for step in walk:
        last = step.prediction or last  # at t = 0 nobody asks the network: show what it said last
        assert last is not None
        x_t, x0 = (sheet_of(x) for x in (step.x_t, last.x0))
        yield Shot(x_t, x0, float(step.x_t.std()))


def draw(shots: Sequence[Sequence[Shot]], start: int, times: Sequence[int]) -> Frames:
    """What the player shows of consecutive stops: the right run beside the printed one.

    Args:
        shots: per stop, one shot per row.
        start: index of the first stop.
        times: timesteps of all stops.
    """
    panels, curves = [], []
    for row, name in enumerate(ROWS):
        own = [shot[row] for shot in shots]
        pictures = {
            "$x_t$: the picture so far": ("xt", "the noisy pictures", [s.x_t for s in own]),
            "$\\hat x_0$: its guess of the digit": (
                "x0", "the clean digits the network sees", [s.x0 for s in own],
            ),
        }  # fmt: skip
        for title, (color, alt, frames) in pictures.items():
            panels.append(Panel(title, f"{alt}, {name}", np.stack(frames), color, row))
        spread = np.array([s.spread for s in own])
        chart = "standard deviation of the pixels of x_t (log)"
        color = "p" if row else "q"
        curves.append(Curve(name, spread, color, chart, 0.01, 100, digits=3, log=True))
    captions = [
        f"t = {t} · step {start + i} of {len(times) - 1}" if t else "t = 0 · done"
        for i, t in enumerate(times[start : start + len(shots)])
    ]
    return Frames(panels, captions, curves)
