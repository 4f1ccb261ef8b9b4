"""Was unlearning worth it? What versions came to beside what others would have in their place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from service.evidence import LEAST, Interval, of_differences
from store.counterfactuals import Comparison, Outcome

Worth = Literal["yes", "no", "undecided", "too few to tell"]


@dataclass(frozen=True)
class Sum:
    """What one side came to: the mean of its accuracies (None: none was measured), all seconds."""

    accuracy: float | None
    seconds: float

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Sum:
        known = [one.accuracy for one in outcomes if one.accuracy is not None]
        return cls(fmean(known) if known else None, sum(one.seconds for one in outcomes))


@dataclass(frozen=True)
class Judgement:
    """The versions' own ways against one method.

    Attributes:
        method: What was trained in their place.
        versions: How many were compared.
        own: What the versions' own ways came to.
        other: What the method came to.
        gain: By how much the versions' own accuracy is higher, as a mean; None for too few.
        worth: Whether the versions' own ways are more accurate.
        words: The same in a sentence.
    """

    method: str
    versions: int
    own: Sum
    other: Sum
    gain: Interval | None
    worth: Worth
    words: str


def judge(comparisons: Sequence[Comparison]) -> list[Judgement]:
    """A judgement for each method that was run, by its name."""
    pairs: defaultdict[str, list[tuple[Outcome, Outcome]]] = defaultdict(list)
    for comparison in comparisons:
        for other in comparison.others:
            pairs[other.method].append((comparison.own, other))
    return [_judged(method, pairs[method]) for method in sorted(pairs)]


def _judged(method: str, pairs: Sequence[tuple[Outcome, Outcome]]) -> Judgement:
    gain = of_differences(
        [
            own.accuracy - other.accuracy
            for own, other in pairs
            if own.accuracy is not None and other.accuracy is not None
        ]
    )
    own, others = (Sum.of(side) for side in zip(*pairs, strict=True))
    ratio = own.seconds / others.seconds if others.seconds else None
    return Judgement(
        method,
        versions=len(pairs),
        own=own,
        other=others,
        gain=gain,
        worth=_worth(gain),
        words=_words(method, len(pairs), gain, ratio),
    )


def _worth(gain: Interval | None) -> Worth:
    if gain is None:
        return "too few to tell"
    return "yes" if gain.low > 0 else "no" if gain.high < 0 else "undecided"


def _words(method: str, versions: int, gain: Interval | None, ratio: float | None) -> str:
    time = "" if ratio is None else f", in {ratio:.2f} of its seconds"
    if gain is None:
        return f"{versions} compared with {method}{time}; {LEAST} are needed"
    points = [100 * end for end in (abs(gain.value), gain.low, gain.high)]
    more = "more" if gain.value >= 0 else "less"
    doubt = "; which is better cannot be told" if _worth(gain) == "undecided" else ""
    return (
        f"over {versions} versions {points[0]:.2f} points {more} accurate than {method}"
        f" (95 % interval {points[1]:+.2f} to {points[2]:+.2f}){time}{doubt}"
    )
