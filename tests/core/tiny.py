"""A training run small enough for a test; as a script it is what other tests start and kill."""

import sys
import time
from pathlib import Path

import torch

from diffusion_core.datasets import Dataset
from diffusion_core.recipes import Recipe

TINY = Recipe(
    name="tiny",
    task="denoise",
    network="unet",
    network_args={"width": 8, "outer": 1, "inner": 1, "attention": 1, "condition": 16},
    schedule="cosine",
    T=50,
    parameterization="eps",
    label_dropout=0.2,
    steps=8,
    batch=8,
    warmup=2,
    precision="float32",
    seed=3,
)


def tiny_data() -> Dataset:
    """Twenty noise pictures: an epoch is two batches, so the data order matters."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (20, 28, 28), generator=generator, dtype=torch.uint8)
    return Dataset(images, torch.arange(20).remainder(10).to(torch.uint8))


if __name__ == "__main__":
    from diffusion_core.training import train

    torch.set_num_threads(1)
    for step in train(
        TINY, device="cpu", folder=Path(sys.argv[1]), data=tiny_data(), checkpoint_every=1
    ):
        print(step.step, flush=True)
        time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 0)
