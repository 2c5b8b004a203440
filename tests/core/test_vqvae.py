"""Tokens: the codebook that pictures are written in, and the network that denoises them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from diffusion_core import training
from diffusion_core.checkpoints import CheckpointError
from diffusion_core.codebooks import worst_served
from diffusion_core.datasets import Dataset, to_unit
from diffusion_core.discrete_sampling import NetworkDiscreteDenoiser
from diffusion_core.recipes import RECIPES, Recipe
from diffusion_core.token_networks import TokenTransformer
from diffusion_core.training import draw_batch, train
from diffusion_core.vq_evaluation import sample_tokens
from diffusion_core.vqvae import UNKNOWN, VQVAE, Codebook, load_vqvae, vqvae_loss
from tests.core.tiny import tiny_data

CODES = 12
SIZES = {"codes": CODES, "features": 4, "width": 8}

AUTOENCODE = Recipe(
    name="tiny-vqvae",
    task="autoencode",
    network="vqvae",
    network_args=SIZES,
    steps=6,
    batch=8,
    warmup=2,
    precision="float32",
    seed=3,
)
TOKENS = replace(
    AUTOENCODE,
    name="tiny-tokens",
    task="denoise_tokens",
    network="token_transformer",
    network_args={"K": CODES + 1, "width": 16, "depth": 2, "heads": 2, "condition": 16},
    T=20,
    kernel="mask_and_replace",
    kernel_args={"K": CODES + 1, "T": 20},
    label_dropout=0.2,
)


def tiny_tokens() -> Dataset:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(CODES, (20, 7, 7), generator=generator, dtype=torch.uint8)
    return Dataset(tokens, torch.arange(20).remainder(10).to(torch.uint8))


def network(seed: int = 0) -> VQVAE:
    torch.manual_seed(seed)
    return VQVAE(**SIZES).eval()


def unit_vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def some_denoiser(seed: int = 0) -> TokenTransformer:
    """A small network whose every weight counts: some of a fresh one's are zero."""
    torch.manual_seed(seed)
    module = TokenTransformer(**TOKENS.network_args)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return module.eval()


# --- the codebook ---------------------------------------------------------------------------------


def test_the_nearest_code_is_the_one_a_search_finds() -> None:
    torch.manual_seed(0)
    book, z = Codebook(CODES, 4), unit_vectors(200, 4)
    distances = (z[:, None] - book.codes[None]).square().sum(-1)
    assert torch.equal(book.nearest(z), distances.argmin(1))


def test_codes_have_length_one_and_stand_for_themselves() -> None:
    book = Codebook(CODES, 4).eval()
    torch.testing.assert_close(book.codes.norm(dim=1), torch.ones(CODES))
    replaced, distance = book(book.codes)
    torch.testing.assert_close(replaced, book.codes)
    assert book.nearest(book.codes).tolist() == list(range(CODES))
    assert (distance < 1e-12).all()


def test_the_gradient_goes_straight_through() -> None:
    book, z = Codebook(CODES, 4).eval(), unit_vectors(30, 4).requires_grad_()
    direction = torch.randn(30, 4)
    code, _ = book(z)
    (code * direction).sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, direction)


def test_the_distance_draws_the_vector_to_its_code_and_not_the_code() -> None:
    book, z = Codebook(CODES, 4).eval(), unit_vectors(30, 4).requires_grad_()
    code, distance = book(z)
    distance.sum().backward()
    torch.testing.assert_close(z.grad, 2 * (z - code).detach())
    assert not book.sums.requires_grad


def test_codes_move_to_the_vectors_they_replace() -> None:
    """One code, one cloud: the code ends up in the cloud's mean direction."""
    book = Codebook(1, 4, decay=0.5).train()
    z = F.normalize(torch.tensor([1.0, 2, 3, 4]) + 0.1 * unit_vectors(50, 4), dim=1)
    for _ in range(40):
        book(z)
    torch.testing.assert_close(book.codes[0], F.normalize(z.sum(0), dim=0))


def test_codes_stay_in_evaluation_mode() -> None:
    book = Codebook(CODES, 4).eval()
    before = book.sums.clone()
    book(unit_vectors(50, 4))
    assert torch.equal(book.sums, before)


