"""Aggregated posterior, cost and scale of latents, against sums, brute force and hand counts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from diffusion_core.aggregate import (
    Aggregate,
    aggregate_denoiser,
    aggregate_log_density,
    aggregated_posterior,
    density_on_grid,
    kl_parts,
)
from diffusion_core.cost import layer_multiply_adds, multiply_adds
from diffusion_core.datasets import load_gallery, to_unit
from diffusion_core.denoisers import ideal_denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.latent_evaluation import sample_latents
from diffusion_core.latent_networks import LatentUNet, load_autoencoder
from diffusion_core.latents import as_beta, neighbour_correlation, noisy_latent, scaled_snr
from diffusion_core.mixtures import GaussianMixture, mixture_denoiser, mixture_log_density
from diffusion_core.networks import SelfAttention, UNet
from diffusion_core.schedules import SCHEDULES
from diffusion_core.vae import VAE

SEVERAL = Aggregate(
    torch.tensor([[0.5, -1.0], [-1.5, 0.2], [2.0, 1.0]], dtype=torch.float64),
    torch.tensor([[0.04, 0.5], [0.3, 0.1], [0.2, 0.9]], dtype=torch.float64),
)
PLACES = torch.tensor([[0.0, 0.0], [0.5, -1.0], [2.5, 1.5], [-3.0, 2.0]], dtype=torch.float64)


def process(name: str = "linear") -> GaussianDiffusion:
    return GaussianDiffusion(SCHEDULES[name](1000))


def at(t: int, n: int = len(PLACES)) -> Tensor:
    return torch.full((n,), t)


# --- the aggregated posterior ---------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("t", [0, 1, 200, 999])
def test_the_density_is_the_average_of_the_examples(schedule: str, t: int) -> None:
    """By a loop over examples and numbers, with torch's own normal distribution."""
    alpha_bar = float(process(schedule).schedule.alpha_bar[t])
    said = aggregate_log_density(process(schedule), SEVERAL, PLACES, at(t))
    for place, found in zip(PLACES, said, strict=True):
        total = 0.0
        for mean, var in zip(SEVERAL.means, SEVERAL.var, strict=True):
            one = 0.0
            for k in range(2):
                spread = (alpha_bar * var[k] + 1 - alpha_bar).sqrt()
                normal = torch.distributions.Normal(math.sqrt(alpha_bar) * mean[k], spread)
                one += float(normal.log_prob(place[k]))
            total += math.exp(one) / 3
        assert float(found) == pytest.approx(math.log(total), abs=1e-9)


@pytest.mark.parametrize("t", [0, 300])
def test_the_grid_says_what_the_density_says_and_is_one_in_all(t: int) -> None:
    along = torch.linspace(-7, 7, 281, dtype=torch.float64)
    up, across = torch.meshgrid(along, along, indexing="ij")
    places = torch.stack([across, up], dim=-1).reshape(-1, 2)
    slow = aggregate_log_density(process(), SEVERAL, places, at(t, len(places))).exp()
    fast = density_on_grid(process(), SEVERAL, along, t)
    torch.testing.assert_close(fast.flatten(), slow, atol=1e-12, rtol=1e-8)
    assert float(fast.sum()) * float(along[1] - along[0]) ** 2 == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("t", [300, 600, 950])
def test_the_denoiser_is_bayes_rule_on_a_grid(schedule: str, t: int) -> None:
    """E[z0|z_t] as a sum over z0, which knows of densities only."""
    diffusion = process(schedule)
    along = torch.linspace(-6, 6, 601, dtype=torch.float64)
    z0 = torch.cartesian_prod(along, along)
    prior = aggregate_log_density(diffusion, SEVERAL, z0, at(0, len(z0)))
    a, sigma = diffusion.rates(at(t), PLACES)
    fit = -((PLACES[:, None] - a[..., None] * z0) ** 2).sum(-1) / (2 * sigma**2)
    said = aggregate_denoiser(diffusion, SEVERAL)(PLACES, at(t))
    torch.testing.assert_close(said.x0, (prior + fit).softmax(1) @ z0, atol=2e-4, rtol=0)
    torch.testing.assert_close(a * said.x0 + sigma * said.eps, PLACES)


