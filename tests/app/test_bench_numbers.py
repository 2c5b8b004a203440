"""Numbers that the page on reverse sampling says of its opening run, measured again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diffusion_core.datasets import to_uint8, to_unit
from diffusion_core.samplers import sample
from diffusion_core.step_table import euler_step
from pages.shared import bench, bench_lessons, load
from pages.shared.bench import Rule
from tests.app.test_pages import open_page

RULES = {
    "ddim": Rule(),
    "ddpm": Rule(eta=1.0),
    "dpmpp_2m": Rule(sampler="dpmpp_2m"),
    "heun": Rule(sampler="heun"),
}


def drawn(rule: Rule, digit: str = "each", seed: int = bench.SEED) -> Tensor:
    """The pictures [16, 1, 28, 28] of a run of the page's network."""
    denoiser, _ = load.network("digits-eps")
    start = bench.Start(digit, 50, seed)
    x_T = torch.randn(start.count, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
    fresh = torch.Generator().manual_seed(rule.fresh_seed(seed))
    *_, last = sample(
        denoiser.diffusion, denoiser, x_T, bench.stops(denoiser, 50)[:-1], label=start.label,
        generator=fresh, **rule.options,
    )  # fmt: skip
    return last.x_t


def sure(pictures: Tensor) -> Tensor:
    """What the classifier gives each class, [16, 10]."""
    judge = load.classifier()
    with torch.inference_mode():
        return judge.head(judge.features(to_unit(to_uint8(pictures)))).softmax(1)


def rms(gap: Tensor) -> float:
    return float(gap.square().mean().sqrt())


@pytest.fixture(scope="module")
def runs() -> dict[str, Tensor]:
    return {name: drawn(rule) for name, rule in RULES.items()}


@pytest.mark.parametrize("name", RULES)
def test_every_digit_of_the_opening_run_can_be_read(runs: dict[str, Tensor], name: str) -> None:
    asked = torch.arange(bench.COUNT) % 10
    assert sure(runs[name])[torch.arange(bench.COUNT), asked].min() > 0.99


def test_how_far_one_sampler_ends_from_another(runs: dict[str, Tensor]) -> None:
    for name, apart in bench_lessons.APART.items():
        assert rms(runs[name] - runs["ddim"]) == pytest.approx(apart, abs=0.006)
    other = drawn(RULES["ddim"], seed=bench.SEED + 1)
    assert rms(other - runs["ddim"]) == pytest.approx(bench_lessons.OTHER, abs=0.006)


def test_what_lies_between_ddpm_and_euler() -> None:
    """ "The fresh noise, and the share of ε̂ that makes room for it": both, and alike large."""
    denoiser, _ = load.network("digits-eps")
    times = bench.stops(denoiser, 10)
    x_T = torch.randn(16, 1, 28, 28, generator=torch.Generator().manual_seed(bench.SEED))
    step = next(iter(sample(
        denoiser.diffusion, denoiser, x_T, times[:-1], label=torch.arange(16) % 10,
        generator=torch.Generator().manual_seed(0), **RULES["ddpm"].options,
    )))  # fmt: skip
    assert step.posterior is not None
    assert step.prediction is not None
    euler = euler_step(denoiser.diffusion, x_T, step.prediction.eps, times[0], times[1])
    mean = rms(step.posterior.mean - euler)
    fresh = float(step.posterior.var.flatten()[0]) ** 0.5
    assert mean > 0.5 * fresh
    assert fresh > 0.5 * mean
    ((_, look),) = [
        shown for shown in open_page("reverse_sampling", steps="2")
        .session_state["_settings_offered"].values() if "off Euler" in shown[1]
    ]  # fmt: skip
    assert "for DDPM the fresh noise, and the share of ε̂ that makes room for it" in look


def test_next_to_the_end_it_is_the_signal_that_changes() -> None:
    schedule = load.network("digits-eps")[0].diffusion.schedule
    signal, noise = schedule.alpha_bar.sqrt(), (1 - schedule.alpha_bar).sqrt()
    assert schedule.T == 1000
    assert signal[999] > 30 * signal[1000]
    assert signal[499] < 1.01 * signal[500]  # "at the other steps the slip is too small"
    assert noise[1000] < 1.00001 * noise[999]
    said = " ".join(m.value for m in open_page("reverse_sampling", steps="2").markdown)
    assert "next to t = 1000 the signal falls fast from step to step" in said


def test_of_how_many_digits_the_classifier_is_unsure_when_no_class_was_named() -> None:
    unsure = int((sure(drawn(RULES["ddim"], "any")).amax(1) < 0.9).sum())
    assert unsure == bench_lessons.UNSURE
