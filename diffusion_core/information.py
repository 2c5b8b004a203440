"""What a discrete process forgets, and how fast: the yardsticks that make kernels comparable."""

from __future__ import annotations

import torch
from torch import Tensor

from diffusion_core.discrete import DiscreteDiffusion, require_probabilities, sample_categorical


def information_over_time(diffusion: DiscreteDiffusion, data_probs: Tensor) -> Tensor:
    """`mutual_information` of x_t with x_0, for all t at once, [T+1] float64, nats.

    Args:
        diffusion: the process; T times K squared numbers are held.
        data_probs: [K], distribution of x_0.
    """
    require_probabilities("the data distribution", data_probs)
    joint = data_probs.double()[:, None] * _all_rows(diffusion)
    outer = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    seen = joint > 0
    ratio = torch.where(seen, joint, 1.0) / torch.where(seen, outer, 1.0)
    return (joint * ratio.log()).sum((1, 2)).clamp(min=0)


def matched_step(information: Tensor, share: float) -> int:
    r"""The step at which about this share of the information is left.

    $$t^* = \arg\min_t\ \left| I(x_t; x_0) - \text{share} \cdot I(x_0; x_0) \right|$$

    Source: the yardstick is Austin et al. 2021, section 3.2. Of two equally near, the earlier one.

    Args:
        information: [T+1], from `information_over_time`.
        share: 0..1.
    """
    return int((information - share * information[0]).abs().argmin())


def forgetting(diffusion: DiscreteDiffusion, stationary: Tensor | None = None) -> Tensor:
    r"""How far the most stubborn start still is from the stationary distribution.

    $$d(t) = \max_i\ \tfrac12 \sum_j \left| [\bar Q_t]_{ij} - \pi_j \right|, \qquad
    \pi = \pi Q$$

    Source: Levin, Peres, Wilmer 2009, sections 1.5 and 4.4 (total variation); i runs over the
    real states.

    Args:
        diffusion: the process.
        stationary: pi, [K]; where not given, the one that the process knows.

    Returns:
        [T+1] float64: 1 is no overlap, 0 is all forgotten.

    Raises:
        ValueError: where no stationary distribution is known.
    """
    pi = diffusion.stationary if stationary is None else stationary
    if pi is None:
        raise ValueError("no stationary distribution is known for this process")
    starts = torch.tensor([i for i in range(diffusion.K) if i != diffusion.mask])
    far: Tensor = (_all_rows(diffusion)[:, starts] - pi).abs().sum(2).amax(1) / 2
    return far


def _all_rows(diffusion: DiscreteDiffusion) -> Tensor:
    """Q_bar_t for every t, [T+1, K, K] float64."""
    every = torch.arange(diffusion.K).expand(diffusion.T + 1, -1)
    return diffusion.q_marginal(every, torch.arange(diffusion.T + 1))


def stationary_of(Q: Tensor, doublings: int = 60) -> Tensor:
    r"""Where one step, repeated for ever, leads on average: a distribution that it keeps.

    $$\pi = \pi Q, \qquad \pi = \tfrac1K \mathbb 1^\top \left(\tfrac{I+Q}{2}\right)^{2^n}$$

    Source: Levin, Peres, Wilmer 2009, section 1.3: the lazy walk has the same stationary
    distributions and, unlike Q itself, never swings for ever.

    Args:
        Q: [K, K] float64, rows sum to 1.
        doublings: n.

    Returns:
        [K] float64; where there are several, the one that an even start leads to.
    """
    lazy = (Q + torch.eye(len(Q), dtype=Q.dtype)) / 2
    for _ in range(doublings):
        lazy = lazy @ lazy
        lazy = lazy / lazy.sum(1, keepdim=True)
    return lazy.mean(0)


def block_starts(K: int, most: int) -> list[int]:
    """First states of at most `most` blocks of neighbouring states, as equal as can be."""
    count = min(K, most)
    return [k * K // count for k in range(count)]


def block_matrix(diffusion: DiscreteDiffusion, t: int, s: int, starts: list[int]) -> Tensor:
    r"""Q between s and t, seen from afar: blocks of neighbouring states instead of states.

    $$B_{IJ} = \frac{1}{|I|} \sum_{i\in I} \sum_{j\in J} [Q_{t|s}]_{ij}$$

    Own definition: the chance that a state drawn evenly from block I lands in block J. Computed
    without the [K, K] matrix where the kernel has a closed form.

    Args:
        diffusion: the process.
        t: 0..T.
        s: 0..t.
        starts: first states of the blocks, from `block_starts`.

    Returns:
        [len(starts), len(starts)] float64; rows sum to 1.
    """
    block = torch.zeros(diffusion.K, dtype=torch.int64)
    block[starts[1:]] = 1
    member = torch.nn.functional.one_hot(block.cumsum(0), len(starts)).double()  # [K, blocks]
    even = (member / member.sum(0)).T
    return diffusion.q_push(even[None], torch.tensor([t]), torch.tensor([s]))[0] @ member


def forward_path(diffusion: DiscreteDiffusion, x0: Tensor, generator: torch.Generator) -> Tensor:
    r"""Walk from x_0 to x_T one step at a time, every element by itself.

    $$x_t \sim \operatorname{Cat}(x_{t-1} Q_t)$$

    Source: Austin et al. 2021, eq. 2.

    Args:
        diffusion: the process.
        x0: [N] int64.
        generator: draws the uniforms.

    Returns:
        [T+1, N] int64: x_0, x_1, ..., x_T.
    """
    path = [x0]
    for t in range(1, diffusion.T + 1):
        probs = diffusion.q_step(path[-1][None], torch.tensor([t]), torch.tensor([t - 1]))[0]
        uniforms = torch.rand(probs.shape, generator=generator, dtype=probs.dtype)
        path.append(sample_categorical(probs, uniforms))
    return torch.stack(path)
