"""The page on latent diffusion: every view, and every number and claim of its text."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
import torch

from diffusion_core.aggregate import (
    Aggregate,
    aggregate_denoiser,
    aggregate_log_density,
    aggregated_posterior,
    kl_parts,
)
from diffusion_core.cost import multiply_adds
from diffusion_core.datasets import DataError, load_mnist, to_unit
from diffusion_core.recipes import RECIPES
from diffusion_core.samplers import sample
from diffusion_core.schedules import evenly_spaced
from diffusion_core.training import Drawn, compressing_loss
from diffusion_core.vae import prior
from pages.shared import bench, latent_views, latent_world, load, vae_world
from pages.shared.latent_facts import MEASURED as TOLD
from pages.shared.latent_world import FACTORS, FORMS, PLACE, STEPS, WALKERS, Lost, Plane
from pages.shared.score_world import diffusion, flow_walk
from tests.app.plots import player_header
from tests.app.settings import press
from tests.app.test_pages import open_page


def text(at: object) -> str:
    return " ".join(m.value for m in at.markdown)  # type: ignore[attr-defined]


def plane(data: str) -> Plane:
    return Plane(*latent_world.plane(data, 0))


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"ldview": "In the plane", "lddata": "200 digits", "ldseed": "7"},
        {"ldview": "In the plane"},
        {"ldview": "Digits", "lddigit": "8", "ldclip": "true"},
        {"ldview": "What is lost"},
        {"ldview": "Scale", "ldfactor": "1", "ldpic": "0", "ldform": "20"},
    ],
)
def test_every_view(query: dict[str, str]) -> None:
    at = open_page("latent_diffusion", **query)
    assert not at.exception
    assert not at.error
    assert not at.toast
    assert any("diffusion_player" in i.proto.component_name for i in at.get("bidi_component"))


@pytest.mark.parametrize("data", latent_world.DATA)
@pytest.mark.parametrize("seed", [0, 9999])
def test_the_walk_ends_where_the_latents_are(data: str, seed: int) -> None:
    told = Plane(*latent_world.plane(data, seed))
    assert told.points.shape == (STEPS + 1, WALKERS, 2)
    assert np.isfinite(told.points).all()
    assert told.rare[-1] < 0.06 < 0.2 < told.rare[0]
    # Among as many points of either kind, mean and spread of the ends are those of the latents.
    data_ = latent_world.aggregate(data)
    ends = torch.from_numpy(told.points[-1]).double()
    torch.testing.assert_close(ends.mean(0), data_.means.mean(0), atol=0.25, rtol=0)
    frames = latent_views.plane_frames(told, data)
    assert frames.captions[-1] == f"t = 0 · the latents of {latent_world.DATA[data]}"
    assert (frames.clouds[0].points == frames.clouds[1].points[0]).all()  # "the same points"


def test_the_stops_fall_and_the_last_is_clean() -> None:
    stops = latent_world.times()
    assert stops[0] == 1000
    assert stops[-1] == 0
    assert all(t > s for t, s in itertools.pairwise(stops))


def test_the_first_form_of_a_digit_is_the_digit() -> None:
    images = load.gallery().images
    forms = latent_world.reshaped(images[:5], FORMS).reshape(5, FORMS, 28, 28)
    torch.testing.assert_close(forms[:, 0], images[:5].float() / 255, atol=1e-3, rtol=0)
    assert float((forms[:, 1] - forms[:, 0]).abs().max()) > 0.1
    assert len(latent_world.aggregate("forms").means) == 2000
    assert len(latent_world.aggregate("plain").means) == 200


def test_the_sheet_shows_what_was_drawn_and_what_it_became() -> None:
    told = plane("forms")
    first, last = told.sheets[0], told.sheets[-1]
    np.testing.assert_array_equal(first[:, :57], first[:, 64:])
    np.testing.assert_array_equal(first[:, :57], last[:, :57])
    assert (last[:, :57] != last[:, 64:]).any()
    shown = (255 * latent_world.decoded(torch.from_numpy(told.points[-1, :1])))[0].numpy()
    assert np.abs(last[:28, 64:92] - shown).max() < 2


def test_what_is_said_of_the_plane() -> None:
    at = open_page("latent_diffusion", ldview="In the plane")
    at.pills[0].select("What all q(z|x) add up to is not N(0, I)")
    said = text(at.run())
    # Shares by another route: one density at a time, by torch's own normal distribution.
    for data, at_ends in (("forms", (0, -1)), ("plain", (0,))):
        data_ = latent_world.aggregate(data)
        told = plane(data)
        for end in at_ends:
            z = torch.from_numpy(told.points[end]).double()
            q = torch.stack(
                [
                    torch.distributions.Normal(data_.means, data_.var.sqrt())
                    .log_prob(one)
                    .sum(1)
                    .exp()
                    .mean()
                    for one in z
                ]
            )
            p = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1).exp()
            assert float((q < 0.1 * p).double().mean()) == pytest.approx(told.rare[end], abs=0.005)
    forms, plain = plane("forms"), plane("plain")
    share, rest = f"{forms.rare[0]:.0%}", f"{forms.rare[-1]:.0%}"
    assert (
        f"As the view opens, with {latent_world.DATA['forms']}, {share} of the draws of N(0, I) "
        f"lie in holes of q(z), {rest} after the walk" in said
    )
    assert plain.rare[0] > 2 * forms.rare[0]  # so the sentence has to say which
    assert f"{share} of them lie where these 2,000 digits hardly ever are, {rest} after" in said
    assert f"{plain.rare[0]:.0%} of the prior’s draws miss them" in said
    offered = at.session_state["_settings_offered"]
    assert f"{plain.rare[0]:.0%} of the orange points lie off" in offered["why_1"][1]
    centres = latent_world.aggregate("plain")
    near = []
    for end in (0, -1):
        z = torch.from_numpy(plain.points[end]).double()
        off = [(((z - m) ** 2 / v).sum(1) < 9)
               for m, v in zip(centres.means, centres.var, strict=True)]  # fmt: skip
        near.append(float(torch.stack(off).any(0).double().mean()))
    assert near == pytest.approx(TOLD.copied, abs=0.009)
    assert f"ends {near[1]:.0%} lie within three standard deviations of one digit’s" in said
    assert f"instead of {near[0]:.0%}: it copies these digits" in said
    parts = kl_parts(latent_world.aggregate("forms"), 2401)  # finer than the page's
    assert f"{parts.whole:.2f} nats = {parts.told:.2f} + {parts.prior:.2f}" in said
    assert f"that q(z) is {parts.prior:.2f} nats from N(0, I) does not." in said
    alone = kl_parts(latent_world.aggregate("plain"), 2401)
    assert f"With the 200 alone it would be {alone.told:.2f}" in said
    assert alone.told < math.log(200)


def test_what_was_measured_of_the_plane() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2000, 2, generator=generator).double()
    ends = latent_world.aggregate("forms").sample(2000, generator)
    generator.manual_seed(0)
    again = torch.randn(2000, 2, generator=generator).double()
    torch.testing.assert_close(again, drawn)
    alone = latent_world.aggregate("plain").sample(2000, generator)
    unsure = tuple(latent_world.unsure(z) for z in (drawn, ends, alone))
    assert unsure == pytest.approx(TOLD.unsure, abs=0.002)
    assert unsure[0] > unsure[1] + 2 * (2 * 0.08 / 2000) ** 0.5
    for data, share in (("forms", unsure[1]), ("plain", unsure[2])):
        at = open_page("latent_diffusion", ldview="In the plane", lddata=latent_world.DATA[data])
        under = " ".join(c.value for c in at.caption)
        assert f"is unsure (gives no digit 90%) of {unsure[0]:.1%} of 2,000" in under
        assert f"and of {share:.1%} of 2,000 exact ones of q(z)" in under
    holes = latent_world.rarity("forms", drawn) < math.log(0.1)
    told = latent_world.unsure(drawn[holes]), latent_world.unsure(drawn[~holes])
    assert told == pytest.approx(TOLD.holes, abs=0.004)
    said = text(open_page("latent_diffusion"))
    assert f"unsure of {told[0]:.0%} in such places, of {told[1]:.0%} elsewhere" in said


def test_holes_hang_on_how_many_digits_there_are() -> None:
    said = text(open_page("latent_diffusion"))
    images, vae = load.gallery().images, vae_world.network()[0]
    drawn = latent_world.draws(0)
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(drawn).sum(1)
    for forms, share, nats in TOLD.forms:
        data = aggregated_posterior(vae, latent_world.reshaped(images, forms).flatten(1))
        clean = torch.zeros(WALKERS, dtype=torch.int64)
        log_q = aggregate_log_density(diffusion(), data, drawn, clean)
        found = float((log_q - log_p < math.log(0.1)).double().mean())
        assert found == pytest.approx(share, abs=0.004)
        prior_part = kl_parts(data).prior
        assert prior_part == pytest.approx(nats, abs=0.004)
        each = f"{forms} form{'s' * (forms > 1)} of each {found:.0%} and {prior_part:.2f} nats"
        assert each in said
    assert TOLD.forms[1][0] == FORMS


@pytest.mark.parametrize("data", latent_world.DATA)
def test_what_the_walk_leaves_in_holes_is_its_steps_doing(data: str) -> None:
    """ "of exact draws of q(z) less than 1% lie there", and a finer walk ends as they do."""
    exact = latent_world.aggregate(data).sample(20_000, torch.Generator().manual_seed(0))

    def rare(z: torch.Tensor) -> float:
        return float((latent_world.rarity(data, z) < math.log(0.1)).double().mean())

    fine = sorted({round(1000 * (1 - i / 300) ** 2) for i in range(301)}, reverse=True)
    best = aggregate_denoiser(diffusion(), latent_world.aggregate(data))
    *_, end = flow_walk(diffusion(), best, latent_world.draws(0), fine)
    assert rare(exact) < 0.01 < plane(data).rare[-1]
    assert rare(end) < 0.01


def test_holes_are_ringed_and_counted_and_the_decoded_are_numbered() -> None:
    told = plane("forms")
    clouds = latent_views.plane_frames(told, "forms").clouds
    for cloud, at in zip(clouds, (0, -1), strict=True):
        assert cloud.numbered
        assert cloud.trails == latent_world.SHOWN == len(told.sheets[0]) // 29 * 2 + 2
        assert cloud.rings is not None
        ringed = np.isfinite(cloud.rings[-1]).all(1)
        np.testing.assert_array_equal(ringed, told.holes[at])
        np.testing.assert_allclose(cloud.rings[-1][ringed], cloud.points[-1][ringed])
        count = cloud.words[1].text
        assert (count if at == 0 else count[-1]) == f"{ringed.sum()} of {WALKERS} in holes"
    greens = clouds[1].words[0].text
    assert greens[0].endswith("noise, t = 1000")
    assert greens[-1].endswith("the digits’ latents")


def test_the_densest_place_alone_is_full() -> None:
    """One shade for one density: none is cut off, or the middle would be one flat green."""
    shade = latent_world.shades("forms")
    assert shade.max() == 255
    assert ((shade == 255).sum((1, 2)) < 20).all()


@pytest.mark.parametrize(
    ("view", "guess", "told"),
    [
        ("Digits", "It takes z to where digits’ latents are", "is unsure of 52%: it"),
        ("In the plane", "They can’t: that is its purpose", "They do."),
        ("What is lost", "Little, at the edges", f"same digit in {TOLD.same} of 200"),
        ("Scale", "Hardly, at most t", "equal at t = 874 only, instead of 497"),
    ],
)
def test_every_view_has_its_own_question(view: str, guess: str, told: str) -> None:
    at = open_page("latent_diffusion", ldview=view)
    assert len(at.pills) == 1
    at.pills[0].select(guess)
    assert told in text(at.run())


def test_what_was_measured_on_real_digits() -> None:
    try:
        images = load_mnist("test", download=False).images
    except DataError:
        pytest.skip("MNIST is not on this machine")
    data = aggregated_posterior(vae_world.network()[0], images.flatten(1).float() / 255)
    parts = kl_parts(data, 401)
    assert (parts.whole, parts.prior) == pytest.approx(TOLD.mnist, abs=0.005)
    said = text(open_page("latent_diffusion"))
    assert f"trained on, it is {parts.prior:.2f} of {parts.whole:.2f}" in said


@torch.inference_mode()
def test_what_was_measured_of_the_autoencoder() -> None:
    module, _ = latent_world.autoencoder()
    gallery = load.gallery()
    x, z = to_unit(gallery.images), module.encode(gallery.images)
    q = module.posterior(x)
    nats = float(q.kl(prior(q.mean)).flatten(1).sum(1).mean())
    assert nats == pytest.approx(TOLD.nats, abs=0.5)
    width = q.var.sqrt() / module.scale
    assert (float(width.mean()), float(width.median())) == pytest.approx(TOLD.width, abs=0.003)
    assert float(module.scale) == pytest.approx(TOLD.size, abs=0.001)
    eps = torch.randn(q.mean.shape, generator=torch.Generator().manual_seed(0))
    sampled = float((module.decoder(q.mean + q.var.sqrt() * eps) - x).square().mean())
    assert sampled == pytest.approx(TOLD.sampled, abs=0.00005)
    pictures = module.decode(z)
    assert float((to_unit(pictures) - x).square().mean().sqrt()) == pytest.approx(
        TOLD.error, abs=0.0006
    )
    assert float((z.abs() > 1).double().mean()) == pytest.approx(TOLD.outside, abs=0.003)
    cut = to_unit(module.decode(z.clamp(-1, 1)))
    assert float((cut - x).square().mean().sqrt()) == pytest.approx(TOLD.clipped, abs=0.002)
    noise = torch.randn(200, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    unsure = [
        float((latent_world.sureness(p.float() / 255) < 0.9).double().mean())
        for p in (module.decode(noise), pictures)
    ]
    assert unsure == pytest.approx(TOLD.plain, abs=0.006)
    spread = float(q.mean.var()), float(q.var.mean())
    assert spread == pytest.approx(TOLD.spread[:2], abs=0.002)
    larger = q.var.mean(0) > q.mean.var(0)
    assert int(larger.sum()) == pytest.approx(TOLD.spread[2], abs=1)
    assert float(z.std()) * float(module.scale) == pytest.approx(spread[0] ** 0.5, abs=0.005)
    assert abs(float(module.scale) - sum(spread) ** 0.5) < 0.01  # "it is that of draws"
    said = text(open_page("latent_diffusion"))
    assert f"{nats:.0f} nats per digit. Which of the gallery’s {len(x)} it is" in said
    assert f"at most log 200 = {math.log(len(x)):.1f} nats" in said
    assert f"(variance {sampled:.4f}, σ = {sampled**0.5:.2f}, where z is drawn" in said
    assert f"{sampled**0.5:.3f} if z is drawn and not the encoder’s mean" in said
    judge = load.classifier()
    seen = [judge(to_unit(one)).argmax(1) for one in (gallery.images, pictures)]
    assert int((seen[0] == seen[1]).sum()) == pytest.approx(TOLD.same, abs=1)
    under = [c.value for c in open_page("latent_diffusion", ldview="What is lost").caption]
    assert any(f"sees the same digit in {TOLD.same} of {len(x)}" in c for c in under)
    assert any(f"come back off by {TOLD.error:.3f} (root" in c for c in under)
    # The training's own loss, in units of nats: the weight that its KL term has there.
    numbers = torch.zeros(1, 3, 7, 7)
    losses = [
        float(
            compressing_loss(
                RECIPES["autoencoder"], torch.tensor([[0.0, kl]]), Drawn((x, numbers), ())
            )
        )
        for kl in (0.0, 1.0)
    ]
    beta = (losses[1] - losses[0]) * 784 / (2 * sampled)
    assert f"β = {beta:.2f}" in said
    assert f"deviation {width.median():.2f} in the median, {width.mean():.2f} on average" in said
    under = [c.value for c in open_page("latent_diffusion", ldview="Digits").caption]
    assert any(f"multiplied by {float(module.scale):.2f}" in c for c in under)
    means, draws = spread[0] ** 0.5, sum(spread) ** 0.5
    assert f"deviation of {means:.2f} and draws of {draws:.2f}" in said
    assert f"off by {TOLD.error:.3f} from means and by {sampled**0.5:.3f} from draws" in said
    assert f"unsure of {unsure[0]:.0%} of such pictures, against {unsure[1]:.1%} of" in said
    assert f"The pictures do: the judge is unsure of {unsure[0]:.0%}." in said
    # Of q(z) and N(0, I): where q is e^100 times p lies nearly all of q, and so nothing of p.
    everyone = Aggregate(q.mean.flatten(1).double(), q.var.flatten(1).double())
    drawn = everyone.sample(500, torch.Generator().manual_seed(0))
    log_q = aggregate_log_density(diffusion(), everyone, drawn, torch.zeros(500, dtype=torch.int64))
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(drawn).sum(1)
    assert float((log_q - log_p > 100).double().mean()) > 0.99
    assert float((log_q - log_p).mean()) > nats - math.log(200) - 5


def test_what_is_lost_is_shown_and_lies_at_the_strokes_edges() -> None:
    told = latent_world.Kept(*latent_world.kept())
    frames = latent_views.kept_frames(told)
    whole, back, off = (panel.frames.astype(float) for panel in frames.panels)
    assert len(whole) == len(frames.captions) == 20
    np.testing.assert_array_equal(whole[4][29:57, 58:86], load.gallery_digit(6, 4))
    seen = np.clip(128 + 2 * (back - whole), 0, 255)  # 4 times a difference of ±255
    # Blank cells and lines are gray in the difference, black in the pictures.
    assert np.abs(off - seen).max() <= 4
    apart = np.abs(back - whole)
    steep = np.hypot(*np.gradient(whole, axis=(1, 2))) > 20
    assert apart[steep].mean() > 3 * apart[~steep].mean()
    assert float((told.error**2).mean() ** 0.5) == pytest.approx(TOLD.error, abs=5e-4)
    assert told.same.sum() == TOLD.same
    assert told.error.max() < frames.curves[0].hi  # type: ignore[operator]
    assert frames.captions[0] == f"variant 1 of 20 · {told.same[0]} of 10 are read as before"


def test_noise_in_a_latent_is_not_noise_on_pixels() -> None:
    at_500 = latent_world.noise_times().index(500)
    found = []
    for seed in range(5):
        told = Lost(*latent_world.lost(3, 0, 1.0, seed))
        assert (told.alike[1, 1:] > told.alike[0, 1:] + 0.2).all()
        found.append(told.alike[:, at_500])
    assert tuple(found[0]) == pytest.approx(TOLD.alike[:2], abs=0.005)
    alike = Lost(*latent_world.lost(3, 0, 1.0, 0)).alike[1]
    assert alike[1] == pytest.approx(TOLD.alike[2], abs=0.005)
    assert alike[1] < alike[at_500] < alike[-1]  # "It rises"
    said = text(open_page("latent_diffusion"))
    assert f"correlation of {alike[1]:.2f} at t = 25 already" in said
    assert f"It rises, to {alike[at_500]:.2f} at t = 500" in said
    assert np.abs(np.array(found)[:, 0]).max() < 0.1  # independent, but for chance


@pytest.mark.parametrize("factor", FACTORS)
def test_a_factor_shows_as_a_constant_distance(factor: float) -> None:
    """ "Lower chart: the two lines are the same distance apart at every t", on a log axis."""
    told = Lost(*latent_world.lost(3, 0, factor, 0))
    found, one = latent_world.snr_shown(factor), latent_world.snr_shown(1)
    np.testing.assert_allclose(found[1:] / one[1:], factor**2)
    assert np.isnan(found[0])
    unit = Lost(*latent_world.lost(3, 0, 1.0, 0))
    frames = latent_views.lost_frames(told, load.gallery_digit(3, 0), factor, unit)
    lines = [curve for curve in frames.curves if curve.log]
    assert len(lines) == 3 + (factor not in (0.2, 1, 5))
    alpha_bar = latent_world.process().schedule.alpha_bar
    for c, curve in zip(sorted({0.2, 1.0, 5.0, factor}), lines, strict=True):
        even = int((c * c * alpha_bar < 1 - alpha_bar).nonzero()[0])
        assert curve.label == f"× {c:g}: 1 at {even}"
        assert curve.line == 1
        t = latent_world.noise_times()
        assert np.interp(even, t[1:], np.log(curve.values[1:])) == pytest.approx(0, abs=0.1)
    for curve in lines:  # none lies on the floor or at the ceiling
        assert curve.lo < curve.values[1:].min()
        assert curve.values[1:].max() < curve.hi


@torch.inference_mode()
def test_of_large_latents_most_that_is_off_is_fading_not_noise() -> None:
    module, _ = latent_world.autoencoder()
    picture = torch.from_numpy(load.gallery_digit(3, 0))[None]
    x0, z0 = to_unit(picture), module.encode(picture)
    generator = torch.Generator().manual_seed(0)
    torch.randn(1, 1, 28, 28, generator=generator)  # the pixels' noise comes first
    eps = torch.randn(1, 3, 7, 7, generator=generator)
    alpha_bar = float(latent_world.process().schedule.alpha_bar[500])
    still = alpha_bar**0.5 * z0
    noisy = still + (1 - alpha_bar) ** 0.5 / 5 * eps
    drawn, quiet = (to_unit(module.decode(z)) for z in (noisy, still))
    found = [float(e.square().mean().sqrt()) for e in (drawn - x0, quiet - x0, drawn - quiet)]
    assert found == pytest.approx(TOLD.large, abs=0.002)
    assert found[1] > 1.4 * found[2]
    at_500 = latent_world.noise_times().index(500)
    assert Lost(*latent_world.lost(3, 0, 5.0, 0)).error[1, at_500] == pytest.approx(
        found[2], abs=1e-3
    )


def test_the_smaller_the_latents_the_more_the_noise_does() -> None:
    at_500 = latent_world.noise_times().index(500)
    errors = [Lost(*latent_world.lost(3, 0, c, 0)).error[1, at_500] for c in FACTORS]
    assert errors == sorted(errors, reverse=True)
    # "Signal and noise are equal at": by bisection of the formula of the schedule.
    said = text(open_page("latent_diffusion"))
    alpha_bar = latent_world.process().schedule.alpha_bar
    even = [int((c * c * alpha_bar < 1 - alpha_bar).nonzero()[0]) for c in (0.2, 1, 5)]
    assert f"t = {even[1]} here; with latents five times too small at {even[0]} " in said
    assert f"five times too large at {even[2]}" in said


def test_multiplied_latents_stand_beside_those_that_are_not() -> None:
    """ "decoded × 1, and × 5, which has kept the digit. Then try × 0.2." """
    at_500, picture = latent_world.noise_times().index(500), load.gallery_digit(3, 0)
    unit = Lost(*latent_world.lost(3, 0, 1.0, 0))
    for factor in (0.2, 5.0):
        told = Lost(*latent_world.lost(3, 0, factor, 0))
        panels = latent_views.lost_frames(told, picture, factor, unit).panels
        one, other = panels[3:]
        assert one.title.endswith("× 1")
        assert other.title.endswith(f"× {factor:g}")
        off = [np.abs(p.frames[at_500].astype(float) - picture).mean() for p in (one, other)]
        assert off[1] < 0.5 * off[0] if factor == 5 else off[1] > 1.5 * off[0]
        plain = latent_views.lost_frames(unit, picture, 1.0, unit).panels
        assert len(plain) == 4  # not the same picture twice
        np.testing.assert_array_equal(one.frames, unit.decoded)
        for panel, same in zip(panels[:2], plain[:2], strict=True):  # each keeps its place
            assert panel.title == same.title
            np.testing.assert_array_equal(panel.frames, same.frames)


def test_what_a_call_costs() -> None:
    t, label = torch.tensor([500]), torch.tensor([1])
    latent, pixels = (RECIPES[name].build() for name in ("digits-latent", "digits-v"))
    module, _ = latent_world.autoencoder()
    found = (
        multiply_adds(latent, torch.zeros(1, 3, 7, 7), t, label),
        multiply_adds(pixels, torch.zeros(1, 1, 28, 28), t, label),
        multiply_adds(module.decoder, torch.zeros(1, 3, 7, 7).to(module.scale.dtype)),
    )
    assert found == TOLD.cost
    said = text(open_page("latent_diffusion"))
    small, large, decoder = (n / 1e6 for n in found)
    assert f"a call of the network costs {small:.0f} million multiply-adds instead of" in said
    assert f"{large / small:.1f} times fewer, and {decoder:.0f} once" in said
    latent_so_far, pixels_so_far = latent_views.spent(25)
    assert latent_so_far[[0, -1]] == pytest.approx(
        [12 * small / 1e3, 12 * (25 * small + decoder) / 1e3]
    )
    assert pixels_so_far[[0, -2, -1]] == pytest.approx([12 * n * large / 1e3 for n in (1, 25, 25)])
    # 512 x 512 x 3 numbers, 64 x 64 x 4 of the latent.
    assert f"{512 * 512 // (64 * 64)} times fewer positions" in said
    assert f"{512 * 512 * 3 // (64 * 64 * 4)} times fewer numbers" in said
    assert f"{(512 * 512) ** 2 // (64 * 64) ** 2:,} times" in said


def test_how_long_a_call_takes() -> None:
    """Processor time, which others on the machine hardly change; within a factor of 1.6."""
    t, label = torch.full((12,), 500), torch.arange(12) % 10
    networks = [load.network(name)[0] for name in ("digits-latent", "digits-v")]
    inputs = [torch.zeros(12, 3, 7, 7), torch.zeros(12, 1, 28, 28)]
    taken = []
    for _ in range(15):
        taken.append([])
        for network, x in zip(networks, inputs, strict=True):
            begun = time.process_time()
            network(x, t, label)
            taken[-1].append(time.process_time() - begun)
    latent, pixels = np.median(taken[3:], axis=0)
    assert TOLD.slower / 1.6 < pixels / latent < TOLD.slower * 1.6
    said = text(open_page("latent_diffusion"))
    assert f"In processor time a call took {TOLD.slower:.1f} times less" in said


# --- where "Show me" leads ---


@pytest.mark.parametrize(
    ("button", "caption"),
    [
        ("why_0", "t = 1000 · step 0 of 25"),
        ("why_2", "variant 1 of 20 · 10 of 10 are read as before"),
        ("why_3", "t = 500"),
        ("why_4", "t = 500"),
        ("why_5", "t = 1000 · step 0 of 25"),
        ("why_6", "variant 1 of 20 · 10 of 10 are read as before"),
        ("why_7", "variant 1 of 20 · 10 of 10 are read as before"),
        ("try_2", "t = 1000 · step 0 of 25"),
    ],
)
def test_show_me_opens_at_the_t_that_it_names(button: str, caption: str) -> None:
    at = open_page("latent_diffusion")
    press(at, button)
    assert not at.exception
    assert PLACE not in at.session_state  # it was used
    told = player_header(at)
    assert told["captions"][told["at"] or 0] == caption  # type: ignore[index]
    assert not told["autoplay"]
    assert not told["hold"]


def test_small_latents_open_where_signal_and_noise_are_equal() -> None:
    at = open_page("latent_diffusion")
    press(at, "try_1")
    told = player_header(at)
    alpha_bar = latent_world.process().schedule.alpha_bar
    even = int((0.04 * alpha_bar < 1 - alpha_bar).nonzero()[0])
    t = int(str(told["captions"][told["at"]]).removeprefix("t = "))  # type: ignore[index]
    assert abs(t - even) <= 12.5


# --- the walk in the latent -----------------------------------------------------------------------


def run(clip: bool = False, seed: int = 0, digit: str = "each") -> list[latent_world.Shot]:
    latents, _ = load.network("digits-latent")
    pixels, _ = load.network("digits-v")
    return list(latent_world.digits(latents, pixels, digit, 25, seed, clip))


def cells(sheet: np.ndarray) -> torch.Tensor:
    places = [(r, c) for r in range(0, 115, 29) for c in range(0, 86, 29)]
    return torch.from_numpy(np.stack([sheet[r : r + 28, c : c + 28] for r, c in places]))


def sure(sheet: np.ndarray) -> float:
    return float(latent_world.sureness(cells(sheet).float() / 255).mean())


def test_a_run_hangs_on_its_seed_alone() -> None:
    one, same, other = run(), run(), run(seed=1)
    assert len(one) == 26
    for field in ("latent", "plain", "aimed", "pixels"):
        assert all(
            (getattr(a, field) == getattr(b, field)).all() for a, b in zip(one, same, strict=True)
        )
        assert (getattr(one[-1], field) != getattr(other[-1], field)).any()
    stops = bench.stops(load.network("digits-latent")[0], 25)
    whole = latent_views.digit_frames(one, 0, stops)
    assert len(whole.captions) == 26
    part = latent_views.digit_frames(one[7:12], 7, stops)
    for curve, piece in zip(whole.curves, part.curves, strict=True):
        np.testing.assert_array_equal(curve.values[7:12], piece.values)


def test_a_plain_draw_decoded_is_no_digit_and_the_end_is() -> None:
    shots = run()
    np.testing.assert_array_equal(shots[-1].plain, shots[-1].aimed)
    assert all((shot.drawn == shots[0].plain).all() for shot in shots)  # it stays in view
    assert sure(shots[0].plain) < sure(shots[-1].aimed) - 0.05
    with torch.inference_mode():
        judge = load.classifier()
        found = judge.head(judge.features(to_unit(cells(shots[-1].aimed)))).argmax(1)
    assert float((found == torch.arange(12) % 10).double().mean()) >= 10 / 12


def test_clipping_harms_the_latent_and_not_the_pixels() -> None:
    free, cut = run(), run(clip=True)
    np.testing.assert_array_equal(free[-1].pixels, cut[-1].pixels)
    off = np.abs(free[-1].aimed.astype(float) - cut[-1].aimed.astype(float)) / 127.5
    assert off.mean() > 0.03
    # "strokes get thin": fewer bright pixels.
    bright = [float((shots[-1].aimed > 240).mean()) for shots in (free, cut)]
    assert bright[1] < 0.8 * bright[0]


def test_what_is_aimed_at_first_is_one_eight_blurred_in_pixels_only() -> None:
    first, *_, last = run(digit="8")
    found = []
    for field in ("aimed", "pixels"):
        early, late = (cells(getattr(shot, field)).float() for shot in (first, last))
        assert float(early.std(0).mean()) < 0.15 * float(late.std(0).mean())  # "all twelve … one"
        half = (early > 64) & (early < 192)
        found.append(float(half.sum() / (early > 20).sum()))
    assert found == pytest.approx(TOLD.gray, abs=0.02)
    said = text(open_page("latent_diffusion"))
    assert f"lie {TOLD.gray[1]:.0%} of the lit pixels in the cloud" in said


@torch.inference_mode()
def test_of_two_hundred_walked_digits_the_judge_is_seldom_unsure() -> None:
    network, _ = load.network("digits-latent")
    module, _ = latent_world.autoencoder()
    z = torch.randn(200, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    *_, last = sample(
        network.diffusion, network, z, evenly_spaced(network.diffusion.T, 25), sampler="ddim",
        clip_x0=False, label=torch.arange(200) % 10, generator=torch.Generator(),
    )  # fmt: skip
    sure = latent_world.sureness(module.decode(last.x_t).float() / 255)
    assert float((sure < 0.9).double().mean()) == pytest.approx(TOLD.walked, abs=0.011)
    at = open_page("latent_diffusion")
    at.pills[0].select("It makes the picture sharper")
    said = text(at.run())
    assert f"is unsure of {TOLD.plain[0]:.0%}: it gives no digit as much as 90%." in said
    assert f"walked before they are decoded, it is unsure of {TOLD.walked:.0%}" in said


def test_both_networks_are_told_by_their_cards() -> None:
    (found,) = (c.value for c in open_page("latent_diffusion").caption if "DDIM" in c.value)
    for name, words in (("digits-latent", "from the latent"), ("digits-v", "in pixels")):
        _, card = load.network(name)
        first = next(
            m for m in card.fields["metrics"]
            if m["name"] == "recognised as its class" and m["setting"].startswith("ddim, 25 steps")
            and m["setting"].endswith("seed 10000")
        )  # fmt: skip
        assert f"{first['value']:.1%} of {first['samples']:,} {words}" in found
