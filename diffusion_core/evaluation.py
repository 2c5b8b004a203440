"""What a network reaches, measured: class accuracy and Fréchet distance, written to its card.

`python -m diffusion_core.evaluation NAME` publishes a training run and measures it.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from diffusion_core.bits import bound_metrics
from diffusion_core.checkpoints import (
    PRETRAINED,
    load,
    load_discrete,
    load_module,
    read_card,
    save_network,
)
from diffusion_core.datasets import (
    CLASSES,
    load_mnist,
    save_gallery,
    to_states,
    to_uint8,
    to_unit,
)
from diffusion_core.denoisers import Denoiser, DiscreteDenoiser, NetworkDenoiser
from diffusion_core.discrete import DiscreteDiffusion
from diffusion_core.discrete_elbo import estimate_discrete_elbo
from diffusion_core.discrete_sampling import sample_discrete
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.guidance import guided
from diffusion_core.hashes import file_sha256
from diffusion_core.judging import floor_told, frechet_distance, judge, metric, moments
from diffusion_core.latent_evaluation import (
    autoencoded_metrics,
    compressor_metrics,
    latent_metrics,
    restoring_metrics,
    vae_metrics,
)
from diffusion_core.networks import Classifier
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.recipes import RECIPES, Recipe
from diffusion_core.samplers import sample
from diffusion_core.schedules import evenly_spaced
from diffusion_core.training import CHECKPOINT, RUNS, averaged_weights
from diffusion_core.unmasking import carry_over
from diffusion_core.vq_evaluation import autoencoder_metrics, token_metrics

MNIST = {
    "name": "MNIST training set, 60,000 digits (LeCun, Cortes and Burges)",
    "licence": "CC BY-SA 3.0",
}
GALLERY_ROWS = 20
ABOUT: dict[str, tuple[str, list[str]]] = {
    "denoise": (
        "Digit denoiser",
        [
            "It knows handwritten digits of 28 by 28 pixels, centred as in MNIST; nothing else.",
            "Some of its digits are broken or of the wrong class; the table says how often, judged "
            "by a classifier that errs, too.",
        ],
    ),
    "variational": (
        "Variational diffusion model of digits",
        [
            "It was trained for the likelihood, which counts noise too faint to see as much as "
            "shape: its digits are recognised less often than those of its neighbours.",
            "Its schedule came out of the training, too; here it is cut into whole steps.",
        ],
    ),
    "denoise_categories": (
        "Digit denoiser on categories",
        [
            "It knows handwritten digits of 28 by 28 pixels, centred as in MNIST; nothing else.",
            "Its digits have as many gray levels as it has states.",
        ],
    ),
    "denoise_tokens": (
        "Digit denoiser on tokens",
        [
            "It knows the 7 by 7 tokens that the shipped `vqvae` makes of handwritten digits, and "
            "is of no use with another codebook.",
            "Some of its digits are broken or of the wrong class; the table says how often, judged "
            "by a classifier that errs, too.",
        ],
    ),
    "autoencode": (
        "VQ-VAE: digits as tokens, and back",
        [
            "It knows handwritten digits of 28 by 28 pixels, centred as in MNIST; nothing else.",
            "Its pictures are a little smoother than those that went in.",
        ],
    ),
    "vae": (
        "VAE with two latent numbers",
        [
            "It knows handwritten digits of 28 by 28 pixels, made black and white by chance; "
            "nothing else.",
            "Two numbers are too few for digits: some classes lie over one another. They were "
            "chosen so that all of the latent can be seen.",
        ],
    ),
    "vae_without_kl": (
        "VAE trained without its KL term",
        [
            "It knows handwritten digits of 28 by 28 pixels, made black and white by chance; "
            "nothing else.",
            "It serves to show what the KL term is for: draws of N(0, I) are not where it was "
            "trained.",
        ],
    ),
    "compress": (
        "Autoencoder of digits",
        [
            "It knows handwritten digits of 28 by 28 pixels, centred as in MNIST; nothing else.",
            "Its pictures are a little smoother than those that went in.",
        ],
    ),
    "denoise_latents": (
        "Digit denoiser on latents",
        [
            "It knows the latents that the shipped `autoencoder` makes of handwritten digits, and "
            "is of no use with another one.",
            "Some of its digits are broken or of the wrong class; the table says how often, judged "
            "by a classifier that errs, too.",
        ],
    ),
    "restore": (
        "Restorer of degraded digits",
        [
            "It knows one degradation, at the strengths it was trained on, of handwritten digits; "
            "nothing else.",
            "Where a digit is nearly gone it answers with an average of those it may have been.",
        ],
    ),
    "classify": (
        "Digit classifier, the judge",
        [
            "It always names a digit, also for pictures that hold none.",
            "It serves to judge generated digits. A generator can please it and still draw digits "
            "that no person would write.",
        ],
    ),
}


NEEDS: dict[str, tuple[str, ...]] = defaultdict(
    tuple, denoise_tokens=("vqvae",), denoise_latents=("autoencoder",)
)
"""Networks that one of a task is of no use without; their weights' SHA-256 stands on its card."""


