"""What must be done to a hierarchical VAE so that it becomes a diffusion model?"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from diffusion_core.hierarchical import (
    FIRST_LOG_SNR,
    LAST_LOG_SNR,
    VARIANTS,
    Hierarchy,
    consistency_terms,
    kl_terms,
    level_information,
    level_log_ratio,
    level_schedule,
    level_term,
    noisy_entropy,
    one_level,
    prior_mismatch,
)
from diffusion_core.hierarchical_training import (
    estimator_scatter,
    learn_hierarchy,
    training_loss,
)
from pages.shared import chapter, hierarchy_views, hierarchy_world, load
from pages.shared.chapter import Confusion, Experiment, Source, term
from pages.shared.explain import formula_and_code
from pages.shared.hierarchy_facts import LEARNT, MANY, Facts, facts
from pages.shared.hierarchy_world import (
    CALLS,
    DEPTHS,
    DIMS,
    DRAWN,
    LEVELS,
    LOOKS,
    PARTS,
    RACE,
    STEPS,
)
from pages.shared.player import follow, session_runs
from pages.shared.score_world import DATA

VIEWS = {"ladder": "Four models", "one": "One model", "depth": "How deep"}
KINDS = {name: told.name for name, told in VARIANTS.items()}
DEFAULTS = {
    "hvview": "ladder",
    "hvdata": "two",
    "hvT": 4,
    "hvkind": "free",
    "hvdim": 1,
    "hvseed": 0,
}


@st.fragment
def exhibit() -> None:
    """Three views of the way from one to the other."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        view = st.segmented_control(
            "Hierarchies", list(VIEWS), key="hvview", default="ladder", required=True,
            bind="query-params", format_func=VIEWS.get, width="content",
        )  # fmt: skip
        data = st.segmented_control(
            "Data", list(DATA), key="hvdata", default="two", required=True,
            bind="query-params", format_func=DATA.get, width="content",
        )  # fmt: skip
        third = st.container(horizontal=True, width="content")
    stage = st.container(key="live_stage")
    kind, T, latent = "free", 4, 1
    if view != "depth":
        T = third.select_slider(
            "Levels T", LEVELS, 4, key="hvT", bind="query-params", width=110,
        )  # fmt: skip
    if view == "one":
        kind = third.selectbox(
            "Model", list(KINDS), key="hvkind", bind="query-params", format_func=KINDS.get,
            width=200,
        )  # fmt: skip
    with st.expander("More: other noise" if view == "depth" else "More: latents, other noise"):
        left, right = st.columns(2, gap="large")
        seed = left.number_input("Seed", 0, 9999, 0, key="hvseed", bind="query-params")
        if view != "depth":
            latent = right.select_slider(
                "Numbers of a latent, where it is free", DIMS, 1, key="hvdim", bind="query-params"
            )
    if view == "ladder":
        four_models(data, T, latent, seed, stage)
    elif view == "one":
        one_model(data, kind, T, latent, seed, stage)
    else:
        how_deep(data, seed, stage)


def four_models(data: str, T: int, latent: int, seed: int, stage: DeltaGenerator) -> None:
    """The four side by side: they learn, then walk down."""
    live = session_runs().open(
        repr(("race", data, T, latent, seed)),
        lambda: hierarchy_world.race(data, T, latent, seed),
        hierarchy_world.frames_of_a_race(T),
    )
    with stage:
        follow(
            live,
            lambda rungs, start: hierarchy_views.race_frames(rungs, data, T, latent),
            key="hv_race", scale=19, autoplay=True, hold=True, report_frame=False, fps=4,
            charts_last=True, beside=True, row_labels=("Encoder learnt", "Encoder fixed"),
            rest=RACE, ends=("not trained", "x"),
            ticks=[(RACE + 1, "trained; walk down")],
            label="Four hierarchies learn, then walk down",
        )  # fmt: skip
        learnt = [rung for rung in live.frames() if rung.level is None]
        calls = [hierarchy_world.calls_per_step(kind, T) for kind in VARIANTS]
        done = learnt[-1].steps
        st.markdown(
            f"**After {done} of {STEPS} gradient steps**, in nats per point (the best possible: "
            f"{hierarchy_world.best_possible(data):.2f})\n\n"
            + hierarchy_views.race_table(learnt[-1], data, calls)
        )
        st.caption(
            "Trained as you look, each from nothing; all four have a decoder of the same size and "
            f"see {STEPS} batches of 256 points; a learnt encoder is as large again. "
            f"{hierarchy_views.SIZES[latent]} {DRAWN} drawn points; near a group is within three "
            "of its widths. Green while they learn: the density of the data. Green on the walk: "
            "where the encoder puts the data. Prior matching of a learnt encoder tells about the "
            "level below, and is no fault. "
            "Network calls: for one point of one training step, counted."
            + (hierarchy_views.HEIGHT if latent == 1 else "")
        )


