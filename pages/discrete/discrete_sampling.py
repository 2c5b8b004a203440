"""What does a categorical reverse process look like?"""

from __future__ import annotations

import streamlit as st

from diffusion_core.discrete import mixture
from diffusion_core.discrete_elbo import vb_terms
from diffusion_core.discrete_ledger import discrete_ledger
from diffusion_core.discrete_sampling import sample_discrete
from diffusion_core.guidance import guided_belief
from diffusion_core.token_moves import entropy_bits, moves, plant_errors
from diffusion_core.unmasking import (
    carry_over,
    masked_prediction_terms,
    sample_in_order,
    unmask_chance,
)
from pages.shared import (
    chapter,
    discrete_bits,
    discrete_lessons,
    discrete_networks,
    discrete_views,
    load,
)
from pages.shared.chapter import term
from pages.shared.explain import formula_and_code

VIEWS = {
    "run": "Watch",
    "compare": "Side by side",
    "error": "Plant errors",
    "ledger": "Bits",
    "masked": "Fill in the blank",
    "quality": "Steps and quality",
}
SHOW = {
    "run": discrete_views.run_view,
    "compare": discrete_views.compare_view,
    "error": discrete_views.error_view,
    "ledger": discrete_bits.ledger_view,
    "masked": discrete_bits.masked_view,
    "quality": discrete_bits.quality_view,
}


def defaults(names: list[str]) -> dict[str, object]:
    """What each control is set to when nobody has touched it."""
    first = {"dsnet": names[0], "dsrows": discrete_views.first_rows(names)} if names else {}
    return first | {
        "dsview": "run",
        "dssteps": 25,
        "dsorder": "random",
        "dsdigit": "each",
        "dsguide": 1.0,
        "dsseed": 0,
        "dsdraw": False,
        "dserrors": 20,
        "dswhen": 60,
        "source": "gallery",
        "digit": 3,
        "variant": 1,
    }


@st.fragment
def exhibit(names: list[str]) -> None:
    """Six views of networks over categories."""
    view = st.segmented_control(
        "Show", list(VIEWS), key="dsview", default="run", required=True, bind="query-params",
        format_func=VIEWS.get, label_visibility="collapsed",
    )  # fmt: skip
    if not names:
        return discrete_views.nothing()
    with st.container(key="bench"):  # on a phone the stage in it comes before the controls
        return SHOW[view](names)


def page() -> None:
    """Lay out the page."""
    names = discrete_networks.available()
    chapter.header("Discrete sampling", defaults=defaults(names))
    chapter.prose(
        "Each pixel is one of a few states. A network looks at a noisy picture and says, for each "
        "pixel, how likely every clean state is; a step draws from that, and t counts down to 0. "
        "Absorbing noise turns a pixel into "
        + term("[MASK]", "a state of its own that says: hidden. Under absorbing noise everything "
               "ends there")
        + ", uniform noise into any state at random. That decides what a step back can do: show "
        "what was hidden, or change what is there."
    )  # fmt: skip
    both = {"gray-absorbing", "gray-uniform"} <= set(names)
    counted = (
        "In the run under “Plant errors”, absorbing keeps all 180 of 180 errors, uniform about one "
        "in seven."
    ) if both else "See “Plant errors”."  # fmt: skip
    chapter.question(
        "In the middle of a run, somebody flips twenty pixels that were already there. What "
        "happens under absorbing noise, and what under uniform noise?",
        {
            "Both repair them": "Absorbing noise can't: it writes [MASK] over a pixel or leaves "
            f"it alone, so what is shown is taken for the truth. {counted}",
            "Uniform repairs, absorbing keeps": "Under uniform noise any pixel may be wrong, so "
            "each is weighed against its neighbours in every step. Under absorbing noise a pixel "
            f"that is shown is the truth, for good. {counted}",
            "Absorbing repairs, uniform keeps": "The other way round: uniform noise may have hit "
            "any pixel, so none is beyond doubt; absorbing noise leaves no doubt about what it "
            f"has not masked. {counted}",
        },
        answer="Uniform repairs, absorbing keeps",
        state={"dsview": "error"} if both else None,
        look="Red: an error that is still there; green: changed since. The table counts them.",
    )
    chapter.look()
    exhibit(names)

    st.subheader("The formula, and the code that just ran", anchor="formula")
    st.caption(
        "This sampler is for absorbing noise with a [MASK] of its own. For every other network, "
        "the one that runs is in the first box below."
    )
    formula_and_code(sample_in_order, masked_prediction_terms)
    formula_and_code(
        mixture,
        sample_discrete,
        carry_over,
        guided_belief,
        under="Every other kernel: the reverse rule, the sampler around it, and guidance",
    )
    formula_and_code(
        vb_terms,
        discrete_ledger,
        unmask_chance,
        under="The bound as the ledger has it, and the chance to be unmasked",
    )
    formula_and_code(
        moves,
        entropy_bits,
        plant_errors,
        under="What is counted: moves, entropy, planted errors",
    )
    chapter.why(discrete_lessons.confusions(names))
    chapter.try_this(discrete_lessons.experiments(names))
    chapter.sources(discrete_lessons.references())
    load.settle()


page()
