"""What every bound is made of: its terms, and how they are computed."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor


class ElboTerms(NamedTuple):
    r"""The bound of each example, split into its terms (nats, all costs).

    $$-\log p(x_0) \le L_T + \sum_{t=2}^{T} L_{t-1} + L_0$$

    Source: Ho et al. 2020, eq. 5.

    Attributes:
        prior: [B], L_T.
        denoising: [B, T-1], L_{t-1} in the column of t = 2..T.
        reconstruction: [B], L_0, the cost -log p(x_0|x_1).
    """

    prior: Tensor
    denoising: Tensor
    reconstruction: Tensor

    @property
    def total(self) -> Tensor:
        """[B] nats: the sum of all terms, an upper bound of -log p(x_0)."""
        return self.prior + self.denoising.sum(1) + self.reconstruction

    def bits_per_dim(self, D: int) -> Tensor:
        """[B] bits for each of the D numbers of one example: total / (D log 2)."""
        return self.total / (D * math.log(2))


def repeat(x: Tensor, n: int) -> Tensor:
    """A batch [B, *D] n times over: [n B, *D]."""
    return x.repeat(n, *[1] * (x.ndim - 1))


def repeat_label(label: Tensor | None, n: int) -> Tensor | None:
    """The labels [B] of such a batch, [n B]; None stays None."""
    return None if label is None else label.repeat(n)
