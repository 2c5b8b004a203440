"""What is the evidence lower bound below, and by how much?"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.linear_vae import latent_nats, share_kept, weight_of_kl
from diffusion_core.vae import VAE
from diffusion_core.vae_bound import (
    best_normal,
    bound_terms,
    exact_gradient,
    gradient_draws,
    gray_cost,
    log_joint,
    log_weights,
    many_draw_bound,
    summed_plane,
)
from pages.shared import chapter, load, vae_gray, vae_loss, vae_training_views, vae_views, vae_world
from pages.shared import vae_training_world as training
from pages.shared.chapter import Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.player import player
from pages.shared.plot import plot
from pages.shared.vae_facts import DEFAULT, WRONG_PLACE, Facts, facts
from pages.shared.vae_questions import confusions
from pages.shared.vae_training_world import GRADIENTS, NETWORKS, PRIOR_DRAWS, SOURCES, SPREADS
from pages.shared.vae_world import COUNTS, DRAWS, SHIFTS, STEPS, WIDTHS, Digit, Many, Way

VIEWS = {
    "bound": "One bound",
    "draws": "Many draws",
    "gradient": "Two gradients",
    "prior": "Without the KL",
    "loss": "Sum or mean",
    "gray": "Gray pixels",
    "plane": "The plane",
}
FIT = {
    "hand": "Encoder’s, or by hand",
    "best": "Best normal nearby",
    "peak": "Best from the peak",
}
FROM = {"encoder": "q(z|x)", "wide": "q twice as wide", "prior": "the prior p(z)"}
BY = {"mean": "μ₁", "width": "log σ₁"}
VALUE = {"raw": "as it is", "less": "less its average"}
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
    "vanoise": vae_loss.NOISE,
    "valatent": vae_loss.LATENT,
    "vagray": vae_gray.GRAY,
    "vato": 8,
}


@st.fragment
def exhibit() -> None:
    """Views of one VAE, of one that was trained without the KL, and of linear ones."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "The VAE", list(VIEWS), key="vaview", default="bound", required=True,
            bind="query-params", format_func=VIEWS.get, width="content", wrap=True,
        )  # fmt: skip
        if view not in ("prior", "loss"):
            label = st.number_input(
                "Digit x", 0, 9, DEFAULT, key="vadigit", bind="query-params", width=110
            )
        third = st.container(width="content")
    stage = st.container()
    if view == "prior":
        without_the_kl(third, stage)
        return
    if view == "loss":
        vae_loss.sum_or_mean(third, stage)
        return
    with st.expander("More: another variant of the digit, other draws" if view == "draws"
                     else "More: another variant of the digit"):  # fmt: skip
        left, right = st.columns(2, gap="large")
        row = left.number_input("Variant", 1, 20, 1, key="varow", bind="query-params") - 1
        if view == "draws":
            seed = right.number_input("Seed", 0, 9999, 0, key="vaseed", bind="query-params")
    if view == "bound":
        one_bound(label, row, third, stage)
    elif view == "draws":
        many_draws(label, row, seed, third, stage)
    elif view == "gradient":
        two_gradients(label, row, third, stage)
    elif view == "gray":
        vae_gray.gray_pixels(label, row, third, stage)
    else:
        the_plane(label, row, third, stage)


