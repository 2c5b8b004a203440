"""Conventions: every snippet runs and gives its cell's number, and the numbers are the peers'."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusion_core import conventions as c
from diffusion_core.convention_tables import (
    DISCRETE_T,
    DiscreteState,
    GaussianState,
    GuidanceState,
    Table,
    Value,
    discrete_process,
    discrete_table,
    gaussian_table,
    guidance_table,
)
from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.guidance import guided
from diffusion_core.parameterization import PARAMETERIZATIONS, Prediction
from diffusion_core.published import cosine_on_more_points
from diffusion_core.schedules import SCHEDULES

REFERENCE = Path(__file__).parent.parent / "reference"

TABLES: dict[str, Table] = {
    "gaussian": gaussian_table(GaussianState("linear", 1000, 300, -0.4, 0.6)),
    "gaussian, first step": gaussian_table(GaussianState("cosine", 100, 1, 1.2, -0.3)),
    "gaussian, last step": gaussian_table(GaussianState("cosine", 1000, 1000, 0.0, -2.0)),
    "gaussian, two steps": gaussian_table(GaussianState("log_snr_linear", 2, 2, 0.5, 0.5)),
    "gaussian, sigmoid": gaussian_table(GaussianState("sigmoid", 10, 4, -5.0, 5.0)),
    "a state is masked": discrete_table(DiscreteState(50, 0, 3)),
    "a mask stays": discrete_table(DiscreteState(1, 3, 3)),
    "impossible": discrete_table(DiscreteState(100, 3, 0)),
    "replaced": discrete_table(DiscreteState(7, 1, 2)),
    "kept": discrete_table(DiscreteState(100, 2, 2)),
    "guidance": guidance_table(GuidanceState(2.0, 0.7, 0.2)),
    "no guidance": guidance_table(GuidanceState(0.0, 0.7, 0.2)),
    "no class": guidance_table(GuidanceState(-1.0, -0.7, 3.2)),
}
CELLS = [
    pytest.param(table, column, row, id=f"{name}-{column}-{row}")
    for name, table in TABLES.items()
    for column in table.columns
    for row in range(len(table.rows))
]


def ran(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code, "<copied>", "exec"), names)
    return names


def assert_same(value: Value, told: Value) -> None:
    if value is None or told is None:
        assert value is told
    else:
        assert told == pytest.approx(value, rel=1e-11, abs=1e-300)


@pytest.mark.parametrize(("table", "column", "row"), CELLS)
def test_the_code_of_a_cell_runs_and_gives_its_number(table: Table, column: str, row: int) -> None:
    assert_same(table.columns[column].cells[row].value, ran(table.snippet(column, row))["result"])


@pytest.mark.parametrize("name", TABLES)
def test_the_code_of_a_column_gives_all_its_numbers(name: str) -> None:
    table = TABLES[name]
    for key, column in table.columns.items():
        assert len(column.cells) == len(table.rows)
        results = ran(table.snippet(key))["results"]
        assert list(results) == list(table.rows)
        for cell, told in zip(column.cells, results.values(), strict=True):
            assert_same(cell.value, told)


@pytest.mark.parametrize("t", [1, 2, 17, 500, 999, 1000])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_columns_are_one_state(schedule: str, t: int) -> None:
    """What two conventions must agree on, whatever they call it."""
    x_t, eps = -0.7, 0.9
    columns = gaussian_table(GaussianState(schedule, 1000, t, x_t, eps)).columns
    value = {key: [cell.value for cell in column.cells] for key, column in columns.items()}
    alpha_bar = value["ddpm"][1]
    sigma, gamma, std = value["edm"][1], value["vdm"][1], value["sde"][1]
    assert 1 / (1 + sigma**2) == pytest.approx(alpha_bar, rel=1e-9)
    assert 1 / (1 + math.exp(gamma)) == pytest.approx(alpha_bar, rel=1e-9)
    assert 1 - std**2 == pytest.approx(alpha_bar, rel=1e-6, abs=1e-12)
    assert math.exp(-gamma) == pytest.approx(float(SCHEDULES[schedule](1000).snr[t]), rel=1e-9)
    # One picture, two scales; one prediction in four forms.
    x0 = (x_t - std * eps) / math.sqrt(alpha_bar)
    assert value["edm"][2] - sigma * eps == pytest.approx(x0, rel=1e-6, abs=1e-9)
    weights = c.edm_preconditioning(sigma)
    denoised = weights.c_skip * value["edm"][2] + weights.c_out * value["edm"][4]
    assert denoised == pytest.approx(x0, rel=1e-6, abs=1e-6)
    assert -std * value["sde"][4] == pytest.approx(eps, rel=1e-9)
    a, noise = (torch.tensor([v], dtype=torch.float64) for v in (math.sqrt(alpha_bar), std))
    v = PARAMETERIZATIONS["v"].recover(
        torch.tensor([value["diffusers"][4]]).double(), torch.tensor([x_t]).double(), a, noise
    )
    assert float(v.eps) == pytest.approx(eps, rel=1e-6)
    if t > 1:
        assert value["vdm"][5] == pytest.approx(value["ddpm"][5], rel=1e-7)
        assert value["vdm"][6] == pytest.approx(value["ddpm"][6], rel=1e-7)
        before = float(SCHEDULES[schedule](1000).alpha_bar[t - 1])
        assert value["edm"][6] * before == pytest.approx(value["ddpm"][6], rel=1e-7)


def test_the_first_step_has_no_step_before_it_in_vdm_and_a_floor_in_diffusers() -> None:
    columns = TABLES["gaussian, first step"].columns
    assert columns["ddpm"].cells[6].value == 0
    assert columns["diffusers"].cells[6].value == 1e-20
    assert columns["vdm"].cells[0].value == 0
    assert columns["vdm"].cells[5].value is None
    assert columns["vdm"].cells[6].value is None


def test_improved_diffusions_tables() -> None:
    stored = json.loads((REFERENCE / "gaussian_schedules.json").read_text())["schedules"]
    theirs = next(s for s in stored if s["name"] == "linear_T100")
    for index in (0, 1, 57, 99):
        cells = gaussian_table(GaussianState("linear", 100, index + 1, 0.1, 0.2)).columns
        told = [cell.value for cell in cells["improved"].cells]
        assert told[0] == index
        assert told[1] == pytest.approx(theirs["alphas_cumprod"][index], rel=1e-9)
        assert told[3] == pytest.approx(index * 10)
        assert told[5] == pytest.approx(theirs["betas"][index], rel=1e-9)
        assert told[6] == pytest.approx(theirs["posterior_variance"][index], rel=1e-9)


def test_diffusers_tables_and_velocity() -> None:
    stored = json.loads((REFERENCE / "diffusers_schedulers.json").read_text())
    at = stored["schedules_at_index"][0]
    for place, index in enumerate(at["index"]):
        cells = gaussian_table(GaussianState("linear", 1000, index + 1, 0.1, 0.2)).columns
        told = [cell.value for cell in cells["diffusers"].cells]
        assert told[1] == pytest.approx(at["alphas_cumprod"][place], rel=1e-9)
        assert told[5] == pytest.approx(at["betas"][place], rel=1e-9)
    forward = stored["forward"]
    schedule = SCHEDULES["linear"](1000)
    for place, index in enumerate(forward["t"]):
        x_t, eps, v = (
            torch.tensor(forward[key][place]).double().flatten().tolist()
            for key in ("add_noise", "noise", "get_velocity")
        )
        alpha_bar = float(schedule.alpha_bar[index + 1])
        for one in zip(x_t, eps, v, strict=True):
            assert c.velocity(one[0], one[1], alpha_bar) == pytest.approx(one[2], rel=2e-5)


def test_edms_preconditioning() -> None:
    theirs = json.loads((REFERENCE / "edm_samplers.json").read_text())["preconditioning"]
    for place, sigma in enumerate(theirs["sigma"]):
        ours = c.edm_preconditioning(sigma, theirs["sigma_data"])._asdict()
        for name, value in ours.items():
            assert value == pytest.approx(theirs[name][place], rel=1e-9)


def test_vdms_gamma() -> None:
    """Their fixed schedule runs from -13.3 to 5 in their time."""
    case = json.loads((REFERENCE / "vdm.json").read_text())["cases"][0]
    for u, gamma in zip(case["gamma_grid"]["t"], case["gamma_grid"]["gamma"], strict=True):
        t = round(1 + 10 * u)
        cells = gaussian_table(GaussianState("log_snr_linear", 11, t, 0.0, 0.0)).columns["vdm"]
        assert cells.cells[0].value == pytest.approx(u)
        # A long step is cut off at beta = 0.999, so the last gammas are not all reached.
        if gamma < -5:
            assert cells.cells[1].value == pytest.approx(gamma, rel=1e-6)


# --- categories -----------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [1, 2, 50, 99, 100])
def test_all_transitions_by_brute_force(t: int) -> None:
    process = discrete_process()
    steps = [process.q_step_matrix(k) for k in range(1, t + 1)]
    bar = torch.linalg.multi_dot([torch.eye(4).double(), *steps])
    before = torch.linalg.multi_dot([torch.eye(4).double(), *steps[:-1], torch.eye(4).double()])
    for i in range(4):
        for j in range(4):
            columns = discrete_table(DiscreteState(t, i, j)).columns
            value = {key: [cell.value for cell in col.cells] for key, col in columns.items()}
            total = float((before[i] * steps[-1][:, j]).sum())
            posterior = float(before[i, i] * steps[-1][i, j]) / total if total > 0 else 0.0
            for key in ("here", "images", "text"):
                assert value[key][3] == pytest.approx(float(steps[-1][i, j]), rel=1e-9)
                assert value[key][4] == pytest.approx(float(bar[i, j]), rel=1e-7, abs=1e-15)
                assert value[key][5] == pytest.approx(posterior, rel=1e-7, abs=1e-15)
            for row in (3, 4, 5):
                expected = max(value["here"][row], 1e-30)
                assert value["vq"][row] == pytest.approx(math.log(expected), rel=1e-9, abs=1e-9)


def test_states_and_where_the_mask_is_in_each_code() -> None:
    """D3PM's pictures have no state of its own for it; VQ-Diffusion's code counts it."""
    columns = discrete_table(DiscreteState(50, 0, 3)).columns
    row = {name: k for k, name in enumerate(discrete_table(DiscreteState(50, 0, 3)).rows)}
    states, mask = row["States K"], row["Index of [MASK]"]
    for key, column in columns.items():
        assert column.cells[states].value == 4, key
        assert column.cells[mask].value == (2 if key == "images" else 3), key
    assert "without" not in columns["vq"].cells[states].symbol
    assert "none added" in columns["images"].cells[states].symbol


@pytest.mark.parametrize(("i", "j", "there"), [(0, 3, "0, 2"), (2, 1, "3, 1"), (3, 3, "2, 2")])
def test_an_index_in_d3pms_code_for_pictures_has_its_mask_in_the_middle(
    i: int, j: int, there: str
) -> None:
    cells = discrete_table(DiscreteState(50, i, j)).columns["images"].cells
    assert str(cells[2].value) == "2"
    assert cells[3].symbol == f"q_onestep_mats[49][{there}]"
    assert cells[4].symbol == f"q_mats[49][{there}]"
    first, second = there.split(", ")
    assert cells[5].symbol == f"q({first} | xₜ = {second}, x₀ = {first})"


def test_vq_diffusions_own_tables() -> None:
    """Their numbers of real states leave [MASK] out; their 0 is our 1."""
    stored = json.loads((REFERENCE / "vq_diffusion.json").read_text())
    tables = next(case for case in stored["alpha_schedule"]["cases"] if case["T"] == DISCRETE_T)
    process = discrete_process()
    for t in (1, 2, 60, 100):
        stay, become, mask = c.vq_step(process, t)
        assert stay == pytest.approx(tables["at"][t - 1], rel=1e-9)
        assert mask == pytest.approx(tables["ct"][t - 1], rel=1e-9)
        assert stay + 3 * become + mask == pytest.approx(1, abs=1e-14)


def test_the_two_orders_differ_where_there_is_a_mask() -> None:
    step = discrete_process().q_step_matrix(50)
    assert float((step - step.T).abs().max()) > 0.01
    assert float((step - step.T)[:3, :3].abs().max()) == 0


# --- guidance -------------------------------------------------------------------------------------


@pytest.mark.parametrize("w", [-1.0, 0.0, 0.5, 6.5])
def test_every_scale_is_what_guided_does(w: float) -> None:
    with_class, without = 0.7, 0.2

    def denoiser(x_t: torch.Tensor, t: torch.Tensor, label: torch.Tensor | None = None) -> Any:
        eps = torch.full_like(x_t, without if label is None else with_class)
        return Prediction(x0=x_t - eps, eps=eps)

    known: Denoiser = denoiser
    columns = guidance_table(GuidanceState(w, with_class, without)).columns
    scale = columns["glide"].cells[0].value
    assert isinstance(scale, float)
    x, t, label = torch.zeros(1, 1).double(), torch.tensor([1]), torch.tensor([3])
    eps = float(guided(known, scale)(x, t, label).eps)
    for column in columns.values():
        number, with_it, without_it, mixed, none, forgotten = (cell.value for cell in column.cells)
        assert mixed == pytest.approx(eps, abs=1e-12)
        assert with_it + without_it == pytest.approx(1)
        assert (number == none) == (w == 0)
        assert (number == forgotten) == (w == -1)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianState("linear", 10, 0, 0.0, 0.0),
        lambda: GaussianState("linear", 10, 11, 0.0, 0.0),
        lambda: GaussianState("linear", 1, 1, 0.0, 0.0),
        lambda: GaussianState("linear", 10, 1, math.nan, 0.0),
        lambda: DiscreteState(0, 0, 0),
        lambda: DiscreteState(1, 4, 0),
        lambda: DiscreteState(1, 0, -1),
        lambda: GuidanceState(math.inf, 0.0, 0.0),
    ],
)
def test_states_that_do_not_exist(make: Any) -> None:
    with pytest.raises(ValueError, match=r"must|no such"):
        make()


def test_no_signal_is_an_infinite_noise_level() -> None:
    assert c.edm_sigma(0.0) == c.vdm_gamma(0.0) == math.inf


def test_three_numbers_need_a_closed_form() -> None:
    from diffusion_core.discrete import gaussian

    with pytest.raises(ValueError, match="closed-form"):
        c.vq_step(gaussian(4, [0.1, 0.2]), 1)


@pytest.mark.parametrize("t", [1, 2])
def test_three_numbers_without_a_mask_are_the_matrixs(t: int) -> None:
    from diffusion_core.discrete import uniform

    process = uniform(4, [0.4, 0.2])
    stay, become, mask = c.vq_step(process, t)
    step = process.q_step_matrix(t)
    assert become == pytest.approx(float(step[0, 1]), rel=1e-12)
    assert stay + become == pytest.approx(float(step[0, 0]), rel=1e-12)
    assert mask == 0


@pytest.mark.parametrize("t", [-1, 0, DISCRETE_T + 1])
def test_three_numbers_need_a_step(t: int) -> None:
    with pytest.raises(ValueError, match="must lie in 1"):
        c.vq_step(discrete_process(), t)


def test_a_posterior_of_the_table_is_q_posteriors() -> None:
    state = GaussianState("cosine", 100, 40, 0.3, 0.1)
    x = torch.tensor([0.3], dtype=torch.float64)
    t = torch.tensor([40])
    theirs = GaussianDiffusion(SCHEDULES["cosine"](100)).q_posterior(x, x, t, t - 1).var
    assert gaussian_table(state).columns["ddpm"].cells[6].value == pytest.approx(float(theirs))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("t", [1, 2, 300, 1000])
def test_all_noise_so_far_is_that_of_the_doses(schedule: str, t: int) -> None:
    """Dose by dose, each faded by those after it; EDM never fades, and divides by the signal."""
    beta = SCHEDULES[schedule](1000).beta.tolist()
    noise, kept = 0.0, 1.0
    for dose in beta[1 : t + 1]:
        noise, kept = (1 - dose) * noise + dose, (1 - dose) * kept
    table = gaussian_table(GaussianState(schedule, 1000, t, -0.4, 0.6))
    row = table.rows.index("All noise so far")
    for key, column in table.columns.items():
        expected = noise / kept if key == "edm" else noise
        assert column.cells[row].value == pytest.approx(expected, rel=1e-6), key


@pytest.mark.parametrize("T", [2, 10, 1000])
def test_two_codings_of_the_cosine_are_one(T: int) -> None:
    """And with only one of its two lines changed it is another schedule."""
    paper, other = SCHEDULES["cosine"](T).alpha_bar, cosine_on_more_points(T).alpha_bar
    torch.testing.assert_close(other, paper, rtol=1e-9, atol=1e-15)
    u = torch.linspace(0, T, T + 1, dtype=torch.float64) / (T + 1)
    curve = ((u + 0.008) / 1.008 * math.pi / 2).cos().square()
    assert float(curve[-1] / curve[0]) > 100 * float(paper[-1])
