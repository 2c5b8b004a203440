"""Two views beside the ledger: guesses at the bound from few terms, and its two decompositions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import streamlit as st
import torch

from diffusion_core.chains import (
    ESTIMATORS,
    LinearChain,
    chain_draws,
    chain_elbo,
    optimal_chain,
)
from diffusion_core.elbo import Uniform, elbo_draws
from diffusion_core.ledger import Averages, best_probabilities, draw_variance, draws_needed
from pages.shared import chapter
from pages.shared.chapter import term
from pages.shared.figures import BARE, CLEAR, Figure, chart, level, name_at, upright
from pages.shared.ledger import (
    Kept,
    Line,
    Setting,
    averages_of,
    bits_per_dim,
    model_of,
    sha_of,
    unit,
)
from pages.shared.ledger_views import measured, wide_table
from pages.shared.numbers import about, plus_minus
from pages.shared.palette import COLORS
from pages.shared.player import session_runs
from pages.shared.plot import plot
from pages.shared.runs import MAX_ASK, LiveRun

DRAWS = 256
SHOWN_DRAWS = (16, 32, 64, 128, 256)
SETTLED = 16
"""From so many draws on the running mean may not leave its chart."""
DIFFERENCES = (0.3, 0.1, 0.03, 0.01, 0.003)
CHAINS = {"rough": "a rough model", "exact": "the exact model"}
CHAIN_NAMES = {
    "denoising_log_ratios": "denoising, log-ratios drawn",
    "denoising_analytic_kl": "denoising, exact KL",
    "consistency_log_ratios": "consistency, log-ratios drawn",
    "consistency_bridge": "consistency, xₜ integrated out",
    "consistency_as_written": "consistency, KL as often written",
}


# --- the estimator --------------------------------------------------------------------------------


class FixedProposal:
    """Steps drawn with probabilities that were learned before: [T]."""

    def __init__(self, probabilities: torch.Tensor) -> None:
        self._probabilities = probabilities

    def probabilities(self) -> torch.Tensor:
        """[T] float64."""
        return self._probabilities

    def update(self, t: torch.Tensor, nats: torch.Tensor) -> None:
        """Nothing is learned here."""


@st.cache_data(max_entries=32, show_spinner="Drawing …")
def estimates(pixels: bytes, setting: Setting, sha256: str) -> dict[str, np.ndarray]:
    """Draws of the bound in bits/dim, [DRAWS] for each way of choosing the step."""
    model, x0 = model_of(setting), unit(pixels)
    proposals = {"uniform": Uniform(model.diffusion.T)}
    averages = averages_of(setting.network, sha256)
    if averages is not None and averages.T == model.diffusion.T:
        square = torch.tensor(averages.square, dtype=torch.float64)
        proposals["importance"] = FixedProposal(best_probabilities(square))
    return {
        name: elbo_draws(
            model.diffusion,
            model,
            x0,
            n=DRAWS,
            proposal=proposal,
            variance=setting.variance,
            clip_x0=setting.clip,
            batch=64,
            generator=torch.Generator().manual_seed(1 + setting.seed),
        )[0].numpy()
        / (x0.numel() * math.log(2))
        for name, proposal in proposals.items()
    }


@st.fragment(run_every=0.6)
def the_rest(kept: Kept, live: LiveRun[Line]) -> None:
    """Compute what is missing of the ledger, a little at a time, then draw the page with its sum.

    Args:
        kept: the ledger.
        live: a run over it, whose steps take turns with those of other readers.
    """
    try:
        live.advance(live.have + MAX_ASK, seconds=0.3)
    except ValueError:  # a network whose answer is no number: the ledger's own view says so
        return
    if kept.complete:
        st.rerun()
    done = len(kept.lines) / len(kept.parts)
    st.caption(f":material/hourglass_empty: The exact sum is being computed: {done:.0%}.")


def estimator_view(pixels: bytes, setting: Setting, kept: Kept, ident: str) -> None:
    """Two histograms of one-term guesses, and how many of them are needed.

    Args:
        pixels: the digit.
        setting: of its ledger.
        kept: the ledger, as far as it is known.
        ident: names the run that computes the rest of it.
    """
    sha = sha_of(setting.network)
    told = estimates(pixels, setting, sha)
    n = st.select_slider(
        "Draws", SHOWN_DRAWS, value=128, key="eb_n", bind="query-params",
        help="Each draw asks the network once; the whole ledger asks it at every step.",
    )  # fmt: skip
    exact = bits_per_dim(kept.total) if kept.complete else None
    left, right = st.columns(2, gap="large")
    plot(
        histogram({name: draws[:n] for name, draws in told.items()}, exact),
        key="eb_draws",
        alt="Histogram of single draws of the bound, with the step drawn uniformly and by weight",
        place=left,
    )
    plot(
        running({name: draws[:n] for name, draws in told.items()}, exact),
        key="eb_running",
        alt="Mean of the draws so far with two standard errors, against the exact sum",
        place=right,
    )
    said = []
    for name, draws in told.items():
        error = draws[:n].std(ddof=1) / math.sqrt(n)
        said.append(f"**{name}** {plus_minus(f'{draws[:n].mean():.3f}', f'{error:.3f}')}")
    exactly = (
        ""
        if exact is None
        else (
            f"; the whole ledger says **{exact:.3f}**: {setting.T} × "
            f"{(exact - bits_per_dim(kept.prior)) / setting.T:.3g} (the mean over all t)"
            + (" + $L_T$" if bits_per_dim(kept.prior) >= 5e-4 else "")
        )
    )
    chapter.prose(f"After {n} draws: {', '.join(said)} bits/dim{exactly}.")
    other = (
        "" if len(told) == 1 else
        " Importance: steps with many bits more often, and each draw divided by its step’s chance."
    )  # fmt: skip
    st.caption(
        "One draw is one step’s cost, scaled up to the whole sum. Uniform: all steps equally "
        f"often.{other} The uniform error bar is itself a guess, and often too short: until a rare "
        "step with many bits has been drawn, nothing tells that there is one."
    )
    if exact is None:
        the_rest(kept, session_runs().open(ident, lambda: iter(kept), len(kept.parts)))
    needed(measured().get(setting.network))


def histogram_chart(
    values: dict[str, np.ndarray], colors: dict[str, str], edges: np.ndarray, x_title: str
) -> Figure:
    """Bars of how often logarithms fall between edges, each name at its highest bar.

    Args:
        values: [n] base-10 logarithms per name.
        colors: a key of `COLORS` per name.
        edges: of the bars, logarithms too.
        x_title: name and unit of the horizontal axis.
    """
    middles = (edges[1:] + edges[:-1]) / 2
    bars, names = [], []
    for name, logs in values.items():
        counts, _ = np.histogram(logs, edges)
        bars.append(
            {"type": "bar", "x": middles, "y": counts, "name": name, "opacity": 0.75,
             "marker": {"color": COLORS[colors[name]]}, "width": edges[1] - edges[0],
             "hovertemplate": "%{y} draws"}
        )  # fmt: skip
        peak = int(counts.argmax())
        names.append(name_at(middles[peak], name, colors[name], y=int(counts[peak]), yshift=12))
    powers = range(math.floor(edges[0]), math.ceil(edges[-1]) + 1)
    figure = quiet(bars, x_title, "draws")
    figure["layout"]["xaxis"] |= {"tickvals": list(powers),
                                  "ticktext": [f"{10.0**k:g}" for k in powers]}  # fmt: skip
    figure["layout"] |= {"barmode": "overlay", "annotations": names, "shapes": []}
    return figure


def histogram(draws: dict[str, np.ndarray], exact: float | None) -> Figure:
    """How often a single draw gives which number of bits, on a logarithmic axis."""
    figure = histogram_chart(
        {name: np.log10(np.clip(values, 1e-2, 2e3)) for name, values in draws.items()},
        {name: "bits" if name == "importance" else "xt" for name in draws},
        np.linspace(-2, 3.4, 37),
        "bits/dim that one draw says (log)",
    )
    if exact is not None:
        at = math.log10(exact)
        figure["layout"]["shapes"].append(upright(at, "p"))
        figure["layout"]["annotations"].append(
            name_at(at, "exact", "p", y=0.6, yref="paper", xanchor="left", xshift=8)
        )
    return figure


def running(draws: dict[str, np.ndarray], exact: float | None) -> Figure:
    """Mean so far, with a band of two standard errors."""
    traces: list[dict[str, Any]] = []
    top = max(2 * (exact or 0), 6.0)
    for name, values in draws.items():
        color = COLORS["bits" if name == "importance" else "xt"]
        n = np.arange(2, len(values) + 1)
        mean = np.cumsum(values)[1:] / n
        square = np.cumsum(values**2)[1:] / n
        top = max(top, 1.1 * float(mean[SETTLED - 2 :].max(initial=0)))
        error = 2 * np.sqrt(np.clip(square - mean**2, 0, None) / (n - 1))
        band = np.concatenate([mean + error, (mean - error)[::-1]])
        traces += [
            {"type": "scatter", "x": np.concatenate([n, n[::-1]]), "y": band, "fill": "toself",
             "fillcolor": color, "opacity": 0.25, "line": {"width": 0}, "hoverinfo": "skip"},
            {"type": "scatter", "x": n, "y": mean, "mode": "lines", "name": name,
             "line": {"color": color, "width": 2}, "hovertemplate": "%{y:.3f}"},
        ]  # fmt: skip
    figure = quiet(traces, "draws", "mean so far ± 2 standard errors, bits/dim")
    if exact is not None:
        figure["layout"]["shapes"] = [level(exact, "p")]
    marks = (2, 5, 10, 20, 50, 100, 200)
    figure["layout"]["hovermode"] = "x unified"
    figure["layout"]["yaxis"]["range"] = [0, top]
    figure["layout"]["xaxis"] |= {"type": "log", "tickvals": list(marks),
                                  "ticktext": [str(n) for n in marks]}  # fmt: skip
    return figure


def quiet(traces: list[dict[str, Any]], x_title: str, y_title: str) -> Figure:
    """A chart without a frame, as `line_chart` is."""
    layout = {
        "xaxis": BARE | {"title": {"text": x_title, "standoff": 8}},
        "yaxis": BARE | {"nticks": 5, "showgrid": True},
        "title": {"text": y_title, "font": {"size": 14}, "x": 0, "xref": "container", "y": 0.98},
        "height": 260,
        "margin": {"l": 48, "r": 12, "t": 40, "b": 44},
    }
    return chart(traces, layout | CLEAR)


def needed(averages: Averages | None) -> None:
    """How many draws until two standard errors are as short as a difference."""
    if averages is None:
        return
    difference = st.select_slider(
        "Difference to be seen, bits/dim", DIFFERENCES, value=0.03, key="eb_gap",
        bind="query-params",
    )  # fmt: skip
    mean, square = (torch.tensor(v, dtype=torch.float64) for v in (averages.mean, averages.square))
    gap = difference * averages.dimensions * math.log(2)
    chances = {
        "uniform": torch.full_like(mean, 1 / len(mean)),
        "importance": best_probabilities(square),
    }
    counts = {
        name: draws_needed(draw_variance(mean, square, chance), gap)
        for name, chance in chances.items()
    }
    others = [told for name, told in measured().items() if name != averages.name]
    between = ""
    if others:
        apart = min(others, key=lambda told: abs(told.total.mean - averages.total.mean))
        delta = abs(apart.total.mean - averages.total.mean)
        if delta > 0:
            few = {
                name: draws_needed(draw_variance(mean, square, chance), delta)
                for name, chance in chances.items()
            }
            between = (
                f" For the {bits_per_dim(delta):.3f} bits/dim between {averages.name} and "
                f"{apart.name}: {about(few['uniform'])} uniform draws, or "
                f"{about(few['importance'])}."
            )
    chapter.prose(
        f"Until two standard errors of a test-set average are shorter than {difference:g} "
        f"bits/dim: **{about(counts['uniform'])}** uniform draws, "
        f"**{about(counts['importance'])}** when the step is drawn where the bits are.{between}"
    )
    st.caption(
        f"Each draw takes another test digit, another step and other noise. Variances from "
        f"{averages.samples:,} test digits."
    )


# --- two decompositions ---------------------------------------------------------------------------


def chain_of(model: str, T: int, x0: float) -> LinearChain:
    """A chain of 4 or 20 steps, with a rough model or the exact one for data N(0.4, 0.6)."""
    if T == 4:
        alpha = torch.tensor([0.95, 0.85, 0.7, 0.5], dtype=torch.float64)
        if model == "rough":
            rough = ([0.9, 0.8, 0.7, 0.6], [0.05, 0.1, 0.1, 0.05], [0.3, 0.35, 0.45, 0.6])
            tables = (torch.tensor(values, dtype=torch.float64) for values in rough)
            return LinearChain(x0, alpha, *tables)
    else:
        alpha = torch.linspace(0.999, 0.7, T, dtype=torch.float64)
    best = optimal_chain(x0, alpha, 0.4, 0.6)
    if model == "exact":
        return best
    return LinearChain(x0, alpha, 0.97 * best.gain, best.shift, 1.1 * best.std)


@st.cache_data(max_entries=64, show_spinner=False)
def decompositions(model: str, T: int, x0: float) -> dict[str, tuple[float, float, float]]:
    """Estimator -> bound in nats, its deviation on one path, and on a path for each term."""
    chain = chain_of(model, T, x0)
    found = {name: chain_elbo(chain, name) for name in ESTIMATORS}
    return {
        name: (
            -float(told.total),
            math.sqrt(max(float(told.shared_variance), 0)),
            math.sqrt(max(float(told.independent_variance), 0)),
        )
        for name, told in found.items()
    }


@st.cache_data(max_entries=8, show_spinner=False)
def telescoping_residual(model: str = "rough", T: int = 4, x0: float = 0.7) -> float:
    """Largest difference in nats between the two decompositions' log-ratios, path by path."""
    chain = chain_of(model, T, x0)
    paths = chain.draw(1000, torch.Generator().manual_seed(0))
    one, other = (
        chain_draws(chain, name, paths).sum(1)
        for name in ("denoising_log_ratios", "consistency_log_ratios")
    )
    return float((one - other).abs().max())


