"""The reverse step that nothing was learned for: q(x_s|x_t) of a data set, as the mixture it is.

Knowing x_0, one step back is a Gaussian. Not knowing it, every data point may have been the start,
and q(x_s|x_t) is a weighted sum of as many Gaussians, all of one width. `bayes.point_posterior`
builds it on the number line; here it is measured, and looked at among pictures.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion_core.bayes import PointPosterior, point_posterior
from diffusion_core.denoisers import ideal_denoiser, log_likelihood
from diffusion_core.gaussian import Gaussian, GaussianDiffusion

REACH = 10
"""Standard deviations on either side of each bell that are summed: beyond lies 1e-23 of it."""
NODES = 161
"""Points per bell: eight to a standard deviation."""
COARSE = 61
"""Points per bell where thousands of mixtures are averaged: three to a standard deviation."""
ROWS = 256
"""Mixtures summed at once, which bounds the memory."""


def log_density(mixture: PointPosterior, x: Tensor) -> Tensor:
    r"""Logarithm of the mixture's density.

    $$\log q(x_s|x_t) = \log \sum_i w_i\,\mathcal N\left(x_s;\ m_i,\ \tilde\beta\right)$$

    Source: the law of total probability.

    Args:
        mixture: [B, N] bells of positive width.
        x: [B, n] places.

    Returns:
        [B, n] float64.
    """
    var = mixture.var[:, :, None]
    logs = -0.5 * ((x[:, None] - mixture.mean[:, :, None]).square() / var)
    return (logs + mixture.weights.log()[:, :, None]).logsumexp(1) - 0.5 * (
        2 * math.pi * mixture.var
    ).log()


def moment_matched(mixture: PointPosterior) -> Gaussian:
    r"""The Gaussian with the mixture's mean and variance: of all Gaussians the nearest one to it.

    $$m = \sum_i w_i m_i, \qquad v = \tilde\beta + \sum_i w_i\,(m_i - m)^2$$

    Source: Bishop 2006, eq. 10.187: the minimum of KL(q || g) over Gaussians g matches moments.

    Returns:
        mean and var, each [B] float64.
    """
    mean = (mixture.weights * mixture.mean).sum(1)
    apart = (mixture.weights * (mixture.mean - mean[:, None]).square()).sum(1)
    return Gaussian(mean, mixture.var[:, 0] + apart)


def non_gaussianity(mixture: PointPosterior, nodes: int = NODES) -> Tensor:
    r"""How far a mixture is from Gaussian: its divergence from the nearest one, in nats.

    $$J = \operatorname{KL}\left(q \,\Vert\, \mathcal N(m, v)\right), \qquad
    J = \sum_i w_i\, E_{\mathcal N(x;\,m_i,\,\tilde\beta)} \log\frac{q(x)}{\mathcal N(x;\,m, v)}$$

    Source: the definition, summed over a grid around each bell, so that bells far apart cost no
    accuracy. Rounding leaves about 1e-15; nothing is smaller than 0.

    Args:
        mixture: [B, N] bells.
        nodes: points that each bell is summed over.

    Returns:
        [B] float64. Where the bells are points (s = 0): infinite, or 0 if they are one point.
    """
    nearest = moment_matched(mixture)
    found = torch.where(nearest.var > 0, torch.inf, 0.0).double()
    wide = (mixture.var[:, 0] > 0).nonzero()[:, 0]
    z = torch.linspace(-REACH, REACH, nodes, dtype=torch.float64)
    share = (-0.5 * z.square()).softmax(0)
    for rows in torch.split(wide, ROWS):
        part = PointPosterior(*(each[rows] for each in mixture))
        x = part.mean[:, :, None] + part.var[:, :, None].sqrt() * z  # [b, N, n]
        log_q = log_density(part, x.flatten(1)).reshape(x.shape)
        m, v = (each[rows, None, None] for each in nearest)
        log_g = -0.5 * ((x - m).square() / v + (2 * math.pi * v).log())
        found[rows] = (part.weights * ((log_q - log_g) @ share)).sum(1)
    return found.clamp(min=0)


def divergence(mixture: PointPosterior, model: Gaussian) -> Tensor:
    r"""What it costs to take a Gaussian step where the mixture is true, in nats.

    $$\operatorname{KL}(q \,\Vert\, p) = J
    + \operatorname{KL}\left(\mathcal N(m, v) \,\Vert\, p\right)$$

    Source: the logarithm of a Gaussian p is quadratic, so only q's mean and variance meet it. The
    first term is what no Gaussian can avoid; the second is what this one gets wrong.

    Args:
        mixture: [B, N] bells.
        model: mean and var, each [B].

    Returns:
        [B] float64.
    """
    return non_gaussianity(mixture) + moment_matched(mixture).kl(model)


def best_model_step(
    diffusion: GaussianDiffusion, x_t: Tensor, points: Tensor, t: Tensor, s: Tensor
) -> Gaussian:
    r"""The step of a model that guesses x_0 as well as can be, with the posterior's variance.

    $$p_\theta(x_s|x_t) = q\left(x_s|x_t,\ x_0 = \hat x_0\right), \qquad
    \hat x_0 = E[x_0|x_t]$$

    Source: Ho et al. 2020, section 3.2, with the exact posterior mean for the network: the squared
    error has no smaller minimum.

    Args:
        diffusion: the process.
        x_t: [B] numbers.
        points: [N], the data.
        t: [B] int64.
        s: [B] int64, s < t.

    Returns:
        mean and var, each [B] float64.
    """
    x_t, points = x_t.double()[:, None], points.double()[:, None]
    guess = ideal_denoiser(diffusion, points)(x_t, t).x0
    step = diffusion.q_posterior(x_t, guess, t, s)
    return Gaussian(step.mean[:, 0], step.var[:, 0])


def average_divergences(
    diffusion: GaussianDiffusion, points: Tensor, t: Tensor, s: Tensor, draws: int = 6
) -> tuple[Tensor, Tensor]:
    r"""How un-Gaussian a step is on average, and what the best model's step costs on average.

    $$E_{x_t}\left[J\right], \qquad
    E_{x_t}\left[\operatorname{KL}(q(x_s|x_t) \,\Vert\, p_\theta(x_s|x_t))\right]$$

    Source: x_t is placed at the middles of `draws` equally likely parts of q(x_t|x_0), for each
    data point: no chance, and the same answer every time.

    Args:
        diffusion: the process.
        points: [N], the data, equally likely.
        t: [B] int64.
        s: [B] int64, s < t.
        draws: places per data point.

    Returns:
        Two of [B] float64, in nats.
    """
    middles = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
    noise = torch.special.ndtri(middles)
    places = len(points) * draws
    x0 = points.double().repeat_interleave(draws).repeat(len(t))
    t, s = t.repeat_interleave(places), s.repeat_interleave(places)
    x_t = diffusion.q_sample(x0, t, noise.repeat(len(x0) // draws))
    mixture = point_posterior(diffusion, x_t, points, t, s)
    unavoidable = non_gaussianity(mixture, COARSE)
    extra = moment_matched(mixture).kl(best_model_step(diffusion, x_t, points, t, s))
    both = unavoidable, unavoidable + extra
    shares, costs = (each.reshape(-1, places).mean(1) for each in both)
    return shares, costs


# --- among pictures -------------------------------------------------------------------------------


class Neighbours(NamedTuple):
    """What in the data set is nearest to a picture.

    Attributes:
        place: [B] int64, which one.
        distance: [B] root mean square difference of the pixels, which run from -1 to 1.
    """

    place: Tensor
    distance: Tensor


def data_log_weights(
    diffusion: GaussianDiffusion, data: Tensor, x_t: Tensor, t: Tensor, chunk: int = 1024
) -> Tensor:
    r"""How likely each picture of the data set is to be the start of x_t, as logarithms.

    $$\begin{aligned} & q(x^{(i)}|x_t) = w_i \propto \\
    & \quad \exp\left(-\frac{\lVert x_t - \sqrt{\bar\alpha_t}\,x^{(i)}\rVert^2}
    {2\,(1-\bar\alpha_t)}\right) \end{aligned}$$

    Source: Bayes' rule for equally likely data points; Karras et al. 2022, appendix B.3.

    Args:
        diffusion: the process.
        data: [N, *D] float.
        x_t: [B, *D].
        t: [B] int64, 1 <= t.
        chunk: pictures compared at once.

    Returns:
        [B, N] of x_t's dtype; the exponentials of a row add up to 1.
    """
    parts = torch.split(data.flatten(1).to(x_t.device), chunk)
    logits = torch.cat([log_likelihood(diffusion, part, x_t, t) for part in parts], dim=1)
    return logits.log_softmax(1).to(x_t)


def count_in_play(log_weights: Tensor) -> Tensor:
    r"""How many pictures share the weights: N if all weigh the same, 1 if one has it all.

    $$n = \exp\left(-\sum_i w_i \log w_i\right)$$

    Source: the perplexity of the weights, the exponential of Shannon's entropy.

    Args:
        log_weights: [B, N], as `data_log_weights` gives them.

    Returns:
        [B] in 1..N.
    """
    inside = log_weights.clamp(min=torch.finfo(log_weights.dtype).min)
    return (-(inside.exp() * inside).sum(1)).exp()


def pick(log_weights: Tensor, u: float) -> Tensor:
    """Draw one picture from the weights of each row, the same u giving the same place in all.

    Source: inverse transform sampling.

    Args:
        log_weights: [B, N].
        u: a number in [0, 1).

    Returns:
        [B] int64.
    """
    upto = log_weights.double().exp().cumsum(1)
    aim = (u * upto[:, -1:]).contiguous()
    return torch.searchsorted(upto, aim, right=True)[:, 0].clamp(max=log_weights.shape[1] - 1)


def nearest(data: Tensor, x: Tensor, chunk: int = 1024) -> Neighbours:
    r"""Find the picture of the data set that is nearest to each given one.

    $$i^\ast = \arg\min_i \lVert x - x^{(i)} \rVert, \qquad
    d = \lVert x - x^{(i^\ast)} \rVert / \sqrt{D}$$

    Source: the definition; D is the number of pixels.

    Args:
        data: [N, *D] float.
        x: [B, *D].
        chunk: pictures compared at once.
    """
    flat = x.flatten(1)
    best = torch.full((len(flat),), torch.inf, dtype=flat.dtype)
    place = torch.zeros(len(flat), dtype=torch.int64)
    for start in range(0, len(data), chunk):
        part = data[start : start + chunk].flatten(1).to(flat)
        score, found = (part.square().sum(1) - 2 * flat @ part.T).min(1)
        place = torch.where(score < best, found + start, place)
        best = torch.minimum(best, score)
    # The search drops |x|^2 and loses digits where the two are close: measure the winner anew.
    return Neighbours(place, distance(data[place].to(x), x))


def distance(one: Tensor, other: Tensor) -> Tensor:
    """Root mean square difference of two pictures' pixels, [B, *D] each -> [B]."""
    return (one - other).flatten(1).square().mean(1).sqrt()


