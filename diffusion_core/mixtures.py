"""Data with a formula: mixtures of round Gaussians, whose noisy densities and scores are exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import Prediction


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    r"""Groups of points, each as round as a Gaussian is, and each with its share of the data.

    $$q(x_0) = \sum_i w_i\,\mathcal N\left(x_0;\ \mu_i,\ s^2 I\right)$$

    Source: Bishop 2006, eq. 9.7, with one variance for all.

    Args:
        means: mu, [M, D] float64.
        weights: w, [M] float64, positive, sum 1.
        std: s, of every group in every direction; 0 for a data set of M points.

    Raises:
        ValueError: where the shapes do not fit, the weights are no shares, or s is negative.
    """

    means: Tensor
    weights: Tensor
    std: float = 0.0

    def __post_init__(self) -> None:
        if self.means.dim() != 2 or self.weights.shape != self.means.shape[:1]:
            shapes = f"{list(self.means.shape)} and {list(self.weights.shape)}"
            raise ValueError(f"means [M, D] and weights [M] are needed, not {shapes}")
        total = float(self.weights.sum())
        if not bool((self.weights > 0).all()) or not math.isclose(total, 1, abs_tol=1e-9):
            raise ValueError(f"weights must be above 0 and sum to 1, not to {total:g}")
        if not 0 <= self.std < math.inf:
            raise ValueError(f"the width of a group must be 0 or more, not {self.std}")

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n points, [n, D] float64."""
        chosen = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], generator=generator, dtype=torch.float64)
        return self.means[chosen] + self.std * noise


def group_log_densities(
    diffusion: GaussianDiffusion, mixture: GaussianMixture, x_t: Tensor, t: Tensor
) -> Tensor:
    r"""How densely each group's own noisy points lie at x_t, weighted by the group's share.

    $$\log w_i\,\mathcal N\left(x_t;\ a\mu_i,\ (a^2 s^2 + \sigma^2)\,I\right)$$

    Source: Ho et al. 2020, eq. 4, put into Bishop 2006, eq. 9.7: noise makes a round group wider
    and moves it towards 0, and leaves it a round group.

    Args:
        diffusion: the process.
        mixture: the data.
        x_t: [B, D].
        t: [B] int64, 0 <= t; at 0 only where the groups have a width.

    Returns:
        [B, M] float64.
    """
    x, means, var = _noised(diffusion, mixture, x_t, t)
    gap = (x[:, None] - means).square().sum(-1)
    D = x.shape[1]
    return mixture.weights.log() - 0.5 * (gap / var + D * (2 * math.pi * var).log())


def mixture_log_density(
    diffusion: GaussianDiffusion, mixture: GaussianMixture, x_t: Tensor, t: Tensor
) -> Tensor:
    r"""How densely the noisy data lie at x_t, exactly.

    $$\log q(x_t) = \log\sum_i w_i\,\mathcal N(x_t;\ a\mu_i,\ v I), \qquad
    v = a^2 s^2 + \sigma^2$$

    Source: Ho et al. 2020, eq. 4, put into Bishop 2006, eq. 9.7.

    Args:
        diffusion: the process.
        mixture: the data.
        x_t: [B, D].
        t: [B] int64.

    Returns:
        [B] float64, nats.
    """
    total: Tensor = group_log_densities(diffusion, mixture, x_t, t).logsumexp(1)
    return total


def group_probs(
    diffusion: GaussianDiffusion, mixture: GaussianMixture, x_t: Tensor, t: Tensor
) -> Tensor:
    r"""Which group a noisy point came from, by Bayes' rule.

    $$p(i|x_t) = \frac{w_i\,\mathcal N(x_t;\ a\mu_i,\ v)}{\sum_j w_j\,\mathcal N(x_t;\ a\mu_j,\ v)},
    \qquad v = a^2 s^2 + \sigma^2$$

    Source: Bishop 2006, eq. 9.13.

    Args:
        diffusion: the process.
        mixture: the data.
        x_t: [B, D].
        t: [B] int64.

    Returns:
        [B, M] float64, each row sums to 1.
    """
    return group_log_densities(diffusion, mixture, x_t, t).softmax(1)


def mixture_denoiser(diffusion: GaussianDiffusion, mixture: GaussianMixture) -> Denoiser:
    r"""The best denoiser there is for data that are a mixture: the exact posterior mean.

    $$E[x_0|x_t] = \sum_i p(i|x_t)\;E[x_0|x_t, i], \qquad
    E[x_0|x_t, i] = \mu_i + \frac{a s^2}{v}\,(x_t - a\mu_i), \qquad v = a^2 s^2 + \sigma^2$$

    Source: Bishop 2006, eq. 2.116 for one group, averaged over the groups. With s = 0 it is
    `ideal_denoiser` of the means.

    Args:
        diffusion: the process.
        mixture: the data, [M, D]; x_t is [B, D] then. Labels are not looked at.
    """

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        probs = group_probs(diffusion, mixture, x_t, t)
        x0 = (probs[..., None] * group_means(diffusion, mixture, x_t, t)).sum(1)
        a, sigma = diffusion.rates(t, x_t)
        return Prediction(x0.to(x_t), ((x_t - a * x0) / sigma).to(x_t))

    return predict


