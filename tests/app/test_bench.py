"""The bench without a page: what runs, what is counted, what is told of a step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.mistakes import wrong_index
from diffusion_core.parameterization import PARAMETERIZATIONS, Prediction
from diffusion_core.samplers import SAMPLERS, VARIANCES, Heun, Options, Step, sample
from diffusion_core.schedules import SCHEDULES, evenly_spaced
from diffusion_core.step_table import StepNumbers, euler_step, step_numbers
from pages.shared import bench, bench_tables, load
from pages.shared.bench import Rule, Start

DIFFUSION = GaussianDiffusion(SCHEDULES["cosine"](50))


class Stub(nn.Module):
    """Output depends on picture, step and class; it notes the steps it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.3))
        self.asked: list[int] = []

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        self.asked.append(int(t[0]))
        shift = 0 if label is None else label.reshape(-1, 1, 1, 1) / 10
        return self.weight * x_t + torch.sin(t / 7).reshape(-1, 1, 1, 1).to(x_t) * 0.1 + shift


def stub(name: str = "eps", diffusion: GaussianDiffusion = DIFFUSION) -> NetworkDenoiser:
    return NetworkDenoiser(Stub(), diffusion, PARAMETERIZATIONS[name])


def shots(*rules: Rule, start: Start | None = None) -> list[list[bench.Shot]]:
    return list(bench.run(stub(), start or Start("each", 5, 0, 4), rules))


def test_a_rule_tells_the_sampler_only_what_differs() -> None:
    assert Rule().options == {"sampler": "ddim", "eta": 0.0}
    assert Rule(0.3, sampler="ddpm").options == {"sampler": "ddpm"}
    assert Rule(0.3, "beta", 0.5, sampler="heun").options == {"sampler": "heun"}
    assert Rule(1.0, "beta", 0.5, True, False, 0, "ddim", False).options == {
        "sampler": "ddim", "eta": 1.0, "variance": "beta", "noise_scale": 0.5,
        "noise_at_end": True, "clip_x0": False, "rederive_eps": False,
    }  # fmt: skip


def test_every_sampler_and_every_mistake_has_a_name_of_its_own() -> None:
    rules = [Rule(sampler=name) for name in SAMPLERS]
    rules += [Rule(1.0, variance) for variance in VARIANCES if variance != "posterior"]
    rules += [Rule(0.5), Rule(1.0, noise_scale=0.0), Rule(noise_at_end=True), Rule(clip=False)]
    rules += [Rule(fresh=1), Rule(rederive=False), Rule(early=True)]
    assert len({rule.name for rule in rules}) == len(rules)
    assert Rule(1.0).name == Rule(sampler="ddpm").name == "DDPM"  # one rule, two ways to it


@pytest.mark.parametrize(
    "other",
    [
        Rule(1.0), Rule(noise_at_end=True), Rule(clip=False), Rule(rederive=False),
        Rule(early=True), Rule(sampler="heun"), Rule(sampler="dpmpp_2m"),
    ],
    ids=lambda rule: rule.name,
)  # fmt: skip
def test_two_runs_start_alike_and_each_switch_changes_the_second(other: Rule) -> None:
    run = shots(Rule(), other)
    assert np.array_equal(run[0][0].x_t, run[0][1].x_t)
    one, two = run[-1][0].numbers, run[-1][1].numbers
    assert one != two


def test_ddpm_is_ddim_at_eta_1_in_every_pixel() -> None:
    for one, other in shots(Rule(1.0), Rule(0.2, sampler="ddpm")):
        assert np.array_equal(one.x_t, other.x_t)


def test_each_row_is_run_by_its_own_network() -> None:
    other = stub("v")
    rules = [Rule(), Rule(network="other")]
    for first, second in bench.run(stub(), Start("any", 3, 0, 4), rules, {"other": other}):
        if first.numbers.t not in (50, 0):
            assert not np.array_equal(first.x_t, second.x_t)


