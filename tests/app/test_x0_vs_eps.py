"""The page "x0 or eps?" as a script: every view and setting, links, networks that come and go."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import Tensor, nn

from diffusion_core import checkpoints
from diffusion_core.checkpoints import Card, CheckpointError
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.evaluation import history
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.ledger import read_averages
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.recipes import RECIPES
from diffusion_core.schedules import SCHEDULES
from diffusion_core.training import MAX_WEIGHT
from pages.shared import load
from pages.shared import readings as exhibits
from pages.shared import target_averages as averages
from pages.shared.numbers import plus_minus
from pages.shared.target_charts import FORMATS, READ, SNR, TARGETS, rounding, weight_table
from pages.shared.target_facts import KEPT_APART
from tests.app.settings import offered, press
from tests.app.test_pages import open_page

PRETRAINED = checkpoints.PRETRAINED / "digits-eps"
CLIPS = (
    exhibits.Row("recomputed", "q"),
    exhibits.Row("kept", "p", rederive=False),
    exhibits.Row("not clipped", "bits", clip=False),
)
VIEWS = ("one", "three", "clip", "round", "weights", "mean")
DIFFUSION = GaussianDiffusion(SCHEDULES["cosine"](1000))


class Plain(nn.Module):
    """Says that nine tenths of every pixel are noise, in the language of a target."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.9))
        self.target = PARAMETERIZATIONS[target]

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        rates = DIFFUSION.rates(t, x_t)
        said = PARAMETERIZATIONS["eps"].recover(self.share * x_t, x_t, *rates)
        return self.target.target(said.x0, said.eps, *rates)


def denoiser(target: str) -> NetworkDenoiser:
    return NetworkDenoiser(Plain(target), DIFFUSION, PARAMETERIZATIONS[target])


def sent(at: AppTest, name: str = "player") -> dict[str, Any]:
    """The header of what the player on the page was given."""
    (proto,) = (
        item.proto for item in at.get("bidi_component") if name in item.proto.component_name
    )
    (length,) = struct.unpack_from("<I", proto.bytes)
    header: dict[str, Any] = json.loads(proto.bytes[4 : 4 + length])
    return header


def captions(at: AppTest) -> str:
    return " ".join(caption.value for caption in at.caption)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens_by_link(view: str) -> None:
    label = {"one": "", "three": "Side by side", "clip": "Clip lens",
             "round": "Rounding", "weights": "Loss weights",
             "mean": "Errors"}[view]  # fmt: skip
    at = open_page("x0_vs_eps", **({} if view == "one" else {"xview": label}))
    assert not at.exception
    assert not at.error
    assert not at.toast
    assert at.session_state["xview"] == view
    assert len(at.title) == 1


@pytest.mark.parametrize(
    ("view", "settings"),
    [
        ("one", {"digit": 9, "variant": 6, "seed": 9999}),
        ("one", {"xsource": "draw"}),
        ("clip", {"xback": "one"}),
        ("clip", {"xback": "jump", "digit": 0}),
        ("three", {"xcompare": "clips", "xsteps": 5, "xclass": "any"}),
        ("three", {"xcompare": "targets", "xsteps": 50, "xclass": "7"}),
        ("three", {"xclip": False}),
        *[("round", {"xformat": f, "xread": r}) for f in FORMATS for r in READ],
        *[("weights", {"xbase": b, "xgamma": g}) for b in TARGETS for g in (1.0, 20.0)],
    ],
)
def test_settings(view: str, settings: dict[str, object]) -> None:
    at = open_page("x0_vs_eps")
    for key, value in {"xview": view, **settings}.items():
        at.session_state[key] = value
    at.run()
    assert not at.exception
    assert not at.error
    assert not re.search(r"\b(nan|inf)\b", captions(at))


@pytest.mark.parametrize(
    "query",
    [
        {"xview": "everything"},
        {"digit": "10"},
        {"seed": "-1"},
        {"seed": "9" * 40},
        {"variant": "<script>alert(1)</script>"},
        {"xnet": "digits-z"},
        {"xsource": "upload"},
        {"nonsense": "[](javascript:1)"},
    ],
)
def test_a_hostile_link_gets_a_default_and_a_sentence(query: dict[str, str]) -> None:
    at = open_page("x0_vs_eps", **query)
    assert not at.exception
    assert len(sent(at)["panels"]) == 7
    assert len(at.toast) == 1
    assert not at.run().toast


def test_every_button_shows_its_setting() -> None:
    at = open_page("x0_vs_eps")
    keys = offered(at)
    assert len(keys) == 13
    seen = set()
    for key in keys:
        press(at, key)
        assert not at.exception, key
        assert at.session_state["_look_at"], key
        seen.add(at.session_state["xview"])
    assert seen == set(VIEWS)


