"""What a VAE's bound leaves out, exactly: with two latent numbers log p(x) can be summed."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion_core.descent import minimise
from diffusion_core.gaussian import Gaussian
from diffusion_core.vae import PIXELS, VAE, prior


class Plane(NamedTuple):
    """Places of the latent plane that a sum over it goes through.

    Attributes:
        places: [N, 2] float32.
        joint: [N] float64, log p(x, z) there.
        log_area: [N] float64, log of the area that each stands for.
    """

    places: Tensor
    joint: Tensor
    log_area: Tensor

    @property
    def log_evidence(self) -> float:
        r"""Log p(x) in nats.

        $$\log p(x) = \log \int p(x|z)\,p(z)\,dz$$

        Source: Kingma & Welling 2014, section 2.1, which calls it intractable; with two numbers
        it can be summed.
        """
        return float((self.joint + self.log_area).logsumexp(0))


REACH = 5.0  # the plane is summed over [-REACH, REACH]^2: of p(z), one part in a million is outside
SIDE = 81  # places on a side of the coarse grid
CUTS = ((4, 34.0, 256), (3, 22.0, 1024))
"""Each round: parts on a side that a cell is cut into; how far below the best one it may lie, in
nats; and of how many cells at most. The last cells are 0.01 wide: the narrowest q(z|x) of the
digits here has that standard deviation, and a sum over a smooth bump is exact to many digits once
its cells are no wider."""


@torch.inference_mode()
def log_joint(vae: VAE, x: Tensor, z: Tensor) -> Tensor:
    r"""Log p(x, z) of one picture at many places: float64 [N] nats.

    $$\log p(x|z) = x^\top f(z) - \textstyle\sum_i \log(1 + e^{f_i(z)})$$

    f are the decoder's logits; log p(z) is that of N(0, I). Source: Kingma & Welling 2014,
    appendix C.1.

    Args:
        vae: the network.
        x: [784], 0 and 1.
        z: [N, latent].
    """
    parts = []
    for part in torch.split(z, 1024):
        logits = vae.logits(part)
        parts.append(logits @ x - F.softplus(logits).sum(1))
    prior_nats = 0.5 * z.double().square().sum(1) + 0.5 * z.shape[1] * math.log(2 * math.pi)
    return torch.cat(parts).double() - prior_nats


def gray_cost(x: Tensor, r: Tensor) -> Tensor:
    r"""Binary cross-entropy of a gray pixel: never below the entropy of its gray.

    $$c(r) = -x\log r - (1-x)\log(1-r), \qquad c(r) \ge c(x) = H(x)$$

    $$\int_0^1 e^{-c(r)}\,dx = \frac{2r - 1}{\log r - \log(1-r)}, \qquad
    \frac{2r - 1}{\log r - \log(1-r)} \le \tfrac12$$

    H(x), the entropy of the gray, is 0 for x of 0 or 1 only.

    Source: Loaiza-Ganem & Cunningham 2019: the cost is -log p(x) for x of 0 or 1, and for gray x it
    is none, since the integral would have to be 1.

    Args:
        x: [*] gray, 0..1.
        r: [*] chance of white, 0..1.

    Returns:
        [*] nats.
    """
    nats: Tensor = -torch.special.xlogy(x, r) - torch.special.xlogy(1 - x, 1 - r)
    return nats


class Coarse(NamedTuple):
    """The decoder on a grid of the whole plane, so that a new picture costs one product.

    Attributes:
        places: [N, 2].
        features: [N, F] what the decoder's last layer sees.
        none: [N] log p(x, z) of the picture whose pixels are all 0.
    """

    places: Tensor
    features: Tensor
    none: Tensor


@torch.inference_mode()
def coarse_plane(vae: VAE) -> Coarse:
    """The decoder at SIDE x SIDE places of [-REACH, REACH]^2."""
    line = torch.linspace(-REACH, REACH, SIDE)
    up, across = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([across, up], dim=-1).reshape(-1, 2)
    none = log_joint(vae, torch.zeros(PIXELS), places)
    features = torch.cat([vae.features(part) for part in torch.split(places, 1024)])
    return Coarse(places, features, none)


@torch.inference_mode()
def summed_plane(vae: VAE, x: Tensor, coarse: Coarse) -> Plane:
    """Log p(x, z) all over the plane, finely where it is large.

    The coarse grid needs no network: the logits are linear in the last layer's features.

    Args:
        vae: with two latent numbers.
        x: [784], 0 and 1.
        coarse: of the same network.
    """
    joint = coarse.none + (coarse.features @ (x @ vae.out.weight) + vae.out.bias @ x).double()
    width = 2 * REACH / (SIDE - 1)
    places, done = coarse.places, []
    for parts, depth, most in CUTS:
        fine = joint > joint.max() - depth
        if int(fine.sum()) > most:
            fine = joint >= joint.topk(most).values[-1]
        done.append((places[~fine], joint[~fine], width))
        inside = ((torch.arange(parts) + 0.5) / parts - 0.5) * width
        shifts = torch.cartesian_prod(inside, inside)
        places = (places[fine][:, None] + shifts).reshape(-1, 2)
        joint, width = log_joint(vae, x, places), width / parts
    done.append((places, joint, width))
    log_area = [torch.full((len(p),), 2 * math.log(w), dtype=torch.float64) for p, _, w in done]
    return Plane(
        torch.cat([p for p, _, _ in done]), torch.cat([j for _, j, _ in done]), torch.cat(log_area)
    )


# --- one picture's bound --------------------------------------------------------------------------


class BoundTerms(NamedTuple):
    """The negative bound of one picture in its two terms, nats.

    Attributes:
        cost: E_q[-log p(x|z)].
        kl: KL(q(z|x) || p(z)).
    """

    cost: float
    kl: float

    @property
    def bound(self) -> float:
        """The bound on log p(x) itself."""
        return -self.cost - self.kl


def hermite_nodes(n: int, latent: int = 2) -> tuple[Tensor, Tensor]:
    r"""Places [n^latent, latent] and weights [n^latent]: a sum instead of an average over N(0, I).

    $$E[f(\epsilon)] \approx \sum_k w_k f(\epsilon_k)$$

    Exact for polynomials of degree 2n - 1 in each number (Gauss and Hermite).
    """
    roots, weights = np.polynomial.hermite_e.hermegauss(n)
    axes = [torch.from_numpy(roots)] * latent
    shares = [torch.from_numpy(weights / weights.sum())] * latent
    nodes = torch.cartesian_prod(*axes).reshape(-1, latent)
    return nodes, torch.cartesian_prod(*shares).reshape(-1, latent).prod(1)


def bound_terms(vae: VAE, x: Tensor, q: Gaussian, n: int = 16) -> BoundTerms:
    """The terms of `two_terms` as numbers: vae, x, q and n as there."""
    with torch.inference_mode():
        cost, nats = two_terms(vae, x, q, n)
    return BoundTerms(float(cost), float(nats))


def two_terms(vae: VAE, x: Tensor, q: Gaussian, n: int) -> tuple[Tensor, Tensor]:
    r"""The two terms of the negative bound -L of one picture for any normal q(z|x), without chance.

    $$L = E_{q(z|x)}[\log p(x|z)] - \operatorname{KL}(q(z|x)\,\|\,p(z))$$

    $$\log p(x) = L + \operatorname{KL}(q(z|x)\,\|\,p(z|x))$$

    Source: Kingma & Welling 2014, eq. 3 and eq. 1.

    Args:
        vae: the network.
        x: [784], 0 and 1.
        q: mean and variance, each [latent].
        n: places of the sum per latent number.
    """
    nodes, weights = hermite_nodes(n, vae.latent)
    z = (q.mean + q.var.sqrt() * nodes).to(x)
    logits = vae.logits(z)
    each = F.softplus(logits).sum(1) - logits @ x  # -log p(x|z), summed over the pixels
    return (weights * each.double()).sum(), q.kl(prior(q.mean)).sum()


def best_normal(vae: VAE, x: Tensor, start: Gaussian, n: int = 10, rounds: int = 30) -> Gaussian:
    """The normal with the largest bound of one picture, climbing from where one begins.

    Its numbers are independent, as an encoder's are. What it gains over the encoder's is the
    amortization gap; what then remains to log p(x) is the approximation gap (Cremer et al. 2018),
    unless the climb ends on a lower hill.

    Args:
        vae: the network.
        x: [784], 0 and 1.
        start: where to begin, mean and variance each [latent].
        n: places of the sum per latent number.
        rounds: of steps down the negative bound.
    """
    # In units of the start's width: all numbers are then of one size.
    width = start.var.detach().double().sqrt()

    def asked(numbers: Tensor) -> Gaussian:
        shift, stretch = numbers.chunk(2)
        return Gaussian(start.mean.double() + width * shift, (width * stretch.exp()).square())

    def loss(numbers: Tensor) -> Tensor:
        cost, nats = two_terms(vae, x, asked(numbers), n)
        return cost + nats

    return asked(minimise(loss, torch.zeros(2 * len(width), dtype=torch.float64), rounds, 1e-3))


@torch.inference_mode()
def log_weights(vae: VAE, x: Tensor, q: Gaussian, n: int, generator: torch.Generator) -> Tensor:
    r"""Logarithms of what n draws of q say about p(x): float64 [n] nats.

    $$w = \frac{p(x, z)}{q(z|x)}, \qquad E_q[w] = p(x), \qquad E_q[\log w] \le \log p(x)$$

    Source: Burda et al. 2016, section 3.

    Args:
        vae: the network.
        x: [784], 0 and 1.
        q: mean and variance, each [latent].
        n: how many draws.
        generator: for the draws.
    """
    eps = torch.randn(n, vae.latent, generator=generator, dtype=torch.float64)
    z = q.mean + q.var.sqrt() * eps
    log_q = -0.5 * (eps.square() + (2 * math.pi * q.var.double()).log()).sum(1)
    return log_joint(vae, x, z.float()) - log_q


def many_draw_bound(log_w: Tensor, K: int) -> Tensor:
    r"""The bound with K draws, once for each K of the weights: [n // K] nats.

    $$L_K = E\left[\log \frac1K \sum_{k=1}^K w_k\right], \qquad
    L_1 \le L_2 \le \dots \le \log p(x)$$

    Source: Burda et al. 2016, eq. 8 and theorem 1. L_1 is the usual bound.

    Args:
        log_w: [n], as `log_weights` gives them.
        K: 1..n.
    """
    groups = log_w[: len(log_w) // K * K].reshape(-1, K)
    return groups.logsumexp(1) - math.log(K)


def gradient_draws(
    vae: VAE, x: Tensor, q: Gaussian, n: int, generator: torch.Generator, baseline: float = 0.0
) -> tuple[Tensor, Tensor]:
    r"""The gradient of E_q[log p(x|z)] by mu and log sigma, by single draws, two ways.

    $$z = \mu + \sigma\epsilon, \qquad g_1 = \nabla_z \log p(x|z) \odot (1,\ \sigma\epsilon)$$

    $$g_2 = \left(\log p(x|z) - b\right)\left(\frac{\epsilon}{\sigma},\ \epsilon^2 - 1\right)$$

    In g_1 the draw moves with mu and sigma, in g_2 it stays where it is and its probability
    changes: the second factor is the gradient of log q(z|x). Both are right on average, whatever
    the number b is: that factor is 0 on average.

    Source: Kingma & Welling 2014, sections 2.2 and 2.4.

    Args:
        vae: the network.
        x: [784], 0 and 1.
        q: mean and variance, each [latent].
        n: how many draws.
        generator: for the draws.
        baseline: b.

    Returns:
        g_1 and g_2, float64 [n, 2, latent] each: by mu, by log sigma.
    """
    eps = torch.randn(n, vae.latent, generator=generator)
    width = q.var.sqrt().float()
    z = (q.mean.float() + width * eps).requires_grad_()
    with torch.enable_grad():
        logits = vae.logits(z)
        given = logits @ x - F.softplus(logits).sum(1)
        (slope,) = torch.autograd.grad(given.sum(), z)
    through = torch.stack([slope, slope * width * eps], dim=1)
    of_log_q = torch.stack([eps / width, eps.square() - 1], dim=1)
    value = given.detach() - baseline
    return through.double(), (value[:, None, None] * of_log_q).double()


def exact_gradient(vae: VAE, x: Tensor, q: Gaussian, n: int = 24) -> Tensor:
    """What both ways of `gradient_draws` are on average, without chance: float64 [2, latent].

    Args:
        vae: the network.
        x: [784], 0 and 1.
        q: mean and variance, each [latent].
        n: places of the sum per latent number.
    """
    numbers = torch.stack([q.mean.double(), q.var.double().log() / 2]).requires_grad_()
    with torch.enable_grad():
        cost, _ = two_terms(vae, x, Gaussian(numbers[0], (2 * numbers[1]).exp()), n)
        (gradient,) = torch.autograd.grad(-cost, numbers)
    return gradient
