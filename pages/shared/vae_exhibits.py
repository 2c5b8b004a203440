"""The views of the page on the VAE itself; each answers its own controls alone."""

from __future__ import annotations

import numpy as np
import streamlit as st

from pages.shared import vae_training_views, vae_views, vae_world
from pages.shared import vae_training_world as training
from pages.shared.numbers import signed
from pages.shared.player import player
from pages.shared.plot import plot
from pages.shared.vae_asks import GUESS
from pages.shared.vae_controls import digit, other_variant, row, seed, variant
from pages.shared.vae_training_world import GRADIENTS, NETWORKS, PRIOR_DRAWS, SOURCES, SPREADS
from pages.shared.vae_world import COUNTS, DRAWS, SHIFTS, STEPS, WIDTHS, Digit, Many, Way

FIT = {
    "hand": "Encoder’s, or by hand",
    "best": "Best normal nearby",
    "peak": "Best from the peak",
}
OF = {"hand": "the encoder’s", "best": "the best normal’s", "peak": "the best normal’s"}
FROM = {"encoder": "q(z|x)", "wide": "q twice as wide", "prior": "the prior p(z)"}
BY = {"mean": "μ₁", "width": "log σ₁"}
VALUE = {"raw": "as it is", "less": "less its average"}


@st.fragment
def one_bound() -> None:
    """The exact posterior, any q, and the bound cut up in both ways."""
    shift, width = (0.0, 0.0), 1.0
    with row():
        label = digit()
        fit = st.segmented_control(
            "q(z|x)", list(FIT), key="vafit", default="hand", required=True, bind="query-params",
            format_func=FIT.get, width="content",
        )  # fmt: skip
        if fit == "hand":
            shift = tuple(
                st.slider(name, -SHIFTS, SHIFTS, 0.0, 0.25, key=key, bind="query-params", width=92,
                          format="%.2f σ")
                for name, key in (("Shift across", "vax"), ("Shift up", "vay"))
            )  # fmt: skip
            width = st.select_slider(
                "Width", WIDTHS, 1.0, key="vawidth", bind="query-params", width=92,
                format_func=lambda w: f"× {w:.3g}",
                help="All three in units of what the encoder says: its standard deviations σ.",
            )  # fmt: skip
    stage = st.container()
    variety = other_variant()
    told = Digit(*vae_world.digit(label, variety))
    by_hand = fit == "hand"
    q = (
        vae_world.q_of(told, best=False, shift=shift, width=width)
        if by_hand
        else vae_world.fitted(label, variety, fit)
    )
    terms = vae_world.terms_of(label, variety, q)
    curves = vae_world.widths_of(label, variety, fit, shift)
    if shift == (0.0, 0.0) and by_hand:
        curves = (told.costs, told.nats)
    named = st.session_state.get(GUESS) is not None
    with stage:
        # The plane first, then the bars: on a phone both are next to the sliders.
        shares = [2.2, 2.6, 1.9] if told.elsewhere else [2.4, 3, 1]
        middle, right, left = st.columns(shares, gap="medium")
        with left, st.container(horizontal=True, gap="small"):
            pictures(label, told, vae_world.decoded(q.mean[None])[0])
        plot(
            vae_views.window_figure(told, q), key="va_window", place=middle,
            alt="A piece of the latent plane: the exact posterior p(z|x) as a green shade, q(z|x) "
            "as ellipses",
        )  # fmt: skip
        plot(
            vae_views.bars_figure(told, terms, named=named), key="va_bars", place=right,
            alt="The negative bound cut up twice: reconstruction and KL to the prior; −log p(x) "
            f"and {'KL to the posterior' if named else 'what is missing'}",
        )  # fmt: skip
        plot(
            vae_views.width_figure(told, curves, OF[fit], width, terms, named=named),
            key="va_widths", place=right,
            alt="Reconstruction, KL to the prior and their sum for narrower and wider q",
        )  # fmt: skip
        if told.elsewhere:
            at_mean, at_peak = told.pixels
            st.markdown(
                "**The posterior’s highest peak is not where the encoder looks.** Pixel by "
                "pixel, x costs "
                f"{at_mean:.0f} nats by what the encoder’s μ is decoded to, and {at_peak:.0f} by "
                "what the posterior’s peak is."
            )
        st.caption(
            "Lower chart: q at this place, narrower and "
            "wider, the dots as it is now; blue and purple add up to red, and how high red stands "
            f"is how long the red piece is. {said_of_fit(label, variety, fit)}Plane: dark green is "
            "about half of p(z|x), where it is densest, all green 95%, by a sum over the whole "
            "plane; the ellipses hold as much of q. x: a digit of the gallery, each pixel drawn "
            "black or white by its gray, hence the specks. Decoded: the chances at q’s mean; "
            "drawn: a draw by them."
        )


def said_of_fit(label: int, variety: int, fit: str) -> str:
    """Where the climb began, and whether another ends elsewhere; nothing of q by hand."""
    if fit == "hand":
        return ""
    begins = {
        "best": "Nearby: found by climbing the bound from the encoder’s q. ",
        "peak": "From the peak: found by climbing the bound from the highest place of p(z|x). ",
    }
    return begins[fit] + (
        "For this x both climbs end in one place; they may part where the posterior has two peaks "
        "or the encoder errs. "
        if vae_world.one_hill(label, variety)
        else "For this x the two climbs end in two places. "
    )


