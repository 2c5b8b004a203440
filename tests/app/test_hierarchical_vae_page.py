"""The page from a VAE to diffusion: every view, and every number and claim of its text."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from diffusion_core import hierarchical
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.hierarchical import (
    LAST_LOG_SNR,
    SHORT_LOG_SNR,
    VARIANTS,
    Hierarchy,
    hierarchy,
    level_schedule,
    noisy_entropy,
    prior_term,
)
from diffusion_core.hierarchical_training import (
    bound_terms,
    learn_hierarchy,
    mean_terms,
    training_loss,
)
from diffusion_core.mixtures import PLANE_DATA, mixture_log_density
from pages.shared import hierarchy_views, hierarchy_world
from pages.shared.hierarchy_facts import LEARNT, MANY, Facts, facts
from pages.shared.hierarchy_world import (
    CALLS,
    DEPTHS,
    DIMS,
    DRAWN,
    EXTENT,
    LEVELS,
    LOOKS,
    PARTS,
    RACE,
    SHADES,
    STEPS,
    Rung,
)
from pages.shared.score_world import DATA
from tests.app.pauses import frames_of
from tests.app.test_pages import open_page

MUCH = 0.06  # nats by which another machine's rounding may move what training ends in


@cache
def race(data: str, T: int) -> list[Rung]:
    return frames_of(hierarchy_world.race(data, T, 1, 0))


def ended(data: str, T: int) -> Rung:
    return race(data, T)[RACE]


def bounds(data: str, T: int) -> np.ndarray:
    return np.array(ended(data, T).terms.sum(1))


def text(at: object) -> str:
    return " ".join(m.value for m in at.markdown)  # type: ignore[attr-defined]


@pytest.mark.parametrize("view", ["Four models", "One model", "How deep"])
@pytest.mark.parametrize("data", list(DATA.values()))
def test_every_view_of_every_data(view: str, data: str) -> None:
    at = open_page("hierarchical_vae", hvview=view, hvdata=data)
    assert not at.exception
    assert not at.error
    assert any("diffusion_player" in i.proto.component_name for i in at.get("bidi_component"))


@pytest.mark.parametrize("T", LEVELS)
@pytest.mark.parametrize("latent", DIMS)
def test_first_frames_in_all_settings(T: int, latent: int) -> None:
    for kind, told in VARIANTS.items():
        size = 2 if told.same else latent
        lesson = next(filter(None, hierarchy_world.lessons("spiral", kind, T, size, 1)))
        assert lesson.steps == 0
        assert lesson.terms.shape == (T + 1,)
        assert lesson.walk.points.shape == (T + 1, DRAWN, 2)
        drawn = hierarchy_views.lesson_frames([lesson], "spiral", T, size)
        assert len(drawn.clouds) == min(T, 4) + 1
        table = hierarchy_views.lesson_table(lesson, told.fixed)
        assert table.count("\n|") == T + 2
        assert len({line.count("|") for line in table.splitlines()}) == 1
    rung = next(filter(None, hierarchy_world.race("spiral", T, latent, 1)))
    frames = hierarchy_views.race_frames([rung], "spiral", T, latent)
    assert frames.clouds[0].title == f"Free: {latent} number{'s' * (latent > 1)} in z"
    table = hierarchy_views.race_table(rung, "spiral", [1, 2, 3, 4])
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_four_models_learn_and_walk_down() -> None:
    rungs = race("two", 4)
    assert len(rungs) == hierarchy_world.frames_of_a_race(4)
    assert [rung.steps for rung in rungs[: RACE + 1]] == [
        STEPS // RACE * look for look in range(RACE + 1)
    ]
    stay = hierarchy_world.stay(4)
    assert [rung.level for rung in rungs[RACE + 1 :]] == [
        level for level in (4, 3, 2, 1, 0) for _ in range(stay)
    ]
    assert np.array_equal(rungs[-1].points, rungs[RACE].points)  # the walk ends in what is drawn
    frames = hierarchy_views.race_frames(rungs, "two", 4, 1)
    assert frames.captions[RACE + 1].startswith("walking down: z₄ drawn from N(0, I)")
    assert frames.captions[-1 - stay] == "walking down: z₁ drawn from p(z₁|z₂)"
    # The costs of the walk add up to the bound.
    for i, name in enumerate(hierarchy_views.SHORT.values()):
        cost = next(c for c in frames.curves if c.chart == hierarchy_views.STEP
                    and c.label == name)  # fmt: skip
        assert np.isnan(cost.values[: RACE + 1]).all()
        assert cost.values[RACE + 1 :: stay].sum() == pytest.approx(bounds("two", 4)[i], abs=1e-5)


@pytest.mark.parametrize("T", LEVELS)
def test_the_walk_down_has_a_third_of_the_time_or_more(T: int) -> None:
    total = hierarchy_world.frames_of_a_race(T)
    assert 1 / 3 < (total - RACE - 1) / total < 0.6


def test_what_is_said_of_the_four() -> None:
    """Question, confusions 3, 5 and 6, and the first two experiments."""
    at = open_page("hierarchical_vae")
    at.pills[0].select("One with a learnt encoder")
    said = text(at.run())
    four, eight, ring = bounds("two", 4), bounds("two", 8), bounds("ring", 4)
    for found, told in (
        (four, LEARNT.bounds), (eight, LEARNT.eight), (ring, LEARNT.ring),
        (bounds("two", 1)[[0, 3]], LEARNT.single),
    ):  # fmt: skip
        np.testing.assert_allclose(found, told, atol=MUCH)
    for told in (*LEARNT.bounds[:2], LEARNT.bounds[3], LEARNT.eight[1], LEARNT.eight[3],
                 LEARNT.ring[0], LEARNT.ring[1], *LEARNT.single):  # fmt: skip
        assert f"{told:.2f}" in said
    # Learnt encoders are best at equal depth, the one that ends short is worst.
    for found in (four, eight):
        assert max(found[:2]) < found[3] - 0.2
        assert found[2] > found[3] + 0.2
    assert ring[2] < ring[3] - 0.3  # "beats the DDPM"
    gained = four - eight
    assert gained[3] > 0.2  # "ends lower than with four"
    assert max(gained[:2]) < 0.1  # "little left to gain"
    assert four[0] < four[1] + 0.05  # one number is enough
    assert ring[0] > ring[1] + 0.5  # and is not
    left = (ended("two", 4).points.sum(2) < 0).mean(1)  # share at the lower left
    assert left[2] > 0.2 + 4 * (0.2 * 0.8 / DRAWN) ** 0.5
    assert abs(left[0] - 0.2) < 0.06
    for number in (LEARNT.ring[2], LEARNT.eight[3]):
        assert f"{number:.2f}" in said
    # What each restriction costs and gives.
    told, (free, same, short, ddpm) = Facts(*facts()), LEARNT.bounds
    assert f"Bound from {free:.2f} to {same:.2f} nats" in said
    assert f"{same:.2f} to {short:.2f}, {told.mismatch:.2f} of it lost at the top" in said
    assert f"{short:.2f} to {ddpm:.2f}" in said
    assert four[2] - four[1] > told.mismatch - 0.1
    assert told.ends < 0.001  # "next to nothing is lost there"
    assert "a learnt encoder 8 times at four levels" in said
    assert [hierarchy_world.calls_per_step(kind, 4) for kind in VARIANTS] == [8, 8, 1, 1]


def test_which_terms_vanish() -> None:
    told, said = Facts(*facts()), text(open_page("hierarchical_vae"))
    terms = {kind: ended("two", 4).terms[i] for i, kind in enumerate(VARIANTS)}
    ddpm = terms["ddpm"]
    np.testing.assert_allclose((ddpm[0], ddpm[1:-1].sum()), LEARNT.parts, atol=MUCH)
    assert f"{told.top:.4f} nats in the DDPM, {told.prior:.2f} in the model" in said
    assert f"({LEARNT.parts[1]:.2f} nats in all, four levels)" in said
    assert f"({hierarchy_views.nats(LEARNT.parts[0])}: a density may be above 1)" in said
    assert ddpm[0] < 0  # a density above 1
    assert (ddpm[1:-1] > 0.01).all()
    # "Their sum can’t go to 0": for the best decoder of all, the KL of a level is
    # I(x; z_t-1 | z_t), and these add up to I(x; z_1) - I(x; z_T).
    process = GaussianDiffusion(level_schedule(4))
    width = 1 - float(process.schedule.alpha_bar[1])
    least = noisy_entropy(process, PLANE_DATA["two"](), 1) - np.log(2 * np.pi * np.e * width)
    assert 1 < least - told.top < ddpm[1:-1].sum()
    rows = hierarchy_views.lesson_table(
        hierarchy_world.Lesson(400, ddpm, np.zeros(4), None, None),  # type: ignore[arg-type]
        True,
    ).splitlines()[2:]
    names = [row.split("|")[1].split(": ")[1].strip() for row in rows]
    assert names == ["prior matching", "KL", "KL", "KL", "reconstruction"]
    assert rows[0].split("|")[2].strip() == "0.00"
    # "No weight is in it": the same before and after training; a learnt encoder's is trained.
    first = race("two", 4)[0].terms
    assert (first[2:, -1] == ended("two", 4).terms[2:, -1]).all()
    assert (np.abs(first[:2, -1] - ended("two", 4).terms[:2, -1]) > 0.1).all()


def share_of_many(variant: str, T: int, steps: int) -> float:
    """Of `MANY` points that a model draws, the share at the lower left."""
    *_, look = learn_hierarchy(PLANE_DATA["two"](), variant, T, latent=1, steps=steps, seed=0)
    generator = torch.Generator().manual_seed(6)
    top = torch.randn(MANY, look.model.latent, generator=generator)
    with torch.no_grad():
        x = look.model.descend(top, torch.randn(T, MANY, 4, generator=generator))[-1]
    return float((x.sum(1) < 0).double().mean())


def test_what_is_said_of_the_share_at_the_lower_left() -> None:
    said = text(open_page("hierarchical_vae"))
    four = [share_of_many(kind, 4, STEPS) for kind in VARIANTS]
    longer = [share_of_many(kind, 4, 4 * STEPS) for kind in ("short", "ddpm")]
    deep = [share_of_many(kind, DEPTHS[-1], CALLS) for kind in ("short", "ddpm")]
    for found, told in (
        (four, LEARNT.left), (longer, LEARNT.longer), (deep, LEARNT.deep_left)
    ):  # fmt: skip
        np.testing.assert_allclose(found, told, atol=0.02)
    assert f"of {MANY:,} points of the third model {LEARNT.left[2]:.0%}" in said
    assert f"has {LEARNT.left[3]:.0%}, too few" in said
    assert f"has {LEARNT.deep_left[1]:.0%}, the third model still {LEARNT.deep_left[0]:.0%}" in said
    assert f"little: {LEARNT.longer[1]:.0%} and {LEARNT.longer[0]:.0%}" in said
    for found in (four[-2:], longer, deep):
        assert found[0] > 0.35  # the third draws too many there, at any depth,
    assert four[3] < 0.17  # the DDPM too few,
    assert abs(deep[1] - 0.2) < abs(four[3] - 0.2)  # which depth mends


def test_a_gentler_schedule_closes_part_of_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    said = text(open_page("hierarchical_vae"))
    kept = torch.logit(level_schedule(4).alpha_bar[1:])
    assert (round(float(kept[0]), 9), round(float(kept[-1]), 9)) == (4, -7)
    monkeypatch.setattr(hierarchical, "level_schedule", lambda T, _: level_schedule(T, -3.0, 2.0))
    *_, look = learn_hierarchy(PLANE_DATA["two"](), "ddpm", 4, steps=STEPS, seed=0)
    assert look.bound() == pytest.approx(LEARNT.gentle, abs=MUCH)
    assert (
        f"from log-SNR 2 to −3, instead of 4 to −7, four levels come to {LEARNT.gentle:.2f}" in said
    )
    assert LEARNT.bounds[1] + 0.2 < look.bound() < LEARNT.bounds[3] - 0.2  # part of it


def alike(points: np.ndarray, shade: np.ndarray) -> float:
    """Cosine of how densely points lie and a shade, cell by cell."""
    drawn, there = hierarchy_world.shade(torch.from_numpy(points)).astype(float), shade * 1.0
    return float((drawn * there).sum() / (np.linalg.norm(drawn) * np.linalg.norm(there)))


def test_a_learnt_encoder_comes_upon_something_like_diffusion() -> None:
    """The third experiment: wider and nearer from level to level, and covered by what is drawn."""
    *_, look = hierarchy_world.taught("two", "same", 4, 2, 0)
    walk = hierarchy_world.walk(look.model, "two", 0)
    shades = hierarchy_world.sent_up(look.model, "two", 0)
    assert all(alike(p, s) > 0.75 for p, s in zip(walk.points, shades, strict=True))
    x = PLANE_DATA["two"]().sample(4000, torch.Generator().manual_seed(8)).float()
    small = x.sum(1) < 0
    with torch.no_grad():
        noise = torch.randn(4, 4000, 2, generator=torch.Generator().manual_seed(9))
        levels, _ = look.model.climb(x, noise)
    width = [float(z[~small].std(0).mean()) for z in levels]
    apart = [
        float((z[small].mean(0) - z[~small].mean(0)).norm()) / w
        for z, w in zip(levels, width, strict=True)
    ]
    assert width == sorted(width)
    assert apart == sorted(apart, reverse=True)


def test_who_begins_where_the_data_end() -> None:
    """In the third picture the points lie where the green is not, in the fourth they cover it."""
    first = race("two", 4)[RACE + 1]
    assert alike(first.points[2], first.shades[2]) < 0.5
    assert alike(first.points[3], first.shades[3]) > 0.85
    for i in (0, 1):  # "may still fill N(0, I)", with a large prior term
        assert alike(first.points[i], first.shades[i]) > 0.75
        assert first.terms[i, -1] > 0.5


def test_what_a_ddpm_is_trained_on_is_said() -> None:
    """This page's DDPM learns by the whole bound, T times one level; Ho and others weigh anew."""
    said = text(open_page("hierarchical_vae"))
    assert "the same bound can train it, as it does here" in said
    assert "eb_view=Weights" in said
    model = hierarchy("ddpm", 4, generator=torch.Generator().manual_seed(0))
    x = PLANE_DATA["two"]().sample(20_000, torch.Generator().manual_seed(1)).float()
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(4, len(x), 2, generator=generator)
    with torch.no_grad():
        bound = float(mean_terms(bound_terms(model, x, noise)).sum())
        loss = float(training_loss(model, x, generator).mean())
    assert loss == pytest.approx(bound, rel=0.1)


