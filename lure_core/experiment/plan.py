"""Which runs an experiment is made of, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from urllib.parse import quote

from lure_core.experiment import methods
from lure_core.experiment.settings import Experiment

FULL = "1"
REFERENCE, CONTROL = "scratch", "random-reset"
"""What every method is measured against: retraining, and a reset of as many weights by chance."""


@dataclass(frozen=True, order=True)
class Run:
    """One method from one seed over all chunks.

    Attributes:
        budget: Share of the epochs that relearning gets, as a fraction in lowest terms.
        noise: Share of wrong labels.
    """

    method: str
    seed: int
    budget: str = FULL
    noise: float = 0.0

    @property
    def id(self) -> str:
        """Unlike that of any other run, and fit for a file's name."""
        budget = self.budget.replace("/", "-")
        method = quote(self.method, safe="")
        return f"{method}_seed{self.seed}_budget{budget}_noise{self.noise}"


def runs(settings: Experiment) -> list[Run]:
    """All runs, seed by seed, so that whatever is finished compares all methods.

    Raises:
        ConfigError: A method is not known.
    """
    budgets = _budgets(settings)
    planned = [
        Run(method, seed, budget, float(noise))
        for seed in settings.seeds
        for noise in settings.label_noise
        for budget in budgets
        for method in _methods(settings, budget)
    ]
    for method in {run.method: None for run in planned}:
        methods.resolve(method, settings)
    return list(dict.fromkeys(planned))


def _budgets(settings: Experiment) -> list[str]:
    asked = [str(Fraction(budget)) for budget in settings.budgets]
    return list(dict.fromkeys([FULL, *asked] if settings.controls else asked))


def _methods(settings: Experiment, budget: str) -> Sequence[str]:
    asked = settings.methods
    if budget not in [str(Fraction(budget)) for budget in settings.budgets]:
        return [REFERENCE]  # at the full budget, to compare with
    unasked = [REFERENCE, CONTROL] if settings.controls else []
    return list(dict.fromkeys([*unasked, *asked]))
