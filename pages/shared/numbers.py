"""Numbers as the pages write them."""

from __future__ import annotations

_TOGETHER = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"


def plus_minus(value: str, error: str) -> str:
    """A number and its error, which no line may end between.

    Args:
        value: the number as it is to be read; "" for the error alone.
        error: its error.
    """
    return f"{value}{_TOGETHER}{error}".lstrip()


def signed(value: float, digits: int = 2) -> str:
    """A number with so many decimals, and a minus as long as a plus."""
    return f"{value:.{digits}f}".replace("-", "−")


def significant(value: float, digits: int) -> str:
    """A number with so many significant digits, and a minus as long as a plus."""
    return f"{value:.{digits}g}".replace("-", "−")


def about(count: int) -> str:
    """A whole number that is an estimate: "37", "about 8,200", "about 82 million"."""
    if count < 100:
        return f"{count}"
    digits = f"{count:.1e}"
    known = round(float(digits))
    return f"about {known / 1e6:g} million" if known >= 1_000_000 else f"about {known:,}"
