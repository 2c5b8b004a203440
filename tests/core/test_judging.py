"""The line that stands for real digits, beside a Fréchet distance."""

from __future__ import annotations

import pytest
import torch

from diffusion_core.judging import floor_told, moments, real_floor


def test_the_line_of_real_digits_is_the_mean_of_random_sets() -> None:
    features = torch.randn(400, 32, generator=torch.Generator().manual_seed(0))
    real = moments(features)
    some, few = (real_floor(features, real, n, seed=3) for n in (350, 200))
    assert 0 < some[0] < few[0]
    assert 0 < some[1] < some[0]
    assert real_floor(features, real, 350, seed=3) == some
    assert real_floor(features, real, 350, seed=4) != some
    whole = real_floor(features, real, 400)
    assert whole == pytest.approx((0, 0), abs=0.01)


def test_a_card_says_mean_and_spread() -> None:
    features = torch.randn(400, 32, generator=torch.Generator().manual_seed(0))
    mean, spread = real_floor(features, moments(features), 50)
    assert floor_told(features, moments(features), 50) == f"floor {mean:.2f} ± {spread:.2f}"
