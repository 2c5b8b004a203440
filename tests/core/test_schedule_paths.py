"""Paths of gamma: equal ends, an equal mean, and a variance that has a least value."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from diffusion_core.schedule_paths import (
    ErrorTable,
    continuous_cost,
    cosine_gamma,
    cost_over_time,
    draw_errors,
    finite_cost,
    mix,
    quietest_path,
    through,
    times_of,
    variance_on_path,
)
from diffusion_core.vdm_elbo import Gamma, linear_gamma, vdm_elbo
from diffusion_core.vdm_network import LearnedGamma

LOW, HIGH = -6.0, 4.0


def bent() -> Gamma:
    """A learned schedule that has learned something."""
    torch.manual_seed(3)
    learned = LearnedGamma(LOW, HIGH)
    with torch.no_grad():
        learned.height += torch.randn(len(learned.height))
    return learned.requires_grad_(False)


PATHS: dict[str, Callable[[], Gamma]] = {
    "linear": lambda: linear_gamma(LOW, HIGH),
    "cosine": lambda: cosine_gamma(LOW, HIGH),
    "learned": bent,
    "mixed": lambda: mix(linear_gamma(LOW, HIGH), cosine_gamma(LOW, HIGH), 0.3),
}
paths = pytest.mark.parametrize("name", PATHS)


def known(gamma: Tensor) -> Tensor:
    """An error whose integral is known: falls from 30 to near 0."""
    return 30 * torch.sigmoid(-gamma)


def exact_table(K: int = 400) -> ErrorTable:
    """A table without chance."""
    gammas = torch.linspace(LOW, HIGH, K, dtype=torch.float64)
    return ErrorTable(gammas, known(gammas)[:, None].expand(-1, 2))


def exact_mean() -> float:
    """Half the integral of 30 S(-g)."""
    return 15 * (math.log1p(math.exp(-LOW)) - math.log1p(math.exp(-HIGH)))


@paths
def test_every_path_has_the_same_ends_and_rises(name: str) -> None:
    gamma = PATHS[name]()
    t = torch.linspace(0, 1, 200, dtype=torch.float64)
    levels = gamma(t)
    assert levels[[0, -1]].tolist() == pytest.approx([LOW, HIGH], abs=1e-6)
    assert bool((levels.diff() > 0).all())
    back = times_of(gamma, levels)
    assert torch.allclose(back, t, atol=1e-9)


def test_the_cosine_is_the_cosine() -> None:
    """Its alpha_bar is cos^2 of an angle that runs evenly."""
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    angle = torch.sigmoid(-cosine_gamma(LOW, HIGH)(t)).sqrt().acos()
    assert torch.allclose(angle.diff(), angle.diff().mean().expand(8), atol=1e-12)


@paths
def test_the_mean_does_not_know_the_path(name: str) -> None:
    table = exact_table()
    t, cost = cost_over_time(table, PATHS[name]())
    assert continuous_cost(table).mean == pytest.approx(exact_mean(), rel=1e-4)
    # Over time, as the estimate takes it, each cell counts for as long as it lasts.
    edges = times_of(PATHS[name](), table.levels)
    assert bool(((edges[:-1] <= t) & (t <= edges[1:])).all())
    assert float((cost * edges.diff()).sum()) == pytest.approx(exact_mean(), rel=1e-4)


@paths
def test_many_steps_come_down_to_continuous_time(name: str) -> None:
    table, gamma = exact_table(), PATHS[name]()
    found = [finite_cost(table, gamma, T).mean for T in (4, 16, 64, 256, 4096)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(exact_mean(), rel=1e-2)


@paths
def test_the_variance_agrees_with_draws(name: str) -> None:
    gamma = PATHS[name]()
    generator = torch.Generator().manual_seed(5)
    t = torch.rand(100_000, generator=generator, dtype=torch.float64).requires_grad_()
    level = gamma(t)
    (pace,) = torch.autograd.grad(level.sum(), t)
    draws = 0.5 * pace * known(level.detach())
    error = draws.std() / math.sqrt(len(draws))
    assert abs(float(draws.mean()) - exact_mean()) < 5 * float(error)
    square = (draws - draws.mean()).square()
    wanted, spread = float(square.mean()), float(square.std()) / math.sqrt(len(draws))
    assert abs(variance_on_path(exact_table(), gamma).mean - wanted) < 5 * spread + 1e-3 * wanted


def test_where_all_draws_cost_the_same_there_is_no_variance() -> None:
    """gamma' in proportion to 1/e, by calculus: then gamma' e is one number."""
    table = exact_table(1000)
    times, levels = quietest_path(table)
    # dt/dgamma = e / (2 mean), so t is the share of the integral that is done.
    done = 15 * ((-levels).exp().log1p() - math.log1p(math.exp(-HIGH))) / exact_mean()
    assert torch.allclose(times, 1 - done, atol=1e-5)
    quiet = through(times, levels)
    _, cost = cost_over_time(table, quiet)
    assert cost.tolist() == pytest.approx([exact_mean()] * len(cost), rel=1e-3)
    assert variance_on_path(table, quiet).mean < 1e-4 * exact_mean() ** 2
    assert finite_cost(table, quiet, 1000).mean > exact_mean()


@paths
def test_no_path_is_quieter_than_the_quietest(name: str) -> None:
    """Also with noise in the errors: the bound of Cauchy and Schwarz."""
    generator = torch.Generator().manual_seed(1)
    gammas = torch.linspace(LOW, HIGH, 50, dtype=torch.float64)
    noise = torch.rand(50, 6, generator=generator, dtype=torch.float64)
    table = ErrorTable(gammas, known(gammas)[:, None] * 2 * noise)
    least = variance_on_path(table, through(*quietest_path(table))).mean
    there = PATHS[name]()
    assert least < variance_on_path(table, there).mean
    for share in (0.02, 0.2):
        near = mix(through(*quietest_path(table)), there, share)
        assert least < variance_on_path(table, near).mean


def test_standard_errors_are_those_of_many_tables() -> None:
    gammas = torch.linspace(LOW, HIGH, 20, dtype=torch.float64)
    gamma = cosine_gamma(LOW, HIGH)
    generator = torch.Generator().manual_seed(2)
    told: list[tuple[float, float, float, float]] = []
    for _ in range(100):
        noise = torch.rand(20, 16, generator=generator, dtype=torch.float64)
        table = ErrorTable(gammas, known(gammas)[:, None] * (0.5 + noise))
        told.append((*continuous_cost(table), *variance_on_path(table, gamma)))
    columns = torch.tensor(told)
    for value, error in ((0, 1), (2, 3)):
        assert float(columns[:, value].std()) == pytest.approx(
            float(columns[:, error].mean()), rel=0.25
        )


def half(z: Tensor, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
    """A network that does something with all it is given."""
    return torch.sigmoid(-log_snr).reshape(-1, 1, 1, 1).to(z) * z


@pytest.mark.parametrize("T", [8, None])
def test_the_table_agrees_with_the_bound_itself(T: int | None) -> None:
    x0 = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    gamma = cosine_gamma(LOW, HIGH)
    gammas = torch.linspace(LOW, HIGH, 60, dtype=torch.float64)
    table = draw_errors(half, x0, gammas, 64, torch.Generator().manual_seed(0))
    found = continuous_cost(table) if T is None else finite_cost(table, gamma, T)
    draws = torch.stack(
        [
            vdm_elbo(
                gamma, half, x0, T=T, n=128, generator=torch.Generator().manual_seed(s)
            ).denoising.sum()
            for s in range(30)
        ]
    )
    error = math.hypot(found.standard_error, float(draws.std()) / math.sqrt(len(draws)))
    assert abs(found.mean - float(draws.mean())) < 4 * error + 2e-3 * found.mean


def test_one_draw_tells_no_error() -> None:
    with pytest.raises(ValueError, match="at least two"):
        draw_errors(half, torch.ones(1, 1, 2, 2), torch.zeros(3), 1, torch.Generator())
