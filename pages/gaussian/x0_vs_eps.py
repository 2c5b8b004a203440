"""What should the network predict, and does it matter?"""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from diffusion_core import checkpoints
from diffusion_core.bits import BITS
from diffusion_core.checkpoints import Card, CheckpointError
from diffusion_core.conversion import (
    clip_lens,
    error_gains,
    mean_from_eps,
    min_snr_weight,
    readings,
    rounding_errors,
    weight_on,
)
from diffusion_core.noise_errors import brightness_error, last_dose, noise_errors
from diffusion_core.parameterization import Parameterization
from diffusion_core.samplers import clip_prediction
from diffusion_core.schedules import SCHEDULES
from diffusion_core.training import MAX_WEIGHT
from pages.shared import bench, chapter, load
from pages.shared import readings as exhibits
from pages.shared.canvas import canvas
from pages.shared.cards import recognised_at_scales
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.numbers import plus_minus
from pages.shared.player import Curve, Panel, follow, player, session_runs
from pages.shared.runs import STEPS
from pages.shared.state import stop_looking
from pages.shared.target_averages import measured, naming
from pages.shared.target_charts import rounded, weighted
from pages.shared.target_facts import Facts, alike, confusions, facts
from pages.shared.target_tint import EDGE, tinted

VIEWS = {
    "one": "Five readings",
    "three": "Side by side",
    "clip": "Clip lens",
    "round": "Rounding",
    "weights": "Loss weights",
    "mean": "Errors",
}
NETWORKS = {"digits-eps": ("ε", "eps"), "digits-x0": ("x₀", "x0"), "digits-v": ("v", "xt")}
COMPARED = {"targets": "Targets", "clips": "Clipping"}
CLIPS = (
    exhibits.Row("clipped, ε̂ recomputed", "q"),
    exhibits.Row("clipped, ε̂ kept", "p", rederive=False),
    exhibits.Row("not clipped", "bits", clip=False),
)
PARTS = {"tint": "Tint", "naming": "Which noise?"}
TICKS = [(exhibits.SHOWN.index(t), str(t)) for t in (20, 120, 500, 900, 990)]
RUN_STEPS = (5, 10, 25, 50)
DEFAULTS = {
    "xview": "one",
    "digit": 3,
    "variant": 1,
    "seed": 0,
    "xsource": "gallery",
    "xnet": "digits-eps",
    "xback": "jump",
    "xcompare": "targets",
    "xsteps": 25,
    "xclass": "each",
    "xclip": True,
    "xformat": "float16",
    "xread": "x0",
    "xgamma": 5.0,
    "xbase": "x0",
    "xpart": "tint",
    "xgain": EDGE,
}


# --- what is computed, and kept -------------------------------------------------------------------


@st.cache_data(max_entries=16, show_spinner=False)
def answers(network: str, sha256: str, pixels: bytes, seed: int) -> exhibits.Answers:
    """One network call at every shown step; `sha256` tells versions of a network apart."""
    image = np.frombuffer(pixels, np.uint8).reshape(28, 28)
    with STEPS.turn(ahead=True):
        return exhibits.ask(load.network(network)[0], image, seed)


@st.cache_data(max_entries=16, show_spinner=False)
def five(network: str, sha256: str, pixels: bytes, seed: int) -> dict[str, np.ndarray]:
    """The five readings of those answers."""
    denoiser, _ = load.network(network)
    return exhibits.read(denoiser, answers(network, sha256, pixels, seed))


@st.cache_data(max_entries=16, show_spinner=False)
def lens(network: str, sha256: str, pixels: bytes, seed: int, back: str) -> dict[str, np.ndarray]:
    """The clip lens on those answers."""
    denoiser, _ = load.network(network)
    return exhibits.lens(denoiser, answers(network, sha256, pixels, seed), back)


# --- the exhibit ----------------------------------------------------------------------------------


def shipped() -> dict[str, Card]:
    """The networks of the comparison that are here, by name; says nothing about the others."""
    found = {}
    for name in NETWORKS:
        try:
            checkpoints.read_card(name)  # first, so that no spinner shows for what isn't there
            found[name] = load.network(name)[1]
        except CheckpointError:
            continue
    return found


