"""The pictures of the chapter to look things up in."""

from __future__ import annotations

import itertools
import math

import torch

from diffusion_core.misprints import posterior_mean_with_minus
from diffusion_core.networks import UNet
from diffusion_core.schedules import evenly_spaced, from_sigmas
from pages.shared.glossary_tables import SYMBOLS
from tools.thumbnails.gaussian import PROCESS, T
from tools.thumbnails.pen import HAIR, Frame, bars, dots, line, strokes, svg


def conventions() -> str:
    """A slide rule: the same noise on the scales of alpha bar, of sigma and of t."""
    ends = (-4.6, 4.6)  # of the log-SNR, noise to the right
    frame = Frame(ends[1], ends[0], 0, 1, (4, 0, 92, 56))
    shares = torch.tensor([0.99, 0.98, 0.95, *(0.1 * k for k in range(9, 0, -1)), 0.05, 0.02, 0.01])
    widths = torch.tensor([*(0.1 * k for k in range(1, 10)), *range(1, 10)])
    scales = (
        ("x0", 14, shares.logit()),
        ("eps", 32, from_sigmas("", widths.double()).log_snr[1:]),
        ("q", 50, PROCESS.schedule.log_snr[50::50]),
    )
    drawn = []
    for concept, base, ticks in scales:
        drawn.append(line([(4, base), (92, base)], concept))
        places = [frame.at(tick, 0)[0] for tick in ticks.tolist()]
        drawn.append(strokes([[(x, base), (x, base - 5)] for x in places if 4 <= x <= 92], concept))
    return svg(*drawn, line([(48, 3), (48, 53)], "xt"))


def notation() -> str:
    """Symbols in their colours, each with a line as long as the sentence that explains it."""
    told: dict[str, int] = {}
    for symbol in SYMBOLS:
        if symbol.concept:
            told.setdefault(symbol.concept, len(symbol.meaning))
    longest = max(told.values())
    drawn = []
    for k, (concept, length) in enumerate(list(told.items())[:5]):
        y = 8 + 10 * k
        drawn.append(dots([(5, y)], concept, 3))
        drawn.append(line([(15, y), (15 + 78 * length / longest, y)], "xt", opacity=0.6))
    return svg(*drawn)


def formula_detective() -> str:
    """The way back to a known x0 by the posterior's mean, with its plus and with a misprint."""
    times = [*evenly_spaced(T, 24), 0]
    x0 = torch.ones(1).double()
    right, wrong = (torch.full((1,), start).double() for start in (0.2, 0.2))
    ways = [[0.2, 0.2]]
    for now, then in itertools.pairwise(times):
        t, s = torch.tensor([now]), torch.tensor([then])
        right = PROCESS.q_posterior(right, x0, t, s).mean
        wrong = posterior_mean_with_minus(PROCESS, wrong, x0, t, s)
        ways.append([float(right), float(wrong)])
    frame = Frame(0, len(times) - 1, -1, 1, (4, 9, 78, 47))
    plus, minus = (frame.places(range(len(times)), way) for way in zip(*ways, strict=True))
    (x, top), (_, low) = plus[-1], minus[-1]
    sign = x + 10
    return svg(
        line([(4, 28), (78, 28)], "xt", width=HAIR, opacity=0.6),
        line(plus, "q"),
        line(minus, "bits"),
        dots([plus[-1]], "q", 2.5),
        dots([minus[-1]], "bits", 2.5),
        line([(sign - 3.5, top), (sign + 3.5, top)], "q"),
        line([(sign, top - 3.5), (sign, top + 3.5)], "q"),
        line([(sign - 3.5, low), (sign + 3.5, low)], "bits"),
    )


def model_cards() -> str:
    """The blocks of the digits' U-Net, as high as what they work on is wide, and its skips."""
    net = UNet()
    outer, inner = len(net.fine_down), len(net.coarse)
    sides = [28, *[14] * outer, *[7] * inner, *[14] * outer, 28]
    tall = [46 * math.sqrt(side / 28) for side in sides]
    boxes = [(3.5 + 9.2 * k, 28 - high / 2, 6.2, high) for k, high in enumerate(tall)]
    skips = []
    for k in range(1, outer + 1):
        y = boxes[k][1] - 3 * (outer + 1 - k)
        x0, x1 = boxes[k][0] + 3.1, boxes[-1 - k][0] + 3.1
        skips.append(
            line([(x0, boxes[k][1]), (x0, y), (x1, y), (x1, boxes[k][1])], "p", width=HAIR)
        )
    return svg(
        bars([boxes[0]], "xt", 0.5), bars([boxes[-1]], "x0", 0.8),
        bars(boxes[1 : 1 + outer] + boxes[-1 - outer : -1], "p", 0.55),
        bars(boxes[1 + outer : -1 - outer], "p"), *skips,
    )  # fmt: skip


THUMBNAILS = {
    "conventions": conventions,
    "notation": notation,
    "formula_detective": formula_detective,
    "model_cards": model_cards,
}