def one_bound(label: int, row: int, third: DeltaGenerator, stage: DeltaGenerator) -> None:
    """The exact posterior, any q, and the bound cut up in both ways."""
    told = Digit(*vae_world.digit(label, row))
    shift, width = (0.0, 0.0), 1.0
    with third.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        fit = st.segmented_control(
            "q(z|x)", list(FIT), key="vafit", default="hand", required=True, bind="query-params",
            format_func=FIT.get, width="content",
        )  # fmt: skip
        if fit == "hand":
            shift = tuple(
                st.slider(name, -SHIFTS, SHIFTS, 0.0, 0.25, key=key, bind="query-params", width=104)
                for name, key in (("Shift across", "vax"), ("Shift up", "vay"))
            )
            width = st.select_slider(
                "Width", WIDTHS, 1.0, key="vawidth", bind="query-params", width=104,
                format_func=lambda w: f"× {w:.3g}",
                help="All three in units of what the encoder says: its standard deviations.",
            )  # fmt: skip
    with stage:
        if fit == "peak":
            q = vae_world.at_the_peak(label, row)
        else:
            q = vae_world.q_of(told, best=fit == "best", shift=shift, width=width)
        terms = vae_world.terms_of(label, row, q)
        # The bars first: on a phone they are then next to the sliders.
        right, middle, left = st.columns([3, 2.4, 1], gap="medium")
        seen = vae_world.decoded(q.mean[None])[0]
        with left, st.container(horizontal=True, gap="small"):
            for name, picture, color, about in (
                ("x", told.x, "x0", f"A digit {label} in black and white"),
                ("decoded", seen, "p", "What q’s mean is decoded to: chances of being white"),
                ("drawn", vae_world.drawn(seen), "p", "A draw of black and white by those chances"),
            ):
                with st.container(width=vae_views.PICTURE):
                    plot(
                        vae_views.picture_figure(name, picture, color), key=f"va_{name}", alt=about
                    )
        plot(
            vae_views.window_figure(told, q), key="va_window", place=middle,
            alt="A piece of the latent plane: the exact posterior p(z|x) as a green shade, q(z|x) "
            "as ellipses of one and two standard deviations",
        )  # fmt: skip
        plot(
            vae_views.bars_figure(told, terms), key="va_bars", place=right,
            alt="The negative bound cut up twice: reconstruction and KL to the prior; −log p(x) "
            "and KL to the posterior",
        )  # fmt: skip
        plot(
            vae_views.width_figure(told, width if fit == "hand" else None, terms),
            key="va_widths",
            place=right,
            alt="Reconstruction, KL to the prior and their sum for narrower and wider q",
        )
        dot = "; the dot is q as it is now" if fit == "hand" else ""
        st.caption(
            "x: a digit of the gallery, which the app’s own network drew, made black and white "
            "pixel by pixel, with its gray as the chance; hence the specks. Decoded: the chances "
            "at q’s mean; drawn: a draw by them. Green shade: p(z|x), from the decoder alone, by a "
            "sum over the whole plane (what is shaded is its square root). Purple: q, one and two "
            "standard deviations. Bars do not begin at 0; a nat is 1.44 bits; rounded numbers may "
            f"not add up in the last place. Lower chart: the encoder’s q, not shifted{dot}."
        )


def many_draws(
    label: int, row: int, seed: int, third: DeltaGenerator, stage: DeltaGenerator
) -> None:
    """Jensen's inequality: the logarithm of averages of K weights."""
    with third.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        source = st.segmented_control(
            "Draws from", list(FROM), key="vafrom", default="encoder", required=True,
            bind="query-params", format_func=FROM.get, width="content",
        )  # fmt: skip
        K = st.select_slider("K", COUNTS, 1, key="vak", bind="query-params", width=200)
    told = Many(*vae_world.many(label, row, source, seed))
    with stage:
        left, right = st.columns(2, gap="medium")
        plot(
            vae_views.weights_figure(told, K), key="va_weights", place=left,
            alt=f"Histogram of the logarithm of the average of {K} weights, its mean, and log p(x)",
        )  # fmt: skip
        plot(
            vae_views.counts_figure(told, K),
            key="va_counts",
            place=right,
            alt="The bound against the number of draws, below log p(x)",
        )
        every = vae_world.told_by(told.log_w, DRAWS)[0]
        st.caption(
            f"{DRAWS:,} draws z of {FROM[source]}; the weight of one is p(x, z) over the density "
            "that drew it, and the weights average p(x). Histogram: their logarithms, or "
            "those of averages of K. Green: log p(x), summed over the plane: "
            f"{vae_views.signed(told.log_evidence)}. All draws together say "
            f"{vae_views.signed(every)} and count as much as {told.useful:,.0f} of equal weight. "
            "Curve: the band is two standard errors, told by the same draws; a large weight that "
            "was not drawn is missing from curve and band alike."
        )


