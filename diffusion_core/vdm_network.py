"""A variational diffusion model: a network that knows the log-SNR, and a schedule that is learned.

The schedule and the network are trained together, for the likelihood.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from diffusion_core.networks import UNet
from diffusion_core.vdm_elbo import vdm_diffusion, vdm_prior, vdm_reconstruction

REACH = 4.0
"""How many standard deviations away black and white are still told apart from "not that"."""

ONE_IN = 16
"""One picture in so many is asked what its decoding costs, in training."""


class LearnedGamma(nn.Module):
    r"""Any rising curve between two ends, all of it learned; S is the sigmoid.

    $$\gamma(t) = \gamma_0 + (\gamma_1-\gamma_0)\,\frac{\tilde\gamma(t)-\tilde\gamma(0)}
    {\tilde\gamma(1)-\tilde\gamma(0)}, \qquad
    \tilde\gamma(t) = e^{a}\,t + \sum_i e^{c_i}\,S\left(e^{b_i}(t-m_i)\right)$$

    Every weight is positive, so that it rises. Source: Kingma et al. 2021, appendix H (a monotone
    network) and eq. 59 (normalised at its ends), with S-curves placed along t.

    Args:
        low: gamma(0) to begin with.
        high: gamma(1) to begin with.
        curves: how many S-curves there are.
    """

    def __init__(self, low: float = -13.3, high: float = 5.0, curves: int = 32) -> None:
        super().__init__()
        self.ends = nn.Parameter(torch.tensor([low, high]))
        self.straight = nn.Parameter(torch.zeros(()))
        self.steep = nn.Parameter(torch.full((curves,), math.log(1.5 * curves)))
        self.height = nn.Parameter(torch.full((curves,), -math.log(4 * curves)))
        self.middle = nn.Parameter((torch.arange(curves) + 0.5) / curves)

    def shape(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """How much of the way between the ends is done at t, and how fast, float64, like t."""
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64, device=t.device)
        at = torch.cat([t.double().flatten(), ends])
        steep, height = self.steep.double().exp(), self.height.double().exp()
        curves = torch.sigmoid(steep * (at[:, None] - self.middle.double()))
        raw = self.straight.double().exp() * at + curves @ height
        slope = self.straight.double().exp() + (curves * (1 - curves)) @ (steep * height)
        low, high = raw[-2:]
        done, pace = (raw - low) / (high - low), slope / (high - low)
        return done[:-2].reshape(t.shape), pace[:-2].reshape(t.shape)

    def between(self, shape: Tensor) -> Tensor:
        """Gamma where `shape` of the way is done."""
        low, high = self.ends.double()
        level: Tensor = low + (high - low) * shape
        return level

    def forward(self, t: Tensor) -> Tensor:
        """Minus log-SNR at times t in 0..1, float64, same shape."""
        return self.between(self.shape(t)[0])


class VariationalUNet(nn.Module):
    """The U-Net as a variational diffusion model.

    Most of a digit's pixels are exactly black, some exactly white, and at the low noise where most
    bits are paid the noise on them is known to who knows that. So the network is shown how many
    standard deviations a pixel is away from both, and adds them to its answer where it is sure;
    and sinusoids of the pixel, which magnify what is small.

    Args:
        gamma: arguments of `LearnedGamma`.
        octaves: the sinusoids' frequencies are 2^n pi for these n. Source: Kingma et al. 2021,
            section 3.4 and eq. 34 (n = 7 and 8, as their code has them).
        unet: sizes of the U-Net.
    """

    def __init__(
        self,
        gamma: dict[str, float] | None = None,
        octaves: tuple[int, ...] = (6, 7),
        **unet: int,
    ) -> None:
        super().__init__()
        self.gamma = LearnedGamma(**(gamma or {}))  # type: ignore[arg-type]
        self.octaves = octaves
        self.body = UNet(in_channels=3 + 2 * len(octaves), out_channels=3, **unet)
        bias = self.body.out.bias
        assert bias is not None
        nn.init.constant_(bias[4:], -3.0)  # it is sure of nothing yet

    def predict(self, z: Tensor, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """The noise in z [B, 1, 28, 28], whose log-SNR is [B] float64; float32, same shape.

        The U-Net's first output is v; see `parameterization`.
        """
        a, sigma = (torch.sigmoid(x).sqrt().reshape(-1, 1, 1, 1).to(z) for x in (log_snr, -log_snr))
        away = torch.cat([(z + a) / sigma, (z - a) / sigma], 1)
        near = away.clamp(-REACH, REACH)
        waves = [f(2**n * math.pi * z) for n in self.octaves for f in (torch.sin, torch.cos)]
        weight = self.body.out.weight
        seen = torch.cat([z, near / REACH, *waves], 1).to(weight.dtype)
        output = self.body(seen, _clock(log_snr), label).to(z)
        v, sure = output[:, :1], torch.sigmoid(output[:, 1:])
        # Where it is sure that the pixel is black (or white), `away` is the noise itself.
        share = sure * (away.abs() < REACH)
        share = share / share.sum(1, keepdim=True).clamp(min=1)
        guess = (1 - share.sum(1, keepdim=True)) * (sigma * z + a * v)
        noise: Tensor = guess + (share * near).sum(1, keepdim=True)
        return noise

    def forward(
        self, x0: Tensor, t: Tensor, eps: Tensor, first: Tensor, label: Tensor | None = None
    ) -> Tensor:
        r"""What a picture costs, for training: [B, 3] nats, the bound's three terms.

        The schedule's ends learn from the bound itself, which does not depend on the path between
        them; the path learns to lower the estimate's variance, from the gradient of its square:

        $$\nabla_\eta E[L_t^2] = E[2\,L_t\,\nabla_\eta L_t]$$

        Source: Kingma et al. 2021, appendix I.2.

        Args:
            x0: [B, 1, 28, 28].
            t: [B] float64 in 0..1.
            eps: noise at t, like x0.
            first: noise at 0, like x0.
            label: [B] int64, or None.
        """
        shares: list[Tensor] = []
        done, pace = self.gamma.shape(t)

        def louder(slope: Tensor) -> Tensor:
            return slope * 2 * shares[0] if shares else slope

        for part in (done, pace):
            if part.requires_grad:
                part.register_hook(louder)  # type: ignore[no-untyped-call]

        def tangent(times: Tensor) -> Tensor:
            # Gamma near t, which is all that the cost at t looks at.
            return self.gamma.between(done + pace * (times - t))

        diffusion = vdm_diffusion(tangent, self.predict, x0, eps, t, label=label)
        # In units of the batch's mean, so that a rate of learning means the same everywhere.
        shares.append((diffusion / diffusion.mean()).detach())
        # The decoder's cost hangs on one number, gamma(0), and compares each pixel with 256 levels:
        # a few of the pictures speak for all.
        few = slice(None, None, ONE_IN)
        decoding = vdm_reconstruction(self.gamma, x0[few], first[few]).mean().expand(len(x0))
        return torch.stack([vdm_prior(self.gamma, x0), diffusion, decoding], 1)


def _clock(log_snr: Tensor) -> Tensor:
    """Log-SNR in the units that the U-Net's sinusoids are made for: about 0 to 1000."""
    return 1000 * (13.3 - log_snr) / 18.3


class AtSteps(nn.Module):
    """A variational model asked at whole steps, as the samplers and the ledger ask.

    Args:
        model: the model.
        log_snr: [T+1] float64, of each step.
    """

    def __init__(self, model: VariationalUNet, log_snr: Tensor) -> None:
        super().__init__()
        self.model = model
        self.log_snr = log_snr

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """[B, 1, 28, 28], [B] in 1..T, [B] or None -> the noise, like x."""
        return self.model.predict(x, self.log_snr.to(t.device)[t], label)
