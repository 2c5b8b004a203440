"""Three views beside the ledger: one term in three forms, the test set, the weights."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.bits import BITS, BOUNDS
from diffusion_core.evaluation import history
from diffusion_core.ledger import (
    Averages,
    as_noise_weight,
    bound_weight,
    distances,
)
from diffusion_core.likelihood import FORMS, elbo_term
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.recipes import RECIPES
from diffusion_core.training import MAX_WEIGHT, WEIGHTINGS
from pages.shared import chapter, load
from pages.shared.figures import Line, line_chart
from pages.shared.ledger import (
    Setting,
    averages_of,
    bits_per_dim,
    metrics_of,
    model_of,
    networks,
    sha_of,
    unit,
)
from pages.shared.numbers import plus_minus
from pages.shared.plot import plot

MOST_T = 1000
NETWORK_COLORS = ("eps", "q", "xt", "p", "x0")
"""Of their lines, in the order of their names: so those for ε and x₀ have these colours."""
FORM_NAMES = {"mean": "means, ‖μ̃ − μ̂‖²", "x0": "pictures, ‖x₀ − x̂₀‖²", "eps": "noises, ‖ε − ε̂‖²"}
FORM_COLORS = {"mean": "q", "x0": "x0", "eps": "eps"}


def wide_table(rows: list[str], key: str) -> None:
    """A Markdown table that scrolls by itself on a narrow screen, so that the page need not."""
    name = f"eb_table_{key}"
    st.html(f"<style>.st-key-{name} table {{ display: block; overflow-x: auto; }}</style>")
    with st.container(key=name):
        chapter.prose("\n".join(rows))


# --- three forms of one term ----------------------------------------------------------------------


class Forms(NamedTuple):
    """One term in three currencies at some steps, each [n] float64.

    Attributes:
        t: the steps.
        nats: form -> the term.
        distance: form -> its squared error.
    """

    t: np.ndarray
    nats: dict[str, np.ndarray]
    distance: dict[str, np.ndarray]

    @property
    def disagreement(self) -> float:
        """Largest relative difference between two forms."""
        table = np.stack(list(self.nats.values()))
        return float(((table.max(0) - table.min(0)) / np.abs(table).max(0)).max())


def three_forms(pixels: bytes, setting: Setting, steps: list[int]) -> Forms:
    """Ask the network at some steps, and compute each term three times."""
    model, t = model_of(setting), torch.tensor(steps)
    x0 = unit(pixels).expand(len(t), -1, -1, -1)
    generator = torch.Generator().manual_seed(setting.seed)
    eps = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    found = elbo_term(model.diffusion, model, x0, t, eps, clip_x0=setting.clip)
    parts = model.diffusion, x0, found.x_t, t, found.prediction
    return Forms(
        t.numpy(),
        {name: form(*parts).numpy() for name, form in FORMS.items()},
        {name: value.numpy() for name, value in distances(*parts).items()},
    )


def last_step(setting: Setting) -> int:
    """The last step at which noise says something about the picture."""
    return setting.T - setting.zero_terminal


@st.cache_data(max_entries=64, show_spinner=False)
def forms_over_time(pixels: bytes, setting: Setting, sha256: str) -> Forms:
    """`three_forms` at about forty steps, evenly spread on a logarithmic axis."""
    steps = np.unique(np.geomspace(2, last_step(setting), 40).round().astype(int))
    return three_forms(pixels, setting, steps.tolist())


@st.cache_data(max_entries=256, show_spinner=False)
def forms_at(pixels: bytes, setting: Setting, sha256: str, t: int) -> Forms:
    """`three_forms` at one step."""
    return three_forms(pixels, setting, [t])


def forms_view(pixels: bytes, setting: Setting) -> None:
    """Three distances, three weights, one product."""
    sha, top = sha_of(setting.network), last_step(setting)
    t = st.slider("Step t", 2, MOST_T, 100, key="eb_t", bind="query-params")
    if top < 2:
        st.info("With two steps and no signal left at the second, there is no ε form at any step.")
        return
    if t > top:
        st.caption(f":material/build: t = {t} is beyond the last step: the page uses t = {top}.")
        t = top
    told, here = forms_over_time(pixels, setting, sha), forms_at(pixels, setting, sha, t)
    rows = ["| error between | squared error | × weight | = nats |", "|---|---|---|---|"]
    for key, name in FORM_NAMES.items():
        distance, nats = float(here.distance[key][0]), float(here.nats[key][0])
        rows.append(
            f"| {name} | {distance:.6g} | {nats / distance:.6g} | **{nats:.12g}** |"
            if distance
            else f"| {name} | 0 | – | **0** |"
        )
    wide_table(rows, "forms")
    left, right = st.columns(2, gap="large")
    for place, what, values in (
        (left, "squared error", told.distance),
        (right, "its weight in the bound",
         {name: told.nats[name] / told.distance[name] for name in FORMS}),
    ):  # fmt: skip
        lines = [
            Line(name, told.t, values[key], FORM_COLORS[key], min(8, len(told.t) - 1), shift=14)
            for key, name in (("mean", "means"), ("x0", "pictures"), ("eps", "noises"))
        ]
        figure = line_chart(
            lines, x_title="step t", y_title=what, log_x=True, log_y=True, height=260,
            y_axis={"dtick": 2},  # there are many decades
        )  # fmt: skip
        plot(
            figure,
            key=f"eb_forms_{what[:3]}",
            alt=f"{what} over t, measured on means, on pictures and on noises",
            place=place,
        )
    st.caption(
        f"One prediction, at t = {t}, measured three ways. Over the {len(told.t)} steps of the "
        f"charts the three products differ by {told.disagreement:.0e} of their size at most: "
        "rounding in the sixteenth digit, and what the next operations make of it."
    )


# --- the test set ---------------------------------------------------------------------------------

PUBLISHED = [
    ("RealNVP (flow), as measured by FFJORD's authors", 1.06, "Grathwohl et al. 2019, table 2"),
    ("Glow (flow), as measured by FFJORD's authors", 1.05, "Grathwohl et al. 2019, table 2"),
    ("FFJORD (flow)", 0.99, "Grathwohl et al. 2019, table 2"),
    ("Residual Flow", 0.970, "Chen et al. 2019, its results on MNIST"),
]
"""MNIST, 8 bit, bits/dim. Binary MNIST is another data set, and its figures are left out."""


def measured() -> dict[str, Averages]:
    """Every network whose bound was averaged over test digits, with the weights that ship."""
    found = {name: averages_of(name, sha_of(name)) for name in networks()}
    return {name: told for name, told in found.items() if told is not None}


def learned_schedule(name: str) -> bool:
    """Whether a network was trained together with its schedule, and on the bound itself."""
    return RECIPES[name].task == "variational"


def early_share(told: Averages) -> float:
    """How much of the bound the first ten steps hold, as a fraction."""
    return (told.reconstruction.mean + told.first.mean) / told.total.mean


def test_set_view() -> None:
    """Averages per network, and the share of the first ten steps."""
    found = measured()
    if not found:
        st.info(
            "No network has been measured on the test set yet. The command is "
            "`python -m diffusion_core.ledger digits-eps --count 1000`.",
            icon=":material/hourglass_empty:",
        )
        return
    lines = []
    beside = 0
    for number, (name, told) in enumerate(found.items()):
        t = np.unique(np.geomspace(1, told.T, 200).round().astype(int))
        values = np.array([bits_per_dim(told.mean[k - 1]) for k in t])
        # Most lines meet in the middle: their names stand there one above the other.
        alone = learned_schedule(name)
        place, shift = (3, -14) if alone else (30, 16 + 18 * beside)
        beside += not alone
        at = min(int(np.searchsorted(t, place)), len(t) - 1)
        lines.append(
            Line(name, t, values, NETWORK_COLORS[number % len(NETWORK_COLORS)], at, shift=shift,
                 dash=("solid", "dash", "dot", "dashdot")[number % 4])
        )  # fmt: skip
    plot(
        line_chart(
            lines,
            x_title="step t",
            y_title="bits/dim of a step, mean over test digits",
            log_x=True,
            log_y=True,
            height=300,
            x_axis={"range": [-0.05, np.log10(max(a.T for a in found.values())) + 0.1]},
        ),
        key="eb_test_chart",
        alt="Mean cost of each step over the test digits, on two logarithmic axes",
    )
    rows = [
        "| network | bits/dim | of these L₀ | steps 2–10 | later steps | digits |",
        "|---|---|---|---|---|---|",
    ]
    for name, told in found.items():
        parts = told.reconstruction, told.first, told.rest
        cells = [
            plus_minus(*(f"{bits_per_dim(v):.3f}" for v in (p.mean, p.standard_error)))
            for p in parts
        ]
        total, error = (f"{told.bits_per_dim(nats):.3f}" for nats in told.total)
        cells = [name, plus_minus(f"**{total}**", error), *cells, f"{told.samples:,}"]
        rows.append(f"| {' | '.join(cells)} |")
    wide_table(rows, "test")
    name, told = next(iter(found.items()))
    said = (
        f"The first ten of {told.T} steps, next to the picture, hold **{early_share(told):.0%}"
        f"** of what a test digit costs {name}; the other {told.T - 10} share "
        f"{bits_per_dim(told.rest.mean):.2f} bits/dim. What decides the likelihood is the last "
        "trace of noise, which the eye can't see."
    )
    other = next((n for n in found if learned_schedule(n)), None)
    if other is not None:
        said += (
            f" For {other} they hold **{early_share(found[other]):.0%}**: it was trained on "
            "the bound, and its learned schedule has more steps where there is little noise, "
            "so that each step costs about the same."
        )
    chapter.prose(said)
    most = max(a.prior.mean for a in found.values())
    kinds = ", ".join(f"{n}: {a.variance}" for n, a in found.items())
    st.caption(
        f"± is one standard error over digits ({told.data}). One draw of noise per digit and "
        f"step; predictions clipped; $L_T$ is below {max(0.001, most):.3f} nats; decoder: "
        f"{told.decoder.replace('_', ' ')}; variance of a step: {kinds}."
    )
    with st.expander("The whole test set, beside published numbers", expanded=True):
        own = bits_on_cards()
        rows = [(f"**{name}**", told, "its card") for name, told in own.items()]
        rows += [(who, f"{value:g}", where) for who, value, where in PUBLISHED]
        table = ["| model | bits/dim | from |", "|---|---|---|"]
        wide_table(table + [f"| {' | '.join(row)} |" for row in rows], "published")
        st.caption(two_tables(next(iter(found.values()))))
        alike = "".join(f", and so was {name}" for name in own if learned_schedule(name))
        st.caption(
            "All for MNIST's 10,000 test digits with 256 gray levels; ± is one standard error. The "
            f"published models were trained for likelihood{alike}; the others for a loss that "
            "hardly counts the steps where the bits are."
        )


def on_cards() -> dict[str, dict[str, Any]]:
    """The metric that is the bound in bits per dimension, of each network whose card tells it.

    Networks of gray bytes alone: a bound on binary digits is another quantity.
    """
    return {
        name: metric
        for name, recipe in RECIPES.items()
        if recipe.task in BOUNDS
        for metric in metrics_of(name)
        if metric.get("name") == BITS
    }


def bits_on_cards() -> dict[str, str]:
    """Bits per dimension with their standard error, best first."""
    found = sorted((m["value"], m["standard_error"], name) for name, m in on_cards().items())
    return {name: plus_minus(f"{value:.3f}", f"{error:.3f}") for value, error, name in found}


def two_tables(told: Averages) -> str:
    """Why the two tables say different numbers of one network; "" where its card says none."""
    card = on_cards().get(told.name)
    if card is None:
        return ""
    upper, error = (told.bits_per_dim(nats) for nats in told.total)
    return (
        f"Why {upper:.3f} above and {card['value']:.3f} here, both for {told.name}? Above, all "
        f"{told.T:,} terms of the first {told.samples:,} test digits were computed; here, a few "
        f"random terms of each of {card['samples']:,}. Which {told.samples:,} digits come first is "
        f"chance: the two are {abs(card['value'] - upper) / error:.1f} standard errors of the "
        "upper one apart."
    )


# --- weights --------------------------------------------------------------------------------------


@st.cache_data(max_entries=8, show_spinner=False)
def weights_of(name: str) -> dict[str, np.ndarray]:
    """What a unit of squared error on the noise counts: in the bound, in L_simple, in training.

    Each [T-1], for t = 2..T, relative to its value in the middle.
    """
    recipe, diffusion = RECIPES[name], load.network(name)[0].diffusion
    table = diffusion.schedule.alpha_bar[2:]
    a, sigma = table.sqrt(), (1 - table).sqrt()
    trained = PARAMETERIZATIONS[recipe.parameterization]
    bound = bound_weight(diffusion)
    if recipe.task == "variational":
        weight = bound
    else:
        weight = as_noise_weight(WEIGHTINGS[recipe.weighting](a, sigma, trained), trained, a, sigma)
    lines = {"bound": bound, "simple": torch.ones_like(a), "trained": weight}
    middle = recipe.T // 2 - 2
    return {key: (value / value[middle]).numpy() for key, value in lines.items()}


def weights_view(name: str) -> None:
    """The weight of a step in three losses."""
    told, recipe = weights_of(name), RECIPES[name]
    t = np.unique(np.geomspace(2, recipe.T, 160).round().astype(int))
    at, count = t - 2, len(t)
    lines = [
        Line("the bound", t, told["bound"][at], "bits", count // 3, shift=14),
        Line("L<sub>simple</sub>", t, told["simple"][at], "eps", count // 8, dash="dash"),
        Line(f"{name} was trained on", t, told["trained"][at], "p", count // 2, anchor="right",
             shift=-16, dash="dot", width=3),
    ]  # fmt: skip
    plot(
        line_chart(
            lines,
            x_title="step t",
            y_title=f"weight of ‖ε − ε̂‖², relative to t = {recipe.T // 2}",
            log_x=True,
            log_y=True,
            height=320,
        ),
        key="eb_weights",
        alt="Weights of the squared error of the noise over t in the bound, in L_simple and in "
        "the loss that the network was trained on",
    )
    rows = [
        "| network | predicts | trained with this weight of its squared error | bits/dim |",
        "|---|---|---|---|",
    ]
    bits = bits_on_cards()
    for network in networks():
        other = RECIPES[network]
        # Each with what the network predicted then: the last stage may have another target.
        stages = [(before["weighting"], before["parameterization"]) for before in history(other)]
        last = "bound" if other.task == "variational" else other.weighting
        stages.append((last, other.parameterization))
        target = PARAMETERIZATIONS[other.parameterization].latex
        told_stages = [weighting_name(*stage) for stage, _ in groupby(stages)]  # each stretch once
        rows.append(
            f"| {network} | ${target}$ | {' → '.join(told_stages)} | {bits.get(network, '–')} |"
        )
    wide_table(rows, "weights")
    first = float(told["bound"][0])
    traded = (
        " The schedule was learned so that every step costs about the same."
        if learned_schedule(name)
        else " It gives up bits that nobody sees, for steps that decide what the picture shows. "
        "The bound’s weight rises once more near t = T, but there the error is tiny: xₜ is little "
        "else than the noise."
    )
    st.caption(
        f"In the bound, the same error of the noise counts "
        f"{first:{',.0f' if first >= 10 else '.2g'}} times as much at t = 2 as at "
        f"t = {recipe.T // 2}; L_simple counts all steps alike.{traded} "
        "→ in the table: the next stage of training."
    )


def weighting_name(key: str, parameterization: str) -> str:
    """What a weighting makes a unit of squared error on the network's own target count."""
    as_v = {"eps": "1/ᾱ", "x0": "1/(1−ᾱ)"}
    known = {"simple": "1 at every step (L_simple)", "bound": "the bound's own"}
    if key == "v" and parameterization in as_v:
        return f"{as_v[parameterization]}, as if it predicted v, but at most {MAX_WEIGHT:g}"
    return "1 at every step" if key == "v" else known.get(key, key)
