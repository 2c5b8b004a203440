"""The ELBO page as a script: every view and setting, links, and settings that have no bound."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from diffusion_core.chains import ESTIMATORS
from diffusion_core.datasets import DataError, load_mnist
from diffusion_core.elbo import gaussian_elbo
from diffusion_core.gaussian import Gaussian, GaussianDiffusion
from diffusion_core.ledger import Averages, Figure, chapters, read_averages
from diffusion_core.likelihood import normal_log_density
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.schedules import SCHEDULES
from diffusion_core.training import MAX_WEIGHT, WEIGHTINGS
from pages.shared import ledger as shared
from pages.shared import ledger_bill, load
from pages.shared.ledger import (
    DIMENSIONS,
    Impossible,
    Kept,
    Line,
    Setting,
    bell_chances,
    bells,
    bits_per_dim,
    draw,
    face,
    kept_ledger,
    near_levels,
    networks,
    resolved,
    sha_of,
    ticks,
    unit,
)
from pages.shared.ledger_bill import (
    FAINT,
    FAINT_SHARE,
    FAR,
    bill_strip,
    compared,
    stretches,
    strip_chart,
    sums,
)
from pages.shared.ledger_decoder import (
    START,
    WIDTHS,
    bell_chart,
    decoder_of,
    named_widths,
    shown,
    width_chart,
)
from pages.shared.ledger_estimators import (
    decompositions,
    estimates,
    running,
    telescoping_residual,
)
from pages.shared.ledger_views import (
    bits_on_cards,
    forms_at,
    forms_over_time,
    on_cards,
    two_tables,
    weighting_name,
    weights_of,
)
from pages.shared.numbers import about
from tests.app.settings import offered, press
from tests.app.test_pages import open_page

VIEWS = ("ledger", "forms", "decoder", "test", "weights", "draws", "chain")
UNTOUCHED = {
    "eb_view": "ledger", "eb_T": 1000, "eb_seed": 0, "eb_net": "digits-eps", "eb_one": False,
    "eb_width": START,
}  # fmt: skip
SHORT = Setting("digits-eps", 5, "posterior")


@pytest.fixture
def pixels() -> bytes:
    return load.gallery_digit(3, 0).tobytes()


def sent(at: AppTest) -> dict[str, Any]:
    """The header of what the player was given."""
    (found,) = (
        item.proto for item in at.get("bidi_component") if "player" in item.proto.component_name
    )
    (length,) = struct.unpack_from("<I", found.bytes)
    header: dict[str, Any] = json.loads(found.bytes[4 : 4 + length])
    return header


def repairs(at: AppTest) -> list[str]:
    return [caption.value for caption in at.caption if "The page uses" in caption.value]


def words(at: AppTest) -> str:
    return " ".join([*(m.value for m in at.markdown), *(c.value for c in at.caption)])


@pytest.mark.parametrize("variance", ["trained", "beta", "posterior"])
@pytest.mark.parametrize("name", networks())
def test_every_network_has_a_ledger_with_every_variance(
    name: str, variance: str, pixels: bytes
) -> None:
    kept = kept_ledger(pixels, resolved(Setting(name, 5, variance)), sha_of(name))
    lines = list(kept)
    assert [line.last for line in lines] == [1, 2, 3, 4, 5]
    assert all(np.isfinite(line.nats) for line in lines)
    assert all(np.isfinite(bells(line, None)).all() for line in lines)


@pytest.mark.parametrize("target", ["x0", "eps", "v"])
def test_a_weight_is_named_as_it_is(target: str) -> None:
    table = SCHEDULES["cosine"](1000).alpha_bar[1:]
    weight = WEIGHTINGS["v"](table.sqrt(), (1 - table).sqrt(), PARAMETERIZATIONS[target])
    named = {"x0": 1 / (1 - table), "eps": 1 / table, "v": torch.ones_like(table)}[target]
    torch.testing.assert_close(weight, named.clamp(max=MAX_WEIGHT))
    said = weighting_name("v", target)
    starts = {"x0": "1/(1−ᾱ), as if", "eps": "1/ᾱ, as if", "v": "1 at every step"}
    assert said.startswith(starts[target])
    # As if it predicted v: below the cap, and not at it.
    as_v = PARAMETERIZATIONS["v"].loss_weight(table.sqrt(), (1 - table).sqrt())
    own = weight * PARAMETERIZATIONS[target].loss_weight(table.sqrt(), (1 - table).sqrt())
    free = weight < MAX_WEIGHT
    torch.testing.assert_close(own[free], as_v[free])
    assert (own[~free] < as_v[~free]).all()
    assert ("as if it predicted v, but at most 100" in said) == bool((~free).any())


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_runs_and_shows_no_nan(view: str) -> None:
    at = open_page("elbo")
    at.session_state["eb_view"], at.session_state["eb_T"] = view, 10
    at.run()
    assert not at.exception
    assert not at.error
    assert not re.search(r"\b(nan|inf)\b", words(at))


@pytest.mark.parametrize("T", [2, 5, 100, 1000])
def test_every_number_of_steps(T: int) -> None:
    at = open_page("elbo")
    for view in ("ledger", "forms"):
        at.session_state["eb_view"], at.session_state["eb_T"] = view, T
        at.run()
        assert not at.exception
        assert not repairs(at)
        assert not re.search(r"\b(nan|inf)\b", words(at))


def test_the_first_bars_are_there_before_anybody_asks() -> None:
    header = sent(open_page("elbo"))
    assert (header["n"], header["total"]) == (1, len(chapters(1000)))
    assert [panel["color"] for panel in header["panels"]] == ["xt", "x0", "bits"]
    assert [curve["bars"] for curve in header["curves"]] == [True, False]
    assert header["curves"][0]["log"]


def test_zero_terminal_snr_is_explained_and_the_usual_schedule_used() -> None:
    at = open_page("elbo", eb_zero="true", eb_T="10")
    assert not at.exception
    (sentence,) = repairs(at)
    assert "L_T would then be exactly 0" in sentence
    assert "'eps' does not determine x0" in sentence
    assert sent(at)["total"] == 10


@pytest.mark.parametrize(
    "query",
    [
        {"eb_T": "1"},
        {"eb_T": "7"},
        {"eb_T": "0"},
        {"eb_T": "-1"},
        {"eb_view": "everything"},
        {"eb_net": "'; drop table"},
        {"eb_seed": "1e99"},
        {"eb_seed": "<script>alert(1)</script>"},
        {"eb_row": "28", "eb_one": "maybe"},
        {"eb_col": "nan"},
        {"eb_var": "learned"},
        {"nonsense": "1"},
    ],
)
def test_a_hostile_link_gets_a_default_and_a_sentence(query: dict[str, str]) -> None:
    at = open_page("elbo", **query)
    assert not at.exception
    for key, value in UNTOUCHED.items():
        assert at.session_state[key] == value
    assert len(at.toast) == len(query)
    assert not at.run().toast


def test_every_button_shows_its_setting() -> None:
    at = open_page("elbo")
    keys = offered(at)
    assert len(keys) == 12
    for key in keys:
        press(at, key)
        assert not at.exception, key
        assert at.session_state["_look_at"], key
    press(at, "why_1")
    assert at.session_state["eb_view"] == "chain"
    press(at, "try_0")
    assert (at.session_state["eb_view"], at.session_state["eb_T"]) == ("ledger", 2)
    press(at, "why_4")  # the bell
    assert at.session_state["eb_view"] == "decoder"
    assert "The last step must name one of 256 gray levels" in words(at)


# --- the ledger -----------------------------------------------------------------------------------


def test_what_is_kept_adds_up_to_the_bound(pixels: bytes) -> None:
    kept = kept_ledger(pixels, SHORT, sha_of("digits-eps"))
    lines = list(kept)
    assert kept.complete
    model = shared.model_of(SHORT)
    bound = gaussian_elbo(
        model.diffusion, model, unit(pixels), clip_x0=True,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert kept.total == pytest.approx(float(bound.total), rel=1e-6)
    assert bits_per_dim(kept.total) == pytest.approx(float(bound.bits_per_dim(DIMENSIONS)), 1e-6)
    assert [line.last for line in lines] == [1, 2, 3, 4, 5]
    frames = draw(lines[2:], 2, kept, None)
    so_far = sum(line.nats for line in lines[:3])
    assert frames.captions[0] == f"t = 3 · L₂ = {bits_per_dim(lines[2].nats):.3g} bits/dim"
    np.testing.assert_allclose(frames.curves[1].values[0], bits_per_dim(so_far))
    np.testing.assert_allclose(frames.curves[1].values[-1], bits_per_dim(kept.total - kept.prior))


def test_the_page_prints_the_sum_once_it_is_complete(pixels: bytes) -> None:
    at = open_page("elbo", eb_T="5", eb_seed="3")
    assert "So far" in words(at)
    setting = resolved(Setting("digits-eps", 5, "trained", seed=3))
    kept = kept_ledger(pixels, setting, sha_of("digits-eps"))
    list(kept)
    at.run()
    bits = kept.total / np.log(2)
    wanted = f"Together **{bits_per_dim(kept.total):.3f} bits/dim**, that is {bits:,.0f} bits for "
    assert f"{wanted}784 pixels, or {kept.total:,.1f} nats" in words(at)


def test_a_ledger_that_died_goes_on_where_it_was() -> None:
    made = []

    def line(index: int) -> Line:
        flat = np.zeros((28, 28), np.uint8)
        return Line(index, index, float(index), flat, flat, flat, flat, flat)

    def make() -> Iterator[Line]:
        made.append(1)
        for index in range(4):
            if index == 2 and len(made) == 1:
                raise RuntimeError("once")
            yield line(index)

    kept = Kept(make, chapters(4), 0.5)
    with pytest.raises(RuntimeError):
        list(kept)
    assert [x.first for x in kept.lines] == [0, 1]
    assert [x.first for x in kept] == [0, 1, 2, 3]
    assert kept.total == 0.5 + 6
    assert len(made) == 2
    list(kept)
    assert len(made) == 2  # nothing is computed twice


def test_the_bells_are_where_the_two_means_are_apart(pixels: bytes) -> None:
    flat = np.zeros((28, 28), np.float32)
    gap, share = flat.copy(), flat.astype(np.uint8)
    gap[5, 6], gap[7, 8], share[7, 8] = 2.0, 40.0, 255
    line = Line(2, 2, 1.0, share, share, share, gap, flat + 1)
    x = np.linspace(-5, 5, shared.BELL_BINS)
    assert abs(x[bells(line, (5, 6)).argmax()] - 2) < 0.2
    assert abs(x[bells(line, (0, 0)).argmax()]) < 0.2
    assert bells(line, None).argmax() == shared.BELL_BINS - 1  # the costliest one, beyond the axis


def test_what_the_texts_say_of_the_bill(pixels: bytes) -> None:
    """The experiments and the Why on the learned variance, on the digit that they show."""

    def terms(T: int = 1000, variance: str = "posterior", seed: int = 0) -> np.ndarray:
        kept = kept_ledger(
            pixels, Setting("digits-eps", T, variance, seed=seed), sha_of("digits-eps")
        )
        return np.array([line.nats for line in kept] + [kept.prior])

    whole, two, beta, other = terms(), terms(T=2), terms(variance="beta"), terms(seed=1)
    assert 2.5 < two.sum() / whole.sum() < 3.5
    assert 0.4 < two[1] / whole.sum() < 0.6  # the jump from pure noise
    assert two[0] > 2 * whole.sum()
    assert beta[0] == whole[0]
    assert (beta[1:10] > whole[1:10]).all()
    assert 1.07 < beta.sum() / whole.sum() < 1.13
    moved = other - whole
    assert 0 < abs(moved.sum()) < 0.06 * whole.sum()
    assert abs(moved[:10].sum()) > 8 * abs(moved[10:].sum())


def test_ticks_stand_at_their_frames() -> None:
    parts = chapters(1000)
    assert [text for _, text in ticks(parts)] == ["1", "10", "100", "1000"]
    assert [index for index, _ in ticks(parts)][::3] == [0, len(parts) - 1]
    assert ticks(chapters(2)) == [(0, "1"), (1, "2")]


def test_another_sort_of_network_needs_no_repair(
    pixels: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read as a v network, the same weights have an answer without any signal; as eps, none."""
    denoiser, card = load.network("digits-eps")
    zero = SHORT._replace(zero_terminal=True)
    with pytest.raises(Impossible, match="no signal is left"):
        kept_ledger(pixels, zero, "as eps")
    other = replace(denoiser, parameterization=PARAMETERIZATIONS["v"])
    monkeypatch.setattr(shared.load, "network", lambda name: (other, card))
    kept = kept_ledger(pixels, zero, "as v")
    list(kept)
    assert kept.prior == 0
    assert math.isfinite(kept.total)


