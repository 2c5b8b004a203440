"""Can a picture guide a diffusion model, and is what comes out what was asked for?"""

from __future__ import annotations

import hashlib

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.ilvr import (
    gaussian_denoiser,
    given_coarse,
    ilvr,
    ilvr_law,
    ilvr_step,
    low_pass,
)
from pages.shared import bench, chapter, ilvr_views, ilvr_world, load
from pages.shared.canvas import canvas
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.ilvr_world import (
    BARE,
    BLOCKS,
    BY_BLOCK,
    BY_END,
    COUNT,
    ENDS,
    FREE,
    GRAY,
    HELD,
    KNOWING,
    LEFT,
    NOISY,
    PIXEL_STEPS,
    STEPS,
    TOLD_EIGHT,
    WALKERS,
    WIDTHS,
    WITHOUT_NOISE,
    Asked,
    Pixels,
)
from pages.shared.player import follow, player, session_runs

PICTURES = {"digit": "A digit", "drawn": "A drawing", "pixels": "Two pixels"}
DIGITS = tuple("0123456789")
NETWORK = "digits-eps"
NOISES = {"noise": "with the noise of t", "none": "without noise"}
LOOK = (
    "All walks end on the line of the right mean gray. But ILVR’s stand higher up on it than the "
    "true ones, nearer to the average of all data, and are spread wider; where the denoiser is "
    "told φ(y), the average is right."
)
COARSE = 4
"""Blocks of so many pixels a side and more leave gray squares where they are held to the end."""
NAMES = {0: "0 (never)", FREE: f"{FREE:,} (none held)"}
DEFAULTS = {
    "ilpic": "digit",
    "ildigit": "3",
    "ilblock": 4,
    "ilheld": 0,
    "iltold": "none",
    "ilvariant": 2,
    "ilnoise": "noise",
    "ilseed": 0,
}


@st.fragment
def exhibit() -> None:
    """Samples that are held to the coarse part of a reference, and a question about them."""
    above = st.container()
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    kind = row.segmented_control(
        "Reference", list(PICTURES), key="ilpic", default="digit", required=True,
        bind="query-params", format_func=PICTURES.get, width="content",
    )  # fmt: skip
    with above:
        (ask_of_the_split if kind == "pixels" else ask_of_digits)()
        chapter.look()
    if kind == "pixels":
        return on_two_pixels(until(row))
    if kind == "digit":
        digit = row.selectbox("Digit", DIGITS, 3, key="ildigit", bind="query-params", width=80)
    N = row.select_slider(
        "Block N", BLOCKS, 4, key="ilblock", bind="query-params", width=112,
        help="The means of N × N pixels are held. 1 holds every pixel, 28 the mean gray alone.",
    )  # fmt: skip
    last = until(row)
    told = row.selectbox(
        "Class told", ("none", *DIGITS), key="iltold", bind="query-params", width=96
    )
    if kind == "drawn":
        beside, stage = st.columns([1, 4], gap="small")
        with beside.container(width=180):
            reference = canvas(key="il_drawn", initial=load.gallery_digit(3, 1))
    else:
        stage = st.container()
    with st.expander("More: how the reference is noised, other noise"):
        left, right = st.columns(2, gap="large")
        noised, seed = noise_of(left, right)
        if kind == "digit":
            variant = right.number_input("Variant", 1, 6, 2, key="ilvariant", bind="query-params")
            reference = load.gallery_digit(int(digit), variant - 1)
    with stage:
        on_digits(reference, Asked(N, last, None if told == "none" else int(told), noised, seed))
    return None


def ends() -> str:
    """Where two pixels end, and where they should."""
    (left, right, _), true = ilvr_world.law(0, True)[:, -1], ilvr_world.true_law()[:, -1]
    return (
        f"With standard deviations of {WIDTHS[0]:g} and {WIDTHS[1]:g}, and their mean held to "
        f"the end at {GRAY:g}, they should be {true[0]:.2f} and {true[1]:.2f} on average, and are "
        f"{left:.2f} and {right:.2f}."
    )


