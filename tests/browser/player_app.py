"""A script that shows the player and the canvas and nothing else, for the browser tests.

Query parameters: `autoplay=1`, `lose=1` (the first request is answered without anything new),
`kill=1` (the run dies once, on the way), `broken=1` (a red formula and too wide an element),
`rest=1` (the live run goes back to a frame), `extras=1` (a player with everything it can do, and
controls that need the keyboard themselves), `present=1` (large type), `crowd=9` (a run that waits
for nine others).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import streamlit as st

from pages.shared.canvas import canvas
from pages.shared.component import code
from pages.shared.player import (
    Curve,
    Frames,
    Histogram,
    Panel,
    follow,
    player,
    pulled,
    session_runs,
)
from pages.shared.runs import Line

TOTAL = 50
REST = 30
SIDE = 28

st.set_page_config(page_title="Player", layout="wide")
code()


def option(name: str) -> bool:
    """Return whether a query parameter is 1."""
    return st.query_params.get(name) == "1"


def count(name: str) -> int:
    """Count the runs of a part of the page."""
    st.session_state[name] = st.session_state.get(name, 0) + 1
    return st.session_state[name]


def tell(**values: object) -> None:
    """Write values where a test can read them."""
    said = (f"{name.replace('_', ' ')} <b id='{name}'>{v}</b>" for name, v in values.items())
    st.markdown(" · ".join(said), unsafe_allow_html=True)


def picture() -> np.ndarray:
    """Return a ring in [-1, 1], in place of a digit."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return np.clip(4 - 2 * np.abs(np.hypot(x, y) - 8), -1, 1)


def to_bytes(x: np.ndarray) -> np.ndarray:
    """Map [-1, 1] to uint8."""
    return np.clip((x + 1) * 127.5, 0, 255).astype(np.uint8)


