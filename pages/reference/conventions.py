"""Whose t, whose σ, whose w? One state of the process in everybody's conventions."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from diffusion_core import conventions
from diffusion_core.convention_tables import (
    DISCRETE_K,
    DISCRETE_T,
    GRAY_ORDER,
    DiscreteState,
    GaussianState,
    GuidanceState,
    Table,
    discrete_table,
    gaussian_table,
    guidance_table,
)
from diffusion_core.published import cosine_on_more_points, squared_line_betas, straight_betas
from diffusion_core.schedule_check import identify, posterior_table
from diffusion_core.schedules import SCHEDULES
from pages.shared import chapter, load
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.schedule_desk import desk, example
from pages.shared.translation import translation

VIEWS = {
    "gaussian": "Gaussian",
    "discrete": "Categories",
    "guidance": "Guidance",
    "yours": "Your schedule",
}
STATES = {0: "0", 1: "1", 2: "2", 3: "[MASK]"}
DEFAULTS = {
    "cview": "gaussian",
    "cschedule": "linear",
    "ct": 300,
    "cT": 1000,
    "cxt": -0.4,
    "ceps": 0.6,
    "cdt": 50,
    "ci": 0,
    "cj": 3,
    "cw": 2.0,
    "cwith": 0.7,
    "cwithout": 0.2,
    "ckind": "auto",
    "cpaste": example("linear", picked=50),
}


@st.cache_data(max_entries=256, show_spinner=False)
def gaussian_of(schedule: str, T: int, t: int, x_t: float, eps: float) -> Table:
    """The Gaussian table of one state."""
    return gaussian_table(GaussianState(schedule, T, t, x_t, eps))


@st.cache_data(max_entries=256, show_spinner=False)
def discrete_of(t: int, i: int, j: int) -> Table:
    """The table of one transition."""
    return discrete_table(DiscreteState(t, i, j))


LABELS = {
    "gaussian": "One noisy pixel in six conventions",
    "discrete": "One transition in four conventions",
    "guidance": "One strength of guidance in four conventions",
}
CONCEPTS = {  # whose colour marks a row
    "gaussian": (None, "q", "xt", None, "p", "eps", "q", "eps"),
    "discrete": (None, None, None, "q", "q", "q", None),
    "guidance": (None, "p", "p", "p", None, None),
}


@st.fragment
def exhibit() -> None:
    """The table, in one of its three kinds, or the reader's own schedule."""
    top = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    view = top.segmented_control(
        "Translate", list(VIEWS), key="cview", default="gaussian", required=True,
        bind="query-params", format_func=VIEWS.get, width="content", wrap=True,
    )  # fmt: skip
    if view == "yours":
        desk(DEFAULTS["cpaste"])
        return
    stage = st.container()
    more = st.expander("More: exact numbers, and a column as code")
    # The controls first, wherever they stand: a link sets them when they are drawn.
    draw = {"gaussian": gaussian, "discrete": discrete, "guidance": guidance}[view]
    table, about = draw(top, more)
    with stage:
        if about:
            st.caption(about)
        translation(table, key=f"translation_{view}", concepts=CONCEPTS[view], label=LABELS[view])
    with more:
        column = st.selectbox(
            "Column as code", list(table.columns), key=f"ccode_{view}", width=260,
            format_func=lambda key: table.columns[key].title,
        )  # fmt: skip
        st.code(table.snippet(column), language="python")


def gaussian(top: DeltaGenerator, more: DeltaGenerator) -> tuple[Table, str]:
    """The Gaussian table, and what it is about."""
    options = {"bind": "query-params"}
    schedule = top.selectbox(
        "Noise schedule", list(SCHEDULES), key="cschedule", width=150, **options
    )
    t = top.slider("Step t", 1, 1000, 300, key="ct", width=260, **options)
    boxes = more.columns(3)
    x_t = boxes[0].number_input("xₜ, the noisy pixel", -5.0, 5.0, -0.4, 0.05, key="cxt", **options)
    eps = boxes[1].number_input("ε̂, predicted", -5.0, 5.0, 0.6, 0.05, key="ceps", **options)
    T = boxes[2].select_slider("Number of steps T", [10, 100, 1000], 1000, key="cT", **options)
    about = (
        f"One pixel, $x_t = {x_t:g}$, and the network's answer, $\\hat\\epsilon = {eps:g}$: both "
        "can be changed under “More”. diffusers is shown with v-prediction."
    )
    if t > T:
        about += f" :material/build: t = {t} is beyond the last step: the table shows t = {T}."
    return gaussian_of(schedule, T, min(t, T), x_t, eps), about


