"""How does a picture become noise, and why can we jump to any step?"""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from diffusion_core.forward import KEEP, SPREAD, drowned_from, forward_chain, forward_variance
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import SCHEDULES
from diffusion_core.statistics import normality
from pages.shared import chapter, load
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.palette import textcolor
from pages.shared.pictures import as_bytes, choose_picture, shown_steps
from pages.shared.player import Curve, Histogram, Panel, player
from pages.shared.short_chains import capped

DEFAULTS = {
    "source": "gallery",
    "digit": 3,
    "variant": 1,
    "schedule": "linear",
    "T": 1000,
    "fseed": 4,
    "keep": "sqrt(1 - beta)",
    "spread": "sqrt(beta)",
    "pixels": "−1 … 1",
}
"""With this seed both measured spreads stay within two standard deviations of the formula from
t = 50 on, as with two of the first twelve seeds; at about 90 correlated places most do not. Other
pages begin with other seeds, so its control shares no key with theirs."""
HALF = "0 … 1"
BINS = 48
REACH, WIDE = 3, 9
"""Where the histogram ends: as a rule, and where the spread grows past 3."""


@st.cache_data(max_entries=64, show_spinner=False)
def noising(
    pixels: bytes,
    shape: tuple[int, ...],
    schedule: str,
    T: int,
    seed: int,
    keep: str,
    spread: str,
    half: bool,
) -> dict[str, np.ndarray]:
    """Both ways of noising one picture, at the shown steps, with their numbers."""
    image = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(shape)
    x0 = image.double() / 255 if half else image.double() / 127.5 - 1
    steps = shown_steps(T, shape)
    diffusion = GaussianDiffusion(SCHEDULES[schedule](T))
    generator = torch.Generator().manual_seed(seed)
    chain = forward_chain(diffusion.schedule, x0, generator, keep=keep, spread=spread)[steps]
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
    jump = diffusion.q_sample(x0.expand(chain.shape), steps, eps.expand(chain.shape))
    rows = chain.flatten(1)
    a, sigma = (rate.flatten() for rate in diffusion.rates(steps, rows))
    reach = REACH if keep == DEFAULTS["keep"] else WIDE
    edges = torch.linspace(-reach, reach, BINS + 1, dtype=torch.float64)
    places = torch.bucketize(rows, edges[1:-1])
    counts = torch.zeros(len(rows), BINS).scatter_add_(
        1, places, torch.where(rows.abs() <= reach, 1.0, 0.0).float()
    )
    contrast = x0.std(correction=0)
    variance = ((a * contrast) ** 2, sigma**2)
    formula = (variance[0] + variance[1]).sqrt()
    squares = (2 * variance[1] + 4 * variance[0]) * variance[1] / x0.numel()
    chance = squares.sqrt() / (2 * formula).clamp(min=1e-12)  # of a picture in one gray 0 at t = 0
    return {
        "chain": as_bytes(chain),
        "jump": as_bytes(jump),
        "signal": a.numpy(),
        "noise": sigma.numpy(),
        "contrast": contrast.numpy(),
        "formula": formula.numpy(),
        "chance": chance.numpy(),
        "deviation": rows.std(1).numpy(),
        "deviation_jump": jump.flatten(1).std(1).numpy(),
        "distance": normality(rows).distance.numpy(),
        "counts": counts.numpy(),
    }


