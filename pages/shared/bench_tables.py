"""The numbers of sampling steps as tables. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from diffusion_core.step_table import StepNumbers

BLANK = "–"
PAUSE = "While the frames move there is nothing to read here. Pause, or let go of the slider."


def figure(value: float | None) -> str:
    """A number with three significant digits, a dash for none, 0 for what is nothing."""
    if value is None:
        return BLANK
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return text.replace("-", "−") if float(f"{value:.3g}") else "0"


def span(low: float | None, high: float | None) -> str:
    """Two ends of a range."""
    # No-break spaces: one line per step.
    return BLANK if low is None or high is None else f"{figure(low)}\u00a0…\u00a0{figure(high)}"


class Column(NamedTuple):
    """One number of a step: what it is called, what that means, and how it is written."""

    head: str
    gist: str
    text: Callable[[StepNumbers], str]


COLUMNS = (
    Column("x<sub>t</sub>: mean", "of all pixels", lambda n: figure(n.mean)),
    Column("x<sub>t</sub>: spread", "standard deviation of all pixels", lambda n: figure(n.std)),
    Column("x<sub>t</sub>: range", "lowest and highest pixel", lambda n: span(n.lowest, n.highest)),
    Column(
        "x̂₀: range",
        "as the network said it, before clipping",
        lambda n: span(n.x0_lowest, n.x0_highest),
    ),
    Column(
        "x̂₀ outside",
        "share of its pixels beyond −1 … 1, which clipping moves",
        lambda n: BLANK if n.outside is None else f"{n.outside:.1%}",
    ),
    Column("mean, size", "root mean square of the next picture's mean",
           lambda n: figure(n.mean_rms)),
    Column("variance", "of the next picture around that mean, per pixel",
           lambda n: figure(n.variance)),
    Column(
        "fresh noise",
        "length of what is added to one picture, a vector of 784 pixels",
        lambda n: figure(n.noise_norm),
    ),
    Column(
        "off Euler",
        "distance of the next picture from an Euler step on the probability-flow ODE, per pixel",
        lambda n: figure(n.off_euler),
    ),
)  # fmt: skip


def one_step(numbers: Sequence[StepNumbers], names: Sequence[str]) -> str:
    """HTML: one step, a line per number and a column per run.

    The server hears where the player rests, not where it is: chapter.css hides the numbers and
    shows `PAUSE` while the frames move.
    """
    heads = "".join(f"<th scope='col'>{escape(name)}</th>" for name in names)
    lines = "".join(
        f"<tr><th scope='row'>{column.head} <small>{column.gist}</small></th>"
        + "".join(f"<td>{column.text(n)}</td>" for n in numbers)
        + "</tr>"
        for column in COLUMNS
    )
    table = _scrolling(
        f"<thead><tr><th scope='col'>t = {numbers[0].t}</th>{heads}</tr></thead>{lines}",
        "Numbers of this step",
    )
    return f'<div class="this-step"><p>{PAUSE}</p>{table}</div>'


def all_steps(numbers: Sequence[StepNumbers], name: str) -> str:
    """HTML: all steps of one run, a line per step."""
    heads = "".join(f"<th scope='col' title='{c.gist}'>{c.head}</th>" for c in COLUMNS)
    lines = "".join(
        f"<tr><th scope='row'>{n.t}</th>"
        + "".join(f"<td>{column.text(n)}</td>" for column in COLUMNS)
        + "</tr>"
        for n in numbers
    )
    return _scrolling(
        f"<thead><tr><th scope='col'>t</th>{heads}</tr></thead>{lines}",
        f"Numbers of every step: {name}",
    )


def farthest_from_euler(numbers: Sequence[StepNumbers]) -> float | None:
    """The largest distance of a step from Euler's; None before there is one."""
    found = [n.off_euler for n in numbers if n.off_euler is not None]
    return max(found, default=None)


def _scrolling(rows: str, label: str) -> str:
    """A table in a region that scrolls by itself, so that the page never does."""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}" '
        f'style="max-height: 26rem; overflow: auto"><table class="metrics">{rows}</table></div>'
    )
