"""Denoisers: networks read through a parameterization, and the exact posterior mean of a finite
data set.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffusion_core.denoisers import NetworkDenoiser, ideal_denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.networks import UNet
from diffusion_core.parameterization import EPS, PARAMETERIZATIONS
from diffusion_core.schedules import SCHEDULES
from diffusion_core.true_reverse import data_log_weights
from tests.core.oracles import close, posterior_mean_of_data

LENGTHS = (2, 10, 1000)


@pytest.fixture(
    params=[(name, T) for name in SCHEDULES for T in LENGTHS], ids=lambda p: f"{p[0]}-{p[1]}"
)
def diffusion(request: pytest.FixtureRequest) -> GaussianDiffusion:
    name, T = request.param
    return GaussianDiffusion(SCHEDULES[name](T))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


# --- the ideal denoiser ---------------------------------------------------------------------------


def test_ideal_denoiser_is_the_posterior_mean(diffusion: GaussianDiffusion) -> None:
    """Against a loop over the data with one density each, at clean, middle and noisy t."""
    data = normal(9, 1, 2, 2, seed=1)
    t = torch.unique(torch.tensor([1, 2, (diffusion.T + 1) // 2, diffusion.T]))
    x_t = diffusion.q_sample(data[: len(t)], t, normal(len(t), 1, 2, 2, seed=2))
    prediction = ideal_denoiser(diffusion, data)(x_t, t)
    a, sigma = (rate.flatten() for rate in diffusion.rates(t, x_t))
    for i in range(len(t)):
        expected = posterior_mean_of_data(
            data.flatten(1).numpy(), x_t[i : i + 1].flatten(1).numpy(), a[i].item(), sigma[i].item()
        )
        close(prediction.x0[i].flatten(), expected[0], rtol=1e-8)
    explained = diffusion.q_sample(prediction.x0, t, prediction.eps)
    close(explained, x_t)


@pytest.mark.parametrize("chunk", [1, 2, 4, 9, 100])
def test_chunks_do_not_change_the_answer(chunk: int) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))
    data, t = normal(9, 3, seed=1), torch.arange(1, 11)
    x_t = diffusion.q_sample(data[torch.arange(10) % 9], t, normal(10, 3, seed=2))
    whole = ideal_denoiser(diffusion, data, chunk=9)(x_t, t)
    parts = ideal_denoiser(diffusion, data, chunk=chunk)(x_t, t)
    close(parts.x0, whole.x0)
    close(parts.eps, whole.eps)


def test_one_data_point_is_always_the_answer(diffusion: GaussianDiffusion) -> None:
    data, t = normal(1, 3, seed=1), torch.arange(1, diffusion.T + 1)
    prediction = ideal_denoiser(diffusion, data)(normal(len(t), 3, seed=2), t)
    close(prediction.x0, data.expand(len(t), 3))


def test_a_label_restricts_the_data_to_its_class() -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](100))
    data, labels = normal(8, 3, seed=1), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    t, x_t = torch.tensor([30, 60, 90]), normal(3, 3, seed=2)
    wanted = torch.tensor([2, 0, 1])
    for chunk in (1, 3, 8):
        prediction = ideal_denoiser(diffusion, data, labels, chunk)(x_t, t, wanted)
        for i in range(3):
            part = ideal_denoiser(diffusion, data[labels == wanted[i]])
            close(prediction.x0[i : i + 1], part(x_t[i : i + 1], t[i : i + 1]).x0)


def test_no_label_means_any_class() -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](100))
    data, t, x_t = normal(8, 3, seed=1), torch.tensor([30, 60]), normal(2, 3, seed=2)
    labelled = ideal_denoiser(diffusion, data, torch.arange(8))(x_t, t)
    assert torch.equal(labelled.x0, ideal_denoiser(diffusion, data)(x_t, t).x0)


def test_a_class_without_data_is_an_error() -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    data, t = normal(4, 3), torch.tensor([5])
    with pytest.raises(ValueError, match="class"):
        ideal_denoiser(diffusion, data, torch.tensor([0, 1, 0, 1]))(data[:1], t, torch.tensor([7]))
    with pytest.raises(ValueError, match="label"):
        ideal_denoiser(diffusion, data)(data[:1], t, torch.tensor([0]))


def test_ideal_denoiser_in_float32_at_the_size_of_digits() -> None:
    """784 pixels and a small sigma make exponents of 1e6: float32 must still weigh the data as
    float64 does.
    """
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    data = (normal(50, 1, 28, 28, seed=1) * 0.3 - 0.6).clamp(-1, 1)
    t = torch.tensor([1, 10, 100, 500, 800, 1000])
    x_t = diffusion.q_sample(data[:6], t, normal(6, 1, 28, 28, seed=2))
    exact = ideal_denoiser(diffusion, data)(x_t, t)
    single = ideal_denoiser(diffusion, data.float())(x_t.float(), t)
    assert single.x0.dtype == single.eps.dtype == torch.float32
    np.testing.assert_allclose(single.x0, exact.x0, atol=2e-4)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("step", [0.0, 0.002, 0.02])
def test_neighbours_in_the_data_are_weighed_in_float32_as_in_float64(
    name: str, step: float
) -> None:
    """Pictures so near each other that at small t their weights hang on the last digits."""
    diffusion = GaussianDiffusion(SCHEDULES[name](1000))
    picture = (normal(1, 1, 28, 28, seed=1) * 0.3).clamp(-1, 1).float()
    data = picture + step * normal(12, 1, 28, 28, seed=3).float()
    t = torch.tensor([1, 2, 10, 100])
    x_t = diffusion.q_sample(data[:4], t, normal(4, 1, 28, 28, seed=2).float())
    exact = ideal_denoiser(diffusion, data.double())(x_t.double(), t)
    single = ideal_denoiser(diffusion, data)(x_t, t)
    np.testing.assert_allclose(single.x0, exact.x0, atol=1e-6)
    np.testing.assert_allclose(single.eps, exact.eps, atol=1e-5)
    weights = data_log_weights(diffusion, data, x_t, t).exp()
    wanted = data_log_weights(diffusion, data.double(), x_t.double(), t).exp()
    np.testing.assert_allclose(weights, wanted, atol=1e-6)
    if not step:  # equal pictures: the guess is the picture, and all weigh the same
        np.testing.assert_allclose(single.x0, picture.expand(4, 1, 28, 28), atol=1e-6)
        np.testing.assert_allclose(weights, torch.full((4, 12), 1 / 12), atol=1e-6)


# --- networks -------------------------------------------------------------------------------------


class Recorder(nn.Module):
    """A network that answers with a given tensor and remembers what it was asked."""

    def __init__(self, output: Tensor, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dtype=dtype))
        self.output = output.to(dtype)
        self.asked: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        self.asked.append((x, t, label))
        return self.output


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
def test_a_network_is_read_through_its_parameterization(name: str) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](10))
    t, label = torch.tensor([1, 5, 10]), torch.tensor([3, 1, 4])
    x0, eps = normal(3, 1, 2, 2, seed=1), normal(3, 1, 2, 2, seed=2)
    x_t = diffusion.q_sample(x0, t, eps)
    target = PARAMETERIZATIONS[name].target(x0, eps, *diffusion.rates(t, x0))
    network = Recorder(target, torch.float64)
    prediction = NetworkDenoiser(network, diffusion, PARAMETERIZATIONS[name])(x_t, t, label)
    close(prediction.x0, x0)
    close(prediction.eps, eps)
    assert prediction.var_fraction is None
    [(asked_x, asked_t, asked_label)] = network.asked
    assert torch.equal(asked_x, x_t)
    assert torch.equal(asked_t, t)
    assert asked_label is not None
    assert torch.equal(asked_label, label)


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pictures", [torch.float64, torch.float32])
def test_a_network_computes_in_its_own_precision_and_answers_in_the_pictures(
    weights: torch.dtype, pictures: torch.dtype
) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    x_t, t = normal(2, 1, 2, 2).to(pictures), torch.tensor([4, 5])
    network = Recorder(normal(2, 1, 2, 2, seed=1), weights)
    prediction = NetworkDenoiser(network, diffusion, PARAMETERIZATIONS["eps"])(x_t, t)
    assert network.asked[0][0].dtype == weights
    assert network.asked[0][2] is None
    assert prediction.x0.dtype == prediction.eps.dtype == pictures
    assert not prediction.x0.requires_grad


def test_a_network_with_twice_the_channels_also_predicts_the_variance() -> None:
    """Second half of the channels in [-1, 1] → a fraction in [0, 1] (improved-diffusion's learned
    range).
    """
    diffusion = GaussianDiffusion(SCHEDULES["linear"](10))
    x_t, t = normal(2, 3, 2, 2), torch.tensor([4, 5])
    eps, var = normal(2, 3, 2, 2, seed=1), torch.linspace(-1, 1, 24).reshape(2, 3, 2, 2).double()
    network = Recorder(torch.cat([eps, var], 1), torch.float64)
    prediction = NetworkDenoiser(network, diffusion, PARAMETERIZATIONS["eps"])(x_t, t)
    close(prediction.eps, eps)
    assert prediction.var_fraction is not None
    close(prediction.var_fraction, (var + 1) / 2)


@pytest.mark.parametrize("label", [None, torch.arange(5)])
def test_a_pool_changes_nothing_but_the_time(label: torch.Tensor | None) -> None:
    """A batch cut into pieces gives what the whole batch gives."""
    torch.manual_seed(0)
    module = UNet(width=8, outer=1, inner=1, attention=1, condition=16)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    whole = NetworkDenoiser(module, GaussianDiffusion(SCHEDULES["cosine"](100)), EPS)
    x_t, t = torch.randn(5, 1, 28, 28), torch.tensor([3, 20, 50, 70, 99])
    expected = whole(x_t, t, label)
    with ThreadPoolExecutor(2) as pool:
        cut = replace(whole, pool=pool, parts=2)
        got = cut(x_t, t, label)
    torch.testing.assert_close(got.eps, expected.eps, rtol=1e-4, atol=1e-5)
