"""The shipped networks over categories: which are here, how their states look, what they can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.checkpoints import PRETRAINED, Card, CheckpointError, load_discrete, read_card
from diffusion_core.datasets import to_states, to_unit
from diffusion_core.denoisers import DiscreteDenoiser
from diffusion_core.discrete_sampling import NetworkDiscreteDenoiser, belief
from diffusion_core.evaluation import states_to_bytes
from diffusion_core.recipes import RECIPES, Recipe
from diffusion_core.unmasking import carry_over
from diffusion_core.vqvae import SIDE, VQVAE, load_vqvae
from pages.shared import load
from pages.shared.palette import COLORS

ROOT = PRETRAINED
TASKS = {"denoise_categories", "denoise_tokens"}
TILE = 28  # pixels on a side of a picture, whatever it is made of

KERNELS = {
    "absorbing": "absorbing",
    "uniform": "uniform",
    "gaussian": "discretised Gaussian",
    "mask_and_replace": "mask and replace (VQ-Diffusion)",
}


class About(NamedTuple):
    """What a recipe says of a network, before it is loaded.

    Attributes:
        name: folder under pretrained/.
        kernel: key in `discrete.KERNELS`.
        conditional: whether it was told the class in training.
        tokens: whether its elements are tokens of a VQ-VAE, and not pixels.
    """

    name: str
    kernel: str
    conditional: bool
    tokens: bool


@dataclass(frozen=True, eq=False)
class Net:
    """A loaded network and how to look at its states.

    Attributes:
        about: what its recipe says.
        denoiser: the network; it carries its process.
        card: its card.
        levels: states that data hold; [MASK] is one more where `own_mask`.
        own_mask: whether the absorbing state is none that data hold.
        colors: [K, 3] uint8, one per state.
        vqvae: makes pictures of tokens; None where the elements are pixels.
    """

    about: About
    denoiser: NetworkDiscreteDenoiser
    card: Card
    levels: int
    own_mask: bool
    colors: np.ndarray
    vqvae: VQVAE | None = None

    @property
    def K(self) -> int:
        """Number of states."""
        return self.denoiser.diffusion.K

    @property
    def T(self) -> int:
        """Steps of the process."""
        return self.denoiser.diffusion.T

    @property
    def mask(self) -> int | None:
        """The absorbing state."""
        return self.denoiser.diffusion.mask

    @property
    def shape(self) -> tuple[int, int]:
        """Elements of one picture."""
        return (SIDE, SIDE) if self.about.tokens else (TILE, TILE)

    @property
    def element(self) -> str:
        """What an element is called."""
        return "token" if self.about.tokens else "pixel"

    @property
    def belief(self) -> DiscreteDenoiser:
        """What it believes of x_0; under absorbing noise, what is shown is beyond doubt."""
        if self.about.kernel != "absorbing":
            return self.denoiser
        return carry_over(self.denoiser.diffusion, self.denoiser)

    @property
    def orders(self) -> bool:
        """Whether the order of unmasking can be chosen."""
        return self.own_mask and self.about.kernel == "absorbing"

    def cells(self, states: np.ndarray) -> np.ndarray:
        """States [*, H, W] as coloured cells: uint8 [*, 28, 28, 3]."""
        return self.enlarge(self.colors[states])

    def pictures(self, states: np.ndarray) -> np.ndarray:
        """States [B, H, W] without [MASK] as what they depict: uint8 [B, 28, 28, 3]."""
        if self.vqvae is None:
            return self.cells(states)
        gray = self.vqvae.decode(torch.from_numpy(states).long()).numpy()
        return np.repeat(gray[..., None], 3, -1)

    def bytes(self, states: torch.Tensor) -> torch.Tensor:
        """Finished states [B, H, W] int64 as gray pictures, uint8 [B, 28, 28]."""
        if self.vqvae is not None:
            return self.vqvae.decode(states)
        return states_to_bytes(states, self.levels)

    def states(self, pixels: np.ndarray, seed: int) -> torch.Tensor:
        """A gray picture, uint8 [28, 28], as the network's data: int64 [1, H, W]."""
        picture = torch.from_numpy(pixels.copy())[None]
        if self.vqvae is not None:
            return self.vqvae.encode(picture)
        return to_states(to_unit(picture), self.levels, torch.Generator().manual_seed(seed))

    def enlarge(self, values: np.ndarray) -> np.ndarray:
        """[*, H, W, 3] with every element repeated until the picture is 28 pixels high."""
        times = TILE // self.shape[0]
        return values.repeat(times, -3).repeat(times, -2)


