"""The judge: what a classifier makes of pictures, and how far two sets of them are apart."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusion_core.datasets import to_unit
from diffusion_core.networks import Classifier

REAL_SETS = 20  # sets of real digits, to see how far chance alone moves a Fréchet distance


class Moments(NamedTuple):
    """Mean [F] and covariance [F, F] of a set of feature vectors, float64."""

    mean: Tensor
    covariance: Tensor


def moments(features: Tensor) -> Moments:
    """Mean and covariance (divided by N - 1) of features [N, F]."""
    features = features.double()
    return Moments(features.mean(0), features.T.cov())


def frechet_distance(p: Moments, q: Moments) -> float:
    r"""Distance between two clouds of features, each taken for a Gaussian.

    $$d^2 = \lVert\mu_1-\mu_2\rVert^2
    + \operatorname{tr}\left(C_1 + C_2 - 2\,(C_1^{1/2} C_2\, C_1^{1/2})^{1/2}\right)$$

    Source: Heusel et al. 2017, eq. 6. Its size depends on the features, so read it beside the
    distance between two real sets of the same size.
    """
    values, vectors = torch.linalg.eigh(p.covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ q.covariance @ root).clamp(min=0).sqrt().sum()
    gap = (p.mean - q.mean).square().sum()
    return float(gap + p.covariance.trace() + q.covariance.trace() - 2 * cross)


class Judged(NamedTuple):
    """What the classifier makes of a set of pictures: features [N, F] and predicted class [N]."""

    features: Tensor
    predicted: Tensor


@torch.inference_mode()
def judge(classifier: Classifier, images: Tensor, batch: int = 500) -> Judged:
    """Features and classes of uint8 images [N, 28, 28]."""
    parts = torch.split(images, batch)
    features = torch.cat([classifier.features(to_unit(part)) for part in parts])
    return Judged(features, classifier.head(features).argmax(1))


def real_floor(features: Tensor, real: Moments, count: int, seed: int = 0) -> tuple[float, float]:
    """Fréchet distance of `count` real digits: mean and spread over `REAL_SETS` random sets.

    Drawn at random: digits that follow each other in MNIST's file lie further off. Forty sets of
    300 in a row come to 46 on average, random ones to 33.

    Args:
        features: [N, F], the judge's, of real digits to draw from.
        real: moments of its features of the test set.
        count: digits in a set.
        seed: of the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    sets = (torch.randperm(len(features), generator=generator)[:count] for _ in range(REAL_SETS))
    told = [frechet_distance(moments(features[i]), real) for i in sets]
    found = torch.tensor(told, dtype=torch.float64)
    return float(found.mean()), float(found.std())


def floor_told(features: Tensor, real: Moments, count: int) -> str:
    """`real_floor`, as a card says it beside a distance."""
    mean, spread = real_floor(features, real, count)
    return f"floor {mean:.2f} ± {spread:.2f}"


def metric(name: str, value: float, samples: int, setting: str, **more: Any) -> dict[str, Any]:
    """One figure of a card: what it is, from how many samples, and how they were made."""
    return {"name": name, "value": value, "samples": samples, "setting": setting} | more
