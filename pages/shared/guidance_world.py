"""Guided walks, in the plane where all is exact and with the digits' network, in arrays."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from threading import Thread
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from diffusion_core.datasets import to_uint8
from diffusion_core.denoisers import Denoiser, NetworkDenoiser
from diffusion_core.guidance import classifier_guided, guided
from diffusion_core.mixtures import (
    class_gradient,
    class_log_probs,
    group_log_densities,
    group_probs,
    mixture_denoiser,
    tilted,
    two_classes,
)
from diffusion_core.parameterization import Prediction
from diffusion_core.quality import recognised
from diffusion_core.samplers import sample
from diffusion_core.schedules import evenly_spaced
from diffusion_core.score import score
from pages.shared import bench, load
from pages.shared.ahead import ahead
from pages.shared.first_look import remembering
from pages.shared.score_world import (
    GRID,
    SHADES,
    WALKERS,
    as_arrows,
    diffusion,
    flow_walk,
    grid,
    sde_walk,
    shaded,
    times,
)

SCALES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
STEPS = 60
ASKED, MIDDLE = 0, 2  # the class that is asked for, and its group beside the other class
REACH = 2.4  # the plane is shown this far
WIDE = 3.0  # and where walks are: they begin further out
ROUND = 24  # pieces of a circle
EVEN = 512  # walkers that are counted
FRESH = 2000  # with fresh noise, whose starts can't be chosen
CELLS, FAR = 40, 4.5  # of the plane, where a density is summed
PLACES = 49  # on the line through both middle groups
COUNT = 16
MANY, FORGOTTEN = 1000, (0.350, 0.336)
"""The middle group's share of the even walkers at scale 0 in `STEPS` steps and in `MANY`: a third
would be right. A test counts them again."""
SEVENS_MISSED = 4  # of sixteen, seed 0, without guidance; a test counts them again


class DigitsAt(NamedTuple):
    """What 200 digits are like, twenty of each class: seed 0, 25 DDIM steps.

    Attributes:
        recognised: share that the judge takes for what was asked for.
        variety: mean squared difference of two digits of a class, per pixel.
        apart: distance of two digits of a class in the judge's last hidden layer, on average.
        white: share of the pixels that are brighter than mid-gray.
    """

    recognised: float
    variety: float
    apart: float
    white: float


DIGITS_AT = {
    1.0: DigitsAt(0.95, 0.411, 28.2, 0.134),
    1.5: DigitsAt(1.0, 0.392, 24.3, 0.143),
    3.0: DigitsAt(1.0, 0.383, 21.6, 0.161),
    5.0: DigitsAt(1.0, 0.396, 21.3, 0.174),
    8.0: DigitsAt(1.0, 0.415, 21.4, 0.184),
}
"""Guidance scale -> digits; they take too long for a first look, and a test computes them anew."""


def towards_class(denoiser: Denoiser) -> Denoiser:
    """The denoiser, asked for `ASKED` whatever it is told."""

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        return denoiser(x_t, t, torch.full((len(x_t),), ASKED))

    return predict


def guided_at(scale: float) -> Denoiser:
    """The exact denoiser of the two classes, guided towards the one that is asked for."""
    mixture, labels = two_classes()
    return towards_class(guided(mixture_denoiser(diffusion(), mixture, labels), scale))


class Guided(NamedTuple):
    """Walks without fresh noise to one class, at every stop.

    Points are for the picture; what is counted is exact, or counted on `EVEN` walkers whose starts
    fill the plane as evenly as the normal distribution allows.

    Attributes:
        points: float32 [3, n, WALKERS, 2]: scale 1, the scale asked for, draws of the density that
            it is said to sample, noised. The first walker of both walks is `marked`.
        middle: [4, n] of what lies on the class' side, as the best classifier sees it, the part in
            its group beside the other class: of the class with noise, exactly; of the guided
            walkers; of the density that guidance is said to sample, with noise, exactly; of the
            density whose score is followed at each stop, exactly.
        sure: [3, n] what the best classifier gives the class on average, at the stop's noise: of
            the first three of those.
        powers: [2, n, PLACES] along the line through both middle groups: the power of the average
            and the average of the powers, as in `powers_along`.
    """

    points: np.ndarray
    middle: np.ndarray
    sure: np.ndarray
    powers: np.ndarray


@st.cache_data(max_entries=16, show_spinner=False)
def walks(scale: float, seed: int) -> tuple:
    """The fields of `Guided`."""
    mixture, labels = two_classes()
    stops = times(STEPS)
    generator = torch.Generator().manual_seed(seed)
    drawn = tilted(mixture, labels, ASKED, scale).sample(WALKERS, generator)
    noise = torch.randn(WALKERS, 2, generator=generator, dtype=torch.float64)
    at = torch.tensor(stops).repeat_interleave(WALKERS)
    drawn = diffusion().q_sample(drawn.repeat(len(stops), 1), at, noise.repeat(len(stops), 1))
    told = [asked_for(), counted(scale, seed), claimed(scale)]
    return tuple(
        Guided(
            np.stack(
                [walked(1.0, seed), walked(scale, seed), drawn.reshape(len(stops), WALKERS, 2)]
            ).astype(np.float32),
            np.stack([*(middle for middle, _ in told), followed(scale)]),
            np.stack([sure for _, sure in told]),
            powers_along(scale),
        )
    )


@st.cache_resource(show_spinner=False)
def all_walks() -> Thread:
    """Begin with `walks` at every scale, from the noise that the page opens with."""
    return ahead(walks, [(scale, 0) for scale in SCALES])


def flow(scale: float, start: Tensor) -> Tensor:
    """A guided walk without fresh noise at every stop: [n, N, 2]."""
    return torch.stack([start, *flow_walk(diffusion(), guided_at(scale), start, times(STEPS))])


@st.cache_data(max_entries=16, show_spinner=False)
def ways(scale: float, seed: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """`walked` and `even_walk`: together a step takes little longer than for one of them."""
    way = flow(scale, torch.cat([starts(seed), even_starts()]))
    shown, even = way[:, :WALKERS], way[:, WALKERS:]
    return shown.numpy(), (even[-1].numpy(), *_told(even, times(STEPS)))


def walked(scale: float, seed: int) -> np.ndarray:
    """The walk that is shown: float64 [n, WALKERS, 2]. Kept, as that of scale 1 is beside all."""
    return ways(scale, seed)[0]


@st.cache_data(max_entries=16, show_spinner=False)
def starts(seed: int) -> Tensor:
    """Noise for the walks that are shown: [WALKERS, 2] float64.

    First comes the one that ends nearest to the middle group's middle without guidance, then those
    on the other class' side, whose ways are shown: what starts far out on the class' own side is
    thrown out of the picture on its way.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(WALKERS, 2, generator=generator, dtype=torch.float64)
    mixture, _ = two_classes()
    off = (flow(1.0, drawn)[-1] - mixture.means[MIDDLE]).norm(dim=1)
    inside = (drawn[:, 0] > 0) & (drawn.abs() < WIDE).all(1)
    order = 1.0 * ~inside
    order[off.argmin()] = -1
    return drawn[order.argsort(stable=True)]


