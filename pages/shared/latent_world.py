"""Latents: in the plane where all is exact, and of the digits' autoencoder, in arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion_core.aggregate import (
    Aggregate,
    aggregate_denoiser,
    aggregate_log_density,
    aggregated_posterior,
    density_on_grid,
    kl_parts,
)
from diffusion_core.checkpoints import Card, CheckpointError
from diffusion_core.datasets import to_uint8, to_unit
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.latent_networks import Autoencoder, load_autoencoder
from diffusion_core.latents import neighbour_correlation, noisy_latent, scaled_snr
from diffusion_core.samplers import sample
from diffusion_core.schedules import SCHEDULES, evenly_spaced
from pages.shared import bench, load, vae_world
from pages.shared.first_look import remembering
from pages.shared.score_world import diffusion, flow_walk

STEPS = 30
WALKERS, SHOWN = 256, 10  # points in the plane, and how many of them are decoded
REACH = 3.5  # the plane is shown this far
SHADES = 80  # cells of the density along each side
FORMS = 10  # slants and sizes of each digit
OPAQUE = 255  # of the densest place
RARE = 0.1  # where q(z) is below this part of p(z), the decoder has hardly been trained
UNSURE = 0.9
PLACE = "_latent_place"  # in the state: the t that "Show me" opens the player at
COUNT, COLUMNS = 12, 3  # digits drawn in a latent and in pixels
FACTORS = (0.2, 0.5, 1.0, 2.0, 5.0)  # that latents are multiplied by
SCALES = (0.2, 1.0, 5.0)  # of these, whose signal-to-noise ratios are always shown
DATA = {"forms": f"200 digits × {FORMS} forms", "plain": "200 digits"}


@st.cache_resource(max_entries=1, show_spinner="Loading the network …")
def autoencoder() -> tuple[Autoencoder, Card]:
    """Latent diffusion's autoencoder."""
    return load_autoencoder(device="cpu")


# --- in the plane ---------------------------------------------------------------------------------


