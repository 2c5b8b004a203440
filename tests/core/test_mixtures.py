"""Mixtures: the closed forms against sums, gradients and draws."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from diffusion_core.denoisers import ideal_denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.mixtures import (
    PLANE_DATA,
    GaussianMixture,
    class_gradient,
    class_log_probs,
    draw_x0,
    group_means,
    group_probs,
    mixture_denoiser,
    mixture_log_density,
    mixture_score,
    tilted,
    two_classes,
)
from diffusion_core.schedules import SCHEDULES

PLACES = torch.tensor(
    [[0.0, 0.0], [-1.2, -1.2], [0.4, -0.9], [2.5, 1.0], [-2.8, 2.8]], dtype=torch.float64
)


def process(name: str = "linear") -> GaussianDiffusion:
    return GaussianDiffusion(SCHEDULES[name](1000))


def at(t: int, n: int = len(PLACES)) -> Tensor:
    return torch.full((n,), t)


@pytest.mark.parametrize("data", PLANE_DATA)
@pytest.mark.parametrize("t", [0, 1, 20, 300, 1000])
def test_the_density_is_one_in_all(data: str, t: int) -> None:
    along = torch.linspace(-7, 7, 701, dtype=torch.float64)
    places = torch.cartesian_prod(along, along)
    log = mixture_log_density(process(), PLANE_DATA[data](), places, at(t, len(places)))
    cell = float(along[1] - along[0]) ** 2
    assert float(log.exp().sum()) * cell == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("data", PLANE_DATA)
def test_the_score_of_the_data_is_the_gradient_of_their_log_density(data: str) -> None:
    mixture, x = PLANE_DATA[data](), PLACES.clone().requires_grad_()
    mixture_log_density(process(), mixture, x, at(0)).sum().backward()
    torch.testing.assert_close(mixture_score(mixture, PLACES), x.grad)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("data", PLANE_DATA)
@pytest.mark.parametrize("t", [500, 750, 999])
def test_the_denoiser_is_bayes_rule_by_summing(schedule: str, data: str, t: int) -> None:
    """E[x0|x_t] as an integral over x0 on a grid, which knows nothing of groups' formulas."""
    mixture, diffusion = PLANE_DATA[data](), process(schedule)
    along = torch.linspace(-3, 3, 401, dtype=torch.float64)
    x0 = torch.cartesian_prod(along, along)
    prior = mixture_log_density(diffusion, mixture, x0, at(0, len(x0)))
    a, sigma = diffusion.rates(at(t), PLACES)  # wide enough at these t for the grid's cells
    fit = -((PLACES[:, None] - a[..., None] * x0) ** 2).sum(-1) / (2 * sigma**2)
    weights = (prior + fit).softmax(1)
    said = mixture_denoiser(diffusion, mixture)(PLACES, at(t))
    torch.testing.assert_close(said.x0, weights @ x0, atol=2e-4, rtol=0)
    torch.testing.assert_close(a * said.x0 + sigma * said.eps, PLACES)


def test_without_width_it_is_the_ideal_denoiser_of_the_means() -> None:
    means = PLACES[:3]
    points = GaussianMixture(means, torch.full((3,), 1 / 3, dtype=torch.float64))
    for t in (1, 100, 1000):
        ours = mixture_denoiser(process(), points)(PLACES, at(t))
        theirs = ideal_denoiser(process(), means)(PLACES, at(t))
        torch.testing.assert_close(ours.x0, theirs.x0, atol=1e-9, rtol=1e-9)


def test_one_group_is_a_gaussian_whose_posterior_is_known() -> None:
    """x0 ~ N(mu, s^2), x_t = a x0 + sigma eps: the textbook's product of two Gaussians."""
    mu, s = torch.tensor([[0.5, -1.0]], dtype=torch.float64), 0.3
    one = GaussianMixture(mu, torch.ones(1, dtype=torch.float64), s)
    a, sigma = process().rates(at(300), PLACES)
    precision = 1 / s**2 + a**2 / sigma**2
    mean = (mu / s**2 + a * PLACES / sigma**2) / precision
    said = mixture_denoiser(process(), one)(PLACES, at(300))
    torch.testing.assert_close(said.x0, mean)


