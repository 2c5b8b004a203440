"""What is noise for categories?"""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.discrete import (
    DiscreteDiffusion,
    absorbing,
    gaussian,
    mutual_information,
    nearest_neighbor,
    uniform,
)
from diffusion_core.discrete_betas import cosine, even_loss, squared_cosine
from diffusion_core.information import forgetting, matched_step, stationary_of
from pages.shared import chapter, kernels, load
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.corruption import LEVELS, SENTENCE, Choice
from pages.shared.explain import formula_and_code
from pages.shared.transition_views import (
    FIRST,
    KERNELS,
    MOST_STEPS,
    digit_view,
    forgetting_view,
    matrices,
    more,
    number_of_steps,
    text_view,
)

VIEWS = {"matrix": "Matrices", "forgetting": "Forgetting", "digit": "A digit", "text": "A sentence"}
AT = {"equal": "equal information", "t": "equal t"}
DEFAULTS = {
    "tview": "matrix",
    "tkernel": FIRST,
    "tt": 40,
    "tK": 8,
    "tT": 100,
    "tsched": "cosine",
    "tbeta": 0.1,
    "tscale": "paper",
    "temb": "line",
    "tpoints": kernels.POINTS,
    "trate": 16,
    "tend": "paper",
    "trows": kernels.ROWS,
    "ti": 3,
    "tj": 7,
    "tlog": False,
    "tat": "equal",
    "tleft": 50,
    "ttext": SENTENCE,
    "source": "gallery",
    "digit": 3,
    "variant": 1,
    "tseed": 0,
}


@st.fragment
def at_step(kernel: str, choice: Choice, place: DeltaGenerator) -> None:
    """The matrices at one step, and the controls that are moved most.

    A fragment of its own: what a move sends, and the browser goes through, is what is in here.

    Args:
        kernel: a key of `KERNELS`.
        choice: what the other controls say.
        place: where the number of steps is chosen.
    """
    with place:
        choice = choice._replace(T=number_of_steps())
    t = st.slider("Step t", 1, MOST_STEPS, 40, key="tt", bind="query-params", width=260)
    with st.container(key="bench_stage"):
        if t > choice.T:
            chapter.say((f"t = {t} is beyond the last step: t = T = {choice.T} is used.",))
        matrices(kernel, choice, min(t, choice.T))


@st.fragment
def exhibit() -> None:
    """Four views of noise for categories."""
    row = st.container(key="bench_row", horizontal=True, vertical_alignment="bottom", gap="small")
    with row:
        view = st.segmented_control(
            "Show", list(VIEWS), key="tview", default="matrix", required=True,
            bind="query-params", format_func=VIEWS.get, width="content",
        )  # fmt: skip
        kernel, at = FIRST, "equal"
        if view in {"matrix", "forgetting"}:
            kernel = st.selectbox(
                "Kernel", list(KERNELS), list(KERNELS).index(FIRST), key="tkernel",
                bind="query-params", width=180, format_func=KERNELS.get,
            )  # fmt: skip
        if view in {"digit", "text"}:
            at = st.segmented_control(
                "Compare kernels at", list(AT), key="tat", default="equal", required=True,
                bind="query-params", format_func=AT.get, width="content",
            )  # fmt: skip
    stage = st.container()
    choice, place = more(kernel, view)
    if view == "matrix":
        with row:
            at_step(kernel, choice, place)
        return
    with place:
        choice = choice._replace(T=number_of_steps())
    with stage:
        if view == "forgetting":
            forgetting_view(kernel, choice)
        elif view == "digit":
            digit_view(choice, at == "equal")
        else:
            text_view(choice, at == "equal")


class Facts(NamedTuple):
    """The numbers that the text names; T = 100, K = 16 gray levels, cosine schedule.

    What is left with uniform and absorbing noise is for the 8 states that the page opens with.
    """

    left_uniform: float
    left_absorbing: float
    left_masked: float
    cos_half: float
    squared_half: float
    paper_left: float
    code_left: float
    back: float
    stays: float
    replaced_code: float
    replaced_paper: float
    column: float
    swings: float


