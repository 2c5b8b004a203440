"""What the page on latent diffusion shows: a plane, digits, what an autoencoder loses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pages.shared.bench import spoken_steps
from pages.shared.cloud import Cloud, Word
from pages.shared.latent_facts import MEASURED
from pages.shared.latent_world import (
    COUNT,
    DATA,
    MAGNIFIED,
    REACH,
    SCALES,
    SHOWN,
    WALKERS,
    Kept,
    Lost,
    Plane,
    Shot,
    even_at,
    noise_times,
    shades,
    snr_shown,
    times,
)
from pages.shared.player import Curve, Frames, Panel

WIDE = 143  # of a plane, beside a sheet of 121 by 144 pixels
RARE_CHART = "share in holes (by q at t = 0)"
SNR_LOW, SNR_HIGH = 1e-5, 1e5  # of all factors, at every shown t
COST_CHART = "multiply-adds so far, 12 digits (billions)"


def plane_frames(told: Plane, data: str) -> Frames:
    """Draws of the prior, the same noise walked back, and what the decoder makes of either."""
    n = len(told.points)
    shade = shades(data)
    ringed = np.where(told.holes[..., None], told.points, np.nan)
    counts = [f"{count} of {WALKERS} in holes" for count in told.holes.sum(1)]
    clean = "green: q(z), the digits’ latents"
    at_t = [f"green: q with noise, t = {t}" if t else clean for t in times()]

    def still(frames: np.ndarray) -> np.ndarray:
        return np.broadcast_to(frames[:1], frames.shape)

    def words(greens: str | list[str], held: str | list[str], color: str) -> tuple[Word, ...]:
        return Word(0, 0.93 * REACH, greens, "q"), Word(0, -0.93 * REACH, held, color)

    clouds = [
        Cloud(
            "Drawn from N(0, I)",
            "draws of the prior, which stand still, over the density of the digits’ latents; "
            "those in holes have a ring",
            still(told.points), color="eps", extent=REACH, density=shade[-1:], trails=SHOWN,
            trail="eps", numbered=True, rings=still(ringed), side=WIDE,
            words=words(clean, counts[0], "bits"),
        ),
        Cloud(
            "Walked from there",
            "the same points walked back from noise to the density of the digits’ latents; those "
            "in holes have a ring",
            told.points, color="p", extent=REACH, density=shade, trails=SHOWN, numbered=True,
            rings=ringed, side=WIDE, words=words(at_t, counts, "bits"),
        ),
    ]  # fmt: skip
    panels = [
        Panel("Decoded: drawn | walked", f"the first {SHOWN} draws, decoded, and beside them the "
              "same after the walk so far", told.sheets, lo=0),
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
        panel("N(0, I), decoded", "draws of N(0, I), decoded as they are", "drawn", "eps"),
        panel("Walked: $z_t$ decoded", "the noisy latents, decoded", "plain", "p"),
        panel("$\\hat z_0$ decoded", "what the network of latents aims at, decoded", "aimed", "p"),
        panel("$\\hat x_0$ in pixels", "what the network of pixels aims at", "pixels", "x0"),
        panel("$z_t$ as colours", "the noisy latents as colours", "latent", "xt"),
    ]  # fmt: skip
    total = len(stops) - 1
    latent, pixels = spent(total)
    most = float(np.ceil(pixels[-1] / 10) * 10)
    now = slice(start, start + len(shots))
    curves = [
        Curve("in the latent", latent[now], "p", COST_CHART, 0, most, digits=1),
        Curve("in pixels", pixels[now], "x0", COST_CHART, 0, most, digits=1),
    ]
    return Frames(panels, spoken_steps(stops, start, len(shots)), curves)


def spent(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Billions of multiply-adds up to each stop, in the latent and in pixels: [steps + 1] each.

    A call of the network per step; the latent is decoded once, at the end. What is decoded on the
    way, to be looked at, does not count.
    """
    small, large, decoder = (COUNT * n / 1e9 for n in MEASURED.cost)
    calls = np.minimum(np.arange(1, steps + 2), steps)
    return small * calls + decoder * (np.arange(steps + 1) == steps), large * calls


def kept_frames(told: Kept) -> Frames:
    """The gallery's digits, what comes back of them, and the difference."""
    panels = [
        Panel("$x_0$, 784 numbers", "the digits", told.x0, "x0"),
        Panel("decoded, from 147", "the same, encoded and decoded", told.decoded, "p"),
        Panel(f"decoded − $x_0$, × {MAGNIFIED}", "decoded picture minus the digit, magnified",
              told.off, "bits", lo=-2 / MAGNIFIED, hi=2 / MAGNIFIED),
    ]  # fmt: skip
    chart = "difference, root mean square (black to white is 2)"
    curves = [Curve("lost", told.error, "bits", chart, 0, 0.1, digits=3)]
    n = len(told.error)
    captions = [f"variant {k} of {n} · {same} of 10 are read as before"
                for k, same in enumerate(told.same, 1)]  # fmt: skip
    return Frames(panels, captions, curves)


def lost_frames(told: Lost, picture: np.ndarray, factor: float, unit: Lost) -> Frames:
    """One digit, noise on its pixels, noise on its latent.

    Args:
        told: of the digit, its latent multiplied.
        picture: uint8 [28, 28], the digit.
        factor: that the latent is multiplied by.
        unit: the same without a factor.
    """
    stops = noise_times()
    n = len(stops)
    times_ = f", × {factor:g}"
    panels = [
        Panel("$x_0$", "the digit", np.broadcast_to(picture, (n, *picture.shape)), "x0"),
        Panel("$x_t$: on pixels", "the digit with noise on its pixels", told.pixels),
        Panel(f"$z_t${times_}, in colours", "its latent with noise, as colours",
              told.latent, "eps", lo=-3, hi=3),
        Panel("decoded, × 1", "the same noise on latents that are not multiplied, decoded",
              unit.decoded, "q"),
    ]  # fmt: skip
    if factor != 1:
        alt = "its noisy latent, decoded"
        panels.append(Panel(f"decoded{times_}", alt, told.decoded, "bits"))
    snr = "signal-to-noise ratio (log), 1 at t"
    alike = "errors of neighbouring pixels: correlation"
    curves = [
        Curve("on pixels", told.alike[0], "xt", alike, -0.2, 1),
        Curve("on the latent, × 1", unit.alike[1], "q", alike, -0.2, 1),
    ]
    for c in sorted({*SCALES, factor}):
        color, dash = ("q", "") if c == 1 else ("bits", "") if c == factor else ("xt", "5 5")
        label = f"× {c:g}: 1 at {even_at(c)}"
        curves.append(
            Curve(label, snr_shown(c), color, snr, SNR_LOW, SNR_HIGH, digits=1, line=1, log=True,
                  dash=dash)
        )  # fmt: skip
    captions = [f"t = {t}" if t else "t = 0: no noise" for t in stops]
    return Frames(panels, captions, curves)
