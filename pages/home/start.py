"""Start: what this is, sixteen digits out of noise, and the way on."""

from __future__ import annotations

import streamlit as st

from pages.shared import chapter

MAP: dict[str, list[tuple[str, str, str | None]]] = {
    "Gaussian diffusion": [
        ("Forward process", "How does a picture become noise, and why can we jump to any t?",
         "pages/gaussian/forward_process.py"),
        ("Noise schedules", "What does a schedule decide?", "pages/gaussian/noise_schedules.py"),
        ("Posterior", "What is $q(x_{t-1}|x_t,x_0)$, exactly?", "pages/gaussian/posterior.py"),
        ("Why a model?", "If the posterior is closed-form, what is the network for?", None),
        ("x₀ or ε?", "What should the network predict, and does it matter?", None),
        ("Reverse sampling", "What happens on the way back?",
         "pages/gaussian/reverse_sampling.py"),
        ("ELBO", "Where do the bits go?", None),
        ("Learned schedule", "Can the schedule itself be trained?", None),
    ],
    "Discrete diffusion": [
        ("Transition matrices", "What is noise for categories?", None),
        ("Discrete posterior", "How do you invert it?", None),
        ("Two reverse rules", "How is $p(x_{t-1}|x_t)$ built from $p(x_0|x_t)$?", None),
        ("Discrete sampling", "What does a categorical reverse process look like?", None),
    ],
    "Reference": [
        ("Model cards", "Which networks run here, and how good are they?",
         "pages/reference/model_cards.py"),
        ("Formula detective", "Which printed formulas are wrong?", None),
    ],
}  # fmt: skip
STEPS = 50


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
    live = session_runs().open(
        repr((card.fields["sha256"], start, rules)),
        lambda: bench.run(denoiser, start, rules),
        len(times),
    )
    follow(
        live,
        lambda shots, first: bench.draw(shots, first, times, [""])._replace(curves=()),
        key="start_player",
        scale=2,
        autoplay=seed > 0,
        report_frame=False,
        ends=("noise", "picture"),
        label="Sampling, from noise to picture",
    )


def chapters() -> None:
    """The map: the pages that exist as cards, the others folded away."""
    for title, pages in MAP.items():
        there = [page for page in pages if page[2]]
        if there:
            st.subheader(title, anchor=False)
        for row in range(0, len(there), 3):
            for column, (name, question, path) in zip(
                st.columns(3), there[row : row + 3], strict=False
            ):
                with column.container(border=True, height="stretch"):
                    st.page_link(path or "", label=f"**{name}**", icon=":material/arrow_forward:")
                    st.markdown(question)
    with st.expander("In the making"):
        for title, pages in MAP.items():
            missing = [f"- {name}: {question}" for name, question, path in pages if not path]
            if missing:
                st.markdown("\n".join([f"**{title}**", "", *missing]))


chapter.header("Diffusion, step by step")
chapter.prose(
    "Play with the real mathematics of diffusion models, and with small networks trained on real "
    "handwriting: every picture and every curve on these pages is computed while you watch. "
    "Below, a network turns noise into digits. Press the button, then step back with the arrow "
    "keys: $x_t$ is the picture so far, x̂₀ the clean digit the network sees in it, ε̂ the noise. "
    "It is told which digits to draw: 0 to 9, and 0 to 5 again."
)
exhibit()
chapters()
chapter.report_link()