def test_what_is_said_of_the_top() -> None:
    told, said = Facts(*facts()), text(open_page("hierarchical_vae"))
    x = PLANE_DATA["two"]().sample(200_000, torch.Generator().manual_seed(3))
    for last, found in ((SHORT_LOG_SNR, told.prior), (LAST_LOG_SNR, told.top)):
        process = GaussianDiffusion(level_schedule(4, last))
        model = Hierarchy(4, 2, process, generator=torch.Generator().manual_seed(0))
        assert found == pytest.approx(float(prior_term(model, x).mean()), rel=0.01)
    shown = ended("two", 4).terms[:, -1]
    assert shown[2] == pytest.approx(told.prior, abs=0.03)
    assert shown[3] == pytest.approx(told.top, abs=1e-4)
    assert f"ᾱ = {1 / (1 + np.exp(-SHORT_LOG_SNR)):.2f}" in said
    assert f"{told.prior:.2f} nats; of those, {told.mismatch:.2f} are" in said
    assert 0 < told.mismatch < told.prior
    assert bounds("two", 4)[2] > told.best + told.mismatch  # "can't win them back"
    assert f"divergence at the top is {told.ends:.4f}" in said
    assert 0 < told.ends <= told.top
    assert f"{told.top:.3f} nats at most" in said
    # By a sum over squares of a grid, another way than the core's.
    axis = np.linspace(-4, 4, 801)
    places = torch.tensor(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    process = GaussianDiffusion(level_schedule(4, SHORT_LOG_SNR))
    for data, number in (("two", told.mismatch), ("ring", told.ring)):
        log_q = mixture_log_density(
            process, PLANE_DATA[data](), places, torch.full((len(places),), 4)
        )
        log_p = -0.5 * places.square().sum(1) - np.log(2 * np.pi)
        by_hand = float((log_q.exp() * (log_q - log_p)).sum()) * (axis[1] - axis[0]) ** 2
        assert number == pytest.approx(by_hand, abs=1e-3)
    assert told.ring < told.mismatch / 3  # "not far from N(0, I)"


def test_the_best_possible_is_the_entropy_of_the_data() -> None:
    """Two groups far apart: the entropy of the choice, and of one group."""
    told = Facts(*facts())
    choice = -(0.2 * np.log(0.2) + 0.8 * np.log(0.8))
    assert told.best == pytest.approx(choice + np.log(2 * np.pi * np.e * 0.24**2), abs=1e-4)


def test_what_is_said_of_depth() -> None:
    said = text(open_page("hierarchical_vae"))
    frames = frames_of(hierarchy_world.depths("two", 0))
    assert len(frames) == len(DEPTHS) * PARTS + 1
    ends = frames[PARTS::PARTS]
    assert [one.T for one in ends] == list(DEPTHS)
    found = [one.done for one in ends]
    # While a depth is being trained, what is shown is that of the one before.
    assert all(one.done is frames[PARTS].done for one in frames[PARTS : 2 * PARTS])
    same, ddpm = (np.array([one.bounds[i] for one in found]) for i in (0, 1))
    # A learnt encoder that is trained for a dozen steps is anywhere.
    np.testing.assert_allclose(same, LEARNT.same, atol=0.15, rtol=0.1)
    np.testing.assert_allclose(ddpm, LEARNT.ddpm, atol=MUCH)
    for T, one in zip(DEPTHS, ends, strict=True):
        assert one.steps == (CALLS // (2 * T), CALLS)
        assert tuple(one.done.calls) == (2 * T, 1)
    assert ends[-1].steps[0] == 12
    assert "last for 12 steps only" in said
    captions = " ".join(c.value for c in open_page("hierarchical_vae", hvview="How deep").caption)
    assert "At T = 32 that is 12 gradient steps against 800" in captions
    better = same < ddpm
    assert list(better) == [True, True, True, False, False, False]  # "up to four levels"
    assert same.argmin() == 0  # the red line "is lowest with one level"
    assert same.argmax() == len(DEPTHS) - 1  # "highest with 32"
    assert (np.diff(ddpm) < 0).all()
    best = hierarchy_world.best_possible("two")
    for at in (2, 3, 5):
        assert f"{LEARNT.ddpm[at] - best:.2f}" in said
    scatter = found[-1].scatter  # what the player rests on
    np.testing.assert_allclose(scatter, LEARNT.scatter, rtol=0.25)
    for number in LEARNT.scatter:
        assert f"{number:.2f}" in said
    # "Most of it cancels": of 31 levels that were independent the variances would add up.
    assert scatter[3] ** 2 < 0.3 * 31 * scatter[0] ** 2
    assert f"without that it would be {LEARNT.scatter[0] * 31**0.5:.1f}" in said
    assert scatter[4] == pytest.approx(scatter[3], rel=0.25)  # "gains next to nothing"
    assert (
        f"T times one of 32 levels scatters by {LEARNT.scatter[5]:.2f} nats, all KLs together by "
        f"{LEARNT.scatter[4]:.2f}" in said
    )
    assert scatter[5] > 5 * scatter[4]
    for one in found[1:]:
        assert one.scatter[2] < one.scatter[1]  # of one level the KL scatters less
    assert scatter[1] > 2 * scatter[2]
    assert (
        f"log-ratio scatters by {LEARNT.scatter[1]:.2f} nats, the KL by {LEARNT.scatter[2]:.2f}"
        in said
    )
    for one in found[1:5]:
        assert one.scatter[4] > one.scatter[3]  # not so for the sum
    shown = hierarchy_views.depth_frames(frames, "two")
    for chart, part in zip(hierarchy_views.SCATTER, (scatter[:3], scatter[3:]), strict=True):
        drawn = [c.values[-1] for c in shown.curves if c.chart == chart]
        np.testing.assert_array_equal(drawn, part)
    pair = [c for c in shown.curves if c.color == "p" and c.chart == hierarchy_views.SCATTER[0]]
    assert [c.label for c in pair] == ["log-ratio", "its KL"]
    colors = {c.color for c in shown.curves if c.chart in hierarchy_views.SCATTER}
    learnt = {c.color for c in shown.curves if c.label == "learnt encoder"}
    assert not colors & learnt  # the last chart is the DDPM's alone


def test_a_deep_learnt_encoder_that_is_trained_as_long_is_no_worse() -> None:
    """Half a minute: what 64 times the calls give at 32 levels."""
    said = text(open_page("hierarchical_vae"))
    for look in learn_hierarchy(PLANE_DATA["two"](), "same", DEPTHS[-1], steps=CALLS):
        last = look
    assert last.bound() == pytest.approx(LEARNT.patient, abs=MUCH)
    assert last.bound() < LEARNT.ddpm[-1] + 0.02
    deep = " ".join(c.value for c in open_page("hierarchical_vae", hvview="How deep").caption)
    assert (
        f"that is 12 gradient steps against 800; with 800 steps, too, the learnt encoder comes to "
        f"{LEARNT.patient:.2f} (two groups), the DDPM to {LEARNT.ddpm[-1]:.2f}" in deep
    )
    assert (
        "with 800 steps at 32 levels, 64 times the calls, the learnt encoder comes to "
        f"{LEARNT.patient:.2f}" in said
    )


def test_the_walks_terms_have_other_averages_than_the_kls() -> None:
    """By drawing from an untrained DDPM: the lowest level's is lower, the top's as much higher."""
    told, said = Facts(*facts()), text(open_page("hierarchical_vae"))
    T, n = DEPTHS[-1], 4000
    generator = torch.Generator().manual_seed(0)
    model = hierarchical.hierarchy("ddpm", T, generator=generator)
    x = PLANE_DATA["two"]().sample(n, generator).float()
    noise = torch.randn(2, T, n, 2, generator=generator)
    with torch.no_grad():
        walk = hierarchical.consistency_terms(model, x, noise[0])
        kls = hierarchical.kl_terms(model, x, noise[1])
    gap = walk.denoising - kls.denoising
    error = gap.std(0) / n**0.5
    assert told.shift > 1
    assert abs(float(gap[:, 0].mean()) + told.shift) < 5 * float(error[0])
    assert (gap[:, 1:].mean(0).abs() < 5 * error[1:]).all()  # only z₁'s, with this schedule
    top = float((walk.prior - kls.prior).mean())
    assert top == pytest.approx(told.shift, abs=0.02)
    assert (
        f"that of z₁ lies {told.shift:.2f} nats below its KL, and the walk’s prior matching as "
        "much above" in said
    )


def test_depth_begins_at_once_and_names_its_levels() -> None:
    first = next(filter(None, hierarchy_world.depths("ring", 0)))
    frames = hierarchy_views.depth_frames([first], "ring")
    assert frames.captions == ["training 1 to 32 levels; the charts fill as each is done"]
    assert (np.abs(first.points) > EXTENT).all()  # nothing is seen
    ticks = hierarchy_views.depth_ticks()
    assert ticks[-1] == (len(DEPTHS) * PARTS, f"T = {DEPTHS[-1]}")


def test_no_level_collapses_and_a_fixed_encoder_stays_as_it_is() -> None:
    said = text(open_page("hierarchical_vae"))
    lessons = frames_of(hierarchy_world.lessons("two", "same", 8, 2, 0))
    assert len(lessons) == LOOKS + 1
    assert lessons[-1].steps == STEPS
    assert lessons[-1].told.min() == pytest.approx(LEARNT.told, abs=0.15)
    assert f"at least {LEARNT.told:.1f} nats" in said
    # "A cost is about what it tells about the level below, less what the level above tells."
    terms, told = lessons[-1].terms, lessons[-1].told
    np.testing.assert_allclose(terms[1:-1], told[:-1] - told[1:], atol=0.25)
    assert np.abs(terms[1:-1]).min() < 0.2 < told.min()  # a cost near 0 is no unused level
    moved = np.abs(lessons[0].shades[0].astype(int) - lessons[-1].shades[0]).max()
    assert moved > 50  # a learnt encoder's shades do change
    fixed = frames_of(hierarchy_world.lessons("two", "ddpm", 4, 2, 0))
    assert np.array_equal(fixed[0].shades, fixed[-1].shades)
    assert not np.array_equal(fixed[0].walk.points, fixed[-1].walk.points)
    np.testing.assert_allclose(fixed[-1].terms.sum(), bounds("two", 4)[3], atol=1e-5)


def test_the_ring_does_not_fit_on_a_line() -> None:
    """ "Many points are drawn between the groups." """
    one = ended("ring", 4).near
    assert len(PLANE_DATA["ring"]().means) == 8
    assert one[0] < one[1] - 0.2
    assert one[0] < 0.7


def test_a_shade_is_where_the_points_are() -> None:
    points = torch.tensor([[0.5, 1.5]]).expand(50, 2)
    found = hierarchy_world.shade(points)
    row, column = np.unravel_index(found.argmax(), found.shape)
    cell = 2 * EXTENT / SHADES
    assert EXTENT - (row + 0.5) * cell == pytest.approx(1.5, abs=cell)
    assert (column + 0.5) * cell - EXTENT == pytest.approx(0.5, abs=cell)
    assert hierarchy_world.shade(points + 9).max() == 0


def test_one_number_is_drawn_along_a_line_and_of_four_two() -> None:
    z = torch.linspace(-2, 2, 9)[:, None]
    assert torch.equal(hierarchy_world.in_plane(z)[:, 0], z[:, 0])
    assert float(hierarchy_world.in_plane(z)[:, 1].abs().max()) <= 0.3
    four = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(hierarchy_world.in_plane(four), four[:, :2])


def test_the_bound_comes_first_and_four_models_stand_two_by_two() -> None:
    rungs = race("two", 4)
    head, _, *rows = hierarchy_views.race_table(rungs[RACE], "two", [1, 2, 3, 4]).splitlines()
    assert [cell.strip() for cell in head.split("|")[2:-1]] == [
        "Free", "Same dim. (1)", "Ends short (1, 2)", "DDPM (1, 2, 3)"
    ]  # fmt: skip
    for told, marks in zip(VARIANTS.values(), hierarchy_views.OBEYED.values(), strict=True):
        # The page's intro: (1) as large as x, (2) nothing is learnt, (3) it ends in N(0, I).
        obeyed = [k for k, holds in enumerate((told.same, told.fixed, told.ends), 1) if holds]
        assert marks.strip(" ()") == ", ".join(map(str, obeyed))
    name, *cells = (cell.strip() for cell in rows[0].split("|")[1:-1])
    assert name == "bound"
    assert cells == [f"**{bound:.2f}**" for bound in bounds("two", 4)]
    told = {name.strip(): [cell.strip() for cell in cells[:-1]]
            for name, *cells in (row.split("|")[1:] for row in rows)}  # fmt: skip
    # What one column has in log-ratios another has in KLs: never in one row.
    between = [f"{rung_terms[1:-1].sum():.2f}".replace("-", "−") for rung_terms in
               rungs[RACE].terms]  # fmt: skip
    assert told["levels between, log-ratios"] == [*between[:2], "–", "–"]
    assert told["levels between, KLs"] == ["–", "–", *between[2:]]
    mismatch = Facts(*facts()).mismatch
    assert told["prior matching"][2].endswith(f", {mismatch:.2f} lost")
    assert not any("lost" in cell for k, cell in enumerate(told["prior matching"]) if k != 2)
    left = (rungs[RACE].points.sum(2) < 0).mean(1)
    assert told["at the lower left (20% belong)"] == [f"{share:.0%}" for share in left]
    ring = hierarchy_views.race_table(race("ring", 1)[0], "ring", [1, 2, 3, 4])
    assert "belong" not in ring  # its eight groups are alike
    assert "levels between" not in ring  # there are none
    clouds = hierarchy_views.race_frames(rungs[:1], "two", 4, 1).clouds
    assert [cloud.row for cloud in clouds] == [0, 0, 1, 1]  # encoder learnt, encoder fixed


@pytest.mark.parametrize("kind", ["Free", "Same dimension"])
@pytest.mark.parametrize("T", [4, 8])
def test_the_caption_says_what_is_drawn(kind: str, T: int) -> None:
    at = open_page("hierarchical_vae", hvview="One model", hvkind=kind, hvT=str(T))
    said = " ".join(c.value for c in at.caption)
    assert (hierarchy_views.HEIGHT.strip() in said) == (kind == "Free")
    assert ("Drawn are z₈, z₆, z₄, z₂, x." in said) == (T == 8)


@pytest.mark.parametrize("latent", DIMS)
def test_the_caption_says_whether_the_first_restriction_gives_room(latent: int) -> None:
    said = " ".join(c.value for c in open_page("hierarchical_vae", hvdim=str(latent)).caption)
    assert hierarchy_views.SIZES[latent] in said
    assert ("more room" in said) == (latent < 2)
