"""VQ-Diffusion's routine held against Bayes' rule by counting, line by line."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.discrete import DiscreteDiffusion
from diffusion_core.vq_posterior import VQPosterior, vq_posterior

SWITCHES: dict[str, dict[str, bool]] = {
    "nothing": {},
    "the [MASK] replacement": {"replace_mask": False},
    "the normalisation": {"normalise": False},
    "it, and normalise at the end": {"normalise": False, "renormalise": True},
    "putting the sum back": {"put_back": False},
}
"""What can be left out of the routine, as arguments of `vq_posterior`."""


class Counted(NamedTuple):
    """What the routine's lines should be, without logarithms; [B, N, ...].

    Attributes:
        marginal_column: q(x_t | x_0) over the real x_0, [B, N, K-1].
        step_column: q(x_t | x_s) over x_s, [B, N, K].
        ratio: belief in each real x_0 over marginal_column, [B, N, K-1].
        weights: the ratio, divided by its sum.
        propagated: distribution of x_s that the weights lead to, [B, N, K].
        result: p(x_s | x_t), [B, N, K].
    """

    marginal_column: Tensor
    step_column: Tensor
    ratio: Tensor
    weights: Tensor
    propagated: Tensor
    result: Tensor


class Audited(NamedTuple):
    """One line of the routine beside what it should be.

    Attributes:
        name: a field of `VQPosterior`.
        ours: what the routine has there, without logarithm, [B, N, n] float64.
        exact: what it should be, [B, N, n] float64.
    """

    name: str
    ours: Tensor
    exact: Tensor

    @property
    def error(self) -> Tensor:
        """Largest difference, [B, N]; of entries above 1, as a share of the largest of them."""
        scale = self.exact.amax(-1).clamp(min=1)
        gap = (self.ours - self.exact).abs().amax(-1)
        return gap / scale


def counted(
    diffusion: DiscreteDiffusion, x_t: Tensor, x0_probs: Tensor, t: Tensor, s: Tensor
) -> Counted:
    r"""Bayes' rule with whole matrices and a sum over every x_0; slow, and sure.

    $$p(x_s|x_t) = \sum_{x_0} p(x_0|x_t)\,
    \frac{[Q_{t|s}]_{x_s x_t}\,[\bar Q_s]_{x_0 x_s}}{[\bar Q_t]_{x_0 x_t}}$$

    Source: Gu et al. 2022, eq. 5 and 11. Every matrix is a product of one-step matrices.

    Args:
        diffusion: a process whose last state is [MASK].
        x_t: [B, N] int64.
        x0_probs: [B, N, K] float64.
        t: [B] int64.
        s: [B] int64, s < t.
    """
    identity = torch.eye(diffusion.K, dtype=torch.float64)
    bars, steps = [identity], [identity]
    for k in range(1, int(t.max()) + 1):
        steps.append(diffusion.q_step_matrix(k))
        bars.append(bars[-1] @ steps[-1])
    pieces = []
    for b, (after, before) in enumerate(zip(t.tolist(), s.tolist(), strict=True)):
        between = identity
        for k in range(before + 1, after + 1):
            between = between @ steps[k]
        column = bars[after][:-1, x_t[b]].T  # [N, K-1]
        step = between[:, x_t[b]].T
        ratio = x0_probs[b, :, :-1] / column
        weights = ratio / ratio.sum(-1, keepdim=True)
        posterior = step[:, None] * bars[before][:-1] / column[..., None]  # [N, x_0, x_s]
        result = (x0_probs[b, :, :-1, None] * posterior).sum(1)
        pieces.append(Counted(column, step, ratio, weights, weights @ bars[before][:-1], result))
    return Counted(*(torch.stack(column) for column in zip(*pieces, strict=True)))


def audit(
    diffusion: DiscreteDiffusion,
    x_t: Tensor,
    x0_log_probs: Tensor,
    t: Tensor,
    s: Tensor,
    *,
    leave_out: str = "nothing",
    exact: Counted | None = None,
) -> list[Audited]:
    """Run the routine, and set each of its lines beside what it should be.

    Args:
        diffusion: as for `vq_posterior`.
        x_t: [B, N] int64.
        x0_log_probs: [B, N, K]; its dtype is the routine's, the counting is in float64.
        t: [B] int64.
        s: [B] int64.
        leave_out: a key of `SWITCHES`.
        exact: from `counted`, where it is known already.

    Returns:
        Eight lines in the order of the routine; each "row" is held against the column that it is
        to be used as.
    """
    lines = vq_posterior(diffusion, x_t, x0_log_probs, t, s, **SWITCHES[leave_out])
    if exact is None:
        exact = counted(diffusion, x_t, x0_log_probs.double().exp(), t, s)
    pairs: list[tuple[str, Tensor]] = [
        ("marginal_row", exact.marginal_column),
        ("marginal_column", exact.marginal_column),
        ("step_row", exact.step_column),
        ("step_column", exact.step_column),
        ("ratio", exact.ratio),
        ("weights", exact.weights),
        ("propagated", exact.propagated),
        ("result", exact.result),
    ]
    return [Audited(name, _plain(lines, name, right.shape[-1]), right) for name, right in pairs]


def _plain(lines: VQPosterior, name: str, width: int) -> Tensor:
    log: Tensor = getattr(lines, name)
    return log[..., :width].double().exp()
