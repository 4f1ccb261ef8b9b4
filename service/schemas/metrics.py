"""How a stream is doing, over all its versions."""

from __future__ import annotations

import datetime as dt

from pydantic import BaseModel, Field

from service.evidence import Interval, of_share
from service.worth import Judgement, Sum, Worth
from store.counterfactuals import Comparison, Outcome
from store.curves import Point


class ErrorShape(BaseModel):
    """CER: wrong answers on the judge images, summed over all versions so far (ALMA)."""

    count: int
    share: float | None = Field(description="Of all answers, 0…1; null: none was asked")


class PrequentialShape(BaseModel):
    """Test-then-train: what the champion answered to chunks before they were learned, so far."""

    images: int
    accuracy: float | None


class PointShape(BaseModel):
    """The stream after one version, so after the chunks that it learned."""

    version: int
    positions: list[int] = Field(description="Of the chunks that it learned first")
    images: int = Field(description="In those chunks")
    accuracy: float | None = Field(description="On the judge images of all chunks")
    ece: float | None
    prequential_accuracy: float | None = Field(
        description="The champion's on those chunks before any of them was learned"
    )
    cumulative_error: ErrorShape
    prequential: PrequentialShape
    forgetting: float | None = Field(
        description="Mean over the old chunks: the best earlier accuracy less this one"
    )
    backward_transfer: float | None
    seconds: float = Field(description="Of its cycle, all stages")
    images_per_s: float | None = Field(description="Training images a second")
    outcome: str | None = Field(description="The gate's: passed, failed, unjudged, …")
    promoted: bool = Field(description="Whether the gate made it champion")
    at: dt.datetime

    @classmethod
    def of(cls, point: Point) -> PointShape:
        return cls(
            version=point.version,
            positions=point.positions,
            images=point.images,
            **point.metrics,
            prequential_accuracy=point.prequential_accuracy,
            cumulative_error=ErrorShape(count=point.errors.wrong, share=point.errors.share),
            prequential=PrequentialShape(
                images=point.tested.images, accuracy=point.tested.accuracy
            ),
            seconds=round(point.seconds, 3),
            images_per_s=point.images_per_s,
            outcome=point.outcome,
            promoted=point.promoted,
            at=point.at,
        )


class IntervalShape(BaseModel):
    """A figure between the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, interval: Interval) -> IntervalShape:
        return cls(value=interval.value, low=interval.low, high=interval.high)


class LiveShape(BaseModel):
    """A version's answers in service, by the labels that came after."""

    version: int
    labelled: int
    correct: int
    accuracy: IntervalShape

    @classmethod
    def of(cls, version: int, correct: int, labelled: int) -> LiveShape:
        share = IntervalShape.of(of_share(correct, labelled))
        return cls(version=version, labelled=labelled, correct=correct, accuracy=share)


class OutcomeShape(BaseModel):
    """What one way to train came to, on the same images and the same budget."""

    method: str
    accuracy: float | None
    images: int = Field(description="Judge images")
    seconds: float = Field(description="Of unlearning and relearning")
    flops: int

    @classmethod
    def of(cls, outcome: Outcome) -> OutcomeShape:
        return cls(
            method=outcome.method,
            accuracy=outcome.accuracy,
            images=outcome.images,
            seconds=outcome.seconds,
            flops=outcome.flops,
        )


class ComparisonShape(BaseModel):
    """A version beside what was trained in its place."""

    version: int
    own: OutcomeShape
    others: list[OutcomeShape]

    @classmethod
    def of(cls, comparison: Comparison) -> ComparisonShape:
        return cls(
            version=comparison.version,
            own=OutcomeShape.of(comparison.own),
            others=[OutcomeShape.of(other) for other in comparison.others],
        )


class SumShape(BaseModel):
    """What one side came to."""

    accuracy: float | None = Field(description="Mean over the versions compared")
    seconds: float = Field(description="Of all of them")

    @classmethod
    def of(cls, side: Sum) -> SumShape:
        return cls(accuracy=side.accuracy, seconds=round(side.seconds, 3))


class JudgementShape(BaseModel):
    """The versions' own ways against one method."""

    method: str
    versions: int = Field(description="How many were compared")
    own: SumShape
    other: SumShape
    gain: IntervalShape | None = Field(
        description="Accuracy gained, as a mean of the differences with Student's interval, which"
        " takes the versions for independent though each came of the last; null: too few"
    )
    worth_it: Worth
    words: str

    @classmethod
    def of(cls, judgement: Judgement) -> JudgementShape:
        gain = None if judgement.gain is None else IntervalShape.of(judgement.gain)
        return cls(
            method=judgement.method,
            versions=judgement.versions,
            own=SumShape.of(judgement.own),
            other=SumShape.of(judgement.other),
            gain=gain,
            worth_it=judgement.worth,
            words=judgement.words,
        )


class CounterfactualShape(BaseModel):
    """Was unlearning worth it?"""

    judgements: list[JudgementShape] = Field(description="A method each; over all versions")
    comparisons: list[ComparisonShape] = Field(description="The newest, oldest first")


class MetricsShape(BaseModel):
    """Figures of a stream over its versions."""

    stream: str
    versions: int = Field(description="How many there are; the curve may show fewer")
    curve: list[PointShape] = Field(description="The newest versions, oldest first")
    live: list[LiveShape] = Field(description="Versions with labels, the newest, oldest first")
    counterfactual: CounterfactualShape
