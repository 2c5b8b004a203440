"""Translating predictions: five languages, two routes to one mean, and what rounding does."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.conversion import (
    clip_lens,
    error_gains,
    mean_from_eps,
    min_snr_weight,
    rates_at,
    readings,
    rounding_errors,
    steps_to_half,
    unexplained,
    weight_on,
)
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import PARAMETERIZATIONS, Prediction
from diffusion_core.samplers import clip_prediction, step_mean
from diffusion_core.schedules import SCHEDULES, NoiseSchedule
from diffusion_core.training import WEIGHTINGS
from tests.core.oracles import close, reference

T = 1000


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def case(
    name: str, back: int = 1, dtype: torch.dtype = torch.float64
) -> tuple[GaussianDiffusion, Tensor, Tensor, Tensor, Tensor]:
    """A process, and x_t with the true noise at every step of it."""
    diffusion = GaussianDiffusion(SCHEDULES[name](T))
    t = torch.arange(1, T + 1)
    x0, eps = normal(T, 32, seed=1).clamp(-1, 1), normal(T, 32, seed=2)
    x_t = diffusion.q_sample(x0, t, eps)
    return diffusion, x_t.to(dtype), eps.to(dtype), t, (t - back).clamp(min=0)


@pytest.mark.parametrize("back", [1, 40, 1000])
@pytest.mark.parametrize("name", ["linear", "cosine", "log_snr_linear"])
def test_both_routes_lead_to_one_mean(name: str, back: int) -> None:
    diffusion, x_t, eps, t, s = case(name, back)
    lens = clip_lens(diffusion, x_t, eps, t, s)
    np.testing.assert_allclose(lens.direct, lens.through_x0, rtol=1e-9, atol=1e-11)
    a, sigma = diffusion.rates(t, x_t)
    np.testing.assert_allclose(lens.x0, (x_t - sigma * eps) / a)


def test_the_direct_mean_is_the_papers() -> None:
    """Ho et al. 2020, eq. 11, written with the betas of the schedule."""
    diffusion, x_t, eps, t, s = case("linear")
    beta = diffusion.schedule.beta[t][:, None]
    sigma = (1 - diffusion.schedule.alpha_bar[t][:, None]).sqrt()
    expected = (x_t - beta / sigma * eps) / (1 - beta).sqrt()
    np.testing.assert_allclose(mean_from_eps(diffusion, x_t, eps, t, s), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_routes_differ_by_rounding_and_float64_rounds_less(name: str) -> None:
    gaps = {}
    for dtype in (torch.float32, torch.float64):
        lens = clip_lens(*case(name, dtype=dtype))
        assert lens.direct.dtype == lens.through_x0.dtype == dtype
        gaps[dtype] = float((lens.direct - lens.through_x0).abs().max())
    assert 0 < gaps[torch.float32] < 1e-4
    assert 0 < gaps[torch.float64] < 1e-12
    assert gaps[torch.float32] > 1e6 * gaps[torch.float64]


@pytest.mark.parametrize("back", [1, 40])
def test_clipping_moves_the_mean_by_the_weight_of_x0(back: int) -> None:
    diffusion, x_t, eps, t, s = case("cosine", back)
    lens = clip_lens(diffusion, x_t, eps + 0.1, t, s)  # an error, so that x0 leaves the range
    weight = diffusion.posterior_coefficients(t, s, x_t)[0]
    moved = weight * (lens.x0.clamp(-1, 1) - lens.x0)
    assert float(moved.abs().max()) > 0.01
    np.testing.assert_allclose(lens.clipped - lens.through_x0, moved, rtol=1e-6, atol=1e-11)


def test_without_signal_there_is_no_direct_mean() -> None:
    alpha_bar = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    diffusion = GaussianDiffusion(NoiseSchedule("ends at 0", alpha_bar))
    x = normal(1, 3)
    with pytest.raises(ValueError, match="no signal"):
        mean_from_eps(diffusion, x, x, torch.tensor([2]), torch.tensor([1]))


def test_the_readings_are_one_belief() -> None:
    """Each reading, taken as a network's output, gives back the same picture and noise."""
    diffusion, x_t, eps, t, s = case("cosine")
    rates = diffusion.rates(t, x_t)
    prediction = PARAMETERIZATIONS["eps"].recover(eps, x_t, *rates)
    told = readings(diffusion, prediction, x_t, t, s)
    for name in ("x0", "eps", "v", "score"):
        back = PARAMETERIZATIONS[name].recover(getattr(told, name), x_t, *rates)
        # eps pins x0 down only to its rounding times sigma/a.
        np.testing.assert_allclose(rates[0] * back.x0, rates[0] * told.x0, atol=1e-10)
        np.testing.assert_allclose(back.eps, told.eps, atol=1e-10)
    np.testing.assert_allclose(told.mean, mean_from_eps(diffusion, x_t, eps, t, s), atol=1e-10)


