"""A stranger's list of numbers as text (JSON, CSV, a printed tensor), read or refused in words."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

MOST_NUMBERS = 10_000
MOST_CHARACTERS = 1_000_000

_NAMES = {
    "beta": "betas",
    "betas": "betas",
    "trained_betas": "betas",
    "alphas_cumprod": "alphas_cumprod",
    "alpha_cumprod": "alphas_cumprod",
    "alpha_bar": "alphas_cumprod",
    "alphas_bar": "alphas_cumprod",
    "alpha_bars": "alphas_cumprod",
}
_WRAPPERS = re.compile(
    r"""\b(?:torch\.|np\.|numpy\.|jnp\.)?(?:tensor|array)\s*\(   # tensor( ... )
    | ,?\s*(?:dtype|device)\s*=\s*[\w.'":]+                      # dtype=torch.float64
    | [\[\](){}]""",
    re.VERBOSE,
)


class Pasted(NamedTuple):
    """What a text holds.

    Attributes:
        betas: under that name, or None.
        alphas_cumprod: under that name, or None.
        unnamed: numbers that came without a name, or None.
    """

    betas: list[float] | None = None
    alphas_cumprod: list[float] | None = None
    unnamed: list[float] | None = None


def read_numbers(text: str) -> Pasted:
    """Numbers from JSON (a list, or an object with names), CSV, or what Python prints.

    Args:
        text: at most `MOST_CHARACTERS`, with at most `MOST_NUMBERS` numbers in a column.

    Raises:
        ValueError: with a sentence that says what is wrong and where; places count from 0.
    """
    text = text.strip().lstrip("\ufeff")
    if not text:
        raise ValueError("There is nothing in it: paste betas or alphas_cumprod.")
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"The text is longer than {MOST_CHARACTERS:,} characters.")
    if text[0] in "[{":
        try:
            return _from_json(json.loads(text))
        except RecursionError:
            raise ValueError("The brackets are nested too deeply: use a plain list.") from None
        except json.JSONDecodeError as error:
            if text[0] == "{":
                raise ValueError(
                    f"This is not JSON: something is wrong in line {error.lineno}, "
                    f"column {error.colno}."
                ) from None
    return _from_lines(text)


def _from_json(value: object) -> Pasted:
    if isinstance(value, list):
        while len(value) == 1 and isinstance(value[0], list):  # [[...]], a tensor with a batch
            value = value[0]
        return Pasted(unnamed=_numbers(value, ""))
    if not isinstance(value, dict):
        raise ValueError("A list of numbers is needed, or an object that holds one.")
    found = {
        _NAMES[key.casefold()]: item
        for key, item in value.items()
        if key.casefold() in _NAMES and isinstance(item, list)
    }
    if not found:
        raise ValueError(
            "The object holds no list called betas or alphas_cumprod."
            + (
                " It looks like a configuration: paste what print(scheduler.betas.tolist()) prints."
                if any(str(key).startswith("beta_") for key in value)
                else ""
            )
        )
    return Pasted(**{name: _numbers(item, f"{name}: ") for name, item in found.items()})


def _from_lines(text: str) -> Pasted:
    if re.search(r"(?:^|[;\s])0,\d+\s*(?:;|$)", text):
        raise ValueError("Are these decimal commas? Write 0.0001, with a point.")
    if "..." in text or "…" in text:
        raise ValueError(
            "The list was shortened when it was printed (“...”). Print all of it, for example "
            "with print(betas.tolist())."
        )
    rows = [
        [cell for cell in re.split(r"[\s,;]+", _WRAPPERS.sub(" ", line).strip()) if cell]
        for line in text.splitlines()
    ]
    rows = [row for row in rows if row]
    if not rows:
        raise ValueError("There is no number in it.")
    header = [cell.strip("\"'").casefold() for cell in rows[0]]
    named = {_NAMES[cell]: i for i, cell in enumerate(header) if cell in _NAMES}
    if named:
        columns = {name: _column(rows[1:], i, len(header)) for name, i in named.items()}
        return Pasted(**{name: _numbers(cells, f"{name}: ") for name, cells in columns.items()})
    if not any(_as_number(cell) is not None for cell in rows[0]):
        rows = rows[1:]  # a header that says nothing we know
    if not rows:
        raise ValueError("There is no number in it.")
    if len(rows) > 1 and len(rows[0]) == 2 and all(len(row) == 2 for row in rows):
        raise ValueError(
            "There are two columns: name them in the first line, for example index,betas."
        )
    return Pasted(unnamed=_numbers([cell for row in rows for cell in row], ""))


def _column(rows: list[list[str]], place: int, width: int) -> list[str]:
    for number, row in enumerate(rows, 2):
        if len(row) != width:
            raise ValueError(
                f"Line {number} has {len(row)} columns, and the first line names {width}."
            )
    return [row[place] for row in rows]


def _numbers(items: Sequence[object], where: str) -> list[float]:
    """Every item as a finite float."""
    if len(items) > MOST_NUMBERS:
        raise ValueError(
            f"{where}There are {len(items):,} numbers; {MOST_NUMBERS:,} are the most that are read."
        )
    if len(items) < 2:
        raise ValueError(
            f"{where}A schedule needs at least two numbers; here there are {len(items)}."
        )
    result = []
    for index, item in enumerate(items):
        value = _as_number(item)
        if value is None:
            raise ValueError(
                f"{where}What stands at index {index} is no number: “{str(item)[:20]}”."
                + (" Is this code? Run it, and paste what print(betas.tolist()) prints."
                   if re.fullmatch(r"[A-Za-z_][\w.]*", str(item).strip()) else "")
            )  # fmt: skip
        if math.isnan(value):
            raise ValueError(f"{where}The value at index {index} is NaN, “not a number”.")
        if math.isinf(value):
            raise ValueError(f"{where}The value at index {index} is infinite.")
        result.append(value)
    return result


def _as_number(item: object) -> float | None:
    if isinstance(item, bool) or not isinstance(item, int | float | str):
        return None
    try:
        return float(item.strip("\"'")) if isinstance(item, str) else float(item)
    except ValueError:
        return None
    except OverflowError:  # a JSON integer with hundreds of digits
        return math.inf
