"""Variational diffusion models: somebody else's losses and samples, and that a VDM with T steps is
the discrete process with T + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core import elbo, samplers
from diffusion_core import vdm_elbo as vdm_module
from diffusion_core.elbo import (
    Gamma,
    gamma_schedule,
    gaussian_elbo,
    linear_gamma,
    vdm_diffusion,
    vdm_elbo,
    vdm_prior,
    vdm_reconstruction,
)
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.likelihood import GREY_LEVELS
from diffusion_core.parameterization import EPS, Prediction
from diffusion_core.samplers import sample
from diffusion_core.schedules import NoiseSchedule
from tests.core.oracles import close, reference

FILE = reference("vdm")
CASES = FILE["cases"]


@pytest.fixture(
    params=range(len(CASES)), ids=lambda i: f"{i}-{CASES[i]['gamma_type']}-T{CASES[i]['T']}"
)
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = CASES[request.param]
    return found


def table(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gamma_of(case: dict[str, Any]) -> Gamma:
    """The case's schedule; the monotone network is written out from its stored weights."""
    w = case["schedule_params"]
    if w is None:
        return linear_gamma(case["gamma_min"], case["gamma_max"])
    if case["gamma_type"] == "learnable_scalar":
        return lambda t: w["b"] + abs(w["w"]) * t
    two, bias, three = (table(w[k]) for k in ("l2_kernel", "l2_bias", "l3_kernel"))

    def network(t: Tensor) -> Tensor:
        hidden = torch.sigmoid(two.abs() * (2 * (t[..., None] - 0.5)) + bias)
        bend = (three.abs() * 2 * (hidden - 0.5)).sum(-1) / w["n_features"]
        return abs(w["l1_kernel"]) * t + w["l1_bias"] + bend

    return network


def stub(z: Tensor, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
    """The stored network: linear in z and in gamma, which is minus the log-SNR."""
    k = FILE["network_coefficients"]
    return k["a"] * z - k["b"] * log_snr.reshape(-1, *[1] * (z.ndim - 1)) + k["c"]


def levels_of(case: dict[str, Any]) -> Tensor:
    return (
        2 * (torch.arange(case["vocab_size"], dtype=torch.float64) + 0.5) / case["vocab_size"] - 1
    )


def x0_of(case: dict[str, Any]) -> Tensor:
    return levels_of(case)[torch.tensor(case["x"])]


# --- somebody else's numbers ----------------------------------------------------------------------


def test_gamma(case: dict[str, Any]) -> None:
    gamma = gamma_of(case)
    close(gamma(table(case["gamma_grid"]["t"])), case["gamma_grid"]["gamma"])
    close(gamma(table(case["t"])), case["gamma_t"])
    ends = torch.sigmoid(gamma(table([0.0, 1.0])))
    np.testing.assert_allclose(ends, [case["var_0"], case["var_1"]], rtol=1e-9)


def test_schedule_ends(case: dict[str, Any]) -> None:
    schedule = gamma_schedule(gamma_of(case), 5)
    assert schedule.T == 6
    # 1 - alpha_bar has lost some digits of a variance of 1e-6: the table holds alpha_bar.
    close(1 - schedule.alpha_bar[1], case["var_0"], rtol=1e-9)
    close(1 - schedule.alpha_bar[6], case["var_1"])
    close(-schedule.log_snr[3], gamma_of(case)(table([0.4]))[0])


def test_latent_kl(case: dict[str, Any]) -> None:
    close(vdm_prior(gamma_of(case), x0_of(case)), case["loss_klz"])


def test_reconstruction(case: dict[str, Any]) -> None:
    cost = vdm_reconstruction(gamma_of(case), x0_of(case), table(case["eps_0"]), levels_of(case))
    close(cost, case["loss_recon"])


def test_diffusion_loss(case: dict[str, Any]) -> None:
    """Finite T: theirs is T times the step's cost. Continuous: with the slope of gamma."""
    gamma, x0, eps, t = gamma_of(case), x0_of(case), table(case["eps"]), table(case["t"])
    if case["T"]:
        s = t - 1 / case["T"]
        close(gamma(s), case["gamma_s"])
        close(case["T"] * vdm_diffusion(gamma, stub, x0, eps, t, s), case["loss_diff"])
    else:
        close(vdm_diffusion(gamma, stub, x0, eps, t), case["loss_diff"])
        error = table(case["eps_mse_sum"])
        close(2 * vdm_diffusion(gamma, stub, x0, eps, t) / error, case["dgamma_dt"])


@pytest.fixture
def inject(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterator[Any]], None]:
    """Make all fresh noise the given arrays, one per draw."""

    def install(noises: Iterator[Any]) -> None:
        def draw(x: Tensor, generator: torch.Generator) -> Tensor:
            return torch.as_tensor(next(noises), dtype=x.dtype).expand_as(x)

        monkeypatch.setattr(elbo, "standard_normal", draw)
        monkeypatch.setattr(vdm_module, "standard_normal", draw)
        monkeypatch.setattr(samplers, "standard_normal", draw)

    return install


