"""Bayes' rule on the number line: the posterior taken apart, and what is left of it without x0."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.gaussian import GaussianDiffusion

GRID = 2001
"""Points of a quadrature grid; the last one spans 24 standard deviations."""
ZOOMS = 6
"""Times the grid is drawn again, closer around the product: from 1,000 wide to 0.01 wide."""
REACH = 12
"""Standard deviations on either side that the grid keeps: beyond lies a share of 1e-32."""


class Quadrature(NamedTuple):
    """A posterior found by summing, and how far it is from the closed form.

    Attributes:
        mean: [B] of the normalised product.
        var: [B] of the normalised product.
        log_normaliser: [B] logarithm of the area under the product; it should be log q(x_t|x_0).
        residual: [B] largest gap between the normalised product and the density of `q_posterior`,
            as a share of its peak; where both are points, the distance between them.
        normaliser_residual: [B] area under the product over q(x_t|x_0), minus 1, unsigned.
    """

    mean: Tensor
    var: Tensor
    log_normaliser: Tensor
    residual: Tensor
    normaliser_residual: Tensor


class Product(NamedTuple):
    """Two densities multiplied, and divided by the area under their product.

    Attributes:
        mean: [B].
        var: [B].
        log_normaliser: [B] logarithm of that area.
        x: [B, n] the grid that was summed over.
        density: [B, n] the normalised product there.
    """

    mean: Tensor
    var: Tensor
    log_normaliser: Tensor
    x: Tensor
    density: Tensor


class PointPosterior(NamedTuple):
    """q(x_s|x_t) for data that sit on a few points: a mixture, one Gaussian per point.

    Attributes:
        weights: [B, N], how likely each point is to be x_0; rows sum to 1.
        mean: [B, N] of each Gaussian.
        var: [B, 1], which all of them share.
    """

    weights: Tensor
    mean: Tensor
    var: Tensor


def bayes_factors(
    diffusion: GaussianDiffusion, x_s: Tensor, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Logarithms of the two factors of Bayes' rule, as functions of x_s.

    $$q(x_s|x_t,x_0) = \frac{q(x_t|x_s)\,q(x_s|x_0)}{q(x_t|x_0)}$$

    Source: Bayes' rule, with q(x_t|x_s,x_0) = q(x_t|x_s) as the process forgets x_0 once x_s is
    known; the line above eq. 6 in Ho et al. 2020 leaves it to the reader.

    Args:
        diffusion: the process.
        x_s: [B, n] places to evaluate at.
        x_t: [B].
        x0: [B].
        t: [B] int64.
        s: [B] int64, 1 <= s < t: at s = 0 the second factor is a point.

    Returns:
        log q(x_t|x_s) and log q(x_s|x_0), each [B, n].
    """
    arrival = diffusion.q_step(x_s, t, s)
    start = diffusion.q_marginal(x0[:, None], s)
    return (
        _log_normal(x_t[:, None], arrival.mean, arrival.var),
        _log_normal(x_s, start.mean, start.var),
    )


def normalised_product(
    diffusion: GaussianDiffusion, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor
) -> Product:
    r"""The posterior without its formula: multiply the two densities, add up, divide.

    $$Z = \int q(x_t|x_s)\,q(x_s|x_0)\,dx_s, \qquad
    \tilde\mu = \frac1Z\int x_s\,q(x_t|x_s)\,q(x_s|x_0)\,dx_s$$

    Source: Bayes' rule and a sum over a grid, which is drawn closer around the product until the
    product fills it. Only the two factors are evaluated.

    Args:
        diffusion: the process.
        x_t: [B] float64.
        x0: [B] float64.
        t: [B] int64.
        s: [B] int64, 1 <= s < t.
    """
    gain, spread = diffusion.q_step(torch.ones_like(x0), t, s)
    start, width = diffusion.q_marginal(x0, s)
    told = gain > 0  # where no signal is left, x_t says nothing of where x_s was
    middle = torch.where(told, x_t / gain, start)
    blurred = torch.where(told, spread.sqrt() / gain, 0.0)
    reach = REACH * torch.maximum(blurred, width.sqrt())
    low = torch.minimum(middle, start) - reach
    high = torch.maximum(middle, start) + reach
    unit = torch.linspace(0, 1, GRID, dtype=torch.float64, device=x0.device)
    for _ in range(ZOOMS):
        x = low[:, None] + (high - low)[:, None] * unit
        step = (high - low) / (GRID - 1)
        arrival, prior = bayes_factors(diffusion, x, x_t, x0, t, s)
        log_p = arrival + prior
        top = log_p.amax(1)  # the product itself may be too small for a float
        p = (log_p - top[:, None]).exp()
        total = p.sum(1)
        mean = (p * x).sum(1) / total
        var = (p * (x - mean[:, None]).square()).sum(1) / total
        reach = REACH * torch.maximum(var.sqrt(), step)
        low, high = mean - reach, mean + reach
    area = total * step
    return Product(mean, var, top + area.log(), x, p / area[:, None])


