"""The rules of single classes and chunks: an average that holds may hide one that is lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from lure_core.policies import Gate
from worker.gate.finding import Finding, Rule, percent
from worker.gate.pairs import Pairs

_TOLD = 10  # a stream may have thousands of classes or chunks; the worst are written down


@dataclass(frozen=True)
class Slice:
    """The judge images of one class or chunk."""

    name: str
    pairs: Pairs

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, **self.pairs.to_dict()}


def each(
    noun: Literal["class", "chunk"], slices: Iterable[Slice], tolerance: float, policy: Gate
) -> Finding:
    """Fails where a slice was seen to lose more than the tolerance, and that cannot be chance.

    Slices of fewer than `min_slice` images are not judged. The more are, the more look bad by
    chance: each has an interval of such confidence that all of them together hold with that of the
    policy (Bonferroni).
    """
    rule: Rule = "per_class" if noun == "class" else "per_chunk"
    judged = [one for one in slices if one.pairs.images >= policy.min_slice]
    judged.sort(key=lambda one: one.pairs.loss, reverse=True)
    confidence = 1 - (1 - policy.confidence) / max(1, len(judged))
    failed = [one for one in judged if one.pairs.is_lost(tolerance, confidence)]
    numbers = {
        "tolerance": tolerance,
        "confidence": confidence,
        "min_slice": policy.min_slice,
        "judged": len(judged),
        "failed": [one.name for one in failed[:_TOLD]],
        "worst": [one.to_dict() for one in judged[:_TOLD]],
    }
    if not judged:
        words = f"no {noun} has the {policy.min_slice} judge images that it takes"
        return Finding(rule, "unjudged", words, numbers)
    if not failed:
        words = f"of {len(judged)} judged, no {noun} lost more than {percent(tolerance)} for sure"
        return Finding(rule, "passed", words, numbers)
    worst, *others = failed
    words = f"{noun} {worst.name!r}: {worst.pairs}; {percent(tolerance)} fewer are tolerated"
    if others:
        words += f", and {len(others)} more like it"
    return Finding(rule, "failed", words, numbers)
