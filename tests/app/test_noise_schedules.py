"""Noise schedules as a script: every setting runs, its numbers are right, bad drawings are mended.

Every number in the page's prose is computed here a second time, with numpy alone.
"""

from __future__ import annotations

import json
import re
import struct

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import MAX_BETA, SCHEDULES, NoiseSchedule
from pages.shared.curve_editor import parse_drawing
from pages.shared.schedule_ends import (
    CAPS,
    SIDES,
    VIEWS,
    bells_figure,
    left_of,
    mean_back,
    means,
    noise,
    spreads,
    spreads_figure,
    told_apart,
)
from tests.app.settings import press
from tests.app.test_pages import open_page
from tests.core.oracles import BETAS, alpha_bar_of

PAGE = "noise_schedules"
STANDARD = "0.25:0.95,0.5:0.6,0.75:0.1,1:0"


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in at.markdown)


def editor(at: AppTest) -> dict | None:
    """What the curve editor is sent, if it is on the page."""
    for element in at.get("bidi_component"):
        if element.proto.component_name.endswith("curve_editor"):
            return json.loads(element.proto.json)
    return None


def timeline(at: AppTest) -> dict:
    """The header of what the player is given."""
    (sent,) = (
        item.proto.bytes
        for item in at.get("bidi_component")
        if item.proto.component_name.endswith("player")
    )
    (length,) = struct.unpack_from("<I", sent)
    return json.loads(sent[4 : 4 + length])


def snr(name: str) -> np.ndarray:
    alpha_bar = alpha_bar_of(BETAS[name](1000))
    with np.errstate(divide="ignore"):
        return alpha_bar / (1 - alpha_bar)


@pytest.mark.parametrize("match", ["same t", "same SNR", "fewer steps"])
@pytest.mark.parametrize("T", [10, 100, 1000])
@pytest.mark.parametrize("b", [*SCHEDULES, "linear_unscaled", "drawn"])
def test_every_setting_runs(match: str, T: int, b: str) -> None:
    at = open_page(PAGE)
    for key, value in {
        "match": match, "T": T, "schedule_a": "drawn" if b == "linear" else "linear",
        "schedule_b": b, "zero_b": b != "sigmoid", "kept": 20, "seed": 4,
    }.items():  # fmt: skip
        at.session_state[key] = value
    at.run()
    assert not at.exception
    assert not at.error
    assert "nan" not in texts(at)


@pytest.mark.parametrize("kept", [2, 5, 10, 20, 50, 100, 200])
@pytest.mark.parametrize("T", [10, 1000])
def test_more_steps_than_there_are_is_said(kept: int, T: int) -> None:
    at = open_page(PAGE, match="fewer steps", kept=str(kept), T=str(T))
    assert not at.exception
    assert ("There are only 10 steps" in texts(at)) == (kept > T)


@pytest.mark.parametrize("number", range(9))
def test_each_why_sets_the_page(number: int) -> None:
    at = open_page(PAGE, schedule_a="sigmoid", match="fewer steps")
    press(at, f"why_{number}")
    assert not at.exception
    assert "_schedules_place" not in at.session_state  # it was used


@pytest.mark.parametrize("number", range(3))
def test_each_experiment_sets_the_page(number: int) -> None:
    at = open_page(PAGE, zero_b="true")
    press(at, f"try_{number}")
    assert not at.exception
    assert not at.session_state["zero_b"]  # what was set before is undone


def test_all_controls_can_be_reset() -> None:
    at = open_page(PAGE)
    bound = {
        *("schedule_a", "schedule_b", "match", "kept", "beside", "points", "zero_b"),
        *("source", "digit", "variant", "T", "seed", "nview", "nside"),
    }
    assert set(at.session_state["_page_defaults"]) == bound


def test_what_is_not_in_front_is_not_forgotten() -> None:
    at = open_page(PAGE, schedule_b="sigmoid")
    at.session_state["match"] = "fewer steps"
    at.run()
    at.select_slider(key="kept").set_value(10).run()
    at.session_state["match"] = "same t"
    at.run()
    assert (at.session_state["schedule_b"], at.session_state["kept"]) == ("sigmoid", 10)


# --- numbers --------------------------------------------------------------------------------------


def test_the_prediction() -> None:
    at = open_page(PAGE)
    at.pills[0].set_value("No").run()
    linear, cosine = snr("linear")[500], snr("cosine")[500]
    assert f"{linear:.3f}, the cosine {cosine:.2f}: {cosine / linear:.0f} times" in texts(at)


