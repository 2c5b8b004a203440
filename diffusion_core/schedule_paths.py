"""Paths of gamma between two ends: what the bound keeps and what its estimate's scatter shows.

The network's squared error depends on gamma alone, not on when gamma is reached. So one table of
real draws, at gammas spread between the ends, tells the cost on every path.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.bound import repeat
from diffusion_core.ledger import Figure
from diffusion_core.samplers import standard_normal
from diffusion_core.vdm_elbo import Gamma, NoisePredictor, vdm_diffusion

CELLS = 512
"""Intervals of gamma over which the integrals here are summed."""
ROUNDS = 60
"""At most so many guesses at the time at which a gamma is reached."""
CLOSE = 1e-12
"""How near a guess comes to its gamma."""


def cosine_gamma(low: float, high: float) -> Gamma:
    r"""The cosine schedule's curve, cut where gamma is at two given ends.

    $$\gamma(t) = 2\log\tan\left(\tfrac{\pi}{2}\,u(t)\right), \qquad
    u(t) = u_0 + (u_1-u_0)\,t, \qquad u_i = \tfrac{2}{\pi}\arctan e^{\gamma_i/2}$$

    Source: Nichol & Dhariwal 2021, eq. 17, alpha_bar = cos^2(pi u / 2); their offset, which keeps u
    away from 0, gives way to the two ends.
    """
    first, last = (math.atan(math.exp(end / 2)) for end in (low, high))
    return lambda t: 2 * (first + (last - first) * t).tan().log()


def mix(one: Gamma, other: Gamma, share: float) -> Gamma:
    r"""A path between two others; with common ends it has the same ones.

    $$\gamma(t) = (1-w)\,\gamma_a(t) + w\,\gamma_b(t)$$

    Source: ours.
    """
    return lambda t: (1 - share) * one(t) + share * other(t)


def times_of(gamma: Gamma, levels: Tensor) -> Tensor:
    """When a path reaches the given gammas, like `levels`; beyond its ends the end is meant.

    False position, all levels at once: as sure as halving, and about ten calls of `gamma` in place
    of fifty, since a path is nearly a straight line from close by.
    """
    low, high = torch.zeros_like(levels), torch.ones_like(levels)
    below, above = gamma(low) - levels, gamma(high) - levels
    beyond, end = (below >= 0) | (above <= 0), (above <= 0).to(levels)
    guess, before = end, torch.zeros_like(beyond)
    for _ in range(ROUNDS):
        guess = torch.where(beyond, end, low - below * (high - low) / (above - below))
        off = gamma(guess) - levels
        if bool((beyond | (off.abs() < CLOSE)).all()):
            break
        early = off < 0
        # Where the same side moves twice, the other one counts half, or it would never move.
        weight = torch.where(early == before, 0.5, 1.0)
        low, below = torch.where(early, guess, low), torch.where(early, off, below * weight)
        high, above = torch.where(early, high, guess), torch.where(early, above * weight, off)
        before = early
    return guess


class ErrorTable(NamedTuple):
    """Draws of the squared error of a network's noise, at gammas from one end to the other.

    Attributes:
        gammas: [K] float64, rising; the first and the last are the ends.
        squared: [K, n] float64, draws of the squared error.
    """

    gammas: Tensor
    squared: Tensor

    def weigh(self, weights: Tensor) -> Figure:
        """Sum of [K] weights times the mean errors, with its standard error from the draws."""
        n = self.squared.shape[1]
        spread = (weights.square() * self.squared.var(1)).sum() / n
        return Figure(float(weights @ self.squared.mean(1)), float(spread.sqrt()))

    def at(self, levels: Tensor) -> Tensor:
        """[m, K]: the share of each row in a value at each of [m] levels, a line between two."""
        right = torch.searchsorted(self.gammas, levels).clamp(1, len(self.gammas) - 1)
        before, after = self.gammas[right - 1], self.gammas[right]
        share = ((levels - before) / (after - before)).clamp(0, 1)
        table = levels.new_zeros(len(levels), len(self.gammas))
        rows = torch.arange(len(levels))
        table[rows, right - 1] = 1 - share
        table[rows, right] = share
        return table

    @property
    def levels(self) -> Tensor:
        """[CELLS + 1] gammas, evenly spread: the edges of the cells."""
        return torch.linspace(
            float(self.gammas[0]), float(self.gammas[-1]), CELLS + 1, dtype=torch.float64
        )


def draw_errors(
    predict: NoisePredictor, x0: Tensor, gammas: Tensor, n: int, generator: torch.Generator
) -> ErrorTable:
    """Ask the network at each gamma, n times with other noise.

    Args:
        predict: (z, log_snr, label) -> eps_hat.
        x0: [1, *D].
        gammas: [K] float64, rising.
        n: draws at each, at least 2.
        generator: the source of noise.

    Raises:
        ValueError: for n < 2, from which no standard error can be told.
    """
    if n < 2:
        raise ValueError(f"a standard error needs at least two draws, not {n}")
    many = repeat(x0, len(gammas) * n)
    # On the clock that shows gamma itself, the cost per unit of time is half the squared error.
    cost = vdm_diffusion(
        lambda t: t, predict, many, standard_normal(many, generator), gammas.repeat_interleave(n)
    )
    return ErrorTable(gammas, 2 * cost.reshape(len(gammas), n))


def continuous_cost(table: ErrorTable) -> Figure:
    r"""The diffusion term in continuous time, nats: no path stands in it, only two ends.

    $$\int_0^1 \tfrac12\,\gamma'(t)\,e(\gamma(t))\,dt =
    \tfrac12\int_{\gamma_0}^{\gamma_1} e(\gamma)\,d\gamma, \qquad
    e(\gamma) = E\lVert\epsilon-\hat\epsilon\rVert^2$$

    Source: Kingma et al. 2021, section 5.1 (the bound depends on the ends of the SNR only).
    """
    width = table.gammas.diff()
    weights = torch.zeros_like(table.gammas)
    weights[:-1] += width / 4
    weights[1:] += width / 4
    return table.weigh(weights)


def finite_cost(table: ErrorTable, gamma: Gamma, T: int) -> Figure:
    r"""The diffusion term of T steps, nats: here the path counts.

    $$\sum_{i=1}^{T}\tfrac12\left(e^{\gamma(i/T)-\gamma((i-1)/T)}-1\right) e(\gamma(i/T))$$

    Source: Kingma et al. 2021, eq. 14.
    """
    levels = gamma(torch.arange(T + 1, dtype=torch.float64) / T)
    return table.weigh(0.5 * torch.expm1(levels.diff()) @ table.at(levels[1:]))


def cost_over_time(table: ErrorTable, gamma: Gamma) -> tuple[Tensor, Tensor]:
    """Times [CELLS] and the expected cost of a draw at each, nats, on one path."""
    pace, middle, times = _cells(table, gamma)
    return (times[1:] + times[:-1]) / 2, 0.5 * pace * (table.at(middle) @ table.squared.mean(1))


def variance_on_path(table: ErrorTable, gamma: Gamma) -> Figure:
    r"""Variance of one draw of the diffusion term, its time uniform in 0..1, nats squared.

    $$E_t\left[\tfrac14\,\gamma'(t)^2\,E\lVert\epsilon-\hat\epsilon\rVert^4\right] - L^2, \qquad
    L = E_t\left[\tfrac12\,\gamma'(t)\,e(\gamma(t))\right]$$

    Source: Kingma et al. 2021, appendix I.2 (this is what the path is trained to lower).
    """
    pace, middle, _ = _cells(table, gamma)
    shares, width = table.at(middle), table.levels.diff()
    one, two = 0.5 * width @ shares, (0.25 * pace * width) @ shares
    mean = float(one @ table.squared.mean(1))
    square = float(two @ table.squared.square().mean(1))
    # How far each draw of the table moves the result, to first order.
    moved = two[:, None] * table.squared.square() - 2 * mean * one[:, None] * table.squared
    error = (moved.var(1).sum() / moved.shape[1]).sqrt()
    return Figure(max(0.0, square - mean**2), float(error))


def quietest_path(table: ErrorTable) -> tuple[Tensor, Tensor]:
    r"""The path with the least variance: times [CELLS + 1] and gammas [CELLS + 1].

    $$\frac{dt}{d\gamma} \propto \sqrt{E\lVert\epsilon-\hat\epsilon\rVert^4}$$

    Source: Cauchy-Schwarz: among all clocks, the one that stays at a gamma in proportion to the
    root mean square of the cost there, so that each draw costs the same.
    """
    levels = table.levels
    middle = (levels[1:] + levels[:-1]) / 2
    stay = (table.at(middle) @ table.squared.square().mean(1)).sqrt()
    times = torch.cat([stay.new_zeros(1), stay.cumsum(0)])
    return times / times[-1], levels


def through(times: Tensor, levels: Tensor) -> Gamma:
    """The path through given points: rising times [n] from 0 to 1, and gammas [n]."""

    def gamma(t: Tensor) -> Tensor:
        right = torch.searchsorted(times, t.detach().contiguous()).clamp(1, len(times) - 1)
        share = (t - times[right - 1]) / (times[right] - times[right - 1])
        return torch.lerp(levels[right - 1], levels[right], share)

    return gamma


def _cells(table: ErrorTable, gamma: Gamma) -> tuple[Tensor, Tensor, Tensor]:
    """How fast gamma rises in each cell [CELLS], gamma in its middle, and times of its edges."""
    levels = table.levels
    times = times_of(gamma, levels)
    return levels.diff() / times.diff(), (levels[1:] + levels[:-1]) / 2, times
