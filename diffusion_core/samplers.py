"""Samplers: generators of steps, so that the caller owns drawing, pausing and recording."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser, ask
from diffusion_core.discrete_sampling import DiscreteStep as DiscreteStep
from diffusion_core.discrete_sampling import sample_discrete as sample_discrete
from diffusion_core.gaussian import Gaussian, GaussianDiffusion
from diffusion_core.parameterization import Prediction
from diffusion_core.schedules import down_to_0


class Step(NamedTuple):
    """One stop on the way from noise to picture.

    Attributes:
        t: where x_t sits; the last step has t == 0.
        x_t: [B, *D].
        prediction: what the rule used (clipped, eps re-derived); None at t == 0.
        raw: what the denoiser said; None at t == 0.
        posterior: the Gaussian that the next picture is drawn from; variance 0 for a
            deterministic move; None at t == 0.
        noise: [B, *D] the fresh standard noise of that draw; None where the variance is 0.
    """

    t: int
    x_t: Tensor
    prediction: Prediction | None
    raw: Prediction | None
    posterior: Gaussian | None
    noise: Tensor | None


@dataclass(frozen=True, eq=False)
class Options:
    """What a rule may depend on besides the pictures.

    Attributes:
        diffusion: the process.
        eta: 0 moves deterministically, 1 as the posterior does.
        variance: key in `VARIANCES`.
    """

    diffusion: GaussianDiffusion
    eta: float
    variance: str


Rule = Callable[[Tensor, Prediction, Tensor, Tensor], Gaussian]
"""(x_t, prediction, t, s) -> the Gaussian that x_s is drawn from."""


class Sampler(Protocol):
    """A family of rules.

    Attributes:
        eta: the sampler's own eta, used where the caller gives none. A rule that solves the
            probability-flow ODE draws nothing: it ignores eta and variance.
    """

    @property
    def eta(self) -> float: ...  # noqa: D102

    def start(self, options: Options, look: Callable[[Tensor, Tensor], Prediction]) -> Rule:
        """A fresh rule for one run; a multistep rule keeps its history in the closure.

        `look(x, t)` asks the denoiser again, for rules that look twice per step.
        """
        ...


def posterior_variance(
    diffusion: GaussianDiffusion, x: Tensor, p: Prediction, t: Tensor, s: Tensor
) -> Tensor:
    r"""The true posterior's variance, [B, 1, ...] float64; right where the data are one point.

    $$\tilde\beta = \frac{1-\bar\alpha_s}{1-\bar\alpha_t}\,\beta_{t|s}$$

    Source: Ho et al. 2020, eq. 7 and section 3.2.
    """
    return diffusion.posterior_coefficients(t, s, x)[2]


def beta_variance(
    diffusion: GaussianDiffusion, x: Tensor, p: Prediction, t: Tensor, s: Tensor
) -> Tensor:
    r"""The forward step's variance, [B, 1, ...] float64; right where the data are N(0, I).

    $$\beta_{t|s} = 1-\bar\alpha_t/\bar\alpha_s$$

    Source: Ho et al. 2020, section 3.2.
    """
    var = diffusion.q_step(x.double(), t, s).var
    # The last draw would put visible noise on the finished picture, so nobody makes it.
    return var * (s > 0).to(var).reshape(var.shape)


def learned_variance(
    diffusion: GaussianDiffusion, x: Tensor, p: Prediction, t: Tensor, s: Tensor
) -> Tensor:
    r"""The network's own choice between the two, [B, *D] float64.

    $$\log\Sigma = f\log\beta_{t|s} + (1-f)\log\tilde\beta$$

    Source: Nichol & Dhariwal 2021, eq. 15.

    Raises:
        ValueError: when the denoiser predicts no variance.
    """
    if p.var_fraction is None:
        raise ValueError("this denoiser predicts no variance: choose 'posterior' or 'beta'")
    f = p.var_fraction.double()
    beta, tilde = (v(diffusion, x, p, t, s) for v in (beta_variance, posterior_variance))
    # Both are 0 at s = 0, and a fraction beyond 0..1 would make 0 ** negative of one of them.
    return torch.where(beta > 0, beta**f * tilde ** (1 - f), 0.0)


VARIANCES: dict[str, Callable[[GaussianDiffusion, Tensor, Prediction, Tensor, Tensor], Tensor]] = {
    "posterior": posterior_variance,
    "beta": beta_variance,
    "learned": learned_variance,
}


def step_mean(
    diffusion: GaussianDiffusion, prediction: Prediction, s: Tensor, kept: Tensor | None = None
) -> Tensor:
    r"""Go to step s: keep the predicted picture, and as much of the predicted noise as fits.

    $$\mu = \sqrt{\bar\alpha_s}\,\hat x_0 + \sqrt{k}\;\hat\epsilon, \qquad
    k = 1-\bar\alpha_s-\eta^2\tilde\beta$$

    Source: Song, Meng & Ermon 2021, eq. 12. With all noise kept it also encodes (s later than t).

    Args:
        diffusion: the process.
        prediction: x0 and eps, [B, *D].
        s: [B] int64, where to go.
        kept: k, the variance of the predicted noise at s, [B, 1, ...]; None keeps all of it.
    """
    a, sigma = diffusion.rates(s, prediction.x0)
    keep = sigma if kept is None else kept.sqrt()
    dtype = prediction.x0.dtype
    return a.to(dtype) * prediction.x0 + keep.to(dtype) * prediction.eps


def point_mass(mean: Tensor) -> Gaussian:
    """The Gaussian of variance 0: what a deterministic rule answers."""
    return Gaussian(mean, mean.new_zeros(len(mean), *[1] * (mean.ndim - 1)))


@dataclass(frozen=True)
class Interpolated:
    r"""Ancestral sampling and DDIM, one rule with a dial.

    $$\begin{aligned} x_s = {} & \sqrt{\bar\alpha_s}\,\hat x_0
    + \sqrt{1-\bar\alpha_s-\eta^2\tilde\beta}\;\hat\epsilon \\
    & + \eta\,\sqrt{v}\;z, \qquad z \sim \mathcal N(0, I) \end{aligned}, \quad
    v \in \{\tilde\beta, \beta, \text{learned}\}$$

    Source: Song, Meng & Ermon 2021, eq. 12 and 16. At eta = 1 the mean is that of
    `GaussianDiffusion.q_posterior` at (x_t, x0_hat): DDPM (Ho et al. 2020, algorithm 2). At
    eta = 0 it is Euler's method on the probability-flow ODE, written for x/sqrt(alpha_bar) over
    sqrt((1 - alpha_bar)/alpha_bar).
    """

    eta: float

    def start(self, options: Options, look: Callable[[Tensor, Tensor], Prediction]) -> Rule:
        """The rule; it has no history."""
        diffusion, scale = options.diffusion, options.eta**2
        variance = VARIANCES[options.variance]

        def rule(x_t: Tensor, prediction: Prediction, t: Tensor, s: Tensor) -> Gaussian:
            _, c_xt, tilde = diffusion.posterior_coefficients(t, s, x_t)
            # 1 - alpha_bar_s - eta^2 tilde without the subtraction, which cancels on long steps.
            kept = (1 - scale) * tilde + (c_xt * diffusion.rates(t, x_t)[1]).square()
            mean = step_mean(diffusion, prediction, s, kept)
            if scale == 0:
                return point_mass(mean)
            var = scale * variance(diffusion, x_t, prediction, t, s)
            return Gaussian(mean, var.to(mean.dtype))

        return rule


@dataclass(frozen=True)
class Heun:
    r"""The trapezoidal rule on the probability-flow ODE: look, step, look again, average.

    $$\frac{x'_s}{\sqrt{\bar\alpha_s}} = \frac{x_t}{\sqrt{\bar\alpha_t}}
    + (\tilde\sigma_s-\tilde\sigma_t)\,\hat\epsilon(x_t, t), \quad
    \tfrac{x_s}{\sqrt{\bar\alpha_s}} = \tfrac{x_t}{\sqrt{\bar\alpha_t}}
    + (\tilde\sigma_s-\tilde\sigma_t)\,
    \tfrac{\hat\epsilon(x_t, t) + \hat\epsilon(x'_s, s)}{2}, \quad
    \tilde\sigma = \sqrt{\frac{1-\bar\alpha}{\bar\alpha}}$$

    Source: Karras et al. 2022, algorithm 1 with sigma(t) = t and s(t) = 1 (algorithm 2 without
    churn). Second order. The step to 0 is Euler's, as theirs, and so is one from a picture with
    next to no signal, where sigma~ is as good as infinite. Two looks per step but for those.

    Attributes:
        eta: nothing is drawn, whatever it says.
        farthest: sigma~ beyond which a step is Euler's. Theirs begins at 80; the cosine schedule's
            last step lies at 20,000, and averaging slopes over a step as long as that multiplies
            the network's error by it (measured: 3 of 40 digits recognised, 36 without).
    """

    eta: float = 0.0
    farthest: float = 1000.0

    def start(self, options: Options, look: Callable[[Tensor, Tensor], Prediction]) -> Rule:
        """The rule; it has no history."""
        diffusion = options.diffusion

        def rule(x_t: Tensor, prediction: Prediction, t: Tensor, s: Tensor) -> Gaussian:
            euler = step_mean(diffusion, prediction, s)
            (a_t, sigma_t), (a_s, sigma_s) = diffusion.rates(t, x_t), diffusion.rates(s, x_t)
            if bool((sigma_t > self.farthest * a_t).any()) or bool((sigma_s == 0).any()):
                return point_mass(euler)
            # What the average changes: half the length of the step times the change of slope.
            half = (sigma_s - a_s * sigma_t / a_t) / 2
            turn = look(euler, s).eps - prediction.eps
            return point_mass(euler + half.to(euler.dtype) * turn)

        return rule


@dataclass(frozen=True)
class MultistepDPM:
    r"""DPM-Solver++(2M): the predicted picture is carried on along the line through the last two.

    $$x_s = \frac{\sigma_s}{\sigma_t}\,x_t - \sqrt{\bar\alpha_s}\,(e^{-h}-1)\,D, \quad
    D = \hat x_0 + \frac{h}{2h'}\,(\hat x_0-\hat x_0'), \quad
    h = \lambda_s-\lambda_t, \quad \lambda = \tfrac12\log\mathrm{SNR}$$

    Source: Lu et al. 2022b (DPM-Solver++), algorithm 2; primes mark the step before. Second order
    at one look per step. The first step (no history) and the step to 0 (h is infinite) take
    D = x0_hat, which is DDIM, as k-diffusion and diffusers do.
    """

    eta: float = 0.0

    def start(self, options: Options, look: Callable[[Tensor, Tensor], Prediction]) -> Rule:
        """The rule; it remembers the step before it."""
        diffusion = options.diffusion
        before: tuple[Tensor, Tensor] | None = None  # x0_hat [B, *D] and lambda [B, 1, ...]

        def half_log_snr(t: Tensor, like: Tensor) -> Tensor:
            a, sigma = diffusion.rates(t, like)
            return a.log() - sigma.log()

        def rule(x_t: Tensor, prediction: Prediction, t: Tensor, s: Tensor) -> Gaussian:
            nonlocal before
            mean = step_mean(diffusion, prediction, s)
            now, then = half_log_snr(t, x_t), half_log_snr(s, x_t)
            past, before = before, (prediction.x0, now)
            if past is None or bool(then.isinf().any()):
                return point_mass(mean)
            x0_before, earlier = past
            h = then - now
            # DDIM already holds the share of x0_hat; this is what D adds to it.
            extra = -diffusion.rates(s, x_t)[0] * torch.expm1(-h) * h / (2 * (now - earlier))
            return point_mass(mean + extra.to(mean.dtype) * (prediction.x0 - x0_before))

        return rule


SAMPLERS: dict[str, Sampler] = {
    "ddpm": Interpolated(eta=1.0),
    "ddim": Interpolated(eta=0.0),
    "heun": Heun(),
    "dpmpp_2m": MultistepDPM(),
}


def standard_normal(x: Tensor, generator: torch.Generator) -> Tensor:
    """Fresh standard noise like x; the only place where a sampler draws.

    It is drawn on the generator's device: a CPU generator gives one picture on every device.

    Raises:
        ValueError: where there is no generator.
    """
    if not isinstance(generator, torch.Generator):
        raise ValueError("noise is drawn here: give a torch.Generator")
    noise = torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype)
    return noise.to(x.device)


def clip_prediction(
    diffusion: GaussianDiffusion, raw: Prediction, x_t: Tensor, t: Tensor, rederive_eps: bool = True
) -> Prediction:
    r"""Clip x0 to the pixel range, and make eps agree with it again.

    $$\hat x_0 \leftarrow \operatorname{clip}(\hat x_0, -1, 1), \qquad
    \hat\epsilon \leftarrow (x_t - a\,\hat x_0)/\sigma$$

    Source: improved-diffusion, `p_mean_variance` and `ddim_sample`. diffusers' DDIM keeps the
    network's eps under `clip_sample` (`rederive_eps=False`), at every eta; its DDPM does not: there
    the mean is the posterior's at the clipped picture, which is this with eps derived again.
    """
    x0 = raw.x0.clamp(-1, 1)
    if not rederive_eps:
        return raw._replace(x0=x0)
    a, sigma = (rate.to(x_t.dtype) for rate in diffusion.rates(t, x_t))
    return raw._replace(x0=x0, eps=(x_t - a * x0) / sigma)


def sample(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x_T: Tensor,
    timesteps: Sequence[int],
    *,
    sampler: str = "ddim",
    eta: float | None = None,
    variance: str = "posterior",
    clip_x0: bool = True,
    rederive_eps: bool = True,
    noise_scale: float = 1.0,
    noise_at_end: bool = False,
    label: Tensor | None = None,
    amend: Callable[[Tensor, int], Tensor] | None = None,
    generator: torch.Generator,
) -> Iterator[Step]:
    """Walk from x_T to a picture, one `Step` at a time; nothing is computed before it is asked for.

    Args:
        diffusion: the process the denoiser was trained for.
        denoiser: predicts x0 and eps.
        x_T: [B, *D] sits at timesteps[0].
        timesteps: decreasing, each in 1..T; a last step to 0 is implied.
        sampler: key in `SAMPLERS`. "heun" takes Euler's step wherever sigma~ is beyond 1000, which
            a textbook's does not: see `Heun.farthest`.
        eta: how much of the posterior's variance to draw anew; None takes the sampler's own.
            "heun" and "dpmpp_2m" draw nothing, whatever eta and variance say.
        variance: key in `VARIANCES`.
        clip_x0: clip the predicted picture to [-1, 1].
        rederive_eps: after clipping, make eps agree with the clipped picture. False is diffusers'
            DDIM; with "ddpm" it is no published sampler, and the mean is not the posterior's.
        noise_scale: standard deviations of fresh noise are multiplied by it.
        noise_at_end: draw noise at the last step too, with the forward step's variance: a mistake
            that leaves grain on the finished picture, here to be looked at.
        label: [B] int64 classes, or None.
        amend: makes of the picture drawn for step s, and of s, the one that the walk goes on
            with; None leaves it.
        generator: the source of fresh noise; untouched by a deterministic run.

    Yields:
        `len(timesteps) + 1` steps, the last with t == 0.

    Raises:
        ValueError: for unknown names, or timesteps that are no whole numbers or do not decrease
            within 1..T. Raised on the call, not at the first step. While walking: for an answer of
            another shape than x_T, and where noise is to be drawn without a generator.
    """
    steps = down_to_0(diffusion.T, timesteps)
    for name, known in ((sampler, SAMPLERS), (variance, VARIANCES)):
        if name not in known:
            raise ValueError(f"unknown name {name!r}; known are {', '.join(known)}")
    if not x_T.is_floating_point():
        raise ValueError("x_T must be floating point")
    chosen = SAMPLERS[sampler]
    options = Options(diffusion, chosen.eta if eta is None else eta, variance)
    if not 0 <= options.eta <= 1 or not 0 <= noise_scale < math.inf:
        raise ValueError("eta must lie in 0..1 and noise_scale must be finite and not negative")

    def looks(x_t: Tensor, t: Tensor) -> tuple[Prediction, Prediction]:
        raw = ask(denoiser, x_t, t, label)
        return (clip_prediction(diffusion, raw, x_t, t, rederive_eps) if clip_x0 else raw), raw

    def walk() -> Iterator[Step]:
        rule = chosen.start(options, lambda x, t: looks(x, t)[0])
        x_t = x_T
        for now, then in itertools.pairwise(steps):
            t, s = (torch.full((len(x_t),), k, dtype=torch.int64) for k in (now, then))
            used, raw = looks(x_t, t)
            posterior = rule(x_t, used, t, s)
            if noise_at_end and then == 0:
                posterior = Gaussian(posterior.mean, diffusion.q_step(x_t, t, s).var)
            posterior = posterior._replace(var=noise_scale**2 * posterior.var)
            noise = standard_normal(x_t, generator) if bool(posterior.var.any()) else None
            yield Step(now, x_t, used, raw, posterior, noise)
            x_t = posterior.mean if noise is None else posterior.sample(noise)
            x_t = x_t if amend is None else amend(x_t, then)
        yield Step(0, x_t, None, None, None, None)

    return walk()


def encode(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    x: Tensor,
    timesteps: Sequence[int],
    *,
    clip_x0: bool = True,
    label: Tensor | None = None,
) -> Iterator[Step]:
    """DDIM run backwards in time: from a picture to the noise that DDIM turns into (nearly) it.

    Source: Song, Meng & Ermon 2021, section 4.3.

    Args:
        diffusion: the process.
        denoiser: predicts x0 and eps.
        x: [B, *D] sits at timesteps[0].
        timesteps: increasing, each in 1..T.
        clip_x0: clip the predicted picture and re-derive eps, as in `sample`.
        label: [B] int64 classes, or None.

    Yields:
        One step per timestep; the last carries no prediction.

    Raises:
        ValueError: when timesteps are no whole numbers, or do not increase within 1..T.
    """
    steps = [int(t) for t in timesteps]
    if (
        not steps
        or steps[0] < 1
        or steps[-1] > diffusion.T
        or any(b <= a for a, b in itertools.pairwise(steps))
        or steps != list(timesteps)
    ):
        raise ValueError(f"timesteps must be whole numbers, increase and lie in 1..{diffusion.T}")

    def walk() -> Iterator[Step]:
        x_t = x
        for now, then in itertools.pairwise(steps):
            t, s = (torch.full((len(x_t),), k, dtype=torch.int64) for k in (now, then))
            raw = ask(denoiser, x_t, t, label)
            used = clip_prediction(diffusion, raw, x_t, t) if clip_x0 else raw
            mean = step_mean(diffusion, used, s)
            yield Step(now, x_t, used, raw, Gaussian(mean, torch.zeros_like(mean)), None)
            x_t = mean
        yield Step(steps[-1], x_t, None, None, None, None)

    return walk()