# --- networks that are here, and that are not -----------------------------------------------------


def give(monkeypatch: pytest.MonkeyPatch, *targets: str) -> None:
    """Let networks of these targets be the ones that ship."""

    def network(name: str) -> tuple[NetworkDenoiser, Card]:
        target = name.removeprefix("digits-")
        if target not in targets:
            raise CheckpointError(f"The network {name!r} is not here.")
        metric = {"name": "recognised as its class", "value": 0.5, "samples": 1000}
        fields = {"sha256": f"of {name}", "metrics": [
            metric | {"setting": "ddim, 25 steps, seed 1, guidance 1.5", "value": 0.9},
            metric | {"setting": "ddim, 25 steps, seed 1"},
        ]}  # fmt: skip
        return denoiser(target), Card(name, checkpoints.PRETRAINED / name, fields)

    monkeypatch.setattr(load, "network", network)
    monkeypatch.setattr(checkpoints, "read_card", lambda name: network(name)[1])


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        (("eps",), "they are not here yet: digits-x0 (trained on x₀) and digits-v (trained on v)."),
        (("eps", "v"), "it is not here yet: digits-x0 (trained on x₀)."),
        (("eps", "x0", "v"), ""),
    ],
)
def test_the_comparison_takes_what_is_there_and_says_what_is_not(
    monkeypatch: pytest.MonkeyPatch, targets: tuple[str, ...], sentence: str
) -> None:
    give(monkeypatch, *targets)
    at = open_page("x0_vs_eps", xview="Side by side")
    assert not at.exception
    header = sent(at)
    assert len(header["panels"]) == len(targets)
    assert sum("distance" in curve["chart"] for curve in header["curves"]) == len(targets) - 1
    told = captions(at)
    assert ("Not compared" in told) == bool(sentence)
    assert sentence in told
    # With guidance it would be another measurement.
    assert f"digits-eps {plus_minus('50.0%', '1.6%')} of 1,000" in told
    assert "90.0%" not in told
    at.session_state["xview"] = "one"
    assert at.run().selectbox(key="xnet").options[0].startswith("digits-eps")
    assert len(at.selectbox(key="xnet").options) == len(targets)


def test_how_much_the_gain_grows_from_frame_to_frame() -> None:
    alpha_bar = SCHEDULES["cosine"](1000).alpha_bar[list(exhibits.SHOWN)]
    gain = (1 / alpha_bar - 1).sqrt()
    grown = (gain[1:] / gain[:-1]).numpy()
    assert grown[:-1].min() == pytest.approx(1.3, abs=0.05)
    assert grown[:-1].max() == pytest.approx(2, abs=0.05)
    assert grown[-1] == pytest.approx(31.6, abs=0.1)
    said = "grows 1.3 to 2 times, to the last 32 times"
    assert said in captions(open_page("x0_vs_eps", xview="Five readings"))


def test_beyond_the_range_is_said_in_plain_digits() -> None:
    told = sent(open_page("x0_vs_eps", xview="Clip lens"))["captions"]
    assert any("by at most" in caption for caption in told)
    assert not any("e+" in caption for caption in told)


def test_every_network_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "eps", "x0", "v")
    for view in ("one", "clip"):
        at = open_page("x0_vs_eps", xview={"one": "Five readings", "clip": "Clip lens"}[view])
        for name in ("digits-x0", "digits-v"):
            at.session_state["xnet"] = name
            assert not at.run().exception


def test_without_any_network_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch)
    at = open_page("x0_vs_eps")
    assert not at.exception
    assert [error.value for error in at.error] == ["The network 'digits-eps' is not here."]
    for label in ("Rounding", "Loss weights"):  # what needs no network stays whole
        at = open_page("x0_vs_eps", xview=label)
        assert not at.exception
        assert not at.error
        assert any(heading.value == "Sources" for heading in at.subheader)


# --- what the exhibits are given ------------------------------------------------------------------


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (28, 28)).astype(np.uint8)


def test_the_measured_gain_is_the_determinants() -> None:
    told = exhibits.read(denoiser("eps"), exhibits.ask(denoiser("eps"), picture(), 1))
    np.testing.assert_allclose(told["gain"], told["rule"], rtol=1e-6)
    a, sigma = DIFFUSION.rates(torch.tensor(exhibits.SHOWN), torch.zeros(len(exhibits.SHOWN)))
    np.testing.assert_allclose(told["rule"], (sigma / a).numpy())
    for name in ("x_t", "x0", "eps", "v", "score", "mean"):
        assert told[name].shape == (len(exhibits.SHOWN), 28, 28)


