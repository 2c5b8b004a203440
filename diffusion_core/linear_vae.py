"""A VAE whose encoder and decoder are linear: what the weight of its KL does, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor


def weight_of_kl(
    pixels: int, latents: int, *, mean_of_pixels: bool, mean_of_latents: bool
) -> float:
    r"""The beta of the beta-VAE that a loss amounts to whose terms are sums or means.

    $$\tfrac1D R + K = \tfrac1D\,(R + D\,K), \qquad
    \tfrac1D R + \tfrac1d K = \tfrac1D\,\left(R + \tfrac Dd K\right), \qquad
    R + \tfrac1d K$$

    R is the reconstruction term summed over D pixels, K the KL summed over d latents; a factor of
    the whole loss changes nothing. Source: Higgins et al. 2017, section 2, for beta.

    Args:
        pixels: D.
        latents: d.
        mean_of_pixels: whether R is divided by D.
        mean_of_latents: whether K is divided by d.
    """
    return (pixels if mean_of_pixels else 1) / (latents if mean_of_latents else 1)


def latent_nats(variances: Tensor, noise: float, beta: float = 1.0) -> Tensor:
    r"""How much each latent of the best linear VAE tells: its KL, on average over the data.

    $$\operatorname{KL}_i = \tfrac12 \log\frac{\lambda_i}{\beta\sigma^2}
    \quad\text{if } \lambda_i > \beta\sigma^2, \text{ else } 0$$

    Source: Lucas et al. 2019, with Tipping & Bishop 1999, eq. 7; beta times KL and
    noise sigma^2 have the same best VAE as the plain KL and noise beta sigma^2.

    Args:
        variances: lambda, [d], of the data along their principal directions, above 0.
        noise: sigma^2 of the decoder; squared error without a factor is 1/2.
        beta: weight of the KL.

    Returns:
        [d] nats.
    """
    return 0.5 * (variances / (beta * noise)).log().clamp(min=0)


def share_kept(variances: Tensor, noise: float, beta: float = 1.0) -> Tensor:
    r"""How much of each principal direction the best linear VAE gives back.

    $$\hat x - \bar x = \sum_i \left(1 - \frac{\beta\sigma^2}{\lambda_i}\right)_+
    u_i u_i^\top (x - \bar x), \qquad
    \text{drawn: } \sum_i \sqrt{(\lambda_i - \beta\sigma^2)_+}\; u_i z_i$$

    Source: Tipping & Bishop 1999, eq. 7, with the mean of q(z|x) decoded.

    Args:
        variances: lambda, [d].
        noise: sigma^2.
        beta: weight of the KL.

    Returns:
        [d] shares, 0..1; times lambda, the variance of what is drawn in that direction.
    """
    return (1 - beta * noise / variances).clamp(min=0)


def principal_directions(x: Tensor, d: int) -> tuple[Tensor, Tensor, Tensor]:
    r"""Mean, variances and directions in which pictures vary most.

    $$\tfrac1N \sum_n (x_n - \bar x)(x_n - \bar x)^\top u_i = \lambda_i u_i$$

    Source: Bishop 2006, eq. 12.17.

    Args:
        x: [N, D].
        d: how many directions, the widest first.

    Returns:
        [D] mean, [d] variances and [d, D] unit vectors, float64.
    """
    mean = x.double().mean(0)
    _, stretch, directions = torch.linalg.svd(x.double() - mean, full_matrices=False)
    return mean, stretch[:d].square() / len(x), directions[:d]
