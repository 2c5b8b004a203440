"""What do entropy and KL measure, and why does their order matter?"""

from __future__ import annotations

import math
from typing import NamedTuple

import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.codes import (
    Curves,
    covering_normal,
    cross_entropy,
    divergence,
    entropy,
    flipped,
    huffman_code,
    kl_div_terms,
    log_ratio,
    normal_log_density,
    seeking_normal,
)
from pages.shared import chapter, entropy_calls, entropy_views, load
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.distribution_bars import distribution_bars, read_distribution
from pages.shared.entropy_calls import CALLS, COUNTS
from pages.shared.explain import formula_and_code
from pages.shared.numbers import signed
from pages.shared.plot import plot

VIEWS = {"codes": "Codes", "orders": "Two orders", "calls": "KL below 0?"}
FITS = {"seek": "Smallest KL(q‖p)", "cover": "Smallest KL(p‖q)", "hand": "By hand"}
P, OTHER = "0.5 0.25 0.125 0.125", "0.25 0.125 0.125 0.5"
START = {"codes": (P, OTHER), "calls": (entropy_calls.P, entropy_calls.Q)}
"""View -> the p and q that it begins with: in both of them the two orders differ."""
THREE = "0.5 0.25 0.25"  # no word for the last letter
RARE = "0.9 0.1"
APART, PEAK = 4.0, 0.6  # of p's two peaks: how far apart, how wide each
LEFT = 0.6  # the share of the left one
DEFAULTS = {
    "enview": "codes",
    "enp": "",  # the view's own
    "enq": "",
    "enseed": 0,
    "enfit": "seek",
    "enapart": APART,
    "enmean": 0.0,
    "enstd": 1.0,
    "encall": "bare",
    "endraws": 10,
}


def letters_of(view: str) -> tuple[str, str]:
    """The text of p and of q as the controls have them, or as the view begins."""
    p, q = START[view]
    return st.session_state.get("enp") or p, st.session_state.get("enq") or q


def set_letters(view: str, **pulled: str) -> None:
    """Take over what bars were pulled to; what the view began with is said from here on."""
    p, q = letters_of(view)
    chapter.apply_state(**{"enp": p, "enq": q} | pulled)


def ask(told: Facts) -> None:
    """The question of the first view."""
    chapter.question(
        "Letters come ½, ¼, ⅛, ⅛; a code made for ¼, ⅛, ⅛, ½, below, wastes "
        f"{entropy_views.bits(told.orders[0])} bits per letter, on average. A code made for "
        "½, ¼, ¼, 0 has no word for the last letter. What does it waste?",
        {
            "Less: it is right for the first two": "It is right for them, and gives the third a "
            "shorter word. But one letter in eight can’t be said at all: −log 0 has no end, and "
            "neither has the average.",
            "A little more": "One letter in eight can’t be said at all, by no word however long. "
            "−log 0 has no end, and neither has the average.",
            "Without end": "One letter in eight has no word: −log 0. It does not help that the "
            "others have good ones. “When is KL infinite?”, below, shows this code.",
        },
        answer="Without end",
    )


@st.fragment
def exhibit(told: Facts) -> None:
    """Letters and codes, two orders of one divergence, or one that comes out below 0."""
    above = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "Show", list(VIEWS), key="enview", default="codes", required=True,
            bind="query-params", format_func=VIEWS.get, width="content",
        )  # fmt: skip
        third = st.container(width="content")
    with above:
        if view == "codes":
            ask(told)
        chapter.look()
    if view == "orders":
        two_orders(third)
    else:
        letters(view)


