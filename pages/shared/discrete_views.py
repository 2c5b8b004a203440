"""The views of the page about discrete sampling in which networks sample, and their controls."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import streamlit as st

from diffusion_core.checkpoints import CheckpointError
from diffusion_core.unmasking import ORDERS
from pages.shared import bench, discrete_bench
from pages.shared import discrete_networks as networks
from pages.shared.discrete_bench import COUNT, COUNT_COMPARED, Row, Shot, Start, share, times_of
from pages.shared.discrete_networks import Net
from pages.shared.player import follow, session_runs
from pages.shared.runs import LiveRun

STEPS = (1, 2, 5, 10, 25, 50, 100, 200)
ORDER_NAMES = {"random": "random", "confidence": "most confident first"}
GUIDANCE = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
MOST_ROWS = 3
MOST_ERRORS = 60
Runs = LiveRun[list[Shot]]


def next_seed() -> None:
    """Go on to other draws."""
    st.session_state["dsseed"] = (st.session_state["dsseed"] + 1) % 10_000


def first_rows(names: Sequence[str]) -> list[str]:
    """What is compared at first: a network of each kernel, if possible alike in all else."""
    alike = max((networks.siblings(name, names) for name in names), key=len, default=[])
    ordered = [*dict.fromkeys([*alike, *names])]
    by_kernel = {networks.about(name).kernel: name for name in reversed(ordered)}
    return [name for name in ordered if name in by_kernel.values()][:MOST_ROWS]


def opened(name: str) -> Net | None:
    """A network, or a sentence and None."""
    try:
        return networks.network(name, networks.sha_of(name))
    except CheckpointError as error:
        st.warning(str(error), icon=":material/cloud_off:")
        return None


# --- controls -------------------------------------------------------------------------------------


def network_menu(names: Sequence[str]) -> str:
    """The menu of networks."""
    return st.selectbox("Network", names, key="dsnet", bind="query-params")


def rows_menu(names: Sequence[str]) -> list[str]:
    """Which networks run side by side."""
    chosen = st.multiselect(
        "Networks", names, default=first_rows(names), key="dsrows", max_selections=MOST_ROWS,
        bind="query-params", placeholder="one of each kernel",
    )  # fmt: skip
    return chosen or first_rows(names)


def order_menu(possible: bool) -> str:
    """In which order masked elements are shown."""
    return st.segmented_control(
        "Unmask in this order", list(ORDERS), key="dsorder", default="random", required=True,
        bind="query-params", format_func=ORDER_NAMES.get, disabled=not possible,
        help="Random is the process itself. There is a choice where the process is absorbing and "
        "its [MASK] is no state of the data.",
    )  # fmt: skip


def more(rows: Sequence[Row], count: int) -> Start:
    """Class, seed and the last step, behind "More"; the steps are still to come."""
    with st.expander("More: digit, guidance, seed, last step"):
        one, two, three = st.columns(3, gap="large")
        knows = any(row.net.about.conditional for row in rows)
        digit = one.selectbox(
            "Digit", bench.DIGITS, key="dsdigit", bind="query-params", disabled=not knows,
            format_func=bench.digit_name,
        )  # fmt: skip
        if not knows:
            one.caption("This network was never told a class: whatever comes.")
        guidance = one.select_slider(
            "Guidance", GUIDANCE, 1.0, key="dsguide", bind="query-params",
            disabled=not knows or digit == "any",
            help="How far the class is exaggerated: 0 forgets it, 1 is the network as it is, more "
            "pushes away from “any digit”. It asks the network twice.",
        )  # fmt: skip
        seed = two.number_input("Seed", 0, 9999, 0, key="dsseed", bind="query-params")
        draw_last = three.toggle(
            "Draw at the last step, too", False, key="dsdraw", bind="query-params",
            help="Off: the last step takes the likeliest state, as D3PM's code does.",
        )  # fmt: skip
    return Start(digit, 0, seed, count, draw_last, guidance)


def steps_menu() -> int:
    """How many network calls a run makes."""
    return int(st.select_slider("Steps", STEPS, 25, key="dssteps", bind="query-params"))


def possible(start: Start, steps: int, rows: Sequence[Row]) -> Start:
    """The start with as many steps as there are, and a sentence where those are fewer."""
    fewest = min(row.net.T for row in rows)
    if steps > fewest:
        st.caption(f":material/build: {steps} steps are more than T = {fewest}; {fewest} are made.")
    return start._replace(steps=min(steps, fewest))


def opened_run(start: Start, rows: Sequence[Row]) -> Runs:
    """This session's run of these settings."""
    names = [(row.net.card.fields.get("sha256"), *row[1:]) for row in rows]
    return session_runs().open(
        repr((names, start)),
        lambda: discrete_bench.run(start, rows),
        len(times_of(rows[0].net, start.steps)),
    )


