"""What a network says of the starting noise is computed once, and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion_core.checkpoints import load
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.samplers import SAMPLERS
from pages.shared import bench, first_look
from pages.shared.first_look import KEEP, remembering

T = 1000


class Counted:
    """A denoiser that counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        self.calls += 1
        return x_t * 2 + (0 if label is None else label.sum())


def at(t: int, seed: int = 0, count: int = 2) -> tuple[Tensor, Tensor]:
    """Noise and the step it sits at."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 2, 2, generator=generator), torch.full((count,), t)


def test_only_the_last_step_is_remembered() -> None:
    network = Counted()
    ask = remembering(network, network, T)
    first = ask(*at(T), None)
    assert torch.equal(ask(*at(T), None), first)
    assert network.calls == 1
    ask(*at(T - 1), None)
    ask(*at(T - 1), None)
    assert network.calls == 3


def test_other_noise_other_classes_and_other_networks_are_asked_anew() -> None:
    one, other = Counted(), Counted()
    label = torch.tensor([1, 2])
    ask = remembering(one, one, T)
    seen = [
        ask(*at(T), None),
        ask(*at(T, seed=1), None),
        ask(*at(T), label),
        ask(*at(T), label + 1),
    ]
    assert one.calls == len(seen)
    remembering(other, other, T)(*at(T), None)
    assert (one.calls, other.calls) == (len(seen), 1)
    assert len({answer.numpy().tobytes() for answer in seen}) == len(seen)


def test_as_many_bytes_in_another_shape_are_other_noise() -> None:
    network = Counted()
    ask = remembering(network, network, T)
    x_t, t = at(T, count=2)
    ask(x_t, t, None)
    ask(x_t.reshape(2, 1, 4, 1), t, None)
    assert network.calls == 2


def test_memory_is_bounded() -> None:
    network = Counted()
    ask = remembering(network, network, T)
    for seed in range(KEEP + 5):
        ask(*at(T, seed), None)
    assert len(first_look._known) == KEEP
    ask(*at(T, KEEP + 4), None)  # the newest is still there
    assert network.calls == KEEP + 5
    ask(*at(T, 0), None)  # the oldest is not
    assert network.calls == KEEP + 6


@pytest.fixture(scope="module")
def denoiser() -> NetworkDenoiser:
    """The shipped network."""
    return load("digits-eps", device="cpu")[0]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_second_run_shows_the_same_and_asks_once_less(
    denoiser: NetworkDenoiser, sampler: str
) -> None:
    class Counting(torch.nn.Module):
        calls = 0

        def forward(self, *asked: Tensor) -> Tensor:
            Counting.calls += 1
            answer: Tensor = denoiser.module(*asked)
            return answer

    module = Counting()
    module.weight = torch.nn.Parameter(next(denoiser.module.parameters()).clone())
    counted = replace(denoiser, module=module)
    start, rule = bench.Start("each", 3, 5, 4), bench.Rule(sampler=sampler)
    calls, shown = [], []
    for _ in range(2):
        Counting.calls = 0
        shown.append([shots[0] for shots in bench.run(counted, start, [rule])])
        calls.append(Counting.calls)
    assert calls[1] == calls[0] - 1
    for before, after in zip(*shown, strict=True):
        for one, other in zip(before[:3], after[:3], strict=True):
            np.testing.assert_array_equal(one, other)