def letters(view: str) -> None:
    """Letters are drawn from p and coded for q, or their divergence is asked for."""
    if view == "calls":  # beside the bars what a call adds up, then what a few draws say
        bars, left, right = st.columns([100, 206, 206], gap="medium")
        pulled = bars.container(horizontal=True, gap="small")
    else:  # blocks, bars, sums: on a phone one below the other, blocks and bars on one screen
        left, right = st.columns(2, gap="medium")
        pulled = bars = right.container(horizontal=True, gap="small")
    more = st.expander("More: numbers, other letters")
    p, q = (read_distribution(row) for row in letter_fields(more, view))
    for name, read in (("p", p), ("q", q)):
        if read.note:
            st.info(f"{name}: {read.note}", icon=":material/info:")
    for name, text, read, key, color, about in (
        (
            "Drag p: what is drawn",
            letters_of(view)[0],
            p,
            "enp",
            "q",
            "How often each letter is drawn",
        ),
        ("Drag q: code made for", letters_of(view)[1], q, "enq", "p", "What the code was made for"),
    ):
        with pulled.container(width=165):
            chapter.prose(name)
            distribution_bars(
                text, read.probs, key=f"en_{color}_bars",
                on_text=lambda text, key=key: set_letters(view, **{key: text}), label=about,
                color=color, names=entropy_views.LETTERS, each=f"{about}: #",
                what="letters", places=3,
            )  # fmt: skip
    seed = int(st.session_state.get("enseed", 0))
    if view == "calls":
        below_zero(p.probs, q.probs, seed, left, right)
    else:
        in_words(p.probs, q.probs, seed, left, right)
    (bars if view == "calls" else left).button(
        "Swap p and q", key="en_swap", on_click=swap, args=(view,)
    )


def letter_fields(place: DeltaGenerator, view: str) -> tuple[str, str]:
    """The numbers as text, and the seed; what p and q are then."""
    one, two, three = place.columns(3)
    for field, label, key, own in (
        (one, "p, one number per letter", "enp", START[view][0]),
        (two, "q, one number per letter", "enq", START[view][1]),
    ):
        field.text_input(
            label, "", key=key, bind="query-params", max_chars=200, placeholder=own,
            help="Two to five numbers; they are divided by their sum.",
        )  # fmt: skip
    three.number_input("Seed", 0, 9999, 0, key="enseed", bind="query-params")
    return letters_of(view)


def in_words(
    p: tuple[float, ...], q: tuple[float, ...], seed: int,
    left: DeltaGenerator, right: DeltaGenerator,
) -> None:  # fmt: skip
    """What the letters cost, in q's code."""
    told = entropy_views.codes(p, q, seed)
    plot(
        entropy_views.lengths_figure(told), key="en_lengths", place=left,
        alt="A block per letter: as wide as the letter is frequent, as high as it costs bits with "
        "q’s code; red where that is more than with p’s own. A dot per word of a real code for q",
    )  # fmt: skip
    plot(
        entropy_views.sums_figure(told),
        key="en_sums",
        place=right,
        alt="Entropy, cross entropy, and the length of a real code, in bits per letter",
    )
    code = " · ".join(
        f"{letter} {word or '—'}"
        for letter, word in zip(entropy_views.LETTERS, told.words, strict=False)
    )
    st.caption(
        "Green and faint: H(p), the fewest bits per letter. Green and red: H(p, q), what the code "
        "made for q takes. Dots: a real code for q, in words of whole bits, "
        f"{code}. Drawn: {told.message}… {by_chance(told)}A real code for p takes {told.own:.2f} "
        "bits per letter on average."
    )


def by_chance(told: entropy_views.Codes) -> str:
    """What the drawn letters take in q's code, beside what they take on average."""
    if math.isinf(told.bits):
        return ""
    return (
        f"These {entropy_views.DRAWN:,} letters take {told.bits:.2f} bits each in q’s code, "
        f"{told.mean:.2f} on average over all draws: the rest is chance. "
    )


def below_zero(
    p: tuple[float, ...], q: tuple[float, ...], seed: int,
    left: DeltaGenerator, right: DeltaGenerator,
) -> None:  # fmt: skip
    """What PyTorch's `kl_div` makes of p and q, and what draws of p say."""
    told = entropy_calls.called(p, q)
    with left:
        chapter.prose("**What kl_div(a, b) gives**")
        call = st.segmented_control(
            "What you type into kl_div( )", list(CALLS), key="encall", default="bare",
            required=True, bind="query-params", format_func=CALLS.get, width="content",
        )  # fmt: skip
        st.markdown(entropy_calls.lead(told, call))
    plot(
        entropy_calls.calls_figure(told, call), key="en_calls", place=left,
        alt="What kl_div comes to, given (log q, p), (log p, q), (q, p) and (p, q)",
    )  # fmt: skip
    plot(
        entropy_calls.terms_figure(told, call), key="en_terms", place=left,
        alt=f"What kl_div({CALLS[call]}) adds for each letter, and marks for p log(p/q)",
    )  # fmt: skip
    left.caption('kl_div is PyTorch’s, with reduction="sum".')
    with right:
        chapter.prose("**KL(p‖q), estimated from draws**")
        n = st.select_slider("Draws averaged", COUNTS, 10, key="endraws", bind="query-params")
        said = entropy_calls.averages(p, told, n, seed)
        st.markdown(entropy_calls.drawn(said, n))
    plot(
        entropy_calls.draws_figure(said, told, n), key="en_draws", place=right,
        alt=f"Histogram of averages of log(p/q) over {n} draws of p, and KL(p‖q)",
    )  # fmt: skip
    right.caption(entropy_calls.about_draws(p, n))


