"""Second-order solvers and σ grids: other people's chains, and data whose exact ODE solution is
known.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core import samplers
from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import PARAMETERIZATIONS, Prediction
from diffusion_core.samplers import SAMPLERS, Step, sample
from diffusion_core.schedules import SCHEDULES, NoiseSchedule, from_sigmas, karras
from tests.core.oracles import Array, close, reference, zero_terminal_snr

SOLVERS = ("heun", "dpmpp_2m")


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def down_from(T: int) -> list[int]:
    return list(range(T, 0, -1))


def read_as(
    name: str, diffusion: GaussianDiffusion, network: Callable[[Tensor, Tensor], Tensor]
) -> Denoiser:
    """A denoiser from a function (x_t, t) -> output, read through a parameterization."""

    def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        return PARAMETERIZATIONS[name].recover(network(x_t, t), x_t, *diffusion.rates(t, x_t))

    return denoise


def wild(diffusion: GaussianDiffusion) -> Denoiser:
    return read_as(
        "x0", diffusion, lambda x, t: torch.sin(2 * x + t.to(x).reshape(-1, *[1] * (x.ndim - 1)))
    )


@pytest.fixture
def inject(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Make the sampler's fresh noise the given arrays, one per draw."""

    def install(noises: Any) -> None:
        draws = iter(noises)
        monkeypatch.setattr(samplers, "standard_normal", lambda x, generator: tensor(next(draws)))

    return install


# --- how they behave ------------------------------------------------------------------------------


def test_the_promised_solvers_are_there() -> None:
    assert set(SOLVERS) <= set(SAMPLERS)


@pytest.mark.parametrize(("noise", "looks"), [(80.0, 2), (999.0, 2), (1001.0, 1), (20_000.0, 1)])
def test_a_step_from_next_to_no_signal_is_eulers(noise: float, looks: int) -> None:
    """Theirs begins at 80; averaging slopes over a longer way multiplies the network's error."""
    diffusion = GaussianDiffusion(from_sigmas("far", tensor([0.5, noise])))
    asked = []

    def look(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        asked.append(int(t[0]))
        return Prediction(x_t, x_t)

    list(sample(diffusion, look, normal(1, 3), [2, 1], sampler="heun", generator=seeded()))
    assert asked.count(2) + asked.count(1) == looks + 1  # and one Euler step from 1 to 0


@pytest.mark.parametrize(
    ("name", "looks"), [("heun", [9, 6, 6, 2, 2]), ("dpmpp_2m", [9, 6, 2])], ids=SOLVERS
)
def test_looks_per_step(name: str, looks: list[int]) -> None:
    """Heun looks at both ends of a step, but never at 0; the multistep rule remembers instead."""
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))
    inner, asked = wild(diffusion), []

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        asked.append(int(t[0]))
        return inner(x_t, t)

    list(sample(diffusion, denoiser, normal(2, 3), [9, 6, 2], sampler=name, generator=seeded()))
    assert asked == looks


