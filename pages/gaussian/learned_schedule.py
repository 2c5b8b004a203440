"""Can the schedule itself be trained?"""

from __future__ import annotations

import streamlit as st

from diffusion_core.checkpoints import CheckpointError
from diffusion_core.schedule_paths import (
    continuous_cost,
    cosine_gamma,
    mix,
    quietest_path,
    variance_on_path,
)
from diffusion_core.vdm_elbo import vdm_diffusion, vdm_elbo, vdm_prior, vdm_reconstruction
from diffusion_core.vdm_network import LearnedGamma, VariationalUNet
from pages.shared import chapter, load
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.ledger import choose_digit, face, sha_of
from pages.shared.vdm_charts import (
    ends_view,
    path_view,
    position_slider,
    steps_view,
    without_network,
)
from pages.shared.vdm_views import FAINT, FULL, NETWORK, cleaned, variational

VIEWS = ("The path", "T steps", "The ends")
DEFAULTS = {
    "ls_view": VIEWS[0],
    "ls_path": FULL // 2,
    "ls_n": 64,
    "ls_T": 100,
    "ls_seed": 0,
    "ls_clean": True,
    "source": "gallery",
    "digit": 3,
    "variant": 1,
}


def opened() -> str | None:
    """The network's sha256; where it can't be had, None, and a sentence says why."""
    try:
        sha = sha_of(NETWORK)
        variational(sha)
    except CheckpointError as error:
        st.error(str(error), icon=":material/cloud_off:")
        return None
    return sha


