"""The page on guidance: every view, and every number and claim of its text."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffusion_core.checkpoints import load_module
from diffusion_core.mixtures import class_gradient, group_probs, tilted, two_classes
from diffusion_core.quality import recognised
from pages.shared import guidance_views, guidance_world, load, score_world
from pages.shared.guidance_world import SCALES, SEVENS_MISSED, STEPS, Gradients, Guided
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
    assert told.middle.shape == (4, STEPS + 1)
    for values in (told.middle, told.sure):
        assert (values >= 0).all()
        assert (values <= 1).all()
    guidance_views.walk_frames(told, scale)
    if scale == 1:
        np.testing.assert_array_equal(told.points[0], told.points[1])
    if scale in (0, 1):  # "only for s = 0 and 1": there it is what it is said to be
        assert told.middle[1, -1] == pytest.approx(told.middle[3, -1], abs=0.06)


def test_what_is_said_of_the_plane() -> None:
    at = open_page("guidance")
    at.pills[0].select("No, something narrower, pushed away")
    said = text(at.run())
    three = walks(3.0)
    guided, claimed = three.middle[1, -1], three.middle[3, -1]
    alone = guidance_world.followed(1.0)[-1]
    error = (0.25 / WALKERS) ** 0.5
    assert (
        f"has {claimed:.0%} of the class in its middle group, the class itself {alone:.0%} ("
        in said
    )
    counted = f"which gives {three.middle[2, -1]:.2f} and {three.middle[0, -1]:.2f})"
    assert counted in said
    assert f"the walkers {guided:.0%} (" in said
    assert claimed > guided + 5 * error
    assert three.middle[2, -1] == pytest.approx(claimed, abs=0.04)  # draws of the last density
    assert three.middle[0, -1] == pytest.approx(alone, abs=2 * error)
    fresh = guidance_world.with_fresh_noise(3.0, 0)
    assert f"({fresh:.0%} where they get fresh noise" in said
    assert guided < fresh < claimed - 2 * error
    # "Dashed … comes back in the end. The walkers do not", and all of it in the second half.
    at_200 = min(range(STEPS), key=lambda i: abs(score_world.times(STEPS)[i] - 200))
    assert f"{three.middle[3, at_200]:.0%} at t = 200" in _looks()
    assert f"{three.middle[1, at_200]:.0%} there" in _looks()
    assert three.middle[3, at_200] < claimed - 0.05
    half = STEPS // 2
    lost = three.middle[1, 0] - three.middle[1, -1]
    assert three.middle[1, half] - three.middle[1, -1] > 0.8 * lost
    power, average = guidance_world.power_of_averages(3.0, 300)
    assert f"{power:.2f} instead of {average:.2f}" in said
    assert power < average  # Jensen
    assert (
        f"({three.sure[1, -1]:.2%}, where p(x) p(y|x)³ would have {three.sure[2, -1]:.0%})" in said
    )
    assert three.sure[1, -1] > three.sure[2, -1]
    widths = [guidance_world.widths(three.points[k, -1]) for k in (0, 1)]
    assert f"of {widths[0]:.2f} without guidance and of {widths[1]:.2f} at s = 3" in said
    assert widths[1] < 0.8 * widths[0]
    # "further out": the outer groups' means across, by the nearest of the class' three middles.
    mixture, labels = two_classes()
    many = tilted(mixture, labels, 0, 3.0).sample(50_000, torch.Generator().manual_seed(1)).numpy()
    far = []
    for x in (three.points[0, -1], three.points[1, -1], many):
        nearest = np.linalg.norm(x[:, None] - mixture.means[:3].numpy(), axis=2).argmin(1)
        far.append(np.mean([x[nearest == k, 0].mean() for k in (0, 1)]))
    assert f"and lie {far[0] - far[1]:.2f} further out" in said
    assert f"end {far[0] - far[1]:.2f} further out than without guidance" in said
    assert far[0] - far[1] > 0.15 > 6 * abs(far[2] - far[0])  # "stay where they are"
    assert guidance_world.widths(many) > 0.95 * widths[0]  # "get narrower" is not said of those
    eight = walks(8.0)
    assert f"is gone ({eight.middle[1, -1]:.0%})" in _looks()
    mixture, _ = two_classes()
    outer = eight.points[1, -1]
    assert outer[:, 0].mean() < float(mixture.means[:2, 0].mean())  # "on the far side"
    little = walks(1.5)
    assert f"{1 - little.middle[1, -1] / little.middle[0, -1]:.0%} fewer" in said
    assert abs(little.middle[3, -1] - alone) < 0.02  # "has hardly changed"


def test_the_shares_are_integrals() -> None:
    """Of p(x) p(y|x)^3, by draws of it; the density followed at the end is that one."""
    mixture, labels = two_classes()
    many = tilted(mixture, labels, 0, 3.0).sample(50_000, torch.Generator().manual_seed(1))
    zero = torch.zeros(len(many)).long()
    groups = group_probs(score_world.diffusion(), mixture, many, zero)[:, :3].mean(0)
    share = float(groups[2] / groups.sum())
    assert guidance_world.followed(3.0)[-1] == pytest.approx(share, abs=0.01)


def _looks() -> str:
    """What the "Show me"s say, which stand on the page only once one was pressed."""
    at = open_page("guidance")
    return " ".join(look for _, look in at.session_state["_settings_offered"].values())


def test_without_the_class_both_are_walked_to() -> None:
    told = walks(0.0)
    assert told.sure[1, -1] == pytest.approx(0.5, abs=0.1)
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


def test_what_is_said_of_the_digits() -> None:
    """At s = 8 many more pixels leave the range, until late; strokes get bolder."""
    denoiser, _ = load.network("digits-eps")
    stops = list(guidance_world.digits(denoiser, (1.0, 8.0), "each", 25, 0))
    assert len(stops) == 26
    plain, strong = (np.array([stop[k].outside for stop in stops[:-1]]) for k in (0, 1))
    assert (strong[2:23] > 1.5 * plain[2:23]).all()
    assert np.isnan(stops[-1][0].outside)
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
    assert f"{missed} of the sixteen are something else" in said
    _, card = load.network("digits-eps")
    usual = [m["value"] for m in card.fields["metrics"] if m["name"] == "recognised as its class"]
    assert missed / 16 > 2 * (1 - usual[0])  # "more than the network usually misses"


def test_the_card_says_what_was_measured() -> None:
    _, card = load.network("digits-eps")
    at = open_page("guidance", guview="Digits")
    (found,) = (c.value for c in at.caption if "Both sheets start" in c.value)
    shown = [m for m in card.fields["metrics"] if m["name"] == "recognised as its class"]
    assert f"s = 1: {shown[0]['value']:.1%} of {shown[0]['samples']:,}" in found
    assert "s = 1.2:" in found
    assert "s = 1.5:" in found
