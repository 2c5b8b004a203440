"""The player: time along a trajectory, scrubbed in the browser without asking the server.

`player` shows frames that exist; `follow` shows a `LiveRun` while it is being computed, the
browser asking for the next few frames whenever fewer than twelve lie ahead. Both draw the same
component: pictures side by side, curves and histograms with a cursor, one set of controls.

What travels is bytes: the length of a JSON header, the header, then the frames as they are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import streamlit as st
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequestType
from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx

from pages.shared.cloud import Cloud, pack_clouds
from pages.shared.component import component
from pages.shared.palette import COLORS
from pages.shared.runs import Line, LiveRun, Pull, Runs, parse_pull
from pages.shared.state import jumps

S = TypeVar("S")

_LOGGER = logging.getLogger(__name__)
_MAX_BATCH_BYTES = 8_000_000  # one answer; the browser asks again for what is missing
_TRIES = 3
_ANSWER_SECONDS = 0.5  # a longer answer is cut short: pictures keep coming, controls answer soon


@dataclass(frozen=True)
class Panel:
    r"""A picture that changes with time.

    Attributes:
        title: Shown above the picture; `$x_t$` and `$\hat x_0$` are set as mathematics.
        alt: What a screen reader says.
        frames: uint8 `[n, H, W]` (gray) or `[n, H, W, 3]`; n frames beginning at `start`.
        color: The concept the title is coloured by, a key of `COLORS`.
        row: Panels of one row stand side by side; two compared runs are rows 0 and 1.
        lo: What pixel value 0 stands for, told when a pixel is pointed at; equal to `hi` where
            colours stand for no number.
        hi: What pixel value 255 stands for.
        badge: A warning under the title, e.g. "broken: × 1 instead of × √(1−β)"; "" for none.
    """

    title: str
    alt: str
    frames: np.ndarray
    color: str = "xt"
    row: int = 0
    lo: float = -1.0
    hi: float = 1.0
    badge: str = ""


@dataclass(frozen=True)
class Curve:
    """A line over time with a cursor at the current frame.

    Attributes:
        label: Set beside the line in its colour, followed by the value at the cursor.
        values: float `[total]`, or `[n]` beginning at `start` while they are being computed.
            NaN is a gap.
        color: A key of `COLORS`.
        chart: Curves with the same `chart` share axes; this is the chart's title, with the unit.
        lo: Lower end of the axis; None for a round number near the curves' smallest value.
        hi: Upper end of the axis; None for a round number near their largest.
        digits: Decimals of the value at the cursor.
        line: Where a hairline lies across the chart, e.g. at 1; None for none.
        log: Whether the axis is logarithmic, for all curves of the chart; values that are not
            positive are drawn at the smallest one that is.
        ghost: Whether it is there for comparison only: pale and dashed, without its value.
        bars: Whether each value is a bar that stands on the axis, instead of a point of a line.
        dash: The line's pattern, lengths of strokes and gaps in pixels as in SVG: "7 5". Shown
            before the label, too, so that lines of one colour can be told apart; "" is unbroken.
        high: Pixels that its chart is high, at least.
    """

    label: str
    values: np.ndarray
    color: str = "xt"
    chart: str = ""
    lo: float | None = None
    hi: float | None = None
    digits: int = 2
    line: float | None = None
    log: bool = False
    ghost: bool = False
    bars: bool = False
    dash: str = ""
    high: int = 72


@dataclass(frozen=True)
class Histogram:
    """A histogram that changes with time, beside the pictures, against N(0, 1).

    Attributes:
        title: Shown above it, as a panel's.
        alt: What a screen reader says.
        counts: `[n, bins]`, counts or densities, n frames beginning at `start`.
        lo: Left edge of the first bin.
        hi: Right edge of the last bin.
        color: A key of `COLORS`.
        row: As for a panel.
        reference: Whether the density of N(0, 1) is drawn over it.
        points: In so many frames, from the run's first on, a point at 0 is drawn in its place.
    """

    title: str
    alt: str
    counts: np.ndarray
    lo: float = -3.0
    hi: float = 3.0
    color: str = "xt"
    row: int = 0
    reference: bool = True
    points: int = 0


class Frames(NamedTuple):
    """What `follow` draws for some frames in a row."""

    panels: Sequence[Panel]
    captions: Sequence[str]
    curves: Sequence[Curve] = ()
    histograms: Sequence[Histogram] = ()
    notes: Sequence[str] = ()
    clouds: Sequence[Cloud] = ()


class PlayerEvent(NamedTuple):
    """What the player last told the server.

    Attributes:
        frame: The frame it rests on, sent a moment after it is let go; None until then, or while
            another run's frame is all that is known.
        pull: The request that this script run answers, if it answers one.
    """

    frame: int | None
    pull: Pull | None


_component = component("player")


def _ignore() -> None:
    """Stand in for a callback: naming one is what makes Streamlit deliver the value."""


class _ControlWaits(Exception):
    """The reader has moved a control whose answer waits for this one to end."""


def _look_up() -> None:
    """End the script where its reader has left, and this answer where a control waits for its own.

    For the first, Streamlit looks whenever the state is read. The second it offers no way to ask:
    one fragment runs to its end before another begins, and eight steps would keep a slider waiting.
    """
    "_live_runs" in st.session_state  # noqa: B015
    context = get_script_run_ctx(suppress_warning=True)
    asked = context and getattr(context.script_requests, "_state", None)
    if asked is ScriptRequestType.RERUN:
        raise _ControlWaits


def session_runs() -> Runs:
    """Return this session's runs (the last few used are kept)."""
    return st.session_state.setdefault("_live_runs", Runs())


