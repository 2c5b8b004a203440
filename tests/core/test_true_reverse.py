"""The true reverse step: laws, brute force, and its two ends (one data point, very short steps)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.bayes import PointPosterior, optimal_reverse_variance, point_posterior
from diffusion_core.denoisers import ideal_denoiser
from diffusion_core.gaussian import Gaussian, GaussianDiffusion
from diffusion_core.schedules import SCHEDULES
from diffusion_core.true_reverse import (
    COARSE,
    average_divergences,
    best_model_step,
    count_in_play,
    data_log_weights,
    distance,
    divergence,
    draws_to_tell,
    gaussian_step_bound,
    log_density,
    moment_matched,
    nearest,
    non_gaussianity,
    pick,
    spread,
)

F64 = torch.float64
POINTS = torch.tensor([-1.2, -0.8, 0.9], dtype=F64)


@pytest.fixture(params=SCHEDULES)
def diffusion(request: pytest.FixtureRequest) -> GaussianDiffusion:
    return GaussianDiffusion(SCHEDULES[request.param](1000))


@pytest.fixture
def cosine() -> GaussianDiffusion:
    return GaussianDiffusion(SCHEDULES["cosine"](1000))


def mixture_of(weights: list[float], mean: list[float], var: float) -> PointPosterior:
    return PointPosterior(*(torch.tensor([v], dtype=F64) for v in (weights, mean, [var])))


def one(value: float) -> Tensor:
    return torch.tensor([value], dtype=F64)


def brute_force(mixture: PointPosterior, other: Gaussian) -> tuple[float, float, float]:
    """Mean, variance and KL(mixture || other), by one fine sum over the whole line."""
    weights, mean = mixture.weights[0].numpy(), mixture.mean[0].numpy()
    var = float(mixture.var)
    lo, hi = mean.min() - 14 * var**0.5, mean.max() + 14 * var**0.5
    x = np.linspace(lo, hi, 400_001)
    p = sum(
        w * np.exp(-((x - m) ** 2) / (2 * var)) / math.sqrt(2 * math.pi * var)
        for w, m in zip(weights, mean, strict=True)
    )
    dx = x[1] - x[0]
    m, v = float(other.mean), float(other.var)
    log_g = -((x - m) ** 2) / (2 * v) - 0.5 * math.log(2 * math.pi * v)
    log_p = np.log(np.maximum(p, 1e-300))
    centre = float((p * x).sum() * dx)
    return (
        centre,
        float((p * (x - centre) ** 2).sum() * dx),
        float((p * (log_p - log_g)).sum() * dx),
    )


MIXTURES = [
    ([0.5, 0.5], [-1.0, 1.0], 1.0),
    ([0.2, 0.5, 0.3], [-1.0, 0.1, 2.0], 0.05),
    ([0.9, 0.1], [0.0, 7.0], 0.4),
    ([0.3, 0.7], [0.5, 0.5], 0.2),  # one point twice
]


@pytest.mark.parametrize(("weights", "mean", "var"), MIXTURES)
def test_divergences_against_a_fine_sum(
    weights: list[float], mean: list[float], var: float
) -> None:
    mixture = mixture_of(weights, mean, var)
    matched = moment_matched(mixture)
    centre, width, gap = brute_force(mixture, matched)
    assert float(matched.mean) == pytest.approx(centre, abs=1e-9)
    assert float(matched.var) == pytest.approx(width, rel=1e-9)
    assert float(non_gaussianity(mixture)) == pytest.approx(gap, rel=1e-8, abs=1e-12)
    assert float(non_gaussianity(mixture, COARSE)) == pytest.approx(gap, rel=1e-5, abs=1e-12)
    other = Gaussian(one(0.3), one(0.7))
    found = float(divergence(mixture, other))
    assert found == pytest.approx(brute_force(mixture, other)[2], rel=1e-8)


def test_bells_far_apart_are_told_apart_by_the_entropy_of_the_weights() -> None:
    """Then KL to the nearest Gaussian has a closed form: its entropy less the bells' and log 2."""
    mixture = mixture_of([0.5, 0.5], [-1000.0, 1000.0], 1e-4)
    matched = moment_matched(mixture)
    expected = 0.5 * math.log(float(matched.var) / 1e-4) - math.log(2)
    assert float(non_gaussianity(mixture)) == pytest.approx(expected, rel=1e-12)


