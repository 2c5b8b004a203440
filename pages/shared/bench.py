"""Live sampling runs: what is sampled, how, and what of it is shown. No Streamlit in here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from diffusion_core.datasets import to_uint8
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.parameterization import Prediction
from diffusion_core.samplers import Step, sample
from diffusion_core.schedules import evenly_spaced
from pages.shared.player import Curve, Frames, Panel

COUNT = 16  # pictures of one run
COUNT_COMPARED = 9  # of each of two runs, so that both fit beside each other
FRESH_SEEDS = 1_000_000  # fresh noise must not repeat the starting noise, whatever the seeds
FIRST = (
    "Here x̂₀ is wild: next to no signal is left in the picture, and reading x̂₀ off it divides the "
    "network's small error by that."
)
LAST = "x̂₀ and ε̂ are those of the last network call."
NOISE_RANGE = 3.0
"""Predicted noise is shown from -3 (black) to 3 (white): 99.7 % of standard noise lies within."""


class Start(NamedTuple):
    """What all rows of a run share.

    Attributes:
        digit: "each", "any", or a class "0".."9".
        steps: network calls.
        seed: of the starting noise.
        count: pictures, a square number; fewer are the first ones of more.
    """

    digit: str
    steps: int
    seed: int
    count: int = COUNT

    @property
    def label(self) -> torch.Tensor | None:
        """The classes asked for, [count] int64, or None for any."""
        if self.digit == "any":
            return None
        if self.digit == "each":
            return torch.arange(self.count) % 10
        return torch.full((self.count,), int(self.digit))


class Rule(NamedTuple):
    """How one row is sampled; see `diffusion_core.samplers.sample`. `fresh` seeds fresh noise."""

    eta: float = 0.0
    variance: str = "posterior"
    noise_scale: float = 1.0
    noise_at_end: bool = False
    clip: bool = True
    fresh: int = 0


class Shot(NamedTuple):
    """What is shown of one step of one row.

    Attributes:
        x_t: uint8 [H, W] sheet of the noisy pictures.
        x0: uint8 [H, W] sheet of the pictures the network believes in.
        eps: uint8 [H, W] sheet of the noise it believes in, gray for none.
        change: root mean square change of x0 since the step before, in pixel values -1..1; NaN
            where there is none.
        largest: largest absolute value of x0 before it was clipped; NaN at t = 0.
    """

    x_t: np.ndarray
    x0: np.ndarray
    eps: np.ndarray
    change: float
    largest: float


def run(denoiser: NetworkDenoiser, start: Start, rules: Sequence[Rule]) -> Iterator[list[Shot]]:
    """Sample `start.count` digits once per rule, in lockstep and from one x_T.

    Yields:
        One list with a shot per rule, for each of `start.steps` + 1 stops.
    """
    return map(list, zip(*(_row(denoiser, start, rule) for rule in rules), strict=True))


def _row(denoiser: NetworkDenoiser, start: Start, rule: Rule) -> Iterator[Shot]:
    generator = torch.Generator().manual_seed(start.seed)
    x_T = torch.randn(start.count, 1, 28, 28, generator=generator)
    walk = sample(
        denoiser.diffusion,
        denoiser,
        x_T,
        evenly_spaced(denoiser.diffusion.T, start.steps),
        eta=rule.eta,
        variance=rule.variance,
        noise_scale=rule.noise_scale,
        noise_at_end=rule.noise_at_end,
        clip_x0=rule.clip,
        label=start.label,
        generator=torch.Generator().manual_seed(FRESH_SEEDS + 10_000 * rule.fresh + start.seed),
    )
    last: Prediction | None = None
    for step in walk:
        yield _shot(step, last)
        last = step.prediction or last


def _shot(step: Step, last: Prediction | None) -> Shot:
    # At t = 0 nobody asks the network; what is shown there is what it said last.
    shown = step.prediction or last
    assert shown is not None
    asked = step.prediction is not None and step.raw is not None
    change = None if last is None or not asked else (shown.x0 - last.x0).square().mean().sqrt()
    return Shot(
        sheet(to_uint8(step.x_t).numpy()),
        sheet(to_uint8(shown.x0).numpy()),
        sheet(to_uint8(shown.eps / NOISE_RANGE).numpy()),
        math.nan if change is None else float(change),
        float(step.raw.x0.abs().max()) if step.raw is not None else math.nan,
    )


def sheet(images: np.ndarray, gap: int = 1) -> np.ndarray:
    """Lay out uint8 [n*n, H, W] as one square picture, black lines between them."""
    side = round(len(images) ** 0.5)
    height, width = images.shape[1:]
    out = np.zeros((side * (height + gap) - gap, side * (width + gap) - gap), np.uint8)
    for i, image in enumerate(images):
        top, left = i // side * (height + gap), i % side * (width + gap)
        out[top : top + height, left : left + width] = image
    return out


def stops(denoiser: NetworkDenoiser, steps: int) -> list[int]:
    """The timesteps of a run's frames; the last is 0."""
    return [*evenly_spaced(denoiser.diffusion.T, steps), 0]


def draw(
    shots: Sequence[Sequence[Shot]], start: int, times: Sequence[int], names: Sequence[str]
) -> Frames:
    """What the player shows of consecutive stops.

    Args:
        shots: per stop, one shot per row.
        start: index of the first stop.
        times: timesteps of all stops of the run.
        names: what each row is called, for labels and screen readers.
    """
    total = len(times)
    panels, curves = [], []
    for row, name in enumerate(names):
        own = [shot[row] for shot in shots]
        of = f" of {name}" if len(names) > 1 else ""
        panels += [
            Panel(
                "$x_t$: the picture so far",
                f"the noisy pictures{of}",
                np.stack([s.x_t for s in own]),
                "xt",
                row,
            ),
            Panel(
                "$\\hat x_0$: the digit it sees in it",
                f"the clean digits the network believes in{of}",
                np.stack([s.x0 for s in own]),
                "x0",
                row,
            ),
        ]
        if len(names) == 1:  # two runs side by side are compared by their pictures
            panels.append(
                Panel(
                    "$\\hat\\epsilon$: the noise it sees",
                    "the noise the network believes in",
                    np.stack([s.eps for s in own]),
                    "eps",
                    row,
                    -NOISE_RANGE,
                    NOISE_RANGE,
                )
            )
        color = "p" if row == 0 else "bits"
        change, largest = (
            np.array([getattr(s, key) for s in own]) for key in ("change", "largest")
        )
        chart = "change of x̂₀ since the step before"
        curves.append(Curve(name if len(names) > 1 else "rms", change, color, chart, 0, 0.8))
        chart = "largest |x̂₀| before clipping (log)"
        curves.append(
            Curve(
                name if len(names) > 1 else "1 is white",
                largest,
                color,
                chart,
                1,
                1e5,
                digits=1,
                log=True,
            )
        )
    captions, notes = [], []
    for i, t in enumerate(times[start : start + len(shots)]):
        done = f"t = 0 · done in {total - 1} steps"
        captions.append(f"t = {t} · step {start + i} of {total - 1}" if t else done)
        notes.append(FIRST if start + i == 0 else LAST if t == 0 else "")
    return Frames(panels, captions, sorted(curves, key=lambda c: c.chart), notes=notes)
