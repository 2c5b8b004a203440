"""The page about discrete sampling: every network in every view, what is counted, what is sent."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from diffusion_core.discrete_elbo import discrete_elbo
from diffusion_core.hashes import sealed
from diffusion_core.recipes import RECIPES
from pages.shared import discrete_bench, discrete_ledger, discrete_networks, discrete_quality, load
from pages.shared.discrete_bench import Row, Shot, Start, run, sheet, times_of
from pages.shared.discrete_networks import Net, available, network, sha_of
from pages.shared.discrete_views import (
    beside_unguided,
    change_table,
    error_table,
    first_rows,
)
from pages.shared.numbers import plus_minus
from tests.app.discrete_standins import STANDINS, install
from tests.app.settings import press
from tests.app.test_pages import open_page

VIEWS = ("run", "compare", "error", "ledger", "masked", "quality")
SHIPPED = available()


@pytest.fixture
def standins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    names = list(STANDINS)
    install(monkeypatch, tmp_path, names)
    return names


def net_of(name: str) -> Net:
    return network(name, sha_of(name))


def sound(at: AppTest) -> None:
    assert not at.exception, at.exception[0].message
    assert not at.error
    assert not at.warning


# --- the page -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_in_every_view(name: str) -> None:
    at = open_page("discrete_sampling")
    at.session_state["dssteps"] = 5
    at.session_state["dsnet"] = name
    at.session_state["dsrows"] = [name]
    for view in VIEWS:
        at.session_state["dsview"] = view
        sound(at.run())


def test_every_kind_of_network_in_every_view(standins: list[str]) -> None:
    at = open_page("discrete_sampling")
    assert at.session_state["dsnet"] in standins
    assert at.selectbox(key="dsnet").options == standins
    at.session_state["dssteps"] = 5
    for name in standins:
        at.session_state["dsnet"] = name
        at.session_state["dsrows"] = [name, *(n for n in standins if n != name)][:3]
        for view in VIEWS:
            at.session_state["dsview"] = view
            sound(at.run())
    at.button(key="ds_measure").click().run()
    sound(at)
    assert any("36 pictures per number of steps" in c.value for c in at.caption)


def test_the_first_comparison_has_one_network_of_each_kernel(standins: list[str]) -> None:
    assert first_rows(standins) == ["tiny-uniform", "tiny-gray", "tiny-gaussian"]  # alike
    assert first_rows(["tiny-masking", "tiny-tokens"]) == ["tiny-masking", "tiny-tokens"]
    assert first_rows([]) == []
    assert first_rows(["tiny-gray", "tiny-masking"]) == ["tiny-gray"]


def test_without_any_network_the_page_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(discrete_networks, "ROOT", tmp_path)
    at = open_page("discrete_sampling")
    sound(at)
    (info,) = at.info
    assert "binary-absorbing" in info.value
    assert len(at.get("page_link")) == 1
    assert any("\n$$\n" in m.value for m in at.markdown)  # formulas need no network


def test_with_one_network_a_comparison_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, ["tiny-masking"])
    at = open_page("discrete_sampling", dsview="Side by side", dssteps="5")
    sound(at)
    assert "gray-uniform" in at.info[0].value
    install(monkeypatch, tmp_path / "other", ["tiny-uniform"])
    at = open_page("discrete_sampling", dsview="Fill in the blank")
    sound(at)
    assert "absorbing network" in at.info[0].value


def test_a_network_that_was_tampered_with_gets_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, ["tiny-uniform"])
    (tmp_path / "tiny-uniform" / "weights.safetensors").write_bytes(b"something else")
    at = open_page("discrete_sampling")
    assert not at.exception
    assert "restore pretrained/" in at.warning[0].value


@pytest.mark.parametrize(
    "query",
    [
        {"dsview": "<script>alert(1)</script>"},
        {"dssteps": "7"},
        {"dsnet": "../../etc/passwd"},
        {"dsseed": "-1"},
        {"dsseed": "1e400"},
        {"dsorder": "sideways"},
        {"dsdigit": "eleven"},
        {"nonsense": "1"},
    ],
    ids=str,
)
def test_a_hostile_link_gets_a_default_and_a_sentence(
    standins: list[str], query: dict[str, str]
) -> None:
    at = open_page("discrete_sampling", **query)
    sound(at)
    assert at.session_state["dsview"] == "run"
    assert at.session_state["dssteps"] == 25
    assert len(at.toast) == 1


def test_hostile_rows_and_errors(standins: list[str]) -> None:
    at = open_page("discrete_sampling", dsview="Plant errors", dsrows="no such network")
    sound(at)
    for errors, when, steps in ((60, 90, 1), (1, 10, 2), (60, 10, 1)):
        for key, value in (("dserrors", errors), ("dswhen", when), ("dssteps", steps)):
            at.session_state[key] = value
        sound(at.run())
    at.session_state["dsrows"] = []
    sound(at.run())


def test_more_steps_than_the_process_has(standins: list[str]) -> None:
    at = open_page("discrete_sampling", dssteps="200", dsnet="tiny-tokens")
    sound(at)
    assert any("200 steps are more than T = 40; 40 are made" in c.value for c in at.caption)


# --- what a run holds -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", STANDINS)
def test_the_shots_count_what_happens_to_the_states(standins: list[str], name: str) -> None:
    net = net_of(name)
    shots = [shot for (shot,) in run(Start("each", 9, 1, 4), [Row(net)])]
    assert len(shots) == 10
    size, mask = np.prod(net.shape), -1 if net.mask is None else net.mask
    history = np.zeros(shots[0].x.shape, int)
    for a, b in itertools.pairwise(shots):
        appeared = (a.x == mask) & (b.x != mask)
        changed = (a.x != mask) & (a.x != b.x)
        history += changed
        assert b.unmasked * 4 == appeared.sum()
        assert b.changed * 4 == changed.sum()
        assert b.renoised * 4 == (changed & (a.x == a.x0)).sum()
        np.testing.assert_array_equal(b.history, history)
        assert 0 <= a.entropy <= np.log2(net.levels) + 1e-9
    assert np.isnan(shots[-1].entropy)
    assert shots[-1].x.max() < net.levels
    if net.about.kernel == "absorbing":
        assert history.max() == 0
    if net.own_mask:
        assert (shots[0].x == mask).mean() > 0.7
        left = sum(shot.unmasked for shot in shots)
        assert left == (shots[0].x == mask).sum() / 4 <= size


@pytest.mark.parametrize("name", STANDINS)
def test_planted_errors_stay_where_the_process_can_undo_nothing(
    standins: list[str], name: str
) -> None:
    net, at = net_of(name), 6
    start = Start("each", 9, 1, 4, planted=5, planted_at=at)
    shots = [shot for (shot,) in run(start, [Row(net)])]
    assert len(shots) == 10
    assert all(not shot.planted.any() for shot in shots[:at])
    where = shots[at].planted
    assert where.reshape(4, -1).sum(1).tolist() == [5] * 4
    assert (shots[at].kept == where).all()
    assert not shots[at].back.any()
    plain = [shot for (shot,) in run(start._replace(planted=0), [Row(net)])]
    for a, b in zip(shots[:at], plain[:at], strict=True):
        np.testing.assert_array_equal(a.x, b.x)
    np.testing.assert_array_equal(shots[at].x[~where], plain[at].x[~where])
    assert (shots[at].x[where] != plain[at].x[where]).all()
    for shot in shots[at:]:
        np.testing.assert_array_equal(shot.kept & ~where, False)
        np.testing.assert_array_equal(shot.back, where & (shot.x == plain[at].x))
    if net.about.kernel == "absorbing":
        assert (shots[-1].kept == where).all()
    else:
        assert shots[-1].kept.sum() < where.sum()


def test_a_run_repeats_and_another_order_shows_as_many(standins: list[str]) -> None:
    net, start = net_of("tiny-masking"), Start("any", 6, 3, 4)
    one, again, greedy = (
        [shot for (shot,) in run(start, [Row(net, order)])]
        for order in ("random", "random", "confidence")
    )
    for a, b, c in zip(one, again, greedy, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        assert a.unmasked == c.unmasked
    assert any((a.x != c.x).any() for a, c in zip(one, greedy, strict=True))


def test_a_single_guided_network_stands_beside_itself_unguided(standins: list[str]) -> None:
    """Both rows begin with the same noise, and are what two runs of one row each would be."""
    net = next(net for net in map(net_of, standins) if net.about.conditional and not net.orders)
    start = Start("each", 4, 0, 4, guidance=4.0)
    rows = beside_unguided([Row(net)], start)
    assert [row.name for row in rows] == [f"{net.about.name}, guidance {g}" for g in (4, 1)]
    guided, plain = zip(*run(start, rows), strict=True)
    for shots, guidance in ((guided, 4.0), (plain, 1.0)):
        alone = [shot for (shot,) in run(start._replace(guidance=guidance), [Row(net)])]
        assert all((a.x == b.x).all() for a, b in zip(shots, alone, strict=True))
    assert (guided[0].x == plain[0].x).all()
    assert any((a.sure != b.sure).any() for a, b in zip(guided, plain, strict=True))
    for other in (start._replace(guidance=1.0), start._replace(digit="any")):
        assert beside_unguided([Row(net)], other) == [Row(net)]
    assert beside_unguided([Row(net)] * 2, start) == [Row(net)] * 2


def test_what_each_network_is(standins: list[str]) -> None:
    nets = {name: net_of(name) for name in standins}
    assert {n for n, net in nets.items() if net.own_mask} == {"tiny-masking", "tiny-tokens"}
    assert {n for n, net in nets.items() if net.orders} == {"tiny-masking"}
    assert [net.levels for net in nets.values()] == [2, 8, 8, 8, 6]
    for net in nets.values():
        assert net.colors.shape == (net.K, 3)
        assert len(np.unique(net.colors, axis=0)) == net.K  # every state looks different
        assert net.cells(np.zeros((2, *net.shape), int)).shape == (2, 28, 28, 3)
        assert net.pictures(np.zeros((2, *net.shape), int)).shape == (2, 28, 28, 3)
        digit = load.gallery_digit(3, 0)
        assert net.states(digit, 0).shape == (1, *net.shape)
        assert Start("7", 1, 0, 4).label(net) is None or net.about.conditional
    assert Start("7", 1, 0, 4).label(nets["tiny-uniform"]).tolist() == [7] * 4  # type: ignore[union-attr]


def test_the_frames_fit_the_player(standins: list[str]) -> None:
    for name in standins:
        net = net_of(name)
        rows = [Row(net), Row(net, "confidence")]
        times = times_of(net, 4)
        shots = list(run(Start("each", 4, 0, 4), rows))
        for frames in (
            discrete_bench.draw_one(shots, 0, times, net),
            discrete_bench.draw_compared(shots, 0, times, rows),
            discrete_bench.draw_planted(shots, 0, times, rows, 2),
        ):
            assert {p.frames.shape for p in frames.panels} == {(5, 57, 57, 3)}
            assert all(len(c.values) == 5 for c in frames.curves)
            assert frames.captions[-1] == "t = 0 · done in 4 steps"
        assert "<td>" in change_table(shots, rows)
        assert "–" in error_table(shots, rows, 2)


def test_rows_of_two_lengths_tell_time_as_a_share() -> None:
    said = discrete_bench.captions([[], [], []], 0, [60, 30, 0], [60, 40])
    assert said == [
        "t/T = 1.00 · step 0 of 2",
        "t/T = 0.50 · step 1 of 2",
        "t = 0 · done in 2 steps",
    ]
    assert discrete_bench.captions([[]], 1, [60, 0])[-1] == "t = 0 · done in 1 step"


def test_a_sheet_by_hand() -> None:
    images = np.arange(4, dtype=np.uint8).reshape(1, 4, 1, 1, 1).repeat(3, -1) + 1
    assert sheet(images)[0, :, :, 0].tolist() == [[1, 0, 2], [0, 0, 0], [3, 0, 4]]


# --- the bound ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny-masking", "tiny-uniform", "tiny-tokens"])
def test_the_ledger_adds_up_to_the_bound(standins: list[str], name: str) -> None:
    net = net_of(name)
    x0 = net.states(load.gallery_digit(3, 0), 0)
    own = list(discrete_ledger.lines(net, x0, None, 5))
    total = sum(line.nats for line in own) + discrete_ledger.prior_nats(net, x0)
    bound = discrete_elbo(
        net.denoiser.diffusion, net.denoiser, x0, batch=32,
        generator=torch.Generator().manual_seed(5),
    )  # fmt: skip
    assert total == pytest.approx(float(bound.total), rel=1e-5)
    bits = discrete_ledger.bits_per(net, total)
    assert bits == pytest.approx(float(bound.bits_per_dim(int(np.prod(net.shape)))), rel=1e-5)
    frames = discrete_ledger.draw(own[2:5], 2, own, net)
    assert [len(c.values) for c in frames.curves] == [3, 3]
    assert frames.curves[1].values[-1] == pytest.approx(
        discrete_ledger.bits_per(net, sum(line.nats for line in own[:5])), rel=1e-6
    )


def test_both_ways_to_a_term_agree(standins: list[str]) -> None:
    net = net_of("tiny-masking")
    told = discrete_ledger.compare(net, load.gallery_digit(3, 0), None, 0)
    assert told.residual.max() < 1e-12
    np.testing.assert_allclose(told.kl, told.ce, rtol=1e-9)
    np.testing.assert_allclose(told.weight, 1 / told.t, rtol=1e-9)
    np.testing.assert_allclose(told.ce, told.weight * told.entropy, rtol=1e-9)
    assert told.masked[-1] == 784


# --- what the prose says of the shipped networks --------------------------------------------------


def variety(name: str, order: str) -> float:
    """How much the finished pictures of a run differ from each other, mean share of pixels."""
    *_, (last,) = run(Start("any", 25, 0), [Row(net_of(name), order)])
    pictures = last.x.reshape(len(last.x), -1)
    return float(np.mean([(a != b).mean() for a, b in itertools.combinations(pictures, 2)]))


@pytest.mark.skipif("binary-absorbing" not in SHIPPED, reason="not shipped yet")
def test_the_most_confident_first_makes_pictures_alike_and_the_edge_comes_first() -> None:
    assert variety("binary-absorbing", "confidence") < variety("binary-absorbing", "random") / 2
    net = net_of("binary-absorbing")
    shots = run(Start("any", 25, 0), [Row(net, "confidence")])
    (half,) = next(itertools.islice(shots, 12, None))
    shown = half.x != net.mask
    assert shown[:, :4].mean() > 0.85
    assert shown[:, 12:16, 12:16].mean() < 0.05
    assert (half.x[shown] == 0).mean() > 0.95  # nothing but black


UNDOING = [n for n in SHIPPED if RECIPES[n].kernel in {"uniform", "gaussian"}]
KEEPING = [n for n in SHIPPED if RECIPES[n].kernel == "absorbing"]


def still_there(name: str, planted_at: int) -> tuple[float, Shot]:
    """Share of planted errors that are left after 25 steps, and the last of them."""
    last: Shot
    *_, (last,) = run(
        Start("each", 25, 0, 9, planted=20, planted_at=planted_at), [Row(net_of(name))]
    )
    return float(last.kept.sum() / last.planted.sum()), last


@pytest.mark.parametrize("name", UNDOING + KEEPING)
def test_who_repairs_planted_errors(name: str) -> None:
    kept, last = still_there(name, 15)
    late, _ = still_there(name, 22)
    if name in KEEPING:
        assert kept == late == 1
        return
    assert kept < 0.2
    back = float(last.back.sum() / last.planted.sum())
    assert back > 0.6 if RECIPES[name].kernel == "uniform" else 0.4 < back < 0.6  # "about half"
    assert late < kept if RECIPES[name].kernel == "uniform" else late > 0.5
    assert last.history.max() >= 2


@pytest.mark.skipif(not {"gray-absorbing", "gray-uniform"} <= set(SHIPPED), reason="not shipped")
def test_the_answer_counts_the_errors_that_the_view_opens_with() -> None:
    kept, last = still_there("gray-absorbing", 15)
    assert (kept, last.planted.sum()) == (1, 180)  # "all 180 of 180"
    assert still_there("gray-uniform", 15)[0] == pytest.approx(1 / 7, abs=0.01)  # "one in seven"
    at = open_page("discrete_sampling")
    assert {"gray-absorbing", "gray-uniform"} <= set(at.session_state["_page_defaults"]["dsrows"])
    (ask,) = (b for b in at.get("button_group") if "Both repair them" in b.options)
    ask.set_value("Both repair them").run()
    said = " ".join(m.value for m in at.markdown)
    assert "absorbing keeps all 180 of 180 errors, uniform about one in seven" in said
    press(at, "question")
    sound(at)
    assert at.session_state["dsview"] == "error"
    legend = next(h.proto.body for h in at.get("html") if "still there</span>" in h.proto.body)
    assert "[MASK] of gray-absorbing" in legend


@pytest.mark.skipif(not {"gray-absorbing", "gray-uniform"} <= set(SHIPPED), reason="not shipped")
def test_an_error_is_doubted_where_it_may_be_one() -> None:
    rows = [Row(net_of("gray-absorbing")), Row(net_of("gray-uniform"))]
    frames = list(run(Start("each", 25, 0, 9, planted=20, planted_at=15), rows))
    for told in (error_table(frames, rows, 15), error_table(frames[:18], rows, 15)):
        lines = [re.findall(r"<td>([^<]*)</td>", line) for line in told.split("<tr>")[2:]]
        assert lines[0][:3] == ["gray-absorbing", "180", "0 (0 %)"]
        assert int(lines[1][2].split()[0]) == pytest.approx(150, abs=20)
    assert error_table(frames[:15], rows, 15).count("–") == 6  # none is in yet


def test_a_judged_sample_counts() -> None:
    digits = torch.from_numpy(np.stack([load.gallery_digit(d, 0) for d in range(10)]))
    point = discrete_quality.judged(digits, 4, torch.arange(10))
    assert point.right is not None
    assert point.right >= 7
    assert point.classes >= 7
    blind = discrete_quality.judged(digits, 4, None)
    assert blind.right is None
    assert "certain" in discrete_quality.caption(blind)
    assert "±" in discrete_quality.caption(point._replace(right=30))


def test_networks_of_one_recipe_are_ranked_by_the_bound(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = ["tiny-uniform", "tiny-gaussian", "tiny-gray", "tiny-masking"]
    install(monkeypatch, tmp_path, names)
    assert discrete_networks.siblings("tiny-uniform", names) == names[:3]
    for name, bits in zip(names, (0.75, 0.5, 0.51, 0.1), strict=True):
        path = tmp_path / name / "card.json"
        card = json.loads(path.read_text())
        card["metrics"] = [
            {"name": discrete_quality.BITS, "value": bits, "standard_error": 0.01},
            {"name": "Fréchet distance", "value": 20.5, "reference": "floor 14.25"},
        ]
        path.write_text(json.dumps(sealed(card)))
    said: list[str] = []
    monkeypatch.setattr(discrete_quality.st, "markdown", said.append)
    monkeypatch.setattr(discrete_quality.st, "caption", said.append)
    discrete_quality.kernels_compared("tiny-uniform")
    best = f"| discretised Gaussian | {plus_minus('0.5', '0.01')}"
    assert said[0].index(best) < said[0].index("| uniform | 0.75")
    assert "discretised Gaussian level with absorbing better than uniform" in said[1]
    assert "| 0.1 " not in said[0]
    assert "| 20.5 |" in said[0]
    assert said[1].count("floor 14.25") == 1
    said.clear()
    discrete_quality.kernels_compared("tiny-masking")
    assert not said