def chain_view() -> None:
    """Five estimators of one bound, where log p(x_0) is known."""
    chapter.prose(
        "A world so small that log p(x₀) is known: x₀ is one number, and every step a Gaussian. "
        "The same ELBO can be cut into terms in two ways. Of the five ways to draw them here, one "
        "gives another number."
    )
    left, middle, right = st.columns(3, vertical_alignment="bottom", gap="medium")
    model = left.segmented_control(
        "Reverse chain", list(CHAINS), key="eb_model", default="rough", required=True,
        bind="query-params", format_func=CHAINS.get,
    )  # fmt: skip
    T = middle.segmented_control("Steps", [4, 20], key="eb_chain_T", default=4, required=True,
                                 bind="query-params")  # fmt: skip
    x0 = right.slider("x₀", -2.0, 2.0, 0.7, 0.1, key="eb_x0", bind="query-params")
    told = decompositions(model, T, x0)
    exact = float(chain_of(model, T, x0).log_likelihood())
    plot(
        estimator_chart(told, exact),
        key="eb_chain",
        alt="Mean and standard deviation of five estimators of the bound beside log p(x0)",
    )
    rows = [
        "| estimator | ELBO, nats | ± on one path | ± with a path per term |",
        "|---|---|---|---|",
    ]
    for name, (mean, shared, own) in told.items():
        rows.append(f"| {CHAIN_NAMES[name]} | {mean:.3f} | {shared:.3f} | {own:.3f} |")
    wide_table(rows, "chain")
    chapter.prose(
        f"log p(x₀) = **{exact:.3f}** nats. The first four agree, at "
        f"{told['denoising_analytic_kl'][0]:.3f}: the ELBO, here with the sign of log p, which it "
        "can't exceed. The last one is another number. ± is the standard deviation of a single "
        "draw, from the "
        + term("exact moments", "every term is a quadratic function of Gaussian numbers")
        + ", without drawing. Thick lines: one path x₁, x₂ … serves all terms; thin: each term has "
        "its own."
    )
    st.caption(
        "Denoising: p(xₜ₋₁ | xₜ) against q(xₜ₋₁ | xₜ, x₀). Consistency: p(xₜ | xₜ₊₁) against "
        "q(xₜ | xₜ₋₁), from the other side. Either is compared at drawn numbers, as a "
        "log-ratio, or with one of the numbers integrated out, which for denoising is a KL."
    )


