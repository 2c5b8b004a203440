r"""LaTeX, as papers print it, rewritten as a formula that `expressions` reads.

Only the few commands that formulas about one Gaussian step are set with; nothing is executed.
"""

from __future__ import annotations

import re
import unicodedata

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[^\W\d_]+|\d+\.?\d*|\.\d+|\S", re.DOTALL)
_LETTERS = {
    r"\alpha": "alpha", r"\beta": "beta", r"\sigma": "sigma", r"\epsilon": "eps",
    r"\varepsilon": "eps",
}  # fmt: skip
_OPERATORS = {
    "+": "+", "-": "-", "−": "-", "–": "-", "*": "*", "/": "/", "·": "*", "×": "*", r"\cdot": "*",
    r"\times": "*", r"\ast": "*", r"\div": "/",
}  # fmt: skip
_FUNCTIONS = {r"\exp": "exp", r"\log": "log", r"\ln": "log", "sqrt": "sqrt", "exp": "exp",
              "log": "log", "ln": "log", "abs": "abs"}  # fmt: skip
_FRACTIONS = {r"\frac", r"\dfrac", r"\tfrac"}
_BARS = {r"\bar", r"\overline"}
_UPRIGHT = {r"\mathbf", r"\boldsymbol", r"\bm", r"\mathrm", r"\mathit", r"\text", r"\vec"}
_NOTHING = {r"\left", r"\right", r"\big", r"\bigl", r"\bigr", r"\Big", r"\Bigl", r"\Bigr", r"\quad",
            r"\,", r"\;", r"\:", r"\!", r"\ ", r"\displaystyle", "$", "~", "&"}  # fmt: skip
_CLOSED_BY = {"(": ")", "[": "]", "{": "}"}


class ExpressionError(ValueError):
    """A formula that can't be read; the message is a sentence for the reader."""


def from_latex(text: str) -> str:
    r"""The same formula in plain names and operators, a `*` between factors.

    Args:
        text: e.g. "\frac{x_t - \sqrt{1-\bar\alpha_t}\,\epsilon}{\sqrt{\bar\alpha_t}}".

    Raises:
        ExpressionError: at a command that is not known here, or a bracket without its other half.
    """
    text = unicodedata.normalize("NFC", text).replace(r"\{", "(").replace(r"\}", ")")
    text = text.replace("ₜ₋₁", "_{t-1}")
    return _Reader([t for t in _TOKEN.findall(text) if t not in _NOTHING]).sum_until("")


class _Reader:
    """Tokens, read from left to right."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = [*tokens, ""]
        self.place = 0

    @property
    def next(self) -> str:
        return self.tokens[self.place]

    def take(self) -> str:
        token = self.next
        if not token:
            raise ExpressionError("That is no complete formula: something is missing at its end.")
        self.place += 1
        return token

    def sum_until(self, closer: str) -> str:
        """Everything up to `closer`, which is read, too."""
        found: list[str] = []
        factor_before = False
        while self.next != closer:
            if self.next in _OPERATORS:
                found.append(_OPERATORS[self.take()])
                factor_before = False
            else:
                found += ["*"] * factor_before + [self.factor()]
                factor_before = True
        self.place += 1
        return " ".join(found)

    def factor(self) -> str:
        """One name, number, bracket or command, with its index and power."""
        found, power = self.primary(), ""
        while self.next in ("_", "^"):  # in either order, as in TeX
            if self.take() == "^":
                power += f"**({self.argument()})"
            else:
                found = _with_index(found, self.argument())
        return found + power

    def argument(self) -> str:
        """What a command, an index or a power applies to: {…}, or what comes next."""
        if self.next != "{":
            token = self.next
            if token[0:1].isdecimal():  # as in TeX, where \frac12 is one over two
                self.tokens[self.place : self.place + 1] = [t for t in (token[0], token[1:]) if t]
            return self.primary()
        self.take()
        return self.sum_until("}")

    def primary(self) -> str:
        token = self.take()
        if token in _FRACTIONS:
            return f"(({self.argument()}) / ({self.argument()}))"
        if token in (r"\sqrt", "√"):
            if self.next == "[":
                raise ExpressionError("Only square roots are read here.")
            return f"sqrt({self.argument()})"
        if token in _FUNCTIONS:
            inner = self.primary() if self.next in _CLOSED_BY else self.factor()
            return f"{_FUNCTIONS[token]}({inner})"
        if token in _BARS:
            inner = self.argument()
            name, _, index = inner.partition("_")
            if not name.isalpha() or " " in inner:
                raise ExpressionError("A bar is read over one letter only.")
            return f"{name}_bar" + (f"_{index}" if index else "")
        if token in _UPRIGHT:
            return self.argument()
        if token in _CLOSED_BY:
            inner = self.sum_until(_CLOSED_BY[token])
            return inner if inner.isidentifier() else f"({inner})"  # {\alpha}_t is alpha_t
        if token in _LETTERS:
            return _LETTERS[token]
        if token.startswith("\\"):
            raise ExpressionError(f"“{token[:30]}” is LaTeX that is not read here.")
        return token


def _with_index(name: str, index: str) -> str:
    """`x`, `t - 1` as `x_(t-1)`."""
    index = index.replace(" ", "")
    return f"{name}_{index}" if index.isalnum() else f"{name}_({index})"
