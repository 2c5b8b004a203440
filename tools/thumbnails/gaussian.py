"""The pictures of the chapter on Gaussian diffusion."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from diffusion_core.bayes import bayes_factors, point_posterior
from diffusion_core.checkpoints import load_variational
from diffusion_core.codes import normal_log_density
from diffusion_core.conversion import error_gains, rates_at
from diffusion_core.gaussian import Gaussian, GaussianDiffusion
from diffusion_core.ledger import read_averages
from diffusion_core.mixtures import GaussianMixture, mixture_denoiser, mixture_log_density
from diffusion_core.parameterization import EPS, X0
from diffusion_core.samplers import sample
from diffusion_core.schedules import SCHEDULES, evenly_spaced
from diffusion_core.true_reverse import log_density, moment_matched
from diffusion_core.vdm_elbo import linear_gamma
from tools.thumbnails.pen import HAIR, Frame, area, bars, dots, ground, hill, line, svg

T = 1000
PROCESS = GaussianDiffusion(SCHEDULES["linear"](T))


def groups(means: list[list[float]], weights: list[float], std: float) -> GaussianMixture:
    """Data with a formula, in the core's precision."""
    return GaussianMixture(
        torch.tensor(means, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64), std
    )


GROUPS = groups([[-1.0], [1.0]], [0.4, 0.6], 0.22)


def steps(t: int, n: int = 1) -> Tensor:
    """The step t, n times."""
    return torch.full((n,), t)


def noisy_density(t: int, x: Tensor) -> Tensor:
    """The two groups' density at step t, [N]."""
    return mixture_log_density(PROCESS, GROUPS, x[:, None], steps(t, len(x))).exp()


def between_two_densities(paths: list[str], left: int, right: int) -> str:
    """Paths in the middle; at either end, on its side, the density at a step."""
    x = torch.linspace(-2.6, 2.6, 41).double()
    parts = []
    for t, edge, way in ((left, 15, -1), (right, 81, 1)):
        density = noisy_density(t, x)
        frame = Frame(0, float(density.max()), -2.6, 2.6, (edge, 3, edge + 13 * way, 53))
        concept = "x0" if t == 0 else "eps"
        parts.append(hill(frame.places(density, x), concept))
    return svg(*paths, *parts)


def forward_process() -> str:
    """Points of two groups on their way into one bell, a random step at a time."""
    generator = torch.Generator().manual_seed(1)
    x = torch.tensor([-1.0, 0.8, 1.2]).double()
    times = list(range(0, 501, 20))
    walked = [x]
    for s, t in itertools.pairwise(times):
        noise = torch.randn(len(x), generator=generator, dtype=torch.float64)
        walked.append(PROCESS.q_step(walked[-1], steps(t, len(x)), steps(s, len(x))).sample(noise))
    frame = Frame(0, len(times) - 1, -2.6, 2.6, (18, 3, 78, 53))
    told = torch.stack(walked, 1)
    paths = [line(frame.places(range(len(times)), row), "xt", width=HAIR) for row in told]
    return between_two_densities(paths, 0, 500)


def reverse_sampling() -> str:
    """Points of a bell on their way to two groups, by DDIM with an exact denoiser."""
    x_T = torch.tensor([-1.6, -0.85, -0.3, 0.1, 0.5, 1.1, 1.9]).double()[:, None]
    times = evenly_spaced(T, 50)
    walk = sample(
        PROCESS, mixture_denoiser(PROCESS, GROUPS), x_T, times, clip_x0=False,
        generator=torch.Generator(),
    )  # fmt: skip
    told = torch.cat([step.x_t for step in walk], 1)[:, ::3]
    frame = Frame(0, told.shape[1] - 1, -2.6, 2.6, (18, 3, 78, 53))
    paths = [line(frame.places(range(told.shape[1]), row), "p", width=HAIR) for row in told]
    return between_two_densities(paths, T, 0)


def noise_schedules() -> str:
    """The cosine schedule's signal below and noise above, between two other schedules."""
    t = torch.arange(0, T + 1, 50)
    frame = Frame(0, T, 0, 1)
    curves = {
        name: SCHEDULES[name](T).alpha_bar[t] for name in ("linear", "cosine", "log_snr_linear")
    }
    middle = frame.places(t, curves["cosine"])
    return svg(
        area([*middle, frame.at(0, 0)], "x0"),
        area([*middle, frame.at(T, 1)], "eps"),
        line(frame.places(t, curves["linear"]), "xt", width=HAIR, dash="2 3"),
        line(frame.places(t, curves["log_snr_linear"]), "xt", width=HAIR, dash="2 3"),
        line(middle, "x0"),
    )


