"""How much noise each step of a discrete process adds: one probability of a jump per step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from diffusion_core import schedules

LARGEST = 0.999
"""Where a curve would ask for a step that keeps nothing; D3PM's code stops here too."""


def linear(T: int) -> Tensor:
    """The betas of the Gaussian process's linear schedule, [T] float64.

    Source: Ho et al. 2020, section 4, scaled by 1000 / T; D3PM uses it for its Gaussian kernel.
    """
    return schedules.linear(T).beta[1:]


def doubled_linear(T: int) -> Tensor:
    """Twice `linear`'s betas, at most 0.999: [T] float64.

    D3PM chose `linear` for 256 gray levels. Jumps between 8 levels are longer, so that a bell of
    that width leaves a quarter of what a pixel says after 1000 steps; twice as wide, nothing.
    """
    return (2 * linear(T)).clamp(max=LARGEST)


def cosine(T: int) -> Tensor:
    r"""A cosine, not squared: what has not jumped yet falls along it.

    $$\prod_{i\le t}(1-\beta_i) = \frac{f(t)}{f(0)}, \qquad
    f(t) = \cos\left(\frac{t/T+0.008}{1.008}\cdot\frac{\pi}{2}\right)$$

    Source: Hoogeboom et al. 2021, section 4.2; Austin et al. 2021, section 5, for uniform noise.

    Args:
        T: number of steps.

    Returns:
        [T] float64, at most 0.999.

    Raises:
        ValueError: unless T is a whole number, at least 1.
    """
    schedules.require_steps(T)
    u = torch.arange(T + 1, dtype=torch.float64) / T
    curve = ((u + 0.008) / 1.008 * math.pi / 2).cos()
    return (1 - curve[1:] / curve[:-1]).clamp(max=LARGEST)


def squared_cosine(T: int) -> Tensor:
    """The betas of the Gaussian process's cosine schedule, [T] float64.

    Source: Nichol & Dhariwal 2021, eq. 17. Its curve is the square of `cosine`'s.
    """
    return schedules.cosine(T).beta[1:]


def even_loss(T: int) -> Tensor:
    r"""Every step takes the same share of what masking leaves; the last one takes the rest.

    $$\beta_t = \frac{1}{T-t+1}$$

    Source: Sohl-Dickstein et al. 2015, section 2.4.1; Austin et al. 2021, section 3.2: for an
    absorbing process, each step loses the same mutual information.

    Args:
        T: number of steps.

    Returns:
        [T] float64; the last is 1.

    Raises:
        ValueError: unless T is a whole number, at least 1.
    """
    schedules.require_steps(T)
    return 1 / torch.arange(T, 0, -1, dtype=torch.float64)


DISCRETE_BETAS: dict[str, Callable[[int], Tensor]] = {
    "cosine": cosine,
    "squared cosine": squared_cosine,
    "linear": linear,
    "2 x linear": doubled_linear,
    "1/(T-t+1)": even_loss,
}
"""T -> betas [T]."""
