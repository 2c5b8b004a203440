"""Three views of a bound whose schedule is learned: its path, its steps, its ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st
import torch

from diffusion_core.bits import BITS
from diffusion_core.bound import ElboTerms
from diffusion_core.ledger import Figure
from diffusion_core.schedule_paths import cosine_gamma, mix
from diffusion_core.vdm_elbo import linear_gamma
from pages.shared import chapter
from pages.shared.figures import Figure as Chart
from pages.shared.figures import Line, line_chart, name_at, upright
from pages.shared.ledger import bits_per_dim, metrics_of, rounded
from pages.shared.ledger_estimators import histogram_chart
from pages.shared.ledger_views import wide_table
from pages.shared.numbers import plus_minus, signed
from pages.shared.plot import plot
from pages.shared.vdm_views import DRAWS as TABLE_DRAWS
from pages.shared.vdm_views import (
    FULL,
    KNOTS,
    NETWORK,
    PAPER_ENDS,
    STEPS,
    SWEEP,
    MovedEnd,
    OnPath,
    Terms,
    both_ends,
    ends_of,
    moved_ends,
    on_path,
    on_quietest,
    real_draws,
    real_steps,
    sweep,
    terms,
    told_position,
)

NAMED = {"linear": -FULL, "learned": 0, "cosine": FULL}
LOOKS = {"linear": ("xt", "dash"), "learned": ("p", "solid"), "cosine": ("eps", "dot")}
BESIDE = {"linear": (172, "right", 10), "learned": (64, "left", -14), "cosine": (50, "right", 14)}
"""Where the name of a path stands beside its γ: index, side and height."""
COST_BESIDE = {"linear": (0.25, 12), "learned": (0.7, 12), "cosine": (0.5, -12)}
"""And beside the cost of its draws: time and height."""
UNDER_TRACK = (
    '<div style="display:flex;justify-content:space-between;margin-top:-1.4rem;font-size:.875rem">'
    + "".join(f"<span>{name}</span>" for name in NAMED)
    + "</div>"
)
"""The named paths at their places under the slider."""
DRAWS = (32, 64, 128, 256)
NEAR = 0.01
"""Bits per dimension: how narrow an estimate is wanted to be, in the table of paths."""
ENOUGH = 5
"""So many draws are to be expected where half of their mean square lies; fewer say too little."""
KEPT = "_ls_drawn"
MOST_KEPT = 12
STEEP = 12
"""Times the limit: where the axis of the bound over T ends."""
HEIGHT = 270


def position_slider() -> int:
    """The path, from linear over learned to cosine."""
    position = st.slider(
        "Path of γ", -FULL, FULL, FULL // 2, 5, key="ls_path", bind="query-params",
        help="In between, the two schedules are mixed. All begin and end at the same γ.",
    )  # fmt: skip
    st.html(UNDER_TRACK)
    return int(position)


def kept_draws(
    key: Any, wanted: bool, make: Callable[[Callable[[int], object]], Any], n: int
) -> Any:
    """What a button has drawn for this setting, now or before; None while nobody has asked.

    A move of any control ends the drawing: the progress bar is where the script stops.
    """
    kept = st.session_state.setdefault(KEPT, {})
    if wanted and key not in kept:
        bar, done = st.progress(0.0, "Drawing …"), 0

        def tell(count: int) -> None:
            nonlocal done
            bar.progress(min(1.0, done / n), f"Drawing … {done:,} of {n:,}; any control stops it")
            done += count

        kept[key] = make(tell)
        bar.empty()
        while len(kept) > MOST_KEPT:
            del kept[next(iter(kept))]
    return kept.get(key)


def in_bits(told: Figure, digits: int = 3) -> str:
    """Mean and standard error of nats, in bits per dimension."""
    mean, error = bits_per_dim(told.mean), bits_per_dim(told.standard_error)
    return plus_minus(f"{mean:.{digits}f}", f"{error:.{digits}f}")


def variance_in_bits(told: Figure) -> str:
    """A variance of nats with its standard error, in squared bits per dimension."""
    square = bits_per_dim(1.0) ** 2
    return plus_minus(rounded(square * told.mean), rounded(square * told.standard_error))


def three(value: float) -> str:
    """Three digits, zeros too, so that numbers in a row can be compared."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def sampled(draws: np.ndarray) -> tuple[Figure, Figure]:
    """Mean and variance of draws, each with its standard error."""
    n, square = len(draws), (draws - draws.mean()) ** 2
    mean = Figure(float(draws.mean()), float(draws.std(ddof=1)) / math.sqrt(n))
    return mean, Figure(float(draws.var(ddof=1)), float(square.std(ddof=1)) / math.sqrt(n))


