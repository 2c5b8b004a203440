"""The page "Why a model?" as a script: every view, links, what a browser may send, its claims."""

from __future__ import annotations

import json
import math
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from diffusion_core.bayes import point_posterior
from diffusion_core.checkpoints import CheckpointError
from diffusion_core.datasets import DataError
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import SCHEDULES
from diffusion_core.true_reverse import best_model_step, divergence, non_gaussianity
from pages.shared import load, reverse_axis, reverse_digits
from pages.shared.reverse_axis import (
    MOST_POINTS,
    SMALLEST,
    STEPS,
    Scene,
    earlier,
    parse_scene,
    read_points,
    write_points,
)
from tests.app.plots import plots
from tests.app.settings import offered, press
from tests.app.test_pages import open_page

START = {"points": [-1.2, -0.8, 0.9], "chosen": 2, "x_t": 0.1, "t": 520, "T": 3}


def sent(at: AppTest) -> dict[str, Any]:
    """What the number line's component was given."""
    (found,) = (
        item.proto for item in at.get("bidi_component") if "reverse" in item.proto.component_name
    )
    (length,) = struct.unpack_from("<I", found.bytes)
    return json.loads(found.bytes[4 : 4 + length])


def played(at: AppTest) -> dict[str, Any]:
    """The header of what the player was given."""
    (found,) = (
        item.proto for item in at.get("bidi_component") if "player" in item.proto.component_name
    )
    (length,) = struct.unpack_from("<I", found.bytes)
    return json.loads(found.bytes[4 : 4 + length])


def repairs(at: AppTest) -> list[str]:
    return [c.value for c in at.caption if "The page" in c.value or "the page" in c.value]


@pytest.fixture
def opened() -> AppTest:
    return open_page("why_a_model")


def test_the_line_gets_the_numbers_of_diffusion_core() -> None:
    at = open_page("why_a_model", wpoints="1, -1 0.5", wi="2", wx="-0.3", wt="700", wT="4",
                   wschedule="linear")  # fmt: skip
    assert not at.exception
    assert not at.toast
    header = sent(at)
    assert header["at"] == {"points": [-1, 0.5, 1], "chosen": 1, "x_t": -0.3, "t": 700, "T": 4}
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    x_t, points = torch.tensor([-0.3]).double(), torch.tensor([-1, 0.5, 1]).double()
    t, s = torch.tensor([700]), torch.tensor([450])
    mixture = point_posterior(diffusion, x_t, points, t, s)
    model = best_model_step(diffusion, x_t, points, t, s)
    known = diffusion.q_posterior(x_t, points[[1]], t, s)
    told = header["told"]
    assert told["true"]["nats"] == pytest.approx(float(non_gaussianity(mixture)), rel=1e-9)
    assert told["model"]["nats"] == pytest.approx(float(divergence(mixture, model)), rel=1e-6)
    assert told["known"]["mean"] == pytest.approx(float(known.mean), abs=1e-7)
    assert told["model"]["mean"] == pytest.approx(told["true"]["mean"], abs=1e-7)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_view_in_all_settings(schedule: str, opened: AppTest) -> None:
    opened.session_state["wschedule"] = schedule
    for view, T, text in (
        ("line", 1000, "0.3"),
        ("line", 2, "-3, 3"),
        ("gauss", 2, "0.3"),
        ("gauss", 1000, "-1 -1 1"),
    ):
        opened.session_state["wview"], opened.session_state["wT"] = view, T
        opened.session_state["wpoints"], opened.session_state["wi"] = text, 1
        opened.run()
        assert not opened.exception, (view, T, text)
        assert not opened.error


