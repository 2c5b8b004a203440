"""What the page on schedules says and shows of networks at the last steps, measured on them."""

import numpy as np
import pytest

from pages.shared.schedule_ends import BRIGHTNESS, NETWORKS, SHEET, mean_back, noise
from pages.shared.schedule_ends import sheet as shipped
from tools.schedule_ends import final_digits, first_mean, sheet


def test_the_sheet_is_what_the_networks_make() -> None:
    """But for rounding, which another machine's arithmetic may do differently, a few steps long."""
    drawn = sheet().astype(int)
    kept = shipped().reshape(drawn.shape).astype(int)
    assert np.abs(drawn - kept).mean() < 1
    assert SHEET.stat().st_size < 20_000


@pytest.mark.parametrize("up", [False, True])
def test_steps_counted_up_from_1_make_bright_digits(up: bool) -> None:
    """Brightness in 5 steps from the same noise."""
    shown = BRIGHTNESS["up" if up else "down"]
    assert float(final_digits(up).mean()) == pytest.approx(shown, abs=0.01)


@pytest.mark.parametrize(("name", "spread"), NETWORKS.items())
def test_the_first_step_back_multiplies_the_error_only(name: str, spread: float) -> None:
    """Its mean, from the network's noise unclipped."""
    assert float(first_mean(name).std()) == pytest.approx(spread, rel=0.1)


def test_all_four_pictures_are_of_one_noise() -> None:
    """digits-eps errs, but on the side of the right answer: its mean resembles it."""
    right = mean_back(noise(3), noise(3)).numpy().ravel()
    theirs = first_mean("digits-v")[0].numpy().ravel()
    assert np.corrcoef(right, theirs)[0, 1] > 0.5
