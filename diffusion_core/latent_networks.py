"""Latent diffusion's two networks: an autoencoder of digits, and a denoiser of what it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion_core.datasets import to_uint8, to_unit
from diffusion_core.gaussian import Gaussian
from diffusion_core.networks import (
    ChannelNorm,
    Conditioned,
    ResidualBlock,
    SelfAttention,
)
from diffusion_core.vae import prior
from diffusion_core.vqvae import SIDE, Block

if TYPE_CHECKING:
    from diffusion_core.checkpoints import Card


class Autoencoder(nn.Module):
    """A digit becomes a picture of 7 by 7 positions with a few numbers each, and back.

    Source: Rombach et al. 2022, section 3.1 and appendix G: the encoder names a Gaussian, which a
    KL term draws towards N(0, I).

    Args:
        features: numbers per position.
        width: channels at 14x14; twice as many at 7x7.
    """

    def __init__(self, features: int = 3, width: int = 48) -> None:
        super().__init__()
        self.features = features
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4, width, 3, padding=1),
            Block(width),
            nn.Conv2d(width, 2 * width, 2, stride=2),
            Block(2 * width),
            ChannelNorm(2 * width),
            nn.Conv2d(2 * width, 2 * features, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(features, 2 * width, 3, padding=1),
            Block(2 * width),
            nn.ConvTranspose2d(2 * width, width, 2, stride=2),
            Block(width),
            ChannelNorm(width),
            nn.SiLU(),
            nn.Conv2d(width, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )
        # Standard deviation of the latents, a moving average over the batches of the training.
        self.register_buffer("scale", torch.ones(()))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    scale: Tensor

    def posterior(self, x: Tensor) -> Gaussian:
        """q(z|x) of pictures [B, 1, 28, 28] in [-1, 1]: mean and variance [B, features, 7, 7]."""
        y = self.encoder(x.contiguous(memory_format=torch.channels_last)).float()
        mean, log_var = y.chunk(2, dim=1)
        return Gaussian(mean, log_var.clamp(-20, 10).exp())

    def forward(self, x: Tensor, eps: Tensor) -> Tensor:
        """What the loss needs: [B, 2], the mean squared error of a pixel, and q's KL in nats.

        Args:
            x: [B, 1, 28, 28] in [-1, 1].
            eps: [B, features, 7, 7] standard normal.
        """
        q = self.posterior(x)
        z = q.sample(eps)
        if self.training:
            self.scale.lerp_(z.detach().std().to(self.scale), 0.02)
        error = (self.decoder(z) - x).square().flatten(1).mean(1)
        nats = q.kl(prior(q.mean)).flatten(1).sum(1)
        return torch.stack([error.float(), nats], dim=1)

    @torch.inference_mode()
    def encode(self, pictures: Tensor, batch: int = 500) -> Tensor:
        """Latents of pictures, of about unit variance: float32 [B, features, 7, 7].

        Args:
            pictures: uint8 [B, 28, 28], or floating point [B, 1, 28, 28] in [-1, 1].
            batch: pictures that go through the network at once.
        """
        x = to_unit(pictures) if pictures.dtype == torch.uint8 else pictures
        return torch.cat([self.posterior(part).mean for part in torch.split(x, batch)]) / self.scale

    @torch.inference_mode()
    def decode(self, z: Tensor, batch: int = 500) -> Tensor:
        """Pictures of latents of about unit variance [B, features, 7, 7]: uint8 [B, 28, 28]."""
        scaled = (z * self.scale).to(self.scale.dtype)
        return torch.cat([to_uint8(self.decoder(part)) for part in torch.split(scaled, batch)])


class LatentUNet(Conditioned):
    """A denoiser of 7 by 7 positions: residual blocks told step and class, some with attention.

    Args:
        features: numbers per position.
        width: channels.
        blocks: residual blocks.
        attention: how many of them are followed by self-attention.
        condition: size of the embedding of step and class.
    """

    def __init__(
        self,
        features: int = 3,
        width: int = 112,
        blocks: int = 5,
        attention: int = 3,
        condition: int = 192,
    ) -> None:
        super().__init__(condition)
        self.stem = nn.Conv2d(features, width, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(1, width, SIDE, SIDE))
        self.blocks = nn.ModuleList(ResidualBlock(width, condition) for _ in range(blocks))
        self.attention = nn.ModuleList(SelfAttention(width) for _ in range(attention))
        self.norm = ChannelNorm(width)
        self.out = nn.Conv2d(width, features, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, z: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """[B, features, 7, 7], [B], [B] or None -> [B, features, 7, 7]."""
        condition = self.embed(t, label)
        h = self.stem(z.contiguous(memory_format=torch.channels_last)) + self.place
        for i, block in enumerate(self.blocks):
            h = block(h, condition)
            if i < len(self.attention):
                h = self.attention[i](h)
        y: Tensor = self.out(F.silu(self.norm(h)))
        return y


def load_autoencoder(name: str = "autoencoder", device: str = "auto") -> tuple[Autoencoder, Card]:
    """The shipped autoencoder, ready to `encode` and `decode`, and its card.

    Raises:
        CheckpointError: as `checkpoints.load`.
    """
    # Here: to build a network, the recipes need this module first.
    from diffusion_core.checkpoints import load_as

    return load_as(Autoencoder, "autoencoder", name, device)