@st.cache_data(max_entries=1, show_spinner=False)
def measured() -> tuple[float, ...]:
    """The fields of `Facts`, computed."""
    T, K = 100, LEVELS
    betas = cosine(T)

    def share(diffusion: DiscreteDiffusion, t: int) -> float:
        data = kernels.even_data(diffusion)
        return mutual_information(diffusion, data, t) / mutual_information(diffusion, data, 0)

    masked = absorbing(K + 1, betas)
    steps = torch.tensor([50])
    m, x0 = torch.tensor([[K]]), torch.tensor([[3]])
    back = masked.q_posterior(m, x0, steps)[0, 0]
    replaced = [
        kernels.process("mask_and_replace", K + 1, T, "constant", ending=ending)
        .diffusion.q_marginal_matrix(T)[0, 1:K].sum()
        for ending in ("code", "paper")
    ]  # fmt: skip
    swing = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    return (
        share(uniform(DEFAULTS["tK"], betas), 50),
        share(absorbing(DEFAULTS["tK"], betas), 50),
        float(masked.q_marginal_matrix(50)[0, K]),
        float((1 - betas[:50]).prod()),
        float((1 - squared_cosine(T)[:50]).prod()),
        share(gaussian(K, betas), T),
        share(gaussian(K, betas, scaling="public_code"), T),
        float(back[3]),
        float(masked.q_posterior(x0, x0, steps)[0, 0, 3]),
        float(replaced[0]),
        float(replaced[1]),
        float(absorbing(4, even_loss(10)).q_marginal_matrix(5)[:, 3].sum()),
        float(stationary_of(swing)[0]),
    )


def page() -> None:
    """Lay out the page."""
    told = Facts(*measured())
    chapter.header("Transition matrices", defaults=DEFAULTS)
    chapter.prose(
        "Noise for categories replaces one by another. A "
        + term("transition matrix", "row i, column j: the probability that state i becomes state j")
        + " says how likely each replacement is."
    )
    chapter.question(
        "Redraw states at random, or write [MASK] over them, equally often: which tells more "
        "about x₀?",
        {
            "The redrawn states": "They seem to tell more, since they still look like data. But "
            "nobody can tell a redrawn state from one that was never hit. With 8 states, "
            f"halfway, {told.left_uniform:.0%} of the information is left there, and "
            f"{told.left_absorbing:.0%} with [MASK].",
            "The masked states": "A [MASK] says nothing, but it says so; all other states are "
            f"sure to be the original. With 8 states, halfway, {told.left_absorbing:.0%} of the "
            f"information is left, against {told.left_uniform:.0%} where states are redrawn: "
            "there any of them may be false.",
            "Both the same": "They are hit equally often. But [MASK] shows which states were hit, "
            "so the others are sure; a redrawn state casts doubt on all. With 8 states, halfway: "
            f"{told.left_absorbing:.0%} of the information is left with [MASK], "
            f"{told.left_uniform:.0%} with redrawing.",
        },
        answer="The masked states",
        state={"tview": "forgetting"},
        look="First chart, t = 50: the green curve, absorbing, stands at "
        f"{told.left_absorbing:.2f}, the plain gray one, uniform, at {told.left_uniform:.2f}.",
    )
    chapter.look()
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(
        DiscreteDiffusion.q_marginal_matrix,
        uniform,
        absorbing,
        gaussian,
        nearest_neighbor,
        mutual_information,
        matched_step,
        forgetting,
    )
    why(told)
    try_and_sources(told)
    load.settle()


