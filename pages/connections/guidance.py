"""What does guidance do to the distribution that is sampled?"""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from diffusion_core.checkpoints import Card
from diffusion_core.guidance import classifier_guided, guided
from diffusion_core.mixtures import (
    class_gradient,
    class_log_probs,
    mixture_denoiser,
    tilted,
    two_classes,
)
from pages.shared import bench, chapter, guidance_views, guidance_world, load, score_world
from pages.shared.cards import recognised_at_scales
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.guidance_views import SCALE
from pages.shared.guidance_world import (
    DIGITS_AT,
    EVEN,
    FORGOTTEN,
    MANY,
    SCALES,
    SEVENS_MISSED,
    STEPS,
    Gradients,
    Guided,
)
from pages.shared.player import follow, player, session_runs

PLACE = "_guidance_place"  # in the state: the t that "Show me" opens the walk at
VIEWS = {"plane": "In the plane", "gradients": "Two kinds", "digits": "Digits"}
INTROS = {
    "plane": "The score followed at t is that of q(xₜ) p(y|xₜ)ˢ, here exact. Is the end "
    "p(x₀) p(y|x₀)ˢ?",
    "gradients": "Here all answers are exact. Arrows: the push at their places.",
    "digits": "Here a network gives both answers. A judge, another network, trained to name "
    "digits, says which come out as asked for: those it recognises.",
}
DIGIT_STEPS = 25
DEFAULTS = {"guview": "plane", "guscale": 3.0, "guseed": 0, "guclass": "each"}


@st.fragment
def exhibit(told: Facts) -> None:
    """Three views of guidance, each with its question."""
    place = st.session_state.pop(PLACE, None)
    above = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "Guidance", list(VIEWS), key="guview", default="plane", required=True,
            bind="query-params", format_func=VIEWS.get, width="content",
        )  # fmt: skip
        second = st.container(width="content")
    with above:
        chapter.prose(INTROS[view])
        {"plane": ask_of_the_plane, "gradients": ask_of_two_kinds, "digits": ask_of_digits}[view](
            told
        )
        chapter.look()
    if view == "gradients":
        return two_kinds(place)
    scale = second.select_slider(
        "Guidance scale s", SCALES, 3.0, key="guscale", bind="query-params", width=260,
        format_func=lambda s: f"{s:g}",
        help="0 forgets the class, 1 asks for it, more exaggerates it. Ho and Salimans call s − 1 "
        "w.",
    )  # fmt: skip
    if view == "plane":
        in_the_plane(scale, place)
    else:
        on_digits(scale, place)
    return None


def ask_of_the_plane(told: Facts) -> None:
    """Whether guidance draws from the class sharpened."""
    power, average = told.powers
    order = (
        "Guidance takes the power after noise has mixed the classes. At t = 300 a point at the "
        f"middle group’s place is of the class by a chance of {power ** (1 / 3):.2f} on average: "
        f"cubed, {power:.2f}. The cubes’ average is {average:.2f}, since clean points are almost "
        "surely of one class: p is near 0 or 1, and so is its cube."
    )
    chapter.question(
        "Pushed three times as hard (s = 3), does guidance draw from the class sharpened, "
        "p(x) p(y|x)³?",
        {
            "Yes, exactly": order + f" Circled: {told.guided:.0%} of the walkers on the class’ "
            f"side end in its middle group, where p(x) p(y|x)³ has {told.claimed:.0%}.",
            "No, something narrower, pushed away": f"Circled: {told.guided:.0%} of the walkers on "
            "the class’ side end in its middle group, where p(x) p(y|x)³ has "
            f"{told.claimed:.0%}. " + order + " So walkers leave it early. The outer groups get "
            f"narrower and end {told.pushed:.2f} further out than without guidance; those of p(x) "
            "p(y|x)³ stay where they are.",
            "No, something wider": "Narrower: the walkers keep away from the other class more than "
            f"the formula asks for. Circled: {told.guided:.0%} of those on the class’ side end in "
            f"its middle group, not {told.claimed:.0%}. " + order,
        },
        answer="No, something narrower, pushed away",
    )


