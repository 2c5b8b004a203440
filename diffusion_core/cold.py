"""Cold diffusion: pictures are degraded without noise, and a network learns to restore them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.schedules import down_to_0

Degradation = Callable[[Tensor, Tensor], Tensor]
"""(x_0 [B, *D], t [B] int64) -> x_t [B, *D]; t = 0 changes nothing."""

Restorer = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(x_t [B, *D], t [B] int64, label [B] int64 or None) -> what x_0 may have been, [B, *D]."""

STEPS = 40
WIDEST, NARROWEST = 24.0, 0.4


def blur_width(t: Tensor, T: int = STEPS) -> Tensor:
    r"""Standard deviation of the blur after t of T steps, in pixels; 0 at t = 0.

    $$\sigma_t = \sigma_1 \left(\sigma_T/\sigma_1\right)^{(t-1)/(T-1)}$$

    Source: evenly spaced in the logarithm, as Rissanen et al. 2023.

    Raises:
        ValueError: unless 0 <= t <= T.
    """
    if not bool(((t >= 0) & (t <= T)).all()):
        raise ValueError(f"t must lie in 0..{T}")
    grown = NARROWEST * (WIDEST / NARROWEST) ** ((t.double() - 1) / (T - 1))
    return torch.where(t > 0, grown, 0.0)


def cosine_basis(n: int) -> Tensor:
    r"""The orthonormal cosines of n pixels, one a row: float64 [n, n] (the DCT of type II).

    $$C_{ki} = \sqrt{\tfrac{2 - [k = 0]}{n}}\,\cos\frac{\pi k (i + 1/2)}{n}$$
    """
    k, i = torch.meshgrid(*[torch.arange(n, dtype=torch.float64)] * 2, indexing="ij")
    waves = torch.cos(torch.pi * k * (i + 0.5) / n)
    size = torch.full((n, 1), math.sqrt(2 / n), dtype=torch.float64)
    size[0] = math.sqrt(1 / n)
    return size * waves


def heat_factors(t: Tensor, n: int) -> Tensor:
    r"""What is left of each cosine of a blurred picture: float64 [B, n, n], 1 to (nearly) 0.

    $$f_{kl} = e^{-\sigma_t^2 (\lambda_k + \lambda_l)/2}, \qquad \lambda_k = (\pi k / n)^2$$

    Source: Rissanen et al. 2023, eq. 2: the heat equation's, with half of the squared width
    for time.

    Args:
        t: [B] int64.
        n: pixels along one side.
    """
    damping = (torch.pi * torch.arange(n, dtype=torch.float64) / n).square()
    width = blur_width(t.cpu())[:, None, None]
    per_axis = torch.exp(-0.5 * width.square() * damping[None, None])  # [B, 1, n]
    return per_axis.transpose(1, 2) * per_axis


def blur(x0: Tensor, t: Tensor) -> Tensor:
    r"""Let the gray of a picture spread like heat that can't leave it; its mean stays.

    $$x_t = C^\top \left(f \odot C x_0 C^\top\right) C$$

    Source: Rissanen et al. 2023, eq. 2; the blur of Bansal et al. 2022, section 4.1, is one of
    these up to the picture's border.

    Args:
        x0: [B, 1, n, n].
        t: [B] int64.
    """
    C = cosine_basis(x0.shape[-1]).to(x0)
    kept = heat_factors(t, x0.shape[-1])[:, None].to(x0)
    return C.T @ (kept * (C @ x0 @ C.T)) @ C


def unblur(x_t: Tensor, t: Tensor) -> Tensor:
    r"""Undo the blur by dividing each cosine by what was left of it, in x_t's own precision.

    $$x_0 = C^\top \left(C x_t C^\top / f\right) C$$

    Exact on paper. In a computer the rounding of x_t is divided by the same factors. A cosine of
    which nothing is left in that precision is left out.

    Args:
        x_t: [B, 1, n, n].
        t: [B] int64.
    """
    C = cosine_basis(x_t.shape[-1]).to(x_t)
    kept = heat_factors(t, x_t.shape[-1])[:, None].to(x_t)
    back = torch.where(kept > 0, 1 / kept, 0.0).nan_to_num(posinf=0.0)
    return C.T @ (back * (C @ x_t @ C.T)) @ C


def straight(direction: Tensor, T: int = STEPS) -> Degradation:
    r"""The degradation that goes straight on, the same way whatever the picture.

    $$D(x_0, t) = x_0 + \tfrac{t}{T}\,e$$

    Source: Bansal et al. 2022, section 3.3.

    Args:
        direction: e, [*D].
        T: the last step.
    """

    def degrade(x0: Tensor, t: Tensor) -> Tensor:
        share = (t.to(x0) / T).reshape(-1, *[1] * (x0.ndim - 1))
        return x0 + share * direction.to(x0)

    return degrade


def with_noise(diffusion: GaussianDiffusion, noise: Tensor) -> Degradation:
    r"""Noise as a degradation: one fixed noise, of which there is more and more.

    $$D(x_0, t) = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\hat z$$

    Source: Bansal et al. 2022, section 5 (“estimated noise” is the one of `noise_within`).

    Args:
        diffusion: the process.
        noise: z, [B, *D].
    """

    def degrade(x0: Tensor, t: Tensor) -> Tensor:
        return diffusion.q_sample(x0, t, noise)

    return degrade