def ask(told: Facts) -> None:
    """The question of the first view."""
    chapter.question(
        "At t = 990 a network predicts the noise with an error of 0.01. How far off is the picture "
        "read from it?",
        {
            "By 0.01": "That holds where signal and noise are equally strong. At t = 990 the "
            f"picture's share a is small, and x̂₀ = (xₜ − σ ε̂)/a divides by it: times "
            f"{told.gain_990:.0f}.",
            "By less": "That is what happens near t = 1, where σ is small. At t = 990 x̂₀ is what "
            "is left of xₜ after taking away nearly all of it, scaled up: the error is multiplied "
            f"by {told.gain_990:.0f}.",
            f"By {told.gain_990 / 100:.1f}": "x̂₀ = (xₜ − σ ε̂)/a, so an error of ε̂ is multiplied "
            f"by σ/a = {told.gain_990:.0f}. Drag the timeline to the right: the two errors part, "
            "and their ratio follows σ/a to the last digit.",
        },
        answer=f"By {told.gain_990 / 100:.1f}",
    )


@st.fragment
def exhibit(told: Facts) -> None:
    """Six views of one subject; the question is about the first."""
    above = st.container()
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    view = row.segmented_control(
        "Look at", list(VIEWS), key="xview", default="one", required=True, bind="query-params",
        format_func=VIEWS.get, width="content", wrap=True, on_change=stop_looking,
    )  # fmt: skip
    with above:
        if view == "one":
            ask(told)
        chapter.look()
    draw = {
        "one": five_readings,
        "three": side_by_side,
        "clip": through_the_lens,
        "round": rounded,
        "weights": weighted,
        "mean": on_average,
    }
    draw[view](row)


def standing() -> dict[str, Any]:
    """How a player begins: still, on the frame that a Why or a Try asked for, or else playing."""
    frame = st.session_state.pop(exhibits.FRAME, None)
    return {"frame": frame, "autoplay": frame is None}


def the_digit(row: st.delta_generator.DeltaGenerator) -> int:
    """Which digit of the gallery stands beside the view's name."""
    return row.number_input("Digit", 0, 9, 3, key="digit", bind="query-params", width=110)


def more(digit: int, names: list[str]) -> tuple[str, np.ndarray, str, int]:
    """The controls behind "more": network, pixels of the picture, what it is, seed."""
    with st.expander("More: draw your own, another network, other noise"):
        left, middle, right = st.columns(3, gap="large")
        with left:
            source = st.segmented_control(
                "Picture x₀", ["gallery", "draw"], key="xsource", default="gallery", required=True,
                bind="query-params", format_func=str.capitalize,
            )  # fmt: skip
            if source == "draw":
                pixels = canvas(key="x_drawn", initial=load.gallery_digit(3, 0))
                about = "your drawing"
        with middle:
            variant = st.number_input("Variant", 1, 6, 1, key="variant", bind="query-params")
            seed = st.number_input("Seed", 0, 9999, 0, key="seed", bind="query-params")
        network = right.selectbox(
            "Network", names, key="xnet", bind="query-params",
            format_func=lambda name: f"{name}, trained on {NETWORKS[name][0]}",
        )  # fmt: skip
    if source == "gallery":
        pixels, about = load.gallery_digit(digit, variant - 1), f"a generated digit {digit}"
    return network, pixels, about, seed


