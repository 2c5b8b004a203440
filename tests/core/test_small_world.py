"""One categorical variable: matrices and chains by brute force, and what each rule gets wrong."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.discrete import (
    REVERSE_RULES,
    DiscreteDiffusion,
    absorbing,
    gaussian,
    mask_and_replace,
    uniform,
)
from diffusion_core.discrete_betas import DISCRETE_BETAS
from diffusion_core.discrete_elbo import exact_model_probs
from diffusion_core.discrete_sampling import (
    belief,
    exact_denoiser,
    reverse_matrix,
    sample_discrete,
    true_reverse_matrix,
)
from diffusion_core.small_world import (
    BELIEFS,
    blind,
    chain_distances,
    chain_marginals,
    hedged,
    reverse_matrices,
    rule_error,
    softmax_twice,
    stops,
    tempered,
    total_variation,
)
from tests.core.oracles import reference
from tests.core.test_discrete import d3pm, tensor

T = 6
BETAS = torch.linspace(0.05, 0.8, T, dtype=torch.float64)
WORLDS = {
    "uniform": uniform(4, BETAS),
    "absorbing": absorbing(4, BETAS),
    "gaussian": gaussian(4, BETAS),
    "mask_and_replace": mask_and_replace(4, T, masked=(0.000009, 0.9)),
}
DATA = torch.tensor([0.6, 0.1, 0.3, 0.0], dtype=torch.float64)
AMOUNT = {"tempered": 2.0, "hedged": 0.3}
PAIRS = [(t, s) for t in range(1, T + 1) for s in range(t)]


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> DiscreteDiffusion:
    return WORLDS[request.param]


def made(world: DiscreteDiffusion, name: str, data: Tensor = DATA) -> object:
    return BELIEFS[name](world, data, AMOUNT.get(name, 1.0))


def every_belief(world: DiscreteDiffusion, denoiser: object, t: int) -> Tensor:
    x_t = torch.arange(world.K)
    return belief(denoiser(x_t, torch.full_like(x_t, t)))  # type: ignore[operator]


def same(one: Tensor, other: Tensor, atol: float = 1e-14) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=atol)


# --- kernels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BELIEFS)
@pytest.mark.parametrize("rule", REVERSE_RULES)
def test_many_matrices_are_the_single_ones(world: DiscreteDiffusion, rule: str, name: str) -> None:
    denoiser = made(world, name)
    found = reverse_matrices(world, denoiser, PAIRS, rule=rule)
    for matrix, (t, s) in zip(found, PAIRS, strict=True):
        same(matrix, reverse_matrix(world, denoiser, t, s, rule=rule), 1e-15)
    assert reverse_matrices(world, denoiser, [], rule=rule).shape == (0, 4, 4)


def test_the_error_is_the_difference_where_x_t_can_occur(world: DiscreteDiffusion) -> None:
    """Against Bayes' rule written as loops over the joint distribution of x_0, x_s and x_t."""
    t, s = 4, 2
    start, early = world.q_marginal_matrix(s).numpy(), world.q_matrix(t, s).numpy()
    joint = np.zeros((4, 4))  # x_t, x_s
    for x0, x_s, x_t in itertools.product(range(4), repeat=3):
        joint[x_t, x_s] += DATA[x0] * start[x0, x_s] * early[x_s, x_t]
    matrix = reverse_matrices(world, made(world, "exact"), [(t, s)], rule="product")[0].numpy()
    error, average = rule_error(world, DATA, t, s, torch.from_numpy(matrix))
    expected, shown = 0.0, joint.sum(1)
    for x_t in range(4):
        if shown[x_t] == 0:
            assert np.isnan(error[x_t]).all()
            continue
        gap = matrix[x_t] - joint[x_t] / shown[x_t]
        np.testing.assert_allclose(error[x_t], gap, atol=1e-14)
        expected += shown[x_t] * np.abs(gap).sum() / 2
    assert average == pytest.approx(expected, abs=1e-14)


