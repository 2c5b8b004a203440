"""What to train: every network that ships is one record here, and its card repeats the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from diffusion_core import cold
from diffusion_core.discrete import KERNELS, DiscreteDiffusion
from diffusion_core.discrete_betas import DISCRETE_BETAS
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.latent_networks import Autoencoder, LatentUNet
from diffusion_core.networks import NETWORKS
from diffusion_core.schedules import SCHEDULES
from diffusion_core.token_networks import TokenTransformer
from diffusion_core.vae import VAE
from diffusion_core.vdm_network import VariationalUNet
from diffusion_core.vqvae import VQVAE

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    **NETWORKS,
    "variational_unet": VariationalUNet,
    "vqvae": VQVAE,
    "token_transformer": TokenTransformer,
    "vae": VAE,
    "autoencoder": Autoencoder,
    "latent_unet": LatentUNet,
}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run; two runs of one recipe on one machine are equal.

    Attributes:
        name: folder under pretrained/ and key in `RECIPES`.
        task: key in `training.TASKS`.
        network: key in `BUILDERS`.
        network_args: keyword arguments of the network.
        schedule: key in `SCHEDULES` ("" where there is no diffusion, or where it is learned).
        T: steps of the diffusion.
        kernel: key in `KERNELS` for a process on categories, in `cold.DEGRADATIONS` for one
            without noise ("" for one of noise on numbers).
        kernel_args: the kernel's keyword arguments; its betas are a key in `DISCRETE_BETAS`.
        parameterization: key in `PARAMETERIZATIONS`: what the network outputs.
        weighting: key in `training.WEIGHTINGS`: what each step's squared error counts.
        start_from: name of the recipe whose averaged weights it begins with, under a fresh
            optimiser; "" begins with fresh weights.
        label_dropout: how often the class is hidden, so that one network is also unconditional.
        max_shift: largest random shift of a training picture, in pixels.
        steps: optimiser steps.
        batch: pictures per step, over all processes together.
        learning_rate: peak; it rises over `warmup` steps and falls to 0 along a cosine.
        warmup: steps.
        weight_decay: decoupled (AdamW).
        ema_decay: decay of the averaged weights, which are the ones shipped.
        precision: of the forward pass: "float32" or "bfloat16" (autocast).
        seed: of weights, data order, steps and noise.
    """

    name: str
    task: str
    network: str
    network_args: dict[str, Any] = field(default_factory=dict)
    schedule: str = ""
    T: int = 0
    kernel: str = ""
    kernel_args: dict[str, Any] = field(default_factory=dict)
    parameterization: str = ""
    weighting: str = "simple"
    start_from: str = ""
    label_dropout: float = 0.0
    max_shift: int = 0
    steps: int = 1000
    batch: int = 128
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.0
    ema_decay: float = 0.999
    precision: str = "bfloat16"
    seed: int = 0

    def build(self) -> nn.Module:
        """The network with fresh weights (from the global generator: seed it first)."""
        return BUILDERS[self.network](**self.network_args)

    @property
    def diffusion(self) -> GaussianDiffusion:
        """The process the network denoises.

        Raises:
            ValueError: for a recipe without a schedule.
        """
        if self.schedule not in SCHEDULES:
            raise ValueError(f"the recipe {self.name!r} has no diffusion process")
        return GaussianDiffusion(SCHEDULES[self.schedule](self.T))

    @property
    def discrete_diffusion(self) -> DiscreteDiffusion:
        """The process on categories that the network denoises.

        Raises:
            ValueError: for a recipe without a kernel.
        """
        if self.kernel not in KERNELS:
            raise ValueError(f"the recipe {self.name!r} has no process on categories")
        arguments = dict(self.kernel_args)
        if "betas" in arguments:
            arguments["betas"] = DISCRETE_BETAS[arguments["betas"]](self.T)
        return KERNELS[self.kernel](**arguments)

    @property
    def levels(self) -> int:
        """States that the data of a process on categories hold.

        All K, or K - 1 where the last one is [MASK]. A mask elsewhere is a gray level like the
        others, as D3PM has it for pictures.
        """
        diffusion = self.discrete_diffusion
        return diffusion.K - (diffusion.mask == diffusion.K - 1)


_BASE_SIMPLE = Recipe(
    name="digits-base-simple",
    task="denoise",
    network="unet",
    schedule="cosine",
    T=1000,
    parameterization="eps",
    label_dropout=0.1,
    steps=12_000,
    batch=64,
    learning_rate=1e-3,
    warmup=500,
    ema_decay=0.9995,
    seed=1,
)
"""The plain loss on eps. It drew 94 % of 1,000 digits as asked (25 DDIM steps from noise), but
98.5 % of 600 when started at t = 720 from a noised real digit: what was missing were the noisiest
steps, which the plain loss on eps hardly counts. All that follows counts them."""

_BASE = replace(
    _BASE_SIMPLE,
    name="digits-base",
    weighting="v",
    start_from=_BASE_SIMPLE.name,
    steps=3000,
    learning_rate=4e-4,
    warmup=100,
    ema_decay=0.999,
    seed=2,
)
"""What the shipped digit networks begin with, so that none has to learn digits from nothing."""


def _digits(target: str) -> Recipe:
    """Recipes that differ in the prediction target alone, so that they can be compared.

    All begin with the same weights and see the same pictures, steps and noise in the same order.
    Those weights were trained on eps, so the start favours eps, if anything.
    """
    return replace(
        _BASE,
        name=f"digits-{target}",
        parameterization=target,
        start_from=_BASE.name,
        steps=5000,
        learning_rate=6e-4,
        warmup=200,
        seed=3,
    )


