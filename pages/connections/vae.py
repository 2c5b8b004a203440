"""What is the evidence lower bound below, and by how much?"""

from __future__ import annotations

import math
from typing import NamedTuple

import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.vae import VAE
from diffusion_core.vae_bound import (
    best_normal,
    bound_terms,
    gradient_draws,
    log_joint,
    log_weights,
    many_draw_bound,
    summed_plane,
)
from pages.shared import chapter, load, vae_views, vae_world
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.player import player
from pages.shared.plot import plot
from pages.shared.vae_world import COUNTS, DRAWS, SHIFTS, STEPS, WIDTHS, Digit, Many, Way

VIEWS = {"bound": "One bound", "draws": "Many draws", "plane": "The plane"}
FIT = {"hand": "Encoder’s, or by hand", "best": "Best normal nearby"}
FROM = {"encoder": "q(z|x)", "prior": "the prior p(z)"}
DEFAULT = 3
TWO_PLACES = (9, 2)  # a digit, and its variant, whose posterior has two peaks
WRONG_PLACE = (8, 1)  # one that the encoder puts where its posterior is not
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
    "vato": 8,
}


@st.fragment
def exhibit() -> None:
    """Three views of one VAE."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "The VAE", list(VIEWS), key="vaview", default="bound", required=True,
            bind="query-params", format_func=VIEWS.get, width="content",
        )  # fmt: skip
        label = st.number_input(
            "Digit x", 0, 9, DEFAULT, key="vadigit", bind="query-params", width=110
        )
        third = st.container(width="content")
    stage = st.container()
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
    else:
        the_plane(label, row, third, stage)


def one_bound(label: int, row: int, third: DeltaGenerator, stage: DeltaGenerator) -> None:
    """The exact posterior, any q, and the bound cut up in both ways."""
    fit = third.segmented_control(
        "q(z|x)", list(FIT), key="vafit", default="hand", required=True, bind="query-params",
        format_func=FIT.get, width="content",
    )  # fmt: skip
    told = Digit(*vae_world.digit(label, row))
    shift, width = (0.0, 0.0), 1.0
    with stage:
        if fit == "hand":
            with st.container(horizontal=True, gap="small"):
                shift = tuple(
                    st.slider(name, -SHIFTS, SHIFTS, 0.0, 0.25, key=key, bind="query-params",
                              width=165)
                    for name, key in (("Shift across", "vax"), ("Shift up", "vay"))
                )  # fmt: skip
                width = st.select_slider(
                    "Width", WIDTHS, 1.0, key="vawidth", bind="query-params", width=165,
                    format_func=lambda w: f"× {w:.3g}",
                    help="All three in units of what the encoder says: its standard deviations.",
                )  # fmt: skip
        q = vae_world.q_of(told, best=fit == "best", shift=shift, width=width)
        terms = vae_world.terms_of(label, row, q)
        left, middle, right = st.columns([1, 2.4, 3], gap="medium")
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
            vae_views.width_figure(told, None if fit == "best" else width, terms),
            key="va_widths",
            place=right,
            alt="Reconstruction, KL to the prior and their sum for narrower and wider q",
        )
        st.caption(
            "x: a digit of the gallery, which the app’s own network drew, made black and white "
            "pixel by pixel, with its gray as the chance; hence the specks. Decoded: the chances "
            "at q’s mean; drawn: a draw by them. Green shade: p(z|x), from the decoder alone, by a "
            "sum over the whole plane (what is shaded is its square root). Purple: q, one and two "
            "standard deviations. Bars do not begin at 0; a nat is 1.44 bits. Lower chart: the "
            "encoder’s q, not shifted; the dot is q as it is now."
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
        st.caption(
            f"{DRAWS:,} draws z of {FROM[source]}; the weight of one is p(x, z) over the density "
            "that drew it, and the weights average p(x). Left: their logarithms, or those of "
            "averages of K. Right: with two standard errors. Where a few draws outweigh all "
            "others, most averages miss them and lie too low, even of many. Green: log p(x), "
            "summed over the plane."
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
            report_frame=False, charts_last=True, rest=STEPS // 2,
            ends=(f"a {label}", f"a {to}"), label="From one digit to another",
        )  # fmt: skip
        st.caption(
            "Gray points: where the encoder puts the gallery’s 200 digits; the way goes straight "
            "between two. Decoded: the chance of each pixel being white at that z. Faded: one "
            "picture over the other. The judge is a classifier that knows digits only, always "
            "names one, and is often sure of what is none."
        )


class Facts(NamedTuple):
    """The numbers that the text names; of the page's first digit unless it says otherwise.

    Attributes:
        log_p: log p(x).
        gap: log p(x) minus the bound with the encoder's q.
        best: the same with the best normal.
        cost: reconstruction term.
        kl: KL of the encoder's q from the prior.
        two: what remains of the gap, with the best normal, of the digit with two peaks.
        kept: the share of that digit's posterior within four widths of that normal.
        wrong: the gap of the digit that is encoded to the wrong place: encoder's q, best near it,
            best at the posterior's peak.
        saved: by how much reconstruction falls at the smallest width.
        paid: by how much KL(q || p(z)) rises there.
        prior_bound: the bound with draws of the prior, K = 1.
        prior_all: log of the average of all of them.
        prior_useful: how many of them count.
        surprise: KL(p(z|x) || p(z)).
        sixty_four: log p(x) minus the bound with K = 64.
        gradients: standard deviations of single draws of the gradient: through z, by value, by
            value less its average.
        card: mean -log p(x) and negative bound over test digits, and how many, as the card has it.
    """

    log_p: float
    gap: float
    best: float
    cost: float
    kl: float
    two: float
    kept: float
    wrong: tuple[float, float, float]
    saved: float
    paid: float
    prior_bound: float
    prior_all: float
    prior_useful: float
    surprise: float
    sixty_four: float
    gradients: tuple[float, float, float]
    card: tuple[float, float, int]


def seeded() -> torch.Generator:
    """A generator that always draws the same."""
    return torch.Generator().manual_seed(0)


@st.cache_data(max_entries=1, show_spinner=False)
def facts() -> tuple:
    """Compute them."""
    vae, _, card = vae_world.network()
    told = Digit(*vae_world.digit(DEFAULT, 0))

    def gap(label: int, variant: int, *, best: bool) -> float:
        of = Digit(*vae_world.digit(label, variant - 1))
        q = vae_world.q_of(of, best=best, shift=(0.0, 0.0), width=1.0)
        return of.log_evidence - vae_world.terms_of(label, variant - 1, q).bound

    own = WIDTHS.index(1.0)
    prior = Many(*vae_world.many(DEFAULT, 0, "prior", 0))
    ours = Many(*vae_world.many(DEFAULT, 0, "encoder", 0))
    x = vae_world.binary(DEFAULT, 0)
    drawn = [
        *gradient_draws(vae, x, vae_world.encoded(vae, x), 2048, seeded()),
        gradient_draws(
            vae, x, vae_world.encoded(vae, x), 2048, seeded(), baseline=-float(told.costs[own])
        )[1],
    ]
    two = vae_world.q_of(
        Digit(*vae_world.digit(TWO_PLACES[0], TWO_PLACES[1] - 1)), best=True, shift=(0, 0), width=1
    )
    figures = {m["name"]: m for m in card["metrics"]}
    measured = figures["-log p(x), nats per digit"]
    return tuple(
        Facts(
            told.log_evidence,
            gap(DEFAULT, 1, best=False),
            gap(DEFAULT, 1, best=True),
            float(told.costs[own]),
            float(told.nats[own]),
            gap(*TWO_PLACES, best=True),
            vae_world.share_near(TWO_PLACES[0], TWO_PLACES[1] - 1, two),
            (
                gap(*WRONG_PLACE, best=False),
                gap(*WRONG_PLACE, best=True),
                vae_world.gap_at_the_peak(WRONG_PLACE[0], WRONG_PLACE[1] - 1),
            ),
            float(told.costs[own] - told.costs[0]),
            float(told.nats[0] - told.nats[own]),
            float(prior.bounds[0]),
            float(vae_world.told_by(prior.log_w, DRAWS)[0]),
            prior.useful,
            told.surprise,
            told.log_evidence - float(ours.bounds[COUNTS.index(64)]),
            tuple(float(d.std(0).mean()) for d in drawn),
            (
                measured["value"],
                figures["negative bound, nats per digit"]["value"],
                measured["samples"],
            ),
        )
    )


def confusions(told: Facts) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    exact, bound, count = told.card
    quick, slow, less = told.gradients
    first = {"vadigit": DEFAULT, "varow": 1}
    return [
        Confusion(
            "What lies between the ELBO and log p(x)?",
            "KL(q(z|x)‖p(z|x)), and nothing else, for any q: log p(x) does not depend on q, so "
            "what a better q adds to the bound it takes from that KL. Pushing the bound up in q is "
            "therefore fitting q to the posterior, without ever computing the posterior. Here it "
            f"is computed: for the opening 3 log p(x) is −{-told.log_p:.2f} nats and the bound "
            f"{told.gap:.2f} below it. Over {count:,} test digits the averages are "
            f"−{exact:.1f} and −{bound:.1f}, by the network’s [card](/model_cards).",
            first | {"vax": 1.5, "vay": -1.0},
            "Both bars grow, and the green part stays: what is lost is all in the red.",
        ),
        Confusion(
            "Is it the encoder’s fault?",
            "For the most part, with the opening 3. The best normal nearby, found by climbing the "
            f"bound itself, leaves {told.best:.2f} of the {told.gap:.2f} nats. The rest is the "
            "price of one network that answers for all digits (the "
            + term("amortization gap")
            + "); what even the best normal leaves is the price of a normal whose two numbers are "
            "independent (the approximation gap). Now and then an encoder errs grossly: variant "
            f"{WRONG_PLACE[1]} of the digit {WRONG_PLACE[0]} is put where its posterior is not, at "
            f"a price of {told.wrong[0]:.0f} nats. Climbing from there ends on a lower hill, with "
            f"{told.wrong[1]:.0f} left; a normal in the right place would leave "
            f"{told.wrong[2]:.2f}.",
            first | {"vafit": "best"},
            "The ellipses lie on the green shade, and the red part of the bar is nearly gone.",
        ),
        Confusion(
            "What if the posterior has two peaks?",
            "A normal has one. KL(q‖p) asks for q to be nowhere where p is not, so where the peaks "
            f"are well apart the best q sits on one of them. Of variant {TWO_PLACES[1]} of the "
            f"digit {TWO_PLACES[0]} it keeps {told.kept:.0%} of the posterior and leaves a gap of "
            f"{told.two:.2f} nats, nearly all of it −log {told.kept:.2f} = "
            f"{-math.log(told.kept):.2f}. The other order, KL(p‖q), would ask for q to be "
            "everywhere where p is, and spread it over both and the empty land between them: "
            "[Entropy and KL](entropy).",
            {"vadigit": TWO_PLACES[0], "varow": TWO_PLACES[1], "vafit": "best"},
            "Two green peaks; the best normal covers one of them.",
        ),
        Confusion(
            "Why not draw z from the prior and average p(x|z)?",
            f"It is right on average, and useless: of the {DRAWS:,} draws here hardly any falls "
            f"where the opening 3 is, and {told.prior_useful:.0f} draws of equal weight would say "
            "as much. The logarithm of a single draw is "
            f"{told.log_p - told.prior_bound:.0f} nats too low on average. How rare hits are, is "
            f"told by KL(p(z|x)‖p(z)), here {told.surprise:.1f} nats: about one draw in "
            f"{math.exp(told.surprise):,.0f}. With more latent numbers z tells more of x, and each "
            "further nat makes hits rarer by a factor of 2.7. The encoder says where to look.",
            first | {"vaview": "draws", "vafrom": "prior"},
            "Left: nearly all draws lie far below log p(x). Right: the bound begins "
            f"{told.log_p - told.prior_bound:.0f} nats too low.",
        ),
        Confusion(
            "Where does Jensen’s inequality come in?",
            "The weights p(x, z)/q(z) have the mean p(x). The ELBO averages their logarithms, "
            "and the logarithm is concave: the average of the logarithms lies below the logarithm "
            "of the average ("
            + term("Jensen's inequality")
            + "; for a convex function it would be the other way round). Average K weights first, "
            "and they vary less, so less is lost: with K = 64 the bound for the opening 3 is some "
            f"{told.sixty_four:.1f} nats below log p(x) instead of {told.gap:.1f}. It is tight "
            "where all weights are equal: q is the posterior then.",
            first | {"vaview": "draws", "vak": 64},
            "The histogram has become narrow, and its average, dashed, lies close to log p(x).",
        ),
        Confusion(
            "Why keep KL(q‖p(z)) at all? It only makes reconstruction worse",
            "Make q eight times narrower: reconstruction of the opening 3 gains "
            f"{told.saved:.1f} nats, and the KL rises by {told.paid:.1f}. Without the KL nothing "
            "would keep q from becoming a point, and training would make an autoencoder, whose "
            "codes may lie anywhere; nobody would know where to draw a z from. (This network was "
            "trained with the KL, so that is not shown here.) With it the sum is a bound of log "
            "p(x), and q is no narrower than telling x apart is worth.",
            first | {"vawidth": WIDTHS[0]},
            "Lower chart: to the left blue gains next to nothing, and purple rises on and on.",
        ),
        Confusion(
            "Why z = μ + σε, and not just a draw of q?",
            "To differentiate an average over q by q’s own parameters. Written so, the gradient "
            "goes through z into the decoder, and a single draw of it, for the mean of the opening "
            f"3’s q, has a standard deviation of {quick:.0f}. One can also do without, with the "
            "value of log p(x|z) times the gradient of log q: just as right on average, but with a "
            f"standard deviation of {slow:,.0f}. Most of that comes from the value being far from "
            f"0 at every z; less its average, {less:.0f} remain, still {less / quick:.1f} times as "
            "much, and such a draw’s noise counts squared. The code of all three is above, under "
            "The formula: Many draws.",
        ),
        Confusion(
            "Why are a VAE’s pictures blurred?",
            "What is shown as decoded is the chance of each pixel being white: the mean of p(x|z), "
            "not a draw of it. A draw is black and white, and ragged, since each pixel is drawn by "
            "itself. The mean is one over all digits that z may stand for (and x was drawn from a "
            "gray picture, so that some gray at the edges is right). Two numbers can’t tell many "
            "digits apart; diffusion models take as many latent numbers as there are pixels, and "
            "many small steps, in each of which a mean is enough. How a VAE becomes one: "
            "[From VAE to diffusion](hierarchical_vae).",
            first | {"vaview": "bound"},
            "On the left: x, what its z is decoded to, and a draw by those chances.",
        ),
        Confusion(
            "Is p(x) = p(x|z) p(z)?",
            "That is p(x, z), for one z. p(x) is its integral over z; the page "
            "[Formula detective](formula_detective) has the case where notes leave it out. Here "
            "the integral is a sum over a grid that is made finer where there is something.",
            first | {"vaview": "bound"},
            "Green shade: p(z|x), which is p(x, z) at this x, over p(x). What p(x, z) comes to "
            "over the whole plane is p(x).",
        ),
    ]


def page() -> None:
    """Lay out the page."""
    chapter.header("VAE", defaults=DEFAULTS)
    load.or_stop(vae_world.network)
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
            "two bars keep one length while the green part, −log p(x), stays.",
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
    formula_and_code(log_weights, many_draw_bound, gradient_draws, under="Many draws")
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
                "q and the posterior do not meet; the red part is what that costs.",
                {"vadigit": WRONG_PLACE[0], "varow": WRONG_PLACE[1]},
            ),
            Experiment(
                "From a 0 to a 1",
                "the straight way leads through places of other digits; the fade is always two "
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
        ]
    )  # fmt: skip
    load.settle()


page()
