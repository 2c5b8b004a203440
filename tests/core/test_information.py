"""What kernels forget: against plain sums, and over all kernels at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from diffusion_core.discrete import (
    DiscreteDiffusion,
    absorbing,
    from_matrices,
    gaussian,
    mask_and_replace,
    mutual_information,
    nearest_neighbor,
    uniform,
)
from diffusion_core.discrete_betas import (
    DISCRETE_BETAS,
    cosine,
    even_loss,
    linear,
    squared_cosine,
)
from diffusion_core.information import (
    block_matrix,
    block_starts,
    forgetting,
    forward_path,
    information_over_time,
    matched_step,
    stationary_of,
)
from diffusion_core.schedules import SCHEDULES
from tests.core.discrete_oracles import between, mask_and_replace_steps, uniform_steps
from tests.core.oracles import reference

T, K = 12, 7
BETAS = [0.05 + 0.01 * t for t in range(T)]
ALL = {
    "uniform": uniform(K, BETAS),
    "absorbing": absorbing(K, BETAS),
    "gaussian": gaussian(K, BETAS),
    "nearest_neighbor": nearest_neighbor(torch.arange(K).double()[:, None], BETAS, rate=9.0),
    "mask_and_replace": mask_and_replace(K, T, masked=(0.000009, 0.9)),
}


@pytest.fixture(params=ALL)
def diffusion(request: pytest.FixtureRequest) -> DiscreteDiffusion:
    return ALL[request.param]


def data(diffusion: DiscreteDiffusion) -> torch.Tensor:
    probs = torch.arange(1.0, K + 1, dtype=torch.float64)
    if diffusion.mask is not None:
        probs[diffusion.mask] = 0
    return probs / probs.sum()


# --- betas ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cosine_T20", "cosine_T100", "cosine_T1000"])
def test_the_cosine_is_d3pms(name: str) -> None:
    (table,) = (b for b in reference("d3pm")["betas"] if b["name"] == name)
    np.testing.assert_allclose(cosine(len(table["betas"])), table["betas"], rtol=1e-9)


@pytest.mark.parametrize("name", ["jsd_T20", "jsd_T100"])
def test_the_even_loss_is_d3pms(name: str) -> None:
    (table,) = (b for b in reference("d3pm")["betas"] if b["name"] == name)
    np.testing.assert_allclose(even_loss(len(table["betas"])), table["betas"], rtol=1e-12)


def test_the_squared_cosine_is_the_cosine_squared() -> None:
    """Up to the last step, where both are cut off."""
    one, two = ((1 - f(50)).cumprod(0)[:-1] for f in (cosine, squared_cosine))
    torch.testing.assert_close(one.square(), two, rtol=1e-10, atol=0)


@pytest.mark.parametrize("T", [1, 2, 10, 1000])
@pytest.mark.parametrize("name", DISCRETE_BETAS)
def test_betas_are_chances(name: str, T: int) -> None:
    betas = DISCRETE_BETAS[name](T)
    assert betas.shape == (T,)
    assert betas.dtype == torch.float64
    assert ((betas > 0) & (betas <= 1)).all()
    assert torch.equal(linear(T), SCHEDULES["linear"](T).beta[1:])


# --- information ----------------------------------------------------------------------------------


def test_all_t_at_once_is_each_t_alone(diffusion: DiscreteDiffusion) -> None:
    told = information_over_time(diffusion, data(diffusion))
    each = [mutual_information(diffusion, data(diffusion), t) for t in range(T + 1)]
    np.testing.assert_allclose(told, each, rtol=1e-12, atol=1e-15)


def test_information_is_the_entropy_that_is_resolved() -> None:
    """I = H(x_t) - H(x_t|x_0), with plain numpy and other people's matrices."""
    pi = np.arange(1.0, K + 1) / np.arange(1, K + 1).sum()
    told = information_over_time(ALL["uniform"], torch.tensor(pi))
    for t in range(T + 1):
        Q = between(uniform_steps(K, BETAS), t, 0)
        safe = np.where(Q > 0, Q, 1)
        noise = -(pi[:, None] * Q * np.log(safe)).sum()
        seen = pi @ Q
        assert float(told[t]) == pytest.approx(-(seen * np.log(seen)).sum() - noise, abs=1e-12)


def test_one_real_state_has_nothing_to_tell() -> None:
    lonely = absorbing(2, BETAS)
    told = information_over_time(lonely, torch.tensor([1.0, 0.0]))
    assert torch.equal(told, torch.zeros(T + 1, dtype=torch.float64))


def test_information_of_no_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        information_over_time(ALL["uniform"], torch.ones(K))


def test_matched_steps_hold_the_share_they_are_asked_for(diffusion: DiscreteDiffusion) -> None:
    told = information_over_time(diffusion, data(diffusion))
    share = told / told[0]
    for wanted in np.linspace(0, 1, 21):
        t = matched_step(told, float(wanted))
        assert abs(float(share[t]) - wanted) == float((share - wanted).abs().min())
    assert matched_step(told, 1.0) == 0
    steps = [matched_step(told, float(s)) for s in np.linspace(1, 0, 21)]
    assert all(a <= b for a, b in itertools.pairwise(steps))


def test_masking_keeps_more_than_redrawing_at_the_same_rate() -> None:
    """The page's question: a hit that shows does less harm."""
    even = torch.full([6], 1 / 6, dtype=torch.float64)
    redrawn = information_over_time(uniform(6, BETAS), even)
    masked = information_over_time(absorbing(7, BETAS), torch.cat([even, torch.zeros(1)]))
    assert (masked[1:] > redrawn[1:]).all()


