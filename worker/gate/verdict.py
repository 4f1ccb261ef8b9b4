"""From what the rules found to what is done: read `decide`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from lure_core.answers import Answers
from lure_core.policies import Gate
from worker.gate import rules
from worker.gate.finding import Finding, Outcome
from worker.gate.pairs import Pairs, sliced
from worker.gate.slices import Slice, each


@dataclass(frozen=True)
class Case:
    """What is judged: a candidate beside the champion, on the same images in the same order.

    Attributes:
        champion: None where nothing is served yet.
        classes: Names of the labels.
        chunks: Ids of the chunks that the images came in.
        learned: Those of them that the champion had learned.
        diverged: Whether the candidate has weights that are not numbers.
    """

    candidate: Answers
    champion: Answers | None
    champion_version: int | None
    classes: Sequence[str]
    chunks: Sequence[str]
    learned: Collection[str]
    diverged: bool = False


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
class Verdict:
    """What the gate says, with the numbers it says it by.

    Attributes:
        outcome: "unproven": nothing speaks against it, on too few images to speak for it;
            "unjudged": on so few that nothing could.
        reason: A sentence for people.
        tolerance: The accuracy that may be lost overall, 0…1.
        mode: "manual": a person promotes.
        rules: What each rule found, in the order in which they were asked.
    """

    outcome: Outcome
    reason: str
    candidate: Score
    champion: Score | None
    champion_version: int | None
    tolerance: float
    mode: Literal["auto", "manual"]
    rules: tuple[Finding, ...]

    def record(self, *, held: bool) -> dict[str, Any]:
        """The verdict as it is stored; `held`: a person keeps the champion where it is."""
        held = held and self.champion is not None
        accepted, manual = self.outcome != "failed", self.mode == "manual"
        reason = self.reason
        if accepted and held:
            reason += "; not promoted: a person holds the champion"
        elif accepted and manual:
            reason += "; not promoted yet: that is up to a person"
        return {
            **asdict(self),
            "reason": reason,
            "promoted": accepted and not held and not manual,
            "held": held,
            "awaits": "person" if accepted and manual else None,
        }


def decide(case: Case, policy: Gate) -> Verdict:
    """Ask every rule; one that fails refuses the candidate, and is the reason that is given.

    Where the images are too few, the candidate is promoted unjudged; but never one that diverged.
    Where they are too few for a proof, the policy's `unproven` decides.
    """
    found = _ask(case, policy)
    outcome, reason = _conclude(found, policy)
    return Verdict(
        outcome=outcome,
        reason=reason,
        candidate=Score.of(case.candidate),
        champion=None if case.champion is None else Score.of(case.champion),
        champion_version=case.champion_version,
        tolerance=policy.tolerance,
        mode=policy.mode,
        rules=tuple(found),
    )


def _ask(case: Case, policy: Gate) -> list[Finding]:
    """What the rules that apply found."""
    candidate, champion = case.candidate, case.champion
    found = [rules.diverged(case.diverged), rules.minimum(len(candidate), policy)]
    if champion is None or any(finding.outcome != "passed" for finding in found):
        return found
    assert np.array_equal(candidate.label_N, champion.label_N), "asked about the same images"
    found.append(rules.overall(Pairs.of(candidate, champion), policy))
    if policy.per_class is not None:
        classes = _slices(case.classes, sliced(candidate.label_N, candidate, champion))
        found.append(each("class", classes, policy.per_class, policy))
    if policy.per_chunk is not None:
        chunks = _slices(case.chunks, sliced(candidate.part_N, candidate, champion))
        old = [one for one in chunks if one.name in case.learned]
        found.append(each("chunk", old, policy.per_chunk, policy))
    if policy.ece is not None:
        found.append(rules.calibration(candidate, champion, policy.ece, policy))
    return found


def _slices(names: Sequence[str], pairs: Sequence[Pairs]) -> list[Slice]:
    """Those that there are images of; the last classes and chunks may have none."""
    return [Slice(name, one) for name, one in zip(names, pairs, strict=False)]


def _conclude(found: Sequence[Finding], policy: Gate) -> tuple[Outcome, str]:
    """The outcome and its reason."""
    refusing = ("failed", "unproven") if policy.unproven == "refuse" else ("failed",)
    against = [finding.words for finding in found if finding.outcome in refusing]
    if against:
        return "failed", "; also ".join(against)
    by_rule = {finding.rule: finding for finding in found}
    if by_rule["minimum"].outcome == "unjudged":
        return "unjudged", by_rule["minimum"].words
    if "overall" not in by_rule:
        return "passed", "the first version: there is no champion to compare it with"
    return by_rule["overall"].outcome, by_rule["overall"].words
