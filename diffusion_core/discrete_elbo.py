"""The discrete variational bound, exact and estimated, and the losses made of its terms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from diffusion_core.bound import ElboTerms, repeat, repeat_label
from diffusion_core.denoisers import DiscreteDenoiser
from diffusion_core.discrete import REVERSE_RULES, DiscreteDiffusion
from diffusion_core.discrete_sampling import belief
from diffusion_core.likelihood import per_example
from diffusion_core.proposals import Estimate, Proposal, draw_steps, proposal_for

CONFIGURATIONS = 4096  # that an exact sum may run over


def categorical_kl(true: Tensor, model: Tensor) -> Tensor:
    r"""How many nats it costs to code draws of one distribution with a code made for another.

    $$D_{KL} = \sum_j p_j \log\frac{p_j}{q_j}$$

    Source: Austin et al. 2021, eq. 1 (each of its terms).

    Args:
        true: p, [*, K].
        model: q, [*, K].

    Returns:
        [*] nats; infinite where the model rules out what can be.
    """
    possible = true > 0
    ratio = torch.where(possible, true, 1.0).log() - torch.where(possible, model, 1.0).log()
    return (true * ratio).sum(-1)


def vb_terms(
    diffusion: DiscreteDiffusion,
    x0_logits: Tensor,
    x_t: Tensor,
    x0: Tensor,
    t: Tensor,
    s: Tensor | None = None,
    *,
    rule: str = "mixture",
) -> Tensor:
    r"""One term of the bound per element, in float64 whatever the network's precision.

    $$L_{t-1} = D_{KL}\left(q(x_{t-1}|x_t,x_0)\,\|\,p_\theta(x_{t-1}|x_t)\right), \qquad
    L_0 = -\log p_\theta(x_0|x_1)$$

    Source: Austin et al. 2021, eq. 1. L_0 is the same formula: at s = 0 the posterior is all on
    x_0, and every rule returns the model's belief.

    Args:
        diffusion: the process.
        x0_logits: [B, *D, K], the model's belief; gradients flow through it.
        x_t: [B, *D] int64.
        x0: [B, *D] int64.
        t: [B] int64.
        s: [B] int64, any s < t; t - 1 where not given.
        rule: key in `REVERSE_RULES`.

    Returns:
        [B, *D] nats.
    """
    true = diffusion.q_posterior(x_t, x0, t, s)
    if rule not in REVERSE_RULES:
        raise ValueError(f"unknown rule {rule!r}; known are {', '.join(REVERSE_RULES)}")
    model = REVERSE_RULES[rule](diffusion, x_t, belief(x0_logits), t, s)
    return categorical_kl(true, model)


def cross_entropy(x0_logits: Tensor, x0: Tensor) -> Tensor:
    r"""Cost of x_0 in the model's belief, [B, *D] nats.

    $$-\log \tilde p_\theta(x_0|x_t)$$

    Source: Austin et al. 2021, eq. 5.
    """
    return -x0_logits.double().log_softmax(-1).gather(-1, x0[..., None])[..., 0]


def hybrid_loss(
    diffusion: DiscreteDiffusion,
    x0_logits: Tensor,
    x_t: Tensor,
    x0: Tensor,
    t: Tensor,
    *,
    ce_weight: float | Tensor = 0.001,
    rule: str = "mixture",
) -> Tensor:
    r"""The bound's term plus a little cross entropy, which speaks of every x_0 at every t.

    $$L_\lambda = L_{vb} + \lambda\,\mathbb E\left[-\log \tilde p_\theta(x_0|x_t)\right]$$

    Source: Austin et al. 2021, eq. 5; Gu et al. 2022, eq. 12, weighted 5e-4 (2 - (t-1)/T) in their
    code.

    Args:
        diffusion: the process.
        x0_logits: [B, *D, K].
        x_t: [B, *D] int64.
        x0: [B, *D] int64.
        t: [B] int64.
        ce_weight: lambda, a number or one per example [B].
        rule: key in `REVERSE_RULES`.

    Returns:
        [B, *D] nats.
    """
    weight = torch.as_tensor(ce_weight, dtype=torch.float64, device=x_t.device)
    weight = weight.reshape(-1, *[1] * (x_t.ndim - 1))
    bound = vb_terms(diffusion, x0_logits, x_t, x0, t, rule=rule)
    return bound + weight * cross_entropy(x0_logits, x0)


def prior_term(diffusion: DiscreteDiffusion, x0: Tensor) -> Tensor:
    r"""Cost of x_T in the prior, [B] nats; no network has a say in it.

    $$L_T = D_{KL}\left(q(x_T|x_0)\,\|\,p(x_T)\right)$$

    Source: Austin et al. 2021, eq. 1.
    """
    last = torch.full((len(x0),), diffusion.T, dtype=torch.int64)
    prior = diffusion.prior_probs.to(x0.device)
    return per_example(categorical_kl(diffusion.q_marginal(x0, last), prior))


def discrete_elbo_terms(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    x0: Tensor,
    *,
    rule: str = "mixture",
    label: Tensor | None = None,
    batch: int = 1,
    generator: torch.Generator,
) -> Iterator[tuple[range, Tensor]]:
    """All terms that ask the denoiser, t = 1..T, as they are computed; one draw of x_t each.

    Args:
        diffusion: the process.
        denoiser: predicts x_0.
        x0: [B, *D] int64.
        rule: key in `REVERSE_RULES`.
        label: [B] int64 classes, or None.
        batch: examples that go through the denoiser at once, as far as whole steps go: the default
            asks step by step, with x0's own shape.
        generator: draws the x_t.

    Yields:
        (steps, [B, len(steps)] nats per example); the first one holds the reconstruction.
    """
    at_once = max(1, batch // max(1, len(x0)))
    for first in range(1, diffusion.T + 1, at_once):
        steps = range(first, min(first + at_once, diffusion.T + 1))
        t = torch.tensor(steps).repeat_interleave(len(x0))
        many, labels = repeat(x0, len(steps)), repeat_label(label, len(steps))
        x_t = diffusion.q_sample(many, t, generator)
        nats = vb_terms(diffusion, denoiser(x_t, t, labels), x_t, many, t, rule=rule)
        yield steps, per_example(nats).reshape(len(steps), len(x0)).T


def discrete_elbo(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    x0: Tensor,
    *,
    rule: str = "mixture",
    label: Tensor | None = None,
    batch: int = 1,
    generator: torch.Generator,
) -> ElboTerms:
    r"""The whole bound, every t once, each at one draw of x_t: unbiased, term by term.

    $$-\log p_\theta(x_0) \le L_T + \sum_{t=2}^{T} L_{t-1} + L_0$$

    Source: Austin et al. 2021, eq. 1.

    Args:
        diffusion: the process.
        denoiser: predicts x_0.
        x0: [B, *D] int64.
        rule: key in `REVERSE_RULES`.
        label: [B] int64 classes, or None.
        batch: examples that go through the denoiser at once, as far as whole steps go: the default
            asks step by step, with x0's own shape.
        generator: draws the x_t.

    Returns:
        Nats per example, float64.
    """
    parts = discrete_elbo_terms(
        diffusion, denoiser, x0, rule=rule, label=label, batch=batch, generator=generator
    )
    terms = torch.cat([nats for _, nats in parts], 1)
    return ElboTerms(prior_term(diffusion, x0), terms[:, 1:], terms[:, 0])


def estimate_discrete_elbo(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    x0: Tensor,
    *,
    n: int,
    proposal: str | Proposal = "uniform",
    rule: str = "mixture",
    label: Tensor | None = None,
    batch: int = 1,
    generator: torch.Generator,
) -> Estimate:
    r"""The bound from a few random steps instead of all T.

    $$\hat L = L_T + \frac{L_{t-1}}{p_t}, \qquad t \sim p, \qquad E[\hat L] = L$$

    Source: Nichol & Dhariwal 2021, eq. 18 (theirs is Gaussian; the prior, which is known, added).

    Args:
        diffusion: the process.
        denoiser: predicts x_0.
        x0: [B, *D] int64.
        n: draws of (t, x_t) per example, at least 2.
        proposal: key in `proposals.PROPOSALS`, or a proposal that has learned already; it goes on
            learning after every call of the denoiser.
        rule: key in `REVERSE_RULES`.
        label: [B] int64 classes, or None.
        batch: examples that go through the denoiser at once, as far as whole steps go: the default
            asks step by step, with x0's own shape.
        generator: draws t and x_t.

    Returns:
        Mean and standard error, [B] nats per example each, float64.

    Raises:
        ValueError: for n < 2, and a proposal that is unknown or has another T.
    """
    if n < 2:
        raise ValueError(f"a standard error needs at least two draws, not {n}")
    proposal = proposal_for(diffusion.T, proposal)
    at_once = max(1, batch // max(1, len(x0)))
    draws = []
    for first in range(0, n, at_once):
        k = min(at_once, n - first)
        many = repeat(x0, k)
        p = proposal.probabilities()
        t = draw_steps(p, len(many), generator)
        x_t = diffusion.q_sample(many, t, generator)
        logits = denoiser(x_t, t, repeat_label(label, k))
        nats = per_example(vb_terms(diffusion, logits, x_t, many, t, rule=rule))
        proposal.update(t, nats)
        draws.append((nats / p[t - 1].to(nats.device)).reshape(k, len(x0)).T)
    return Estimate.of(prior_term(diffusion, x0)[:, None] + torch.cat(draws, 1))


# --- exact sums over small worlds -----------------------------------------------------------------


def configurations(K: int, shape: Sequence[int]) -> Tensor:
    """Every x there is, [K^D, *shape] int64, the last element changing fastest.

    Raises:
        ValueError: for more than `CONFIGURATIONS`.
    """
    count = K ** math.prod(shape)
    if count > CONFIGURATIONS:
        raise ValueError(f"{count} states are too many to sum over; at most {CONFIGURATIONS}")
    every = torch.tensor(list(itertools.product(range(K), repeat=math.prod(shape))))
    return every.reshape(count, *shape)


def exact_discrete_elbo(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    x0: Tensor,
    *,
    rule: str = "mixture",
    label: Tensor | None = None,
) -> ElboTerms:
    """The bound without any draw: every x_t that x_0 can become, weighted by its probability.

    Source: Austin et al. 2021, eq. 1.

    Args:
        diffusion: the process; K^D at most `CONFIGURATIONS`.
        denoiser: predicts x_0.
        x0: [B, *D] int64.
        rule: key in `REVERSE_RULES`.
        label: [B] int64 classes, or None.

    Returns:
        Nats per example: prior [B], denoising [B, T-1], reconstruction [B].
    """
    every = configurations(diffusion.K, x0.shape[1:])
    terms = torch.empty(len(x0), diffusion.T, dtype=torch.float64)
    for b, t in itertools.product(range(len(x0)), range(1, diffusion.T + 1)):
        one = torch.full((1,), t, dtype=torch.int64)
        q = diffusion.q_marginal(x0[b : b + 1], one).expand(*every.shape, -1)
        weight = q.gather(-1, every[..., None]).flatten(1).prod(1)
        x_t, weight = every[weight > 0], weight[weight > 0]
        same = x0[b : b + 1].expand_as(x_t)
        steps = one.expand(len(x_t))
        labels = None if label is None else label[b : b + 1].expand(len(x_t))
        nats = vb_terms(diffusion, denoiser(x_t, steps, labels), x_t, same, steps, rule=rule)
        terms[b, t - 1] = weight @ per_example(nats)
    return ElboTerms(prior_term(diffusion, x0), terms[:, 1:], terms[:, 0])


def exact_model_probs(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    shape: Sequence[int],
    *,
    rule: str = "mixture",
) -> Tensor:
    r"""What the sampler draws in the end, [K^D] in the order of `configurations`.

    $$p_\theta(x_0) = \sum_{x_{1:T}} p(x_T) \prod_{t=1}^T p_\theta(x_{t-1}|x_t)$$

    Source: Austin et al. 2021, section 2.

    Args:
        diffusion: the process; K^D at most `CONFIGURATIONS`.
        denoiser: predicts x_0.
        shape: D, the shape of one example.
        rule: key in `REVERSE_RULES`.
    """
    every = configurations(diffusion.K, shape)
    flat = every.reshape(len(every), -1)
    probs = diffusion.prior_probs[flat].prod(1)
    for step in range(diffusion.T, 0, -1):
        t = torch.full((len(every),), step, dtype=torch.int64)
        p = REVERSE_RULES[rule](diffusion, every, belief(denoiser(every, t, None)), t)
        p = p.reshape(len(every), -1, diffusion.K)
        moves = torch.ones(len(every), len(every), dtype=torch.float64)
        for d in range(p.shape[1]):
            moves *= p[:, d, flat[:, d]]
        probs = probs @ moves
    return probs