def test_improved_diffusions_mean() -> None:
    """The mean from eps against improved-diffusion's, which goes by way of x0."""
    seen = 0
    for told in reference("gaussian_ops")["cases"]:
        diffusion = GaussianDiffusion(SCHEDULES[told["schedule"]["name"]](told["schedule"]["T"]))
        x = {k: torch.tensor(v, dtype=torch.float64) for k, v in told["inputs"].items() if k != "t"}
        t = torch.tensor(told["inputs"]["t"]) + 1
        x0 = torch.tensor(told["predict_xstart_from_eps"], dtype=torch.float64)
        expected = diffusion.q_posterior(x["x_t"], x0, t, t - 1).mean
        close(mean_from_eps(diffusion, x["x_t"], x["eps"], t, t - 1), expected)
        seen += len(t)
    assert seen > 4


# --- clipping and eps -----------------------------------------------------------------------------


def test_recomputed_noise_explains_x_t_and_kept_noise_does_not() -> None:
    diffusion, x_t, eps, t, _ = case("cosine")
    raw = PARAMETERIZATIONS["eps"].recover(eps + 0.1, x_t, *diffusion.rates(t, x_t))
    assert float(unexplained(diffusion, raw, x_t, t).abs().max()) < 1e-9
    fresh = clip_prediction(diffusion, raw, x_t, t)
    assert float(unexplained(diffusion, fresh, x_t, t).abs().max()) < 1e-12
    kept = clip_prediction(diffusion, raw, x_t, t, rederive_eps=False)
    left = unexplained(diffusion, kept, x_t, t)
    a = diffusion.rates(t, x_t)[0]
    np.testing.assert_allclose(left, a * (raw.x0 - raw.x0.clamp(-1, 1)), atol=1e-9)
    assert float(left.abs().max()) > 0.05


def test_the_posterior_never_asks_for_eps() -> None:
    """DDPM's mean by way of x0 is the one with eps recomputed, so there the question is settled."""
    diffusion, x_t, eps, t, s = case("cosine", 40)
    raw = PARAMETERIZATIONS["eps"].recover(eps + 0.1, x_t, *diffusion.rates(t, x_t))
    _, c_xt, _ = diffusion.posterior_coefficients(t, s, x_t)
    kept_noise = (c_xt * diffusion.rates(t, x_t)[1]).square()
    through_x0 = clip_lens(diffusion, x_t, eps + 0.1, t, s).clipped
    means = {
        rederive: step_mean(
            diffusion, clip_prediction(diffusion, raw, x_t, t, rederive), s, kept_noise
        )
        for rederive in (True, False)
    }
    np.testing.assert_allclose(means[True], through_x0, rtol=1e-9, atol=1e-11)
    assert float((means[False] - through_x0).abs().max()) > 0.01


# --- amplification --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
def test_an_error_in_the_output_grows_by_the_gain(name: str) -> None:
    parameterization = PARAMETERIZATIONS[name]
    a, sigma = rates_at(torch.logspace(-6, 6, 25, dtype=torch.float64))
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    right = parameterization.recover(zero, zero, a, sigma)
    wrong = parameterization.recover(one, zero, a, sigma)
    gains = error_gains(parameterization, a, sigma)
    np.testing.assert_allclose((wrong.x0 - right.x0).abs(), gains.x0, rtol=1e-12)
    np.testing.assert_allclose((wrong.eps - right.eps).abs(), gains.eps, rtol=1e-12)


def test_the_clean_picture_is_all_signal() -> None:
    schedule = SCHEDULES["cosine"](4)
    a, sigma = rates_at(schedule.snr)
    np.testing.assert_allclose(a, schedule.alpha_bar.sqrt(), rtol=1e-12)
    np.testing.assert_allclose(sigma, (1 - schedule.alpha_bar).sqrt(), rtol=1e-12)
    assert bool(rates_at(torch.tensor([math.nan]).double())[0].isnan())


