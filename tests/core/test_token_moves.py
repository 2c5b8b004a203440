"""What elements do in a run, errors planted in it, and the ledger of one example."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from diffusion_core.discrete import absorbing, mask_and_replace, uniform
from diffusion_core.discrete_betas import even_loss
from diffusion_core.discrete_elbo import discrete_elbo_terms
from diffusion_core.discrete_ledger import discrete_ledger
from diffusion_core.discrete_sampling import exact_denoiser, sample_discrete
from diffusion_core.ledger import chapters
from diffusion_core.token_moves import entropy_bits, moves, plant_errors

T = 12
BETAS = torch.linspace(0.05, 0.7, T, dtype=torch.float64)
DATA = torch.tensor([0.4, 0.1, 0.3, 0.2, 0.0], dtype=torch.float64)
PROCESSES = {
    "uniform": uniform(5, BETAS),
    "absorbing": absorbing(5, even_loss(T)),
    "mask_and_replace": mask_and_replace(5, T, keep=(0.9, 0.05), masked=(0.02, 0.6)),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_moves_by_hand() -> None:
    x_t, x_s = torch.tensor([[4, 4, 0, 1, 2]]), torch.tensor([[4, 1, 0, 2, 0]])
    believed = torch.nn.functional.one_hot(torch.tensor([[0, 0, 0, 1, 0]]), 5).double()
    told = moves(x_t, x_s, believed, 4)
    assert told.unmasked.tolist() == [[False, True, False, False, False]]
    assert told.changed.tolist() == [[False, False, False, True, True]]
    assert told.renoised.tolist() == [[False, False, False, True, False]]
    assert moves(x_t, x_s, believed, None).changed.sum() == 3


@pytest.mark.parametrize(
    ("name", "appear", "change"),
    [("uniform", False, True), ("absorbing", True, False), ("mask_and_replace", True, True)],
)
def test_who_appears_and_who_changes(name: str, appear: bool, change: bool) -> None:
    diffusion = PROCESSES[name]
    x_T = diffusion.prior_sample((4, 200), seeded(1))
    denoiser = exact_denoiser(diffusion, DATA)
    steps = list(sample_discrete(diffusion, denoiser, x_T, range(T, 0, -1), generator=seeded(2)))
    told = [
        moves(a.x_t, b.x_t, a.x0_probs, diffusion.mask)
        for a, b in itertools.pairwise(steps)
        if a.x0_probs is not None
    ]
    assert any(bool(m.unmasked.any()) for m in told) == appear
    assert any(bool(m.changed.any()) for m in told) == change
    if name == "absorbing":  # each exactly once
        assert torch.stack([m.unmasked for m in told]).sum(0).eq(1).all()


def test_entropy_in_bits() -> None:
    probs = torch.tensor([[1.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    assert entropy_bits(probs).tolist() == [0.0, 1.0]


def test_planted_errors_are_as_many_as_asked_and_spare_the_mask() -> None:
    x = torch.randint(9, (3, 10, 10), generator=seeded(1))
    planted, where = plant_errors(x, 20, 8, 8, seeded(2))
    assert where.flatten(1).sum(1).tolist() == [20] * 3
    assert (x[where] != 8).all()
    assert (planted[where] != x[where]).all()
    assert set(planted[where].tolist()) == {0, 7}
    assert torch.equal(planted[~where], x[~where])
    none, nowhere = plant_errors(torch.full((1, 4), 8), 3, 8, 8, seeded())
    assert not nowhere.any()
    assert none.eq(8).all()
    everywhere = plant_errors(x, 1000, 9, None, seeded())[1]
    assert everywhere.all()


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("most", [3, 64])
def test_the_ledgers_lines_are_the_bounds_terms(name: str, most: int) -> None:
    diffusion, denoiser = PROCESSES[name], exact_denoiser(PROCESSES[name], DATA)
    x0 = torch.randint(4, (1, 6), generator=seeded(1))
    parts = chapters(T, most)
    lines = list(discrete_ledger(diffusion, denoiser, x0, parts, batch=5, generator=seeded(4)))
    assert [line.steps for line in lines] == parts
    terms = discrete_elbo_terms(diffusion, denoiser, x0, batch=5, generator=seeded(4))
    expected = torch.cat([nats[0] for _, nats in terms])
    torch.testing.assert_close(torch.cat([line.nats for line in lines]), expected)
    for line in lines:
        assert math.isclose(float(line.share.sum()), float(line.nats[-1]), abs_tol=1e-12)
        assert line.x0_probs.shape == (6, 5)


def test_the_ledger_is_one_examples() -> None:
    diffusion = PROCESSES["uniform"]
    with pytest.raises(ValueError, match="one example's"):
        discrete_ledger(
            diffusion, exact_denoiser(diffusion, DATA), torch.zeros(2, 3, dtype=torch.int64),
            [range(1, T + 1)], generator=seeded(),
        )  # fmt: skip