def pictures(label: int, told: Digit, seen: np.ndarray) -> None:
    """x, what q's mean is decoded to, and a draw by that; the peak's, where it is another place."""
    x = ("x", told.x, "x0", f"A digit {label} in black and white")
    decoded = ("decoded", seen, "p", "What q’s mean is decoded to: chances of being white")
    draw = ("drawn", vae_world.drawn(seen), "p", "A draw of black and white by those chances")
    shown = [x, decoded, draw]
    if told.elsewhere:  # the two that are compared stand beside each other, on a phone, too
        peak = vae_world.pictured(tuple(told.peak.tolist()))
        shown = [decoded, ("at the peak", peak, "q", "What the posterior’s peak is decoded to"), x,
                 draw]  # fmt: skip
    for name, picture, color, about in shown:
        with st.container(width=vae_views.PICTURE):
            plot(
                vae_views.picture_figure(name, picture, color),
                key=f"va_{name.replace(' ', '_')}", alt=about,
            )  # fmt: skip


@st.fragment
def many_draws() -> None:
    """Jensen's inequality: the logarithm of averages of K weights."""
    with row():
        label = digit()
        source = st.segmented_control(
            "Draws from", list(FROM), key="vafrom", default="encoder", required=True,
            bind="query-params", format_func=FROM.get, width="content",
        )  # fmt: skip
        K = st.select_slider("K", COUNTS, 1, key="vak", bind="query-params", width=200)
    stage = st.container()
    with st.expander("More: another variant of the digit, other draws"):
        left, right = st.columns(2, gap="large")
        with left:
            variety = variant()
        with right:
            told = Many(*vae_world.many(label, variety, source, seed()))
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
            f"{signed(told.log_evidence)}. All draws together say "
            f"{signed(every)} and count as much as {told.useful:,.0f} of equal weight. "
            "Curve: the band is two standard errors, told by the same draws. "
            + vae_world.said_of_weights(source)
        )


@st.fragment
def two_gradients() -> None:
    """One number of the gradient by draws that move with q, and by draws that stay."""
    with row():
        label = digit()
        by = st.segmented_control(
            "Gradient by", list(BY), key="vaby", default="mean", required=True,
            bind="query-params", format_func=BY.get, width="content",
        )  # fmt: skip
        value = st.segmented_control(
            "Value log p(x|z)", list(VALUE), key="vavalue", default="raw", required=True,
            bind="query-params", format_func=VALUE.get, width="content",
        )  # fmt: skip
    stage = st.container()
    told = training.Gradients(*training.gradients(label, other_variant(), by, less=value == "less"))
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
            f"has a formula. Green: the exact gradient, {signed(told.exact)}, summed "
            f"over q. By value one needs some {training.about((wide / narrow) ** 2)}"
            " draws for every one through z: their standard deviations, squared, over each other."
        )


@st.fragment
def without_the_kl() -> None:
    """Two networks, trained with and without the KL, and what draws of z give."""
    label, variety, spread = 0, 0, 1
    with row():
        source = st.segmented_control(
            "z from", list(SOURCES), key="vasource", default="prior", required=True,
            bind="query-params", format_func=SOURCES.get, width="content",
        )  # fmt: skip
        if source == "prior":
            spread = st.select_slider(
                "s of N(0, s²I)", SPREADS, 1, key="vaspread", bind="query-params", width=200
            )
        elif source == "one":
            label = digit()
    stage = st.container()
    with st.expander(f"More: other draws, zoom{', another variant' * (source == 'one')}"):
        one, two, three = st.columns(3, gap="large")
        with one:
            start = seed()
        near = two.toggle("Zoom to N(0, s²I)", True, key="vanear", bind="query-params")
        if source == "one":
            with three:
                variety = variant()
    with stage:
        drawn = (spread, start, source, label, variety)
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
        told = {name: training.Drawn(*training.drawn_from(name, *drawn)) for name in NETWORKS}
        plot(
            vae_training_views.prior_figure(told), key="va_prior",
            alt="How often each network’s draws are taken for which digit",
        )  # fmt: skip
        sheets = dict(zip(NETWORKS, st.columns(2, gap="medium"), strict=True))
        for name, place in sheets.items():
            with place:
                st.html(
                    vae_training_views.sheet_html(
                        told[name].pictures, f"decoded draws, {vae_training_views.trained(name)}",
                        vae_training_views.BARS[name],
                    )
                )  # fmt: skip
                st.caption(
                    f"The judge is sure (more than {training.SURE:.0%}) of {told[name].sure:.0%} "
                    f"of {PRIOR_DRAWS} draws."
                )
        st.caption(
            f"Numerals: where each encoder puts the gallery’s digits. Gray points: draws of "
            f"{SOURCES[source]}{', the same for both' * (source == 'prior')}; the purple ring, of "
            f"radius {'2s, holds 86% of them' if source == 'prior' else '2, 86% of N(0, I)'}. The "
            "second network has narrower layers and fewer steps, too; but points for q, anywhere, "
            "are what its loss asks for, the reconstruction alone. Not zoomed, each chart has an "
            "axis of its own."
        )
    training.all_spreads()


@st.fragment
def the_plane() -> None:
    """The straight way between two digits, in the latent and in pixels."""
    with row():
        label = digit()
        to = st.number_input("To digit", 0, 9, 8, key="vato", bind="query-params", width=84)
    stage = st.container()
    told = Way(*vae_world.way(label, to, other_variant()))
    frames = vae_views.way_frames(told, training.codes()[0], label, to)
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