def test_the_answers_numbers() -> None:
    told = texts(open_page(PAGE))
    cosine_last, linear = BETAS["cosine"](1000)[-1], BETAS["linear"](1000)
    assert f"{1 / np.sqrt(1 - cosine_last):.1f}" == "31.6"
    assert "1/√(1−0.999) = 31.6:" in told
    assert "What grows 31.6 times" in told
    # Of the posterior's mean at t = T, the x0 coefficient: sqrt(abar_{T-1}) beta_T / (1 - abar_T).
    kept = np.prod(1 - BETAS["cosine"](1000)[:-1])
    of_x0 = np.sqrt(kept) * cosine_last / (1 - kept * (1 - cosine_last))
    assert f"error of an x̂₀ by {of_x0:.2g}." in told
    left = np.prod(1 - linear) ** 0.5
    fifty, ten = (np.prod(1 - linear[stride - 1 :: stride]) ** 0.5 for stride in (20, 100))
    assert f"still holds {fifty:.0%} of the signal (√ᾱ)" in told
    assert f"leave {left:.2%}. A sampler" in told
    assert f"picked betas leave {ten:.0%} of the signal (√ᾱ)" in told
    log_snr = np.log(snr("linear")[1:])  # from t = 1
    falls = [log_snr[s - 1] - log_snr[t - 1] for s, t in ((1, 100), (450, 550), (900, 1000))]
    for fall in falls:
        assert f"{fall:.1f}" in told


@pytest.mark.parametrize(("kept", "stride"), [(10, 100), (50, 20), (200, 5)])
def test_the_respacing_sentence(kept: int, stride: int) -> None:
    told = texts(open_page(PAGE, match="fewer steps", kept=str(kept)))
    linear = BETAS["linear"](1000)
    right, wrong = (np.prod(1 - betas) ** 0.5 for betas in (linear, linear[stride - 1 :: stride]))
    assert f"end with {right:.2%} of the signal (√ᾱ)" in told
    assert f"end with {wrong:.2%}." in told


@pytest.mark.parametrize("kept", [5, 10, 50])
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_sentence_on_where_sampling_starts(kept: int, name: str) -> None:
    query = {"match": "fewer steps", "beside": "steps from 1 up", "schedule_a": name}
    told = texts(open_page(PAGE, kept=str(kept), **query))
    start = 1001 - 1000 // kept
    down, up = (np.prod(1 - BETAS[name](1000)[:t]) ** 0.5 for t in (1000, start))
    assert f"end at t = 1000 with {down:.2%} of the signal" in told
    assert f"they end at t = {start} with {up:.2%}." in told


@pytest.mark.parametrize(("kept", "T"), [(50, 10), (5, 10), (100, 100)])
def test_steps_of_a_short_chain_counted_up(kept: int, T: int) -> None:
    query = {"match": "fewer steps", "beside": "steps from 1 up"}
    at = open_page(PAGE, kept=str(kept), T=str(T), **query)
    assert not at.exception
    assert ("There are only 10 steps" in texts(at)) == (kept > T)
    same = kept >= T  # nothing is left out, whichever end is counted from
    assert (f"Where all {T} steps are kept, both ways are the same." in texts(at)) == same
    assert ("Noise has none" in texts(at)) != same


def test_the_first_step_back_does_not_explode() -> None:
    told = texts(open_page(PAGE))
    assert f"would have the spread {np.sqrt(1 + 0.999**2) / np.sqrt(0.001):.1f}. But" in told
    assert f"to be divided: the spread is {0.001 / np.sqrt(0.001):.3f}." in told


def test_the_numbers_of_where_to_start_and_of_a_short_chain() -> None:
    told = texts(open_page(PAGE))

    def left(betas: np.ndarray) -> float:
        return float(np.prod(1 - betas) ** 0.5)

    many, few = (left(BETAS["cosine"](1000)[:t]) for t in (981, 801))
    assert f"with the cosine a √ᾱ of {many:.0%} for 50 steps, and {few:.0%} for 5" in told
    assert f"still has {few:.0%} of its signal (√ᾱ)" in told
    linear = left(BETAS["linear"](1000)[:801])
    assert f"at t = 801 the linear one has {linear:.0%} left" in told
    long, short, scaled = (np.linspace(1e-4, 0.02, T) for T in (200, 100, 100))
    assert f"{left(long):.0%} at T = 200 and {left(short):.0%} at T = 100" in told
    offered = open_page(PAGE).session_state["_settings_offered"]
    looks = " ".join(look for _, look in offered.values())
    assert f"ᾱ = {left(short) ** 2:.3f}, a signal √ᾱ of {left(short):.0%}" in looks
    assert f"and {left(10 * scaled):.1%} is left at T = 100" in told
    # "Below T = 20 β would pass 1, so it is cut off"
    assert SCHEDULES["linear"](19).beta.max() == pytest.approx(MAX_BETA)
    assert SCHEDULES["linear"](21).beta.max() < MAX_BETA


