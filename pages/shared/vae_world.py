"""What the page on the VAE computes: one digit's bound, many draws, the way between two digits."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor
from torch.nn import functional

from diffusion_core.checkpoints import load_as
from diffusion_core.datasets import to_states, to_unit
from diffusion_core.gaussian import Gaussian
from diffusion_core.vae import VAE
from diffusion_core.vae_bound import (
    BoundTerms,
    Coarse,
    Plane,
    best_normal,
    bound_terms,
    coarse_plane,
    log_joint,
    log_weights,
    many_draw_bound,
    summed_plane,
)
from pages.shared import load

WIDTHS = tuple(2.0 ** (k / 2) for k in range(-6, 5))
SHIFTS = 4.0  # in widths of the encoder's q
CELLS = 61  # on a side of the window that is shown
DRAWS = 8192
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
QUICK = 10  # places of a sum per latent number where a slider waits for it
DEPTH = 7.0  # what lies this many nats below the posterior's peak is left out of the window


@st.cache_resource(show_spinner=False)
def network() -> tuple[VAE, Coarse, dict]:
    """The shipped VAE, its decoder all over the plane, and what its card says.

    Raises:
        CheckpointError: when it is missing or was tampered with.
    """
    # A few thousand numbers: a GPU would not help.
    module, card = load_as(VAE, "VAE", "vae", "cpu")
    load.settle()
    return module, coarse_plane(module), card.fields


def binary(label: int, row: int) -> Tensor:
    """A digit of the gallery made black and white by chance, always alike: [784], 0 and 1."""
    picture = torch.from_numpy(load.gallery_digit(label, row))
    generator = torch.Generator().manual_seed(10 * row + label)
    return to_states(to_unit(picture[None]), 2, generator).flatten().float()


def encoded(vae: VAE, x: Tensor) -> Gaussian:
    """The encoder's q(z|x): mean and variance, float64 [2]."""
    with torch.inference_mode():
        q = vae.posterior(x[None])
    return Gaussian(*(part[0].double().clone() for part in q))


class Digit(NamedTuple):
    """One digit and its exact posterior, whatever q is.

    Attributes:
        x: [28, 28] 0 and 1.
        log_evidence: log p(x) in nats.
        mean: [2] of the encoder's q.
        std: [2].
        best_mean: [2] of the best normal near it.
        best_std: [2].
        peak: [2] the highest place of the posterior.
        pixels: -log p(x|z) in nats at the encoder's mean, and at the peak.
        across: [CELLS] places of the window's columns.
        up: [CELLS] of its rows.
        posterior: [CELLS, CELLS] p(z|x) there, over its largest value.
        surprise: KL(p(z|x) || p(z)) in nats: what z tells of x.
        costs: [len(WIDTHS)] E_q[-log p(x|z)] for the encoder's q at each width.
        nats: [len(WIDTHS)] KL(q || p(z)).
    """

    x: np.ndarray
    log_evidence: float
    mean: np.ndarray
    std: np.ndarray
    best_mean: np.ndarray
    best_std: np.ndarray
    peak: np.ndarray
    pixels: tuple[float, float]
    across: np.ndarray
    up: np.ndarray
    posterior: np.ndarray
    surprise: float
    costs: np.ndarray
    nats: np.ndarray

    @property
    def elsewhere(self) -> bool:
        """Whether the posterior's peak lies outside of the encoder's q, by four widths of it."""
        return bool((np.abs(self.peak - self.mean) > 4 * self.std).any())


@st.cache_data(max_entries=64, show_spinner=False)
def digit(label: int, row: int) -> tuple:
    """The fields of `Digit`."""
    vae, coarse, _ = network()
    x = binary(label, row)
    q = encoded(vae, x)
    best = best_normal(vae, x, q)
    plane = summed_plane(vae, x, coarse)
    log_p = plane.log_evidence
    # The window holds the encoder's q, the best one, and where the posterior is.
    near = plane.places[plane.joint > plane.joint.max() - DEPTH]
    reach = torch.stack([q.mean + s * 4 * q.var.sqrt() for s in (-1, 1)])
    corners = torch.cat([near.double(), reach])
    low, high = corners.amin(0), corners.amax(0)
    middle, half = (low + high) / 2, float((high - low).max()) * 0.55
    peak = plane.places[plane.joint.argmax()]
    with torch.inference_mode():
        logits = vae.logits(torch.stack([q.mean, peak.double()]).float())
    pixels = functional.softplus(logits).sum(1) - logits @ x
    return tuple(
        Digit(
            x.reshape(28, 28).numpy(),
            log_p,
            q.mean.numpy(),
            q.var.sqrt().numpy(),
            best.mean.numpy(),
            best.var.sqrt().numpy(),
            peak.double().numpy(),
            tuple(pixels.tolist()),
            *shade(vae, x, plane, middle, half),
            surprise(plane),
            *widened(vae, x, q),
        )
    )


