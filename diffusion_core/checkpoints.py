"""Weights on disk: safetensors beside a card that says where they come from."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diffusion_core.cold import Restorer
from diffusion_core.denoisers import NetworkDenoiser
from diffusion_core.discrete_sampling import NetworkDiscreteDenoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.hashes import file_sha256, is_sealed, sealed
from diffusion_core.parameterization import PARAMETERIZATIONS
from diffusion_core.recipes import RECIPES
from diffusion_core.vdm_elbo import gamma_schedule
from diffusion_core.vdm_network import AtSteps, VariationalUNet

Kind = TypeVar("Kind", bound=nn.Module)

PRETRAINED = Path(__file__).resolve().parent.parent / "pretrained"


class CheckpointError(Exception):
    """A network that is missing or was tampered with; the message is one sentence for a reader."""


@dataclass(frozen=True)
class Card:
    """What is known about a shipped network.

    Attributes:
        name: recipe and folder name.
        path: the folder.
        fields: everything in card.json.
    """

    name: str
    path: Path
    fields: dict[str, Any]


def pick_device(device: str) -> torch.device:
    """Return cuda where there is one, else cpu, for "auto"; anything else is taken as it is."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def fastest_dtype(device: torch.device) -> torch.dtype:
    """The precision a small network runs fastest in on `device`.

    bfloat16 where the hardware multiplies it (measured here on a CPU that does: 16 ms against
    26 ms per U-Net step of 16 pictures), float32 elsewhere, where it would be emulated.
    """
    native = (
        torch.cuda.is_bf16_supported(including_emulation=False)
        if device.type == "cuda"
        else torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
    return torch.bfloat16 if native else torch.float32


def load(name: str, device: str = "auto", root: Path = PRETRAINED) -> tuple[NetworkDenoiser, Card]:
    """A shipped denoiser, ready to sample from; it carries `.diffusion`.

    Args:
        name: key in `RECIPES`.
        device: "auto", "cpu" or "cuda".
        root: the folder that holds one folder per network.

    Raises:
        CheckpointError: when the network is missing, or its file is not the one on its card, or it
            is no network of that kind.
    """
    recipe = RECIPES.get(name)
    if recipe and recipe.task == "variational":
        model, card = load_variational(name, device, root)
        return at_steps(model, recipe.T), card
    module, card = _load_in_fastest_dtype(name, ("denoise", "denoise_latents"), device, root)
    recipe = RECIPES[name]
    parameterization = PARAMETERIZATIONS[recipe.parameterization]
    return NetworkDenoiser(module, recipe.diffusion, parameterization), card


def load_variational(
    name: str, device: str = "auto", root: Path = PRETRAINED
) -> tuple[VariationalUNet, Card]:
    """A shipped variational model: its `gamma` and `predict` go into `vdm_elbo`; else as `load`.

    Raises:
        CheckpointError: as `load`.
    """
    module, card = load_module(name, device, root)
    if not isinstance(module, VariationalUNet):
        raise CheckpointError(f"The network {name!r} has no schedule of its own.")
    # The schedule and the pixels stay in float32: its ends are where a rounded digit would show.
    module.body.to(fastest_dtype(pick_device(device)))
    return module, card


def at_steps(model: VariationalUNet, T: int) -> NetworkDenoiser:
    """A variational model cut into T steps, as a denoiser: what the samplers and the ledger take.

    Step 1 is its z_0, and step T its z_1; see `gamma_schedule`.
    """
    diffusion = GaussianDiffusion(gamma_schedule(model.gamma, T - 1))
    log_snr = diffusion.schedule.log_snr
    return NetworkDenoiser(AtSteps(model, log_snr), diffusion, PARAMETERIZATIONS["eps"])


def load_discrete(
    name: str, device: str = "auto", root: Path = PRETRAINED
) -> tuple[NetworkDiscreteDenoiser, Card]:
    """A shipped denoiser of categories, ready to sample from; otherwise as `load`."""
    module, card = _load_in_fastest_dtype(
        name, ("denoise_categories", "denoise_tokens"), device, root
    )
    return NetworkDiscreteDenoiser(module, RECIPES[name].discrete_diffusion), card


def load_restorer(
    name: str, device: str = "auto", root: Path = PRETRAINED
) -> tuple[Restorer, Card]:
    """A shipped network that takes a degradation away; otherwise as `load`."""
    module, card = _load_in_fastest_dtype(name, ("restore",), device, root)

    def restore(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        weight = next(module.parameters())
        with torch.inference_mode():
            x0: Tensor = module(x_t.to(weight), t.to(weight.device), label)
            return x0.to(x_t)

    return restore, card


def _load_in_fastest_dtype(
    name: str, tasks: tuple[str, ...], device: str, root: Path
) -> tuple[nn.Module, Card]:
    module, card = load_module(name, device, root)
    if RECIPES[name].task not in tasks:
        raise CheckpointError(f"The network {name!r} is for another task: {RECIPES[name].task}.")
    return module.to(fastest_dtype(pick_device(device))), card


def load_module(name: str, device: str = "auto", root: Path = PRETRAINED) -> tuple[nn.Module, Card]:
    """A shipped network in float32, in evaluation mode and without gradients, and its card.

    Raises:
        CheckpointError: as `load`.
    """
    if name not in RECIPES:
        raise CheckpointError(f"There is no network called {name!r}; there are {sorted(RECIPES)}.")
    card = read_card(name, root)
    weights = card.path / "weights.safetensors"
    if not weights.is_file() or file_sha256(weights) != card.fields.get("sha256"):
        raise CheckpointError(
            f"The weights of {name!r} are missing or are not the file its card describes; "
            "restore pretrained/ from the repository."
        )
    if card.fields.get("recipe") != asdict(RECIPES[name]):
        raise CheckpointError(
            f"The card of {name!r} tells of another recipe than this version of the code has; "
            "restore pretrained/ from the repository."
        )
    for other, sha256 in card.fields.get("needs", {}).items():
        if read_card(other, root).fields["sha256"] != sha256:
            raise CheckpointError(
                f"The network {name!r} was trained with another {other!r} than the one here; "
                "restore pretrained/ from the repository."
            )
    module = RECIPES[name].build()
    module.load_state_dict({key: value.float() for key, value in load_file(weights).items()})
    return to_device(module.eval().requires_grad_(False), pick_device(device)), card


def load_as(
    kind: type[Kind], what: str, name: str, device: str = "auto", root: Path = PRETRAINED
) -> tuple[Kind, Card]:
    """`load_module` of a network that must be of one kind.

    Args:
        kind: its class.
        what: what a reader calls that.
        name: key in `RECIPES`.
        device: "auto", "cpu" or "cuda".
        root: the folder that holds one folder per network.

    Raises:
        CheckpointError: as `load`, and for a network of another kind.
    """
    module, card = load_module(name, device, root)
    if not isinstance(module, kind):
        raise CheckpointError(f"The network {name!r} is no {what}.")
    return module, card


def to_device(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a network there; where the GPU has no memory for it, it goes to the CPU, and says so."""
    try:
        return module.to(device)
    except torch.OutOfMemoryError:
        warnings.warn(
            "The GPU has no memory left for the network: it runs on the CPU.", stacklevel=2
        )
    return module.to("cpu")


def read_card(name: str, root: Path = PRETRAINED) -> Card:
    """The card of one network.

    Raises:
        CheckpointError: when there is none, when it can't be read, or when it was edited by hand.
    """
    path = root / name
    try:
        fields = json.loads((path / "card.json").read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"The network {name!r} is not here: its card can't be read."
        ) from error
    if not isinstance(fields, dict):
        raise CheckpointError(f"The card of {name!r} is not a record.")
    if not is_sealed(fields):
        raise CheckpointError(
            f"The card of {name!r} was changed after the network was measured; "
            "restore pretrained/ from the repository."
        )
    return Card(name, path, fields)


def save_network(module: nn.Module, fields: dict[str, Any], folder: Path) -> None:
    """Write weights (float16) and card.json to `folder`; hashes, size and count are filled in.

    Both are on the disk before either takes its place, so a full disk costs neither old file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().half().contiguous() for k, v in module.state_dict().items()}

    def write(part: Path) -> None:
        save_file(tensors, part)
        told = fields | {
            "sha256": file_sha256(part),
            "bytes": part.stat().st_size,
            "dtype": "float16",
            "parameters": sum(p.numel() for p in module.parameters()),
        }
        text = json.dumps(sealed(told), indent=2, ensure_ascii=False) + "\n"
        write_atomically(folder / "card.json", lambda part: part.write_text(text))

    write_atomically(folder / "weights.safetensors", write)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a new file, then put it in the place of `path`: never half a file there.

    The new file begins in a folder beside `path`: what a killed process has left there goes with
    the next write, the temporary files of the libraries that write included.
    """
    folder = path.with_name(f".{path.name}.part")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        write(folder / path.name)
        (folder / path.name).replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