def test_the_second_look_is_clipped_like_the_first() -> None:
    """A denoiser that clips by itself gives the same chain."""
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))
    inner = read_as("x0", diffusion, lambda x, t: 3 * torch.sin(2 * x))

    def clipping(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        return samplers.clip_prediction(diffusion, inner(x_t, t), x_t, t)

    run = {"x_T": normal(2, 3), "timesteps": [9, 6, 2], "sampler": "heun"}
    ours = sample(diffusion, inner, **run, clip_x0=True, generator=seeded())
    theirs = sample(diffusion, clipping, **run, clip_x0=False, generator=seeded())
    for one, two in zip(ours, theirs, strict=True):
        assert torch.equal(one.x_t, two.x_t)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(
    "options", [{"eta": 1.0}, {"eta": 0.5, "variance": "beta"}, {"variance": "learned"}], ids=str
)
def test_eta_and_variance_are_ignored(name: str, options: dict[str, Any]) -> None:
    """There is no fresh noise to scale: the same pictures, and no draw."""
    diffusion, generator = GaussianDiffusion(SCHEDULES["cosine"](10)), seeded()
    run = {"x_T": normal(2, 3), "timesteps": [9, 6, 2], "sampler": name}
    before = generator.get_state()
    plain = sample(diffusion, wild(diffusion), **run, generator=generator)
    given = sample(diffusion, wild(diffusion), **run, **options, generator=generator)
    for one, two in zip(plain, given, strict=True):
        assert torch.equal(one.x_t, two.x_t)
        assert two.posterior is None or (two.posterior.var == 0).all()
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("name", SOLVERS)
def test_the_first_hop_to_0_and_the_start_of_history_are_ddim(name: str) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))
    run = {"x_T": normal(2, 3), "generator": seeded()}
    for timesteps in ([9], [9, 6]):
        solver, ddim = (
            [
                step.x_t
                for step in sample(
                    diffusion, wild(diffusion), **run, timesteps=timesteps, sampler=s
                )
            ]
            for s in (name, "ddim")
        )
        if timesteps == [9] or name == "dpmpp_2m":
            assert torch.equal(solver[1], ddim[1])
        else:
            assert not torch.allclose(solver[1], ddim[1], rtol=1e-4)


@pytest.mark.parametrize("name", SOLVERS)
def test_zero_terminal_snr_can_be_sampled_from(name: str) -> None:
    """From pure noise σ̃ is infinite: the first step is DDIM's, and the next is well defined."""
    table = torch.from_numpy(zero_terminal_snr(SCHEDULES["linear"](10).alpha_bar.numpy()))
    diffusion = GaussianDiffusion(NoiseSchedule("zero terminal SNR", table))
    run = {"x_T": normal(2, 3), "timesteps": [10, 7, 4, 2], "generator": seeded()}
    solver = list(sample(diffusion, wild(diffusion), **run, sampler=name))
    ddim = list(sample(diffusion, wild(diffusion), **run, sampler="ddim"))
    assert all(torch.isfinite(step.x_t).all() for step in solver)
    assert torch.equal(solver[1].x_t, ddim[1].x_t)
    assert not torch.allclose(solver[3].x_t, ddim[3].x_t, rtol=1e-4)


# --- σ grids --------------------------------------------------------------------------------------


def test_from_sigmas() -> None:
    """ᾱ = 1/(1+σ²), in float64 whatever comes in; an infinite σ is pure noise."""
    schedule = from_sigmas("grid", torch.tensor([0.5, 2.0, torch.inf]))
    assert schedule.name == "grid"
    assert schedule.alpha_bar.dtype == torch.float64
    assert schedule.alpha_bar.tolist() == [1.0, 0.8, 0.2, 0.0]


@pytest.mark.parametrize("name", SCHEDULES)
def test_from_sigmas_undoes_the_noise_levels_of_any_schedule(name: str) -> None:
    alpha_bar = SCHEDULES[name](100).alpha_bar
    sigmas = ((1 - alpha_bar) / alpha_bar)[1:].sqrt()
    np.testing.assert_allclose(from_sigmas(name, sigmas).alpha_bar, alpha_bar, rtol=1e-12)


@pytest.mark.parametrize(
    "sigmas", [[0.0, 1.0], [-1.0, 2.0], [2.0, 1.0], [1.0, 1.0], [1.0, float("nan")]], ids=str
)
def test_bad_sigmas_are_refused(sigmas: list[float]) -> None:
    with pytest.raises(ValueError, match="sigmas"):
        from_sigmas("bad", tensor(sigmas))


def test_no_sigmas_are_refused() -> None:
    with pytest.raises(ValueError, match="two entries"):
        from_sigmas("empty", tensor([]))


