"""What happens on the way back from noise to a picture?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.checkpoints import Card, CheckpointError, read_card
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.mistakes import wrong_index
from diffusion_core.quality import denoisers, predicts_variance
from diffusion_core.recipes import RECIPES
from diffusion_core.samplers import (
    SAMPLERS,
    VARIANCES,
    Heun,
    Interpolated,
    MultistepDPM,
    beta_variance,
    clip_prediction,
    encode,
    learned_variance,
    posterior_variance,
    step_mean,
)
from diffusion_core.step_table import euler_step, turn_gap
from pages.shared import (
    bench,
    bench_below,
    bench_lessons,
    bench_questions,
    chapter,
    load,
    quality_exhibit,
    step_exhibits,
)
from pages.shared.chapter import Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.player import follow, session_runs

STEPS = (1, 2, 5, 10, 20, 50, 100, 200)
NETWORK = "digits-eps"
SHIPPED = denoisers()
NETWORKS = tuple(SHIPPED) or (NETWORK,)
DEFAULT = NETWORKS.index(NETWORK) if NETWORK in NETWORKS else 0
WITH_VARIANCE = tuple(name for name in SHIPPED if predicts_variance(read_card(name).fields))
SHOWN_VARIANCES = tuple(name for name in VARIANCES if name != "learned" or WITH_VARIANCE)
DIAL = "DDIM to DDPM, by η"
NUMBERS = ("hidden", "this step", "all steps")
VIEWS = {"run": "One run", "counts": "More and more steps", "back": "To noise and back"}
EXACT = step_exhibits.EXACT if step_exhibits.EXACT in NETWORKS else NETWORK
DEFAULTS: dict[str, object] = {
    "class": "each",
    "steps": 50,
    "seed": bench.SEED,
    "compare": False,
    "numbers": "hidden",
    "moves": False,
    "measured": NETWORK,
    "rview": "run",
    "asked": EXACT,
    "drawn": "any",
    "told": False,
}
ROW_DEFAULTS: dict[str, object] = {
    "sampler": "ddim", "network": NETWORK, "noise": 1.0, "at_end": False, "variance": "posterior",
    "clip": True, "rederive": True, "early": False, "fresh": 0,
}  # fmt: skip
for _suffix, _eta in (("", 0.0), ("_b", 1.0)):
    DEFAULTS |= {f"{key}{_suffix}": value for key, value in ROW_DEFAULTS.items()}
    DEFAULTS[f"eta{_suffix}"] = _eta


def sampler_menu(label: str, suffix: str) -> str:
    """The menu of samplers, in the literature's names."""
    return st.selectbox(
        label, SAMPLERS, index=list(SAMPLERS).index("ddim"), key=f"sampler{suffix}",
        bind="query-params",
        format_func=lambda name: DIAL if name == "ddim" else bench.Rule(sampler=name).name,
    )  # fmt: skip


def eta_slider(label: str, suffix: str, value: float, sampler: str) -> float:
    """The dial from DDIM to DDPM; the other samplers have none."""
    if sampler != "ddim":
        return value
    return st.slider(
        label, 0.0, 1.0, value, 0.1, key=f"eta{suffix}", bind="query-params"
    )  # fmt: skip


