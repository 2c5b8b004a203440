"""The forward process and its posterior: laws for every schedule, brute-force Bayes, other people's
numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.gaussian import Gaussian, GaussianDiffusion
from diffusion_core.schedules import SCHEDULES, NoiseSchedule
from tests.core.oracles import (
    close,
    kl_by_quadrature,
    log_normal,
    posterior_by_bayes,
    posterior_by_quadrature,
    reference,
    step_by_step,
    zero_terminal_snr,
)

LENGTHS = (2, 10, 1000)


@pytest.fixture(
    params=[(name, T) for name in SCHEDULES for T in LENGTHS], ids=lambda p: f"{p[0]}-{p[1]}"
)
def diffusion(request: pytest.FixtureRequest) -> GaussianDiffusion:
    name, T = request.param
    return GaussianDiffusion(SCHEDULES[name](T))


def hops(T: int, smallest_s: int = 0) -> tuple[Tensor, Tensor]:
    """(t, s): every pair of a short process, a selection of a long one that has neighbours, ends
    and long jumps.
    """
    if T <= 10:
        pairs = [(t, s) for t in range(1, T + 1) for s in range(t)]
    else:
        near = [(t, t - 1) for t in (1, 2, 3, T // 2, T - 1, T)]
        far = [
            (T, 0),
            (T, 1),
            (T // 2, 0),
            (T // 2, 1),
            (T, T // 2),
            (T // 2, T // 3),
            (T - 1, 2),
            (3, 1),
        ]
        pairs = near + far
    pairs = [(t, s) for t, s in pairs if s >= smallest_s]
    t, s = zip(*pairs, strict=True)
    return torch.tensor(t), torch.tensor(s)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Reproducible numbers that are drawn outside of torch, so that no test depends on torch's own
    stream.
    """
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def batch(t: Tensor, seed: int) -> Tensor:
    return normal(len(t), 1, 2, 2, seed=seed)


# --- forwards -------------------------------------------------------------------------------------


def test_single_steps_compose_to_the_marginal(diffusion: GaussianDiffusion) -> None:
    """x_t reached one step at a time has the closed form's mean and variance, for every t."""
    x0 = normal(1, 3, seed=1)
    mean, var = x0, torch.zeros(1, 1, dtype=torch.float64)
    for i in range(1, diffusion.T + 1):
        t = torch.tensor([i])
        step = diffusion.q_step(mean, t, t - 1)
        gain = diffusion.q_step(torch.ones(1, 1, dtype=torch.float64), t, t - 1).mean
        mean, var = step.mean, gain**2 * var + step.var
        if i in (1, 2, 10, 500, diffusion.T):
            marginal = diffusion.q_marginal(x0, t)
            close(mean, marginal.mean)
            close(var, marginal.var)


def test_a_long_jump_is_all_its_steps(diffusion: GaussianDiffusion) -> None:
    t, s = hops(diffusion.T)
    step = diffusion.q_step(torch.ones(len(t), 1, dtype=torch.float64), t, s)
    for i in range(len(t)):
        gain, var = step_by_step(diffusion.schedule.alpha_bar, int(s[i]), int(t[i]))
        assert step.mean[i].item() == pytest.approx(gain, rel=1e-9)
        assert step.var[i].item() == pytest.approx(var, rel=1e-9)


def test_a_step_from_the_clean_picture_is_the_marginal(diffusion: GaussianDiffusion) -> None:
    t = torch.arange(1, diffusion.T + 1)
    x0 = batch(t, 2)
    step, marginal = diffusion.q_step(x0, t, torch.zeros_like(t)), diffusion.q_marginal(x0, t)
    close(step.mean, marginal.mean)
    close(step.var, marginal.var)


def test_the_marginal_at_0_is_the_clean_picture(diffusion: GaussianDiffusion) -> None:
    x0, t = normal(2, 3), torch.zeros(2, dtype=torch.int64)
    assert torch.equal(diffusion.q_marginal(x0, t).mean, x0)
    assert (diffusion.q_marginal(x0, t).var == 0).all()
    assert torch.equal(diffusion.q_sample(x0, t, normal(2, 3, seed=1)), x0)


def test_a_sample_is_mean_plus_standard_deviation_times_noise(diffusion: GaussianDiffusion) -> None:
    t = torch.arange(0, diffusion.T + 1)
    x0, eps = batch(t, 3), batch(t, 4)
    mean, var = diffusion.q_marginal(x0, t)
    close(diffusion.q_sample(x0, t, eps), mean + var.sqrt() * eps)
    close(diffusion.q_sample(x0, t, eps), Gaussian(mean, var).sample(eps))


