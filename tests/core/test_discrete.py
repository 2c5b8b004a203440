"""The discrete process: laws for all kernels at once, brute force, other people's numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.discrete import (
    GAUSSIAN_SCALINGS,
    KERNELS,
    REVERSE_RULES,
    DiscreteDiffusion,
    absorbing,
    from_matrices,
    gaussian,
    mask_and_replace,
    mutual_information,
    nearest_neighbor,
    sample_categorical,
    uniform,
)
from diffusion_core.discrete_betas import DISCRETE_BETAS, linear
from diffusion_core.discrete_sampling import exact_denoiser, reverse_matrix, true_reverse_matrix
from tests.core.discrete_oracles import (
    absorbing_steps,
    bayes,
    between,
    exact_belief,
    gaussian_steps,
    mask_and_replace_steps,
    mixture_by_sum,
    neighbor_steps,
    product_by_sum,
    true_reverse,
    uniform_steps,
)
from tests.core.oracles import Array, close, reference

T = 6
BETAS = {
    "middling": np.linspace(0.05, 0.6, T),
    "ends in 1": 1 / np.linspace(T, 1, T),
    "0 and 1 in the middle": np.array([0.0, 0.3, 1.0, 0.2, 0.0, 0.4]),
    "all 0": np.zeros(T),
    "all 1": np.ones(T),
}
RNG = np.random.default_rng(7)
POINTS = {2: RNG.standard_normal((2, 3)), 5: RNG.standard_normal((5, 3))}
TWINS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])


class World(NamedTuple):
    """A process, and its steps made independently."""

    diffusion: DiscreteDiffusion
    steps: Array


def tensor(values: Any) -> Tensor:
    return torch.tensor(np.asarray(values, np.float64))


def stochastic(K: int) -> Array:
    """Steps of no kernel: rows at random, some entries 0, nothing symmetric."""
    steps = RNG.random((T, K, K)) * (RNG.random((T, K, K)) > 0.3) + 0.1 * np.eye(K)
    out: Array = steps / steps.sum(-1, keepdims=True)
    return out


ONLY_MASKED = {
    "nobody is replaced": {"keep": (0.9, 0.1), "masked": (0.1, 0.9)},
    "all are masked at T": {"keep": (0.99, 0.0), "masked": (0.005, 1.0)},
}


def worlds() -> dict[str, World]:
    out = {}
    for K in (2, 5):
        for name, betas in BETAS.items():
            b = tensor(betas)
            out |= {
                f"uniform-{K}-{name}": World(uniform(K, b), uniform_steps(K, betas)),
                f"absorbing-{K}-{name}": World(absorbing(K, b), absorbing_steps(K, betas, K - 1)),
                f"gaussian-{K}-{name}": World(gaussian(K, b), gaussian_steps(K, betas)),
                f"nearest_neighbor-{K}-{name}": World(
                    nearest_neighbor(tensor(POINTS[K]), b), neighbor_steps(POINTS[K], betas, 1)
                ),
            }
        out[f"mask_and_replace-{K}"] = World(mask_and_replace(K, T), mask_and_replace_steps(K, T))
        own = stochastic(K)
        out[f"matrices-{K}"] = World(from_matrices(tensor(own)), own)
    betas = BETAS["middling"]
    b = tensor(betas)
    out["absorbing in the middle"] = World(absorbing(5, b, 2), absorbing_steps(5, betas, 2))
    out["banded"] = World(uniform(5, b, bands=1), uniform_steps(5, betas, 1))
    out["equal points"] = World(
        nearest_neighbor(tensor(TWINS), b, neighbors=2), neighbor_steps(TWINS, betas, 2)
    )
    out["two islands"] = World(  # three zeros in a row, two ones: the graph falls apart
        nearest_neighbor(tensor(TWINS), b, neighbors=1), neighbor_steps(TWINS, betas, 1)
    )
    ends = {"keep": (0.95, 0.1), "masked": (0.01, 0.8)}
    out["mask_and_replace, soft"] = World(
        mask_and_replace(5, T, **ends), mask_and_replace_steps(5, T, **ends)
    )
    for name, ends in ONLY_MASKED.items():  # 1 - keep - masked is 0, or a rounding error of it
        world = World(mask_and_replace(5, T, **ends), mask_and_replace_steps(5, T, **ends))
        out[f"mask_and_replace, {name}"] = world
    return out


WORLDS = worlds()
PAIRS = [(t, s) for t in range(1, T + 1) for s in range(t)]


@pytest.fixture(params=WORLDS, ids=str)
def world(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]


def every_pair_of_states(K: int) -> tuple[Tensor, Tensor]:
    """(a, b), [K * K] each."""
    a, b = torch.meshgrid(torch.arange(K), torch.arange(K), indexing="ij")
    return a.reshape(-1), b.reshape(-1)


def at(step: int, x: Tensor) -> Tensor:
    return torch.full((len(x),), step)


def beliefs(K: int, n: int, seed: int = 3) -> Tensor:
    return tensor(np.random.default_rng(seed).dirichlet(np.ones(K), n))


def test_every_kernel_is_in_the_worlds() -> None:
    for name in KERNELS:
        assert any(key.startswith(name) for key in WORLDS)


# --- matrices -------------------------------------------------------------------------------------


def test_rows_sum_to_1_and_nothing_is_negative(world: World) -> None:
    for t in range(T + 1):
        for s in range(t + 1):
            Q = world.diffusion.q_matrix(t, s)
            assert Q.dtype == torch.float64
            assert (Q >= 0).all()
            torch.testing.assert_close(Q.sum(1), torch.ones(len(Q)).double(), rtol=0, atol=1e-14)


def test_every_matrix_is_the_product_of_the_steps(world: World) -> None:
    """Closed forms against whole matrices multiplied one after another, for any s < t."""
    for t, s in PAIRS:
        np.testing.assert_allclose(
            world.diffusion.q_matrix(t, s), between(world.steps, t, s), rtol=0, atol=1e-14
        )


def test_marginals_compose(world: World) -> None:
    for t, s in PAIRS:
        both = world.diffusion.q_marginal_matrix(s) @ world.diffusion.q_matrix(t, s)
        torch.testing.assert_close(
            both, world.diffusion.q_marginal_matrix(t), rtol=1e-12, atol=1e-15
        )


def test_step_0_is_the_identity(world: World) -> None:
    identity = torch.eye(world.diffusion.K).double()
    assert torch.equal(world.diffusion.q_step_matrix(0), identity)
    assert torch.equal(world.diffusion.q_marginal_matrix(0), identity)


def test_the_stationary_distribution_does_not_move(world: World) -> None:
    stationary = world.diffusion.stationary
    if stationary is None:
        assert world.diffusion.kernel is WORLDS[f"matrices-{world.diffusion.K}"].diffusion.kernel
        return
    assert stationary.sum() == pytest.approx(1, abs=1e-15)
    for t in range(1, T + 1):
        moved = stationary @ world.diffusion.q_step_matrix(t)
        torch.testing.assert_close(moved, stationary, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "diffusion",
    [
        uniform(5, [0.2] * 300),
        absorbing(5, [0.2] * 300),
        gaussian(5, [0.5] * 300),
        nearest_neighbor(tensor(POINTS[5]), [0.9] * 300, neighbors=2),
    ],
    ids=["uniform", "absorbing", "gaussian", "nearest_neighbor"],
)
def test_long_chains_forget_where_they_came_from(diffusion: DiscreteDiffusion) -> None:
    stationary = diffusion.stationary
    assert stationary is not None
    last = diffusion.q_marginal_matrix(300)
    torch.testing.assert_close(last, stationary.expand(5, 5), rtol=0, atol=1e-12)
    torch.testing.assert_close(diffusion.prior_probs, stationary, rtol=0, atol=1e-12)


def test_the_prior_is_an_even_mix_of_where_data_end(world: World) -> None:
    diffusion = world.diffusion
    real = [k for k in range(diffusion.K) if k != diffusion.mask]
    expected = between(world.steps, T, 0)[real].mean(0)
    np.testing.assert_allclose(diffusion.prior_probs, expected, rtol=0, atol=1e-14)


def test_vectors_of_the_process_are_rows_and_columns_of_the_matrices(world: World) -> None:
    """One batch with a different (t, s) per example, and two pixels each."""
    diffusion = world.diffusion
    t, s = (torch.tensor(step) for step in zip(*PAIRS, strict=True))
    x = torch.tensor(RNG.integers(0, diffusion.K, (len(PAIRS), 2)))
    p = beliefs(diffusion.K, len(PAIRS) * 2).reshape(len(PAIRS), 2, -1)
    rows, columns = diffusion.q_step(x, t, s), diffusion.q_likelihood(x, t, s)
    pushed = diffusion.q_push(p, t, s)
    for b, (after, before) in enumerate(PAIRS):
        Q = between(world.steps, after, before)
        np.testing.assert_allclose(rows[b], Q[x[b]], rtol=0, atol=1e-14)
        np.testing.assert_allclose(columns[b], Q.T[x[b]], rtol=0, atol=1e-14)
        np.testing.assert_allclose(pushed[b], p[b].numpy() @ Q, rtol=0, atol=1e-14)


def test_jumps_have_their_digits_however_unlikely() -> None:
    """On a line of states a far jump is as likely as (beta/2)^d / d!, not rounding noise."""
    line = torch.arange(12.0)[:, None].double()
    diffusion = nearest_neighbor(line, [1e-3], neighbors=2)
    Q = diffusion.q_step_matrix(1)
    inner = Q[3]
    for d in (1, 2, 3, 4):
        first = (1e-3 / 2) ** d / np.prod(np.arange(1, d + 1))
        assert inner[3 + d].item() == pytest.approx(first, rel=5e-3)


def test_powers_are_the_exponential_where_betas_are_multiples() -> None:
    points = tensor(POINTS[5])
    betas = [0.1, 0.2, 0.0, 0.3]
    one, other = (nearest_neighbor(points, betas, method=m) for m in ("exponential", "power"))
    for t in range(5):
        for s in range(t + 1):
            torch.testing.assert_close(one.q_matrix(t, s), other.q_matrix(t, s), rtol=0, atol=1e-14)


def test_the_rate_stretches_time() -> None:
    points = tensor(POINTS[5])
    fast = nearest_neighbor(points, [0.2], rate=3.0)
    slow = nearest_neighbor(points, [0.2] * 3)
    torch.testing.assert_close(fast.q_matrix(1, 0), slow.q_matrix(3, 0), rtol=0, atol=1e-14)


def test_the_two_gaussian_scalings_agree_at_256_only() -> None:
    assert GAUSSIAN_SCALINGS["public_code"](256) == 1
    ours, theirs = (gaussian(256, [0.01], scaling=name) for name in GAUSSIAN_SCALINGS)
    assert torch.equal(ours.q_step_matrix(1), theirs.q_step_matrix(1))
    ours, theirs = (gaussian(8, [0.2], scaling=name) for name in GAUSSIAN_SCALINGS)
    assert (ours.q_step_matrix(1) - theirs.q_step_matrix(1)).abs().max() > 0.1


# --- posterior ------------------------------------------------------------------------------------


def test_the_posterior_is_bayes_by_enumeration(world: World) -> None:
    """All K^2 pairs of (x_t, x_0), any s < t; 0 and never NaN where x_0 can't become x_t."""
    x_t, x0 = every_pair_of_states(world.diffusion.K)
    for t, s in PAIRS:
        posterior = world.diffusion.q_posterior(x_t, x0, at(t, x_t), at(s, x_t))
        expected = np.array(
            [bayes(world.steps, int(a), int(b), t, s) for a, b in zip(x_t, x0, strict=True)]
        )
        # Steps of 1e-8 in the oracle's tables (1 - at - ct) hold half of their digits.
        np.testing.assert_allclose(posterior, expected, rtol=0, atol=TABLES.get(id(world), 1e-12))


