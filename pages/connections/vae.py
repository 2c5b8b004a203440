"""What is the evidence lower bound below, and by how much?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import streamlit as st

from diffusion_core.aggregate import Aggregate
from diffusion_core.linear_vae import latent_nats, share_kept, weight_of_kl
from diffusion_core.training import vae_loss, vae_loss_without_kl
from diffusion_core.vae import VAE
from diffusion_core.vae_bound import (
    best_normal,
    exact_gradient,
    gradient_draws,
    gray_cost,
    log_joint,
    log_weights,
    many_draw_bound,
    summed_plane,
    two_terms,
)
from pages.shared import chapter, load, vae_exhibits, vae_world
from pages.shared import vae_training_world as training
from pages.shared.chapter import Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.numbers import signed
from pages.shared.vae_asks import ASKS
from pages.shared.vae_facts import BY_HAND, DEFAULT, JUDGED, WRONG_PLACE, Facts, facts
from pages.shared.vae_gray import GRAY, gray_pixels
from pages.shared.vae_loss import LATENT, NOISE, sum_or_mean
from pages.shared.vae_questions import confusions


class View(NamedTuple):
    """One view of the exhibit.

    Attributes:
        name: as the reader and the address have it.
        draw: its controls and charts, a fragment.
        ran: the objects that computed it.
        model: said first, where it shows another model than the others; {told} are the `Facts`.
    """

    name: str
    draw: Callable[[], None]
    ran: tuple[object, ...]
    model: str = ""


VIEWS = {
    "plane": View("The plane", vae_exhibits.the_plane, (VAE,)),
    "bound": View(
        "One bound", vae_exhibits.one_bound, (two_terms, summed_plane, log_joint, best_normal)
    ),
    "draws": View("Many draws", vae_exhibits.many_draws, (log_weights, many_draw_bound)),
    "gradient": View(
        "Two gradients", vae_exhibits.two_gradients, (gradient_draws, exact_gradient)
    ),
    "prior": View(
        "Without the KL", vae_exhibits.without_the_kl,
        (vae_loss_without_kl, vae_loss, VAE.forward, Aggregate),
        "The VAE of the other views, and a **second one, trained without the KL**. The KL keeps "
        "q(z|x) from becoming a point (median σ {told.widths[0]:.3f}, without it "
        "{told.widths[1]:.6f}) and brings all together to N(0, I) "
        "({told.near[0]:.0%} of the digits lie within 2 of 0, without it {told.near[1]:.0%}).",
    ),
    "loss": View(
        "Sum or mean", sum_or_mean, (weight_of_kl, latent_nats, share_kept),
        f"Another model: a **linear VAE** with {LATENT} latents, or fewer; what training ends in "
        "has a formula. A latent tells something if its KL is above 0: then q(z|x) depends on x. "
        "λ: how much the digits vary along it; β: a factor before the KL.",
    ),
    "gray": View("Gray pixels", gray_pixels, (gray_cost,)),
}  # fmt: skip
DEFAULTS = {
    "vaview": "bound",
    "vadigit": DEFAULT,
    "varow": 1,
    "vafit": "hand",
    "vax": 0.0,
    "vay": 0.0,
    "vawidth": 1.0,
    "vafrom": "encoder",
    "vak": 1,
    "vaseed": 0,
    "vaby": "mean",
    "vavalue": "raw",
    "vaspread": 1,
    "vanear": True,
    "vasource": "prior",
    "vapixels": "sum",
    "valatents": "sum",
    "vanoise": NOISE,
    "valatent": LATENT,
    "vagray": GRAY,
    "vato": 8,
}


@st.fragment
def exhibit(told: Facts) -> None:
    """The views, each with its question and its code; a slider's answer leaves those alone."""
    above = st.container()
    view = st.segmented_control(
        "What it is · what training does · two slips in public code", list(VIEWS), key="vaview",
        default="bound", required=True, bind="query-params",
        format_func=lambda key: VIEWS[key].name, width="content", wrap=True,
    )  # fmt: skip
    shown = VIEWS[view]
    with above:
        ASKS[view](told)
        chapter.look()
    if shown.model:
        st.markdown(shown.model.format(told=told))
    shown.draw()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(*shown.ran)
    for other in VIEWS.values():
        if other is not shown:
            formula_and_code(*other.ran, under=other.name)