def test_signal_and_noise_variance_add_up_to_1(diffusion: GaussianDiffusion) -> None:
    """Data of variance 1 keep it: a^2 + sigma^2 = 1, and the same for every single step."""
    t, s = hops(diffusion.T)
    one = torch.ones(len(t), 1, dtype=torch.float64)
    for mean, var in (diffusion.q_marginal(one, t), diffusion.q_step(one, t, s)):
        close(mean**2 + var, one)


# --- the posterior --------------------------------------------------------------------------------


def test_posterior_is_the_product_of_its_two_factors(diffusion: GaussianDiffusion) -> None:
    """q(x_s|x_t,x_0) ∝ q(x_t|x_s) q(x_s|x_0): precisions add."""
    t, s = hops(diffusion.T, smallest_s=1)
    x0 = batch(t, 5)
    x_t = diffusion.q_sample(x0, t, batch(t, 6))
    posterior = diffusion.q_posterior(x_t, x0, t, s)
    for i in range(len(t)):
        mean, var = posterior_by_bayes(
            x_t[i].numpy(), x0[i].numpy(), diffusion.schedule.alpha_bar, int(t[i]), int(s[i])
        )
        close(posterior.mean[i], mean)
        assert posterior.var[i].item() == pytest.approx(var, rel=1e-9)


def test_posterior_is_bayes_rule_on_a_grid(diffusion: GaussianDiffusion) -> None:
    """The moments of the normalised product of two densities, no closed form involved."""
    t, s = hops(diffusion.T, smallest_s=1)
    x0 = normal(len(t), 1, seed=7)
    x_t = diffusion.q_sample(x0, t, normal(len(t), 1, seed=8))
    posterior = diffusion.q_posterior(x_t, x0, t, s)
    for i in range(0, len(t), 4):
        mean, var = posterior_by_quadrature(
            x_t[i].item(), x0[i].item(), diffusion.schedule.alpha_bar, int(t[i]), int(s[i])
        )
        assert posterior.mean[i].item() == pytest.approx(mean, rel=1e-8, abs=1e-8)
        assert posterior.var[i].item() == pytest.approx(var, rel=1e-7)