def rule_controls(suffix: str, sampler: str, of: str) -> bench.Rule:
    """The controls of one row that sit behind "more"; eta is set elsewhere."""
    of = of and f", {of}"
    still = not bench.Rule(eta=1.0, sampler=sampler).draws  # whatever eta is
    network = st.selectbox(
        f"Network{of}", NETWORKS, index=DEFAULT, key=f"network{suffix}", bind="query-params",
        help="All draw digits; they differ in what they name, in their noise schedule or in "
        "whether they know a variance. Each has its card under Model cards.",
    )  # fmt: skip
    noise = st.slider(
        f"Fresh noise times{of}", 0.0, 1.5, 1.0, 0.1, key=f"noise{suffix}", bind="query-params",
        help="1 is right. 0 leaves out the fresh noise and changes nothing else. Heeded where "
        "there is fresh noise: DDPM's steps, or η above 0.", disabled=still,
    )  # fmt: skip
    variance = st.segmented_control(
        f"Variance of a step{of}", SHOWN_VARIANCES, key=f"variance{suffix}", default="posterior",
        required=True, bind="query-params", disabled=still,
        format_func={"posterior": "β̃", "beta": "β", "learned": "learned"}.get,
        help="Of the fresh noise, where there is some. β̃ is the posterior's and the least that "
        "can be right, β the step's own and the most.",
    )  # fmt: skip
    fresh = st.number_input(
        f"Seed of the fresh noise{of}", 0, 9999, 0, key=f"fresh{suffix}", bind="query-params",
        help="Other fresh noise from the same starting noise.",
    )  # fmt: skip
    clip = st.toggle(
        f"Clip x̂₀{of}", True, key=f"clip{suffix}", bind="query-params",
        help="Right is on: what the guess has beyond black (−1) and white (1) is cut off.",
    )  # fmt: skip
    rederive = st.toggle(
        f"Then redo ε̂{of}", True, key=f"rederive{suffix}", bind="query-params", disabled=not clip,
        help="Right is on: ε̂ is read anew from x_t and the clipped x̂₀, so that the two agree.",
    )  # fmt: skip
    at_end = st.toggle(
        f"Noise at the end{of}", False, key=f"at_end{suffix}", bind="query-params",
        help="A mistake, to be looked at: fresh noise at the last step, too, where it stays as "
        "grain.",
    )  # fmt: skip
    early = st.toggle(
        f"Ask at t − 1{of}", False, key=f"early{suffix}", bind="query-params",
        help="A mistake, to be looked at: the network is told a step that is one cleaner than its "
        "picture, as where steps are counted from 0 in one place and from 1 in another.",
    )  # fmt: skip
    if variance == "learned" and network not in WITH_VARIANCE:
        if not still:
            st.caption(f"{network} predicts no variance; β̃ is used.")
        variance = "posterior"
    return bench.Rule(0.0, variance, noise, at_end, clip, fresh, sampler, rederive, early, network)


def next_seed() -> None:
    """Go on to other noise."""
    st.session_state["seed"] = (st.session_state["seed"] + 1) % 10_000


class Chosen(NamedTuple):
    """What the controls say that a move of Steps or η does not redraw.

    Attributes:
        digit, seed: as in `bench.Start`.
        moves: whether mean and fresh noise are shown.
        rules: one per row; the first one's η is still to come.
    """

    digit: str
    seed: int
    moves: bool
    rules: list[bench.Rule]


def more(sampler: str) -> Chosen:
    """The controls behind "more"."""
    with (
        st.container(key="bench_more"),
        st.expander("More: seed, compare two runs, digit, network, break the rules"),
    ):
        left, middle, right = st.columns(3, gap="large")
        with left:
            digit = st.selectbox(
                "Digit", bench.DIGITS, key="class", bind="query-params",
                format_func=bench.digit_name, help="What the network is told to draw.",
            )  # fmt: skip
            seed = st.number_input(
                "Seed", 0, 9999, bench.SEED, key="seed", bind="query-params",
                help="Of the noise that the run starts from.",
            )  # fmt: skip
            compare = st.toggle(
                "Compare with a second run", key="compare", bind="query-params",
                help="Beside the first, from the same noise, with settings of its own.",
            )  # fmt: skip
            moves = st.toggle(
                "Show mean and fresh noise", key="moves", bind="query-params",
                disabled=compare,
                help="The two parts that the next picture is made of; of a single run.",
            )  # fmt: skip
        with middle:
            rules = [rule_controls("", sampler, "first run" if compare else "")]
        with right:
            if compare:
                sampler_b = sampler_menu("Sampler of the second run", "_b")
                eta_b = eta_slider("η of the second run", "_b", 1.0, sampler_b)
                rules.append(rule_controls("_b", sampler_b, "second run")._replace(eta=eta_b))
    return Chosen(digit, seed, moves and not compare, rules)


def network_or_default(name: str) -> tuple[NetworkDenoiser, Card]:
    """The network asked for; where it can't be loaded, a sentence and the one always shipped."""
    if name != NETWORK:
        try:
            return load.network(name)
        except CheckpointError as error:
            st.warning(f"{error} {NETWORK} is used.", icon=":material/cloud_off:")
    return load.network_or_stop(NETWORK)


