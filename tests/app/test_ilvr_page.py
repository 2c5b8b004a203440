"""The page on ILVR: every control, and every number and claim of its text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffusion_core.checkpoints import load_module
from diffusion_core.cold import variety
from diffusion_core.datasets import to_uint8, to_unit
from diffusion_core.ilvr import as_matrix, ilvr, ilvr_law, low_pass
from diffusion_core.quality import judge
from diffusion_core.schedules import evenly_spaced
from pages.shared import ilvr_views, ilvr_world, load
from pages.shared.ilvr_world import (
    BARE,
    BLOCKS,
    BY_BLOCK,
    BY_END,
    COUNT,
    ENDS,
    FREE,
    HELD,
    KNOWING,
    LEFT,
    NOISY,
    STEPS,
    TOLD_EIGHT,
    WITHOUT_NOISE,
    Asked,
    Measured,
    Pixels,
    Shot,
)
from tests.app.settings import press
from tests.app.test_pages import open_page


def said() -> str:
    return " ".join(m.value for m in open_page("ilvr").markdown)


def shown(**controls: str) -> object:
    at = open_page("ilvr", **controls)
    assert not at.exception
    assert not at.error
    assert not at.toast
    assert any("diffusion_player" in i.proto.component_name for i in at.get("bidi_component"))
    return at


@pytest.mark.parametrize("picture", ["A digit", "A drawing", "Two pixels"])
@pytest.mark.parametrize("held", [*map(str, HELD[:-1]), "none"])
def test_every_reference_held_so_long(picture: str, held: str) -> None:
    at = shown(ilpic=picture, ilheld=held)
    said = " ".join(m.value for m in (*at.caption, *at.markdown))  # type: ignore[attr-defined]
    if held == "none":
        assert ("held at no step" if picture == "Two pixels" else "No block means are ex") in said
        return
    last = "to the end" if held == "0" else f"until t = {held}"
    assert (f"held {last}" if picture == "Two pixels" else f"every step, {last}") in said


@pytest.mark.parametrize("N", [str(N) for N in BLOCKS])
def test_every_block(N: str) -> None:
    at = shown(ilblock=N, iltold="8", ilnoise="without noise", ildigit="7")
    (told,) = (c.value for c in at.caption if "y is the reference" in c.value)  # type: ignore[attr-defined]
    assert f"φ(y) is y with each {N} × {N} block replaced by its mean" in told
    assert "without noise" in told
    assert "told to draw 8" in told


def test_the_old_address_leads_to_guidance_with_a_sentence() -> None:
    at = open_page("guidance", guview="Picture")
    assert not at.exception
    assert at.session_state["guview"] == "plane"
    assert len(at.toast) == 1


def made(
    N: int, last: int = 0, noised: bool = True, label: int | None = None
) -> tuple[Measured, float]:
    """Twenty digits of the gallery, three times each; and how many others are seen as `label`."""
    denoiser, _ = load.network("digits-eps")
    classifier, _ = load_module("classifier")
    gallery, generator = load.gallery(), torch.Generator().manual_seed(0)
    y = to_unit(gallery.images[10:30]).repeat_interleave(3, 0)
    own = gallery.labels[10:30].repeat_interleave(3)
    x_T = torch.randn(60, 1, 28, 28, generator=generator)
    *_, end = ilvr(
        denoiser.diffusion, denoiser, y, x_T, evenly_spaced(denoiser.diffusion.T, STEPS), N=N,
        last=last, noised=noised, generator=generator,
        label=None if label is None else torch.full((60,), label),
    )  # fmt: skip
    images = to_uint8(end.x_t)
    seen = judge(classifier, images).predicted
    found = Measured(
        float((seen == own).double().mean()),
        float(np.mean([float(variety(three)) for three in end.x_t.split(3)])),
        float(((images > 3) & (images < 64)).double().mean()),
        float((low_pass(end.x_t, N) - low_pass(y, N)).square().mean().sqrt()),
    )
    return found, float("nan" if label is None else (seen == label)[own != label].double().mean())


def close(found: Measured, told: Measured) -> None:
    """A few digits may fall otherwise on another machine."""
    assert found.recognised == pytest.approx(told.recognised, abs=0.06)
    assert found.variety == pytest.approx(told.variety, abs=0.02)
    assert found.faint == pytest.approx(told.faint, abs=0.02)
    assert found.gap == pytest.approx(told.gap, abs=0.01 if told.gap else 1e-5)


@pytest.mark.parametrize("N", BLOCKS)
def test_sixty_digits_by_block(N: int) -> None:
    assert tuple(BY_BLOCK) == BLOCKS
    close(made(N)[0], BY_BLOCK[N])


@pytest.mark.parametrize("last", HELD[1:])
def test_sixty_digits_by_the_last_step_that_is_held(last: int) -> None:
    assert tuple(BY_END) == HELD
    assert HELD[-1] == FREE == ilvr_world.diffusion().T
    close(made(4, last)[0], BY_END[last])


def test_sixty_digits_without_noise() -> None:
    close(made(4, noised=False)[0], WITHOUT_NOISE)


def test_sixty_digits_told_to_be_eights() -> None:
    assert made(7, 250, label=8)[1] == pytest.approx(TOLD_EIGHT, abs=0.06)
    assert f"{TOLD_EIGHT:.0%} of those that are held to no eight" in said()


def test_the_claims_about_those_numbers() -> None:
    seven, four, free = BY_BLOCK[7], BY_BLOCK[4], BY_END[FREE]
    by_block = list(BY_BLOCK.values())
    assert sorted((m.recognised for m in by_block), reverse=True)[:4] == [
        m.recognised for m in by_block[:4]
    ]
    assert sorted(m.variety for m in by_block) == [m.variety for m in by_block]
    assert by_block[-1].variety < free.variety
    assert seven.recognised < 0.5  # "most of the digits are others"
    error = (four.recognised * (1 - four.recognised) * 2 / 60) ** 0.5
    assert abs(WITHOUT_NOISE.recognised - four.recognised) < 2 * error  # "within chance"
    # "The last hundred … can go almost for nothing, and the specks with them"
    assert BY_END[100].recognised > four.recognised - error
    assert BY_END[100].faint < 0.5 * four.faint
    assert BY_END[100].faint == pytest.approx(free.faint, abs=0.015)
    assert BY_END[500].recognised < four.recognised - error  # "loses likeness"
    gaps = [m.gap for m in BY_END.values()]
    assert gaps == sorted(gaps)
    text = said()
    for N, m in BY_BLOCK.items():
        assert f"| {N} | {m.recognised:.0%} | {m.variety:.2f} | {m.faint:.0%} |" in text
    for t, m in BY_END.items():
        name = {0: "0 (never)", FREE: "1,000 (none held)"}.get(t, t)
        assert f"| {name} | {m.recognised:.0%} | {m.gap:.2f} | {m.faint:.0%} |" in text
    assert f"{four.recognised:.0%} are recognised as the reference’s digit" in text
    assert f"with nothing held, {free.recognised:.0%}" in text
    assert f"{WITHOUT_NOISE.recognised:.0%} are recognised instead of {four.recognised:.0%}" in text


def by_hand() -> tuple[float, float, float]:
    """Two independent pixels whose sum is known: means, and spread of the difference."""
    a, b = (width**2 for width in ilvr_world.WIDTHS)
    total = 2 * ilvr_world.GRAY
    return a / (a + b) * total, b / (a + b) * total, 2 * (a * b / (a + b)) ** 0.5


def test_what_is_said_of_two_pixels() -> None:
    text, told = said(), Pixels(*ilvr_world.two_pixels(0, True, 0))
    left, right, spread = by_hand()
    assert told.left[2, -1] == pytest.approx(left)
    assert told.right[2, -1] == pytest.approx(right)
    assert told.spread[2, -1] == pytest.approx(spread)
    assert f"they are {left:.2f} and {right:.2f} on average" in text
    assert f"ILVR ends at {told.left[0, -1]:.2f} and {told.right[0, -1]:.2f}" in text
    assert f"deviation of {told.spread[0, -1]:.2f} instead of {spread:.2f}" in text
    assert told.left[0, -1] + told.right[0, -1] == pytest.approx(2 * ilvr_world.GRAY)
    assert told.left[0, -1] < left - 0.2
    assert told.spread[0, -1] > spread + 0.05
    assert told.left[1, -1] == pytest.approx(left, abs=1e-4)  # "told, the averages are right"
    assert told.spread[1, -1] == pytest.approx(spread, abs=0.01)  # red lies on green
    at = open_page("ilvr")
    for answer in ("Yes", "The means are right, the rest is not", "The means are off, too"):
        at.pills[0].select(answer)
        verdict = " ".join(m.value for m in at.run().markdown)
        assert f"{left:.2f} and {right:.2f} on average, and are {told.left[0, -1]:.2f} and " in (
            verdict
        )
        assert "Held to the end," in verdict
        assert f"their mean held to the end at {ilvr_world.GRAY:g}" in verdict
    press(at, "question")  # "See it"
    assert at.session_state["ilpic"] == "pixels"
    at.pills[0].select("No, too evenly")
    verdict = " ".join(m.value for m in at.run().markdown)
    assert f"average, and are {told.left[0, -1]:.2f} and {told.right[0, -1]:.2f}." in verdict
    assert 0 < told.right[2, -1] < told.right[0, -1] < told.left[0, -1] < told.left[2, -1]  # evener
    beside = " ".join(m.value for m in at.markdown)
    assert "(told: in 1,000 steps)" in beside
    (plane,) = ilvr_views.pixel_frames(told).clouds
    assert [word.text[-1] for word in plane.words] == [
        f"ILVR: {told.left[0, -1]:.2f}, {told.right[0, -1]:.2f}",
        f"told φ(y): {left:.2f}, {right:.2f}",
        f"true: {left:.2f}, {right:.2f}",
    ]
    # "Nearer to the average of all data", which is 0, "and are spread wider".
    assert np.hypot(told.left[0, -1], told.right[0, -1]) < np.hypot(left, right)


def test_what_is_let_go_is_not_what_the_verdict_says_of_what_is_held_to_the_end() -> None:
    """Why it says "to the end": else neither the means nor their two numbers are so."""
    held, free = (Pixels(*ilvr_world.two_pixels(last, True, 0)) for last in (0, 250))
    off = [abs(t.left[0, -1] + t.right[0, -1] - 2 * ilvr_world.GRAY) for t in (held, free)]
    assert off[0] < 1e-6 < 0.5 < off[1]


def test_two_pixels_forget_what_they_were_held_to() -> None:
    text = said()
    for t in (100, 250):
        left, right, _ = end_of(100, last=t)
        assert f"{left:.2f} and {right:.2f}" in text
    assert (left + right) / 2 < 0.4 * ilvr_world.GRAY
    assert BY_END[250].recognised > 0.9 * BY_END[0].recognised  # digits do not


def end_of(steps: int, **options: object) -> tuple[float, float, float]:
    """ILVR's two means and spread after so many steps, by its law."""
    mean, cov, phi, y = ilvr_world.pixels()
    if options.pop("knowing", False):  # "with a denoiser told φ(y)": by hand, of rank one
        left, right, spread = by_hand()
        away = torch.tensor([1.0, -1.0], dtype=torch.float64)
        mean = torch.tensor([left, right], dtype=torch.float64)
        cov = (spread / 2) ** 2 * away[:, None] * away
    diffusion = ilvr_world.diffusion()
    assert diffusion.T == 1000
    times = evenly_spaced(1000, steps)
    m, V = ilvr_law(diffusion, mean, cov, phi, y, times, **options)[-1]  # type: ignore[arg-type]
    return float(m[0]), float(m[1]), float(V[0, 0] + V[1, 1] - 2 * V[0, 1]) ** 0.5


