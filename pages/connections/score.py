"""What is the score, and where does following it lead?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.mixtures import (
    GaussianMixture,
    draw_x0,
    mixture_denoiser,
    mixture_log_density,
    mixture_score,
    two_groups,
)
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
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.player import follow, player, session_runs
from pages.shared.score_world import DATA, LEVELS, LOOKS, PLACE_TIMES, STEPS, Place, Walks

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
    "scsteps": 60,
    "sclevel": 20,
    "scseed": 0,
    "scx": -0.1,
    "scy": -0.1,
    "sct": 200,
    "sccalls": 20,
    "scrate": score_digits.RATE,
    "scdigit": "each",
    "scnoise": "right",
    "sceta": score_noise.ETA,
}


ABOUT = {
    "walks": "Three walks follow it: the **SDE**’s down all noise levels with fresh noise, the "
    "**ODE**’s down them without, **Langevin**’s at one level throughout.",
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
            steps = right.select_slider("Steps", STEPS, 60, key="scsteps", bind="query-params")
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
        "One part in five of the data is at the lower left. Which walks end with the right shares?",
        {
            "All three": "All follow the exact score. But the third stays at one noise level, and "
            f"ends with {told.share[2]:.0%} at the lower left: between groups that are far apart "
            "the score says nothing about their shares.",
            "The two that go down the noise levels": f"{told.share[0]:.0%} with fresh noise, "
            f"{told.share[1]:.0%} without, of 300 walkers. The shares are settled while there is "
            "much noise and the groups overlap; the third walk never sees that.",
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
        f"{score_world.WALKERS} in ten lies farther away than "
        f"{score_world.TELLABLE[data]:.2f}."
    )
    chapter.question(
        "These data lie all around the middle, as the noise does. Does the walk that stays at "
        "t = 20 end where they are?",
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
    chapter.question(
        "At t = 200, at (−0.1, −0.1): is the score, the average of the pulls, as strong as single "
        "ones are?",
        {
            "About as strong": f"Only if they agreed. {found} This xₜ may have come from many "
            "places, and what they do not agree on drops out.",
            "Much weaker": f"{found} This xₜ may have come from many places, and what they do not "
            "agree on drops out. Towards t = 1 one is left, and the two are the same.",
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


@st.cache_data(max_entries=3, show_spinner=False)
def ended(data: str) -> list[float]:
    """How far from the data each of the walks ends, as the page opens."""
    far = Walks(*score_world.walks(data, DEFAULTS["scsteps"], DEFAULTS["sclevel"], 0)).far
    return [float(one[-1]) for one in far]


@st.cache_data(max_entries=3, show_spinner=False)
def pulled(data: str) -> tuple[float, float]:
    """At t = 200, as the view opens: length of the average pull, average length of the pulls."""
    told = Place(*score_world.place(data, DEFAULTS["scx"], DEFAULTS["scy"], 0))
    at = PLACE_TIMES.index(200)
    pull, each = (np.linalg.norm(a[at, :, 2:], axis=1) for a in (told.pull, told.signal))
    return float(pull.mean()), float(each.mean())


def three_walks(
    data: str, steps: int, seed: int, third: DeltaGenerator, stage: DeltaGenerator
) -> None:
    """With fresh noise, without, and Langevin's, from one start."""
    level = third.select_slider(
        "Langevin's noise level t", LEVELS, 20, key="sclevel", bind="query-params", width=210,
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
            f"{score_world.WALKERS} walkers from the same noise, along the exact score; the way of "
            f"{score_views.TRAILS} of them is drawn, faint but for the last {score_views.FRESH} "
            "steps. Green shade: the density of the noisy data at the level of that walk. Arrows: "
            "its score, in units of a group’s width, cut where it is long. Distance: the sliced "
            "Wasserstein distance, how far the points of one cloud would have to move to lie like "
            "the other’s, averaged over eight directions; dashed, for points that are drawn from "
            "the noisy data themselves. Of true "
            f"sets of {score_world.WALKERS} one in ten ends farther away than "
            f"{score_world.TELLABLE[data]:.2f}: below that, nearer is not better."
        )


