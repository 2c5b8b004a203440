"""The pieces of the likelihood bound: decoders, and one term for one step.

Everything is in nats. A decoder answers with a log-likelihood; terms are costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser, ask
from diffusion_core.gaussian import Gaussian, GaussianDiffusion
from diffusion_core.parameterization import Prediction
from diffusion_core.samplers import VARIANCES, clip_prediction

# --- decoders ------------------------------------------------------------------------------------

GREY_LEVELS = torch.linspace(-1, 1, 256, dtype=torch.float64)
"""The values that a pixel of an 8-bit picture can have, [256] float64."""

HALF_BIN = 1 / 255
"""Half the distance between two grey levels."""

EDGE = 0.999
"""Beyond it a pixel is black or white, and its bin reaches to infinity."""


def normal_log_density(x: Tensor, model: Gaussian) -> Tensor:
    r"""Logarithm of the normal density at x, [B, *D] nats per element.

    $$\log p = -\frac12\left(\frac{(x-m)^2}{v} + \log 2\pi v\right)$$

    Source: the definition. A density is no probability: in bits per dimension it is comparable
    only with other densities.
    """
    gap = (x - model.mean).square()
    return -0.5 * (gap / model.var + (2 * math.pi * model.var).log())


def tanh_normal_cdf(x: Tensor) -> Tensor:
    r"""A cheap stand-in for the standard normal distribution function, off by less than 0.0004.

    $$\Phi(x) \approx \tfrac12\left(1 + \tanh\left(\sqrt{2/\pi}\,(x + 0.044715\,x^3)\right)\right)$$

    Source: improved-diffusion, `approx_standard_normal_cdf` (Page 1977).
    """
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def discretized_gaussian_tanh(x0: Tensor, model: Gaussian) -> Tensor:
    r"""Probability of each pixel's grey level under a normal distribution cut into 256 bins.

    $$\begin{aligned} & \log p(x_0) = \log\max(\Phi(u) - \Phi(l),\,10^{-12}), \\
    & u,\,l = \tfrac{x_0\,\pm\,1/255\,-\,m}{\sqrt v} \end{aligned}$$

    Source: Ho et al. 2020, eq. 13, as improved-diffusion computes it: `tanh_normal_cdf` stands in
    for the exact function, and no pixel costs more than 27.6 nats. The bins of black and white
    reach to infinity.

    Args:
        x0: [B, *D] grey levels in [-1, 1].
        model: mean and variance of the pixel before it is rounded.

    Returns:
        [B, *D] nats per element, at most 0.
    """
    std = model.var.sqrt()
    upper = tanh_normal_cdf((x0 + HALF_BIN - model.mean) / std)
    lower = tanh_normal_cdf((x0 - HALF_BIN - model.mean) / std)
    mass = torch.where(x0 < -EDGE, upper, torch.where(x0 > EDGE, 1 - lower, upper - lower))
    return mass.clamp(min=1e-12).log()


def discretized_gaussian_exact(x0: Tensor, model: Gaussian) -> Tensor:
    r"""The same with the exact distribution function and without a floor: a true probability.

    $$\log\left(\Phi(u) - \Phi(l)\right) = \log\Phi(u)
    + \log\left(1 - e^{\log\Phi(l) - \log\Phi(u)}\right)$$

    Source: Ho et al. 2020, eq. 13. Bins above the mean are mirrored below it, where the logarithm
    of the distribution function keeps all its digits: a pixel 100 standard deviations off costs
    5000 nats, not infinitely many.

    Args:
        x0: [B, *D] grey levels in [-1, 1].
        model: mean and variance of the pixel before it is rounded.

    Returns:
        [B, *D] nats per element, at most 0; over all 256 levels the probabilities add up to 1.
    """
    std = model.var.sqrt()
    below = x0 <= model.mean
    centre = torch.where(below, x0 - model.mean, model.mean - x0)
    log_upper = torch.special.log_ndtr((centre + HALF_BIN) / std)
    log_lower = torch.special.log_ndtr((centre - HALF_BIN) / std)
    inside = log_upper + (-torch.expm1(log_lower - log_upper)).log()
    to_black = torch.special.log_ndtr((x0 + HALF_BIN - model.mean) / std)
    to_white = torch.special.log_ndtr((model.mean - x0 + HALF_BIN) / std)
    return torch.where(x0 < -EDGE, to_black, torch.where(x0 > EDGE, to_white, inside))


def decoder_costs(
    x0: Tensor,
    mean: Tensor,
    variances: Tensor,
    decode: Callable[[Tensor, Gaussian], Tensor] = discretized_gaussian_tanh,
) -> Tensor:
    r"""What naming the grey levels costs for each width of the decoder, [n] nats per picture.

    $$L_0(v) = -\log p\left(x_0 \mid \mathcal N(\hat x_0, v)\right)$$

    Source: Ho et al. 2020, eq. 13. A density would cost least where v is the mean squared error of
    x_0-hat; with bins the place is another, but near.

    Args:
        x0: [1, *D] grey levels in [-1, 1].
        mean: [1, *D], the prediction at t = 1.
        variances: [n], positive.
        decode: (x0, p) -> log-likelihood of each element.
    """
    wide = variances.reshape(-1, *[1] * (x0.ndim - 1))
    many = (len(variances), *x0.shape[1:])
    model = Gaussian(mean.expand(many), wide)
    return -decode(x0.expand(many), model).flatten(1).sum(1)


def nearest_level(x0: Tensor, levels: Tensor) -> Tensor:
    """Index of each value's level, [B, *D] int64; levels [V] are evenly spaced and rise.

    Raises:
        ValueError: when a value is not a finite number, or not one of the levels (to a hundredth
            of their distance).
    """
    if not bool(torch.isfinite(x0).all()):
        raise ValueError("the picture holds a value that is not a finite number")
    levels = levels.to(x0.device, torch.float64)
    place = (x0.double() - levels[0]) / (levels[-1] - levels[0]) * (len(levels) - 1)
    index = place.round()
    if bool((index < 0).any() or (index >= len(levels)).any()):
        raise ValueError(
            f"the picture leaves the data range, {levels[0]:g} to {levels[-1]:g}: rescale it first"
        )
    if bool(((place - index).abs() > 0.01).any()):
        raise ValueError(
            f"the picture has values between the {len(levels)} levels: round it to them first"
        )
    return index.long()


def categorical(x0: Tensor, model: Gaussian, levels: Tensor = GREY_LEVELS) -> Tensor:
    r"""Probability of each pixel's level when every level's weight is a normal density.

    $$p(x_0) = \frac{\mathcal N(x_0; m, v)}{\sum_{l \in \text{levels}} \mathcal N(l; m, v)},
    \qquad m = x_1/\sqrt{\bar\alpha_1}, \quad v = 1/\mathrm{SNR}(1)$$

    Source: Kingma et al. 2021, section 3.3 and appendix (VDM's `EncDec.logprob`): m and v are
    those of q(x_1|x_0) read as a function of x_0, and no network is asked.

    Args:
        x0: [B, *D], each value one of `levels`.
        model: mean [B, *D] and variance.
        levels: [V], evenly spaced, rising.

    Returns:
        [B, *D] nats per element, at most 0; over all levels the probabilities add up to 1.

    Raises:
        ValueError: when a value of x0 is not one of the levels.
    """
    index = nearest_level(x0, levels)
    levels = levels.to(model.mean)
    logits = -(model.mean[..., None] - levels).square() / (2 * model.var[..., None])
    return logits.log_softmax(-1).gather(-1, index[..., None]).squeeze(-1)


Decoder = Callable[[Tensor, Gaussian, Gaussian], Tensor]
"""(x0, p, q) -> log-likelihood of x0, [B, *D] nats per element.

p is the network's Gaussian for x_0 given x_1; q is q(x_1|x_0) read as a Gaussian in x_0, with mean
x_1/a and variance 1/SNR(1). Each decoder uses one of them.
"""

DECODERS: dict[str, Decoder] = {
    "discretized_gaussian": lambda x0, p, q: discretized_gaussian_tanh(x0, p),
    "discretized_gaussian_exact": lambda x0, p, q: discretized_gaussian_exact(x0, p),
    "categorical": lambda x0, p, q: categorical(x0, q),
    "gaussian": lambda x0, p, q: normal_log_density(x0, p),
}
"""Named decoders. "gaussian" is a density, for data that are no grey levels; the others are
probabilities of grey levels and want a picture that has no other values."""


# --- one term ----------------------------------------------------------------------------------


TWO_STEPS = "the bound needs two steps or more: the decoder's variance is step 2's"


class Term(NamedTuple):
    """Everything that one term is made of; N counts pairs of an example and a step.

    Attributes:
        t: [N] int64.
        x_t: [N, *D] the noisy picture.
        prediction: what was used: clipped, where that was asked for.
        q: q(x_{t-1} | x_t, x_0), a point mass at t = 1.
        p: p(x_{t-1} | x_t); at t = 1 with the decoder's variance.
        nats: [N, *D] each element's share: KL(q || p), and -log p(x_0|x_1) at t = 1.
    """

    t: Tensor
    x_t: Tensor
    prediction: Prediction
    q: Gaussian
    p: Gaussian
    nats: Tensor


def per_example(x: Tensor) -> Tensor:
    """Sum [B, *D] over D: [B]."""
    return x.flatten(1).sum(1) if x.ndim > 1 else x


def reverse_gaussian(
    diffusion: GaussianDiffusion,
    x_t: Tensor,
    prediction: Prediction,
    t: Tensor,
    variance: str = "posterior",
) -> Gaussian:
    r"""The model's step: the true posterior's mean at the predicted picture, and a variance.

    $$p_\theta(x_{t-1}|x_t) = \mathcal N\left(\tilde\mu(x_t, \hat x_0),\ v_t\right), \qquad
    \log v_t \in \left\{\log\tilde\beta_t,\ \log\beta_t,\
    f\log\beta_t + (1-f)\log\tilde\beta_t\right\}$$

    Source: Ho et al. 2020, section 3.2; Nichol & Dhariwal 2021, eq. 15. The posterior's variance
    is 0 at t = 1, where a decoder needs one. As in improved-diffusion it is then that of step 2,
    also where the variance is beta; a learned one lies between the logarithms of beta_1 and
    of the posterior's variance at step 2.

    Args:
        diffusion: the process, T >= 2.
        x_t: [B, *D].
        prediction: x0 [B, *D], and var_fraction where the variance is learned.
        t: [B] int64 in 1..T.
        variance: key in `samplers.VARIANCES`.

    Raises:
        ValueError: for T = 1, an unknown name, or a learned variance that was not predicted.
    """
    if variance not in VARIANCES:
        raise ValueError(f"unknown variance {variance!r}; known are {', '.join(VARIANCES)}")
    if diffusion.T < 2:
        raise ValueError(TWO_STEPS)
    mean = diffusion.q_posterior(x_t, prediction.x0, t, t - 1).mean
    second = t.clamp(min=2)
    tilde = diffusion.posterior_coefficients(second, second - 1, x_t)[2]
    beta = diffusion.q_step(x_t.double(), t, t - 1).var
    if variance == "posterior":
        var = tilde
    elif variance == "beta":
        var = torch.where(t.to(x_t.device).reshape(tilde.shape) == 1, tilde, beta)
    else:
        if prediction.var_fraction is None:
            raise ValueError("this denoiser predicts no variance: choose 'posterior' or 'beta'")
        f = prediction.var_fraction.double()
        var = (f * beta.log() + (1 - f) * tilde.log()).exp()
    return Gaussian(mean, var.to(x_t.dtype))


def compare(
    diffusion: GaussianDiffusion,
    x0: Tensor,
    x_t: Tensor,
    t: Tensor,
    prediction: Prediction,
    variance: str,
    decoder: str,
) -> Term:
    r"""The term that each example's step t owns, from a prediction that was made already.

    $$L_{t-1} = D_{KL}\left(q(x_{t-1}|x_t,x_0)\,\Vert\,p_\theta(x_{t-1}|x_t)\right), \qquad
    L_0 = -\log p_\theta(x_0|x_1)$$

    Source: Ho et al. 2020, eq. 5. Differentiable in the prediction.
    """
    if decoder not in DECODERS:
        raise ValueError(f"unknown decoder {decoder!r}; known are {', '.join(DECODERS)}")
    p = reverse_gaussian(diffusion, x_t, prediction, t, variance)
    q = diffusion.q_posterior(x_t, x0, t, t - 1)
    first = (t == 1).to(x_t.device)
    # A point mass has no KL to a Gaussian, and an infinity that is thrown away still has a NaN
    # for a gradient: at t = 1 the KL is taken with variance 1, then replaced.
    spread = q.var.masked_fill(first.reshape(q.var.shape), 1.0)
    nats = Gaussian(q.mean, spread).kl(p)
    rows = first.nonzero().squeeze(1)
    if len(rows):
        a, sigma = (rate[rows].to(x_t.dtype) for rate in diffusion.rates(t, x_t))
        seen = Gaussian(x_t[rows] / a, (sigma / a).square())
        model = Gaussian(p.mean[rows], p.var[rows])
        nats = nats.index_put((rows,), -DECODERS[decoder](x0[rows], model, seen))
    return Term(t, x_t, prediction, q, p, nats)


def elbo_term(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    t: Tensor,
    eps: Tensor,
    *,
    variance: str = "posterior",
    clip_x0: bool = False,
    decoder: str = "discretized_gaussian",
    label: Tensor | None = None,
) -> Term:
    """Ask the denoiser at x_t (from x0 and eps), and compare its step with the true posterior.

    Args:
        diffusion: the process.
        denoiser: predicts x0.
        x0: [B, *D]; the denoiser is asked in its dtype, and the rest is float64.
        t: [B] int64 in 1..T.
        eps: [B, *D] standard noise.
        variance: key in `samplers.VARIANCES`.
        clip_x0: clip the prediction to [-1, 1].
        decoder: key in `likelihood.DECODERS`.
        label: [B] int64 classes, or None.

    Raises:
        ValueError: when a term is not a finite number or an answer has another shape, which is the
            denoiser's doing, and where the names or the process do not fit.
    """
    dtype, x0 = x0.dtype, x0.double()
    x_t = diffusion.q_sample(x0, t, eps.double())
    told = ask(denoiser, x_t.to(dtype), t, label)
    fraction = None if told.var_fraction is None else told.var_fraction.double()
    prediction = Prediction(told.x0.double(), told.eps.double(), fraction)
    if clip_x0:
        prediction = clip_prediction(diffusion, prediction, x_t, t)
    term = compare(diffusion, x0, x_t, t, prediction, variance, decoder)
    require_finite_nats(per_example(term.nats), t)
    return term


def require_finite_nats(nats: Tensor, t: Tensor) -> None:
    """Refuse a network whose answer makes a cost that is no number.

    Args:
        nats: [B], one cost per pair of an example and a step.
        t: [B], where it was asked; the message names the first place.

    Raises:
        ValueError: where a cost is NaN or infinite.
    """
    broken = ~torch.isfinite(nats).cpu()
    if bool(broken.any()):
        where = t.cpu()[broken][0].item()
        raise ValueError(f"the denoiser's answer at t = {where:g} gives no finite number of nats")


def standard_normal_kl(x0: Tensor, alpha_bar: Tensor) -> Tensor:
    r"""Nats by which a picture still shows through its noise, [B].

    $$\begin{aligned} & D_{KL}\left(\mathcal N(\sqrt{\bar\alpha}\,x_0, (1-\bar\alpha) I)\,
    \Vert\,\mathcal N(0, I)\right) \\
    & \quad = \tfrac12\textstyle\sum\left(\bar\alpha x_0^2 - \bar\alpha
    - \log(1-\bar\alpha)\right) \end{aligned}$$

    Source: Ho et al. 2020, eq. 5 (first term). 0 where alpha_bar is 0.
    """
    return per_example(0.5 * (alpha_bar * x0.square() - alpha_bar - torch.log1p(-alpha_bar)))


# --- the same denoising term in three currencies -------------------------------------------------


def term_from_mean(
    diffusion: GaussianDiffusion, x0: Tensor, x_t: Tensor, t: Tensor, prediction: Prediction
) -> Tensor:
    r"""One denoising term as a distance of means, [B] nats.

    $$L_{t-1} = \frac{1}{2\tilde\beta_t}\lVert\tilde\mu(x_t,x_0)
    - \tilde\mu(x_t,\hat x_0)\rVert^2$$

    Source: Ho et al. 2020, eq. 8, with the posterior's variance. t is in 2..T.
    """
    _require_later(t)
    q = diffusion.q_posterior(x_t, x0, t, t - 1)
    p = diffusion.q_posterior(x_t, prediction.x0, t, t - 1)
    return per_example((q.mean - p.mean).square() / (2 * q.var))


def term_from_x0(
    diffusion: GaussianDiffusion, x0: Tensor, x_t: Tensor, t: Tensor, prediction: Prediction
) -> Tensor:
    r"""The same term as a distance of pictures, [B] nats.

    $$\begin{aligned} L_{t-1} = {} & \tfrac12\left(\mathrm{SNR}(t-1) - \mathrm{SNR}(t)\right) \\
    & \cdot \lVert x_0-\hat x_0\rVert^2 \end{aligned}$$

    Source: Kingma et al. 2021, eq. 13. t is in 2..T.
    """
    _require_later(t)
    a, b = _neighbours(diffusion, t, x0)
    weight = (a - b) / ((1 - a) * (1 - b))  # the difference of the two SNRs, without rounding them
    return per_example(0.5 * weight.to(x0.dtype) * (x0 - prediction.x0).square())


def term_from_eps(
    diffusion: GaussianDiffusion, x0: Tensor, x_t: Tensor, t: Tensor, prediction: Prediction
) -> Tensor:
    r"""The same term as a distance of noises, [B] nats.

    $$L_{t-1} = \tfrac12\left(\frac{\mathrm{SNR}(t-1)}{\mathrm{SNR}(t)} - 1\right)
    \lVert\epsilon-\hat\epsilon\rVert^2, \qquad
    \frac{\mathrm{SNR}(t-1)}{\mathrm{SNR}(t)} - 1
    = \frac{\beta_t^2}{\tilde\beta_t\,\alpha_t\,(1-\bar\alpha_t)}$$

    Source: Kingma et al. 2021, eq. 14; the right side is Ho et al. 2020, eq. 12. t is in 2..T.

    Raises:
        ValueError: where no signal is left, and the noise says nothing about the picture.
    """
    _require_later(t)
    a, b = _neighbours(diffusion, t, x0)
    if bool((b == 0).any()):
        raise ValueError("the noise does not determine x0 where no signal is left")
    a_t, sigma = (rate.to(x0.dtype) for rate in diffusion.rates(t, x0))
    eps = (x_t - a_t * x0) / sigma
    weight = (a - b) / (b * (1 - a))
    return per_example(0.5 * weight.to(x0.dtype) * (eps - prediction.eps).square())


Form = Callable[[GaussianDiffusion, Tensor, Tensor, Tensor, Prediction], Tensor]

FORMS: dict[str, Form] = {"mean": term_from_mean, "x0": term_from_x0, "eps": term_from_eps}
"""(diffusion, x0, x_t, t, prediction) -> [B] nats. They agree to rounding, for a model with the
posterior's variance and a prediction whose x0 and eps belong together."""


def _neighbours(diffusion: GaussianDiffusion, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """alpha_bar at t - 1 and at t, each [B, 1, ...] float64."""
    before, now = (diffusion.alpha_bar(step, like) for step in (t - 1, t))
    return before, now


def _require_later(t: Tensor) -> None:
    if bool((t < 2).any()):
        raise ValueError("denoising terms begin at t = 2: step 1 owns the reconstruction")


# --- the bound as a training loss ----------------------------------------------------------------


def hybrid_loss(
    diffusion: GaussianDiffusion,
    x0: Tensor,
    x_t: Tensor,
    t: Tensor,
    prediction: Prediction,
    squared_error: Tensor,
    *,
    weight: float = 1e-3,
    decoder: str = "discretized_gaussian",
) -> Tensor:
    r"""Train the mean with the simple loss, and the variance with the bound.

    $$L_\text{hybrid} = L_\text{simple} + \lambda L_\text{vlb}, \qquad
    L_\text{vlb} \approx T \cdot L_{t-1}, \quad t \sim \text{uniform}$$

    Source: Nichol & Dhariwal 2021, eq. 16; improved-diffusion, `RESCALED_MSE`. No gradient of the
    second part reaches the predicted picture, only var_fraction. The second part is in bits per
    dimension, as there, because the first is a mean over dimensions.

    Args:
        diffusion: the process.
        x0: [B, *D].
        x_t: [B, *D].
        t: [B] int64, drawn uniformly from 1..T (otherwise weight the result by 1/(T p_t)).
        prediction: x0 and var_fraction, [B, *D].
        squared_error: [B] mean squared error of what the network predicts: L_simple.
        weight: lambda.
        decoder: key in `likelihood.DECODERS`.

    Returns:
        [B] in squared_error's dtype.

    Raises:
        ValueError: for T = 1, an unknown decoder, or a prediction without var_fraction.
    """
    fraction = prediction.var_fraction
    frozen = Prediction(
        prediction.x0.detach().double(),
        prediction.eps.detach(),
        None if fraction is None else fraction.double(),
    )
    term = compare(diffusion, x0.double(), x_t.double(), t, frozen, "learned", decoder)
    bits = term.nats.reshape(len(x0), -1).mean(1) / math.log(2)
    return squared_error + (weight * diffusion.T * bits).to(squared_error)
