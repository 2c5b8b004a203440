"""The discrete bound of one picture on the page: term by term, and as masked-token prediction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from diffusion_core.discrete_elbo import prior_term, vb_terms
from diffusion_core.discrete_ledger import discrete_ledger
from diffusion_core.ledger import chapters
from diffusion_core.likelihood import per_example
from diffusion_core.token_moves import entropy_bits
from diffusion_core.unmasking import masked_prediction_terms, unmask_chance
from pages.shared import discrete_networks as networks
from pages.shared.discrete_bench import panel
from pages.shared.discrete_networks import Net
from pages.shared.palette import COLORS
from pages.shared.player import Curve, Frames, Panel

PARTS = 48
LOOKS = 41  # steps at which the two ways to the bound are compared
COST = networks.rgb(COLORS["bits"])


class Line(NamedTuple):
    """What is kept of a part of the ledger.

    Attributes:
        first: its first step.
        last: its last step, which is the one that is shown.
        nats: cost of the whole part.
        own: cost of the last step alone.
        x: int16 [H, W], the noisy states.
        x0: int16 [H, W], the likeliest clean states.
        share: uint8 [H, W]; 255 is the element that costs most.
        entropy: of the belief, bits per element.
    """

    first: int
    last: int
    nats: float
    own: float
    x: np.ndarray
    x0: np.ndarray
    share: np.ndarray
    entropy: float


def parts_of(net: Net) -> list[range]:
    """How the steps are grouped."""
    return chapters(net.T, PARTS)


def lines(net: Net, x0: torch.Tensor, label: int | None, seed: int) -> Iterator[Line]:
    """The ledger of x0 [1, H, W], computed as it is asked for."""
    told = None if label is None else torch.tensor([label])
    generator = torch.Generator().manual_seed(seed)
    diffusion = net.denoiser.diffusion
    walk = discrete_ledger(
        diffusion, net.belief, x0, parts_of(net), label=told, generator=generator
    )
    for entry in walk:
        share = entry.share.clamp(min=0)
        largest = float(share.max()) or 1.0
        yield Line(
            entry.steps[0],
            entry.steps[-1],
            float(entry.nats.sum()),
            float(entry.nats[-1]),
            entry.x_t.to(torch.int16).numpy(),
            entry.x0_probs.argmax(-1).to(torch.int16).numpy(),
            (255 * share / largest).round().to(torch.uint8).numpy(),
            float(entropy_bits(entry.x0_probs).mean()),
        )


def prior_nats(net: Net, x0: torch.Tensor) -> float:
    """L_T in nats."""
    return float(prior_term(net.denoiser.diffusion, x0))


def bits_per(net: Net, nats: float) -> float:
    """Nats of a picture as bits per element."""
    return nats / (math.prod(net.shape) * math.log(2))


def draw(own: Sequence[Line], start: int, so_far: Sequence[Line], net: Net) -> Frames:
    """What the player shows of consecutive lines; `so_far` begins with the run's first one."""
    sums = np.cumsum([line.nats for line in so_far])[start : start + len(own)]
    single = [bits_per(net, line.nats / (line.last - line.first + 1)) for line in own]
    what = net.element
    x = net.cells(np.stack([line.x for line in own]))
    x0 = net.pictures(np.stack([line.x0 for line in own]))
    cost = (np.stack([line.share for line in own])[..., None] / 255 * COST).astype(np.uint8)
    return Frames(
        [
            panel("$x_t$", f"the noisy {what}s at step t", x[:, None], "xt", 0),
            panel("$\\hat x_0$: the likeliest", "the likeliest picture", x0[:, None], "x0", 0),
            panel("where it costs", f"share of each {what} in the cost of this step; red is the "
                  "largest", net.enlarge(cost)[:, None], "bits", 0),
        ],
        [f"t = {line.last} · this step costs {line.own:.3g} nats" for line in own],
        [
            Curve("each", np.array(single), "bits", f"bits per {what} of a step", 0, digits=4,
                  bars=True),
            Curve("sum", np.array([bits_per(net, n) for n in sums]), "bits",
                  f"bits per {what} so far", 0, digits=3),
        ],
    )  # fmt: skip


