"""What does a schedule decide?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from diffusion_core.drawn import Point, from_points, mend_points, read_points, write_points
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.published import straight_betas
from diffusion_core.schedules import (
    SCHEDULES,
    NoiseSchedule,
    counted_up,
    evenly_spaced,
    nearest_snr,
    rescale_zero_terminal_snr,
    respace_with_picked_betas,
    step_back_spread,
)
from pages.shared import chapter, load
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.curve_editor import curve_editor
from pages.shared.explain import formula_and_code
from pages.shared.pictures import as_bytes, choose_picture, shown_steps
from pages.shared.player import Curve, Panel, player
from pages.shared.schedule_ends import BRIGHTNESS, ENDS, NETWORKS, VIEWS, left_of, signed

DRAWN = "drawn"
UNSCALED = "linear_unscaled"
RECIPES = {**SCHEDULES, UNSCALED: straight_betas}
NAMES = {
    UNSCALED: "linear, β as for T = 1000",
    "log_snr_linear": "straight in log-SNR",
    DRAWN: "drawn by you",
}
"""What a picture's title says for the names that only code would choose."""
SAME_T, SAME_SNR, FEWER = "same t", "same SNR", "fewer steps"
PICKED, UP = "picked betas", "steps from 1 up"
KEPT = (2, 5, 10, 20, 50, 100, 200)
DEFAULTS = {
    "nview": "two",
    "nside": 28,
    "schedule_a": "linear",
    "schedule_b": "cosine",
    "match": SAME_T,
    "kept": 50,
    "beside": PICKED,
    "points": "0.25:0.95,0.5:0.6,0.75:0.1,1:0",
    "zero_b": False,
    "source": "gallery",
    "digit": 3,
    "variant": 1,
    "T": 1000,
    "seed": 0,
}
PLACE = "_schedules_place"
"""Session key: where on the timeline a "Show me" wants to be, as a share of the way."""
REST = 0.4
"""Where the timeline comes to rest: there two schedules differ most visibly."""
SNR_CHART = "log-SNR (nats)"
SIGNAL_CHART = "signal √ᾱ that is left"
BETA_CHART = "β, noise of one step"


class Shown(NamedTuple):
    """Two pictures over the frames, and what is true of the schedules there.

    Attributes:
        frames: uint8 [n, H, W(, 3)] each: left, right, and how far they are apart.
        steps: [n] int64 each: the step that left and right show.
        alpha_bar, log_snr, beta: [n] float64 each, left and right; NaN where there is no value.
        snr: [n] float64, left and right.
        apart: [n] mean distance of the pixels.
    """

    frames: tuple[np.ndarray, np.ndarray, np.ndarray]
    steps: tuple[np.ndarray, np.ndarray]
    alpha_bar: tuple[np.ndarray, np.ndarray]
    snr: tuple[np.ndarray, np.ndarray]
    log_snr: tuple[np.ndarray, np.ndarray]
    beta: tuple[np.ndarray, np.ndarray]
    apart: np.ndarray


def schedule_of(recipe: str, T: int, zero: bool = False) -> NoiseSchedule:
    """A schedule by its name in the menu, or from the text of a drawn one."""
    schedule = RECIPES[recipe](T) if recipe in RECIPES else from_points(read_points(recipe), T)
    return rescale_zero_terminal_snr(schedule) if zero else schedule


@st.cache_data(max_entries=64, show_spinner=False)
def two_schedules(
    pixels: bytes, shape: tuple[int, ...], a: str, b: str, zero_b: bool, T: int, seed: int,
    by_snr: bool,
) -> tuple[object, ...]:  # fmt: skip
    """One picture with one noise under two schedules, at equal steps or at equal SNR: a `Shown`.

    A plain tuple, because a page is a script, whose classes can't be kept between runs.
    """
    left, right = schedule_of(a, T), schedule_of(b, T, zero_b)
    t = shown_steps(T, shape)
    s = nearest_snr(right, left.log_snr[t]) if by_snr else t
    return tuple(noised(pixels, shape, seed, left, right, t, s))


