"""What the page on the VQ-VAE shows of one digit's tokens, own and exchanged."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st

from pages.shared import chapter, vq_views, vq_world
from pages.shared.numbers import signed
from pages.shared.player import player
from pages.shared.plot import plot
from pages.shared.vq_world import PLACES

HOW_CODES_LOOK = (
    "A code is 16 numbers, and has no picture of its own; shown is the average of what is decoded "
    "where it stands in the gallery’s digits, its own 4 × 4 pixels and two more on each side."
)


def press(x: float, y: float) -> None:
    """Choose the token that was pressed."""
    chapter.apply_state(vqacross=round(min(max(x, 1), 7)), vqdown=round(min(max(y, 1), 7)))


def one_replaced(told: vq_world.Swap, picture: np.ndarray, place: tuple[int, int]) -> None:
    """The tokens, what they are decoded to, and in between how they come about, or what changed."""
    own = told.new == told.old
    pictures = {
        "x": ("1 a patch of the picture x" if own else "x", picture, "x0", place,
              "The picture; the token’s own 16 pixels framed"),
        "plain": ("decoded, all 49" if own else "decoded", told.plain, "p", None,
                  "What its 49 tokens are decoded to"),
        "now": ("one exchanged", told.decoded, "p", place, "What the changed tokens give"),
    }  # fmt: skip
    with st.container(horizontal=True, gap="small", width=vq_views.PICTURE):
        for name in ("x", "plain") if own else ("plain", "now"):
            title, shown, color, patch, about = pictures[name]
            with st.container(width=vq_views.PICTURE):
                plot(vq_views.picture_figure(title, shown, color, patch), key=f"vq_{name}",
                     alt=about)  # fmt: skip
    with st.container(width=vq_views.LARGE):
        if own:
            mechanism(told)
        else:
            change = told.decoded.astype(np.int16) - told.plain
            plot(
                vq_views.picture_figure("change", change, "bits", place, told.box, signed=True,
                                        side=vq_views.LARGE),
                key="vq_change", alt="The difference, in colour; all that changes lies in the "
                "dotted frame",
            )  # fmt: skip
    plot(
        vq_views.tokens_figure(told, *place), key="vq_tokens",
        place=st.container(width=vq_views.TABLE + vq_views.LEFT), on_click=press,
        alt="The 7 by 7 tokens as numbers on colours",
    )  # fmt: skip


def mechanism(told: vq_world.Swap) -> None:
    """The encoder's vector at a place, and the code that is nearest to it, among all codes."""
    plot(
        vq_views.vector_figure(told), key="vq_vector",
        alt="The encoder’s 16 numbers at this place as bars, the nearest code’s as marks",
    )  # fmt: skip
    st.html(
        vq_views.titled("3 the nearest of the 128 codes", "p")
        + vq_views.codebook_html(vq_views.LARGE, told.old)
    )


def say(told: vq_world.Swap, place: tuple[int, int]) -> None:
    """What stands under the pictures."""
    own = told.new == told.old
    st.markdown((said_of_own if own else said_of)(told, *(v + 1 for v in place)))
    st.caption(
        "Each number names one of 128 codes; the colours only tell them apart. " + HOW_CODES_LOOK
        if own
        else "Change: red is lighter, blue darker, small changes enhanced (cube root); solid "
        "frame: the token’s own 4 × 4 pixels; dotted: everything that changes by more than one "
        "level of 255. Near and far are codes by their cosine, as all have length 1. [MASK] is no "
        "code: its patch is painted gray, and its neighbours see a vector of zeros."
    )


def said_of_own(told: vq_world.Swap, down: int, across: int) -> str:
    """How a token comes about, and what all of them cost."""
    bits = math.log2(vq_world.gallery_perplexity())
    first, second, _ = told.alike
    return (
        f"Row {down}, column {across}: the encoder’s vector has a cosine of {first:.2f} with code "
        f"**{told.old}**, the nearest (as all have length 1); with the next, {told.second}, "
        f"{signed(second)}. Each number of a code takes 7 bits: 49 × 7 = **343 bits**, instead of "
        f"784 pixels × 8 = {784 * 8:,}. With fewer bits for codes that come often, the gallery’s "
        f"take {bits:.2f} on average (log₂ of their perplexity), 49\u00a0×\u00a0{bits:.2f} = "
        f"{PLACES * bits:.0f}. Decoded, the picture is off by {told.error:.3f} (root mean square; "
        "black to white is 1)."
    )


def said_of(told: vq_world.Swap, down: int, across: int) -> str:
    """What the replaced token does, in numbers."""
    new = "[MASK]" if told.new == vq_views.CODES else f"{told.new}"
    apart = "" if math.isnan(told.alike[2]) else f", whose cosine is {signed(told.alike[2])}"
    said = f"Row {down}, column {across}: token {told.old} → {new}{apart}. "
    if told.own + told.others == 0:
        return said + "No pixel changes."
    return said + (
        f"The picture changes by {told.change:.3f} (root mean square; black to white is 1), and is "
        f"now off by {told.after:.3f} instead of {told.error:.3f}. **{told.inside:.0%} of the "
        f"squared change** lies in the token’s own 16 pixels, the rest in {told.others} others."
    )


def all_replaced(picture: np.ndarray, seed: int) -> None:
    """Token by token of a digit is taken from another one, at its own place."""
    told = vq_world.Mixture(*vq_world.mixed(picture, seed))
    frames = vq_views.mixture_frames(told)
    player(
        frames.panels, key="vq_mixed", total=len(frames.captions), captions=frames.captions,
        scale=4, autoplay=True, hold=True, report_frame=False, rest=len(frames.captions) - 1,
        ends=("one digit", "49 digits"), label="Tokens taken from other digits",
    )  # fmt: skip
    st.caption(
        "In the order in which one reads, each token is exchanged for the one that another digit "
        "of the gallery has at this place; no two are from the same digit. Red borders: exchanged. "
        "Look where strokes break off or turn: near a token’s border, since its neighbour knows "
        "nothing of it; not just at the border, since tokens are tiles with soft borders."
    )