def test_chain_rule_of_densities(diffusion: GaussianDiffusion) -> None:
    """q(x_t|x_s) q(x_s|x_0) = q(x_s|x_t,x_0) q(x_t|x_0), at any point of the plane (x_s, x_t)."""
    t, s = hops(diffusion.T, smallest_s=1)
    x0 = batch(t, 9)
    x_s = diffusion.q_sample(x0, s, batch(t, 10))
    step = diffusion.q_step(x_s, t, s)
    x_t = step.sample(batch(t, 11))
    forwards = log_normal(x_t, *step) + log_normal(x_s, *diffusion.q_marginal(x0, s))
    backwards = log_normal(x_s, *diffusion.q_posterior(x_t, x0, t, s)) + log_normal(
        x_t, *diffusion.q_marginal(x0, t)
    )
    np.testing.assert_allclose(forwards, backwards, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_posterior_at_0_is_exactly_the_clean_picture(
    diffusion: GaussianDiffusion, dtype: torch.dtype
) -> None:
    t = torch.arange(1, diffusion.T + 1)
    x0, x_t = batch(t, 12).to(dtype), batch(t, 13).to(dtype)
    posterior = diffusion.q_posterior(x_t, x0, t, torch.zeros_like(t))
    assert torch.equal(posterior.mean, x0)
    assert (posterior.var == 0).all()


def test_knowing_more_leaves_less_variance(diffusion: GaussianDiffusion) -> None:
    """The posterior is narrower than each of its factors; at neighbours: beta_tilde < beta."""
    t, s = hops(diffusion.T, smallest_s=1)
    one = torch.ones(len(t), 1, dtype=torch.float64)
    var = diffusion.q_posterior(one, one, t, s).var
    step = diffusion.q_step(one, t, s)
    assert (var > 0).all()
    prior = diffusion.q_marginal(one, s).var
    likelihood = step.var / (1 - step.var)  # q(x_t|x_s) read as a Gaussian in x_s
    assert (var <= prior).all()
    assert (var <= likelihood).all()
    visible = (
        diffusion.schedule.alpha_bar[t] > 1e-6
    )  # below, the prior is all there is, to rounding
    assert (var < prior)[visible].all()
    assert (var < likelihood)[visible].all()
    assert visible.any()


def test_each_picture_of_a_batch_has_its_own_t_and_s(diffusion: GaussianDiffusion) -> None:
    t, s = hops(diffusion.T)
    x0, x_t = batch(t, 14), batch(t, 15)
    together = diffusion.q_posterior(x_t, x0, t, s)
    for i in range(len(t)):
        alone = diffusion.q_posterior(x_t[i : i + 1], x0[i : i + 1], t[i : i + 1], s[i : i + 1])
        assert torch.equal(alone.mean, together.mean[i : i + 1])
        assert torch.equal(alone.var.flatten(), together.var[i].flatten())


def test_a_posterior_of_a_respaced_process_is_a_long_jump_of_the_whole_one() -> None:
    schedule = SCHEDULES["cosine"](1000)
    steps = [1, 40, 333, 1000]
    long, short = GaussianDiffusion(schedule), GaussianDiffusion(schedule.respace(steps))
    x_t, x0 = normal(4, 3, seed=1), normal(4, 3, seed=2)
    t = torch.arange(1, 5)
    here = short.q_posterior(x_t, x0, t, t - 1)
    there = long.q_posterior(x_t, x0, torch.tensor(steps), torch.tensor([0, *steps[:-1]]))
    assert torch.equal(here.mean, there.mean)
    assert torch.equal(here.var, there.var)


def test_pure_noise_says_nothing_about_the_past() -> None:
    """Zero terminal SNR: from t = T the posterior is the marginal at s, whatever x_T is."""
    table = zero_terminal_snr(SCHEDULES["linear"](10).alpha_bar.numpy())
    diffusion = GaussianDiffusion(NoiseSchedule("zero terminal SNR", torch.from_numpy(table)))
    x0, x_t = normal(10, 2, seed=1), normal(10, 2, seed=2)
    t, s = torch.full((10,), 10), torch.arange(10)
    posterior, marginal = diffusion.q_posterior(x_t, x0, t, s), diffusion.q_marginal(x0, s)
    close(posterior.mean, marginal.mean)
    close(posterior.var, marginal.var)
    assert torch.equal(diffusion.q_sample(x0, t, x_t), x_t)


# --- KL -------------------------------------------------------------------------------------------

PAIRS = [
    (0.0, 1.0, 0.0, 1.0),
    (0.3, 0.5, -0.7, 2.0),
    (0.3, 2.0, -0.7, 0.5),
    (1.0, 1e-4, 1.01, 2e-4),
    (5.0, 1.0, -5.0, 1.0),
]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_kl_is_the_integral_of_p_log_p_over_q(pair: tuple[float, float, float, float]) -> None:
    m1, v1, m2, v2 = (torch.tensor([[value]], dtype=torch.float64) for value in pair)
    kl = Gaussian(m1, v1).kl(Gaussian(m2, v2))
    assert kl.item() == pytest.approx(kl_by_quadrature(*pair), rel=1e-9, abs=1e-10)


def test_kl_is_per_element_and_shares_a_variance_between_pixels() -> None:
    p = Gaussian(normal(3, 1, 2, 2), normal(3, 1, 1, 1, seed=1).exp())
    q = Gaussian(normal(3, 1, 2, 2, seed=2), normal(3, 1, 1, 1, seed=3).exp())
    kl = p.kl(q)
    assert kl.shape == (3, 1, 2, 2)
    for i in range(3):
        for j in range(4):
            expected = kl_by_quadrature(
                p.mean[i].flatten()[j].item(), p.var[i].item(),
                q.mean[i].flatten()[j].item(), q.var[i].item(),
            )  # fmt: skip
            assert kl[i].flatten()[j].item() == pytest.approx(expected, rel=1e-9)


def test_kl_is_0_only_from_a_distribution_to_itself() -> None:
    p = Gaussian(normal(50, 4), normal(50, 1, seed=1).exp())
    assert torch.equal(p.kl(p), torch.zeros(50, 4, dtype=torch.float64))
    assert (p.kl(Gaussian(p.mean + 0.1, p.var)) > 0).all()
    assert (p.kl(Gaussian(p.mean, p.var * 1.1)) > 0).all()
    assert (p.kl(Gaussian(p.mean, p.var / 1.1)) > 0).all()


def test_kl_between_point_masses() -> None:
    """0 between equal points, infinite between different ones or if only one is a point."""
    x, zero, one = normal(2, 3), torch.zeros(2, 1).double(), torch.ones(2, 1).double()
    point = Gaussian(x, zero)
    assert torch.equal(point.kl(Gaussian(x.clone(), zero)), torch.zeros(2, 3).double())
    assert (point.kl(Gaussian(x + 1e-9, zero)) == torch.inf).all()
    assert (Gaussian(x, one).kl(point) == torch.inf).all()
    assert (point.kl(Gaussian(x, one)) == torch.inf).all()


def test_kl_of_a_batch_that_mixes_points_and_spread() -> None:
    """s = 0 in one row and s > 0 in the next: the posterior at 0 must not poison its neighbours."""
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    t, s = torch.tensor([1, 5, 10]), torch.tensor([0, 4, 0])
    x0, x_t = normal(3, 2), normal(3, 2, seed=1)
    p = diffusion.q_posterior(x_t, x0, t, s)
    assert torch.equal(p.kl(p), torch.zeros(3, 2, dtype=torch.float64))
    q = diffusion.q_posterior(x_t, x0 + 0.5, t, s)
    kl = p.kl(q)
    assert (kl[[0, 2]] == torch.inf).all()
    expected = (p.mean[1] - q.mean[1]) ** 2 / (2 * p.var[1])
    close(kl[1], expected)


# --- precision and place --------------------------------------------------------------------------

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_results_have_the_pictures_dtype_and_device(dtype: torch.dtype, device: str) -> None:
    """A float64 table never promotes a float32 image."""
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))
    x, y = normal(2, 1, 2, 2).to(device, dtype), normal(2, 1, 2, 2, seed=1).to(device, dtype)
    t, s = torch.tensor([10, 5], device=device), torch.tensor([3, 0], device=device)
    results = [
        *diffusion.q_step(x, t, s),
        *diffusion.q_marginal(x, t),
        *diffusion.q_posterior(x, y, t, s),
        diffusion.q_sample(x, t, y),
    ]
    for result in results:
        assert result.dtype == dtype
        assert result.device.type == device