@st.cache_data(max_entries=64, show_spinner=False)
def two_respacings(
    pixels: bytes, shape: tuple[int, ...], a: str, n: int, T: int, seed: int, beside: str
) -> tuple[object, ...]:
    """One picture under n of T steps, beside a way to keep them that goes wrong: a `Shown`."""
    schedule = schedule_of(a, T)
    kept = evenly_spaced(T, n)[::-1]
    wrong = (
        respace_with_picked_betas(schedule, kept)
        if beside == PICKED
        else schedule.respace(counted_up(T, n)[::-1])
    )
    right = schedule.respace(kept)
    k = shown_steps(right.T, shape)
    return tuple(noised(pixels, shape, seed, right, wrong, k, k))


def noised(
    pixels: bytes, shape: tuple[int, ...], seed: int, left: NoiseSchedule, right: NoiseSchedule,
    left_steps: Tensor, right_steps: Tensor,
) -> Shown:  # fmt: skip
    """The picture at the given steps [n] of both schedules, with the same noise everywhere."""
    image = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(1, *shape)
    x0 = image.float() / 127.5 - 1
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed))
    one, other = (
        GaussianDiffusion(schedule).q_sample(
            x0.expand(len(steps), *shape), steps, eps.expand(len(steps), *shape)
        )
        for schedule, steps in ((left, left_steps), (right, right_steps))
    )
    far = (one - other).abs()
    sides = ((left, left_steps), (right, right_steps))
    return Shown(
        frames=(as_bytes(one), as_bytes(other), as_bytes(far - 1)),
        steps=(left_steps.numpy(), right_steps.numpy()),
        alpha_bar=_pair(schedule.alpha_bar[steps] for schedule, steps in sides),
        snr=_pair(schedule.snr[steps] for schedule, steps in sides),
        log_snr=_pair(finite(schedule.log_snr[steps]) for schedule, steps in sides),
        beta=_pair(schedule.beta[steps].where(steps > 0, torch.nan) for schedule, steps in sides),
        apart=far.flatten(1).mean(1).numpy(),
    )


def _pair(tables: object) -> tuple[np.ndarray, np.ndarray]:
    one, other = (table.numpy() for table in tables)  # type: ignore[attr-defined]
    return one, other


def finite(values: Tensor) -> Tensor:
    """Infinite entries as NaN, which a chart leaves out."""
    return torch.where(values.isfinite(), values, torch.nan)


def said(snr: float) -> str:
    """A signal-to-noise ratio as a caption has it."""
    return f"{snr:.3g}" if np.isfinite(snr) else "∞"


def drawing(text: str) -> tuple[list[Point], str]:
    """The points that a text stands for, and what had to be done to it; nothing typed is lost."""
    try:
        points, notes = mend_points(read_points(text))
    except ValueError as error:
        working = st.session_state.get("_drawing", DEFAULTS["points"])
        return read_points(working), f"The drawn curve can't be read. {error} The last one that " \
            "worked is used."  # fmt: skip
    st.session_state["_drawing"] = write_points(points)
    return points, " ".join(notes)


def draw_points(text: str) -> None:
    """Take the points that were moved by hand; the address follows."""
    st.session_state["points"] = text


@st.fragment
def exhibit() -> None:
    """Two schedules, or what the last steps of one do."""
    view = st.segmented_control(
        "Show", list(VIEWS), key="nview", default="two", required=True, bind="query-params",
        format_func=VIEWS.get, width="content", label_visibility="collapsed",
    )  # fmt: skip
    if view == "two":
        compared()
    else:
        ENDS[view]()