def sigma(schedule: NoiseSchedule) -> Tensor:
    """σ̃ at 1..T."""
    return (1 / schedule.snr[1:]).sqrt()


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
def test_karras_grid_is_even_in_the_root_of_sigma(rho: float) -> None:
    grid = sigma(karras(20, 0.02, 20.0, rho))
    np.testing.assert_allclose(
        grid ** (1 / rho), np.linspace(0.02 ** (1 / rho), 20 ** (1 / rho), 20), rtol=1e-9
    )


def test_a_karras_grid_of_one_step_sits_at_the_noisy_end() -> None:
    np.testing.assert_allclose(sigma(karras(1)), [80.0], rtol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [
        (0,),
        (5, 0.0, 80.0),
        (5, -1.0, 80.0),
        (5, 80.0, 0.002),
        (5, 1.0, 1.0),
        (5, 0.1, float("inf")),
        (5, 0.1, float("nan")),
        (5, 0.1, 1.0, 0.0),
        (5, 0.1, 1.0, -7.0),
        (5, 0.1, 1.0, float("nan")),
    ],
    ids=str,
)
def test_bad_karras_grids_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"sigma_min|step"):
        karras(*arguments)


# --- EDM and k-diffusion --------------------------------------------------------------------------

EDM = reference("edm_samplers")
LATENTS = tensor(EDM["latents"])


def gaussian_data(diffusion: GaussianDiffusion) -> Denoiser:
    """The stored chains' denoiser: exact for data N(mean, std²)."""
    mean, var = EDM["data_mean"], EDM["data_std"] ** 2

    def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        a, sigma = diffusion.rates(t, x_t)
        x0 = mean + a * var / (a**2 * var + sigma**2) * (x_t - a * mean)
        return Prediction(x0, (x_t - a * x0) / sigma)

    return denoise


def edm_grid(case: dict[str, Any]) -> GaussianDiffusion:
    rho = float(case["rho"])
    return GaussianDiffusion(karras(case["num_steps"], case["sigma_min"], case["sigma_max"], rho))


def edm_run(case: dict[str, Any], sampler: str) -> Tensor:
    diffusion = edm_grid(case)
    x_T = LATENTS * case["sigma_max"] * diffusion.schedule.alpha_bar[-1].sqrt()
    *_, end = sample(
        diffusion,
        gaussian_data(diffusion),
        x_T,
        down_from(diffusion.T),
        sampler=sampler,
        clip_x0=False,
        generator=seeded(),
    )
    return end.x_t


CASES = pytest.mark.parametrize("case", EDM["cases"], ids=lambda c: f"{c['num_steps']}-{c['rho']}")


@CASES
def test_karras_grid_is_edms(case: dict[str, Any]) -> None:
    *noisy, clean = case["sigmas"]
    assert clean == 0
    np.testing.assert_allclose(sigma(edm_grid(case).schedule), noisy[::-1], rtol=1e-9)


@CASES
@pytest.mark.parametrize(
    ("field", "sampler"),
    [
        ("edm_heun_final", "heun"),
        ("k_sample_heun_final", "heun"),
        ("k_sample_euler_final", "ddim"),
        ("k_sample_dpmpp_2m_final", "dpmpp_2m"),
    ],
)
def test_edm_and_k_diffusion(case: dict[str, Any], field: str, sampler: str) -> None:
    close(edm_run(case, sampler), case[field])


@CASES
def test_k_diffusion_ancestral_is_ddpm(case: dict[str, Any], inject: Callable[[Any], None]) -> None:
    inject(case["ancestral_noise"])
    close(edm_run(case, "ddpm"), case["k_sample_euler_ancestral_final"])


