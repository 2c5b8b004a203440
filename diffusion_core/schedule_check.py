"""Whose schedule is this? A stranger's betas or alphas_cumprod, named, placed and completed."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from diffusion_core.gaussian import GaussianDiffusion
from diffusion_core.published import PUBLISHED, published
from diffusion_core.schedule_reading import Pasted, read_numbers
from diffusion_core.schedules import NoiseSchedule, nearest_snr

Kind = Literal["betas", "alphas_cumprod"]
Start = Literal["first noisy step", "clean picture", "previous step"]

EXACT, FLOAT32, LOOSE = 1e-9, 2e-6, 1e-3
"""Relative to the largest number of a table."""
MOST_PRINTED = 7
"""Significant digits that numbers may have and still have been rounded to be printed."""
MUCH = 0.7
"""No schedule for sampling from pure noise leaves this share of the signal."""
COARSEST = 0.05
"""Numbers printed more coarsely than this share of the largest tell no schedule from another."""
AGREEMENT = 1e-4
"""How far a product of betas may be from the alphas_cumprod that came with them."""
LONG = (1000, 4000)
"""Lengths that are shortened for sampling."""
FEWEST = 8
"""Kept steps that make a coincidence unlikely."""


class Match(NamedTuple):
    """A published schedule that was recognised, or the nearest one.

    Attributes:
        key: in `PUBLISHED`.
        gap: largest distance, in units of the largest number of the table.
        digits: "all digits", "float32", "the digits given" or "" where it is not the same.
        steps: where it was shortened, the kept steps of the long one (1 is its first noisy step).
        of: T of the long one; 0 where it was not shortened.
        picked: whether betas were picked from the long table, which is a mistake.
    """

    key: str
    gap: float
    digits: str
    steps: tuple[int, ...] = ()
    of: int = 0
    picked: bool = False


@dataclass(frozen=True, eq=False)
class Report:
    """What was found out about a list of numbers.

    Attributes:
        kind: what the numbers are.
        guessed: whether that had to be worked out from the numbers.
        start: what their index 0 is.
        schedule: the same in our convention.
        matches: every published schedule that it is; empty where it is none.
        nearest: the most similar published schedule where it is none.
    """

    kind: Kind
    guessed: bool
    start: Start
    schedule: NoiseSchedule
    matches: tuple[Match, ...]
    nearest: Match | None

    @property
    def offset(self) -> int:
        """Our t minus their index."""
        return 1 if self.start == "first noisy step" else 0

    @property
    def sentences(self) -> list[str]:
        """The report in words: what it is, where its index starts, what is left at the end."""
        alike: dict[Match, list[str]] = {}
        for match in self.matches:  # at T = 1000 both linear schedules are one
            alike.setdefault(match._replace(key="", gap=0.0), []).append(_title(match))
        named = [_name(match, " and ".join(titles)) for match, titles in alike.items()]
        return [self._what(), *named, *self._unnamed(), self._where(), self._end()]

    def _what(self) -> str:
        how = "By their course they are" if self.guessed else "They are read as"
        return f"{how} {self.kind}, for T = {self.schedule.T} noising steps."

    def _unnamed(self) -> list[str]:
        if self.matches or self.nearest is None:
            return []
        return [
            f"This is none of the {len(PUBLISHED)} published schedules known here. The nearest is "
            f"{_title(self.nearest)}; it differs by up to {self.nearest.gap:.2g} of the largest "
            f"of the {self.kind}."
        ]

    def _where(self) -> str:
        return {
            "first noisy step": "Index 0 is the first noisy step: index i is our t = i + 1, and "
            "the clean picture has no entry.",
            "clean picture": "Index 0 is the clean picture: index i is our t = i.",
            "previous step": "Index 0 is the clean picture, but the last step is missing: this is "
            "a table of the step before (alphas_cumprod_prev).",
        }[self.start]

    def _end(self) -> str:
        left = math.sqrt(float(self.schedule.alpha_bar[-1]))
        if left == 0:
            return (
                "The last step holds no signal at all: there x_0 can't be computed from ε, so the "
                "network has to predict x_0 or v."
            )
        doubt = (
            " Are these alphas, the 1 − β of single steps? Then alphas_cumprod is their product."
            if self.guessed and self.kind == "alphas_cumprod" and not self.matches and left > MUCH
            else ""
        )
        return f"At the last step √ᾱ = {left:.3g} of the signal is left.{doubt}"


def _title(match: Match) -> str:
    known = PUBLISHED[match.key]
    return f"“{known.title}” ({known.known_as})"


def _name(match: Match, name: str) -> str:
    if match.picked:
        return (
            f"These betas were picked from the {match.of} of {name}: {_some(match.steps)}. That "
            "leaves out the noise of the steps between. A shortened schedule needs betas of its "
            "own, 1 − ᾱ_t/ᾱ_s from each kept step s to the next one t."
        )
    if match.of:
        return (
            f"It is {name}, shortened from {match.of} to {len(match.steps)} steps: "
            f"{_some(match.steps)}."
        )
    same = {"all digits": "to all digits", "float32": "to the precision of float32"}
    return f"It is {name}, {same.get(match.digits, 'as far as the digits given tell')}."


def _some(steps: tuple[int, ...]) -> str:
    shown = [str(step) for step in steps]
    return "t = " + ", ".join(shown if len(shown) <= 7 else [*shown[:4], "…", *shown[-2:]])


def check_schedule(
    numbers: str | Pasted | Sequence[float] | Tensor, kind: Kind | None = None
) -> Report:
    """Find out what a list of numbers is.

    Args:
        numbers: text as `read_numbers` takes it, what that returns, or the numbers themselves.
        kind: what the numbers are; worked out where not given.

    Raises:
        ValueError: with a sentence that says what is wrong and where.
    """
    if kind not in (None, *get_args(Kind)):
        raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, not {kind!r}")
    if isinstance(numbers, str):
        pasted = read_numbers(numbers)
    elif isinstance(numbers, Pasted):
        pasted = numbers
    else:
        values = numbers.tolist() if isinstance(numbers, Tensor) else [float(x) for x in numbers]
        pasted = read_numbers(str(values))
    if pasted.betas is not None and pasted.alphas_cumprod is not None:
        _agree(pasted.betas, pasted.alphas_cumprod)
    named: list[tuple[Kind, list[float] | None]] = [
        ("betas", pasted.betas), ("alphas_cumprod", pasted.alphas_cumprod)
    ]  # fmt: skip
    for name, given in named:
        if given is not None:
            return _report(given, name, guessed=False)
    assert pasted.unnamed is not None
    _require_shares(pasted.unnamed)
    return _report(pasted.unnamed, kind or _guess(pasted.unnamed), guessed=kind is None)


def _agree(betas: list[float], alphas_cumprod: list[float]) -> None:
    if len(betas) != len(alphas_cumprod):
        raise ValueError(
            f"There are {len(betas)} betas and {len(alphas_cumprod)} alphas_cumprod: both need one "
            "number per step."
        )
    product = 1.0
    for index, (beta, alpha_bar) in enumerate(zip(betas, alphas_cumprod, strict=True)):
        product *= 1 - beta
        if abs(product - alpha_bar) > AGREEMENT:
            raise ValueError(
                f"The two tables contradict each other: at index {index} the product of 1 − β is "
                f"{product:.6g}, and alphas_cumprod says {alpha_bar:.6g}."
            )


def _require_shares(numbers: Sequence[float]) -> None:
    """Both kinds are shares of 1.

    Raises:
        ValueError: where a number is outside 0..1.
    """
    for index, value in enumerate(numbers):
        if value > 1:
            raise ValueError(
                f"The value at index {index} is {value:g}, and neither betas nor alphas_cumprod "
                "can be above 1. Are they sigmas (EDM, k-diffusion)? Then alphas_cumprod is "
                "1/(1 + σ²)."
            )
        if value < 0:
            raise ValueError(
                f"The value at index {index} is {value:g}, and neither betas nor alphas_cumprod "
                "can be below 0. Are they logarithms, or VDM's γ? Then alphas_cumprod is "
                "1/(1 + exp γ)."
            )


def _guess(numbers: list[float]) -> Kind:
    """What the numbers are, by their course."""
    steps = list(itertools.pairwise(numbers))
    falling = sum(after < before for before, after in steps)
    if falling == len(steps):
        if numbers[0] < 0.5:
            raise ValueError(
                f"The numbers fall from {numbers[0]:g} to {numbers[-1]:g}. alphas_cumprod would "
                "start near 1, and betas usually rise: are these betas in reverse order? Turn the "
                "list round, or say what it is."
            )
        _require_products(numbers)
        return "alphas_cumprod"
    if falling == 0 and numbers[-1] > 0.9 and not _known(numbers, "betas"):
        backwards = numbers[::-1]
        if _known(backwards, "alphas_cumprod") or sum(numbers) > 60:
            raise ValueError(
                f"The numbers rise from {numbers[0]:g} to {numbers[-1]:g}: alphas_cumprod in "
                "reverse order, the noisiest step first. Turn the list round."
            )
    if falling > 0.6 * len(steps) and numbers[0] > 0.9:
        index = next(i for i, (before, after) in enumerate(steps, 1) if after >= before)
        raise ValueError(_not_falling(numbers, index))
    return "betas"


def _require_products(numbers: list[float]) -> None:
    """Refuse the two other lists that fall from near 1, where they are told by a known schedule.

    Raises:
        ValueError: with what they are, and how to make alphas_cumprod of them.
    """
    if _known(numbers, "alphas_cumprod"):
        return
    others: tuple[tuple[list[float], Kind, str], ...] = (
        (
            [1 - y for y in numbers], "betas",
            "alphas, the 1 − β of each single step, and not their product. alphas_cumprod is the "
            "running product of them; 1 minus each is betas",
        ),
        (
            [y * y for y in numbers], "alphas_cumprod",
            "√ᾱ (sqrt_alphas_cumprod). alphas_cumprod is the square of each",
        ),
    )  # fmt: skip
    for values, kind, what in others:
        try:
            schedule = _from_betas(values) if kind == "betas" else _from_alpha_bar(values)
            found = identify(schedule, kind, LOOSE)
        except ValueError:
            continue
        if found:
            raise ValueError(
                f"These are {what}: {_title(found[0])}. Paste one of these, or say what the "
                "numbers are."
            )


def _known(numbers: list[float], kind: Kind) -> bool:
    try:
        return bool(_report(numbers, kind, guessed=True).matches)
    except ValueError:
        return False


def _report(numbers: list[float], kind: Kind, guessed: bool) -> Report:
    _require_shares(numbers)
    start: Start = "first noisy step"
    if kind == "betas":
        if numbers[0] == 0:
            start, numbers = "clean picture", numbers[1:]
        schedule = _from_betas(numbers)
    else:
        if numbers[0] == 1:
            start, numbers = "clean picture", numbers[1:]
        schedule = _from_alpha_bar(numbers)
    tolerance = rounding(numbers)
    matches: list[Match] = []
    if start == "clean picture" and kind == "alphas_cumprod":
        matches = [] if _whole(schedule, kind, tolerance) else _previous(schedule)
        start = "previous step" if matches else start
    matches = matches or identify(schedule, kind, tolerance)
    nearest = None if matches else min(_distances(schedule, kind, tolerance), key=lambda m: m.gap)
    return Report(kind, guessed, start, schedule, tuple(matches), nearest)


def _from_betas(betas: list[float]) -> NoiseSchedule:
    """Without the cap of `schedules.from_betas`: what was pasted is kept."""
    alpha_bar = [1.0]
    for index, beta in enumerate(betas):
        if beta == 0:
            raise ValueError(f"The beta at index {index} is 0: that step would add no noise.")
        alpha_bar.append(alpha_bar[-1] * (1 - beta))
        if alpha_bar[-1] == 0 and index + 1 < len(betas):
            raise ValueError(
                f"At index {index} nothing of the signal is left (ᾱ = 0), and {len(betas)} betas "
                "were given. Are these really betas?"
            )
        if alpha_bar[-1] == alpha_bar[-2]:
            raise ValueError(
                f"The beta at index {index} is {beta:g}, too small to change ᾱ in float64."
            )
    return NoiseSchedule("yours", torch.tensor(alpha_bar, dtype=torch.float64))


def _from_alpha_bar(numbers: list[float]) -> NoiseSchedule:
    for index in range(1, len(numbers)):
        if numbers[index] >= numbers[index - 1]:
            raise ValueError(_not_falling(numbers, index))
    if not numbers or numbers[0] >= 1:
        raise ValueError("alphas_cumprod must fall below 1 after the clean picture.")
    return NoiseSchedule("yours", torch.tensor([1.0, *numbers], dtype=torch.float64))


def _not_falling(numbers: list[float], index: int) -> str:
    before, after = numbers[index - 1], numbers[index]
    if before == after:
        return (
            f"alphas_cumprod must fall at every step, and it stays at {after:.9g} at index "
            f"{index}: too few digits were kept. Near 1 float32 has too few, too."
        )
    return (
        f"alphas_cumprod must fall at every step, and it rises from {before:.6g} to {after:.6g} "
        f"at index {index}: the order is wrong."
    )


def rounding(numbers: Sequence[float]) -> float:
    """How far numbers may be from those they were printed from, relative to the largest.

    Whoever prints four decimals, or five significant digits, leaves numbers that have no more;
    numbers with many digits are held to float32's precision.
    """
    written = [format(Decimal(repr(float(x))).normalize(), "e") for x in numbers]
    digits = max(len(text.split("e")[0].replace(".", "")) for text in written)
    if digits > MOST_PRINTED:
        return FLOAT32
    decimals = max(-int(Decimal(text).as_tuple().exponent) for text in written)
    largest = max(numbers)
    leading = math.floor(math.log10(largest)) if largest > 0 else 0
    half_a_unit = 0.5 * max(10.0**-decimals, 10.0 ** (leading - digits + 1))
    return max(FLOAT32, 1.2 * half_a_unit / largest) if largest > 0 else FLOAT32


def identify(
    schedule: NoiseSchedule, kind: Kind = "alphas_cumprod", tolerance: float = FLOAT32
) -> list[Match]:
    r"""Every published schedule that a table is, as it stands or shortened.

    $$\frac{\max_t |y_t - y^{\text{published}}_t|}{\max_t y_t} \le \text{tolerance}, \qquad
    y = \beta \text{ or } \bar\alpha$$

    Source: own; the tolerance is float32's, or that of the printed digits.

    Args:
        schedule: the table.
        kind: what it was made from, and so what is compared.
        tolerance: see `rounding`.
    """
    whole = _whole(schedule, kind, tolerance)
    if any(match.gap <= EXACT for match in whole):
        return whole
    shortened = _shortened(schedule)
    # An evenly shortened cosine is nearly the short cosine: the cap on beta tells them apart.
    if any(match.gap <= EXACT and not match.picked for match in shortened):
        return shortened
    return whole or shortened


def _whole(schedule: NoiseSchedule, kind: Kind, tolerance: float) -> list[Match]:
    """Published schedules of the same length."""
    return _finest([match for match in _distances(schedule, kind, tolerance) if match.digits])


def _finest(found: list[Match]) -> list[Match]:
    """The best ones, and what is about as good."""
    finest = min((match.gap for match in found), default=0.0)
    return [match for match in found if match.gap <= max(EXACT, 10 * finest)]


def _distances(schedule: NoiseSchedule, kind: Kind, tolerance: float) -> list[Match]:
    ours = _column(schedule, kind)
    found = []
    for key in PUBLISHED:
        try:
            theirs = _column(published(key, schedule.T), kind)
        except ValueError:
            continue  # it does not exist at this length
        gap = float((ours - theirs).abs().max() / ours.max())
        found.append(Match(key, gap, _digits(gap, tolerance)))
    return found


def _column(schedule: NoiseSchedule, kind: Kind) -> Tensor:
    return (schedule.beta if kind == "betas" else schedule.alpha_bar)[1:]


def _digits(gap: float, tolerance: float) -> str:
    if gap <= EXACT:
        return "all digits"
    if gap <= FLOAT32:
        return "float32"
    return "the digits given" if gap <= min(tolerance, COARSEST) else ""


def _shortened(schedule: NoiseSchedule) -> list[Match]:
    """Longer published schedules that this is a selection from, of the shortest that fits."""
    if schedule.T < FEWEST:
        return []
    for T in LONG:
        found = [m for key in PUBLISHED for m in _selected(schedule, key, T) if schedule.T < T]
        if found:
            return [m for m in found if not m.picked] or found
    return []


def _selected(schedule: NoiseSchedule, key: str, T: int) -> list[Match]:
    """Whether alpha_bar, or beta, is a selection from one long schedule."""
    long, found = published(key, T), []
    by_noise = nearest_snr(long, schedule.log_snr[1:])
    by_beta = _nearest(long.beta, schedule.beta[1:])
    for at, table, values, picked in (
        (by_noise, long.alpha_bar, schedule.alpha_bar[1:], False),
        (by_beta, long.beta, schedule.beta[1:], True),
    ):
        gap = float((table[at] - values).abs().max() / values.max())
        if bool((at.diff() > 0).all()) and int(at[0]) > 0 and gap <= FLOAT32:
            found.append(Match(key, gap, _digits(gap, FLOAT32), tuple(at.tolist()), T, picked))
    return found


def _nearest(rising: Tensor, values: Tensor) -> Tensor:
    after = torch.searchsorted(rising, values).clamp(1, len(rising) - 1)
    before = after - 1
    return torch.where((rising[after] - values) < (values - rising[before]), after, before)


def _previous(schedule: NoiseSchedule) -> list[Match]:
    """Published schedules of one step more that this is the beginning of."""
    found = []
    for key in PUBLISHED:
        long = published(key, schedule.T + 1).alpha_bar[:-1]
        gap = float((schedule.alpha_bar - long).abs().max())
        if gap <= FLOAT32:
            found.append(Match(key, gap, _digits(gap, FLOAT32)))
    return found


def posterior_table(schedule: NoiseSchedule) -> dict[str, Tensor]:
    r"""The tables that samplers look up, for t = 1..T and s = t - 1.

    $$\tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\beta_t, \qquad
    \tilde\mu_t = c_1 x_0 + c_2 x_t$$

    Source: Ho et al. 2020, eq. 7; names and the clipped logarithm (its first entry is the
    second's, since the first variance is 0) are improved-diffusion's. With a single step there is
    no second, and it is minus infinite.

    Returns:
        Columns of [T] float64: t, beta, alpha_bar, posterior_variance,
        posterior_log_variance_clipped, posterior_mean_coef1 (of x_0), posterior_mean_coef2 (of
        x_t).
    """
    t = torch.arange(1, schedule.T + 1)
    like = torch.ones(schedule.T, dtype=torch.float64)
    c_x0, c_xt, variance = GaussianDiffusion(schedule).posterior_coefficients(t, t - 1, like)
    clipped = torch.cat([variance[1:2], variance[1:]]) if schedule.T > 1 else variance
    return {
        "t": t,
        "beta": schedule.beta[1:],
        "alpha_bar": schedule.alpha_bar[1:],
        "posterior_variance": variance,
        "posterior_log_variance_clipped": clipped.log(),
        "posterior_mean_coef1": c_x0,
        "posterior_mean_coef2": c_xt,
    }


def posterior_csv(report: Report) -> str:
    """`posterior_table` as CSV, led by the index that the step has in the reader's own table."""
    table = {name: column.tolist() for name, column in posterior_table(report.schedule).items()}
    out = io.StringIO()
    out.write(",".join(["index", *table]) + "\n")
    for row in zip(*table.values(), strict=True):
        out.write(",".join([str(row[0] - report.offset), *(repr(value) for value in row)]) + "\n")
    return out.getvalue()
