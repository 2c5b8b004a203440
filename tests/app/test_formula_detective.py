"""The formula detective as a script: every case, every verdict, links, and what readers type."""

from __future__ import annotations

import inspect
import itertools
import re

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from diffusion_core.checkpoints import CheckpointError, load_module
from diffusion_core.checkpoints import load as load_network
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.misprints_bound import CURVES
from diffusion_core.mixtures import PLANE_DATA, mixture_denoiser
from diffusion_core.schedules import SCHEDULES, evenly_spaced
from pages.shared import case_runs, cases_terms, load
from pages.shared.case_figures import case_chart
from pages.shared.case_types import RIGHT, Case, Knob
from pages.shared.cases import CASES, knob_key, page_defaults
from pages.shared.cases_process import THIN
from pages.shared.explain import explanation
from tests.app.settings import offered, press
from tests.app.test_pages import open_page

NAMES = list(CASES)
LIVE = [name for name, case in CASES.items() if case.live]
PAGE = "formula_detective"


def verdict(at: AppTest, name: str, choice: str) -> AppTest:
    key = f"verdict_{knob_key(CASES[name], '')}"
    at.button_group(key=key).set_value(choice).run()
    assert not at.exception
    return at


def texts(at: AppTest) -> str:
    return "\n".join(m.value for m in at.markdown)


# --- the cases themselves -------------------------------------------------------------------------


