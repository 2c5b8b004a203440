"""Numbers that the page on reverse sampling says of its opening run, measured again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diffusion_core.datasets import to_uint8, to_unit
from diffusion_core.samplers import sample
from pages.shared import bench, bench_lessons, load
from pages.shared.bench import Rule

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


def test_of_how_many_digits_the_classifier_is_unsure_when_no_class_was_named() -> None:
    unsure = int((sure(drawn(RULES["ddim"], "any")).amax(1) < 0.9).sum())
    assert unsure == bench_lessons.UNSURE