def two_gradients(label: int, row: int, third: DeltaGenerator, stage: DeltaGenerator) -> None:
    """One number of the gradient by draws that move with q, and by draws that stay."""
    with third.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        by = st.segmented_control(
            "Gradient by", list(BY), key="vaby", default="mean", required=True,
            bind="query-params", format_func=BY.get, width="content",
        )  # fmt: skip
        value = st.segmented_control(
            "Value log p(x|z)", list(VALUE), key="vavalue", default="raw", required=True,
            bind="query-params", format_func=VALUE.get, width="content",
        )  # fmt: skip
    told = training.Gradients(*training.gradients(label, row, by, less=value == "less"))
    narrow, wide = told.spread
    with stage:
        left, right = st.columns(2, gap="medium")
        for way, (name, _) in vae_training_views.WAYS.items():
            plot(
                vae_training_views.draws_figure(told, way, BY[by]), key=f"va_{way}", place=left,
                alt=f"Histogram of single draws of the gradient {name}, and the exact gradient",
            )  # fmt: skip
        plot(
            vae_training_views.averages_figure(told), key="va_averages", place=right,
            alt="The average of more and more draws, both ways, and the exact gradient",
        )  # fmt: skip
        st.caption(
            f"The gradient of E_q[log p(x|z)], for the encoder’s q and the first number of z, by "
            f"{GRADIENTS:,} draws; both ways use the same ε. The KL needs no draws: its gradient "
            f"has a formula. Green: the exact gradient, {vae_views.signed(told.exact)}, summed "
            f"over q. By value one needs some {training.about((wide / narrow) ** 2)}"
            " draws for every one through z: their standard deviations, squared, over each other."
        )


def without_the_kl(third: DeltaGenerator, stage: DeltaGenerator) -> None:
    """Two networks, trained with and without the KL, and what draws of z give."""
    label, row, spread = DEFAULT, 0, 1
    with third.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        source = st.segmented_control(
            "z from", list(SOURCES), key="vasource", default="prior", required=True,
            bind="query-params", format_func=SOURCES.get, width="content",
        )  # fmt: skip
        if source == "prior":
            spread = st.select_slider(
                "s of N(0, s²I)", SPREADS, 1, key="vaspread", bind="query-params", width=200
            )
        elif source == "one":
            label = st.number_input(
                "Digit x", 0, 9, DEFAULT, key="vadigit", bind="query-params", width=110
            )
    with st.expander(f"More: other draws, zoom{', another variant' * (source == 'one')}"):
        one, two, three = st.columns(3, gap="large")
        seed = one.number_input("Seed", 0, 9999, 0, key="vaseed", bind="query-params")
        near = two.toggle("Zoom to N(0, s²I)", True, key="vanear", bind="query-params")
        if source == "one":
            row = three.number_input("Variant", 1, 20, 1, key="varow", bind="query-params") - 1
    with stage:
        drawn = (spread, seed, source, label, row)
        beside = dict(zip(NETWORKS, st.columns(2, gap="medium"), strict=True))
        for name, place in beside.items():  # first what needs no network: it is drawn meanwhile
            with place, st.container(width=vae_training_views.WIDE):
                means, z = training.encodings(name)[0], training.draws(name, *drawn).numpy()
                plot(
                    vae_training_views.codes_figure(name, means, z, spread, near=near),
                    key=f"va_codes_{name}",
                    alt="Where the encoder puts 200 digits, as numerals, the draws, and a ring "
                    "that holds 86% of N(0, s²I)",
                )
        for name, place in beside.items():
            told = training.Drawn(*training.drawn_from(name, *drawn))
            means, widths = training.encodings(name)
            with place:
                plot(
                    vae_training_views.prior_figure(told), key=f"va_prior_{name}",
                    alt="How often the draws are taken for which digit",
                )  # fmt: skip
                plot(
                    vae_training_views.sheet_figure(told.pictures), key=f"va_sheet_{name}",
                    alt="The first forty draws, decoded",
                )  # fmt: skip
                st.caption(
                    f"Of the 200 digits {training.near_zero(means):.0%} lie within 2 of 0; the "
                    f"median σ of q is {training.short(widths)}. The judge is sure (more than "
                    f"{training.SURE:.0%}) of {told.sure:.0%} of {PRIOR_DRAWS} draws."
                )
        st.caption(
            f"Numerals: where each encoder puts the gallery’s digits. Gray points: draws of "
            f"{SOURCES[source]}{', the same for both' * (source == 'prior')}; the purple ring, of "
            f"radius {'2s, holds 86% of them' if source == 'prior' else '2, 86% of N(0, I)'}. The "
            "second network has narrower layers and fewer steps; its loss was the reconstruction "
            "alone. Not zoomed, each chart has an axis of its own."
        )


