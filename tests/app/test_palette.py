"""The colours are legible on both themes, and apart also for the colour-blind."""

from __future__ import annotations

import tomllib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from pages.shared.palette import BACKGROUNDS, COLORS, contrast, linear_rgb, textcolor

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.01182, 0.04294, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.3039],
        ]
    ),
}


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Linear RGB to OKLab (Ottosson 2020)."""
    to_lms = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.array(to_lab) @ np.cbrt(np.array(to_lms) @ np.clip(rgb, 0, 1))


@pytest.mark.parametrize("theme", BACKGROUNDS)
@pytest.mark.parametrize("concept", COLORS)
def test_contrast(concept: str, theme: str) -> None:
    """On Streamlit's own backgrounds, and on those that the app's configuration sets."""
    config = Path(__file__).parents[2] / ".streamlit" / "config.toml"
    ours = tomllib.loads(config.read_text(encoding="utf-8"))["theme"][theme]["backgroundColor"]
    for background in (BACKGROUNDS[theme], ours):
        assert contrast(COLORS[concept], background) >= 3, background


def test_contrast_knows_its_ends() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#123456", "#123456") == 1


@pytest.mark.parametrize("vision", VISION)
def test_apart(vision: str) -> None:
    """No two concepts look alike; 0.1 in OKLab is about five just noticeable differences."""
    for one, other in combinations(COLORS, 2):
        seen = [oklab(VISION[vision] @ np.array(linear_rgb(COLORS[c]))) for c in (one, other)]
        assert np.linalg.norm(seen[0] - seen[1]) >= 0.1, (one, other)


def test_textcolor() -> None:
    assert textcolor("x0", "x_0") == rf"\textcolor{{{COLORS['x0']}}}{{x_0}}"
