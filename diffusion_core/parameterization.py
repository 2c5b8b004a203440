"""What a network predicts: one 2x2 linear system per choice, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Prediction(NamedTuple):
    """What a denoiser says about one noisy picture, in both languages.

    Attributes:
        x0: [B, *D] the clean picture it believes in.
        eps: [B, *D] the noise it believes in.
        var_fraction: [B, *D] or None; a learned variance as a fraction between log beta_tilde (0)
            and log beta (1).
    """

    x0: Tensor
    eps: Tensor
    var_fraction: Tensor | None = None


@dataclass(frozen=True)
class Parameterization:
    r"""A prediction target as two coefficients.

    $$\text{target} = c\,x_0 + d\,\epsilon, \qquad x_t = a\,x_0 + \sigma\,\epsilon$$

    Source: Salimans & Ho 2022, section 4, lists the targets; the 2x2 form is linear algebra. The
    determinant a d - sigma c says how well x_t and the output pin down x0 and eps together.

    Args:
        name: key in `PARAMETERIZATIONS`.
        latex: the target as a formula.
        coefficients: (a, sigma) -> (c, d), float64 tensors of one shape.
    """

    name: str
    latex: str
    coefficients: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

    def target(self, x0: Tensor, eps: Tensor, a: Tensor, sigma: Tensor) -> Tensor:
        """What the network is trained to output, [B, *D]; a and sigma are [B, 1, ...].

        Raises:
            ValueError: for pictures that are not floating point.
        """
        if not x0.is_floating_point():
            raise ValueError(f"pictures must be floating point, not {x0.dtype}")
        c, d = self.coefficients(a, sigma)
        return c.to(x0.dtype) * x0 + d.to(x0.dtype) * eps

    def determinant(self, a: Tensor, sigma: Tensor) -> Tensor:
        r"""Determinant of the system that gives back x0 and eps.

        $$\det = a\,d - \sigma\,c$$
        """
        c, d = self.coefficients(a, sigma)
        return a * d - sigma * c

    def loss_weight(self, a: Tensor, sigma: Tensor) -> Tensor:
        r"""Weight of the squared error on this target, seen as a weight on the error of x0.

        $$w = (\det/\sigma)^2$$

        Source: Salimans & Ho 2022, section 4: 1 for x0, SNR for eps, 1 + SNR for v.
        """
        return (self.determinant(a, sigma) / sigma).square()

    def recover(self, output: Tensor, x_t: Tensor, a: Tensor, sigma: Tensor) -> Prediction:
        r"""Solve the system for x0 and eps, given the network's output [B, *D] at x_t [B, *D].

        $$x_0 = \frac{d\,x_t - \sigma\,\text{out}}{\det}, \qquad
        \epsilon = \frac{a\,\text{out} - c\,x_t}{\det}$$

        Source: Cramer's rule on the two lines above.

        Raises:
            ValueError: where the determinant is 0 or infinite: eps or score from a picture without
                any signal, x0 or score from one without any noise.
        """
        c, d = self.coefficients(a, sigma)
        det = a * d - sigma * c
        lost = (det == 0) | ~det.isfinite()
        if bool(lost.any()):
            clean = bool((lost & (sigma == 0)).any())
            what = "eps where there is no noise" if clean else "x0 where no signal is left"
            raise ValueError(f"{self.name!r} does not determine {what}")
        dtype = x_t.dtype
        x0 = (d / det).to(dtype) * x_t - (sigma / det).to(dtype) * output
        eps = (a / det).to(dtype) * output - (c / det).to(dtype) * x_t
        return Prediction(x0, eps)


X0 = Parameterization("x0", r"x_0", lambda a, sigma: (torch.ones_like(a), torch.zeros_like(a)))
EPS = Parameterization(
    "eps", r"\epsilon", lambda a, sigma: (torch.zeros_like(a), torch.ones_like(a))
)
V = Parameterization("v", r"a\,\epsilon - \sigma\,x_0", lambda a, sigma: (-sigma, a))
SCORE = Parameterization(
    "score", r"-\epsilon/\sigma", lambda a, sigma: (torch.zeros_like(a), -1 / sigma)
)

PARAMETERIZATIONS: dict[str, Parameterization] = {p.name: p for p in (X0, EPS, V, SCORE)}
