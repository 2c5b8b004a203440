"""Untrained networks of every kind that the page about discrete sampling can show, and small."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import nn

from diffusion_core.checkpoints import Card, save_network
from diffusion_core.recipes import RECIPES, Recipe
from diffusion_core.vqvae import VQVAE
from pages.shared import discrete_networks

UNET = {"width": 8, "outer": 1, "inner": 1, "attention": 1, "condition": 16}
CODES = 6


def _pixels(name: str, kernel: str, network: dict[str, object], **arguments: object) -> Recipe:
    K = network["K"]
    return Recipe(
        name=name, task="denoise_categories", network="categorical_unet",
        network_args={**network, **UNET}, T=60, kernel=kernel, kernel_args={"K": K, **arguments},
        label_dropout=1.0 if "mask" in network else 0.1,
    )  # fmt: skip


STANDINS = {
    recipe.name: recipe
    for recipe in (
        _pixels(
            "tiny-masking", "absorbing", {"K": 3, "mask": True, "keep": True}, betas="1/(T-t+1)"
        ),
        _pixels("tiny-uniform", "uniform", {"K": 8}, betas="cosine"),
        _pixels("tiny-gray", "absorbing", {"K": 8}, betas="1/(T-t+1)", state=4),
        _pixels("tiny-gaussian", "gaussian", {"K": 8}, betas="linear"),
        Recipe(
            name="tiny-tokens", task="denoise_tokens", network="token_transformer",
            network_args={"K": CODES + 1, "width": 8, "depth": 1, "heads": 2, "condition": 8},
            T=40, kernel="mask_and_replace",
            kernel_args={"K": CODES + 1, "T": 40, "masked": [0.000009, 0.9]}, label_dropout=0.1,
        ),
    )
}  # fmt: skip


def install(monkeypatch: pytest.MonkeyPatch, root: Path, names: list[str]) -> None:
    """Let the page find these stand-ins under `root`, and nothing else."""
    torch.manual_seed(0)
    for name in names:
        monkeypatch.setitem(RECIPES, name, STANDINS[name])
        module = STANDINS[name].build()
        _stir(module)
        fields = {"name": name, "status": "partial", "recipe": asdict(STANDINS[name])}
        save_network(module, fields, root / name)
    vqvae = VQVAE(codes=CODES, features=4, width=8).eval()
    monkeypatch.setattr(discrete_networks, "ROOT", root)
    monkeypatch.setattr(discrete_networks, "load_vqvae", lambda: (vqvae, Card("vqvae", root, {})))
    discrete_networks.network.clear()


def _stir(module: nn.Module) -> None:
    """Untrained networks often end in zeros; a belief that says something is a better stand-in."""
    for value in module.parameters():
        nn.init.normal_(value, std=0.15)
