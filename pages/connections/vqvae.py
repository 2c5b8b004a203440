"""How does a picture become 49 numbers of a codebook, and who draws those numbers?"""

from __future__ import annotations

import math
from collections.abc import Callable

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
HOW_CODES_LOOK = (
    "A code is 16 numbers, and has no picture of its own; shown is the average of what is decoded "
    "where it stands in the gallery’s digits, its own 4 × 4 pixels and two more on each side."
)


def press(x: float, y: float) -> None:
    """Choose the token that was pressed."""
    chapter.apply_state(vqacross=round(min(max(x, 1), 7)), vqdown=round(min(max(y, 1), 7)))


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


def asked(above: DeltaGenerator, ask: Callable[[], None]) -> None:
    """A view's question, and under it what a Why or a Try asked to look at."""
    with above:
        ask()
        chapter.look()


def one_digit(above: DeltaGenerator, second: DeltaGenerator) -> None:
    """A digit, how its tokens come about, and what becomes of it where some are exchanged."""
    asked(above, ask_of_tokens)
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
                all_replaced(picture, seed)
            return
        place = (down - 1, across - 1)
        told = vq_world.swap(picture, *place, put, code, seed)
        one_replaced(told, picture, place)
    with stage:
        say(told, place)


def ask_of_tokens() -> None:
    """Whether tokens that are right for their places make a digit."""
    chapter.question(
        "Take each of the 49 tokens from a different digit, at its own place: the first from one, "
        "the second from another, and so on. What is decoded?",
        {
            "A digit": "Seldom: each token is right for its place, but not for its neighbours. "
            "Strokes break off or turn. Press “Exchange all 49, one by one”.",
            "Strokes that do not fit": "They break off or turn. Which tokens go together is what "
            "the diffusion model has to learn. Press “Exchange all 49, one by one”.",
            "Gray noise": "Each code stands for a piece of a picture, and the decoder draws "
            "strokes from whatever it is given. They do not fit: press “Exchange all 49, one by "
            "one”.",
        },
        answer="Strokes that do not fit",
    )


def one_replaced(told: vq_world.Swap, picture: np.ndarray, place: tuple[int, int]) -> None:
    """The tokens, what they are decoded to, and in between how they come about, or what changed."""
    own = told.new == told.old
    pictures = {
        "x": ("1 a patch of the picture x" if own else "x", picture, "x0", place,
              "The picture; the token’s own 16 pixels framed"),
        "plain": ("5 decoded" if own else "decoded", told.plain, "p", None,
                  "What its 49 tokens are decoded to"),
        "now": ("one exchanged", told.decoded, "p", place, "What the changed tokens give"),
    }  # fmt: skip
    with st.container(horizontal=True, gap="small", width=vq_views.PICTURE):
        for name in ("x", "plain") if own else ("plain", "now"):
            title, shown, color, patch, about = pictures[name]
            with st.container(width=vq_views.PICTURE):
                plot(vq_views.picture_figure(title, shown, color, patch), key=f"vq_{name}",
                     alt=about)  # fmt: skip
    with st.container(width=vq_views.LARGE):
        if own:
            mechanism(told)
        else:
            change = told.decoded.astype(np.int16) - told.plain
            plot(
                vq_views.picture_figure("change", change, "bits", place, told.box, signed=True,
                                        side=vq_views.LARGE),
                key="vq_change", alt="The difference, in colour; all that changes lies in the "
                "dotted frame",
            )  # fmt: skip
    plot(
        vq_views.tokens_figure(told, *place), key="vq_tokens",
        place=st.container(width=vq_views.TABLE + vq_views.LEFT), on_click=press,
        alt="The 7 by 7 tokens as numbers on colours",
    )  # fmt: skip


def say(told: vq_world.Swap, place: tuple[int, int]) -> None:
    """What stands under the pictures."""
    own = told.new == told.old
    st.markdown((said_of_own if own else said_of)(told, *(v + 1 for v in place)))
    st.caption(
        "Each number names one of 128 codes; the colours only tell them apart. " + HOW_CODES_LOOK
        if own
        else "Change: red is lighter, blue darker, small changes enhanced (cube root); solid "
        "frame: the token’s own 4 × 4 pixels; dotted: everything that changes by more than one "
        "level of 255. Near and far are codes by their cosine, as all have length 1. [MASK] is no "
        "code: its patch is painted gray, and its neighbours see a vector of zeros."
    )


def mechanism(told: vq_world.Swap) -> None:
    """The encoder's vector at a place, and the code that is nearest to it, among all codes."""
    plot(
        vq_views.vector_figure(told), key="vq_vector",
        alt="The encoder’s 16 numbers at this place as bars, the nearest code’s as marks",
    )  # fmt: skip
    st.html(
        vq_views.titled("3 the nearest of the 128 codes", "p")
        + vq_views.codebook_html(vq_views.LARGE, told.old)
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
        "Look where strokes break off or turn: near a token’s border, since its neighbour knows "
        "nothing of it; not just at the border, since tokens are tiles with soft borders."
    )


