"""How does a picture become 49 numbers of a codebook, and who draws those numbers?"""

from __future__ import annotations

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
from pages.shared import chapter, load, vq_asks, vq_tokens, vq_views, vq_world
from pages.shared.canvas import canvas
from pages.shared.chapter import Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.player import follow, player, session_runs
from pages.shared.vq_copied import gradients
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
from pages.shared.vq_lessons import confusions
from pages.shared.vq_tokens import HOW_CODES_LOOK
from pages.shared.vq_world import (
    DECAYS,
    IDLE,
    KINDS,
    LEARN,
    LEARN_STEPS,
    PUTS,
    SIZES,
    STARTS,
    STEPS,
    SURE,
    Learning,
)

VIEWS = {"tokens": "Tokens", "drawn": "Drawn", "codes": "Codebook", "gradient": "Gradient"}
PICTURES = {"gallery": "Gallery", "draw": "Draw"}
DEFAULTS = {
    "vqview": "tokens",
    "vqfrom": "gallery",
    "vqdigit": DIGIT,
    "vqform": 1,
    "vqdown": PLACE[0] + 1,
    "vqacross": PLACE[1] + 1,
    "vqput": "own",
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
RENAMED = {
    "vqput": {
        "the farthest code": PUTS["far"],
        "the next nearest": PUTS["near"],
        "any code": PUTS["random"],
        "[MASK]": PUTS["mask"],
        "a number": PUTS["hand"],
        "nothing else": PUTS["own"],
        "all 49, from other digits": PUTS["all"],
    },
    "vqlearn": {"Averages, ε": LEARN["smoothed"]},
}
SHEET = 284  # width of the sheet to draw on, in pixels
EXCHANGE = ("all", "Exchange all 49, one by one")


@st.fragment
def exhibit() -> None:
    """Four views of vectors that are replaced by codes, each with its question."""
    above = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "The VQ-VAE", list(VIEWS), key="vqview", default="tokens", required=True,
            bind="query-params", format_func=VIEWS.get, width="content",
        )  # fmt: skip
        second = st.container(width="content")
    {"tokens": one_digit, "drawn": who_draws, "codes": codes_learn, "gradient": gradients}[view](
        above, second
    )


def one_digit(above: DeltaGenerator, second: DeltaGenerator) -> None:
    """A digit, how its tokens come about, and what becomes of it where some are exchanged."""
    vq_asks.asked(above, vq_asks.of_tokens)
    with second.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        which = st.container(width="content")
        put = st.selectbox(
            "Exchange", list(PUTS), key="vqput", bind="query-params", width=210,
            format_func=PUTS.get,
        )  # fmt: skip
        if put == "hand":
            code = st.number_input("Code", 0, 127, 0, key="vqcode", bind="query-params", width=100)
        else:
            code = 0
            to, label = ("own", "Its own tokens again") if put == "all" else EXCHANGE
            st.button(
                label, key=f"vq_to_{to}", on_click=chapter.apply_state, kwargs={"vqput": to},
                width="content",
            )  # fmt: skip
    stage = st.container()
    with st.expander("More: a digit that you draw, another variant, the place by numbers"):
        zero, one, two, three, four = st.columns([1.4, 1, 1, 1, 1])
        source = zero.segmented_control(
            "Picture", list(PICTURES), key="vqfrom", default="gallery", required=True,
            bind="query-params", format_func=PICTURES.get, width="content",
        )  # fmt: skip
        form = one.number_input("Variant", 1, 20, 1, key="vqform", bind="query-params")
        down = two.number_input("Row", 1, 7, PLACE[0] + 1, key="vqdown", bind="query-params")
        across = three.number_input("Column", 1, 7, PLACE[1] + 1, key="vqacross",
                                    bind="query-params")  # fmt: skip
        seed = four.number_input("Seed of what is drawn", 0, 9999, 0, key="vqseed",
                                 bind="query-params")  # fmt: skip
    with stage, st.container(horizontal=True, gap="small"):
        if source == "gallery":
            label = which.number_input(
                "Digit", 0, 9, DIGIT, key="vqdigit", bind="query-params", width=100
            )
            picture = load.gallery_digit(label, form - 1)
        else:
            with st.container(width=SHEET):
                picture = canvas(key="vq_sheet", initial=load.gallery_digit(DIGIT, 0))
        if put == "all":
            with st.container():
                vq_tokens.all_replaced(picture, seed)
            return
        place = (down - 1, across - 1)
        told = vq_world.swap(picture, *place, put, code, seed)
        vq_tokens.one_replaced(told, picture, place)
    with stage:
        vq_tokens.say(told, place)


