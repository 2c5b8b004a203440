"""Quality against network calls, drawn from a stored record. No Streamlit in here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from diffusion_core.quality import Point, Quality, standard_error
from pages.shared.bench import Rule
from pages.shared.figures import Figure, Line, line_chart
from pages.shared.palette import COLORS

HEIGHT = 340
_PLOT = HEIGHT - 84  # pixels between the axes' ends, without the margins of `line_chart`
_APART = 16  # pixels from one name to the next
_ROUND = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]

# What draws fresh noise is in the colour of noise, what draws none in the model's.
_LOOKS = {
    ("ddpm", "posterior"): ("DDPM, β̃", "eps", "solid"),
    ("ddpm", "beta"): ("DDPM, β", "eps", "dash"),
    ("ddpm", "learned"): ("DDPM, learned", "eps", "dot"),
    ("ddim", "posterior"): ("DDIM", "p", "solid"),
    ("heun", "posterior"): ("Heun", "p", "dash"),
    ("dpmpp_2m", "posterior"): ("DPM-Solver++ 2M", "p", "dot"),
}


class LivePoint(NamedTuple):
    """A point that the reader measured: how many of `count` pictures were recognised."""

    point: Point
    right: int
    count: int

    @property
    def error(self) -> float:
        """Standard error of the share."""
        return standard_error(self.right / self.count, self.count)


def name_of(point: Point) -> str:
    """What a point's sampler is called in the charts."""
    known = _LOOKS.get((point.sampler, point.variance))
    return known[0] if known else Rule(sampler=point.sampler, variance=point.variance).name


def recognised_chart(quality: Quality, live: Sequence[LivePoint] = ()) -> Figure:
    """Share of pictures recognised as the digit asked for, by network calls."""
    lines = [
        *_families(quality, "recognised", 100),
        _reference("real digits", 100 * quality.ceiling, quality),
    ]
    low, high = _ends(lines)
    span = (low - 0.06 * (high - low), high + 0.1 * (high - low))
    figure = line_chart(
        _apart(lines, span),
        x_title="network calls per picture (log scale)",
        y_title="Recognised as the digit asked for, %",
        log_x=True,
        y_range=span,
        height=HEIGHT,
    )
    for one in live:
        figure["data"].append(
            {
                "type": "scatter",
                "x": [one.point.calls],
                "y": [100 * one.right / one.count],
                "error_y": {"array": [100 * one.error], "color": COLORS["xt"]},
                "mode": "markers",
                "marker": {"color": COLORS["xt"], "size": 11, "symbol": "diamond"},
                "name": f"{name_of(one.point)}, live: {one.right} of {one.count}",
            }
        )
    return _ticks(figure, quality)


def frechet_chart(quality: Quality) -> Figure:
    """Fréchet distance to the test set, by network calls."""
    lines = [*_families(quality, "frechet", 1), _reference("real digits", quality.floor, quality)]
    low, high = _ends(lines)
    span = (low * 0.8, high * 1.15)
    figure = line_chart(
        _apart(lines, span, log=True),
        x_title="network calls per picture (log scale)",
        y_title="Fréchet distance to real digits (lower is better; log scale)",
        log_x=True,
        log_y=True,
        y_range=span,
        height=HEIGHT,
    )
    figure["layout"]["yaxis"] |= {"tickvals": _ROUND, "ticktext": [f"{v:g}" for v in _ROUND]}
    return _ticks(figure, quality)


def _families(quality: Quality, field: str, factor: float) -> list[Line]:
    """One line per sampler and variance; the names stand where the lines lie apart, on the left."""
    lines = []
    for (sampler, variance), (label, color, dash) in _LOOKS.items():
        own = [p for p in quality.points if (p.sampler, p.variance) == (sampler, variance)]
        if own:
            x = np.array([float(p.calls) for p in own])
            y = np.array([factor * getattr(p, field) for p in own])
            lines.append(Line(f"{label}\u2002", x, y, color, 0, "right", 0, dash))
    return lines


def _ends(lines: Sequence[Line]) -> tuple[float, float]:
    values = np.concatenate([line.y for line in lines])
    return float(values.min()), float(values.max())


def _apart(lines: Sequence[Line], span: tuple[float, float], log: bool = False) -> list[Line]:
    """Move the names on the left up or down until none covers another."""
    low, high = np.log(span) if log else span
    placed: dict[str, float] = {}
    below = -math.inf
    for line in sorted(lines, key=lambda line: line.y[0]):
        if line.at == 0:
            value = np.log(line.y[0]) if log else line.y[0]
            where = float((value - low) / (high - low) * _PLOT)
            below = max(where, below + _APART)
            placed[line.label] = below - where
    return [replace(line, shift=round(placed.get(line.label, line.shift))) for line in lines]


def _reference(label: str, value: float, quality: Quality) -> Line:
    calls = [float(p.calls) for p in quality.points]
    ends = np.array([min(calls), max(calls)])
    return Line(label, ends, np.full(2, value), "q", 1, "right", dash="dot", width=1.5)


def _ticks(figure: Figure, quality: Quality) -> Figure:
    """Label the numbers of calls that were measured, and leave room for the names on the left."""
    calls = sorted({p.calls for p in quality.points})
    ends = np.log10([min(p.calls for p in quality.points), max(calls)])
    room = 0.55 * (ends[1] - ends[0])
    figure["layout"]["xaxis"] |= {
        "tickvals": calls,
        "ticktext": [str(c) for c in calls],
        "range": [ends[0] - room, ends[1] + 0.05],
    }
    return figure