@pytest.mark.parametrize("target", ["x0", "v"])
def test_the_same_answer_in_another_language_is_read_alike(target: str) -> None:
    one, other = (
        exhibits.read(denoiser(name), exhibits.ask(denoiser(name), picture(), 1))
        for name in ("eps", target)
    )
    for name in ("x0", "eps", "v"):
        apart = np.abs(one[name].astype(int) - other[name])
        assert (apart <= 1).mean() > 0.999


@pytest.mark.parametrize("back", exhibits.BACK)
def test_the_lens_shows_rounding_and_clipping(back: str) -> None:
    told = exhibits.lens(denoiser("eps"), exhibits.ask(denoiser("eps"), picture(), 1), back)
    least = np.array([max(t - exhibits.BACK[back], 0) for t in exhibits.SHOWN])
    np.testing.assert_array_equal(told["s"], least)
    assert np.nanmax(told["gap64"]) < 1e-6 * np.nanmax(told["gap32"])
    late = exhibits.SHOWN.index(960)
    assert told["moved_most"][late] > 1000 * told["gap32"][late]
    assert told["x0"].shape == (len(exhibits.SHOWN), 28, 28, 3)
    # Somewhere outside the range is outside it by something, and the frame says by how much.
    np.testing.assert_array_equal(told["beyond"] > 0, told["clipped"] > 0)
    assert told["beyond"][late] > 0


def test_the_frames_of_the_lens_say_how_far_a_pixel_is_out() -> None:
    header = sent(open_page("x0_vs_eps", xview="Clip lens"))
    frame = exhibits.SHOWN.index(80)
    share, most = re.findall(r"in (\d+)% of the pixels, by at most ([\d.]+)$",
                             header["captions"][frame])[0]  # fmt: skip
    assert int(share) > 20 > 1 > 10 * float(most)  # a third of the pixels, and nothing to be seen
    assert [panel["title"] for panel in header["panels"]][3:] == [
        "not clipped: ±5·10⁻⁷", "clipped: ±0.02"
    ]  # fmt: skip
    assert exhibits.GAP_SCALE == 5e-7


def test_the_opening_view_gives_no_verdict_on_v() -> None:
    """Read off one answer, v's error is the hypotenuse of the others', whatever was trained."""
    charts = {c["label"]: c["chart"] for c in sent(open_page("x0_vs_eps"))["curves"]}
    assert [label for label, chart in charts.items() if "error against" in chart] == ["x̂₀", "ε̂"]


def test_a_run_that_is_not_clipped_is_compared_with_nothing() -> None:
    for query, charts in (
        ({}, ["largest |x̂₀| before clipping (log)"] * 3),
        ({"xclip": "false"}, ["largest |x̂₀| (log)"] * 3),
    ):
        curves = sent(open_page("x0_vs_eps", xview="Side by side", **query))["curves"]
        distances = [c for c in curves if "distance" in c["chart"]]
        assert [c["chart"] for c in curves if c not in distances] == charts
        assert len(distances) == (0 if query else 2)
    curves = sent(open_page("x0_vs_eps", xview="Side by side", xcompare="Clipping"))["curves"]
    assert len([c for c in curves if c["chart"] == exhibits.LEFT_CHART]) == 2


def test_a_hint_goes_with_the_view_that_it_is_about() -> None:
    at = open_page("x0_vs_eps")
    press(at, "try_1")
    assert at.session_state["_look_at"]
    at.segmented_control(key="xview").set_value("round").run()
    assert not at.session_state["_look_at"]


@pytest.mark.skipif(not PRETRAINED.is_dir(), reason="the shipped network is not here")
def test_how_far_apart_runs_end_that_recompute_and_keep() -> None:
    shipped = checkpoints.load("digits-eps")[0]
    one, other = (
        shot.x0 / 127.5
        for shot in list(exhibits.run_beside([shipped] * 2, CLIPS[:2], "each", 10, 0))[-1]
    )
    assert np.sqrt(np.square(one - other).mean()) == pytest.approx(KEPT_APART, abs=0.005)
    said = " ".join(m.value for m in open_page("x0_vs_eps").markdown)
    assert f"the two runs end {KEPT_APART:.2f} apart" in said


