"""Mistakes that people make, done on purpose, so that they can be looked at."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from diffusion_core.denoisers import NetworkDenoiser


class Shifted(nn.Module):
    """A network that is told another step than the one its pictures sit at."""

    def __init__(self, module: nn.Module, by: int) -> None:
        super().__init__()
        self.module, self.by = module, by

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """The network's output for (x_t, t + by, label)."""
        output: Tensor = self.module(x_t, t + self.by, label)
        return output


def wrong_index(denoiser: NetworkDenoiser, by: int = -1) -> NetworkDenoiser:
    r"""Ask the network about step t + by, and read its answer at step t.

    $$\hat\epsilon = \epsilon_\theta(x_t, t-1) \quad\text{instead of}\quad
    \epsilon_\theta(x_t, t)$$

    Source: the slip between papers, whose first noisy step is t = 1, and code, whose first table
    entry is 0 (improved-diffusion's t is ours less 1). Tables and network then count differently.
    """
    return replace(denoiser, module=Shifted(denoiser.module, by))
