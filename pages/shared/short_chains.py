"""What to know of a schedule that is cut into few steps."""

from __future__ import annotations

from diffusion_core.schedules import MAX_BETA, SCHEDULES


def capped(name: str, T: int) -> str:
    """One sentence on betas that are cut off, "" where that is the last of them at most.

    Args:
        name: key of `SCHEDULES`.
        T: steps.
    """
    cut = (SCHEDULES[name](T).beta[1:] > MAX_BETA - 1e-9).nonzero()[:, 0] + 1
    if len(cut) < 2:
        return ""
    return (
        f"In {T} steps this schedule's betas would pass 1 from t = {int(cut[0])} on; they are "
        f"capped at {MAX_BETA}, and next to no signal is left from there."
    )
