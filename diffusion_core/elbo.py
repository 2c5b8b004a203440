"""What the likelihood bound costs, term by term: exact over all steps, or estimated from a few.

All terms are costs in nats: their sum is at least -log p(x_0). Step t of the process owns one of
them: t = 1 the reconstruction, t = 2..T the denoising terms, and the prior needs no network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import Gaussian, GaussianDiffusion
from diffusion_core.likelihood import (
    DECODERS,
    GREY_LEVELS,
    TWO_STEPS,
    Term,
    categorical,
    elbo_term,
    nearest_level,
    per_example,
    standard_normal_kl,
)
from diffusion_core.samplers import VARIANCES, standard_normal
from diffusion_core.schedules import NoiseSchedule


class ElboTerms(NamedTuple):
    r"""The bound of each example, split into its terms (nats, all costs).

    $$-\log p(x_0) \le L_T + \sum_{t=2}^{T} L_{t-1} + L_0$$

    Source: Ho et al. 2020, eq. 5.

    Attributes:
        prior: [B], L_T.
        denoising: [B, T-1], L_{t-1} in the column of t = 2..T.
        reconstruction: [B], L_0, the cost -log p(x_0|x_1).
    """

    prior: Tensor
    denoising: Tensor
    reconstruction: Tensor

    @property
    def total(self) -> Tensor:
        """[B] nats: the sum of all terms, an upper bound of -log p(x_0)."""
        return self.prior + self.denoising.sum(1) + self.reconstruction

    def bits_per_dim(self, D: int) -> Tensor:
        """[B] bits for each of the D numbers of one example: total / (D log 2)."""
        return self.total / (D * math.log(2))


# --- all terms -----------------------------------------------------------------------------------


def prior_kl(diffusion: GaussianDiffusion, x0: Tensor) -> Tensor:
    """L_T: `standard_normal_kl` at the last step, [B] nats float64; no network is asked."""
    return standard_normal_kl(x0.double(), diffusion.schedule.alpha_bar[-1].to(x0.device))


def gaussian_elbo_details(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    *,
    variance: str = "posterior",
    clip_x0: bool = False,
    decoder: str = "discretized_gaussian",
    label: Tensor | None = None,
    batch: int = 64,
    generator: torch.Generator,
) -> Iterator[tuple[range, Term]]:
    """Walk over t = 1..T, several steps per call of the denoiser, with all that a term is made of.

    The noise of each step is drawn by itself, in the order of t: the same generator gives the same
    numbers whatever `batch` is.

    Args:
        diffusion: the process the denoiser was trained for.
        denoiser: predicts x0; called with float64 pictures.
        x0: [B, *D] floating point.
        variance: key in `samplers.VARIANCES`.
        clip_x0: clip predictions to [-1, 1].
        decoder: key in `likelihood.DECODERS`.
        label: [B] int64 classes, or None.
        batch: pictures per call of the denoiser; a step's B examples are never split.
        generator: the source of noise.

    Yields:
        A range of steps, and a `Term` with a row for every step and example, steps outermost.

    Raises:
        ValueError: on the call: for T = 1, unknown names, a picture that is none of grey levels
            (unless the decoder is "gaussian"), and a denoiser that knows no x0 at a last step
            without signal. While walking: when a term is not a finite number.
    """
    _require_fit(diffusion, denoiser, x0, variance, decoder, label)
    x0 = x0.double()
    B, n = len(x0), max(1, batch // max(1, len(x0)))

    def walk() -> Iterator[tuple[range, Term]]:
        for start in range(1, diffusion.T + 1, n):
            steps = range(start, min(start + n, diffusion.T + 1))
            eps = torch.cat([standard_normal(x0, generator) for _ in steps])
            t = torch.tensor(steps).repeat_interleave(B)
            yield (
                steps,
                elbo_term(
                    diffusion,
                    denoiser,
                    _repeat(x0, len(steps)),
                    t,
                    eps,
                    variance=variance,
                    clip_x0=clip_x0,
                    decoder=decoder,
                    label=None if label is None else label.repeat(len(steps)),
                ),
            )

    return walk()


def gaussian_elbo_terms(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    *,
    variance: str = "posterior",
    clip_x0: bool = False,
    decoder: str = "discretized_gaussian",
    label: Tensor | None = None,
    batch: int = 64,
    generator: torch.Generator,
) -> Iterator[tuple[range, Tensor]]:
    """The terms as they are computed; stop asking, and nothing more is computed.

    Args: as for `gaussian_elbo_details`, and so are the errors.

    Yields:
        A range of steps within 1..T and their terms, [B, len(range)] nats. The column of t = 1 is
        the reconstruction; together with `prior_kl` they add up to the bound.
    """
    details = gaussian_elbo_details(
        diffusion,
        denoiser,
        x0,
        variance=variance,
        clip_x0=clip_x0,
        decoder=decoder,
        label=label,
        batch=batch,
        generator=generator,
    )
    return ((steps, per_example(term.nats).reshape(len(steps), -1).T) for steps, term in details)


def gaussian_elbo(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    *,
    variance: str = "posterior",
    clip_x0: bool = False,
    decoder: str = "discretized_gaussian",
    label: Tensor | None = None,
    batch: int = 64,
    generator: torch.Generator,
) -> ElboTerms:
    r"""Every term of the bound, each with one draw of x_t: exact over t, unbiased over the noise.

    $$L = D_{KL}(q(x_T|x_0)\Vert p(x_T)) + \sum_{t=2}^{T}
    E_q D_{KL}(q(x_{t-1}|x_t,x_0)\Vert p_\theta(x_{t-1}|x_t)) - E_q\log p_\theta(x_0|x_1)$$

    Source: Ho et al. 2020, eq. 5; improved-diffusion, `calc_bpd_loop`.

    Args: as for `gaussian_elbo_details`, and so are the errors.

    Returns:
        Nats per example, float64.
    """
    terms = gaussian_elbo_terms(
        diffusion,
        denoiser,
        x0,
        variance=variance,
        clip_x0=clip_x0,
        decoder=decoder,
        label=label,
        batch=batch,
        generator=generator,
    )
    table = torch.cat([part for _, part in terms], dim=1)
    return ElboTerms(prior_kl(diffusion, x0), table[:, 1:], table[:, 0])


def _repeat(x: Tensor, n: int) -> Tensor:
    return x.repeat(n, *[1] * (x.ndim - 1))


def _require_fit(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    variance: str,
    decoder: str,
    label: Tensor | None,
) -> None:
    """Raise now what would otherwise come up in the middle of the walk."""
    if diffusion.T < 2:
        raise ValueError(TWO_STEPS)
    for name, known in ((variance, list(VARIANCES)), (decoder, list(DECODERS))):
        if name not in known:
            raise ValueError(f"unknown name {name!r}; known are {', '.join(known)}")
    if not x0.is_floating_point():
        raise ValueError("x0 must be floating point")
    if not bool(torch.isfinite(x0).all()):
        raise ValueError("the picture holds a value that is not a finite number")
    if decoder != "gaussian":
        nearest_level(x0, GREY_LEVELS)
    if diffusion.schedule.alpha_bar[-1] == 0 and len(x0):
        # A denoiser that reads x0 off the noise raises here, not T - 1 steps later.
        one = torch.zeros_like(x0[:1]).double()
        answer = denoiser(one, torch.tensor([diffusion.T]), None if label is None else label[:1])
        if not bool(torch.isfinite(answer.x0).all()):
            raise ValueError("the denoiser knows no x0 at the last step, where no signal is left")


# --- a few terms stand for all -------------------------------------------------------------------


class Proposal(Protocol):
    """A way to choose which terms to look at."""

    def probabilities(self) -> Tensor:
        """[T] float64 on the CPU, all positive, with sum 1: how often t = 1..T is drawn."""
        ...

    def update(self, t: Tensor, nats: Tensor) -> None:
        """Learn from terms that were computed: t [N] int64 and their nats [N]."""
        ...


class Uniform:
    r"""Every step is as likely as every other: $p_t = 1/T$."""

    def __init__(self, T: int) -> None:
        self.T = T

    def probabilities(self) -> Tensor:
        """[T] float64."""
        return torch.full((self.T,), 1 / self.T, dtype=torch.float64)

    def update(self, t: Tensor, nats: Tensor) -> None:
        """Nothing to learn."""


class LossHistory:
    r"""Look more often where terms were large lately.

    $$p_t \propto \sqrt{E[L_t^2]}$$

    Source: Nichol & Dhariwal 2021, section 3.3; improved-diffusion,
    `LossSecondMomentResampler`. Uniform until every step has been seen `length` times; then a
    thousandth of the draws stays uniform, so that no step is ever forgotten.

    Args:
        T: steps.
        length: how many of the latest values of each step count.
        floor: share of the draws that stays uniform.
    """

    def __init__(self, T: int, length: int = 10, floor: float = 1e-3) -> None:
        self.T, self.length, self.floor = T, length, floor
        self.history = torch.zeros(T, length, dtype=torch.float64)
        self.seen = torch.zeros(T, dtype=torch.int64)

    @property
    def warm(self) -> bool:
        """Whether every step has been seen often enough."""
        return bool((self.seen >= self.length).all())

    def probabilities(self) -> Tensor:
        """[T] float64."""
        uniform = torch.full((self.T,), 1 / self.T, dtype=torch.float64)
        weights = self.history.square().mean(1).sqrt()
        if not self.warm or not bool(weights.any()):
            return uniform
        return (1 - self.floor) * weights / weights.sum() + self.floor * uniform

    def update(self, t: Tensor, nats: Tensor) -> None:
        """Remember these terms: t [N] int64, nats [N]; the oldest ones are forgotten."""
        for step, value in zip(t.tolist(), nats.tolist(), strict=True):
            slot = int(self.seen[step - 1]) % self.length
            self.history[step - 1, slot] = value
            self.seen[step - 1] += 1


PROPOSALS: dict[str, Callable[[int], Proposal]] = {"uniform": Uniform, "importance": LossHistory}
"""T -> a fresh proposal."""


class Estimate(NamedTuple):
    """A mean of independent draws, and how far off it typically is.

    Attributes:
        mean: [B] nats.
        standard_error: [B] nats: the draws' standard deviation over the root of their number.
    """

    mean: Tensor
    standard_error: Tensor


def _draw_steps(probabilities: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """[count] int64 steps in 1..T; drawn on the generator's device, returned on the CPU."""
    weights = probabilities.to(generator.device)
    return 1 + torch.multinomial(weights, count, replacement=True, generator=generator).cpu()


