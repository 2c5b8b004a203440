"""Digits that are blurred and restored, noise as a degradation, digits from nothing, in arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from diffusion_core.cold import (
    STEPS,
    ColdStep,
    Degradation,
    Restorer,
    blur,
    blur_width,
    flat_gray,
    heat_factors,
    noise_steps,
    restore_steps,
    straight,
    unblur,
    variety,
)
from diffusion_core.datasets import to_uint8, to_unit
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.judging import judge
from diffusion_core.samplers import Step, sample
from diffusion_core.schedules import SCHEDULES, evenly_spaced
from pages.shared import load
from pages.shared.bench import sheet_of
from pages.shared.first_look import remembering

SHOWN = 9  # digits that are blurred, or made from noise
WATCHED = 4  # of them, whose gray is charted
COUNT = 16  # made from gray
FIRST = 10  # of the gallery's digits, the first that is shown
NOISES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
NOISE_STEPS = (5, 10, 25, 50)
SEVENS = ((0.34, 0.96), (0.26, 0.99))
"""Of a hundred sevens from noise in 25 steps, seed 0: variety, and share recognised; by DDIM, and
by the naive rule with fresh noise."""
NINE = {20: (9, 9, 9), 30: (4, 4, 5), 40: (2, 1, 1)}
"""t -> how many of the shown digits, the class not told, the judge reads as what they were: asked
once, by the naive rule and by the improved one. A test counts them again."""
GRAY_SEVENS = 0.08  # variety of sevens from grays like the gallery's, without noise, seed 0
FRESH_SEED = 1_000_000  # of fresh noise, which must not repeat the starting noise


def shown_digits() -> Tensor:
    """The gallery's digits that are blurred and restored: [SHOWN, 1, 28, 28]."""
    images = load.gallery().images
    if len(images) < FIRST + SHOWN:
        return torch.full((SHOWN, 1, 28, 28), -1.0)
    return to_unit(images[FIRST : FIRST + SHOWN])


def shown_classes() -> Tensor:
    """Which digits they are, [SHOWN] int64."""
    return (torch.arange(SHOWN) + FIRST) % 10


def mean_digit() -> Tensor:
    """The average of the whole gallery: [1, 1, 28, 28]."""
    images = load.gallery().images
    return to_unit(images).mean(0, keepdim=True) if len(images) else torch.zeros(1, 1, 28, 28)


def blur_width_at(t: int) -> float:
    """How wide the blur is at t, in pixels."""
    return float(blur_width(torch.tensor([t])))


# --- restorers ------------------------------------------------------------------------------------