def even_starts() -> Tensor:
    """N(0, I) in `EVEN` points without chance: [EVEN, 2] float64.

    Source: Roberts 2018, "The unreasonable effectiveness of quasirandom sequences": multiples of
    two irrational numbers, here through the normal's quantiles.
    """
    steps = torch.tensor([0.7548776662466927, 0.5698402909980532], dtype=torch.float64)
    return torch.special.ndtri((0.5 + torch.arange(EVEN)[:, None] * steps) % 1)


def even_walk(scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the even starts end, [EVEN, 2], and `_told` of their way; whatever the seed."""
    return ways(scale, seed)[1]


def counted(scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """As `_told`, of walks guided at that scale. At 1 they are the class, whatever the steps do."""
    return asked_for() if scale == 1 else even_walk(scale, seed)[1:]


def _told(cloud: Tensor, stops: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Of points [n, N, 2] at each stop: share in the middle group, belief in the class; [n]."""
    mixture, labels = two_classes()
    n, N, _ = cloud.shape
    t = torch.tensor(stops).repeat_interleave(N)
    groups = group_probs(diffusion(), mixture, cloud.reshape(-1, 2), t).reshape(n, N, -1)
    own = groups[..., labels == ASKED].mean(1)
    return (own[:, MIDDLE] / own.sum(1)).numpy(), own.sum(1).numpy()


@st.cache_data(max_entries=16, show_spinner=False)
def followed(scale: float) -> np.ndarray:
    """The middle group's share of q(x_t) p(y|x_t)^s at each stop, summed over the plane: [n]."""
    log, asked, _ = everywhere()
    power = torch.from_numpy(log + scale * (asked - log)).softmax(1).numpy()
    return _summed(power)[0]


def _summed(density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`_told` of a density [n, N] over the places of `everywhere`, whatever it adds up to."""
    log, asked, middle = everywhere()
    own = (density * np.exp(asked - log)).sum(1)
    return (density * np.exp(middle - log)).sum(1) / own, own / density.sum(1)


@st.cache_data(max_entries=1, show_spinner=False)
def asked_for() -> tuple[np.ndarray, np.ndarray]:
    """`_told` of the class itself with noise, summed over the plane."""
    return _summed(np.exp(everywhere()[1]))


@st.cache_data(max_entries=16, show_spinner=False)
def claimed(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """`_told` of p(x) p(y|x)^s with noise, summed over the plane."""
    down, across = _kernels()[:2]
    noisy = down @ _clean(scale) @ across.transpose(1, 2)
    return _summed(noisy.reshape(len(noisy), -1).numpy())


@st.cache_data(max_entries=1, show_spinner=False)
def everywhere() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log densities over the plane at each stop: of all, the class, its middle group; [n, N]."""
    mixture, labels = two_classes()
    places, stops = grid(CELLS, FAR), times(STEPS)
    at = torch.tensor(stops).repeat_interleave(len(places))
    told = group_log_densities(diffusion(), mixture, places.repeat(len(stops), 1), at)
    told = told.reshape(len(stops), len(places), -1)
    asked = told[..., labels == ASKED]
    parts = told.logsumexp(2), asked.logsumexp(2), asked[..., MIDDLE]
    log, of_class, middle = (part.numpy() for part in parts)
    return log, of_class, middle


# --- the power of an average, and the average of powers -------------------------------------------


def line() -> Tensor:
    """Places on the line through both middle groups, as far apart as on the picture's border."""
    mixture, _ = two_classes()
    along = torch.linspace(-REACH, REACH, PLACES, dtype=torch.float64)
    return -along[:, None] * mixture.means[MIDDLE] / mixture.means[MIDDLE].norm()


def middle_place() -> np.ndarray:
    """Where on `line` the middle group lies at each stop: [n]."""
    mixture, _ = two_classes()
    a = diffusion().schedule.alpha_bar[torch.tensor(times(STEPS))].sqrt()
    return (-a * mixture.means[MIDDLE].norm()).numpy()


def middle_group() -> tuple[np.ndarray, np.ndarray]:
    """The class' middle group at each stop: its middle [n, 2] and its standard deviation [n]."""
    mixture, _ = two_classes()
    alpha_bar = diffusion().schedule.alpha_bar[torch.tensor(times(STEPS))]
    middle = alpha_bar.sqrt()[:, None] * mixture.means[MIDDLE]
    return middle.numpy(), (alpha_bar * mixture.std**2 + 1 - alpha_bar).sqrt().numpy()


@cache
def circle() -> np.ndarray:
    """Two standard deviations around the middle group at each stop: [n, ROUND + 1, 2]."""
    middle, spread = middle_group()
    angles = np.linspace(0, 2 * np.pi, ROUND + 1)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return middle[:, None] + 2 * spread[:, None, None] * around


def clean_circles() -> np.ndarray:
    """Two standard deviations around all six groups without noise: [1, 6 * ROUND, 4] strokes."""
    mixture, _ = two_classes()
    angles = np.linspace(0, 2 * np.pi, ROUND + 1)
    around = 2 * float(mixture.std) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    places = mixture.means.numpy()[:, None] + around
    pieces = np.concatenate([places[:, :-1], np.diff(places, axis=1)], axis=2)
    return pieces.reshape(1, -1, 4)


def left_near(scale: float) -> np.ndarray:
    """Share of the even walkers inside `circle` at each stop: [n]."""
    middle, spread = middle_group()
    far = np.linalg.norm(flow(scale, even_starts()).numpy() - middle[:, None], axis=2)
    return (far < 2 * spread[:, None]).mean(1)


@st.cache_data(max_entries=16, show_spinner=False)
def powers_along(scale: float) -> np.ndarray:
    """On `line` at each stop: E[p(y|x_0)|x_t]^s, and E[p(y|x_0)^s|x_t]: [2, n, PLACES].

    With p(x_0) p(y|x_0)^s for a density, its noisy version over q(x_t) is the second; with s = 1 it
    is what the first is the power of.
    """
    *_, across, up = _kernels()
    with_class, powered, all_ = (
        ((across @ clean.T) * up).sum(2) for clean in (_clean(1.0), _clean(scale), _clean(0.0))
    )
    return torch.stack([(with_class / all_) ** scale, powered / all_]).numpy()


@cache
def _kernels() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What noise makes of clean lattice points: [n, places, m] in one direction each.

    For places of `everywhere` down and across, and for those of `line` across and up. The lattice's
    points are small bells, half a step wide, as in `tilted`.
    """
    along, step = _lattice()
    side = grid(CELLS, FAR).reshape(CELLS, CELLS, 2)
    t = torch.tensor(times(STEPS))
    alpha_bar = diffusion().schedule.alpha_bar[t][:, None, None]
    var = 1 - alpha_bar + alpha_bar * (step / 2) ** 2

    def kernel(places: Tensor) -> Tensor:
        off = places[None, :, None] - alpha_bar.sqrt() * along
        return (-0.5 * off.square() / var).exp()

    return kernel(side[:, 0, 1]), kernel(side[0, :, 0]), kernel(line()[:, 0]), kernel(line()[:, 1])


def _lattice() -> tuple[Tensor, float]:
    """Clean places along either side, and their distance."""
    mixture, _ = two_classes()
    step = mixture.std / 4
    reach = float(mixture.means.abs().max()) + 4 * mixture.std
    return torch.arange(-reach, reach + step, step, dtype=torch.float64), step


@cache
def _logs() -> tuple[Tensor, Tensor]:
    """On the lattice, without noise: log p(x), log p(y|x); [m, m], second number of x first."""
    mixture, labels = two_classes()
    along, _ = _lattice()
    places = torch.cartesian_prod(along, along).flip(1)
    clean = torch.zeros(len(places), dtype=torch.int64)
    log = group_log_densities(diffusion(), mixture, places, clean).logsumexp(1)
    sure = class_log_probs(diffusion(), mixture, labels, places, clean)[:, ASKED]
    return log.reshape(len(along), -1), sure.reshape(len(along), -1)


def _clean(scale: float) -> Tensor:
    """p(x) p(y|x)^s on the lattice, [m, m]."""
    log, sure = _logs()
    return (log + scale * sure).exp()


def with_fresh_noise(scale: float) -> float:
    """The middle group's share where the same walk is made with fresh noise, by many walkers."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(FRESH, 2, generator=generator, dtype=torch.float64)
    *_, x = sde_walk(diffusion(), guided_at(scale), start, times(STEPS), generator)
    return float(_told(x[None], [0])[0][0])


def widths(points: np.ndarray) -> float:
    """Standard deviation across within the two outer groups of the class, of points [N, 2]."""
    mixture, _ = two_classes()
    x = torch.from_numpy(points).double()
    nearest = torch.cdist(x, mixture.means[:3]).argmin(1)
    return float(torch.stack([x[nearest == k, 0].var() for k in (0, 1)]).mean().sqrt())


def outwards(points: np.ndarray) -> float:
    """Where the two outer groups of the class lie across on average; less is further out."""
    mixture, _ = two_classes()
    x = torch.from_numpy(points).double()
    nearest = torch.cdist(x, mixture.means[:3]).argmin(1)
    return float(torch.stack([x[nearest == k, 0].mean() for k in (0, 1)]).mean())


@st.cache_data(max_entries=2, show_spinner=False)
def shades(reach: float) -> np.ndarray:
    """The density of all noisy data at each stop, so far out: uint8 [n, SHADES, SHADES]."""
    mixture, _ = two_classes()
    places = grid(SHADES, reach)
    return np.stack([shaded(mixture, places, t) for t in times(STEPS)])


# --- two gradients --------------------------------------------------------------------------------


class Gradients(NamedTuple):
    """Three ways to push towards the class, on a grid at every stop but t = 0.

    Attributes:
        arrows: float32 [3, n, GRID * GRID, 4]: the difference of the two scores, the gradient of
            the classifier that knows the noise, that of one that does not.
        gap: [n] root mean square difference of the first two, over the first.
        off: [n] the same of the first and the third, over noisy points of the data.
        both: root mean square difference of eps between both kinds of guidance at s = 3, largest.
        shift: [2, n] as `shift_errors`, for a step from each stop to the next.
    """

    arrows: np.ndarray
    gap: np.ndarray
    off: np.ndarray
    both: float
    shift: np.ndarray


@st.cache_data(max_entries=1, show_spinner=False)
def gradients() -> tuple:
    """The fields of `Gradients`."""
    scale = 3.0  # any would do
    mixture, labels = two_classes()
    denoiser = mixture_denoiser(diffusion(), mixture, labels)
    aware, blind = (
        class_gradient(diffusion(), mixture, labels, noise_aware=knows) for knows in (True, False)
    )
    generator = torch.Generator().manual_seed(0)
    clean = mixture.sample(300, generator)
    noise = torch.randn(300, 2, generator=generator, dtype=torch.float64)
    places = grid(GRID, REACH)
    fields, gaps, offs, both = [], [], [], 0.0
    for t in times(STEPS)[:-1]:
        x = torch.cat([places, diffusion().q_sample(clean, torch.full((300,), t), noise)])
        at, label = torch.full((len(x),), t), torch.full((len(x),), ASKED)
        anyone = score(diffusion(), denoiser, x, at)
        asked = score(diffusion(), towards_class(denoiser), x, at)
        ways = [asked - anyone, aware(x, at, label), blind(x, at, label)]
        sigma = float(1 - diffusion().schedule.alpha_bar[t]) ** 0.5
        fields.append([as_arrows(places, 2 * sigma * way[: len(places)], REACH) for way in ways])
        right, same, wrong = (way[len(places) :] for way in ways)
        size = right.square().mean().sqrt()
        gaps.append(float((same - right).square().mean().sqrt() / size))
        offs.append(float((wrong - right).square().mean().sqrt() / size))
        free = guided(denoiser, scale)(x, at, label).eps
        pushed = classifier_guided(
            diffusion(), lambda x, t, label=None: denoiser(x, t), aware, scale
        )
        both = max(both, float((pushed(x, at, label).eps - free).square().mean().sqrt()))
    return tuple(
        Gradients(
            np.array(fields, np.float32).transpose(1, 0, 2, 3),
            np.array(gaps),
            np.array(offs),
            both,
            np.array([shift_errors(t, s) for t, s in pairwise(times(STEPS))]).T,
        )
    )


def shift_errors(t: int, s: int, n: int = 100) -> tuple[float, float]:
    r"""How far two shifts of the mean towards the class are off, over the right one's size.

    $$E[x_s|x_t, y] - E[x_s|x_t] = \frac{\beta}{\sqrt{\alpha}}\,\nabla_{x_t}\log p(y|x_t),
    \qquad \alpha = \bar\alpha_t/\bar\alpha_s, \quad \beta = 1 - \alpha$$

    Source: Tweedie's formula, for the score of the class and of all. Dhariwal & Nichol 2021,
    section 4.1 (eq. 5 to 10), have the posterior's variance for the factor and the gradient at the
    mean, of the classifier for s; their code has it at x_t, of the classifier for t, and algorithm
    1 as printed reads like the code.

    Args:
        t: the step.
        s: the step it leads to, below t.
        n: noisy points of the data that the root mean squares are taken over.

    Returns:
        Of the code's shift, and of the derived one.
    """
    mixture, labels = two_classes()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    at, then, label = (torch.full((n,), k) for k in (t, s, ASKED))
    x = diffusion().q_sample(mixture.sample(n, generator), at, noise)
    bar_t, bar_s = (float(diffusion().schedule.alpha_bar[k]) for k in (t, s))
    alpha = bar_t / bar_s
    var = (1 - alpha) * (1 - bar_s) / (1 - bar_t)
    slope = class_gradient(diffusion(), mixture, labels)
    at_x = slope(x, at, label)
    right = (1 - alpha) / alpha**0.5 * at_x
    anyone = score(diffusion(), mixture_denoiser(diffusion(), mixture), x, at)
    mean = (x + (1 - alpha) * anyone) / alpha**0.5
    code, derived = (
        float((var * push - right).square().mean().sqrt() / right.square().mean().sqrt())
        for push in (at_x, slope(mean, then, label))
    )
    return code, derived


# --- digits ---------------------------------------------------------------------------------------


class Shot(NamedTuple):
    """What is shown of one stop of one row of digits.

    Attributes:
        x0: uint8 [H, W] sheet of the pictures that guidance aims at; in the end of what they are.
        outside: share of their pixels beyond black and white, before clipping; at t = 0 that of
            the last one.
        recognised: at t = 0, how many the judge takes for what was asked for; else, and where no
            digit was asked for, None.
    """

    x0: np.ndarray
    outside: float
    recognised: int | None = None


def _recognised(x: Tensor, label: Tensor | None) -> int | None:
    if label is None:
        return None
    return round(len(x) * recognised(load.classifier(), to_uint8(x), label))


def digits(
    denoiser: NetworkDenoiser, scales: tuple[float, ...], digit: str, steps: int, seed: int
) -> Iterator[list[Shot]]:
    """The same digits at several scales, in lockstep, from one x_T, by DDIM.

    Yields:
        One shot per scale, for each of `steps` + 1 stops.
    """
    start = bench.Start(digit, steps, seed, COUNT)
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(COUNT, 1, 28, 28, generator=generator)
    network = remembering(denoiser, denoiser, denoiser.diffusion.T)
    walks = [
        sample(
            denoiser.diffusion, guided(network, scale), x_T,
            evenly_spaced(denoiser.diffusion.T, steps), sampler="ddim", label=start.label,
            generator=torch.Generator(),
        )
        for scale in scales
    ]  # fmt: skip
    last: list[Tensor] = [x_T for _ in scales]
    beyond = [np.nan for _ in scales]
    for stops in zip(*walks, strict=True):
        row = []
        for k, stop in enumerate(stops):
            last[k] = stop.x_t if stop.prediction is None else stop.prediction.x0
            if stop.raw is not None:  # at t = 0 nothing is predicted: what was before stays
                beyond[k] = float((stop.raw.x0.abs() > 1.02).double().mean())
            found = None if stop.prediction is not None else _recognised(last[k], start.label)
            row.append(Shot(bench.sheet_of(last[k]), beyond[k], found))
        yield row
