"""What a rule of the gate found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Rule = Literal["diverged", "minimum", "overall", "per_class", "per_chunk", "calibration"]
Outcome = Literal["passed", "failed", "unproven", "unjudged"]


@dataclass(frozen=True)
class Finding:
    """What one rule found.

    Attributes:
        words: A sentence for people, with the numbers that it hangs on.
        numbers: All of them, as plain JSON.
    """

    rule: Rule
    outcome: Outcome
    words: str
    numbers: dict[str, Any]


def percent(share: float) -> str:
    return f"{100 * share:.3g}%"
