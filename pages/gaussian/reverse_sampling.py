"""What happens on the way back from noise to a picture?"""

from __future__ import annotations

import streamlit as st

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.recipes import RECIPES
from diffusion_core.samplers import VARIANCES, Interpolated, clip_prediction, step_mean
from diffusion_core.schedules import SCHEDULES
from diffusion_core.statistics import chain_variance
from pages.shared import bench, chapter, load
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.player import follow, session_runs

DIGITS = ("each", "any", *map(str, range(10)))
STEPS = (5, 10, 20, 50, 100, 200)
KNOWN_VARIANCES = tuple(name for name in VARIANCES if name != "learned")
DEFAULTS = {
    "class": "each",
    "steps": 50,
    "eta": 0.0,
    "seed": 0,
    "compare": False,
    "eta_b": 1.0,
}
ROW_DEFAULTS = {"noise": 1.0, "at_end": False, "variance": "posterior", "clip": True, "fresh": 0}
for _suffix in ("", "_b"):
    DEFAULTS |= {f"{key}{_suffix}": value for key, value in ROW_DEFAULTS.items()}


def name_of(rule: bench.Rule) -> str:
    """What the literature calls a rule, as far as it has a name."""
    name = {0.0: "DDIM", 1.0: "DDPM"}.get(rule.eta, f"η = {rule.eta:g}")
    if rule.eta:
        name += ", β" if rule.variance == "beta" else ""
        name += f", noise × {rule.noise_scale:g}" if rule.noise_scale != 1 else ""
    name += ", noise at the end" if rule.noise_at_end else ""
    name += f", fresh noise {rule.fresh}" if rule.fresh else ""
    return name if rule.clip else f"{name}, not clipped"


def rule_controls(suffix: str, eta: float, of: str) -> bench.Rule:
    """The controls of one row that sit behind "more"; `eta` is set elsewhere."""
    of = of and f", {of}"
    noise = st.slider(
        f"Fresh noise times{of}", 0.0, 1.5, 1.0, 0.1, key=f"noise{suffix}", bind="query-params",
        help="1 is right. 0 leaves out the fresh noise and changes nothing else.",
        disabled=eta == 0,
    )  # fmt: skip
    variance = st.segmented_control(
        f"Variance of a step{of}", KNOWN_VARIANCES, key=f"variance{suffix}", default="posterior",
        required=True, bind="query-params", format_func={"posterior": "β̃", "beta": "β"}.get,
        disabled=eta == 0,
    )  # fmt: skip
    fresh = st.number_input(
        f"Seed of the fresh noise{of}", 0, 9999, 0, key=f"fresh{suffix}", bind="query-params",
        help="Other fresh noise from the same starting noise.",
    )  # fmt: skip
    clip = st.toggle(f"Clip x̂₀ to black … white{of}", True, key=f"clip{suffix}",
                     bind="query-params")  # fmt: skip
    at_end = st.toggle(f"Noise at the last step, too{of}", False, key=f"at_end{suffix}",
                       bind="query-params")  # fmt: skip
    return bench.Rule(eta, variance, noise, at_end, clip, fresh)


def next_seed() -> None:
    """Go on to other noise."""
    st.session_state["seed"] = (st.session_state["seed"] + 1) % 10_000


