"""The conventions page as a script: every view, hostile links, and what a reader may paste."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from diffusion_core.convention_tables import GaussianState, gaussian_table
from diffusion_core.published import cosine_on_more_points, published
from pages.shared.schedule_desk import example, finding
from pages.shared.translation import written
from tests.app.settings import offered, press
from tests.app.test_pages import open_page

VIEWS = {"gaussian": "Gaussian", "discrete": "Categories", "guidance": "Guidance"}


def sent(at: AppTest) -> dict[str, Any]:
    """What the table's component was given."""
    (found,) = (
        item.proto
        for item in at.get("bidi_component")
        if "translation" in item.proto.component_name
    )
    return json.loads(found.json)


def alts(at: AppTest) -> list[str]:
    """What a screen reader calls the charts."""
    return [
        json.loads(item.proto.json)["alt"]
        for item in at.get("bidi_component")
        if "diffusion_plot" in item.proto.component_name
    ]


def findings(at: AppTest) -> str:
    return "\n".join(item.proto.body for item in at.get("html") if "<ul class=" in item.proto.body)


def test_the_table_shows_the_cells_and_carries_their_code() -> None:
    at = open_page("conventions", ct="17", cxt="1.5", ceps="-2", cschedule="cosine", cT="100")
    assert not at.exception
    assert not at.toast
    table = gaussian_table(GaussianState("cosine", 100, 17, 1.5, -2.0))
    told = sent(at)
    assert [row["name"] for row in told["rows"]] == list(table.rows)
    for (key, column), shown in zip(table.columns.items(), told["columns"], strict=True):
        for row, cell in enumerate(column.cells):
            assert shown["cells"][row]["value"] == written(cell.value)
            code = told["preamble"] + shown["cells"][row]["code"]
            assert code == table.snippet(key, row)
        assert told["preamble"] + shown["code"] == table.snippet(key)


def test_every_view_offers_each_column_as_code() -> None:
    at = open_page("conventions")
    for view in VIEWS:
        at.session_state["cview"] = view
        at.run()
        assert not at.exception
        for option in at.selectbox(key=f"ccode_{view}").options[:2]:
            at.selectbox(key=f"ccode_{view}").select(option).run()
            names: dict[str, Any] = {}
            exec(at.code[0].value, names)  # the test of what is shown, not of what was meant
            assert len(names["results"]) == len(sent(at)["rows"])


def test_the_numbers_come_from_a_sentence_above_the_table() -> None:
    at = open_page("conventions", cxt="1.5", ceps="-2")
    (about,) = (c.value for c in at.caption if "v-prediction" in c.value)
    assert "x_t = 1.5$" in about
    assert r"\hat\epsilon = -2$" in about
    at.session_state["cview"] = "guidance"
    at.run()
    assert any("ε = 0.7 with the class, 0.2 without" in c.value for c in at.caption)


def test_each_noise_level_says_which_way_it_grows() -> None:
    early, late = (gaussian_table(GaussianState("linear", 1000, t, -0.4, 0.6)) for t in (100, 200))
    row = early.rows.index("Noise level")
    for key, column in early.columns.items():
        grows = late.columns[key].cells[row].value > column.cells[row].value
        assert column.cells[row].symbol.endswith("↑\u00a0noisier" if grows else "↑\u00a0cleaner")


@pytest.mark.parametrize("T", [10, 100])
def test_a_step_beyond_the_last_is_repaired_with_a_sentence(T: int) -> None:
    at = open_page("conventions", ct="700", cT=str(T))
    assert not at.exception
    assert [c.value for c in at.caption if f"the table shows t = {T}" in c.value]
    assert sent(at)["columns"][0]["cells"][0]["value"] == str(T)


@pytest.mark.parametrize(
    "query",
    [
        {"ct": "0"},
        {"ct": "1001"},
        {"cT": "7"},
        {"cxt": "nan"},
        {"ceps": "1e400"},
        {"cschedule": "<script>alert(1)</script>"},
        {"cview": "everything"},
        {"cview": "[](javascript:1)" * 300},
        {"nonsense": "1"},
    ],
)
def test_a_hostile_link_gets_a_default_and_a_sentence(query: dict[str, str]) -> None:
    at = open_page("conventions", **query)
    assert not at.exception
    assert sent(at)["columns"][0]["cells"][0]["value"] == "300"
    assert len(at.toast) == len(query)


@pytest.mark.parametrize("query", [{"ci": "9"}, {"cj": "-1"}, {"cdt": "101"}])
def test_states_that_do_not_exist(query: dict[str, str]) -> None:
    at = open_page("conventions", cview="Categories", **query)
    assert not at.exception
    assert "Q̄ₜ[0, 3]" in str(sent(at)["columns"][0]["cells"])
    assert len(at.toast) == 1


def test_every_button_shows_its_setting() -> None:
    at = open_page("conventions")
    keys = offered(at)
    assert len(keys) == 12
    for key in keys:
        press(at, key)
        assert not at.exception, key
        assert at.session_state["_look_at"], key
    assert "Stable Diffusion" in findings(at)
    at.button(key="reset").click().run()
    assert sent(at)["columns"][0]["cells"][0]["value"] == "300"


