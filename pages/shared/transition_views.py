"""The four views of the page about transition matrices, and the controls behind "More"."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from pages.shared import chapter, kernels
from pages.shared.corruption import (
    FRAMES,
    LEVELS,
    SENTENCE,
    Choice,
    Corrupted,
    Seen,
    cleaned,
    corrupted,
    corrupted_text,
    ending_of,
    gray_28,
    seen,
    told_over_time,
)
from pages.shared.figures import Line, line_chart
from pages.shared.kernels import MASK, NAMES, Process
from pages.shared.matrices import (
    MOST_CELLS,
    corrupted_lines,
    flow_figure,
    label_places,
    matrix_figure,
    spoken,
)
from pages.shared.pictures import choose_picture
from pages.shared.player import Curve, Panel, player
from pages.shared.plot import plot

KERNELS = {**NAMES, "own": "Your own matrix"}
FIRST = "absorbing"
"""The kernel to begin with: in the uniform one nobody sees which side of Q is “from”."""
SHORT = {"nearest_neighbor": "Neighbours", "mask_and_replace": "Mask, replace"}
WITH_OWN_STEPS = {"mask_and_replace", "own"}  # kernels that no β steers
SHOWN_LETTERS = 300
DASHES = dict(zip(NAMES, ("solid", "dash", "dot", "dashdot", "longdash"), strict=True))
"""A kernel's line, chosen or not."""
PATTERNS = ("", "7 4", "2 3", "10 3 2 3", "16 4")  # the same for the player, which takes SVG's
MOST_STEPS = 100
MOST_CURVES = 64  # states in the view that needs every row at every t


def in_a_sentence(kernel: str) -> str:
    """A kernel's name where no sentence begins; Gauss keeps his capital."""
    return KERNELS[kernel] if kernel == "gaussian" else KERNELS[kernel].lower()


def more(kernel: str, view: str) -> tuple[Choice, DeltaGenerator]:
    """Draw what is behind "More"; what the kernel or the view has no use for is greyed out.

    Returns:
        What the controls say, but T, and the place for `number_of_steps`.
    """
    all_kernels = view != "matrix"
    sized = view in {"matrix", "forgetting"}
    with st.expander("More: states, schedule, the kernel's own settings"):
        one, two, three, four = st.columns(4)
        K = one.number_input(
            "States K, [MASK] included", 2, 4096, 8, key="tK", bind="query-params",
            disabled=not sized or kernel == "own",
        )  # fmt: skip
        place = one.container()
        schedule = two.selectbox(
            "Chance β of a jump, per step", kernels.SCHEDULES, key="tsched", bind="query-params",
            disabled=not all_kernels and kernel in WITH_OWN_STEPS,
            help="“cosine” is D3PM's, “squared cosine” improved DDPM's.",
        )  # fmt: skip
        beta = two.number_input(
            "β, if constant", 0.0, 1.0, 0.1, 0.05, key="tbeta", bind="query-params",
            disabled=schedule != "constant" or (not all_kernels and kernel in WITH_OWN_STEPS),
        )  # fmt: skip
        scaling = three.selectbox(
            "Gaussian: scaling", ["paper", "public_code"], key="tscale", bind="query-params",
            disabled=not all_kernels and kernel != "gaussian",
        )  # fmt: skip
        ending = three.selectbox(
            "Mask and replace: as in the", list(kernels.ENDINGS), key="tend", bind="query-params",
            disabled=not all_kernels and kernel != "mask_and_replace",
            help="In the paper a tenth of all states is replaced in the end; with the end points "
            "of the public code, about one in a million.",
        )  # fmt: skip
        near = all_kernels or kernel == "nearest_neighbor"
        embedding = four.selectbox(
            "Neighbours: embedding", kernels.EMBEDDINGS, key="temb", bind="query-params",
            disabled=not near or view in {"digit", "text"},
        )  # fmt: skip
        rate = four.select_slider(
            "Neighbours: all β times", [1, 4, 16, 64], value=16, key="trate",
            bind="query-params", disabled=not near,
        )  # fmt: skip
        points, rows = kernels.POINTS, kernels.ROWS
        if near and embedding == "your own" and sized:
            points = st.text_area(
                "Your embedding: one point a line", kernels.POINTS, key="tpoints",
                bind="query-params", height=150,
            )  # fmt: skip
        if kernel == "own" and sized:
            rows = st.text_area(
                "Your matrix: one row a line, rows are “from”", kernels.ROWS, key="trows",
                bind="query-params", height=120,
            )  # fmt: skip
    rest = (schedule, beta, scaling, embedding, points, float(rate), ending, rows)
    return Choice(K, MOST_STEPS, *rest), place


