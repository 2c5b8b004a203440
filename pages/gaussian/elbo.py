"""Where do the bits go?"""

from __future__ import annotations

import numpy as np
import streamlit as st

from diffusion_core.elbo import ElboTerms, elbo_draws, gaussian_elbo
from diffusion_core.ledger import bound_weight, draws_needed
from diffusion_core.likelihood import (
    discretized_gaussian_tanh,
    standard_normal_kl,
    term_from_eps,
    term_from_mean,
    term_from_x0,
)
from diffusion_core.schedules import SCHEDULES
from pages.shared import chapter, load
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.ledger import (
    LEVEL,
    Impossible,
    Kept,
    Pixel,
    Setting,
    choose_digit,
    draw,
    face,
    kept_ledger,
    metrics_of,
    networks,
    resolved,
    sha_of,
    ticks,
)
from pages.shared.ledger_bill import bill_strip, sums
from pages.shared.ledger_decoder import START, decoder_view
from pages.shared.ledger_estimators import (
    chain_of,
    chain_view,
    decompositions,
    estimator_view,
    telescoping_residual,
)
from pages.shared.ledger_views import (
    early_share,
    forms_view,
    measured,
    on_cards,
    test_set_view,
    weights_of,
    weights_view,
)
from pages.shared.player import follow, session_runs

VIEWS = {
    "ledger": "Ledger",
    "decoder": "Decoder",
    "test": "Test set",
    "forms": "Three forms",
    "weights": "Weights",
    "draws": "Estimator",
    "chain": "Two decompositions",
}
STEPS = (2, 5, 10, 50, 100, 1000)
ASKED_OF = ("digits-eps", "digits-vdm")
"""Whose bits the question is about, and who spends them otherwise."""
SAMPLED = "ddim, 25 steps, seed 10000"
"""How the networks' cards have their pictures made."""
TURNED = r"$$q(x_t|x_{t-1}) = q(x_{t-1}|x_t,x_0)\,\frac{q(x_t|x_0)}{q(x_{t-1}|x_0)}$$"
"""Bayes' rule for one forward step, x₀ known."""
CANCELLED = (
    r"$$\begin{aligned} & q(x_1|x_0)\,q(x_2|x_1)\,q(x_3|x_2) \\[4pt]"
    r" & = \cancel{q(x_1|x_0)} \cdot q(x_1|x_2,x_0)\,"
    r"\frac{\bcancel{q(x_2|x_0)}}{\cancel{q(x_1|x_0)}} \\"
    r" & \quad \cdot q(x_2|x_3,x_0)\,\frac{q(x_3|x_0)}{\bcancel{q(x_2|x_0)}} \\[4pt]"
    r" & = q(x_1|x_2,x_0)\,q(x_2|x_3,x_0)\,q(x_3|x_0) \end{aligned}$$"
)
"""The same for all three steps of a short chain."""
VARIANCES = {"trained": "the network's", "posterior": "β̃", "beta": "β"}
DEFAULTS = {
    "eb_view": "ledger",
    "eb_net": "digits-eps",
    "eb_T": 1000,
    "eb_var": "trained",
    "eb_clip": True,
    "eb_zero": False,
    "eb_seed": 0,
    "eb_one": False,
    "eb_row": 9,
    "eb_col": 14,
    "eb_t": 100,
    "eb_width": START,
    "eb_n": 128,
    "eb_gap": 0.03,
    "eb_model": "rough",
    "eb_chain_T": 4,
    "eb_x0": 0.7,
    "source": "gallery",
    "digit": 3,
    "variant": 1,
}