def said_of_own(told: vq_world.Swap, down: int, across: int) -> str:
    """How a token comes about, and what all of them cost."""
    bits = math.log2(vq_world.gallery_perplexity())
    first, second, _ = told.alike
    return (
        f"Row {down}, column {across}: the encoder’s vector has a cosine of {first:.2f} with code "
        f"**{told.old}**, the nearest; with the next, {told.second}, {signed(second)}. Each number "
        "of a code takes 7 bits: 49 × 7 = **343 bits**, instead of 784 pixels × 8 = 6,272. With "
        f"fewer bits for codes that come often, the gallery’s take {bits:.2f} on average (log₂ of "
        f"their perplexity), 49\u00a0×\u00a0{bits:.2f} = {PLACES * bits:.0f}. Decoded, the "
        f"picture is off by {told.error:.3f} (root mean square; black to white is 1)."
    )


def said_of(told: vq_world.Swap, down: int, across: int) -> str:
    """What the replaced token does, in numbers."""
    new = "[MASK]" if told.new == vq_views.CODES else f"{told.new}"
    apart = "" if math.isnan(told.alike[2]) else f", whose cosine is {signed(told.alike[2])}"
    said = f"Row {down}, column {across}: token {told.old} → {new}{apart}. "
    if told.own + told.others == 0:
        return said + "No pixel changes."
    return said + (
        f"The picture changes by {told.change:.3f} (root mean square; black to white is 1), and is "
        f"now off by {told.after:.3f} instead of {told.error:.3f}. **{told.inside:.0%} of the "
        f"squared change** lies in the token’s own 16 pixels, the rest in {told.others} others."
    )


def ask_of_drawn() -> None:
    """Whether a classifier can tell tangles apart."""
    chapter.question(
        f"A classifier is {SURE:.0%} sure of {MEASURED.even:.0%} of random tokens’ pictures. And "
        "if each token fits its place?",
        {
            "About as many": f"{MEASURED.placewise:.0%}, though they look far more like digits. "
            "It knows digits only, and is at times sure of what is none: this measure cannot tell "
            "the two kinds apart. Whether neighbours go together can: the second line below.",
            "Half of them": f"{MEASURED.placewise:.0%}. They look more like digits, but the "
            "classifier knows digits only, and is as often sure of a tangle: this measure cannot "
            "tell the two kinds apart. The second line below can.",
            "Nearly all": f"{MEASURED.placewise:.0%}. Each token is right for its place, but not "
            f"for its neighbours. Of real digits, decoded, it is {MEASURED.gallery:.0%}.",
        },
        answer="About as many",
    )


def who_draws(above: DeltaGenerator, second: DeltaGenerator) -> None:
    """Tokens drawn without a model, and by one."""
    asked(above, ask_of_drawn)
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
    lines = [" | ".join((name, *(f"**{v:.0%}**" for v in row))) for name, row in rows.items()]
    st.markdown(
        "| | Even chances | Place by place | VQ-Diffusion | Digits |\n"
        "|:--|:--|:--|:--|:--|\n" + "\n".join(f"| {line} |" for line in lines)
    )
    st.caption(
        "All are decoded by the same decoder. Even chances: each token any of the 128 codes. "
        "Place by place: each token that of some digit of the gallery at this place, whatever "
        "those beside it are. VQ-Diffusion, asked for 0 to 9, 0 and 1: gray tiles are [MASK]; at "
        "t = 100 the others are any codes. Digits: the gallery’s, encoded. "
        f"{SURE:.0%} sure: of so many a classifier is, no matter which digit; it knows digits "
        "only, and cannot tell the two tangles apart. Pairs known: of two tokens side by side, or "
        "one above the other, so many pairs another digit of the gallery has at this very place. "
        f"({MEASURED.count:,} of each, {MEASURED.few} of VQ-Diffusion’s and of the gallery’s.)"
    )


def ask_of_codes() -> None:
    """What wakes a dead code."""
    used = {
        rule: int((Learning(*vq_world.learning("clusters", SIZE, rule, "far", DECAY, 0)).counts[-1]
                   > 0).sum())
        for rule in ("average", "gradient", "restart")
    }  # fmt: skip
    chapter.question(
        f"{SIZE} codes begin in one corner, far from the data, and learn by averages: "
        f"{used['average']} end in use. What brings in the others?",
        {
            "More steps": "A code learns from the vectors that it replaces. One that replaces none "
            "does not move, however long one waits, unless the busy codes leave it a vector.",
            "The gradient instead": f"{used['gradient']} end in use. The gradient of a code that "
            "replaces nothing is 0: it waits until a busy one leaves it a vector.",
            "Moving those that replace nothing": "Put where a vector is served badly, a dead code "
            f"has something to replace at once: {used['restart']} of {SIZE} end in use. The "
            "shipped network does so, too.",
        },
        answer="Moving those that replace nothing",
        state={"vqview": "codes", "vqlearn": "restart"},
        look="Restarts: the dead codes leave the corner, and the error falls.",
    )