def group_means(
    diffusion: GaussianDiffusion, mixture: GaussianMixture, x_t: Tensor, t: Tensor
) -> Tensor:
    r"""What x_0 was on average, for each group that x_t may have come from.

    $$E[x_0|x_t, i] = \mu_i + \frac{a s^2}{a^2 s^2 + \sigma^2}\,(x_t - a\mu_i)$$

    Source: Bishop 2006, eq. 2.116.

    Args:
        diffusion: the process.
        mixture: the data.
        x_t: [B, D].
        t: [B] int64.

    Returns:
        [B, M, D] float64.
    """
    x, means, var = _noised(diffusion, mixture, x_t, t)
    a, _ = diffusion.rates(t, x)
    share = a * mixture.std**2 / var
    return mixture.means + share[..., None] * (x[:, None] - means)


def draw_x0(
    diffusion: GaussianDiffusion,
    mixture: GaussianMixture,
    x_t: Tensor,
    t: Tensor,
    *,
    generator: torch.Generator,
) -> Tensor:
    r"""Draw clean points that may have become x_t, as often as each may have.

    $$q(x_0|x_t) = \sum_i p(i|x_t)\,\mathcal N(x_0;\ m_i,\ u I), \qquad
    m_i = E[x_0|x_t, i], \qquad
    u = \frac{s^2\sigma^2}{a^2 s^2+\sigma^2}$$

    Source: Bishop 2006, eq. 2.116 and 9.13.

    Args:
        diffusion: the process.
        mixture: the data.
        x_t: [B, D].
        t: [B] int64.
        generator: source of randomness.

    Returns:
        [B, D] float64.
    """
    probs = group_probs(diffusion, mixture, x_t, t)
    # One number decides the group, so that equal seeds draw alike at neighbouring t.
    u = torch.rand(len(probs), 1, generator=generator, dtype=torch.float64)
    chosen = (probs.cumsum(1) < u).sum(1).clamp(max=probs.shape[1] - 1)
    noise = torch.randn(x_t.shape, generator=generator, dtype=torch.float64)
    a, sigma = diffusion.rates(t, x_t.double())
    std = mixture.std * sigma / (a.square() * mixture.std**2 + sigma.square()).sqrt()
    means = group_means(diffusion, mixture, x_t, t)
    return means[torch.arange(len(means)), chosen] + std * noise


def _noised(
    diffusion: GaussianDiffusion, mixture: GaussianMixture, x_t: Tensor, t: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """x_t in float64 [B, D], the groups' noisy means [B, M, D] and their common variance [B, 1]."""
    if x_t.dim() != 2 or x_t.shape[1] != mixture.means.shape[1]:
        D = mixture.means.shape[1]
        raise ValueError(f"x_t must be [B, {D}] for data of {D} numbers, not {list(x_t.shape)}")
    x = x_t.double()
    a, sigma = diffusion.rates(t, x)
    return x, a[..., None] * mixture.means, a.square() * mixture.std**2 + sigma.square()


# --- three sets of points in the plane ------------------------------------------------------------


def two_groups(share: float = 0.2) -> GaussianMixture:
    """Two groups far apart, one of them smaller.

    Source: Song & Ermon 2019, section 3.2.2: one part in five and four in five, each group's
    distance from the middle five widths along each axis. Here it is smaller as a whole.

    Args:
        share: of the group at the lower left.
    """
    means = torch.tensor([[-1.2, -1.2], [1.2, 1.2]], dtype=torch.float64)
    return GaussianMixture(means, torch.tensor([share, 1 - share], dtype=torch.float64), 0.24)


def ring(groups: int = 8) -> GaussianMixture:
    """Equal groups on a circle."""
    angles = torch.arange(groups, dtype=torch.float64) * (2 * math.pi / groups)
    means = 1.6 * torch.stack([angles.cos(), angles.sin()], dim=1)
    return GaussianMixture(means, torch.full_like(angles, 1 / groups), 0.15)


def spiral(groups: int = 40) -> GaussianMixture:
    """Small groups that touch, along a spiral of a turn and a half."""
    along = torch.linspace(0.15, 1, groups, dtype=torch.float64)
    angles = 3.2 * math.pi * along
    means = 1.9 * along[:, None] * torch.stack([angles.cos(), angles.sin()], dim=1)
    return GaussianMixture(means, torch.full_like(along, 1 / groups), 0.08)


PLANE_DATA: dict[str, Callable[[], GaussianMixture]] = {
    "two": two_groups,
    "ring": ring,
    "spiral": spiral,
}
"""Name -> data in the plane."""
