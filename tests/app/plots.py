"""What the charts and the player of a page were given, read back."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest


def plots(at: AppTest) -> list[dict[str, Any]]:
    """The figure of every chart, in order."""
    return [
        json.loads(json.loads(item.proto.json)["figure"])
        for item in at.get("bidi_component")
        if "diffusion_plot" in item.proto.component_name
    ]


def player_header(at: AppTest) -> dict[str, Any]:
    """What the page's one player was told, from the bytes that travel."""
    (found,) = [
        item.proto.bytes
        for item in at.get("bidi_component")
        if "diffusion_player" in item.proto.component_name
    ]
    size = int.from_bytes(found[:4], "little")
    return dict(json.loads(found[4 : 4 + size]))