@st.fragment
def exhibit() -> None:
    """Sixteen digits on their way, followed live."""
    denoiser, card = load.network_or_stop("digits-eps")
    with st.container(key="bench_controls"):
        one, two, three, four = st.columns([3, 4, 5, 3], vertical_alignment="bottom", gap="medium")
        digit = one.selectbox(
            "Digit", DIGITS, key="class", bind="query-params",
            format_func=lambda d: {"each": "one of each", "any": "whatever comes"}.get(d, d),
        )  # fmt: skip
        steps = two.select_slider("Steps", STEPS, 50, key="steps", bind="query-params")
        eta = three.slider(
            "Fresh noise η: 0 is DDIM, 1 is DDPM",
            0.0, 1.0, 0.0, 0.1, key="eta", bind="query-params",
        )  # fmt: skip
        four.button("Other noise", icon=":material/casino:", on_click=next_seed, width="stretch")
    stage = st.container(key="bench_stage")
    with (
        st.container(key="bench_more"),
        st.expander("More: seed, compare two runs, break the rules"),
    ):
        left, middle, right = st.columns(3, gap="large")
        with left:
            seed = st.number_input("Seed", 0, 9999, 0, key="seed", bind="query-params")
            compare = st.toggle("Compare with a second run", key="compare", bind="query-params")
            eta_b = st.slider(
                "η of the second run", 0.0, 1.0, 1.0, 0.1, key="eta_b", bind="query-params",
                disabled=not compare,
            )  # fmt: skip
        with middle:
            rules = [rule_controls("", eta, "first run" if compare else "")]
        with right:
            if compare:
                rules.append(rule_controls("_b", eta_b, "second run"))
    count = bench.COUNT_COMPARED if compare else bench.COUNT
    start = bench.Start(digit, steps, seed, count)
    times = bench.stops(denoiser, steps)
    names = [name_of(rule) for rule in rules]
    live = session_runs().open(
        repr((card.fields["sha256"], start, rules)),
        lambda: bench.run(denoiser, start, rules),
        len(times),
    )
    with stage:
        follow(
            live,
            lambda shots, first: bench.draw(shots, first, times, names),
            key="bench_player",
            scale=2,
            autoplay=True,
            beside=True,
            report_frame=False,
            ends=("noise", "picture"),
            row_labels=names if len(names) > 1 else (),
            label="Sampling, from noise to picture",
        )
        training = "" if card.fields.get("status") == "final" else ", still in training"
        st.caption(
            f"Network {card.name}{training}: cosine schedule, T = {denoiser.diffusion.T}. "
            "How good it is stands on its [card](/model_cards)."
        )


@st.cache_data(show_spinner=False)
def toy_variances() -> tuple[float, float]:
    """Final variance of the 1-D toy (data variance 0.5) without and with fresh noise."""
    diffusion = GaussianDiffusion(SCHEDULES["linear"](1000))
    steps = range(1000, 0, -1)
    without = chain_variance(diffusion, 0.5, steps, noise_scale=0)
    return float(without[-1]), float(chain_variance(diffusion, 0.5, steps)[-1])


def confusions() -> list[Confusion]:
    """What people get wrong on the way back, each with a setting that shows it."""
    without, with_noise = toy_variances()
    return [
        Confusion(
            "Why is fresh noise added at every step?",
            "The mean of a step pulls every picture towards the average of all it could become; "
            "the fresh noise keeps them apart. Leave it out, and the variety collapses. For "
            "numbers with variance 0.5 instead of pictures this can be computed exactly: with the "
            f"linear schedule, a thousand steps without fresh noise end with variance "
            f"{without:.0e}, with it {with_noise:.3f}.",
            {"class": "7", "eta": 1.0, "compare": True, "eta_b": 1.0, "noise_b": 0.0},
            "Left with fresh noise: nine hands. Right without: the same seven again and again.",
            asked_in="a StackExchange thread, where one answer has DDPM add none",
        ),
        Confusion(
            "And why none at the last step?",
            "The last step goes to the clean picture itself. Once x̂₀ is known there is nothing "
            "left to be uncertain about: the variance of the posterior is 0. Noise added there "
            "would stay on the finished picture, as grain.",
            {"eta": 1.0, "steps": 10, "compare": True, "eta_b": 1.0, "at_end_b": True},
            "The two runs agree until the last step. Then the right one gets noise that nobody "
            "takes away again.",
        ),
        Confusion(
            "Without any noise (η = 0), is that still sampling?",
            "Yes: all the chance is in the starting noise. DDIM is a fixed map from noise to "
            "picture. Written for x/√ᾱ over √((1−ᾱ)/ᾱ) it is Euler's method on the "
            + term(
                "probability-flow ODE",
                "a motion without noise; the pictures spread out just as with it",
            )
            + ". Both runs below start from the same noise and have other fresh noise. At η = 0 "
            "none of it is used, so they agree in every pixel. Slide η up, and they part.",
            {"compare": True, "eta": 0.0, "eta_b": 0.0, "fresh_b": 1},
            "Other fresh noise, the same digits: at η = 0 none is drawn. Now slide both η up.",
        ),
        Confusion(
            "Same seed, another sampler: the same picture?",
            "No. Both start from the same noise. DDIM stays on its one path; DDPM draws "
            "fresh noise at every step and drifts to another way of writing the same digit.",
            {"compare": True, "eta": 0.0, "eta_b": 1.0},
            "The same start, other digits: compare the two sheets, place by place.",
        ),
        Confusion(
            "Why is x̂₀ blurred early on?",
            "The network was trained on the squared error, and the guess with the smallest "
            "squared error is the "
            + term("average", "the posterior mean E[x₀ | x_t]")
            + " of everything that could be hidden in x_t. Early on that is many ways of writing "
            "the digit, and their average is a blur. As the noise falls, fewer remain possible and "
            "the guess sharpens. It is not polished: possibilities drop out.",
            {"steps": 100},
            "Stop near t = 900: x_t is noise to the eye, and x̂₀ is a blur of the right shape.",
        ),
        Confusion(
            "Why is x̂₀ clipped?",
            "At large t the signal rate a is tiny, and x̂₀ = (x_t − σ ε̂)/a divides by it: a small "
            "error in ε̂ throws x̂₀ far outside of black and white. Clipping brings it back to "
            "where pictures live. The lower curve shows how far out it was.",
            {"compare": True, "eta_b": 0.0, "clip_b": False, "steps": 20},
            "The right run is not clipped: its x̂₀ leaves the range of pixels and never comes back.",
            asked_in="improved-diffusion #64",
        ),
        Confusion(
            "β or β̃ for the variance of a step?",
            "β̃ is right if all data were one point, β if they were pure noise; data lie in "
            "between. With a thousand steps the two hardly differ. With few they do: β leaves "
            "grains, because its steps add more noise than the next mean takes away.",
            {"compare": True, "eta": 1.0, "eta_b": 1.0, "variance_b": "beta", "steps": 10},
            "Right, with β: rougher strokes and grains around them.",
        ),
    ]


