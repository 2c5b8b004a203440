"""VQ-Diffusion's routine: exact with all its steps, wrong by known amounts without one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion_core.discrete import (
    DiscreteDiffusion,
    absorbing,
    gaussian,
    mask_and_replace,
    mixture,
    uniform,
)
from diffusion_core.vq_posterior import LOG_ZERO, VQPosterior, vq_posterior
from tests.core.oracles import reference
from tests.core.test_discrete import last, vq

CASES = reference("vq_diffusion")["cases"]


@pytest.fixture(params=CASES, ids=lambda c: f"{c['K']}-{c['T']}")
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def setting(
    case: dict[str, Any], belief: str = "model", dtype: torch.dtype = torch.float64
) -> tuple[DiscreteDiffusion, Tensor, Tensor, Tensor]:
    """(process, x_t, log belief as their code makes it, t)."""
    logits = torch.tensor(case["x_start_logits"], dtype=torch.float64)
    log_p = logits.log_softmax(1).movedim(1, -1)
    log_p = torch.cat([log_p, torch.full_like(log_p[..., :1], -70)], -1).clamp(-70, 0)
    if belief == "true_x_start":
        hot = torch.nn.functional.one_hot(torch.tensor(case["x_start"]), case["K"] + 1)
        log_p = hot.double().clamp(min=1e-30).log()
    t = torch.tensor(case["t"]) + 1
    return vq(case), torch.tensor(case["x_t"]), log_p.to(dtype), t


def routine(case: dict[str, Any], belief: str = "model", **switches: bool) -> VQPosterior:
    return vq_posterior(*setting(case, belief), **switches)


def error(case: dict[str, Any], where: str = "everywhere", **switches: bool) -> float:
    """Largest difference from brute-force Bayes."""
    exact = last(case["exact_bayes_probs_model"])
    gap = (routine(case, **switches).result.exp() - exact).abs().amax(-1)
    masked = torch.tensor(case["x_t"]) == case["K"]
    chosen = {"masked": masked, "seen": ~masked, "everywhere": masked | ~masked}[where]
    return float(gap[chosen].max())


@pytest.mark.parametrize("belief", ["model", "true_x_start"])
def test_it_is_their_routine(case: dict[str, Any], belief: str) -> None:
    ours = routine(case, belief).result.exp()
    theirs = last(case[f"q_posterior_probs_{belief}"])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("belief", ["model", "true_x_start"])
def test_it_is_exact_and_no_approximation(case: dict[str, Any], belief: str) -> None:
    diffusion, x_t, log_p, t = setting(case, belief)
    ours = routine(case, belief).result.exp()
    torch.testing.assert_close(ours, last(case[f"exact_bayes_probs_{belief}"]), rtol=0, atol=1e-9)
    # Against our own mixture nothing is left of the stored tables' digits.
    same = mixture(diffusion, x_t, log_p.exp(), t)
    torch.testing.assert_close(ours, same, rtol=0, atol=1e-12)


def test_its_first_lines_are_their_forward_rows(case: dict[str, Any]) -> None:
    """From [MASK] the row is none (it sums to 1 + K b): the replacement hides that."""
    lines = routine(case)
    theirs = last(case["q_pred_one_timestep_probs_from_x_t_as_x_prev"])
    torch.testing.assert_close(lines.step_row.exp(), theirs, rtol=0, atol=1e-9)
    masked = torch.tensor(case["x_t"]) == case["K"]
    if masked.any():
        assert (lines.step_row.exp().sum(-1)[masked] > 1).all()


# --- what each line is ----------------------------------------------------------------------------


def test_every_intermediate_is_what_its_name_says(case: dict[str, Any]) -> None:
    diffusion, x_t, log_p, t = setting(case)
    lines = routine(case)
    clean = torch.zeros_like(t)
    tight = {"rtol": 0, "atol": 1e-14}
    marginal = diffusion.q_likelihood(x_t, t, clean)
    torch.testing.assert_close(lines.marginal_column.exp(), marginal[..., :-1], **tight)
    step = diffusion.q_likelihood(x_t, t, t - 1)
    torch.testing.assert_close(lines.step_column.exp(), step, **tight)
    weights = log_p.exp()[..., :-1] / marginal[..., :-1]
    total = weights.sum(-1, keepdim=True)
    torch.testing.assert_close(lines.ratio.exp()[..., :-1], weights, rtol=1e-12, atol=0)
    torch.testing.assert_close(lines.log_sum.exp(), total, rtol=1e-12, atol=0)
    torch.testing.assert_close(lines.weights.exp()[..., :-1], weights / total, **tight)
    assert (lines.ratio[..., -1] == LOG_ZERO).all()
    pushed = diffusion.q_push(lines.weights.exp(), t - 1, clean)
    torch.testing.assert_close(lines.propagated.exp(), pushed, **tight)
    torch.testing.assert_close(lines.joint.exp(), step * pushed * total, **tight)
    assert lines.result.min() >= -70
    assert lines.result.max() <= 0


def test_on_real_states_the_forward_row_is_the_column(case: dict[str, Any]) -> None:
    """Why q_pred(log_x_t, t) may be read as q(x_t | x_0): Q is symmetric there."""
    lines = routine(case)
    seen = torch.tensor(case["x_t"]) != case["K"]
    assert torch.equal(lines.marginal_row[..., :-1][seen], lines.marginal_column[seen])
    diffusion = vq(case)
    for t in range(1, diffusion.T + 1):
        Q = diffusion.q_marginal_matrix(t)
        assert torch.equal(Q[:-1, :-1], Q[:-1, :-1].T)
        assert not torch.equal(Q, Q.T)


# --- what goes wrong without a step ---------------------------------------------------------------


def test_without_the_replacement_masked_positions_are_wrong_by_0_89_to_0_99(
    case: dict[str, Any],
) -> None:
    stored = case["max_abs_diffs"]["what-if without replacing masked rows, x_t=mask"]
    wrong = error(case, "masked", replace_mask=False)
    assert wrong == pytest.approx(stored, abs=1e-9)
    assert 0.885 < wrong < 0.995
    # The mask selects positions: elsewhere nothing changes.
    full, without = (routine(case, replace_mask=on).result for on in (True, False))
    seen = torch.tensor(case["x_t"]) != case["K"]
    assert torch.equal(full[seen], without[seen])
    assert error(case, "seen", replace_mask=False) < 1e-9


def test_without_the_normalisation_it_is_wrong_by_0_77_to_0_97(case: dict[str, Any]) -> None:
    stored = case["max_abs_diffs"]["what-if without the inner normalisation vs exact"]
    wrong = error(case, normalise=False)
    assert wrong == pytest.approx(stored, abs=1e-9)
    assert 0.765 < wrong < 0.975


def test_renormalising_only_at_the_end_still_errs_by_0_05_to_0_81(case: dict[str, Any]) -> None:
    name = "what-if without inner normalisation, after final renormalisation"
    wrong = error(case, normalise=False, renormalise=True)
    assert wrong == pytest.approx(case["max_abs_diffs"][name], abs=1e-8)
    assert 0.045 < wrong < 0.815


def test_putting_the_sum_back_only_normalises(case: dict[str, Any]) -> None:
    """Without it the result is wrong, until it is made to sum to 1."""
    assert error(case, put_back=False) > 0.8
    assert error(case, put_back=False, renormalise=True) < 1e-9


def test_float32_as_shipped_errs_by_a_millionth(case: dict[str, Any]) -> None:
    diffusion, x_t, log_p, t = setting(case, dtype=torch.float32)
    lines = vq_posterior(diffusion, x_t, log_p, t)
    assert all(line.dtype == torch.float32 for line in lines)
    gap = (lines.result.double().exp() - last(case["exact_bayes_probs_model"])).abs().max()
    stored = case["max_abs_diffs"]["f32 code (as shipped) vs exact"]
    assert 1e-9 < gap < 4 * stored


def test_any_earlier_step_works_too() -> None:
    diffusion = mask_and_replace(6, 20)
    x_t = torch.tensor([[5, 1, 2], [0, 5, 3]])
    log_p = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0)).double()
    log_p[..., -1] = -torch.inf
    log_p = log_p.log_softmax(-1)
    t, s = torch.tensor([20, 9]), torch.tensor([4, 1])
    ours = vq_posterior(diffusion, x_t, log_p, t, s).result.exp()
    torch.testing.assert_close(ours, mixture(diffusion, x_t, log_p.exp(), t, s), rtol=0, atol=1e-12)


def test_only_masking_works_too() -> None:
    """With no replacement log beta is -inf: real tokens can only stay."""
    diffusion = absorbing(4, [0.2, 0.3, 0.5])
    x_t = torch.tensor([[3, 1, 3]])
    log_p = torch.tensor([[0.2, 0.3, 0.5, 1e-30]], dtype=torch.float64).log().expand(1, 3, 4)
    result = vq_posterior(diffusion, x_t, log_p, torch.tensor([3])).result.exp()
    expected = mixture(diffusion, x_t, log_p.exp(), torch.tensor([3]))
    torch.testing.assert_close(result[:, [0, 2]], expected[:, [0, 2]], rtol=0, atol=1e-12)
    assert not result.isnan().any()


@pytest.mark.parametrize(
    ("diffusion", "says"),
    [
        (uniform(4, [0.1]), "last state is"),
        (gaussian(4, [0.1]), "closed-form"),
        (absorbing(4, [0.1], 1), "last state is"),
    ],
    ids=["uniform", "gaussian", "mask elsewhere"],
)
def test_other_processes_are_refused(diffusion: DiscreteDiffusion, says: str) -> None:
    x_t, log_p = torch.tensor([[1]]), torch.zeros(1, 1, 4)
    with pytest.raises(ValueError, match=says):
        vq_posterior(diffusion, x_t, log_p, torch.tensor([1]))


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="x0_log_probs"):
        vq_posterior(
            mask_and_replace(4, 3), torch.tensor([[1]]), torch.zeros(1, 1, 3), torch.tensor([1])
        )
