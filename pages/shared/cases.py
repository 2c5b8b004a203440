"""All cases of the formula detective, in the order in which they are offered."""

from __future__ import annotations

from pages.shared import cases_bound, cases_process, cases_terms
from pages.shared.case_types import Case

_ORDER = (
    "Posterior mean",
    "Jump to step t",
    "KL of two noises",
    "Mean through the noise",
    "Reconstruction term",
    "Signal to noise",
    "Jensen's inequality",
    "KL from two SNRs",
    "KL of two pictures",
    "Marginal",
    "Telescoping product",
    "Consistency form",
    "Likelihood",
    "Tweedie's formula",
    "Two steps in one",
    "Score and noise",
    "Signs in the bound",
    "The small number",
    "DDIM’s step",
    "The picture from the noise",
)
_ALL = {case.name: case for case in (*cases_terms.CASES, *cases_process.CASES, *cases_bound.CASES)}
CASES: dict[str, Case] = {name: _ALL[name] for name in _ORDER}
"""name -> case; the name is what the address says after `case=`."""


def knob_key(case: Case, name: str) -> str:
    """The key of a case's control: no two cases share one, since their defaults differ."""
    return f"d{list(CASES).index(case.name) + 1}_{name}"


def page_defaults() -> dict[str, object]:
    """What every control of the page is set to when nobody has touched it."""
    defaults: dict[str, object] = {"case": next(iter(CASES))}
    for case in CASES.values():
        defaults |= {knob_key(case, name): value for name, value in case.defaults.items()}
    return defaults
