"""The three views of the page about two reverse rules, and the controls behind "More"."""

from __future__ import annotations

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.small_world import BELIEFS
from pages.shared import chapter, kernels
from pages.shared.distribution_bars import START
from pages.shared.figures import Line, line_chart
from pages.shared.matrices import spoken
from pages.shared.plot import plot
from pages.shared.rule_figures import Pile, bars_figure, kernel_figure
from pages.shared.small_world import COUNTS, Choice, Seen, World, chains, seen

KERNELS = {
    name: kernels.NAMES[name] for name in ("uniform", "absorbing", "gaussian", "mask_and_replace")
}
DENOISERS = {
    "exact": "exact",
    "tempered": "tempered",
    "hedged": "hedging",
    "twice": "softmax twice",
    "blind": "blind",
}
"""The keys of `BELIEFS`, as a reader calls them."""
WHOSE = {"mixture": "Mixture (VQ-Diffusion)", "product": "Product (D3PM)"}

assert DENOISERS.keys() == BELIEFS.keys()

ROUNDING = 1e-12
"""Errors below this are those of float64."""
TEMPERATURES = (0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0)


def told_error(error: float) -> str:
    """An error in a few characters."""
    return "0 (to rounding)" if error < ROUNDING else f"{error:.3f}".rstrip("0").rstrip(".")


def more(belief_name: str, kernel: str) -> tuple[Choice, DeltaGenerator]:
    """Draw what is behind "More"; what the rest has no use for is greyed out.

    Returns:
        What the controls say, but T, and the place for `row_and_T`.
    """
    with st.expander("More: numbers, schedule, how wrong the denoiser is"):
        one, two, three, four = st.columns(4)
        data = one.text_input(
            "Data, one number per state", START, key="rudata", bind="query-params",
            max_chars=200, help="Two to five numbers; they are divided by their sum.",
        )  # fmt: skip
        schedule = three.selectbox(
            "Chance β of a jump, per step", kernels.SCHEDULES, key="rusched", bind="query-params",
            disabled=kernel == "mask_and_replace",
        )  # fmt: skip
        beta = three.number_input(
            "β, if constant", 0.0, 1.0, 0.3, 0.05, key="rubeta", bind="query-params",
            disabled=schedule != "constant" or kernel == "mask_and_replace",
        )  # fmt: skip
        temperature = four.select_slider(
            "Temperature, if tempered", TEMPERATURES, value=2.0, key="rutau",
            bind="query-params", disabled=belief_name != "tempered",
            help="Below 1 the denoiser is too sure of itself, above 1 not sure enough.",
        )  # fmt: skip
        share = four.slider(
            "Share of guessing, if hedging", 0.0, 1.0, 0.5, 0.05, key="rushare",
            bind="query-params", disabled=belief_name != "hedged",
        )  # fmt: skip
    amount = {"tempered": temperature, "hedged": share}.get(belief_name, 1.0)
    return Choice(
        data, kernel, schedule=schedule, beta=beta, belief=belief_name, amount=amount
    ), two


def row_and_T() -> tuple[int, int]:
    """The row to look at and the number of steps; a click in a matrix chooses the row, too."""
    T = st.select_slider("Number of steps T", COUNTS, value=6, key="ruT", bind="query-params")
    row = st.number_input(
        "Row to look at: xₜ", 0, 5, 3, key="rurow", bind="query-params",
        help="Or click a row of a matrix. The last state is [MASK], where there is one.",
    )  # fmt: skip
    return row, T


# --- one step -------------------------------------------------------------------------------------


def clicked(x: float, y: float) -> None:
    """Look at the row whose cell was clicked."""
    chapter.apply_state(rurow=int(y))


