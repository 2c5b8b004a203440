"""The page on the score: every view, and every number and claim of its text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffusion_core.checkpoints import load
from diffusion_core.mixtures import PLANE_DATA, mixture_denoiser, mixture_log_density
from diffusion_core.score import sliced_distance
from diffusion_core.score_walks import WAYS, Stop, noise_seen, score_walk
from pages.shared import bench, score_digits, score_noise, score_views, score_world
from pages.shared.load import classifier
from pages.shared.score_digits import ASKED, BY_CARD, MEASURED
from pages.shared.score_facts import FINE, FINE_ENDS
from pages.shared.score_world import (
    ARROWS,
    COUNTED,
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


LOOKED = {  # what each view asks, and the answer
    ("Three walks", "Two groups"): ("One part in five", "The two that go down the noise levels"),
    ("Three walks", "Ring"): ("lie all around the middle", "Yes, as near as the others"),
    ("Three walks", "Spiral"): ("lie all around the middle", "Yes, as near as the others"),
    ("One place", "Two groups"): ("the average of the pulls", "Much weaker"),
    ("One place", "Ring"): ("the average of the pulls", "Much weaker"),
    ("One place", "Spiral"): ("the average of the pulls", "Much weaker"),
    ("How much noise", "Two groups"): ("Which noise c", "√(2η)"),
    ("Learning", "Ring"): ("What becomes of its loss", "It stops far above 0"),
    ("Digits", "Two groups"): ("full of noise", "Langevin’s"),
}


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
            f"(r = 1), of {ASKED} digits {sde:.1%} (SDE), {ode:.1%} (ODE), "
            f"{corrected:.1%} (corrected) and {alone:.1%} (Langevin) are recognised"
        ) in said
    assert f"{alone:.0%}" in said
    assert f"with r = 0.3 and 20 calls {MEASURED[0.3][3]:.0%} of the digits are" in said
    assert abs(found[2] - found[0]) < 0.05  # "does about as well"
    assert found[3] < found[1] - 0.15  # Langevin alone does not
    assert MEASURED[1.0][3] > MEASURED[0.3][3] + 0.15  # long steps are faster


def test_what_is_left_in_langevins_pictures_and_who_can_read_them() -> None:
    """`NAMED` and `READ`, on the view's nine digits."""
    denoiser, _ = load("digits-eps")
    label = bench.Start("each", 20, 0, score_digits.COUNT).label
    x_T = torch.randn(score_digits.COUNT, 1, 28, 28, generator=torch.Generator().manual_seed(0))

    def walk(way: str, rate: float) -> list[Stop]:
        fresh = torch.Generator().manual_seed(bench.FRESH_SEEDS)
        return list(
            score_walk(
                denoiser.diffusion, denoiser, x_T, way, 20, label=label, rate=rate, generator=fresh
            )
        )

    last = walk("langevin", score_digits.RATE)[-2]
    assert last.t == score_digits.LAST_T
    named, left = score_digits.NAMED
    assert noise_seen(last) == pytest.approx(named, abs=0.02)
    margin = torch.cat([last.x[..., :3, :], last.x[..., -3:, :]])
    sigma = (1 - float(denoiser.diffusion.schedule.alpha_bar[last.t])) ** 0.5
    assert float(margin.std()) / sigma == pytest.approx(left, abs=0.1)
    for way, read in zip(WAYS, score_digits.READ, strict=True):
        with torch.inference_mode():
            x = walk(way, 1.0)[-1].x.float().clamp(-1, 1)
            found = int((classifier()(x).argmax(1) == label).sum())
        assert abs(found - read) <= 1
    at = open_page("score", scview="Digits")
    at.pills[0].select("Langevin’s")
    assert f"names {named:.1f} times that level’s noise" in text(at.run())
    assert "r = 0.3 of the level’s noise variance" in " ".join(c.value for c in at.caption)


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
    sde, ode, corrected, langevin = seen[DEFAULT_RATE].T
    for near in (sde, ode, corrected):
        assert np.abs(near - 1).max() < 0.1
    assert langevin[10] > 1.1
    assert langevin[-1] == langevin.max() > 1.5  # "the more so the nearer it is to the end"
    rows = frames_of(score_digits.walks(denoiser, "each", 20, DEFAULT_RATE, 0))
    drawn = score_digits.frames(rows, 0, 20, DEFAULT_RATE)
    assert drawn.captions[-1] == (
        f"done in 20 calls · Langevin’s last was told t = {score_digits.LAST_T}, and named "
        f"{langevin[-1]:.2f} times its noise"
    )
    assert drawn.captions[10].startswith("10 of 20 calls · levels t = ")
    assert drawn.panels[3].title == "Langevin, r = 0.3"
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


