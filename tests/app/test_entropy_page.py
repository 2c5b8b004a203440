"""The page on entropy: every view, and every number and claim of its text."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
import torch

from diffusion_core.codes import Curves, cross_entropy, entropy, huffman_code, normal_log_density
from pages.shared import entropy_calls, entropy_views
from pages.shared.distribution_bars import read_distribution
from pages.shared.entropy_views import DRAWN, codes
from pages.shared.palette import COLORS
from tests.app.plots import plots
from tests.app.test_pages import open_page

P, Q = "0.5 0.25 0.125 0.125", "0.25 0.25 0.25 0.25"
OTHER = "0.25 0.125 0.125 0.5"


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
        {"enview": "KL below 0?"},
        {"enview": "KL below 0?", "encall": "q, p", "enp": "0.7 0.2 0.1", "endraws": "1"},
        {"enview": "KL below 0?", "encall": "log p, q", "enp": "1 0", "enq": "0 1"},
        {"enview": "KL below 0?", "encall": "p, q", "enp": "0.2 0.2 0.6", "enq": "1 0 0 0 0"},
        {"enview": "Two orders", "enapart": "0"},
        {"enview": "Two orders", "enfit": "Smallest KL(p‖q)", "enapart": "6"},
        {"enview": "Two orders", "enfit": "By hand", "enmean": "-4", "enstd": "0.1"},
    ],
    ids=str,
)
def test_every_view(asked: dict[str, str]) -> None:
    at = open_page("entropy", **asked)
    assert not at.exception
    assert not at.error
    kinds = [i.proto.component_name for i in at.get("bidi_component")]
    charts = 3 if asked.get("enview") == "KL below 0?" else 2
    assert sum("diffusion_plot" in kind for kind in kinds) == charts
    assert len(at.info) == sum(v in ("nonsense", "-1 2") for v in asked.values())


@pytest.mark.parametrize("view", ["Codes", "Two orders", "KL below 0?"])
def test_only_the_first_view_has_its_question(view: str) -> None:
    assert len(open_page("entropy", enview=view).pills) == (view == "Codes")


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
    above, faint, wasted = map(float, re.findall(r"\d+\.\d\d", entropy_views.balance(told)))
    assert (above, faint, wasted) == pytest.approx((red, pale, red - pale), abs=0.0101)
    assert above == round(faint + wasted, 2)
    bars = entropy_views.sums_figure(told)["layout"]["shapes"]
    assert bars[2]["x1"] - bars[2]["x0"] == pytest.approx(told.cross - told.entropy)


def test_why_kl_is_never_below_0(said: str) -> None:
    """Jensen, in the numbers of the letters that the page begins with."""
    p, q = np.array(probs(P)), np.array(probs(OTHER))
    u = q / p
    told = f"u is {', '.join(f'{v:g}' for v in u)}: its average is {p @ u:g}, −log₂ of that 0"
    assert told in said
    assert f"and the average of −log₂ u is {-(p @ np.log2(u)):.2f} bits" in said
    assert p @ u == 1
    # "Red is always at least as large as faint", and a zero of p or of q is no exception.
    for some in np.random.default_rng(1).dirichlet([0.4] * 4, (100, 2)):
        shown = entropy_views.balance(codes(*map(tuple, some), 0))
        above, faint, _ = map(float, re.findall(r"\d+\.\d\d", shown))
        assert above >= faint
    assert entropy_views.balance(codes((1.0, 0.0), (0.5, 0.5), 0)).startswith("1.00 red − 0.00")
    assert "∞ wasted" in entropy_views.balance(codes((0.5, 0.5), (1.0, 0.0), 0))


def test_a_density_above_1_is_marked() -> None:
    """A line at 1, above which −log q is below 0; none where no density gets there."""
    for std, marked in (("0.1", True), ("1.0", False)):
        at = open_page("entropy", enview="Two orders", enfit="By hand", enstd=std)
        names = [n["text"] for p in plots(at) for n in p["layout"]["annotations"]]
        assert any("−log q below 0" in name for name in names) == marked


def test_a_letter_without_a_word() -> None:
    told = codes(probs(P), (0.5, 0.25, 0.25), 0)
    assert math.isinf(told.cross)
    assert math.isinf(told.bits)
    assert told.words[3] == ""
    purple = entropy_views.sums_figure(told)["layout"]["shapes"][-1]
    assert purple["x0"] == purple["x1"]  # "a letter has no word": no length, either


def test_a_word_too_many(said: str) -> None:
    """Swapped: "D has a word that never comes, C's is one bit longer for it"."""
    back = codes((0.5, 0.25, 0.25), probs(P), 0)
    own = huffman_code([0.5, 0.25, 0.25])
    assert [len(word) for word in own] == [1, 2, 2]
    assert [len(word) for word in back.words] == [1, 2, 3, 3]
    assert f"{back.cross - back.entropy:.2f} bits are wasted" in said
    assert back.cross - back.entropy == 0.25  # C comes in one of four, a bit too long


def test_a_word_takes_its_share_of_the_room() -> None:
    words = codes(probs(P), probs(P), 0).words
    assert [2.0 ** -len(word) for word in words] == list(probs(P))


def test_the_entropy_of_data_is_no_matter_of_the_code() -> None:
    """ "Cross entropy and KL have the same gradient"; "what changes is the red part alone"."""
    p = torch.tensor(probs(P), dtype=torch.float64)
    logits = torch.tensor([0.3, -0.2, 0.9, 0.1], dtype=torch.float64, requires_grad=True)
    (one,) = torch.autograd.grad(cross_entropy(p, logits.softmax(0)), logits)
    q = logits.softmax(0)
    (other,) = torch.autograd.grad(torch.nn.functional.kl_div(q.log(), p, reduction="sum"), logits)
    assert float(one.abs().max()) > 0.01
    torch.testing.assert_close(one, other)
    ends = set()
    for text in (Q, P, "0.1 0.2 0.3 0.4"):
        told = codes(probs(P), probs(text), 0)
        first, green, red, _ = entropy_views.sums_figure(told)["layout"]["shapes"]
        assert first["x1"] == green["x1"] == red["x0"] == float(entropy(p)) / math.log(2)
        ends.add(red["x1"])
        if text == P:
            assert red["x1"] == red["x0"]
    assert len(ends) == 3


@pytest.mark.parametrize("q", [Q, P, OTHER, "0.125 0.125 0.25 0.5", "0.37 0.3 0.22 0.11"])
def test_shown_sums_add_up(q: str) -> None:
    told = codes(probs(P), probs(q), 0)
    names = " ".join(
        n["text"] for n in entropy_views.sums_figure(told)["layout"]["annotations"]
    )  # fmt: skip
    h, cross, waste = (
        float(re.search(pattern, names)[1])  # type: ignore[index]
        for pattern in (r"H\(p\) = ([\d.]+)", r"H\(p, q\) = ([\d.]+):", r": ([\d.]+) wasted")
    )
    assert round(h + waste, 2) == cross
    assert abs(cross - told.cross) <= 0.01
    assert abs(waste - (told.cross - told.entropy)) <= 0.005 + 1e-9


@pytest.mark.parametrize("q", [Q, P, "0.5 0.25 0.25", "0.37 0.3 0.22 0.11"])
def test_dots_are_the_words_and_blocks_fill_the_chart(q: str) -> None:
    told = codes(probs(P), probs(q), 0)
    figure = entropy_views.lengths_figure(told)
    (trace,) = figure["data"]
    shown = [y for y, size in zip(trace["y"], trace["marker"]["size"], strict=True) if size]
    assert shown == [len(word) for word in told.words if word]
    top = figure["layout"]["yaxis"]["range"][1]
    highest = max(shape["y1"] for shape in figure["layout"]["shapes"])
    assert max(*shown, highest) <= top
    assert highest >= top / 2


@pytest.mark.parametrize("p", ["0.9 0.05 0.05", "0.99 0.01", "0.5 0.5", "0.2 0.2 0.2 0.2 0.2"])
@pytest.mark.parametrize("q", ["0.97 0.01 0.02", "0.5 0.5", "1 0", "0.8 0.1 0.05 0.03 0.02"])
def test_no_block_or_dot_leaves_the_chart(p: str, q: str) -> None:
    figure = entropy_views.lengths_figure(codes(probs(p), probs(q), 0))
    top = figure["layout"]["yaxis"]["range"][1]
    ends = [shape["y1"] for shape in figure["layout"]["shapes"]]
    assert max(*ends, *figure["data"][0]["y"]) <= top
    arrows = [n for n in figure["layout"]["annotations"] if "↑" in n["text"]]
    assert bool(arrows) == (top == entropy_views.HIGH and max(ends) == top)


def test_what_is_said_of_letters(said: str) -> None:
    p, q = np.array(probs(P)), np.array(probs(Q))
    own, cross = -(p * np.log2(p)).sum(), -(p * np.log2(q)).sum()
    assert (own, cross) == (1.75, 2.0)
    turned = np.array([0.25, 0.125, 0.125, 0.5])
    one, other = ((a * np.log2(a / b)).sum() for a, b in ((p, turned), (turned, p)))
    asks = str(open_page("entropy").pills[0].label)
    assert f"¼, ⅛, ⅛, ½, below, wastes {one:.2f} bits per letter, on average" in asks
    assert (one, other) == (0.5, 0.625)
    assert "KL(p‖q) is 0.50 bits, the other way round 0.63" in said
    # As the charts have it, swapped too.
    for a, b, waste in ((p, turned, "0.50"), (turned, p, "0.63")):
        names = entropy_views.sums_figure(codes(tuple(a), tuple(b), 0))["layout"]["annotations"]
        assert any(f": {waste} wasted" in n["text"] for n in names)
    assert f"{one:.2f} bits are wasted, in whole words, too" in said
    assert other > one  # "and it is more"
    whole = codes(tuple(p), tuple(turned), 0)
    assert sum(a * len(word) for a, word in zip(p, whole.words, strict=True)) == whole.cross
    assert f"H(p) = {own:.2f} bits, {own * math.log(2):.2f} nats" in said
    assert f"one bit is log 2 = {math.log(2):.3f} nats." in said
    told = codes(probs(P), probs(P), 0)
    assert told.own == told.entropy == own
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
    assert f"There p is 0.6 of q, so that it pays {least:.2f} nats" in said
    assert "the logarithm of 1/0.6" in said
    assert "at −2.00 with width 0.60" in said
    there = np.abs(x + 2) < 1.2
    assert np.allclose(p[there] / one[there], 0.6, atol=1e-4)
    # "KL(q‖p) is charged at the left peak; at the right one KL(p‖q) charges."
    dashed = np.where(keep, one * np.log(np.where(keep, one, 1) / p), 0)
    assert dashed[x < 0].sum() * step == pytest.approx(least, rel=2e-3)
    green = p * (np.log(p) + 0.5 * ((x + 2) / 0.6) ** 2 + math.log(0.6 * math.sqrt(2 * math.pi)))
    assert green[x < 0].sum() < 0 < green[x > 0].sum()
    # "Highest in the gap between them": q's peak, and p's valley between its peaks.
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
    assert 1 / (0.1 * math.sqrt(2 * math.pi)) > 1
    assert f"H(q) = {float(narrow):.2f} nats".replace("-", "−") in said
    at = open_page("entropy", enview="Two orders", enfit="By hand", enstd="0.1")
    assert f"H(q) = **{float(narrow):.2f}** nats".replace("-", "−") in text(at)


def test_one_peak_has_one_answer() -> None:
    """As the peaks become one: both orders the same, both numbers small."""
    at = open_page("entropy", enview="Two orders", enapart="0.5")
    other = open_page("entropy", enview="Two orders", enapart="0.5", enfit="Smallest KL(p‖q)")
    for page in (at, other):
        line = next(m.value for m in page.markdown if m.value.startswith("KL(p‖q) = "))
        both = [float(part.split("**")[1]) for part in line.split("·")[:2]]
        assert max(both) < 0.01


def drawn(page: object, key: str) -> dict[str, list[float]]:
    """What a chart of the page shows: the name of each line -> its values."""
    shown = next(
        i for i in page.get("bidi_component") if i.proto.id.endswith(key)  # type: ignore[attr-defined]
    )  # fmt: skip
    figure = json.loads(json.loads(shown.proto.json)["figure"])
    return {trace["name"].strip(): trace["y"] for trace in figure["data"]}


@pytest.mark.parametrize(("apart", "same"), [("0.5", True), ("2.5", False), ("4", False)])
def test_both_orders_are_in_one_chart(apart: str, same: bool) -> None:
    """ "The dotted line under the other", and "they part"; dotted is what the other view shows."""
    lines = [
        drawn(open_page("entropy", enview="Two orders", enapart=apart, enfit=fit), "en_curves")
        for fit in ("Smallest KL(q‖p)", "Smallest KL(p‖q)")
    ]
    for one, other in (lines, lines[::-1]):
        np.testing.assert_allclose(one["q"], other["q, other order"], atol=1e-5)
        width = 18 / (len(one["q"]) - 1)
        assert sum(one["q"]) * width == pytest.approx(1, abs=0.02)
    gap = np.abs(np.array(lines[0]["q"]) - lines[1]["q"]).max() / max(lines[0]["q"])
    assert gap < 0.01 if same else gap > 0.05
    hand = open_page("entropy", enview="Two orders", enapart=apart, enfit="By hand")
    assert set(drawn(hand, "en_curves")) == {"p", "q"}


@pytest.mark.parametrize("apart", [0.0, 0.5, 1.5, 4.0, 6.0])
def test_names_of_lines_stand_apart(apart: float) -> None:
    """The two names of the second chart are above both lines; p's name is not at q's."""
    x = torch.linspace(-9, 9, 1201, dtype=torch.float64)
    parts = [
        normal_log_density(x, torch.tensor(m), torch.tensor(0.6)) + math.log(w)
        for m, w in ((-apart / 2, 0.6), (apart / 2, 0.4))
    ]
    log_p = torch.stack(parts).logsumexp(0)
    for mean, std in ((-apart / 2, 0.6), (0.0, 1.0), (3.0, 0.3), (-0.1 * apart, 0.7)):
        curves = Curves(x, log_p, normal_log_density(x, torch.tensor(mean), torch.tensor(std)))
        figure = entropy_views.parts_figure(curves)
        low, high = figure["layout"]["yaxis"]["range"]
        left, right = figure["layout"]["annotations"]
        assert (left["x"], left["xanchor"], right["x"], right["xanchor"]) == (0, "left", 1, "right")
        for line, name in zip(figure["data"], (left, right), strict=True):
            assert line["name"] in name["text"]
            assert name["yref"] == "paper"
            # 240 pixels high, the name's half of 8.
            assert (np.nanmax(line["y"]) - low) / (high - low) < name["y"] - 8 / 240
        p, q, *_ = entropy_views.curves_figure(curves)["layout"]["annotations"]
        assert abs(p["x"] - q["x"]) > 0.3 or abs(p["y"] - q["y"]) > 0.1


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


def test_q_sits_down_on_one_peak_in_the_end() -> None:
    """Against the best of many normals, at every place of the slider."""
    x = np.linspace(-9, 9, 901)
    means, stds = np.linspace(-3.5, 3.5, 71)[:, None, None], np.geomspace(0.4, 3.5, 45)[:, None]
    log_q = -0.5 * ((x - means) / stds) ** 2 - np.log(stds * math.sqrt(2 * math.pi))
    widths = []
    for apart in np.arange(0, 6.25, 0.25):
        peaks = [
            math.log(w) - 0.5 * ((x - m) / 0.6) ** 2 - math.log(0.6 * math.sqrt(2 * math.pi))
            for m, w in ((-apart / 2, 0.6), (apart / 2, 0.4))
        ]
        cost = (np.exp(log_q) * (log_q - np.logaddexp(*peaks))).sum(-1) * (x[1] - x[0])
        at = open_page("entropy", enview="Two orders", enapart=str(apart))
        line = next(m.value for m in at.markdown if m.value.startswith("KL(p‖q) = "))
        shown = float(line.split("KL(q‖p) = **")[1].split("**")[0])
        assert cost.min() - 0.02 <= shown <= cost.min() + 0.006
        caption = next(c.value for c in at.caption if "standard deviation" in c.value)
        widths.append(float(caption.split("standard deviation ")[1].split(" ")[0][:4]))
    assert widths[8] > 1  # of two apart one over both
    assert max(widths[16:]) < 0.62


def test_what_is_said_of_a_kl_below_0(said: str) -> None:
    """Against PyTorch's own function and divergences of `torch.distributions`."""
    p, q = (torch.tensor(v, dtype=torch.float64) for v in ((0.7, 0.2, 0.1), (0.5, 0.3, 0.2)))

    def sums(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(torch.nn.functional.kl_div(a, b, reduction="sum"))

    one, other = (torch.distributions.Categorical(probs=v) for v in (p, q))
    right = float(torch.distributions.kl_divergence(one, other))
    order = float(torch.distributions.kl_divergence(other, one))
    assert (sums(q.log(), p), sums(p.log(), q)) == pytest.approx((right, order))
    assert f"kl_div(log q, p) = {right:.3f} nats is KL(p‖q)" in said
    assert f"kl_div(log p, q) = {order:.3f} is KL(q‖p)" in said
    bare = sums(q, p)
    assert f"kl_div(q, p) = −{-bare:.3f}" in said
    assert bare == pytest.approx(-float(entropy(p)) - float(p @ q))
    # "Never above 0, whatever p and q are", and 0 itself where they have no letter in common.
    assert "−H(p) − Σ pq, never above 0, whatever p and q are" in said
    pairs = np.random.default_rng(0).dirichlet([0.3] * 3, (200, 2))
    assert max(entropy_calls.called(*map(tuple, pair)).sums["bare"] for pair in pairs) <= 0
    assert entropy_calls.called((1.0, 0.0), (0.0, 1.0)).sums["bare"] == 0
    told = entropy_calls.called((0.7, 0.2, 0.1), (0.5, 0.3, 0.2))
    assert list(told.sums.values()) == pytest.approx([right, order, bare, sums(p, q)])
    # "Every letter is below 0, and none is near its mark"; then "two of them below 0".
    assert told.terms["bare"].max() < 0
    assert np.abs(told.terms["bare"] - told.terms["right"]).min() > 0.1
    assert (told.terms["right"] < 0).tolist() == [False, True, True]
    # "The mean divides by the number of all entries, batchmean by that of distributions".
    rows = (q.log().expand(4, 3), p.expand(4, 3))
    with pytest.warns(UserWarning, match="reduction"):
        mean = float(torch.nn.functional.kl_div(*rows, reduction="mean"))
    batch = float(torch.nn.functional.kl_div(*rows, reduction="batchmean"))
    assert (mean, batch) == pytest.approx((right / 3, right))


def test_what_is_said_of_estimates_of_kl(said: str) -> None:
    """The share below 0 of ten draws, by all words of ten letters, counted by their letters."""
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.5, 0.3, 0.2])
    ratio = np.log(p / q)
    below = sum(
        math.factorial(10) / math.prod(map(math.factorial, n)) * math.prod(p ** np.array(n))
        for a in range(11)
        for b in range(11 - a)
        if (n := (a, b, 10 - a - b)) and ratio @ n < 0
    )
    assert f"here {p[ratio < 0].sum():.0%} of single draws are below 0" in said
    assert number_after(said, "so are ") == pytest.approx(100 * below, abs=2)
    told = entropy_calls.called(tuple(p), tuple(q))
    many = {n: entropy_calls.averages(tuple(p), told, n, 0) for n in entropy_calls.COUNTS}
    for n, each in many.items():
        error = math.sqrt(float(p @ ratio**2 - (p @ ratio) ** 2) / n / entropy_calls.AVERAGES)
        assert each.mean() == pytest.approx(told.kl, abs=4 * error)
        figure = entropy_calls.draws_figure(each, told, n)
        (bars,) = figure["data"]
        red = np.array(bars["marker"]["color"]) == COLORS["bits"]
        dark = bars["y"][red].sum()
        assert dark == pytest.approx((each < 0).mean(), abs=1e-9)
    below = [(each < 0).mean() for each in many.values()]
    assert below[-1] < 0.01 < below[2]  # "average more draws: they go"
    assert many[300].std() < 0.3 * many[10].std()


