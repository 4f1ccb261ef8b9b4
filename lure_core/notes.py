"""What is known of a cycle so far, beside its tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lure_core.types import Stage, UnlearnReport


@dataclass
class Notes:
    """What is known so far; travels in the resume state beside the tensors."""

    stage: Stage = "prequential"
    prequential_accuracy: float | None = None
    unlearn: UnlearnReport | None = None
    timings: dict[str, float] = field(default_factory=dict)
    environments: list[dict[str, Any]] = field(default_factory=list)
    """Where it was worked on, in turn; a new entry only where something differs from the last."""

    def spend(self, stage: Stage, seconds: float) -> None:
        self.timings[stage] = self.timings.get(stage, 0.0) + seconds

    def works_in(self, environment: dict[str, Any]) -> None:
        if self.environments[-1:] != [environment]:
            self.environments.append(environment)

    @property
    def environment(self) -> dict[str, Any]:
        """The last one; with those before it that differ, each once, under "resumed_from"."""
        last = self.environments[-1]
        earlier: list[dict[str, Any]] = []
        for environment in self.environments:
            if environment not in [last, *earlier]:
                earlier.append(environment)
        return last | ({"resumed_from": earlier} if earlier else {})

    def to_dict(self) -> dict[str, Any]:
        """All but the unlearning's mask, as plain JSON."""
        report = self.unlearn and self.unlearn.to_dict()
        return {**vars(self), "unlearn": report}

    @classmethod
    def from_dict(cls, values: dict[str, Any], mask: npt.NDArray[np.uint8] | None) -> Notes:
        report = values.pop("unlearn")
        return cls(**values, unlearn=report and UnlearnReport.from_dict(report, mask))
