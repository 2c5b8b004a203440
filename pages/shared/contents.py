"""The table of contents: every page by chapter, with the question it answers."""

from __future__ import annotations

MAP: dict[str, dict[str, tuple[str, str]]] = {
    "gaussian": {
        "forward_process": (
            "Forward process", "How does a picture become noise, and why can we jump to any t?"
        ),
        "noise_schedules": ("Noise schedules", "What does a schedule decide?"),
        "posterior": ("Posterior", "What is $q(x_{t-1}|x_t,x_0),$ exactly?"),
        "why_a_model": (
            "Why a model?", "If the posterior has a formula, what is the network for?"
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


READERS = {"x0_vs_eps": "predicting noise, epsilon prediction, v-prediction, prediction type"}
"""Page -> what readers call it."""


def page_contents() -> dict[str, str]:
    """Page -> its name, its question and what readers call it, for the search."""
    return {
        page: f"{name} {question} {READERS.get(page, '')}"
        for pages in MAP.values()
        for page, (name, question) in pages.items()
    }