def the_plane(label: int, row: int, third: DeltaGenerator, stage: DeltaGenerator) -> None:
    """The straight way between two digits, in the latent and in pixels."""
    to = third.number_input("To digit", 0, 9, 8, key="vato", bind="query-params", width=110)
    told = Way(*vae_world.way(label, to, row))
    points, _ = vae_world.codes()
    frames = vae_views.way_frames(told, points, label, to)
    with stage:
        player(
            frames.panels, key="va_way", total=STEPS + 1, captions=frames.captions,
            curves=frames.curves, clouds=frames.clouds, scale=8, autoplay=True, hold=True,
            report_frame=False, charts_last=True, beside=True, rest=STEPS // 2,
            ends=(f"a {label}", f"a {to}"), label="From one digit to another",
        )  # fmt: skip
        st.caption(
            "Numerals: where the encoder puts the gallery’s 200 digits; the way goes straight "
            "between two. Decoded: the chance of each pixel being white at that z. Faded: one "
            "picture over the other. The judge is a classifier that knows digits only, always "
            "names one, and is often sure of what is none."
        )


def page() -> None:
    """Lay out the page."""
    chapter.header("VAE", defaults=DEFAULTS)
    load.or_stop(vae_world.network)
    load.or_stop(training.without_kl)
    told = Facts(*facts())
    chapter.prose(
        "A VAE draws z from N(0, I) and decodes it. How likely it makes a picture x is an integral "
        "over all z, and one trains a bound of it instead, the "
        + term("ELBO")
        + ". This VAE has two latent numbers, so that the integral can be summed: here one sees "
        "what the bound leaves out."
    )
    chapter.question(
        f"For the 3 that the page opens with, the ELBO is {told.gap:.1f} nats below log p(x). "
        "Where are they?",
        {
            "In KL(q(z|x)‖p(z))": "That is a term of the ELBO itself: what it costs to say z, "
            f"{told.kl:.1f} nats. It would be there with a perfect q, too.",
            "In KL(q(z|x)‖p(z|x))": "Exactly, and with every q: move it with the sliders, and the "
            "two bars stay equal to each other while the green part, −log p(x), stays.",
            "In the decoder’s blur": "The decoder is part of the model, and log p(x) is what this "
            "model says with all its blur. What is missing is between two distributions of z.",
        },
        answer="In KL(q(z|x)‖p(z|x))",
    )
    chapter.look()
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(bound_terms, summed_plane, log_joint)
    formula_and_code(VAE.forward, best_normal, under="Training, and the best q")
    formula_and_code(log_weights, many_draw_bound, under="Many draws")
    formula_and_code(gradient_draws, exact_gradient, under="Two gradients")
    formula_and_code(weight_of_kl, latent_nats, share_kept, under="Sum or mean")
    formula_and_code(gray_cost, under="Gray pixels")
    chapter.why(confusions(told))
    chapter.try_this(
        [
            Experiment(
                "Move q by hand onto the posterior",
                f"the red part falls below the {told.gap:.2f} nats of the encoder, but not to the "
                f"{told.best:.2f} of the best normal, whose two widths are others, too.",
                {"vadigit": DEFAULT, "varow": 1, "vax": -1.5, "vay": 1.5},
            ),
            Experiment(
                "An encoder that looks in the wrong place",
                "q and the posterior do not meet; the red part is what that costs. Then choose the "
                "best normal nearby, and the best from the peak.",
                {"vadigit": WRONG_PLACE[0], "varow": WRONG_PLACE[1], "vafit": "hand"},
            ),
            Experiment(
                "From a 0 to a 1",
                "the straight way leads past the numerals of other digits; the fade is always two "
                "pictures, one over the other.",
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
                   "Autoencoders", "the two gaps", "https://arxiv.org/abs/1801.03558"),
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