def ask_of_digits() -> None:
    """What exchanging block means does to all the rest of a picture."""
    off = f"For digits nobody knows the right answer, for two pixels there is a formula. {ends()}"
    chapter.question(
        "Digits are held to a picture’s block means at every step. Are they fair samples of all "
        "digits with those means?",
        {
            "Yes": "Held to the end, the means are exact, but the rest is proposed by a denoiser "
            f"that is not told of them. {off} To put the coarse part right is not to tell the "
            "denoiser of it.",
            "The means are right, the rest is not": "Held to the end, the means are exact. But how "
            f"they are filled in is proposed by a denoiser that is not told of them. {off}",
            "The means are off, too": "Held to the end, the last step exchanges them for the "
            f"reference’s own, so they are exact. What is off is how they are filled in. {off}",
        },
        answer="The means are right, the rest is not",
        state={"ilpic": "pixels"},
        look=LOOK,
    )


def ask_of_the_split() -> None:
    """How two pixels share the mean that is held."""
    why = (
        "The denoiser is not told of the mean. It takes what xₜ shows of it for noise in part, and "
        f"leans to the average of all data, where both are 0. {ends()}"
    )
    chapter.question(
        f"Left varies much, right little; their mean is held at {GRAY:g}. Most of that should be "
        "left’s doing. Does ILVR share it out so?",
        {
            "Yes": f"Not quite: too evenly. {why}",
            "No, too evenly": why,
            "No, too unevenly": f"The other way round. {why}",
        },
        answer="No, too evenly",
    )


def until(row: DeltaGenerator) -> int:
    """The last t that is held."""
    return row.select_slider(
        "Hold down to t", HELD, 0, key="ilheld", bind="query-params", width=160,
        format_func=lambda t: "none" if t == FREE else f"{t}",
        help="Block means are exchanged after every step to this t or above; the steps below are "
        "free. At 0 all are held.",
    )  # fmt: skip


def noise_of(left: DeltaGenerator, right: DeltaGenerator) -> tuple[bool, int]:
    """Whether the reference gets noise, and the seed of all noise."""
    noise = left.segmented_control(
        "The reference is put in", list(NOISES), key="ilnoise", default="noise", required=True,
        bind="query-params", format_func=NOISES.get,
    )  # fmt: skip
    return noise == "noise", right.number_input(
        "Seed", 0, 9999, 0, key="ilseed", bind="query-params"
    )


def on_digits(reference: np.ndarray, asked: Asked) -> None:
    """Digits held to one reference."""
    denoiser, card = load.network_or_stop(NETWORK)
    picture = hashlib.blake2b(reference.tobytes(), digest_size=8).hexdigest()
    live = session_runs().open(
        repr(("ilvr", card.fields["sha256"], picture, asked)),
        lambda: ilvr_world.held(denoiser, reference, asked),
        STEPS + 1,
    )
    stops = bench.stops(denoiser, STEPS)
    follow(
        live,
        lambda shots, start: ilvr_views.digit_frames(shots, start, stops, reference, asked),
        key="il_picture", scale=4, autoplay=True, hold=True, report_frame=False, rest=STEPS,
        charts_last=True, ends=("noise", "picture"), label="Digits held to a picture",
    )  # fmt: skip
    st.caption(said_of(asked))


