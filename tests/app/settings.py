"""The controls of a page, and the buttons of its text."""

from __future__ import annotations

import json
import re

from streamlit.components.v2.bidi_component.main import _make_trigger_id
from streamlit.testing.v1 import AppTest

_BUTTON = re.compile(r'<button type="button" data-show="(\w+)">')


def offered(at: AppTest) -> list[str]:
    """The names of the settings that the page offers, in its order."""
    return [name for text in at.markdown for name in _BUTTON.findall(text.value)]


def press(at: AppTest, name: object) -> AppTest:
    """Run the script as after a press on the button of that name; AppTest knows no components."""
    tools = next(
        item.proto for item in at.get("bidi_component") if "copy_link" in item.proto.component_name
    )
    states = at._tree.get_widget_states()
    state = states.widgets.add(id=_make_trigger_id(tools.id, "events"))
    state.json_trigger_value = json.dumps([{"event": "show", "value": name}])
    return at._run(states)


def bound(at: AppTest) -> dict[str, object]:
    """Every control that was drawn and stands in the address -> what it is set to."""
    keys = {getattr(getattr(node, "proto", None), "query_param_key", "") for node in at._tree}
    return {key: at.session_state[key] for key in keys - {""}}