@st.fragment
def exhibit() -> None:
    """The picture, its way into noise, and the controls."""
    stage, controls = st.columns([5, 2], gap="large")
    with controls:
        picture = choose_picture()
        schedule = st.selectbox(
            "Noise schedule", list(SCHEDULES), key="schedule", bind="query-params"
        )
        with st.expander("More: break the formula"):
            keep = st.segmented_control(
                "Each step multiplies the picture by",
                list(KEEP),
                key="keep",
                default=DEFAULTS["keep"],
                required=True,
                bind="query-params",
                format_func={"sqrt(1 - beta)": "√(1−β)", "1": "1"}.get,
            )
            spread = st.segmented_control(
                "… and adds noise times",
                list(SPREAD),
                key="spread",
                default=DEFAULTS["spread"],
                required=True,
                bind="query-params",
                format_func={"sqrt(beta)": "√β", "beta": "β"}.get,
            )
            scaled = st.segmented_control(
                "Pixels run from",
                (DEFAULTS["pixels"], HALF),
                key="pixels",
                default=DEFAULTS["pixels"],
                required=True,
                bind="query-params",
            )
            T = st.select_slider(
                "Number of steps T", [10, 100, 1000], value=1000, key="T", bind="query-params"
            )
            seed = st.number_input(
                "Seed", 0, 9999, DEFAULTS["fseed"], key="fseed", bind="query-params"
            )
    pixels, half = picture.pixels, scaled == HALF
    told = noising(pixels.tobytes(), pixels.shape, schedule, T, seed, keep, spread, half)
    steps = shown_steps(T, pixels.shape)
    critical = normality(torch.zeros(pixels.size)).critical
    broken = broken_parts(keep, spread)
    # The rates are those of the right process; step by step, a broken one has others.
    rates = "how much of each one jump leaves" if broken else "how much of each is left"
    jump = "in one jump: " if broken else ""
    curves = [
        Curve("signal √ᾱ", told["signal"], "x0", rates, 0, 1, digits=3),
        Curve("noise √(1−ᾱ)", told["noise"], "eps", rates, 0, 1, digits=3),
    ]
    if schedule != "linear":
        straight = GaussianDiffusion(SCHEDULES["linear"](T)).schedule.alpha_bar[steps]
        curves += [
            Curve("signal, linear", straight.sqrt().numpy(), "x0", rates, 0, 1, ghost=True),
            Curve("noise, linear", (1 - straight).sqrt().numpy(), "eps", rates, 0, 1, ghost=True),
        ]
    top = max(2.0, float(told["deviation"].max()))
    reach = REACH if keep == DEFAULTS["keep"] else WIDE
    contrast = float(told["contrast"])
    with stage:
        player(
            [
                Panel(
                    "$x_t$, step by step",
                    f"{picture.about}, noised one small step at a time",
                    told["chain"],
                    badge=", ".join([*broken, *["pixels 0 … 1"] * half]),
                ),
                Panel(
                    "$x_t$, one jump",
                    f"{picture.about}, noised in one jump",
                    told["jump"],
                    badge="pixels 0 … 1" if half else "",
                ),
            ],
            histograms=[
                Histogram(
                    "pixels, step by step",
                    "histogram of the pixel values, beside the bell curve of standard noise",
                    told["counts"],
                    -reach,
                    reach,
                )
            ],
            curves=[
                *curves,
                Curve("step by step", told["deviation"], "q", SPREAD_CHART, 0, top, line=1),
                Curve("one jump", told["deviation_jump"], "xt", SPREAD_CHART, 0, top),
                Curve("its formula", told["formula"], "xt", SPREAD_CHART, 0, top, dash="2 4"),
                Curve("distance", told["distance"], "p", DISTANCE_CHART, 0, 1),
                Curve(
                    "95% of noise: below",
                    np.full(len(steps), critical),
                    "xt",
                    DISTANCE_CHART,
                    0,
                    1,
                    digits=3,
                ),
            ],
            key="forward_player",
            scale=6,
            total=len(steps),
            captions=[
                f"t = {t} of {T} · {jump}signal {s:.3f} · noise {n:.3f}"
                for t, s, n in zip(steps.tolist(), told["signal"], told["noise"], strict=True)
            ],
            ends=("t = 0: the picture", f"t = {T}" + ": noise" * (not broken)),
            autoplay=True,
            rest=round((1 if broken else 0.27) * (len(steps) - 1)),
            hold=True,
            report_frame=False,
            label="Noising, over the steps t",
        )
        every = f"One step in {T // (len(steps) - 1)} is shown. " if T >= len(steps) else ""
        st.caption(
            f"{every}Chance moves a measured spread off its formula, √(ᾱ·{contrast:.2f}² + 1−ᾱ), "
            f"by about {float(told['chance'].max()):.2f}. Distance: the largest gap between the "
            f"distribution of these pixels and that of pure noise. {capped(schedule, T)}"
        )
        noise = SCHEDULES[schedule](T)
        drowned, cross = (drowned_from(noise, spread) for spread in (contrast, 1.0))
        chapter.prose(
            f"The pixels of this picture have the spread {contrast:.2f}"
            + ", not 1" * (f"{contrast:.2f}" != "1.00")
            + f". So one jump leaves less of it than it adds of noise from t = {drowned} on"
            + " already" * (drowned < cross)
            + f"; the curves √ᾱ and √(1−ᾱ) cross at t = {cross}."
        )
        if broken:
            chapter.prose(
                f"**Broken on purpose**, step by step: {step_formula(keep, spread)}. Pictures are "
                f"shown cut off at −1 and 1, the histogram at ±{reach}."
            )


