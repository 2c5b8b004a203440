"""Blur against the heat equation, the two rules against what they promise, noise against DDIM."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from diffusion_core.cold import (
    NARROWEST,
    RULES,
    STEPS,
    WIDEST,
    Restorer,
    blur,
    blur_width,
    cosine_basis,
    flat_gray,
    heat_factors,
    improved_step,
    naive_step,
    noise_steps,
    noise_within,
    restore_steps,
    restored,
    straight,
    unblur,
    variety,
    with_noise,
)
from diffusion_core.datasets import load_gallery, to_unit
from diffusion_core.denoisers import ideal_denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.samplers import sample
from diffusion_core.schedules import SCHEDULES


def at(t: int, n: int = 3) -> Tensor:
    return torch.full((n,), t)


def pictures(n: int = 3, side: int = 28) -> Tensor:
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(0)).double() * 2 - 1


def test_the_cosines_are_their_definition_and_orthonormal() -> None:
    C = cosine_basis(6)
    for k, i in itertools.product(range(6), repeat=2):
        size = math.sqrt((1 if k == 0 else 2) / 6)
        assert float(C[k, i]) == pytest.approx(size * math.cos(math.pi * k * (i + 0.5) / 6))
    torch.testing.assert_close(C @ C.T, torch.eye(6, dtype=torch.float64), atol=1e-14, rtol=0)


@pytest.mark.parametrize("t", [1, 20, 33])
def test_blur_is_heat_that_spreads_and_cannot_leave(t: int) -> None:
    """Heat on a finer and finer grid of the same cosines: by many small steps of u' = Δu / 2.

    A cosine of the grid is an eigenvector of the differences below, mirrored at the border, with
    2 (1 - cos(πk/n)) where the blur has (πk/n)²; a smooth picture is made of small k, where both
    agree.
    """
    n = 64
    x = torch.linspace(0, 1, n, dtype=torch.float64)
    smooth = torch.exp(-((x[:, None] - 0.4) ** 2 + (x - 0.55) ** 2) / 0.03)[None, None]
    time, u = float(blur_width(at(t, 1))) ** 2, smooth.clone()
    steps = math.ceil(time / 0.1)
    for _ in range(steps):
        padded = torch.nn.functional.pad(u, (1, 1, 1, 1), mode="replicate")
        laplacian = (
            padded[..., 2:, 1:-1] + padded[..., :-2, 1:-1] + padded[..., 1:-1, 2:]
            + padded[..., 1:-1, :-2] - 4 * u
        )  # fmt: skip
        u = u + 0.5 * time / steps * laplacian
    assert float((u - smooth).abs().max()) > 0.001  # something has happened
    torch.testing.assert_close(blur(smooth, at(t, 1)), u, atol=2e-3, rtol=0)


@pytest.mark.parametrize("t", [15, 25])
def test_blur_is_a_convolution_with_the_mirrored_gaussian(t: int) -> None:
    """Away from aliasing, written as a sum over pixels of the picture mirrored at its borders."""
    n, width = 28, float(blur_width(at(t, 1)))
    x = load_gallery_digit()
    i = torch.arange(-6 * n, 7 * n)
    mirrored = torch.where(
        i.remainder(2 * n) < n, i.remainder(2 * n), 2 * n - 1 - i.remainder(2 * n)
    )
    kernel = torch.exp(-((torch.arange(n)[:, None] - i) ** 2) / (2 * width**2)).double()
    kernel = kernel / kernel.sum(1, keepdim=True)
    across = torch.zeros(n, n, dtype=torch.float64).index_add_(1, mirrored, kernel)
    torch.testing.assert_close(
        blur(x, at(t, 1))[0, 0], across @ x[0, 0] @ across.T, atol=2e-6, rtol=0
    )


def load_gallery_digit() -> Tensor:
    return to_unit(load_gallery().images[13:14]).double()


def test_blurs_add_like_variances() -> None:
    """Blurred twice is blurred once with the root of the sum of both widths' squares."""
    x = pictures()
    widths = {t: float(blur_width(at(t, 1))) for t in range(STEPS + 1)}
    twice = blur(blur(x, at(10)), at(14))
    wanted = math.hypot(widths[10], widths[14])
    k = torch.arange(28, dtype=torch.float64) * math.pi / 28
    factor = torch.exp(-(wanted**2) / 2 * (k[:, None].square() + k.square()))
    C = cosine_basis(28)
    torch.testing.assert_close(twice, C.T @ (factor * (C @ x @ C.T)) @ C, atol=1e-12, rtol=0)