def widened(vae: VAE, x: Tensor, q: Gaussian, n: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Both terms of the negative bound for q at each of WIDTHS: [len(WIDTHS)] each."""
    terms = [bound_terms(vae, x, Gaussian(q.mean, q.var * w**2), n) for w in WIDTHS]
    return np.array([t.cost for t in terms]), np.array([t.kl for t in terms])


def surprise(plane: Plane) -> float:
    """KL(p(z|x) || p(z)), summed over the plane: nats."""
    share = (plane.joint + plane.log_area - plane.log_evidence).exp()
    log_prior = -0.5 * plane.places.double().square().sum(1) - math.log(2 * math.pi)
    return float(share @ (plane.joint - plane.log_evidence - log_prior))


def shade(
    vae: VAE, x: Tensor, plane: Plane, middle: Tensor, half: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, rows and p(z|x) over its largest value in the window around `middle` [2]."""
    axes = [torch.linspace(float(m) - half, float(m) + half, CELLS) for m in middle]
    cell = 2 * half / (CELLS - 1)
    if cell > 0.02:  # cells wider than a peak: what lies in each, so that none is missed
        edges = [np.append(a.numpy() - cell / 2, float(a[-1]) + cell / 2) for a in axes[::-1]]
        mass = (plane.joint + plane.log_area - plane.log_evidence).exp()
        found, _, _ = np.histogram2d(*plane.places.T.flip(0).numpy(), bins=edges, weights=mass)
    else:
        up, across = torch.meshgrid(axes[1], axes[0], indexing="ij")
        joint = log_joint(vae, x, torch.stack([across, up], dim=-1).reshape(-1, 2))
        found = (joint - joint.max()).exp().reshape(CELLS, CELLS).numpy()
    return axes[0].numpy(), axes[1].numpy(), found / found.max()


def q_of(told: Digit, *, best: bool, shift: tuple[float, float], width: float) -> Gaussian:
    """The q that is asked for: the best one, or the encoder's, shifted by its widths, widened."""
    if best:
        return Gaussian(*map(torch.from_numpy, (told.best_mean, told.best_std**2)))
    mean = told.mean + np.array(shift) * told.std
    return Gaussian(*map(torch.from_numpy, (mean, (width * told.std) ** 2)))


def share_near(label: int, row: int, q: Gaussian) -> float:
    """The share of the posterior within four standard deviations of q's mean, both ways."""
    vae, coarse, _ = network()
    plane = summed_plane(vae, binary(label, row), coarse)
    near = ((plane.places - q.mean).abs() < 4 * q.var.sqrt()).all(1)
    return float((plane.joint + plane.log_area - plane.log_evidence)[near].exp().sum())


@st.cache_data(max_entries=64, show_spinner=False)
def from_the_peak(label: int, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean [2] and variance [2] of the best normal, where the climb begins at p(z|x)'s peak."""
    vae, coarse, _ = network()
    x = binary(label, row)
    plane = summed_plane(vae, x, coarse)
    peak = plane.places[plane.joint.argmax()].double()
    best = best_normal(vae, x, Gaussian(peak, torch.full_like(peak, 0.03**2)))
    return best.mean.numpy(), best.var.numpy()


def at_the_peak(label: int, row: int) -> Gaussian:
    """The best normal, where the climb begins at the posterior's peak."""
    return Gaussian(*map(torch.from_numpy, from_the_peak(label, row)))


def fitted(label: int, row: int, fit: str) -> Gaussian:
    """The q that a choice begins with: "hand" the encoder's, "best", or "peak"."""
    if fit == "peak":
        return at_the_peak(label, row)
    told = Digit(*digit(label, row))
    return q_of(told, best=fit == "best", shift=(0.0, 0.0), width=1.0)


@st.cache_data(max_entries=64, show_spinner=False)
def widths_of(
    label: int, row: int, fit: str, shift: tuple[float, float] = (0.0, 0.0)
) -> tuple[np.ndarray, np.ndarray]:
    """What the q of a choice costs at each width, as `widened`; the encoder's may be shifted."""
    vae, x = network()[0], binary(label, row)
    if shift == (0.0, 0.0):
        return widened(vae, x, fitted(label, row, fit))
    told = Digit(*digit(label, row))
    return widened(vae, x, q_of(told, best=False, shift=shift, width=1.0), QUICK)


def one_hill(label: int, row: int) -> bool:
    """Whether both climbs end at one place, the encoder's and the one from the peak."""
    told, peak = Digit(*digit(label, row)), at_the_peak(label, row)
    return bool((np.abs(peak.mean.numpy() - told.best_mean) < told.best_std).all())


def terms_of(label: int, row: int, q: Gaussian) -> BoundTerms:
    """The bound's two terms for one digit and any q."""
    return bound_terms(network()[0], binary(label, row), q, 24)


def drawn(chances: np.ndarray) -> np.ndarray:
    """A draw of p(x|z): each pixel white by its own chance, always alike; [28, 28]."""
    generator = torch.Generator().manual_seed(0)
    return torch.bernoulli(torch.from_numpy(chances), generator=generator).numpy()


@torch.inference_mode()
def decoded(z: Tensor) -> np.ndarray:
    """Pictures of latents [N, 2], the chance of each pixel being white: float32 [N, 28, 28]."""
    pixels: np.ndarray = network()[0].logits(z.float()).sigmoid().reshape(-1, 28, 28).numpy()
    return pixels


@st.cache_data(max_entries=64, show_spinner=False)
def pictured(place: tuple[float, float]) -> np.ndarray:
    """What a place of the plane is decoded to, [28, 28]."""
    return decoded(torch.tensor([place]))[0]


class Many(NamedTuple):
    """What many draws of q or of the prior say about log p(x).

    Attributes:
        log_evidence: log p(x) in nats.
        log_w: [DRAWS] each draw's own.
        bounds: [len(COUNTS)] the average of what K draws together say.
        errors: [len(COUNTS)] its standard error.
        useful: how many of the draws count, sum(w)^2 / sum(w^2).
    """

    log_evidence: float
    log_w: np.ndarray
    bounds: np.ndarray
    errors: np.ndarray
    useful: float


@st.cache_data(max_entries=64, show_spinner=False)
def many(label: int, row: int, source: str, seed: int) -> tuple:
    """The fields of `Many`; `source` is "encoder", "wide" (twice as wide) or "prior"."""
    vae, _, _ = network()
    told, x = Digit(*digit(label, row)), binary(label, row)
    q = q_of(told, best=False, shift=(0.0, 0.0), width=2.0 if source == "wide" else 1.0)
    if source == "prior":
        q = Gaussian(torch.zeros_like(q.mean), torch.ones_like(q.var))
    log_w = log_weights(vae, x, q, DRAWS, torch.Generator().manual_seed(seed))
    groups = [many_draw_bound(log_w, K) for K in COUNTS]
    useful = float((2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp())
    return tuple(
        Many(
            told.log_evidence,
            log_w.numpy(),
            np.array([float(g.mean()) for g in groups]),
            np.array([float(g.std() / len(g) ** 0.5) for g in groups]),
            useful,
        )
    )


def said_of_weights(source: str) -> str:
    """What the band of the bound's curve is worth, for the weights of a source."""
    if source == "prior":
        return (
            "Weights are p(x|z) here, 1 at most; but the few large ones may not have been drawn, "
            "and are then missing from curve and band alike."
        )
    return (
        f"With K = {COUNTS[-1]} it is told by {DRAWS // COUNTS[-1]} averages and means next to "
        "nothing: see “Many draws of q”, below."
    )


def told_by(log_w: np.ndarray, K: int) -> np.ndarray:
    """What each K of the draws say together: [len(log_w) // K]."""
    return many_draw_bound(torch.from_numpy(log_w), K).numpy()


# --- the plane ------------------------------------------------------------------------------------

STEPS = 48  # between two digits
BETWEEN = 3.6  # the plane is shown this far


class Way(NamedTuple):
    """The straight way from one digit to another, in the latent and in pixels.

    Attributes:
        z: [STEPS + 1, 2].
        decoded: [STEPS + 1, 28, 28] the decoder's pictures along it, 0..1.
        faded: [STEPS + 1, 28, 28] the mean of both digits, more and more of the second.
        sure: [2, STEPS + 1] the classifier's largest probability for each.
        seen: [2, STEPS + 1] the digit that has it.
    """

    z: np.ndarray
    decoded: np.ndarray
    faded: np.ndarray
    sure: np.ndarray
    seen: np.ndarray


@st.cache_data(max_entries=64, show_spinner=False)
def way(first: int, second: int, row: int) -> tuple:
    """The fields of `Way`, between gallery digits of two classes."""
    vae, _, _ = network()
    ends = torch.stack([encoded(vae, binary(label, row)).mean for label in (first, second)])
    share = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)[:, None]
    z = (1 - share) * ends[0] + share * ends[1]
    pixels = decoded(z)
    both = [load.gallery_digit(label, row) / 255 for label in (first, second)]
    part = share.numpy()[..., None]
    faded = ((1 - part) * both[0] + part * both[1]).astype(np.float32)
    both_ways = torch.from_numpy(np.concatenate([pixels, faded]))[:, None] * 2 - 1
    with torch.inference_mode():
        sure, seen = load.classifier()(both_ways.float()).softmax(1).max(1)
    told = (part.reshape(2, -1).numpy() for part in (sure, seen))
    return tuple(Way(z.numpy(), pixels, faded, *told))
