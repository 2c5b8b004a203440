"""Hierarchies that are trained while one looks on, as a page's controls ask for them, in arrays."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.hierarchical import (
    VARIANTS,
    WIDEST,
    Hierarchy,
    hierarchy,
    level_information,
    level_schedule,
    noisy_entropy,
    prior_mismatch,
)
from diffusion_core.hierarchical_training import (
    Look,
    Scatter,
    count_calls,
    estimator_scatter,
    learn_hierarchy,
    training_loss,
)
from diffusion_core.mixtures import PLANE_DATA
from pages.shared.score_world import OPAQUE

LEVELS = (1, 2, 4, 8)
DIMS = (1, 2, 4)
EXTENT = 2.8
SHADES = 40  # cells of a shade along each side
STEPS = 400  # gradient steps of one model
LOOKS = 20  # of one model that is trained alone
RACE = 25  # looks of each of the four models; few steps between two, so that controls answer soon
DRAWN = 400  # points that are shown
SHADED = 4096  # encoded points that a shade is made of
INFORMED = 512  # of which the information of a level is measured
DEPTHS = (1, 2, 4, 8, 16, 32)
PARTS = 8  # looks of the models of one depth
CALLS = 800  # of networks per example of a batch, that a model of `DEPTHS` is trained with
SCATTERED = (64, 64)  # points, and draws of the bound for each
AT_ONCE = 8  # of those points, between two pauses


@cache
def clean() -> GaussianDiffusion:
    """A process that is asked about t = 0 only: the data without noise."""
    return GaussianDiffusion(level_schedule(1))


@cache
def best_possible(data: str) -> float:
    """The entropy of the data in nats: no model's bound can be lower on average."""
    return noisy_entropy(clean(), PLANE_DATA[data](), 0)


@cache
def lost_at_top(data: str, variant: str, T: int) -> float:
    """What of a fixed encoder's prior term no decoder can win back, nats."""
    model = hierarchy(variant, T, generator=torch.Generator().manual_seed(0))
    assert model.process is not None
    return prior_mismatch(model.process, PLANE_DATA[data]())


def near(data: str, points: Tensor) -> float:
    """Share of points [n, 2] within three widths of a group."""
    mixture = PLANE_DATA[data]()
    gap = torch.cdist(points.double(), mixture.means).amin(1)
    return float((gap < 3 * mixture.std).double().mean())


def in_plane(z: Tensor) -> Tensor:
    """Latents [n, d] as places in the plane: one number along a line, of four the first two.

    A line would hide how many points lie on it: each keeps a height of its own, always the same.
    """
    if z.shape[1] > 1:
        return z[:, :2]
    height = torch.rand(len(z), 1, generator=torch.Generator().manual_seed(0)) - 0.5
    return torch.cat([z, 0.6 * height], dim=1)


def shade(points: Tensor) -> np.ndarray:
    """How densely points [n, 2] lie, most where opaque: uint8 [SHADES, SHADES], top row first."""
    cell = ((points + EXTENT) * (SHADES / (2 * EXTENT))).floor().long()
    inside = ((cell >= 0) & (cell < SHADES)).all(1)
    x, y = cell[inside].unbind(1)
    counts = torch.zeros(SHADES * SHADES).index_add(
        0, (SHADES - 1 - y) * SHADES + x, torch.ones(len(x))
    )
    picture = counts.reshape(1, 1, SHADES, SHADES)
    bell = torch.tensor([0.06, 0.24, 0.4, 0.24, 0.06])
    picture = F.conv2d(picture, (bell[:, None] * bell)[None, None], padding=2)[0, 0]
    opaque = picture / picture.max().clamp(min=1e-9) * OPAQUE
    return opaque.round().to(torch.uint8).numpy()


@st.cache_data(max_entries=8, show_spinner=False)
def data_shade(data: str) -> np.ndarray:
    """The data's own, uint8 [1, SHADES, SHADES]."""
    many = PLANE_DATA[data]().sample(60_000, torch.Generator().manual_seed(0))
    return shade(many.float())[None]


class Walk(NamedTuple):
    """What a model draws on its way down.

    Attributes:
        points: float32 [T + 1, DRAWN, 2] from z_T to x.
        near: share of the drawn x within three widths of a group.
    """

    points: np.ndarray
    near: float


