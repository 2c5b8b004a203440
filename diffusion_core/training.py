"""Training as a generator of steps; `python -m diffusion_core.training NAME` drives it.

The randomness of a step depends on the recipe's seed and the step's number alone. A killed run
therefore resumes bit for bit from its checkpoint, and data-parallel processes draw the same
global batch and take their share of it.
"""

from __future__ import annotations

import argparse
import json
import math
import operator
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel

from diffusion_core.checkpoints import PRETRAINED, load_module, pick_device, write_atomically
from diffusion_core.cold import DEGRADATIONS
from diffusion_core.datasets import Dataset, load_mnist, to_states, to_unit
from diffusion_core.denoisers import split_variance
from diffusion_core.discrete_elbo import hybrid_loss as categorical_hybrid_loss
from diffusion_core.latent_networks import Autoencoder, load_autoencoder
from diffusion_core.latents import KL_WEIGHT
from diffusion_core.likelihood import hybrid_loss
from diffusion_core.networks import UNCONDITIONAL
from diffusion_core.parameterization import PARAMETERIZATIONS, Parameterization
from diffusion_core.recipes import RECIPES, Recipe
from diffusion_core.vqvae import SIDE, load_vqvae, vqvae_loss

CHECKPOINT = "checkpoint.safetensors"
RUNS = PRETRAINED.parent / "runs"
"""Where checkpoints and sample sheets go; git ignores it."""


class TrainStep(NamedTuple):
    """What one optimiser step reports.

    Attributes:
        step: steps done, 1..recipe.steps.
        loss: mean loss of this process's share of the batch.
        images_per_second: over all processes, since this process started.
        seconds_left: at that speed.
        ema: the averaged network, live: copy it before keeping it.
    """

    step: int
    loss: float
    images_per_second: float
    seconds_left: float
    ema: nn.Module


class Batch(NamedTuple):
    """One global batch, drawn alike on every process."""

    x0: Tensor  # [B, 1, 28, 28] in [-1, 1]
    label: Tensor  # [B] int64
    generator: torch.Generator  # for whatever else the loss draws


class Drawn(NamedTuple):
    """What the loss of one batch needs, each tensor with one row per example.

    Attributes:
        inputs: what the network is called with.
        compared: what its output is compared with: target and weight first.
    """

    inputs: tuple[Tensor, ...]
    compared: tuple[Tensor, ...]


MAX_WEIGHT = 100.0
"""Cap on a step's weight: without it the last few steps, next to pure noise, would be all."""

WEIGHTINGS: dict[str, Callable[[Tensor, Tensor, Parameterization], Tensor]] = {
    "simple": lambda a, sigma, p: torch.ones_like(a),
    "v": lambda a, sigma, p: (1 / p.determinant(a, sigma).square()).clamp(max=MAX_WEIGHT),
}
"""(a, sigma, parameterization) -> weight of the squared error on the target, [B, 1, ...].

"simple" is Ho et al. 2020, eq. 14. "v" makes any target's loss that of the v target, up to the cap:
with x_t fixed, an error on the target is det times one on v (Salimans & Ho 2022, section 4).
"""


def stratified_steps(B: int, T: int, generator: torch.Generator) -> Tensor:
    """B steps in 1..T, one from each of B equal parts.

    One of them picked at random is uniform over all steps, and the mean over them varies less than
    that of free draws (Kingma et al. 2021, appendix I.1, share one draw between the parts).
    """
    u = (torch.arange(B) + torch.rand(B, generator=generator)) / B
    return 1 + (u * T).long().clamp(max=T - 1)


def denoising_inputs(recipe: Recipe, batch: Batch) -> Drawn:
    r"""Network inputs (x_t, t, label), and the target, its weight and x_0 of one batch.

    $$L = E_{t, x_0, \epsilon}\; w(t)\,\lVert\text{target} - f_\theta(x_t, t)\rVert^2$$

    Source: Ho et al. 2020, eq. 14 for w = 1.
    """
    x0, label, generator = batch
    B = len(x0)
    diffusion = recipe.diffusion
    t = stratified_steps(B, recipe.T, generator)
    eps = torch.randn(x0.shape, generator=generator)
    hidden = torch.rand(B, generator=generator) < recipe.label_dropout
    a, sigma = diffusion.rates(t, x0)
    parameterization = PARAMETERIZATIONS[recipe.parameterization]
    target = parameterization.target(x0, eps, a, sigma)
    label = label.masked_fill(hidden, UNCONDITIONAL)
    weight = WEIGHTINGS[recipe.weighting](a, sigma, parameterization).float()
    return Drawn((diffusion.q_sample(x0, t, eps), t, label), (target, weight, x0))


