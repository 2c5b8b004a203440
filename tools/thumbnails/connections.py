"""The pictures of the chapter on what diffusion is related to."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion_core.checkpoints import load_as
from diffusion_core.codes import normal_log_density
from diffusion_core.cold import STEPS, blur
from diffusion_core.datasets import load_gallery, to_states, to_unit
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.hierarchical import level_schedule
from diffusion_core.ilvr import low_pass
from diffusion_core.latent_networks import load_autoencoder
from diffusion_core.mixtures import (
    class_log_probs,
    mixture_denoiser,
    mixture_log_density,
)
from diffusion_core.score import score
from diffusion_core.vae import VAE
from diffusion_core.vae_bound import log_joint
from diffusion_core.vqvae import load_vqvae
from tools.thumbnails.gaussian import GROUPS, PROCESS, groups, steps
from tools.thumbnails.pen import (
    LINE,
    Frame,
    Places,
    area,
    arrow,
    bars,
    dots,
    ground,
    hill,
    line,
    strokes,
    svg,
    tile,
)

VAE_DIGIT = 30


def digit(which: int) -> Tensor:
    """A digit of the gallery in [0, 1], [28, 28]; `which` counts along its rows."""
    return load_gallery().images[which].double() / 255


def smaller(picture: Tensor) -> Tensor:
    """Half as many pixels along each side, [14, 14]."""
    return F.avg_pool2d(picture[None], 2)[0]


def entropy() -> str:
    """Two densities, and point by point what a code for the one wastes on the other."""
    x = torch.linspace(-3.4, 3.4, 49).double()
    log_p = normal_log_density(x, torch.tensor(-0.8), torch.tensor(0.8))
    log_q = normal_log_density(x, torch.tensor(0.9), torch.tensor(1.0))
    p, q, wasted = log_p.exp(), log_q.exp(), log_p.exp() * (log_p - log_q)
    frame = Frame(-3.4, 3.4, float(wasted.min()), float(wasted.max()))
    zero = frame.at(0, 0)[1]
    return svg(
        area(frame.places(x, wasted), "bits", 0.35),
        ground(zero),
        line(frame.places(x, p), "q"),
        line(frame.places(x, q), "p"),
    )


def vae() -> str:
    """Where in the plane a digit's latent may lie, and the encoder's Gaussian in its stead."""
    module, _ = load_as(VAE, "VAE", "vae", "cpu")
    image = to_unit(load_gallery().images[VAE_DIGIT][None])
    x = to_states(image, 2, torch.Generator().manual_seed(0)).flatten().float()
    with torch.inference_mode():
        q = module.posterior(x[None])
    mean, std = q.mean[0].double(), q.var[0].double().sqrt()
    angle = torch.linspace(0, 2 * math.pi, 49).double()[:-1]
    ways = torch.stack([angle.cos(), angle.sin()], 1)
    reach = torch.linspace(0, 6, 241).double()
    rays = mean + reach[:, None, None] * (ways * std)  # [241, 48, 2]
    with torch.inference_mode():
        log = log_joint(module, x, rays.reshape(-1, 2).float()).double().reshape(len(reach), -1)
    rings = [torch.ones(len(ways)).double() * k for k in (1, 2)]
    for depth in (4.5, 2.0, 0.5):
        inside = (log > log.max() - depth).int().cummin(0).values.sum(0)
        rings.append(reach[inside.clamp(max=len(reach) - 1)])
    places = torch.stack([far[:, None] * ways * std for far in rings])  # [5, 48, 2]
    low, high = places.amin((0, 1)), places.amax((0, 1))
    scale = float((torch.tensor([88, 50]) / (high - low)).min())
    drawn = (torch.tensor([48, 28]) + scale * (places - (low + high) / 2)).tolist()
    return svg(
        *(area(ring, "q", 0.25) for ring in drawn[2:]),
        *(line([*ring, ring[0]], "p") for ring in drawn[:2]),
    )


def hierarchical_vae() -> str:
    """Levels one above the other, from two groups to one bell; up by noise, down by a network."""
    T = 3
    process = GaussianDiffusion(level_schedule(T, last=-4.0, first=3.0))
    x = torch.linspace(-2.4, 2.4, 41).double()
    drawn = []
    for t, concept in zip((3, 2, 1, 0), ("eps", "xt", "xt", "x0"), strict=True):
        density = mixture_log_density(process, GROUPS, x[:, None], steps(t, len(x))).exp()
        base = 52 - 12 * t
        frame = Frame(-2.4, 2.4, 0, float(density.max()), (15, base - 11, 81, base))
        drawn.append(hill(frame.places(x, density), concept))
    return svg(
        *drawn, strokes(arrow(5, 50, 5, 8), "q", LINE), strokes(arrow(91, 8, 91, 50), "p", LINE)
    )


def score_arrows() -> str:
    """Arrows uphill to two groups, each as the score of the noisy data points."""
    data = groups([[-1.75, -0.5], [1.6, 0.45]], [0.4, 0.6], 0.3)
    places = torch.cartesian_prod(
        torch.linspace(-3.3, 3.3, 7), torch.linspace(-1.65, 1.65, 4)
    ).double()
    t = steps(180, len(places))
    slope = score(PROCESS, mixture_denoiser(PROCESS, data), places, t)
    length = slope.norm(dim=1, keepdim=True)
    way = slope / length * 10 * (length / length.max()).clamp(min=0.55)
    scale = 12.5
    a = PROCESS.schedule.alpha_bar[180].sqrt()
    middles = [(48 + scale * x, 28 - scale * y) for x, y in (a * data.means).tolist()]
    drawn = [dots(middles, "x0", radius, 0.25) for radius in (4, 8.5)]
    arrows: list[Places] = []
    for (x, y), (dx, dy) in zip(places.tolist(), way.tolist(), strict=True):
        cx, cy = 48 + scale * x, 28 - scale * y
        arrows += arrow(cx - dx / 2, cy + dy / 2, cx + dx / 2, cy - dy / 2, head=2)
    return svg(*drawn, strokes(arrows, "q"))


def guidance() -> str:
    """Two classes that overlap, and one of them asked for more and more strongly."""
    data = groups([[-0.7], [0.8]], [0.5, 0.5], 0.8)
    x = torch.linspace(-2.9, 3.6, 57).double()
    zero = steps(0, len(x))
    log = mixture_log_density(PROCESS, data, x[:, None], zero)
    told = class_log_probs(PROCESS, data, torch.tensor([0, 1]), x[:, None], zero)[:, 1]
    step = float(x[1] - x[0])
    plain, *tilted = [(log + s * told).softmax(0) / step for s in (0, 1, 4)]
    frame = Frame(-2.9, 3.6, 0, float(tilted[-1].max()))
    return svg(
        ground(),
        hill(frame.places(x, plain), "q"),
        line(frame.places(x, tilted[0]), "p", dash="2 3"),
        hill(frame.places(x, tilted[1]), "p"),
    )


def ilvr() -> str:
    """A digit's block means, and the digit itself."""
    fine = digit(25)
    coarse = low_pass(fine, 4)[::4, ::4]
    parts = []
    for values, cell, x, concept in ((coarse, 6, 2, "x0"), (smaller(fine), 3, 52, "p")):
        parts += [paper(x, 7, 42), tile(values, x, 7, cell, concept)]
    return svg(*parts)