TABLES = {id(WORLDS[f"mask_and_replace-{K}"]): 1e-9 for K in (2, 5)}


def test_what_cannot_be_is_0_and_what_can_sums_to_1(world: World) -> None:
    x_t, x0 = every_pair_of_states(world.diffusion.K)
    for t, s in PAIRS:
        posterior = world.diffusion.q_posterior(x_t, x0, at(t, x_t), at(s, x_t))
        can = world.diffusion.q_marginal_matrix(t)[x0, x_t] > 0
        assert (posterior[~can] == 0).all()
        total = posterior[can].sum(-1)
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-14)


def test_at_s_0_the_posterior_is_the_clean_state(world: World) -> None:
    x_t, x0 = every_pair_of_states(world.diffusion.K)
    for t in range(1, T + 1):
        posterior = world.diffusion.q_posterior(x_t, x0, at(t, x_t), at(0, x_t))
        can = world.diffusion.q_marginal_matrix(t)[x0, x_t] > 0
        assert torch.equal(posterior[can], torch.eye(world.diffusion.K).double()[x0[can]])


def test_s_is_the_step_before_where_it_is_not_given(world: World) -> None:
    x_t, x0 = every_pair_of_states(world.diffusion.K)
    p = beliefs(world.diffusion.K, len(x_t))
    t = at(3, x_t)
    with_s = world.diffusion.q_posterior(x_t, x0, t, t - 1)
    assert torch.equal(world.diffusion.q_posterior(x_t, x0, t), with_s)
    for rule in REVERSE_RULES.values():
        assert torch.equal(
            rule(world.diffusion, x_t, p, t), rule(world.diffusion, x_t, p, t, t - 1)
        )


