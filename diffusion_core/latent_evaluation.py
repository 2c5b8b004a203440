"""What the networks with latents, and those without noise, reach, measured for their cards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from diffusion_core.checkpoints import load, load_module, load_restorer
from diffusion_core.cold import DEGRADATIONS, flat_gray, restored, variety
from diffusion_core.datasets import load_mnist, to_states, to_uint8, to_unit
from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.guidance import guided
from diffusion_core.judging import floor_told, frechet_distance, judge, metric, moments
from diffusion_core.latent_networks import load_autoencoder
from diffusion_core.recipes import Recipe
from diffusion_core.samplers import sample
from diffusion_core.schedules import evenly_spaced
from diffusion_core.vae import VAE
from diffusion_core.vae_bound import coarse_plane, summed_plane
from diffusion_core.vq_evaluation import real_moments, the_classifier
from diffusion_core.vqvae import SIDE

GUIDANCE = 2.0  # of the last setting that is judged
FLAT_NOISES = (0.0, 0.002, 0.005, 0.01)  # on the gray that digits are made from


def vae_metrics(recipe: Recipe, count: int = 2_000, seed: int = 10_000) -> Iterator[dict[str, Any]]:
    """The bound on binary test digits, log p(x) itself by a sum over the plane, and their gap."""
    module, _ = load_module(recipe.name, "cpu")
    assert isinstance(module, VAE)
    test, generator = load_mnist("test"), torch.Generator().manual_seed(seed)
    x = to_states(to_unit(test.images[:count]), 2, generator).flatten(1).float()
    coarse = coarse_plane(module)
    exact = torch.tensor([summed_plane(module, one, coarse).log_evidence for one in x])
    terms = torch.stack(
        [module(x, torch.randn(count, 2, generator=generator)).double() for _ in range(32)]
    )
    setting = f"binarised digits of the MNIST test set, seed {seed}"
    cost, nats = terms.mean(0).mean(0).tolist()
    bound = terms.mean(0).sum(1)
    for name, values in (
        ("-log p(x), nats per digit", -exact),
        ("negative bound, nats per digit", bound),
    ):
        error = float(values.std()) / count**0.5
        yield metric(name, float(values.mean()), count, setting, standard_error=error)
    yield metric("reconstruction, nats per digit", cost, count, setting)
    yield metric("KL of q(z|x) from p(z), nats per digit", nats, count, setting)


def autoencoded_metrics(
    recipe: Recipe, count: int = 2_000, seed: int = 10_000
) -> Iterator[dict[str, Any]]:
    """What a VAE trained without its KL term does with test digits, and with draws of N(0, I)."""
    module, _ = load_module(recipe.name, "cpu")
    assert isinstance(module, VAE)
    test, generator = load_mnist("test"), torch.Generator().manual_seed(seed)
    x = to_states(to_unit(test.images[:count]), 2, generator).flatten(1).float()
    terms = torch.stack(
        [module(x, torch.randn(count, 2, generator=generator)).double() for _ in range(32)]
    )
    cost, nats = terms.mean(0).mean(0).tolist()
    q = module.posterior(x)
    setting = f"binarised digits of the MNIST test set, seed {seed}"
    yield metric("reconstruction, nats per digit", cost, count, setting)
    yield metric("KL of q(z|x) from p(z), nats per digit", nats, count, setting)
    yield metric(
        "standard deviation of q(z|x), median", float(q.var.sqrt().median()), count, setting
    )
    near = float((q.mean.square().sum(1) < 4).double().mean())
    yield metric("encoded to within 2 of 0 (of N(0, I): 0.865)", near, count, setting)
    z = torch.randn(count, 2, generator=generator)
    pixels = 2 * module.logits(z).sigmoid().view(-1, 1, 28, 28) - 1
    seen = judge(the_classifier(), to_uint8(pixels))
    shares = seen.predicted.bincount(minlength=10) / count
    setting = f"draws of N(0, I), decoded; seed {seed}"
    yield metric("most frequent digit’s share", float(shares.max()), count, setting)


def compressor_metrics(recipe: Recipe) -> Iterator[dict[str, Any]]:
    """What is left of the MNIST test set after encoding and decoding, and what a latent holds."""
    module, _ = load_autoencoder(recipe.name)
    classifier, test, train = the_classifier(), load_mnist("test"), load_mnist("train")
    n, setting = len(test.images), "MNIST test set, encoded and decoded"
    z = module.encode(test.images)
    pictures = module.decode(z)
    seen = judge(classifier, pictures)
    right = float((seen.predicted == test.labels).double().mean())
    yield metric("reconstruction recognised as its class", right, n, setting)
    error = float((to_unit(pictures) - to_unit(test.images)).square().mean())
    yield metric("reconstruction, mean squared error", error, n, f"{setting}; pixels are -1 to 1")
    features, reference = judge(classifier, train.images).features, real_moments(classifier, test)
    distance = frechet_distance(moments(seen.features), reference)
    floor = floor_told(features, reference, n)
    yield metric("Fréchet distance", distance, n, setting, reference=floor)
    setting = "latents of the MNIST test set, as the denoiser sees them"
    yield metric("numbers per digit", float(z[0].numel()), n, setting)
    yield metric("standard deviation", float(z.std()), n, setting)


def sample_latents(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    label: Tensor,
    features: int,
    *,
    steps: int,
    seed: int,
) -> Tensor:
    """One finished latent per label [B], by DDIM: [B, features, 7, 7]. Nothing is clipped."""
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(len(label), features, SIDE, SIDE, generator=generator)
    *_, last = sample(
        diffusion, denoiser, x_T, evenly_spaced(diffusion.T, steps), sampler="ddim",
        clip_x0=False, label=label, generator=generator,
    )  # fmt: skip
    return last.x_t


def latent_metrics(
    recipe: Recipe, count: int = 2_000, seed: int = 10_000
) -> Iterator[dict[str, Any]]:
    """Class accuracy and Fréchet distance of decoded samples, for the first training labels."""
    denoiser, _ = load(recipe.name)
    module, _ = load_autoencoder()
    classifier, test, train = the_classifier(), load_mnist("test"), load_mnist("train")
    features, reference = judge(classifier, train.images).features, real_moments(classifier, test)
    floor = floor_told(features, reference, count)
    label = train.labels[:count].long()
    for steps, scale in ((25, 1.0), (100, 1.0), (25, GUIDANCE)):
        asked = guided(denoiser, scale)
        pictures = torch.cat(
            [
                module.decode(
                    sample_latents(
                        denoiser.diffusion, asked, part, module.features,
                        steps=steps, seed=seed + i,
                    )
                )
                for i, part in enumerate(torch.split(label, 100))
            ]
        )  # fmt: skip
        seen = judge(classifier, pictures)
        setting = f"ddim, {steps} steps, decoded, seed {seed}"
        setting += f", guidance {scale:g}" if scale != 1 else ""
        right = float((seen.predicted == label).double().mean())
        yield metric("recognised as its class", right, count, setting)
        distance = frechet_distance(moments(seen.features), reference)
        yield metric("Fréchet distance", distance, count, setting, reference=floor)


def restoring_metrics(
    recipe: Recipe, count: int = 2_000, quick: int = 1_000, seed: int = 10_000
) -> Iterator[dict[str, Any]]:
    """What comes back of `count` degraded test digits, and what `quick` made from gray look like.

    The first in one step and by both of the paper's rules, the others by the improved one.
    """
    restore, _ = load_restorer(recipe.name)
    degrade = DEGRADATIONS[recipe.kernel]
    classifier, test, train = the_classifier(), load_mnist("test"), load_mnist("train")
    images, label = test.images[:count], test.labels[:count].long()
    features, reference = judge(classifier, train.images).features, real_moments(classifier, test)
    floor = floor_told(features, reference, count)
    x0 = to_unit(images)
    for share in (0.5, 0.75, 1.0):
        start = round(share * recipe.T)
        t = torch.full((count,), start)
        x_t = degrade(x0, t)
        for rule in ("once", "naive", "improved"):
            parts = [
                to_uint8(restored(degrade, restore, part, start, rule=rule))
                for part in torch.split(x_t, 200)
            ]
            pictures = torch.cat(parts)
            seen = judge(classifier, pictures)
            setting = f"MNIST test digits degraded to t = {start} of {recipe.T}, {rule}"
            right = float((seen.predicted == label).double().mean())
            yield metric("restored digit recognised as its class", right, count, setting)
            error = float((to_unit(pictures) - x0).square().mean())
            yield metric("mean squared error", error, count, f"{setting}; pixels are -1 to 1")
            distance = frechet_distance(moments(seen.features), reference)
            yield metric("Fréchet distance", distance, count, setting, reference=floor)
    real, label = to_unit(train.images[:quick]), train.labels[:quick].long()
    floor = floor_told(features, reference, quick)
    among = f"variety of the training digits {_variety(real, label):.3f}"
    for noise in FLAT_NOISES:
        generator = torch.Generator().manual_seed(seed)
        x_T = flat_gray(real.mean((1, 2, 3)), noise, generator)
        made = torch.cat(
            [
                restored(degrade, restore, part, recipe.T, label=asked)
                for part, asked in zip(torch.split(x_T, 200), torch.split(label, 200), strict=True)
            ]
        )
        seen = judge(classifier, to_uint8(made))
        setting = f"from the mean grays of training digits, noise {noise:g}, improved, seed {seed}"
        right = float((seen.predicted == label).double().mean())
        yield metric("recognised as its class", right, quick, setting)
        yield metric("variety in a class", _variety(made, label), quick, setting, reference=among)
        distance = frechet_distance(moments(seen.features), reference)
        yield metric("Fréchet distance", distance, quick, setting, reference=floor)


def _variety(x: Tensor, label: Tensor) -> float:
    """The variety of each class, on average."""
    return float(torch.stack([variety(x[label == c]) for c in range(10)]).mean())
