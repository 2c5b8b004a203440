"""Entropy, divergence and real codes against definitions, brute force and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from diffusion_core.codes import (
    Curves,
    coded,
    covering_normal,
    cross_entropy,
    decoded,
    divergence,
    entropy,
    flipped,
    huffman_code,
    kl_div_terms,
    log_ratio,
    normal_log_density,
    seeking_normal,
)
from diffusion_core.discrete_elbo import categorical_kl
from diffusion_core.gaussian import Gaussian

LETTERS = [
    [0.5, 0.25, 0.125, 0.125],
    [0.9, 0.1],
    [0.2] * 5,
    [0.36, 0.18, 0.16, 0.15, 0.15],
    [0.05, 0.4, 0.3, 0.25],
    [1 / 3, 1 / 3, 1 / 3],
]


def wide(n: int = 2401) -> torch.Tensor:
    return torch.linspace(-12, 12, n, dtype=torch.float64)


def normal(x: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    return normal_log_density(x, torch.tensor(mean), torch.tensor(std))


@pytest.mark.parametrize("p", LETTERS)
@pytest.mark.parametrize("q", LETTERS)
def test_entropies_are_averages_of_surprise(p: list[float], q: list[float]) -> None:
    if len(p) != len(q):
        return
    P, Q = (torch.tensor(v, dtype=torch.float64) for v in (p, q))
    assert float(entropy(P)) == pytest.approx(-sum(a * math.log(a) for a in p))
    assert float(cross_entropy(P, Q)) == pytest.approx(
        -sum(a * math.log(b) for a, b in zip(p, q, strict=True))
    )
    wasted = float(cross_entropy(P, Q) - entropy(P))
    assert wasted == pytest.approx(float(categorical_kl(P, Q)), abs=1e-12)
    assert wasted >= -1e-12
    assert 0 <= float(entropy(P)) <= math.log(len(p)) + 1e-12


def test_what_is_never_drawn_costs_nothing_and_what_is_impossible_all() -> None:
    p, q = torch.tensor([0.5, 0.5, 0.0]).double(), torch.tensor([0.25, 0.25, 0.5]).double()
    assert float(entropy(p)) == pytest.approx(math.log(2))
    assert float(cross_entropy(p, q)) == pytest.approx(math.log(4))
    assert math.isinf(float(cross_entropy(q, p)))


@pytest.mark.parametrize("q", LETTERS)
def test_no_code_is_shorter(q: list[float]) -> None:
    """Against all word lengths that Kraft's inequality allows."""
    words = huffman_code(q)
    assert len(set(words)) == len(q)
    assert not any(a != b and b.startswith(a) for a in words for b in words)
    assert sum(2.0 ** -len(word) for word in words) == 1
    mean = sum(share * len(word) for share, word in zip(q, words, strict=True))
    shortest = min(
        sum(share * length for share, length in zip(q, lengths, strict=True))
        for lengths in itertools.product(range(1, len(q)), repeat=len(q))
        if sum(2.0**-length for length in lengths) <= 1
    )
    assert mean == pytest.approx(shortest)
    bits = float(entropy(torch.tensor(q, dtype=torch.float64))) / math.log(2)
    assert bits - 1e-9 <= mean < bits + 1


@pytest.mark.parametrize("q", LETTERS)
def test_a_message_comes_back(q: list[float]) -> None:
    letters = torch.randint(len(q), (200,), generator=torch.Generator().manual_seed(0))
    words = huffman_code(q)
    bits = coded(letters, words)
    assert set(bits) <= {"0", "1"}
    assert decoded(bits, words) == letters.tolist()
    if len(longest := max(words, key=len)) > 1:
        with pytest.raises(ValueError, match="within a word"):
            decoded(longest[:-1], words)


@pytest.mark.parametrize(("p", "q"), [((0, 1), (0, 1)), ((0.5, 0.7), (-1, 1.5)), ((2, 2), (0, 1))])
def test_the_sum_over_a_grid_is_the_closed_form(
    p: tuple[float, float], q: tuple[float, float]
) -> None:
    x = wide()
    curves = Curves(x, normal(x, *p), normal(x, *q))
    one, other = (
        Gaussian(torch.tensor(float(m)), torch.tensor(float(s)).square()) for m, s in (p, q)
    )
    assert divergence(curves) == pytest.approx(float(one.kl(other)), abs=1e-4)
    assert divergence(flipped(curves)) == pytest.approx(float(other.kl(one)), abs=1e-4)


