"""A VQ-VAE: a digit becomes 7 by 7 tokens, each the number of a vector in a codebook, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion_core.codebooks import DEAD, FRESH, worst_served
from diffusion_core.datasets import TILE, to_uint8, to_unit
from diffusion_core.networks import ChannelNorm

if TYPE_CHECKING:
    from diffusion_core.checkpoints import Card

SIDE = 7  # tokens on a side of a digit
PATCH = TILE // SIDE  # pixels on a side of a token
UNKNOWN = 127  # the gray that a token without a code ([MASK]) is painted in


class Codebook(nn.Module):
    r"""Unit vectors, numbered; a vector is replaced by the one in the nearest direction.

    $$z_q = e_k, \qquad k = \arg\min_j \lVert z - e_j\rVert$$

    Source: van den Oord et al. 2017, eq. 1 and 2; its codes are moving averages of the vectors they
    replace (appendix A.1). All vectors have length 1 here, so that none is too far away to be
    found (Yu et al. 2022, section 3.2). A code that is hardly used starts anew at a vector of the
    batch.

    Args:
        codes: how many.
        features: numbers per code.
        decay: of the averages, per batch.
    """

    sums: Tensor

    def __init__(self, codes: int, features: int, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        # [codes, features]: decayed sums of the vectors replaced; as long as a code is busy.
        self.register_buffer("sums", F.normalize(torch.randn(codes, features), dim=1))

    @property
    def codes(self) -> Tensor:
        """[codes, features] float32, each of length 1."""
        return F.normalize(self.sums.float(), dim=1)

    def nearest(self, z: Tensor) -> Tensor:
        """Number of the nearest code of each unit vector [N, features]: int64 [N].

        Among unit vectors the nearest one has the largest inner product.
        """
        return (z @ self.codes.T).argmax(1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Replace unit vectors [N, features]; in training mode the codes learn from them.

        Returns:
            The codes [N, features], whose gradient goes straight through to z, and the squared
            distance of each vector from its code [N], whose gradient draws z to the code alone.
        """
        # Near codes differ in digits that bfloat16 does not have.
        with torch.autocast(z.device.type, enabled=False):
            number = self.nearest(z)
            code = self.codes[number]
            if self.training:
                self.learn(z.detach(), number)
        return z + (code - z).detach(), (z - code).square().sum(1)

    @torch.no_grad()
    def learn(self, z: Tensor, number: Tensor) -> None:
        """Move the codes towards the vectors they replaced, and start the dead ones anew.

        Under data-parallel training each process learns from its own share, and the next step
        begins with the first one's codes: buffers are broadcast.

        Args:
            z: [N, features], of length 1.
            number: [N], the code that each was replaced by.
        """
        replaced = F.one_hot(number, len(self.sums)).to(z).T @ z
        self.sums.lerp_(replaced, 1 - self.decay)
        share = len(z) / len(self.sums)
        dead = self.sums.norm(dim=1) < DEAD * share
        distance = (z - self.codes[number]).square().sum(1)
        self.sums[dead] = FRESH * share * worst_served(z, distance, int(dead.sum()))