def discrete(top: DeltaGenerator, more: DeltaGenerator) -> tuple[Table, str]:
    """The table of one transition."""
    t = top.slider("Step t", 1, DISCRETE_T, 50, key="cdt", bind="query-params", width=150)
    options = {"bind": "query-params", "format_func": STATES.get, "width": 112}
    i = top.selectbox("From state i", range(DISCRETE_K), key="ci", **options)
    j = top.selectbox("To state j", range(DISCRETE_K), index=3, key="cj", **options)
    about = (
        "One process in four notations: ours, whose last state is [MASK]. D3PM's code for pictures "
        f"adds no state: a gray level in the middle is [MASK], here {GRAY_ORDER.index(3)}, and our "
        f"{GRAY_ORDER[3]} is its {GRAY_ORDER.index(2)}."
    )
    return discrete_of(t, i, j), about


def guidance(top: DeltaGenerator, more: DeltaGenerator) -> tuple[Table, str]:
    """The table of guidance."""
    options = {"bind": "query-params"}
    w = top.slider("Ho & Salimans's w", -1.0, 9.0, 2.0, 0.1, key="cw", width=300, **options)
    boxes = more.columns(3)
    known = boxes[0].number_input("ε with class", -5.0, 5.0, 0.7, 0.05, key="cwith", **options)
    anyone = boxes[1].number_input("ε without", -5.0, 5.0, 0.2, 0.05, key="cwithout", **options)
    about = f"One pixel: the network answers ε = {known:g} with the class, {anyone:g} without it."
    return guidance_table(GuidanceState(w, known, anyone)), about.replace("-", "−")


class Facts(NamedTuple):
    """The numbers in the prose: of the linear schedule, T = 1000, at t = 300 and t = 1."""

    sigma: float
    step_sigma: float
    edm: float
    diffusers_left: float
    alpha: float
    alpha_bar: float
    masked: float
    unmasked: float
    noise_of_two: float
    product_of_two: float
    roots_left: float
    straight_left: float


def facts() -> Facts:
    """Read them off the tables, in about two milliseconds."""
    state = GaussianState("linear", 1000, 300, -0.4, 0.6)
    columns = gaussian_table(state).columns
    first = gaussian_table(GaussianState("linear", 1000, 1, -0.4, 0.6)).columns
    ddpm = columns["ddpm"].cells
    there = discrete_table(DiscreteState(50, 0, 3)).columns["here"].cells[3].value
    back = discrete_table(DiscreteState(50, 3, 0)).columns["here"].cells[3].value
    return Facts(
        sigma=columns["sde"].cells[1].value,
        step_sigma=math.sqrt(ddpm[5].value),
        edm=columns["edm"].cells[1].value,
        diffusers_left=1 - first["diffusers"].cells[1].value,
        alpha=1 - ddpm[5].value,
        alpha_bar=ddpm[1].value,
        masked=there,
        unmasked=back,
        noise_of_two=float(1 - SCHEDULES["linear"](1000).alpha_bar[2]),
        product_of_two=float(SCHEDULES["linear"](1000).beta[1:3].prod()),
        roots_left=float(squared_line_betas(1000).alpha_bar[-1].sqrt()),
        straight_left=float(straight_betas(1000, 0.00085, 0.012).alpha_bar[-1].sqrt()),
    )


def page() -> None:
    """Lay out the page."""
    told = facts()
    chapter.header("Conventions", defaults=DEFAULTS)
    chapter.prose(
        "One thing has many names, and one name many meanings: one state in every convention."
    )
    chapter.question(
        "A bug report says: “it fails at t = 0”. Is the picture there clean?",
        {
            "Yes": "In DDPM's paper and in this app it is. In diffusers and improved-diffusion "
            "the tables start at the first noisy step: with the linear schedule "
            f"{told.diffusers_left:.2%} of the variance at their index 0 is noise already.",
            "No": "In diffusers and improved-diffusion it isn't: index 0 is the first noisy step. "
            "But in DDPM's paper and in this app t = 0 is the clean picture.",
            "It depends on whose t": "The paper's t = 0 is clean; diffusers' and "
            "improved-diffusion's index 0 is the first noisy step, our t = 1, and VDM's z₀ is that "
            f"one, too. With the linear schedule {told.diffusers_left:.2%} of the variance there "
            "is noise. Always ask for the base.",
        },
        answer="It depends on whose t",
    )
    chapter.look()
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(
        conventions.edm_sigma,
        conventions.edm_output,
        conventions.vdm_gamma,
        conventions.score,
        conventions.guided_noise,
        identify,
        posterior_table,
    )
    chapter.why(confusions(told))
    chapter.try_this(
        [
            Experiment(
                "Go to the first noisy step",
                "index 0 in two libraries, and no step before it in VDM: its z₀ is the end.",
                {"ct": 1},
            ),
            Experiment(
                "Turn guidance off",
                "w = 0 in one paper, 1 in the others; the weight of the prediction without a "
                "class is 0.",
                {"cview": "guidance", "cw": 0.0},
            ),
            Experiment(
                "Paste Stable Diffusion's betas",
                "the page knows them: roots on a straight line from 0.00085 to 0.012.",
                {"cview": "yours", "cpaste": example("scaled_linear")},
            ),
        ]
    )
    chapter.sources(SOURCES)
    load.settle()