def test_the_mean_and_the_fresh_noise_are_shown_for_one_run_only() -> None:
    run = shots(Rule(1.0))
    plain, more = (bench.draw(run, 0, [50, 40, 30, 20, 10, 0], ["a"], m) for m in (False, True))
    assert [p.row for p in plain.panels] == [0, 0, 0]
    assert [p.row for p in more.panels] == [0, 0, 0, 1, 1]
    assert more.panels[4].frames[0].std() > 30  # noise
    assert more.panels[4].frames[-1].std() < more.panels[4].frames[0].std()  # none at t = 0
    two = bench.draw(shots(Rule(), Rule()), 0, [50, 40, 30, 20, 10, 0], ["a", "b"], True)
    assert {p.row for p in two.panels} == {0, 1}
    assert len(two.panels) == 4


@pytest.mark.parametrize("name", ["eps", "x0", "v"])
def test_the_wrong_index_asks_one_step_early_and_reads_the_answer_here(name: str) -> None:
    right, x_t = stub(name), torch.randn(2, 1, 28, 28)
    wrong = wrong_index(right)
    t = torch.tensor([7, 7])
    prediction = wrong(x_t, t)
    assert right.module.asked == [6]
    output = right.module(x_t, t - 1)
    a, sigma = DIFFUSION.rates(t, x_t)
    assert torch.equal(prediction.x0, right.parameterization.recover(output, x_t, a, sigma).x0)