_IDDPM = replace(
    _digits("v"),
    name="digits-iddpm",
    network_args={"out_channels": 2},
    start_from="digits-v",
    steps=3000,
    learning_rate=4e-4,
    seed=4,
)
"""Learns its variance, too, with the hybrid loss; the mean goes on from digits-v."""


_VDM = Recipe(
    name="digits-vdm",
    task="variational",
    network="variational_unet",
    T=1000,
    parameterization="eps",
    start_from="digits-v",
    label_dropout=0.1,
    steps=4500,
    batch=64,
    learning_rate=8e-4,
    warmup=200,
    ema_decay=0.999,
    seed=7,
)
"""Trained on the bound itself, and its schedule with it. T is what the app cuts it into: the
training knows no steps."""


GRAY_LEVELS = 8


def _gray(kernel: str, **arguments: Any) -> Recipe:
    """Recipes that differ in the kernel alone, each with the betas that D3PM chose for it.

    The absorbing state is a gray level, as D3PM has it for images, so that the network is the same.
    """
    return Recipe(
        name=f"gray-{kernel}",
        task="denoise_categories",
        network="categorical_unet",
        network_args={"K": GRAY_LEVELS},
        T=1000,
        kernel=kernel,
        kernel_args={"K": GRAY_LEVELS, **arguments},
        start_from=_BASE.name,
        label_dropout=0.1,
        steps=2000,
        batch=64,
        learning_rate=8e-4,
        warmup=200,
        ema_decay=0.998,
        seed=6,
    )


CODES = 128

_VQVAE = Recipe(
    name="vqvae",
    task="autoencode",
    network="vqvae",
    network_args={"codes": CODES},
    steps=1600,
    batch=64,
    learning_rate=2e-3,
    warmup=100,
    seed=8,
)

_TOKENS = Recipe(
    name="vq-mask-and-replace",
    task="denoise_tokens",
    network="token_transformer",
    network_args={"K": CODES + 1},
    T=100,
    kernel="mask_and_replace",
    kernel_args={"K": CODES + 1, "T": 100, "masked": [0.000009, 0.9]},
    label_dropout=0.1,
    steps=9000,
    batch=64,
    learning_rate=2e-3,
    warmup=200,
    ema_decay=0.9985,
    seed=9,
)
"""Denoises what `vqvae` makes of digits, so that one has to be there first.

The end points are those of Gu et al. 2022 (implementation details): at T, 0.9 of the tokens are
masked and 0.1 replaced. The default of their code masks them all and replaces hardly any."""


_VAE = Recipe(
    name="vae",
    task="vae",
    network="vae",
    steps=30_000,
    batch=128,
    learning_rate=1e-3,
    warmup=500,
    ema_decay=0.999,
    precision="float32",
    seed=10,
)

_NO_KL = replace(
    _VAE,
    name="vae-no-kl",
    task="vae_without_kl",
    network_args={"widths": [320, 160, 80]},
    steps=20_000,
)
"""What becomes of `vae` without the KL. Its layers are narrower and its steps fewer, to save bytes
and time; it reconstructs test digits within two nats of `vae`."""

_AUTOENCODER = Recipe(
    name="autoencoder",
    task="compress",
    network="autoencoder",
    steps=2400,
    batch=64,
    learning_rate=2e-3,
    warmup=100,
    seed=11,
)

_LATENT = Recipe(
    name="digits-latent",
    task="denoise_latents",
    network="latent_unet",
    schedule="cosine",
    T=1000,
    parameterization="v",
    label_dropout=0.1,
    steps=9000,
    batch=64,
    learning_rate=1.5e-3,
    warmup=300,
    ema_decay=0.9985,
    seed=12,
)
"""Denoises what `autoencoder` makes of digits, so that one has to be there first."""

_COLD = replace(
    _digits("x0"),
    name="cold-blur",
    task="restore",
    schedule="",
    T=cold.STEPS,
    kernel="blur",
    weighting="simple",
    start_from="digits-x0",
    steps=4000,
    seed=13,
)
"""Restores blurred digits; it begins with a network that took noise away."""


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _BASE_SIMPLE,
        _BASE,
        _digits("eps"),
        _digits("x0"),
        _digits("v"),
        _IDDPM,
        _VDM,
        # Unconditional, so that its bound stands beside those of other models of plain MNIST.
        Recipe(
            name="binary-absorbing",
            task="denoise_categories",
            network="categorical_unet",
            network_args={"K": 3, "mask": True, "keep": True},
            T=1000,
            kernel="absorbing",
            kernel_args={"K": 3, "betas": "1/(T-t+1)"},
            start_from=_BASE.name,
            label_dropout=1.0,
            steps=7000,
            batch=64,
            learning_rate=8e-4,
            warmup=300,
            seed=5,
        ),
        _gray("uniform", betas="cosine"),
        _gray("absorbing", betas="1/(T-t+1)", state=GRAY_LEVELS // 2),
        _gray("gaussian", betas="2 x linear"),
        _VQVAE,
        _TOKENS,
        _VAE,
        _NO_KL,
        _AUTOENCODER,
        _LATENT,
        _COLD,
        Recipe(
            name="classifier",
            task="classify",
            network="classifier",
            max_shift=2,
            steps=4000,
            batch=128,
            weight_decay=1e-2,
            ema_decay=0.998,
        ),
    )
}
