"""How is p(x_{t-1} | x_t) built from p(x_0 | x_t)?"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.discrete import mixture, product
from diffusion_core.discrete_sampling import exact_denoiser, true_reverse_matrix
from diffusion_core.small_world import blind, chain_distances, chain_marginals, tempered
from pages.shared import chapter, load
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.distribution_bars import START, distribution_bars, read_distribution
from pages.shared.explain import formula_and_code
from pages.shared.palette import COLORS
from pages.shared.rule_facts import Facts, measured
from pages.shared.rule_views import (
    DENOISERS,
    KERNELS,
    matrices,
    more,
    one_row,
    row_and_T,
    told_error,
    whole_chain,
)
from pages.shared.small_world import COUNTS, Choice, world

VIEWS = {"matrices": "One step", "row": "One row", "chain": "Whole chain"}
PAIR = (1, 2)
DEFAULTS = {
    "ruview": "matrices",
    "rukernel": "uniform",
    "rust": PAIR,
    "rubelief": "exact",
    "rudata": START,
    "rurow": 3,
    "ruT": 6,
    "rusteps": 6,
    "rusched": "cosine",
    "rubeta": 0.3,
    "rutau": 2.0,
    "rushare": 0.5,
}


def set_data(text: str) -> None:
    """Take over what the bars were pulled to; the text field and the address follow."""
    chapter.apply_state(rudata=text)


def step_back(T: int) -> tuple[int, int, tuple[str, ...]]:
    """The pair (t, s) of the slider, with s before t, and what was mended."""
    s, t = st.session_state.get("rust", PAIR)
    if t > T or s > T:  # T was made smaller
        chapter.apply_state(rust=(min(PAIR[0], T - 1), min(PAIR[1], T)))
    s, t = st.slider(
        "From t back to s", 0, T, (min(PAIR[0], T - 1), min(PAIR[1], T)), key="rust",
        bind="query-params", width=280,
    )  # fmt: skip
    if s < t:
        return t, s, ()
    t, s = max(t, 1), max(t, 1) - 1
    return t, s, (f"s must lie before t: the page uses t = {t} and s = {s}.",)


@st.fragment
def exhibit() -> None:
    """A small world and what the two rules make of it."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "Show", list(VIEWS), key="ruview", default="matrices", required=True,
            bind="query-params", format_func=VIEWS.get, width="content",
        )  # fmt: skip
        kernel = st.selectbox(
            "Kernel", list(KERNELS), key="rukernel", bind="query-params", width=180,
            format_func=KERNELS.get,
        )  # fmt: skip
        third = st.container(width="content")
    left, stage = st.columns([2, 9], gap="small")
    with left:
        bars = st.container()
        believed = st.selectbox(
            "Denoiser", list(DENOISERS), key="rubelief", bind="query-params",
            format_func=DENOISERS.get,
        )  # fmt: skip
    choice, moved = more(believed, kernel)
    with bars:
        ink = f"color-mix(in srgb, {COLORS['x0']} 65%, currentColor)"  # legible on both themes
        chapter.prose(f'Data <span style="color:{ink}">p(x₀)</span>')
        distribution_bars(
            choice.data, read_distribution(choice.data).probs, key="ru_bars", on_text=set_data,
            label="The data distribution, one bar per state",
        )  # fmt: skip
    followed(view, choice, third, moved, stage)


@st.fragment
def followed(
    view: str, choice: Choice, third: DeltaGenerator, moved: DeltaGenerator, stage: DeltaGenerator
) -> None:
    """What the rules make of a world, and the controls that are moved most.

    A fragment of its own: what a move sends, and the browser goes through, is what is in here.

    Args:
        view: a key of `VIEWS`.
        choice: what the other controls say.
        third: where the steps that are looked at are chosen.
        moved: where T and the row are.
        stage: where the charts are.
    """
    with moved:
        row, T = row_and_T()
    choice = choice._replace(T=T)
    made = world(choice)
    t, s, most, notes = 0, 0, 0, made.notes
    with third:
        if view == "chain":
            most = st.select_slider(
                f"Steps the chain takes (T = {made.diffusion.T} at most)", COUNTS, value=6,
                key="rusteps", bind="query-params", width=280,
            )  # fmt: skip
            if most > made.diffusion.T:
                notes += (
                    f"The process has T = {made.diffusion.T} steps, so {most} can't be taken: "
                    f"{max(n for n in COUNTS if n <= made.diffusion.T)} are. T is under More.",
                )
        else:
            t, s, mended = step_back(made.diffusion.T)
            notes += mended
    row = min(row, made.diffusion.K - 1)
    with stage:
        chapter.say(notes)
        if view == "matrices":
            matrices(choice, t, s, row)
        elif view == "row":
            one_row(choice, t, s, row)
        else:
            whole_chain(choice, made, most)


