"""Settings are checked when they are built, and say what is wrong with them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from lure_core.config import CycleConfig, InputSpec, Normalisation, Recipe, Unlearn
from lure_core.errors import ConfigError
from tests.lure_core.making import create_config


def test_a_config_survives_json() -> None:
    config = create_config()
    assert CycleConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_defaults_are_the_papers() -> None:
    recipe, unlearn = Recipe(), Unlearn()
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (50, 64, 0.1)
    assert (recipe.milestones, recipe.gamma, recipe.weight_decay) == ((0.4, 0.8), 0.1, 1e-4)
    assert (unlearn.strategy, unlearn.fraction, unlearn.subset_min) == ("lure", 0.2, 512)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"epochs": 0}, "recipe.epochs"),
        ({"epochs": True}, "recipe.epochs"),
        ({"epochs": "3"}, "recipe.epochs"),
        ({"batch_size": 1}, "recipe.batch_size"),
        ({"learning_rate": float("nan")}, "recipe.learning_rate"),
        ({"schedule": "cosine"}, "'step' or 'linear'"),
        ({"milestones": [0.8, 0.4]}, "recipe.milestones"),
        ({"milestones": ["a"]}, "recipe.milestones"),
        ({"augmentation": "cutout"}, "recipe.augmentation"),
        ({"learn_epochs": 1.5}, "recipe.learn_epochs"),
        ({"seed": -1}, "recipe.seed"),
        ({"epoch": 3}, "'epoch'"),
    ],
)
def test_a_bad_recipe_is_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Recipe.from_dict(values)


@pytest.mark.parametrize(
    "build",
    [
        lambda: InputSpec(2, 8, 8),
        lambda: InputSpec(1, 7, 8),
        lambda: InputSpec.from_dict({"channels": 1, "height": 8}),
        lambda: InputSpec.from_dict([1, 8, 8]),  # type: ignore[arg-type]
        lambda: Normalisation((0.5,), (0.0,)),
        lambda: Normalisation((0.5, 0.5), (0.1, 0.1)),
        lambda: Unlearn(fraction=1.5),
        lambda: Unlearn(candidates=("auto",)),
        lambda: create_config(classes=["a", "a"]),
        lambda: create_config(classes=[]),
        lambda: create_config(device="tpu"),
        lambda: create_config(normalisation={"mean": [0.5] * 3, "std": [0.1] * 3}),
    ],
)
def test_values_out_of_range_are_refused(build: Any) -> None:
    with pytest.raises(ConfigError):
        build()


def test_a_choice_that_is_misspelled_is_told_the_near_ones() -> None:
    with pytest.raises(ConfigError) as refusal:
        Unlearn.from_dict({"strategy": "shrink-pertrub"})
    said = str(refusal.value)
    assert said.startswith("unlearn.strategy must be one of 'lure', ")
    assert said.endswith("not 'shrink-pertrub'; did you mean 'shrink-perturb'?")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("epoch", "recipe knows no 'epoch'; did you mean epochs?"),
        ("learning_rates", "did you mean learning_rate or learn_epochs?"),
        ("zzz", "recipe knows no 'zzz'; it has epochs, batch_size, "),
        (3, "recipe knows no 3; it has epochs, batch_size, "),
    ],
)
def test_an_unknown_key_is_told_the_near_ones(key: Any, words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Recipe.from_dict({key: 3})
    assert words in str(refusal.value)


def test_settings_and_types_need_no_torch() -> None:
    code = "import sys, lure_core.config, lure_core.types; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