def number_of_steps() -> int:
    """Draw the choice of T."""
    return st.select_slider(
        "Number of steps T", [2, 10, 25, 50, MOST_STEPS], value=MOST_STEPS, key="tT",
        bind="query-params",
    )  # fmt: skip


# --- matrices -------------------------------------------------------------------------------------


def clicked(x: float, y: float) -> None:
    """Follow the state whose cell was clicked; its row and column are emphasised."""
    chapter.apply_state(ti=int(y), tj=int(x))


def matrices(kernel: str, choice: Choice, t: int) -> None:
    """Q_t, Q_bar_t, and the emphasised row of Q_bar over time."""
    made = choice.process(kernel)
    n = min(made.diffusion.K, MOST_CELLS)
    stage = st.container()
    whole = n == made.diffusion.K
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        row = st.number_input(
            "Row: follow state" if whole else "Row: follow block", 0, MOST_CELLS - 1, 3, key="ti",
            bind="query-params", width=170,
        )  # fmt: skip
        column = st.number_input(
            "Column", 0, MOST_CELLS - 1, 7, key="tj", bind="query-params", width=120
        )
        log = st.toggle(
            "Shades by logarithm", False, key="tlog", bind="query-params",
            help="By the probability itself, what is rarer than about 1 in 50 can't be told from "
            "what is impossible.",
        )  # fmt: skip
    row, column = min(row, n - 1), min(column, n - 1)
    told = seen(kernel, tuple(choice), t, row)
    names = told.names
    notes = made.notes
    if made.diffusion.K > MOST_CELLS:
        notes += (
            f"{made.diffusion.K} states are more than a heat map can show: each cell is a block of "
            f"about {made.diffusion.K // n} neighbouring states. It says how likely a state drawn "
            "from the row's block lands anywhere in the column's block.",
        )
    with stage:
        chapter.say(notes)
        left, middle, right = st.columns(3, gap="small")
    share = {"names": names, "row": row, "column": column, "log": log}
    share["dark"] = st.context.theme.type == "dark"
    step = matrix_figure(
        told.step,
        title=f"<b>Q<sub>{t}</sub></b>, one step",
        words=f"In step {t}, a <b>%{{y}}</b> becomes a <b>%{{x}}</b><br>with probability "
        "%{customdata:.3g}",
        rows=f"from x<sub>{t - 1}</sub>",
        columns=f"to x<sub>{t}</sub>",
        **share,
    )
    many = matrix_figure(
        told.marginal,
        title=f"<b>Q̄<sub>{t}</sub></b>, all steps up to {t}",
        words=f"After {t} steps, a <b>%{{y}}</b> has become a <b>%{{x}}</b><br>with probability "
        "%{customdata:.3g}",
        rows="from x<sub>0</sub>",
        columns=f"to x<sub>{t}</sub>",
        **share,
    )
    flow = flow_figure(
        told.flow, names, told.paths,
        title=f"<b>{names[row]}</b> through time; lines: 3 walks",
        words=f"After %{{x}} steps, a <b>{names[row]}</b> has become a <b>%{{text}}</b><br>"
        "with probability %{customdata:.3g}",
        t=t, log=log, dark=share["dark"],
    )  # fmt: skip
    for place, figure, key, alt in (
        (left, step, "tm_step", f"Heat map of the transition matrix of step {t}"),
        (middle, many, "tm_marginal", f"Heat map of the matrix of all steps up to {t}"),
    ):
        plot(figure, key=key, alt=alt, place=place, on_click=clicked)
    plot(
        flow,
        key="tm_flow",
        alt=f"Where state {names[row]} is at every step: probabilities, and three random walks",
        place=right,
    )
    stage.caption(in_words(told, row, column, t))


