"""What a run shows, without the pauses in which others have their turn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

S = TypeVar("S")


def frames_of(run: Iterable[S | None]) -> list[S]:
    """Every frame of a run that may yield None between them."""
    return [frame for frame in run if frame is not None]