def ask_of_two_kinds(told: Facts) -> None:
    """Whether both kinds are one."""
    chapter.question(
        "Two scores’ difference, or the slope of a classifier of noisy points: if all are exact, "
        "is it one push?",
        {
            "The same at every t": "By Bayes’ rule log p(y|xₜ) = log q(xₜ|y) − log q(xₜ) + a "
            "constant, so the slopes are one. First two pictures: they differ by rounding alone.",
            "The same only where the noise is gone": "That is the third one, whose classifier "
            f"knows clean points only: at t = {told.middle_t} its push is off by "
            f"{told.strong:.0f} times the right one’s size. The first two are the same throughout.",
            "Never quite the same": "The first two differ by rounding alone: Bayes’ rule makes "
            "them one. Learnt ones do differ, since nothing that is learnt is exact.",
        },
        answer="The same at every t",
    )


def ask_of_digits(told: Facts) -> None:
    """What more guidance does."""
    one, three, eight = (DIGITS_AT[s] for s in (1.0, 3.0, 8.0))
    bold = (
        f"Pixels brighter than mid-gray: {one.white:.0%} without guidance, {three.white:.0%} at "
        f"s = 3, {eight.white:.0%} at s = 8. "
    )
    lost = (
        "Guidance pays with variety, but has paid by s = 3: in what the judge sees (its last "
        "hidden layer), two digits of a class lie "
        f"{1 - three.apart / one.apart:.0%} nearer to each other than without guidance, and "
        f"{1 - eight.apart / one.apart:.0%} at s = 8."
    )
    chapter.question(
        "At s = 3 the judge recognises all of 200 guided digits. What does s = 8 add?",
        {
            "Better digits": f"The judge recognises {three.recognised:.0%} already, and "
            f"{eight.recognised:.0%} at s = 8. What grows is how bold they are. " + bold + lost,
            "Bolder strokes, and nothing to recognise": bold + lost,
            "More different digits": lost + " Pixel by pixel they differ a little more "
            f"({three.variety:.2f} and {eight.variety:.2f}, squared, on average), as bold strokes "
            "do. " + bold,
        },
        answer="Bolder strokes, and nothing to recognise",
    )


def seed_behind_more() -> int:
    """The seed, behind More."""
    with st.expander("More: other noise"):
        return st.number_input("Seed", 0, 9999, 0, key="guseed", bind="query-params", width=200)


def in_the_plane(scale: float, place: int | None) -> None:
    """The class alone, guided, and the density that guidance is said to sample."""
    stage = st.container()
    told = Guided(*guidance_world.walks(scale, seed_behind_more()))
    few, many = FORGOTTEN
    frames = guidance_views.walk_frames(told, scale)
    with stage:
        player(
            [], key="gu_walks", total=STEPS + 1, captions=frames.captions, curves=frames.curves,
            clouds=frames.clouds, scale=SCALE, autoplay=place is None, hold=place is None,
            report_frame=False, charts_last=True, rest=STEPS,
            frame=None if place is None else score_world.times(STEPS).index(place),
            ends=("noise", "data"), label="Guided walks",
        )  # fmt: skip
        st.caption(
            "Small circles: both classes’ three groups without noise. Large one: the class’ middle "
            "group with it, and its share of the class’ side. Ringed: one noise, in both walks. "
            "Third picture: draws, noised. Last picture: p(y|x₀), averaged over the x₀ that xₜ may "
            "have come from, along the line through the middle groups, over its value on the left "
            "(only differences push); dots: the circle’s middle; dashed: "
            f"t = {guidance_views.APART}. Walkers’ share: of {EVEN} even starts; {STEPS} steps err "
            f"a little: at s = 0 they give {few:.3f} where 0.333 is right, {MANY:,} steps "
            f"{many:.3f}."
        )