def test_at_the_same_snr_hardly_anything_is_left_of_the_difference() -> None:
    def measured(**query: str) -> float:
        return float(re.findall(r"differ by (?:up to|at most) ([\d.]+)", texts(open_page(PAGE, **query)))[0])  # fmt: skip  # noqa: E501

    assert measured() > 0.3
    assert measured(match="same SNR") < 0.005
    assert measured(match="same SNR", T="10") > 0.02  # whole steps, and few of them
    # "Nothing changes but … and where they end": one that ends earlier can't follow to the end.
    assert measured(match="same SNR", schedule_b="log_snr_linear") > 0.05
    told = texts(open_page(PAGE, match="same SNR", schedule_b="log_snr_linear"))
    assert "where B has ended" in told
    assert "nothing changes but the clock, the size of the steps and where they end" in told


def test_a_schedule_that_ends_early_is_named_as_the_reason() -> None:
    told = texts(open_page(PAGE, match="same SNR", schedule_b="drawn", points="0.4:0.5,1:0.1"))
    assert "where B has ended" in told
    assert "whole steps" in texts(open_page(PAGE, match="same SNR"))


def test_both_measures_of_what_is_left_are_said_at_every_frame() -> None:
    """ "ᾱ 0.364, signal √ᾱ 60%", where a chart has the one and the text the other."""
    at = open_page(PAGE, schedule_b="linear_unscaled", T="100")
    header = player_header(at)
    assert [panel["title"] for panel in header["panels"][:2]] == [
        "A: linear",
        "B: linear, β as for T = 1000",
    ]
    left = np.prod(1 - np.linspace(1e-4, 0.02, 100))
    assert header["notes"][-1].endswith(f"B: ᾱ {left:.3f}, √ᾱ {left**0.5:.0%}")
    assert len(header["notes"]) == header["n"]
    end = alpha_bar_of(BETAS["linear"](100))[-1]
    variance, signal = left_of(end)
    assert header["notes"][-1].startswith(f"A: ᾱ {variance}, signal √ᾱ {signal} · ")
    assert (variance, signal) == (f"{end:.5f}", f"{end**0.5:.2%}")
    assert left_of(0.0) == ("0", "0%")
    assert left_of(2e-9) == ("< 10⁻⁵", "0.004%")
    assert left_of(1.0) == ("1", "100%")


def test_the_log_snr_is_twice_as_high_as_the_other_charts() -> None:
    curves = player_header(open_page(PAGE))["curves"]
    high = {curve["chart"]: curve["high"] for curve in curves}
    assert {h for chart, h in high.items() if chart.startswith("log-SNR")} == {144}
    assert {h for chart, h in high.items() if not chart.startswith("log-SNR")} == {72}


def player_header(at: AppTest) -> dict:
    """What the player is told besides its pictures."""
    for element in at.get("bidi_component"):
        if element.proto.component_name.endswith("player"):
            data = element.proto.bytes
            (length,) = struct.unpack("<I", data[:4])
            return json.loads(data[4 : 4 + length])
    raise AssertionError("no player")


# --- what the last steps do -----------------------------------------------------------------------


@pytest.mark.parametrize("view", list(VIEWS.values()))
def test_every_view(view: str) -> None:
    at = open_page(PAGE, nview=view)
    assert not at.exception
    assert not at.toast
    at.session_state["schedule_b"] = "sigmoid"
    for other in VIEWS:
        at.session_state["nview"] = other
        at.run()
        assert not at.exception
    at.session_state["nview"] = "two"
    at.run()
    assert at.session_state["schedule_b"] == "sigmoid"  # what is not in front is not forgotten


def test_bars_are_the_spreads_and_pictures_have_them() -> None:
    told = spreads()
    unrelated, *networks, right = told.values()
    assert unrelated == pytest.approx(np.sqrt(1 + 0.999**2) / np.sqrt(0.001), rel=1e-3)
    assert networks == [0.26, 0.032]
    assert right == pytest.approx(0.001 / np.sqrt(0.001), rel=1e-3)
    figure = spreads_figure(told)
    ends = [shape["x1"] for shape in figure["layout"]["shapes"] if shape["type"] == "rect"]
    assert ends == pytest.approx(np.log10(list(told.values())))
    names = " ".join(note["text"] for note in figure["layout"]["annotations"])
    assert all(f": {shown}" in names for shown in ("44.7", "0.26", "0.032"))
    # The pictures: nearly all black or white, then ever nearer to gray.
    black_and_white, *rest = (p.astype(float) / 127.5 - 1 for p in means())
    assert (np.abs(black_and_white) > 0.99).mean() > 0.95
    for picture, spread in zip(rest, [*networks, right], strict=True):
        assert picture.std() == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize("cap", CAPS)
