"""The VAE and its bound: every closed form against distributions, dense grids and many draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from diffusion_core.gaussian import Gaussian
from diffusion_core.vae import LEAST, PIXELS, VAE
from diffusion_core.vae_bound import (
    REACH,
    best_normal,
    bound_terms,
    coarse_plane,
    exact_gradient,
    gradient_draws,
    gray_cost,
    hermite_nodes,
    log_joint,
    log_weights,
    many_draw_bound,
    summed_plane,
)

QS = {
    "wide": ([0.0, 0.0], [1.0, 1.0]),
    "narrow": ([0.7, -0.4], [0.05, 0.12]),
    "far": ([-1.5, 1.0], [0.2, 0.03]),
}


def untrained(seed: int, sharp: float = 2.0) -> VAE:
    """A small network whose decoder is steep enough for a posterior that is far from the prior."""
    torch.manual_seed(seed)
    vae = VAE(widths=(48, 24))
    with torch.no_grad():
        vae.out.weight *= sharp
        vae.hidden[0].weight *= 2
    return vae.eval().requires_grad_(False)


def picture(seed: int) -> Tensor:
    return (torch.rand(PIXELS, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def q_named(name: str) -> Gaussian:
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in QS[name])
    return Gaussian(mean, std.square())


def dense(n: int = 301) -> tuple[Tensor, float]:
    """A fine grid of the whole plane, and the log of a cell's area."""
    line = torch.linspace(-REACH, REACH, n)
    return torch.cartesian_prod(line, line), 2 * math.log(2 * REACH / (n - 1))


