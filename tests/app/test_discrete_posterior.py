"""The discrete posterior page as a script: every switch and setting, bad input, its claims."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from diffusion_core.vq_audit import SWITCHES, counted
from pages.shared.audit_table import Row, audit_table
from pages.shared.kernels import NAMES
from pages.shared.posterior_views import (
    BELIEFS,
    LEFT_OUT,
    PROCESSES,
    ROUNDING,
    Setting,
    audited,
    errors_over_time,
    factors,
    in_words,
    process_of,
    sentence,
    shown_states,
    table_of,
)
from tests.app.settings import offered, press
from tests.app.test_pages import open_page

START = {"dview": "routine", "dskip": "nothing", "dx": 5, "dK": 6, "dt": 50, "dback": 1}


def table(at: AppTest) -> str:
    return next(h.proto.body for h in at.get("html") if "class='audit scroll'" in h.proto.body)


def verdict(at: AppTest) -> str:
    return next(c.value for c in at.caption if "It sums to" in c.value)


def repairs(at: AppTest) -> str:
    return " ".join(c.value for c in at.caption if ":material/build:" in c.value)


def test_every_switch_process_and_belief() -> None:
    at = open_page("discrete_posterior")
    assert not at.exception
    assert len(at.title) == 1
    assert "exact to rounding" in verdict(at)
    for skip in SWITCHES:
        at.session_state["dskip"] = skip
        at.run()
        assert not at.exception
        assert ("off by" in verdict(at)) == (skip != "nothing")
        assert table(at).count("left out") == len(LEFT_OUT.get(skip, ()))
    at.session_state["dskip"] = "nothing"
    for process in PROCESSES:
        for belief in BELIEFS:
            at.session_state["dproc"], at.session_state["dbelief"] = process, belief
            assert not at.run().exception
            assert "exact to rounding" in verdict(at), (process, belief)
            assert "nan" not in table(at)


def test_every_kernel_as_a_table() -> None:
    at = open_page("discrete_posterior", dview="Bayes' rule as a table")
    for kernel in NAMES:
        at.session_state["dkernel"] = kernel
        at.run()
        assert not at.exception
        assert "nan" not in table(at)


EDGES: list[tuple[dict[str, Any], str]] = [
    ({"dK": 2, "dx": 1}, ""),
    ({"dK": 2, "dx": 0, "dproc": "symmetric"}, ""),
    ({"dK": 64, "dx": 63}, ""),
    ({"dK": 64, "dview": "bayes"}, "64 × 64 × 64 numbers are more"),
    ({"dK": 2, "dview": "bayes", "dkernel": "absorbing"}, ""),
    ({"dx": 60}, "xₜ = 60 is no state here: 5, [M], is used"),
    ({"dx": 5, "dproc": "symmetric"}, "4, the last state, is used"),
    ({"dT": 2}, "the page uses t = 2 and s = 1"),
    ({"dt": 5, "dback": 9}, "the page uses t = 5 and s = 0"),
    ({"dt": 100, "dback": 100}, ""),
    ({"dview": "bayes", "dx": 63, "dx0": 63}, ""),
]


def test_the_edges_are_shown_and_said() -> None:
    at = open_page("discrete_posterior")
    defaults = dict(at.session_state["_page_defaults"])
    for state, says in EDGES:
        for key, value in (defaults | state).items():
            at.session_state[key] = value
        at.run()
        assert not at.exception, state
        assert says in repairs(at), state
        assert bool(says) == bool(repairs(at)), state
        assert "nan" not in table(at), state
        if at.session_state["dview"] == "routine":
            assert "exact to rounding" in verdict(at), state


@pytest.mark.parametrize(
    "query",
    [
        {"dt": "0", "dK": "1", "dskip": "everything", "nonsense": "1"},
        {"dx": "-1", "dK": "65", "dview": "<b>", "dback": "1e9"},
    ],
)
def test_a_hostile_link_gets_defaults_and_sentences(query: dict[str, str]) -> None:
    at = open_page("discrete_posterior", **query)
    assert not at.exception
    for key, value in START.items():
        assert at.session_state[key] == value
    assert len(at.toast) == len(query)
    assert not at.run().toast


def test_every_button_shows_what_it_promises() -> None:
    at = open_page("discrete_posterior")
    keys = offered(at)
    assert len(keys) == 12
    said = {}
    for key in keys:
        press(at, key)
        assert not at.exception, key
        assert not repairs(at), key
        assert at.session_state["_look_at"], key
        if at.session_state["dview"] == "routine":
            said[key] = verdict(at)
    here = {key: re.search(r"off by \*\*([\d.e-]+)\*\* here", text) for key, text in said.items()}
    damaged = {key: float(found[1]) for key, found in here.items() if found}
    # The [MASK] replacement, then the same at a position that is no [MASK], then the others.
    assert set(damaged) == {"why_2", "why_3", "why_4", "why_5"}
    assert damaged["why_2"] > 0.5
    assert damaged["why_3"] < 1e-12
    assert damaged["why_4"] > 0.05
    assert damaged["why_5"] > 0.05
    assert "It sums to 1." in said["why_5"]
    assert "exact to rounding" in said["try_0"]


def test_the_claims_of_the_prose() -> None:
    at = open_page("discrete_posterior")
    text = " ".join(m.value for m in at.markdown)
    found = re.findall(r"wrong by ([\d.]+) at a typical t \(the median\), at worst by (\d\.\d+)",
                       text)  # fmt: skip
    assert len(found) == 3
    for name, (median, worst) in zip(list(SWITCHES)[1:4], found, strict=True):
        told = errors_over_time(Setting(), name)["chosen"]
        assert float(median) == pytest.approx(float(np.median(told)), abs=0.006)
        assert float(worst) == pytest.approx(float(told.max()), abs=0.006)
        assert float(median) > 0.5
    exact = re.search(r"the largest error is (\S+) in float64 and (\S+) in float32", text)
    assert exact
    assert float(exact[1]) < 1e-13
    assert 1e-8 < float(exact[2]) < 1e-5
    assert "(the largest difference is 0)" in text
    steps = re.search(r"column the result is off by ([\d.]+); done right, by (\S+)\.", text)
    assert steps
    assert float(steps[1]) > 0.005
    assert float(steps[2]) < 1e-13
    factors_left = re.search(r"survives (\d+) factors of 1e-8", text)
    assert factors_left
    n = int(factors_left[1])
    tiny = torch.tensor(1e-8)
    assert tiny.pow(n) > 0
    assert tiny.pow(n + 1) == 0


def test_other_positions_are_the_others() -> None:
    """Where only [MASK] is spoiled, no other position is said to be, and the other way round."""
    at = open_page("discrete_posterior", dskip="the [MASK] replacement")
    for x_t, spoiled in ((5, "here"), (2, "other")):
        at.session_state["dx"] = x_t
        at.run()
        here, other = re.search(
            r"off by \*\*(\S+)\*\* here and by up to \*\*(\S+)\*\* for other", verdict(at)
        ).groups()
        told = {"here": float(here), "other": float(other)}
        error = audited(Setting(), "the [MASK] replacement")[-1][-1]
        assert told["here"] == pytest.approx(error[x_t], rel=0.06)
        assert told["other"] == pytest.approx(np.delete(error, x_t).max(), rel=0.06)
        assert {name for name, value in told.items() if value > 1e-12} == {spoiled}


def cells(at: AppTest, line: int) -> list[str]:
    """The routine's half of a line of the table, as written."""
    row = table(at).split("<tbody>")[1].split("<tr>")[1 + line]
    return re.findall(r"<td[^>]*>([^<]*)</td>", row)[:6]


