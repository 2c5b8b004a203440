"""Live runs over categories: what is sampled, how, and what of it is shown. No Streamlit here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from diffusion_core.discrete_sampling import DiscreteStep, sample_discrete
from diffusion_core.guidance import guided_belief
from diffusion_core.schedules import evenly_spaced
from diffusion_core.token_moves import Moves, entropy_bits, moves, plant_errors
from diffusion_core.unmasking import UnmaskStep, sample_in_order
from pages.shared.bench import done_in
from pages.shared.discrete_networks import CONFIDENCE, Net, rgb
from pages.shared.first_look import remembering
from pages.shared.palette import COLORS
from pages.shared.player import Curve, Frames, Panel

COUNT = 16  # pictures of one run
COUNT_COMPARED = 9  # of each of several runs
PLANT_SEEDS = 1_000_000  # which elements are spoilt must not depend on what the run draws
ROW_COLORS = ("p", "q", "bits", "eps", "x0")
ENTROPY = "entropy of the belief, bits per {}"
MOVED = "{}s per picture unmasked or changed per step"
CHANGED = "changes per {} so far"
KEPT = "planted errors still there, %"


class Start(NamedTuple):
    """What all rows of a run share.

    Attributes:
        digit: "each", "any", or a class "0".."9"; a network that knows no classes heeds none.
        steps: network calls.
        seed: of all draws.
        count: pictures, a square number.
        draw_last: whether the last step draws, instead of taking the likeliest state.
        guidance: how far a class is exaggerated; 1 is the plain network.
        planted: errors per picture; 0 for none.
        planted_at: after how many steps.
    """

    digit: str
    steps: int
    seed: int
    count: int = COUNT
    draw_last: bool = False
    guidance: float = 1.0
    planted: int = 0
    planted_at: int = 0

    def label(self, net: Net) -> torch.Tensor | None:
        """The classes asked for, [count] int64, or None for any."""
        if self.digit == "any" or not net.about.conditional:
            return None
        if self.digit == "each":
            return torch.arange(self.count) % 10
        return torch.full((self.count,), int(self.digit))


class Shot(NamedTuple):
    """What is kept of one stop of one row; arrays are [B, H, W].

    Attributes:
        x: int16 states.
        x0: int16, the likeliest clean states; at t = 0 those of the last call.
        sure: uint8, the likeliest state's probability; 0 is chance level, 255 certainty.
        open: bool, whether the element is not known for sure (absorbing: it is [MASK]).
        entropy: bits per element; NaN at t = 0.
        unmasked: elements per picture, in the step that led here.
        changed: elements per picture.
        renoised: elements per picture.
        history: uint8, changes of each element so far: appearing from [MASK] counts as none.
        moved: bool, the elements that moved in the step that led here.
        planted: bool, where errors were planted.
        kept: bool, planted errors that have not changed.
        back: bool, planted errors that are what they were before again.
    """

    x: np.ndarray
    x0: np.ndarray
    sure: np.ndarray
    open: np.ndarray
    entropy: float
    unmasked: float
    changed: float
    renoised: float
    history: np.ndarray
    moved: np.ndarray
    planted: np.ndarray
    kept: np.ndarray
    back: np.ndarray


class Row(NamedTuple):
    """One run of several.

    Attributes:
        net: the network.
        order: key in `unmasking.ORDERS`; heeded where `net.orders`.
        guidance: this row's own; None for the run's.
    """

    net: Net
    order: str = "random"
    guidance: float | None = None

    @property
    def name(self) -> str:
        """What it is called in labels."""
        order = ", most confident first" if self.greedy else ""
        guidance = "" if self.guidance is None else f", guidance {self.guidance:g}"
        return self.net.about.name + order + guidance

    @property
    def greedy(self) -> bool:
        """Whether the order is not the process's own."""
        return self.net.orders and self.order != "random"


def times_of(net: Net, steps: int) -> list[int]:
    """The timesteps of a run's frames; the last is 0."""
    return [*evenly_spaced(net.T, min(steps, net.T)), 0]


def run(start: Start, rows: Sequence[Row]) -> Iterator[list[Shot]]:
    """Sample with every row in lockstep: one list with a shot per row for each stop."""
    return map(list, zip(*(_row(start, row) for row in rows), strict=True))


