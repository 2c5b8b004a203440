"""What the likelihood bound costs, term by term: exact over all steps, or estimated from a few.

All terms are costs in nats: their sum is at least -log p(x_0). Step t of the process owns one of
them: t = 1 the reconstruction, t = 2..T the denoising terms, and the prior needs no network.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from diffusion_core.bound import ElboTerms, repeat, repeat_label
from diffusion_core.denoisers import Denoiser
from diffusion_core.discrete_elbo import discrete_elbo
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
from diffusion_core.proposals import (
    PROPOSALS,
    Estimate,
    LossHistory,
    Proposal,
    Uniform,
    draw_steps,
    proposal_for,
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
    "Proposal",
    "Uniform",
    "discrete_elbo",
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
    variance: str = "posterior",
    clip_x0: bool = False,
    decoder: str = "discretized_gaussian",
    label: Tensor | None = None,
    batch: int = 1,
    generator: torch.Generator,
) -> Iterator[tuple[range, Term]]:
    """Walk over t = 1..T, several steps per call of the denoiser, with all that a term is made of.

    The noise of each step is drawn by itself, in the order of t: the same generator gives the same
    numbers whatever `batch` is.

    Args:
        diffusion: the process the denoiser was trained for.
        denoiser: predicts x0; asked in x0's dtype, while the terms are float64.
        x0: [B, *D] floating point.
        variance: key in `samplers.VARIANCES`.
        clip_x0: clip predictions to [-1, 1].
        decoder: key in `likelihood.DECODERS`. All but "gaussian" are probabilities of the 256 grey
            levels, and refuse a picture with values between them.
        label: [B] int64 classes, or None.
        batch: pictures per call of the denoiser, as far as whole steps go: a step's B pictures are
            never split, so that the default asks step by step, with pictures of x0's own shape.
            Small batches are quicker in larger ones.
        generator: the source of noise.

    Yields:
        A range of steps, and a `Term` with a row for every step and example, steps outermost.

    Raises:
        ValueError: on the call: for T = 1, unknown names, a picture that is none of grey levels
            (unless the decoder is "gaussian"), and a denoiser that knows no x0 at a last step
            without signal. While walking: when a term is not a finite number, and for an answer
            of another shape.
    """
    _require_fit(diffusion, denoiser, x0, variance, decoder, label)
    B, n = len(x0), max(1, batch // max(1, len(x0)))

    def walk() -> Iterator[tuple[range, Term]]:
        for start in range(1, diffusion.T + 1, n):
            steps = range(start, min(start + n, diffusion.T + 1))
            eps = torch.cat([standard_normal(x0.double(), generator) for _ in steps])
            t = torch.tensor(steps).repeat_interleave(B)
            many, labels = repeat(x0, len(steps)), repeat_label(label, len(steps))
            term = elbo_term(
                diffusion, denoiser, many, t, eps,
                variance=variance, clip_x0=clip_x0, decoder=decoder, label=labels,
            )  # fmt: skip
            yield steps, term

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
    batch: int = 1,
    generator: torch.Generator,
) -> Iterator[tuple[range, Tensor]]:
    """The terms as they are computed; stop asking, and nothing more is computed.

    Args: as for `gaussian_elbo_details`, and so are the errors.

    Yields:
        A range of steps within 1..T and their terms, [B, len(range)] nats. The column of t = 1 is
        the reconstruction; together with `prior_kl` they add up to the bound.
    """
    details = gaussian_elbo_details(
        diffusion, denoiser, x0, variance=variance, clip_x0=clip_x0, decoder=decoder, label=label,
        batch=batch, generator=generator,
    )  # fmt: skip
    return (
        (steps, per_example(term.nats).reshape(len(steps), len(x0)).T) for steps, term in details
    )


def gaussian_elbo(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x0: Tensor,
    *,
    variance: str = "posterior",
    clip_x0: bool = False,
    decoder: str = "discretized_gaussian",
    label: Tensor | None = None,
    batch: int = 1,
    generator: torch.Generator,
) -> ElboTerms:
    r"""Every term of the bound, each with one draw of x_t: exact over t, unbiased over the noise.

    $$\begin{aligned} L = {} & D_{KL}(q(x_T|x_0)\Vert p(x_T)) \\
    & + \textstyle\sum_{t=2}^{T} E_q D_{KL}(q(x_{t-1}|x_t,x_0) \\
    & \hspace{6em} \Vert\, p_\theta(x_{t-1}|x_t)) \\
    & - E_q\log p_\theta(x_0|x_1) \end{aligned}$$

    Source: Ho et al. 2020, eq. 5; improved-diffusion, `calc_bpd_loop`.

    Args: as for `gaussian_elbo_details`, and so are the errors.

    Returns:
        Nats per example, float64.
    """
    terms = gaussian_elbo_terms(
        diffusion, denoiser, x0, variance=variance, clip_x0=clip_x0, decoder=decoder, label=label,
        batch=batch, generator=generator,
    )  # fmt: skip
    table = torch.cat([part for _, part in terms], dim=1)
    return ElboTerms(prior_kl(diffusion, x0), table[:, 1:], table[:, 0])


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
        answer = denoiser(torch.zeros_like(x0), torch.full((len(x0),), diffusion.T), label)
        if not bool(torch.isfinite(answer.x0).all()):
            raise ValueError("the denoiser knows no x0 at the last step, where no signal is left")


# --- a few terms stand for all -------------------------------------------------------------------


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
    batch: int = 1,
    generator: torch.Generator,
) -> Tensor:
    r"""Guesses at the whole bound, each from one term; every one of them is right on average.

    $$\hat L = L_T + \frac{L_{t-1}}{p_t}, \qquad t \sim p, \qquad E[\hat L] = L$$

    Source: Nichol & Dhariwal 2021, eq. 18 (with the prior, which is known, added).

    Args: n is the number of draws per example. The proposal is a key in `PROPOSALS` for a fresh
    one, or one that has learned already; it goes on learning after every call of the denoiser, and
    what was drawn before keeps its weight, so that no bias comes in. The others are those of
    `gaussian_elbo_details`, and so are their errors. The default asks for one draw per call.

    Returns:
        [B, n] nats, float64.

    Raises:
        ValueError: also for n < 1, and a proposal that is unknown or has another T.
    """
    if n < 1:
        raise ValueError(f"an estimate needs at least one draw, not {n}")
    proposal = proposal_for(diffusion.T, proposal)
    _require_fit(diffusion, denoiser, x0, variance, decoder, label)
    prior = prior_kl(diffusion, x0)
    at_once = max(1, batch // max(1, len(x0)))
    draws = []
    for start in range(0, n, at_once):
        k = min(at_once, n - start)
        p = proposal.probabilities()
        many = repeat(x0, k)
        t = draw_steps(p, len(many), generator)
        term = elbo_term(
            diffusion, denoiser, many, t, standard_normal(many.double(), generator),
            variance=variance, clip_x0=clip_x0, decoder=decoder, label=repeat_label(label, k),
        )  # fmt: skip
        nats = per_example(term.nats)
        proposal.update(t, nats)
        weighted = nats / p[t - 1].to(nats.device)
        draws.append(prior[:, None] + weighted.reshape(k, len(x0)).T)
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
    batch: int = 1,
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
        diffusion, denoiser, x0, n=n, proposal=proposal, variance=variance, clip_x0=clip_x0,
        decoder=decoder, label=label, batch=batch, generator=generator,
    )  # fmt: skip
    return Estimate.of(draws)