class Block(nn.Module):
    """Two 3x3 convolutions around which the input goes unchanged, too: a residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ChannelNorm(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            ChannelNorm(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        y: Tensor = x + self.body(x)
        return y


class VQVAE(nn.Module):
    """Encoder, codebook and decoder; both networks work on 14x14 blocks of 2x2 pixels, then 7x7.

    Source: van den Oord et al. 2017, section 3.

    Args:
        codes: size of the codebook.
        features: numbers per code.
        width: channels at 14x14; twice as many at 7x7.
        blocks: residual blocks at each size.
    """

    def __init__(
        self, codes: int = 128, features: int = 16, width: int = 48, blocks: int = 1
    ) -> None:
        super().__init__()
        fine, coarse = range(blocks), range(blocks)
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4, width, 3, padding=1),
            *(Block(width) for _ in fine),
            nn.Conv2d(width, 2 * width, 2, stride=2),
            *(Block(2 * width) for _ in coarse),
            ChannelNorm(2 * width),
            nn.Conv2d(2 * width, features, 1),
        )
        self.codebook = Codebook(codes, features)
        self.decoder = nn.Sequential(
            nn.Conv2d(features, 2 * width, 3, padding=1),
            *(Block(2 * width) for _ in coarse),
            nn.ConvTranspose2d(2 * width, width, 2, stride=2),
            *(Block(width) for _ in fine),
            ChannelNorm(width),
            nn.SiLU(),
            nn.Conv2d(width, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def codes(self) -> int:
        """Size of the codebook: tokens are 0..codes-1, and [MASK] is `codes`."""
        return len(self.codebook.sums)

    def vectors(self, x: Tensor) -> Tensor:
        """[B, 1, 28, 28] -> unit vectors [B, 7, 7, features], in float32 whatever the autocast."""
        z = self.encoder(x.contiguous(memory_format=torch.channels_last))
        return F.normalize(z.float().permute(0, 2, 3, 1), dim=-1)

    def picture(self, vectors: Tensor) -> Tensor:
        """[B, 7, 7, features] -> [B, 1, 28, 28], white 1 and black -1 as the encoder's input."""
        # Unit vectors, scaled to the size of numbers that layers are initialised for.
        y: Tensor = self.decoder(vectors.permute(0, 3, 1, 2) * vectors.shape[-1] ** 0.5)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Both ways: [B, 1, 28, 28] in [-1, 1] -> [B, 2, 28, 28], what the loss needs.

        Channel 0 is the picture, channel 1 the squared distance between each pixel's vector and
        the code that replaced it.
        """
        z = self.vectors(x)
        code, distance = self.codebook(z.flatten(0, 2))
        picture = self.picture(code.reshape(z.shape))
        spread = distance.reshape(-1, 1, SIDE, SIDE).to(picture)
        return torch.cat([picture, F.interpolate(spread, scale_factor=PATCH)], dim=1)

    @torch.inference_mode()
    def encode(self, pictures: Tensor, batch: int = 500) -> Tensor:
        """Tokens of pictures: int64 [B, 7, 7] in 0..codes-1.

        Args:
            pictures: uint8 [B, 28, 28], or floating point [B, 1, 28, 28] in [-1, 1].
            batch: pictures that go through the network at once.
        """
        x = to_unit(pictures) if pictures.dtype == torch.uint8 else pictures
        parts = [self.vectors(part) for part in torch.split(x, batch)]
        numbers = [self.codebook.nearest(part.flatten(0, 2)) for part in parts]
        return torch.cat(numbers).reshape(-1, SIDE, SIDE)

    @torch.inference_mode()
    def decode(self, tokens: Tensor, batch: int = 500) -> Tensor:
        """Pictures of tokens [B, 7, 7] int64: uint8 [B, 28, 28].

        A token that has no code ([MASK], or anything from `codes` on) is a zero vector to its
        neighbours, and its own 4x4 pixels are gray, 127.
        """
        known = tokens < self.codes
        table = F.pad(self.codebook.codes, (0, 0, 0, 1))  # one row more, of zeros
        vectors = table[tokens.clamp(max=self.codes)]
        pictures = torch.cat([to_uint8(self.picture(part)) for part in torch.split(vectors, batch)])
        tiles = known.repeat_interleave(PATCH, 1).repeat_interleave(PATCH, 2)
        return pictures.masked_fill(~tiles, UNKNOWN)


def vqvae_loss(output: Tensor, x: Tensor, commitment: float = 0.25) -> Tensor:
    r"""Squared error of the picture, plus what keeps the encoder near the codes it chose.

    $$L = \lVert x - D(z_q)\rVert^2 + \beta\,\lVert z - \operatorname{sg}[e]\rVert^2$$

    Source: van den Oord et al. 2017, eq. 3, whose middle term is replaced by the moving averages of
    appendix A.1. Means over pixels here, and over features in length 1.

    Args:
        output: [B, 2, 28, 28], as the network gives it.
        x: [B, 1, 28, 28], the pictures.
        commitment: beta.

    Returns:
        [B], one loss per picture.
    """
    error = (output[:, :1] - x).square().flatten(1).mean(1)
    return error + commitment * output[:, 1:].flatten(1).mean(1)


def load_vqvae(name: str = "vqvae", device: str = "auto") -> tuple[VQVAE, Card]:
    """The shipped VQ-VAE, ready to `encode` and `decode`, and its card.

    Raises:
        CheckpointError: as `checkpoints.load`.
    """
    # Here: to build a network, the recipes need this module first.
    from diffusion_core.checkpoints import load_as

    return load_as(VQVAE, "VQ-VAE", name, device)
