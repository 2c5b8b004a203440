"""The page on guidance: every view, and every number and claim of its text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffusion_core.checkpoints import load_module
from diffusion_core.cold import variety
from diffusion_core.datasets import to_uint8
from diffusion_core.guidance import guided
from diffusion_core.judging import judge as judge_of
from diffusion_core.mixtures import (
    class_gradient,
    class_log_probs,
    draw_x0,
    group_probs,
    mixture_denoiser,
    tilted,
    two_classes,
)
from diffusion_core.quality import recognised
from diffusion_core.samplers import sample
from diffusion_core.schedules import evenly_spaced
from pages.shared import guidance_views, guidance_world, load, score_world
from pages.shared.guidance_world import (
    DIGITS_AT,
    SCALES,
    SEVENS_MISSED,
    STEPS,
    Gradients,
    Guided,
)
from pages.shared.score_world import WALKERS
from tests.app.plots import player_header
from tests.app.settings import press
from tests.app.test_pages import open_page

PLACE = "_guidance_place"


def walks(scale: float) -> Guided:
    return Guided(*guidance_world.walks(scale, 0))


def text(at: object) -> str:
    return " ".join(m.value for m in at.markdown)  # type: ignore[attr-defined]


@pytest.mark.parametrize("view", ["In the plane", "Two kinds", "Digits"])
@pytest.mark.parametrize("scale", ["0", "1", "3", "8"])
def test_every_view_at_every_scale(view: str, scale: str) -> None:
    at = open_page("guidance", guview=view, guscale=scale)
    assert not at.exception
    assert not at.error
    assert any("diffusion_player" in i.proto.component_name for i in at.get("bidi_component"))


@pytest.mark.parametrize("scale", SCALES)
def test_walks_at_every_scale(scale: float) -> None:
    told = walks(scale)
    assert told.points.shape == (3, STEPS + 1, WALKERS, 2)
    assert np.isfinite(told.points).all()
    assert told.middle.shape == (4, STEPS + 1)
    for values in (told.middle, told.sure, told.powers):
        assert (values >= 0).all()
        assert (values <= 1 + 1e-9).all()
    guidance_views.walk_frames(told, scale)
    if scale == 1:
        np.testing.assert_array_equal(told.points[0], told.points[1])
        np.testing.assert_array_equal(told.middle[0], told.middle[1])
    if scale in (0, 1):  # "only for s = 0 and 1": there it is what it is said to be
        assert told.middle[1, -1] == pytest.approx(told.middle[3, -1], abs=0.02)


@pytest.mark.parametrize("scale", [1.5, 3.0])
def test_what_is_counted_is_what_many_walkers_do(scale: float) -> None:
    """Of 20,000 whose starts were drawn; the exact shares by draws of their densities."""
    told, stops = walks(scale), score_world.times(STEPS)
    generator = torch.Generator().manual_seed(5)
    start = torch.randn(20_000, 2, generator=generator, dtype=torch.float64)
    way = guidance_world.flow(scale, start)
    for at in (0, STEPS // 2, STEPS):
        middle, sure = guidance_world._told(way[at : at + 1], [stops[at]])
        assert told.middle[1, at] == pytest.approx(float(middle[0]), abs=0.005)
        assert told.sure[1, at] == pytest.approx(float(sure[0]), abs=0.004)
    mixture, labels = two_classes()
    for row, power in ((0, 1.0), (2, scale)):
        clean = tilted(mixture, labels, 0, power).sample(20_000, generator)
        for at in (STEPS // 2, STEPS - 6, STEPS):
            noise = torch.randn(20_000, 2, generator=generator, dtype=torch.float64)
            t = torch.full((20_000,), stops[at])
            noisy = score_world.diffusion().q_sample(clean, t, noise)
            middle, sure = guidance_world._told(noisy[None], [stops[at]])
            assert told.middle[row, at] == pytest.approx(float(middle[0]), abs=0.01)
            assert told.sure[row, at] == pytest.approx(float(sure[0]), abs=0.006)


def test_no_two_numbers_for_one_thing() -> None:
    """Where two of the chart's curves are one thing, they are one number at every scale."""
    first = walks(0.5)
    for scale in SCALES:
        told = walks(scale)
        np.testing.assert_array_equal(told.middle[0], first.middle[0])  # the class itself
        assert told.middle[2, -1] == pytest.approx(told.middle[3, -1], abs=0.004)  # at t = 0
        words = guidance_views.walk_frames(told, scale).clouds[1].words
        assert words[-1].text[-1] == f"{told.middle[1, -1]:.0%}"
    at_one = walks(1.0)
    np.testing.assert_allclose(at_one.sure[0], at_one.sure[2], atol=2e-3)


