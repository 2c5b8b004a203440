"""Guidance by a picture: every control, and every number and claim of its text."""

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
from pages.shared.ilvr_world import BLOCKS, HELD, MEASURED, STEPS, Asked, Measured, Pixels
from tests.app.test_pages import open_page

VIEW = "Picture"
WALKS: dict[str, dict] = {
    "N = 1": {"N": 1},
    "N = 2": {"N": 2},
    "N = 4": {"N": 4},
    "N = 7": {"N": 7},
    "N = 28": {"N": 28},
    "free": {"N": 28, "last": 1000},
    "N = 7 to 250": {"N": 7, "last": 250},
    "N = 4 without noise": {"N": 4, "noised": False},
    "N = 7 to 250, an eight": {"N": 7, "last": 250, "label": torch.full((60,), 8)},
}


def said() -> str:
    return " ".join(m.value for m in open_page("guidance", guview=VIEW).markdown)


def shown(**controls: str) -> object:
    at = open_page("guidance", guview=VIEW, **controls)
    assert not at.exception
    assert not at.error
    assert any("diffusion_player" in i.proto.component_name for i in at.get("bidi_component"))
    return at


@pytest.mark.parametrize("picture", ["A digit", "A drawing", "Two pixels"])
@pytest.mark.parametrize("held", [str(t) for t in HELD])
def test_every_reference_held_so_long(picture: str, held: str) -> None:
    shown(gupic=picture, guheld=held)


@pytest.mark.parametrize("N", [str(N) for N in BLOCKS])
def test_every_block(N: str) -> None:
    at = shown(gublock=N, gutold="8", gunoise="without noise", gudigit="7")
    (told,) = (c.value for c in at.caption if "the reference y" in c.value)  # type: ignore[attr-defined]
    assert f"the means of its {N} × {N} pixels" in told
    assert "without noise" in told


def made(N: int, last: int = 0, noised: bool = True, label: torch.Tensor | None = None) -> Measured:
    """Twenty digits of the gallery, three times each."""
    denoiser, _ = load.network("digits-eps")
    classifier, _ = load_module("classifier")
    gallery, generator = load.gallery(), torch.Generator().manual_seed(0)
    y = to_unit(gallery.images[10:30]).repeat_interleave(3, 0)
    own = gallery.labels[10:30].repeat_interleave(3)
    x_T = torch.randn(60, 1, 28, 28, generator=generator)
    *_, end = ilvr(
        denoiser.diffusion, denoiser, y, x_T, evenly_spaced(denoiser.diffusion.T, STEPS), N=N,
        last=last, noised=noised, label=label, generator=generator,
    )  # fmt: skip
    if last == 0:
        torch.testing.assert_close(low_pass(end.x_t, N), low_pass(y, N), rtol=0, atol=1e-5)
    images = to_uint8(end.x_t)
    seen = judge(classifier, images).predicted
    return Measured(
        float((seen == own).double().mean()),
        float(np.mean([float(variety(three)) for three in end.x_t.split(3)])),
        float(((images > 3) & (images < 64)).double().mean()),
        float((seen == (own if label is None else label)).double().mean()),
    )


@pytest.mark.parametrize("name", list(WALKS))
def test_what_is_said_of_sixty_digits(name: str) -> None:
    """Made anew; a few digits may fall otherwise on another machine."""
    told, again = MEASURED[name], made(**WALKS[name])
    assert again.recognised == pytest.approx(told.recognised, abs=0.06)
    assert again.told == pytest.approx(told.told, abs=0.06)
    assert again.variety == pytest.approx(told.variety, abs=0.02)
    assert again.faint == pytest.approx(told.faint, abs=0.02)


def test_the_claims_about_those_numbers() -> None:
    two, four, seven, gray = (MEASURED[f"N = {N}"] for N in (2, 4, 7, 28))
    assert two.recognised > four.recognised > seven.recognised + 0.1
    assert two.variety < four.variety < seven.variety < gray.variety < MEASURED["free"].variety
    assert seven.recognised < 0.5  # "most of the digits are others"
    clean = MEASURED["N = 4 without noise"].recognised
    error = (four.recognised * (1 - four.recognised) * 2 / 60) ** 0.5
    assert abs(clean - four.recognised) < 2 * error  # "within chance"
    short = MEASURED["N = 7 to 250"]
    assert short.faint == pytest.approx(MEASURED["free"].faint, abs=0.01)  # "as where nothing"
    assert seven.faint > 3 * short.faint
    text = said()
    for value in (four.recognised, MEASURED["free"].recognised):
        assert f"{value:.0%}" in text
    assert f"{two.variety:.2f}, {four.variety:.2f}, {seven.variety:.2f}, {gray.variety:.2f}" in text
    assert f"{MEASURED['N = 7 to 250, an eight'].told:.0%} of sixty" in text


