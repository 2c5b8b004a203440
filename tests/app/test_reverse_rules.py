"""The page about two reverse rules as a script: numbers, repairs, what a browser may send."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from diffusion_core.discrete import REVERSE_RULES
from diffusion_core.discrete_betas import DISCRETE_BETAS
from diffusion_core.discrete_sampling import exact_denoiser, reverse_matrix, true_reverse_matrix
from diffusion_core.small_world import BELIEFS
from pages.shared.distribution_bars import MOST, START, parse_bars, read_distribution
from pages.shared.rule_facts import Facts, measured
from pages.shared.rule_figures import VISIBLE, Pile, bars_figure, kernel_figure, signed
from pages.shared.rule_views import DENOISERS, KERNELS, told_error
from pages.shared.small_world import COUNTS, Choice, Seen, chains, seen, world
from tests.app.plots import plots
from tests.app.settings import offered, press
from tests.app.test_pages import open_page
from tests.core.oracles import reference

VIEWS = ("matrices", "row", "chain")
AMOUNTS = {"tempered": 2.0, "hedged": 0.5}  # the controls' defaults


def captions(at: AppTest) -> str:
    return " ".join(caption.value for caption in at.caption)


def written(figure: Any) -> list[str]:
    """The texts in a matrix's cells."""
    return [t for trace in figure["data"] if trace.get("mode") == "text" for t in trace["text"]]


def mended(at: AppTest) -> list[str]:
    return [c.value for c in at.caption if c.value.startswith(":material/build:")]


# --- settings -------------------------------------------------------------------------------------


def test_every_kernel_in_every_view() -> None:
    at = open_page("reverse_rules")
    for kernel in KERNELS:
        at.session_state["rukernel"] = kernel
        for view in VIEWS:
            at.session_state["ruview"] = view
            at.run()
            assert not at.exception
            assert not mended(at)


def test_every_denoiser() -> None:
    at = open_page("reverse_rules")
    for name in DENOISERS:
        at.session_state["rubelief"] = name
        at.run()
        assert not at.exception
        told = Seen(*seen(tuple(Choice(belief=name, amount=AMOUNTS.get(name, 1.0))), 2, 1))
        worse = max(told.rules, key=told.worst)
        assert f"the {worse} says" in captions(at)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_process_of_one_step(kernel: str) -> None:
    at = open_page("reverse_rules", ruT="1", rukernel=KERNELS[kernel])
    assert not at.exception
    repaired = mended(at)
    if kernel == "mask_and_replace":
        assert "at least 2 steps" in repaired[0]
    else:
        assert not repaired
    at.session_state["ruview"] = "chain"
    assert not at.run().exception


def test_fewer_steps_than_the_slider_says() -> None:
    at = open_page("reverse_rules", ruT="100")
    at.session_state["rust"] = (40, 80)
    at.run()
    assert "x₈₀" in captions(at)
    at.session_state["ruT"] = 3
    at.run()
    assert not at.exception
    assert at.session_state["rust"] == (1, 2)


def test_s_that_is_not_before_t_is_repaired_with_a_sentence() -> None:
    at = open_page("reverse_rules")
    for pair, said in (((4, 4), "t = 4 and s = 3"), ((0, 0), "t = 1 and s = 0")):
        at.session_state["rust"] = pair
        at.run()
        assert not at.exception
        (note,) = mended(at)
        assert said in note


BAD = {
    "0 0 0": "all are 0",
    "0.5 -0.5 1": "-0.5 is below 0",
    "nan 0.5": "finite",
    "inf 1": "finite",
    "1e308 1e308": "too large",
    "a b c": "not every entry is a number",
    "1": "at least 2",
    "1 " * 90: "the first 5",
    "2 2": "sum to 4",
}


def test_data_that_are_none_get_a_sentence_and_a_default() -> None:
    at = open_page("reverse_rules", rudata="0 0", rukernel="Absorbing")
    for text, said in {"0 0": "all are 0", **BAD, "": "at least 2"}.items():
        at.session_state["rudata"] = text
        at.run()
        assert not at.exception
        (note,) = mended(at)
        assert said.lower() in note.lower()
        assert "nan" not in captions(at).replace(note, "")


