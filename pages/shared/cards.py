"""Reading and drawing the cards in pretrained/*/card.json; a broken card becomes a sentence."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st
from PIL import Image

from diffusion_core.hashes import SEAL, file_sha256, is_sealed
from pages.shared.card_list import ABOUT, headline, used_on
from pages.shared.chapter import prose

_SHOWN = {  # key -> label, in the order they are read
    "parameters": "Parameters",
    "bytes": "File size",
    "dtype": "Number format",
    "data": "Trained on",
    "licence": "Data licence",
    "steps": "Training steps",
    "images_seen": "Pictures seen",
    "wall_seconds": "Training time",
    "machine": "Machine",
    "seed": "Seed",
    "sha256": "SHA-256 of the weights",
    "gallery_sha256": "SHA-256 of the gallery",
    "needs": "Needs",
}
_METRIC_COLUMNS = {
    "name": "Measured",
    "value": "Value",
    "samples": "Samples",
    "setting": "Setting",
    "reference": "Compare with",
}
_GALLERY_WIDTH = 400  # pixels at most, unless the picture itself is wider
_ELSEWHERE = {"name", "title", "status", "recipe", "metrics", "limits", "history", SEAL}


@dataclass(frozen=True)
class ModelCard:
    """One network's folder: its fields, or the sentence that says why they can't be read."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    gallery: Path | None = None
    problem: str | None = None
    warning: str = ""


def read_cards(folder: Path) -> list[ModelCard]:
    """Read the card of every network under `folder`, by name; never raises for a bad card."""
    if not folder.is_dir():
        return []
    return [_read_card(path) for path in sorted(folder.iterdir()) if path.is_dir()]


def _read_card(folder: Path) -> ModelCard:
    gallery = folder / "gallery.png"
    shown = gallery if gallery.is_file() else None
    try:
        fields = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ModelCard(folder.name, gallery=shown, problem="it has no card.json.")
    except (OSError, ValueError):  # ValueError: not JSON, or not UTF-8
        return ModelCard(folder.name, gallery=shown, problem="its card.json can't be read as JSON.")
    if not isinstance(fields, dict):
        return ModelCard(folder.name, gallery=shown, problem="its card.json is not a JSON object.")
    if not is_sealed(fields):
        return ModelCard(folder.name, problem="its card.json was changed after it was written.")
    if shown and fields.get("gallery_sha256", "") not in ("", file_sha256(shown)):
        return ModelCard(folder.name, problem="its gallery.png is not the one on its card.")
    return ModelCard(folder.name, fields, shown, warning=_about_weights(folder, fields))


def _about_weights(folder: Path, fields: Mapping[str, Any]) -> str:
    """Why the app can't run this network, or ""."""
    weights = folder / "weights.safetensors"
    if not weights.is_file():
        return "Its weights are not here, so the app can't run it."
    told = weights.stat()
    if _hash(str(weights), told.st_mtime_ns, told.st_size) == fields.get("sha256"):
        return ""
    return "Its weights are not the ones on this card, so the app doesn't run it."


@lru_cache(maxsize=64)
def _hash(path: str, changed: int, size: int) -> str:
    """A file's SHA-256, computed anew when its time or size has changed."""
    return file_sha256(Path(path))


def draw_card(card: ModelCard) -> None:
    """Draw one card: title, gallery beside the limits; facts and metrics in a fold, recipe, too."""
    with st.container(border=True, key=f"card_{card.name}"):
        st.subheader(headline(card.fields, card.name), anchor=card.name)
        st.caption(f"`{card.name}`{_status(card.fields.get('status'))}")
        if card.problem:
            prose(f"This network can't be described: {card.problem}")
            return
        if card.warning:
            st.warning(card.warning, icon=":material/warning:")
        about = st.container()
        if card.gallery is not None:
            left, about = st.columns([2, 3], gap="medium")
            with left:
                _draw_gallery(card.gallery, card.name)
        told = [f"Runs on: {used_on(card.name)}."] * bool(used_on(card.name))
        told += [ABOUT[card.name]] if card.name in ABOUT else []
        lines = "".join(f'<p class="card-note">{line}</p>' for line in told)
        if told_all := lines + _limits(card.fields.get("limits")):
            about.html(told_all)
        st.html(
            '<details class="fold"><summary>How it was trained, and all that was measured'
            f"</summary>{_facts(card.fields)}{_measured(card.fields.get('metrics'))}</details>"
        )
        for key, label in (("recipe", "The recipe"), ("history", "How it got here")):
            if card.fields.get(key):
                with st.expander(label):
                    st.code(json.dumps(card.fields[key], indent=2, ensure_ascii=False), "json")


