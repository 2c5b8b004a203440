"""What elements do during a run: appear, change, turn away from the belief; and planted errors."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Moves(NamedTuple):
    """What happened to each element in one reverse step, [B, *D] bool each.

    Attributes:
        unmasked: it left the absorbing state.
        changed: it went from one state to another, neither of them absorbing.
        renoised: it changed, although it stood on the x_0 that the model believed in most.
    """

    unmasked: Tensor
    changed: Tensor
    renoised: Tensor


def moves(x_t: Tensor, x_s: Tensor, x0_probs: Tensor, mask: int | None) -> Moves:
    """Compare two stops of a run.

    Args:
        x_t: [B, *D] int64.
        x_s: [B, *D] int64, the stop after it.
        x0_probs: [B, *D, K], what the model believed when it saw x_t.
        mask: the absorbing state, or None.
    """
    blank = torch.zeros_like(x_t, dtype=torch.bool) if mask is None else x_t == mask
    moved = x_t != x_s
    changed = moved & ~blank
    return Moves(moved & blank, changed, changed & (x_t == x0_probs.argmax(-1)))


def entropy_bits(probs: Tensor) -> Tensor:
    r"""What is still open about each element, [*] bits.

    $$H = -\sum_k p_k \log_2 p_k$$

    Source: Shannon 1948.

    Args:
        probs: [*, K].
    """
    nats: Tensor = torch.special.entr(probs).sum(-1)
    return nats / math.log(2)


def plant_errors(
    x_t: Tensor, count: int, levels: int, mask: int | None, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Set a few elements to a state far from theirs: the lowest or the highest one.

    Args:
        x_t: [B, *D] int64.
        count: elements per example; fewer where fewer are not masked.
        levels: states that data hold, 0..levels-1; at least 2.
        mask: the absorbing state, which is left alone and must not be the lowest or highest level;
            or None.
        generator: picks the elements.

    Returns:
        x_t with the errors, and where they are, [B, *D] bool.
    """
    chance = torch.rand(x_t.shape, generator=generator, dtype=torch.float64)
    if mask is not None:
        chance = chance.masked_fill(x_t == mask, torch.inf)
    flat = chance.flatten(1)
    rank = flat.argsort(1).argsort(1).reshape(x_t.shape)
    where = (rank < count) & chance.isfinite()
    far = torch.where(x_t < levels / 2, levels - 1, 0)
    return torch.where(where, far, x_t), where
