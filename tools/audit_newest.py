"""Known vulnerabilities of the packages that are pinned at their newest release.

`python tools/audit_newest.py PINS`, with a line `name==version` each. tools/audit.sh asks this way
where a mirror of PyPI has each package's own page and none for a single release, which is what
pip-audit reads: the package's page names what is known of its newest release. Of an older pin
nothing can be told so, and it is named. Ends with 1 at a finding; without a network it says so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from pip._internal.models.index import PyPI

Page = Callable[[str], dict[str, Any]]


def page_of(name: str) -> dict[str, Any]:
    """What PyPI says of a package; empty where it can't be had."""
    try:
        with urlopen(f"{PyPI.pypi_url}/{name}/json", timeout=20) as answer:
            told = json.load(answer)
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def audit(pins: list[str], page: Page) -> tuple[dict[str, list[str]], list[str]]:
    """Ask for every pin.

    Args:
        pins: "name==version" each.
        page: gives what is known of a package.

    Returns:
        What is known against each pin that is the newest release, by its identifiers; and the pins
        of which nothing can be told.
    """
    known, untold = {}, []
    with ThreadPoolExecutor(8) as pool:
        for pin, told in zip(pins, pool.map(page, (p.split("==")[0] for p in pins)), strict=True):
            newest = told.get("info", {}).get("version") == pin.split("==")[1]
            if newest and "vulnerabilities" in told:
                known[pin] = [
                    one["id"] for one in told["vulnerabilities"] if not one.get("withdrawn")
                ]
            else:
                untold.append(pin)
    return known, untold


def main(pins: list[str], page: Page = page_of) -> int:
    """Print what was found; 1 where there is a finding."""
    known, untold = audit(pins, page)
    found = {pin: ids for pin, ids in known.items() if ids}
    for pin, ids in found.items():
        print(f"{pin}: {', '.join(ids)}")
    print(
        f"Of {len(pins)} packages {len(known)} are pinned at their newest release, {len(found)} of "
        "them with known vulnerabilities. Not audited, as only newest releases could be asked for: "
        f"{', '.join(untold) or 'none'}."
        if known
        else "PyPI’s list of known vulnerabilities is out of reach: the packages were not audited."
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).read_text(encoding="utf-8").split()))
