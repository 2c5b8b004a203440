"""What callers get wrong: a sentence, and never a number that looks right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.discrete import uniform
from diffusion_core.discrete_elbo import vb_terms
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.likelihood import per_example, term_from_eps, term_from_x0
from diffusion_core.parameterization import EPS, PARAMETERIZATIONS, Prediction
from diffusion_core.schedule_check import check_schedule
from diffusion_core.schedules import SCHEDULES, from_betas, space_timesteps
from diffusion_core.vdm_elbo import linear_gamma, vdm_diffusion, vdm_elbo

PROCESS = GaussianDiffusion(SCHEDULES["linear"](10))
X, T, S = torch.zeros(4, 1, 8, 8), torch.full((4,), 5), torch.full((4,), 4)
BYTES = torch.full((4, 1, 8, 8), 255, dtype=torch.uint8)
ONE = X[:1]


@pytest.mark.parametrize(
    "call",
    [
        lambda: PROCESS.q_sample(BYTES, T, X),
        lambda: PROCESS.q_marginal(BYTES, T),
        lambda: PROCESS.q_step(BYTES, T, S),
        lambda: PARAMETERIZATIONS["v"].target(BYTES, X, X, X),
    ],
)
def test_whole_numbers_are_no_pictures(call: Callable[[], object]) -> None:
    """A rate rounded to a whole number is 0, and so would be the answer."""
    with pytest.raises(ValueError, match="pictures must be floating point"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: PROCESS.q_sample(X, T, ONE),
        lambda: PROCESS.q_sample(torch.zeros(4), T, torch.zeros(4, 1)),
        lambda: PROCESS.q_posterior(X, ONE, T, S),
        lambda: PROCESS.q_posterior(X, X.expand(4, 3, 8, 8), T, S),
    ],
)
def test_shapes_are_not_stretched(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="must have the picture's shape"):
        call()


@pytest.mark.parametrize("form", [term_from_x0, term_from_eps])
def test_a_term_has_a_step_for_each_picture(form: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match="one step per picture"):
        form(PROCESS, X, X, T[:1], Prediction(X, X))


@pytest.mark.parametrize(
    "call",
    [
        lambda: PROCESS.q_sample(X, 5, X),  # type: ignore[arg-type]
        lambda: PROCESS.q_step(X, 5, 4),  # type: ignore[arg-type]
        lambda: PROCESS.q_posterior(X, X, T, 4),  # type: ignore[arg-type]
        lambda: PROCESS.q_marginal(X, T.float()),
    ],
)
def test_a_step_is_a_vector(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="int64, one step per picture"):
        call()


# --- networks -------------------------------------------------------------------------------------


class Answers(nn.Module):
    """A network without parameters."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        return x[:, :1].expand(-1, self.channels, -1, -1)


def test_a_network_may_have_no_parameters() -> None:
    told = NetworkDenoiser(Answers(), PROCESS, EPS)(X + 1, T)
    assert torch.equal(told.eps, X + 1)


@pytest.mark.parametrize(("channels", "of"), [(1, 3), (3, 1), (2, 3)])
def test_an_answer_of_another_shape_is_refused(channels: int, of: int) -> None:
    denoiser = NetworkDenoiser(Answers(channels), PROCESS, EPS)
    with pytest.raises(ValueError, match="as many channels, or twice that"):
        denoiser(X.expand(4, of, 8, 8), T)


def test_a_gradient_that_would_be_wrong_is_refused() -> None:
    denoiser, x = NetworkDenoiser(Answers(), PROCESS, EPS), X.clone().requires_grad_()
    with pytest.raises(ValueError, match="no gradient goes through here"):
        denoiser(x, T)
    with torch.no_grad():
        denoiser(x, T)


@pytest.mark.parametrize("layer", [nn.Dropout(), nn.BatchNorm2d(1)], ids=["dropout", "batch norm"])
def test_a_network_in_training_is_refused(layer: nn.Module) -> None:
    module = nn.Sequential(Answers(), layer)
    with pytest.raises(ValueError, match="training mode"):
        NetworkDenoiser(module.train(), PROCESS, EPS)
    NetworkDenoiser(module.eval(), PROCESS, EPS)


# --- schedules and bounds -------------------------------------------------------------------------


@pytest.mark.parametrize("betas", [[1.0, 2.0], [0.1, float("nan")], [[0.1, 0.2]], [-0.1, 0.1], 0.1])
def test_betas_are_variances(betas: object) -> None:
    with pytest.raises(ValueError, match="vector of variances"):
        from_betas("yours", betas)  # type: ignore[arg-type]


def test_betas_may_be_a_list_and_are_capped_at_the_end_alone() -> None:
    assert from_betas("yours", [0.1, 1.0]).beta.tolist() == pytest.approx([0, 0.1, 0.999])


def test_a_schedule_is_shortened_at_whole_steps() -> None:
    schedule = SCHEDULES["linear"](1000)
    whole = schedule.respace([10, 500, 1000])
    for steps in (torch.tensor([10, 500, 1000]), np.array([10, 500, 1000])):
        assert torch.equal(schedule.respace(steps).alpha_bar, whole.alpha_bar)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        schedule.respace([10.5, 20])  # type: ignore[list-item]
    for sections in ([], [-5]):
        with pytest.raises(ValueError, match="sections"):
            space_timesteps(1000, sections)


@pytest.mark.parametrize("T", [10, 50, 1000])
@pytest.mark.parametrize("beta", [0.01, 0.02, 0.1])
def test_constant_betas_are_no_published_schedule(T: int, beta: float) -> None:
    """However few digits they have: a number is held to its own last digit."""
    report = check_schedule([beta] * T, "betas")
    assert not report.matches
    assert report.nearest is not None


def test_a_kind_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="kind must be one of betas, alphas_cumprod"):
        check_schedule([0.1, 0.2], "beta")  # type: ignore[arg-type]


def test_a_bound_is_not_negative() -> None:
    def predict(z: Tensor, log_snr: Tensor, label: Tensor | None) -> Tensor:
        return torch.zeros_like(z)

    x0, generator = torch.ones(2, 4), torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="gamma must rise"):
        vdm_elbo(lambda t: 5 - 18.3 * t, predict, x0, T=10, generator=generator)
    late, early = (torch.full((2,), u, dtype=torch.float64) for u in (0.5, 0.2))
    with pytest.raises(ValueError, match="s must be smaller than t"):
        vdm_diffusion(linear_gamma(), predict, x0, x0, early, late)


def test_no_pictures_cost_nothing() -> None:
    assert per_example(torch.zeros(0, 1, 8, 8)).shape == (0,)
    assert per_example(torch.arange(3.0)).tolist() == [0, 1, 2]


# --- categories -----------------------------------------------------------------------------------


def test_an_unknown_rule_is_named() -> None:
    process, x = uniform(np.int64(3), [0.1, 0.2]), torch.zeros(1, 4, dtype=torch.int64)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown rule 'Mixture'"):
        vb_terms(process, torch.zeros(1, 4, 3), x, x, torch.tensor([2]), rule="Mixture")
