"""ILVR: a walk back that is held to the blocks of a reference picture, and what it samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import Prediction
from diffusion_core.samplers import Step, sample, standard_normal


def low_pass(x: Tensor, N: int) -> Tensor:
    r"""Every block of N × N pixels becomes its mean: φ keeps the coarse picture, loses the rest.

    $$\phi_N(x)_{ij} = \frac{1}{N^2}\sum_{(k,l)\,\in\,\text{block of }(i,j)} x_{kl}, \qquad
    \phi_N(\phi_N(x)) = \phi_N(x)$$

    Source: Choi et al. 2021, section 3.1, whose φ shrinks a picture N times and enlarges it again.
    Any linear φ can be put in its place. But only one that keeps the second time what it kept the
    first, as block means do, leaves the coarse part exact after the exchange.

    Args:
        x: [*, H, W].
        N: pixels a side of a block; divides H and W. A side shorter than N is one block.

    Returns:
        [*, H, W]; x itself where N = 1.

    Raises:
        ValueError: where N is below 1 or does not divide a longer side.
    """
    H, W = x.shape[-2:]
    rows, columns = min(N, H), min(N, W)
    if N < 1 or H % rows or W % columns:
        raise ValueError(f"blocks of {N} × {N} do not tile {H} × {W} pixels")
    if N == 1:
        return x
    blocks = x.reshape(*x.shape[:-2], H // rows, rows, W // columns, columns)
    return blocks.mean((-3, -1), keepdim=True).expand_as(blocks).reshape(x.shape)


def ilvr_step(proposal: Tensor, y_s: Tensor, N: int) -> Tensor:
    r"""Exchange the coarse part of a proposed picture for that of the reference.

    $$x_s = \phi_N(y_s) + \left(x'_s - \phi_N(x'_s)\right)$$

    Source: Choi et al. 2021, algorithm 1. The brackets keep it exact: where N = 1 nothing of the
    proposal is left.

    Args:
        proposal: x', [B, *, H, W], drawn as if there were no reference.
        y_s: the reference with the noise of s, of a shape that fits.
        N: as in `low_pass`.
    """
    return low_pass(y_s, N) + (proposal - low_pass(proposal, N))


def ilvr(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    reference: Tensor,
    x_T: Tensor,
    timesteps: Sequence[int],
    *,
    N: int,
    last: int = 0,
    label: Tensor | None = None,
    clip_x0: bool = True,
    noised: bool = True,
    generator: torch.Generator,
) -> Iterator[Step]:
    r"""DDPM's walk, held to the coarse part of a reference after every step down to `last`.

    $$x'_s \sim p_\theta(x'_s|x_t), \quad y_s \sim q(y_s|y), \quad
    x_s = \phi_N(y_s) + x'_s - \phi_N(x'_s)$$

    Source: Choi et al. 2021, algorithm 1. There s = t - 1; here, as in `sample`, any s < t.

    Args:
        diffusion: the process the denoiser was trained for.
        denoiser: predicts x0 and eps; no training for this is needed.
        reference: y, [B, *, H, W], or [1, *, H, W] for all.
        x_T: [B, *, H, W] sits at timesteps[0]; it is not held.
        timesteps: decreasing, each in 1..T; a last step to 0 is implied.
        N: as in `low_pass`.
        last: the last step that is held; 0 holds to the end, T holds none.
        label: [B] int64 classes, or None.
        clip_x0: clip the predicted picture to [-1, 1].
        noised: whether the reference gets the noise of s; without it, it is only scaled: a
            mistake, here to be looked at.
        generator: the source of fresh noise, of walk and reference.

    Yields:
        As `sample`. A step's posterior and noise are those of the proposal.

    Raises:
        ValueError: as `sample` and `low_pass`, or where `last` lies outside 0..T.
    """
    low_pass(reference, N)
    if not 0 <= last <= diffusion.T:
        raise ValueError(f"the last step that is held must lie in 0..{diffusion.T}, not {last}")
    y = reference.expand_as(x_T)

    def hold(proposal: Tensor, s: int) -> Tensor:
        if s < last or s >= diffusion.T:
            return proposal
        noise = standard_normal(y, generator)  # drawn in any case: the walk's own stays the same
        y_s = diffusion.q_sample(y, torch.full((len(y),), s), noise if noised else 0 * noise)
        return ilvr_step(proposal, y_s, N)

    return sample(
        diffusion, denoiser, x_T, timesteps, sampler="ddpm", clip_x0=clip_x0, label=label,
        generator=generator, amend=hold,
    )  # fmt: skip


# --- where everything is known --------------------------------------------------------------------


def gaussian_denoiser(diffusion: GaussianDiffusion, mean: Tensor, cov: Tensor) -> Denoiser:
    r"""The best denoiser there is for Gaussian data: the posterior's mean.

    $$\hat x_0 = m + a S\,(a^2 S + \sigma^2 I)^{-1}\,(x_t - a m)$$

    Source: Bishop 2006, eq. 2.116.

    Args:
        diffusion: the process.
        mean: m, [D] float64.
        cov: S, [D, D] float64.

    Returns:
        A denoiser of pictures [B, *] with D pixels, all at one t; it ignores labels.

    Raises:
        ValueError: (when called) for pictures at more than one t, or for none.
    """

    def predict(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        if not len(t) or bool((t != t[0]).any()):
            raise ValueError("all x_t must be at the same t, and there must be one")
        a, sigma = (rate.reshape(1, 1) for rate in diffusion.rates(t[:1], x_t[:1]))
        gain = _gain(cov, a, sigma)
        x0 = mean + (x_t.flatten(1) - a * mean) @ gain.T
        eps = (x_t.flatten(1) - a * x0) / sigma
        return Prediction(x0=x0.reshape(x_t.shape), eps=eps.reshape(x_t.shape))

    return predict


def given_coarse(mean: Tensor, cov: Tensor, phi: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    r"""The true law of Gaussian data whose coarse part is known: what ILVR is meant to draw from.

    $$p\left(x \mid \phi(x) = \phi(y)\right) = \mathcal N\left(m + K\phi(y-m),\ V\right)$$

    $$V = S - K\phi S, \qquad K = S\phi^\top(\phi S\phi^\top)^{+}$$

    Source: Bishop 2006, eq. 2.81 and 2.82, with a pseudo-inverse since φ has no full rank.

    Args:
        mean: m, [D] float64.
        cov: S, [D, D] float64.
        phi: the low-pass as a matrix [D, D].
        y: the reference, [D].

    Returns:
        Mean [D] and covariance [D, D].
    """
    K = cov @ phi.T @ torch.linalg.pinv(phi @ cov @ phi.T, hermitian=True)
    return mean + K @ phi @ (y - mean), cov - K @ phi @ cov


def ilvr_law(
    diffusion: GaussianDiffusion,
    mean: Tensor,
    cov: Tensor,
    phi: Tensor,
    y: Tensor,
    timesteps: Sequence[int],
    *,
    last: int = 0,
    noised: bool = True,
) -> list[tuple[Tensor, Tensor]]:
    r"""What ILVR does sample where data are Gaussian and the denoiser is exact, at every stop.

    $$m_s = (I-\phi)(A m_t + b) + \phi\,\sqrt{\bar\alpha_s}\,y$$

    $$V_s = (I-\phi)\,U\,(I-\phi)^\top + (1-\bar\alpha_s)\,\phi\phi^\top$$

    $$U = A V_t A^\top + \tilde\beta I$$

    Source: Choi et al. 2021, algorithm 1, on moments. A and b are those of a step of DDPM, whose
    mean is A x_t + b: every step is linear, and the walk stays Gaussian. No draws are needed.

    Args:
        diffusion: the process.
        mean: m, [D] float64.
        cov: S, [D, D] float64.
        phi: the low-pass as a matrix [D, D].
        y: the reference, [D].
        timesteps: decreasing, each in 1..T; a last step to 0 is implied.
        last: as in `ilvr`.
        noised: as in `ilvr`; without it the last term is missing.

    Returns:
        Mean [D] and covariance [D, D] at each stop; the first is standard noise.
    """
    stops = torch.tensor([*map(int, timesteps), 0])
    t, s, each = stops[:-1], stops[1:], mean.expand(len(stops) - 1, -1)
    c_x0, c_xt, var = (c[..., None] for c in diffusion.posterior_coefficients(t, s, each))
    a, sigma = (rate[..., None] for rate in diffusion.rates(t, each))
    one = torch.eye(len(mean), dtype=mean.dtype)
    gain, rest = _gain(cov, a, sigma), one - phi
    A = c_x0 * gain + c_xt * one
    b = (c_x0 * (one - a * gain)) @ mean
    a_s, sigma_s = (rate.flatten().tolist() for rate in diffusion.rates(s, each))
    m, V = torch.zeros_like(mean), one
    law = [(m, V)]
    for k, then in enumerate(s.tolist()):
        m, V = A[k] @ m + b[k], A[k] @ V @ A[k].T + var[k] * one
        if last <= then < diffusion.T:
            m, V = rest @ m + a_s[k] * phi @ y, rest @ V @ rest.T
            V = V + sigma_s[k] ** 2 * phi @ phi.T if noised else V
        law.append((m, V))
    return law


def as_matrix(shape: tuple[int, int], N: int) -> Tensor:
    """The low-pass of pictures of this shape as a matrix [H * W, H * W] float64."""
    pixels = shape[0] * shape[1]
    each = torch.eye(pixels, dtype=torch.float64).reshape(pixels, *shape)
    return low_pass(each, N).reshape(pixels, pixels).T


def _gain(cov: Tensor, a: Tensor, sigma: Tensor) -> Tensor:
    """How the best answer follows x_t: a S (a² S + σ² I)^-1, [n, D, D] for rates [n, 1, 1]."""
    noisy = a**2 * cov + sigma**2 * torch.eye(len(cov), dtype=cov.dtype)
    gain: Tensor = torch.linalg.solve(noisy, a * cov).mT
    return gain
