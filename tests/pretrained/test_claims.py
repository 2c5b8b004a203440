"""What the reverse-sampling page says about the shipped network, measured on it."""

import json
import math

import pytest
import torch

from diffusion_core.bits import BITS
from diffusion_core.checkpoints import PRETRAINED, load
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.ledger import read_averages
from diffusion_core.recipes import RECIPES
from diffusion_core.samplers import Step, sample
from diffusion_core.schedules import evenly_spaced

NAMES = sorted(path.parent.name for path in PRETRAINED.glob("*/card.json"))


@pytest.fixture(scope="module")
def network() -> NetworkDenoiser:
    return load("digits-eps", "cpu")[0]


def run(network: NetworkDenoiser, steps: int, digit: int | None = None, **options) -> list[Step]:
    generator = torch.Generator().manual_seed(0)
    x_T = torch.randn(9, 1, 28, 28, generator=generator)
    label = torch.arange(9) if digit is None else torch.full((9,), digit)
    times = evenly_spaced(1000, steps)
    return [
        *sample(network.diffusion, network, x_T, times, label=label, generator=generator, **options)
    ]


def test_without_fresh_noise_the_variety_collapses(network: NetworkDenoiser) -> None:
    with_noise, without = (
        run(network, 50, 7, sampler="ddpm", noise_scale=scale)[-1].x_t.var(0).mean()
        for scale in (1.0, 0.0)
    )
    assert without < with_noise / 3


def test_the_early_guess_is_a_blur_that_sharpens(network: NetworkDenoiser) -> None:
    """A sharp digit is black and white; a blurred average is gray in between."""
    gray = {
        step.t: float((step.prediction.x0.abs() < 0.8).double().mean())
        for step in run(network, 50)
        if step.prediction is not None
    }
    assert gray[900] > 1.3 * gray[500]


def test_without_clipping_the_guess_leaves_the_range_and_stays_out(
    network: NetworkDenoiser,
) -> None:
    largest = [float(s.raw.x0.abs().max()) for s in run(network, 20, clip_x0=False) if s.raw]
    assert min(largest) > 2


def test_noise_at_the_last_step_is_grain(network: NetworkDenoiser) -> None:
    """Everything before the last step is the same; then black is no longer black."""
    right, wrong = (
        run(network, 10, sampler="ddpm", noise_at_end=at_end) for at_end in (False, True)
    )
    assert torch.equal(right[-2].x_t, wrong[-2].x_t)
    grain = (wrong[-1].x_t - right[-1].x_t).std()
    expected = (1 - network.diffusion.schedule.alpha_bar[right[-2].t]).sqrt()
    assert float(grain) == pytest.approx(float(expected), rel=0.05)


def test_the_first_guess_is_wild_and_the_second_less(network: NetworkDenoiser) -> None:
    first, second = (float(s.raw.x0.abs().max()) for s in run(network, 50)[:2] if s.raw)
    assert first > 100 > second


# --- the bound on all test digits -----------------------------------------------------------------


def bits_of(name: str) -> tuple[float, float]:
    """Bits per dimension on the card, and their standard error."""
    metrics = json.loads((PRETRAINED / name / "card.json").read_text())["metrics"]
    (told,) = (m for m in metrics if m["name"] == BITS)
    assert told["samples"] == 10_000
    return told["value"], told["standard_error"]


@pytest.mark.parametrize("name", [n for n in NAMES if RECIPES[n].task == "denoise"])
def test_the_guess_from_a_few_terms_is_the_sum_of_all_on_fewer_digits(name: str) -> None:
    averages = read_averages(name)
    assert averages is not None
    whole, its_error = (averages.bits_per_dim(nats) for nats in averages.total)
    value, error = bits_of(name)
    assert abs(value - whole) < 4 * math.hypot(error, its_error)


def test_learning_the_variance_and_learning_for_the_likelihood_pay() -> None:
    plain, hybrid, likelihood = (bits_of(f"digits-{name}") for name in ("eps", "iddpm", "vdm"))
    for (worse, one), (better, other) in ((plain, hybrid), (hybrid, likelihood)):
        assert worse - better > 4 * math.hypot(one, other)
    assert likelihood[0] < 1.6
