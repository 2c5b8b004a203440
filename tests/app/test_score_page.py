"""The page on the score: every view, and every number and claim of its text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffusion_core.checkpoints import load
from diffusion_core.mixtures import PLANE_DATA, mixture_denoiser, mixture_log_density
from pages.shared import score_digits, score_noise, score_views, score_world
from pages.shared.score_digits import ASKED, BY_CARD, MEASURED
from pages.shared.score_world import (
    ARROWS,
    DATA,
    LEVELS,
    LOOKS,
    PLACE_TIMES,
    STEPS,
    WALKERS,
    Place,
    Walks,
    true_share,
)
from tests.app.pauses import frames_of
from tests.app.test_pages import open_page

DEFAULT_RATE = 0.3


def walks(data: str = "two", steps: int = 60, level: int = 20, seed: int = 0) -> Walks:
    return Walks(*score_world.walks(data, steps, level, seed))


def text(at: object) -> str:
    return " ".join(m.value for m in at.markdown)  # type: ignore[attr-defined]


@pytest.mark.parametrize("digit", ["one of each", "7"])
@pytest.mark.parametrize("calls", score_digits.CALLS)
def test_the_view_of_digits(digit: str, calls: int) -> None:
    at = open_page("score", scview="Digits", scdigit=digit, sccalls=str(calls))
    assert not at.exception
    assert not at.error
    assert not at.toast
    assert not [w for w in at.segmented_control if w.key == "scdata"]  # points are not asked for


@pytest.mark.parametrize("rate", MEASURED)
def test_how_many_digits_are_recognised(rate: float) -> None:
    denoiser, _ = load("digits-eps")
    found = score_digits.recognised(denoiser, rate)
    np.testing.assert_allclose(found, MEASURED[rate], atol=0.05)
    said = text(open_page("score"))
    sde, ode, corrected, alone = MEASURED[rate]
    if rate == 1.0:
        assert (
            f"With 20 calls each, of {ASKED} digits {sde:.1%} (SDE), {ode:.1%} (ODE), "
            f"{corrected:.1%} (corrected) and {alone:.1%} (Langevin) are recognised"
        ) in said
    assert f"{alone:.0%}" in said
    assert abs(found[2] - found[0]) < 0.05  # "does about as well"
    assert found[3] < found[1] - 0.15  # Langevin alone does not
    assert MEASURED[1.0][3] > MEASURED[0.3][3] + 0.15  # long steps are faster


def test_without_fresh_noise_fewer_are_recognised() -> None:
    denoiser, card = load("digits-eps")
    for share, eta in zip(BY_CARD, (", eta 1", ""), strict=True):
        (found,) = [
            metric for metric in card.fields["metrics"]
            if metric["name"] == "recognised as its class"
            and metric["setting"] == f"ddim, 50 steps, seed 10000{eta}"
        ]  # fmt: skip
        assert (found["value"], found["samples"]) == (share, 2000)
    said = text(open_page("score"))
    assert (
        f"of 2,000 digits in 50 calls {BY_CARD[0]:.1%} are recognised with fresh noise and "
        f"{BY_CARD[1]:.1%} without"
    ) in said
    assert BY_CARD[0] - BY_CARD[1] > 2 * (2 * 0.03 / 2000) ** 0.5  # two standard errors
    rows = frames_of(score_digits.walks(denoiser, "each", 50, DEFAULT_RATE, 0))
    sde, ode, corrected, _ = np.array([[moment.sure for moment in row] for row in rows]).T
    assert ode[25:].max() < 0.85  # "settles below orange and blue, and does not come back"
    assert min(sde[25:].min(), corrected[25:].min()) > 0.9
    pairs = [[moment.t for moment in row] for row in rows]
    assert [t[2] for t in pairs[:-1:2]] == [t[2] for t in pairs[1::2]]  # "stays for two calls"


def test_what_the_chart_of_noise_shows() -> None:
    denoiser, _ = load("digits-eps")
    seen = {}
    for rate in (DEFAULT_RATE, 1.0):
        rows = frames_of(score_digits.walks(denoiser, "each", 20, rate, 0))
        assert len(rows) == 21
        seen[rate] = np.array([[moment.noise for moment in row] for row in rows[:-1]])
    ends = frames_of(score_digits.walks(denoiser, "each", 20, 1.0, 0))[-1]
    assert all(moment.sure > 0.6 for moment in ends)  # "most of the nine are digits"
    sde, ode, corrected, langevin = seen[DEFAULT_RATE].T
    for near in (sde, ode, corrected):
        assert np.abs(near - 1).max() < 0.1
    assert langevin[10] > 1.1
    assert langevin[-1] == langevin.max() > 1.5  # "the more so the nearer it is to the end"
    _, _, corrected, langevin = seen[1.0].T
    assert min(corrected[1], langevin[1]) > 1.08  # "too noisy from the first step on"
    assert langevin[-1] < seen[DEFAULT_RATE][-1, 3] - 0.1  # "red ends less far off"


@pytest.mark.parametrize("view", ["Three walks", "One place", "Learning"])
@pytest.mark.parametrize("data", list(DATA.values()))
def test_every_view_of_every_data(view: str, data: str) -> None:
    at = open_page("score", scview=view, scdata=data)
    assert not at.exception
    assert not at.error
    assert any("diffusion_player" in i.proto.component_name for i in at.get("bidi_component"))


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("level", LEVELS)
def test_walks_in_all_settings(steps: int, level: int) -> None:
    told = walks("spiral", steps, level, 1)
    assert told.points.shape == (3, steps + 1, WALKERS, 2)
    assert np.isfinite(told.points).all()
    assert np.array_equal(told.points[0, 0], told.points[1, 0])
    assert np.array_equal(told.points[0, 0], told.points[2, 0])
    score_views.walk_frames(told, "spiral", steps, level)


def test_the_true_share_is_that_of_draws() -> None:
    mixture, n = PLANE_DATA["two"](), 400_000
    generator = torch.Generator().manual_seed(0)
    clean = mixture.sample(n, generator)
    noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    for t in (0, 200, 300, 600, 1000):
        x_t = score_world.diffusion().q_sample(clean, torch.full((n,), t), noise)
        share = float((x_t.sum(1) < 0).double().mean())
        assert true_share(mixture, t) == pytest.approx(share, abs=4e-3)


def test_what_is_said_of_the_walks() -> None:
    """Prediction, confusions 3 to 6, and the first experiment."""
    at = open_page("score")
    said = text(at)
    at.pills[0].select("The two that go down the noise levels")
    said += text(at.run())
    told = walks()
    share, far, drawn = told.share[:, -1], told.far[:, -1], told.drawn[-1]
    mixture = PLANE_DATA["two"]()
    for number in (*share, true_share(mixture, 20), told.crossed):
        assert f"{number:.0%}" in said
    for number in (far[0], far[1], drawn):
        assert f"{number:.2f}" in said
    # Those whose noise falls have the right shares, as far as 300 draws can tell; the third not.
    usual = (0.2 * 0.8 / WALKERS) ** 0.5
    assert (abs(share[:2] - 0.2) < 2 * usual).all()
    assert share[2] > 0.2 + 10 * usual
    assert np.ptp(told.share[2]) < 0.05  # "the red line never moves"
    assert (told.far[:2] < told.drawn + 0.06).all()  # "at every t": beside 0.7 for Langevin's
    blurred = walks(level=300)
    assert f"{blurred.share[2, -1]:.0%}" in said
    assert f"{true_share(mixture, 300):.0%}" in said
    assert abs(blurred.share[2, -1] - true_share(mixture, 300)) < 2 * usual
    falling = walks(level=0)
    assert f"{falling.share[2, -1]:.0%}" in said
    assert f"{falling.far[2, -1]:.2f} away" in said
    assert falling.far[2, -1] > 1.5 * falling.drawn[-1]
    short = walks(steps=10)
    assert f"{short.far[0, -1]:.2f} from the data" in said
    assert f"is {short.far[1, -1]:.2f} away" in said
    assert short.far[0, -1] > 1.5 * short.far[1, -1]
    narrow = [points[points.sum(1) > 0].std() for points in short.points[:2, -1]]
    assert max(narrow) < 0.75 * mixture.std  # "too narrow"


def test_the_ring_does_not_give_langevin_away() -> None:
    told = walks("ring")
    assert told.far[2, -1] < 1.3 * told.drawn[-1]


def test_what_is_said_of_one_place() -> None:
    told, said = Place(*score_world.place("two", -0.1, -0.1, 0)), text(open_page("score"))
    at = PLACE_TIMES.index(200)
    lengths = np.linalg.norm(told.signal[at, :, 2:], axis=1)
    pull = float(np.linalg.norm(told.pull[at, 0, 2:]))
    assert pull < lengths.min()  # "much shorter than any of them"
    assert told.signal.shape[1] == ARROWS
    sides = (told.signal[at, :, 2:].sum(1) > 0).mean()
    assert 0.3 < sides < 0.7  # "go two ways"
    mean = told.mean[at, 0]
    assert f"({mean[0]:.2f}, {mean[1]:.2f})" in said
    nearest = np.linalg.norm(told.x0[at] - mean, axis=1).min()
    assert nearest > 0.5  # "where no blue point is"
    low = np.array([[*mean], [1.2, 1.2]])
    log = mixture_log_density(
        score_world.diffusion(), PLANE_DATA["two"](), torch.tensor(low), torch.zeros(2).long()
    )
    assert f"{float((log[0] - log[1]).exp()):.0e}" in said
    # "Go on to t = 80", and arrows end on the signal of the blue points.
    later = PLACE_TIMES.index(80)
    assert (told.x0[later].sum(1) < 0).mean() > 0.9  # one group has nearly dropped out
    assert told.mean[later, 0].sum() < -1  # and the dot has gone to the other
    assert abs(told.mean[-1, 0] - np.array([-0.1, -0.1])).max() < 0.01
    a = score_world.diffusion().schedule.alpha_bar[200].item() ** 0.5
    tips = told.signal[at, :, :2] + told.signal[at, :, 2:]
    np.testing.assert_allclose(tips, a * told.x0[at, :ARROWS], atol=1e-5)
    tip = told.pull[at, 0, :2] + told.pull[at, 0, 2:]
    np.testing.assert_allclose(tip, a * mean, atol=1e-5)


def test_what_is_said_of_the_network() -> None:
    said = text(open_page("score"))
    lessons = frames_of(score_world.lessons("two", 200, 0))
    assert len(lessons) == LOOKS + 1
    assert lessons[-1].steps == 1500
    first, last = (lesson.errors for lesson in (lessons[10], lessons[-1]))
    assert lessons[10].steps == 300
    assert f"{last.floor:.3f} in all" in said
    process, mixture = score_world.diffusion(), PLANE_DATA["two"]()
    generator = torch.Generator().manual_seed(9)
    for least, beyond in ((1, 20), (301, 1001)):
        t = torch.randint(least, beyond, (40_000,), generator=generator)
        x0, eps = mixture.sample(len(t), generator), torch.randn(len(t), 2, generator=generator)
        x_t = process.q_sample(x0, t, eps.double())
        wrong = float((mixture_denoiser(process, mixture)(x_t, t).eps - eps).square().mean())
        assert any(
            f"{wrong + d:.2f} {word}" in said
            for d in (-0.01, 0, 0.01)
            for word in ("for t below 20", "above 300")
        )
    assert "ends at 0.147" in said
    assert last.loss == pytest.approx(0.147, abs=1.5e-3)
    assert last.loss - last.floor == pytest.approx(last.score, rel=0.3)  # "on average"
    share = float((lessons[-1].drawn.sum(1) < 0).mean())
    assert "12% of its walks" in said
    assert share == pytest.approx(0.125, abs=0.03)
    assert lessons[-1].share == share
    assert 1 / 12 < last.score / first.score < 1 / 5.5  # "to an eighth"
    assert 0.85 < last.loss / first.loss < 0.94  # "by a tenth"


def test_what_is_said_of_a_spiral_that_is_learnt() -> None:
    lessons = frames_of(score_world.lessons("spiral", 50, 0))
    shares = [lessons[i].near for i in (10, LOOKS)]
    assert shares[0] == pytest.approx(2 / 3, abs=0.08)
    assert shares[1] == pytest.approx(0.9, abs=0.05)


def test_arrows_are_the_score_by_hand() -> None:
    """Of a ring at t = 300: direction everywhere, length where it is not cut."""
    found = score_world.field("ring", (300,))[0].astype(float)
    middles = torch.tensor(found[:, :2] + found[:, 2:] / 2, requires_grad=True)
    steps = torch.full((len(middles),), 300)
    mixture_log_density(
        score_world.diffusion(), PLANE_DATA["ring"](), middles, steps
    ).sum().backward()
    assert middles.grad is not None
    slope = middles.grad.numpy()
    cosine = (slope * found[:, 2:]).sum(1) / np.linalg.norm(slope, axis=1)
    np.testing.assert_allclose(cosine, np.linalg.norm(found[:, 2:], axis=1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("noise", score_noise.NOISES)
@pytest.mark.parametrize("eta", score_noise.ETAS)
def test_the_view_of_noise(noise: str, eta: float) -> None:
    at = open_page(
        "score", scview="How much noise", scnoise=score_noise.NOISES[noise], sceta=f"{eta:g}"
    )
    assert not at.exception
    assert not at.error
    assert not at.toast
    kinds = [i.proto.component_name for i in at.get("bidi_component")]
    assert sum("diffusion_plot" in kind for kind in kinds) == 2


def test_what_is_said_of_langevins_noise() -> None:
    said, eta = text(open_page("score")), score_noise.ETA
    ends = [(c**2 / (2 * eta - eta**2)) ** 0.5 for c in ((2 * eta) ** 0.5, eta**0.5, eta)]
    assert (
        f"for η = {eta:g} the standard deviation at {ends[0]:.3f} with √(2η), {ends[1]:.3f} with "
        f"√η, {ends[2]:.3f} with η"
    ) in said
    # The chart's names and lines: as long as they go, towards those ends.
    assert [score_noise.at_rest(noise, eta) for noise in score_noise.NOISES] == pytest.approx(ends)
    for noise, end in zip(score_noise.NOISES, ends, strict=True):
        line = score_noise.spread(noise, eta)
        assert len(line) == score_noise.FIRST + 1
        assert (np.diff(line) < 0).all()  # all begin too wide
        assert line[-1] - end < 0.1 * (line[0] - end)
    # p and p² by the bells themselves; the walkers by walking anew.
    x = np.linspace(-6, 6, 24_001)
    p = 0.35 * np.exp(-2 * (x + 1) ** 2) + 0.65 * np.exp(-2 * (x - 1) ** 2)
    left = [(p**k)[x < 0].sum() / (p**k).sum() for k in (1, 2)]
    rests = {n: score_noise.Rest(*score_noise.walked(n, eta)) for n in score_noise.NOISES}
    shares = [float((rest.x < 0).mean()) for rest in rests.values()]
    assert shares[:2] == pytest.approx(score_noise.LEFT, abs=5e-4)
    assert (
        f"of p {left[0]:.0%} lie left of 0, of p² {left[1]:.0%}, of the walkers "
        f"{shares[0]:.0%} and {shares[1]:.0%}"
    ) in said
    assert rests["root"].temperature == pytest.approx(0.5)
    assert rests["step"].temperature == pytest.approx(eta / 2)
    for share, truth in zip(shares, left, strict=False):
        assert abs(share - truth) < 4 * (truth * (1 - truth) / score_noise.WALKERS) ** 0.5
    # "Climbs the hill it stands on and stays": two spikes, shared as the start was.
    assert np.abs(np.abs(rests["step"].x) - 1).max() < 0.25
    assert 0.4 < shares[2] < 0.6
    # "The bars follow the dotted line, narrower than p and with less in the smaller hump".
    figure = score_noise.humps_figure(rests["root"], "root")
    bars, line, dotted = figure["data"]
    for other in (line, dotted):
        at = np.interp(bars["x"], other["x"], other["y"])
        gap = np.abs(bars["y"] - at).sum() * bars["width"] / 2  # share that would have to move
        assert (gap < 0.08) == (other is dotted)
    assert sum(dotted["y"]) * (dotted["x"][1] - dotted["x"][0]) == pytest.approx(1, abs=1e-3)
