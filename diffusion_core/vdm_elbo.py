"""The bound of variational diffusion models, in finite and in continuous time.

All terms are costs in nats. Everything derives from gamma, minus the log-SNR.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from diffusion_core.bound import ElboTerms, repeat, repeat_label
from diffusion_core.gaussian import Gaussian, require_alike
from diffusion_core.likelihood import (
    GREY_LEVELS,
    categorical,
    nearest_level,
    per_example,
    require_finite_nats,
    standard_normal_kl,
)
from diffusion_core.samplers import standard_normal
from diffusion_core.schedules import NoiseSchedule

Gamma = Callable[[Tensor], Tensor]
"""Minus log-SNR at times in 0..1, element by element, rising; float64 in, same shape out."""


class NoisePredictor(Protocol):
    """A network that is told the log-SNR instead of a step."""

    def __call__(self, z: Tensor, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """The noise in z [B, *D], whose log-SNR is [B] float64: [B, *D].

        It is called with a label only where there is one: predict(z, log_snr) will do without.
        """
        ...


def linear_gamma(low: float = -13.3, high: float = 5.0) -> Gamma:
    r"""A straight line in the log-SNR: $\gamma(t) = \gamma_0 + (\gamma_1-\gamma_0)\,t$.

    Source: Kingma et al. 2021, their published code, `NoiseSchedule_FixedLinear`; -13.3 and 5 are
    where its configurations have their learned schedules begin.
    """
    return lambda t: low + (high - low) * t


def gamma_schedule(gamma: Gamma, T: int) -> NoiseSchedule:
    r"""The discrete process that a VDM with T steps is: T + 1 noise levels, and the clean picture.

    $$\bar\alpha_{i+1} = S\left(-\gamma(i/T)\right), \qquad i = 0..T$$

    Source: Kingma et al. 2021, eq. 4. Their z_0, which is slightly noisy, is our x_1.

    Raises:
        ValueError: for T < 1, and where gamma does not rise.
    """
    _require_vdm_steps(T)
    levels = torch.sigmoid(-gamma(torch.arange(T + 1, dtype=torch.float64) / T)).detach().cpu()
    return NoiseSchedule("gamma", torch.cat([levels.new_ones(1), levels]))


def vdm_prior(gamma: Gamma, x0: Tensor) -> Tensor:
    """KL(q(z_1|x_0) || N(0, I)), [B] nats: `standard_normal_kl` at gamma(1).

    Source: Kingma et al. 2021, eq. 11 (first term).
    """
    last = gamma(torch.ones(1, dtype=torch.float64, device=x0.device))
    return standard_normal_kl(x0.double(), torch.sigmoid(-last))


def vdm_reconstruction(
    gamma: Gamma, x0: Tensor, eps: Tensor, levels: Tensor = GREY_LEVELS
) -> Tensor:
    r"""-log p(x_0|z_0) with VDM's decoder, [B] nats; `eps` [B, *D] is the noise in z_0.

    $$z_0/\alpha_0 = x_0 + e^{\gamma(0)/2}\,\epsilon, \qquad
    p(x_0|z_0) \propto \mathcal N(x_0;\ z_0/\alpha_0,\ e^{\gamma(0)})$$

    Source: Kingma et al. 2021, section 3.3.

    Raises:
        ValueError: when a value of x0 is not one of the levels.
    """
    shape = (1,) * x0.ndim
    first = gamma(torch.zeros(1, dtype=torch.float64, device=x0.device)).reshape(shape)
    seen = Gaussian(x0.double() + (first / 2).exp() * eps.double(), first.exp())
    return -per_example(categorical(x0.double(), seen, levels))


def vdm_diffusion(
    gamma: Gamma,
    predict: NoisePredictor,
    x0: Tensor,
    eps: Tensor,
    t: Tensor,
    s: Tensor | None = None,
    label: Tensor | None = None,
) -> Tensor:
    r"""The cost of the step from t to s; or, without s, the cost per unit of time at t.

    $$\tfrac12\left(e^{\gamma(t)-\gamma(s)}-1\right)\lVert\epsilon-\hat\epsilon\rVert^2,
    \qquad \tfrac12\,\gamma'(t)\,\lVert\epsilon-\hat\epsilon\rVert^2$$

    Source: Kingma et al. 2021, eq. 14 and 17. The first factor is taken with `expm1`: at T = 1000
    the difference of two gammas is small, and exp(...) - 1 would lose its digits. Differentiable
    in gamma and in the network.

    Args:
        gamma: the schedule.
        predict: (z, log_snr) -> eps_hat, and (z, log_snr, label) where there is one; z has x0's
            dtype.
        x0: [B, *D].
        eps: [B, *D].
        t: [B] float64 in 0..1.
        s: [B] float64, 0 <= s < t; or None.
        label: [B] int64 classes, or None.

    Returns:
        [B] nats, float64.

    Raises:
        ValueError: unless 0 <= s < t <= 1 where s is given, for a gamma that falls: the cost would
            be negative, for one whose slope autograd does not find, and for an eps_hat of another
            shape.
    """
    if s is not None and not bool((s < t).all()):
        raise ValueError("s must be smaller than t: the process runs from s to t")
    if s is not None and not bool(((s >= 0) & (t <= 1)).all()):
        raise ValueError("s and t must lie in 0..1")
    gamma_t = gamma(t)
    if s is None:
        factor = _slope(gamma, t, learned=gamma_t.requires_grad)
    else:
        factor = torch.expm1(gamma_t - gamma(s))
    if not bool((factor >= 0).all()):
        raise ValueError("gamma must rise with t: noise is added, never taken away")
    level = gamma_t.reshape(-1, *[1] * (x0.ndim - 1))
    a, sigma = torch.sigmoid(-level).sqrt(), torch.sigmoid(level).sqrt()
    z = (a * x0.double() + sigma * eps.double()).to(x0.dtype)
    told = () if label is None else (label,)
    eps_hat = predict(z, -gamma_t, *told)
    require_alike("the predicted noise", eps_hat, z)
    gap = (eps.double() - eps_hat.to(z.device, torch.float64)).square()
    return 0.5 * factor * per_example(gap)


def _slope(gamma: Gamma, t: Tensor, learned: bool) -> Tensor:
    """Derivative of gamma at t, in every gradient mode; `learned` keeps it differentiable."""
    with torch.inference_mode(False), torch.enable_grad():
        t = t.detach().clone().requires_grad_()
        height = gamma(t).sum()
        slope: Tensor | None = None
        if height.requires_grad:
            (slope,) = torch.autograd.grad(height, t, create_graph=learned, allow_unused=True)
    if slope is None:
        raise ValueError("gamma has no slope that autograd finds: compute it from t, with torch")
    return slope


def vdm_elbo(
    gamma: Gamma,
    predict: NoisePredictor,
    x0: Tensor,
    *,
    T: int | None = None,
    n: int = 64,
    stratified: bool = True,
    levels: Tensor = GREY_LEVELS,
    label: Tensor | None = None,
    batch: int = 1,
    generator: torch.Generator,
) -> ElboTerms:
    r"""The bound of a variational diffusion model, with T steps or in continuous time.

    $$\begin{aligned} L = {} & D_{KL}(q(z_1|x_0)\Vert p(z_1)) \\
    & + \textstyle\sum_{i=1}^{T}\tfrac12 \left(e^{\gamma(i/T)-\gamma((i-1)/T)}-1\right) \\
    & \hspace{4em} \cdot E\lVert\epsilon-\hat\epsilon\rVert^2 \\
    & - E\log p(x_0|z_0) \end{aligned}$$

    Source: Kingma et al. 2021, eq. 11, 14 and 17. In continuous time the sum is an integral over t,
    estimated from n times per example.

    Args:
        gamma: the schedule; only its ends and its T + 1 values count, or with T=None its ends and
            the network.
        predict: (z, log_snr) -> eps_hat, and (z, log_snr, label) where there is one.
        x0: [B, *D], values in `levels`.
        T: steps, or None for continuous time.
        n: draws of t per example in continuous time; ignored when T is given.
        stratified: spread the draws of all examples evenly over 0..1 behind one random shift
            (Kingma et al. 2021, appendix I.1), which lowers the variance; False makes them
            independent.
        levels: [V] what values a pixel can have, evenly spaced, rising.
        label: [B] int64 classes, or None.
        batch: pictures per call of the network, as far as whole steps go: the default asks step by
            step, with x0's own shape.
        generator: the source of times and noise.

    Returns:
        Nats per example, float64. `denoising` is [B, T], where column i - 1 is the step from i/T;
        in continuous time [B, n], where every column is its draw's share, 1/n of the cost per
        unit of time, so that the sum is the estimate.

    Raises:
        ValueError: for T < 1 or n < 1, as `vdm_diffusion`, when a value of x0 is not one of the
            levels, and where a cost is not a finite number.
    """
    if T is not None:
        _require_vdm_steps(T)
    elif n < 1:
        raise ValueError(f"an estimate needs at least one draw, not {n}")
    nearest_level(x0, levels)
    B = len(x0)
    eps = standard_normal(x0, generator)
    prior, reconstruction = vdm_prior(gamma, x0), vdm_reconstruction(gamma, x0, eps, levels)
    if T is not None:
        n = T
        t = (torch.arange(1, T + 1, dtype=torch.float64) / T).expand(B, T)
    else:
        shift = torch.rand(
            1 if stratified else B * n,
            generator=generator,
            device=generator.device,
            dtype=torch.float64,
        ).cpu()
        if stratified:  # column j of example i is at (j + i/B) / n, shifted: even in both ways
            shift = (torch.arange(B * n, dtype=torch.float64) / (B * n) + shift) % 1
        t = shift.reshape(n, B).T
    columns = []
    at_once = max(1, batch // max(1, B))
    for start in range(0, n, at_once):
        k = min(at_once, n - start)
        part = t[:, start : start + k].T.reshape(-1).to(x0.device)  # draws outermost
        noise = torch.cat([standard_normal(x0, generator) for _ in range(k)])
        cost = vdm_diffusion(
            gamma,
            predict,
            repeat(x0, k),
            noise,
            part,
            None if T is None else part - 1 / T,
            repeat_label(label, k),
        )
        require_finite_nats(cost, part)
        columns.append(cost.reshape(k, B).T)
    denoising = torch.cat(columns, dim=1)
    return ElboTerms(prior, denoising if T is not None else denoising / n, reconstruction)


def _require_vdm_steps(T: int) -> None:
    if T < 1:
        raise ValueError(f"a variational diffusion model needs at least one step, not {T}")
