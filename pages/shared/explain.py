"""The formula and the code that ran, side by side, both read from one object."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pages.shared import chapter

_FENCE = "`" * 4  # code may hold three
_FORMULA = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
_BRACKET = re.compile(r"\\(?:left|begin|right|end)\b|\\[{}]|[{}]|\\q?quad\b")
_SYMBOL = re.compile(r"\bx_?([0ts])\b")
_SOURCE = re.compile(r"^Source:\s*(.+?)(?:\n\s*\n|\Z)", re.DOTALL | re.MULTILINE)


class Explanation(NamedTuple):
    """What can be read off one function, method, property or class.

    Attributes:
        name: qualified name, e.g. "GaussianDiffusion.q_sample".
        gist: the first sentence of the docstring.
        formulas: LaTeX without the dollar signs.
        source: paper and equation number, or "".
        code: the source code without its docstring.
        place: file and line, e.g. "diffusion_core/gaussian.py:82".
    """

    name: str
    gist: str
    formulas: tuple[str, ...]
    source: str
    code: str
    place: str


def formula_and_code(*objects: object, under: str = "") -> None:
    """Show each object's formula (with paper and equation) beside the code that computes it.

    Args:
        objects: functions, methods, properties or classes of diffusion_core; for an instance, its
            class is shown.
        under: the line that they are folded under; "" for none.
    """
    told = [explanation(item) for item in objects]
    cells = []
    for one in told:
        cells += [_words(one), f"{_FENCE}python\n{one.code}\n{_FENCE}"]
    text = chapter.grid(cells, "explained")
    chapter.prose(chapter.fold(under, text) if under else text)


def _words(told: Explanation) -> str:
    """Gist, formulas and where they are from, as one piece of Markdown."""
    formulas = [f"$$\n{formula}\n$$" for formula in told.formulas]
    source = [_as_markdown(told.source)] if told.source else []
    origin = chapter.aside("\n\n".join([*source, f"`{told.name}` in `{told.place}`"]))
    return "\n\n".join([_as_markdown(told.gist), *formulas, origin])


def explanation(item: object) -> Explanation:
    """Read an object's docstring and source; remembered, since neither changes while it lives."""
    return _read(_unwrap(item))


@functools.lru_cache(maxsize=256)
def _read(item: Callable[..., Any]) -> Explanation:
    doc = inspect.getdoc(item) or ""
    prose = _FORMULA.sub("", doc)
    source = _SOURCE.search(prose)
    lines, first = inspect.getsourcelines(item)
    path = Path(inspect.getsourcefile(item) or "")
    return Explanation(
        name=item.__qualname__,
        gist=" ".join(doc.split("\n\n")[0].split()),
        formulas=tuple(line for found in _FORMULA.findall(doc) for line in _lines(found)),
        source=" ".join(source.group(1).split()) if source else "",
        code=without_docstring("".join(lines)),
        place=f"{path.parent.name}/{path.name}:{first}",
    )


def _lines(formula: str) -> list[str]:
    r"""Split "A, \quad B" where no brace is open, so that each line fits a narrow column."""
    parts, depth, start = [], 0, 0
    for found in _BRACKET.finditer(formula):
        token = found.group()
        if token in {"{", r"\left", r"\begin"}:
            depth += 1
        elif token in {"}", r"\right", r"\end"}:
            depth -= 1
        elif token.endswith("quad") and depth == 0:
            parts.append(formula[start : found.start()])
            start = found.end()
    parts.append(formula[start:])
    return [line for part in parts if (line := " ".join(part.split()).rstrip(","))]


def _as_markdown(text: str) -> str:
    """Docstring prose as Markdown: `code` stays, x_t becomes a formula, the rest is literal."""
    pieces = text.split("`")
    for place in range(0, len(pieces), 2):
        literal = re.sub(r"([*\[\]$<])", r"\\\1", pieces[place])
        pieces[place] = _SYMBOL.sub(r"$x_\1$", literal)
    return "`".join(pieces)


def _unwrap(item: object) -> Callable[..., Any]:
    if isinstance(item, property) and item.fget is not None:
        return _unwrap(item.fget)
    if isinstance(item, functools.partial):
        return _unwrap(item.func)
    if inspect.isclass(item) or inspect.isroutine(item):
        return inspect.unwrap(getattr(item, "__func__", item))
    return type(item)


def without_docstring(code: str) -> str:
    """Source code of one function or class, dedented, with its own docstring cut out."""
    code = textwrap.dedent(code)
    node = ast.parse(code).body[0]
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return code.strip()
    first = node.body[0]
    if ast.get_docstring(node) is None or first.end_lineno is None:
        return code.strip()
    lines = code.splitlines()
    rest = lines[first.end_lineno :]
    while rest and not rest[0].strip():
        rest.pop(0)
    return "\n".join(lines[: first.lineno - 1] + rest).strip()
