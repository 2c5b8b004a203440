"""A codebook: vectors replaced by the nearest of a few codes, and three ways for codes to learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

DEAD = 0.02
"""A code is dead where it replaces, on average, less than this part of its even share."""
FRESH = 0.25
"""The part of that share that a code which starts anew is credited with."""


def nearest_code(z: Tensor, codes: Tensor) -> Tensor:
    r"""The number of the code that each vector is replaced by.

    $$k = \arg\min_j \lVert z - e_j\rVert, \qquad z_q = e_k$$

    Of two that are equally near, the first.

    Source: van den Oord et al. 2017, eq. 1 and 2.

    Args:
        z: [N, d] vectors.
        codes: [K, d].

    Returns:
        [N] int64, in 0..K-1.
    """
    return distances(z, codes).argmin(1)


def distances(z: Tensor, codes: Tensor) -> Tensor:
    """Squared distance of each vector [N, d] from each code [K, d]: [N, K]."""
    return (z[:, None] - codes).square().sum(-1)


def quantisation_error(z: Tensor, codes: Tensor) -> Tensor:
    r"""How far vectors are from the codes that replace them.

    $$\frac1N\sum_i \min_k \lVert z_i - e_k\rVert^2$$

    Args:
        z: [N, d] vectors.
        codes: [K, d].

    Returns:
        The mean squared distance, a scalar.
    """
    return distances(z, codes).amin(1).mean()


def perplexity(number: Tensor, K: int) -> float:
    r"""With how many equally frequent codes one would have to guess as much.

    $$\exp\left(-\sum_k p_k \log p_k\right), \qquad p_k = \frac{n_k}{N}$$

    K where all codes are used alike, 1 where one replaces everything. Its binary logarithm is the
    number of bits that a token takes, on average, in a code made for these frequencies.

    Args:
        number: int64, any shape: the codes that replaced something.
        K: how many there are.
    """
    share = number.flatten().bincount(minlength=K).double() / number.numel()
    return float(torch.special.entr(share).sum().exp())


def line_error(width: float, K: int) -> float:
    r"""The smallest error that K codes leave of numbers spread evenly over an interval.

    $$\frac1\Delta\int_{-\Delta/2}^{\Delta/2} u^2\,du = \frac{\Delta^2}{12}, \qquad
    \Delta = \frac{\text{width}}{K}$$

    Args:
        width: of the interval.
        K: codes, each in the middle of a piece of length Delta.
    """
    return (width / K) ** 2 / 12


# --- how codes learn ------------------------------------------------------------------------------


def gradient_step(z: Tensor, codes: Tensor, rate: float) -> Tensor:
    r"""One step down the codebook's term of the loss.

    $$\frac1N\sum_i\lVert \operatorname{sg}[z_i]-e_{k_i}\rVert^2, \qquad
    e_k \leftarrow e_k - \text{rate}\cdot\frac{2n_k}{N}\,(e_k - \bar z_k)$$

    A code that replaced nothing has the gradient 0; others are drawn to the mean of the n vectors
    that they replaced.

    Source: van den Oord et al. 2017, eq. 3, the second term.

    Args:
        z: [N, d] vectors; they do not move.
        codes: [K, d].
        rate: of the step.

    Returns:
        [K, d] where the codes are next.
    """
    count, total = replaced(z, nearest_code(z, codes), len(codes))
    return codes - rate * 2 / len(z) * (count[:, None] * codes - total)


class Averages(NamedTuple):
    """What moving averages remember.

    Attributes:
        weight: [K] decayed number of vectors that each code replaced.
        total: [K, d] decayed sum of them.
        eps: as in `smoothed`.
    """

    weight: Tensor
    total: Tensor
    eps: float = 0.0

    @property
    def codes(self) -> Tensor:
        """[K, d]: the sums over the numbers."""
        return self.total / smoothed(self.weight, self.eps)[:, None]


def smoothed(weight: Tensor, eps: float) -> Tensor:
    r"""Decayed numbers that are kept from 0, so that nothing is divided by it.

    $$\hat N_k = n\,\frac{N_k + \varepsilon}{n + K\varepsilon}, \qquad n = \sum_k N_k$$

    Their sum is n, as before. A code that replaces nothing has sum and number shrink alike, and
    stays where it is, until the number is as small as epsilon: then it is drawn to 0.

    Source: the VQ-VAE's authors' code, Sonnet's `VectorQuantizerEMA`.

    Args:
        weight: [K] decayed numbers, N.
        eps: 0 leaves them as they are.
    """
    n = weight.sum()
    return n * (weight + eps) / (n + len(weight) * eps)


def credited(codes: Tensor, N: int, eps: float = 0.0) -> Averages:
    """Averages that begin at these codes [K, d], as if each had replaced its share of N vectors."""
    weight = torch.full((len(codes),), N / len(codes), dtype=codes.dtype)
    return Averages(weight, weight[:, None] * codes, eps)


def moving_average_step(z: Tensor, held: Averages, decay: float) -> Averages:
    r"""Each code becomes a moving average of what it replaced.

    $$N_k \leftarrow \gamma N_k + (1-\gamma)\,n_k, \qquad
    m_k \leftarrow \gamma m_k + (1-\gamma)\sum_{i:\,k_i=k} z_i, \qquad
    e_k = \frac{m_k}{N_k}$$

    No rate to choose, and no gradient. With gamma = 0 and all data at once it is the step of
    k-means (Lloyd 1982): each code goes to the mean of its vectors.

    Source: van den Oord et al. 2017, appendix A.1.

    Args:
        z: [N, d] vectors.
        held: what there was before.
        decay: gamma, 0 up to but not 1.

    Returns:
        What there is next. A code of weight 0, which replaced nothing under gamma = 0, stays where
        it is.
    """
    count, total = replaced(z, nearest_code(z, held.codes), len(held.weight))
    new = Averages(
        decay * held.weight + (1 - decay) * count,
        decay * held.total + (1 - decay) * total,
        held.eps,
    )
    gone = new.weight <= 0
    tiny = torch.finfo(z.dtype).tiny ** 0.5
    return Averages(
        torch.where(gone, tiny, new.weight),
        torch.where(gone[:, None], tiny * held.codes, new.total),
        held.eps,
    )


def restart_dead(z: Tensor, held: Averages) -> tuple[Averages, Tensor]:
    """Codes that replace hardly anything start anew at vectors that are served badly.

    Args:
        z: [N, d] vectors.
        held: the averages.

    Returns:
        The averages after it, and which codes were dead, [K] bool.
    """
    share = len(z) / len(held.weight)
    dead = held.weight < DEAD * share
    if not dead.any():
        return held, dead
    fresh = worst_served(z, distances(z, held.codes).amin(1), int(dead.sum()))
    weight = held.weight.masked_fill(dead, FRESH * share)
    total = held.total.clone()
    total[dead] = FRESH * share * fresh
    return Averages(weight, total, held.eps), dead


def worst_served(z: Tensor, distance: Tensor, count: int) -> Tensor:
    """`count` of the vectors z [N, d], picked by their squared distance [N] to their code.

    A vector's chance is in proportion to that (Arthur & Vassilvitskii 2007), in a systematic draw:
    evenly spaced points on the running sum, without randomness.
    """
    run = distance.double().cumsum(0)
    points = (torch.arange(count, device=z.device) + 0.5) / max(count, 1) * run[-1]
    return z[torch.searchsorted(run, points).clamp(max=len(z) - 1)]


def replaced(z: Tensor, number: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """How many vectors z [N, d] each of K codes replaced, [K], and their sums, [K, d]."""
    count = torch.zeros(K, dtype=z.dtype).index_add_(0, number, torch.ones_like(z[:, 0]))
    return count, torch.zeros(K, z.shape[1], dtype=z.dtype).index_add_(0, number, z)


RULES = ("gradient", "average", "smoothed", "restart")
EPS = 1e-5
"""Of the rule "smoothed"; Sonnet's."""


def learn_codes(
    z: Tensor, codes: Tensor, rule: str, *, steps: int, rate: float = 1.0, decay: float = 0.9
) -> Iterator[tuple[Tensor, Tensor]]:
    """Codes learning from vectors that stand still, all of them in every step.

    Args:
        z: [N, d] vectors.
        codes: [K, d] where they begin.
        rule: "gradient", "average", "smoothed" for averages with an epsilon, or "restart" for
            averages whose dead codes start anew.
        steps: how many.
        rate: of the gradient.
        decay: of the averages.

    Yields:
        `steps` + 1 times the codes [K, d], and which have just started anew [K] bool.

    Raises:
        ValueError: for another rule.
    """
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; known are {', '.join(RULES)}")
    dead = torch.zeros(len(codes), dtype=torch.bool)
    held = credited(codes, len(z), EPS if rule == "smoothed" else 0.0)
    yield codes, dead
    for _ in range(steps):
        if rule == "gradient":
            codes = gradient_step(z, codes, rate)
        else:
            held = moving_average_step(z, held, decay)
            if rule == "restart":
                held, dead = restart_dead(z, held)
            codes = held.codes
        yield codes, dead
