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
