"""How cost grows with T, batch, K, picture size and data set: `python -m benchmarks.growth`.

Each row times one thing at growing sizes, on one thread, and prints the slope of a straight line
through log time over log size, fitted at the larger half of the sizes, where fixed costs are small:
1 is linear, 2 quadratic, below 1 still paying fixed costs. ✗ marks a slope that passes what the
algorithm must cost by more than 0.25. What K does to memory, and to the dense way, is in
`benchmarks.discrete_growth`.

GNU's C library hands large blocks back to the kernel as soon as they are free, which then fills the
same pages with zeros again: a cost that sets in at some size and bends the line. Here the process
keeps its memory, so that the slope is the algorithm's; `--as-it-comes` measures with that cost.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusion_core.checkpoints import load, load_module
from diffusion_core.denoisers import ideal_denoiser
from diffusion_core.discrete import mask_and_replace, uniform
from diffusion_core.discrete_betas import linear
from diffusion_core.discrete_elbo import discrete_elbo
from diffusion_core.discrete_sampling import sample_discrete
from diffusion_core.elbo import gaussian_elbo
from diffusion_core.forward import forward_chain
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import Prediction
from diffusion_core.samplers import sample
from diffusion_core.schedule_check import check_schedule
from diffusion_core.schedules import SCHEDULES, cosine, evenly_spaced
from diffusion_core.true_reverse import data_log_weights, nearest

REPEATS, SLACK = 5, 0.25
# mallopt's names for: free memory at the heap's end that is kept; size that gets pages of its own.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT, LARGE = 2**30, 2**25
Make = Callable[[int], Callable[[], Any]]  # size -> what is timed; making it is not


class Row(NamedTuple):
    """Something whose cost grows.

    Attributes:
        what: is timed.
        size: what grows.
        sizes: increasing.
        most: the slope that the algorithm must have.
        make: size -> the call.
    """

    what: str
    size: str
    sizes: Sequence[int]
    most: float
    make: Make


def seconds(call: Callable[[], Any]) -> float:
    """Shortest of a few runs, in processor time, which other programs disturb little."""
    call()
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return min(times)


def slope(sizes: Sequence[int], times: Sequence[float]) -> float:
    """Of log time over log size, least squares, at the larger half of the sizes."""
    first = (len(sizes) - 1) // 2
    x, y = ([math.log(value) for value in values[first:]] for values in (sizes, times))
    return statistics.linear_regression(x, y).slope


def blank(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
    """A denoiser that costs next to nothing, so that only what stands around it is timed."""
    return Prediction(torch.zeros_like(x_t), x_t)


def walked(steps: Iterable[object]) -> None:
    """Take every step and keep none: memory that grows with the walk would be timed, too."""
    deque(steps, maxlen=0)


def over_T() -> list[Row]:
    """What has T in it: tables, chains, bounds; and a run of 50 steps, which must not care."""
    generator = torch.Generator().manual_seed(0)
    x0 = -torch.ones(1, 1, 28, 28, dtype=torch.float64)
    many = (250, 500, 1000, 2000, 4000)
    tokens = torch.zeros(1, 49, dtype=torch.int64)

    def walk(T: int) -> Callable[[], Any]:
        diffusion, x_T = GaussianDiffusion(cosine(T)), torch.randn(16, 1, 28, 28)
        return lambda: walked(
            sample(diffusion, blank, x_T, evenly_spaced(T, 50), generator=generator)
        )

    def bound(T: int) -> Callable[[], Any]:
        diffusion = GaussianDiffusion(cosine(T))
        return lambda: gaussian_elbo(diffusion, blank, x0, batch=64, generator=generator)

    def discrete_bound(T: int) -> Callable[[], Any]:
        diffusion, logits = (
            mask_and_replace(16, T),
            torch.zeros(16).index_fill(0, torch.tensor([15]), -torch.inf),
        )
        return lambda: discrete_elbo(
            diffusion,
            lambda x, t, label: logits.expand(*x.shape, 16),
            tokens,
            batch=64,
            generator=generator,
        )

    return [
        Row("every schedule's table", "T", many, 1,
            lambda T: lambda: [make(T) for make in SCHEDULES.values()]),
        Row("naming a schedule from its betas", "T", (100, 200, 400, 1000), 1,
            lambda T: partial(check_schedule, cosine(T).beta[1:].tolist())),
        Row("the forward chain of a picture", "T", many, 1,
            lambda T: partial(forward_chain, cosine(T), x0[0, 0], generator)),
        Row("50 steps of sampling, without network", "T", many, 0, walk),
        Row("the whole bound of a picture, without network", "T", many[:4], 1, bound),
        Row("the whole discrete bound, 49 tokens, K = 16", "T", many[:4], 1, discrete_bound),
    ]  # fmt: skip


def over_batch() -> list[Row]:
    """A network step, and the sampler around it."""
    denoiser, _ = load("digits-eps", device="cpu")
    sizes = (1, 2, 4, 8, 16, 32, 64, 128)

    def step(n: int) -> Callable[[], Any]:
        x, t, label = torch.randn(n, 1, 28, 28), torch.full((n,), 500), torch.arange(n) % 10
        return lambda: denoiser(x, t, label)

    def around(n: int) -> Callable[[], Any]:
        x, generator = torch.randn(n, 1, 28, 28), torch.Generator().manual_seed(0)
        return lambda: walked(
            sample(denoiser.diffusion, blank, x, evenly_spaced(1000, 10), generator=generator)
        )

    return [
        Row("one network step", "batch", sizes, 1, step),
        Row("10 steps of sampling, without network", "batch", (*sizes[4:], 256, 512), 1, around),
    ]


def over_K() -> list[Row]:
    """Closed forms: linear in K where a dense table would be quadratic."""
    generator = torch.Generator().manual_seed(0)
    sizes = (64, 128, 256, 512, 1024, 2048)

    def walk(make: Callable[..., Any]) -> Make:
        def at(K: int) -> Callable[[], Any]:
            diffusion = make(K)
            # The last state is [MASK] where there is one: no belief in it.
            logits = torch.zeros(K).index_fill(0, torch.tensor([K - 1]), -torch.inf)
            x_T = diffusion.prior_sample((1, 256), generator)
            return lambda: walked(
                sample_discrete(
                    diffusion,
                    lambda x, t, label: logits.expand(*x.shape, K),
                    x_T,
                    evenly_spaced(diffusion.T, 5),
                    generator=generator,
                )
            )

        return at

    return [
        Row("5 steps, 256 tokens, mask-and-replace", "K", sizes, 1,
            walk(lambda K: mask_and_replace(K, 100))),
        Row("5 steps, 256 tokens, uniform", "K", sizes, 1, walk(lambda K: uniform(K, linear(100)))),
    ]  # fmt: skip


def over_pixels() -> list[Row]:
    """Pictures of growing size; the U-Net's attention compares every position with every other."""
    network, _ = load_module("digits-eps", device="cpu")
    diffusion = GaussianDiffusion(cosine(1000))
    t = torch.tensor([500])
    sides = (28, 56, 84, 112, 168)
    sizes = tuple(side**2 for side in sides)

    def forward(n: int) -> Callable[[], Any]:
        x = torch.randn(1, 1, math.isqrt(n), math.isqrt(n))
        return lambda: diffusion.q_sample(x, t, x)

    def step(n: int) -> Callable[[], Any]:
        x = torch.randn(1, 1, math.isqrt(n), math.isqrt(n))
        return lambda: network(x, t, t % 10)

    return [
        Row("noising a picture", "pixels", tuple(16 * n for n in sizes), 1, forward),
        Row("one network step, float32", "pixels", sizes, 2, step),
    ]