# --- reverse rules --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "oracle"), [("mixture", mixture_by_sum), ("product", product_by_sum)]
)
def test_rules_are_their_sums(world: World, name: str, oracle: Any) -> None:
    K = world.diffusion.K
    x_t = torch.arange(K).repeat(3)
    p = beliefs(K, len(x_t))
    p[K : 2 * K] = torch.eye(K).double()[torch.arange(K).roll(1)]  # certain, often wrong
    for t, s in PAIRS:
        if s == 0:
            continue
        probs = REVERSE_RULES[name](world.diffusion, x_t, p, at(t, x_t), at(s, x_t))
        expected = [
            oracle(world.steps, int(x), b.numpy(), t, s) for x, b in zip(x_t, p, strict=True)
        ]
        np.testing.assert_allclose(
            probs, np.array(expected), rtol=0, atol=TABLES.get(id(world), 1e-12)
        )


@pytest.mark.parametrize("name", REVERSE_RULES)
def test_at_s_0_every_rule_returns_the_belief(world: World, name: str) -> None:
    K = world.diffusion.K
    x_t, p = torch.arange(K), beliefs(K, K)
    for t in range(1, T + 1):
        probs = REVERSE_RULES[name](world.diffusion, x_t, p, at(t, x_t), at(0, x_t))
        assert torch.equal(probs, p)


def test_one_batch_may_mix_steps_and_the_last_one(world: World) -> None:
    K = world.diffusion.K
    t, s = torch.tensor([4, 1, 6, 2]), torch.tensor([2, 0, 0, 1])
    x_t = torch.tensor(RNG.integers(0, K, (4, 3)))
    p = beliefs(K, 12).reshape(4, 3, K)
    for rule in REVERSE_RULES.values():
        together = rule(world.diffusion, x_t, p, t, s)
        for b in range(4):
            alone = rule(world.diffusion, *(v[b : b + 1] for v in (x_t, p, t, s)))
            torch.testing.assert_close(together[b : b + 1], alone, rtol=0, atol=1e-15)