def why(told: Facts) -> None:
    """The confusions of this page."""
    chapter.why(
        [
            Confusion(
                "Is Q[i, j] from i to j, or from j to i?",
                "Here, and in D3PM's paper and image code, rows are “from”: row i says where a "
                "state i can go, so every row sums to 1, and a distribution stands to the left of "
                "the matrix. D3PM's text code and VQ-Diffusion's paper write columns as “from”. "
                "For the uniform and the Gaussian kernel nobody notices, because Q equals its "
                "transpose. With [MASK] it shows: everything runs into one **column**, which here "
                f"sums to {told.column:.3g}, and the row of [MASK] goes nowhere.",
                {"tkernel": "absorbing", "tK": 4, "tT": 10, "tsched": "1/(T-t+1)", "tt": 5,
                 "ti": 0, "tj": 3},
                "Q̄: every row sums to 1. The dotted column [M] does not, and it is not a row.",
                threads=["microsoft/VQ-Diffusion#20"],
            ),
            Confusion(
                "Cosine schedule: cos or cos²?",
                "Both exist. D3PM follows Hoogeboom et al.: what was never hit falls like a "
                "cosine. Improved DDPM uses the cosine squared, because there it is a variance. "
                f"Halfway, {told.cos_half:.0%} of the states were never hit with the first, and "
                f"{told.squared_half:.0%} with the second.",
                {"tview": "forgetting", "tkernel": "absorbing", "tsched": "squared cosine",
                 "tK": 16},
                f"First chart, the green curve: {told.squared_half:.2f} at t = 50. Choose “cosine” "
                f"under More, and it is {told.cos_half:.2f}.",
            ),
            Confusion(
                "Which scaling has the Gaussian kernel?",
                "In the paper the distance of two states is measured in units of the whole range, "
                "K − 1. The public code multiplies it by 255/(K − 1) once more, which is 1 for "
                "the 256 gray levels it was written for. With 16 levels the jumps get so unlikely "
                f"that {told.code_left:.1%} of the information survives all 100 steps, against "
                f"{told.paper_left:.1%} with the paper's formula.",
                {"tview": "forgetting", "tkernel": "gaussian", "tscale": "public_code",
                 "tK": 16, "tt": 100},
                "First chart, the green line stays up: the share that is left stands below. Choose "
                "the paper's scaling under More, and it falls to the ground.",
            ),
            Confusion(
                "What does absorbing do to the posterior?",
                "It makes it a question with two answers. If xₜ is no [MASK], it never was hit, "
                f"and xₜ₋₁ = xₜ with probability {told.stays:g}. If it is [MASK], xₜ₋₁ is either "
                "[MASK] or the original, nothing else: halfway through the cosine schedule the "
                f"original has probability {told.back:.3f}, whatever K. So a model only has to "
                "fill in what is masked, and can't repair what is not. The posterior itself, for "
                "every x₀ and xₜ, is a table on the page [Discrete posterior]"
                "(discrete_posterior?dview=Bayes%27+rule+as+a+table&dkernel=Absorbing).",
                {"tkernel": "absorbing", "tt": 50, "ti": 3, "tj": 7},
                "Row 3 of Q̄ has two entries, on the diagonal and under [M]; each walk falls once "
                "and never climbs back.",
            ),
            Confusion(
                "Does everything end in the even distribution?",
                "Only where no state is special. Where columns sum to 1 as rows do, the even "
                "distribution stays as it is; a process also gets there if every state can be "
                "reached from every other, and some may stay. Uniform and Gaussian noise do, if "
                "there is enough of it; nearest neighbours do unless the points fall into islands, "
                "which nobody leaves. "
                "Absorbing noise ends on [MASK]. Mask and replace would, too, but its schedule "
                f"stops before: in the paper about {told.replaced_paper:.0%} of the states end on "
                f"another real state, with the public code's end points {told.replaced_code:.0e}.",
                {"tview": "forgetting", "tkernel": "mask_and_replace", "tK": 17},
                "Second chart: the green curve stops above 0. First: nothing of the start is left "
                "all the same.",
            ),
            Confusion(
                "Why not compare two kernels at the same t?",
                "Because t is only a name for a place in a schedule: the same betas destroy at "
                "different speeds. Compare where xₜ tells equally much about x₀. Then what "
                "remains is the real difference: *how* the information was lost.",
                {"tview": "digit"},
                "All five hold about the same information, and look quite different. Switch to "
                "equal t and go on to about t = 80: with Gaussian and neighbours a 3 is still to "
                "be seen, with uniform it is gone.",
            ),
        ]
    )  # fmt: skip


def try_and_sources(told: Facts) -> None:
    """Experiments and papers."""
    chapter.try_this(
        [
            Experiment(
                "Make β = 1",
                "one uniform step forgets everything: all rows are equal, and Q̄ never changes "
                "again.",
                {"tkernel": "uniform", "tsched": "constant", "tbeta": 1.0, "tt": 1},
            ),
            Experiment(
                "VQ-Diffusion's size: K = 2888",
                "a heat map in blocks. Nothing of size K × K was built: the kernel has a closed "
                "form.",
                {"tkernel": "mask_and_replace", "tK": 2888, "tt": 50},
            ),
            Experiment(
                "A matrix that swings for ever",
                "two states change places at every step. The even distribution "
                f"({told.swings:g} each) is stationary, yet no start ever comes nearer to it: "
                "noise must also be able to stay.",
                {"tkernel": "own", "trows": "0 1\n1 0", "tT": 10, "tt": 7, "ti": 0, "tj": 1},
            ),
            Experiment(
                "A sentence, half gone",
                "masked text is readable like a crossword, and redrawn letters mislead. Keyboard "
                "neighbours change about half of the letters, most of those by one key only; yet "
                "all lines hold about the same information per letter.",
                {"tview": "text"},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Austin et al. 2021, Structured Denoising Diffusion Models in Discrete "
                   "State-Spaces (D3PM)", "eq. 2, 3, 6 to 9, section 3.2 and appendix A",
                   "https://arxiv.org/abs/2107.03006"),
            Source("Hoogeboom et al. 2021, Argmax Flows and Multinomial Diffusion",
                   "section 4, the cosine schedule", "https://arxiv.org/abs/2102.05379"),
            Source("Gu et al. 2022, VQ-Diffusion", "eq. 7 and 8, section 4.1",
                   "https://arxiv.org/abs/2111.14822"),
            Source("Sohl-Dickstein et al. 2015", "section 2.4.1: 1/(T−t+1)",
                   "https://arxiv.org/abs/1503.03585"),
        ]
    )  # fmt: skip


page()