@pytest.mark.parametrize("seed", [0, 1])
def test_both_terms_are_those_of_the_distributions(seed: int) -> None:
    vae, generator = untrained(seed), torch.Generator().manual_seed(seed)
    x = torch.stack([picture(k) for k in range(5)])
    eps = torch.randn(5, 2, generator=generator)
    cost, nats = vae(x, eps).unbind(1)
    q = vae.posterior(x)
    z = q.mean + q.var.sqrt() * eps
    given = Bernoulli(logits=vae.logits(z)).log_prob(x).sum(1)
    torch.testing.assert_close(cost, -given)
    exact = kl_divergence(Normal(q.mean, q.var.sqrt()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(nats, exact)


def test_the_joint_is_that_of_the_distributions() -> None:
    vae, x = untrained(2), picture(3)
    z = torch.randn(2500, 2, generator=torch.Generator().manual_seed(1))  # more than one part
    given = Bernoulli(logits=vae.logits(z)).log_prob(x).sum(1).double()
    prior = Normal(0.0, 1.0).log_prob(z).sum(1).double()
    torch.testing.assert_close(log_joint(vae, x, z), given + prior, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("sharp", [0.5, 2.0, 6.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_plane_that_is_refined_sums_to_what_a_dense_grid_says(seed: int, sharp: float) -> None:
    vae, x = untrained(seed, sharp), picture(seed)
    plane = summed_plane(vae, x, coarse_plane(vae))
    places, log_cell = dense()
    brute = float(log_joint(vae, x, places).logsumexp(0)) + log_cell
    assert plane.log_evidence == pytest.approx(brute, abs=2e-3)
    # Nothing is counted twice, and nothing is left out: the areas are that of the square.
    area = float(plane.log_area.logsumexp(0).exp())
    assert area == pytest.approx((2 * REACH + 2 * REACH / 80) ** 2)


@pytest.mark.parametrize("n", [3, 8, 16])
@pytest.mark.parametrize("power", range(8))
def test_nodes_know_the_moments_of_a_normal(n: int, power: int) -> None:
    nodes, weights = hermite_nodes(n)
    assert nodes.shape == (n * n, 2)
    moment = 0 if power % 2 else math.prod(range(1, power, 2))
    found = (weights[:, None] * nodes**power).sum(0)
    if power <= 2 * n - 1:
        np.testing.assert_allclose(found, moment, atol=1e-9 * max(1, moment))
    elif power % 2 == 0:  # odd ones are 0 by symmetry
        assert not np.allclose(found, moment)
    mixed = (weights * nodes[:, 0] ** 2 * nodes[:, 1] ** 2).sum()
    assert float(mixed) == pytest.approx(1)


@pytest.mark.parametrize("name", QS)
def test_the_bound_is_the_average_of_what_training_sees(name: str) -> None:
    vae, x, q = untrained(4), picture(5), q_named(name)
    told = bound_terms(vae, x, q, 24)
    eps = torch.randn(40_000, 2, generator=torch.Generator().manual_seed(0))
    z = q.mean + q.var.sqrt() * eps
    each = -Bernoulli(logits=vae.logits(z.float())).log_prob(x).sum(1).double()
    error = float(each.std()) / len(each) ** 0.5
    assert told.cost == pytest.approx(float(each.mean()), abs=4 * error + 1e-4)
    exact = kl_divergence(Normal(q.mean, q.var.sqrt()), Normal(0.0, 1.0)).sum()
    assert told.kl == pytest.approx(float(exact))
    assert told.bound == -told.cost - told.kl


@pytest.mark.parametrize("name", QS)
def test_the_gap_is_the_divergence_from_the_posterior(name: str) -> None:
    """KL(q || p(z|x)) summed over a grid of its own, from densities alone."""
    vae, x, q = untrained(6), picture(7), q_named(name)
    log_p = summed_plane(vae, x, coarse_plane(vae)).log_evidence
    side = torch.linspace(-7, 7, 201, dtype=torch.float64)
    z = q.mean + q.var.sqrt() * torch.cartesian_prod(side, side)
    log_q = Normal(q.mean, q.var.sqrt()).log_prob(z).sum(1)
    area = float(q.var.sqrt().prod()) * (14 / 200) ** 2
    share = log_q.exp() * area
    kl = float((share * (log_q - (log_joint(vae, x, z.float()) - log_p))).sum())
    told = bound_terms(vae, x, q, 32)
    assert kl > 0
    assert log_p - told.bound == pytest.approx(kl, abs=2e-3 * max(1, kl))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_best_normal_is_the_top_of_a_hill(seed: int) -> None:
    vae, x = untrained(seed, 4.0), picture(seed)
    with torch.no_grad():
        start = Gaussian(*(part[0].double() for part in vae.posterior(x[None])))
    best = best_normal(vae, x, start, n=16, rounds=60)
    top = bound_terms(vae, x, best, 16).bound
    plane = summed_plane(vae, x, coarse_plane(vae))
    assert bound_terms(vae, x, start, 16).bound <= top <= plane.log_evidence + 1e-3
    std = best.var.sqrt()
    for k in range(2):
        for step in (-0.3, 0.3):
            one = torch.eye(2, dtype=torch.float64)[k]
            moved = Gaussian(best.mean + step * std * one, best.var)
            stretched = Gaussian(best.mean, best.var * (2 * step * one).exp())
            assert bound_terms(vae, x, moved, 16).bound < top
            assert bound_terms(vae, x, stretched, 16).bound < top


@pytest.mark.parametrize("name", ["wide", "narrow"])
def test_weights_average_the_evidence_and_their_logarithms_the_bound(name: str) -> None:
    vae, x = untrained(8, 0.7), picture(9)
    plane = summed_plane(vae, x, coarse_plane(vae))
    q = best_normal(vae, x, q_named(name)) if name == "narrow" else q_named(name)
    log_w = log_weights(vae, x, q, 40_000, torch.Generator().manual_seed(0))
    error = float(log_w.std()) / len(log_w) ** 0.5
    assert float(log_w.mean()) == pytest.approx(bound_terms(vae, x, q, 32).bound, abs=4 * error)
    weights = (log_w - plane.log_evidence).exp()
    error = float(weights.std()) / len(weights) ** 0.5
    assert float(weights.mean()) == pytest.approx(1, abs=4 * error)
    assert error < 0.05


def test_more_draws_before_the_logarithm_lose_less() -> None:
    log_w = 2 * torch.randn(4096, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(many_draw_bound(log_w, 1), log_w)
    whole = many_draw_bound(log_w, len(log_w))
    assert float(whole) == pytest.approx(float(log_w.exp().mean().log()))
    bounds = [float(many_draw_bound(log_w, K).mean()) for K in (1, 2, 4, 8, 64, 4096)]
    assert bounds == sorted(bounds)
    assert len(many_draw_bound(log_w, 3)) == 4096 // 3


@pytest.mark.parametrize("name", ["wide", "narrow"])
def test_both_gradients_are_right_on_average(name: str) -> None:
    vae, x, q = untrained(10, 3.0), picture(11), q_named(name)
    step = 0.05  # of a width: smaller ones drown in float32

    def cost(shift: Tensor, stretch: Tensor) -> float:
        width = q.var.sqrt()
        moved = Gaussian(q.mean + width * shift, (width * stretch.exp()).square())
        return bound_terms(vae, x, moved, 32).cost

    slope, none = torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for k, one in enumerate(step * torch.eye(2, dtype=torch.float64)):
        width = float(q.var.sqrt()[k])
        slope[0, k] = -(cost(one, none) - cost(-one, none)) / (2 * step * width)
        slope[1, k] = -(cost(none, one) - cost(none, -one)) / (2 * step)
    torch.testing.assert_close(exact_gradient(vae, x, q, 32), slope, rtol=0.01, atol=0.05)
    through, by_value = gradient_draws(vae, x, q, 60_000, torch.Generator().manual_seed(0))
    level = -bound_terms(vae, x, q).cost
    _, less = gradient_draws(vae, x, q, 60_000, torch.Generator().manual_seed(0), baseline=level)
    assert (less.std(0) < 0.5 * by_value.std(0)).all()
    for drawn in (through, by_value, less):
        error = drawn.std(0) / len(drawn) ** 0.5
        assert ((drawn.mean(0) - slope).abs() < 4.5 * error + 0.02).all()
    assert float(slope[0].abs().min()) > 0.1


@pytest.mark.parametrize("name", QS)
def test_each_draw_of_a_gradient_is_that_of_torchs_distributions(name: str) -> None:
    """`rsample` has a path from z back to mu and sigma; `sample` has none, and log q stands in."""
    vae, x, q = untrained(12, 3.0), picture(13), q_named(name)
    told = gradient_draws(vae, x, q, 1, torch.Generator().manual_seed(4), baseline=-3.0)
    eps = torch.randn(1, 2, generator=torch.Generator().manual_seed(4))[0]
    mean, log_std = q.mean.float().requires_grad_(), (q.var.log() / 2).float().requires_grad_()

    def given(z: Tensor) -> Tensor:
        return Bernoulli(logits=vae.logits(z[None])[0]).log_prob(x).sum()

    through = torch.autograd.grad(given(mean + log_std.exp() * eps), [mean, log_std])
    law = Normal(mean, log_std.exp())
    bare = law.sample()
    assert not bare.requires_grad
    assert law.rsample().requires_grad
    z = (mean + log_std.exp() * eps).detach()
    by_value = torch.autograd.grad((given(z) + 3) * law.log_prob(z).sum(), [mean, log_std])
    for found, exact in zip(told, (through, by_value), strict=True):
        exact = torch.stack(exact).double()
        torch.testing.assert_close(found[0], exact, rtol=2e-3, atol=2e-2)


def test_no_variance_falls_to_nothing() -> None:
    vae = untrained(14)
    with torch.no_grad():
        vae.encoder[-1].bias[2:] = -400.0
    assert float(vae.posterior(picture(1)[None]).var.min()) == pytest.approx(math.exp(LEAST))


def test_cross_entropy_of_gray_is_no_likelihood_and_has_a_floor() -> None:
    x = torch.linspace(0, 1, 101, dtype=torch.float64)
    r = torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64)
    cost = gray_cost(x[:, None], r)
    theirs = torch.nn.functional.binary_cross_entropy(
        r.expand(101, -1), x[:, None].expand(-1, 1000), reduction="none"
    )
    torch.testing.assert_close(cost, theirs)
    torch.testing.assert_close(gray_cost(x, x), Bernoulli(probs=x).entropy())
    assert bool((cost >= gray_cost(x, x)[:, None] - 1e-12).all())
    assert float((r[cost.argmin(1)] - x).abs().max()) < 1e-3
    # Over all grays its exponential comes to a half at most; over black and white to 1.
    fine = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    whole = (-gray_cost(fine[:, None], r)).exp().mean(0)
    formula = (2 * r - 1) / (r.log() - (1 - r).log())
    torch.testing.assert_close(whole, formula, atol=1e-6, rtol=1e-6)
    assert float(whole.max()) <= 0.5
    both = (-gray_cost(torch.tensor([[0.0], [1.0]], dtype=torch.float64), r)).exp().sum(0)
    torch.testing.assert_close(both, torch.ones_like(r))