def test_no_gaussian_is_nearer_than_the_moment_matched_one() -> None:
    mixture = mixture_of([0.2, 0.5, 0.3], [-1.0, 0.1, 2.0], 0.05)
    mean, var = moment_matched(mixture)
    least = float(divergence(mixture, Gaussian(mean, var)))
    assert least == pytest.approx(float(non_gaussianity(mixture)))
    for shift, factor in ((0.05, 1.0), (-0.05, 1.0), (0.0, 1.1), (0.0, 0.9)):
        assert float(divergence(mixture, Gaussian(mean + shift, var * factor))) > least + 1e-4


def test_the_density_is_the_sum_of_the_bells(diffusion: GaussianDiffusion) -> None:
    t, s = torch.tensor([520]), torch.tensor([187])
    mixture = point_posterior(diffusion, one(0.1), POINTS, t, s)
    x = torch.linspace(-2, 2, 9, dtype=F64)[None]
    bells = torch.distributions.Normal(mixture.mean[0], mixture.var.sqrt()[0])
    expected = (mixture.weights[0] * bells.log_prob(x[0, :, None]).exp()).sum(1)
    torch.testing.assert_close(log_density(mixture, x).exp()[0], expected)


def test_the_mixture_is_bayes_rule_with_the_marginals(diffusion: GaussianDiffusion) -> None:
    """q(x_s|x_t) = q(x_t|x_s) q(x_s) / q(x_t), each marginal a mixture of its own."""
    x_t, t, s = one(0.1), torch.tensor([520]), torch.tensor([300])

    def marginal(x: Tensor, step: Tensor) -> Tensor:
        every = diffusion.q_marginal(POINTS[None], step)
        log = torch.distributions.Normal(every.mean, every.var.sqrt()).log_prob(x[:, None])
        return log.exp().mean(1)

    x = torch.linspace(-2, 2, 41, dtype=F64)
    arrival = diffusion.q_step(x[None], t, s)
    likely = torch.distributions.Normal(arrival.mean, arrival.var.sqrt()).log_prob(x_t).exp()[0]
    expected = likely * marginal(x, s) / marginal(x_t, t)
    mixture = point_posterior(diffusion, x_t, POINTS, t, s)
    torch.testing.assert_close(log_density(mixture, x[None]).exp()[0], expected)


def test_short_steps_are_gaussian_and_long_ones_are_not(diffusion: GaussianDiffusion) -> None:
    """What the page is about: the divergence falls with every shorter step."""
    s = torch.tensor([20, 187, 270, 320, 420, 470, 500, 510, 519])
    t, x_t = torch.full_like(s, 520), torch.full((len(s),), 0.1, dtype=F64)
    mixture = point_posterior(diffusion, x_t, POINTS, t, s)
    gaps = non_gaussianity(mixture)
    costs = divergence(mixture, best_model_step(diffusion, x_t, POINTS, t, s))
    assert bool((gaps.diff() < 0).all())
    assert bool((costs.diff() < 0).all())
    assert bool((costs > gaps).all())
    assert float(gaps[0]) > 0.1
    assert float(gaps[-1]) < 1e-3 * float(gaps[0])
    assert float(costs[-1]) < 1e-3 * float(costs[0])


def test_one_data_point_leaves_nothing_to_model(diffusion: GaussianDiffusion) -> None:
    t, s = torch.tensor([520, 1000, 2]), torch.tensor([20, 0, 1])
    x_t, point = torch.tensor([0.1, -3.0, 2.0], dtype=F64), torch.tensor([0.5], dtype=F64)
    arguments = (diffusion, x_t, point, t, s)
    mixture, model = point_posterior(*arguments), best_model_step(*arguments)
    closed = diffusion.q_posterior(x_t, point.expand(3), t, s)
    torch.testing.assert_close(model.mean, closed.mean, rtol=1e-9, atol=1e-12)
    assert bool((non_gaussianity(mixture) < 1e-13).all())
    assert float(divergence(mixture, Gaussian(closed.mean, closed.var)).abs().max()) < 1e-13


def test_a_step_onto_the_data_is_infinitely_far() -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    arguments = (diffusion, one(0.1), POINTS, torch.tensor([3]), torch.tensor([0]))
    mixture = point_posterior(*arguments)
    assert float(non_gaussianity(mixture)) == math.inf
    assert float(divergence(mixture, best_model_step(*arguments))) == math.inf