def paper(x: float, y: float, side: float) -> str:
    """A faint square that a picture lies on."""
    return bars([(x, y, side, side)], "xt", 0.12)


def cold_diffusion() -> str:
    """A digit whose gray spreads until none of its form is left."""
    clean = digit(13)
    parts = []
    for k, t in enumerate((0, STEPS // 3, STEPS // 2)):
        x = 2 + 32 * k
        shown = smaller(blur(clean[None, None], torch.tensor([t]))[0, 0]).clamp(0, 1)
        parts += [paper(x, 14, 28), tile(shown, x, 14, 2, "x0", levels=5)]
    return svg(*parts)


def latent_diffusion() -> str:
    """A digit's pixels, and the few numbers that its latent is."""
    picture = digit(38)
    module, _ = load_autoencoder(device="cpu")
    z = module.encode((picture * 255).to(torch.uint8)[None])[0].double()  # [3, 7, 7]
    parts = [
        paper(2, 7, 42),
        tile(smaller(picture), 2, 7, 3, "x0"),
        strokes(arrow(50, 28, 58, 28), "xt", LINE),
    ]
    z = (z[0] - z[0].min()) / (z[0].max() - z[0].min())
    return svg(*parts, tile(z, 66, 14, 4, "p", levels=5))


def vqvae() -> str:
    """A digit as tokens: equal numbers have equal colours, and places without ink are faint."""
    module, _ = load_vqvae(device="cpu")
    picture = digit(38)
    tokens = module.encode((picture * 255).to(torch.uint8)[None])[0]
    blank = low_pass(picture, 4)[::4, ::4] < 0.02
    parts = [paper(2, 7, 42), tile(smaller(picture), 2, 7, 3, "x0")]
    parts.append(tile(blank * 0.2, 52, 7, 6, "xt", levels=5, gap=1))
    inks = ("x0", "eps", "q", "p", "bits")
    for k, ink in enumerate(inks):
        own = ~blank & (tokens % len(inks) == k)
        parts.append(tile(own.double(), 52, 7, 6, ink, levels=1, gap=1))
    return svg(*parts)


THUMBNAILS = {
    "entropy": entropy,
    "vae": vae,
    "hierarchical_vae": hierarchical_vae,
    "score": score_arrows,
    "guidance": guidance,
    "ilvr": ilvr,
    "cold_diffusion": cold_diffusion,
    "latent_diffusion": latent_diffusion,
    "vqvae": vqvae,
}