def compared() -> None:
    """The picture under two schedules, and the controls."""
    stage, controls = st.columns([8, 3], gap="small")  # the player's wide layout needs 640 px
    menu = [*RECIPES, DRAWN]
    with controls:
        a = st.selectbox("Schedule A", menu, key="schedule_a", bind="query-params")
        of_b, of_kept = st.container(key="of_b"), st.container(key="of_kept")
        match = st.segmented_control(
            "Compare", (SAME_T, SAME_SNR, FEWER), key="match", default=SAME_T, required=True,
            bind="query-params",
        )  # fmt: skip
        b = of_b.selectbox("Schedule B", menu, 1, key="schedule_b", bind="query-params")
        kept = of_kept.select_slider(
            "Steps that are kept", KEPT, 50, key="kept", bind="query-params"
        )
        # Hidden rather than left out or moved: a bound control that is unmounted loses its address.
        absent = "of_b" if match == FEWER else "of_kept"
        box = f'[data-testid="stLayoutWrapper"]:has(> .st-key-{absent})'
        st.html(
            f"<style>{box}, .st-key-{absent} {{ display: none; }}"
            " .st-key-match button { padding-inline: 0.6rem; }</style>"  # three in one line
        )
        place = st.container()
        with st.expander("More: steps, picture, zero SNR"):
            zero_b = st.toggle(
                "Rescale B to zero terminal SNR", key="zero_b", bind="query-params",
                help="The last step of B then holds no signal at all (Lin et al. 2023).",
                disabled=match == FEWER,
            )  # fmt: skip
            beside = st.segmented_control(
                "Fewer steps, beside", (PICKED, UP), key="beside", default=PICKED, required=True,
                bind="query-params", disabled=match != FEWER,
            )  # fmt: skip
            T = st.select_slider(
                "Number of steps T", [10, 100, 1000], value=1000, key="T", bind="query-params"
            )
            picture = choose_picture()
            seed = st.number_input("Seed", 0, 9999, 0, key="seed", bind="query-params")
            text = st.text_input(
                "The drawn curve, as t/T : ᾱ", DEFAULTS["points"], key="points",
                bind="query-params", max_chars=200,
            )  # fmt: skip
        points, note = drawing(text or "")
        with place:
            if DRAWN in ((a,) if match == FEWER else (a, b)):
                color = "q" if a == DRAWN else "xt"  # as its curves beside it
                curve_editor(points, key="curve_editor", on_text=draw_points, color=color)
            if note:
                st.warning(note, icon=":material/healing:")
    pixels = picture.pixels
    recipe_a, recipe_b = (write_points(points) if name == DRAWN else name for name in (a, b))
    with stage:
        if match == FEWER:
            told = two_respacings(pixels.tobytes(), pixels.shape, recipe_a, kept, T, seed, beside)
            show_fewer(Shown(*told), picture.about, a, kept, T, beside)
        else:
            by_snr = match == SAME_SNR
            told = two_schedules(
                pixels.tobytes(), pixels.shape, recipe_a, recipe_b, zero_b, T, seed, by_snr
            )
            names = named(a), f"{named(b)}, rescaled" if zero_b else named(b)
            show_schedules(Shown(*told), picture.about, *names, T, by_snr)


def named(schedule: str) -> str:
    """A schedule's name as a sentence has it."""
    return NAMES.get(schedule, schedule)


def show_schedules(shown: Shown, about: str, a: str, b: str, T: int, by_snr: bool) -> None:
    """Schedule A beside schedule B."""
    rows = zip(*shown.steps, *shown.snr, strict=True)
    captions = [
        f"SNR {said(one)} · A at t = {t}, B at t = {s}" if by_snr
        else f"t = {t} of {T} · SNR: A {said(one)}, B {said(other)}"
        for t, s, one, other in rows
    ]  # fmt: skip
    clock = "step t with this SNR" if by_snr else "ᾱ, share of the variance"
    first = shown.steps if by_snr else shown.alpha_bar
    timeline(
        shown,
        [f"A: {a}", f"B: {b}", "|A − B|"],
        [f"{about} under schedule A", f"{about} under schedule B", "distance of the two pictures"],
        [
            Curve("A", first[0], "q", clock, 0, T if by_snr else 1, 0 if by_snr else 3),
            Curve("B", first[1], "xt", clock, 0, T if by_snr else 1, 0 if by_snr else 3),
        ],
        ("A", "B"),
        captions,
        "Noising under two schedules",
    )
    worst = int(shown.apart.argmax())
    apart, t, s = shown.apart[worst], shown.steps[0][worst], shown.steps[1][worst]
    if by_snr:
        one, other = (snr[worst] for snr in shown.snr)
        ends_early = s == T and other > one
        why = "where B has ended" if ends_early else "as near as B's whole steps come"
        chapter.prose(
            f"**At the same SNR** the pixels of A and B differ by at most {apart:.3f} on average "
            f"(black to white is 2). That is at t = {t} of A and {s} of B: SNR {said(one)} and "
            f"{said(other)}, {why}."
        )
    else:
        chapter.prose(
            f"**At the same t** the pixels of A and B differ by up to {apart:.3f} on average "
            f"(black to white is 2). That is at t = {t}, where A has the SNR "
            f"{said(shown.snr[0][worst])} and B {said(shown.snr[1][worst])}."
        )


