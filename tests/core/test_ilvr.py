"""ILVR: the low-pass is a projection, held walks are held, and what they sample is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.ilvr import (
    as_matrix,
    gaussian_denoiser,
    given_coarse,
    ilvr,
    ilvr_law,
    ilvr_step,
    low_pass,
)
from diffusion_core.samplers import sample
from diffusion_core.schedules import SCHEDULES, evenly_spaced

T = 40


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


@pytest.fixture
def diffusion() -> GaussianDiffusion:
    return GaussianDiffusion(SCHEDULES["cosine"](T))


def some_gaussian(D: int) -> tuple[Tensor, Tensor]:
    root = normal(D, D, seed=3)
    return normal(D, seed=4), root @ root.T / D + 0.05 * torch.eye(D).double()


# --- the low-pass ---------------------------------------------------------------------------------


@pytest.mark.parametrize("N", [1, 2, 4, 7, 14, 28])
def test_blocks_become_their_means(N: int) -> None:
    x = normal(3, 1, 28, 28)
    expected = x.clone()
    for top in range(0, 28, N):
        for left in range(0, 28, N):
            block = x[:, :, top : top + N, left : left + N]
            mean = torch.from_numpy(block.numpy().mean((2, 3), keepdims=True))
            expected[:, :, top : top + N, left : left + N] = mean
    torch.testing.assert_close(low_pass(x, N), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("N", [1, 2, 3, 6])
def test_the_low_pass_is_an_orthogonal_projection(N: int) -> None:
    x, y = normal(5, 6, 12, seed=1), normal(5, 6, 12, seed=2)
    once = low_pass(x, N)
    torch.testing.assert_close(low_pass(once, N), once, rtol=0, atol=1e-14)
    torch.testing.assert_close(low_pass(2 * x - 3 * y, N), 2 * once - 3 * low_pass(y, N))
    assert float((once * y).sum()) == pytest.approx(float((x * low_pass(y, N)).sum()))
    phi = as_matrix((6, 12), N)
    torch.testing.assert_close(phi, phi.T)
    torch.testing.assert_close(phi @ phi, phi)
    assert int(torch.linalg.matrix_rank(phi)) == 72 // N**2
    torch.testing.assert_close((phi @ x.flatten(1).T).T, once.flatten(1))


def test_a_mean_keeps_one_of_n_squared_of_the_noise() -> None:
    noise = normal(2000, 28, 28)
    for N in (2, 4, 7):
        assert float(low_pass(noise, N).var()) == pytest.approx(N**-2, rel=0.03)


def test_a_side_shorter_than_a_block_is_one_block() -> None:
    torch.testing.assert_close(low_pass(torch.tensor([[1.0, 3.0]]), 2), torch.full((1, 2), 2.0))


@pytest.mark.parametrize("N", [0, -1, 3, 5, 27])
def test_blocks_must_tile_the_picture(N: int) -> None:
    with pytest.raises(ValueError, match="tile"):
        low_pass(torch.zeros(28, 28), N)


def test_a_step_exchanges_the_coarse_part_alone() -> None:
    x, y = normal(2, 1, 8, 8, seed=1), normal(2, 1, 8, 8, seed=2)
    held = ilvr_step(x, y, 4)
    torch.testing.assert_close(low_pass(held, 4), low_pass(y, 4))
    torch.testing.assert_close(held - low_pass(held, 4), x - low_pass(x, 4))
    assert torch.equal(ilvr_step(x, y, 1), y)


# --- the walk -------------------------------------------------------------------------------------


def walk(diffusion: GaussianDiffusion, N: int, last: int = 0, **options: object) -> list:
    mean, cov = some_gaussian(16)
    options = {"generator": seeded(7), "clip_x0": False} | options
    return list(
        ilvr(
            diffusion, gaussian_denoiser(diffusion, mean, cov), normal(1, 1, 4, 4, seed=5),
            normal(6, 1, 4, 4, seed=6), range(T, 0, -1), N=N, last=last, **options,  # type: ignore[arg-type]
        )
    )  # fmt: skip


def test_where_every_pixel_is_held_the_walk_ends_in_the_reference(
    diffusion: GaussianDiffusion,
) -> None:
    reference = normal(1, 1, 4, 4, seed=5)
    assert torch.equal(walk(diffusion, 1)[-1].x_t, reference.expand(6, -1, -1, -1))
    assert not torch.allclose(walk(diffusion, 1, last=1)[-1].x_t, reference, atol=0.01)


@pytest.mark.parametrize("N", [2, 4])
@pytest.mark.parametrize("last", [0, 10, T])
def test_the_coarse_part_is_the_reference_down_to_last(
    diffusion: GaussianDiffusion, N: int, last: int
) -> None:
    """Without noise it can be told what it must be; with noise, how it is distributed."""
    y = low_pass(normal(1, 1, 4, 4, seed=5), N)
    for step in walk(diffusion, N, last, noised=False)[1:]:
        a = float(diffusion.schedule.alpha_bar[step.t]) ** 0.5
        gap = float((low_pass(step.x_t, N) - a * y).abs().max())
        assert gap < 1e-12 if step.t >= last else gap > 1e-3


@pytest.mark.parametrize("N", [2, 4])
def test_after_a_held_step_the_coarse_part_is_that_of_the_noisy_reference(
    diffusion: GaussianDiffusion, N: int
) -> None:
    """The draws made again: the step's noise first, then the reference's."""
    generator, y = seeded(7), normal(1, 1, 4, 4, seed=5).expand(6, -1, -1, -1)
    for step, after in pairwise(walk(diffusion, N)):
        drawn = None
        if step.noise is not None:
            drawn = torch.randn(6, 1, 4, 4, generator=generator, dtype=torch.float64)
            assert torch.equal(drawn, step.noise)
        noise = torch.randn(6, 1, 4, 4, generator=generator, dtype=torch.float64)
        alpha_bar = float(diffusion.schedule.alpha_bar[after.t])
        y_s = alpha_bar**0.5 * y + (1 - alpha_bar) ** 0.5 * noise
        torch.testing.assert_close(low_pass(after.x_t, N), low_pass(y_s, N))
        proposal = step.posterior.mean
        if drawn is not None:
            proposal = step.posterior.sample(drawn)
        rest = proposal - low_pass(proposal, N)
        torch.testing.assert_close(after.x_t - low_pass(after.x_t, N), rest)


def test_one_block_holds_the_mean_gray_and_nothing_else(diffusion: GaussianDiffusion) -> None:
    end, reference = walk(diffusion, 4)[-1].x_t, normal(1, 1, 4, 4, seed=5)
    torch.testing.assert_close(end.mean((1, 2, 3)), reference.mean().expand(6))
    assert float(low_pass(end, 2).var(0).min()) > 1e-3


def test_nothing_held_is_ddpm(diffusion: GaussianDiffusion) -> None:
    mean, cov = some_gaussian(16)
    free = sample(
        diffusion, gaussian_denoiser(diffusion, mean, cov), normal(6, 1, 4, 4, seed=6),
        range(T, 0, -1), sampler="ddpm", clip_x0=False, generator=seeded(7),
    )  # fmt: skip
    for one, other in zip(free, walk(diffusion, 2, last=T), strict=True):
        assert torch.equal(one.x_t, other.x_t)


@pytest.mark.parametrize("last", [-1, T + 1])
def test_last_must_be_a_step(diffusion: GaussianDiffusion, last: int) -> None:
    with pytest.raises(ValueError, match="last step"):
        walk(diffusion, 2, last)


def test_the_error_comes_on_the_call(diffusion: GaussianDiffusion) -> None:
    mean, cov = some_gaussian(16)
    with pytest.raises(ValueError, match="tile"):
        ilvr(
            diffusion, gaussian_denoiser(diffusion, mean, cov), normal(1, 1, 4, 4),
            normal(6, 1, 4, 4), [T], N=3, generator=seeded(),
        )  # fmt: skip


# --- what it samples ------------------------------------------------------------------------------


def test_the_denoiser_is_the_posterior_mean(diffusion: GaussianDiffusion) -> None:
    """By regression: of all x_0 with their x_t, the best linear guess is the best guess."""
    mean, cov = some_gaussian(4)
    x0 = mean + normal(200_000, 4, seed=1) @ torch.linalg.cholesky(cov).T
    t = torch.full((len(x0),), 20)
    x_t = diffusion.q_sample(x0, t, normal(200_000, 4, seed=2))
    inputs = torch.cat([x_t, torch.ones(len(x_t), 1).double()], 1)
    best = inputs @ torch.linalg.lstsq(inputs, x0).solution
    told = gaussian_denoiser(diffusion, mean, cov)(x_t.reshape(-1, 1, 2, 2), t)
    assert float((told.x0.flatten(1) - best).square().mean().sqrt()) < 0.01
    again = diffusion.q_sample(told.x0, t, told.eps)
    torch.testing.assert_close(again.flatten(1), x_t)


def test_the_denoiser_answers_for_one_t_at_a_time(diffusion: GaussianDiffusion) -> None:
    denoiser = gaussian_denoiser(diffusion, *some_gaussian(4))
    for pictures, t in (
        (normal(2, 1, 2, 2), torch.tensor([1, 30])),
        (normal(0, 1, 2, 2), torch.empty(0)),
    ):
        with pytest.raises(ValueError, match="same t"):
            denoiser(pictures, t)


@pytest.mark.parametrize("N", [1, 2])
def test_the_true_law_is_what_rejection_leaves(N: int) -> None:
    """In other coordinates: blocks first, then the rest, and the textbook's conditional."""
    mean, cov = some_gaussian(4)
    phi, y = as_matrix((2, 2), N), normal(4, seed=9)
    m, V = given_coarse(mean, cov, phi, y)
    basis = torch.linalg.eigh(phi).eigenvectors.flip(1)  # what φ keeps first
    k = 4 // N**2
    moved, C = basis.T @ (mean - y), basis.T @ cov @ basis
    gain = C[k:, :k] @ torch.linalg.inv(C[:k, :k])
    rest_mean = moved[k:] - gain @ moved[:k]
    rest_cov = C[k:, k:] - gain @ C[:k, k:]
    expected = y + basis[:, k:] @ rest_mean
    torch.testing.assert_close(m, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(V, basis[:, k:] @ rest_cov @ basis[:, k:].T, rtol=0, atol=1e-9)


@pytest.mark.parametrize("last", [0, 10, T])
@pytest.mark.parametrize("noised", [True, False])
def test_the_law_is_that_of_many_walks(
    diffusion: GaussianDiffusion, last: int, noised: bool
) -> None:
    mean, cov = some_gaussian(4)
    n, y = 40_000, normal(4, seed=9)
    times = evenly_spaced(T, 20)
    walks = ilvr(
        diffusion, gaussian_denoiser(diffusion, mean, cov), y.reshape(1, 1, 2, 2),
        normal(n, 1, 2, 2), times, N=2, last=last, noised=noised, clip_x0=False,
        generator=seeded(1),
    )  # fmt: skip
    laws = ilvr_law(
        diffusion, mean, cov, as_matrix((2, 2), 2), y, times, last=last, noised=noised
    )  # fmt: skip
    for stop, (m, V) in zip(walks, laws, strict=True):
        x = stop.x_t.flatten(1)
        np.testing.assert_allclose(x.mean(0), m, atol=5 * float(V.max()) ** 0.5 / n**0.5 + 1e-9)
        np.testing.assert_allclose(torch.cov(x.T), V, atol=0.05 * float(V.max()) + 1e-9)


def two_pixels(correlation: float) -> tuple[Tensor, Tensor, Tensor]:
    wide = torch.tensor([1.0, 0.3], dtype=torch.float64)
    cov = wide[:, None] * wide * torch.tensor([[1, correlation], [correlation, 1]]).double()
    return torch.zeros(2).double(), cov, torch.tensor([0.8, 0.8], dtype=torch.float64)


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("correlation", [0.0, 0.5, -0.5])
def test_ilvr_does_not_sample_the_true_law(name: str, correlation: float) -> None:
    """Gray is exact, the split leans to the average, the spread is too large; steps don't help."""
    diffusion = GaussianDiffusion(SCHEDULES[name](1000))
    mean, cov, y = two_pixels(correlation)
    phi = as_matrix((1, 2), 2)
    true, V = given_coarse(mean, cov, phi, y)
    detail = torch.tensor([1.0, -1.0], dtype=torch.float64)
    free = ilvr_law(diffusion, mean, cov, phi, y, range(1000, 0, -1), last=1000)[-1]
    assert float((free[0] - mean).abs().max()) < 1e-3  # without a reference the walk is right
    assert float((free[1] - cov).abs().max()) < 0.02
    for steps in (250, 1000):
        m, W = ilvr_law(diffusion, mean, cov, phi, y, evenly_spaced(1000, steps))[-1]
        assert float(m.sum()) == pytest.approx(1.6)
        assert float(W.sum()) == pytest.approx(0, abs=1e-12)
        assert 0.1 < float(detail @ (true - m)) < 1
        assert 0 < float(detail @ m)
        assert float(detail @ W @ detail) > 1.1 * float(detail @ V @ detail)


def test_it_does_where_coarse_and_fine_have_nothing_to_do_with_each_other() -> None:
    """Two pixels of one width: their difference is independent of their mean."""
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](1000))
    cov, y = 0.25 * torch.eye(2).double(), torch.tensor([0.8, 0.8], dtype=torch.float64)
    phi, mean = as_matrix((1, 2), 2), torch.zeros(2).double()
    true, V = given_coarse(mean, cov, phi, y)
    m, W = ilvr_law(diffusion, mean, cov, phi, y, range(1000, 0, -1))[-1]
    torch.testing.assert_close(m, true)
    torch.testing.assert_close(W, V, rtol=0, atol=5e-3)


