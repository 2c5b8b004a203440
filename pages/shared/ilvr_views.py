"""The view of guidance by a picture: ILVR's controls, what is shown, and what people ask."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.shared import ilvr_world, load
from pages.shared.canvas import canvas
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.cloud import Cloud
from pages.shared.ilvr_world import BLOCKS, HELD, MEASURED, REACH, STEPS, Asked, Pixels, Shot
from pages.shared.player import Curve, Frames, Panel, follow, player, session_runs

PICTURES = {"digit": "A digit", "drawn": "A drawing", "pixels": "Two pixels"}
DIGITS = tuple("0123456789")
NETWORK = "digits-eps"
DEFAULTS = {
    "gupic": "digit",
    "gublock": 4,
    "gudigit": "3",
    "guvariant": 2,
    "guheld": 0,
    "gutold": "none",
    "gunoise": "noise",
}
NOISES = {"noise": "with the noise of t", "none": "without noise"}


def by_a_picture(second: DeltaGenerator) -> None:
    """Samples that are held to the coarse part of a reference."""
    row = second.container(horizontal=True, vertical_alignment="bottom", gap="small")
    kind = row.segmented_control(
        "Reference", list(PICTURES), key="gupic", default="digit", required=True,
        bind="query-params", format_func=PICTURES.get, width="content",
    )  # fmt: skip
    if kind == "pixels":
        return on_two_pixels()
    digit = "3"
    if kind == "digit":
        digit = row.selectbox("Digit", DIGITS, 3, key="gudigit", bind="query-params", width=80)
    N = row.select_slider(
        "Block N", BLOCKS, 4, key="gublock", bind="query-params", width=170,
        help="The means of N × N pixels are held. 1 holds every pixel, 28 the mean gray alone.",
    )  # fmt: skip
    if kind == "drawn":
        beside, stage = st.columns([1, 5], gap="small")
        with beside:
            reference = canvas(key="gu_drawn", initial=load.gallery_digit(3, 1))
    else:
        stage = st.container()
    with st.expander("More: until when, which class, other noise"):
        left, right = st.columns(2, gap="large")
        if kind == "digit":
            variant = left.number_input("Variant", 1, 6, 2, key="guvariant", bind="query-params")
            reference = load.gallery_digit(int(digit), variant - 1)
        told = right.selectbox(
            "Class told", ("none", *DIGITS), key="gutold", bind="query-params"
        )  # fmt: skip
        last, noised, seed = how_it_is_held(left, right)
    asked = Asked(N, last, None if told == "none" else int(told), noised, seed)
    with stage:
        on_digits(reference, asked)
    return None


def how_it_is_held(left: DeltaGenerator, right: DeltaGenerator) -> tuple[int, bool, int]:
    """The last t that is held, whether the reference gets noise, and the seed."""
    last = left.select_slider("Held until t", HELD, 0, key="guheld", bind="query-params")
    noise = right.segmented_control(
        "The reference is put in", list(NOISES), key="gunoise", default="noise", required=True,
        bind="query-params", format_func=NOISES.get,
    )  # fmt: skip
    seed = left.number_input("Seed", 0, 9999, 0, key="guseed", bind="query-params")
    return last, noise == "noise", seed


def on_digits(reference: np.ndarray, asked: Asked) -> None:
    """Sixteen digits held to one reference."""
    denoiser, card = load.network_or_stop(NETWORK)
    picture = hashlib.blake2b(reference.tobytes(), digest_size=8).hexdigest()
    live = session_runs().open(
        repr(("ilvr", card.fields["sha256"], picture, asked)),
        lambda: ilvr_world.held(denoiser, reference, asked),
        STEPS + 1,
    )
    stops = ilvr_world.bench.stops(denoiser, STEPS)
    follow(
        live,
        lambda shots, start: digit_frames(shots, start, stops, reference, asked),
        key="gu_picture", scale=3, autoplay=True, hold=True, report_frame=False, rest=STEPS,
        charts_last=True, ends=("noise", "picture"), label="Digits held to a picture",
    )  # fmt: skip
    until = "to the end" if asked.last == 0 else f"until t = {asked.last}"
    st.caption(
        f"Left: the reference y, and φ(y), the means of its {asked.N} × {asked.N} pixels. "
        f"{ilvr_world.COUNT} digits from their own noise, DDPM, {STEPS} steps, x̂₀ clipped; after "
        f"every step, {until}, their block means are exchanged for those of y "
        + ("with the noise of that step." if asked.noised else "without noise.")
        + " Chart: how far the digits seen are from φ(y), and how different they are."
    )


def digit_frames(
    shots: Sequence[Shot], start: int, stops: Sequence[int], reference: np.ndarray, asked: Asked
) -> Frames:
    """The reference, what is held of it, and the digits."""
    fixed = np.repeat(ilvr_world.both(reference, asked.N)[None], len(shots), 0)
    panels = [
        Panel("y, φ(y)", "the reference, and under it its block means", fixed, "q"),
        Panel("$x_t$: the pictures so far", "the noisy pictures",
              np.stack([s.x_t for s in shots]), "xt"),
        Panel("$\\hat x_0$: the digits seen in it", "the digits that the network sees in them",
              np.stack([s.x0 for s in shots]), "x0"),
    ]  # fmt: skip
    curves = [
        Curve("rms", np.array([s.gap for s in shots]), "p", "φ(x̂₀) off φ(y)", 0, 1),
        Curve("x̂₀", np.array([s.variety for s in shots]), "x0",
              "variety: mean squared difference of two", 0, 0.6),
    ]  # fmt: skip
    total = len(stops) - 1
    captions = [
        f"t = {t} · step {start + i} of {total}" if t else f"t = 0 · done in {total} steps"
        for i, t in enumerate(stops[start : start + len(shots)])
    ]
    return Frames(panels, captions, curves)


def on_two_pixels() -> None:
    """Two Gaussian pixels, where the right answer has a formula."""
    stage = st.container()
    with st.expander("More: until when, other noise"):
        last, noised, seed = how_it_is_held(*st.columns(2, gap="large"))
    frames = pixel_frames(Pixels(*ilvr_world.two_pixels(last, noised, seed)))
    with stage:
        player(
            [], key="gu_pixels", total=len(frames.captions), captions=frames.captions,
            curves=frames.curves, clouds=frames.clouds, scale=21, autoplay=True, hold=True,
            report_frame=False, charts_last=True, rest=len(frames.captions) - 1,
            ends=("noise", "data"), label="Two pixels held to their mean",
        )  # fmt: skip
        st.caption(
            "Pictures of two pixels: across, the left one (standard deviation "
            f"{ilvr_world.WIDTHS[0]:g}), up, the right one ({ilvr_world.WIDTHS[1]:g}). Their mean "
            f"gray is held at {ilvr_world.GRAY:g}: on a slanting line. The denoiser is exact, "
            f"{ilvr_world.PIXEL_STEPS} steps. Gray: the density of all noisy data. Right: draws "
            "from p(x | φ(x) = φ(y)), with noise put on to match. Arrows lead to the averages; "
            "these and the curves are exact."
        )


def pixel_frames(told: Pixels) -> Frames:
    """ILVR's walk beside the true law."""
    titles = (
        ("ILVR", "walks that are held to the mean gray of two pixels", "p"),
        ("True: drawn from p(x | φ(x) = φ(y))", "draws of the true law, with noise", "q"),
    )
    to = np.stack([told.left, told.right], 2)[:, :, None]
    averages = np.concatenate([np.zeros_like(to), to], 3)
    clouds = [
        Cloud(title, f"{alt}, over the density of all noisy data", points, color=color,
              extent=REACH, density=ilvr_world.shades(), shade="xt", radius=2,
              strong=averages[k], pull=color)
        for k, ((title, alt, color), points) in enumerate(zip(titles, told.points, strict=True))
    ]  # fmt: skip
    curves = []
    for k, (name, color) in enumerate((("ILVR", "p"), ("true", "q"))):
        dash = "5 5" if k else ""
        mean, wide = "mean of each pixel: left above, right below", "spread of left − right"
        curves += [
            Curve(f"{name}, left", told.left[k], color, mean, 0, 1.6, dash=dash),
            Curve(f"{name}, right", told.right[k], color, mean, 0, 1.6, dash=dash),
            Curve(name, told.spread[k], color, wide, 0, 1.5, dash=dash),
        ]
    captions = [f"t = {t}" if t else "t = 0 · done" for t in ilvr_world.shown()]
    return Frames([], captions, sorted(curves, key=lambda c: c.chart), clouds=clouds)


