"""What does a schedule decide?"""

from __future__ import annotations

import streamlit as st

from diffusion_core.drawn import Point, mend_points, read_points, write_points
from diffusion_core.published import straight_betas
from diffusion_core.schedules import (
    NoiseSchedule,
    counted_up,
    nearest_snr,
    rescale_zero_terminal_snr,
    respace_with_picked_betas,
)
from pages.shared import chapter, load
from pages.shared.chapter import Experiment, Source
from pages.shared.curve_editor import curve_editor
from pages.shared.explain import formula_and_code
from pages.shared.pictures import choose_picture
from pages.shared.schedule_ends import ENDS, VIEWS
from pages.shared.schedule_facts import Facts, confusions, facts
from pages.shared.schedule_views import PLACE, named, show_fewer, show_schedules
from pages.shared.schedule_world import (
    DRAWN,
    FEWER,
    PICKED,
    RECIPES,
    SAME_SNR,
    SAME_T,
    UP,
    two_respacings,
    two_schedules,
)
from pages.shared.state import stop_looking

KEPT = (2, 5, 10, 20, 50, 100, 200)
DEFAULTS = {
    "nview": "two",
    "nside": 256,
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


def drawing(text: str) -> tuple[list[Point], str]:
    """The points that a text stands for, and what had to be done to it; nothing typed is lost."""
    try:
        points, notes = mend_points(read_points(text))
    except ValueError as error:
        working = st.session_state.get("_drawing", DEFAULTS["points"])
        note = f"The drawn curve can't be read. {error} The last one that worked is used."
        return read_points(working), note
    st.session_state["_drawing"] = write_points(points)
    return points, " ".join(notes)


def draw_points(text: str) -> None:
    """Take the points that were moved by hand; the address follows."""
    st.session_state["points"] = text


def ask(told: Facts) -> None:
    """The question of the first view."""
    ratio = told.cosine_half / told.linear_half
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


@st.fragment
def exhibit(told: Facts) -> None:
    """Two schedules, or what the last steps of one do; the question is about the first view."""
    above = st.container()
    view = st.segmented_control(
        "Show", list(VIEWS), key="nview", default="two", required=True, bind="query-params",
        format_func=VIEWS.get, width="content", label_visibility="collapsed",
        on_change=stop_looking,
    )  # fmt: skip
    with above:
        if view == "two":
            ask(told)
        chapter.look()
    {"two": compared, **ENDS}[view]()


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
    pixels = picture.pixels.tobytes(), picture.pixels.shape
    recipe_a, recipe_b = (write_points(points) if name == DRAWN else name for name in (a, b))
    with stage:
        if match == FEWER:
            shown = two_respacings(*pixels, recipe_a, kept, T, seed, beside)
            show_fewer(shown, picture.about, a, kept, T, beside)
        else:
            by_snr = match == SAME_SNR
            shown = two_schedules(*pixels, recipe_a, recipe_b, zero_b, T, seed, by_snr)
            names = named(a), f"{named(b)}, rescaled" if zero_b else named(b)
            show_schedules(shown, picture.about, *names, T, by_snr)


def page() -> None:
    """Lay out the page."""
    told = facts()
    chapter.header("Noise schedules", defaults=DEFAULTS)
    chapter.prose(
        "A noise schedule says how much of the picture is left at each step t, and how much noise "
        "is in it."
    )
    exhibit(told)

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

    chapter.why(confusions(told))
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
