"""Discrete processes that a page's controls can ask for; whatever can't be is mended, and said."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import streamlit as st
import torch
from torch import Tensor

from diffusion_core.discrete import (
    DiscreteDiffusion,
    absorbing,
    from_matrices,
    gaussian,
    mask_and_replace,
    nearest_neighbor,
    uniform,
)
from diffusion_core.discrete_betas import DISCRETE_BETAS

NAMES = {
    "uniform": "Uniform",
    "absorbing": "Absorbing",
    "gaussian": "Gaussian",
    "nearest_neighbor": "Nearest neighbour",
    "mask_and_replace": "Mask and replace",
}
"""The five kernels, as `KERNELS` and as a reader calls them."""

SCHEDULES = (*DISCRETE_BETAS, "constant")
ENDINGS = {"paper": (0.000009, 0.9), "code": (0.000009, 0.99999)}
"""VQ-Diffusion's share of [MASK] at steps 1 and T, by the paper (section 5) and by their code.

The paper begins at 0; the code's first share stands for it in both, so that every step can mask."""

EMBEDDINGS = ("line", "ring", "two clusters", "your own")
MASK = "[M]"
MOST_DENSE, MOST_CLOSED, MOST_TYPED = 128, 4096, 16
POINTS = "0 0\n1 0\n1 0\n0 2\n5 5\n6 5"
"""Six points in the plane to begin with; two of them are the same."""
ROWS = "0.8 0.2 0\n0 0.5 0.5\n0.3 0 0.6"
"""Three rows to begin with; the last sums to 0.9."""
LETTERS = "abcdefghijklmnopqrstuvwxyz "
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


class Process(NamedTuple):
    """A process with what its states are called.

    Attributes:
        diffusion: the process.
        names: one per state.
        notes: sentences about what was mended; none where all was fine.
    """

    diffusion: DiscreteDiffusion
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


@st.cache_resource(max_entries=12, show_spinner=False)
def process(
    kernel: str,
    K: int,
    T: int,
    schedule: str,
    beta: float = 0.1,
    *,
    scaling: str = "paper",
    embedding: str = "line",
    points: str = POINTS,
    rate: float = 1.0,
    ending: str = "paper",
    rows: str = ROWS,
) -> Process:
    """Build what was asked for.

    Args:
        kernel: a key of `NAMES`, or "own".
        K: number of states, [MASK] included.
        T: number of steps.
        schedule: one of `SCHEDULES`; mask-and-replace has its own.
        beta: of the constant schedule, 0..1.
        scaling: of the Gaussian kernel.
        embedding: one of `EMBEDDINGS`, for the nearest-neighbour kernel.
        points: the embedding of your own, one point a line.
        rate: of the nearest-neighbour kernel.
        ending: a key of `ENDINGS`, for mask-and-replace.
        rows: the matrix of your own, one row a line; the same at every step.
    """
    if kernel == "own":
        Q, notes = read_rows(rows)
        return Process(from_matrices(Q.expand(T, -1, -1)), numbered(len(Q)), notes)
    betas = betas_of(schedule, T, beta)
    if kernel == "nearest_neighbor":
        where, notes = placed(embedding, min(K, MOST_DENSE), points)
        notes += _capped(K, MOST_DENSE) if embedding != "your own" else ()
        return Process(nearest_neighbor(where, betas, rate=rate), numbered(len(where)), notes)
    most = MOST_DENSE if kernel == "gaussian" else MOST_CLOSED
    notes, K = _capped(K, most), min(K, most)
    if kernel == "gaussian":
        return Process(gaussian(K, betas, scaling=scaling), numbered(K), notes)
    if kernel == "uniform":
        return Process(uniform(K, betas), numbered(K), notes)
    if kernel == "absorbing":
        return Process(absorbing(K, betas), numbered(K, mask=True), notes)
    diffusion = mask_and_replace(K, T, masked=ENDINGS[ending])
    return Process(diffusion, numbered(K, mask=True), notes)


def betas_of(schedule: str, T: int, beta: float = 0.1) -> Tensor:
    """Betas [T] of a name in `SCHEDULES`."""
    if schedule == "constant":
        return torch.full([T], beta, dtype=torch.float64)
    return DISCRETE_BETAS[schedule](T)


def numbered(K: int, mask: bool = False) -> tuple[str, ...]:
    """States named by number, the last one [M] where there is a mask."""
    return tuple(MASK if mask and k == K - 1 else str(k) for k in range(K))