def confusions(told: Facts) -> list[Confusion]:
    """What people get wrong, with a setting that shows it."""
    return [
        Confusion(
            f"My σ is {told.sigma:.2f} and theirs is {told.edm:.2f}. Who is wrong?",
            "Perhaps nobody. In VDM, and on these pages, σ is the "
            + term("standard deviation")
            + f" of the noise in xₜ, √(1−ᾱ) = {told.sigma:.4g} here, never above 1; score-SDE's VP "
            "process has the same number. DDPM’s paper writes √(1−ᾱₜ) for it and keeps σₜ for "
            "something else, the fresh noise of one step back: "
            f"{told.step_sigma:.2g} at t = 300 with σₜ² = βₜ. In EDM, and in score-SDE's VE "
            "process, σ is "
            f"the noise for each unit of signal, √((1−ᾱ)/ᾱ) = {told.edm:.4g}, without a limit: "
            "EDM's picture is xₜ/√ᾱ, "
            + term("variance exploding")
            + " instead of "
            + term("variance preserving")
            + ".",
            {},
            look="The row “Noise level”: EDM's σ and the standard deviation of score-SDE.",
            threads=["yuanzhi-zhu/DiffPIR#1", "fallenshock/SinDDM#4"],
        ),
        Confusion(
            "Is α the product or a single step?",
            f"In DDPM αₜ = 1 − βₜ is one step's share, {told.alpha:.6g} at t = 300, and ᾱₜ the "
            f"product of all of them, {told.alpha_bar:.4g}. DDIM's paper and VDM differ: DDIM "
            "writes α for DDPM's ᾱ, and VDM's α is the root of ᾱ.",
            {},
            look=f"First column: βₜ, so DDPM’s αₜ is 1 − βₜ = {told.alpha:.6g}; and ᾱₜ = "
            f"{told.alpha_bar:.4g}, which DDIM calls α. Its root, {told.alpha_bar**0.5:.4g}, is "
            "VDM’s α.",
            threads=["ermongroup/ddim#44"],
        ),
        Confusion(
            "Is Q[i, j] from i to j, or to i from j?",
            "Here and in D3PM's code for pictures, rows are “from”, and a distribution stands on "
            "the left: x₀ Q̄. In D3PM's code for text and in VQ-Diffusion's paper, columns are "
            "“from”, and it stands on the right. With [MASK] the mistake is large: a state becomes "
            f"[MASK] with probability {told.masked:.4g} at this step, and [MASK] becomes a state "
            f"with probability {told.unmasked:.4g}. Where the "
            + term("transition matrix")
            + " is symmetric nobody notices.",
            {"cview": "discrete", "ci": 0, "cj": 3},
            look="“One step”: the same number, and the two indices swapped.",
            threads=["microsoft/VQ-Diffusion#20"],
        ),
        Confusion(
            "Does a guidance scale of 1 mean no guidance, or a little?",
            "With a "
            + term("guidance scale")
            + " as in diffusers, 1 is none: the prediction with the class alone. With Ho and "
            "Salimans's w, 0 is none and 1 is what others call 2. Imagen calls its scale w, too, "
            "and counts like diffusers.",
            {"cview": "guidance", "cw": 1.0},
            look="“The number”: w = 1 in the paper is 2 in code. The guided ε is the same.",
            threads=[
                "huggingface/diffusers#5882",
                "lucidrains/denoising-diffusion-pytorch#155",
                "lucidrains/denoising-diffusion-pytorch#207",
                "ashawkey/stable-dreamfusion#32",
            ],
        ),
        Confusion(
            "beta_prod_t = 1 − alpha_prod_t? A product of 1 − α isn’t 1 minus a product",
            "It is not, and only the name says so. What the formulas need is 1 − ᾱ, the variance "
            "of all noise so far, and that is what this code computes. The product of the betas "
            f"stands in no formula: at t = 2 it is {told.product_of_two:.2g}, and 1 − ᾱ is "
            f"{told.noise_of_two:.2g}. (α is not another word for β, either: α = 1 − β.)",
            {"ct": 2},
            look="The last row, at t = 2: diffusers’ beta_prod_t is the paper’s 1 − ᾱₜ.",
            threads=[
                "huggingface/diffusers#9474",
                "hkproj/pytorch-stable-diffusion#26",
                "cvignac/DiGress#41",
                "ageron/handson-ml3#143",
            ],
        ),
        Confusion(
            "Their schedule is called linear, like mine. Why do the numbers differ?",
            "Because three things have that name. In Ho et al. β is on a straight line; in "
            "improved-diffusion, too, but multiplied by 1000/T; and Stable Diffusion’s code says "
            "“linear” where √β is on the line, which diffusers calls “scaled_linear”. From 0.00085 "
            f"to 0.012 that leaves √ᾱ = {told.roots_left:.3f} of the signal, a straight β "
            f"√ᾱ = {told.straight_left:.3f}.",
            {"cview": "yours", "cpaste": example("scaled_linear")},
            look="The first sentence says which one it is.",
            threads=["CompVis/stable-diffusion#314", "Comfy-Org/ComfyUI#1998"],
        ),
        Confusion(
            "Their cosine divides by T + 1. Is it off by one?",
            "No, as long as both lines do. T + 1 points from 0 to T + 1, divided by T + 1, are the "
            "points 0, 1/T, … 1 of the paper. If only one of the two lines is changed, the last "
            "point is not 1, and the schedule is another one.",
            {"cview": "yours", "cpaste": json.dumps(cosine_on_more_points(1000).beta[1:].tolist())},
            look="These betas were computed with T + 1: the page finds the paper’s cosine.",
            threads=["lucidrains/denoising-diffusion-pytorch#19", "jannerm/diffuser#68"],
        ),
        Confusion(
            "I took betas[::20] for 50 steps. What did I get?",
            "A schedule that nobody trained: the noise of the skipped steps is missing. The page "
            "recognises it, and says which steps were picked.",
            {"cview": "yours", "cpaste": example("linear", picked=50)},
            look="The second sentence, and how much signal is left at the end.",
            threads=["huggingface/diffusers#5130"],
        ),
        Confusion(
            "My list starts with the noisiest step. Does that matter?",
            "To a formula, yes: it reads index 0 as the cleanest. Numbers tell which way they run "
            "only together: ᾱ falls from 1, and betas usually rise. The page says so in a "
            "sentence instead of guessing.",
            {"cview": "yours", "cpaste": example("linear", backwards=True)},
            look="The sentence beside the numbers.",
            threads=["openai/improved-diffusion#8"],
        ),
    ]


