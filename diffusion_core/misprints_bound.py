"""Formulas about likelihoods and bounds as some public notes print them, beside the right ones.

Whatever is wrong here is wrong on purpose, and a test holds by how much. The model is the smallest
one with a latent variable, so that every quantity is known exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.chains import LinearChain


class Normal(NamedTuple):
    """A normal distribution of one number."""

    mean: float
    std: float

    def log_density(self, x: Tensor) -> Tensor:
        """Logarithm of the density at x, nats."""
        return -0.5 * (((x - self.mean) / self.std) ** 2 + math.log(2 * math.pi * self.std**2))

    def entropy(self) -> float:
        r"""Differential entropy in nats.

        $$H = \tfrac12\log(2\pi e\,\sigma^2)$$
        """
        return 0.5 * math.log(2 * math.pi * math.e * self.std**2)

    def cross_entropy(self, other: Normal) -> float:
        r"""Nats to code draws of this with a code made for `other`.

        $$CE = -E_q[\log p] = H(q) + D_{KL}(q\Vert p)$$
        """
        spread = self.std**2 + (self.mean - other.mean) ** 2
        return 0.5 * (math.log(2 * math.pi * other.std**2) + spread / other.std**2)


class LatentModel(NamedTuple):
    r"""One hidden number z, one seen number x.

    $$z\sim\mathcal N(0,1), \qquad x|z\sim\mathcal N(w z,\ s^2)$$

    Source: probabilistic PCA in one dimension (Tipping & Bishop 1999).
    """

    w: float
    s: float

    @property
    def marginal(self) -> Normal:
        """p(x)."""
        return Normal(0.0, math.hypot(self.w, self.s))

    def posterior(self, x: float) -> Normal:
        """p(z|x)."""
        var = self.marginal.std**2
        return Normal(self.w * x / var, self.s / math.sqrt(var))

    def given(self, z: float) -> Normal:
        """p(x|z)."""
        return Normal(self.w * z, self.s)


PRIOR = Normal(0.0, 1.0)
GRID = torch.linspace(-12, 12, 24001, dtype=torch.float64)


def log_marginal_by_sum(model: LatentModel, x: float) -> float:
    r"""Log p(x) without its formula: a sum over a fine grid of z.

    $$\log p(x) \approx \log\sum_z p(x|z)\,p(z)\,\Delta z$$

    Source: the law of total probability.
    """
    log_p = PRIOR.log_density(GRID) - 0.5 * (
        ((x - model.w * GRID) / model.s) ** 2 + math.log(2 * math.pi * model.s**2)
    )
    return float(log_p.logsumexp(0)) + math.log(float(GRID[1] - GRID[0]))


# --- the bound -----------------------------------------------------------------------------------


def bound(model: LatentModel, x: float, q: Normal) -> float:
    r"""The evidence lower bound, nats.

    $$E_{q(z)}[\log p(x|z)] - D_{KL}(q(z)\Vert p(z)) \le \log p(x)$$

    Source: Kingma & Welling 2014, eq. 3; with z = x_1 it is Ho et al. 2020, eq. 5, for T = 1.
    """
    error = (x - model.w * q.mean) ** 2 + (model.w * q.std) ** 2
    reconstruction = -0.5 * (error / model.s**2 + math.log(2 * math.pi * model.s**2))
    return reconstruction - (q.cross_entropy(PRIOR) - q.entropy())


def bound_with_swapped_reconstruction(model: LatentModel, x: float, q: Normal) -> float:
    r"""Misprint of the bound: the reconstruction term the wrong way round.

    $$E_{q(x_1|x_0)}[\log p(x_1|x_0)] - D_{KL}(q(x_1|x_0)\Vert p(x_1))$$

    Source: public notes; Ho et al. 2020, eq. 5, has log p(x_0|x_1). It can exceed log p(x_0), so
    it bounds nothing.
    """
    return -q.cross_entropy(model.posterior(x)) - (q.cross_entropy(PRIOR) - q.entropy())


def bound_from_entropies(model: LatentModel, x: float, q: Normal) -> float:
    r"""The bound as the evidence less the distance to the true posterior.

    $$-CE(q, p(z|x)) + H(q) + \log p(x), \quad CE - H = D_{KL}(q\Vert p(z|x))$$

    Source: Bishop 2006, eq. 9.70 to 9.72.
    """
    return -q.cross_entropy(model.posterior(x)) + q.entropy() + _log_p(model, x)


def bound_with_flipped_entropies(model: LatentModel, x: float, q: Normal) -> float:
    r"""Misprint of that: both signs flipped.

    $$CE(q, p(z|x)) - H(q) + \log p(x), \quad CE - H = D_{KL}(q\Vert p(z|x))$$

    Source: public notes; Bishop 2006, eq. 9.70, subtracts. It is off by twice the KL, and an upper
    bound.
    """
    return q.cross_entropy(model.posterior(x)) - q.entropy() + _log_p(model, x)


def _log_p(model: LatentModel, x: float) -> float:
    return float(model.marginal.log_density(torch.tensor(x, dtype=torch.float64)))


# --- probability ---------------------------------------------------------------------------------


def marginal_without_integral(model: LatentModel, x: Tensor, z: float) -> Tensor:
    r"""Misprint of the marginal: the joint density at one z.

    $$p(x) = p(x|z)\,p(z)$$

    Source: public notes; the marginal sums this over all z (Bishop 2006, eq. 1.31). Over all x it
    adds up to p(z) and not to 1.
    """
    log_p = model.given(z).log_density(x) + PRIOR.log_density(torch.tensor(z, dtype=torch.float64))
    return log_p.exp()


def marginal(model: LatentModel, x: Tensor) -> Tensor:
    r"""Density of x, whatever z was.

    $$p(x) = \int p(x|z)\,p(z)\,dz = \mathcal N(x;\ 0,\ w^2+s^2)$$

    Source: Bishop 2006, eq. 1.31 and 2.115.
    """
    return model.marginal.log_density(x).exp()


def likelihood(theta: Tensor, heads: int, n: int) -> Tensor:
    r"""How probable the data are for each parameter: `heads` of `n` throws of a coin.

    $$L(\theta) = p(x|\theta) = \binom{n}{k}\,\theta^k(1-\theta)^{n-k}$$

    Source: Fisher 1922; Bishop 2006, eq. 2.9. As a function of theta it need not add up to 1: here
    its area is 1/(n+1).
    """
    count = math.comb(n, heads)
    return count * theta**heads * (1 - theta) ** (n - heads)


def likelihood_as_posterior(theta: Tensor, heads: int, n: int, prior: float) -> Tensor:
    r"""Misprint of the likelihood: the posterior of the parameter, which needs a prior.

    $$L(\theta) = p(\theta|x) \propto p(x|\theta)\,p(\theta), \qquad
    p(\theta) = \mathrm{Beta}(\theta;\ a, a)$$

    Source: public notes; Bishop 2006, eq. 2.17, is this posterior. Its area is 1, and its peak
    moves with the prior.

    Args:
        theta: parameters in 0..1.
        heads: k.
        n: throws.
        prior: a >= 1; 1 is flat.
    """
    one, two = heads + prior, n - heads + prior
    log_norm = math.lgamma(one + two) - math.lgamma(one) - math.lgamma(two)
    return theta ** (one - 1) * (1 - theta) ** (two - 1) * math.exp(log_norm)


CURVES: dict[str, Callable[[Tensor], Tensor]] = {
    "x²": torch.square,
    "log x": torch.log,
    "√x": torch.sqrt,
    "1/x": torch.reciprocal,
}
"""Functions to try Jensen's inequality on; log and root are concave, the other two convex."""


