"""Bayes' rule taken apart: laws for every schedule, brute force, and the page's claims."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.bayes import (
    bayes_factors,
    hump_distance,
    normalised_product,
    optimal_reverse_variance,
    point_posterior,
    posterior_by_quadrature,
    weight_sum,
)
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import SCHEDULES, rescale_zero_terminal_snr
from tests.core import oracles

F64 = torch.float64


@pytest.fixture(
    params=[(name, T) for name in SCHEDULES for T in (2, 10, 1000)], ids=lambda p: f"{p[0]}-{p[1]}"
)
def diffusion(request: pytest.FixtureRequest) -> GaussianDiffusion:
    name, T = request.param
    return GaussianDiffusion(SCHEDULES[name](T))


def hops(T: int) -> tuple[Tensor, Tensor]:
    ends = sorted({t for t in (1, 2, 3, T // 3, T // 2, T - 1, T) if 1 <= t <= T})
    found = [(t, s) for t in ends for s in sorted({0, 1, t // 2, t - 1}) if s < t]
    t, s = zip(*found, strict=True)
    return torch.tensor(t), torch.tensor(s)


@pytest.mark.parametrize(("x0", "x_t"), [(0.8, -0.4), (-3.0, 3.0), (0.0, 0.0), (1.0, 2.99)])
def test_the_product_is_the_posterior(diffusion: GaussianDiffusion, x0: float, x_t: float) -> None:
    """What the page prints as the residual, also for a start and an end 2,000 deviations apart."""
    t, s = hops(diffusion.T)
    clean, noisy = torch.full((len(t),), x0, dtype=F64), torch.full((len(t),), x_t, dtype=F64)
    found = posterior_by_quadrature(diffusion, noisy, clean, t, s)
    closed = diffusion.q_posterior(noisy, clean, t, s)
    torch.testing.assert_close(found.mean, closed.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.var, closed.var, rtol=1e-8, atol=0.0)
    assert float(found.residual.max()) < 1e-7
    assert float(found.normaliser_residual.max()) < 1e-7
    point = s == 0
    assert bool((found.var[point] == 0).all())
    assert bool((found.mean[point] == x0).all())
    assert bool((found.residual[point] == 0).all())


def test_the_residual_is_rounding_where_the_page_starts() -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    pair = torch.tensor([300]), torch.tensor([200])
    found = posterior_by_quadrature(diffusion, torch.tensor([-0.4]), torch.tensor([0.8]), *pair)
    assert float(found.residual) < 1e-13
    assert found.mean.dtype == F64


def test_the_residual_sees_a_wrong_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no number that is small whatever is compared."""
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    right = GaussianDiffusion.posterior_coefficients

    def with_beta(self: GaussianDiffusion, t: Tensor, s: Tensor, like: Tensor) -> tuple:
        c_x0, c_xt, var = right(self, t, s, like)
        return c_x0, c_xt, var * 1.001

    monkeypatch.setattr(GaussianDiffusion, "posterior_coefficients", with_beta)
    pair = torch.tensor([300]), torch.tensor([200])
    one = torch.ones(1, dtype=F64)
    assert float(posterior_by_quadrature(diffusion, one, one, *pair).residual) > 1e-4


def test_quadrature_equals_the_oracle() -> None:
    schedule = SCHEDULES["cosine"](100)
    x0, x_t, t, s = -0.3, 1.7, 60, 20
    pair = torch.tensor([t]), torch.tensor([s])
    ours = posterior_by_quadrature(
        GaussianDiffusion(schedule),
        torch.tensor([x_t], dtype=F64),
        torch.tensor([x0], dtype=F64),
        *pair,
    )
    mean, var = oracles.posterior_by_quadrature(x_t, x0, schedule.alpha_bar.numpy(), t, s)
    assert float(ours.mean) == pytest.approx(mean, abs=1e-9)
    assert float(ours.var) == pytest.approx(var, rel=1e-6)


def test_the_factors_are_the_textbook_densities() -> None:
    schedule = SCHEDULES["linear"](1000)
    x = torch.linspace(-2, 2, 9, dtype=F64)[None]
    one = torch.ones(1, dtype=F64)
    t, s = torch.tensor([300]), torch.tensor([200])
    arrival, prior = bayes_factors(GaussianDiffusion(schedule), x, -0.4 * one, 0.8 * one, t, s)
    gain, var = oracles.step_by_step(schedule.alpha_bar.numpy(), 200, 300)
    oracles.close(arrival[0], oracles.log_normal(-0.4, gain * x[0].numpy(), var))
    gain, var = oracles.step_by_step(schedule.alpha_bar.numpy(), 0, 200)
    oracles.close(prior[0], oracles.log_normal(x[0].numpy(), gain * 0.8, var))


