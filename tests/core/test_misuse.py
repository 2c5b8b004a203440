"""What callers get wrong: a sentence, and never a number that looks right."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffusion_core.denoisers import NetworkDenoiser, ideal_denoiser
from diffusion_core.discrete import REVERSE_RULES, absorbing, uniform
from diffusion_core.discrete_elbo import estimate_discrete_elbo, vb_terms
from diffusion_core.elbo import PROPOSALS, estimate_elbo, gaussian_elbo
from diffusion_core.gaussian import Gaussian, GaussianDiffusion
from diffusion_core.likelihood import per_example, term_from_eps, term_from_x0
from diffusion_core.parameterization import EPS, PARAMETERIZATIONS, Prediction
from diffusion_core.samplers import SAMPLERS, encode, sample, sample_discrete
from diffusion_core.schedule_check import check_schedule
from diffusion_core.schedules import SCHEDULES, NoiseSchedule, from_betas, space_timesteps
from diffusion_core.vdm_elbo import linear_gamma, vdm_diffusion, vdm_elbo

PROCESS = GaussianDiffusion(SCHEDULES["linear"](10))
X, T, S = torch.zeros(4, 1, 8, 8), torch.full((4,), 5), torch.full((4,), 4)
BYTES = torch.full((4, 1, 8, 8), 255, dtype=torch.uint8)
ONE = X[:1]
BELIEF = torch.full((*X.shape, 3), 1 / 3)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def told(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
    return Prediction(x_t, x_t)


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
        lambda: uniform(3, [0.1] * 9).q_sample(X.long(), 5, torch.Generator()),  # type: ignore[arg-type]
        lambda: REVERSE_RULES["mixture"](uniform(3, [0.1] * 9), X.long(), BELIEF, 5),
        lambda: REVERSE_RULES["product"](uniform(3, [0.1] * 9), X.long(), BELIEF, 5),
    ],
)
def test_a_step_is_a_vector(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"int64, one step per (picture|example)"):
        call()


def test_steps_come_in_pairs() -> None:
    with pytest.raises(ValueError, match="4 t and 3 s: give one step per picture"):
        PROCESS.q_posterior(X, X, T, S[:3])


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


PICTURES = {
    "x0": lambda x: Prediction(x[:, :, :1], x),
    "eps": lambda x: Prediction(x, x[:, :, :1]),
}


@pytest.mark.parametrize("part", PICTURES)
@pytest.mark.parametrize("clip", [True, False])
def test_a_denoisers_answer_is_not_stretched(part: str, clip: bool) -> None:
    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        return PICTURES[part](x_t)

    for call in (
        lambda: list(sample(PROCESS, denoiser, X, [5, 2], clip_x0=clip, generator=seeded())),
        lambda: list(encode(PROCESS, denoiser, X, [2, 5], clip_x0=clip)),
        lambda: gaussian_elbo(PROCESS, denoiser, X + 1, clip_x0=clip, generator=seeded()),
    ):
        with pytest.raises(ValueError, match=f"the denoiser's {part} must have the picture's"):
            call()


def test_a_walk_stays_in_its_own_dtype() -> None:
    def precise(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        return Prediction(x_t.double(), x_t.double(), x_t.double())

    for name in SAMPLERS:
        walk = sample(
            PROCESS, precise, X.half(), [5, 2], sampler=name, variance="learned", generator=seeded()
        )
        assert {step.x_t.dtype for step in walk} == {torch.float16}


def test_noise_needs_a_generator_where_there_is_any() -> None:
    none: torch.Generator = None  # type: ignore[assignment]
    assert len(list(sample(PROCESS, told, X, [5, 2], generator=none))) == 3
    for call in (
        lambda: list(sample(PROCESS, told, X, [5, 2], sampler="ddpm", generator=none)),
        lambda: gaussian_elbo(PROCESS, told, X + 1, generator=none),
    ):
        with pytest.raises(ValueError, match=r"give a torch\.Generator"):
            call()


@pytest.mark.parametrize("timesteps", [[9.9, 3.2], torch.tensor([5.5]), [5, 2.5]])
def test_a_walk_stops_at_whole_steps(timesteps: list[float]) -> None:
    states = torch.zeros(1, 4, dtype=torch.int64)
    logits = torch.zeros(1, 4, 3)
    for call in (
        lambda: sample(PROCESS, told, X, timesteps, generator=seeded()),  # type: ignore[arg-type]
        lambda: sample_discrete(
            uniform(3, [0.1] * 10), lambda x, t, label: logits, states, timesteps,  # type: ignore[arg-type]
            generator=seeded(),
        ),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="whole numbers"):
            call()
    with pytest.raises(ValueError, match="whole numbers"):
        encode(PROCESS, told, X, [2.5, 5])  # type: ignore[list-item]
    for fine in ([9, 3], [9.0, 3.0], np.array([9, 3]), torch.tensor([9, 3])):
        assert len(list(sample(PROCESS, told, X, fine, generator=seeded()))) == 3  # type: ignore[arg-type]


def test_nothing_is_determined_where_there_is_no_noise() -> None:
    """At t = 0 x_t is x0, and neither x0 nor the score says which noise there might have been."""
    clean = torch.zeros(4, dtype=torch.int64)
    for name in ("x0", "score"):
        with pytest.raises(ValueError, match=f"'{name}' does not determine eps where there is no"):
            PARAMETERIZATIONS[name].recover(X, X, *PROCESS.rates(clean, X))
    with pytest.raises(ValueError, match="at t = 0 there is no noise to remove"):
        ideal_denoiser(PROCESS, X)(X, clean)


def test_a_point_that_is_no_number_costs_none() -> None:
    point, zero = torch.tensor([0.0, math.nan]), torch.zeros(2)
    assert Gaussian(point, zero).kl(Gaussian(zero, zero)).isnan().tolist() == [False, True]
    assert Gaussian(zero, point).kl(Gaussian(zero, zero)).isnan().tolist() == [False, True]
    apart = Gaussian(zero, zero).kl(Gaussian(zero + 1, zero))
    assert apart.tolist() == [math.inf] * 2


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


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_has_whole_steps(name: str) -> None:
    for T in (10.5, 0, -3):
        with pytest.raises(ValueError, match="whole number of steps"):
            SCHEDULES[name](T)  # type: ignore[arg-type]


@pytest.mark.parametrize("alpha_bar", [[1.0, 0.5], np.array([1.0, 0.5]), None])
def test_a_schedule_is_a_tensor(alpha_bar: object) -> None:
    with pytest.raises(ValueError, match="must be a tensor: a float64 vector"):
        NoiseSchedule("yours", alpha_bar)  # type: ignore[arg-type]


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
    def predict(z: Tensor, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.zeros_like(z)

    x0, generator = torch.ones(2, 4), torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="gamma must rise"):
        vdm_elbo(lambda t: 5 - 18.3 * t, predict, x0, T=10, generator=generator)
    late, early = (torch.full((2,), u, dtype=torch.float64) for u in (0.5, 0.2))
    with pytest.raises(ValueError, match="s must be smaller than t"):
        vdm_diffusion(linear_gamma(), predict, x0, x0, early, late)
    for t, s in ((late, -early), (1 + late, early)):
        with pytest.raises(ValueError, match=r"must lie in 0\.\.1"):
            vdm_diffusion(linear_gamma(), predict, x0, x0, t, s)


def test_no_pictures_cost_nothing() -> None:
    assert per_example(torch.zeros(0, 1, 8, 8)).shape == (0,)
    assert per_example(torch.arange(3.0)).tolist() == [0, 1, 2]


def drawn(T: int | None = None, n: int = 64) -> dict[str, Any]:
    return {"T": T, "n": n, "generator": seeded()}


@pytest.mark.parametrize("T", [None, 5])
def test_a_noise_prediction_is_a_picture_of_numbers(T: int | None) -> None:
    x0 = torch.ones(2, 4)
    with pytest.raises(ValueError, match="the predicted noise must have the picture's shape"):
        vdm_elbo(linear_gamma(), lambda z, log_snr: 0 * z[:1], x0, **drawn(T))
    with pytest.raises(ValueError, match=r"answer at t = .* gives no finite number"):
        vdm_elbo(linear_gamma(), lambda z, log_snr: math.nan * z, x0, **drawn(T))


@pytest.mark.parametrize("T", [None, 5])
@pytest.mark.parametrize("batch", [1, 64])
def test_the_bound_of_no_pictures_is_empty(T: int | None, batch: int) -> None:
    x0, states = torch.ones(0, 4), torch.zeros(0, 4, dtype=torch.int64)
    noise = vdm_elbo(linear_gamma(), lambda z, log_snr: z, x0, **drawn(T, n=5), batch=batch)
    terms = gaussian_elbo(PROCESS, told, x0, batch=batch, generator=seeded())
    assert noise.denoising.shape == (0, 5)
    assert terms.denoising.shape == (0, 9)
    assert noise.total.shape == terms.total.shape == (0,)
    for proposal in PROPOSALS:
        how: dict[str, Any] = {"n": 5, "proposal": proposal, "batch": batch, "generator": seeded()}
        ours = estimate_elbo(PROCESS, told, x0, **how)
        theirs = estimate_discrete_elbo(
            uniform(3, [0.1] * 5), lambda x, t, label: torch.zeros(*x.shape, 3), states, **how
        )
        assert ours.mean.shape == ours.standard_error.shape == theirs.mean.shape == (0,)


@pytest.mark.parametrize(
    "gamma",
    [
        lambda t: torch.full_like(t, 2.0),
        lambda t: torch.tensor(np.interp(t.detach(), [0, 1], [-5, 5])),
        lambda t: nn.Parameter(torch.ones((), dtype=torch.float64)).expand_as(t),
    ],
    ids=["constant", "numpy", "parameter"],
)
def test_continuous_time_needs_a_slope(gamma: Callable[[Tensor], Tensor]) -> None:
    """A slope of 0 would make every network's cost 0, in silence."""
    with pytest.raises(ValueError, match="no slope that autograd finds"):
        vdm_elbo(gamma, lambda z, log_snr: z, torch.ones(2, 4), **drawn())


# --- categories -----------------------------------------------------------------------------------


def test_an_unknown_rule_is_named() -> None:
    process, x = uniform(np.int64(3), [0.1, 0.2]), torch.zeros(1, 4, dtype=torch.int64)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown rule 'Mixture'"):
        vb_terms(process, torch.zeros(1, 4, 3), x, x, torch.tensor([2]), rule="Mixture")


@pytest.mark.parametrize("state", [1.5, -1, 3])
def test_the_absorbing_state_is_one_of_them(state: int) -> None:
    with pytest.raises(ValueError, match=r"must be one of 0\.\.2"):
        absorbing(3, [0.1], state)