class Beside(NamedTuple):
    """Words for n kept steps beside another way to keep them.

    Attributes:
        titles: of the three pictures.
        labels: of the two curves.
        captions: one per frame.
        label: what a screen reader calls the timeline.
        badge: a warning over the second picture.
        sentence: what the last step is left with.
    """

    titles: list[str]
    labels: tuple[str, str]
    captions: list[str]
    label: str
    badge: str
    sentence: str


def respaced(n: int, T: int, a: str, asked: int, left: float, wrong: float) -> Beside:
    """Betas of their own beside betas picked from the long list; √ᾱ of both at the end."""
    kept = [0, *evenly_spaced(T, n)[::-1]]
    return Beside(
        ["betas of their own", "picked betas", "difference"],
        ("of their own", "picked"),
        [f"step {k} of {n}, which is t = {kept[k]}" for k in range(n + 1)],
        "Noising in fewer steps",
        "wrong on purpose" if asked < T else "",
        f"**{n} of the {T} steps of {named(a)}.** Betas of their own, 1 − ᾱₜ/ᾱₛ from each kept "
        f"step s to the next one t, end with {left:.2%} of the signal (√ᾱ), as all {T} steps do. "
        f"The betas picked from the long list end with {wrong:.2%}.",
    )


def counted(n: int, T: int, a: str, asked: int, left: float, right: float) -> Beside:
    """Steps counted down from T beside steps counted up from 1; √ᾱ of both at the end."""
    down, up = ([0, *steps(T, n)[::-1]] for steps in (evenly_spaced, counted_up))
    return Beside(
        ["from T down", "from 1 up", "difference"],
        ("from T down", "from 1 up"),
        [f"step {k} of {n} · t = {down[k]} beside t = {up[k]}" for k in range(n + 1)],
        "Noising in fewer steps, of two choices",
        "",
        f"**Sampling starts at the last of these {n} pictures, and puts pure noise in its place.** "
        f"With {named(a)}, steps counted down from T end at t = {down[-1]} with {left:.2%} of the "
        f"signal (√ᾱ); counted up from 1 they end at t = {up[-1]} with {right:.2%}. Noise has "
        "none: the network takes that for a picture in mid-gray, which is 0.",
    )


def show_fewer(shown: Shown, about: str, a: str, asked: int, T: int, beside: str) -> None:
    """Kept steps with betas of their own, beside picked betas or steps counted up from 1."""
    n = int(shown.steps[0][-1])
    left, right = (np.sqrt(alpha_bar) for alpha_bar in shown.alpha_bar)
    words = respaced if beside == PICKED else counted
    told = words(n, T, a, asked, float(left[-1]), float(right[-1]))
    one, other = told.labels
    timeline(
        shown,
        told.titles,
        [f"{about}, {one}", f"{about}, {other}", "distance of the two pictures"],
        [
            Curve(one, left, "q", SIGNAL_CHART, 0, 1, 3),
            Curve(other, right, "xt", SIGNAL_CHART, 0, 1, 3),
        ],
        told.labels,
        [told.captions[k] for k in shown.steps[0]],
        told.label,
        told.badge,
    )
    chapter.prose(too_many(asked, T) + told.sentence)


def too_many(asked: int, T: int) -> str:
    """What is said when more steps are to be kept than there are."""
    return f"There are only {T} steps, so all of them are kept. " if asked > T else ""