def test_the_normalised_product_has_area_one() -> None:
    diffusion = GaussianDiffusion(SCHEDULES["sigmoid"](1000))
    t, s = torch.tensor([900, 30]), torch.tensor([300, 29])
    found = normalised_product(diffusion, torch.ones(2).double(), torch.ones(2).double(), t, s)
    area = torch.trapezoid(found.density, found.x)
    torch.testing.assert_close(area, torch.ones(2, dtype=F64))


def test_where_no_signal_is_left_the_product_is_the_prior() -> None:
    """x_T then says nothing of x_s; the row before, where it says something, stays right."""
    diffusion = GaussianDiffusion(rescale_zero_terminal_snr(SCHEDULES["linear"](20)))
    x_t, x0 = torch.tensor([0.5, 0.5], dtype=F64), torch.tensor([0.3, 0.3], dtype=F64)
    t, s = torch.tensor([20, 19]), torch.tensor([11, 11])
    found = posterior_by_quadrature(diffusion, x_t, x0, t, s)
    assert float(found.residual.max()) < 1e-9
    assert float(found.normaliser_residual.max()) < 1e-9
    prior = diffusion.q_marginal(x0, s)
    torch.testing.assert_close(found.mean[0], prior.mean[0])
    torch.testing.assert_close(found.var[0], prior.var[0])


# --- the best variance ----------------------------------------------------------------------------


def test_its_ends_are_the_two_that_ddpm_names(diffusion: GaussianDiffusion) -> None:
    """Ho et al. 2020, section 3.2: right for a point, right for N(0, 1)."""
    t, s = hops(diffusion.T)
    like = torch.zeros(len(t), dtype=F64)
    posterior = diffusion.posterior_coefficients(t, s, like)[2]
    forward = diffusion.q_step(like, t, s).var
    torch.testing.assert_close(optimal_reverse_variance(diffusion, 0.0, t, s), posterior)
    torch.testing.assert_close(optimal_reverse_variance(diffusion, 1.0, t, s), forward)


@pytest.mark.parametrize("v", [0.0001, 0.01, 0.3, 0.9])
def test_it_lies_between_and_grows(diffusion: GaussianDiffusion, v: float) -> None:
    t, s = hops(diffusion.T)
    low, here, more, high = (
        optimal_reverse_variance(diffusion, value, t, s) for value in (0.0, v, v + 0.05, 1.0)
    )
    slack = 1 + 1e-12
    assert bool((low <= here * slack).all())
    assert bool((here <= more * slack).all())
    assert bool((more <= high * slack).all())


@pytest.mark.parametrize("v", [0.0, 0.0001, 0.1, 0.5, 1.0, 3.0])
def test_it_equals_the_conditional_variance_of_the_chain(
    diffusion: GaussianDiffusion, v: float
) -> None:
    """Brute force: run the chain's variance and covariance step by step, then condition."""
    t, s = hops(diffusion.T)
    alpha_bar = diffusion.schedule.alpha_bar.numpy()
    expected = []
    for here, before in zip(t.tolist(), s.tolist(), strict=True):
        gain_s, noise_s = oracles.step_by_step(alpha_bar, 0, before)
        gain, noise = oracles.step_by_step(alpha_bar, before, here)
        variance_s = gain_s**2 * v + noise_s
        variance_t = gain**2 * variance_s + noise
        expected.append(variance_s * noise / variance_t)  # Var - Cov²/Var, without the difference
    oracles.close(optimal_reverse_variance(diffusion, v, t, s), expected, rtol=1e-9)


def test_it_is_what_draws_show() -> None:
    """Draw the chain, keep the draws that end near one x_t: that is how much x_s varies there."""
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))
    generator = torch.Generator().manual_seed(0)
    n, v = 400_000, 0.1
    z = torch.randn(3, n, 1, generator=generator, dtype=F64)
    t, s = torch.full((n,), 6), torch.full((n,), 5)
    x_s = diffusion.q_sample(v**0.5 * z[0], s, z[1])
    x_t = diffusion.q_step(x_s, t, s).sample(z[2])
    near = (x_t.flatten() - 0.5).abs() < 0.05
    expected = optimal_reverse_variance(diffusion, v, t[:1], s[:1])
    assert float(x_s.flatten()[near].var()) == pytest.approx(float(expected), rel=0.05)


@pytest.mark.parametrize("v", [-0.1, math.nan])
def test_a_variance_that_is_none_is_refused(v: float) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    with pytest.raises(ValueError, match="not negative"):
        optimal_reverse_variance(diffusion, v, torch.tensor([2]), torch.tensor([1]))