# --- the path -------------------------------------------------------------------------------------


def path_view(pixels: bytes, about: str, seed: int, position: int, sha: str) -> None:
    """Other clocks between the same ends: the mean stays, the variance moves."""
    shown = {name: on_path(pixels, seed, at, sha) for name, at in NAMED.items()}
    chosen, best = on_path(pixels, seed, position, sha), on_quietest(pixels, seed, sha)
    same = [name for name, at in NAMED.items() if at == position]
    named = {name: told for name, told in shown.items() if name not in same}
    left, right = st.columns(2, gap="medium")
    plot(
        gamma_chart(named, chosen, best, same),
        key="ls_gamma",
        alt="Gamma over time from 0 to 1 on the linear, learned, cosine, chosen and quietest path",
        place=left,
    )
    plot(
        cost_chart(named, chosen, best, same),
        key="ls_cost",
        alt=f"The mean guess of a draw over its time, for {about}, on each path and the quietest",
        place=right,
    )
    bound = terms(pixels, seed, position, None, sha)
    square, spike = bits_per_dim(1.0) ** 2, begins_with_a_spike(shown["cosine"])
    chapter.prose(
        f"**{told_position(position).capitalize()}.** The bound of {about}, in continuous time: "
        f"**{in_bits(bound.total)} bits/dim** on this path and on every other. Variance of one "
        f"draw here: **{variance_in_bits(chosen.variance)}** (bits/dim)²; learned "
        f"{rounded(square * shown['learned'].variance.mean)}, linear "
        f"{rounded(square * shown['linear'].variance.mean)}. In the second chart all lines have "
        "the same mean over t, as the table says"
        + (": what cosine lacks in the middle stands in its spike at t = 0. " if spike else ". ")
        + "The flatter a line, the less its draws scatter."
    )
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    n = left.select_slider("Draws", DRAWS, value=64, key="ls_n", bind="query-params")
    wanted = right.button(
        "Draw for real, on each path", key="ls_draw", icon=":material/casino:",
        help="Each draw takes a time at random on that path, other noise, and asks the network.",
    )  # fmt: skip
    places = {**NAMED, "yours": position}
    key = ("path", sha, hash(pixels), seed, position, n)

    once = set(places.values())  # yours may be one of the three

    def make(tell: Callable[[int], object]) -> dict[str, np.ndarray]:
        found = {at: real_draws(pixels, seed, at, n, sha, tell) for at in once}
        return {name: found[at] for name, at in places.items()}

    drawn = kept_draws(key, wanted, make, n * len(once))
    paths_table(shown, chosen, best, bound.total, drawn)
    if drawn is not None:
        other = "learned" if position else "linear"
        plot(
            histogram({other: drawn[other], "yours": drawn["yours"]}, bound.total.mean),
            key="ls_histogram",
            alt=f"Histogram of single draws of the bound, on the {other} and on the chosen path",
        )
        few = [
            name
            for name, at in places.items()
            if expected_rare(on_path(pixels, seed, at, sha), n) < ENOUGH
        ]
        if few:
            st.caption(
                f"Too few ({', '.join(few)}): of {n} draws, fewer than {ENOUGH} are to be expected "
                "where half of their mean square lies. Until those come, mean, error bar and "
                "variance are too small."
            )


def begins_with_a_spike(told: OnPath) -> bool:
    """Whether a draw at t = 0 costs far more than the mean; a picture without grays has no such."""
    return bool(told.cost[0] > 10 * np.trapezoid(told.cost, told.when))


def expected_rare(told: OnPath, n: int) -> float:
    """How many of n draws are to be expected in the shortest time with half of the mean square."""
    width = np.gradient(told.when)
    order = np.argsort(-told.cost)
    square = np.cumsum((told.cost**2 * width)[order])
    most = int(np.searchsorted(square, square[-1] / 2)) + 1
    return n * float(width[order][:most].sum())


def mean_over_time(told: OnPath) -> float:
    """The area under a path's costs, nats: the diffusion term, whatever the path."""
    when, cost = (np.pad(x, 1, mode="edge") for x in (told.when, told.cost))
    when[0], when[-1] = 0, 1
    return float(np.trapezoid(cost, when))