@st.fragment
def exhibit() -> None:
    """Three views of one bound."""
    sha = opened()
    if sha is None:
        return without_network()
    view = st.segmented_control(
        "The bound", VIEWS, key="ls_view", default=VIEWS[0], required=True,
        bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    stage, side = st.columns([5, 2], gap="medium")
    with side:
        picture, notes = choose_digit(face)
        seed = int(st.number_input("Seed", 0, 9999, 0, key="ls_seed", bind="query-params"))
        clean = st.toggle(
            "Exact black and white", True, key="ls_clean", bind="query-params",
            help=f"As in MNIST: gray levels below {FAINT} become black, those above "
            f"{255 - FAINT} white.",
        )  # fmt: skip
        for note in notes:
            st.caption(note)
    pixels = (cleaned(picture.pixels) if clean else picture.pixels).tobytes()
    with stage:
        if view == "The ends":
            return ends_view(pixels, picture.about, seed, sha)
        show = steps_view if view == "T steps" else path_view
        return show(pixels, picture.about, seed, position_slider(), sha)


def confusions() -> list[Confusion]:
    """What people get wrong about a learned schedule."""
    return [
        Confusion(
            "How can the bound not care about the path?",
            "Change the variable. The diffusion term is an integral over t of ½ γ′(t) times the "
            "network's squared error, and that error depends on how noisy the picture is, not on "
            "the time at which it is so: it is e(γ(t)). With γ as the variable, γ′(t) dt = dγ:\n\n"
            "$$\\int_0^1 \\tfrac12\\,\\gamma'(t)\\,e(\\gamma(t))\\,dt = "
            "\\tfrac12\\int_{\\gamma_0}^{\\gamma_1} e(\\gamma)\\,d\\gamma$$\n\n"
            "The path is gone, and only its ends are left. Prior and reconstruction look at one "
            "end each. That is exact in continuous time; with few steps it is not.",
            {"ls_path": FULL},
            "The bound below the charts has no path in it, so it stays. Press “Draw for real” to "
            "check: linear and learned land near it. The cosine mostly hasn't had its rare, huge "
            "draws yet, so its mean and its error bar are both too small.",
        ),
        Confusion(
            "Then what is there to learn about the path?",
            "How little a single draw scatters. Training never computes the integral: it takes one "
            "time at random. The mean of such draws is fixed, and by Cauchy and Schwarz their mean "
            "square is least where all are of equal size: "
            + term("γ′ ∝ 1/e", "the schedule lingers where the network errs much")
            + ". So the clock should go slowly where the network errs much and fast where it errs "
            "little, until the curve in the second chart is flat. What noise there is in a single "
            "error remains.",
            {"ls_path": 0},
            "The second chart: the flatter the line, the smaller the variance below it.",
        ),
        Confusion(
            "If the bound does not depend on the path, where does its gradient come from?",
            "From the square. The path’s weights η get the gradient of E[L²], which is E[2 L ∇L]: "
            "the same draw and the same backward pass, multiplied by 2 L on the way into the "
            "schedule. As E[L] can't change, lowering E[L²] lowers the variance. The two ends and "
            "the network get the gradient of the bound itself.",
            {"ls_path": 0},
            "Learned against linear: variance of one draw, in the table.",
            threads=["google-research/vdm#1", "DavidRuhe/simple-variational-diffusion-models#3"],
        ),
        Confusion(
            "What do learned ends mean?",
            "γ₀ says how little noise the first picture has. Lower, and naming its gray levels "
            "(reconstruction) gets cheaper, but there is more noise range to pay for (diffusion). "
            "γ₁ says how much the last one has: higher, and the prior costs less, while the range "
            "grows again. Each end stops where what one term saves is what the other costs, on "
            "average over the training digits.",
            {"ls_view": "The ends"},
            "The red lines, the whole bound. In the first chart it is least near the dotted line. "
            "In the second it falls until about there, and going on gains next to nothing.",
        ),
        Confusion(
            "Is the SNR μ²/σ² of the data?",
            "No. In a diffusion model SNR(t) = α²/σ² = exp(−γ): the square of the number that "
            "multiplies the picture over the variance of the noise. It is the same for every "
            "picture and every pixel. μ²/σ² of q(xₜ | x₀) would be α² x₀²/σ²: another number at "
            "each pixel, and 0 where a pixel is mid-gray. The [formula detective]"
            "(formula_detective?case=Signal+to+noise) computes both for a pixel that you move.",
            {"ls_path": -FULL},
            "The first chart: linear means that log SNR falls evenly. No pixel is in it.",
        ),
        Confusion(
            "Do more steps always help?",
            "With a good network, yes. A step of length Δγ costs ½ (exp(Δγ) − 1) times the error "
            "at its noisier end: it charges the worse view of the picture for the whole way. With "
            "less noise a good network sees better, so cutting a step in two lowers the sum. "
            "What is left at T = ∞ no clock can lower.",
            {"ls_view": "T steps"},
            "All lines come down to one. The path decides how fast.",
            threads=["GuyTevet/motion-diffusion-model#212"],
        ),
        Confusion(
            "Why are the generated digits cleaned first?",
            "MNIST’s background is exactly black, and this network pays almost nothing for it. The "
            "gallery’s digits were sampled, and what looks black in them is some very dark gray: "
            "as pictures hardly different, in bits another world. Uncleaned, they cost several "
            "times as much, and the path that was learned on MNIST is not made for them.",
            {"ls_clean": False, "ls_path": 0},
            "The bound below the charts, and how far from flat the learned line is now.",
        ),
        Confusion(
            "Why does the cosine do so badly here?",
            "It was made to keep the picture from drowning too early, and its authors had good "
            "bits with it, too: between its own ends. Between these ends it rushes "
            "through the smallest noise, where most bits of a digit are: γ′ is huge there, and so "
            "is a draw that happens to fall there. Its own offset of 0.008 keeps it away from "
            "that place; with the ends of a likelihood model it has to pass through. (With a "
            "picture of black and white alone, without grays, it can be the best of the three.)",
            {"ls_path": FULL},
            "Both charts at t = 0: the steep start, and what a draw costs there.",
        ),
    ]


def page() -> None:
    """Lay out the page."""
    chapter.header("Learned schedule", defaults=DEFAULTS)
    chapter.prose(
        "DDPM’s schedule is chosen by hand. A variational diffusion model learns it: γ(t) = −log "
        + term("SNR")
        + " is a curve that rises from γ₀ to γ₁, and training moves it together with the network. "
        "What can that improve?"
    )
    chapter.question(
        "Keep both ends of γ, and bend the path between them. What happens to the bound?",
        {
            "It gets better or worse": "In continuous time it stays: no path is in its formula. "
            "“Draw for real” checks it on the linear and the learned path. The path is a clock: it "
            "says when each amount of noise comes, and each is paid for once.",
            "It stays, but guesses at it scatter more or less": "The integral depends on the ends "
            "alone. A guess from one random time scatters, and the path decides by how much.",
            "Nothing at all changes": "The bound doesn't. But look at the variance of one draw: "
            "training sees single draws, and the more they scatter, the slower it learns.",
        },
        answer="It stays, but guesses at it scatter more or less",
    )
    chapter.look()
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(continuous_cost, vdm_diffusion, variance_on_path, LearnedGamma)
    formula_and_code(
        cosine_gamma,
        mix,
        quietest_path,
        vdm_elbo,
        vdm_prior,
        vdm_reconstruction,
        VariationalUNet.forward,
        under="The other paths, the whole bound, and how the path was trained",
    )

    chapter.why(confusions())
    chapter.try_this(
        [
            Experiment(
                "Slide to linear",
                "the bound stays, for no path is in its formula; “Draw for real” checks it. The "
                "variance of a draw is that of VDM’s fixed schedule.",
                {"ls_path": -FULL},
            ),
            Experiment(
                "Draw something that is no digit",
                "the network errs elsewhere, so the path that was learned on digits falls further "
                "behind the quietest one for this picture: compare their rows in the table.",
                {"source": "draw", "ls_path": 0},
            ),
            Experiment(
                "Ten steps instead of a thousand",
                "now the path counts: the lines lie apart at T = 10 and meet at T = ∞.",
                {"ls_view": "T steps", "ls_T": 10},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Kingma, Salimans, Poole, Ho 2021, Variational Diffusion Models",
                   "eq. 11, 14 and 17, section 5.1, appendix H and I.2",
                   "https://arxiv.org/abs/2107.00630"),
            Source("Nichol, Dhariwal 2021, Improved DDPM", "eq. 17 (cosine)",
                   "https://arxiv.org/abs/2102.09672"),
        ]
    )  # fmt: skip
    load.settle()


page()