def test_the_references_world_on_the_page_errs_by_what_they_found() -> None:
    """The page's default: the case's betas are our cosine schedule's."""
    case = reference("d3pm")["bayes_optimal_denoiser"]["cases"][0]
    np.testing.assert_allclose(case["betas"], DISCRETE_BETAS["cosine"](6), atol=1e-12)
    diffusion, data = d3pm(case), tensor(case["data_distribution"])
    worst = {}
    for rule in REVERSE_RULES:
        steps = [(t, t - 1) for t in range(2, 7)]
        found = reverse_matrices(diffusion, exact_denoiser(diffusion, data), steps, rule=rule)
        worst[rule] = max(
            float(rule_error(diffusion, data, *step, matrix)[0].abs().max())
            for step, matrix in zip(steps, found, strict=True)
        )
    assert worst["product"] == pytest.approx(case["max_abs_err_product_form"], rel=1e-9)
    assert worst["mixture"] <= 2 * case["max_abs_err_mixture_form"]


@pytest.mark.parametrize("name", BELIEFS)
def test_for_absorbing_noise_the_rules_agree_whatever_is_believed(name: str) -> None:
    """As long as the belief leaves room for what is seen."""
    world = WORLDS["absorbing"]
    one, other = (reverse_matrices(world, made(world, name), PAIRS, rule=r) for r in REVERSE_RULES)
    same(one, other)


def test_mask_and_replace_agrees_in_the_row_of_the_mask_only() -> None:
    world = WORLDS["mask_and_replace"]
    steps = [(t, s) for t, s in PAIRS if s]
    one, other = (reverse_matrices(world, made(world, "exact"), steps, rule=r)
                  for r in REVERSE_RULES)  # fmt: skip
    same(one[:, 3], other[:, 3])
    assert float((one - other)[:, :3].abs().max()) > 0.1


def test_the_product_of_a_blind_belief_is_the_true_kernel(world: DiscreteDiffusion) -> None:
    """Evidence enters once then. The mixture asks for a belief that has seen x_t."""
    steps = [(t, s) for t, s in PAIRS if s]
    for rule, good in (("product", True), ("mixture", False)):
        found = reverse_matrices(world, made(world, "blind"), steps, rule=rule)
        gaps = [rule_error(world, DATA, *step, m)[0] for step, m in zip(steps, found, strict=True)]
        worst = max(float(gap.nan_to_num().abs().max()) for gap in gaps)
        assert (worst < 1e-14) == (good or world is WORLDS["absorbing"])


def test_with_a_single_datum_nothing_can_go_wrong(world: DiscreteDiffusion) -> None:
    data = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    for rule in REVERSE_RULES:
        found = reverse_matrices(world, made(world, "exact", data), PAIRS, rule=rule)
        for step, matrix in zip(PAIRS, found, strict=True):
            assert float(rule_error(world, data, *step, matrix)[0].nan_to_num().abs().max()) < 1e-14


# --- denoisers ------------------------------------------------------------------------------------


