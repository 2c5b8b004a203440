"""What a training step costs, ours and the peer's: `python -m benchmarks.peer_training`.

The two networks of `benchmarks.peer_quality` take training steps in turn, and the hours follow that
the training compared there amounts to. Cost does not depend on the pictures, so these are random.
Needs diffusers, see `benchmarks/requirements.txt`.
"""

from __future__ import annotations

import importlib.util
import statistics
import time

import torch

from benchmarks.peer_quality import STEPS, recipes
from diffusion_core.checkpoints import load
from diffusion_core.datasets import Dataset
from diffusion_core.training import train

WARM_UP, MEASURED = 2, 10


def random_data(count: int) -> Dataset:
    """Pictures of nothing, with classes."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 28, 28), dtype=torch.uint8, generator=generator)
    return Dataset(images, torch.arange(count) % 10)


def seconds_of_a_step() -> dict[str, float]:
    """Median wall time of a step with all cores, for each network."""
    made = recipes()
    data = random_data(next(iter(made.values())).batch)
    runs = {name: train(recipe, device="cpu", data=data) for name, recipe in made.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(WARM_UP + MEASURED):
        for name, run in runs.items():
            started = time.perf_counter()
            next(run)
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values[WARM_UP:]) for name, values in times.items()}


def main() -> None:
    """Measure and print."""
    if not importlib.util.find_spec("diffusers"):
        print("Not measured: diffusers is not installed; see benchmarks/requirements.txt.")
        return
    card = load("digits-eps", device="cpu")[1]
    took = seconds_of_a_step()
    ours, theirs = took
    shipped = card.fields["steps"] + sum(before["steps"] for before in card.fields["history"])
    rows = [(ours, ours, STEPS), (theirs, theirs, STEPS), ("ours, as it ships", ours, shipped)]
    print(f"Batches of 64 digits, {torch.get_num_threads()} threads, {MEASURED} steps in turn.\n")
    print("| network | seconds a step | against ours | steps it has taken | hours |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, timed, steps in rows:
        ratio, hours = took[timed] / took[ours], took[timed] * steps / 3600
        print(f"| {name} | {took[timed]:.2f} | {ratio:.1f} × | {steps:,} | {hours:.2f} |")


if __name__ == "__main__":
    main()