def test_blur_keeps_the_mean_and_t_0_keeps_everything() -> None:
    x = pictures()
    torch.testing.assert_close(blur(x, at(0)), x, atol=1e-13, rtol=0)
    spread = []
    for t in (1, 10, 25, STEPS):
        y = blur(x, at(t))
        torch.testing.assert_close(y.mean((1, 2, 3)), x.mean((1, 2, 3)), atol=1e-14, rtol=0)
        spread.append(float(y.var()))
    assert spread == sorted(spread, reverse=True)


def test_each_picture_has_its_own_t() -> None:
    x, t = pictures(), torch.tensor([0, 7, STEPS])
    together = blur(x, t)
    for k in range(3):
        torch.testing.assert_close(together[k : k + 1], blur(x[k : k + 1], t[k : k + 1]))


def test_widths_grow_by_one_factor() -> None:
    widths = [float(blur_width(at(t, 1))) for t in range(STEPS + 1)]
    assert widths[0] == 0
    assert widths[1] == pytest.approx(NARROWEST)
    assert widths[-1] == pytest.approx(WIDEST)
    growth = [b / a for a, b in itertools.pairwise(widths[1:])]
    assert max(growth) - min(growth) < 1e-12


def test_dividing_undoes_a_blur_until_rounding_is_divided_too() -> None:
    x = pictures()
    for t, error in ((1, 1e-12), (8, 1e-11), (12, 1e-7)):
        torch.testing.assert_close(unblur(blur(x, at(t)), at(t)), x, atol=error, rtol=0)
    coarse = x.float()
    assert float((unblur(blur(coarse, at(8)), at(8)) - coarse).abs().max()) < 1e-3
    assert float((unblur(blur(coarse, at(16)), at(16)) - coarse).abs().max()) > 1e3
    assert float((unblur(blur(x, at(20)), at(20)) - x).abs().max()) > 1e3
    assert bool(unblur(blur(coarse, at(STEPS)), at(STEPS)).isfinite().all())


@pytest.mark.parametrize("n", [4, 28])
def test_factors_begin_at_one_and_fall(n: int) -> None:
    factors = heat_factors(torch.tensor([0, 6]), n)
    assert bool((factors[0] == 1).all())
    assert float(factors[1, 0, 0]) == 1
    assert bool((factors[1].diff(dim=0) < 0).all())
    assert bool((factors[1].diff(dim=1) < 0).all())
    finest = math.exp(-(float(blur_width(at(6, 1))) ** 2) * (math.pi * (n - 1) / n) ** 2)
    assert float(factors[1, -1, -1]) == pytest.approx(finest)


# --- the two rules --------------------------------------------------------------------------------