def estimator_chart(told: dict[str, tuple[float, float, float]], exact: float) -> Figure:
    """A dot for the mean, a thick line for one path, a thin one for a path per term."""
    traces: list[dict[str, Any]] = []
    names = list(told)[::-1]
    for place, name in enumerate(names):
        mean, shared, own = told[name]
        color = COLORS["q" if name.startswith("denoising") else "p"]
        for width, deviation, lift in ((6, shared, 0.14), (2, own, -0.14)):
            traces.append(
                {"type": "scatter", "x": [mean - deviation, mean + deviation],
                 "y": [place + lift] * 2, "mode": "lines", "opacity": 0.6,
                 "line": {"color": color, "width": width}, "hoverinfo": "skip"}
            )  # fmt: skip
        traces.append(
            {"type": "scatter", "x": [mean], "y": [place], "mode": "markers",
             "marker": {"color": color, "size": 10}, "name": CHAIN_NAMES[name],
             "hovertemplate": "%{x:.4f} nats"}
        )  # fmt: skip
    figure = quiet(traces, "nats", "mean ± one standard deviation")
    figure["layout"] |= {
        "margin": {"l": 12, "r": 12, "t": 40, "b": 44},
        "height": 300,
        "hovermode": "closest",
        "shapes": [upright(exact, "x0")],
        "annotations": [
            name_at(exact, "log p(x<sub>0</sub>)", "x0", y=len(names) - 0.5, xanchor="left",
                    xshift=4)
        ],
    }  # fmt: skip
    figure["layout"]["yaxis"] = BARE | {"tickvals": list(range(len(names))),
                                        "ticktext": [CHAIN_NAMES[n] for n in names]}  # fmt: skip
    return figure
