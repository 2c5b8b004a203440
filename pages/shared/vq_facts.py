"""The numbers that the page on the VQ-VAE names."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.codebooks import perplexity
from pages.shared import load, vq_world
from pages.shared.vq_gradient import (
    COUNTS,
    Stairs,
    Training,
    right_shares,
    slope,
    stairs,
    training,
)
from pages.shared.vq_world import DECAYS, PLACES, Learning, learning, network, swap

DIGIT, PLACE = 3, (3, 3)  # what the page opens with; rows and columns from 0
SIZE, DECAY = 8, 0.8
FASTER = 0.5  # a decay at which an epsilon is felt within the steps shown
STAIRS = 8
Z = -0.7
ASKEW = -1.0  # where the dashed line falls, and rises at the code
BETA = 0.25


class Measured(NamedTuple):
    """What takes too long for a first look; a test computes each anew.

    Attributes:
        count: draws with even chances, and as many place by place.
        few: of VQ-Diffusion.
        even: share of which the judge is sure, tokens drawn with even chances.
        placewise: drawn place by place.
        diffusion: drawn by VQ-Diffusion in 25 steps, classes asked for in turn.
        gallery: of the gallery's digits, encoded and decoded.
        closer: of all tokens that differ in one place from those of the opening digit, how many
            are decoded nearer to it, by squared error.
        nearest: of these the nearest: row and column from 1, and the code.
        pairs: share of the pairs of neighbouring tokens that a digit of the gallery has at the same
            place: even chances, place by place, VQ-Diffusion's, and the gallery's own.
    """

    count: int
    few: int
    even: float
    placewise: float
    diffusion: float
    gallery: float
    closer: int
    nearest: tuple[int, int, int]
    pairs: tuple[float, float, float, float]


MEASURED = Measured(
    count=4000, few=200, even=0.1655, placewise=0.1815, diffusion=0.79, gallery=0.895, closer=394,
    nearest=(6, 3, 86), pairs=(0.0089, 0.265, 0.358, 0.3576),
)  # fmt: skip


class Facts(NamedTuple):
    """The numbers that the text names; of the page's opening settings unless it says otherwise.

    Attributes:
        own: pixels of the middle token's patch that change.
        others: pixels elsewhere.
        box: height and width of the part that changes.
        inside: share of the squared change in the token's own patch.
        numbers: the middle token's code, the next in the list, the nearest to it.
        changes: root mean square change with these two, and with the farthest.
        mean: pixels that change, on average over the 49 places.
        error: root mean square error of the gallery's digits, encoded and decoded; black to white
            being 1.
        perplexity: of the gallery's tokens.
        bits: 49 tokens of that perplexity.
        tables: 49 tokens, each by a table for its place.
        sees: pixels that the middle token's vector is made of, and a corner's.
        bound: bits per digit of VQ-Diffusion's bound, as its card has it.
        alike: mean cosine of a code and the next number's, of any two, of one and its nearest.
        far: perplexity at the end, begun far away: by averages, by the gradient, with restarts.
        far_error: the errors.
        near_perplexity: begun at data, by averages.
        line: error of five codes on the line, and the formula's.
        slopes: of the dashed line at `ASKEW`, and at its code.
        right: cells led to a smaller loss, with 8 codes and with most.
        learned: reconstruction error with beta = 0: at first; at last, copied gradient, true one.
        committed: at last, copied gradient and beta = 0.25.
        slow: both, with codes at a quarter of the rate: beta = 0, beta = 0.25.
        restart: the first step that restarts a code.
        spread: standard deviation of z at the end, beta = 0 and beta = 0.25.
        slow_spread: standard deviation of z, with codes at a quarter of the rate.
        exchanged: of z, where beta is put on the codebook's term instead.
        eps: perplexity and error with gamma = 0.5, by averages; the same with an epsilon.
        caught: the step in which, with it, a dead code replaces something again.
        alone: perplexity of one digit's tokens, on average.
        rate: bits per pixel of the gallery's tokens by even chances, and by VQ-Diffusion.
        levels: the gallery's root mean square error in levels of gray.
        gray: bits per pixel of a normal of that width, as a density; with open ends; of one of
            width 1 (black to white is 2) where the copy is perfect.
    """

    own: int
    others: int
    box: tuple[int, int]
    inside: float
    numbers: tuple[int, int, int]
    changes: tuple[float, float, float]
    mean: float
    error: float
    perplexity: float
    bits: float
    tables: float
    sees: tuple[int, int]
    bound: float
    alike: tuple[float, float, float]
    far: tuple[float, float, float]
    far_error: tuple[float, float, float]
    near_perplexity: float
    line: tuple[float, float]
    slopes: tuple[float, float]
    right: tuple[int, int]
    learned: tuple[float, float, float]
    committed: float
    slow: tuple[float, float]
    restart: int
    spread: tuple[float, float]
    slow_spread: tuple[float, float]
    exchanged: float
    eps: tuple[tuple[float, float], tuple[float, float]]
    caught: int
    alone: float
    rate: tuple[float, float]
    levels: float
    gray: tuple[float, float, float]


@st.cache_data(max_entries=1, show_spinner=False)
def facts() -> tuple:
    """Compute them."""
    picture = load.gallery_digit(DIGIT, 0)
    middle, near = (swap(picture, *PLACE, put, 0, 0) for put in ("far", "near"))
    following = swap(picture, *PLACE, "hand", (middle.old + 1) % 128, 0)
    box = middle.box or (0, -1, 0, -1)
    module, _ = network()
    tokens, images = vq_world.gallery_tokens(), load.gallery().images
    off = (module.decode(tokens).double() - images) / 255 if len(images) else torch.zeros(1)
    used = vq_world.gallery_perplexity()
    codes = module.codebook.codes
    alike = codes @ codes.T
    in_a_row = float(alike.diagonal(1).mean())
    any_two = float(alike.triu(1).sum()) / (len(codes) * (len(codes) - 1) / 2)
    nearest = float(alike.fill_diagonal_(-1).amax(1).mean())

    def learnt(rule: str, start: str, decay: float = DECAY) -> Learning:
        return Learning(*learning("clusters", SIZE, rule, start, decay, 0))

    far = [learnt(rule, "far") for rule in ("average", "gradient", "restart")]
    line = Learning(*learning("line", 5, "average", "near", DECAYS[0], 0))
    copied, loose = (Training(*training(beta, True)) for beta in (BETA, 0.0))
    still = Training(*training(0.0, False))
    slow = [Training(*training(beta, True, "quarter")) for beta in (0.0, BETA)]
    exchanged = Training(*training(1.0, True, "quarter"))
    plain, smooth = (learnt(rule, "far", FASTER) for rule in ("average", "smoothed"))
    bound, error = bound_of_tokens(), float(off.square().mean()) ** 0.5
    shares, steps = right_shares(), Stairs(*stairs(STAIRS))
    return tuple(
        Facts(
            middle.own,
            middle.others,
            (box[1] - box[0] + 1, box[3] - box[2] + 1),
            middle.inside,
            (middle.old, following.new, near.new),
            (following.change, near.change, middle.change),
            float(vq_world.far_changes(picture).mean()),
            error,
            used,
            PLACES * math.log2(used),
            bits_by_tables(tokens, module.codes),
            (pixels_seen(3, 3), pixels_seen(0, 0)),
            bound,
            (in_a_row, any_two, nearest),
            tuple(float(told.perplexity[-1]) for told in far),
            tuple(float(told.error[-1]) for told in far),
            float(learnt("average", "near").perplexity[-1]),
            (float(line.error[-1]), vq_world.best_on_the_line(5)),
            (slope(ASKEW), slope(float(steps.codes[np.abs(steps.codes - ASKEW).argmin()]))),
            (round(shares[COUNTS.index(STAIRS)] * STAIRS), round(shares[-1] * COUNTS[-1])),
            (float(loose.parts[0, 0]), float(loose.parts[-1, 0]), float(still.parts[-1, 0])),
            float(copied.parts[-1, 0]),
            (float(slow[0].parts[-1, 0]), float(slow[1].parts[-1, 0])),
            int(far[2].restarted.argmax()),
            (float(loose.z[-1].std()), float(copied.z[-1].std())),
            (float(slow[0].z[-1].std()), float(slow[1].z[-1].std())),
            float(exchanged.z[-1].std()),
            tuple((float(t.perplexity[-1]), float(t.error[-1])) for t in (plain, smooth)),
            int(((smooth.counts > 0).sum(1) > (plain.counts > 0).sum(1)).argmax()),
            float(np.mean([perplexity(t, module.codes) for t in tokens])) if len(tokens) else used,
            (PLACES * math.log2(module.codes) / 784, bound / 784),
            255 * error,
            (
                0.5 * math.log2(2 * math.pi * math.e * (255 * error) ** 2) if error else math.nan,
                bits_of_levels(off, images, error),
                0.5 * math.log2(2 * math.pi) + math.log2(127.5),
            ),
        )
    )


def bits_of_levels(off: torch.Tensor, images: torch.Tensor, wide: float) -> float:
    """Bits per pixel of gray levels under a normal about what is decoded, cut into 256 levels.

    Black and white take what lies beyond them.

    Args:
        off: [N, 28, 28] decoded less the pictures, black to white being 1.
        images: uint8 [N, 28, 28], the pictures.
        wide: the normal's standard deviation.
    """
    if not len(images):
        return math.nan
    below, above = (off - 1 / 510) / wide, (off + 1 / 510) / wide
    # Of two small tails the difference is exact, of two numbers near 1 it is not: by symmetry.
    near = torch.where(off < 0, -above, below)
    far = torch.where(off < 0, -below, above)
    inside, black, white = _beyond(near) - _beyond(far), _beyond(below), _beyond(-above)
    share = torch.where(images == 0, black, torch.where(images == 255, white, inside))
    return -float(share.log2().mean())


def _beyond(u: torch.Tensor) -> torch.Tensor:
    """How much of a standard normal lies beyond u."""
    return torch.erfc(u / 2**0.5) / 2


def bits_by_tables(tokens: torch.Tensor, K: int) -> float:
    """What digits cost if each token is coded by how often it comes at its place.

    Each digit is left out of the counts that charge it, and one count is spread over all codes.

    Args:
        tokens: [N, 7, 7].
        K: how many codes there are.

    Returns:
        Bits per digit, NaN for fewer than two.
    """
    N, flat = len(tokens), tokens.flatten(1)
    if N < 2:
        return math.nan
    same = (flat[:, None] == flat[None]).sum(1).double() - 1  # how many others have it there
    return -float(((same + 1 / K) / N).log2().sum(1).mean())


def pixels_seen(row: int, column: int) -> int:
    """From how many pixels the vector at a place is made: those with a gradient."""
    x = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (slope,) = torch.autograd.grad(network()[0].encoder(x)[0, :, row, column].square().sum(), x)
    return int((slope != 0).sum())


def bound_of_tokens() -> float:
    """VQ-Diffusion's bound in bits per digit, as its card has it; NaN where there is none."""
    from diffusion_core.checkpoints import CheckpointError, read_card

    try:
        metrics = read_card(vq_world.DIFFUSION).fields["metrics"]
    except CheckpointError:
        return math.nan
    found = [m["value"] for m in metrics if m["name"] == "bound, nats per digit"]
    return float(found[0]) / math.log(2) if found else math.nan