def possible(start: bench.Start, T: int) -> bench.Start:
    """The start with as many steps as there are, and a sentence where that changes it."""
    if start.steps <= T:
        return start
    st.warning(f"{start.steps} steps are more than this network's T = {T}; {T} are made.")
    return start._replace(steps=T)


@st.fragment
def exhibit() -> None:
    """Three views of the way back, each with its question."""
    above = st.container()
    view = st.segmented_control(
        "Look at", list(VIEWS), key="rview", default="run", required=True, bind="query-params",
        format_func=VIEWS.get, width="content", wrap=True,
    )  # fmt: skip
    ask, show_view = {
        "run": (bench_questions.ask_of_one_run, one_run),
        "counts": (bench_questions.ask_of_more_steps, partial(by_steps, step_exhibits.more_steps)),
        "back": (
            bench_questions.ask_of_there_and_back,
            partial(by_steps, step_exhibits.there_and_back),
        ),
    }[view]
    with above:
        ask()
        chapter.look()
    show_view()


def by_steps(show_view: Callable[[DeltaGenerator, NetworkDenoiser, Card], None]) -> None:
    """A view whose frames are numbers of steps, with the menu of the network that it asks."""
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    name = row.selectbox(
        "Network", NETWORKS, index=NETWORKS.index(EXACT) if EXACT in NETWORKS else 0, key="asked",
        bind="query-params", width=200,
    )  # fmt: skip
    show_view(row, *network_or_default(name))


def one_run() -> None:
    """Sixteen digits on their way, followed live."""
    row = st.container(key="bench_row", horizontal=True, vertical_alignment="bottom", gap="medium")
    with row:
        sampler = sampler_menu("Sampler", "")
        st.button("Other noise", icon=":material/casino:", on_click=next_seed)
    chosen = more(sampler)
    with row:
        followed(chosen)


@st.fragment
def followed(chosen: Chosen) -> None:
    """The run, and the two controls that are moved most.

    A fragment of its own: what a move sends, and the browser goes through, is what is in here.
    """
    first, *others = chosen.rules
    steps = st.select_slider("Steps", STEPS, 50, key="steps", bind="query-params")
    eta = eta_slider("Fresh noise η: 0 is DDIM, 1 is DDPM", "", 0.0, first.sampler)
    show([first._replace(eta=eta), *others], steps, chosen)


def show(rules: list[bench.Rule], steps: int, chosen: Chosen) -> None:
    """The pictures of a run; below them, on a phone below the controls, its numbers, its files."""
    loaded = [network_or_default(rule.network) for rule in rules]
    networks = {rule.network: one for rule, (one, _) in zip(rules, loaded, strict=True)}
    cards = [card for _, card in loaded]
    count = bench.COUNT_COMPARED if len(rules) > 1 else bench.COUNT
    start = possible(
        bench.Start(chosen.digit, steps, chosen.seed, count),
        min(one.diffusion.T for one in networks.values()),
    )
    denoiser = loaded[0][0]
    # A network that stands in for another one need not have that one's variance.
    rules = [
        rule if predicts_variance(card.fields) or rule.variance != "learned"
        else rule._replace(variance="posterior")
        for rule, card in zip(rules, cards, strict=True)
    ]  # fmt: skip
    times = bench.stops(denoiser, start.steps)
    names = bench_below.titles(rules)
    pictures = st.container(key="bench_stage")
    below = st.container(key="bench_below")
    numbers = below.segmented_control(
        "Numbers of each step", NUMBERS, key="numbers", default=NUMBERS[0], required=True,
        bind="query-params",
    )  # fmt: skip
    live = session_runs().open(
        repr(([card.fields["sha256"] for card in cards], start, rules, chosen.moves)),
        lambda: bench.run(denoiser, start, rules, networks),
        len(times),
    )
    with pictures:
        event = follow(
            live,
            lambda shots, at: bench.draw(
                shots, at, times, names, chosen.moves,
                bench.last_words(live.frames(0)[0], start.steps),
            ),
            key="bench_player", scale=2, autoplay=True, beside=len(rules) > 1,
            report_frame=numbers == "this step", ends=("noise", "picture"),
            row_labels=names if len(names) > 1 else [bench_below.made_by(rules[0])],
            charts_last=True, label="Sampling, from noise to picture",
        )  # fmt: skip
        st.caption(bench_below.about(cards, networks, rules, start.steps))
    with below:
        if numbers != NUMBERS[0]:
            frame = (event.frame or 0) if numbers == "this step" else None
            bench_below.show_numbers(live, rules, names, frame)
        bench_below.keep(live, times, names, start, rules, cards)


