"""The ledger of one picture: kept while it is computed, and drawn for the player."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.bits import BOUNDS
from diffusion_core.checkpoints import CheckpointError, read_card
from diffusion_core.datasets import to_uint8
from diffusion_core.elbo import prior_kl
from diffusion_core.gaussian import Gaussian
from diffusion_core.ledger import (
    Averages,
    Entry,
    Model,
    chapters,
    ledger,
    read_averages,
    with_steps,
)
from diffusion_core.likelihood import GREY_LEVELS, HALF_BIN, discretized_gaussian_tanh
from diffusion_core.recipes import RECIPES
from pages.shared import load
from pages.shared.canvas import canvas
from pages.shared.pictures import SOURCES, Picture
from pages.shared.player import Curve, Frames, Histogram, Panel
from pages.shared.uploads import UploadError, read_image

SIDE = 28
DIMENSIONS = SIDE * SIDE
BELL_BINS = 42
BELL_REACH = 5.0
"""The two bells are drawn this many standard deviations to both sides."""
LEVEL = 2 * HALF_BIN
"""The distance between two gray levels, black being −1 and white 1."""
NEAR = 5
"""At t = 1 so many gray levels are drawn on either side of the true one."""

Pixel = tuple[int, int] | None
"""Row and column, or None for the costliest one of each step."""

BITS_CHART = "bits/dim of a step (log)"
SUM_CHART = "bits/dim so far"


def bits_per_dim(nats: float) -> float:
    """Nats of a digit as bits per pixel."""
    return nats / (DIMENSIONS * math.log(2))


class Setting(NamedTuple):
    """What decides a ledger, in primitives.

    Attributes:
        network: its name.
        T: steps.
        variance: key in `samplers.VARIANCES`, or "trained" until `resolved`.
        clip: whether predictions are clipped.
        zero_terminal: whether no signal is left at step T.
        seed: of the noise.
    """

    network: str
    T: int
    variance: str = "trained"
    clip: bool = True
    zero_terminal: bool = False
    seed: int = 0


class Line(NamedTuple):
    """What is kept of an `Entry`: bytes for what is only looked at.

    Attributes:
        first: first step of the part.
        last: its last step, which is the one that is shown.
        nats: cost of the whole part.
        x_t: uint8 [28, 28].
        x0: uint8 [28, 28].
        share: uint8 [28, 28]; 255 is the pixel that costs most.
        gap: float32 [28, 28], model mean minus true mean, in standard deviations.
        spread: float32 [28, 28], the model's standard deviation over the true one.
        decoder: at t = 1, where q is a point, mean and width of the decoder's bell and the true
            level, all in gray levels from 0, float64 [3, 28, 28]; None at other steps.
    """

    first: int
    last: int
    nats: float
    x_t: np.ndarray
    x0: np.ndarray
    share: np.ndarray
    gap: np.ndarray
    spread: np.ndarray
    decoder: np.ndarray | None = None


def bell_chances(mean: float, width: float) -> np.ndarray:
    """The decoder's probability of each gray level, [256], for a bell given in gray levels."""
    centre = torch.full((256,), mean * LEVEL - 1, dtype=torch.float64)
    model = Gaussian(centre, torch.tensor((width * LEVEL) ** 2, dtype=torch.float64))
    return discretized_gaussian_tanh(GREY_LEVELS, model).exp().numpy()


def near_levels(mean: float, width: float, true: int) -> np.ndarray:
    """Probabilities of the levels NEAR below the true one to NEAR above it, [2 * NEAR + 1].

    What lies further out is in the first and the last.
    """
    chances = bell_chances(mean, width)
    inner: np.ndarray = np.pad(chances, NEAR)[true : true + 2 * NEAR + 1]
    inner[0] = chances[: max(true - NEAR + 1, 0)].sum()
    inner[-1] = chances[true + NEAR :].sum()
    return inner