def page() -> None:
    """Lay out the page."""
    chapter.header("Reverse sampling", defaults=DEFAULTS)
    chapter.prose(
        "Start from pure noise. A network that is told which digit to draw looks at it and guesses "
        "the clean picture, x̂₀; the noise gives way a little. It looks again; t counts down to 0."
    )
    chapter.question(
        "At t = 900 the picture is noise to the eye. What does the network's guess x̂₀ look like?",
        {
            "Noise, too": "Look at the frames near t = 900: a blur with the shape of a digit. Only "
            "the first guess or two, next to T, look like noise; the note under the first frame "
            "says why.",
            "A sharp digit": "That comes later, by t = 500. Near t = 900 many ways of writing the "
            "digit could hide in the noise, and the guess with the smallest squared error is their "
            "average.",
            "A blurred average": "The network was trained on the squared error, and the best guess "
            "then is the mean of everything that could be hidden in the picture. It sharpens by "
            "t = 500, as fewer ways of writing the digit remain possible.",
        },
        answer="A blurred average",
    )
    chapter.look()
    with st.container(key="bench"):
        exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    chapter.prose(
        "x̂₀ and ε̂ are the clean picture and the noise that the network sees; s is the step after "
        "t, closer to the picture; ᾱ is the share of the picture's variance that is left, and "
        "a = √ᾱ, σ = √(1−ᾱ). First DDIM, without fresh noise, then DDPM, which draws x_s from the "
        + term("posterior", "where x_s was, given both x_t and the clean picture")
        + " as if x̂₀ were true."
    )
    formula_and_code(step_mean, GaussianDiffusion.q_posterior, clip_prediction)
    with st.expander("Both as one rule, with the dial η"):
        formula_and_code(Interpolated)

    chapter.why(confusions())
    chapter.try_this(
        [
            Experiment(
                "Five steps only",
                "already digits, with rough or broken strokes: each step has to jump far.",
                {"steps": 5},
            ),
            Experiment(
                "Sixteen sevens",
                "sixteen hands: the class fixes what is written, the noise how.",
                {"class": "7"},
            ),
            Experiment(
                "No class at all",
                "digits all the same, of every kind: the class was hidden from the network for "
                f"{RECIPES['digits-eps'].label_dropout:.0%} of its training, so it can do without.",
                {"class": "any"},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Ho, Jain, Abbeel 2020, Denoising Diffusion Probabilistic Models",
                   "algorithm 2, section 3.2", "https://arxiv.org/abs/2006.11239"),
            Source("Song, Meng, Ermon 2021, Denoising Diffusion Implicit Models",
                   "eq. 12, 14 and 16", "https://arxiv.org/abs/2010.02502"),
            Source("improved-diffusion, issue 64", "why x̂₀ and not the mean directly",
                   "https://github.com/openai/improved-diffusion/issues/64"),
        ]
    )  # fmt: skip


page()
