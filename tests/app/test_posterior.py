"""The posterior page as a script: every view and setting, links, and what a browser may send."""

from __future__ import annotations

import json
import math
import re
import struct
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import SCHEDULES
from pages.shared import load
from pages.shared.bayes_axis import Point, parse_point
from pages.shared.figures import Line, line_chart
from tests.app.plots import plots
from tests.app.settings import offered, press
from tests.app.test_pages import open_page

VIEWS = ("line", "weights", "variance", "picture")
START = {"pt": 300, "ps": 200, "px0": 0.8, "pxt": -0.4}


def sent(at: AppTest) -> tuple[dict[str, Any], np.ndarray]:
    """What the number line's component was given: its header and the table of alpha_bar."""
    (found,) = (
        item.proto for item in at.get("bidi_component") if "bayes" in item.proto.component_name
    )
    (length,) = struct.unpack_from("<I", found.bytes)
    header = json.loads(found.bytes[4 : 4 + length])
    return header, np.frombuffer(found.bytes[4 + length :], "<f8")


def repairs(at: AppTest) -> list[str]:
    return [caption.value for caption in at.caption if "the page uses" in caption.value]


@pytest.mark.parametrize("T", [10, 100, 1000])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_view_in_all_settings(schedule: str, T: int) -> None:
    at = open_page("posterior")
    assert len(at.title) == 1
    at.session_state["schedule_p"], at.session_state["T"] = schedule, T
    for view in VIEWS:
        at.session_state["pview"] = view
        at.run()
        assert not at.exception
        assert not at.error


@pytest.mark.parametrize("back", ["one", "half", "all"])
@pytest.mark.parametrize("view", ["weights", "variance", "picture"])
def test_every_way_back(view: str, back: str) -> None:
    at = open_page("posterior")
    key = "pfar" if view == "picture" else "pback"
    for v in (0.0, 1.0) if view == "variance" else (0.0,):
        at.session_state["pview"], at.session_state[key] = view, back
        at.session_state["pv"] = v
        assert not at.run().exception


def test_the_line_gets_the_numbers_of_q_posterior() -> None:
    import torch

    at = open_page("posterior", px0="-1.5", pxt="2", pt="40", ps="10", schedule_p="cosine")
    header, table = sent(at)
    schedule = SCHEDULES["cosine"](1000)
    np.testing.assert_array_equal(table, schedule.alpha_bar.numpy())
    assert header["at"] == {"x0": -1.5, "xt": 2.0, "t": 40, "s": 10}
    closed = GaussianDiffusion(schedule).q_posterior(
        torch.tensor([2.0]).double(), torch.tensor([-1.5]).double(),
        torch.tensor([40]), torch.tensor([10]),
    )  # fmt: skip
    for told in (header["closed"], header["summed"]):
        assert told["mean"] == pytest.approx(float(closed.mean), abs=1e-12)
        assert told["std"] == pytest.approx(float(closed.var.sqrt()), rel=1e-9)
    assert header["closed"]["logArea"] == pytest.approx(header["summed"]["logArea"], abs=1e-9)
    assert header["residual"] < 1e-10
    assert not at.toast


@pytest.mark.parametrize(
    ("query", "t", "s"),
    [
        ({"pt": "5", "ps": "7"}, 5, 4),
        ({"pt": "5", "ps": "5"}, 5, 4),
        ({"pt": "1", "ps": "999"}, 1, 0),
        ({"T": "10", "pt": "700", "ps": "3"}, 10, 3),
        ({"T": "10", "pt": "700", "ps": "600"}, 10, 9),
    ],
)
def test_s_after_t_is_repaired_with_a_sentence(query: dict[str, str], t: int, s: int) -> None:
    at = open_page("posterior", **query)
    assert not at.exception
    (sentence,) = repairs(at)
    assert f"t = {t} and s = {s}." in sentence
    header, _ = sent(at)
    assert (header["at"]["t"], header["at"]["s"]) == (t, s)


@pytest.mark.parametrize(
    "query",
    [
        {"pt": "0"},
        {"pt": "-3"},
        {"ps": "1000"},
        {"px0": "nan"},
        {"pxt": "1e400"},
        {"px0": "3.1"},
        {"pt": "<script>alert(1)</script>"},
        {"pview": "everything"},
        {"pv": "2"},
        {"pback": "never"},
        {"schedule_p": "x" * 5000},
        {"pmix": "perhaps", "px0": "[](javascript:1)"},
        {"nonsense": "1"},
    ],
)
def test_a_hostile_link_gets_a_default_and_a_sentence(query: dict[str, str]) -> None:
    at = open_page("posterior", **query)
    assert not at.exception
    header, _ = sent(at)
    assert header["at"] == {"x0": 0.8, "xt": -0.4, "t": 300, "s": 200}
    shown = {"pv", "pback"} & set(query)  # asked of a control that another view has
    assert len(at.toast) == len(query) - len(shown)
    assert not at.run().toast


