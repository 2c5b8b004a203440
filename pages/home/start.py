"""Start: what this is, sixteen digits out of noise, questions, and the way on."""

from __future__ import annotations

from collections.abc import Iterator

import streamlit as st

from pages.shared import chapter, map_pictures
from pages.shared.asked import address, questions

MAP: dict[str, dict[str, tuple[str, str]]] = {
    "gaussian": {
        "forward_process": (
            "Forward process", "How does a picture become noise, and why can we jump to any t?"
        ),
        "noise_schedules": ("Noise schedules", "What does a schedule decide?"),
        "posterior": ("Posterior", "What is $q(x_{t-1}|x_t,x_0),$ exactly?"),
        "why_a_model": (
            "Why a model?", "If the posterior is closed-form, what is the network for?"
        ),
        "x0_vs_eps": ("x₀ or ε?", "What should the network predict, and does it matter?"),
        "reverse_sampling": ("Reverse sampling", "What happens on the way back?"),
        "elbo": ("ELBO", "Where do the bits go?"),
        "learned_schedule": ("Learned schedule", "Can the schedule itself be trained?"),
    },
    "discrete": {
        "transition_matrices": ("Transition matrices", "What is noise for categories?"),
        "discrete_posterior": ("Discrete posterior", "How do you invert it?"),
        "reverse_rules": (
            "Two reverse rules", "How is $p(x_{t-1}|x_t)$ built from $p(x_0|x_t)$?"
        ),
        "discrete_sampling": (
            "Discrete sampling", "What does a categorical reverse process look like?"
        ),
    },
    "connections": {
        "entropy": ("Entropy and KL", "What does a divergence cost, and whom?"),
        "vae": ("VAE", "What does the ELBO leave out of $\\log p(x)$?"),
        "hierarchical_vae": (
            "From VAE to diffusion", "What makes a hierarchical VAE a diffusion model?"
        ),
        "score": ("Score", "Which way do the data lie, and where does following it lead?"),
        "guidance": ("Guidance", "What does guidance do to the distribution that is sampled?"),
        "ilvr": ("ILVR", "Can a picture guide, and is that conditioning on it?"),
        "cold_diffusion": ("Cold diffusion", "Does diffusion need noise?"),
        "latent_diffusion": (
            "Latent diffusion", "Why diffuse in a latent, and what does it cost?"
        ),
        "vqvae": (
            "VQ-VAE", "How does a picture become 49 numbers, and who draws those?"
        ),
    },
    "reference": {
        "conventions": (
            "Conventions", "How do other papers and libraries write the same thing?"
        ),
        "notation": ("Notation and glossary", "What does each symbol and word mean?"),
        "formula_detective": ("Formula detective", "Which printed formulas are wrong?"),
        "model_cards": ("Model cards", "Which networks run here, and how good are they?"),
    },
}  # fmt: skip
"""folder of pages/ -> file -> (name, question)."""
CHAPTERS = {
    "gaussian": "Gaussian diffusion",
    "discrete": "Discrete diffusion",
    "connections": "Connections",
    "reference": "Reference",
}
STEPS = 50
FAMOUS = {
    "why_a_model": "The posterior has a formula. Why train anything?",
    "forward_process": "Is β the variance of the noise, or its standard deviation?",
    "x0_vs_eps": "Why does code go ε̂ → x̂₀ → posterior, when ε̂ → μ is one line in the paper?",
    "reverse_sampling": "Is DDIM a solver of an ODE, or a chain that is not Markov?",
    "elbo": "L_vlb, or one L_t times T?",
    "discrete_posterior": "Does the mask select classes, or positions?",
    "guidance": "Does guidance sample p(x) p(y|x)ˢ?",
    "vae": "Why are a VAE’s pictures blurred?",
}
"""page -> one of its questions, for the start page."""


def again() -> None:
    """Ask for sixteen other digits."""
    st.session_state["start_seed"] = st.session_state.get("start_seed", 0) + 1


@st.fragment
def exhibit() -> None:
    """One button, sixteen digits."""
    from pages.shared import bench, load  # here: the words above are painted before torch loads
    from pages.shared.player import follow, session_runs

    seed = st.session_state.get("start_seed", 0)
    st.button(
        "Sample sixteen digits from noise", type="primary", icon=":material/auto_awesome:",
        on_click=again, key="start_button",
    )  # fmt: skip
    denoiser, card = load.network_or_stop("digits-eps")
    start, rules = bench.Start("each", STEPS, 1000 + seed), [bench.Rule()]
    times = bench.stops(denoiser, STEPS)
    ident = repr((card.fields["sha256"], start, rules))

    def make() -> Iterator[list[bench.Shot]]:
        return bench.run(denoiser, start, rules)

    live = (
        session_runs().open(ident, make, len(times))
        if seed
        else load.common_run(ident, len(times), make)
    )
    follow(
        live,
        lambda shots, first: bench.draw(shots, first, times, [""])._replace(curves=()),
        key="start_player",
        scale=2,
        autoplay=True,
        report_frame=False,
        ends=("noise", "picture"),
        label="Sampling, from noise to picture",
    )


def famous() -> None:
    """Some of the questions that bring people here, and the way to all of them."""
    st.subheader("What puzzles you?", anchor=False)
    links = "".join(
        f'<li><a href="{address(page, asks)}">{asks}</a></li>'
        for page, asks in FAMOUS.items()
    )
    everything = f'<li><a href="questions"><b>All {len(questions())} questions</b></a></li>'
    st.html(f'<div class="asks famous"><ul>{links}{everything}</ul></div>')


def chapters() -> None:
    """The map: every page as a card."""
    st.html(map_pictures.style())
    for folder, pages in MAP.items():
        title = CHAPTERS[folder]
        cards = "\n\n".join(card(file, *told) for file, told in pages.items())
        st.subheader(title, anchor=False)
        chapter.prose(f'<nav class="cards" aria-label="{title}">\n\n{cards}\n\n</nav>')


def card(file: str, name: str, question: str) -> str:
    """Markdown: a page's name and question, all of it a link.

    Streamlit's own page links, each in a box and a column, would be seventy elements to draw before
    the first digit. copy_link.js sees to it that these don't load the app anew.
    """
    return f'<a href="{file}" target="_self">\n\n**{name}**\n\n{question}\n\n</a>'


chapter.header("Diffusion, step by step")
chapter.prose(
    "Play with the real mathematics of diffusion models, and with small networks trained on real "
    "handwriting: nearly all on these pages is computed while you watch, and what was measured "
    "beforehand says so. "
    "Below, a network turns noise into digits. Step back with the arrow keys, or have it draw "
    "sixteen others: $x_t$ is the picture so far, x̂₀ the clean digit the network sees in it, ε̂ "
    "the noise. It is told which digits to draw: 0 to 9, and 0 to 5 again."
)
exhibit()
famous()
chapters()
chapter.report_link()