@pytest.mark.parametrize("batch", [1, 4, 64])
@pytest.mark.parametrize("case", [c for c in CASES if c["T"]], ids=lambda c: f"T{c['T']}")
def test_all_steps_at_once(
    case: dict[str, Any], batch: int, inject: Callable[[Iterator[Any]], None]
) -> None:
    """`vdm_elbo` with every step's noise the same, which is what was stored."""
    inject(iter([case["eps_0"], *repeat(case["eps"], case["T"])]))
    found = vdm_elbo(
        gamma_of(case),
        stub,
        x0_of(case),
        T=case["T"],
        levels=levels_of(case),
        batch=batch,
        generator=torch.Generator(),
    )
    stored = case["loss_diff_all_steps_same_eps"]
    close(found.denoising.T, stored["per_step_i_over_T"])
    close(found.denoising.sum(1), stored["sum"])
    close(found.prior, case["loss_klz"])
    close(found.reconstruction, case["loss_recon"])


def as_denoiser(schedule: NoiseSchedule) -> Callable[..., Prediction]:
    """The stub told by an integer t what its log-SNR is."""

    def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        eps = stub(x_t, schedule.log_snr[t])
        return EPS.recover(eps, x_t, *GaussianDiffusion(schedule).rates(t, x_t))

    return denoise


def test_ancestral_sampling(case: dict[str, Any], inject: Callable[[Iterator[Any]], None]) -> None:
    """Their sampler is ours on T + 1 steps, stopped at t = 1, their z_0."""
    stored = case["sampling"]
    T = stored["T"]
    schedule = gamma_schedule(gamma_of(case), T)
    inject(iter(stored["eps_per_step"]))
    steps = sample(
        GaussianDiffusion(schedule),
        as_denoiser(schedule),
        table(stored["z_1"]),
        range(T + 1, 0, -1),
        sampler="ddpm",
        clip_x0=False,
        generator=torch.Generator(),
    )
    states = [next(steps).x_t for _ in range(T + 1)]
    for state, after in zip(states[1:], stored["z_after_each_step"], strict=True):
        close(state, after)
    seen = states[-1] / schedule.alpha_bar[1].sqrt()
    nearest = (seen[..., None] - levels_of(case)).abs().argmin(-1)
    assert nearest.tolist() == stored["generated_x"]


# --- laws -----------------------------------------------------------------------------------------


def picture(B: int = 3, seed: int = 0) -> Tensor:
    index = np.random.default_rng(seed).integers(0, 256, (B, 1, 2, 3))
    return GREY_LEVELS[torch.from_numpy(index)]


@pytest.mark.parametrize("T", [1, 2, 10, 100])
def test_a_vdm_is_the_discrete_process_with_one_step_more(T: int) -> None:
    """Term by term and with the same noise: `vdm_elbo` against `gaussian_elbo`, VDM's decoder."""
    gamma = linear_gamma()
    schedule = gamma_schedule(gamma, T)
    ours = gaussian_elbo(
        GaussianDiffusion(schedule),
        as_denoiser(schedule),
        picture(),
        decoder="categorical",
        generator=torch.Generator().manual_seed(0),
    )
    theirs = vdm_elbo(gamma, stub, picture(), T=T, generator=torch.Generator().manual_seed(0))
    for mine, other in zip(ours, theirs, strict=True):
        close(mine, other)
    assert ours.denoising.shape == (3, T)
    close(ours.total, theirs.total)