def test_the_gains_are_what_the_page_says() -> None:
    snr = torch.logspace(-8, 6, 29, dtype=torch.float64)
    a, sigma = rates_at(snr)
    np.testing.assert_allclose(a**2 / sigma**2, snr, rtol=1e-12)
    np.testing.assert_allclose(a**2 + sigma**2, 1, rtol=1e-12)
    one = torch.ones_like(a)
    expected = {"x0": (one, a / sigma), "eps": (sigma / a, one), "v": (sigma, a)}
    for name, pair in expected.items():
        for told, right in zip(error_gains(PARAMETERIZATIONS[name], a, sigma), pair, strict=True):
            np.testing.assert_allclose(told, right, rtol=1e-12)
    assert max(float(g.max()) for g in error_gains(PARAMETERIZATIONS["v"], a, sigma)) < 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", ["x0", "eps", "v"])
def test_measured_rounding_follows_the_formula(name: str, dtype: torch.dtype) -> None:
    """Over fourteen decades: never below what the formula says by more than chance, and never far
    above it, though coefficients, products and sums are rounded, too.
    """
    told = rounding_errors(
        PARAMETERIZATIONS[name],
        torch.logspace(-8, 6, 57, dtype=torch.float64),
        dtype,
        generator=torch.Generator().manual_seed(0),
    )
    for measured, formula in ((told.x0, told.x0_formula), (told.eps, told.eps_formula)):
        assert bool(torch.isfinite(measured).all())
        ratio = measured / formula
        assert 0.9 < float(ratio.min())
        assert float(ratio.max()) < 4
    unit = torch.finfo(dtype).eps
    if name == "eps":
        assert float(told.x0[0]) > 1000 * unit
    if name == "x0":
        assert float(told.eps[-1]) > 100 * unit
    if name == "v":
        assert float(torch.cat([told.x0, told.eps]).max()) < unit


# --- weights --------------------------------------------------------------------------------------


def test_min_snr_is_the_eps_weight_with_a_lid() -> None:
    snr = torch.logspace(-4, 4, 33, dtype=torch.float64)
    a, sigma = rates_at(snr)
    weight = min_snr_weight(snr, 5)
    eps_weight = PARAMETERIZATIONS["eps"].loss_weight(a, sigma)
    np.testing.assert_allclose(weight[snr < 5], eps_weight[snr < 5], rtol=1e-12)
    assert bool((weight[snr > 5] == 5).all())


def test_min_snr_for_every_target_as_the_paper_lists_it() -> None:
    snr = torch.logspace(-4, 4, 33, dtype=torch.float64)
    a, sigma = rates_at(snr)
    least = np.minimum(snr.numpy(), 5)
    expected = {"x0": least, "eps": least / snr.numpy(), "v": least / (1 + snr.numpy())}
    for name, right in expected.items():
        told = weight_on(PARAMETERIZATIONS[name], min_snr_weight(snr, 5), a, sigma)
        np.testing.assert_allclose(told, right, rtol=1e-12)


def test_the_weight_of_v_on_the_eps_loss_is_how_the_second_stage_trains() -> None:
    """The factor that makes any loss the v loss; training caps it, so it is compared below it."""
    a, sigma = rates_at(torch.logspace(-1.5, 4, 33, dtype=torch.float64))
    v_weight = PARAMETERIZATIONS["v"].loss_weight(a, sigma)
    for parameterization in (PARAMETERIZATIONS["eps"], PARAMETERIZATIONS["v"]):
        told = weight_on(parameterization, v_weight, a, sigma)
        np.testing.assert_allclose(told, WEIGHTINGS["v"](a, sigma, parameterization), rtol=1e-9)


def test_half_of_the_weight() -> None:
    assert steps_to_half(torch.ones(10)) == 5
    assert steps_to_half(torch.tensor([9.0, 1.0, 1.0])) == 1
    assert steps_to_half(torch.tensor([0.0, 0.0, 3.0])) == 3


def test_a_prediction_that_explains_x_t_leaves_nothing() -> None:
    diffusion, x_t, eps, t, _ = case("linear")
    a, sigma = diffusion.rates(t, x_t)
    prediction = Prediction((x_t - sigma * eps) / a, eps)
    assert float(unexplained(diffusion, prediction, x_t, t).abs().max()) < 1e-12
