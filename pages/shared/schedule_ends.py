"""What a schedule's last steps do: the first step back, where sampling starts, a large picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import streamlit as st
import torch
from PIL import Image
from torch import Tensor

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import SCHEDULES, counted_up, evenly_spaced, step_back_spread
from pages.shared import chapter
from pages.shared.figures import BARE, CLEAR, Figure, Line, chart, line_chart, name_at, upright
from pages.shared.numbers import signed
from pages.shared.palette import COLORS
from pages.shared.pictures import as_bytes
from pages.shared.plot import plot
from pages.shared.schedule_world import root_left

SHEET = Path(__file__).with_name("schedule_ends.png")
"""Pictures that take a network, drawn by tools/schedule_ends.py: rows of `DIGITS`."""
DIGITS = 10
STEPS = 5  # of the digits on the sheet
NETWORKS = {"digits-eps": 0.26, "digits-v": 0.032}
"""Whose first step back the sheet's last row has -> the spread of its mean, over 96 noises."""
BRIGHTNESS = {"down": -0.75, "up": -0.64}
"""Mean of 50 final digits, steps counted down from T and up from 1."""
TRAINED = {"digits-eps": "a network trained on ε", "digits-v": "one trained on v"}
"""How a reader who has not met them yet is told of them."""
NOISE_SEED = 3  # of x_T on the sheet's last row
SIDES = (28, 56, 128, 256, 512, 1024)
FAR = 0.05  # the mean brightness at which the chart ends
TILE, ZOOM = 28, 5
CAPS = (0.99, 0.999, 0.99999)
"""Largest β that one may allow; 0.999 is the one in use."""


@st.cache_data(max_entries=1, show_spinner=False)
def sheet() -> np.ndarray:
    """The sheet's rows, uint8 [3, 28, 280]."""
    with Image.open(SHEET) as picture:
        return np.array(picture).reshape(3, TILE, -1)


def enlarged(pixels: np.ndarray, zoom: int) -> np.ndarray:
    """A picture with crisp pixels, zoom times as large."""
    return pixels.repeat(zoom, 0).repeat(zoom, 1)


# --- the first step back --------------------------------------------------------------------------


def spreads() -> dict[str, float]:
    """Whose noise the first step back of the cosine believes -> the spread of its mean."""
    cosine = SCHEDULES["cosine"](1000)
    return {
        "ε̂ unrelated to the noise": step_back_spread(cosine, 1000, 0.0),
        **{f"ε̂ of {TRAINED[name]}": spread for name, spread in NETWORKS.items()},
        "ε̂ is the noise, the right answer": step_back_spread(cosine, 1000, 1.0),
    }


def mean_back(eps: Tensor, x_T: Tensor) -> Tensor:
    """The mean of the first step back of the cosine from x_T [28, 28] by the noise eps."""
    cosine = SCHEDULES["cosine"](1000)
    a = cosine.alpha_bar[1000].sqrt()
    x0 = (x_T.double() - (1 - a * a).sqrt() * eps.double()) / a
    t = torch.tensor([1000])
    return GaussianDiffusion(cosine).q_posterior(x_T.double()[None], x0[None], t, t - 1).mean[0]


def noise(seed: int) -> Tensor:
    """The first picture of pure noise that a seed gives, [28, 28]."""
    return torch.randn(1, 1, TILE, TILE, generator=torch.Generator().manual_seed(seed))[0, 0]


@st.cache_data(max_entries=1, show_spinner=False)
def means() -> list[np.ndarray]:
    """The means as pictures, uint8 [28, 28] each, in the order of `spreads`."""
    x_T = noise(NOISE_SEED)
    unrelated, right = (as_bytes(mean_back(e, x_T)[None])[0] for e in (noise(4), x_T))
    told = [sheet()[2, :, TILE * k : TILE * (k + 1)] for k in range(len(NETWORKS))]
    return [unrelated, *told, right]


