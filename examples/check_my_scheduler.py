"""Whose noise schedule is this? Give it betas or alphas_cumprod, and it says what they are.

After `pip install -e .`, from a shell, with a file (JSON or CSV) or from a pipe; `--csv` writes the
posterior's tables:

    python examples/check_my_scheduler.py my_betas.json --csv posterior.csv
    python -c "print([0.0001, 0.01, 0.02])" | python examples/check_my_scheduler.py

In a notebook, with anything that holds numbers:

    from check_my_scheduler import check_my_scheduler
    report = check_my_scheduler(scheduler.betas)
    report.schedule.snr            # the same schedule in this package's convention
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from diffusion_core.schedule_check import Kind, Report, check_schedule, posterior_csv


def check_my_scheduler(
    numbers: str | Sequence[float] | Tensor, kind: Kind | None = None, *, quiet: bool = False
) -> Report:
    """Say what a list of numbers is, and return the report.

    Args:
        numbers: betas or alphas_cumprod as a list, an array, a tensor, or JSON or CSV text.
        kind: "betas" or "alphas_cumprod"; worked out from the numbers where not given.
        quiet: print nothing.

    Raises:
        ValueError: with a sentence that says what is wrong with the numbers and where.
    """
    report = check_schedule(numbers, kind)
    if not quiet:
        print("\n".join(report.sentences))
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from a shell; 0 where the numbers are a schedule, 1 where they are not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", nargs="?", default="-", help="JSON or CSV; - reads the pipe")
    parser.add_argument("--kind", choices=["betas", "alphas_cumprod"], help="what the numbers are")
    parser.add_argument("--csv", metavar="FILE", help="write the posterior's tables there")
    given = parser.parse_args(arguments)
    try:
        text = sys.stdin.read() if given.file == "-" else Path(given.file).read_text("utf-8")
        report = check_my_scheduler(text, given.kind)
        if given.csv:
            Path(given.csv).write_text(posterior_csv(report), encoding="utf-8")
            print(f"{given.csv}: the posterior of {report.schedule.T} steps")
    except UnicodeDecodeError:
        print(f"{given.file} is no text.", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