def test_a_dead_code_revives() -> None:
    """All codes but one are where no vector is; after the restarts every one of them is used."""
    z = F.normalize(torch.eye(4).repeat(50, 1) + 0.05 * unit_vectors(200, 4), dim=1)
    book = Codebook(4, 4, decay=0.9).train()
    book.sums.copy_(-torch.ones(4, 4) + 0.01 * unit_vectors(4, 4, seed=2))
    book.sums[0] = torch.tensor([50.0, 0, 0, 0])
    assert book.nearest(z).unique().tolist() == [0]
    for _ in range(100):
        book(z)
    counts = book.nearest(z).bincount(minlength=4)
    assert counts.tolist() == [50] * 4


def test_a_restart_takes_the_vectors_that_are_served_worst() -> None:
    torch.manual_seed(0)
    book, z = Codebook(CODES, 4), unit_vectors(300, 4)
    number = book.nearest(z)
    distance = (z - book.codes[number]).square().sum(1)
    picked = worst_served(z, distance, 40)
    assert picked.shape == (40, 4)
    chosen = (picked[:, None] == z[None]).all(-1).double().argmax(1)
    assert distance[chosen].mean() > distance.mean()
    assert worst_served(z, distance, 0).shape == (0, 4)


# --- pictures and tokens --------------------------------------------------------------------------


def test_pictures_become_tokens_and_tokens_pictures() -> None:
    model, images = network(), tiny_data().images
    tokens = model.encode(images, batch=7)
    assert tokens.shape == (20, 7, 7)
    assert tokens.dtype == torch.int64
    assert 0 <= tokens.min() <= tokens.max() < CODES
    assert torch.equal(tokens, model.encode(to_unit(images)))
    pictures = model.decode(tokens, batch=7)
    assert pictures.shape == (20, 28, 28)
    assert pictures.dtype == torch.uint8
    assert torch.equal(pictures, model.decode(tokens))


def test_decoding_is_what_the_network_makes_of_its_own_tokens() -> None:
    """The way through `forward`, which training takes, and the one by tokens give one picture."""
    model, images = network(), tiny_data().images
    both = model(to_unit(images))
    assert both.shape == (20, 2, 28, 28)
    shown = ((both[:, 0] + 1) * 127.5).round().clamp(0, 255)
    decoded = model.decode(model.encode(images)).float()
    assert (shown - decoded).abs().max() <= 1


def test_code_vectors_are_encoded_as_themselves() -> None:
    """What `decode` looks up is what `nearest` names: round trip through the table."""
    model = network()
    tokens = torch.randint(CODES, (3, 7, 7))
    vectors = model.codebook.codes[tokens]
    assert torch.equal(model.codebook.nearest(vectors.flatten(0, 2)).reshape(3, 7, 7), tokens)


def test_a_masked_token_is_gray_and_what_is_far_from_it_stays() -> None:
    """Far: beyond the decoder's convolutions, 3 tokens, 2 blocks and 1 block of 2x2 wide."""
    model, tokens = network(), torch.zeros(2, 7, 7, dtype=torch.int64)
    tokens[1, 0, 0] = CODES
    clear, masked = model.decode(tokens)
    assert (masked[:4, :4] == UNKNOWN).all()
    reach = 4 + 3 * 4 + 3 * 2
    assert torch.equal(clear[reach:], masked[reach:])
    assert torch.equal(clear[:, reach:], masked[:, reach:])
    assert not torch.equal(clear[4:reach, 4:reach], masked[4:reach, 4:reach])


def test_the_loss_is_squared_error_and_commitment() -> None:
    x = torch.zeros(2, 1, 28, 28)
    output = torch.stack([torch.full((2, 28, 28), 0.5), torch.full((2, 28, 28), 2.0)], dim=1)
    torch.testing.assert_close(vqvae_loss(output, x, commitment=0.25), torch.full((2,), 0.75))


def test_another_network_is_no_vqvae() -> None:
    with pytest.raises(CheckpointError, match="no VQ-VAE"):
        load_vqvae("classifier", "cpu")


# --- the denoiser of tokens -----------------------------------------------------------------------


def test_the_denoiser_never_believes_in_the_mask() -> None:
    x = torch.full((2, 7, 7), CODES)
    x[0, 0] = 3
    logits = some_denoiser()(x, torch.tensor([1, 20]), torch.tensor([0, 9]))
    assert logits.shape == (2, 7, 7, CODES + 1)
    assert (logits[..., CODES] == -torch.inf).all()
    assert logits[..., :CODES].isfinite().all()