@pytest.mark.parametrize("text", ["0.5 0.5", "0 1 0 0", "0,0,1", "1 1e-300", "0.2 0.2 0.2 0.2 0.2"])
def test_two_states_and_zeros_are_fine(text: str) -> None:
    for kernel in KERNELS:
        for name in BELIEFS:
            choice = Choice(kernel=kernel, data=text, belief=name, amount=0.5)
            assert not world(choice).notes
            told = Seen(*seen(tuple(choice), 2, 1))
            for rule in REVERSE_RULES:
                assert np.isfinite(told.rules[rule]).all()
                assert np.isfinite(told.worst(rule))
            for of in chains(tuple(choice)).values():
                assert all(np.isfinite(far).all() for _, far in of.values())
    at = open_page("reverse_rules", rudata=text, rukernel="Absorbing")
    for view in VIEWS:
        at.session_state["ruview"] = view
        assert not at.run().exception
        assert "nan" not in captions(at)


@pytest.mark.parametrize(
    "query",
    [
        {"ruT": "7"},
        {"rust": "5"},
        {"rurow": "9"},
        {"rubeta": "1.5"},
        {"rukernel": "<script>alert(1)</script>"},
        {"rubelief": "x" * 3000},
        {"nonsense": "1"},
    ],
)
def test_a_hostile_link_gets_a_default_and_a_sentence(query: dict[str, str]) -> None:
    at = open_page("reverse_rules", **query)
    assert not at.exception
    assert "x₂ = 3 to x₁ = 3" in captions(at)
    assert len(at.toast) == 1


def test_every_button_shows_a_setting_that_needs_no_repair() -> None:
    at = open_page("reverse_rules")
    keys = offered(at)
    assert len(keys) == 10
    for key in keys:
        press(at, key)
        assert not at.exception
        assert not mended(at)
        assert at.session_state["_look_at"]


# --- numbers --------------------------------------------------------------------------------------


def test_the_page_opens_on_the_references_world_and_error() -> None:
    case = reference("d3pm")["bayes_optimal_denoiser"]["cases"][0]
    assert [float(v) for v in START.split()] == case["data_distribution"]
    assert (case["K"], case["T"]) == (4, Choice().T)
    np.testing.assert_allclose(case["betas"], DISCRETE_BETAS["cosine"](6), atol=1e-12)
    told = Seen(*seen(tuple(Choice()), 2, 1))
    assert told.worst("product") == pytest.approx(case["max_abs_err_product_form"], rel=1e-9)
    assert told.worst("mixture") < 5e-16
    text = captions(open_page("reverse_rules"))
    assert "the product says 0.970, and the truth is 0.611" in text


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_is_seen_is_what_the_core_says(kernel: str) -> None:
    choice = Choice(kernel=kernel, data="0.5 0.2 0.3")
    made = world(choice)
    for t, s in ((5, 2), (3, 0)):
        told = Seen(*seen(tuple(choice), t, s))
        truth = true_reverse_matrix(made.diffusion, made.data, t, s).numpy()
        np.testing.assert_array_equal(told.truth, truth)
        denoiser = exact_denoiser(made.diffusion, made.data)
        for rule in REVERSE_RULES:
            alone = reverse_matrix(made.diffusion, denoiser, t, s, rule=rule)
            np.testing.assert_allclose(told.rules[rule], alone, atol=1e-15)
            able = truth.sum(1) > 0
            np.testing.assert_allclose(
                told.errors[rule][able], (told.rules[rule] - truth)[able], atol=1e-15
            )


