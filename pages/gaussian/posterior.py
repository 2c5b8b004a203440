"""What is q(x_{t-1} | x_t, x_0), exactly?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.bayes import (
    hump_distance,
    normalised_product,
    optimal_reverse_variance,
    point_posterior,
    posterior_by_quadrature,
    weight_sum,
)
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import SCHEDULES
from pages.shared import chapter, load
from pages.shared.bayes_axis import LIMIT, Moments, Point, bayes_axis
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.figures import Line, line_chart
from pages.shared.pictures import as_bytes, choose_picture, shown_steps
from pages.shared.player import Curve, Panel, player
from pages.shared.plot import plot
from pages.shared.short_chains import capped

VIEWS = {
    "line": "On a line",
    "weights": "Weights",
    "variance": "β or β̃?",
    "picture": "Picture",
}
BACK = {"one": "s = t − 1", "half": "s = t/2", "all": "s = 0"}
DIGIT_VARIANCE = 0.25
"""Of the pixels of the digit that the pages begin with, to two decimals."""
DATA_VARIANCES = (0.0, 0.0001, 0.001, 0.01, 0.1, DIGIT_VARIANCE, 1.0)
DATA = (-1.0, 1.0)
VARIANCE_NAMES = {0.0: "0, a point", DIGIT_VARIANCE: "0.25, a digit’s pixels", 1.0: "1, pure noise"}
DEFAULTS = {
    "pview": "line",
    "schedule_p": "linear",
    "T": 1000,
    "pt": 300,
    "ps": 200,
    "px0": 0.8,
    "pxt": -0.4,
    "pmix": False,
    "pback": "one",
    "pfar": "half",
    "pv": DIGIT_VARIANCE,
    "source": "gallery",
    "digit": 3,
    "variant": 1,
    "seed": 0,
}
MOST_T = 1000


def diffusion_of(schedule: str, T: int) -> GaussianDiffusion:
    """The process that the controls describe."""
    return GaussianDiffusion(SCHEDULES[schedule](T))


def repaired(t: int, s: int, T: int) -> tuple[int, int, str]:
    """Steps with 0 <= s < t <= T, and one sentence about what was replaced, or none."""
    good_t = min(t, T)
    good_s = min(s, good_t - 1)
    if (good_t, good_s) == (t, s):
        return t, s, ""
    reason = f"t = {t} is beyond the last step, {T}" if t > T else f"s = {s} is not before t = {t}"
    return good_t, good_s, f"{reason}: the page uses t = {good_t} and s = {good_s}."


def pairs(T: int, back: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Every t from 1 to T, and the s that lies one step, half of the way or all the way back."""
    t = torch.arange(1, T + 1)
    return t, {"one": t - 1, "half": t // 2, "all": torch.zeros_like(t)}[back]


@st.cache_data(max_entries=256, show_spinner=False)
def answer(
    schedule: str, T: int, x0: float, x_t: float, t: int, s: int
) -> tuple[Moments, Moments, float]:
    """The posterior at one point, by formula and by summing the product; the gap between them."""
    diffusion = diffusion_of(schedule, T)
    clean, noisy = (torch.tensor([v], dtype=torch.float64) for v in (x0, x_t))
    steps = torch.tensor([t]), torch.tensor([s])
    closed = diffusion.q_posterior(noisy, clean, *steps)
    end = diffusion.q_marginal(clean, steps[0])
    log_end = torch.distributions.Normal(end.mean, end.var.sqrt()).log_prob(noisy)
    summed = posterior_by_quadrature(diffusion, noisy, clean, *steps)
    return (
        Moments(float(closed.mean), float(closed.var.sqrt()), float(log_end)),
        Moments(float(summed.mean), float(summed.var.sqrt()), float(summed.log_normaliser)),
        float(summed.residual),
    )


@st.cache_data(max_entries=32, show_spinner=False)
def over_time(schedule: str, T: int, back: str) -> dict[str, np.ndarray]:
    """Weights and variances of the posterior at every t, each [T]."""
    diffusion = diffusion_of(schedule, T)
    t, s = pairs(T, back)
    one = torch.ones(T, dtype=torch.float64)
    x0, x_t, var = diffusion.posterior_coefficients(t, s, one)
    forward = diffusion.q_step(one, t, s).var
    total = weight_sum(diffusion, t, s)
    columns = {"t": t, "x0": x0, "x_t": x_t, "sum": total, "posterior": var, "forward": forward}
    return {name: column.numpy() for name, column in columns.items()}


@st.cache_data(max_entries=64, show_spinner=False)
def best_variance(schedule: str, T: int, back: str, data_variance: float) -> np.ndarray:
    """The optimal reverse variance at every t, [T]."""
    diffusion = diffusion_of(schedule, T)
    return optimal_reverse_variance(diffusion, data_variance, *pairs(T, back)).numpy()


@st.cache_data(max_entries=32, show_spinner=False)
def pictures(
    pixels: bytes, shape: tuple[int, ...], schedule: str, T: int, seed: int, back: str
) -> dict[str, np.ndarray]:
    """x_0, x_t, the posterior's mean, its standard deviation and a draw, at the shown steps."""
    image = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(shape)
    diffusion = diffusion_of(schedule, T)
    shown = shown_steps(T, shape, first=1)
    t, s = (steps[shown - 1] for steps in pairs(T, back))
    x0 = (image.double() / 127.5 - 1).expand(len(t), *shape)
    generator = torch.Generator().manual_seed(seed)
    eps, noise = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    x_t = diffusion.q_sample(x0, t, eps.expand_as(x0))
    posterior = diffusion.q_posterior(x_t, x0, t, s)
    std = posterior.var.sqrt()
    return {
        "t": t.numpy(),
        "s": s.numpy(),
        "x0": as_bytes(x0),
        "x_t": as_bytes(x_t),
        "mean": as_bytes(posterior.mean),
        "std": as_bytes((2 * std - 1).expand_as(x0)),
        "draw": as_bytes(posterior.sample(noise)),
        "deviation": std.flatten().numpy(),
    }


def set_point(point: Point) -> None:
    """Take over where the reader let go; controls and address follow."""
    chapter.apply_state(px0=point.x0, pxt=point.x_t, pt=point.t, ps=point.s)


def keep_places() -> None:
    """On another T, leave s and t at the same share of the way."""
    before, T = st.session_state.get("_posterior_T", MOST_T), st.session_state["T"]
    t = max(1, round(st.session_state.get("pt", DEFAULTS["pt"]) * T / before))
    s = min(t - 1, round(st.session_state.get("ps", DEFAULTS["ps"]) * T / before))
    chapter.apply_state(pt=min(t, T), ps=s)


def one_of_the_data() -> None:
    """When x₀ is forgotten, draw what it would say for a value that it may have had."""
    if st.session_state["pmix"] and st.session_state["px0"] not in DATA:
        chapter.apply_state(px0=DATA[1])


@st.fragment
def exhibit() -> None:
    """Four views of one posterior."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "The posterior", list(VIEWS), key="pview", default="line", required=True,
            bind="query-params", format_func=VIEWS.get, width="content",
        )  # fmt: skip
        schedule = st.selectbox(
            "Noise schedule", list(SCHEDULES), key="schedule_p", bind="query-params", width=150
        )
        T = st.select_slider(
            "Number of steps T", [10, 100, 1000], value=1000, key="T", bind="query-params",
            on_change=keep_places, width=180,
        )  # fmt: skip
    st.session_state["_posterior_T"] = T
    draw = {"line": on_a_line, "weights": weights, "variance": variance, "picture": on_a_picture}
    draw[view](schedule, T)


def on_a_line(schedule: str, T: int) -> None:
    """Bayes' rule with its two factors, draggable."""
    stage = st.container()
    forgotten = st.toggle(
        "Forget x₀: all that is known is that it was −1 or +1", key="pmix", bind="query-params",
        on_change=one_of_the_data,
    )  # fmt: skip
    with st.expander("More: exact numbers"):
        boxes = st.columns(4)
        options = {"bind": "query-params"}
        t = boxes[0].number_input("Step t", 1, MOST_T, 300, key="pt", **options)
        s = boxes[1].number_input("Step s, before t", 0, MOST_T - 1, 200, key="ps", **options)
        x0 = boxes[2].number_input("x₀", -LIMIT, LIMIT, 0.8, 0.05, key="px0", **options)
        x_t = boxes[3].number_input("xₜ", -LIMIT, LIMIT, -0.4, 0.05, key="pxt", **options)
    t, s, sentence = repaired(t, s, T)
    closed, summed, residual = answer(schedule, T, x0, x_t, t, s)
    with stage:
        if sentence:
            st.caption(f":material/build: {sentence}")
        bayes_axis(
            diffusion_of(schedule, T).schedule.alpha_bar.numpy(),
            Point(x0, x_t, t, s),
            key="bayes_axis",
            closed=closed,
            summed=summed,
            residual=residual,
            points=DATA,
            forgotten=forgotten,
            on_move=set_point,
        )
        chapter.prose(
            "Blue is where xₛ may lie when it comes from x₀. The curve without colour, q(xₜ | xₛ), "
            "is how well each xₛ would explain the xₜ that was seen: a "
            + term(
                "likelihood", "the probability of what was seen, as a function of what is not known"
            )
            + ", so its area need not be 1. By "
            + term(
                "Bayes' rule", "what is known afterwards ∝ what was known before × what was seen"
            )
            + ", their product, divided by its area, is the "
            + term("posterior", "the distribution of something unknown once the evidence is in")
            + " in green: all there is to know about xₛ."
        )


def forward_noise(back: str) -> str:
    """What the forward noise from s to t is called."""
    return "β" if back == "one" else "noise from s to t"


def how_far_back(key: str = "pback") -> str:
    """Which s goes with each t. A picture has its own control: there one step changes little."""
    return st.segmented_control(
        "Look back from t to", list(BACK), key=key, default=DEFAULTS[key], required=True,
        bind="query-params", format_func=BACK.get,
    )  # fmt: skip


def weights(schedule: str, T: int) -> None:
    """The two weights in the mean, and the variance against beta, over all t."""
    back = how_far_back()
    told = over_time(schedule, T, back)
    early, late = round(len(told["t"]) ** 0.25), round(len(told["t"]) ** 0.6)
    left, right = st.columns(2, gap="large")
    figure = line_chart(
        [
            Line("weight of x<sub>0</sub>", told["t"], told["x0"], "x0", late, shift=14),
            Line("weight of x<sub>t</sub>", told["t"], told["x_t"], "xt", late, shift=-16),
            Line("their sum", told["t"], told["sum"], "q", early, shift=16, dash="dot"),
        ],
        x_title="step t",
        y_title="weight in the posterior's mean",
        log_x=T > 10,
        y_range=(-0.04, 1.16),
    )
    plot(
        figure,
        key="weights_chart",
        alt="The weights of x_0 and of x_t in the posterior mean, and their sum, over t",
        place=left,
    )
    figure = line_chart(
        [
            Line(
                forward_noise(back),
                told["t"],
                told["forward"],
                "eps",
                late,
                anchor="right",
                shift=16,
            ),
            Line("β̃, the posterior's", told["t"], told["posterior"], "q", late, shift=-16),
        ],
        x_title="step t",
        y_title="variance",
        log_x=T > 10,
        log_y=True,
    )
    plot(
        figure,
        key="variance_chart",
        alt="The variance of the posterior and the variance of the forward noise, over t",
        place=right,
    )
    lowest = int(told["sum"].argmin())
    st.caption(
        f"The smallest sum is {told['sum'][lowest]:.6g}, at t = {told['t'][lowest]}. "
        + (
            "At s = 0 the posterior's variance is 0, which a logarithmic axis can't show."
            if back == "all"
            else "At t = 1 the posterior's variance is 0, so its line begins at t = 2."
        )
        + (" The zigzag at small t: s is t/2, rounded down." if back == "half" else "")
        + f" {capped(schedule, T)}"
    )


def variance(schedule: str, T: int) -> None:
    """The best variance of a reverse step, between beta-tilde and beta."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        back = how_far_back()
        data_variance = st.select_slider(
            "Variance v of the data N(0, v)", DATA_VARIANCES, value=DIGIT_VARIANCE, key="pv",
            bind="query-params", width=300,
            format_func=lambda v: VARIANCE_NAMES.get(v, f"{v:g}"),
        )  # fmt: skip
    told = over_time(schedule, T, back)
    best = best_variance(schedule, T, back, data_variance) / told["forward"]
    share = told["posterior"] / told["forward"]
    early, late = round(len(told["t"]) ** 0.22), round(len(told["t"]) ** 0.5)
    figure = line_chart(
        [
            Line(f"{forward_noise(back)}, right for v = 1", told["t"], np.ones(T), "eps", late,
                 shift=14, dash="dash"),
            Line("β̃, right for v = 0", told["t"], share, "q", early, shift=-18, dash="dash"),
            Line(f"the best for v = {data_variance:g}", told["t"], best, "p", late, shift=-34,
                 width=3),
        ],
        x_title="step t",
        y_title="variance of x<sub>s</sub> given x<sub>t</sub>, as a share of the forward noise",
        log_x=T > 10,
        y_range=(-0.04, 1.16),
        height=340,
    )  # fmt: skip
    plot(
        figure,
        key="best_chart",
        alt="The best reverse variance for Gaussian data lies between beta-tilde and beta",
    )
    agree = agree_from(best, share)
    st.caption(
        f"At t = 2: β̃ is {share[1]:.1%} of the forward noise, the best for v = {data_variance:g} "
        f"is {best[1]:.1%}. "
        + (
            f"From t = {agree} on the two differ by less than a hundredth."
            if 1 < agree <= T
            else ""
        )
        + f" {capped(schedule, T)}"
    )


def agree_from(best: np.ndarray, share: np.ndarray) -> int:
    """The t from which two shares of the forward noise, both [T], differ by a hundredth at most."""
    far = np.flatnonzero(best - share > 0.01)
    return int(far[-1]) + 2 if len(far) else 1


def on_a_picture(schedule: str, T: int) -> None:
    """The same posterior for every pixel of a picture."""
    stage, controls = st.columns([8, 3], gap="small")
    with controls:
        picture = choose_picture()
        with st.expander("More: how far back, other noise"):
            back = how_far_back("pfar")
            seed = st.number_input("Seed", 0, 9999, 0, key="seed", bind="query-params")
    pixels = picture.pixels
    told = pictures(pixels.tobytes(), pixels.shape, schedule, T, seed, back)
    table = over_time(schedule, T, back)
    at = told["t"] - 1
    with stage:
        player(
            [
                Panel("$x_0$", f"{picture.about}, clean", told["x0"], "x0"),
                Panel("$x_t$", f"{picture.about} with the noise of t steps", told["x_t"]),
                Panel("mean of $x_s$", "the posterior's mean", told["mean"], "q"),
                Panel("its std", "the posterior's standard deviation, one gray for all pixels",
                      told["std"], "q", lo=0, hi=1),
                Panel("a draw $x_s$", "mean plus standard deviation times noise", told["draw"],
                      "q"),
            ],
            curves=[
                Curve("of $x_0$", table["x0"][at], "x0", "weight in the mean", 0, 1, digits=3),
                Curve("of $x_t$", table["x_t"][at], "xt", "weight in the mean", 0, 1, digits=3),
                Curve("of $x_s$", told["deviation"], "q", "standard deviation", 0, digits=3),
            ],
            key="posterior_player",
            scale=5,
            total=len(at),
            captions=[
                f"t = {t} · s = {s} · std {d:.3f}"
                for t, s, d in zip(told["t"], told["s"], told["deviation"], strict=True)
            ],
            ends=("t = 1", f"t = {T}"),
            autoplay=True,
            hold=True,
            report_frame=False,
            label="The posterior of a picture, over the steps t",
        )  # fmt: skip
        little = "; one step back would change too little to see at nearly every t" * (T == MOST_T)
        halfway = (
            f"Here s is t/2, rounded down, so at t = 1 it is 0 and the std too{little}. "
        ) * (back == "half")
        chapter.prose(
            f"{halfway}The map of the standard deviation is one flat gray. Neither pixel nor noise "
            "enters the posterior's variance: it depends on t, s and the schedule alone."
        )


class Facts(NamedTuple):
    """The numbers that the text names, for the linear schedule of 1000 steps unless said.

    Attributes:
        beta_1: β at t = 1.
        share_2: β̃ over β at t = 2.
        weights: of x₀, of xₜ, and their sum, from t = 300 to s = 200.
        signal: √ᾱ at these two.
        near: distance of the humps one step back from t = 300, in their standard deviations.
        far: the same from t = 300 to s = 100.
        early: as `near`, for the schedule whose log-SNR is a straight line.
        chances: weights of −1 and +1.
        best_2: as share_2, the best for v = 0.01.
        short: most by which the best for a digit's pixels lies below β, as a share of β.
        least_of_ten: least that this best is in ten steps, as a share of β.
        agree: from which t on β̃ is less than a hundredth of β below β.
        leaves_1: from which t on the weights' sum is less than 0.99, s = t/2.
        least: the least sum.
    """

    beta_1: float
    share_2: float
    weights: tuple[float, float, float]
    signal: tuple[float, float]
    near: float
    far: float
    early: float
    chances: tuple[float, float]
    best_2: float
    short: float
    least_of_ten: float
    agree: int
    leaves_1: int
    least: float


def facts() -> Facts:
    """Compute them; the slow parts are cached."""
    diffusion = diffusion_of("linear", 1000)
    beta = diffusion.schedule.beta
    t, s = torch.tensor([300]), torch.tensor([200])
    c_x0, c_xt, _ = diffusion.posterior_coefficients(t, s, torch.zeros(1))
    table = over_time("linear", 1000, "one")
    half = over_time("linear", 1000, "half")
    chances = point_posterior(diffusion, torch.tensor([0.2]), torch.tensor(DATA), t, s).weights[0]
    share = table["posterior"] / table["forward"]
    some, digit = (
        best_variance("linear", 1000, "one", v) / table["forward"] for v in (0.01, DIGIT_VARIANCE)
    )
    ten = best_variance("linear", 10, "one", DIGIT_VARIANCE)
    return Facts(
        float(beta[1]),
        float(share[1]),
        (float(c_x0), float(c_xt), float(weight_sum(diffusion, t, s))),
        tuple(float(diffusion.rates(v, torch.zeros(1))[0]) for v in (t, s)),
        float(hump_distance(diffusion, 2.0, t, t - 1)),
        float(hump_distance(diffusion, 2.0, t, torch.tensor([100]))),
        float(hump_distance(diffusion_of("log_snr_linear", 1000), 2.0, t, t - 1)),
        (float(chances[0]), float(chances[1])),
        float(some[1]),
        float(1 - digit.min()),
        float((ten / over_time("linear", 10, "one")["forward"]).min()),
        agree_from(np.ones(1000), share),
        int(half["t"][half["sum"] < 0.99][0]),
        float(half["sum"].min()),
    )


def page() -> None:
    """Lay out the page."""
    told = facts()
    chapter.header(
        "Posterior", defaults=DEFAULTS, renamed={"pv": {"0.3": VARIANCE_NAMES[DIGIT_VARIANCE]}}
    )
    chapter.prose(
        "Noise was added to x₀, step by step, and xₜ came out. Where was it on the way, at an "
        "earlier step s? One step back is s = t − 1."
    )
    chapter.question(
        "You know xₜ, and the clean x₀ it came from. How uncertain is xₜ₋₁ at t = 1?",
        {
            "As uncertain as one dose of noise": "That is how uncertain x₁ is when x₀ is known: "
            f"variance β₁, {told.beta_1:g} with the linear schedule and T = 1000. Looking "
            "back you know x₀ as well, and at t = 1 the xₜ₋₁ you are asked about *is* x₀. Drag s "
            "to 0 and watch the green curve.",
            "Half as uncertain": "The two facts do share the work, and near t = 2 it is about "
            "half: with the linear schedule and T = 1000 the variance there is "
            f"{told.share_2:.0%} of one dose. At t = 1 nothing is left to find out, since xₜ₋₁ is "
            "the x₀ that you were given.",
            "Not at all": "At t = 1, xₜ₋₁ is x₀, and you were given that. The formula agrees: "
            "its variance has the factor 1 − ᾱ₀ = 0. Drag s to 0 and watch the green curve close "
            "to a point.",
        },
        answer="Not at all",
    )
    chapter.look()
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(
        GaussianDiffusion.q_posterior,
        GaussianDiffusion.posterior_coefficients,
        normalised_product,
        optimal_reverse_variance,
    )

    chapter.why(
        [
            Confusion(
                "Is q(xₜ₋₁ | xₜ) Gaussian, or only when x₀ is given, too?",
                "For sure only when x₀ is given. (Normally distributed data are the exception; "
                "pictures are not.) Without it, xₛ may have come from any data point, and "
                "q(xₛ | xₜ) is a "
                + term("mixture", "a weighted sum of densities; the weights add up to 1")
                + ": one bell for each point. Here the data are −1 and +1, and the dashed curve "
                "has two humps. Their distance decides: two equal bells merge into one hump when "
                "they are less than 2 of their standard deviations apart. With the linear schedule "
                f"and T = 1000, from t = 300 to s = 100 it is {told.far:.1f}; one step back, to "
                f"s = 299, it is {told.near:.2f}. So for small steps a Gaussian is a good guess, "
                "and that is what a network may use. (Small means small beside the noise that "
                "is there. With log_snr_linear there is next to none at t = 300, and one step "
                f"back the distance is still {told.early:.1f}.)",
                {"pmix": True, "pt": 300, "ps": 100, "pxt": 0.0, "px0": 1.0},
                "The dashed curve, without x₀, is the sum of two bells: two humps. Now press “one "
                "step”: the bells merge.",
                threads=[
                    "creatis-myriad/creatis-myriad.github.io#155",
                    "https://stats.stackexchange.com/q/647213",
                ],
            ),
            Confusion(
                "β or β̃: which variance should a reverse step use?",
                "With 1000 steps either will do: with the linear schedule the two are within a "
                f"hundredth of β of each other from t = {told.agree} on. With few steps it "
                "matters. β̃ is right if x₀ is known, β if the data are pure noise N(0, 1); data in "
                "between need something in between, the purple line. For single numbers as spread "
                f"as a digit’s pixels, v = {DIGIT_VARIANCE:g}, that is β to within "
                f"{told.short:.1%} at every t with these 1000 steps; with ten steps the best falls "
                f"to {told.least_of_ten:.0%} of β. And the pixels of a picture tell about each "
                "other, so x₀ is known better than that and the best lies lower still: with few "
                "steps, networks learn it (Nichol and Dhariwal).",
                {"pview": "variance", "pv": 0.01, "pt": 2, "ps": 1},
                f"For v = 0.01 the purple line is just below β. At t = 2 β̃ is {told.share_2:.0%} "
                f"of β, and the best {told.best_2:.0%}.",
                threads=[
                    "aqlaboratory/genie#5",
                    "zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#18",
                    "Janspiry/Image-Super-Resolution-via-Iterative-Refinement#54",
                    "jhbastek/PhysicsInformedDiffusionModels#4",
                    "KimRass/DDPM#1",
                ],
            ),
            Confusion(
                "Why is the variance 0 at t = 1?",
                "Because xₜ₋₁ is then x₀, which is given: the factor 1 − ᾱₛ, with ᾱ₀ = 1. A "
                "sampler has no x₀ and guesses it, so something is left there, the guess's "
                "uncertainty: the purple line of “β or β̃?” is not 0 at t = 1, unless v is. A "
                "sampler's last step adds no noise all the same, since the guess is the picture "
                "that is wanted. (Code that takes the logarithm of the variance puts β̃₂ in the "
                "place of 0.)",
                {"T": 10, "pt": 1, "ps": 0, "px0": 0.8, "pxt": 0.75},
                "T is 10 now, and t = 1. At s = 0 the green curve is a point, and it stands on x₀, "
                "wherever xₜ is.",
            ),
            Confusion(
                "Does the posterior exist for s = t − 1 only?",
                "No: for any earlier s. Bayes' rule needs q(xₜ | xₛ) and q(xₛ | x₀), and both "
                "are Gaussian with known rates for every pair. A DDPM that skips "
                "steps samples with just this, and DDIM with η = 1 is the same. (DDIM with η = 0 "
                "skips steps, too, but adds no noise: its steps have the variance 0.) Drag s "
                "along its line: the green curve wanders from x₀ to xₜ.",
                {"pt": 900, "ps": 300},
                "Six hundred steps in one: still a bell. Drag s along its line.",
            ),
            Confusion(
                "Why is the mean a weighted sum of x₀ and xₜ? Do the weights add up to 1?",
                "Two bell curves multiply to a bell curve, and its centre is an average of theirs, "
                "the narrower one counting more. The two centres are √ᾱₛ·x₀ and xₜ·√(ᾱₛ/ᾱₜ), not "
                "x₀ and xₜ, so the weights of x₀ and xₜ need not add up to 1. With the linear "
                "schedule and T = 1000, at t = 300, s = 200, "
                f"they are {told.weights[0]:.3f} and {told.weights[1]:.3f}, together "
                f"{told.weights[2]:.3f}. What they do satisfy: the first plus √ᾱₜ times the "
                f"second is √ᾱₛ, here {told.weights[0]:.3f} + {told.signal[0]:.3f} · "
                f"{told.weights[1]:.3f} = {told.signal[1]:.3f}. Otherwise xₛ would come out too "
                "strong or too faint.",
                {"pview": "weights", "pback": "half"},
                "The dotted line, the sum, with the linear schedule: from t = "
                f"{told.leaves_1} on it is less than 0.99, and it falls to {told.least:.2f}. With "
                "s = t − 1 instead, the two weights trade places right at the start.",
                threads=["lucidrains/denoising-diffusion-pytorch#275"],
            ),
        ]
    )
    chapter.try_this(
        [
            Experiment(
                "One step back from t = 300",
                "the green curve lies on that of q(xₜ | xₛ): over a small step xₜ says nearly all, "
                "and x₀ moves the mean by little. Drag x₀ and see how little.",
                {"pt": 300, "ps": 299},
            ),
            Experiment(
                "All but impossible: from x₀ = −3 to xₜ = 3 in 30 steps",
                "the formula still gives a curve between the two, and the area under the product "
                "says how unlikely that end is from that start.",
                {"px0": -3.0, "pxt": 3.0, "pt": 30, "ps": 15},
            ),
            Experiment(
                "Forget x₀, and move xₜ to 0.2",
                f"the humps get unequal: +1 is now the likelier start, {told.chances[1]:.0%} to "
                f"{told.chances[0]:.0%}.",
                {"pmix": True, "px0": 1.0, "pxt": 0.2, "pt": 300, "ps": 100},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Ho, Jain, Abbeel 2020, Denoising Diffusion Probabilistic Models",
                   "eq. 6 and 7; section 3.2 for β and β̃", "https://arxiv.org/abs/2006.11239"),
            Source("Nichol, Dhariwal 2021, Improved DDPM", "eq. 10 to 12; section 3.1",
                   "https://arxiv.org/abs/2102.09672"),
            Source("Kingma et al. 2021, Variational Diffusion Models",
                   "eq. 23 to 25, any pair s < t", "https://arxiv.org/abs/2107.00630"),
            Source("Song, Meng, Ermon 2021, Denoising Diffusion Implicit Models",
                   "eq. 7, 12 and 16: η, and steps that are skipped",
                   "https://arxiv.org/abs/2010.02502"),
            Source("Bao et al. 2022, Analytic-DPM", "theorem 1: the best variance",
                   "https://arxiv.org/abs/2201.06503"),
        ]
    )  # fmt: skip
    load.settle()


page()
