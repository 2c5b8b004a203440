"""One categorical variable: both reverse rules and the truth as matrices, whole chains exactly.

Worlds so small that nothing has to be drawn: what a sampler would end up with is a product of
matrices. Rows are "from".
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from diffusion_core.denoisers import DiscreteDenoiser
from diffusion_core.discrete import REVERSE_RULES, DiscreteDiffusion
from diffusion_core.discrete_sampling import (
    belief,
    exact_denoiser,
    true_reverse_matrix,
)

# --- denoisers that are wrong in a known way ------------------------------------------------------


def tempered(denoiser: DiscreteDenoiser, temperature: float) -> DiscreteDenoiser:
    r"""A denoiser that is too sure of itself (temperature below 1), or not sure enough (above).

    $$\tilde p(x_0|x_t) \propto p(x_0|x_t)^{1/\tau}$$

    Source: Guo et al. 2017, eq. 9: the logits are divided by the temperature.

    Args:
        denoiser: what is distorted.
        temperature: tau, above 0.

    Raises:
        ValueError: for a temperature that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature must be above 0, not {temperature}")

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        return denoiser(x_t, t, label) / temperature

    return predict


def hedged(
    diffusion: DiscreteDiffusion, denoiser: DiscreteDenoiser, share: float
) -> DiscreteDenoiser:
    r"""A denoiser that keeps a share of its belief for an even guess over all real states.

    $$\tilde p(x_0|x_t) = (1-\lambda)\,p(x_0|x_t) + \lambda / K_{real}$$

    Source: Szegedy et al. 2016, section 7 (label smoothing leads a network there).

    Args:
        diffusion: the process; its [MASK] gets nothing.
        denoiser: what is distorted.
        share: lambda, 0..1.

    Raises:
        ValueError: for a share outside of 0..1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share must lie in 0..1, not {share}")
    even = _real(diffusion) / _real(diffusion).sum()

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        return ((1 - share) * belief(denoiser(x_t, t, label)) + share * even).log()

    return predict


def softmax_twice(diffusion: DiscreteDiffusion, denoiser: DiscreteDenoiser) -> DiscreteDenoiser:
    r"""A denoiser whose probabilities are taken for logits: a mistake that raises no error.

    $$\tilde p(x_0|x_t) \propto \exp\left(p(x_0|x_t)\right)$$

    Own definition. No state is more than e times as likely as another one afterwards.

    Args:
        diffusion: the process; its [MASK] stays impossible.
        denoiser: whose probabilities are mistaken.
    """
    ruled_out = _real(diffusion).log()

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        return belief(denoiser(x_t, t, label)) + ruled_out

    return predict


def blind(diffusion: DiscreteDiffusion, data_probs: Tensor) -> DiscreteDenoiser:
    r"""A denoiser that has not seen x_t: it answers with the data distribution, always.

    $$\tilde p(x_0|x_t) = \pi(x_0)$$

    Own definition: the belief with which the product rule is Bayes' rule, since the evidence then
    enters once, as q(x_t|x_s). Of several variables each would have to be judged by the others.

    Args:
        diffusion: the process.
        data_probs: pi, [K].
    """
    exact_denoiser(diffusion, data_probs)  # looks at the distribution
    logits = data_probs.double().log()

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        return logits.expand(*x_t.shape, -1)

    return predict


def _real(diffusion: DiscreteDiffusion) -> Tensor:
    """1 for every state that data can hold, 0 for [MASK]: [K] float64."""
    ones = torch.ones(diffusion.K, dtype=torch.float64)
    if diffusion.mask is not None:
        ones[diffusion.mask] = 0
    return ones


# --- reverse kernels and chains -------------------------------------------------------------------


def reverse_matrices(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    steps: Sequence[tuple[int, int]],
    *,
    rule: str = "mixture",
) -> Tensor:
    """Many reverse steps of one variable at once.

    Args:
        diffusion: the process.
        denoiser: predicts x_0 of [B] examples without further axes.
        steps: pairs (t, s), s < t.
        rule: key in `REVERSE_RULES`.

    Returns:
        [n, K, K] float64, rows are x_t, columns x_s; a row is 0 where the rule allows nothing.
    """
    n, K = len(steps), diffusion.K
    t, s = torch.tensor(steps, dtype=torch.int64).reshape(n, 2).repeat_interleave(K, 0).T
    x_t = torch.arange(K).repeat(n)
    probs = REVERSE_RULES[rule](diffusion, x_t, belief(denoiser(x_t, t, None)), t, s)
    return probs.reshape(n, K, K)


def chain_marginals(start: Tensor, moves: Tensor) -> Tensor:
    r"""What is drawn at every stop of a chain, exactly: no samples, matrices only.

    $$p(x_s) = \sum_{x_t} p(x_t)\,p_\theta(x_s|x_t)$$

    Source: Austin et al. 2021, section 2, summed over every path. Where a rule allows nothing
    (its row is 0), x_t stays as it is.

    Args:
        start: distribution of the first x_t, [K].
        moves: [n, K, K] from `reverse_matrices`, first step first.

    Returns:
        [n+1, K] float64, `start` first; each row sums to 1.
    """
    stuck = torch.diag_embed((moves.sum(-1) == 0).double())
    marginals = [start]
    for move in moves + stuck:
        marginals.append(marginals[-1] @ move)
    return torch.stack(marginals)


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    r"""How far apart two distributions are: the probability that would have to be moved.

    $$\operatorname{TV}(p, q) = \tfrac12 \sum_j \left| p_j - q_j \right|$$

    Source: Levin, Peres, Wilmer 2009, proposition 4.2.

    Args:
        p: [*, K].
        q: [*, K].

    Returns:
        [*], 0 (the same) to 1 (nothing in common).
    """
    return (p - q).abs().sum(-1) / 2


def stops(T: int, n: int) -> list[tuple[int, int]]:
    """N reverse steps from T to 0, as equal as can be: pairs (t, s)."""
    places = [T - (k * T) // n for k in range(n + 1)]
    return list(itertools.pairwise(places))


def chain_distances(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    data_probs: Tensor,
    counts: Sequence[int],
    *,
    rule: str = "mixture",
) -> list[tuple[list[int], Tensor]]:
    r"""How far a chain has strayed from the true process, at every stop on its way from T to 0.

    $$\operatorname{TV}\left(p_\theta(x_t),\ q(x_t)\right), \qquad
    q(x_t) = \sum_{x_0} \pi(x_0)\,q(x_t|x_0), \qquad p_\theta(x_T) = q(x_T)$$

    Own definition: the chain starts at the true q(x_T), so that every distance is the rule's and
    the denoiser's doing. Summed exactly.

    Args:
        diffusion: the process.
        denoiser: predicts x_0.
        data_probs: pi, [K].
        counts: numbers of steps, each in 1..T: one chain for each.
        rule: key in `REVERSE_RULES`.

    Returns:
        For each count the stops, T first and 0 last, and the distances there, [count+1].
    """
    every = [stops(diffusion.T, n) for n in counts]
    moves = reverse_matrices(diffusion, denoiser, list(itertools.chain(*every)), rule=rule)
    t = torch.arange(diffusion.T + 1)
    truth = diffusion.q_push(data_probs.double().expand(len(t), -1), t, torch.zeros_like(t))
    found = []
    for steps, own in zip(every, torch.split(moves, [*counts]), strict=True):
        places = [diffusion.T, *(s for _, s in steps)]
        marginals = chain_marginals(truth[-1], own)
        found.append((places, total_variation(marginals, truth[places])))
    return found


def rule_error(
    diffusion: DiscreteDiffusion, data_probs: Tensor, t: int, s: int, matrix: Tensor
) -> tuple[Tensor, float]:
    r"""What a reverse kernel gets wrong, cell by cell and on average.

    $$\sum_{x_t} q(x_t)\,\operatorname{TV}\left(p_\theta(\cdot|x_t),\ q(\cdot|x_t)\right)$$

    Own definition: the average is over the x_t that the true process shows.

    Args:
        diffusion: the process.
        data_probs: pi, [K].
        t: where the step starts.
        s: where it ends, any s < t.
        matrix: [K, K], rows are x_t, columns x_s.

    Returns:
        matrix minus truth, [K, K] float64, with rows of NaN where x_t can't occur; the average.
    """
    shown = data_probs.double() @ diffusion.q_marginal_matrix(t)
    truth = true_reverse_matrix(diffusion, data_probs, t, s)
    average = float(shown @ total_variation(matrix, truth))
    error = torch.where(truth.sum(1, keepdim=True) > 0, matrix - truth, torch.nan)
    return error, average


BELIEFS: dict[str, Callable[[DiscreteDiffusion, Tensor, float], DiscreteDenoiser]] = {
    "exact": lambda diffusion, data, amount: exact_denoiser(diffusion, data),
    "tempered": lambda diffusion, data, amount: tempered(exact_denoiser(diffusion, data), amount),
    "hedged": lambda diffusion, data, amount: hedged(
        diffusion, exact_denoiser(diffusion, data), amount
    ),
    "twice": lambda diffusion, data, amount: softmax_twice(
        diffusion, exact_denoiser(diffusion, data)
    ),
    "blind": lambda diffusion, data, amount: blind(diffusion, data),
}
"""Name -> denoiser of (diffusion, data distribution, amount); only two of them use the amount:
the temperature of "tempered", the share of "hedged"."""
