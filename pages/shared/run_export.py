"""A run to take away: moving picture, strip, table of numbers, script, notebook. No Streamlit."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from diffusion_core.step_table import StepNumbers
from pages.shared.bench import Rule, Shot, Start

MOST_GIF_FRAMES = 101
STRIP_COLUMNS = 9
_SCALE = 2  # of the GIF
_GAP = 8
_BAR = 18  # pixels for a line of text


def gif(shots: Sequence[Sequence[Shot]], times: Sequence[int]) -> bytes:
    """The run as a GIF: x_t and x0_hat of every row side by side; it rests on the last frame."""
    picked = spread(len(shots), MOST_GIF_FRAMES)
    frames = []
    for i in picked:
        sheets = [s for shot in shots[i] for s in (shot.x_t, shot.x0)]
        big = [np.kron(s, np.ones((_SCALE, _SCALE), np.uint8)) for s in sheets]
        page = _titled([(f"t = {times[i]}", _row(big))])
        # Even grays only: the format needs a colour to spare for "as in the frame before".
        frames.append(page.point([v - v % 2 for v in range(256)]))
    out = io.BytesIO()
    pause = max(40, 5000 // len(frames))
    durations = [pause] * (len(frames) - 1) + [2500]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return out.getvalue()


def strip(shots: Sequence[Sequence[Shot]], times: Sequence[int], names: Sequence[str]) -> bytes:
    """The run as one PNG: time from left to right, a line of x_t and one of x0_hat per row."""
    picked = spread(len(shots), STRIP_COLUMNS)
    lines = []
    for row, name in enumerate(names):
        of = f"{_plain(name)}: " if len(names) > 1 else ""
        for what, label in (("x_t", "x_t"), ("x0", "x0_hat")):
            sheets = [getattr(shots[i][row], what) for i in picked]
            at = ", ".join(str(times[i]) for i in picked)
            lines.append((f"{of}{label} at t = {at}", _row(sheets)))
    out = io.BytesIO()
    _titled(lines).save(out, "PNG", optimize=True)
    return out.getvalue()


def spread(count: int, most: int) -> list[int]:
    """Indices of at most `most` of `count` things, evenly spread, the first and last among them."""
    return sorted({round(float(i)) for i in np.linspace(0, count - 1, min(count, most))})


def _row(sheets: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((sheets[0].shape[0], _GAP), 255, np.uint8)
    parts = [part for sheet in sheets for part in (sheet, gap)][:-1]
    return np.concatenate(parts, axis=1)


def _titled(lines: Sequence[tuple[str, np.ndarray]]) -> Image.Image:
    """Gray pictures under each other, each under a line of text, on white."""
    width = max(picture.shape[1] for _, picture in lines) + 2 * _GAP
    height = sum(picture.shape[0] + _BAR + _GAP for _, picture in lines)
    sheet = Image.new("L", (width, height), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    top = 0
    for text, picture in lines:
        draw.text((_GAP, top + 2), text, fill=0, font=font)
        sheet.paste(Image.fromarray(picture), (_GAP, top + _BAR))
        top += picture.shape[0] + _BAR + _GAP
    return sheet


def _plain(text: str) -> str:
    """A name in letters that every font has."""
    for sign, word in (("x̂₀", "x0"), ("ε̂", "eps"), ("η", "eta"), ("β", "beta"), ("−", "-")):
        text = text.replace(sign, word)
    return text.replace("×", "x")


def table(shots: Sequence[Sequence[Shot]], names: Sequence[str]) -> str:
    """The numbers of every step as CSV: one line per step and run; empty where there is none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["run", "step", *StepNumbers._fields])
    for row, name in enumerate(names):
        for i, shot in enumerate(shots):
            numbers = ["" if n is None else f"{n:.7g}" for n in shot[row].numbers]
            writer.writerow([_plain(name), i, *numbers])
    return out.getvalue()


