"""The bound of every shipped network is what walking its chain costs, within error bars."""

import math

import pytest
import torch

from diffusion_core.bits import BOUNDS
from diffusion_core.checkpoints import load
from diffusion_core.datasets import load_gallery, to_unit
from diffusion_core.elbo import gaussian_elbo
from diffusion_core.ledger import with_steps
from diffusion_core.recipes import RECIPES
from tests.core.test_elbo import pathwise
from tests.pretrained.test_cards import NAMES

STEPS = 50
WALKS = 96


@pytest.mark.parametrize("name", [n for n in NAMES if RECIPES[n].task in BOUNDS])
def test_the_terms_add_up_to_what_a_walk_costs(name: str) -> None:
    """Terms from closed-form posteriors, against densities of neighbours on whole paths."""
    network, _ = load(name, "cpu")
    model = with_steps(network, STEPS)
    x0 = to_unit(load_gallery().images[3:4]).double()
    learned = network(x0.float(), torch.tensor([1])).var_fraction is not None
    variance = "learned" if learned else "posterior"
    decoder = "discretized_gaussian"
    walked = pathwise(model.diffusion, model, x0, WALKS, variance=variance, decoder=decoder, seed=1)
    found = gaussian_elbo(
        model.diffusion,
        model,
        x0.repeat(WALKS, 1, 1, 1),
        variance=variance,
        decoder=decoder,
        batch=WALKS,
        generator=torch.Generator().manual_seed(2),
    ).total.numpy()
    error = math.hypot(walked.std(), found.std()) / WALKS**0.5
    assert abs(walked.mean() - found.mean()) < 4 * error
    assert error < 0.02 * walked.mean(), "error bars too wide to tell anything"
