"""A variational autoencoder whose latent has two numbers, so that all of it can be looked at."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion_core.datasets import TILE
from diffusion_core.gaussian import Gaussian

PIXELS = TILE * TILE
LEAST = -20.0
"""The smallest logarithm of a variance. The KL keeps it far above; without the KL the variance
would go on falling to a 0 that has no gradient."""


def layers(sizes: list[int]) -> nn.Sequential:
    """Linear layers from one size to the next, with a SiLU between any two."""
    linear = [nn.Linear(before, after) for before, after in itertools.pairwise(sizes)]
    between = [part for layer in linear[:-1] for part in (layer, nn.SiLU())]
    return nn.Sequential(*between, linear[-1])


class VAE(nn.Module):
    r"""Encoder q(z|x) and decoder p(x|z) of binary digits; p(z) is a standard normal.

    $$q(z|x) = \mathcal N(\mu(x), \operatorname{diag}\sigma^2(x)), \qquad
    p(x|z) = \prod_i \operatorname{Bernoulli}(x_i;\ \operatorname{sigmoid} f_i(z))$$

    Source: Kingma & Welling 2014, section 3 and appendix C.1.

    Args:
        latent: numbers of z.
        widths: of the encoder's hidden layers; the decoder has them in reverse.
    """

    def __init__(self, latent: int = 2, widths: tuple[int, ...] = (512, 256, 128)) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = layers([PIXELS, *widths, 2 * latent])
        self.hidden = layers([latent, *reversed(widths)])
        self.out = nn.Linear(widths[0], PIXELS)

    def posterior(self, x: Tensor) -> Gaussian:
        """q(z|x) of binary pictures [B, 784] (0 and 1): mean and variance [B, latent]."""
        mean, log_var = self.encoder(2 * x - 1).chunk(2, dim=1)
        return Gaussian(mean, log_var.clamp(min=LEAST).exp())

    def features(self, z: Tensor) -> Tensor:
        """What the decoder's last layer sees, [B, F]; its logits are linear in that."""
        return F.silu(self.hidden(z))

    def logits(self, z: Tensor) -> Tensor:
        """Logits of the pixels being 1, of z [B, latent]: [B, 784]."""
        y: Tensor = self.out(self.features(z))
        return y

    def forward(self, x: Tensor, eps: Tensor) -> Tensor:
        r"""The two terms of the negative bound with one draw of z: [B, 2] nats.

        $$-\log p(x|z), \quad \operatorname{KL}(q(z|x)\,\|\,p(z)), \qquad
        z = \mu(x) + \sigma(x)\,\epsilon$$

        Source: Kingma & Welling 2014, eq. 10.

        Args:
            x: [B, 784], 0 and 1.
            eps: [B, latent] standard normal.
        """
        q = self.posterior(x)
        z = q.mean + q.var.sqrt() * eps
        cost = F.binary_cross_entropy_with_logits(self.logits(z), x, reduction="none").sum(1)
        return torch.stack([cost, q.kl(prior(q.mean)).sum(1)], dim=1)


def prior(like: Tensor) -> Gaussian:
    """p(z) = N(0, I), in the shape of `like` [B, latent]."""
    return Gaussian(torch.zeros_like(like), torch.ones_like(like))
