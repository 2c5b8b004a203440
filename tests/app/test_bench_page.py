"""The page on reverse sampling as a script: settings, links, menus, and what stands in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from diffusion_core import quality
from diffusion_core.checkpoints import CheckpointError
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.samplers import SAMPLERS
from diffusion_core.schedules import SCHEDULES
from pages.shared import bench, load, quality_exhibit
from tests.app.test_pages import open_page

PAGE = "reverse_sampling"
QUICK = {"steps": "2"}


def words(at: AppTest) -> str:
    return "\n".join(e.value for kind in (at.caption, at.markdown) for e in kind)


def test_every_sampler_on_either_side_with_every_mistake_and_the_numbers() -> None:
    at = open_page(PAGE, steps="2", compare="true", numbers="all steps")
    for one, other in zip(SAMPLERS, reversed(SAMPLERS), strict=True):
        for key, value in {
            "sampler": one, "sampler_b": other, "eta": 0.5, "variance": "beta", "noise": 0.5,
            "clip": False, "rederive_b": False, "early_b": True, "at_end": True,
        }.items():  # fmt: skip
            at.session_state[key] = value
        at.run()
        assert not at.exception
        assert not at.error
    assert "Farthest that a step has landed" in words(at)
    assert len(at.get("download_button")) == 5


def test_the_numbers_of_one_step_and_the_moves() -> None:
    at = open_page(PAGE, steps="1", numbers="this step", moves="true", sampler="DDPM")
    assert not at.exception
    assert not at.toast
    html = "".join(element.proto.body for element in at.get("html"))
    assert "off Euler" in html
    assert "nan" not in html.lower()
    assert "Asked 1 time for each picture" in words(at)


@pytest.mark.parametrize(
    "query",
    [
        {"steps": "2000", "T": "1", "seed": "-1", "class": "11", "sampler": "euler"},
        {"network": "../../etc/passwd", "numbers": "NaN", "variance": "none", "seed": "1e9"},
        {"eta_b": "7", "noise": "inf", "fresh": "two", "early": "1", "guidance": "3"},
    ],
    ids=["bad values", "bad names", "outdated"],
)
def test_a_hostile_or_outdated_link_gets_defaults_and_sentences(query: dict[str, str]) -> None:
    at = open_page(PAGE, **query)
    assert not at.exception
    assert len(at.toast) == len(query) - ("eta_b" in query)  # its control isn't drawn
    assert all("The link asks for" in toast.value for toast in at.toast)
    defaults = {
        "steps": 50, "seed": bench.SEED, "class": "each", "sampler": "ddim",
        "network": "digits-eps", "numbers": "hidden", "variance": "posterior", "noise": 1.0,
        "early": False,
    }  # fmt: skip
    for key, value in defaults.items():
        assert at.session_state[key] == value


@pytest.mark.parametrize("T", [1, 10])
def test_more_steps_than_the_network_has_are_cut_with_a_sentence(
    T: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser, card = load.network("digits-eps")
    short = replace(denoiser, diffusion=GaussianDiffusion(SCHEDULES["cosine"](T)))
    monkeypatch.setattr(load, "network_or_stop", lambda name: (short, card))
    at = open_page(PAGE, sampler="DPM-Solver++ 2M")
    assert not at.exception
    assert [w.value for w in at.warning] == [
        f"50 steps are more than this network's T = {T}; {T} are made."
    ]


def test_a_network_that_fails_is_replaced_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = load.network
    card = real("digits-eps")[1]
    two = replace(card, fields=card.fields | {"two": True})  # the network that fails has it

    def broken(name: str) -> object:
        if name != "digits-eps":
            raise CheckpointError("The weights of 'digits-v' are missing.")
        return real(name)

    # The page imports both names anew on every run.
    monkeypatch.setattr(quality, "denoisers", lambda: ["digits-eps", "digits-v"])
    monkeypatch.setattr(quality, "predicts_variance", lambda card: "two" in card)
    monkeypatch.setattr(load, "network", broken)
    monkeypatch.setattr("diffusion_core.checkpoints.read_card", lambda name: two)
    at = open_page(PAGE, network="digits-v", variance="learned", sampler="DDPM", **QUICK)
    assert not at.exception
    assert {w.value for w in at.warning} == {
        "The weights of 'digits-v' are missing. digits-eps is used."
    }


def test_without_a_learned_variance_the_choice_falls_back_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A link from a place where such a network ships, opened beside one that has none."""
    monkeypatch.setattr(quality, "denoisers", lambda: ["digits-eps", "digits-iddpm"])
    monkeypatch.setattr(quality, "predicts_variance", lambda card: card["name"] == "digits-iddpm")
    card = load.network("digits-eps")[1]
    monkeypatch.setattr(
        "diffusion_core.checkpoints.read_card",
        lambda name: replace(card, fields=card.fields | {"name": name}),
    )
    at = open_page(PAGE, variance="learned", sampler="DDPM", **QUICK)
    assert not at.exception
    assert "digits-eps predicts no variance; β̃ is used." in words(at)
    assert "learn about a variance" in words(at)


