"""The shipped VQ-VAE and the diffusion on its tokens: they fit together and do what they claim."""

import pytest
import torch

from diffusion_core.checkpoints import PRETRAINED, load_discrete, load_module, read_card
from diffusion_core.datasets import load_gallery, to_unit
from diffusion_core.evaluation import judge
from diffusion_core.networks import Classifier
from diffusion_core.vq_evaluation import sample_tokens
from diffusion_core.vqvae import load_vqvae

TOKENS = "vq-mask-and-replace"
needs_tokens = pytest.mark.skipif(
    not (PRETRAINED / TOKENS / "card.json").exists(), reason=f"{TOKENS} is not shipped"
)


def figure(name: str, metric: str, setting: str = "") -> float:
    return next(
        m["value"]
        for m in read_card(name).fields["metrics"]
        if m["name"] == metric and m["setting"].startswith(setting)
    )


def the_judge() -> Classifier:
    module, _ = load_module("classifier", "cpu")
    assert isinstance(module, Classifier)
    return module


@needs_tokens
def test_the_tokens_are_those_of_the_vqvae_that_is_shipped() -> None:
    """Another training of the same recipe would number its codes otherwise."""
    assert read_card(TOKENS).fields["needs"] == {"vqvae": read_card("vqvae").fields["sha256"]}


def test_no_code_is_dead() -> None:
    assert figure("vqvae", "codes used, share") == 1
    assert figure("vqvae", "rarest code, share of tokens") > 0
    network, _ = load_vqvae(device="cpu")
    assert figure("vqvae", "codebook perplexity") <= network.codes


def test_the_gallery_survives_encoding_and_decoding() -> None:
    network, _ = load_vqvae(device="cpu")
    sheet, classifier = load_gallery(), the_judge()
    tokens = network.encode(sheet.images)
    pictures = network.decode(tokens)
    before, after = (judge(classifier, x).predicted for x in (sheet.images, pictures))
    assert (before == after).double().mean() >= 0.97
    error = (to_unit(pictures) - to_unit(sheet.images)).square().mean()
    assert error < 2 * figure("vqvae", "reconstruction, mean squared error")


@needs_tokens
def test_a_hundred_digits_are_recognised_as_often_as_the_card_says() -> None:
    """Within three standard deviations of a hundred draws from the card's own rate."""
    rate = figure(TOKENS, "recognised as its class", "25 steps")
    denoiser, _ = load_discrete(TOKENS, "cpu")
    network, _ = load_vqvae(device="cpu")
    label = torch.arange(100) % 10
    tokens = sample_tokens(denoiser.diffusion, denoiser, label, 100, steps=25, seed=123)
    assert tokens.max() < network.codes
    right = int((judge(the_judge(), network.decode(tokens)).predicted == label).sum())
    assert right >= 100 * rate - 3 * (100 * rate * (1 - rate)) ** 0.5 - 1