def test_the_mixture_of_the_exact_belief_is_the_true_reverse_kernel(world: World) -> None:
    """The product is not, except where it has no choice."""
    diffusion, K = world.diffusion, world.diffusion.K
    data = np.random.default_rng(5).dirichlet(np.ones(K))
    if diffusion.mask is not None:
        data[diffusion.mask] = 0
        data /= data.sum()
    for t, s in PAIRS:
        x_t = torch.arange(K)
        belief = tensor(exact_belief(world.steps, data, t))
        truth = true_reverse(world.steps, data, t, s)
        probs = REVERSE_RULES["mixture"](diffusion, x_t, belief, at(t, x_t), at(s, x_t))
        np.testing.assert_allclose(probs, truth, rtol=0, atol=TABLES.get(id(world), 1e-13))
        ours = true_reverse_matrix(diffusion, tensor(data), t, s)
        np.testing.assert_allclose(ours, truth, rtol=0, atol=TABLES.get(id(world), 1e-13))
        own = reverse_matrix(diffusion, exact_denoiser(diffusion, tensor(data)), t, s)
        seen = ours.sum(1) > 0
        torch.testing.assert_close(own[seen], ours[seen], rtol=0, atol=1e-15)


@pytest.mark.parametrize("state", [0, 2, 4])
@pytest.mark.parametrize("betas", ["middling", "ends in 1"])
def test_for_absorbing_processes_both_rules_agree(state: int, betas: str) -> None:
    diffusion = absorbing(5, BETAS[betas].tolist(), state)
    x_t = torch.arange(5)
    p = beliefs(5, 5)
    p[:, state] = 0
    p = p / p.sum(-1, keepdim=True)
    for t, s in PAIRS:
        one, other = (
            rule(diffusion, x_t, p, at(t, x_t), at(s, x_t)) for rule in REVERSE_RULES.values()
        )
        torch.testing.assert_close(one, other, rtol=0, atol=1e-15)


def test_the_product_errs_by_a_third_where_the_mixture_is_exact() -> None:
    """The curriculum's figures: mixture 2e-16, product 0.36, absorbing both 1e-16."""
    worst = {}
    for case in reference("d3pm")["bayes_optimal_denoiser"]["cases"]:
        diffusion, data = d3pm(case), tensor(case["data_distribution"])
        denoiser = exact_denoiser(diffusion, data)
        for rule in REVERSE_RULES:
            worst[case["kind"], rule] = max(
                float(
                    (reverse_matrix(diffusion, denoiser, t, t - 1, rule=rule) - truth)[able]
                    .abs()
                    .max()
                )
                for t in range(2, case["T"] + 1)
                if (able := (data @ diffusion.q_marginal_matrix(t) > 0)).any()
                and (truth := true_reverse_matrix(diffusion, data, t, t - 1)) is not None
            )
    for kind in ("uniform", "gaussian_paper", "absorbing"):
        assert worst[kind, "mixture"] <= 5e-16
    assert worst["absorbing", "product"] <= 5e-16
    assert worst["uniform", "product"] == pytest.approx(0.3587462736718162, rel=1e-9)
    assert worst["gaussian_paper", "product"] == pytest.approx(0.35086537826621667, rel=1e-9)


