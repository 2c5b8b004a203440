"""What the page on latent diffusion shows: a plane, digits, what an autoencoder loses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pages.shared.cloud import Cloud
from pages.shared.latent_facts import MEASURED
from pages.shared.latent_world import (
    COUNT,
    DATA,
    MAGNIFIED,
    REACH,
    SHOWN,
    Lost,
    Plane,
    Shot,
    noise_times,
    shades,
    times,
)
from pages.shared.player import Curve, Frames, Panel

WIDE = 140  # of a plane, beside a sheet of 121 pixels
RARE_CHART = "share where the digits hardly ever are (q at t = 0)"
SNR_LOW, SNR_HIGH = 1e-5, 1e5  # of all factors, at every shown t
COST_CHART = "multiply-adds so far, 12 digits (billions)"


def plane_frames(told: Plane, data: str) -> Frames:
    """Draws of the prior, the same noise walked back, and what the decoder makes of either."""
    n = len(told.points)
    shade = shades(data)
    still = np.broadcast_to(told.points[:1], told.points.shape)
    clouds = [
        Cloud(
            "The VAE: z from N(0, I)",
            "draws of the prior, which stand still, over the density of the digits’ latents",
            still, color="eps", extent=REACH, density=shade[-1:], trails=SHOWN, trail="eps",
            side=WIDE,
        ),
        Cloud(
            "Walked back from there",
            "the same points walked back from noise to the density of the digits’ latents",
            told.points, color="p", extent=REACH, density=shade, trails=SHOWN, side=WIDE,
        ),
    ]  # fmt: skip
    panels = [
        Panel("decoded: as drawn | walked", "eight of the draws, decoded, and beside them the same "
              "after the walk so far", told.sheets, "p", lo=0),
    ]  # fmt: skip
    curves = [
        Curve("drawn", np.full(n, told.rare[0]), "eps", RARE_CHART, 0, 0.8),
        Curve("walked", told.rare, "p", RARE_CHART, 0, 0.8),
    ]
    captions = [
        f"t = {t} · step {i} of {n - 1}" if t else f"t = 0 · the latents of {DATA[data]}"
        for i, t in enumerate(times())
    ]
    return Frames(panels, captions, curves, clouds=clouds)


def digit_frames(shots: Sequence[Shot], start: int, stops: Sequence[int]) -> Frames:
    """The walk in the latent, decoded at each step, beside the walk in pixels."""

    def panel(title: str, alt: str, key: str, color: str) -> Panel:
        frames = np.stack([getattr(shot, key) for shot in shots])
        low, high = (-3, 3) if key == "latent" else (-1, 1)
        return Panel(title, alt, frames, color, lo=low, hi=high)

    panels = [
        panel("$z_t$ as colours", "the noisy latents as colours",
              "latent", "xt"),
        panel("$z_t$ decoded", "the noisy latents, decoded", "plain", "xt"),
        panel("$\\hat z_0$ decoded", "what the network of latents aims at, decoded", "aimed", "p"),
        panel("$\\hat x_0$ in pixels", "what the network of pixels aims at", "pixels", "x0"),
    ]  # fmt: skip
    total = len(stops) - 1
    latent, pixels = spent(total)
    most = float(np.ceil(pixels[-1] / 10) * 10)
    now = slice(start, start + len(shots))
    curves = [
        Curve("in the latent", latent[now], "p", COST_CHART, 0, most, digits=1),
        Curve("in pixels", pixels[now], "x0", COST_CHART, 0, most, digits=1),
    ]
    captions = [
        f"t = {t} · step {start + i} of {total}" if t else f"t = 0 · done in {total} steps"
        for i, t in enumerate(stops[start : start + len(shots)])
    ]
    return Frames(panels, captions, curves)


def spent(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Billions of multiply-adds up to each stop, in the latent and in pixels: [steps + 1] each.

    A call of the network per step; the latent is decoded once, at the end. What is decoded on the
    way, to be looked at, does not count.
    """
    small, large, decoder = (COUNT * n / 1e9 for n in MEASURED.cost)
    calls = np.minimum(np.arange(1, steps + 2), steps)
    return small * calls + decoder * (np.arange(steps + 1) == steps), large * calls


def lost_frames(told: Lost, picture: np.ndarray, factor: float, unit: Lost | None = None) -> Frames:
    """One digit, noise on its pixels, noise on its latent.

    Where latents are multiplied, those that are not stand in for the pixels, if they are given.
    """
    stops = noise_times()
    n = len(stops)
    times_ = f", × {factor:g}" if factor != 1 else ""
    panels = [
        Panel("$x_0$", "the digit", np.broadcast_to(picture, (n, *picture.shape)), "x0"),
        Panel("$x_t$: noise on pixels", "the digit with noise on its pixels", told.pixels)
        if factor == 1 or unit is None
        else Panel("$z_t$ decoded, × 1", "the same noise on latents that are not multiplied, "
                   "decoded", unit.decoded, "q"),
        Panel(f"$z_t$: noise on the latent{times_}", "its latent with noise, as colours",
              told.latent, "eps", lo=-3, hi=3),
        Panel(f"$z_t$ decoded, × {factor:g}" if factor != 1 else "$z_t$ decoded",
              "its noisy latent, decoded", told.decoded, "p"),
        Panel(f"decoded − $x_0$, × {MAGNIFIED}", "decoded picture minus the digit, magnified",
              told.off, "bits", lo=-2 / MAGNIFIED, hi=2 / MAGNIFIED),
    ]  # fmt: skip
    snr = "signal-to-noise ratio (log)"
    alike = "errors of neighbouring pixels: correlation"
    curves = [
        Curve("on pixels", told.alike[0], "xt", alike, -0.2, 1),
        Curve("on the latent", told.alike[1], "p", alike, -0.2, 1),
        Curve("unit variance", told.snr[0], "q", snr, SNR_LOW, SNR_HIGH, log=True),
    ]
    if factor != 1:
        curves.append(
            Curve(f"latents × {factor:g}", told.snr[1], "bits", snr, SNR_LOW, SNR_HIGH, log=True)
        )
    captions = [f"t = {t}" if t else "t = 0: no noise, only what the autoencoder loses"
                for t in stops]  # fmt: skip
    return Frames(panels, captions, curves)
