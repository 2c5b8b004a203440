"""The linear VAE in closed form against the loss itself, walked down by its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from diffusion_core.descent import minimise
from diffusion_core.linear_vae import (
    latent_nats,
    principal_directions,
    share_kept,
    weight_of_kl,
)

D, d, N = 5, 3, 400
LAMBDA = (3.0, 1.2, 0.6, 0.1, 0.02)


def data() -> Tensor:
    """Points [N, D] whose principal variances are exactly LAMBDA, along turned axes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, D, generator=generator, dtype=torch.float64)
    white = torch.linalg.qr(x - x.mean(0))[0] * math.sqrt(N)
    turn = torch.linalg.qr(torch.randn(D, D, generator=generator, dtype=torch.float64))[0]
    return white * torch.tensor(LAMBDA, dtype=torch.float64).sqrt() @ turn.T + 0.3


def terms(told: Tensor, x: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Squared error over 2 sigma^2 [D] and KL [d], averaged over x; all averages over q exact."""
    out, into, log_var = told[: D * d].view(D, d), told[D * d : -d].view(d, D), told[-d:]
    x = x - x.mean(0)
    mean = x @ into.T
    error = (x - mean @ out.T).square().mean(0) + out.square() @ log_var.exp()
    nats = 0.5 * (mean.square().mean(0) + log_var.exp() - 1 - log_var)
    return error / (2 * noise), nats


@pytest.mark.parametrize("pixels", ["sum", "mean"])
@pytest.mark.parametrize("latents", ["sum", "mean"])
@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_the_best_linear_vae_is_the_one_that_training_finds(
    pixels: str, latents: str, noise: float
) -> None:
    """By the loss with its sums or means, which knows of no beta and no principal direction."""
    x = data()
    beta = weight_of_kl(
        D, d, mean_of_pixels=pixels == "mean", mean_of_latents=latents == "mean"
    )  # fmt: skip

    def loss(told: Tensor) -> Tensor:
        error, nats = terms(told, x, noise)
        return getattr(error, pixels)() + getattr(nats, latents)()

    start = 0.3 * torch.randn(
        2 * D * d + d, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    found = minimise(loss, start, rounds=2000, least=1e-14)
    _, nats = terms(found, x, noise)
    mean, variances, ways = principal_directions(x, d)
    torch.testing.assert_close(variances, torch.tensor(LAMBDA[:d], dtype=torch.float64))
    told = latent_nats(variances, noise, beta)
    torch.testing.assert_close(nats.sort(descending=True)[0], told, atol=1e-4, rtol=1e-3)
    # What comes back, and how widely what is drawn varies.
    out, into = found[: D * d].view(D, d), found[D * d : -d].view(d, D)
    kept = share_kept(variances, noise, beta)
    torch.testing.assert_close(out @ into, (ways.T * kept) @ ways, atol=2e-3, rtol=0)
    torch.testing.assert_close(out @ out.T, (ways.T * kept * variances) @ ways, atol=2e-3, rtol=0)
    torch.testing.assert_close(mean, x.mean(0))


def test_a_direction_below_the_line_tells_nothing() -> None:
    variances = torch.tensor([2.0, 0.51, 0.5, 0.1], dtype=torch.float64)
    nats = latent_nats(variances, 0.25, 2.0)
    assert nats[:2].tolist() == pytest.approx([0.5 * math.log(4), 0.5 * math.log(1.02)])
    assert nats[2:].tolist() == [0, 0]
    assert share_kept(variances, 0.25, 2.0)[2:].tolist() == [0, 0]


def test_sums_and_means_weigh_the_kl() -> None:
    weights = {
        (p, k): weight_of_kl(784, 20, mean_of_pixels=p, mean_of_latents=k)
        for p in (False, True)
        for k in (False, True)
    }
    assert weights[False, False] == 1
    assert weights[True, False] == 784
    assert weights[True, True] == 784 / 20
    assert weights[False, True] == 1 / 20
