"""A reader's own formula: read safely, compared with the truth on random numbers.

Nothing is ever executed: the text is parsed into a tree, every node must be one of the few below,
and the tree is evaluated in NumPy. Length, depth, numbers and powers are bounded.
"""

from __future__ import annotations

import ast
import re
import unicodedata
import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffusion_core.latex_formulas import ExpressionError, from_latex

Array = NDArray[np.float64]

MAX_LENGTH = 200
MAX_DEPTH = 30
MAX_NUMBER = 1e6
MAX_POWER = 8

NAMES: dict[str, str] = {
    "a": "√ᾱₜ",
    "sigma": "√(1−ᾱₜ)",
    "alpha": "αₜ = 1−βₜ",
    "beta": "βₜ",
    "alpha_bar": "ᾱₜ",
    "alpha_bar_prev": "ᾱₜ₋₁",
    "x_0": "x₀",
    "x_t": "xₜ",
    "eps": "ε",
}
"""What a formula may be made of, and how it is written on paper."""

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "abs": np.abs,
}

_SPELLINGS = {
    "x0": "x_0", "xt": "x_t", "x_zero": "x_0", "alphabar": "alpha_bar", "abar": "alpha_bar",
    "a_bar": "alpha_bar", "alpha_t": "alpha", "beta_t": "beta", "sigma_t": "sigma", "a_t": "a",
    "alpha_bar_t": "alpha_bar", "epsilon": "eps", "eps_t": "eps", "ln": "log",
    "alpha_bar_tm1": "alpha_bar_prev", "alpha_bar_t_1": "alpha_bar_prev",
}  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_MARKS = {
    "α\u0304": " alpha_bar", "a\u0304": " alpha_bar", "\u1fb1": " alpha_bar",
    "α": " alpha", "β": " beta", "σ": " sigma", "ε": " eps", "ϵ": " eps",
    "·": "*", "⋅": "*", "×": "*", "∙": "*", "−": "-", "–": "-", "÷": "/", "⁄": "/", "^": "**",
    "[": "(", "]": ")", "{": "(", "}": ")",
}  # fmt: skip
_BINARY: dict[type[ast.operator], Callable[[Array, Array], Array]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}


class Expression(NamedTuple):
    """A formula that was read.

    Attributes:
        text: as it was understood.
        names: keys of `NAMES` it uses.
        tree: its syntax tree, checked.
    """

    text: str
    names: frozenset[str]
    tree: ast.expr

    def __call__(self, values: Mapping[str, Array]) -> Array:
        """Evaluate on arrays of one shape; what isn't defined comes out as NaN or infinite."""
        shape = next(iter(values.values())).shape
        with np.errstate(all="ignore"):
            return np.broadcast_to(_evaluate(self.tree, values), shape).astype(np.float64)


def spelled_out(text: str) -> str:
    """Rewrite a formula's Unicode spellings as plain names and operators."""
    text = unicodedata.normalize("NFD", text).replace("\u0305", "\u0304")
    text = text.replace("ₜ₋₁", "_(t-1)")  # before the index loses its height and becomes a minus
    text = re.sub("([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", lambda m: "**" + m[1].translate(_SUPERSCRIPTS), text)
    text = unicodedata.normalize("NFKD", text)
    for mark, plain in _MARKS.items():
        text = text.replace(unicodedata.normalize("NFKD", mark), plain)
    text = re.sub(r"alpha_bar_\(\s*t\s*-\s*1\s*\)", "alpha_bar_prev", text)
    text = re.sub(r"\b(alpha_bar|alpha|beta|sigma|a|x)_\(([0t])\)", r"\1_\2", text)
    text = re.sub(r"\b(alpha_bar|alpha|beta|sigma)t\b", r"\1", text)
    # A root sign stands before a bracket or before one name or number.
    text = re.sub(r"√\s*(?=\()", " sqrt", text)
    text = re.sub(r"√\s*([A-Za-z_][A-Za-z_0-9]*|[0-9.]+)", r" sqrt(\1)", text)
    return " ".join(text.split())