def liar(seed: int) -> Restorer:
    """Answers something else at every question."""
    generator = torch.Generator().manual_seed(seed)

    def restore(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        return 5 * torch.randn(x_t.shape, generator=generator, dtype=x_t.dtype)

    return restore


def always(x0: Tensor) -> Restorer:
    return lambda x_t, t, label=None: x0.expand_as(x_t)


@pytest.mark.parametrize("start", [1, 13, STEPS])
def test_the_improved_rule_is_exact_on_straight_degradations_whatever_is_restored(
    start: int,
) -> None:
    x0, direction = pictures(), pictures(1)[0] * 3
    degrade = straight(direction)
    torch.testing.assert_close(degrade(x0, at(STEPS)), x0 + direction)
    stops = list(restore_steps(degrade, liar(1), degrade(x0, at(start)), start))
    for stop in stops:
        torch.testing.assert_close(stop.x_t, degrade(x0, at(stop.t)), atol=1e-12, rtol=0)
    naive = restored(degrade, liar(1), degrade(x0, at(start)), start, rule="naive")
    assert float((naive - x0).abs().max()) > 3


def test_one_answer_comes_back_from_the_naive_rule_and_half_of_it_from_the_other() -> None:
    """By the improved rule x_0 = x̂ + D(x_0 - x̂, t): what the blur has kept is the truth's."""
    x0, answer, start = pictures(), pictures(1) * -0.5, 12
    x_t = blur(x0, at(start))
    naive, improved = (
        restored(blur, always(answer), x_t, start, rule=rule) for rule in ("naive", "improved")
    )
    torch.testing.assert_close(naive, answer.expand_as(x0), atol=1e-12, rtol=0)
    torch.testing.assert_close(improved, answer + blur(x0 - answer, at(start)), atol=1e-12, rtol=0)
    errors = [float((end - x0).square().sum()) for end in (naive, improved)]
    C = cosine_basis(28)
    missing = (1 - heat_factors(at(start, 1), 28)) * (C @ (answer - x0) @ C.T)
    assert errors[1] == pytest.approx(float(missing.square().sum()))
    assert errors[1] < errors[0]


@pytest.mark.parametrize("rule", RULES)
def test_a_right_restorer_is_followed_along_the_true_way(rule: str) -> None:
    x0 = pictures()
    for stop in restore_steps(blur, always(x0), blur(x0, at(25)), 25, rule=rule):
        torch.testing.assert_close(stop.x_t, blur(x0, at(stop.t)), atol=1e-12, rtol=0)


def test_the_improved_rule_keeps_the_mean_gray_and_the_naive_rule_takes_the_restorers() -> None:
    x0 = pictures()
    x_t = blur(x0, at(30))
    stops = list(restore_steps(blur, liar(2), x_t, 30))
    for stop in stops:
        torch.testing.assert_close(stop.x_t.mean((1, 2, 3)), x0.mean((1, 2, 3)), atol=1e-11, rtol=0)
    said = torch.full((1, 1, 1, 1), 0.7).double()
    end = restored(blur, always(said), x_t, 30, rule="naive")
    torch.testing.assert_close(end, torch.full_like(end, 0.7))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("start", [1, 6])
def test_stops_and_end_agree(rule: str, start: int) -> None:
    x_t, restore = pictures(), lambda x, t, label: 0.5 * x + label[:, None, None, None] / t.max()
    label = torch.tensor([1, 2, 3])
    stops = list(restore_steps(blur, restore, x_t, start, rule=rule, label=label))
    assert [stop.t for stop in stops] == list(range(start, -1, -1))
    assert stops[-1].x0 is None
    for now, then in itertools.pairwise(stops):
        assert now.x0 is not None
        t, s = at(now.t), at(then.t)
        torch.testing.assert_close(now.x0, restore(now.x_t, t, label))
        stays = now.x_t - blur(now.x0, t) if rule == "improved" else 0
        torch.testing.assert_close(then.x_t, stays + blur(now.x0, s))
    end = restored(blur, restore, x_t, start, rule=rule, label=label)
    torch.testing.assert_close(end, stops[-1].x_t, atol=0, rtol=0)
    once = restored(blur, restore, x_t, start, rule="once", label=label)
    torch.testing.assert_close(once, stops[0].x0, atol=0, rtol=0)


@pytest.mark.parametrize("t", [-1, STEPS + 1])
def test_there_is_no_blur_beyond_the_last(t: int) -> None:
    with pytest.raises(ValueError, match=f"t must lie in 0..{STEPS}"):
        blur(pictures(), at(t))
    with pytest.raises(ValueError, match=f"t must lie in 0..{STEPS}"):
        restored(blur, always(pictures()), pictures(), STEPS + 1)


# --- noise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["linear", "cosine", "sigmoid"])
def test_with_the_noise_that_x_t_holds_both_rules_are_ddim(schedule: str) -> None:
    diffusion = GaussianDiffusion(SCHEDULES[schedule](1000))
    denoiser = ideal_denoiser(diffusion, to_unit(load_gallery().images[:30]).double())
    x_T = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(4)).double()
    times = [990, 800, 500, 200, 50, 3]
    theirs = list(
        sample(diffusion, denoiser, x_T, times, sampler="ddim", clip_x0=False,
               generator=torch.Generator())
    )  # fmt: skip
    assert float((theirs[-1].x_t - x_T).abs().max()) > 1
    for rule in RULES:
        ours = list(
            noise_steps(diffusion, lambda x, t, y: denoiser(x, t, y).x0, x_T, times, rule=rule)
        )
        assert [stop.t for stop in ours] == [*times, 0]
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine.x_t, other.x_t, atol=1e-9, rtol=0)