def test_an_x0_too_far_for_the_table_is_left_out() -> None:
    """Thirty jumps in a step are 0 in exp(2 beta R), 1e-60 in its halves: no reason to divide."""
    line = torch.arange(60.0)[:, None].double()
    diffusion = nearest_neighbor(line, [1e-3, 1e-3], neighbors=2)
    x_t, t = torch.tensor([0]), torch.tensor([2])
    assert diffusion.q_likelihood(x_t, t, t - 2)[0, 30] == 0
    p = torch.zeros(1, 60).double()
    p[0, [1, 30]] = 0.5
    mixed = REVERSE_RULES["mixture"](diffusion, x_t, p, t)
    near = diffusion.q_posterior(x_t, torch.tensor([1]), t)
    torch.testing.assert_close(mixed, near, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", REVERSE_RULES)
def test_rules_keep_precision_and_let_gradients_through(name: str) -> None:
    for diffusion in (absorbing(4, BETAS["ends in 1"].tolist()), mask_and_replace(4, T)):
        x_t = torch.tensor([[0, 1, 3, 3], [3, 2, 1, 0]])
        t = torch.tensor([T, 2])
        logits = torch.zeros(2, 4, 4, requires_grad=True)
        banned = torch.zeros(4).index_fill(0, torch.tensor([3]), -torch.inf)
        p = (logits + banned).softmax(-1)
        probs = REVERSE_RULES[name](diffusion, x_t, p, t)
        assert probs.dtype == torch.float32
        (probs**2).sum().backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        exact = REVERSE_RULES[name](diffusion, x_t, p.detach().double(), t)
        torch.testing.assert_close(probs.detach().double(), exact, rtol=0, atol=1e-6)


NARROW = linear(1000)
"""Betas whose first Gaussian jumps are less likely than any number that float32 has but 0."""

FAR = {
    "uniform": uniform(8, NARROW),
    "absorbing": absorbing(8, NARROW),
    "gaussian-8": gaussian(8, NARROW),
    "gaussian-64": gaussian(64, NARROW[:20]),
    "nearest_neighbor": nearest_neighbor(tensor(RNG.standard_normal((8, 3))), NARROW),
    "mask_and_replace": mask_and_replace(8, 1000),
}


@pytest.mark.parametrize("name", REVERSE_RULES)
@pytest.mark.parametrize("kernel", FAR)
def test_a_belief_in_float32_gives_the_same_answer(kernel: str, name: str) -> None:
    """What float32 has no number for is not impossible."""
    diffusion, x_t = FAR[kernel], torch.arange(FAR[kernel].K)
    even = torch.ones(diffusion.K, diffusion.K, dtype=torch.float64)
    even[:, 0] = 0
    if diffusion.mask is not None:
        even[:, diffusion.mask] = 0
    one = torch.eye(diffusion.K, dtype=torch.float64).roll(1, 1)  # sure of a neighbour
    for belief in (even / even.sum(1, keepdim=True), one):
        told = belief.float()
        for t in (2, 3, 5, diffusion.T):
            found, exact = (
                REVERSE_RULES[name](diffusion, x_t, p, at(t, x_t)) for p in (told, told.double())
            )
            assert found.dtype == torch.float32
            assert torch.equal(found, exact.float())


def test_a_thousand_steps_of_2888_states_are_only_vectors() -> None:
    """Float64 matrices of this chain would take 67 GB; 50 jumps over any gap take no time."""
    diffusion = mask_and_replace(2888, 1000)
    x0 = torch.randint(0, 2887, (50, 4), generator=torch.Generator().manual_seed(0))
    t = torch.linspace(20, 1000, 50).long()
    x_t = diffusion.q_sample(x0, t, torch.Generator().manual_seed(1))
    posterior = diffusion.q_posterior(x_t, x0, t, t // 2)
    torch.testing.assert_close(posterior.sum(-1), torch.ones(50, 4).double(), rtol=0, atol=1e-13)


# --- drawing --------------------------------------------------------------------------------------


def test_corruption_follows_the_marginal(world: World) -> None:
    diffusion, K, n = world.diffusion, world.diffusion.K, 4000
    generator = torch.Generator().manual_seed(0)
    x0 = torch.arange(K)[:, None].expand(K, n)
    x_t = diffusion.q_sample(x0, at(3, x0), generator)
    counts = torch.nn.functional.one_hot(x_t, K).double().mean(1)
    expected = diffusion.q_marginal_matrix(3)
    assert ((counts > 0) <= (expected > 0)).all()
    assert ((counts - expected).abs() <= 5 * (expected * (1 - expected) / n).sqrt() + 1e-12).all()


def test_the_same_uniforms_draw_the_same_states() -> None:
    diffusion = uniform(5, BETAS["middling"].tolist())
    x0 = torch.zeros(3, 4, dtype=torch.int64)
    t = torch.tensor([1, 3, 6])
    u = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    again = diffusion.q_sample(x0, t, torch.Generator().manual_seed(2))
    assert torch.equal(diffusion.q_sample(x0, t, uniforms=u), again)
    assert torch.equal(diffusion.q_sample(x0, torch.zeros(3).long(), uniforms=u), x0)


def test_a_draw_is_the_largest_gumbel_and_never_impossible() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(6), 500) * (rng.random((500, 6)) > 0.2)
    u = rng.random((500, 6))
    with np.errstate(divide="ignore"):
        expected = (np.log(p) - np.log(-np.log(u))).argmax(-1)
    possible = p.sum(-1) > 0
    drawn = sample_categorical(tensor(p[possible]), tensor(u[possible]))
    assert np.array_equal(drawn, expected[possible])
    edges = sample_categorical(tensor([[0.5, 0.5, 0.0]] * 2), tensor([[0, 0, 1.0], [0, 1, 1]]))
    assert edges.tolist()[1] == 1
    assert edges.tolist()[0] in (0, 1)


def test_the_prior_is_drawn_from_itself() -> None:
    diffusion = uniform(3, [0.5, 1.0])
    x = diffusion.prior_sample((4, 1000), torch.Generator().manual_seed(0))
    assert x.shape == (4, 1000)
    assert x.dtype == torch.int64
    counts = torch.bincount(x.reshape(-1)).double() / 4000
    assert (counts - 1 / 3).abs().max() < 0.04
    masked = absorbing(3, [0.5, 1.0]).prior_sample((2, 5), torch.Generator().manual_seed(0))
    assert (masked == 2).all()


# --- information ----------------------------------------------------------------------------------


def test_information_starts_at_the_entropy_and_only_falls(world: World) -> None:
    data = beliefs(world.diffusion.K, 1)[0]
    told = [mutual_information(world.diffusion, data, t) for t in range(T + 1)]
    assert told[0] == pytest.approx(float(-(data * data.log()).sum()), rel=1e-12)
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(told))


def test_twice_the_linear_betas_are_twice_the_linear_betas() -> None:
    """The shipped network of eight gray levels was trained on them."""
    linear, doubled = (DISCRETE_BETAS[name](1000) for name in ("linear", "2 x linear"))
    np.testing.assert_allclose(linear, np.linspace(1e-4, 0.02, 1000), rtol=1e-9)
    np.testing.assert_allclose(doubled, np.linspace(2e-4, 0.04, 1000), rtol=1e-9)


