"""Live sampling runs: what is sampled, how, and what of it is shown. No Streamlit in here."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from diffusion_core.datasets import to_uint8
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.mistakes import wrong_index
from diffusion_core.parameterization import Prediction
from diffusion_core.samplers import Step, sample
from diffusion_core.schedules import evenly_spaced
from diffusion_core.step_table import StepNumbers, step_numbers
from pages.shared.first_look import remembering
from pages.shared.player import Curve, Frames, Panel

COUNT = 16  # pictures of one run
COUNT_COMPARED = 9  # of each of two runs, so that both fit beside each other
SEED = 11
"""What a run starts from: with every sampler its sixteen digits are all taken for what was asked;
a test asks the classifier."""
FRESH_SEEDS = 1_000_000  # fresh noise must not repeat the starting noise, whatever the seeds
FIRST = (
    "Here x̂₀ is wild: next to no signal is left, a is nearly 0, and x̂₀ = (xₜ − σε̂)/a divides the "
    "network's small error by it."
)
WILD = 10.0
"""An x0_hat this large at the first look is worth a word; a network that names x0 has none."""
LAST = "x̂₀ and ε̂ are those of the last network call."
LAST_OF_ALL = "x̂₀, ε̂ and their numbers are those of the last network call."
STATIC = (
    "Asked at t = 1000, this network gives static, and so few steps do not clear it: see “More and "
    "more steps”."
)
FEW = 2
"""So few steps leave the first look's static on the picture."""
NOISE_RANGE = 3.0
"""Predicted noise is shown from -3 (black) to 3 (white): 99.7 % of standard noise lies within."""


NAMED = ("each", *"0123456789")
"""Which digits a run may be asked for, as `Start` knows them."""
DIGITS = ("each", "any", *"0123456789")
"""The same where the network may also be left to choose."""


def digit_name(digit: str) -> str:
    """One of `DIGITS` as a reader calls it."""
    return {"each": "one of each", "any": "whatever comes"}.get(digit, digit)


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
    """How one row is sampled; see `diffusion_core.samplers.sample`.

    Attributes:
        eta: how much of the posterior's variance is drawn anew; "ddim" alone heeds it.
        variance: key in `VARIANCES`.
        noise_scale: factor of the fresh noise.
        noise_at_end: whether noise is added at the last step, too.
        clip: whether x0_hat is clipped.
        fresh: seeds the fresh noise.
        sampler: key in `SAMPLERS`.
        rederive: whether eps is made to agree with the clipped x0_hat.
        early: whether the network is asked at t - 1 instead of t, by mistake.
        network: name of the network; "" for the one that the run is given.
    """

    eta: float = 0.0
    variance: str = "posterior"
    noise_scale: float = 1.0
    noise_at_end: bool = False
    clip: bool = True
    fresh: int = 0
    sampler: str = "ddim"
    rederive: bool = True
    early: bool = False
    network: str = ""

    @property
    def draws(self) -> bool:
        """Whether fresh noise is drawn between the first step and the last."""
        return self.sampler == "ddpm" or (self.sampler == "ddim" and self.eta > 0)

    @property
    def is_euler(self) -> bool:
        """Whether every step is one of Euler's on the probability-flow ODE."""
        exact = self.rederive or not self.clip
        return self.sampler == "ddim" and self.eta == 0 and exact and not self.noise_at_end

    @property
    def options(self) -> dict[str, Any]:
        """What `sample` is told, without what it takes for granted."""
        chosen = {
            "sampler": self.sampler,
            "eta": self.eta if self.sampler == "ddim" else None,
            "variance": self.variance if self.draws else "posterior",
            "clip_x0": self.clip,
            "rederive_eps": self.rederive,
            "noise_scale": self.noise_scale if self.draws else 1.0,
            "noise_at_end": self.noise_at_end,
        }
        known = inspect.signature(sample).parameters
        return {k: v for k, v in chosen.items() if k == "sampler" or v != known[k].default}

    def fresh_seed(self, seed: int) -> int:
        """The seed of the fresh noise in a run whose starting noise has this seed."""
        return FRESH_SEEDS + 10_000 * self.fresh + seed

    @property
    def name(self) -> str:
        """What the literature calls it, as far as it has a name, and what was done to it."""
        name = {"heun": "Heun", "dpmpp_2m": "DPM-Solver++ 2M", "ddpm": "DDPM"}.get(self.sampler)
        name = name or {0.0: "DDIM", 1.0: "DDPM"}.get(self.eta, f"η = {self.eta:g}")
        if self.draws:
            name += {"beta": ", β", "learned": ", learned variance"}.get(self.variance, "")
            name += f", noise × {self.noise_scale:g}" if self.noise_scale != 1 else ""
        name += ", noise at the end" if self.noise_at_end else ""
        name += f", fresh-noise seed {self.fresh}" if self.fresh else ""
        name += "" if self.clip else ", not clipped"
        name += ", ε̂ kept" if self.clip and not self.rederive else ""
        return f"{name}, asked at t − 1" if self.early else name


