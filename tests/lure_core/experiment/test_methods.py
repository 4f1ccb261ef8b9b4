"""What the names of methods stand for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lure_core import presets
from lure_core.errors import ConfigError
from lure_core.experiment import methods
from tests.lure_core.experiment.making import create_experiment

SETTINGS = create_experiment(
    recipe={"epochs": 10},
    unlearn={"fraction": 0.3},
    replay={"kind": "buffer", "capacity": 77},
    custom={
        "deep": {"unlearn": {"strategy": "lure", "fraction": 0.5}, "recipe": {"ema": 0.9}},
        "bare": {"replay": {"kind": "none"}},
        "odd": {"unlearn": {"strategy": "lur"}},
        "wrong": {"learn": {}},
        "flat": {"recipe": 3},
        "warm": {},
    },
)


@pytest.mark.parametrize("name", methods.STRATEGIES)
def test_every_strategy_is_a_method(name: str) -> None:
    method = methods.resolve(name, SETTINGS) if name != "warm" else None
    if method:
        assert (method.unlearn.strategy, method.unlearn.fraction) == (name, 0.3)
        assert (method.recipe.learn_epochs, method.recipe.epochs) == (10, 10)
        assert method.replay.capacity == 77


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("shrink-perturb:dash", "preset", "dash"),
        ("shrink-perturb:interpolate", "preset", "interpolate"),
        ("fire:paper", "scale", "paper"),
        ("lure:abs_batch", "saliency", "abs_batch"),
    ],
)
def test_a_variant_follows_a_colon(name: str, field: str, value: str) -> None:
    method = methods.resolve(name, SETTINGS)
    assert method.unlearn.strategy == name.partition(":")[0]
    assert getattr(method.unlearn, field) == value


def test_a_named_recipe_is_a_method() -> None:
    method = methods.resolve("frugal", SETTINGS)
    recipe, unlearn = presets.apply("frugal", SETTINGS.recipe, SETTINGS.unlearn)
    assert method.recipe == replace(recipe, learn_epochs=recipe.epochs)
    assert method.unlearn == unlearn


def test_a_method_of_ones_own_overrules_the_sections() -> None:
    deep, bare = (methods.resolve(name, SETTINGS) for name in ("deep", "bare"))
    assert (deep.unlearn.fraction, deep.recipe.ema, deep.recipe.epochs) == (0.5, 0.9, 10)
    assert deep.replay.capacity == 77
    assert (bare.replay.kind, bare.unlearn.fraction) == ("none", 0.3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("shrink-pertub", "did you mean shrink-perturb"),
        ("deap", "did you mean deep"),
        ("frugl", "did you mean frugal"),
        ("fire:papers", "did you mean paper"),
        ("scratch:fast", "scratch has no variants"),
        ("odd", "unlearn.strategy must be"),
        ("wrong", "must be an object of unlearn, recipe, replay"),
        ("flat", "flat.recipe must be an object"),
        ("warm", "that name is taken"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        methods.resolve(name, SETTINGS)


@pytest.mark.parametrize(("budget", "epochs"), [("1", 10), ("1/5", 2), ("1/100", 1), ("2", 20)])
def test_a_budget_scales_relearning_only(budget: str, epochs: int) -> None:
    recipe = methods.resolve("lure", SETTINGS).recipe_at(budget)
    assert (recipe.learn_epochs, recipe.epochs) == (10, epochs)


def test_what_a_method_is_can_be_written_as_json() -> None:
    values: dict[str, Any] = methods.resolve("deep", SETTINGS).to_dict()
    assert values["unlearn"]["fraction"] == 0.5
    assert set(values) == {"unlearn", "recipe", "replay"}
