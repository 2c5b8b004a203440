"""The chart of a case: what is printed, and after the verdict what is right and what was measured.

No Streamlit in here.
"""

from __future__ import annotations

import numpy as np

from pages.shared.case_types import Evidence
from pages.shared.figures import Figure, Line, line_chart
from pages.shared.palette import COLORS

_PRINTED, _RIGHT, _MEASURED = "p", "q", "xt"


def case_chart(found: Evidence, *, judged: bool) -> Figure:
    """Draw the printed formula; once it was judged, the right one and the measurements too."""
    at_printed, at_right = (_label_place(found, share) for share in (0.3, 0.72))
    above = found.printed[at_printed] >= found.right[at_printed] or not judged
    lines = [
        Line(found.names[0], found.x, found.printed, _PRINTED, at_printed, anchor="center",
             shift=20 if above else -20, dash="dash" if judged else "solid", width=3)
    ]  # fmt: skip
    if judged:
        below = found.right[at_right] <= found.printed[at_right]
        lines.insert(
            0,
            Line(found.names[1], found.x, found.right, _RIGHT, at_right, anchor="center",
                 shift=-20 if below else 20, width=4),
        )  # fmt: skip
    figure = line_chart(
        lines,
        x_title=found.x_title,
        y_title=found.y_title,
        log_x=found.log_x,
        log_y=found.log_y,
        y_range=found.y_range,
        height=290,
    )
    for line in figure["data"]:
        line["mode"] = "lines"
    if judged and found.dots is not None:
        _add_points(figure, found, *found.dots, _MEASURED, "measured", symbol="circle-open", size=9)
    if found.at is not None:
        place = np.array([found.at])
        _add_points(figure, found, place, np.array([found.value[0]]), _PRINTED, "as printed")
        if judged:
            _add_points(figure, found, place, np.array([found.value[1]]), _RIGHT, "right")
    return figure


def _add_points(
    figure: Figure, found: Evidence, x: np.ndarray, y: np.ndarray, color: str, name: str,
    *, symbol: str = "diamond", size: int = 12,
) -> None:  # fmt: skip
    """Marks at places where the chart can show them."""
    good = np.isfinite(y) & ((y > 0) | (not found.log_y))
    marker = {"color": COLORS[color], "symbol": symbol, "size": size, "line": {"width": 2}}
    figure["data"].append(
        {
            "type": "scatter",
            "x": x[good],
            "y": y[good],
            "mode": "markers",
            "name": name,
            "marker": marker,
            "hovertemplate": "%{y:.4g}",
        }
    )


def _label_place(found: Evidence, share: float) -> int:
    """Index nearest to a share of the axis at which both lines can be seen, if there is one."""
    x = np.log(found.x) if found.log_x else found.x
    low, high = found.y_range or (-np.inf, np.inf)
    floor = 0.0 if found.log_y else -np.inf
    seen = np.ones(len(x), bool)
    for y in (found.printed, found.right):
        seen &= np.isfinite(y) & (y > max(low, floor)) & (y < high)
    distance = np.abs(x - (x[0] + share * (x[-1] - x[0]))) + np.where(seen, 0.0, 1e6)
    return int(distance.argmin())
