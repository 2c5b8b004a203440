"""The view of the page on the VQ-VAE that shows what is copied past the argmin."""

from __future__ import annotations

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.shared import vq_asks, vq_gradient, vq_views
from pages.shared.numbers import signed
from pages.shared.player import player
from pages.shared.plot import plot
from pages.shared.vq_facts import BETA, STAIRS, Z
from pages.shared.vq_gradient import BETAS, COPIES, COUNTS, PACES, RANGE, Stairs, Training

PARTS = {"one": "One number", "training": "In training"}


def gradients(above: DeltaGenerator, second: DeltaGenerator) -> None:
    """What is copied past the argmin."""
    part = second.segmented_control(
        "First one number, then a whole VQ-VAE", list(PARTS), key="vqpart", default="one",
        required=True, bind="query-params", format_func=PARTS.get, width="content",
    )  # fmt: skip
    if part == "one":
        vq_asks.asked(above, vq_asks.of_one_number)
        staircase()
    else:
        vq_asks.asked(above, vq_asks.of_training)
        in_training()


def staircase() -> None:
    """The loss of one number, through its code."""
    with st.container(horizontal=True, gap="small"):
        z = st.slider("z", -RANGE, RANGE, Z, 0.1, key="vqz", bind="query-params", width=300)
        K = st.select_slider(
            "Codes", COUNTS, STAIRS, key="vqstairs", bind="query-params", width=200
        )
    told = Stairs(*vq_gradient.stairs(K))
    left, right = st.columns([3, 2], gap="medium")
    plot(
        vq_views.stairs_figure(told, z), key="vq_stairs", place=left,
        alt="The loss against z: level in each cell, with an arrow for the copied step",
    )  # fmt: skip
    plot(
        vq_views.shares_figure(K), key="vq_shares", place=right,
        alt="The share of all z that a copied step leads to a smaller loss, against the codes",
    )  # fmt: skip
    far = np.abs(told.codes - z)
    k, border = int(far.argmin()), bool(np.diff(np.sort(far))[0] < 1e-9)
    slope = "none, on the border of two" if border else "**0**"
    st.markdown(
        f"z = {signed(z)} becomes the code {signed(told.codes[k])}. True gradient of the loss by "
        f"z: {slope}. Copied: **{signed(told.copied[k])}**, the slope of the dashed line at the "
        f"code (at z it is {signed(vq_gradient.slope(z))}); {where_to(told, k)}"
    )
    st.caption(
        f"The decoder makes e + sin 2e of a code e, and should make {vq_gradient.TARGET:g}. "
        "Blue: the slope at the code, copied to z, where the stair is level. Arrowheads: which way "
        "z is pushed; full and green where the next cell has a smaller loss, hollow and red where "
        "it has a larger one, a gray arrow where there is none; pale where z is not. Right: "
        "the green cells’ share."
    )


def where_to(told: Stairs, k: int) -> str:
    """To which code a step against the copied gradient leads from code k, and where the best is."""
    way, best = -int(np.sign(told.copied[k])), int(told.losses.argmin())
    side = {1: "right", -1: "left", 0: "nowhere"}[way]
    if told.verdict[k] == 0:
        step = f"a step against it goes {side}, where no other code is."
    else:
        to = k + way
        size = "smaller" if told.verdict[k] > 0 else "larger"
        step = (
            f"a step against it leads {side} to the code {signed(told.codes[to])}, whose loss is "
            f"{size}: {told.losses[to]:.2g} instead of {told.losses[k]:.2g}."
        )
    where = {0: "z has it", 1: "that way", -1: "the other way"}[int(np.sign((best - k) * way))]
    smallest = f"{told.losses[best]:.2g}, is at {signed(told.codes[best])}"
    return f"{step} The smallest of all, {smallest}: {where}."


def in_training() -> None:
    """Encoder, codes and decoder, trained at once."""
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        copy = st.segmented_control(
            "Reconstruction’s gradient to the encoder", list(COPIES), key="vqcopy",
            default="copied", required=True, bind="query-params", format_func=COPIES.get,
            width="content",
        )  # fmt: skip
        beta = st.segmented_control(
            "Commitment β", BETAS, key="vqbeta", default=BETA, required=True, bind="query-params",
            format_func=lambda b: f"{b:g}", width="content",
        )  # fmt: skip
        pace = st.segmented_control(
            "Codes’ rate", list(PACES), key="vqpace", default="same", required=True,
            bind="query-params", width="content",
        )  # fmt: skip
    told = Training(*vq_gradient.training(beta, copy == "copied", pace))
    frames = vq_views.training_frames(told)
    player(
        frames.panels, key="vq_training", total=len(told.z), captions=frames.captions,
        curves=frames.curves, clouds=frames.clouds, scale=8, autoplay=True, hold=True,
        report_frame=False, charts_last=True, rest=len(told.z) - 1,
        ends=("untrained", "trained"), label="A small VQ-VAE in training",
    )  # fmt: skip
    st.caption(
        f"{vq_gradient.SAMPLES} points in four stripes. A linear encoder turns a point into one "
        "number z, a code replaces it, a linear decoder makes a point of the code. Left: red lines "
        "part the data by their codes; purple: what the codes are decoded to. Middle: each point’s "
        "z, and the codes, purple. Right: from each point to what is made of it. In the shipped "
        "network, whose codes and z have length 1, z can’t run away."
    )
