"""The view "Errors" of the page "x0 or eps?", and buttons that stop where they say."""

from __future__ import annotations

import re
from functools import cache
from html import unescape
from itertools import combinations

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from diffusion_core import checkpoints
from diffusion_core.datasets import DataError, load_mnist
from diffusion_core.noise_errors import NoiseErrors, noise_errors
from pages.shared import readings as exhibits
from pages.shared import target_averages as averages
from pages.shared import target_tint as tint
from pages.shared.figures import INKS
from tests.app.plots import player_header, plots
from tests.app.settings import offered, press
from tests.app.test_pages import open_page

pytestmark = pytest.mark.skipif(
    not all((checkpoints.PRETRAINED / name).is_dir() for name in tint.LOOKS),
    reason="the shipped networks are not here",
)


def errors(**query: str) -> AppTest:
    at = open_page("x0_vs_eps", xview="Errors", **query)
    assert not at.exception
    assert not at.toast
    return at


@cache
def told(name: str) -> list[NoiseErrors]:
    return averages.measure(checkpoints.load(name)[0])


def html(at: AppTest) -> str:
    return next(node.proto.body for node in at.get("html") if "tints" in node.proto.body)


def words(at: AppTest) -> str:
    return " ".join(node.value for node in [*at.markdown, *at.caption])


def lines(figure: dict) -> dict[str, dict]:
    return {trace["name"]: trace for trace in figure["data"] if trace.get("name")}


# --- tint -----------------------------------------------------------------------------------------


def test_the_steps_to_choose_from_are_called_by_their_gain() -> None:
    assert list(map(tint.gain_name, tint.CHOICES)) == ["1", "64", "321"]
    assert errors(xgain="64").session_state["xgain"] == 990
    assert errors().session_state["xgain"] == tint.EDGE == 998


@pytest.mark.parametrize(("gain", "t"), [("1", 500), ("64", 990), ("321", 998)])
def test_each_picture_says_how_bright_it_is_and_how_that_came(gain: str, t: int) -> None:
    text = unescape(html(errors(xgain=gain))).replace("−", "-")
    pictures = text.split("<figure>")[1:]
    assert len(pictures) == 1 + len(tint.LOOKS)
    means = [float(re.search(r"mean (-?[\d.]+)<br>", one)[1]) for one in pictures]
    assert means[0] == pytest.approx(float(averages.pictures_and_noise()[0].mean()), abs=0.006)
    for name, one, mean in zip(tint.LOOKS, pictures[1:], means[1:], strict=True):
        bias, times, error = map(
            float, re.search(r"([+-]?[\d.]+) × (-?[\d.]+)<br>= ([+-]?[\d.]+)", one).groups()
        )
        measured = told(name)[averages.ASKED.index(t)]
        assert error == pytest.approx(measured.brightness, abs=0.001)
        assert mean - means[0] == pytest.approx(error, abs=0.011)  # two decimals each
        assert bias * times == pytest.approx(error, abs=0.00005 * abs(times) + 0.001)
        if name == "digits-eps":
            assert bias == pytest.approx(measured.bias, abs=0.0001)
            assert abs(times) == pytest.approx(float(gain), rel=0.02)
        else:
            assert abs(times) <= 1
    patches = [int(gray) for gray in re.findall(r"rgb\((\d+) \1 \1\)", text)]
    assert patches == pytest.approx([127.5 * (1 + m / tint.RANGE) for m in means], abs=1.2)
    assert len(set(re.findall(r"base64,([^\"]+)", text))) == len(pictures)


def test_the_lead_is_what_was_measured() -> None:
    edge = told("digits-eps")[averages.ASKED.index(998)]
    said = words(errors())
    assert (
        f"A bias of {edge.bias:.3f} in ε̂, times σ/a = 321, is a picture {-edge.brightness:.2f} "
        "too dark" in said
    )
    assert edge.bias * 321 == pytest.approx(-edge.brightness, rel=0.01)


def test_the_charts_have_signs_bands_and_no_line_twice() -> None:
    shown = plots(errors(xgain="64"))
    for figure, labels in zip(
        shown, (["ε", "x₀", "v"], ["predicts ε", "predicts x₀", "predicts v"]), strict=True
    ):
        drawn = lines(figure)
        assert list(drawn) == labels
        for one, other in combinations(drawn.values(), 2):
            assert not np.allclose(one["y"], other["y"], atol=1e-3, rtol=0)
        assert min(min(trace["y"]) for trace in drawn.values()) < 0
        assert figure["layout"]["yaxis"]["type"] == "linear"
        (mark,) = figure["layout"]["shapes"]
        assert mark["x0"] == pytest.approx(64, rel=0.01)
        bands = [trace for trace in figure["data"] if trace.get("fill") == "toself"]
        for trace, band in zip(drawn.values(), bands, strict=True):
            n = len(trace["y"])
            assert (np.array(band["y"][:n]) >= trace["y"]).all()
            assert (np.array(band["y"][n:][::-1]) <= trace["y"]).all()
        low, high = figure["layout"]["yaxis"]["range"]
        assert low <= min(min(band["y"]) for band in bands)
        assert high >= max(max(band["y"]) for band in bands)