def posterior() -> str:
    """Bayes' two factors, wide, and what they leave together, narrow."""
    t, s = steps(400), steps(250)
    x0, x_t = torch.tensor([1.2]).double(), torch.tensor([-0.5]).double()
    x = torch.linspace(-1.6, 2.2, 49).double()
    factors = bayes_factors(PROCESS, x[None], x_t, x0, t, s)
    found = PROCESS.q_posterior(x_t, x0, t, s)
    product = bell(found, x)
    frame = Frame(-1.6, 2.2, 0, float(product.max()))
    one, other = (0.62 * (log[0] - log.max()).exp() * product.max() for log in factors)
    return svg(
        ground(),
        line(frame.places(x, one), "xt"),
        line(frame.places(x, other), "x0"),
        hill(frame.places(x, product), "q"),
    )


def bell(told: Gaussian, x: Tensor) -> Tensor:
    """The density of a Gaussian at x, [N]."""
    return normal_log_density(x, told.mean, told.var.sqrt()).exp()


def why_a_model() -> str:
    """What may have come before x_t when x_0 is unknown, and the model's one Gaussian."""
    t, s = steps(400), steps(120)
    points = torch.tensor([-1.0, 1.0]).double()
    mixture = point_posterior(PROCESS, torch.tensor([0.06]).double(), points, t, s)
    x = torch.linspace(-2.1, 2.1, 57).double()
    true = log_density(mixture, x[None]).exp()[0]
    model = moment_matched(mixture)
    frame = Frame(-2.1, 2.1, 0, float(true.max()))
    return svg(
        ground(), hill(frame.places(x, true), "q"), line(frame.places(x, bell(model, x)), "p")
    )


def x0_vs_eps() -> str:
    """How an error of the network grows in the other quantity: two curves that cross."""
    log_snr = torch.linspace(-3.2, 3.2, 33).double()
    a, sigma = rates_at(log_snr.exp())
    frame = Frame(-3.2, 3.2, 0, 4.96)
    in_eps, in_x0 = error_gains(X0, a, sigma).eps, error_gains(EPS, a, sigma).x0
    lower = torch.minimum(in_eps, in_x0)
    return svg(
        ground(),
        area([*frame.places(log_snr, lower), frame.at(3.2, 0), frame.at(-3.2, 0)], "xt"),
        line(frame.places(log_snr, in_x0), "x0"),
        line(frame.places(log_snr, in_eps), "eps"),
        dots([frame.at(0, 1)], "xt", 2),
    )


def elbo() -> str:
    """What the shipped network's bound costs at t = 1, 2, 3 to 4, 5 to 8 and so on."""
    told = read_averages("digits-eps")
    assert told is not None, "the ledger's averages are shipped"
    edges = [0, *(2**k for k in range(10)), told.T]
    cost = [sum(told.mean[one:other]) for one, other in itertools.pairwise(edges)]
    frame = Frame(0, len(cost), 0, max(cost))
    boxes = []
    for k, nats in enumerate(cost):
        x, y = frame.at(k, nats)
        boxes.append((x + 0.8, y, 92 / len(cost) - 1.6, 52 - y))
    return svg(bars(boxes[:1], "bits"), bars(boxes[1:], "bits", 0.55), ground())


def learned_schedule() -> str:
    """The noise over time that the shipped network learnt, and the straight line it left."""
    module, _ = load_variational("digits-vdm", "cpu")
    t = torch.linspace(0, 1, 33).double()
    with torch.inference_mode():
        learnt = module.gamma(t).double()
    first, last = float(learnt[0]), float(learnt[-1])
    straight = linear_gamma(first, last)(t)
    frame = Frame(0, 1, first, last, (5, 7, 91, 49))
    one, other = frame.places(t, learnt), frame.places(t, straight)
    return svg(
        area([*one, *other[::-1]], "p"),
        line(other, "xt", dash="2 3"),
        line(one, "p"),
        dots([one[0], one[-1]], "xt", 2.5),
    )


THUMBNAILS = {
    "forward_process": forward_process,
    "noise_schedules": noise_schedules,
    "posterior": posterior,
    "why_a_model": why_a_model,
    "x0_vs_eps": x0_vs_eps,
    "reverse_sampling": reverse_sampling,
    "elbo": elbo,
    "learned_schedule": learned_schedule,
}
