"""Reverse sampling of categories: what is drawn, what is replayed, what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion_core.discrete import (
    REVERSE_RULES,
    DiscreteDiffusion,
    absorbing,
    gaussian,
    mask_and_replace,
    nearest_neighbor,
    sample_categorical,
    uniform,
)
from diffusion_core.discrete_sampling import (
    DiscreteStep,
    belief,
    exact_denoiser,
    reverse_matrix,
    sample_discrete,
    true_reverse_matrix,
)

T = 12
BETAS = torch.linspace(0.05, 0.7, T, dtype=torch.float64)
LINEAR = 1 / torch.linspace(T, 1, T, dtype=torch.float64)
DATA = torch.tensor([0.5, 0.1, 0.3, 0.1, 0.0], dtype=torch.float64)
PROCESSES = {
    "uniform": uniform(5, BETAS),
    "absorbing": absorbing(5, LINEAR),
    "gaussian": gaussian(5, BETAS),
    "nearest_neighbor": nearest_neighbor(torch.arange(5.0)[:, None], BETAS, neighbors=2, rate=3),
    "mask_and_replace": mask_and_replace(5, T),
}
STRIDES = {"all": range(T, 0, -1), "few": (12, 7, 3), "uneven": (11, 10, 2, 1), "one": (12,)}


@pytest.fixture(params=PROCESSES)
def process(request: pytest.FixtureRequest) -> DiscreteDiffusion:
    return PROCESSES[request.param]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def walk(diffusion: DiscreteDiffusion, *, shape: tuple[int, ...] = (3, 4), **given: Any) -> Any:
    x_T = diffusion.prior_sample(shape, seeded(1))
    options = {"timesteps": range(diffusion.T, 0, -1), "generator": seeded(2)} | given
    denoiser = options.pop("denoiser", exact_denoiser(diffusion, DATA))
    return sample_discrete(diffusion, denoiser, x_T, **options)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("rule", REVERSE_RULES)
def test_a_walk_visits_its_steps_and_ends_at_0(
    process: DiscreteDiffusion, rule: str, stride: str
) -> None:
    steps = list(walk(process, timesteps=STRIDES[stride], rule=rule))
    assert [step.t for step in steps] == [*STRIDES[stride], 0]
    for step, then in itertools.pairwise(steps):
        assert isinstance(step, DiscreteStep)
        assert step.x_t.shape == (3, 4)
        assert step.x_t.dtype == torch.int64
        assert step.x0_probs is not None
        assert step.probs is not None
        assert step.uniforms is not None
        total = step.probs.sum(-1)
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)
        t, s = (torch.full((3,), k) for k in (step.t, then.t))
        again = REVERSE_RULES[rule](process, step.x_t, step.x0_probs, t, s)
        assert torch.equal(again, step.probs)
        assert torch.equal(sample_categorical(step.probs, step.uniforms), then.x_t)
    assert steps[-1][2:] == (None, None, None)


@pytest.mark.parametrize("stride", STRIDES)
def test_with_the_exact_belief_any_stride_draws_the_data(
    process: DiscreteDiffusion, stride: str
) -> None:
    """The mixture is the true reverse kernel for any s < t, so that long steps cost nothing here.

    Two steps to (T, 0) draw every element from p(x_0 | x_T) alone, which is right as well: elements
    are independent. What differs from the data is that x_T is drawn from the prior.
    """
    n = 20_000
    *_, last = walk(process, timesteps=STRIDES[stride], shape=(1, n))
    first = STRIDES[stride][0]
    denoiser = exact_denoiser(process, DATA)
    chain = process.prior_probs
    for t, s in zip(STRIDES[stride], [*STRIDES[stride][1:], 0], strict=True):
        chain = chain @ reverse_matrix(process, denoiser, t, s)
    counts = torch.bincount(last.x_t.reshape(-1), minlength=5).double() / n
    assert (counts - chain).abs().max() < 5 * 0.5 / n**0.5
    assert counts[4] == 0
    if first == T and process.mask is not None:
        torch.testing.assert_close(chain, DATA, rtol=0, atol=1e-4)


def test_every_stride_has_the_same_reverse_kernel(process: DiscreteDiffusion) -> None:
    """True steps compose: t to s is t to r and r to s, whoever makes them."""
    denoiser = exact_denoiser(process, DATA)
    for t, r, s in ((12, 7, 3), (6, 5, 4), (3, 2, 0)):
        long = reverse_matrix(process, denoiser, t, s)
        both = reverse_matrix(process, denoiser, t, r) @ reverse_matrix(process, denoiser, r, s)
        seen = DATA @ process.q_marginal_matrix(t) > 0
        torch.testing.assert_close(both[seen], long[seen], rtol=0, atol=1e-12)
        truth = true_reverse_matrix(process, DATA, t, s)
        torch.testing.assert_close(long[seen], truth[seen], rtol=0, atol=1e-12)


def test_the_same_seed_walks_the_same_way(process: DiscreteDiffusion) -> None:
    one, other, third = (
        [step.x_t for step in walk(process, generator=seeded(seed), shape=(2, 50))]
        for seed in (5, 5, 6)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[-1], third[-1])


def test_given_uniforms_repeat_a_walk(process: DiscreteDiffusion) -> None:
    steps = list(walk(process))
    uniforms = [step.uniforms for step in steps[:-1]]
    again = list(walk(process, generator=None, uniforms=uniforms))
    assert all(torch.equal(a.x_t, b.x_t) for a, b in zip(steps, again, strict=True))


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    asked = []

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        asked.append(t.tolist())
        return torch.zeros(*x_t.shape, 5)

    steps = walk(PROCESSES["uniform"], denoiser=denoiser)
    assert asked == []
    next(steps)
    next(steps)
    assert asked == [[12] * 3, [11] * 3]


def test_the_denoiser_is_told_the_label() -> None:
    told = []

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        told.append(label)
        return torch.zeros(*x_t.shape, 5)

    label = torch.tensor([1, 2, 3])
    list(walk(PROCESSES["uniform"], denoiser=denoiser, label=label, timesteps=[5, 2]))
    assert [value is label for value in told] == [True, True]


def test_absorbing_tokens_appear_once_and_stay() -> None:
    previous = None
    for step in walk(PROCESSES["absorbing"], shape=(2, 200)):
        if previous is not None:
            shown = previous != 4
            assert torch.equal(step.x_t[shown], previous[shown])
        previous = step.x_t
    assert previous is not None
    assert (previous != 4).all()


def test_uniform_tokens_may_change_their_mind() -> None:
    chain = torch.stack([step.x_t for step in walk(PROCESSES["uniform"], shape=(1, 200))])
    changes = (chain[1:] != chain[:-1]).sum(0)
    assert (changes >= 2).any()


def test_the_likeliest_may_be_taken_at_the_last_step() -> None:
    *_, before, last = walk(PROCESSES["uniform"], likeliest_last=True)
    assert before.uniforms is None
    assert torch.equal(last.x_t, before.probs.argmax(-1))


def test_a_float32_network_that_is_sure_and_wrong_still_samples() -> None:
    """Logits 200 apart are 0 in a float32 softmax, and x_t would have nowhere to come from."""

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        wrong = (x_t + 1).remainder(4)
        logits = torch.nn.functional.one_hot(wrong, 5).float() * 200
        return logits.index_fill(-1, torch.tensor([4]), -torch.inf)

    *_, last = walk(PROCESSES["absorbing"], denoiser=denoiser, shape=(2, 100))
    assert (last.x_t < 4).all()


def test_sampling_keeps_no_dense_matrix() -> None:
    """VQ-Diffusion's size, with a denoiser of its own belief; a [K, K] would be 67 MB per step."""
    diffusion = mask_and_replace(2888, 100)
    *_, last = sample_discrete(
        diffusion,
        lambda x_t, t, label=None: torch.zeros(*x_t.shape, 2888).index_fill(
            -1, torch.tensor([2887]), -torch.inf
        ),
        torch.full((1, 64), 2887),
        range(100, 0, -20),
        generator=seeded(),
    )
    assert (last.x_t < 2887).all()


