"""Formula, source and code are read from the object that runs."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import diffusion_core
from pages.shared.explain import _as_markdown, explanation, without_docstring


def square(x: float) -> float:
    r"""Twice x_t, [B, *D], in `x_0` units.

    $$y = x^2, \qquad z = \left(a \quad b\right), \quad
    w = 1$$

    Source: Somebody 2020,
    eq. 3 (above).

    Args:
        x: a number.
    """
    return x * x  # the comment stays


@dataclass(frozen=True)
class Pair:
    """Two numbers."""

    a: int

    @property
    def double(self) -> int:
        """Twice a."""
        return 2 * self.a


def test_everything_is_read_from_the_docstring() -> None:
    told = explanation(square)
    assert told.gist == "Twice x_t, [B, *D], in `x_0` units."
    assert told.formulas == ("y = x^2", r"z = \left(a \quad b\right)", "w = 1")
    assert told.source == "Somebody 2020, eq. 3 (above)."
    assert told.code == "def square(x: float) -> float:\n    return x * x  # the comment stays"
    assert told.place.startswith("app/test_explain.py:")


def test_methods_properties_partials_and_instances() -> None:
    assert explanation(Pair.double).name == "Pair.double"
    assert explanation(functools.partial(square, 2)) == explanation(square)
    assert explanation(Pair(1)).name == "Pair"
    assert explanation(Pair(1)).code.startswith("@dataclass(frozen=True)\nclass Pair:\n    a: int")


def test_a_docstring_on_the_line_of_the_code_after_it() -> None:
    assert without_docstring('def f():\n    """Only this."""\n') == "def f():"
    assert without_docstring("f = lambda x: x") == "f = lambda x: x"


def public_objects() -> Iterator[Any]:
    for module in pkgutil.iter_modules(diffusion_core.__path__, "diffusion_core."):
        for item in vars(importlib.import_module(module.name)).values():
            if getattr(item, "__module__", None) != module.name:
                continue
            if inspect.isfunction(item):
                yield item
            elif inspect.isclass(item):
                yield from (member for member in vars(item).values() if inspect.isfunction(member))


def readable(item: Any) -> bool:
    try:
        inspect.getsource(item)
    except OSError:  # made by dataclass or NamedTuple
        return False
    return "$$" in (item.__doc__ or "")


@pytest.mark.parametrize(
    "item", [item for item in public_objects() if readable(item)], ids=lambda i: i.__qualname__
)
def test_every_formula_of_the_package_can_be_shown(item: Any) -> None:
    told = explanation(item)
    assert told.formulas
    for formula in told.formulas:
        assert formula.count("{") == formula.count("}")
        assert len(re.findall(r"\\left\b", formula)) == len(re.findall(r"\\right\b", formula))
        assert formula.count(r"\begin") == formula.count(r"\end")
    assert '"""' not in told.code
    assert "````" not in told.code  # that is its fence


def test_symbols_become_formulas_and_shapes_stay_text() -> None:
    assert _as_markdown(explanation(square).gist) == r"Twice $x_t$, \[B, \*D\], in `x_0` units."


def test_formulas_and_code_are_one_element() -> None:
    def app() -> None:
        from diffusion_core.gaussian import GaussianDiffusion
        from pages.shared import explain

        explain.formula_and_code(GaussianDiffusion.q_sample)
        explain.formula_and_code(GaussianDiffusion.q_posterior, under="And back")

    at = AppTest.from_function(app, default_timeout=20).run()
    assert not at.exception
    shown, folded = (m.value for m in at.markdown)
    assert "\n\n$$\nx_t =" in shown
    assert "Ho et al. 2020, eq. 4" in shown
    assert "`GaussianDiffusion.q_sample` in `diffusion_core/gaussian.py:" in shown
    assert "\n````python\ndef q_sample(" in shown
    assert shown.count("<div") == shown.count("</div>")
    assert "<details" not in shown
    assert re.search(r"<details.*And back.*def q_posterior\(.*</details>", folded, re.DOTALL)