def codes_learn(above: DeltaGenerator, second: DeltaGenerator) -> None:
    """Codes that learn from vectors in the plane."""
    asked(above, ask_of_codes)
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
            curves=frames.curves, clouds=frames.clouds, scale=10,
            autoplay=True, hold=True, report_frame=False, charts_last=True, rest=LEARN_STEPS,
            ends=("first", "learnt"), label="Codes that learn",
        )  # fmt: skip
        st.caption(
            f"{vq_world.POINTS} vectors; they never move, and each step uses all of them. Purple: "
            "the codes and the way they came; red lines: where the regions of two codes meet. "
            "Second plane: each vector’s way to the code that replaces it, whose square is the "
            "error. A code that replaces nothing has no reason to move. "
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


def gradients(above: DeltaGenerator, second: DeltaGenerator) -> None:
    """What is copied past the argmin."""
    part = second.segmented_control(
        "First one number, then a whole VQ-VAE", list(PARTS), key="vqpart", default="one",
        required=True, bind="query-params", format_func=PARTS.get, width="content",
    )  # fmt: skip
    if part == "one":
        asked(above, ask_of_one_number)
        staircase()
    else:
        asked(above, ask_of_training)
        in_training()


def ask_of_one_number() -> None:
    """What the gradient of a staircase is."""
    chapter.question(
        "z is replaced by the nearest code, and the loss is taken there. What is the loss’s true "
        "gradient by z?",
        {
            "The slope of the dashed line at z": "That is the loss of z itself, without a "
            "codebook. With one, a small step of z changes nothing: the code stays.",
            "Its slope at the code": "That is what is copied to z instead, past arg min: the "
            "straight-through estimator. The true one is 0, since a small step of z changes "
            "nothing.",
            "0, but for jumps": "A small step of z changes nothing, until another code is nearer "
            "and the loss jumps. No gradient comes through arg min; so the slope at the code is "
            "copied to z, as if z stood there.",
        },
        answer="0, but for jumps",
    )


def ask_of_training() -> None:
    """What commitment is for."""
    loose, held = (Training(*vq_gradient.training(beta, True, "quarter")) for beta in (0.0, BETA))
    ends = f"{loose.parts[-1, 0]:.2f}, instead of {held.parts[-1, 0]:.2f} with β = {BETA:g}"
    chapter.question(
        "Codes learn at a quarter of the others’ rate, and nothing holds z near its code (β = 0). "
        "Where does the error of reconstruction end?",
        {
            "Lower than with commitment": f"At {ends}. z is free, but what is decoded is the code, "
            "and the codes can’t follow.",
            "About where it does with it": f"At {ends}. It would if codes learnt as fast as the "
            "rest: they then keep up with z.",
            "More than twice as high": f"At {ends}. z runs to a standard deviation of "
            f"{loose.z[-1].std():.1f}, and leaves its codes behind.",
        },
        answer="More than twice as high",
        state={"vqview": "gradient", "vqpart": "training", "vqbeta": 0.0, "vqpace": "quarter"},
        look="Middle plane: z runs ahead of its codes.",
    )


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
    st.markdown(
        f"z = {signed(z)} becomes the code {signed(told.codes[k])}. True gradient of the loss by "
        f"z: {slope}. Copied: **{signed(told.copied[k])}**, the slope of the dashed line at the "
        f"code (at z it is {signed(vq_gradient.slope(z))}); {where_to(told, k)}"
    )
    st.caption(
        f"The decoder makes e + sin 2e of a code e, and should make {vq_gradient.TARGET:g}. "
        "Arrowheads: which way z is pushed; full and green where the next cell that way has a "
        "smaller loss, hollow and red where it has a larger one, a gray arrow where there is none. "
        "Right: the green cells’ share. The shipped network’s encoder is given a copied gradient, "
        "too: of 16 numbers in place of one."
    )


def where_to(told: Stairs, k: int) -> str:
    """To which code a step against the copied gradient leads from code k, and where the best is."""
    way, best = -int(np.sign(told.copied[k])), int(told.losses.argmin())
    side = {1: "right", -1: "left", 0: "nowhere"}[way]
    if told.verdict[k] == 0:
        step = f"a step against it goes {side}, where no other code is."
    else:
        to = k + way
        size = "smaller" if told.verdict[k] > 0 else "larger"
        step = (
            f"a step against it leads {side} to the code {signed(told.codes[to])}, whose loss is "
            f"{size}: {told.losses[to]:.2g} instead of {told.losses[k]:.2g}."
        )
    where = {0: "z has it", 1: "that way", -1: "the other way"}[int(np.sign((best - k) * way))]
    smallest = f"{told.losses[best]:.2g}, is at {signed(told.codes[best])}"
    return f"{step} The smallest of all, {smallest}: {where}."


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
        "each point’s way to what is made of it. Here codes learn by the gradient of the second "
        "term. The shipped network’s learn by averages, with restarts; and as its codes and its z "
        "have length 1, z can’t run away."
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