def reshaped(images: Tensor, forms: int, seed: int = 0) -> Tensor:
    """Each picture and some slanted, turned and stretched forms of it.

    Args:
        images: [N, 28, 28] uint8.
        forms: of each picture; the first is the picture itself.
        seed: of the forms.

    Returns:
        [N * forms, 28, 28] float32 in 0..1.
    """
    x = (images.float() / 255)[:, None].repeat_interleave(forms, 0)
    turn, slant, wide, high = (
        torch.rand(len(x), 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    ).T * torch.tensor([0.15, 0.25, 0.12, 0.12])[:, None]
    for way in (turn, slant, wide, high):
        way[::forms] = 0
    rows = torch.stack(
        [
            turn.cos() * (1 + wide), (slant - turn.sin()) * (1 + high), 0 * turn,
            turn.sin() * (1 + wide), turn.cos() * (1 + high), 0 * turn,
        ], dim=1,
    ).reshape(-1, 2, 3)  # fmt: skip
    places = F.affine_grid(rows, list(x.shape), align_corners=False)
    return F.grid_sample(x, places, align_corners=False)[:, 0]


@cache
def aggregate(data: str) -> Aggregate:
    """Where the encoder puts the digits; exact for them, as they are all the data there are."""
    images, vae = load.gallery().images, vae_world.network()[0]
    if not len(images):
        raise CheckpointError("The gallery of digits is not here; restore pretrained/digits-eps.")
    return aggregated_posterior(vae, reshaped(images, FORMS if data == "forms" else 1).flatten(1))


def times() -> list[int]:
    """Where the walk stops, T first and 0 last: closer together where there is little noise."""
    return [round(1000 * (1 - i / STEPS) ** 2) for i in range(STEPS + 1)]


def decoded(z: Tensor) -> Tensor:
    """Chances of the pixels of z [N, 2]: [N, 28, 28] in 0..1."""
    return torch.from_numpy(vae_world.decoded(z))


@torch.inference_mode()
def sureness(pictures: Tensor) -> Tensor:
    """What the classifier gives its favourite, of pictures [N, 28, 28] in 0..1: [N]."""
    module = load.classifier()
    return module.head(module.features(2 * pictures[:, None] - 1)).softmax(1).amax(1)


def unsure(z: Tensor) -> float:
    """The share of decoded points [N, 2] of which the classifier is less than UNSURE sure."""
    return float((sureness(decoded(z)) < UNSURE).double().mean())


def rarity(data: str, z: Tensor) -> Tensor:
    """Log q(z) - log p(z) of z [N, 2]: below 0 where the prior puts too much."""
    clean = torch.zeros(len(z), dtype=torch.int64)
    log_p = -0.5 * z.double().square().sum(1) - math.log(2 * math.pi)
    return aggregate_log_density(diffusion(), aggregate(data), z, clean) - log_p


@st.cache_data(max_entries=8, show_spinner=False)
def rare_draws(data: str, seed: int) -> float:
    """The share of the prior's draws where q(z) is below RARE times p(z)."""
    return float((rarity(data, draws(seed)) < math.log(RARE)).double().mean())


def draws(seed: int) -> Tensor:
    """Draws of N(0, I): [WALKERS, 2] float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(WALKERS, 2, generator=generator, dtype=torch.float64)


class Plane(NamedTuple):
    """Draws of the prior, and the same noise walked back to the aggregated posterior.

    Attributes:
        points: float32 [n, WALKERS, 2], the walk; the first are the draws.
        holes: bool [n, WALKERS] whether a point lies where q(z) is below RARE times p(z), at t = 0.
        sheets: uint8 [n, H, W], the first SHOWN points decoded: on the left as they were drawn, on
            the right as they are.
    """

    points: np.ndarray
    holes: np.ndarray
    sheets: np.ndarray

    @property
    def rare(self) -> np.ndarray:
        """The share of the points in holes, [n]."""
        return self.holes.mean(1)


@st.cache_data(max_entries=8, show_spinner=False)
def plane(data: str, seed: int) -> tuple:
    """The fields of `Plane`."""
    start = draws(seed)
    denoiser = aggregate_denoiser(diffusion(), aggregate(data))
    points = torch.stack([start, *flow_walk(diffusion(), denoiser, start, times())])
    holes = torch.stack([rarity(data, z) < math.log(RARE) for z in points])
    shown = (255 * decoded(points[:, :SHOWN].reshape(-1, 2))).round().to(torch.uint8)
    return tuple(
        Plane(
            points.float().numpy(),
            holes.numpy(),
            halves(shown.reshape(-1, SHOWN, 28, 28).numpy()),
        )
    )


def halves(shown: np.ndarray) -> np.ndarray:
    """The first pictures of [n, SHOWN, 28, 28] beside each frame's, two columns each: [n, H, W]."""
    n, gap = len(shown), 7
    sheet = np.zeros((n, SHOWN // 2 * 29 - 1, 4 * 29 - 2 + gap), np.uint8)
    for half, pictures in enumerate((np.broadcast_to(shown[:1], shown.shape), shown)):
        for i in range(shown.shape[1]):
            top, left = i // 2 * 29, i % 2 * 29 + half * (57 + gap)
            sheet[:, top : top + 28, left : left + 28] = pictures[:, i]
    sheet[:, :, 57 : 57 + gap] = 90
    return sheet


@st.cache_data(max_entries=2, show_spinner=False)
def shades(data: str) -> np.ndarray:
    """The density of the noisy latents at each stop: uint8 [n, SHADES, SHADES], top row first."""
    half = REACH / SHADES
    along = torch.linspace(-REACH + half, REACH - half, SHADES, dtype=torch.float64)
    out = []
    for t in times():
        # The cube root: narrow peaks would leave nothing else to be seen, on black less still.
        root = density_on_grid(diffusion(), aggregate(data), along, t).flip(0) ** (1 / 3)
        out.append((root / root.max() * OPAQUE).clamp(max=255).round().to(torch.uint8).numpy())
    return np.stack(out)


@st.cache_data(max_entries=2, show_spinner=False)
def parts(data: str) -> tuple[float, float, float]:
    """The KL term, what z tells, what a better prior saves; nats per digit."""
    return tuple(kl_parts(aggregate(data)))


# --- digits ---------------------------------------------------------------------------------------


class Shot(NamedTuple):
    """What is shown of one stop.

    Attributes:
        drawn: uint8 [H, W] sheet of the draws of N(0, I) as the decoder draws them, the same at
            every stop.
        latent: uint8 [H, W, 3] sheet of z_t, three numbers per position as red, green and blue.
        plain: uint8 [H, W] sheet of z_t as the decoder draws it.
        aimed: uint8 [H, W] sheet of z0_hat as the decoder draws it.
        pixels: uint8 [H, W] sheet of x0_hat of the network of pixels.
    """

    drawn: np.ndarray
    latent: np.ndarray
    plain: np.ndarray
    aimed: np.ndarray
    pixels: np.ndarray


def colours(z: Tensor) -> np.ndarray:
    """Latents [n, 3, 7, 7] as colours, each position 4 by 4 pixels: uint8 [n, 28, 28, 3]."""
    shown = ((z / 3 + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return shown.repeat_interleave(4, 2).repeat_interleave(4, 3).permute(0, 2, 3, 1).numpy()


def in_rows(pictures: np.ndarray, line: int = 0, columns: int = COLUMNS) -> np.ndarray:
    """Pictures [n, 28, 28, ...] as one, so many in a row, lines of that level between them."""
    rows = -(-len(pictures) // columns)
    out = np.full((rows * 29 - 1, columns * 29 - 1, *pictures.shape[3:]), line, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // columns * 29, i % columns * 29
        out[top : top + 28, left : left + 28] = picture
    return out


def digits(
    latents: NetworkDenoiser,
    pixels: NetworkDenoiser,
    digit: str,
    steps: int,
    seed: int,
    clip: bool,
) -> Iterator[Shot]:
    """The same classes in a latent and in pixels, by DDIM, stop by stop.

    Args:
        latents: the network of latents.
        pixels: that of pixels.
        digit: "each" or a class.
        steps: of both.
        seed: of their noise.
        clip: whether z0_hat is clipped to -1..1, as x0_hat is.

    Yields:
        `steps` + 1 shots.
    """
    module, _ = autoencoder()
    label = bench.Start(digit, steps, seed, COUNT).label
    generator = torch.Generator().manual_seed(seed)
    walks = []
    for network, shape, cut in (
        (latents, (module.features, 7, 7), clip),
        (pixels, (1, 28, 28), True),
    ):
        process = network.diffusion
        walks.append(
            sample(
                process, remembering(network, network, process.T),
                torch.randn(COUNT, *shape, generator=generator),
                evenly_spaced(process.T, steps), sampler="ddim", clip_x0=cut, label=label,
                generator=torch.Generator(),
            )
        )  # fmt: skip
    aimed, there, drawn = None, None, None
    for small, large in zip(*walks, strict=True):
        aimed = small.x_t if small.prediction is None else small.prediction.x0
        there = large.x_t if large.prediction is None else large.prediction.x0
        pictures = module.decode(torch.cat([small.x_t, aimed]))
        plain = in_rows(pictures[:COUNT].numpy())
        drawn = plain if drawn is None else drawn
        yield Shot(
            drawn,
            in_rows(colours(small.x_t)),
            plain,
            in_rows(pictures[COUNT:].numpy()),
            in_rows(to_uint8(there).numpy()),
        )


# --- what the autoencoder loses -------------------------------------------------------------------


NOISE_STEPS = 40
MAGNIFIED = 4
IN_A_ROW = 4  # of ten digits
GRAY = 128  # of the magnified difference, where there is none


class Kept(NamedTuple):
    """What comes back of the gallery's digits, one frame for each variant of all ten.

    Attributes:
        x0: uint8 [n, H, W] the digits in rows.
        decoded: the same, encoded and decoded.
        off: decoded minus the digit, MAGNIFIED times, GRAY for none.
        error: [n] root mean square difference; black to white is 2.
        same: [n] int64, in how many of the ten the judge sees the digit that it saw before.
    """

    x0: np.ndarray
    decoded: np.ndarray
    off: np.ndarray
    error: np.ndarray
    same: np.ndarray


@st.cache_data(max_entries=1, show_spinner=False)
@torch.inference_mode()
def kept() -> tuple:
    """The fields of `Kept`."""
    module, _ = autoencoder()
    images = load.gallery().images
    images = images if len(images) else torch.zeros(10, 28, 28, dtype=torch.uint8)
    back = module.decode(module.encode(images))
    x0, made = to_unit(images), to_unit(back)
    judge = load.classifier()
    same = judge(x0).argmax(1) == judge(made).argmax(1)
    off = to_uint8(MAGNIFIED * (made - x0) / 2)

    def sheets(pictures: np.ndarray, line: int) -> np.ndarray:
        ten = pictures.reshape(-1, 10, 28, 28)
        return np.stack([in_rows(row, line, IN_A_ROW) for row in ten])

    return tuple(
        Kept(
            sheets(images.numpy(), 0),
            sheets(back.numpy(), 0),
            sheets(off.numpy(), GRAY),
            (made - x0).square().reshape(-1, 7840).mean(1).sqrt().numpy(),
            same.reshape(-1, 10).sum(1).numpy(),
        )
    )


class Lost(NamedTuple):
    """A digit, its latent, and noise on either, at every shown t.

    Attributes:
        pixels: uint8 [n, 28, 28] noise put on the pixels.
        latent: uint8 [n, 28, 28, 3] on the latent, as colours.
        decoded: uint8 [n, 28, 28] that, decoded.
        error: [2, n] root mean square difference from the digit without noise at that t: what
            noise does to pixels, and to the decoded picture.
        alike: [2, n] how alike the errors of neighbouring pixels are; NaN where there is no noise.
    """

    pixels: np.ndarray
    latent: np.ndarray
    decoded: np.ndarray
    error: np.ndarray
    alike: np.ndarray


@cache
def process() -> GaussianDiffusion:
    """The process of the network of latents."""
    return GaussianDiffusion(SCHEDULES["cosine"](1000))


def noise_times() -> list[int]:
    """The shown t, 0 first; T has no signal left that anything could be compared with."""
    return [25 * i for i in range(NOISE_STEPS)]


def snr_shown(factor: float) -> np.ndarray:
    """Signal to noise of latents times `factor` at every shown t; NaN at 0, where it has no end."""
    found = scaled_snr(process().schedule, factor)[noise_times()].numpy()
    found[0] = math.nan
    return found


def even_at(factor: float) -> int:
    """The first t at which latents times `factor` have no more signal than noise."""
    return int((scaled_snr(process().schedule, factor) < 1).nonzero()[0])


@st.cache_data(max_entries=32, show_spinner=False)
def lost(label: int, row: int, factor: float, seed: int) -> tuple:
    """The fields of `Lost`."""
    module, _ = autoencoder()
    picture = torch.from_numpy(load.gallery_digit(label, row))[None]
    x0, z0 = to_unit(picture), module.encode(picture)
    stops = noise_times()
    n = len(stops)
    t = torch.tensor(stops)
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn(1, 1, 28, 28, generator=generator).expand(n, -1, -1, -1)
    noise = torch.randn(1, *z0.shape[1:], generator=generator).expand(n, -1, -1, -1)
    noisy = process().q_sample(x0.expand(n, -1, -1, -1), t, eps)
    z = noisy_latent(process(), z0.expand(n, -1, -1, -1), t, noise, factor)
    # The same latents without the noise: what is different is the noise's doing.
    still = noisy_latent(process(), z0.expand(n, -1, -1, -1), t, 0 * noise, factor)
    drawn, quiet = to_unit(module.decode(z)), to_unit(module.decode(still))
    a, _ = process().rates(t, x0.expand(n, -1, -1, -1))
    errors = torch.stack([(noisy - a * x0)[:, 0], (drawn - quiet)[:, 0]]).double()
    alike = torch.stack([neighbour_correlation(e) for e in errors])
    alike[:, 0] = math.nan  # no error there
    return tuple(
        Lost(
            to_uint8(noisy).numpy(),
            colours(z),
            to_uint8(drawn).numpy(),
            errors.square().mean((2, 3)).sqrt().numpy(),
            alike.numpy(),
        )
    )
