"""What the page on the VQ-VAE computes: tokens, digits drawn as tokens, codes that learn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion_core.checkpoints import Card
from diffusion_core.codebooks import (
    DEAD,
    learn_codes,
    line_error,
    nearest_code,
    perplexity,
    quantisation_error,
)
from diffusion_core.datasets import to_unit
from diffusion_core.discrete_sampling import sample_discrete
from diffusion_core.schedules import evenly_spaced
from diffusion_core.vqvae import PATCH, SIDE, VQVAE, load_vqvae
from pages.shared import discrete_networks, load
from pages.shared.discrete_networks import Net
from pages.shared.latent_world import in_rows
from pages.shared.plane_cells import meeting_lines

PLACES = SIDE * SIDE
PUTS = {
    "own": "no token",
    "far": "one by the farthest code",
    "near": "one by the next nearest",
    "random": "one by any code",
    "mask": "one by [MASK]",
    "hand": "one by a number",
    "all": "all 49, from 49 digits",
}


@st.cache_resource(max_entries=1, show_spinner="Loading the network …")
def network() -> tuple[VQVAE, Card]:
    """The VQ-VAE and its card.

    Raises:
        CheckpointError: when it is missing or was tampered with.
    """
    found = load_vqvae(device="cpu")
    load.settle()
    return found


# --- a digit as tokens ----------------------------------------------------------------------------


class Swap(NamedTuple):
    """A picture's tokens, one of them replaced.

    Attributes:
        tokens: [7, 7] int64, as they are now.
        old: the code that was there, the nearest to the encoder's vector.
        new: the one that is there now; the number of codes for [MASK].
        vector: [features] what the encoder says at this place, of length 1.
        code: [features] the old one's.
        second: the next nearest to the vector.
        alike: cosine of the vector and the old code, of the vector and the second, and of old and
            new; NaN where that is [MASK].
        plain: uint8 [28, 28], what the picture's own tokens are decoded to.
        decoded: uint8 [28, 28], what these are.
        error: root mean square of plain minus the picture, black to white being 1.
        after: the same of decoded.
        change: root mean square of decoded minus plain.
        inside: share of the squared change in the token's own patch; NaN where nothing changes.
        own: pixels of the token's own patch that change by more than one level of 255.
        others: pixels elsewhere that do.
        box: first and last row and column that change, (top, bottom, left, right); None for none.
    """

    tokens: np.ndarray
    old: int
    new: int
    vector: np.ndarray
    code: np.ndarray
    second: int
    alike: tuple[float, float, float]
    plain: np.ndarray
    decoded: np.ndarray
    error: float
    after: float
    change: float
    inside: float
    own: int
    others: int
    box: tuple[int, int, int, int] | None


def put_in(own: int, put: str, number: int, seed: int) -> int:
    """The code that replaces `own`, by a key of PUTS."""
    codes = network()[0].codebook.codes
    alike = codes @ codes[own]
    if put == "far":
        return int(alike.argmin())
    if put == "near":
        alike[own] = -torch.inf
        return int(alike.argmax())
    if put == "random":
        other = torch.randint(len(codes) - 1, (1,), generator=torch.Generator().manual_seed(seed))
        return int((own + 1 + other) % len(codes))
    return {"mask": len(codes), "hand": number, "own": own}[put]


def swap(picture: np.ndarray, row: int, column: int, put: str, number: int, seed: int) -> Swap:
    """Encode a picture uint8 [28, 28], replace the token at a place, decode both."""
    module, _ = network()
    pixels = torch.from_numpy(picture.copy())[None]
    with torch.inference_mode():
        vectors = module.vectors(to_unit(pixels))[0]
    codes, vector = module.codebook.codes, vectors[row, column]
    tokens = module.codebook.nearest(vectors.flatten(0, 1)).reshape(SIDE, SIDE)
    nearest = (codes @ vector).topk(2)
    old, second = nearest.indices.tolist()
    new = put_in(old, put, number, seed)
    moved_by = float(codes[old] @ codes[new]) if new < len(codes) else math.nan
    changed = tokens.clone()
    changed[row, column] = new
    plain, decoded = module.decode(torch.stack([tokens, changed]))
    moved = changed_pixels(plain, decoded)
    patch = (slice(row * PATCH, (row + 1) * PATCH), slice(column * PATCH, (column + 1) * PATCH))
    here = moved[patch].sum()
    x, before, now = (v.double() / 255 for v in (torch.from_numpy(picture), plain, decoded))
    change = (now - before).square()
    return Swap(
        changed.numpy(), old, new, vector.numpy(), codes[old].numpy(), second,
        (*nearest.values.tolist(), moved_by), plain.numpy(), decoded.numpy(),
        *(float(off.square().mean()) ** 0.5 for off in (before - x, now - x, now - before)),
        float(change[patch].sum() / change.sum()),
        int(here), int(moved.sum() - here), box_of(moved),
    )  # fmt: skip


class Mixture(NamedTuple):
    """A digit whose tokens become those of other digits, one after the other.

    Attributes:
        tokens: [PLACES + 1, 7, 7].
        decoded: uint8 [PLACES + 1, 28, 28].
        whose: [PLACES] which of the gallery's digits each is from, no one twice.
    """

    tokens: np.ndarray
    decoded: np.ndarray
    whose: np.ndarray


@st.cache_data(max_entries=8, show_spinner=False)
def mixed(picture: np.ndarray, seed: int) -> tuple:
    """The fields of `Mixture`, for a picture uint8 [28, 28]; in the order in which one reads."""
    module, _ = network()
    own = module.encode(torch.from_numpy(picture.copy())[None]).flatten(1)
    known = gallery_tokens().flatten(1)
    others = (known != own).any(1).nonzero()[:, 0]
    draw = torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))[:PLACES]
    whose = others[draw]
    tokens = own.repeat(len(whose) + 1, 1)
    for place, other in enumerate(whose.tolist()):
        tokens[place + 1 :, place] = known[other, place]
    tokens = tokens.reshape(-1, SIDE, SIDE)
    return tuple(Mixture(tokens.numpy(), module.decode(tokens).numpy(), whose.numpy()))


def far_changes(picture: np.ndarray) -> np.ndarray:
    """How many pixels change with the farthest code, for each place of a picture: [7, 7]."""
    module, _ = network()
    codes = module.codebook.codes
    tokens = module.encode(torch.from_numpy(picture.copy())[None])
    variants = tokens.flatten(1).repeat(PLACES, 1)
    variants.diagonal().copy_((codes @ codes.T).argmin(1)[tokens.flatten()])
    decoded = module.decode(variants.reshape(-1, SIDE, SIDE))
    return changed_pixels(module.decode(tokens), decoded).sum((1, 2)).reshape(SIDE, SIDE).numpy()


def changed_pixels(before: Tensor, after: Tensor) -> Tensor:
    """Where two pictures differ by more than one level of 255: bool."""
    return (after.int() - before.int()).abs() > 1


def box_of(moved: Tensor) -> tuple[int, int, int, int] | None:
    """First and last row and column of what is True in [H, W]; None for nothing."""
    rows, columns = (moved.any(d).nonzero()[:, 0] for d in (1, 0))
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


@cache
def gallery_tokens() -> Tensor:
    """Tokens of the gallery's digits: [N, 7, 7]."""
    return network()[0].encode(load.gallery().images)


