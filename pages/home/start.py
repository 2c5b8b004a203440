"""Start: what this is, sixteen digits out of noise, questions, and the way on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.shared import chapter, map_pictures
from pages.shared.asked import address, questions
from pages.shared.contents import CHAPTERS, MAP

if TYPE_CHECKING:
    from pages.shared.player import Frames

STEPS = 50
SEED = 1030
"""Of the first run. It and the next three give digits that are all taken for their class."""
FIRST = ("forward_process", "posterior", "why_a_model", "reverse_sampling")
"""Where somebody new begins."""
FAMOUS = {
    "forward_process": "Why can we jump straight to any t?",
    "reverse_sampling": "The network names all of the noise. Why not subtract it at once?",
    "why_a_model": "The posterior has a formula. Why train anything?",
    "cold_diffusion": "What does noise give that blur does not?",
    "x0_vs_eps": "So which target makes the best pictures?",
    "vae": "Why are a VAE’s pictures blurred?",
    "guidance": "Why do guided pictures look alike?",
    "noise_schedules": "I sample with 50 of 1000 steps. Can I use betas[t] of those 50?",
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
        lambda shots, first: plain(bench.draw(shots, first, times, [""]), times[first:]),
        key="start_player",
        scale=2,
        autoplay=True,
        report_frame=False,
        ends=("noise", "picture"),
        label="Sampling, from noise to picture",
    )


def plain(frames: Frames, times: Sequence[int]) -> Frames:
    """The frames without curves, in words for a newcomer.

    Args:
        frames: what other pages show of a run.
        times: the noise level t of each frame, and of those after it.
    """
    captions = [
        caption.replace(f"t = {t} ", f"noise level t = {t} of 1000 ") if t else caption
        for t, caption in zip(times, frames.captions, strict=False)
    ]
    return frames._replace(captions=captions, curves=())


def beginning() -> None:
    """The way for somebody new, and what the picture showed."""
    names = {page: name for pages in MAP.values() for page, (name, _) in pages.items()}
    way = " → ".join(f'<a href="{page}" target="_self">{names[page]}</a>' for page in FIRST)
    chapter.prose(
        f"**New here?** {way}.\n\n"
        "Noise alone holds no digit: the early guess x̂₀ is a blurred average, and it changes. So "
        "only a bit of the guessed noise ε̂ goes, and the network looks again. (None is added "
        "here: this sampler is DDIM.)"
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
    "and again, beginning with nothing but noise, and there is a picture. Watch a small network, "
    "told which digits to draw, do it; arrow keys step back."
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
