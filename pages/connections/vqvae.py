"""How does a picture become 49 numbers of a codebook, and who draws those numbers?"""

from __future__ import annotations

import math

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.codebooks import (
    EPS,
    gradient_step,
    line_error,
    moving_average_step,
    nearest_code,
    perplexity,
    restart_dead,
    smoothed,
)
from diffusion_core.straight_through import first_other_cell, loss_parts, straight_through
from diffusion_core.vqvae import VQVAE, Codebook
from pages.shared import chapter, load, vq_gradient, vq_views, vq_world
from pages.shared.canvas import canvas
from pages.shared.chapter import Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.player import follow, player, session_runs
from pages.shared.plot import plot
from pages.shared.vq_facts import (
    BETA,
    DECAY,
    DIGIT,
    MEASURED,
    PLACE,
    SIZE,
    STAIRS,
    Facts,
    Z,
    facts,
)
from pages.shared.vq_gradient import BETAS, COPIES, COUNTS, PACES, RANGE, Stairs, Training
from pages.shared.vq_lessons import confusions, signed
from pages.shared.vq_world import (
    DECAYS,
    KINDS,
    LEARN,
    LEARN_STEPS,
    PLACES,
    PUTS,
    SIZES,
    STARTS,
    STEPS,
    SURE,
    Learning,
)

VIEWS = {"tokens": "Tokens", "drawn": "Drawn", "codes": "Codebook", "gradient": "Gradient"}
PICTURES = {"gallery": "Gallery", "draw": "Draw"}
PARTS = {"one": "One number", "training": "In training"}
DEFAULTS = {
    "vqview": "tokens",
    "vqfrom": "gallery",
    "vqdigit": DIGIT,
    "vqform": 1,
    "vqdown": PLACE[0] + 1,
    "vqacross": PLACE[1] + 1,
    "vqput": "far",
    "vqcode": 0,
    "vqseed": 0,
    "vqdata": "clusters",
    "vqsize": SIZE,
    "vqstart": "far",
    "vqlearn": "average",
    "vqdecay": DECAY,
    "vqpart": "one",
    "vqz": Z,
    "vqstairs": STAIRS,
    "vqbeta": BETA,
    "vqcopy": "copied",
    "vqpace": "same",
}


def press(x: float, y: float) -> None:
    """Choose the token that was pressed."""
    chapter.apply_state(vqacross=round(min(max(x, 1), 7)), vqdown=round(min(max(y, 1), 7)))


