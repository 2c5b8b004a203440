"""Where the bits of one example go: the discrete bound term by term, with a look at each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.denoisers import DiscreteDenoiser
from diffusion_core.discrete import DiscreteDiffusion
from diffusion_core.discrete_elbo import vb_terms
from diffusion_core.discrete_sampling import belief
from diffusion_core.likelihood import per_example


class DiscreteEntry(NamedTuple):
    """A line of the ledger: the cost of some steps in a row, and a close look at the last of them.

    Attributes:
        steps: within 1..T.
        nats: [len(steps)] float64, the cost of each.
        x_t: [*D] int64 at the last step.
        x0_probs: [*D, K] float64, what the network believes there.
        share: [*D] nats, what each element contributes at the last step.
    """

    steps: range
    nats: Tensor
    x_t: Tensor
    x0_probs: Tensor
    share: Tensor


def discrete_ledger(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    x0: Tensor,
    parts: Sequence[range],
    *,
    rule: str = "mixture",
    label: Tensor | None = None,
    batch: int = 32,
    generator: torch.Generator,
) -> Iterator[DiscreteEntry]:
    r"""Walk through the bound of one example; stop asking, and nothing more is computed.

    $$-\log p_\theta(x_0) \le L_T + \sum_{t=2}^{T} L_{t-1} + L_0$$

    Source: Austin et al. 2021, eq. 1. The costs are those of `discrete_elbo_terms` with the same
    generator; L_T is `discrete_elbo.prior_term`.

    Args:
        diffusion: the process.
        denoiser: predicts x_0.
        x0: [1, *D] int64.
        parts: consecutive runs of steps from 1 on, as `ledger.chapters` gives them.
        rule: key in `REVERSE_RULES`.
        label: [1] int64 class, or None.
        batch: steps per call of the denoiser.
        generator: draws the x_t.

    Yields:
        An entry for each part.

    Raises:
        ValueError: for more than one example.
    """
    if len(x0) != 1:
        raise ValueError(f"the ledger is one example's, not that of {len(x0)}")

    def walk() -> Iterator[DiscreteEntry]:
        costs = torch.zeros(0, dtype=torch.float64)  # of steps 1, 2, ... as far as they are known
        waiting = list(parts)
        while waiting:
            steps = range(len(costs) + 1, min(len(costs) + batch, parts[-1][-1]) + 1)
            t = torch.tensor(steps)
            many = x0.expand(len(steps), *x0.shape[1:])
            x_t = diffusion.q_sample(many, t, generator)
            logits = denoiser(x_t, t, None if label is None else label.expand(len(steps)))
            nats = vb_terms(diffusion, logits, x_t, many, t, rule=rule)
            costs = torch.cat([costs, per_example(nats)])
            while waiting and waiting[0][-1] in steps:
                part = waiting.pop(0)
                row = part[-1] - steps[0]
                yield DiscreteEntry(
                    part,
                    costs[part[0] - 1 : part[-1]],
                    x_t[row],
                    belief(logits[row]),
                    nats[row],
                )

    return walk()
