"""A network so small that it learns a score while one looks on: denoising score matching."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffusion_core.denoisers import Denoiser, NetworkDenoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.mixtures import GaussianMixture, mixture_denoiser
from diffusion_core.networks import step_waves
from diffusion_core.parameterization import PARAMETERIZATIONS


class PointNetwork(nn.Module):
    """Four layers that look at a point and at the step, and name the noise in it.

    Args:
        D: numbers of a point.
        width: of a layer.
        frequencies: how many, of the waves that the step is told by.
        waves: frequencies of the waves that a point is told by, besides itself. Without them fine
            structure comes late: of the spiral's walks 63 % end off it instead of 11 %.
        out: numbers of an answer; 0 for as many as a point has.
        generator: draws the first weights; the layers' own would come from the global state.
    """

    def __init__(
        self,
        D: int = 2,
        width: int = 96,
        frequencies: int = 8,
        waves: Sequence[float] = (2.0, 4.0),
        out: int = 0,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.frequencies, self.waves = frequencies, tuple(waves)
        sizes = [D + 2 * D * len(self.waves) + 2 * frequencies, width, width, width, out or D]
        linear = [nn.Linear(before, after) for before, after in itertools.pairwise(sizes)]
        with torch.no_grad():
            for layer in linear:
                bound = 1 / math.sqrt(layer.in_features)
                for values in (layer.weight, layer.bias):
                    values.uniform_(-bound, bound, generator=generator)
        self.layers = nn.Sequential(
            *(part for layer in linear[:-1] for part in (layer, nn.SiLU())), linear[-1]
        )

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """[B, D] and [B] -> [B, D], or [B, out]; a label is not looked at."""
        angles = torch.cat([x_t[:, :0], *(wave * x_t for wave in self.waves)], dim=1)
        told = [x_t, angles.sin(), angles.cos(), step_waves(t, self.frequencies)]
        answer: Tensor = self.layers(torch.cat(told, dim=1))
        return answer


class Errors(NamedTuple):
    """What a denoiser gets wrong, as squared errors of the noise per number.

    Attributes:
        loss: against the noise that was drawn.
        floor: the same of the best denoiser there is.
        score: against what the best denoiser says.
    """

    loss: float
    floor: float
    score: float


def matching_errors(
    diffusion: GaussianDiffusion, denoiser: Denoiser, best: Denoiser, x0: Tensor, t: Tensor,
    eps: Tensor,
) -> Errors:  # fmt: skip
    r"""A training loss in its two parts: what is to be learnt, and what nobody can know.

    $$E\lVert\epsilon_\theta - \epsilon\rVert^2 = A + B, \qquad
    A = E\lVert\epsilon_\theta - E[\epsilon|x_t]\rVert^2, \qquad
    B = E\lVert\epsilon - E[\epsilon|x_t]\rVert^2$$

    Source: Vincent 2011, eq. 11 and its appendix: matching the noise of one pair and matching the
    score differ by a number without theta. Equal on average; over few draws nearly.

    Args:
        diffusion: the process.
        denoiser: what is judged.
        best: the exact one.
        x0: [B, D] clean points.
        t: [B] int64.
        eps: [B, D] the noise.
    """
    x_t = diffusion.q_sample(x0, t, eps)
    said, known = denoiser(x_t, t).eps, best(x_t, t).eps
    loss, floor, gap = (d.square().mean() for d in (said - eps, known - eps, said - known))
    return Errors(float(loss), float(floor), float(gap))


class Look(NamedTuple):
    """A network on its way.

    Attributes:
        steps: gradient steps so far.
        denoiser: the network as it is now; it learns on when the next look is asked for.
        errors: measures it, as it is when called, on draws that it is not trained with.
    """

    steps: int
    denoiser: NetworkDenoiser
    errors: Callable[[], Errors]


def learn_score(
    diffusion: GaussianDiffusion,
    mixture: GaussianMixture,
    *,
    steps: int = 1500,
    batch: int = 256,
    rate: float = 8e-3,
    judged: int = 8192,
    seed: int = 0,
) -> Iterator[Look]:
    r"""Train a small network on noisy points, and show it as it learns.

    $$\min_\theta\ E\,\lVert\epsilon_\theta(a x_0 + \sigma\epsilon,\ t) - \epsilon\rVert^2$$

    Source: Ho et al. 2020, eq. 14; Adam, its rate falling to 0 along a cosine.

    Args:
        diffusion: the process.
        mixture: the data; every batch is drawn anew.
        steps: gradient steps in all.
        batch: points per step.
        rate: Adam's first learning rate.
        judged: draws that the errors are measured on, the same at every look.
        seed: of weights, batches and those draws.

    Yields:
        The untrained network, then what has become of it after each gradient step.
    """
    generator = torch.Generator().manual_seed(seed)
    D = mixture.means.shape[1]
    network = PointNetwork(D, generator=generator)
    denoiser = NetworkDenoiser(network, diffusion, PARAMETERIZATIONS["eps"])
    best = mixture_denoiser(diffusion, mixture)

    def draw(n: int) -> tuple[Tensor, Tensor, Tensor]:
        x0 = mixture.sample(n, generator).float()
        t = torch.randint(1, diffusion.T + 1, (n,), generator=generator)
        return x0, t, torch.randn(n, D, generator=generator)

    held = draw(judged)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def errors() -> Errors:
        return matching_errors(diffusion, denoiser, best, *held)

    for step in range(steps + 1):
        if step:
            x0, t, eps = draw(batch)
            with torch.enable_grad():
                loss = (network(diffusion.q_sample(x0, t, eps), t) - eps).square().mean()
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
            schedule.step()
        yield Look(step, denoiser, errors)
