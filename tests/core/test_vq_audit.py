"""The routine's lines against counting: exact when complete, wrong in known places without."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from diffusion_core.discrete import mask_and_replace
from diffusion_core.vq_audit import SWITCHES, audit, counted
from tests.core.discrete_oracles import mask_and_replace_steps, mixture_by_sum
from tests.core.test_vq_posterior import case, setting  # noqa: F401  (a fixture)

K, T = 6, 20
PAPER = (0.000009, 0.9)


def belief() -> torch.Tensor:
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0, 1.1], dtype=torch.float64)
    return torch.cat([logits.log_softmax(0), torch.tensor([-70.0]).double()])


def lines(t: int = 9, s: int = 8, leave_out: str = "nothing", **options: Any) -> dict[str, float]:
    diffusion = mask_and_replace(K, T, masked=PAPER)
    x_t = torch.arange(K)[None]
    log_p = belief().expand(1, K, K)
    told = audit(
        diffusion, x_t, log_p, torch.tensor([t]), torch.tensor([s]), leave_out=leave_out, **options
    )
    return {line.name: float(line.error.max()) for line in told}


@pytest.mark.parametrize(("t", "s"), [(1, 0), (9, 8), (9, 7), (20, 3)])
def test_counting_is_bayes_by_enumeration(t: int, s: int) -> None:
    steps = mask_and_replace_steps(K, T, masked=PAPER)
    x_t = torch.arange(K)[None]
    probs = belief().exp().expand(1, K, K)
    diffusion = mask_and_replace(K, T, masked=PAPER)
    told = counted(diffusion, x_t, probs, torch.tensor([t]), torch.tensor([s]))
    for state in range(K):
        exact = mixture_by_sum(steps, state, probs[0, state].numpy(), t, s)
        torch.testing.assert_close(told.result[0, state], torch.tensor(exact), rtol=0, atol=1e-9)
    torch.testing.assert_close(told.weights.sum(-1), torch.ones(1, K).double())


@pytest.mark.parametrize(("t", "s"), [(1, 0), (9, 8), (9, 7), (20, 3), (20, 0)])
def test_complete_every_used_line_is_exact(t: int, s: int) -> None:
    told = lines(t, s)
    rows = {"marginal_row", "step_row"}
    assert all(error < 1e-13 for name, error in told.items() if name not in rows)
    assert told["marginal_row"] > 1e-6  # of [MASK], before it is replaced


def test_each_switch_spoils_its_own_line_and_what_follows() -> None:
    order = list(lines())
    first = {
        "the [MASK] replacement": "marginal_column",
        "the normalisation": "weights",
        "it, and normalise at the end": "weights",
        "putting the sum back": "result",
    }
    assert set(first) == set(SWITCHES) - {"nothing"}
    for switch, line in first.items():
        told = lines(leave_out=switch)
        assert told[line] > 1e-3, switch
        assert told["result"] > 1e-2, switch
        for earlier in order[: order.index(line)]:
            if not earlier.endswith("row"):
                assert told[earlier] < 1e-13, (switch, earlier)


def test_without_propagation_there_is_nothing_to_lose() -> None:
    """At s = 0, where the normalisation's absence can't be seen."""
    assert lines(1, 0, leave_out="the normalisation")["result"] < 1e-13
    assert lines(2, 1, leave_out="the normalisation")["result"] > 1e-13


def test_symmetric_noise_needs_no_replacement() -> None:
    diffusion = mask_and_replace(K, T, masked=(0.0, 0.0))
    x_t = torch.arange(K - 1)[None]
    log_p = belief().expand(1, K - 1, K)
    steps = torch.tensor([9]), torch.tensor([8])
    told = {
        switch: [float(line.error.max()) for line in audit(
            diffusion, x_t, log_p, *steps, leave_out=switch)]
        for switch in SWITCHES
    }  # fmt: skip
    assert max(told["nothing"]) < 1e-13
    assert told["the [MASK] replacement"] == told["nothing"]
    assert told["the normalisation"][-1] > 0.01


def test_the_damage_is_the_references(case: dict[str, Any]) -> None:  # noqa: F811
    diffusion, x_t, log_p, t = setting(case)
    names = {
        "the normalisation": "what-if without the inner normalisation vs exact",
        "it, and normalise at the end": "what-if without inner normalisation, "
        "after final renormalisation",
    }
    exact = counted(diffusion, x_t, log_p.exp(), t, t - 1)
    for switch, name in names.items():
        told = audit(diffusion, x_t, log_p, t, t - 1, leave_out=switch, exact=exact)
        worst = float(told[-1].error.max())
        assert worst == pytest.approx(case["max_abs_diffs"][name], abs=1e-8)


def test_float32_is_right_to_about_a_millionth() -> None:
    diffusion = mask_and_replace(K, T, masked=PAPER)
    x_t, t = torch.arange(K)[None], torch.tensor([9])
    told = audit(diffusion, x_t, belief().float().expand(1, K, K), t, t - 1)
    assert 1e-9 < float(told[-1].error.max()) < 1e-5
