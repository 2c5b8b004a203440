"""Latents of another size, and what noise in a latent is to its picture."""

from __future__ import annotations

import torch
from torch import Tensor

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import NoiseSchedule

KL_WEIGHT = 1e-3  # in the training of the autoencoder: of nats per number, beside error per pixel


def as_beta(weight: float, pixels: int, numbers: int, var: float) -> float:
    r"""The weight of an autoencoder's KL term as beta of a VAE with a Gaussian decoder.

    $$L = \frac{\lVert x-\hat x\rVert^2}{D} + \frac{w}{d}\operatorname{KL}, \qquad
    \frac{D}{2\sigma^2}\,L = \frac{\lVert x-\hat x\rVert^2}{2\sigma^2} + \beta\operatorname{KL},
    \qquad \beta = \frac{w\,D}{2\sigma^2 d}$$

    Source: Higgins et al. 2017, section 2, for a decoder N(x_hat, sigma^2 I).

    Args:
        weight: w, of the KL per number, beside the mean squared error of a pixel.
        pixels: D.
        numbers: d, of the latent.
        var: sigma squared; the mean squared error itself is its best value.

    Returns:
        1 for a VAE whose bound has its full KL term.

    Raises:
        ValueError: for a variance that is not above 0.
    """
    if not var > 0:
        raise ValueError(f"the variance must be above 0, not {var}")
    return weight * pixels / (2 * var * numbers)


def scaled_snr(schedule: NoiseSchedule, factor: float, std: float = 1.0) -> Tensor:
    r"""How much signal there is for the noise, where the data are not of unit variance.

    $$\operatorname{SNR}_c(t) = \frac{\bar\alpha_t\,c^2 s^2}{1-\bar\alpha_t}
    = c^2 s^2\,\operatorname{SNR}(t)$$

    Source: Kingma et al. 2021, eq. 2, times the variance of the data.

    Args:
        schedule: the noise.
        factor: c, that the latents were multiplied by.
        std: s, their standard deviation before that.

    Returns:
        [T+1] float64; infinite at t = 0.
    """
    return factor**2 * std**2 * schedule.snr


def noisy_latent(
    diffusion: GaussianDiffusion, z0: Tensor, t: Tensor, eps: Tensor, factor: float = 1.0
) -> Tensor:
    r"""Noise put on latents that were multiplied by a factor, in the units they had before it.

    $$\frac{a\,c\,z_0 + \sigma\,\epsilon}{c} = a\,z_0 + \frac{\sigma}{c}\,\epsilon$$

    Source: Ho et al. 2020, eq. 4, for c z_0 (the factor of Rombach et al. 2022, appendix G).

    Args:
        diffusion: the process.
        z0: [B, *D] of unit variance.
        t: [B] int64.
        eps: [B, *D] standard normal.
        factor: c, above 0.

    Returns:
        [B, *D], as a decoder wants it.

    Raises:
        ValueError: for a factor that is not above 0.
    """
    if not factor > 0:
        raise ValueError(f"the factor must be above 0, not {factor}")
    return diffusion.q_sample(factor * z0, t, eps) / factor


def neighbour_correlation(field: Tensor) -> Tensor:
    r"""How alike neighbouring pixels of a picture of errors are: 0 for independent ones.

    $$\rho = \frac{\sum_{i \sim j} e_i\,e_j \,/\, n_{i \sim j}}{\sum_i e_i^2 \,/\, n}$$

    Source: the lag-1 autocorrelation of Box & Jenkins, along both axes, about a mean of 0.

    Args:
        field: [B, H, W] floating point.

    Returns:
        [B]; 0 where the whole field is 0.
    """
    e = field.double()
    along = e[:, :, 1:] * e[:, :, :-1]
    down = e[:, 1:] * e[:, :-1]
    pairs = torch.cat([along.flatten(1), down.flatten(1)], dim=1).mean(1)
    power = e.square().flatten(1).mean(1)
    return torch.where(power > 0, pairs / power.clamp(min=1e-30), 0.0)