def walk(
    row: Row,
    x: torch.Tensor,
    times: Sequence[int],
    start: Start,
    generator: torch.Generator,
) -> Iterator[DiscreteStep | UnmaskStep]:
    """The core's sampler for this row, from x at times[0] on."""
    net = row.net
    label, last = start.label(net), not start.draw_last
    diffusion = net.denoiser.diffusion
    if net.orders:
        return sample_in_order(
            diffusion, remembering(net, net.denoiser, net.T), x, times, order=row.order,
            label=label, generator=generator, likeliest_last=last,
        )  # fmt: skip
    guidance = start.guidance if row.guidance is None else row.guidance
    denoiser = remembering((net, guidance), guided_belief(net.belief, guidance), net.T)
    return sample_discrete(
        diffusion, denoiser, x, times, label=label, generator=generator, likeliest_last=last
    )


class _Planted(NamedTuple):
    """Errors of a run: where they are, and the states with and without them, [B, H, W]."""

    where: torch.Tensor
    spoilt: torch.Tensor
    before: torch.Tensor


def _stops(start: Start, row: Row) -> Iterator[tuple[DiscreteStep | UnmaskStep, _Planted]]:
    """The run's steps, each with the errors planted so far."""
    net = row.net
    generator = torch.Generator().manual_seed(start.seed)
    x_T = net.denoiser.diffusion.prior_sample((start.count, *net.shape), generator)
    times = times_of(net, start.steps)
    at = min(start.planted_at, len(times) - 2)
    none = _Planted(torch.zeros(x_T.shape, dtype=torch.bool), x_T, x_T)
    steps = walk(row, x_T, times[:-1], start, generator)
    if not start.planted:
        yield from ((step, none) for step in steps)
        return
    yield from ((step, none) for step in itertools.islice(steps, at))
    # What the network says of the picture without errors is forgotten: it is asked again.
    before = next(steps).x_t
    chance = torch.Generator().manual_seed(PLANT_SEEDS + start.seed)
    spoilt, where = plant_errors(before, start.planted, net.levels, net.mask, chance)
    there = _Planted(where, spoilt, before)
    yield from ((step, there) for step in walk(row, spoilt, times[at:-1], start, generator))


def _row(start: Start, row: Row) -> Iterator[Shot]:
    still = torch.zeros((start.count, *row.net.shape), dtype=torch.bool)
    history, kept = still.to(torch.uint8), still
    last: DiscreteStep | UnmaskStep | None = None
    was: _Planted | None = None
    for step, planted in _stops(start, row):
        happened = Moves(still, still, still)
        if last is not None and last.x0_probs is not None:
            came = step.x_t if planted is was else planted.before  # errors are no moves of the run
            happened = moves(last.x_t, came, last.x0_probs, row.net.mask)
            history = history + happened.changed
        kept = (kept if planted is was else planted.where) & (step.x_t == planted.spoilt)
        back = planted.where & (step.x_t == planted.before)
        yield _shot(row.net, step, last, happened, history, planted.where, kept, back)
        last, was = step, planted


def _shot(
    net: Net,
    step: DiscreteStep | UnmaskStep,
    last: DiscreteStep | UnmaskStep | None,
    happened: Moves,
    history: torch.Tensor,
    planted: torch.Tensor,
    kept: torch.Tensor,
    back: torch.Tensor,
) -> Shot:
    said = step.x0_probs
    if said is None:  # t = 0: nobody is asked, and what was said last is shown
        assert last is not None
        said = last.x0_probs
        assert said is not None
    most, x0 = said.max(-1)
    chance = 1 / net.levels
    sure = (255 * ((most - chance) / (1 - chance)).clamp(0, 1)).round().to(torch.uint8)
    asked = torch.ones_like(planted) if net.mask is None else step.x_t == net.mask
    if net.mask is not None and net.about.kernel != "absorbing":
        asked = torch.ones_like(planted)  # a token that is shown may still be replaced
    return Shot(
        step.x_t.to(torch.int16).numpy(),
        x0.to(torch.int16).numpy(),
        sure.numpy(),
        (asked & (step.x0_probs is not None)).numpy(),
        math.nan if step.x0_probs is None else float(entropy_bits(said).mean()),
        *(float(kind.sum()) / len(kind) for kind in happened),
        history.numpy(),
        (happened.unmasked | happened.changed).numpy(),
        planted.numpy(),
        kept.numpy(),
        back.numpy(),
    )


# --- what the player shows ------------------------------------------------------------------------