def categorical_inputs(recipe: Recipe, batch: Batch, levels: int | None = None) -> Drawn:
    """Network inputs (x_t, t, label) of one batch of categories, and x_0; steps as above.

    A picture's bytes become the recipe's gray levels, or `levels`: 256 leaves the bytes as they
    are, tokens for example.
    """
    x0, label, generator = batch
    diffusion = recipe.discrete_diffusion
    states = to_states(x0, levels or recipe.levels, generator)
    t = stratified_steps(len(x0), recipe.T, generator)
    hidden = torch.rand(len(x0), generator=generator) < recipe.label_dropout
    x_t = diffusion.q_sample(states, t, generator)
    return Drawn((x_t, t, label.masked_fill(hidden, UNCONDITIONAL)), (states,))


def classifying_inputs(recipe: Recipe, batch: Batch) -> Drawn:
    """Network inputs (a picture shifted at random), target (its class) and weight of one batch."""
    m = recipe.max_shift
    padded = F.pad(batch.x0, (m, m, m, m), value=-1.0)
    shift = torch.randint(2 * m + 1, (2, len(batch.x0)), generator=batch.generator)
    rows = shift[0][:, None] + torch.arange(28)  # [B, 28]
    columns = shift[1][:, None] + torch.arange(28)
    picked = padded[torch.arange(len(rows))[:, None, None], 0, rows[:, :, None], columns[:, None]]
    return Drawn((picked[:, None],), (batch.label, torch.ones(len(rows))))


def denoising_loss(recipe: Recipe, output: Tensor, drawn: Drawn) -> Tensor:
    """Weighted mean squared error, a scalar; with the bound where the variance is learned, too.

    A network with twice the channels learns its variance; see `likelihood.hybrid_loss`.
    """
    (x_t, t, _), (target, weight, x0) = drawn
    if output.shape == target.shape:
        return (weight * (output - target).square()).mean()
    picture, fraction = split_variance(output)
    error = (weight * (picture - target).square()).flatten(1).mean(1)
    a, sigma = recipe.diffusion.rates(t, x_t)
    prediction = PARAMETERIZATIONS[recipe.parameterization].recover(picture, x_t, a, sigma)
    prediction = prediction._replace(var_fraction=fraction)
    return hybrid_loss(recipe.diffusion, x0, x_t, t, prediction, error).mean()


def variational_inputs(recipe: Recipe, batch: Batch) -> Drawn:
    """A picture, a time, noise at that time and at time 0, and the class: all that a bound needs.

    The times share one shift and are spread evenly over 0..1 (Kingma et al. 2021, appendix I.1).
    """
    x0, label, generator = batch
    B = len(x0)
    shift = torch.rand((), generator=generator, dtype=torch.float64)
    t = (torch.arange(B, dtype=torch.float64) / B + shift) % 1
    eps, first = torch.randn(2, *x0.shape, generator=generator)
    hidden = torch.rand(B, generator=generator) < recipe.label_dropout
    return Drawn((x0, t, eps, first, label.masked_fill(hidden, UNCONDITIONAL)), ())


def variational_loss(recipe: Recipe, output: Tensor, drawn: Drawn) -> Tensor:
    """The bound in bits per dimension, a scalar: what the three terms of [B, 3] nats come to."""
    return output.sum(1).mean() / (drawn.inputs[0][0].numel() * math.log(2))


def categorical_loss(recipe: Recipe, output: Tensor, drawn: Drawn) -> Tensor:
    """The bound's term times T, plus a little cross entropy, in nats per pixel, a scalar."""
    (x_t, t, _), (x0,) = drawn
    # hybrid_loss adds its cross entropy to one term of the bound: both are scaled alike here.
    nats = categorical_hybrid_loss(recipe.discrete_diffusion, output, x_t, x0, t)
    return recipe.T * nats.mean()


def autoencoding_inputs(recipe: Recipe, batch: Batch) -> Drawn:
    """The pictures of one batch, to be compared with themselves."""
    return Drawn((batch.x0,), (batch.x0,))


def autoencoding_loss(recipe: Recipe, output: Tensor, drawn: Drawn) -> Tensor:
    """Squared error and commitment, a scalar; see `vqvae.vqvae_loss`."""
    (x0,) = drawn.compared
    return vqvae_loss(output, x0).mean()