def one_model(data: str, kind: str, T: int, latent: int, seed: int, stage: DeltaGenerator) -> None:
    """One model with all its levels, while it learns."""
    told = VARIANTS[kind]
    shown = hierarchy_views.shown_levels(T)
    numbers = 2 if told.same else latent
    live = session_runs().open(
        repr(("hierarchy", data, kind, T, numbers, seed)),
        lambda: hierarchy_world.lessons(data, kind, T, numbers, seed),
        LOOKS + 1,
    )
    with stage:
        follow(
            live,
            lambda lessons, start: hierarchy_views.lesson_frames(lessons, data, T, numbers),
            key="hv_one", scale=17 if T > 2 else 21, autoplay=True, hold=True, report_frame=False,
            charts_last=True, rest=LOOKS, ends=("not trained", f"{STEPS} steps"),
            label="A hierarchy learns",
        )  # fmt: skip
        last = live.frames()[-1]
        st.markdown(
            f"**After {last.steps} of {STEPS} gradient steps**\n\n"
            + hierarchy_views.lesson_table(last, told.fixed)
        )
        st.caption(
            (f"Drawn are {', '.join(map(hierarchy_views.z, shown))}. " if len(shown) <= T else "")
            + "Green: where the encoder puts the data at each level; at x, the data. Points: what "
            "the model draws on its way down from N(0, I). "
            + (
                "The encoder has nothing to learn; its shades stay as they are. "
                if told.fixed
                else "Encoder and decoder learn together. "
            )
            + "A log-ratio, log q(zₜ|zₜ₋₁)/p(zₜ|zₜ₊₁), may be negative; a KL may not. “Tells” is "
            "mutual information, measured on 512 points."
            + (hierarchy_views.HEIGHT if numbers == 1 else "")
        )


def how_deep(data: str, seed: int, stage: DeltaGenerator) -> None:
    """Models of growing depth for the same number of network calls."""
    live = session_runs().open(
        repr(("depths", data, seed)),
        lambda: hierarchy_world.depths(data, seed),
        len(DEPTHS) * PARTS + 1,
    )
    with stage:
        follow(
            live,
            lambda depths, start: hierarchy_views.depth_frames(depths, data),
            key="hv_depth", scale=15, autoplay=True, hold=True, report_frame=False, fps=5,
            charts_last=True, rest=len(DEPTHS) * PARTS, ends=("nothing", ""),
            ticks=hierarchy_views.depth_ticks(), label="Deeper and deeper",
        )  # fmt: skip
        st.caption(
            f"The same {CALLS} network calls for each of 256 points, in batches, and so not the "
            "same steps: a learnt encoder needs 2T calls for one, the DDPM one. At T = "
            f"{DEPTHS[-1]} that is {CALLS // (2 * DEPTHS[-1])} gradient steps against {CALLS}; "
            f"with {CALLS} steps, too, the learnt encoder comes to {LEARNT.patient:.2f} (two "
            f"groups), the DDPM to {LEARNT.ddpm[-1]:.2f}. A chart’s line is flat until the next "
            "depth is done. Last charts: how far one draw of a cost of one x is from its "
            "average, for the DDPM; “one for all” is T times one level."
        )