# --- one run --------------------------------------------------------------------------------------


def run_view(names: Sequence[str]) -> None:
    """Sixteen pictures, followed live."""
    row = st.container(key="bench_row", horizontal=True, vertical_alignment="bottom", gap="medium")
    with row:
        net = opened(network_menu(names))
        order = order_menu(net is not None and net.orders)
        st.button("Other draws", icon=":material/casino:", on_click=next_seed)
    if net is None:
        return
    rows = [Row(net, order)]
    start = more(rows, COUNT)
    with row:
        followed(start, rows)


@st.fragment
def followed(start: Start, rows: Sequence[Row]) -> None:
    """One run, and the control that is moved most.

    A fragment of its own: what a move sends, and the browser goes through, is what is in here.
    """
    steps = steps_menu()
    net = rows[0].net
    with st.container(key="bench_stage"):
        start = possible(start, steps, rows)
        times = times_of(net, start.steps)
        follow(
            opened_run(start, rows),
            lambda shots, first: discrete_bench.draw_one(shots, first, times, net),
            key="ds_player",
            scale=2,
            autoplay=True,
            report_frame=False,
            ends=("noise", "data"),
            charts_last=True,
            label="Sampling, from noise to data",
        )
        st.html(legend(net))
        st.caption(about(rows, start))


def legend(net: Net) -> str:
    """What the colours of the confidence map and of [MASK] mean."""
    stops = ", ".join(css(networks.CONFIDENCE[k]) for k in range(0, 256, 51))
    marks = [
        f"confidence: {percent(1 / net.levels)} (a guess) {ramp(stops)} 100 % (sure)",
    ]
    known = "known, " if net.about.kernel == "absorbing" else "t = 0: "
    marks.append(f"{swatch(css(discrete_bench.KNOWN))} {known}no longer asked")
    if net.own_mask:
        marks.append(f"{swatch(css(networks.MASK_COLOR))} [MASK]")
    else:
        marks += hidden([net])
    if net.about.tokens:
        marks.append(f"other colours in xₜ: {net.levels} tokens, in no order")
    return legend_line(marks)


def hidden(nets: Sequence[Net]) -> list[str]:
    """Marks that say which gray stands for [MASK], of the networks where one does."""
    return [
        f"{swatch(css(net.colors[net.mask]))} gray level {net.mask}: [MASK] of {net.about.name}"
        for net in nets
        if net.mask is not None and not net.own_mask
    ]


def legend_line(marks: Sequence[str]) -> str:
    """Marks in a row that wraps."""
    items = "".join(f"<span>{mark}</span>" for mark in marks)
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:0.25rem 1.5rem;font-size:0.875rem;'
        f'align-items:center">{items}</div>'
    )


def swatch(color: str) -> str:
    """A square of a colour, with an edge that shows on any background."""
    return (
        f'<span aria-hidden="true" style="display:inline-block;width:0.9em;height:0.9em;'
        f'margin:0 0.2em;vertical-align:-0.1em;background:{color};outline:1px solid #888"></span>'
    )


def ramp(stops: str) -> str:
    """A strip of the confidence map's colours."""
    return (
        '<span aria-hidden="true" style="display:inline-block;width:6em;height:0.9em;'
        f"margin:0 0.3em;vertical-align:-0.1em;outline:1px solid #888;"
        f'background:linear-gradient(to right, {stops})"></span>'
    )


def css(color: np.ndarray) -> str:
    """[3] uint8 as CSS."""
    return f"rgb({', '.join(map(str, color.tolist()))})"


def percent(value: float) -> str:
    """A share as a reader writes it; as many digits as small ones need."""
    return f"{100 * value:.1f} %" if 0 < value < 0.02 else f"{100 * value:.0f} %"


