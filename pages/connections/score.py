"""What is the score, and where does following it lead?"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.mixtures import draw_x0, mixture_denoiser, mixture_log_density, mixture_score
from diffusion_core.score import (
    annealed_langevin,
    flow_step,
    langevin,
    langevin_rest,
    langevin_variance,
    pair_score,
    reverse_sde_step,
    score,
    sliced_distance,
    tweedie,
)
from diffusion_core.score_matching import learn_score, matching_errors
from diffusion_core.score_walks import legs, noise_seen, score_walk
from pages.shared import chapter, load, score_digits, score_noise, score_views, score_world
from pages.shared.chapter import Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.player import follow, player, session_runs
from pages.shared.score_facts import AT, LEARNT, LEVEL, NOISY, WALK, Facts, ended, facts, pulled
from pages.shared.score_lessons import confusions
from pages.shared.score_world import COUNTED, DATA, LEVELS, LOOKS, PLACE_TIMES, STEPS, Place, Walks

VIEWS = {
    "walks": "Three walks",
    "place": "One place",
    "noise": "How much noise",
    "learn": "Learning",
    "digits": "Digits",
}
LOOKED_AT = (50, 200, 400, 700)
DEFAULTS = {
    "scview": "walks",
    "scdata": "two",
    "scsteps": WALK,
    "sclevel": LEVEL,
    "scseed": 0,
    "scx": AT[0],
    "scy": AT[1],
    "sct": 200,
    "sccalls": 20,
    "scrate": score_digits.RATE,
    "scdigit": "each",
    "scnoise": "right",
    "sceta": score_noise.ETA,
}
ABOUT = {
    "walks": "Three walks follow it: the **SDE**’s down all noise levels with fresh noise, the "
    "**ODE**’s down them without, **Langevin**’s at one level, or, set to “falling”, down them, "
    "too.",
    "place": "A noisy point stays where it is. Each clean point that it may have come from pulls "
    "at it, and the score is the average of the pulls.",
    "noise": "Langevin’s walk on a line: a step η up the score of p, then noise c z, again and "
    "again. T = c²/(2η) is its **temperature**: at T = 1 it should end in p; the colder it is, the "
    "nearer it keeps to the peaks.",
    "learn": "A small network learns the score as you look, from draws of the data and noise.",
    "digits": "The same walks along a network’s score, from one noise and with as many calls each; "
    "here Langevin’s goes down the levels, too.",
}


@st.fragment
def exhibit(told: Facts) -> None:
    """Five views of the score, each with its question."""
    above = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "Look at", list(VIEWS), key="scview", default="walks", required=True,
            bind="query-params", format_func=VIEWS.get, width="content", wrap=True,
        )  # fmt: skip
        second = st.container(width="content")
        third = st.container(width="content")
    if view in {"digits", "noise"}:
        with above:
            ask(view, "", told)
        if view == "digits":
            return score_digits.on_digits(second)
        return score_noise.how_much_noise(second, third)
    data = second.segmented_control(
        "Data", list(DATA), key="scdata", default="two", required=True,
        bind="query-params", format_func=DATA.get, width="content",
    )  # fmt: skip
    with above:
        ask(view, data, told)
    stage = st.container()
    with st.expander("More: other noise" if view != "walks" else "More: steps, other noise"):
        left, right = st.columns(2, gap="large")
        seed = left.number_input("Seed", 0, 9999, 0, key="scseed", bind="query-params")
        if view == "walks":
            steps = right.select_slider("Steps", STEPS, WALK, key="scsteps", bind="query-params")
    if view == "walks":
        three_walks(data, steps, seed, third, stage)
    elif view == "place":
        one_place(data, seed, third, stage)
    else:
        learning(data, seed, third, stage)
    return None


def ask(view: str, data: str, told: Facts) -> None:
    """What a view shows, and its question."""
    chapter.prose(ABOUT[view])
    if view == "walks":
        (ask_of_groups if data == "two" else ask_of_no_groups)(data, told)
    elif view == "place":
        ask_of_one_place(data)
    else:
        {"noise": score_noise.ask, "learn": ask_of_learning, "digits": score_digits.ask}[view]()
    chapter.look()


def ask_of_groups(_: str, told: Facts) -> None:
    """Whether the shares of groups that lie apart come out right."""
    chapter.question(
        "One part in five of the data is at the lower left. Which of the three walks, "
        f"Langevin’s staying at t = {LEVEL} ({WALK} steps), end with that share?",
        {
            "All three": "All follow the exact score. But Langevin’s stays at one noise level, and "
            f"ends with {told.share[2]:.0%} at the lower left: between groups that are far apart "
            "the score says nothing about their shares.",
            "The two that go down the noise levels": f"{told.share[0]:.0%} with fresh noise, "
            f"{told.share[1]:.0%} without, of {COUNTED['two']:,} walkers. The shares are settled "
            f"while there is much noise and the groups overlap; at t = {LEVEL} Langevin’s walk "
            "never sees that.",
            "Only the one with fresh noise": "It needs none: without it "
            f"{told.share[1]:.0%} end at the lower left. Half of the score’s part "
            "and no noise lead through the same clouds.",
        },
        answer="The two that go down the noise levels",
    )


def ask_of_no_groups(data: str, told: Facts) -> None:
    """Whether the same walk is found out on data that lie all around."""
    sde, ode, alone = ended(data)
    found = (
        f"It ends {alone:.2f} from the data, the others {sde:.2f} and {ode:.2f}; one true set of "
        f"{COUNTED[data]:,} in ten lies farther away than "
        f"{score_world.TELLABLE[data]:.2f}."
    )
    chapter.question(
        f"These data lie all around the middle, as the noise does. In {WALK} steps, does the walk "
        f"that stays at t = {LEVEL} end where they are?",
        {
            "Yes, as near as the others": f"{found} The walkers begin all around, and each finds "
            "data near by. It is not cured: nothing here gives it away.",
            "No, elsewhere": f"{found} It knows shares no better than before, but the "
            "walkers begin with about the right ones. With two groups "
            f"{told.share[2]:.0%} end at the lower left, where {told.low:.0%} of the data are.",
        },
        answer="Yes, as near as the others",
    )


def ask_of_one_place(data: str) -> None:
    """How long the average of pulls is that disagree."""
    pull, each = pulled(data)
    found = f"At t = 200 single pulls are {each:.2f} long on average, their mean {pull:.2f}."
    near, one = pulled(data, 40)
    chapter.question(
        "At t = 200, at (−0.1, −0.1): is the score, the average of the pulls, as strong as single "
        "ones are?",
        {
            "About as strong": f"Only if they agreed. {found} This xₜ may have come from many "
            "places, and what they do not agree on drops out.",
            "Much weaker": f"{found} This xₜ may have come from many places, and what they do not "
            "agree on drops out. Go on to t = 40: the places lie close together now, and the mean "
            f"is {near / one:.0%} as long as single pulls.",
            "Stronger: they add up": f"An average, not a sum. {found}",
        },
        answer="Much weaker",
    )


def ask_of_learning() -> None:
    """What is left of the loss."""
    loss, floor, share = LEARNT
    found = (
        f"With two groups it comes to rest at {loss:.3f}; the exact answer has {floor:.3f} on the "
        "same draws, since which noise was drawn is not written in xₜ."
    )
    chapter.question(
        "The network learns well. What becomes of its loss?",
        {
            "It goes to 0": f"It can’t. {found}",
            "It stops far above 0": f"{found} Purple is what can still be learnt, and small as it "
            f"is, it shows: {share:.0%} of the walks end at the lower left, where one part in "
            "five of the data is.",
            "It falls, then rises": "Not here: every step sees fresh draws, there is nothing to "
            f"learn by heart. {found}",
        },
        answer="It stops far above 0",
    )


def three_walks(
    data: str, steps: int, seed: int, third: DeltaGenerator, stage: DeltaGenerator
) -> None:
    """With fresh noise, without, and Langevin's, from one start."""
    level = third.select_slider(
        "Langevin's noise level t", LEVELS, LEVEL, key="sclevel", bind="query-params", width=210,
        format_func=lambda t: str(t) if t else "falling",
        help="The first two walks go down all noise levels. Langevin's stays at this one, or, as "
        "“falling”, goes down with them.",
    )  # fmt: skip
    told = Walks(*score_world.walks(data, steps, level, seed))
    frames = score_views.walk_frames(told, data, steps, level)
    with stage:
        player(
            [], key="sc_walks", total=steps + 1, captions=frames.captions, curves=frames.curves,
            clouds=frames.clouds, scale=19, autoplay=True, hold=True, report_frame=False,
            charts_last=True, rest=steps, ends=("noise", "data"),
            label="Three walks, from noise to data",
        )  # fmt: skip
        st.caption(
            f"Counted: {COUNTED[data]:,} walkers from one noise, along the exact score; drawn: "
            f"{score_world.WALKERS}. Green: the density of the noisy data at a walk’s level; "
            "arrows: which way it grows, long ones cut to one length. "
            + (
                "Lower left: below the dashed line; noise carries some across, so that the right "
                "share is 0.5 at first. "
                if data == "two"
                else ""
            )
            + "Distance: how far points would have to move (sliced Wasserstein); of sets of true "
            f"draws one in ten ends farther away than {score_world.TELLABLE[data]:.2f}."
        )


