"""What a case of the formula detective is made of. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from pages.shared.chapter import Source

RIGHT = "It is right"
"""The verdict that every case offers first."""


@dataclass(frozen=True)
class Knob:
    """A number that the reader can change, or a choice.

    Attributes:
        name: argument of the case's experiment; its key in the address is made from it.
        label: what the control is called.
        default: where it stands at first.
        lo: smallest value.
        hi: largest value.
        step: distance of neighbouring values; whole numbers where it is an int.
        options: what can be chosen, for a choice; `lo`, `hi` and `step` then mean nothing.
    """

    name: str
    label: str
    default: float | str
    lo: float = 0
    hi: float = 1
    step: float = 1
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What an experiment found, for one setting of the knobs.

    Attributes:
        x: [n] the chart's horizontal axis.
        printed: [n] what the printed formula says.
        right: [n] what the right one says.
        x_title: name of the horizontal axis.
        y_title: name of the vertical axis.
        value: what the two formulas say at the setting.
        what: what that value is, e.g. "mean of xₜ₋₁".
        telling: what gives the wrong formula away, or confirms the right one; Markdown.
        at: where on the axis the setting is; None where it has no place there.
        dots: places and values that were measured without either formula.
        measured: the measured value at the setting.
        how: how it was measured.
        names: what the two lines are called.
        digits: significant digits of the values.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is logarithmic.
        y_range: ends of the vertical axis; None for all there is.
    """

    x: np.ndarray
    printed: np.ndarray
    right: np.ndarray
    x_title: str
    y_title: str
    value: tuple[float, float]
    what: str
    telling: str
    at: float | None = None
    dots: tuple[np.ndarray, np.ndarray] | None = None
    measured: float | None = None
    how: str = ""
    names: tuple[str, str] = ("as printed", "right")
    digits: int = 4
    log_x: bool = False
    log_y: bool = False
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Case:
    """One printed formula under suspicion.

    Attributes:
        name: what the case is called; must not give the answer away.
        claim: what the formula is said to be, one or two sentences; Markdown.
        printed: LaTeX, as printed.
        options: each possible verdict -> what to say to it; the first is `RIGHT`.
        answer: the true verdict.
        correct: LaTeX of the right formula.
        reason: why it is so; Markdown.
        consequence: what would have gone wrong in a network trained with it; Markdown.
        source: where the right formula stands.
        knobs: at most three.
        experiment: the knobs' values by name -> what was found.
        functions: the printed and the right formula as code, in this order.
        hint: what must hold, as a question: a limit, a sum, a sign. Doesn't name the answer.
        live: key in `diffusion_core.misprints.MEANS` to sample digits with; "" for none.
        about_live: what the two sheets of digits show.
        asked_in: a public thread about it.
    """

    name: str
    claim: str
    printed: str
    options: Mapping[str, str]
    answer: str
    correct: str
    reason: str
    consequence: str
    source: Source
    knobs: tuple[Knob, ...]
    experiment: Callable[..., Evidence]
    functions: tuple[object, ...]
    hint: str
    live: str = ""
    about_live: str = ""
    asked_in: str = ""
    defaults: dict[str, float | str] = field(init=False)

    def __post_init__(self) -> None:
        """Check what a typing slip would break on the page only."""
        if self.answer not in self.options or next(iter(self.options)) != RIGHT:
            raise ValueError(f"{self.name}: the verdicts begin with {RIGHT!r} and hold the answer")
        if len(self.knobs) > 3:
            raise ValueError(f"{self.name}: {len(self.knobs)} controls; 3 at most")
        object.__setattr__(self, "defaults", {knob.name: knob.default for knob in self.knobs})

    @property
    def is_right(self) -> bool:
        """Whether the printed formula is right."""
        return self.answer == RIGHT
