r"""One colour per concept, the same in formulas, charts, labels and components.

Every colour is a mid-tone, so one hex serves the light and the dark theme and a formula's
`\textcolor` needs no knowledge of the theme. The set started from Okabe and Ito's and was moved,
hue kept, until it had contrast of at least 3:1 on both backgrounds and the largest distance
between any two colours under simulated colour-blindness; `tests/app/test_palette.py` holds both.
"""

from __future__ import annotations

from typing import Literal

Concept = Literal["x0", "eps", "q", "p", "bits", "xt"]

COLORS: dict[str, str] = {
    "x0": "#1494E4",  # the clean picture: blue
    "eps": "#D57D1C",  # noise: orange
    "q": "#087C5B",  # the true process: green
    "p": "#8B53AB",  # the model: purple
    "bits": "#CD310B",  # bits and losses: vermilion
    "xt": "#8C8E90",  # the noisy picture: neutral
}

BACKGROUNDS = {"light": "#ffffff", "dark": "#0e1117"}


def textcolor(concept: Concept, tex: str) -> str:
    r"""Wrap TeX in a concept's colour, e.g. `textcolor("x0", "x_0")`.

    Args:
        concept: A key of `COLORS`.
        tex: The TeX to colour.

    Returns:
        `\textcolor{#RRGGBB}{tex}`, legible on both themes.
    """
    return rf"\textcolor{{{COLORS[concept]}}}{{{tex}}}"


def css_variables(prefix: str = "--c-") -> str:
    """Return the table as CSS declarations, `--c-x0: #…;` and so on."""
    return " ".join(f"{prefix}{name}: {color};" for name, color in COLORS.items())


def luminance(color: str) -> float:
    """Return the WCAG relative luminance of `#RRGGBB`, 0 (black) to 1 (white)."""
    red, green, blue = linear_rgb(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def linear_rgb(color: str) -> tuple[float, float, float]:
    """Return `#RRGGBB` as linear-light RGB, each 0 to 1."""
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return red, green, blue


def contrast(one: str, other: str) -> float:
    """Return the WCAG contrast ratio of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