def one_place(data: str, seed: int, third: DeltaGenerator, stage: DeltaGenerator) -> None:
    """The pulls of single pairs at one x_t, and their average."""
    with third.container(horizontal=True, gap="small"):
        x, y = (
            st.slider(f"xₜ, {way}", -2.5, 2.5, at, 0.1, key=key, bind="query-params", width=150)
            for way, at, key in (("across", AT[0], "scx"), ("up", AT[1], "scy"))
        )
    told = Place(*score_world.place(data, x, y, seed))
    frames = score_views.place_frames(told, data, x, y)
    with stage:
        player(
            [], key="sc_place", total=len(PLACE_TIMES), captions=frames.captions,
            curves=frames.curves, clouds=frames.clouds, scale=21, hold=True, report_frame=False,
            frame=PLACE_TIMES.index(NOISY), charts_last=True,
            ends=("t = 1000", "t = 1"), label="One place, from much noise to none",
        )  # fmt: skip
        st.caption(
            f"Each of the {score_world.ARROWS} thin arrows goes from xₜ to √ᾱ x₀, for an x₀ that "
            "it may have been: it is −σε of that pair. Thick: their exact average, −σε̂, which is "
            "σ² times the score. Its tip is √ᾱ x̂₀."
        )


def learning(data: str, seed: int, third: DeltaGenerator, stage: DeltaGenerator) -> None:
    """A network trained while one looks on."""
    level = third.select_slider(
        "Arrows at t", LOOKED_AT, 200, key="sct", bind="query-params", width=180
    )
    live = session_runs().open(
        repr(("score", data, level, seed)),
        lambda: score_world.lessons(data, level, seed),
        LOOKS + 1,
    )
    with stage:
        follow(
            live,
            lambda lessons, start: score_views.lesson_frames(lessons, start, data, level),
            key="sc_learn", scale=21, autoplay=True, hold=True, report_frame=False,
            charts_last=True, rest=LOOKS, ends=("not trained", "1,500 steps"),
            label="A network learns the score",
        )  # fmt: skip
        st.caption(
            "Trained as you look, from nothing, on this machine: four small layers. The loss "
            "is measured on 8,192 draws that it is not trained with; “best possible” is that of "
            "the exact answer on the same draws. Its walks are without noise, in 40 steps; to end "
            "at a group is to end within three of its widths."
        )