def test_churn_is_a_forward_step_before_each_step_of_heun() -> None:
    """EDM's stochastic sampler is no entry of `SAMPLERS`, since it looks at noise levels between
    the grid's; on a grid that holds them too it is `q_step`, then `heun`. S_noise is a factor on
    the noise.
    """
    churn = EDM["churn"]
    schedule = karras(churn["num_steps"], churn["sigma_min"], churn["sigma_max"], churn["rho"])
    levels = [*sigma(schedule).flip(0).tolist(), 0.0]
    gamma = min(churn["S_churn"] / churn["num_steps"], 2**0.5 - 1)
    x = LATENTS * churn["sigma_max"]  # in EDM's units
    for i, (now, then) in enumerate(pairwise(levels)):
        again = now * (1 + gamma) if churn["S_min"] <= now <= churn["S_max"] else now
        grid = sorted({then, now, again} - {0.0})
        diffusion = GaussianDiffusion(from_sigmas("one step", tensor(grid)))
        rate = [1.0, *(1 / (1 + level**2) ** 0.5 for level in grid)]
        at = {level: k for k, level in enumerate([0.0, *grid])}
        x_t = x * rate[at[now]]
        if again > now:
            t, s = (torch.full((2,), at[level]) for level in (again, now))
            noise = churn["S_noise"] * tensor(churn["noise"][i])
            x_t = diffusion.q_step(x_t, t, s).sample(noise)
        timesteps = [at[again], *([at[then]] if then else [])]
        steps = sample(
            diffusion,
            gaussian_data(diffusion),
            x_t,
            timesteps,
            sampler="heun",
            clip_x0=False,
            generator=seeded(),
        )
        x = list(islice(steps, 2))[1].x_t / rate[at[then]]
    close(x, churn["final"])


def exact_gaussian_flow(sigma_max: float, sigma_min: float) -> Array:
    """The probability-flow map of N(mean, std²) from σ_max to σ_min, in units of x/√ᾱ."""
    mean, var = EDM["data_mean"], EDM["data_std"] ** 2
    gain = ((var + sigma_min**2) / (var + sigma_max**2)) ** 0.5
    return np.asarray(mean + (LATENTS.numpy() * sigma_max - mean) * gain)


@CASES
def test_the_exact_solution_is_the_stored_one(case: dict[str, Any]) -> None:
    close(exact_gaussian_flow(case["sigma_max"], 0.0), case["exact_ode_solution"])


@pytest.mark.parametrize(("sampler", "factor"), [("ddim", 3.5), ("heun", 14), ("dpmpp_2m", 12)])
def test_the_stored_exact_solution_is_where_finer_grids_lead(sampler: str, factor: float) -> None:
    """On EDM's own grid, 64 and then 256 steps: the error at 0 shrinks by the order's 4 or 16."""
    case = EDM["cases"][1]
    errors = [
        float((edm_run({**case, "num_steps": n}, sampler) - tensor(exact)).abs().max())
        for n in (64, 256)
        for exact in [case["exact_ode_solution"]]
    ]
    assert errors[0] > factor * errors[1]
    assert errors[1] < (5e-2 if sampler == "ddim" else 2e-3)


# --- diffusers ------------------------------------------------------------------------------------

DIFFUSERS = reference("diffusers_schedulers")
PREDICTION_TYPES = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
X_UNIT = tensor(DIFFUSERS["x_unit"])


def applies(run: dict[str, Any]) -> bool:
    """Whether a stored DPM-Solver chain is one of ours.

    Not ours: third order; order 2 with solver_type "heun" (another expansion of the same order) or
    algorithm_type "dpmsolver" (noise prediction); the second-order SDE.
    """
    config = run["config"]
    order, kind = config["solver_order"], config["algorithm_type"]
    if kind == "sde-dpmsolver++":
        return bool(order == 1)
    return bool(kind == "dpmsolver++" and order < 3 and config["solver_type"] == "midpoint")


def runs(scheduler: str) -> list[dict[str, Any]]:
    return [run for run in DIFFUSERS["full_trajectories"] if run["scheduler"] == scheduler]


def describe(run: dict[str, Any]) -> str:
    config = run["config"]
    keys = (
        *("solver_order", "algorithm_type", "prediction_type", "use_karras_sigmas"),
        *("timestep_spacing", "final_sigmas_type"),
    )
    return "-".join(str(config[key]) for key in keys if key in config)