@pytest.mark.parametrize("t", [1, 2, 500, 1000])
def test_a_step_onto_the_data_is_no_number(t: int, opened: AppTest) -> None:
    for view in ("line", "gauss"):
        opened.session_state["wview"] = view
        opened.session_state["wt"], opened.session_state["wT"] = t, 2
        opened.run()
        assert not opened.exception
        text = " ".join(c.value for c in opened.caption)
        assert not re.search(r"\b(nan|inf)\b", text)
        assert view == "line" or ("a bell of width 0" in text) == (t < 3)
    opened.session_state["wview"] = "line"
    nats = sent(opened.run())["told"]["true"]["nats"]
    if t < 3:
        assert nats == 0  # next to no noise: one data point has all the weight, and it is a point
    else:
        assert (nats is None) == (t == 500)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no number in it"),
        ("1, two", "“two” is no number"),
        ("nan", "“nan” is no number"),
        ("1e3", "is no number"),
        ("4", "between −3 and 3"),
        ("1 " * 9, "More than 8"),
        ("<script>alert(1)</script>", "is no number"),
        ("٣", "is no number"),
    ],
)
def test_bad_data_get_a_sentence_and_the_default(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        read_points(text)
    if not text:
        return  # an empty parameter is none
    at = open_page("why_a_model", wpoints=text)
    assert not at.exception
    (sentence,) = repairs(at)
    assert says in sentence
    assert sent(at)["at"]["points"] == START["points"]


def test_a_chosen_point_that_is_not_there_is_replaced() -> None:
    at = open_page("why_a_model", wpoints="-1 1", wi="7")
    (sentence,) = repairs(at)
    assert "none has the number 7" in sentence
    assert sent(at)["at"]["chosen"] == 1


@pytest.mark.parametrize(
    "query",
    [
        {"wt": "0"},
        {"wt": "1001"},
        {"wx": "nan"},
        {"wx": "1e400"},
        {"wT": "7"},
        {"wi": "9"},
        {"wview": "everything"},
        {"wschedule": "x" * 5000},
        {"wt": "<script>", "wx": "[](javascript:1)"},
        {"nonsense": "1"},
    ],
)
def test_a_hostile_link_gets_a_default_and_a_sentence(query: dict[str, str]) -> None:
    at = open_page("why_a_model", **query)
    assert not at.exception
    assert sent(at)["at"] == START
    assert len(at.toast) == len(query)


def test_points_as_text() -> None:
    assert read_points(" 1;-1,\n0.123 −0.5 .5 1.") == (-1, -0.5, 0.12, 0.5, 1, 1)
    assert read_points(write_points((-1.2, 0.0, 3.0))) == (-1.2, 0, 3)
    assert math.copysign(1, read_points("-0.001")[0]) == 1


@pytest.mark.parametrize("T", STEPS)
def test_a_step_is_a_share_of_the_way(T: int) -> None:
    assert earlier(1000, T) == 1000 - round(1000 / T)
    assert earlier(1, T) == 0


# --- what a browser may send ----------------------------------------------------------------------


def test_an_honest_scene() -> None:
    message = START | {"points": [-1, 0.504], "chosen": 1.0, "t": 1, "n": 3}
    assert parse_scene(message, 1000) == Scene((-1.0, 0.5), 1, 0.1, 1, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": []}, {"points": [0.0] * (MOST_POINTS + 1)}, {"points": [3.01]},
        {"points": [math.nan]}, {"points": ["1"]}, {"points": [True]}, {"points": "11"},
        {"points": [[1]]}, {"points": None}, {"chosen": 3}, {"chosen": -1}, {"chosen": 0.5},
        {"x_t": math.inf}, {"x_t": None}, {"x_t": -4}, {"t": 0}, {"t": 1001}, {"t": 1.5},
        {"t": 10**400}, {"T": 7}, {"T": [2]}, {"T": "2"},
    ],
)  # fmt: skip
def test_a_dishonest_scene_is_none(wrong: dict[str, object]) -> None:
    assert parse_scene(START | wrong, 1000) is None


