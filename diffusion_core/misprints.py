"""Formulas of the Gaussian process as some public notes print them, beside what they should say.

Whatever is wrong here is wrong on purpose, and a test holds by how much. The right versions are
those of the package; the few that it had no use for so far are here too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import Gaussian, GaussianDiffusion, require_signal
from diffusion_core.parameterization import Prediction
from diffusion_core.samplers import Step, clip_prediction, standard_normal
from diffusion_core.schedules import NoiseSchedule

# --- the mean of a reverse step ------------------------------------------------------------------


def posterior_mean_with_minus(
    diffusion: GaussianDiffusion, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor
) -> Tensor:
    r"""Misprint of the posterior's mean: a minus where the plus belongs.

    $$\tilde\mu = \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})\,x_t
    - \sqrt{\bar\alpha_{t-1}}\,\beta_t\,x_0}{1-\bar\alpha_t}$$

    Source: public notes; Ho et al. 2020, eq. 7, has a plus. It is off by twice the term of x_0.

    Args:
        diffusion: the process.
        x_t: [B, *D].
        x0: [B, *D].
        t: [B] int64.
        s: [B] int64, s < t.
    """
    c_x0, c_xt, _ = diffusion.posterior_coefficients(t, s, x_t)
    return c_xt.to(x_t.dtype) * x_t - c_x0.to(x_t.dtype) * x0


def mean_from_eps(
    diffusion: GaussianDiffusion, x_t: Tensor, eps: Tensor, t: Tensor, s: Tensor
) -> Tensor:
    r"""The posterior's mean, with x_0 written as what is left of x_t without its noise.

    $$\tilde\mu = \frac{1}{\sqrt{\alpha_{t|s}}}\left(x_t
    - \frac{1-\alpha_{t|s}}{\sqrt{1-\bar\alpha_t}}\,\epsilon\right), \qquad
    \alpha_{t|s} = \bar\alpha_t/\bar\alpha_s$$

    Source: Ho et al. 2020, eq. 11 (s = t-1).

    Raises:
        ValueError: where no signal is left at t.
    """
    alpha, sigma = _step(diffusion, x_t, t, s)
    return (x_t - (1 - alpha) / sigma * eps).to(x_t.dtype) / alpha.sqrt().to(x_t.dtype)


def mean_from_eps_with_alpha(
    diffusion: GaussianDiffusion, x_t: Tensor, eps: Tensor, t: Tensor, s: Tensor
) -> Tensor:
    r"""The mean that the KL with alpha squared belongs to: it divides the noise by alpha.

    $$\mu = \frac{x_t}{\sqrt{\alpha_{t|s}}}
    - \frac{1-\alpha_{t|s}}{\sqrt{1-\bar\alpha_t}\;\alpha_{t|s}}\,\epsilon$$

    Source: read off the misprint in `kl_from_eps_with_alpha_squared`; Ho et al. 2020, eq. 11,
    divides by the square root. It takes away too much noise, by the factor 1/sqrt(alpha).

    Raises:
        ValueError: where no signal is left at t.
    """
    alpha, sigma = _step(diffusion, x_t, t, s)
    return (x_t / alpha.sqrt() - (1 - alpha) / (sigma * alpha) * eps).to(x_t.dtype)


def _step(
    diffusion: GaussianDiffusion, like: Tensor, t: Tensor, s: Tensor
) -> tuple[Tensor, Tensor]:
    """Alpha of the step from s to t, and sigma at t, each [B, 1, ...] float64."""
    (a_t, sigma), (a_s, _) = diffusion.rates(t, like), diffusion.rates(s, like)
    require_signal(a_t, "eps does not determine the mean")
    return (a_t / a_s).square(), sigma


# --- one term of the bound -----------------------------------------------------------------------


def kl_from_x0_with_one_minus(diffusion: GaussianDiffusion, error: Tensor, t: Tensor) -> Tensor:
    r"""Misprint of a denoising term: one minus alpha_bar where alpha_bar belongs.

    $$L_{t-1} = \frac{1}{2\tilde\beta_t}\,
    \frac{(1-\bar\alpha_{t-1})\,\beta_t^2}{(1-\bar\alpha_t)^2}\,(x_0-\hat x_0)^2$$

    Source: public notes; the weight belongs to eq. 8 of Ho et al. 2020, where the coefficient of
    x_0 is squared. It is off by the factor 1/SNR(t-1).

    Args:
        diffusion: the process.
        error: [B] x_0 minus its estimate.
        t: [B] int64, 2..T.

    Returns:
        [B] nats.
    """
    before = diffusion.schedule.alpha_bar[t - 1]
    return kl_from_x0(diffusion, error, t) * (1 - before) / before


def kl_from_x0(diffusion: GaussianDiffusion, error: Tensor, t: Tensor) -> Tensor:
    r"""A denoising term, the weight of the squared error written out.

    $$L_{t-1} = \frac{1}{2\tilde\beta_t}\,
    \frac{\bar\alpha_{t-1}\,\beta_t^2}{(1-\bar\alpha_t)^2}\,(x_0-\hat x_0)^2$$

    Source: Ho et al. 2020, eq. 8, with the mean of eq. 7 at x_0 and at its estimate.

    Args:
        diffusion: the process.
        error: [B] x_0 minus its estimate.
        t: [B] int64, 2..T.

    Returns:
        [B] nats.
    """
    c_x0, _, var = diffusion.posterior_coefficients(t, t - 1, error)
    return c_x0.square() * error.square() / (2 * var)


def kl_from_snr(diffusion: GaussianDiffusion, error: Tensor, t: Tensor) -> Tensor:
    r"""The same term, with nothing but the loss of signal-to-noise ratio for a weight.

    $$L_{t-1} = \tfrac12\left(\mathrm{SNR}(t-1)-\mathrm{SNR}(t)\right)(x_0-\hat x_0)^2$$

    Source: Kingma et al. 2021, eq. 13. t [B] is in 2..T; returns [B] nats.
    """
    snr = diffusion.schedule.snr
    return 0.5 * (snr[t - 1] - snr[t]) * error.square()


def kl_from_eps_with_alpha_squared(
    diffusion: GaussianDiffusion, error: Tensor, t: Tensor
) -> Tensor:
    r"""Misprint of a denoising term: alpha squared where alpha belongs.

    $$L_{t-1} = \frac{1}{2\tilde\beta_t}\,
    \frac{\beta_t^2}{(1-\bar\alpha_t)\,\alpha_t^2}\,(\epsilon-\hat\epsilon)^2$$

    Source: public notes; Ho et al. 2020, eq. 12, has alpha_t. It is off by the factor 1/alpha_t.

    Args:
        diffusion: the process.
        error: [B] noise minus its estimate.
        t: [B] int64, 2..T.

    Returns:
        [B] nats.
    """
    return kl_from_eps(diffusion, error, t) / (1 - diffusion.schedule.beta[t])


def kl_from_eps(diffusion: GaussianDiffusion, error: Tensor, t: Tensor) -> Tensor:
    r"""A denoising term, measured on the noise.

    $$L_{t-1} = \frac{1}{2\tilde\beta_t}\,
    \frac{\beta_t^2}{(1-\bar\alpha_t)\,\alpha_t}\,(\epsilon-\hat\epsilon)^2$$

    Source: Ho et al. 2020, eq. 12, with the posterior's variance.

    Args:
        diffusion: the process.
        error: [B] noise minus its estimate.
        t: [B] int64, 2..T.

    Returns:
        [B] nats.
    """
    var = diffusion.posterior_coefficients(t, t - 1, error)[2]
    beta, alpha_bar = diffusion.schedule.beta[t], diffusion.schedule.alpha_bar[t]
    weight = beta.square() / (2 * var * (1 - alpha_bar) * (1 - beta))
    return weight * error.square()


def kl_between_posteriors(diffusion: GaussianDiffusion, error: Tensor, t: Tensor) -> Tensor:
    r"""The same term without its formula: both densities on a grid, and a sum.

    $$L_{t-1} = \int q(x_{t-1}|x_t,x_0)\,
    \log\frac{q(x_{t-1}|x_t,x_0)}{q(x_{t-1}|x_t,\hat x_0)}\,dx_{t-1}$$

    Source: the definition of the Kullback-Leibler divergence.

    Args:
        diffusion: the process.
        error: [B] x_0 minus its estimate.
        t: [B] int64, 2..T.

    Returns:
        [B] nats, to about six digits.
    """
    zero = torch.zeros_like(error)
    q = diffusion.q_posterior(zero, error, t, t - 1)
    p = diffusion.q_posterior(zero, zero, t, t - 1)
    std = q.var.sqrt()
    unit = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    x = q.mean[:, None] + std[:, None] * unit
    log_q, log_p = (-0.5 * ((x - g.mean[:, None]) / g.var.sqrt()[:, None]).square() for g in (q, p))
    weight = log_q.exp()
    return (weight * (log_q - log_p)).sum(1) / weight.sum(1)


# --- the forward process -------------------------------------------------------------------------


def signal_if_alpha_is_small(T: int) -> Tensor:
    r"""Misprint: the small numbers of a schedule taken for the alphas, so that hardly any is kept.

    $$\bar\alpha_t = \prod_{i=1}^{t}\alpha_i \quad\text{with}\quad
    \alpha_i = 10^{-4},\dots,0.02$$

    Source: public notes that call alpha_t small; in Ho et al. 2020, section 4, beta_t is. Printed
    for T = 1000; for another T they are scaled by 1000/T, as the betas of `schedules.linear` are.
    At T = 1000, beyond about a hundred steps, the product is smaller than any float, and 0.

    Args:
        T: number of steps.

    Returns:
        [T+1] float64, alpha_bar with the clean picture's 1 in front.

    Raises:
        ValueError: for T < 20, where the last of them would be above 1.
    """
    if T < 20:
        raise ValueError(f"a share of 20/T is at most 1: it needs 20 steps or more, not {T}")
    small = torch.linspace(0.1 / T, 20 / T, T, dtype=torch.float64)
    return torch.cat([torch.ones(1, dtype=torch.float64), small.cumprod(0)])


def snr_of_one_picture(schedule: NoiseSchedule, x0: float) -> Tensor:
    r"""Mean squared over variance, of the noisy pixel: it measures the pixel, not the step.

    $$\frac{\mu^2}{\sigma^2} = \frac{\bar\alpha_t\,x_0^2}{1-\bar\alpha_t}$$

    Source: public notes; Kingma et al. 2021, eq. 2, has no x_0. It is off by the factor x_0
    squared.

    Returns:
        [T+1] float64, infinite at t = 0 (undefined for x0 = 0).
    """
    return schedule.snr * x0**2


def jump_without_sigma(diffusion: GaussianDiffusion, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    r"""Misprint of the jump to step t: all of the noise at every step.

    $$x_t = \sqrt{\bar\alpha_t}\,x_0 + \epsilon$$

    Source: public notes; Ho et al. 2020, eq. 4, multiplies the noise by the rate sigma. For
    data of variance 1 the variance comes out as 1 plus alpha_bar, instead of 1.
    """
    a, _ = diffusion.rates(t, x0)
    return a.to(x0.dtype) * x0 + eps


# --- score and mean ------------------------------------------------------------------------------


def most_likely_x0(diffusion: GaussianDiffusion, x_t: Tensor, t: Tensor) -> Tensor:
    r"""The x_0 under which this x_t is likeliest: a maximum-likelihood estimate.

    $$\arg\max_{x_0} q(x_t|x_0) = \frac{x_t}{\sqrt{\bar\alpha_t}}$$

    Source: the mode of Ho et al. 2020, eq. 4. It knows nothing about the data.

    Args:
        diffusion: the process.
        x_t: [B].
        t: [B] int64.
    """
    a, _ = diffusion.rates(t, x_t)
    return x_t / a


def tweedie_x0(diffusion: GaussianDiffusion, x_t: Tensor, points: Tensor, t: Tensor) -> Tensor:
    r"""Tweedie's formula: the score of the noisy data gives the posterior mean of x_0.

    $$E[x_0|x_t] = \frac{x_t + (1-\bar\alpha_t)\,\nabla\log q(x_t)}{\sqrt{\bar\alpha_t}}$$

    Source: Efron 2011, eq. 1.4.

    Args:
        diffusion: the process.
        x_t: [B].
        points: [N], equally likely values of x_0.
        t: [B] int64.
    """
    a, sigma = diffusion.rates(t, x_t)
    return (x_t + sigma.square() * marginal_score(diffusion, x_t, points, t)) / a


def marginal_score(diffusion: GaussianDiffusion, x_t: Tensor, points: Tensor, t: Tensor) -> Tensor:
    r"""Slope of the log-density of the noisy data: it needs the average noise, not one noise.

    $$\nabla\log q(x_t) = -\frac{E[\epsilon|x_t]}{\sqrt{1-\bar\alpha_t}}$$

    Source: Vincent 2011, section 4.2 and eq. 11; Song et al. 2021, appendix A.

    Args:
        diffusion: the process.
        x_t: [B].
        points: [N], equally likely values of x_0.
        t: [B] int64.
    """
    a, sigma = (rate[:, None] for rate in diffusion.rates(t, x_t))
    eps = (x_t[:, None] - a * points) / sigma  # [B, N], the noise if each point were the start
    weights = (-0.5 * eps.square()).softmax(1)
    return -(weights * eps).sum(1) / sigma[:, 0]


def score_from_own_noise(
    diffusion: GaussianDiffusion, x0: Tensor, x_t: Tensor, t: Tensor
) -> Tensor:
    r"""Slope of the log-density of x_t when its x_0 is known: not the score of the data.

    $$\nabla\log q(x_t|x_0) = -\frac{\epsilon}{\sqrt{1-\bar\alpha_t}}$$

    Source: Ho et al. 2020, eq. 4, differentiated. Public notes print it as the marginal's score.

    Args:
        diffusion: the process.
        x0: [B].
        x_t: [B].
        t: [B] int64.
    """
    a, sigma = diffusion.rates(t, x_t)
    return -(x_t - a * x0) / sigma.square()


def log_density(diffusion: GaussianDiffusion, x_t: Tensor, points: Tensor, t: Tensor) -> Tensor:
    r"""Log-density of noisy data, [B], up to a constant that depends on t only.

    $$\log q(x_t) = \log\frac1N\sum_i \mathcal N(x_t;\ \sqrt{\bar\alpha_t}\,x^{(i)},
    1-\bar\alpha_t)$$

    Source: the law of total probability, for equally likely data points [N].
    """
    a, sigma = (rate[:, None] for rate in diffusion.rates(t, x_t))
    eps = (x_t[:, None] - a * points) / sigma
    return (-0.5 * eps.square()).logsumexp(1)


# --- two steps in one ----------------------------------------------------------------------------


def two_steps_spread(alpha: float, alpha_before: float) -> float:
    r"""Standard deviation of the noise of two steps together, when it is one Gaussian again.

    $$\sqrt{\alpha_t}\sqrt{1-\alpha_{t-1}}\,\epsilon + \sqrt{1-\alpha_t}\,\epsilon'
    = \sqrt{1-\alpha_t\alpha_{t-1}}\,\bar\epsilon$$

    Source: Ho et al. 2020, above eq. 4: variances of independent noises add.
    """
    return float((1 - alpha * alpha_before) ** 0.5)


# --- DDIM between eta = 0 and eta = 1 -------------------------------------------------------------


def noise_with_plain_eta(diffusion: GaussianDiffusion, eta: Tensor, t: Tensor, s: Tensor) -> Tensor:
    r"""Standard deviation of the noise in x_s after a DDIM step with eta where eta squared belongs.

    $$\sqrt{\left(1-\bar\alpha_s-\eta\,\tilde\beta\right) + \eta^2\,\tilde\beta}
    \;\ne\; \sqrt{1-\bar\alpha_s} \quad\text{for } 0 < \eta < 1$$

    Source: public code; Song, Meng & Ermon 2021, eq. 12 and 16: the fresh noise has the variance
    eta^2 beta_tilde, and that is what the noise that is kept has to leave room for.

    Args:
        diffusion: the process.
        eta: [B] in 0..1.
        t: [B] int64.
        s: [B] int64, s < t.
    """
    tilde = diffusion.posterior_coefficients(t, s, eta)[2]
    sigma = diffusion.rates(s, eta)[1]
    return (sigma.square() - eta * tilde + eta.square() * tilde).sqrt()


# --- a clean picture from the noise ---------------------------------------------------------------


def x0_with_one_root(diffusion: GaussianDiffusion, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    r"""What is left of x_t without its noise, with both factors in terms of 1/alpha_bar.

    $$\hat x_0 = \sqrt{\tfrac{1}{\bar\alpha_t}}\;x_t - \sqrt{\tfrac{1}{\bar\alpha_t}-1}\;
    \hat\epsilon$$

    Source: public code (`sqrt_recip_alphas_cumprod`, `sqrt_recipm1_alphas_cumprod`); Ho et al.
    2020, eq. 15, divides x_t - sqrt(1-alpha_bar) eps by sqrt(alpha_bar), which is the same.

    Args:
        diffusion: the process.
        x_t: [B, *D].
        eps: [B, *D].
        t: [B] int64.
    """
    recip = 1 / diffusion.rates(t, x_t)[0].square()
    return (recip.sqrt() * x_t - (recip - 1).sqrt() * eps).to(x_t.dtype)


# --- sampling with any mean ----------------------------------------------------------------------

Mean = Callable[[GaussianDiffusion, Tensor, Prediction, Tensor, Tensor], Tensor]
"""(diffusion, x_t, prediction, t, s) -> the mean that x_s is drawn around."""

MEANS: dict[str, Mean] = {
    "right": lambda d, x_t, p, t, s: d.q_posterior(x_t, p.x0, t, s).mean,
    "minus": lambda d, x_t, p, t, s: posterior_mean_with_minus(d, x_t, p.x0, t, s),
    "alpha": lambda d, x_t, p, t, s: mean_from_eps_with_alpha(d, x_t, p.eps, t, s),
}
"""The means to sample with: DDPM's, and what two misprints make of it."""