@cache
def gallery_perplexity() -> float:
    """Of the codes in the gallery's tokens; NaN where there is no gallery."""
    tokens = gallery_tokens()
    return perplexity(tokens, network()[0].codes) if len(tokens) else math.nan


AROUND = 2  # pixels about a token's own that a code's little picture has on each side
THUMB = PATCH + 2 * AROUND


@cache
def code_pictures() -> np.ndarray:
    """What is decoded where a code stands, averaged over the gallery: uint8 [K, THUMB, THUMB].

    Black beyond the picture's border, and for a code that the gallery does not have.
    """
    module, tokens = network()[0], gallery_tokens().flatten()
    total = torch.zeros(module.codes, THUMB, THUMB)
    if len(tokens):
        decoded = F.pad(module.decode(gallery_tokens()).float(), (AROUND,) * 4)
        tiles = decoded.unfold(1, THUMB, PATCH).unfold(2, THUMB, PATCH)  # [N, 7, 7, THUMB, THUMB]
        total.index_add_(0, tokens, tiles.reshape(-1, THUMB, THUMB))
    count = tokens.bincount(minlength=module.codes).clamp(min=1)
    found: np.ndarray = (total / count[:, None, None]).round().byte().numpy()
    return found


# --- who draws them -------------------------------------------------------------------------------

