"""The views of the page on reverse sampling whose frames are numbers of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.checkpoints import Card
from diffusion_core.denoisers import NetworkDenoiser
from pages.shared import bench, load, step_counts
from pages.shared.player import Frames, follow, session_runs
from pages.shared.runs import LiveRun

EXACT = "digits-v"
"""The network that can be asked at t = T without dividing by next to nothing."""

S = TypeVar("S")


def more_steps(row: DeltaGenerator, denoiser: NetworkDenoiser, card: Card) -> None:
    """One starting noise, with more and more steps; frame by frame another number of them."""
    digit = row.selectbox(
        "Digit", bench.DIGITS, index=bench.DIGITS.index("any"), key="drawn", bind="query-params",
        format_func=bench.digit_name, width=200,
    )  # fmt: skip
    seed = row.number_input("Seed", 0, 9999, bench.SEED, key="seed", bind="query-params", width=110)
    live = session_runs().open(
        repr((card.fields["sha256"], "counts", digit, seed)),
        lambda: step_counts.grow(denoiser, digit, seed),
        len(step_counts.COUNTS),
    )
    by_count(
        live, step_counts.draw_grown, step_counts.COUNTS, "More and more steps from one noise", 0
    )
    why = (
        " It names v, and says at t = 1000 the average of what it is asked for; digits-eps, the "
        "network of “One run”, names ε and gives static with one step."
    )
    st.caption(
        f"Network {card.name}, DDIM steps without fresh noise, x̂₀ clipped."
        + why * (card.name == EXACT)
    )


def there_and_back(row: DeltaGenerator, denoiser: NetworkDenoiser, card: Card) -> None:
    """Digits encoded and decoded, with more and more steps."""
    told = row.toggle("Tell the network the digit", key="told", bind="query-params")
    digits = np.stack([load.gallery_digit(k, step_counts.ROW) for k in range(step_counts.SENT)])
    x = torch.from_numpy(digits).float()[:, None] / 127.5 - 1
    label = torch.arange(step_counts.SENT) if told else None
    live = session_runs().open(
        repr((card.fields["sha256"], "back", told)),
        lambda: step_counts.there_and_back(denoiser, x, label),
        len(step_counts.LOOPS),
    )
    by_count(live, step_counts.draw_loops, step_counts.LOOPS, "To noise and back, by steps", 1)
    st.caption(
        f"Network {card.name}. DDIM run backwards from digits of the app's gallery, which a "
        "network made (no data set comes with the app), then forwards from where it ended; no "
        "fresh noise, x̂₀ clipped. Difference: gray where both agree, white where the returned "
        "picture is brighter, black where it is darker. The red line takes each step up and down "
        "again by itself, and tells the one of them that misses most."
    )


def by_count(
    live: LiveRun[S],
    draw: Callable[[list[S], int], Frames],
    counts: tuple[int, ...],
    label: str,
    rest: int,
) -> None:
    """Follow a run whose frames are numbers of steps."""
    follow(
        live, draw, key=f"player_{label}", scale=2, autoplay=True, report_frame=False, label=label,
        fps=1, ends=("few steps", "many steps"),
        ticks=[(k, str(n)) for k, n in enumerate(counts)], charts_last=True, rest=rest,
    )  # fmt: skip
