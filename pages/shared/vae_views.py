"""What the page on the VAE shows: pictures, a window of the latent plane, bars and curves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from diffusion_core.gaussian import Gaussian
from diffusion_core.vae_bound import BoundTerms
from pages.shared.cloud import Cloud
from pages.shared.figures import (
    BARE,
    CLEAR,
    Figure,
    Line,
    chart,
    level,
    line_chart,
    name_at,
    upright,
)
from pages.shared.palette import COLORS
from pages.shared.player import Curve, Frames, Panel
from pages.shared.vae_world import BETWEEN, COUNTS, STEPS, WIDTHS, Digit, Many, Way, told_by

GRAYS = [[0, "#000000"], [1, "#ffffff"]]
SHORT = 210  # height of a chart in pixels
PICTURE = 104  # side of a digit
SHARES = (0.5, 0.95)  # of p(z|x) and of q(z|x), that are shown
PALE = 0.35  # how green what the larger one has more is
HUES = ("x0", "eps", "q", "p", "bits")  # of the numerals 0 to 4, and again of 5 to 9
CORNER = {"xref": "paper", "yref": "paper", "xanchor": "right"}


def upwards(name: str) -> dict[str, Any]:
    """The name of an upright axis, at its upper end."""
    return {"x": 0, "y": 0.98, "xref": "paper", "yref": "paper", "xanchor": "left",
            "text": f"↑ {name}", "showarrow": False, "font": {"size": 13}}  # fmt: skip


def reach(told: Digit) -> float:
    """How far above -log p(x) both charts of one digit go, in nats, whatever q is."""
    own = WIDTHS.index(1.0)
    return max(20.0, float(told.costs[own] + told.nats[own]) + told.log_evidence + 8)


def picture_figure(name: str, picture: np.ndarray, color: str) -> Figure:
    """A digit [28, 28] in 0..1, with its name above."""
    side = np.arange(28)
    trace = {"type": "heatmap", "x": side, "y": side, "z": picture[::-1], "zmin": 0, "zmax": 1,
             "colorscale": GRAYS, "showscale": False, "hovertemplate": "%{z:.2f}"}  # fmt: skip
    hidden = BARE | {"showticklabels": False, "range": [-0.5, 27.5]}
    layout = {
        "xaxis": hidden, "yaxis": hidden, "height": 28 + PICTURE, "hovermode": "closest",
        "title": {"text": name, "font": {"size": 14, "color": COLORS[color]}, "x": 0,
                  "xref": "container", "y": 0.98},
        "margin": {"l": 0, "r": 0, "t": 28, "b": 0},
    } | CLEAR  # fmt: skip
    return chart([trace], layout)


def held(density: np.ndarray) -> np.ndarray:
    """Shades of cells [H, W]: 1 in the densest that hold half, PALE in those that hold 95%."""
    order = density.ravel().argsort()[::-1]
    mass = np.cumsum(density.ravel()[order]) / density.sum()
    before = np.empty(density.size)  # what denser cells hold
    before[order] = np.append(0.0, mass[:-1])
    half, most = (before.reshape(density.shape) < share for share in SHARES)
    return np.where(half, 1.0, PALE * most)


def window_figure(told: Digit, q: Gaussian) -> Figure:
    """The exact posterior as two shades, and q as two ellipses: both hold SHARES."""
    red, green, blue = (int(COLORS["q"][i : i + 2], 16) for i in (1, 3, 5))
    shades = [[0, f"rgba({red}, {green}, {blue}, 0)"], [1, f"rgba({red}, {green}, {blue}, 1)"]]
    traces: list[dict[str, Any]] = [
        {"type": "heatmap", "x": told.across, "y": told.up, "z": held(told.posterior),
         "customdata": told.posterior, "zmin": 0, "zmax": 1, "colorscale": shades,
         "showscale": False, "hovertemplate": "p(z|x): %{customdata:.2f} of its peak"}
    ]  # fmt: skip
    turn = np.linspace(0, 2 * np.pi, 49)
    mean, std = q.mean.numpy(), q.var.sqrt().numpy()
    sizes = [math.sqrt(-2 * math.log(1 - share)) for share in SHARES]
    for k, size in enumerate(sizes):
        traces.append(
            {"type": "scatter", "mode": "lines", "name": "q(z|x)", "hoverinfo": "skip",
             "x": mean[0] + size * std[0] * np.cos(turn),
             "y": mean[1] + size * std[1] * np.sin(turn),
             "line": {"color": COLORS["p"], "width": 2 - k}}
        )  # fmt: skip
    # The piece of the plane with the posterior, and more of it where q reaches further.
    ranges = [
        [min(cells[0], m - 2.6 * s), max(cells[-1], m + 2.6 * s)]
        for cells, m, s in zip((told.across, told.up), mean, std, strict=True)
    ]
    layout = {
        "xaxis": BARE | {"title": {"text": "z₁", "standoff": 4}, "nticks": 5,
                         "range": ranges[0]},
        "yaxis": BARE | {"nticks": 5, "range": ranges[1]},
        "title": {"text": "a piece of the plane: 50% and 95% of each", "font": {"size": 14}, "x": 0,
                  "xref": "container", "y": 0.98},
        "height": 350, "margin": {"l": 44, "r": 8, "t": 34, "b": 40}, "hovermode": "closest",
        "annotations": [upwards("z₂"), name_at(0.98, "p(z|x)", "q", y=0.97, **CORNER),
                        name_at(0.98, "q(z|x)", "p", y=0.9, **CORNER)],
    } | CLEAR  # fmt: skip
    return chart(traces, layout)


def bars_figure(told: Digit, terms: BoundTerms, *, named: bool = True) -> Figure:
    """The negative bound, cut up in both ways: two bars of one length.

    The axis is that of the digit, whatever q is; a bar that is longer is cut off.

    Args:
        told: the digit.
        terms: q's.
        named: whether what is missing has its name; not before the reader has guessed.
    """
    total, exact = -terms.bound, -told.log_evidence
    # In the middle lies log p(x): there is room for a name on either side.
    start, end = exact - 1.1 * reach(told), exact + reach(told)
    last = "KL(q‖p(z|x))" if named else "missing"
    rows = [
        [("E[−log p(x|z)]", terms.cost, "x0"), ("KL(q‖p(z))", terms.kl, "p")],
        [("−log p(x)", exact, "q"), (last, total - exact, "bits")],
    ]
    shapes, names = [], []
    first, middle, late = (start + share * (end - start) for share in (0.0, 0.51, 0.57))
    for k, parts in enumerate(rows):
        low = 1 - k
        (name, value, color), (other, rest, hue) = parts
        for x0, x1, fill in ((start, value, color), (value, total, hue)):
            shapes.append(
                {"type": "rect", "x0": x0, "x1": x1, "y0": low + 0.12, "y1": low + 0.55,
                 "fillcolor": COLORS[fill], "line": {"width": 0}, "opacity": 0.85}
            )  # fmt: skip
        # A name begins where its piece does, and ends with the chart where it would not fit.
        fits = value < late
        more = " →" if total > end else ""
        names += [
            name_at(first, f"{name} = {value:.2f}", color, y=low + 0.6, xanchor="left",
                    yanchor="bottom"),
            name_at(max(value, middle) if fits else end, f"{other} = {rest:.2f}{more}", hue,
                    y=low + 0.6, xanchor="left" if fits else "right", yanchor="bottom"),
        ]  # fmt: skip
    # An invisible trace: a chart of shapes alone has no axes.
    trace = {"type": "scatter", "mode": "lines", "x": [start, end], "y": [0, 2], "opacity": 0,
             "hoverinfo": "skip", "line": {"width": 0}}  # fmt: skip
    layout = {
        "xaxis": BARE | {"title": {"text": f"nats; cut off at {start:.0f}", "standoff": 4},
                         "range": [start, end], "nticks": 6},
        "yaxis": BARE | {"range": [0, 2], "showticklabels": False},
        "title": {"text": f"−ELBO = {total:.2f} nats, cut up twice", "font": {"size": 14}, "x": 0,
                  "xref": "container", "y": 0.98},
        "height": 184, "margin": {"l": 12, "r": 12, "t": 34, "b": 40},
        "shapes": shapes, "annotations": names, "hovermode": "closest",
    } | CLEAR  # fmt: skip
    return chart([trace], layout)


def width_figure(
    told: Digit, curves: tuple[np.ndarray, np.ndarray], whose: str, width: float,
    terms: BoundTerms, *, named: bool = True,
) -> Figure:  # fmt: skip
    """What a q costs where it is narrower or wider, against log p(x).

    Args:
        told: the digit.
        curves: reconstruction and KL to the prior at each of WIDTHS.
        whose: q's owner, whose width is 1.
        width: where q is now, as points.
        terms: q's.
        named: as in `bars_figure`.
    """
    x, exact = np.array(WIDTHS), -told.log_evidence
    costs, nats = curves
    above, high = costs - exact, reach(told)
    total = above + nats
    ends = (min(-0.2 * high, float(above.min()) - 5), high)  # below the line at 0 stands its name
    at = int(max(np.flatnonzero(total <= high - 4), default=total.argmin()))
    lines = [
        Line("E[−log p(x|z)]", x, above, "x0", 1, "left", -14),
        Line("KL(q‖p(z))", x, nats, "p", 0, "left", 14),
        Line(f"sum: {'KL(q‖p(z|x))' if named else 'missing'}", x, total, "bits", at, "right", 14),
    ]
    figure = line_chart(
        lines, x_title=f"width of q, in {whose} own", log_x=True, height=SHORT,
        y_title="nats; blue and red: above −log p(x)", y_range=ends,
        x_axis={"tickvals": [0.125, 0.25, 0.5, 1, 2, 4],
                "ticktext": ["⅛", "¼", "½", "1", "2", "4"]},
    )  # fmt: skip
    figure["data"].append(
        {"type": "scatter", "mode": "markers", "x": [width] * 3,
         "y": [terms.cost - exact, terms.kl, -terms.bound - exact],
         "name": "q now", "hovertemplate": "%{y:.2f}",
         "marker": {"color": [COLORS[hue] for hue in ("x0", "p", "bits")], "size": 11,
                    "symbol": "circle"}}
    )  # fmt: skip
    figure["layout"]["shapes"] = [level(0.0, "q")]
    figure["layout"]["annotations"].append(
        name_at(1, "−log p(x)", "q", xref="paper", y=0, xanchor="right", xshift=-6, yshift=-12)
    )  # fmt: skip
    return figure


def weights_figure(told: Many, K: int) -> Figure:
    """How often K draws together say what of log p(x)."""
    said = told_by(told.log_w, K)
    middle, exact = float(said.mean()), told.log_evidence
    shown = told_by(told.log_w, 1)
    low = float(np.quantile(shown, 0.02))
    low = max(low, exact - 3 * (exact - float(np.quantile(shown, 0.2))) - 8)
    high = max(float(shown.max()), exact) + 2
    edges = np.linspace(low, high, 49)
    counts, _ = np.histogram(said, edges)
    bars = {"type": "bar", "x": (edges[1:] + edges[:-1]) / 2, "y": counts / len(said),
            "name": "draws", "opacity": 0.75, "marker": {"color": COLORS["p"]},
            "width": edges[1] - edges[0], "hovertemplate": "%{y:.3f} of them"}  # fmt: skip
    layout = {
        "xaxis": BARE | {"title": {"text": "log of the average of K weights, nats", "standoff": 8},
                         "range": [low, high]},
        "yaxis": BARE | {"nticks": 4, "showgrid": True},
        "title": {"text": f"share of draws, K = {K}", "font": {"size": 14}, "x": 0,
                  "xref": "container", "y": 0.98},
        "height": 300, "margin": {"l": 48, "r": 12, "t": 40, "b": 44}, "bargap": 0,
        "shapes": [upright(exact, "q"), upright(middle, "bits", dash="dash")],
        "annotations": [
            name_at(exact, "log p(x)", "q", y=1, yref="paper", xanchor="right", xshift=-6),
            name_at(middle, "average", "bits", y=0.88, yref="paper",
                    xanchor="right", xshift=-6),
        ],
        "hovermode": "closest",
    } | CLEAR  # fmt: skip
    return chart([bars], layout)


def counts_figure(told: Many, K: int) -> Figure:
    """The bound against the number of draws that it averages before the logarithm."""
    x = np.array(COUNTS, np.float64)
    spread = 2 * told.errors
    figure = line_chart(
        [Line("bound with K draws", x, told.bounds, "bits", 6, "left", -16)],
        x_title="K, draws whose weights are averaged", y_title="nats", log_x=True, height=300,
        y_axis={"showgrid": False},
        x_axis={"tickvals": [1, 4, 16, 64, 256, 1024],
                "ticktext": ["1", "4", "16", "64", "256", "1024"]},
        y_range=(
            float(told.bounds[0] - 0.08 * (told.log_evidence - told.bounds[0])),
            told.log_evidence + 0.12 * (told.log_evidence - float(told.bounds[0])) + 0.05,
        ),
    )  # fmt: skip
    at = COUNTS.index(K)
    band = np.concatenate([told.bounds + spread, (told.bounds - spread)[::-1]])
    figure["data"].insert(
        0,
        {"type": "scatter", "x": np.concatenate([x, x[::-1]]), "y": band, "fill": "toself",
         "fillcolor": COLORS["bits"], "opacity": 0.25, "line": {"width": 0}, "hoverinfo": "skip"},
    )  # fmt: skip
    figure["data"].append(
        {"type": "scatter", "mode": "markers", "x": [K], "y": [told.bounds[at]], "name": "K now",
         "marker": {"color": COLORS["bits"], "size": 11, "symbol": "circle"},
         "hovertemplate": "%{y:.2f}"}
    )  # fmt: skip
    figure["layout"]["shapes"] = [level(told.log_evidence, "q")]
    figure["layout"]["annotations"].append(
        name_at(0, "log p(x), summed", "q", xref="paper", y=told.log_evidence, yanchor="bottom",
                xanchor="left", xshift=6, yshift=6)
    )  # fmt: skip
    return figure


def way_frames(told: Way, codes: np.ndarray, first: int, second: int) -> Frames:
    """The straight way through the latent beside the fade of pixels."""
    n = STEPS + 1
    trail = np.zeros((n, 1, 2), np.float32)
    trail[:, 0] = told.z
    points = np.concatenate([trail, np.broadcast_to(codes, (n, *codes.shape))], axis=1)
    cloud = Cloud(
        "The plane",
        f"where the encoder puts 200 digits, and the way from a {first} to a {second}",
        points.astype(np.float32), color="xt", extent=BETWEEN, trails=1, trail="p", radius=2.2,
        strong=_arrow(told.z), pull="p", side=38, row=1, axes=("z₁", "z₂"),
        marks=" " + "".join(str(k % 10) for k in range(len(codes))),
        hues=["p", *(HUES[k % 5] for k in range(len(codes)))],
    )  # fmt: skip
    panels = [
        Panel("Decoded", "the decoder’s picture", _bytes(told.decoded), "p", lo=0),
        Panel("Faded", "one digit faded into the other", _bytes(told.faded), "x0", lo=0),
    ]
    title = "classifier’s largest probability"
    curves = [
        Curve("decoded", told.sure[0], "p", title, 0, 1),
        Curve("faded", told.sure[1], "x0", title, 0, 1),
    ]
    captions = [
        f"{k / STEPS:.0%} of the way · judged: decoded a {one}, faded a {other}"
        for k, (one, other) in enumerate(told.seen.T)
    ]
    return Frames(panels, captions, curves, clouds=[cloud])


def _arrow(z: np.ndarray) -> np.ndarray:
    """From where the way begins to where it is: [n, 1, 4]."""
    start = np.broadcast_to(z[:1], z.shape)
    return np.concatenate([start, z - start], axis=1)[:, None].astype(np.float32)


def _bytes(pictures: np.ndarray) -> np.ndarray:
    return (255 * pictures.clip(0, 1)).round().astype(np.uint8)
