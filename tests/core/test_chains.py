"""The solvable chain: one bound in several decompositions, and how much each estimator scatters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.chains import (
    ESTIMATORS,
    LinearChain,
    chain_draws,
    chain_elbo,
    optimal_chain,
)
from tests.core.oracles import close, log_normal, reference

CASES = reference("elbo_toy")["cases"]
BOUNDS = [name for name in ESTIMATORS if name != "consistency_as_written"]


def table(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def chain_of(case: dict[str, Any]) -> LinearChain:
    model = case["reverse_model"]
    tables = (table(values) for values in (case["alphas"], model["a"], model["b"], model["std"]))
    return LinearChain(case["x0"], *tables, *case["prior_mean_var"])


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = CASES[request.param]
    return found


def random_chain(T: int, seed: int = 0) -> LinearChain:
    rng = np.random.default_rng(seed)
    return LinearChain(
        float(rng.normal()),
        table(rng.uniform(0.3, 0.95, T)),
        table(rng.normal(0.8, 0.2, T)),
        table(rng.normal(0, 0.3, T)),
        table(rng.uniform(0.3, 0.9, T)),
        0.2,
        1.3,
    )


# --- somebody else's numbers ----------------------------------------------------------------------


def test_denoising_terms(case: dict[str, Any]) -> None:
    exact = case["exact"]
    costs = [-exact["reconstruction"], *exact["denoising_kl_t2..T"], exact["prior_kl"]]
    for name in ("denoising_analytic_kl", "denoising_log_ratios"):
        found = chain_elbo(chain_of(case), name)
        close(found.terms, costs)
        close(found.total, -exact["elbo_denoising_form"])


def test_consistency_terms(case: dict[str, Any]) -> None:
    exact = case["exact"]
    joint = exact["consistency_terms_joint_expectation_t1..T-1"]
    costs = [-exact["reconstruction"], *joint, exact["consistency_prior_term"]]
    for name in ("consistency_log_ratios", "consistency_bridge"):
        found = chain_elbo(chain_of(case), name)
        close(found.terms, costs)
        close(found.total, -exact["elbo_consistency_joint_expectation"])


def test_consistency_terms_as_written(case: dict[str, Any]) -> None:
    exact = case["exact"]
    written = exact["consistency_terms_as_written_t1..T-1"]
    found = chain_elbo(chain_of(case), "consistency_as_written")
    close(found.terms, [-exact["reconstruction"], *written, exact["consistency_prior_term"]])
    close(found.total, -exact["value_of_consistency_form_as_written"])


def test_log_likelihood(case: dict[str, Any]) -> None:
    close(chain_of(case).log_likelihood(), case["exact"]["model_log_px0"])


MONTE_CARLO = {
    "denoising_log_ratios": "denoising_log_ratios",
    "denoising_analytic_kl": "denoising_analytic_kl",
    "consistency_as_written_analytic_kl": "consistency_as_written",
    "consistency_correct_bridge_integrated": "consistency_bridge",
    "consistency_log_ratios": "consistency_log_ratios",
}


@pytest.mark.parametrize("theirs", MONTE_CARLO)
def test_variances_are_those_that_somebody_else_drew(case: dict[str, Any], theirs: str) -> None:
    """Their draws have an error; the shared variance's is read off our own draws of the same
    estimator, and the mean's is stored.
    """
    drawn, chain = case["monte_carlo"], chain_of(case)
    found = chain_elbo(chain, MONTE_CARLO[theirs])
    if theirs in drawn:
        stored = drawn[theirs]
        noise = 5 * stored["standard_error"] + 1e-12
        assert abs(-stored["mean"] - float(found.total)) < noise
        paths = chain.draw(20_000, torch.Generator().manual_seed(1))
        total = chain_draws(chain, MONTE_CARLO[theirs], paths).sum(1)
        # Standard error of a variance: from the fourth moment, which is no Gaussian's here.
        spread = float((total - total.mean()).square().std()) / drawn["n"] ** 0.5
        assert abs(stored["per_sample_variance"] - float(found.shared_variance)) < 5 * spread + 1e-9
    apart = drawn["sum_of_per_term_variances_independent_draws"][theirs]
    each = chain_draws(
        chain, MONTE_CARLO[theirs], chain.draw(20_000, torch.Generator().manual_seed(2))
    )
    spreads = (each - each.mean(0)).square().std(0) / drawn["n"] ** 0.5
    assert abs(apart - float(found.independent_variance)) < 5 * float(spreads.sum()) + 1e-9


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_every_decomposition_has_the_same_sum(T: int, seed: int) -> None:
    chain = random_chain(T, seed)
    totals = [float(chain_elbo(chain, name).total) for name in BOUNDS]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-12)
    assert totals[0] > -float(chain.log_likelihood())
    as_written = float(chain_elbo(chain, "consistency_as_written").total)
    assert as_written > totals[0] + 1e-6 if T > 1 else as_written == pytest.approx(totals[0])


@pytest.mark.parametrize("x0", [-1.3, 0.0, 0.7])
@pytest.mark.parametrize(("m", "v"), [(0.4, 0.6), (0.0, 1.0), (-1.0, 2.5), (0.3, 0.01)])
def test_the_bound_is_tight_for_the_optimal_chain(x0: float, m: float, v: float) -> None:
    """The exact reverse process: the bound is -log p for every x_0, and a path has no scatter."""
    alpha = table([0.95, 0.85, 0.7, 0.5])
    chain = optimal_chain(x0, alpha, m, v)
    close(chain.log_likelihood(), log_normal(x0, m, v))
    found = chain_elbo(chain, "denoising_log_ratios")
    close(found.total, -chain.log_likelihood())
    assert float(found.shared_variance) < 1e-20
    assert float(chain_elbo(chain, "denoising_analytic_kl").shared_variance) > 1e-3


def test_the_optimal_chain_is_the_stored_one() -> None:
    stored = CASES["optimal_reverse"]
    chain = optimal_chain(stored["x0"], table(stored["alphas"]), *stored["data_mean_var"])
    for name, ours in (("a", chain.gain), ("b", chain.shift), ("std", chain.std)):
        close(ours, stored["reverse_model"][name])
    close([chain.prior_mean, chain.prior_var], stored["prior_mean_var"])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_draws_have_the_promised_mean_and_variance(name: str) -> None:
    chain, n = random_chain(5, seed=3), 100_000
    found = chain_elbo(chain, name)
    draws = chain_draws(chain, name, chain.draw(n, torch.Generator().manual_seed(0)))
    error = draws.std(0) / n**0.5
    assert bool(((draws.mean(0) - found.terms).abs() < 5 * error + 1e-12).all())
    for drawn, exact in (
        (draws.sum(1, keepdim=True), found.shared_variance),
        (draws, found.independent_variance),
    ):
        squares = (drawn - drawn.mean(0)).square()
        assert abs(float(squares.mean(0).sum() - exact)) < 5 * float(squares.std(0).sum()) / n**0.5


def test_log_ratios_are_those_of_the_densities() -> None:
    """Both log-ratio estimators on one path: log q(path) - log p(path), with no algebra at all."""
    chain = random_chain(4, seed=5)
    paths = chain.draw(6, torch.Generator().manual_seed(0))
    x = paths[:, 1:].numpy()
    alpha, gain, shift, std = (
        values.numpy() for values in (chain.alpha, chain.gain, chain.shift, chain.std)
    )
    cost = -log_normal(x[:, 4], chain.prior_mean, chain.prior_var)
    for t in range(1, 5):
        cost += log_normal(x[:, t], alpha[t - 1] ** 0.5 * x[:, t - 1], 1 - alpha[t - 1])
        cost -= log_normal(x[:, t - 1], gain[t - 1] * x[:, t] + shift[t - 1], std[t - 1] ** 2)
    for name in ("denoising_log_ratios", "consistency_log_ratios"):
        close(chain_draws(chain, name, paths).sum(1), cost)


def test_moments_are_those_of_the_walk() -> None:
    chain = random_chain(4)
    mean, covariance = chain.moments()
    expected_mean, expected = np.array([chain.x0]), np.zeros((1, 1))
    for alpha in chain.alpha.tolist():
        row = alpha**0.5 * expected[-1:]
        corner = alpha * expected[-1:, -1:] + 1 - alpha
        expected = np.block([[expected, row.T], [row, corner]])
        expected_mean = np.append(expected_mean, alpha**0.5 * expected_mean[-1])
    close(mean[1:], expected_mean)
    close(covariance[1:, 1:], expected)
    assert not covariance[0].any()


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": table([0.5, 1.0])}, "between 0 and 1"),
        ({"alpha": table([0.0, 0.5])}, "between 0 and 1"),
        ({"std": table([0.5, 0.0])}, "positive"),
        ({"prior_var": 0.0}, "positive"),
        ({"gain": table([1.0])}, "one length"),
        ({"gain": torch.ones(2)}, "float64"),
        ({"x0": float("nan")}, "finite"),
        ({"shift": table([0.0, float("inf")])}, "finite"),
        ({"alpha": table([])}, "one entry per step"),
    ],
)
def test_a_broken_chain_says_so(change: dict[str, Any], message: str) -> None:
    fine = {
        "x0": 0.5,
        "alpha": table([0.9, 0.5]),
        "gain": table([1.0, 1.0]),
        "shift": table([0.0, 0.0]),
        "std": table([0.5, 0.5]),
    }
    LinearChain(**fine)
    with pytest.raises(ValueError, match=message):
        LinearChain(**{**fine, **change})


def test_bad_calls_say_so() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        optimal_chain(0.5, table([0.9, 0.5]), 0.0, 0.0)
    with pytest.raises(ValueError, match="unknown estimator 'x'"):
        chain_elbo(random_chain(2), "x")
    with pytest.raises(ValueError, match="unknown estimator 'x'"):
        chain_draws(random_chain(2), "x", random_chain(2).draw(2, torch.Generator()))


@pytest.mark.parametrize("v", [0.25, 0.5, 1.0, 2.0])
def test_the_best_model_for_the_misprinted_form_keeps_each_distribution(v: float) -> None:
    """x_t and x_{t+1} drawn as if they met only in x_{t-1}: right spread, too loose a tie.

    Linear regression on the drawn pairs is the best Gaussian p(x_t|x_{t+1}); data N(0, v).
    """
    alphas = np.array([0.95, 0.85, 0.7, 0.5])
    spread = [v]
    for alpha in alphas:
        spread.append(alpha * spread[-1] + 1 - alpha)
    var = spread[-1]
    for t in range(len(alphas) - 1, 0, -1):  # back from x_{t+1} to x_t
        root, other = np.sqrt(alphas[t - 1]), np.sqrt(alphas[t - 1] * alphas[t])
        loose = root * other * spread[t - 1]  # both from x_{t-1}
        true = np.sqrt(alphas[t]) * spread[t]
        assert 0 < loose < true
        slope = loose / spread[t + 1]
        var = slope**2 * var + spread[t] - slope * loose
        assert var == pytest.approx(spread[t])
