"""If the posterior is known, what is the model for?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.bayes import point_posterior
from diffusion_core.checkpoints import CheckpointError
from diffusion_core.datasets import DataError
from diffusion_core.denoisers import ideal_denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import SCHEDULES
from diffusion_core.true_reverse import (
    average_divergences,
    best_model_step,
    data_log_weights,
    divergence,
    draws_to_tell,
    gaussian_step_bound,
    moment_matched,
    non_gaussianity,
)
from pages.shared import chapter, load, reverse_digits
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.figures import Line, line_chart
from pages.shared.numbers import signed
from pages.shared.plot import plot
from pages.shared.reverse_axis import (
    LIMIT,
    MOST_POINTS,
    SMALLEST,
    STEPS,
    Scene,
    Told,
    earlier,
    read_points,
    reverse_axis,
    write_points,
)

VIEWS = {"line": "On a line", "gauss": "How Gaussian?", "digits": "Digits"}
WHOLE = 1000
POINTS = "-1.2, -0.8, 0.9"
DEFAULTS = {
    "wview": "line",
    "wschedule": "cosine",
    "wT": 3,
    "wpoints": POINTS,
    "wi": 3,
    "wx": 0.1,
    "wt": 520,
    "wknown": "new",
    "wdigit": 3,
    "wvariant": 1,
    "wseed": 0,
    "wshare": "all",
}
KNOWN = {"new": "new", "known": "one of the data"}
SHARES = {"all": "all", "tenth": "a tenth"}


def diffusion_of(schedule: str) -> GaussianDiffusion:
    """The process, in a thousand steps; fewer steps are longer ones of the same process."""
    return GaussianDiffusion(SCHEDULES[schedule](WHOLE))


def tensors(scene: Scene, schedule: str) -> tuple[GaussianDiffusion, *tuple[torch.Tensor, ...]]:
    """The arguments that diffusion_core's functions share: process, x_t, points, t, s."""
    one = {"dtype": torch.float64}
    t, s = torch.tensor([scene.t]), torch.tensor([earlier(scene.t, scene.T)])
    return diffusion_of(schedule), torch.tensor([scene.x_t], **one), torch.tensor(
        scene.points, **one
    ), t, s  # fmt: skip


@st.cache_data(max_entries=256, show_spinner=False)
def answer(schedule: str, scene: tuple) -> dict[str, Told]:
    """The three curves' means, deviations and divergences at one scene."""
    scene = Scene(*scene)
    arguments = tensors(scene, schedule)
    diffusion, x_t, points, t, s = arguments
    mixture = point_posterior(*arguments)
    steps = {
        "model": best_model_step(*arguments),
        "known": diffusion.q_posterior(x_t, points[[scene.chosen]], t, s),
    }
    told = {
        name: Told(float(step.mean), float(step.var.sqrt()), float(divergence(mixture, step)))
        for name, step in steps.items()
    }
    matched = moment_matched(mixture)
    gap = float(non_gaussianity(mixture))
    return told | {"true": Told(float(matched.mean), float(matched.var.sqrt()), gap)}


@st.cache_data(max_entries=64, show_spinner=False)
def over_steps(schedule: str, scene: tuple) -> dict[str, np.ndarray]:
    """Both divergences for every T at one x_t, NaN where infinite; [len(STEPS)] each."""
    told = [answer(schedule, tuple(Scene(*scene)._replace(T=T))) for T in STEPS]
    return {
        "true": shown([each["true"].nats for each in told]),
        "model": shown([each["model"].nats for each in told]),
    }


@st.cache_data(max_entries=32, show_spinner=False)
def over_time(schedule: str, points: tuple[float, ...], T: int) -> dict[str, np.ndarray]:
    """Both divergences at steps t along the way, averaged over x_t."""
    t = torch.linspace(round(WHOLE / T), WHOLE, 26, dtype=torch.float64).round().long().unique()
    t = t[t > round(WHOLE / T)]  # a step that ends at 0 ends on the data: infinitely far
    s = torch.tensor([earlier(int(step), T) for step in t])
    data = torch.tensor(points, dtype=torch.float64)
    true, model = average_divergences(diffusion_of(schedule), data, t, s)
    return {"t": t.numpy(), "true": shown(true.tolist()), "model": shown(model.tolist())}