def spreads_figure(told: dict[str, float]) -> Figure:
    """A bar per spread on a logarithmic axis, and a line at 1, the spread of x_T."""
    low, high = -2.0, 2.0
    shapes, names = [upright(0, "xt", width=1)], []
    for k, (name, spread) in enumerate(told.items()):
        y, color = len(told) - 1 - k, "bits" if spread > 1 else "p" if "trained" in name else "q"
        shapes.append(
            {"type": "rect", "x0": low, "x1": math.log10(spread), "y0": y + 0.05, "y1": y + 0.45,
             "fillcolor": COLORS[color], "opacity": 0.85, "line": {"width": 0}}
        )  # fmt: skip
        label = f"{name}: {spread:.1f}" if spread > 1 else f"{name}: {spread:.2g}"
        names.append(name_at(low, label, color, y=y + 0.52, xanchor="left", yanchor="bottom"))
    names.append(
        name_at(0, "1, as x<sub>T</sub>", "xt", y=0, yanchor="bottom", xanchor="left", xshift=6)
    )
    trace = {"type": "scatter", "mode": "lines", "x": [low, high], "y": [0, len(told)],
             "opacity": 0, "hoverinfo": "skip", "line": {"width": 0}}  # fmt: skip
    layout = {
        "xaxis": BARE | {"title": {"text": "spread of the mean after one step", "standoff": 8},
                         "range": [low, high], "tickvals": [-2, -1, 0, 1, 2],
                         "ticktext": ["0.01", "0.1", "1", "10", "100"]},
        "yaxis": BARE | {"range": [0, len(told)], "showticklabels": False},
        "height": 270, "margin": {"l": 12, "r": 12, "t": 8, "b": 44}, "hovermode": "closest",
        "shapes": shapes, "annotations": names,
    } | CLEAR  # fmt: skip
    return chart([trace], layout)


def grows(cap: float) -> str:
    """How many times a step back from noise with that β multiplies an error of ε̂."""
    return f"{cap * (1 - cap) ** -0.5:.3g}"


def first_step_back() -> None:
    """What dividing by √(1 − 0.999) does, for noise that is right, nearly right and unrelated."""
    told = spreads()
    capped = ", ".join(f"{grows(cap)} at {cap:g}" for cap in CAPS)
    chapter.prose(
        "The cosine’s last β is capped at 0.999. One step back from the noise $x_T$ has the mean "
        r"$\mu = (x_T - 0.999\,\hat\epsilon)/\sqrt{0.001}$; ε̂ is a network’s guess of that "
        f"noise. **What ε̂ gets wrong grows β/√(1−β) times**: {capped}, without end if β = 1. Below "
        "is μ by four guesses."
    )
    left, right = st.columns(2, gap="medium")
    plot(
        spreads_figure(told), key="ends_spreads", place=left,
        alt="Spread of the mean after the first step back, by whose noise is believed",
    )  # fmt: skip
    with right.container(horizontal=True, gap="medium"):
        for name, picture in zip(told, means(), strict=True):
            with st.container(width=TILE * ZOOM, gap="xsmall"):
                shown_picture(picture, f"The mean after one step back, by {name}", ZOOM)
                st.caption(name)
    st.caption(
        "Black is −1, gray 0, white 1; what lies beyond is cut off. The networks are digits-eps "
        "and digits-v; their spread is over 96 noises, with nothing clipped."
    )


def shown_picture(pixels: np.ndarray, alt: str, zoom: int) -> None:
    """A still picture with crisp pixels."""
    st.image(enlarged(pixels, zoom), output_format="PNG", alt=alt)


# --- where sampling starts ------------------------------------------------------------------------


