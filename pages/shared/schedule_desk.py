"""A reader's own betas or alphas_cumprod: paste or upload them, and see whose they are."""

from __future__ import annotations

import json
from html import escape
from typing import NamedTuple, cast

import numpy as np
import streamlit as st

from diffusion_core.published import published
from diffusion_core.schedule_check import Kind, check_schedule, posterior_csv, posterior_table
from diffusion_core.schedule_reading import MOST_CHARACTERS, MOST_NUMBERS
from pages.shared.figures import Line, line_chart
from pages.shared.plot import plot
from pages.shared.translation import written

KINDS = {"auto": "Work it out", "betas": "betas", "alphas_cumprod": "alphas_cumprod"}
_POINTS = 400  # of a curve: more than the chart has pixels for
_UPLOAD_MB = 2


class Finding(NamedTuple):
    """What the page shows of a report, as plain arrays.

    Attributes:
        sentences: the report in words.
        names: of the table's columns.
        rows: of the table, the reader's index first: all of them.
        alpha_bar: [T+1] the reader's.
        other: [T+1] of the schedule it is, or the nearest.
        label: what the other one is called in the chart.
    """

    sentences: list[str]
    names: list[str]
    rows: np.ndarray
    alpha_bar: np.ndarray
    other: np.ndarray
    label: str


@st.cache_data(max_entries=16, show_spinner=False)
def finding(text: str, kind: str) -> Finding | str:
    """What is found out about a text, or the sentence that says why nothing is."""
    try:
        report = check_schedule(text, _kind(kind))
    except ValueError as error:
        return str(error)
    table = posterior_table(report.schedule)
    rows = np.stack([column.numpy().astype(np.float64) for column in table.values()], axis=1)
    index = rows[:, :1] - report.offset
    near = report.matches[0] if report.matches else report.nearest
    other = alpha_bar = report.schedule.alpha_bar
    if near is not None and near.of:  # the kept steps of the long one
        other = published(near.key, near.of).alpha_bar[[0, *near.steps]]
    elif near is not None:
        other = published(near.key, report.schedule.T).alpha_bar
    label = "the published one" if report.matches else "the nearest"
    if near is not None and near.picked:
        label = "with betas of their own"
    return Finding(
        report.sentences,
        ["index", *table],
        np.concatenate([index, rows], axis=1),
        alpha_bar.numpy(),
        other.numpy(),
        label,
    )


def csv_of(text: str, kind: str) -> str:
    """The posterior table of a text that `finding` could read, for the download."""
    return posterior_csv(check_schedule(text, _kind(kind)))


def example(key: str, T: int = 1000, *, picked: int = 0, backwards: bool = False) -> str:
    """A published schedule as a reader would paste it.

    Args:
        key: in `PUBLISHED`.
        T: its length.
        picked: how many of its betas to pick, evenly; 0 for all.
        backwards: alphas_cumprod instead of betas, the noisiest first.
    """
    schedule = published(key, T)
    if backwards:
        return json.dumps(schedule.alpha_bar[1:].flip(0).tolist())
    betas = schedule.beta[1:].tolist()
    return json.dumps(betas[:: T // picked] if picked else betas)


def desk(default: str) -> None:
    """Draw the text field, the upload, and what was found out.

    Args:
        default: text that the field starts with.
    """
    left, right = st.columns([2, 3], gap="large")
    with left:
        pasted = st.text_area(
            "Your betas or alphas_cumprod: JSON, CSV, or what Python prints",
            default, key="cpaste", height=200, max_chars=MOST_CHARACTERS, persist_state="session",
        )  # fmt: skip
        kind = st.segmented_control(
            "These numbers are", list(KINDS), key="ckind", default="auto", required=True,
            bind="query-params", format_func=KINDS.get,
        )  # fmt: skip
        upload = st.file_uploader(
            f"Or a file, with at most {MOST_NUMBERS:,} numbers", ["json", "csv", "txt"],
            key="cupload", max_upload_size=_UPLOAD_MB,
        )  # fmt: skip
    text = pasted or ""
    if upload is not None or text != default:
        left.caption("Your numbers stay here: a copied link or a lesson shows the example instead.")
    if upload is not None:
        text = upload.getvalue().decode("utf-8", errors="replace")
    found = finding(text, kind)
    with right:
        if isinstance(found, str):
            told([found], "problem")
            return
        told(found.sentences)
        _chart(found)
    _table(found)
    st.download_button(
        f"All {len(found.rows):,} rows of the posterior as CSV", lambda: csv_of(text, kind),
        "posterior_table.csv", "text/csv", key="cdownload", icon=":material/download:",
        on_click="ignore",
    )  # fmt: skip


def told(sentences: list[str], name: str = "findings") -> None:
    """Sentences that may quote what the reader pasted: shown to the letter, never as markup."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    role = ' role="alert"' if name == "problem" else ""
    st.html(f'<ul class="{name}"{role} style="margin:0;padding-left:1.2rem">{items}</ul>')


def _chart(found: Finding) -> None:
    T = len(found.alpha_bar) - 1
    at = np.unique(np.linspace(0, T, min(T + 1, _POINTS)).round().astype(int))
    early, late = len(at) // 4, len(at) * 5 // 8  # apart, also where both lines are one
    figure = line_chart(
        [
            Line("yours", at, found.alpha_bar[at], "q", early, shift=14, width=3),
            Line(found.label, at, found.other[at], "xt", late, shift=14, dash="dot"),
        ],
        x_title="step t, 0 is clean",
        y_title="ᾱ",
        y_range=(-0.04, 1.06),
        height=210,
    )
    plot(
        figure,
        key="cchart",
        alt=f"ᾱ over t, two lines: “yours”, the pasted schedule, and “{found.label}”",
    )


def _table(found: Finding) -> None:
    """The first three rows and the last."""
    T = len(found.rows)
    shown = sorted({0, 1, min(2, T - 1), T - 1})
    short = {"posterior_mean_coef1": "coef of x_0", "posterior_mean_coef2": "coef of x_t",
             "posterior_log_variance_clipped": "log variance, clipped",
             "posterior_variance": "variance"}  # fmt: skip
    head = "".join(f"<th scope='col'>{short.get(name, name)}</th>" for name in found.names)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{value:.0f}</td>" if place < 2 else f"<td>{written(value, 5)}</td>"
            for place, value in enumerate(found.rows[row])
        )
        + "</tr>"
        for row in shown
    )
    st.html(
        '<div class="scroll" tabindex="0" role="region" aria-label="The posterior\'s table">'
        f'<table class="metrics"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _kind(kind: str) -> Kind | None:
    return None if kind == "auto" else cast(Kind, kind)