class Shot(NamedTuple):
    """What is shown of one step of one row.

    Attributes:
        x_t: uint8 [H, W] sheet of the noisy pictures.
        x0: uint8 [H, W] sheet of the pictures the network believes in.
        eps: uint8 [H, W] sheet of the noise it believes in, gray for none.
        change: root mean square change of x0 since the step before, in pixel values -1..1; NaN
            where there is none. At t = 0, where nobody asks, that of the last call.
        largest: largest absolute value of x0 before it was clipped; likewise.
        mean: uint8 [H, W] sheet of the means that the next pictures are drawn around.
        fresh: uint8 [H, W] sheet of the fresh noise, gray for none.
        numbers: of the step.
    """

    x_t: np.ndarray
    x0: np.ndarray
    eps: np.ndarray
    change: float
    largest: float
    mean: np.ndarray
    fresh: np.ndarray
    numbers: StepNumbers


def run(
    denoiser: NetworkDenoiser,
    start: Start,
    rules: Sequence[Rule],
    others: Mapping[str, NetworkDenoiser] | None = None,
) -> Iterator[list[Shot]]:
    """Sample `start.count` digits once per rule, in lockstep and from one x_T.

    Args:
        denoiser: for the rules that name no network.
        start: what all rows share.
        rules: one per row.
        others: the networks that rules name.

    Yields:
        One list with a shot per rule, for each of `start.steps` + 1 stops.
    """
    named = {"": denoiser} | dict(others or {})
    rows = (_row(named[rule.network], start, rule) for rule in rules)
    return map(list, zip(*rows, strict=True))


def _row(denoiser: NetworkDenoiser, start: Start, rule: Rule) -> Iterator[Shot]:
    generator = torch.Generator().manual_seed(start.seed)
    x_T = torch.randn(start.count, 1, 28, 28, generator=generator)
    times = stops(denoiser, start.steps)
    T = denoiser.diffusion.T
    walk = sample(
        denoiser.diffusion,
        wrong_index(denoiser) if rule.early else remembering(denoiser, denoiser, T),
        x_T,
        times[:-1],
        label=start.label,
        generator=torch.Generator().manual_seed(rule.fresh_seed(start.seed)),
        **rule.options,
    )
    last: Prediction | None = None
    before: Shot | None = None
    for step, goes_to in zip(walk, [*times[1:], None], strict=True):
        shot = _shot(step, last, step_numbers(denoiser.diffusion, step, goes_to))
        if before is not None and step.raw is None:
            shot = shot._replace(change=before.change, largest=before.largest)
        yield shot
        last, before = step.prediction or last, shot


