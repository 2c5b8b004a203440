"""How long sixteen digits of tokens take: `python -m benchmarks.token_sampling`, best when idle.

Sampling and decoding, in 25 steps, as `benchmarks.sampling` does it: the batch cut over the cores,
torch's own threads, one core. The budget is one second.
"""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch

from diffusion_core.checkpoints import CheckpointError, load_discrete
from diffusion_core.discrete_sampling import NetworkDiscreteDenoiser
from diffusion_core.vq_evaluation import sample_tokens
from diffusion_core.vqvae import VQVAE, load_vqvae

NETWORK = "vq-mask-and-replace"
STEPS, COUNT, REPEATS, WANTED = 25, 16, 5, 1.0


def seconds(denoiser: NetworkDiscreteDenoiser, network: VQVAE, threads: int) -> float:
    """Median time of COUNT digits in STEPS steps, decoding included."""
    torch.set_num_threads(threads)
    label = torch.arange(COUNT) % 10
    times = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        network.decode(
            sample_tokens(denoiser.diffusion, denoiser, label, COUNT, steps=STEPS, seed=0)
        )
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])  # the first one also warms up


def main() -> None:
    """Measure and print, the app's way first."""
    try:
        denoiser, card = load_discrete(NETWORK)
        network, _ = load_vqvae()
    except CheckpointError as error:
        print(f"Not measured: {error}")
        return
    cores = os.cpu_count() or 1
    dtype = next(denoiser.module.parameters()).dtype
    print(f"{card.name}, {card.fields['parameters']:,} parameters, {dtype}, {cores} cores,")
    print(f"{COUNT} digits x {STEPS} steps.\n\n| | seconds |\n| --- | ---: |")
    with ThreadPoolExecutor(cores) as pool:
        rows = {
            "batch cut over the cores (the app)": (replace(denoiser, pool=pool, parts=cores), 1),
            "torch's own threads": (denoiser, cores),
            "one core": (denoiser, 1),
        }
        for name, (one, threads) in rows.items():
            took = seconds(one, network, threads)
            late = "app" in name and took > WANTED
            print(f"| {name} | " + (f"✗ **{took:.2f}** |" if late else f"{took:.2f} |"))


if __name__ == "__main__":
    main()