@pytest.mark.parametrize("message", [None, 3, "x", [], {}])
def test_no_scene_is_none(message: object) -> None:
    assert parse_scene(message, 1000) is None


# --- digits ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def new() -> reverse_digits.Guesses:
    return reverse_digits.guesses(3, 1, False, "all", 0)


@pytest.fixture(scope="module")
def known() -> reverse_digits.Guesses:
    return reverse_digits.guesses(3, 1, True, "all", 0)


def test_the_exact_guess_memorises_and_the_network_does_not(
    new: reverse_digits.Guesses, known: reverse_digits.Guesses
) -> None:
    """What two Whys and a Try say, for the digit that the page opens with."""
    at = ((new.t >= 100) & (new.t <= 180)).numpy()
    assert at.sum() >= 3
    assert new.numbers["ideal to data"][at].max() < 1e-3
    assert new.numbers["network to data"][at].min() > 0.1
    assert (new.numbers["network to x0"][at] < 0.5 * new.numbers["ideal to x0"][at]).all()
    assert known.numbers["ideal to x0"][at].max() < 1e-3
    assert (known.numbers["ideal to x0"][at] < known.numbers["network to x0"][at]).all()
    assert new.numbers["in play"][0] == pytest.approx(1)
    assert new.numbers["in play"][-1] > 0.5 * new.size


def test_a_new_digit_is_not_among_the_data(
    new: reverse_digits.Guesses, known: reverse_digits.Guesses
) -> None:
    for share in ("all", "tenth"):
        for digit in (0, 9):
            x0, data = reverse_digits.subject(digit, 6, False, share)
            assert not bool((data == x0).flatten(1).all(1).any())
            x0, data = reverse_digits.subject(digit, 6, True, share)
            assert bool((data == x0).flatten(1).all(1).any())
    assert known.size >= new.size


def test_what_is_said_of_many_digits_fits_the_number_beside_it() -> None:
    """Digits of little weight make a mixture, and still count as 1.0 as if equally likely."""
    note = reverse_digits.loss_note(2 * reverse_digits.CLOSE, 1, 0.3)
    assert note == "Other digits have some weight: the exact step is a mixture of Gaussians."


def test_the_draws_are_steps_with_one_noise(known: reverse_digits.Guesses) -> None:
    """Where the exact guess is x_0 itself, the exact draw is the draw with x_0 known."""
    step = reverse_digits.draws(known, 10, 0)
    assert step.s.tolist() == [earlier(int(t), 10) for t in known.t]
    low = known.numbers["ideal to x0"] < 1e-6
    assert low[0]
    torch.testing.assert_close(step.true[low], step.known[low])
    assert step.bound[0] == 0  # one digit has all the weight
    assert step.bound[-1] > 1
    assert not np.isnan(step.bound).any()
    assert reverse_digits.loss_note(step.bound[0], int(step.s[0]), 0.0).endswith("sure, and right.")
    assert "one Gaussian" not in reverse_digits.loss_note(300.0, 1, 0.3)  # a bound says no more
    assert "at most 0.002 nats" in reverse_digits.loss_note(0.002, 1, 0.3)


@pytest.mark.parametrize("wknown", ["new", "one of the data"])
def test_sure_of_a_digit_is_not_right_about_it(wknown: str) -> None:
    """At t = 173 all the weight is on one digit: of the data, and the hidden one if it is there."""
    header = played(open_page("why_a_model", wview="Digits", wknown=wknown))
    frame = next(k for k, text in enumerate(header["captions"]) if text.startswith("t = 173"))
    note = header["notes"][frame]
    assert note.startswith("One digit has all the weight. The exact step is sure, and ")
    assert ("and wrong: its digit is 0." in note) == (wknown == "new")


