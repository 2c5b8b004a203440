"""Every page as a script: it runs, and hostile links get a default and a sentence."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from diffusion_core.checkpoints import CheckpointError
from diffusion_core.datasets import DataError
from diffusion_core.schedules import SCHEDULES
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


@pytest.mark.parametrize("spread", ["sqrt(beta)", "beta"])
def test_only_a_whole_chain_is_said_to_end_in_noise(spread: str) -> None:
    at = open_page("forward_process")
    at.session_state["spread"] = spread
    ends = player_header(at.run())["ends"]
    assert ends == ["t = 0: the picture", "t = 1000: noise" if "sqrt" in spread else "t = 1000"]


def test_of_a_colour_picture_fewer_steps_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    all_of = pictures.shown_steps
    monkeypatch.setattr(pictures, "shown_steps", lambda T, shape: all_of(T, (*shape, 3)))
    at = open_page("forward_process", T="100", seed="7135")  # kept for no other test
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
    assert f"have the spread {spread:.2f}: from t = {drowned} on, one jump" in told
    instead = f"from t = {drowned} on instead" if share < 1 else f"on instead of {drowned}."
    assert instead in told  # the answer's numbers, whatever is set
    assert f"log 4 = {np.log(4):.2f} nats" in told


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
