"""The page on guidance: every view, and every number and claim of its text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffusion_core.mixtures import class_log_probs, tilted, two_classes
from pages.shared import guidance_views, guidance_world, load, score_world
from pages.shared.guidance_world import SCALES, STEPS, Gradients, Guided
from pages.shared.score_world import WALKERS
from tests.app.test_pages import open_page


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
    for values in (told.middle, told.sure):
        assert (values >= 0).all()
        assert (values <= 1).all()
    guidance_views.walk_frames(told, scale)
    if scale == 1:
        np.testing.assert_array_equal(told.points[0], told.points[1])


def test_what_is_said_of_the_plane() -> None:
    at = open_page("guidance")
    at.pills[0].select("No, something narrower")
    said = text(at.run())
    three = walks(3.0)
    alone, guided, claimed = three.middle[:, -1]
    error = (0.25 / WALKERS) ** 0.5
    assert alone == pytest.approx(1 / 3, abs=2 * error)  # "of the class itself a third"
    assert f"{guided:.0%} of the walkers" in said
    assert f"it holds {claimed:.0%}" in said
    assert claimed > guided + 5 * error
    # "leaves the other two while there is much noise, and does not come back"
    half = STEPS // 2
    gap = three.middle[2] - three.middle[1]
    assert gap[half] > 0.02
    assert (np.diff(gap[half:]) > -0.02).all()
    # The claim is about the density, not about 300 draws of it.
    mixture, labels = two_classes()
    many = tilted(mixture, labels, 0, 3.0).sample(50_000, torch.Generator().manual_seed(1))
    near = (torch.cdist(many, mixture.means[:3]).argmin(1) == 2).double().mean()
    assert float(near) == pytest.approx(claimed, abs=2.5 * error)
    zero = torch.zeros(len(many)).long()
    sure = class_log_probs(score_world.diffusion(), mixture, labels, many, zero)[:, 0].exp().mean()
    assert three.sure[2, -1] == pytest.approx(float(sure), abs=0.02)
    assert f"({three.sure[1, -1]:.1%}, where p(x) p(y|x)³ would have {three.sure[2, -1]:.1%})" in (
        said
    )
    assert three.sure[1, -1] > three.sure[2, -1]
    for number in (three.spread[0, -1], three.spread[1, -1]):
        assert f"{number:.2f}" in said
    eight = walks(8.0)
    assert f"is gone ({eight.middle[1, -1]:.0%})" in _looks()
    outer = eight.points[1, -1]
    assert outer[:, 0].mean() < float(mixture.means[:2, 0].mean())  # "on the far side"
    little = walks(1.5)
    assert 0.4 < little.middle[1, -1] / little.middle[0, -1] < 0.7  # "half as many"
    assert abs(little.middle[2, -1] - 1 / 3) < 2 * error  # "has hardly changed"


def _looks() -> str:
    """What the "Show me"s say, which stand on the page only once one was pressed."""
    at = open_page("guidance")
    return " ".join(look for _, look in at.session_state["_settings_offered"].values())


def test_without_the_class_both_are_walked_to() -> None:
    told = walks(0.0)
    assert told.sure[1, -1] == pytest.approx(0.5, abs=0.1)
    assert 0.6 < walks(0.5).sure[1, -1] < 0.95  # "the mixture leans"


def test_what_is_said_of_the_two_kinds() -> None:
    told, said = Gradients(*guidance_world.gradients(3.0)), text(open_page("guidance"))
    assert told.both < 1e-12
    assert f"but for {told.both:.0e}" in said
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


def test_what_is_said_of_the_digits() -> None:
    """At s = 8 many more pixels leave the range, until late; every scale starts alike."""
    denoiser, card = load.network("digits-eps")
    stops = list(guidance_world.digits(denoiser, (1.0, 8.0), "each", 25, 0))
    assert len(stops) == 26
    plain, strong = (np.array([stop[k].outside for stop in stops[:-1]]) for k in (0, 1))
    assert (strong[2:23] > 1.5 * plain[2:23]).all()
    assert np.isnan(stops[-1][0].outside)
    np.testing.assert_array_equal(stops[0][0].x_t, stops[0][1].x_t)
    heavy = [(stops[-1][k].x0 > 127).mean() for k in (0, 1)]
    assert heavy[1] > heavy[0]  # "the strokes of the second row are heavier"
    assert "s = 1: 96.2% of 10,000; s = 1.2: 98.5% of 10,000" in _told(card)


def _told(card: load.Card) -> str:
    at = open_page("guidance", guview="Digits")
    (found,) = (c.value for c in at.caption if "Both rows start" in c.value)
    shown = [m for m in card.fields["metrics"] if m["name"] == "recognised as its class"]
    assert f"{shown[0]['value']:.1%}" in found
    return str(found)