def _shot(step: Step, last: Prediction | None, numbers: StepNumbers) -> Shot:
    # At t = 0 nobody asks the network; what is shown there is what it said last.
    shown = step.prediction or last
    assert shown is not None
    asked = step.prediction is not None and step.raw is not None
    change = None if last is None or not asked else (shown.x0 - last.x0).square().mean().sqrt()
    nothing = torch.zeros_like(step.x_t)
    return Shot(
        sheet_of(step.x_t),
        sheet_of(shown.x0),
        sheet_of(shown.eps / NOISE_RANGE),
        math.nan if change is None else float(change),
        float(step.raw.x0.abs().max()) if step.raw is not None else math.nan,
        sheet_of(nothing if step.posterior is None else step.posterior.mean),
        sheet_of(nothing if step.noise is None else step.noise / NOISE_RANGE),
        numbers,
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


def sheet_of(x: torch.Tensor) -> np.ndarray:
    """Pictures [n*n, 1, H, W] from -1 to 1 as one square sheet, uint8."""
    return sheet(to_uint8(x).numpy())


def done_in(steps: int) -> str:
    """The caption of the last frame."""
    return f"t = 0 · done in {steps} step{'s' if steps != 1 else ''}"


def spoken_steps(stops: Sequence[int], start: int, count: int) -> list[str]:
    """The captions of the frames start..start + count - 1 of a walk.

    Args:
        stops: timesteps of all frames of the walk; the last is 0.
        start: the first frame.
        count: how many frames.
    """
    total = len(stops) - 1
    return [
        f"t = {t} · step {start + i} of {total}" if t else done_in(total)
        for i, t in enumerate(stops[start : start + count])
    ]


def stops(denoiser: NetworkDenoiser, steps: int) -> list[int]:
    """The timesteps of a run's frames; the last is 0."""
    return [*evenly_spaced(denoiser.diffusion.T, steps), 0]


def last_words(first: Sequence[Shot], steps: int) -> str:
    """What is said under the last frame of a run that is shown with its two curves.

    Args:
        first: its first stop.
        steps: its steps.
    """
    static = steps <= FEW and any(shot.largest > WILD for shot in first)
    return f"{STATIC} {LAST}" if static else LAST_OF_ALL


def draw(
    shots: Sequence[Sequence[Shot]],
    start: int,
    times: Sequence[int],
    names: Sequence[str],
    moves: bool = False,
    last: str = LAST,
) -> Frames:
    """What the player shows of consecutive stops.

    Args:
        shots: per stop, one shot per row.
        start: index of the first stop.
        times: timesteps of all stops of the run.
        names: what each row is called, for labels and screen readers.
        moves: whether the mean and the fresh noise of each step are shown, in a row below; for
            one run only.
        last: the words under the last frame.
    """
    total = len(times)
    panels, curves = [], []
    for row, name in enumerate(names):
        own = [shot[row] for shot in shots]
        alone = len(names) == 1  # two runs side by side are compared by their pictures
        panels += _panels(own, row, name, alone, alone and moves)
        looks = np.minimum(start + np.arange(len(own)), total - 2)  # at t = 0 that of before
        curves += _curves(own, looks, row, name, alone)
    if len(names) == 2:
        curves.append(Curve("rms", apart(shots), "eps", "how far apart the two look (rms)", 0))
    notes = []
    for i, t in enumerate(times[start : start + len(shots)]):
        wild = start + i == 0 and any(shot.largest > WILD for shot in shots[i])
        notes.append(FIRST if wild else last if t == 0 else "")
    captions = spoken_steps(times, start, len(shots))
    return Frames(panels, captions, sorted(curves, key=lambda c: c.chart), notes=notes)


def apart(shots: Sequence[Sequence[Shot]]) -> np.ndarray:
    """Root mean square between the noisy pictures of two runs at each stop, in -1..1.

    Read off the sheets: what lies beyond black and white counts as black and white, and the lines
    between the pictures, which agree, don't count.
    """
    found = []
    for one, other in shots:
        difference = (one.x_t.astype(float) - other.x_t) / 127.5
        side = round((one.x_t.shape[0] + 1) / 29)
        found.append(math.sqrt(np.square(difference).sum() / (28 * side) ** 2))
    return np.array(found)


def _panels(own: Sequence[Shot], row: int, name: str, alone: bool, moves: bool) -> list[Panel]:
    """The pictures of one run."""
    of = "" if alone else f" of {name}"

    def panel(title: str, alt: str, key: str, color: str, row: int, largest: float = 1) -> Panel:
        frames = np.stack([getattr(shot, key) for shot in own])
        return Panel(title, f"{alt}{of}", frames, color, row, -largest, largest)

    panels = [
        panel("$x_t$: the picture so far", "the noisy pictures", "x_t", "xt", row),
        panel("$\\hat x_0$: its guess of the digit", "the clean digits the network believes in",
              "x0", "x0", row),
    ]  # fmt: skip
    if alone:
        panels.append(
            panel("$\\hat\\epsilon$: its guess of the noise", "the noise the network believes in",
                  "eps", "eps", row, NOISE_RANGE)
        )  # fmt: skip
    if moves:
        panels += [
            panel("μ: the mean of the next picture", "the means of the next pictures",
                  "mean", "p", row + 1),
            panel("fresh noise of this step", "the fresh noise of this step",
                  "fresh", "eps", row + 1, NOISE_RANGE),
        ]  # fmt: skip
    return panels


def _curves(
    own: Sequence[Shot], looks: np.ndarray, row: int, name: str, alone: bool
) -> list[Curve]:
    """How one run's x0_hat changes, and how far it lies outside the range of pixels.

    The first look divides by next to nothing. It would set both scales, so they begin after it.
    """
    color = "p" if row == 0 else "bits"
    change, largest = (np.array([getattr(s, key) for s in own]) for key in ("change", "largest"))
    change[looks < 2], largest[looks < 1] = math.nan, math.nan
    own_change = [
        Curve("rms", change, color, "change of x̂₀ since the look before, from the third look on", 0)
    ]
    return (own_change if alone else []) + [
        Curve("1 is white" if alone else name, largest, color,
              "largest |x̂₀| before clipping, from the second look on (log)", 1, log=True),
    ]  # fmt: skip
