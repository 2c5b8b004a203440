"""From a hierarchical VAE to a diffusion model: one chain of levels, and three restrictions on it.

z_0 is the data x, z_1 ... z_T are levels above it. The model draws z_T from N(0, I) and walks down;
the encoder walks up. All steps are diagonal Gaussians, all terms costs in nats.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion_core.bound import ElboTerms, repeat
from diffusion_core.gaussian import Gaussian, GaussianDiffusion
from diffusion_core.likelihood import normal_log_density, per_example, standard_normal_kl
from diffusion_core.mixtures import GaussianMixture, mixture_log_density
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.schedules import NoiseSchedule
from diffusion_core.score_matching import PointNetwork

WIDEST = 4
"""Numbers of the widest latent; the networks are made for it, so that all are of one size."""

TIME = 1000.0
"""What the networks are told at the top level."""

START_LOG_VAR = -1.0
"""What a learnt step's log variance is without the network's word."""


class Variant(NamedTuple):
    """How far a hierarchical VAE has been restricted.

    Attributes:
        name: for a reader.
        same: a latent has as many numbers as the data.
        fixed: the encoder is no network, but adds noise.
        ends: and so much of it that z_T is N(0, I) for every x.
    """

    name: str
    same: bool
    fixed: bool
    ends: bool


VARIANTS: dict[str, Variant] = {
    "free": Variant("Free", False, False, False),
    "same": Variant("Same dimension", True, False, False),
    "short": Variant("Fixed, ends short", True, True, False),
    "ddpm": Variant("All three: DDPM", True, True, True),
}
"""Each obeys one restriction more than the one before it."""

FIRST_LOG_SNR, LAST_LOG_SNR, SHORT_LOG_SNR = 4.0, -7.0, 1.0


def level_schedule(
    T: int, last: float = LAST_LOG_SNR, first: float = FIRST_LOG_SNR
) -> NoiseSchedule:
    r"""Few levels, evenly spaced in log-SNR.

    $$\bar\alpha_t = \operatorname{sigmoid}(\lambda_t), \qquad
    \lambda_t = \lambda_T + \frac{T-t}{T-1}\,(\lambda_1-\lambda_T)$$

    Source: Kingma et al. 2021, section 3.2, with a linear log-SNR.

    Args:
        T: levels, at least 1; the only one is the last.
        last: lambda_T. At -7, 0.09 % of the data's variance is left; at 1 almost three quarters.
        first: lambda_1.
    """
    steps = torch.linspace(last, first, T, dtype=torch.float64).flip(0)
    return NoiseSchedule("even log-SNR", torch.cat([torch.ones(1).double(), steps.sigmoid()]))


class Hierarchy(nn.Module):
    r"""A chain of levels with a decoder, and with an encoder that is learnt or fixed.

    $$p(x, z_{1:T}) = p(z_T)\,p_\theta(x|z_1)\prod_{t=2}^{T} p_\theta(z_{t-1}|z_t), \qquad
    q(z_{1:T}|x) = q(z_1|x)\prod_{t=2}^{T} q(z_t|z_{t-1})$$

    Source: Luo 2022, eq. 23 and 24: the Markovian hierarchical VAE.

    Args:
        T: levels.
        latent: numbers of each z_t, at most `WIDEST`.
        process: adds the noise where the encoder is fixed (latent = D then); None for a learnt one.
        D: numbers of x.
        width: of a network's layers; every level is served by the same network, which is told t.
        generator: draws the first weights.

    Raises:
        ValueError: for a fixed encoder with another dimension or another T.
    """

    def __init__(
        self,
        T: int,
        latent: int = 2,
        process: GaussianDiffusion | None = None,
        D: int = 2,
        width: int = 48,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if process is not None and (latent != D or process.T != T):
            raise ValueError("a fixed encoder adds noise: same dimension, as many steps as levels")
        if not 1 <= latent <= WIDEST or T < 1:
            raise ValueError(f"1 level or more of 1 to {WIDEST} numbers, not {T} of {latent}")
        self.T, self.latent, self.D, self.process = T, latent, D, process
        self.decoder = PointNetwork(WIDEST, width, out=2 * WIDEST, generator=generator)
        self.encoder = (
            PointNetwork(WIDEST, width, out=2 * WIDEST, generator=generator)
            if process is None
            else None
        )

    def up(self, below: Tensor, t: Tensor) -> Gaussian:
        r"""One step of the encoder: a network's Gaussian, or noise.

        $$q_\phi(z_t|z_{t-1}) = \mathcal N(\mu_\phi(z_{t-1}, t),\ \sigma^2_\phi(z_{t-1}, t))$$

        Source: Luo 2022, eq. 24. A fixed encoder takes no word of a network: the mean is
        what lies below, shrunk, and the variance a number.

        Args:
            below: z_{t-1}, [B, *].
            t: [B] int64 in 1..T.
        """
        if self.process is not None:
            return self.process.q_step(below, t, t - 1)
        assert self.encoder is not None
        return self._learnt(self.encoder, below, t, self.latent)

    def down(self, above: Tensor, t: Tensor, size: int) -> Gaussian:
        r"""One step of the decoder.

        $$p_\theta(z_{t-1}|z_t) = \mathcal N(\mu_\theta(z_t, t),\ \sigma^2_\theta(z_t, t))$$

        Source: Luo 2022, eq. 23. With a fixed encoder the network names v, and so x_0, and the mean
        is the true posterior's for this x_0 (Ho et al. 2020, eq. 7), since that is known; the
        variance stays free.

        Args:
            above: z_t, [B, *].
            t: [B] int64 in 1..T.
            size: numbers of z_{t-1}.
        """
        if self.process is None:
            return self._learnt(self.decoder, above, t, size)
        said, log_ratio = self._ask(self.decoder, above, t, size)
        a, sigma = (rate.to(above.dtype) for rate in self.process.rates(t, above))
        x0 = PARAMETERIZATIONS["v"].recover(said, above, a, sigma).x0
        mean = self.process.q_posterior(above, x0, t, t - 1).mean
        return Gaussian(mean, self.process.q_step(above, t, t - 1).var * log_ratio.exp())

    def climb(self, x: Tensor, noise: Tensor) -> tuple[list[Tensor], list[Gaussian]]:
        """Walk up from x [B, D] with noise [T, B, latent]: all z_0..z_T, and all q(z_t|z_{t-1})."""
        levels, steps = [x], []
        for t in range(1, self.T + 1):
            steps.append(self.up(levels[-1], torch.full((len(x),), t)))
            levels.append(steps[-1].sample(noise[t - 1]))
        return levels, steps

    def descend(self, top: Tensor, noise: Tensor) -> list[Tensor]:
        """Walk down from z_T [B, latent] with noise [T, B, WIDEST]: z_T, ..., z_1, x.

        The step to x takes noise as the others do: p(x|z_1) has a variance, too.
        """
        levels = [top]
        for t in range(self.T, 0, -1):
            size = self.latent if t > 1 else self.D
            step = self.down(levels[-1], torch.full((len(top),), t), size)
            levels.append(step.sample(noise[t - 1, :, :size]))
        return levels

    def _ask(self, net: nn.Module, z: Tensor, t: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Two answers of `size` numbers each, for z [B, *]."""
        padded = F.pad(z, (0, WIDEST - z.shape[1]))
        one, two = net(padded, t * (TIME / self.T)).chunk(2, dim=1)
        return one[:, :size], two[:, :size]

    def _learnt(self, net: nn.Module, z: Tensor, t: Tensor, size: int) -> Gaussian:
        change, log_var = self._ask(net, z, t, size)
        kept = F.pad(z, (0, max(0, size - z.shape[1])))[:, :size]
        return Gaussian(kept + change, (START_LOG_VAR + log_var).exp())