def paths_table(
    shown: dict[str, OnPath],
    chosen: OnPath,
    best: OnPath,
    bound: Figure,
    drawn: dict[str, np.ndarray] | None,
) -> None:
    """Variance on each path, from the table of errors and from real draws."""
    needed = f"draws for an error bar of {plus_minus('', f'{NEAR:g}')}"
    heads = ["path", "mean over t (diffusion)", "variance of one draw, (bits/dim)²", needed]
    if drawn is not None:
        heads += ["drawn for real: bound, bits/dim", "their variance"]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, told in {**shown, "yours": chosen, "quietest": best}.items():
        many = bits_per_dim(1.0) ** 2 * told.variance.mean / NEAR**2
        label = f"**{name}**" if name == "yours" else name
        area = f"{bits_per_dim(mean_over_time(told)):.2f}"
        cells = [label, area, variance_in_bits(told.variance), f"{math.ceil(many):,}"]
        if drawn is not None and name in drawn:
            mean, variance = sampled(drawn[name])
            few = expected_rare(told, len(drawn[name])) < ENOUGH
            found = in_bits(mean), variance_in_bits(variance)
            cells += [f"too few draws ({text})" if few else text for text in found]
        elif drawn is not None:
            cells += ["–", "–"]
        rows.append(f"| {' | '.join(cells)} |")
    wide_table(rows, "paths")
    st.caption(
        f"Bound and variances come from {KNOTS * TABLE_DRAWS} real answers of the network, "
        f"{TABLE_DRAWS} at each of {KNOTS} values of γ; ± is the noise of these answers. "
        "Where a path goes fast, a draw comes rarely and counts for more: in the mean the two "
        "cancel, in the variance they don't. Drawing for real does not use these answers. "
        "“Quietest” is the best path for this picture alone; the learned one is for all digits."
    )
    measured = next((m for m in metrics_of(NETWORK) if m.get("name") == BITS), None)
    if measured:
        known = plus_minus(f"{measured['value']:.3f}", f"{measured['standard_error']:.3f}")
        st.caption(
            f"The bound of the same network, {NETWORK}, on {measured['samples']:,} test digits: "
            f"{known} bits/dim."
        )


def gamma_chart(
    shown: dict[str, OnPath], chosen: OnPath, best: OnPath | None = None, same: Sequence[str] = ()
) -> Chart:
    """Gamma over time; `same` are the named paths that the chosen one lies on, in no `shown`."""
    lines = []
    for name, told in shown.items():
        color, dash = LOOKS[name]
        at, anchor, lift = BESIDE[name]
        lines.append(Line(name, told.t, told.gamma, color, at, anchor, lift, dash))
    if best is not None:
        lines.append(Line("quietest", best.t, best.gamma, "x0", 120, "left", -30, "dashdot", 1.5))
    at, anchor, lift = BESIDE[same[0]] if same else (100, "right", 8)
    lift += math.copysign(6, lift)  # the line is thick
    lines.append(Line(both(same), chosen.t, chosen.gamma, "q", at, anchor, int(lift), width=4))
    return line_chart(
        lines, x_title="time t", y_title="γ(t) = −log SNR: noise rises with it", height=HEIGHT
    )


def both(same: Sequence[str]) -> str:
    """Names of a line that is the reader's own and a named one, too."""
    return " = ".join(["yours", *same])


def cost_chart(
    shown: dict[str, OnPath], chosen: OnPath, best: OnPath, same: Sequence[str]
) -> Chart:
    """The expected cost of a draw over its time; the arguments are those of `gamma_chart`."""
    lines = [
        Line(name, told.when, bits_per_dim(1.0) * told.cost, LOOKS[name][0],
             int(np.searchsorted(told.when, COST_BESIDE[name][0])), "left", COST_BESIDE[name][1],
             LOOKS[name][1])
        for name, told in shown.items()
    ]  # fmt: skip
    lines.append(
        Line("quietest", best.when, bits_per_dim(1.0) * best.cost, "x0",
             int(np.searchsorted(best.when, 0.57)), "center", 12, "dashdot", 1.5)
    )  # fmt: skip
    time, lift = COST_BESIDE[same[0]] if same else (0.07, 6)
    lift += math.copysign(6, lift)
    lines.append(
        Line(both(same), chosen.when, bits_per_dim(1.0) * chosen.cost, "q",
             int(np.searchsorted(chosen.when, time)), "left", int(lift), width=4)
    )  # fmt: skip
    return line_chart(
        lines, x_title="time t of the draw", y_title="what a draw at t says, bits/dim (log)",
        log_y=True, height=HEIGHT, x_axis={"range": [-0.02, 1.02]},
    )  # fmt: skip