@pytest.mark.parametrize("t", [1, 400, 1000])
def test_with_round_equal_examples_it_is_the_mixture(t: int) -> None:
    means = PLACES[:3]
    ours = Aggregate(means, torch.full_like(means, 0.09))
    theirs = GaussianMixture(means, torch.full((3,), 1 / 3, dtype=torch.float64), 0.3)
    torch.testing.assert_close(
        aggregate_log_density(process(), ours, PLACES, at(t)),
        mixture_log_density(process(), theirs, PLACES, at(t)),
    )
    torch.testing.assert_close(
        aggregate_denoiser(process(), ours)(PLACES, at(t)).x0,
        mixture_denoiser(process(), theirs)(PLACES, at(t)).x0,
    )


def test_draws_have_the_moments_of_the_mixture() -> None:
    z = SEVERAL.sample(200_000, torch.Generator().manual_seed(0))
    mean = SEVERAL.means.mean(0)
    var = SEVERAL.var.mean(0) + SEVERAL.means.var(0, correction=0)
    torch.testing.assert_close(z.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(0), var, atol=0.03, rtol=0)


def test_the_parts_of_the_kl_are_what_draws_say() -> None:
    """Both parts by Monte Carlo, from log densities alone; their sum by torch's own KL."""
    told, n = kl_parts(SEVERAL), 100_000
    generator = torch.Generator().manual_seed(0)
    which = torch.arange(n) % 3
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    z = SEVERAL.means[which] + SEVERAL.var[which].sqrt() * noise
    own = torch.distributions.Normal(SEVERAL.means[which], SEVERAL.var[which].sqrt())
    log_own = own.log_prob(z).sum(1)
    log_all = aggregate_log_density(process(), SEVERAL, z, at(0, n))
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    for draws, said in ((log_own - log_all, told.told), (log_all - log_p, told.prior)):
        error = float(draws.std()) / n**0.5
        assert float(draws.mean()) == pytest.approx(said, abs=5 * error)
    pairs = torch.distributions.Normal(SEVERAL.means, SEVERAL.var.sqrt())
    normal = torch.distributions.Normal(torch.zeros(3, 2).double(), torch.ones(3, 2).double())
    exact = torch.distributions.kl_divergence(pairs, normal).sum(1).mean()
    assert told.whole == pytest.approx(float(exact), abs=1e-12)
    assert told.told + told.prior == pytest.approx(told.whole, abs=1e-12)
    assert 0 < told.told < math.log(3)


def test_the_prior_itself_saves_nothing() -> None:
    one = Aggregate(torch.zeros(1, 2).double(), torch.ones(1, 2).double())
    assert kl_parts(one) == pytest.approx((0, 0, 0), abs=1e-7)


def test_an_encoder_is_read_example_by_example() -> None:
    torch.manual_seed(0)
    vae, x = VAE(2, (16, 8)), torch.rand(5, 784)
    data = aggregated_posterior(vae, x)
    assert data.means.dtype == torch.float64
    for i in range(5):
        q = vae.posterior(x[i : i + 1])
        torch.testing.assert_close(data.means[i].float(), q.mean[0].detach())
        torch.testing.assert_close(data.var[i].float(), q.var[0].detach())