@pytest.mark.parametrize(("view", "data"), LOOKED)
def test_every_view_asks_what_it_can_answer(view: str, data: str) -> None:
    at = open_page("score", scview=view, scdata=data)
    (pills,) = at.pills
    asks, answer = LOOKED[view, data]
    assert asks in pills.label
    for option in pills.options:
        at.pills[0].select(option)
        said = text(at.run())
        assert ("**Right.**" in said) == (option == answer)
        assert at.segmented_control(key="scview").label == "Look at"
        if view != "Three walks" or data == "Two groups":
            continue
        told, most = walks(data.lower()), score_world.TELLABLE[data.lower()]
        sde, ode, alone = told.far[:, -1]
        assert f"It ends {alone:.2f} from the data, the others {sde:.2f} and {ode:.2f}" in said
        assert f"farther away than {most:.2f}" in said
        assert max(told.far[:, -1]) < most + 5e-3  # "as near as the others"


def test_the_question_of_the_walks_says_of_which_it_speaks() -> None:
    """With few steps or falling noise the answer would be another one."""
    assert abs(walks(level=0).share[2, -1] - 0.2) < 0.1 < abs(walks().share[2, -1] - 0.2)
    assert walks(steps=5).share[0, -1] < walks().share[0, -1]
    for query in ({}, {"sclevel": "falling"}, {"scsteps": "5"}):
        at = open_page("score", **query)
        assert not at.toast
        assert "Langevin’s staying at t = 20 (60 steps)" in at.pills[0].label
        assert "at one level, or, set to “falling”, down them, too." in text(at)
    at = open_page("score")
    assert (at.session_state["scsteps"], at.session_state["sclevel"]) == (60, 20)
    assert "In 60 steps, does the walk that stays at t = 20" in (
        open_page("score", scdata="Ring").pills[0].label
    )


def test_pulls_disagree_on_all_data() -> None:
    for data in DATA:
        told, at = Place(*score_world.place(data, -0.1, -0.1, 0)), PLACE_TIMES.index(200)
        pull, each = (np.linalg.norm(a[at, :, 2:], axis=1).mean() for a in (told.pull, told.signal))
        page = open_page("score", scview="One place", scdata=DATA[data])
        page.pills[0].select("Much weaker")
        said = text(page.run())
        assert f"single pulls are {each:.2f} long on average, their mean {pull:.2f}" in said
        assert pull < 0.3 * each  # "much weaker"
        later, last = (PLACE_TIMES.index(t) for t in (40, 1))
        lengths = [
            [np.linalg.norm(a[k, :, 2:], axis=1).mean() for k in (later, last)]
            for a in (told.pull, told.signal)
        ]
        near, far = np.divide(*lengths)
        assert f"the mean is {near:.0%} as long as single pulls" in said
        assert near > 0.75 > 0.5 > far  # near nothing but noise is left, which points anywhere
        spread = [float(told.x0[k].std(0).mean()) for k in (later, at)]
        assert spread[0] < 0.4 * spread[1]  # "the places lie close together now"


@pytest.mark.parametrize("data", DATA)
def test_how_far_true_draws_lie(data: str) -> None:
    """One set in ten is farther than `TELLABLE` from others; the page's caption names it."""
    generator, tries = torch.Generator().manual_seed(5), 200
    sets, n = score_world.SETS[data] + 1, COUNTED[data]
    many = PLANE_DATA[data]().sample(tries * sets * n, generator).reshape(tries, sets, n, 2)
    far = sliced_distance(many[:, :1], many[:, 1:], score_world.directions()).mean(1)
    assert np.quantile(far.numpy(), 0.9) == pytest.approx(score_world.TELLABLE[data], abs=0.005)
    said = " ".join(c.value for c in open_page("score", scdata=DATA[data]).caption)
    assert "sliced Wasserstein" in said
    assert f"one in ten ends farther away than {score_world.TELLABLE[data]:.2f}" in said