def test_continuous_time_is_the_limit_of_many_steps() -> None:
    """With the exact noise prediction for x_0 ~ N(0, v), ‖eps - eps_hat‖² has an integral that is
    known: the sum over T steps falls to it like 1/T, and the estimator averages to it.
    """
    v, gamma, x0 = 0.5, linear_gamma(-6.0, 4.0), picture(B=4000)[:1].expand(4000, 1, 2, 3)

    def ideal(z: Tensor, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        a2 = torch.sigmoid(log_snr).reshape(-1, 1, 1, 1)
        return (1 - a2).sqrt() / (a2 * v + 1 - a2) * z

    def exact(t: Tensor) -> Tensor:
        """E‖eps - eps_hat‖² over eps for this x_0, at times t."""
        a2 = torch.sigmoid(-gamma(t))
        total = a2 * v + 1 - a2
        square, D = float(x0[0].square().sum()), x0[0].numel()
        return D * (a2 * v / total) ** 2 + (1 - a2) * a2 * square / total**2

    fine = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    integral = float((0.5 * 10 * exact(fine)).mean())
    sums = []
    for T in (100, 200, 400):
        t = torch.arange(1, T + 1, dtype=torch.float64) / T
        sums.append(float((0.5 * torch.expm1(gamma(t) - gamma(t - 1 / T)) * exact(t)).sum()))
    gaps = np.array(sums) - integral
    assert (gaps > 0).all(), "more steps make the bound tighter"
    np.testing.assert_allclose(gaps[:-1] / gaps[1:], 2, rtol=0.05)

    for stratified in (True, False):
        found = vdm_elbo(
            gamma,
            ideal,
            x0,
            n=4,
            stratified=stratified,
            batch=16_000,
            generator=torch.Generator().manual_seed(0),
        ).denoising
        assert found.shape == (4000, 4)
        error = float(found.sum(1).std()) / 4000**0.5
        assert abs(float(found.sum(1).mean()) - integral) < 4 * error
    found = vdm_elbo(
        gamma, ideal, x0, T=100, batch=40_000, generator=torch.Generator().manual_seed(0)
    ).denoising.sum(1)
    assert abs(float(found.mean()) - sums[0]) < 4 * float(found.std()) / 4000**0.5


def test_stratified_times_are_even_and_lower_the_variance(
    inject: Callable[[Iterator[Any]], None],
) -> None:
    seen: list[Tensor] = []

    def watch(z: Tensor, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        seen.append(log_snr)
        return torch.zeros_like(z)

    gamma = linear_gamma(0.0, 1.0)
    vdm_elbo(gamma, watch, picture(B=8), n=4, generator=torch.Generator().manual_seed(0))
    t = -torch.cat(seen)
    gaps = t.sort().values.diff()
    np.testing.assert_allclose(gaps, 1 / 32, rtol=1e-9)
    own = t.reshape(4, 8).T.sort(1).values.diff(dim=1)  # each example's own four, a quarter apart
    np.testing.assert_allclose(own, 0.25, rtol=1e-9)

    inject(repeat(0.0))  # without noise, only the choice of t scatters

    def spread(stratified: bool) -> float:
        means = [
            vdm_elbo(
                linear_gamma(),
                stub,
                picture(1).expand(8, 1, 2, 3),
                n=4,
                stratified=stratified,
                generator=torch.Generator().manual_seed(seed),
            ).denoising.sum(1)
            for seed in range(100)
        ]
        return float(torch.stack(means).mean(1).var())

    # 32 times on one even grid: for a straight line the variance falls to 1/32.
    assert 0 < spread(True) < 0.06 * spread(False)


def test_only_the_ends_of_gamma_count_in_continuous_time() -> None:
    """Another path between the same ends: the same integral, written over log-SNR."""

    def bent(t: Tensor) -> Tensor:
        return -6 + 10 * t**2

    def cost(gamma: Gamma) -> float:
        n = 20_000
        t = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        x0, eps = (x.expand(n, 1, 2, 3) for x in (picture(1), table([[[[0.3, -1.0, 0.2]]]])))
        return float(vdm_diffusion(gamma, stub, x0, eps, t).mean())

    assert cost(bent) == pytest.approx(cost(linear_gamma(-6.0, 4.0)), rel=1e-6)


def test_small_steps_keep_their_digits() -> None:
    """At T = 10^7 the factor equals its series, which exp(...) - 1 misses in the ninth digit."""
    gamma, t = linear_gamma(), table([0.5])
    s = t - 1e-7
    x0, eps = picture(1), torch.ones(1, 1, 2, 3, dtype=torch.float64)
    d = float(gamma(t) - gamma(s))
    cost = vdm_diffusion(gamma, lambda z, log_snr: torch.zeros_like(z), x0, eps, t, s)
    assert float(cost) == pytest.approx(0.5 * 6 * (d + d**2 / 2 + d**3 / 6), rel=1e-13, abs=0)


def test_gradients_reach_gamma_and_the_network() -> None:
    """In both kinds of time, and the derivatives are those of finite differences."""
    x0, eps, t = (
        picture(2),
        torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, 2, 3))),
        (table([0.3, 0.8])),
    )

    def cost(w: Tensor, T: int | None) -> Tensor:
        def gamma(u: Tensor) -> Tensor:
            return -6 + 10 * u + w[0] * (u - u**2)

        s = None if T is None else t - 1 / T
        total = vdm_diffusion(gamma, lambda z, g: w[1] * z, x0, eps, t, s).sum()
        return total + vdm_prior(gamma, x0).sum() + vdm_reconstruction(gamma, x0, eps).sum()

    for T in (None, 4):
        w = table([1.0, 0.3]).requires_grad_()
        assert torch.autograd.gradcheck(lambda w, T=T: cost(w, T), (w,))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_slope_is_there_in_every_mode(mode: Callable[[], Any]) -> None:
    """Also for a curve without parameters, whose result must not ask for gradients."""
    t, slope = table([0.5]), torch.nn.Parameter(table([2.0]))
    with mode():
        x0, eps = picture(1), torch.zeros(1, 1, 2, 3, dtype=torch.float64)
        cost = vdm_diffusion(lambda u: u**2, lambda z, log_snr: torch.ones_like(z), x0, eps, t)
        learned = vdm_diffusion(
            lambda u: slope * u, lambda z, log_snr: torch.ones_like(z), x0, eps, t
        )
    assert float(cost) == pytest.approx(0.5 * 2 * 0.5 * 6)
    assert not cost.requires_grad
    assert learned.requires_grad == (mode is torch.enable_grad)