def vae_inputs(recipe: Recipe, batch: Batch) -> Drawn:
    """Binary digits [B, 784], drawn anew, and the noise of their latents."""
    x = to_states(batch.x0, 2, batch.generator).flatten(1).float()
    # The size of the latent is the network's own; its default is what ships.
    latent = recipe.network_args.get("latent", 2)
    return Drawn((x, torch.randn(len(x), latent, generator=batch.generator)), ())


def vae_loss(recipe: Recipe, output: Tensor, drawn: Drawn) -> Tensor:
    """The negative bound in nats per digit, a scalar: what the two terms of [B, 2] come to."""
    return output.sum(1).mean()


def vae_loss_without_kl(recipe: Recipe, output: Tensor, drawn: Drawn) -> Tensor:
    """The reconstruction alone, nats per digit, a scalar: nothing asks for codes that are near 0.

    The noise of the latent stays, and so does its width, which the encoder may choose: as narrow
    as it likes.
    """
    return output[:, 0].mean()


def compressing_inputs(recipe: Recipe, batch: Batch) -> Drawn:
    """The pictures of one batch, and the noise of their latents."""
    shape = (len(batch.x0), recipe.network_args.get("features", 3), SIDE, SIDE)
    return Drawn((batch.x0, torch.randn(shape, generator=batch.generator)), ())


def compressing_loss(recipe: Recipe, output: Tensor, drawn: Drawn) -> Tensor:
    """Squared error per pixel, and KL_WEIGHT of the KL per number of the latent, a scalar.

    `latents.as_beta` says what this is as a beta-VAE.
    """
    error, nats = output.unbind(1)
    numbers = drawn.inputs[1][0].numel()
    return (error + KL_WEIGHT * nats / numbers).mean()


@cache
def _autoencoder() -> Autoencoder:
    return load_autoencoder(device="cpu")[0]


def latent_inputs(recipe: Recipe, batch: Batch) -> Drawn:
    """As `denoising_inputs`, of what the shipped autoencoder makes of the pictures."""
    return denoising_inputs(recipe, batch._replace(x0=_autoencoder().encode(batch.x0).clone()))


def restoring_inputs(recipe: Recipe, batch: Batch) -> Drawn:
    """Network inputs (degraded pictures, t, label) and what they were before; steps as above."""
    x0, label, generator = batch
    t = stratified_steps(len(x0), recipe.T, generator)
    hidden = torch.rand(len(x0), generator=generator) < recipe.label_dropout
    x_t = DEGRADATIONS[recipe.kernel](x0, t)
    return Drawn((x_t, t, label.masked_fill(hidden, UNCONDITIONAL)), (x0,))


def restoring_loss(recipe: Recipe, output: Tensor, drawn: Drawn) -> Tensor:
    r"""Mean absolute error of the restored pixels, a scalar.

    $$L = E_{t, x_0}\lVert R_\theta(D(x_0, t), t) - x_0\rVert_1$$

    Source: Bansal et al. 2022, eq. 1.
    """
    (x0,) = drawn.compared
    return (output - x0).abs().mean()


def cross_entropy(recipe: Recipe, output: Tensor, drawn: Drawn) -> Tensor:
    """Weighted mean cross-entropy in nats, a scalar."""
    target, weight = drawn.compared
    return (weight * F.cross_entropy(output, target, reduction="none")).mean()


TASKS: dict[
    str,
    tuple[Callable[[Recipe, Batch], Drawn], Callable[[Recipe, Tensor, Drawn], Tensor]],
] = {
    "denoise": (denoising_inputs, denoising_loss),
    "variational": (variational_inputs, variational_loss),
    "denoise_categories": (categorical_inputs, categorical_loss),
    "denoise_tokens": (partial(categorical_inputs, levels=256), categorical_loss),
    "autoencode": (autoencoding_inputs, autoencoding_loss),
    "classify": (classifying_inputs, cross_entropy),
    "vae": (vae_inputs, vae_loss),
    "vae_without_kl": (vae_inputs, vae_loss_without_kl),
    "compress": (compressing_inputs, compressing_loss),
    "denoise_latents": (latent_inputs, denoising_loss),
    "restore": (restoring_inputs, restoring_loss),
}


def training_data(recipe: Recipe) -> Dataset:
    """What a recipe trains on: MNIST's digits, or their tokens as pictures of 7 by 7 bytes."""
    digits = load_mnist("train")
    if recipe.task != "denoise_tokens":
        return digits
    return digits._replace(images=load_vqvae()[0].encode(digits.images).to(torch.uint8).cpu())


