"""What the likelihood bound costs, term by term: exact over all steps, or estimated from a few.

All terms are costs in nats: their sum is at least -log p(x_0). Step t of the process owns one of
them: t = 1 the reconstruction, t = 2..T the denoising terms, and the prior needs no network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, Unpack

import torch
from torch import Tensor

from diffusion_core.bound import ElboTerms, Options, TermOptions, filled, repeat
from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.likelihood import (
    DECODERS,
    GREY_LEVELS,
    TWO_STEPS,
    Term,
    elbo_term,
    nearest_level,
    per_example,
    standard_normal_kl,
)
from diffusion_core.samplers import VARIANCES, standard_normal
from diffusion_core.vdm_elbo import (
    Gamma,
    NoisePredictor,
    gamma_schedule,
    linear_gamma,
    vdm_diffusion,
    vdm_elbo,
    vdm_prior,
    vdm_reconstruction,
)

__all__ = [
    "PROPOSALS",
    "ElboTerms",
    "Estimate",
    "Gamma",
    "LossHistory",
    "NoisePredictor",
    "Options",
    "Proposal",
    "Uniform",
    "elbo_draws",
    "estimate_elbo",
    "gamma_schedule",
    "gaussian_elbo",
    "gaussian_elbo_details",
    "gaussian_elbo_terms",
    "linear_gamma",
    "prior_kl",
    "vdm_diffusion",
    "vdm_elbo",
    "vdm_prior",
    "vdm_reconstruction",
]


# --- all terms -----------------------------------------------------------------------------------


def prior_kl(diffusion: GaussianDiffusion, x0: Tensor) -> Tensor:
    """L_T: `standard_normal_kl` at the last step, [B] nats float64; no network is asked."""
    return standard_normal_kl(x0.double(), diffusion.schedule.alpha_bar[-1].to(x0.device))


def gaussian_elbo_details(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    *,
    generator: torch.Generator,
    **options: Unpack[Options],
) -> Iterator[tuple[range, Term]]:
    """Walk over t = 1..T, several steps per call of the denoiser, with all that a term is made of.

    The noise of each step is drawn by itself, in the order of t: the same generator gives the same
    numbers whatever `batch` is.

    Args:
        diffusion: the process the denoiser was trained for.
        denoiser: predicts x0; called with float64 pictures.
        x0: [B, *D] floating point.
        generator: the source of noise.
        **options: as in `Options`: variance, clip_x0, decoder, label, batch.

    Yields:
        A range of steps, and a `Term` with a row for every step and example, steps outermost.

    Raises:
        ValueError: on the call: for T = 1, unknown names, a picture that is none of grey levels
            (unless the decoder is "gaussian"), and a denoiser that knows no x0 at a last step
            without signal. While walking: when a term is not a finite number.
    """
    how = filled(options)
    _require_fit(diffusion, denoiser, x0, how)
    x0 = x0.double()
    B, n = len(x0), max(1, how["batch"] // max(1, len(x0)))

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
                    repeat(x0, len(steps)),
                    t,
                    eps,
                    **_each(how, len(steps)),
                ),
            )

    return walk()


def gaussian_elbo_terms(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    *,
    generator: torch.Generator,
    **options: Unpack[Options],
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
        generator=generator,
        **options,
    )
    return ((steps, per_example(term.nats).reshape(len(steps), -1).T) for steps, term in details)


def gaussian_elbo(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    *,
    generator: torch.Generator,
    **options: Unpack[Options],
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
        generator=generator,
        **options,
    )
    table = torch.cat([part for _, part in terms], dim=1)
    return ElboTerms(prior_kl(diffusion, x0), table[:, 1:], table[:, 0])


def _each(how: Options, n: int) -> TermOptions:
    """The options of one call, in which every example comes n times."""
    label = how["label"]
    return TermOptions(
        variance=how["variance"],
        clip_x0=how["clip_x0"],
        decoder=how["decoder"],
        label=None if label is None else label.repeat(n),
    )


def _require_fit(
    diffusion: GaussianDiffusion, denoiser: Denoiser, x0: Tensor, how: Options
) -> None:
    """Raise now what would otherwise come up in the middle of the walk."""
    variance, decoder, label = how["variance"], how["decoder"], how["label"]
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
    generator: torch.Generator,
    **options: Unpack[Options],
) -> Tensor:
    r"""Guesses at the whole bound, each from one term; every one of them is right on average.

    $$\hat L = L_T + \frac{L_{t-1}}{p_t}, \qquad t \sim p, \qquad E[\hat L] = L$$

    Source: Nichol & Dhariwal 2021, eq. 18 (with the prior, which is known, added).

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
    how = filled(options)
    _require_fit(diffusion, denoiser, x0, how)
    x0 = x0.double()
    prior = prior_kl(diffusion, x0)
    at_once = max(1, how["batch"] // max(1, len(x0)))
    draws = []
    for start in range(0, n, at_once):
        k = min(at_once, n - start)
        p = proposal.probabilities()
        many = repeat(x0, k)
        t = _draw_steps(p, len(many), generator)
        term = elbo_term(
            diffusion,
            denoiser,
            many,
            t,
            standard_normal(many, generator),
            **_each(how, k),
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
    generator: torch.Generator,
    **options: Unpack[Options],
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
        generator=generator,
        **options,
    )
    return Estimate(draws.mean(1), draws.std(1) / math.sqrt(n))
