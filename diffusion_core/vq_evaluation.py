"""What the VQ-VAE and the diffusion on its tokens reach, measured for their cards."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from diffusion_core.checkpoints import load_discrete, load_module
from diffusion_core.codebooks import perplexity
from diffusion_core.datasets import Dataset, load_mnist, to_unit
from diffusion_core.denoisers import DiscreteDenoiser
from diffusion_core.discrete import DiscreteDiffusion
from diffusion_core.discrete_elbo import estimate_discrete_elbo
from diffusion_core.discrete_sampling import sample_discrete
from diffusion_core.guidance import guided_belief
from diffusion_core.judging import (
    Moments,
    floor_told,
    frechet_distance,
    judge,
    metric,
    moments,
)
from diffusion_core.networks import Classifier
from diffusion_core.recipes import Recipe
from diffusion_core.schedules import evenly_spaced
from diffusion_core.vqvae import SIDE, load_vqvae

GUIDANCE = 2.0  # of the last setting that is judged


def the_classifier() -> Classifier:
    """The shipped classifier, in float32."""
    module, _ = load_module("classifier")
    assert isinstance(module, Classifier)
    return module


def real_moments(classifier: Classifier, data: Dataset) -> Moments:
    """Where the classifier puts real digits."""
    return moments(judge(classifier, data.images).features)


def autoencoder_metrics(recipe: Recipe) -> Iterator[dict[str, Any]]:
    """What is left of the MNIST test set after encoding and decoding, and how codes are used.

    The floor of the Fréchet distance is that of as many training digits, drawn at random.
    """
    network, _ = load_vqvae(recipe.name)
    classifier = the_classifier()
    test, train = load_mnist("test"), load_mnist("train")
    n, setting = len(test.images), "MNIST test set, encoded and decoded"
    tokens = network.encode(test.images)
    pictures = network.decode(tokens)
    seen, reference = judge(classifier, pictures), real_moments(classifier, test)
    right = float((seen.predicted == test.labels).double().mean())
    yield metric("reconstruction recognised as its class", right, n, setting)
    error = (to_unit(pictures) - to_unit(test.images)).square().mean()
    yield metric(
        "reconstruction, mean squared error", float(error), n, f"{setting}; pixels are -1 to 1"
    )
    distance = frechet_distance(moments(seen.features), reference)
    floor = floor_told(judge(classifier, train.images).features, reference, n)
    yield metric("Fréchet distance", distance, n, setting, reference=floor)
    counts = tokens.flatten().bincount(minlength=network.codes).double()
    used, rarest = int((counts > 0).sum()), float(counts.min() / counts.sum())
    setting = f"tokens of the MNIST test set, {network.codes} codes"
    yield metric("codes used, share", used / network.codes, n, setting)
    yield metric("rarest code, share of tokens", rarest, n, setting)
    yield metric("codebook perplexity", perplexity(tokens, network.codes), n, setting)


def sample_tokens(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    label: Tensor | None,
    count: int,
    *,
    steps: int,
    seed: int,
) -> Tensor:
    """Tokens of `count` finished digits: int64 [count, 7, 7], from noise fixed by `seed`.

    The last step draws, too, as VQ-Diffusion's does.
    """
    generator = torch.Generator().manual_seed(seed)
    x_T = diffusion.prior_sample((count, SIDE, SIDE), generator)
    times = evenly_spaced(diffusion.T, steps)
    *_, last = sample_discrete(diffusion, denoiser, x_T, times, label=label, generator=generator)
    return last.x_t


def token_metrics(
    recipe: Recipe, count: int = 2_000, draws: int = 8, seed: int = 10_000
) -> Iterator[dict[str, Any]]:
    """The bound on the test set's tokens, then class accuracy and Fréchet distance of samples.

    The bound is that of the tokens given the class, from `draws` random steps per test digit; its
    standard error is that of the mean over digits, and so holds the chance of digits and steps. The
    samples have the labels of the first `count` training digits. Two floors stand beside their
    distance from the test set: that of as many training digits, drawn at random, and that of their
    reconstructions, below which no tokens can be expected.
    """
    denoiser, _ = load_discrete(recipe.name)
    diffusion = denoiser.diffusion
    network, _ = load_vqvae()
    test, train = load_mnist("test"), load_mnist("train")
    x0, generator = network.encode(test.images), torch.Generator().manual_seed(seed)
    parts = torch.split(torch.arange(len(x0)), 200)
    nats = torch.cat(
        [
            estimate_discrete_elbo(
                diffusion,
                denoiser,
                x0[part],
                n=draws,
                batch=400,
                label=test.labels[part].long(),
                generator=generator,
            ).mean
            for part in parts
        ]
    )
    mean, error = float(nats.mean()), float(nats.std()) / len(nats) ** 0.5
    setting = f"given the class, {draws} random steps per digit of the MNIST test set, seed {seed}"
    bits = SIDE * SIDE * math.log(2)
    yield metric("bound, nats per digit", mean, len(nats), setting, standard_error=error)
    yield metric(
        "bound, bits per token", mean / bits, len(nats), setting, standard_error=error / bits
    )
    classifier = the_classifier()
    reference = real_moments(classifier, test)
    features, redrawn = (
        judge(classifier, images).features
        for images in (train.images, network.decode(network.encode(train.images)))
    )
    floor, redrawn_floor = (floor_told(of, reference, count) for of in (features, redrawn))
    floors = f"{floor}, of reconstructions {redrawn_floor.removeprefix('floor ')}"
    label = train.labels[:count].long()
    for steps, scale in ((25, 1.0), (100, 1.0), (25, GUIDANCE)):
        guided = guided_belief(denoiser, scale)
        tokens = [
            sample_tokens(diffusion, guided, part, len(part), steps=steps, seed=seed + i)
            for i, part in enumerate(torch.split(label, 100))
        ]
        seen = judge(classifier, network.decode(torch.cat(tokens)))
        setting = f"{steps} steps, seed {seed}" + (f", guidance {scale:g}" if scale != 1 else "")
        right = float((seen.predicted == label).double().mean())
        yield metric("recognised as its class", right, count, setting)
        distance = frechet_distance(moments(seen.features), reference)
        yield metric("Fréchet distance", distance, count, setting, reference=floors)