def test_each_distortion_is_what_it_says(world: DiscreteDiffusion) -> None:
    p = every_belief(world, made(world, "exact"), 3)
    real = torch.tensor([world.mask is None or k != world.mask for k in range(4)]).double()
    sharp = every_belief(world, tempered(made(world, "exact"), 0.5), 3)
    same(sharp, p**2 / (p**2).sum(1, keepdim=True))
    same(every_belief(world, tempered(made(world, "exact"), 1), 3), p)
    mixed = every_belief(world, hedged(world, made(world, "exact"), 0.3), 3)
    same(mixed, 0.7 * p + 0.3 * real / real.sum())
    twice = every_belief(world, softmax_twice(world, made(world, "exact")), 3)
    same(twice, p.exp() * real / (p.exp() * real).sum(1, keepdim=True))
    same(every_belief(world, blind(world, DATA), 3), DATA.expand(4, -1))


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_a_temperature_must_be_above_0(bad: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        tempered(made(WORLDS["uniform"], "exact"), bad)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_a_share_must_lie_between_0_and_1(bad: float) -> None:
    with pytest.raises(ValueError, match=r"0\.\.1"):
        hedged(WORLDS["uniform"], made(WORLDS["uniform"], "exact"), bad)


def test_a_blind_belief_must_be_a_distribution() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        blind(WORLDS["uniform"], DATA * 2)


# --- chains ---------------------------------------------------------------------------------------


def test_stops_go_from_T_to_0_in_strictly_falling_steps() -> None:
    for n in range(1, 101):
        pairs = stops(100, n)
        assert len(pairs) == n
        assert pairs[0][0] == 100
        assert pairs[-1][1] == 0
        assert all(s < t for t, s in pairs)
        assert all(a[1] == b[0] for a, b in itertools.pairwise(pairs))
        strides = [t - s for t, s in pairs]
        assert max(strides) - min(strides) <= 1


@pytest.mark.parametrize("rule", REVERSE_RULES)
def test_a_chains_end_is_the_sum_over_all_its_paths(world: DiscreteDiffusion, rule: str) -> None:
    denoiser = made(world, "hedged")
    moves = reverse_matrices(world, denoiser, stops(T, T), rule=rule)
    found = chain_marginals(world.prior_probs, moves)
    same(found.sum(1), torch.ones(T + 1).double())
    same(found[-1], exact_model_probs(world, denoiser, (), rule=rule))


def test_a_chain_draws_what_the_marginals_say() -> None:
    """20,000 walks of the sampler: a standard error of at most 0.0036 per state."""
    world = WORLDS["uniform"]
    denoiser, steps = made(world, "tempered"), stops(T, 3)
    start = DATA @ world.q_marginal_matrix(T)
    exact = chain_marginals(start, reverse_matrices(world, denoiser, steps, rule="product"))[-1]
    g = torch.Generator().manual_seed(0)
    x_T = torch.multinomial(start, 20_000, replacement=True, generator=g)
    walk = sample_discrete(world, denoiser, x_T, [t for t, _ in steps], rule="product", generator=g)
    drawn = torch.bincount(list(walk)[-1].x_t, minlength=4) / 20_000
    assert float((drawn - exact).abs().max()) < 4 * 0.0036
    assert float((exact - DATA).abs().max()) > 8 * 0.0036  # the test could tell them apart


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_the_mixture_of_the_exact_belief_never_strays(world: DiscreteDiffusion, n: int) -> None:
    ((places, far),) = chain_distances(world, made(world, "exact"), DATA, [n])
    assert places[0] == T
    assert places[-1] == 0
    assert len(places) == len(far) == n + 1
    assert float(far.max()) < 1e-15


def test_several_chains_at_once_are_the_single_ones(world: DiscreteDiffusion) -> None:
    denoiser = made(world, "tempered")
    together = chain_distances(world, denoiser, DATA, [1, 3, 6], rule="product")
    for n, (places, far) in zip([1, 3, 6], together, strict=True):
        ((alone, same_far),) = chain_distances(world, denoiser, DATA, [n], rule="product")
        assert places == alone
        same(far, same_far, 1e-15)


@pytest.mark.parametrize("name", BELIEFS)
@pytest.mark.parametrize("rule", REVERSE_RULES)
def test_no_mass_is_lost_and_no_number_missing_at_the_edges(rule: str, name: str) -> None:
    """Zeros in the data, no noise at all, nothing but noise, a single step."""
    for data in ([0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0], [1.0, 1e-300, 0.0, 0.0]):
        pi = torch.tensor(data, dtype=torch.float64)
        for betas in ([0.0, 0.0], [1.0, 1.0], [0.5, 1.0], [0.3]):
            for kernel in (uniform, absorbing, gaussian):
                world = kernel(4, betas)
                denoiser = made(world, name, pi)
                for n in range(1, world.T + 1):
                    moves = reverse_matrices(world, denoiser, stops(world.T, n), rule=rule)
                    assert bool(moves.isfinite().all())
                    found = chain_marginals(pi @ world.q_marginal_matrix(world.T), moves)
                    same(found.sum(1), torch.ones(n + 1).double(), 1e-12)


def test_total_variation_is_the_share_that_must_move() -> None:
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.5, 0.5])
    assert float(total_variation(p, q)) == 0.5
    assert float(total_variation(p, p)) == 0
    assert float(total_variation(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))) == 1


def test_where_a_rule_allows_nothing_the_state_stays() -> None:
    moves = torch.tensor([[[0.0, 0.0], [1.0, 0.0]]], dtype=torch.float64)
    start = torch.tensor([0.25, 0.75], dtype=torch.float64)
    same(chain_marginals(start, moves)[-1], torch.tensor([1.0, 0.0]).double())


def test_the_truth_has_a_row_for_every_x_t_that_occurs(world: DiscreteDiffusion) -> None:
    shown = DATA @ world.q_marginal_matrix(3)
    rows = true_reverse_matrix(world, DATA, 3, 1).sum(1)
    same(rows, (shown > 0).double())