def said_of(asked: Asked) -> str:
    """What is shown of digits, and what the charts count."""
    until = ilvr_views.UNTIL.get(asked.last, f"until t = {asked.last}")
    told = "not told a class" if asked.told is None else f"told to draw {asked.told}"
    noise = "with the noise of that step" if asked.noised else "without noise"
    sheets = (
        "Both sheets are of one run. "
        if asked == asked.usual()
        else "The two sheets are two runs from the same noise, which differ in what is said above "
        "them, and in nothing else. "
    )
    used = "" if asked.last == FREE else ": all that is used of y"
    return (
        f"y is the reference; φ(y) is y with each {asked.N} × {asked.N} block replaced by its "
        f"mean{used}. {COUNT} digits, DDPM, {STEPS} steps; the network is {told}. "
        + ("No block means are exchanged. " if asked.last == FREE else
           f"After every step, {until}, their block means are exchanged for those of y {noise}. ")
        + sheets
        + what_remains(asked)
    )  # fmt: skip


def what_remains(asked: Asked) -> str:
    """What is seen at the end, "" where nothing is left over."""
    if asked.last == FREE:
        return "The distance does not go to 0, as all steps are free."
    if asked.last > 0:
        return "The distance does not go to 0, as the last steps are free."
    squares = (
        "Gray squares: ink that a block must keep and the digit has no use for; held down to "
        "t = 100 they go."
    )
    return squares if asked.N >= COARSE else ""


