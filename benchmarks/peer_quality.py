"""What the peer's network learns from the same training: `python -m benchmarks.peer_quality`.

diffusers' class-conditional UNet2DModel of `benchmarks.sampling`, with as many parameters as ours,
is trained by the recipe of digits-eps, cut to a length that two cores can give it; then ours by the
very same recipe from fresh weights. Same data, batches, noise, schedule, target and weighting: only
the network differs. Both are judged like the shipped one, by class accuracy and Fréchet distance.

It takes hours (most of them the peer's) and goes on where it was stopped: checkpoints lie in runs/.
Needs diffusers, see `benchmarks/requirements.txt`, and MNIST.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.sampling import PEER
from diffusion_core.checkpoints import load, load_module
from diffusion_core.datasets import load_mnist
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.evaluation import sample_many
from diffusion_core.judging import frechet_distance, judge, moments
from diffusion_core.networks import UNCONDITIONAL, Classifier
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.recipes import BUILDERS, RECIPES, Recipe
from diffusion_core.training import RUNS, averaged_weights, progress_line, train

STEPS, SAMPLES, DDIM_STEPS, SEED = 2000, 2000, 50, 10_000


class PeerNetwork(nn.Module):
    """diffusers' UNet2DModel, called as our networks are."""

    def __init__(self) -> None:
        from diffusers import UNet2DModel

        super().__init__()
        self.body = UNet2DModel(**PEER)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """[B, 1, 28, 28], steps 1..T [B], classes [B] or None -> [B, 1, 28, 28]."""
        label = torch.full_like(t, UNCONDITIONAL) if label is None else label
        output: Tensor = self.body(x, t - 1, class_labels=label).sample  # it counts from 0
        return output


def recipes() -> dict[str, Recipe]:
    """The peer's network and ours, from fresh weights by one recipe."""
    BUILDERS["peer"] = PeerNetwork
    ours = replace(
        RECIPES["digits-eps"],
        name="same-training",
        start_from="",
        steps=STEPS,
        learning_rate=1e-3,
        warmup=200,
        seed=0,
    )
    return {
        "ours, the same training": ours,
        "diffusers' UNet2DModel": replace(ours, name="peer", network="peer", network_args={}),
    }


def trained(recipe: Recipe) -> NetworkDenoiser:
    """The network of a finished run, which is begun or continued first where need be."""
    folder = RUNS / f"benchmark-{recipe.name}"
    for report in train(recipe, device="cpu", folder=folder, checkpoint_every=50):
        if report.step % 10 == 0:
            print("\r" + progress_line(report, recipe.steps), end="", file=sys.stderr, flush=True)
    module = recipe.build()
    module.load_state_dict(averaged_weights(folder))
    parameterization = PARAMETERIZATIONS[recipe.parameterization]
    frozen = module.eval().requires_grad_(False).bfloat16()
    return NetworkDenoiser(frozen, recipe.diffusion, parameterization)


def quality(denoiser: NetworkDenoiser, label: Tensor) -> tuple[float, float]:
    """Share recognised as their class, and Fréchet distance to the test set."""
    classifier, _ = load_module("classifier", device="cpu")
    assert isinstance(classifier, Classifier)
    images = sample_many(denoiser.diffusion, denoiser, label, steps=DDIM_STEPS, seed=SEED)
    seen = judge(classifier, images)
    test = moments(judge(classifier, load_mnist("test").images).features)
    right = float((seen.predicted == label).double().mean())
    return right, frechet_distance(moments(seen.features), test)


def main() -> None:
    """Train what is not trained yet, judge, print."""
    label = load_mnist("train").labels[:SAMPLES].long()
    shipped, card = load("digits-eps", device="cpu")
    earlier = sum(before["steps"] for before in card.fields["history"])
    rows = {name: (recipe.steps, trained(recipe)) for name, recipe in recipes().items()}
    rows["ours, as it ships"] = (earlier + card.fields["steps"], shipped)
    print(f"{SAMPLES:,} digits in {DDIM_STEPS} DDIM steps, one noise for all networks.\n")
    print("| network | parameters | steps of 64 digits | recognised | Fréchet distance |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (steps, denoiser) in rows.items():
        size = sum(weight.numel() for weight in denoiser.module.parameters())
        right, distance = quality(denoiser, label)
        print(f"| {name} | {size:,} | {steps:,} | {right:.1%} | {distance:.2f} |", flush=True)


if __name__ == "__main__":
    main()