def timeline(
    shown: Shown, titles: list[str], alts: list[str], first: list[Curve], labels: tuple[str, str],
    captions: list[str], label: str, badge: str = "",
) -> None:  # fmt: skip
    """The player: three pictures and four charts."""
    place = st.session_state.pop(PLACE, None)
    n = len(captions)
    one, other = labels
    notes = [
        f"{one}: ᾱ {a[0]}, signal √ᾱ {a[1]} · {other}: ᾱ {b[0]}, √ᾱ {b[1]}"
        for a, b in zip(*(map(left_of, side) for side in shown.alpha_bar), strict=True)
    ]
    player(
        [
            Panel(titles[0], alts[0], shown.frames[0], "q"),
            Panel(titles[1], alts[1], shown.frames[1], badge=badge),
            Panel(titles[2], alts[2], shown.frames[2], lo=0, hi=2),
        ],
        curves=[
            *first,
            Curve(one, shown.log_snr[0], "q", SNR_CHART, high=144),
            Curve(other, shown.log_snr[1], "xt", SNR_CHART, high=144),
            Curve(one, shown.beta[0], "q", BETA_CHART, digits=5, log=True),
            Curve(other, shown.beta[1], "xt", BETA_CHART, digits=5, log=True),
            Curve(
                "difference",
                shown.apart,
                "xt",
                "mean distance of pixels",
                0,
                max(0.5, float(shown.apart.max())),
                3,
            ),
        ],
        key="schedules_player",
        scale=6,
        total=n,
        captions=captions,
        notes=notes,
        charts_last=True,
        ends=("the picture", "noise"),
        autoplay=place is None,
        rest=round(REST * (n - 1)),
        hold=place is None,
        frame=None if place is None else round(place * (n - 1)),
        report_frame=False,
        label=label,
    )


class Facts(NamedTuple):
    """The numbers in the prose, T = 1000."""

    linear_half: float
    cosine_half: float
    cosine_gain: float
    cosine_x0_gain: float
    linear_left: float
    linear_end: float
    picked_left: float
    picked_ten_left: float
    short_left: tuple[float, float]
    scaled_short_left: float
    start_left: tuple[float, float]
    linear_start_left: float
    first_agreed: float
    first_apart: float
    drops: tuple[float, float, float]


def root_left(schedule: NoiseSchedule, t: int) -> float:
    """The signal √ᾱ at a step."""
    return float(schedule.alpha_bar[t].sqrt())


def facts() -> Facts:
    """Compute them, in about a millisecond."""
    linear, cosine = SCHEDULES["linear"](1000), SCHEDULES["cosine"](1000)
    picked = [
        float(respace_with_picked_betas(linear, evenly_spaced(1000, n)[::-1]).alpha_bar[-1]) ** 0.5
        for n in (50, 10)
    ]
    log_snr = linear.log_snr
    nothing, last = torch.zeros(1, dtype=torch.float64), torch.tensor([1000])
    of_x0 = GaussianDiffusion(cosine).q_posterior(nothing, nothing + 1, last, last - 1)
    return Facts(
        linear_half=float(linear.snr[500]),
        cosine_half=float(cosine.snr[500]),
        cosine_gain=float((1 - cosine.beta[1000]) ** -0.5),
        cosine_x0_gain=float(of_x0.mean),
        linear_left=float(linear.alpha_bar[1000]) ** 0.5,
        linear_end=float(linear.snr[1000]),
        picked_left=picked[0],
        picked_ten_left=picked[1],
        short_left=(root_left(straight_betas(200), 200), root_left(straight_betas(100), 100)),
        scaled_short_left=root_left(SCHEDULES["linear"](100), 100),
        start_left=(
            root_left(cosine, counted_up(1000, 50)[0]),
            root_left(cosine, counted_up(1000, 5)[0]),
        ),
        linear_start_left=root_left(linear, counted_up(1000, 5)[0]),
        first_agreed=step_back_spread(cosine, 1000, 1.0),
        first_apart=step_back_spread(cosine, 1000, 0.0),
        drops=(
            float(log_snr[1] - log_snr[100]),
            float(log_snr[450] - log_snr[550]),
            float(log_snr[900] - log_snr[1000]),
        ),
    )