def test_the_captions_name_both_levels_and_what_should_be() -> None:
    captions = score_views.walk_frames(walks(), "two", 60, 20).captions
    assert captions[15].startswith("SDE and ODE: t = 750 · Langevin: t = 20 · step 15 of 60")
    assert captions[-1].startswith("SDE and ODE: t = 0 · Langevin: t = 20 · done in 60 steps")
    assert score_views.walk_frames(walks(level=0), "two", 60, 0).captions[15].startswith("t = 750")
    lesson = next(one for one in score_world.lessons("two", 200, 0) if one is not None)
    said = score_views.lesson_frames([lesson], 0, "two", 200).captions[0]
    assert said.endswith(f"{lesson.share:.0%} at the lower left (of the data 20%)")
    assert "of the data" not in score_views.lesson_frames([lesson], 0, "ring", 200).captions[0]


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
    # Those whose noise falls have the right shares, as far as so many tell; the third has not.
    usual = (0.2 * 0.8 / COUNTED["two"]) ** 0.5
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
    assert falling.far[2, -1] > 3 * falling.drawn[-1]
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
    # On N(0, s²): s c/√(2η − η²/s²), with s = ½.
    ends = [c / (2 * eta - 4 * eta**2) ** 0.5 for c in ((2 * eta) ** 0.5, eta**0.5, eta)]
    assert (
        f"For s = 0.5 and η = {eta:g} that is s times {ends[0]:.3f} with √(2η), {ends[1]:.3f} with "
        f"√η, {ends[2]:.3f} with η; for η = 0.2 and √(2η), {(1 - 2 * 0.2) ** -0.5:.2f}"
    ) in said
    # The chart's names and lines: as long as they go, towards those ends.
    assert [score_noise.at_rest(noise, eta) for noise in score_noise.NOISES] == pytest.approx(ends)
    for noise, end in zip(score_noise.NOISES, ends, strict=True):
        line = score_noise.spread(noise, eta)
        assert len(line) == score_noise.FIRST + 1
        assert (np.diff(line) < 0).all()  # all begin too wide
        assert line[-1] - end < 0.01 * (line[0] - end)  # and come to rest within the chart
    # p and p² by the bells themselves; the walkers by walking anew.
    x = np.linspace(-6, 6, 24_001)
    p = 0.35 * np.exp(-2 * (x + 1) ** 2) + 0.65 * np.exp(-2 * (x - 1) ** 2)
    left = [(p**k)[x < 0].sum() / (p**k).sum() for k in (1, 2)]
    rests = {n: score_noise.Rest(*score_noise.walked(n, eta)) for n in score_noise.NOISES}
    shares = [float((rest.x < 0).mean()) for rest in rests.values()]
    assert shares == pytest.approx(score_noise.LEFT, abs=5e-4)
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
    end = score_noise.End(*score_noise.ending("root", eta))
    figure = score_noise.humps_figure(rests["root"], "root", end)
    bars, line, dotted = figure["data"]
    for other in (line, dotted):
        at = np.interp(bars["x"], other["x"], other["y"])
        gap = np.abs(bars["y"] - at).sum() * bars["width"] / 2  # share that would have to move
        assert (gap < 0.08) == (other is dotted)
    assert sum(dotted["y"]) * (dotted["x"][1] - dotted["x"][0]) == pytest.approx(1, abs=1e-3)


def test_what_is_seen_of_each_noise() -> None:
    """The sentence of each choice and step, against the bells and the walkers."""
    x = np.linspace(-6, 6, 24_001)
    p = 0.35 * np.exp(-2 * (x + 1) ** 2) + 0.65 * np.exp(-2 * (x - 1) ** 2)
    p /= p.sum() * 5e-4
    at_p = p[x < 0].sum() * 5e-4
    for noise, name in score_noise.NOISES.items():
        for eta in (0.02, 0.2):
            at = open_page("score", scview="How much noise", scnoise=name, sceta=f"{eta:g}")
            rest = score_noise.Rest(*score_noise.walked(noise, eta))
            end = score_noise.End(*score_noise.ending(noise, eta))
            (said,) = [m.value for m in at.markdown if m.value.startswith("**T = ")]
            assert said.startswith(f"**T = {rest.temperature:.3g}**")
            walkers = (rest.x < 0).mean()
            assert f"{walkers:.0%}" in said
            if noise == "step":  # the end is p to the power of 1/T, the walkers keep their hills
                assert f"p{round(1 / rest.temperature)}".translate(score_noise.RAISED) in said
                assert 0.43 < walkers < 0.48
                assert end.left() < 0.01
                assert f"where p has {at_p:.0%}" in said
                continue
            # Else it is where the walkers come to rest, and short steps in p to that power.
            assert f"Left of 0 it has {end.left():.0%}, p {at_p:.0%}" in said
            assert f"peak is {end.density.max():.2f} high, p’s {p.max():.2f}" in said
            usual = (end.left() * (1 - end.left()) / score_noise.WALKERS) ** 0.5
            assert abs(walkers - end.left()) < 3 * usual
            power = p ** (1 / rest.temperature)
            gap = np.abs(np.interp(end.x, x, power / (power.sum() * 5e-4)) - end.density)
            moved = gap.sum() * (end.x[1] - end.x[0]) / 2
            assert moved < 0.02 if eta == 0.02 else moved > 0.1
            if noise == "right":
                assert f"{(1 - 2 * eta) ** -0.5:.2f} times its width" in said


