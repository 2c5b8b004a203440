"""What transition matrices do, computed for the page about them: looked at, and put to use.

Everything is cached by primitives and shared by all sessions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.discrete import (
    DiscreteDiffusion,
    absorbing,
    gaussian,
    nearest_neighbor,
    sample_categorical,
    uniform,
)
from diffusion_core.information import (
    block_matrix,
    block_starts,
    forgetting,
    forward_path,
    information_over_time,
    matched_step,
    stationary_of,
)
from pages.shared import kernels
from pages.shared.kernels import LETTERS, Process
from pages.shared.matrices import MOST_CELLS, blocks_named
from pages.shared.palette import COLORS

SENTENCE = "the quick brown fox jumps over the lazy dog"
MOST_LETTERS = 2000
LEVELS = 16
FRAMES = 41


class Choice(NamedTuple):
    """What the controls under "More" say; the arguments of `kernels.process`."""

    K: int
    T: int
    schedule: str
    beta: float
    scaling: str
    embedding: str
    points: str
    rate: float
    ending: str
    rows: str

    def process(self, kernel: str, **other: object) -> Process:
        """The process of this choice, with `other` fields replaced."""
        named = self._replace(**other)._asdict()
        first = [named.pop(key) for key in ("K", "T", "schedule", "beta")]
        return kernels.process(kernel, *first, **named)


class Seen(NamedTuple):
    """What the view of the matrices shows."""

    step: np.ndarray
    marginal: np.ndarray
    flow: np.ndarray
    paths: np.ndarray
    names: list[str]
    starts: list[int]


@st.cache_data(max_entries=64, show_spinner=False)
def seen(kernel: str, choice: tuple[object, ...], t: int, i: int) -> Seen:
    """Both matrices at t and state i over time, in blocks where there are too many states."""
    made = Choice(*choice).process(kernel)
    starts = block_starts(made.diffusion.K, MOST_CELLS)
    return Seen(
        block_matrix(made.diffusion, t, t - 1, starts).numpy(),
        block_matrix(made.diffusion, t, 0, starts).numpy(),
        *followed(kernel, choice, i),
        blocks_named(starts, made.names),
        starts,
    )


@st.cache_data(max_entries=32, show_spinner=False)
def followed(kernel: str, choice: tuple[object, ...], i: int) -> tuple[np.ndarray, np.ndarray]:
    """State or block i over all of time, whatever t is shown: its probabilities, three walks.

    Of a block: where a state drawn from it is, and walks from its first state.
    """
    diffusion = Choice(*choice).process(kernel).diffusion
    starts = block_starts(diffusion.K, MOST_CELLS)
    steps = torch.arange(diffusion.T + 1)
    start, end = starts[i], [*starts, diffusion.K][i + 1]
    even = torch.zeros(len(steps), 1, diffusion.K, dtype=torch.float64)
    even[..., start:end] = 1 / (end - start)
    rows = diffusion.q_push(even, steps, torch.zeros_like(steps))[:, 0]
    sums = torch.zeros(len(steps), len(starts), dtype=torch.float64)
    edges = torch.tensor(starts)
    which = torch.bucketize(torch.arange(diffusion.K), edges, right=True) - 1
    sums.index_add_(1, which, rows)
    walks = forward_path(diffusion, torch.full([3], start), torch.Generator().manual_seed(5))
    return sums.numpy(), (torch.bucketize(walks, edges, right=True) - 1).numpy()


@st.cache_data(max_entries=32, show_spinner=False)
def told_over_time(kernel: str, choice: tuple[object, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Share of the information left, and distance to the stationary distribution, [T+1] each."""
    diffusion = Choice(*choice).process(kernel).diffusion
    left = information_over_time(diffusion, kernels.even_data(diffusion))
    # A single real state has nothing to tell from the start.
    share = left / left[0] if float(left[0]) > 0 else torch.zeros_like(left)
    return share.numpy(), forgetting(diffusion, ending_of(diffusion)).numpy()


def ending_of(diffusion: DiscreteDiffusion) -> torch.Tensor:
    """The stationary distribution [K]; of a matrix of one's own, where an even start ends."""
    known = diffusion.stationary
    return stationary_of(diffusion.q_step_matrix(1)) if known is None else known


# --- a digit, a sentence --------------------------------------------------------------------------


@st.cache_resource(max_entries=4, show_spinner=False)
def five(
    letters: bool, T: int, schedule: str, beta: float, scaling: str, rate: float, ending: str
) -> dict[str, DiscreteDiffusion]:
    """The five kernels on gray levels, or on letters with the keyboard as the embedding."""
    betas = kernels.betas_of(schedule, T, beta)
    K = len(LETTERS) if letters else LEVELS
    where = kernels.keyboard() if letters else torch.arange(LEVELS).double()[:, None]
    neighbors = 4 if letters else 2
    mixed = kernels.process("mask_and_replace", K + 1, T, "constant", ending=ending).diffusion
    return {
        "uniform": uniform(K, betas),
        "absorbing": absorbing(K + 1, betas),
        "gaussian": gaussian(K, betas, scaling=scaling),
        "nearest_neighbor": nearest_neighbor(where, betas, neighbors=neighbors, rate=rate),
        "mask_and_replace": mixed,
    }


def of_choice(letters: bool, choice: Choice) -> dict[str, DiscreteDiffusion]:
    """`five` for what the controls say."""
    return five(
        letters, choice.T, choice.schedule, choice.beta, choice.scaling, choice.rate, choice.ending
    )


