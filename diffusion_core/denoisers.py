"""What a sampler sees: something that looks at a noisy picture and names x0 and eps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from diffusion_core.gaussian import GaussianDiffusion, require_alike
from diffusion_core.parameterization import Parameterization, Prediction

CHANCY = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
"""Layers that answer otherwise while they are trained."""


class Denoiser(Protocol):
    """Anything that predicts: a network, the exact posterior mean, a guided combination."""

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        """Predict x0 and eps.

        Args:
            x_t: [B, *D] noisy pictures.
            t: [B] int64, the step each one sits at, in 1..T.
            label: [B] int64 class of each picture, or None for "any".
        """
        ...


def ask(denoiser: Denoiser, x_t: Tensor, t: Tensor, label: Tensor | None) -> Prediction:
    """What a denoiser says of x_t [B, *D], in x_t's dtype and on its device.

    Raises:
        ValueError: for an answer of another shape, which would be stretched in silence.
    """
    told = denoiser(x_t, t, label)
    require_alike("the denoiser's x0", told.x0, x_t)
    require_alike("the denoiser's eps", told.eps, x_t)
    fraction = None if told.var_fraction is None else told.var_fraction.to(x_t)
    return Prediction(told.x0.to(x_t), told.eps.to(x_t), fraction)


class DiscreteDenoiser(Protocol):
    """Anything that says what it believes of x_0: a network, the exact belief."""

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Predict x_0.

        Args:
            x_t: [B, *D] int64.
            t: [B] int64, the step each one sits at, in 1..T.
            label: [B] int64 class of each example, or None for "any".

        Returns:
            x_0 logits [B, *D, K]; -inf for a state that data never hold ([MASK]).
        """
        ...


