"""Everything that is kept between reruns: networks, galleries, default runs. One place, bounded.

Caches are keyed on primitives, and what they hold is shared by all sessions and never changed.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import streamlit as st
import torch

from diffusion_core import datasets
from diffusion_core.checkpoints import (
    Card,
    CheckpointError,
    load,
    load_as,
    load_module,
    load_restorer,
)
from diffusion_core.cold import Restorer
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.networks import Classifier
from pages.shared.runs import LiveRun

Loaded = TypeVar("Loaded")

torch.set_num_threads(1)  # for all sessions: `workers` are the parallelism; see NetworkDenoiser


@st.cache_resource(show_spinner=False)
def workers() -> ThreadPoolExecutor:
    """The threads in which every network runs, for all sessions: as many as there are cores.

    Whatever asks a network without holding a turn (`pages.shared.runs.STEPS`) stands in line here,
    piece by piece, so that no number of sessions computes on more cores than there are. They yield
    to the threads that answer sliders (on Linux, `nice` counts for the calling thread alone): with
    ten runs under way the class of sixty in `benchmarks.classroom` waits less than half as long,
    and the runs take no longer.
    """
    return ThreadPoolExecutor(usable_cores(), "network", _yield_to_others)


def _yield_to_others() -> None:
    if sys.platform == "linux":  # elsewhere it would slow the whole process
        os.nice(10)


@st.cache_resource(max_entries=8, show_spinner="Loading the network …")
def network(name: str) -> tuple[NetworkDenoiser, Card]:
    """A shipped network with its card.

    Raises:
        CheckpointError: when it is missing or was tampered with.
    """
    denoiser, card = load(name)
    if next(denoiser.module.parameters()).device.type == "cpu":
        denoiser = replace(denoiser, pool=workers(), parts=usable_cores())
    settle()
    return denoiser, card


@st.cache_resource(max_entries=2, show_spinner="Loading the network …")
def full_precision(name: str) -> NetworkDenoiser:
    """A shipped network in float32, for pages that compare pictures digit by digit; else as above.

    Raises:
        CheckpointError: as `network`.
    """
    denoiser, _ = network(name)
    module, _ = load_module(name, str(next(denoiser.module.parameters()).device))
    return replace(denoiser, module=module)


@st.cache_resource(max_entries=1, show_spinner="Loading the network …")
def restorer(name: str) -> tuple[Restorer, Card]:
    """A shipped network that takes a degradation away, with its card.

    Raises:
        CheckpointError: as `network`.
    """
    found = load_restorer(name)
    settle()
    return found


@st.cache_resource(max_entries=1, show_spinner="Loading the judge …")
def classifier() -> Classifier:
    """The network that recognises digits; on the CPU, for the few that a page asks it about.

    Raises:
        CheckpointError: as `network`.
    """
    return load_as(Classifier, "classifier", "classifier", "cpu")[0]


def network_or_stop(name: str) -> tuple[NetworkDenoiser, Card]:
    """A shipped network; where there is none the page says so and ends."""
    return or_stop(network, name)


def full_precision_or_stop(name: str) -> NetworkDenoiser:
    """The same in float32."""
    return or_stop(full_precision, name)


def restorer_or_stop(name: str) -> tuple[Restorer, Card]:
    """A shipped restorer; where there is none the page says so and ends."""
    return or_stop(restorer, name)


def or_stop(get: Callable[..., Loaded], *asked: Any) -> Loaded:
    """What `get` loads; where it can't, the page says so and ends."""
    try:
        return get(*asked)
    except CheckpointError as error:
        st.error(str(error), icon=":material/cloud_off:")
        st.page_link(
            "pages/gaussian/forward_process.py", label="The forward process needs no network"
        )
        st.stop()


def usable_cores() -> int:
    """Cores this process may run on: fewer than the machine has where they are shared out."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@st.cache_resource(max_entries=1, show_spinner=False)
def common_run(ident: str, total: int, _make: Callable[[], Iterator[Any]]) -> LiveRun[Any]:
    """The run that every reader is shown first, computed once for all; arguments as `LiveRun`'s."""
    return LiveRun(_make, total, ident=ident)


@st.cache_resource(show_spinner=False)
def gallery() -> datasets.Dataset:
    """The digits that the shipped network generated, or an empty set where the sheet is missing."""
    try:
        return datasets.load_gallery()
    except datasets.DataError:
        empty = torch.zeros(0, 28, 28, dtype=torch.uint8)
        return datasets.Dataset(empty, empty[:, 0, 0])


def gallery_digit(label: int, row: int) -> np.ndarray:
    """One digit of the gallery, uint8 [28, 28]; black where the gallery is missing."""
    sheet = gallery()
    index = 10 * row + label
    if index >= len(sheet.images):
        return np.zeros((28, 28), np.uint8)
    return sheet.images[index].numpy().copy()  # the sheet is every session's


def settle() -> None:
    """Take everything imported so far out of the garbage collector's sight.

    Streamlit's own collection after every script run is off (`runner.postScriptGC`): with torch
    imported it walks a million objects and adds about 50 ms to every answer. Python's ordinary
    collector goes on, and stops every session while it looks: frozen objects, those that live
    until the process ends anyway, it does not look at. Nothing is collected first: it would keep
    the first reader waiting for 170 ms, to free a few thousand.
    """
    _freeze(len(sys.modules))  # anew when a page has brought more


@st.cache_resource(max_entries=1, show_spinner=False)
def _freeze(modules: int) -> None:
    gc.freeze()
    gc.set_threshold(10_000)