def test_a_thousand_steps_with_one_x0_lead_to_it(opened: AppTest) -> None:
    """One of them hardly depends on x_0, all in a row do: what the first Why says."""
    diffusion = GaussianDiffusion(SCHEDULES["cosine"](1000))
    ends, first = [], []
    for start in (-1.2, 0.9):
        x, x0 = torch.tensor([0.1]).double(), torch.tensor([start]).double()
        for t in range(520, 0, -1):
            step = diffusion.q_posterior(x, x0, torch.tensor([t]), torch.tensor([t - 1]))
            if t == 520:
                first.append(step)
            x = step.mean
        assert float(step.var) == 0
        ends.append(float(x))
    assert ends == pytest.approx([-1.2, 0.9])
    apart, std = float(first[1].mean - first[0].mean), float(first[0].var.sqrt())
    text = " ".join(m.value for m in opened.markdown)
    assert f"the two centres are {apart:.3f} apart, with std {std:.3f}" in text
    assert 5 * apart < std
    assert "the next 519 push the same way" in text


def test_jumps_run_as_their_slider(opened: AppTest) -> None:
    opened.session_state["wview"] = "gauss"
    low, high = plots(opened.run())[0]["layout"]["xaxis"]["range"]
    assert low > 3 > 1 > high


def test_static_next_to_noise_is_explained_where_it_is(known: reverse_digits.Guesses) -> None:
    """x_0 from a named noise is that noise's error times sigma/a, cut to black and white."""
    said = [reverse_digits.blown_up(*rates) for rates in zip(*reverse_digits.rates_at(known),
                                                             strict=True)]  # fmt: skip
    static = (known.network.abs() == 1).flatten(1).double().mean(1)
    assert [bool(text) for text in said] == [False] * (len(said) - 1) + [True]
    a = SCHEDULES["cosine"](1000).alpha_bar[1000].sqrt()
    assert f"by {float((1 - a**2).sqrt() / a):,.0f}:" in said[-1]
    far = known.numbers["network to x0"]
    assert static[-1] > 0.99
    assert far[-1] > 2 * far[:-1].max()


def test_the_digits_view_shows_nine_pictures(opened: AppTest) -> None:
    opened.session_state["wview"] = "digits"
    opened.run()
    assert not opened.exception
    header = played(opened)
    assert len(header["panels"]) == 9
    assert header["total"] == reverse_digits.MOST_STEPS
    assert header["captions"][0] == "t = 1 · one of T = 3 steps goes to s = 0"
    for wknown, wshare, wT in (("known", "tenth", 2), ("new", "tenth", 1000)):
        opened.session_state["wknown"] = wknown
        opened.session_state["wshare"], opened.session_state["wT"] = wshare, wT
        assert not opened.run().exception
        assert not opened.error


def test_without_the_network_a_sentence_stands_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise CheckpointError("There is no network.")

    monkeypatch.setattr(reverse_digits, "guesses", missing)
    at = open_page("why_a_model", wview="Digits")
    assert not at.exception
    assert "The other two views need no network" in at.error[0].value
    assert any(s.value == "Sources" for s in at.subheader)


def test_without_gallery_and_mnist_there_is_no_such_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    none = torch.zeros(0, 1, 28, 28)
    labels = torch.zeros(0, dtype=torch.uint8)
    empty = reverse_digits.Store(none, labels, none, labels, "digits", "")
    monkeypatch.setattr(reverse_digits, "store", lambda: empty)
    with pytest.raises(DataError, match="no digit 3"):
        reverse_digits.subject(3, 1, False, "all")


def test_data_that_can_not_be_used_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("DIFFUSION_DATA", str(tmp_path / "nowhere"))
    reverse_digits.store.clear()
    held = reverse_digits.store()
    reverse_digits.store.clear()
    assert "doesn't exist" in held.trouble
    assert len(held.data) == len(load.gallery().images)


# --- buttons and claims ---------------------------------------------------------------------------


def test_every_button_shows_a_setting_that_needs_no_repair(opened: AppTest) -> None:
    keys = offered(opened)
    assert len(keys) == 9
    for key in keys:
        press(opened, key)
        assert not opened.exception, key
        assert opened.session_state["_look_at"], key
        assert not repairs(opened), key


