"""The numbers behind one step of a sampler, for tables and files."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.samplers import Step


class StepNumbers(NamedTuple):
    """What one step did; None where there is nothing to tell (t = 0, or no signal left at t).

    Attributes:
        t: where x_t sits.
        mean: of all pixels of x_t.
        std: of all pixels of x_t.
        lowest: pixel of x_t.
        highest: pixel of x_t.
        x0_lowest: pixel of x0_hat as the network said it, before any clipping.
        x0_highest: likewise.
        outside: share of the pixels of that x0_hat beyond [-1, 1], 0..1: those that are clipped.
        mean_rms: root mean square of the mean of the Gaussian that x_s is drawn from.
        variance: of that Gaussian, averaged over pixels; 0 for a deterministic move.
        noise_norm: Euclidean length of the noise added to one picture, averaged over pictures.
        off_euler: root mean square distance of x_s from where Euler's method would have gone.
    """

    t: int
    mean: float
    std: float
    lowest: float
    highest: float
    x0_lowest: float | None = None
    x0_highest: float | None = None
    outside: float | None = None
    mean_rms: float | None = None
    variance: float | None = None
    noise_norm: float | None = None
    off_euler: float | None = None


def euler_step(diffusion: GaussianDiffusion, x_t: Tensor, eps: Tensor, t: int, s: int) -> Tensor:
    r"""One step of Euler's method on the probability-flow ODE, float64.

    $$\tfrac{x_s}{\sqrt{\bar\alpha_s}} = \tfrac{x_t}{\sqrt{\bar\alpha_t}}
    + (\tilde\sigma_s-\tilde\sigma_t)\,\hat\epsilon, \qquad
    \tilde\sigma = \sqrt{\frac{1-\bar\alpha}{\bar\alpha}}$$

    Source: Song, Meng & Ermon 2021, eq. 13 and 14: in these variables the ODE is
    dx/d(sigma~) = eps_hat, so a step goes along eps_hat. DDIM at eta = 0 is derived without any
    ODE and lands on the same point.

    Args:
        diffusion: the process.
        x_t: [B, *D].
        eps: [B, *D] the slope that the step follows.
        t: where x_t sits; there must be some signal left.
        s: where to go, s < t.
    """
    kept_t, kept_s = (float(diffusion.schedule.alpha_bar[i]) for i in (t, s))
    slide = math.sqrt((1 - kept_s) / kept_s) - math.sqrt((1 - kept_t) / kept_t)
    return math.sqrt(kept_s) * (x_t.double() / math.sqrt(kept_t) + slide * eps.double())


def turn_gap(diffusion: GaussianDiffusion, eps_s: Tensor, eps_t: Tensor, s: int, t: int) -> Tensor:
    r"""How far a step of DDIM up from s to t, and back down, ends from where it began, float64.

    $$\begin{aligned} x_s'-x_s = {} & \sqrt{\bar\alpha_s}\,(\tilde\sigma_s-\tilde\sigma_t) \\
    & \cdot \big(\hat\epsilon(x_t, t)-\hat\epsilon(x_s, s)\big) \end{aligned}, \qquad
    \tilde\sigma = \sqrt{\frac{1-\bar\alpha}{\bar\alpha}}$$

    Source: two steps as in `euler_step`, up along eps_hat(x_s, s), down along eps_hat(x_t, t). Each
    is Euler's from its own end; x_s cancels. It is 0 where eps_hat does not change on the way.

    Args:
        diffusion: the process.
        eps_s: [B, *D] what the denoiser says where the step up begins.
        eps_t: [B, *D] what it says where that step ends.
        s: where it begins.
        t: where it ends, s < t.
    """
    change = eps_t.double() - eps_s.double()
    return euler_step(diffusion, torch.zeros_like(change), change, t, s)


def step_numbers(diffusion: GaussianDiffusion, step: Step, s: int | None) -> StepNumbers:
    """Describe one step.

    Args:
        diffusion: the process.
        step: the step.
        s: where it goes; None for the last one, which goes nowhere.
    """
    x = step.x_t.double()
    numbers = StepNumbers(step.t, float(x.mean()), float(x.std()), float(x.min()), float(x.max()))
    if step.raw is None or step.prediction is None or step.posterior is None or s is None:
        return numbers
    x0, mean, var = step.raw.x0.double(), step.posterior.mean.double(), step.posterior.var.double()
    added = torch.zeros_like(x) if step.noise is None else var.sqrt() * step.noise.double()
    off = None
    if float(diffusion.schedule.alpha_bar[step.t]) > 0:
        euler = euler_step(diffusion, step.x_t, step.prediction.eps, step.t, s)
        off = float((mean + added - euler).square().mean().sqrt())
    return numbers._replace(
        x0_lowest=float(x0.min()),
        x0_highest=float(x0.max()),
        outside=float((x0.abs() > 1).double().mean()),
        mean_rms=float(mean.square().mean().sqrt()),
        variance=float(var.mean()),
        noise_norm=float(added.flatten(1).norm(dim=1).mean()),
        off_euler=off,
    )