# --- forgetting -----------------------------------------------------------------------------------


def test_distance_to_the_end_only_falls(diffusion: DiscreteDiffusion) -> None:
    told = forgetting(diffusion)
    assert told.shape == (T + 1,)
    assert (told.diff() <= 1e-12).all()
    pi = diffusion.stationary
    assert pi is not None
    starts = [i for i in range(K) if i != diffusion.mask]
    assert float(told[0]) == pytest.approx(max(1 - float(pi[i]) for i in starts))


def test_uniform_noise_forgets_as_its_closed_form_says() -> None:
    kept = torch.cat([torch.ones(1), (1 - torch.tensor(BETAS)).cumprod(0)]).double()
    torch.testing.assert_close(forgetting(ALL["uniform"]), (1 - 1 / K) * kept, rtol=1e-6, atol=0)


def test_mask_and_replace_stops_short_of_its_end() -> None:
    """In the paper [MASK] has 0.9 in the end, so a tenth is somewhere else."""
    assert float(forgetting(ALL["mask_and_replace"])[-1]) == pytest.approx(0.1, abs=1e-9)
    steps = mask_and_replace_steps(K, T, masked=(0.000009, 0.9))
    end = between(steps, T, 0)[0]
    assert 1 - end[-1] == pytest.approx(0.1, abs=1e-9)


def test_a_process_without_a_known_end_needs_one() -> None:
    Q = torch.tensor([[0.5, 0.5], [0.25, 0.75]], dtype=torch.float64)
    own = from_matrices(Q.expand(5, 2, 2))
    with pytest.raises(ValueError, match="stationary"):
        forgetting(own)
    told = forgetting(own, stationary_of(Q))
    assert float(told[-1]) == pytest.approx(2 / 3 * 0.25**5)


def test_the_stationary_distribution_is_kept() -> None:
    generator = torch.Generator().manual_seed(0)
    Q = torch.rand(5, 5, generator=generator, dtype=torch.float64)
    Q = Q / Q.sum(1, keepdim=True)
    pi = stationary_of(Q)
    torch.testing.assert_close(pi @ Q, pi, rtol=0, atol=1e-14)
    assert float(pi.sum()) == pytest.approx(1)


def test_the_stationary_distribution_of_each_kernel(diffusion: DiscreteDiffusion) -> None:
    assert diffusion.stationary is not None
    found = stationary_of(diffusion.q_step_matrix(T))
    torch.testing.assert_close(found, diffusion.stationary, rtol=0, atol=1e-9)


def test_what_swings_for_ever_has_an_even_end_that_no_start_comes_near() -> None:
    swing = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    pi = stationary_of(swing)
    torch.testing.assert_close(pi, torch.tensor([0.5, 0.5]).double())
    assert (forgetting(from_matrices(swing.expand(9, 2, 2)), pi) == 0.5).all()


# --- seen from afar -------------------------------------------------------------------------------


@pytest.mark.parametrize(("K", "most"), [(7, 32), (7, 3), (64, 32), (2888, 32), (2, 32)])
def test_blocks_cover_every_state_once(K: int, most: int) -> None:
    starts = block_starts(K, most)
    assert starts[0] == 0
    sizes = np.diff([*starts, K])
    assert len(starts) == min(K, most)
    assert sizes.sum() == K
    assert sizes.max() - sizes.min() <= 1


def test_a_block_is_the_mean_of_rows_and_the_sum_of_columns(diffusion: DiscreteDiffusion) -> None:
    starts = [0, 2, 5]
    seen = block_matrix(diffusion, 9, 4, starts)
    Q = diffusion.q_matrix(9, 4)
    ends = [2, 5, 7]
    for i, (a, b) in enumerate(zip(starts, ends, strict=True)):
        for j, (c, d) in enumerate(zip(starts, ends, strict=True)):
            assert float(seen[i, j]) == pytest.approx(float(Q[a:b, c:d].sum(1).mean()), abs=1e-14)
    every = block_matrix(diffusion, 9, 4, list(range(K)))
    torch.testing.assert_close(every, Q, rtol=0, atol=1e-14)


def test_vq_diffusions_size_needs_no_whole_matrix() -> None:
    big = mask_and_replace(2888, 100)
    seen = block_matrix(big, 50, 0, block_starts(2888, 32))
    assert seen.shape == (32, 32)
    torch.testing.assert_close(seen.sum(1), torch.ones(32).double(), rtol=0, atol=1e-12)


def test_walks_have_the_marginals_of_q(diffusion: DiscreteDiffusion) -> None:
    n = 4000
    path = forward_path(diffusion, torch.full([n], 2), torch.Generator().manual_seed(1))
    assert path.shape == (T + 1, n)
    assert (path[0] == 2).all()
    for t in (1, 6, T):
        counts = torch.bincount(path[t], minlength=K).double() / n
        assert (counts - diffusion.q_marginal_matrix(t)[2]).abs().max() < 0.035


def test_who_is_masked_stays_masked() -> None:
    path = forward_path(ALL["absorbing"], torch.zeros(500).long(), torch.Generator().manual_seed(1))
    masked = path == K - 1
    assert (masked[1:] >= masked[:-1]).all()
    assert 0 < masked[-1].sum() < 500


@pytest.mark.parametrize("name", DISCRETE_BETAS)
@pytest.mark.parametrize("steps", [0, -1, 2.5])
def test_what_is_no_number_of_steps_is_refused(name: str, steps: float) -> None:
    with pytest.raises(ValueError, match="whole number of steps"):
        DISCRETE_BETAS[name](steps)  # type: ignore[arg-type]
