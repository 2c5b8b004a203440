"""What the page from a VAE to diffusion shows: four models, one model, and how deep they can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffusion_core.hierarchical import VARIANTS
from diffusion_core.mixtures import PLANE_DATA
from pages.shared.cloud import Cloud
from pages.shared.hierarchy_world import (
    CALLS,
    DEPTHS,
    EXTENT,
    PARTS,
    Depth,
    Lesson,
    Rung,
    best_possible,
    data_shade,
    lost_at_top,
)
from pages.shared.numbers import signed
from pages.shared.player import Curve, Frames

SHORT = {"free": "Free", "same": "Same dim.", "short": "Ends short", "ddpm": "DDPM"}
"""The four where there is little room."""
OBEYED = {"free": "", "same": " (1)", "short": " (1, 2)", "ddpm": " (1, 2, 3)"}
"""Which restrictions, as the page numbers them."""
COLORS = {"free": "eps", "same": "bits", "short": "x0", "ddpm": "p"}
BOUND = "bound, nats (lower is better)"
BOUGHT = f"bound after {CALLS} network calls, not steps, nats (lower is better)"
STEP = "cost of this level, nats"
OF_IT = "its parts, nats"
SCATTER = ("DDPM, one level: scatter of a draw, nats (log)", "DDPM, all levels: the same (log)")
COST = "network calls for one point of one training step (log)"
BEST = "best possible"
SCATTERS = (
    ("of a walk", "eps", ""),
    ("log-ratio", "p", "6 5"),
    ("its KL", "p", ""),
    ("a walk", "eps", ""),
    ("KLs", "p", ""),
    ("one for all", "x0", ""),
)
"""Name, colour and dash of each number of a `Scatter`: three of one level, three of all."""
SIZES = {
    1: "“Free” has one number in each latent; the first restriction makes that two, which here is "
    "more room, not less.",
    2: "“Free” has two numbers in each latent, so that the first restriction changes nothing.",
    4: "“Free” has four numbers in each latent; the first restriction takes two of them away.",
}
NUMBERS = {1: "1 number", 2: "2 numbers", 4: "4 numbers"}
HEIGHT = " A latent of one number lies along a line; the height of its points is drawn at random."
WAIT = f"Wait until T = {DEPTHS[-1]} is done. "
"""The charts of depth are empty at first."""
SUB = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def z(t: int) -> str:
    """What a level is called."""
    return "x" if t == 0 else "z" + str(t).translate(SUB)


def race_frames(rungs: Sequence[Rung], data: str, T: int, latent: int) -> Frames:
    """Four models side by side: they learn, then walk down level by level."""
    clouds = [
        Cloud(
            (told.name if told.ends else told.name + OBEYED[variant])
            if told.same
            else f"{told.name}: {NUMBERS[latent]} in z",
            f"points that the model “{told.name}” draws, over the density of the data at that "
            "level",
            np.stack([rung.points[i] for rung in rungs]),
            color=COLORS[variant],
            extent=EXTENT,
            density=np.stack([rung.shades[i] for rung in rungs]),
            row=int(told.fixed),  # two by two where four would be small
        )
        for i, (variant, told) in enumerate(VARIANTS.items())
    ]
    learns = np.array([rung.level is None for rung in rungs])
    bounds = np.array([rung.terms.sum(1) for rung in rungs])
    curves = [
        Curve(SHORT[variant], bounds[:, i], COLORS[variant], BOUND, 0, 4)
        for i, variant in enumerate(VARIANTS)
    ]
    curves.append(Curve(BEST, np.full(len(rungs), best_possible(data)), "q", BOUND, 0, 4,
                        dash="6 5"))  # fmt: skip
    costs = np.array([
        rung.terms[:, 0 if rung.level is None else rung.level] for rung in rungs
    ])  # fmt: skip
    costs[learns] = np.nan
    curves += [
        Curve(SHORT[variant], costs[:, i], COLORS[variant], STEP, -2, 4)
        for i, variant in enumerate(VARIANTS)
    ]
    return Frames([], [race_caption(rung, T) for rung in rungs], curves, clouds=clouds)


def race_caption(rung: Rung, T: int) -> str:
    """What a moment of the four is called."""
    if rung.level is None:
        return f"training: {rung.steps} gradient steps · what each draws, over the data"
    if rung.level == T:
        return f"walking down: {z(T)} drawn from N(0, I), over where the encoder puts the data"
    return f"walking down: {z(rung.level)} drawn from p({z(rung.level)}|{z(rung.level + 1)})"


def race_table(rung: Rung, data: str, calls: Sequence[float]) -> str:
    """The four bounds term by term, as a Markdown table."""
    T, kinds = rung.terms.shape[1] - 1, VARIANTS.items()
    rows = [
        ["", *(SHORT[kind] + OBEYED[kind] for kind in VARIANTS)],
        ["bound", *(f"**{nats(bound)}**" for bound in rung.terms.sum(1))],
        ["recon\N{SOFT HYPHEN}struction", *map(nats, rung.terms[:, 0])],
    ]
    between = rung.terms[:, 1:-1].sum(1)
    for name, fixed in (("log-ratios", False), ("KLs", True)) if T > 1 else ():
        cells = (
            nats(v) if told.fixed == fixed else "–"
            for v, (_, told) in zip(between, kinds, strict=True)
        )
        rows.append([f"levels between, {name}", *cells])
    lost = (lost_at_top(data, kind, T) if told.fixed else 0.0 for kind, told in kinds)
    rows += [
        ["prior matching", *(nats(v) + f", {nats(gone)} lost" * (gone >= 0.005)
                             for v, gone in zip(rung.terms[:, -1], lost, strict=True))],
        ["drawn near a group", *(f"{share:.0%}" for share in rung.near)],
    ]  # fmt: skip
    if data == "two":
        belong = float(PLANE_DATA[data]().weights.min())
        left = (rung.points.sum(2) < 0).mean(1)
        rows.append([f"at the lower left ({belong:.0%} belong)", *(f"{v:.0%}" for v in left)])
    return table(list(zip(*[*rows, ["network calls", *(f"{v:g}" for v in calls)]], strict=True)))


def nats(value: float) -> str:
    """A number of nats with a true minus, and none before a zero."""
    return signed(round(float(value), 2) + 0.0)


def table(columns: Sequence[Sequence[str]]) -> str:
    """A Markdown table of columns, each with its head first: narrow enough for a phone."""
    head, *rows = ("| " + " | ".join(row) + " |" for row in zip(*columns, strict=True))
    return "\n".join([head, "|---" * len(columns) + "|", *rows])


def shown_levels(T: int) -> tuple[int, ...]:
    """The levels that have room side by side, from the top to x."""
    return tuple(range(T, -1, -1)) if T <= 4 else tuple(T * i // 4 for i in range(4, -1, -1))


def lesson_frames(lessons: Sequence[Lesson], data: str, T: int, latent: int) -> Frames:
    """One model's levels side by side while it learns, and its bound."""
    clouds = []
    for t in shown_levels(T):
        shades = np.stack([one.shades[T - t] for one in lessons])
        what = "the data" if t == 0 else "the data, sent up by the encoder"
        place = "" if t == 0 or latent > 1 else ": one number"
        place = ": two of four numbers" if t and latent == 4 else place
        clouds.append(
            Cloud(
                f"{z(t)}{place}",
                f"points that the model draws at level {t}, over {what}",
                np.stack([one.walk.points[T - t] for one in lessons]),
                color="x0" if t == 0 else "p",
                extent=EXTENT,
                density=data_shade(data) if t == 0 else shades,
            )
        )
    terms = np.stack([one.terms for one in lessons])
    curves = [
        Curve("bound", terms.sum(1), "p", BOUND, 0, 4),
        Curve(BEST, np.full(len(lessons), best_possible(data)), "q", BOUND, 0, 4, dash="6 5"),
        Curve("reconstruction", terms[:, 0], "x0", OF_IT, -2, 5),
        Curve("prior matching", terms[:, -1], "eps", OF_IT, -2, 5),
    ]
    if T > 1:
        curves.append(Curve("levels between", terms[:, 1:-1].sum(1), "bits", OF_IT, -2, 5))
    captions = [
        f"{one.steps} gradient steps · {one.walk.near:.0%} of the drawn points lie near a group"
        for one in lessons
    ]
    return Frames([], captions, curves, clouds=clouds)


