"""Two charts about prediction targets: what rounding costs, and what each loss weighs."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from diffusion_core.conversion import min_snr_weight, rates_at, rounding_errors, weight_on
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.schedules import SCHEDULES
from pages.shared.figures import Line, line_chart
from pages.shared.plot import plot

FORMATS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
READ = {"x0": "x̂₀", "eps": "ε̂"}
TARGETS = {"eps": "ε", "x0": "x₀", "v": "v"}
COLOR_OF = {"eps": "eps", "x0": "x0", "v": "ink"}  # v, like x_t, is a blend of picture and noise
LOSSES = {"eps": "loss on ε", "x0": "loss on x₀", "v": "loss on v", "min": "Min-SNR"}
Place = tuple[int, str, int]
"""Where a line's name stands: index along the line, side of the name that is there, pixels up."""
ROUNDING_PLACES: dict[str, dict[str, Place]] = {
    "x0": {"eps": (16, "left", 14), "v": (52, "center", 16), "x0": (92, "center", -14)},
    "eps": {"x0": (96, "right", 14), "v": (60, "center", 16), "eps": (20, "center", -14)},
}
WEIGHT_PLACES: dict[str, dict[str, Place]] = {
    "x0": {"eps": (16, "left", -14), "x0": (12, "center", 14), "v": (64, "right", 14),
           "min": (72, "center", 16)},
    "eps": {"eps": (70, "center", 14), "x0": (18, "right", -14), "v": (22, "left", 14),
            "min": (64, "right", -14)},
    "v": {"eps": (16, "left", -14), "x0": (60, "right", -14), "v": (40, "center", 16),
          "min": (62, "left", 14)},
}  # fmt: skip
ORDER = ("min", "x0", "eps", "v")  # drawn in, the last on top
EVERY_SECOND_POWER = {"dtick": 2, "exponentformat": "power", "showexponent": "all"}
SNR = torch.logspace(-8, 6, 113, dtype=torch.float64)