def controls(view: str) -> tuple[bytes, str, Setting, Pixel]:
    """The picture and the network, with what can be changed about them.

    Args:
        view: key in `VIEWS`.
    """
    picture, notes = choose_digit(face)
    names = networks() or ["digits-eps"]
    name = st.selectbox("Network", names, key="eb_net", bind="query-params")
    T = 1000
    if view != "draws":
        T = st.select_slider("Steps T", STEPS, value=1000, key="eb_T", bind="query-params",
                             help="Fewer are a respaced chain of the same network.")  # fmt: skip
    with st.expander("More: pixel, variance, noise"):
        chosen = st.toggle(
            "The two bells of one pixel", False, key="eb_one", bind="query-params",
            help="Off: of the pixel that costs most, another one at each step.",
        )  # fmt: skip
        left, right = st.columns(2)
        row = left.number_input("Row", 0, 27, 9, key="eb_row", bind="query-params",
                                disabled=not chosen)  # fmt: skip
        column = right.number_input("Column", 0, 27, 14, key="eb_col", bind="query-params",
                                    disabled=not chosen)  # fmt: skip
        variance = st.segmented_control(
            "Variance of a reverse step", list(VARIANCES), key="eb_var", default="trained",
            required=True, bind="query-params", format_func=VARIANCES.get,
        )  # fmt: skip
        clip = st.toggle("Clip x̂₀ to black … white", True, key="eb_clip", bind="query-params")
        zero = st.toggle("No signal left at T (zero terminal SNR)", False, key="eb_zero",
                         bind="query-params")  # fmt: skip
        seed = st.number_input("Seed", 0, 9999, 0, key="eb_seed", bind="query-params")
    for note in notes:
        st.caption(note)
    setting = Setting(name, T, variance, clip, zero, seed)
    return picture.pixels.tobytes(), picture.about, setting, (row, column) if chosen else None


def opened(pixels: bytes, setting: Setting) -> tuple[Setting, Kept, list[str]]:
    """The ledger that was asked for, or the nearest that exists, with a sentence for each change.

    Raises:
        Impossible: when there is none at all.
    """
    said: list[str] = []
    setting, sha = resolved(setting), sha_of(setting.network)
    try:
        return setting, kept_ledger(pixels, setting, sha), said
    except Impossible as error:
        if not setting.zero_terminal:
            raise
        said.append(
            f"Without any signal at the last step (L_T would then be exactly 0), {setting.network} "
            f"has no answer there: {error}. The page uses the schedule that it was trained on."
        )
        setting = setting._replace(zero_terminal=False)
        return setting, kept_ledger(pixels, setting, sha), said


def ask() -> None:
    """The question of the ledger, which the first view shows: of digits-eps, as it opens."""
    found = measured()
    held = {name: f"{early_share(found[name]):.0%}" for name in ASKED_OF if name in found}
    chapter.question(
        "From picture to noise the network digits-eps has a thousand steps. Which of them hold "
        "most of the bits?",
        {
            "All about the same": "Look at the bars, on a logarithmic axis: the first costs "
            "thousands of times as much as a step in the middle.",
            "Those next to noise, where the digit appears": "That is where it is decided which "
            "digit it will be, but a digit is one of ten: a few bits. With x̂₀ clipped, as it is "
            "here at first, the steps next to noise are the cheapest.",
            "The first ten, next to the picture": "They hold "
            f"{held.get(ASKED_OF[0], 'most')} of what a test digit costs: naming each pixel's "
            "exact gray level is expensive, and no eye would notice."
            + (
                f" For {ASKED_OF[1]}, which has learned its schedule, they hold "
                f"{held[ASKED_OF[1]]}."
                if ASKED_OF[1] in held
                else ""
            ),
        },
        answer="The first ten, next to the picture",
    )


@st.fragment
def exhibit() -> None:
    """Seven views of one bound; the question is about the first."""
    above = st.container()
    view = st.segmented_control(
        "The bound", list(VIEWS), key="eb_view", default="ledger", required=True,
        bind="query-params", format_func=VIEWS.get, label_visibility="collapsed",
    )  # fmt: skip
    with above:
        if view == "ledger":
            ask()
        chapter.look()
    if view == "chain":
        return chain_view()
    if view in {"test", "weights"}:
        if view == "test":
            return test_set_view()
        names = networks() or ["digits-eps"]
        name = st.selectbox("Network", names, key="eb_net", bind="query-params", width=260)
        return weights_view(name)
    stage, side = st.columns([5, 2], gap="large")
    with side:
        pixels, about, setting, pixel = controls(view)
    load.network_or_stop(setting.network)
    with stage:
        try:
            setting, kept, said = opened(pixels, setting)
        except Impossible as error:
            return st.error(f"There is no ledger for this: {error}.", icon=":material/block:")
        chapter.say(said)
        if setting.zero_terminal:
            st.caption(":material/info: ᾱ is 0 at the last step: $L_T$ is exactly 0.")
        if view == "ledger":
            ledger_view(pixels, about, setting, kept, pixel)
        elif view == "forms":
            forms_view(pixels, setting)
        elif view == "decoder":
            decoder_view(pixels, setting, pixel)
        else:
            ident = repr(("sum", setting, sha_of(setting.network), hash(pixels)))
            estimator_view(pixels, setting, kept, ident)
    return None


