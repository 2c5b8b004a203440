"""The aggregated posterior: where an encoder puts a whole data set, as a density with a formula."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser, require_noise
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import Prediction
from diffusion_core.vae import VAE


@dataclass(frozen=True, eq=False)
class Aggregate:
    r"""The average of one Gaussian per example, each with its own width in every direction.

    $$q(z) = \frac1N\sum_i q(z|x_i), \quad q(z|x_i) = \mathcal N(z; \mu_i, \sigma_i^2)$$

    Source: Makhzani et al. 2016, section 2, who call it the aggregated posterior.

    Args:
        means: mu, [N, D] float64.
        var: sigma squared, [N, D] float64, above 0.

    Raises:
        ValueError: where the shapes differ or a variance is not above 0.
    """

    means: Tensor
    var: Tensor

    def __post_init__(self) -> None:
        if self.means.dim() != 2 or self.means.shape != self.var.shape or not len(self.means):
            shapes = f"{list(self.means.shape)} and {list(self.var.shape)}"
            raise ValueError(f"means [N, D] and variances of that shape are needed, not {shapes}")
        if not bool((self.var > 0).all()):
            raise ValueError("every variance must be above 0")

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n points, [n, D] float64."""
        chosen = torch.randint(len(self.means), (n,), generator=generator)
        noise = torch.randn(n, self.means.shape[1], generator=generator, dtype=torch.float64)
        return self.means[chosen] + self.var[chosen].sqrt() * noise


@torch.inference_mode()
def aggregated_posterior(vae: VAE, x: Tensor) -> Aggregate:
    """Where the encoder of a VAE puts the pictures x [N, 784], 0 to 1."""
    q = vae.posterior(x.to(next(vae.parameters())))
    return Aggregate(q.mean.double().clone(), q.var.double().clone())


def own_log_densities(
    diffusion: GaussianDiffusion, data: Aggregate, z_t: Tensor, t: Tensor
) -> Tensor:
    r"""How densely each example's own noisy latents lie at z_t, counted with its share.

    $$\log\tfrac1N\,\mathcal N\left(z_t;\ a\mu_i,\ a^2\sigma_i^2 + \sigma^2\right)$$

    Source: Ho et al. 2020, eq. 4, for a Gaussian z_0 instead of a point.

    Args:
        diffusion: the process.
        data: the clean latents.
        z_t: [B, D].
        t: [B] int64, 0 <= t, the same for all.

    Returns:
        [B, N] float64.
    """
    a, var = _widths(diffusion, data, t)
    z, means = z_t.double(), a * data.means
    # (z - m)^2 / v multiplied out: two matrix products instead of an array [B, N, D].
    gap = z.square() @ (1 / var).T - 2 * z @ (means / var).T + (means.square() / var).sum(1)
    return -0.5 * (gap + (2 * math.pi * var).log().sum(1)) - math.log(len(means))


def aggregate_log_density(
    diffusion: GaussianDiffusion, data: Aggregate, z_t: Tensor, t: Tensor
) -> Tensor:
    r"""How densely the noisy latents lie at z_t, exactly: [B] float64, nats.

    $$\log q(z_t) = \log\frac1N\sum_i
    \mathcal N\left(z_t;\ a\mu_i,\ a^2\sigma_i^2 + \sigma^2\right)$$

    Source: Ho et al. 2020, eq. 4, averaged over the examples.

    Args:
        diffusion: the process.
        data: the clean latents.
        z_t: [B, D].
        t: [B] int64, the same for all.
    """
    total: Tensor = own_log_densities(diffusion, data, z_t, t).logsumexp(1)
    return total