def histogram(draws: dict[str, np.ndarray], mean: float) -> Chart:
    """How often a single draw says how many bits, on a logarithmic axis."""
    values = {
        name: np.log10(np.clip(bits_per_dim(1.0) * d, 1e-6, None)) for name, d in draws.items()
    }
    both = np.concatenate(list(values.values()))
    edges = np.linspace(both.min() - 0.05, both.max() + 0.05, 31)
    figure = histogram_chart(
        values,
        {name: "q" if name == "yours" else LOOKS[name][0] for name in values},
        edges,
        "bits/dim that one draw says (log)",
    )
    at = math.log10(bits_per_dim(mean))
    figure["layout"]["shapes"].append(upright(at, "bits"))
    figure["layout"]["annotations"].append(
        name_at(at, "bound", "bits", y=0.9, yref="paper", xanchor="left", xshift=6)
    )
    return figure


def without_network() -> None:
    """Two paths that nobody has to learn, between the ends that VDM's code begins with."""
    position = position_slider()
    share = (position + FULL) / (2 * FULL)
    linear, cosine = linear_gamma(*PAPER_ENDS), cosine_gamma(*PAPER_ENDS)
    t = torch.linspace(0, 1, 201, dtype=torch.float64)
    nothing = np.zeros(0)

    def drawn(levels: torch.Tensor) -> OnPath:
        return OnPath(t.numpy(), levels.numpy(), nothing, nothing, Figure(0.0, 0.0))

    shown = {"linear": drawn(linear(t)), "cosine": drawn(cosine(t))}
    chosen = drawn(mix(linear, cosine, share)(t))
    plot(
        gamma_chart(shown, chosen),
        key="ls_gamma_only",
        alt="Gamma over time on the linear, cosine and chosen path",
    )
    st.caption(
        f"Without the network there is no learned path and no cost: the slider goes from linear to "
        f"cosine, {share:.0%} of the way, between γ = {PAPER_ENDS[0]:g} and {PAPER_ENDS[1]:g}."
    )


# --- T steps --------------------------------------------------------------------------------------


def steps_view(pixels: bytes, about: str, seed: int, position: int, sha: str) -> None:
    """A sum over T steps against the integral: here the path counts, until T is large."""
    columns = {T: terms(pixels, seed, position, T, sha) for T in (*STEPS, None)}
    curves = {name: sweep(pixels, seed, at, sha) for name, at in NAMED.items()}
    curves["yours"] = sweep(pixels, seed, position, sha)
    x = np.array(SWEEP, dtype=float)
    lines = []
    limit = bits_per_dim(columns[None].total.mean)
    top = STEEP * limit  # the cosine's few steps lie far above, and would press the others together
    for name, at in (("linear", 2), ("learned", 1), ("cosine", 0), ("yours", 1)):
        color, dash = LOOKS.get(name, ("q", "solid"))
        anchor, lift = ("right", -12) if name == "learned" else ("left", 12)
        seen = bits_per_dim(1.0) * curves[name] < 0.8 * top
        at = max(at, int(seen.argmax()))
        lines.append(
            Line(name, x, bits_per_dim(1.0) * curves[name], color, at, anchor, lift, dash,
                 4 if name == "yours" else 2)
        )  # fmt: skip
    lines.append(Line("T = ∞", x[[0, -1]], np.array([limit, limit]), "bits", 0, "left", -12))
    plot(
        line_chart(
            lines,
            x_title="steps T (log)",
            y_title="the bound, bits/dim (log)",
            log_x=True,
            log_y=True,
            y_range=(limit / 2, top),  # room for the limit's name below its line
            height=HEIGHT,
        ),
        key="ls_steps",
        alt=f"The bound of {about} over the number of steps, on each path, and its limit",
    )
    few, many = (
        ", ".join(
            f"{name} **{three(bits_per_dim(y[SWEEP.index(T)]))}**" for name, y in curves.items()
        )
        for T in (STEPS[0], STEPS[-1])
    )
    chapter.prose(
        f"Bits/dim with {STEPS[0]} steps (off the chart above {top:.0f}): {few}; with "
        f"{STEPS[-1]}: {many}; in continuous time: all **{three(limit)}**."
    )
    rows = ["| T | prior | diffusion | reconstruction | bound |", "|---|---|---|---|---|"]
    for T, told in columns.items():
        rows.append(
            f"| {T or '∞'} | {bits_per_dim(told.prior):.4f} | {in_bits(told.diffusion)} | "
            f"{in_bits(told.reconstruction)} | **{in_bits(told.total)}** |"
        )
    wide_table(rows, "steps")
    st.caption(
        f"Bits/dim, path: {told_position(position)}. Prior and reconstruction depend on the "
        "ends alone. The diffusion term is summed from the network's errors at "
        f"{KNOTS} values of γ; the button asks the network at every step instead."
    )
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    T = left.select_slider("Steps T to draw", STEPS, value=100, key="ls_T", bind="query-params")
    wanted = right.button(f"Draw all {T} steps for real", key="ls_sum", icon=":material/casino:")
    found: ElboTerms | None = kept_draws(
        ("steps", sha, hash(pixels), seed, position, T),
        wanted,
        lambda tell: real_steps(pixels, seed, position, T, sha, tell),
        T,
    )
    if found is not None:
        chapter.prose(
            f"**{T} steps, each drawn once:** prior {bits_per_dim(float(found.prior)):.4f} + "
            f"diffusion {bits_per_dim(float(found.denoising.sum())):.3f} + reconstruction "
            f"{bits_per_dim(float(found.reconstruction)):.3f} = "
            f"**{bits_per_dim(float(found.total)):.3f} bits/dim**."
        )


