"""What an uploaded file costs at worst: seconds of one core, and megabytes at the peak.

`python -m benchmarks.uploads` reads the hostile files of the tests, each as a gray picture, as a
colour picture and as a digit, each time in a process of its own, and prints the dearest.
"""

from __future__ import annotations

import warnings

from tests.core.hostile_files import FILES, measure

LINES = 12


def main() -> None:
    """Measure all, print the slowest."""
    warnings.simplefilter("ignore")
    reports = [report for name in FILES for report in measure(name)]
    print(f"{len(reports)} readings of {len(FILES)} files; the {LINES} slowest")
    print(f"{'s':>6} {'MB':>5} {'file kB':>8}  what came of it")
    for report in sorted(reports, key=lambda r: -float(str(r["seconds"])))[:LINES]:
        told = report["told"]
        came = told[0] if isinstance(told, list) else ""
        size = float(str(report["bytes"])) / 1000
        print(
            f"{report['seconds']:6.2f} {report['megabytes']:5.0f} {size:8.0f}  "
            f"{came}: {report['name']}, {report['as']}"
        )
    print(f"most memory: {max(float(str(r['megabytes'])) for r in reports):.0f} MB")


if __name__ == "__main__":
    main()
