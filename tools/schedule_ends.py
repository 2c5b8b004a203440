"""Draw the pictures of the page on schedules that take a network: `python -m tools.schedule_ends`.

`tests/pretrained/test_schedule_ends.py` holds the sheet to the networks.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from diffusion_core.checkpoints import load
from diffusion_core.datasets import to_uint8
from diffusion_core.samplers import sample
from diffusion_core.schedules import counted_up, evenly_spaced
from pages.shared.schedule_ends import DIGITS, NETWORKS, SHEET, STEPS


def final_digits(up: bool) -> torch.Tensor:
    """What digits-v makes of one noise in a few steps, [50, 1, 28, 28]; the same noise for both.

    Args:
        up: whether the steps are counted up from 1, rather than down from T.
    """
    network = load("digits-v", "cpu")[0]
    generator = torch.Generator().manual_seed(0)
    x_T = torch.randn(50, 1, 28, 28, generator=generator)
    times = (counted_up if up else evenly_spaced)(1000, STEPS)
    label = torch.arange(50) % 10
    return [*sample(network.diffusion, network, x_T, times, label=label, generator=generator)][
        -1
    ].x_t


def first_mean(name: str) -> torch.Tensor:
    """The mean of the first step back by a network's noise, unclipped, [96, 1, 28, 28]."""
    network = load(name, "cpu")[0]
    x_T = torch.randn(96, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    t = torch.full((96,), 1000)
    x0 = network(x_T, t).x0.double()
    return network.diffusion.q_posterior(x_T.double(), x0, t, t - 1).mean


def sheet() -> np.ndarray:
    """Digits from T down, the same counted up from 1, and each network's first mean; uint8."""
    rows = [final_digits(up)[:DIGITS] for up in (False, True)]
    means = torch.stack([first_mean(name)[0] for name in NETWORKS])
    rows.append(torch.cat([means.float(), torch.zeros(DIGITS - len(means), 1, 28, 28)]))
    return np.concatenate([np.concatenate(list(to_uint8(row).numpy()), 1) for row in rows])


if __name__ == "__main__":
    Image.fromarray(sheet()).save(SHEET, optimize=True)