def test_powers_along_the_line_are_averages() -> None:
    """By draws of x_0, and by the best classifier; power of the average below, but at t = 0."""
    told, stops = walks(3.0).powers, score_world.times(STEPS)
    mixture, labels = two_classes()
    process = score_world.diffusion()
    for at, place in ((20, 10), (42, 18), (50, 30)):
        n, t = 40_000, stops[at]
        here = guidance_world.line()[place : place + 1].expand(n, 2)
        level = torch.full((n,), t)
        x0 = draw_x0(process, mixture, here, level, generator=torch.Generator().manual_seed(1))
        each = class_log_probs(process, mixture, labels, x0, torch.zeros(n).long())[:, 0].exp()
        one = class_log_probs(process, mixture, labels, here[:1], level[:1])[0, 0].exp()
        assert told[0, at, place] == pytest.approx(float(one**3), abs=0.004)
        assert told[1, at, place] == pytest.approx(float((each**3).mean()), abs=0.01)
    assert (told[0] <= told[1] + 1e-9).all()  # Jensen
    assert (told[1, 42] - told[0, 42]).max() > 0.25  # "far below"
    assert (told[1, -1] - told[0, -1]).max() < 0.06  # "the two meet"
    assert told[:, 42, 0].min() > 0.9  # "far on the class' side both are near 1"


def test_the_last_picture_marks_the_middle_group() -> None:
    cloud = guidance_views.powers_cloud(walks(3.0).powers, 3.0)
    mixture, _ = two_classes()
    a = score_world.diffusion().schedule.alpha_bar[500].sqrt()
    at = score_world.times(STEPS).index(500)
    assert cloud.points[at, 0, 0] == pytest.approx(-float(a * mixture.means[2].norm()))
    for (line, _), dot in zip(cloud.lines[:0:-1], cloud.points[at], strict=True):
        assert dot[1] == pytest.approx(np.interp(dot[0], *line[at].T), abs=1e-6)


@pytest.mark.parametrize(("scale", "order"), [(0.0, "="), (0.5, ">"), (1.0, "="), (3.0, "<")])
def test_the_last_picture_keeps_the_gap_that_its_title_names(scale: float, order: str) -> None:
    told = walks(scale)
    cloud = guidance_views.powers_cloud(told.powers, scale)
    assert f") {order} average" in cloud.title.translate(str.maketrans("ˢ⁰¹³", "    ")).replace(
        "  ", " "
    )
    apart = score_world.times(STEPS).index(guidance_views.APART)
    gap = told.powers[1, apart] - told.powers[0, apart]
    signs = {"=": np.abs(gap).max() < 1e-6, "<": gap.max() > 0.25, ">": gap.min() < -0.02}
    assert signs[order]
    for dashed, (line, color) in zip(cloud.strokes, cloud.lines[1:], strict=True):
        assert dashed.color == color
        np.testing.assert_allclose(dashed.places[0, :, :2], line[apart, :-1])
        np.testing.assert_allclose(dashed.places[0, :, 2:], np.diff(line[apart], axis=0))


