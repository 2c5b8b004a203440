"""Unmasking in an order: how many, which, never twice; random order is the process itself."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion_core.discrete import absorbing, mask_and_replace, uniform
from diffusion_core.discrete_betas import even_loss
from diffusion_core.discrete_elbo import exact_model_probs, vb_terms
from diffusion_core.discrete_sampling import exact_denoiser, sample_discrete
from diffusion_core.unmasking import (
    ORDERS,
    UnmaskStep,
    carry_over,
    masked_prediction_terms,
    sample_in_order,
    unmask_chance,
)

T = 12
EVEN = absorbing(4, even_loss(T))
UNEVEN = absorbing(4, torch.linspace(0.05, 0.6, T, dtype=torch.float64))
DATA = torch.tensor([0.5, 0.1, 0.4, 0.0], dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def walk(shape: tuple[int, ...] = (3, 40), **given: Any) -> list[UnmaskStep]:
    options = {"timesteps": range(T, 0, -1), "generator": seeded(2)} | given
    denoiser = options.pop("denoiser", exact_denoiser(EVEN, DATA))
    x_T = torch.full(shape, 3)
    return list(sample_in_order(EVEN, denoiser, x_T, **options))


def neighbourly(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
    """A belief in two elements that depend on each other, so that the order matters."""
    logits = torch.zeros(*x_t.shape, 4, dtype=torch.float64)
    logits[..., 0] = 1.0
    left = torch.roll(x_t, 1, -1)
    logits.scatter_add_(-1, left.clamp(max=2)[..., None], 2.0 * (left < 3)[..., None].double())
    logits[..., 3] = -torch.inf
    keep = torch.full_like(logits, -torch.inf).scatter(-1, x_t[..., None], 0.0)
    return torch.where((x_t == 3)[..., None], logits, keep)


@pytest.mark.parametrize("order", ORDERS)
def test_as_many_are_shown_as_the_step_says_and_none_is_taken_back(order: str) -> None:
    steps = walk(order=order, timesteps=[12, 8, 7, 2])
    assert [step.t for step in steps] == [12, 8, 7, 2, 0]
    for step, then in itertools.pairwise(steps):
        assert step.shown is not None
        blank = step.x_t == 3
        assert not (step.shown & ~blank).any()
        assert torch.equal(then.x_t == 3, blank & ~step.shown)
        assert torch.equal(then.x_t[~blank], step.x_t[~blank])
    assert steps[0].x_t.eq(3).all()
    assert (steps[-1].x_t != 3).all()
    assert steps[-1][2:] == (None, None)


def test_the_numbers_shown_are_the_kernels() -> None:
    """Binomial: mean and variance of what is left, over many examples."""
    for order in ORDERS:
        steps = walk((4000, 20), order=order, timesteps=[12, 9, 3])
        for step, kept in zip(steps[1:], (9 / 12, 3 / 12, 0.0), strict=True):
            left = step.x_t.eq(3).sum(1).double()
            assert abs(float(left.mean()) - 20 * kept) < 5 * (20 * 0.25 / 4000) ** 0.5
            assert float(left.var()) == pytest.approx(20 * kept * (1 - kept), rel=0.15)


def test_two_orders_show_as_many_and_the_same_seed_repeats() -> None:
    one, again, other = (walk(order=order) for order in ("random", "random", "confidence"))
    assert all(torch.equal(a.x_t, b.x_t) for a, b in zip(one, again, strict=True))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.x_t.eq(3).sum(1), b.x_t.eq(3).sum(1))
    assert not torch.equal(one[5].x_t, other[5].x_t)
    assert not torch.equal(one[-1].x_t, walk(generator=seeded(3))[-1].x_t)


def test_the_confident_go_first() -> None:
    """Element 0 is known for sure, the others are not: it is among the first shown."""

    def sure_of_the_first(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        logits = torch.zeros(*x_t.shape, 4)
        logits[..., 0, 1] = 9.0
        logits[..., 3] = -torch.inf
        return logits

    steps = walk((200, 10), denoiser=sure_of_the_first, order="confidence")
    when = [
        step.shown.any(1) & step.x_t[:, 0].eq(3) for step in steps[:-1] if step.shown is not None
    ]
    first = [step.shown[:, 0] for step in steps[:-1] if step.shown is not None]
    assert torch.cat(first)[torch.cat(when)].double().mean() > 0.98
    # Equal confidences are in random order: the rest appears evenly.
    early = torch.stack([step.x_t[:, 1:] != 3 for step in steps[:-1]]).double().mean((0, 1))
    assert float(early.max() - early.min()) < 0.1


def test_random_order_is_the_process_on_a_small_world() -> None:
    shape, n = (2,), 60_000
    diffusion = absorbing(4, even_loss(3))
    exact = exact_model_probs(diffusion, neighbourly, shape)
    x_T = torch.full((n, *shape), 3)
    times, bound = range(3, 0, -1), 5 * 0.5 / n**0.5

    def counted(last: Tensor) -> Tensor:
        return torch.bincount(4 * last[:, 0] + last[:, 1], minlength=16).double() / n

    *_, ours = sample_in_order(diffusion, neighbourly, x_T, times, generator=seeded(1))
    assert (counted(ours.x_t) - exact).abs().max() < bound
    *_, theirs = sample_discrete(diffusion, neighbourly, x_T, times, generator=seeded(2))
    assert (counted(theirs.x_t) - exact).abs().max() < bound
    *_, greedy = sample_in_order(
        diffusion, neighbourly, x_T, times, order="confidence", generator=seeded(1)
    )
    assert (counted(greedy.x_t) - exact).abs().max() > 2 * bound  # another distribution


def test_the_likeliest_may_be_taken_at_the_last_step() -> None:
    steps = walk(timesteps=[12], likeliest_last=True)
    assert steps[-1].x_t.eq(0).all()


def test_what_is_shown_stays_whatever_the_network_says() -> None:
    def wrong(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.nn.functional.one_hot((x_t + 1) % 3, 4).double() * 5

    x_t = torch.tensor([[0, 1, 2, 3]])
    said = carry_over(EVEN, wrong)(x_t, torch.tensor([4]))
    assert torch.equal(said.softmax(-1)[0, :3, :3], torch.eye(3, dtype=torch.float64))
    assert torch.equal(said[0, 3], wrong(x_t, torch.tensor([4]))[0, 3])
    x0 = torch.randint(3, (5, 40), generator=seeded())
    half = EVEN.q_sample(x0, torch.full((5,), 6), seeded(1))
    *_, last = sample_discrete(EVEN, carry_over(EVEN, wrong), half, [6, 3], generator=seeded(2))
    assert torch.equal(last.x_t[half != 3], half[half != 3])
    with pytest.raises(ValueError, match="only an absorbing process"):
        carry_over(uniform(4, even_loss(T)), wrong)


# --- the bound ------------------------------------------------------------------------------------


@pytest.mark.parametrize("diffusion", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_the_bound_is_a_weighted_cross_entropy_on_what_is_masked(diffusion: Any) -> None:
    t = torch.arange(1, T + 1)
    x0 = torch.randint(3, (T, 6), generator=seeded(1))
    x_t = diffusion.q_sample(x0, t, seeded(2))
    logits = torch.randn(T, 6, 4, generator=seeded(3), dtype=torch.float64)
    logits[..., 3] = -torch.inf
    logits = torch.where(
        (x_t == 3)[..., None],
        logits,
        torch.full_like(logits, -torch.inf).scatter(-1, x_t[..., None], 0.0),
    )
    for s in (None, t // 2):
        bound = vb_terms(diffusion, logits, x_t, x0, t, s)
        ours = masked_prediction_terms(diffusion, logits, x_t, x0, t, s)
        torch.testing.assert_close(ours, bound, rtol=0, atol=1e-13)
        assert ours[x_t != 3].eq(0).all()


def test_the_weight_is_one_over_t_for_even_betas() -> None:
    t = torch.arange(1, T + 1)
    torch.testing.assert_close(unmask_chance(EVEN, t, t - 1), 1 / t.double(), rtol=0, atol=1e-14)
    torch.testing.assert_close(
        unmask_chance(EVEN, t, t // 2), (t - t // 2) / t.double(), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"timesteps": []}, "decrease"),
        ({"timesteps": [3, 3]}, "decrease"),
        ({"timesteps": [13, 1]}, r"1\.\.12"),
        ({"order": "sideways"}, "unknown order 'sideways'"),
    ],
    ids=str,
)
def test_bad_input_is_refused_on_the_call(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        walk(**given)


@pytest.mark.parametrize(
    "diffusion",
    [uniform(4, even_loss(T)), mask_and_replace(4, T)],
    ids=["uniform", "mask_and_replace"],
)
def test_only_an_absorbing_process_unmasks(diffusion: Any) -> None:
    denoiser = exact_denoiser(EVEN, DATA)
    with pytest.raises(ValueError, match="only an absorbing process"):
        sample_in_order(diffusion, denoiser, torch.full((1, 2), 3), [3], generator=seeded())


def test_a_mask_that_data_hold_has_no_order() -> None:
    data = torch.tensor([0.5, 0.2, 0.2, 0.1], dtype=torch.float64)
    with pytest.raises(ValueError, match="no clean element"):
        walk(denoiser=exact_denoiser(EVEN, data))