def test_pictures_about_as_good_and_x0_worse_as_a_likelihood() -> None:
    """The answer's first sentence, from the table below it."""
    said = " ".join(m.value for m in open_page("x0_vs_eps").markdown)
    row = r"\| (ε|x₀|v) \| ([\d.]+)%\s±\s([\d.]+)% of [\d,]+ \| ([\d.]+) \|"
    found = {name: [float(v) for v in rest] for name, *rest in re.findall(row, said)}
    assert list(found) == ["ε", "x₀", "v"]
    for share, error, _ in found.values():
        for other, its, _ in found.values():
            assert abs(share - other) < 3 * np.hypot(error, its)
    assert found["x₀"][2] > 2 * max(found["ε"][2], found["v"][2])
    assert abs(found["ε"][2] - found["v"][2]) < 0.05


def test_clipped_pixels_are_coloured_and_others_gray() -> None:
    frame = exhibits.tinted(torch.tensor([-1.0, 0.0, 1.0, 1.3, -9.0]).reshape(1, 1, 1, 5))[0, 0]
    np.testing.assert_array_equal(frame[:3], [[0] * 3, [128] * 3, [255] * 3])
    np.testing.assert_array_equal(frame[3:], [exhibits.VERMILION] * 2)


def test_networks_that_agree_make_the_same_run() -> None:
    """The targets are languages: one belief, said in three, is sampled alike."""
    names = ("eps", "x0", "v")
    rows = [exhibits.Row(name, "q") for name in names]
    run = list(exhibits.run_beside([denoiser(n) for n in names], rows, "each", 5, 0))
    assert len(run) == 6
    assert max(shot.apart for stop in run[:-1] for shot in stop) < 1e-3
    assert all(stop[0].apart == 0 for stop in run[:-1])
    assert np.isnan(run[-1][1].apart)


def test_ways_to_clip_leave_different_amounts_unexplained() -> None:
    run = list(exhibits.run_beside([denoiser("eps")] * 3, CLIPS, "any", 5, 0))
    left = np.array([[shot.left for shot in stop] for stop in run[:-1]])
    assert left[:, 0].max() < 1e-5
    assert left[:, 1].max() > 1e-3
    assert run[0][2].largest == run[0][0].largest  # before clipping all say the same
    same = replace(denoiser("eps"))
    again = list(exhibits.run_beside([same] * 3, CLIPS, "any", 5, 0))
    np.testing.assert_array_equal(again[-1][0].x0, run[-1][0].x0)


@pytest.mark.skipif(not PRETRAINED.is_dir(), reason="the shipped network is not here")
def test_what_the_text_says_about_clipping_holds_for_the_shipped_network() -> None:
    """Never clipped: thousands, to the end. ε̂ kept: nearly the same digits."""
    shipped = checkpoints.load("digits-eps")[0]
    run = list(exhibits.run_beside([shipped] * 3, CLIPS, "each", 10, 0))
    fresh, kept, raw = zip(*run[:-1], strict=True)
    assert min(shot.largest for shot in raw) > 1000
    assert max(shot.largest for shot in fresh[1:]) < 10
    assert 0 < max(shot.apart for shot in kept) < 0.2
    assert 0 < max(shot.left for shot in kept) < 0.02
    final = raw[-1].x0
    assert np.isin(final, (0, 255)).mean() > 0.95  # "the sheet ends black and white"
    told = exhibits.lens(shipped, exhibits.ask(shipped, picture(), 0), "one")
    assert told["moved_most"][-1] > 0.5  # "near t = 1000 they move far": a quarter of the range
    assert np.nanmax(told["gap32"]) < 1e-3


@pytest.mark.skipif(not PRETRAINED.is_dir(), reason="the shipped network is not here")
def test_only_the_network_that_names_noise_is_tinted_and_its_bias_tells_by_how_much() -> None:
    """The numbers of the answer, and what the chart and the experiment show."""
    clips = [exhibits.Row(name, "q", clip=False) for name in averages.TINT]
    shipped = [checkpoints.load(name)[0] for name in averages.TINT]
    for network, (name, tint) in zip(shipped, averages.TINT.items(), strict=True):
        at_998, last = averages.measure(network, (998, 1000))
        assert at_998.brightness == pytest.approx(tint, abs=0.01)
        if name == "digits-eps":
            biases = [one.bias for one in averages.measure(network, (980, 990, 995, 998, 1000))]
            assert biases == pytest.approx([averages.BIAS] * 5, abs=4e-4)
            assert abs(last.brightness) > 20
        else:
            assert abs(last.brightness) < 0.01
    run = list(exhibits.run_beside(shipped, clips, "each", 25, 0))
    assert run[0][0].largest > 1000 > 10 > max(shot.largest for shot in run[0][1:])
    black_or_white = [np.isin(shot.x0, (0, 255)).mean() for shot in run[-1]]
    assert black_or_white[0] > 0.95 > 0.9 > max(black_or_white[1:])
    assert [s.x0.mean() / 127.5 - 1 for s in run[-1][1:]] == pytest.approx([-0.74] * 2, abs=0.1)


