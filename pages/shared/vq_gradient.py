"""What the page on the VQ-VAE computes of gradients: a staircase, a small VQ-VAE in training."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from diffusion_core.codebooks import nearest_code
from diffusion_core.straight_through import (
    Miniature,
    Moment,
    leads_down,
    straight_through,
    train_miniature,
)
from pages.shared.plane_cells import level_lines

# --- one number -----------------------------------------------------------------------------------

RANGE = 3.0  # z from -RANGE to RANGE
TARGET = 1.0
COUNTS = tuple(range(2, 25))


def even_codes(K: int) -> Tensor:
    """K codes, evenly over the range: [K, 1] float64, each in the middle of its cell."""
    return (((torch.arange(K, dtype=torch.float64) + 0.5) / K - 0.5) * 2 * RANGE)[:, None]


def decode_number(z: Tensor) -> Tensor:
    """A decoder of one number, bent: z + sin 2z."""
    return z + (2 * z).sin()


def cost(z: Tensor) -> Tensor:
    """Squared error of what z is decoded to."""
    return (decode_number(z) - TARGET).square()


def slope(at: float) -> float:
    """The derivative of `cost`, what z would be given without a codebook."""
    z = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(cost(z), z)
    return float(found)


class Stairs(NamedTuple):
    """The loss as a function of what the encoder says.

    Attributes:
        codes: [K].
        losses: [K] with each code.
        copied: [K] the gradient that a z in this cell is given.
        verdict: [K] where a step against it leads: 1 to a smaller loss, -1 to a larger one, 0 to
            no other cell.
    """

    codes: np.ndarray
    losses: np.ndarray
    copied: np.ndarray
    verdict: np.ndarray


@st.cache_data(max_entries=32, show_spinner=False)
def stairs(K: int) -> tuple:
    """The fields of `Stairs`."""
    codes = even_codes(K)
    z = codes.clone().requires_grad_()
    (copied,) = torch.autograd.grad(cost(straight_through(z, codes)).sum(), z)
    losses = cost(codes)[:, 0]
    verdict = leads_down(codes, -copied, codes, losses.expand(K, K))
    return tuple(Stairs(codes[:, 0].numpy(), losses.numpy(), copied[:, 0].numpy(), verdict.numpy()))


@st.cache_data(max_entries=1, show_spinner=False)
def right_shares() -> np.ndarray:
    """For each of COUNTS, how many of all z are led to a smaller loss: cells are equally wide."""
    return np.array([float((Stairs(*stairs(K)).verdict == 1).mean()) for K in COUNTS])


# --- in training ----------------------------------------------------------------------------------

BETAS = (0.0, 0.25, 1.0)
PACES = {"same": 1.0, "quarter": 0.25}  # the codes' rate, of that of the others
COPIES = {"copied": "copied", "true": "the true one"}
SAMPLES, CODES = 200, 4
STEPS, EVERY, RATE = 160, 2, 0.05
ANGLE = 75  # degrees: the encoder looks nearly along what does not matter
DATA_EXTENT = 3.2
Z_EXTENT = 20.0  # of the plane in which z is drawn, the same for all settings
STRETCH = 0.34  # the first number of x, drawn upwards, times the extent


def stripes() -> Tensor:
    """Data in the plane: four stripes side by side, [SAMPLES, 2]."""
    generator = torch.Generator().manual_seed(0)
    at = torch.tensor([-2.1, -0.7, 0.7, 2.1], dtype=torch.float64)[torch.arange(SAMPLES) % 4]
    noise = torch.randn(2, SAMPLES, generator=generator, dtype=torch.float64)
    return torch.stack([at + 0.18 * noise[0], 0.55 * noise[1]], 1)


def beginning() -> Miniature:
    """An encoder to one number that looks askew, a decoder that looks back the same way."""
    along = [math.cos(math.radians(ANGLE)), math.sin(math.radians(ANGLE))]
    return Miniature(
        torch.tensor([[*along, 0.0]], dtype=torch.float64),
        torch.linspace(-1, 1, CODES, dtype=torch.float64)[:, None],
        torch.tensor([[along[0], 0.0], [along[1], 0.0]], dtype=torch.float64),
    )


class Training(NamedTuple):
    """A small VQ-VAE in training, every few steps.

    Attributes:
        x: [SAMPLES, 2] data.
        z: [n, SAMPLES] what the encoder says.
        codes: [n, CODES].
        shown: [n, CODES, 2] what the codes are decoded to.
        ways: [n, SAMPLES, 4] where each point is, and how far to what is made of it.
        stripes: [n, CODES - 1, 4] borders of the data that share a code, as `level_lines`.
        parts: [n, 3] reconstruction, codebook, commitment.
    """

    x: np.ndarray
    z: np.ndarray
    codes: np.ndarray
    shown: np.ndarray
    ways: np.ndarray
    stripes: np.ndarray
    parts: np.ndarray


@st.cache_data(max_entries=12, show_spinner=False)
def training(beta: float, copy: bool, pace: str = "same") -> tuple:
    """The fields of `Training`."""
    x = stripes()
    walk = train_miniature(
        x, beginning(), steps=STEPS, rate=RATE, commitment=beta, copy=copy, pace=PACES[pace]
    )
    out = list(walk)[::EVERY]
    codes = torch.stack([m.weights.codes[:, 0] for m in out]).numpy()
    return tuple(
        Training(
            x.numpy(),
            torch.stack([m.z[:, 0] for m in out]).numpy(),
            codes,
            torch.stack([m.shown for m in out]).numpy(),
            np.stack([ways_of(x, m) for m in out]),
            stripe_borders(torch.stack([m.weights.encoder[0] for m in out]).numpy(), codes),
            np.array([[float(part) for part in m.parts] for m in out]),
        )
    )


def stripe_borders(encoder: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Where data [n, 2] change their code: [n, CODES - 1, 4].

    Args:
        encoder: [n, 3], a number for each coordinate and the shift.
        codes: [n, CODES].
    """
    codes = np.sort(codes, 1)
    halfway = (codes[:, 1:] + codes[:, :-1]) / 2
    return level_lines(encoder[:, :2], halfway - encoder[:, 2:], DATA_EXTENT)


def ways_of(x: Tensor, moment: Moment) -> np.ndarray:
    """From each point to what is made of it: [SAMPLES, 4] float32."""
    made = moment.shown[nearest_code(moment.z, moment.weights.codes)]
    way: np.ndarray = torch.cat([x, made - x], 1).float().numpy()
    return way