def test_no_normal_makes_either_number_small(said: str) -> None:
    """The two floors, over a grid of normals: "no q has both"."""
    x = np.linspace(-9, 9, 1801)
    step = x[1] - x[0]
    means, stds = np.linspace(-3, 3, 61)[:, None, None], np.geomspace(0.4, 4, 60)[:, None]
    log_q = -0.5 * ((x - means) / stds) ** 2 - np.log(stds * math.sqrt(2 * math.pi))
    log_p = np.logaddexp(
        *(
            math.log(w) - 0.5 * ((x - m) / 0.6) ** 2 - math.log(0.6 * math.sqrt(2 * math.pi))
            for m, w in ((-2, 0.6), (2, 0.4))
        )
    )
    cover = (np.exp(log_p) * (log_p - log_q)).sum(-1) * step
    seek = (np.exp(log_q) * (log_q - log_p)).sum(-1) * step
    floors = number_after(said, "can’t get below "), number_after(said, "nor KL(q‖p) below ")
    assert floors == pytest.approx((cover.min(), seek.min()), abs=0.006)
    assert not ((cover < floors[0] + 0.1) & (seek < floors[1] + 0.1)).any()


def test_each_view_begins_with_letters_whose_swap_is_another_number() -> None:
    for view, (p, q) in {
        "Codes": (P, OTHER),
        "KL below 0?": ("0.7 0.2 0.1", "0.5 0.3 0.2"),
    }.items():
        at = open_page("entropy", enview=view)
        texts = [json.loads(i.proto.json)["text"] for i in at.get("bidi_component")
                 if "distribution_bars" in i.proto.component_name]  # fmt: skip
        assert texts == [p, q]
        one, other = (entropy_calls.called(*map(probs, pair)).kl for pair in ((p, q), (q, p)))
        assert abs(one - other) > 0.005
        swapped = next(b for b in at.button if b.label == "Swap p and q").click().run()
        assert (swapped.session_state["enp"], swapped.session_state["enq"]) == (q, p)
    kept = open_page("entropy", enview="KL below 0?", enp="0.9 0.1")  # a link's own letters
    assert kept.session_state["enp"] == "0.9 0.1"