def sample_digits(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    label: Tensor,
    *,
    steps: int,
    seed: int,
    sampler: str = "ddim",
    eta: float | None = None,
) -> Tensor:
    """One finished digit per label [B]: uint8 [B, 28, 28], from noise fixed by `seed`."""
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(len(label), 1, 28, 28, generator=generator)
    *_, last = sample(
        diffusion,
        denoiser,
        x_T,
        evenly_spaced(diffusion.T, steps),
        sampler=sampler,
        eta=eta,
        label=label,
        generator=generator,
    )
    return to_uint8(last.x_t)


def sample_many(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    label: Tensor,
    *,
    steps: int,
    seed: int,
    sampler: str = "ddim",
    eta: float | None = None,
    batch: int = 100,
) -> Tensor:
    """`sample_digits` in batches, so that memory stays small; batch i is seeded with seed + i."""
    parts = [
        sample_digits(
            diffusion, denoiser, part, steps=steps, seed=seed + i, sampler=sampler, eta=eta
        )
        for i, part in enumerate(torch.split(label, batch))
    ]
    return torch.cat(parts)


def sample_sheet(recipe: Recipe, module: nn.Module, path: Path, rows: int = 4) -> None:
    """Write a PNG of `rows` digits of each class, 25 DDIM steps, for a look during training."""
    denoiser = NetworkDenoiser(module, recipe.diffusion, PARAMETERIZATIONS[recipe.parameterization])
    label = torch.arange(10).repeat(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_gallery(path, sample_digits(recipe.diffusion, denoiser, label, steps=25, seed=0))


def publish(recipe: Recipe, run: Path, root: Path = PRETRAINED) -> None:
    """Put the averaged weights of a training run under `root`, with a card that has no metrics yet.

    A run that has not finished is published with `status: partial`.
    """
    module = recipe.build()
    module.load_state_dict(averaged_weights(run))
    with safe_open(run / CHECKPOINT, framework="pt") as file:
        metadata = file.metadata()
    steps = int(metadata["step"])
    fields: dict[str, Any] = {
        "name": recipe.name,
        "title": ABOUT[recipe.task][0],
        "status": "final" if steps == recipe.steps else "partial",
        "recipe": asdict(recipe),
        "seed": recipe.seed,
        "data": MNIST["name"],
        "licence": MNIST["licence"],
        "steps": steps,
        "images_seen": steps * recipe.batch,
        "wall_seconds": round(float(metadata["wall_seconds"])),
        "machine": f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s), no GPU"
        if not torch.cuda.is_available()
        else torch.cuda.get_device_name(),
        "history": history(recipe),
        "needs": {name: read_card(name, root).fields["sha256"] for name in NEEDS[recipe.task]},
        "metrics": [],
        "limits": ABOUT[recipe.task][1],
    }
    save_network(module, fields, root / recipe.name)


def history(recipe: Recipe) -> list[dict[str, Any]]:
    """The recipes that a recipe's weights went through before, first one first."""
    if not recipe.start_from:
        return []
    before = RECIPES[recipe.start_from]
    return [*history(before), asdict(before)]


def classifier_metrics(recipe: Recipe) -> Iterator[dict[str, Any]]:
    """Accuracy of the classifier on the MNIST test set."""
    module, _ = load_module(recipe.name)
    assert isinstance(module, Classifier)
    test = load_mnist("test")
    right = judge(module, test.images).predicted == test.labels
    yield metric("test accuracy", float(right.double().mean()), len(right), "MNIST test set")