def ledger_view(pixels: bytes, about: str, setting: Setting, kept: Kept, pixel: Pixel) -> None:
    """The terms one after the other, followed live, and their sums."""
    live = session_runs().open(
        repr((setting, sha_of(setting.network), hash(pixels), pixel)),
        lambda: iter(kept),
        len(kept.parts),
    )
    try:
        follow(
            live,
            lambda lines, first: draw(lines, first, kept, pixel),
            key="eb_player",
            scale=5,
            autoplay=True,
            fps=20,  # all terms within four seconds
            ends=("next to the picture", "noise"),
            ticks=ticks(kept.parts),
            rest=round(0.4 * (len(kept.parts) - 1)),
            report_frame=False,
            label=f"The cost of {about}, over the steps t",
        )
    except ValueError as error:  # a network whose answer is no number
        st.error(f"The ledger stops here: {error}.", icon=":material/block:")
        return
    bill_strip(setting, kept)  # below: above, it would give the answer away
    sums(pixels, setting, kept)


def beta_over_tilde(t: int) -> float:
    """How much larger β is than β̃ at a step of the digits' schedule."""
    alpha_bar = SCHEDULES["cosine"](1000).alpha_bar
    return float((1 - alpha_bar[t]) / (1 - alpha_bar[t - 1]))


def of_test_digits() -> str:
    """What the decoder's usual width costs digits-vdm on test digits; "" if nobody measured it."""
    found = measured().get("digits-vdm")
    if found is None:
        return ""
    return f" Test digits cost only {found.bits_per_dim(found.reconstruction.mean):.2f} there."


def bits_and_pictures() -> str:
    """Bound and recognised digits of two networks, from their cards; "" where one has not both."""
    told = []
    for name, how in (
        ("digits-vdm", "trained on the bound in the end"),
        ("digits-eps", "never trained on it"),
    ):
        bits, known = on_cards().get(name), recognised(name)
        if bits is None or known is None:
            return ""
        told.append(
            f"{name}, {how}, has {bits['value']:.2f} bits/dim, and {known:.0%} of its digits are "
            "recognised"
        )
    return f": {'; '.join(told)}"


def recognised(name: str) -> float | None:
    """Which share of a network's digits is taken for what was asked, sampled as `SAMPLED`."""
    asked = ("recognised as its class", SAMPLED)
    found = (m for m in metrics_of(name) if (m.get("name"), m.get("setting")) == asked)
    return next((float(m["value"]) for m in found), None)