def shown(nats: list[float]) -> np.ndarray:
    """Divergences that a logarithmic chart can show, NaN for the others."""
    values = np.array(nats)
    return np.where(np.isfinite(values) & (values > SMALLEST), values, np.nan)


def set_scene(scene: Scene) -> None:
    """Take over what the reader let go of; controls and address follow."""
    chapter.apply_state(
        wpoints=write_points(scene.points), wi=scene.chosen + 1, wx=scene.x_t, wt=scene.t,
        wT=scene.T,
    )  # fmt: skip


@st.fragment
def exhibit() -> None:
    """Three views of the true reverse step."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "The true reverse step", list(VIEWS), key="wview", default="line", required=True,
            bind="query-params", format_func=VIEWS.get, width="content",
        )  # fmt: skip
        if view == "digits":
            known = st.segmented_control(
                "The digit x₀ is", list(KNOWN), key="wknown", default="new", required=True,
                bind="query-params", format_func=KNOWN.get, width="content",
                help="New: it is not in the data set that the exact step is computed from.",
            )  # fmt: skip
        else:
            schedule = st.selectbox(
                "Noise schedule", list(SCHEDULES), index=list(SCHEDULES).index("cosine"),
                key="wschedule", bind="query-params", width=150,
            )  # fmt: skip
        T = None if view == "line" else steps_control()
    if view == "digits":
        on_digits(known, T)
        return
    stage = st.container()
    scene, sentences = exact_numbers(T)
    with stage:
        chapter.say(sentences)
        if view == "line":
            on_a_line(schedule, scene)
        else:
            how_gaussian(schedule, scene)


def steps_control() -> int:
    """In how many steps the way is walked."""
    return st.select_slider(
        "Jumps from noise to picture, T", STEPS, value=3, key="wT", bind="query-params", width=240,
        help="The same walk of 1000 steps, made in T equal jumps: from t one goes to "
        "s = t − 1000/T, or to 0 if that is below 0. With T = 1000, s is t − 1.",
    )  # fmt: skip


def exact_numbers(T: int | None) -> tuple[Scene, list[str]]:
    """Draw the boxes with every number of the line; what they say, and what was replaced.

    Args:
        T: where its control stands beside the exhibit already, what that says.
    """
    with st.expander("More: exact numbers"):
        text = st.text_input(
            "Data points, up to eight", POINTS, key="wpoints", max_chars=120, bind="query-params",
        )  # fmt: skip
        boxes = st.columns(4, vertical_alignment="bottom")
        options = {"bind": "query-params"}
        chosen = boxes[0].number_input("x₀ is point number", 1, MOST_POINTS, 3, key="wi", **options)
        x_t = boxes[1].number_input("xₜ", -LIMIT, LIMIT, 0.1, 0.05, key="wx", **options)
        t = boxes[2].number_input("Step t", 1, WHOLE, 520, key="wt", **options)
        if T is None:
            with boxes[3]:
                T = steps_control()
    sentences = []
    try:
        points = read_points(text)
    except ValueError as error:
        points = read_points(POINTS)
        sentences.append(f"{error} The page uses {POINTS} for the data.")
    if chosen > len(points):
        sentences.append(
            f"There are {len(points)} data points, and none has the number {chosen}: the page "
            f"takes number {len(points)} for x₀."
        )
        chosen = len(points)
    return Scene(points, chosen - 1, x_t, t, T), sentences


def on_a_line(schedule: str, scene: Scene) -> None:
    """The mixture beside the Gaussians that stand in for it, draggable."""
    reverse_axis(
        diffusion_of(schedule).schedule.alpha_bar.numpy(),
        scene,
        key="reverse_axis",
        told=answer(schedule, tuple(scene)),
        on_move=set_scene,
    )


def how_gaussian(schedule: str, scene: Scene) -> None:
    """The divergence over the number of steps, and over the way."""
    told, way = over_steps(schedule, tuple(scene)), over_time(schedule, scene.points, scene.T)
    steps = np.array(STEPS, dtype=float)
    left, right = st.columns(2, gap="large")
    if np.isfinite(told["true"]).any():
        figure = line_chart(
            [
                Line("to the nearest Gaussian", steps, told["true"], "q", 4, "left", -24),
                Line("to p<sub>θ</sub>", steps, told["model"], "p", 4, "right", 16),
            ],
            x_title="jumps from noise to picture, T",
            y_title=f"KL from the true step, nats, at t = {scene.t}, x<sub>t</sub> = {scene.x_t:g}",
            log_x=True,
            log_y=True,
            height=320,
            # As T's slider: from many short jumps to few long ones.
            x_axis={"range": [math.log10(WHOLE * 1.2), math.log10(STEPS[-1] * 0.8)]},
        )
        plot(
            figure,
            key="steps_chart",
            alt="Divergence of the true reverse step from Gaussians, over the number of steps",
            place=left,
        )
    else:
        left.markdown(why_no_chart(scene.points))
    if np.isfinite(way["true"]).any():
        middle = len(way["t"]) // 3
        figure = line_chart(
            [
                Line("to the nearest Gaussian", way["t"], way["true"], "q", middle, "right", -30),
                Line("to p<sub>θ</sub>", way["t"], way["model"], "p", middle, "left", 16),
            ],
            x_title="step t that it starts from",
            y_title=f"KL from the true step, nats, averaged, T = {scene.T:,}",
            log_y=True,
            height=320,
            x_axis={"range": [int(way["t"][0]), WHOLE]},
        )
        plot(
            figure,
            key="way_chart",
            alt="Divergence of the true reverse step from Gaussians, along the way",
            place=right,
        )
    gap, s = answer(schedule, tuple(scene))["true"].nats, earlier(scene.t, scene.T)
    length = scene.t - s
    charts = np.isfinite([*told["true"], *way["true"]]).any()
    st.caption(
        f"One jump of {length} step{'s' * (length > 1)}, from t = {scene.t} to s = {s}: "
        + in_words(gap, s)
        + " The charts leave out jumps to s = 0: these end on the data themselves." * bool(charts),
        help=odds(gap) if s else None,
    )


def why_no_chart(points: tuple[float, ...]) -> str:
    """What stands where no length of the jump has a divergence that a chart can show."""
    if len(set(points)) == 1:
        return "With a single data point the true step is Gaussian, at any length."
    return (
        "At this t and xₜ there is nothing to draw: each jump ends on the data, or is Gaussian as "
        "far as numbers can tell."
    )


def in_words(nats: float, s: int) -> str:
    """How far from a Gaussian a divergence is, of a step that ends at s."""
    if s == 0 and math.isfinite(nats):
        return (
            "the true step ends on a data point, a bell of width 0. Here one point has all the "
            "weight, as far as numbers can tell, so the step is a Gaussian: this bell."
        )
    if not math.isfinite(nats):
        return "the true step ends on the data points themselves, infinitely far from a Gaussian."
    if nats < SMALLEST:
        return "the true step is Gaussian, as far as numbers can tell."
    return f"{nats:.2g} nats from its nearest Gaussian, where 0 is exactly Gaussian."


def odds(nats: float) -> str | None:
    """A divergence as the number of draws that it takes to notice it, None where none does."""
    draws = draws_to_tell(nats)
    if not math.isfinite(nats) or nats < SMALLEST:
        return None
    count = f"{math.ceil(draws):,}" if draws < 1e6 else f"{draws:.0e}"
    return f"To be 20 to 1 sure that the true step is no Gaussian takes about {count} draws."


def on_digits(known: str, T: int) -> None:
    """The exact guess over a data set beside the network's, at every t."""
    stage = st.container()
    with st.expander("More: another digit, other noise, fewer data"):
        boxes = st.columns(4, vertical_alignment="bottom")
        options = {"bind": "query-params"}
        digit = boxes[0].number_input("Digit", 0, 9, 3, key="wdigit", **options)
        variant = boxes[1].number_input(
            "Variant", 1, reverse_digits.VARIANTS, 1, key="wvariant", **options
        )
        seed = boxes[2].number_input("Seed of the noise", 0, 9999, 0, key="wseed", **options)
        share = boxes[3].segmented_control(
            "Data", list(SHARES), key="wshare", default="all", required=True,
            format_func=SHARES.get, **options,
        )  # fmt: skip
    with stage:
        try:
            found = reverse_digits.guesses(digit, variant, known == "known", share, seed)
        except (CheckpointError, DataError) as error:
            st.error(f"{error} The other two views need no network.", icon=":material/cloud_off:")
            return
        reverse_digits.show(found, reverse_digits.draws(found, T, seed), T)


