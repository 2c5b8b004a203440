"""Gradients past an argmin that has none: what is copied, and whether it leads the right way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.codebooks import distances, nearest_code


def straight_through(z: Tensor, codes: Tensor) -> Tensor:
    r"""The nearest code; the loss's gradient at the code is taken for the gradient at z.

    $$z_q = z + \operatorname{sg}[e_k - z], \qquad
    \frac{\partial L}{\partial z} := \frac{\partial L}{\partial z_q}$$

    The true derivative of the nearest code by z is 0 wherever there is one.

    Source: Bengio, Léonard & Courville 2013, on the straight-through estimator; van den Oord et
    al. 2017, section 3.2.

    Args:
        z: [N, d] what the encoder says.
        codes: [K, d].

    Returns:
        [N, d], equal to the codes.
    """
    return z + (codes[nearest_code(z, codes)] - z).detach()


class LossParts(NamedTuple):
    """The three terms of the loss, scalars.

    Attributes:
        reconstruction: moves decoder and encoder.
        codebook: moves the codes.
        commitment: moves the encoder; its weight is not in it.
    """

    reconstruction: Tensor
    codebook: Tensor
    commitment: Tensor


def loss_parts(x: Tensor, z: Tensor, codes: Tensor, decoded: Tensor) -> LossParts:
    r"""The three terms, each with what it may not move held still.

    $$L = R + C + \beta\,M, \qquad R = \lVert x - D(z_q)\rVert^2, \qquad
    C = \lVert \operatorname{sg}[z] - e\rVert^2, \qquad
    M = \lVert z - \operatorname{sg}[e]\rVert^2$$

    The last two are one number; what differs is who is moved by it.

    Source: van den Oord et al. 2017, eq. 3, with a squared error for -log p(x|z_q), which
    is printed there without the minus.

    Args:
        x: [N, *] data.
        z: [N, d] what the encoder says of them.
        codes: [K, d].
        decoded: [N, *] what the decoder makes of `straight_through(z, codes)`.

    Returns:
        Means over N.
    """
    near = codes[nearest_code(z, codes)]
    return LossParts(
        (x - decoded).square().flatten(1).sum(1).mean(),
        (z.detach() - near).square().sum(1).mean(),
        (z - near.detach()).square().sum(1).mean(),
    )


def first_other_cell(z: Tensor, way: Tensor, codes: Tensor) -> Tensor:
    r"""Whose cell a vector comes to first, if it goes straight on; its own where to none.

    $$s_j = \frac{\lVert e_j\rVert^2-\lVert e_k\rVert^2-2z\cdot(e_j-e_k)}{2\,d\cdot(e_j-e_k)},
    \qquad j = \arg\min_{j:\,d\cdot(e_j-e_k)>0} s_j$$

    On the way z + s d the codes e_k and e_j are equally near at s_j.

    Args:
        z: [N, d] where it begins.
        way: [N, d] where it goes; of any length.
        codes: [K, d].

    Returns:
        [N] int64.
    """
    own = nearest_code(z, codes)
    apart = codes - codes[own][:, None]
    speed = (way[:, None] * apart).sum(-1)
    left = distances(z, codes) - distances(z, codes).gather(1, own[:, None])
    when = torch.where(speed > 0, left / (2 * speed), torch.inf)
    soonest, cell = when.min(1)
    return torch.where(soonest < torch.inf, cell, own)


def leads_down(z: Tensor, way: Tensor, codes: Tensor, losses: Tensor) -> Tensor:
    """Whether the next cell on the way has a smaller loss: 1 yes, -1 larger, 0 there is none.

    Args:
        z: [N, d] where it begins.
        way: [N, d] where it goes.
        codes: [K, d].
        losses: [N, K] what each vector would cost with each code.

    Returns:
        [N] int64; 0 also where both are equal.
    """
    own, next_one = nearest_code(z, codes), first_other_cell(z, way, codes)
    change = losses.gather(1, next_one[:, None]) - losses.gather(1, own[:, None])
    return -change[:, 0].sign().long()


# --- a small VQ-VAE -------------------------------------------------------------------------------


class Miniature(NamedTuple):
    """A VQ-VAE whose encoder and decoder are a matrix and a shift each.

    Attributes:
        encoder: [d, D + 1] from data of D numbers to d; the last column is the shift.
        codes: [K, d].
        decoder: [D, d + 1].
    """

    encoder: Tensor
    codes: Tensor
    decoder: Tensor


class Moment(NamedTuple):
    """One step of its training.

    Attributes:
        weights: as they are at this step.
        z: [N, d] what the encoder says.
        shown: [K, D] what the decoder makes of the codes.
        parts: of the loss.
    """

    weights: Miniature
    z: Tensor
    shown: Tensor
    parts: LossParts


def affine(weight: Tensor, x: Tensor) -> Tensor:
    """A matrix times x [N, D], plus a shift; both are in the weight [d, D + 1]: [N, d]."""
    return x @ weight[:, :-1].T + weight[:, -1]


def train_miniature(
    x: Tensor, start: Miniature, *, steps: int, rate: float, commitment: float, copy: bool = True,
    pace: float = 1.0,
) -> Iterator[Moment]:  # fmt: skip
    """Train encoder, codes and decoder at once, by plain gradient steps over all data.

    Args:
        x: [N, D] data.
        start: the weights that it begins with.
        steps: how many.
        rate: of every weight's step.
        commitment: the third term's weight, beta.
        copy: whether the decoder's gradient is copied to the encoder; else it gets the true one of
            the reconstruction, which is 0.
        pace: the codes' rate is this times that of the others.

    Yields:
        `steps` + 1 moments.
    """
    weights = Miniature(*(w.clone().requires_grad_() for w in start))
    for _ in range(steps + 1):
        z = affine(weights.encoder, x)
        quantised = (
            straight_through(z, weights.codes)
            if copy
            else weights.codes[nearest_code(z, weights.codes)].detach()
        )
        decoded = affine(weights.decoder, quantised)
        parts = loss_parts(x, z, weights.codes, decoded)
        total = parts.reconstruction + parts.codebook + commitment * parts.commitment
        slopes = torch.autograd.grad(total, weights)
        with torch.no_grad():
            shown = affine(weights.decoder, weights.codes)
            now = Miniature(*(w.detach().clone() for w in weights))
            yield Moment(now, z.detach(), shown, LossParts(*(part.detach() for part in parts)))
            for weight, slope, times in zip(weights, slopes, (1, pace, 1), strict=True):
                weight -= rate * times * slope