def test_the_view_opens_on_a_call_that_went_wrong() -> None:
    said = text(open_page("entropy", enview="KL below 0?"))
    p, q = (torch.tensor(v, dtype=torch.float64) for v in ((0.7, 0.2, 0.1), (0.5, 0.3, 0.2)))
    bare = float(torch.nn.functional.kl_div(q, p, reduction="sum"))
    assert f"You type `kl_div(q, p)` and get **−{-bare:.3f}**. What went wrong?" in said
    for call, sum_of in entropy_calls.COMES_TO.items():
        lead = entropy_calls.lead(entropy_calls.called((0.7, 0.2, 0.1), (0.5, 0.3, 0.2)), call)
        assert sum_of.replace("Σpq", "Σ pq") in lead


def test_gaps_are_explained_where_there_are_few_averages() -> None:
    """Each average belongs to a count of every letter."""
    for p, n in (((0.7, 0.2, 0.1), 10), ((0.5, 0.5), 3), ((0.6, 0.4, 0.0), 1)):
        K = sum(v > 0 for v in p)
        counts = {c for c in np.ndindex(*[n + 1] * K) if sum(c) == n}
        assert f"At most {len(counts)} different ones" in entropy_calls.about_draws(p, n)
    assert "gaps" not in entropy_calls.about_draws((0.7, 0.2, 0.1), 100)