@pytest.mark.parametrize("x_t", [5, 2])
def test_leaving_the_replacement_out_changes_no_number(x_t: int) -> None:
    """What is left out stands as the line above has it, [MASK]'s 0 included."""
    at = open_page("discrete_posterior", dskip="the [MASK] replacement", dx=str(x_t))
    assert cells(at, 4) == cells(at, 3)
    assert cells(at, 2) == cells(at, 1)
    assert cells(at, 3)[-1] == "1e-30"
    at.session_state["dskip"] = "nothing"
    at.run()
    assert (cells(at, 4) == cells(at, 3)) == (x_t != 5)


def test_a_line_that_is_mended_is_no_alarm_and_the_sum_is_said() -> None:
    at = open_page("discrete_posterior")
    assert "error wrong" not in table(at)
    assert ">0.44<" in table(at)
    (total,) = (
        ours[5].sum() for name, ours, *_ in audited(Setting(), "nothing") if name == "ratio"
    )
    for said in ("6 divided by its sum, ", "8 times line 4, times "):
        assert f"{said}{total:.3g}" in table(at)
    assert "Q̄<sub>t</sub> + β̄" in table(at)  # of [MASK] it is not even the row
    for name in ("the normalisation", "it, and normalise at the end"):
        at.session_state["dskip"] = name
        at.run()
        assert ", times" not in table(at)
    at.session_state["dx"] = 2
    at.run()
    assert "Q̄<sub>t</sub> + β̄" not in table(at)


