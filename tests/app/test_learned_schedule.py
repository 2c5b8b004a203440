"""The page of the learned schedule: every view, real draws, links, and life without the network."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from diffusion_core.checkpoints import CheckpointError
from pages.shared import load, vdm_charts, vdm_views
from pages.shared.ledger import bits_per_dim, face, sha_of
from pages.shared.vdm_charts import (
    ENOUGH,
    begins_with_a_spike,
    expected_rare,
    mean_over_time,
    of_whole,
    sampled,
)
from pages.shared.vdm_views import (
    FULL,
    NETWORK,
    STEPS,
    ends_of,
    moved_ends,
    on_path,
    on_quietest,
    real_draws,
    terms,
    told_position,
)
from tests.app.plots import plots
from tests.app.test_pages import open_page

VIEWS = ("The path", "T steps", "The ends")
START = {"ls_view": "The path", "ls_path": FULL // 2, "ls_n": 64, "ls_T": 100, "ls_seed": 0}


@pytest.fixture
def pixels() -> bytes:
    return vdm_views.cleaned(load.gallery_digit(3, 0)).tobytes()


@pytest.fixture
def sha() -> str:
    return sha_of(NETWORK)


def words(at: AppTest) -> str:
    return " ".join([*(m.value for m in at.markdown), *(c.value for c in at.caption)])


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_runs_and_shows_no_nan(view: str) -> None:
    at = open_page("learned_schedule", ls_view=view)
    assert not at.exception
    assert not at.error
    assert not at.toast
    assert at.session_state["ls_view"] == view
    assert not re.search(r"\b(nan|inf)\b", words(at))


def test_the_bound_stays_and_the_variance_moves() -> None:
    """What the page says, read off the page."""
    at = open_page("learned_schedule")
    bounds, variances = set(), set()
    for position in (-FULL, -45, 0, 70, FULL):
        at.session_state["ls_path"] = position
        at.run()
        assert not at.exception
        said = words(at)
        bounds |= set(re.findall(r"\*\*([\d.]+\s±\s[\d.]+) bits/dim\*\* on this path", said))
        variances |= set(re.findall(r"draw here: \*\*([^*]+)\*\*", said))
    assert len(bounds) == 1
    assert len(variances) == 5


@pytest.mark.parametrize("position", [-FULL, -45, 0, 70, FULL])
def test_very_many_steps_cost_the_same_on_every_path(
    pixels: bytes, sha: str, position: int
) -> None:
    """What is printed for continuous time has no path in it; a sum of steps has, and ends there."""
    told = terms(pixels, 0, 0, None, sha).diffusion.mean
    assert terms(pixels, 0, position, 100_000, sha).diffusion.mean == pytest.approx(told, rel=0.01)
    assert terms(pixels, 0, position, 10, sha).diffusion.mean > 1.5 * told


@pytest.mark.parametrize("digit", [1, 3, 5, 8])
def test_what_is_said_of_the_ends(digit: int, sha: str) -> None:
    """In nats: the first is least where it was learned, beyond the second is little to gain."""
    low, high = moved_ends(vdm_views.cleaned(load.gallery_digit(digit, 0)).tobytes(), 0, sha)
    assert low.gamma[low.total.argmin()] == pytest.approx(low.learned)
    here = int(np.abs(high.gamma - high.learned).argmin())
    assert (np.diff(high.total[: here + 1]) < -1).all()
    assert 0 < high.total[here] - high.total.min() < 1


def test_the_cosine_s_spike_is_told_where_there_is_one(pixels: bytes, sha: str) -> None:
    """Gallery digits have it; a frame of black and white alone has not."""
    frame = np.zeros((28, 28), np.uint8)
    frame[4:24, 4:24] = 255
    frame[6:22, 6:22] = 0
    for picture, spike in ((pixels, True), (frame.tobytes(), False)):
        cosine = on_path(picture, 0, FULL, sha)
        assert begins_with_a_spike(cosine) == spike
        assert (cosine.cost.argmax() == 0) == spike
        others = [on_path(picture, 0, at, sha).variance.mean for at in (-FULL, 0)]
        assert (cosine.variance.mean > max(others)) == spike
        assert (cosine.variance.mean < min(others)) != spike
    at = open_page("learned_schedule")
    assert "stands in its spike at t = 0" in words(at)


def test_the_sentence_on_the_spike_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vdm_charts, "begins_with_a_spike", lambda told: False)
    said = words(open_page("learned_schedule"))
    assert "spike" not in said.split("In the second chart")[1].split("scatter.")[0]
    assert "as the table says. The flatter" in said


def test_all_lines_of_the_second_chart_have_one_mean(pixels: bytes, sha: str) -> None:
    cost = terms(pixels, 0, 0, None, sha).diffusion.mean
    for at in (-FULL, -45, 0, FULL // 2, FULL):
        assert mean_over_time(on_path(pixels, 0, at, sha)) == pytest.approx(cost, rel=0.01)


def test_only_the_cosine_has_too_few_draws(pixels: bytes, sha: str) -> None:
    few = [expected_rare(on_path(pixels, 0, at, sha), 64) < ENOUGH for at in (-FULL, 0, FULL)]
    assert few == [False, False, True]


def test_the_bound_of_moved_ends_is_the_page_s_own(pixels: bytes, sha: str) -> None:
    whole = terms(pixels, 0, 0, None, sha)
    for end in moved_ends(pixels, 0, sha):
        here = int(np.abs(end.gamma - end.learned).argmin())
        diffusion, bound = of_whole(end, whole)
        assert bound[here] == pytest.approx(bits_per_dim(whole.total.mean))
        assert diffusion[here] == pytest.approx(bits_per_dim(whole.diffusion.mean))
        rest = bound - diffusion - bits_per_dim(1.0) * end.own  # the other end's own term
        own = (whole.reconstruction.mean, whole.prior)
        other = own[1] if end.own[here] == pytest.approx(own[0]) else own[0]
        np.testing.assert_allclose(rest, bits_per_dim(other), rtol=1e-6, atol=1e-9)


def test_the_learned_path_falls_behind_on_a_face(pixels: bytes, sha: str) -> None:
    """The experiment: the sheet to draw on begins with it."""
    behind = []
    for picture in (vdm_views.cleaned(face()).tobytes(), pixels):
        learned, best = on_path(picture, 0, 0, sha), on_quietest(picture, 0, sha)
        behind.append(learned.variance.mean / best.variance.mean)
    assert behind[0] > behind[1]


def test_the_path_is_told_in_words() -> None:
    found = [told_position(p) for p in (-FULL, -25, 0, 60, FULL)]
    assert found[::2] == ["linear", "learned", "cosine"]
    assert found[1::2] == ["75% learned, 25% linear", "40% learned, 60% cosine"]


def test_drawing_for_real_fills_the_table_and_is_remembered() -> None:
    at = open_page("learned_schedule", ls_n="32")
    charts = len(plots(at))
    at.button(key="ls_draw").click().run()
    assert not at.exception
    assert len(plots(at)) == charts + 1
    row = next(line for line in words(at).split("\n") if line.startswith("| cosine"))
    assert row.count("too few draws (") == 2  # bound and variance
    few = re.search(r"Too few \(([^)]*)\): of 32 draws", words(at))
    rows = [line for line in words(at).split("\n") if "too few draws (" in line]
    assert few
    assert few[1].split(", ") == [row.split("|")[1].strip(" *") for row in rows]
    at.run()
    assert len(plots(at)) == charts + 1
    at.session_state["ls_path"] = 0
    assert len(plots(at.run())) == charts


def test_all_steps_can_be_drawn_for_real() -> None:
    at = open_page("learned_schedule", ls_view="T steps", ls_T="10")
    assert "each drawn once" not in words(at)
    at.button(key="ls_sum").click().run()
    assert not at.exception
    assert "**10 steps, each drawn once:**" in words(at)


@pytest.mark.parametrize(
    "query",
    [
        {"ls_path": "101"},
        {"ls_path": "nan"},
        {"ls_view": "everything"},
        {"ls_n": "7"},
        {"ls_seed": "1e99"},
        {"ls_seed": "<script>alert(1)</script>"},
        {"nonsense": "1"},
    ],
)
def test_a_hostile_link_gets_a_default_and_a_sentence(query: dict[str, str]) -> None:
    at = open_page("learned_schedule", **query)
    assert not at.exception
    for key, value in START.items():
        if key != "ls_T":  # belongs to another view
            assert at.session_state[key] == value
    assert len(at.toast) == len(query)


def test_without_the_network_the_paths_are_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise CheckpointError("The network is not here.")

    vdm_views.variational.clear()
    monkeypatch.setattr(vdm_views, "load_variational", missing)
    at = open_page("learned_schedule")
    assert not at.exception
    assert [error.value for error in at.error] == ["The network is not here."]
    assert len(plots(at)) == 1
    assert "from linear to cosine" in words(at)
    monkeypatch.undo()
    assert not open_page("learned_schedule").error  # the failure was not remembered


# --- the numbers ----------------------------------------------------------------------------------


def test_every_path_has_the_network_s_own_ends(pixels: bytes, sha: str) -> None:
    for position in (-FULL, -30, 0, 30, FULL):
        told = on_path(pixels, 0, position, sha)
        assert told.gamma[[0, -1]] == pytest.approx(ends_of(sha), abs=1e-6)
        assert (np.diff(told.gamma) > 0).all()
        assert (np.diff(told.when) > 0).all()


def test_the_quietest_path_is_flat_and_quieter_than_all(pixels: bytes, sha: str) -> None:
    best = on_quietest(pixels, 0, sha)
    for position in (-FULL, 0, FULL):
        assert best.variance.mean < on_path(pixels, 0, position, sha).variance.mean
    assert best.cost.max() < 2 * best.cost.min()


def test_both_charts_of_the_path_show_the_quietest(pixels: bytes, sha: str) -> None:
    best = on_quietest(pixels, 0, sha)
    gamma, cost = (
        next(line for line in figure["data"] if line["name"] == "quietest")
        for figure in plots(open_page("learned_schedule"))[:2]
    )
    np.testing.assert_allclose(gamma["y"], best.gamma, rtol=1e-4)
    np.testing.assert_allclose(cost["y"], bits_per_dim(1.0) * best.cost, rtol=1e-4)


def test_more_steps_come_down_to_continuous_time(pixels: bytes, sha: str) -> None:
    for position in (-FULL, 0, FULL):
        found = [terms(pixels, 0, position, T, sha).total.mean for T in STEPS]
        limit = terms(pixels, 0, position, None, sha).total.mean
        assert found == sorted(found, reverse=True)
        assert found[-1] > limit


def test_real_draws_agree_with_the_table(pixels: bytes, sha: str) -> None:
    counted: list[int] = []
    draws = real_draws(pixels, 0, 0, 128, sha, counted.append)
    assert sum(counted) == len(draws) == 128
    mean, _ = sampled(draws)
    told = terms(pixels, 0, 0, None, sha).total
    error = math.hypot(mean.standard_error, told.standard_error)
    # The table joins its gammas with straight lines: a few percent beside what chance does.
    assert abs(mean.mean - told.mean) < 4 * error + 0.05 * told.mean


def test_few_draws_on_the_cosine_path_say_too_little(pixels: bytes, sha: str) -> None:
    """What the first Why has its reader see, with the page's seed and number of draws."""
    bound = terms(pixels, 0, 0, None, sha).total.mean
    found = {at: sampled(real_draws(pixels, 0, at, 64, sha, print))[0] for at in (-FULL, 0, FULL)}
    off = {at: (mean.mean - bound) / mean.standard_error for at, mean in found.items()}
    assert abs(off[-FULL]) < 2.5
    assert abs(off[0]) < 2.5
    assert off[FULL] < -5


def test_the_learned_path_is_quieter_than_the_fixed_ones(pixels: bytes, sha: str) -> None:
    """On a digit that looks like those it was trained on."""
    linear, learned, cosine = (on_path(pixels, 0, p, sha).variance for p in (-FULL, 0, FULL))
    assert learned.mean + 3 * learned.standard_error < linear.mean < cosine.mean


def test_an_uncleaned_digit_costs_several_times_as_much(pixels: bytes, sha: str) -> None:
    raw = load.gallery_digit(3, 0)
    costs = [terms(p, 0, 0, None, sha).total.mean for p in (raw.tobytes(), pixels)]
    assert costs[0] > 2 * costs[1]
    clean = vdm_views.cleaned(raw)
    assert np.abs(clean.astype(int) - raw).max() < vdm_views.FAINT
    assert set(np.unique(clean)) <= {0, 255, *range(vdm_views.FAINT, 256 - vdm_views.FAINT)}