def five_readings(row: st.delta_generator.DeltaGenerator) -> None:
    """One network call per t, said five ways."""
    digit = the_digit(row)
    stage = st.container()
    cards = {"digits-eps": load.network_or_stop("digits-eps")[1]} | shipped()
    network, pixels, about, seed = more(digit, list(cards))
    told = five(network, cards[network].fields["sha256"], pixels.tobytes(), seed)
    noise = {"lo": -bench.NOISE_RANGE, "hi": bench.NOISE_RANGE}
    still = standing()
    grown = told["rule"][1:] / told["rule"][:-1]
    chart = "error against the true picture, noise (rms, log)"
    gain = "error of x̂₀ ÷ error of ε̂ (log)"
    with stage:
        player(
            [
                Panel("true $x_0$", f"{about}, as it was before noise", told["true"], "x0"),
                Panel("$x_t$", f"{about} with the noise of t steps", told["x_t"]),
                Panel("$\\hat x_0$", "the clean picture read from the answer", told["x0"], "x0"),
                Panel("$\\hat\\epsilon$", "the noise read from the answer", told["eps"], "eps",
                      **noise),
                Panel("$\\hat v$", "the velocity read from the answer", told["v"], **noise),
                Panel("score", "the score read from the answer", told["score"], "eps", **noise),
                Panel("mean $\\mu$", "the mean of the next picture", told["mean"], "p"),
            ],
            curves=[
                Curve("x̂₀", told["wrong_x0"], "x0", chart, 0.003, 300, digits=3, log=True),
                Curve("ε̂", told["wrong_eps"], "eps", chart, 0.003, 300, digits=3, log=True),
                Curve("predicted σ/a", told["rule"], "xt", gain, 0.005, 3e4, digits=3, log=True),
                Curve("measured", told["gain"], "bits", gain, 0.005, 3e4, digits=3, line=1,
                      log=True),
            ],
            key="x_readings",
            scale=3,  # seven in one row
            total=len(exhibits.SHOWN),
            captions=[
                f"t = {t} · signal-to-noise ratio {snr:.2g}"
                for t, snr in zip(exhibits.SHOWN, told["snr"], strict=True)
            ],
            ends=("t = 1", "t = 1000"),
            ticks=TICKS,
            **still,
            hold=still["frame"] is None,
            rest=exhibits.SHOWN.index(600),
            report_frame=False,
            label="Five readings of one network, over the steps t",
        )  # fmt: skip
        st.caption(
            "Score: −ε̂/σ, the direction in which xₜ becomes more likely. Mean μ: where the picture "
            "one step back lies on average, before its fresh noise. "
            f"The network ({network}, trained on {NETWORKS[network][0]}) is asked once per t about "
            "one picture under one noise, not told the digit. From frame to frame σ/a grows "
            f"{grown[:-1].min():.1f} to {grown[:-1].max():.0f} times, to the last "
            f"{grown[-1]:.0f} times. Noise, v and score are drawn from −3 (black) to 3 (white), "
            "the rest from −1 to 1."
        )


def missing_sentence(found: dict[str, Card]) -> str:
    """One sentence on the networks of the comparison that are not here, "" for none."""
    absent = [f"{name} (trained on {NETWORKS[name][0]})" for name in NETWORKS if name not in found]
    if not absent:
        return ""
    they_are = "it is" if len(absent) == 1 else "they are"
    return f"Not compared, because {they_are} not here yet: {' and '.join(absent)}."


def recognised(card: Card) -> str:
    """What its card says about 25 DDIM steps, "" where it says nothing."""
    metric = recognised_at_scales(card.fields).get(1.0)
    if metric is None:
        return ""
    share, count = metric["value"], metric["samples"]
    error = (share * (1 - share) / count) ** 0.5
    return f"{card.name} {plus_minus(f'{share:.1%}', f'{error:.1%}')} of {count:,}"


def scores(found: dict[str, Card]) -> str:
    """What the networks' cards say, as a table."""
    rows = []
    for name, card in found.items():
        told = [say(card).removeprefix(f"{name} ") for say in (recognised, bound_of)]
        cells = [NETWORKS[name][0], *(text or "not measured yet" for text in told)]
        rows.append(f"| {' | '.join(cells)} |")
    head = "| trained on | recognised as asked | bound, bits per pixel |"
    return "\n".join([head, "| --- | --- | --- |", *rows])


def bound_of(card: Card) -> str:
    """What its card says of the bound, "" where it says nothing."""
    told = [m for m in card.fields.get("metrics") or [] if m.get("name") == BITS]
    return f"{card.name} {told[0]['value']:.2f}" if told else ""


