"""How long sixteen digits over categories take: `python -m benchmarks.categories`, best when idle.

Every shipped network over pixels or tokens, in 25 steps, pictures included; the network that is
guided is asked twice. Each the app's way, its batch cut over the cores, and on one core. One second
is allowed.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from diffusion_core.checkpoints import CheckpointError, load_discrete
from diffusion_core.denoisers import DiscreteDenoiser
from diffusion_core.discrete_sampling import NetworkDiscreteDenoiser
from diffusion_core.evaluation import sample_states, states_to_bytes
from diffusion_core.guidance import guided_belief
from diffusion_core.recipes import RECIPES, Recipe
from diffusion_core.vq_evaluation import GUIDANCE, sample_tokens
from diffusion_core.vqvae import load_vqvae

STEPS, COUNT, REPEATS, WANTED = 25, 16, 5, 1.0


def pictures_of(recipe: Recipe) -> Callable[[NetworkDiscreteDenoiser, DiscreteDenoiser], Tensor]:
    """What makes uint8 [COUNT, 28, 28] of a network and of its belief, guided or not."""
    label = None if recipe.label_dropout == 1 else torch.arange(COUNT) % 10
    if recipe.task == "denoise_tokens":
        decode = load_vqvae()[0].decode
        return lambda network, belief: decode(
            sample_tokens(network.diffusion, belief, label, COUNT, steps=STEPS, seed=0)
        )
    return lambda network, belief: states_to_bytes(
        sample_states(network.diffusion, belief, label, COUNT, steps=STEPS, seed=0), recipe.levels
    )


def seconds(draw: Callable[[], Tensor]) -> float:
    """Median time of a call."""
    times = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        draw()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])  # the first one also warms up


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    cores = os.cpu_count() or 1
    print(f"{COUNT} digits x {STEPS} steps, seconds, {cores} cores.\n")
    print("| | the app | one core |\n| --- | ---: | ---: |")
    with ThreadPoolExecutor(cores) as pool:
        for name, recipe in RECIPES.items():
            if recipe.task not in ("denoise_categories", "denoise_tokens"):
                continue
            try:
                network, _ = load_discrete(name)
                draw = pictures_of(recipe)
            except CheckpointError as error:
                print(f"Not measured: {error}")
                continue
            shared = replace(network, pool=pool, parts=cores)
            scales = (1.0, GUIDANCE) if recipe.task == "denoise_tokens" else (1.0,)
            for scale in scales:
                app, one = (
                    seconds(partial(draw, n, guided_belief(n, scale))) for n in (shared, network)
                )
                told = f"✗ **{app:.2f}**" if app > WANTED else f"{app:.2f}"
                guided = f", guidance {scale:g}" if scale != 1 else ""
                print(f"| {name}{guided} | {told} | {one:.2f} |", flush=True)


if __name__ == "__main__":
    main()
