"""Noise schedules: laws that hold for all schedules and lengths, and other people's tables."""

from __future__ import annotations

from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np
import pytest
import torch

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.published import straight_betas
from diffusion_core.schedules import (
    SCHEDULES,
    NoiseSchedule,
    counted_up,
    evenly_spaced,
    from_betas,
    space_timesteps,
    step_back_spread,
)
from tests.core.oracles import BETAS, alpha_bar_of, close, reference, zero_terminal_snr

LENGTHS = (1, 2, 3, 10, 1000)


@pytest.fixture(
    params=[(name, T) for name in SCHEDULES for T in LENGTHS], ids=lambda p: f"{p[0]}-{p[1]}"
)
def schedule(request: pytest.FixtureRequest) -> NoiseSchedule:
    name, T = request.param
    return SCHEDULES[name](T)


def test_the_promised_schedules_are_there() -> None:
    assert {"linear", "cosine", "sigmoid", "log_snr_linear"} <= set(SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", LENGTHS)
def test_table_has_a_clean_first_entry_and_T_more(name: str, T: int) -> None:
    schedule = SCHEDULES[name](T)
    assert schedule.name == name
    assert schedule.T == T
    assert schedule.alpha_bar.shape == schedule.beta.shape == (T + 1,)
    assert schedule.snr.shape == schedule.log_snr.shape == (T + 1,)
    for table in (schedule.alpha_bar, schedule.beta, schedule.snr, schedule.log_snr):
        assert table.dtype == torch.float64
    assert schedule.alpha_bar[0] == 1


def test_alpha_bar_falls_at_every_step_and_stays_positive(schedule: NoiseSchedule) -> None:
    assert (schedule.alpha_bar.diff() < 0).all()
    assert schedule.alpha_bar[-1] > 0


def test_betas_lie_between_0_and_the_cap(schedule: NoiseSchedule) -> None:
    assert schedule.beta[0] == 0
    assert (schedule.beta[1:] > 0).all()
    assert (schedule.beta <= 0.999 + 1e-12).all()


def test_alpha_bar_is_the_product_of_one_minus_beta(schedule: NoiseSchedule) -> None:
    close(alpha_bar_of(schedule.beta[1:]), schedule.alpha_bar)


def test_betas_are_exact_for_the_table(schedule: NoiseSchedule) -> None:
    """Neighbours differ by as little as 3e-8: 1 - ratio would lose half of the digits that the
    table holds.
    """
    a = schedule.alpha_bar.numpy()
    np.testing.assert_allclose(schedule.beta[1:], (a[:-1] - a[1:]) / a[:-1], rtol=1e-12)


def test_snr_is_signal_variance_over_noise_variance(schedule: NoiseSchedule) -> None:
    a = schedule.alpha_bar[1:].numpy()
    np.testing.assert_allclose(schedule.snr[1:], a / (1 - a), rtol=1e-12)
    np.testing.assert_allclose(
        schedule.log_snr[1:], np.log(a) - np.log1p(-a), rtol=1e-12, atol=1e-12
    )
    assert schedule.snr[0] == torch.inf
    assert schedule.log_snr[0] == torch.inf
    assert (schedule.log_snr.diff() < 0).all()


@pytest.mark.parametrize("name", BETAS)
@pytest.mark.parametrize("T", [2, 3, 10, 100, 1000])
def test_schedule_is_the_published_formula(name: str, T: int) -> None:
    actual, expected = SCHEDULES[name](T).alpha_bar.numpy(), alpha_bar_of(BETAS[name](T))
    np.testing.assert_allclose(actual, expected, rtol=1e-9)
    np.testing.assert_allclose(1 - actual[1:], 1 - expected[1:], rtol=1e-9)


@pytest.mark.parametrize("T", [2, 10, 1000])
def test_log_snr_linear_is_a_straight_line_from_13_3_to_minus_5(T: int) -> None:
    log_snr = SCHEDULES["log_snr_linear"](T).log_snr
    np.testing.assert_allclose(log_snr[1:], np.linspace(13.3, -5, T), rtol=1e-8)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", [0, -3])
def test_no_schedule_without_steps(name: str, T: int) -> None:
    with pytest.raises(ValueError, match="step"):
        SCHEDULES[name](T)


# --- tables of other implementations --------------------------------------------------------------

TABLES = {table["name"]: table for table in reference("gaussian_schedules")["schedules"]}


@pytest.mark.parametrize(
    "table", [f"{n}_T{T}" for n in ("linear", "cosine") for T in (1000, 100, 50)]
)
def test_improved_diffusion_tables(table: str) -> None:
    """Their t is our t - 1: the clean image has no entry there."""
    expected = TABLES[table]
    schedule = SCHEDULES[expected["params"]["kind"]](expected["T"])
    close(schedule.alpha_bar[1:], expected["alphas_cumprod"])
    np.testing.assert_allclose(schedule.alpha_bar[1:], expected["alphas_cumprod"], rtol=1e-9)
    np.testing.assert_allclose(schedule.beta[1:], expected["betas"], rtol=1e-9)


@pytest.mark.parametrize("table", [name for name in TABLES if name.startswith("ho_")])
def test_any_table_of_alpha_bar_is_a_schedule(table: str) -> None:
    """Ho et al.'s other schedules, one of which ends without any signal."""
    expected = TABLES[table]
    alpha_bar = torch.tensor([1.0, *expected["alphas_cumprod"]], dtype=torch.float64)
    np.testing.assert_allclose(
        NoiseSchedule(table, alpha_bar).beta[1:], expected["betas"], rtol=1e-9
    )


@pytest.mark.parametrize("table", [n for n in TABLES if n.startswith("ho_") and n != "ho_jsd_T20"])
def test_from_betas(table: str) -> None:
    expected = TABLES[table]
    schedule = from_betas(table, torch.tensor(expected["betas"], dtype=torch.float64))
    np.testing.assert_allclose(schedule.alpha_bar[1:], expected["alphas_cumprod"], rtol=1e-9)


def test_from_betas_caps_the_last_step_of_a_schedule_that_ends_in_pure_noise() -> None:
    schedule = from_betas("jsd", torch.tensor(TABLES["ho_jsd_T20"]["betas"], dtype=torch.float64))
    assert schedule.beta[-1] == pytest.approx(0.999, rel=1e-9)


@pytest.mark.parametrize("i", range(5))
def test_diffusers_schedules(i: int) -> None:
    case = reference("diffusers_schedulers")["schedules_at_index"][i]
    config, T = case["config"], case["config"]["num_train_timesteps"]
    low, high = config.get("beta_start"), config.get("beta_end")
    match config["beta_schedule"]:
        case "linear":
            schedule = SCHEDULES["linear"](T)
        case "squaredcos_cap_v2":
            schedule = SCHEDULES["cosine"](T)
        case "scaled_linear":
            schedule = from_betas(
                "scaled", torch.from_numpy(np.linspace(low**0.5, high**0.5, T) ** 2)
            )
        case "sigmoid":
            curve = 1 / (1 + np.exp(-np.linspace(-6, 6, T)))
            schedule = from_betas("sigmoid betas", torch.from_numpy(low + (high - low) * curve))
    if config.get("rescale_betas_zero_snr"):
        rescaled = zero_terminal_snr(schedule.alpha_bar.numpy())
        schedule = NoiseSchedule("zero terminal SNR", torch.from_numpy(rescaled))
        assert schedule.snr[-1] == 0
        assert schedule.log_snr[-1] == -torch.inf
    at = [index + 1 for index in case["index"]]
    close(schedule.alpha_bar[at], case["alphas_cumprod"])
    np.testing.assert_allclose(schedule.beta[at], case["betas"], rtol=1e-9)


# --- respacing ------------------------------------------------------------------------------------


def some_steps(T: int) -> list[int]:
    return sorted({1, *range(2, T + 1, 3), T})


def test_respacing_keeps_the_picked_alpha_bar(schedule: NoiseSchedule) -> None:
    steps = some_steps(schedule.T)
    short = schedule.respace(steps)
    assert short.T == len(steps)
    assert torch.equal(short.alpha_bar, schedule.alpha_bar[[0, *steps]])


def test_respaced_betas_accumulate_the_skipped_steps(schedule: NoiseSchedule) -> None:
    """They are not a selection of the old betas: beta' = 1 - product of the skipped 1 - beta."""
    steps = some_steps(schedule.T)
    expected = [
        1 - float((1 - schedule.beta[s + 1 : t + 1]).prod()) for s, t in pairwise([0, *steps])
    ]
    close(schedule.respace(steps).beta[1:], expected)


def test_respacing_to_all_steps_changes_nothing(schedule: NoiseSchedule) -> None:
    same = schedule.respace(range(1, schedule.T + 1))
    assert torch.equal(same.alpha_bar, schedule.alpha_bar)


def test_respacing_twice_is_respacing_once(schedule: NoiseSchedule) -> None:
    first = some_steps(schedule.T)
    second = sorted({1, *range(2, len(first) + 1, 2)} & set(range(1, len(first) + 1)))
    twice = schedule.respace(first).respace(second)
    once = schedule.respace([first[k - 1] for k in second])
    assert torch.equal(twice.alpha_bar, once.alpha_bar)


def test_respacing_does_not_touch_the_original(schedule: NoiseSchedule) -> None:
    before = schedule.alpha_bar.clone()
    schedule.respace([schedule.T]).alpha_bar.zero_()
    assert torch.equal(schedule.alpha_bar, before)


@pytest.mark.parametrize(
    "steps", [[], [0, 3], [-1, 3], [3, 2], [2, 2], [5, 11], [11]], ids=lambda steps: f"{steps}"
)
def test_bad_timesteps_are_refused(steps: list[int]) -> None:
    with pytest.raises(ValueError, match="timestep"):
        SCHEDULES["cosine"](10).respace(steps)


RESPACING = reference("gaussian_respacing")


@pytest.mark.parametrize("case", RESPACING["space_timesteps"], ids=lambda c: c["section_counts"])
def test_space_timesteps_picks_what_improved_diffusion_picks(case: dict) -> None:
    steps = space_timesteps(case["num_timesteps"], case["section_counts"])
    assert [t - 1 for t in steps] == case["steps"]


def test_space_timesteps_takes_numbers_as_well_as_text() -> None:
    assert space_timesteps(300, [10, 15, 20]) == space_timesteps(300, "10,15,20")


@pytest.mark.parametrize("case", RESPACING["expected_errors"], ids=lambda c: c["section_counts"])
def test_space_timesteps_refuses_what_improved_diffusion_refuses(case: dict) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        space_timesteps(case["num_timesteps"], case["section_counts"])


@pytest.mark.parametrize("case", RESPACING["respaced"], ids=lambda c: c["section_counts"])
def test_respaced_tables_of_improved_diffusion(case: dict) -> None:
    base = SCHEDULES[case["base_schedule"]["name"]](case["base_schedule"]["T"])
    short = base.respace(space_timesteps(base.T, case["section_counts"]))
    np.testing.assert_allclose(short.alpha_bar[1:], case["alphas_cumprod"], rtol=1e-9)
    np.testing.assert_allclose(short.beta[1:], case["betas"], rtol=1e-9)


@pytest.mark.parametrize("T", [1, 2, 7, 50, 1000])
@pytest.mark.parametrize("n", [1, 2, 6, 50, 1000])
def test_evenly_spaced_timesteps_start_at_T_and_keep_their_distance(T: int, n: int) -> None:
    steps = evenly_spaced(T, n)
    gaps = [t - s for t, s in pairwise([*steps, 0])]
    assert len(steps) == min(n, T)
    assert steps[0] == T
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


# --- tables that are no schedule ------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [
        [1.0, float("nan"), 0.5],
        [1.0, 0.5, float("nan")],
        [float("nan"), 0.5, 0.2],
        [1.0, float("inf"), 0.5],
        [1.0, 0.5, -0.1],
        [1.0, 0.5, 0.6],
        [1.0, 0.5, 0.5],
        [1.0, 1.0, 0.5],
        [1.0, 0.0, 0.0],
        [0.99, 0.5, 0.2],
        [1.0],
        [],
    ],
    ids=str,
)
def test_a_bad_table_is_refused(table: list[float]) -> None:
    with pytest.raises(ValueError, match="alpha_bar"):
        NoiseSchedule("bad", torch.tensor(table, dtype=torch.float64))


