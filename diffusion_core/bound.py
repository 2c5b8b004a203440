"""What every bound is made of: its terms, and how they are computed."""

from __future__ import annotations

import math
from typing import NamedTuple, TypedDict

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


class TermOptions(TypedDict, total=False):
    """How one term is computed: what `likelihood.elbo_term` takes by name.

    Attributes:
        variance: key in `samplers.VARIANCES`.
        clip_x0: clip predictions to [-1, 1].
        decoder: key in `likelihood.DECODERS`.
        label: [B] int64 classes, or None.
    """

    variance: str
    clip_x0: bool
    decoder: str
    label: Tensor | None


class Options(TermOptions, total=False):
    """How the terms of a Gaussian bound are computed; what is left out is as in `DEFAULTS`.

    Attributes:
        batch: pictures per call of the denoiser; a step's B examples are never split.
    """

    batch: int


DEFAULTS = Options(
    variance="posterior", clip_x0=False, decoder="discretized_gaussian", label=None, batch=64
)


def filled(options: Options) -> Options:
    """All options, the missing ones from `DEFAULTS`.

    Raises:
        TypeError: for a name that is none of them.
    """
    if unknown := options.keys() - DEFAULTS.keys():
        raise TypeError(f"unknown option {min(unknown)!r}; known are {', '.join(DEFAULTS)}")
    return DEFAULTS | options


def repeat(x: Tensor, n: int) -> Tensor:
    """A batch [B, *D] n times over: [n B, *D]."""
    return x.repeat(n, *[1] * (x.ndim - 1))
