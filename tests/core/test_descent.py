"""The bottom of functions whose bottom is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from diffusion_core.descent import minimise


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("spread", [1.0, 1e3])
def test_a_bowl_of_any_shape(n: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(n)
    Q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    curves = torch.logspace(0, math.log10(spread), n, dtype=torch.float64)
    bottom = torch.randn(n, generator=generator, dtype=torch.float64)

    def bowl(x: Tensor) -> Tensor:
        return 0.5 * (curves * (Q @ (x - bottom)).square()).sum()

    found = minimise(bowl, torch.zeros(n, dtype=torch.float64), 100)
    torch.testing.assert_close(found, bottom, atol=1e-4, rtol=0)


def test_a_bent_valley() -> None:
    """Rosenbrock's."""

    def valley(x: Tensor) -> Tensor:
        return (1 - x[0]).square() + 100 * (x[1] - x[0].square()).square()

    found = minimise(valley, torch.tensor([-1.2, 1.0], dtype=torch.float64), 200)
    torch.testing.assert_close(found, torch.ones(2, dtype=torch.float64), atol=1e-4, rtol=0)


def test_the_bottom_itself_is_not_left() -> None:
    start = torch.tensor([2.0], dtype=torch.float64)
    torch.testing.assert_close(minimise(lambda x: (x - 2).square().sum(), start), start)


def test_it_never_ends_higher_than_it_began() -> None:
    def steep(x: Tensor) -> Tensor:
        return (x.abs() ** 1.5).sum() + torch.sin(5 * x).sum()

    for k in range(20):
        start = torch.randn(3, generator=torch.Generator().manual_seed(k), dtype=torch.float64) * 3
        for rounds in (1, 5, 50):
            assert float(steep(minimise(steep, start, rounds))) <= float(steep(start)) + 1e-12