def test_a_table_must_be_one_float64_vector() -> None:
    with pytest.raises(ValueError, match="float64"):
        NoiseSchedule("single precision", torch.tensor([1.0, 0.5, 0.1]))
    with pytest.raises(ValueError, match="vector"):
        NoiseSchedule("matrix", torch.tensor([[1.0, 0.5, 0.1]], dtype=torch.float64))


@pytest.mark.parametrize("beta", [float("nan"), 0.0, -0.1])
def test_bad_betas_are_refused(beta: float) -> None:
    with pytest.raises(ValueError, match=r"alpha_bar must decrease|betas must be"):
        from_betas("bad", torch.tensor([0.1, beta], dtype=torch.float64))


def test_zero_terminal_snr_is_allowed() -> None:
    schedule = NoiseSchedule(
        "ends in pure noise", torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    )
    assert schedule.beta[-1] == 1
    assert schedule.snr[-1] == 0


# --- two habits that leave sampling without pure noise --------------------------------------------


@pytest.mark.parametrize(("name", "ours"), [("leading", counted_up), ("trailing", evenly_spaced)])
def test_steps_are_chosen_as_diffusers_chooses_them(name: str, ours) -> None:
    """Its index is our t less 1."""
    table = reference("diffusers_schedulers")
    found = [
        run
        for run in table["full_trajectories"]
        if run["scheduler"] in {"DDPMScheduler", "DDIMScheduler"}
        and run["config"].get("timestep_spacing") == name
    ]
    assert found
    for run in found:
        offset = run["config"]["steps_offset"] if name == "leading" else 0
        steps = ours(1000, table["num_inference_steps"])
        assert [t - 1 + offset for t in steps] == run["timesteps"]


