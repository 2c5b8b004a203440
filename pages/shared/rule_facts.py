"""The numbers that the page about two reverse rules names in its text, computed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st

from pages.shared.small_world import Choice, Seen, chains, seen


class Facts(NamedTuple):
    """The numbers that the text names, all for the page's data; T = 6 unless said otherwise.

    Attributes:
        mixture: largest error of the mixture over all single steps, exact belief.
        product: that of the product.
        absorbing: that of the product with absorbing noise.
        mask_row: that of the product with mask-and-replace, in the row of [MASK].
        other_rows: and in the other rows.
        ends: distance of x_0 after 1, 2, 6 steps, product, exact belief.
        hundred: and after 100 steps of T = 100.
        unsure: (1 step, 100 steps) of T = 100 at temperature 2, mixture.
        unsure_product: and product.
        blind: largest error of the product with a blind belief.
        blind_mixture: that of the mixture.
        sure: the exact belief in the likeliest x_0 in the default's row.
        twice: what is left of it where softmax is taken twice.
        prior: (what Bayes' rule asks for, what the product puts in) for the default's cell.
        averages: mean error of the product, t = 2 to s = 1 and t = 5 to s = 1, exact belief.
    """

    mixture: float
    product: float
    absorbing: float
    mask_row: float
    other_rows: float
    ends: tuple[float, float, float]
    hundred: float
    unsure: tuple[float, float]
    unsure_product: tuple[float, float]
    blind: float
    blind_mixture: float
    sure: float
    twice: float
    prior: tuple[float, float]
    averages: tuple[float, float]


@st.cache_data(max_entries=1, show_spinner=False)
def measured() -> tuple:
    """The fields of `Facts`, computed."""

    def worst(choice: Choice) -> dict[str, np.ndarray]:
        """Rule -> the largest error in each row, over t = 2..T and s = t - 1."""
        all_steps = [Seen(*seen(tuple(choice), t, t - 1)) for t in range(2, choice.T + 1)]
        return {
            rule: np.max([np.abs(np.nan_to_num(told.errors[rule])).max(1) for told in all_steps], 0)
            for rule in ("mixture", "product")
        }

    def end(rule: str, n: int, **changes: object) -> float:
        return float(chains(tuple(Choice(**changes)))[rule][n][1][-1])

    exact, masked = worst(Choice()), worst(Choice(kernel="mask_and_replace"))["product"]
    blinded = worst(Choice(belief="blind"))
    first = Seen(*seen(tuple(Choice()), 2, 1))
    again = Seen(*seen(tuple(Choice(belief="twice")), 2, 1))
    likeliest = int(first.beliefs[3].argmax())
    unsure = {"T": 100, "belief": "tempered", "amount": 2.0}
    return (
        float(exact["mixture"].max()),
        float(exact["product"].max()),
        float(worst(Choice(kernel="absorbing"))["product"].max()),
        float(masked[-1]),
        float(masked[:-1].max()),
        tuple(end("product", n) for n in (1, 2, 6)),
        end("product", 100, T=100),
        tuple(end("mixture", n, **unsure) for n in (1, 100)),
        tuple(end("product", n, **unsure) for n in (1, 100)),
        float(blinded["product"].max()),
        float(blinded["mixture"].max()),
        float(first.beliefs[3, likeliest]),
        float(again.beliefs[3, likeliest]),
        (float(first.true_prior[3]), float(first.prior[3, 3])),
        (first.averages["product"], Seen(*seen(tuple(Choice()), 5, 1)).averages["product"]),
    )