def test_float32_pictures_reach_the_network_as_float32() -> None:
    seen = []

    def watch(z: Tensor, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        seen.append((z.dtype, log_snr.dtype, None if label is None else label.tolist()))
        return 0.5 * z

    label = torch.tensor([3, 5])
    small, exact = (
        vdm_elbo(
            linear_gamma(),
            watch,
            x,
            T=3,
            label=label,
            batch=4,
            generator=torch.Generator().manual_seed(0),
        )
        for x in (picture(2).float(), picture(2))
    )
    assert seen[:2] == [
        (torch.float32, torch.float64, [3, 5, 3, 5]),
        (torch.float32, torch.float64, [3, 5]),
    ]
    assert all(part.dtype == torch.float64 for part in (*small, *exact))


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"T": 0}, "at least one step"),
        ({"T": -3}, "at least one step"),
        ({"n": 0}, "at least one draw"),
        ({"x0": picture() + 0.003}, "between the 256 levels"),
        ({"x0": 2 * picture()}, "leaves the data range"),
        ({"x0": picture() * float("nan")}, "finite"),
    ],
)
def test_bad_input_says_so(options: dict[str, Any], message: str) -> None:
    x0 = options.pop("x0", picture())
    with pytest.raises(ValueError, match=message):
        vdm_elbo(linear_gamma(), stub, x0, **options, generator=torch.Generator())


def test_a_falling_gamma_says_so() -> None:
    with pytest.raises(ValueError, match="must decrease at every step"):
        gamma_schedule(linear_gamma(5.0, -13.3), 4)