DPM_SOLVER = [run for run in runs("DPMSolverMultistepScheduler") if applies(run)]


def on_their_grid(run: dict[str, Any]) -> tuple[GaussianDiffusion, Denoiser, float]:
    """Their σ grid as a process, their network on it, and √ᾱ where the chain starts.

    The network sees their (fractional) timesteps. Heun's lists hold every inner entry twice.
    """
    noisy = [level for level in dict.fromkeys(run["sigmas"]) if level > 0]
    times = list(dict.fromkeys(run["timesteps"]))
    if run["config"].get("final_sigmas_type") == "sigma_min":
        times.append(0)  # their last stop; the network is not asked there before it is reached
    assert len(times) == len(noisy)
    diffusion = GaussianDiffusion(from_sigmas("diffusers", tensor(noisy[::-1])))
    original, k = tensor([0.0, *times[::-1]]), DIFFUSERS["network_coefficients"]
    denoiser = read_as(
        PREDICTION_TYPES[run["config"]["prediction_type"]],
        diffusion,
        lambda x, t: k["a"] * x + k["b"] * (original[t] / 1000).reshape(-1, 1, 1, 1) + k["c"],
    )
    return diffusion, denoiser, float(diffusion.schedule.alpha_bar[-1]) ** 0.5


def their_chain(run: dict[str, Any], sampler: str, scaled: bool) -> list[Step]:
    """The whole chain with our sampler; `scaled`: they step x/√ᾱ, so the start is scaled down."""
    diffusion, denoiser, a = on_their_grid(run)
    x_T = X_UNIT * run["init_noise_sigma"] * (a if scaled else 1)
    return list(
        sample(
            diffusion,
            denoiser,
            x_T,
            down_from(diffusion.T),
            sampler=sampler,
            clip_x0=False,
            generator=seeded(),
        )
    )


def test_which_diffusers_chains_apply() -> None:
    """All of Euler's, Heun's and the ancestral ones; 9 of DPM-Solver's 13."""
    counts = {
        name: len(runs(name))
        for name in (
            "EulerDiscreteScheduler",
            "HeunDiscreteScheduler",
            "EulerAncestralDiscreteScheduler",
            "DPMSolverMultistepScheduler",
        )
    }
    assert list(counts.values()) == [4, 4, 1, 13]
    assert len(DPM_SOLVER) == 9


@pytest.mark.parametrize("run", DPM_SOLVER, ids=describe)
def test_diffusers_dpm_solver(run: dict[str, Any], inject: Callable[[Any], None]) -> None:
    """Order 1 is `ddim`, as an SDE `ddpm`; order 2 is `dpmpp_2m`, also on Karras' grid, and also
    where the chain ends at the smallest σ instead of 0.
    """
    config = run["config"]
    sde = config["algorithm_type"] == "sde-dpmsolver++"
    sampler = {1: "ddpm" if sde else "ddim", 2: "dpmpp_2m"}[config["solver_order"]]
    inject(DIFFUSERS["step_noise"])
    _, *steps = their_chain(run, sampler, scaled=False)
    expected = run["prev_sample_after_each_step"]
    assert len(expected) == 6
    assert len(steps) == 6 + (config["final_sigmas_type"] == "sigma_min")
    for step, x_s in zip(steps, expected, strict=False):
        close(step.x_t, x_s)


