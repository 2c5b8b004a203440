"""Two guesses from one noisy digit: the exact one over a data set, and the trained network's.

Everything is computed for all shown t at once and kept; how long a step is comes in last, since
neither guess depends on it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from diffusion_core import datasets
from diffusion_core.denoisers import ideal_denoiser
from diffusion_core.gaussian import Gaussian
from diffusion_core.true_reverse import (
    count_in_play,
    data_log_weights,
    distance,
    gaussian_step_bound,
    nearest,
    pick,
    spread,
)
from pages.shared import load
from pages.shared.pictures import as_bytes
from pages.shared.player import Curve, Panel, player
from pages.shared.reverse_axis import earlier

NETWORK = "digits-eps"
MOST_STEPS = 30  # shown t; a network call for each
VARIANTS = 6
STATIC = 1000  # noise over signal from which x̂₀ read off a named noise shows nothing else
SAME = 1e-3  # a guess nearer to a digit than this is that digit
CLOSE = 0.01  # nats below which a Gaussian is called near; one draw in a few hundred tells
SHARES = {"all": 1, "tenth": 10}


class Store(NamedTuple):
    """The digits there are on this machine.

    Attributes:
        data: [N, 1, 28, 28] float32 in -1..1, what the exact step runs over.
        labels: [N] uint8.
        fresh: [M, 1, 28, 28] float32, digits that are not in it; empty where there are none.
        fresh_labels: [M] uint8.
        name: what to call the data in a sentence.
        trouble: one sentence about data that could not be used, "" for none.
    """

    data: Tensor
    labels: Tensor
    fresh: Tensor
    fresh_labels: Tensor
    name: str
    trouble: str


class Guesses(NamedTuple):
    """What does not depend on the length of a step; n shown t, pictures [n, 1, 28, 28] float32.

    Attributes:
        t: [n] int64.
        size: pictures in the data set.
        x0: the clean digit, [1, 28, 28].
        x_t: noisy ones.
        ideal: E[x_0|x_t] over the data set.
        network: the trained network's guess.
        near_ideal: the data set's digit nearest to `ideal`.
        near_network: the data set's digit nearest to `network`.
        picked: a digit drawn from the mixture's weights.
        numbers: name -> [n] float: distances, digits in play, variance left open.
    """

    t: Tensor
    size: int
    x0: Tensor
    x_t: Tensor
    ideal: Tensor
    network: Tensor
    near_ideal: Tensor
    near_network: Tensor
    picked: Tensor
    numbers: dict[str, np.ndarray]


@st.cache_resource(show_spinner=False)
def store() -> Store:
    """MNIST where it is on this machine already, the shipped gallery where not."""
    try:
        train = datasets.load_mnist("train", download=False)
        test = datasets.load_mnist("test", download=False)
    except datasets.DataError as error:
        told = "" if "isn't on this machine" in str(error) else str(error)
        sheet = load.gallery()
        none = torch.zeros(0, 1, 28, 28)
        name = "digits that the network made"
        return Store(datasets.to_unit(sheet.images), sheet.labels, none, sheet.labels[:0],
                     name, told)  # fmt: skip
    few = slice(0, 500)  # enough for VARIANTS of each class
    return Store(
        datasets.to_unit(train.images), train.labels,
        datasets.to_unit(test.images[few]), test.labels[few], "MNIST digits", "",
    )  # fmt: skip


def subject(digit: int, variant: int, known: bool, share: str) -> tuple[Tensor, Tensor]:
    """The clean digit [1, 28, 28], and the data set [N, 1, 28, 28] with it or without it.

    Raises:
        DataError: where there is no such digit.
    """
    held = store()
    rest = max(1, len(held.data) // SHARES[share])
    apart = not known and len(held.fresh)
    labels, pictures = (held.fresh_labels, held.fresh) if apart else (held.labels, held.data)
    places = (labels[:1000] == digit).nonzero()[:, 0]
    if len(places) < variant:
        raise datasets.DataError(f"There is no digit {digit}, number {variant}, on this machine.")
    place = int(places[variant - 1])
    x0 = pictures[place]
    if apart:
        return x0, held.data[:rest]
    if not known:
        return x0, torch.cat([held.data[:place], held.data[place + 1 :]])[:rest]
    if place < rest:
        return x0, held.data[:rest]
    return x0, torch.cat([held.data[: rest - 1], x0[None]])


@st.cache_data(max_entries=24, show_spinner="Comparing with every digit of the data set …")
def guesses(digit: int, variant: int, known: bool, share: str, seed: int) -> Guesses:
    """Both guesses at every shown t, from one clean digit and one noise.

    Raises:
        DataError: where there is no such digit.
        CheckpointError: where there is no network.
    """
    denoiser, _ = load.network(NETWORK)
    diffusion = denoiser.diffusion
    x0, data = subject(digit, variant, known, share)
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn(x0.shape, generator=generator)
    u = float(torch.rand((), generator=generator))
    t = torch.linspace(1, diffusion.T, MOST_STEPS, dtype=torch.float64).round().long()
    clean = x0.expand(len(t), *x0.shape)
    x_t = diffusion.q_sample(clean, t, eps.expand_as(clean))
    ideal = ideal_denoiser(diffusion, data)(x_t, t).x0
    network = denoiser(x_t, t).x0.clamp(-1, 1)
    log_weights = data_log_weights(diffusion, data, x_t, t)
    near_ideal, near_network = nearest(data, ideal), nearest(data, network)
    numbers = {
        "in play": count_in_play(log_weights),
        "spread": spread(data, log_weights),
        "ideal to data": near_ideal.distance,
        "network to data": near_network.distance,
        "ideal to x0": distance(ideal, clean),
        "network to x0": distance(network, clean),
    }
    return Guesses(
        t, len(data), x0, x_t, ideal, network,
        data[near_ideal.place], data[near_network.place], data[pick(log_weights, u)],
        {name: value.double().numpy() for name, value in numbers.items()},
    )  # fmt: skip


class Draws(NamedTuple):
    """One step back from every shown t, with the same noise: [n, 1, 28, 28] float32.

    Attributes:
        s: [n] int64, where the step ends.
        true: from the mixture q(x_s|x_t) over the data set.
        known: from q(x_s|x_t,x_0).
        model: from the network's p(x_s|x_t), variance beta-tilde.
        bound: [n] nats that one Gaussian loses against the mixture, at most.
    """

    s: Tensor
    true: Tensor
    known: Tensor
    model: Tensor
    bound: np.ndarray


def draws(found: Guesses, T: int, seed: int) -> Draws:
    """Take one of T equal steps back from every shown t, three ways."""
    diffusion = load.network(NETWORK)[0].diffusion
    s = torch.tensor([earlier(int(t), T, diffusion.T) for t in found.t])
    noise = torch.randn(found.x0.shape, generator=torch.Generator().manual_seed(seed + 1_000_000))

    def drawn(x0: Tensor) -> Tensor:
        step: Gaussian = diffusion.q_posterior(found.x_t, x0, found.t, s)
        return step.sample(noise)

    bound = gaussian_step_bound(diffusion, torch.from_numpy(found.numbers["spread"]), found.t, s)
    clean = found.x0.expand_as(found.x_t)
    return Draws(s, drawn(found.picked), drawn(clean), drawn(found.network), bound.numpy())


def show(found: Guesses, step: Draws, T: int) -> None:
    """Nine pictures and four charts over t."""
    held, numbers = store(), found.numbers
    data = f"{found.size:,} {held.name}"

    def panel(title: str, alt: str, x: Tensor, color: str, row: int) -> Panel:
        return Panel(title, alt, as_bytes(x[:, 0]), color, row)

    clean = found.x0.expand_as(found.x_t)
    player(
        [
            panel("seen $x_t$", "the noisy digit", found.x_t, "xt", 0),
            panel("hidden $x_0$", "the clean digit", clean, "x0", 0),
            panel("draw $x_s$", "a step back if x_0 is known", step.known, "q", 0),
            panel("exact guess", "the exact mean of x_0 over the data", found.ideal, "q", 1),
            panel("its nearest", "the data's digit nearest to it", found.near_ideal, "x0", 1),
            panel("draw $x_s$", "a step back drawn from the mixture", step.true, "q", 1),
            panel("guess $\\hat x_0$", "the network's guess", found.network, "p", 2),
            panel("its nearest", "the data's digit nearest to it", found.near_network, "x0", 2),
            panel("draw $x_s$", "a step back drawn from the network", step.model, "p", 2),
        ],
        curves=[
            Curve("exact guess", numbers["ideal to x0"], "q", "distance from x₀", 0, digits=3),
            Curve("network", numbers["network to x0"], "p", "distance from x₀", 0, digits=3),
            Curve("exact guess", numbers["ideal to data"], "q", "from its nearest of the data", 0,
                  digits=3),
            Curve("network", numbers["network to data"], "p", "from its nearest of the data", 0,
                  digits=3),
            Curve("as if equally likely", numbers["in play"], "q", "digits in play (log)", 1,
                  max(2.0, found.size), digits=1, log=True),
        ],
        key="reverse_player",
        scale=3,
        total=len(found.t),
        captions=[
            f"t = {t} · one of T = {T:,} steps goes to s = {s}"
            for t, s in zip(found.t.tolist(), step.s.tolist(), strict=True)
        ],
        notes=[
            f"{loss_note(nats, s, off)}{blown_up(a, sigma)}"
            for nats, s, off, a, sigma in zip(
                step.bound, step.s.tolist(), numbers["ideal to x0"], *rates_at(found), strict=True
            )
        ],
        ends=("t = 1", f"t = {found.t[-1]}"),
        row_labels=["If x₀ is known", f"Exact, over {found.size:,} digits", "The network"],
        autoplay=True,
        hold=True,
        rest=5,
        report_frame=False,
        beside=True,
        label="Exact and learned guesses of a digit, over the steps t",
    )  # fmt: skip
    source = (
        " A new digit is one of MNIST's test set, which the network has never seen."
        if len(held.fresh)
        else " They are its own work, and it learned from 60,000 others, so this shows the kind of "
        "difference and not its size. Where MNIST is on the machine, both know its training "
        "digits, and new ones come from its test set."
    )
    trouble = f" {held.trouble}" if held.trouble else ""
    st.caption(
        f"Data, “its nearest” among them: {data}.{source}{trouble} A distance is the root mean "
        "square difference of the pixels, where black is −1 and white 1."
    )


def rates_at(found: Guesses) -> tuple[list[float], list[float]]:
    """Signal and noise rate of the network's process at the shown steps, [n] each."""
    a, sigma = load.network(NETWORK)[0].diffusion.rates(found.t, found.x_t)
    return a.flatten().tolist(), sigma.flatten().tolist()


def blown_up(a: float, sigma: float) -> str:
    """A sentence where the network's guess is all error, as it is next to pure noise."""
    if sigma < STATIC * a:
        return ""
    return (
        f" The network names the noise, and x̂₀ = (xₜ − σε̂)/√ᾱ multiplies its error by "
        f"{sigma / a:,.0f}: cut to black and white, that is static. See “x₀ or ε?”."
    )


def loss_note(nats: float, s: int, off: float) -> str:
    """What one Gaussian can lose in a step among digits, and whose digit the exact step takes.

    Args:
        nats: that it loses at most.
        s: where the step ends.
        off: distance of the exact guess from the hidden digit.
    """
    if nats == 0:
        sure = "One digit has all the weight. The exact step is sure"
        if off < SAME:
            return f"{sure}, and right."
        return f"{sure}, and wrong: its digit is {off:.2f} from the hidden one."
    if math.isinf(nats):
        return "The step ends on the data themselves: no Gaussian can be near."
    if nats < CLOSE:
        return f"One Gaussian is near the exact mixture: it loses at most {nats:.2g} nats."
    return "Other digits have some weight: the exact step is a mixture of Gaussians."