def test_the_best_model_has_the_right_mean_and_too_little_variance(
    diffusion: GaussianDiffusion,
) -> None:
    t, s = torch.tensor([2, 300, 520, 999]), torch.tensor([1, 100, 20, 500])
    x_t = torch.tensor([0.9, -0.2, 0.1, 1.5], dtype=F64)
    arguments = (diffusion, x_t, POINTS, t, s)
    matched, model = moment_matched(point_posterior(*arguments)), best_model_step(*arguments)
    torch.testing.assert_close(model.mean, matched.mean, rtol=1e-8, atol=1e-10)
    assert bool((model.var <= matched.var).all())
    c_x0, _, var = diffusion.posterior_coefficients(t, s, x_t)
    weights = point_posterior(*arguments).weights
    open_ = (weights * POINTS**2).sum(1) - (weights @ POINTS) ** 2
    torch.testing.assert_close(matched.var, var + c_x0**2 * open_, rtol=1e-8, atol=1e-12)


def test_many_points_of_a_normal_distribution_give_its_known_variance(
    cosine: GaussianDiffusion,
) -> None:
    """Bao et al.'s variance for data N(0, v), met by 4,001 equally likely quantiles of it."""
    v, t, s = 0.3, torch.tensor([600]), torch.tensor([400])
    points = torch.special.ndtri((torch.arange(4001, dtype=F64) + 0.5) / 4001) * v**0.5
    mixture = point_posterior(cosine, one(0.4), points, t, s)
    expected = optimal_reverse_variance(cosine, v, t, s)
    assert float(moment_matched(mixture).var) == pytest.approx(float(expected), rel=1e-3)


def test_the_average_over_x_t_is_near_a_draw_by_draw_one(cosine: GaussianDiffusion) -> None:
    t, s = torch.tensor([520, 800]), torch.tensor([187, 467])
    gaps, costs = average_divergences(cosine, POINTS, t, s, draws=20)
    generator = torch.Generator().manual_seed(0)
    n = 3000
    x0 = POINTS.repeat(n // 3)
    for row in range(2):
        tt, ss = t[row].expand(n), s[row].expand(n)
        eps = torch.randn(n, generator=generator, dtype=F64)
        x_t = cosine.q_sample(x0, tt, eps)
        mixture = point_posterior(cosine, x_t, POINTS, tt, ss)
        each = non_gaussianity(mixture, COARSE)
        assert float(gaps[row]) == pytest.approx(float(each.mean()), rel=0.05)
        each = each + moment_matched(mixture).kl(best_model_step(cosine, x_t, POINTS, tt, ss))
        assert float(costs[row]) == pytest.approx(float(each.mean()), rel=0.1)


def test_draws_to_tell() -> None:
    assert draws_to_tell(0.0) == math.inf
    assert draws_to_tell(math.inf) == 1
    assert draws_to_tell(0.01) == pytest.approx(math.log(20) / 0.01)
    # Wald's count, tried: draws from N(0, 1), the logarithm of the odds against N(0.5, 1).
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 200))
    log_odds = np.cumsum(0.125 - 0.5 * x, axis=1)
    first = (log_odds > math.log(20)).argmax(axis=1)
    assert first.mean() + 1 == pytest.approx(draws_to_tell(0.125), rel=0.15)


# --- among pictures -------------------------------------------------------------------------------


@pytest.fixture
def data() -> Tensor:
    rng = np.random.default_rng(3)
    return torch.from_numpy(rng.uniform(-1, 1, (23, 1, 4, 4)))


def noisy(diffusion: GaussianDiffusion, data: Tensor, t: Tensor) -> Tensor:
    eps = torch.from_numpy(np.random.default_rng(5).standard_normal((len(t), 1, 4, 4)))
    return diffusion.q_sample(data[: len(t)], t, eps)


@pytest.mark.parametrize("chunk", [1, 7, 8192])
def test_weights_are_bayes_rule_and_give_the_ideal_guess(
    cosine: GaussianDiffusion, data: Tensor, chunk: int
) -> None:
    t = torch.tensor([1, 400, 800, 1000])
    x_t = noisy(cosine, data, t)
    log_weights = data_log_weights(cosine, data, x_t, t, chunk)
    a, sigma = cosine.rates(t, x_t)
    gaps = (x_t[:, None] - a[:, None] * data[None]).flatten(2).square().sum(2)
    expected = (-gaps / (2 * sigma.reshape(-1, 1) ** 2)).log_softmax(1)
    torch.testing.assert_close(log_weights, expected, rtol=1e-9, atol=1e-7)
    mean = (log_weights.exp() @ data.flatten(1)).reshape(x_t.shape)
    torch.testing.assert_close(mean, ideal_denoiser(cosine, data)(x_t, t).x0)