GOOD = PROCESSES["uniform"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"timesteps": []}, "decrease"),
        ({"timesteps": [3, 3]}, "decrease"),
        ({"timesteps": [2, 5]}, "decrease"),
        ({"timesteps": [13, 1]}, r"1\.\.12"),
        ({"timesteps": [3, 0]}, "decrease"),
        ({"rule": "sum"}, "unknown name 'sum'"),
        ({"generator": None}, "either"),
        ({"uniforms": []}, "either"),
    ],
    ids=str,
)
def test_bad_input_is_refused_on_the_call(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        walk(GOOD, **given)


@pytest.mark.parametrize("x_T", [torch.zeros(2, 3), torch.full((2, 3), 5)], ids=["float", "5"])
def test_bad_states_are_refused_on_the_call(x_T: Tensor) -> None:
    denoiser = exact_denoiser(GOOD, DATA)
    with pytest.raises(ValueError, match="x_T must hold states"):
        sample_discrete(GOOD, denoiser, x_T, [3], generator=seeded())


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf], ids=str)
def test_a_broken_belief_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        belief(torch.full((2, 3), value))


def test_integer_logits_are_refused() -> None:
    with pytest.raises(ValueError, match="floating"):
        belief(torch.zeros(2, 3, dtype=torch.int64))


def test_too_few_uniforms_are_refused() -> None:
    with pytest.raises(ValueError, match="ran out"):
        list(walk(GOOD, timesteps=[2, 1], generator=None, uniforms=[torch.rand(3, 4, 5)]))


@pytest.mark.parametrize("bad", [torch.ones(5) / 4, torch.ones(4) / 4, torch.ones(5).long()])
def test_bad_data_distributions_are_refused(bad: Tensor) -> None:
    with pytest.raises(ValueError, match="data distribution"):
        exact_denoiser(GOOD, bad)


def test_where_no_data_can_be_the_exact_belief_is_the_data() -> None:
    certain = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    diffusion = absorbing(3, [0.5, 0.5])
    logits = exact_denoiser(diffusion, certain)(torch.tensor([0, 1, 2]), torch.tensor([1, 1, 1]))
    assert torch.equal(logits.exp(), certain.expand(3, 3))