@pytest.mark.skipif(not PRETRAINED.is_dir(), reason="the shipped network is not here")
def test_what_is_named_of_the_noise_is_what_is_explained() -> None:
    told = averages.measure(checkpoints.load("digits-eps")[0], (200, 400, 700))
    assert [o.named for o in told] == pytest.approx([o.explained for o in told], abs=0.01)
    assert told[0].named < 0.95 < told[2].named


def test_the_weights_on_the_page_are_the_papers() -> None:
    snr = torch.tensor([0.01, 1.0, 5.0, 100.0], dtype=torch.float64)
    on_x0 = weight_table(snr, "x0", 5.0)
    np.testing.assert_allclose(on_x0["eps"], snr)
    np.testing.assert_allclose(on_x0["x0"], 1)
    np.testing.assert_allclose(on_x0["v"], 1 + snr)
    np.testing.assert_allclose(on_x0["min"], [0.01, 1, 5, 5])
    np.testing.assert_allclose(weight_table(snr, "eps", 5.0)["min"], [1, 1, 1, 0.05])
    assert weight_table(snr, "v", 1.0)["min"].max() == pytest.approx(0.5)  # "it never passes ½"


def test_v_is_the_target_that_rounding_spares() -> None:
    worst = {
        name: max(rounding(name, "float16", read)[0].max() for read in READ) for name in TARGETS
    }
    assert worst["eps"] > 1000 * worst["v"]
    assert worst["x0"] > 100 * worst["v"]
    # The text's two numbers are of the chart's left end: without a named end there is no largest.
    ends = [rounding(name, "float16", "x0")[0] for name in ("eps", "v")]
    said = " ".join(m.value for m in open_page("x0_vs_eps").markdown)
    assert (
        f"down to a signal-to-noise ratio of 1e-08, the rounding alone costs up to "
        f"{ends[0].max():.1g} in x̂₀ when the answer is ε, and {ends[1].max():.0e} when it is v."
    ) in said
    assert float(SNR[0]) == 1e-8
    assert ends[0].argmax() == 0
    assert ends[0][0] / ends[0][8] == pytest.approx((float(SNR[8]) / 1e-8) ** 0.5, rel=0.1)


@pytest.mark.parametrize("view", VIEWS)
def test_only_the_first_view_has_its_question(view: str) -> None:
    at = open_page("x0_vs_eps")
    at.session_state["xview"] = view
    assert len([p for p in at.run().pills if "t = 990" in p.label]) == (view == "one")


def test_what_is_alike_in_the_training_of_the_three_networks() -> None:
    """Their start on ε, and the cap: the weight is v's own only below it."""
    own = [RECIPES[name] for name in ("digits-eps", "digits-x0", "digits-v")]
    start = history(own[0])
    assert all(history(recipe) == start for recipe in own)
    assert {stage["parameterization"] for stage in start} == {"eps"}
    assert {recipe.weighting for recipe in own} == {"v"}
    (steps,) = {recipe.steps for recipe in own}
    alpha_bar = SCHEDULES["cosine"](1000).alpha_bar[1:]
    capped = int((1 / (1 - alpha_bar) > MAX_WEIGHT).sum())
    assert (1 / (1 - alpha_bar[:capped]) > MAX_WEIGHT).all()
    averages_of = read_averages("digits-x0")
    assert averages_of is not None
    share = sum(averages_of.mean[:capped]) / sum(averages_of.mean)
    assert share > 0.5
    said = " ".join(m.value for m in open_page("x0_vs_eps").markdown)
    before = sum(stage["steps"] for stage in start)
    assert (
        f"All three began with the same {before:,} steps on ε; their last {steps:,} have each its "
        f"own target, with v's weights, up to a cap of {MAX_WEIGHT:g}."
    ) in said
    assert (
        f"for digits-x0 the cap holds down the weights of the first {capped} steps; they hold "
        f"{share:.0%} of its bound."
    ) in said


def test_the_bounds_weight_next_to_the_picture() -> None:
    snr = SCHEDULES["cosine"](1000).snr
    halves = [(float(snr[t - 1]) - float(snr[t])) / 2 for t in range(2, 1001)]
    assert max(halves) == halves[0]
    said = " ".join(m.value for m in open_page("x0_vs_eps").markdown)
    assert f"{halves[0]:,.0f} at t = 2" in said