def decoder_bells(entry: Entry) -> np.ndarray:
    """`Line.decoder`, from the entry of t = 1, whose true mean is the picture itself."""
    std, mean = entry.std.double(), entry.x0.double()
    width = (entry.spread.double() * std).expand_as(mean)
    true = ((mean - entry.gap.double() * std + 1) / LEVEL).round()
    told = torch.stack([(mean + 1) / LEVEL, width / LEVEL, true])
    return told.reshape(3, SIDE, SIDE).numpy()


def line_of(entry: Entry) -> Line:
    """Shrink an entry of one digit to what the page shows."""
    share = entry.share.clamp(min=0)
    largest = float(share.max()) or 1.0
    pictures = (to_uint8(x.reshape(1, 1, SIDE, SIDE))[0].numpy() for x in (entry.x_t, entry.x0))
    spread = entry.spread.float().expand(1, SIDE, SIDE)
    return Line(
        entry.steps[0],
        entry.steps[-1],
        float(entry.nats.sum()),
        *pictures,
        (255 * share / largest).round().to(torch.uint8).reshape(SIDE, SIDE).numpy(),
        entry.gap.float().reshape(SIDE, SIDE).numpy(),
        spread.reshape(SIDE, SIDE).numpy().copy(),
        decoder_bells(entry) if entry.steps[-1] == 1 else None,
    )


class Kept:
    """A ledger that is computed once, as far as somebody asked for it, and shared by all sessions.

    Another pixel is another view of the same lines, and so is another visitor with the same digit.
    """

    def __init__(self, make: Callable[[], Iterator[Line]], parts: Sequence[range], prior: float):
        """Prepare; nothing is computed yet. `prior` is L_T in nats."""
        self.parts = parts
        self.prior = prior
        self.lines: list[Line] = []
        self._make = make
        self._source: Iterator[Line] | None = None
        self._lock = threading.Lock()

    @property
    def complete(self) -> bool:
        """Whether every term is known."""
        return len(self.lines) == len(self.parts)

    @property
    def total(self) -> float:
        """Nats: L_T and all terms known so far."""
        return self.prior + sum(line.nats for line in self.lines)

    def __iter__(self) -> Iterator[Line]:
        """Walk from the first line on, computing what is missing."""
        for index in range(len(self.parts)):
            with self._lock:
                while len(self.lines) <= index:
                    self._extend()
            yield self.lines[index]

    def _extend(self) -> None:
        if self._source is None:
            self._source = self._make()
            for _ in self.lines:  # it had died of an exception: skip what is known
                next(self._source)
        try:
            self.lines.append(next(self._source))
        except BaseException:
            self._source = None
            raise
        if self.complete:
            self._source = None  # frees the generator's tensors


class Impossible(Exception):
    """A setting that has no ledger; the message is a sentence for the reader."""


@st.cache_resource(max_entries=16, show_spinner=False)
def kept_ledger(pixels: bytes, setting: Setting, sha256: str) -> Kept:
    """The ledger of one digit, uint8 [28, 28] as bytes; the weights are named by `sha256`.

    Raises:
        Impossible: when the network has no answer at some step.
    """
    model, x0 = model_of(setting), unit(pixels)
    parts = chapters(model.diffusion.T)

    def make() -> Iterator[Line]:
        entries = ledger(
            model.diffusion,
            model,
            x0,
            parts,
            variance=setting.variance,
            clip_x0=setting.clip,
            generator=torch.Generator().manual_seed(setting.seed),
        )
        return map(line_of, entries)

    try:
        make()  # what can't be computed is refused here, and not in the middle
    except ValueError as error:
        raise Impossible(str(error)) from None
    return Kept(make, parts, float(prior_kl(model.diffusion, x0)))


def model_of(setting: Setting) -> Model:
    """The network on the steps asked for."""
    denoiser, _ = load.network(setting.network)
    return with_steps(denoiser, setting.T, zero_terminal=setting.zero_terminal)


@st.cache_data(max_entries=32, show_spinner=False)
def predicts_variance(name: str, sha256: str) -> bool:
    """Whether a network says how wide a step is."""
    denoiser, _ = load.network(name)
    probe = torch.zeros(1, 1, SIDE, SIDE), torch.ones(1, dtype=torch.int64)
    return denoiser(*probe).var_fraction is not None