# --- the ends -------------------------------------------------------------------------------------


def ends_view(pixels: bytes, about: str, seed: int, sha: str) -> None:
    """What each end decides, and what moving it would cost."""
    low, high = moved_ends(pixels, seed, sha)
    whole = terms(pixels, seed, 0, None, sha)
    left, right = st.columns(2, gap="medium")
    for place, end, own, title in (
        (left, low, "reconstruction", "γ₀, where the noise begins"),
        (right, high, "prior", "γ₁, where it ends"),
    ):
        plot(
            end_chart(end, own, title, whole),
            key=f"ls_end_{own}",
            alt=f"{own.capitalize()} and diffusion term of {about} if this end were elsewhere",
            place=place,
        )
        best = int(end.total.argmin())
        here = int(np.abs(end.gamma - end.learned).argmin())
        edge = " or beyond" if best in {0, len(end.gamma) - 1} else ""
        least = (
            "At no other dot is the bound of this picture lower."
            if best == here
            else f"For this picture it is least near {signed(end.gamma[best], 1)}{edge}: "
            f"{bits_per_dim(end.total[here] - end.total[best]):.1g} bits/dim lower."
        )
        place.caption(f"Learned: {signed(end.learned)}. {least}")
    prior, decoding = both_ends(pixels, seed, sha)
    ends = ends_of(sha)
    chapter.prose(
        f"At the learned ends, γ₀ = {signed(ends[0])} and γ₁ = {signed(ends[1])}: "
        f"reconstruction **{in_bits(decoding)}**, prior **{bits_per_dim(prior):.4f}**, diffusion "
        f"**{in_bits(whole.diffusion)}**, together **{in_bits(whole.total)} bits/dim**. The first "
        f"picture holds noise of standard deviation "
        f"{math.exp(ends[0] / 2):.2g} beside a signal of 1 (two gray levels are {2 / 255:.2g} "
        f"apart); the last an SNR of {math.exp(-ends[1]):.2g}."
    )
    st.caption(
        "Reconstruction and prior are computed from their formulas. The diffusion term is asked of "
        "the network at each γ, also outside of its own ends, where it was never trained. The term "
        "that the other end decides is in the bound and not drawn."
    )


def of_whole(end: MovedEnd, whole: Terms) -> tuple[np.ndarray, np.ndarray]:
    """Diffusion term and bound, bits/dim, [m] each, with this end where `end.gamma` says."""
    here = int(np.abs(end.gamma - end.learned).argmin())
    moved = end.diffusion - end.diffusion[here] + whole.diffusion.mean
    bound = end.total - end.total[here] + whole.total.mean
    return bits_per_dim(1.0) * moved, bits_per_dim(1.0) * bound


def end_chart(end: MovedEnd, own: str, title: str, whole: Terms) -> Chart:
    """The two terms that pull at one end, and the bound; `whole` is it at the learned ends."""
    left = own == "reconstruction"
    inner, outer = (-3, 1) if left else (2, -2)
    diffusion, bound = of_whole(end, whole)
    figure = line_chart(
        [
            Line("diffusion", end.gamma, diffusion, "eps", outer, "center", -14, "dash"),
            Line(own, end.gamma, bits_per_dim(1.0) * end.own, "x0", -5 if left else 2,
                 "left" if left else "right", -12, "dot"),
            Line("bound", end.gamma, bound, "bits", inner, "center", 14, width=3),
        ],
        x_title=title, y_title=f"bits/dim with {title[:2]} moved there", height=HEIGHT,
        y_range=(-0.1, 1.1 * float(bound.max())),
    )  # fmt: skip
    figure["layout"]["shapes"] = [upright(end.learned, "p", dash="dot")]
    figure["layout"]["annotations"].append(
        name_at(end.learned, "learned", "p", y=1, yref="paper", xanchor="left", xshift=5)
    )
    return figure
