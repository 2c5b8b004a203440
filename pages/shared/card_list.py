"""What the cards say in one line each: where a network runs, and how good it is. Text only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pages.shared.glossary import page_titles

SAMPLES = 2000
"""Fréchet distances of this many pictures stand beside each other."""
STEPS = 25
"""Of runs without guidance, the one with so many steps is shown, or the next with more."""
USED_ON: dict[str, tuple[str, ...]] = {
    "digits-eps": ("x0_vs_eps", "reverse_sampling", "why_a_model", "elbo", "guidance", "score",
                   "ilvr", "formula_detective"),
    "digits-x0": ("x0_vs_eps", "reverse_sampling", "elbo", "cold_diffusion"),
    "digits-v": ("x0_vs_eps", "reverse_sampling", "elbo", "latent_diffusion"),
    "digits-iddpm": ("reverse_sampling", "elbo"),
    "digits-vdm": ("reverse_sampling", "elbo", "learned_schedule"),
    "binary-absorbing": ("discrete_sampling",),
    "gray-absorbing": ("discrete_sampling",),
    "gray-uniform": ("discrete_sampling",),
    "gray-gaussian": ("discrete_sampling",),
    "digits-latent": ("latent_diffusion",),
    "autoencoder": ("latent_diffusion",),
    "vq-mask-and-replace": ("discrete_sampling", "vqvae"),
    "vqvae": ("discrete_sampling", "vqvae"),
    "vae": ("vae", "latent_diffusion"),
    "vae-no-kl": ("vae",),
    "cold-blur": ("cold_diffusion",),
    "classifier": ("reverse_sampling", "discrete_sampling", "guidance", "vae", "latent_diffusion",
                   "cold_diffusion", "vqvae", "score"),
}  # fmt: skip
"""Network -> the pages on which it runs, those that are most about it first."""
_NAMES = {"eps": "ε", "x0": "x₀", "v": "v"}
_KERNELS = {"absorbing": "[MASK]", "uniform": "uniform noise", "gaussian": "neighbouring grays"}
_WORST_BOUND = '<a href="x0_vs_eps?why=so-which-target-makes-the-best-pictures">why</a>'
ABOUT = {
    "digits-x0": "Its bound is far above its neighbours’, though its pictures are not worse: the "
    "bound multiplies the error of x̂₀, most of all next to the clean picture, where the networks "
    f"that name ε or v have hardly any ({_WORST_BOUND}).",
    "cold-blur": "“Once”: asked a single time, from the degraded digit. “Naive” and “improved”: "
    "walked back by cold diffusion’s algorithm 1 and 2. “Variety in a class”: mean squared "
    "difference of two pictures of one digit, per pixel.",
}
"""Network -> what a reader of its numbers asks."""


def headline(fields: Mapping[str, Any], name: str) -> str:
    """A network's title, and by what it differs from others with that title."""
    title, recipe = fields.get("title") or name, fields.get("recipe")
    told = recipe if isinstance(recipe, dict) else {}
    says = _NAMES.get(str(told.get("parameterization"))) if told.get("task") == "denoise" else None
    if says:
        channels = told.get("network_args") or {}
        return f"{title}, predicts {says}{' and the variance' * ('out_channels' in channels)}"
    noise = _KERNELS.get(str(told.get("kernel")))
    if noise and told.get("task") == "denoise_categories":
        return f"{title}, {noise}{', black and white' * name.startswith('binary')}"
    return title if isinstance(title, str) else name


def used_on(name: str) -> str:
    """Links to the pages on which a network runs."""
    titles = page_titles()
    return ", ".join(
        f'<a href="{page}">{escape(titles[page])}</a>' for page in USED_ON.get(name, ())
    )


def plain_run(fields: Mapping[str, Any]) -> str | None:
    """The setting of the run that is compared: no guidance, `STEPS` steps or the next with more."""
    found = {}
    for metric in _metrics(fields):
        setting = str(metric.get("setting", ""))
        sampler, _, rest = setting.rpartition(" steps, ")
        steps = sampler.removeprefix("ddim, ")
        plain = rest.removeprefix("decoded, ").startswith("seed") and ", " not in (
            rest.removeprefix("decoded, ")
        )
        if metric.get("samples") == SAMPLES and steps.isdigit() and plain:
            found[int(steps) < STEPS, int(steps)] = setting
    return found[min(found)] if found else None


def value_of(fields: Mapping[str, Any], name: str, setting: str | None = None) -> float | None:
    """A card's number by its name, and by its setting where one is given."""
    for metric in _metrics(fields):
        number = metric.get("value")
        if metric.get("name") == name and setting in (None, metric.get("setting")):
            return number if isinstance(number, int | float) else None
    return None


def gray_levels(fields: Mapping[str, Any]) -> int:
    """How many gray levels the pixels have of which a network's bound is."""
    recipe = fields.get("recipe")
    told = recipe.get("network_args") if isinstance(recipe, dict) else None
    return told["K"] - bool(told.get("mask")) if isinstance(told, dict) and "K" in told else 256


def place(name: str) -> int:
    """Where a network stands in the list; what is not known comes last."""
    return list(USED_ON).index(name) if name in USED_ON else len(USED_ON)


def overview(networks: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """HTML of one table: a row for each network, with a link to its card.

    Args:
        networks: (name, fields of its card).
    """
    heads = ("Network", "Recognised", f"Fréchet, of {SAMPLES:,}", "Steps", "Bits/dim", "Runs on")
    head = "".join(f"<th scope='col'>{label}</th>" for label in heads)
    body = "".join(f"<tr>{_row(name, fields)}</tr>" for name, fields in networks)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="All networks">'
        f'<table class="metrics"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _row(name: str, fields: Mapping[str, Any]) -> str:
    setting = plain_run(fields)
    steps = setting.rpartition(" steps")[0].replace("ddim, ", "DDIM, ") if setting else ""
    recognised = value_of(fields, "recognised as its class", setting) if setting else None
    frechet = value_of(fields, "Fréchet distance", setting) if setting else None
    bound, levels = value_of(fields, "bound, bits per dimension"), gray_levels(fields)
    title = f'<a href="#{escape(name)}">{escape(headline(fields, name))}</a>'
    cells = (
        f"{title}<small>{escape(name)}</small>",
        "" if recognised is None else f"{recognised:.1%}",
        "" if frechet is None else f"{frechet:.1f}",
        escape(steps),
        "" if bound is None else f"{bound:.3f}<small>{levels} grays</small>",
        used_on(name),
    )
    return "".join(f"<td>{cell}</td>" for cell in cells)


def _metrics(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = fields.get("metrics")
    return [m for m in given if isinstance(m, dict)] if isinstance(given, list) else []
