"""What a transition kernel is made of: closed forms in O(K), and whole matrices where none exists.

Rows are "from" everywhere: Q[i, j] is the probability that state i becomes state j.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

CACHED_ENTRIES = 1 << 24
"""Of dense matrices between two steps kept per process: 128 MB. The T + 1 matrices from the clean
state come on top, since every step of training asks for another one: 0.5 GB at K = 256, T = 1000.
"""


class Kernel(Protocol):
    """What a transition kernel can do; t and s are [B] int64 with s <= t, x is [B, N] int64.

    Attributes:
        K: number of states.
        T: number of steps.
        mask: the absorbing state, or None.
        stationary: [K] float64, a distribution that no step changes; None where none is known.
    """

    @property
    def K(self) -> int: ...  # noqa: D102
    @property
    def T(self) -> int: ...  # noqa: D102
    @property
    def mask(self) -> int | None: ...  # noqa: D102
    @property
    def stationary(self) -> Tensor | None: ...  # noqa: D102

    def rows(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """[B, N, K] float64: q(x_t = j | x_s = x) over j."""
        ...

    def columns(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """[B, N, K] float64: q(x_t = x | x_s = i) over i."""
        ...

    def push(self, probs: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """[B, N, K]: the distribution of x_t where x_s has the distribution `probs`."""
        ...


# --- closed forms ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Survival:
    """The probability that nothing happened between two steps, for every pair of steps.

    Sums of logarithms instead of products, so that a thousand steps do not underflow; certain
    deaths (a rate of 1) are counted apart, so that what happens after one is still known.

    Attributes:
        log: [T+1] float64, sum of the log of every survival that is not 0; log[0] = 0.
        deaths: [T+1] int64, how many steps up to t nothing survives.
    """

    log: Tensor
    deaths: Tensor

    @classmethod
    def of(cls, rates: Tensor) -> Survival:
        """From the probability [T] that it happens at each step."""
        certain = rates >= 1
        log = torch.log1p(-rates.masked_fill(certain, 0.0)).cumsum(0)
        zero = torch.zeros(1, dtype=torch.float64)
        return cls(torch.cat([zero, log]), torch.cat([zero.long(), certain.long().cumsum(0)]))

    @classmethod
    def along(cls, log: Tensor) -> Survival:
        """From the log of the survival up to each step, [T+1], -inf where nothing survives."""
        dead = torch.isinf(log)
        return cls(log.masked_fill(dead, 0.0), dead.long())

    def between(self, t: Tensor, s: Tensor) -> Tensor:
        """[B] float64: log of the probability that nothing happens in steps s+1..t."""
        gap = self.log[t] - self.log[s]
        return gap.masked_fill(self.deaths[t] > self.deaths[s], -torch.inf)


class Odds(NamedTuple):
    """What can happen to a real state between two steps, [B] float64 each; they sum to 1.

    Attributes:
        keep: it stays for sure.
        replace: it is drawn anew, evenly over the real states (itself included).
        mask: it becomes [MASK].
    """

    keep: Tensor
    replace: Tensor
    mask: Tensor


@dataclass(frozen=True, eq=False)
class ClosedForm:
    r"""Uniform, absorbing and mask-and-replace in one: a diagonal plus one outer product.

    $$Q_{t|s} = \operatorname{diag}(d) + w\,\ell^\top, \qquad
    d_i = k,\ w_i = 1,\ \ell_j = \tfrac{r}{K_{real}} \text{ (real)}, \qquad
    d_m = 1,\ w_m = 0,\ \ell_m = c \text{ ([MASK])}$$

    Source: Gu et al. 2022 (VQ-Diffusion), eq. 7 and 8; with c = 0 and no [MASK] it is Austin et al.
    2021 (D3PM), eq. 6, with r = 0 eq. 7. Products keep the form, so that every
    Q between two steps costs O(K) per element, and no [K, K] is ever built.

    Attributes:
        K: number of states, [MASK] included.
        unreplaced: of a state that is not masked.
        unmasked: of a real state.
        mask: which state is [MASK], or None.
    """

    K: int
    unreplaced: Survival
    unmasked: Survival
    mask: int | None

    @property
    def T(self) -> int:
        """Number of steps."""
        return len(self.unmasked.log) - 1

    @property
    def real(self) -> Tensor:
        """[K] float64: 1 for a real state, 0 for [MASK]."""
        return (torch.arange(self.K) != (-1 if self.mask is None else self.mask)).double()

    @property
    def stationary(self) -> Tensor:
        """[K] float64: all on [MASK] where there is one, else even."""
        even = torch.full([self.K], 1 / self.K, dtype=torch.float64)
        return even if self.mask is None else 1 - self.real

    def odds(self, t: Tensor, s: Tensor) -> Odds:
        r"""Keep, replace, mask between s and t, without a difference of nearly equal numbers.

        $$k = u\,v, \qquad r = u\,(1-v), \qquad c = 1-u$$

        with u the probability not to be masked and v that not to be replaced. Source: Gu et al.
        2022, eq. 7 and 8 (there alpha, K beta, gamma).
        """
        log_u, log_v = self.unmasked.between(t, s), self.unreplaced.between(t, s)
        return Odds((log_u + log_v).exp(), -log_u.exp() * log_v.expm1(), -log_u.expm1())

    def rows(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Row x of diag(d) + w l^T."""
        real, stay, land = self._vectors(t, s, x.device)
        out = land[:, None] * real[x][..., None]
        return out.scatter_add_(-1, x[..., None], stay.gather(1, x)[..., None])

    def columns(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Column x of diag(d) + w l^T."""
        real, stay, land = self._vectors(t, s, x.device)
        out = real * land.gather(1, x)[..., None]
        return out.scatter_add_(-1, x[..., None], stay.gather(1, x)[..., None])

    def push(self, probs: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """The distribution times diag(d) + w l^T."""
        real, stay, land = (v.to(probs) for v in self._vectors(t, s, probs.device))
        return probs * stay[:, None] + (probs @ real)[..., None] * land[:, None]

    def _vectors(self, t: Tensor, s: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """The vectors w [K], d [B, K] and l [B, K], float64."""
        keep, replace, mask = (odd[:, None] for odd in self.odds(t, s))
        real = self.real
        stay = keep * real + (1 - real)
        land = replace / real.sum() * real + mask * (1 - real)
        return real.to(device), stay.to(device), land.to(device)


# --- dense kernels --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Dense:
    """A kernel without a closed form: it looks things up in whole matrices.

    Attributes:
        K: number of states.
        T: number of steps.
        matrix: (t, s) -> Q between s and t, [K, K] float64; the identity at t = s.
        stationary: [K] float64 or None.
        mask: the absorbing state, or None.
    """

    K: int
    T: int
    matrix: Callable[[int, int], Tensor]
    stationary: Tensor | None
    mask: int | None = None

    def rows(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Rows of the matrix."""
        out = x.new_empty((*x.shape, self.K), dtype=torch.float64)
        for where, Q in self._pairs(t, s):
            out[where] = Q.to(x.device)[x[where]]
        return out

    def columns(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Columns of the matrix."""
        out = x.new_empty((*x.shape, self.K), dtype=torch.float64)
        for where, Q in self._pairs(t, s):
            out[where] = Q.T.to(x.device)[x[where]]
        return out

    def push(self, probs: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Products with the matrix."""
        pairs = list(self._pairs(t, s))
        if not pairs:
            return probs
        moved = torch.cat([probs[where] @ Q.to(probs) for where, Q in pairs])
        return moved[torch.cat([where for where, _ in pairs]).argsort()]

    def _pairs(self, t: Tensor, s: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Which examples share a pair of steps, and the matrix between the two."""
        for after, before in sorted(set(zip(t.tolist(), s.tolist(), strict=True))):
            here = (t == after) & (s == before)
            yield here.nonzero()[:, 0], self.matrix(after, before)


def product_kernel(
    K: int, T: int, step: Callable[[int], Tensor], stationary: Tensor | None
) -> Dense:
    r"""A dense kernel of arbitrary steps.

    $$\bar Q_t = Q_1 Q_2 \cdots Q_t, \qquad Q_{t|s} = Q_{s+1}\cdots Q_t$$

    Source: Austin et al. 2021, eq. 3.

    Args:
        K: number of states.
        T: number of steps.
        step: t -> Q_t [K, K] float64.
        stationary: [K] or None.
    """

    @lru_cache(maxsize=1)
    def from_clean() -> Tensor:
        out = torch.empty(T + 1, K, K, dtype=torch.float64)
        out[0] = torch.eye(K, dtype=torch.float64)
        for t in range(1, T + 1):
            out[t] = out[t - 1] @ step(t)
        return out

    @lru_cache(maxsize=max(2, CACHED_ENTRIES // K**2))
    def between(t: int, s: int) -> Tensor:
        Q = step(t)
        for k in range(t - 1, s, -1):
            Q = step(k) @ Q
        return Q

    def matrix(t: int, s: int) -> Tensor:
        if s == 0:
            return from_clean()[t]
        return between(t, s) if t > s else from_clean()[0]

    return Dense(K, T, matrix, stationary)


def jump_exponential(jumps: Tensor, time: float) -> Tensor:
    r"""exp(time R) of a jump process, by a sum and squarings of numbers that are never negative.

    $$e^{\tau R} = \left(e^{-\tau\rho/2^n}\,e^{\tau(R+\rho I)/2^n}\right)^{2^n}, \qquad
    \rho = \max_i \textstyle\sum_j A_{ij}$$

    Source: uniformisation (Jensen 1953). Nothing cancels, so that even the least likely jump has
    its digits, and what can't be reached is exactly 0.

    Args:
        jumps: A, [K, K], rates of the jumps i -> j; no negative entries.
        time: tau >= 0.
    """
    out_rate = jumps.sum(1)
    fastest = out_rate.max()
    stay = torch.diag(fastest - out_rate)
    halvings = max(0, math.ceil(math.log2(max(time * float(fastest), 1.0))))
    small = (jumps + stay) * (time / 2**halvings)
    identity = torch.eye(len(jumps), dtype=torch.float64)
    result = identity
    for k in range(20, 0, -1):  # 1/20! is below float64's last digit
        result = identity + small @ result / k
    result = result / result.sum(1, keepdim=True)
    for _ in range(halvings):
        result = result @ result
        result = result / result.sum(1, keepdim=True)
    return result
