"""Four ways to follow a network's score from noise to a picture, call by call."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import Prediction
from diffusion_core.samplers import clip_prediction
from diffusion_core.schedules import evenly_spaced
from diffusion_core.score import Score, flow_step, langevin, reverse_sde_step, score

WAYS = ("sde", "ode", "corrected", "langevin")


class Leg(NamedTuple):
    """What one call of the network is good for: a step from t to s; one of Langevin's where s = t.

    The last one of Langevin's walk leads to 0 by Tweedie's formula.
    """

    t: int
    s: int


class Stop(NamedTuple):
    """A moment of a walk.

    Attributes:
        t: the noise level; 0 at the end.
        x: [B, *D].
        prediction: what the network says there, clipped; None at the end.
    """

    t: int
    x: Tensor
    prediction: Prediction | None


def legs(way: str, T: int, calls: int) -> tuple[Leg, ...]:
    """How a walk of `calls` network calls goes down the levels.

    "corrected" takes one of Langevin's steps at each level before the one that leads on: half as
    many levels for as many calls.

    Args:
        way: one of `WAYS`.
        T: the highest level.
        calls: how many; an even number for "corrected".

    Raises:
        ValueError: for another way, or a number of calls that it can't have.
    """
    if way not in WAYS:
        raise ValueError(f"{way!r} is no way; there are {', '.join(WAYS)}")
    if not 2 <= calls <= T or (way == "corrected" and calls % 2):
        raise ValueError(f"{calls} calls are not possible for {way!r} and {T} levels")
    levels = evenly_spaced(T, calls // 2 if way == "corrected" else calls)
    down = [Leg(t, s) for t, s in itertools.pairwise([*levels, 0])]
    if way == "corrected":
        return tuple(leg for one in down for leg in (Leg(one.t, one.t), one))
    if way == "langevin":
        return (*(Leg(t, t) for t in levels[:-1]), down[-1])
    return tuple(down)


def score_walk(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x_T: Tensor,
    way: str,
    calls: int,
    *,
    label: Tensor | None = None,
    rate: float = 0.3,
    generator: torch.Generator,
) -> Iterator[Stop]:
    r"""Follow the score of a network from noise to data, in one of four ways.

    $$\text{predict: } x_s \leftarrow \text{SDE or ODE step}(x_t), \qquad
    \text{correct: } x_t \leftarrow x_t + \tfrac{\delta}{2} s_\theta + \sqrt\delta z,
    \quad \delta = r\,\sigma_t^2$$

    Source: Song et al. 2021 (score SDE), section 4.2 and appendix G (predictor-corrector; there
    the step's size follows the norms of score and noise); Song & Ermon 2019, algorithm 1, for
    Langevin's walk alone, here one step a level. Its last call names the clean picture. What the
    network takes for x_0 is clipped.

    Args:
        diffusion: the process.
        denoiser: looks at x_t, t and label.
        x_T: [B, *D] standard normal noise.
        way: "sde" (fresh noise), "ode" (none), "corrected" (as "sde", with one of Langevin's steps
            at each level first) or "langevin" (nothing but those).
        calls: of the network.
        label: [B] int64 classes, or None for any.
        rate: r, Langevin's step as a share of the noise's variance.
        generator: source of fresh noise.

    Yields:
        calls + 1 stops, the first at T, the last at 0.

    Raises:
        ValueError: as `legs`; and, but for "langevin", where no signal is left at T.
    """
    x = x_T
    for leg in legs(way, diffusion.T, calls):
        t, s = (torch.full((len(x),), level) for level in leg)
        said = clip_prediction(diffusion, denoiser(x, t, label), x, t)
        yield Stop(leg.t, x, said)
        slope = score(diffusion, _saying(said), x, t)
        if leg.s == leg.t:
            step = rate * (1 - float(diffusion.schedule.alpha_bar[leg.t]))
            (x,) = langevin(_constant(slope), x, step, 1, generator=generator)
        elif way == "langevin":
            x = said.x0
        elif way == "ode":
            x = flow_step(diffusion, x, slope, t, s)
        else:
            back = reverse_sde_step(diffusion, x, slope, t, s)
            x = back.sample(torch.randn(x.shape, generator=generator, dtype=x.dtype))
    yield Stop(0, x, None)


def _saying(said: Prediction) -> Denoiser:
    """A denoiser that has been asked already."""
    return lambda x_t, t, label=None: said


def _constant(slope: Tensor) -> Score:
    return lambda x: slope


def noise_seen(stop: Stop) -> float:
    r"""How much noise the network sees, against what the level says: 1 is as it should be.

    $$\sqrt{\tfrac1D\,\lVert\hat\epsilon\rVert^2}, \qquad
    \hat\epsilon = \frac{x_t - a\,\hat x_0}{\sigma}$$

    Source: Ho et al. 2020, eq. 4, solved for epsilon. A little below 1 for an exact denoiser, which
    can't know all of the noise.

    Returns:
        Root mean square over all numbers; NaN at the end, where nothing is asked.
    """
    if stop.prediction is None:
        return math.nan
    return float(stop.prediction.eps.square().mean().sqrt())