def resolved(setting: Setting) -> Setting:
    """With the variance that the network was trained for in the place of "trained"."""
    if setting.variance != "trained":
        return setting
    learned = predicts_variance(setting.network, sha_of(setting.network))
    return setting._replace(variance="learned" if learned else "posterior")


def unit(pixels: bytes) -> torch.Tensor:
    """uint8 [28, 28] as bytes: float64 [1, 1, 28, 28] in -1..1, gray levels to all digits."""
    image = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(1, SIDE, SIDE)
    return (image.double() / 127.5 - 1).unsqueeze(1)


# --- what the player shows ------------------------------------------------------------------------


def bells(line: Line, pixel: Pixel) -> np.ndarray:
    """The model's Gaussian for one pixel on the axis where the true one is N(0, 1), [BELL_BINS].

    A bell that lies beyond the axis is shown at its end. Without a pixel it is the costliest one.
    At t = 1 the axis counts gray levels from the true one, and each bar has its level's height.
    """
    if pixel is None:
        row, column = np.unravel_index(int(line.share.argmax()), line.share.shape)
        pixel = int(row), int(column)
    edge = BELL_REACH - BELL_REACH / BELL_BINS
    x = np.linspace(-edge, edge, BELL_BINS)
    if line.decoder is not None:
        mean, width, true = line.decoder[:, *pixel]
        return near_levels(mean, width, int(true))[np.rint(x).astype(int) + NEAR]
    centre = float(np.clip(line.gap[pixel], -edge, edge))
    width = float(line.spread[pixel])
    density: np.ndarray = np.exp(-0.5 * ((x - centre) / width) ** 2)
    return density


def rounded(value: float) -> str:
    """A number of three digits, or a whole one; nothing with an exponent where it is large."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def draw(lines: Sequence[Line], start: int, kept: Kept, pixel: Pixel) -> Frames:
    """What the player shows of consecutive lines, `start` being the first one's index."""
    which = "white pixel" if pixel is None else f"pixel {pixel[0]}, {pixel[1]}"
    sums = np.cumsum([line.nats for line in kept.lines[: start + len(lines)]])[start:]
    single = np.array([each(line) for line in lines])
    captions = [heading(line) for line in lines]
    return Frames(
        [
            Panel("$x_t$", "the noisy digit at step t", np.stack([ln.x_t for ln in lines])),
            Panel(
                "$\\hat x_0$",
                "the clean digit that the network sees in it",
                np.stack([ln.x0 for ln in lines]),
                "x0",
            ),
            Panel(
                "where it costs",
                "share of each pixel in the cost of this step; white is the largest",
                np.stack([ln.share for ln in lines]),
                "bits",
                lo=0,
                hi=1,
            ),
        ],
        captions,
        [
            Curve("each", single, "bits", BITS_CHART, lo=0.01 / kept.parts[-1][-1], digits=4,
                  log=True, bars=True),
            Curve("sum", np.array([bits_per_dim(v) for v in sums]), "bits", SUM_CHART, lo=0,
                  digits=3),
        ],
        [
            Histogram(
                f"{which}: p bars, q line",
                "the model's Gaussian for one pixel, as bars, on the true posterior, a line; at "
                "t = 1 the decoder's gray levels around the true one",
                np.stack([bells(ln, pixel) for ln in lines]),
                -BELL_REACH,
                BELL_REACH,
                "p",
                points=1,
            )
        ],
    )  # fmt: skip


def each(line: Line) -> float:
    """What a step of the part costs on average, in bits/dim: the height of its bar."""
    return bits_per_dim(line.nats / (line.last - line.first + 1))


def heading(line: Line) -> str:
    """The steps of a bar and its height; so short that "computing…" finds room beside it."""
    if line.first == line.last:
        return f"t = {line.last} · {name_of(line.last)} = {rounded(each(line))} bits/dim"
    return f"t = {line.first}–{line.last} · each {rounded(each(line))} bits/dim"


def name_of(t: int) -> str:
    """What papers call the term that step t owns."""
    return "L" + "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(t - 1))