def side_by_side(row: st.delta_generator.DeltaGenerator) -> None:
    """Runs from one x_T: three networks, or three ways to clip."""
    compare = row.segmented_control(
        "Compare", list(COMPARED), key="xcompare", default="targets", required=True,
        bind="query-params", format_func=COMPARED.get, width="content",
    )  # fmt: skip
    steps = row.select_slider("Steps", RUN_STEPS, 25, key="xsteps", bind="query-params", width=130)
    stage = st.container()
    with st.expander("More: which digits, other noise, no clipping"):
        left, right = st.columns(2, gap="large")
        digit = left.selectbox(
            "Digits", bench.DIGITS, key="xclass", bind="query-params",
            format_func=bench.digit_name,
        )  # fmt: skip
        clip = left.toggle(
            "Clip x̂₀", True, key="xclip", bind="query-params", disabled=compare == "clips"
        )
        seed = right.number_input("Seed", 0, 9999, 0, key="seed", bind="query-params")
    first, _ = load.network_or_stop("digits-eps")
    found = shipped()
    if compare == "clips":
        rows, denoisers = CLIPS, [first] * len(CLIPS)
    else:
        rows = tuple(
            exhibits.Row(f"trained on {NETWORKS[name][0]}", NETWORKS[name][1], clip)
            for name in found
        )
        denoisers = [load.network(name)[0] for name in found]
    times = bench.stops(first, steps)
    live = session_runs().open(
        repr(([card.fields["sha256"] for card in found.values()], rows, digit, steps, seed)),
        lambda: exhibits.run_beside(denoisers, rows, digit, steps, seed),
        len(times),
    )
    with stage:
        if compare == "targets" and (sentence := missing_sentence(found)):
            st.caption(f":material/hourglass_empty: {sentence}")
        follow(
            live,
            lambda shots, start: exhibits.draw_beside(
                shots, start, times, rows, compare == "clips"
            ),
            key="x_runs",
            scale=2,  # so that the curves are on the first screen
            **standing(),
            beside=True,
            report_frame=False,
            ends=("noise", "picture"),
            row_labels=[each.name for each in rows] if len(rows) > 1 else (),
            label="Runs side by side, from noise to picture",
        )
        scores = [score for card in found.values() if (score := recognised(card))]
        if compare == "targets":
            st.caption(
                "All start from the same noise and take DDIM steps without fresh noise; x̂₀ is "
                f"{'' if clip else 'not '}clipped. Digits recognised as asked at 25 steps with "
                "clipping, by their [cards](/model_cards): "
                f"{'; '.join(scores) or 'not measured yet'}."
            )
        else:
            st.caption("One network, one starting noise, DDIM steps without fresh noise.")


def on_average(row: st.delta_generator.DeltaGenerator) -> None:
    """Errors of the networks, averaged over pictures and pixels: two questions."""
    part = row.segmented_control(
        "Errors of", list(PARTS), key="xpart", default="tint", required=True,
        bind="query-params", format_func=PARTS.get, width="content",
    )  # fmt: skip
    cards = {"digits-eps": load.network_or_stop("digits-eps")[1]} | shipped()
    shas = {name: card.fields["sha256"] for name, card in cards.items()}
    told = {name: measured(name, sha) for name, sha in shas.items()}
    if part == "tint":
        tinted(shas, told)
    else:
        naming(told["digits-eps"])