def noise_within(diffusion: GaussianDiffusion, x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    r"""The noise that leads from a picture to x_t: [B, *D].

    $$\hat z = \frac{x_t - \sqrt{\bar\alpha_t}\,\hat x_0}{\sqrt{1-\bar\alpha_t}}$$

    Args:
        diffusion: the process.
        x_t: [B, *D].
        x0: [B, *D].
        t: [B] int64, above 0.
    """
    a, sigma = diffusion.rates(t, x_t)
    return (x_t - a.to(x_t) * x0) / sigma.to(x_t)


DEGRADATIONS: dict[str, Degradation] = {"blur": blur}


# --- the way back ---------------------------------------------------------------------------------


def naive_step(degrade: Degradation, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
    r"""Degrade the restored picture again, but less; x_t is looked at by the restorer alone.

    $$x_s = D(\hat x_0, s)$$

    Source: Bansal et al. 2022, algorithm 1.
    """
    return degrade(x0, s)


def improved_step(degrade: Degradation, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
    r"""Change x_t as the restored picture would change: where D goes straight, errors cancel.

    $$x_s = x_t - D(\hat x_0, t) + D(\hat x_0, s)$$

    Source: Bansal et al. 2022, algorithm 2.
    """
    return x_t - degrade(x0, t) + degrade(x0, s)


RULES: dict[str, Callable[[Degradation, Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "naive": naive_step,
    "improved": improved_step,
}


class ColdStep(NamedTuple):
    """One stop on the way back.

    Attributes:
        t: where x_t sits; 0 at the last one.
        x_t: [B, *D].
        x0: what was restored from it, [B, *D]; None at t = 0.
    """

    t: int
    x_t: Tensor
    x0: Tensor | None


def restore_steps(
    degrade: Degradation,
    restore: Restorer,
    x_t: Tensor,
    start: int,
    *,
    rule: str = "improved",
    label: Tensor | None = None,
) -> Iterator[ColdStep]:
    """Walk from t = `start` down to 0, one step at a time.

    Args:
        degrade: the degradation.
        restore: a restorer for it.
        x_t: [B, *D] at t = `start`.
        start: 1..T; for another one it is up to `degrade` to refuse, as `blur` does.
        rule: key in `RULES`.
        label: [B] int64 or None.

    Yields:
        start + 1 stops, the last one at t = 0.
    """
    for now in range(start, 0, -1):
        t = torch.full((len(x_t),), now)
        x0 = restore(x_t, t, label)
        yield ColdStep(now, x_t, x0)
        x_t = RULES[rule](degrade, x_t, x0, t, t - 1)
    yield ColdStep(0, x_t, None)


def restored(
    degrade: Degradation,
    restore: Restorer,
    x_t: Tensor,
    start: int,
    *,
    rule: str = "improved",
    label: Tensor | None = None,
) -> Tensor:
    """What `restore_steps` ends in; with "once" what the restorer says at first sight: [B, *D]."""
    if rule == "once":
        return restore(x_t, torch.full((len(x_t),), start), label)
    *_, last = restore_steps(degrade, restore, x_t, start, rule=rule, label=label)
    return last.x_t


def flat_gray(gray: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    r"""What to make digits from: one gray each, and a little noise that tells them apart.

    $$x_T = g + \delta\,\epsilon$$

    Source: Bansal et al. 2022, section 5, who draw g from a model of the data's mean colours.

    Args:
        gray: g, [B].
        noise: delta, the noise's standard deviation.
        generator: draws it.

    Returns:
        [B, 1, 28, 28].
    """
    shape = (len(gray), 1, 28, 28)
    return gray[:, None, None, None] + noise * torch.randn(shape, generator=generator)


def variety(x: Tensor) -> Tensor:
    r"""Mean squared difference of two pictures, per pixel, over all pairs: a scalar.

    $$V = \frac{2}{N(N-1)D} \sum_{i<j} \lVert x^{(i)} - x^{(j)} \rVert^2$$

    Computed as twice the pixels' mean variance, which is the same.

    Args:
        x: [N, *D].
    """
    return 2 * x.var(0).mean()


# --- noise, as one degradation among others -------------------------------------------------------


def noise_steps(
    diffusion: GaussianDiffusion,
    restore: Restorer,
    x_T: Tensor,
    timesteps: Sequence[int],
    *,
    rule: str = "improved",
    label: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[ColdStep]:
    r"""Walk from noise to a picture by the rules above, which know nothing of Gaussians.

    Args:
        diffusion: the process whose rates are taken.
        restore: names x_0.
        x_T: [B, *D] at timesteps[0].
        timesteps: decreasing, each in 1..T; a last step to 0 is implied.
        rule: key in `RULES`.
        label: [B] int64 or None.
        generator: draws fresh noise to degrade with at every step. None: the noise is the one that
            x_t holds if the restorer is right, and "improved" then is DDIM without noise.

    Yields:
        `len(timesteps) + 1` stops, the last one at t = 0.

    Raises:
        ValueError: for timesteps that do not decrease within 1..T.
    """
    x_t = x_T
    for now, then in itertools.pairwise(down_to_0(diffusion.T, timesteps)):
        t, s = (torch.full((len(x_t),), k) for k in (now, then))
        x0 = restore(x_t, t, label)
        yield ColdStep(now, x_t, x0)
        if generator is None:
            noise = noise_within(diffusion, x_t, x0, t)
        else:
            noise = torch.randn(x_t.shape, generator=generator, dtype=x_t.dtype)
        x_t = RULES[rule](with_noise(diffusion, noise), x_t, x0, t, s)
    yield ColdStep(0, x_t, None)
