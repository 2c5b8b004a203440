"""What a ledger adds up to: a strip in proportion, a sum in figures, and what is usual."""

from __future__ import annotations

import math
from collections.abc import Mapping

import streamlit as st

from diffusion_core.ledger import FIRST_STEPS
from pages.shared import chapter
from pages.shared.figures import BARE, CLEAR, Figure, chart, name_at
from pages.shared.ledger import DIMENSIONS, Kept, Setting, averages_of, bits_per_dim, sha_of
from pages.shared.palette import COLORS
from pages.shared.plot import plot

FAR = 5
"""Standard deviations above the mean of the test digits from which a picture is called far out."""
FAINT = 3
"""Gray levels up to this one are black to the eye."""
FAINT_SHARE = 0.1
"""Of a picture's pixels; no test digit of MNIST has a fifth of that."""
OPACITIES = (0.95, 0.6, 0.35)


def stretches(kept: Kept) -> dict[str, float]:
    """What is known of the first step, of the next nine and of all others, in nats."""
    lines = list(kept.lines)
    last = lines[-1].last if lines else 1
    parts = {"1": sum(line.nats for line in lines[:1])}
    for low, high in ((2, min(FIRST_STEPS, last)), (FIRST_STEPS + 1, last)):
        if low <= high:
            name = f"{low}" if low == high else f"{low}–{high}"
            parts[name] = sum(line.nats for line in lines if low <= line.first <= high)
    return parts


def bill_strip(setting: Setting, kept: Kept) -> None:
    """The bill in proportion, as far as it is known."""
    averages = averages_of(setting.network, sha_of(setting.network))
    usual = bits_per_dim(averages.total.mean) if averages else 0.0
    parts = {name: bits_per_dim(nats) for name, nats in stretches(kept).items()}
    plot(
        strip_chart(parts, bits_per_dim(kept.total), kept.complete, usual),
        key="eb_strip",
        alt="The bill as a strip, from t = 1 on: "
        + ", ".join(f"t = {name}: {bits:.3f} bits/dim" for name, bits in parts.items()),
    )


def strip_chart(
    parts: Mapping[str, float], total: float, complete: bool, usual: float = 0.0
) -> Figure:
    """Pieces as wide as they cost, each with its share.

    Args:
        parts: steps -> bits/dim, from t = 1 on.
        total: bits/dim of all that is known, L_T included.
        complete: whether the bill is known to its end; shares are told only then.
        usual: bits/dim that a bill not known to its end is at least drawn beside.
    """
    shown = sum(parts.values())
    whole = total if complete else max(total, usual)
    shapes, names, start = [], [], 0.0
    for (name, bits), opacity in zip(parts.items(), OPACITIES, strict=False):
        shapes.append(
            {"type": "rect", "x0": start, "x1": start + bits, "y0": 0, "y1": 1,
             "fillcolor": COLORS["bits"], "opacity": opacity, "line": {"width": 0}}
        )  # fmt: skip
        share = f"{bits / shown:.0%}" if complete else ""
        label = name_at(start + bits / 2, f"{share}<br>t = {name}", "bits", y=1, yshift=19)
        names.append(label | {"font": {"color": COLORS["bits"], "size": 13}})
        start += bits
    layout = {
        "xaxis": BARE | {"range": [0, whole], "showticklabels": False},
        "yaxis": BARE | {"range": [0, 1], "showticklabels": False},
        "title": {"text": f"the bill {'in proportion' if complete else 'so far'}, "
                  f"{total:.3f} bits/dim", "font": {"size": 14}, "x": 0, "xref": "container",
                  "y": 0.98},
        "height": 92,
        "margin": {"l": 0, "r": 0, "t": 58, "b": 8},
        "annotations": names,
        "shapes": shapes,
    }  # fmt: skip
    return chart([], layout | CLEAR)


def sums(pixels: bytes, setting: Setting, kept: Kept) -> None:
    """What the terms of a picture add up to, as far as they are known."""
    parts = {
        "$L_0$" if name == "1" else f"step{'s' if '–' in name else ''} {name}": bits_per_dim(nats)
        for name, nats in stretches(kept).items()
    }
    parts["$L_T$"] = bits_per_dim(kept.prior)
    cells = [
        f"{name} **{'under 0.001' if 0 < bits < 0.001 else f'{bits:.3f}'}**"
        for name, bits in parts.items()
    ]
    total = kept.total
    whole = "Together" if kept.complete else "So far"
    chapter.prose(
        f"Bits/dim: {' + '.join(cells)}. {whole} **{bits_per_dim(total):.3f} bits/dim**, that is "
        f"{total / math.log(2):,.0f} bits for {DIMENSIONS} pixels, or {total:,.1f} nats (bits × "
        f"ln 2, which is {math.log(2):.3f})."
    )
    long = next((part for part in kept.parts if len(part) > 1), None)
    st.caption(
        "Bar t is the term Lₜ₋₁; $L_T$ has no bar. At t = 1, q is the point x₀ itself, the "
        "bars of the small chart are the decoder’s gray levels around it, and the cost is "
        "−log p(x₀|x₁). Every step was drawn once."
        + (f" From t = {long[0]} on, a bar is the mean of several steps." if long else "")
        + compared(pixels, setting, kept)
    )


def compared(pixels: bytes, setting: Setting, kept: Kept) -> str:
    """The picture's bill beside that of test digits, where both are known."""
    if not kept.complete:
        return ""
    averages = averages_of(setting.network, sha_of(setting.network))
    if averages is None or averages.T != kept.parts[-1][-1]:
        return ""
    mean, deviation = bits_per_dim(averages.total.mean), bits_per_dim(averages.deviation)
    text = f" Test digits cost {mean:.2f} bits/dim on average, give or take {deviation:.2f}."
    if bits_per_dim(kept.total) > mean + FAR * deviation:
        text += (
            " **This picture is far outside of what the network has learned**: it knows "
            "MNIST’s digits only, and pays in bits for everything else."
        )
        faint = sum(0 < level <= FAINT for level in pixels)
        if faint > len(pixels) * FAINT_SHARE:
            text += (
                f" One reason: {faint} of its pixels are not quite black, of gray level 1 to "
                f"{FAINT}. MNIST’s background is 0."
            )
    return text