def who_draws(above: DeltaGenerator, second: DeltaGenerator) -> None:
    """Tokens drawn without a model, and by one."""
    vq_asks.asked(above, vq_asks.of_drawn)
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
        scale=3, autoplay=True, hold=True, report_frame=False, rest=STEPS,
        ends=("noise", "tokens"), label="Twelve digits, drawn as tokens",
    )  # fmt: skip
    rows = {
        f"{SURE:.0%} sure": (
            MEASURED.even, MEASURED.placewise, MEASURED.diffusion, MEASURED.gallery,
        ),
        "pairs known": MEASURED.pairs,
    }  # fmt: skip
    kept = None if st.session_state.get(vq_asks.GUESSED) else ("pairs known", 1)  # till guessed
    lines = [
        " | ".join((name, *("?" if (name, k) == kept else f"**{v:.0%}**"
                            for k, v in enumerate(row))))
        for name, row in rows.items()
    ]  # fmt: skip
    st.markdown(
        "| | Even chances | Place by place | VQ-Diffusion | Digits |\n"
        "|:--|:--|:--|:--|:--|\n" + "\n".join(f"| {line} |" for line in lines)
    )
    st.caption(
        "VQ-Diffusion, asked for 0 to 9, 0 and 1, begins with tokens nearly all [MASK], gray, and "
        "some any code: its noise hides tokens or replaces them. In each step a network, which "
        "sees all 49, guesses the clean tokens, and the posterior draws which are uncovered or "
        "changed: see [Discrete sampling](/discrete_sampling). Even chances: any of the 128 codes. "
        "Place by place: that of some digit of the gallery at this place. Digits: the gallery’s. "
        f"{SURE:.0%} sure: of so many a classifier is, which is as often sure of either tangle. "
        "Pairs known: two tokens side by side, or one above the other, that another digit of the "
        "gallery has at this very place. "
        f"({MEASURED.count:,} of each, {MEASURED.few} of VQ-Diffusion’s and of the gallery’s.)"
    )


def codes_learn(above: DeltaGenerator, second: DeltaGenerator) -> None:
    """Codes that learn from vectors in the plane."""
    vq_asks.asked(above, vq_asks.of_codes)
    with second.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        start = st.segmented_control(
            "Codes begin", list(STARTS), key="vqstart", default="far", required=True,
            bind="query-params", format_func=STARTS.get, width="content",
        )  # fmt: skip
        rule = st.segmented_control(
            "and learn by", list(LEARN), key="vqlearn", default="average", required=True,
            bind="query-params", format_func=LEARN.get, width="content", wrap=True,
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
            curves=frames.curves, clouds=frames.clouds, scale=10,
            autoplay=True, hold=True, report_frame=False, charts_last=True, rest=LEARN_STEPS,
            ends=("first", "learnt"), label="Codes that learn",
        )  # fmt: skip
        st.caption(
            f"{vq_world.POINTS} vectors; they never move, and each step uses all of them. Purple: "
            "the codes and the way they came; red lines: where the regions of two codes meet. "
            "Second plane: each vector’s way to the code that replaces it, whose square is the "
            f"error. A code that replaces nothing {IDLE[rule]}. "
            + (f"Guarded: a little, ε = {EPS:.5f}, is added to how much each code replaced, so "
               "that nothing is divided by 0. " if rule == "smoothed" else "")
            + (f"Level line: (5/{K})²/12, the best for an unbroken line." if kind == "line" else "")
        )  # fmt: skip
        st.html(
            vq_views.titled("The shipped network’s 128 codes, as it has learnt them", "p")
            + vq_views.codebook_html(863)
        )
        st.caption(
            f"Numbered from 0, {vq_views.ROW} in a row. {HOW_CODES_LOOK} They learnt by averages "
            f"(γ = {vq_world.network()[0].codebook.decay:g} per batch) with restarts, and all are "
            "kept at length 1."
        )


def page() -> None:
    """Lay out the page."""
    chapter.header("VQ-VAE", defaults=DEFAULTS, renamed=RENAMED)
    load.or_stop(vq_world.network)
    chapter.prose(
        "A VQ-VAE turns a digit into 7 × 7 vectors and replaces each by the nearest of 128 codes: "
        "49 numbers, the "
        + term("tokens", "the numbers of codes")
        + ", of which a decoder makes a digit again."
    )  # fmt: skip
    exhibit()

    st.subheader("The formulas, and the code that runs", anchor="formula")
    formula_and_code(nearest_code, straight_through, loss_parts)
    formula_and_code(
        VQVAE.encode,
        Codebook.nearest,
        VQVAE.decode,
        perplexity,
        under="A digit as tokens, and bits",
    )
    formula_and_code(
        gradient_step,
        moving_average_step,
        smoothed,
        restart_dead,
        line_error,
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
                "z runs to a standard deviation of "
                f"{told.slow_spread[0]:.1f}, codes at a quarter of the rate are left behind, and "
                f"the error ends at {told.slow[0]:.2f}. Then press β = {BETA:g}: "
                f"{told.slow_spread[1]:.1f} and {told.slow[1]:.2f}.",
                {"vqview": "gradient", "vqpart": "training", "vqbeta": 0.0, "vqpace": "quarter"},
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
