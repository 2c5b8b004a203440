"""Data with a formula: mixtures of round Gaussians, whose noisy densities and scores are exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser, require_noise
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.guidance import Gradient
from diffusion_core.parameterization import Prediction
from diffusion_core.schedules import SCHEDULES


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

    @property
    def mean_square(self) -> float:
        """The mean of the squared length of a point."""
        D = self.means.shape[1]
        return float(self.weights @ self.means.square().sum(1)) + D * self.std**2

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


def mixture_score(mixture: GaussianMixture, x: Tensor) -> Tensor:
    r"""Which way the data themselves get denser, no noise added.

    $$\nabla_x \log q(x) = \frac{\sum_i p(i|x)\,\mu_i - x}{s^2}$$

    Source: Bishop 2006, eq. 9.13 and 9.16: the gradient of the logarithm of eq. 9.7.

    Args:
        mixture: the data; its groups have a width.
        x: [B, D].

    Returns:
        [B, D] float64.
    """
    gap = (x[:, None] - mixture.means).square().sum(-1)
    probs = (mixture.weights.log() - 0.5 * gap / mixture.std**2).softmax(1)
    return (probs @ mixture.means - x) / mixture.std**2


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
    told = group_log_densities(diffusion, mixture, x_t, t)
    return (told - told.logsumexp(1, keepdim=True)).exp()  # softmax is slow where M is small


def mixture_denoiser(
    diffusion: GaussianDiffusion, mixture: GaussianMixture, labels: Tensor | None = None
) -> Denoiser:
    r"""The best denoiser there is for data that are a mixture: the exact posterior mean.

    $$E[x_0|x_t] = \sum_i p(i|x_t)\;E[x_0|x_t, i], \qquad
    E[x_0|x_t, i] = \mu_i + \frac{a s^2}{v}\,(x_t - a\mu_i), \qquad v = a^2 s^2 + \sigma^2$$

    Source: Bishop 2006, eq. 2.116 for one group, averaged over the groups. With s = 0 it is
    `ideal_denoiser` of the means.

    Args:
        diffusion: the process.
        mixture: the data, [M, D]; x_t is [B, D] then.
        labels: [M] int64, the class of each group, needed only when it is asked for a class.

    Raises:
        ValueError: (when called) for a label without `labels`, a class with no group, or t = 0.
    """

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        x = x_t.double()
        a, sigma = diffusion.rates(t, x)
        require_noise(sigma)
        told = group_log_densities(diffusion, mixture, x_t, t)
        middle = _of_class(told, labels, label).softmax(1) @ mixture.means
        x0 = middle + _share(mixture, a, sigma) * (x - a * middle)  # one line for all groups
        return Prediction(x0.to(x_t), ((x - a * x0) / sigma).to(x_t))

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
    x, means, _ = _noised(diffusion, mixture, x_t, t)
    share = _share(mixture, *diffusion.rates(t, x))
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


def class_log_probs(
    diffusion: GaussianDiffusion, mixture: GaussianMixture, labels: Tensor, x_t: Tensor, t: Tensor
) -> Tensor:
    r"""The best classifier of noisy points that there is.

    $$\log p(y|x_t) = \log\sum_{i \in y} p(i|x_t)$$

    Source: Bishop 2006, eq. 9.13, summed over the groups of a class.

    Args:
        diffusion: the process.
        mixture: the data.
        labels: [M] int64, the class of each group: 0, 1, ..., each at least once.
        x_t: [B, D].
        t: [B] int64; at 0 it is the best classifier of clean points.

    Returns:
        [B, classes] float64.
    """
    log_probs = group_log_densities(diffusion, mixture, x_t, t).log_softmax(1)
    return torch.stack(
        [log_probs[:, labels == y].logsumexp(1) for y in range(int(labels.max()) + 1)], dim=1
    )


def class_gradient(
    diffusion: GaussianDiffusion,
    mixture: GaussianMixture,
    labels: Tensor,
    *,
    noise_aware: bool = True,
) -> Gradient:
    r"""Which way a point becomes more like its class: what `classifier_guided` asks for.

    $$\nabla_{x_t}\log p(y|x_t)$$

    Source: Dhariwal & Nichol 2021, section 4.1, with the exact classifier.

    Args:
        diffusion: the process.
        mixture: the data.
        labels: [M] int64, the class of each group.
        noise_aware: whether the classifier knows how noisy the point is; if not, it takes every
            point for a clean one, as a classifier does that was trained without noise.

    Returns:
        (x_t [B, D], t [B], label [B]) -> [B, D].
    """

    def gradient(x_t: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        if label is None:
            raise ValueError("a gradient towards a class needs a class")
        at = t if noise_aware else torch.zeros_like(t)
        with torch.enable_grad():
            x = x_t.detach().double().requires_grad_()
            told = class_log_probs(diffusion, mixture, labels, x, at)
            chosen = told.gather(1, label[:, None]).sum()
            (found,) = torch.autograd.grad(chosen, x)
        return found.to(x_t)

    return gradient


def tilted(mixture: GaussianMixture, labels: Tensor, label: int, scale: float) -> GaussianMixture:
    r"""The density that guidance is said to sample, as small bells on a lattice.

    $$p_s(x_0|y) \propto p(x_0)\,p(y|x_0)^s$$

    Source: Ho & Salimans 2022, section 3.1, where noisy points have such a density at each level
    by itself. This is the one of clean points.

    Args:
        mixture: the data, in a plane.
        labels: [M] int64, the class of each group.
        label: y.
        scale: s, at least 0.

    Returns:
        A mixture of some thousand bells, half a lattice's step wide.
    """
    reach = float(mixture.means.abs().max()) + 4 * mixture.std
    step = mixture.std / 5
    along = torch.arange(-reach, reach + step, step, dtype=torch.float64)
    places = torch.cartesian_prod(along, along)
    zero = torch.zeros(len(places), dtype=torch.int64)
    clean = GaussianDiffusion(SCHEDULES["linear"](2))  # only t = 0 is asked for
    log = mixture_log_density(clean, mixture, places, zero)
    log = log + scale * class_log_probs(clean, mixture, labels, places, zero)[:, label]
    keep = log > log.max() - 14
    return GaussianMixture(places[keep], log[keep].softmax(0), step / 2)


def _of_class(told: Tensor, labels: Tensor | None, label: Tensor | None) -> Tensor:
    """Log densities [B, M] with -inf for groups of other classes than asked for."""
    if label is None:
        return told
    if labels is None:
        raise ValueError("these data have no labels to select a class by")
    chosen = labels[None] == label[:, None]
    if not bool(chosen.any(1).all()):
        raise ValueError("the mixture has no group of the asked class")
    return told.masked_fill(~chosen, -math.inf)


def _share(mixture: GaussianMixture, a: Tensor, sigma: Tensor) -> Tensor:
    """How far x_t pulls the mean of x_0 away from its group's own: a s^2 / v."""
    return a * mixture.std**2 / (a.square() * mixture.std**2 + sigma.square())


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


def two_classes() -> tuple[GaussianMixture, Tensor]:
    """Two classes of three groups each; one group of each lies where the classes meet.

    Returns:
        The data, and the class of each group: [6] int64.
    """
    means = [[-1.5, 1.0], [-1.2, -1.2], [-0.3, 0.1], [1.5, -1.0], [1.2, 1.2], [0.3, -0.1]]
    sixth = torch.full((6,), 1 / 6, dtype=torch.float64)
    mixture = GaussianMixture(torch.tensor(means, dtype=torch.float64), sixth, 0.25)
    return mixture, torch.tensor([0, 0, 0, 1, 1, 1])


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
