"""A world of a few states, as a page's controls ask for it: its kernels, its chains, in arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from diffusion_core.denoisers import DiscreteDenoiser
from diffusion_core.discrete import REVERSE_RULES, DiscreteDiffusion
from diffusion_core.discrete_sampling import belief, true_reverse_matrix
from diffusion_core.small_world import BELIEFS, chain_distances, reverse_matrices, rule_error
from pages.shared import kernels
from pages.shared.distribution_bars import START, read_distribution

COUNTS = (1, 2, 3, 6, 10, 25, 50, 100)
"""Numbers of steps: of the process, and of a chain that skips some."""
LEAST_T = {"mask_and_replace": 2}
"""Where one step is not enough: VQ-Diffusion's schedule is a line between two ends."""


class Choice(NamedTuple):
    """What the controls say.

    Attributes:
        data: as `read_distribution` takes it.
        kernel: a key of `kernels.NAMES`.
        T: number of steps.
        schedule: one of `kernels.SCHEDULES`.
        beta: of the constant schedule.
        ending: a key of `kernels.ENDINGS`.
        belief: a key of `BELIEFS`.
        amount: temperature or share, where the belief has one.
    """

    data: str = START
    kernel: str = "uniform"
    T: int = 6
    schedule: str = "cosine"
    beta: float = 0.3
    ending: str = "paper"
    belief: str = "exact"
    amount: float = 1.0


class World(NamedTuple):
    """A process, its data, a denoiser.

    Attributes:
        diffusion: the process.
        data: [K] float64.
        denoiser: what the rules are given.
        names: one per state.
        notes: sentences about what was mended.
    """

    diffusion: DiscreteDiffusion
    data: Tensor
    denoiser: DiscreteDenoiser
    names: tuple[str, ...]
    notes: tuple[str, ...]


class Seen(NamedTuple):
    """One reverse step, as arrays; the rules in the order of `REVERSE_RULES`.

    Attributes:
        names: one per state.
        truth: [K, K] the true kernel, rows are x_t.
        rules: rule -> [K, K].
        errors: rule -> [K, K], NaN in rows that can't occur.
        averages: rule -> mean total variation over the x_t that occur.
        shown: [K] q(x_t).
        beliefs: [K, K], p(x_0|x_t), rows are x_t.
        parts: [K, K, K], belief times posterior: x_t, x_0, x_s.
        prior: [K, K], the belief noised to s, rows are x_t.
        true_prior: [K] q(x_s).
        likelihood: [K, K], q(x_t|x_s), rows are x_t.
    """

    names: tuple[str, ...]
    truth: np.ndarray
    rules: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    averages: dict[str, float]
    shown: np.ndarray
    beliefs: np.ndarray
    parts: np.ndarray
    prior: np.ndarray
    true_prior: np.ndarray
    likelihood: np.ndarray

    def worst(self, rule: str) -> float:
        """The largest error of a rule, over all cells that matter."""
        return float(np.nan_to_num(np.abs(self.errors[rule])).max())


def world(choice: Choice) -> World:
    """Build what was asked for; what can't be is mended, and said."""
    told = read_distribution(choice.data)
    real = len(told.probs)
    T = max(choice.T, LEAST_T.get(choice.kernel, 1))
    masked = choice.kernel in {"absorbing", "mask_and_replace"}
    made = kernels.process(
        choice.kernel, real + masked, T, choice.schedule, choice.beta, ending=choice.ending
    )
    data = torch.zeros(made.diffusion.K, dtype=torch.float64)
    data[:real] = torch.tensor(told.probs, dtype=torch.float64)
    denoiser = BELIEFS[choice.belief](made.diffusion, data, choice.amount)
    notes = (told.note,) if told.note else ()
    if T != choice.T:
        notes += (f"This kernel's schedule needs at least {T} steps: T = {T} is used.",)
    return World(made.diffusion, data, denoiser, made.names, notes + made.notes)


@st.cache_data(max_entries=256, show_spinner=False)
def seen(choice: tuple, t: int, s: int) -> tuple:
    """The fields of `Seen` for one step."""
    diffusion, data, denoiser, names, _ = world(Choice(*choice))
    K = diffusion.K
    every = torch.arange(K)
    after, before, start = (torch.full_like(every, step) for step in (t, s, 0))
    rules = {
        rule: reverse_matrices(diffusion, denoiser, [(t, s)], rule=rule)[0]
        for rule in REVERSE_RULES
    }
    told = {rule: rule_error(diffusion, data, t, s, m) for rule, m in rules.items()}
    beliefs = belief(denoiser(every, after))
    x_t, x0 = every.repeat_interleave(K), every.repeat(K)
    posterior = diffusion.q_posterior(
        x_t, x0, after.repeat_interleave(K), before.repeat_interleave(K)
    ).reshape(K, K, K)
    able = beliefs * (posterior.sum(2) > 0)
    total = able.sum(1, keepdim=True)
    weights = able / torch.where(total > 0, total, 1.0)
    parts = weights[:, :, None] * posterior if s else torch.diag_embed(beliefs)
    return tuple(
        Seen(
            names,
            true_reverse_matrix(diffusion, data, t, s).numpy(),
            {rule: m.numpy() for rule, m in rules.items()},
            {rule: error.numpy() for rule, (error, _) in told.items()},
            {rule: average for rule, (_, average) in told.items()},
            (data @ diffusion.q_marginal_matrix(t)).numpy(),
            beliefs.numpy(),
            parts.numpy(),
            diffusion.q_push(beliefs, before, start).numpy(),
            (data @ diffusion.q_marginal_matrix(s)).numpy(),
            diffusion.q_matrix(t, s).T.numpy(),
        )
    )


@st.cache_data(max_entries=128, show_spinner=False)
def chains(choice: tuple) -> dict[str, dict[int, tuple[np.ndarray, np.ndarray]]]:
    """Rule -> number of steps -> (places, distances), for every count that the process allows."""
    diffusion, data, denoiser, _, _ = world(Choice(*choice))
    counts = [n for n in COUNTS if n <= diffusion.T]
    return {
        rule: {
            n: (np.array(places), far.numpy())
            for n, (places, far) in zip(
                counts,
                chain_distances(diffusion, denoiser, data, counts, rule=rule),
                strict=True,
            )
        }
        for rule in REVERSE_RULES
    }