def confusions(told: Facts) -> list[Confusion]:
    """What people ask here, each with a setting that shows the answer."""
    free, same, short, ddpm = LEARNT.bounds
    deep = dict(zip(DEPTHS, zip(LEARNT.same, LEARNT.ddpm, strict=True), strict=True))
    level_walk, level_ratio, level_kl, walk, jumps, one = LEARNT.scatter
    deepest, calls_learnt = DEPTHS[-1], hierarchy_world.calls_per_step("same", 4)
    return [
        Confusion(
            "Is a diffusion model a VAE?",
            "Yes, a hierarchical one: noisy pictures are its latents, adding noise is its encoder, "
            "the network its decoder, and the same bound can train it, as it does here. (Ho and "
            "others left out its weights, one for each level: see the page "
            "[ELBO](elbo?eb_view=Weights).) With one level “Free” "
            f"is the VAE of the textbook ({LEARNT.single[0]:.2f} nats). With two levels or more "
            "it is a "
            + term("hierarchical VAE")
            + "; three restrictions later it is a DDPM. Two things are unlike the textbook then: "
            "the encoder learns nothing, and the top latent knows nothing of x.",
            {"hvview": "one", "hvT": 1, "hvkind": "free"},
            "Two planes, z₁ and x: one encoder, one decoder. Below, the bound has two parts.",
        ),
        Confusion(
            "What is learnt in the encoder of a diffusion model?",
            "Nothing. q(zₜ|zₜ₋₁) has no weights: it shrinks z and adds noise, by numbers that were "
            "chosen beforehand. All training goes into the decoder. (VDM learns one thing there, "
            "the schedule: see [Learned schedule](learned_schedule).)",
            {"hvview": "one", "hvkind": "ddpm"},
            "Go back to the start: the green shades are the same before and after training, only "
            "the points move. With the model “Free” both do.",
        ),
        Confusion(
            "Then the restrictions make the model worse?",
            "With as many levels, mostly. What each costs and gives, with four levels:\n\n"
            "1. **Every z as large as x.** Costs: nothing is made smaller on the way. Gives: z can "
            f"be x with noise. Bound from {free:.2f} to {same:.2f} nats; “Free” had one number, "
            "and two groups need no more.\n"
            "2. **The encoder only adds noise.** Costs: it can’t bend the data so that few "
            f"Gaussian steps down are enough, and now they may not end in N(0, I): {same:.2f} to "
            f"{short:.2f}, {told.mismatch:.2f} of it lost at the top. Gives: a training step "
            "calls the network once, at any depth; with a learnt encoder "
            f"{calls_learnt:g} times at four levels. (It is a noisier estimate: T times one of "
            f"{deepest} levels scatters by {one:.2f} nats, all KLs together by {jumps:.2f}.)\n"
            "3. **It ends in N(0, I).** Costs: $z_T$ knows nothing of x, and the whole way is to "
            "be made in the same few steps. Gives: the model begins where the data end, and "
            f"next to nothing is lost there: {short:.2f} to {ddpm:.2f}.\n\n"
            f"The best possible is {told.best:.2f}. More levels make the steps of the DDPM "
            f"shorter, with eight it comes to {LEARNT.eight[3]:.2f}; so does a schedule that goes "
            f"less far: from log-SNR 2 to −3, instead of {FIRST_LOG_SNR:g} to "
            f"−{-LAST_LOG_SNR:g}, four levels come to {LEARNT.gentle:.2f}.",
            {"hvT": 8},
            f"The first chart below: with eight levels the purple line ends at "
            f"{LEARNT.eight[3]:.2f}, with four at {ddpm:.2f}; the learnt encoders had little left "
            "to gain.",
        ),
        Confusion(
            "Why does depth cost a diffusion model so little?",
            "Because a training step need not walk. Noise on noise is noise, so q(zₜ|x) has a "
            "formula, and any level is one jump from x: draw one level, ask the network once. With "
            "a learnt encoder q(zₜ|x) has none; zₜ is reached through all levels below it, and "
            "a step takes 2T network calls. For the same calls the learnt encoder does "
            f"better up to four levels ({deep[4][0]:.2f} against {deep[4][1]:.2f}); at 32 they "
            f"last for {CALLS // 64} steps only, and it is at {deep[32][0]:.2f}, the DDPM at "
            f"{deep[32][1]:.2f}. That is a budget, not a limit: with {CALLS} steps at 32 levels, "
            f"{2 * deepest} times the calls, the learnt encoder comes to {LEARNT.patient:.2f}. And "
            "Child trained VAEs with dozens of learnt levels; there the levels are parts of one "
            "large network, and a step goes through it once.",
            {"hvview": "depth"},
            hierarchy_views.WAIT
            + "First chart: the red line is lowest with one level and highest with 32, the "
            "purple one falls all the way. Second: what a step costs.",
        ),
        Confusion(
            "Why must z have the data’s dimension?",
            "Because it is the data, with noise: the mean of zₜ is a multiple of x. That is a "
            "choice: one network can serve all levels. The jump from x needs only steps that are "
            "linear and Gaussian; they might leave out some directions on the way, as in Jing and "
            "others’ subspace diffusion. Nor are more numbers always better. For two groups one "
            f"number is enough ({free:.2f} nats, two: {same:.2f}); for eight groups in a ring it "
            f"is not ({LEARNT.ring[0]:.2f} against {LEARNT.ring[1]:.2f}). Latent diffusion gives "
            "the freedom back: an encoder makes x smaller, then comes a diffusion of its output.",
            {"hvview": "one", "hvdata": "ring", "hvkind": "free", "hvdim": 1},
            "Eight groups in a circle must be laid along a line: many points are drawn between "
            "the groups.",
        ),
        Confusion(
            "What if ᾱ at the top is not 0?",
            "Then the model begins where the data do not end. The third model "
            f"keeps ᾱ = {told.kept:.2f}. Its prior term is {told.prior:.2f} nats; of those, "
            f"{told.mismatch:.2f} are the divergence of all data at the top level from N(0, I), "
            "and no decoder can win them back. The rest is what z at the top tells about x, which "
            f"the decoder can use. The loss shows in what is drawn: of {MANY:,} points of the "
            f"third model {LEARNT.left[2]:.0%} end at the lower left, where 20% belong. But that "
            f"share alone does not tell: the DDPM, whose divergence at the top is {told.ends:.4f}, "
            f"has {LEARNT.left[3]:.0%}, too few. Depth tells them apart: with {DEPTHS[-1]} levels "
            f"the DDPM has {LEARNT.deep_left[1]:.0%}, the third model still "
            f"{LEARNT.deep_left[0]:.0%}. (Four times the training changes little: "
            f"{LEARNT.longer[1]:.0%} and {LEARNT.longer[0]:.0%}.) In a learnt hierarchy a "
            "large prior term is no fault: there $z_T$ tells about the level below, and "
            "the data as a whole may still fill N(0, I).",
            {"hvT": 4},
            "Drag the timeline to “walk down”: in the third picture the points of N(0, I) "
            "lie where the green shade is not, in the fourth they cover it.",
        ),
        Confusion(
            "Which terms of the bound vanish?",
            "In a DDPM the one at the top, nearly. $L_T$, prior matching, is a "
            "constant: no weight is in it. It is small if the noise ends near N(0, I): "
            f"{told.top:.4f} nats in the DDPM, {told.prior:.2f} in the model that ends short. "
            "Lₜ₋₁, the levels between, are what is trained "
            f"({LEARNT.parts[1]:.2f} nats in all, four levels). Their sum can’t go to 0: "
            "q(zₜ₋₁|zₜ, x) knows x, p(zₜ₋₁|zₜ) does not. L₀, the reconstruction −log p(x|z₁), "
            f"stays and is trained, too ({hierarchy_views.nats(LEARNT.parts[0])}: a density may be "
            "above 1). It is no KL, for q(x|z₁, x) is a point. With a learnt encoder all terms "
            "are trained, also the one at the top.",
            {"hvview": "one", "hvkind": "ddpm"},
            "Scroll to the table under the charts: prior matching 0.00, three KLs, a "
            "reconstruction.",
        ),
        Confusion(
            "Is the bound tight?",
            "What is above the best possible is two things: how far the model’s density is from "
            "the data’s, and the divergence of the encoder’s q(z|x) from the model’s own "
            "posterior p(z|x), at all levels together. If both agree, there is no gap: for data "
            "that are one Gaussian, noise, and the exact way back, a test of this code finds "
            "none. Here a long step is the trouble: the true q(zₜ₋₁|zₜ) leads back to two groups, "
            "and a Gaussian p(zₜ₋₁|zₜ) can’t. Shorter steps need less: after 800 gradient "
            f"steps the DDPM is {deep[4][1] - told.best:.2f} nats above at four levels, "
            f"{deep[8][1] - told.best:.2f} at eight and {deep[32][1] - told.best:.2f} at 32.",
            {"hvview": "depth"},
            hierarchy_views.WAIT
            + "First chart: purple comes down towards the dashed line as T grows.",
        ),
        Confusion(
            "Log-ratios or KLs: where do the two forms of the bound come from?",
            "From the direction in which q is read. The hierarchy compares q(zₜ|zₜ₋₁), upwards, "
            "with p(zₜ|zₜ₊₁), downwards: log-ratios on a walk. Bayes’ rule turns q around, "
            "q(zₜ₋₁|zₜ, x), and with a fixed encoder that has a formula. For a drawn zₜ₋₁, "
            "log q(zₜ₋₁|zₜ, x)/p(zₜ₋₁|zₜ) is another log-ratio. Its average is the KL, which for "
            f"two Gaussians needs no draw: of one level ({deepest} in all) the log-ratio scatters "
            f"by {level_ratio:.2f} nats, the KL by {level_kl:.2f}. The walk’s log-ratios "
            f"({level_walk:.2f}) are other terms: on average that of z₁ lies {told.shift:.2f} "
            "nats below its KL, and the walk’s prior matching as much above; only the sums agree. "
            f"And the sum gains next to nothing by KLs: a walk scatters by {walk:.2f}, the KLs by "
            f"{jumps:.2f}, because the log-ratios of one walk share their noise, and most of it "
            f"cancels; without that it would be {level_walk * (deepest - 1) ** 0.5:.1f}. But who "
            "trains on one level at a time sees no sum. Often the walk’s log-ratio is printed as "
            "a KL, which it is not: see the page [ELBO](elbo?eb_view=Two+decompositions), and the "
            "[Formula detective](formula_detective?case=Consistency+form).",
            {"hvview": "depth"},
            hierarchy_views.WAIT + "The last two charts: one level, where the purple lines are a "
            "log-ratio and its KL, and all levels together.",
        ),
        Confusion(
            "Don’t the upper levels of a hierarchy go unused?",
            "They often do, it is called "
            + term("posterior collapse")
            + ": Sønderby and others found it in VAEs of five levels. In this small one it does "
            "not happen: of eight levels each tells at least "
            f"{LEARNT.told:.1f} nats about the one below. It does not help much either "
            f"({same:.2f} nats with four levels, {LEARNT.eight[1]:.2f} with eight). In a DDPM the "
            f"top latent tells next to nothing about x on purpose, {told.top:.3f} nats at most. "
            "(What the table gives for it is about the level below.) That is the third "
            "restriction, and no fault: how much the levels below it tell is fixed, too.",
            {"hvview": "one", "hvkind": "same", "hvT": 8},
            "Scroll to the table under the charts, last column: no level is near 0. “Costs” may "
            "be: a cost is about what zₜ tells about the level below, less what the level above "
            "tells about zₜ, so near 0 where both are equal.",
            threads=["rosinality/vq-vae-2-pytorch#15"],
        ),
    ]


