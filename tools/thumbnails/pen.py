"""What every picture is drawn with: one size, three weights of line, the concepts' colours."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import Tensor

from pages.shared.palette import COLORS

WIDTH, HEIGHT = 96, 56
LINE, HAIR = 1.5, 1
FAINT = 0.2
"""Opacity of areas."""

Places = Iterable[tuple[float, float]]
Numbers = Tensor | Sequence[float]


class Frame(NamedTuple):
    """Where numbers go on the paper: x from `left` to `right`, y from `low` up to `high`.

    Attributes:
        left: what the left edge stands for.
        right: the right edge.
        low: the lower edge.
        high: the upper edge.
        box: left, top, right and bottom edge on the paper.
    """

    left: float
    right: float
    low: float
    high: float
    box: tuple[float, float, float, float] = (2, 4, 94, 52)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of one point on the paper."""
        x0, y0, x1, y1 = self.box
        across = (x - self.left) / (self.right - self.left)
        up = (y - self.low) / (self.high - self.low)
        return x0 + across * (x1 - x0), y1 - up * (y1 - y0)

    def places(self, x: Numbers, y: Numbers) -> list[tuple[float, float]]:
        """The places of many."""
        return [self.at(float(one), float(other)) for one, other in zip(x, y, strict=True)]


def svg(*parts: str) -> str:
    """A whole picture."""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' "
        f"viewBox='0 0 {WIDTH} {HEIGHT}' fill='none' stroke-width='{LINE}' "
        f"stroke-linecap='round' stroke-linejoin='round'>{''.join(parts)}</svg>\n"
    )


def line(
    places: Places,
    concept: str,
    *,
    width: float = LINE,
    dash: str = "",
    opacity: float = 1,
) -> str:
    """A line through places on the paper."""
    more = f" stroke-width='{width}'" if width != LINE else ""
    more += f" stroke-dasharray='{dash}'" if dash else ""
    return f"<path d='{_through(places)}' stroke='{COLORS[concept]}'{more}{_seen(opacity)}/>"


def area(places: Places, concept: str, opacity: float = FAINT) -> str:
    """What a closed line encloses."""
    return f"<path d='{_through(places)}z' fill='{COLORS[concept]}'{_seen(opacity)}/>"


def hill(places: Places, concept: str) -> str:
    """A curve that begins and ends on its ground, and what lies between them."""
    ink = COLORS[concept]
    return f"<path d='{_through(places)}' stroke='{ink}' fill='{ink}' fill-opacity='{FAINT}'/>"


def bars(
    boxes: Iterable[tuple[float, float, float, float]], concept: str, opacity: float = 1
) -> str:
    """Boxes (left, top, width, height), all in one colour."""
    d = "".join(f"M{n(x)} {n(y)}h{n(w)}v{n(h)}h{n(-w)}z" for x, y, w, h in boxes)
    return f"<path d='{d}' fill='{COLORS[concept]}'{_seen(opacity)}/>"


def dots(places: Places, concept: str, radius: float = 2, opacity: float = 1) -> str:
    """Round spots, as lines of no length."""
    d = "".join(f"M{n(x)} {n(y)}h0" for x, y in places)
    return f"<path d='{d}' stroke='{COLORS[concept]}' stroke-width='{2 * radius}'{_seen(opacity)}/>"


def ground(y: float = 52, left: float = 2, right: float = 94) -> str:
    """The hairline that curves and bars stand on."""
    return line([(left, y), (right, y)], "xt", width=HAIR, opacity=0.6)


def strokes(many: Iterable[Places], concept: str, width: float = HAIR) -> str:
    """Several lines of one look, as one path."""
    d = "".join(map(_through, many))
    return f"<path d='{d}' stroke='{COLORS[concept]}' stroke-width='{width}'/>"


def arrow(x0: float, y0: float, x1: float, y1: float, head: float = 2.5) -> list[Places]:
    """The lines of a straight arrow, for `strokes`."""
    dx, dy = x1 - x0, y1 - y0
    far = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    ux, uy = dx / far * head, dy / far * head
    wings = [(x1 - ux - uy, y1 - uy + ux), (x1, y1), (x1 - ux + uy, y1 - uy - ux)]
    return [[(x0, y0), (x1, y1)], wings]


def tile(
    values: Tensor,
    x: float,
    y: float,
    cell: float,
    concept: str,
    *,
    levels: int = 4,
    gap: float = 0,
) -> str:
    """A picture or matrix, [H, W] of 0 to 1, as cells of a colour in a few strengths.

    Args:
        values: how strong each cell is.
        x: left edge on the paper.
        y: top edge.
        cell: side of a cell; a whole number keeps edges crisp.
        concept: the colour.
        levels: strengths above nothing.
        gap: between cells; without one, equal neighbours in a row are drawn as one.
    """
    runs = defaultdict[int, list[tuple[float, float, float, float]]](list)
    for i, row in enumerate((values.double() * levels).round().int().tolist()):
        start = 0
        for j in range(1, len(row) + 1):
            if j == len(row) or gap or row[j] != row[start]:
                wide = (j - start) * cell - gap
                runs[row[start]].append((x + start * cell, y + i * cell, wide, cell - gap))
                start = j
    drawn = "".join(bars(runs[k], concept, (k / levels) ** 0.75) for k in sorted(runs) if k)
    return f"<g shape-rendering='crispEdges'>{drawn}</g>"


def n(number: float) -> str:
    """A coordinate with one decimal, without a zero that says nothing."""
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text.replace("0.", ".", 1) if abs(number) < 1 else text


def _through(places: Places) -> str:
    """A path, each place as the way from the one before: about half the characters."""
    rounded = [(round(10 * x), round(10 * y)) for x, y in places]
    (x, y), *_ = rounded
    ways = [(u - x, v - y) for (x, y), (u, v) in itertools.pairwise(rounded)]
    told = " ".join(f"{n(dx / 10)} {n(dy / 10)}" for dx, dy in ways).replace(" -", "-")
    return f"M{n(x / 10)} {n(y / 10)}l{told}"


def _seen(opacity: float) -> str:
    return f" opacity='{opacity:.3g}'" if opacity != 1 else ""