def hierarchy(variant: str, T: int, *, latent: int = 2, generator: torch.Generator) -> Hierarchy:
    """An untrained hierarchy for points in a plane.

    Args:
        variant: a key of `VARIANTS`.
        T: levels.
        latent: numbers of a latent, where the variant leaves that free.
        generator: draws the first weights.
    """
    told = VARIANTS[variant]
    if not told.fixed:
        return Hierarchy(T, 2 if told.same else latent, generator=generator)
    last = LAST_LOG_SNR if told.ends else SHORT_LOG_SNR
    return Hierarchy(T, 2, GaussianDiffusion(level_schedule(T, last)), generator=generator)


def standard_kl(q: Gaussian) -> Tensor:
    """KL(q || N(0, I)) of diagonal Gaussians, [B] nats."""
    return per_example(q.kl(Gaussian(torch.zeros_like(q.mean), torch.ones_like(q.mean))))


def consistency_terms(model: Hierarchy, x: Tensor, noise: Tensor) -> ElboTerms:
    r"""The bound as a hierarchical VAE has it: one walk up, and at each level two steps compared.

    $$-\log p(x) \le E_q\left[R + \sum\nolimits_{t=1}^{T-1} C_t + P\right], \qquad
    R = -\log p_\theta(x|z_1), \qquad
    C_t = \log\frac{q(z_t|z_{t-1})}{p_\theta(z_t|z_{t+1})}, \qquad
    P = D_{KL}(q(z_T|z_{T-1})\Vert p(z_T))$$

    Source: Luo 2022, eq. 43, before the middle sum is printed as a KL divergence (eq. 45), which it
    is not. One draw of the walk stands for the average.

    Args:
        model: any hierarchy.
        x: [B, D].
        noise: [T, B, latent] standard noise of the walk.

    Returns:
        Nats per example; `denoising` has a column for t = 1..T-1.
    """
    levels, ups = model.climb(x, noise)
    B, T = len(x), model.T
    reconstruction = -per_example(
        normal_log_density(x, model.down(levels[1], torch.ones(B).long(), model.D))
    )
    if T == 1:
        return ElboTerms(standard_kl(ups[0]), x.new_zeros(B, 0), reconstruction)
    # One call for all levels: the walk is there, and the decoder needs no order.
    t = torch.arange(2, T + 1).repeat_interleave(B)
    downs = model.down(torch.cat(levels[2:]), t, model.latent)
    lower = torch.cat(levels[1:-1])
    q = Gaussian(
        torch.cat([up.mean for up in ups[:-1]]),
        torch.cat([up.var.expand_as(up.mean) for up in ups[:-1]]),
    )
    ratio = per_example(normal_log_density(lower, q) - normal_log_density(lower, downs))
    return ElboTerms(standard_kl(ups[-1]), ratio.reshape(T - 1, B).T, reconstruction)


