"""Schedules drawn, rescaled, matched and respaced the wrong way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from diffusion_core.drawn import (
    LEAST_DROP,
    LEAST_POINTS,
    MOST_POINTS,
    from_points,
    mend_points,
    read_points,
    write_points,
)
from diffusion_core.schedules import (
    SCHEDULES,
    NoiseSchedule,
    evenly_spaced,
    nearest_snr,
    rescale_zero_terminal_snr,
    respace_with_picked_betas,
)
from tests.core.oracles import BETAS, alpha_bar_of, close, zero_terminal_snr

LENGTHS = (2, 3, 10, 1000)
DRAWINGS = {
    "typical": [(0.25, 0.95), (0.5, 0.6), (0.75, 0.1), (1.0, 0.0)],
    "straight": [(0.5, 0.5), (1.0, 0.0)],
    "one point": [(1.0, 0.2)],
    "steps": [(0.1, 0.999), (0.11, 0.002), (0.9, 0.001), (1.0, 0.0)],
    "early": [(0.001, 0.5), (0.002, 0.4), (1.0, 0.399)],
}


def the(points: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    u, y = zip((0.0, 1.0), *points, strict=True)
    return np.array(u), np.array(y)


# --- drawn ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", DRAWINGS.values(), ids=DRAWINGS)
@pytest.mark.parametrize("T", [1, *LENGTHS])
def test_a_drawing_becomes_a_schedule(points: list[tuple[float, float]], T: int) -> None:
    schedule = from_points(points, T)
    assert (schedule.name, schedule.T) == ("drawn", T)
    assert schedule.alpha_bar[0] == 1
    assert schedule.alpha_bar[-1] == points[-1][1]
    assert (schedule.alpha_bar.diff() < 0).all()


@pytest.mark.parametrize("points", DRAWINGS.values(), ids=DRAWINGS)
def test_the_curve_runs_through_its_points_and_stays_between_them(
    points: list[tuple[float, float]],
) -> None:
    """Also between 0.999 and 0.002 a hundredth later: no overshoot."""
    alpha_bar = from_points(points, 1000).alpha_bar.numpy()
    u, y = the(points)
    np.testing.assert_allclose(alpha_bar[(u * 1000).round().astype(int)], y, atol=1e-12)
    for i in range(len(points)):
        between = alpha_bar[round(u[i] * 1000) : round(u[i + 1] * 1000) + 1]
        assert between.max() <= y[i] + 1e-12
        assert between.min() >= y[i + 1] - 1e-12


def test_the_curve_is_the_published_cubic() -> None:
    """By hand: h = 1/4, 1/4, 1/2; slopes d = -0.4, -1.6, -0.8; Hermite from its definition."""
    points = [(0.25, 0.9), (0.5, 0.5), (1.0, 0.1)]
    m1 = 1.5 / (0.75 / -0.4 + 0.75 / -1.6)  # both weights are 3/4
    m2 = (1.25 + 1.0) / (1.25 / -1.6 + 1.0 / -0.8)  # w1 = 2·½ + ¼, w2 = ½ + 2·¼
    curve = from_points(points, 1000).alpha_bar

    def hermite(s: float, h: float, y: tuple[float, float], m: tuple[float, float]) -> float:
        return (
            (1 + 2 * s) * (1 - s) ** 2 * y[0] + s * (1 - s) ** 2 * h * m[0]
            + s * s * (3 - 2 * s) * y[1] + s * s * (s - 1) * h * m[1]
        )  # fmt: skip

    for t in (260, 300, 375, 499):
        expected = hermite((t / 1000 - 0.25) / 0.25, 0.25, (0.9, 0.5), (m1, m2))
        assert float(curve[t]) == pytest.approx(expected, rel=1e-12)


def test_points_on_a_line_give_the_line() -> None:
    close(from_points(DRAWINGS["straight"], 10).alpha_bar, np.linspace(1, 0, 11))
    close(from_points([(1.0, 0.2)], 10).alpha_bar, np.linspace(1, 0.2, 11))


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        ([], "in order"),
        ([(0.5, 0.5)], "in order"),
        ([(0.0, 0.9), (1.0, 0.0)], "in order"),
        ([(0.6, 0.5), (0.4, 0.3), (1.0, 0.0)], "in order"),
        ([(0.5, 0.5), (0.5, 0.4), (1.0, 0.0)], "in order"),
        ([(0.5, 0.5), (1.0, 0.5)], "fall"),
        ([(0.5, 0.5), (1.0, 0.6)], "fall"),
        ([(0.5, 1.0), (1.0, 0.5)], "fall"),
        ([(0.5, 0.5), (1.0, -0.1)], "fall"),
        ([(0.5, float("nan")), (1.0, 0.0)], "finite"),
        ([(0.5, 0.5), (float("inf"), 0.0)], "finite"),
    ],
)
def test_what_is_no_schedule_is_refused(points: list[tuple[float, float]], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        from_points(points, 10)


def test_no_drawing_without_steps() -> None:
    with pytest.raises(ValueError, match="step"):
        from_points(DRAWINGS["typical"], 0)


# --- text to points -------------------------------------------------------------------------------


@pytest.mark.parametrize("points", DRAWINGS.values(), ids=DRAWINGS)
def test_text_and_back(points: list[tuple[float, float]]) -> None:
    assert read_points(write_points(points)) == points


def test_text_may_have_spaces_and_semicolons() -> None:
    assert read_points(" 0.5 : 0.4 ;1:0, ") == [(0.5, 0.4), (1.0, 0.0)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no point"),
        (" , ;", "no point"),
        ("0.5:nan,1:0", "Point 1 is not finite"),
        ("0.5:0.4,1:-inf", "Point 2 is not finite"),
        ("0.5:1e999", "Point 1 is not finite"),
        ("0.5:0.4,0.7", "Point 2 is not two numbers"),
        ("0.5:0.4:0.3", "Point 1 is not two numbers"),
        ("<script>alert(1)</script>", "Point 1 is not two numbers"),
        ("0.5:[x](javascript:1)", "Point 1 is not two numbers"),
        ("__import__('os')", "Point 1 is not two numbers"),
        ("\0:\0", "Point 1 is not two numbers"),
        (",".join("0.5:0.5" for _ in range(MOST_POINTS + 2)), "points"),
        ("1:0," * 5000, "5000 points"),
    ],
)
def test_hostile_text_is_refused_with_a_reason(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        read_points(text)
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 100  # nothing of the text is repeated


@pytest.mark.parametrize(
    ("text", "notes", "mended"),
    [
        ("0.5:0.4,1:0", [], "0.5:0.4,1:0"),
        ("0:1,0.5:0.4,1:0", [], "0.5:0.4,1:0"),  # the start may be written
        ("0.5:0.5,1:0.5", ["fall"], "0.5:0.5,1:0.499"),  # flat
        ("0.3:0.2,0.6:0.8,1:0", ["fall"], "0.3:0.2,0.6:0.199,1:0"),  # rising
        ("0.5:0,0.7:0,1:0", ["fall"], "0.5:0.002,0.7:0.001,1:0"),
        ("0.1:1,0.2:1,1:1", ["fall"], "0.1:0.999,0.2:0.998,1:0.997"),
        ("0:1,1:0", ["Two points"], "0.5:0.5,1:0"),
        ("1:0.4", ["Two points"], "0.5:0.7,1:0.4"),
        ("0.5:0.4", ["drawn on"], "0.5:0.4,1:0"),
        ("0:0.9,0.5:0.4,1:0", ["starts at"], "0.5:0.4,1:0"),
        ("1:0,0.5:0.4", ["order"], "0.5:0.4,1:0"),
        ("0.5:0.4,0.5:0.2,1:0", ["first was kept"], "0.5:0.4,1:0"),
        ("0.5:0.4,2:-3", ["outside"], "0.5:0.4,1:0"),
        ("-1e300:1e300,0.5:0.4,1:0", ["outside"], "0.5:0.4,1:0"),
        ("1e-320:0.5,0.5:0.4,1:0", ["starts at"], "0.5:0.4,1:0"),
    ],
)
def test_a_broken_drawing_is_mended(text: str, notes: list[str], mended: str) -> None:
    found = mend_points(read_points(text))
    assert write_points(found.points) == mended
    assert len(found.notes) == len(notes), found.notes
    for note, part in zip(found.notes, notes, strict=True):
        assert part in note
    from_points(found.points, 1000)


def test_whatever_is_finite_can_be_mended() -> None:
    """Two thousand drawings by a monkey; what comes out is a schedule, and stays as it is."""
    random = np.random.default_rng(0)
    for _ in range(2000):
        count = int(random.integers(1, MOST_POINTS + 1))
        scale = random.choice([0.01, 1.0, 3.0])
        points = [(float(u), float(v)) for u, v in random.normal(0.4, scale, (count, 2))]
        once = mend_points(points)
        assert LEAST_POINTS <= len(once.points) <= MOST_POINTS + 1
        drops = [v - w for (_, v), (_, w) in pairwise([(0.0, 1.0), *once.points])]
        assert min(drops) >= LEAST_DROP - 1e-12
        assert mend_points(once.points) == (once.points, [])
        assert read_points(write_points(once.points)) == once.points
        assert from_points(once.points, 1000).T == 1000


# --- zero terminal SNR ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", LENGTHS)
def test_rescaling_is_algorithm_1(name: str, T: int) -> None:
    schedule = SCHEDULES[name](T)
    rescaled = rescale_zero_terminal_snr(schedule)
    close(rescaled.alpha_bar, zero_terminal_snr(schedule.alpha_bar.numpy()))
    assert (rescaled.name, rescaled.T) == (name, T)


@pytest.mark.parametrize("name", SCHEDULES)
def test_rescaling_empties_the_last_step_and_keeps_the_first(name: str) -> None:
    schedule = SCHEDULES[name](1000)
    rescaled = rescale_zero_terminal_snr(schedule)
    assert rescaled.alpha_bar[-1] == rescaled.snr[-1] == 0
    assert rescaled.beta[-1] == 1
    assert float(rescaled.alpha_bar[1]) == pytest.approx(float(schedule.alpha_bar[1]), rel=1e-12)
    assert (rescaled.alpha_bar[2:] < schedule.alpha_bar[2:]).all()


def test_rescaling_twice_is_rescaling_once() -> None:
    once = rescale_zero_terminal_snr(SCHEDULES["linear"](1000))
    close(rescale_zero_terminal_snr(once).alpha_bar, once.alpha_bar.numpy(), 1e-14)


def test_a_single_step_can_not_be_rescaled() -> None:
    with pytest.raises(ValueError, match="two steps"):
        rescale_zero_terminal_snr(SCHEDULES["linear"](1))


# --- equal SNR ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("other", SCHEDULES)
@pytest.mark.parametrize("T", [1, *LENGTHS])
def test_the_nearest_snr_is_found_as_by_trying_all(name: str, other: str, T: int) -> None:
    schedule, wanted = SCHEDULES[name](T), SCHEDULES[other](7).log_snr[1:]
    distance = (wanted[:, None] - schedule.log_snr[None]).abs()
    found = nearest_snr(schedule, wanted)
    rows = torch.arange(7)
    torch.testing.assert_close(distance[rows, found], distance.min(1).values, rtol=0, atol=0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_meets_itself_at_every_step(name: str) -> None:
    for schedule in (SCHEDULES[name](100), rescale_zero_terminal_snr(SCHEDULES[name](100))):
        assert torch.equal(nearest_snr(schedule, schedule.log_snr), torch.arange(101))


def test_infinite_snr_meets_the_ends() -> None:
    ends = torch.tensor([torch.inf, -torch.inf], dtype=torch.float64)
    assert nearest_snr(SCHEDULES["linear"](10), ends).tolist() == [0, 10]


# --- the strided-beta trap ------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("n", [1, 2, 10, 50])
def test_picked_betas_multiply_to_something_else(name: str, n: int) -> None:
    T = 1000
    kept = evenly_spaced(T, n)[::-1]
    schedule = SCHEDULES[name](T)
    wrong, right = respace_with_picked_betas(schedule, kept), schedule.respace(kept)
    betas = schedule.beta.numpy()[kept]
    close(wrong.alpha_bar, alpha_bar_of(betas), 1e-12)
    assert (wrong.alpha_bar[1:] >= right.alpha_bar[1:]).all()  # the skipped noise is missing
    assert float(wrong.alpha_bar[-1]) > 1.5 * float(right.alpha_bar[-1])


def test_nothing_skipped_nothing_wrong() -> None:
    schedule = SCHEDULES["cosine"](10)
    close(respace_with_picked_betas(schedule, range(1, 11)).alpha_bar, schedule.alpha_bar.numpy())


@pytest.mark.parametrize("steps", [[], [0, 3], [3, 2], [11]], ids=str)
def test_picked_timesteps_are_checked(steps: list[int]) -> None:
    with pytest.raises(ValueError, match="timestep"):
        respace_with_picked_betas(SCHEDULES["cosine"](10), steps)


def test_the_size_of_the_trap() -> None:
    """50 of 1000 linear steps, with numpy alone."""
    betas = BETAS["linear"](1000)
    left = np.prod(1 - betas[19::20]) ** 0.5
    wrong = respace_with_picked_betas(SCHEDULES["linear"](1000), range(20, 1001, 20))
    assert float(wrong.alpha_bar[-1]) ** 0.5 == pytest.approx(left, rel=1e-12)
    assert left == pytest.approx(0.77, abs=0.01)
    assert isinstance(wrong, NoiseSchedule)