def about(rows: Sequence[Row], start: Start) -> str:
    """One line under the pictures: what the networks are."""
    told = dict.fromkeys(
        f"{row.net.about.name}: {networks.KERNELS.get(row.net.about.kernel, row.net.about.kernel)}"
        f", {row.net.levels} states{masked(row.net)}, T = {row.net.T}"
        + ("" if row.net.card.fields.get("status") == "final" else ", still in training")
        for row in rows
    )
    calls = f"Asked {start.steps} time{'s' if start.steps != 1 else ''} for each picture. "
    good = "Its [card](/model_cards) says how good it is."
    if len(told) > 1:
        good = "Their [cards](/model_cards) say how good they are."
    return f"{'; '.join(told)}. {calls}{good}"


def masked(net: Net) -> str:
    """Whether [MASK] is one more state, or one of the data's stands for it."""
    per = f" per {net.element}"
    if net.own_mask:
        return f" and [MASK]{per}"
    return per + (f", of which {net.mask} stands for [MASK]" if net.mask is not None else "")


# --- several runs ---------------------------------------------------------------------------------


def rows_of(nets: Sequence[Net]) -> list[Row]:
    """One row per network; a single one that can be unmasked in two orders is compared with it."""
    if len(nets) == 1 and nets[0].orders:
        return [Row(nets[0], order) for order in ORDERS]
    return [Row(net) for net in nets]


def beside_unguided(rows: list[Row], start: Start) -> list[Row]:
    """A single guided row and, below it, the same draws without guidance; else the rows."""
    if len(rows) > 1 or start.guidance == 1 or start.label(rows[0].net) is None:
        return rows
    return [rows[0]._replace(guidance=guidance) for guidance in (start.guidance, 1.0)]


def several(names: Sequence[str]) -> tuple[list[Net], int, st.delta_generator.DeltaGenerator]:
    """The networks chosen, the steps, and the place for the exhibit under their controls."""
    one, two, three = st.columns([8, 4, 3], vertical_alignment="bottom", gap="medium")
    with one:
        chosen = rows_menu(names)
    with two:
        steps = steps_menu()
    three.button("Other draws", icon=":material/casino:", on_click=next_seed, width="stretch")
    stage = st.container(key="bench_stage")
    return [net for name in chosen if (net := opened(name)) is not None], steps, stage


def alone(nets: Sequence[Net]) -> None:
    """Say what a comparison still lacks."""
    if len({net.about.kernel for net in nets}) == 1:
        gone = [name for name in networks.missing() if networks.about(name).kernel != "absorbing"]
        st.info(
            "Another kernel would stand here beside it, but its network is not in pretrained/: "
            f"{', '.join(gone)}." if gone else "Choose networks of two kernels to compare them.",
            icon=":material/hourglass_empty:",
        )  # fmt: skip


def compare_view(names: Sequence[str]) -> None:
    """Kernels side by side: how often an element changes its mind."""
    nets, steps, stage = several(names)
    if not nets:
        return
    rows = rows_of(nets)
    start = possible(more(rows, COUNT_COMPARED), steps, rows)
    rows = beside_unguided(rows, start)
    times = times_of(rows[0].net, start.steps)
    live = opened_run(start, rows)
    with stage:
        if rows[0].guidance is None:
            alone(nets)
        follow(
            live,
            lambda shots, first: discrete_bench.draw_compared(shots, first, times, rows),
            key="ds_compare",
            scale=2,
            autoplay=True,
            beside=True,
            report_frame=False,
            row_labels=[row.name for row in rows],
            ends=("noise", "data"),
            charts_last=True,
            label="Kernels side by side, from noise to data",
        )
        marks = [f"{swatch(css(color))} {text}" for text, (_, color) in
                 discrete_bench.HISTORY.items()]  # fmt: skip
        st.html(legend_line(["changed:", *marks, *hidden(nets)]))
        st.html(change_table(live.frames(), rows))
        st.caption(
            f"{counted(live)} A change is a step from one state to another; being unmasked is "
            "none, so an absorbing network's map stays black. Re-noised: it left the state that "
            "the network believed in most. " + about(rows, start)
        )