def page() -> None:
    """Lay out the page."""
    told = Facts(*facts())
    free, same, short, ddpm = LEARNT.bounds
    chapter.header("From VAE to diffusion", defaults=DEFAULTS)
    chapter.prose(
        "A "
        + term("hierarchical VAE")
        + " is a chain: an encoder leads from x up to z₁, z₂, … $z_T$, a decoder back down. Three "
        "restrictions make it a diffusion model: (1) every z is as large as x, (2) the encoder "
        "learns nothing: it shrinks z and adds Gaussian noise, (3) so far that $z_T$ is N(0, I); "
        "without (3) it ends short of that. Here four models are trained, with none of them, (1), "
        "(1, 2), (1, 2, 3)."
    )
    chapter.question(
        "Four levels each, decoders of one size, as many gradient steps. Which ends with the "
        "best, that is the lowest, bound?",
        {
            "The one with all three restrictions": f"It comes to {ddpm:.2f} nats, where the models "
            f"with learnt encoders have {free:.2f} and {same:.2f}. A fixed encoder can’t arrange "
            "the latents for so few steps. It pays when T grows: not by a better bound for as many "
            "training steps, but by 1 network call for each step instead of 2T.",
            "One with a learnt encoder": f"{free:.2f} and {same:.2f} nats, against {ddpm:.2f} for "
            "the DDPM. A learnt encoder arranges the latents so that few steps down "
            "are enough. The restrictions pay elsewhere: a training step takes 1 network call "
            "instead of 2T. See “How deep”.",
            "The one with (1) and (2), which ends short": f"It is the worst: {short:.2f} nats, of "
            f"which {told.mismatch:.2f} are lost at the top, because the data do not end where the "
            "model begins.",
        },
        answer="One with a learnt encoder",
    )
    chapter.look()
    exhibit()

    st.subheader("The formula, and the code that just ran", anchor="formula")
    formula_and_code(Hierarchy.up, Hierarchy.down, consistency_terms, kl_terms)
    formula_and_code(Hierarchy, under="The whole chain")
    formula_and_code(
        level_term, one_level, training_loss, learn_hierarchy, under="One level at a time"
    )
    formula_and_code(
        level_information, level_log_ratio, estimator_scatter, noisy_entropy, prior_mismatch,
        level_schedule,
        under="What is measured",
    )  # fmt: skip

    chapter.why(confusions(told))
    chapter.try_this(
        [
            Experiment(
                "One level each",
                "the two on the left are ordinary VAEs. The DDPM’s only latent is noise that "
                f"knows nothing of x, so it can but draw one wide Gaussian: {LEARNT.single[1]:.2f} "
                "nats. Its quality is all in its depth.",
                {"hvT": 1},
            ),
            Experiment(
                "A ring of eight groups instead of two",
                f"now the third model ({LEARNT.ring[2]:.2f}) beats the DDPM "
                f"({LEARNT.ring[3]:.2f}). A ring with some noise is not far from N(0, I), "
                f"{told.ring:.2f} nats instead of {told.mismatch:.2f}, and its four "
                "steps are shorter.",
                {"hvdata": "ring"},
            ),
            Experiment(
                "Watch the learnt encoder at work",
                "left to itself it comes upon something like diffusion: from level to level the "
                "groups get wider and nearer to each other, until together they fill N(0, I). "
                "Green shades and points cover each other at every level.",
                {"hvview": "one", "hvkind": "same", "hvT": 4},
            ),
        ]
    )
    chapter.sources(
        [
            Source("Luo 2022, Understanding Diffusion Models: A Unified Perspective",
                   "section “Variational Diffusion Models”: the three restrictions",
                   "https://arxiv.org/abs/2208.11970"),
            Source("Kingma & Welling 2014, Auto-Encoding Variational Bayes",
                   "section 2: one level", "https://arxiv.org/abs/1312.6114"),
            Source("Sønderby et al. 2016, Ladder Variational Autoencoders",
                   "that upper levels go unused", "https://arxiv.org/abs/1602.02282"),
            Source("Child 2021, Very Deep VAEs Generalize Autoregressive Models",
                   "learnt hierarchies of dozens of levels", "https://arxiv.org/abs/2011.10650"),
            Source("Jing et al. 2022, Subspace Diffusion Generative Models",
                   "fewer dimensions on the way", "https://arxiv.org/abs/2205.01490"),
            Source("Ho et al. 2020, Denoising Diffusion Probabilistic Models",
                   "eq. 3 to 7: the bound; section 2: one level at a time",
                   "https://arxiv.org/abs/2006.11239"),
            Source("Kingma et al. 2021, Variational Diffusion Models", "section 3",
                   "https://arxiv.org/abs/2107.00630"),
            Source("Hoffman & Johnson 2016, ELBO surgery", "what a prior term is made of",
                   "http://approximateinference.org/accepted/HoffmanJohnson2016.pdf"),
        ]
    )  # fmt: skip
    load.settle()


page()
