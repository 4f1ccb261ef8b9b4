"""What an experiment found: every method's figures, and its paired differences to the controls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from lure_core import anytime
from lure_core.experiment.plan import CONTROL, FULL, REFERENCE, Run
from lure_core.experiment.record import Record
from lure_core.experiment.statistics import Interval, interval, paired

FIRST_COUNTED = 2
"""Chunk from which the anytime accuracy is averaged.

The strategies share the first one's version. A named recipe or a method of one's own may learn it
in another way: look at the curves, which begin with it.
"""


_BESIDE = ("measure", "compile")
"""Seconds that are no stage: what only the record needed, and what is part of the relearning."""


@dataclass(frozen=True)
class Score:
    """One finished run in figures; shares 0…1.

    Attributes:
        anytime: Mean test accuracy after chunks 2…T.
        last: Test accuracy after the last chunk.
        cer: Cumulative error: wrong answers on the test images, summed over all chunks.
        forgetting: Of earlier chunks' select images; None where there are none.
        backward_transfer: The same.
        gap: Mean generalisation gap after chunks 2…T.
        ece: Mean expected calibration error after chunks 2…T.
        last_ece: Of the last version.
        scaled_ece: The same after temperature scaling.
        corrupted: Accuracy of the last version on corrupted images, mean over all of them.
        attacked: Its accuracy under PGD-20.
        steps: Gradient steps.
        price: FLOPs of making all versions.
        seconds: Of all stages, without measuring.
    """

    anytime: float
    last: float
    cer: float
    forgetting: float | None
    backward_transfer: float | None
    gap: float
    ece: float
    last_ece: float
    scaled_ece: float | None
    corrupted: float | None
    attacked: float | None
    steps: float
    price: float
    seconds: float


@dataclass(frozen=True)
class Row:
    """One method at one budget and noise, over its finished seeds.

    Attributes:
        figures: By name of `Score`'s figures; one is missing where no run has it.
        to_reference: Paired difference of the anytime accuracy to scratch at the full budget;
            like the next two, None where there is no such run, or where it is the row itself.
        to_scratch: To scratch at the same budget.
        to_control: To a reset by chance at the same budget.
        price_share: Price as a share of that of scratch at the full budget, over the same seeds.
    """

    method: str
    budget: str
    noise: float
    figures: Mapping[str, Interval]
    to_reference: Interval | None
    to_scratch: Interval | None
    to_control: Interval | None
    price_share: float | None

    @property
    def name(self) -> str:
        """As tables and plots call it."""
        if self.method != REFERENCE:
            return self.method
        return "scratch" if self.budget == FULL else "scratch-short"

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "name": self.name} | {
            "figures": {name: found.to_dict() for name, found in self.figures.items()},
            **{
                name: found and found.to_dict()
                for name, found in vars(self).items()
                if name.startswith("to_")
            },
        }


def summarise(records: Iterable[Record], runs: Sequence[Run]) -> list[Row]:
    """A row for each method, budget and noise of the planned runs of which a run is finished."""
    scores = _scores(records)
    groups: dict[tuple[str, str, float], dict[int, Score]] = {}
    for run in runs:
        if run in scores:
            by_seed = groups.setdefault((run.method, run.budget, run.noise), {})
            by_seed[run.seed] = scores[run]
    return [_row(key, groups) for key in groups]


def score(records: Sequence[Record]) -> Score:
    """Of a finished run's records, chunk by chunk."""
    accuracies = [record.accuracy for record in records]
    start = min(FIRST_COUNTED, len(records))
    later = records[start - 1 :]
    matrix = [record.earlier for record in records]
    return Score(
        anytime=anytime.mean_accuracy(accuracies, start=start),
        last=accuracies[-1],
        cer=anytime.cumulative_error(
            [record.test_images - record.errors for record in records],
            [record.test_images for record in records],
        ).count,
        forgetting=anytime.forgetting(matrix).mean,
        backward_transfer=anytime.backward_transfer(matrix).mean,
        gap=sum(record.generalisation_gap for record in later) / len(later),
        ece=sum(record.ece for record in later) / len(later),
        last_ece=records[-1].ece,
        scaled_ece=_inside(records[-1].calibration, "after", "ece"),
        corrupted=_inside(records[-1].robustness, "corruption", "accuracy"),
        attacked=_inside(records[-1].robustness, "pgd", "accuracy"),
        steps=sum(record.steps for record in records),
        price=records[-1].price,
        seconds=sum(_seconds(record) for record in records),
    )


def _scores(records: Iterable[Record]) -> dict[Run, Score]:
    by_run: dict[Run, list[Record]] = {}
    for record in records:
        by_run.setdefault(record.run, []).append(record)
    return {run: score(found) for run, found in by_run.items() if found[-1].last}


def _inside(report: Mapping[str, Any] | None, *path: str) -> float | None:
    if report is None:
        return None
    found: Any = report
    for name in path:
        found = found[name]
    return float(found)


def _seconds(record: Record) -> float:
    return sum(spent for stage, spent in record.seconds.items() if stage not in _BESIDE)


def _row(
    key: tuple[str, str, float], groups: Mapping[tuple[str, str, float], Mapping[int, Score]]
) -> Row:
    method, budget, noise = key
    ours = groups[key]

    def against(other: str, at: str) -> Interval | None:
        if (other, at) == (method, budget):
            return None
        theirs = groups.get((other, at, noise), {})
        return paired(_each(ours, _anytime), _each(theirs, _anytime))

    return Row(
        method=method,
        budget=budget,
        noise=noise,
        figures=_figures(list(ours.values())),
        to_reference=against(REFERENCE, FULL),
        to_scratch=against(REFERENCE, budget),
        to_control=against(CONTROL, budget),
        price_share=_price_share(ours, groups.get((REFERENCE, FULL, noise), {})),
    )


def _anytime(of: Score) -> float:
    return of.anytime


def _each(scores: Mapping[int, Score], figure: Callable[[Score], float]) -> dict[int, float]:
    return {seed: figure(found) for seed, found in scores.items()}


def _figures(scores: Sequence[Score]) -> dict[str, Interval]:
    found = {}
    for field in fields(Score):
        values = [getattr(score, field.name) for score in scores]
        mean = interval([value for value in values if value is not None])
        if mean:
            found[field.name] = mean
    return found


def _price_share(ours: Mapping[int, Score], theirs: Mapping[int, Score]) -> float | None:
    both = ours.keys() & theirs.keys()
    paid = sum(theirs[seed].price for seed in both)
    return sum(ours[seed].price for seed in both) / paid if paid else None