def page() -> None:
    """Lay out the page."""
    told = facts()
    ratio = told.cosine_half / told.linear_half
    chapter.header("Noise schedules", defaults=DEFAULTS)
    chapter.prose(
        "A noise schedule says how much of the picture is left at each step t. Here are two, on "
        "the same picture and with the same noise."
    )
    chapter.question(
        "Two schedules, both with T = 1000 steps. Are their pictures equally noisy at t = 500?",
        {
            "Yes, both are halfway": "Halfway in t is not halfway in noise. At t = 500 the "
            f"signal-to-noise ratio is {told.linear_half:.3f} with the linear schedule and "
            f"{told.cosine_half:.2f} with the cosine: {ratio:.0f} times as much. A schedule "
            "decides how noisy each step is.",
            "No": f"At t = 500 the linear schedule has a signal-to-noise ratio of "
            f"{told.linear_half:.3f}, the cosine {told.cosine_half:.2f}: {ratio:.0f} times as "
            "much. The number t says nothing by itself. Compare at the same SNR, and the two "
            "pictures become one.",
            "It depends on the picture": "The picture has no say: signal and noise are multiplied "
            "by √ᾱ and √(1−ᾱ), and these come from the schedule alone. At t = 500 their "
            f"ratio squared is {told.linear_half:.3f} (linear) or {told.cosine_half:.2f} (cosine).",
        },
        answer="No",
    )
    chapter.look()
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(
        NoiseSchedule.snr,
        nearest_snr,
        NoiseSchedule.respace,
        respace_with_picked_betas,
        rescale_zero_terminal_snr,
        straight_betas,
        counted_up,
    )

    early, middle, late = told.drops
    chapter.why(
        [
            Confusion(
                "A schedule is a list of betas, isn't it?",
                "That is how code stores it. What it decides is the sequence of "
                + term(
                    "signal-to-noise ratios",
                    "SNR(t) = ᾱ/(1−ᾱ): variance of the signal over variance of the noise",
                )
                + ". Here A and B are compared at the same SNR. The pictures agree, and so do the "
                "log-SNR curves; only the clock in the first chart runs differently. "
                "Change A and B: nothing but the clock and the size of the steps moves.",
                {"match": SAME_SNR, PLACE: 0.4},
                look="The black picture: at equal SNR, A and B are one. Then the first chart: the "
                "steps at which they get there differ.",
            ),
            Confusion(
                "I sample with 50 of 1000 steps. Can I use betas[t] of those 50?",
                "No. One long step has to add the noise of all the steps that it skips: "
                "β′ = 1 − ᾱₜ/ᾱₛ from one kept step s to the next one t. With 50 picked betas the "
                f"last picture still holds {told.picked_left:.0%} of the signal (√ᾱ), where all "
                f"1000 steps leave {told.linear_left:.2%}. A sampler that starts there from pure "
                "noise takes it for a picture of which most is still there.",
                {"match": FEWER, "schedule_a": "linear", "kept": 50, PLACE: 1.0},
                look="The last of 50 steps. With picked betas the digit is still there.",
                threads=["huggingface/diffusers#5130", "huggingface/diffusers#3006"],
            ),
            Confusion(
                "Why does sampling begin at 981 and not at 999?",
                "Because the 50 steps were counted up from 0 in strides of 20, and then turned "
                "round: 0, 20, … 980. Stable Diffusion’s settings add 1 (“leading”), which makes "
                "981; the steps t on this page are one more than the first list, and so begin at "
                "981, too. The noisiest pictures are never visited. But sampling puts pure noise "
                "where the training’s pictures still held some signal: with the cosine a √ᾱ of "
                f"{told.start_left[0]:.0%} for 50 steps, and {told.start_left[1]:.0%} for 5, which "
                "begin at t = 801. How much it matters is the schedule’s doing: at t = 801 the "
                f"linear one has {told.linear_start_left:.0%} left.",
                {"match": FEWER, "beside": UP, "schedule_a": "cosine", "kept": 50, PLACE: 1.0},
                look="The last of 50 pictures, where sampling starts: t = 1000 beside t = 981, and "
                "under the pictures what each has left.",
                threads=[
                    "huggingface/diffusers#2585",
                    "huggingface/diffusers#7401",
                    "CompVis/stable-diffusion#686",
                    "openai/improved-diffusion#44",
                    "Project-MONAI/MONAI#8600",
                ],
            ),
            Confusion(
                "In few steps my samples come out too bright. Can the timesteps do that?",
                "They can. A network that starts at t = 801 of the cosine expects a picture that "
                f"still has {told.start_left[1]:.0%} of its signal (√ᾱ). Pure noise has none, and "
                "the network takes the missing signal for a picture in mid-gray: that is 0, and "
                "a digit on black lies below. digits-v, in 5 steps from the same noise, makes "
                f"digits of a mean brightness of {signed(BRIGHTNESS['up'])} that way, fat and "
                f"misshapen ones, and of {signed(BRIGHTNESS['down'])} when the steps are counted "
                "down from T (“trailing”). With 1000 steps there would be no difference.",
                {"nview": "start"},
                look="The two rows, made from the same noise: below it the steps were counted up "
                "from 1.",
            ),
            Confusion(
                "I set T = 100 and kept β from 0.0001 to 0.02. Why are the samples bad?",
                "Because x_T is no noise then, and sampling starts from noise. ᾱ_T is about "
                "exp(−Σβ), and a tenth of the steps has a tenth of the sum: the signal (√ᾱ) that "
                f"is left is {told.short_left[0]:.0%} at T = 200 and {told.short_left[1]:.0%} at "
                f"T = 100, where T = 1000 leaves {told.linear_left:.1%}. Code that multiplies β by "
                f"1000/T keeps the sum, and {told.scaled_short_left:.1%} is left at T = 100. Below "
                "T = 20 that rule breaks, since β would pass 1. A sampler that takes 100 of 1000 "
                "trained steps is another case: it keeps the trained ᾱ, and nothing is rescaled.",
                {"schedule_a": "linear", "schedule_b": UNSCALED, "T": 100, PLACE: 1.0},
                look=f"The last step of 100. A is noise; B, with the ends of β kept, has ᾱ = "
                f"{told.short_left[1] ** 2:.3f}, a signal √ᾱ of {told.short_left[1]:.0%}, and "
                "still shows the digit.",
                threads=[
                    "zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#14",
                    "RosettaCommons/RFdiffusion#141",
                    "huggingface/diffusers#12341",
                    "NVlabs/I2SB#11",
                    "lucidrains/imagen-pytorch#161",
                ],
            ),
            Confusion(
                "Why is β cut off at 0.999?",
                "One step back divides by √(1−βₜ). The cosine reaches ᾱ = 0 at t = T, so its own "
                "last β would be 1, and that step would divide by zero. With the cap it multiplies "
                f"by 1/√(1−0.999) = {told.cosine_gain:.1f}: so much larger becomes what a network "
                "gets wrong that names ε. One that names x₀ is spared: the step multiplies the "
                f"error of an x̂₀ by {told.cosine_x0_gain:.2g}. That is one reason to clip x̂₀ to "
                "−1…1: the step then goes by x̂₀, and what ε̂ gets wrong is not multiplied.",
                {"schedule_a": "linear", "schedule_b": "cosine", PLACE: 1.0},
                look="β of B at the very end: it jumps to 0.999.",
                threads=["openai/guided-diffusion#42"],
            ),
            Confusion(
                "With β = 0.999 the first step back divides by √0.001. Doesn’t everything explode?",
                "It would, if ε̂ and x_T had nothing to do with each other: the mean after that "
                f"step would have the spread {told.first_apart:.1f}. But at T the picture is "
                "noise, so the right answer is ε̂ ≈ x_T, and of x_T − 0.999 x_T only a thousandth "
                f"is left to be divided: the spread is {told.first_agreed:.3f}. digits-v keeps to "
                f"that, at {NETWORKS['digits-v']}. What grows {told.cosine_gain:.1f} times is the "
                "error of ε̂ alone: digits-eps, slightly off, leaves a spread of "
                f"{NETWORKS['digits-eps']}.",
                {"nview": "back"},
                look="The four bars and their pictures: only noise that has nothing to do with x_T "
                "is blown up.",
                threads=["openai/guided-diffusion#42", "openai/improved-diffusion#105"],
            ),
            Confusion(
                "The last step is nearly pure noise. Why should it be exactly noise?",
                "Sampling starts from pure noise. Training with the linear schedule never shows "
                f"that: {told.linear_left:.2%} of the signal (√ᾱ) is left at T. The noise in the "
                "mean brightness of a million pixels is only 1/√1,000,000 = 0.10%, so a large "
                "picture still tells bright from dark. Rescaling takes that out (under “More” of "
                "“Two schedules”).\n\nThe price: x_T = ε, so at T a network that predicts ε "
                "copies its input and learns nothing about x₀. Going back, "
                "x̂₀ = (x_T − σ ε̂)/√ᾱ is 0/0, undefined. Predict x₀ or "
                + term("v", "v = √ᾱ ε − √(1−ᾱ) x₀; at ᾱ = 0 it is −x₀")
                + " instead.",
                {"nview": "large", "nside": 1024},
                look="Three bells, apart: a million pixels tell black from white at t = T. Pull "
                "the slider to 28, a digit’s size, and they are one.",
                threads=[
                    "a discussion of Lin et al. 2023, where 1/√ᾱ came out infinite",
                    "huggingface/diffusers#3851",
                    "huggingface/diffusers#5103",
                    "TiankaiHang/Min-SNR-Diffusion-Training#2",
                ],
            ),
            Confusion(
                "Is linear β a straight line in anything that matters?",
                "Only in β. What the network meets is the SNR, and the log-SNR of this schedule "
                f"falls by {early:.1f} "
                + term("nats", "units of the natural logarithm: 1 nat is a factor of e ≈ 2.72")
                + f" from t = 1 to 100, by {middle:.1f} from 450 to 550 and by {late:.1f} from 900 "
                "to 1000. The straight line in log-SNR is B here.",
                {"schedule_a": "linear", "schedule_b": "log_snr_linear", PLACE: 0.5},
                look="The log-SNR, the high chart: that of A is bent, that of B straight.",
            ),
        ]
    )
    chapter.try_this(
        [
            Experiment(
                "Compare at the same SNR",
                "the difference goes black: two schedules are two clocks for one process.",
                {"match": SAME_SNR, PLACE: 0.4},
            ),
            Experiment(
                "Draw a schedule of your own",
                "drag a point of the curve beside the picture: betas and clock of B follow. "
                "It can't be made to rise, since noise is only ever added.",
                {"schedule_b": DRAWN, PLACE: 0.4},
            ),
            Experiment(
                "Keep ten steps of a thousand",
                f"the ten picked betas leave {told.picked_ten_left:.0%} of the signal (√ᾱ); ten "
                f"betas of their own leave {told.linear_left:.2%}, as the whole chain does.",
                {"match": FEWER, "kept": 10, PLACE: 1.0},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Ho, Jain, Abbeel 2020, Denoising Diffusion Probabilistic Models",
                   "section 4 (linear), eq. 11 (one step back)", "https://arxiv.org/abs/2006.11239"),
            Source("Nichol, Dhariwal 2021, Improved DDPM",
                   "eq. 17 (cosine), eq. 19 (respacing)", "https://arxiv.org/abs/2102.09672"),
            Source("Kingma, Salimans, Poole, Ho 2021, Variational Diffusion Models",
                   "eq. 2 and section 5.1 (only the SNR counts)",
                   "https://arxiv.org/abs/2107.00630"),
            Source("Lin, Liu, Li, Yang 2023, Common Diffusion Noise Schedules and Sample Steps are "
                   "Flawed", "algorithm 1", "https://arxiv.org/abs/2305.08891"),
            Source("diffusers, issue 5130", "why not betas[t]",
                   "https://github.com/huggingface/diffusers/issues/5130"),
        ]
    )  # fmt: skip
    load.settle()


page()
