"""What the charts of a page were given, read back."""

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