def test_a_single_position_has_no_others() -> None:
    setting = Setting(process="symmetric", K=2, belief_name="sure")
    told = [("result", np.ones((1, 2)), np.ones((1, 2)), np.array([0.3]))]
    assert "off by **0.3** here. It sums" in sentence(setting, "the normalisation", told, 0, 2)


@pytest.mark.parametrize(
    ("setting", "skip"),
    [
        (Setting("code", t=100), "it, and normalise at the end"),
        (Setting(t=2), "the normalisation"),
    ],
)
def test_a_small_damage_is_no_rounding(setting: Setting, skip: str) -> None:
    told = audited(setting, skip)
    worst = told[-1][-1].max()
    assert 1e-10 < worst < 2e-3
    assert "off by" in sentence(setting, skip, told, 5, 6)
    at = open_page("discrete_posterior", dskip=skip, dt=str(setting.t))
    at.session_state["dproc"] = setting.process
    at.run()
    assert "off by" in verdict(at)
    assert "error wrong" in table(at).rsplit("<tr>", 1)[1]


def test_rounding_is_what_a_complete_routine_has() -> None:
    for precision, limit in ROUNDING.items():
        for process in PROCESSES:
            for K, T, back in ((2, 2, 2), (6, 100, 1), (6, 100, 100), (64, 100, 1)):
                setting = Setting(process, K, T, 0, back, "leaning", precision)
                assert errors_over_time(setting, "nothing")["chosen"].max() < limit / 3
        complete = [row for row in audited(Setting(precision=precision), "nothing")]
        assert max(row[-1].max() for row in complete if not row[0].endswith("_row")) < limit


def test_what_a_missing_division_costs_the_mask() -> None:
    at = open_page("discrete_posterior")
    press(at, "why_4")
    said = re.search(
        r"entry is ([\d.]+) instead of ([\d.]+)\. The ratio sums to ([\d.]+) here",
        at.session_state["_look_at"],
    )
    assert said
    lost, kept, total = (float(part) for part in said.groups())
    marginal = process_of(Setting()).q_marginal_matrix(49)[0, 5]
    step = process_of(Setting()).q_step_matrix(50)[5, 5]
    assert lost == pytest.approx(float(marginal * step), abs=6e-3)  # gamma-bar once, times 1
    assert kept == pytest.approx(float(marginal * step) * total, abs=0.03)  # once per unit of sum


# --- what is computed -----------------------------------------------------------------------------


def test_the_error_over_time_is_that_of_each_table() -> None:
    for skip in ("nothing", "the normalisation"):
        told = errors_over_time(Setting(), skip)
        for t in (1, 7, 100):
            *_, (name, _, _, error) = audited(Setting(t=t), skip)
            assert name == "result"
            assert told["chosen"][t - 1] == pytest.approx(error.max(), rel=1e-6, abs=1e-15)


def test_float32_is_worse_than_float64_and_good_enough() -> None:
    told = errors_over_time(Setting(precision="float32"), "nothing")
    np.testing.assert_array_equal(told["chosen"], told["float32"])
    assert (told["float32"] > 100 * told["float64"]).all()
    assert told["float32"].max() < 1e-5


