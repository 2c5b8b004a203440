"""The judge: what a classifier makes of pictures, and how far two sets of them are apart."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffusion_core.datasets import to_unit
from diffusion_core.networks import Classifier


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


def metric(name: str, value: float, samples: int, setting: str, **more: Any) -> dict[str, Any]:
    """One figure of a card: what it is, from how many samples, and how they were made."""
    return {"name": name, "value": value, "samples": samples, "setting": setting} | more
