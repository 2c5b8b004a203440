"""The components' code: sent once, and for all of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from streamlit.testing.v1 import AppTest

from pages.shared import component

ASSETS = Path(component.__file__).parent / "components"
PAGE = """
from pages.shared.component import code
from pages.shared.figures import chart
from pages.shared.plot import plot
code()
plot(chart([], {}), key="a", alt="A chart")
"""


def brought(at: AppTest) -> dict[str, str]:
    """Name -> JavaScript, as the page was given it."""
    [proto] = [item.proto for item in at.get("bidi_component") if item.proto.bytes]
    return dict(json.loads(proto.bytes))


def test_every_component_is_brought_whole() -> None:
    sources = brought(AppTest.from_string(PAGE).run())
    assert sorted(sources) == sorted(path.stem for path in ASSETS.glob("*.html"))
    for name, source in sources.items():
        assert (ASSETS / f"{name}.js").read_text("utf-8") in source
        assert len(re.findall(r"^export default ", source, re.MULTILINE)) == 1, name
    parts = [(name, path) for name in sources for path in ASSETS.glob(f"{name}_*.js")]
    assert {path.stem for _, path in parts} == {"player_cloud", "plot_scales"}
    assert all(path.read_text("utf-8") in sources[name] for name, path in parts)


def test_an_answer_carries_no_code_and_asks_for_its_own() -> None:
    at = AppTest.from_string(PAGE).run()
    [proto] = [
        item.proto for item in at.get("bidi_component") if "plot" in item.proto.component_name
    ]
    assert 'NAME = "plot"' in proto.js_content
    assert len(proto.js_content) < 1000


def test_what_is_brought_does_not_change_between_runs() -> None:
    """Streamlit then sends it once, and a mark in its place after that."""
    at = AppTest.from_string(PAGE).run()
    before = next(item.proto for item in at.get("bidi_component") if item.proto.bytes)
    again = next(item.proto for item in at.run().get("bidi_component") if item.proto.bytes)
    assert before.SerializeToString() == again.SerializeToString()
    assert before.ByteSize() > 10_000  # below that it is sent anew each time
