"""How a stream went, version by version: accuracy, error summed up, and what it cost."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Subquery, case, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from store.models import Chunk, Cycle, Stream, Version


@dataclass(frozen=True)
class Errors:
    """Answers of all versions so far, each on its own images, and how many were wrong."""

    wrong: int
    asked: int

    @property
    def share(self) -> float | None:
        """0…1; None where nothing was asked."""
        return self.wrong / self.asked if self.asked else None


@dataclass(frozen=True)
class Tested:
    """Images of chunks that the champion answered before any was learned."""

    right: float
    images: int

    @property
    def accuracy(self) -> float | None:
        """0…1; None before the first."""
        return self.right / self.images if self.images else None


@dataclass(frozen=True)
class Point:
    """The stream after one version.

    Attributes:
        version: Its number.
        positions: Of the chunks that it learned first.
        images: In those chunks.
        metrics: {accuracy, ece, forgetting, backward_transfer} of the version; None where unknown.
        prequential_accuracy: The champion's on those chunks, before any of them was learned.
        errors: CER so far, as `lure_core.anytime.cumulative_error` has it: the wrong answers on
            the judge images, summed over this version and all before it.
        tested: Test-then-train so far.
        seconds: Of its cycle, all stages.
        images_per_s: Training images a second.
        outcome: The gate's: passed, failed, unjudged, …
        promoted: Whether the gate made it champion.
        at: When it was made.
    """

    version: int
    positions: list[int]
    images: int
    metrics: dict[str, float | None]
    prequential_accuracy: float | None
    errors: Errors
    tested: Tested
    seconds: float
    images_per_s: float | None
    outcome: str | None
    promoted: bool
    at: dt.datetime


_FIGURES = {
    name: Version.metrics[name].as_float().label(name)
    for name in ("accuracy", "ece", "forgetting", "backward_transfer")
}


def newest(session: Session, stream: Stream, *, limit: int) -> list[Point]:
    """A point for each of the newest versions, oldest first; the sums are over all versions."""
    sums = _sums(stream)
    query = (
        select(
            Version.created_at,
            *_FIGURES.values(),
            Version.outcome,
            Version.verdict["promoted"].as_boolean().label("promoted"),
            Version.environment["images_per_s"].as_float().label("images_per_s"),
            Cycle.timings,
            sums,
        )
        .join(Cycle, Cycle.id == Version.cycle_id)
        .join(sums, sums.c.version == Version.version)
        .where(Version.stream_id == stream.id)
        .order_by(Version.version.desc())
        .limit(limit)
    )
    return [_point(row) for row in reversed(session.execute(query).all())]


def _point(row: Row[Any]) -> Point:
    return Point(
        version=row.version,
        positions=row.positions or [],
        images=row.images or 0,
        metrics={name: row._mapping[name] for name in _FIGURES},
        prequential_accuracy=row.prequential_accuracy,
        errors=Errors(wrong=int(row.wrong or 0), asked=int(row.asked or 0)),
        tested=Tested(right=row.tested_right or 0.0, images=int(row.tested_images or 0)),
        seconds=sum(row.timings.values()),
        images_per_s=row.images_per_s,
        outcome=row.outcome,
        promoted=bool(row.promoted),
        at=row.created_at,
    )


def _sums(stream: Stream) -> Subquery:
    """Of each version what its chunks were, and the sums up to it."""
    learned = _learned(stream)
    asked = case((Version.correct.is_not(None), Version.judged))

    def so_far(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.sum(column).over(order_by=Version.version)

    return (
        select(
            Version.version,
            learned.c.positions,
            learned.c.images,
            learned.c.prequential_accuracy,
            so_far(Version.judged - Version.correct).label("wrong"),
            so_far(asked).label("asked"),
            so_far(learned.c.tested_right).label("tested_right"),
            so_far(learned.c.tested_images).label("tested_images"),
        )
        .outerjoin(learned, learned.c.version == Version.version)
        .where(Version.stream_id == stream.id)
        .subquery()
    )


def _learned(stream: Stream) -> Subquery:
    """The chunks that each version learned first, together."""
    tested = case((Chunk.prequential_accuracy.is_not(None), Chunk.images))
    return (
        select(
            Chunk.version,
            func.array_agg(aggregate_order_by(Chunk.position, Chunk.position)).label("positions"),
            func.sum(Chunk.images).label("images"),
            func.max(Chunk.prequential_accuracy).label("prequential_accuracy"),
            func.sum(Chunk.prequential_accuracy * Chunk.images).label("tested_right"),
            func.sum(tested).label("tested_images"),
        )
        .where(Chunk.stream_id == stream.id, Chunk.version.is_not(None))
        .group_by(Chunk.version)
        .subquery()
    )
