"""The Gaussian diffusion process: everything that is known before any network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.schedules import NoiseSchedule


class Gaussian(NamedTuple):
    """A diagonal normal distribution; variance 0 means a point mass.

    Attributes:
        mean: [B, *D].
        var: variance, broadcastable to mean ([B, 1, ...] where all pixels share it).
    """

    mean: Tensor
    var: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Mean plus standard deviation times `noise` [B, *D] (standard normal)."""
        return self.mean + self.var.sqrt() * noise

    def kl(self, other: Gaussian) -> Tensor:
        r"""How many nats it costs to code draws of this with a code made for `other`.

        $$D_{KL} = \frac12\left(\log\frac{v_2}{v_1} + \frac{v_1 + (m_1-m_2)^2}{v_2} - 1\right)$$

        Source: Ho et al. 2020, eq. 5, evaluated for diagonal Gaussians.

        Returns:
            [B, *D] nats per element; 0 where both are the same point mass, infinite where only
            one is a point mass or the points differ, NaN where a mean or a variance is.
        """
        gap = (self.mean - other.mean).square()
        ratio = self.var / other.var
        nats = 0.5 * (ratio - 1 - ratio.log() + gap / other.var)
        same_point = (self.var == 0) & (other.var == 0) & (gap == 0)
        a_point = (self.var == 0) | (other.var == 0)
        apart = torch.inf + (gap + self.var + other.var)  # infinite, unless one of them is NaN
        nats = torch.where(a_point, apart, nats)
        return torch.where(same_point, torch.zeros_like(nats), nats)