def page() -> None:
    """Lay out the page."""
    told = Facts(*measured())
    chapter.header("Two reverse rules", defaults=DEFAULTS)
    chapter.prose(
        "A network for categories says what it believes of x₀; a sampler needs xₜ₋₁. Two rules "
        "make one from the other. In a world as small as this one, the truth is known."
    )
    trained = (
        "D3PM is not wrong for that: its network is trained through the product and learns another "
        "belief, with which the product is exact for s > 0 (Denoiser: blind)."
    )
    chapter.question(
        "The belief p(x₀ | xₜ) is exact. D3PM noises it to s and weighs it with q(xₜ | xₛ). "
        "Is that the truth?",
        {
            "Yes, that is Bayes' rule": "It has the shape of Bayes' rule, but the prior there must "
            "not know of xₜ yet, and this belief does. So xₜ is counted twice, and cells err by up "
            f"to {told.product:.2f}; under [MASK] noise that changes nothing. {trained}",
            "Only for some kernels": "Counting xₜ twice, once in the belief and once in "
            f"q(xₜ | xₛ), makes cells err by up to {told.product:.2f} here; under [MASK] noise it "
            f"changes nothing. {trained}",
            "No, never": "Most often not: xₜ is counted twice, and cells err by up to "
            f"{told.product:.2f} here. But under [MASK] noise it changes nothing. {trained}",
        },
        answer="Only for some kernels",
        state={"rukernel": "absorbing"},
        look="Absorbing noise: three equal matrices, both rules are the truth.",
    )  # fmt: skip
    chapter.look()
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(
        mixture,
        product,
        true_reverse_matrix,
        exact_denoiser,
        tempered,
        blind,
        chain_marginals,
        chain_distances,
    )
    why(told)
    try_and_sources(told)
    load.settle()


def why(told: Facts) -> None:
    """The confusions of this page."""
    chapter.why(
        [
            Confusion(
                "Why does the product err, if it is Bayes' rule?",
                "Bayes' rule multiplies what was known **before** xₜ was seen by what xₜ adds. "
                "The belief p(x₀ | xₜ) is what is known **after**. In the row x₂ = 3, a rare "
                f"state, Bayes' rule asks for q(x₁ = 3) = {told.prior[0]:.3f}; the product puts in "
                f"{told.prior[1]:.3f}, and q(x₂ | x₁) then raises it once more. So the product "
                "holds on to what it sees. The mixture divides the belief by q(xₜ | x₀) first, "
                "which takes the evidence out before it is put in again.",
                {"ruview": "row"},
                "Second chart: the purple bar of state 3 stands far above its green mark. The last "
                "chart shows what becomes of it.",
            ),
            Confusion(
                "Why do the two agree for absorbing noise?",
                "There are two cases. If xₜ is no [MASK], it was never hit: only xₛ = xₜ can "
                "explain it, and no prior changes that. If xₜ is [MASK], it says nothing of x₀: "
                "q(xₜ | x₀) is the same for every x₀, so dividing by it or not is the same. "
                f"The largest difference to the truth is {told.absorbing:.0e}. With mask and "
                f"replace only the row of [MASK] agrees (to {told.mask_row:.0e}); in the others "
                f"the product errs by up to {told.other_rows:.2f}.",
                {"rukernel": "absorbing"},
                "Three equal matrices. Then choose Mask and replace: the row [M] still agrees, the "
                "others don't.",
            ),
            Confusion(
                "Why does the product need no sum over x₀ of posteriors?",
                "Because it sums earlier: noising the belief to s is one sum over x₀, and Bayes' "
                "rule follows once, not once for each x₀. That is not the reason it errs, and it "
                "saves nothing: the mixture does the same after dividing the belief by q(xₜ | x₀), "
                "as its second formula above says. Moving the sum inside without the division is "
                "right where q(xₜ | x₀) is the same for every x₀ that is believed in.",
                {"ruview": "row", "rurow": 0},
                "First chart: one posterior for each x₀, piled up. Second: the same sum taken "
                "before Bayes' rule.",
            ),
            Confusion(
                "Is the network's output x₀, or xₜ₋₁?",
                "Here it is x₀: K "
                + term("logits", "numbers whose softmax gives probabilities; a constant added to "
                       "all of them changes nothing")
                + " per position, what the clean state may have been. A rule turns that into xₛ, "
                "for any s < t, so one network serves one step and fifty. And what is impossible "
                "stays so for s > 0: where q(xₜ | xₛ) = 0, both rules give 0, whatever the network "
                "says. At s = 0 both return its belief as it is. "
                "A network that puts out xₜ₋₁ itself would have to learn both.",
                {"rust": (1, 5)},
                "One belief at t = 5, taken back to s = 1 in one step. The mixture is still exact.",
            ),
            Confusion(
                "Logits, log-probabilities or probabilities: what goes into a rule?",
                "Log-probabilities are logits: "
                + term("softmax", "exp of each number, divided by the sum of all")
                + " gives back the same belief, since they differ from any other logits by one "
                "constant. D3PM's code hands over logits, VQ-Diffusion's log-probabilities, and "
                "both mean the same. Probabilities are no logits. Softmax of them runs without an "
                f"error and flattens the belief: {told.sure:.2f} becomes {told.twice:.2f} in the "
                "row x₂ = 3. The other trap is the sum over x₀: it adds probabilities, so in "
                "logarithms it is a log-sum-exp, not a sum.",
                {"rubelief": "twice"},
                "Softmax taken twice, and no error message: now the mixture is off in every row.",
            ),
            Confusion(
                "Then are D3PM's samples wrong?",
                "No: its network is trained **through** the product. The bound is smallest where "
                "the rule gives the true kernel, whatever the belief has to be for that. In this "
                "world it is the belief of somebody who has not seen xₜ, the data distribution: "
                f"with it the product errs by {told.blind:.0e} for s > 0, and the mixture by up to "
                f"{told.blind_mixture:.2f}. With many pixels it is what the other pixels say of "
                "this one. So the two rules ask for different outputs, and a network trained for "
                "one should not be sampled with the other. A cross-entropy term (D3PM adds a "
                "little) pulls towards p(x₀ | xₜ), which is what the mixture asks for.",
                {"rubelief": "blind"},
                "A denoiser that has not seen xₜ: now the product is exact, and the mixture errs.",
            ),
        ]
    )  # fmt: skip