def kl_terms(model: Hierarchy, x: Tensor, noise: Tensor) -> ElboTerms:
    r"""The bound as a diffusion model has it: every level by itself, and KL divergences in it.

    $$-\log p(x) \le E_q\left[R + \sum\nolimits_{t=2}^{T} L_{t-1}\right] + P, \qquad
    R = -\log p_\theta(x|z_1), \qquad
    L_{t-1} = D_{KL}(q(z_{t-1}|z_t,x)\Vert p_\theta(z_{t-1}|z_t)), \qquad
    P = D_{KL}(q(z_T|x)\Vert p(z_T))$$

    Source: Luo 2022, eq. 58; Ho et al. 2020, eq. 5.

    Args:
        model: a hierarchy with a fixed encoder.
        x: [B, D].
        noise: [T, B, D] standard noise; row t - 1 takes x to z_t in one jump.

    Returns:
        Nats per example; `denoising` has a column for t = 2..T.
    """
    B, T = len(x), model.T
    t = torch.arange(1, T + 1).repeat_interleave(B)
    terms = level_term(model, repeat(x, T), t, noise.flatten(0, 1)).reshape(T, B).T
    return ElboTerms(prior_term(model, x), terms[:, 1:], terms[:, 0])


def level_term(model: Hierarchy, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    r"""What one level costs, reached in one jump.

    $$z_t = a x + \sigma\epsilon, \qquad L_{t-1} = D_{KL}(q(z_{t-1}|z_t,x)\Vert
    p_\theta(z_{t-1}|z_t)), \qquad L_0 = -\log p_\theta(x|z_1)$$

    Source: Ho et al. 2020, eq. 4 and 5.

    Args:
        model: a hierarchy with a fixed encoder.
        x: [B, D].
        t: [B] int64 in 1..T.
        noise: [B, D].

    Returns:
        [B] nats.
    """
    process = _fixed(model)
    z = process.q_sample(x, t, noise)
    p, q = model.down(z, t, model.D), process.q_posterior(z, x, t, t - 1)
    first = (t == 1)[:, None]
    spread = q.var.masked_fill(first, 1.0)  # a point mass has no KL; what stands here is replaced
    nats = Gaussian(q.mean, spread).kl(p)
    return per_example(torch.where(first, -normal_log_density(x, p), nats))


def level_log_ratio(model: Hierarchy, x: Tensor, t: Tensor, noise: Tensor, below: Tensor) -> Tensor:
    r"""What one level costs, with the latent below drawn instead of averaged over.

    $$\hat L_{t-1} = \log\frac{q(z_{t-1}|z_t,x)}{p_\theta(z_{t-1}|z_t)}, \qquad
    z_{t-1}\sim q(z_{t-1}|z_t,x), \qquad
    E\big[\hat L_{t-1}\,\big|\,z_t, x\big] = L_{t-1}$$

    Source: Ho et al. 2020, eq. 21 (appendix A). The log-ratios of `consistency_terms` are
    others, and their averages need not be the KLs.

    Args:
        model: a hierarchy with a fixed encoder.
        x: [B, D].
        t: [B] int64 in 2..T.
        noise: [B, D], takes x to z_t.
        below: [B, D] standard noise of z_{t-1}.

    Returns:
        [B] nats.

    Raises:
        ValueError: for t = 1, where q(x|z_1, x) is a point.
    """
    if bool((t < 2).any()):
        raise ValueError("q(z_0|z_1, x) is a point and has no density: t = 2 or more")
    process = _fixed(model)
    z = process.q_sample(x, t, noise)
    p, q = model.down(z, t, model.D), process.q_posterior(z, x, t, t - 1)
    lower = q.sample(below)
    return per_example(normal_log_density(lower, q) - normal_log_density(lower, p))


def prior_term(model: Hierarchy, x: Tensor) -> Tensor:
    """KL(q(z_T|x) || N(0, I)) with a fixed encoder, [B] nats; no network is asked."""
    return standard_normal_kl(x, _fixed(model).schedule.alpha_bar[-1].to(x))


def one_level(model: Hierarchy, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    r"""The whole bound from one level drawn at random: right on average, and one network call.

    $$\hat L = T\,L_{t-1} + D_{KL}(q(z_T|x)\Vert p(z_T)), \qquad t \sim \{1, \dots, T\}$$

    Source: Ho et al. 2020, section 2 (random terms of L); section 3.4 then leaves the factors
    out.

    Args:
        model: a hierarchy with a fixed encoder.
        x: [B, D].
        t: [B] int64, drawn evenly from 1..T.
        noise: [B, D].

    Returns:
        [B] nats.
    """
    return model.T * level_term(model, x, t, noise) + prior_term(model, x)


def _fixed(model: Hierarchy) -> GaussianDiffusion:
    if model.process is None:
        raise ValueError("a learnt encoder has no closed form for q(z_t|x): walk up to level t")
    return model.process


def level_information(model: Hierarchy, x: Tensor, noise: Tensor) -> Tensor:
    r"""How many nats z_t tells about z_{t-1}, for every t: 0 where a level has collapsed.

    $$I(z_{t-1}; z_t) \approx \frac1B\sum_i \log\frac{q(z_t^i|z_{t-1}^i)}
    {\frac1B\sum_j q(z_t^i|z_{t-1}^j)}$$

    Source: Hoffman & Johnson 2016, the mutual information in their decomposition, with the average
    encoder taken over B draws; never above log B.

    Args:
        model: any hierarchy.
        x: [B, D].
        noise: [T, B, latent].

    Returns:
        [T] nats.
    """
    levels, ups = model.climb(x, noise)
    told = []
    for z, q in zip(levels[1:], ups, strict=True):
        var = q.var.expand_as(q.mean)
        each = normal_log_density(z[:, None], Gaussian(q.mean[None], var[None])).sum(-1)
        told.append((each.diagonal() - each.logsumexp(1) + math.log(len(x))).mean())
    return torch.stack(told)


# --- what the data allow --------------------------------------------------------------------------


def noisy_entropy(process: GaussianDiffusion, mixture: GaussianMixture, t: int) -> float:
    r"""Entropy of the data with the noise of step t, by a sum over a fine grid; t = 0 is no noise.

    $$h_t = -\int q(z_t)\log q(z_t)\,dz_t$$

    Source: the definition. At t = 0 no bound of any model can be lower on average.

    Args:
        process: adds the noise.
        mixture: the data, in a plane.
        t: the step.

    Returns:
        Nats; of a density, so it may be negative.
    """
    keep = float(process.schedule.alpha_bar[t])
    std = math.sqrt(keep * mixture.std**2 + 1 - keep)
    reach = math.sqrt(keep) * float(mixture.means.abs().max()) + 8 * std
    along = torch.linspace(-reach, reach, 1 + 2 * math.ceil(2.5 * reach / std), dtype=torch.float64)
    places = torch.cartesian_prod(along, along)
    log = mixture_log_density(process, mixture, places, torch.full((len(places),), t))
    return float(-(log.exp() * log).sum() * (along[1] - along[0]) ** 2)


def mean_prior_term(process: GaussianDiffusion, mixture: GaussianMixture) -> float:
    r"""The prior term, averaged over all the data.

    $$E_x D_{KL}(q(z_T|x)\Vert \mathcal N(0, I)) = \tfrac12\left(
    \bar\alpha_T\,E\lVert x\rVert^2 - D\bar\alpha_T - D\log(1-\bar\alpha_T)\right)$$

    Source: Ho et al. 2020, L_T in eq. 5, with the divergence of two Gaussians.

    Returns:
        Nats.
    """
    keep, D = float(process.schedule.alpha_bar[-1]), mixture.means.shape[1]
    return 0.5 * (keep * mixture.mean_square - D * keep - D * math.log1p(-keep))


def prior_mismatch(process: GaussianDiffusion, mixture: GaussianMixture) -> float:
    r"""What it costs that the model draws z_T from N(0, I), and the data do not end there.

    $$D_{KL}(q(z_T)\Vert p(z_T)) = P - I(x; z_T), \qquad
    P = E_x D_{KL}(q(z_T|x)\Vert p(z_T))$$

    Source: Hoffman & Johnson 2016. The rest of the prior term is no loss: z_T tells it about x,
    and the decoder has the use of it.

    Returns:
        Nats.
    """
    D = mixture.means.shape[1]
    keep = float(process.schedule.alpha_bar[-1])
    square = keep * mixture.mean_square + D * (1 - keep)
    cross = 0.5 * (square + D * math.log(2 * math.pi))
    return cross - noisy_entropy(process, mixture, process.T)
