"""The view of the page on the VAE that asks whether its loss' terms are sums or means."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.linear_vae import latent_nats, principal_directions, share_kept, weight_of_kl
from diffusion_core.vae import PIXELS
from pages.shared import load
from pages.shared.chapter import Confusion, term
from pages.shared.figures import BARE, CLEAR, Figure, Line, chart, level, line_chart, name_at
from pages.shared.palette import COLORS
from pages.shared.plot import plot
from pages.shared.vae_controls import row
from pages.shared.vae_training_views import sheet_html
from pages.shared.vae_training_world import SHEET
from pages.shared.vae_views import PICTURE, picture_figure

PARTS = ("sum", "mean")
NOISES = (0.01, 0.05, 0.5)
NOISE = 0.5  # squared error as it is, without 1/(2σ²)
LATENTS = (2, 8, 20, 50)
LATENT = 50
SHOWN = 3  # the digit that is given back


class Linear(NamedTuple):
    """The best linear VAE of the gallery's digits.

    Attributes:
        beta: weight of the KL that the loss amounts to.
        variances: [d] λ of the digits along the latents' directions.
        nats: [d] KL of each latent.
        x: [28, 28] a digit.
        back: [28, 28] the same, encoded and decoded.
        drawn: [rows * columns of SHEET, 28, 28] decoded draws of N(0, I).
    """

    beta: float
    variances: np.ndarray
    nats: np.ndarray
    x: np.ndarray
    back: np.ndarray
    drawn: np.ndarray


@st.cache_data(max_entries=1, show_spinner=False)
def directions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [784], variances [n] and directions [n, 784] of the gallery's digits, gray 0..1."""
    images = load.gallery().images
    if not len(images):  # the sheet is missing: black digits, which vary in nothing
        images = torch.zeros(max(LATENTS), 28, 28)
    mean, variances, ways = principal_directions(images.reshape(-1, PIXELS) / 255, max(LATENTS))
    return mean.numpy(), variances.clamp(min=1e-12).numpy(), ways.numpy()


@st.cache_data(max_entries=32, show_spinner=False)
def linear(pixels: str, latents: str, noise: float, d: int) -> tuple:
    """The fields of `Linear`."""
    mean, variances, ways = (torch.from_numpy(part) for part in directions())
    variances, ways = variances[:d], ways[:d]
    beta = weight_of_kl(
        PIXELS, d, mean_of_pixels=pixels == "mean", mean_of_latents=latents == "mean"
    )
    kept = share_kept(variances, noise, beta)
    x = torch.from_numpy(load.gallery_digit(SHOWN, 0)).double().flatten() / 255
    back = mean + (kept * (ways @ (x - mean))) @ ways
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(SHEET[0] * SHEET[1], max(LATENTS), generator=generator, dtype=torch.float64)
    drawn = mean + (z[:, :d] * (kept * variances).sqrt()) @ ways
    shown = (part.clamp(0, 1).reshape(-1, 28, 28).numpy() for part in (x, back, drawn))
    one, other, many = shown
    nats = latent_nats(variances, noise, beta).numpy()
    return tuple(Linear(beta, variances.numpy(), nats, one[0], other[0], many))


def variances_figure(told: Linear, noise: float) -> Figure:
    """How much the digits vary along each latent's direction, and βσ², which swallows what is less.

    The axis is logarithmic.
    """
    line = told.beta * noise
    low = min(float(told.variances.min()), line, 0.1) / 1.5
    high = max(float(told.variances.max()), line, 10) * 3
    x = np.arange(1.0, len(told.variances) + 1)
    figure = line_chart(
        [Line("λ", x, told.variances, "x0", 0, "left", 14)], x_title="latent",
        y_title="variance λ of the digits along each latent’s direction (log)", log_y=True,
        y_range=(low, high), height=230, x_axis={"range": [0.4, len(x) + 0.6], "nticks": 8},
    )  # fmt: skip
    figure["data"][0]["mode"] = "lines+markers"
    figure["layout"]["shapes"] = [level(line, "bits")]
    figure["layout"]["annotations"].append(
        name_at(1, f"βσ² = {line:.3g}", "bits", xref="paper", y=float(np.log10(line)),
                xanchor="right", yanchor="bottom", yshift=3)
    )  # fmt: skip
    return figure


def nats_figure(told: Linear) -> Figure:
    """What each latent tells, as bars, the one that varies most first."""
    x = np.arange(1, len(told.nats) + 1)
    bars = {"type": "bar", "x": x, "y": told.nats, "name": "latent", "opacity": 0.85, "width": 0.8,
            "marker": {"color": COLORS["p"]}, "hovertemplate": "%{y:.3g}"}  # fmt: skip
    layout = {
        "xaxis": BARE | {"title": {"text": "latent", "standoff": 4}, "nticks": 8,
                         "range": [0.4, len(x) + 0.6]},
        "yaxis": BARE | {"showgrid": True, "nticks": 4,
                         "range": [0, max(1.0, 1.1 * float(told.nats.max()))]},
        "title": {"text": f"KL of each latent, nats: {told.nats.sum():.1f} in all",
                  "font": {"size": 14}, "x": 0, "xref": "container", "y": 0.98},
        "height": 230, "margin": {"l": 48, "r": 12, "t": 36, "b": 42}, "hovermode": "closest",
    } | CLEAR  # fmt: skip
    return chart([bars], layout)