@pytest.mark.parametrize(("T", "n"), [(1000, 50), (1000, 7), (10, 3), (10, 50), (1, 1), (5, 0)])
def test_steps_counted_up_end_at_1_and_miss_the_top(T: int, n: int) -> None:
    steps = counted_up(T, n)
    assert len(steps) == len(set(steps)) == max(1, min(n, T))
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == 1
    assert T - steps[0] >= T // max(1, min(n, T)) - 1


def test_50_steps_counted_up_are_improved_diffusions() -> None:
    assert counted_up(1000, 50)[::-1] == space_timesteps(1000, "ddim50")


@pytest.mark.parametrize("T", [1, 2, 20, 50, 100, 200, 1000])
def test_with_the_ends_of_a_thousand_steps_the_signal_stays(T: int) -> None:
    schedule = straight_betas(T)
    close(schedule.beta[1:], np.linspace(1e-4, 0.02, T))
    close(schedule.alpha_bar[-1], np.prod(1 - np.linspace(1e-4, 0.02, T)))
    if T > 1:
        # The law of its docstring: log(1 - b) is b short by less than b^2 in all, and b <= 0.02.
        assert -float(schedule.alpha_bar[-1].log()) == pytest.approx(0.01005 * T, rel=0.02)
    if T == 1000:
        close(schedule.alpha_bar, SCHEDULES["linear"](1000).alpha_bar)
    if T < 1000:
        assert schedule.alpha_bar[-1] > 4 * SCHEDULES["linear"](T).alpha_bar[-1] or T == 1


