"""The learning rate of every step."""

from __future__ import annotations

from lure_core.config import Recipe


def learning_rate(recipe: Recipe, *, step: float, steps_per_epoch: int, epochs: int) -> float:
    """The learning rate of one step, counted from 0 over all epochs.

    In an epoch of fewer steps, as dynamic pruning makes them, a step counts for more than one:
    `step` need be no whole number.
    """
    if recipe.schedule == "step":  # never below the full rate in the first epoch
        epoch = step // steps_per_epoch
        passed = sum(epoch >= max(1, round(fraction * epochs)) for fraction in recipe.milestones)
        return recipe.learning_rate * recipe.gamma**passed
    total = steps_per_epoch * epochs
    warm_up = max(1, total // 10)
    return recipe.learning_rate * min((step + 1) / warm_up, (total - step) / (total - warm_up + 1))