@pytest.mark.parametrize(
    "run", [run for run in DPM_SOLVER if not run["config"]["use_karras_sigmas"]], ids=describe
)
def test_their_integer_timesteps_are_ours_plus_one(
    run: dict[str, Any], inject: Callable[[Any], None]
) -> None:
    """The same chains as strides of our linear process, without a σ grid in between."""
    config = run["config"]
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    k = DIFFUSERS["network_coefficients"]
    denoiser = read_as(
        PREDICTION_TYPES[config["prediction_type"]],
        diffusion,
        lambda x, t: k["a"] * x + k["b"] * ((t.double() - 1) / 1000).reshape(-1, 1, 1, 1) + k["c"],
    )
    timesteps = [t + 1 for t in run["timesteps"]]
    if config["final_sigmas_type"] == "sigma_min":
        timesteps.append(1)
    sde = config["algorithm_type"] == "sde-dpmsolver++"
    inject(DIFFUSERS["step_noise"])
    _, *steps = sample(
        diffusion,
        denoiser,
        X_UNIT,
        timesteps,
        sampler={1: "ddpm" if sde else "ddim", 2: "dpmpp_2m"}[config["solver_order"]],
        clip_x0=False,
        generator=seeded(),
    )
    for step, x_s in zip(steps, run["prev_sample_after_each_step"], strict=False):
        close(step.x_t, x_s)


@pytest.mark.parametrize(
    ("scheduler", "sampler", "run"),
    [
        pytest.param(scheduler, sampler, run, id=f"{sampler}-{describe(run)}")
        for scheduler, sampler in (
            ("EulerDiscreteScheduler", "ddim"),
            ("HeunDiscreteScheduler", "heun"),
            ("EulerAncestralDiscreteScheduler", "ddpm"),
        )
        for run in runs(scheduler)
    ],
)
def test_diffusers_euler_and_heun(
    scheduler: str, sampler: str, run: dict[str, Any], inject: Callable[[Any], None]
) -> None:
    diffusion, *_ = on_their_grid(run)
    inject(DIFFUSERS["step_noise"])
    steps = their_chain(run, sampler, scaled=True)
    expected = run["prev_sample_after_each_step"]
    if sampler == "heun":  # theirs takes two calls per step but for the last
        assert len(expected) == 11
        expected = [*expected[1:10:2], expected[10]]
    assert len(expected) == 6
    for step, x in zip(steps[1:], expected, strict=True):
        close(step.x_t / diffusion.schedule.alpha_bar[step.t].sqrt(), x)
    last = steps[-2].prediction
    assert last is not None
    close(last.x0, run["pred_original_sample_last_step"])


@pytest.mark.parametrize("run", runs("HeunDiscreteScheduler"), ids=describe)
def test_diffusers_heun_looks_where_we_look(run: dict[str, Any]) -> None:
    """The first of its two calls is the Euler step; there the second look is taken."""
    diffusion, inner, a = on_their_grid(run)
    seen = []

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        seen.append(x_t / diffusion.rates(t, x_t)[0])
        return inner(x_t, t)

    x_T = X_UNIT * run["init_noise_sigma"] * a
    list(
        sample(
            diffusion,
            denoiser,
            x_T,
            down_from(6),
            sampler="heun",
            clip_x0=False,
            generator=seeded(),
        )
    )
    for x, expected in zip(seen[1:], run["prev_sample_after_each_step"][:10], strict=True):
        close(x, expected)


# --- a Gaussian mixture: the exact solution, and how fast it is reached ---------------------------

WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([-0.8, 0.3, 0.9])
STDS = np.array([0.15, 0.25, 0.1])


def mixture_denoiser(diffusion: GaussianDiffusion) -> Denoiser:
    """E[x_0 | x_t] of the mixture: each component's own posterior mean, weighted by how likely x_t
    is in it.
    """
    weights, means, var = tensor(WEIGHTS), tensor(MEANS), tensor(STDS) ** 2

    def denoise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        a, sigma = diffusion.rates(t, x_t)
        total = a**2 * var + sigma**2  # [B, 3]
        gap = x_t - a * means
        share = (weights.log() - 0.5 * total.log() - 0.5 * gap**2 / total).softmax(1)
        x0 = (share * (means + a * var / total * gap)).sum(1, keepdim=True)
        return Prediction(x0, (x_t - a * x0) / sigma)

    return denoise


