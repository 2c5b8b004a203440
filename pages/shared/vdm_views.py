"""The variational model on its page: what is computed once, and three views of its bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from diffusion_core.bound import ElboTerms
from diffusion_core.checkpoints import Card, load_variational
from diffusion_core.ledger import Figure, figure
from diffusion_core.samplers import standard_normal
from diffusion_core.schedule_paths import (
    ErrorTable,
    continuous_cost,
    cosine_gamma,
    cost_over_time,
    draw_errors,
    finite_cost,
    mix,
    quietest_path,
    through,
    variance_on_path,
)
from diffusion_core.vdm_elbo import (
    Gamma,
    linear_gamma,
    vdm_elbo,
    vdm_prior,
    vdm_reconstruction,
)
from diffusion_core.vdm_network import VariationalUNet
from pages.shared import load
from pages.shared.ledger import unit

NETWORK = "digits-vdm"
PAPER_ENDS = (-13.3, 5.0)
"""Where VDM's published configurations let gamma begin; drawn where there is no network to ask."""
KNOTS, DRAWS = 25, 6
"""The table: gammas between the ends, and draws of noise at each."""
FULL = 100
"""Of the path's slider: -FULL is linear, 0 learned, FULL cosine."""
STEPS = (10, 100, 1000)
SWEEP = (4, 7, 10, 20, 32, 56, 100, 180, 320, 560, 1000)
BEYOND, WITHIN, END_KNOTS = 3.0, 6.0, 10
"""How far an end is moved, away from the other and towards it, and at how many places."""
DECODINGS = 4
FAINT = 12
"""Gray levels: so near to black or white, a generated pixel stands for it."""


@st.cache_resource(max_entries=1, show_spinner="Loading the network …")
def variational(sha256: str) -> tuple[VariationalUNet, Card]:
    """The shipped variational model with its card; the weights are named by `sha256`.

    Raises:
        CheckpointError: when it is missing or was tampered with.
    """
    found = load_variational(NETWORK)
    load.settle()
    return found


