"""Does diffusion need noise?"""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.checkpoints import Card
from diffusion_core.cold import (
    STEPS,
    Restorer,
    blur,
    blur_width,
    flat_gray,
    heat_factors,
    improved_step,
    naive_step,
    noise_steps,
    noise_within,
    restore_steps,
    straight,
    unblur,
    variety,
    with_noise,
)
from pages.shared import bench, chapter, cold_views, cold_world, load
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.cold_world import NOISE_STEPS, NOISES, RESTORERS, Facts, Made, Measured
from pages.shared.explain import formula_and_code
from pages.shared.player import follow, session_runs

PLACE = "_cold_place"  # in the state: the t that "Show me" opens the player at
VIEWS = {"restore": "Restore", "noise": "Noise", "nothing": "From nothing"}
DIGITS = tuple("0123456789")
GRAYS = {"drawn": "like the data", "one": "one gray"}
NETWORK, NOISE_NETWORK = "cold-blur", "digits-x0"
DEFAULTS = {
    "coview": "restore",
    "corestorer": "untold",
    "cot": 30,
    "costeps": 25,
    "codigit": "3",
    "conoise": 0.002,
    "cogray": "drawn",
    "coseed": 0,
}


class OnCard(NamedTuple):
    """What the network's card says, as the text needs it.

    Attributes:
        ways: (t, rule) -> digits of the test set restored.
        made: noise on the gray -> digits made from it.
    """

    ways: dict[tuple[int, str], Measured]
    made: dict[float, Made]


RULES = (
    r"**1:** $x_s = D(\hat x_0, s)$, the answer, blurred less. "
    r"**2:** $x_s = x_t + D(\hat x_0, s) - D(\hat x_0, t)$, what is there and the blurred "
    "answer’s change."
)

NOISE_OR_BLUR = """

| | noise | blur |
| --- | --- | --- |
| an end that one can draw from | N(0, I) | made up: grays like the data’s |
| many ways from it | fresh noise, or another start | a little noise put on the gray |
| a bound on the likelihood | each step has a probability | none |
"""


@st.fragment
def exhibit(restore: Restorer, card: Card, told: OnCard, facts: Facts) -> None:
    """Three views of diffusion without noise, each with its question."""
    place = st.session_state.pop(PLACE, None)
    above = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "Cold diffusion", list(VIEWS), key="coview", default="restore", required=True,
            bind="query-params", format_func=VIEWS.get, width="content",
        )  # fmt: skip
        second = st.container(width="content")
    with above:
        {"restore": ask_of_blur, "noise": ask_of_noise, "nothing": ask_of_nothing}[view](told)
        chapter.look()
    if view == "restore":
        restoring(restore, card, facts, second, place)
    elif view == "noise":
        with_noise_instead(second, place)
    else:
        from_nothing(restore, card, second, place)


def ask_of_blur(told: OnCard) -> None:
    """Whether diffusion needs noise."""
    near, far = told.ways[20, "improved"], told.ways[30, "improved"]
    once, naive = told.ways[30, "once"], told.ways[30, "naive"]
    back = (
        f"The network, not told the class: by algorithm 2 {near.recognised:.0%} of "
        f"{near.samples:,} test digits come back from t = 20, {far.recognised:.0%} from t = 30 "
        f"(asked once, {once.recognised:.0%}: the others are lost to the blur); by algorithm 1 "
        f"{naive.recognised:.0%}. "
    )
    rest = (
        "Noise gives other things: an end to draw from, many ways from it, a bound on the "
        "likelihood."
    )
    chapter.question(
        "Does diffusion need noise? Here digits are blurred instead, and walked back.",
        {
            "Yes: else digits don’t come back": "They do, where the blur leaves enough. "
            + back + rest,
            "No, but it gives other things": back + rest,
            "No: blur does all that noise does": "The way back, yes. " + back + rest,
        },
        answer="No, but it gives other things",
        state={"coview": "nothing", PLACE: STEPS},
        look="Blur’s end is gray: what digits are drawn from had to be made up, with a noise that "
        "can’t be seen. Go on to the last frame.",
    )  # fmt: skip


