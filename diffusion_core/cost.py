"""What a network costs: multiply-adds, counted from the shapes that go through its layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from diffusion_core.networks import SelfAttention


def multiply_adds(module: nn.Module, *inputs: Tensor | None) -> int:
    r"""Multiply-adds of one call: those of convolutions, linear layers and attention.

    $$\text{convolution: } H\,W\,C_\text{out}\,\frac{C_\text{in}}{g}\,k^2, \qquad
    \text{linear: } C_\text{in}\,C_\text{out}, \qquad
    \text{attention: } 2\,(HW)^2\,C$$

    Source: He & Sun 2015, eq. 1, for convolutions; the others are matrix products. Norms, sums
    and other work per number are left out, as is usual: they are a few per cent here, though not
    of the time.

    Args:
        module: the network, called once as module(*inputs).
        inputs: what it is called with; the count is for the whole batch.
    """
    total = 0

    def count(layer: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        nonlocal total
        total += layer_multiply_adds(layer, given[0], output)

    hooks = [part.register_forward_hook(count) for part in module.modules() if _counts(part)]
    try:
        with torch.inference_mode():
            module(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return total


def layer_multiply_adds(layer: nn.Module, given: Tensor, output: Tensor) -> int:
    """Multiply-adds of one layer, without those of the layers inside it.

    Args:
        layer: a convolution, a linear layer or an attention.
        given: what goes in.
        output: what comes out.

    Raises:
        TypeError: for another layer.
    """
    if isinstance(layer, nn.Conv2d):
        return output.numel() * layer.weight[0].numel()
    if isinstance(layer, nn.ConvTranspose2d):
        return given.numel() * layer.weight[0].numel()
    if isinstance(layer, nn.Linear):
        return output.numel() * layer.in_features
    if isinstance(layer, SelfAttention):
        B, C, H, W = given.shape
        return 2 * B * (H * W) ** 2 * C  # who looks at whom, and the sum of what is seen
    raise TypeError(f"no rule to count the multiply-adds of {type(layer).__name__}")


def _counts(part: nn.Module) -> bool:
    return isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | SelfAttention)