def test_what_a_cap_lets_an_error_grow(cap: float) -> None:
    """By the law of the step: the mean moves that much when the noise moves by 1."""
    told = texts(open_page(PAGE, nview="First step back"))
    kept = alpha_bar_of([*BETAS["cosine"](1000)[:-1], cap])
    diffusion = GaussianDiffusion(NoiseSchedule("capped", torch.tensor(kept)))
    t, a = torch.tensor([1000]), kept[-1] ** 0.5
    x0 = torch.tensor([0.0, -((1 - a * a) ** 0.5) / a], dtype=torch.float64)[None]  # of ε̂ = 0, 1
    (means,) = diffusion.q_posterior(torch.zeros_like(x0), x0, t, t - 1).mean
    moved = float(means[0] - means[1])
    assert moved == pytest.approx(cap / (1 - cap) ** 0.5, rel=1e-4)
    assert f"{moved:.3g} at {cap:g}" in told
    if cap == BETAS["cosine"](1000)[-1]:
        shown = mean_back(noise(2), noise(1)) - mean_back(noise(2) + 1, noise(1))
        assert float(shown.mean()) == pytest.approx(moved, rel=1e-6)


def test_only_the_last_beta_is_capped() -> None:
    betas = BETAS["cosine"](1000)
    assert betas[-1] == 0.999 > 0.8 > betas[-2]
    told = texts(open_page(PAGE))
    assert f"the β before it is {betas[-2]:.2f}." in told
    left = np.prod(1 - betas) ** 0.5
    assert f"it leaves a signal √ᾱ of {100 * left:.1g}%." in told


def test_question_and_hint_stay_with_their_view() -> None:
    at = open_page(PAGE)
    assert any("t = 500" in each.label for each in at.pills)
    press(at, "try_0")
    assert at.session_state["_look_at"]
    at.segmented_control(key="nview").set_value("large").run()
    assert not at.session_state["_look_at"]
    assert not any("t = 500" in each.label for each in at.pills)


@pytest.mark.parametrize(("match", "first"), [("same t", "t = "), ("same SNR", "A: t = ")])
def test_the_axis_of_time_says_what_it_counts(match: str, first: str) -> None:
    ticks = timeline(open_page(PAGE, match=match))["ticks"]
    assert [text for _, text in ticks] == [f"{first}250", f"{first}500"]


