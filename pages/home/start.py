"""Start: what this is, sixteen digits out of noise, questions, and the way on."""

from __future__ import annotations

from collections.abc import Iterator

import streamlit as st

from pages.shared import chapter, map_pictures
from pages.shared.asked import address, questions
from pages.shared.contents import CHAPTERS, MAP

STEPS = 50
SEED = 1030
"""Of the first run. It and the next three give digits that are all taken for their class."""
FIRST = ("forward_process", "why_a_model", "reverse_sampling")
"""Where somebody new begins."""
FAMOUS = {
    "forward_process": "Why can we jump straight to any t?",
    "why_a_model": "The posterior has a formula. Why train anything?",
    "reverse_sampling": "Why is fresh noise added at every step?",
    "x0_vs_eps": "Why does code go ε̂ → x̂₀ → posterior, when ε̂ → μ is one line in the paper?",
    "noise_schedules": "I sample with 50 of 1000 steps. Can I use betas[t] of those 50?",
    "elbo": "L_vlb, or one L_t times T?",
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
    start, rules = bench.Start("each", STEPS, SEED + seed), [bench.Rule()]
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


def beginning() -> None:
    """What the picture showed, and the way for somebody new."""
    names = {page: name for pages in MAP.values() for page, (name, _) in pages.items()}
    way = " → ".join(f'<a href="{page}" target="_self">{names[page]}</a>' for page in FIRST)
    chapter.prose(
        "The network is told which digits to draw: 0 to 9, and 0 to 5 again. At every step it says "
        "which clean digit it sees, x̂₀, and which noise, ε̂; a bit of that noise goes. "
        f"**New here?** {way}."
    )


def famous() -> None:
    """Some of the questions that bring people here, and the way to all of them."""
    st.subheader("What puzzles you?", anchor=False)
    links = "".join(
        f'<li><a href="{address(page, asks)}">{asks}</a></li>' for page, asks in FAMOUS.items()
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
    "A diffusion model learns one thing, to take a little noise out of a picture. Do that again "
    "and again, beginning with nothing but noise, and there is a picture. Watch a small network do "
    "it, or step back with the arrow keys."
)
exhibit()
beginning()
famous()
chapters()
chapter.prose(
    "Networks here were trained on real handwriting. What you see is computed while you watch; "
    "what was measured beforehand says so."
)
chapter.report_link()
