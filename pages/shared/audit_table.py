"""Lines of a computation beside what they should be, as one HTML table. No Streamlit here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from pages.shared.matrices import shade, spoken
from pages.shared.palette import COLORS


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: what it is, HTML.
        ours: [n] what was computed; NaN is an empty cell.
        exact: [n] what it should be, or None for nothing to compare.
        error: of this row, and the worst of all rows like it; None for nothing to compare.
        worst: see above.
        mark: said under the name in the colour of losses, "" for nothing.
        mended: whether a later line puts it right: then its error is told, and no alarm.
    """

    name: str
    ours: np.ndarray
    exact: np.ndarray | None = None
    error: float | None = None
    worst: float | None = None
    mark: str = ""
    mended: bool = False


def audit_table(
    rows: Sequence[Row],
    states: Sequence[str],
    *,
    ours: str,
    exact: str = "",
    color: str = "p",
    rounding: float = 1e-12,
) -> str:
    """Cells in shades of their value: ours in one colour, what is right in the true process's.

    Args:
        rows: the lines.
        states: names of the columns.
        ours: heading of the left half.
        exact: heading of the right half, "" for none.
        color: of the left half, a key of `COLORS`.
        rounding: the largest error that is none; what is above stands out.
    """
    n = len(states)
    spans = f'<th></th><th colspan="{n}">{escape(ours)}</th>'
    names = "".join(f"<th>{escape(state)}</th>" for state in states)
    heads = f"<th></th>{names}"
    if exact:
        spans += f'<th class="gap"></th><th colspan="{n}">{escape(exact)}</th><th colspan="2">'
        spans += "largest error</th>"
        heads += f'<th class="gap"></th>{names}<th>here</th><th>any x<sub>t</sub></th>'
    body = "".join(_line(row, n, bool(exact), color, rounding) for row in rows)
    return (
        f"{_STYLE}<div class='audit scroll' tabindex='0' role='region' aria-label='{escape(ours)}'>"
        f"<table><thead><tr>{spans}</tr><tr>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _line(row: Row, n: int, compared: bool, color: str, rounding: float) -> str:
    mark = f"<div class='mark'>{escape(row.mark)}</div>" if row.mark else ""
    cells = [f"<th>{row.name}{mark}</th>", *(_cell(v, color) for v in row.ours)]
    if compared:
        cells.append('<td class="gap"></td>')
        right = np.full(n, np.nan) if row.exact is None else row.exact
        cells += [_cell(v, "q") for v in right]
        cells += [_error(error, rounding, row.mended) for error in (row.error, row.worst)]
    return f"<tr>{''.join(cells)}</tr>"


def _cell(value: float, color: str) -> str:
    if np.isnan(value):
        return "<td class='none'>·</td>"
    text = spoken(float(value)) if value <= 1 else f"{value:.3g}".replace("e+0", "e")
    depth = float(shade(np.array(min(value, 1.0)), log=False))
    red, green, blue = (int(COLORS[color][i : i + 2], 16) for i in (1, 3, 5))
    return f"<td style='background:rgba({red},{green},{blue},{0.55 * depth:.3f})'>{text}</td>"


def _error(value: float | None, rounding: float, mended: bool) -> str:
    if value is None:
        return "<td class='none'>·</td>"
    kind = "error wrong" if value > rounding and not mended else "error"
    text = "0" if value == 0 else f"{value:.2g}" if value > rounding else f"{value:.0e}"
    return f"<td class='{kind}'>{text.replace('e-0', 'e-').replace('e+0', 'e')}</td>"


_STYLE = f"""<style>
.audit table {{ border-collapse: collapse; font-size: 0.8125rem;
  font-variant-numeric: tabular-nums; }}
.audit th {{ font-weight: 600; padding: 0.1rem 0.35rem; text-align: center; white-space: nowrap; }}
.audit tbody th {{ text-align: left; font-weight: 400; padding-left: 0; }}
.audit tbody tr {{ border-top: 1px solid var(--st-border-color, #8884); }}
@media (max-width: 640px) {{
  .audit tbody th {{ white-space: normal; min-width: 6.5rem; overflow-wrap: anywhere; }}
}}
.audit td {{ padding: 0.3rem 0.3rem; text-align: center; min-width: 2.6rem; }}
.audit .gap {{ min-width: 0.4rem; padding: 0; }}
.audit .none {{ opacity: 0.4; }}
.audit .error {{ opacity: 0.75; }}
.audit .wrong {{ color: {COLORS["bits"]}; font-weight: 700; opacity: 1; }}
.audit .mark {{ color: {COLORS["bits"]}; font-weight: 600; font-size: 0.75rem; }}
</style>"""