def walk(model: Hierarchy, data: str, seed: int) -> Walk:
    """Draw from a model; the noise is the same for every look."""
    generator = torch.Generator().manual_seed(seed + 2)
    top = torch.randn(DRAWN, WIDEST, generator=generator)[:, : model.latent]
    noise = torch.randn(model.T, DRAWN, WIDEST, generator=generator)
    with torch.no_grad():
        down = model.descend(top, noise)
    return Walk(
        torch.stack([in_plane(z) for z in down]).numpy(),
        near(data, down[-1]),
    )


def sent_up(model: Hierarchy, data: str, seed: int) -> np.ndarray:
    """Where the encoder puts the data at each level: uint8 [T + 1, SHADES, SHADES], z_T first."""
    generator = torch.Generator().manual_seed(seed + 5)
    x = PLANE_DATA[data]().sample(SHADED, generator).float()
    with torch.no_grad():
        up, _ = model.climb(x, torch.randn(model.T, SHADED, model.latent, generator=generator))
    return np.stack([shade(in_plane(z)) for z in reversed(up)])


def informed(model: Hierarchy, data: str, seed: int) -> np.ndarray:
    """`level_information` of a model, [T] nats."""
    generator = torch.Generator().manual_seed(seed + 3)
    x = PLANE_DATA[data]().sample(INFORMED, generator).float()
    noise = torch.randn(model.T, INFORMED, model.latent, generator=generator)
    with torch.no_grad():
        return level_information(model, x, noise).numpy()


# --- one model ------------------------------------------------------------------------------------


class Lesson(NamedTuple):
    """What is shown of one model on its way.

    Attributes:
        steps: gradient steps so far.
        terms: [T + 1] nats: reconstruction, levels from below, prior matching.
        told: [T] nats that z_t tells about z_{t-1}.
        walk: what it draws.
        shades: uint8 [T + 1, SHADES, SHADES]: as `sent_up`.
    """

    steps: int
    terms: np.ndarray
    told: np.ndarray
    walk: Walk
    shades: np.ndarray


