"""A schedule that is learned, and the network that knows the log-SNR."""

import math

import pytest
import torch
from torch import Tensor

from diffusion_core.bits import Settled
from diffusion_core.checkpoints import at_steps
from diffusion_core.elbo import elbo_draws, gaussian_elbo
from diffusion_core.networks import UNet
from diffusion_core.recipes import RECIPES
from diffusion_core.training import Batch, begin_with, variational_inputs, variational_loss
from diffusion_core.vdm_elbo import vdm_diffusion, vdm_prior, vdm_reconstruction
from diffusion_core.vdm_network import ONE_IN, LearnedGamma, VariationalUNet

SIZES = {"width": 8, "outer": 1, "inner": 1, "attention": 1, "condition": 16}


def some(seed: int = 0) -> VariationalUNet:
    """A small model whose every weight counts."""
    torch.manual_seed(seed)
    model = VariationalUNet(**SIZES)
    with torch.no_grad():
        for weight in model.body.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
        model.gamma.height.add_(torch.randn_like(model.gamma.height))
    return model


def levels(*shape: int) -> Tensor:
    return torch.randint(256, shape).float() / 127.5 - 1


@pytest.mark.parametrize("seed", range(3))
def test_the_schedule_rises_between_its_ends(seed: int) -> None:
    torch.manual_seed(seed)
    gamma = LearnedGamma(-9.0, 4.0, curves=7)
    with torch.no_grad():
        for weight in (gamma.straight, gamma.steep, gamma.height, gamma.middle):
            weight.add_(torch.randn_like(weight))
    t = torch.linspace(0, 1, 1001, dtype=torch.float64)
    assert (gamma(t).diff() > 0).all()
    torch.testing.assert_close(gamma(t)[[0, -1]], gamma.ends.double(), rtol=0, atol=1e-12)
    assert gamma(t.reshape(7, 11, 13)).shape == (7, 11, 13)


def test_the_pace_is_the_derivative() -> None:
    gamma = some().gamma
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64, requires_grad=True)
    done, pace = gamma.shape(t)
    (slope,) = torch.autograd.grad(done.sum(), t)
    torch.testing.assert_close(pace, slope)


def test_it_begins_as_the_straight_schedule_or_nearly() -> None:
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    assert (LearnedGamma()(t) - (-13.3 + 18.3 * t)).abs().max() < 0.5


def test_the_three_costs_are_those_of_the_bound() -> None:
    model = some()
    x0, eps, first = levels(20, 1, 28, 28), *torch.randn(2, 20, 1, 28, 28)
    t = torch.rand(20, dtype=torch.float64)
    prior, diffusion, decoding = model(x0, t, eps, first).unbind(1)
    torch.testing.assert_close(prior, vdm_prior(model.gamma, x0))
    torch.testing.assert_close(
        diffusion, vdm_diffusion(model.gamma, model.predict, x0, eps, t), rtol=1e-5, atol=1e-5
    )
    asked = vdm_reconstruction(model.gamma, x0[::ONE_IN], first[::ONE_IN])
    torch.testing.assert_close(decoding, asked.mean().expand(20))


def test_the_path_learns_from_the_square_and_the_ends_and_the_network_from_the_cost() -> None:
    """Against gradients taken one picture at a time."""
    model = some()
    x0, eps = levels(4, 1, 28, 28), torch.randn(4, 1, 28, 28)
    t = torch.tensor([0.2, 0.4, 0.6, 0.8], dtype=torch.float64)
    weights = {
        "ends": model.gamma.ends,
        "height": model.gamma.height,
        "middle": model.gamma.middle,
        "stem": model.body.stem.weight,
    }
    plain, squared = (dict.fromkeys(weights, 0.0) for _ in range(2))
    costs = vdm_diffusion(model.gamma, model.predict, x0, eps, t)
    for cost in costs:
        slopes = torch.autograd.grad(cost, list(weights.values()), retain_graph=True)
        for name, slope in zip(weights, slopes, strict=True):
            plain[name] += slope
            squared[name] += 2 * cost.detach() / costs.detach().mean() * slope
    model(x0, t, eps, eps)[:, 1].sum().backward()
    for name, weight in weights.items():
        right = squared if name in ("height", "middle") else plain
        assert weight.grad is not None
        scale = float(right[name].abs().max())
        torch.testing.assert_close(weight.grad, right[name], rtol=1e-3, atol=1e-3 * scale)


