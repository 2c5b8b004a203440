"""What the page on the VQ-VAE shows: tokens, sheets, codes in a plane, a staircase."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from diffusion_core.vqvae import PATCH, SIDE
from pages.shared import vq_world
from pages.shared.cloud import Cloud, Strokes, Word
from pages.shared.discrete_networks import MASK_COLOR, token_colors
from pages.shared.figures import (
    BARE,
    CLEAR,
    Figure,
    Line,
    chart,
    line_chart,
    name_at,
    upright,
)
from pages.shared.palette import COLORS
from pages.shared.pictures import png_address
from pages.shared.player import Curve, Frames, Panel
from pages.shared.vq_gradient import (
    COUNTS,
    DATA_EXTENT,
    EVERY,
    RANGE,
    STRETCH,
    Z_EXTENT,
    Stairs,
    Training,
    cost,
    right_shares,
)
from pages.shared.vq_world import EXTENT, KINDS, STEPS, Learning, Mixture, Shot, Swap

GRAYS: list[list[Any]] = [[0, "#000000"], [1, "#ffffff"]]
PICTURE = 150  # side of a digit, in pixels
LARGE = 318  # of the change, and width of what stands in its place
TABLE = 302  # of the tokens
BARS = 132  # height of a vector
LEFT = 8  # what a chart leaves free at its left, at the least
CODES = 128
RULE = "#5a5a5a"  # between patches
RULE_GRAY = int(RULE[1:3], 16)
REACH = 0.75  # no number of a vector or a code is larger
FINE = 2  # picture pixels a side for each, so that a line is thinner than a pixel


def hexed(rgb: np.ndarray) -> str:
    """[3] uint8 as "#rrggbb"."""
    return "#" + "".join(f"{v:02x}" for v in rgb)


def colors_of_tokens() -> np.ndarray:
    """One per code and the last for [MASK]: [CODES + 1, 3] uint8."""
    return np.concatenate([token_colors(CODES), [MASK_COLOR]]).astype(np.uint8)


def tokens_figure(told: Swap, row: int, column: int) -> Figure:
    """The 7 by 7 numbers, each on its code's colour, one place framed."""
    colors = colors_of_tokens()
    side = np.arange(1, SIDE + 1)
    scale = [[k / CODES, hexed(color)] for k, color in enumerate(colors)]
    cells = {"type": "heatmap", "x": side, "y": side, "z": told.tokens, "zmin": 0, "zmax": CODES,
             "colorscale": scale, "showscale": False, "xgap": 1, "ygap": 1,
             "text": [["[MASK]" if k == CODES else f"code {k}" for k in r] for r in told.tokens],
             "hovertemplate": "row %{y}, column %{x}: <b>%{text}</b>"}  # fmt: skip
    across, down = np.meshgrid(side, side)
    flat = told.tokens.ravel()
    light = colors[flat] @ np.array([0.299, 0.587, 0.114]) > 128
    numbers = {"type": "scatter", "mode": "text", "x": across.ravel(), "y": down.ravel(),
               "text": ["M" if k == CODES else str(k) for k in flat], "hoverinfo": "skip",
               "textfont": {"size": 13, "color": ["#111111" if on else "#ffffff" for on in light]},
               }  # fmt: skip
    title = "4 its number (press another)"
    if told.new != told.old:
        new = "M" if told.new == CODES else told.new
        title = f"{told.old} → {new} (press another)"
    frame = {"type": "rect", "x0": column + 0.5, "x1": column + 1.5, "y0": row + 0.5,
             "y1": row + 1.5, "fillcolor": "rgba(0,0,0,0)", "layer": "above",
             "line": {"color": COLORS["bits"], "width": 4}}  # fmt: skip
    hidden = BARE | {"showticklabels": False}
    layout = {
        "xaxis": hidden | {"range": [0.5, SIDE + 0.5]},
        "yaxis": hidden | {"range": [SIDE + 0.5, 0.5]},
        "title": {"text": title, "x": 0, "xref": "container", "y": 0.98,
                  "font": {"size": 14, "color": COLORS["p"]}},
        "height": TABLE + 28, "margin": {"l": 0, "r": 0, "t": 28, "b": 0}, "hovermode": "closest",
        "shapes": [frame],
    } | CLEAR  # fmt: skip
    return chart([cells, numbers], layout)