def ask_of_noise(told: OnCard) -> None:
    """What algorithm 2 is with noise."""
    seven, fresh = cold_world.SEVENS
    chapter.question(
        "Put on noise instead of blur, the noise that xₜ holds. What is algorithm 2 then?",
        {
            "DDIM": "Step for step: first and second picture are the same. Then D(x̂₀, t) is xₜ "
            "itself, and what remains is xₛ = √ᾱₛ x̂₀ + √(1−ᾱₛ) ẑ.",
            "Ancestral sampling": "That draws fresh noise and keeps part of xₜ. Here nothing is "
            "drawn: it is DDIM, and the first two pictures are the same.",
            "Something new": "It is DDIM: the first two pictures are the same. New is the third, "
            f"and more alike: of a hundred sevens the variety is {fresh[0]:.2f}, by DDIM "
            f"{seven[0]:.2f}.",
        },
        answer="DDIM",
    )


def ask_of_nothing(told: OnCard) -> None:
    """Where variety comes from."""
    plain, little = (told.made[noise] for noise in (0.0, 0.002))
    chapter.question(
        "Sixteen grays, and after the first frame nothing is drawn. What comes out?",
        {
            "One digit, sixteen times": "So it is from one gray without any noise. From grays like "
            f"the data’s the variety within a class is {plain.variety:.2f} on average, with noise "
            f"of 0.002 on them {little.variety:.2f}; training digits have {little.real:.2f}.",
            "Sixteen digits, less varied than real ones": "Averaged over all ten classes the "
            f"variety is {little.variety:.2f}, where training digits have {little.real:.2f}. All "
            "of it comes from the start: the gray, which is kept, and a noise of 0.002 that can’t "
            "be seen.",
            "Gray": f"Digits come out: of {little.samples:,}, {little.recognised:.0%} are "
            "recognised as the class that was asked for. The network has learnt to read faint "
            "shades as strokes.",
        },
        answer="Sixteen digits, less varied than real ones",
    )


def seed_behind_more() -> int:
    """The seed, behind More."""
    with st.expander("More: other noise"):
        return st.number_input("Seed", 0, 9999, 0, key="coseed", bind="query-params", width=200)


def restoring(
    restore: Restorer, card: Card, facts: Facts, second: DeltaGenerator, place: int | None
) -> None:
    """Blurred digits, and two rules that walk them back with the same restorer."""
    with second.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        level = st.slider(
            "Blurred to t", 1, STEPS, 30, key="cot", bind="query-params", width=170,
        )  # fmt: skip
        kind = st.segmented_control(
            "Restorer", list(RESTORERS), key="corestorer", default="untold",
            required=True, bind="query-params", format_func=RESTORERS.get, width="content",
            wrap=True,
        )  # fmt: skip
    load.or_stop(load.classifier)
    asked = {"mean": cold_world.one_answer, "division": cold_world.division}.get(kind, restore)
    live = session_runs().open(
        repr(("cold", card.fields["sha256"], kind, level)),
        lambda: cold_world.restoring(kind, asked, level),
        level + 1,
    )
    follow(
        live,
        lambda shots, start: cold_views.restore_frames(shots, start, kind, level),
        key="co_restore", scale=3, autoplay=place is None, report_frame=False, rest=level,
        frame=None if place is None else level - place, charts_last=True,
        ends=("blurred", "restored"), label="Blurred digits restored",
    )  # fmt: skip
    width = cold_world.blur_width_at(level)
    st.markdown(RULES)
    st.caption(
        {
            "told": "The network is told which digits they are. ",
            "untold": "The network is not told which digits they are. ",
            "mean": "“Always the average”: every answer is the average of the gallery’s digits. "
            "Algorithm 2 then ends at x̂₀ + D(x₀ − x̂₀, t): of the answer’s squared error "
            f"{facts.forgiven[0]:.0%} remain from t = 10, {facts.forgiven[2]:.0%} from t = 30. "
            "Last picture: no blur; the same bright squares come up over every digit, and nothing "
            "of the error remains. ",
            "division": "“Division”: this restorer is no network. It divides each wave of the "
            "picture by what the blur has left of it, in numbers of seven figures, and cuts to the "
            "pixels’ range. ",
        }[kind]
        + f"At t = {level} the blur is {width:.1f} of 28 pixels wide (standard deviation); it "
        "keeps a digit’s mean gray. Red: what a judge, another network, reads in the end, where it "
        "is not the digit. These digits are the gallery’s; shares recognised are of MNIST test "
        "digits."
    )