def test_only_the_tint_of_the_network_that_names_noise_is_beyond_chance() -> None:
    """And its own answer is no worse than the others': the factor does it."""
    at = averages.ASKED.index(998)
    for name, look in tint.LOOKS.items():
        one = told(name)[at]
        assert (abs(one.brightness) > 5 * one.spread) == (name == "digits-eps")
        assert abs(one.brightness) < 2 * one.spread or name == "digits-eps"
        times = tint.factor(look.target, (998,))[0]
        assert abs(one.brightness / times) < 0.0035
    # "Within 0.01 of 0; right of σ/a = 1 no more than chance"; left of it it is more.
    gain = averages.gains(averages.ASKED)
    for name in ("digits-x0", "digits-v"):
        off = np.array([abs(one.brightness) for one in told(name)])
        chance = np.array([one.spread for one in told(name)])
        assert off.max() < 0.01
        assert (off < 2 * chance)[gain > 1].all()
        assert (off > 2 * chance)[gain < 1].any()
    assert "stay within 0.01 of 0; right of σ/a = 1 that is no more than chance" in " ".join(
        look for _, look in errors().session_state["_settings_offered"].values()
    )
    # The ends of the answers' chart: many times the bias on the left, and no harm.
    first = told("digits-eps")[0]
    assert first.bias > 10 * told("digits-eps")[at].bias
    assert abs(first.brightness) < 0.0005


def test_what_was_measured_on_test_digits() -> None:
    try:
        pixels = load_mnist("test", download=False).images[: averages.REAL.count]
    except DataError:
        pytest.skip("MNIST is not on this machine")
    x0 = pixels.reshape(-1, 1, 28, 28).float() / 127.5 - 1
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    found = {}
    for name, look in tint.LOOKS.items():
        network = checkpoints.load(name)[0]
        parts = [  # a thousand at once take ten times as long
            list(noise_errors(network.diffusion, network, *part, (1, 998)))
            for part in zip(x0.split(50), eps.split(50), strict=True)
        ]
        means = np.mean(parts, axis=0)  # [2, fields]
        found[name] = first, edge = [NoiseErrors(*row) for row in means]
        times = tint.factor(look.target, (998,))[0]
        own = {"digits-eps": averages.BIAS, "digits-x0": averages.REAL.x0_bias,
               "digits-v": averages.REAL.v_bias}  # fmt: skip
        assert edge.brightness / times == pytest.approx(own[name], abs=0.001)
    first, edge = found["digits-eps"]
    assert edge.brightness == pytest.approx(averages.REAL.tint, abs=0.01)
    assert first.named == pytest.approx(averages.REAL.named, abs=0.006)
    assert first.explained == pytest.approx(averages.REAL.explained, abs=0.006)


# --- which noise ----------------------------------------------------------------------------------


def test_the_law_is_broken_where_the_page_says_so() -> None:
    measured = told("digits-eps")
    gaps = {one.t: abs(one.named - one.explained) for one in measured}
    assert gaps.pop(1) > 0.2
    assert max(gaps.values()) < 0.02
    at = errors(xpart="Which noise?")
    said = f"{measured[0].named:.2f} and {measured[0].explained:.2f} on these digits"
    assert said in words(at)
    (figure,) = plots(at)
    names = [note["text"] for note in figure["layout"]["annotations"]]
    assert "<b>t = 1: 0.77 against 0.54</b>" in names


def test_the_last_steps_share_is_drawn_and_what_is_named_of_it() -> None:
    (figure,) = plots(errors(xpart="Which noise?"))
    drawn = lines(figure)
    share, of_it, named = (
        np.array(drawn[name]["y"]) for name in ("βₜ/(1−ᾱₜ)", "predicted of that", "mean of ε̂²")
    )
    schedule = checkpoints.load("digits-eps")[0].diffusion.schedule
    steps = torch.tensor(averages.ASKED)
    expected = schedule.beta[steps] / (1 - schedule.alpha_bar[steps])
    np.testing.assert_allclose(share, expected, rtol=1e-4)
    assert share[0] == pytest.approx(1)
    # "Hardly seen, but at the two ends".
    middle = (np.array(averages.ASKED) >= 200) & (np.array(averages.ASKED) <= 800)
    assert share[middle].max() < 0.02 < 0.9 < min(share[0], share[-1])
    assert "can hardly be seen in xₜ, but at the two ends" in words(errors())
    np.testing.assert_allclose(of_it, named * share, rtol=1e-4)
    assert figure["layout"]["xaxis"]["type"] == "log"
    gain = ((1 - schedule.alpha_bar) / schedule.alpha_bar).sqrt()[steps]
    np.testing.assert_allclose(drawn["mean of ε̂²"]["x"], gain, rtol=1e-4)


