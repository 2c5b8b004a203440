"""Surprise, entropy and divergence: of a few letters, with real codes, and of curves."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.descent import minimise


def entropy(p: Tensor) -> Tensor:
    r"""How many nats a draw of p surprises by, on average.

    $$H(p) = -\sum_k p_k \log p_k$$

    Source: Shannon 1948, section 6. What is never drawn adds nothing.

    Args:
        p: [*, K] probabilities.

    Returns:
        [*] nats.
    """
    nats: Tensor = torch.special.entr(p).sum(-1)
    return nats


def cross_entropy(p: Tensor, q: Tensor) -> Tensor:
    r"""How many nats a draw of p surprises by, on average, one who believes in q.

    $$H(p, q) = -\sum_k p_k \log q_k$$

    $$D_{KL}(p\|q) = H(p, q) - H(p)$$

    Source: Cover & Thomas 2006, theorem 5.4.3, for code lengths.

    Args:
        p: [*, K] what is drawn from.
        q: [*, K] what is believed.

    Returns:
        [*] nats; infinite where q rules out what can be drawn.
    """
    drawn = p > 0
    return -(p * torch.where(drawn, q, 1.0).log()).sum(-1)


def kl_div_terms(a: Tensor, b: Tensor) -> Tensor:
    r"""What PyTorch's `kl_div(a, b)` adds for each letter: the second argument is the first in KL.

    $$b_k\,(\log b_k - a_k), \qquad \sum_k b_k\,(\log b_k - a_k) = D_{KL}(b\|e^a)$$

    Source: PyTorch's manual, KLDivLoss, with log_target=False. So a must be log q and b must be p.

    Args:
        a: [*, K] meant to be log-probabilities; nothing checks it.
        b: [*, K] meant to be probabilities.

    Returns:
        [*, K] nats; NaN where b is 0 and a is minus infinity, as there.
    """
    nats: Tensor = torch.special.xlogy(b, b) - b * a
    return nats


def log_ratio(p: Tensor, q: Tensor) -> Tensor:
    r"""What one draw says of KL(p||q): its average over draws of p is the divergence.

    $$\log\frac{p_k}{q_k}, \qquad D_{KL}(p\|q) = \sum_k p_k \log\frac{p_k}{q_k} \ge 0$$

    Source: Cover & Thomas 2006, eq. 2.26 and theorem 2.6.3.

    Args:
        p: [*, K] what is drawn from.
        q: [*, K] what is believed.

    Returns:
        [*, K] nats, below 0 wherever q is above p; 0 for what is never drawn.
    """
    drawn = p > 0
    return torch.where(drawn, p, 1.0).log() - torch.where(drawn, q, 1.0).log()


def huffman_code(q: Sequence[float]) -> list[str]:
    """The shortest code in which no word begins another one, for letters drawn from q.

    Source: Huffman 1952: the two rarest letters become one, until one is left. Its mean length
    lies between H(q) and H(q) + 1 bit (Cover & Thomas 2006, theorem 5.4.1). Among equals the first
    goes first, so that one q has one code.

    Args:
        q: a weight per letter, at least two of them.

    Returns:
        A word of 0 and 1 per letter.
    """
    words = [""] * len(q)
    heap = [(weight, k, [k]) for k, weight in enumerate(q)]
    heapq.heapify(heap)
    while len(heap) > 1:
        rarest, order, some = heapq.heappop(heap)
        next_one, _, others = heapq.heappop(heap)
        for digit, letters in (("1", some), ("0", others)):
            for k in letters:
                words[k] = digit + words[k]
        heapq.heappush(heap, (rarest + next_one, order, some + others))
    return words


def coded(letters: Tensor, words: Sequence[str]) -> str:
    """A message [N] of letters 0..K-1 as one string of 0 and 1."""
    return "".join(words[k] for k in letters.tolist())


def decoded(bits: str, words: Sequence[str]) -> list[int]:
    """The letters of a string of 0 and 1: a word is over as soon as it is one.

    Raises:
        ValueError: where the string ends within a word.
    """
    letter_of = {word: k for k, word in enumerate(words)}
    letters, word = [], ""
    for bit in bits:
        word += bit
        if word in letter_of:
            letters.append(letter_of[word])
            word = ""
    if word:
        raise ValueError("the message ends within a word")
    return letters


# --- curves ---------------------------------------------------------------------------------------


class Curves(NamedTuple):
    """Log densities on an even grid.

    Attributes:
        x: [N] float64.
        log_p: [N].
        log_q: [N].
    """

    x: Tensor
    log_p: Tensor
    log_q: Tensor


def divergence(curves: Curves) -> float:
    r"""Nats wasted on draws of p by a code for q, as a sum over the grid.

    $$D_{KL}(p\|q) = \int p(x) \log\frac{p(x)}{q(x)}\,dx \ge 0$$

    Source: Kullback & Leibler 1951.
    """
    step = float(curves.x[1] - curves.x[0])
    return float((curves.log_p.exp() * (curves.log_p - curves.log_q)).sum()) * step


def flipped(curves: Curves) -> Curves:
    """The same, p and q in each other's place."""
    return Curves(curves.x, curves.log_q, curves.log_p)


def normal_log_density(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    r"""Log density of N(mean, std^2) at x.

    $$\log\mathcal N(x) = -\frac{(x-\mu)^2}{2\sigma^2} - \log\sqrt{2\pi}\,\sigma$$
    """
    return -0.5 * ((x - mean) / std).square() - std.log() - 0.5 * math.log(2 * math.pi)


def covering_normal(x: Tensor, log_p: Tensor) -> tuple[float, float]:
    r"""The normal with the smallest KL(p||q): p's own mean and standard deviation.

    $$\arg\min_q D_{KL}(p\|q) = \mathcal N\left(E_p[x], \operatorname{Var}_p[x]\right)$$

    Source: Bishop 2006, section 10.7 (matching moments).
    """
    share = log_p.softmax(0)
    mean = float(share @ x)
    return mean, float((share @ (x - mean).square()).sqrt())


def seeking_normal(x: Tensor, log_p: Tensor, start: tuple[float, float]) -> tuple[float, float]:
    """The normal with the smallest KL(q||p) near one to start with: mean, standard deviation.

    It has no formula; found by walking down the sum over the grid. Source: Bishop 2006, section
    10.1.2: where p has peaks far apart, it sits on one of them.
    """
    step = x[1] - x[0]

    def loss(numbers: Tensor) -> Tensor:
        # Cut to the grid: one so wide that it is next to nothing on it would seem to cost nothing.
        log_q = normal_log_density(x, numbers[0], numbers[1].exp()).log_softmax(0)
        return (log_q.exp() * (log_q - step.log() - log_p)).sum()

    mean, log_std = minimise(loss, torch.tensor([start[0], math.log(start[1])]).double())
    return float(mean), float(log_std.exp())