def with_noise_instead(second: DeltaGenerator, place: int | None) -> None:
    """DDIM beside the two algorithms with noise for a degradation."""
    steps = second.select_slider(
        "Steps", NOISE_STEPS, 25, key="costeps", bind="query-params", width=200
    )
    stage = st.container()
    seed = seed_behind_more()
    denoiser = load.full_precision_or_stop(NOISE_NETWORK)
    stops = bench.stops(denoiser, steps)
    live = session_runs().open(
        repr(("cold noise", steps, seed)),
        lambda: cold_world.from_noise(denoiser, steps, seed),
        len(stops),
    )
    with stage:
        follow(
            live,
            lambda shots, start: cold_views.noise_frames(shots, start, stops),
            key="co_noise", scale=3, autoplay=place is None, hold=place is None,
            report_frame=False, rest=steps, frame=None if place is None else stops.index(place),
            charts_last=True, ends=("noise", "picture"), label="Noise taken away by four rules",
        )  # fmt: skip
        st.caption(
            "One noise to start from, one network of noisy digits (not of blurred ones), x̂₀ "
            "clipped. First picture: the sampler of the other pages. Second: algorithm 2, which "
            "knows nothing of Gaussians, with the noise that xₜ holds if x̂₀ is right. Third and "
            "fourth: other noise at every step. Third: tidy, but more alike: of a hundred sevens "
            "the variety (squared difference of two, per pixel) is "
            f"{cold_world.SEVENS[1][0]:.2f}, by DDIM {cold_world.SEVENS[0][0]:.2f}. Fourth: "
            "algorithm 2 takes away another noise than xₜ holds, so nothing cancels, and grain "
            "piles up. Pixels go from −1 to 1."
        )


def from_nothing(restore: Restorer, card: Card, second: DeltaGenerator, place: int | None) -> None:
    """Digits of one class out of flat gray."""
    with second.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        digit = st.selectbox(
            "Digit", DIGITS, 3, key="codigit", bind="query-params", width=80
        )  # fmt: skip
        noise = st.select_slider(
            "Noise on the gray", NOISES, 0.002, key="conoise", bind="query-params", width=190,
            format_func=lambda d: f"{d:g}",
            help="Standard deviation, once, at the start; pixels go from −1 to 1.",
        )  # fmt: skip
        gray = st.segmented_control(
            "Gray", list(GRAYS), key="cogray", default="drawn", required=True,
            bind="query-params", format_func=GRAYS.get, width="content",
        )  # fmt: skip
    stage = st.container()
    seed = seed_behind_more()
    live = session_runs().open(
        repr(("cold nothing", card.fields["sha256"], digit, noise, gray, seed)),
        lambda: cold_world.from_nothing(restore, int(digit), noise, gray == "one", seed),
        STEPS + 1,
    )
    with stage:
        follow(
            live,
            lambda shots, start: cold_views.born_frames(shots, start, int(digit)),
            key="co_nothing", scale=3, autoplay=place is None, hold=place is None,
            report_frame=False, rest=STEPS, frame=None if place is None else STEPS - place,
            charts_last=True, ends=("gray", "digits"), label="Digits from flat gray",
        )  # fmt: skip
        st.caption(
            "Each picture starts as one gray, "
            + ("the class’ mean" if gray == "one" else "the mean of a digit of the gallery")
            + ", with that much noise put on once; then algorithm 2, and the restorer is told the "
            "class. After the start nothing is random. The gallery was made by a network that "
            "takes noise away."
        )


def once_or_walked(told: OnCard) -> str:
    """Markdown: of test digits, what asking once and both rules come to."""
    rows = [
        f"| {t} | "
        + " | ".join(
            f"{told.ways[t, rule].error:.3f}, {told.ways[t, rule].recognised:.0%}"
            for rule in ("once", "naive", "improved")
        )
        + " |"
        for t in (20, 30, STEPS)
    ]
    head = "| t | asked once | algorithm 1 | algorithm 2 |\n| --- | --- | --- | --- |\n"
    return "\n\n" + head + "\n".join(rows) + "\n\n"


def power_of_ten(value: float) -> str:
    """A number's size as one writes it: "3 · 10³⁴"."""
    digit, power = f"{value:.0e}".split("e")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digit} · 10{raised}"