def try_and_sources(told: Facts) -> None:
    """Experiments and papers."""
    chapter.try_this(
        [
            Experiment(
                "Walk in more and more steps",
                "the mixture ends at the data every time, the product after one or two steps only: "
                "x_T tells nothing of x₀, so the first step can't count it twice. The product is "
                f"{told_error(told.ends[2])} off after 6 steps of T = 6, and "
                f"{told_error(told.hundred)} after 100 of T = 100: each step repeats the mistake, "
                "so more steps make it worse.",
                {"ruview": "chain", "ruT": 100, "rusteps": 100},
            ),
            Experiment(
                "A denoiser that is not sure enough",
                "at temperature 2 and T = 100, more steps help the mixture "
                f"({told_error(told.unsure[0])} off with one step, {told_error(told.unsure[1])} "
                "with 100) and harm the product "
                f"({told_error(told.unsure_product[0])} and {told_error(told.unsure_product[1])}).",
                {"ruview": "chain", "ruT": 100, "rusteps": 100, "rubelief": "tempered"},
            ),
            Experiment(
                "Data of one state only",
                "x₀ is known before xₜ is seen, so xₜ adds nothing to the belief and can't be "
                "counted twice: both rules are the truth.",
                {"rudata": "0 1 0 0"},
            ),
            Experiment(
                "A long step: from t = 5 to s = 1",
                "the mixture holds for any pair. The product now errs where the data are, so on "
                f"average {told_error(told.averages[1])} of the probability lies in the wrong "
                f"place, against {told_error(told.averages[0])} from t = 2 to s = 1.",
                {"rust": (1, 5)},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Austin et al. 2021, Structured Denoising Diffusion Models in Discrete "
                   "State-Spaces (D3PM)", "section 3.3, eq. 4; eq. 5 for the cross-entropy term",
                   "https://arxiv.org/abs/2107.03006"),
            Source("Gu et al. 2022, VQ-Diffusion", "eq. 11",
                   "https://arxiv.org/abs/2111.14822"),
            Source("Hoogeboom et al. 2021, Argmax Flows and Multinomial Diffusion",
                   "section 4: the product, for uniform noise",
                   "https://arxiv.org/abs/2102.05379"),
            Source("Guo et al. 2017, On Calibration of Modern Neural Networks",
                   "eq. 9, temperature", "https://arxiv.org/abs/1706.04599"),
        ]
    )  # fmt: skip


page()