def draw_batch(recipe: Recipe, data: Dataset, step: int) -> Batch:
    """The batch of step `step` (counted from 0): a function of seed and step alone."""
    n = len(data.images)
    per_epoch = max(1, n // recipe.batch)
    epoch, position = divmod(step, per_epoch)
    order = torch.randperm(n, generator=_generator(recipe.seed, -1 - epoch))
    picked = order[position * recipe.batch : (position + 1) * recipe.batch]
    return Batch(
        to_unit(data.images[picked]), data.labels[picked].long(), _generator(recipe.seed, step)
    )


def _generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed << 32) + step)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Rate of step `step` (counted from 0): a straight rise, then half a cosine down to 0."""
    rise = min(1.0, (step + 1) / max(1, recipe.warmup))
    return recipe.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))


def train(
    recipe: Recipe,
    *,
    device: str = "auto",
    folder: Path | None = None,
    data: Dataset | None = None,
    checkpoint_every: int = 200,
) -> Iterator[TrainStep]:
    """Train `recipe`, one step per item, going on from the checkpoint in `folder` if there is one.

    Under torchrun each process takes an equal share of every batch and the gradients are averaged.

    Args:
        recipe: what to train.
        device: "auto" (cuda where there is one), "cpu" or "cuda".
        folder: where the checkpoint lives; None keeps nothing.
        data: training pictures; None takes `training_data`.
        checkpoint_every: steps between checkpoints; one is also written at the end.

    Raises:
        ValueError: where the batch does not divide by the number of processes, or the checkpoint
            belongs to another recipe.
    """
    rank, world = _join_processes()
    if recipe.batch % world:
        raise ValueError(f"a batch of {recipe.batch} does not divide by {world} processes")
    place = pick_device(device)
    data = data or training_data(recipe)
    torch.manual_seed(recipe.seed)
    module = recipe.build().to(place)
    path = folder / CHECKPOINT if folder else None
    if recipe.start_from and not (path and path.exists()):
        begin_with(module, starting_weights(recipe.start_from))
    ema = recipe.build().to(place).requires_grad_(False)
    ema.load_state_dict(module.state_dict())
    optimizer = torch.optim.AdamW(
        module.parameters(), weight_decay=recipe.weight_decay, betas=(0.9, 0.99), fused=True
    )
    state = TrainingState(module, ema, optimizer)
    if path and path.exists():
        state.load(path, recipe)
    parallel = DistributedDataParallel(module) if world > 1 else module
    inputs_of, loss_of = TASKS[recipe.task]
    share = slice(rank * recipe.batch // world, (rank + 1) * recipe.batch // world)
    autocast = (
        torch.autocast(place.type, torch.bfloat16)
        if recipe.precision == "bfloat16"
        else nullcontext()
    )
    # Measured on one core, 64 digits of 7x7 positions: a step of 0.38 s with the fused kernel for
    # attention (its way back is slow in bfloat16), 0.33 s with two matrix products.
    attention = partial(sdpa_kernel, SDPBackend.MATH) if place.type == "cpu" else nullcontext
    started, first, earlier = time.perf_counter(), state.step, state.wall_seconds
    while state.step < recipe.steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, state.step)
        drawn = inputs_of(recipe, draw_batch(recipe, data, state.step))
        drawn = Drawn(*(tuple(x[share].to(place) for x in part) for part in drawn))
        with autocast, attention():
            output = parallel(*drawn.inputs)
        loss = loss_of(recipe, output.float(), drawn)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        state.step += 1
        decay = min(recipe.ema_decay, (1 + state.step) / (10 + state.step))
        torch._foreach_lerp_(list(ema.parameters()), list(module.parameters()), 1 - decay)
        for average, live in zip(ema.buffers(), module.buffers(), strict=True):
            average.copy_(live)
        passed = time.perf_counter() - started
        state.wall_seconds = earlier + passed
        if (
            path
            and rank == 0
            and (state.step % checkpoint_every == 0 or state.step == recipe.steps)
        ):
            state.save(path, recipe)
        pace = (state.step - first) / passed
        yield TrainStep(
            state.step, loss.item(), pace * recipe.batch, (recipe.steps - state.step) / pace, ema
        )


class TrainingState:
    """All that a run needs to go on: weights, averages, optimiser moments, step, time spent."""

    def __init__(self, module: nn.Module, ema: nn.Module, optimizer: torch.optim.AdamW) -> None:
        self.module, self.ema, self.optimizer = module, ema, optimizer
        self.step = 0
        self.wall_seconds = 0.0

    def save(self, path: Path, recipe: Recipe) -> None:
        """Write everything to one safetensors file, atomically."""
        tensors = {f"model.{k}": v for k, v in self.module.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        for name, parameter in self.module.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"adam.{key}.{name}"] = value
        metadata = {
            "recipe": json.dumps(asdict(recipe), sort_keys=True),
            "step": str(self.step),
            "wall_seconds": repr(self.wall_seconds),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        write_atomically(path, lambda part: save_file(tensors, part, metadata))

    def load(self, path: Path, recipe: Recipe) -> None:
        """Read a file that `save` wrote for the same recipe.

        Raises:
            ValueError: when it was written for another recipe.
        """
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            if metadata["recipe"] != json.dumps(asdict(recipe), sort_keys=True):
                raise ValueError(
                    f"{path.name} belongs to another recipe; move its folder away to start anew"
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        self.step = int(metadata["step"])
        self.wall_seconds = float(metadata["wall_seconds"])
        for prefix, module in (("model.", self.module), ("ema.", self.ema)):
            module.load_state_dict(
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            )
        for name, parameter in self.module.named_parameters():
            moments = {
                key: tensors[f"adam.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
            }
            # Like the parameter in place and memory order: fused AdamW walks both side by side.
            self.optimizer.state[parameter] = {
                key: value if key == "step" else torch.empty_like(parameter).copy_(value)
                for key, value in moments.items()
            }


def begin_with(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy weights into a network that has them all, perhaps in a `body`, with more channels.

    Outputs that the weights do not have stay as they are: a network that learns its variance, too,
    begins with the picture of one that did not. Inputs that they do not have begin unheard.

    Raises:
        ValueError: when a weight has no place in the network.
    """
    own = module.state_dict()
    with torch.no_grad():
        for key, weight in weights.items():
            value = own.get(key, own.get(f"body.{key}"))
            if value is None or any(map(operator.lt, value.shape, weight.shape)):
                raise ValueError(f"the network has no place for {key!r} of {tuple(weight.shape)}")
            if weight.ndim > 1:
                value[: len(weight), weight.shape[1] :] = 0
            value[tuple(map(slice, weight.shape))] = weight


