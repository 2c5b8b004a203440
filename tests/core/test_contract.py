"""The names, signatures and calls that notebooks rely on, where and as the design promises them."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diffusion_core.denoisers import Denoiser
from diffusion_core.discrete import KERNELS
from diffusion_core.discrete_elbo import discrete_elbo_terms, estimate_discrete_elbo
from diffusion_core.elbo import (
    discrete_elbo,
    elbo_draws,
    estimate_elbo,
    gaussian_elbo,
    gaussian_elbo_details,
    gaussian_elbo_terms,
    linear_gamma,
    vdm_elbo,
)
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.parameterization import Prediction, V
from diffusion_core.samplers import sample, sample_discrete
from diffusion_core.schedules import SCHEDULES


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def grey(*shape: int, seed: int = 0) -> Tensor:
    """Random grey levels, exact."""
    levels = torch.randint(256, shape, generator=torch.Generator().manual_seed(seed))
    return levels.double() / 127.5 - 1


NAMES = {
    "schedules": "NoiseSchedule SCHEDULES",
    "gaussian": "Gaussian GaussianDiffusion",
    "parameterization": "Prediction Parameterization PARAMETERIZATIONS X0 EPS V",
    "denoisers": "Denoiser DiscreteDenoiser NetworkDenoiser ideal_denoiser",
    "samplers": "Step SAMPLERS Sampler sample sample_discrete DiscreteStep",
    "discrete": "KERNELS DiscreteDiffusion REVERSE_RULES",
    "elbo": "ElboTerms gaussian_elbo gaussian_elbo_terms estimate_elbo vdm_elbo discrete_elbo",
    "checkpoints": "load load_module Card",
    "training": "train Recipe TrainStep",
}


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, all_ in NAMES.items() for name in all_.split()]
)
def test_a_name_is_where_it_was_promised(module: str, name: str) -> None:
    exec(f"from diffusion_core.{module} import {name}", {})


@pytest.mark.parametrize(
    ("module", "name", "keys"),
    [
        ("schedules", "SCHEDULES", "linear cosine sigmoid log_snr_linear"),
        ("parameterization", "PARAMETERIZATIONS", "x0 eps v score"),
        ("samplers", "SAMPLERS", "ddpm ddim heun dpmpp_2m"),
        ("discrete", "KERNELS", "uniform gaussian absorbing nearest_neighbor mask_and_replace"),
        ("discrete", "REVERSE_RULES", "mixture product"),
    ],
)
def test_a_menu_has_the_promised_entries(module: str, name: str, keys: str) -> None:
    menu = getattr(importlib.import_module(f"diffusion_core.{module}"), name)
    assert set(keys.split()) <= set(menu)


@pytest.mark.parametrize(
    ("module", "name", "fields"),
    [
        ("gaussian", "Gaussian", "mean var"),
        ("parameterization", "Prediction", "x0 eps var_fraction"),
        ("parameterization", "Parameterization", "name latex coefficients"),
        ("samplers", "Step", "t x_t prediction raw posterior noise"),
        ("elbo", "ElboTerms", "prior denoising reconstruction"),
        ("schedules", "NoiseSchedule", "name alpha_bar"),
        ("gaussian", "GaussianDiffusion", "schedule"),
    ],
)
def test_a_value_has_the_promised_fields(module: str, name: str, fields: str) -> None:
    found = getattr(importlib.import_module(f"diffusion_core.{module}"), name)
    names = getattr(found, "_fields", None) or [field.name for field in dataclasses.fields(found)]
    assert list(names) == fields.split()


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        ("schedules.NoiseSchedule", "T beta snr log_snr respace"),
        ("gaussian.Gaussian", "kl"),
        ("gaussian.GaussianDiffusion", "q_step q_marginal q_sample q_posterior"),
        ("parameterization.Parameterization", "target recover"),
        (
            "discrete.DiscreteDiffusion",
            "K T q_step_matrix q_marginal_matrix q_sample q_posterior",
        ),
        ("elbo.ElboTerms", "total bits_per_dim"),
    ],
)
def test_an_object_can_do_what_was_promised(owner: str, names: str) -> None:
    module, name = owner.split(".")
    found = getattr(importlib.import_module(f"diffusion_core.{module}"), name)
    assert not [each for each in names.split() if not hasattr(found, each)]


# --- signatures -----------------------------------------------------------------------------------

REQUIRED = inspect.Parameter.empty
BOUND = {
    "variance": "posterior",
    "clip_x0": False,
    "decoder": "discretized_gaussian",
    "label": None,
    "batch": 1,
    "generator": REQUIRED,
}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (gaussian_elbo, BOUND),
        (gaussian_elbo_terms, BOUND),
        (gaussian_elbo_details, BOUND),
        (elbo_draws, {"n": REQUIRED, "proposal": "uniform", **BOUND}),
        (estimate_elbo, {"n": REQUIRED, "proposal": "uniform", **BOUND}),
        (
            discrete_elbo,
            {"rule": "mixture", "label": None, "batch": 1, "generator": REQUIRED},
        ),
        (
            sample,
            {
                "sampler": "ddim",
                "eta": None,
                "variance": "posterior",
                "clip_x0": True,
                "rederive_eps": True,
                "noise_scale": 1.0,
                "label": None,
                "generator": REQUIRED,
            },
        ),
        (sample_discrete, {"rule": "mixture", "label": None}),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_options_are_spelled_out_with_their_defaults(
    call: Callable[..., Any], expected: dict[str, Any]
) -> None:
    """Completion, help() and a reader see them; none hides behind **options."""
    parameters = inspect.signature(call).parameters
    by_name = {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert expected.items() <= by_name.items()
    assert not [p for p in parameters.values() if p.kind is p.VAR_KEYWORD]
    with pytest.raises(TypeError, match="clip"):
        call(None, None, None, clip=True)


# --- calls ----------------------------------------------------------------------------------------

DIFFUSION = GaussianDiffusion(SCHEDULES["cosine"](6))

Bound = Callable[[GaussianDiffusion, Denoiser, Tensor], object]
BOUNDS: dict[str, Bound] = {
    "gaussian_elbo": lambda *given: gaussian_elbo(*given, generator=seeded()),
    "gaussian_elbo_terms": lambda *given: list(gaussian_elbo_terms(*given, generator=seeded())),
    "elbo_draws": lambda *given: elbo_draws(*given, n=5, generator=seeded()),
    "estimate_elbo": lambda *given: estimate_elbo(*given, n=5, generator=seeded()),
}


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_bound_asks_the_denoiser_in_the_pictures_own_dtype(name: str, dtype: torch.dtype) -> None:
    """A bare module that a sampler takes, a bound takes, too."""
    net, seen = nn.Linear(3, 3).to(dtype), []

    def denoiser(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        seen.append(x_t.dtype)
        return V.recover(net(x_t), x_t, *DIFFUSION.rates(t, x_t))

    with torch.no_grad():
        BOUNDS[name](DIFFUSION, denoiser, grey(2, 3).to(dtype))
    assert set(seen) == {dtype}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_denoiser_may_answer_with_one_array_whatever_it_is_asked(name: str) -> None:
    """As other people's stored outputs do: by default the pictures come in x0's own shape."""
    told = Prediction(grey(2, 3, seed=1), grey(2, 3, seed=2))
    BOUNDS[name](DIFFUSION, lambda x_t, t, label=None: told, grey(2, 3))


def test_other_networks_may_answer_with_one_array_too() -> None:
    eps, x0 = grey(2, 3, seed=1), grey(2, 3)
    for T in (None, 5):
        vdm_elbo(linear_gamma(), lambda z, log_snr: eps, x0, T=T, generator=seeded())
    process = KERNELS["uniform"](4, [0.1] * 5)
    logits, tokens = torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.int64)
    given = process, lambda x_t, t, label=None: logits, tokens
    discrete_elbo(*given, generator=seeded())
    assert len(list(discrete_elbo_terms(*given, generator=seeded()))) == 5
    estimate_discrete_elbo(*given, n=5, generator=seeded())


def test_a_vdm_network_is_told_a_label_only_where_there_is_one() -> None:
    x0, label = grey(2, 3), torch.tensor([4, 7])
    seen = []

    def with_label(z: Tensor, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        seen.append(None if label is None else label.tolist())
        return 0 * z

    plain = vdm_elbo(linear_gamma(), lambda z, log_snr: 0 * z, x0, T=3, generator=seeded())
    for given in (None, label):
        found = vdm_elbo(linear_gamma(), with_label, x0, T=3, label=given, generator=seeded())
        assert torch.equal(found.total, plain.total)
    assert seen == [None] * 3 + [[4, 7]] * 3