def two_kinds(place: int | None) -> None:
    """The difference of two scores beside the gradients of two classifiers."""
    told = Gradients(*guidance_world.gradients())
    frames = guidance_views.gradient_frames(told)
    player(
        [], key="gu_gradients", total=STEPS, captions=frames.captions, curves=frames.curves,
        clouds=frames.clouds, scale=21, hold=place is None, report_frame=False,
        charts_last=True, frame=score_world.times(STEPS).index(500 if place is None else place),
        ends=("t = 1000", "nearly clean"), label="Two kinds of guidance",
    )  # fmt: skip
    st.caption(
        "Arrows: the push towards the class on the left, in units of the noise, cut where it is "
        "long; at t = 1000 there is next to nothing to tell the classes apart by. First two: from "
        "two scores, and from the exact classifier of noisy points; they differ by rounding alone, "
        f"{told.gap.max():.0e} of their size at most. Third: a classifier that takes every point "
        "for a clean one. Upper chart: its error, root mean square over noisy data of both "
        "classes. Lower chart: not of the arrows, but of a step with the right classifier: two "
        "ways to move its mean μ, as a paper and its code have it (see Why?)."
    )


def on_digits(scale: float, place: int | None) -> None:
    """The same digits, asked for and guided."""
    stage = st.container()
    with st.expander("More: which digits, other noise, what the judge says"):
        left, right = st.columns(2, gap="large")
        counted = st.container()
        digit = left.selectbox(
            "Digits", bench.NAMED, key="guclass", bind="query-params",
            format_func=bench.digit_name,
        )  # fmt: skip
        seed = right.number_input("Seed", 0, 9999, 0, key="guseed", bind="query-params")
    denoiser, card = load.network_or_stop("digits-eps")
    counted.caption(told_by_card(card))
    scales = (1.0, scale)
    stops = bench.stops(denoiser, DIGIT_STEPS)
    live = session_runs().open(
        repr(("guided", card.fields["sha256"], scales, digit, seed)),
        lambda: guidance_world.digits(denoiser, scales, digit, DIGIT_STEPS, seed),
        len(stops),
    )
    with stage:
        follow(
            live,
            lambda shots, start: guidance_views.digit_frames(shots, start, stops, scales),
            key="gu_digits", scale=3, autoplay=place is None, hold=place is None,
            report_frame=False, frame=None if place is None else stops.index(place),
            rest=DIGIT_STEPS, charts_last=True, ends=("noise", "picture"),
            label="Digits with and without guidance",
        )  # fmt: skip
        st.caption(
            "Both sheets start from the same noise; DDIM, 25 steps, x̂₀ clipped. Chart: before "
            "clipping; where xₜ is nearly all noise, x̂₀ is a small difference over a tiny √ᾱ."
        )


def told_by_card(card: Card) -> str:
    """What its card says of guidance, and what was measured of larger scales."""
    found = "; ".join(
        f"s = {scale:g}: {metric['value']:.1%} of {metric['samples']:,}"
        for scale, metric in recognised_at_scales(card.fields).items()
    )
    more = "; ".join(
        f"s = {scale:g}: {at.recognised:.0%}, {at.white:.1%}" for scale, at in DIGITS_AT.items()
    )
    return (
        f"Recognised as asked, by the network’s [card](/model_cards): {found or 'not measured'}. "
        f"Of 200 others, recognised and pixels brighter than mid-gray: {more}."
    )


class Facts(NamedTuple):
    """The numbers that the text names; scale 3 unless it says otherwise.

    Attributes:
        guided: the middle group's share of the class after the walk.
        fresh: the same with fresh noise at each step.
        claimed: of p(x) p(y|x)^3.
        alone: of the class itself.
        dip: of the density whose score is followed at t = 200.
        there: of the walkers at t = 200.
        powers: at the middle group's place, t = 300: power of the average, average of powers.
        sure: what the best classifier gives the class, walkers and density.
        widths: of the class' outer groups across, scale 1 and 3.
        pushed: how much further from the other class they lie on average at scale 3 than at 1.
        much: the middle group's share at scale 8.
        little: the same at 1.5.
        both: as in `Gradients`.
        strong: how wrong the classifier of clean points is halfway.
        middle_t: where that is.
        shift: as `Gradients.shift` there.
        short: the largest of both with 1000 steps, of some t.
        turn: where the followed density's middle group is least: t, the walkers' share inside the
            circle there, and at t = 100.
    """

    guided: float
    fresh: float
    claimed: float
    alone: float
    dip: float
    there: float
    powers: tuple[float, float]
    sure: tuple[float, float]
    widths: tuple[float, float]
    pushed: float
    much: float
    little: float
    both: float
    strong: float
    middle_t: int
    shift: tuple[float, float]
    short: tuple[float, float]
    turn: tuple[float, float, float]