def test_the_number_in_play_runs_from_all_to_one(cosine: GaussianDiffusion, data: Tensor) -> None:
    even = torch.full((1, 23), -math.log(23), dtype=F64)
    assert float(count_in_play(even)) == pytest.approx(23)
    alone = torch.full((1, 23), -math.inf, dtype=F64).index_fill(1, torch.tensor([4]), 0.0)
    assert float(count_in_play(alone)) == 1
    t = torch.tensor([1, 1000])
    count = count_in_play(data_log_weights(cosine, data, noisy(cosine, data, t), t))
    assert float(count[0]) == pytest.approx(1)
    assert float(count[1]) > 22


def test_pick_follows_the_weights() -> None:
    log_weights = torch.tensor([[0.2, 0.0, 0.5, 0.3], [1.0, 0.0, 0.0, 0.0]]).log()
    picked = torch.stack([pick(log_weights, (k + 0.5) / 1000) for k in range(1000)])
    shares = torch.stack([(picked[:, 0] == i).double().mean() for i in range(4)])
    torch.testing.assert_close(shares, torch.tensor([0.2, 0, 0.5, 0.3], dtype=F64), atol=2e-3,
                               rtol=0)  # fmt: skip
    assert bool((picked[:, 1] == 0).all())
    assert int(pick(log_weights, math.nextafter(1, 0))[1]) <= 3


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_nearest_is_the_nearest(data: Tensor, chunk: int) -> None:
    x = torch.cat([data[7:9], torch.zeros(1, 1, 4, 4, dtype=F64)])
    found = nearest(data, x, chunk)
    gaps = (x[:, None] - data[None]).flatten(2).square().mean(2).sqrt()
    assert found.place.tolist() == gaps.argmin(1).tolist()
    torch.testing.assert_close(found.distance, gaps.amin(1))
    assert found.distance[:2].tolist() == [0, 0]  # exactly: what is memorised is a copy
    torch.testing.assert_close(distance(x, x + 0.5), torch.full((3,), 0.5, dtype=F64))


def test_the_bound_is_the_mean_price_and_is_not_beaten(
    cosine: GaussianDiffusion, data: Tensor
) -> None:
    """The middle of the docstring's line as it is written, and the left by drawing from q."""
    t, s = torch.tensor([600, 900]), torch.tensor([400, 500])
    x_t = noisy(cosine, data, t)
    log_weights = data_log_weights(cosine, data, x_t, t)
    bound = gaussian_step_bound(cosine, spread(data, log_weights), t, s)
    guess = ideal_denoiser(cosine, data)(x_t, t).x0
    model = cosine.q_posterior(x_t, guess, t, s)
    rng = torch.Generator().manual_seed(1)
    for row in range(2):
        tt, ss = t[row].expand(23), s[row].expand(23)
        every = cosine.q_posterior(x_t[row].expand(data.shape), data, tt, ss)
        p = Gaussian(model.mean[row], model.var[row])
        price = every.kl(p).flatten(1).sum(1)
        expected = float(log_weights[row].exp() @ price)
        assert float(bound[row]) == pytest.approx(expected, rel=1e-6)
        noise = torch.randn(20_000, 16, generator=rng, dtype=F64)
        start = torch.multinomial(log_weights[row].exp(), 20_000, replacement=True, generator=rng)
        var = float(model.var[row])
        means = every.mean.flatten(1)
        x = means[start] + var**0.5 * noise
        log_q = (-torch.cdist(x, means).square() / (2 * var) + log_weights[row]).logsumexp(1)
        log_p = -(x - model.mean[row].flatten()).square().sum(1) / (2 * var)
        assert 0 < float((log_q - log_p).mean()) < expected


def test_nothing_left_open_costs_nothing_and_the_data_cost_everything(
    cosine: GaussianDiffusion, data: Tensor
) -> None:
    t, s = torch.tensor([1, 1000]), torch.tensor([0, 0])
    x_t = noisy(cosine, data, t).float()
    variance = spread(data.float(), data_log_weights(cosine, data.float(), x_t, t))
    assert float(variance[0]) == 0  # not the rounding of two large numbers
    assert gaussian_step_bound(cosine, variance, t, s).tolist() == [0, math.inf]