def test_v_has_one_colour() -> None:
    """A player draws what is neutral in the text's colour, and so do the charts."""
    views = [("Rounding", "answer is v"), ("Loss weights", "loss on v"), ("Errors", "predicts v")]
    for view, name in views:
        charts = plots(open_page("x0_vs_eps", xview=view))
        trace = {k: v for chart in charts for k, v in lines(chart).items()}[name]
        assert trace["line"]["color"] == INKS["ink"] == "currentColor"


# --- frames ---------------------------------------------------------------------------------------


def test_errors_grow_evenly_from_frame_to_frame() -> None:
    """So no two of the curves lie on each other until the very end of the axis."""
    steps = np.log(averages.gains(exhibits.SHOWN))
    apart = np.diff(steps)
    assert (apart > 0.2).all()
    assert apart[:-1].max() < 0.75  # from t = 999 to 1000 there is no step between
    equal = np.abs(steps).argmin()
    assert 0.35 < equal / (len(steps) - 1) < 0.65


STOPS = {
    "Why does code go": (exhibits.SHOWN.index(990), "t = 990 · s = 950"),
    "Why is x̂₀ clipped": (24, None),
    "Must ε̂ be recomputed": (9, None),
    "Go to t = 990": (exhibits.SHOWN.index(990), "t = 990 ·"),
    "Clip, and go back one step only": (exhibits.SHOWN.index(960), "t = 960 · s = 959"),
    "Sample without clipping": (24, None),
}


def names_of_buttons(at: AppTest) -> dict[str, str]:
    """What stands before or on each button -> its name."""
    text = "\n".join(node.value for node in at.markdown)
    found = {}
    for name in offered(at):
        place = text.index(f'data-show="{name}"')
        if name.startswith("why"):
            found[text[text.rindex("<summary>", 0, place) :].split("\n\n")[1]] = name
        else:
            found[text[place:].split(">", 1)[1].split("</button>")[0]] = name
    return found


@pytest.mark.parametrize("asked", STOPS)
def test_a_button_goes_where_it_says_and_stays_there(asked: str) -> None:
    at = open_page("x0_vs_eps")
    (name,) = (b for text, b in names_of_buttons(at).items() if text.startswith(asked))
    press(at, name)
    assert not at.exception
    header = player_header(at)
    frame, caption = STOPS[asked]
    assert (header["at"], header["autoplay"], header["hold"]) == (frame, False, False)
    assert header["jump"] > 0
    if caption:
        assert header["captions"][frame].startswith(caption)
    else:  # a run: its last frame but one is the last that has numbers
        assert frame == header["total"] - 2
    # What comes next is the reader's own.
    again = player_header(at.run())
    assert (again["at"], again["autoplay"], again["jump"]) == (None, True, 0)


def test_at_990_both_errors_are_as_the_button_says() -> None:
    at = open_page("x0_vs_eps")
    text = next(node.value for node in at.markdown if "Go to t = 990" in node.value)
    network = checkpoints.load("digits-eps")[0]
    said = exhibits.ask(network, averages.load.gallery_digit(3, 0), 0)
    off = {}
    for frame, t in ((exhibits.SHOWN.index(990), 990), (0, 1)):
        alpha_bar = float(network.diffusion.schedule.alpha_bar[t])
        eps = said.output[frame].double()
        x0 = (said.x_t[frame] - (1 - alpha_bar) ** 0.5 * eps) / alpha_bar**0.5
        pairs = ((x0, said.x0[frame]), (eps, said.eps[frame]))
        off[t] = [float((one - true).square().mean()) ** 0.5 for one, true in pairs]
        assert off[t][0] / off[t][1] == pytest.approx(((1 - alpha_bar) / alpha_bar) ** 0.5)
    assert f"x̂₀ is off by {off[990][0]:.2f} and ε̂ by {off[990][1]:.3f}." in text
    assert f"left end, it is {off[1][0]:.3f} and {off[1][1]:.2f}." in text
    said_late = float(re.search(r"x̂₀ is off by ([\d.]+)", text)[1])
    said_first = float(re.search(r"left end, it is ([\d.]+)", text)[1])
    assert said_late > 10 * said_first


def test_whole_regions_move_where_the_answer_looks() -> None:
    """The borders of the picture are moved beyond white, its middle is not."""
    network = checkpoints.load("digits-eps")[0]
    digit = averages.load.gallery_digit(3, 0)
    moved = exhibits.lens(network, exhibits.ask(network, digit, 0), "jump")["moved"]
    frame = moved[exhibits.SHOWN.index(990)].astype(int)
    far = np.abs(frame - 128) > 100
    assert far[:, :5].mean() > 0.35 < far[:, -5:].mean()
    assert far[10:18, 10:18].mean() < 0.05
