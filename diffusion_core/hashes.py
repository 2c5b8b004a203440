"""Hashes that tell whether what is shipped is what was measured; no torch in here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

SEAL = "card_sha256"
"""The field of a card that holds the hash of all others."""


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a card with a hash over all of them, so that no figure is edited unnoticed.

    The hash is over their JSON with sorted keys. It tells that a card was changed, not by whom:
    whoever means to deceive can seal again, and only the repository's history shows that.
    """
    told = {key: value for key, value in fields.items() if key != SEAL}
    text = json.dumps(told, sort_keys=True)
    return told | {SEAL: hashlib.sha256(text.encode()).hexdigest()}


def is_sealed(fields: dict[str, Any]) -> bool:
    """Whether a card is as it was written."""
    return bool(fields.get(SEAL) == sealed(fields)[SEAL])
