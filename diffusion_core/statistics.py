"""Numbers that pages show beside the pictures: how normal, how spread out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import Prediction
from diffusion_core.samplers import SAMPLERS, Options


class Normality(NamedTuple):
    """How far a set of numbers is from N(0, 1).

    Attributes:
        distance: [...] largest gap between the two distribution functions, 0..1.
        critical: the distance that n draws from N(0, 1) exceed once in twenty times.
    """

    distance: Tensor
    critical: float


def normality(x: Tensor) -> Normality:
    r"""Compare numbers with the standard normal distribution (one-sample Kolmogorov-Smirnov).

    $$D_n = \sup_x \lvert F_n(x) - \Phi(x)\rvert, \qquad D_{n,\,5\%} \approx 1.358/\sqrt n$$

    Source: Kolmogorov 1933; the 5 % point is the asymptotic one, good from n = 35 on.

    Args:
        x: [..., n] float, n numbers per row.
    """
    ordered = x.double().sort(dim=-1).values
    n = ordered.shape[-1]
    phi = torch.special.ndtr(ordered)
    rank = torch.arange(n, dtype=torch.float64, device=x.device)
    gap = torch.maximum(phi - rank / n, (rank + 1) / n - phi)
    return Normality(gap.amax(dim=-1), 1.358 / n**0.5)


def chain_variance(
    diffusion: GaussianDiffusion,
    data_variance: float,
    timesteps: Sequence[int],
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
) -> Tensor:
    r"""Variance of what a sampler makes of data N(0, v), with the best denoiser there is.

    $$\hat x_0 = \frac{a\,v}{a^2 v + \sigma^2}\,x_t \quad\Rightarrow\quad
    \operatorname{Var}(x_s) = m^2\operatorname{Var}(x_t) + \text{noise}^2$$

    Source: the posterior mean of a Gaussian prior; every step is then linear, so no draw is
    needed: m and the noise are read off one call of the sampler's own rule.

    Args:
        diffusion: the process.
        data_variance: v, the variance that a right sampler ends with.
        timesteps: decreasing, as for `sample`.
        eta: as for `sample`.
        noise_scale: as for `sample`.

    Returns:
        [len(timesteps) + 1] float64: the variance at each timestep and at 0; it starts at 1.
    """

    def ideal(x_t: Tensor, t: Tensor) -> Prediction:
        a, sigma = diffusion.rates(t, x_t)
        x0 = a * data_variance / (a**2 * data_variance + sigma**2) * x_t
        return Prediction(x0, (x_t - a * x0) / sigma)

    rule = SAMPLERS["ddim"].start(Options(diffusion, eta, "posterior"), ideal)
    one = torch.ones(1, 1, dtype=torch.float64)
    variances = [one.squeeze()]
    for now, then in zip(timesteps, [*timesteps[1:], 0], strict=True):
        t, s = torch.tensor([now]), torch.tensor([then])
        step = rule(one, ideal(one, t), t, s)  # from x_t = 1, the mean is the factor m itself
        variance = step.mean**2 * variances[-1] + noise_scale**2 * step.var
        variances.append(variance.squeeze())
    return torch.stack(variances)