SPREAD_CHART = "spread of the pixels (std)"
DISTANCE_CHART = "distance to pure noise"


def broken_parts(keep: str, spread: str) -> list[str]:
    """What is wrong with the chosen factors, in a few words each; empty when all is right."""
    wrong = []
    if keep != DEFAULTS["keep"]:
        wrong.append("broken: × 1 instead of × √(1−β)")
    if spread != DEFAULTS["spread"]:
        wrong.append("broken: noise × β instead of × √β")
    return wrong


def step_formula(keep: str, spread: str) -> str:
    """One step with the chosen factors as TeX, the wrong ones in the colour of losses."""
    factor = r"\sqrt{1-\beta_t}" if keep == DEFAULTS["keep"] else textcolor("bits", "1")
    noise = r"\sqrt{\beta_t}" if spread == DEFAULTS["spread"] else textcolor("bits", r"\beta_t")
    return rf"$x_t = {factor}\;x_{{t-1}} + {noise}\;\epsilon_t$"


def index_table(name: str, T: int, rows: int = 3) -> str:
    """Which place of an array holds which step, as Markdown."""
    alpha_bar = SCHEDULES[name](T).alpha_bar
    lines = ["| t | ᾱ here | in most code |", "|---|---|---|", "| 0 | 1 | (not stored) |"]
    for t in (*range(1, rows), T):
        lines.append(f"| {t} | {float(alpha_bar[t]):.6f} | `alphas_cumprod[{t - 1}]` |")
    return "\n".join(lines)