def swap(view: str) -> None:
    """Let p and q change places."""
    p, q = letters_of(view)
    chapter.apply_state(enp=q, enq=p)


def two_peaks(apart: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A grid and the log density of two peaks, the left one larger."""
    x = torch.linspace(-9, 9, 1201, dtype=torch.float64)
    std = torch.tensor(PEAK, dtype=torch.float64)
    parts = [
        math.log(share) + normal_log_density(x, torch.tensor(side * apart / 2), std)
        for share, side in ((LEFT, -1), (1 - LEFT, 1))
    ]
    return x, torch.stack(parts).logsumexp(0)


@st.cache_data(max_entries=64, show_spinner=False)
def fitted(apart: float, fit: str) -> tuple[float, float]:
    """Mean and standard deviation of the normal with the smallest KL in either order."""
    x, log_p = two_peaks(apart)
    if fit == "cover":
        return covering_normal(x, log_p)
    # From both peaks and from the middle: the smallest KL of what is found.
    starts = [(-apart / 2, PEAK), (apart / 2, PEAK), covering_normal(x, log_p)]
    found = [seeking_normal(x, log_p, start) for start in starts]
    return min(found, key=lambda q: divergence(flipped(curves_of(apart, *q))))


def curves_of(apart: float, mean: float, std: float) -> Curves:
    """Density p and a normal q on one grid."""
    x, log_p = two_peaks(apart)
    q = (torch.tensor(v, dtype=torch.float64) for v in (mean, std))
    return Curves(x, log_p, normal_log_density(x, *q))


def two_orders(third: DeltaGenerator) -> None:
    """One normal for two peaks."""
    fit = third.segmented_control(
        "q", list(FITS), key="enfit", default="seek", required=True, bind="query-params",
        format_func=FITS.get, width="content",
    )  # fmt: skip
    with st.container(horizontal=True, gap="small"):
        apart = st.slider(
            "Peaks apart", 0.0, 6.0, APART, 0.25, key="enapart", bind="query-params", width=165
        )
        if fit == "hand":
            mean = st.slider(
                "Mean of q", -4.0, 4.0, 0.0, 0.1, key="enmean", bind="query-params", width=165
            )
            std = st.slider(
                "Width of q", 0.1, 4.0, 1.0, 0.1, key="enstd", bind="query-params", width=165
            )
            other = None
        else:
            mean, std = fitted(apart, fit)
            other = fitted(apart, "cover" if fit == "seek" else "seek")
    curves = curves_of(apart, mean, std)
    left, right = st.columns(2, gap="medium")
    plot(
        entropy_views.curves_figure(curves, other),
        key="en_curves",
        place=left,
        alt="The density p with two peaks, and the normal q"
        + (", dotted the one that the other order chooses" if other else ""),
    )
    plot(
        entropy_views.parts_figure(curves),
        key="en_parts",
        place=right,
        alt="What each x adds to KL(p‖q) and to KL(q‖p)",
    )
    st.markdown(
        f"KL(p‖q) = **{divergence(curves):.2f}** nats · KL(q‖p) = "
        f"**{divergence(flipped(curves)):.2f}** nats · H(q) = "
        f"**{signed(normal_entropy(std))}** nats"
    )
    st.caption(
        f"p: two normals of width {PEAK:g}, {LEFT:.0%} on the left. q: one normal, mean "
        f"{signed(mean)}, standard deviation {std:.2f}. "
        + ("Dotted: the normal that has the smallest KL in the other order. " if other else "")
        + "Second chart: each area, negative parts subtracted, is one KL. H(q) is the average of "
        "−log q; where the density is above 1, −log q counts below 0."
    )


def normal_entropy(std: float) -> float:
    r"""Differential entropy of a normal, nats: log(std) + 1.42."""
    return math.log(std) + 0.5 * math.log(2 * math.pi * math.e)


class Facts(NamedTuple):
    """The numbers that the text names; peaks as far apart as the page begins with.

    Attributes:
        entropy: H(p) of the letters, bits.
        spare: KL, bits, where the code has a word too many: p is ½, ¼, ¼ and q the letters.
        orders: KL of p from its other order, and the other way round, bits.
        seek: mean, standard deviation, KL(q||p), KL(p||q) of the normal with the smallest KL(q||p).
        cover: the same of the one with the smallest KL(p||q).
        narrow: differential entropy of N(0, 0.1^2), nats.
        zero_at: standard deviation at which a normal's differential entropy is 0.
        few: share below 0 of what a few draws say of a KL.
    """

    entropy: float
    spare: float
    orders: tuple[float, float]
    seek: tuple[float, float, float, float]
    cover: tuple[float, float, float, float]
    narrow: float
    zero_at: float
    few: float


@st.cache_data(max_entries=1, show_spinner=False)
def facts() -> tuple:
    """Compute them."""
    p, other, three = (
        torch.tensor(read_distribution(t).probs, dtype=torch.float64)
        for t in (P, OTHER, f"{THREE} 0")
    )
    pairs = ((p, other), (other, p))
    pair = [read_distribution(row).probs for row in (entropy_calls.P, entropy_calls.Q)]
    called = entropy_calls.called(*pair)
    bits = 1 / math.log(2)

    def both(fit: str) -> tuple[float, float, float, float]:
        found = fitted(APART, fit)
        curves = curves_of(APART, *found)
        return *found, divergence(flipped(curves)), divergence(curves)

    return tuple(
        Facts(
            float(entropy(p)) * bits,
            float(cross_entropy(three, p) - entropy(three)) * bits,
            tuple(float(cross_entropy(a, b) - entropy(a)) * bits for a, b in pairs),
            both("seek"),
            both("cover"),
            normal_entropy(0.1),
            1 / math.sqrt(2 * math.pi * math.e),
            float((entropy_calls.averages(pair[0], called, entropy_calls.FEW, 0) < 0).mean()),
        )
    )


def jensen() -> str:
    """The inequality for the letters that the page begins with, in numbers."""
    p, q = (read_distribution(row).probs for row in (P, OTHER))
    ratios = [b / a for a, b in zip(p, q, strict=True)]
    mean = sum(a * u for a, u in zip(p, ratios, strict=True))
    bound = sum(a * -math.log2(u) for a, u in zip(p, ratios, strict=True))
    return (
        f"For ½, ¼, ⅛, ⅛ and ¼, ⅛, ⅛, ½ u is {', '.join(f'{u:g}' for u in ratios)}: its average "
        f"is {mean:g}, −log₂ of that 0, and the average of −log₂ u is {bound:.2f} bits."
    )


def confusions(told: Facts) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    one, other = (entropy_views.bits(order) for order in told.orders)
    pair = (read_distribution(row).probs for row in (entropy_calls.P, entropy_calls.Q))
    return [
        Confusion(
            "Is entropy a number of the data or of my code?",
            "H(p) is one of the data alone: no code takes less on average. H(p, q), the cross "
            "entropy, is one of both: data from p, told in the code made for q. A model’s average "
            "−log q(x) is that, H(data) + KL(data‖model). H(data) does not depend on the model, so "
            "cross entropy and KL have the same gradient: training wears down the KL, and the "
            "H(data) in the loss stays.",
            {"enview": "codes"},
            "Pull q’s bars: H(p) stays, and what changes in H(p, q) is the red part alone. It is "
            "gone when q’s bars are as p’s.",
        ),
        Confusion(
            "Why a logarithm, and in bits or nats?",
            "Each further bit of a word halves the room that is left for others: a word of n bits "
            "takes 2⁻ⁿ of it. So a letter that is to have the share q of the room gets a word of "
            "−log₂ q bits, and the average is shortest when each share is the letter’s own "
            "probability. Base 2 counts bits, base e nats: one bit is log 2 = "
            f"{math.log(2):.3f} nats. Code "
            "words are counted in bits, so is a picture’s bound (bits per dimension: nats over "
            "log 2 and over the number of pixels). Losses in code come in nats.",
            {"enview": "codes", "enp": P, "enq": P},
            "Words of 1, 2, 3 and 3 bits take ½, ¼, ⅛ and ⅛ of the room, which is how often their "
            f"letters come. H(p) = {told.entropy:.2f} bits, "
            f"{told.entropy * math.log(2):.2f} nats.",
        ),
        Confusion(
            "Is KL a distance?",
            "No: the order matters. For letters that come ½, ¼, ⅛, ⅛ and a code for ¼, ⅛, ⅛, ½ "
            f"KL(p‖q) is {one} bits, the other way round {other}. And the way "
            "over a third distribution can be shorter. Read it as a price: the first distribution "
            "says what comes, the second what one was prepared for.",
            {"enview": "codes", "enp": P, "enq": OTHER},
            f"{one} bits are wasted, in whole words, too. Press “Swap p and q”, and it is more.",
        ),
        Confusion(
            "Why is KL never below 0?",
            "Jensen: −log is convex, so the average of −log is at least −log of the average. "
            "Average over p, of u = q/p:\n\n"
            "$$\\mathrm{KL}(p\\|q) = E_p[-\\log u] \\;\\ge\\; -\\log E_p[u]$$\n\n"
            "$$E_p[u] = \\sum_k p_k\\,\\frac{q_k}{p_k} \\le 1, \\qquad -\\log 1 = 0$$\n\n"
            f"{jensen()} It is 0 only "
            "where u is 1 for every letter that comes: q = p. In the picture: a word can only be "
            "made shorter if others get longer, and red is always at least as large as faint. The "
            "[VAE](vae?vaview=Many+draws)’s bound is the same inequality, there with the concave "
            "log: an average of log w is at most log of the average, so ELBO ≤ log p(x).",
            {"enview": "codes", "enp": P, "enq": OTHER},
            "Above the blocks: red less faint. Drag the bars as you like, it never falls below 0.",
        ),
        Confusion(
            "Which order does a diffusion model train?",
            "KL(truth‖model): in these charts KL(p‖q), with p the truth. It is what the likelihood "
            "asks for, that the model be everywhere where data are. A step’s term of the "
            "[ELBO](elbo), where the truth is called q and the model p, is "
            "KL(q(xₜ₋₁|xₜ,x₀)‖p(xₜ₋₁|xₜ)), the true step first. A [VAE](vae)’s decoder is trained "
            "so, too: with the encoder as q both minimise KL(q(x, z)‖p(x, z)), data and encoder "
            "first. What differs is who moves. A diffusion’s q is fixed, and only p, in the "
            "second place, is fitted. A VAE’s encoder moves as well, and for one x its part is "
            "KL(q(z|x)‖p(z|x)): there the one that is fitted stands first, and may leave out a "
            "peak.",
            {"enview": "orders", "enfit": "cover"},
            "p is the truth, q the model with the smallest KL(p‖q): it covers both peaks, and is "
            f"highest in the gap between them. KL(q‖p) is then {told.cover[2]:.2f} nats, not "
            f"{told.seek[2]:.2f}.",
        ),
        Confusion(
            "Why does one order seek a peak and the other cover all?",
            "KL(p‖q) averages over p: wherever p is and q is not, log(p/q) is large, and q can’t "
            "afford to leave out anything. Its best normal has the mean and the variance of p, "
            f"{signed(told.cover[0])} and {told.cover[1]:.2f}². KL(q‖p) averages over q: it "
            "charges only where q is, and keeps it from where p is not. Its best normal sits on "
            f"the larger peak, at {signed(told.seek[0])} with width {told.seek[1]:.2f}. There p is "
            f"{LEFT:g} of q, so that it pays {told.seek[2]:.2f} nats, the logarithm of 1/{LEFT:g}: "
            "all that the peak it leaves out costs it.",
            {"enview": "orders", "enfit": "seek"},
            "q lies on the left peak, and KL(q‖p), dashed in the second chart, is charged there. "
            "At the right peak q has no draws and pays nothing; there KL(p‖q), the green line, "
            "charges.",
        ),
        Confusion(
            "When is KL infinite?",
            "Where something comes that q holds to be impossible: no word of its code says it. "
            "What p never has costs nothing, however q wastes its words on it: 0 log 0 counts as "
            "0. This is why a likelihood must leave nothing out. Between densities no 0 is needed: "
            "a normal q for a p with heavy tails, a Cauchy say, has words for all, but so long "
            "ones for what is far out that their average has no end.",
            {"enview": "codes", "enp": P, "enq": THREE},
            "q has three letters, p four: D has no word. Swap p and q: now D has a word that never "
            f"comes, C’s is one bit longer for it, and {told.spare:.2f} bits are wasted.",
            threads=[
                "Lightning-AI/torchmetrics#1029",
                "RoyiRa/Linguistic-Binding-in-Diffusion-Models#7",
            ],
        ),
        *entropy_calls.confusions(entropy_calls.called(*pair), told.few),
        Confusion(
            "Can entropy be negative?",
            "Of letters never. Of a density yes: it is measured against an even density of height "
            "1, and a normal of standard deviation 0.1 has "
            f"{signed(told.narrow)} nats; {told.zero_at:.3f} is where it is 0. So can −log p(x) of "
            "a density be, and it can’t be compared with bits of pixels. That is what discretised "
            "decoders are for, at the end of the [ELBO](elbo): they give each byte a probability.",
            {"enview": "orders", "enfit": "hand", "enstd": 0.1},
            "q is narrow, and its density higher than 1, so −log q is below 0 there: H(q) = "
            f"{signed(told.narrow)} nats, under the charts.",
            threads=[
                "https://math.stackexchange.com/questions/4565670",
                "https://math.stackexchange.com/questions/4676511",
            ],
        ),
        Confusion(
            "Does any real code reach the entropy?",
            "For ½, ¼, ⅛, ⅛ one does, since all are powers of ½: words of 1, 2, 3 and 3 bits. "
            "Otherwise words of whole bits are a little too long, by less than 1 bit per letter; "
            "coding many letters at once makes that as small as one likes. For a model that can "
            "tell the probability of a picture’s bytes it means: −log₂ p(x) is, but for a bit or "
            "two, the size of a file. A model with latents, as a VAE, knows only a bound of it, "
            "and with bits-back coding the bound is what a file takes on average.",
            {"enp": RARE, "enq": RARE},
            "Two letters of one bit each, however rare the second: the real code takes 1 bit, the "
            "entropy is 0.47.",
        ),
    ]


def page() -> None:
    """Lay out the page."""
    told = Facts(*facts())
    chapter.header("Entropy and KL", defaults=DEFAULTS)
    chapter.prose(
        "A code gives each letter a word of bits; the best one gives −log₂ p of them to a letter "
        "that comes with probability p. Its average length is the entropy of p, that of a code "
        "made for another q is the cross-entropy, and the difference is the "
        + term("KL divergence")
        + ". Minus an [ELBO](elbo) is a sum of such lengths."
    )
    exhibit(told)

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(entropy, cross_entropy, divergence)
    formula_and_code(huffman_code, under="A real code")
    formula_and_code(kl_div_terms, log_ratio, under="KL below 0?")
    formula_and_code(covering_normal, seeking_normal, normal_log_density, under="Two orders")
    chapter.why(confusions(told))
    chapter.try_this(
        [
            Experiment(
                "Make the code worse",
                "q believes the rarest letters to be the most frequent: red towers over the widest "
                "letter, and what the rare ones save, faint, is narrow.",
                {"enp": P, "enq": "0.125 0.125 0.25 0.5"},
            ),
            Experiment(
                "Bring the peaks together",
                "as the two peaks become one, both orders have nearly the same answer, the dotted "
                "line under the other, and both numbers go to 0. Pull “Peaks apart” to the right: "
                "they part, and in the end q sits down on one peak.",
                {"enview": "orders", "enfit": "seek", "enapart": 0.5},
            ),
            Experiment(
                "A normal by hand",
                f"KL(p‖q) can’t get below {told.cover[3]:.2f} nats, nor KL(q‖p) below "
                f"{told.seek[2]:.2f}, and no q has both. Each is 0 only for q = p, which is no "
                "normal.",
                {"enview": "orders", "enfit": "hand", "enmean": -1.0, "enstd": 1.5},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Shannon 1948, A Mathematical Theory of Communication", "section 6",
                   "https://doi.org/10.1002/j.1538-7305.1948.tb01338.x"),
            Source("Huffman 1952, A Method for the Construction of Minimum-Redundancy Codes", "",
                   "https://doi.org/10.1109/JRPROC.1952.273898"),
            Source("Cover & Thomas 2006, Elements of Information Theory", "chapters 2 and 5"),
            Source("Bishop 2006, Pattern Recognition and Machine Learning",
                   "section 10.1.2: two orders, two fits"),
            Source("Townsend, Bird & Barber 2019, Practical Lossless Compression with Latent "
                   "Variables using Bits Back Coding", "", "https://arxiv.org/abs/1901.04866"),
        ]
    )  # fmt: skip
    load.settle()


page()
