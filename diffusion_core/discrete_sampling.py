"""Discrete reverse sampling: a generator of steps, so that the caller owns drawing and pausing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffusion_core.denoisers import DiscreteDenoiser, within_memory
from diffusion_core.discrete import (
    REVERSE_RULES,
    DiscreteDiffusion,
    require_probabilities,
    sample_categorical,
    uniforms_like,
)
from diffusion_core.schedules import down_to_0


@dataclass(frozen=True, eq=False)
class NetworkDiscreteDenoiser:
    """A network over categories as a denoiser; its logits come in float32.

    Attributes:
        module: called as module(x_t, t, label) -> [B, *D, K].
        diffusion: the process the network was trained for.
        pool: where given, a batch is cut into `parts` pieces that run side by side in its threads,
            as in `denoisers.NetworkDenoiser`.
        parts: pieces per batch.
    """

    module: nn.Module
    diffusion: DiscreteDiffusion
    pool: Executor | None = None
    parts: int = 1

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Run the network; the result is on x_t's device."""
        run = map if self.pool is None else self.pool.map
        pieces = x_t.chunk(self.parts)
        labels = [None] * len(pieces) if label is None else label.chunk(self.parts)
        ask = partial(within_memory, self._run)
        return torch.cat(list(run(ask, pieces, t.chunk(self.parts), labels)))

    def _run(self, x_t: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        place = next(self.module.parameters()).device
        with torch.inference_mode():
            output: Tensor = self.module(x_t.to(place), t.to(place), label)
            return output.float().to(x_t.device)


class DiscreteStep(NamedTuple):
    """One stop on the way from noise to data; three of its fields have K numbers per element.

    Attributes:
        t: where x_t sits; the last step has t == 0.
        x_t: [B, *D] int64.
        x0_probs: [B, *D, K] float64, what the denoiser believes of x_0; None at t == 0.
        probs: [B, *D, K] float64, what the next x_s is drawn from; None at t == 0.
        uniforms: [B, *D, K], what it is drawn with; None at t == 0, and where the likeliest state
            is taken instead.
    """

    t: int
    x_t: Tensor
    x0_probs: Tensor | None
    probs: Tensor | None
    uniforms: Tensor | None


def sample_discrete(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    x_T: Tensor,
    timesteps: Sequence[int],
    *,
    rule: str = "mixture",
    label: Tensor | None = None,
    generator: torch.Generator | None = None,
    uniforms: Iterable[Tensor] | None = None,
    likeliest_last: bool = False,
) -> Iterator[DiscreteStep]:
    """Walk from x_T to data, one step at a time; nothing is computed before it is asked for.

    Source: Austin et al. 2021, section 3.3; Gu et al. 2022, eq. 13 (both with any stride).

    Args:
        diffusion: the process the denoiser was trained for.
        denoiser: predicts x_0.
        x_T: [B, *D] int64, sits at timesteps[0]; `diffusion.prior_sample` draws one.
        timesteps: decreasing, each in 1..T; a last step to 0 is implied.
        rule: key in `REVERSE_RULES`.
        label: [B] int64 classes, or None.
        generator: draws the uniforms, unless they are given.
        uniforms: one [B, *D, K] tensor in [0, 1] per step, to repeat a walk exactly.
        likeliest_last: take the likeliest x_0 at the last step, as D3PM's code does; VQ-Diffusion's
            draws there too.

    Yields:
        One step per timestep, and a last one at t == 0 that carries x_0.

    Raises:
        ValueError: for an unknown rule, timesteps that do not decrease within 1..T, states outside
            of 0..K-1, not exactly one source of randomness. Raised on the call. While walking: for
            logits that are no belief (NaN, all -inf), or that rule out every x_0 that could have
            become x_t.
    """
    steps = down_to_0(diffusion.T, timesteps)
    if rule not in REVERSE_RULES:
        raise ValueError(f"unknown name {rule!r}; known are {', '.join(REVERSE_RULES)}")
    diffusion.require_states("x_T", x_T)
    given = None if uniforms is None else iter(uniforms)
    if (generator is None) == (given is None):
        raise ValueError("give either a generator or the uniforms, not both")

    def draw(probs: Tensor) -> Tensor:
        if generator is not None:
            return uniforms_like(probs, generator)
        assert given is not None
        fresh = next(given, None)
        if fresh is None:
            raise ValueError(f"the uniforms ran out: {len(steps) - 1} are needed, one per step")
        return fresh.to(probs)

    def walk() -> Iterator[DiscreteStep]:
        x_t = x_T
        for now, then in itertools.pairwise(steps):
            t, s = (torch.full((len(x_t),), k, dtype=torch.int64) for k in (now, then))
            x0_probs = belief(denoiser(x_t, t, label))
            probs = REVERSE_RULES[rule](diffusion, x_t, x0_probs, t, s)
            last = likeliest_last and then == 0
            noise = None if last else draw(probs)
            yield DiscreteStep(now, x_t, x0_probs, probs, noise)
            x_t = probs.argmax(-1) if noise is None else sample_categorical(probs, noise)
        yield DiscreteStep(0, x_t, None, None, None)

    return walk()


def belief(x0_logits: Tensor) -> Tensor:
    """Softmax in float64, [B, *D, K], so that no belief becomes 0 that has a finite logit near.

    Raises:
        ValueError: where logits are NaN, +inf, or -inf for every state.
    """
    if not x0_logits.is_floating_point():
        raise ValueError("x0 logits must be floating point")
    probs = x0_logits.double().softmax(-1)
    if bool(probs.isnan().any()):
        raise ValueError("x0 logits must hold a finite number per element, and no NaN or +inf")
    return probs


def exact_denoiser(diffusion: DiscreteDiffusion, data_probs: Tensor) -> DiscreteDenoiser:
    r"""The best denoiser there is where every element is drawn alike and by itself.

    $$p(x_0|x_t) = \frac{\pi(x_0)\,q(x_t|x_0)}{\sum_k \pi(k)\,q(x_t|k)}$$

    Source: Bayes' rule. An x_t that no data can become tells nothing: the answer is the data
    distribution there.

    Args:
        diffusion: the process.
        data_probs: pi, [K].

    Raises:
        ValueError: when data_probs is no distribution over the K states.
    """
    pi = _data(diffusion, data_probs)

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        joint = diffusion.q_likelihood(x_t, t, torch.zeros_like(t)) * pi.to(x_t.device)
        total = joint.sum(-1, keepdim=True)
        return torch.where(total > 0, joint / total, pi.to(x_t.device)).log()

    return predict


def true_reverse_matrix(diffusion: DiscreteDiffusion, data_probs: Tensor, t: int, s: int) -> Tensor:
    r"""The reverse process that a model tries to be, where every element is drawn by itself.

    $$q(x_s|x_t) = \frac{q(x_t|x_s)\,q(x_s)}{q(x_t)}, \qquad
    q(x_s) = \sum_{x_0} \pi(x_0)\,q(x_s|x_0)$$

    Source: Bayes' rule.

    Args:
        diffusion: the process.
        data_probs: pi, [K].
        t: where it starts.
        s: where it ends, any s < t.

    Returns:
        [K, K] float64, rows are x_t, columns x_s; a row is 0 where x_t can't be.
    """
    at_s = _data(diffusion, data_probs) @ diffusion.q_marginal_matrix(s)
    joint = (diffusion.q_matrix(t, s) * at_s[:, None]).T
    total = joint.sum(1, keepdim=True)
    return joint / torch.where(total > 0, total, 1.0)


def reverse_matrix(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    t: int,
    s: int,
    *,
    rule: str = "mixture",
) -> Tensor:
    """The reverse step of one element by itself: [K, K] float64, rows are x_t, columns x_s.

    Args:
        diffusion: the process.
        denoiser: predicts x_0 of [K] examples without further axes.
        t: where it starts.
        s: where it ends, any s < t.
        rule: key in `REVERSE_RULES`.
    """
    every = torch.arange(diffusion.K)
    after, before = (torch.full_like(every, step) for step in (t, s))
    probs = belief(denoiser(every, after, None))
    return REVERSE_RULES[rule](diffusion, every, probs, after, before)


def _data(diffusion: DiscreteDiffusion, data_probs: Tensor) -> Tensor:
    if data_probs.shape != (diffusion.K,) or not data_probs.is_floating_point():
        raise ValueError(f"the data distribution must be [{diffusion.K}] floating point")
    require_probabilities("the data distribution", data_probs)
    return data_probs.double()
