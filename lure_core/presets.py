"""Named recipes: settings of training and unlearning that belong together."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lure_core.config import Recipe, Unlearn
from lure_core.errors import ConfigError


@dataclass(frozen=True)
class Preset:
    """What a named recipe overrules; all else stays as it was.

    Attributes:
        recipe: Values of `Recipe`.
        unlearn: Values of `Unlearn`.
        share: How much of the full number of epochs every chunk is learned for.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    unlearn: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0


PRESETS: Mapping[str, Preset] = {
    # The settings as they are, with the paper's unlearning.
    "standard": Preset(unlearn={"strategy": "lure"}),
    # Section 4.1 of arXiv 2303.10455: CIFAR with ResNet-18. All that decides the training, so that
    # it is the paper's whatever it overrules.
    "paper": Preset(
        recipe={
            "epochs": 50,
            "batch_size": 64,
            "learning_rate": 0.1,
            "schedule": "step",
            "milestones": (0.4, 0.8),
            "gamma": 0.1,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "augmentation": "crop-flip",
            "learn_epochs": None,
            "l2_init": 0.0,
            "ema": 0.0,
            "pruning": 0.0,
            "old_share": 1.0,
            "old_by": "loss",
        },
        unlearn={"strategy": "lure", "fraction": 0.2},
    ),
    # The cheapest found that is no worse than retraining in full; docs/results.md has the curve.
    "frugal": Preset(
        recipe={"schedule": "linear", "old_share": 0.5, "old_by": "loss"},
        unlearn={"strategy": "fire", "scale": "init-norm"},
        share=1 / 3,
    ),
}


def apply(
    name: str, recipe: Recipe, unlearn: Unlearn, *, stated: Mapping[str, Any] | None = None
) -> tuple[Recipe, Unlearn]:
    """Overrule settings by a named recipe.

    Args:
        name: The recipe's.
        recipe: How to train; its epochs are the full number, of which the named takes its share.
        unlearn: What to forget.
        stated: Values of `Recipe` that were stated beside the name: they overrule what the named
            recipe says, `epochs` as the full number.

    Raises:
        ConfigError: There is no recipe of that name, or a stated value is out of its range.
    """
    stated = stated or {}
    if name not in PRESETS:
        raise ConfigError(f"there is no recipe {name!r}{near(name, PRESETS)}")
    preset = PRESETS[name]
    full = replace(recipe, **{**preset.recipe, **stated})
    epochs = max(1, round(full.epochs * preset.share))
    return replace(full, epochs=epochs), replace(unlearn, **preset.unlearn)


def near(name: str, known: Mapping[str, Any]) -> str:
    """A hint at names like this one, to follow a complaint; or else all there are."""
    found = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if found:
        return f"; did you mean {' or '.join(found)}?"
    return f"; there are {', '.join(known)}"
