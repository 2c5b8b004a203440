"""The bound on the whole MNIST test set, estimated, with its standard error, for a network's card.

`python -m diffusion_core.bits NAME` measures a shipped network and adds it to its card.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffusion_core.checkpoints import PRETRAINED, load, load_module, load_variational, save_network
from diffusion_core.datasets import load_mnist, to_unit
from diffusion_core.elbo import elbo_draws, vdm_elbo
from diffusion_core.ledger import best_probabilities, figure, read_averages
from diffusion_core.recipes import RECIPES, Recipe

SEED = 30_000
GROUP = 100  # pictures measured together
BITS = "bound, bits per dimension"
NATS = "bound, nats per digit"


@dataclass(frozen=True, eq=False)
class Settled:
    """A proposal that has learned all it will: [T] float64, with sum 1."""

    chances: Tensor

    def probabilities(self) -> Tensor:
        """[T] float64."""
        return self.chances

    def update(self, t: Tensor, nats: Tensor) -> None:
        """Nothing more to learn."""


def steps_bound(name: str, x0: Tensor, draws: int) -> tuple[Tensor, str]:
    """The bound of a network on whole steps: [N] nats, each an unbiased guess, and what was done.

    Every term is drawn as often as `ledger`'s averages say that it scatters; see `elbo_draws`.

    Raises:
        ValueError: when `ledger` has not measured the network yet.
    """
    denoiser, _ = load(name)
    averages = read_averages(name)
    if averages is None:
        raise ValueError(f"measure {name!r} with diffusion_core.ledger first")
    proposal = Settled(best_probabilities(torch.tensor(averages.square, dtype=torch.float64)))
    nats = [
        elbo_draws(
            denoiser.diffusion,
            denoiser,
            part,
            n=draws,
            proposal=proposal,
            variance=averages.variance,
            decoder=averages.decoder,
            clip_x0=averages.clip_x0,
            batch=2 * GROUP,
            generator=torch.Generator().manual_seed(SEED + i),
        ).mean(1)
        for i, part in enumerate(torch.split(x0, GROUP))
    ]
    return torch.cat(nats), f"T = {averages.T}, {draws} random terms per digit, seed {SEED}"


def continuous_bound(name: str, x0: Tensor, draws: int) -> tuple[Tensor, str]:
    """The bound of a variational model in continuous time, as `steps_bound`."""
    model, _ = load_variational(name)
    nats = [
        vdm_elbo(
            model.gamma,
            model.predict,
            part,
            n=draws,
            batch=2 * GROUP,
            generator=torch.Generator().manual_seed(SEED + i),
        ).total
        for i, part in enumerate(torch.split(x0, GROUP))
    ]
    return torch.cat(nats), f"continuous time, {draws} times per digit, seed {SEED}"


BOUNDS = {"denoise": steps_bound, "variational": continuous_bound}


def bound_metrics(recipe: Recipe, count: int = 10_000, draws: int = 4) -> Iterator[dict[str, Any]]:
    """The bound on the first `count` test digits, in nats per digit and in bits per dimension.

    The standard error is that of the mean over digits, and so holds the chance of the digits, of
    the terms and of the noise. No class is given: the flows it stands beside know none.
    """
    x0 = to_unit(load_mnist("test").images[:count])
    nats, setting = BOUNDS[recipe.task](recipe.name, x0, draws)
    for name, unit in ((NATS, 1.0), (BITS, x0[0].numel() * math.log(2))):
        told = figure(nats / unit)
        yield {
            "name": name,
            "value": told.mean,
            "samples": len(nats),
            "setting": f"MNIST test set, 8 bit, no class given, {setting}",
            "standard_error": told.standard_error,
        }


def main() -> None:
    """Command line: measure a shipped network and put the figures on its card."""
    parser = argparse.ArgumentParser(prog="python -m diffusion_core.bits")
    names = sorted(name for name, recipe in RECIPES.items() if recipe.task in BOUNDS)
    parser.add_argument("name", choices=names)
    parser.add_argument("--count", type=int, default=10_000, help="test digits, at most 10,000")
    parser.add_argument("--draws", type=int, default=4, help="random terms per digit")
    chosen = parser.parse_args()
    started = time.perf_counter()
    measured = list(bound_metrics(RECIPES[chosen.name], chosen.count, chosen.draws))
    module, card = load_module(chosen.name)
    others = [m for m in card.fields["metrics"] if m["name"] not in (BITS, NATS)]
    save_network(module, card.fields | {"metrics": others + measured}, PRETRAINED / chosen.name)
    for told in measured:
        print(f"{told['name']}: {told['value']:.4f} ± {told['standard_error']:.4f}")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