def ticks(parts: Sequence[range]) -> list[tuple[int, str]]:
    """Where the powers of ten stand among the frames."""
    T = parts[-1][-1]
    wanted = {1, T} | {10**k for k in range(1, 4) if 10**k < T}
    at = {t: next(i for i, part in enumerate(parts) if t in part) for t in wanted}
    return [(index, str(t)) for t, index in sorted(at.items())]


# --- what is chosen -------------------------------------------------------------------------------


def face() -> np.ndarray:
    """A face in a few strokes, uint8 [28, 28]: white on black, and no digit."""
    rows, columns = np.mgrid[:SIDE, :SIDE]

    def away(row: float, column: float) -> np.ndarray:
        distance: np.ndarray = np.hypot(rows - row, columns - column)
        return distance

    mouth = np.where(rows > 15, np.abs(away(12, 13.5) - 7), SIDE)
    strokes = np.abs(away(13.5, 13.5) - 12), mouth, away(10, 9) - 0.5, away(10, 18) - 0.5
    ink: np.ndarray = 255 * np.clip(1.5 - np.minimum.reduce(strokes), 0, 1)
    return ink.round().astype(np.uint8)


def choose_digit(sheet: Callable[[], np.ndarray] | None = None) -> tuple[Picture, list[str]]:
    """Draw the controls for x_0, a digit of 28 by 28 gray pixels; also say what was done to it.

    Args:
        sheet: makes what the sheet to draw on begins with; None for a digit.
    """
    source = st.segmented_control(
        "Picture x₀", SOURCES, key="source", default=SOURCES[0], required=True,
        bind="query-params", format_func=str.capitalize,
        help="Digits of the gallery were made by a network of this app.",
    )  # fmt: skip
    if source == "draw":
        initial = load.gallery_digit(3, 0) if sheet is None else sheet()
        return Picture(canvas(key="drawn", initial=initial), "your drawing"), []
    if source == "upload":
        return _uploaded()
    left, right = st.columns(2)
    label = left.number_input("Digit", 0, 9, 3, key="digit", bind="query-params")
    row = right.number_input("Variant", 1, 6, 1, key="variant", bind="query-params")
    return Picture(load.gallery_digit(label, row - 1), f"a generated digit {label}"), []


def _uploaded() -> tuple[Picture, list[str]]:
    """An uploaded picture brought to the form of the digits; until there is one, a digit."""
    file = st.file_uploader(
        "PNG or JPEG, up to 2 MB", type=["png", "jpg", "jpeg"], key="eb_upload", max_upload_size=2
    )
    stand_in = Picture(load.gallery_digit(3, 0), "a generated digit 3, until you upload a picture")
    if file is None:
        return stand_in, []
    digit = st.toggle(
        "Bring it to MNIST's form", True, key="eb_form",
        help="Light ink on black, centred. Off: only scaled to 28 by 28 pixels.",
    )  # fmt: skip
    try:
        upload = read_image(file.getvalue(), size=SIDE, mode="L", digit=digit)
    except UploadError as error:
        return stand_in, [f"{error} A digit stands in for it."]
    return Picture(upload.pixels, "your picture"), list(upload.notes)


@st.cache_data(max_entries=1, ttl=600, show_spinner=False)
def networks() -> list[str]:
    """The shipped denoisers of digits that can be loaded, digits-eps first."""
    found = []
    for name, recipe in RECIPES.items():
        if recipe.task not in BOUNDS:
            continue
        try:
            read_card(name)
        except CheckpointError:
            continue
        found.append(name)
    return sorted(found, key=lambda name: (name != "digits-eps", name))


def averages_of(name: str, sha256: str) -> Averages | None:
    """What was measured of exactly these weights; None where nothing was."""
    try:
        found = read_averages(name)
    except ValueError:
        return None
    return found if found is not None and found.sha256 == sha256 else None


def sha_of(name: str) -> str:
    """The weights' sha256 as the card has it."""
    return str(read_card(name).fields.get("sha256", ""))


def metrics_of(name: str) -> list[dict[str, Any]]:
    """What was measured of a network, as its card has it; nothing where there is no card."""
    try:
        return list(read_card(name).fields.get("metrics", []))
    except CheckpointError:
        return []
