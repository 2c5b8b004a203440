"""The schedules that papers and libraries ship, so that a stranger's table can be named."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.schedules import (
    SCHEDULES,
    NoiseSchedule,
    from_betas,
    rescale_zero_terminal_snr,
)


class Published(NamedTuple):
    """A schedule with the names it goes by.

    Attributes:
        title: what it is called.
        known_as: where a reader meets it.
        build: T -> schedule.
    """

    title: str
    known_as: str
    build: Callable[[int], NoiseSchedule]


def straight_betas(T: int, start: float = 1e-4, end: float = 0.02) -> NoiseSchedule:
    r"""Betas on a straight line between ends that do not depend on T.

    $$\beta_t = \beta_1 + \frac{t-1}{T-1}(\beta_T-\beta_1)$$

    Source: Ho et al. 2020, section 4; diffusers' default. At T = 1000 it is improved-diffusion's
    "linear", too; elsewhere that one is 1000/T times as steep. It has to be: the last alpha_bar is
    about exp of minus the sum of the betas, and at T = 100 these leave most of the signal.
    """
    return _from_exact_betas("linear", torch.linspace(start, end, T, dtype=torch.float64))


def squared_line_betas(T: int, start: float = 0.00085, end: float = 0.012) -> NoiseSchedule:
    r"""Betas whose square roots lie on a straight line.

    $$\sqrt{\beta_t} = \sqrt{\beta_1} + \frac{t-1}{T-1}\left(\sqrt{\beta_T}-\sqrt{\beta_1}\right)$$

    Source: Rombach et al. 2022, released code (0.00085 to 0.012), which diffusers calls
    "scaled_linear"; Ho et al.'s released code has it as "quad" from 0.0001 to 0.02.
    """
    roots = torch.linspace(start**0.5, end**0.5, T, dtype=torch.float64)
    return _from_exact_betas("squared line", roots.square())


def cosine_on_more_points(T: int) -> NoiseSchedule:
    r"""The cosine as some code has it, on a grid that looks off by one and is the same.

    $$u_t = \frac{1}{T+1}\cdot\frac{t\,(T+1)}{T} = \frac{t}{T}, \qquad t = 0, \dots, T$$

    Source: Nichol & Dhariwal 2021, eq. 17, with T+1 points from 0 to T+1 divided by T+1.
    """
    u = torch.linspace(0, T + 1, T + 1, dtype=torch.float64) / (T + 1)
    curve = ((u + 0.008) / 1.008 * math.pi / 2).cos().square()
    return from_betas("cosine", 1 - curve[1:] / curve[:-1])


def logistic_betas(T: int, start: float = 1e-4, end: float = 0.02) -> NoiseSchedule:
    r"""Betas on a logistic curve; not Jabri et al.'s "sigmoid", whose alpha_bar is one.

    $$\beta_t = \beta_1 + (\beta_T-\beta_1)\,S\!\left(-6 + 12\,\frac{t-1}{T-1}\right)$$

    Source: Xu et al. 2022 (GeoDiff), released code; diffusers' "sigmoid".
    """
    curve = torch.linspace(-6, 6, T, dtype=torch.float64).sigmoid()
    return _from_exact_betas("logistic betas", start + (end - start) * curve)


def harmonic_betas(T: int) -> NoiseSchedule:
    r"""One more share of what is left at every step, until nothing is.

    $$\beta_t = \frac{1}{T-t+1}, \qquad \bar\alpha_t = 1 - \frac{t}{T}$$

    Source: Sohl-Dickstein et al. 2015, section 2.4.1; "jsd" in Ho et al.'s released code.
    """
    return _from_exact_betas("harmonic", 1 / torch.arange(T, 0, -1, dtype=torch.float64))


def _from_exact_betas(name: str, betas: Tensor) -> NoiseSchedule:
    """As `from_betas`, without the cap: these tables are published without one."""
    return NoiseSchedule(name, torch.cat([betas.new_ones(1), (1 - betas).cumprod(0)]))


def _quad(T: int) -> NoiseSchedule:
    return squared_line_betas(T, 1e-4, 0.02)


def _without_signal(build: Callable[[int], NoiseSchedule]) -> Callable[[int], NoiseSchedule]:
    return lambda T: rescale_zero_terminal_snr(build(T))


PUBLISHED: dict[str, Published] = {
    "linear": Published(
        "linear, 0.0001 to 0.02", "Ho et al. 2020; diffusers' “linear”", straight_betas
    ),
    "linear_scaled": Published(
        "linear, scaled by 1000/T",
        "improved-diffusion's “linear”; score-SDE's VP process with β from 0.1 to 20",
        SCHEDULES["linear"],
    ),
    "cosine": Published(
        "cosine, β at most 0.999",
        "Nichol & Dhariwal 2021; diffusers' “squaredcos_cap_v2”",
        SCHEDULES["cosine"],
    ),
    "scaled_linear": Published(
        "squared line, 0.00085 to 0.012",
        "Stable Diffusion; diffusers' “scaled_linear”",
        squared_line_betas,
    ),
    "quad": Published("squared line, 0.0001 to 0.02", "Ho et al.'s code: “quad”", _quad),
    "logistic_betas": Published(
        "logistic betas, 0.0001 to 0.02", "GeoDiff; diffusers' “sigmoid”", logistic_betas
    ),
    "sigmoid": Published("sigmoid ᾱ", "Jabri et al. 2022; Chen 2023", SCHEDULES["sigmoid"]),
    "log_snr_linear": Published(
        "linear in log-SNR", "Kingma et al. 2021, γ from −13.3 to 5", SCHEDULES["log_snr_linear"]
    ),
    "harmonic": Published(
        "harmonic, ᾱ on a straight line", "Sohl-Dickstein et al. 2015; “jsd”", harmonic_betas
    ),
    "linear_zero": Published(
        "linear, 0.0001 to 0.02, rescaled to zero terminal SNR",
        "Lin et al. 2023; diffusers' rescale_betas_zero_snr",
        _without_signal(straight_betas),
    ),
    "scaled_linear_zero": Published(
        "squared line, 0.00085 to 0.012, rescaled to zero terminal SNR",
        "Lin et al. 2023; diffusers' rescale_betas_zero_snr",
        _without_signal(squared_line_betas),
    ),
}


@functools.lru_cache(maxsize=64)
def published(key: str, T: int) -> NoiseSchedule:
    """A schedule of `PUBLISHED`, remembered: tables are looked up in many of them at once.

    Raises:
        ValueError: where no such table exists, e.g. rescaled ones with a single step.
    """
    return PUBLISHED[key].build(T)