def test_what_more_steps_bring() -> None:
    text = said()
    for steps, told in ENDS.items():
        found = end_of(steps)
        assert found == pytest.approx(told, abs=0.00501)
        bare = end_of(steps, noised=False)
        assert bare[:2] == pytest.approx(found[:2])  # "the means are the same"
        assert (bare[2], found[2]) == pytest.approx((BARE[steps], NOISY[steps]), abs=0.000501)
    fine, coarse, true = ENDS[1000], ENDS[25], by_hand()
    assert f"1,000 end at {fine[0]:.2f} and {fine[1]:.2f}" in text
    spreads = ", ".join(f"{ENDS[n][2]:.2f} in {n}" for n in (25,)) + " steps"
    assert spreads in text
    assert f"{ENDS[100][2]:.2f} in 100, {fine[2]:.2f} in 1,000" in text
    assert true[2] < coarse[2] < ENDS[100][2] < fine[2]  # "gets worse"
    known = end_of(1000, knowing=True)
    assert known == pytest.approx(KNOWING, abs=0.0055)
    assert f"1,000 steps end at {KNOWING[0]:.2f}, {KNOWING[1]:.2f} and {KNOWING[2]:.2f}" in text
    assert f"the spread is {BARE[100]:.3f} instead of {NOISY[100]:.3f}" in text
    assert f"in 25 it is {BARE[25]:.3f} instead of {NOISY[25]:.3f}" in text
    assert BARE[1000] == NOISY[1000]  # "no difference left in the third decimal"
    gaps = [end_of(n)[2] - end_of(n, noised=False)[2] for n in (25, 100, 1000)]
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2] > 0  # "With fewer steps less cancels"