SHORT = (100, 300, 500, 800)  # t of single steps


@st.cache_data(max_entries=1, show_spinner=False)
def facts() -> tuple:
    """Compute them."""
    three = Guided(*guidance_world.walks(3.0, 0))
    eight, little = (guidance_world.counted(s)[0][-1] for s in (8.0, 1.5))
    ends = [guidance_world.even_walk(s)[0] for s in (1.0, 3.0)]
    two, half = Gradients(*guidance_world.gradients()), STEPS // 2
    stops = score_world.times(STEPS)
    single = [guidance_world.shift_errors(t, t - 1) for t in SHORT]
    at, high = (min(range(STEPS), key=lambda i: abs(stops[i] - t)) for t in (200, 300))
    dots = guidance_views.at_the_middle(three.powers)
    near, low = guidance_world.left_near(3.0), int(three.middle[3].argmin())
    return tuple(
        Facts(
            float(three.middle[1, -1]),
            guidance_world.with_fresh_noise(3.0),
            float(three.middle[2, -1]),
            float(three.middle[0, -1]),
            float(three.middle[3, at]),
            float(three.middle[1, at]),
            (float(dots[0, high]), float(dots[1, high])),
            (float(three.sure[1, -1]), float(three.sure[2, -1])),
            (guidance_world.widths(ends[0]), guidance_world.widths(ends[1])),
            guidance_world.outwards(ends[0]) - guidance_world.outwards(ends[1]),
            float(eight),
            float(little),
            two.both,
            float(two.off[half]),
            stops[half],
            (float(two.shift[0, half]), float(two.shift[1, half])),
            (max(code for code, _ in single), max(paper for _, paper in single)),
            (stops[low], float(near[low]), float(near[stops.index(100)])),
        )
    )