@st.fragment
def exhibit() -> None:
    """Four views of vectors that are replaced by codes."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "The VQ-VAE", list(VIEWS), key="vqview", default="tokens", required=True,
            bind="query-params", format_func=VIEWS.get, width="content",
        )  # fmt: skip
        second = st.container(width="content")
    {"tokens": one_digit, "drawn": who_draws, "codes": codes_learn, "gradient": gradients}[view](
        second
    )


def one_digit(second: DeltaGenerator) -> None:
    """A digit, its tokens, one of them replaced, and what that does to the picture."""
    with second.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        source = st.segmented_control(
            "Picture", list(PICTURES), key="vqfrom", default="gallery", required=True,
            bind="query-params", format_func=PICTURES.get, width="content",
        )  # fmt: skip
        label = DIGIT
        if source == "gallery":
            label = st.number_input(
                "Digit", 0, 9, DIGIT, key="vqdigit", bind="query-params", width=110
            )
        put = st.selectbox(
            "Replace the token by", list(PUTS), key="vqput", bind="query-params", width=220,
            format_func=PUTS.get,
        )  # fmt: skip
        code = 0
        if put == "hand":
            code = st.number_input("Code", 0, 127, 0, key="vqcode", bind="query-params", width=110)
    above = st.container()
    left, right = st.columns([3, 7], gap="medium")
    under = st.container()
    with st.expander("More: another variant, the place by numbers"):
        one, two, three, four = st.columns(4)
        form = one.number_input("Variant", 1, 20, 1, key="vqform", bind="query-params")
        down = two.number_input("Row", 1, 7, PLACE[0] + 1, key="vqdown", bind="query-params")
        across = three.number_input("Column", 1, 7, PLACE[1] + 1, key="vqacross",
                                    bind="query-params")  # fmt: skip
        seed = four.number_input("Seed of what is drawn", 0, 9999, 0, key="vqseed",
                                 bind="query-params")  # fmt: skip
    picture = load.gallery_digit(label, form - 1)
    if source == "draw":
        with left if put == "all" else right:
            picture = canvas(key="vq_sheet", initial=load.gallery_digit(DIGIT, 0))
    if put == "all":
        with above if source == "gallery" else right:
            all_replaced(picture, seed)
        return
    told = vq_world.swap(picture, down - 1, across - 1, put, code, seed)
    plot(
        vq_views.tokens_figure(told, down - 1, across - 1), key="vq_tokens",
        place=left.container(width=vq_views.TABLE + vq_views.LEFT), on_click=press,
        alt="The 7 by 7 tokens as numbers on colours",
    )  # fmt: skip
    place = (down - 1, across - 1)
    change = told.decoded.astype(np.int16) - told.plain
    with right, st.container(horizontal=True, gap="small"):
        for name, shown, color, patch, box, about in (
            *([("x", picture, "x0", place, None, "The picture; the token’s own 16 pixels framed")]
              if source == "gallery" else []),
            ("decoded", told.plain, "p", None, None, "What its 49 tokens are decoded to"),
            ("one replaced", told.decoded, "p", place, None, "What the changed tokens give"),
            ("change", change, "bits", place, told.box,
             "The difference, in colour; all that changes lies in the dotted frame"),
        ):  # fmt: skip
            signed_one = name == "change"
            figure = vq_views.picture_figure(name, shown, color, patch, box, signed=signed_one)
            with st.container(width=vq_views.PICTURE):
                plot(figure, key=f"vq_{color}_{name.split()[0]}", alt=about)
    with right:
        st.markdown(said_of(told, across, down))
    under.caption(
        "Each number names one of 128 codes; the colours only tell them apart. Change: red is "
        "lighter, blue darker, small changes enhanced (cube root); solid frame: the token’s own "
        "4 × 4 pixels; dotted: everything that changes by more than one level of 255. [MASK] is no "
        "code: its patch is painted gray, and its neighbours see a vector of zeros."
    )


def all_replaced(picture: np.ndarray, seed: int) -> None:
    """Token by token of a digit is taken from another one, at its own place."""
    told = vq_world.Mixture(*vq_world.mixed(picture, seed))
    frames = vq_views.mixture_frames(told)
    player(
        frames.panels, key="vq_mixed", total=len(frames.captions), captions=frames.captions,
        scale=4, autoplay=True, hold=True, report_frame=False, rest=len(frames.captions) - 1,
        ends=("one digit", "49 digits"), label="Tokens taken from other digits",
    )  # fmt: skip
    st.caption(
        "In the order in which one reads, each token is exchanged for the one that another digit "
        "of the gallery has at this place; no two are from the same digit. Red borders: exchanged. "
        "Look where strokes end: at the border of a token, whose neighbour knows nothing of it."
    )


def said_of(told: vq_world.Swap, across: int, down: int) -> str:
    """What the replaced token does, in numbers."""
    bits = math.log2(vq_world.gallery_perplexity())
    new = "[MASK]" if told.new == vq_views.CODES else f"{told.new}"
    said = (
        "49 tokens × 7 bits = **343 bits**, instead of 784 pixels × 8 = 6,272; with fewer bits for "
        f"those that come often in the gallery, 49 × {bits:.2f} = {PLACES * bits:.0f}. Decoded, "
        f"the picture is off by {told.error:.3f} (root mean square; black to white is 1).\n\n"
        f"Row {down}, column {across}: token {told.old} → {new}. "
    )
    if told.own + told.others == 0:
        return said + "No pixel changes."
    return said + (
        f"The picture changes by {told.change:.3f}, and is now off by {told.after:.3f}. **"
        f"{told.inside:.0%} of the squared change** lies in the token’s own 16 pixels, the rest in "
        f"{told.others} others."
    )


def who_draws(second: DeltaGenerator) -> None:
    """Tokens drawn without a model, and by one."""
    seed = second.number_input("Seed", 0, 9999, 0, key="vqseed", bind="query-params", width=110)
    net = load.or_stop(vq_world.diffusion)
    plain = vq_world.plain_sheets(seed)
    live = session_runs().open(
        repr(("vq", net.card.fields["sha256"], seed)),
        lambda: vq_world.drawn(net, seed),
        STEPS + 1,
    )
    follow(
        live, lambda shots, start: vq_views.drawn_frames(shots, start, plain), key="vq_drawn",
        scale=2, autoplay=True, hold=True, report_frame=False, charts_last=True, rest=STEPS,
        ends=("noise", "tokens"), label="Twelve digits, drawn as tokens",
    )  # fmt: skip
    st.caption(
        "All are decoded by the same decoder. Even chances: each token any of the 128 codes. "
        "Place by place: each token is that of some digit of the gallery at this place, whatever "
        "the tokens beside it are. VQ-Diffusion, asked for 0 to 9, 0 and 1: orange is [MASK]; at "
        "t = 100 the others are any codes. "
        f"Two measures of such pictures ({MEASURED.count:,} of each, {MEASURED.few} of "
        "VQ-Diffusion’s). How far from the nearest of the gallery’s digits (root mean square, "
        f"black to white is 1): even chances {MEASURED.apart[0]:.2f}, place by place "
        f"{MEASURED.apart[1]:.2f}, VQ-Diffusion {MEASURED.apart[2]:.2f}: even chances put ink "
        "where no digit has any. Share that a classifier is "
        f"{SURE:.0%} sure of, no matter which digit: {MEASURED.even:.0%}, "
        f"{MEASURED.placewise:.0%}, {MEASURED.diffusion:.0%}; of the gallery’s own, encoded and "
        f"decoded, {MEASURED.gallery:.0%}. It knows digits only, and is at times sure of what is "
        "none."
    )


def codes_learn(second: DeltaGenerator) -> None:
    """Codes that learn from vectors in the plane."""
    with second.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        start = st.segmented_control(
            "Codes begin", list(STARTS), key="vqstart", default="far", required=True,
            bind="query-params", format_func=STARTS.get, width="content",
        )  # fmt: skip
        rule = st.segmented_control(
            "and learn by", list(LEARN), key="vqlearn", default="average", required=True,
            bind="query-params", format_func=LEARN.get, width="content",
        )  # fmt: skip
        K = st.select_slider("Codes", SIZES, SIZE, key="vqsize", bind="query-params", width=100)
    stage = st.container()
    with st.expander("More: other data, the averages’ decay, other beginnings"):
        one, two, three = st.columns(3, gap="large")
        kind = one.segmented_control(
            "Vectors", list(KINDS), key="vqdata", default="clusters", required=True,
            bind="query-params", format_func=KINDS.get,
        )  # fmt: skip
        decay = two.select_slider("Decay γ", DECAYS, DECAY, key="vqdecay", bind="query-params")
        seed = three.number_input("Seed", 0, 9999, 0, key="vqseed", bind="query-params")
    told = Learning(*vq_world.learning(kind, K, rule, start, decay, seed))
    frames = vq_views.learning_frames(told, kind)
    with stage:
        player(
            frames.panels, key="vq_codes", total=LEARN_STEPS + 1, captions=frames.captions,
            curves=frames.curves, histograms=frames.histograms, clouds=frames.clouds, scale=10,
            autoplay=True, hold=True, report_frame=False, charts_last=True, rest=LEARN_STEPS,
            ends=("first", "learnt"), label="Codes that learn",
        )  # fmt: skip
        st.caption(
            f"{vq_world.POINTS} vectors; they never move, and each step uses all of them. Purple: "
            "the codes and the way they came; red lines: where the regions of two codes meet. "
            "Second plane: each vector’s way to the code that replaces it, whose square is the "
            "error. A code that replaces nothing has no reason to move. "
            + (f"ε = {EPS:.5f} keeps divisors from 0. " if rule == "smoothed" else "")
            + (f"Level line: (5/{K})²/12, the best for an unbroken line." if kind == "line" else "")
        )


def gradients(second: DeltaGenerator) -> None:
    """What is copied past the argmin."""
    part = second.segmented_control(
        "Look at", list(PARTS), key="vqpart", default="one", required=True, bind="query-params",
        format_func=PARTS.get, width="content",
    )  # fmt: skip
    if part == "one":
        staircase()
    else:
        in_training()


def staircase() -> None:
    """The loss of one number, through its code."""
    with st.container(horizontal=True, gap="small"):
        z = st.slider("z", -RANGE, RANGE, Z, 0.1, key="vqz", bind="query-params", width=300)
        K = st.select_slider(
            "Codes", COUNTS, STAIRS, key="vqstairs", bind="query-params", width=200
        )
    told = Stairs(*vq_gradient.stairs(K))
    left, right = st.columns([3, 2], gap="medium")
    plot(
        vq_views.stairs_figure(told, z), key="vq_stairs", place=left,
        alt="The loss against z: level in each cell, with an arrow for the copied step",
    )  # fmt: skip
    plot(
        vq_views.shares_figure(K), key="vq_shares", place=right,
        alt="The share of all z that a copied step leads to a smaller loss, against the codes",
    )  # fmt: skip
    far = np.abs(told.codes - z)
    k, border = int(far.argmin()), bool(np.diff(np.sort(far))[0] < 1e-9)
    slope = "none, on the border of two" if border else "**0**"
    leads = {1: "a smaller loss", -1: "a larger loss", 0: "no other cell"}[int(told.verdict[k])]
    st.markdown(
        f"z = {signed(z)} becomes the code {signed(told.codes[k])}. True gradient of the loss by "
        f"z: {slope}. Copied: **{signed(told.copied[k])}**, the slope of the dashed line at the "
        f"code (at z it is {signed(vq_gradient.slope(z))}); a step against it leads to {leads}."
    )
    st.caption(
        f"The decoder makes e + sin 2e of a code e, and should make {vq_gradient.TARGET:g}. "
        "Arrows: which way z is pushed; green where the next cell that way has a smaller loss, red "
        "where it has a larger one, gray where there is none. Right: the green cells’ share."
    )


def in_training() -> None:
    """Encoder, codes and decoder, trained at once."""
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        copy = st.segmented_control(
            "Reconstruction’s gradient to the encoder", list(COPIES), key="vqcopy",
            default="copied", required=True, bind="query-params", format_func=COPIES.get,
            width="content",
        )  # fmt: skip
        beta = st.segmented_control(
            "Commitment β", BETAS, key="vqbeta", default=BETA, required=True, bind="query-params",
            format_func=lambda b: f"{b:g}", width="content",
        )  # fmt: skip
        pace = st.segmented_control(
            "Codes’ rate", list(PACES), key="vqpace", default="same", required=True,
            bind="query-params", width="content",
        )  # fmt: skip
    told = Training(*vq_gradient.training(beta, copy == "copied", pace))
    frames = vq_views.training_frames(told)
    player(
        frames.panels, key="vq_training", total=len(told.z), captions=frames.captions,
        curves=frames.curves, clouds=frames.clouds, scale=8, autoplay=True, hold=True,
        report_frame=False, charts_last=True, rest=len(told.z) - 1,
        ends=("untrained", "trained"), label="A small VQ-VAE in training",
    )  # fmt: skip
    st.caption(
        f"{vq_gradient.SAMPLES} points in four stripes. The encoder turns a point into one number "
        "z, a code replaces it, the decoder makes a point of the code; encoder and decoder are a "
        "matrix and a shift each. Left: red lines part the data by their codes; purple: what the "
        "codes are decoded to. Middle: z across, the stripe upwards; purple: the codes. Right: "
        "each point’s way to what is made of it. " + said_of_steps(told, copy)
    )


def said_of_steps(told: Training, copy: str) -> str:
    """Why copied steps lead to no better code, and help."""
    first, last = (vq_gradient.already_best(told, i) for i in (0, -1))
    if copy != "copied":
        return (
            f"Copied steps are shown, but not made: at the end {told.leads[-1, 0]:.0%} would lead "
            f"to a better code, as only {last:.0%} of the points have the best one."
        )
    return (
        f"{first:.0%} of the points at first, and {last:.0%} at the end, have the best of the four "
        "codes as these are: no step leads them to a better one. Steps help all the same, since "
        "the codes follow z, and the decoder learns."
    )


def page() -> None:
    """Lay out the page."""
    chapter.header("VQ-VAE", defaults=DEFAULTS)
    load.or_stop(vq_world.network)
    chapter.prose(
        "A VQ-VAE turns a digit into 7 × 7 vectors and replaces each by the nearest of 128 codes. "
        "What is left are 49 numbers, the "
        + term("tokens", "the numbers of codes")
        + ", and a decoder that makes a digit of them. A diffusion model for categories can learn "
        "to draw such numbers."
    )  # fmt: skip
    chapter.question(
        "Take each of the 49 tokens from another digit, at its own place. What is decoded?",
        {
            "A digit": "Seldom: each token is right for its place, but not for its neighbours. "
            "Strokes end at the next token, or turn.",
            "Strokes that do not fit": "They end at the next token, or turn. Which tokens go "
            "together is what the diffusion model has to learn.",
            "Gray noise": "Each code stands for a piece of a picture, and the decoder draws "
            "strokes from whatever it is given. They only do not fit.",
        },
        answer="Strokes that do not fit",
        state={"vqput": "all"},
        look="Token by token, each from another digit: what is decoded breaks up into strokes that "
        "end at the tokens’ borders. Step back and forth.",
    )
    chapter.look()
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(nearest_code, straight_through, loss_parts)
    formula_and_code(
        VQVAE.encode,
        Codebook.nearest,
        VQVAE.decode,
        perplexity,
        under="A digit as tokens, and bits",
    )
    formula_and_code(
        gradient_step, moving_average_step, smoothed, restart_dead, line_error,
        under="How codes learn",
    )
    formula_and_code(first_other_cell, under="Where a copied step leads")
    told = Facts(*facts())
    chapter.why(confusions(told))
    chapter.try_this(
        [
            Experiment(
                "Hide a token",
                "its patch is painted gray; little changes around it.",
                {"vqput": "mask"},
            ),
            Experiment(
                "Sixteen codes that begin far away",
                "few of them ever replace anything. Then press “Restarts”.",
                {"vqview": "codes", "vqsize": 16},
            ),
            Experiment(
                "A small VQ-VAE without commitment",
                "z runs ahead and stays ahead; the codes come after it. At the end z and code are "
                f"{told.apart[0]:.2f} apart, in the mean square; with β = {BETA:g} it is "
                f"{told.apart[1]:.2f}.",
                {"vqview": "gradient", "vqpart": "training", "vqbeta": 0.0},
            ),
        ]
    )
    chapter.sources(
        [
            Source("van den Oord, Vinyals & Kavukcuoglu 2017, Neural Discrete Representation "
                   "Learning", "eq. 1 to 3, section 3, appendix A.1",
                   "https://arxiv.org/abs/1711.00937"),
            Source("Bengio, Léonard & Courville 2013, Estimating or Propagating Gradients Through "
                   "Stochastic Neurons", "the straight-through estimator",
                   "https://arxiv.org/abs/1308.3432"),
            Source("Gu et al. 2022, Vector Quantized Diffusion Model for Text-to-Image Synthesis",
                   "section 4", "https://arxiv.org/abs/2111.14822"),
            Source("Yu et al. 2022, Vector-Quantized Image Modeling with Improved VQGAN",
                   "section 3.2, codes of length 1", "https://arxiv.org/abs/2110.04627"),
        ]
    )  # fmt: skip
    load.settle()


page()