@st.fragment
def quality_section() -> None:
    """How good the pictures are, for how many network calls."""
    name = NETWORK
    if len(NETWORKS) > 1:
        name = st.segmented_control(
            "Network that was measured", NETWORKS, key="measured", default=NETWORKS[DEFAULT],
            required=True, bind="query-params",
        )  # fmt: skip
    denoiser, card = network_or_default(name)
    quality_exhibit.section(denoiser, card.name, card.fields["sha256"])


def page() -> None:
    """Lay out the page."""
    chapter.header("Reverse sampling", defaults=DEFAULTS)
    chapter.prose(
        "Start from pure noise. A network that is told which digit to draw looks at it and guesses "
        "the clean picture, x̂₀; the noise gives way a little. It looks again; t counts down to 0."
    )
    with st.container(key="bench"):
        exhibit()

    st.subheader("How good, for how many network calls?", anchor="quality")
    quality_exhibit.intro()
    quality_section()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    chapter.prose(
        "x̂₀ and ε̂ are the clean picture and the noise that the network sees; s is the step after "
        "t, closer to the picture; ᾱ is the share of the picture's variance that is left, and "
        "a = √ᾱ, σ = √(1−ᾱ). First the mean μ of a step. DDIM (η = 0) goes there; DDPM (η = 1) "
        "adds fresh noise z, and $x_s = \\mu + \\sqrt{\\tilde\\beta}\\,z$ comes from the "
        + term("posterior", "where x_s was, given both x_t and the clean picture")
        + ", as if x̂₀ were true. At s = 0 its variance β̃ is 0: no noise."
    )
    formula_and_code(step_mean, GaussianDiffusion.q_posterior, clip_prediction)
    formula_and_code(
        Interpolated,
        euler_step,
        under="Both as one rule, with the dial η; and DDIM once more, as a step of Euler's",
    )
    formula_and_code(
        Heun,
        MultistepDPM,
        under="The solvers that look ahead or back: Heun and DPM-Solver++ 2M",
    )
    formula_and_code(
        posterior_variance,
        beta_variance,
        learned_variance,
        wrong_index,
        under="The variances β̃, β and learned; and the wrong index, on purpose",
    )

    formula_and_code(encode, turn_gap, under="From a picture to noise, and what a step misses")

    chapter.why(bench_lessons.confusions(WITH_VARIANCE))
    chapter.try_this(
        [
            Experiment(
                "Five steps only",
                "already digits, with rough or broken strokes: each step has to jump far.",
                {"steps": 5},
            ),
            Experiment(
                "Ten steps, two solvers",
                "nearly the same digits: DDIM and DPM-Solver++ follow one ODE from one start, with "
                "steps of another shape. The table says how far each step of theirs lies from "
                "Euler's.",
                {"steps": 10, "compare": True, "sampler_b": "dpmpp_2m", "numbers": "all steps"},
            ),
            Experiment(
                "No class at all",
                "digits of mixed kinds, many of them hard to read: of "
                f"{bench_lessons.UNSURE} of these sixteen the classifier is less than 90% sure, "
                "told the class of none. The class was hidden from the network for "
                f"{RECIPES['digits-eps'].label_dropout:.0%} of its training: it can do without, "
                "but has not practised it much.",
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
            Source("Nichol, Dhariwal 2021, Improved DDPM", "eq. 15: learned variance",
                   "https://arxiv.org/abs/2102.09672"),
            Source("Karras et al. 2022, Elucidating the Design Space", "algorithm 1: Heun",
                   "https://arxiv.org/abs/2206.00364"),
            Source("Lu et al. 2022, DPM-Solver++", "algorithm 2",
                   "https://arxiv.org/abs/2211.01095"),
            Source("improved-diffusion, issue 64", "why x̂₀ and not the mean directly",
                   "https://github.com/openai/improved-diffusion/issues/64"),
        ]
    )  # fmt: skip


page()
