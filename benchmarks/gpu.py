"""A network step on a GPU: `python -m benchmarks.gpu`; without one it says so and ends.

For batches from 1 to 4096: milliseconds in float32 and bfloat16, called as it is and as a captured
graph, and what share that is of the rate at which the chip multiplies large matrices of that kind.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from diffusion_core.checkpoints import load_module

BATCHES = tuple(4**n for n in range(7))  # 1 to 4096
REPEATS, SIDE = 20, 8192
DTYPES = (torch.float32, torch.bfloat16)


def seconds(call: Callable[[], object]) -> float:
    """Median time of a call, until the GPU has done it."""
    times = []
    for _ in range(REPEATS + 3):
        torch.cuda.synchronize()
        started = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times[3:])  # the first ones also warm up


def captured(call: Callable[[], object]) -> Callable[[], object]:
    """The same kernels, recorded once and replayed without Python between them."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def peak(dtype: torch.dtype) -> float:
    """Operations a second in a product of two large matrices."""
    one = torch.randn(SIDE, SIDE, device="cuda", dtype=dtype)
    return 2 * SIDE**3 / seconds(lambda: one @ one)


def main() -> None:
    """Measure and print."""
    if not torch.cuda.is_available():
        print("Not measured: torch sees no GPU here.")
        return
    network, card = load_module("digits-eps", device="cuda")
    print(f"{card.name}, {torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print("| precision | batch | ms | as a graph, ms | pictures a second | of a large product |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    with torch.inference_mode():
        for dtype in DTYPES:
            network.to(dtype)
            most = peak(dtype)
            for batch in BATCHES:
                x = torch.randn(batch, 1, 28, 28, device="cuda", dtype=dtype)
                t = torch.full((batch,), 500, device="cuda")
                label = torch.arange(batch, device="cuda") % 10

                def step(x: torch.Tensor = x, t: torch.Tensor = t, c: torch.Tensor = label) -> None:
                    network(x, t, c)

                with FlopCounterMode(display=False) as counter:
                    step()
                plain, graph = seconds(step), seconds(captured(step))
                share = counter.get_total_flops() / min(plain, graph) / most
                print(
                    f"| {str(dtype)[6:]} | {batch:,} | {1e3 * plain:.2f} | {1e3 * graph:.2f} "
                    f"| {batch / min(plain, graph):,.0f} | {share:.0%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