def pulled(key: str, *, run: str, total: int) -> Pull | None:
    """Return the request for frames that started this script run, if it is one for this run.

    Call it before `player`, whose frames should answer it.
    """
    state = st.session_state.get(key)
    message = state.get("pull") if isinstance(state, dict) else None
    return parse_pull(message, run=run, total=total)


def player(
    panels: Sequence[Panel],
    *,
    key: str,
    total: int,
    captions: Sequence[str],
    run: str | None = None,
    start: int = 0,
    curves: Sequence[Curve] = (),
    histograms: Sequence[Histogram] = (),
    clouds: Sequence[Cloud] = (),
    scale: int = 4,
    autoplay: bool = False,
    hold: bool = False,
    loop: bool = False,
    frame: int | None = None,
    ends: tuple[str, str] = ("", ""),
    row_labels: Sequence[str] = (),
    fps: float | None = None,
    report_frame: bool = True,
    label: str = "Timeline",
    rest: int | None = None,
    notes: Sequence[str] = (),
    ticks: Sequence[tuple[int, str]] = (),
    beside: bool = False,
    charts_last: bool = False,
    line: Line | None = None,
) -> PlayerEvent:
    """Show frames with one timeline control.

    Args:
        panels: The pictures.
        key: The component's key; one per place on the page.
        total: Frames of the whole run, also those not sent yet.
        captions: One per frame sent, e.g. "t = 760 · step 12 of 50".
        run: Names the run; the browser keeps a run's frames and forgets them when the name
            changes. None: a digest of what is sent, right for frames that are all sent at once.
        start: The first frame sent; frames sent twice do no harm.
        curves: Lines over time, under the pictures.
        histograms: Histograms over time, beside the pictures.
        clouds: Points that move in a plane, beside the pictures.
        scale: Largest magnification, in CSS pixels per picture pixel; twice that where the page is
            shown in large type and the pictures fit.
        autoplay: Whether a new run plays at once (not where reduced motion is asked for).
        hold: Whether another run begins where the reader was in the one before, paused or playing
            as that was, so that the two can be compared at one place in time.
        loop: Whether playing begins again at the end.
        frame: Where a new run begins. Without `hold`, what a "Show me" has just asked for: the run
            that is there already goes to it, too.
        ends: What the two ends of the timeline are called, e.g. ("t = 1000", "t = 0").
        row_labels: One per row of panels.
        fps: Frames a second at normal speed; None: the whole run in about five seconds.
        report_frame: Whether the frame it rests on is sent to the server.
        label: What a screen reader calls the control.
        rest: The most telling frame. A run that has played to its end untouched goes back to it
            and stays there; where reduced motion is asked for, the run begins there.
        notes: One per frame sent, a sentence under the caption, "" for nothing; or none at all.
        ticks: Frames marked on the time axis, and what is written there, e.g. (50, "500"): under
            the last chart, or under the slider where charts follow it.
        beside: Whether the rows stand beside each other where the player is 900 px wide or more.
        charts_last: Whether the curves follow the controls, so that pictures and timeline share a
            screen.
        line: How the frames fared among the runs of other sessions; said while one waits.

    Returns:
        The frame it rests on, and the request that this script run answers.

    Raises:
        ValueError: If lengths, shapes or types do not fit together.
    """
    header, blobs = _pack(panels, captions, curves, histograms, start, total, clouds)
    if notes and len(notes) != len(captions):
        raise ValueError(f"{len(notes)} notes, {len(captions)} captions")
    for what, at in [("rest", rest), *(("tick", index) for index, _ in ticks)]:
        if at is not None and not 0 <= at < total:
            raise ValueError(f"{what} at frame {at} of a run of {total}")
    header |= {
        "scale": scale,
        "autoplay": autoplay,
        "hold": hold,
        "loop": loop,
        "at": frame,
        "jump": 0 if frame is None or hold else jumps(),
        "ends": list(ends),
        "rows": list(row_labels),
        "fps": fps,
        "report": report_frame,
        "label": label,
        "rest": rest,
        "notes": list(notes),
        "ticks": [[index, text] for index, text in ticks],
        "beside": beside,
        "charts_last": charts_last,
        "line": [line.others, line.seconds] if line else [0, 0.0],
        "colors": COLORS,
    }
    if run is None:
        digest = hashlib.blake2b(json.dumps(header).encode(), digest_size=12)
        for blob in blobs:
            digest.update(blob)
        run = digest.hexdigest()
    header["run"] = run
    pull = pulled(key, run=run, total=total)  # before the mount: afterwards it is spent
    result = _component(
        key=key,
        data=_join(header, blobs),
        on_frame_change=_ignore,
        on_pull_change=_ignore,
    )
    return PlayerEvent(_parse_frame(result.get("frame"), run, total), pull)


