"""The numbers that the page on the VQ-VAE names."""

from __future__ import annotations

import math
from typing import NamedTuple

import streamlit as st
import torch

from pages.shared import load, vq_world
from pages.shared.vq_gradient import COUNTS, Training, right_shares, training
from pages.shared.vq_world import DECAYS, PLACES, Learning, learning, network, swap

DIGIT, PLACE = 3, (3, 3)  # what the page opens with; rows and columns from 0
SIZE, DECAY = 8, 0.8
STAIRS = 8
BETA = 0.25


class Measured(NamedTuple):
    """What takes too long for a first look; a test computes each anew.

    Attributes:
        count: draws of each kind; half as many of VQ-Diffusion.
        even: share of which the judge is sure, tokens drawn with even chances.
        placewise: drawn place by place.
        diffusion: drawn by VQ-Diffusion in 25 steps, classes asked for in turn.
        gallery: of the gallery's digits, encoded and decoded.
    """

    count: int
    even: float
    placewise: float
    diffusion: float
    gallery: float


MEASURED = Measured(count=400, even=0.1475, placewise=0.2075, diffusion=0.79, gallery=0.895)


class Facts(NamedTuple):
    """The numbers that the text names; of the page's opening settings unless it says otherwise.

    Attributes:
        own: pixels of the middle token's patch that change.
        others: pixels elsewhere.
        box: height and width of the part that changes.
        near: pixels that change with the next nearest code.
        mean: pixels that change, on average over the 49 places.
        error: root mean square error of the gallery's digits, encoded and decoded; black to white
            being 1.
        perplexity: of the gallery's tokens.
        bits: 49 tokens of that perplexity.
        bound: bits per digit of VQ-Diffusion's bound, as its card has it.
        alike: mean cosine of a code and the next number's, of any two, of one and its nearest.
        far: perplexity at the end, begun far away: by averages, by the gradient, with restarts.
        far_error: the errors.
        near_perplexity: begun at data, by averages.
        line: error of five codes on the line, and the formula's.
        right: share of z led to a smaller loss, with 8 codes and with most.
        learned: reconstruction error at the beginning and the end: copied gradient, true one.
        spread: standard deviation of z at the end, beta = 0 and beta = 0.25.
        drift: largest mean squared distance of z from its code on the way, for both.
    """

    own: int
    others: int
    box: tuple[int, int]
    near: int
    mean: float
    error: float
    perplexity: float
    bits: float
    bound: float
    alike: tuple[float, float, float]
    far: tuple[float, float, float]
    far_error: tuple[float, float, float]
    near_perplexity: float
    line: tuple[float, float]
    right: tuple[float, float]
    learned: tuple[float, float, float]
    spread: tuple[float, float]
    drift: tuple[float, float]


@st.cache_data(max_entries=1, show_spinner=False)
def facts() -> tuple:
    """Compute them."""
    picture = load.gallery_digit(DIGIT, 0)
    middle, near = (swap(picture, *PLACE, put, 0, 0) for put in ("far", "near"))
    box = middle.box or (0, -1, 0, -1)
    module, _ = network()
    tokens, images = vq_world.gallery_tokens(), load.gallery().images
    off = (module.decode(tokens).double() - images) / 255 if len(images) else torch.zeros(1)
    used = vq_world.gallery_perplexity()
    codes = module.codebook.codes
    alike = codes @ codes.T
    following = float(alike.diagonal(1).mean())
    any_two = float(alike.triu(1).sum()) / (len(codes) * (len(codes) - 1) / 2)
    nearest = float(alike.fill_diagonal_(-1).amax(1).mean())

    def learnt(rule: str, start: str) -> Learning:
        return Learning(*learning("clusters", SIZE, rule, start, DECAY, 0))

    far = [learnt(rule, "far") for rule in ("average", "gradient", "restart")]
    line = Learning(*learning("line", 5, "average", "near", DECAYS[0], 0))
    copied, loose = (Training(*training(beta, True)) for beta in (BETA, 0.0))
    still = Training(*training(0.0, False))
    shares = right_shares()
    return tuple(
        Facts(
            middle.own,
            middle.others,
            (box[1] - box[0] + 1, box[3] - box[2] + 1),
            near.own + near.others,
            float(vq_world.far_changes(picture).mean()),
            float(off.square().mean()) ** 0.5,
            used,
            PLACES * math.log2(used),
            bound_of_tokens(),
            (following, any_two, nearest),
            tuple(float(told.perplexity[-1]) for told in far),
            tuple(float(told.error[-1]) for told in far),
            float(learnt("average", "near").perplexity[-1]),
            (float(line.error[-1]), vq_world.best_on_the_line(5)),
            (float(shares[COUNTS.index(STAIRS)]), float(shares[-1])),
            (float(copied.parts[0, 0]), float(copied.parts[-1, 0]), float(still.parts[-1, 0])),
            (float(loose.z[-1].std()), float(copied.z[-1].std())),
            (float(loose.parts[:, 1].max()), float(copied.parts[:, 1].max())),
        )
    )


def bound_of_tokens() -> float:
    """VQ-Diffusion's bound in bits per digit, as its card has it; NaN where there is none."""
    from diffusion_core.checkpoints import CheckpointError, read_card

    try:
        metrics = read_card(vq_world.DIFFUSION).fields["metrics"]
    except CheckpointError:
        return math.nan
    found = [m["value"] for m in metrics if m["name"] == "bound, nats per digit"]
    return float(found[0]) / math.log(2) if found else math.nan