@dataclass(frozen=True, eq=False)
class NetworkDenoiser:
    """A network read through its parameterization.

    Args:
        module: called as module(x_t, t, label) -> [B, C, H, W], or [B, 2C, H, W] where it also
            predicts the variance (second half in [-1, 1], mapped to a fraction in [0, 1]).
        diffusion: the process the network was trained for.
        parameterization: what its output means.
        pool: where given, a batch is cut into `parts` pieces that run side by side in its threads.
            With one torch thread each, two halves on two idle cores take as long as one batch with
            two torch threads (16 ms per 16 digits), and on busy cores they slow down gently: torch
            threads wait for each other at every layer (32 ms against 245 ms, measured beside a
            training run).
        parts: pieces per batch.

    Raises:
        ValueError: for a network with dropout or batch normalisation in training mode.
    """

    module: nn.Module
    diffusion: GaussianDiffusion
    parameterization: Parameterization
    pool: Executor | None = None
    parts: int = 1

    def __post_init__(self) -> None:
        if any(isinstance(part, CHANCY) and part.training for part in self.module.modules()):
            raise ValueError("the network is in training mode: call module.eval() before")

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        """Run the network in its own precision; results have x_t's dtype, and no gradient.

        Raises:
            ValueError: where a gradient by x_t is asked for, which would be wrong in silence, and
                for a network whose output is of another shape.
        """
        if x_t.requires_grad and torch.is_grad_enabled():
            raise ValueError("no gradient goes through here: call the network itself for one")
        run = map if self.pool is None else self.pool.map
        pieces = x_t.chunk(self.parts)
        labels = [None] * len(pieces) if label is None else label.chunk(self.parts)
        ask = partial(within_memory, self._run)
        output = torch.cat(list(run(ask, pieces, t.chunk(self.parts), labels)))
        var_fraction = None
        if output.shape[1:] not in {x_t.shape[1:], (2 * x_t.shape[1], *x_t.shape[2:])}:
            shapes = f"{list(output.shape)} for pictures {list(x_t.shape)}"
            raise ValueError(f"the network answers with {shapes}: as many channels, or twice that")
        if output.shape[1] == 2 * x_t.shape[1]:
            output, var_fraction = split_variance(output)
        a, sigma = self.diffusion.rates(t, x_t)
        prediction = self.parameterization.recover(output, x_t, a, sigma)
        return prediction._replace(var_fraction=var_fraction)

    def _run(self, x_t: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        """The network's output in x_t's dtype; inference mode is a matter of the thread."""
        weight = next(self.module.parameters(), x_t)
        with torch.inference_mode():
            output: Tensor = self.module(x_t.to(weight), t.to(weight.device), label)
            return output.to(x_t)


def within_memory(
    run: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    x_t: Tensor,
    t: Tensor,
    label: Tensor | None,
) -> Tensor:
    """run(x_t, t, label), in halves of halves where the GPU has no memory for the whole batch.

    Raises:
        MemoryError: when not even one example fits; the message is one sentence for a reader.
    """
    try:
        return run(x_t, t, label)
    except torch.OutOfMemoryError:
        if len(x_t) == 1:
            raise MemoryError(
                "The GPU has no memory left, not even for one example: end what else runs on it, "
                "or hide it with CUDA_VISIBLE_DEVICES= to compute on the CPU."
            ) from None
    # Out here the exception is gone, and with it the tensors that its frames held.
    labels = (None, None) if label is None else label.chunk(2)
    halves = zip(x_t.chunk(2), t.chunk(2), labels, strict=True)
    return torch.cat([within_memory(run, *half) for half in halves])


def split_variance(output: Tensor) -> tuple[Tensor, Tensor]:
    """Cut a network's [B, 2C, H, W] output into the picture and the variance fraction.

    Source: improved-diffusion, `LEARNED_RANGE`: the second half is meant to lie in [-1, 1].
    """
    picture, var = output.chunk(2, dim=1)
    return picture, (var + 1) / 2


def ideal_denoiser(
    diffusion: GaussianDiffusion,
    data: Tensor,
    labels: Tensor | None = None,
    chunk: int = 1024,
) -> Denoiser:
    r"""The best denoiser there is when the data set is all there is: the exact posterior mean.

    $$E[x_0|x_t] = \sum_i w_i\,x^{(i)}, \qquad
    w_i \propto \exp\left(-\frac{\lVert x_t - a\,x^{(i)}\rVert^2}{2\sigma^2}\right)$$

    Source: Karras et al. 2022, appendix B.3.

    Args:
        diffusion: the process.
        data: [N, *D] float.
        labels: [N] int64, needed only when it is asked for a class.
        chunk: data points compared at once; memory grows with B * chunk.

    Raises:
        ValueError: (when called) for a label without `labels`, a class with no data, or t = 0.
    """
    flat = data.flatten(1)

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        if label is not None and labels is None:
            raise ValueError("this data set has no labels to select a class by")
        a, sigma = diffusion.rates(t, x_t)
        require_noise(sigma)
        # A running softmax: the weighted mean of what was seen so far, its log weight beside it.
        mean = torch.zeros_like(x_t.flatten(1), dtype=torch.float64)
        log_total = mean.new_full((len(mean), 1), -torch.inf)
        for start in range(0, len(flat), chunk):
            part = flat[start : start + chunk].to(mean)
            logits = log_likelihood(diffusion, part, x_t, t)
            if label is not None and labels is not None:
                chosen = labels[start : start + chunk].to(x_t.device) == label[:, None]
                logits = logits.masked_fill(~chosen, -torch.inf)
            log_part = logits.logsumexp(1, keepdim=True)
            both = torch.logaddexp(log_total, log_part)
            floor = both.clamp(min=torch.finfo(both.dtype).min)
            mean = mean * (log_total - floor).exp() + (logits - floor).exp() @ part
            log_total = both
        if bool(torch.isinf(log_total).any()):
            raise ValueError("the data set has no example of the asked class")
        x0 = mean.reshape(x_t.shape)
        return Prediction(x0.to(x_t), ((x_t - a * x0) / sigma).to(x_t))

    return predict


def require_noise(sigma: Tensor) -> None:
    """Refuse t = 0, where an exact denoiser would divide by the noise rate sigma.

    Raises:
        ValueError: where sigma is 0.
    """
    if bool((sigma == 0).any()):
        raise ValueError("at t = 0 there is no noise to remove: a denoiser begins at t = 1")


def log_likelihood(diffusion: GaussianDiffusion, points: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    r"""How likely each data point is to have become x_t, as logarithms up to one number per row.

    $$\log q(x_t|x^{(i)}) = -\frac{\lVert x_t - a\,x^{(i)}\rVert^2}{2\sigma^2} + \text{const}$$

    Source: Ho et al. 2020, eq. 4. In float64 whatever comes in: at small t these are of the order
    of 1e6 to 1e8, which float32 rounds to whole numbers.

    Args:
        diffusion: the process.
        points: [N, D], flat.
        x_t: [B, *D].
        t: [B] int64, 1 <= t.

    Returns:
        [B, N] float64.
    """
    a, sigma = (rate.reshape(-1, 1) for rate in diffusion.rates(t, x_t))
    points, flat = points.double(), x_t.flatten(1).double()
    # |x_t|^2 is the same for every data point, so a softmax never sees it.
    sizes: Tensor = torch.linalg.vector_norm(points, dim=1).square()
    return (a * flat @ points.T - 0.5 * a.square() * sizes) / sigma.square()