def matrices(choice: Choice, t: int, s: int, row: int) -> None:
    """Truth, mixture and product, each with its error in the cells."""
    told = Seen(*seen(tuple(choice), t, s))
    share = {"names": told.names, "row": row, "t": t, "s": s}
    none = np.where(np.isfinite(told.errors["mixture"]), 0.0, np.nan)
    shown = [
        ("truth", "The truth", "Bayes' rule on the data", told.truth, none, "q"),
        *(
            (
                rule, WHOSE[rule], f"largest error: {told_error(told.worst(rule))}",
                told.rules[rule], told.errors[rule], "p",
            )
            for rule in told.rules
        ),
    ]  # fmt: skip
    for place, (key, title, about, p, error, color) in zip(st.columns(3), shown, strict=True):
        figure = kernel_figure(p, error, title=title, about=about, color=color, **share)
        plot(
            figure,
            key=f"ru_{key}",
            alt=f"{title}: probabilities of x_{s} given x_{t}. {about}",
            place=place,
            on_click=clicked,
        )
    st.caption(in_words(told, choice, t, s))


def in_words(told: Seen, choice: Choice, t: int, s: int) -> str:
    """The worst cell as a sentence, and how often it matters."""
    rule = max(told.rules, key=told.worst)
    if told.worst(rule) < ROUNDING:
        return (
            f"Both rules give the truth from x{_low(t)} to x{_low(s)}, to rounding. Pull a bar, "
            "or choose another kernel or denoiser."
        )
    error = np.nan_to_num(told.errors[rule])
    i, j = np.unravel_index(np.abs(error).argmax(), error.shape)
    held = i == j and error[i, j] > 0
    reason = (
        " It holds on to what it sees, because it hears it twice."
        if rule == "product" and choice.belief == "exact" and held
        else ""
    )
    if s == 0:
        reason = " At s = 0 both rules return what the denoiser said."
    return (
        f"Worst: from x{_low(t)} = {told.names[i]} to x{_low(s)} = {told.names[j]} the {rule} says "
        f"{spoken(float(told.rules[rule][i, j]))}, and the truth is "
        f"{spoken(float(told.truth[i, j]))}.{reason} Share of the probability "
        f"in the wrong place, averaged over x{_low(t)}: "
        + ", ".join(f"{name} {told_error(off)}" for name, off in told.averages.items())
        + "."
    )


def _low(k: int) -> str:
    return str(k).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


# --- one row --------------------------------------------------------------------------------------


def one_row(choice: Choice, t: int, s: int, row: int) -> None:
    """How each rule makes its distribution from one x_t, factor by factor."""
    told = Seen(*seen(tuple(choice), t, s))
    names, K = told.names, len(told.names)
    if told.truth[row].sum() == 0:
        st.caption(
            f":material/block: x{_low(t)} = {names[row]} can't occur with these data. "
            "Choose another row under More."
        )
        return
    now, then = f"x<sub>{t}</sub>", f"x<sub>{s}</sub>"
    one, two, three, four = st.columns(4)
    belief_row, high = told.beliefs[row], told.beliefs[row].max()
    likeliest = int(belief_row.argmax())
    piles = [
        Pile(f"from x₀ = {names[k]}, believed with {spoken(float(belief_row[k]))}",
             told.parts[row, k], "x0", 0.3 + 0.7 * float(belief_row[k] / high))
        for k in range(K)
    ]  # fmt: skip
    alone = (belief_row > high - 1e-9).sum() == 1
    darkest = f"; dark: x₀ = {names[likeliest]}" if alone else ""
    truth, x_title = told.truth[row], then
    shown = [
        (one, "mixture", "Mixture", "one posterior per x₀" + darkest, piles, truth),
        (two, "prior", "Product: first factor", "the belief, noised to s",
         [Pile("belief noised to s", told.prior[row], "p", 0.55)], told.true_prior),
        (three, "likelihood", f"second factor q({now}|{then})", f"how {then} explains {now}",
         [Pile("q(xₜ|xₛ)", told.likelihood[row], "xt", 0.8)], None),
        (four, "product", "their product", "divided by its sum",
         [Pile("product", told.rules["product"][row], "p")], truth),
    ]  # fmt: skip
    for place, key, title, about, bars, marks in shown:
        plot(
            bars_figure(bars, marks, names, title=title, about=about, x_title=x_title),
            key=f"ru_row_{key}",
            alt=f"{title}, {about}, over the states of x_{s}",
            place=place,
        )
    seen_prior, true_prior = told.prior[row, row], told.true_prior[row]
    heard = choice.belief != "blind" and seen_prior > true_prior + 0.005
    st.caption(
        f"What is known: x{_low(t)} = {names[row]}. Green is the truth; in the first factor it is "
        f"q(x{_low(s)}), what Bayes' rule asks for: {spoken(float(true_prior))} for state "
        f"{names[row]}. The product puts in {spoken(float(seen_prior))}"
        + (f": a belief that has seen x{_low(t)} already." if heard else ".")
        + mixture_factor(told, t, s, row)
        + (" At s = 0 both rules return the belief itself." if s == 0 else "")
    )


