"""What a method's name stands for: how it unlearns, trains and replays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any, TypeVar, get_args, get_type_hints

from lure_core import presets
from lure_core.config import Recipe, Replay, StrategyName, Unlearn
from lure_core.errors import ConfigError
from lure_core.experiment.settings import Experiment
from lure_core.presets import near

S = TypeVar("S", Recipe, Unlearn, Replay)

STRATEGIES: tuple[str, ...] = get_args(StrategyName)

_VARIANT_FIELD = {"shrink-perturb": "preset", "fire": "scale", "lure": "saliency"}
"""What comes after the colon, by strategy: a field of `Unlearn`."""


@dataclass(frozen=True)
class Method:
    """A name and all that it stands for.

    Attributes:
        recipe: With `learn_epochs` set, and `epochs` for the full budget.
    """

    name: str
    unlearn: Unlearn
    recipe: Recipe
    replay: Replay

    def recipe_at(self, budget: str) -> Recipe:
        """With the epochs that a budget leaves for relearning, at least one."""
        epochs = max(1, round(self.recipe.epochs * Fraction(budget)))
        return replace(self.recipe, epochs=epochs)

    def to_dict(self) -> dict[str, Any]:
        return {
            "unlearn": self.unlearn.to_dict(),
            "recipe": self.recipe.to_dict(),
            "replay": self.replay.to_dict(),
        }


def resolve(name: str, settings: Experiment) -> Method:
    """Look a method up: among one's own, the named recipes, the strategies.

    Raises:
        ConfigError: Nothing has that name; names the near ones.
    """
    if name in settings.custom:
        return _of_ones_own(name, settings)
    recipe, unlearn = settings.recipe, settings.unlearn
    if name in presets.PRESETS:
        recipe, unlearn = presets.apply(name, recipe, unlearn)
    else:
        unlearn = replace(unlearn, **_strategy(name, settings))
    return Method(name, unlearn, _with_learn_epochs(recipe), settings.replay)


def _strategy(name: str, settings: Experiment) -> dict[str, Any]:
    strategy, colon, variant = name.partition(":")
    if strategy not in STRATEGIES:
        known = dict.fromkeys([*STRATEGIES, *presets.PRESETS, *settings.custom])
        raise ConfigError(f"experiment.methods: there is no {name!r}{near(strategy, known)}")
    if not colon:
        return {"strategy": strategy}
    if strategy not in _VARIANT_FIELD:
        raise ConfigError(f"experiment.methods: {strategy} has no variants, as in {name!r}")
    field = _VARIANT_FIELD[strategy]
    variants = dict.fromkeys(get_args(get_type_hints(Unlearn)[field]))
    if variant not in variants:
        raise ConfigError(f"experiment.methods: there is no {name!r}{near(variant, variants)}")
    return {"strategy": strategy, field: variant}


def _of_ones_own(name: str, settings: Experiment) -> Method:
    sections = ("unlearn", "recipe", "replay")
    given = settings.custom[name]
    where = f"experiment.custom.{name}"
    if name in STRATEGIES or name in presets.PRESETS:
        raise ConfigError(f"{where}: that name is taken; choose another")
    if not isinstance(given, Mapping) or not set(given) <= set(sections):
        raise ConfigError(f"{where} must be an object of {', '.join(sections)}, not {given!r}")
    recipe = _overruled(settings.recipe, given.get("recipe", {}), where)
    unlearn = _overruled(settings.unlearn, given.get("unlearn", {}), where)
    replay = _overruled(settings.replay, given.get("replay", {}), where)
    return Method(name, unlearn, _with_learn_epochs(recipe), replay)


def _overruled(section: S, by: Any, where: str) -> S:
    if not isinstance(by, Mapping):
        raise ConfigError(f"{where}.{section.section} must be an object, not {by!r}")
    known = {f.name: getattr(section, f.name) for f in fields(section)}
    return type(section).from_dict(known | dict(by))


def _with_learn_epochs(recipe: Recipe) -> Recipe:
    """The first chunk is learned in full whatever the budget for relearning."""
    return replace(recipe, learn_epochs=recipe.learn_epochs or recipe.epochs)