def page() -> None:
    """Lay out the page."""
    told = Facts(*facts())
    chapter.header("Score", defaults=DEFAULTS)
    chapter.prose(
        "The "
        + term("score")
        + " is an arrow at every point: the way in which the noisy data get denser. A denoiser "
        "knows it: −ε̂/σ, with σ = √(1−ᾱ)."
    )
    exhibit(told)

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(score, reverse_sde_step, flow_step, langevin)
    formula_and_code(
        mixture_log_density, mixture_denoiser, annealed_langevin, sliced_distance,
        under="The exact score, falling Langevin and the distance",
    )  # fmt: skip
    formula_and_code(pair_score, tweedie, draw_x0, under="At one place")
    formula_and_code(langevin_rest, langevin_variance, mixture_score, under="How much noise")
    formula_and_code(matching_errors, learn_score, under="A network learns it")
    formula_and_code(legs, score_walk, noise_seen, under="With digits")

    chapter.why(confusions(told))
    chapter.try_this(
        [
            Experiment(
                "Take ten steps instead of sixty",
                "the walk with fresh noise is the first to suffer: "
                f"{told.short[0]:.2f} from the data, where the one without is {told.short[1]:.2f} "
                "away. Both leave the groups too narrow: a long step is made of one look at "
                "the score.",
                {"scsteps": 10},
            ),
            Experiment(
                "A ring of eight equal groups",
                "now Langevin’s walk at t = 20 looks right: the groups are equal, and each is as "
                "near as its neighbours. It is not cured; nothing here gives it away.",
                {"scdata": "ring"},
            ),
            Experiment(
                "Watch a network learn a spiral",
                "after 300 steps two of three walks end on the spiral and the rest between its "
                "windings; in the end nine of ten do. Fine structure is in the score at low noise "
                "only, and is learnt last.",
                {"scview": "learn", "scdata": "spiral", "sct": 50},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Song & Ermon 2019, Generative Modeling by Estimating Gradients of the Data "
                   "Distribution", "eq. 4, algorithm 1; section 3.2.2: why not without noise",
                   "https://arxiv.org/abs/1907.05600"),
            Source("Song et al. 2021, Score-Based Generative Modeling through Stochastic "
                   "Differential Equations", "eq. 4, 6: ancestral sampling, the SDE; eq. 13: ODE; "
                   "section 4.2: predictor and corrector",
                   "https://arxiv.org/abs/2011.13456"),
            Source("Vincent 2011, A Connection Between Score Matching and Denoising Autoencoders",
                   "section 4.2", "https://doi.org/10.1162/NECO_a_00142"),
            Source("Efron 2011, Tweedie’s Formula and Selection Bias", "eq. 1.4",
                   "https://doi.org/10.1198/jasa.2011.tm11181"),
        ]
    )  # fmt: skip
    load.settle()


page()