def sheet(images: np.ndarray, gap: int = 1) -> np.ndarray:
    """Lay out uint8 [n, B, H, W, 3] as n square sheets, black lines between the pictures."""
    n, count, height, width, channels = images.shape
    side = round(count**0.5)
    padded = np.pad(images, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)))
    grid = padded.reshape(n, side, side, height + gap, width + gap, channels)
    joined = grid.transpose(0, 1, 3, 2, 4, 5).reshape(
        n, side * (height + gap), side * (width + gap), channels
    )
    return np.ascontiguousarray(joined[:, : joined.shape[1] - gap, : joined.shape[2] - gap])


def _stacked(shots: Sequence[Shot], key: str) -> np.ndarray:
    return np.stack([getattr(shot, key) for shot in shots])


def panel(title: str, alt: str, images: np.ndarray, color: str, row: int) -> Panel:
    """A sheet; its colours mean no numbers, so none is told when a pixel is pointed at."""
    return Panel(title, alt, sheet(images), color, row, lo=0, hi=0)


def x_panel(net: Net, shots: Sequence[Shot], row: int, of: str = "") -> Panel:
    """The states, [MASK] in its own colour."""
    what = "$x_t$: the tokens so far" if net.about.tokens else "$x_t$: the picture so far"
    images = net.cells(_stacked(shots, "x"))
    return panel(what, f"the noisy {net.element}s{of}", images, "xt", row)


def x0_panel(net: Net, shots: Sequence[Shot], row: int, of: str = "") -> Panel:
    """The likeliest clean state of each element, as what it depicts."""
    images = np.stack([net.pictures(shot.x0) for shot in shots])
    title = "$\\hat x_0$: the likeliest states"
    if net.about.tokens:
        title = "$\\hat x_0$: the likeliest tokens, decoded"
    return panel(title, f"the likeliest clean pictures{of}", images, "x0", row)


KNOWN = rgb(COLORS["xt"])
"""Colour of an element that the network is no longer asked about."""


def sure_panel(net: Net, shots: Sequence[Shot], row: int, of: str = "") -> Panel:
    """How sure the network is of each element that it is asked about."""
    images = CONFIDENCE[_stacked(shots, "sure")]
    images = np.where(_stacked(shots, "open")[..., None], images, KNOWN)
    alt = f"the network's confidence for each {net.element}{of}: light is sure, gray is known"
    return panel("confidence", alt, net.enlarge(images), "p", row)


HISTORY = {
    "never": (0, rgb("#000000")),
    "once": (1, rgb(COLORS["x0"], share=0.55)),
    "2 or 3 times": (2, rgb(COLORS["x0"])),
    "4 to 7 times": (4, rgb(COLORS["eps"])),
    "more often": (8, rgb(COLORS["eps"], "#ffffff", 0.65)),
}
"""How many changes: from how many on, and the colour."""


def history_panel(net: Net, shots: Sequence[Shot], row: int, of: str = "") -> Panel:
    """How often each element has changed its mind."""
    limits = [first for first, _ in HISTORY.values()]
    colors = np.stack([color for _, color in HISTORY.values()])
    images = colors[np.digitize(_stacked(shots, "history"), limits) - 1]
    alt = f"how often each {net.element} has changed{of}: black never, blue seldom, orange often"
    return panel("changes so far", alt, net.enlarge(images), "bits", row)


PLANTED = np.stack([rgb(COLORS["bits"]), rgb(COLORS["q"], "#ffffff", 0.25)])
"""Colours of a planted error: still there, changed since."""


def planted_panel(net: Net, shots: Sequence[Shot], row: int, of: str = "") -> Panel:
    """The planted errors on a dimmed picture."""
    images = net.colors[_stacked(shots, "x")] // 3
    where, kept = _stacked(shots, "planted"), _stacked(shots, "kept")
    images[where & kept], images[where & ~kept] = PLANTED[0], PLANTED[1]
    alt = f"the planted errors{of}: red where still there, green where changed since"
    return panel("planted errors", alt, net.enlarge(images), "bits", row)


def captions(
    shots: Sequence[Sequence[Shot]], start: int, times: Sequence[int], Ts: Iterable[int] = ()
) -> list[str]:
    """One line per stop; where the rows differ in T (`Ts`), time is told as a share of it."""
    total, several = len(times), sorted(set(Ts))
    told = []
    for i, t in enumerate(times[start : start + len(shots)]):
        now = f"t = {t}" if len(several) < 2 else f"t/T = {1 - (start + i) / (total - 1):.2f}"
        step = f"step {start + i} of {total - 1}"
        told.append(f"{now} · {step}" if t else done_in(total - 1))
    return told


