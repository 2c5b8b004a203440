"""Denoising score matching: its loss in two parts, and a network that learns."""

from __future__ import annotations

import pytest
import torch

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.mixtures import PLANE_DATA, mixture_denoiser
from diffusion_core.parameterization import Prediction
from diffusion_core.schedules import SCHEDULES
from diffusion_core.score_matching import Errors, learn_score, matching_errors

DIFFUSION = GaussianDiffusion(SCHEDULES["linear"](1000))


@pytest.mark.parametrize("data", PLANE_DATA)
def test_the_loss_is_what_is_to_be_learnt_and_what_cannot_be(data: str) -> None:
    """For any answer at all: here the exact one, bent."""
    mixture, n = PLANE_DATA[data](), 200_000
    generator = torch.Generator().manual_seed(0)
    x0, eps = mixture.sample(n, generator), torch.randn(n, 2, generator=generator).double()
    t = torch.randint(1, 1001, (n,), generator=generator)
    best = mixture_denoiser(DIFFUSION, mixture)

    def bent(x_t: torch.Tensor, t: torch.Tensor, label: object = None) -> Prediction:
        said = best(x_t, t)
        return said._replace(eps=0.7 * said.eps + 0.2 * x_t.sin())

    told = matching_errors(DIFFUSION, bent, best, x0, t, eps)
    assert told.loss == pytest.approx(told.floor + told.score, rel=0.01)
    exact = matching_errors(DIFFUSION, best, best, x0, t, eps)
    assert exact.score == 0
    assert exact.loss == exact.floor == pytest.approx(told.floor)


def lesson(seed: int) -> tuple[list[int], list[Errors]]:
    steps, errors = [], []
    for look in learn_score(DIFFUSION, PLANE_DATA["two"](), steps=300, seed=seed):
        if look.steps % 30 == 0:
            steps.append(look.steps)
            errors.append(look.errors())
    return steps, errors


def test_a_network_learns_the_score_and_a_seed_repeats_it() -> None:
    steps, errors = lesson(0)
    assert steps == [30 * i for i in range(11)]
    assert errors[-1].score < 0.1 * errors[0].score
    floor = errors[-1].floor
    assert all(error.floor == floor for error in errors)  # the same draws at every look
    assert errors[-1].loss > floor
    assert lesson(0)[1] == errors
    assert lesson(1)[1] != errors


def test_nothing_hangs_on_the_global_randomness() -> None:
    told = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        told.append(next(learn_score(DIFFUSION, PLANE_DATA["ring"]())).errors())
    assert told[0] == told[1]
