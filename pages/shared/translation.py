"""The convention table: what stands in each cell, and code that computes it one press away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusion_core.convention_tables import Cell, Table, Value
from pages.shared.component import component
from pages.shared.palette import COLORS

_component = component("translation")


def translation(table: Table, *, key: str, concepts: Sequence[str | None], label: str) -> None:
    """Show a table of conventions.

    Args:
        table: what to show.
        key: the component's key.
        concepts: one a row: whose colour marks its name, a key of `COLORS`, or None.
        label: what a screen reader calls it.
    """
    rows = [
        {"name": name, "color": COLORS.get(concept or "", "")}
        for name, concept in zip(table.rows, concepts, strict=True)
    ]
    columns = [_column(table, column) for column in table.columns]
    data = {"rows": rows, "columns": columns, "preamble": table.preamble, "label": label}
    _component(key=key, data=data)


def written(value: Value, digits: int = 6) -> str:
    """A value as it is shown: six digits, a minus that is as wide as a digit."""
    if value is None:
        return "no such step"
    if isinstance(value, str):
        return value
    text = str(value) if isinstance(value, int) else f"{value + 0.0:.{digits}g}"  # no −0
    return text.replace("-", "−").replace("inf", "∞")


def _column(table: Table, name: str) -> dict[str, Any]:
    column = table.columns[name]
    first = next(iter(table.columns.values())).cells
    return {
        "title": column.title,
        "about": column.about,
        "code": _after_preamble(table, name, None),
        "cells": [
            {
                "symbol": cell.symbol,
                "value": written(cell.value),
                "code": _after_preamble(table, name, row),
                "other": differs(cell, first[row]),
            }
            for row, cell in enumerate(column.cells)
        ],
    }


def _after_preamble(table: Table, column: str, row: int | None) -> str:
    """What the browser puts behind the preamble, which it gets only once."""
    return table.snippet(column, row).removeprefix(table.preamble)


def differs(cell: Cell, other: Cell) -> bool:
    """Whether two cells show another number."""
    return written(cell.value) != written(other.value)