def test_what_a_message_takes_and_what_it_takes_on_average() -> None:
    told = codes(probs(P), probs(OTHER), 0)
    assert told.mean == 2.25
    assert told.bits != told.mean
    at = open_page("entropy")
    assert any(
        f"{told.bits:.2f} bits each in q’s code, 2.25 on average" in c.value for c in at.caption
    )
    assert math.isinf(codes(probs(P), (0.5, 0.25, 0.25), 0).mean)


def number_after(said: str, words: str) -> float:
    return float(re.search(re.escape(words) + r"([\d.]+)", said)[1])  # type: ignore[index]


@pytest.mark.parametrize("call", list(entropy_calls.CALLS))
@pytest.mark.parametrize(("p", "q"), [("1 0", "0 1"), ("1 0 0", "0.5 0.5"), (P, "0.5 0.5")])
def test_zeros_are_told_as_pytorch_has_them(p: str, q: str, call: str) -> None:
    told = entropy_calls.called(probs(p), probs(q))
    K = max(len(probs(p)), len(probs(q)))
    rows = {
        name: torch.tensor([*row, *[0.0] * (K - len(row))]).double()
        for name, row in (("p", probs(p)), ("q", probs(q)))
    }
    a, b = entropy_calls.CALLS[call].split(", ")
    given = rows[a[-1]].log() if a.startswith("log") else rows[a]
    theirs = float(torch.nn.functional.kl_div(given, rows[b], reduction="sum"))
    np.testing.assert_allclose(told.sums[call], theirs)
    names = [n["text"] for n in entropy_calls.calls_figure(told, call)["layout"]["annotations"]]
    shown = names[list(entropy_calls.CALLS).index(call)]
    assert ("no number" in shown) == math.isnan(theirs)
    assert ("logarithm of 0" in entropy_calls.lead(told, call)) == math.isnan(theirs)
    assert ("∞" in shown) == math.isinf(theirs)