def test_masking_linearly_loses_information_linearly() -> None:
    """D3PM, section 3.2: with betas 1/(T-t+1) exactly (1 - t/T) of the entropy is left."""
    diffusion = absorbing(5, (1 / torch.linspace(T, 1, T, dtype=torch.float64)))
    data = tensor([0.1, 0.2, 0.3, 0.4, 0.0])
    entropy = mutual_information(diffusion, data, 0)
    for t in range(T + 1):
        left = mutual_information(diffusion, data, t)
        assert left == pytest.approx((1 - t / T) * entropy, abs=1e-14)


# --- other people's numbers -----------------------------------------------------------------------

D3PM = reference("d3pm")
D3PM_BETAS = {table["name"]: table["betas"] for table in D3PM["betas"]}


def d3pm(case: dict[str, Any]) -> DiscreteDiffusion:
    """The process of a case of d3pm.json."""
    K, kind, bands = case["K"], case["kind"], case.get("transition_bands")
    betas = case["betas"] if isinstance(case["betas"], list) else D3PM_BETAS[case["betas"]]
    if kind == "uniform":
        return uniform(K, betas, bands=bands)
    if kind == "absorbing":
        return absorbing(K, betas, case["absorbing_state"])
    scaling = {"gaussian": "public_code", "gaussian_paper": "paper"}[kind]
    return gaussian(K, betas, scaling=scaling, bands=bands)


def named(case: dict[str, Any]) -> str:
    betas = case["betas"] if isinstance(case["betas"], str) else f"T{case['T']}"
    return f"{case['K']}-{case['kind']}-{case.get('transition_bands')}-{betas}"


@pytest.mark.parametrize("case", D3PM["matrices"], ids=named)
def test_d3pm_matrices(case: dict[str, Any]) -> None:
    diffusion = d3pm(case)
    for i, t in enumerate(case["t"]):
        close(diffusion.q_step_matrix(t + 1), case["Q"][i])
        close(diffusion.q_marginal_matrix(t + 1), case["Qbar"][i])


@pytest.mark.parametrize("case", D3PM["posterior_and_losses"], ids=named)
def test_d3pm_posteriors_rules_and_draws(case: dict[str, Any]) -> None:
    diffusion = d3pm(case)
    t = torch.tensor(case["t"]) + 1
    x0, x_t = torch.tensor(case["x_start"]), torch.tensor(case["x_t_from_uniform_noise"])
    close(diffusion.q_marginal(x0, t), case["q_probs"])
    drawn = diffusion.q_sample(x0, t, uniforms=tensor(case["uniform_noise"]))
    assert torch.equal(drawn, x_t)
    close(diffusion.q_posterior(x_t, x0, t), case["exact_q_posterior_probs"])
    belief = tensor(case["x_start_logits"]).softmax(-1)
    rules = {name: rule(diffusion, x_t, belief, t) for name, rule in REVERSE_RULES.items()}
    for name, probs in rules.items():
        close(probs, case[f"exact_p_probs_{name}_form"])
    if "google_p_logits" not in case:
        return
    # The public code adds 1e-6 inside its logarithms.
    for ours, theirs in (
        (diffusion.q_posterior(x_t, x0, t), case["google_q_posterior_logits"]),
        (rules["product"], case["google_p_logits"]),
    ):
        loose = max(1e-4, case["max_abs_diff"]["softmax(google_p_logits) vs exact product form"])
        gap = (ours - tensor(theirs).softmax(-1)).abs().max()
        assert gap <= 1.001 * loose
    u = tensor(case["p_sample_uniform_noise"])
    drawn = sample_categorical(rules["product"], u)
    drawn = torch.where((t == 1).reshape(-1, 1, 1, 1), rules["product"].argmax(-1), drawn)
    assert drawn.tolist() == case["google_p_sample"]


@pytest.mark.parametrize("case", D3PM["bayes_optimal_denoiser"]["cases"], ids=named)
def test_d3pm_bayes_optimal_denoiser(case: dict[str, Any]) -> None:
    diffusion, data = d3pm(case), tensor(case["data_distribution"])
    denoiser = exact_denoiser(diffusion, data)
    x_t = torch.arange(case["K"])
    for i in range(case["T"]):
        t = i + 1
        able = data @ diffusion.q_marginal_matrix(t) > 0
        belief = denoiser(x_t, at(t, x_t)).exp()
        close(belief[able], tensor(case["exact_p_x0_given_xt_t_xt_x0"][i])[able])
        truth = tensor(case["exact_reverse_t_xt_xprev"][i])[able]
        close(true_reverse_matrix(diffusion, data, t, t - 1)[able], truth)
        close(reverse_matrix(diffusion, denoiser, t, t - 1)[able], truth)


VQ = reference("vq_diffusion")


def vq(case: dict[str, Any]) -> DiscreteDiffusion:
    """The process of a case of vq_diffusion.json; there K leaves [MASK] out."""
    ends = case.get("schedule_endpoints", case)
    if isinstance(ends, str):
        return mask_and_replace(case["K"] + 1, case["T"])
    return mask_and_replace(
        case["K"] + 1,
        case["T"],
        keep=(ends["att_1"], ends["att_T"]),
        masked=(ends["ctt_1"], ends["ctt_T"]),
    )


def last(values: Any) -> Tensor:
    """[B, K, L] as stored to [B, L, K]."""
    return tensor(values).movedim(1, -1)