def ticks(net: Net) -> list[tuple[int, str]]:
    """Where the powers of ten stand among the frames."""
    parts, T = parts_of(net), net.T
    wanted = {1, T} | {10**k for k in range(1, 4) if 10**k < T}
    at = {t: next(i for i, part in enumerate(parts) if t in part) for t in wanted}
    return [(index, str(t)) for t, index in sorted(at.items())]


# --- the bound as masked-token prediction ---------------------------------------------------------


class BothWays(NamedTuple):
    """The bound's terms at some steps, computed twice; arrays are [n] unless said otherwise.

    Attributes:
        t: the steps.
        x: int16 [n, H, W], the noisy states.
        cost: uint8 [n, H, W], cross entropy of each masked element; 255 is the largest.
        masked: how many elements are masked.
        entropy: nats, sum of the cross entropies of the masked elements.
        weight: what it is multiplied by.
        kl: nats, the term as a divergence between two posteriors.
        ce: nats, weight times cross entropy.
        residual: nats, the largest difference of one element.
    """

    t: np.ndarray
    x: np.ndarray
    cost: np.ndarray
    masked: np.ndarray
    entropy: np.ndarray
    weight: np.ndarray
    kl: np.ndarray
    ce: np.ndarray
    residual: np.ndarray


@st.cache_data(max_entries=16, show_spinner="Computing both ways …")
def both_ways(name: str, sha256: str, pixels: bytes, label: int | None, seed: int) -> BothWays:
    """One picture, uint8 [28, 28] as bytes, corrupted to some steps."""
    return compare(networks.network(name, sha256), image_of(pixels), label, seed)


def compare(net: Net, pixels: np.ndarray, label: int | None, seed: int) -> BothWays:
    """The same, uncached."""
    diffusion = net.denoiser.diffusion
    t = torch.linspace(1, net.T, min(LOOKS, net.T), dtype=torch.float64).round().long()
    x0 = net.states(pixels, seed).expand(len(t), *net.shape)
    x_t = diffusion.q_sample(x0, t, torch.Generator().manual_seed(seed))
    told = None if label is None else torch.full((len(t),), label)
    logits = net.denoiser(x_t, t, told).double()
    kl = vb_terms(diffusion, logits, x_t, x0, t)
    ce = masked_prediction_terms(diffusion, logits, x_t, x0, t)
    weight = unmask_chance(diffusion, t, t - 1)
    blank = (x_t == diffusion.mask).flatten(1).sum(1)
    plain = ce / weight.reshape(-1, 1, 1)
    top = plain.flatten(1).max(1).values.clamp(min=1e-12).reshape(-1, 1, 1)
    return BothWays(
        t.numpy(),
        x_t.to(torch.int16).numpy(),
        (255 * (plain / top).clamp(0, 1)).round().to(torch.uint8).numpy(),
        blank.numpy(),
        per_example(plain).numpy(),
        weight.numpy(),
        per_example(kl).numpy(),
        per_example(ce).numpy(),
        (kl - ce).abs().flatten(1).max(1).values.numpy(),
    )


def draw_both(told: BothWays, net: Net) -> tuple[list[Panel], list[str], list[Curve]]:
    """Panels, captions and curves, one frame per step."""
    cost = (told.cost[..., None] / 255 * COST).astype(np.uint8)
    panels = [
        panel("$x_t$", "the picture with its masked pixels", net.cells(told.x)[:, None], "xt", 0),
        panel("cost where masked", "cross entropy of each masked pixel; red is the "
              "largest", net.enlarge(cost)[:, None], "bits", 0),
    ]  # fmt: skip
    said = [
        f"t = {t} · {n} masked · {e:,.2f} nats × {w:.4g} = {c:.5f} · KL = {k:.5f}"
        for t, n, e, w, c, k in zip(
            told.t, told.masked, told.entropy, told.weight, told.ce, told.kl, strict=True
        )
    ]
    chart = "one term of the bound, nats"
    curves = [
        Curve("divergence of posteriors", told.kl, "q", chart, 0, digits=4),
        Curve("weight × cross entropy", told.ce, "bits", chart, 0, digits=4, ghost=True),
        Curve("cross entropy alone", told.entropy, "p", "nats of all masked pixels", 0, digits=1),
    ]
    return panels, said, curves


def image_of(pixels: bytes) -> np.ndarray:
    """Bytes as uint8 [28, 28]."""
    return np.frombuffer(pixels, np.uint8).reshape(networks.TILE, networks.TILE)
