"""The discrete bound: exact sums, draws that agree with them, other people's numbers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.denoisers import DiscreteDenoiser
from diffusion_core.discrete import (
    REVERSE_RULES,
    DiscreteDiffusion,
    absorbing,
    mask_and_replace,
    uniform,
)
from diffusion_core.discrete_elbo import (
    CONFIGURATIONS,
    categorical_kl,
    configurations,
    cross_entropy,
    discrete_elbo,
    discrete_elbo_terms,
    estimate_discrete_elbo,
    exact_discrete_elbo,
    exact_model_probs,
    hybrid_loss,
    prior_term,
    vb_terms,
)
from diffusion_core.discrete_sampling import exact_denoiser, reverse_matrix
from diffusion_core.elbo import LossHistory
from tests.core.oracles import close, reference
from tests.core.test_discrete import d3pm, last, named, tensor, vq
from tests.core.test_discrete_sampling import DATA, PROCESSES, T

RULES = list(REVERSE_RULES)


@pytest.fixture(params=PROCESSES)
def process(request: pytest.FixtureRequest) -> DiscreteDiffusion:
    return PROCESSES[request.param]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tabular(logits: Tensor) -> DiscreteDenoiser:
    """A denoiser of one element at a time: logits [T, K, K], by t, x_t and x_0."""

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        return logits[(t - 1).reshape(-1, *[1] * (x_t.ndim - 1)), x_t]

    return predict


def random_denoiser(diffusion: DiscreteDiffusion, seed: int = 0) -> DiscreteDenoiser:
    logits = torch.randn(diffusion.T, diffusion.K, diffusion.K, generator=seeded(seed)).double()
    if diffusion.mask is not None:
        logits[..., diffusion.mask] = -torch.inf
    return tabular(logits)


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_the_bound_is_a_bound(process: DiscreteDiffusion, rule: str) -> None:
    denoiser, x0 = random_denoiser(process), torch.arange(4)
    cost = -exact_model_probs(process, denoiser, (), rule=rule).log()
    terms = exact_discrete_elbo(process, denoiser, x0, rule=rule)
    assert (terms.total >= cost[:4] - 1e-12).all()
    assert (terms.denoising >= -1e-15).all()
    assert (terms.prior >= -1e-15).all()


@pytest.mark.parametrize("rule", RULES)
def test_what_the_sampler_draws_sums_to_1(process: DiscreteDiffusion, rule: str) -> None:
    probs = exact_model_probs(process, random_denoiser(process), (2,), rule=rule)
    assert probs.sum() == pytest.approx(1, abs=1e-12)


def test_with_the_exact_belief_the_bound_is_tight(process: DiscreteDiffusion) -> None:
    """The model's chain is the true one then; all that is left is the prior's own error."""
    x0 = torch.arange(4)
    terms = exact_discrete_elbo(process, exact_denoiser(process, DATA), x0)
    ends = process.q_marginal_matrix(T)
    off = ((DATA @ ends) / process.prior_probs).log()
    expected = -DATA[:4].log() + (ends[:4] * torch.where(ends[:4] > 0, off, 0.0)).sum(1)
    torch.testing.assert_close(terms.total, expected, rtol=0, atol=1e-12)


def test_the_product_pays_for_counting_x_t_twice() -> None:
    """The same exact belief costs more, on average over the data, unless the process absorbs."""
    for name, process in PROCESSES.items():
        denoiser = exact_denoiser(process, DATA)
        mixed, product = (
            float(DATA[:4] @ exact_discrete_elbo(process, denoiser, torch.arange(4), rule=r).total)
            for r in ("mixture", "product")
        )
        if name == "absorbing":
            assert product == pytest.approx(mixed, abs=1e-12)
        else:
            assert product > mixed + 1e-5  # VQ-Diffusion replaces little


@pytest.mark.parametrize("rule", RULES)
def test_independent_elements_cost_their_sum(process: DiscreteDiffusion, rule: str) -> None:
    denoiser = random_denoiser(process)
    x0 = torch.tensor([[0, 3], [2, 2]])
    pair = exact_discrete_elbo(process, denoiser, x0, rule=rule)
    alone = exact_discrete_elbo(process, denoiser, x0.reshape(-1), rule=rule)
    for both, each in zip(pair, alone, strict=True):
        torch.testing.assert_close(both, each.reshape(2, 2, *each.shape[1:]).sum(1))


# With VQ-Diffusion's end points a replacement is one in a million, and no test sees one.
DRAWN = PROCESSES | {"mask_and_replace": mask_and_replace(5, T, keep=(0.95, 0.1), masked=(0, 0.8))}


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("rule", RULES)
def test_one_draw_per_step_is_right_on_average(name: str, rule: str) -> None:
    process = DRAWN[name]
    denoiser, n = random_denoiser(process), 3000
    exact = exact_discrete_elbo(process, denoiser, torch.tensor([1]), rule=rule)
    draws = discrete_elbo(process, denoiser, torch.ones(n).long(), rule=rule, generator=seeded())
    assert draws.denoising.shape == (n, T - 1)
    assert torch.equal(draws.prior, exact.prior.expand(n))
    for one, many in zip(exact[1:], draws[1:], strict=True):
        error = many.std(0) / math.sqrt(n)
        assert ((many.mean(0) - one[0]).abs() <= 5 * error + 1e-12).all()
    per_dim = draws.bits_per_dim(1)
    torch.testing.assert_close(per_dim, draws.total / math.log(2))


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("proposal", ["uniform", "importance"])
def test_a_few_steps_stand_for_all(name: str, proposal: str) -> None:
    process = DRAWN[name]
    denoiser, x0 = random_denoiser(process), torch.arange(4)
    exact = 32 * exact_discrete_elbo(process, denoiser, x0).total
    mean, error = estimate_discrete_elbo(
        process,
        denoiser,
        x0[:, None].expand(4, 32),
        n=400,
        proposal=proposal,
        batch=64,
        generator=seeded(),
    )
    assert mean.shape == error.shape == (4,)
    assert ((mean - exact).abs() <= 5 * error).all()
    assert (error > 0).all()


@pytest.mark.parametrize("seed", [4, 7])
def test_an_estimate_of_one_element_knows_its_error(seed: int) -> None:
    """A term that is 0 most of the time is still looked at. The seeds are the worst two of 30; with
    a thousandth of the draws uniform, the first is 8.7 of its own errors off.
    """
    process = absorbing(3, [0.25, 1 / 3, 0.5, 1.0])
    logits = tensor([2.0, 0.0, -np.inf])
    x0 = torch.zeros(1, 1, dtype=torch.int64)

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        return logits.expand(*x_t.shape, 3)

    exact = exact_discrete_elbo(process, denoiser, x0).total
    mean, error = estimate_discrete_elbo(
        process, denoiser, x0, n=500, proposal="importance", generator=seeded(seed)
    )
    assert float((mean - exact).abs() / error) < 4


def test_a_proposal_forgets_no_step_and_pays_little_for_it() -> None:
    """A step whose terms were all 0 keeps a twentieth of its even share; the others lose no more
    than a twentieth, so that the variance is 1/0.95 times the best one at most.
    """
    history, best = LossHistory(4, length=2), np.array([0.0, 1, 2, 3]) / 6
    history.update(torch.arange(1, 5).repeat(2), torch.arange(4.0).repeat(2))
    found = history.probabilities().numpy()
    assert found[0] == pytest.approx(0.05 / 4)
    assert (found >= 0.95 * best).all()
    assert found.sum() == pytest.approx(1)


def test_a_proposal_that_has_learned_goes_on() -> None:
    process = PROCESSES["uniform"]
    proposal = LossHistory(T, length=2)
    denoiser, x0 = random_denoiser(process), torch.arange(4)
    estimate_discrete_elbo(process, denoiser, x0, n=50, proposal=proposal, generator=seeded())
    assert proposal.warm


def test_terms_come_one_after_another_and_do_not_depend_on_the_batch() -> None:
    process = PROCESSES["mask_and_replace"]
    denoiser = random_denoiser(process)
    x0 = torch.tensor([[0, 1, 2], [3, 2, 1]])
    tables = []
    for batch in (1, 7, 64):
        parts = list(discrete_elbo_terms(process, denoiser, x0, batch=batch, generator=seeded()))
        assert [t for steps, _ in parts for t in steps] == list(range(1, T + 1))
        assert all(nats.shape == (2, len(steps)) for steps, nats in parts)
        tables.append(torch.cat([nats for _, nats in parts], 1))
    for table in tables[1:]:
        torch.testing.assert_close(table, tables[0], rtol=1e-12, atol=1e-15)


def test_the_denoiser_is_told_each_examples_label() -> None:
    process, label = PROCESSES["uniform"], torch.tensor([3, 5])
    calls = []

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        assert label is not None
        calls.append((t.tolist(), label.tolist()))
        return torch.zeros(*x_t.shape, 5)

    x0 = torch.zeros(2, 3, dtype=torch.int64)
    discrete_elbo(process, denoiser, x0, label=label, batch=4, generator=seeded())
    assert calls[0] == ([1, 1, 2, 2], [3, 5, 3, 5])
    calls.clear()
    estimate_discrete_elbo(process, denoiser, x0, n=4, label=label, batch=8, generator=seeded())
    assert calls[0][1] == [3, 5] * 4
    exact_discrete_elbo(process, denoiser, x0[:, 0], label=label)
    assert {tuple(labels) for _, labels in calls[1:]} == {(3,) * 5, (5,) * 5}


@pytest.mark.parametrize("rule", RULES)
def test_for_absorbing_processes_the_terms_are_masked_prediction(rule: str) -> None:
    """D3PM, appendix A.3: with betas 1/(T-t+1) a masked token costs (1/t) of its cross entropy."""
    process, denoiser = PROCESSES["absorbing"], random_denoiser(PROCESSES["absorbing"])
    x0 = torch.arange(4).repeat(T)
    t = torch.arange(1, T + 1).repeat_interleave(4)
    for x_t, share in (
        (torch.full_like(x0, 4), 1 / t.double()),
        (x0, torch.where(t == 1, 1.0, 0.0)),
    ):
        seen = process.q_marginal(x0, t).gather(-1, x_t[:, None])[:, 0] > 0
        logits = denoiser(x_t, t)
        nats = vb_terms(process, logits, x_t, x0, t, rule=rule)
        expected = share * cross_entropy(logits, x0)
        torch.testing.assert_close(nats[seen], expected[seen], rtol=0, atol=1e-12)


def test_the_reconstruction_is_the_same_formula(process: DiscreteDiffusion) -> None:
    x0 = torch.arange(4)
    t = torch.ones(4, dtype=torch.int64)
    logits = random_denoiser(process)(x0, t)
    for rule in RULES:
        nats = vb_terms(process, logits, x0, x0, t, rule=rule)
        torch.testing.assert_close(nats, cross_entropy(logits, x0), rtol=1e-12, atol=0)
        hybrid = hybrid_loss(process, logits, x0, x0, t, ce_weight=0.25, rule=rule)
        torch.testing.assert_close(hybrid, 1.25 * nats, rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", RULES)
def test_the_hybrid_loss_trains_a_float32_network(process: DiscreteDiffusion, rule: str) -> None:
    """Gradients are finite in every position, and point where finite differences do."""
    x0 = torch.randint(0, 4, (6, 5), generator=seeded())
    t = torch.tensor([1, 2, 3, 6, 11, 12])
    x_t = process.q_sample(x0, t, seeded(1))
    start = torch.randn(6, 5, 5, generator=seeded(2)) * 3
    if process.mask is not None:
        start[..., process.mask] = -torch.inf
    logits = start.clone().requires_grad_()
    loss = hybrid_loss(process, logits, x_t, x0, t, ce_weight=0.01, rule=rule)
    assert loss.shape == (6, 5)
    assert loss.dtype == torch.float64
    loss.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    h = 1e-5
    for b, d, k in itertools.product((0, 1, 4), (0, 3), (0, 2)):
        ends = []
        for sign in (1, -1):
            moved = start.double()
            moved[b, d, k] += sign * h
            ends.append(hybrid_loss(process, moved, x_t, x0, t, ce_weight=0.01, rule=rule).sum())
        slope = float(ends[0] - ends[1]) / (2 * h)
        assert float(logits.grad[b, d, k]) == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_each_example_may_have_its_own_weight() -> None:
    process = PROCESSES["uniform"]
    x0 = torch.tensor([[0, 1], [2, 3]])
    t = torch.tensor([3, 5])
    logits = torch.randn(2, 2, 5, generator=seeded())
    zero, both = (
        hybrid_loss(process, logits, x0, x0, t, ce_weight=weight)
        for weight in (0.0, torch.tensor([0.0, 2.0]))
    )
    gap = both - zero
    torch.testing.assert_close(gap[0], torch.zeros(2).double())
    torch.testing.assert_close(gap[1], 2 * cross_entropy(logits, x0)[1])


def test_the_divergence_of_categories() -> None:
    p, q = tensor([0.5, 0.5, 0.0]), tensor([0.25, 0.25, 0.5])
    assert categorical_kl(p, q).item() == pytest.approx(math.log(2), rel=1e-12)
    assert categorical_kl(q, p).item() == math.inf
    assert categorical_kl(p, p).item() == 0


def test_every_configuration_once_in_order() -> None:
    every = configurations(3, (2,))
    assert every.tolist() == [[a, b] for a in range(3) for b in range(3)]
    assert configurations(4, ()).tolist() == [0, 1, 2, 3]
    assert configurations(2, (1, 2)).shape == (4, 1, 2)


def test_too_large_a_world_is_refused() -> None:
    with pytest.raises(ValueError, match=f"at most {CONFIGURATIONS}"):
        configurations(5, (28, 28))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"n": 1}, "at least two"),
        ({"proposal": "no"}, "unknown proposal"),
        ({"proposal": LossHistory(3)}, "another number"),
    ],
    ids=["n", "name", "T"],
)
def test_bad_estimates_are_refused(given: dict[str, Any], says: str) -> None:
    process = PROCESSES["uniform"]
    arguments: dict[str, Any] = {"n": 2, "generator": seeded()} | given
    with pytest.raises(ValueError, match=says):
        estimate_discrete_elbo(process, random_denoiser(process), torch.arange(4), **arguments)


def test_a_model_that_rules_out_the_truth_pays_forever() -> None:
    process = uniform(3, [0.3, 0.6])
    sure = torch.tensor([[0.0, -torch.inf, -torch.inf]])
    x0, t = torch.tensor([1]), torch.tensor([1])
    assert vb_terms(process, sure, x0, x0, t).item() == math.inf
    later = vb_terms(process, sure, x0, x0, t + 1)
    assert later.isfinite().all()


# --- other people's numbers -----------------------------------------------------------------------

ENUMERATED = reference("d3pm")["enumerated_elbo"]["cases"]
LOSSES = reference("d3pm")["posterior_and_losses"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", ENUMERATED, ids=named)
def test_enumerated_elbo(case: dict[str, Any], rule: str) -> None:
    process, stored = d3pm(case), case[rule]
    denoiser = tabular(tensor(case["denoiser_logits_t_xt_x0"]))
    x0 = torch.tensor(case["x0_values"])
    terms = exact_discrete_elbo(process, denoiser, x0, rule=rule)
    close(terms.reconstruction, np.array(stored["L_t_nats_by_x0_and_t"])[:, 0])
    close(terms.denoising, np.array(stored["L_t_nats_by_x0_and_t"])[:, 1:])
    prior = np.array(stored["prior_kl_nats"])
    np.testing.assert_allclose(terms.prior, prior, rtol=1e-9, atol=1e-15)
    close(terms.total, stored["negative_elbo_nats"])
    marginal = exact_model_probs(process, denoiser, (), rule=rule)
    close(marginal, stored["model_marginal_p_x0"])
    close(-marginal.log()[x0], stored["exact_nll_nats"])
    for i, theirs in enumerate(stored["reverse_transition_P_t_xt_xprev"]):
        ours = reverse_matrix(process, denoiser, i + 1, i, rule=rule)
        can = process.q_marginal_matrix(i + 1)[x0].sum(0) > 0  # they fill the others with ones
        close(ours[can], np.array(theirs)[can])


@pytest.mark.parametrize("case", LOSSES, ids=named)
def test_d3pm_losses(case: dict[str, Any]) -> None:
    process = d3pm(case)
    t = torch.tensor(case["t"]) + 1
    x0, x_t = torch.tensor(case["x_start"]), torch.tensor(case["x_t_from_uniform_noise"])
    logits = tensor(case["x_start_logits"])
    bound = {rule: vb_terms(process, logits, x_t, x0, t, rule=rule) for rule in RULES}
    for rule, nats in bound.items():
        close(nats, case[f"exact_vb_nats_{rule}_form"])
    prior = np.array(case["exact_prior_kl_nats"])
    np.testing.assert_allclose(prior_term(process, x0), prior.sum((1, 2, 3)), rtol=1e-9, atol=1e-15)
    if "google_vb_terms_bpd" not in case:
        return
    # The public code adds 1e-6 inside its logarithms, and means over elements, in bits.
    weight = case["google_hybrid_coeff"]
    hybrid = hybrid_loss(process, logits, x_t, x0, t, ce_weight=weight, rule="product")
    off = max(1e-4, 1.001 * case["max_abs_diff"]["google_vb_terms_bpd vs exact (bits)"])
    for ours, theirs, atol in (
        (bound["product"], "google_vb_terms_bpd", off),
        (hybrid, "google_hybrid_loss", off),
        (cross_entropy(logits, x0), "google_cross_entropy_x_start_bpd", 1e-9),
    ):
        bits = ours.mean((1, 2, 3)) / math.log(2)
        np.testing.assert_allclose(bits, case[theirs], rtol=1e-9, atol=atol)
    bits = prior_term(process, x0) / (3 * math.log(2))
    np.testing.assert_allclose(bits, case["google_prior_bpd"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "case", reference("vq_diffusion")["cases"], ids=lambda c: f"{c['K']}-{c['T']}"
)
def test_vq_diffusion_losses(case: dict[str, Any]) -> None:
    process, stored = vq(case), case["loss"]
    t = torch.tensor(case["t"]) + 1
    x0, x_t = torch.tensor(case["x_start"]), torch.tensor(case["x_t"])
    logits = last(case["x_start_logits"])
    logits = torch.cat([logits, torch.full_like(logits[..., :1], -torch.inf)], -1)
    nats = vb_terms(process, logits, x_t, x0, t)
    entropy = cross_entropy(logits, x0)
    first = t == 1
    close(nats[first], tensor(stored["exact_decoder_nll"])[first], rtol=1e-7)
    np.testing.assert_allclose(
        nats[~first], tensor(stored["exact_kl"])[~first], rtol=1e-7, atol=1e-9
    )
    np.testing.assert_allclose(nats[~first], tensor(stored["kl"])[~first], rtol=1e-7, atol=1e-8)
    close(nats[first], tensor(stored["decoder_nll"])[first], rtol=1e-7)
    close(entropy, stored["kl_aux"], rtol=1e-7)
    # Their two losses: the terms times T, and 5e-4 of the cross entropy, more of it early.
    weight = 5e-4 * (2 - (t - 1) / case["T"])
    for name, ce_weight in (("with", weight), ("without", 0.0)):
        loss = hybrid_loss(process, logits, x_t, x0, t, ce_weight=ce_weight)
        close(case["T"] * loss.sum(1), stored[f"train_loss_{name}_aux"], rtol=1e-7)