def test_every_wrong_formula_of_the_plan_is_a_case_and_some_are_right() -> None:
    right = {name for name, case in CASES.items() if case.is_right}
    assert right == {
        "Mean through the noise", "KL from two SNRs", "Telescoping product", "Two steps in one",
        "The picture from the noise",
    }  # fmt: skip
    assert len(NAMES) - len(right) == 15
    assert LIVE == ["Posterior mean", "KL of two noises"]
    assert len(set(page_defaults())) == 1 + sum(len(case.knobs) for case in CASES.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_figure_agrees_with_what_was_measured(name: str) -> None:
    """The circles were found without a formula: the right line runs through them."""
    case = CASES[name]
    found = case.experiment(**case.defaults)
    assert found.dots is not None
    x, y = found.dots
    seen = np.isfinite(y)
    on_log = found.log_y
    line = np.interp(x, found.x, np.log(found.right) if on_log else found.right)
    gap = np.abs((np.log(y) if on_log else y) - line)[seen]
    scale = 1 if on_log else np.abs(found.right).max()
    assert gap.max() < 0.03 * scale
    if found.measured is not None:
        assert found.measured == pytest.approx(found.value[1], rel=0.02, abs=1e-9)
    assert found.telling.endswith((".", ". "))


@pytest.mark.parametrize("name", NAMES)
def test_the_printed_line_is_wrong_exactly_where_the_verdict_says_so(name: str) -> None:
    case = CASES[name]
    found = case.experiment(**case.defaults)
    gap = np.abs(found.printed - found.right)
    if case.is_right:
        assert gap.max() < 1e-9 * max(1, np.abs(found.right).max())
        assert case.correct
    else:
        assert gap.max() > 0.05 * min(1, np.abs(found.right).max())
        assert case.correct != case.printed


def corners(knob: Knob) -> tuple[float | str, ...]:
    return knob.options or (knob.lo, knob.hi)


@pytest.mark.parametrize("name", NAMES)
def test_the_ends_of_every_control(name: str) -> None:
    case = CASES[name]
    for knob in case.knobs:
        for value in corners(knob):
            found = case.experiment(**(case.defaults | {knob.name: value}))
            assert np.isfinite(found.value).all(), (knob.name, value)
            assert np.isfinite(found.right).all()
            assert "nan" not in found.telling.split()
            case_chart(found, judged=True)


def test_each_case_has_controls_that_its_experiment_takes_and_code_with_a_formula() -> None:
    for case in CASES.values():
        assert set(inspect.signature(case.experiment).parameters) == set(case.defaults)
        assert case.source.where
        for item in case.functions:
            told = explanation(item)
            assert told.formulas, told.name
            assert told.source, told.name


def words_of(answer: str) -> set[str]:
    """Of a verdict: its plain words, and what it names in symbols."""
    symbols = re.sub(r"^the |[a-z]{2,}|[“”]", " ", answer.casefold()).strip()
    names = {symbols} if len(symbols) > 2 else set()
    return names | set(re.findall(r"[a-z]{4,}", answer.casefold()))


@pytest.mark.parametrize("name", NAMES)
def test_every_case_says_what_must_hold_and_not_what_is_wrong(name: str) -> None:
    case = CASES[name]
    hint = case.hint.casefold()
    assert 30 < len(hint) < 160
    assert hint.endswith("?")
    assert not any(re.search(rf"(?<!\w){re.escape(w)}", hint) for w in words_of(case.answer))
    assert not re.search(r"\b(right|wrong|true|false|missing|misprint)", hint)


def at_step(name: str, pick: str, **setting: float) -> float:
    """One line of a case's chart where the hint looks."""
    found = CASES[name].experiment(**(CASES[name].defaults | setting))
    return found.value[0 if pick == "printed" else 1]


def curve_of(name: str, pick: str, **setting: float) -> np.ndarray:
    return getattr(CASES[name].experiment(**(CASES[name].defaults | setting)), pick)


BENDS = {
    f: torch.diff(curve(torch.linspace(0.1, 3.9, 39, dtype=torch.float64)), n=2)
    for f, curve in CURVES.items()
}
CONCAVE = [f for f, bend in BENDS.items() if (bend < 0).all()]
CRITERIA = {
    "Posterior mean": lambda p: abs(at_step("Posterior mean", p, t=1, x0=0.7) - 0.7) < 1e-9,
    "Mean through the noise": lambda p: (
        abs(at_step("Mean through the noise", p, t=1, x0=0.7, eps=-1.3) - 0.7) < 1e-9
    ),
    "KL of two pictures": lambda p: at_step("KL of two pictures", p, t=2, err=0.5) > 100,
    "KL from two SNRs": lambda p: curve_of("KL from two SNRs", p).min() >= 0,
    "The small number": lambda p: at_step("The small number", p, t=1) > 0.99,
    "Jump to step t": lambda p: np.allclose(curve_of("Jump to step t", p, v=1.0), 1),
    "Signal to noise": lambda p: np.isclose(
        *(at_step("Signal to noise", p, x0=x) for x in (0.3, 0.9))
    ),
    "Tweedie's formula": lambda p: abs(curve_of("Tweedie's formula", p)).max() <= 1,
    "Score and noise": lambda p: abs(np.interp(
        0, np.linspace(-3, 3, 121), curve_of("Score and noise", p))) < 1e-9,
    "Reconstruction term": lambda p: at_step("Reconstruction term", p, x0=2.0) <= -2.918,
    "Likelihood": lambda p: np.allclose(
        *(curve_of("Likelihood", p, a=a) for a in (1, 9))
    ),
    # As printed it is claimed of any function, rightly of those alone that bend downwards.
    "Jensen's inequality": lambda p: all(
        curve_of("Jensen's inequality", "right", f=f).min() >= 0
        for f in (CURVES if p == "printed" else CONCAVE)
    ),
    "Marginal": lambda p: abs(at_step("Marginal", p) - 1) < 1e-3,
    "DDIM’s step": lambda p: np.isclose(
        *(at_step("DDIM’s step", p, eta=eta) for eta in (0.0, 0.5))
    ),
    "The picture from the noise": lambda p: abs(
        at_step("The picture from the noise", p, t=500, err=0.0) - 0.5) < 1e-9,
    "Signs in the bound": lambda p: curve_of("Signs in the bound", p).max() <= -1.515,
}  # fmt: skip


@pytest.mark.parametrize("name", list(CRITERIA))
def test_what_must_hold_tells_a_misprint_from_the_right_formula(name: str) -> None:
    assert CRITERIA[name]("right")
    assert CRITERIA[name]("printed") == CASES[name].is_right


def test_there_are_functions_of_both_kinds() -> None:
    assert CONCAVE == ["log x", "√x"]
    assert all((bend > 0).all() for f, bend in BENDS.items() if f not in CONCAVE)


def test_what_is_said_of_the_wrong_weight_of_a_picture() -> None:
    """Too little at t = 2, too much at T, alike from 100 on; and where training would go."""

    def weights(t: int) -> tuple[float, float]:
        printed, right = CASES["KL of two pictures"].experiment(t=t, err=1.0).value
        return printed, right

    early, late = weights(2), weights(1000)
    assert early[1] / early[0] == pytest.approx(1e4, rel=0.05)  # "ten thousand times too little"
    assert 2e4 < late[0] / late[1] < 2.5e4  # "over twenty thousand times too much"
    steps = [*range(100, 1001, 100)]
    alike = np.array([weights(t)[0] for t in steps])
    assert alike.max() / alike.min() < 2.2  # "nearly alike", where the right ones fall
    assert weights(100)[1] / late[1] > 1e5
    said = CASES["KL of two pictures"].consequence
    assert "upside down" not in said
    assert "from t = 100 on all steps would weigh nearly alike" in said
    # "The errors themselves are largest where the noise is", by the best answer there is.
    mixture, process = PLANE_DATA["ring"](), GaussianDiffusion(SCHEDULES["linear"](1000))
    generator, errors = torch.Generator().manual_seed(0), []
    for t in [2, *steps]:
        x0, at = mixture.sample(2000, generator), torch.full((2000,), t)
        noise = torch.randn(2000, 2, generator=generator, dtype=torch.float64)
        seen = mixture_denoiser(process, mixture)(process.q_sample(x0, at, noise), at).x0
        errors.append(float((seen - x0).square().mean()))
    assert (np.diff(errors) > -0.02 * max(errors)).all()
    assert errors[0] < 0.01 * errors[-1]
    cost = np.array([np.array(weights(t)) * e for t, e in zip([2, *steps], errors, strict=True)])
    shares = cost[1:] / cost[1:].sum(0)
    assert shares[5:, 0].sum() > 0.6  # "on the noisiest steps, and hardly on" the early ones
    assert shares[5:, 1].sum() < 0.05


@pytest.mark.parametrize(("t", "share"), [(600, 0), (2, 40), (600, 50)])
def test_a_step_to_the_picture_shows_no_difference_and_says_so(t: int, share: int) -> None:
    for eta in (0.0, 0.5, 1.0):
        found = CASES["DDIM’s step"].experiment(eta=eta, t=t, share=share)
        if t * share // 100 == 0:
            assert np.abs(found.printed).max() == np.abs(found.right).max() == 0
            assert found.telling.startswith("At s = 0 there must be no noise left")
            assert "Both ends" not in found.telling
        else:
            assert found.telling.startswith("At s = 300 it must be √(1 − ᾱₛ) = ")
            ends = [CASES["DDIM’s step"].experiment(eta=e, t=t, share=share).value for e in (0, 1)]
            assert all(printed == pytest.approx(right) for printed, right in ends)
            assert (abs(found.value[0] - found.value[1]) > 0.01) == (eta == 0.5)


@pytest.mark.parametrize(("share", "n"), [(50, 10), (70, 10), (0, 10), (50, 9)])
def test_a_prior_moves_the_peak_or_makes_it_narrower(share: int, n: int) -> None:
    places = np.linspace(0, 1, 201)
    peaks, widths = [], []
    for a in (2, 12):
        found = CASES["Likelihood"].experiment(n=n, share=share, a=a)
        peaks.append(places[found.printed.argmax()])
        widths.append((found.printed > found.printed.max() / 2).mean())
        heads = round(share / 100 * n)
        assert ("gets narrower with a prior" in found.telling) == (2 * heads == n)
        assert ("moves with a prior" in found.telling) == (2 * heads != n)
    assert (abs(peaks[0] - peaks[1]) > 0.01) == ("moves" in found.telling)
    assert "moves" in found.telling or widths[1] < 0.9 * widths[0]


def test_the_forgotten_root_takes_away_too_little() -> None:
    """Of the numerator; without the root of the whole factor it would be too much early on."""
    kept = SCHEDULES["linear"](1000).alpha_bar[1:]
    right = (1 / kept - 1).sqrt()
    assert ((1 - kept) / kept.sqrt() < right).all()
    assert ((1 - kept) / kept > right).any()
    said = CASES["The picture from the noise"].consequence
    assert "forgets the upper root" in said
    assert "too little at every step" in said


def test_the_numbers_in_the_hints() -> None:
    log_p = -0.5 * np.log(2 * np.pi) - 0.5 * 2**2
    assert f"{log_p:.2f}".replace("-", "−") in CASES["Reconstruction term"].hint
    both = CASES["Signs in the bound"].experiment(m=1.0, s=1.0).value
    assert f"{sum(both) / 2:.2f}".replace("-", "−") in CASES["Signs in the bound"].hint


def test_a_case_is_checked_when_it_is_made() -> None:
    case = CASES["Marginal"]
    kept = {f: getattr(case, f) for f in case.__dataclass_fields__ if f != "defaults"}
    with pytest.raises(ValueError, match="verdicts"):
        Case(**kept | {"answer": "Nobody"})
    with pytest.raises(ValueError, match="3 at most"):
        Case(**kept | {"knobs": case.knobs * 2})


def test_the_chart_hides_the_truth_until_the_verdict() -> None:
    found = cases_terms.posterior_mean(10, 1.0, 0.8)
    hidden = case_chart(found, judged=False)
    assert {line["name"] for line in hidden["data"]} == {"as printed"}
    for line in hidden["data"]:
        assert not np.isin(np.round(found.right, 12), np.round(line["y"], 12)).any()
    shown = {line["name"] for line in case_chart(found, judged=True)["data"]}
    assert shown == {"as printed", "right", "measured"}


# --- the page -------------------------------------------------------------------------------------


def test_nothing_is_given_away_before_the_verdict() -> None:
    at = open_page(PAGE)
    case = CASES[NAMES[0]]
    before = texts(at)
    assert case.printed in before
    assert case.correct not in before
    assert not any(text in before for text in case.options.values())
    assert "````python" not in before
    assert not any(item.value == "The evidence" for item in at.subheader)
    assert "As printed, mean of xₜ₋₁: **0.5349**" in before
    assert case.hint in before
    assert "error of exactly 2" not in before
    verdict(at, NAMES[0], RIGHT)
    assert case.hint not in texts(at)
    assert "error of exactly 2" in texts(at)
    assert "1.0204" not in texts(at)  # of a case that is still open


def test_every_case_to_its_verdict() -> None:
    at = open_page(PAGE)
    for name, case in CASES.items():
        at.session_state["case"] = name
        at.run()
        assert case.printed in texts(at)
        assert "````python" not in texts(at)
        if case.live:
            continue
        verdict(at, name, case.answer)
        after = texts(at)
        assert "**Right.**" in after
        assert case.options[case.answer] in after
        assert case.consequence in after
        assert case.is_right or case.correct in after
        assert after.count("````python") == len(case.functions)
        assert "nan" not in after


@pytest.mark.parametrize("name", [NAMES[1], NAMES[-1]])
def test_a_case_is_a_link(name: str) -> None:
    at = open_page(PAGE, case=name)
    assert at.session_state["case"] == name
    assert not at.toast
    assert CASES[name].printed in texts(at)


def test_the_score_counts_first_verdicts_only() -> None:
    at = open_page(PAGE, case="Marginal")
    assert "20 cases" in texts(at)
    verdict(at, "Marginal", RIGHT)
    assert "**Not quite.**" in texts(at)
    assert "Judged 1 of 20, **0 rightly**." in texts(at)
    verdict(at, "Marginal", CASES["Marginal"].answer)
    assert "**Right.**" in texts(at)
    assert "Judged 1 of 20, **0 rightly**." in texts(at)
    at.button(key="detective_next").click().run()
    assert at.session_state["case"] == "Telescoping product"
    verdict(at, "Telescoping product", RIGHT)
    assert "Judged 2 of 20, **1 rightly**." in texts(at)
    at.session_state["case"] = "Marginal"
    at.run()
    assert CASES["Marginal"].correct in texts(at)
    assert any(item.value == "The evidence" for item in at.subheader)  # it stays judged
    at.button(key="detective_forget").click().run()
    assert not at.exception
    assert "20 cases" in texts(at)
    assert not any(item.value == "The evidence" for item in at.subheader)


def test_next_goes_round_and_skips_what_was_judged() -> None:
    at = open_page(PAGE, case=NAMES[-2])
    at.session_state["_detective_verdicts"] = {NAMES[-1]: RIGHT, NAMES[0]: RIGHT}
    at.button(key="detective_next").click().run()
    assert at.session_state["case"] == NAMES[1]


def test_a_judged_live_case_samples_the_network_twice() -> None:
    at = open_page(PAGE)
    verdict(at, "Posterior mean", RIGHT)
    assert any("player" in item.proto.component_name for item in at.get("bidi_component"))
    assert "See it happen" in texts(at)


def test_both_misprints_ruin_the_digits_and_the_right_mean_draws_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the player shows, from the shipped network; four digits do."""
    monkeypatch.setattr(case_runs, "COUNT", 4)
    denoiser, _ = load.network("digits-eps")
    for mean in ("minus", "alpha"):
        *_, last = case_runs.run(denoiser, mean)
        good, bad = (shot.x_t.astype(float) for shot in last)
        extreme = [float(((x < 16) | (x > 239)).mean()) for x in (good, bad)]
        assert extreme[0] > 0.8  # black paper, white strokes
        edges = [float(np.abs(np.diff(x, axis=1)).mean()) for x in (good, bad)]
        if mean == "minus":
            assert extreme[1] < 0.15  # all grey
            assert float(bad.std()) < 0.5 * float(good.std())
        else:
            assert edges[1] > 2 * edges[0]  # speckles instead of strokes


@pytest.mark.parametrize(("power", "bright", "seen"), [
    (2, THIN.right, THIN.seen_right), (1, THIN.wrong, THIN.seen_wrong),
])  # fmt: skip
def test_what_is_said_of_digits_with_the_wrong_power_of_eta(
    power: int, bright: float, seen: float
) -> None:
    """DDIM written out, with eta or its square under the root."""
    net, eta, label = load_network("digits-eps", "cpu")[0], 0.5, torch.arange(200) % 10
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 1, 28, 28, generator=generator)
    alpha_bar = net.diffusion.schedule.alpha_bar
    with torch.inference_mode():
        for t, s in itertools.pairwise([*evenly_spaced(1000, 20), 0]):
            now, then = alpha_bar[t], alpha_bar[s]
            x0 = net(x, torch.full((200,), t), label).x0.clamp(-1, 1)
            eps = (x - now.sqrt() * x0) / (1 - now).sqrt()
            tilde = (1 - then) / (1 - now) * (1 - now / then)
            z = torch.randn(x.shape, generator=generator)
            kept = (1 - then - eta**power * tilde).clamp(min=0)
            x = (then.sqrt() * x0 + kept.sqrt() * eps + eta * tilde.sqrt() * z).float()
        x = x.clamp(-1, 1)
        belief = load_module("classifier", "cpu")[0](x).argmax(1)
    assert float((x + 1).mean() / 2) == pytest.approx(bright, abs=1e-3)
    assert float((belief == label).double().mean()) == pytest.approx(seen, abs=0.011)
    said = CASES["DDIM’s step"].consequence
    assert f"{bright:.1%}" in said
    assert f"{seen:.1%}" in said


def test_without_the_network_the_case_is_still_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise CheckpointError("The network is not here.")

    at = open_page(PAGE)
    load.network.clear()
    monkeypatch.setattr(load, "load", missing)
    verdict(at, "Posterior mean", RIGHT)
    assert any("The network is not here." in info.value for info in at.info)
    assert any(item.value == "Sources" for item in at.subheader)
    load.network.clear()


@pytest.mark.parametrize(
    "query",
    [
        {"case": "Nonsense"},
        {"case": "<script>alert(1)</script>"},
        {"case": "x" * 5000},
        {knob_key(CASES[NAMES[0]], "t"): "nan"},
        {knob_key(CASES[NAMES[0]], "t"): "0"},
        {knob_key(CASES[NAMES[0]], "x0"): "1e400"},
        {knob_key(CASES[NAMES[0]], "xt"): "[](javascript:1)"},
        {"dtarget": "everything"},
        {"nonsense": "1"},
    ],
)
def test_a_hostile_link_gets_a_default_and_a_sentence(query: dict[str, str]) -> None:
    at = open_page(PAGE, **query)
    assert not at.exception
    assert at.session_state["case"] == NAMES[0]
    assert "As printed, mean of xₜ₋₁: **0.5349**" in texts(at)
    assert len(at.toast) == 1


READERS = {
    "(xₜ − σ·ε)/a": "Right",
    "x_0": "is what is asked for",
    r"\frac{x_t-\sqrt{1-\bar\alpha_t}\epsilon}{\sqrt{\bar\alpha_t}}": "Right",
    r"\hat\mu": "“hat” is LaTeX that is not read here",
    "2*x_0": "it is the truth times 2, everywhere",
    "(x_t + sigma*eps)/a": "apart",
    "sqrt(x_0)": "no finite value",
    "__import__('os').system('true')": "can't be read",
    "**bold**[x](javascript:1)": "can't be read",
    "9**9**9": "exponent",
    "": "Type a formula",
    "gamma": "is not one of the names",
    "x" * 3000: "is not one of the names",  # cut to 200 on its way
    "(" * 3000: "no complete formula",
}


def test_a_readers_formula() -> None:
    at = open_page(PAGE)
    for typed, says in READERS.items():
        at.text_input(key="dformula").set_value(typed).run()
        assert not at.exception
        (answer,) = (box.value for box in (*at.success, *at.warning))
        assert says in answer.replace("\\", ""), typed


def test_the_first_formula_is_an_example_and_no_fault_of_the_reader() -> None:
    at = open_page(PAGE)
    assert not at.warning
    assert "**An example, wrong on purpose.**" in texts(at)
    assert "apart" in at.info[0].value
    at.text_input(key="dformula").set_value("x_t").run()
    assert "An example" not in texts(at)
    assert "Wrong" in at.warning[0].value


def test_a_formula_in_the_link_is_judged_as_typed() -> None:
    at = open_page(PAGE, dformula="a²/σ²", dtarget="SNR(t)")
    assert not at.toast
    assert "Right" in at.success[0].value


def test_the_counterexample_shows_inputs_yours_and_the_truth() -> None:
    at = open_page(PAGE)
    number, told = r"\*\*(-?[\d.]+)\*\*", texts(at).replace("−", "-")
    found = re.search(rf"example says {number}, the truth is {number}", told)
    assert found
    row = told[found.end() :].split("\n")[4].strip("| ")
    a, sigma, x_t, eps = (float(cell) for cell in row.split(" | "))
    assert x_t - sigma * eps == pytest.approx(float(found[1]), abs=2e-3)
    assert (x_t - sigma * eps) / a == pytest.approx(float(found[2]), abs=2e-3)


def test_every_why_and_try_shows_its_setting() -> None:
    at = open_page(PAGE)
    keys = offered(at)
    assert len(keys) == 7
    for key in keys:
        press(at, key)
        assert not at.exception, key
        assert at.session_state["_look_at"], key
    assert "it is the truth times 2" in at.warning[0].value
    assert "1.0204" not in texts(at)
    at.session_state["case"] = "KL of two noises"
    at.session_state["_detective_verdicts"] = {"KL of two noises": RIGHT}
    at.run()
    assert "1.0204 at most" in texts(at)
