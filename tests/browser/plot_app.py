"""Charts of every kind that the component draws, for test_plot.py."""

import numpy as np
import streamlit as st

from pages.shared.component import code
from pages.shared.figures import Line, chart, line_chart, upright
from pages.shared.ledger_estimators import histogram_chart
from pages.shared.matrices import facets, matrix_figure
from pages.shared.plot import plot
from pages.shared.rule_figures import Pile, bars_figure

code()
HOSTILE = "<img src=x onerror=alert(1)>"
t = np.arange(1, 1001)
count = st.slider("Lines", 1, 3, 2, key="lines")
lines = [
    Line(f"L<sub>{k}</sub>", t, np.where(t > 20 * k, 1.0 / t**k, np.nan), ("q", "p", "eps")[k], 100)
    for k in range(count)
]
figure = line_chart(
    lines, x_title="step t", y_title="a loss", log_x=True, log_y=True, y_range=(1e-6, 10)
)
figure["layout"]["shapes"] = [upright(50, "bits")]
plot(figure, key="lines_plot", alt="Lines over t")

P = np.array([[0.75, 0.25, 0.0], [0.1, 0.9, 0.0], [0.2, 0.3, 0.5]])
names = ["a", "b", HOSTILE]
chosen = st.session_state.setdefault("chosen", [])
plot(
    matrix_figure(
        P, names, title=f"<b>Q</b> {HOSTILE}", rows="from", columns="to",
        row=1, column=2, log=False,
        words="a <b>%{y}</b> becomes %{x}: %{customdata:.2g}",
    ),
    key="matrix_plot", alt="A matrix", on_click=lambda x, y: chosen.append((x, y)),
)  # fmt: skip
st.write("chosen", " ".join(f"{x:g},{y:g}" for x, y in chosen) or "nothing")

plot(
    bars_figure(
        [Pile("one", P[0], "q"), Pile("two", P[1], "p", 0.5)], P[2], names,
        title="Bars", about="two piles", x_title="state",
    ),
    key="bars_plot", alt="Bars",
)  # fmt: skip
values = {"draws": np.array([1.0, 1.2, 2.0, 2.1, 2.2])}
plot(
    histogram_chart(values, {"draws": "eps"}, np.linspace(0, 3, 7), "bits"),
    key="histogram_plot", alt="A histogram",
)  # fmt: skip
plot(
    facets(
        np.stack([P] * 5), names, titles=[f"x = {k}" for k in range(5)],
        words=["%{customdata}"] * 5, chosen=(4, 1), log=False, height=160,
    ),
    key="facets_plot", alt="Five matrices",
)  # fmt: skip
empty = chart([{"type": "scatter", "x": [], "y": []}], {"height": 120})
plot(empty, key="empty_plot", alt="Nothing")
with st.expander("Closed"):
    plot(line_chart(lines, x_title="x", y_title="y"), key="hidden_plot", alt="Behind a click")