def jensen_gap(function: str, mean: float, spread: float) -> float:
    r"""Function of the mean minus mean of the function, for mean - spread and mean + spread.

    $$f(E[X]) - E[f(X)] \ge 0 \quad\text{for concave } f$$

    Source: Jensen 1906; Bishop 2006, eq. 1.115, for convex functions. For the square it is minus
    the variance, whatever the mean.

    Args:
        function: key in `CURVES`.
        mean: more than `spread`.
        spread: 0 or more; each of the two values has probability 1/2.
    """
    f = CURVES[function]
    ends = torch.tensor([mean - spread, mean + spread], dtype=torch.float64)
    return float(f(torch.tensor(mean, dtype=torch.float64)) - f(ends).mean())


# --- the product that telescopes -----------------------------------------------------------------


class Telescope(NamedTuple):
    """Both sides of a product of ratios, as logarithms.

    Attributes:
        partial: [T-1], sums of the first 1, 2, ... ratios' logarithms.
        ends: [T-1], last numerator over first denominator.
        walked: [T-1], the same from other densities: each ratio is, by Bayes' rule,
            q(x_t|x_{t-1}) over q(x_{t-1}|x_t,x_0).
    """

    partial: Tensor
    ends: Tensor
    walked: Tensor


def telescope(chain: LinearChain, path: Tensor) -> Telescope:
    r"""Multiply the ratios one after another, and compare with the two ends.

    $$\prod_{t=2}^{T}\frac{q(x_t|x_0)}{q(x_{t-1}|x_0)} = \frac{q(x_T|x_0)}{q(x_1|x_0)}$$

    Source: Luo 2022, eq. 53.

    Args:
        chain: gives q; its reverse model is not asked.
        path: [T+2] one path of `LinearChain.draw`.
    """
    alpha, a = chain.alpha[1:], chain.alpha_bar
    before, now = path[1:-1][1:], path[1:][2:]  # x_{t-1} and x_t for t = 2..T
    log_q = _log_normal(path[2:], a[1:].sqrt() * chain.x0, 1 - a[1:])  # log q(x_t|x_0), t = 1..T
    step = _log_normal(now, alpha.sqrt() * before, 1 - alpha)
    mean = a[1:-1].sqrt() * (1 - alpha) * chain.x0 + alpha.sqrt() * (1 - a[1:-1]) * now
    var = (1 - a[1:-1]) * (1 - alpha) / (1 - a[2:])
    back = _log_normal(before, mean / (1 - a[2:]), var)
    ratios = log_q[1:] - log_q[:-1]
    return Telescope(ratios.cumsum(0), log_q[1:] - log_q[0], (step - back).cumsum(0))


def _log_normal(x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return -0.5 * ((x - mean).square() / var + (2 * math.pi * var).log())
