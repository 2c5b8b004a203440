"""Training a hierarchy of levels on its bound: a walk through all, or one level at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffusion_core.bound import ElboTerms, repeat
from diffusion_core.hierarchical import (
    Hierarchy,
    consistency_terms,
    hierarchy,
    kl_terms,
    level_log_ratio,
    one_level,
)
from diffusion_core.mixtures import GaussianMixture


def training_loss(model: Hierarchy, x: Tensor, generator: torch.Generator) -> Tensor:
    r"""One draw of the bound per example: a walk where the encoder is learnt, else one level.

    With a learnt encoder z_t is reached through z_1 ... z_{t-1} only: T calls of the encoder, and
    T of the decoder. With a fixed one a jump leads to any level, and one call tells enough.

    Returns:
        [B] nats.
    """
    B, T = len(x), model.T
    if model.process is None:
        noise = torch.randn(T, B, model.latent, generator=generator)
        return consistency_terms(model, x, noise).total
    t = torch.randint(1, T + 1, (B,), generator=generator)
    return one_level(model, x, t, torch.randn(x.shape, generator=generator))


def count_calls(model: Hierarchy, work: Callable[[], object], examples: int) -> float:
    """How often `work` asks a network about a point, for each of its examples."""
    rows = 0

    def count(_: nn.Module, given: tuple[Tensor, ...], __: Tensor) -> None:
        nonlocal rows
        rows += len(given[0])

    nets = [net for net in (model.encoder, model.decoder) if net is not None]
    hooks = [net.register_forward_hook(count) for net in nets]
    try:
        work()
    finally:
        for hook in hooks:
            hook.remove()
    return rows / examples


class Look(NamedTuple):
    """A hierarchy on its way.

    Attributes:
        steps: gradient steps so far.
        model: as it is now; it learns on when the next look is asked for.
        terms: measures means of the bound's terms, as the model is when it is called, on draws
            that it is not trained with: [T + 1] nats: reconstruction, levels from below, prior
            matching.
    """

    steps: int
    model: Hierarchy
    terms: Callable[[], Tensor]

    def bound(self) -> float:
        """Their sum."""
        return float(self.terms().sum())


def bound_terms(model: Hierarchy, x: Tensor, noise: Tensor) -> ElboTerms:
    """`kl_terms` where the encoder is fixed, else `consistency_terms`."""
    return (consistency_terms if model.process is None else kl_terms)(model, x, noise)


def mean_terms(terms: ElboTerms) -> Tensor:
    """Averages over examples in the order of the levels, [T + 1] nats."""
    parts = [terms.reconstruction[:, None], terms.denoising, terms.prior[:, None]]
    return torch.cat(parts, dim=1).mean(0)


def learn_hierarchy(
    mixture: GaussianMixture,
    variant: str,
    T: int,
    *,
    latent: int = 2,
    steps: int = 400,
    batch: int = 256,
    rate: float = 5e-3,
    judged: int = 4096,
    seed: int = 0,
) -> Iterator[Look]:
    r"""Train a hierarchy on its bound, and show it as it learns.

    $$\min_{\theta, \phi}\ E_{q_\phi}\left[\log q_\phi(z_{1:T}|x)
    - \log p_\theta(x, z_{1:T})\right]$$

    Source: Kingma & Welling 2014, section 2.3 and 2.4, for T = 1; Adam, its rate falling to 0
    along a cosine.

    Args:
        mixture: the data, in a plane; every batch is drawn anew.
        variant: a key of `VARIANTS`.
        T: levels.
        latent: as in `hierarchy`.
        steps: gradient steps in all.
        batch: points per step.
        rate: Adam's first learning rate.
        judged: draws that the terms are measured on, the same at every look.
        seed: of weights, batches and those draws.

    Yields:
        The untrained networks, then what has become of them after each gradient step.
    """
    held = torch.Generator().manual_seed(seed + 1)  # the same for all variants
    x_held = mixture.sample(judged, held).float()
    generator = torch.Generator().manual_seed(seed)
    model = hierarchy(variant, T, latent=latent, generator=generator)
    noise = torch.randn(T, judged, model.latent, generator=held)

    def terms() -> Tensor:
        with torch.no_grad():
            return mean_terms(bound_terms(model, x_held, noise))

    yield Look(0, model, terms)  # before the optimizer: a process' first takes a second to import
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    for step in range(1, steps + 1):
        x = mixture.sample(batch, generator).float()
        with torch.enable_grad():
            loss = training_loss(model, x, generator).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        yield Look(step, model, terms)


class Scatter(NamedTuple):
    """How far one draw for one x is typically from its average (nats, root mean square over x).

    The first three are root mean squares over the levels that both forms of the bound write
    differently; NaN for T = 1, which has none.

    Attributes:
        level_walk: one level's cost in the consistency form.
        level_ratio: one level's log-ratio with z_{t-1} drawn, whose average is the KL.
        level_kl: that KL.
        walk: the whole bound in the consistency form, one walk.
        jumps: in the KL form, each level reached in one jump.
        one: in the KL form, from one level drawn at random.
    """

    level_walk: float
    level_ratio: float
    level_kl: float
    walk: float
    jumps: float
    one: float


def estimator_scatter(
    model: Hierarchy, x: Tensor, draws: int, *, generator: torch.Generator
) -> Scatter:
    r"""Standard deviations over the noise, of one level's cost and of the whole bound.

    $$\hat L_{t-1} = \log\frac{q(z_{t-1}|z_t,x)}{p_\theta(z_{t-1}|z_t)}, \qquad
    L_{t-1} = E\big[\hat L_{t-1}\,\big|\,z_t, x\big], \qquad
    \operatorname{Var} L_{t-1} \le \operatorname{Var} \hat L_{t-1}$$

    Source: Ho et al. 2020, section 2: the KL is the log-ratio's average over the latent below, a
    Rao-Blackwellised estimate, which scatters less. The consistency form has other terms, whose
    averages need not be the KLs: the two forms agree in their sums.

    Args:
        model: a hierarchy with a fixed encoder.
        x: [B, D].
        draws: per x.
        generator: source of noise.
    """
    many, T = repeat(x, draws), model.T
    B, shape = len(many), (T, len(many), model.D)
    t = torch.randint(1, T + 1, (B,), generator=generator)
    with torch.no_grad():
        walk = consistency_terms(model, many, torch.randn(shape, generator=generator))
        jumps = kl_terms(model, many, torch.randn(shape, generator=generator))
        one = one_level(model, many, t, torch.randn(many.shape, generator=generator))
        levels = torch.arange(2, T + 1).repeat_interleave(B)
        noise = torch.randn(2, len(levels), model.D, generator=generator)
        ratio = level_log_ratio(model, repeat(many, T - 1), levels, *noise).reshape(T - 1, B).T

    def spread(values: Tensor) -> float:
        return float(values.double().reshape(draws, len(x), -1).var(0).mean().sqrt())

    drawn = (walk.denoising, ratio, jumps.denoising, walk.total, jumps.total, one)
    return Scatter(*(spread(values) if values.numel() else math.nan for values in drawn))