def spread(data: Tensor, log_weights: Tensor) -> Tensor:
    r"""How much is left open about x_0: its variance given x_t, added up over the pixels.

    $$V = \sum_i w_i \left\lVert x^{(i)} - E[x_0|x_t] \right\rVert^2$$

    Source: the definition of variance, for the weights of `data_log_weights`.

    Args:
        data: [N, *D] float.
        log_weights: [B, N].

    Returns:
        [B] float64; 0 where one picture has all the weight.
    """
    weights, flat = log_weights.exp(), data.flatten(1).to(log_weights)
    size = weights @ torch.linalg.vector_norm(flat, dim=1).square()
    left = size - (weights @ flat).square().sum(1)
    # Two large numbers were subtracted: what is left of a single picture is rounding.
    rounding = 100 * torch.finfo(weights.dtype).eps * size
    return torch.where(left > rounding, left, 0.0).double()


def gaussian_step_bound(
    diffusion: GaussianDiffusion, variance: Tensor, t: Tensor, s: Tensor
) -> Tensor:
    r"""At most so many nats does one Gaussian lose against the mixture over a data set.

    $$\operatorname{KL}\left(q(x_s|x_t) \,\Vert\, p_\theta\right) \le \sum_i w_i d_i, \qquad
    d_i = \operatorname{KL}\left(q(x_s|x_t,x^{(i)}) \,\Vert\, p_\theta\right), \qquad
    \sum_i w_i d_i = \frac{c^2}{2\tilde\beta}\,V$$

    Source: the divergence is convex; the sum is the loss of Ho et al. 2020, eq. 8, with the best
    possible guess, and c is the coefficient of x_0 in the posterior mean, eq. 7.

    Args:
        diffusion: the process.
        variance: [B] float64, V as `spread` gives it.
        t: [B] int64.
        s: [B] int64, s < t.

    Returns:
        [B] float64 nats; at s = 0 infinite, unless nothing is left open.
    """
    c_x0, _, var = diffusion.posterior_coefficients(t, s, variance)
    return torch.where(variance > 0, c_x0.square() * variance / (2 * var), 0.0)


def draws_to_tell(nats: float, odds: float = 20) -> float:
    r"""About how many draws it takes to be sure which of two distributions they come from.

    $$n = \frac{\log \text{odds}}{\operatorname{KL}(q \,\Vert\, g)}$$

    Source: Wald 1945: each draw from q adds, on average, KL(q || g) to the logarithm of the odds.

    Args:
        nats: the divergence, 0 or more; may be infinite.
        odds: how sure, e.g. 20 to 1.

    Returns:
        At least 1; infinite where the two are the same.
    """
    return max(1.0, math.log(odds) / nats) if nats > 0 else math.inf
