"""What the cases about the Gaussian process share: the process, places to measure, controls."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import SCHEDULES
from pages.shared.case_types import Knob
from pages.shared.palette import textcolor

X0, EPS = textcolor("x0", "x_0"), textcolor("eps", r"\epsilon")
X0_HAT, EPS_HAT = textcolor("x0", r"\hat x_0"), textcolor("eps", r"\hat\epsilon")
DDPM = "https://arxiv.org/abs/2006.11239"
VDM = "https://arxiv.org/abs/2107.00630"
T = 1000
PROBES = (1, 2, 4, 10, 30, 100, 300, 1000)
"""Steps at which something is measured without a formula."""
DRAWS = 4000

STEP = Knob("t", "Step t", 10, 1, T, 1)
LATER_STEP = Knob("t", "Step t", 100, 2, T, 1)
CLEAN = Knob("x0", "Clean pixel x₀", 1.0, -1.0, 1.0, 0.05)
NOISY = Knob("xt", "Noisy pixel xₜ", 0.8, -3.0, 3.0, 0.1)
NOISE = Knob("eps", "Noise ε", 0.5, -3.0, 3.0, 0.1)
ERROR = Knob("err", "Error of x̂₀", 0.5, 0.05, 2.0, 0.05)


@cache
def process(steps: int = T) -> GaussianDiffusion:
    """DDPM's own process, with the linear schedule."""
    return GaussianDiffusion(SCHEDULES["linear"](steps))


def column(value: float, n: int = T) -> Tensor:
    """The same number n times, float64."""
    return torch.full((n,), float(value), dtype=torch.float64)


def steps(first: int = 1, last: int = T) -> Tensor:
    """Every step from `first` on."""
    return torch.arange(first, last + 1)