def picture_figure(
    name: str, picture: np.ndarray, color: str, patch: tuple[int, int] | None = None,
    box: tuple[int, int, int, int] | None = None, *, signed: bool = False, side: int = PICTURE,
) -> Figure:  # fmt: skip
    """A digit uint8 [28, 28], or a signed difference of two, with its name above.

    Args:
        name: set above.
        picture: levels 0..255, or differences of levels.
        color: of the name.
        patch: row and column of the token whose own pixels are framed.
        box: first and last row and column that are framed, dotted.
        signed: whether it is a difference: gray where there is none.
        side: in pixels on the screen, with what a chart leaves free.
    """
    pixels = np.arange(28)
    scale: list[list[Any]] = GRAYS
    if signed:
        scale = [[0, COLORS["x0"]], [0.5, "rgba(128, 128, 128, 0.15)"], [1, COLORS["bits"]]]
    low, high = (-255, 255) if signed else (0, 255)
    values = picture[::-1].astype(np.float64 if signed else np.int64)
    if signed:  # small changes would not be seen; those of one level do not count
        values[np.abs(values) <= 1] = 0
        values = 255 * np.cbrt(values / 255)
    trace = {"type": "heatmap", "x": pixels, "y": pixels, "z": values,
             "zmin": low, "zmax": high, "colorscale": scale, "showscale": False,
             }  # fmt: skip
    # Each pixel that can be pointed at costs the browser time at every move of a control.
    trace |= (
        {"customdata": picture[::-1], "hovertemplate": "%{customdata} of 255"}
        if signed
        else {"hoverinfo": "skip"}
    )
    hidden = BARE | {"showticklabels": False, "range": [-0.5, 27.5]}
    layout: dict[str, Any] = {
        "xaxis": hidden, "yaxis": hidden, "height": 28 + side - LEFT, "hovermode": "closest",
        "title": {"text": name, "font": {"size": 14, "color": COLORS[color]}, "x": 0,
                  "xref": "container", "y": 0.98},
        "margin": {"l": 0, "r": 0, "t": 28, "b": 0}, "shapes": [],
    } | CLEAR  # fmt: skip
    if patch is not None:
        top, left = (PATCH * v for v in patch)
        layout["shapes"].append(_frame((top, top + PATCH - 1, left, left + PATCH - 1), "solid"))
    if box is not None:
        layout["shapes"].append(_frame(box, "dot"))
    return chart([trace], layout)


def _frame(box: tuple[int, int, int, int], dash: str) -> dict[str, Any]:
    top, bottom, left, right = box
    return {"type": "rect", "x0": left - 0.5, "x1": right + 0.5, "y0": 27.5 - top,
            "y1": 26.5 - bottom, "fillcolor": "rgba(0,0,0,0)",
            "line": {"color": COLORS["bits"], "width": 2, "dash": dash}}  # fmt: skip


def vector_figure(told: Swap) -> Figure:
    """The encoder's numbers at the place, and those of the code that is nearest."""
    at = np.arange(1, len(told.vector) + 1)
    bars = {"type": "bar", "x": at, "y": told.vector, "marker": {"color": COLORS["x0"]},
            "name": "vector", "hovertemplate": "number %{x} of the vector: %{y:.2f}"}  # fmt: skip
    marks = {"type": "scatter", "mode": "markers", "x": at, "y": told.code, "name": "code",
             "marker": {"color": COLORS["p"], "size": 9, "symbol": "diamond"},
             "hovertemplate": "number %{x} of the code: %{y:.2f}"}  # fmt: skip
    hidden = BARE | {"showticklabels": False}
    layout = {
        "xaxis": hidden | {"range": [0.4, len(at) + 0.6]},
        "yaxis": hidden | {"range": [-REACH, REACH], "showgrid": True, "nticks": 3},
        "title": {"text": f"2 the encoder’s vector there (bars), code {told.old} (◆)", "x": 0,
                  "xref": "container", "y": 0.98, "font": {"size": 14, "color": COLORS["x0"]}},
        "height": 28 + BARS, "margin": {"l": 0, "r": 0, "t": 28, "b": 0}, "hovermode": "closest",
        "bargap": 0.3,
    } | CLEAR  # fmt: skip
    return chart([bars, marks], layout)


