"""The page on entropy: every view, and every number and claim of its text."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffusion_core.codes import Curves, normal_log_density
from pages.shared import entropy_views
from pages.shared.distribution_bars import read_distribution
from pages.shared.entropy_views import DRAWN, codes
from tests.app.test_pages import open_page

P, Q = "0.5 0.25 0.125 0.125", "0.25 0.25 0.25 0.25"


def probs(text: str) -> tuple[float, ...]:
    return read_distribution(text).probs


def text(at: object) -> str:
    return " ".join(m.value for m in at.markdown)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def said() -> str:
    at = open_page("entropy")
    at.pills[0].select("Without end")
    at = at.run()
    offered = at.session_state["_settings_offered"].values()
    return text(at) + " ".join(look for _, look in offered)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"enp": "0.9 0.1", "enq": "0.9 0.1"},
        {"enq": "0.5 0.25 0.25"},
        {"enp": "1 0", "enq": "0 1"},
        {"enp": "0.2 0.2 0.2 0.2 0.2", "enq": "1 0 0"},
        {"enp": "nonsense", "enq": "-1 2", "enseed": "12"},
        {"enview": "Two orders", "enapart": "0"},
        {"enview": "Two orders", "enfit": "Smallest KL(p‖q)", "enapart": "6"},
        {"enview": "Two orders", "enfit": "By hand", "enmean": "-4", "enstd": "0.2"},
    ],
    ids=str,
)
def test_every_view(asked: dict[str, str]) -> None:
    at = open_page("entropy", **asked)
    assert not at.exception
    assert not at.error
    kinds = [i.proto.component_name for i in at.get("bidi_component")]
    assert sum("diffusion_plot" in kind for kind in kinds) == 2
    assert len(at.info) == sum(v in ("nonsense", "-1 2") for v in asked.values())


@pytest.mark.parametrize(("p", "q"), [(P, Q), (Q, P), ("0.9 0.1", "0.5 0.5"), (P, P)])
def test_a_message_costs_what_the_code_says(p: str, q: str) -> None:
    told = codes(probs(p), probs(q), 3)
    a, b = np.array(probs(p)), np.array(probs(q))
    assert told.entropy == pytest.approx(-(a * np.log2(a)).sum())
    assert told.cross == pytest.approx(-(a * np.log2(b)).sum())
    mean = sum(x * len(word) for x, word in zip(a, told.words, strict=True))
    assert told.bits == pytest.approx(mean, abs=4 / DRAWN**0.5)
    # The blocks' areas are the two entropies.
    blocks = entropy_views.lengths_figure(told)["layout"]["shapes"]
    area = [(s["x1"] - s["x0"]) * (s["y1"] - s["y0"]) for s in blocks]
    common, rest = sum(area[::2]), area[1::2]
    red = sum(v for v, s in zip(rest, blocks[1::2], strict=True) if s["opacity"] > 0.5)
    pale = sum(rest) - red
    assert common + pale == pytest.approx(told.entropy)
    assert common + red == pytest.approx(told.cross)
    bars = entropy_views.sums_figure(told)["layout"]["shapes"]
    assert bars[2]["x1"] - bars[2]["x0"] == pytest.approx(told.cross - told.entropy)


def test_a_letter_without_a_word() -> None:
    told = codes(probs(P), (0.5, 0.25, 0.25), 0)
    assert math.isinf(told.cross)
    assert math.isinf(told.bits)
    assert told.words[3] == ""
    back = codes((0.5, 0.25, 0.25), probs(P), 0)  # "the other way round nothing would happen"
    assert math.isfinite(back.cross)


def test_what_is_said_of_letters(said: str) -> None:
    p, q = np.array(probs(P)), np.array(probs(Q))
    entropy, cross = -(p * np.log2(p)).sum(), -(p * np.log2(q)).sum()
    assert (entropy, cross) == (1.75, 2.0)
    asks = str(open_page("entropy").pills[0].label)
    assert f"below, wastes {cross - entropy:.2f} bits" in asks
    turned = np.array([0.25, 0.125, 0.125, 0.5])
    one, other = ((a * np.log2(a / b)).sum() for a, b in ((p, turned), (turned, p)))
    assert f"KL(p‖q) is {one:.3f} bits, the other way round {other:.3f}" in said
    assert f"{one:.2f} bits are wasted, in whole words, too" in said
    assert other > one  # "and it is more"
    whole = codes(tuple(p), tuple(turned), 0)
    assert sum(a * len(word) for a, word in zip(p, whole.words, strict=True)) == whole.cross
    assert f"H(p) = {entropy:.2f} bits, {entropy * math.log(2):.2f} nats" in said
    told = codes(probs(P), probs(P), 0)
    assert told.own == told.entropy == entropy
    assert [len(word) for word in told.words] == [1, 2, 3, 3]
    rare = codes((0.9, 0.1), (0.9, 0.1), 0)
    assert rare.bits == 1
    assert f"the entropy is {rare.entropy:.2f}" in said.replace("\n", " ")


def test_what_is_said_of_the_two_orders(said: str) -> None:
    """By integrals of their own, over another grid."""
    x = np.linspace(-11, 11, 40_001)
    step = x[1] - x[0]

    def density(mean: float, std: float) -> np.ndarray:
        return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))

    p = 0.6 * density(-2, 0.6) + 0.4 * density(2, 0.6)
    mean = (p * x).sum() * step
    std = math.sqrt((p * (x - mean) ** 2).sum() * step)
    assert f"{mean:.2f} and {std:.2f}²".replace("-", "−") in said
    cover = density(mean, std)
    other = (cover * np.log(cover / p)).sum() * step
    assert f"KL(q‖p) is then {other:.2f} nats" in said
    one = density(-2, 0.6)
    keep = one > 1e-200
    least = (one[keep] * np.log(one[keep] / p[keep])).sum() * step
    assert least == pytest.approx(math.log(1 / 0.6), abs=1e-3)
    assert f"pays {least:.2f} nats, the logarithm of 1/0.6" in said
    assert "at −2.00 with width 0.60" in said
    # "puts most where p has least, in the middle": q's peak, and p's valley between its peaks.
    between = np.abs(x) < 2
    valley = x[between][p[between].argmin()]
    assert abs(mean - valley) < 0.5
    assert p[np.abs(x - mean).argmin()] < 0.05 * p.max()


def test_what_is_said_of_densities(said: str) -> None:
    narrow = torch.distributions.Normal(0.0, 0.1).entropy()
    assert f"has {float(narrow):.2f} nats".replace("-", "−") in said
    zero = 1 / math.sqrt(2 * math.pi * math.e)
    assert abs(float(torch.distributions.Normal(0.0, zero).entropy())) < 1e-6
    assert f"{zero:.3f} is where it is 0" in said
    # "q is narrow, and its density higher than 1."
    assert 1 / (0.2 * math.sqrt(2 * math.pi)) > 1
    wide = torch.distributions.Normal(0.0, 0.2).entropy()
    assert f"H(q) = {float(wide):.2f} nats".replace("-", "−") in said
    at = open_page("entropy", enview="Two orders", enfit="By hand", enstd="0.2")
    assert f"H(q) = **{float(wide):.2f}** nats".replace("-", "−") in text(at)


def test_one_peak_has_one_answer() -> None:
    """As the peaks become one: both orders the same, both numbers small."""
    at = open_page("entropy", enview="Two orders", enapart="0.5")
    other = open_page("entropy", enview="Two orders", enapart="0.5", enfit="Smallest KL(p‖q)")
    for page in (at, other):
        line = next(m.value for m in page.markdown if m.value.startswith("KL(p‖q) = "))
        both = [float(part.split("**")[1]) for part in line.split("·")[:2]]
        assert max(both) < 0.01


def test_p_and_q_change_places() -> None:
    at = open_page("entropy", enp="0.5 0.5", enq="0.9 0.1")
    next(b for b in at.button if b.label == "Swap p and q").click().run()
    assert not at.exception
    assert at.session_state["enp"] == "0.9 0.1"
    assert at.session_state["enq"] == "0.5 0.5"


def test_a_block_that_goes_on_says_how_far() -> None:
    told = codes((0.97, 0.01, 0.01, 0.01), (0.01, 0.01, 0.01, 0.97), 0)
    names = [n["text"] for n in entropy_views.lengths_figure(told)["layout"]["annotations"]]
    assert f"<b>↑ {-np.log2(0.01):.2f}</b>" in names
    endless = codes((0.5, 0.5), (1.0,), 0)
    names = [n["text"] for n in entropy_views.lengths_figure(endless)["layout"]["annotations"]]
    assert "<b>↑ ∞</b>" in names


def test_lines_are_whole_so_that_their_areas_are_the_two_numbers() -> None:
    x = torch.linspace(-9, 9, 1201, dtype=torch.float64)
    log_p = torch.stack(
        [
            normal_log_density(x, torch.tensor(m), torch.tensor(0.6)) + math.log(w)
            for m, w in ((-2.0, 0.6), (2.0, 0.4))
        ]
    ).logsumexp(0)
    for mean, std in ((-2.0, 0.6), (0.0, 1.0), (3.0, 0.3)):
        log_q = normal_log_density(x, torch.tensor(mean), torch.tensor(std))
        curves = Curves(x, log_p, log_q)
        figure = entropy_views.parts_figure(curves)
        low, high = figure["layout"]["yaxis"]["range"]
        for trace in figure["data"]:
            assert low <= np.nanmin(trace["y"])
            assert np.nanmax(trace["y"]) <= high