def denoiser_metrics(
    recipe: Recipe, count: int = 10_000, quick: int = 2_000, seed: int = 10_000
) -> Iterator[dict[str, Any]]:
    """Class accuracy and Fréchet distance of what a denoiser generates.

    Plain and a little guided on `count` samples, other settings on `quick`; with 0 only the plain
    one.

    The labels are those of the first `count` training digits. Training digits give the floor, too:
    what as many real ones score (which the classifier has seen), drawn at random.
    """
    denoiser, _ = load(recipe.name)
    judge_module, _ = load_module("classifier")
    assert isinstance(judge_module, Classifier)
    test = moments(judge(judge_module, load_mnist("test").images).features)
    train = load_mnist("train")
    seen_in_training = judge(judge_module, train.images).features

    def measure(
        n: int, sampler: str, steps: int, scale: float = 1.0, eta: float | None = None
    ) -> Iterator[dict[str, Any]]:
        label = train.labels[:n].long()
        images = sample_many(
            denoiser.diffusion,
            guided(denoiser, scale),
            label,
            steps=steps,
            seed=seed,
            sampler=sampler,
            eta=eta,
        )
        seen = judge(judge_module, images)
        setting = f"{sampler}, {steps} steps, seed {seed}"
        setting += f", guidance {scale:g}" if scale != 1 else ""
        setting += f", eta {eta:g}" if eta else ""
        right = float((seen.predicted == label).double().mean())
        distance = frechet_distance(moments(seen.features), test)
        yield metric("recognised as its class", right, n, setting)
        floor = floor_told(seen_in_training, test, n)
        yield metric("Fréchet distance", distance, n, setting, reference=floor)
        by_class = [
            float((seen.predicted[label == k] == k).double().mean()) for k in range(CLASSES)
        ]
        worst = min(range(CLASSES), key=by_class.__getitem__)
        count_of = int((label == worst).sum())
        if n == count:
            yield metric(
                "recognised, hardest class",
                by_class[worst],
                n,
                f"{setting}, digit {worst}",
                reference=f"{count_of} samples of it",
            )

    yield from measure(count, "ddim", 25)
    if not quick:
        return
    yield from measure(count, "ddim", 25, scale=1.2)
    yield from measure(quick, "ddim", 25, scale=1.5)
    yield from measure(quick, "ddim", 50, eta=1.0)
    for sampler, steps in (("ddim", 10), ("ddim", 50), ("ddpm", 100), ("dpmpp_2m", 25)):
        yield from measure(quick, sampler, steps)


def sample_states(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    label: Tensor | None,
    count: int,
    *,
    steps: int,
    seed: int,
) -> Tensor:
    """`count` finished digits as gray levels: int64 [count, 28, 28], fixed by `seed`."""
    generator = torch.Generator().manual_seed(seed)
    x_T = diffusion.prior_sample((count, 28, 28), generator)
    times = evenly_spaced(diffusion.T, steps)
    *_, last = sample_discrete(
        diffusion, denoiser, x_T, times, label=label, generator=generator, likeliest_last=True
    )
    return last.x_t


def states_to_bytes(states: Tensor, K: int) -> Tensor:
    """Gray levels 0..K-1 as uint8, black to white; a level the data do not have ([MASK]) is gray.

    Source: the inverse of `datasets.to_states`, up to the levels' width.
    """
    shown = (states * 255 / (K - 1)).round()
    return shown.masked_fill(states >= K, 127).to(torch.uint8)