def histogram_of(x0: torch.Tensor, diffusion: DiscreteDiffusion) -> torch.Tensor:
    """How often each state occurs in x0, [K] float64: the data that the information is about."""
    counts = torch.bincount(x0.reshape(-1), minlength=diffusion.K).double()
    return counts / counts.sum()


class Corrupted(NamedTuple):
    """One picture under the five kernels, n frames."""

    share: np.ndarray
    steps: dict[str, np.ndarray]
    frames: dict[str, np.ndarray]
    changed: dict[str, np.ndarray]
    left: dict[str, np.ndarray]
    bits: float


@st.cache_data(max_entries=16, show_spinner=False)
def corrupted(pixels: bytes, choice: tuple[object, ...], equal: bool, seed: int) -> Corrupted:
    """Gray levels of a 28 x 28 picture, corrupted by each kernel at the same share or the same t.

    A pixel keeps its own uniforms at every t, so that it changes its mind as rarely as can be.
    """
    chosen = Choice(*choice)
    image = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).long().reshape(1, -1)
    x0 = image * LEVELS // 256
    share = torch.linspace(1, 0, FRAMES, dtype=torch.float64)
    told = Corrupted(share.numpy(), {}, {}, {}, {}, 0.0)
    bits = 0.0
    for name, diffusion in of_choice(False, chosen).items():
        information = information_over_time(diffusion, histogram_of(x0, diffusion))
        bits = float(information[0]) / np.log(2)
        if equal:
            steps = torch.tensor([matched_step(information, float(s)) for s in share])
        else:
            steps = torch.linspace(0, chosen.T, FRAMES).round().long()
        generator = torch.Generator().manual_seed(seed)
        uniforms = torch.rand(1, x0.shape[1], diffusion.K, generator=generator)
        probs = diffusion.q_marginal(x0.expand(FRAMES, -1), steps)
        x_t = sample_categorical(probs, uniforms.double().expand_as(probs))
        told.steps[name] = steps.numpy()
        told.frames[name] = painted(x_t, diffusion.mask)
        told.changed[name] = (x_t != x0).double().mean(1).numpy()
        told.left[name] = (information[steps] / max(float(information[0]), 1e-300)).numpy()
    return told._replace(bits=bits)


def painted(x: torch.Tensor, mask: int | None) -> np.ndarray:
    """Gray levels [n, 784] as uint8 [n, 28, 28, 3]; [MASK] in the colour of noise."""
    gray = (x.clamp(max=LEVELS - 1) * 255 // (LEVELS - 1)).to(torch.uint8)
    out = gray[..., None].expand(*gray.shape, 3).clone()
    if mask is not None:
        color = COLORS["eps"]
        ink = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        out[x == mask] = torch.tensor(ink, dtype=torch.uint8)
    return out.reshape(len(x), 28, 28, 3).numpy()


def gray_28(pixels: np.ndarray) -> np.ndarray:
    """Any picture as uint8 [28, 28]: colour averaged, blocks averaged."""
    gray = pixels.astype(float).mean(2) if pixels.ndim == 3 else pixels.astype(float)
    image = torch.from_numpy(gray)[None, None]
    small = torch.nn.functional.adaptive_avg_pool2d(image, 28)[0, 0]
    return small.round().clamp(0, 255).to(torch.uint8).numpy()


def cleaned(text: str) -> tuple[str, tuple[str, ...]]:
    """The text in the alphabet of `LETTERS`, and sentences about what was changed."""
    notes: list[str] = []
    if not text.strip():
        return SENTENCE, ("There is no text; the sentence to begin with is used.",)
    if len(text) > MOST_LETTERS:
        notes.append(f"The text has {len(text):,} characters; the first {MOST_LETTERS:,} are used.")
        text = text[:MOST_LETTERS]
    low = text.lower()
    out = "".join(c if c in LETTERS else " " for c in low)
    foreign = sorted({c for c in low if c not in LETTERS})
    if foreign:
        some = " ".join(repr(c)[1:-1] for c in foreign[:8])
        notes.append(
            f"The alphabet is a to z and the space. {len(foreign)} other characters "
            f"({some}{' …' if len(foreign) > 8 else ''}) became spaces."
        )
    if not out.strip():
        return SENTENCE, (*notes, "Nothing was left; the sentence to begin with is used.")
    return out, tuple(notes)


@st.cache_data(max_entries=32, show_spinner=False)
def corrupted_text(
    text: str, choice: tuple[object, ...], equal: bool, at: int, seed: int
) -> list[tuple[str, int, float, str]]:
    """(kernel, t, share of the information left, text) for each kernel."""
    chosen = Choice(*choice)
    x0 = torch.tensor([[LETTERS.index(c) for c in text]])
    out = []
    for name, diffusion in of_choice(True, chosen).items():
        information = information_over_time(diffusion, histogram_of(x0, diffusion))
        whole = float(information[0])
        t = matched_step(information, at / 100) if equal else round(at / 100 * chosen.T)
        generator = torch.Generator().manual_seed(seed)
        shape = (*x0.shape, diffusion.K)
        uniforms = torch.rand(shape, generator=generator, dtype=torch.float64)
        x_t = diffusion.q_sample(x0, torch.tensor([t]), uniforms=uniforms)[0].tolist()
        letters = "".join("▒" if k == diffusion.mask else LETTERS[k] for k in x_t)
        out.append((name, t, float(information[t]) / whole if whole else 0.0, letters))
    return out
