"""Shipped networks: the card is true, the file is the one on it, and the network can do its job."""

import json
from dataclasses import asdict

import pytest
import torch

from diffusion_core.checkpoints import PRETRAINED, load, load_module
from diffusion_core.datasets import load_gallery
from diffusion_core.evaluation import judge, sample_digits
from diffusion_core.guidance import guided
from diffusion_core.hashes import file_sha256, is_sealed
from diffusion_core.networks import Classifier
from diffusion_core.recipes import RECIPES

NAMES = sorted(path.parent.name for path in PRETRAINED.glob("*/card.json"))
DENOISERS = [name for name in NAMES if RECIPES[name].task == "denoise"]
MOST_BYTES = 12_000_000


def card_of(name: str) -> dict:
    return json.loads((PRETRAINED / name / "card.json").read_text())


def test_the_networks_of_the_pages_are_here() -> None:
    assert {"classifier", "digits-eps"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_that_of_the_recipe_and_of_the_file(name: str) -> None:
    card, weights = card_of(name), PRETRAINED / name / "weights.safetensors"
    assert is_sealed(card)
    assert card["recipe"] == asdict(RECIPES[name])
    assert card["sha256"] == file_sha256(weights)
    assert card["bytes"] == weights.stat().st_size <= MOST_BYTES
    assert card["status"] == ("final" if card["steps"] == RECIPES[name].steps else "partial")
    assert card["images_seen"] == card["steps"] * RECIPES[name].batch
    for key in ("data", "licence", "machine", "wall_seconds", "seed", "limits"):
        assert key in card


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_its_sample_count(name: str) -> None:
    metrics = card_of(name)["metrics"]
    assert metrics
    for metric in metrics:
        assert metric["samples"] >= 1000
        assert metric["setting"]


@pytest.mark.parametrize("name", NAMES)
def test_the_network_has_as_many_parameters_as_its_card_says(name: str) -> None:
    module, card = load_module(name, "cpu")
    assert sum(p.numel() for p in module.parameters()) == card.fields["parameters"]


@pytest.mark.parametrize("name", [n for n in NAMES if (PRETRAINED / n / "gallery.png").exists()])
def test_the_gallery_is_the_one_on_the_card(name: str) -> None:
    assert card_of(name)["gallery_sha256"] == file_sha256(PRETRAINED / name / "gallery.png")


def test_the_gallery_of_the_pages_is_whole() -> None:
    sheet = load_gallery()
    assert len(sheet.images) == 200
    assert sheet.labels.bincount().tolist() == [20] * 10


def test_the_classifier_reads_the_gallery() -> None:
    module, _ = load_module("classifier", "cpu")
    assert isinstance(module, Classifier)
    sheet = load_gallery()
    right = (judge(module, sheet.images).predicted == sheet.labels).sum()
    assert right >= 0.9 * len(sheet.images)


@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize("name", DENOISERS)
def test_a_hundred_digits_are_recognised_as_often_as_the_card_says(name: str, scale: float) -> None:
    """Within three standard deviations of a hundred draws from the card's own rate."""
    setting = "ddim, 25 steps, seed 10000" + (f", guidance {scale:g}" if scale != 1 else "")
    rate = next(
        m["value"]
        for m in card_of(name)["metrics"]
        if m["name"] == "recognised as its class" and m["setting"] == setting
    )
    denoiser, _ = load(name, "cpu")
    judge_module, _ = load_module("classifier", "cpu")
    assert isinstance(judge_module, Classifier)
    label = torch.arange(100) % 10
    digits = sample_digits(denoiser.diffusion, guided(denoiser, scale), label, steps=25, seed=123)
    right = int((judge(judge_module, digits).predicted == label).sum())
    assert right >= 100 * rate - 3 * (100 * rate * (1 - rate)) ** 0.5 - 1


@pytest.mark.parametrize("name", DENOISERS)
def test_the_same_seed_is_the_same_picture(name: str) -> None:
    denoiser, _ = load(name, "cpu")
    label = torch.arange(4)
    one, other = (
        sample_digits(denoiser.diffusion, denoiser, label, steps=5, seed=1, sampler="ddpm")
        for _ in range(2)
    )
    assert torch.equal(one, other)