def predictor(
    sha256: str, tell: Callable[[int], object] = lambda count: None
) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """The network's `predict`, a batch cut into one piece for each core.

    Args:
        sha256: names the weights.
        tell: called before each batch with its size.
    """
    model, _ = variational(sha256)
    pool, cores = load.workers(), load.usable_cores()

    def predict(z: Tensor, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        tell(len(z))
        if next(model.parameters()).device.type != "cpu":
            return model.predict(z, log_snr, label)
        pieces = zip(z.chunk(cores), log_snr.chunk(cores), strict=True)
        return torch.cat(list(pool.map(lambda piece: model.predict(*piece), pieces)))

    return predict


def cleaned(pixels: np.ndarray) -> np.ndarray:
    """uint8 with what is nearly black or white made so, as the background of MNIST is."""
    darker = np.where(pixels < FAINT, 0, pixels)
    return np.where(pixels > 255 - FAINT, 255, darker).astype(np.uint8)


# --- paths ----------------------------------------------------------------------------------------


def ends_of(sha256: str) -> tuple[float, float]:
    """The network's own gamma(0) and gamma(1)."""
    low, high = variational(sha256)[0].gamma(torch.tensor([0.0, 1.0], dtype=torch.float64))
    return float(low), float(high)


def path(position: int, sha256: str) -> Gamma:
    """The path that the slider stands for, between the network's own ends."""
    ends = ends_of(sha256)
    learned: Gamma = variational(sha256)[0].gamma
    other = linear_gamma(*ends) if position < 0 else cosine_gamma(*ends)
    if position == 0:
        return learned
    return other if abs(position) == FULL else mix(learned, other, abs(position) / FULL)


def told_position(position: int) -> str:
    """The slider in words."""
    names = {-FULL: "linear", 0: "learned", FULL: "cosine"}
    side = "linear" if position < 0 else "cosine"
    share = abs(position) / FULL
    return names.get(position, f"{1 - share:.0%} learned, {share:.0%} {side}")


class OnPath(NamedTuple):
    """What one path looks like and what a draw on it costs.

    Attributes:
        t: [n] times, for gamma.
        gamma: [n].
        when: [m] times, for the cost.
        cost: [m] expected nats of a draw at that time.
        variance: of one draw whose time is uniform, nats squared.
    """

    t: np.ndarray
    gamma: np.ndarray
    when: np.ndarray
    cost: np.ndarray
    variance: Figure


@st.cache_data(max_entries=32, show_spinner="Asking the network …")
def error_table(pixels: bytes, seed: int, sha256: str) -> ErrorTable:
    """The network's errors on one picture, at gammas from one end to the other."""
    gammas = torch.linspace(*ends_of(sha256), KNOTS, dtype=torch.float64)
    return draw_errors(
        predictor(sha256), unit(pixels), gammas, DRAWS, torch.Generator().manual_seed(seed)
    )


def _on_path(table: ErrorTable, gamma: Gamma) -> OnPath:
    t = torch.linspace(0, 1, 201, dtype=torch.float64)
    when, cost = cost_over_time(table, gamma)
    arrays = (x.numpy() for x in (t, gamma(t).detach(), when, cost))
    return OnPath(*arrays, variance_on_path(table, gamma))


@st.cache_data(max_entries=512, show_spinner=False)
def on_path(pixels: bytes, seed: int, position: int, sha256: str) -> OnPath:
    """A path of the slider, with the costs of one picture on it."""
    return _on_path(error_table(pixels, seed, sha256), path(position, sha256))


@st.cache_data(max_entries=32, show_spinner=False)
def on_quietest(pixels: bytes, seed: int, sha256: str) -> OnPath:
    """The path on which this picture's draws scatter least."""
    table = error_table(pixels, seed, sha256)
    return _on_path(table, through(*quietest_path(table)))


# --- the bound ------------------------------------------------------------------------------------


class Terms(NamedTuple):
    """The bound's three terms of one picture, nats."""

    prior: float
    diffusion: Figure
    reconstruction: Figure

    @property
    def total(self) -> Figure:
        """Their sum; the prior is exact."""
        means = self.prior + self.diffusion.mean + self.reconstruction.mean
        return Figure(
            means, math.hypot(self.diffusion.standard_error, self.reconstruction.standard_error)
        )


@st.cache_data(max_entries=32, show_spinner=False)
def both_ends(pixels: bytes, seed: int, sha256: str) -> tuple[float, Figure]:
    """Prior and reconstruction of one picture, nats: no path and no network stand in them."""
    gamma, x0 = linear_gamma(*ends_of(sha256)), unit(pixels)
    return float(vdm_prior(gamma, x0)), decoding(gamma, x0, seed)


def decoding(gamma: Gamma, x0: Tensor, seed: int) -> Figure:
    """What naming the gray levels costs at gamma(0), over a few draws of noise."""
    many = x0.expand(DECODINGS, -1, -1, -1)
    noise = standard_normal(many, torch.Generator().manual_seed(seed))
    return figure(vdm_reconstruction(gamma, many, noise))


@st.cache_data(max_entries=512, show_spinner=False)
def terms(pixels: bytes, seed: int, position: int, T: int | None, sha256: str) -> Terms:
    """The bound with T steps, or in continuous time, from the table."""
    table = error_table(pixels, seed, sha256)
    prior, reconstruction = both_ends(pixels, seed, sha256)
    gamma = path(position, sha256)
    cost = continuous_cost(table) if T is None else finite_cost(table, gamma, T)
    return Terms(prior, cost, reconstruction)


@st.cache_data(max_entries=256, show_spinner=False)
def sweep(pixels: bytes, seed: int, position: int, sha256: str) -> np.ndarray:
    """The bound at each T of `SWEEP`, nats."""
    return np.array([terms(pixels, seed, position, T, sha256).total.mean for T in SWEEP])


def real_draws(
    pixels: bytes, seed: int, position: int, n: int, sha256: str, tell: Callable[[int], object]
) -> np.ndarray:
    """Draws of the bound in continuous time, nats [n], each with a time and noise of its own."""
    drawn = vdm_elbo(
        path(position, sha256), predictor(sha256, tell), unit(pixels), n=n, stratified=False,
        batch=64, generator=torch.Generator().manual_seed(1_000 * (position + FULL) + seed),
    )  # fmt: skip
    nats: np.ndarray = (n * drawn.denoising[0] + drawn.prior + drawn.reconstruction).numpy()
    return nats


def real_steps(
    pixels: bytes, seed: int, position: int, T: int, sha256: str, tell: Callable[[int], object]
) -> ElboTerms:
    """Every one of T steps, drawn once."""
    return vdm_elbo(
        path(position, sha256), predictor(sha256, tell), unit(pixels), T=T,
        batch=64, generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip


# --- other ends -----------------------------------------------------------------------------------


class MovedEnd(NamedTuple):
    """What the bound would be if one end of gamma were elsewhere, nats.

    Attributes:
        gamma: [m] where the end would be.
        own: [m] the term that the end decides: reconstruction or prior.
        diffusion: [m] the diffusion term, from there to a fixed gamma further inside.
        learned: where it is.
    """

    gamma: np.ndarray
    own: np.ndarray
    diffusion: np.ndarray
    learned: float

    @property
    def total(self) -> np.ndarray:
        """[m]: up to what does not depend on this end."""
        both: np.ndarray = self.own + self.diffusion
        return both


@st.cache_data(max_entries=32, show_spinner="Moving the ends …")
def moved_ends(pixels: bytes, seed: int, sha256: str) -> tuple[MovedEnd, MovedEnd]:
    """Both ends moved; the network is asked beyond its own ends, too, where it was not trained."""
    low, high = ends_of(sha256)
    x0, predict = unit(pixels), predictor(sha256)
    moved = []
    for learned, first, last in ((low, -BEYOND, WITHIN), (high, -WITHIN, BEYOND)):
        gammas = learned + torch.linspace(first, last, END_KNOTS, dtype=torch.float64)
        generator = torch.Generator().manual_seed(seed)
        errors = draw_errors(predict, x0, gammas, DRAWS, generator).squared.mean(1)
        half = torch.cat([gammas.new_zeros(1), torch.cumulative_trapezoid(errors, gammas) / 2])
        at_low = learned == low
        spent = half[-1] - half if at_low else half
        own = [
            decoding(linear_gamma(g, high), x0, seed).mean
            if at_low
            else float(vdm_prior(linear_gamma(low, g), x0))
            for g in gammas.tolist()
        ]
        moved.append(MovedEnd(gammas.numpy(), np.array(own), spent.numpy(), learned))
    return moved[0], moved[1]