@pytest.mark.parametrize("agreement", [1.0, 0.7, 0.0])
@pytest.mark.parametrize(("name", "t"), [("cosine", 1000), ("cosine", 990), ("linear", 1000)])
def test_the_spread_after_a_step_back_is_that_of_draws(name: str, t: int, agreement: float) -> None:
    """The long way: eps to x0, and x0 to the posterior's mean, for 100,000 pixels of noise."""
    schedule = SCHEDULES[name](1000)
    generator = torch.Generator().manual_seed(0)
    x, other = torch.randn(2, 1, 100_000, generator=generator, dtype=torch.float64)
    eps = agreement * x + (1 - agreement**2) ** 0.5 * other
    diffusion, at = GaussianDiffusion(schedule), torch.tensor([t])
    x0 = PARAMETERIZATIONS["eps"].recover(eps, x, *diffusion.rates(at, x)).x0
    spread = float(diffusion.q_posterior(x, x0, at, at - 1).mean.std())
    assert step_back_spread(schedule, t, agreement) == pytest.approx(spread, rel=0.02)


@pytest.mark.parametrize(("t", "says"), [(-1, "1..2"), (0, "1..2"), (2, "no signal"), (3, "1..2")])
def test_there_is_no_step_back_without_noise_or_without_signal(t: int, says: str) -> None:
    schedule = NoiseSchedule("ends at 0", torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64))
    with pytest.raises(ValueError, match=says):
        step_back_spread(schedule, t, 0.0)


def test_betas_read_off_a_table_near_1_have_8_digits() -> None:
    """As the docstring of `log_snr_linear` says; the table itself is right to the last one."""
    schedule, T = SCHEDULES["log_snr_linear"](1000), 1000
    with localcontext(prec=40):
        gammas = [Decimal("-13.3") + Decimal("18.3") * k / (T - 1) for k in range(T)]
        bars = [1 / (1 + gamma.exp()) for gamma in gammas]
        betas = [float((a - b) / a) for a, b in pairwise(bars)]
    np.testing.assert_allclose(schedule.alpha_bar[1:], [float(bar) for bar in bars], rtol=1e-14)
    off = np.abs(schedule.beta[2:].numpy() / betas - 1)
    assert 1e-9 < off.max() < 1e-8
    assert 0 < schedule.alpha_bar[1] - schedule.alpha_bar[2] < 1e-7