def fake_run(seed: int, kill: bool) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield x_t, x0_hat, eps_hat on the way back from noise."""
    rng = np.random.default_rng(seed)
    noise, clean = rng.standard_normal((SIDE, SIDE)), picture()
    for i in range(TOTAL):
        time.sleep(0.005)
        if kill and i == 21 and not st.session_state.get("killed"):
            st.session_state["killed"] = True
            raise FloatingPointError("killed on purpose")
        a = i / (TOTAL - 1)
        x = np.sqrt(a) * clean + np.sqrt(1 - a) * noise
        yield to_bytes(x), to_bytes(clean * a), to_bytes(noise / 2)


def draw(steps: list[tuple[np.ndarray, ...]], start: int) -> Frames:
    """Turn steps into what the player shows."""
    x, x0, eps = (np.stack([s[j] for s in steps]) for j in range(3))
    ts = [round(1000 * (1 - (start + i) / (TOTAL - 1))) for i in range(len(steps))]
    grid = np.linspace(0, 1, TOTAL)
    return Frames(
        panels=[
            Panel("$x_t$", "The noisy picture", x, "xt"),
            Panel(r"$\hat x_0$ predicted", "The predicted clean picture", x0, "x0"),
            Panel(r"$\hat\varepsilon$ predicted", "The predicted noise", eps, "eps"),
        ],
        captions=[f"t = {t} · step {start + i} of {TOTAL - 1}" for i, t in enumerate(ts)],
        curves=[
            Curve(r"signal $\sqrt{\bar\alpha_t}$", np.sqrt(grid), "x0", "rates", 0, 1),
            Curve(r"noise $\sqrt{1-\bar\alpha_t}$", np.sqrt(1 - grid), "eps", "rates", 0, 1),
        ],
    )


@st.fragment
def live() -> None:
    """Show a run that is computed while it is watched."""
    st.subheader("Live")
    runs = count("live_runs")
    seed = st.number_input("Seed", 0, 9, 0, key="seed")
    if not st.toggle("Show", value=True, key="show"):
        return
    run = session_runs().open(f"ring-{seed}", lambda: fake_run(seed, option("kill")), TOTAL)
    pull = pulled("live", run=run.ident, total=run.total)
    if option("lose") and pull and not st.session_state.get("lost"):
        st.session_state["lost"] = True
        st.rerun(scope="fragment")  # the request is spent, and the answer has nothing new
    event = follow(
        run,
        draw,
        key="live",
        autoplay=option("autoplay"),
        fps=16,
        ends=("t = 1000", "t = 0"),
        label="Reverse process",
        rest=REST if option("rest") else None,
    )
    tell(live_runs=runs, computed=run.have, live_frame=event.frame)


@st.fragment
def static() -> None:
    """Show frames that are all there from the beginning."""
    st.subheader("Static")
    grid = np.linspace(1, 0, TOTAL)
    noise = np.random.default_rng(1).standard_normal((4 * SIDE, 4 * SIDE))
    clean = np.tile(picture(), (4, 4))
    x = np.sqrt(grid)[:, None, None] * clean + np.sqrt(1 - grid)[:, None, None] * noise
    event = player(
        [
            Panel("$x_t$ stepwise", "Sixteen noisy rings", to_bytes(x)),
            Panel("$x_t$ in one jump", "The same, in one jump", to_bytes(x)),
            Panel("$x_0$", "Sixteen rings", to_bytes(np.broadcast_to(clean, x.shape)), "x0"),
        ],
        key="static",
        total=TOTAL,
        captions=[f"t = {round(1000 * (1 - g))}" for g in grid],
        histograms=[
            Histogram(
                "pixels of $x_t$",
                "Histogram of the noisy pixels against the standard normal density",
                np.stack([np.histogram(v, 40, (-3, 3))[0] for v in x]),
            )
        ],
        curves=[Curve("bits", 5 * grid**2, "bits", "cost, bits/dim", lo=0)],
        scale=2,
        ends=("t = 0", "t = 1000"),
        label="Forward process",
    )
    tell(static_runs=count("static_runs"), static_frame=event.frame)


@st.fragment
def drawing() -> None:
    """Show a sheet to draw on."""
    st.subheader("Canvas")
    if not st.toggle("Show sheet", value=True, key="show_sheet"):
        return
    ink = canvas(key="ink")
    tell(ink=int((ink > 127).sum()), heaviest=int(ink.max()))


@st.fragment
def extras() -> None:
    """Show everything a player can do, beside controls that need the keyboard themselves."""
    grid = np.linspace(0, 1, TOTAL)
    left, middle, right = st.columns(3)
    with left:
        st.button("Plain")
        st.text_input("Word", "word")
    with middle:
        st.slider("Number", 0, 9, 4)
        st.segmented_control("Choice", ["one", "two", "three"], default="two")
    with right:
        st.radio("Station", ["north", "south"], horizontal=True)
        st.selectbox("Entry", ["first", "second"])
    sheet = np.clip(np.tile(picture(), (4, 4)), -1, 1)
    noise = np.random.default_rng(1).standard_normal(sheet.shape)
    x = np.sqrt(1 - grid)[:, None, None] * sheet + np.sqrt(grid)[:, None, None] * noise
    gap = np.where((grid > 0.3) & (grid < 0.5), np.nan, 1.01 * grid)
    player(
        [
            Panel("$x_t$", "Noisy rings", to_bytes(x), row=row, badge=badge)
            for row, badge in enumerate(["", "broken: × 1 instead of × √(1−β)"])
        ]
        + [
            Panel(r"$\hat x_0$ predicted", "Rings", to_bytes(x * 0 + sheet), "x0", row)
            for row in range(2)
        ],
        key="extras",
        total=TOTAL,
        captions=[f"t = {round(1000 * g)}" for g in grid],
        notes=["", "one short sentence"] * (TOTAL // 2),
        histograms=[
            Histogram("pixels of $x_t$", "Histogram of the pixels",
                      np.stack([np.histogram(v, 40, (-3, 3))[0] for v in x])),
        ] if option("histogram") else [],
        curves=[
            Curve("with a gap", gap, "x0", "rounded", line=0.5),
            Curve("before", 0.493 * grid, "xt", "rounded", ghost=True),
            Curve("small", np.where(grid < 0.1, 0, 10 ** (-8 * grid)), "q", "logarithm", log=True),
            Curve("model", grid**2 / 2, "p", "half", line=0.25),
            Curve("loss", 0.493 * grid, "bits", "half"),
            Curve("noise", 0.4 * grid, "eps", "half", dash="7 4"),
        ],
        scale=2,
        autoplay=True,
        fps=100,
        hold=True,
        rest=REST,
        ticks=[(round(t / 1000 * (TOTAL - 1)), str(t)) for t in (0, 250, 260, 500, 750, 1000)],
        beside=True,
        row_labels=["as it should be", "broken"],
        ends=("picture", "noise"),
        label="Everything",
    )  # fmt: skip


def crowded(others: int) -> None:
    """Show a run whose next frame does not come, since others are before it."""
    grid = picture()[None]
    player(
        [Panel("$x_t$", "A ring", to_bytes(grid))],
        key="crowded",
        run="crowded",
        total=TOTAL,
        captions=["t = 1000 · step 0 of 49"],
        autoplay=True,
        line=Line(others, 0.234),
        label="Waiting",
    )


if option("present"):
    css = Path("pages/shared/present.css").read_text(encoding="utf-8")
    st.html(f"<style>{css}</style>")
if option("extras"):
    extras()
elif "crowd" in st.query_params:
    crowded(int(st.query_params["crowd"]))
elif option("broken"):
    st.markdown(r"$x + \undefinedmacro$")
    st.html("<div style='width: 3000px'>wide</div>")
else:
    live()
    static()
    drawing()