def by_hand() -> tuple[float, float, float]:
    """Two independent pixels whose sum is known: means, and spread of the difference."""
    a, b = (width**2 for width in ilvr_world.WIDTHS)
    total = 2 * ilvr_world.GRAY
    return a / (a + b) * total, b / (a + b) * total, 2 * (a * b / (a + b)) ** 0.5


def test_what_is_said_of_two_pixels() -> None:
    text, told = said(), Pixels(*ilvr_world.two_pixels(0, True, 0))
    left, right, spread = by_hand()
    assert told.left[1, -1] == pytest.approx(left)
    assert told.right[1, -1] == pytest.approx(right)
    assert told.spread[1, -1] == pytest.approx(spread)
    assert f"they are {left:.2f} and {right:.2f} on average" in text
    assert f"ILVR ends at {told.left[0, -1]:.2f} and {told.right[0, -1]:.2f}" in text
    assert f"deviation of {told.spread[0, -1]:.2f} instead of {spread:.2f}" in text
    assert told.left[0, -1] + told.right[0, -1] == pytest.approx(2 * ilvr_world.GRAY)
    assert told.left[0, -1] < left - 0.2
    assert told.spread[0, -1] > spread + 0.05
    assert abs(told.left[0, -1] - ilvr_world.IN_ALL_STEPS[0]) < 0.02  # "hardly help"
    mean, cov, phi, y = ilvr_world.pixels()
    diffusion = ilvr_world.diffusion()
    assert diffusion.T == 1000
    m, _ = ilvr_law(diffusion, mean, cov, phi, y, range(1000, 0, -1))[-1]
    assert tuple(round(float(v), 2) for v in m) == ilvr_world.IN_ALL_STEPS
    bare = ilvr_world.law(0, False)[:, -1]
    assert bare[:2] == pytest.approx([told.left[0, -1], told.right[0, -1]])  # "the same means"
    assert f"a spread of {bare[2]:.3f} instead of {told.spread[0, -1]:.3f}" in text
    assert 0.001 < told.spread[0, -1] - bare[2] < 0.01


@pytest.mark.parametrize("last", HELD)
@pytest.mark.parametrize("noised", [True, False])
def test_the_clouds_are_what_the_curves_say(last: int, noised: bool) -> None:
    told = Pixels(*ilvr_world.two_pixels(last, noised, 0))
    n = len(ilvr_world.shown())
    assert told.points.shape == (2, n, ilvr_world.WALKERS, 2)
    assert ilvr_world.shades().shape[0] == n
    error = 1 / ilvr_world.WALKERS**0.5
    for k in (0, 1):
        for at in (0, n // 2, n - 1):
            x = told.points[k, at]
            assert x[:, 0].mean() == pytest.approx(told.left[k, at], abs=4 * error)
            assert x[:, 1].mean() == pytest.approx(told.right[k, at], abs=4 * error)
            spread = told.spread[k, at]
            assert (x[:, 0] - x[:, 1]).std() == pytest.approx(spread, rel=4 * error)
    clouds = ilvr_views.pixel_frames(told).clouds
    for k, cloud in enumerate(clouds):  # the arrows lead from 0 to the averages
        assert cloud.strong is not None
        expected = [0, 0, told.left[k, -1], told.right[k, -1]]
        np.testing.assert_allclose(cloud.strong[-1], [expected])


def test_both_clouds_end_on_the_line_and_the_purple_one_higher_up() -> None:
    ours, true = Pixels(*ilvr_world.two_pixels(0, True, 0)).points[:, -1]
    for x in (ours, true):
        np.testing.assert_allclose(x.mean(1), ilvr_world.GRAY, atol=1e-5)
    assert ours[:, 1].mean() > true[:, 1].mean() + 0.15


@pytest.mark.parametrize("last", [0, 250])
def test_the_charts_of_the_digits(last: int) -> None:
    """The distance goes to 0 where the reference is held to the end, and stays above else."""
    denoiser, _ = load.network("digits-eps")
    reference = load.gallery_digit(3, 1)
    shots = list(ilvr_world.held(denoiser, reference, Asked(7, last, None, True, 0)))
    assert len(shots) == STEPS + 1
    end = shots[-1].gap
    assert end < 1e-6 if last == 0 else end > 0.05
    assert shots[-1].variety > 0.1  # "No two are the same"
    np.testing.assert_array_equal(shots[-1].x0, shots[-1].x_t)
    fixed = ilvr_world.both(reference, 7)
    assert fixed.shape == (115, 56)
    np.testing.assert_array_equal(fixed[:56:2, ::2], reference)
    under = fixed[59::2, ::2].astype(float)
    np.testing.assert_allclose(under[:7, :7], under[0, 0])
    blocks = reference.reshape(4, 7, 4, 7).mean((1, 3))
    np.testing.assert_allclose(under[::7, ::7], blocks, atol=1)


def test_the_low_pass_of_two_pixels_is_their_mean() -> None:
    np.testing.assert_array_equal(as_matrix((1, 2), 2).numpy(), np.full((2, 2), 0.5))