def told(shot: Shot, net: Net) -> str:
    """What happened in the step that led here, in words."""
    unmasked, changed, renoised = (  # rounded as the player rounds its curves: halves up
        f"{math.floor(10 * value + 0.5) / 10:.1f}"
        for value in (shot.unmasked, shot.changed, shot.renoised)
    )
    parts = []
    if net.mask is not None:
        parts.append(f"{unmasked} unmasked")
    if net.about.kernel != "absorbing":
        parts += [f"{changed} changed", f"{renoised} of them re-noised"]
    return f"In this step, per picture: {', '.join(parts)}."


def draw_one(shots: Sequence[Sequence[Shot]], start: int, times: Sequence[int], net: Net) -> Frames:
    """One run: states, belief, confidence, and what each step does."""
    own = [shot[0] for shot in shots]
    moved = MOVED.format(net.element)
    curves = [Curve("still open", _numbers(own, "entropy"), "p", ENTROPY.format(net.element), 0)]
    if net.mask is not None:
        curves.append(Curve("unmasked", _numbers(own, "unmasked"), "x0", moved, 0, digits=1))
    if net.about.kernel != "absorbing":
        curves += [
            Curve("changed", _numbers(own, "changed"), "eps", moved, 0, digits=1),
            Curve("re-noised", _numbers(own, "renoised"), "bits", moved, 0, digits=1),
        ]
    notes = ["" if start + i == 0 else told(shot, net) for i, shot in enumerate(own)]
    panels = [x_panel(net, own, 0), x0_panel(net, own, 0), sure_panel(net, own, 0)]
    return Frames(panels, captions(shots, start, times), curves, notes=notes)


def draw_compared(
    shots: Sequence[Sequence[Shot]], start: int, times: Sequence[int], rows: Sequence[Row]
) -> Frames:
    """Several runs: states and how often each element has changed."""
    panels: list[Panel] = []
    curves: list[Curve] = []
    for index, row in enumerate(rows):
        own, of = [shot[index] for shot in shots], f" of {row.name}"
        # Nobody sees a digit in tokens, so they are shown decoded, too.
        decoded = [x0_panel(row.net, own, index, of)] if row.net.about.tokens else []
        panels += [x_panel(row.net, own, index, of), *decoded]
        panels.append(history_panel(row.net, own, index, of))
        color = ROW_COLORS[index % len(ROW_COLORS)]
        mean = np.array([shot.history.mean() for shot in own])
        curves.append(Curve(row.name, mean, color, CHANGED.format("element"), 0))
    for index, row in enumerate(rows):
        own = [shot[index] for shot in shots]
        color = ROW_COLORS[index % len(ROW_COLORS)]
        entropy = _numbers(own, "entropy")
        curves.append(Curve(row.name, entropy, color, ENTROPY.format("element"), 0))
    return Frames(panels, captions(shots, start, times, (row.net.T for row in rows)), curves)


def draw_planted(
    shots: Sequence[Sequence[Shot]], start: int, times: Sequence[int], rows: Sequence[Row], at: int
) -> Frames:
    """Several runs with errors: states, and what became of the errors."""
    panels: list[Panel] = []
    curves: list[Curve] = []
    for index, row in enumerate(rows):
        own, of = [shot[index] for shot in shots], f" of {row.name}"
        panels += [x_panel(row.net, own, index, of), planted_panel(row.net, own, index, of)]
        left = np.array([share(shot.kept, shot.planted) for shot in own])
        color = ROW_COLORS[index % len(ROW_COLORS)]
        curves.append(Curve(row.name, 100 * left, color, KEPT, 0, 100, digits=0))
    notes = ["The errors are in." if start + i == at else "" for i in range(len(shots))]
    said = captions(shots, start, times, (row.net.T for row in rows))
    return Frames(panels, said, curves, notes=notes)


def share(part: np.ndarray, whole: np.ndarray) -> float:
    """Share of the whole, NaN of nothing."""
    return float(part.sum() / whole.sum()) if whole.any() else math.nan


def _numbers(own: Sequence[Shot], key: str) -> np.ndarray:
    return np.array([getattr(shot, key) for shot in own])