class Recipe:
    """The code that makes a run again with `diffusion_core`, as a script and as a notebook.

    Args:
        start: what all rows share.
        rules: one per row.
        networks: name of the network of each row.
        hashes: sha256 of the weights of each row.
    """

    def __init__(
        self, start: Start, rules: Sequence[Rule], networks: Sequence[str], hashes: Sequence[str]
    ) -> None:
        self.start, self.rules = start, rules
        self.networks, self.hashes = networks, hashes

    def script(self) -> str:
        """A Python file that writes one PNG per row beside itself."""
        about = f'"""{self._title()}\n\n{_HOW}\n"""\n\n'
        return about + "\n\n".join(self._cells()) + "\n"

    def notebook(self) -> str:
        """The same as a Jupyter notebook (nbformat 4)."""
        text = {"cell_type": "markdown", "metadata": {}, "source": [f"# {self._title()}\n", _HOW]}
        cells = [text, *(_code_cell(code) for code in self._cells())]
        cells += [_code_cell("sheet")]  # what a cell ends with is shown
        for i, cell in enumerate(cells):
            cell["id"] = f"cell-{i}"
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        book = {
            "cells": cells,
            "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        return json.dumps(book, indent=1, ensure_ascii=False) + "\n"

    def _title(self) -> str:
        names = " and ".join(rule.name for rule in self.rules)
        return f"{self.start.count} digits: {names}, {self.start.steps} steps."

    def _cells(self) -> list[str]:
        return [self._setting(), *map(self._run, range(len(self.rules)))]

    def _setting(self) -> str:
        start = self.start
        label = {"any": "None", "each": f"torch.arange({start.count}) % 10"}.get(
            start.digit, f"torch.full(({start.count},), {start.digit})"
        )
        early = any(rule.early for rule in self.rules)
        lines = [
            "import torch",
            "from PIL import Image",
            "",
            "from diffusion_core.checkpoints import load",
            "from diffusion_core.datasets import to_uint8",
            *(["from diffusion_core.mistakes import wrong_index"] if early else []),
            "from diffusion_core.samplers import sample",
            "from diffusion_core.schedules import evenly_spaced",
            "",
            f"label = {label}  # the digits asked for",
            f"noise = torch.Generator().manual_seed({start.seed})",
            f"x_T = torch.randn({start.count}, 1, 28, 28, generator=noise)",
        ]
        return "\n".join(lines)

    def _run(self, row: int) -> str:
        rule, side = self.rules[row], round(self.start.count**0.5)
        options = {k: v for k, v in rule.options.items() if v is not None}
        arguments = [
            "denoiser.diffusion",
            "wrong_index(denoiser)" if rule.early else "denoiser",
            "x_T",
            f"evenly_spaced(denoiser.diffusion.T, {self.start.steps})",
            *(f"{key}={_literal(value)}" for key, value in options.items()),
            "label=label",
            f"generator=torch.Generator().manual_seed({rule.fresh_seed(self.start.seed)})",
        ]
        lines = [
            f"# {rule.name}",
            f'denoiser, card = load("{self.networks[row]}")',
            f'if card.fields["sha256"] != "{self.hashes[row]}":',
            '    print("The weights are not those of the run; the pictures will differ.")',
            "for step in sample(",
            *(f"    {argument}," for argument in arguments),
            "):",
            '    print(f"t = {step.t:4d}   x_t: mean {step.x_t.mean():+.3f}, '
            'spread {step.x_t.std():.3f}")',
            "",
            f"digits = to_uint8(step.x_t)  # [{self.start.count}, 28, 28]",
            f"rows = digits.reshape({side}, {side}, 28, 28).transpose(1, 2)",
            f"sheet = Image.fromarray(rows.reshape({28 * side}, {28 * side}).numpy())",
            f'sheet.save("run_{row + 1}.png")',
        ]
        return "\n".join(lines)


_HOW = (
    "It makes a run of the page “Reverse sampling” again. In a checkout of the project, after\n"
    "`pip install -e .`, it prints a line per step and writes run_1.png (and run_2.png)."
)


def _literal(value: object) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _code_cell(code: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": code.splitlines(keepends=True),
    }
