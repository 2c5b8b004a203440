"""What the page on entropy shows: letters and their code lengths, and two directions of one KL."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from diffusion_core.codes import Curves, coded, cross_entropy, entropy, huffman_code
from pages.shared.figures import BARE, CLEAR, Figure, Line, chart, level, line_chart, name_at
from pages.shared.palette import COLORS

LETTERS = "ABCDE"
DRAWN = 1000
LOW, HIGH = 4.0, 6.0  # bits, the height of the chart: the higher one where a block needs it
GAP = "\N{EN SPACE}"  # between a name and the flank that it stands at
FLANK = 1.55  # so many of its widths left of its middle the other order's normal has its name


class Codes(NamedTuple):
    """Letters drawn from p and coded for q.

    Attributes:
        p: [K] probabilities.
        q: [K].
        entropy: H(p) in bits.
        cross: H(p, q) in bits; infinite where q rules out what p has.
        words: the Huffman code for q.
        message: the drawn letters, the first ones of `DRAWN`.
        bits: of the whole message in that code, per letter; infinite where a letter has no word.
        mean: bits per letter in that code, on average over all draws.
        own: the same in the Huffman code for p.
    """

    p: np.ndarray
    q: np.ndarray
    entropy: float
    cross: float
    words: list[str]
    message: str
    bits: float
    mean: float
    own: float


def codes(p: tuple[float, ...], q: tuple[float, ...], seed: int) -> Codes:
    """Draw letters of p and code them for q; where one has fewer letters it gives the others 0."""
    K = max(len(p), len(q))
    drawn, believed = (
        torch.tensor([*probs, *[0.0] * (K - len(probs))], dtype=torch.float64) for probs in (p, q)
    )
    generator = torch.Generator().manual_seed(seed)
    letters = torch.multinomial(drawn, DRAWN, replacement=True, generator=generator)
    known = [k for k in range(K) if believed[k] > 0]
    words = [""] * K
    for k, word in zip(known, huffman_code([float(believed[k]) for k in known]), strict=True):
        words[k] = word or "0"  # one letter alone still takes a bit
    spoken = all(words[k] for k in set(letters.tolist()))
    told = [k for k in range(K) if drawn[k] > 0]
    mean = sum(float(drawn[k]) * (len(words[k]) or math.inf) for k in told)
    best = dict(zip(told, huffman_code([float(drawn[k]) for k in told]), strict=True))
    own = sum(float(drawn[k]) * max(len(best[k]), 1) for k in told)
    return Codes(
        drawn.numpy(),
        believed.numpy(),
        float(entropy(drawn)) / math.log(2),
        float(cross_entropy(drawn, believed)) / math.log(2),
        words,
        "".join(LETTERS[k] for k in letters[:24].tolist()),
        len(coded(letters, words)) / DRAWN if spoken else math.inf,
        mean,
        own,
    )


def bits(value: float) -> str:
    """A length in bits; endless where q has no word."""
    return "∞" if math.isinf(value) else f"{rounded(value):.2f}"


def rounded(value: float) -> float:
    """Two decimals; a half goes up, as on paper, also where sums of logarithms end just below."""
    return math.floor(100 * value + 0.5 + 1e-9) / 100


def lengths_figure(told: Codes) -> Figure:
    """One block per letter, as wide as it is frequent and as high as q's code makes it cost.

    A dot stands where a real code for q has the length of the letter's word.
    """
    shapes: list[dict[str, Any]] = []
    names: list[dict[str, Any]] = []
    left, xs, dots, sizes, text = 0.0, [], [], [], []
    lengths = [len(word) for word, p in zip(told.words, told.p, strict=True) if p > 0]
    rarest = min(min(p, q) for p, q in zip(told.p, told.q, strict=True) if p > 0)
    ceiling = LOW if rarest >= 2**-LOW and max(lengths) <= LOW else HIGH
    for k, (p, q) in enumerate(zip(told.p, told.q, strict=True)):
        if p == 0:
            continue
        right = left + p
        best, used = -math.log2(p), -math.log2(q) if q > 0 else math.inf
        top = min(used, ceiling)
        low, high = min(best, top), min(max(best, top), ceiling)
        between = ("bits", 0.85) if used > best else ("q", 0.25)
        for start, end, (color, opacity) in ((0, low, ("q", 0.85)), (low, high, between)):
            shapes.append(
                {"type": "rect", "layer": "below", "x0": left, "x1": right, "y0": start, "y1": end,
                 "fillcolor": COLORS[color], "opacity": opacity,
                 "line": {"color": COLORS[color], "width": 1}}
            )  # fmt: skip
        if max(best, used) > ceiling:  # the block goes on
            names.append(
                name_at((left + right) / 2, f"↑ {bits(max(best, used))}", "bits", y=ceiling,
                        yanchor="bottom", yshift=1)
            )  # fmt: skip
        if p > 0.04:
            names.append(
                name_at(
                    (left + right) / 2,
                    LETTERS[k],
                    "xt",
                    y=0,
                    yanchor="bottom",
                    yshift=3,
                    font={"size": 14},
                )  # the text's own colour, on any block
            )
        word = told.words[k]
        xs.append((left + right) / 2)
        dots.append(min(len(word), ceiling) if word else top)
        sizes.append(7 if word else 0)  # without a word no dot, but numbers
        text.append(
            f"{LETTERS[k]}: drawn {p:.3f}<br>−log₂ p = {best:.2f}<br>−log₂ q = {bits(used)}<br>"
            f"word for q: {word or 'none'}"
        )
        left = right
    names.append(
        name_at(0, balance(told), "bits", xref="paper", y=1, yref="paper", xanchor="left",
                yanchor="bottom", yshift=18)
    )  # fmt: skip
    trace = {"type": "scatter", "mode": "markers", "x": xs, "y": dots, "text": text,
             "hovertemplate": "%{text}", "marker": {"color": COLORS["p"], "size": sizes,
             "line": {"color": "#fff", "width": 1}}}  # fmt: skip
    layout = {
        "xaxis": BARE | {"title": {"text": "width: how often it is drawn, p", "standoff": 8},
                         "range": [0, 1], "nticks": 5},
        "yaxis": BARE | {"range": [0, ceiling], "nticks": 6, "showgrid": True},
        "title": {"text": "height: bits that the letter costs; dots: its code word",
                  "font": {"size": 14}, "x": 0, "xref": "container", "y": 0.98},
        "height": 400, "margin": {"l": 36, "r": 12, "t": 64, "b": 44}, "hovermode": "closest",
        "shapes": shapes, "annotations": names,
    } | CLEAR  # fmt: skip
    return chart([trace], layout)


def balance(told: Codes) -> str:
    """The areas of the blocks: what is too long less what is saved is what is wasted."""
    if math.isinf(told.cross):
        return "red has no end: ∞ wasted"
    there = told.p > 0
    p, q = told.p[there], told.q[there]
    longer = p * np.log2(p / q)
    wasted = rounded(told.cross - told.entropy)
    saved = rounded(float(-longer[longer < 0].sum()))
    # What is shown adds up, also where both parts are rounded the same way.
    return f"{wasted + saved:.2f} red − {saved:.2f} faint = {wasted:.2f} wasted, KL(p‖q)"


def sums_figure(told: Codes) -> Figure:
    """Entropy, what is wasted, and what a real code took, in bits per letter."""
    endless = math.isinf(told.cross)
    wasted = told.cross - told.entropy
    # What is shown adds up, also where both parts are rounded the same way.
    cross = told.cross if endless else rounded(told.entropy) + rounded(wasted)
    end = max(3.0, 1.25 * (told.entropy + 1 if endless else max(told.cross, told.bits)))
    end = min(end, 8.0) if not endless else max(end, 4.0)
    parts = [
        (2, 0.0, told.entropy, "q",
         f"entropy H(p) = {bits(told.entropy)} bits, {told.entropy * math.log(2):.2f} nats"),
        (1, 0.0, told.entropy, "q", ""),
        (1, told.entropy, min(told.cross, end), "bits",
         f"cross-entropy H(p, q) = {cross:.2f}: {bits(wasted)} wasted" if not endless
         else "cross-entropy = ∞: q rules out a letter that comes"),
        (0, 0.0, min(told.bits, end) if math.isfinite(told.bits) else 0.0, "p",
         f"{DRAWN:,} letters in a real code for q: {told.bits:.2f}" if math.isfinite(told.bits)
         else "a letter has no word in q’s code"),
    ]  # fmt: skip
    shapes, names = [], []
    for row, x0, x1, color, name in parts:
        shapes.append(
            {"type": "rect", "x0": x0, "x1": x1, "y0": row + 0.05, "y1": row + 0.45,
             "fillcolor": COLORS[color], "opacity": 0.85, "line": {"width": 0}}
        )  # fmt: skip
        if name:
            names.append(name_at(0, name, color, y=row + 0.55, xanchor="left", yanchor="bottom"))
    trace = {"type": "scatter", "mode": "lines", "x": [0, end], "y": [0, 3], "opacity": 0,
             "hoverinfo": "skip", "line": {"width": 0}}  # fmt: skip
    layout = {
        "xaxis": BARE | {"title": {"text": "bits per letter", "standoff": 8}, "range": [0, end],
                         "nticks": 6},
        "yaxis": BARE | {"range": [0, 3], "showticklabels": False},
        "height": 225, "margin": {"l": 12, "r": 12, "t": 12, "b": 44}, "shapes": shapes,
        "annotations": names, "hovermode": "closest",
    } | CLEAR  # fmt: skip
    return chart([trace], layout)


def curves_figure(curves: Curves, other: tuple[float, float] | None = None) -> Figure:
    """Both densities, and dotted the normal that the other order chooses: mean and width."""
    x, p, q = curves.x.numpy(), curves.log_p.exp().numpy(), curves.log_q.exp().numpy()
    right = int(np.flatnonzero((p[1:-1] >= p[:-2]) & (p[1:-1] >= p[2:]))[-1]) + 1  # last peak
    flank = right + int((p[right:] < p[right] / 2).argmax())
    lines = [
        Line(f"{GAP}p", x, p, "q", flank, "left", 6),
        Line("q", x, q, "p", int(q.argmax()), "center", 10),
    ]
    top = float(q.max())
    if other:
        mean, std = other
        second = np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
        at = int(np.abs(x - (mean - FLANK * std)).argmin())
        lines.insert(0, Line(f"q, other order{GAP}", x, second, "p", at, "right", 10, dash="dot"))
        top = max(top, float(second.max()))
    figure = line_chart(
        lines, x_title="x", y_title="density", y_range=(0, max(0.62, 1.15 * top)), height=300
    )
    if top > 1:  # a density, unlike a probability, may be above 1
        figure["layout"]["shapes"] = [level(1.0, "bits", width=1)]
        figure["layout"]["annotations"].append(
            name_at(1, "above 1: −log q below 0", "bits", xref="paper", y=1, xanchor="right",
                    yanchor="bottom", yshift=3)
        )  # fmt: skip
    return figure


def parts_figure(curves: Curves) -> Figure:
    """What each x adds to either divergence: their areas are the two numbers."""
    x = curves.x.numpy()
    log = (curves.log_p - curves.log_q).numpy()
    covering = curves.log_p.exp().numpy() * log
    seeking = -curves.log_q.exp().numpy() * log
    low = float(min(covering.min(), seeking.min())) - 0.1
    high = float(max(covering.max(), seeking.max())) + 0.1
    high += 0.25 * (high - low)  # room for the names, above both lines
    figure = line_chart(
        [
            Line("p log(p/q)", x, covering, "q", 0),
            Line("q log(q/p)", x, seeking, "p", 0, dash="dash"),
        ],
        x_title="x", y_title="what each x adds, nats per unit of x", y_range=(low, high),
        height=300,
    )  # fmt: skip
    figure["layout"]["annotations"] = [
        name_at(0, "p log(p/q)", "q", xref="paper", y=0.95, yref="paper", xanchor="left", xshift=6),
        name_at(1, "q log(q/p), dashed", "p", xref="paper", y=0.95, yref="paper", xanchor="right",
                xshift=-6),
    ]  # fmt: skip
    return figure
