"""What a denoiser gets wrong on average: the picture's brightness, and the size of the noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import EPS, Parameterization


class NoiseErrors(NamedTuple):
    """Averages over pictures and pixels, at one step.

    Attributes:
        t: the step.
        bias: mean of eps_hat - eps.
        brightness: mean of x0_hat - x0, not clipped.
        explained: share of the noise's mean square that is gone from eps - eps_hat.
        named: mean square of eps_hat, as a share of the noise's.
        spread: standard error of `brightness`, from how the pictures differ in it.
    """

    t: int
    bias: float
    brightness: float
    explained: float
    named: float
    spread: float


def noise_errors(
    diffusion: GaussianDiffusion, denoiser: Denoiser, x0: Tensor, eps: Tensor, steps: Iterable[int]
) -> Iterator[NoiseErrors]:
    r"""Noise some pictures to each step, ask, and average the errors.

    $$\mathbb E[\hat\epsilon^2] = 1 - \mathbb E[(\hat\epsilon-\epsilon)^2]
    \quad\text{for}\quad \hat\epsilon = \mathbb E[\epsilon\mid x_t]$$

    Source: the mean of a posterior is uncorrelated with what it leaves over. So the best eps_hat
    is smaller than the noise, and by how much is its error.

    Args:
        diffusion: the process.
        denoiser: predicts x0 and eps.
        x0: [B, *D] clean pictures.
        eps: [B, *D] the noise, the same at every step.
        steps: each in 1..T.
    """
    power = float(eps.double().square().mean())
    for step in steps:
        t = torch.full((len(x0),), step, dtype=torch.int64, device=x0.device)
        said = denoiser(diffusion.q_sample(x0, t, eps), t)
        wrong = (said.eps - eps).double()
        brightness = (said.x0 - x0).double().flatten(1).mean(1)  # [B]
        yield NoiseErrors(
            step,
            float(wrong.mean()),
            float(brightness.mean()),
            1 - float(wrong.square().mean()) / power,
            float(said.eps.double().square().mean()) / power,
            float(brightness.std()) / len(x0) ** 0.5,
        )


def brightness_error(
    bias: Tensor, a: Tensor, sigma: Tensor, target: Parameterization = EPS
) -> Tensor:
    r"""What a bias of a network's answer does to the brightness of the picture read from it.

    $$\overline{\hat x_0 - x_0} = -\frac{\sigma}{\det}\,\delta, \qquad
    \delta = \overline{\text{answer} - \text{target}}$$

    Source: `Parameterization.recover` averaged over pixels: what has no sign averages out, a bias
    does not. The factor is -sigma/a for eps (Ho et al. 2020, eq. 4 solved for x0), 1 for x0 and
    -sigma for v.

    Args:
        bias: the answer's mean error.
        a: rate of the picture, of a shape that broadcasts with `bias`.
        sigma: rate of the noise, likewise.
        target: what the network names.
    """
    return -sigma / target.determinant(a, sigma) * bias


def last_dose(diffusion: GaussianDiffusion, eps: Tensor, t: Tensor) -> Tensor:
    r"""The best guess of the noise that the last step alone has added, from that of all of it.

    $$\mathbb E[z_t\mid x_t] = \sqrt{\frac{\beta_t}{1-\bar\alpha_t}}\;\hat\epsilon, \qquad
    x_t = \sqrt{1-\beta_t}\,x_{t-1} + \sqrt{\beta_t}\,z_t$$

    Source: sigma_t eps is a sum of independent Gaussian doses, the last of which is sqrt(beta) z_t.
    Given the sum, a dose is on average its share of the variance, times the sum; and x_t speaks of
    the doses through their sum only.

    Args:
        diffusion: the process.
        eps: [B, *D] E[eps|x_t].
        t: [B] int64.
    """
    beta = diffusion.schedule.beta[t].reshape(-1, *[1] * (eps.ndim - 1)).to(eps.device)
    sigma = diffusion.rates(t, eps)[1]
    return (beta.sqrt() / sigma).to(eps.dtype) * eps