def page() -> None:
    """Lay out the page."""
    linear = SCHEDULES["linear"](1000)
    last = float(linear.alpha_bar[1000])
    faded = float(forward_variance(linear, 0.4, spread="beta")[-1].sqrt())
    crosses, later = (
        int((schedule.alpha_bar < 0.5).nonzero()[0])
        for schedule in (linear, SCHEDULES["cosine"](1000))
    )
    digit = load.gallery_digit(DEFAULTS["digit"], DEFAULTS["variant"] - 1) / 127.5 - 1
    grown = float(forward_variance(linear, float(digit.std()) ** 2, keep="1")[-1].sqrt())
    whole, half = (drowned_from(linear, share * float(digit.std())) for share in (1, 0.5))
    chapter.header("Forward process", defaults=DEFAULTS)
    chapter.prose(
        "A picture x₀ gets a thousand small doses of noise. t counts them, β is the variance of "
        "one, ᾱ the share of the picture's variance that is left. Everything else in diffusion "
        "undoes this."
    )
    chapter.question(
        "One picture gets a thousand small doses of noise. Another gets a single dose, as large as "
        "what is left of all thousand. Which ends up noisier?",
        {
            "The thousand small doses": "Each dose is faded by all the steps after it, like the "
            "picture itself. What is left of all doses has the variance 1−ᾱ, and the one big dose "
            "has exactly that. The two pictures are two draws from one distribution, so whatever "
            "is measured agrees up to chance: in the chart of the spread below both lie about the "
            "dotted line, now the one above and now the other.",
            "The one big dose": "It has exactly the variance that is left of all the small doses, "
            "1−ᾱ. Compare the two curves of the spread below: they agree up to chance.",
            "Neither": "Variances of independent doses add up, and a sum of normal numbers is "
            "normal again. So a thousand steps can be replaced by one jump with the variance that "
            "is left of all of them, and training needs only the jump.",
        },
        answer="Neither",
    )
    chapter.look()
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    chapter.prose(
        "With most schedules β grows with t; ᾱ is the product of all 1−β so far. ε is standard "
        "noise, independent for every pixel; N(m, v) is the bell curve with mean m and variance v."
    )
    formula_and_code(forward_chain, GaussianDiffusion.q_step, GaussianDiffusion.q_sample)

    chapter.why(
        [
            Confusion(
                "Is β the variance of the noise, or its standard deviation?",
                "It is the variance. The noise is multiplied by √β. Take β itself, and the doses "
                "are far too small. With the linear schedule in 1000 steps the picture then fades "
                "to gray instead of drowning in noise, and the spread of its pixels ends near "
                f"{faded:.2f} instead of 1. Where the last β are near 1, as with the cosine "
                "schedule, it drowns all the same: there √β and β hardly differ.",
                {"spread": "beta"},
                "Step by step, the picture fades to gray and its spread falls. The one jump is as "
                "it should be.",
                threads=[
                    "huggingface/diffusion-models-class#18",
                    "huggingface/diffusion-models-class#63",
                    "Ryota-Kawamura/How-Diffusion-Models-Work#1",
                ],
            ),
            Confusion(
                "Why is the picture multiplied by √(1−β), and not left as it is?",
                "So that the end is known: N(0, 1), whatever the picture was, and sampling can "
                "start there. With it variance 1 stays 1, (1−β)·1 + β = 1, and x₀ fades. Without "
                "it every step adds variance and none is taken away: here the spread grows to "
                f"about {grown:.1f}, and x₀ stays in it at full strength. (Models called variance "
                "exploding do so on purpose. They make the noise so large that x₀ is nothing "
                "beside it, and start from noise of that size.)",
                {"keep": "1", "schedule": "linear"},
                f"Step by step, the spread grows to about {grown:.1f}, and the distance to pure "
                "noise does not go to 0. Of the one jump all is as it should be.",
                threads=["https://stats.stackexchange.com/q/600127", "udlbook/udlbook#212"],
            ),
            Confusion(
                "Why can we jump straight to any t?",
                "Each step is linear, and a sum of independent "
                + term("normal", "distributed along the bell curve N(m, v)")
                + " numbers is normal. All the factors √(1−β) multiply to √ᾱ. Each dose is faded "
                "by the factors after it. Two leave (1−β₂)β₁ + β₂ = 1 − (1−β₁)(1−β₂), a third puts "
                "one more factor there, and so on: all leave the variance 1−ᾱ.",
                {"T": 10, "schedule": "cosine"},
                "Ten big steps in the first picture, one jump in the second: at every t both "
                "spreads lie near the formula's.",
            ),
            Confusion(
                "Training has no loop over t. Where is the chain?",
                "In the sampling. The loss is a sum over t, and each of its terms needs one "
                "picture xₜ, which the jump draws at once. So a training step draws one t at "
                "random, and one noise: T times that term is the whole sum on average (see the "
                "estimator of the page [ELBO](elbo?eb_view=Estimator)). Going back there is no "
                "jump: xₜ₋₁ is made of the network’s answer at t, so the steps come one after the "
                "other. And T is not the number of training steps; each of these draws its own t.",
                {},
                "The second picture is all that training makes: one t, one jump. The chain beside "
                "it took every step, and its spread is the same up to chance.",
                threads=[
                    "zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#39",
                    "tencent-ailab/MDM#10",
                    "jasonkyuyim/se3_diffusion#5",
                    "showlab/DatasetDM#4",
                    "lucidrains/denoising-diffusion-pytorch#347",
                ],
            ),
            Confusion(
                "Must pictures be scaled to −1 … 1? Mine are 0 … 1",
                "The schedule does not look at the picture: ᾱ counts the signal in units of x₀. "
                "Pixels from 0 to 1 have half the spread, so a quarter of the variance, and at "
                f"every t their own log-SNR is log 4 = {np.log(4):.2f} nats lower. The picture "
                f"drowns sooner: this 3 from t = {half} on instead of {whole}. Nothing in the "
                "tables shows it, because ᾱ/(1−ᾱ) is the same. And 0, around which the noise is "
                "centred, then means black instead of mid-gray, and x̂₀ would have to be clipped to "
                "0 … 1. It can work with a schedule made for it; with a published network it is a "
                "mistake.",
                {"pixels": HALF, "schedule": "linear"},
                "Black is now 0, which a picture from −1 to 1 shows as gray. The chart of the "
                "spread starts at half its height, and the sentence below says where the digit "
                "drowns.",
                threads=[
                    "lucidrains/denoising-diffusion-pytorch#307",
                    "lucidrains/denoising-diffusion-pytorch#20",
                    "facebookresearch/RCDM#3",
                    "sangyun884/blur-diffusion#4",
                ],
            ),
            Confusion(
                "Does time start at 0 or at 1?",
                "Here t = 0 is the clean picture, so ᾱ₀ = 1 and the first noisy picture is x₁, as "
                "in Ho and others’ paper. (In that on variational diffusion models z₀ is already "
                "noisy.) Most code keeps arrays without the clean picture, so its index is "
                "one less. For the linear schedule with T = 1000:\n\n"
                + index_table("linear", 1000)
                + "\n\nOne place off, and every coefficient belongs to the wrong step.",
                threads=[
                    "CompVis/latent-diffusion#136",
                    "huggingface/diffusers#5921",
                    "LinghaoChan/HumanMAC#19",
                ],
            ),
            Confusion(
                "Is the last picture pure noise?",
                f"Nearly. With the linear schedule ᾱ at T = 1000 is {last:.1e}: a signal rate of "
                f"{last**0.5:.4f}. That is too little to see, and too little for the distance to "
                "the bell curve. Sampling starts from exact noise and so makes a very small "
                "mistake at its first step.",
                {"schedule": "linear"},
                "Go to the last frame: the distance is below the line that 95% of pure noise stays "
                "below, though the signal is not quite 0.",
                threads=["zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#14", "neu-vi/MARDM#3"],
            ),
        ]
    )
    chapter.try_this(
        [
            Experiment(
                "Remove the √(1−β)",
                f"the spread grows to about {grown:.1f} instead of 1, and the digit does not fade.",
                {"keep": "1"},
            ),
            Experiment(
                "Switch to the cosine schedule",
                f"the digit stays readable for longer: signal and noise cross at t = {later}. The "
                f"dashed lines, those of the linear schedule, cross at t = {crosses}.",
                {"schedule": "cosine"},
            ),
            Experiment(
                "Draw a digit of your own",
                "it drowns like any other picture; the process knows nothing of digits.",
                {"source": "draw"},
            ),
        ]
    )
    chapter.sources(
        [
            Source(
                "Ho, Jain, Abbeel 2020, Denoising Diffusion Probabilistic Models",
                "eq. 2 and 4",
                "https://arxiv.org/abs/2006.11239",
            ),
            Source(
                "Nichol, Dhariwal 2021, Improved DDPM",
                "section 3.2, eq. 17",
                "https://arxiv.org/abs/2102.09672",
            ),
            Source("Sohl-Dickstein et al. 2015", "section 2.1", "https://arxiv.org/abs/1503.03585"),
            Source(
                "Kingma et al. 2021, Variational Diffusion Models",
                "section 3.1: z₀ is noisy already",
                "https://arxiv.org/abs/2107.00630",
            ),
        ]
    )
    load.settle()


page()