def in_words(told: Seen, row: int, column: int, t: int) -> str:
    """The emphasised row and column as sentences."""
    line, names = told.marginal[row], told.names
    best = np.argsort(-line, kind="stable")[:3]
    parts = ", ".join(
        f"{'still ' if j == row else ''}{names[j]} with {spoken(float(line[j]))}"
        for j in best
        if line[j] > 0
    )
    total = told.marginal[:, column].sum()
    number = f" (number {column})" if names[column] == MASK else ""
    return (
        f":blue[**Row {names[row]}**] of Q̄: after {t} steps it is {parts}; the row sums to "
        f"{told.marginal[row].sum():.6g}. **Column {names[column]}**{number}: the chance "
        f"of each start to be there; it need not sum to 1, and sums to {total:.3g}. Right: shades "
        f"are row {names[row]} at every t, lines three random walks."
    )


# --- forgetting -----------------------------------------------------------------------------------


def forgetting_view(kernel: str, choice: Choice) -> None:
    """Mutual information and mixing of all kernels over t, and where the chosen one ends."""
    notes: tuple[str, ...] = ()
    if choice.K > MOST_CURVES:
        notes = (f"These curves need every row at every step: K = {MOST_CURVES} is used for them.",)
        choice = choice._replace(K=MOST_CURVES)
    made = choice.process(kernel)
    chapter.say(notes + made.notes)
    others = [name for name in NAMES if name != kernel]
    order = [*others, kernel]
    told = {name: told_over_time(name, tuple(choice)) for name in order}
    left, right = st.columns(2, gap="medium")
    for place, which, title, key in (
        (left, 0, "share of the information on x₀ that xₜ still holds", "tm_information"),
        (right, 1, "distance to the stationary distribution, worst start", "tm_mixing"),
    ):
        at = label_places([told[name][which] for name in order])
        lines = [
            Line(
                in_a_sentence(name), np.arange(choice.T + 1), told[name][which],
                "q" if name == kernel else "xt",
                at[k],
                anchor="center",
                width=3 if name == kernel else 1.5,
                dash=DASHES.get(name, "solid"),
                shift=14,
            )
            for k, name in enumerate(order)
        ]  # fmt: skip
        plot(
            line_chart(lines, x_title="step t", y_title=title, y_range=(-0.04, 1.12), height=320),
            key=key,
            alt=f"{title}, for {len(order)} kernels over t",
            place=place,
        )
    st.caption(where_it_ends(made, *told[kernel]))


def leads(Q: torch.Tensor) -> torch.Tensor:
    """Which state leads to which, by however many steps of Q: [K, K] bool."""
    ways = (Q > 0).double() + torch.eye(len(Q), dtype=torch.float64)
    for _ in range(len(Q).bit_length()):  # each round doubles the number of steps
        ways = (ways @ ways > 0).double()
    return ways > 0


def joined(Q: torch.Tensor) -> bool:
    """Whether every state leads to every other."""
    return bool(leads(Q).all())


def ends_apart(Q: torch.Tensor) -> bool:
    """Whether the start decides where it ends: two sets of states that nobody leaves."""
    ways = leads(Q)
    kept = (~ways | ways.T).all(1)  # states that all they lead to lead back to
    return not bool(ways[kept][:, kept].all())


def where_it_ends(made: Process, share: np.ndarray, distance: np.ndarray) -> str:
    """The stationary distribution and how near the process comes to it, as sentences."""
    diffusion = made.diffusion
    T = diffusion.T
    ends = ending_of(made.diffusion)
    if diffusion.mask is not None:
        where = f"all on {MASK}"
    elif float(ends.max() - ends.min()) < 1e-9:
        where = f"even, 1/{diffusion.K} for each state"
    else:
        pairs = zip(ends, made.names, strict=True)
        where = ", ".join(f"{spoken(float(p))} on {name}" for p, name in pairs)
    half = np.flatnonzero(share <= 0.5)
    mixed = np.flatnonzero(distance <= 0.01)
    opening = (
        "The stationary distribution is the one that a step leaves unchanged, π = πQ: here it is "
        f"{where}."
    )
    if diffusion.mask is None and ends_apart(diffusion.q_step_matrix(T)):
        opening = (
            "There is more than one stationary distribution, and the start decides. An even start "
            f"ends with this one, π: {where}."
        )
    islands = ""
    if where.startswith("even") and not joined(diffusion.q_step_matrix(T)):
        islands = (
            "Some states never become some others, however many steps there are: each start stays "
            "on its island, and what is even on an island stays, too. "
        )
    if share[0] == 0:
        return f"{opening} A single real state has nothing to tell."
    return (
        f"{opening} {islands}"
        + f"At t = 0 the worst start is {distance[0]:.3g} away: 1 minus its own π. "
        + (f"Half of the information is gone at t = {half[0]} (even data). " if len(half) else "")
        + (
            f"From t = {mixed[0]} on, every start is within 0.01 of π."
            if len(mixed)
            else f"At t = T = {T} the worst start is still {distance[-1]:.2g} away from π, and "
            f"{share[-1]:.1%} of the information is left."
        )
    )