def one_place(data: str, seed: int, third: DeltaGenerator, stage: DeltaGenerator) -> None:
    """The pulls of single pairs at one x_t, and their average."""
    with third.container(horizontal=True, gap="small"):
        x = st.slider("xₜ, across", -2.5, 2.5, -0.1, 0.1, key="scx", bind="query-params", width=150)
        y = st.slider("xₜ, up", -2.5, 2.5, -0.1, 0.1, key="scy", bind="query-params", width=150)
    told = Place(*score_world.place(data, x, y, seed))
    frames = score_views.place_frames(told, data, x, y)
    with stage:
        player(
            [], key="sc_place", total=len(PLACE_TIMES), captions=frames.captions,
            curves=frames.curves, clouds=frames.clouds, scale=21, hold=True, report_frame=False,
            frame=PLACE_TIMES.index(200), charts_last=True,
            ends=("t = 1000", "t = 1"), label="One place, from much noise to none",
        )  # fmt: skip
        st.caption(
            f"xₜ stays where it is; only the noise level changes. Each of the "
            f"{score_world.ARROWS} thin arrows is drawn to scale from xₜ to √ᾱ x₀, for an x₀ that "
            "it may have been: σ² times the score of that one pair. Thick: their exact average, σ² "
            "times the score of the noisy data. Its tip is √ᾱ x̂₀."
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


LEARNT = (0.147, 0.144, 0.125)
"""Of the network at the page's defaults, after all its lessons: loss, floor, share of its
walks that end at the lower left."""


class Facts(NamedTuple):
    """The numbers that the text names; unless it says otherwise, for the page's defaults.

    Attributes:
        share: [3] of the walkers at the lower left, in the order of `Walks`.
        low: of the noisy data at t = 20.
        far: [3] distance from those data.
        drawn: the same of true draws.
        crossed: walkers that end on different sides with and without noise.
        short: [3] `far` after ten steps.
        blurred: Langevin's share at t = 300, and the noisy data's there.
        blurred_true: of the noisy data at t = 300.
        falling: Langevin's share with falling noise.
        late: its distance then.
        gap: distance of the mean of the pairs' scores from the exact score, at one place.
        length: of that score.
        mean: both coordinates of x0_hat there.
        valley: density of the data at x0_hat, relative to the larger group's middle.
        floors: squared error of the best answer for t below 20 and above 300.
        loss: of a network after all its lessons.
        floor: of the best answer on the same draws.
        learnt: share of that network's walks that end at the lower left.
    """

    share: np.ndarray
    low: float
    far: np.ndarray
    drawn: float
    crossed: float
    short: np.ndarray
    blurred: float
    blurred_true: float
    falling: float
    late: float
    gap: float
    length: float
    mean: float
    valley: float
    floors: tuple[float, float]
    loss: float
    floor: float
    learnt: float


def unknowable(process: GaussianDiffusion, data: GaussianMixture) -> tuple[float, float]:
    """The squared error of the best answer, per number, for t below 20 and above 300."""
    n, generator = 20_000, torch.Generator().manual_seed(0)
    x0, eps = data.sample(n, generator), torch.randn(n, 2, generator=generator).double()
    best = mixture_denoiser(process, data)
    told = []
    for least, beyond in ((1, 20), (301, process.T + 1)):
        t = torch.randint(least, beyond, (n,), generator=generator)
        told.append(matching_errors(process, best, best, x0, t, eps).floor)
    return told[0], told[1]


@st.cache_data(max_entries=1, show_spinner=False)
def facts() -> tuple:
    """Compute them, but for `LEARNT`, which takes two seconds: a test does."""
    process, data = score_world.diffusion(), two_groups()
    told, short = (Walks(*score_world.walks("two", steps, 20, 0)) for steps in (60, 10))
    blurred, falling = (Walks(*score_world.walks("two", 60, t, 0)) for t in (300, 0))
    here = torch.tensor([[DEFAULTS["scx"], DEFAULTS["scy"]]], dtype=torch.float64)
    t, clean = torch.tensor([200]), torch.tensor([0])
    exact = score(process, mixture_denoiser(process, data), here, t)
    many, at = here.expand(2000, 2), t.expand(2000)
    x0 = draw_x0(process, data, many, at, generator=torch.Generator().manual_seed(0))
    x0_hat = tweedie(process, here, exact, t)
    peak = mixture_log_density(process, data, data.means[[1]], clean)
    return tuple(
        Facts(
            told.share[:, -1],
            score_world.true_share(data, 20),
            told.far[:, -1],
            float(told.drawn[-1]),
            told.crossed,
            short.far[:, -1],
            float(blurred.share[2, -1]),
            score_world.true_share(data, 300),
            float(falling.share[2, -1]),
            float(falling.far[2, -1]),
            float((pair_score(process, many, x0, at).mean(0) - exact[0]).norm()),
            float(exact.norm()),
            float(x0_hat[0, 0]),
            float((mixture_log_density(process, data, x0_hat, clean) - peak).exp()),
            unknowable(process, data),
            *LEARNT,
        )
    )


def confusions(told: Facts) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    return [
        Confusion(
            "The network is trained on −ε/σ of one pair. How can that be the score of the data?",
            "On average it is. The density of noisy data is an average, q(xₜ) = ∫ q(x₀) q(xₜ|x₀) "
            "dx₀. Take the gradient of both sides and divide by q(xₜ): then ∇ log q(xₜ) is the "
            "average of ∇ log q(xₜ|x₀), each x₀ counted as often as q(x₀|xₜ) says. And the answer "
            "with the least squared error is the average. Where that view opens, the mean over "
            f"2,000 drawn x₀ comes within {told.gap:.2f} of the exact score, whose length is "
            f"{told.length:.2f}; that is as near as so many draws can come.",
            {"scview": "place"},
            "The thin arrows go two ways, to either group. The thick one is their mean, and much "
            "shorter than any of them.",
        ),
        Confusion(
            "Is x̂₀ the likeliest clean point?",
            "No, the average one: "
            + term("Tweedie's formula")
            + " turns the score into E[x₀ | xₜ]. At xₜ = (−0.1, −0.1) and t = 200 it gives "
            f"({told.mean:.2f}, {told.mean:.2f}), between the groups. The density of the data "
            f"there is {told.valley:.0e} of what it is in the middle of the larger one. That is "
            "why x̂₀ of a noisy picture is a blur, and why one asks again as the noise falls.",
            {"scview": "place"},
            "Right: the purple dot, x̂₀, lies where no blue point is. Go on to t = 80: one group "
            "nearly drops out, and the dot moves towards the other. (Nearer to t = 1 "
            "there is hardly any noise, and x₀ can only be xₜ itself.)",
        ),
        Confusion(
            "With the score in hand, why not walk uphill to the data at once?",
            "Because nearly clean data tell a walker about the group it stands in and nothing "
            "else. With little noise, the score at the smaller group does not change if its share "
            f"is a half instead of a fifth (by less than 1e-12 at t = 20). So "
            f"Langevin’s walk leaves the walkers where they fell: {told.share[2]:.0%} at the lower "
            f"left, where {told.low:.0%} of the data are. It would cross over in the end, "
            "after far more steps than anybody takes. With pictures it is worse: they fill next to "
            "nothing of the space of pixels, and off them there is no density to climb and no "
            "example to learn from.",
            {"sclevel": 20},
            "Third picture: the arrows part along the diagonal, and half of the walkers end on "
            "either side. First chart: the red line never moves.",
        ),
        Confusion(
            "What is the noise good for, then?",
            "It makes the groups wide enough to meet, and fills the space between. At t = 300 a "
            f"walker sees both, and Langevin’s walk has {told.blurred:.0%} at the lower left, "
            f"where {told.blurred_true:.0%} of these noisy data are. But those are blurred. A walk "
            "that begins with much noise and goes on with less has both: right shares first, sharp "
            "points later. That is a diffusion model.",
            {"sclevel": 300},
            "First chart: the red line comes to rest on the dotted one, the share at t = 300. "
            "Third picture: and all of it is blurred.",
        ),
        Confusion(
            "The ODE has no noise. How can it end in the same distribution as the SDE?",
            "Noise of strength g spreads a cloud just as a drift of −½g² times the score would: "
            "both push points from where they are dense to where they are not. So one may have the "
            "noise, dx = [f − g² ∇log q] dt + g dw, or take that part off the drift, dx = [f − ½g² "
            "∇log q] dt, and the cloud is the same at every t. The points are not: from the same "
            f"start {told.crossed:.0%} of the walkers end in another group, and yet both clouds "
            f"lie about as near to the data ({told.far[0]:.2f} and {told.far[1]:.2f}) as true "
            f"draws do ({told.drawn:.2f}).",
            {},
            "First two pictures: the same arrows, other ways, the same cloud. Lower chart: orange "
            "and purple stay near the dashed line at every t, not just at the end.",
        ),
        Confusion(
            "Is falling noise with Langevin’s walk the same as DDPM?",
            "Nearly. Both go down the levels. DDPM’s step also moves every walker to where the "
            "next level’s data lie; Langevin’s only mixes within a level, so it needs many steps "
            f"at each. With one step at each of 60 levels it lags behind: {told.falling:.0%} at "
            f"the lower left, {told.late:.2f} away from the data. Song and Ermon took a hundred "
            "at each.",
            {"sclevel": 0},
            "Lower chart: with as many steps as the others, the red line does not come down to the "
            "dashed one.",
        ),
        Confusion(
            "The loss stalls far above 0. Has the network stopped learning?",
            "Most of the loss can’t be learnt: which noise was drawn is not written in xₜ, least "
            "of all where there is little of it. The best possible answer is wrong by "
            f"{told.floors[0]:.2f} for t below 20 and by {told.floors[1]:.2f} above 300, "
            f"{told.floor:.3f} in all; a network of this page ends at {told.loss:.3f}. The "
            "difference is, on average, the squared error of ε̂ against that answer, σ² times the "
            "score’s: from the 300th step to the last it falls to an eighth, and the loss by a "
            f"tenth. What is left still shows. {told.learnt:.0%} of its walks end at the lower "
            "left: shares are settled where the groups overlap, and there a small error turns many "
            "walkers.",
            {"scview": "learn"},
            "The chart: red comes to rest on green, purple goes on falling. The arrows in the "
            "second picture become those of the first.",
            threads=[
                "zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#48",
                "ZhengYinan-AIR/Diffusion-Planner#55",
                "ZhengYinan-AIR/Diffusion-Planner#38",
            ],
        ),
        *score_noise.confusions(),
        *score_digits.confusions(),
        Confusion(
            "σ or σ² under the noise?",
            "Both are right, for two things. The score of one pair is (√ᾱ x₀ − xₜ)/σ², and the "
            "bracket is −σε: so it is −ε/σ. The arrows of “One place” are the bracket itself, σ² "
            "times the score. They end where √ᾱ x₀ lies.",
            {"scview": "place"},
            "Each thin arrow ends at √ᾱ x₀, for one of the blue points on the right.",
            threads=[
                "yang-song/score_sde_pytorch#26",
                "pals-ttic/sjc#6",
                "txie-93/cdvae#7",
                "ZhengYinan-AIR/Diffusion-Planner#62",
            ],
        ),
    ]


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