def test_the_wrong_index_harms_at_the_first_call_alone() -> None:
    """As the page says where it shows five steps, one of them asked for at t - 1."""
    right = load.network("digits-eps")[0]
    wrong, T = wrong_index(right), right.diffusion.T
    label, times = torch.arange(9), bench.stops(right, 5)[:-1]
    x_T = torch.randn(9, 1, 28, 28, generator=torch.Generator().manual_seed(0))

    def end(mistaken: Callable[[int], bool]) -> Tensor:
        def ask(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
            return (wrong if mistaken(int(t[0])) else right)(x_t, t, label)

        walk = sample(
            right.diffusion, ask, x_T, times, label=label, generator=torch.Generator(),
            sampler="ddim", eta=0.0,
        )  # fmt: skip
        return list(walk)[-1].x_t

    sure = end(lambda t: False)
    every, first, others = (
        float((end(mistaken) - sure).square().mean().sqrt())
        for mistaken in (lambda t: True, lambda t: t == T, lambda t: t != T)
    )
    assert first > 0.9 * every
    assert others < 0.1 * every


def walk(sampler: str, **options: object) -> list[Step]:
    """A run in float64."""

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        a, sigma = DIFFUSION.rates(t, x_t)
        x0 = torch.tanh(x_t * 1.3) * 1.2
        return Prediction(x0, (x_t - a * x0) / sigma)

    generator = torch.Generator().manual_seed(0)
    x_T = torch.randn(3, 1, 4, 4, generator=generator, dtype=torch.float64)
    times = evenly_spaced(40, 8)
    return [*sample(DIFFUSION, denoiser, x_T, times, sampler=sampler, generator=generator,
                    **options)]  # fmt: skip


def numbers(steps: list[Step]) -> list[StepNumbers]:
    pairs = itertools.pairwise([*(step.t for step in steps), None])
    return [step_numbers(DIFFUSION, s, to) for s, (_, to) in zip(steps, pairs, strict=True)]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_numbers_of_a_step_are_those_of_its_tensors(sampler: str) -> None:
    steps = walk(sampler)
    for step, after, told in zip(steps, steps[1:], numbers(steps), strict=False):
        assert told.t == step.t
        assert told.mean == pytest.approx(step.x_t.numpy().mean())
        assert told.std == pytest.approx(step.x_t.numpy().std(ddof=1))
        assert (told.lowest, told.highest) == (step.x_t.min(), step.x_t.max())
        raw = step.raw.x0.numpy()
        assert told.outside == pytest.approx(np.mean(np.abs(raw) > 1))
        assert (told.x0_lowest, told.x0_highest) == (raw.min(), raw.max())
        moved = (after.x_t - step.posterior.mean).flatten(1).norm(dim=1).mean()
        assert told.noise_norm == pytest.approx(float(moved), abs=1e-12)
        assert told.mean_rms == pytest.approx(float((step.posterior.mean**2).mean() ** 0.5))
        assert told.variance == pytest.approx(float(step.posterior.var.mean()))
        euler = euler_step(DIFFUSION, step.x_t, step.prediction.eps, step.t, after.t)
        assert told.off_euler == pytest.approx(float(((after.x_t - euler) ** 2).mean() ** 0.5))
    assert any(told.outside for told in numbers(steps)[:-1])


@pytest.mark.parametrize("clip", [True, False])
def test_ddim_without_noise_is_eulers_method_and_nothing_else_is(clip: bool) -> None:
    def farthest(sampler: str, **options: object) -> float:
        found = bench_tables.farthest_from_euler(numbers(walk(sampler, clip_x0=clip, **options)))
        assert found is not None
        return found

    assert farthest("ddim") < 1e-12
    assert farthest("ddim", eta=0.1) > 1e-3
    assert all(farthest(name) > 1e-3 for name in SAMPLERS if name != "ddim")


@pytest.mark.parametrize(
    "rule",
    [Rule(), Rule(clip=False), Rule(clip=False, rederive=False), Rule(early=True),
     Rule(rederive=False), Rule(noise_at_end=True), Rule(0.5), Rule(1.0),
     *(Rule(sampler=name) for name in SAMPLERS)],
    ids=lambda rule: f"{rule.name} {rule.clip} {rule.rederive} {rule.sampler}",
)  # fmt: skip
def test_a_rule_knows_whether_it_is_eulers(rule: Rule) -> None:
    found = bench_tables.farthest_from_euler([shot[0].numbers for shot in shots(rule)])
    assert found is not None
    assert (found < 1e-3) == rule.is_euler


def test_only_a_wild_first_guess_gets_a_word() -> None:
    times = [50, 40, 30, 20, 10, 0]
    tame = [[shot[0]._replace(largest=1.5)] for shot in shots(Rule())]
    wild = [[shot[0]._replace(largest=1e3)] for shot in shots(Rule())]
    assert bench.draw(tame, 0, times, ["a"]).notes[0] == ""
    assert bench.draw(wild, 0, times, ["a"]).notes == [bench.FIRST, "", "", "", "", bench.LAST]


def test_with_eps_kept_the_step_jumps_by_what_was_clipped_away() -> None:
    steps = walk("ddim", rederive_eps=False)
    for step, after, told in zip(steps, steps[1:], numbers(steps), strict=False):
        a_s = float(DIFFUSION.schedule.alpha_bar[after.t]) ** 0.5
        clipped_away = (step.raw.x0 - step.raw.x0.clamp(-1, 1)).square().mean().sqrt()
        assert told.off_euler == pytest.approx(a_s * float(clipped_away), abs=1e-12)


def test_heun_does_not_average_slopes_over_a_step_from_next_to_no_signal() -> None:
    """An error of 0.1 in eps at the far end must not be blown up by the length of the step."""
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](1000))

    def look(x_t: Tensor, t: Tensor) -> Prediction:
        a, sigma = diffusion.rates(t, x_t)
        eps = x_t + 0.1 * (t < 1000).reshape(-1, 1)
        return Prediction((x_t - sigma * eps) / a, eps)

    x_T = torch.ones(1, 1, dtype=torch.float64)
    t, s = torch.tensor([1000]), torch.tensor([900])
    for sampler, worst in ((Heun(), 2.0), (Heun(farthest=math.inf), math.inf)):
        rule = sampler.start(Options(diffusion, 0.0, "posterior"), look)
        mean = rule(x_T, look(x_T, t), t, s).mean
        assert float(mean.abs()) < worst
    assert float(mean.abs()) > 10  # what the last one, without the limit, makes of it