@st.fragment
def sum_or_mean() -> None:
    """One linear VAE, trained on sums or on means."""
    with row():
        pixels, latents = (
            st.segmented_control(
                name, PARTS, key=key, default="sum", required=True, bind="query-params",
                width="content",
            )
            for name, key in (("Error over pixels", "vapixels"), ("KL over latents", "valatents"))
        )  # fmt: skip
    stage = st.container()
    with st.expander("More: σ² of the decoder, number of latents"):
        left, right = st.columns(2, gap="large")
        noise = left.select_slider(
            "σ²", NOISES, NOISE, key="vanoise", bind="query-params",
            format_func=lambda s: f"{s:g}",
            help="The error is divided by 2σ²; squared error as it is has σ² = ½.",
        )  # fmt: skip
        d = right.select_slider("Latents", LATENTS, LATENT, key="valatent", bind="query-params")
    told = Linear(*linear(pixels, latents, noise, d))
    with stage:
        left, right = st.columns(2, gap="medium")
        plot(
            variances_figure(told, noise), key="va_variances", place=left,
            alt="Variance of the digits along each latent’s direction, and a line at βσ²",
        )  # fmt: skip
        plot(nats_figure(told), key="va_nats", place=left, alt="The KL of each latent")
        with right, st.container(horizontal=True, gap="small"):
            for name, picture, color in (("x", told.x, "x0"), ("given back", told.back, "p")):
                with st.container(width=PICTURE):
                    plot(picture_figure(name, picture, color), key=f"va_{name}",
                         alt=f"The digit {SHOWN}, {name}")  # fmt: skip
        right.html(sheet_html(told.drawn, "decoded draws"))
        st.caption(
            f"Loss: squared error over 2σ², {pixels} of {PIXELS} pixels, plus the KL, {latents} of "
            f"{d} latents; up to a factor that is a β-VAE with β = {told.beta:.3g}. Data: the "
            "gallery’s digits, in gray. Red: a latent whose λ is below it tells nothing. "
            + (
                "None tells anything here: every z gives the mean of all digits."
                if not told.nats.any()
                else f"{(told.nats > 0).sum()} of {d} tell something."
            )
        )


def confusions() -> list[Confusion]:
    """What people ask of the two terms, with a setting that shows the answer."""
    told = {
        (pixels, latents): Linear(*linear(pixels, latents, NOISE, LATENT))
        for pixels, latents in (("sum", "sum"), ("mean", "sum"), ("mean", "mean"))
    }
    right, wrong, both = told.values()
    return [
        Confusion(
            "Sum or mean over pixels and latents? With means every z gives one picture",
            "Sums, both: −log p(x|z) over all pixels, the KL over all latents. A factor of the "
            "whole loss is harmless, so the mean over a batch is. A factor of one term is not: "
            f"the mean over pixels alone divides the first by {PIXELS}, and the KL counts "
            f"{wrong.beta:.0f}-fold, a β-VAE with β = {wrong.beta:.0f}. (Means of both: β = D/d, "
            f"{both.beta:.0f} with {LATENT} latents; of the KL alone: 1/d.) What that does has a "
            "formula for a linear VAE with decoder variance σ²: a direction in which the data vary "
            "by λ tells ½ log(λ/(βσ²)) nats, and nothing at all where λ is no more than βσ². "
            "Squared error as it is has σ² = ½. The gallery’s digits have λ up to "
            f"{right.variances[0]:.1f}: with sums {(right.nats > 0).sum()} of {LATENT} latents "
            f"tell {right.nats.sum():.0f} nats in all, with the mean over pixels the line is at "
            f"{wrong.beta * NOISE:.0f} and none tells anything. q is N(0, I) for every x then, and "
            "the decoder gives the mean picture for every z: "
            + term("posterior collapse")
            + ". A deep VAE has no such formula, but the same two terms in the same proportion.",
            {"vaview": "loss", "vapixels": "mean", "valatents": "sum"},
            "Left: the red line is above every λ, and no latent has a KL. Right: the digit comes "
            "back as the mean of all, and so does every draw. Choose the sum over pixels: the line "
            "cuts through the curve, and what is above it is told.",
            threads=[
                "keras-team/keras#3373",
                "pytorch/examples#817",
                "https://stats.stackexchange.com/questions/332179",
                "maxhodak/keras-molecules#59",
                "mkusner/grammarVAE#2",
                "podgorskiy/VAE#1",
                "orybkin/sigma-vae-tensorflow#2",
            ],
        ),
    ]