def sample_with_mean(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x_T: Tensor,
    timesteps: Sequence[int],
    mean: str,
    *,
    label: Tensor | None = None,
    generator: torch.Generator,
) -> Iterator[Step]:
    """Ancestral sampling with the posterior's variance, around a mean that may be wrong.

    Args:
        diffusion: the process the denoiser was trained for.
        denoiser: predicts x0 and eps; x0 is clipped to the pixels' range.
        x_T: [B, *D] sits at timesteps[0].
        timesteps: decreasing, each in 1..T; a last step to 0 is implied.
        mean: key in `MEANS`.
        label: [B] int64 classes, or None.
        generator: the source of fresh noise.

    Yields:
        `len(timesteps) + 1` steps, the last with t == 0.

    Raises:
        ValueError: (on the call) for an unknown mean.
    """
    if mean not in MEANS:
        raise ValueError(f"unknown mean {mean!r}; known are {', '.join(MEANS)}")

    def walk() -> Iterator[Step]:
        x_t = x_T
        for now, then in itertools.pairwise([*timesteps, 0]):
            t, s = (torch.full((len(x_t),), k, dtype=torch.int64) for k in (now, then))
            raw = denoiser(x_t, t, label)
            used = clip_prediction(diffusion, raw, x_t, t)
            var = diffusion.posterior_coefficients(t, s, x_t)[2].to(x_t.dtype)
            drawn = Gaussian(MEANS[mean](diffusion, x_t, used, t, s), var)
            noise = standard_normal(x_t, generator) if then else None
            yield Step(now, x_t, used, raw, drawn, noise)
            x_t = drawn.mean if noise is None else drawn.sample(noise)
        yield Step(0, x_t, None, None, None, None)

    return walk()