@pytest.mark.parametrize("name", BELIEFS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_factors_of_a_row_make_the_rules(kernel: str, name: str) -> None:
    """The piled posteriors are the mixture; the two factors are the product."""
    choice = Choice(kernel=kernel, belief=name, amount=0.5)
    for t, s in ((5, 2), (2, 1), (3, 0)):
        told = Seen(*seen(tuple(choice), t, s))
        np.testing.assert_allclose(told.parts.sum(1), told.rules["mixture"], atol=1e-14)
        if s:
            joint = told.prior * told.likelihood
            total = joint.sum(1, keepdims=True)
            np.testing.assert_allclose(joint / total, told.rules["product"], atol=1e-14)


def test_what_the_prose_says_of_the_rules() -> None:
    told = Facts(*measured())
    assert told.mixture < 5e-16
    assert 0.35 < told.product < 0.36  # "up to 0.36"
    assert told.absorbing < 5e-16
    assert told.mask_row < 5e-16
    assert told.other_rows > 0.1
    assert told.ends[0] < 1e-12  # the chain ends at the data after one step ...
    assert told.ends[1] < 1e-6  # ... and after two ...
    assert told.ends[1] < told.ends[2] < told.hundred  # ... and further away after more
    assert told.unsure[1] < told.unsure[0] / 2
    assert told.unsure_product[1] > told.unsure_product[0]
    assert told.blind < 5e-16
    assert told.blind_mixture > 0.1
    assert told.sure > told.twice + 0.1
    assert told.prior[1] > 10 * told.prior[0]
    assert told.averages[1] > 2 * told.averages[0]
    twice = Seen(*seen(tuple(Choice(belief="twice")), 2, 1)).errors["mixture"]
    assert (np.abs(twice).max(1) > 0.1).all()  # "off in every row"


def test_every_step_more_harms_the_product_and_none_the_mixture() -> None:
    told = chains(tuple(Choice(T=100)))
    ends = {rule: [far[-1] for _, far in of.values()] for rule, of in told.items()}
    assert [*told["product"]] == [*COUNTS]
    assert max(ends["mixture"]) < 1e-12
    assert all(a < b + 1e-12 for a, b in zip(ends["product"], ends["product"][1:], strict=False))
    unsure = chains(tuple(Choice(T=100, belief="tempered", amount=2.0)))
    ends = {rule: [far[-1] for _, far in of.values()] for rule, of in unsure.items()}
    assert ends["mixture"] == sorted(ends["mixture"], reverse=True)


def test_one_datum_leaves_nothing_to_count_twice() -> None:
    for kernel in KERNELS:
        told = Seen(*seen(tuple(Choice(kernel=kernel, data="0 1 0 0")), 2, 1))
        assert told.worst("product") < 1e-15


def test_what_is_impossible_stays_so_but_in_the_last_step() -> None:
    """At s = 0 a belief that hedges is returned as it is, by both rules."""
    choice = Choice(kernel="absorbing", belief="hedged", amount=0.5)
    step = world(choice).diffusion
    for t, s in ((1, 0), (2, 1), (5, 2)):
        told = Seen(*seen(tuple(choice), t, s))
        likelihood = step.q_matrix(t, s).numpy().T  # [x_t, x_s]
        possible = told.truth.sum(1) > 0
        for rule in REVERSE_RULES:
            wrong = told.rules[rule][possible][likelihood[possible] == 0]
            assert (wrong.max() > 0.05) == (s == 0)
            assert s == 0 or wrong.max() == 0
    text = " ".join(m.value for m in open_page("reverse_rules").markdown)
    assert "stays so for s > 0" in text
    assert "At s = 0 both return its belief as it is" in text


def test_the_sum_may_move_where_all_that_is_believed_in_explain_alike() -> None:
    """Absorbing, a shown x_t: q(x_t|x_0) depends on x_0, yet only one x_0 is believed in."""
    told = Seen(*seen(tuple(Choice(kernel="absorbing")), 2, 1))
    column = world(Choice(kernel="absorbing")).diffusion.q_marginal_matrix(2)[:-1, 0]
    assert float(column.max() - column.min()) > 0.5
    assert np.abs(told.errors["product"][0]).max() < 1e-15
    text = " ".join(m.value for m in open_page("reverse_rules").markdown)
    assert "is the same for every x₀ that is believed in" in text


def test_each_answer_says_that_d3pms_network_learns_another_belief() -> None:
    at = open_page("reverse_rules")
    (guess,) = (b for b in at.get("button_group") if "No, never" in b.options)
    for option in guess.options:
        (ask,) = (b for b in at.get("button_group") if "No, never" in b.options)
        ask.set_value(option).run()
        (said,) = (m.value for m in at.markdown if "Not quite." in m.value or "Right." in m.value)
        assert "with which the product is exact for s > 0 (Denoiser: blind)" in said
        assert f"{Facts(*measured()).product:.2f}" in said
    press(at, "question")
    assert "Both rules give the truth" in captions(at)
    titles = [chart["layout"]["title"]["text"] for chart in plots(at)]
    assert all(a in b for a, b in zip(("VQ-Diffusion", "D3PM"), titles[1:], strict=True))


def test_a_row_says_what_each_rule_weighs() -> None:
    at = open_page("reverse_rules", ruview="One row")
    told = Seen(*seen(tuple(Choice()), 2, 1))
    assert f"asks for: {told.true_prior[3]:.3f} for state 3" in captions(at)
    assert f"The product puts in {told.prior[3, 3]:.3f}" in captions(at)
    # With the exact belief, dividing takes out all that x_t had told.
    assert f"is noised, and puts in {told.true_prior[3]:.3f}." in captions(at)
    at.session_state["rukernel"] = "absorbing"  # one x_s only can become this x_t
    at.run()
    assert "before it is noised" not in captions(at)


def test_a_chain_takes_no_more_steps_than_there_are() -> None:
    at = open_page("reverse_rules", ruview="Whole chain")
    assert not mended(at)
    assert "with 6 steps by" in captions(at)
    at.session_state["rusteps"] = 100
    at.run()
    (note,) = mended(at)
    assert "so 100 can't be taken: 6 are" in note
    at.session_state["ruT"] = 100
    at.run()
    assert not mended(at)


# --- the data -------------------------------------------------------------------------------------


def test_a_distribution_is_read_and_divided_by_its_sum() -> None:
    told = read_distribution(" 1, 1;2\n")
    assert told.probs == (0.25, 0.25, 0.5)
    assert "sum to 4" in told.note
    assert read_distribution("0.333 0.333 0.333").note == ""  # rounded to three digits
    assert sum(read_distribution("0.333 0.333 0.333").probs) == pytest.approx(1)
    assert len(read_distribution("1 " * 9).probs) == MOST


@pytest.mark.parametrize(
    "message",
    [None, 3, [], {}, {"text": 3}, {"text": "a b"}, {"text": "1 " * 500}, {"text": "nan 1"},
     {"text": "-1 2"}, {"text": "0 0"}, {"text": "1"}],
)  # fmt: skip
def test_a_message_that_holds_no_bars_is_dropped(message: object) -> None:
    assert parse_bars(message) is None


def test_bars_that_were_pulled_are_taken() -> None:
    assert parse_bars({"text": "0.25 0.75", "count": 1}) == "0.25 0.75"


# --- pictures -------------------------------------------------------------------------------------


def test_a_cell_says_its_error_where_it_can_be_read() -> None:
    p = np.array([[0.9, 0.1], [0.5, 0.5]])
    error = np.array([[0.2, -0.2], [np.nan, np.nan]])
    figure = kernel_figure(p, error, ["0", "1"], title="A", about="b", color="p", row=0, t=2, s=1)
    texts = written(figure)
    assert sorted(texts) == sorted(["0.900", "0.100", "<b>+0.20</b>", "<b>−0.20</b>", "–", "–"])
    quiet = kernel_figure(
        p, np.full((2, 2), VISIBLE / 2), ["0", "1"], title="A", about="b", color="p", row=0,
        t=2, s=1,
    )  # fmt: skip
    assert not any("<b>" in text for text in written(quiet))
    assert signed(-0.004) == "−0.00"


def test_bars_reach_their_truth() -> None:
    figure = bars_figure(
        [Pile("a", np.array([0.2, 0.3]), "p"), Pile("b", np.array([0.1, 0.4]), "p")],
        np.array([0.3, 0.7]), ["0", "1"], title="A", about="b", x_title="x",
    )  # fmt: skip
    assert figure["layout"]["barmode"] == "stack"
    top = sum(np.array(trace["y"]) for trace in figure["data"] if trace["type"] == "bar")
    np.testing.assert_allclose(top, figure["data"][-1]["y"])


def test_an_error_at_the_limit_of_float64_is_called_that() -> None:
    assert told_error(2e-16) == "0 (to rounding)"
    assert told_error(0.3587) == "0.359"
    assert told_error(0.1) == "0.1"


def test_tensors_of_the_world_are_distributions() -> None:
    for kernel in KERNELS:
        made = world(Choice(kernel=kernel))
        assert float(made.data.sum()) == pytest.approx(1, abs=1e-15)
        assert made.diffusion.mask is None or float(made.data[made.diffusion.mask]) == 0
        assert isinstance(made.data, torch.Tensor)