def starting_weights(name: str) -> dict[str, Tensor]:
    """The averaged weights of another recipe: of its run, or, where there is none, as it ships."""
    if (RUNS / name / CHECKPOINT).exists() or not (PRETRAINED / name).exists():
        return averaged_weights(RUNS / name)
    return load_module(name, "cpu")[0].state_dict()


def averaged_weights(run: Path) -> dict[str, Tensor]:
    """The averaged weights in a run's checkpoint.

    Raises:
        FileNotFoundError: when the run has no checkpoint: train its recipe first.
    """
    path = run / CHECKPOINT
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: train the recipe {run.name!r} first")
    with safe_open(path, framework="pt") as file:
        keys = [key for key in file.keys() if key.startswith("ema.")]  # noqa: SIM118
        return {key.removeprefix("ema."): file.get_tensor(key) for key in keys}


def _join_processes() -> tuple[int, int]:
    """(rank, world size); joins the process group when torchrun started this process."""
    if not dist.is_torchelastic_launched():
        return 0, 1
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return dist.get_rank(), dist.get_world_size()


def main() -> None:
    """Command line: train one recipe with a progress line and a sample sheet each epoch."""
    parser = argparse.ArgumentParser(prog="python -m diffusion_core.training", description=__doc__)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", type=Path, help="default: runs/NAME")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.name]
    folder = arguments.folder or RUNS / recipe.name
    data = training_data(recipe)
    per_epoch = len(data.images) // recipe.batch
    shown = 0.0
    for report in train(recipe, device=arguments.device, folder=folder, data=data):
        if dist.is_initialized() and dist.get_rank() > 0:
            continue
        last = report.step == recipe.steps
        if last or time.monotonic() - shown > 1:
            shown = time.monotonic()
            print("\r" + progress_line(report, recipe.steps), end="", file=sys.stderr, flush=True)
        if recipe.task == "denoise" and (last or report.step % per_epoch == 0):
            from diffusion_core.evaluation import sample_sheet

            sample_sheet(recipe, report.ema, folder / f"samples-{report.step:06d}.png")
    print(file=sys.stderr)
    if dist.is_initialized():
        dist.destroy_process_group()


def progress_line(report: TrainStep, steps: int, width: int = 24) -> str:
    """One line: bar, step, loss, images/s, time left."""
    done = report.step * width // steps
    minutes, seconds = divmod(int(report.seconds_left), 60)
    return (
        f"[{'█' * done}{'·' * (width - done)}] {report.step}/{steps}  loss {report.loss:.4f}  "
        f"{report.images_per_second:.0f} images/s  {minutes}:{seconds:02d} left "
    )


if __name__ == "__main__":
    main()