@pytest.mark.parametrize("apart", [0.0, 1.5, 4.0])
def test_both_best_normals_are_the_bottom_of_their_divergence(apart: float) -> None:
    x = wide()
    parts = torch.stack([normal(x, -apart / 2, 0.6) + math.log(0.6),
                         normal(x, apart / 2, 0.6) + math.log(0.4)])  # fmt: skip
    log_p = parts.logsumexp(0)

    def both(mean: float, std: float) -> np.ndarray:
        curves = Curves(x, log_p, normal(x, mean, std))
        return np.array([divergence(curves), divergence(flipped(curves))])

    found = [covering_normal(x, log_p), seeking_normal(x, log_p, (-apart / 2, 0.5))]
    mean = -0.1 * apart  # of 0.6 and 0.4
    variance = 0.36 + 0.24 * apart**2
    assert found[0] == pytest.approx((mean, math.sqrt(variance)), abs=1e-6)
    for order, (middle, width) in enumerate(found):
        least = both(middle, width)[order]
        for step in (-0.05, 0.05):
            assert both(middle + step, width)[order] > least
            assert both(middle, width * (1 + step))[order] > least


@pytest.mark.parametrize("apart", [1.0, 2.25, 2.5, 2.75, 3.0, 3.5, 5.0])
@pytest.mark.parametrize("start", [(-1.0, 0.6), (1.0, 0.6), (0.0, 1.0), (0.0, 3.0)])
def test_a_normal_so_wide_that_the_grid_loses_it_is_not_the_best(
    apart: float, start: tuple[float, float]
) -> None:
    """From wherever, what is found lies on the grid; from one start it is the best of all."""
    x = torch.linspace(-9, 9, 1201, dtype=torch.float64)
    log_p = torch.stack([normal(x, -apart / 2, 0.6) + math.log(0.6),
                         normal(x, apart / 2, 0.6) + math.log(0.4)]).logsumexp(0)  # fmt: skip

    def cost(mean: float, std: float) -> float:
        return divergence(flipped(Curves(x, log_p, normal(x, mean, std))))

    mean, std = seeking_normal(x, log_p, (start[0] * apart / 2, start[1]))
    assert abs(mean) <= apart / 2 + 0.01
    assert 0.55 < std < 3
    q = normal(x, mean, std).exp()
    assert float(q.sum() * (x[1] - x[0])) == pytest.approx(1, abs=1e-4)
    assert cost(mean, std) <= cost(start[0] * apart / 2, start[1]) + 1e-9
    for step in (-0.05, 0.05):
        assert cost(mean + step, std) > cost(mean, std)
        assert cost(mean, std * (1 + step)) > cost(mean, std)


@pytest.mark.parametrize("p", LETTERS[:5])
def test_kl_div_is_pytorchs_whatever_it_is_given(p: list[float]) -> None:
    """And the sum is KL(p||q) for (log q, p), KL(q||p) for (log p, q), below 0 for the others."""
    P = torch.tensor(p, dtype=torch.float64)
    Q = P.flip(0)
    kl = [sum(a * math.log(a / b) for a, b in zip(*pair, strict=True))
          for pair in ((p, p[::-1]), (p[::-1], p))]  # fmt: skip
    calls = ((Q.log(), P), (P.log(), Q), (Q, P), (P, Q))
    for a, b in calls:
        theirs = torch.nn.functional.kl_div(a, b, reduction="none")
        torch.testing.assert_close(kl_div_terms(a, b), theirs)
    sums = [float(kl_div_terms(a, b).sum()) for a, b in calls]
    assert sums[:2] == pytest.approx(kl, abs=1e-12)
    assert sums[2] == pytest.approx(-float(entropy(P)) - float(P @ Q))
    assert max(sums[2:]) < 0 <= min(sums[:2]) + 1e-12


def test_kl_div_of_zeros_is_pytorchs_too() -> None:
    """A letter of p that q rules out is infinite; of neither, NaN, which is no number's fault."""
    p = torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64)
    q = torch.tensor([0.5, 0.0, 0.5, 0.0], dtype=torch.float64)
    ours = kl_div_terms(q.log(), p)
    torch.testing.assert_close(
        ours, torch.nn.functional.kl_div(q.log(), p, reduction="none"), equal_nan=True
    )
    assert math.isinf(ours[1])
    assert math.isnan(ours[3])
    assert log_ratio(p, q).tolist() == [0.0, math.inf, 0.0, 0.0]


@pytest.mark.parametrize("p", LETTERS[:5])
def test_what_draws_say_of_a_divergence(p: list[float]) -> None:
    """Right on average, and below 0 in places; with q/p - 1 on top right, and nowhere below 0."""
    P = torch.tensor(p, dtype=torch.float64)
    Q = P.flip(0)
    ratio = log_ratio(P, Q)
    assert float(P @ ratio) == pytest.approx(float(cross_entropy(P, Q) - entropy(P)), abs=1e-12)
    assert bool((ratio < 0).any()) == (P.tolist() != Q.tolist())
    other = ratio + Q / P - 1
    assert float(P @ other) == pytest.approx(float(P @ ratio), abs=1e-12)
    assert float(other.min()) >= -1e-12