def test_the_circle_is_around_the_middle_group() -> None:
    """Of a Gaussian's draws in the plane, two standard deviations hold 1 - e^-2."""
    mixture, _ = two_classes()
    generator = torch.Generator().manual_seed(2)
    clean = mixture.means[2] + mixture.std * torch.randn(40_000, 2, generator=generator).double()
    noise = torch.randn(40_000, 2, generator=generator, dtype=torch.float64)
    for at, t in ((0, 1000), (STEPS // 2, 500), (STEPS, 0)):
        ring = guidance_world.circle()[at]
        x = score_world.diffusion().q_sample(clean, torch.full((40_000,), t), noise).numpy()
        middle = ring[:-1].mean(0)
        radius = np.linalg.norm(ring - middle, axis=1)
        np.testing.assert_allclose(radius, radius[0])
        inside = (np.linalg.norm(x - middle, axis=1) < radius[0]).mean()
        assert inside == pytest.approx(1 - np.exp(-2), abs=0.01)
    for cloud in guidance_views.walk_frames(walks(3.0), 3.0).clouds[:3]:
        np.testing.assert_array_equal(cloud.lines[0][0], guidance_world.circle())


def test_the_ringed_walker_ends_in_the_middle_group_and_guided_it_does_not() -> None:
    """And the ways that are drawn stay in the picture, at every scale."""
    middle, spread = guidance_world.middle_group()
    for scale in (1.5, 3.0, 8.0):
        told = walks(scale)
        plain, guided, _ = guidance_views.walk_frames(told, scale).clouds[:3]
        np.testing.assert_allclose(plain.rings[:, 0], told.points[0, :, 0])
        np.testing.assert_array_equal(plain.rings[0], guided.rings[0])  # one noise
        ends = [np.linalg.norm(c.rings[-1, 0] - middle[-1]) / spread[-1] for c in (plain, guided)]
        assert ends[0] < 0.5
        assert ends[1] > (2 if scale > 1.5 else 0.5)
        drawn = told.points[:2, :, : guidance_views.TRAILS]
        assert np.abs(drawn).max() < guidance_world.WIDE
        assert (drawn[:, 0, :, 0] > 0).all()  # "from the right"
    first = {tuple(sorted(map(tuple, guidance_world.starts(0).tolist())))}
    drawn = torch.randn(WALKERS, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert first == {tuple(sorted(map(tuple, drawn.tolist())))}  # chosen to be shown, not to count


def test_hardly_anybody_is_near_enough_to_come_back() -> None:
    """When the density that is followed comes back, the walkers have left the circle."""
    three, stops = walks(3.0), score_world.times(STEPS)
    low = int(three.middle[3].argmin())
    assert 0 < stops[low] < 300
    near = guidance_world.left_near(3.0)
    said = text(open_page("guidance"))
    assert f"its middle group is least at t = {stops[low]}, then grows" in said
    assert f"{near[low]:.0%} of the walkers are left inside the circle" in said
    assert f"at t = 100 {near[stops.index(100)]:.0%}: when" in said
    assert near[stops.index(100)] < 0.03
    assert guidance_world.left_near(1.0)[-1] > 0.25  # without guidance they are there
    assert (np.diff(three.middle[1, low:]) < 1e-6).all()  # and nobody comes back


def test_what_few_steps_do_to_the_shares() -> None:
    """At s = 0, where a third is right: the even walkers in `STEPS` steps and in many."""
    few, many = guidance_world.FORGOTTEN
    assert walks(0.0).middle[1, -1] == pytest.approx(few, abs=0.001)
    assert walks(0.0).middle[2, -1] == pytest.approx(1 / 3, abs=0.001)
    *_, end = score_world.flow_walk(
        score_world.diffusion(), guidance_world.guided_at(0.0), guidance_world.even_starts(),
        score_world.times(guidance_world.MANY),
    )  # fmt: skip
    assert guidance_world._told(end[None], [0])[0][0] == pytest.approx(many, abs=0.001)
    captions = " ".join(c.value for c in open_page("guidance").caption)
    assert f"at s = 0 they give {few:.3f} where 0.333 is right, 1,000 steps {many:.3f}." in captions


def test_what_is_said_of_the_plane() -> None:
    at = open_page("guidance")
    at.pills[0].select("No, something narrower, pushed away")
    said = text(at.run())
    three = walks(3.0)
    guided, claimed, alone = three.middle[1, -1], three.middle[2, -1], three.middle[0, -1]
    assert (
        f"{guided:.0%} of the walkers on the class’ side end in its middle group, where p(x) "
        f"p(y|x)³ has {claimed:.0%}" in said
    )
    assert (
        f"has {claimed:.0%} of the class in its middle group, the class itself {alone:.0%} ("
        in said
    )
    assert f"the walkers {guided:.0%}. With" in said
    assert 0.29 < alone < 1 / 3  # "a third, but for what spills over"
    fresh = guidance_world.with_fresh_noise(3.0)
    assert f"at every step it is {fresh:.0%}:" in said
    assert guided < fresh < claimed - 0.1
    # "Dashed … comes back in the end. The walkers do not", and all of it in the second half.
    at_200 = min(range(STEPS), key=lambda i: abs(score_world.times(STEPS)[i] - 200))
    assert f"{three.middle[3, at_200]:.0%} at t = 200" in _looks()
    assert f"{three.middle[1, at_200]:.0%} there" in _looks()
    assert three.middle[3, at_200] < claimed - 0.05
    half = STEPS // 2
    lost = three.middle[1, 0] - three.middle[1, -1]
    assert three.middle[1, half] - three.middle[1, -1] > 0.8 * lost
    power, average = guidance_views.at_the_middle(three.powers)[
        :, score_world.times(STEPS).index(300)
    ]
    assert f"{power:.2f} instead of {average:.2f}" in said
    assert f"{power ** (1 / 3):.2f} on average: cubed, {power:.2f}. The cubes’ average is " in said
    assert f"average is {average:.2f}" in said
    assert (
        f"({three.sure[1, -1]:.2%}, where p(x) p(y|x)³ would have {three.sure[2, -1]:.0%})" in said
    )
    assert three.sure[1, -1] > three.sure[2, -1]
    ends = [guidance_world.even_walk(s)[0] for s in (1.0, 3.0)]
    widths = [guidance_world.widths(end) for end in ends]
    assert f"of {widths[0]:.2f} without guidance and of {widths[1]:.2f} at s = 3" in said
    assert widths[1] < 0.8 * widths[0]
    # "further out": the outer groups' means across, by the nearest of the class' three middles.
    mixture, labels = two_classes()
    many = tilted(mixture, labels, 0, 3.0).sample(50_000, torch.Generator().manual_seed(1)).numpy()
    far = []
    for x in (*ends, many):
        nearest = np.linalg.norm(x[:, None] - mixture.means[:3].numpy(), axis=2).argmin(1)
        far.append(np.mean([x[nearest == k, 0].mean() for k in (0, 1)]))
    assert f"and lie {far[0] - far[1]:.2f} further out" in said
    assert f"end {far[0] - far[1]:.2f} further out than without guidance" in said
    assert far[0] - far[1] > 0.15 > 6 * abs(far[2] - far[0])  # "stay where they are"
    assert guidance_world.widths(many) > 0.95 * widths[0]  # "get narrower" is not said of those
    eight = walks(8.0)
    assert f"is gone ({eight.middle[1, -1]:.0%})" in _looks()
    outer = eight.points[1, -1]
    assert outer[:, 0].mean() < float(mixture.means[:2, 0].mean())  # "on the far side"
    little = walks(1.5)
    assert f"of the class {alone:.0%} lie in the middle group, of the walkers " in said
    assert f"of the walkers {little.middle[1, -1]:.0%} already" in said
    assert abs(little.middle[2, -1] - alone) < 0.02  # "has hardly changed"


def test_the_shares_are_integrals() -> None:
    """Of p(x) p(y|x)^3, by draws of it; the density followed at the end is that one."""
    mixture, labels = two_classes()
    many = tilted(mixture, labels, 0, 3.0).sample(50_000, torch.Generator().manual_seed(1))
    zero = torch.zeros(len(many)).long()
    groups = group_probs(score_world.diffusion(), mixture, many, zero)[:, :3].mean(0)
    share = float(groups[2] / groups.sum())
    assert guidance_world.followed(3.0)[-1] == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize(
    ("view", "guess", "told"),
    [
        ("Two kinds", "The same at every t", "they differ by rounding alone"),
        ("Digits", "Bolder strokes, and nothing to recognise", "18% at s = 8"),
    ],
)
def test_every_view_has_its_own_question(view: str, guess: str, told: str) -> None:
    at = open_page("guidance", guview=view)
    assert len(at.pills) == 1
    at.pills[0].select(guess)
    assert told in text(at.run())


def test_show_me_opens_where_the_two_averages_differ() -> None:
    at = open_page("guidance")
    press(at, "why_0")
    assert not at.exception
    assert PLACE not in at.session_state
    head = player_header(at)
    assert str(head["captions"][head["at"]]).startswith("t = 300")  # type: ignore[index]
    # Where the view is the same already, it is the count of presses that moves the player.
    assert (head["jump"], head["hold"]) == (1, False)
    assert player_header(press(at, "why_0"))["jump"] == 2
    assert player_header(at.run())["jump"] == 0


@pytest.mark.parametrize(
    ("view", "look", "caption"),
    [("plane", "The middle group is gone", "t = 0"), ("gradients", "At t = 500", "t = 500"),
     ("digits", "The chart: many more pixels", "t = 0")],
)  # fmt: skip
def test_what_names_a_step_goes_to_it(view: str, look: str, caption: str) -> None:
    at = open_page("guidance")
    offered = at.session_state["_settings_offered"].items()
    name = next(name for name, (_, said) in offered if said.startswith(look))
    head = player_header(press(at, name))
    total = int(head["total"])  # type: ignore[call-overload]
    assert head["at"] == {"t = 0": total - 1, "t = 500": STEPS // 2}[caption]
    assert not head["hold"]


def _looks() -> str:
    """What the "Show me"s say, which stand on the page only once one was pressed."""
    at = open_page("guidance")
    return " ".join(look for _, look in at.session_state["_settings_offered"].values())


def test_without_the_class_both_are_walked_to() -> None:
    told = walks(0.0)
    assert told.sure[1, -1] == pytest.approx(0.5, abs=0.02)
    assert 0.6 < walks(0.5).sure[1, -1] < 0.95  # "the mixture leans"


def test_what_is_said_of_the_two_kinds() -> None:
    told, said = Gradients(*guidance_world.gradients()), text(open_page("guidance"))
    assert told.both < 1e-12
    assert f"but for rounding, {told.both:.0e}" in said
    assert told.gap.max() < 1e-10
    half = STEPS // 2
    assert f"at t = {score_world.times(STEPS)[half]}" in said
    assert f"wrong by {told.off[half]:.0f} times" in said
    assert told.off[-1] < 0.1  # "where the noise is nearly gone, it is right"
    # "On its own side it does not push at all": of the places on the left, in the cell's unit.
    places = told.arrows[0, half, :, 0]
    lengths = np.linalg.norm(told.arrows[:, half, :, 2:], axis=2)
    far_left = places < -1
    assert lengths[2, far_left].max() < 0.02
    assert lengths[0, far_left].min() > 2 * lengths[2, far_left].max()
    assert lengths[2, places > 1].min() > 1.8 * lengths[0, places > 1].max()
    # "would reach far out of the picture, were they not cut": what is drawn, at its full length.
    mixture, labels = two_classes()
    t = score_world.times(STEPS)[half]
    at = score_world.grid(score_world.GRID, guidance_world.REACH)
    blind = class_gradient(score_world.diffusion(), mixture, labels, noise_aware=False)
    zero = torch.zeros(len(at)).long()
    sigma = float(1 - score_world.diffusion().schedule.alpha_bar[t]) ** 0.5
    push = 2 * sigma * blind(at, torch.full((len(at),), t), zero)
    assert float(push.norm(dim=1)[at[:, 0] > 1].min()) > 2 * guidance_world.REACH


def test_what_is_said_of_the_gradient_at_the_mean_and_at_x_t() -> None:
    """The right shift by the posterior's means of both; the other two by their formulas."""
    mixture, labels = two_classes()
    process = score_world.diffusion()
    denoiser = mixture_denoiser(process, mixture, labels)
    generator = torch.Generator().manual_seed(3)
    t, s = 500, 483
    clean = mixture.sample(4000, generator)
    noise = torch.randn(4000, 2, generator=generator, dtype=torch.float64)
    at, then, label = (torch.full((4000,), k) for k in (t, s, 0))
    x = process.q_sample(clean, at, noise)
    means = [process.q_posterior(x, denoiser(x, at, y).x0, at, then) for y in (label, None)]
    right = means[0].mean - means[1].mean
    slope = class_gradient(process, mixture, labels)
    var = means[1].var
    wrong = [var * slope(x, at, label) - right, var * slope(means[1].mean, then, label) - right]
    found = [float(w.square().mean().sqrt() / right.square().mean().sqrt()) for w in wrong]
    assert guidance_world.shift_errors(t, s) == pytest.approx(found, abs=0.001)
    told = Gradients(*guidance_world.gradients())
    half = STEPS // 2
    assert score_world.times(STEPS)[half : half + 2] == [t, s]
    said = text(open_page("guidance"))
    assert f"it is {told.shift[0, half]:.0%} and {told.shift[1, half]:.0%}; towards" in said
    short = np.array([guidance_world.shift_errors(k, k - 1) for k in (100, 300, 500, 800)])
    assert f"off by {short[:, 0].max():.1%} at most, the derived one by " in said
    assert f"derived one by {short[:, 1].max():.1%}. With" in said
    assert short.max() < 0.03  # "neither matters"
    assert (told.shift[:, -2] > 0.5).all()  # "both get wrong"
    assert (told.shift[1] <= told.shift[0] + 1e-9).all()
    # Which of the two the paper has where: section 4.1 derives the one, algorithm 1 has the other.
    assert "section 4.1 expands log p(y|xₛ) around μ" in said
    assert "algorithm 1, as it is printed, reads like the code" in said
    assert "algorithm 1 expands" not in said


def test_the_bracket_points_away_from_the_class() -> None:
    """ε(y) − ε(any) is −σ ∇log p(y|x_t): the gradient by differences, not by the page's code."""
    mixture, labels = two_classes()
    process, n = score_world.diffusion(), 200
    generator = torch.Generator().manual_seed(4)
    at, y = torch.full((n,), 400), torch.zeros(n).long()
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    x = process.q_sample(mixture.sample(n, generator), at, noise)
    bracket = (
        mixture_denoiser(process, mixture, labels)(x, at, y).eps
        - mixture_denoiser(process, mixture)(x, at).eps
    )
    tiny = 1e-5 * torch.eye(2, dtype=torch.float64)

    def log_p(x: torch.Tensor) -> torch.Tensor:
        return class_log_probs(process, mixture, labels, x, at)[:, 0]

    slope = torch.stack([(log_p(x + d) - log_p(x - d)) / 2e-5 for d in tiny], dim=1)
    sigma = float(1 - process.schedule.alpha_bar[400]) ** 0.5
    torch.testing.assert_close(bracket, -sigma * slope, atol=1e-5, rtol=1e-4)
    assert "its negative is the push" in text(open_page("guidance"))


def test_what_is_said_of_the_digits() -> None:
    """At s = 8 many more pixels leave the range, until late; strokes get bolder."""
    denoiser, _ = load.network("digits-eps")
    stops = list(guidance_world.digits(denoiser, (1.0, 8.0), "each", 25, 0))
    assert len(stops) == 26
    plain, strong = (np.array([stop[k].outside for stop in stops[:-1]]) for k in (0, 1))
    assert (strong[2:23] > 1.5 * plain[2:23]).all()
    assert stops[-1][1].outside == stops[-2][1].outside  # nothing is predicted at t = 0
    bold = [(stops[-1][k].x0 > 127).mean() for k in (0, 1)]
    assert bold[1] > bold[0]


def test_sevens_are_sevens_once_they_are_guided() -> None:
    denoiser, _ = load.network("digits-eps")
    *_, (plain, strong) = guidance_world.digits(denoiser, (1.0, 5.0), "7", 25, 0)
    judge, _ = load_module("classifier")
    told = []
    for sheet in (plain.x0, strong.x0):
        cells = [
            sheet[r : r + 28, c : c + 28] for r in range(0, 116, 29) for c in range(0, 116, 29)
        ]
        images = torch.from_numpy(np.stack(cells))
        told.append(recognised(judge, images, torch.full((16,), 7)))
    assert told[1] == 1
    missed = round(16 * (1 - told[0]))
    assert missed == SEVENS_MISSED
    said = text(open_page("guidance"))
    assert f"guidance it takes {missed} of the sixteen for something else" in said
    _, card = load.network("digits-eps")
    usual = [m["value"] for m in card.fields["metrics"] if m["name"] == "recognised as its class"]
    assert missed / 16 > 2 * (1 - usual[0])  # "more than usual"


def test_the_card_says_what_was_measured() -> None:
    _, card = load.network("digits-eps")
    at = open_page("guidance", guview="Digits")
    (under,) = (c.value for c in at.caption if "Both sheets start" in c.value)
    assert "%" not in under  # it stands under the question, whose answer it must not tell
    (found,) = (c.value for c in at.caption if "Recognised as asked" in c.value)
    shown = [m for m in card.fields["metrics"] if m["name"] == "recognised as its class"]
    assert f"s = 1: {shown[0]['value']:.1%} of {shown[0]['samples']:,}" in found
    assert "s = 1.2:" in found
    assert "s = 1.5:" in found
    for scale, row in DIGITS_AT.items():
        assert f"s = {scale:g}: {row.recognised:.0%}, {row.white:.1%}" in found
    assert max(DIGITS_AT) == max(SCALES)


@pytest.mark.parametrize("scale", DIGITS_AT)
def test_two_hundred_digits(scale: float) -> None:
    denoiser, _ = load.network("digits-eps")
    judge, _ = load_module("classifier")
    label = torch.arange(200) % 10
    x_T = torch.randn(200, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    *_, last = sample(
        denoiser.diffusion, guided(denoiser, scale), x_T, evenly_spaced(1000, 25),
        sampler="ddim", label=label, generator=torch.Generator(),
    )  # fmt: skip
    found, x = DIGITS_AT[scale], last.x_t
    assert recognised(judge, to_uint8(x), label) == pytest.approx(found.recognised, abs=0.006)
    kinds = [float(variety(x[label == k])) for k in range(10)]
    assert np.mean(kinds) == pytest.approx(found.variety, abs=0.003)
    assert float((x > 0).double().mean()) == pytest.approx(found.white, abs=0.001)
    told = judge_of(judge, to_uint8(x)).features
    apart = np.mean([float(torch.pdist(told[label == k]).mean()) for k in range(10)])
    assert apart == pytest.approx(found.apart, abs=0.1)


def test_what_guidance_pays_is_told_in_numbers() -> None:
    one, three, eight = (DIGITS_AT[s].apart for s in (1.0, 3.0, 8.0))
    at = open_page("guidance", guview="Digits")
    at.pills[0].select("Bolder strokes, and nothing to recognise")
    said = text(at.run())
    assert f"lie {1 - three / one:.0%} nearer to each other than without guidance, and " in said
    assert f"{1 - eight / one:.0%} at s = 8" in said
    assert three < 0.8 * one
    assert abs(eight - three) < 0.02 * one  # "has paid by s = 3"
    assert "a network gives both answers" in said
    assert "here exact" not in said
    assert "here exact" in text(open_page("guidance"))


def test_the_last_picture_shows_what_pushes() -> None:
    """Both factors over their values on the left: flat with much noise, apart at t = 300."""
    for scale in SCALES:
        told = walks(scale)
        cloud = guidance_views.powers_cloud(told.powers, scale)
        top = 0.7 * guidance_world.REACH
        shown = np.stack([(line[..., 1] / top + 1) / 2 for line, _ in cloud.lines[1:]])
        np.testing.assert_allclose(shown[..., 0], 1, atol=1e-6)
        np.testing.assert_allclose(shown[::-1], told.powers / told.powers[..., :1], atol=1e-6)
        assert shown.max() < 1.01  # stays in the picture
    three = walks(3.0).powers / walks(3.0).powers[..., :1]
    assert np.ptp(three[:, 0], axis=1).max() < 0.1  # at t = 1000 nothing is favoured
    power, average = guidance_views.at_the_middle(three)[:, score_world.times(STEPS).index(300)]
    assert power < 0.5 * average


def test_the_cubes_average_is_near_the_average() -> None:
    """Why 0.51 stands beside 0.57: p(y|x0) of clean points is near 0 or 1."""
    mixture, labels = two_classes()
    clean = mixture.sample(5000, torch.Generator().manual_seed(0))
    zero = torch.zeros(5000).long()
    p = class_log_probs(score_world.diffusion(), mixture, labels, clean, zero)[:, 0].exp()
    assert float(((p < 0.1) | (p > 0.9)).double().mean()) > 0.8


def test_the_small_circles_are_the_groups_without_noise() -> None:
    mixture, _ = two_classes()
    for cloud in guidance_views.walk_frames(walks(3.0), 3.0).clouds[:3]:
        (strokes,) = cloud.strokes
        rings = strokes.places[0, :, :2].reshape(6, -1, 2)
        np.testing.assert_allclose(rings.mean(1), mixture.means.numpy(), atol=1e-9)
        radius = np.linalg.norm(rings - mixture.means.numpy()[:, None], axis=2)
        np.testing.assert_allclose(radius, 2 * mixture.std)


def test_four_ways_to_write_one_strength() -> None:
    """The fold's table: this page's s = 3, and no guidance, in every row."""
    said = text(open_page("guidance"))
    for row in ("ε(any) + s Δ | 1 | 3", "(1 + w) ε(y) − w ε(any) | 0 | 2",
                "ε(any) − s σ g | 1 (0 drops the class) | 3", "ε(y) − s σ g | 0 | 2"):  # fmt: skip
        assert row in said
    anyone, asked = 0.3, -0.4
    push = asked - anyone  # −σ g, of an exact classifier
    ways = (lambda s: anyone + s * push, lambda w: (1 + w) * asked - w * anyone,
            lambda s: anyone + s * push, lambda s: asked + s * push)  # fmt: skip
    for way, none, three in zip(ways, (1, 0, 1, 0), (3, 2, 3, 2), strict=True):
        assert way(none) == pytest.approx(asked)
        assert way(three) == pytest.approx(anyone + 3 * push)


def test_the_last_caption_counts_what_the_judge_recognises() -> None:
    denoiser, _ = load.network("digits-eps")
    shots = list(guidance_world.digits(denoiser, (1.0, 5.0), "7", 25, 0))
    stops = list(range(25, -1, -1))
    captions = guidance_views.digit_frames(shots, 0, stops, (1.0, 5.0)).captions
    assert captions[-1].endswith(f"recognised of 16: {16 - SEVENS_MISSED} and 16")
    assert not any("recognised" in caption for caption in captions[:-1])
    (*_, anyone) = guidance_world.digits(denoiser, (1.0, 5.0), "any", 2, 0)
    (last,) = guidance_views.digit_frames([anyone], 2, [2, 1, 0], (1, 5)).captions
    assert "recognised" not in last
