"""How long sixteen digits take, and how long a peer takes: `python -m benchmarks.sampling`.

The same network is run as the app runs it (the batch cut over the cores), with torch's own
threads, and on one core. Where diffusers is installed (`pip install -r
benchmarks/requirements.txt`, best in an environment of its own) two kinds of rows are added: its
DDIMPipeline around this very network, which draws the same pictures, so only the loop differs; and
around its own class-conditional UNet2DModel of equal parameter count, which is what at least three
times our time is wanted of. Its weights are random here: `benchmarks.peer_quality` says what it
learns.

All rows are run in turn, several times over; what counts are the ratios.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from diffusion_core.checkpoints import load
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.evaluation import sample_digits

STEPS, COUNT, REPEATS, WANTED = 50, 16, 7, 3
LABEL = torch.arange(COUNT) % 10
# The class-conditional MNIST network of the diffusers course, its coarsest level widened from 64
# to 80 channels, so that it has as many parameters as ours.
PEER: dict[str, Any] = {
    "sample_size": 28,
    "in_channels": 1,
    "out_channels": 1,
    "layers_per_block": 2,
    "block_out_channels": (32, 64, 80),
    "norm_num_groups": 8,
    "num_class_embeds": 11,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
}
Run = Callable[[], Any]


class InPipeline(nn.Module):
    """A network that answers as DDIMPipeline asks: (x, step from 0 on) -> an object's `sample`."""

    def __init__(self, call: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> None:
        super().__init__()
        self.call, self.dtype, self.device = call, dtype, torch.device("cpu")
        self.config = SimpleNamespace(sample_size=28, in_channels=1)

    def forward(self, x: Tensor, t: Tensor) -> SimpleNamespace:
        """[B, 1, 28, 28] and a step in 0..T-1."""
        return SimpleNamespace(sample=self.call(x, t.expand(len(x))))


def pipeline(call: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype, betas: Tensor) -> Any:
    """The peer's DDIMPipeline, set to the steps that the app takes."""
    from diffusers import DDIMPipeline, DDIMScheduler

    scheduler = DDIMScheduler(
        num_train_timesteps=len(betas),
        trained_betas=betas.numpy(),
        timestep_spacing="trailing",
        clip_sample=True,
    )
    made = DDIMPipeline(InPipeline(call, dtype), scheduler)
    made.set_progress_bar_config(disable=True)
    return made


def peer_runs(denoiser: NetworkDenoiser, full: NetworkDenoiser) -> dict[str, Run]:
    """Rows of the peer: this network in its loop, then its own network."""
    from diffusers import UNet2DModel

    betas = denoiser.diffusion.schedule.beta[1:]
    torch.manual_seed(0)
    theirs = UNet2DModel(**PEER).eval().requires_grad_(False)
    count = sum(p.numel() for p in theirs.parameters())
    ours = sum(p.numel() for p in denoiser.module.parameters())
    print(f"The peer's own network has {count:,} parameters, {count / ours - 1:+.1%}.\n")

    def in_loop(call: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> Run:
        made = pipeline(call, dtype, betas)
        return lambda: (
            made(
                COUNT,
                torch.Generator().manual_seed(0),
                num_inference_steps=STEPS,
                use_clipped_model_output=True,
                output_type="pt",  # its arrays know no bfloat16
            ).images
        )

    def own(dtype: torch.dtype, layout: torch.memory_format) -> Run:
        model = UNet2DModel(**PEER).eval().requires_grad_(False)
        model.load_state_dict(theirs.state_dict())
        nn.Module.to(model, dtype=dtype, memory_format=layout)  # theirs prints a warning here
        return in_loop(lambda x, t: model(x, t, class_labels=LABEL).sample, dtype)

    rows = {
        f"our network in diffusers' DDIMPipeline, {name(one)}": in_loop(
            lambda x, t, one=one: one.module(x, t + 1, LABEL), dtype_of(one)
        )
        for one in (denoiser, full)
    }
    plain, last = torch.contiguous_format, torch.channels_last
    rows["diffusers' network of equal size in it, float32"] = own(torch.float32, plain)
    rows["diffusers' network, channels last"] = own(torch.float32, last)
    rows["diffusers' network, bfloat16"] = own(torch.bfloat16, plain)
    rows["diffusers' network, bfloat16, channels last"] = own(torch.bfloat16, last)

    mine = sample_digits(full.diffusion, full, LABEL, steps=STEPS, seed=0)
    drawn = rows[f"our network in diffusers' DDIMPipeline, {name(full)}"]()
    apart = abs(255 * drawn[:, 0] - mine).max()
    print(
        f"In float32 the pictures of both loops differ by at most {float(apart):.2f} of 255 gray "
        "levels (rounding to whole levels is 0.5).\n"
    )
    return rows


def dtype_of(denoiser: NetworkDenoiser) -> torch.dtype:
    """The precision of a network."""
    return next(denoiser.module.parameters()).dtype


def name(denoiser: NetworkDenoiser) -> str:
    """Its precision in a word."""
    return str(dtype_of(denoiser)).removeprefix("torch.")


def main() -> None:
    """Measure and print, the app's way first."""
    denoiser, card = load("digits-eps", device="cpu")
    full = replace(denoiser, module=load("digits-eps", device="cpu")[0].module.float())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1

    def ours(one: NetworkDenoiser) -> Run:
        return lambda: sample_digits(one.diffusion, one, LABEL, steps=STEPS, seed=0)

    print(f"{card.name}, {card.fields['parameters']:,} parameters, {COUNT} digits x {STEPS} steps,")
    print(f"{cores} cores, torch {torch.__version__}, median of {REPEATS} runs in turn.")
    for metric in card.fields["metrics"]:
        if metric["setting"].startswith(f"ddim, {STEPS} steps,"):
            print(f"On its card: {metric['name']} {metric['value']:.4g} ({metric['setting']}).")
    print()
    with ThreadPoolExecutor(cores) as pool, torch.inference_mode():
        rows: dict[str, tuple[Run, int]] = {
            f"the app: batch cut over the cores, {name(denoiser)}": (
                ours(replace(denoiser, pool=pool, parts=cores)),
                1,
            ),
            "the same, float32": (ours(replace(full, pool=pool, parts=cores)), 1),
            f"torch's own threads, {name(denoiser)}": (ours(denoiser), cores),
            f"one core, {name(denoiser)}": (ours(denoiser), 1),
        }
        if importlib.util.find_spec("diffusers"):
            rows |= {key: (run, cores) for key, run in peer_runs(denoiser, full).items()}
        else:
            print("Not measured: the peer, as diffusers is not installed; see the docstring.\n")
        times: dict[str, list[float]] = {key: [] for key in rows}
        for _ in range(REPEATS + 1):
            for key, (run, threads) in rows.items():
                torch.set_num_threads(threads)
                started = time.perf_counter()
                run()
                times[key].append(time.perf_counter() - started)
    took = {key: statistics.median(values[1:]) for key, values in times.items()}  # first: warm-up
    app = next(iter(took.values()))
    print("| | seconds | against the app |\n| --- | ---: | ---: |")
    for key, value in took.items():
        told = f"{value / app:.2f} ×"
        # With our own network in it only the loop differs, so there the factor is not to be had.
        if key.startswith("diffusers' network") and value < WANTED * app:
            told = f"✗ **{told}**, wanted {WANTED} ×"
        print(f"| {key} | {value:.2f} | {told} |")


if __name__ == "__main__":
    main()