@st.cache_data(max_entries=32, show_spinner=False)
def rounding(target: str, number_format: str, read: str) -> tuple[np.ndarray, np.ndarray]:
    """Error of what is read from one target, measured and by formula, over `SNR`."""
    told = rounding_errors(
        PARAMETERIZATIONS[target], SNR, FORMATS[number_format],
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    pair = (told.x0, told.x0_formula) if read == "x0" else (told.eps, told.eps_formula)
    return pair[0].numpy(), pair[1].numpy()


def digits_process() -> GaussianDiffusion:
    """The process that the digit networks were trained for."""
    return GaussianDiffusion(SCHEDULES["cosine"](1000))


def weight_table(snr: torch.Tensor, base: str, gamma: float) -> dict[str, np.ndarray]:
    """What each loss makes an error count, before the squared error on `base`.

    Keys: "eps", "x0", "v" for the plain losses, "min" for Min-SNR.
    """
    a, sigma = rates_at(snr)
    plain = {name: PARAMETERIZATIONS[name].loss_weight(a, sigma) for name in TARGETS}
    on_x0 = plain | {"min": min_snr_weight(snr, gamma)}
    chosen = PARAMETERIZATIONS[base]
    return {name: weight_on(chosen, w, a, sigma).numpy() for name, w in on_x0.items()}


def rounded(row: st.delta_generator.DeltaGenerator) -> None:
    """How rounding grows when one language is translated into another."""
    number_format = row.segmented_control(
        "Numbers are", list(FORMATS), key="xformat", default="float16", required=True,
        bind="query-params", width="content",
    )  # fmt: skip
    read = row.segmented_control(
        "Read off", list(READ), key="xread", default="x0", required=True, bind="query-params",
        format_func=READ.get, width="content",
    )  # fmt: skip
    lines, worst = [], {}
    for name, symbol in TARGETS.items():
        measured, formula = rounding(name, number_format, read)
        worst[name] = float((measured / formula).max())
        place, anchor, shift = ROUNDING_PLACES[read][name]
        lines += [
            Line("", SNR.numpy(), formula, COLOR_OF[name], 0, dash="dot", width=1.5),
            Line(f"answer is {symbol}", SNR.numpy(), measured, COLOR_OF[name], place, anchor,
                 shift),
        ]  # fmt: skip
    figure = line_chart(
        lines,
        x_title="signal-to-noise ratio (noise on the left, picture on the right)",
        y_title=f"error of {READ[read]} from rounding (rms): measured, and dotted by formula",
        log_x=True,
        log_y=True,
        height=340,
        x_axis=EVERY_SECOND_POWER,
    )
    for trace in figure["data"][
        ::2
    ]:  # for the note under the pointer; a name in the chart is enough
        trace["name"] = "by formula"
    plot(
        figure,
        key="x_round_chart",
        alt=f"Rounding error of {READ[read]} read from answers in {number_format}, by target",
    )
    digits = digits_process().schedule.snr
    st.caption(
        f"The digits' schedule runs from a ratio of {float(digits[1]):,.0f} at t = 1 to "
        f"{float(digits[-1]):.1e} at t = 1000. The formula carries the rounding of the two numbers "
        "that go in through the determinant; what is measured also rounds every sum and product, "
        f"and lies at most {max(worst.values()):.1f} times above it."
    )


def weighted(row: st.delta_generator.DeltaGenerator) -> None:
    """What each loss counts, over the signal-to-noise ratio and over the steps."""
    base = row.segmented_control(
        "Weight on errors of", list(TARGETS), key="xbase", default="x0",
        required=True, bind="query-params", format_func=TARGETS.get, width="content",
    )  # fmt: skip
    gamma = row.slider("Min-SNR's γ", 1.0, 20.0, 5.0, 0.5, key="xgamma", bind="query-params",
                       width=180)  # fmt: skip
    snr = torch.logspace(-4, 4, 81, dtype=torch.float64)
    steps = digits_process().schedule.snr[1:]
    left, right = st.columns(2, gap="large")
    told = weight_table(snr, base, gamma)
    figure = line_chart(
        weight_lines(snr.numpy(), told, WEIGHT_PLACES[base]),
        x_title="signal-to-noise ratio",
        y_title=f"weight on the squared error of {TARGETS[base]}",
        log_x=True,
        log_y=True,
        y_range=(1e-4, 1e4),
        x_axis=EVERY_SECOND_POWER,
        y_axis={"dtick": 2},
    )
    plot(
        figure,
        key="x_weight_chart",
        alt="Loss weights of x0, eps, v and Min-SNR over the signal-to-noise ratio",
        place=left,
    )
    shares = {name: w.cumsum() / w.sum() for name, w in weight_table(steps, base, gamma).items()}
    figure = line_chart(
        weight_lines(np.arange(1, len(steps) + 1), shares),
        x_title="step t of the digits' schedule",
        y_title="share of the weight that lies on steps up to t",
        y_range=(-0.04, 1.1),
    )
    for trace, name in zip(figure["data"], ORDER, strict=True):
        trace["name"] = LOSSES[name]
    plot(
        figure,
        key="x_share_chart",
        alt="Cumulative share of each loss's weight over the steps",
        place=right,
    )
    halves = {name: int(np.searchsorted(share, 0.5)) + 1 for name, share in shares.items()}
    st.caption(
        "Half of the weight lies on the steps up to: "
        + ", ".join(f"{LOSSES[name]} t = {half}" for name, half in halves.items())
        + ". All lines are the same four losses; the choice above only says in which error they "
        "are counted."
    )


def weight_lines(
    x: np.ndarray, told: dict[str, np.ndarray], places: dict[str, Place] | None = None
) -> list[Line]:
    """One line per loss, named where `places` says so; Min-SNR's is broad, as it lies on others."""
    colors = COLOR_OF | {"min": "bits"}
    lines = []
    for name in ORDER:
        place, anchor, shift = places[name] if places else (0, "left", 0)
        lines.append(
            Line(LOSSES[name] if places else "", x, told[name], colors[name], place, anchor, shift,
                 width=5 if name == "min" else 2)
        )  # fmt: skip
    return lines
