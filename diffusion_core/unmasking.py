"""Absorbing processes seen as masked-token prediction: unmasking in a chosen order, and the bound.

In an absorbing process an element is either [MASK] or, for good, clean. A reverse step therefore
decides two things: which masked elements are shown, and what they are. The process leaves the first
to chance and asks the network about the second alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.denoisers import DiscreteDenoiser
from diffusion_core.discrete import DiscreteDiffusion, sample_categorical, uniforms_like
from diffusion_core.discrete_elbo import cross_entropy
from diffusion_core.discrete_sampling import belief
from diffusion_core.schedules import down_to_0

TIE = 1e-9
"""Equal confidences are put in a random order, and only those: this is what chance adds to them."""

ORDERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "random": lambda confidence, chance: chance,
    "confidence": lambda confidence, chance: confidence + TIE * chance,
}
"""(probability of the drawn state, uniform number) -> score, elementwise; the highest go first."""


class UnmaskStep(NamedTuple):
    """One stop on the way from [MASK] to data.

    Attributes:
        t: where x_t sits; the last step has t == 0.
        x_t: [B, *D] int64.
        x0_probs: [B, *D, K] float64, what the denoiser believes of x_0; None at t == 0.
        shown: [B, *D] bool, the elements that this step unmasks; None at t == 0.
    """

    t: int
    x_t: Tensor
    x0_probs: Tensor | None
    shown: Tensor | None


def unmask_chance(diffusion: DiscreteDiffusion, t: Tensor, s: Tensor) -> Tensor:
    r"""Probability that an element masked at t is not masked at s, [B] float64.

    $$\frac{\bar\alpha_s-\bar\alpha_t}{1-\bar\alpha_t}, \qquad
    \bar\alpha_t = \prod_{i\le t}(1-\beta_i)$$

    With betas 1/(T-t+1) it is (t-s)/t: as many are shown in each step of one length. Source: Austin
    et al. 2021, eq. 3 for the kernel of eq. 7.

    Args:
        diffusion: an absorbing process.
        t: [B] int64.
        s: [B] int64, s < t.

    Raises:
        ValueError: for a process that is not absorbing.
    """
    mask, other = _mask_and_other(diffusion)
    masked = torch.full((len(t), 1), mask, dtype=torch.int64)
    clean = torch.full_like(masked, other)
    return diffusion.q_posterior(masked, clean, t, s)[:, 0, other]


def masked_prediction_terms(
    diffusion: DiscreteDiffusion,
    x0_logits: Tensor,
    x_t: Tensor,
    x0: Tensor,
    t: Tensor,
    s: Tensor | None = None,
) -> Tensor:
    r"""The bound's term as a fill-in-the-blank loss: cross entropy where [MASK] is, and a weight.

    $$L_{t-1} = \frac{\bar\alpha_{t-1}-\bar\alpha_t}{1-\bar\alpha_t}
    \sum_{i:\,x_t^i=m} -\log p_\theta(x_0^i|x_t), \qquad
    \text{weight } \tfrac1t \text{ for } \beta_t = \tfrac{1}{T-t+1}$$

    The weight is the chance that the element is shown in this step. Source: Austin et al. 2021,
    section 4 and appendix A.3. It equals `discrete_elbo.vb_terms` for a [MASK] that data never
    hold and a belief that is sure of what is not masked (`carry_over`): without that, the bound
    charges shown elements for the last step, too.

    Args:
        diffusion: an absorbing process.
        x0_logits: [B, *D, K], the model's belief; -inf for [MASK].
        x_t: [B, *D] int64.
        x0: [B, *D] int64.
        t: [B] int64.
        s: [B] int64, any s < t; t - 1 where not given.

    Returns:
        [B, *D] nats, 0 where x_t is not [MASK].
    """
    weight = unmask_chance(diffusion, t, t - 1 if s is None else s).to(x_t.device)
    mask, _ = _mask_and_other(diffusion)
    cost = cross_entropy(x0_logits, x0).masked_fill(x_t != mask, 0.0)
    return weight.reshape(-1, *[1] * (x_t.ndim - 1)) * cost


def carry_over(diffusion: DiscreteDiffusion, denoiser: DiscreteDenoiser) -> DiscreteDenoiser:
    r"""Belief of an absorbing process: what is not masked is clean, whatever the network says.

    $$p(x_0^i = x_t^i\,|\,x_t) = 1 \quad \text{where } x_t^i \ne m$$

    Both reverse rules say so at every s > 0; at s = 0 they return the belief, and a network that
    does not know it could change what has been shown. Source: Sahoo et al. 2024 (MDLM), section
    3.2.3, carry-over unmasking.

    Args:
        diffusion: an absorbing process.
        denoiser: predicts x_0.

    Raises:
        ValueError: for a process that is not absorbing.
    """
    mask, _ = _mask_and_other(diffusion)

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        logits = denoiser(x_t, t, label)
        certain = torch.full_like(logits, -torch.inf).scatter(-1, x_t[..., None], 0.0)
        return torch.where((x_t == mask)[..., None], logits, certain)

    return predict


def sample_in_order(
    diffusion: DiscreteDiffusion,
    denoiser: DiscreteDenoiser,
    x_T: Tensor,
    timesteps: Sequence[int],
    *,
    order: str = "random",
    label: Tensor | None = None,
    generator: torch.Generator,
    likeliest_last: bool = False,
) -> Iterator[UnmaskStep]:
    r"""Unmask step by step: the process says how many, the order says which.

    $$n \sim \mathrm{Bin}\left(\#\{i: x_t^i=m\},\
    \frac{\bar\alpha_s-\bar\alpha_t}{1-\bar\alpha_t}\right)$$

    In random order this is the reverse process itself, drawn in two parts: the masked elements
    toss a coin each, so their number is binomial and every set of that number equally likely. In
    order of confidence (the probability of the state that was drawn) it is the decoder of MaskGIT,
    but with the process's counts. That is another distribution: the bound says nothing about it.

    Source: Austin et al. 2021, eq. 7; Chang et al. 2022 (MaskGIT), section 3.2.

    Args:
        diffusion: an absorbing process whose [MASK] data never hold.
        denoiser: predicts x_0.
        x_T: [B, *D] int64, sits at timesteps[0].
        timesteps: decreasing, each in 1..T; a last step to 0 is implied.
        order: key in `ORDERS`.
        label: [B] int64 classes, or None.
        generator: draws counts, order and states. Two orders draw the same numbers from it, as long
            as they show as many.
        likeliest_last: take the likeliest x_0 at the last step, as `sample_discrete` does.

    Yields:
        One step per timestep, and a last one at t == 0 that carries x_0.

    Raises:
        ValueError: for an unknown order, a process that is not absorbing, timesteps that do not
            decrease within 1..T, states outside of 0..K-1: on the call. While walking: where the
            denoiser believes in a clean [MASK].
    """
    steps = down_to_0(diffusion.T, timesteps)
    if order not in ORDERS:
        raise ValueError(f"unknown order {order!r}; known are {', '.join(ORDERS)}")
    mask, _ = _mask_and_other(diffusion)
    diffusion.require_states("x_T", x_T)

    def walk() -> Iterator[UnmaskStep]:
        x_t = x_T
        for now, then in itertools.pairwise(steps):
            t, s = (torch.full((len(x_t),), k, dtype=torch.int64) for k in (now, then))
            x0_probs = belief(denoiser(x_t, t, label))
            blank = x_t == mask
            if bool((x0_probs[..., mask] * blank > 0).any()):
                raise ValueError("an order needs a [MASK] that no clean element can be")
            x0 = sample_categorical(x0_probs, uniforms_like(x0_probs, generator))
            if likeliest_last and then == 0:
                x0 = x0_probs.argmax(-1)
            sure = x0_probs.gather(-1, x0[..., None])[..., 0]
            waiting = blank.flatten(1).sum(1).double()
            count = torch.binomial(waiting, unmask_chance(diffusion, t, s), generator)
            scores = ORDERS[order](sure, uniforms_like(sure, generator))
            shown = _highest(scores.masked_fill(~blank, -torch.inf), count)
            yield UnmaskStep(now, x_t, x0_probs, shown)
            x_t = torch.where(shown, x0, x_t)
        yield UnmaskStep(0, x_t, None, None)

    return walk()


def _highest(scores: Tensor, count: Tensor) -> Tensor:
    """Which elements are among the `count` [B] highest of their example: [B, *D] bool."""
    flat = scores.flatten(1)
    ranked = flat.argsort(1, descending=True)
    among = torch.arange(flat.shape[1]) < count[:, None]
    return torch.zeros_like(flat, dtype=torch.bool).scatter(1, ranked, among).reshape(scores.shape)


def _mask_and_other(diffusion: DiscreteDiffusion) -> tuple[int, int]:
    """The absorbing state, and some other one.

    Raises:
        ValueError: for a process in which a state can become anything but itself or [MASK].
    """
    if diffusion.mask is not None:
        other = int(diffusion.mask == 0)
        row = diffusion.q_marginal(torch.tensor([[other]]), torch.tensor([diffusion.T]))[0, 0]
        if float(row[diffusion.mask] + row[other]) == float(row.sum()):
            return diffusion.mask, other
    raise ValueError("only an absorbing process unmasks: every state stays or becomes [MASK]")