def confusions(told: Facts) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    return [
        Confusion(
            "Does guidance sample p(x) p(y|x)ˢ?",
            "No, only for s = 0 and 1. With noise, p(x) p(y|x)ˢ becomes q(xₜ) times the average of "
            "p(y|x₀)ˢ over the x₀ that xₜ may have come from. Guidance follows the score of q(xₜ) "
            "p(y|xₜ)ˢ, and p(y|xₜ) is the average of p(y|x₀): the power of an average, where the "
            "average of powers is meant. For s > 1 it is smaller ("
            + term("Jensen's inequality")
            + "), most of all where xₜ leaves the class open: at the middle group’s place, t = "
            f"300, s = 3, {told.powers[0]:.2f} instead of {told.powers[1]:.2f}, while far on the "
            "class’ side both are near 1. (A factor that is the same everywhere would change "
            "nothing; this one leaves the middle out.) As the noise goes, the two become one "
            "again, but the walkers do not come back. The density that they follow does (dashed): "
            f"its middle group is least at t = {told.turn[0]:.0f}, then grows. By then "
            f"{told.turn[1]:.0%} of the walkers are left inside the circle, at t = 100 "
            f"{told.turn[2]:.0%}: when the dashed line comes back, hardly anybody is near enough "
            "to go there, and a score leads to what is near. The last density "
            f"has {told.claimed:.0%} of the class in its middle group, the class itself "
            f"{told.alone:.0%} (a third, but for what spills over to the other side), the walkers "
            f"{told.guided:.0%}. With fresh noise at every step it is {told.fresh:.0%}: what "
            "guidance samples hangs on the sampler, too.",
            {"guscale": 3.0, PLACE: 300},
            "Last picture: purple far below red between the classes. Then go on to the end, and "
            "watch the ringed walkers, both from one noise: the green one comes to the circle’s "
            "middle, the purple one is carried off. First chart, dashed: the density whose score "
            f"is followed, {told.dip:.0%} at t = 200, comes back in the end. The walkers, purple, "
            f"{told.there:.0%} there, do not.",
        ),
        Confusion(
            "Why do guided pictures look alike?",
            "Guidance does not only ask for the class, it flees the others. What lies beside "
            "another class is left out first, however good it is, and what remains gets narrower: "
            "across, the outer groups have a standard deviation of "
            f"{told.widths[0]:.2f} without guidance and of {told.widths[1]:.2f} at s = 3, and lie "
            f"{told.pushed:.2f} further out. A "
            f"classifier is surer ({told.sure[0]:.2%}, where p(x) p(y|x)³ would have "
            f"{told.sure[1]:.0%}), and variety pays.",
            {"guscale": 8.0, PLACE: 0},
            f"The middle group is gone ({told.much:.0%}), and the other two have become narrow, "
            "on the far side of their middles.",
        ),
        Confusion(
            "Classifier guidance and classifier-free guidance: what is the difference?",
            "Where the model comes from. By Bayes’ rule the gradient of log p(y|xₜ) is the score "
            "of the class minus the score of all, and with exact ones the two kinds name the same "
            f"ε (at s = 3 but for rounding, {told.both:.0e}). One asks a classifier for that "
            "difference, the other two runs of one network, which learnt to do without the class "
            "by having it hidden from it now and then. Learnt ones part: the difference of two "
            "learnt answers need not be the gradient of any classifier, and a learnt classifier "
            "can be made sure by changes that make no better picture of the class (Ho and "
            "Salimans, sections 1 and 3.2).",
            {"guview": "gradients"},
            "First and second picture: the same arrows at every t.",
            threads=["zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#6"],
        ),
        Confusion(
            "Why must the classifier be trained on noisy pictures?",
            "Because it is asked about them. One that knows clean points only is sure of things "
            f"that the noise has made unsure: at t = {told.middle_t} its push is wrong by "
            f"{told.strong:.0f} times the right one’s size (root mean squares over noisy data). On "
            "its own side it does not push at all: "
            "it takes the noisy point for a clean one that is there already.",
            {"guview": "gradients", PLACE: told.middle_t},
            f"At t = {told.middle_t}, third picture: nothing on one side; on the other the arrows "
            "would reach far out of the picture, were they not cut. The right ones are shorter, "
            "and dots where the class is settled. Upper chart: where the noise is nearly gone, the "
            "third is right.",
            threads=["hxngiee/DiffFace#5", "EperLuo/scDiffusion#3"],
        ),
        Confusion(
            "The classifier’s gradient: at the mean μ, as the paper derives it, or at xₜ, as the "
            "code has it?",
            "Both stand in for one thing. By Bayes’ rule the mean of a step to s moves by "
            "(β/√α) ∇ log p(y|xₜ): the gradient at xₜ, of the classifier for t, and no "
            "approximation (α = ᾱₜ/ᾱₛ, β = 1 − α). Dhariwal and Nichol’s section 4.1 expands "
            "log p(y|xₛ) around μ, and so has the posterior’s variance times the gradient at μ, of "
            "the classifier for s. Their code keeps that factor and takes the gradient at xₜ; "
            "their algorithm 1, as it is printed, reads like the code. With "
            f"1000 steps neither matters: at t = {SHORT[0]}, {SHORT[1]}, {SHORT[2]} and "
            f"{SHORT[3]} the code’s shift is off by {told.short[0]:.1%} at most, the derived one "
            f"by {told.short[1]:.1%}. With {STEPS} steps, at t = {told.middle_t}, it is "
            f"{told.shift[0]:.0%} and {told.shift[1]:.0%}; towards the data, where the posterior’s "
            "variance goes to 0 and the right factor does not, both get wrong.",
            {"guview": "gradients"},
            "Lower chart: both errors, for a step from each t to the next of this view.",
            threads=["openai/guided-diffusion#112", "lucidrains/denoising-diffusion-pytorch#276"],
        ),
        Confusion(
            "Is the scale s, w, 1 + w or γ?",
            "All are in use. With Δ = ε(y) − ε(any), and g the classifier’s gradient:\n\n"
            "| who | formula | no guidance | this page’s s = 3 |\n|---|---|---|---|\n"
            "| here; Imagen’s w, diffusers’ guidance_scale, Bradley and Nakkiran’s γ "
            "| ε(any) + s Δ | 1 | 3 |\n"
            "| Ho and Salimans’ w | (1 + w) ε(y) − w ε(any) | 0 | 2 |\n"
            "| a classifier, the network is told no class | ε(any) − s σ g | 1 (0 drops the class) "
            "| 3 |\n"
            "| a classifier, the network is told the class | ε(y) − s σ g | 0 | 2 |\n\n"
            "The page [Conventions](conventions?cview=Guidance) takes any strength.",
            {"guscale": 1.0, PLACE: 0},
            "s = 1: the first two pictures are the same walk.",
            threads=[
                "huggingface/diffusers#5882",
                "lucidrains/denoising-diffusion-pytorch#207",
                "ashawkey/stable-dreamfusion#32",
            ],
        ),
        Confusion(
            "Why do pictures burn out at large scales?",
            "ε and x̂₀ are stretched past what any picture has: x̂₀(any) + s · (x̂₀(class) − "
            "x̂₀(any)) leaves the range of pixels. Clipping at each step brings it back, and what "
            "is cut off becomes flat black and white; in a photograph colours burn out, in digits "
            "strokes get bold. Imagen’s dynamic thresholding was made for this.",
            {"guview": "digits", "guscale": 8.0, PLACE: 0},
            "The chart: many more pixels out of range, until late. The strokes of the guided "
            "digits are bolder.",
        ),
    ]


