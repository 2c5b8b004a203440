"""The numbers beside the pictures, against brute force and known values."""

import pytest
import torch

from diffusion_core.evaluation import frechet_distance, moments
from diffusion_core.forward import KEEP, SPREAD, drowned_from, forward_chain, forward_variance
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import Prediction
from diffusion_core.samplers import sample
from diffusion_core.schedules import SCHEDULES, evenly_spaced
from diffusion_core.statistics import chain_variance, normality


def test_normality_equals_brute_force() -> None:
    x = torch.tensor([-1.2, 0.3, 0.31, 2.0], dtype=torch.float64)
    grid = torch.linspace(-6, 6, 240_001, dtype=torch.float64)
    steps = (x[:, None] <= grid).double().mean(0)
    brute = (steps - torch.special.ndtr(grid)).abs().max()
    assert float(normality(x).distance) == pytest.approx(float(brute), abs=1e-4)


def test_normality_accepts_noise_and_refuses_a_shift() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 784, generator=generator, dtype=torch.float64)
    told = normality(x)
    refused = (told.distance > told.critical).double().mean()
    assert 0.035 < refused < 0.065  # the 5 % point, over two thousand sets of pure noise
    assert bool((normality(x + 0.3).distance > told.critical).all())


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("keep", KEEP)
@pytest.mark.parametrize("spread", SPREAD)
def test_chain_has_the_variance_that_the_formula_says(name: str, keep: str, spread: str) -> None:
    schedule = SCHEDULES[name](20)
    generator = torch.Generator().manual_seed(1)
    x0 = 0.7 * torch.randn(40_000, generator=generator, dtype=torch.float64)
    chain = forward_chain(schedule, x0, generator, keep=keep, spread=spread)
    expected = forward_variance(schedule, 0.49, keep=keep, spread=spread)
    torch.testing.assert_close(chain.var(1), expected, rtol=0.04, atol=1e-3)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_right_chain_is_the_closed_form(name: str) -> None:
    schedule = SCHEDULES[name](1000)
    variance = forward_variance(schedule, 0.3)
    torch.testing.assert_close(variance, 0.3 * schedule.alpha_bar + 1 - schedule.alpha_bar)
    torch.testing.assert_close(
        forward_variance(schedule, 1.0), torch.ones(1001, dtype=torch.float64)
    )


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("spread", [0.0, 0.3, 0.6, 1.0, 1e4])
def test_a_picture_drowns_where_the_noise_outgrows_it(name: str, spread: float) -> None:
    """Step by step: the variance of the picture's share, and what the doses add to it."""
    schedule = SCHEDULES[name](1000)
    share, noise, first = spread**2, 0.0, 1001
    for t, beta in enumerate(schedule.beta[1:].tolist(), start=1):
        share, noise = (1 - beta) * share, (1 - beta) * noise + beta
        if noise > share:
            first = t
            break
    assert drowned_from(schedule, spread) == first


def test_half_the_range_is_log_4_less_signal_everywhere() -> None:
    x0 = 2 * torch.rand(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    half = (x0 + 1) / 2
    gap = (x0.var() / half.var()).log()
    torch.testing.assert_close(gap, torch.tensor(4.0, dtype=torch.float64).log())


def test_the_two_mistakes_explode_and_fade() -> None:
    """What the forward page says about its switches, with the linear schedule at T = 1000."""
    schedule = SCHEDULES["linear"](1000)
    assert forward_variance(schedule, 0.4, keep="1")[-1].sqrt() > 3
    assert forward_variance(schedule, 0.4, spread="beta")[-1].sqrt() < 0.14


def test_chain_variance_matches_the_published_toy() -> None:
    """Data variance 0.5, linear schedule, T = 1000: 1e-5 without fresh noise, 0.494 with it."""
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    steps = range(1000, 0, -1)
    assert float(chain_variance(diffusion, 0.5, steps, noise_scale=0)[-1]) == pytest.approx(
        1e-5, rel=0.02
    )
    assert float(chain_variance(diffusion, 0.5, steps)[-1]) == pytest.approx(0.494, abs=5e-4)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_chain_variance_equals_simulation(eta: float) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](100))
    steps = evenly_spaced(100, 10)

    def ideal(x_t: torch.Tensor, t: torch.Tensor, label: object = None) -> Prediction:
        a, sigma = diffusion.rates(t, x_t)
        x0 = a * 0.5 / (a**2 * 0.5 + sigma**2) * x_t
        return Prediction(x0, (x_t - a * x0) / sigma)

    generator = torch.Generator().manual_seed(0)
    x_T = torch.randn(40_000, 1, generator=generator, dtype=torch.float64)
    walked = torch.stack(
        [
            s.x_t.var()
            for s in sample(
                diffusion, ideal, x_T, steps, eta=eta, clip_x0=False, generator=generator
            )
        ]
    )
    torch.testing.assert_close(
        walked, chain_variance(diffusion, 0.5, steps, eta=eta), rtol=0.03, atol=0
    )


def test_frechet_distance_of_known_gaussians() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50_000, 3, generator=generator, dtype=torch.float64)
    p = moments(x)
    assert frechet_distance(p, p) == pytest.approx(0, abs=1e-9)
    shifted = moments(x + torch.tensor([1.0, 0.0, 2.0]))
    assert frechet_distance(p, shifted) == pytest.approx(5, rel=1e-6)
    # Diagonal covariances 1 and 4: sum of (1 - 2)^2 over three dimensions.
    assert frechet_distance(p, moments(2 * x)) == pytest.approx(3, rel=0.03)
    turned = x @ torch.linalg.qr(torch.randn(3, 3, generator=generator).double())[0]
    scale = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    there = frechet_distance(moments(x * scale), moments(turned * scale))
    back = frechet_distance(moments(turned * scale), moments(x * scale))
    assert there == pytest.approx(back, rel=1e-6)