def confusions() -> list[Confusion]:
    """What people get wrong about the bound, each with a setting that shows it."""
    four = decompositions("rough", 4, 0.7)
    true, written = four["denoising_analytic_kl"][0], four["consistency_as_written"][0]
    shared = {name: told[1] for name, told in four.items()}
    own = {name: told[2] for name, told in four.items()}
    exact = float(chain_of("rough", 4, 0.7).log_likelihood())
    weights = weights_of("digits-eps")
    twice, tenth = beta_over_tilde(2), beta_over_tilde(10)
    beta = SCHEDULES["cosine"](1000).beta
    first_beta, tilde_second = float(beta[1]), float(beta[2]) / twice
    return [
        Confusion(
            "L_vlb, or one L_t times T?",
            "The same on average. The bound is a sum over all T steps. To train on it, one draws "
            "one step at random and multiplies its cost by T: that is right on average, and "
            "scatters wildly where a few steps hold most of the bits: ten of a thousand, with "
            "digits-eps. Drawing the steps where the bits are more often, and dividing by how "
            "often, keeps the average and lowers the scatter.",
            {"eb_view": "draws", "eb_n": 128},
            "The gray bars: most uniform draws say far too little, a rare one far too much. The "
            "exact sum comes in after a few seconds.",
            threads=[
                "openai/improved-diffusion#114",
                "openai/improved-diffusion#147",
                "aimansnigdha/Ambiguous-Medical-Image-Segmentation-using-Diffusion-Models#5",
            ],
        ),
        Confusion(
            "Where do all the q's go? Luo's equation 53 looks like a mistake",
            "It is none. Bayes’ rule, with x₀ known, turns each forward step after the first "
            f"round, and brings two terms along:\n\n{TURNED}\n\nIn the product of all steps, here "
            "three, every q(xₜ|x₀) but the last is there once as a factor and once below a line, "
            "and the product "
            + term("telescopes", "each factor cancels against its neighbour; only the ends stay")
            + f":\n\n{CANCELLED}\n\nNot only on average: over a thousand paths of the four-step "
            f"chain both sides differ by {telescoping_residual():.0e} nats at most, which is "
            "rounding.",
            {"eb_view": "chain"},
            "Third row: before the q’s are turned round; first row: after. The same mean, to every "
            "digit.",
            threads=[
                "https://ai.stackexchange.com/questions/46303",
                "https://ai.stackexchange.com/questions/47313",
            ],
        ),
        Confusion(
            "Is the consistency form as usually printed the same bound?",
            "No. It draws xₜ from q(xₜ | xₜ₋₁) as if xₜ₊₁ did not exist, but xₜ₊₁ came out of xₜ: "
            "given xₜ₋₁, the two depend on each other. On the four-step chain that form gives "
            f"{written:.3f} nats, and the bound is {true:.3f}, with log p(x₀) = {exact:.3f}. With "
            "xₜ integrated out between *both* its neighbours it is right again.",
            {"eb_view": "chain"},
            "The last row lies far from the other four.",
            threads=["https://ai.stackexchange.com/questions/46303"],
        ),
        Confusion(
            "Does one random variable per term lower the variance?",
            "It depends on how you draw. When every term gets a path of its own, yes: exact "
            f"KL terms scatter by {own['denoising_analytic_kl']:.2f} nats, log-ratios by "
            f"{own['denoising_log_ratios']:.2f}. When one path serves all terms, what one "
            "log-ratio has too much the next has too little, and the log-ratios are the quieter "
            f"ones: {shared['denoising_log_ratios']:.2f} against "
            f"{shared['denoising_analytic_kl']:.2f}.",
            {"eb_view": "chain"},
            "Compare thick and thin lines in the first two rows: the order turns around.",
        ),
        Confusion(
            "How can a bell curve give the probability of a gray level?",
            "By the area over that level. The decoder's bell is cut into 256 bins, one for each "
            "gray level; black and white take the whole tail. So L₀ is a true −log probability, "
            "and the first bar may be read as bits of a file. A density instead would give a "
            "number that depends on the unit of brightness.",
            {"eb_view": "decoder"},
            "The bars at left: the blue one is the true level’s area, its logarithm the pixel’s "
            "cost. Move the slider: a narrow bell misses it, a wide one gives it little.",
            threads=[
                "lucidrains/denoising-diffusion-pytorch#271",
                "openai/improved-diffusion#89",
                "openai/pixel-cnn#33",
            ],
        ),
        Confusion(
            "Bits per dimension: is an offset missing?",
            "Not here. L₀ is the probability of one of 256 levels, so nothing has to be added. "
            "Papers that use a density of pixels scaled to −1 … 1 must add log₂ 127.5 ≈ "
            f"{np.log2(127.5):.2f} bits, because the levels are 1/127.5 apart, and 8 bits if "
            "scaled to 0 … 1 by 256. A figure without this offset, or one for black-and-white "
            "MNIST, can't be set beside these.",
            {"eb_view": "test"},
            "bits/dim = nats / (784 · log 2). The published table lists 8-bit figures only.",
            threads=["yang-song/score_sde_pytorch#51", "rosinality/glow-pytorch#3"],
        ),
        Confusion(
            "Why not train on the bound itself?",
            "Its weights are steep: the same error of the noise counts "
            f"{weights['bound'][0]:,.0f} times as much at t = 2 as at t = 500. A network trained "
            "on it spends itself on noise that nobody can see. (At t = T it counts even more, "
            f"{weights['bound'][-1]:,.0f} times as much, since the last β of this schedule is "
            "capped at 0.999. But there xₜ is the noise, and next to nothing is left to get "
            "wrong.) L_simple counts all steps alike, gets better pictures and a worse "
            f"bound{bits_and_pictures()}.",
            {"eb_view": "weights"},
            "The red line against the dashed one: at the left end, where errors are real; the "
            "spike at the right end multiplies errors of almost nothing.",
        ),
        Confusion(
            "Why is the first variance in the list replaced by the second of β̃?",
            "Code keeps a list of the logarithms of all β̃ₜ, the reverse steps’ variances, and "
            "β̃₁ is 0. For pictures the entry is idle: the last step adds no noise. For the "
            "bound its root is the width of the decoder p(x₀ | x₁), and the best width is about "
            "the error of x̂₀, half a gray level for digits-eps: any narrower, and the pixels that "
            "are missed cost a lot; any wider, and all cost more. "
            f"√β̃₂ = {tilde_second**0.5 / LEVEL:.2f} gray levels is a guess, nearer to it here than "
            f"√β₁ = {first_beta**0.5 / LEVEL:.2f}. It can be a bad one: with digits-vdm "
            "and its learned schedule it is 14 times too narrow for the opening 3, whose first bar "
            f"of 0.5 bits/dim becomes one of 3.8.{of_test_digits()} That 3 was made by a network, "
            "and its black is not quite black.",
            {"eb_view": "decoder"},
            "The lowest point of the curve, and how far the named variances are from it.",
            threads=[
                "openai/guided-diffusion#69",
                "openai/improved-diffusion#45",
                "zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#18",
            ],
        ),
        Confusion(
            "Can a learned variance be anything?",
            "Improved DDPM lets it lie between β̃ and β, on a logarithmic scale: β̃ is right for "
            "data that are one point, β for data that are noise of variance 1 themselves. Pixels "
            "from −1 to 1 vary no more than that, and on average the best lies in between. (For "
            "data that vary more it lies above β.) "
            f"They differ most in the first steps, where the bits are: at t = 2, β is {twice:.1f} "
            f"times β̃, at t = 10 {tenth:.2f} times. Summed over 784 pixels, even the small "
            "differences behind them count. The button gives every step the variance β.",
            {"eb_var": "beta"},
            "The first bar stays: at t = 1 β̃ is 0, so both settings give the decoder the width "
            "√β̃₂. The next ones are higher with β, and the sum of all, below, comes out about a "
            "tenth higher than with β̃.",
            threads=["openai/improved-diffusion#7", "xypeng9903/k-diffusion-inverse-problems#1"],
        ),
    ]


