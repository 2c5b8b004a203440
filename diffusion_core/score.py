"""The score: which way the noisy data get denser, and walks that follow it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import Gaussian, GaussianDiffusion, require_signal

Score = Callable[[Tensor], Tensor]
"""x [B, *D] -> gradient of log density by x, [B, *D]."""

UNKNOWN = "a score does not determine x_0"


def score(diffusion: GaussianDiffusion, denoiser: Denoiser, x_t: Tensor, t: Tensor) -> Tensor:
    r"""The gradient of log q(x_t): read off what a denoiser takes for noise.

    $$\nabla_{x_t}\log q(x_t) = -\frac{E[\epsilon|x_t]}{\sigma}, \qquad
    E[\epsilon|x_t] = \frac{x_t - a\,E[x_0|x_t]}{\sigma}$$

    Source: Dhariwal & Nichol 2021, eq. 11; exact for an exact denoiser.

    Args:
        diffusion: the process.
        denoiser: what looks at x_t.
        x_t: [B, *D].
        t: [B] int64, 1 <= t.

    Returns:
        [B, *D].
    """
    _, sigma = diffusion.rates(t, x_t)
    return -denoiser(x_t, t).eps / sigma.to(x_t.dtype)


def pair_score(diffusion: GaussianDiffusion, x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    r"""The gradient of log q(x_t|x_0), for one x_0: what a network is shown while it is trained.

    $$\nabla_{x_t}\log q(x_t|x_0) = \frac{a\,x_0 - x_t}{\sigma^2} = -\frac{\epsilon}{\sigma}$$

    Source: Vincent 2011, section 4.2. Its average over q(x_0|x_t) is the gradient of log q(x_t).

    Args:
        diffusion: the process.
        x_t: [B, *D].
        x0: [B, *D].
        t: [B] int64, 1 <= t.

    Returns:
        [B, *D].
    """
    a, sigma = diffusion.rates(t, x_t)
    return ((a * x0 - x_t) / sigma.square()).to(x_t.dtype)


def tweedie(diffusion: GaussianDiffusion, x_t: Tensor, slope: Tensor, t: Tensor) -> Tensor:
    r"""Tweedie's formula: the average clean point, from the score at the noisy one.

    $$E[x_0|x_t] = \frac{x_t + \sigma^2\,\nabla_{x_t}\log q(x_t)}{a}$$

    Source: Efron 2011, eq. 1.4, for x_t = a x_0 + sigma noise.

    Args:
        diffusion: the process.
        x_t: [B, *D].
        slope: the score at x_t, [B, *D].
        t: [B] int64, where some signal is left.

    Returns:
        [B, *D].

    Raises:
        ValueError: where none is left.
    """
    a, sigma = diffusion.rates(t, x_t)
    require_signal(a, UNKNOWN)
    return ((x_t + sigma.square() * slope) / a).to(x_t.dtype)


def reverse_sde_step(
    diffusion: GaussianDiffusion, x_t: Tensor, slope: Tensor, t: Tensor, s: Tensor
) -> Gaussian:
    r"""One step back with fresh noise: the reverse-time SDE, as ancestral sampling takes it.

    $$x_s \sim \mathcal N(m,\ v I), \qquad
    m = \frac{x_t + (1-\alpha_{t|s})\,\nabla\log q(x_t)}{\sqrt{\alpha_{t|s}}}, \qquad
    v = \frac{1-\bar\alpha_s}{1-\bar\alpha_t}\,(1-\alpha_{t|s})$$

    Source: Song et al. 2021 (score SDE), eq. 4 and 6; the variance of Ho et al. 2020, eq. 7. It is
    q(x_s|x_t, x_0) at the x_0 that Tweedie's formula names.

    Args:
        diffusion: the process.
        x_t: [B, *D].
        slope: the score at x_t, [B, *D].
        t: [B] int64, where some signal is left.
        s: [B] int64, s < t.

    Raises:
        ValueError: where none is left.
    """
    alpha_t, alpha_s = diffusion.alpha_bar(t, x_t), diffusion.alpha_bar(s, x_t)
    require_signal(alpha_t, UNKNOWN)
    alpha = alpha_t / alpha_s
    mean = (x_t + (1 - alpha) * slope) / alpha.sqrt()
    return Gaussian(mean.to(x_t), ((1 - alpha_s) / (1 - alpha_t) * (1 - alpha)).to(x_t))


def flow_step(
    diffusion: GaussianDiffusion, x_t: Tensor, slope: Tensor, t: Tensor, s: Tensor
) -> Tensor:
    r"""One step back without noise: Euler's on the probability-flow ODE, which is DDIM's.

    $$\frac{x_s}{a_s} = \frac{x_t}{a_t} + \left(\frac{\sigma_t}{a_t} - \frac{\sigma_s}{a_s}\right)
    \sigma_t\,\nabla\log q(x_t)$$

    Source: Song et al. 2021 (score SDE), eq. 13, in the variables of Song et al. 2021 (DDIM),
    section 4.3.

    Args:
        diffusion: the process.
        x_t: [B, *D].
        slope: the score at x_t, [B, *D].
        t: [B] int64, where some signal is left.
        s: [B] int64, s < t.

    Returns:
        [B, *D].

    Raises:
        ValueError: where none is left.
    """
    (a_t, sigma_t), (a_s, sigma_s) = diffusion.rates(t, x_t), diffusion.rates(s, x_t)
    require_signal(a_t, UNKNOWN)
    way = (sigma_t / a_t - sigma_s / a_s) * sigma_t
    return (a_s * (x_t / a_t + way * slope)).to(x_t)


def langevin(
    slope: Score, x: Tensor, step: float, n: int, *, noise: float = 1.0, generator: torch.Generator
) -> Iterator[Tensor]:
    r"""Langevin's walk: a little uphill, a little at random, again and again.

    $$x \leftarrow x + \frac\delta2\,\nabla_x\log q(x) + \kappa\sqrt\delta\,z,
    \qquad z \sim \mathcal N(0, I)$$

    Source: Song & Ermon 2019, eq. 4, where kappa = 1. It ends in q for small steps and many of
    them; with another kappa in q to the power of 1/kappa^2, as the Fokker-Planck equation says.

    Args:
        slope: the score of the density that is wanted.
        x: [B, *D], where the walks begin.
        step: delta.
        n: number of steps.
        noise: kappa, the noise as a share of what it has to be; its square is the temperature.
        generator: source of randomness.

    Yields:
        n times [B, *D], the first after one step.

    Raises:
        ValueError: for a step that is not above 0.
    """
    if not step > 0:
        raise ValueError(f"the step must be above 0, not {step}")
    for _ in range(n):
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = x + 0.5 * step * slope(x) + noise * step**0.5 * z
        yield x


def langevin_variance(step: float, n: int, *, noise: float = 1.0, start: float = 1.0) -> Tensor:
    r"""How wide Langevin's walkers of N(0, 1) are after each step, exactly.

    $$v_{k+1} = \left(1 - \tfrac\delta2\right)^2 v_k + \kappa^2\delta, \qquad
    v_\infty = \frac{\kappa^2}{1 - \delta/4}$$

    Own derivation: the score of N(0, 1) is -x, so that a step is linear.

    Args:
        step: delta, above 0 and below 4.
        n: number of steps.
        noise: kappa, as in `langevin`.
        start: the variance that they begin with.

    Returns:
        [n + 1] float64 variances, the start first.

    Raises:
        ValueError: for a step after which walkers would go further and further out.
    """
    if not 0 < step < 4:
        raise ValueError(f"the step must be above 0 and below 4, not {step}")
    rest = noise**2 / (1 - step / 4)
    kept = (1 - step / 2) ** (2 * torch.arange(n + 1, dtype=torch.float64))
    return rest + (start - rest) * kept


def langevin_rest(slope: Score, places: Tensor, step: float, *, noise: float = 1.0) -> Tensor:
    r"""Where Langevin's walkers on a line come to rest, for a step that need not be small.

    $$\pi(y) = \int \pi(x)\,\mathcal N\!\left(y;\ x + \tfrac\delta2\,\nabla_x\log q(x),\
    \kappa^2\delta\right)\mathrm dx$$

    Own derivation: the density that one step of `langevin` leaves as it is, solved for on a grid.

    Args:
        slope: the score of the density that is wanted, of x [n, 1].
        places: [n] float64, evenly spaced, out to where hardly a walker gets.
        step: delta.
        noise: kappa, as in `langevin`.

    Returns:
        [n] density; its sum times the spacing is 1.

    Raises:
        ValueError: where the noise of one step would fall between two places.
    """
    spacing, width = float(places[1] - places[0]), noise * step**0.5
    if not width >= spacing:
        raise ValueError(f"places {spacing:g} apart are too far for noise of {width:g}")
    led = places + 0.5 * step * slope(places[:, None])[:, 0]
    moves = (-0.5 * ((places - led[:, None]) / width).square()).softmax(1)  # rows are "from"
    one = torch.ones(len(places), dtype=places.dtype)
    # pi moves = pi and sum pi = 1 in one: pi (moves - I + ones) = ones.
    pi: Tensor = torch.linalg.solve(moves.T - torch.diag(one) + 1, one)
    return pi / spacing


def annealed_langevin(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x_T: Tensor,
    timesteps: Sequence[int],
    *,
    each: int = 1,
    rate: float = 0.5,
    finest: float = 0.0,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    r"""Langevin's walk at one noise level after the other, from the highest to the lowest.

    $$x \leftarrow x + \frac{\delta_t}2\,\nabla_x\log q(x_t) + \sqrt{\delta_t}\,z,
    \qquad \delta_t = r\,(\sigma_t^2 + a_t^2 s^2)$$

    Source: Song & Ermon 2019, algorithm 1, where s = 0 and levels keep the size of the data; here
    they are the process' own, in which data shrink as noise grows.

    Args:
        diffusion: the process.
        denoiser: what looks at x_t.
        x_T: [B, *D].
        timesteps: never rising, each in 1..T; all the same for a walk at one level.
        each: steps at one level.
        rate: r, the step as a share of the variance of what is finest at that level.
        finest: s, standard deviation of the finest structure of the data, where that is known.
        generator: source of randomness.

    Yields:
        len(timesteps) times [B, *D], after all steps of a level.

    Raises:
        ValueError: for timesteps that rise or leave 1..T.
    """
    levels = [diffusion.T, *timesteps, 1]
    if any(t < s for t, s in itertools.pairwise(levels)):
        raise ValueError(f"timesteps must never rise and lie in 1..{diffusion.T}")
    x = x_T
    for t in timesteps:
        at = torch.full((len(x),), t)
        alpha_bar = float(diffusion.schedule.alpha_bar[t])
        step = rate * (1 - alpha_bar + alpha_bar * finest**2)
        slope = partial(score, diffusion, denoiser, t=at)
        *_, x = langevin(slope, x, step, each, generator=generator)
        yield x


def sliced_distance(x: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    r"""How far the points of one cloud would have to move to lie as the other's do.

    $$\frac1{Kn}\sum_{k}\sum_i \left|\,(d_k^\top x)_{(i)} - (d_k^\top y)_{(i)}\right|$$

    Source: Bonneel et al. 2015, with distances instead of their squares: along each
    direction the sorted points are paired.

    Args:
        x: [*, n, D].
        y: [*, n, D], as many points.
        directions: [K, D], of length 1.

    Returns:
        [*], in the points' unit.
    """
    # NumPy sorts ten times as fast as torch on a CPU.
    along_x, along_y = (np.sort((cloud @ directions.T).mT.numpy()) for cloud in (x, y))
    return torch.as_tensor(np.abs(along_x - along_y).mean((-2, -1)))
