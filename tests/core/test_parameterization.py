"""Prediction targets: each is a 2x2 linear system, and every target tells the same story."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import PARAMETERIZATIONS, Parameterization
from diffusion_core.schedules import SCHEDULES
from tests.core.oracles import close, reference

LENGTHS = (2, 10, 1000)


@pytest.fixture(
    params=[(name, T) for name in SCHEDULES for T in LENGTHS], ids=lambda p: f"{p[0]}-{p[1]}"
)
def diffusion(request: pytest.FixtureRequest) -> GaussianDiffusion:
    name, T = request.param
    return GaussianDiffusion(SCHEDULES[name](T))


@pytest.fixture(params=PARAMETERIZATIONS.values(), ids=PARAMETERIZATIONS.keys())
def parameterization(request: pytest.FixtureRequest) -> Parameterization:
    chosen: Parameterization = request.param
    return chosen


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def rates_of(diffusion: GaussianDiffusion) -> tuple[Tensor, Tensor]:
    """(a, sigma) at every t = 1..T, [T, 1], straight from the table."""
    alpha_bar = diffusion.schedule.alpha_bar[1:, None]
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def test_the_promised_targets_are_there() -> None:
    assert {"x0", "eps", "v", "score"} <= set(PARAMETERIZATIONS)
    for name, parameterization in PARAMETERIZATIONS.items():
        assert parameterization.name == name
        assert parameterization.latex


def test_rates_are_the_square_roots_of_signal_and_noise_variance(
    diffusion: GaussianDiffusion,
) -> None:
    t = torch.arange(0, diffusion.T + 1)
    a, sigma = diffusion.rates(t, normal(len(t), 1, 2, 2))
    assert a.shape == sigma.shape == (len(t), 1, 1, 1)
    assert a.dtype == sigma.dtype == torch.float64
    close(a.flatten(), np.sqrt(diffusion.schedule.alpha_bar.numpy()))
    close(sigma.flatten(), np.sqrt(1 - diffusion.schedule.alpha_bar.numpy()))


def test_targets_are_what_their_names_say(diffusion: GaussianDiffusion) -> None:
    a, sigma = rates_of(diffusion)
    x0, eps = normal(diffusion.T, 3), normal(diffusion.T, 3, seed=1)
    expected = {"x0": x0, "eps": eps, "v": a * eps - sigma * x0, "score": -eps / sigma}
    for name, target in expected.items():
        np.testing.assert_allclose(
            PARAMETERIZATIONS[name].target(x0, eps, a, sigma), target, rtol=1e-12, atol=1e-12
        )


def test_the_score_is_the_gradient_of_the_log_density(diffusion: GaussianDiffusion) -> None:
    """∇ log q(x_t|x_0), by automatic differentiation."""
    t = torch.arange(1, diffusion.T + 1)
    x0, eps = normal(len(t), 3), normal(len(t), 3, seed=1)
    x_t = diffusion.q_sample(x0, t, eps).requires_grad_()
    mean, var = diffusion.q_marginal(x0, t)
    (-((x_t - mean) ** 2) / (2 * var)).sum().backward()
    # x_t - mean cancels: what is left of eps carries the rounding of x_t, about 1e-16/sigma.
    np.testing.assert_allclose(
        PARAMETERIZATIONS["score"].target(x0, eps, *rates_of(diffusion)),
        x_t.grad,
        rtol=1e-9,
        atol=1e-9,
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_target_then_recover_gives_back_x0_and_eps(
    diffusion: GaussianDiffusion, parameterization: Parameterization, dtype: torch.dtype
) -> None:
    """Round trip at every t, to the rounding that a 2x2 solve is allowed: a few units of each term
    over |det|.
    """
    t = torch.arange(1, diffusion.T + 1)
    x0, eps = normal(len(t), 4, seed=1).to(dtype), normal(len(t), 4, seed=2).to(dtype)
    x_t = diffusion.q_sample(x0, t, eps)
    output = parameterization.target(x0, eps, *diffusion.rates(t, x0))
    assert x_t.dtype == output.dtype == dtype
    recovered = parameterization.recover(output, x_t, *diffusion.rates(t, x_t))
    assert recovered.x0.dtype == recovered.eps.dtype == dtype
    assert recovered.var_fraction is None

    a, sigma = rates_of(diffusion)
    c, d = parameterization.coefficients(a, sigma)
    det = (a * d - sigma * c).abs()
    size_x_t = (a * x0).abs() + (sigma * eps).abs()
    size_output = (c * x0).abs() + (d * eps).abs()
    unit = 8 * torch.finfo(dtype).eps
    error = (recovered.x0.double() - x0.double()).abs()
    assert (error <= unit * (d.abs() * size_x_t + sigma * size_output) / det).all()
    error = (recovered.eps.double() - eps.double()).abs()
    assert (error <= unit * (a * size_output + c.abs() * size_x_t) / det).all()


def test_recovery_solves_the_two_equations(
    diffusion: GaussianDiffusion, parameterization: Parameterization
) -> None:
    """Against a general linear solver, for outputs that no x0 and eps of the data produced."""
    a, sigma = rates_of(diffusion)
    x_t, output = normal(diffusion.T, 1, seed=3), normal(diffusion.T, 1, seed=4)
    c, d = parameterization.coefficients(a, sigma)
    rows = torch.stack([torch.cat([a, sigma], 1), torch.cat([c, d], 1)], 1)
    expected = np.linalg.solve(rows.numpy(), torch.stack([x_t, output], 1).numpy())
    recovered = parameterization.recover(output, x_t, a, sigma)
    np.testing.assert_allclose(recovered.x0, expected[:, 0], rtol=1e-7)
    np.testing.assert_allclose(recovered.eps, expected[:, 1], rtol=1e-7)


def test_all_targets_recover_the_same_prediction(
    diffusion: GaussianDiffusion, parameterization: Parameterization
) -> None:
    """A belief (x0_hat, eps_hat) that explains x_t is the same belief in every language."""
    t = torch.arange(1, diffusion.T + 1)
    a, sigma = rates_of(diffusion)
    x_t, x0_hat = normal(len(t), 3, seed=5), normal(len(t), 3, seed=6)
    eps_hat = (x_t - a * x0_hat) / sigma
    output = parameterization.target(x0_hat, eps_hat, a, sigma)
    recovered = parameterization.recover(output, x_t, a, sigma)
    # eps pins x0 down only to rounding·sigma/a, which is 1e-8 where 1e-17 of the signal is left
    np.testing.assert_allclose(a * recovered.x0, a * x0_hat, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(recovered.eps, eps_hat, rtol=1e-9, atol=1e-11)


def test_the_determinant_is_the_lesson(diffusion: GaussianDiffusion) -> None:
    a, sigma = rates_of(diffusion)
    expected = {"x0": -sigma, "eps": a, "v": torch.ones_like(a), "score": -a / sigma}
    for name, det in expected.items():
        parameterization = PARAMETERIZATIONS[name]
        c, d = parameterization.coefficients(a, sigma)
        assert c.dtype == d.dtype == torch.float64
        np.testing.assert_allclose(a * d - sigma * c, det, rtol=1e-12)
        np.testing.assert_allclose(parameterization.determinant(a, sigma), det, rtol=1e-12)


def test_loss_weights_relative_to_x0(diffusion: GaussianDiffusion) -> None:
    a, sigma = rates_of(diffusion)
    snr = diffusion.schedule.snr[1:, None]
    expected = {"x0": torch.ones_like(snr), "eps": snr, "v": 1 + snr, "score": snr / sigma**2}
    for name, weight in expected.items():
        np.testing.assert_allclose(PARAMETERIZATIONS[name].loss_weight(a, sigma), weight, rtol=1e-9)


def test_an_error_in_the_output_weighs_what_the_loss_weight_says(
    diffusion: GaussianDiffusion, parameterization: Parameterization
) -> None:
    """(error of the output)² = weight · (error of x0)², at a fixed x_t."""
    a, sigma = rates_of(diffusion)
    zero, error = torch.zeros(diffusion.T, 1).double(), torch.ones(diffusion.T, 1).double()
    right = parameterization.recover(zero, zero, a, sigma)
    wrong = parameterization.recover(error, zero, a, sigma)
    weight = parameterization.loss_weight(a, sigma)
    np.testing.assert_allclose(weight * (wrong.x0 - right.x0) ** 2, error**2, rtol=1e-9)


def test_v_needs_no_signal_and_eps_does() -> None:
    """At zero terminal SNR x_t is noise: v = -x0 still names the picture, eps says nothing new
    about it.
    """
    a, sigma = torch.zeros(2, 1).double(), torch.ones(2, 1).double()
    x0, eps = normal(2, 3), normal(2, 3, seed=1)
    for name in ("v", "x0"):
        parameterization = PARAMETERIZATIONS[name]
        recovered = parameterization.recover(
            parameterization.target(x0, eps, a, sigma), eps, a, sigma
        )
        close(recovered.x0, x0)
        close(recovered.eps, eps)
    for name in ("eps", "score"):
        with pytest.raises(ValueError, match=name):
            PARAMETERIZATIONS[name].recover(eps, eps, a, sigma)


def test_float64_coefficients_do_not_promote_float32(parameterization: Parameterization) -> None:
    a, sigma = torch.full((2, 1, 1, 1), 0.6).double(), torch.full((2, 1, 1, 1), 0.8).double()
    x = normal(2, 1, 2, 2).float()
    assert parameterization.target(x, x, a, sigma).dtype == torch.float32
    recovered = parameterization.recover(x, x, a, sigma)
    assert recovered.x0.dtype == recovered.eps.dtype == torch.float32


# --- other implementations ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", reference("gaussian_ops")["cases"], ids=lambda c: c["schedule"]["name"]
)
def test_improved_diffusion_conversions(case: dict) -> None:
    """x0 from eps, eps from x0, and x0 from the mean of x_{t-1} (through the posterior's
    coefficients).
    """
    diffusion = GaussianDiffusion(SCHEDULES[case["schedule"]["name"]](case["schedule"]["T"]))
    x = {k: torch.tensor(v, dtype=torch.float64) for k, v in case["inputs"].items() if k != "t"}
    t = torch.tensor(case["inputs"]["t"]) + 1
    a, sigma = diffusion.rates(t, x["x_t"])
    from_eps = PARAMETERIZATIONS["eps"].recover(x["eps"], x["x_t"], a, sigma)
    from_x0 = PARAMETERIZATIONS["x0"].recover(x["x_start"], x["x_t"], a, sigma)
    zero, one = torch.zeros_like(x["x_t"]), torch.ones_like(x["x_t"])
    coef1 = diffusion.q_posterior(zero, one, t, t - 1).mean
    coef2 = diffusion.q_posterior(one, zero, t, t - 1).mean
    from_mean = (x["xprev"] - coef2 * x["x_t"]) / coef1
    for i in range(len(t)):
        close(from_eps.x0[i], case["predict_xstart_from_eps"][i])
        close(from_x0.eps[i], case["predict_eps_from_xstart"][i])
        close(from_mean[i], case["predict_xstart_from_xprev"][i])


def test_diffusers_velocity() -> None:
    case = reference("diffusers_schedulers")["forward"]
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    x0, noise = (torch.tensor(case[k], dtype=torch.float64) for k in ("x0", "noise"))
    a, sigma = diffusion.rates(torch.tensor(case["t"]) + 1, x0)
    close(PARAMETERIZATIONS["v"].target(x0, noise, a, sigma), case["get_velocity"])