def page() -> None:
    """Lay out the page."""
    told = Facts(*facts())
    chapter.header("Guidance", defaults=DEFAULTS)
    chapter.prose(
        term("Classifier-free guidance")
        + " asks a network twice, without a class and with one, y, and goes from the first answer "
        "past the second: $\\hat\\epsilon = \\epsilon(\\text{any}) + s\\,(\\epsilon(y) - "
        "\\epsilon(\\text{any}))$. The bracket is a difference of two noises, and noise is taken "
        "away: so its negative is the push. That points to where the chance p(y|xₜ) that xₜ is of "
        "the class grows."
    )
    exhibit(told)

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(guided, tilted)
    formula_and_code(
        two_classes, mixture_denoiser, class_log_probs, under="Two classes with exact scores"
    )
    formula_and_code(classifier_guided, class_gradient, under="Two kinds")

    chapter.why(confusions(told))
    chapter.try_this(
        [
            Experiment(
                "Forget the class",
                "s = 0: the walkers spread over both classes, as if nothing had been asked for. In "
                "between, at ½, the mixture leans.",
                {"guscale": 0.0, PLACE: 0},
            ),
            Experiment(
                "A little guidance: one and a half",
                f"of the class {told.alone:.0%} lie in the middle group, of the walkers "
                f"{told.little:.0%} already. The density that they are said to sample has hardly "
                "changed.",
                {"guscale": 1.5, PLACE: 0},
            ),
            Experiment(
                "Sixteen sevens, strongly guided",
                "the judge takes all of them for sevens; they are bold, some with specks. Without "
                f"guidance it takes {SEVENS_MISSED} of the sixteen for something else: more than "
                "usual.",
                {"guview": "digits", "guscale": 5.0, "guclass": "7", PLACE: 0},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Ho & Salimans 2022, Classifier-Free Diffusion Guidance",
                   "sections 1, 3.1 and 3.2; eq. 6", "https://arxiv.org/abs/2207.12598"),
            Source("Dhariwal & Nichol 2021, Diffusion Models Beat GANs on Image Synthesis",
                   "section 4.1: the gradient at μ; algorithm 1: as the code", "https://arxiv.org/abs/2105.05233"),
            Source("Bradley & Nakkiran 2024, Classifier-Free Guidance is a Predictor-Corrector",
                   "that it does not sample the tilted density",
                   "https://arxiv.org/abs/2408.09000"),
            Source("Saharia et al. 2022, Imagen", "section 2.3: dynamic thresholding",
                   "https://arxiv.org/abs/2205.11487"),
        ]
    )  # fmt: skip
    load.settle()
    guidance_world.all_walks()


page()