def test_float32_is_the_float64_result_rounded(diffusion: GaussianDiffusion) -> None:
    """Coefficients are computed in float64 and only then cast: each keeps float32's full relative
    accuracy.
    """
    t, s = hops(diffusion.T, smallest_s=1)
    zero, one = torch.zeros(len(t), 1), torch.ones(len(t), 1)
    for name in ("q_step", "q_marginal", "c_x0", "c_xt"):
        for dtype in (torch.float32, torch.bfloat16):
            low, high = (
                {
                    "q_step": lambda x, o: diffusion.q_step(x, t, s),
                    "q_marginal": lambda x, o: diffusion.q_marginal(x, t),
                    "c_x0": lambda x, o: diffusion.q_posterior(o, x, t, s),
                    "c_xt": lambda x, o: diffusion.q_posterior(x, o, t, s),
                }[name](one.to(d), zero.to(d))
                for d in (dtype, torch.float64)
            )
            for actual, expected in zip(low, high, strict=True):
                np.testing.assert_allclose(
                    actual.double(), expected, rtol=2 * torch.finfo(dtype).eps, atol=1e-37
                )


# --- other implementations ------------------------------------------------------------------------

TABLES = [
    table for table in reference("gaussian_schedules")["schedules"] if "posterior_variance" in table
]
RESPACED = reference("gaussian_respacing")["respaced"]


@pytest.mark.parametrize(
    "table",
    [*TABLES, *RESPACED],
    ids=[t["name"] for t in TABLES] + [r["section_counts"] for r in RESPACED],
)
def test_posterior_tables(table: dict[str, Any]) -> None:
    """improved-diffusion's and Ho et al.'s posterior tables, and those of shortened chains, from
    their alpha_bar.
    """
    alpha_bar = torch.tensor([1.0, *table["alphas_cumprod"]], dtype=torch.float64)
    diffusion = GaussianDiffusion(NoiseSchedule("reference", alpha_bar))
    check_posterior_tables(diffusion, table)


@pytest.mark.parametrize("table", TABLES[:6], ids=lambda t: t["name"])
def test_posterior_tables_of_our_own_schedules(table: dict[str, Any]) -> None:
    schedule = SCHEDULES[table["params"]["kind"]](table["T"])
    check_posterior_tables(GaussianDiffusion(schedule), table)


