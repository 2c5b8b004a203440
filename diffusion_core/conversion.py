"""One belief about a noisy picture, said in every language, and what translating it costs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.gaussian import GaussianDiffusion, require_signal
from diffusion_core.parameterization import EPS, SCORE, Parameterization, Prediction, V


class Readings(NamedTuple):
    """What one network call says, in five languages; each [B, *D].

    Attributes:
        x0: the clean picture.
        eps: the noise.
        v: the velocity a·eps - sigma·x0.
        score: the gradient of the log density of x_t.
        mean: where a reverse step to s would put its mean.
    """

    x0: Tensor
    eps: Tensor
    v: Tensor
    score: Tensor
    mean: Tensor


class Lens(NamedTuple):
    """One reverse step by two routes, and by the second one with clipping; each [B, *D].

    Attributes:
        x0: the clean picture on the way, before it is clipped.
        direct: the mean straight from eps.
        through_x0: the mean by way of x0.
        clipped: the mean by way of x0 clipped to [-1, 1].
    """

    x0: Tensor
    direct: Tensor
    through_x0: Tensor
    clipped: Tensor


class Gains(NamedTuple):
    """What an error of 1 in a network's output becomes; shapes as the rates'."""

    x0: Tensor
    eps: Tensor


class Rounding(NamedTuple):
    """Root mean square errors of x0 and eps, measured and by formula; each [n] float64."""

    x0: Tensor
    eps: Tensor
    x0_formula: Tensor
    eps_formula: Tensor


def readings(
    diffusion: GaussianDiffusion, prediction: Prediction, x_t: Tensor, t: Tensor, s: Tensor
) -> Readings:
    r"""Say one prediction as x0, eps, v, score and mean.

    $$\hat v = a\,\hat\epsilon - \sigma\,\hat x_0, \quad
    \nabla\log p = -\hat\epsilon/\sigma, \quad \mu = \tilde\mu(x_t, \hat x_0)$$

    Source: Salimans & Ho 2022, section 4 (v); Dhariwal & Nichol 2021, eq. 11 (score); Ho et
    al. 2020, eq. 7 (mean).

    Args:
        diffusion: the process.
        prediction: x0 and eps, [B, *D].
        x_t: [B, *D] the picture it speaks of.
        t: [B] int64, where x_t sits.
        s: [B] int64, where the mean goes, s < t.
    """
    x0, eps = prediction.x0, prediction.eps
    rates = diffusion.rates(t, x_t)
    mean = diffusion.q_posterior(x_t, x0, t, s).mean
    return Readings(x0, eps, V.target(x0, eps, *rates), SCORE.target(x0, eps, *rates), mean)


def mean_from_eps(
    diffusion: GaussianDiffusion, x_t: Tensor, eps: Tensor, t: Tensor, s: Tensor
) -> Tensor:
    r"""The mean of a reverse step straight from the noise, without naming a picture.

    $$\mu = \frac{1}{\sqrt{\alpha_{t|s}}}\left(x_t
    - \frac{1-\alpha_{t|s}}{\sqrt{1-\bar\alpha_t}}\,\hat\epsilon\right)$$

    Source: Ho et al. 2020, eq. 11 (s = t-1); for any s < t it is the posterior's mean with
    x0 = (x_t - sigma eps)/a put in.

    Args:
        diffusion: the process.
        x_t: [B, *D].
        eps: [B, *D] the noise believed to be in it.
        t: [B] int64.
        s: [B] int64, s < t.

    Raises:
        ValueError: where no signal is left at t, so that there is nothing to scale up.
    """
    one = torch.ones(len(x_t), *[1] * (x_t.ndim - 1), dtype=torch.float64, device=x_t.device)
    gain, beta = diffusion.q_step(one, t, s)
    require_signal(gain, "eps does not determine the mean")
    sigma = diffusion.rates(t, x_t)[1]
    dtype = x_t.dtype
    return (1 / gain).to(dtype) * x_t - (beta / sigma / gain).to(dtype) * eps


def clip_lens(diffusion: GaussianDiffusion, x_t: Tensor, eps: Tensor, t: Tensor, s: Tensor) -> Lens:
    r"""Take one reverse step from eps directly, by way of x0, and by way of x0 clipped.

    $$\hat x_0 = \frac{x_t-\sigma\hat\epsilon}{a}, \qquad \mu = \tilde\mu(x_t, \hat x_0), \qquad
    \mu_\text{clip} = \tilde\mu(x_t, \operatorname{clip}(\hat x_0, -1, 1))$$

    Source: improved-diffusion, `p_mean_variance`; the mean is Ho et al. 2020, eq. 7.

    Args:
        diffusion: the process.
        x_t: [B, *D].
        eps: [B, *D] the network's noise.
        t: [B] int64.
        s: [B] int64, s < t.
    """
    x0 = EPS.recover(eps, x_t, *diffusion.rates(t, x_t)).x0
    return Lens(
        x0,
        mean_from_eps(diffusion, x_t, eps, t, s),
        diffusion.q_posterior(x_t, x0, t, s).mean,
        diffusion.q_posterior(x_t, x0.clamp(-1, 1), t, s).mean,
    )


def unexplained(
    diffusion: GaussianDiffusion, prediction: Prediction, x_t: Tensor, t: Tensor
) -> Tensor:
    r"""What of x_t a prediction leaves over: 0 where its picture and its noise belong together.

    $$r = x_t - a\,\hat x_0 - \sigma\,\hat\epsilon$$

    Source: Ho et al. 2020, eq. 4, solved for nothing. After clipping x0 alone it is
    a (x0 - clip(x0)).

    Returns:
        [B, *D].
    """
    a, sigma = (rate.to(x_t.dtype) for rate in diffusion.rates(t, x_t))
    return x_t - a * prediction.x0 - sigma * prediction.eps


def error_gains(parameterization: Parameterization, a: Tensor, sigma: Tensor) -> Gains:
    r"""How an error in the output grows when x0 and eps are read from it, at a given x_t.

    $$|\delta x_0| = \frac{\sigma}{|\det|}\,|\delta\text{out}|, \qquad
    |\delta\epsilon| = \frac{a}{|\det|}\,|\delta\text{out}|$$

    Source: Cramer's rule, as in `Parameterization.recover`. 1 and a/sigma for x0, sigma/a and 1
    for eps, sigma and a for v.
    """
    det = parameterization.determinant(a, sigma).abs()
    return Gains(sigma / det, a / det)


def rates_at(snr: Tensor) -> tuple[Tensor, Tensor]:
    r"""Signal and noise rate at a signal-to-noise ratio, whatever the schedule.

    $$a = \sqrt{\frac{\mathrm{SNR}}{1+\mathrm{SNR}}}, \qquad
    \sigma = \sqrt{\frac{1}{1+\mathrm{SNR}}}$$

    Source: SNR = a²/sigma² with a² + sigma² = 1 (Kingma et al. 2021, eq. 2). 1 and 0 where it is
    infinite, as at t = 0.
    """
    share = torch.where(snr == torch.inf, 1.0, snr / (1 + snr))
    return share.sqrt(), (1 / (1 + snr)).sqrt()


def rounding_errors(
    parameterization: Parameterization,
    snr: Tensor,
    dtype: torch.dtype,
    *,
    count: int = 1024,
    generator: torch.Generator,
) -> Rounding:
    r"""Convert a network's answer in a short number format; how far is it from the exact one?

    $$\delta x_0 = \frac{\sqrt{(d\,\delta x_t)^2 + (\sigma\,\delta\text{out})^2}}{|\det|}, \qquad
    \delta\epsilon = \frac{\sqrt{(c\,\delta x_t)^2 + (a\,\delta\text{out})^2}}{|\det|}$$

    Source: the rounding errors of x_t and of the output, carried through Cramer's rule. The
    measurement also rounds coefficients, products and sum, which the formula leaves out. The
    answer is off by a tenth of standard noise, as a network's is: the rounding of a perfect one
    would go along with that of x_t, and most of it would cancel.

    Args:
        parameterization: what the output means.
        snr: [n] float64.
        dtype: the number format: torch.float16, bfloat16 or float32.
        count: pixels per signal-to-noise ratio: x0 uniform in [-1, 1], eps standard normal.
        generator: where they come from.
    """
    a, sigma = (rate[:, None] for rate in rates_at(snr))
    x0 = 2 * torch.rand(len(snr), count, generator=generator, dtype=torch.float64) - 1
    eps = torch.randn(len(snr), count, generator=generator, dtype=torch.float64)
    wrong = torch.randn(len(snr), count, generator=generator, dtype=torch.float64)
    x_t = a * x0 + sigma * eps
    output = parameterization.target(x0, eps, a, sigma) + wrong / 10
    exact = parameterization.recover(output, x_t, a, sigma)
    short = parameterization.recover(output.to(dtype), x_t.to(dtype), a, sigma)
    rounded = [_rms(number.to(dtype).double() - number) for number in (x_t, output)]
    c, d = (coefficient[:, 0] for coefficient in parameterization.coefficients(a, sigma))
    gains = error_gains(parameterization, a[:, 0], sigma[:, 0])
    det = parameterization.determinant(a, sigma)[:, 0]
    return Rounding(
        _rms(short.x0.double() - exact.x0),
        _rms(short.eps.double() - exact.eps),
        torch.hypot(d / det * rounded[0], gains.x0 * rounded[1]),
        torch.hypot(c / det * rounded[0], gains.eps * rounded[1]),
    )


def min_snr_weight(snr: Tensor, gamma: float) -> Tensor:
    r"""Min-SNR's weight on the squared error of x0: that of eps, but never above gamma.

    $$w = \min(\mathrm{SNR}, \gamma)$$

    Source: Hang et al. 2023, section 3.4. Multiplying the loss on eps by min(SNR, gamma)/SNR, or
    that on v by min(SNR, gamma)/(SNR + 1), is the same.
    """
    return snr.clamp(max=gamma)


def weight_on(
    parameterization: Parameterization, weight: Tensor, a: Tensor, sigma: Tensor
) -> Tensor:
    r"""The factor before a target's squared error that gives x0's squared error a certain weight.

    $$w_\text{target} = w_{x_0}\,\left(\frac{\sigma}{\det}\right)^2$$

    Source: Salimans & Ho 2022, section 4; with Min-SNR's weight, Hang et al. 2023, section 3.4.

    Args:
        parameterization: the target whose squared error is weighted.
        weight: what the squared error of x0 should count.
        a: signal rates, in weight's shape.
        sigma: noise rates, in weight's shape.
    """
    return weight / parameterization.loss_weight(a, sigma)


def steps_to_half(weight: Tensor) -> int:
    """How many of the first steps 1, 2, ... hold half of the weight of all steps, [T]."""
    share = weight.cumsum(0) / weight.sum()
    return int((share < 0.5).sum()) + 1


def _rms(error: Tensor) -> Tensor:
    """Root mean square over all but the first axis, [B]."""
    return error.flatten(1).square().mean(1).sqrt()