def test_the_claims_of_the_prose(opened: AppTest) -> None:
    """The text prints computed numbers; these are the words around them."""
    text = " ".join(m.value for m in opened.markdown)
    near, far = (
        float(v.replace("−", "-"))
        for v in re.search(
            r"centre at ([-−\d.]+), taking 0.9 puts it at ([-−\d.]+\d)", text
        ).groups()  # type: ignore[union-attr]
    )
    assert far - near > 1  # "it matters"
    three, ten, thousand = (
        float(v)
        for v in re.search(
            r"is ([\d.]+) nats from its nearest.*?steps, ([\d.e-]+) with 10 and ([\de.-]+) with",
            text,
        ).groups()  # type: ignore[union-attr]
    )
    assert three > 30 * ten > 1e5 * thousand
    model, true = (
        float(v)
        for v in re.search(r"step has std ([\d.]+), the true one ([\d.]+\d)", text).groups()  # type: ignore[union-attr]
    )
    assert model < 0.5 * true
    assert text.count("page opens with") == 3  # whose numbers they are


@pytest.mark.parametrize("T", STEPS)
def test_where_the_hardest_jump_is(T: int, opened: AppTest) -> None:
    """What the button of the third Why says of the second chart."""
    press(opened, "why_2")
    opened.session_state["wT"] = T
    chart = plots(opened.run())[1]
    line = next(line for line in chart["data"] if "Gaussian" in line["name"])
    t, nats = np.array(line["x"], float), np.array(line["y"], float)
    hardest = int(np.nanargmax(nats))
    assert (hardest == 0) == (T <= 200)
    if T == 1000:
        assert t[hardest] < 100
        assert nats[0] < nats[hardest] / 5


@pytest.mark.parametrize(
    ("points", "x_t", "t", "says"),
    [
        ("-1.2, -0.8, 0.9", 0.1, 1, "nothing to draw"),
        ("-1.2, -0.8, 0.9", 0.1, 20, "nothing to draw"),
        ("-1.2, -0.8, 0.9", 0.9, 50, "nothing to draw"),
        ("-3, 3", 2.9, 100, "nothing to draw"),
        ("0.5", 0.1, 520, "With a single data point"),
        ("-1 -1", 0.1, 520, "With a single data point"),
    ],
)
def test_why_there_is_no_chart(points: str, x_t: float, t: int, says: str) -> None:
    at = open_page("why_a_model", wview="How Gaussian?", wpoints=points, wx=str(x_t), wt=str(t))
    text = " ".join(m.value for m in at.markdown)
    assert says in text
    assert ("single data point the" in text) == ("single" in says)
    (caption,) = (c.value for c in at.caption if "One jump" in c.value)
    assert ("The charts leave out" in caption) == bool(plots(at))
    assert len(plots(at)) == (0 if "single" in says else 1)


@pytest.mark.parametrize(
    ("t", "T", "says"),
    [(520, 3, "333 steps, from t = 520 to s = 187"), (100, 3, "100 steps, from t = 100 to s = 0"),
     (7, 1000, "1 step, from t = 7 to s = 6")],
)  # fmt: skip
def test_the_length_of_a_jump(t: int, T: int, says: str) -> None:
    at = open_page("why_a_model", wview="How Gaussian?", wt=str(t), wT=str(T))
    assert any(f"One jump of {says}:" in c.value for c in at.caption)


def test_page_and_browser_take_the_same_for_rounding(opened: AppTest) -> None:
    assert sent(opened)["smallest"] == SMALLEST
    script = (Path(reverse_axis.__file__).parent / "components" / "reverse_axis.js").read_text()
    assert "nothing = header.smallest" in script
    assert not re.search(r"\b1e-1\d", script)  # no limit of its own