def plain(value: object) -> str:
    """One value as a person writes it."""
    if value is None:
        return "not stated"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def duration(seconds: float) -> str:
    """Seconds as hours and minutes."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _value(key: str, value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and key == "bytes":
        return f"{value / 1e6:,.1f} MB"
    if is_number and key == "wall_seconds":
        return duration(value)
    if is_number and key == "seed":
        return str(value)
    if key == "needs" and isinstance(value, dict):
        return ", ".join(f"the network {name}, SHA-256 {sha}" for name, sha in value.items())
    return plain(value)


def _status(status: object) -> str:
    if status == "partial":
        return " · partial: its training is not finished, and its numbers are to improve"
    return f" · {plain(status)}" if status else ""


def _facts(fields: Mapping[str, Any]) -> str:
    known = [(label, _value(key, fields[key])) for key, label in _SHOWN.items() if key in fields]
    unknown = [
        (key.replace("_", " ").capitalize(), plain(value))
        for key, value in fields.items()
        if key not in _SHOWN and key not in _ELSEWHERE
    ]
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in known + unknown if v)
    return f'<dl class="facts">{rows}</dl>' if rows else "<p>The card states nothing more.</p>"


def _draw_gallery(path: Path, name: str) -> None:
    try:
        with Image.open(path) as picture:
            width = picture.width
            picture.verify()
    except (OSError, ValueError, SyntaxError):  # SyntaxError: how Pillow calls a damaged PNG
        st.caption("Its gallery can't be shown: the file is not a readable picture.")
        return
    st.image(
        str(path),
        output_format="PNG",
        width=width * max(1, _GALLERY_WIDTH // width),  # whole-number magnification
        alt=f"Pictures made by {name}",
    )
    st.caption("Made by the network itself.")


def _measured(metrics: object) -> str:
    rows = [m for m in metrics if isinstance(m, dict)] if isinstance(metrics, list) else []
    if not rows:
        return "<p>Nothing was measured yet.</p>"
    head = "".join(f"<th scope='col'>{label}</th>" for label in _METRIC_COLUMNS.values())
    body = "".join(f"<tr>{_metric_cells(row)}</tr>" for row in rows)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Measurements">'
        f'<table class="metrics"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _metric_cells(metric: Mapping[str, Any]) -> str:
    cells = []
    for key in _METRIC_COLUMNS:
        text = plain(metric[key]) if metric.get(key) is not None else ""
        if key == "reference":
            text = re.sub(r"^floor\b", "real digits:", text)
        if key == "value" and metric.get("unit"):
            text += f" {plain(metric['unit'])}"
        cells.append(f"<td>{escape(text)}</td>")
    more = {k: v for k, v in metric.items() if k not in _METRIC_COLUMNS and k != "unit"}
    if more:
        note = "; ".join(f"{k.replace('_', ' ')}: {plain(v)}" for k, v in more.items())
        cells[-1] = cells[-1].replace("</td>", f" <small>{escape(note)}</small></td>")
    return "".join(cells)


def _limits(limits: object) -> str:
    items = [limits] if isinstance(limits, str) else limits
    if not (isinstance(items, list) and items):
        return ""
    rows = "".join(f"<li>{escape(plain(item))}</li>" for item in items)
    return f'<h4 class="limits">What to know before trusting it</h4><ul class="limits">{rows}</ul>'


def recognised_at_scales(fields: Mapping[str, Any]) -> dict[float, Mapping[str, Any]]:
    """Guidance scale -> how many digits were recognised as asked after 25 DDIM steps, by the card.

    Args:
        fields: of the card of a network of digits.

    Returns:
        The card's metrics, with "value" and "samples"; 1.0 is without guidance.
    """
    found: dict[float, Mapping[str, Any]] = {}
    for metric in fields.get("metrics") or []:
        told, _, scale = str(metric.get("setting", "")).partition(", guidance ")
        plain = told.startswith("ddim, 25 steps, ") and told.count(", ") == 2
        if plain and metric.get("name") == "recognised as its class":
            found[float(scale or 1)] = metric
    return found