def test_the_longest_step_ends_elsewhere() -> None:
    said = text(open_page("score"))
    end = score_noise.End(*score_noise.ending("right", 0.2))
    assert f"For η = 0.2 it has {end.left():.0%} left of 0" in said
    valley = np.interp(0, end.x, end.density)
    p = score_noise.p_itself()
    assert valley > 1.5 * np.interp(0, p.x, p.density)  # "fills the valley"


def test_the_same_distribution_shows_in_the_numbers() -> None:
    """In 100 steps both walks have the data's share, and lie as near as true draws, any seed."""
    said = text(open_page("score"))
    for seed in (0, 3):
        told = walks(steps=FINE, seed=seed)
        assert (abs(told.share[:2, -1] - 0.2) < 0.01).all()  # "orange, purple and dashed meet"
        assert (told.far[:2, -1] < score_world.TELLABLE["two"] + 5e-3).all()
    ends = (*walks(steps=FINE).far[:2, -1], walks(steps=FINE).drawn[-1])
    assert ends == pytest.approx(FINE_ENDS, abs=5e-3)
    sde, ode, drawn = FINE_ENDS
    assert f"they end {sde:.2f} and {ode:.2f} from the data, true draws {drawn:.2f}" in said
    sde, ode, _ = walks().far[:, -1]
    assert f"too long ({sde:.2f} and {ode:.2f})" in said
    assert sde > 1.4 * ode


def test_noise_and_a_drift_up_the_score_leave_a_density_as_it_is() -> None:
    """The fold's table on N(0, v), whose score is −x/v: variances after one small step."""
    v, beta = 0.7, 1e-4
    assert (1 - 0.5 * beta / v) ** 2 * v + beta == pytest.approx(v, abs=1e-8)  # Langevin, δ = β
    before = (v - beta) / (1 - beta)  # what the next level has: v = (1 − β) before + β
    ode = (1 + 0.5 * beta - 0.5 * beta / v) ** 2 * v
    sde = (1 + 0.5 * beta - beta / v) ** 2 * v + beta
    assert [ode, sde] == pytest.approx([before] * 2, abs=1e-7)


def test_the_dashed_line_parts_the_lower_left() -> None:
    (dashed,) = score_views.walk_frames(walks(), "two", 60, 20).clouds[0].strokes
    x, y, dx, dy = dashed.places[0, 0]
    along = torch.tensor([[x, y], [x + dx, y + dy]], dtype=torch.float64)
    assert not score_world.lower_left(along + 0.01).any()
    assert score_world.lower_left(along - 0.01).all()
    assert not score_views.walk_frames(walks("ring"), "ring", 60, 20).clouds[0].strokes
    assert true_share(PLANE_DATA["two"](), 1000) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("data", ["two", "ring", "spiral"])
def test_long_arrows_are_cut_to_one_length(data: str) -> None:
    lengths = np.linalg.norm(score_world.field(data, (20, 300, 1000))[..., 2:], axis=2)
    cut = (lengths > 0.99 * lengths.max()).reshape(3, -1).mean(1)
    assert (cut > 0.3).all()
    assert (cut[1:] < 0.7).all()  # not nearly all


def test_the_read_out_is_the_score_at_the_place() -> None:
    told = Place(*score_world.place("two", -0.1, -0.1, 0))
    at = PLACE_TIMES.index(200)
    here = torch.tensor([[-0.1, -0.1]], dtype=torch.float64, requires_grad=True)
    process, mixture = score_world.diffusion(), PLANE_DATA["two"]()
    mixture_log_density(process, mixture, here, torch.tensor([200])).sum().backward()
    assert here.grad is not None
    sigma = (1 - float(process.schedule.alpha_bar[200])) ** 0.5
    slope = here.grad[0].numpy()
    said = score_views.place_frames(told, "two", -0.1, -0.1).captions[at]
    assert said == (
        f"t = 200 · σ = {sigma:.2f} · ε̂ = {score_views.pair(-sigma * slope)} · "
        f"score −ε̂/σ = {score_views.pair(slope)}"
    )
    assert f"{np.linalg.norm(slope):.2f}" == "1.02"
    assert score_views.pair(np.array([-0.5, 0.25])) == "(−0.50, 0.25)"


def test_the_digits_caption_says_what_more_than_nine_do() -> None:
    """And not of Langevin's, which is asked for."""
    said = " ".join(c.value for c in open_page("score", scview="Digits").caption)
    sde, ode, corrected, alone = MEASURED[DEFAULT_RATE]
    assert MEASURED[1.0][:3] == (sde, ode, corrected)  # whatever the step that is set
    assert f"{sde:.1%} (SDE), {ode:.1%} (ODE) and {corrected:.1%} (corrected) are recog" in said
    assert f"{alone:.0%}" not in said