def on_two_pixels(last: int) -> None:
    """Two Gaussian pixels, where the right answer has a formula."""
    stage, beside = st.columns([3, 2], gap="medium")
    with st.expander("More: how the reference is noised, other noise"):
        noised, seed = noise_of(*st.columns(2, gap="large"))
    told = Pixels(*ilvr_world.two_pixels(last, noised, seed))
    frames = ilvr_views.pixel_frames(told)
    with stage:
        player(
            [], key="il_pixels", total=len(frames.captions), captions=frames.captions,
            curves=frames.curves, clouds=frames.clouds, scale=13, autoplay=True, hold=True,
            report_frame=False, charts_last=True, rest=len(frames.captions) - 1,
            ends=("noise", "data"), label="Two pixels held to their mean",
        )  # fmt: skip
    beside.markdown(
        f"A picture of **two pixels**: left, standard deviation {WIDTHS[0]:g}, and right, "
        f"{WIDTHS[1]:g}; both are 0 on average (gray shade: all data with the noise of t). φ takes "
        f"their mean, and the reference’s is φ(y) = {GRAY:g}: the slanting line, "
        f"√ᾱ · {GRAY:g} at t.\n\n"
        "Standing on the line, each with a stem at its average: how far along it pictures lie. "
        "Purple, **ILVR**, held "
        + ("to the end" if last == 0 else "at no step" if last == FREE else
           f"until t = {last}, then let go")
        + ": its denoiser is the best for all data. Red, **told**: the same walk, with the best "
        "denoiser for data whose mean gray is φ(y). Green, dashed, **true**: "
        "p(x | φ(x) = φ(y)), with noise to match.\n\n"
        "Numbers: their averages, left and right. All three are exact (told: in 1,000 steps); "
        f"dots are {WALKERS} of ILVR’s walks, {PIXEL_STEPS} steps each."
    )  # fmt: skip


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown, to stand between two paragraphs."""
    lines = [head, ("---:",) * len(head), *rows]
    return "\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n"


def confusions() -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    (left, right, spread), true = ilvr_world.law(0, True)[:, -1], ilvr_world.true_law()[:, -1]
    early, late = (ilvr_world.law(t, True)[:, -1] for t in (100, 250))
    four, free = BY_BLOCK[4], BY_END[FREE]
    by_block = [
        (f"{N}", f"{m.recognised:.0%}", f"{m.variety:.2f}", f"{m.faint:.0%}")
        for N, m in BY_BLOCK.items()
    ]
    by_end = [
        (NAMES.get(t, f"{t}"), f"{m.recognised:.0%}", f"{m.gap:.2f}", f"{m.faint:.0%}")
        for t, m in BY_END.items()
    ]
    return [
        Confusion(
            "Can a picture guide instead of a class, and does that need training?",
            "It can, and needs none: any network that removes noise will do. The block means are "
            "the reference’s, with the noise of the step; the detail within the blocks is the "
            f"network’s. Of sixty digits for twenty references, N = 4, {four.recognised:.0%} are "
            f"recognised as the reference’s digit; of as many with nothing held, "
            f"{free.recognised:.0%}.",
            {"ilheld": FREE},
            "First sheet: all the digits have the block means on the left, and no two are the "
            "same. Second: the same noise, nothing held: any digits.",
        ),
        Confusion(
            "Does ILVR sample p(x | φ(x) = φ(y))?",
            "No, not even with an exact denoiser. Take two independent Gaussian pixels, the left "
            f"one with a standard deviation of {WIDTHS[0]:g}, the right one of {WIDTHS[1]:g}. If "
            f"their mean gray is known to be {GRAY:g}, they are {true[0]:.2f} and {true[1]:.2f} "
            f"on average. ILVR ends at {left:.2f} and {right:.2f}: the mean gray is exact, the "
            "split is not, and left minus right has a standard deviation of "
            f"{spread:.2f} instead of {true[2]:.2f}. The exchange puts the coarse part right. But "
            "the detail is proposed by a denoiser that sees xₜ only: it takes the coarse part "
            "there for a noisy one, though φ(y) is known exactly, and leans to the average "
            "picture. It follows ∇ log q(xₜ); of the right score, ∇ log q(xₜ) + "
            "∇ log p(φ(y)|xₜ), the second part is missing (Video Diffusion Models, section 3.1). "
            "With it, that is with a denoiser told φ(y), 1,000 steps end at "
            f"{KNOWING[0]:.2f}, {KNOWING[1]:.2f} and {KNOWING[2]:.2f}. Without it more steps "
            f"don’t help: 1,000 end at {ENDS[1000][0]:.2f} and {ENDS[1000][1]:.2f}, and the "
            "standard deviation gets worse: "
            f"{ENDS[25][2]:.2f} in 25 steps, {ENDS[100][2]:.2f} in 100, {ENDS[1000][2]:.2f} in "
            "1,000.",
            {"ilpic": "pixels"},
            LOOK,
        ),
        Confusion(
            "What does N decide?",
            "How much of the reference is kept. Of sixty digits each, held to the end, with φ of "
            "N × N pixels:"
            + table(
                ("N", "recognised as the reference’s", "squared difference of two", "faint pixels"),
                by_block,
            )
            + "The difference is the mean over pixels, which run from −1 to 1, of two digits for "
            "one reference; faint pixels are neither ink nor black, 1.5 to 25 % of white. At 1 "
            "nothing is left to the network, at 28 all but the mean gray. With nothing "
            f"held two digits differ by {free.variety:.2f}.",
            {"ilblock": 7},
            "Sixteen blocks are held. Ink is where the reference has it, but most of the digits "
            "are others.",
            threads=["jychoi118/ilvr_adm#29"],
        ),
        Confusion(
            "Which steps should be held? And where do the gray specks come from?",
            "The specks come from holding on to the end. Whatever the network wants, every block "
            "keeps its mean; ink that a digit has no use for is left over as gray. The last steps "
            "need not be held. Of sixty digits, N = 4, let go at t:"
            + table(
                ("let go at t", "recognised as the reference’s", "block means off, rms",
                 "faint pixels"),
                by_end,
            )
            + "The last hundred of 1,000 can go almost for nothing, and the specks with them; who "
            "lets go at 500 loses likeness. In the paper, too, N and the range of steps decide how "
            "alike it gets. With two pixels it is another matter: let go at 100, they are "
            f"{early[0]:.2f} and {early[1]:.2f} on average instead of {left:.2f} and {right:.2f}, "
            f"at 250 {late[0]:.2f} and {late[1]:.2f}: the walk forgets. It remembers what xₜ "
            "shows, and of two pixels the noise of t leaves little; of the mean of sixteen, and of "
            "a digit with 49 such blocks, it leaves enough.",
            {"ilheld": 100},
            "First sheet: specks. Second: let go at t = 100, it is nearly clean. The first chart "
            "pays for it: the distance does not go to 0.",
            threads=["jychoi118/ilvr_adm#29"],
        ),
        Confusion(
            "Why is noise put on the reference?",
            "Because the network expects noise everywhere in xₜ: without it the blocks’ means "
            "are too clean. For two pixels and an exact denoiser it hardly matters. The noise is "
            "fresh at every step, and what it does to the detail cancels: the means are the same "
            f"without it, and the spread is {BARE[100]:.3f} instead of {NOISY[100]:.3f}. With "
            f"fewer steps less cancels: in 25 it is {BARE[25]:.3f} instead of {NOISY[25]:.3f}, in "
            f"1,000 there is no difference left in the third decimal. Of sixty digits, N = 4, "
            f"{WITHOUT_NOISE.recognised:.0%} are recognised instead of {four.recognised:.0%}: with "
            "sixty of each that is within chance.",
            {"ilnoise": "none"},
            "First sheet: the reference with noise. Second: without. Hardly anything changes.",
        ),
        Confusion(
            "What if φ is a bicubic resize? And at the picture’s edge?",
            "One exchange leaves (φ − φφ) of the difference between reference and proposal. Block "
            "means keep the second time what they kept the first, φφ = φ, so nothing is left. A "
            "bicubic shrink and enlargement blurs again what is blurred: N = 4, of twenty digits "
            f"exchanged for another twenty’s, {LEFT['bicubic']:.0%} of the coarse difference is "
            f"left (root mean square), of bilinear ones {LEFT['bilinear']:.0%}. A second "
            "exchange would leave less, but after the last step there is none. At the edge such a "
            "kernel hangs over and is cut off. Blocks have no such edge, but must tile the "
            "picture: here N divides 28.",
            {"ilblock": 4},
            "Charts, at the end: block means off by 0.00.",
        ),
    ]  # fmt: skip


def page() -> None:
    """Lay out the page."""
    chapter.header("ILVR", defaults=DEFAULTS)
    chapter.prose(
        term("ILVR")
        + ", iterative latent variable refinement, guides by a coarse picture: after every step of "
        "the walk back, the means of N × N pixels are exchanged for a reference’s, with as much "
        "noise. They are all that it uses: at N = 4, 7 × 7 numbers. Nothing is trained for it."
    )
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(low_pass, ilvr_step, ilvr)
    formula_and_code(gaussian_denoiser, given_coarse, ilvr_law, under="Two pixels")

    chapter.why(confusions())
    chapter.try_this(
        [
            Experiment(
                "A three, told to be an eight",
                "eights where the three’s ink is. The first sheet is let go at 250, too, but told "
                "nothing. Of sixty pictures that are told to be eights, held to digits of all "
                f"kinds, {TOLD_EIGHT:.0%} of those that are held to no eight are recognised as "
                "eights.",
                {"ilblock": 7, "ilheld": 250, "iltold": "8"},
            ),
            Experiment(
                "Hold every pixel",
                "N = 1: nine times the reference. From the first exchange on, every xₜ is the "
                "reference with the noise of t; what the network sees in it comes out of a blur.",
                {"ilblock": 1},
            ),
            Experiment(
                "Hold the mean gray alone",
                "N = 28: digits of many classes, all with as much ink as the reference has; and "
                "what ink is lacking is spread as gray.",
                {"ilblock": 28},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Choi et al. 2021, ILVR: Conditioning Method for Denoising Diffusion "
                   "Probabilistic Models", "algorithm 1; section 3",
                   "https://arxiv.org/abs/2108.02938"),
            Source("Ho et al. 2022, Video Diffusion Models",
                   "section 3.1: why exchanging a part of xₜ is not conditioning on it",
                   "https://arxiv.org/abs/2204.03458"),
        ]
    )  # fmt: skip
    load.settle()


page()
