"""A diffusion model small enough to be solved: one number, linear steps, everything Gaussian.

Every term of every decomposition of the bound is a quadratic function of the path (x_1, ..., x_T),
and the path is Gaussian. So means and variances of all estimators are known without a single draw.

Vectors and matrices here have T + 2 entries: 1, x_0, x_1, ..., x_T. A quadratic function f is a
symmetric matrix M with f(path) = path^T M path; the leading 1 holds constants and linear parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class LinearChain:
    r"""A forward chain from one x_0, and a reverse chain that tries to undo it.

    $$q(x_t|x_{t-1}) = \mathcal N(\sqrt{\alpha_t}\,x_{t-1},\ 1-\alpha_t), \qquad
    p(x_{t-1}|x_t) = \mathcal N(g_t x_t + h_t,\ s_t^2), \qquad p(x_T) = \mathcal N(m, v)$$

    Source: Ho et al. 2020, eq. 1 and 2, in one dimension with a linear model.

    Args:
        x0: the data point.
        alpha: [T] float64, each in 0..1 (excluded); entry t - 1 belongs to step t, as in the next
            three.
        gain: [T] float64, g_t.
        shift: [T] float64, h_t.
        std: [T] float64, s_t > 0.
        prior_mean: m.
        prior_var: v > 0.

    Raises:
        ValueError: when shapes differ, or a variance would not be positive.
    """

    x0: float
    alpha: Tensor
    gain: Tensor
    shift: Tensor
    std: Tensor
    prior_mean: float = 0.0
    prior_var: float = 1.0

    def __post_init__(self) -> None:
        tables = (self.alpha, self.gain, self.shift, self.std)
        if self.alpha.ndim != 1 or not len(self.alpha):
            raise ValueError("alpha must be a vector with one entry per step")
        if any(table.shape != self.alpha.shape or table.dtype != torch.float64 for table in tables):
            raise ValueError("alpha, gain, shift and std must be float64 vectors of one length")
        numbers = [self.x0, self.prior_mean, self.prior_var, *torch.cat(tables).tolist()]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("the chain holds a value that is not a finite number")
        if not bool(((self.alpha > 0) & (self.alpha < 1)).all()):
            raise ValueError("each alpha must lie between 0 and 1: every step adds some noise")
        if not bool((self.std > 0).all()) or self.prior_var <= 0:
            raise ValueError("standard deviations and the prior's variance must be positive")

    @property
    def T(self) -> int:
        """Number of steps."""
        return len(self.alpha)

    @property
    def alpha_bar(self) -> Tensor:
        """Products of alpha, [T+1] float64, with the clean x_0's 1 in front."""
        return torch.cat([self.alpha.new_ones(1), self.alpha.cumprod(0)])

    def moments(self) -> tuple[Tensor, Tensor]:
        r"""Mean [T+2] and covariance [T+2, T+2] of the path under q, given x_0.

        $$E[x_t] = \sqrt{\bar\alpha_t}\,x_0, \qquad
        \operatorname{Cov}(x_s, x_t) = \sqrt{\bar\alpha_t/\bar\alpha_s}\,(1-\bar\alpha_s)
        \quad (s \le t)$$
        """
        a = self.alpha_bar
        mean = torch.cat([a.new_ones(1), a.sqrt() * self.x0])
        low, high = torch.maximum(a[:, None], a), torch.minimum(a[:, None], a)  # s <= t
        covariance = a.new_zeros(self.T + 2, self.T + 2)
        covariance[1:, 1:] = (high / low).sqrt() * (1 - low)
        return mean, covariance

    def log_likelihood(self) -> Tensor:
        r"""The model's exact log p(x_0), nats: its chain run down from the prior.

        $$m \leftarrow g_t m + h_t, \qquad v \leftarrow g_t^2 v + s_t^2$$
        """
        mean, var = self.alpha.new_tensor([self.prior_mean, self.prior_var]).unbind()
        for t in reversed(range(self.T)):
            mean = self.gain[t] * mean + self.shift[t]
            var = self.gain[t] ** 2 * var + self.std[t] ** 2
        gap = self.x0 - mean
        return -0.5 * (gap.square() / var + (2 * math.pi * var).log())

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Paths from q, [n, T+2] float64."""
        noise = torch.randn(n, self.T, generator=generator, dtype=torch.float64)
        columns = [torch.ones(n, dtype=torch.float64), torch.full_like(noise[:, 0], self.x0)]
        for t in range(self.T):
            kept = self.alpha[t].sqrt() * columns[-1]
            columns.append(kept + (1 - self.alpha[t]).sqrt() * noise[:, t])
        return torch.stack(columns, dim=1)


def optimal_chain(x0: float, alpha: Tensor, data_mean: float, data_var: float) -> LinearChain:
    r"""The chain whose model is exact for data N(m, v): the bound is then tight.

    $$q(x_{t-1}|x_t) = \int q(x_{t-1}|x_t,x_0)\,q(x_0|x_t)\,dx_0$$

    Source: Bayes' rule for jointly Gaussian x_{t-1} and x_t.

    Args:
        x0: the data point.
        alpha: [T] float64.
        data_mean: m.
        data_var: v > 0.

    Raises:
        ValueError: when v is not positive: the last reverse step would have no density.
    """
    a = torch.cat([alpha.new_ones(1), alpha.cumprod(0)])
    mean, var = a.sqrt() * data_mean, a * data_var + 1 - a
    gain = alpha.sqrt() * var[:-1] / var[1:]
    std = (var[:-1] * (1 - alpha) / var[1:]).sqrt()
    shift = mean[:-1] - gain * mean[1:]
    return LinearChain(x0, alpha, gain, shift, std, float(mean[-1]), float(var[-1]))


# --- the factors of q and p as quadratic functions of the path -----------------------------------


class Factor(NamedTuple):
    """A conditional normal: x_place has mean weights @ path and variance var.

    Attributes:
        place: which x it is about.
        weights: [T+2], with 0 at x_place itself.
        var: scalar tensor.
    """

    place: int
    weights: Tensor
    var: Tensor


def _at(chain: LinearChain, place: int) -> Tensor:
    """The linear function that reads x_place off the path, [T+2]."""
    unit = chain.alpha.new_zeros(chain.T + 2)
    unit[1 + place] = 1
    return unit


def _constant(chain: LinearChain, value: Tensor | float) -> Tensor:
    """A constant as a quadratic function, [T+2, T+2]."""
    matrix = chain.alpha.new_zeros(chain.T + 2, chain.T + 2)
    matrix[0, 0] = value
    return matrix


def _p(chain: LinearChain, t: int) -> Factor:
    """p(x_t | x_{t+1}), or the prior p(x_T)."""
    weights = torch.zeros_like(_at(chain, 0))
    if t == chain.T:
        weights[0] = chain.prior_mean
        return Factor(t, weights, chain.alpha.new_tensor(chain.prior_var))
    weights[0] = chain.shift[t]
    return Factor(t, weights + chain.gain[t] * _at(chain, t + 1), chain.std[t] ** 2)


def _q_step(chain: LinearChain, t: int) -> Factor:
    """q(x_t | x_{t-1})."""
    alpha = chain.alpha[t - 1]
    return Factor(t, alpha.sqrt() * _at(chain, t - 1), 1 - alpha)


def _q_between(chain: LinearChain, r: int, s: int, t: int) -> Factor:
    """q(x_s | x_r, x_t) for r < s < t; q(x_s | x_r) where t is beyond the end."""
    a = chain.alpha_bar
    to_s = a[s] / a[r]
    if t > chain.T:
        return Factor(s, to_s.sqrt() * _at(chain, r), 1 - to_s)
    on, whole = a[t] / a[s], a[t] / a[r]
    weights = to_s.sqrt() * (1 - on) * _at(chain, r) + on.sqrt() * (1 - to_s) * _at(chain, t)
    return Factor(s, weights / (1 - whole), (1 - to_s) * (1 - on) / (1 - whole))


def _log(chain: LinearChain, f: Factor) -> Tensor:
    """Log-density of a factor at the path, as a quadratic function."""
    gap = _at(chain, f.place) - f.weights
    return -torch.outer(gap, gap) / (2 * f.var) - _constant(chain, (2 * math.pi * f.var).log() / 2)


def _kl(chain: LinearChain, q: Factor, p: Factor) -> Tensor:
    """KL(q || p) of two factors about the same x, as a quadratic function of what they hang on."""
    ratio = q.var / p.var
    gap = q.weights - p.weights
    constant = _constant(chain, (ratio - 1 - ratio.log()) / 2)
    return torch.outer(gap, gap) / (2 * p.var) + constant


def _integrated(chain: LinearChain, f: Tensor, over: Factor) -> Tensor:
    """A quadratic function averaged over one x, whose distribution is the factor."""
    replace = torch.eye(chain.T + 2, dtype=f.dtype)
    replace[1 + over.place] = over.weights
    place = 1 + over.place
    return replace.T @ f @ replace + _constant(chain, f[place, place] * over.var)


# --- estimators of the bound ---------------------------------------------------------------------


def denoising_log_ratios(chain: LinearChain) -> Tensor:
    r"""Both distributions look from x_t back to x_{t-1}; all x are drawn.

    $$-\log p(x_0|x_1) + \sum_{t=2}^{T}\log\frac{q(x_{t-1}|x_t,x_0)}{p(x_{t-1}|x_t)}
    + \log\frac{q(x_T|x_0)}{p(x_T)}$$

    Source: Sohl-Dickstein et al. 2015, appendix B; Ho et al. 2020, appendix A.
    """
    later = [_log(chain, _q_between(chain, 0, t, t + 1)) for t in range(1, chain.T + 1)]
    return _costs(chain, [q - _log(chain, _p(chain, t)) for t, q in enumerate(later, 1)])


def denoising_analytic_kl(chain: LinearChain) -> Tensor:
    r"""The same, with x_{t-1} integrated out: what diffusion models are trained and measured with.

    $$-\log p(x_0|x_1) + \sum_{t=2}^{T} D_{KL}\left(q(x_{t-1}|x_t,x_0)\Vert p(x_{t-1}|x_t)\right)
    + D_{KL}(q(x_T|x_0)\Vert p(x_T))$$

    Source: Ho et al. 2020, eq. 5.
    """
    return _costs(
        chain,
        [_kl(chain, _q_between(chain, 0, t, t + 1), _p(chain, t)) for t in range(1, chain.T + 1)],
    )


def consistency_log_ratios(chain: LinearChain) -> Tensor:
    r"""Each x_t is what q steps forwards to and p steps back to; all x are drawn.

    $$-\log p(x_0|x_1) + \sum_{t=1}^{T-1}\log\frac{q(x_t|x_{t-1})}{p(x_t|x_{t+1})}
    + \log\frac{q(x_T|x_{T-1})}{p(x_T)}$$

    Source: Sohl-Dickstein et al. 2015, eq. 9; Luo 2022, eq. 43.
    """
    return _costs(
        chain,
        [_log(chain, _q_step(chain, t)) - _log(chain, _p(chain, t)) for t in range(1, chain.T + 1)],
    )


def consistency_bridge(chain: LinearChain) -> Tensor:
    r"""That, with x_t integrated out between its two neighbours, which is right.

    $$E_{q(x_t|x_{t-1},x_{t+1})}\left[\log\frac{q(x_t|x_{t-1})}{p(x_t|x_{t+1})}\right]$$

    Source: the terms of `consistency_log_ratios` averaged over x_t given both neighbours.
    """
    terms = [
        _integrated(
            chain,
            _log(chain, _q_step(chain, t)) - _log(chain, _p(chain, t)),
            _q_between(chain, t - 1, t, t + 1),
        )
        for t in range(1, chain.T + 1)
    ]
    return _costs(chain, terms)


def consistency_as_written(chain: LinearChain) -> Tensor:
    r"""That, written as a KL, which is another number: not this bound's term.

    $$E_{q(x_{t-1},x_{t+1}|x_0)}\,D_{KL}\left(q(x_t|x_{t-1})\Vert p(x_t|x_{t+1})\right)$$

    Source: Luo 2022, eq. 45. The KL draws x_t from q(x_t|x_{t-1}) as if x_{t+1} did not exist,
    but x_{t+1} came out of x_t. The sum is a bound, too, a looser one.
    """
    return _costs(
        chain,
        [_kl(chain, _q_step(chain, t), _p(chain, t)) for t in range(1, chain.T + 1)],
    )


def _costs(chain: LinearChain, later: list[Tensor]) -> Tensor:
    """All terms, [T+1, T+2, T+2]: the reconstruction, then those that belong to x_1, ..., x_T."""
    return torch.stack([-_log(chain, _p(chain, 0)), *later])


ESTIMATORS: dict[str, Callable[[LinearChain], Tensor]] = {
    "denoising_log_ratios": denoising_log_ratios,
    "denoising_analytic_kl": denoising_analytic_kl,
    "consistency_log_ratios": consistency_log_ratios,
    "consistency_bridge": consistency_bridge,
    "consistency_as_written": consistency_as_written,
}
"""chain -> the terms as quadratic functions of the path, [T+1, T+2, T+2]: the reconstruction first,
then the terms about x_1, ..., x_T, of which the last is the prior's. For all but the last of the
dictionary the means add up to one number, minus the bound."""


class ChainElbo(NamedTuple):
    """What an estimator gives on average, and how much one draw of it scatters.

    Attributes:
        terms: [T+1] nats, costs: the reconstruction, the terms about x_1..x_{T-1}, the prior's.
        shared_variance: variance (nats²) of the sum when one path serves all terms.
        independent_variance: variance (nats²) when every term gets a path of its own.
    """

    terms: Tensor
    shared_variance: Tensor
    independent_variance: Tensor

    @property
    def total(self) -> Tensor:
        """Nats: minus the bound."""
        return self.terms.sum()


def chain_elbo(chain: LinearChain, estimator: str = "denoising_analytic_kl") -> ChainElbo:
    r"""Exact mean and variance of an estimator of the bound.

    $$E[x^T M x] = \mu^T M\mu + \operatorname{tr}(M\Sigma), \qquad
    \operatorname{Var}(x^T M x) = 2\operatorname{tr}(M\Sigma M\Sigma) + 4\mu^T M\Sigma M\mu$$

    Source: moments of a quadratic form in Gaussian variables (Searle 1971, section 2.5).

    Args:
        chain: the chain.
        estimator: key in `ESTIMATORS`.

    Raises:
        ValueError: for an unknown name.
    """
    matrices = _matrices(chain, estimator)
    mean, covariance = chain.moments()

    def variance(M: Tensor) -> Tensor:
        MS = M @ covariance
        trace = (MS * MS.mT).sum((-2, -1))
        return 2 * trace + 4 * (MS @ (M @ mean)[..., None]).squeeze(-1) @ mean

    terms = (matrices @ mean) @ mean + (matrices * covariance).sum((-2, -1))
    return ChainElbo(terms, variance(matrices.sum(0)), variance(matrices).sum())


def chain_draws(chain: LinearChain, estimator: str, paths: Tensor) -> Tensor:
    """The terms on given paths [n, T+2] of `LinearChain.draw`: [n, T+1] nats.

    Raises:
        ValueError: for an unknown name.
    """
    return torch.einsum("ni,kij,nj->nk", paths, _matrices(chain, estimator), paths)


def _matrices(chain: LinearChain, estimator: str) -> Tensor:
    if estimator not in ESTIMATORS:
        raise ValueError(f"unknown estimator {estimator!r}; known are {', '.join(ESTIMATORS)}")
    return ESTIMATORS[estimator](chain)