def test_the_answers_numbers() -> None:
    told = "\n".join(element.value for element in open_page("conventions").markdown)
    beta = np.linspace(1e-4, 0.02, 1000)
    assert f"at t = 2 it is {beta[0] * beta[1]:.2g}, and 1 − ᾱ is " in told
    assert f"1 − ᾱ is {1 - (1 - beta[0]) * (1 - beta[1]):.2g}." in told
    roots = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    left, straight = (np.prod(1 - b) ** 0.5 for b in (roots, np.linspace(0.00085, 0.012, 1000)))
    assert f"leaves √ᾱ = {left:.3f} of the signal, a straight β √ᾱ = {straight:.3f}." in told


def test_the_cosine_on_more_points_is_the_papers() -> None:
    at = open_page("conventions")
    text = json.dumps(cosine_on_more_points(1000).beta[1:].tolist())
    at.session_state["cview"] = "yours"
    at.run()
    at.text_area(key="cpaste").set_value(text).run()
    assert "Nichol &amp; Dhariwal" in findings(at)


def test_the_first_reading_is_alive_and_a_paste_is_answered() -> None:
    at = open_page("conventions", cview="Your schedule")
    said_of_the_chart = "ᾱ over t, two lines: “yours”, the pasted schedule, and “{}”"
    assert "picked from the 1000" in findings(at)
    assert at.get("download_button")
    assert said_of_the_chart.format("with betas of their own") in alts(at)
    at.text_area(key="cpaste").set_value(example("cosine", 200)).run()
    assert "Nichol &amp; Dhariwal" in findings(at)
    assert "index i is our t = i + 1" in findings(at)
    assert said_of_the_chart.format("the published one") in alts(at)
    rows = next(item.proto.body for item in at.get("html") if "<tbody>" in item.proto.body)
    assert rows.count("<tr>") == 5
    assert "<td>199</td><td>200</td>" in rows
    assert not at.exception


def test_a_paste_is_kept_while_another_view_is_open() -> None:
    at = open_page("conventions", cview="Your schedule")
    told = "a copied link or a lesson shows the example instead"
    assert not any(told in caption.value for caption in at.caption)
    at.text_area(key="cpaste").set_value("0.1, 0.2, 0.3, 0.4").run()
    assert any(told in caption.value for caption in at.caption)
    at.session_state["cview"] = "guidance"
    at.run()
    assert not at.text_area
    at.session_state["cview"] = "yours"
    at.run()
    assert at.text_area(key="cpaste").value == "0.1, 0.2, 0.3, 0.4"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "There is nothing in it"),
        ("[0.1, NaN]", "index 1 is NaN"),
        ("[0.1, '<img src=x onerror=alert(1)>']", "no number: “&#x27;&lt;img"),
        (json.dumps([0.1] * 10_001), "10,000 are the most"),
        (json.dumps(published("linear", 1000).alpha_bar[1:].flip(0).tolist()), "reverse order"),
    ],
    ids=range(5),
)
def test_a_wrong_paste_is_answered_in_a_sentence(text: str, said: str) -> None:
    at = open_page("conventions", cview="Your schedule")
    at.text_area(key="cpaste").set_value(text).run()
    assert not at.exception
    assert said in findings(at)
    assert not at.get("download_button")


def test_what_the_numbers_are_can_be_said() -> None:
    at = open_page("conventions", cview="Your schedule", ckind="alphas_cumprod")
    assert "must fall" in findings(at)
    assert not at.exception


def test_a_finding_holds_what_is_drawn() -> None:
    found = finding(example("linear", picked=50), "auto")
    assert not isinstance(found, str)
    assert found.label == "with betas of their own"
    assert found.alpha_bar.shape == found.other.shape == (51,)
    assert found.other[-1] < 0.01 < found.alpha_bar[-1]
    same = finding(example("scaled_linear"), "betas")
    assert not isinstance(same, str)
    assert abs(same.other - same.alpha_bar).max() < 1e-12


def test_three_things_are_called_sigma() -> None:
    """DDPM's own is the fresh noise of one step: the root of beta at t = 300."""
    beta = 1e-4 + (0.02 - 1e-4) * 299 / 999
    said = " ".join(m.value for m in open_page("conventions").markdown)
    assert f"one step back: {beta**0.5:.2g} at t = 300" in said


def test_score_sde_has_a_sigma_of_each_kind() -> None:
    """VP's noise is a share of 1; VE's is EDM's, and has no limit."""
    said = " ".join(m.value for m in open_page("conventions").markdown)
    assert "In VDM and score-SDE" not in said
    assert "score-SDE's VP process has the same number" in said
    assert "In EDM, and in score-SDE's VE process, σ is the noise for each unit of signal" in said
    at = open_page("notation")
    (guess,) = (pills for pills in at.get("button_group") if pills.options == ["Yes", "No"])
    guess.set_value("No").run()
    assert "as in EDM or in score-SDE's VE process" in " ".join(m.value for m in at.markdown)


def test_whose_process_the_categories_are_is_said() -> None:
    at = open_page("conventions", cview="Categories")
    assert any("D3PM's code for pictures adds no state" in c.value for c in at.caption)
    images = next(c for c in sent(at)["columns"] if c["title"] == "D3PM, images")
    assert images["cells"][2]["value"] == "2"
