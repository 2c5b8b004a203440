"""Codebooks: the nearest code, three ways to learn, and what is known of them exactly."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from diffusion_core.codebooks import (
    DEAD,
    FRESH,
    RULES,
    Averages,
    credited,
    distances,
    gradient_step,
    learn_codes,
    line_error,
    moving_average_step,
    nearest_code,
    perplexity,
    quantisation_error,
    replaced,
    restart_dead,
    smoothed,
    worst_served,
)


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_nearest_code_is_the_one_a_search_finds(d: int) -> None:
    z, codes = draws(40, d), draws(7, d, seed=1)
    for i, k in enumerate(nearest_code(z, codes).tolist()):
        own = float((z[i] - codes[k]).norm())
        assert all(own <= float((z[i] - other).norm()) + 1e-12 for other in codes)
    found = [min(float((v - c).square().sum()) for c in codes) for v in z]
    assert float(quantisation_error(z, codes)) == pytest.approx(sum(found) / 40)


def test_of_two_equally_near_codes_the_first_is_taken() -> None:
    codes = torch.tensor([[1.0], [-1.0]])
    assert nearest_code(torch.zeros(1, 1), codes).tolist() == [0]
    assert nearest_code(torch.zeros(1, 1), codes.flip(0)).tolist() == [0]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 1, 2, 3], 4.0),
        ([2] * 9, 1.0),
        ([0, 0, 1, 1], 2.0),
        ([0, 0, 0, 1], math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4))),
    ],
)
def test_perplexity(numbers: list[int], expected: float) -> None:
    assert perplexity(torch.tensor(numbers), 6) == pytest.approx(expected)
    assert perplexity(torch.tensor([numbers]), 4) == pytest.approx(expected)


@pytest.mark.parametrize("rate", [0.1, 0.7])
@pytest.mark.parametrize("K", [3, 8])
def test_the_gradient_step_is_autograd_s(K: int, rate: float) -> None:
    z, start = draws(60, 2), draws(K, 2, seed=2)
    codes = start.clone().requires_grad_()
    loss = (z.detach() - codes[nearest_code(z, codes)]).square().sum(1).mean()
    (slope,) = torch.autograd.grad(loss, codes)
    torch.testing.assert_close(gradient_step(z, start, rate), start - rate * slope)


def test_a_code_that_replaces_nothing_has_no_gradient() -> None:
    z = draws(50, 2)
    codes = torch.tensor([[0.0, 0.0], [99.0, 99.0]], dtype=torch.float64)
    assert torch.equal(gradient_step(z, codes, 1.0)[1], codes[1])


@pytest.mark.parametrize("seed", range(4))
def test_without_decay_and_with_all_data_it_is_a_step_of_k_means(seed: int) -> None:
    z, codes = draws(80, 2, seed=seed), draws(6, 2, seed=seed + 50)
    codes[5] = 40.0  # replaces nothing
    held = credited(codes, len(z))
    for _ in range(5):
        near = [min(range(6), key=lambda k: float((v - codes[k]).square().sum())) for v in z]
        means = []
        for k in range(6):
            mine = [v for v, j in zip(z, near, strict=True) if j == k]
            means.append(torch.stack(mine).mean(0) if mine else codes[k])
        codes = torch.stack(means)
        held = moving_average_step(z, held, 0.0)
        torch.testing.assert_close(held.codes, codes)


@pytest.mark.parametrize("decay", [0.3, 0.9])
def test_a_moving_average_is_the_weighted_mean_of_all_it_has_replaced(decay: float) -> None:
    z, codes = draws(80, 2), draws(4, 2, seed=9)
    held = credited(codes, len(z))
    weight, total = held.weight.clone(), held.total.clone()
    for _ in range(6):
        near = nearest_code(z, total / weight[:, None])
        held = moving_average_step(z, held, decay)
        for k in range(4):
            weight[k] = decay * weight[k] + (1 - decay) * int((near == k).sum())
            total[k] = decay * total[k] + (1 - decay) * z[near == k].sum(0)
        torch.testing.assert_close(held.codes, total / weight[:, None])
        torch.testing.assert_close(held.weight, weight)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("rule", ["average", "gradient"])
@pytest.mark.parametrize("seed", range(3))
def test_the_error_never_rises(rule: str, decay: float, seed: int) -> None:
    z = draws(90, 2, seed=seed)
    start = 3 * draws(7, 2, seed=seed + 20)
    walk = learn_codes(z, start, rule, steps=40, rate=0.9, decay=decay)
    errors = [float(quantisation_error(z, codes)) for codes, _ in walk]
    assert len(errors) == 41
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(errors))
    assert errors[-1] < 0.8 * errors[0]


def test_a_dead_code_starts_anew_at_a_vector_and_nothing_else_moves() -> None:
    z = draws(100, 2)
    codes = torch.cat([draws(4, 2, seed=3), torch.full((2, 2), 30.0, dtype=torch.float64)])
    held = credited(codes, 100)
    weight = held.weight.clone()
    weight[4:] = 0.5 * DEAD * 100 / 6
    held = Averages(weight, weight[:, None] * codes)
    new, dead = restart_dead(z, held)
    assert dead.tolist() == [False] * 4 + [True] * 2
    torch.testing.assert_close(new.codes[:4], codes[:4])
    for code in new.codes[4:]:
        assert float((z - code).norm(dim=1).min()) < 1e-12
    torch.testing.assert_close(new.weight[4:], torch.full_like(new.weight[4:], FRESH * 100 / 6))
    assert float(quantisation_error(z, new.codes)) < float(quantisation_error(z, held.codes))
    same, none = restart_dead(z, credited(codes, 100))
    assert not none.any()
    torch.testing.assert_close(same.codes, codes)


def test_restarts_bring_codes_back_that_collapsed() -> None:
    z = draws(100, 2).repeat(2, 1) + torch.tensor([[6.0, 0.0]] * 100 + [[-6.0, 0.0]] * 100)
    far = 30 + 0.1 * draws(8, 2, seed=5)
    ends = {}
    for rule in ("average", "restart"):
        *_, (codes, _) = learn_codes(z, far, rule, steps=60, decay=0.8)
        ends[rule] = perplexity(nearest_code(z, codes), 8)
    assert ends["average"] < 4
    assert ends["restart"] > 6


def test_vectors_are_picked_in_proportion_to_their_squared_distance() -> None:
    z = torch.arange(4.0)[:, None]
    distance = torch.tensor([0.0, 1.0, 3.0, 0.0])
    picked = worst_served(z, distance, 400)[:, 0]
    assert [(picked == k).sum().item() for k in range(4)] == [0, 100, 300, 0]
    assert worst_served(z, distance, 0).shape == (0, 1)


@pytest.mark.parametrize("K", [1, 2, 5])
def test_on_a_line_the_error_is_the_width_of_a_piece_squared_over_12(K: int) -> None:
    z = ((torch.arange(6000, dtype=torch.float64) + 0.5) / 6000 * 3 - 1)[:, None]
    start = z[torch.randperm(6000, generator=torch.Generator().manual_seed(1))[:K]]
    *_, (codes, _) = learn_codes(z, start, "average", steps=400, decay=0.0)
    assert float(quantisation_error(z, codes)) == pytest.approx(line_error(3.0, K), rel=1e-3)
    # No other codes are better: those that are pushed a little are not.
    pushed = codes + 0.02 * draws(K, 1, seed=K)
    assert float(quantisation_error(z, pushed)) > float(quantisation_error(z, codes))


def test_counts_and_sums() -> None:
    z, number = draws(30, 3), torch.arange(30) % 4
    count, total = replaced(z, number, 5)
    assert count.tolist() == [8, 8, 7, 7, 0]
    torch.testing.assert_close(total[1], z[1::4].sum(0))
    torch.testing.assert_close(total[4], torch.zeros(3, dtype=torch.float64))
    assert distances(z, z).diagonal().abs().max() == 0


@pytest.mark.parametrize("eps", [0.0, 1e-5, 0.3])
def test_an_epsilon_keeps_the_sum_and_draws_a_dead_code_to_zero(eps: float) -> None:
    weight = torch.tensor([7.0, 3.0, 0.5], dtype=torch.float64)
    found = smoothed(weight, eps)
    assert float(found.sum()) == pytest.approx(10.5)
    expected = [(n + eps) / (10.5 + 3 * eps) * 10.5 for n in weight.tolist()]
    np.testing.assert_allclose(found, expected)
    z = torch.tensor([[0.0, 1.0], [0.0, 1.2]], dtype=torch.float64)
    held = credited(torch.tensor([[0.0, 1.0], [5.0, 5.0]], dtype=torch.float64), 2, eps)
    for _ in range(10):
        held = moving_average_step(z, held, 0.5)
    N = 0.5**10
    share = N / (2 * (N + eps) / (2 + 2 * eps))
    np.testing.assert_allclose(held.codes[1], [5 * share] * 2)
    assert held.eps == restart_dead(z, held)[0].eps == eps


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(ValueError, match=r"'magic'; known are " + ", ".join(RULES)):
        next(learn_codes(draws(4, 2), draws(2, 2), "magic", steps=1))