def page() -> None:
    """Lay out the page."""
    chapter.header("ELBO", defaults=DEFAULTS)
    chapter.prose(
        "What does each step from noise to picture cost, in bits? The bill adds up to minus the "
        + term("ELBO", "evidence lower bound: minus this cost is at most log p(x₀)")
        + ", a bound on the bits of the picture: the model needs no more than that to tell it."
    )
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    chapter.prose(
        "From t = 2 on, each red bar compares two Gaussians for xₜ₋₁ given xₜ: q, which is told x₀ "
        "as well (the line in the small chart, in units of its standard deviation), and the "
        "model’s p, which is not (the purple bars). The cost is the "
        + term("KL divergence")
        + " of q from p, 0 where the two agree."
    )
    formula_and_code(ElboTerms, gaussian_elbo, discretized_gaussian_tanh, standard_normal_kl)
    formula_and_code(
        term_from_mean,
        term_from_x0,
        term_from_eps,
        bound_weight,
        elbo_draws,
        draws_needed,
        under="The same term in three forms, its weight, and the estimator",
    )

    chapter.why(confusions())
    chapter.try_this(
        [
            Experiment(
                "Two steps instead of a thousand",
                "the bill is about three times as high, and not for the jump from pure noise, "
                "which costs half of what all thousand steps did. It is the jump to the picture: "
                "it has to name every gray level from one that is half noise, with a bell wider "
                "than its error (see Decoder).",
                {"eb_T": 2},
            ),
            Experiment(
                "Draw something that is no digit",
                "a face to begin with, and a bill more than twice a test digit’s: the network "
                "has seen none. Draw into it: when the pen is lifted, the bill is made anew.",
                {"source": "draw"},
            ),
            Experiment(
                "Other noise",
                "the sum moves by a few percent, nearly all of it in the first ten steps: they "
                "hold most of the bits, and each was drawn once. The other 990 average out.",
                {"eb_seed": 1},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Ho, Jain, Abbeel 2020, Denoising Diffusion Probabilistic Models",
                   "eq. 5, 8, 12 to 14", "https://arxiv.org/abs/2006.11239"),
            Source("Nichol, Dhariwal 2021, Improved DDPM", "sections 3.1 and 3.3",
                   "https://arxiv.org/abs/2102.09672"),
            Source("Kingma et al. 2021, Variational Diffusion Models", "eq. 11 to 14",
                   "https://arxiv.org/abs/2107.00630"),
            Source("Luo 2022, Understanding Diffusion Models", "eq. 37 to 58",
                   "https://arxiv.org/abs/2208.11970"),
            Source("Grathwohl et al. 2019, FFJORD", "table 2",
                   "https://arxiv.org/abs/1810.01367"),
            Source("Chen et al. 2019, Residual Flows", "results on MNIST", "https://arxiv.org/abs/1906.02735"),
        ]
    )  # fmt: skip
    load.settle()


page()