def about(name: str) -> About:
    """What the recipe of this name says."""
    recipe = RECIPES[name]
    tokens = recipe.task == "denoise_tokens"
    return About(name, recipe.kernel, recipe.label_dropout < 1, tokens)


def available() -> list[str]:
    """The networks over categories whose card is here, in the order of the recipes."""
    return [name for name, recipe in RECIPES.items() if recipe.task in TASKS and _is_here(name)]


def missing() -> list[str]:
    """Those that have a recipe but no card."""
    return [name for name, recipe in RECIPES.items() if recipe.task in TASKS and not _is_here(name)]


def siblings(name: str, names: Sequence[str]) -> list[str]:
    """Those of `names` whose recipes differ from this one's in the kernel alone."""

    def but_kernel(other: str) -> Recipe:
        return replace(RECIPES[other], name="", kernel="", kernel_args={})

    return [other for other in names if but_kernel(other) == but_kernel(name)]


def _is_here(name: str) -> bool:
    try:
        read_card(name, ROOT)
    except CheckpointError:
        return False
    return True


@st.cache_resource(max_entries=6, show_spinner="Loading the network …")
def network(name: str, sha256: str) -> Net:
    """A shipped network; `sha256` of its weights is part of the cache's key.

    Raises:
        CheckpointError: when it (or the VQ-VAE that it needs) is missing or was tampered with.
    """
    denoiser, card = load_discrete(name, root=ROOT)
    told = about(name)
    vqvae = load_vqvae()[0] if told.tokens else None
    if next(denoiser.module.parameters()).device.type == "cpu":
        denoiser = replace(denoiser, pool=load.workers(), parts=load.usable_cores())
    net = look(told, denoiser, card, vqvae)
    load.settle()
    return net


def look(told: About, denoiser: NetworkDiscreteDenoiser, card: Card, vqvae: VQVAE | None) -> Net:
    """A network with what one call of it tells: whether it ever believes in a clean [MASK]."""
    diffusion = denoiser.diffusion
    shape = (SIDE, SIDE) if told.tokens else (TILE, TILE)
    own = False
    if diffusion.mask is not None:
        masked = torch.full((1, *shape), diffusion.mask)
        said = belief(denoiser(masked, torch.tensor([diffusion.T])))
        own = bool((said[..., diffusion.mask] == 0).all())
    levels = diffusion.K - own
    colors = token_colors(levels) if told.tokens else _gray_colors(levels)
    if own:
        colors = np.concatenate([colors, [MASK_COLOR]]).astype(np.uint8)
    return Net(told, denoiser, card, levels, own, colors, vqvae)


def sha_of(name: str) -> str:
    """The weights' sha256 as the card has it."""
    return str(read_card(name, ROOT).fields.get("sha256", ""))


# --- colours --------------------------------------------------------------------------------------


def rgb(color: str, toward: str = "#000000", share: float = 0.0) -> np.ndarray:
    """`#RRGGBB` as [3] uint8, mixed with `share` of another colour."""
    one, other = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (color, toward))
    return np.round(one * (1 - share) + other * share).astype(np.uint8)


MASK_COLOR = rgb(COLORS["eps"], share=0.25)
"""[MASK] is noise, so it has the colour of noise; no gray level and no token looks like it."""

_STOPS = (
    rgb(COLORS["p"], "#000000", 0.72),
    rgb(COLORS["p"]),
    rgb(COLORS["p"], "#ffffff", 0.92),
)
CONFIDENCE = np.stack(
    [np.interp(np.linspace(0, 2, 256), [0, 1, 2], [stop[c] for stop in _STOPS]) for c in range(3)],
    -1,
).astype(np.uint8)
"""[256, 3]: dark for a guess, light for certainty, in the model's colour."""


def _gray_colors(levels: int) -> np.ndarray:
    gray = states_to_bytes(torch.arange(levels), levels).numpy()
    return np.repeat(gray[:, None], 3, 1)


def token_colors(levels: int) -> np.ndarray:
    """A colour per token, spread by the golden ratio; they only tell tokens apart."""
    k = np.arange(levels)
    hue = k * 0.61803398875 % 1 * 2 * np.pi
    light = 0.35 + 0.45 * (k * 0.7548776662 % 1)
    wheel = np.stack([np.cos(hue - turn) for turn in (0, 2 * np.pi / 3, 4 * np.pi / 3)], -1)
    return (255 * (light[:, None] + 0.16 * wheel).clip(0, 1)).astype(np.uint8)
