"""The view of the page on the VAE that asks why cross-entropy on gray pixels never gets to 0."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.vae_bound import gray_cost
from pages.shared import load, vae_world
from pages.shared.chapter import Confusion
from pages.shared.figures import Figure, Line, level, line_chart
from pages.shared.palette import COLORS
from pages.shared.plot import plot
from pages.shared.vae_controls import digit, other_variant
from pages.shared.vae_controls import row as controls
from pages.shared.vae_views import PICTURE, picture_figure

GRAY = 0.5
LABEL = 3  # the digit that the text is about


class Gray(NamedTuple):
    """A gray digit, and what binary cross-entropy makes of it.

    Attributes:
        x: [28, 28] gray, 0..1.
        decoded: [28, 28] chances of white, of the VAE.
        floor: [28, 28] nats that a perfect copy costs.
        cost: nats that `decoded` costs, in all.
    """

    x: np.ndarray
    decoded: np.ndarray
    floor: np.ndarray
    cost: float


@st.cache_data(max_entries=64, show_spinner=False)
def gray(label: int, row: int) -> tuple:
    """The fields of `Gray`, for a digit of the gallery."""
    x = torch.from_numpy(load.gallery_digit(label, row)).double() / 255
    q = vae_world.encoded(vae_world.network()[0], vae_world.binary(label, row))
    decoded = vae_world.decoded(q.mean[None])[0]
    cost = float(gray_cost(x, torch.from_numpy(decoded).double()).sum())
    return tuple(Gray(x.numpy(), decoded, gray_cost(x, x).numpy(), cost))


def pixel_figure(x: float) -> Figure:
    """What a pixel of gray x costs that is decoded as r, by cross-entropy and by squared error."""
    r = torch.linspace(0.005, 0.995, 199, dtype=torch.float64)
    here = torch.tensor(x, dtype=torch.float64)
    cost, least = gray_cost(here, r).numpy(), float(gray_cost(here, here))
    right = x < 0.5  # the curve is high on the other side
    at = int(0.75 * len(r)) if right else int(0.25 * len(r))
    figure = line_chart(
        [
            Line("cross-entropy", r.numpy(), cost, "bits", at, "right" if right else "left", 14),
            Line("squared error", r.numpy(), (r.numpy() - x) ** 2, "x0", at,
                 "right" if right else "left", 14),
        ],
        x_title="r, what the pixel is decoded as", y_title=f"cost of a pixel of gray {x:g}, nats",
        y_range=(0, 2.4), height=300,
    )  # fmt: skip
    figure["data"].append(
        {"type": "scatter", "mode": "markers", "x": [x], "y": [least], "name": "a perfect copy",
         "marker": {"color": COLORS["bits"], "size": 11}, "hovertemplate": "%{y:.3f}"}
    )  # fmt: skip
    figure["layout"]["shapes"] = [level(least, "bits", width=1)]
    return figure


@st.fragment
def gray_pixels() -> None:
    """One gray pixel, and all of a digit."""
    with controls():
        label = digit()
        x = st.slider(
            "Gray of a pixel, x", 0.0, 1.0, GRAY, 0.05, key="vagray", bind="query-params",
            width=200,
        )  # fmt: skip
    stage = st.container()
    told = Gray(*gray(label, other_variant()))
    top = float(np.log(2))
    with stage:
        left, right = st.columns(2, gap="medium")
        plot(
            pixel_figure(x), key="va_pixel", place=left,
            alt="Binary cross-entropy and squared error of one gray pixel, by what it is decoded "
            "as; a dot at its lowest place",
        )  # fmt: skip
        with right, st.container(horizontal=True, gap="small"):
            for name, picture, color, about in (
                ("x, gray", told.x, "x0", f"A gray digit {label}"),
                ("cost of a copy", told.floor / top, "bits", "What a perfect copy costs, by pixel"),
                ("decoded", told.decoded, "p", "What the VAE decodes"),
            ):
                with st.container(width=PICTURE):
                    plot(picture_figure(name, picture, color), key=f"va_gray_{name[0]}", alt=about)
        right.markdown(
            f"A perfect copy costs **{told.floor.sum():.0f}** nats, the VAE’s picture "
            f"**{told.cost:.0f}**."
        )
        st.caption(
            "Cross-entropy: −x log r − (1 − x) log(1 − r), lowest at r = x, the dot, but 0 there "
            "only for black and white. Middle picture: that lowest cost of each pixel, white for "
            f"log 2 = {top:.3f} nats. The VAE of this page was trained on black and white digits, "
            "drawn from the gray ones."
        )


def confusions() -> list[Confusion]:
    """What people ask of gray pixels, with a setting that shows the answer."""
    told = Gray(*gray(LABEL, 0))
    half = torch.tensor(0.5, dtype=torch.float64)
    return [
        Confusion(
            "Binary cross-entropy on gray pixels: why does it not go to 0? Is it a likelihood?",
            "−x log r − (1 − x) log(1 − r) is lowest at r = x, so that training goes the right "
            "way. But there it is the entropy of the gray, "
            f"{float(gray_cost(half, half)):.3f} nats for a pixel of ½: "
            f"a perfect copy of the 3 shown first costs {told.floor.sum():.0f} nats, its decoded "
            f"picture {told.cost:.0f}. It is −log p(x) where x is 0 or 1. For a gray x it is none: "
            "over all grays e^(−cost) comes to ½ at most, not to 1, so a bound or bits per pixel "
            "made of it mean nothing. (What is missing is the constant of the continuous "
            "Bernoulli.) Draw each pixel black or white first, by its gray, as here, and it is "
            "exact.",
            {"vaview": "gray", "vadigit": LABEL, "varow": 1, "vagray": GRAY},
            "Left: the dot is the lowest place, far above 0, where squared error is 0. Middle "
            "picture: the cost of a copy glows at the edges. Pull the gray to 0: the dot falls to "
            "0.",
            threads=[
                "pytorch/examples#460",
                "Lightning-Universe/lightning-bolts#177",
                "fchollet/deep-learning-with-python-notebooks#109",
                "prabhuomkar/pytorch-cpp#34",
                "yunjey/pytorch-tutorial#104",
                "keras-team/keras#3743",
            ],
        ),
    ]