def test_a_mean_by_hand() -> None:
    """(x_T − β ε̂/√(1−ᾱ))/√(1−β), Ho et al. 2020, eq. 11."""
    x, eps = noise(1).double(), noise(2).double()
    expected = (x - 0.999 * eps / np.sqrt(1 - alpha_bar_of(BETAS["cosine"](1000))[-1])) / 0.001**0.5
    np.testing.assert_allclose(mean_back(eps, x).numpy(), expected.numpy(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("side", SIDES)
def test_a_large_picture_tells_white_from_black(side: int) -> None:
    """By means of noised pictures: their sign, of 20,000 draws."""
    told = texts(open_page(PAGE, nview="A large picture", nside=str(side)))
    left = np.prod(1 - BETAS["linear"](1000)) ** 0.5
    draws = left + np.sqrt(1 - left**2) / side * np.random.default_rng(0).standard_normal(20_000)
    assert f"**{side**2:,} pixels.**" in told
    assert f"leaves {left:.2%} of the signal" in told
    assert f"= {1 / side:.4f}. From" in told
    share = float(re.findall(r"in \*\*(\d+)%\*\* of all cases", told)[0])
    assert share == pytest.approx(100 * (draws > 0).mean(), abs=1.5)
    figure = bells_figure(side, float(left))
    for trace, mean in zip(figure["data"], (0, -left, left), strict=True):
        near = trace["x"][trace["y"] > np.exp(-0.5)]  # within one spread
        if near.max() < 0.049:
            assert near.mean() == pytest.approx(mean, abs=3e-4)
            assert np.ptp(near) == pytest.approx(2 / side, abs=3e-4)


def test_a_digit_is_too_small_for_it_and_a_million_pixels_are_not() -> None:
    left = float(np.prod(1 - BETAS["linear"](1000)) ** 0.5)
    assert told_apart(28, left) < 0.6
    assert told_apart(1024, left) > 0.999  # "three bells, apart"
    assert told_apart(1024, 0.0) == 0.5  # after rescaling


def test_the_two_rows_of_digits_say_where_they_start() -> None:
    told = texts(open_page(PAGE, nview="Where sampling starts"))
    left = alpha_bar_of(BETAS["cosine"](1000))[801] ** 0.5
    assert "1000, 800, 600, 400, 200." in told
    assert f"801, 601, 401, 201, 1. Signal √ᾱ at the first: {left:.0%}" in told
    assert told.count("−0.64") == told.count("−0.75") == 2


# --- drawings -------------------------------------------------------------------------------------


def test_the_editor_is_there_when_a_schedule_is_drawn() -> None:
    assert editor(open_page(PAGE)) is None
    sent = editor(open_page(PAGE, schedule_b="drawn"))
    assert sent is not None
    assert sent["text"] == STANDARD


def test_a_shared_drawing_is_followed_without_a_word() -> None:
    text = "0.2:0.7,0.6:0.2,1:0.01"
    at = open_page(PAGE, schedule_b="drawn", points=text)
    assert not at.toast
    assert not at.warning
    assert editor(at)["text"] == text


@pytest.mark.parametrize(
    ("text", "sentence", "used"),
    [
        ("0.5:0.5,1:0.5", "fall", "0.5:0.5,1:0.499"),
        ("0.3:0.2,0.6:0.8,1:0", "fall", "0.3:0.2,0.6:0.199,1:0"),
        ("0:1,1:0", "Two points", "0.5:0.5,1:0"),
        ("0.5:0.4", "drawn on", "0.5:0.4,1:0"),
        ("0.5:nan,1:0", "not finite", STANDARD),
        ("0.5:1e999", "not finite", STANDARD),
        ("<img src=x onerror=alert(1)>", "not two numbers", STANDARD),
        ("[x](javascript:alert(1))", "not two numbers", STANDARD),
        ("$\\href{x}{y}$:1", "not two numbers", STANDARD),
        (",,,", "no point", STANDARD),
        ("\N{PILE OF POO}:1", "not two numbers", STANDARD),
    ],
)
def test_a_broken_drawing_is_mended_or_refused_with_a_reason(
    text: str, sentence: str, used: str
) -> None:
    at = open_page(PAGE, schedule_b="drawn", points=text)
    assert not at.exception
    assert len(at.warning) == 1
    assert sentence in at.warning[0].value
    assert editor(at)["text"] == used
    assert at.text_input(key="points").value == text  # nothing typed is lost


@pytest.mark.parametrize("points", ["x" * 5000, "1:0," * 2000, ""])
def test_endless_and_empty_text(points: str) -> None:
    at = open_page(PAGE, schedule_b="drawn", points=points)
    assert not at.exception
    assert editor(at)["text"] == STANDARD


def test_after_a_bad_text_the_last_good_drawing_stays() -> None:
    at = open_page(PAGE, schedule_b="drawn")
    at.text_input(key="points").set_value("0.4:0.3,1:0").run()
    at.text_input(key="points").set_value("0.4:up,1:0").run()
    assert editor(at)["text"] == "0.4:0.3,1:0"
    assert "The last one that worked" in at.warning[0].value
    at.text_input(key="points").set_value("0.4:0.2,1:0").run()
    assert not at.warning


@pytest.mark.parametrize(
    "query",
    [
        {"schedule_a": "quadratic"},
        {"schedule_b": "<b>"},
        {"match": "same"},
        {"kept": "3"},
        {"zero_b": "maybe"},
        {"T": "1"},
        {"seed": "-1"},
        {"digit": "11"},
    ],
)
def test_a_hostile_link_gets_a_default_and_a_sentence(query: dict[str, str]) -> None:
    at = open_page(PAGE, **query)
    assert not at.exception
    assert len(at.toast) == 1
    (key,) = query
    assert at.session_state[key] == at.session_state["_page_defaults"][key]


@pytest.mark.parametrize(
    "message",
    [
        None,
        "0.5:0.4,1:0",
        {},
        {"text": 3},
        {"text": "up"},
        {"text": "0.5:nan"},
        {"text": "0.5:0.4," * 100},
        {"text": ["0.5:0.4"]},
    ],
)
def test_what_is_no_drawing_is_ignored(message: object) -> None:
    assert parse_drawing(message) is None


def test_a_drawing_is_taken() -> None:
    assert parse_drawing({"text": "0.5:0.4,1:0", "count": 3}) == "0.5:0.4,1:0"