def aggregate_denoiser(diffusion: GaussianDiffusion, data: Aggregate) -> Denoiser:
    r"""The best denoiser of latents that there is: the exact posterior mean.

    $$E[z_0|z_t] = \sum_i p(i|z_t)\,\left(\mu_i + g_i\,(z_t - a\mu_i)\right), \qquad
    g_i = \frac{a\,\sigma_i^2}{a^2\sigma_i^2 + \sigma^2}$$

    Source: Bishop 2006, eq. 2.116 for one example, averaged over them.

    Args:
        diffusion: the process.
        data: the clean latents.

    Raises:
        ValueError: (when called) for latents at more than one t, or at t = 0.
    """

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        rate, sigma = diffusion.rates(t, x_t)
        require_noise(sigma)
        probs = own_log_densities(diffusion, data, x_t, t).softmax(1)
        a, var = _widths(diffusion, data, t)
        gain = a * data.var / var
        z = x_t.double()
        z0 = probs @ (data.means * (1 - a * gain)) + z * (probs @ gain)
        return Prediction(z0.to(x_t), ((z - rate * z0) / sigma).to(x_t))

    return predict


def density_on_grid(diffusion: GaussianDiffusion, data: Aggregate, along: Tensor, t: int) -> Tensor:
    """The density of the noisy latents at every place of a square, as one matrix product.

    Args:
        diffusion: the process.
        data: the clean latents, in a plane.
        along: [n] float64, places along either side.
        t: the step.

    Returns:
        [n, n] float64; first index: the second number of z.
    """
    a, var = _widths(diffusion, data, torch.tensor([t]))
    return _in_the_plane(a * data.means, var, along)


class KlParts(NamedTuple):
    """What the KL term of a VAE is made of, nats per example.

    Attributes:
        whole: KL of q(z|x) from p(z), averaged over the examples.
        told: of q(z|x) from q(z): what z tells about which example it is.
        prior: of q(z) from p(z): the part that another prior could save.
    """

    whole: float
    told: float
    prior: float


def kl_parts(data: Aggregate, cells: int = 601, reach: float = 6.0) -> KlParts:
    r"""The KL term of a VAE in two parts: what z tells, and how far q(z) is from N(0, I).

    $$\frac1N\sum_i \operatorname{KL}(q_i\,\|\,p)
    = \mathrm{MI} + \operatorname{KL}(q\,\|\,p), \qquad
    \mathrm{MI} = \frac1N\sum_i \operatorname{KL}(q_i\,\|\,q), \qquad
    q_i = q(z|x_i)$$

    Source: Hoffman & Johnson 2016, section 2; MI is the mutual information of digit and z, p is
    N(0, I). The whole is exact; KL(q(z)||p(z)) is a sum over the
    plane, and what z tells is the rest.

    Args:
        data: latents in a plane.
        cells: places along either side.
        reach: the plane is summed from -reach to reach.
    """
    whole = 0.5 * (data.means.square() + data.var - 1 - data.var.log()).sum(1).mean()
    along = torch.linspace(-reach, reach, cells, dtype=torch.float64)
    q = _in_the_plane(data.means, data.var, along)
    log_p = -0.5 * (along[:, None].square() + along.square()) - math.log(2 * math.pi)
    cell = float(along[1] - along[0]) ** 2
    prior = (torch.special.xlogy(q, q) - q * log_p).sum() * cell
    return KlParts(float(whole), float(whole - prior), float(prior))


def _in_the_plane(means: Tensor, var: Tensor, along: Tensor) -> Tensor:
    """The average of Gaussians [N, 2] on a square: [n, n]; each is one along times one up."""
    gap = (along[:, None, None] - means).square() / var  # [n, N, 2]
    bells = (-0.5 * gap).exp() / (2 * math.pi * var).sqrt()
    return bells[..., 1] @ bells[..., 0].T / len(means)


def _widths(diffusion: GaussianDiffusion, data: Aggregate, t: Tensor) -> tuple[Tensor, Tensor]:
    """The signal rate a, a scalar, and the examples' noisy variances [N, D]; all t are equal."""
    if bool((t != t[0]).any()):
        raise ValueError("all z_t must be at the same t")
    alpha_bar = diffusion.schedule.alpha_bar[t[0]]
    return alpha_bar.sqrt(), alpha_bar * data.var + 1 - alpha_bar
