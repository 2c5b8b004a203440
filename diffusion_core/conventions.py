"""One state of the process in other people's conventions: every number as a function."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from diffusion_core.discrete import DiscreteDiffusion
from diffusion_core.discrete_kernels import ClosedForm

# All of these are of plain floats: one state, looked at closely.


def edm_sigma(alpha_bar: float) -> float:
    r"""Noise per unit of signal, by which EDM and k-diffusion name the place in the process.

    $$\tilde\sigma_t = \sqrt{\frac{1-\bar\alpha_t}{\bar\alpha_t}}$$

    Source: Karras et al. 2022, table 1, VP column. Infinite where no signal is left.
    """
    return math.sqrt((1 - alpha_bar) / alpha_bar) if alpha_bar > 0 else math.inf


def edm_picture(x_t: float, alpha_bar: float) -> float:
    r"""The picture as EDM and k-diffusion hold it: clean signal plus noise, never scaled down.

    $$\tilde x_t = \frac{x_t}{\sqrt{\bar\alpha_t}} = x_0 + \tilde\sigma_t\,\epsilon$$

    Source: Karras et al. 2022, table 1, VP column (scaling s(t) = sqrt(alpha_bar)).
    """
    return x_t / math.sqrt(alpha_bar)


class Preconditioning(NamedTuple):
    """EDM's four numbers around a network.

    Attributes:
        c_skip: how much of the input goes past the network.
        c_out: what the network's output is multiplied by.
        c_in: what its input is multiplied by.
        c_noise: what it is told instead of t.
    """

    c_skip: float
    c_out: float
    c_in: float
    c_noise: float


def edm_preconditioning(sigma: float, sigma_data: float = 0.5) -> Preconditioning:
    r"""Scalings that keep a network's input and output near variance 1.

    $$c_{skip} = \frac{\sigma_d^2}{\sigma^2+\sigma_d^2},\quad
    c_{out} = \frac{\sigma\,\sigma_d}{\sqrt{\sigma^2+\sigma_d^2}},\quad
    c_{in} = \frac{1}{\sqrt{\sigma^2+\sigma_d^2}},\quad c_{noise} = \tfrac14\ln\sigma$$

    Source: Karras et al. 2022, table 1, last column.

    Args:
        sigma: EDM's noise level, above 0.
        sigma_data: standard deviation of the data; 0.5 in the paper.
    """
    total = sigma**2 + sigma_data**2
    return Preconditioning(
        sigma_data**2 / total,
        sigma * sigma_data / math.sqrt(total),
        1 / math.sqrt(total),
        math.log(sigma) / 4,
    )


def edm_output(x0: float, picture: float, sigma: float, sigma_data: float = 0.5) -> float:
    r"""What EDM's raw network must say so that its denoiser says x0.

    $$F = \frac{D - c_{skip}\,\tilde x}{c_{out}}, \qquad D = \hat x_0$$

    Source: Karras et al. 2022, eq. 7, solved for the network.
    """
    c = edm_preconditioning(sigma, sigma_data)
    return (x0 - c.c_skip * picture) / c.c_out


def ancestral_variance(sigma_t: float, sigma_s: float) -> float:
    r"""The fresh noise of k-diffusion's ancestral step from sigma_t down to sigma_s.

    $$\sigma_{up}^2 = \frac{\sigma_s^2\,(\sigma_t^2-\sigma_s^2)}{\sigma_t^2}
    = \tilde\beta_t/\bar\alpha_s$$

    Source: k-diffusion, `get_ancestral_step`; it is the posterior's variance of the picture
    divided by sqrt(alpha_bar_s).
    """
    return sigma_s**2 * (sigma_t**2 - sigma_s**2) / sigma_t**2


def vdm_gamma(alpha_bar: float) -> float:
    r"""VDM's noise level: minus the log of the signal-to-noise ratio, so it grows with t.

    $$\gamma_t = -\log\mathrm{SNR}(t) = \log\frac{1-\bar\alpha_t}{\bar\alpha_t}$$

    Source: Kingma et al. 2021, eq. 4 and 5 (alpha^2 = sigmoid(-gamma), which is our alpha_bar).
    """
    return math.log1p(-alpha_bar) - math.log(alpha_bar) if alpha_bar > 0 else math.inf


def vdm_step_variance(gamma_t: float, gamma_s: float) -> float:
    r"""Noise that VDM adds from s to t, from the two gammas alone.

    $$\sigma_{t|s}^2 = 1 - \frac{1+e^{\gamma_s}}{1+e^{\gamma_t}}
    = \left(1-e^{\gamma_s-\gamma_t}\right) S(\gamma_t)$$

    Source: Kingma et al. 2021, appendix A.1 with section 3.1. For s = t - 1 it is beta_t.
    """
    return -math.expm1(gamma_s - gamma_t) / (1 + math.exp(-gamma_t))


def vdm_posterior_variance(gamma_t: float, gamma_s: float) -> float:
    r"""Variance of VDM's step from t back to s.

    $$\sigma_Q^2 = S(\gamma_s)\left(1-e^{\gamma_s-\gamma_t}\right)$$

    Source: Kingma et al. 2021, eq. 32, written with gamma. It is our posterior's variance.
    """
    return -math.expm1(gamma_s - gamma_t) / (1 + math.exp(-gamma_s))


def vdm_time(t: int, T: int) -> float:
    r"""VDM's continuous time of our step t: 0 is the first noisy picture, z_0 = x_1.

    $$u = \frac{t-1}{T-1}$$

    Source: Kingma et al. 2021, section 3.3 (finite T): their z_0 is noisy already, and T - 1 steps
    lead from it to z_1.
    """
    return (t - 1) / (T - 1)


def sde_rate(beta: float, T: int) -> float:
    r"""Noise per unit of time, when the whole process takes time 1.

    $$\beta(u) = T\,\beta_t, \qquad u = t/T, \qquad
    dx = -\tfrac12\beta(u)\,x\,du + \sqrt{\beta(u)}\,dw$$

    Source: Song et al. 2021, eq. 11 and appendix B.
    """
    return T * beta


def score(eps: float, alpha_bar: float) -> float:
    r"""The score that goes with a predicted noise.

    $$\nabla_{x_t} \log q(x_t) \approx s_\theta = -\frac{\hat\epsilon}{\sqrt{1-\bar\alpha_t}}$$

    Source: Song et al. 2021, eq. 3 and 7, with Ho et al. 2020, section 3.2.
    """
    return -eps / math.sqrt(1 - alpha_bar)


def predicted_x0(x_t: float, eps: float, alpha_bar: float) -> float:
    r"""The clean picture that a predicted noise implies.

    $$\hat x_0 = \frac{x_t - \sqrt{1-\bar\alpha_t}\,\hat\epsilon}{\sqrt{\bar\alpha_t}}$$

    Source: Ho et al. 2020, eq. 15.
    """
    return (x_t - math.sqrt(1 - alpha_bar) * eps) / math.sqrt(alpha_bar)


def velocity(x_t: float, eps: float, alpha_bar: float) -> float:
    r"""The target v that goes with a predicted noise, diffusers' "v_prediction".

    $$\hat v = \sqrt{\bar\alpha_t}\,\hat\epsilon - \sqrt{1-\bar\alpha_t}\,\hat x_0$$

    Source: Salimans & Ho 2022, section 4.
    """
    x0 = predicted_x0(x_t, eps, alpha_bar)
    return math.sqrt(alpha_bar) * eps - math.sqrt(1 - alpha_bar) * x0


# --- guidance -------------------------------------------------------------------------------------


def guidance_numbers(w: float) -> dict[str, float]:
    r"""One strength of guidance as four papers write it.

    $$s = 1 + w, \qquad \gamma = s, \qquad w_{\text{Imagen}} = s$$

    Source: Ho & Salimans 2022, eq. 6 (w); Saharia et al. 2022, eq. 2 (Imagen, also called w);
    Nichol et al. 2021, section 2.3 (GLIDE's s, as diffusers' `guidance_scale`); Luo 2022, section
    "Classifier-Free Guidance" (gamma).
    """
    return {"ho_salimans": w, "imagen": 1 + w, "glide": 1 + w, "luo": 1 + w}


def guided_noise(eps_class: float, eps_any: float, w: float) -> float:
    r"""Classifier-free guidance as its paper writes it.

    $$\hat\epsilon = (1+w)\,\epsilon_\theta(x_t|y) - w\,\epsilon_\theta(x_t)$$

    Source: Ho & Salimans 2022, eq. 6.
    """
    return (1 + w) * eps_class - w * eps_any


# --- categories -----------------------------------------------------------------------------------


def log_share(probability: float, zero: float = 1e-30) -> float:
    r"""A probability as VQ-Diffusion holds it, with a floor instead of log 0.

    $$\log\max(p,\ 10^{-30})$$

    Source: Gu et al. 2022, released code (`index_to_log_onehot`).
    """
    return math.log(max(probability, zero))


def vq_step(process: DiscreteDiffusion, t: int) -> tuple[float, float, float]:
    r"""VQ-Diffusion's three numbers of one step: to stay, to become one given state, to be masked.

    $$\alpha_t + K_{real}\,\beta_t + \gamma_t = 1$$

    Source: Gu et al. 2022, eq. 7 (their K leaves [MASK] out as K_real does, ours counts it).

    Raises:
        ValueError: for a process without a closed form, and unless 1 <= t <= T.
    """
    if not isinstance(process.kernel, ClosedForm):
        raise ValueError("only a closed-form process is made of these three numbers")
    if not 1 <= t <= process.T:
        raise ValueError(f"t must lie in 1..{process.T}")
    odds = process.kernel.odds(torch.tensor([t]), torch.tensor([t - 1]))
    real = float(process.kernel.real.sum())
    return float(odds.keep), float(odds.replace) / real, float(odds.mask)
