"""What is trained: records that can be compared, and that lead back to fresh weights."""

from dataclasses import asdict

import pytest

from diffusion_core.evaluation import ABOUT, METRICS, history
from diffusion_core.recipes import RECIPES
from diffusion_core.training import TASKS, WEIGHTINGS

TARGETS = ("eps", "x0", "v")


@pytest.mark.parametrize("target", TARGETS)
def test_networks_that_are_compared_differ_in_the_target_alone(target: str) -> None:
    """Steps, data order, noise and start are the same: they follow from the other fields."""
    one, other = asdict(RECIPES["digits-eps"]), asdict(RECIPES[f"digits-{target}"])
    differing = {key for key in one if one[key] != other[key]}
    assert differing == (set() if target == "eps" else {"name", "parameterization"})
    assert other["parameterization"] == target


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_what_exists(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.task in TASKS
    assert recipe.task in METRICS
    assert recipe.task in ABOUT
    assert recipe.weighting in WEIGHTINGS
    assert all(before["start_from"] in {"", *RECIPES} for before in history(recipe))
    assert sum(p.numel() for p in recipe.build().parameters()) < 5_000_000
