"""Guided walks, in the plane where all is exact and with the digits' network, in arrays."""

from __future__ import annotations

from collections.abc import Iterator
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
    draw_x0,
    group_log_densities,
    group_probs,
    mixture_denoiser,
    tilted,
    two_classes,
)
from diffusion_core.parameterization import Prediction
from diffusion_core.samplers import sample
from diffusion_core.schedules import evenly_spaced
from diffusion_core.score import score
from pages.shared import bench
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
REACH = 3.4  # the plane is shown this far: guided walks go further out than others
MANY = 600  # draws of the density that guidance is said to sample, for the charts
COUNT = 16
SEVENS_MISSED = 4  # of sixteen, seed 0, without guidance; a test counts them again


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

    Attributes:
        points: float32 [3, n, WALKERS, 2]: scale 1, the scale asked for, draws of the density that
            it is said to sample, noised.
        middle: [4, n] the part of the class, as the best classifier sees it, that lies in its
            group beside the other class: of those three, and of the density whose score the
            guided walk follows at each stop.
        sure: [3, n] what the best classifier gives the class on average, at the stop's noise.
    """

    points: np.ndarray
    middle: np.ndarray
    sure: np.ndarray


@st.cache_data(max_entries=16, show_spinner=False)
def walks(scale: float, seed: int) -> tuple:
    """The fields of `Guided`."""
    mixture, labels = two_classes()
    stops = times(STEPS)
    generator = torch.Generator().manual_seed(seed)
    claimed = tilted(mixture, labels, ASKED, scale).sample(MANY, generator)
    noise = torch.randn(MANY, 2, generator=generator, dtype=torch.float64)
    at = torch.tensor(stops).repeat_interleave(MANY)
    drawn = diffusion().q_sample(claimed.repeat(len(stops), 1), at, noise.repeat(len(stops), 1))
    drawn = drawn.reshape(len(stops), MANY, 2)
    ways = [walked(s, seed) for s in (1.0, scale)]
    told = [*(way[1:] for way in ways), _told(drawn, stops)]
    return tuple(
        Guided(
            np.stack([*(way[0] for way in ways), drawn[:, :WALKERS].numpy()]).astype(np.float32),
            np.stack([*(middle for middle, _ in told), followed(scale)]),
            np.stack([sure for _, sure in told]),
        )
    )


@st.cache_data(max_entries=16, show_spinner=False)
def walked(scale: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A guided walk without fresh noise at every stop: float64 [n, WALKERS, 2], and `_told` of it.

    Kept, since the walk at scale 1 is beside all others.
    """
    start = torch.randn(
        WALKERS, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    way = torch.stack([start, *flow_walk(diffusion(), guided_at(scale), start, times(STEPS))])
    return (way.numpy(), *_told(way, times(STEPS)))


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
    log, asked, middle = everywhere()
    power = torch.from_numpy(log + scale * (asked - log)).softmax(1).numpy()
    own = np.exp(asked - log)
    return (power * np.exp(middle - log)).sum(1) / (power * own).sum(1)


@st.cache_data(max_entries=1, show_spinner=False)
def everywhere() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log densities over the plane at each stop: of all, the class, its middle group; [n, N]."""
    mixture, labels = two_classes()
    places, stops = grid(40, 4.5), times(STEPS)
    at = torch.tensor(stops).repeat_interleave(len(places))
    told = group_log_densities(diffusion(), mixture, places.repeat(len(stops), 1), at)
    told = told.reshape(len(stops), len(places), -1)
    asked = told[..., labels == ASKED]
    parts = told.logsumexp(2), asked.logsumexp(2), asked[..., MIDDLE]
    log, of_class, middle = (part.numpy() for part in parts)
    return log, of_class, middle


def power_of_averages(scale: float, t: int) -> tuple[float, float]:
    """At the middle group's place at t: E[p(y|x_0)|x_t]^s, and E[p(y|x_0)^s|x_t]."""
    mixture, labels = two_classes()
    n = 4000
    alpha_bar = float(diffusion().schedule.alpha_bar[t])
    here = (alpha_bar**0.5 * mixture.means[MIDDLE]).expand(n, 2)
    at = torch.full((n,), t)
    x0 = draw_x0(diffusion(), mixture, here, at, generator=torch.Generator().manual_seed(0))
    sure = class_log_probs(diffusion(), mixture, labels, x0, torch.zeros_like(at))[:, ASKED].exp()
    exact = class_log_probs(diffusion(), mixture, labels, here[:1], at[:1])[0, ASKED].exp()
    return float(exact**scale), float((sure**scale).mean())


def middle_at_the_end(scale: float, seed: int) -> float:
    """The middle group's share of what a guided walk without fresh noise ends in."""
    return float(walked(scale, seed)[1][-1])


def with_fresh_noise(scale: float, seed: int) -> float:
    """The middle group's share where the same walk is made with fresh noise."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(WALKERS, 2, generator=generator, dtype=torch.float64)
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


@st.cache_data(max_entries=1, show_spinner=False)
def shades() -> np.ndarray:
    """The density of all noisy data at each stop: uint8 [n, SHADES, SHADES]."""
    mixture, _ = two_classes()
    places = grid(SHADES, REACH)
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
    """

    arrows: np.ndarray
    gap: np.ndarray
    off: np.ndarray
    both: float


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
        )
    )


# --- digits ---------------------------------------------------------------------------------------


class Shot(NamedTuple):
    """What is shown of one stop of one row of digits.

    Attributes:
        x0: uint8 [H, W] sheet of the pictures that guidance aims at; in the end of what they are.
        outside: share of their pixels beyond black and white, before clipping; NaN at t = 0.
    """

    x0: np.ndarray
    outside: float


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
    for stops in zip(*walks, strict=True):
        row = []
        for k, stop in enumerate(stops):
            last[k] = stop.x_t if stop.prediction is None else stop.prediction.x0
            beyond = None if stop.raw is None else (stop.raw.x0.abs() > 1.02).double().mean()
            row.append(
                Shot(
                    bench.sheet(to_uint8(last[k]).numpy()),
                    np.nan if beyond is None else float(beyond),
                )
            )
        yield row
