"""One network's answers, read in every language, clipped, and sampled beside others'. No Streamlit.

What is computed here is shown on the page "x0 or eps?": arrays go out, nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffusion_core.conversion import clip_lens, readings, unexplained
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.samplers import Step, sample
from diffusion_core.schedules import evenly_spaced
from pages.shared import bench
from pages.shared.first_look import remembering
from pages.shared.pictures import as_bytes
from pages.shared.player import Curve, Frames, Panel

SHOWN = (
    1, 2, 4, 7, 12, 20, 35, 55, 80, 120, 180, 260, 360, 500, 600, 720, 800, 860, 900, 940, 960, 980,
    987, 990, 995, 997, 998, 999, 1000,
)  # fmt: skip
"""Steps t that get a frame: log(σ/a), by which errors grow, advances evenly, as far as it can."""
FRAME = "_x_frame"
"""In the session: the frame on which a player that is drawn next stands still."""
BACK = {"one": 1, "jump": 40}  # from t to s; 40 is a stride of sampling in 25 steps
GAP_SCALE = 5e-7  # white and black of the picture that shows rounding
MOVED_SCALE = {"one": 0.002, "jump": 0.02}  # and of the one that shows what clipping moves
VERMILION = np.array([205, 49, 11])  # COLORS["bits"]: a pixel that clipping changes
COUNT = 9  # pictures per row of a run


class Answers(NamedTuple):
    """What a network says about one picture under one noise, at every shown step.

    Attributes:
        t: [n] int64.
        x0: [n, 1, 28, 28] float64, the true picture, repeated.
        eps: [n, 1, 28, 28] float64, the true noise, repeated.
        x_t: [n, 1, 28, 28] float64.
        output: [n, 1, 28, 28] float32, the noise that the network names.
    """

    t: Tensor
    x0: Tensor
    eps: Tensor
    x_t: Tensor
    output: Tensor


def ask(denoiser: NetworkDenoiser, pixels: np.ndarray, seed: int) -> Answers:
    """One batch through the network: a picture uint8 [28, 28], noised to every shown step.

    The network is not told which digit it is, as it is not told of a picture of the reader's.
    """
    t = torch.tensor(SHOWN)
    clean = torch.from_numpy(pixels.copy()).double() / 127.5 - 1
    x0 = clean.expand(len(t), 1, 28, 28)
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn(1, 1, 28, 28, generator=generator, dtype=torch.float64).expand_as(x0)
    x_t = denoiser.diffusion.q_sample(x0, t, eps)
    return Answers(t, x0, eps, x_t, denoiser(x_t.float(), t).eps)


def read(denoiser: NetworkDenoiser, told: Answers) -> dict[str, np.ndarray]:
    """The five readings as bytes [n, 28, 28], and how far off two of them are, [n].

    `gain` is the measured error of x0 over that of eps; `rule` what the determinant says it is.
    """
    diffusion, t = denoiser.diffusion, told.t
    rates = a, sigma = diffusion.rates(t, told.x_t)
    output = told.output.double()
    prediction = PARAMETERIZATIONS["eps"].recover(output, told.x_t, *rates)
    said = readings(diffusion, prediction, told.x_t, t, t - 1)
    wrong = {"x0": said.x0 - told.x0, "eps": said.eps - told.eps}
    errors = {f"wrong_{name}": rms(error).numpy() for name, error in wrong.items()}
    noise = bench.NOISE_RANGE
    frames = {
        "true": told.x0, "x_t": told.x_t, "x0": said.x0, "mean": said.mean,
        "eps": said.eps / noise, "v": said.v / noise, "score": said.score / noise,
    }  # fmt: skip
    return {
        **{name: as_bytes(frame[:, 0]) for name, frame in frames.items()},
        **errors,
        "gain": errors["wrong_x0"] / errors["wrong_eps"],
        "rule": (sigma / a).flatten().numpy(),
        "snr": diffusion.schedule.snr[t].numpy(),
    }


def lens(denoiser: NetworkDenoiser, told: Answers, back: str) -> dict[str, np.ndarray]:
    """One reverse step from every shown t by both routes: pictures as bytes, differences [n].

    Keys: `x0` (tinted where clipping changes it), `direct`, `gap` and `moved` (pictures of the
    differences), `gap32`, `gap64` and `moved_most` (their largest values), `clipped` (the share of
    pixels outside the range), `beyond` (how far the farthest of them is outside).
    """
    t, s = told.t, (told.t - BACK[back]).clamp(min=0)
    exact = clip_lens(denoiser.diffusion, told.x_t, told.output.double(), t, s)
    short = clip_lens(denoiser.diffusion, told.x_t.float(), told.output, t, s)
    gap, moved = short.through_x0 - short.direct, exact.clipped - exact.through_x0
    return {
        "s": s.numpy(),
        "x0": tinted(exact.x0),
        "direct": as_bytes(exact.direct[:, 0]),
        "through": as_bytes(exact.clipped[:, 0]),
        "gap": as_bytes(gap[:, 0] / GAP_SCALE),
        "moved": as_bytes(moved[:, 0] / MOVED_SCALE[back]),
        "gap32": gaps(gap),
        "gap64": gaps(exact.through_x0 - exact.direct),
        "moved_most": largest(moved),
        "beyond": (largest(exact.x0) - 1).clip(min=0),
        "clipped": (exact.x0.abs() > 1).flatten(1).double().mean(1).numpy(),
    }


def tinted(x0: Tensor) -> np.ndarray:
    """Pictures [n, 1, H, W] as uint8 [n, H, W, 3], the more vermilion the farther beyond -1..1.

    It is full from 0.2 beyond.
    """
    gray = as_bytes(x0[:, 0])[..., None].repeat(3, axis=-1).astype(np.float64)
    share = ((x0[:, 0].abs() - 1) / 0.2).clamp(0, 1).numpy()[..., None]
    return ((1 - share) * gray + share * VERMILION).round().astype(np.uint8)


def rms(error: Tensor) -> Tensor:
    """Root mean square of each picture, [n]."""
    return error.flatten(1).square().mean(1).sqrt()


def gaps(error: Tensor) -> np.ndarray:
    """As `largest`, NaN where it is 0: a logarithmic axis has no place for that."""
    most = largest(error)
    return np.where(most > 0, most, np.nan)


def largest(error: Tensor) -> np.ndarray:
    """Largest absolute value of each picture, [n]."""
    return error.flatten(1).abs().amax(1).double().numpy()


# --- runs side by side ----------------------------------------------------------------------------


class Row(NamedTuple):
    """One of the runs that are compared.

    Attributes:
        name: as the reader knows it.
        color: a key of `COLORS`.
        clip: whether x0 is clipped.
        rederive: whether eps is recomputed after that.
    """

    name: str
    color: str
    clip: bool = True
    rederive: bool = True


class Shot(NamedTuple):
    """What is shown of one stop of one row.

    Attributes:
        x0: uint8 [H, W] sheet of what the rule used; at the last stop the finished pictures.
        apart: rms distance of x0 to that of the first row; NaN at the last stop.
        largest: largest absolute value of x0 before it is clipped; NaN at the last stop.
        left: rms of what x0 and eps leave unexplained of x_t; NaN at the last stop.
    """

    x0: np.ndarray
    apart: float
    largest: float
    left: float


def run_beside(
    denoisers: Sequence[NetworkDenoiser], rows: Sequence[Row], digit: str, steps: int, seed: int
) -> Iterator[list[Shot]]:
    """Sample the same digits once per row, in lockstep, from one x_T, without fresh noise.

    Yields:
        One shot per row, for each of `steps` + 1 stops.
    """
    start = bench.Start(digit, steps, seed, COUNT)
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(COUNT, 1, 28, 28, generator=generator)
    walks = [
        sample(
            denoiser.diffusion, remembering(denoiser, denoiser, denoiser.diffusion.T), x_T,
            evenly_spaced(denoiser.diffusion.T, steps),
            sampler="ddim", clip_x0=row.clip, rederive_eps=row.rederive, label=start.label,
            generator=torch.Generator(),
        )
        for denoiser, row in zip(denoisers, rows, strict=True)
    ]  # fmt: skip
    for stops in zip(*walks, strict=True):
        yield [_shot(d, stop, stops[0]) for d, stop in zip(denoisers, stops, strict=True)]


def _shot(denoiser: NetworkDenoiser, stop: Step, first: Step) -> Shot:
    if stop.prediction is None or stop.raw is None or first.prediction is None:
        return Shot(bench.sheet_of(stop.x_t), np.nan, np.nan, np.nan)
    t = torch.full((len(stop.x_t),), stop.t)
    left = unexplained(denoiser.diffusion, stop.prediction, stop.x_t, t)
    return Shot(
        bench.sheet_of(stop.prediction.x0),
        float((stop.prediction.x0 - first.prediction.x0).square().mean().sqrt()),
        float(stop.raw.x0.abs().max()),
        float(left.square().mean().sqrt()),
    )


def draw_beside(
    shots: Sequence[Sequence[Shot]],
    start: int,
    times: Sequence[int],
    rows: Sequence[Row],
    clipping: bool,
) -> Frames:
    """What the player shows of consecutive stops.

    Args:
        shots: per stop, one shot per row.
        start: index of the first stop.
        times: timesteps of all stops.
        rows: as they were run.
        clipping: whether the rows differ in how they clip; else in the network's target.
    """
    panels, curves = [], []
    cut = " before clipping" * any(row.clip for row in rows)
    for k, row in enumerate(rows):
        own = [stop[k] for stop in shots]
        panels.append(
            Panel("$\\hat x_0$", f"the clean pictures that {row.name} believes in",
                  np.stack([s.x0 for s in own]), "x0", k)
        )  # fmt: skip
        values = np.array([s.largest for s in own])
        curves.append(
            Curve(row.name, values, row.color, "largest |x̂₀|" + cut + " (log)", 1, 1e5,
                  digits=1, log=True)
        )  # fmt: skip
        if not row.clip:
            continue  # nothing to explain, and no use in a distance: it may be lost
        if clipping:
            values = np.array([s.left for s in own])
            curves.append(Curve(row.name, values, row.color, LEFT_CHART, 0, 0.02, digits=4))
        elif k:
            values = np.array([s.apart for s in own])
            chart = f"distance of x̂₀ to that of {rows[0].name} (rms)"
            curves.append(Curve(row.name, values, row.color, chart, 0, 1, digits=3))
    captions = bench.spoken_steps(times, start, len(shots))
    return Frames(panels, captions, sorted(curves, key=lambda curve: curve.chart, reverse=True))


LEFT_CHART = "part of xₜ that x̂₀ and ε̂ leave unexplained (rms)"