def test_the_noise_within_is_the_noise_that_was_put_on() -> None:
    diffusion, x0, t = GaussianDiffusion(SCHEDULES["cosine"](100)), pictures(), at(40)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(5)).double()
    x_t = with_noise(diffusion, noise)(x0, t)
    a, sigma = (float(rate[0]) for rate in diffusion.rates(t, x0))
    torch.testing.assert_close(x_t, a * x0 + sigma * noise)
    torch.testing.assert_close(noise_within(diffusion, x_t, x0, t), noise)


def test_the_naive_rule_with_fresh_noise_draws_from_q_of_x_s_given_the_answer() -> None:
    diffusion, n = GaussianDiffusion(SCHEDULES["cosine"](100)), 100_000
    answer = torch.tensor([0.3]).double()
    x_T = torch.randn(n, 1, generator=torch.Generator().manual_seed(6)).double()
    stops = list(
        noise_steps(diffusion, always(answer), x_T, [100, 40], rule="naive",
                    generator=torch.Generator().manual_seed(7))
    )  # fmt: skip
    q = diffusion.q_marginal(answer, torch.tensor([40]))
    assert float(stops[1].x_t.mean()) == pytest.approx(float(q.mean), abs=0.02)
    assert float(stops[1].x_t.var()) == pytest.approx(float(q.var), rel=0.02)
    # It has forgotten x_T; the other rule with fresh noise has not, and its noise grows.
    assert abs(float(torch.corrcoef(torch.cat([stops[1].x_t, x_T], 1).T)[0, 1])) < 0.02
    other = list(
        noise_steps(diffusion, always(answer), x_T, [100, 40],
                    generator=torch.Generator().manual_seed(7))
    )  # fmt: skip
    s, t = (float(diffusion.schedule.alpha_bar[k]) for k in (40, 100))
    kept = 1 + ((1 - s) ** 0.5 - (1 - t) ** 0.5) ** 2
    assert float(other[1].x_t.var()) == pytest.approx(kept, rel=0.02)


# --- from nothing ---------------------------------------------------------------------------------


def test_flat_gray_is_flat_but_for_its_noise() -> None:
    gray = torch.tensor([-0.8, -0.2])
    plain = flat_gray(gray, 0.0, torch.Generator().manual_seed(0))
    assert plain.shape == (2, 1, 28, 28)
    assert bool((plain == gray[:, None, None, None]).all())
    noisy = flat_gray(gray, 0.1, torch.Generator().manual_seed(0)) - plain
    assert float(noisy.std()) == pytest.approx(0.1, rel=0.1)
    assert bool((noisy[0] != noisy[1]).all())


def test_variety_is_the_mean_over_pairs() -> None:
    x = pictures(6, 5)
    pairs = [float((a - b).square().mean()) for a, b in itertools.combinations(x, 2)]
    assert float(variety(x)) == pytest.approx(sum(pairs) / len(pairs))
    assert float(variety(x[:1].expand(4, -1, -1, -1))) == pytest.approx(0, abs=1e-15)


def test_steps_alone_are_the_rules() -> None:
    x, said = pictures(), pictures() * 0.1
    t, s = at(9), at(8)
    torch.testing.assert_close(naive_step(blur, x, said, t, s), blur(said, s))
    torch.testing.assert_close(
        improved_step(blur, x, said, t, s), x + blur(said, s) - blur(said, t)
    )


@pytest.mark.parametrize("timesteps", [[10, 20], [], [101], [20, 0]])
def test_stops_that_do_not_fall_to_0_are_refused(timesteps: list[int]) -> None:
    diffusion, x_T = GaussianDiffusion(SCHEDULES["cosine"](100)), pictures()
    with pytest.raises(ValueError, match="timesteps must"):
        list(noise_steps(diffusion, always(x_T), x_T, timesteps))