def test_the_denoiser_hears_step_class_state_and_place() -> None:
    module, x = some_denoiser(), torch.full((1, 7, 7), CODES)
    other = x.clone()
    other[0, 6, 6] = 5
    one, two = torch.tensor([1]), torch.tensor([2])
    seen = module(x, one, one)[..., :CODES]
    for changed in (module(x, two, one), module(x, one, two), module(other, one, one)):
        assert (changed[0, 0, 0, :CODES] - seen[0, 0, 0]).abs().max() > 1e-4
    assert (seen[0, 0, 0] - seen[0, 3, 3]).abs().max() > 1e-4
    assert torch.equal(module(x, one, None), module(x, one, torch.tensor([10])))


def test_a_fresh_denoiser_believes_in_what_it_sees() -> None:
    """A token that is not masked is likely the clean one: the network starts out with that."""
    torch.manual_seed(0)
    module, x = TokenTransformer(K=129, width=64, depth=1), torch.arange(98).reshape(2, 7, 7)
    assert torch.equal(module(x, torch.tensor([1, 2])).argmax(-1), x)


def test_sampled_tokens_are_tokens_and_depend_on_the_seed() -> None:
    denoiser = NetworkDiscreteDenoiser(some_denoiser(), TOKENS.discrete_diffusion)
    label = torch.arange(4)

    def draw(seed: int) -> torch.Tensor:
        return sample_tokens(denoiser.diffusion, denoiser, label, 4, steps=5, seed=seed)

    assert draw(1).shape == (4, 7, 7)
    assert draw(1).max() < CODES
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "data"),
    [(AUTOENCODE, tiny_data()), (TOKENS, tiny_tokens())],
    ids=["vqvae", "tokens"],
)
def test_a_stopped_run_goes_on_bit_for_bit(recipe: Recipe, data: Dataset, tmp_path: Path) -> None:
    for _ in train(recipe, device="cpu", folder=tmp_path / "whole", data=data):
        pass
    for step in train(recipe, device="cpu", folder=tmp_path / "cut", data=data, checkpoint_every=2):
        if step.step == 5:  # the checkpoint is that of step 4: step 5 is done again
            break
    rest = [s.step for s in train(recipe, device="cpu", folder=tmp_path / "cut", data=data)]
    assert rest == [5, 6]
    whole, cut = (load_file(tmp_path / k / "checkpoint.safetensors") for k in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert not [key for key in whole if not torch.equal(whole[key], cut[key])]


def test_the_averaged_network_has_the_live_codebook() -> None:
    *_, last = train(AUTOENCODE, device="cpu", data=tiny_data())
    torch.manual_seed(AUTOENCODE.seed)
    fresh = AUTOENCODE.build()
    assert not torch.equal(last.ema.codebook.sums, fresh.codebook.sums)


def test_the_vqvae_learns_to_reconstruct() -> None:
    flat = tiny_data()
    values = torch.arange(20, dtype=torch.uint8)[:, None, None] * 12
    flat = flat._replace(images=values.expand(20, 28, 28).contiguous())
    recipe = replace(AUTOENCODE, steps=60, learning_rate=1e-2)
    losses = [s.loss for s in train(recipe, device="cpu", data=flat)]
    assert sum(losses[-5:]) < 0.2 * sum(losses[:5])


def test_tokens_reach_the_process_as_they_are() -> None:
    data = tiny_tokens()
    batch = draw_batch(TOKENS, data, 0)
    inputs_of, _ = training.TASKS["denoise_tokens"]
    (x_t, t, _), (x0,) = inputs_of(TOKENS, batch)
    every = {tuple(tokens.flatten().tolist()) for tokens in data.images}
    assert {tuple(tokens.flatten().tolist()) for tokens in x0} <= every
    assert x_t.max() <= CODES
    assert t.max() <= TOKENS.T


def test_training_on_tokens_lowers_the_bound() -> None:
    flat = tiny_tokens()._replace(images=torch.full((20, 7, 7), 5, dtype=torch.uint8))
    recipe = replace(TOKENS, steps=40, learning_rate=1e-2)
    losses = [s.loss for s in train(recipe, device="cpu", data=flat)]
    assert sum(losses[-5:]) < 0.2 * sum(losses[:5])


def test_the_recipes_agree_on_the_codebook() -> None:
    codes = RECIPES["vqvae"].network_args["codes"]
    recipe = RECIPES["vq-mask-and-replace"]
    assert recipe.network_args["K"] == recipe.discrete_diffusion.K == codes + 1
    assert recipe.discrete_diffusion.mask == codes
    assert recipe.discrete_diffusion.T == recipe.T