def mixture_factor(told: Seen, t: int, s: int, row: int) -> str:
    """What the mixture weighs with q(x_t|x_s), as a sentence; none where it can't be told."""
    likelihood = told.likelihood[row]
    if s == 0 or likelihood.min() == 0:
        return ""
    factor = told.rules["mixture"][row] / likelihood
    return (
        f" The mixture divides the belief by q(x{_low(t)} | x₀) before it is noised, and puts in "
        f"{spoken(float(factor[row] / factor.sum()))}."
    )


# --- a whole chain --------------------------------------------------------------------------------


def whole_chain(choice: Choice, made: World, most: int) -> None:
    """How far each rule's chain strays from the true process, over t and over the steps taken."""
    T = made.diffusion.T
    told = chains(tuple(choice))
    n = max(count for count in told["mixture"] if count <= most)
    dashes = {"mixture": "solid", "product": "dash"}
    over_t = {rule: of[n] for rule, of in told.items()}
    ends = {rule: np.array([far[-1] for _, far in of.values()]) for rule, of in told.items()}
    counts = np.array([*told["mixture"]], float)
    left, right = st.columns(2, gap="medium")
    for place, lines, x_title, title, key, log in (
        (left, over_t, "step t, from noise to data",
         f"wrong on the way, {_steps(n)} (total variation)", "ru_over_t", False),
        (right, {rule: (counts, far) for rule, far in ends.items()}, "reverse steps taken",
         "wrong at the end, x₀ (total variation)", "ru_over_n", True),
    ):  # fmt: skip
        top = max(float(y.max()) for _, y in lines.values())
        apart = lines["product"][1], lines["mixture"][1]
        at = int(np.abs(apart[0] - apart[1]).argmax())
        above = apart[0][at] >= apart[1][at]
        agree = float(np.abs(apart[0] - apart[1]).max()) < ROUNDING
        figure = line_chart(
            [
                Line(
                    "both" if agree and rule == "product" else "" if agree else rule, x, y, "p",
                    min(at, len(x) - 1), "center", 16 if (rule == "product") == above else -16,
                    dashes[rule], 3 if rule == "mixture" else 2,
                )
                for rule, (x, y) in lines.items()
            ],
            x_title=x_title, y_title=title, log_x=log,
            y_range=(-0.14 * max(top, 0.04), 1.3 * max(top, 0.04)),
            x_axis={"tickvals": counts, "ticktext": [f"{c:g}" for c in counts]} if log
            else {"autorange": "reversed"},
        )  # fmt: skip
        plot(figure, key=key, alt=f"{title}, for mixture and product", place=place)
    few, many = (_both({rule: float(far[k]) for rule, far in ends.items()}) for k in (0, -1))
    st.caption(
        f"Both chains start at the true q(x{_low(T)}) and are followed exactly, without samples: "
        f"what goes wrong is the rule's doing, or the denoiser's. With one step x₀ is off by "
        f"{few}" + (f"; with {T} steps by {many}." if T > 1 else ".")
    )


def _both(off: dict[str, float]) -> str:
    """Both rules' errors as words; one number where they are the same."""
    one, other = (told_error(value) for value in off.values())
    return one if one == other else f"{one} with the mixture and {other} with the product"


def _steps(n: int) -> str:
    return "1 step" if n == 1 else f"{n} steps"