def test_the_table_of_a_kernel_is_bayes() -> None:
    for kernel in NAMES:
        probs, names, gap = table_of(kernel, Setting(K=5, t=30))
        assert gap < 1e-12
        assert probs.shape == (5, 5, 5)
        assert len(names) == 5
        total = probs.sum(-1)
        assert np.isclose(total[total > 0], 1).all()


def test_absorbing_fills_one_row_where_nothing_is_masked() -> None:
    probs, _, _ = table_of("absorbing", Setting(K=5, t=30))
    filled = probs[2].sum(-1) > 0
    assert filled.tolist() == [False, False, True, False, False]
    masked = probs[4]
    assert (masked[:4] > 0).sum() == 8  # x_0 itself, or [MASK]


def test_bayes_rule_taken_apart() -> None:
    prior, likelihood, product, posterior = factors("uniform", Setting(K=5, t=30), 2, 1)
    np.testing.assert_allclose(product, prior * likelihood)
    np.testing.assert_allclose(posterior, product / product.sum())
    assert prior.sum() == pytest.approx(1)


def test_too_many_states_leave_the_telling_ones() -> None:
    result = np.zeros(20)
    result[[3, 9]] = 0.6, 0.4
    shown = shown_states(result, 7)
    assert len(shown) == 8
    assert {3, 7, 9, 19} <= set(shown.tolist())
    assert (np.diff(shown) > 0).all()
    assert shown_states(np.zeros(6), 0).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_table_marks_errors_that_are_no_rounding() -> None:
    rows = [
        Row("fine", np.array([0.5, np.nan]), np.array([0.5, 0.5]), 1e-16, 0.0),
        Row("spoiled", np.array([86.0, 0.1]), np.array([0.9, 0.1]), 85.0, 85.0, "left out"),
    ]
    html = audit_table(rows, ["0", "<1>"], ours="ours & mine", exact="exact")
    assert html.count("error wrong") == 2
    assert "&lt;1&gt;" in html
    assert "ours &amp; mine" in html
    assert ">86<" in html
    assert "·" in html


@pytest.mark.parametrize("process", ["paper", "code", "symmetric"])
def test_the_process_in_words_adds_up(process: str) -> None:
    told = in_words(Setting(process=process, K=6))
    at, *shares = (float(value) for value in re.findall(r"\S+ = ([\d.e-]*\d)", told))
    *masked, other, kept = shares
    assert at == 50
    assert len(masked) == (process != "symmetric")
    assert sum(masked) + 5 * other + kept == pytest.approx(1, abs=3e-3)
    assert kept == pytest.approx(0.505, abs=1e-3)  # as in mask_and_replace, whatever is masked
    assert "single class" in in_words(Setting(process=process, K=2))


def test_logarithms_are_not_for_this_steps_sake() -> None:
    """The same lines in plain float32, by whole matrices: as good, as the text says."""
    diffusion, setting = process_of(Setting(process="code")), Setting()
    belief = setting.belief(torch.float64).exp()
    worst = 0.0
    every = torch.arange(6)[None]
    for t in (1, 2, 50, 100):
        to_t, step, to_s = (
            diffusion.q_matrix(*pair).float() for pair in ((t, 0), (t, t - 1), (t - 1, 0))
        )
        plain = torch.stack(
            [
                sum(belief[x0].float() / to_t[x0, j] * to_s[x0] * step[:, j] for x0 in range(5))
                for j in range(6)
            ]
        )
        exact = counted(
            diffusion, every, belief.expand(1, 6, 6), torch.tensor([t]), torch.tensor([t - 1])
        ).result[0]
        worst = max(worst, float((plain.double() - exact).abs().max()))
    assert worst < 1e-6
    text = " ".join(m.value for m in open_page("discrete_posterior").markdown)
    told = re.search(r"wrong by (\S+) at worst, with logarithms by (\S+)\. But", text)
    assert told
    assert float(told[1]) < float(told[2]) < 1e-5
    assert float(told[1]) >= 0.5 * worst
