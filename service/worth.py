"""Was unlearning worth it? What versions came to beside what others would have in their place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.evidence import LEAST, Interval, of_differences
from store.counterfactuals import Comparison, Outcome

Worth = Literal["yes", "no", "undecided", "too few to tell"]


@dataclass(frozen=True)
class Judgement:
    """The versions' own ways against one method.

    Attributes:
        method: What was trained in their place.
        versions: How many were compared.
        gain: By how much the versions' own accuracy is higher, as a mean; None for too few.
        seconds_ratio: Their seconds by the method's; None where it took none.
        worth: Whether the versions' own ways are more accurate.
        words: The same in a sentence.
    """

    method: str
    versions: int
    gain: Interval | None
    seconds_ratio: float | None
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
    spent = sum(other.seconds for _, other in pairs)
    ratio = sum(own.seconds for own, _ in pairs) / spent if spent else None
    return Judgement(
        method,
        versions=len(pairs),
        gain=gain,
        seconds_ratio=ratio,
        worth=_worth(gain),
        words=_words(method, len(pairs), gain, ratio),
    )


def _worth(gain: Interval | None) -> Worth:
    if gain is None:
        return "too few to tell"
    return "yes" if gain.low > 0 else "no" if gain.high < 0 else "undecided"


def _words(method: str, versions: int, gain: Interval | None, ratio: float | None) -> str:
    if gain is None:
        return f"{versions} compared with {method}: too few to tell, {LEAST} are needed"
    points = [100 * end for end in (abs(gain.value), gain.low, gain.high)]
    more = "more" if gain.value >= 0 else "less"
    time = "" if ratio is None else f", in {ratio:.2f} of its seconds"
    doubt = "; which is better cannot be told" if _worth(gain) == "undecided" else ""
    return (
        f"over {versions} versions {points[0]:.2f} points {more} accurate than {method}"
        f" (95 % interval {points[1]:+.2f} to {points[2]:+.2f}){time}{doubt}"
    )