def lessons(
    data: str, variant: str, T: int, latent: int, seed: int
) -> Iterator[Lesson | None]:  # fmt: skip
    """A model's way from nothing, LOOKS + 1 times, with a pause after each gradient step."""
    run = taught(data, variant, T, latent, seed)
    for shown in range(LOOKS + 1):
        look = yield from until(run, STEPS * shown // LOOKS)
        told = informed(look.model, data, seed)
        yield None
        shades = sent_up(look.model, data, seed)
        yield None
        terms = look.terms().numpy()
        yield Lesson(look.steps, terms, told, walk(look.model, data, seed), shades)


def taught(data: str, variant: str, T: int, latent: int, seed: int) -> Iterator[Look]:
    """A model's way of STEPS gradient steps."""
    return learn_hierarchy(
        PLANE_DATA[data](), variant, T, latent=latent, steps=STEPS, seed=seed
    )  # fmt: skip


def until(run: Iterator[Look], steps: int) -> Generator[None, None, Look]:
    """Learn until so many gradient steps are taken, with a pause after each."""
    for look in run:
        if look.steps >= steps:
            return look
        yield
    raise ValueError(f"the training ends before step {steps}")


# --- four models ----------------------------------------------------------------------------------


class Rung(NamedTuple):
    """Four models side by side, at one moment of their training or of their walk down.

    Attributes:
        steps: gradient steps so far.
        level: None while they learn; then which z is drawn, T to 0.
        points: four float32 [DRAWN, 2].
        shades: four uint8 [SHADES, SHADES]: the data, or where the encoder puts them.
        terms: four [T + 1].
        near: [4] share of the drawn x within three widths of a group.
    """

    steps: int
    level: int | None
    points: np.ndarray
    shades: np.ndarray
    terms: np.ndarray
    near: np.ndarray


def stay(T: int) -> int:
    """Frames that the walk down stays at each level: together about as many as the training has."""
    return round((RACE + 1) / (T + 1))


def frames_of_a_race(T: int) -> int:
    """How many `Rung`s there are."""
    return RACE + 1 + (T + 1) * stay(T)


def race(data: str, T: int, latent: int, seed: int) -> Iterator[Rung | None]:
    """All four learn for STEPS steps, then walk down level by level; pauses wherever it can."""
    yield Rung(*untrained(data, T, latent, seed))
    runs = [taught(data, variant, T, latent, seed) for variant in VARIANTS]
    for shown in range(1, RACE + 1):
        models, terms, walks = [], [], []
        for run in runs:
            look = yield from until(run, STEPS * shown // RACE)
            models.append(look.model)
            yield None
            terms.append(look.terms().numpy())
            yield None
            walks.append(walk(look.model, data, seed))
        rung = learning(look.steps, terms, walks, data)
        yield rung
    up = []
    for model in models:
        up.append(sent_up(model, data, seed))
        yield None
    for at in range(T + 1):
        points, shades = (
            np.stack([way[at] for way in ways]) for ways in ([w.points for w in walks], up)
        )
        for _ in range(stay(T)):
            yield rung._replace(level=T - at, points=points, shades=shades)


@st.cache_data(max_entries=32, show_spinner=False)
def untrained(data: str, T: int, latent: int, seed: int) -> tuple:
    """The fields of the first `Rung`, kept: it is what a moved control is answered with."""
    looks = [next(taught(data, variant, T, latent, seed)) for variant in VARIANTS]
    walks = [walk(look.model, data, seed) for look in looks]
    return tuple(learning(0, [look.terms().numpy() for look in looks], walks, data))


def learning(steps: int, terms: Sequence[np.ndarray], walks: Sequence[Walk], data: str) -> Rung:
    """Four models on their way."""
    return Rung(
        steps,
        None,
        np.stack([told.points[-1] for told in walks]),
        np.repeat(data_shade(data), len(walks), axis=0),
        np.stack(terms),
        np.array([told.near for told in walks]),
    )


@st.cache_data(max_entries=16, show_spinner=False)
def calls_per_step(variant: str, T: int) -> float:
    """Network calls for one example of one gradient step, counted."""
    generator = torch.Generator().manual_seed(0)
    model = hierarchy(variant, T, generator=generator)
    x = torch.zeros(8, 2)
    return count_calls(model, lambda: training_loss(model, x, generator), len(x))


# --- depth ----------------------------------------------------------------------------------------


class Depth(NamedTuple):
    """Two models that are given the same number of network calls, at one moment.

    Attributes:
        T: levels that they have; 0 before anything was trained.
        steps: [2] gradient steps so far: learnt encoder, DDPM.
        points: float32 [2, DRAWN, 2] what they draw.
        done: of the last depth whose models were trained to the end.
    """

    T: int
    steps: tuple[int, int]
    points: np.ndarray
    done: Done


class Done(NamedTuple):
    """What came of two models of one depth.

    Attributes:
        bounds: [2] nats.
        scatter: of the bound of the second, as in `Scatter`.
        calls: [2] network calls for one example of one step.
    """

    bounds: np.ndarray
    scatter: np.ndarray
    calls: np.ndarray


NOTHING = Done(np.full(2, np.nan), np.full(6, np.nan), np.full(2, np.nan))


def depths(data: str, seed: int) -> Iterator[Depth | None]:
    """Nothing yet, then each of `DEPTHS` in `PARTS` looks."""
    done = NOTHING
    yield Depth(0, (0, 0), np.zeros((2, DRAWN, 2), np.float32) + 99, done)
    for T in DEPTHS:
        for one in depth(data, T, seed, done):
            yield one
            done = one.done if one else done


def depth(data: str, T: int, seed: int, done: Done = NOTHING) -> Iterator[Depth | None]:
    """Two models of one depth learn side by side; `done` is what came of the ones before."""
    mixture = PLANE_DATA[data]()
    kinds = ("same", "ddpm")
    calls = np.array([calls_per_step(kind, T) for kind in kinds])
    steps = [int(CALLS / each) for each in calls]
    runs = [
        learn_hierarchy(mixture, kind, T, steps=many, seed=seed)
        for kind, many in zip(kinds, steps, strict=True)
    ]
    for part in range(1, PARTS + 1):
        looks, walks = [], []
        for run, many in zip(runs, steps, strict=True):
            look = yield from until(run, many * part // PARTS)
            yield None
            looks.append(look)
            walks.append(walk(look.model, data, seed))
            yield None
        if part == PARTS:
            spread = yield from scatter(looks[1].model, data, seed)
            done = Done(
                np.array([look.bound() for look in looks]),
                np.array(spread),
                calls,
            )
        ends = np.stack([told.points[-1] for told in walks])
        yield Depth(T, (looks[0].steps, looks[1].steps), ends, done)


def scatter(model: Hierarchy, data: str, seed: int) -> Generator[None, None, Scatter]:
    """`estimator_scatter` for some points of the data, with pauses."""
    generator = torch.Generator().manual_seed(seed + 4)
    n, draws = SCATTERED
    x, parts = PLANE_DATA[data]().sample(n, generator).float(), []
    for some in x.split(AT_ONCE):
        parts.append(estimator_scatter(model, some, draws, generator=generator))
        yield
    return Scatter(*np.sqrt(np.square(parts).mean(0)).tolist())