def test_it_is_the_noise_itself_where_it_is_sure_of_black() -> None:
    model = some()
    with torch.no_grad():
        model.body.out.weight.zero_()
        model.body.out.bias.copy_(torch.tensor([0.0] * 4 + [40.0] * 4 + [-40.0] * 4))
    eps = torch.randn(2, 1, 28, 28).clamp(-3.9, 3.9)
    log_snr = torch.tensor([9.0, 3.0], dtype=torch.float64)
    a, sigma = (torch.sigmoid(x).sqrt().float().reshape(2, 1, 1, 1) for x in (log_snr, -log_snr))
    told = model.predict(sigma * eps - a, log_snr)
    torch.testing.assert_close(told, eps, rtol=1e-3, atol=1e-3)


def test_at_whole_steps_it_is_the_same_model() -> None:
    model = some()
    denoiser = at_steps(model, 5)
    assert denoiser.diffusion.T == 5
    ends = torch.sigmoid(-model.gamma.ends.detach().double())
    torch.testing.assert_close(denoiser.diffusion.schedule.alpha_bar[[1, 5]], ends)
    x, t = torch.randn(3, 1, 28, 28), torch.tensor([1, 3, 5])
    log_snr = -model.gamma((t.double() - 1) / 4)
    told = denoiser(x, t, torch.tensor([1, 2, 3])).eps
    with torch.no_grad():
        right = model.predict(x, log_snr, torch.tensor([1, 2, 3]))
    torch.testing.assert_close(told, right, rtol=1e-4, atol=1e-4)


def test_draws_with_settled_chances_are_right_on_average() -> None:
    denoiser = at_steps(some(), 6)
    x0 = levels(1, 1, 28, 28)
    chances = torch.tensor([1.0, 2.0, 3.0, 3.0, 2.0, 1.0], dtype=torch.float64) / 12

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(1)

    whole = gaussian_elbo(
        denoiser.diffusion, denoiser, x0.expand(40, -1, -1, -1), generator=generator()
    ).total.mean()
    draws = elbo_draws(
        denoiser.diffusion, denoiser, x0, n=600, proposal=Settled(chances), generator=generator()
    )
    error = float(draws.std()) / math.sqrt(draws.numel())
    assert abs(float(draws.mean() - whole)) < 4 * error


def test_what_training_draws_and_what_it_costs() -> None:
    recipe = RECIPES["digits-vdm"]
    x0 = levels(8, 1, 28, 28)
    batch = Batch(x0, torch.arange(8), torch.Generator().manual_seed(0))
    drawn = variational_inputs(recipe, batch)
    _, t, eps, first, label = drawn.inputs
    assert sorted((t * 8).long().tolist()) == list(range(8))  # one in each eighth of 0..1
    torch.testing.assert_close(t.sort().values.diff(), torch.full_like(t, 1 / 8)[1:])
    assert not torch.equal(eps, first)
    assert ((label == torch.arange(8)) | (label == 10)).all()
    costs = torch.tensor([[1.0, 2.0, 3.0]]).repeat(8, 1)
    bits = float(variational_loss(recipe, costs, drawn))
    assert bits == pytest.approx(6 / (784 * math.log(2)))


# --- beginning with another network ---------------------------------------------------------------


def test_a_network_with_more_inputs_and_outputs_begins_with_what_the_smaller_one_says() -> None:
    torch.manual_seed(0)
    small, large = UNet(**SIZES), UNet(in_channels=3, out_channels=2, **SIZES)
    begin_with(large, small.state_dict())
    x, t = torch.randn(2, 3, 28, 28), torch.tensor([1, 500])
    torch.testing.assert_close(large(x, t)[:, :1], small(x[:, :1], t), rtol=1e-4, atol=1e-5)


def test_a_network_begins_with_its_body() -> None:
    torch.manual_seed(0)
    small, model = UNet(**SIZES), VariationalUNet(**SIZES)
    begin_with(model, small.state_dict())
    assert torch.equal(model.body.label.weight, small.label.weight)


def test_weights_that_have_no_place_are_refused() -> None:
    small, large = UNet(**SIZES), UNet(**SIZES | {"width": 16})
    with pytest.raises(ValueError, match="no place for"):
        begin_with(small, large.state_dict())
    with pytest.raises(ValueError, match="no place for 'elsewhere'"):
        begin_with(small, {"elsewhere": torch.zeros(1)})