DRAWN, STEPS = 12, 25  # digits, and steps of VQ-Diffusion
DIFFUSION = "vq-mask-and-replace"
SURE = 0.99  # of the judge
BETWEEN = 150  # the gray of what parts pictures
PAIR = 1000  # more than there are codes


def even_draws(count: int, seed: int) -> Tensor:
    """Each token any code, all equally likely: [count, 7, 7]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(network()[0].codes, (count, SIDE, SIDE), generator=generator)


def placewise_draws(count: int, seed: int) -> Tensor:
    """Each token that of some gallery digit at this place, whatever the other places are."""
    known = gallery_tokens()
    generator = torch.Generator().manual_seed(seed)
    if not len(known):
        return even_draws(count, seed)
    whose = torch.randint(len(known), (count, SIDE, SIDE), generator=generator)
    return known.gather(0, whose)


def sure_share(tokens: Tensor) -> float:
    """Of how many of these pictures the classifier is sure that they are some digit."""
    return sure_of(network()[0].decode(tokens))


@torch.inference_mode()
def sure_of(pictures: Tensor) -> float:
    """The share of pictures uint8 [N, 28, 28] that the classifier is SURE of."""
    x = pictures[:, None].float() / 127.5 - 1
    return float((load.classifier()(x).softmax(1).amax(1) >= SURE).double().mean())


def known_pairs(tokens: Tensor, *, own: bool = False) -> Tensor:
    """Of two tokens side by side, or one above the other: how many pairs a digit has just there.

    Args:
        tokens: [N, 7, 7].
        own: whether they are the gallery's, in its order: one is not compared with itself.

    Returns:
        [N] the share of each one's 84 pairs that some digit of the gallery has at the same place.
    """
    asked, known = pairs_of(tokens), pairs_of(gallery_tokens())
    found = torch.stack([(pairs == known).sum(0) for pairs in asked])
    return (found > int(own)).double().mean(1)


def pairs_of(tokens: Tensor) -> Tensor:
    """Tokens [N, 7, 7] as pairs of neighbours, a number for each: [N, 84]."""
    beside = tokens[:, :, :-1] * PAIR + tokens[:, :, 1:]
    below = tokens[:, :-1] * PAIR + tokens[:, 1:]
    return torch.cat([beside.flatten(1), below.flatten(1)], 1)


class Shot(NamedTuple):
    """One stop of VQ-Diffusion.

    Attributes:
        t: of the noise.
        decoded: uint8 [H, W] sheet of what its tokens are decoded to, gray where they are [MASK].
        masked: share of the tokens that are [MASK].
    """

    t: int
    decoded: np.ndarray
    masked: float


def diffusion() -> Net:
    """VQ-Diffusion's network and the colours of its tokens.

    Raises:
        CheckpointError: when it or the VQ-VAE is missing.
    """
    return discrete_networks.network(DIFFUSION, discrete_networks.sha_of(DIFFUSION))


def drawn(net: Net, seed: int) -> Iterator[Shot]:
    """Twelve digits drawn token by token, the classes 0, 1, 2, … asked for."""
    module, _ = network()
    process = net.denoiser.diffusion
    generator = torch.Generator().manual_seed(seed)
    for step in sample_discrete(
        process, net.denoiser, process.prior_sample((DRAWN, SIDE, SIDE), generator),
        evenly_spaced(process.T, STEPS), label=torch.arange(DRAWN) % 10, generator=generator,
    ):  # fmt: skip
        yield Shot(
            step.t,
            in_rows(module.decode(step.x_t).numpy(), BETWEEN),
            float((step.x_t == module.codes).double().mean()),
        )


@st.cache_data(max_entries=16, show_spinner=False)
def plain_sheets(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sheets of decoded draws, [H, W] each: even chances, and place by place."""
    decode = network()[0].decode
    drawn = (decode(f(DRAWN, seed)).numpy() for f in (even_draws, placewise_draws))
    return tuple(in_rows(pictures, BETWEEN) for pictures in drawn)


# --- a codebook in the plane ----------------------------------------------------------------------

