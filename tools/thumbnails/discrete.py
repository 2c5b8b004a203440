"""The pictures of the chapter on discrete diffusion."""

from __future__ import annotations

import torch
from torch import Tensor

from diffusion_core.discrete import KERNELS, REVERSE_RULES
from diffusion_core.discrete_sampling import belief, exact_denoiser, sample_discrete
from diffusion_core.schedules import SCHEDULES
from tools.thumbnails.pen import bars, ground, svg, tile

K = 5
DATA = torch.tensor([0.34, 0.08, 0.26, 0.06, 0.26]).double()


def betas(T: int) -> list[float]:
    """The cosine schedule's rates."""
    found: list[float] = SCHEDULES["cosine"](T).beta[1:].tolist()
    return found


def transition_matrices() -> str:
    """Two ways for a category to get lost: to its neighbours, or to one absorbing state."""
    near = KERNELS["gaussian"](K, [0.12] * 10).q_marginal_matrix(6)
    gone = KERNELS["absorbing"](K, betas(20)).q_marginal_matrix(10)
    shown = [matrix / matrix.max() for matrix in (near, gone)]
    return svg(
        *(tile(m, x, 6, 9, "q", levels=8, gap=1) for m, x in zip(shown, (2, 50), strict=True))
    )


def row(probs: Tensor, base: float, height: float, concept: str, opacity: float = 1) -> str:
    """K probabilities as bars from the left to the right edge, the highest of them `height`."""
    tall = (probs / probs.max() * height).tolist()
    return bars([(4 + 18.5 * k, base - h, 14, h) for k, h in enumerate(tall)], concept, opacity)


def discrete_posterior() -> str:
    """A row of one matrix, a column of another, and state by state their product."""
    process = KERNELS["gaussian"](K, [0.1] * 10)
    x0, x_t = 1, 3
    before, step = process.q_marginal_matrix(3)[x0], process.q_matrix(6, 3)[:, x_t]
    after = process.q_posterior(torch.tensor([[x_t]]), torch.tensor([[x0]]), *both(6, 3))[0, 0]
    parts = [(before, 18, "x0"), (step, 35, "xt"), (after, 52, "q")]
    return svg(*(row(p, y, 13, concept) + ground(y) for p, y, concept in parts))


def both(t: int, s: int) -> tuple[Tensor, Tensor]:
    """Two steps, as the core takes them."""
    return torch.tensor([t]), torch.tensor([s])


def reverse_rules() -> str:
    """What two rules make of one exact belief: the true step, and another."""
    process = KERNELS["uniform"](K, [0.2] * 6)
    x_t, (t, s) = torch.tensor([[1]]), both(6, 3)
    probs = belief(exact_denoiser(process, DATA)(x_t, t))
    pairs = [REVERSE_RULES[name](process, x_t, probs, t, s)[0, 0] for name in REVERSE_RULES]
    top = float(torch.stack(pairs).max())
    drawn = []
    for told, concept, x in zip(pairs, ("q", "p"), (3, 10.5), strict=True):
        tall = (told / top * 47).tolist()
        drawn.append(bars([(x + 19 * k, 52 - h, 6.5, h) for k, h in enumerate(tall)], concept, 0.8))
    return svg(*drawn, ground())


def discrete_sampling() -> str:
    """Masked places that get their categories, from the top row to the bottom one."""
    places, T = 9, 4
    process = KERNELS["absorbing"](4, [1 / (T - k) for k in range(T)])
    denoiser = exact_denoiser(process, torch.tensor([0.4, 0.35, 0.25, 0]).double())
    walk = sample_discrete(
        process, denoiser, torch.full((1, places), 3), range(T, 0, -1),
        generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    states = torch.cat([step.x_t for step in walk])
    strength = torch.tensor([1.0, 0.6, 0.3, 0.0])[states]
    masked = states.eq(3) * 0.2
    return svg(
        *(tile(v, 4, 4, 10, c, levels=10, gap=2) for v, c in ((strength, "x0"), (masked, "xt")))
    )


THUMBNAILS = {
    "transition_matrices": transition_matrices,
    "discrete_posterior": discrete_posterior,
    "reverse_rules": reverse_rules,
    "discrete_sampling": discrete_sampling,
}