def through_the_lens(row: st.delta_generator.DeltaGenerator) -> None:
    """One reverse step by both routes, then with clipping."""
    back = row.segmented_control(
        "Step back to", list(exhibits.BACK), key="xback", default="jump", required=True,
        bind="query-params", format_func={"one": "s = t − 1", "jump": "s = t − 40"}.get,
        width="content",
    )  # fmt: skip
    digit = the_digit(row)
    stage = st.container()
    cards = {"digits-eps": load.network_or_stop("digits-eps")[1]} | shipped()
    network, pixels, about, seed = more(digit, list(cards))
    told = lens(network, cards[network].fields["sha256"], pixels.tobytes(), seed, back)
    still = standing()
    short, exact = (float(np.nanmax(told[key])) for key in ("gap32", "gap64"))
    moved_by = exhibits.MOVED_SCALE[back]
    chart = "largest difference between the means (log)"
    with stage:
        player(
            [
                Panel("$\\hat x_0$ on the way", f"{about} as the network sees it, clipped pixels "
                      "red", told["x0"], "x0"),
                Panel("mean: $\\hat\\epsilon$ to $\\mu$", "the mean straight from the noise",
                      told["direct"], "p"),
                Panel("via $\\hat x_0$, clipped", "the mean by way of the clipped picture",
                      told["through"], "p"),
                Panel("not clipped: ±5·10⁻⁷", "difference of the two means without clipping, in "
                      "ten millionths", told["gap"], "xt", lo=-5, hi=5),
                Panel(f"clipped: ±{moved_by:g}", "difference of the two means with clipping",
                      told["moved"], "bits", lo=-moved_by, hi=moved_by),
            ],
            curves=[
                Curve("clipped", told["moved_most"], "bits", chart, 1e-17, 100, digits=4, log=True),
                Curve("float32", told["gap32"], "p", chart, 1e-17, 100, log=True),
                Curve("float64", told["gap64"], "xt", chart, 1e-17, 100, log=True),
                Curve("of the pixels", 100 * told["clipped"], "bits", "clipped (%)", 0, 100,
                      digits=0),
            ],
            key="x_lens",
            scale=4,
            total=len(exhibits.SHOWN),
            captions=[
                f"t = {t} · s = {s} · x̂₀ is beyond −1 … 1 in {share:.0%} of the pixels"
                + f", by at most {most:{',.0f' if most >= 10 else '.2g'}}" * bool(most)
                for t, s, share, most in zip(
                    exhibits.SHOWN, told["s"], told["clipped"], told["beyond"], strict=True
                )
            ],
            ends=("t = 1", "t = 1000"),
            ticks=TICKS,
            **still,
            hold=still["frame"] is None,
            rest=exhibits.SHOWN.index(960),
            report_frame=False,
            label="Two routes to one mean, over the steps t",
        )  # fmt: skip
        st.caption(
            "Red: x̂₀ beyond −1 … 1. The last two pictures are the mean via x̂₀ less the straight "
            "one, not clipped and clipped; gray is no difference, black and white are the numbers "
            "above, or more. Without clipping the two routes differ, in steps "
            f"{'of 40' if back == 'jump' else 'of one'}, by at most {short:.0e} in float32 and "
            f"{exact:.0e} in float64; with it, by up to {told['moved_most'].max():.2g}."
        )


# --- the page -------------------------------------------------------------------------------------


def which_is_best() -> Confusion:
    """The question that only measurements answer; they come from the networks' cards."""
    found = shipped()
    name = "digits-x0"
    same = alike(found[name].fields["sha256"] if name in found else "")
    most = "" if same.share is None else f"; they hold {same.share:.0%} of its bound"
    snr = SCHEDULES["cosine"](1000).snr
    weight = float((snr[1:-1] - snr[2:]).max() / 2)
    return Confusion(
        "So which target makes the best pictures?",
        "As pictures all three are about as good; as a likelihood x₀ is worse. No formula says so: "
        "it is measured, on networks trained alike but for the target.\n\n"
        f"{scores(found)}\n\n{missing_sentence(found)}\n\nRecognised as asked: after 25 DDIM "
        "steps, with the standard error; differences of two or three of these may be chance. "
        "Bound: bits that a pixel costs at most, so less is better. It multiplies the squared "
        f"error of x̂₀ by ½ (SNR(t−1) − SNR(t)), most of all next to the picture: {weight:,.0f} at "
        "t = 2. Who predicts ε or v has an error there that shrinks with σ; who predicts x₀ has "
        f"not. Nor did training ask it to: for {name} the cap holds down the weights of the first "
        f"{same.capped} steps{most}. (All three began with the same {same.before:,} steps on ε; "
        f"their last {same.own:,} have each its own target, with v's weights, up to a cap of "
        f"{MAX_WEIGHT:g}.)",
        {"xview": "three"},
        "The same starting noise in every run. Compare digit by digit.",
        threads=[
            "lucidrains/denoising-diffusion-pytorch#58",
            "lucidrains/denoising-diffusion-pytorch#34",
            "zsyOAOA/ResShift#24",
        ],
    )