def titled(text: str, color: str) -> str:
    """HTML: a line that names what stands under it, as a chart's title does."""
    look = f"color:{COLORS[color]};font-size:14px;line-height:28px"
    return f'<div style="{look}">{text}</div>'


ROW = 16  # codes in a row of the codebook


@cache
def codebook_sheet() -> tuple[str, int, int]:
    """The codes' little pictures, ROW in a row: an image's address, its width and height."""
    tiles = vq_world.code_pictures()
    side = vq_world.THUMB + 1
    out = np.full((len(tiles) // ROW * side - 1, ROW * side - 1), RULE_GRAY, np.uint8)
    for k, tile in enumerate(tiles):
        top, left = (v * side for v in divmod(k, ROW))
        out[top : top + side - 1, left : left + side - 1] = tile
    return png_address(out), *out.shape[::-1]


def codebook_html(width: int, framed: int | None = None) -> str:
    """All codes as little pictures, one of them in a frame.

    Args:
        width: in pixels, at the most.
        framed: the number of that code.
    """
    source, wide, high = codebook_sheet()
    side, frame = vq_world.THUMB + 1, ""
    if framed is not None:
        down, across = divmod(framed, ROW)
        place = {"left": across * side / wide, "top": down * side / high,
                 "width": (side - 1) / wide, "height": (side - 1) / high}  # fmt: skip
        at = ";".join(f"{name}:{share:.3%}" for name, share in place.items())
        frame = f'<div style="position:absolute;{at};outline:3px solid {COLORS["bits"]}"></div>'
    about = f"The {CODES} codes as little pictures, {ROW} in a row"
    return (
        f'<div style="position:relative;max-width:{width}px"><img src="{source}" alt="{about}" '
        f'style="display:block;width:100%;object-fit:fill;image-rendering:pixelated">{frame}</div>'
    )


def mixture_frames(told: Mixture) -> Frames:
    """The tokens as colours, what they are decoded to, and where the tokens' patches meet."""
    colors = colors_of_tokens()
    cells = np.kron(colors[told.tokens], np.ones((1, PATCH, PATCH, 1), np.uint8))
    done = np.arange(SIDE * SIDE) < np.arange(len(told.tokens))[:, None]
    old, new = (np.array([int(c[k : k + 2], 16) for k in (1, 3, 5)], np.uint8)
                for c in (RULE, COLORS["bits"]))  # fmt: skip
    gray = np.broadcast_to(old[:1], (*done.shape, 1))
    large = np.kron(told.decoded, np.ones((1, FINE, FINE), np.uint8))
    panels = [
        Panel("its tokens, as colours", "the tokens as colours; exchanged ones have red borders",
              parted(cells, np.where(done[..., None], new, old)), "p", lo=0, hi=0),
        Panel("decoded", "what the tokens are decoded to",
              np.pad(large, ((0, 0), (3, 3), (3, 3))), "p", lo=0),
        Panel("its patches", "the same, with lines between the tokens’ patches",
              parted(told.decoded[..., None], gray)[..., 0], "p", lo=0),
    ]  # fmt: skip
    total = len(told.tokens) - 1
    captions = [f"{k} of {total} tokens exchanged" for k in range(total + 1)]
    return Frames(panels, captions)


def parted(pictures: np.ndarray, rules: np.ndarray) -> np.ndarray:
    """Pictures, `FINE` times as large, with a line between the patches of two tokens.

    Args:
        pictures: uint8 [n, 28, 28, C].
        rules: uint8 [n, SIDE * SIDE, C], what is drawn about each token; of two the later one's.

    Returns:
        uint8 [n, 62, 62, C].
    """
    side = FINE * PATCH
    out = np.zeros((len(pictures), *2 * (SIDE * (side + 1) - 1,), rules.shape[-1]), np.uint8)
    for place in range(SIDE * SIDE):
        top, left = (v * (side + 1) for v in divmod(place, SIDE))
        out[:, max(top - 1, 0) : top + side + 1, max(left - 1, 0) : left + side + 1] = rules[
            :, place, None, None
        ]
    at = np.arange(28 * FINE)
    out[:, (at + at // side)[:, None], at + at // side] = np.kron(
        pictures, np.ones((1, FINE, FINE, 1), np.uint8)
    )
    return out


# --- who draws them -------------------------------------------------------------------------------


def drawn_frames(shots: Sequence[Shot], start: int, plain: tuple[np.ndarray, np.ndarray]) -> Frames:
    """Two ways without a model, which stand still, and VQ-Diffusion step by step."""
    n = len(shots)
    still = [np.broadcast_to(sheet, (n, *sheet.shape)) for sheet in plain]
    panels = [
        Panel("Even chances", "twelve pictures of tokens drawn with even chances", still[0], "eps",
              lo=0),
        Panel("Place by place", "twelve pictures of tokens drawn place by place", still[1], "xt",
              lo=0),
        Panel("VQ-Diffusion", "twelve digits whose tokens are being drawn, decoded",
              np.stack([s.decoded for s in shots]), "p", lo=0),
    ]  # fmt: skip
    captions = [
        f"t = {s.t} · step {start + i} of {STEPS} · {s.masked:.0%} are [MASK]"
        if s.t
        else f"t = 0 · done in {STEPS} steps"
        for i, s in enumerate(shots)
    ]
    return Frames(panels, captions)


# --- a codebook in the plane ----------------------------------------------------------------------


def learning_frames(told: Learning, kind: str) -> Frames:
    """Vectors and codes, the codes' regions, how often each is used, and both measures."""
    n, K = told.counts.shape
    data = np.broadcast_to(told.data, (n, *told.data.shape))
    cloud = Cloud(
        "Vectors and codes", f"{len(told.data)} vectors ({KINDS[kind].lower()}), {K} codes and the "
        "borders of their regions", np.concatenate([told.codes, data], axis=1).astype(np.float32),
        color="xt", extent=EXTENT, trails=K, trail="p", radius=2.2, side=28,
        strokes=[Strokes(told.borders, "bits")],
    )  # fmt: skip
    error = "mean squared distance to the code (log)"
    low = 10 ** np.floor(np.log10(told.error.min()))
    high = 10 ** np.ceil(np.log10(told.error.max()))
    curves = [
        Curve("error", told.error, "bits", error, float(low), float(high), digits=3, log=True,
              line=vq_world.best_on_the_line(K) if kind == "line" else None),
        Curve("perplexity", told.perplexity, "p", f"codes in use, as perplexity (of {K})", 0,
              float(K)),
    ]  # fmt: skip
    captions = [
        f"step {i} · {int((c > 0).sum())} of {K} codes used"
        + (f" · {r} restarted" if r else "")
        for i, (c, r) in enumerate(zip(told.counts, told.restarted, strict=True))
    ]  # fmt: skip
    lost = _ways(told.ways, EXTENT, "each vector’s way to its code")
    return Frames([], captions, curves, clouds=[cloud, lost, _counts(told)])


def _counts(told: Learning) -> Cloud:
    """How many vectors each code replaces, as columns on its number."""
    n, K = told.counts.shape
    across = EXTENT * (2 * np.arange(1, K + 1) - 0.4) / (K + 0.9) - EXTENT
    top = 20 * math.ceil(told.counts.max() / 20)
    floor, height = -0.8 * EXTENT, 1.55 * EXTENT
    high = height * told.counts / top
    columns = np.zeros((n, K, 4), np.float32)
    columns[:, :, 0], columns[:, :, 1], columns[:, :, 3] = across, floor, high
    ground = np.array([[[-EXTENT, floor, 2 * EXTENT, 0]]], np.float32)
    return Cloud(
        f"Vectors per code, of {len(told.data)}", "how many vectors each code replaces",
        np.stack([np.broadcast_to(across, (n, K)), floor + high], -1).astype(np.float32),
        color="p", extent=EXTENT, radius=0, side=28,
        strokes=[Strokes(ground, "xt", 1), Strokes(columns, "p", 6)],
        words=[Word(-0.7 * EXTENT, -0.9 * EXTENT, "code 1"),
               Word(0.7 * EXTENT, -0.9 * EXTENT, f"code {K}"),
               Word(-0.85 * EXTENT, floor + height, f"{top}–")],
    )  # fmt: skip


# --- the gradient ---------------------------------------------------------------------------------

MOST = 2.5  # of the axis of reconstruction's error, for all settings
PALE = 0.35  # how strong arrowheads of stairs are on which z does not stand

VERDICTS = {1: "q", -1: "bits", 0: "xt"}
# Full where the next stair is lower, hollow where it is higher; by the way the step goes.
HEADS = {1: {1: "▶", -1: "◀"}, -1: {1: "▷", -1: "◁"}, 0: {1: "→", -1: "←", 0: "·"}}


def stairs_figure(told: Stairs, z: float) -> Figure:
    """The loss as a staircase, the smooth one without a codebook, and where copied steps lead."""
    K, own = len(told.codes), int(np.abs(told.codes - z).argmin())
    fine = np.linspace(-RANGE, RANGE, 241)
    smooth = cost(torch.from_numpy(fine)).numpy()
    edges = np.linspace(-RANGE, RANGE, K + 1)
    top = max(float(told.losses.max()), float(smooth.max())) * 1.12
    step_x = np.repeat(edges, 2)[1:-1]
    step_y = np.repeat(told.losses, 2)
    lines = [
        Line("without a codebook", fine, smooth, "xt", len(fine) - 1, "right", 16, dash="dash"),
        Line("the loss", step_x, step_y, "p", 2 * int(told.losses.argmax()) + 1, "left", 12,
             width=3),
    ]  # fmt: skip
    figure = line_chart(
        lines, x_title="z, what the encoder says", y_title="squared error", height=330,
        y_range=(-0.06 * top, top),
    )  # fmt: skip
    figure["data"][1]["mode"] = "lines"  # without a mark at each corner
    figure["layout"]["hovermode"] = "closest"
    figure["layout"]["xaxis"]["range"] = [-RANGE, RANGE]
    figure["data"].append(
        {"type": "scatter", "mode": "text", "x": told.codes, "y": told.losses + 0.055 * top,
         "text": [HEADS[int(v)][int(-np.sign(g))]
                  for v, g in zip(told.verdict, told.copied, strict=True)],
         "textfont": {"size": 24 if K <= 12 else 16,
                      "color": [COLORS[VERDICTS[int(v)]] if k == own
                                else faded(COLORS[VERDICTS[int(v)]])
                                for k, v in enumerate(told.verdict)]},
         "name": "copied step", "hovertemplate": "code at %{x:.2f}, copied step %{text}"}
    )  # fmt: skip
    figure["data"].append(
        {"type": "scatter", "mode": "markers", "x": told.codes, "y": told.losses, "name": "codes",
         "marker": {"color": COLORS["p"], "size": 8, "symbol": "circle"},
         "hovertemplate": "code at %{x:.2f}: loss %{y:.2f}"}
    )  # fmt: skip
    figure["data"] += copied_slope(told, own, z, top)
    figure["layout"]["shapes"] = [upright(z, "x0")]
    figure["layout"]["annotations"].append(
        name_at(z, "z", "x0", y=1, yref="paper", xanchor="left", xshift=5, yshift=-8)
    )
    return figure


def faded(color: str) -> str:
    """A colour "#rrggbb", pale."""
    return f"rgba({', '.join(str(int(color[k : k + 2], 16)) for k in (1, 3, 5))}, {PALE})"


def copied_slope(told: Stairs, own: int, z: float, top: float) -> list[dict[str, Any]]:
    """The slope at the code, the same at z, and an arrow from the one to the other.

    Args:
        told: the staircase.
        own: which code stands for z.
        z: what the encoder says.
        top: the height of the chart.
    """
    code, loss, slope = (float(v[own]) for v in (told.codes, told.losses, told.copied))
    half = min(0.3, 0.11 * top / max(abs(slope), 1e-9))
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "x": [at - half, at + half],
         "y": [loss - half * slope, loss + half * slope], "name": name, "hoverinfo": "skip",
         "line": {"color": COLORS["x0"], "width": 4}}
        for name, at in (("slope at the code", code), ("copied to z", z))
    ]  # fmt: skip
    if abs(z - code) > 0.1:
        way = np.linspace(0, 1, 21)
        lift = top * (0.11 - 0.05 * way + 0.16 * (1 - (2 * way - 1) ** 2))
        beside = max(z, code) + 0.7 if z < 1.5 else min(z, code) - 0.7
        traces += [
            {"type": "scatter", "mode": "lines", "x": code + (z - code) * way, "y": loss + lift,
             "name": "arc", "hoverinfo": "skip", "line": {"color": COLORS["x0"], "width": 2}},
            {"type": "scatter", "mode": "text", "x": [z, beside],
             "y": [loss + 0.06 * top, loss + 0.18 * top], "text": ["▼", "copied to z"],
             "name": "arrow", "hoverinfo": "skip",
             "textfont": {"size": 13, "color": COLORS["x0"]}},
        ]  # fmt: skip
    return traces


def shares_figure(K: int) -> Figure:
    """How many z are led to a smaller loss, against the number of codes."""
    x, y = np.array(COUNTS, np.float64), right_shares()
    figure = line_chart(
        [Line("led to a smaller loss", x, y, "q", len(x) - 1, "right", -30)],
        x_title="codes in the range", y_title="share of all z", height=330, y_range=(0, 1),
    )  # fmt: skip
    figure["data"].append(
        {"type": "scatter", "mode": "markers", "x": [K], "y": [y[COUNTS.index(K)]], "name": "now",
         "marker": {"color": COLORS["q"], "size": 12, "symbol": "circle"},
         "hovertemplate": "%{y:.2f}"}
    )  # fmt: skip
    return figure


def training_frames(told: Training) -> Frames:
    """The data with the encoder's stripes, its one number, and what training does to both."""
    n, N = told.z.shape
    data = np.broadcast_to(told.x, (n, *told.x.shape))
    left = Cloud(
        "Data, decoded codes", "data in the plane, the borders of what the encoder gives one code, "
        "and what the codes are decoded to",
        np.concatenate([told.shown, data], axis=1).astype(np.float32), color="xt",
        extent=DATA_EXTENT, trails=told.codes.shape[1], trail="p", radius=2.2, side=28,
        strokes=[Strokes(told.stripes, "bits")],
    )  # fmt: skip
    extent = Z_EXTENT
    height = np.broadcast_to(STRETCH * extent * told.x[:, 0], (n, N))
    points = np.concatenate(
        [
            np.stack([told.codes, STRETCH * extent * told.shown[:, :, 0]], -1),
            np.stack([told.z, height], -1),
        ], axis=1,
    )  # fmt: skip
    right = Cloud(
        "Encoder’s z, codes",
        "the encoder’s number to the right, the stripe of the data upwards",
        points.astype(np.float32), color="x0", extent=extent, trails=told.codes.shape[1],
        trail="p", radius=2.2, side=28,
        words=[Word(0.86 * extent, -0.93 * extent, f"z = {extent:g}"),
               Word(-0.84 * extent, -0.93 * extent, f"z = −{extent:g}"),
               Word(-0.84 * extent, 0.72 * extent, "stripe 4"),
               Word(-0.84 * extent, -0.72 * extent, "stripe 1")],
    )  # fmt: skip
    made, apart = "mean squared error of what is made", "squared distance of z to its code"
    curves = [
        Curve("reconstruction", told.parts[:, 0], "p", made, 0, MOST),
        Curve("z to its code", told.parts[:, 1], "x0", apart, 0,
              max(MOST, float(np.ceil(told.parts[:, 1].max())))),
    ]  # fmt: skip
    captions = [f"step {EVERY * i} · standard deviation of z {z.std():.1f}"
                for i, z in enumerate(told.z)]  # fmt: skip
    errors = _ways(told.ways, DATA_EXTENT, "each point’s way to what is made of it")
    return Frames([], captions, curves, clouds=[left, right, errors])


def _ways(ways: np.ndarray, extent: float, alt: str) -> Cloud:
    """What is lost, as lines from each vector to what stands for it."""
    return Cloud(
        "What is lost", alt, ways[:, :, :2], color="xt", extent=extent, arrows=ways, field="bits",
        radius=1.2, side=28,
    )  # fmt: skip
