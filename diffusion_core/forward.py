"""The forward process one step at a time, right and with its two classic mistakes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diffusion_core.schedules import NoiseSchedule

KEEP: dict[str, Callable[[Tensor], Tensor]] = {
    "sqrt(1 - beta)": lambda beta: (1 - beta).sqrt(),
    "1": torch.ones_like,
}
"""What one step multiplies the picture by. "1" is the mistake: the variance then only grows."""

SPREAD: dict[str, Callable[[Tensor], Tensor]] = {
    "sqrt(beta)": torch.sqrt,
    "beta": lambda beta: beta,
}
"""Standard deviation of the noise of one step. "beta" is the mistake: beta is the variance."""


def forward_chain(
    schedule: NoiseSchedule,
    x0: Tensor,
    generator: torch.Generator,
    *,
    keep: str = "sqrt(1 - beta)",
    spread: str = "sqrt(beta)",
) -> Tensor:
    r"""Walk from the clean picture to noise, with fresh noise at every step.

    $$x_t = \sqrt{1-\beta_t}\;x_{t-1} + \sqrt{\beta_t}\;\epsilon_t$$

    Source: Ho et al. 2020, eq. 2.

    Args:
        schedule: gives the betas.
        x0: [*D] float, one picture.
        generator: the source of the T draws of noise.
        keep: key in `KEEP`.
        spread: key in `SPREAD`.

    Returns:
        [T+1, *D]: x_0, x_1, ..., x_T.
    """
    kept, spreads = (f(schedule.beta).tolist() for f in (KEEP[keep], SPREAD[spread]))
    noise = torch.randn((schedule.T, *x0.shape), generator=generator, dtype=x0.dtype)
    x = torch.empty((schedule.T + 1, *x0.shape), dtype=x0.dtype)
    x[0] = x0
    for t in range(1, schedule.T + 1):
        torch.add(kept[t] * x[t - 1], noise[t - 1], alpha=spreads[t], out=x[t])
    return x


def forward_variance(
    schedule: NoiseSchedule,
    variance: float,
    *,
    keep: str = "sqrt(1 - beta)",
    spread: str = "sqrt(beta)",
) -> Tensor:
    r"""Variance of a pixel along the chain, when it starts with `variance`: [T+1] float64.

    $$\operatorname{Var}(x_t) = (1-\beta_t)\operatorname{Var}(x_{t-1}) + \beta_t$$

    Source: variances of independent terms add; with the right factors 1 stays 1 for ever.
    """
    factor, added = (f(schedule.beta).square() for f in (KEEP[keep], SPREAD[spread]))
    values = [torch.tensor(variance, dtype=torch.float64)]
    for t in range(1, schedule.T + 1):
        values.append(factor[t] * values[-1] + added[t])
    return torch.stack(values)


def drowned_from(schedule: NoiseSchedule, spread: float) -> int:
    r"""The first step at which the noise is larger than what is left of a picture's contrast.

    $$s^2\,\bar\alpha_t < 1-\bar\alpha_t$$

    Source: Ho et al. 2020, eq. 4, for pixels of standard deviation s. The schedule counts the
    signal in units of x_0: pixels from 0 to 1 have half the s of those from -1 to 1.

    Args:
        schedule: gives alpha_bar.
        spread: s, of the clean picture.

    Returns:
        1..T, or T + 1 where the noise never gets there.
    """
    return int((spread**2 * schedule.alpha_bar >= 1 - schedule.alpha_bar).sum())