def even_data(diffusion: DiscreteDiffusion) -> Tensor:
    """Every real state equally likely, [K] float64."""
    probs = torch.ones(diffusion.K, dtype=torch.float64)
    if diffusion.mask is not None:
        probs[diffusion.mask] = 0
    return probs / probs.sum()


def keyboard() -> Tensor:
    """Where the keys of `LETTERS` lie on a keyboard, [27, 2] float64, in widths of a key."""
    rows = enumerate(_KEYS)
    at = {key: (x + 0.5 * y, float(y)) for y, row in rows for x, key in enumerate(row)}
    at[" "] = (5.0, 3.0)
    return torch.tensor([at[letter] for letter in LETTERS], dtype=torch.float64)


def placed(embedding: str, K: int, points: str) -> tuple[Tensor, tuple[str, ...]]:
    """The points of the states, [K, d] float64, and what had to be said of them."""
    k = torch.arange(K, dtype=torch.float64)
    if embedding == "ring":
        angle = 2 * math.pi * k / K
        return torch.stack([angle.cos(), angle.sin()], 1), ()
    if embedding == "two clusters":
        return (k + K * (k >= K / 2))[:, None], ()
    if embedding == "your own":
        return read_points(points)
    return k[:, None], ()


def read_points(text: str) -> tuple[Tensor, tuple[str, ...]]:
    """An embedding typed by the reader; where it can't be used, the one to begin with."""
    table, trouble = _read_table(text, least=2)
    if trouble:
        table, _ = _read_table(POINTS, least=2)
        return table, (f"{trouble} The six points to begin with are used.",)
    same = (table[:, None] == table).all(2).triu(1).nonzero().tolist()
    if not same:
        return table, ()
    pairs = " and ".join(f"{i} = {j}" for i, j in same[:3])
    more = ", and more" if len(same) > 3 else ""
    return table, (
        f"Equal points: {pairs}{more}. Each is the other's nearest neighbour, at distance 0.",
    )


def read_rows(text: str) -> tuple[Tensor, tuple[str, ...]]:
    """A transition matrix typed by the reader, rows made to sum to 1, and what was mended."""
    Q, trouble = _read_table(text, least=2)
    if not trouble and Q.shape[0] != Q.shape[1]:
        trouble = f"{Q.shape[0]} rows with {Q.shape[1]} numbers are no square matrix."
    if not trouble and bool((Q < 0).any()):
        trouble = f"{float(Q.min()):g} is no probability: it is below 0."
    total = Q.sum(1)
    if not trouble and bool((total == 0).any()):
        empty = int((total == 0).nonzero()[0])
        trouble = f"Row {empty} is all 0, so nothing can happen from there."
    if trouble:
        Q, _ = read_rows(ROWS)
        return Q, (f"{trouble} The three rows to begin with are used.",)
    off = ((total - 1).abs() > 1e-6).nonzero()[:, 0].tolist()
    if not off:
        return Q, ()
    columns = bool(((Q.sum(0) - 1).abs() <= 1e-6).all())
    told = f"Row {off[0]} sums to {float(total[off[0]]):g}, not to 1"
    told += f" (and {len(off) - 1} more)" if len(off) > 1 else ""
    told += "; each row is divided by its sum."
    if columns:
        told += " Its columns sum to 1: was it written with columns as “from”? Then transpose it."
    return Q / total[:, None], (told,)


def _read_table(text: str, least: int) -> tuple[Tensor, str]:
    """Numbers, one line each [n, d] float64; or an empty table and what is wrong."""
    lines = [re.split(r"[\s,;]+", line.strip()) for line in text.strip().splitlines()]
    nothing = torch.zeros(0, 0, dtype=torch.float64)
    if len(lines) < least:
        return nothing, f"At least {least} lines of numbers are needed."
    if len(lines) > MOST_TYPED or len(lines[0]) > MOST_TYPED:
        return nothing, f"More than {MOST_TYPED} lines or columns are too many to type."
    if len({len(line) for line in lines}) > 1:
        return nothing, "The lines have different lengths."
    try:
        cells = [[float(cell) for cell in line] for line in lines]
    except ValueError:
        return nothing, "A cell is not a number."
    table = torch.tensor(cells, dtype=torch.float64)
    return (table, "") if bool(table.isfinite().all()) else (nothing, "A number is not finite.")


def _capped(K: int, most: int) -> tuple[str, ...]:
    if K <= most:
        return ()
    return (f"K = {K} is more than this page computes for this kernel; K = {most} is used.",)