def follow(
    live: LiveRun[S],
    draw: Callable[[list[S], int], Frames],
    *,
    key: str,
    first: int = 1,
    **options: Any,
) -> PlayerEvent:
    """Show a run while it is being computed; call it inside an `st.fragment`.

    Each request of the browser reruns the fragment, which computes the frames asked for and sends
    them. Any other rerun sends the first frames again, which is little and harmless.

    Args:
        live: The run, usually `session_runs().open(ident, make, total)`.
        draw: Turns consecutive frames and the index of the first one into what is shown.
        key: The component's key.
        first: Frames computed before the browser has asked.
        **options: As for `player`.

    Returns:
        As `player`.

    Raises:
        Exception: Whatever the run's generator raises, if it does so three times in a row.
    """
    pull = pulled(key, run=live.ident, total=live.total)
    if pull is None:
        start = 0
        steps = live.advance(first)[:first]
    else:
        # A browser that has more than the server (a run that was dropped and made anew) waits
        # until it has caught up; it can't make the server compute more than `ask` at a time.
        upto = max(min(pull.have, live.have) + pull.ask, first)
        try:
            live.advance(upto, seconds=_ANSWER_SECONDS, between=_look_up)
        except _ControlWaits:
            pass  # the browser asks for the rest
        except Exception:
            # A page without its player can't ask again. Show what there is; the browser asks
            # again by itself, and the run is rebuilt. What fails every time is an error.
            if live.failures >= _TRIES or not live.have:
                raise
            _LOGGER.exception("run %s failed at frame %d", live.ident, live.have)
        start = min(pull.have, live.have - 1)
        steps = live.frames(start)
    frames = draw(steps, start)
    per_frame = sum(p.frames[:1].nbytes for p in frames.panels) + 1
    per_frame += sum(c.points[:1].nbytes for c in frames.clouds)
    fits = max(1, _MAX_BATCH_BYTES // per_frame)
    if len(steps) > fits:
        frames = draw(steps[:fits], start)
    event = player(
        frames.panels,
        key=key,
        run=live.ident,
        total=live.total,
        start=start,
        captions=frames.captions,
        curves=frames.curves,
        histograms=frames.histograms,
        clouds=frames.clouds,
        notes=frames.notes,
        line=live.line,
        **options,
    )
    return event._replace(pull=pull)


def _parse_frame(value: object, run: str, total: int) -> int | None:
    """Return the reported frame if it is one of this run's."""
    if not isinstance(value, dict) or value.get("run") != run:
        return None
    index = value.get("index")
    return index if type(index) is int and 0 <= index < total else None


def _pack(
    panels: Sequence[Panel],
    captions: Sequence[str],
    curves: Sequence[Curve],
    histograms: Sequence[Histogram],
    start: int,
    total: int,
    clouds: Sequence[Cloud] = (),
) -> tuple[dict[str, Any], list[bytes]]:
    """Check what is to be shown; return the header and the arrays as bytes, in its order."""
    n = len(captions)
    if total < 1 or start < 0 or start + n > total:
        raise ValueError(f"{n} frames from {start} on do not fit into a run of {total}")
    blobs: list[bytes] = []
    header: dict[str, Any] = {"v": 1, "start": start, "n": n, "total": total}
    header["captions"] = list(captions)
    header["panels"] = []
    for panel in panels:
        a = panel.frames
        if a.dtype != np.uint8 or not (a.ndim == 3 or (a.ndim == 4 and a.shape[3] == 3)):
            raise ValueError(
                f"panel {panel.title!r}: {a.dtype} {a.shape}, not uint8 [n, H, W(, 3)]"
            )
        if len(a) != n:
            raise ValueError(f"panel {panel.title!r} has {len(a)} frames, {n} captions")
        _check_color(panel.color)
        header["panels"].append(
            {"title": panel.title, "alt": panel.alt, "color": panel.color, "row": panel.row}
            | {"lo": panel.lo, "hi": panel.hi, "h": a.shape[1], "w": a.shape[2]}
            | {"c": 1 if a.ndim == 3 else 3, "badge": panel.badge}
        )
        blobs.append(np.ascontiguousarray(a).tobytes())
    header["histograms"] = []
    for hist in histograms:
        counts = np.ascontiguousarray(hist.counts, dtype="<f4")
        if counts.ndim != 2 or len(counts) != n:
            raise ValueError(f"histogram {hist.title!r}: {counts.shape}, not [{n}, bins]")
        _check_color(hist.color)
        header["histograms"].append(
            {"title": hist.title, "alt": hist.alt, "color": hist.color, "row": hist.row}
            | {"lo": hist.lo, "hi": hist.hi, "bins": counts.shape[1], "reference": hist.reference}
            | {"points": hist.points}
        )
        blobs.append(counts.tobytes())
    header["curves"] = []
    for curve in curves:
        values = np.ascontiguousarray(curve.values, dtype="<f4")
        if values.shape not in {(total,), (n,)}:
            raise ValueError(f"curve {curve.label!r}: {values.shape}, not [{total}] or [{n}]")
        _check_color(curve.color)
        if curve.log and min(x for x in (curve.lo, curve.hi, curve.line, 1) if x is not None) <= 0:
            raise ValueError(f"curve {curve.label!r}: zero or less on a logarithmic axis")
        whole = values.shape == (total,)
        header["curves"].append(
            {"label": curve.label, "color": curve.color, "chart": curve.chart}
            | {"lo": curve.lo, "hi": curve.hi, "digits": curve.digits}
            | {"line": curve.line, "log": curve.log, "ghost": curve.ghost, "bars": curve.bars}
            | {"dash": curve.dash, "high": curve.high}
            | {"start": 0 if whole else start, "n": len(values)}
        )
        blobs.append(values.tobytes())
    header["clouds"], arrays = pack_clouds(clouds, n)
    return header, blobs + arrays


def _check_color(color: str) -> None:
    if color not in COLORS:
        raise ValueError(f"{color!r} is no concept; they are {', '.join(COLORS)}")


def _join(header: dict[str, Any], blobs: list[bytes]) -> bytes:
    """Lay out what the browser reads: header length, header, then each array from a multiple of 4.

    The browser computes the offsets itself, from the shapes in the header.
    """
    text = json.dumps(header, ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    padded = (blob + b"\0" * (-len(blob) % 4) for blob in blobs)
    return b"".join((struct.pack("<I", len(text)), text, *padded))