def test_a_picture_far_from_digits_is_told_so(
    pixels: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Averages are made up so that this digit lies far from them, or in their midst."""
    kept = kept_ledger(pixels, SHORT, sha_of("digits-eps"))
    list(kept)
    shipped = read_averages("digits-eps")
    assert shipped is not None
    for mean, far in ((kept.total / 2, True), (kept.total, False)):
        told = replace(
            shipped, T=5, total=Figure(mean, 1.0), deviation=mean / 20, mean=[1.0] * 5,
            square=[1.0] * 5, standard_error=[1.0] * 5,
        )  # fmt: skip
        monkeypatch.setattr(ledger_bill, "averages_of", lambda name, sha256, told=told: told)
        at = open_page("elbo", eb_T="5")
        assert f"Test digits cost {bits_per_dim(mean):.2f} bits/dim" in words(at)
        assert ("far outside" in words(at)) == far


# --- the other views ------------------------------------------------------------------------------


def test_three_forms_agree_to_rounding(pixels: bytes) -> None:
    told = forms_over_time(pixels, SHORT._replace(T=1000), sha_of("digits-eps"))
    assert told.t[0] == 2
    assert told.t[-1] == 1000
    assert told.disagreement < 1e-8
    one = forms_at(pixels, SHORT._replace(T=1000), sha_of("digits-eps"), 100)
    assert one.disagreement < 1e-12
    assert set(one.distance) == {"mean", "x0", "eps"}


def test_the_decoders_view_is_about_the_first_bar(pixels: bytes) -> None:
    setting = Setting("digits-eps", 1000, "posterior")
    told = decoder_of(pixels, setting, sha_of("digits-eps"))
    first = next(iter(kept_ledger(pixels, setting, sha_of("digits-eps"))))
    named = dict(zip(told.named, told.bits, strict=False))
    assert named["√β̃₂"] == pytest.approx(bits_per_dim(first.nats), rel=1e-6)
    width, least = told.best
    assert named["√β₁"] > named["√β̃₂"] > least  # "nearer to it here than √β₁"
    assert width == pytest.approx(0.5, abs=0.05)  # "half a gray level"
    assert width == pytest.approx(told.named["error"], rel=0.25)
    beta = SCHEDULES["cosine"](1000).beta
    alpha_bar = SCHEDULES["cosine"](1000).alpha_bar
    tilde = (1 - alpha_bar[1]) / (1 - alpha_bar[2]) * beta[2]
    assert told.named["√β̃₂"] == pytest.approx(float(tilde) ** 0.5 * 127.5)
    assert min(WIDTHS, key=lambda w: abs(w - told.named["√β̃₂"])) == START
    assert (
        f"√β̃₂ = {float(tilde) ** 0.5 * 127.5:.2f} gray levels is a guess, nearer to it here than "
        f"√β₁ = {float(beta[1]) ** 0.5 * 127.5:.2f}."
    ) in words(open_page("elbo"))
    seen = words(open_page("elbo", eb_view="Decoder"))
    assert f"**{told.cost(START):.3f} bits/dim**. The least is **{least:.3f}**" in seen
    assert f"√β₁ = {told.named['√β₁']:.2g} levels: {named['√β₁']:.3f}" in seen
    assert "Dotted, where it is higher" in seen
    assert width_chart(told, START)["data"][0]["line"]["dash"] == "dot"


def test_a_bell_is_cut_into_levels_that_add_up_to_one() -> None:
    for mean, width in ((141.3, 0.6), (0.2, 3.0), (255.0, 0.02), (100.0, 100.0)):
        chances = bell_chances(mean, width)
        assert chances.shape == (256,)
        assert chances.sum() == pytest.approx(1, abs=1e-9)
    middle = bell_chances(100.0, 1.0)  # its own bin is half a deviation to either side
    assert middle[100] == pytest.approx(math.erf(0.5 / 2**0.5), abs=1e-3)


def test_the_slider_moves_bell_and_point(pixels: bytes) -> None:
    at = open_page("elbo", eb_view="Decoder")
    told = decoder_of(pixels, resolved(Setting("digits-eps", 1000)), sha_of("digits-eps"))
    mean, true = float(told.mean[told.missed]), int(told.true[told.missed])
    assert 0.7 < abs(mean - true) < 0.9  # "1.5 times as much as all are on average"
    for width in (0.2, 2.0):
        at.session_state["eb_width"] = width
        at.run()
        area = shown(bell_chances(mean, width)[true])
        assert f"level {true} has the area **{area}**" in words(at)
        assert f"**{told.cost(width):.3f} bits/dim**" in words(at)


def test_the_slider_begins_at_the_width_that_code_takes() -> None:
    at = open_page("elbo", eb_view="Decoder", eb_net="digits-vdm")
    usual = named_widths(Setting("digits-vdm", 1000, "posterior"))["√β̃₂"]
    assert at.session_state["eb_width"] == min(WIDTHS, key=lambda w: abs(w - usual)) == 0.02
    at.session_state["eb_net"] = "digits-eps"
    assert at.run().session_state["eb_width"] == START
    at.session_state["eb_width"] = 3.0
    assert at.run().session_state["eb_width"] == 3.0
    own = open_page("elbo", eb_view="Decoder", eb_net="digits-vdm", eb_width="5")
    assert own.session_state["eb_width"] == 5.0
    assert not own.toast


@pytest.mark.parametrize("wish", ["0", "0.61", "1e9", "nan", "<b>"])
def test_a_width_that_is_none_gets_the_usual_one(wish: str) -> None:
    at = open_page("elbo", eb_view="Decoder", eb_width=wish)
    assert not at.exception
    assert at.session_state["eb_width"] == START
    assert len(at.toast) == 1


@pytest.mark.parametrize("T", [2, 1000])
@pytest.mark.parametrize("width", [min(WIDTHS), max(WIDTHS)])
def test_the_decoder_at_its_ends(T: int, width: float) -> None:
    at = open_page("elbo", eb_view="Decoder", eb_T=str(T), eb_width=f"{width:g}")
    assert not at.exception
    assert at.session_state["eb_width"] == width
    assert not re.search(r"\b(nan|inf)\b|-0 bits", words(at))


def test_at_the_first_step_q_is_a_point_and_p_names_levels(pixels: bytes) -> None:
    first, second, *_ = kept_ledger(pixels, SHORT, sha_of("digits-eps"))
    assert second.decoder is None
    assert first.decoder is not None
    found = np.stack([near_levels(m, w, int(k)) for m, w, k in first.decoder.reshape(3, -1).T])
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    # The middle of the eleven is the true level: all costs together are the first term.
    assert -np.log(found[:, 5]).sum() == pytest.approx(first.nats, rel=1e-4)
    assert set(bells(first, (9, 14)).tolist()) == set(found[9 * 28 + 14].tolist())
    assert sent(open_page("elbo"))["histograms"][0]["points"] == 1


def test_the_strip_and_the_bars_tell_one_bill(pixels: bytes) -> None:
    kept = kept_ledger(pixels, SHORT._replace(T=100), sha_of("digits-eps"))
    lines = list(kept)
    assert list(stretches(kept)) == ["1", "2–10", "11–100"]
    assert sum(stretches(kept).values()) == pytest.approx(kept.total - kept.prior)
    strip = strip_chart(stretches(kept), kept.total, True)["layout"]
    wide = [shape["x1"] - shape["x0"] for shape in strip["shapes"]]
    assert wide == pytest.approx(list(stretches(kept).values()))
    shares = [int(re.search(r"(\d+)%", note["text"])[1]) for note in strip["annotations"]]  # type: ignore[index]
    assert shares == [round(100 * w / sum(wide)) for w in wide]
    so_far = strip_chart(stretches(kept), 2 * kept.total, False)["layout"]
    assert not any("%" in note["text"] for note in so_far["annotations"])
    frames = draw(lines, 0, kept, None)
    several = next(i for i, line in enumerate(lines) if line.first < line.last)
    first, last = lines[several].first, lines[several].last
    bar = frames.curves[0].values[several]
    assert frames.captions[several] == f"t = {first}–{last} · each {bar:.3g} bits/dim"


def test_a_sheet_that_holds_no_digit_is_far_out() -> None:
    """The experiment's "more than twice"; the bill is known once it is complete."""
    setting = resolved(Setting("digits-eps", 1000))
    kept = kept_ledger(shared.face().tobytes(), setting, sha_of("digits-eps"))
    list(kept)
    told = read_averages("digits-eps")
    assert told is not None
    assert kept.total > 2.1 * told.total.mean
    assert kept.total > told.total.mean + FAR * told.deviation
    assert "far outside" in words(open_page("elbo", source="Draw"))


def test_a_digit_that_a_network_made_is_far_out_for_its_black_alone(pixels: bytes) -> None:
    """digits-vdm charges for gray levels 1 to 3 where MNIST has 0; the digit itself is a digit."""
    image = np.frombuffer(pixels, np.uint8)
    faint = int(((image > 0) & (image <= FAINT)).sum())
    assert faint > FAINT_SHARE * DIMENSIONS
    black = np.where(image <= FAINT, 0, image).astype(np.uint8).tobytes()
    setting = resolved(Setting("digits-vdm", 1000))
    said = {}
    for name, picture in (("as it is", pixels), ("black", black), ("face", face().tobytes())):
        kept = kept_ledger(picture, setting, sha_of("digits-vdm"))
        list(kept)
        said[name] = compared(picture, setting, kept)
    assert f"One reason: {faint} of its pixels are not quite black" in said["as it is"]
    assert "far outside" not in said["black"] + said["face"]
    eps = resolved(Setting("digits-eps", 1000))
    for picture, far in ((pixels, False), (face().tobytes(), True)):
        kept = kept_ledger(picture, eps, sha_of("digits-eps"))
        list(kept)
        told = compared(picture, eps, kept)
        assert ("far outside" in told) == far
        assert "not quite black" not in told


def test_no_test_digit_has_such_a_black() -> None:
    try:
        images = load_mnist("test", download=False).images.flatten(1)
    except DataError as error:
        pytest.skip(str(error))
    faint = ((images > 0) & (images <= FAINT)).double().mean(1)
    assert faint.max() < FAINT_SHARE / 5


def test_one_total_on_one_screen(pixels: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """With digits-vdm L_T is 0.002 bits/dim: in the strip's title as in the sum below."""
    kept = kept_ledger(pixels, Setting("digits-vdm", 10, "posterior"), sha_of("digits-vdm"))
    list(kept)
    assert bits_per_dim(kept.prior) > 0.001
    figures, said = [], []
    monkeypatch.setattr(ledger_bill, "plot", lambda figure, **_: figures.append(figure))
    monkeypatch.setattr(ledger_bill.chapter, "prose", said.append)
    monkeypatch.setattr(ledger_bill.st, "caption", said.append)
    setting = Setting("digits-vdm", 10, "posterior")
    bill_strip(setting, kept)
    sums(pixels, setting, kept)
    total = f"{bits_per_dim(kept.total):.3f} bits/dim"
    assert total in figures[0]["layout"]["title"]["text"]
    assert f"Together **{total}**" in said[0]


def test_where_the_bits_are_is_said_of_digits_eps(pixels: bytes) -> None:
    """The question, from the test digits' averages; another network spends them otherwise."""
    told, other = read_averages("digits-eps"), read_averages("digits-vdm")
    assert told is not None
    assert other is not None
    costs = np.array(told.mean)
    assert told.clip_x0
    assert costs[0] > 2000 * costs[499]  # "thousands of times"
    assert costs.argmin() == 999
    tens = costs.reshape(100, 10).sum(1)
    assert tens.argmin() == 99
    assert tens[0] > 0.5 * costs.sum()
    kept = kept_ledger(pixels, resolved(Setting("digits-eps", 1000)), sha_of("digits-eps"))
    bars = {line.last: line.nats / (line.last - line.first + 1) for line in kept}
    middle = min(last for last in bars if last >= 500)
    assert bars[1] > 2000 * bars[middle]
    at = open_page("elbo")
    at.pills[0].select("The first ten, next to the picture")
    answer = next(m.value for m in at.run().markdown if m.value.startswith("**Right.**"))
    one, two = (sum(a.mean[:10]) / sum(a.mean) for a in (told, other))
    assert f"They hold {one:.0%} of what a test digit costs" in answer
    assert f"For digits-vdm, which has learned its schedule, they hold {two:.0%}." in answer
    assert "ten of a thousand, with digits-eps" in words(at)


@pytest.mark.parametrize("view", VIEWS)
def test_only_the_ledger_has_the_ledgers_question(view: str) -> None:
    at = open_page("elbo")
    at.session_state["eb_view"] = view
    assert len(at.run().pills) == (view == "ledger")


def test_a_rise_of_the_weight_is_told_where_there_is_one() -> None:
    at = open_page("elbo")
    for name in networks():
        at.session_state["eb_view"], at.session_state["eb_net"] = "weights", name
        at.run()
        late = weights_of(name)["bound"][600:]
        rises = bool((np.diff(late) > 0).all())
        assert ("rises once more near t = T" in words(at)) == rises
        assert rises == (name != "digits-vdm")


def test_the_variance_of_a_step_is_between_two_for_what_varies_no_more_than_noise() -> None:
    """For normal data by formula; for pixels that are black or white by a sum over x_t."""
    alpha_bar = SCHEDULES["cosine"](1000).alpha_bar.numpy()
    t = np.arange(2, 1000)
    before, now = alpha_bar[t - 1], alpha_bar[t]
    beta = 1 - now / before
    tilde = beta * (1 - before) / (1 - now)

    def best(s: float) -> np.ndarray:
        return beta * (before * s**2 + 1 - before) / (now * s**2 + 1 - now)

    np.testing.assert_allclose(best(0), tilde)
    np.testing.assert_allclose(best(1), beta)
    for s in (0.1, 0.5, 0.9):
        assert ((tilde < best(s)) & (best(s) < beta)).all()
    assert (best(1.1) > beta).all()
    share = np.sqrt(before) * beta / (1 - now)  # of x_0 in the posterior's mean
    eps = np.linspace(-8, 8, 4001)
    chance = np.exp(-(eps**2) / 2) / np.exp(-(eps**2) / 2).sum()
    for k in (0, 100, 500, 900):
        x = np.sqrt(now[k]) + np.sqrt(1 - now[k]) * eps
        left = 1 - np.tanh(np.sqrt(now[k]) * x / (1 - now[k])) ** 2
        assert tilde[k] <= tilde[k] + share[k] ** 2 * (left @ chance) < beta[k]
    assert "β for data that are noise of variance 1 themselves" in words(open_page("elbo"))


def test_two_numbers_for_one_network_are_explained() -> None:
    told = read_averages("digits-eps")
    assert told is not None
    upper, card = told.bits_per_dim(told.total.mean), on_cards()["digits-eps"]["value"]
    assert f"Why {upper:.3f} above and {card:.3f} here" in two_tables(told)
    # "chance", says the sentence
    assert abs(card - upper) < 3 * told.bits_per_dim(told.total.standard_error)


def test_an_estimate_has_two_digits() -> None:
    assert [about(n) for n in (7, 812, 8_234, 82_193_738)] == [
        "7", "about 810", "about 8,200", "about 82 million"
    ]  # fmt: skip


def test_for_a_learned_schedule_the_usual_decoder_is_too_narrow(pixels: bytes) -> None:
    setting = Setting("digits-vdm", 1000, "posterior")
    told = decoder_of(pixels, setting, sha_of("digits-vdm"))
    assert told.best[0] / told.named["√β̃₂"] == pytest.approx(14, abs=1)
    assert told.bits[list(told.named).index("√β̃₂")] == pytest.approx(3.8, abs=0.05)
    assert told.best[1] == pytest.approx(0.5, abs=0.05)
    # It is the black of that 3, which a network made: with a black that is one, as MNIST's, it is
    # cheap, as test digits are.
    image = np.frombuffer(pixels, np.uint8)
    black = np.where(image <= FAINT, 0, image).astype(np.uint8).tobytes()
    usual = list(told.named).index("√β̃₂")
    assert decoder_of(black, setting, sha_of("digits-vdm")).bits[usual] < 0.05
    averages = read_averages("digits-vdm")
    assert averages is not None
    assert (averages.variance, averages.decoder) == ("posterior", "discretized_gaussian")
    first = averages.bits_per_dim(averages.reconstruction.mean)
    assert first < 0.1
    assert f"becomes one of 3.8. Test digits cost only {first:.2f} there." in words(
        open_page("elbo")
    )
    # Far to the left nothing costs more than the floor lets it; without a floor it does.
    left = slice(0, 5)
    assert np.ptp(told.curve[1][left]) < 0.1
    assert (told.unbounded[left] > 10 * told.curve[1][left]).all()


def test_weights_are_relative_to_the_middle() -> None:
    told = weights_of("digits-eps")
    for values in told.values():
        assert values[500 - 2] == pytest.approx(1)
        assert np.isfinite(values).all()
    assert told["bound"][0] > 100  # "steep", says the page
    assert (told["simple"] == 1).all()


def test_draws_are_right_on_average_and_importance_scatters_less(pixels: bytes) -> None:
    setting = SHORT._replace(T=1000)
    told = estimates(pixels, setting, sha_of("digits-eps"))
    kept = kept_ledger(pixels, setting, sha_of("digits-eps"))
    list(kept)
    exact = bits_per_dim(kept.total)  # each of its terms is drawn once: a few percent
    for draws in told.values():
        chance = 4 * draws.std() / len(draws) ** 0.5 + 0.05 * exact
        assert draws.mean() == pytest.approx(exact, abs=chance)
    assert told["uniform"].std() > 3 * exact  # "scatters wildly"
    if read_averages("digits-eps") is not None:
        few = told["importance"].std() / len(told["importance"]) ** 0.5
        assert few < 0.2 * told["uniform"].std() / len(told["uniform"]) ** 0.5


def test_the_numbers_of_the_decompositions() -> None:
    told = decompositions("rough", 4, 0.7)
    assert list(told) == list(ESTIMATORS)
    bounds = [told[name][0] for name in told if name != "consistency_as_written"]
    assert max(bounds) - min(bounds) < 1e-12
    assert told["denoising_analytic_kl"][0] == pytest.approx(-0.890, abs=5e-4)
    assert told["consistency_as_written"][0] == pytest.approx(-1.978, abs=5e-4)
    _, ratios, own_ratios = told["denoising_log_ratios"]
    _, exact, own_exact = told["denoising_analytic_kl"]
    assert ratios < exact  # on one path
    assert own_ratios > own_exact  # with a path per term
    assert telescoping_residual() < 1e-13


def test_the_forward_steps_turned_round_leave_one_term() -> None:
    """What the fold on the q's strikes out: on any path of three steps both sides are one."""
    process = GaussianDiffusion(SCHEDULES["cosine"](3))
    x = torch.randn(4, 5, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    at = [torch.full((5,), t) for t in range(4)]

    def log(q: Gaussian, value: torch.Tensor) -> torch.Tensor:
        return normal_log_density(value, q)

    forward = sum(log(process.q_step(x[t - 1], at[t], at[t - 1]), x[t]) for t in (1, 2, 3))
    turned = sum(
        log(process.q_posterior(x[t], x[0], at[t], at[t - 1]), x[t - 1]) for t in (2, 3)
    ) + log(process.q_marginal(x[0], at[3]), x[3])
    torch.testing.assert_close(forward, turned)
    said = words(open_page("elbo"))
    assert said.count(r"\cancel{") == said.count(r"\bcancel{") == 2


def test_two_steps_have_a_bell_wider_than_their_error(pixels: bytes) -> None:
    told = decoder_of(pixels, Setting("digits-eps", 2, "posterior"), sha_of("digits-eps"))
    assert told.named["√β̃₂"] > 2 * told.named["error"]
    width = max(WIDTHS)
    drawn = bell_chart(bell_chances(128.0, width), 128.0, 128, width)
    assert drawn["layout"]["yaxis"]["range"][1] < 0.02  # the bars can be seen


def test_better_pictures_and_a_worse_bound_are_told_from_the_cards() -> None:
    bits, known = on_cards(), [known_of(name) for name in ("digits-vdm", "digits-eps")]
    assert bits["digits-vdm"]["value"] < bits["digits-eps"]["value"]
    assert known[0] < known[1]
    told = words(open_page("elbo"))
    for name, share in zip(("digits-vdm", "digits-eps"), known, strict=True):
        found = f"has {bits[name]['value']:.2f} bits/dim, and {share:.0%} of its digits are"
        assert found in told


def known_of(name: str) -> float:
    return next(
        float(m["value"])
        for m in shared.metrics_of(name)
        if m["name"] == "recognised as its class" and m["setting"] == "ddim, 25 steps, seed 10000"
    )


def test_the_running_mean_stays_in_its_chart(pixels: bytes) -> None:
    rare = np.r_[np.full(99, 0.2), 900.0]
    figure = running({"uniform": rare}, 2.0)
    assert figure["layout"]["yaxis"]["range"][1] > rare.mean()
    at_the_16th = np.r_[np.full(15, 0.2), 900.0, np.full(84, 0.2)]
    figure = running({"uniform": at_the_16th}, 2.0)
    assert figure["layout"]["yaxis"]["range"][1] > at_the_16th[:16].mean()


def test_the_exact_chain_has_no_gap_in_any_setting() -> None:
    at = open_page("elbo")
    at.session_state["eb_view"], at.session_state["eb_model"] = "chain", "exact"
    for T in (4, 20):
        for x0 in (-2.0, 0.0, 2.0):
            at.session_state["eb_chain_T"], at.session_state["eb_x0"] = T, x0
            at.run()
            assert not at.exception
            found = re.search(r"log p\(x₀\) = \*\*(-?[\d.]+)\*\* nats.*?at (-?[\d.]+):", words(at))
            assert found
            assert float(found[1]) == pytest.approx(float(found[2]), abs=1.1e-3)


def test_without_averages_the_views_say_how_to_make_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> Averages | None:
        return None

    monkeypatch.setattr(shared, "read_averages", nothing)
    at = open_page("elbo")
    at.session_state["eb_view"] = "test"
    at.run()
    assert not at.exception
    assert "python -m diffusion_core.ledger" in at.info[0].value


def test_the_whole_test_set_is_told_from_the_cards() -> None:
    at = open_page("elbo")
    at.session_state["eb_view"] = "test"
    at.run()
    assert not at.exception
    told = bits_on_cards()
    assert set(networks()) <= set(told)
    assert not any(name.startswith(("binary", "gray", "vq")) for name in told)
    values = [float(text.split()[0]) for text in told.values()]
    assert values == sorted(values)
    for name, text in told.items():
        assert f"| **{name}** | {text} | its card |" in words(at)


def test_averages_of_other_weights_are_not_shown() -> None:
    assert shared.averages_of("digits-eps", "another") is None


def test_the_estimators_view_computes_the_exact_sum_by_itself() -> None:
    at = open_page("elbo", eb_view="Estimator", eb_T="2", eb_seed="77")
    assert not at.exception
    for _ in range(60):
        if "the whole ledger says" in " ".join(m.value for m in at.markdown):
            break
        at.run()
    else:
        raise AssertionError("no exact sum")
    assert not any("exact sum is being computed" in c.value for c in at.caption)