def phi(z: Array) -> Array:
    """The standard normal's distribution function."""
    return np.asarray((0.5 * torch.special.erfc(-torch.from_numpy(z) / 2**0.5)).numpy())


def noisy_cdf(x: Array, level: float) -> Array:
    """P(x_0 + σ̃ n <= x) for the mixture; x [B]."""
    return np.asarray(
        phi((x[:, None] - MEANS) / np.sqrt(STDS**2 + level**2)) @ WEIGHTS  # [B]
    )


def exact_flow(x: Array, level: float, to: float) -> Array:
    """The probability-flow ODE in one dimension moves every point along its own quantile, since
    its flow keeps their order and reproduces every marginal. x [B] in units of x/√ᾱ.
    """
    quantile = noisy_cdf(x, level)
    low, high = np.full_like(x, -20.0), np.full_like(x, 20.0)
    for _ in range(80):
        middle = (low + high) / 2
        below = noisy_cdf(middle, to) < quantile
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


NOISY, CLEAN = 10.0, 0.01


def even_in_log_snr(T: int) -> GaussianDiffusion:
    levels = torch.linspace(np.log(CLEAN), np.log(NOISY), T, dtype=torch.float64).exp()
    return GaussianDiffusion(from_sigmas("even in log-SNR", levels))


def test_the_denoiser_is_the_mixtures() -> None:
    """ε̂ is -σ̃ times the slope of the log density, by central differences of the distribution
    function.
    """
    diffusion = even_in_log_snr(9)
    for t in range(1, 10):
        level = float(sigma(diffusion.schedule)[t - 1])
        x, h = np.linspace(-2, 2, 9), 1e-3 * (0.1 + level)
        cdf = [noisy_cdf(x + k * h, level) for k in (-1, 0, 1)]
        density, slope = (cdf[2] - cdf[0]) / (2 * h), (cdf[2] - 2 * cdf[1] + cdf[0]) / h**2
        a = float(diffusion.schedule.alpha_bar[t]) ** 0.5
        eps = mixture_denoiser(diffusion)(tensor(x)[:, None] * a, torch.full((9,), t)).eps[:, 0]
        seen = density > 1e-3
        assert seen.any()
        np.testing.assert_allclose(
            eps[torch.from_numpy(seen)], (-level * slope / density)[seen], rtol=1e-3, atol=1e-3
        )


def error_before_the_last_jump(sampler: str, T: int, start: Array) -> float:
    """Largest distance from the exact solution at t = 1, over the starting points [B]."""
    diffusion = even_in_log_snr(T)
    rate = diffusion.schedule.alpha_bar.sqrt()
    *_, last, _end = sample(
        diffusion,
        mixture_denoiser(diffusion),
        tensor(start)[:, None] * rate[-1],
        down_from(T),
        sampler=sampler,
        clip_x0=False,
        generator=seeded(),
    )
    assert last.t == 1
    x = (last.x_t / rate[1])[:, 0].numpy()
    return float(np.abs(x - exact_flow(start, NOISY, CLEAN)).max())


@pytest.mark.parametrize(
    ("sampler", "low", "high"),
    [("ddim", 0.9, 1.1), ("heun", 1.9, 2.1), ("dpmpp_2m", 1.8, 2.1)],
)
def test_order_of_convergence(sampler: str, low: float, high: float) -> None:
    """Steps even in log-SNR, 320 and then 1280 of them, read before the last jump to 0 (which is
    first order and always ends at the mean x̂0).
    """
    start = NOISY * np.array([-1.6, -0.9, -0.4, 0.05, 0.3, 0.8, 1.5])
    coarse, fine = (error_before_the_last_jump(sampler, T, start) for T in (320, 1280))
    assert fine > 1e-10, "rounding, not the method"
    order = np.log(coarse / fine) / np.log(4)
    print(f"{sampler}: {coarse:.3g} -> {fine:.3g}, order {order:.3f}")
    assert low < order < high