def starts() -> None:
    """Digits made in a few steps, counted down from T and up from 1, from the same noise."""
    cosine = SCHEDULES["cosine"](1000)
    chapter.prose(
        f"A network (digits-v, cosine) draws digits in {STEPS} steps, counted in two "
        "ways. A first step at t < 1000 tells the network that some signal is left; there "
        "is only noise, and a signal of 0 is a picture in mid-gray, brighter than digits are."
    )
    for row, (way, times) in enumerate(
        (("down", evenly_spaced(1000, STEPS)), ("up", counted_up(1000, STEPS)))
    ):
        left = root_left(cosine, times[0])
        begins = "from T down" if way == "down" else "from 1 up"
        chapter.prose(
            f"**Steps counted {begins}**: {', '.join(map(str, times))}. Signal √ᾱ at the first: "
            f"{share(left)}. Mean brightness of 50 digits: "
            f"**{signed(BRIGHTNESS[way])}**."
        )
        shown_picture(sheet()[row], f"Ten digits made in {STEPS} steps counted {begins}", 3)
    st.caption("Black is −1, white 1. Same network, same ten noises, same labels 0 to 9.")


# --- a large picture ------------------------------------------------------------------------------


def told_apart(side: int, left: float) -> float:
    """How often the mean brightness of a noised picture says whether it was white or black.

    Args:
        side: pixels a side.
        left: √ᾱ, the signal.
    """
    return 0.5 * (1 + math.erf(left * side / math.sqrt(2 * (1 - left * left))))


def bells_figure(side: int, left: float) -> Figure:
    """How the mean brightness of side² pixels at t = T is spread, for black, white, pure noise."""
    x = np.linspace(-FAR, FAR, 801)
    width = math.sqrt(1 - left * left) / side

    def bell(mean: float) -> np.ndarray:
        return np.exp(-0.5 * ((x - mean) / width) ** 2)

    def at(mean: float) -> int:
        return int(np.abs(x - mean).argmin())

    return line_chart(
        [
            Line("pure noise", x, bell(0.0), "eps", at(0), "center", 26, dash="dash"),
            Line("was black", x, bell(-left), "xt", at(-left), "right", 10),
            Line("was white", x, bell(left), "x0", at(left), "left", 10),
        ],
        x_title="mean brightness of all pixels at t = T; black is −1, white 1",
        y_title="how likely, highest = 1",
        y_range=(0, 1.3),
        height=300,
    )


def large_picture() -> None:
    """Whether the brightness of the picture can be seen in the noise of the last step."""
    left = root_left(SCHEDULES["linear"](1000), 1000)
    side = st.select_slider("Pixels a side", SIDES, 256, key="nside", bind="query-params")
    plot(
        bells_figure(side, left), key="ends_bells",
        alt="The mean brightness at t = T of a picture that was black or white, and of pure noise",
    )  # fmt: skip
    chapter.prose(
        f"**{side * side:,} pixels.** At t = T the linear schedule leaves {left:.2%} of the signal "
        f"(√ᾱ): it moves the mean of a white picture up by {left:.4f}, of a black one down. The "
        f"noise in that mean is 1/√{side * side:,} = {1 / side:.4f}. From the mean alone one could "
        f"say which it was in **{told_apart(side, left):.0%}** of all cases; 50% would be a guess. "
        "Pull to 1024, then to 28, a digit’s size. With no signal left at T (see “More” of "
        "“Two schedules”) all three are one bell."
    )


def share(left: float) -> str:
    """A share in percent, as short as it can be told: 60%, 4%, 0.64%, 0.005%."""
    if left >= 0.01:
        return f"{left:.0%}"
    return f"{left:.2%}" if left >= 1e-4 else f"{100 * left:.1g}%"


def left_of(alpha_bar: float) -> tuple[str, str]:
    """What is left of the picture: as a share of the variance, and of the picture itself."""
    digits = 3 if alpha_bar >= 0.001 else 2
    variance = np.format_float_positional(alpha_bar, digits, fractional=False, trim="-")
    return "< 10⁻⁵" if 0 < alpha_bar < 1e-5 else variance, share(float(alpha_bar) ** 0.5)


VIEWS = {
    "two": "Two schedules",
    "back": "First step back",
    "start": "Where sampling starts",
    "large": "A large picture",
}
ENDS = {"back": first_step_back, "start": starts, "large": large_picture}