def test_without_measurements_the_page_says_which_command_makes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise CheckpointError(f"run `python -m diffusion_core.quality {name}`.")

    quality_exhibit.record.clear()
    monkeypatch.setattr(quality, "read", missing)
    at = open_page(PAGE, **QUICK)
    assert not at.exception
    assert any("diffusion_core.quality digits-eps" in info.value for info in at.info)


def test_one_point_is_measured_live_and_labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_exhibit, "LIVE_COUNT", 4)
    card = load.network("digits-eps")[1]
    point = quality.Point("ddim", "posterior", 2, 2, 0.9, 50.0)
    record = quality.Quality(card.name, card.fields["sha256"], "", 500, 0, 30.0, 0.99, (point,))
    quality_exhibit.record.clear()
    monkeypatch.setattr(quality, "read", lambda name: record)
    at = open_page(PAGE, **QUICK)
    at.button(key="quality_live").click().run()
    assert not at.exception
    assert "Live, 4 digits only" in words(at)
    quality_exhibit.record.clear()


def test_the_toy_says_why_ddim_does_not_collapse() -> None:
    """Variance 0.5, a thousand linear steps, by hand: x -> m x, and fresh noise where there is."""
    alpha_bar = SCHEDULES["linear"](1000).alpha_bar.tolist()
    ends = {}
    for name, eta, scale in (("silent", 1, 0), ("ddpm", 1, 1), ("ddim", 0, 1)):
        variance = 1.0
        for t in range(1000, 0, -1):
            now, then = alpha_bar[t], alpha_bar[t - 1]
            x0 = now**0.5 * 0.5 / (now * 0.5 + 1 - now)
            eps = (1 - now**0.5 * x0) / (1 - now) ** 0.5
            fresh = eta * (1 - then) / (1 - now) * (1 - now / then)
            kept = then**0.5 * x0 + (1 - then - fresh) ** 0.5 * eps
            variance = kept**2 * variance + scale * fresh
        ends[name] = variance
    said = " ".join(m.value for m in open_page("reverse_sampling").markdown)
    assert f"end with variance {ends['silent']:.0e}, with it {ends['ddpm']:.3f}." in said
    assert f"ends with {ends['ddim']:.3f}:" in said


def test_only_the_run_that_is_eulers_is_called_so() -> None:
    at = open_page(
        "reverse_sampling", compare="true", eta_b="0", rederive_b="false", steps="10",
        numbers="all steps",
    )  # fmt: skip
    said = [c.value for c in at.caption if "Farthest that a step" in c.value]
    assert said
    assert "For DDIM that is rounding" in said[0]
    assert "Where ε̂ is kept" in said[0]
    plain = open_page("reverse_sampling", steps="10", numbers="all steps")
    told = [c.value for c in plain.caption if "Farthest that a step" in c.value]
    assert "Where ε̂ is kept" not in told[0]


def test_every_control_behind_more_says_what_it_does() -> None:
    at = open_page(PAGE, compare="true", **QUICK)
    (more,) = (e for e in at.expander if e.label.startswith("More"))
    kinds = ("selectbox", "number_input", "toggle", "slider", "button_group")
    unexplained = [
        control.label for kind in kinds for control in more.get(kind)
        if not control.proto.help and not control.label.startswith(("Sampler", "η"))
    ]  # fmt: skip
    assert not unexplained
    assert sum(len(more.get(kind)) for kind in kinds) >= 20


def test_before_the_player_has_told_where_it_is_the_table_is_of_the_first_step() -> None:
    at = open_page(PAGE, numbers="this step", steps="5")
    (html,) = (e.proto.body for e in at.get("html") if "Numbers of this step" in e.proto.body)
    assert "t = 1000" in html
    assert "Pause" in html