def confusions(told: Facts, card: OnCard) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    once, naive, improved = (card.ways[30, rule] for rule in ("once", "naive", "improved"))
    gray_once, gray_naive, gray = (card.ways[STEPS, rule] for rule in ("once", "naive", "improved"))
    plain, little, much = (card.made[noise] for noise in (0.0, 0.002, 0.01))
    seven, fresh = cold_world.SEVENS
    return [
        Confusion(
            "Why does algorithm 1 go wrong?",
            "It looks at xₜ through the network’s eyes only. Each new picture is the answer, "
            "blurred; whatever the answer has left out is gone, and the next answer has to do "
            "without. This network’s answers to a heavy blur are too dark, too: it was trained "
            "with |x̂₀ − x₀|, and most pixels of most digits are black. So the gray leaks away "
            f"from step to step; from t = {STEPS}, nearly all goes black. Of test digits blurred "
            f"to t = 30, with the class not told, {naive.recognised:.0%} are recognised after "
            f"algorithm 1 and {improved.recognised:.0%} after algorithm 2. "
            "Algorithm 2 adds and takes away pictures of the same gray: it never changes a "
            "digit’s mean gray, whatever the network says.",
            {"corestorer": "untold", "cot": 30, PLACE: 0},
            "Algorithm 1: of the 4 a speck is left; lower chart, its gray leaks away. Algorithm 2: "
            "all have whole strokes, though not always of the right digit.",
        ),
        Confusion(
            "Is walking back always better than asking once?",
            "No. What the steps give is sharp strokes instead of an average, whether or not they "
            "are those that were blurred. To make new digits, that is what one wants. Of "
            f"{once.samples:,} test digits, the class not told: squared error, and how many the "
            "judge reads as what they were:" + once_or_walked(card) + "At t = 20 nearly all comes "
            "back at once, and steps can only add errors. At t = 30 as many are read right either "
            "way, and once is nearer. At t = 40 nobody can tell, and guessing has 10%: by "
            f"algorithm 1 the pictures are black, and {gray_naive.recognised:.0%} is what the "
            "judge gets by naming black pictures. (On the way algorithm 2 may come nearer: a "
            "picture that is still a little blurred shows no fine stroke in a wrong place.)",
            {"corestorer": "untold", "cot": 30, PLACE: 0},
            "Upper chart: algorithm 2 dips below the dashed line, and ends above it. Asked once, "
            "the 4 is faint, as the network was unsure; by algorithm 2 it is not.",
            threads=[
                "arpitbansal297/Cold-Diffusion-Models#14",
                "cientgu/VQ-Diffusion#11",
                "ge-xing/Diff-UNet#5",
            ],
        ),
        Confusion(
            "What does noise give that blur does not?",
            "Three things:" + NOISE_OR_BLUR + "\nFor the third: given x₀, a blurred xₜ is one "
            "picture, so q(xₜ|x₀) is a point and has no density, and there are no terms to put "
            "into an " + term("ELBO") + ". Rissanen et al. add noise of one small, fixed width to "
            "every blurred picture; then each step is a Gaussian, and there is a bound.",
            {"coview": "nothing", PLACE: STEPS},
            "Sixteen grays. All that is random is in this first frame, and it can’t be seen. Go on "
            "to the end: digits come out, most of them whole.",
        ),
        Confusion(
            "Why does algorithm 2 forgive a wrong restorer?",
            "Because the answer enters twice, with opposite signs. If the degradation goes "
            "straight on, D(x, t) = x + t e for one e, then D(x̂₀, t) − D(x̂₀, s) = (t − s) e: the "
            "answer has dropped out, and the true digits come back whatever was answered "
            f"(off by {power_of_ten(told.straight)} at most, which is rounding). There no restorer "
            "is needed at all: the degradation is known, and the same for every picture. Blur does "
            "not go straight. With one answer throughout, all steps together come to x̂₀ + "
            "D(x₀ − x̂₀, t): the broad shades are the true digit’s, the fine ones are the "
            f"answer’s. Of the squared error of the average digit, {told.forgiven[0]:.0%} remain "
            "if one starts at t = 10, "
            f"{told.forgiven[1]:.0%} at t = 20, {told.forgiven[2]:.0%} at t = 30. And noise: "
            f"with one known noise, {told.fixed:.0%} would remain from t = 500 of 1000 (cosine "
            "schedule). With the noise that xₜ holds, D(x̂₀, t) is xₜ itself, and nothing is "
            "forgiven.",
            {"corestorer": "mean", "cot": 10, PLACE: 0},
            "Algorithm 1 ends as the average digit, for all. Last picture: squares come off "
            "true digits. Between them: true digits in the broad, their fine strokes missing.",
        ),
        Confusion(
            "Is anything lost in a blur? On paper it can be undone.",
            "On paper, yes: each wave of the picture is multiplied by a factor above 0, and can be "
            f"divided by it. At t = 10 the finest wave is divided by {told.divided[0]:,.0f}, at t "
            f"= 20 by {power_of_ten(told.divided[1])}. The rounding of xₜ is divided, too. With "
            f"numbers of seven figures (float32) the largest error of a pixel is "
            f"{told.back[0][0]:.4f} at t = 10 and {told.back[1][0]:.0f} at t = 14; with "
            f"sixteen figures it is {power_of_ten(told.back[1][1])} at t = 14 and "
            f"{told.back[2][1]:.2f} at t = 16. At t = {STEPS}, {told.waves} of 784 waves are above "
            "float32’s rounding. What is "
            "lost is lost to precision, and a network has to make it up from what digits look "
            "like.",
            {"corestorer": "division", "cot": 14, PLACE: 0},
            "Asked once: stripes and chequers, black and white. By algorithm 2, with this "
            "restorer, the digits can be seen under chequers: the stripes enter twice, and partly "
            "cancel. At t = 10 all pictures are the true digits.",
        ),
        Confusion(
            "Why is the first answer a blur of several digits?",
            "Many digits, blurred, look like this one. Training with |x̂₀ − x₀| makes the best "
            "answer each pixel’s median over all of them (with squares it would be the mean), and "
            "that is no digit. On average it is near to them: of test digits at t = "
            f"{STEPS}, the class not told, asking once has the smallest squared error, "
            f"{gray_once.error:.2f}, against {gray.error:.2f} after algorithm 2. Even algorithm "
            f"1’s black pictures, {gray_naive.error:.2f}, are nearer than sharp strokes in the "
            "wrong place. Walking back settles for some strokes, step by step; told the class, "
            "they make a digit, perhaps another one than it was.",
            {"corestorer": "untold", "cot": STEPS, PLACE: 0},
            "Asked once: averages. Upper chart: algorithm 2 ends above the dashed line, with "
            "sharp strokes that are no digit at all.",
        ),
        Confusion(
            "Where does variety come from, if nothing is drawn on the way?",
            "From the start alone. One gray and one class give one digit. Grays like the data’s "
            "give thin digits and bold ones, since the mean gray is kept: the variety within a "
            f"class, averaged over all ten, is {plain.variety:.2f}, where training digits have "
            f"{plain.real:.2f}. (Classes differ: sevens alone, which are much of one shape, have "
            f"{cold_world.GRAY_SEVENS:.2f} from grays, and the gallery’s {told.sevens:.2f}.) Noise "
            "of "
            f"0.002 on the gray brings it to {little.variety:.2f}. Bansal et al. call it breaking "
            "the symmetry: the network has to take the noise for something.",
            {"coview": "nothing", "conoise": 0.0, "cogray": "one", PLACE: 0},
            "Sixteen times the same digit. The chart: no variety, at any step.",
        ),
        Confusion(
            "Then why not more noise on the gray?",
            "The network has never seen noise. At t = "
            f"{STEPS} the broadest wave of a digit is multiplied by {told.first:.3f}, so the "
            "network has learnt to read faint shades as strong strokes, and it reads the noise so. "
            "(Nor is flat gray what it was trained on: there the faint shades of a digit are "
            "missing.) "
            f"With 0.002, {little.recognised:.0%} of {little.samples:,} digits are recognised as "
            f"the class asked for, with 0.01 {much.recognised:.0%}, and the variety of those is "
            f"{much.variety:.2f}: more than digits have. Rissanen et al. train with a little noise "
            "on every blurred picture, and their network can bear it.",
            {"coview": "nothing", "conoise": 0.05, PLACE: 0},
            "Strokes everywhere, and no digits.",
        ),
        Confusion(
            "What has this to do with DDIM?",
            "Take noise for the degradation: D(x̂₀, t) = √ᾱₜ x̂₀ + √(1−ᾱₜ) ẑ, with the noise ẑ "
            "that xₜ holds if x̂₀ is right. Then D(x̂₀, t) = xₜ, and what remains of algorithm 2 "
            "is xₛ = √ᾱₛ x̂₀ + √(1−ᾱₛ) ẑ: DDIM without fresh noise, step for step. With this ẑ "
            "algorithm 1 is the same, and no worse: ẑ carries what x̂₀ has left out of xₜ, so "
            "nothing is forgotten. The chart shows the difference of the first two; it is "
            "rounding, and what a network makes of it.",
            {"coview": "noise"},
            "First and second picture: the same at every step.",
        ),
        Confusion(
            "And algorithm 1 with fresh noise, is that ancestral sampling?",
            "No. It draws xₛ from q(xₛ | x̂₀), as if x̂₀ were the clean picture; ancestral "
            "sampling draws from the posterior q(xₛ | xₜ, x̂₀), which keeps part of xₜ. What is "
            "forgotten is variety: on data N(0, 1) with the right answer, 25 such steps leave a "
            f"variance of {told.spread:.2f}. Of a hundred sevens the variety is {fresh[0]:.2f} "
            f"instead of DDIM’s {seven[0]:.2f}, and {fresh[1]:.0%} instead of {seven[1]:.0%} are "
            "recognised: cleaner, and more alike. (Consistency models take these very steps, with "
            "a network whose answers are no averages.)",
            {"coview": "noise", PLACE: 0},
            "Third picture: plain, tidy digits. Fourth: algorithm 2 may not change the noise from "
            "step to step; it takes away another one than is there, and grain piles up.",
        ),
    ]