def check_posterior_tables(diffusion: GaussianDiffusion, table: dict[str, Any]) -> None:
    t = torch.arange(1, diffusion.T + 1)
    one, zero = torch.ones(diffusion.T, 1).double(), torch.zeros(diffusion.T, 1).double()
    coef1, var = diffusion.q_posterior(zero, one, t, t - 1)
    coef2 = diffusion.q_posterior(one, zero, t, t - 1).mean
    np.testing.assert_allclose(coef1.flatten(), table["posterior_mean_coef1"], rtol=1e-9)
    np.testing.assert_allclose(coef2.flatten(), table["posterior_mean_coef2"], rtol=1e-9)
    np.testing.assert_allclose(var.flatten(), table["posterior_variance"], rtol=1e-9)
    assert table["posterior_variance"][0] == 0
    clipped = torch.cat([var[1:2], var[1:]]).log().flatten()  # their first entry repeats the second
    np.testing.assert_allclose(clipped, table["posterior_log_variance_clipped"], rtol=1e-9)


OPS = reference("gaussian_ops")["cases"]


@pytest.mark.parametrize("case", OPS, ids=lambda c: c["schedule"]["name"])
def test_improved_diffusion_single_steps(case: dict[str, Any]) -> None:
    diffusion = GaussianDiffusion(SCHEDULES[case["schedule"]["name"]](case["schedule"]["T"]))
    x = {k: torch.tensor(v, dtype=torch.float64) for k, v in case["inputs"].items() if k != "t"}
    t = torch.tensor(case["inputs"]["t"]) + 1

    mean, var = diffusion.q_marginal(x["x_start"], t)
    expected = case["q_mean_variance"]
    for i in range(len(t)):
        close(mean[i], expected["mean"][i])
    np.testing.assert_allclose(var.flatten(), expected["variance"], rtol=1e-9)
    np.testing.assert_allclose(var.log().flatten(), expected["log_variance"], rtol=1e-9)
    close(diffusion.q_sample(x["x_start"], t, x["noise"]), case["q_sample"])

    mean, var = diffusion.q_posterior(x["x_t"], x["x_start"], t, t - 1)
    expected = case["q_posterior_mean_variance"]
    for i in range(len(t)):
        close(mean[i], expected["mean"][i])
    np.testing.assert_allclose(var.flatten(), expected["variance"], rtol=1e-9)


def test_diffusers_add_noise() -> None:
    case = reference("diffusers_schedulers")["forward"]
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    x0, noise = (torch.tensor(case[k], dtype=torch.float64) for k in ("x0", "noise"))
    close(diffusion.q_sample(x0, torch.tensor(case["t"]) + 1, noise), case["add_noise"])


# --- questions without an answer ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("t", "s"),
    [
        ([11, 5], [1, 1]),
        ([5, 5], [5, 1]),
        ([5, 5], [6, 1]),
        ([5, 5], [-1, 1]),
        ([0, 5], [-1, 1]),
        ([0, 5], [0, 1]),
    ],
    ids=str,
)
def test_steps_outside_the_process_are_refused(t: list[int], s: list[int]) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    x = normal(2, 3)
    with pytest.raises(ValueError, match=r"\bs\b|\bt\b"):
        diffusion.q_posterior(x, x, torch.tensor(t), torch.tensor(s))
    with pytest.raises(ValueError, match=r"\bs\b|\bt\b"):
        diffusion.q_step(x, torch.tensor(t), torch.tensor(s))


@pytest.mark.parametrize("t", [[-1, 3], [3, 11]], ids=str)
def test_marginals_outside_the_process_are_refused(t: list[int]) -> None:
    """A negative index must not wrap around to the noisy end."""
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    x = normal(2, 3)
    with pytest.raises(ValueError, match="t must"):
        diffusion.q_marginal(x, torch.tensor(t))
    with pytest.raises(ValueError, match="t must"):
        diffusion.q_sample(x, torch.tensor(t), x)


@pytest.mark.parametrize(
    "t",
    [
        torch.tensor([3.0, 4.0]),
        torch.tensor([3, 4, 5]),
        torch.tensor([[3], [4]]),
        torch.tensor(3),
        torch.tensor([3]),
    ],
    ids=["float", "too many", "matrix", "scalar", "too few"],
)
def test_t_must_be_one_integer_per_picture(t: Tensor) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    x = normal(2, 3)
    with pytest.raises(ValueError, match="per picture"):
        diffusion.q_marginal(x, t)
    with pytest.raises(ValueError, match="per picture"):
        diffusion.q_posterior(x, x, t, torch.zeros_like(t))


def test_one_t_does_not_multiply_a_single_picture() -> None:
    """Broadcasting would turn one picture and three t into three pictures."""
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    with pytest.raises(ValueError, match="per picture"):
        diffusion.q_marginal(normal(1, 3), torch.tensor([1, 2, 3]))
