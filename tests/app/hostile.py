"""Reading an AppTest as a stranger would: its controls, what each can be set to, what is on screen.

Nothing here knows a page: controls are found on the pages, and text in every field of every
message that a page sends.
"""

from __future__ import annotations

import functools
import json
import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.message import Message
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest

from tests.app.settings import offered, press
from tests.app.test_pages import open_page

# Code is shown as it is written, and may name float("nan").
CODE = {"code", "download_button"}
SCRIPT = "<script>alert(1)</script>"
_FENCED = re.compile(r"^````.*?^````$", re.DOTALL | re.MULTILINE)  # so does code within a text
_QUOTED = re.compile(r"“[^”]*”")  # what the reader wrote is repeated in quotation marks
_NO_NUMBER = re.compile(r"(?<![\w\\.-])[-+−]?(?:nan|inf|NaN|Infinity)(?![\w-])")
_SCRIPTS = {"js_content", "html_content", "css_content", "id", "key", "icon", "body_css"}


class Control(NamedTuple):
    """A control that the address can set.

    Attributes:
        key: its name in the address.
        kind: its type's name in Streamlit's messages, "" where no view of the page shows it.
        options: labels as they stand in the address; empty where it is no choice.
        low, high: the range of a number; None where it has none.
        default: what it is set to when nobody has touched it, as the address would spell it.
    """

    key: str
    kind: str
    options: tuple[str, ...]
    low: float | None
    high: float | None
    default: str


def bound(at: AppTest) -> Iterator[Any]:
    """The widgets on the page that the address can set."""
    for element in at:
        proto = getattr(element, "proto", None)
        if getattr(proto, "query_param_key", "") and hasattr(element, "_widget_state"):
            yield element


def described(widget: Any) -> Control:
    """What a widget's message says about it."""
    proto = widget.proto
    kind = type(proto).__name__
    options = tuple(getattr(o, "content", o) for o in getattr(proto, "options", ()))
    numeric = not options and hasattr(proto, "min")
    default = proto.default
    if not isinstance(default, (str, bool, int, float)):  # repeated: one value, or none
        default = next(iter(default), "")
    if options and default != "":
        default = options[int(default)]
    return Control(
        widget.key, kind, options, proto.min if numeric else None,
        proto.max if numeric else None, str(default),
    )  # fmt: skip


@functools.cache
def controls(name: str) -> dict[str, Control]:
    """Every control of a page: those on it at first, and what a Why, a Try or a view shows."""
    found: dict[str, Control] = {}

    def note(at: AppTest) -> None:
        assert not [e.message for e in at.exception]
        for widget in bound(at):
            found.setdefault(widget.key, described(widget))

    at = open_page(name)
    note(at)
    for key in offered(at):
        note(press(at, key))
    views = [c for c in found.values() if c.kind == "ButtonGroup"][:1]
    for view in (o for c in views for o in c.options):
        note(open_page(name, **{views[0].key: view}))
    for key, value in open_page(name).session_state["_page_defaults"].items():
        found.setdefault(key, Control(key, "", (), None, None, str(value)))
    return found


def strings(message: Message) -> Iterator[str]:
    """Every text in a message and in the messages within it, scripts and names left out."""
    for field, value in message.ListFields():
        if field.name in _SCRIPTS:
            continue
        many = value if field.is_repeated else [value]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            many = value.values()
        for item in many:
            if isinstance(item, Message):
                yield from strings(item)
            elif isinstance(item, str):
                yield item
            elif isinstance(item, bytes) and field.name == "bytes":
                yield from sent_texts(item)


def sent_texts(data: bytes) -> Iterator[str]:
    """The JSON header that the project's components get in front of their frames."""
    if len(data) > 4:
        (length,) = struct.unpack_from("<I", data)
        if length <= len(data) - 4:
            yield data[4 : 4 + length].decode()


def no_numbers(at: AppTest, *typed: str) -> list[str]:
    """Where the page shows a number that is none, and that the reader has not `typed`."""
    found = []
    echoes = {*typed, *(json.dumps(text)[1:-1] for text in typed)} - {""}
    for element in at:
        proto = getattr(element, "proto", None)
        if not isinstance(proto, Message) or element.type in CODE | {"toast"}:
            continue
        for text in strings(proto):
            for echo in echoes:
                text = text.replace(echo, "")
            if match := _NO_NUMBER.search(_QUOTED.sub("", _FENCED.sub("", text))):
                near = text[max(0, match.start() - 60) : match.end() + 40]
                found.append(f"{element.type}: …{near}…")
    return found


def send(at: AppTest, widget: Any, **value: Any) -> AppTest:
    """Run the page with a widget state that no browser of ours would send.

    Args:
        at: the page.
        widget: one of its widgets.
        value: the field of the message and what it holds, e.g. `double_value=1e300`.
    """
    states = at._tree.get_widget_states()
    others = [state for state in states.widgets if state.id != widget.proto.id]
    forged = WidgetState(id=widget.proto.id)
    ((field, content),) = value.items()
    if field.endswith("_array_value"):
        getattr(forged, field).SetInParent()
        getattr(forged, field).data.extend(content)
    else:
        setattr(forged, field, content)
    del states.widgets[:]
    states.widgets.extend([*others, forged])
    return at._run(states)


def heeded(at: AppTest, control: Control, asked: str) -> bool:
    """Whether the page shows what the address asked for (or will, where the control is hidden)."""
    left = at.query_params.get(control.key, control.default)
    left = left[-1] if isinstance(left, list) else left
    return _same(left, asked)


def _same(one: str, other: str) -> bool:
    if one.casefold() == other.casefold():  # "nan", too, which is no number's equal
        return True
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def explained(at: AppTest, key: str) -> bool:
    """Whether a sentence says that this part of the link was not followed."""
    unescaped = [re.sub(r"\\(.)", r"\1", toast.value) for toast in at.toast]
    return any(f"“{key}=" in text for text in unescaped)


def injected(at: AppTest) -> list[str]:
    """Where the page lets a reader's own `SCRIPT` through as HTML."""
    bodies = [getattr(getattr(element, "proto", None), "body", "") for element in at]
    protos = [getattr(element, "proto", None) for element in at]
    return [
        body
        for proto, body in zip(protos, bodies, strict=True)
        if SCRIPT in body and (type(proto).__name__ == "Html" or proto.allow_html)
    ]


def unreadable(at: AppTest) -> list[str]:
    """Components whose data is no JSON in a browser, which knows no NaN."""
    return [
        str(getattr(element, "key", element.type))
        for element in at
        for text in sent_texts(getattr(getattr(element, "proto", None), "bytes", b"") or b"")
        if not _is_json(text)
    ]


def _is_json(text: str) -> bool:
    def refuse(name: str) -> float:
        raise ValueError(name)

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True