def elbo_draws(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    *,
    n: int,
    proposal: str | Proposal = "uniform",
    variance: str = "posterior",
    clip_x0: bool = False,
    decoder: str = "discretized_gaussian",
    label: Tensor | None = None,
    batch: int = 64,
    generator: torch.Generator,
) -> Tensor:
    r"""Guesses at the whole bound, each from one term; every one of them is right on average.

    $$\hat L = L_T + \frac{L_{t-1}}{p_t}, \qquad t \sim p, \qquad E[\hat L] = L$$

    Source: Nichol & Dhariwal 2021, eq. 17 (with the prior, which is known, added).

    Args: n is the number of draws per example. The proposal is a key in `PROPOSALS` for a fresh
    one, or one that has learned already; it goes on learning after every call of the denoiser, and
    what was drawn before keeps its weight, so that no bias comes in. The others are those of
    `gaussian_elbo_details`, and so are their errors.

    Returns:
        [B, n] nats, float64.

    Raises:
        ValueError: also for n < 1, and a proposal that is unknown or has another T.
    """
    if n < 1:
        raise ValueError(f"an estimate needs at least one draw, not {n}")
    if isinstance(proposal, str):
        if proposal not in PROPOSALS:
            raise ValueError(f"unknown proposal {proposal!r}; known are {', '.join(PROPOSALS)}")
        proposal = PROPOSALS[proposal](diffusion.T)
    if len(proposal.probabilities()) != diffusion.T:
        raise ValueError("the proposal was made for another number of steps")
    _require_fit(diffusion, denoiser, x0, variance, decoder, label)
    x0 = x0.double()
    prior = prior_kl(diffusion, x0)
    at_once = max(1, batch // max(1, len(x0)))
    draws = []
    for start in range(0, n, at_once):
        k = min(at_once, n - start)
        p = proposal.probabilities()
        many = _repeat(x0, k)
        t = _draw_steps(p, len(many), generator)
        term = elbo_term(
            diffusion,
            denoiser,
            many,
            t,
            standard_normal(many, generator),
            variance=variance,
            clip_x0=clip_x0,
            decoder=decoder,
            label=None if label is None else label.repeat(k),
        )
        nats = per_example(term.nats)
        proposal.update(t, nats)
        weighted = nats / p[t - 1].to(nats.device)
        draws.append(prior[:, None] + weighted.reshape(k, -1).T)
    return torch.cat(draws, dim=1)


def estimate_elbo(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    *,
    n: int,
    proposal: str | Proposal = "uniform",
    variance: str = "posterior",
    clip_x0: bool = False,
    decoder: str = "discretized_gaussian",
    label: Tensor | None = None,
    batch: int = 64,
    generator: torch.Generator,
) -> Estimate:
    """Mean and standard error of `elbo_draws`, whose arguments and errors these are.

    Returns:
        Nats per example, float64.

    Raises:
        ValueError: also for n < 2, which leaves no error to estimate.
    """
    if n < 2:
        raise ValueError(f"a standard error needs at least two draws, not {n}")
    draws = elbo_draws(
        diffusion,
        denoiser,
        x0,
        n=n,
        proposal=proposal,
        variance=variance,
        clip_x0=clip_x0,
        decoder=decoder,
        label=label,
        batch=batch,
        generator=generator,
    )
    return Estimate(draws.mean(1), draws.std(1) / math.sqrt(n))


# --- variational diffusion models ----------------------------------------------------------------

Gamma = Callable[[Tensor], Tensor]
"""Minus log-SNR at times in 0..1, element by element, rising; float64 in, same shape out."""


class NoisePredictor(Protocol):
    """A network that is told the log-SNR instead of a step."""

    def __call__(self, z: Tensor, log_snr: Tensor, label: Tensor | None) -> Tensor:
        """The noise in z [B, *D], whose log-SNR is [B] float64: [B, *D]."""
        ...


def linear_gamma(low: float = -13.3, high: float = 5.0) -> Gamma:
    r"""VDM's fixed schedule: $\gamma(t) = \gamma_0 + (\gamma_1-\gamma_0)\,t$.

    Source: Kingma et al. 2021, appendix (gamma from -13.3 to 5).
    """
    return lambda t: low + (high - low) * t


def gamma_schedule(gamma: Gamma, T: int) -> NoiseSchedule:
    r"""The discrete process that a VDM with T steps is: T + 1 noise levels, and the clean picture.

    $$\bar\alpha_{i+1} = S\left(-\gamma(i/T)\right), \qquad i = 0..T$$

    Source: Kingma et al. 2021, eq. 2 and 3. Their z_0, which is slightly noisy, is our x_1.

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
        predict: (z, log_snr, label) -> eps_hat; z has x0's dtype.
        x0: [B, *D].
        eps: [B, *D].
        t: [B] float64 in 0..1.
        s: [B] float64, 0 <= s < t; or None.
        label: [B] int64 classes, or None.

    Returns:
        [B] nats, float64.
    """
    gamma_t = gamma(t)
    if s is None:
        factor = _slope(gamma, t, learned=gamma_t.requires_grad)
    else:
        factor = torch.expm1(gamma_t - gamma(s))
    level = gamma_t.reshape(-1, *[1] * (x0.ndim - 1))
    a, sigma = torch.sigmoid(-level).sqrt(), torch.sigmoid(level).sqrt()
    z = (a * x0.double() + sigma * eps.double()).to(x0.dtype)
    eps_hat = predict(z, -gamma_t, label)
    gap = (eps.double() - eps_hat.to(z.device, torch.float64)).square()
    return 0.5 * factor * per_example(gap)


def _slope(gamma: Gamma, t: Tensor, learned: bool) -> Tensor:
    """Derivative of gamma at t, in every gradient mode; `learned` keeps it differentiable."""
    with torch.inference_mode(False), torch.enable_grad():
        t = t.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(gamma(t).sum(), t, create_graph=learned)
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
    batch: int = 64,
    generator: torch.Generator,
) -> ElboTerms:
    r"""The bound of a variational diffusion model, with T steps or in continuous time.

    $$L = D_{KL}(q(z_1|x_0)\Vert p(z_1)) + \sum_{i=1}^{T}\tfrac12
    \left(e^{\gamma(i/T)-\gamma((i-1)/T)}-1\right) E\lVert\epsilon-\hat\epsilon\rVert^2
    - E\log p(x_0|z_0)$$

    Source: Kingma et al. 2021, eq. 11, 14 and 17. In continuous time the sum is an integral over t,
    estimated from n times per example.

    Args:
        gamma: the schedule; only its ends and its T + 1 values count, or with T=None its ends and
            the network.
        predict: (z, log_snr, label) -> eps_hat.
        x0: [B, *D], values in `levels`.
        T: steps, or None for continuous time.
        n: draws of t per example in continuous time; ignored when T is given.
        stratified: spread the draws of all examples evenly over 0..1 behind one random shift
            (Kingma et al. 2021, appendix I.1), which lowers the variance; False makes them
            independent.
        levels: [V] what values a pixel can have, evenly spaced, rising.
        label: [B] int64 classes, or None.
        batch: pictures per call of the network; a step's B examples are never split.
        generator: the source of times and noise.

    Returns:
        Nats per example, float64. `denoising` is [B, T], where column i - 1 is the step from i/T;
        in continuous time [B, n], where every column is its draw's share, 1/n of the cost per
        unit of time, so that the sum is the estimate.

    Raises:
        ValueError: for T < 1 or n < 1, and when a value of x0 is not one of the levels.
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
        part = t[:, start : start + at_once].T.reshape(-1).to(x0.device)  # draws outermost
        k = len(part) // B
        noise = torch.cat([standard_normal(x0, generator) for _ in range(k)])
        cost = vdm_diffusion(
            gamma,
            predict,
            _repeat(x0, k),
            noise,
            part,
            None if T is None else part - 1 / T,
            None if label is None else label.repeat(k),
        )
        columns.append(cost.reshape(k, B).T)
    denoising = torch.cat(columns, dim=1)
    return ElboTerms(prior, denoising if T is not None else denoising / n, reconstruction)


def _require_vdm_steps(T: int) -> None:
    if T < 1:
        raise ValueError(f"a variational diffusion model needs at least one step, not {T}")