def page() -> None:
    """Lay out the page."""
    chapter.header("VAE", defaults=DEFAULTS)
    load.or_stop(vae_world.network)
    load.or_stop(training.without_kl)
    told = Facts(*facts())
    chapter.prose(
        "A VAE draws z from N(0, I) and decodes it. How likely it makes a picture x is an integral "
        "over all z; it is trained by a bound of the logarithm instead, the "
        + term("ELBO")
        + ", with an encoder’s guess q(z|x) of which z made x. Here z has two numbers: the "
        "integral can be summed, and one sees what the bound leaves out, in nats ("
        f"{1 / math.log(2):.2f} bits each)."
    )
    exhibit(told)

    chapter.why(confusions(told))
    off, onto = BY_HAND
    before, after = told.by_hand
    at_mean, at_peak = told.wrong_pixels
    good, other = JUDGED.wrong
    chapter.try_this(
        [
            Experiment(
                "Move q by hand onto the posterior",
                f"q begins off it, and {before:.2f} nats are missing. Pull “Shift across” to "
                f"{signed(onto[0])} σ and “Shift up” to {signed(onto[1])} σ: "
                f"{after:.2f} are left, fewer than the encoder’s {told.gap:.2f}, but not the "
                f"{told.best:.2f} of the best normal, whose two widths are others, too.",
                {"vadigit": DEFAULT, "varow": 1, "vax": off[0], "vay": off[1]},
            ),
            Experiment(
                "An encoder that looks in the wrong place",
                "q and the posterior do not meet; the red part is what that costs. The encoder’s z "
                f"is decoded to a good {good}, the posterior’s peak to a {other}. But x is what it "
                "is, specks and all: pixel by pixel it costs "
                f"{at_mean:.0f} nats by the {good} and {at_peak:.0f} by the {other}. Then choose "
                "the best normal nearby, and the best from the peak.",
                {"vadigit": WRONG_PLACE[0], "varow": WRONG_PLACE[1], "vafit": "hand"},
            ),
            Experiment(
                "From a 0 to a 1",
                "the straight way leads past the numerals of other digits; the fade is always two "
                "pictures, one over the other. At 48% and 50% of the way a smear is decoded, "
                "which the judge, who must name a digit, takes for a 6, then for a 2.",
                {"vaview": "plane", "vadigit": 0, "varow": 2, "vato": 1},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Kingma & Welling 2014, Auto-Encoding Variational Bayes",
                   "eq. 1 and 3, sections 2.2 to 2.4, appendix C.1", "https://arxiv.org/abs/1312.6114"),
            Source("Burda, Grosse & Salakhutdinov 2016, Importance Weighted Autoencoders",
                   "eq. 8 and theorem 1", "https://arxiv.org/abs/1509.00519"),
            Source("Cremer, Li & Duvenaud 2018, Inference Suboptimality in Variational "
                   "Autoencoders", "the two gaps; that the decoder comes to suit the approximation",
                   "https://arxiv.org/abs/1801.03558"),
            Source("Lucas, Tucker, Grosse & Norouzi 2019, Don’t Blame the ELBO! A Linear VAE "
                   "Perspective on Posterior Collapse", "the linear VAE and PCA",
                   "https://arxiv.org/abs/1911.02469"),
            Source("Loaiza-Ganem & Cunningham 2019, The Continuous Bernoulli: Fixing a Pervasive "
                   "Error in Variational Autoencoders", "",
                   "https://arxiv.org/abs/1907.06845"),
        ]
    )  # fmt: skip
    load.settle()


page()
