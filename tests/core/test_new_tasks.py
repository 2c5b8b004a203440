"""Training on latents, on bounds of a VAE and on degraded pictures: inputs and losses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffusion_core import training
from diffusion_core.checkpoints import CheckpointError, load, load_restorer
from diffusion_core.cold import blur
from diffusion_core.latent_networks import load_autoencoder
from diffusion_core.networks import UNCONDITIONAL
from diffusion_core.recipes import RECIPES
from diffusion_core.training import KL_WEIGHT, TASKS, Batch, Drawn, starting_weights


def batch(n: int = 6, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    byte = torch.randint(256, (n, 1, 28, 28), generator=generator)
    return Batch(byte / 127.5 - 1, torch.arange(n) % 10, generator)


def test_a_vae_sees_pixels_that_are_black_or_white_by_chance() -> None:
    inputs_of, loss_of = TASKS["vae"]
    drawn = inputs_of(RECIPES["vae"], batch(400))
    x, eps = drawn.inputs
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert x.shape == (400, 784)
    assert eps.shape == (400, 2)
    chance = (batch(400).x0.flatten(1) + 1) / 2
    gap = (x - chance).mean()
    assert abs(float(gap)) < 4 * (0.25 / x.numel()) ** 0.5
    nats = torch.tensor([[3.0, 1.0], [5.0, 2.0]])
    assert float(loss_of(RECIPES["vae"], nats, drawn)) == 5.5
    inputs_of, loss_of = TASKS["vae_without_kl"]
    torch.testing.assert_close(inputs_of(RECIPES["vae-no-kl"], batch(400)), drawn)
    assert float(loss_of(RECIPES["vae-no-kl"], nats, drawn)) == 4


def test_an_autoencoder_pays_for_pixels_and_a_little_for_its_latent() -> None:
    inputs_of, loss_of = TASKS["compress"]
    recipe = RECIPES["autoencoder"]
    drawn = inputs_of(recipe, batch())
    x, eps = drawn.inputs
    assert eps.shape == (6, 3, 7, 7)
    module = recipe.build().eval().requires_grad_(False)
    error, nats = module(x, eps).unbind(1)
    q = module.posterior(x)
    picture = module.decoder(q.mean + q.var.sqrt() * eps)
    torch.testing.assert_close(error, (picture - x).square().mean((1, 2, 3)))
    plain = torch.distributions.kl_divergence(
        torch.distributions.Normal(q.mean, q.var.sqrt()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(nats, plain.sum((1, 2, 3)))
    loss = loss_of(recipe, torch.stack([error, nats], 1), drawn)
    assert float(loss) == pytest.approx(float((error + KL_WEIGHT * nats / 147).mean()))


def test_the_scale_follows_the_latents_while_training_and_then_stays() -> None:
    torch.manual_seed(0)
    module = RECIPES["autoencoder"].build().train()
    x, eps = TASKS["compress"][0](RECIPES["autoencoder"], batch(4)).inputs
    with torch.no_grad():
        std = float(module.posterior(x).sample(eps).std())
        module.scale.fill_(1.5 * std)
        for _ in range(100):
            module(x, eps)
        kept = 0.98**100  # of the half that it was too large
        assert float(module.scale) == pytest.approx((1 + 0.5 * kept) * std, rel=1e-3)
        learnt = float(module.scale)
        module.eval()(x, eps)
        assert float(module.scale) == learnt
        # encode divides by it, decode multiplies.
        z = module.encode(x)
        torch.testing.assert_close(z * module.scale, module.posterior(x).mean)


def test_latents_of_pictures_are_what_is_noised() -> None:
    recipe = RECIPES["digits-latent"]
    inputs_of, loss_of = TASKS["denoise_latents"]
    drawn = inputs_of(recipe, batch())
    (z_t, t, _), (target, weight, z) = drawn
    network, _ = load_autoencoder(device="cpu")
    torch.testing.assert_close(z, network.encode(batch().x0))
    a, sigma = recipe.diffusion.rates(t, z)
    eps = (z_t - a * z) / sigma
    torch.testing.assert_close((a * eps - sigma * z).float(), target, atol=1e-4, rtol=1e-4)
    assert float(loss_of(recipe, target, drawn)) == 0
    assert weight.unique().tolist() == [1.0]


def test_a_restorer_sees_degraded_pictures_and_pays_absolute_errors() -> None:
    recipe = replace(RECIPES["cold-blur"], label_dropout=0.5)
    inputs_of, loss_of = TASKS["restore"]
    drawn = inputs_of(recipe, batch(200))
    (x_t, t, label), (x0,) = drawn
    torch.testing.assert_close(x_t, blur(x0, t))
    assert int(t.min()) >= 1
    assert int(t.max()) == recipe.T
    assert 60 < int((label == UNCONDITIONAL).sum()) < 140
    assert float(loss_of(recipe, x0 + 0.25, drawn)) == pytest.approx(0.25, rel=1e-5)
    moved = Drawn(drawn.inputs, (x0,))
    assert float(loss_of(recipe, x0 - 0.5, moved)) == pytest.approx(0.5, rel=1e-5)


def test_a_start_without_a_run_is_the_network_that_ships(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(training, "RUNS", tmp_path)
    weights = starting_weights("digits-x0")
    shipped, _ = load("digits-x0", "cpu")
    own = shipped.module.state_dict()
    assert set(weights) == set(own)
    for key, value in weights.items():
        torch.testing.assert_close(value.float(), own[key].float(), atol=1e-2, rtol=1e-2)
    with pytest.raises(FileNotFoundError, match="digits-base"):
        starting_weights("digits-base")


def test_networks_are_loaded_for_their_own_task() -> None:
    denoiser, _ = load("digits-latent", "cpu")
    z = torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    said = denoiser(z, torch.tensor([500, 500]), torch.tensor([1, 2]))
    assert said.x0.shape == z.shape
    restore, card = load_restorer("cold-blur", "cpu")
    x = torch.zeros(2, 1, 28, 28)
    assert restore(x, torch.tensor([3, 3]), None).shape == x.shape
    assert card.name == "cold-blur"
    with pytest.raises(CheckpointError, match="another task"):
        load_restorer("digits-eps")
    with pytest.raises(CheckpointError, match="another task"):
        load("cold-blur")