@pytest.mark.parametrize("t", [5, 20, 35])
def test_what_a_denoiser_told_the_coarse_part_adds_is_the_missing_gradient(
    diffusion: GaussianDiffusion, t: int
) -> None:
    """The score that knows φ(y) is the plain one plus the gradient of log p(φ(y)|x_t)."""
    mean, cov = some_gaussian(4)
    phi, y = as_matrix((2, 2), 2), normal(4, seed=9)
    x = normal(6, 4, seed=1).requires_grad_()
    at = torch.full((6,), t)
    a = float(diffusion.schedule.alpha_bar[t]) ** 0.5
    var = 1 - a * a

    plain, told = (
        gaussian_denoiser(diffusion, *of)(x, at)
        for of in ((mean, cov), given_coarse(mean, cov, phi, y))
    )
    # p(x_0|x_t) in information form; the coarse part is one number, the mean.
    left = torch.linalg.inv(torch.linalg.inv(cov) + a * a / var * torch.eye(4))
    center = (torch.linalg.solve(cov, mean) + a / var * x) @ left
    weights = torch.full((4,), 0.25, dtype=torch.float64)
    coarse = torch.distributions.Normal(center @ weights, (weights @ left @ weights).sqrt())
    gradient = torch.autograd.grad(coarse.log_prob(y.mean()).sum(), x)[0]
    expected = (plain.eps - told.eps) / var**0.5
    torch.testing.assert_close(gradient, expected.detach(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("correlation", [0.0, 0.5, -0.5])
def test_with_the_missing_gradient_it_samples_the_true_law(correlation: float) -> None:
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](1000))
    mean, cov, y = two_pixels(correlation)
    phi = as_matrix((1, 2), 2)
    true, V = given_coarse(mean, cov, phi, y)
    gaps = []
    for steps in (250, 1000):
        m, W = ilvr_law(diffusion, true, V, phi, y, evenly_spaced(1000, steps))[-1]
        torch.testing.assert_close(m, true, rtol=0, atol=1e-4)
        gaps.append(float((W - V).abs().max()))
    assert gaps[1] < 0.5 * gaps[0]
    assert gaps[1] < 0.03 * float(V.abs().max())