def confusions() -> list[Confusion]:
    """What people ask of ILVR, each with a setting that shows the answer."""
    (left, right, spread), true = ilvr_world.law(0, True)[:, -1], ilvr_world.true_law()[:, -1]
    bare, fine = ilvr_world.law(0, False)[2, -1], ilvr_world.IN_ALL_STEPS
    two, four, seven, gray, free, short, clean = (
        MEASURED[key]
        for key in ("N = 2", "N = 4", "N = 7", "N = 28", "free", "N = 7 to 250",
                    "N = 4 without noise")
    )  # fmt: skip
    return [
        Confusion(
            "Can a picture guide instead of a class, and does that need training?",
            "It can, and needs none. " + term("ILVR") + " takes any network that removes noise. "
            "After each step the means of N × N pixels are exchanged for those of a reference "
            "with the noise of that step; the detail within the blocks is the network’s. Of sixty "
            "digits for twenty references, N = 4, the network not told the class, "
            f"{four.recognised:.0%} are recognised as the reference’s digit; of as many with "
            f"nothing held, {free.recognised:.0%}.",
            {"guview": "picture"},
            "Sixteen digits that all have the block means on the left. No two are the same.",
        ),
        Confusion(
            "Is ILVR Bayes: does it sample p(x | φ(x) = φ(y))?",
            "No, not even with an exact denoiser. Take two independent Gaussian pixels, the left "
            f"one with a standard deviation of {ilvr_world.WIDTHS[0]:g}, the right one of "
            f"{ilvr_world.WIDTHS[1]:g}. If their mean gray is known to be {ilvr_world.GRAY:g}, "
            f"they are {true[0]:.2f} and {true[1]:.2f} on average. ILVR ends at {left:.2f} and "
            f"{right:.2f}: the mean gray is exact, the split is not, and left minus right has a "
            f"standard deviation of {spread:.2f} instead of {true[2]:.2f}. Each step puts the "
            "coarse part right, but the detail is proposed from a coarse part with noise on it, "
            "which tells less than the clean one, so the proposal leans towards the average "
            "picture. When the coarse part has become clear, there is little noise left to move "
            f"the detail with. More steps hardly help: all 1,000 end at {fine[0]} and {fine[1]}.",
            {"guview": "picture", "gupic": "pixels"},
            "Both clouds end on the line where the mean gray is right. The purple one lies higher "
            "up on it, as the arrows show; the second chart: it is spread wider along it.",
        ),
        Confusion(
            "What does N decide?",
            "How much of the reference is kept. In sixty digits each, the reference’s digit is "
            f"recognised in {two.recognised:.0%} at N = 2, {four.recognised:.0%} at 4, "
            f"{seven.recognised:.0%} at 7 and {gray.recognised:.0%} at 28, where only the mean "
            "gray is held. The mean squared difference of two digits for one reference goes the "
            f"other way: {two.variety:.2f}, {four.variety:.2f}, {seven.variety:.2f}, "
            f"{gray.variety:.2f}; with nothing held it is {free.variety:.2f}.",
            {"guview": "picture", "gublock": 7},
            "Sixteen blocks are held. Ink is where the reference has it, but most of the digits "
            "are others.",
        ),
        Confusion(
            "Why is noise put on the reference?",
            "Because the network expects noise everywhere in xₜ: without it the blocks’ means "
            "would be too clean. But a mean of N × N pixels holds only 1/N² of their noise’s "
            "variance, so that leaving it out is hard to see. Two pixels end at the same means, "
            f"with a spread of {bare:.3f} instead of {spread:.3f}; of sixty digits, N = 4, "
            f"{clean.recognised:.0%} are recognised instead of {four.recognised:.0%}, which is "
            "within chance.",
            {"guview": "picture", "gunoise": "none"},
            "Held to a reference without noise. Hardly anything changes.",
        ),
        Confusion(
            "Where do the gray specks come from?",
            "From holding on to the end. Whatever the network wants, the mean of every block is "
            "that of the reference; where a digit has no use for a block’s ink, it is left over as "
            f"gray. At N = 7, {seven.faint:.0%} of all pixels are faint, neither black nor ink; "
            f"if the last 250 of 1,000 steps are free, {short.faint:.0%}, as where nothing is "
            "held. The paper, too, stops before the end where less likeness is wanted.",
            {"guview": "picture", "gublock": 7, "guheld": 250},
            "The digits are clean. The first chart pays for it: the distance does not go to 0.",
        ),
    ]  # fmt: skip


def experiments() -> list[Experiment]:
    """Something to try."""
    eight = MEASURED["N = 7 to 250, an eight"]
    return [
        Experiment(
            "A three, told to be an eight",
            f"eights where the three’s ink is. {eight.told:.0%} of sixty are recognised as eights "
            "if every reference is told to be one.",
            {"guview": "picture", "gublock": 7, "guheld": 250, "gutold": "8"},
        )
    ]


def sources() -> list[Source]:
    """Where it is from."""
    return [
        Source("Choi et al. 2021, ILVR: Conditioning Method for Denoising Diffusion Probabilistic "
               "Models", "algorithm 1; section 3", "https://arxiv.org/abs/2108.02938"),
        Source("Ho et al. 2022, Video Diffusion Models",
               "section 3.1: why exchanging a part of xₜ is not conditioning on it",
               "https://arxiv.org/abs/2204.03458"),
    ]  # fmt: skip
