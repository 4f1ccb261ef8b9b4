"""Named recipes overrule what they name, and nothing else."""

from __future__ import annotations

import pytest

from lure_core import presets
from lure_core.config import Recipe, Unlearn
from lure_core.errors import ConfigError

RECIPE = Recipe(epochs=30, batch_size=32, momentum=0.8)
UNLEARN = Unlearn(strategy="scratch", fraction=0.3)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_recipe_holds_valid_settings(name: str) -> None:
    recipe, unlearn = presets.apply(name, RECIPE, UNLEARN)
    assert recipe.learn_epochs == presets.apply(name, recipe, unlearn)[0].learn_epochs
    assert unlearn.strategy != "scratch"


def test_what_a_recipe_does_not_name_stays() -> None:
    recipe, unlearn = presets.apply("frugal", RECIPE, UNLEARN)
    assert (recipe.batch_size, recipe.momentum, unlearn.fraction) == (32, 0.8, 0.3)


def test_the_frugal_recipe_learns_for_a_third_and_relearns_half_the_past_for_a_sixth() -> None:
    recipe, unlearn = presets.apply("frugal", RECIPE, UNLEARN)
    assert (recipe.learn_epochs, recipe.epochs, recipe.old_share) == (10, 5, 0.5)
    assert unlearn.strategy == "fire"


def test_a_first_chunk_with_epochs_of_its_own_keeps_them() -> None:
    recipe, _ = presets.apply("frugal", Recipe(epochs=30, learn_epochs=40), UNLEARN)
    assert (recipe.learn_epochs, recipe.epochs) == (40, 5)


def test_relearning_takes_an_epoch_at_least() -> None:
    assert presets.apply("frugal", Recipe(epochs=1), UNLEARN)[0].epochs == 1


def test_the_papers_recipe_is_the_papers() -> None:
    recipe, unlearn = presets.apply("paper", RECIPE, UNLEARN)
    drops = [round(recipe.epochs * milestone) for milestone in recipe.milestones]
    assert (recipe.epochs, recipe.batch_size, drops) == (50, 64, [20, 40])
    assert (unlearn.strategy, unlearn.fraction) == ("lure", 0.2)


def test_an_unknown_recipe_is_told_the_near_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean frugal"):
        presets.apply("frugle", RECIPE, UNLEARN)
    with pytest.raises(ConfigError, match="there are standard, paper, frugal"):
        presets.apply("zzz", RECIPE, UNLEARN)