def test_every_button_shows_a_setting_that_needs_no_repair() -> None:
    at = open_page("posterior")
    keys = offered(at)
    assert len(keys) == 8
    for key in keys:
        press(at, key)
        assert not at.exception
        assert not repairs(at)


def test_an_experiment_undoes_the_one_before() -> None:
    at = open_page("posterior")
    press(at, "why_0")
    assert at.session_state["pmix"]
    press(at, "try_0")
    assert not at.session_state["pmix"]
    assert (at.session_state["pt"], at.session_state["ps"]) == (300, 299)


def test_the_claims_of_the_prose_are_the_defaults_numbers() -> None:
    """The text prints computed numbers; these are the words around them."""
    at = open_page("posterior")
    text = " ".join(m.value for m in at.markdown)
    far, near = (float(v) for v in re.findall(r"(?:s = 100 it is|s = 299, it is) ([\d.]+\d)", text))
    assert far > 2 > near
    unequal = re.search(r"likelier start, (\d+)% to (\d+)%", text)
    assert unequal
    assert int(unequal[1]) > int(unequal[2])


def over_forward(schedule: str, v: float, T: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Best variance and β̃ as shares of β, [T], from the schedule's table alone."""
    kept = SCHEDULES[schedule](T).alpha_bar.numpy()
    before, after = kept[:-1], kept[1:]
    beta = 1 - after / before
    share = (1 - before) / (1 - after)
    clean = v * (1 - after) / (v * after + 1 - after)  # variance of x₀ given xₜ
    return share + (np.sqrt(before) * beta / (1 - after)) ** 2 * clean / beta, share


def test_numbers_are_said_with_the_schedule_they_are_of() -> None:
    """Of the four schedules and three T that can be chosen, the prose's numbers fit one."""
    at = open_page("posterior")
    whys = next(m.value for m in at.markdown if "one step back, to s" in m.value)
    for answer in re.findall(r"<summary>.*?</details>", whys, re.S) or [whys]:
        numbers = re.search(r"s = 299, it is|from t = \d+ on\. With few|s = 200, they are", answer)
        assert not numbers or "linear schedule" in answer, answer[:80]
    assert "With the linear schedule and T = 1000, from t = 300 to s = 100 it is 5.7" in whys
    assert "distance is still 13.6" in whys
    assert "and T = 1000, at t = 300, s = 200, they are 0.536 and 0.438" in whys
    rates = SCHEDULES["log_snr_linear"](1000).alpha_bar.numpy()[299:301]
    beta = 1 - rates[1] / rates[0]
    std = math.sqrt(beta * (1 - rates[0]) / (1 - rates[1]))
    apart = 2 * math.sqrt(rates[0]) * beta / (1 - rates[1]) / std
    assert f"{apart:.1f}" == "13.6"


def test_until_where_the_choice_of_a_variance_matters() -> None:
    at = open_page("posterior", pview="β or β̃?")
    text = " ".join(m.value for m in at.markdown)
    said = re.search(r"within a hundredth of β of each other from t = (\d+) on", text)
    assert said
    best, share = over_forward("linear", 0.25)
    assert ((1 - share > 0.01) == (np.arange(1, 1001) < int(said[1]))).all()
    assert f"v = 0.25, that is β to within {1 - best.min():.1%} at every t with these" in text
    few, _ = over_forward("linear", 0.25, T=10)
    assert 0.5 < few.min() < 0.7
    assert f"with ten steps the best falls to {few.min():.0%} of β" in text
    since = 2 + int(np.flatnonzero(best - share > 0.01)[-1])
    assert any(f"From t = {since} on the two differ" in c.value for c in at.caption)
    digit = load.gallery_digit(3, 0) / 127.5 - 1
    assert f"{float(digit.var()):.2f}" == "0.25"
    some, share = over_forward("linear", 0.01)
    press(at, "why_1")
    told = f"At t = 2 β̃ is {share[1]:.0%} of β, and the best {some[1]:.0%}."
    assert any(told in m.value for m in at.markdown)
    assert (some > share).all()
    assert not at.toast


@pytest.mark.parametrize("T", [10, 1000])
def test_only_of_a_thousand_steps_one_is_said_to_change_too_little(T: int) -> None:
    """It is seen where its noise has a hundredth of the range of grays, 2, as its deviation."""
    at = open_page("posterior", pview="Picture", T=str(T))
    text = " ".join(m.value for m in at.markdown)
    assert "at t = 1 it is 0 and the std too" in text
    kept = SCHEDULES["linear"](T).alpha_bar.numpy()
    unseen = np.sqrt(1 - kept[1:] / kept[:-1]).mean() < 0.1
    assert ("one step back would change too little to see" in text) == unseen


@pytest.mark.parametrize("v", [0.0, 0.0001, 0.25, 1.0])
def test_the_best_variance_is_0_at_t_1_for_a_point_only(v: float) -> None:
    best, _ = over_forward("linear", v)
    assert (best[0] == 0) == (v == 0)
    text = " ".join(m.value for m in open_page("posterior").markdown)
    assert "is not 0 at t = 1, unless v is." in text


def test_a_link_to_the_variance_that_was_offered_before_opens_the_one_instead() -> None:
    at = open_page("posterior", pview="β or β̃?", pv="0.3")
    assert not at.toast
    assert at.session_state["pv"] == 0.25


def test_who_forgets_x0_sees_it_at_one_of_the_values_it_may_have_had() -> None:
    at = open_page("posterior")
    at.toggle(key="pmix").set_value(True).run()
    assert sent(at)[0]["at"]["x0"] == 1.0
    at = open_page("posterior", pmix="true", px0="-1")
    at.toggle(key="pmix").set_value(False).run()
    at.toggle(key="pmix").set_value(True).run()
    assert sent(at)[0]["at"]["x0"] == -1.0


def test_skipped_steps_of_a_ddpm_are_this_posterior() -> None:
    """What is said of DDIM: η = 1 steps with q(xₛ|xₜ, x₀), η = 0 without noise."""
    kept = SCHEDULES["linear"](1000).alpha_bar.tolist()
    at_t, at_s = kept[900], kept[300]
    eta_one = (1 - at_s) / (1 - at_t) * (1 - at_t / at_s)  # Song et al., eq. 16, squared
    told, _ = sent(open_page("posterior", pt="900", ps="300"))
    assert told["closed"]["std"] == pytest.approx(math.sqrt(eta_one), rel=1e-9)
    text = " ".join(m.value for m in open_page("posterior").markdown)
    assert "DDIM with η = 1 is the same" in text
    assert "DDIM with η = 0 skips steps, too, but adds no noise" in text


@pytest.mark.parametrize(
    ("back", "name"),
    [("one", "β"), ("half", "noise from s to t"), ("all", "noise from s to t")],
)
def test_the_forward_noise_has_one_name_in_both_charts(back: str, name: str) -> None:
    at = open_page("posterior")
    at.session_state["pview"], at.session_state["pback"] = "variance", back
    names = [line["name"] for line in plots(at.run())[0]["data"]]
    assert f"{name}, right for v = 1" in names
    at.session_state["pview"] = "weights"
    assert name in [line["name"] for line in plots(at.run())[1]["data"]]


def test_another_T_keeps_the_places() -> None:
    at = open_page("posterior")
    at.select_slider(key="T").set_value(10).run()
    assert (at.session_state["pt"], at.session_state["ps"]) == (3, 2)
    assert not repairs(at)
    at.select_slider(key="T").set_value(1000).run()
    assert (at.session_state["pt"], at.session_state["ps"]) == (300, 200)
    assert not at.exception


# --- what a browser may send ----------------------------------------------------------------------


def test_an_honest_point() -> None:
    message = {"x0": 0.804, "xt": -3, "t": 10.0, "s": 0, "n": 1}
    assert parse_point(message, 10) == Point(0.8, -3.0, 10, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"x0": math.nan}, {"x0": math.inf}, {"x0": "1"}, {"x0": None}, {"x0": True}, {"x0": 3.01},
        {"x0": 10**400}, {"xt": -4}, {"t": 11}, {"t": 5}, {"s": -1}, {"s": 6}, {"s": 0.5},
        {"t": [7]}, {"t": 10**400},
    ],
)  # fmt: skip
def test_a_dishonest_point_is_none(wrong: dict[str, object]) -> None:
    assert parse_point({"x0": 0.5, "xt": 0.5, "t": 6, "s": 5} | wrong, 10) is None


@pytest.mark.parametrize("message", [None, 3, "x", [], {}])
def test_no_point_is_none(message: object) -> None:
    assert parse_point(message, 10) is None


# --- charts ---------------------------------------------------------------------------------------


def test_a_logarithmic_chart_leaves_out_what_it_cannot_show() -> None:
    x = np.array([1.0, 2.0, 4.0])
    lines = [Line("one", x, np.array([0.0, 0.1, 0.2]), "q", 0), Line("two", x, x, "p", 2)]
    figure = line_chart(lines, x_title="t", y_title="v", log_x=True, log_y=True)
    assert np.isnan(figure["data"][0]["y"][0])
    names = [note["text"] for note in figure["layout"]["annotations"]]
    assert names == ["<b>two</b>"]  # a name can't stand where its line isn't
    assert figure["layout"]["annotations"][0]["x"] == pytest.approx(math.log10(4))
    assert not figure["layout"]["showlegend"]