def parse(text: str) -> Expression:
    """Read a formula.

    Args:
        text: e.g. "(x_t - sigma*eps)/a", "(xₜ − σ·ε)/a", or LaTeX as papers print it.

    Raises:
        ExpressionError: when it is empty, too long or too deep, or holds anything but numbers,
            the names in `NAMES`, + - * / **, brackets and the functions in `FUNCTIONS`.
    """
    if not text.strip():
        raise ExpressionError("Type a formula.")
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"That is {len(text)} characters; a formula here has at most {MAX_LENGTH}."
        )
    plain = spelled_out(from_latex(text) if "\\" in text else text)
    stray = re.search(r"[^\w\s.+\-*/()√]", plain)
    if stray or "√" in plain:
        shown = stray.group() if stray else "√"
        raise ExpressionError(f"“{shown}” at this place can't be read as part of a formula.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "2x" and the like: the sentence below says it better
            tree = ast.parse(plain, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ExpressionError(
            "That is no complete formula. Check the brackets, and write a * between factors: "
            "2*x_0, not 2 x_0."
        ) from None
    names: set[str] = set()
    tree = _checked(tree, names, 0)
    return Expression(ast.unparse(tree), frozenset(names), tree)


def _checked(node: ast.expr, names: set[str], depth: int) -> ast.expr:
    """The node with its spellings unified; every kind of node that is not named here is refused."""
    if depth > MAX_DEPTH:
        raise ExpressionError(f"That is nested more than {MAX_DEPTH} deep.")
    if isinstance(node, ast.Constant):
        return _number(node)
    if isinstance(node, ast.Name):
        name = _SPELLINGS.get(node.id, node.id)
        if name not in NAMES:
            raise ExpressionError(
                f"“{node.id[:30]}” is not one of the names here: {', '.join(NAMES)}."
            )
        names.add(name)
        return ast.Name(name, ast.Load())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
        return ast.UnaryOp(node.op, _checked(node.operand, names, depth + 1))
    if isinstance(node, ast.BinOp):
        return _binary(node, names, depth)
    if isinstance(node, ast.Call):
        return _call(node, names, depth)
    raise ExpressionError(
        "A formula here is made of numbers, names, + − * / **, brackets and "
        f"{', '.join(FUNCTIONS)}; “{ast.unparse(node)[:30]}” is something else."
    )


def _number(node: ast.Constant) -> ast.expr:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError(f"“{str(value)[:30]}” is no number that a formula can hold.")
    if not abs(value) <= MAX_NUMBER:
        raise ExpressionError(f"Numbers go up to {MAX_NUMBER:,.0f} here.")
    return ast.Constant(value)


def _binary(node: ast.BinOp, names: set[str], depth: int) -> ast.expr:
    left = _checked(node.left, names, depth + 1)
    if type(node.op) in _BINARY:
        return ast.BinOp(left, node.op, _checked(node.right, names, depth + 1))
    if isinstance(node.op, ast.Pow):
        inside: set[str] = set()
        right = _checked(node.right, inside, depth + 1)
        power = float("nan") if inside else float(_evaluate(right, {}))
        if not abs(power) <= MAX_POWER:
            raise ExpressionError(
                f"An exponent has to be a number from −{MAX_POWER} to {MAX_POWER}."
            )
        return ast.BinOp(left, node.op, ast.Constant(power))
    raise ExpressionError("The operations here are + − * / and ** (to the power of).")


def _call(node: ast.Call, names: set[str], depth: int) -> ast.expr:
    called = node.func.id if isinstance(node.func, ast.Name) else ""
    name = _SPELLINGS.get(called, called)
    if name in FUNCTIONS and len(node.args) == 1 and not node.keywords:
        argument = _checked(node.args[0], names, depth + 1)
        return ast.Call(ast.Name(name, ast.Load()), [argument], [])
    if called.endswith("_"):  # what an index in brackets has left behind
        raise ExpressionError("Of step t−1 only ᾱₜ₋₁ is given here, alpha_bar_prev.")
    if name in NAMES or isinstance(node.func, ast.Constant):
        raise ExpressionError("Write a * between factors: a*(x_0 + 1), not a(x_0 + 1).")
    raise ExpressionError(f"The functions here are {', '.join(FUNCTIONS)}, of one value each.")


def _evaluate(node: ast.expr, values: Mapping[str, Array]) -> Array:
    """The value of a checked node."""
    with np.errstate(all="ignore"):
        if isinstance(node, ast.Constant):
            return np.asarray(node.value, np.float64)
        if isinstance(node, ast.Name):
            return values[node.id]
        if isinstance(node, ast.UnaryOp):
            inner = _evaluate(node.operand, values)
            return np.negative(inner) if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.BinOp):
            left, right = _evaluate(node.left, values), _evaluate(node.right, values)
            if isinstance(node.op, ast.Pow):
                return np.asarray(np.power(left, right))
            return np.asarray(_BINARY[type(node.op)](left, right))
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        return np.asarray(FUNCTIONS[node.func.id](_evaluate(node.args[0], values)))


_LATEX = {
    "a": r"\sqrt{\bar\alpha_t}", "sigma": r"\sqrt{1-\bar\alpha_t}", "alpha": r"\alpha_t",
    "beta": r"\beta_t", "alpha_bar": r"\bar\alpha_t", "alpha_bar_prev": r"\bar\alpha_{t-1}",
    "x_0": "x_0", "x_t": "x_t", "eps": r"\epsilon",
}  # fmt: skip
_LOOSE, _TIGHT, _ATOM = 1, 2, 3  # sums, products, and what needs no brackets anywhere


def to_latex(expression: Expression, colored: Mapping[str, str] | None = None) -> str:
    """The formula as it was understood, set as mathematics.

    Args:
        expression: the formula.
        colored: LaTeX for some names, instead of the plain one.
    """
    return _latex(expression.tree, _LATEX | dict(colored or {}))[0]


def _latex(node: ast.expr, names: Mapping[str, str]) -> tuple[str, int]:
    """LaTeX of a checked node, and how firmly it holds together."""

    def inner(child: ast.expr, least: int) -> str:
        text, firm = _latex(child, names)
        return text if firm >= least else rf"\left({text}\right)"

    if isinstance(node, ast.Constant):
        assert isinstance(node.value, int | float)
        return f"{node.value:g}", _ATOM if node.value >= 0 else _LOOSE
    if isinstance(node, ast.Name):
        return names[node.id], _ATOM
    if isinstance(node, ast.UnaryOp):
        sign = "-" if isinstance(node.op, ast.USub) else "+"
        return sign + inner(node.operand, _TIGHT), _LOOSE
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        argument = _latex(node.args[0], names)[0]
        shapes = {"sqrt": r"\sqrt{%s}", "abs": r"\left|%s\right|"}
        return shapes.get(node.func.id, rf"\{node.func.id}\left(%s\right)") % argument, _ATOM
    assert isinstance(node, ast.BinOp)
    if isinstance(node.op, ast.Div):
        return rf"\frac{{{_latex(node.left, names)[0]}}}{{{_latex(node.right, names)[0]}}}", _TIGHT
    if isinstance(node.op, ast.Mult):
        return rf"{inner(node.left, _TIGHT)} \cdot {inner(node.right, _TIGHT)}", _TIGHT
    if isinstance(node.op, ast.Pow):
        base = inner(node.left, _ATOM)
        root = isinstance(node.left, ast.Name) and base.startswith(r"\sqrt")
        power = _latex(node.right, names)[0]
        return rf"{f'({base})' if root else base}^{{{power}}}", _TIGHT
    sign = "+" if isinstance(node.op, ast.Add) else "-"
    return f"{inner(node.left, _LOOSE)} {sign} {inner(node.right, _TIGHT)}", _LOOSE


# --- comparing with the truth --------------------------------------------------------------------


class Target(NamedTuple):
    """A formula that a reader may try to write down.

    Attributes:
        latex: its left side.
        formula: the truth, as an expression.
        source: paper and equation.
    """

    latex: str
    formula: str
    source: str


TARGETS: dict[str, Target] = {
    "x₀ from ε": Target("x_0", "(x_t - sigma*eps)/a", "Ho et al. 2020, above eq. 9"),
    "xₜ from x₀": Target("x_t", "a*x_0 + sigma*eps", "Ho et al. 2020, eq. 4"),
    "Posterior mean": Target(
        r"\tilde\mu_t",
        "(sqrt(alpha)*(1 - alpha_bar_prev)*x_t + sqrt(alpha_bar_prev)*beta*x_0)/(1 - alpha_bar)",
        "Ho et al. 2020, eq. 7",
    ),
    "Posterior variance": Target(
        r"\tilde\beta_t", "(1 - alpha_bar_prev)/(1 - alpha_bar)*beta", "Ho et al. 2020, eq. 7"
    ),
    "Velocity v": Target("v", "a*eps - sigma*x_0", "Salimans & Ho 2022, section 4"),
    "SNR(t)": Target(r"\mathrm{SNR}(t)", "alpha_bar/(1 - alpha_bar)", "Kingma et al. 2021, eq. 2"),
}


class Verdict(NamedTuple):
    """How a formula fares against the truth.

    Attributes:
        right: whether they agree to rounding everywhere.
        worst: largest difference; NaN where the formula had no finite value at the worst place.
        undefined: share of the inputs at which it had no finite value.
        at: the inputs at the worst place, a value for every key of `NAMES`.
        yours: its value there.
        truth: the right value there.
        factor: where it is a constant multiple of the truth, which; else None.
    """

    right: bool
    worst: float
    undefined: float
    at: dict[str, float]
    yours: float
    truth: float
    factor: float | None


def random_inputs(n: int, seed: int = 0) -> dict[str, Array]:
    r"""Consistent settings of the process, each at a random step of a random schedule.

    $$\bar\alpha_t = \bar\alpha_{t-1}(1-\beta_t), \qquad
    x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\epsilon$$

    Source: Ho et al. 2020, eq. 4. Two ways of writing one thing, say with x_0 or with eps, agree.

    Returns:
        A [n] float64 for every key of `NAMES`.
    """
    rng = np.random.default_rng(seed)
    before, beta = rng.uniform(0.05, 0.95, n), rng.uniform(0.02, 0.8, n)
    x0, eps = rng.normal(size=(2, n))
    alpha_bar = before * (1 - beta)
    a, sigma = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    return {
        "a": a, "sigma": sigma, "alpha": 1 - beta, "beta": beta, "alpha_bar": alpha_bar,
        "alpha_bar_prev": before, "x_0": x0, "x_t": a * x0 + sigma * eps, "eps": eps,
    }  # fmt: skip


def compare(expression: Expression, target: str, n: int = 2000, seed: int = 0) -> Verdict:
    """Try a formula on random inputs.

    Args:
        expression: the reader's.
        target: key in `TARGETS`.
        n: inputs.
        seed: of the inputs.

    Raises:
        ValueError: for an unknown target.
    """
    if target not in TARGETS:
        raise ValueError(f"unknown target {target!r}; known are {', '.join(TARGETS)}")
    values = random_inputs(n, seed)
    yours, truth = expression(values), parse(TARGETS[target].formula)(values)
    finite = np.isfinite(yours)
    gap = np.where(finite, np.abs(np.where(finite, yours, 0) - truth), np.inf)
    scale = np.abs(truth).max()
    place = int(gap.argmax())
    return Verdict(
        right=bool((gap <= 1e-9 * scale).all()),
        worst=float(gap[place]) if finite[place] else float("nan"),
        undefined=float(1 - finite.mean()),
        at={name: float(column[place]) for name, column in values.items()},
        yours=float(yours[place]),
        truth=float(truth[place]),
        factor=_factor(yours, truth) if finite.all() else None,
    )


def _factor(yours: Array, truth: Array) -> float | None:
    """The constant that `yours` is `truth` times, if there is one other than 0."""
    factor = float(yours @ truth / (truth @ truth))
    same = np.abs(yours - factor * truth).max() <= 1e-9 * max(abs(factor), 1) * np.abs(truth).max()
    return factor if same and abs(factor) > 1e-9 else None