def test_figures_are_short_and_never_nan() -> None:
    assert bench_tables.figure(None) == "–"
    assert bench_tables.figure(-0.01234) == "−0.0123"
    assert bench_tables.figure(0.0) == bench_tables.figure(-0.0) == "0"
    assert bench_tables.figure(-3645.2) == "−3,645"
    rows = numbers(walk("ddpm"))
    for html in (bench_tables.all_steps(rows, "<b>"), bench_tables.one_step([rows[-1]], ["<b>"])):
        assert "nan" not in html
        assert "None" not in html
        assert "<b>" not in html
    assert bench_tables.all_steps(rows, "a").count("<tr>") == len(rows) + 1
    assert bench_tables.farthest_from_euler([rows[-1]]) is None


def test_at_the_end_stand_the_numbers_of_the_last_call() -> None:
    run = shots(Rule(), Rule(eta=1.0))
    for row in range(2):
        assert run[-1][row].numbers.t == 0
        assert run[-1][row].change == run[-2][row].change > 0
        assert run[-1][row].largest == run[-2][row].largest > 0
    times = bench.stops(stub(), 5)
    told = bench.draw(run, 0, times, ["a", "b"], last=bench.last_words(run[0], 5))
    assert "their numbers" in told.notes[-1]


@pytest.mark.parametrize("at_once", [6, 1])
def test_the_curves_begin_after_the_first_look_however_they_come(at_once: int) -> None:
    run, times = shots(Rule()), bench.stops(stub(), 5)
    parts = [bench.draw(run[i : i + at_once], i, times, ["a"]) for i in range(0, 6, at_once)]
    change, largest = (np.concatenate([p.curves[k].values for p in parts]) for k in (0, 1))
    assert np.isfinite(change).tolist() == [False, False, True, True, True, True]
    assert np.isfinite(largest).tolist() == [False, True, True, True, True, True]
    two = bench.draw(shots(Rule(), start=Start("each", 2, 0, 4)), 0, [50, 25, 0], ["a"])
    shown = np.isfinite([curve.values for curve in two.curves]).tolist()
    assert shown == [[False] * 3, [False, True, True]]


def test_two_runs_tell_how_far_they_are_apart() -> None:
    times, begin = bench.stops(stub(), 5), Start("each", 5, 0, 4)
    same = shots(Rule(), Rule(fresh=1), start=begin)  # at η = 0 no fresh noise is drawn
    other = shots(Rule(), Rule(eta=1.0), start=begin)
    zero, far = (
        next(c for c in bench.draw(run, 0, times, ["a", "b"]).curves if c.label == "rms")
        for run in (same, other)
    )
    assert (zero.values == 0).all()
    assert far.values[0] == 0  # one noise to start from
    ends = [np.delete(np.delete(shot.x_t, 28, 0), 28, 1).astype(float) for shot in other[-1]]
    assert far.values[-1] == pytest.approx(np.sqrt(np.square(ends[0] - ends[1]).mean()) / 127.5)
    assert far.values[-1] > 0
    assert Rule(fresh=1).name == "DDIM, fresh-noise seed 1"


@pytest.mark.parametrize(
    ("steps", "largest", "static"),
    [(1, 1e3, True), (2, 1e3, True), (5, 1e3, False), (1, 1.2, False)],
)
def test_static_of_few_steps_gets_a_sentence(steps: int, largest: float, static: bool) -> None:
    first = [shot._replace(largest=largest) for shot in shots(Rule())[0]]
    assert (bench.STATIC in bench.last_words(first, steps)) == static


def test_one_step_is_one() -> None:
    run = shots(Rule(), start=Start("each", 1, 0, 4))
    assert bench.draw(run, 0, [50, 0], ["a"]).captions[-1] == "t = 0 · done in 1 step"
    assert bench.spoken_steps([9, 4, 0], 1, 2) == ["t = 4 · step 1 of 2", "t = 0 · done in 2 steps"]


def test_a_sheet_of_pictures_is_the_sheet_of_their_bytes() -> None:
    x = torch.linspace(-1.5, 1.5, 4 * 28 * 28).reshape(4, 1, 28, 28)
    cells = bench.sheet_of(x)
    assert cells.shape == (57, 57)
    assert (cells[0, 0], cells[56, 56]) == (0, 255)
    assert int(cells[29, 0]) == round((float(x[2, 0, 0, 0]) + 1) * 127.5)
