"""The gate: may a candidate be served in the champion's place? Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lure_core.answers import Answers

Outcome = Literal["passed", "failed", "unjudged"]

LEAST_IMAGES = 2  # a tolerance finer than two images would judge by chance


@dataclass(frozen=True)
class Score:
    """Right answers on the pooled judge images."""

    accuracy: float
    correct: int
    images: int

    @classmethod
    def of(cls, answers: Answers) -> Score:
        correct, images = int(answers.right_N.sum()), len(answers)
        return cls(correct / images if images else 0.0, correct, images)


@dataclass(frozen=True)
class Policy:
    """The stream's: accuracy that may be lost, 0…1, and the least images that can judge."""

    tolerance: float
    min_judge: int

    @classmethod
    def of(cls, policies: Mapping[str, Any]) -> Policy:
        return cls(policies["gate"]["tolerance"], policies["gate"]["min_judge"])


@dataclass(frozen=True)
class Verdict:
    """What the gate says, with the numbers it says it by."""

    outcome: Outcome
    reason: str
    candidate: Score
    champion: Score | None
    champion_version: int | None
    tolerance: float

    def record(self, *, held: bool) -> dict[str, Any]:
        """The verdict as it is stored; `held`: a person keeps the champion where it is."""
        barred = held and self.champion is not None
        held_back = barred and self.outcome != "failed"
        reason = f"{self.reason}; not promoted: a person holds the champion"
        return {
            **asdict(self),
            "reason": reason if held_back else self.reason,
            "promoted": self.outcome != "failed" and not barred,
            "held": barred,
        }


def decide(
    candidate: Score,
    champion: Score | None,
    policy: Policy,
    *,
    champion_version: int | None,
    diverged: bool = False,
) -> Verdict:
    """Compare a candidate with the champion, both scored on the same images.

    It passes when it is not worse by more than the tolerance, or by two images where those weigh
    more. With fewer than `min_judge` images nothing is judged, and the candidate is promoted; but
    never one whose training diverged, so that it has weights that are not numbers.
    """
    images = candidate.images
    tolerance = max(policy.tolerance, LEAST_IMAGES / images if images else 0.0)
    outcome: Outcome = "passed"
    if diverged:
        outcome = "failed"
        reason = "the training diverged: there are weights that are not numbers"
    elif images < policy.min_judge:
        outcome = "unjudged"
        reason = f"{images} judge images are too few to judge by; {policy.min_judge} are needed"
    elif champion is None:
        reason = "the first version: there is no champion to compare it with"
    else:
        assert champion.images == images, "both must be scored on the same images"
        behind = champion.correct - candidate.correct
        is_close = behind <= tolerance * images + 1e-9  # 0.02 * 50 must count as one image
        outcome = "passed" if is_close else "failed"
        reason = _words(candidate, champion, tolerance)
    return Verdict(outcome, reason, candidate, champion, champion_version, tolerance)


def _words(candidate: Score, champion: Score, tolerance: float) -> str:
    return (
        f"{candidate.correct} of {candidate.images} right, the champion {champion.correct};"
        f" {tolerance:.2%} fewer are tolerated"
    )