def experiments() -> list[Experiment]:
    """Things to try; what to expect is measured on the picture that they show."""
    lid = Experiment(
        "Let Min-SNR's γ be 1",
        "before the loss on x₀ the weight is SNR up to 1 and flat above it (switch to x₀ to see "
        "that). Before the loss on v, shown here, it rises to ½ where SNR = 1, and falls beyond.",
        {"xview": "weights", "xbase": "v", "xgamma": 1.0},
    )
    try:
        network = load.network("digits-eps")[1]
    except CheckpointError:
        return [lid]  # the others have nothing to show
    picture = load.gallery_digit(int(DEFAULTS["digit"]), 0).tobytes()
    asked = network.name, network.fields["sha256"], picture, 0
    told = five(*asked)
    first, late = 0, exhibits.SHOWN.index(990)
    at = exhibits.SHOWN.index(960)
    seen = {back: lens(*asked, back) for back in exhibits.BACK}
    moved = {back: float(each["moved_most"][at]) for back, each in seen.items()}
    grain = {back: float(each["gap32"][at]) for back, each in seen.items()}
    return [
        Experiment(
            "Go to t = 990",
            f"x̂₀ is off by {told['wrong_x0'][late]:.2f} and ε̂ by {told['wrong_eps'][late]:.3f}. At "
            f"t = 1, the left end, it is {told['wrong_x0'][first]:.3f} and "
            f"{told['wrong_eps'][first]:.2f}. It is one answer: the error of x̂₀ is σ/a times that "
            "of ε̂, at every t.",
            {"xview": "one", exhibits.FRAME: late},
        ),
        Experiment(
            "Clip, and go back one step only",
            f"at t = 960 clipping moves the mean by at most {moved['one']:.4f}, after a step of 40 "
            f"by {moved['jump']:.3f}: the longer the step, the more of x̂₀ is in the mean. Rounding "
            f"makes {grain['one']:.0e} and {grain['jump']:.0e} there.",
            {"xview": "clip", "xback": "one", exhibits.FRAME: at},
        ),
        Experiment(
            "Sample without clipping",
            "only the network that predicts ε gets lost: its first x̂₀ leaves the range of pixels "
            "by thousands, and nothing brings it back. The other two still draw digits.",
            {"xview": "three", "xclip": False, exhibits.FRAME: int(DEFAULTS["xsteps"]) - 1},
        ),
        lid,
    ]


def page() -> None:
    """Lay out the page."""
    told = facts()
    chapter.header("x₀ or ε?", defaults=DEFAULTS)
    chapter.prose(
        "A network looks at xₜ = a x₀ + σ ε: a is the picture’s share, σ the noise’s. It may be "
        "trained to predict the picture, the noise, or "
        + term("v", "The direction in which the blend turns as noise is added.")
        + " = a ε − σ x₀. One of them and xₜ give all the others."
    )
    exhibit(told)

    st.subheader("The formula, and the code that just ran", anchor="formula")
    chapter.prose(
        "a = √ᾱ and σ = √(1−ᾱ) are the shares of picture and noise in xₜ. A target is c·x₀ + d·ε: "
        "(c, d) is (1, 0) for x₀, (0, 1) for ε, (−σ, a) for v. The determinant a·d − σ·c is then "
        "−σ, a and 1."
    )
    formula_and_code(
        Parameterization.recover,
        error_gains,
        mean_from_eps,
        clip_lens,
        clip_prediction,
        Parameterization.loss_weight,
        min_snr_weight,
    )
    formula_and_code(
        readings,
        rounding_errors,
        weight_on,
        under="The five readings, and how the rounding was measured",
    )
    formula_and_code(
        noise_errors,
        brightness_error,
        last_dose,
        under="Average errors: a tint, the size of ε̂, and the noise of one step",
    )
    chapter.why([*confusions(told), which_is_best()])
    chapter.try_this(experiments())
    chapter.sources(
        [
            Source("Ho, Jain, Abbeel 2020, Denoising Diffusion Probabilistic Models",
                   "eq. 7, 11 and 14", "https://arxiv.org/abs/2006.11239"),
            Source("Salimans, Ho 2022, Progressive Distillation", "section 4 and appendix D: v "
                   "and the weights", "https://arxiv.org/abs/2202.00512"),
            Source("Hang et al. 2023, Efficient Diffusion Training via Min-SNR Weighting",
                   "section 3.4", "https://arxiv.org/abs/2303.09556"),
            Source("improved-diffusion, issue 64", "why x̂₀ and not the mean directly",
                   "https://github.com/openai/improved-diffusion/issues/64"),
            Source("improved-diffusion, issue 110", "why ε̂ is recomputed",
                   "https://github.com/openai/improved-diffusion/issues/110"),
        ]
    )  # fmt: skip
    load.settle()


page()