# --- without x_0 ----------------------------------------------------------------------------------


def density(found: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    weights, mean, var = found
    bells = torch.exp(-0.5 * (x - mean.T) ** 2 / var) / (2 * math.pi * var).sqrt()
    return (weights.T * bells).sum(0)


@pytest.mark.parametrize("x_t", [0.0, 0.2, -2.5])
def test_the_mixture_is_bayes_rule_over_the_whole_chain(x_t: float) -> None:
    """q(x_s|x_t) ∝ q(x_t|x_s)·q(x_s), with q(x_s) the noised data."""
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    t, s = torch.tensor([300]), torch.tensor([100])
    found = point_posterior(diffusion, torch.tensor([x_t]), torch.tensor([-1.0, 1.0]), t, s)
    assert float(found.weights.sum()) == pytest.approx(1)
    x = torch.linspace(-4, 4, 8001, dtype=F64)
    a_s, a_t = (float(diffusion.schedule.alpha_bar[k]) for k in (100, 300))
    prior = sum(np.exp(oracles.log_normal(x.numpy(), a_s**0.5 * p, 1 - a_s)) for p in (-1, 1))
    product = prior * np.exp(oracles.log_normal(x_t, (a_t / a_s) ** 0.5 * x.numpy(), 1 - a_t / a_s))
    product /= product.sum() * (8 / 8000)
    np.testing.assert_allclose(density(found, x).numpy(), product, atol=1e-6)


def test_one_point_is_the_posterior() -> None:
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))
    t, s = torch.tensor([6]), torch.tensor([3])
    found = point_posterior(diffusion, torch.tensor([0.3]), torch.tensor([0.7]), t, s)
    closed = diffusion.q_posterior(torch.tensor([0.3]).double(), torch.tensor([0.7]).double(), t, s)
    assert float(found.weights) == 1
    torch.testing.assert_close(found.mean[0], closed.mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.var[0], closed.var)


@pytest.mark.parametrize(("s", "humps"), [(100, 2), (200, 2), (250, 1), (299, 1)])
def test_two_humps_exactly_where_the_distance_passes_two(s: int, humps: int) -> None:
    """What the page says of t = 300, data -1 and +1 and x_t = 0: count the maxima."""
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    pair = torch.tensor([300]), torch.tensor([s])
    found = point_posterior(diffusion, torch.tensor([0.0]), torch.tensor([-1.0, 1.0]), *pair)
    x = torch.linspace(-3, 3, 6001, dtype=F64)
    y = density(found, x)
    maxima = int(((y[1:-1] > y[:-2]) & (y[1:-1] >= y[2:])).sum())
    assert maxima == humps
    assert (float(hump_distance(diffusion, 2.0, *pair)) > 2) == (humps == 2)


def test_at_s_0_the_humps_are_points() -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    pair = torch.tensor([5]), torch.tensor([0])
    assert float(hump_distance(diffusion, 2.0, *pair)) == math.inf


# --- the weights ----------------------------------------------------------------------------------


def test_the_weights_sum_to_less_than_one(diffusion: GaussianDiffusion) -> None:
    t, s = hops(diffusion.T)
    a_t, a_s = (diffusion.schedule.alpha_bar[k].sqrt() for k in (t, s))
    total = weight_sum(diffusion, t, s)
    torch.testing.assert_close(total, (a_s**2 + a_t) / (a_s * (1 + a_t)), rtol=1e-9, atol=0.0)
    assert bool((total <= 1 + 1e-12).all())
    assert bool((total[s == 0] == 1).all())


def test_what_the_weights_do_satisfy(diffusion: GaussianDiffusion) -> None:
    """On average x_s comes out as sqrt(alpha_bar_s) x_0."""
    t, s = hops(diffusion.T)
    c_x0, c_xt, _ = diffusion.posterior_coefficients(t, s, torch.zeros(len(t)))
    a_t, a_s = (diffusion.schedule.alpha_bar[k].sqrt() for k in (t, s))
    torch.testing.assert_close(c_x0 + a_t * c_xt, a_s, rtol=1e-9, atol=0.0)


def test_near_t_2_the_two_facts_share_the_work() -> None:
    """What the prediction's answer says: about half of beta at t = 2, nothing at t = 1."""
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    t = torch.tensor([1, 2])
    share = (
        diffusion.posterior_coefficients(t, t - 1, torch.zeros(2))[2] / diffusion.schedule.beta[t]
    )
    assert float(share[0]) == 0
    assert 0.4 < float(share[1]) < 0.5
