"""How the steps are chosen when a few terms of a bound stand for all, and what they tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Proposal(Protocol):
    """A way to choose which terms to look at."""

    def probabilities(self) -> Tensor:
        """[T] float64 on the CPU, all positive, with sum 1: how often t = 1..T is drawn."""
        ...

    def update(self, t: Tensor, nats: Tensor) -> None:
        """Learn from terms that were computed: t [N] int64 and their nats [N]."""
        ...


class Uniform:
    r"""Every step is as likely as every other: $p_t = 1/T$."""

    def __init__(self, T: int) -> None:
        self.T = T

    def probabilities(self) -> Tensor:
        """[T] float64."""
        return torch.full((self.T,), 1 / self.T, dtype=torch.float64)

    def update(self, t: Tensor, nats: Tensor) -> None:
        """Nothing to learn."""


class LossHistory:
    r"""Look more often where terms were large lately.

    $$p_t \propto \sqrt{E[L_t^2]}$$

    Source: Nichol & Dhariwal 2021, section 3.3; improved-diffusion,
    `LossSecondMomentResampler`. Uniform until every step has been seen `length` times; then a
    share of the draws stays uniform, so that no step is ever forgotten. Theirs is a thousandth. It
    is too little for a term that is 0 most of the time (one masked element): after `length` zeros
    it is hardly looked at, and an estimate that missed it understates its own error.

    Args:
        T: steps.
        length: how many of the latest values of each step count.
        floor: share of the draws that stays uniform; it makes a draw's mean square
            1/(1 - floor) times as large at most.
    """

    def __init__(self, T: int, length: int = 10, floor: float = 0.05) -> None:
        self.T, self.length, self.floor = T, length, floor
        self.history = torch.zeros(T, length, dtype=torch.float64)
        self.seen = torch.zeros(T, dtype=torch.int64)

    @property
    def warm(self) -> bool:
        """Whether every step has been seen often enough."""
        return bool((self.seen >= self.length).all())

    def probabilities(self) -> Tensor:
        """[T] float64."""
        uniform = torch.full((self.T,), 1 / self.T, dtype=torch.float64)
        weights = self.history.square().mean(1).sqrt()
        if not self.warm or not bool(weights.any()):
            return uniform
        return (1 - self.floor) * weights / weights.sum() + self.floor * uniform

    def update(self, t: Tensor, nats: Tensor) -> None:
        """Remember these terms: t [N] int64, nats [N]; the oldest ones are forgotten."""
        for step, value in zip(t.tolist(), nats.tolist(), strict=True):
            slot = int(self.seen[step - 1]) % self.length
            self.history[step - 1, slot] = value
            self.seen[step - 1] += 1


PROPOSALS: dict[str, Callable[[int], Proposal]] = {"uniform": Uniform, "importance": LossHistory}
"""T -> a fresh proposal."""


def proposal_for(T: int, proposal: str | Proposal) -> Proposal:
    """A fresh proposal by its name; or the given one, which may have learned already.

    Raises:
        ValueError: for one that is unknown or has another T.
    """
    if isinstance(proposal, str):
        if proposal not in PROPOSALS:
            raise ValueError(f"unknown proposal {proposal!r}; known are {', '.join(PROPOSALS)}")
        return PROPOSALS[proposal](T)
    if len(proposal.probabilities()) != T:
        raise ValueError("the proposal was made for another number of steps")
    return proposal


def draw_steps(probabilities: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """[count] int64 steps in 1..T; drawn on the generator's device, returned on the CPU."""
    if count == 0:  # which multinomial refuses
        return torch.empty(0, dtype=torch.int64)
    weights = probabilities.to(generator.device)
    return 1 + torch.multinomial(weights, count, replacement=True, generator=generator).cpu()


class Estimate(NamedTuple):
    """A mean of independent draws, and how far off it typically is.

    Attributes:
        mean: [B] nats.
        standard_error: [B] nats: the draws' standard deviation over the root of their number.
    """

    mean: Tensor
    standard_error: Tensor

    @classmethod
    def of(cls, draws: Tensor) -> Estimate:
        r"""From independent draws [B, n], n at least 2.

        $$\bar L = \frac1n\sum_i \hat L_i, \qquad
        \sqrt{\frac{1}{n(n-1)}\sum_i (\hat L_i - \bar L)^2}$$
        """
        n, mean = draws.shape[1], draws.mean(1)
        gaps = (draws - mean[:, None]).square().sum(1)
        return cls(mean, (gaps / (n * (n - 1))).sqrt())