# --- a digit, a sentence --------------------------------------------------------------------------


def digit_view(choice: Choice, equal: bool) -> None:
    """Five kernels, one picture, over the information that is left or over t."""
    picture_place, controls = st.columns([8, 3], gap="small")
    with controls:
        picture = choose_picture()
        seed = st.number_input("Seed", 0, 9999, 0, key="tseed", bind="query-params")
    pixels = gray_28(picture.pixels)
    told = corrupted(pixels.tobytes(), tuple(choice), equal, seed)
    if told.bits == 0:
        chapter.say(("This picture has one gray level only: there is no information to lose.",))
    chart = "step t" if equal else "share of the information that is left"
    patterns = list(zip(NAMES, PATTERNS, strict=True))
    curves = [
        Curve(
            SHORT.get(name, NAMES[name]),
            (told.steps if equal else told.left)[name],
            "q",
            chart,
            0,
            choice.T if equal else 1,
            digits=0 if equal else 2,
            dash=pattern,
        )
        for name, pattern in patterns
    ] + [
        Curve(
            SHORT.get(name, NAMES[name]), told.changed[name], "xt",
            "share of pixels that differ", 0, 1,
            dash=pattern,
        )
        for name, pattern in patterns
    ]  # fmt: skip
    captions = (
        [f"nearest to {s:.0%} of {told.bits:.2f} bits per pixel left" for s in told.share]
        if equal
        else [f"t = {t} of {choice.T}" for t in told.steps["uniform"]]
    )
    with picture_place:
        player(
            [
                Panel(
                    SHORT.get(name, NAMES[name]),
                    f"{picture.about} under the {in_a_sentence(name)} kernel",
                    told.frames[name],
                    "xt",
                    badge=stuck(told, name) if equal else "",
                )
                for name in NAMES
            ],
            curves=curves,
            key="tm_player",
            scale=4,
            total=FRAMES,
            captions=captions,
            ends=("the picture", "nothing left" if equal else f"t = {choice.T}"),
            autoplay=True,
            rest=round(0.5 * (FRAMES - 1)),
            hold=True,
            report_frame=False,
            label="A digit under five kernels",
        )
        st.caption(
            f"{LEVELS} gray levels. [MASK] is painted orange. The information is that of one pixel "
            "with the gray levels of this picture."
        )


def stuck(told: Corrupted, name: str) -> str:
    """Say where a kernel runs out of steps before it runs out of information."""
    left = float(told.left[name][-1])
    return f"keeps {left:.0%} at T" if left > 0.03 else ""


def text_view(choice: Choice, equal: bool) -> None:
    """Five kernels, one sentence."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        typed = st.text_input("A sentence", SENTENCE, key="ttext", bind="query-params")
        at = st.slider(
            "Information left, %" if equal else "Step t, % of T", 0, 100, 50, key="tleft",
            bind="query-params", width=260,
        )  # fmt: skip
        seed = st.number_input("Seed", 0, 9999, 0, key="tseed", bind="query-params", width=110)
    text, notes = cleaned(typed)
    chapter.say(notes)
    told = corrupted_text(text, tuple(choice), equal, at, seed)
    shown = text[:SHOWN_LETTERS]
    rows = []
    for name, t, left, letters in told:
        differ = np.mean([a != b for a, b in zip(letters, text, strict=True)])
        rows.append(
            (
                NAMES[name],
                f"t = {t}, {left:.0%} of the information left, {differ:.0%} of the letters differ",
                letters[:SHOWN_LETTERS],
            )
        )
    st.html(corrupted_lines([("Clean", f"{len(text):,} letters", shown), *rows], shown))
    cut = f" The first {SHOWN_LETTERS} letters are shown." if len(text) > SHOWN_LETTERS else ""
    st.caption(
        "▒ is [MASK]. The Gaussian kernel takes the alphabet for an order, the nearest-neighbour "
        "kernel jumps between neighbouring keys of a keyboard. The information is that of one "
        f"letter with the frequencies of this text.{cut}"
    )
