"""Every page as a script: it runs, and hostile links get a default and a sentence."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from diffusion_core.checkpoints import CheckpointError
from diffusion_core.datasets import DataError
from diffusion_core.schedules import SCHEDULES
from pages.gaussian import forward_process
from pages.home import start
from pages.shared import bench, load, pictures
from tests.app.plots import player_header
from tests.app.settings import bound, offered, press

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.stem for path in ROOT.glob("pages/[!s]*/*.py"))
WITHOUT_EXPERIMENTS = {"start", "questions", "model_cards", "notation", "formula_detective"}
SLOW = 60


def open_page(name: str, **query: str) -> AppTest:
    (path,) = ROOT.glob(f"pages/*/{name}.py")
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=SLOW)
    at.query_params.update(query)
    at.switch_page(str(path.relative_to(ROOT)))
    return at.run()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_runs(name: str) -> None:
    at = open_page(name)
    assert not at.exception
    assert not at.error
    assert len(at.title) == 1


@pytest.mark.parametrize("keep", ["sqrt(1 - beta)", "1"])
@pytest.mark.parametrize("T", [10, 100, 1000])
def test_forward_process_in_all_settings(keep: str, T: int) -> None:
    at = open_page("forward_process")
    at.session_state["keep"], at.session_state["T"] = keep, T
    assert not at.run().exception
    # The rates are the right process's: those of a broken chain are others, and it says so.
    sent = b"".join(item.proto.bytes for item in at.get("bidi_component")).decode(errors="ignore")
    assert ("in one jump: signal" in sent) == (keep == "1")
    assert ("how much of each one jump leaves" in sent) == (keep == "1")


def test_what_the_spread_of_a_chain_with_beta_is_said_to_be() -> None:
    """The linear chain of 1000 steps fades, the cosine one drowns; each step by hand."""

    def ends(name: str, T: int) -> float:
        variance = 0.4**2
        for beta in SCHEDULES[name](T).beta[1:].tolist():
            variance = (1 - beta) * variance + beta**2
        return variance**0.5

    told = "\n".join(element.value for element in open_page("forward_process").markdown)
    assert "With the linear schedule in 1000 steps" in told
    assert f"ends near {ends('linear', 1000):.2f} instead of 1" in told
    assert min(ends("cosine", T) for T in (10, 100, 1000)) > 0.99
    assert "as with the cosine schedule, it drowns all the same" in told


def test_the_first_measured_spreads_lie_about_the_formula_and_none_stays_above() -> None:
    """What the prediction's answer says of the chart, by hand, for the controls' first values."""
    digit = load.gallery_digit(3, 0)
    shape, first = digit.shape, forward_process.DEFAULTS
    settings = "linear", 1000, first["fseed"], first["keep"], first["spread"], False
    told = forward_process.noising(digit.tobytes(), shape, *settings)
    kept = np.concatenate([[1], np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))])
    kept = kept[pictures.shown_steps(1000, shape).numpy()]
    spread = float((digit / 127.5 - 1).std())
    formula = np.sqrt(kept * spread**2 + 1 - kept)
    np.testing.assert_allclose(told["formula"], formula, atol=1e-3)
    noise = np.random.default_rng(0).standard_normal((4000, digit.size))
    for k in (20, -1):
        drawn = kept[k] ** 0.5 * (digit.ravel() / 127.5 - 1)
        stds = (drawn + (1 - kept[k]) ** 0.5 * noise).std(1)
        assert told["chance"][k] == pytest.approx(stds.std(), rel=0.06)
    chain, jump = told["deviation"], told["deviation_jump"]
    late = slice(5, None)
    for measured in (chain, jump):
        assert (np.abs(measured - formula)[late] < 2 * told["chance"][late]).all()
    assert (chain > jump)[late].any()
    assert (chain < jump)[late].any()


def test_the_noise_of_another_page_is_not_brought_along() -> None:
    at = open_page("posterior", pview="Picture", seed="77")
    at.switch_page("pages/gaussian/forward_process.py")
    (seed,) = (box for box in at.run().number_input if box.label == "Seed")
    assert seed.value == forward_process.DEFAULTS["fseed"]


@pytest.mark.parametrize("gray", [0, 255])
def test_of_one_gray_everywhere_chance_has_nothing_to_move_at_first(gray: int) -> None:
    picture, first = np.full((28, 28), gray, np.uint8), forward_process.DEFAULTS
    settings = "linear", 1000, first["fseed"], first["keep"], first["spread"], False
    chance = forward_process.noising(picture.tobytes(), picture.shape, *settings)["chance"]
    assert chance[0] == 0
    assert chance[-1] == pytest.approx(1 / np.sqrt(2 * picture.size), rel=0.01)


def test_without_the_factor_the_spread_grows_to_what_is_said() -> None:
    at = open_page("forward_process", keep="1")
    grown = (0.5**2 + float(np.linspace(1e-4, 0.02, 1000).sum())) ** 0.5
    told = "\n".join(element.value for element in at.markdown)
    looks = " ".join(look for _, look in at.session_state["_settings_offered"].values())
    for text in (told, looks):
        assert f"the spread grows to about {grown:.1f}" in text
    assert f"grows to {grown:.1f}" not in told + looks
    assert (told + looks).count(f"to about {grown:.1f}") >= 3
    picture, first = np.tile([64, 191], 392).astype(np.uint8), forward_process.DEFAULTS
    settings = "linear", 1000, first["fseed"], "1", first["spread"], False
    way = forward_process.noising(picture.tobytes(), (28, 28), *settings)
    assert way["contrast"] == pytest.approx(0.5, abs=0.01)
    assert way["deviation"][-1] == pytest.approx(grown, rel=0.1)  # 784 pixels: 2.5 % by chance
    assert "the histogram at ±9" in told
    (histogram,) = player_header(at)["histograms"]
    assert (histogram["lo"], histogram["hi"]) == (-9, 9)


def test_the_start_page_names_the_guess_a_guess_and_it_changes() -> None:
    at = open_page("start")
    header = player_header(at)
    titles = [panel["title"].partition(": ")[2] for panel in header["panels"]]
    assert titles == ["the picture so far", "its guess of the digit", "its guess of the noise"]
    assert header["captions"][0] == "noise level t = 1000 of 1000 · step 0 of 50"
    told = "\n".join(element.value for element in at.markdown)
    way = [told.index(f'<a href="{page}" target="_self">') for page in start.FIRST]
    assert way == sorted(way)
    assert "early guess x̂₀ is a blurred average, and it changes" in told
    denoiser, _ = load.load("digits-eps")
    first = bench.Start("each", start.STEPS, start.SEED)
    shots = [shots[0] for shots in bench.run(denoiser, first, [bench.Rule()])]
    early, last = shots[1].x0 / 127.5 - 1, shots[-1].x0 / 127.5 - 1
    assert np.sqrt(np.square(early - last).mean()) > 0.3
    assert (np.abs(early) < 0.9).mean() > 2 * (np.abs(last) < 0.9).mean()  # gray is blur
    assert not bench.Rule().draws


@pytest.mark.parametrize("spread", ["sqrt(beta)", "beta"])
def test_only_a_whole_chain_is_said_to_end_in_noise(spread: str) -> None:
    at = open_page("forward_process")
    at.session_state["spread"] = spread
    ends = player_header(at.run())["ends"]
    assert ends == ["t = 0: the picture", "t = 1000: noise" if "sqrt" in spread else "t = 1000"]


def test_of_a_colour_picture_fewer_steps_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    all_of = pictures.shown_steps
    monkeypatch.setattr(pictures, "shown_steps", lambda T, shape: all_of(T, (*shape, 3)))
    at = open_page("forward_process", T="100", fseed="7135")  # kept for no other test
    assert any("One step in 2 is shown." in c.value for c in at.caption)


def test_how_many_steps_are_shown_is_said() -> None:
    at = open_page("forward_process")
    assert any("One step in 10 is shown." in c.value for c in at.caption)
    at.session_state["T"] = 100
    assert not any("is shown" in c.value for c in at.run().caption)


@pytest.mark.parametrize(("pixels", "share"), [("−1 … 1", 1.0), ("0 … 1", 0.5)])
def test_the_forward_process_says_where_the_picture_drowns(pixels: str, share: float) -> None:
    at = open_page("forward_process", pixels=pixels)
    assert not at.exception
    told = "\n".join(element.value for element in at.markdown)
    spread = share * float((load.gallery_digit(3, 0) / 127.5 - 1).std())
    kept = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    drowned = 1 + int(np.argmax(spread**2 * kept < 1 - kept))
    assert f"have the spread {spread:.2f}, not 1. So" in told
    crossing = f"the curves √ᾱ and √(1−ᾱ) cross at t = {1 + int(np.argmax(kept < 0.5))}."
    assert f"than it adds of noise from t = {drowned} on already; {crossing}" in told
    instead = f"from t = {drowned} on instead" if share < 1 else f"on instead of {drowned}."
    assert instead in told  # the answer's numbers, whatever is set
    assert f"log 4 = {np.log(4):.2f} nats" in told


def test_a_picture_of_spread_1_drowns_where_the_curves_cross(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    halves = np.repeat(np.array([0, 255], np.uint8), 392).reshape(28, 28)
    picture = pictures.Picture(halves, "black above white")
    monkeypatch.setattr(forward_process, "choose_picture", lambda: picture)
    monkeypatch.setattr(pictures, "choose_picture", lambda: picture)
    told = "\n".join(element.value for element in open_page("forward_process").markdown)
    cross = 1 + int(np.argmax(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)) < 0.5))
    assert "have the spread 1.00. So one jump" in told
    assert f"noise from t = {cross} on; the curves √ᾱ and √(1−ᾱ) cross at t = {cross}." in told


@pytest.mark.parametrize("digit", ["each", "any", "7"])
def test_reverse_sampling_in_all_settings(digit: str) -> None:
    at = open_page("reverse_sampling")
    for key, value in {
        "class": digit, "steps": 5, "eta": 1.0, "noise": 0.5, "variance": "beta",
        "clip": False, "compare": True, "eta_b": 0.3, "clip_b": False,
    }.items():  # fmt: skip
        at.session_state[key] = value
    assert not at.run().exception


def test_each_experiment_sets_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    at = open_page("reverse_sampling")
    press(at, "try_0")
    assert at.session_state["steps"] == 5
    press(at, "try_2")
    assert at.session_state["steps"] == 50  # the experiment before is undone
    assert at.session_state["class"] == "any"
    assert not at.exception


@pytest.mark.parametrize("name", PAGES)
def test_every_why_and_try_shows_its_setting_and_says_what_to_look_at(name: str) -> None:
    at = open_page(name)
    keys = offered(at)
    if not keys:
        assert name in WITHOUT_EXPERIMENTS
        return
    assert len(keys) >= 5
    for key in keys:
        press(at, key)
        assert not at.exception, key
        assert at.session_state["_look_at"], key
        assert any(at.session_state["_look_at"] in m.value for m in at.markdown)
    at.button(key="look_done").click().run()
    assert not at.session_state["_look_at"]


@pytest.mark.parametrize("name", PAGES)
def test_the_link_of_a_why_or_try_opens_its_setting(name: str) -> None:
    """Pressed on a fresh page, where controls of other views have never been drawn."""
    for key in offered(open_page(name)):
        at = press(open_page(name), key)
        opened = open_page(name, **at.query_params)
        assert bound(opened) == bound(at), key


def test_other_noise_is_another_seed() -> None:
    at = open_page("reverse_sampling")
    button = next(b for b in at.button if b.label == "Other noise")
    button.click().run()
    assert at.session_state["seed"] == bench.SEED + 1
    assert not at.exception


@pytest.mark.parametrize(
    "query",
    [
        {"steps": "7"},
        {"steps": "-1"},
        {"eta": "nan"},
        {"eta": "1e400"},
        {"seed": "999999999999999999999"},
        {"seed": "9" * 400},
        {"seed": "Infinity"},
        {"seed": "1e400"},
        {"seed": "-" + "9" * 400, "eta": "1" + "0" * 400},
        {"seed": "<script>alert(1)</script>"},
        {"class": "eleven"},
        {"class": "'; drop table digits"},
        {"nonsense": "1"},
        {"steps": "x" * 5000, "eta": "[](javascript:1)"},
    ],
)
def test_a_hostile_link_gets_a_default_and_a_sentence(query: dict[str, str]) -> None:
    at = open_page("reverse_sampling", **query)
    assert not at.exception
    assert at.session_state["steps"] == 50
    assert at.session_state["eta"] == 0.0
    assert at.session_state["seed"] == bench.SEED
    assert at.session_state["class"] == "each"
    assert len(at.toast) == len(query)
    assert all("The link asks for" in toast.value for toast in at.toast)
    assert not at.run().toast  # said once


@pytest.mark.parametrize(
    "query", [{}, {"steps": "20"}, {"eta": "0.5", "seed": "12"}, {"class": "7"}]
)
def test_a_good_link_is_followed_without_a_word(query: dict[str, str]) -> None:
    at = open_page("reverse_sampling", **query)
    assert not at.exception
    assert not at.toast
    for key, value in query.items():
        assert str(at.session_state[key]) == value


@pytest.mark.parametrize("name", ["start", "reverse_sampling"])
def test_a_missing_network_is_explained_and_a_way_out_offered(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise CheckpointError("The network is not here.")

    load.network.clear()
    monkeypatch.setattr(load, "load", missing)
    at = open_page(name)
    assert not at.exception
    assert [error.value for error in at.error] == ["The network is not here."]
    monkeypatch.undo()
    assert not open_page(name).error  # the failure was not remembered


def test_without_the_gallery_the_forward_process_still_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> None:
        raise DataError("The gallery is not here.")

    load.gallery.clear()
    monkeypatch.setattr(load.datasets, "load_gallery", missing)
    assert not open_page("forward_process").exception
    load.gallery.clear()