@dataclass(frozen=True, eq=False)
class GaussianDiffusion:
    """The fixed process q: noise is added step by step, and all its conditionals are Gaussian.

    In every method t and s are [B] int64 with 0 <= s < t <= T, and pictures are [B, *D]. Results
    have the pictures' dtype and device; coefficients are computed in float64.
    """

    schedule: NoiseSchedule

    @property
    def T(self) -> int:
        """Number of noising steps."""
        return self.schedule.T

    def rates(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        r"""Signal and noise rate at t, each [B, 1, ...] float64 on `like`'s device.

        $$a = \sqrt{\bar\alpha_t}, \qquad \sigma = \sqrt{1-\bar\alpha_t}$$
        """
        alpha_bar = self.alpha_bar(t, like)
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def q_step(self, x_s: Tensor, t: Tensor, s: Tensor) -> Gaussian:
        r"""Add the noise of steps s+1..t to a picture that already sits at s.

        $$q(x_t|x_s) = \mathcal N\left(\sqrt{\alpha_{t|s}}\,x_s,\ (1-\alpha_{t|s})\,I\right),
        \qquad \alpha_{t|s} = \bar\alpha_t/\bar\alpha_s$$

        Source: Ho et al. 2020, eq. 2 (s = t-1); Kingma et al. 2021, appendix A.1 (any s < t).

        Raises:
            ValueError: unless 0 <= s < t <= T.
        """
        self._require_before(s, t)
        a_t, a_s = self.alpha_bar(t, x_s), self.alpha_bar(s, x_s)
        gain, var = (a_t / a_s).sqrt(), (a_s - a_t) / a_s
        return Gaussian(gain.to(x_s.dtype) * x_s, var.to(x_s.dtype))

    def q_marginal(self, x0: Tensor, t: Tensor) -> Gaussian:
        r"""Jump from the clean picture straight to step t.

        $$q(x_t|x_0) = \mathcal N\left(\sqrt{\bar\alpha_t}\,x_0,\ (1-\bar\alpha_t)\,I\right)$$

        Source: Ho et al. 2020, eq. 4.

        Raises:
            ValueError: unless 0 <= t <= T.
        """
        alpha_bar = self.alpha_bar(t, x0)
        return Gaussian(alpha_bar.sqrt().to(x0.dtype) * x0, (1 - alpha_bar).to(x0.dtype))

    def q_sample(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        r"""A noisy picture at step t, from the standard noise `eps` [B, *D].

        $$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\epsilon$$

        Source: Ho et al. 2020, eq. 4 reparameterised (above eq. 9).

        Raises:
            ValueError: unless 0 <= t <= T, and for noise of another shape.
        """
        require_alike("the noise", eps, x0)
        a, sigma = self.rates(t, x0)
        return a.to(x0.dtype) * x0 + sigma.to(x0.dtype) * eps

    def q_posterior(self, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Gaussian:
        r"""Where x_s was, when both the clean and the noisier picture are known.

        $$q(x_s|x_t,x_0) = \mathcal N(\tilde\mu, \tilde\beta\,I), \quad
        \tilde\mu = \frac{\sqrt{\bar\alpha_s}\,(1-\alpha_{t|s})}{1-\bar\alpha_t}\,x_0
        + \frac{\sqrt{\alpha_{t|s}}\,(1-\bar\alpha_s)}{1-\bar\alpha_t}\,x_t, \quad
        \tilde\beta = \frac{1-\bar\alpha_s}{1-\bar\alpha_t}\,(1-\alpha_{t|s}), \quad
        \alpha_{t|s} = \bar\alpha_t/\bar\alpha_s$$

        Source: Ho et al. 2020, eq. 6 and 7 (s = t-1); Kingma et al. 2021, eq. 23 to 25 (any
        s < t). At s = 0 this is x0 with variance 0, exactly.

        Raises:
            ValueError: unless 0 <= s < t <= T, and for pictures of two shapes.
        """
        require_alike("x_0", x0, x_t)
        c_x0, c_xt, var = self.posterior_coefficients(t, s, x_t)
        dtype = x_t.dtype
        return Gaussian(c_x0.to(dtype) * x0 + c_xt.to(dtype) * x_t, var.to(dtype))

    def posterior_coefficients(
        self, t: Tensor, s: Tensor, like: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients of x0 and x_t in the posterior mean, and its variance: [B, 1, ...] float64.

        Source: Ho et al. 2020, eq. 7. `like` [B, *D] sets shape and device.
        """
        self._require_before(s, t)
        a_t, a_s = self.alpha_bar(t, like), self.alpha_bar(s, like)
        alpha = a_t / a_s
        noise_t, noise_s = 1 - a_t, 1 - a_s
        beta = (a_s - a_t) / a_s  # 1 - alpha, without the rounding of alpha
        return (
            a_s.sqrt() * beta / noise_t,
            alpha.sqrt() * noise_s / noise_t,
            beta * noise_s / noise_t,
        )

    def alpha_bar(self, t: Tensor, like: Tensor) -> Tensor:
        """alpha_bar at t as [B, 1, ...] float64 on `like`'s device, for pictures `like` [B, *D].

        Raises:
            ValueError: unless t is [B] int64 in 0..T, and pictures are floating point.
        """
        if not isinstance(t, Tensor):
            raise ValueError("t must be a vector of int64, one step per picture")
        if not like.is_floating_point():
            raise ValueError(f"pictures must be floating point, not {like.dtype}")
        t = t.cpu()
        if t.dtype != torch.int64 or t.ndim != 1:
            raise ValueError("t must be a vector of int64, one step per picture")
        if len(t) != len(like):
            raise ValueError(f"{len(t)} steps for {len(like)} pictures: give one step per picture")
        if len(t) and not 0 <= int(t.min()) <= int(t.max()) <= self.T:
            raise ValueError(f"t must lie in 0..{self.T}")
        picked = self.schedule.alpha_bar[t].to(like.device)
        return picked.reshape(-1, *[1] * (like.ndim - 1))

    def _require_before(self, s: Tensor, t: Tensor) -> None:
        if not (isinstance(s, Tensor) and isinstance(t, Tensor)):
            raise ValueError("t and s must be vectors of int64, one step per picture")
        if s.shape != t.shape:
            raise ValueError(f"{len(t)} t and {len(s)} s: give one step per picture")
        if not bool((s < t).all()):
            raise ValueError("s must be smaller than t: the process runs from s to t")


def require_alike(name: str, x: Tensor, other: Tensor) -> None:
    """Refuse what would be stretched to the shape of a picture `other` in silence.

    Raises:
        ValueError: where the shapes differ; `name` says what it is about.
    """
    if x.shape != other.shape:
        shapes = f"{list(x.shape)} and {list(other.shape)}"
        raise ValueError(f"{name} must have the picture's shape, and these are {shapes}")


def require_signal(a: Tensor, unknown: str) -> None:
    """Refuse steps at which x_t holds nothing of x_0; a is the signal rate, or its square.

    Raises:
        ValueError: where a is 0; `unknown` says what is not known there.
    """
    if bool((a == 0).any()):
        raise ValueError(f"{unknown} where no signal is left")