@pytest.mark.parametrize("last", HELD)
@pytest.mark.parametrize("noised", [True, False])
def test_the_clouds_are_what_the_curves_say(last: int, noised: bool) -> None:
    told = Pixels(*ilvr_world.two_pixels(last, noised, 0))
    n = len(ilvr_world.shown())
    assert told.points.shape == (n, ilvr_world.WALKERS, 2)
    assert ilvr_world.shades().shape[0] == n
    error = 1 / ilvr_world.WALKERS**0.5
    for at in (0, n // 2, n - 1):
        x, spread = told.points[at], told.spread[0, at]
        assert x[:, 0].mean() == pytest.approx(told.left[0, at], abs=4 * error)
        assert x[:, 1].mean() == pytest.approx(told.right[0, at], abs=4 * error)
        assert (x[:, 0] - x[:, 1]).std() == pytest.approx(spread, rel=4 * error)
    (plane,) = ilvr_views.pixel_frames(told).clouds
    assert [s.color for s in plane.strokes] == ["xt", "p", "bits", "q"]


@pytest.mark.parametrize("last", [0, 250])
def test_the_bells_are_densities_along_the_line(last: int) -> None:
    told = Pixels(*ilvr_world.two_pixels(last, True, 0))
    bells, lines = ilvr_world.bells(told), ilvr_world.line()
    for k in (0, 1, 2):
        for at in (0, 25, len(lines) - 1):
            left, right = told.left[k, at], told.right[k, at]
            gray = (left + right) / 2
            if at == 0 or last == 0 or k == 2:  # on the line, but for what has been let go
                off = 0.02 if at == 0 else 1e-4
                assert gray == pytest.approx(lines[at, 0, :2].sum() / 2, abs=off)
            *bell, stem = bells[k, at]
            begin = np.array([piece[:2] for piece in bell]) - gray
            along, high = begin @ [1, -1] / 2**0.5, begin @ [1, 1] / 2**0.5
            share = high / ilvr_world.BELL
            step = np.diff(along).mean()
            assert share.sum() * step == pytest.approx(1, abs=5e-3)
            mean = (share * along).sum() * step
            assert mean == pytest.approx((left - right) / 2**0.5, abs=1e-2)
            wide = ((share * (along - mean) ** 2).sum() * step) ** 0.5
            assert wide * 2**0.5 == pytest.approx(told.spread[k, at], rel=2e-2)
            foot, top = stem[:2] - gray, stem[:2] + stem[2:] - gray
            assert foot @ [1, 1] == pytest.approx(0, abs=1e-5)
            assert [foot @ [1, -1], top @ [1, -1]] == pytest.approx([left - right] * 2, abs=1e-5)
            assert top @ [1, 1] / 2**0.5 == pytest.approx(high.max(), rel=1e-3)


def test_all_walks_end_on_the_line_and_higher_up_than_the_true_law() -> None:
    told = Pixels(*ilvr_world.two_pixels(0, True, 0))
    ours = told.points[-1]
    np.testing.assert_allclose(ours.mean(1), ilvr_world.GRAY, atol=1e-5)
    assert ours[:, 1].mean() > told.right[2, -1] + 0.15


@pytest.mark.parametrize("last", HELD)
def test_the_line_is_where_the_mean_gray_is_held(last: int) -> None:
    told, drawn = Pixels(*ilvr_world.two_pixels(last, False, 0)), ilvr_world.line()
    for at, t in enumerate(ilvr_world.shown()):
        x, y, dx, dy = drawn[at, 0]
        assert dx == -dy
        assert dx > 2 * ilvr_world.REACH  # across the whole plane
        if last <= t < 1000:
            np.testing.assert_allclose(told.points[at].sum(1), x + y, atol=1e-5)


def walk(asked: Asked) -> list[Shot]:
    denoiser, _ = load.network("digits-eps")
    return list(ilvr_world.held(denoiser, load.gallery_digit(3, 1), asked))


def cells(sheet: np.ndarray) -> list[np.ndarray]:
    return [sheet[r : r + 28, c : c + 28] for r in (0, 29, 58) for c in (0, 29, 58)]


@pytest.mark.parametrize("last", [0, 100])
def test_the_charts_of_the_digits(last: int) -> None:
    """The distance goes to 0 where the reference is held to the end, and stays above else."""
    shots = walk(Asked(7, last, None, True, 0))
    assert len(shots) == STEPS + 1
    end = shots[-1].gap
    assert end < 1e-6 if last == 0 else end > 0.04
    digits = np.stack(cells(shots[-1].x0))
    faint = ((digits > 3) & (digits < 64)).mean()  # of the chart
    assert shots[-1].faint == pytest.approx(faint)
    np.testing.assert_array_equal(shots[-1].x0, shots[-1].x_t)
    usual = shots[-1].usual
    assert (usual is None) == (last == 0)
    if usual is not None:
        np.testing.assert_array_equal(usual.x0, walk(Asked(7, 0, None, True, 0))[-1].x0)
    reference = load.gallery_digit(3, 1)
    fixed = ilvr_world.both(reference, 7)
    assert fixed.shape == (59, 28)
    np.testing.assert_array_equal(fixed[:28], reference)
    under = fixed[31:].astype(float)
    np.testing.assert_allclose(under[:7, :7], under[0, 0])
    blocks = reference.reshape(4, 7, 4, 7).mean((1, 3))
    np.testing.assert_allclose(under[::7, ::7], blocks, atol=1)


def test_no_two_digits_are_the_same_and_they_have_the_block_means() -> None:
    reference = low_pass(torch.from_numpy(load.gallery_digit(3, 1)).double(), 4)
    digits = cells(walk(Asked(4, 0, None, True, 0))[-1].x0)
    assert len(digits) == COUNT == 9
    for i, one in enumerate(digits):
        held = low_pass(torch.from_numpy(one.copy()).double(), 4)
        # Of 255. The chart's distance is 0; what lies beyond black and white is not shown.
        assert float((held - reference).square().mean().sqrt()) < 4
        assert all((one != other).mean() > 0.05 for other in digits[:i])


def test_with_and_without_noise_hardly_anything_changes() -> None:
    bare = walk(Asked(4, 0, None, False, 0))[-1]
    assert bare.usual is not None
    seen = [digits_seen(sheet) for sheet in (bare.usual.x0, bare.x0)]
    assert sum(a == b for a, b in zip(*seen, strict=True)) >= 7
    off = [np.abs(a.astype(float) - b).mean()
           for a, b in zip(cells(bare.usual.x0), cells(bare.x0), strict=True)]  # fmt: skip
    among = np.abs(cells(bare.x0)[0].astype(float) - cells(bare.x0)[1]).mean()
    assert np.mean(off) < among


def digits_seen(sheet: np.ndarray) -> list[int]:
    classifier, _ = load_module("classifier")
    return judge(classifier, torch.from_numpy(np.stack(cells(sheet)))).predicted.tolist()


def test_what_is_said_of_the_experiments() -> None:
    told = walk(Asked(7, 250, 8, True, 0))[-1]
    assert told.usual is not None
    assert digits_seen(told.x0).count(8) >= 7
    assert digits_seen(told.usual.x0).count(8) <= 3
    every = walk(Asked(1, 0, None, True, 0))[-1]
    for one in cells(every.x0):
        assert np.abs(one.astype(int) - load.gallery_digit(3, 1)).max() <= 1
    gray = walk(Asked(28, 0, None, True, 0))[-1]
    assert len(set(digits_seen(gray.x0))) >= 5  # "digits of many classes"
    ink = [one.mean() for one in cells(gray.x0)]
    np.testing.assert_allclose(ink, load.gallery_digit(3, 1).mean(), atol=3)


def test_what_is_compared_is_said_and_nothing_else() -> None:
    usual = Asked(4, 0, None, True, 0)
    assert ilvr_views.spoken(usual, usual) == ""
    asked = Asked(4, 250, 8, False, 0)
    compared = [asked]
    while compared[-1] != compared[-1].usual():
        one, other = compared[-1], compared[-1].usual()
        assert sum(a != b for a, b in zip(one, other, strict=True)) == 1
        compared.append(other)
    assert compared[-1] == usual
    assert [ilvr_views.spoken(one, one) for one in compared] == [
        "told 8", "without noise", "until t = 250", "",
    ]  # fmt: skip
    assert [ilvr_views.spoken(one.usual(), one) for one in compared[:3]] == [
        "no class told", "with noise", "to the end",
    ]  # fmt: skip


def test_the_low_pass_of_two_pixels_is_their_mean() -> None:
    np.testing.assert_array_equal(as_matrix((1, 2), 2).numpy(), np.full((2, 2), 0.5))


@pytest.mark.parametrize("N", [4, 7, 14, 28])
def test_gray_squares_go_where_the_last_steps_are_free(N: int) -> None:
    held, free = (walk(Asked(N, last, None, True, 0))[-1].faint for last in (0, 100))
    assert free < 0.5 * held
    at = open_page("ilvr", ilblock=str(N))
    assert "held down to t = 100 they go" in " ".join(c.value for c in at.caption)


def test_what_is_said_to_remain_is_of_the_setting() -> None:
    at, told = open_page("ilvr"), []
    for N, last in ((1, 0), (4, 100), (4, FREE)):
        at.session_state["ilblock"], at.session_state["ilheld"] = N, last
        told.append(" ".join(c.value for c in at.run().caption))
    assert not any("Gray squares" in text for text in told)
    assert ["the last steps are free" in text for text in told] == [False, True, False]
    assert ["all steps are free" in text for text in told] == [False, False, True]
    assert ["all that is used of y" in text for text in told] == [True, True, False]


def test_nothing_held_is_the_walk_without_a_reference() -> None:
    one, other = (
        list(ilvr_world.held(load.network("digits-eps")[0], load.gallery_digit(digit, 1),
                             Asked(4, FREE, None, True, 0)))[-1]
        for digit in (3, 7)
    )  # fmt: skip
    np.testing.assert_array_equal(one.x0, other.x0)
    assert one.usual is not None
    assert one.gap > 5 * 1e-2 > one.usual.gap
    assert ilvr_views.spoken(Asked(4, FREE, None, True, 0), Asked(4, FREE, None, True, 0)) == (
        "nothing held"
    )


def resized(x: torch.Tensor, mode: str) -> torch.Tensor:
    """Shrunk four times and enlarged again."""
    options = {"mode": mode, "align_corners": False, "antialias": True}
    small = torch.nn.functional.interpolate(x, size=(7, 7), **options)
    return torch.nn.functional.interpolate(small, size=(28, 28), **options)


def test_what_one_exchange_leaves_by_other_resizes() -> None:
    images = load.gallery().images
    y, other = to_unit(images[10:30]), to_unit(images[40:60])
    text = said()
    for mode, told in LEFT.items():
        coarse = [resized(x, mode) for x in (y, other)]
        after = resized(coarse[0] + other - coarse[1], mode) - coarse[0]
        before = coarse[1] - coarse[0]
        left = float(after.square().mean().sqrt() / before.square().mean().sqrt())
        assert left == pytest.approx(told, abs=0.005)
        assert f"{told:.0%}" in text
        # "A second exchange would leave less"
        again = coarse[0] + (coarse[0] + other - coarse[1])
        again = again - resized(coarse[0] + other - coarse[1], mode)
        off = float((resized(again, mode) - coarse[0]).square().mean().sqrt())
        assert off < 0.7 * float(after.square().mean().sqrt())
    blocks = low_pass(low_pass(y, 4) + other - low_pass(other, 4), 4) - low_pass(y, 4)
    assert float(blocks.abs().max()) < 1e-5
    with pytest.raises(ValueError, match="do not tile"):
        low_pass(y, 5)  # "must tile the picture"
