"""How good a network's pictures are, sampler by sampler and call by call, measured and kept.

`python -m diffusion_core.quality NAME` measures a shipped denoiser and writes quality.json beside
its weights. The record names the weights it was measured on, so that a page can refuse it when
they have changed.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusion_core.checkpoints import (
    PRETRAINED,
    CheckpointError,
    load,
    load_module,
    read_card,
    write_atomically,
)
from diffusion_core.datasets import load_mnist, to_uint8
from diffusion_core.denoisers import Denoiser
from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.judging import Moments, frechet_distance, judge, moments, real_floor
from diffusion_core.networks import Classifier
from diffusion_core.parameterization import Prediction
from diffusion_core.recipes import RECIPES
from diffusion_core.samplers import SAMPLERS, sample
from diffusion_core.schedules import evenly_spaced

FILE = "quality.json"
CALLS = (5, 10, 20, 50)
COUNT, SEED, BATCH = 500, 20_000, 100
REPEATS = 8  # the same of the network's digits, with other noise


class Setting(NamedTuple):
    """One point of the comparison; names as in `sample`."""

    sampler: str
    variance: str
    steps: int


REPEATED = Setting("ddim", "posterior", 20)


@dataclass(frozen=True)
class Point:
    """What one setting reaches.

    Attributes:
        sampler: key in `SAMPLERS`.
        variance: key in `VARIANCES`.
        steps: steps from T to 0.
        calls: how often the network is asked for one picture.
        recognised: share of the pictures in which the classifier sees the class asked for, 0..1.
        frechet: Fréchet distance to the test set in the classifier's features.
    """

    sampler: str
    variance: str
    steps: int
    calls: int
    recognised: float
    frechet: float


@dataclass(frozen=True)
class Quality:
    """A record of measurements.

    Attributes:
        network: name of the denoiser.
        weights_sha256: of the weights that were measured.
        classifier_sha256: of the weights that judged.
        count: pictures per point.
        seed: of their noise; the same for every point.
        floor: Fréchet distance of as many real digits, the mean of `REAL_SETS` random sets.
        ceiling: share of the real test digits that the classifier recognises.
        points: the measurements.
        floor_spread: standard deviation of the Fréchet distance among those sets.
        repeated: Fréchet distances of `REPEATED` with `REPEATS` other noises.
    """

    network: str
    weights_sha256: str
    classifier_sha256: str
    count: int
    seed: int
    floor: float
    ceiling: float
    points: tuple[Point, ...]
    floor_spread: float = 0.0
    repeated: tuple[float, ...] = ()


@functools.lru_cache(maxsize=256)
def network_calls(diffusion: GaussianDiffusion, sampler: str, steps: int) -> int:
    """How often a sampler asks the network for one picture: counted, on a single pixel."""
    asked = 0

    def count(x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Prediction:
        nonlocal asked
        asked += 1
        return Prediction(x_t, x_t)

    times = evenly_spaced(diffusion.T, steps)
    one, generator = torch.zeros(1, 1), torch.Generator()
    for _ in sample(diffusion, count, one, times, sampler=sampler, generator=generator):
        pass
    return asked


def steps_within(diffusion: GaussianDiffusion, sampler: str, calls: int) -> int:
    """The most steps that a sampler can make with so many calls, at least 1."""
    steps = calls
    while steps > 1 and network_calls(diffusion, sampler, steps) > calls:
        steps -= 1
    return steps


def settings(
    diffusion: GaussianDiffusion, learned: bool, calls: Sequence[int] = CALLS
) -> list[Setting]:
    """What is compared: every sampler, ddpm with every variance that the network has.

    Args:
        diffusion: the process.
        learned: whether the network predicts a variance.
        calls: numbers of network calls; a sampler that asks twice per step makes fewer steps.
    """
    families = [("ddpm", "posterior"), ("ddpm", "beta")]
    families += [("ddpm", "learned")] if learned else []
    families += [(name, "posterior") for name in SAMPLERS if name != "ddpm"]
    return [
        Setting(name, variance, steps_within(diffusion, name, most))
        for name, variance in families
        for most in calls
    ]


def draw(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    label: Tensor,
    setting: Setting,
    *,
    seed: int = SEED,
    batch: int = BATCH,
) -> Iterator[Tensor]:
    """Sample one digit per label [B], batch i from seed + i; each setting from the same noise.

    Yields:
        After every step, so that the caller can pause or show progress, an empty tensor; after a
        batch's last step its digits, uint8 [<= batch, 28, 28].
    """
    empty = torch.zeros(0, 28, 28, dtype=torch.uint8)
    for i, part in enumerate(torch.split(label, batch)):
        generator = torch.Generator().manual_seed(seed + i)
        x_T = torch.randn(len(part), 1, 28, 28, generator=generator)
        for step in sample(
            diffusion,
            denoiser,
            x_T,
            evenly_spaced(diffusion.T, setting.steps),
            sampler=setting.sampler,
            variance=setting.variance,
            label=part,
            generator=generator,
        ):
            yield to_uint8(step.x_t) if step.t == 0 else empty


def recognised(classifier: Classifier, images: Tensor, label: Tensor) -> float:
    """Share of uint8 images [N, 28, 28] in which the classifier sees the class of label [N]."""
    return float((judge(classifier, images).predicted == label).double().mean())


def measure(
    diffusion: GaussianDiffusion,
    denoiser: Denoiser,
    classifier: Classifier,
    real: Moments,
    label: Tensor,
    setting: Setting,
    seed: int = SEED,
) -> Point:
    """Sample with one setting and judge what comes out.

    Args:
        diffusion: the process.
        denoiser: what is measured.
        classifier: the judge.
        real: moments of its features of the test set.
        label: [N] classes asked for.
        setting: how to sample.
        seed: of the noise.
    """
    images = torch.cat([*draw(diffusion, denoiser, label, setting, seed=seed)])
    seen = judge(classifier, images)
    return Point(
        *setting,
        calls=network_calls(diffusion, setting.sampler, setting.steps),
        recognised=float((seen.predicted == label).double().mean()),
        frechet=frechet_distance(moments(seen.features), real),
    )


def measure_all(
    name: str, count: int = COUNT, seed: int = SEED, root: Path = PRETRAINED
) -> Iterator[Quality]:
    """Measure a shipped denoiser; yields the record after every point, the last one complete.

    The classes asked for are those of the first `count` training digits.
    """
    denoiser, card = load(name, root=root)
    judge_module, judge_card = load_module("classifier", root=root)
    assert isinstance(judge_module, Classifier)
    train, test = load_mnist("train"), load_mnist("test")
    seen = judge(judge_module, test.images)
    real = moments(seen.features)
    label = train.labels[:count].long()
    floor, floor_spread = real_floor(judge(judge_module, train.images).features, real, count, seed)
    quality = Quality(
        network=name,
        weights_sha256=card.fields["sha256"],
        classifier_sha256=judge_card.fields["sha256"],
        count=count,
        seed=seed,
        floor=floor,
        ceiling=float((seen.predicted == test.labels).double().mean()),
        points=(),
        floor_spread=floor_spread,
    )
    cores = os.cpu_count() or 1
    torch.set_num_threads(1)
    with ThreadPoolExecutor(cores) as pool:
        denoiser = replace(denoiser, pool=pool, parts=cores)
        diffusion = denoiser.diffusion
        for setting in settings(diffusion, predicts_variance(card.fields)):
            point = measure(diffusion, denoiser, judge_module, real, label, setting, seed)
            quality = replace(quality, points=(*quality.points, point))
            yield quality
        for k in range(1, REPEATS + 1):
            other = seed + 1000 * k
            again = measure(diffusion, denoiser, judge_module, real, label, REPEATED, other)
            quality = replace(quality, repeated=(*quality.repeated, again.frechet))
            yield quality


def predicts_variance(card: dict[str, Any]) -> bool:
    """Whether the network of this card has an output for the variance."""
    recipe = card.get("recipe")
    arguments = recipe.get("network_args") if isinstance(recipe, dict) else None
    return isinstance(arguments, dict) and arguments.get("out_channels") == 2


def save(quality: Quality, root: Path = PRETRAINED) -> Path:
    """Write the record beside the weights it belongs to."""
    path = root / quality.network / FILE
    text = json.dumps(asdict(quality), indent=1) + "\n"
    write_atomically(path, lambda part: part.write_text(text))
    return path


def read(name: str, root: Path = PRETRAINED) -> Quality:
    """The record of a shipped network.

    Raises:
        CheckpointError: when there is none, when it can't be read, or when it was measured on
            other weights than those that are here.
    """
    command = f"`python -m diffusion_core.quality {name}`"
    try:
        fields = json.loads((root / name / FILE).read_text())
        points = tuple(Point(**point) for point in fields.pop("points"))
        repeated = tuple(fields.pop("repeated", ()))
        quality = Quality(points=points, repeated=repeated, **fields)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"Nothing was measured for {name} yet: run {command}.") from error
    here = [read_card(one, root).fields.get("sha256") for one in (name, "classifier")]
    if here != [quality.weights_sha256, quality.classifier_sha256]:
        raise CheckpointError(
            f"What was measured for {name} belongs to other weights: run {command} again."
        )
    return quality


def standard_error(rate: float, count: int) -> float:
    r"""How far a share counted in `count` pictures is typically off.

    $$\sqrt{p\,(1-p)/n}$$

    Source: the standard deviation of a binomial share. p is kept half a picture away from 0 and 1,
    where the formula would claim certainty.
    """
    p = min(max(rate, 0.5 / count), 1 - 0.5 / count)
    return float((p * (1 - p) / count) ** 0.5)


def denoisers(root: Path = PRETRAINED) -> list[str]:
    """Names of the shipped denoisers that this version of the code can build, sorted."""
    return sorted(_denoisers(root.glob("*/card.json")))


def _denoisers(cards: Iterable[Path]) -> Iterator[str]:
    for path in cards:
        name = path.parent.name
        try:
            recipe = read_card(name, path.parent.parent).fields.get("recipe")
        except CheckpointError:
            continue
        if isinstance(recipe, dict) and recipe.get("task") == "denoise" and name in RECIPES:
            yield name


def main() -> None:
    """Command line: measure one network and write its record."""
    parser = argparse.ArgumentParser(prog="python -m diffusion_core.quality")
    parser.add_argument("name", choices=denoisers())
    parser.add_argument("--count", type=int, default=COUNT, help="pictures per point")
    arguments = parser.parse_args()
    if arguments.count < 200:
        parser.error("a Fréchet distance in 128 features needs at least 200 pictures")
    started = time.perf_counter()
    for quality in measure_all(arguments.name, arguments.count):
        print((*quality.points, *quality.repeated)[-1], flush=True)
    path = save(quality)
    print(f"floor {quality.floor:.2f}; {path} after {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
