"""The app's frame: one page per question, one folder in pages/ per chapter."""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from pages.shared import warm

if st.runtime.exists():
    st.set_page_config(
        page_title="Diffusion, step by step", page_icon="pages/shared/icon.png", layout="wide"
    )
    page = st.navigation(
        {
            "Home": [
                st.Page("pages/home/start.py", title="Start", default=True),
                st.Page("pages/home/questions.py", title="Questions"),
            ],
            "Gaussian diffusion": [
                st.Page("pages/gaussian/forward_process.py", title="Forward process"),
                st.Page("pages/gaussian/noise_schedules.py", title="Noise schedules"),
                st.Page("pages/gaussian/posterior.py", title="Posterior"),
                st.Page("pages/gaussian/why_a_model.py", title="Why a model?"),
                st.Page("pages/gaussian/x0_vs_eps.py", title="x₀ or ε?"),
                st.Page("pages/gaussian/reverse_sampling.py", title="Reverse sampling"),
                st.Page("pages/gaussian/elbo.py", title="ELBO"),
                st.Page("pages/gaussian/learned_schedule.py", title="Learned schedule"),
            ],
            "Discrete diffusion": [
                st.Page("pages/discrete/transition_matrices.py", title="Transition matrices"),
                st.Page("pages/discrete/discrete_posterior.py", title="Discrete posterior"),
                st.Page("pages/discrete/reverse_rules.py", title="Two reverse rules"),
                st.Page("pages/discrete/discrete_sampling.py", title="Discrete sampling"),
            ],
            "Connections": [
                st.Page("pages/connections/entropy.py", title="Entropy and KL"),
                st.Page("pages/connections/vae.py", title="VAE"),
                st.Page("pages/connections/hierarchical_vae.py", title="From VAE to diffusion"),
                st.Page("pages/connections/score.py", title="Score"),
                st.Page("pages/connections/guidance.py", title="Guidance"),
                st.Page("pages/connections/ilvr.py", title="ILVR"),
                st.Page("pages/connections/cold_diffusion.py", title="Cold diffusion"),
                st.Page("pages/connections/latent_diffusion.py", title="Latent diffusion"),
                st.Page("pages/connections/vqvae.py", title="VQ-VAE"),
            ],
            "Reference": [
                st.Page("pages/reference/conventions.py", title="Conventions"),
                st.Page("pages/reference/notation.py", title="Notation and glossary"),
                st.Page("pages/reference/formula_detective.py", title="Formula detective"),
                st.Page("pages/reference/model_cards.py", title="Model cards"),
            ],
        },
        expanded=True,
    )
    page.run()
else:
    # `streamlit run` finds the name `app` here and imports this file once before it serves. That is
    # the moment to say that pages/ is no flat folder of pages: Streamlit would otherwise take the
    # first visitor's deep link for one of those, and greet them with "Page not found".
    PagesManager.uses_pages_directory = False
    app = st.App(__file__, lifespan=warm.lifespan)