def test_what_is_no_aggregate_is_refused() -> None:
    with pytest.raises(ValueError, match="of that shape"):
        Aggregate(torch.zeros(2, 2), torch.ones(3, 2))
    with pytest.raises(ValueError, match="above 0"):
        Aggregate(torch.zeros(2, 2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="same t"):
        aggregate_log_density(process(), SEVERAL, PLACES, torch.tensor([1, 1, 1, 2]))
    with pytest.raises(ValueError, match="t = 0 there is no noise"):
        aggregate_denoiser(process(), SEVERAL)(PLACES, at(0))


# --- cost -----------------------------------------------------------------------------------------


def test_layers_cost_what_a_hand_counts() -> None:
    x = torch.zeros(2, 3, 8, 8)
    assert multiply_adds(nn.Conv2d(3, 5, 3, padding=1), x) == 2 * 8 * 8 * 5 * 3 * 9
    assert multiply_adds(nn.Conv2d(3, 5, 2, stride=2), x) == 2 * 4 * 4 * 5 * 3 * 4
    assert multiply_adds(nn.Conv2d(3, 6, 3, padding=1, groups=3), x) == 2 * 64 * 6 * 1 * 9
    assert multiply_adds(nn.ConvTranspose2d(3, 5, 2, stride=2), x) == 2 * 8 * 8 * 3 * 5 * 4
    assert multiply_adds(nn.Linear(8, 7), x) == 2 * 3 * 8 * 8 * 7
    both = nn.Sequential(nn.Conv2d(3, 5, 1), nn.SiLU(), nn.Conv2d(5, 2, 1))
    assert multiply_adds(both, x) == 2 * 64 * (15 + 10)


def test_attention_costs_its_projections_and_two_products() -> None:
    x = torch.zeros(2, 8, 7, 7)
    projections = 2 * 49 * (8 * 24 + 8 * 8)
    assert multiply_adds(SelfAttention(8), x) == projections + 2 * 2 * 49 * 49 * 8


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("latent", [True, False])
def test_networks_cost_what_another_counter_finds(latent: bool, batch: int) -> None:
    """PyTorch's own, which counts two for a multiply-add, and no attention on a CPU."""
    module = LatentUNet() if latent else UNet()
    x = torch.zeros(batch, 3, 7, 7) if latent else torch.zeros(batch, 1, 28, 28)
    t, label = torch.full((batch,), 5), torch.zeros(batch, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(x, t, label)
    counts = {str(op): n for op, n in counter.get_flop_counts()["Global"].items()}
    others = sum(n for op, n in counts.items() if "attention" not in op)
    width, attentions = (112, 3) if latent else (128, 2)
    by_hand = attentions * 2 * batch * 49 * 49 * width
    assert multiply_adds(module, x, t, label) == others // 2 + by_hand


def test_hooks_are_gone_afterwards_also_when_the_network_fails() -> None:
    module = nn.Sequential(nn.Linear(3, 4))
    with pytest.raises(RuntimeError):
        multiply_adds(module, torch.zeros(1, 5))
    assert not module[0]._forward_hooks
    with pytest.raises(TypeError, match="no rule"):
        layer_multiply_adds(nn.SiLU(), torch.zeros(1), torch.zeros(1))


# --- scale ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_factor_shifts_the_snr_by_its_square(schedule: str, factor: float) -> None:
    """Measured: signal and noise of what is decoded, as regressions on z0 and on the noise."""
    diffusion, t, n = process(schedule), 400, 400_000
    generator = torch.Generator().manual_seed(0)
    z0, eps = (torch.randn(n, 1, generator=generator).double() for _ in range(2))
    z = noisy_latent(diffusion, z0, at(t, n), eps, factor)
    signal, noise = (float((z * part).mean() / part.square().mean()) for part in (z0, eps))
    # Both parts are correlated by chance, by about 1 / sqrt(n).
    assert (signal / noise) ** 2 == pytest.approx(
        float(scaled_snr(diffusion.schedule, factor)[t]), rel=0.03
    )


@pytest.mark.parametrize("factor", [0.2, 0.5, 2.0, 5.0])
def test_a_factor_is_another_schedule(factor: float) -> None:
    """c z0 under alpha_bar is z0 under the schedule with c^2 times the SNR, but for its size."""
    schedule = process("cosine").schedule
    snr = scaled_snr(schedule, factor)[1:]
    other = snr / (1 + snr)  # its alpha_bar
    own = schedule.alpha_bar[1:]
    signal, noise = factor * own.sqrt(), (1 - own).sqrt()
    size = (signal.square() + noise.square()).sqrt()
    torch.testing.assert_close(signal / size, other.sqrt())
    torch.testing.assert_close(noise / size, (1 - other).sqrt())
    torch.testing.assert_close(scaled_snr(schedule, 1.0, std=factor)[1:], snr)


def test_a_factor_of_one_is_plain_noise() -> None:
    z0, eps = torch.randn(2, 3, 7, 7), torch.randn(2, 3, 7, 7)
    t = torch.tensor([10, 900])
    torch.testing.assert_close(noisy_latent(process(), z0, t, eps), process().q_sample(z0, t, eps))
    with pytest.raises(ValueError, match="above 0"):
        noisy_latent(process(), z0, t, eps, 0.0)


def test_neighbours_of_white_noise_are_strangers_and_of_blocks_are_alike() -> None:
    white = torch.randn(1, 400, 400, generator=torch.Generator().manual_seed(0))
    assert float(neighbour_correlation(white)) == pytest.approx(0, abs=0.01)
    blocks = white[:, :100, :100].repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert float(neighbour_correlation(blocks)) == pytest.approx(0.75, abs=0.02)
    assert float(neighbour_correlation(torch.zeros(1, 5, 5))) == 0
    one = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    by_hand = (1 * 2 + 3 * 4 + 1 * 3 + 2 * 4) / 4 / ((1 + 4 + 9 + 16) / 4)
    assert float(neighbour_correlation(one)) == pytest.approx(by_hand)


@pytest.mark.parametrize("var", [0.001, 0.5])
@pytest.mark.parametrize(("pixels", "numbers"), [(784, 147), (10, 20)])
def test_beta_is_the_weight_in_the_bound(var: float, pixels: int, numbers: int) -> None:
    """Both losses have the same slopes in the KL and in every pixel, but for one factor."""
    x = torch.rand(pixels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = torch.zeros(pixels, dtype=torch.float64, requires_grad=True)
    nats = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    beta = as_beta(0.01, pixels, numbers, var)
    ours = (drawn - x).square().mean() + 0.01 * nats / numbers
    bound = -torch.distributions.Normal(drawn, var**0.5).log_prob(x).sum() + beta * nats
    slopes = [torch.autograd.grad(loss, (drawn, nats)) for loss in (ours, bound)]
    factor = slopes[0][1] / slopes[1][1]
    torch.testing.assert_close(slopes[0][0], factor * slopes[1][0])
    with pytest.raises(ValueError, match="above 0"):
        as_beta(0.01, pixels, numbers, 0.0)


# --- the shipped autoencoder ----------------------------------------------------------------------


def test_there_and_back_again() -> None:
    """On digits that it was not trained on: the gallery's, within twice what the card says."""
    module, card = load_autoencoder(device="cpu")
    images = load_gallery().images
    z = module.encode(images)
    assert z.shape == (len(images), 3, 7, 7)
    assert z.dtype == torch.float32
    pictures = module.decode(z)
    assert pictures.shape == images.shape
    assert pictures.dtype == torch.uint8
    error = float((to_unit(pictures) - to_unit(images)).square().mean())
    said = next(m["value"] for m in card.fields["metrics"] if "squared" in m["name"])
    assert said / 2 < error < 2 * said
    assert float(z.std()) == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(module.encode(to_unit(images[:3])), z[:3], atol=1e-4, rtol=1e-4)


def test_sampling_latents_hangs_on_the_seed_alone() -> None:
    module, _ = load_autoencoder(device="cpu")
    gallery = load_gallery()
    best = ideal_denoiser(process("cosine"), module.encode(gallery.images), gallery.labels.long())

    def drawn(seed: int) -> Tensor:
        label = torch.arange(4)
        return sample_latents(process("cosine"), best, label, 3, steps=10, seed=seed)

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