KINDS = {"clusters": "Five clusters", "line": "A line"}
STARTS = {"far": "Far", "near": "At data"}
LEARN = {
    "average": "Averages", "gradient": "Gradient", "smoothed": "Averages, guarded",
    "restart": "Restarts",
}  # fmt: skip
IDLE = {
    "average": "has no reason to move", "gradient": "has no reason to move",
    "smoothed": "is drawn to 0, once its running count is as small as ε",
    "restart": f"is put onto a vector, once its running count is below {DEAD:.0%} of an even share",
}  # fmt: skip
"""What each way to learn does with a code that replaces nothing."""
SIZES = (2, 3, 4, 5, 8, 12, 16)
DECAYS = (0.0, 0.5, 0.8, 0.9)
POINTS, LEARN_STEPS = 240, 60
EXTENT = 3.2
LINE = 5.0  # its length
RATE = 1.0
PLACES_2D = ((-1.8, -1.2), (1.7, -1.5), (0.2, 0.3), (-1.3, 1.7), (1.8, 1.4))
WIDTHS_2D = (0.35, 0.3, 0.45, 0.3, 0.25)


def plane_data(kind: str) -> Tensor:
    """The vectors to be replaced: [POINTS, 2] float64."""
    if kind == "line":
        along = ((torch.arange(POINTS, dtype=torch.float64) + 0.5) / POINTS - 0.5) * LINE
        return torch.stack([along, torch.zeros_like(along)], 1)
    generator = torch.Generator().manual_seed(0)
    which = torch.arange(POINTS) % len(PLACES_2D)
    middle, width = (torch.tensor(v, dtype=torch.float64)[which] for v in (PLACES_2D, WIDTHS_2D))
    noise = torch.randn(POINTS, 2, generator=generator, dtype=torch.float64)
    return middle + width[:, None] * noise


def first_codes(kind: str, K: int, start: str, seed: int) -> Tensor:
    """Where the codes begin: [K, 2]."""
    generator = torch.Generator().manual_seed(seed)
    if start == "near":
        return plane_data(kind)[torch.randperm(POINTS, generator=generator)[:K]]
    corner = torch.tensor([2.6, -2.7], dtype=torch.float64)
    return corner + 0.2 * torch.randn(K, 2, generator=generator, dtype=torch.float64)


class Learning(NamedTuple):
    """Codes that learn.

    Attributes:
        data: [POINTS, 2].
        codes: [n, K, 2].
        ways: [n, POINTS, 4] where each vector is, and how far to its code.
        counts: [n, K] how many vectors each code replaces.
        error: [n] mean squared distance.
        perplexity: [n].
        restarted: [n] codes that started anew in this step.
        borders: [n, L, 4] where the regions of two codes meet, as `meeting_lines`.
    """

    data: np.ndarray
    codes: np.ndarray
    ways: np.ndarray
    counts: np.ndarray
    error: np.ndarray
    perplexity: np.ndarray
    restarted: np.ndarray
    borders: np.ndarray


@st.cache_data(max_entries=12, show_spinner=False)
def learning(kind: str, K: int, rule: str, start: str, decay: float, seed: int) -> tuple:
    """The fields of `Learning`."""
    data = plane_data(kind)
    codes, restarted = [], []
    for at, anew in learn_codes(
        data, first_codes(kind, K, start, seed), rule, steps=LEARN_STEPS, rate=RATE, decay=decay
    ):
        codes.append(at)
        restarted.append(int(anew.sum()))
    numbers = [nearest_code(data, at) for at in codes]
    way = torch.stack(codes).numpy()
    return tuple(
        Learning(
            data.numpy(),
            way,
            np.stack(
                [
                    torch.cat([data, at[k] - data], 1).float()
                    for at, k in zip(codes, numbers, strict=True)
                ]
            ),
            np.stack([k.bincount(minlength=K).numpy() for k in numbers]),
            np.array([float(quantisation_error(data, at)) for at in codes]),
            np.array([perplexity(k, K) for k in numbers]),
            np.array(restarted),
            meeting_lines(way, EXTENT),
        )
    )


def best_on_the_line(K: int) -> float:
    """The smallest error of K codes on the line, were it unbroken."""
    return line_error(LINE, K)