def page() -> None:
    """Lay out the page."""
    told = Facts(*cold_world.facts())
    chapter.header("Cold diffusion", defaults=DEFAULTS)
    chapter.prose(
        "Instead of noise take blur: D(x, t) is x, blurred for t steps. "
        + term("Cold diffusion")
        + " trains a network to undo it, and walks back in small steps, without chance. The rule "
        "of the steps decides what comes out."
    )
    restore, fields = load.restorer_or_stop(NETWORK)
    card = OnCard(cold_world.on_card(fields.fields), cold_world.made_on_card(fields.fields))
    exhibit(restore, fields, card, told)

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(naive_step, improved_step)
    formula_and_code(blur, heat_factors, blur_width, restore_steps, under="The blur and the way")
    formula_and_code(straight, unblur, under="Straight on, and by division")
    formula_and_code(with_noise, noise_within, noise_steps, under="Noise as a degradation")
    formula_and_code(flat_gray, variety, under="From nothing")

    chapter.why(confusions(told, card))
    chapter.try_this(
        [
            Experiment(
                "Blur until nearly nothing is left",
                "from t = 40, and not told the class, the network can’t know which digits these "
                "were. Algorithm 2 makes strokes of the right gray, algorithm 1 goes black. Tell "
                "it the class, and algorithm 2 makes digits.",
                {"corestorer": "untold", "cot": STEPS, PLACE: 0},
            ),
            Experiment(
                "Ask a restorer that knows nothing but the average",
                "by algorithm 1 all end as that average, by algorithm 2 near the true digits. With "
                "squares the digits are covered on the way; in the end they are as they were.",
                {"corestorer": "mean", "cot": 10, PLACE: 0},
            ),
            Experiment(
                "Make sevens from gray, without any noise",
                "thin ones from dark grays and bold ones from bright grays, all of one shape. Of "
                "the darkest, part of the bar is missing.",
                {"coview": "nothing", "codigit": "7", "conoise": 0.0, PLACE: 0},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Bansal et al. 2022, Cold Diffusion: Inverting Arbitrary Image Transforms "
                   "Without Noise", "algorithms 1 and 2; section 3.3: why the second forgives; "
                   "section 5: from nothing", "https://arxiv.org/abs/2208.09392"),
            Source("Rissanen, Heinonen & Solin 2023, Generative Modelling with Inverse Heat "
                   "Dissipation", "eq. 2: the heat equation by cosines",
                   "https://arxiv.org/abs/2206.13397"),
            Source("Song, Meng & Ermon 2021, Denoising Diffusion Implicit Models", "eq. 12",
                   "https://arxiv.org/abs/2010.02502"),
            Source("Song et al. 2023, Consistency Models", "algorithm 1: algorithm 1 here, with "
                   "fresh noise", "https://arxiv.org/abs/2303.01469"),
        ]
    )  # fmt: skip
    load.settle()


page()
