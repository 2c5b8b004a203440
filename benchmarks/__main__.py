"""Run benchmarks and keep what they print: `python -m benchmarks [NAME ...]`, on an idle machine.

Without names all are run but `peer_quality`, which trains for hours, and `peer_training`, which
needs diffusers as it does. What each prints replaces the text between its markers in
benchmarks/README.md; what is missing or marked ✗ stands at the top.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.streamlit_client import ROOT

README = ROOT / "benchmarks" / "README.md"
RUNS: dict[str, tuple[str, ...]] = {
    "browser": (),
    "sampling": (),
    "peer_quality": (),
    "peer_training": (),
    "step_profile": (),
    "growth": (),
    "discrete_growth": (),
    "ledger": (),
    "categories": (),
    "uploads": (),
    "gpu": (),
    "classroom": ("10", "30", "60", "--processes", "1", "2", "--capacity", "--churn", "300"),
}
"""Name -> arguments."""
ON_REQUEST = {"peer_quality", "peer_training"}


def machine() -> str:
    """What the figures were measured on, and when."""
    known = Path("/proc/cpuinfo")
    cpu = re.findall(r"model name\s*: (.+)", known.read_text())[:1] if known.exists() else []
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "streamlit"))
    words = [*cpu, f"{os.cpu_count()} cores", torch.backends.cpu.get_cpu_capability()]
    words += [f"Python {platform.python_version()}", packages]
    return f"{date.today().isoformat()}: {', '.join(words)}."


def between(text: str, name: str, new: str) -> str:
    """The text with what stands between the markers of `name` replaced.

    Raises:
        ValueError: where the text has no such markers.
    """
    found = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not found.search(text):
        raise ValueError(f"no markers of {name!r} in {README.name}")
    return found.sub(lambda match: f"{match[1]}\n{new.strip()}\n\n{match[2]}", text)


def short(text: str) -> str:
    """What is missing or marked, as a list, each line with the benchmark that it is from.

    A table that has a line of its own above it, ending in a colon, is named by that.
    """
    rows = []
    for name in RUNS:
        part = text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0].strip()
        above = name
        for line in part.splitlines() or ["Not measured yet."]:
            if line.endswith(":"):
                above = f"{name}, {line.rstrip(':')}"
            if "✗" in line or line.startswith("Not measured"):
                cells = [cell.strip() for cell in line.strip("| ").split("|")]
                rows.append(f"- {above}: {' · '.join(cell for cell in cells if cell)}")
    return "\n".join(rows) or "Nothing."


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RUNS)}")
    names = parser.parse_args().names or [name for name in RUNS if name not in ON_REQUEST]
    if unknown := set(names) - set(RUNS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    for name in names:
        print(f"# {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *RUNS[name]]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, flush=True)
        if done.returncode:
            print(f"{name} ended with {done.returncode}; its table stays as it was.", flush=True)
            continue
        plain = "|" in done.stdout or done.stdout.startswith("Not measured")
        told = done.stdout if plain else f"```text\n{done.stdout}```"
        text = between(README.read_text(), name, f"{machine()}\n\n{told}")
        README.write_text(between(text, "short", short(text)))


if __name__ == "__main__":
    main()
