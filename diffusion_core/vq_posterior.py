"""VQ-Diffusion's `q_posterior`, line by line: each intermediate has a name and can be looked at."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.discrete import DiscreteDiffusion
from diffusion_core.discrete_kernels import ClosedForm, Odds

LOG_ZERO = -69.07755278982137  # log(1e-30), the routine's zero
CLAMP = (-70.0, 0.0)


class VQPosterior(NamedTuple):
    """Every line of the routine, in log space; [B, *D, K], [MASK] last, where not said otherwise.

    With all switches on, the last is `mixture` of the same beliefs, to rounding.

    Attributes:
        log_x_t: one-hot x_t.
        marginal_row: row x_t of Q_bar_t; to be used as column x_t, of which it is a copy where Q is
            symmetric, that is on the real states.
        marginal_column: the real states' part, [B, *D, K-1]: q(x_t | x_0) over x_0. Where x_t is
            [MASK] it has been replaced: every x_0 is masked with the same probability.
        step_row: row x_t of Q_{t|s}.
        step_column: q(x_t | x_s) over x_s, replaced likewise. Where x_t is a class, [MASK]'s entry
            is 0, since a [MASK] becomes no class; the routine writes that 0 before it replaces.
        ratio: p(x_0 | x_t) / q(x_t | x_0) over x_0, with 0 for [MASK].
        log_sum: [B, *D, 1], its sum.
        weights: the ratio, divided by its sum: a distribution again.
        propagated: the weights pushed through Q_bar_s.
        joint: propagated times step_column, and the sum put back.
        result: the joint, clamped to [-70, 0].
    """

    log_x_t: Tensor
    marginal_row: Tensor
    marginal_column: Tensor
    step_row: Tensor
    step_column: Tensor
    ratio: Tensor
    log_sum: Tensor
    weights: Tensor
    propagated: Tensor
    joint: Tensor
    result: Tensor


def vq_posterior(
    diffusion: DiscreteDiffusion,
    x_t: Tensor,
    x0_log_probs: Tensor,
    t: Tensor,
    s: Tensor | None = None,
    *,
    replace_mask: bool = True,
    normalise: bool = True,
    put_back: bool = True,
    renormalise: bool = False,
) -> VQPosterior:
    r"""VQ-Diffusion's way to p(x_s | x_t), with switches that leave a step out.

    $$p(x_s|x_t) = q(x_t|x_s) \left[\frac{w}{\sum w}\,\bar Q_s\right]_{x_s} \sum w, \qquad
    w_{x_0} = \frac{p(x_0|x_t)}{q(x_t|x_0)}$$

    Source: Gu et al. 2022, eq. 5 and 11; their code's `q_posterior`, at s = t-1. `q_pred` adds
    beta_bar to every class as if its argument summed to 1, which is why w is normalised first.

    Args:
        diffusion: a process of `mask_and_replace`, or another closed form with [MASK] last.
        x_t: [B, *D] int64.
        x0_log_probs: [B, *D, K] log of the belief in each x_0; sets the precision, so that the
            same lines can be watched in float32.
        t: [B] int64.
        s: [B] int64; t - 1 where not given.
        replace_mask: replace the columns where x_t is [MASK]. The mask selects positions, not
            classes; without it the row of [MASK], with a 0 as its last entry, is used as its
            column, which it is not.
        normalise: divide the ratio by its sum before it is propagated.
        put_back: multiply by that sum afterwards.
        renormalise: make the result sum to 1 at the end.

    Raises:
        ValueError: for a process without [MASK] as its last state, or a closed form.
    """
    kernel = diffusion.kernel
    if not isinstance(kernel, ClosedForm) or kernel.mask != diffusion.K - 1:
        raise ValueError("this routine needs a closed-form process whose last state is [MASK]")
    if x0_log_probs.shape != (*x_t.shape, diffusion.K) or not x0_log_probs.is_floating_point():
        raise ValueError(f"x0_log_probs must be {(*x_t.shape, diffusion.K)} and floating point")
    s = t - 1 if s is None else s
    diffusion.q_likelihood(x_t, t, s)  # checks the arguments
    real = diffusion.K - 1
    t, s, clean = t.cpu(), s.cpu(), torch.zeros_like(t, device="cpu")
    to_t, step, to_s = (
        _log_odds(kernel.odds(*pair), real, x0_log_probs)
        for pair in ((t, clean), (t, s), (s, clean))
    )
    is_mask = (x_t == real)[..., None]
    zero = torch.full_like(x0_log_probs[..., :1], LOG_ZERO)

    one_hot = torch.nn.functional.one_hot(x_t, diffusion.K).to(x0_log_probs)
    log_x_t = one_hot.clamp(min=1e-30).log()

    marginal_row = _predict(log_x_t, to_t)
    marginal_column = marginal_row[..., :-1]
    step_row = _predict(log_x_t, step)
    step_column = torch.cat([step_row[..., :-1], zero], -1)
    if replace_mask:
        marginal_column = torch.where(is_mask, to_t.mask, marginal_column)
        certain = torch.cat([step.mask.expand_as(marginal_column), torch.zeros_like(zero)], -1)
        step_column = torch.where(is_mask, certain, step_column)

    ratio = torch.cat([x0_log_probs[..., :-1] - marginal_column, zero], -1)
    log_sum = ratio.logsumexp(-1, keepdim=True)
    weights = ratio - log_sum if normalise else ratio
    propagated = _predict(weights, to_s)
    joint = propagated + step_column + (log_sum if normalise and put_back else 0.0)
    result = joint.clamp(*CLAMP)
    if renormalise:
        result = joint.log_softmax(-1)
    return VQPosterior(
        log_x_t,
        marginal_row,
        marginal_column,
        step_row,
        step_column,
        ratio,
        log_sum,
        weights,
        propagated,
        joint,
        result,
    )


def _log_odds(odds: Odds, real: int, like: Tensor) -> Odds:
    """Log alpha, log beta (of one state), log gamma: [B, 1, ...] with `like`'s dtype and device."""
    shape = (-1, *[1] * (like.ndim - 1))
    shares = odds._replace(replace=odds.replace / real)
    return Odds(*(share.log().reshape(shape).to(like) for share in shares))


def _predict(log_probs: Tensor, odds: Odds) -> Tensor:
    """`q_pred`: one transition of a distribution, in log space; it must sum to 1."""
    unmasked = torch.log1p(-odds.mask.exp())
    kept = torch.logaddexp(log_probs[..., :-1] + odds.keep, odds.replace)
    return torch.cat([kept, torch.logaddexp(log_probs[..., -1:] + unmasked, odds.mask)], -1)