@pytest.mark.parametrize("data", PLANE_DATA)
def test_draws_of_x0_have_the_mean_and_the_groups_that_are_computed(data: str) -> None:
    mixture, n = PLANE_DATA[data](), 40_000
    place, t = torch.tensor([[-0.1, -0.1]], dtype=torch.float64), torch.tensor([200])
    draws = draw_x0(
        process(), mixture, place.expand(n, 2), t.expand(n),
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    x0 = mixture_denoiser(process(), mixture)(place, t).x0
    error = float(draws.std(0).max()) / math.sqrt(n)
    assert float((draws.mean(0) - x0[0]).abs().max()) < 5 * error
    # Back and forth: of pairs (x0, x_t) drawn forwards, those with x_t near the place are alike.
    generator = torch.Generator().manual_seed(1)
    clean = mixture.sample(400_000, generator)
    noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    x_t = process().q_sample(clean, t.expand(len(clean)), noise)
    near = clean[(x_t - place).norm(dim=1) < 0.1]
    left, drawn_left = (float((points.sum(1) < 0).double().mean()) for points in (near, draws))
    assert drawn_left == pytest.approx(left, abs=5 * math.sqrt(0.25 / len(near)) + 0.01)


def test_groups_are_told_by_bayes_rule() -> None:
    mixture = PLANE_DATA["two"]()
    probs = group_probs(process(), mixture, PLACES, at(300))
    torch.testing.assert_close(probs.sum(1), torch.ones(len(PLACES), dtype=torch.float64))
    flat = group_probs(process(), mixture, PLACES, at(1000))
    torch.testing.assert_close(flat[0], mixture.weights, atol=2e-3, rtol=0)  # noise tells nothing
    assert group_means(process(), mixture, PLACES, at(300)).shape == (len(PLACES), 2, 2)


@pytest.mark.parametrize("data", PLANE_DATA)
def test_samples_are_those_of_the_density(data: str) -> None:
    mixture, n = PLANE_DATA[data](), 50_000
    points = mixture.sample(n, torch.Generator().manual_seed(0))
    mean = mixture.weights @ mixture.means
    spread = mixture.weights @ (mixture.means - mean).square() + mixture.std**2
    assert float((points.mean(0) - mean).abs().max()) < 5 * float(spread.max() / n) ** 0.5
    torch.testing.assert_close(points.var(0), spread, atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("means", "weights", "std", "sentence"),
    [
        (torch.zeros(2), torch.ones(2) / 2, 0.1, r"\[M, D\]"),
        (torch.zeros(2, 2), torch.ones(3) / 3, 0.1, r"\[M, D\]"),
        (torch.zeros(2, 2), torch.ones(2), 0.1, "sum to 1"),
        (torch.zeros(2, 2), torch.tensor([1.5, -0.5]), 0.1, "above 0"),
        (torch.zeros(2, 2), torch.ones(2) / 2, -0.1, "0 or more"),
        (torch.zeros(2, 2), torch.ones(2) / 2, math.nan, "0 or more"),
    ],
)
def test_what_is_no_mixture_is_said(
    means: Tensor, weights: Tensor, std: float, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        GaussianMixture(means, weights, std)


def test_points_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"x_t must be \[B, 2\]"):
        mixture_log_density(process(), PLANE_DATA["two"](), torch.zeros(3, 5), at(10, 3))


# --- classes --------------------------------------------------------------------------------------


def test_a_class_is_the_mixture_of_its_groups() -> None:
    mixture, labels = two_classes()
    for y in (0, 1):
        own = GaussianMixture(
            mixture.means[labels == y], torch.full((3,), 1 / 3, dtype=torch.float64), 0.25
        )
        label = torch.full((len(PLACES),), y)
        asked = mixture_denoiser(process(), mixture, labels)(PLACES, at(300), label)
        alone = mixture_denoiser(process(), own)(PLACES, at(300))
        torch.testing.assert_close(asked.x0, alone.x0)
    with pytest.raises(ValueError, match="no labels"):
        mixture_denoiser(process(), mixture)(PLACES, at(300), label)


def test_what_no_denoiser_can_answer_is_refused() -> None:
    mixture, labels = two_classes()
    denoiser = mixture_denoiser(process(), mixture, labels)
    with pytest.raises(ValueError, match="t = 0 there is no noise"):
        denoiser(PLACES, at(0))
    label = torch.tensor([0, 1, 0, 1, 5])
    with pytest.raises(ValueError, match="no group of the asked class"):
        denoiser(PLACES, at(300), label)
    for given in denoiser(PLACES[:0], at(300, 0), label[:0])[:2]:
        assert given.shape == (0, 2)


@pytest.mark.parametrize("t", [0, 20, 300, 1000])
def test_the_classifier_is_bayes_rule_and_its_gradient_a_difference_of_scores(t: int) -> None:
    mixture, labels = two_classes()
    log = class_log_probs(process(), mixture, labels, PLACES, at(t))
    torch.testing.assert_close(log.exp().sum(1), torch.ones(len(PLACES)).double())
    groups = group_probs(process(), mixture, PLACES, at(t))
    torch.testing.assert_close(log[:, 0].exp(), groups[:, :3].sum(1))
    if t == 0:
        return
    denoiser, label = mixture_denoiser(process(), mixture, labels), at(0)
    gradient = class_gradient(process(), mixture, labels)(PLACES, at(t), label)
    apart = denoiser(PLACES, at(t), label).eps - denoiser(PLACES, at(t)).eps
    sigma = process().rates(at(t), PLACES)[1]
    torch.testing.assert_close(gradient, -apart / sigma, atol=1e-8, rtol=1e-8)
    blind = class_gradient(process(), mixture, labels, noise_aware=False)
    torch.testing.assert_close(
        blind(PLACES, at(t), label),
        class_gradient(process(), mixture, labels)(PLACES, at(0), label),
    )


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_the_tilted_density_is_the_product_that_it_is_named_after(scale: float) -> None:
    mixture, labels = two_classes()
    made = tilted(mixture, labels, 0, scale)
    zero = at(0)
    log = mixture_log_density(process(), mixture, PLACES, zero)
    log = log + scale * class_log_probs(process(), mixture, labels, PLACES, zero)[:, 0]
    found = mixture_log_density(process(), made, PLACES, zero)
    apart = (found - log)[log > log.max() - 6]  # up to one number: the density's own total
    assert float(apart.max() - apart.min()) < 0.07
    if scale == 0:
        assert float(made.weights @ made.means[:, 0]) == pytest.approx(0, abs=1e-6)


def test_a_gradient_needs_a_class() -> None:
    mixture, labels = two_classes()
    with pytest.raises(ValueError, match="needs a class"):
        class_gradient(process(), mixture, labels)(PLACES, at(10), None)