class Facts(NamedTuple):
    """The numbers that the text names, all for the page's defaults."""

    means: tuple[float, float]
    gaps: dict[int, float]
    std: tuple[float, float]
    extra: float
    short: tuple[float, float]


def facts() -> Facts:
    """Compute them; the parts are cached."""
    scene = Scene(read_points(POINTS), 2, DEFAULTS["wx"], DEFAULTS["wt"], 3)
    told = answer("cosine", tuple(scene))
    other = answer("cosine", tuple(scene._replace(chosen=0)))
    gaps = {T: answer("cosine", tuple(scene._replace(T=T)))["true"].nats for T in (1000, 10, 3)}
    ends = [answer("cosine", tuple(scene._replace(T=1000, chosen=k)))["known"] for k in (0, 2)]
    return Facts(
        (other["known"].mean, told["known"].mean),
        gaps,
        (told["model"].std, told["true"].std),
        told["model"].nats,
        (ends[1].mean - ends[0].mean, ends[0].std),
    )


def confusions(told: Facts) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    return [
        Confusion(
            "The posterior has a formula. Why train anything?",
            "The formula is for q(xₛ | xₜ, x₀): it asks for x₀. While training you have it. While "
            "sampling, x₀ is what you want to find. And it matters: with what the page opens with, "
            f"taking −1.2 for x₀ puts the step's centre at {signed(told.means[0])}, taking 0.9 "
            f"puts it at {signed(told.means[1])}. One of a thousand short steps hardly depends "
            f"on x₀: there the two centres are {told.short[0]:.3f} apart, with std "
            f"{told.short[1]:.3f}. But the next {DEFAULTS['wt'] - 1} push the same way, and who "
            "always puts in −1.2 ends at −1.2. The model's work is to say, from xₜ alone, what x₀ "
            "to put in.",
            {"wi": 1},
            "Press the blue points one after the other. The dashed curve jumps, though xₜ stays "
            "where it is. The green one, for x₀ unknown, doesn't move.",
            threads=[
                "https://ai.stackexchange.com/questions/36051/",
                "https://ai.stackexchange.com/questions/40368/",
                "https://stats.stackexchange.com/q/579964",
            ],
        ),
        Confusion(
            "Is q(xₜ₋₁ | xₜ) intractable, or not?",
            "For a finite data set it can be computed: a sum with one Gaussian for each data "
            "point, and this page sums it. What can't be computed is the same thing for "
            + term("all digits", "everybody's, also those not yet written")
            + " that could be written. Nobody has their distribution; the data are a sample of it. "
            "“Intractable” in the papers means this one.",
            {"wview": "digits", "wT": 10},
            "“Exact” is the group computed over every digit of the data. The third chart counts "
            "how many of them are still in play.",
        ),
        Confusion(
            "When is the reverse step really nearly Gaussian?",
            "When it is short. With the three points, xₜ = 0.1 and the cosine schedule that the "
            "page opens with, from t = 520, the true step is "
            f"{told.gaps[3]:.2g} nats from its nearest Gaussian when the way has 3 steps, "
            f"{told.gaps[10]:.1g} with 10 and {told.gaps[1000]:.0e} with 1,000. Over a short step "
            "xₜ itself says nearly all about xₛ, and which data point it came from shifts the "
            "bells by far less than they are wide. That the noise is Gaussian is not enough: long "
            "steps have Gaussian noise, too. The very last step is the exception: it ends on the "
            "data, however short it is.",
            {"wview": "gauss"},
            "First chart: the fewer steps, the less Gaussian each one is. Second: with these data "
            "and 2 to 200 jumps, the one from the smallest t is hardest to fit. With 1,000 the "
            "hardest is a little higher up: below, one data point has nearly all the weight.",
            threads=["https://stats.stackexchange.com/q/647213"],
        ),
        Confusion(
            "If the exact step can be computed over the data, why not sample with it?",
            "Because it only leads back to the data. With little noise left, one data point has "
            "all the weight, and the exact guess is that point, to the pixel. A walk made of exact "
            "steps ends on a digit of the data set: a slow way to pick one at random. That is "
            + term("memorising", "giving back the data instead of new things like them")
            + ".",
            {"wview": "digits", "wknown": "new", "wT": 50},
            "The exact guess is a digit of the data, to the pixel: its distance from the nearest "
            "is 0. The digit hidden in xₜ is another one.",
        ),
        Confusion(
            "And the network? It was trained on the same kind of error.",
            "The error that it was trained on is smallest for the exact guess, so a perfect "
            "learner would memorise as well. The network can't hold all its data, and its layers "
            "look for strokes, wherever they are; so where the exact guess snaps to a "
            "data point, the network draws the stroke that it sees. For a digit that is not in the "
            "data it ends nearer to the truth. Where both know the same data, that gap is what is "
            "meant by generalising. The note below the exhibit says what they know here.",
            {"wview": "digits", "wknown": "new"},
            "First chart, small t: the purple line falls below the green one. The network is "
            "nearer to the hidden digit than the exact guess over these data is.",
        ),
        Confusion(
            "The best model has the right mean. What is left to get wrong?",
            "Its width and its shape. The mean of q(xₛ | xₜ, x₀) is linear in x₀, so averaging it "
            "over x₀ is the same as putting in E[x₀ | xₜ]. But the variance β̃ counts only the "
            "doubt that is left when x₀ is known: with what the page opens with, the model's step "
            f"has std {told.std[0]:.2f}, the true one {told.std[1]:.2f}. Together "
            f"with the missing humps that costs {told.extra:.2g} nats. Short steps make both "
            "errors vanish; a learned variance mends the first.",
            {"wT": 3},
            "Purple stands at the centre of green, narrower, and with most of its mass between the "
            "humps where the truth has less.",
        ),
    ]


