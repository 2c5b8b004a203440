"""Misprinted formulas: the right versions against brute force, the wrong ones by how much."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core import misprints
from diffusion_core import misprints_bound as bounds
from diffusion_core.chains import LinearChain, chain_elbo
from diffusion_core.forward import forward_chain
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.likelihood import term_from_eps, term_from_x0
from diffusion_core.parameterization import Prediction
from diffusion_core.schedules import SCHEDULES, NoiseSchedule
from tests.core.oracles import close, reference

SCHEDULE_NAMES = list(SCHEDULES)
STEPS = torch.tensor([1, 2, 7, 40, 100])
LATER = STEPS[1:]
DATA = torch.tensor([-1.0, 1.0], dtype=torch.float64)


def process(name: str = "linear", T: int = 100) -> GaussianDiffusion:
    return GaussianDiffusion(SCHEDULES[name](T))


def normal(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- means ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_the_minus_is_off_by_twice_the_term_of_x0(name: str) -> None:
    d, x_t, x0 = process(name), normal(5), normal(5, 1)
    right = d.q_posterior(x_t, x0, STEPS, STEPS - 1).mean
    wrong = misprints.posterior_mean_with_minus(d, x_t, x0, STEPS, STEPS - 1)
    weight = d.posterior_coefficients(STEPS, STEPS - 1, x_t)[0]
    close(right - wrong, 2 * weight * x0)


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_the_minus_is_off_by_exactly_two_at_the_first_step(name: str) -> None:
    d, one, t = process(name), torch.ones(1, dtype=torch.float64), torch.tensor([1])
    for x_t in (-3.0, 0.4):
        x = torch.tensor([x_t], dtype=torch.float64)
        assert float(misprints.posterior_mean_with_minus(d, x, one, t, t - 1)) == -1
        assert float(d.q_posterior(x, one, t, t - 1).mean) == 1
    every = torch.arange(1, d.T + 1)
    weights = d.posterior_coefficients(every, every - 1, torch.zeros(d.T))[0]
    assert float(weights.max()) == 1  # so 2 is the most that a pixel in -1..1 can be off by


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_the_mean_through_the_noise_is_the_posteriors(name: str) -> None:
    d, x0, eps = process(name), normal(5), normal(5, 1)
    x_t = d.q_sample(x0, STEPS, eps)
    for s in (STEPS - 1, STEPS // 2):
        close(
            misprints.mean_from_eps(d, x_t, eps, STEPS, s),
            d.q_posterior(x_t, x0, STEPS, s).mean,
            rtol=1e-8,
        )


def test_dividing_by_alpha_takes_away_too_much_noise() -> None:
    d, x_t, eps = process(), normal(5), normal(5, 1)
    alpha = 1 - d.schedule.beta[STEPS]
    right = misprints.mean_from_eps(d, x_t, eps, STEPS, STEPS - 1) - x_t / alpha.sqrt()
    wrong = misprints.mean_from_eps_with_alpha(d, x_t, eps, STEPS, STEPS - 1) - x_t / alpha.sqrt()
    close(wrong, right / alpha.sqrt())


def test_without_signal_the_noise_does_not_tell_the_mean() -> None:
    alpha_bar = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    d, t = GaussianDiffusion(NoiseSchedule("ends at 0", alpha_bar)), torch.tensor([2])
    for formula in (misprints.mean_from_eps, misprints.mean_from_eps_with_alpha):
        with pytest.raises(ValueError, match="no signal"):
            formula(d, normal(1), normal(1), t, t - 1)


# --- terms of the bound ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_the_right_terms_are_the_kl(name: str) -> None:
    d, error = process(name), torch.full((4,), 0.3, dtype=torch.float64)
    summed = misprints.kl_between_posteriors(d, error, LATER)
    for formula in (misprints.kl_from_x0, misprints.kl_from_snr):
        np.testing.assert_allclose(formula(d, error, LATER), summed, rtol=1e-6)
    zero = torch.zeros_like(error)
    prediction = Prediction(error, zero)
    close(misprints.kl_from_x0(d, error, LATER), term_from_x0(d, zero, zero, LATER, prediction))


def test_the_kl_of_noises_is_the_packages_and_the_sums() -> None:
    d, x0, eps, guess = process(), normal(4), normal(4, 1), normal(4, 2)
    x_t = d.q_sample(x0, LATER, eps)
    a, sigma = d.rates(LATER, x_t)
    found = misprints.kl_from_eps(d, eps - guess, LATER)
    prediction = Prediction((x_t - sigma * guess) / a, guess)
    np.testing.assert_allclose(found, term_from_eps(d, x0, x_t, LATER, prediction), rtol=1e-9)
    summed = misprints.kl_between_posteriors(d, (eps - guess) * sigma / a, LATER)
    np.testing.assert_allclose(found, summed, rtol=1e-6)


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
@pytest.mark.parametrize("T", [20, 1000])
def test_alpha_squared_is_off_by_one_over_alpha(name: str, T: int) -> None:
    d, later = process(name, T), torch.arange(2, T + 1)
    error = torch.full((T - 1,), 0.7, dtype=torch.float64)
    wrong = misprints.kl_from_eps_with_alpha_squared(d, error, later)
    alpha = 1 - d.schedule.beta[later]
    np.testing.assert_allclose(
        wrong / misprints.kl_from_eps(d, error, later), 1 / alpha, rtol=1e-12
    )
    # The printed formula, letter by letter.
    var = d.posterior_coefficients(later, later - 1, error)[2]
    beta, a = d.schedule.beta[later], d.schedule.alpha_bar[later]
    close(wrong, beta**2 / (2 * var * (1 - a) * alpha**2) * error**2)


def test_a_thousand_linear_steps_hide_alpha_squared_and_twenty_do_not() -> None:
    largest = [float((1 / (1 - process(T=T).schedule.beta[1:])).max()) for T in (1000, 20)]
    assert largest[0] == pytest.approx(1 / 0.98)
    assert largest[1] == pytest.approx(1000)


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
@pytest.mark.parametrize("back", [0, 1, 30, 59])
def test_plain_eta_is_right_at_both_ends_only(name: str, back: int) -> None:
    d = process(name)
    eta = torch.linspace(0, 1, 11, dtype=torch.float64)
    t, s = torch.full((11,), 60), torch.full((11,), back)
    found = misprints.noise_with_plain_eta(d, eta, t, s)
    # The printed step, letter by letter: two independent noises, whose variances add.
    a, before = d.schedule.alpha_bar[60], d.schedule.alpha_bar[back]
    tilde = (1 - before) / (1 - a) * (1 - a / before)
    close(found, ((1 - before - eta * tilde) + (eta * tilde.sqrt()) ** 2).sqrt())
    sigma = (1 - before).sqrt().expand(11)
    close(found[[0, -1]], sigma[[0, -1]])
    if back:
        assert (found[1:-1] < sigma[1:-1]).all()
        gap = sigma.square() - found.square()
        close(gap, eta * (1 - eta) * tilde)  # largest at one half


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_two_roots_of_the_reciprocal_are_the_clean_picture(name: str) -> None:
    d, generator = process(name), torch.Generator().manual_seed(0)
    t = torch.tensor([1, 2, 10, 50, 99])
    x0, eps = torch.randn(2, 5, 1, 3, 3, generator=generator, dtype=torch.float64)
    x_t = d.q_sample(x0, t, eps)
    found = misprints.x0_with_one_root(d, x_t, eps, t)
    a, sigma = d.rates(t, x_t)
    np.testing.assert_allclose(
        found, (x_t - sigma * eps) / a, rtol=1e-9, atol=1e-9 / float(a.min())
    )
    np.testing.assert_allclose(found, x0, atol=1e-12 / float(a.min()))


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_one_minus_alpha_bar_is_off_by_one_over_snr(name: str) -> None:
    d, error = process(name), torch.full((4,), 0.7, dtype=torch.float64)
    wrong = misprints.kl_from_x0_with_one_minus(d, error, LATER)
    ratio = wrong / misprints.kl_from_x0(d, error, LATER)
    np.testing.assert_allclose(ratio, 1 / d.schedule.snr[LATER - 1], rtol=1e-9)
    var = d.posterior_coefficients(LATER, LATER - 1, error)[2]
    before, a = d.schedule.alpha_bar[LATER - 1], d.schedule.alpha_bar[LATER]
    close(wrong, (1 - before) * d.schedule.beta[LATER] ** 2 / (2 * var * (1 - a) ** 2) * error**2)


# --- the forward process --------------------------------------------------------------------------


def test_small_alphas_forget_the_picture_at_once() -> None:
    wrong = misprints.signal_if_alpha_is_small(1000)
    right = process(T=1000).schedule
    assert float(wrong[0]) == 1
    assert float(wrong[1]) == pytest.approx(1e-4)
    assert float(right.alpha_bar[1]) == pytest.approx(1 - 1e-4)
    close(wrong[1:21], right.beta[1:21].cumprod(0))  # they are the betas


def test_shares_above_1_are_no_shares() -> None:
    assert float(misprints.signal_if_alpha_is_small(20).max()) == 1
    with pytest.raises(ValueError, match="20 steps or more"):
        misprints.signal_if_alpha_is_small(19)


def test_the_ratio_of_one_pixel_is_off_by_its_square() -> None:
    schedule = process().schedule
    for x0 in (0.3, -0.8):
        a = schedule.alpha_bar[1:]
        wrong = misprints.snr_of_one_picture(schedule, x0)[1:]
        close(wrong, (a.sqrt() * x0) ** 2 / (1 - a))
        close(wrong, x0**2 * schedule.snr[1:])
    close(misprints.snr_of_one_picture(schedule, 1.0)[1:], schedule.snr[1:])


def test_without_sigma_the_variance_is_one_plus_alpha_bar() -> None:
    d, n = process(), 200_000
    x0, eps = normal(n), normal(n, 1)
    for t in (1, 40):
        steps = torch.full((n,), t)
        wrong = float(misprints.jump_without_sigma(d, x0, steps, eps).var())
        alpha_bar = float(d.schedule.alpha_bar[t])
        assert wrong == pytest.approx(1 + alpha_bar, abs=0.02)
        assert float(d.q_sample(x0, steps, eps).var()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("now", "before"), [(0.7, 0.8), (0.99, 0.05), (0.2, 0.9)])
def test_two_doses_of_noise_are_one(now: float, before: float) -> None:
    eps = torch.stack([normal(400_000), normal(400_000, 1)])
    both = (now * (1 - before)) ** 0.5 * eps[0] + (1 - now) ** 0.5 * eps[1]
    assert misprints.two_steps_spread(now, before) == pytest.approx(float(both.std()), rel=0.01)


def test_two_steps_of_the_chain_have_that_spread() -> None:
    d = process(T=2)
    before, now = (1 - d.schedule.beta[1:]).tolist()
    x = forward_chain(d.schedule, torch.zeros(200_000), torch.Generator().manual_seed(0))
    spread = misprints.two_steps_spread(now, before)
    assert float(x[2].std()) == pytest.approx(spread, rel=0.01)


# --- score and mean -------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [3, 40, 90])
def test_tweedie_is_the_average_and_not_the_likeliest(t: int) -> None:
    d, x_t = process(), torch.linspace(-2, 2, 9, dtype=torch.float64)
    steps = torch.full((9,), t)
    a, sigma = (float(rate[0]) for rate in d.rates(steps, x_t))
    weights = np.exp(-0.5 * ((x_t.numpy()[:, None] - a * DATA.numpy()) / sigma) ** 2)
    weights /= weights.sum(1, keepdims=True)
    found = misprints.tweedie_x0(d, x_t, DATA, steps)
    np.testing.assert_allclose(found, weights @ DATA.numpy(), atol=1e-10)
    likeliest = misprints.most_likely_x0(d, x_t, steps)
    grid = np.linspace(-8, 8, 16_001)
    best = grid[((x_t.numpy()[:, None] - a * grid) ** 2).argmin(1)]
    inside = likeliest.abs() < 8
    np.testing.assert_allclose(likeliest[inside], best[inside.numpy()], atol=1e-3)
    assert float((likeliest - found).abs().max()) > 0.1


@pytest.mark.parametrize("t", [10, 40, 90])
def test_the_score_needs_the_average_noise(t: int) -> None:
    d, x_t = process(), torch.linspace(-2, 2, 9, dtype=torch.float64)
    steps, h = torch.full((9,), t), 1e-5
    found = misprints.marginal_score(d, x_t, DATA, steps)
    up, down = (misprints.log_density(d, x_t + k * h, DATA, steps) for k in (1, -1))
    np.testing.assert_allclose(found, (up - down) / (2 * h), rtol=1e-5, atol=1e-6)
    # With the start known there is one Gaussian, and the printed formula is its slope.
    one = torch.ones_like(x_t)
    own = misprints.score_from_own_noise(d, one, x_t, steps)
    close(own, misprints.marginal_score(d, x_t, DATA[1:], steps))
    a, sigma = d.rates(steps, x_t)
    close(own, -((x_t - a) / sigma) / sigma)
    unknown = 1 - misprints.tweedie_x0(d, x_t, DATA, steps)  # how far the start is from certain
    np.testing.assert_allclose(own - found, a * unknown / sigma.square(), atol=1e-9)
    assert float(unknown.max()) > 1
    # Averaged over the starts that may have led to x_t, it is the score of the data.
    both = torch.stack([misprints.score_from_own_noise(d, p * one, x_t, steps) for p in DATA])
    weights = (-0.5 * ((x_t - a * DATA[:, None]) / sigma) ** 2).softmax(0)
    close((weights * both).sum(0), found)


# --- sampling -------------------------------------------------------------------------------------


LOPSIDED = torch.tensor([0.25, 1.0], dtype=torch.float64)  # symmetric data would hide the sign


def exact(d: GaussianDiffusion, x_t: Tensor, t: Tensor) -> Prediction:
    """The best denoiser for data at 1/4 and 1."""
    flat = misprints.tweedie_x0(d, x_t.flatten().double(), LOPSIDED, t.repeat(x_t[0].numel()))
    x0 = flat.reshape(x_t.shape).to(x_t)
    a, sigma = (rate.to(x_t) for rate in d.rates(t, x_t))
    return Prediction(x0, (x_t - a * x0) / sigma)


def sampled(mean: str) -> Tensor:
    """2,000 runs, [51, 2000]."""
    d = process("cosine", 50)
    generator = torch.Generator().manual_seed(0)
    x_T = torch.randn(2000, generator=generator, dtype=torch.float64)
    walk = misprints.sample_with_mean(
        d, lambda x, t, label=None: exact(d, x, t), x_T, range(50, 0, -1), mean, generator=generator
    )
    steps = list(walk)
    assert [step.t for step in steps] == list(range(50, -1, -1))
    assert all(bool(step.x_t.isfinite().all()) for step in steps)
    return torch.stack([step.x_t for step in steps])


def test_the_right_mean_samples_the_data_and_the_wrong_ones_do_not() -> None:
    def distance(x: Tensor) -> Tensor:
        return (x[:, None] - LOPSIDED).abs().amin(1)

    *_, right = rights = sampled("right")
    assert float(distance(right).max()) < 1e-3
    assert float((right > 0.6).double().mean()) == pytest.approx(0.5, abs=0.06)
    assert float(rights.std(1).max()) < 1.1
    assert float(sampled("minus")[-1].max()) < 0  # on the other side of 0
    # The best denoiser there is repairs this one in the end; a network can't, so far from home.
    assert float(sampled("alpha").std(1).max()) > 20


def test_the_right_mean_is_that_of_the_package() -> None:
    from diffusion_core.samplers import sample

    d, x_T = process("cosine", 20), torch.randn(3, 1, 4, 4, generator=torch.manual_seed(0))
    runs = [
        misprints.sample_with_mean(
            d, lambda x, t, label=None: exact(d, x, t), x_T, [20, 11, 4], "right",
            generator=torch.Generator().manual_seed(5),
        ),
        sample(
            d, lambda x, t, label=None: exact(d, x, t), x_T, [20, 11, 4], sampler="ddpm",
            generator=torch.Generator().manual_seed(5),
        ),
    ]  # fmt: skip
    for ours, theirs in zip(*runs, strict=True):
        np.testing.assert_allclose(ours.x_t, theirs.x_t, atol=1e-5)


def test_an_unknown_mean_is_refused_on_the_call() -> None:
    with pytest.raises(ValueError, match="unknown mean"):
        misprints.sample_with_mean(
            process(), None, torch.zeros(1), [1], "median", generator=torch.Generator()
        )


# --- the bound ------------------------------------------------------------------------------------

MODELS = [bounds.LatentModel(1.0, 1.0), bounds.LatentModel(0.4, 0.9), bounds.LatentModel(-1.5, 0.3)]
QS = [bounds.Normal(0.3, 0.8), bounds.Normal(-1.0, 0.2)]


def summed(model: bounds.LatentModel, x: float, q: bounds.Normal) -> tuple[float, float, float]:
    """E_q[log p(x,z) - log q(z)], E_q[log p(z|x)] and H(q), each from a grid of z."""
    z = np.linspace(q.mean - 12 * q.std, q.mean + 12 * q.std, 40_001)
    dz = z[1] - z[0]

    def log_normal(y: object, mean: object, std: float) -> np.ndarray:
        return -0.5 * (((y - mean) / std) ** 2 + np.log(2 * np.pi * std**2))

    log_q = log_normal(z, q.mean, q.std)
    joint = log_normal(x, model.w * z, model.s) + log_normal(z, 0, 1)
    log_p = math.log(np.exp(log_normal(x, model.w * z_all, model.s) + log_normal(z_all, 0, 1)).sum()
                     * (z_all[1] - z_all[0]))  # fmt: skip
    weight = np.exp(log_q) * dz
    return (
        float((weight * (joint - log_q)).sum()),
        float((weight * (joint - log_p)).sum()),
        float(-(weight * log_q).sum()),
    )


z_all = np.linspace(-12, 12, 40_001)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("q", QS)
def test_the_right_bounds_are_the_sum_over_z(model: bounds.LatentModel, q: bounds.Normal) -> None:
    for x in (-0.7, 1.2):
        elbo, cross, entropy = summed(model, x, q)
        log_p = bounds.log_marginal_by_sum(model, x)
        assert bounds.bound(model, x, q) == pytest.approx(elbo, abs=1e-6)
        assert bounds.bound_from_entropies(model, x, q) == pytest.approx(elbo, abs=1e-6)
        assert q.entropy() == pytest.approx(entropy, abs=1e-6)
        assert q.cross_entropy(model.posterior(x)) == pytest.approx(-cross, abs=1e-6)
        # Flipped: above the evidence by as much as it should be below.
        flipped = bounds.bound_with_flipped_entropies(model, x, q)
        assert flipped - elbo == pytest.approx(2 * (log_p - elbo), abs=1e-6)
        assert flipped > log_p > elbo
        # Swapped: E_q[log p(z|x)] in the place of E_q[log p(x|z)].
        kl = q.cross_entropy(bounds.PRIOR) - entropy
        swapped = bounds.bound_with_swapped_reconstruction(model, x, q)
        assert swapped == pytest.approx(cross - kl, abs=1e-6)


@pytest.mark.parametrize("x", [-2.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.95])
def test_the_swapped_reconstruction_crosses_the_evidence(alpha: float, x: float) -> None:
    model = bounds.LatentModel(alpha**0.5, (1 - alpha) ** 0.5)
    q = bounds.Normal(model.w * x, model.s)
    log_p = bounds.log_marginal_by_sum(model, x)
    assert bounds.bound(model, x, q) == pytest.approx(log_p, abs=1e-9)
    gap = bounds.bound_with_swapped_reconstruction(model, x, q) - log_p
    assert gap == pytest.approx((1 - alpha) * (x**2 - 1) / 2, abs=1e-9)


def test_the_consistency_form_is_another_number() -> None:
    from pages.shared.cases_bound import toy_chain

    case = reference("elbo_toy")["cases"]["generic"]
    chain = toy_chain(case["x0"])
    exact_ = case["exact"]
    written = -float(chain_elbo(chain, "consistency_as_written").total)
    bound = -float(chain_elbo(chain, "denoising_analytic_kl").total)
    assert written == pytest.approx(exact_["value_of_consistency_form_as_written"], rel=1e-9)
    assert bound == pytest.approx(exact_["elbo_denoising_form"], rel=1e-9)
    assert (round(written, 3), round(bound, 3)) == (-1.978, -0.890)


@pytest.mark.parametrize("T", [2, 3, 20, 100])
def test_the_product_telescopes_to_rounding(T: int) -> None:
    alpha = 1 - SCHEDULES["linear"](T).beta[1:]
    one = torch.ones(T, dtype=torch.float64)
    chain = LinearChain(0.7, alpha, one, one, one)
    for path in chain.draw(20, torch.Generator().manual_seed(T)):
        found = bounds.telescope(chain, path)
        assert len(found.partial) == T - 1
        assert float((found.partial - found.ends).abs().max()) < 1e-13
        # The ratios by Bayes' rule, from densities that the product does not contain.
        np.testing.assert_allclose(found.walked, found.ends, atol=1e-9)


# --- probability ----------------------------------------------------------------------------------


def test_without_the_integral_the_area_is_that_of_one_z() -> None:
    x = torch.linspace(-20, 20, 40_001, dtype=torch.float64)
    dx = float(x[1] - x[0])
    for model in MODELS:
        for z in (-1.0, 0.0, 0.5):
            wrong = float(bounds.marginal_without_integral(model, x, z).sum()) * dx
            assert wrong == pytest.approx(math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), rel=1e-6)
        assert float(bounds.marginal(model, x).sum()) * dx == pytest.approx(1, rel=1e-6)
        for y in (-1.0, 0.3):
            p = float(bounds.marginal(model, torch.tensor(y, dtype=torch.float64)))
            assert math.log(p) == pytest.approx(bounds.log_marginal_by_sum(model, y), abs=1e-6)


@pytest.mark.parametrize(("heads", "n"), [(7, 10), (0, 4), (50, 50), (1, 1)])
def test_the_likelihood_is_no_density_of_the_parameter(heads: int, n: int) -> None:
    theta = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    right = bounds.likelihood(theta, heads, n)
    area = float(torch.trapezoid(right, theta))
    assert area == pytest.approx(1 / (n + 1), rel=1e-6)
    assert float(theta[right.argmax()]) == pytest.approx(heads / n, abs=1e-4)
    over_data = sum(float(bounds.likelihood(torch.tensor(0.3), k, n)) for k in range(n + 1))
    assert over_data == pytest.approx(1, rel=1e-5)
    for a in (1, 4):
        wrong = bounds.likelihood_as_posterior(theta, heads, n, a)
        assert float(torch.trapezoid(wrong, theta)) == pytest.approx(1, rel=1e-6)
        peak = (heads + a - 1) / (n + 2 * a - 2)
        assert float(theta[wrong.argmax()]) == pytest.approx(peak, abs=1e-4)
        # It is the likelihood times the prior, but for a constant.
        inside = slice(1000, -1000)
        ratio = wrong[inside] / (right * (theta * (1 - theta)) ** (a - 1))[inside]
        keep = right[inside] > 1e-12
        np.testing.assert_allclose(ratio[keep], float(ratio[keep][0]), rtol=1e-6)


@pytest.mark.parametrize("spread", [0.1, 1.0, 1.9])
def test_jensen_holds_for_concave_functions_only(spread: float) -> None:
    for name, concave in {"x²": False, "1/x": False, "log x": True, "√x": True}.items():
        assert (bounds.jensen_gap(name, 2.0, spread) > 0) == concave
    for mean in (2.0, 5.0):
        assert bounds.jensen_gap("x²", mean, spread) == pytest.approx(-(spread**2), rel=1e-12)
    assert set(bounds.CURVES) == {"x²", "1/x", "log x", "√x"}
    assert bounds.jensen_gap("log x", 2.0, 1.0) == pytest.approx(
        math.log(2) - (math.log(1) + math.log(3)) / 2
    )