def lesson_table(lesson: Lesson, fixed: bool) -> str:
    """What each level costs, and what it tells about the one below, as a Markdown table."""
    T = len(lesson.told)
    kind = "KL" if fixed else "log-ratio"
    names = [f"{z(T)}: prior matching", *(f"{z(t)}: {kind}" for t in range(T - 1, 0, -1)),
             "x: reconstruction"]  # fmt: skip
    return table([
        ["level", *names],
        ["costs, nats", *map(nats, lesson.terms[::-1])],
        ["tells about the one below, nats", *(nats(max(v, 0)) for v in lesson.told[::-1]), ""],
    ])  # fmt: skip


def depth_frames(depths: Sequence[Depth], data: str) -> Frames:
    """A learnt encoder and a DDPM of growing depth, given equally many network calls."""
    names = ("learnt encoder", "DDPM")
    clouds = [
        Cloud(
            name,
            f"points drawn by the model: {name}, over the density of the data",
            np.stack([one.points[i] for one in depths]),
            color=color,
            extent=EXTENT,
            density=data_shade(data),
        )
        for i, (name, color) in enumerate(zip(names, ("bits", "p"), strict=True))
    ]
    done = {
        name: np.stack([getattr(one.done, name) for one in depths])
        for name in ("bounds", "scatter", "calls")
    }
    best = np.full(len(depths), best_possible(data))
    curves = [
        Curve(names[0], done["bounds"][:, 0], "bits", BOUGHT, 0, 5),
        Curve(names[1], done["bounds"][:, 1], "p", BOUGHT, 0, 5),
        Curve(BEST, best, "q", BOUGHT, 0, 5, dash="6 5"),
        Curve(names[0], done["calls"][:, 0], "bits", COST, 1, 100, digits=0, log=True),
        Curve(names[1], done["calls"][:, 1], "p", COST, 1, 100, digits=0, log=True),
    ]
    # All are the DDPM's: none in the learnt encoder's colour.
    curves += [
        Curve(name, done["scatter"][:, i], color, SCATTER[i // 3], 0.05, 20, dash=dash, log=True)
        for i, (name, color, dash) in enumerate(SCATTERS)
    ]
    captions = [
        f"{one.T} level{'s' * (one.T > 1)} · {one.steps[0]} step{'s' * (one.steps[0] != 1)} of the "
        "learnt encoder, "
        f"{one.steps[1]} of the DDPM"
        if one.T
        else f"training {DEPTHS[0]} to {DEPTHS[-1]} levels; the charts fill as each is done"
        for one in depths
    ]
    return Frames([], captions, curves, clouds=clouds)


def depth_ticks() -> list[tuple[int, str]]:
    """Where on the time axis each depth is done."""
    return [((i + 1) * PARTS, f"T = {T}") for i, T in enumerate(DEPTHS)]