@pytest.mark.parametrize("case", VQ["alpha_schedule"]["cases"], ids=lambda c: f"{c['K']}-{c['T']}")
def test_vq_diffusion_schedule(case: dict[str, Any]) -> None:
    """Keep and mask to 1e-9; replacements are 1e-8 per step and theirs hold half their digits."""
    kernel = vq(case).kernel
    t = torch.arange(1, case["T"] + 1)
    for names, s in ((("at", "bt", "ct"), t - 1), (("att", "btt", "ctt"), torch.zeros_like(t))):
        odds = kernel.odds(t, s)  # type: ignore[attr-defined]
        ours = (odds.keep, odds.replace / case["K"], odds.mask)
        for name, values in zip(names, ours, strict=True):
            theirs = tensor(case[name])[: case["T"]]
            torch.testing.assert_close(values, theirs, rtol=1e-9, atol=1e-16)
    whole = tensor([case[name][-1] for name in ("att", "btt", "ctt")])
    assert whole.tolist() == [1, 0, 0]
    none = kernel.odds(t * 0, t * 0)  # type: ignore[attr-defined]
    assert [float(value[0]) for value in none] == [1, 0, 0]


@pytest.mark.parametrize("case", VQ["cases"], ids=lambda c: f"{c['K']}-{c['T']}")
def test_vq_diffusion_process(case: dict[str, Any]) -> None:
    diffusion = vq(case)
    t = torch.tensor(case["t"]) + 1
    x0, x_t = torch.tensor(case["x_start"]), torch.tensor(case["x_t"])
    tables = {"rtol": 0, "atol": 1e-9}
    marginal = diffusion.q_marginal(x0, t)
    torch.testing.assert_close(marginal, last(case["q_pred_probs_from_x_start"]), **tables)
    one = diffusion.q_step(x_t, t, t - 1)
    their_step = last(case["q_pred_one_timestep_probs_from_x_t_as_x_prev"])
    seen = x_t != case["K"]  # from [MASK] their routine gives a row that is none: see vq_posterior
    torch.testing.assert_close(one[seen], their_step[seen], **tables)
    belief = tensor(case["x_start_logits"]).softmax(1).movedim(1, -1)
    belief = torch.cat([belief, torch.zeros_like(belief[..., :1])], -1)
    pushed = diffusion.q_push(belief, t, torch.zeros_like(t))
    torch.testing.assert_close(pushed, last(case["q_pred_probs_from_soft_x_start"]), **tables)

    posterior = diffusion.q_posterior(x_t, x0, t)
    exact = last(case["exact_bayes_probs_true_x_start"])
    torch.testing.assert_close(posterior, exact, **tables)
    mixed = REVERSE_RULES["mixture"](diffusion, x_t, belief, t)
    torch.testing.assert_close(mixed, last(case["exact_bayes_probs_model"]), **tables)
    # At their t = 0 they noise and renormalise where our rules return the belief itself.
    product = REVERSE_RULES["product"](diffusion, x_t, belief, t)
    later = t > 1
    theirs = last(case["product_form_probs_model"])
    torch.testing.assert_close(product[later], theirs[later], **tables)
    by_hand = diffusion.q_likelihood(x_t, t, t - 1) * belief
    by_hand = by_hand / by_hand.sum(-1, keepdim=True)
    torch.testing.assert_close(by_hand[~later], theirs[~later], **tables)

    draw = case["gumbel_sampling"]
    u = last(draw["uniform"])
    assert sample_categorical(mixed, u).tolist() == draw["x_prev_from_model_posterior"]
    drawn = diffusion.q_sample(x0, t, uniforms=u)
    assert drawn.tolist() == draw["x_t_from_q_pred_of_x_start"]


# --- bad input ------------------------------------------------------------------------------------

X = torch.tensor([[0, 1]])
ONE = torch.tensor([1])


