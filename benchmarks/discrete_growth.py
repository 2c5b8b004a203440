"""What closed forms are worth: time and peak memory of discrete diffusion as K grows.

`python -m benchmarks.discrete_growth` prints a table. Each row is a process of its own: 1,024
tokens of a T = 100 mask-and-replace chain, sampled in 25 steps and scored at 25, in closed form and
the dense way (a table of all Q_bar, as D3PM's code keeps it). The dense way stops where its table
alone would pass 2 GB.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SIZES = (16, 128, 512, 2888)
T, TOKENS, STEPS = 100, 1024, 25
DENSE_LIMIT = 2e9
LINE = "| {} | {} | {} | {} | {} | {} | {} |"


def measure(way: str, K: int, steps: int) -> tuple[float, ...]:
    """Seconds to build, to sample, to score; peak MB above the imports, and in all."""
    import torch

    from diffusion_core.discrete import DiscreteDiffusion, from_matrices, mask_and_replace
    from diffusion_core.discrete_elbo import vb_terms
    from diffusion_core.discrete_sampling import sample_discrete

    torch.set_num_threads(1)
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(K, generator=generator).index_fill(0, torch.tensor([K - 1]), -torch.inf)

    def denoiser(x_t: torch.Tensor, t: torch.Tensor, label: torch.Tensor | None) -> torch.Tensor:
        return logits.expand(*x_t.shape, K)  # no network: only the process is measured

    def build() -> DiscreteDiffusion:
        closed = mask_and_replace(K, T)
        if way == "closed":
            return closed
        dense = from_matrices(torch.stack([closed.q_step_matrix(t) for t in range(1, T + 1)]))
        dense.q_marginal_matrix(T)
        return dense

    start = time.perf_counter()
    diffusion = build()
    built = time.perf_counter()
    times = [round(T - k * T / steps) for k in range(steps)]
    x_T = torch.full((1, TOKENS), K - 1)
    x0 = x_T
    for move in sample_discrete(diffusion, denoiser, x_T, times, generator=generator):
        x0 = move.x_t  # a list of all steps would hold 72 MB each at K = 2888
    sampled = time.perf_counter()
    for step in times:
        t = torch.tensor([step])
        x_t = diffusion.q_sample(x0, t, generator)
        vb_terms(diffusion, denoiser(x_t, t, None), x_t, x0, t)
    scored = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return built - start, sampled - built, scored - sampled, (peak - idle) / 1024, peak / 1024


def main() -> None:
    """Print the table, or one row of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--row", nargs=2, metavar=("WAY", "K"))
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    if options.row:
        print(*measure(options.row[0], int(options.row[1]), options.steps))
        return
    print(f"{TOKENS} tokens, T = {T}, {options.steps} steps, one thread; peak MB: above what the")
    print("imports take; all MB: with them.\n")
    print(LINE.format("K", "way", "build s", "sample s", "score s", "peak MB", "all MB"))
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for K in SIZES:
        for way in ("closed", "dense"):
            table = (T + 1) * K**2 * 8
            if way == "dense" and table > DENSE_LIMIT:
                why = f"not run: its table alone is {table / 1e9:.1f} GB"
                print(LINE.format(K, way, why, *4 * [""]))
                continue
            command = [
                sys.executable,
                __file__,
                "--row",
                way,
                str(K),
                "--steps",
                str(options.steps),
            ]
            row = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            *seconds, peak, total = map(float, row.split())
            shown = [f"{value:.2f}" for value in seconds]
            print(LINE.format(K, way, *shown, round(peak), round(total)))


if __name__ == "__main__":
    main()
