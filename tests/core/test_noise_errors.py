"""Average errors of a denoiser, against brute force."""

import pytest
import torch

from diffusion_core.denoisers import ideal_denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.noise_errors import brightness_error, last_dose, noise_errors
from diffusion_core.parameterization import EPS, X0, Parameterization, Prediction, V
from diffusion_core.schedules import SCHEDULES

DIFFUSION = GaussianDiffusion(SCHEDULES["cosine"](40))
DATA = torch.tensor([-1.0, -0.2, 0.7, 1.0], dtype=torch.float64)


def drawn(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x0 = DATA[torch.randint(len(DATA), (n,), generator=generator)]
    return x0[:, None], torch.randn(n, 1, generator=generator, dtype=torch.float64)


def test_the_best_guess_is_smaller_than_the_noise_by_its_own_error() -> None:
    x0, eps = drawn(200_000)
    best = ideal_denoiser(DIFFUSION, DATA[:, None])
    for told in noise_errors(DIFFUSION, best, x0, eps, (2, 10, 20, 30)):
        assert told.named == pytest.approx(told.explained, abs=0.01)
        assert 0.1 < told.named < 0.99
        assert abs(told.bias) < 0.01


def test_a_guess_that_is_too_loud_names_more_than_it_explains() -> None:
    x0, eps = drawn(20_000)
    best = ideal_denoiser(DIFFUSION, DATA[:, None])

    def loud(x_t: torch.Tensor, t: torch.Tensor, label: object = None) -> Prediction:
        return EPS.recover(1.5 * best(x_t, t).eps, x_t, *DIFFUSION.rates(t, x_t))

    (told,) = noise_errors(DIFFUSION, loud, x0, eps, [20])
    assert told.named > told.explained + 0.3


@pytest.mark.parametrize("t", [1, 12, 39])
@pytest.mark.parametrize("target", [EPS, X0, V])
def test_a_bias_of_the_answer_shifts_the_brightness(target: Parameterization, t: int) -> None:
    x0, eps = drawn(100)

    def biased(x_t: torch.Tensor, at: torch.Tensor, label: object = None) -> Prediction:
        rates = DIFFUSION.rates(at, x_t)
        return target.recover(target.target(x0, eps, *rates) + 0.002, x_t, *rates)

    (told,) = noise_errors(DIFFUSION, biased, x0, eps, [t])
    a, sigma = rates = DIFFUSION.rates(torch.tensor([t]), x0[:1])
    assert told.brightness == pytest.approx(
        float(brightness_error(torch.tensor(0.002, dtype=torch.float64), *rates, target)), rel=1e-6
    )
    times = {EPS: -sigma / a, X0: torch.ones(1), V: -sigma}[target]
    assert told.brightness == pytest.approx(0.002 * float(times), rel=1e-6)
    assert target is not EPS or told.bias == pytest.approx(0.002)


def test_the_spread_is_how_far_such_an_average_lies_from_the_truth() -> None:
    """Of 300 averages of 40 pictures each, about 95 in 100 lie within two of their spreads."""
    best, found = ideal_denoiser(DIFFUSION, DATA[:, None]), []
    for x0, eps in zip(*(each.split(40) for each in drawn(12_000)), strict=True):
        (told,) = noise_errors(DIFFUSION, best, x0, eps, [25])
        found.append(abs(told.brightness) < 2 * told.spread)
    assert 0.91 < sum(found) / len(found) < 0.98


@pytest.mark.parametrize("t", [1, 3, 15, 38])
def test_the_last_dose_is_guessed_as_well_as_it_can_be(t: int) -> None:
    """What the guess leaves of z_t has nothing to do with x_t, in a chain run dose by dose."""
    generator = torch.Generator().manual_seed(t)
    n = 400_000
    x = x0 = DATA[torch.randint(len(DATA), (n,), generator=generator)]
    for step in range(1, t + 1):
        beta = DIFFUSION.schedule.beta[step]
        z = torch.randn(n, generator=generator, dtype=torch.float64)
        x = (1 - beta).sqrt() * x + beta.sqrt() * z
    at = torch.full((n,), t)
    best = ideal_denoiser(DIFFUSION, DATA[:, None])
    guess = last_dose(DIFFUSION, best(x[:, None], at).eps, at)[:, 0]
    for feature in (torch.ones_like(x), x, x.square(), x.sin(), (x > 0.5).double()):
        assert float(((z - guess) * feature).mean()) == pytest.approx(0, abs=0.008)
    if t == 1:
        known = (x - DIFFUSION.rates(at[:1], x0[:1])[0] * x0) / beta.sqrt()
        assert torch.allclose(known, z)
        assert torch.equal(guess, best(x[:, None], at).eps[:, 0])
    else:
        assert float(guess.square().mean()) > 0.002  # or everything above held for a guess of 0