SOURCES = [
    Source("Ho, Jain, Abbeel 2020, Denoising Diffusion Probabilistic Models", "eq. 2, 4, 7",
           "https://arxiv.org/abs/2006.11239"),
    Source("Karras, Aittala, Aila, Laine 2022, Elucidating the Design Space (EDM)",
           "table 1, eq. 7", "https://arxiv.org/abs/2206.00364"),
    Source("Kingma, Salimans, Poole, Ho 2021, Variational Diffusion Models",
           "section 3 and eq. 25", "https://arxiv.org/abs/2107.00630"),
    Source("Song et al. 2021, Score-Based Generative Modeling through SDEs",
           "eq. 11 and appendix B", "https://arxiv.org/abs/2011.13456"),
    Source("Austin et al. 2021, Structured Denoising Diffusion (D3PM)", "eq. 2 and 3",
           "https://arxiv.org/abs/2107.03006"),
    Source("Gu et al. 2022, Vector Quantized Diffusion (VQ-Diffusion)", "eq. 5 to 8",
           "https://arxiv.org/abs/2111.14822"),
    Source("Ho, Salimans 2022, Classifier-Free Diffusion Guidance", "eq. 6",
           "https://arxiv.org/abs/2207.12598"),
    Source("Saharia et al. 2022, Imagen", "eq. 2", "https://arxiv.org/abs/2205.11487"),
    Source("Luo 2022, Understanding Diffusion Models: A Unified Perspective",
           "section on classifier-free guidance", "https://arxiv.org/abs/2208.11970"),
    Source("Lin, Liu, Li, Yang 2023, Common Diffusion Noise Schedules are Flawed",
           "algorithm 1 (zero terminal SNR)", "https://arxiv.org/abs/2305.08891"),
]  # fmt: skip

page()
