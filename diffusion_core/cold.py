"""Cold diffusion: pictures are degraded without noise, and a network learns to restore them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

Degradation = Callable[[Tensor, Tensor], Tensor]
"""(x_0 [B, *D], t [B] int64) -> x_t [B, *D]; t = 0 changes nothing."""

Restorer = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(x_t [B, *D], t [B] int64, label [B] int64 or None) -> what x_0 may have been, [B, *D]."""

STEPS = 40
WIDEST, NARROWEST = 24.0, 0.4


def blur_width(t: Tensor, T: int = STEPS) -> Tensor:
    r"""Standard deviation of the blur after t of T steps, in pixels; 0 at t = 0.

    $$\sigma_t = \sigma_1 \left(\sigma_T/\sigma_1\right)^{(t-1)/(T-1)}$$

    Source: evenly spaced in the logarithm, as Rissanen et al. 2023, section 3.2.
    """
    grown = NARROWEST * (WIDEST / NARROWEST) ** ((t.double() - 1) / (T - 1))
    return torch.where(t > 0, grown, 0.0)


def cosine_basis(n: int) -> Tensor:
    r"""The orthonormal cosines of n pixels, one a row: float64 [n, n] (the DCT of type II).

    $$C_{ki} = \sqrt{\tfrac{2 - [k = 0]}{n}}\,\cos\frac{\pi k (i + 1/2)}{n}$$
    """
    k, i = torch.meshgrid(*[torch.arange(n, dtype=torch.float64)] * 2, indexing="ij")
    waves = torch.cos(torch.pi * k * (i + 0.5) / n)
    size = torch.full((n, 1), math.sqrt(2 / n), dtype=torch.float64)
    size[0] = math.sqrt(1 / n)
    return size * waves


def blur(x0: Tensor, t: Tensor) -> Tensor:
    r"""Let the gray of a picture spread like heat that can't leave it; its mean stays.

    $$x_t = C^\top \left(e^{-\sigma_t^2 (\lambda_k + \lambda_l)/2} \odot C x_0 C^\top\right) C,
    \qquad \lambda_k = (\pi k / n)^2$$

    Source: Rissanen et al. 2023, eq. 6; the blur of Bansal et al. 2022, section 5.1, is one of
    these up to the picture's border.

    Args:
        x0: [B, 1, n, n].
        t: [B] int64.
    """
    n = x0.shape[-1]
    C = cosine_basis(n)
    damping = (torch.pi * torch.arange(n, dtype=torch.float64) / n).square()
    width = blur_width(t.cpu())[:, None, None]
    per_axis = torch.exp(-0.5 * width.square() * damping[None, None])  # [B, 1, n]
    kept = (per_axis.transpose(1, 2) * per_axis)[:, None].to(x0)
    C = C.to(x0)
    return C.T @ (kept * (C @ x0 @ C.T)) @ C


DEGRADATIONS: dict[str, Degradation] = {"blur": blur}


# --- the way back ---------------------------------------------------------------------------------


def naive_step(degrade: Degradation, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
    r"""Degrade the restored picture again, but less: x_s from x_t, which is not looked at.

    $$x_s = D(\hat x_0, s)$$

    Source: Bansal et al. 2022, algorithm 1.
    """
    return degrade(x0, s)


def improved_step(degrade: Degradation, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
    r"""Change x_t as the restored picture would change: its own errors stay out of x_t.

    $$x_s = x_t - D(\hat x_0, t) + D(\hat x_0, s)$$

    Source: Bansal et al. 2022, algorithm 2.
    """
    return x_t - degrade(x0, t) + degrade(x0, s)


RULES: dict[str, Callable[[Degradation, Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "naive": naive_step,
    "improved": improved_step,
}


class ColdStep(NamedTuple):
    """One stop on the way back.

    Attributes:
        t: where x_t sits; 0 at the last one.
        x_t: [B, *D].
        x0: what was restored from it, [B, *D]; None at t = 0.
    """

    t: int
    x_t: Tensor
    x0: Tensor | None


def restore_steps(
    degrade: Degradation,
    restore: Restorer,
    x_t: Tensor,
    start: int,
    *,
    rule: str = "improved",
    label: Tensor | None = None,
) -> Iterator[ColdStep]:
    """Walk from t = `start` down to 0, one step at a time.

    Args:
        degrade: the degradation.
        restore: a restorer for it.
        x_t: [B, *D] at t = `start`.
        start: 1..T.
        rule: key in `RULES`.
        label: [B] int64 or None.

    Yields:
        start + 1 stops, the last one at t = 0.
    """
    for now in range(start, 0, -1):
        t = torch.full((len(x_t),), now)
        x0 = restore(x_t, t, label)
        yield ColdStep(now, x_t, x0)
        x_t = RULES[rule](degrade, x_t, x0, t, t - 1)
    yield ColdStep(0, x_t, None)


def restored(
    degrade: Degradation,
    restore: Restorer,
    x_t: Tensor,
    start: int,
    *,
    rule: str = "improved",
    label: Tensor | None = None,
) -> Tensor:
    """What `restore_steps` ends in; with "once" what the restorer says at first sight: [B, *D]."""
    if rule == "once":
        return restore(x_t, torch.full((len(x_t),), start), label)
    *_, last = restore_steps(degrade, restore, x_t, start, rule=rule, label=label)
    return last.x_t
