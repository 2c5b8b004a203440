"""Guidance: denoisers made of denoisers, pushed towards a class. A sampler notices nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from diffusion_core.denoisers import Denoiser, DiscreteDenoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import Prediction

Gradient = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(x_t [B, *D], t [B], label [B] or None) -> gradient of log p(label | x_t) by x_t, [B, *D]."""


def guided(denoiser: Denoiser, scale: float) -> Denoiser:
    r"""Classifier-free guidance: away from "any picture", through and past the asked class.

    $$\hat\epsilon = \epsilon_\theta(x_t) + s\,\big(\epsilon_\theta(x_t|y)
    - \epsilon_\theta(x_t)\big)$$

    Source: Ho & Salimans 2022, eq. 6, whose w is s - 1. Scale 0 forgets the class, 1 is the plain
    class-conditional denoiser, more exaggerates it. GLIDE (Nichol et al. 2021, section 2.3),
    Imagen (Saharia et al. 2022, eq. 2, where it is called w) and diffusers' `guidance_scale` count
    as this does.

    The weights sum to 1, so x0 mixes with the same two numbers and stays consistent with eps. The
    denoiser is asked twice per look, with the label and with None; once where no label is given,
    or where the scale is 0 or 1. A learned variance is the conditional one, unless the scale is 0.

    Args:
        denoiser: one that knows both: a class, and None for "any".
        scale: s.

    Raises:
        ValueError: when scale is not a finite number.
    """
    _require_finite(scale)

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        if scale == 0:
            return denoiser(x_t, t, None)
        asked = denoiser(x_t, t, label)
        if label is None or scale == 1:
            return asked
        anyone = denoiser(x_t, t, None)
        return asked._replace(
            x0=anyone.x0 + scale * (asked.x0 - anyone.x0),
            eps=anyone.eps + scale * (asked.eps - anyone.eps),
        )

    return predict


def guided_belief(denoiser: DiscreteDenoiser, scale: float) -> DiscreteDenoiser:
    r"""Classifier-free guidance of a belief over categories.

    $$\log p_s(x_0|x_t,y) = \log p_\theta(x_0|x_t) + s\,\big(\log p_\theta(x_0|x_t,y)
    - \log p_\theta(x_0|x_t)\big) + \text{const}$$

    Source: Tang et al. 2022 (Improved VQ-Diffusion), section 3.1, whose s is ours minus 1. Scale,
    label and number of calls are as in `guided`. Elements are guided one by one, so the product
    over them is no guided distribution of whole pictures.

    Args:
        denoiser: one that knows both: a class, and None for "any".
        scale: s.

    Raises:
        ValueError: when scale is not a finite number.
    """
    _require_finite(scale)

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        if scale == 0:  # what the class rules out is not ruled out then
            return denoiser(x_t, t, None)
        asked = denoiser(x_t, t, label)
        if label is None or scale == 1:
            return asked
        asked, anyone = asked.log_softmax(-1), denoiser(x_t, t, None).log_softmax(-1)
        mixed = anyone + scale * (asked - anyone)
        # What either rules out stays so: -inf minus -inf is no number.
        return mixed.masked_fill(asked.isneginf() | anyone.isneginf(), -math.inf)

    return predict


def classifier_guided(
    diffusion: GaussianDiffusion, denoiser: Denoiser, gradient: Gradient, scale: float = 1.0
) -> Denoiser:
    r"""Classifier guidance: add a classifier's gradient to the score.

    $$\hat\epsilon = \epsilon_\theta(x_t) - s\,\sqrt{1-\bar\alpha_t}\;\nabla_{x_t}\log p(y|x_t),
    \qquad \hat x_0 = \frac{x_t - \sqrt{1-\bar\alpha_t}\,\hat\epsilon}{\sqrt{\bar\alpha_t}}$$

    Source: Dhariwal & Nichol 2021, algorithm 2 and eq. 14 (score form, guided-diffusion's
    `condition_score`; s is section 4.3's). With s = 1 and an unconditional denoiser this is Bayes'
    rule: the score of p(x_t|y). The form that shifts the posterior's mean instead (their
    algorithm 1) differs once steps are long.

    guided-diffusion clips x0 before it adds the gradient and not again; `sample(clip_x0=True)`
    clips what this returns.

    Args:
        diffusion: the process the denoiser was trained for.
        denoiser: what is guided; it gets the label, too. One that heeds it is guided already, and s
            counts from there: with exact scores s does then what 1 + s does in `guided`.
        gradient: of log p(label | x_t), for noisy pictures.
        scale: s; 0 leaves the denoiser as it is.

    Raises:
        ValueError: when scale is not finite, or (when called) where no signal is left in x_t, so
            that no change of eps can be read as one of x0.
    """
    _require_finite(scale)

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        if scale == 0:
            return denoiser(x_t, t, label)
        a, sigma = diffusion.rates(t, x_t)
        if bool((a == 0).any()):
            raise ValueError("a picture without any signal cannot be guided by a gradient")
        p, push = denoiser(x_t, t, label), scale * gradient(x_t, t, label)
        return p._replace(
            x0=p.x0 + (sigma.square() / a).to(x_t.dtype) * push,
            eps=p.eps - sigma.to(x_t.dtype) * push,
        )

    return predict


def _require_finite(scale: float) -> None:
    if not math.isfinite(scale):
        raise ValueError(f"the guidance scale must be a finite number, not {scale}")