def change_table(frames: Sequence[list[Shot]], rows: Sequence[Row]) -> str:
    """Counts of the run so far, per row."""
    lines = []
    for index, row in enumerate(rows):
        history = frames[-1][index].history
        shown = sum(shot[index].unmasked for shot in frames) / history[0].size
        again = sum(shot[index].renoised for shot in frames) / history[0].size
        lines.append(
            (row.name, f"{shown:.2f}", f"{history.mean():.2f}", percent((history >= 2).mean()),
             str(history.max()), f"{again:.2f}")
        )  # fmt: skip
    head = ("", "unmasked, per element", "changes, per element", "changed twice or more",
            "most changes of one", "re-noised, per element")  # fmt: skip
    return table(head, lines, "Changes of the run so far")


def counted(live: Runs) -> str:
    """How much of the run a table tells of."""
    return "Counted over the whole run." if live.complete else "Counted as far as the run has come."


def table(head: Sequence[str], lines: Sequence[Sequence[str]], label: str) -> str:
    """A table that scrolls by itself where it is too wide."""
    top = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<table class="metrics"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


# --- errors ---------------------------------------------------------------------------------------


def error_view(names: Sequence[str]) -> None:
    """Errors planted in the middle of a run, and who repairs them."""
    nets, steps, stage = several(names)
    if not nets:
        return
    left, right = st.columns(2, gap="large")
    planted = left.slider(
        "Errors per picture", 1, MOST_ERRORS, 20, key="dserrors", bind="query-params",
        help="That many elements that are not masked are set to the state farthest from theirs.",
    )  # fmt: skip
    when = right.slider(
        "Planted after this part of the steps, %", 10, 90, 60, 10, key="dswhen",
        bind="query-params",
    )  # fmt: skip
    rows = [Row(net) for net in nets]
    start = possible(more(rows, COUNT_COMPARED), steps, rows)
    at = min(max(1, round(start.steps * when / 100)), start.steps - 1)
    start = start._replace(planted=planted, planted_at=at)
    times = times_of(rows[0].net, start.steps)
    live = opened_run(start, rows)
    with stage:
        alone(nets)
        if start.steps < 2:
            st.caption(":material/build: With one step there is no middle: errors need two steps.")
        follow(
            live,
            lambda shots, first: discrete_bench.draw_planted(shots, first, times, rows, at),
            key="ds_errors",
            scale=2,
            autoplay=True,
            beside=True,
            report_frame=False,
            row_labels=[row.name for row in rows],
            ends=("noise", "data"),
            charts_last=True,
            ticks=[(at, "errors")],
            label="Errors planted in a run",
        )
        words = ("still there", "changed since")
        marks = [
            f"{swatch(css(color))} {text}"
            for color, text in zip(discrete_bench.PLANTED, words, strict=True)
        ]
        st.html(legend_line([*marks, *hidden(nets)]))
        st.html(error_table(live.frames(), rows, at))
        st.caption(
            f"{counted(live)} The errors come after step {at}. Doubted: asked at once, the network "
            "believes more in another state; under absorbing noise what is shown is beyond doubt. "
            "What stood there before may have been noise, so another state may be a repair, too. "
            + about(rows, start)
        )


def error_table(frames: Sequence[list[Shot]], rows: Sequence[Row], at: int) -> str:
    """What became of the errors so far, per row; they came with frame `at`."""
    lines = []
    first = frames[min(at, len(frames) - 1)]
    for shot, new, row in zip(frames[-1], first, rows, strict=True):
        planted = int(shot.planted.sum())
        parts = (new.planted & (new.x0 != new.x), shot.kept, shot.back)
        numbers = [int(part.sum()) for part in parts]
        shares = [percent(share(part, shot.planted)) if planted else "–" for part in parts]
        lines.append(
            (row.name, str(planted), *(f"{n} ({s})" for n, s in zip(numbers, shares, strict=True)))
        )
    head = ("", "errors planted", "doubted at once", "still there", "back to what it was")
    return table(head, lines, "What became of the errors")


def nothing() -> None:
    """What the exhibit says while no network is here."""
    st.info(
        "The networks of this page are not in pretrained/: "
        f"{', '.join(networks.missing()) or 'there is no recipe for one'}. They ship with the "
        "repository; one that is being trained appears here as soon as it has a card.",
        icon=":material/hourglass_empty:",
    )
    st.page_link("pages/discrete/reverse_rules.py", label="Two reverse rules needs no network")