def one_answer(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
    """The average digit, whatever it is asked."""
    return mean_digit().to(x_t).expand(len(x_t), -1, -1, -1)


def division(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
    """The blur undone by its formula, cut to the range of pixels."""
    return unblur(x_t, t).nan_to_num().clamp(-1, 1)


RESTORERS = {
    "untold": "network",
    "told": "told the class",
    "mean": "always the average",
    "division": "division",
}


def chequers() -> Degradation:
    """A degradation that goes straight on: bright squares come up, the same ones everywhere."""
    i, j = torch.meshgrid(torch.arange(28), torch.arange(28), indexing="ij")
    return straight(1.6 * ((i // 4 + j // 4) % 2).float())


class Way(NamedTuple):
    """One way back.

    Attributes:
        rule: key in `diffusion_core.cold.RULES`.
        degradation: "blur" or "squares".
    """

    rule: str
    degradation: str = "blur"


WAYS = {
    "told": (Way("naive"), Way("improved")),
    "untold": (Way("naive"), Way("improved")),
    "mean": (Way("naive"), Way("improved"), Way("improved", "squares")),
    "division": (Way("naive"), Way("improved")),
}


class Shot(NamedTuple):
    """What is shown of one stop of one way back.

    Attributes:
        x_t: uint8 [H, W] sheet.
        error: mean squared difference from the true digits.
        gray: the `WATCHED` digit's mean over all pixels, from 0 for black to 1 for white.
        read: as which digits the judge reads them, [SHOWN]; empty where t > 0.
    """

    x_t: np.ndarray
    error: float
    gray: float
    read: tuple[int, ...]


def shot(x0: Tensor, x_t: Tensor, t: int) -> Shot:
    """What there is to show of x_t, with the digits that it should become."""
    error = float((x_t - x0).square().mean())
    return Shot(sheet_of(x_t), error, gray_of(x_t), () if t else read(x_t))


def gray_of(x: Tensor) -> float:
    """The mean gray of the watched one of pictures from -1 to 1; black is 0, white 1."""
    return float((x[WATCHED].mean() + 1) / 2)


def read(x: Tensor) -> tuple[int, ...]:
    """As which digits the judge reads pictures [N, 1, 28, 28]."""
    return tuple(judge(load.classifier(), to_uint8(x)).predicted.tolist())


def restoring(kind: str, restore: Restorer, start: int) -> Iterator[list[Shot]]:
    """The shown digits degraded to t = `start`, and back in steps of one.

    Args:
        kind: key in `WAYS`.
        restore: the restorer that `kind` names.
        start: 1..STEPS.

    Yields:
        One shot per way and a last one of what the restorer says at once, for each of start + 1
        stops.
    """
    x0, walks = shown_digits(), []
    label = shown_classes() if kind == "told" else None
    degradations: list[Degradation] = []
    t = torch.full((SHOWN,), start)
    for way in WAYS[kind]:
        degradations.append(blur if way.degradation == "blur" else chequers())
        x_t = degradations[-1](x0, t)
        walks.append(
            restore_steps(degradations[-1], restore, x_t, start, rule=way.rule, label=label)
        )
    once: Shot | None = None
    for stops in zip(*walks, strict=True):
        row = [shot(x0, stop.x_t, stop.t) for stop in stops]
        once = once or shot(x0, answer_of(stops[0]), 0)
        yield [*row, once]


def answer_of(stop: ColdStep) -> Tensor:
    """What was restored at a stop; at the last one what it is."""
    return stop.x_t if stop.x0 is None else stop.x0


# --- noise as a degradation -----------------------------------------------------------------------


class NoiseShot(NamedTuple):
    """What is shown of one stop of one walk from noise.

    Attributes:
        x_t: uint8 [H, W] sheet.
        gap: largest difference of any pixel from DDIM's.
    """

    x_t: np.ndarray
    gap: float


def from_noise(denoiser: NetworkDenoiser, steps: int, seed: int) -> Iterator[list[NoiseShot]]:
    """DDIM by the sampler, and three walks by the rules of cold diffusion, from one x_T.

    Yields:
        Four shots for each of `steps` + 1 stops: DDIM; the improved rule with the noise that x_t
        holds; the naive rule with fresh noise; the improved rule with fresh noise.
    """
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(SHOWN, 1, 28, 28, generator=generator)
    label = torch.arange(SHOWN) % 10
    for stops in zip(*noise_walks(denoiser, x_T, label, steps, seed), strict=True):
        yield [
            NoiseShot(sheet_of(stop.x_t), float((stop.x_t - stops[0].x_t).abs().max()))
            for stop in stops
        ]


def noise_walks(
    denoiser: NetworkDenoiser, x_T: Tensor, label: Tensor, steps: int, seed: int
) -> list[Iterator[Step | ColdStep]]:
    """The walks of `from_noise`, one after the other."""
    diffusion, times = denoiser.diffusion, evenly_spaced(denoiser.diffusion.T, steps)
    ask = remembering(denoiser, denoiser, diffusion.T)  # x_T is all four's

    def restore(x_t: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        return ask(x_t, t, label).x0.clamp(-1, 1)

    def fresh() -> torch.Generator:
        return torch.Generator().manual_seed(FRESH_SEED + seed)

    walk = partial(noise_steps, diffusion, restore, x_T, times, label=label)
    return [
        sample(diffusion, ask, x_T, times, sampler="ddim", label=label, generator=fresh()),
        walk(rule="improved"),
        walk(rule="naive", generator=fresh()),
        walk(rule="improved", generator=fresh()),
    ]


def variance_left(diffusion: GaussianDiffusion, steps: int) -> float:
    r"""What the naive rule with fresh noise makes of the variance of data N(0, 1).

    There the right answer is \(\hat x_0 = \sqrt{\bar\alpha_t}\,x_t\), so a step leaves
    \(\bar\alpha_s \bar\alpha_t v_t + 1 - \bar\alpha_s\) of a variance v_t; 1 would be right.
    """
    stops = [*evenly_spaced(diffusion.T, steps), 0]
    alpha_bar = [float(diffusion.schedule.alpha_bar[t]) for t in stops]
    v = 1.0
    for at, then in pairwise(alpha_bar):
        v = then * at * v + 1 - then
    return v


# --- from nothing ---------------------------------------------------------------------------------


def grays(digit: int, one: bool, seed: int) -> Tensor:
    """Mean grays for `COUNT` digits, [COUNT]: drawn from the gallery's of that class, or one."""
    sheet = load.gallery()
    if not len(sheet.images):
        return torch.full((COUNT,), -0.75)
    means = to_unit(sheet.images[sheet.labels == digit]).mean((1, 2, 3))
    if one:
        return means.mean().expand(COUNT)
    chosen = torch.randint(
        len(means), (COUNT,), generator=torch.Generator().manual_seed(FRESH_SEED + seed)
    )
    return means[chosen]


def gallery_of(digit: int) -> Tensor:
    """The first `COUNT` of the gallery's digits of one class, [COUNT, 1, 28, 28]."""
    sheet = load.gallery()
    images = sheet.images[sheet.labels == digit][:COUNT]
    return to_unit(images) if len(images) == COUNT else torch.full((COUNT, 1, 28, 28), -1.0)


class Born(NamedTuple):
    """What is shown of one stop of the way from gray to digits.

    Attributes:
        x_t: uint8 [H, W] sheet.
        x0: the same of what the restorer says; in the end what they are.
        variety: of x0.
        gray: largest change of any digit's mean gray since the start.
    """

    x_t: np.ndarray
    x0: np.ndarray
    variety: float
    gray: float


def from_nothing(
    restore: Restorer, digit: int, noise: float, one: bool, seed: int
) -> Iterator[Born]:
    """Digits of one class from flat gray, by the improved rule; STEPS + 1 stops."""
    x = flat_gray(grays(digit, one, seed), noise, torch.Generator().manual_seed(seed))
    label = torch.full((COUNT,), digit)
    for stop in restore_steps(blur, restore, x, STEPS, label=label):
        x0 = answer_of(stop)
        moved = (stop.x_t - x).mean((1, 2, 3)).abs().max()
        yield Born(sheet_of(stop.x_t), sheet_of(x0), float(variety(x0)), float(moved))


# --- numbers --------------------------------------------------------------------------------------


class Measured(NamedTuple):
    """What the card says of one way back from one t, on digits of the test set.

    Attributes:
        recognised: share recognised as their class.
        error: mean squared error.
        distance: Fréchet distance.
        samples: how many digits.
    """

    recognised: float
    error: float
    distance: float
    samples: int


_RESTORED = "MNIST test digits degraded to t = "
_MADE = "from the mean grays of training digits, noise "
_NAMES = {
    "restored digit recognised as its class": "recognised",
    "recognised as its class": "recognised",
    "mean squared error": "error",
    "variety in a class": "variety",
    "Fréchet distance": "distance",
}


def on_card(fields: Mapping[str, Any]) -> dict[tuple[int, str], Measured]:
    """(t, rule) -> what the card of a restorer says; rule is "once", "naive" or "improved"."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for metric in fields["metrics"]:
        setting = str(metric["setting"]).split(";")[0]
        if setting.startswith(_RESTORED):
            t, rule = setting.removeprefix(_RESTORED).split(f" of {STEPS}, ")
            told = found.setdefault((int(t), rule), {"samples": metric["samples"]})
            told[_NAMES[metric["name"]]] = metric["value"]
    return {key: Measured(**told) for key, told in found.items()}


class Made(NamedTuple):
    """What the card says of digits made from flat gray.

    Attributes:
        recognised: share recognised as the class that was asked for.
        variety: within a class, averaged over classes.
        real: that of as many training digits.
        distance: Fréchet distance.
        samples: how many digits.
    """

    recognised: float
    variety: float
    real: float
    distance: float
    samples: int


def made_on_card(fields: Mapping[str, Any]) -> dict[float, Made]:
    """Noise on the gray -> what the card says of the digits that come out."""
    found: dict[float, dict[str, Any]] = {}
    for metric in fields["metrics"]:
        setting = str(metric["setting"])
        if setting.startswith(_MADE):
            noise = float(setting.removeprefix(_MADE).split(",")[0])
            told = found.setdefault(noise, {"samples": metric["samples"]})
            told[_NAMES[metric["name"]]] = metric["value"]
            if metric["name"] == "variety in a class":
                told["real"] = float(str(metric["reference"]).split()[-1])
    return {noise: Made(**told) for noise, told in found.items()}


class Facts(NamedTuple):
    """Numbers that need no network; the digits are those that are shown.

    Attributes:
        waves: cosines, of 784, of which float32's rounding leaves something at t = STEPS.
        first: what is left there of the broadest wave.
        divided: at t = 10 and 20, what the finest wave is divided by.
        back: at t = 10, 14 and 16 largest error of a pixel after division: float32, float64.
        wrong: mean squared error of the average digit.
        forgiven: what of it remains by the improved rule from t = 10, 20 and 30.
        straight: largest error of a pixel where the degradation goes straight on.
        fixed: what remains of it where one known noise is taken away from t = 500 on.
        spread: variance left by the naive rule with fresh noise in 25 steps.
        sevens: variety of the gallery's sevens.
    """

    waves: int
    first: float
    divided: tuple[float, float]
    back: tuple[tuple[float, float], ...]
    wrong: float
    forgiven: tuple[float, ...]
    straight: float
    fixed: float
    spread: float
    sevens: float


@st.cache_data(max_entries=1, show_spinner=False)
def facts() -> tuple:
    """The fields of `Facts`."""
    x0 = shown_digits()
    left = heat_factors(torch.tensor([10, 20, STEPS]), 28)
    back = []
    for t in (10, 14, 16):
        at = torch.full((SHOWN,), t)
        back.append(
            tuple(float((unblur(blur(x, at), at) - x).abs().max()) for x in (x0, x0.double()))
        )
    wrong = float((mean_digit() - x0).square().mean())
    forgiven = []
    for t in (10, 20, 30):
        end = _ended(blur, x0, t)
        forgiven.append(float((end - x0).square().mean()) / wrong)
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](1000))
    a = float(diffusion.schedule.alpha_bar[500]) ** 0.5
    return tuple(
        Facts(
            int((left[2] > torch.finfo(torch.float32).eps).sum()),
            float(left[2, 0, 1]),
            (float(1 / left[0, -1, -1]), float(1 / left[1, -1, -1])),
            tuple(back),
            wrong,
            tuple(forgiven),
            float((_ended(chequers(), x0, STEPS) - x0).abs().max()),
            (1 - a) ** 2,
            variance_left(diffusion, 25),
            float(variety(gallery_of(7))),
        )
    )


def _ended(degrade: Degradation, x0: Tensor, start: int) -> Tensor:
    """Where the improved rule ends with the one answer."""
    x_t = degrade(x0, torch.full((SHOWN,), start))
    *_, last = restore_steps(degrade, one_answer, x_t, start)
    return last.x_t