def bad_input() -> Iterator[tuple[str, Any, str]]:
    good = uniform(3, [0.1, 0.2])
    even = torch.full((1, 2, 3), 1 / 3)
    eye = torch.eye(3).double().repeat(2, 1, 1)
    for name in ("uniform", "absorbing", "gaussian"):
        make = KERNELS[name]
        yield f"{name}: K = 1", lambda make=make: make(1, [0.1]), "at least 2"
        yield f"{name}: K = 2.5", lambda make=make: make(2.5, [0.1]), "whole number"
        yield f"{name}: no betas", lambda make=make: make(3, []), "at least one"
        yield f"{name}: a matrix", lambda make=make: make(3, [[0.1]]), "vector"
        yield f"{name}: words", lambda make=make: make(3, ["a"]), "numbers"
        yield f"{name}: nothing", lambda make=make: make(3, None), "numbers|vector"
        for beta in (-0.1, 1.1, float("nan"), float("inf")):
            yield f"{name}: {beta}", lambda make=make, b=beta: make(3, [0.1, b]), r"0\.\.1"
        complex_ = torch.tensor([0.1 + 0.1j])
        yield f"{name}: complex", lambda make=make, c=complex_: make(3, c), "real"
    yield "state", lambda: absorbing(3, [0.1], 3), "one of"
    yield "state -1", lambda: absorbing(3, [0.1], -1), "one of"
    yield "scaling", lambda: gaussian(3, [0.1], scaling="no"), "unknown scaling"
    yield "bands", lambda: gaussian(3, [0.1], bands=3), "bands"
    yield "bands 0", lambda: uniform(3, [0.1], bands=0), "bands"
    nn = nearest_neighbor
    yield "embedding shape", lambda: nn(torch.zeros(3), [0.1]), r"\[K, d\]"
    yield "embedding NaN", lambda: nn(torch.full((3, 2), torch.nan), [0.1]), "finite"
    yield "one point", lambda: nn(torch.zeros(1, 2), [0.1]), "at least 2"
    yield "neighbors", lambda: nn(torch.zeros(3, 2), [0.1], neighbors=3), "neighbors"
    yield "rate", lambda: nn(torch.zeros(3, 2), [0.1], rate=0), "rate"
    yield "method", lambda: nn(torch.zeros(3, 2), [0.1], method="no"), "unknown method"
    yield "embedding betas", lambda: nn(torch.zeros(3, 2), [2.0]), r"0\.\.1"
    yield "T = 1", lambda: mask_and_replace(3, 1), "2 steps"
    yield "K = 1 with [MASK]", lambda: mask_and_replace(1, 5), "at least 2"
    rising = {"keep": (0.1, 0.9), "masked": (0.0, 0.1)}
    yield "keeps more later", lambda: mask_and_replace(3, 5, **rising), "end points"
    over = {"keep": (0.9, 0.5), "masked": (0.0, 0.6)}
    yield "more than all", lambda: mask_and_replace(3, 5, **over), "end points"
    yield "rows", lambda: from_matrices(eye * 0.9), "sums to 0.9"
    yield "columns", lambda: from_matrices(torch.tensor([[[0.5, 0.2], [0.5, 0.8]]])), "sum to 1"
    yield "negative", lambda: from_matrices(eye * 2 - torch.ones(3, 3) / 3), "below 0"
    yield "NaN rows", lambda: from_matrices(eye * torch.nan), "below 0"
    yield "not square", lambda: from_matrices(torch.ones(2, 3, 4) / 4), "square"
    yield "t matrix", lambda: good.q_step_matrix(3), "0 <= s <= t <= 2"
    yield "t negative", lambda: good.q_marginal_matrix(-1), "0 <= s <= t <= 2"
    yield "t too late", lambda: good.q_marginal(X, torch.tensor([3])), r"0\.\.2"
    yield "s = t", lambda: good.q_posterior(X, X, ONE, ONE), "smaller"
    yield "t = 0", lambda: good.q_posterior(X, X, ONE * 0), r"0\.\.2"
    yield "t float", lambda: good.q_marginal(X, ONE.float()), "int64"
    yield "two t", lambda: good.q_marginal(X, torch.tensor([1, 2])), "one per example"
    yield "x float", lambda: good.q_marginal(X.float(), ONE), "int64"
    yield "x uint8", lambda: good.q_marginal(X.byte(), ONE), "int64"
    yield "state 3", lambda: good.q_marginal(X + 2, ONE), r"0\.\.2"
    yield "state below 0", lambda: good.q_posterior(X, X - 1, ONE), r"0\.\.2"
    yield "shapes", lambda: good.q_posterior(X, X[:, :1], ONE), "not the same"
    yield "no randomness", lambda: good.q_sample(X, ONE), "either"
    yield "uniform shape", lambda: good.q_sample(X, ONE, uniforms=even[:, :1].double()), "match"
    zero = torch.zeros(2, 3)
    yield "nothing to draw", lambda: sample_categorical(zero, zero + 0.5), "nothing to draw"
    yield "data", lambda: mutual_information(good, torch.ones(3), 1), "sum to 1"
    for name, rule in REVERSE_RULES.items():
        yield f"{name}: sum", lambda r=rule: r(good, X, even * 2, ONE), "sums to 2"
        yield f"{name}: negative", lambda r=rule: r(good, X, even - 1, ONE), "below 0"
        yield f"{name}: NaN", lambda r=rule: r(good, X, even * torch.nan, ONE), "missing"
        yield f"{name}: shape", lambda r=rule: r(good, X, even[..., :2], ONE), "one per state"
        yield f"{name}: integers", lambda r=rule: r(good, X, even.long(), ONE), "floating"


@pytest.mark.parametrize(("name", "call", "says"), list(bad_input()), ids=lambda v: str(v)[:40])
def test_bad_input_is_told_apart(name: str, call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


def test_betas_of_any_kind_are_read_in_full_precision() -> None:
    betas = np.linspace(0.01, 0.5, 7)
    kinds = (betas.tolist(), tuple(betas), betas, torch.tensor(betas))
    first, *others = (uniform(3, kind).q_marginal_matrix(7) for kind in kinds)
    for other in others:
        assert torch.equal(first, other)
    close(uniform(3, [0, 1]).q_marginal_matrix(2), np.full((3, 3), 1 / 3))


def test_an_empty_batch_stays_empty() -> None:
    diffusion = uniform(3, [0.1, 0.2])
    none, x = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4, dtype=torch.int64)
    assert diffusion.q_marginal(x, none).shape == (0, 4, 3)
    assert diffusion.q_posterior(x, x, none).shape == (0, 4, 3)