def posterior_by_quadrature(
    diffusion: GaussianDiffusion, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor
) -> Quadrature:
    r"""Compare the summed product of the two factors with the closed form.

    $$r = \max_{x_s}\frac{\left|q(x_t|x_s)\,q(x_s|x_0)/Z
    - \mathcal N(x_s;\tilde\mu,\tilde\beta)\right|}{\mathcal N(\tilde\mu;\tilde\mu,\tilde\beta)}$$

    Source: Ho et al. 2020, eq. 6 and 7, against Bayes' rule.

    Args:
        diffusion: the process.
        x_t: [B] numbers.
        x0: [B] numbers.
        t: [B] int64.
        s: [B] int64, s < t. At s = 0 the product is x0 alone, and nothing is summed.

    Returns:
        Everything in float64.
    """
    x_t, x0 = x_t.double(), x0.double()
    closed = diffusion.q_posterior(x_t, x0, t, s)
    end = diffusion.q_marginal(x0, t)
    log_end = _log_normal(x_t, end.mean, end.var)
    mean, var, log_area = x0.clone(), torch.zeros_like(x0), log_end.clone()
    residual = (mean - closed.mean).abs()
    some = s > 0
    if bool(some.any()):
        found = normalised_product(diffusion, x_t[some], x0[some], t[some], s[some])
        mean[some], var[some], log_area[some] = found.mean, found.var, found.log_normaliser
        m, v = closed.mean[some, None], closed.var[some, None]
        gap = (found.density - _log_normal(found.x, m, v).exp()).abs().amax(1)
        residual[some] = gap * (2 * math.pi * v[:, 0]).sqrt()
    return Quadrature(mean, var, log_area, residual, (log_area - log_end).expm1().abs())


def optimal_reverse_variance(
    diffusion: GaussianDiffusion, data_variance: float, t: Tensor, s: Tensor
) -> Tensor:
    r"""How uncertain x_s really is when x_t alone is known, for data N(0, v).

    $$\operatorname{Var}(x_s|x_t) = \tilde\beta + c^2\,\operatorname{Var}(x_0|x_t), \qquad
    \operatorname{Var}(x_0|x_t) = \frac{v\,(1-\bar\alpha_t)}{\bar\alpha_t v + 1-\bar\alpha_t}$$

    Source: Bao et al. 2022, theorem 1, with c the coefficient of x_0 in the posterior mean. Ho et
    al. 2020, section 3.2, name its two ends: v = 0 gives the posterior's variance, v = 1 gives
    beta.

    Args:
        diffusion: the process.
        data_variance: v >= 0.
        t: [B] int64.
        s: [B] int64, s < t.

    Returns:
        [B] float64.

    Raises:
        ValueError: for a negative variance.
    """
    if not data_variance >= 0:
        raise ValueError(f"a variance is not negative; {data_variance} is")
    like = torch.zeros(len(t), dtype=torch.float64)
    c_x0, _, var = diffusion.posterior_coefficients(t, s, like)
    a, sigma = diffusion.rates(t, like)
    unknown = data_variance * sigma**2 / (a**2 * data_variance + sigma**2)
    return var + c_x0**2 * unknown


def point_posterior(
    diffusion: GaussianDiffusion, x_t: Tensor, points: Tensor, t: Tensor, s: Tensor
) -> PointPosterior:
    r"""What is known of x_s when x_0 is forgotten: one Gaussian for each value it may have had.

    $$q(x_s|x_t) = \sum_i w_i\,q(x_s|x_t,x^{(i)}), \qquad
    w_i \propto \mathcal N\left(x_t;\ \sqrt{\bar\alpha_t}\,x^{(i)},\ 1-\bar\alpha_t\right)$$

    Source: the law of total probability, for equally likely data points.

    Args:
        diffusion: the process.
        x_t: [B] numbers.
        points: [N], the values of x_0.
        t: [B] int64.
        s: [B] int64, s < t.
    """
    x_t, points = x_t.double()[:, None], points.double().expand(len(t), -1)
    end = diffusion.q_marginal(points, t)
    weights = _log_normal(x_t, end.mean, end.var).softmax(1)
    each = diffusion.q_posterior(x_t.expand_as(points).contiguous(), points, t, s)
    return PointPosterior(weights, each.mean, each.var)


def hump_distance(diffusion: GaussianDiffusion, gap: float, t: Tensor, s: Tensor) -> Tensor:
    r"""How far apart the Gaussians of two data points are, in their own standard deviations.

    $$d = \frac{c\,\lvert x^{(1)} - x^{(2)}\rvert}{\sqrt{\tilde\beta}}$$

    Source: two equally likely normal densities with one variance have two humps when d > 2 and one
    when d <= 2; c is the coefficient of x_0 in the posterior mean (Ho et al. 2020, eq. 7).

    Args:
        diffusion: the process.
        gap: distance of the two data points.
        t: [B] int64.
        s: [B] int64, s < t; at s = 0 the distance is infinite, for a gap above 0.

    Returns:
        [B] float64.
    """
    like = torch.zeros(len(t), dtype=torch.float64)
    c_x0, _, var = diffusion.posterior_coefficients(t, s, like)
    return c_x0 * abs(gap) / var.sqrt()


def weight_sum(diffusion: GaussianDiffusion, t: Tensor, s: Tensor) -> Tensor:
    r"""What the two weights of the posterior mean add up to: less than 1 strictly between 0 and t.

    $$c_{x_0} + c_{x_t} = \frac{\bar\alpha_s + \sqrt{\bar\alpha_t}}
    {\sqrt{\bar\alpha_s}\,(1+\sqrt{\bar\alpha_t})} \le 1, \qquad
    c_{x_0} + \sqrt{\bar\alpha_t}\,c_{x_t} = \sqrt{\bar\alpha_s}$$

    Source: Ho et al. 2020, eq. 7, with 1 - alpha_bar factored. The second line is what the weights
    do have to satisfy: on average x_s must come out as sqrt(alpha_bar_s) x_0.

    Args:
        diffusion: the process.
        t: [B] int64.
        s: [B] int64, s < t.

    Returns:
        [B] float64.
    """
    like = torch.zeros(len(t), dtype=torch.float64)
    c_x0, c_xt, _ = diffusion.posterior_coefficients(t, s, like)
    return c_x0 + c_xt


def _log_normal(x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return -0.5 * ((x - mean).square() / var + (2 * math.pi * var).log())
