"""The bottom of a smooth function of a few numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_ENOUGH = 1e-4  # of the decrease that the slope promises


def minimise(
    f: Callable[[Tensor], Tensor], start: Tensor, rounds: int = 60, least: float = 1e-10
) -> Tensor:
    r"""Walk down by quasi-Newton steps until no step helps.

    $$x \leftarrow x - \eta\,H \nabla f(x), \qquad H \approx \left(\nabla^2 f\right)^{-1}$$

    Source: Nocedal & Wright 2006, algorithm 6.1 (BFGS), with the step halved until it decreases f.
    Not `torch.optim`'s, whose first use in a process takes a second to import.

    Args:
        f: a scalar of x [n], differentiable.
        start: [n] float64.
        rounds: of steps, at most.
        least: a step that promises to decrease f by less is the last.

    Returns:
        [n] a point where f is no larger than at the start.
    """
    x, n = start.detach().clone(), len(start)
    H = torch.eye(n, dtype=x.dtype)
    value, slope = _look(f, x)
    H /= slope.norm().clamp(min=1.0)  # the first step is no longer than 1
    for _ in range(rounds):
        way = -H @ slope
        promised = float(way @ slope)
        if promised > -least:
            break
        eta = 1.0
        while True:
            new, new_slope = _look(f, x + eta * way)
            if new <= value + _ENOUGH * eta * promised:
                break
            eta /= 2
            if eta * -promised < least:
                return x
        moved, turned = eta * way, new_slope - slope
        x, value, slope = x + moved, new, new_slope
        if (along := float(moved @ turned)) > 0:
            bent = torch.eye(n, dtype=x.dtype) - torch.outer(moved, turned) / along
            H = bent @ H @ bent.T + torch.outer(moved, moved) / along
    return x


def _look(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[float, Tensor]:
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        value = f(at)
        (slope,) = torch.autograd.grad(value, at)
    return float(value.detach()), slope
