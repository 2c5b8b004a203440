"""Gradients past an argmin: what reaches whom, and where a copied step leads."""

from __future__ import annotations

import math

import pytest
import torch

from diffusion_core.codebooks import nearest_code
from diffusion_core.straight_through import (
    Miniature,
    affine,
    first_other_cell,
    leads_down,
    loss_parts,
    straight_through,
    train_miniature,
)


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_value_is_the_code_and_the_gradient_is_that_at_the_code() -> None:
    z, codes = draws(20, 3).requires_grad_(), draws(6, 3, seed=1)
    quantised = straight_through(z, codes)
    near = codes[nearest_code(z, codes)]
    torch.testing.assert_close(quantised, near)
    (got,) = torch.autograd.grad((quantised.sin() * quantised.cumsum(1)).sum(), z)
    at = near.clone().requires_grad_()
    (expected,) = torch.autograd.grad((at.sin() * at.cumsum(1)).sum(), at)
    torch.testing.assert_close(got, expected)


def test_the_true_derivative_is_0() -> None:
    """By differences: nothing changes when z moves a little, away from a border."""
    z, codes = draws(200, 2), draws(6, 2, seed=1)
    moved = z + 1e-7
    same = nearest_code(z, codes) == nearest_code(moved, codes)
    assert same.double().mean() > 0.99
    assert torch.equal(codes[nearest_code(z, codes)][same], codes[nearest_code(moved, codes)][same])


def test_each_term_moves_what_it_should() -> None:
    x, codes = draws(20, 2), draws(5, 2, seed=1).requires_grad_()
    z, scale = draws(20, 2, seed=2).requires_grad_(), torch.ones(2).double().requires_grad_()
    parts = loss_parts(x, z, codes, scale * straight_through(z, codes))
    moved = {
        name: [
            slope is not None and bool((slope != 0).any())
            for slope in torch.autograd.grad(
                part, (z, codes, scale), allow_unused=True, retain_graph=True
            )
        ]
        for name, part in parts._asdict().items()
    }
    assert moved == {
        "reconstruction": [True, False, True],
        "codebook": [False, True, False],
        "commitment": [True, False, False],
    }
    parts = loss_parts(*(v.detach() for v in (x, z, codes, straight_through(z, codes))))
    assert float(parts.codebook) == float(parts.commitment)
    near = codes.detach()[nearest_code(z, codes)]
    assert float(parts.codebook) == pytest.approx(float((z.detach() - near).square().sum(1).mean()))
    assert float(parts.reconstruction) == pytest.approx(float((x - near).square().sum(1).mean()))


def test_the_error_of_a_picture_is_summed_over_all_its_axes() -> None:
    z = torch.zeros(2, 2, dtype=torch.float64)
    picture = torch.ones(2, 2, 3, dtype=torch.float64)
    parts = loss_parts(picture, z, z[:1], torch.zeros_like(picture))
    assert float(parts.reconstruction) == 6


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_first_other_cell_is_the_one_that_a_walk_comes_to(d: int) -> None:
    z, way, codes = draws(60, d), draws(60, d, seed=1), draws(5, d, seed=2)
    found = first_other_cell(z, way, codes)
    own = nearest_code(z, codes)
    near = torch.linspace(0, 30, 60_001, dtype=torch.float64)
    walk = torch.cat([near, torch.logspace(math.log10(30), 7, 4000, dtype=torch.float64)])[:, None]
    seen = 0
    for i in range(60):
        cells = nearest_code(z[i] + walk * way[i], codes)
        others = cells[cells != own[i]]
        if not len(others):
            assert found[i] == own[i]
            continue
        seen += 1
        assert found[i] == others[0]
    assert 20 < seen < 60


def test_where_a_step_leads() -> None:
    codes = torch.tensor([[-1.0], [0.0], [2.0]], dtype=torch.float64)
    z = torch.tensor([[-1.2], [0.3], [0.3], [2.5]], dtype=torch.float64)
    way = torch.tensor([[1.0], [-0.5], [3.0], [1.0]], dtype=torch.float64)
    losses = torch.tensor([[3.0, 1.0, 2.0]], dtype=torch.float64).expand(4, 3)
    assert leads_down(z, way, codes, losses).tolist() == [1, -1, -1, 0]
    assert leads_down(z, -way, codes, losses).tolist() == [0, -1, -1, 1]
    level = torch.ones(4, 3, dtype=torch.float64)
    assert leads_down(z, way, codes, level).tolist() == [0, 0, 0, 0]


def small() -> tuple[torch.Tensor, Miniature]:
    x = draws(50, 2)
    x[:, 0] *= 3
    return x, Miniature(draws(1, 3, seed=1), draws(4, 1, seed=2), draws(2, 2, seed=3))


@pytest.mark.parametrize("pace", [1.0, 0.3])
@pytest.mark.parametrize("beta", [0.0, 0.25, 2.0])
def test_a_step_of_training_is_the_one_written_out_by_hand(beta: float, pace: float) -> None:
    x, start = small()
    rate, N = 0.03, len(x)
    first, second = train_miniature(x, start, steps=1, rate=rate, commitment=beta, pace=pace)
    z = x @ start.encoder[:, :-1].T + start.encoder[:, -1]
    k = nearest_code(z, start.codes)
    e = start.codes[k]
    made = e @ start.decoder[:, :-1].T + start.decoder[:, -1]
    back = 2 * (made - x)  # of a point's own error
    copied = back @ start.decoder[:, :-1]
    to_z = (copied + 2 * beta * (z - e)) / N
    ones = torch.ones(N, 1, dtype=torch.float64)
    encoder = start.encoder - rate * to_z.T @ torch.cat([x, ones], 1)
    decoder = start.decoder - rate * back.T @ torch.cat([e, ones], 1) / N
    codes = start.codes.clone()
    for j in range(4):
        codes[j] -= pace * rate * 2 * (e - z)[k == j].sum(0) / N
    torch.testing.assert_close(second.weights.encoder, encoder)
    torch.testing.assert_close(second.weights.decoder, decoder)
    torch.testing.assert_close(second.weights.codes, codes)
    assert first.parts[0] == pytest.approx(float((x - made).square().sum(1).mean()))
    torch.testing.assert_close(first.shown[2], affine(start.decoder, start.codes)[2])


def test_with_the_true_gradient_and_no_commitment_the_encoder_stands_still() -> None:
    x, start = small()
    *_, last = train_miniature(x, start, steps=30, rate=0.02, commitment=0.0, copy=False)
    assert torch.equal(last.weights.encoder, start.encoder)
    assert not torch.equal(last.weights.codes, start.codes)
    assert not torch.equal(last.weights.decoder, start.decoder)
    *_, last = train_miniature(x, start, steps=30, rate=0.02, commitment=0.0, copy=True)
    assert not torch.equal(last.weights.encoder, start.encoder)


def test_training_leaves_what_it_was_given_as_it_was() -> None:
    x, start = small()
    before = [w.clone() for w in start]
    moments = list(train_miniature(x, start, steps=3, rate=0.1, commitment=1.0))
    assert len(moments) == 4
    assert all(torch.equal(a, b) for a, b in zip(before, start, strict=True))
    assert not any(w.requires_grad for w in moments[-1].weights)
    # Moments are pictures of their time, not of the end.
    assert not torch.equal(moments[0].weights.codes, moments[-1].weights.codes)
    assert math.isfinite(moments[-1].parts[0])
