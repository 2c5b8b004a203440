"""What the page on the VAE computes of training: gradients by draws, and going without the KL."""

from __future__ import annotations

from threading import Thread
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.aggregate import Aggregate
from diffusion_core.checkpoints import load_as
from diffusion_core.vae import VAE
from diffusion_core.vae_bound import bound_terms, exact_gradient, gradient_draws
from pages.shared import load, vae_world
from pages.shared.ahead import ahead

GRADIENTS = 2048  # draws
SPREADS = (1, 2, 4, 8, 16, 32)
PRIOR_DRAWS = 128
SHEET = (5, 8)  # rows and columns of the first draws, which are shown
SURE = 0.9


class Gradients(NamedTuple):
    """One number of the gradient of E_q[log p(x|z)], by z's first number, draw by draw.

    Attributes:
        exact: what it is.
        through: [GRADIENTS] by draws that move with q.
        by_value: [GRADIENTS] by draws that stay, times the gradient of log q.
    """

    exact: float
    through: np.ndarray
    by_value: np.ndarray

    @property
    def spread(self) -> tuple[float, float]:
        """Standard deviation of one draw: through z, by value."""
        return float(self.through.std()), float(self.by_value.std())


@st.cache_data(max_entries=64, show_spinner=False)
def gradients(label: int, row: int, by: str, *, less: bool) -> tuple:
    """The fields of `Gradients`, for the encoder's q.

    Args:
        label: of the digit.
        row: its variant, from 0.
        by: "mean", or "width" for log sigma.
        less: whether the value is counted from its average.
    """
    vae, _, _ = vae_world.network()
    x = vae_world.binary(label, row)
    q = vae_world.encoded(vae, x)
    level = -bound_terms(vae, x, q, 24).cost if less else 0.0
    drawn = gradient_draws(vae, x, q, GRADIENTS, torch.Generator().manual_seed(0), level)
    k = ("mean", "width").index(by)
    exact = float(exact_gradient(vae, x, q)[k, 0])
    return tuple(Gradients(exact, *(d[:, k, 0].numpy() for d in drawn)))


# --- without the KL -------------------------------------------------------------------------------

NETWORKS = {"vae": "with", "vae-no-kl": "without"}
SOURCES = {"prior": "N(0, s²I)", "one": "q(z|x) of one digit", "any": "q(z|x) of any digit"}


@st.cache_resource(show_spinner=False)
def without_kl() -> tuple[VAE, dict]:
    """The network that was trained on the reconstruction alone, and what its card says.

    Raises:
        CheckpointError: when it is missing or was tampered with.
    """
    module, card = load_as(VAE, "VAE", "vae-no-kl", "cpu")
    load.settle()
    return module, card.fields


def net(name: str) -> VAE:
    """One of `NETWORKS`."""
    return vae_world.network()[0] if name == "vae" else without_kl()[0]


@st.cache_data(max_entries=2, show_spinner=False)
def encodings(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Means [200, 2] and standard deviations [200, 2] of q(z|x) for the gallery's digits."""
    n = max(len(load.gallery().images), 1)  # where the sheet is missing, one black digit
    x = torch.stack([vae_world.binary(k % 10, k // 10) for k in range(n)])
    vae = net(name)  # loaded outside: what is loaded below would have no gradients, ever
    with torch.inference_mode():
        q = vae.posterior(x)
    return q.mean.double().numpy(), q.var.sqrt().double().numpy()


def codes() -> tuple[np.ndarray, np.ndarray]:
    """Where the VAE's encoder puts the gallery's digits: [N, 2], and their classes [N]."""
    labels = load.gallery().labels.numpy()
    return encodings("vae")[0][: len(labels)], labels  # no points where the sheet is missing


class Drawn(NamedTuple):
    """What a decoder makes of draws of one of `SOURCES`.

    Attributes:
        pictures: [rows * columns of SHEET, 28, 28] the first ones, 0..1.
        counts: [10] how many of all draws the classifier takes for which digit.
        sure: the share of which it is sure, with more than SURE.
    """

    pictures: np.ndarray
    counts: np.ndarray
    sure: float


def draws(
    name: str, spread: int, seed: int, source: str = "prior", label: int = 0, row: int = 0
) -> torch.Tensor:
    """Places z to decode, [PRIOR_DRAWS, 2]; of the prior both networks get the same.

    Args:
        name: one of `NETWORKS`.
        spread: s, for the prior.
        seed: of the draws.
        source: one of `SOURCES`; "any" is q(z), the mean of q(z|x) over the gallery.
        label: of the digit, for "one".
        row: its variant, from 0.
    """
    generator = torch.Generator().manual_seed(seed)
    if source == "prior":
        return spread * torch.randn(PRIOR_DRAWS, 2, generator=generator)
    means, widths = (torch.from_numpy(part) for part in encodings(name))
    here = 10 * row + label
    chosen = slice(here, here + 1) if here < len(means) else slice(1)
    among = slice(None) if source == "any" else chosen
    return Aggregate(means[among], widths[among] ** 2).sample(PRIOR_DRAWS, generator).float()


@st.cache_data(max_entries=32, show_spinner=False)
def drawn_from(
    name: str, spread: int, seed: int, source: str = "prior", label: int = 0, row: int = 0
) -> tuple:
    """The fields of `Drawn`, of `draws` with the same arguments."""
    z = draws(name, spread, seed, source, label, row)
    with torch.inference_mode():
        pixels = net(name).logits(z).sigmoid().view(-1, 1, 28, 28)
        # By a few: for all at once the network takes fresh memory, and twice the time.
        said = torch.cat([load.classifier()(2 * part - 1) for part in pixels.split(16)])
        sure, seen = said.softmax(1).max(1)
    shown = pixels[: SHEET[0] * SHEET[1], 0].numpy()
    counts = seen.bincount(minlength=10).numpy()
    return tuple(Drawn(shown, counts, float((sure > SURE).double().mean())))


@st.cache_resource(show_spinner=False)
def all_spreads() -> Thread:
    """Begin with `drawn_from` N(0, s²I) at every s, by the draws that the view opens with."""
    return ahead(
        drawn_from,
        [(name, s, 0, "prior", 0, 0) for s in SPREADS for name in NETWORKS],
    )


def near_zero(means: np.ndarray) -> float:
    """The share of places [N, 2] that are within 2 of 0; of N(0, I) it is 1 - e^-2."""
    return float((np.square(means).sum(1) < 4).mean())


def about(value: float) -> str:
    """A number with two figures: what 2,048 draws can tell."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.{0 if rounded >= 10 else 1}f}"