def page() -> None:
    """Lay out the page."""
    told = facts()
    chapter.header("Why a model?", defaults=DEFAULTS)
    chapter.prose(
        "If x₀ is known, one step back is a Gaussian with a formula. If not, any data point may "
        "have been the start: a "
        + term("mixture", "a weighted sum of densities; the weights add up to 1")
        + ", green. The model, purple, has one Gaussian to stand in for it."
    )
    chapter.question(
        "With the formula for q(xₜ₋₁ | xₜ, x₀) in hand, what is a network for?",
        {
            "The formula is only approximate": "It is exact, for every schedule and every step; "
            "the page “Posterior” checks it by summing.",
            "It says what x₀ to put in": "The formula asks for x₀, and that is what sampling is to "
            "find. The network reads a guess of it off xₜ. Press another blue point and see how "
            "much hangs on it.",
            "The formula is too slow": "It is two multiplications and a sum per pixel, far "
            "cheaper than any network. What it lacks is x₀.",
        },
        answer="It says what x₀ to put in",
    )
    chapter.look()
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(point_posterior, best_model_step, non_gaussianity, divergence)
    formula_and_code(
        ideal_denoiser,
        data_log_weights,
        gaussian_step_bound,
        under="Among digits",
    )

    chapter.why(confusions(told))
    chapter.try_this(
        [
            Experiment(
                "A thousand steps, then fewer and fewer",
                "at T = 1,000 all curves are one, dashed too: a single step hardly needs x₀, "
                f"though all {DEFAULTS['wt']} in a row lead to the x₀ that is put in. Pull T to "
                "the right: purple is left behind first, then green leaves the dotted Gaussian, "
                "then it parts into humps.",
                {"wT": 1000},
            ),
            Experiment(
                "A data set of one point",
                "all curves agree at any T: x₀ is known, so there is nothing for a model to say.",
                {"wpoints": "0.5", "wi": 1},
            ),
            Experiment(
                "Hide a digit that is one of the data",
                "now the exact guess finds it, to the pixel, once the noise is low enough, and "
                "beats the network there: it has the answer in its list.",
                {"wview": "digits", "wknown": "known"},
            ),
        ]
    )
    chapter.sources(
        [
            Source("What is the exact role of model p_θ?", "the question of this page",
                   "https://ai.stackexchange.com/questions/36051/"),
            Source("Ho, Jain, Abbeel 2020, Denoising Diffusion Probabilistic Models",
                   "eq. 6 to 8; section 3.2", "https://arxiv.org/abs/2006.11239"),
            Source("Sohl-Dickstein et al. 2015, Deep Unsupervised Learning using Nonequilibrium "
                   "Thermodynamics", "section 2.2: small steps have the same form backwards",
                   "https://arxiv.org/abs/1503.03585"),
            Source("Karras et al. 2022, Elucidating the Design Space of Diffusion-Based "
                   "Generative Models", "appendix B.3: the ideal denoiser",
                   "https://arxiv.org/abs/2206.00364"),
            Source("Bao et al. 2022, Analytic-DPM", "theorem 1: the best variance",
                   "https://arxiv.org/abs/2201.06503"),
        ]
    )  # fmt: skip
    load.settle()


page()
