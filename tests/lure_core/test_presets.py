"""Named recipes overrule what they name, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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


def test_the_frugal_recipe_learns_half_the_past_for_a_third_of_the_epochs() -> None:
    recipe, unlearn = presets.apply("frugal", RECIPE, UNLEARN)
    assert (recipe.learn_epochs, recipe.epochs, recipe.old_share) == (None, 10, 0.5)
    assert unlearn.strategy == "fire"


def test_a_first_chunk_with_epochs_of_its_own_keeps_them() -> None:
    recipe, _ = presets.apply("frugal", Recipe(epochs=30, learn_epochs=40), UNLEARN)
    assert (recipe.learn_epochs, recipe.epochs) == (40, 10)


def test_relearning_takes_an_epoch_at_least() -> None:
    assert presets.apply("frugal", Recipe(epochs=1), UNLEARN)[0].epochs == 1


@pytest.mark.parametrize(
    ("name", "stated", "learn", "relearn"),
    [
        ("standard", {"epochs": 5}, None, 5),
        ("paper", {"epochs": 5}, None, 5),
        ("frugal", {"epochs": 60}, None, 20),
        ("frugal", {"epochs": 60, "learn_epochs": 7}, 7, 20),
        ("frugal", {"learn_epochs": None}, None, 10),
    ],
)
def test_stated_epochs_are_those_that_the_share_is_taken_of(
    name: str, stated: dict[str, Any], learn: int | None, relearn: int
) -> None:
    recipe, _ = presets.apply(name, RECIPE, UNLEARN, stated=stated)
    assert (recipe.learn_epochs, recipe.epochs) == (learn, relearn)


def test_what_is_stated_overrules_the_recipe() -> None:
    recipe, _ = presets.apply("frugal", RECIPE, UNLEARN, stated={"old_share": 0.9, "seed": 4})
    assert (recipe.old_share, recipe.seed, recipe.schedule) == (0.9, 4, "linear")


PAPER = Recipe(
    epochs=50,
    batch_size=64,
    learning_rate=0.1,
    schedule="step",
    milestones=(0.4, 0.8),
    gamma=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    augmentation="crop-flip",
    learn_epochs=None,
    l2_init=0.0,
    ema=0.0,
    pruning=0.0,
    old_share=1.0,
    old_by="loss",
)
OTHER = Recipe(
    epochs=30,
    batch_size=32,
    learning_rate=1.0,
    schedule="linear",
    milestones=(0.3,),
    gamma=0.5,
    momentum=0.8,
    weight_decay=0.1,
    augmentation="none",
    learn_epochs=7,
    l2_init=0.1,
    ema=0.9,
    pruning=0.5,
    old_share=0.5,
    old_by="chance",
)


def test_the_papers_recipe_is_the_papers_whatever_was_set_before() -> None:
    for base in (Recipe(), OTHER):
        recipe, unlearn = presets.apply("paper", base, UNLEARN)
        assert recipe == PAPER
        assert (unlearn.strategy, unlearn.fraction) == ("lure", 0.2)
    drops = [round(PAPER.epochs * milestone) for milestone in PAPER.milestones]
    assert drops == [20, 40]


def test_the_papers_recipe_leaves_how_and_by_which_seed_it_is_computed() -> None:
    base = Recipe(precision="bf16", seed=3, compile=True)
    assert presets.apply("paper", base, UNLEARN)[0] == replace(
        PAPER, precision="bf16", seed=3, compile=True
    )


def test_an_unknown_recipe_is_told_the_near_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean frugal"):
        presets.apply("frugle", RECIPE, UNLEARN)
    with pytest.raises(ConfigError, match="there are standard, paper, frugal"):
        presets.apply("zzz", RECIPE, UNLEARN)