def categorical_metrics(
    recipe: Recipe, count: int = 2_000, draws: int = 8, seed: int = 10_000, steps: int = 50
) -> Iterator[dict[str, Any]]:
    """The bound on the MNIST test set, then class accuracy and Fréchet distance of samples.

    The bound is estimated from `draws` random steps per test digit. Its standard error is that of
    the mean over digits, and so holds the chance of the digits, of their binary draw and of the
    steps. A network that never saw a class is sampled without one, and judged by distance alone.
    Under an absorbing process, what is not masked is taken for clean.
    """
    denoiser, _ = load_discrete(recipe.name)
    diffusion = denoiser.diffusion
    believed = carry_over(diffusion, denoiser) if recipe.kernel == "absorbing" else denoiser
    levels = recipe.levels
    test = load_mnist("test")
    generator = torch.Generator().manual_seed(seed)
    x0 = to_states(to_unit(test.images), levels, generator)
    blind = recipe.label_dropout == 1
    nats = torch.cat(
        [
            estimate_discrete_elbo(
                diffusion,
                believed,
                x0[part],
                n=draws,
                batch=400,
                label=None if blind else test.labels[part].long(),
                generator=generator,
            ).mean
            for part in torch.split(torch.arange(len(x0)), 50)
        ]
    )
    error = float(nats.std()) / len(nats) ** 0.5
    setting = f"{draws} random steps per digit of the MNIST test set, seed {seed}"
    yield metric(
        "bound, nats per digit", float(nats.mean()), len(nats), setting, standard_error=error
    )
    bits = 28 * 28 * math.log(2)
    yield metric(
        "bound, bits per dimension", float(nats.mean()) / bits, len(nats), setting,
        standard_error=error / bits,
    )  # fmt: skip
    module, _ = load_module("classifier")
    assert isinstance(module, Classifier)
    real = load_mnist("train")
    label = real.labels[:count].long()
    pictures = [
        sample_states(
            diffusion, believed, None if blind else part, len(part), steps=steps, seed=seed + i
        )
        for i, part in enumerate(torch.split(label, 100))
    ]
    seen = judge(module, states_to_bytes(torch.cat(pictures), levels))
    setting = f"{steps} steps, seed {seed}"
    if not blind:
        right = float((seen.predicted == label).double().mean())
        yield metric("recognised as its class", right, count, setting)
    coarse = states_to_bytes(to_states(to_unit(real.images), levels, generator), levels)
    reference = moments(judge(module, states_to_bytes(x0, levels)).features)
    floor = floor_told(judge(module, coarse).features, reference, count)
    distance = frechet_distance(moments(seen.features), reference)
    yield metric("Fréchet distance", distance, count, setting, reference=floor)


def variational_metrics(
    recipe: Recipe, count: int = 10_000, quick: int = 2_000, seed: int = 10_000
) -> Iterator[dict[str, Any]]:
    """The bound on `count` test digits, and what `quick` samples look like to the classifier."""
    yield from bound_metrics(recipe, count)
    yield from denoiser_metrics(recipe, quick, 0, seed)


METRICS: dict[str, Callable[..., Iterator[dict[str, Any]]]] = {
    "classify": classifier_metrics,
    "autoencode": autoencoder_metrics,
    "denoise_tokens": token_metrics,
    "denoise": denoiser_metrics,
    "variational": variational_metrics,
    "denoise_categories": categorical_metrics,
    "vae": vae_metrics,
    "vae_without_kl": autoencoded_metrics,
    "compress": compressor_metrics,
    "denoise_latents": latent_metrics,
    "restore": restoring_metrics,
}


def evaluate(recipe: Recipe, root: Path = PRETRAINED, **counts: int) -> dict[str, Any]:
    """Measure a published network and write the figures (and the gallery) into its folder.

    Args:
        recipe: which network.
        root: the folder that holds one folder per network.
        counts: sample counts, for the function in `METRICS`.
    """
    module, card = load_module(recipe.name)
    metrics = []
    for figure in METRICS[recipe.task](recipe, **counts):
        print(f"{figure['name']}: {figure['value']:.4f}  ({figure})", flush=True)
        metrics.append(figure)
    fields = card.fields | {"metrics": metrics}
    if recipe.task in ("denoise", "variational"):
        denoiser, _ = load(recipe.name)
        label = torch.arange(10).repeat(GALLERY_ROWS)
        digits = sample_digits(denoiser.diffusion, denoiser, label, steps=50, seed=7)
        path = card.path / "gallery.png"
        save_gallery(path, digits)
        fields |= {"gallery_sha256": file_sha256(path)}
    save_network(module, fields, card.path)
    return fields


def main() -> None:
    """Command line: publish a training run (where there is one) and measure it."""
    parser = argparse.ArgumentParser(prog="python -m diffusion_core.evaluation")
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--publish", action="store_true", help="take the weights from runs/NAME")
    parser.add_argument("--count", type=int, help="digits sampled for the main figures")
    parser.add_argument("--quick", type=int, help="digits sampled for each of the others")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.name]
    counts = {k: v for k in ("count", "quick") if (v := getattr(arguments, k)) is not None}
    if arguments.publish:
        publish(recipe, RUNS / recipe.name)
    started = time.perf_counter()
    evaluate(recipe, **counts)
    print(f"measured in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
