"""The view of the page on entropy in which KL comes out negative: by a call, and by few draws."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from diffusion_core.codes import kl_div_terms, log_ratio
from pages.shared.chapter import Confusion
from pages.shared.entropy_views import LETTERS
from pages.shared.figures import BARE, CLEAR, Figure, chart, name_at, upright
from pages.shared.palette import COLORS

CALLS = {"right": "log q, p", "order": "log p, q", "bare": "q, p", "both": "p, q"}
"""What `kl_div` is given."""
COMES_TO = {"right": "KL(p‖q)", "order": "KL(q‖p)", "bare": "−H(p) − Σpq", "both": "−H(q) − Σpq"}
MISTAKES = {
    "right": "That is KL(p‖q): Σ p (log p − log q).",
    "order": "That is KL(q‖p), the other order: Σ q (log q − log p).",
    "bare": "What went wrong? kl_div(a, b) adds up b (log b − a), and here a is q, not log q: "
    "Σ p (log p − q) = Σ p log p − Σ pq = −H(p) − Σ pq.",
    "both": "What went wrong? The order, and a logarithm is missing: "
    "Σ q (log q − p) = Σ q log q − Σ pq = −H(q) − Σ pq.",
}
"""What to say of each call."""
COUNTS = (1, 3, 10, 30, 100, 300)
AVERAGES = 4000
POSSIBLE = 100  # fewer different averages than this leave bars without any
P, Q = "0.7 0.2 0.1", "0.5 0.3 0.2"
"""Letters of which no call gives what another one does."""
FEW = 10  # draws that the text has


class Called(NamedTuple):
    """What every call makes of one p and one q.

    Attributes:
        terms: call -> [K] what it adds for each letter, nats.
        sums: call -> their sum; NaN or infinite where a 0 is in the way.
        draws: [K] log(p/q), what a draw of each letter says.
        kl: KL(p||q), what the draws say on average.
        negative: the chance of a draw that is below 0.
    """

    terms: dict[str, np.ndarray]
    sums: dict[str, float]
    draws: np.ndarray
    kl: float
    negative: float


def called(p: tuple[float, ...], q: tuple[float, ...]) -> Called:
    """Call `kl_div` in all ways; where one has fewer letters it gives the others 0."""
    K = max(len(p), len(q))
    P, Q = (torch.tensor([*row, *[0.0] * (K - len(row))], dtype=torch.float64) for row in (p, q))
    given = {"right": (Q.log(), P), "order": (P.log(), Q), "bare": (Q, P), "both": (P, Q)}
    terms = {call: kl_div_terms(*pair) for call, pair in given.items()}
    draws = log_ratio(P, Q)
    return Called(
        {call: each.numpy() for call, each in terms.items()},
        {call: float(each.sum()) for call, each in terms.items()},
        draws.numpy(),
        float((P * draws).sum()),
        float(P[draws < 0].sum()),
    )


def averages(p: tuple[float, ...], told: Called, n: int, seed: int) -> np.ndarray:
    """What n draws say together, `AVERAGES` times over: nats; infinite where q rules one out."""
    counts = np.random.default_rng(seed).multinomial(n, np.array(p) / sum(p), AVERAGES)
    said = np.where(counts > 0, told.draws[: len(p)], 0.0)  # 0 times infinity would be NaN
    total: np.ndarray = (counts * said).sum(1) / n
    return total


def nats(value: float) -> str:
    """A number of nats with a minus as long as a plus, or what stands in its place."""
    if math.isnan(value):
        return "no number"
    return f"{'−' * (value < 0)}{'∞' if math.isinf(value) else f'{abs(value):.3f}'}"


def lead(told: Called, call: str) -> str:
    """What the chosen call comes to, and why; Markdown."""
    value = told.sums[call]
    none = " Somewhere 0 is multiplied with the logarithm of 0, which is no number."
    return (
        f"You type `kl_div({CALLS[call]})` and get **{nats(value)}**. {MISTAKES[call]}"
        f"{none * math.isnan(value)}"
    )


def drawn(said: np.ndarray, n: int) -> str:
    """What the histogram shows; Markdown."""
    draws = f"{n} draws" if n > 1 else "one draw"
    return (
        f"No kl_div here: log(p/q), averaged over {draws} of p, is right on average. KL(p‖q) "
        f"itself is never below 0; **{(said < 0).mean():.0%}** of these averages are."
    )


def about_draws(p: tuple[float, ...], n: int) -> str:
    """How the histogram was made, and why it may have gaps."""
    possible = math.comb(n + sum(v > 0 for v in p) - 1, n)
    gaps = f" At most {possible} different ones are possible, hence the gaps."
    return f"The {AVERAGES:,} averages, those below 0 in red.{gaps * (possible < POSSIBLE)}"


def terms_figure(told: Called, call: str) -> Figure:
    """What the call adds for each letter, as bars; what KL(p||q) adds, as marks."""
    bars, right = told.terms[call], told.terms["right"]
    shown = np.concatenate([part[np.isfinite(part)] for part in (bars, right)])
    low, high = float(min(shown.min(initial=0), 0)), float(max(shown.max(initial=0), 0))
    pad = 0.15 * (high - low) or 0.1
    x = np.arange(len(bars))
    names = [f"{LETTERS[k]}<br>{nats(float(v))}" for k, v in enumerate(bars)]
    traces: list[dict[str, Any]] = [
        {"type": "bar", "x": x, "y": np.where(np.isfinite(bars), bars, np.nan), "width": 0.6,
         "name": f"kl_div({CALLS[call]})", "opacity": 0.85, "marker": {"color": COLORS["bits"]},
         "hovertemplate": "%{y:.3f}"},
        {"type": "scatter", "mode": "markers", "x": x, "y": np.where(np.isfinite(right), right,
         np.nan), "name": "p log(p/q)", "hovertemplate": "%{y:.3f}",
         "marker": {"color": COLORS["q"], "size": 34, "symbol": "line-ew",
                    "line": {"color": COLORS["q"], "width": 3}}},
    ]  # fmt: skip
    layout = {
        "xaxis": BARE | {"tickvals": x, "ticktext": names, "range": [-0.6, len(x) - 0.4]},
        "yaxis": BARE | {"range": [low - pad, high + pad], "nticks": 4, "showgrid": True,
                         "zeroline": True, "zerolinecolor": COLORS["xt"]},
        "title": {"text": "what each letter adds (nats), and p log(p/q) in green",
                  "font": {"size": 14}, "x": 0, "xref": "container", "y": 0.98},
        "height": 190, "margin": {"l": 48, "r": 12, "t": 28, "b": 40}, "hovermode": "closest",
    } | CLEAR  # fmt: skip
    return chart(traces, layout)


def calls_figure(told: Called, call: str) -> Figure:
    """The four sums, the call that is looked at in full colour."""
    values = [told.sums[one] for one in CALLS]
    finite = [v for v in values if math.isfinite(v)]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    pad = 0.08 * (high - low) or 0.1
    shapes, names = [], []
    for k, (one, value) in enumerate(zip(CALLS, values, strict=True)):
        y = len(CALLS) - 1 - k
        color = "q" if one == "right" else "bits"
        shapes.append(
            {"type": "rect", "x0": 0, "x1": value if math.isfinite(value) else 0, "y0": y + 0.05,
             "y1": y + 0.34, "fillcolor": COLORS[color], "opacity": 0.85 if one == call else 0.3,
             "line": {"width": 0}}
        )  # fmt: skip
        text = f"kl_div({CALLS[one]}) = {nats(value)}: {COMES_TO[one]}"
        names.append(name_at(0, text, color, xref="paper", y=y + 0.46, xanchor="left",
                             yanchor="bottom"))  # fmt: skip
    trace = {"type": "scatter", "mode": "lines", "x": [low, high], "y": [0, 4], "opacity": 0,
             "hoverinfo": "skip", "line": {"width": 0}}  # fmt: skip
    layout = {
        "xaxis": BARE | {"title": {"text": "the sum, nats", "standoff": 8}, "nticks": 6,
                         "range": [low - pad, high + pad]},
        "yaxis": BARE | {"range": [0, 4], "showticklabels": False},
        "height": 198, "margin": {"l": 12, "r": 12, "t": 2, "b": 40}, "hovermode": "closest",
        "shapes": [*shapes, upright(0, "xt", width=1)], "annotations": names,
    } | CLEAR  # fmt: skip
    return chart([trace], layout)


def draws_figure(said: np.ndarray, told: Called, n: int) -> Figure:
    """How often n draws say what of KL(p||q), those below 0 in red."""
    finite = said[np.isfinite(said)]
    low, high = float(finite.min(initial=0)), float(finite.max(initial=0.1))
    step = (high - low) / 40 or 0.05
    edges = np.arange(math.floor(low / step), math.ceil(high / step) + 2) * step  # 0 is an edge
    share = np.histogram(finite + 1e-9, edges)[0] / len(said)
    middles = (edges[1:] + edges[:-1]) / 2
    colors = [COLORS["bits" if middle < 0 else "xt"] for middle in middles]
    bars = {"type": "bar", "x": middles, "y": share, "width": step, "name": "averages",
            "marker": {"color": colors}, "hovertemplate": "%{y:.3f} of them"}  # fmt: skip
    shapes, names = [upright(0, "xt", width=1)], []
    if math.isfinite(told.kl):
        shapes.append(upright(told.kl, "q"))
        names.append(name_at(told.kl, "KL(p‖q)", "q", y=1, yref="paper", xanchor="left", xshift=6))
    layout = {
        "xaxis": BARE | {"title": {"text": "average of log(p/q), nats", "standoff": 8},
                         "range": [float(edges[0]), float(edges[-1])], "nticks": 6},
        "yaxis": BARE | {"nticks": 3, "showgrid": True},
        "title": {"text": "share of the averages", "font": {"size": 14}, "x": 0,
                  "xref": "container", "y": 0.98},
        "height": 215, "margin": {"l": 48, "r": 12, "t": 28, "b": 44}, "bargap": 0,
        "shapes": shapes, "annotations": names, "hovermode": "closest",
    } | CLEAR  # fmt: skip
    return chart([bars], layout)


def confusions(told: Called, few: float) -> list[Confusion]:
    """What people ask of a KL below 0.

    Args:
        told: of `P` and `Q`.
        few: the share below 0 of averages of `FEW` draws.
    """
    here = {"enview": "calls", "enp": P, "enq": Q}
    right, order, bare, _ = (nats(v) for v in told.sums.values())
    return [
        Confusion(
            "My KL is negative. Which argument of kl_div is p?",
            "The second, and the first must be a logarithm: PyTorch’s kl_div(a, b) adds up "
            f"b (log b − a). For p = .7, .2, .1 and q = .5, .3, .2 kl_div(log q, p) = {right} "
            f"nats is KL(p‖q). kl_div(log p, q) = {order} is KL(q‖p): no less a divergence, but "
            f"the other one. With bare probabilities kl_div(q, p) = {bare}, which is "
            "−H(p) − Σ pq, never above 0, whatever p and q are; nothing warns. A single letter’s "
            "p log(p/q) is below 0 wherever q is above p; only the whole sum can’t be. (One more "
            "trap: reduction=\"mean\", the default, divides by the number of all entries, not of "
            "distributions; \"batchmean\" is what the formula says. In torch.distributions, "
            "kl_divergence(p, q) has p first.)",
            here | {"encall": "bare"},
            "Left: every letter is below 0, and none is near its green mark. Choose “log q, p”: "
            "now each bar ends at its mark, two of them below 0, and the sum is above.",
            threads=["pytorch/pytorch#57459", "pytorch/pytorch#7337", "pytorch/pytorch#80488",
                     "lucasb-eyer/pydensecrf#85"],
        ),
        Confusion(
            "Can an estimate of KL be below 0 without a mistake?",
            "Yes. One averages log(p/q) over draws of p. On average that is right, but "
            f"here {told.negative:.0%} of single draws are below 0, and so are "
            f"{few:.0%} of the averages of {FEW}. More draws help; so does adding q/p − 1 to each: "
            "its average is 0 (where p has all that q has), and log(p/q) + q/p − 1 is never below "
            "0. A “KL” less a constant can be below 0, too, and so can a sum over weights that are "
            "no probabilities.",
            here | {"encall": "right", "endraws": FEW},
            "Histogram: the red bars are averages below 0. Average more draws: they go, and the "
            "rest gathers at the green line.",
        ),
    ]  # fmt: skip
