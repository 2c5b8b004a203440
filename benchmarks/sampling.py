"""How long sixteen digits take: `python -m benchmarks.sampling`, on an otherwise idle machine.

The same network is run as the app runs it (the batch cut over the cores), with torch's own
threads, and on one core: the first against the others are the ratios that count.
"""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch

from diffusion_core.checkpoints import load
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.evaluation import sample_digits

STEPS, COUNT, REPEATS = 50, 16, 5


def seconds(denoiser: NetworkDenoiser, threads: int) -> float:
    """Median time of COUNT digits in STEPS DDIM steps."""
    torch.set_num_threads(threads)
    label = torch.arange(COUNT) % 10
    times = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        sample_digits(denoiser.diffusion, denoiser, label, steps=STEPS, seed=0)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])  # the first one also warms up


def main() -> None:
    """Measure and print, the app's way first."""
    denoiser, card = load("digits-eps")
    cores = os.cpu_count() or 1
    dtype = next(denoiser.module.parameters()).dtype
    print(f"{card.name}, {card.fields['parameters']:,} parameters, {dtype}, {cores} cores")
    full = replace(denoiser, module=load("digits-eps")[0].module.float())
    with ThreadPoolExecutor(cores) as pool:
        rows = {
            "batch cut over the cores (the app)": (replace(denoiser, pool=pool, parts=cores), 1),
            "the same in float32": (replace(full, pool=pool, parts=cores), 1),
            "torch's own threads": (denoiser, cores),
            "one core": (denoiser, 1),
        }
        first = None
        for name, (one, threads) in rows.items():
            took = seconds(one, threads)
            first = first or took
            print(f"{name:36} {took:6.2f} s   {took / first:5.2f} x")


if __name__ == "__main__":
    main()