def over_data() -> list[Row]:
    """The exact answers, which look at every picture of a data set."""
    diffusion = GaussianDiffusion(cosine(1000))
    generator = torch.Generator().manual_seed(0)
    all_data = torch.randn(32_000, 1, 28, 28, generator=generator)
    x_t, t = torch.randn(16, 1, 28, 28, generator=generator), torch.full((16,), 500)
    sizes = (2000, 4000, 8000, 16_000, 32_000)

    def ideal(n: int) -> Callable[[], Any]:
        denoiser = ideal_denoiser(diffusion, all_data[:n])
        return lambda: denoiser(x_t, t)

    return [
        Row("ideal denoiser, 16 pictures", "data set", sizes, 1, ideal),
        Row("weights of the data, 16 pictures", "data set", sizes, 1,
            lambda n: lambda: data_log_weights(diffusion, all_data[:n], x_t, t)),
        Row("nearest of the data, 16 pictures", "data set", sizes, 1,
            lambda n: lambda: nearest(all_data[:n], x_t)),
    ]  # fmt: skip


GROUPS = {"T": over_T, "batch": over_batch, "K": over_K, "pixels": over_pixels, "data": over_data}


def keep_memory() -> None:
    """Let the process keep what it frees; does nothing where the C library is not GNU's."""
    with contextlib.suppress(AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_MMAP_THRESHOLD, LARGE)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=GROUPS, nargs="*", default=list(GROUPS))
    parser.add_argument("--as-it-comes", action="store_true", help="memory is handed back")
    options = parser.parse_args()
    if not options.as_it_comes:
        keep_memory()
    torch.set_num_threads(1)
    print("| what | grows | from … to | first … last, ms | slope | must be |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for group in options.only:
        with torch.inference_mode():
            for row in GROUPS[group]():
                times = [seconds(row.make(size)) for size in row.sizes]
                found = slope(row.sizes, times)
                told = f"✗ **{found:.2f}**" if found > row.most + SLACK else f"{found:.2f}"
                print(
                    f"| {row.what} | {row.size} | {row.sizes[0]:,} … {row.sizes[-1]:,} "
                    f"| {1e3 * times[0]:.2f} … {1e3 * times[-1]:.2f} | {told} "
                    f"| ≤ {row.most:g} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
