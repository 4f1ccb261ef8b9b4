"""Feedback: what predictions should have been, and which of their images have joined a chunk.

A label is *open* until the image of its prediction joins a chunk. Labels are written, and join,
under the lock of their stream's row alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ARRAY, ColumnElement, Text, any_, func, literal, select, update
from sqlalchemy.orm import Session

from store import events
from store.models import Chunk, Feedback, Stream


@dataclass(frozen=True)
class Backlog:
    """The open labels of a stream: how many, and the age of the oldest in seconds."""

    stream: Stream
    images: int
    age_s: float


def by_ids(session: Session, stream: Stream, ids: Collection[str]) -> dict[str, Feedback]:
    """What is known of those predictions, by their ids."""
    rows = select(Feedback).where(Feedback.stream_id == stream.id, _is_among(ids))
    return {row.prediction_id: row for row in session.scalars(rows)}


def backlogs(session: Session) -> list[Backlog]:
    """Every stream that has open labels."""
    age = func.clock_timestamp() - func.min(Feedback.at)
    rows = (
        select(Stream, func.count(), func.extract("epoch", age))
        .join(Feedback, Feedback.stream_id == Stream.id)
        .where(_is_open())
        .group_by(Stream.id)
        .order_by(Stream.id)
    )
    return [
        Backlog(stream, images, float(age_s)) for stream, images, age_s in session.execute(rows)
    ]


def oldest_open(session: Session, stream: Stream, *, limit: int) -> Sequence[Feedback]:
    """The open labels that came first, those of a pack side by side."""
    first = (
        select(Feedback.prediction_id)
        .where(Feedback.stream_id == stream.id, _is_open())
        .order_by(Feedback.at, Feedback.prediction_id)
        .limit(limit)
    )
    rows = select(Feedback).where(
        Feedback.stream_id == stream.id, Feedback.prediction_id.in_(first)
    )
    return session.scalars(rows.order_by(Feedback.prediction_id)).all()


def is_current(session: Session, stream: Stream, labels: dict[str, str]) -> bool:
    """Whether each of those predictions still is open and has that very label.

    The stream's row must be locked, so that it stays so.
    """
    known = by_ids(session, stream, labels)
    current = [row for row in known.values() if row.label == labels[row.prediction_id]]
    return len(current) == len(labels) and all(row.chunk_id is None for row in current)


def join(session: Session, stream: Stream, ids: Collection[str], chunk: Chunk) -> None:
    """The images of those predictions are in that chunk. The stream's row must be locked."""
    session.execute(
        update(Feedback)
        .where(Feedback.stream_id == stream.id, _is_among(ids))
        .values(chunk_id=chunk.id)
    )
    events.note(session, "feedback.closed", stream, chunk=chunk.id, images=len(ids))


def live_accuracy(session: Session, stream: Stream) -> dict[int, tuple[int, int]]:
    """Of each version: how many of its predictions were right, and how many got a label at all."""
    right = func.count().filter(Feedback.label == Feedback.answer)
    rows = (
        select(Feedback.version, right, func.count())
        .where(Feedback.stream_id == stream.id)
        .group_by(Feedback.version)
        .order_by(Feedback.version)
    )
    return {version: (correct, labelled) for version, correct, labelled in session.execute(rows)}


def _is_open() -> ColumnElement[bool]:
    return Feedback.chunk_id.is_(None) & Feedback.pack_id.is_not(None)


def _is_among(ids: Collection[str]) -> ColumnElement[bool]:
    """One parameter, however many they are: PostgreSQL takes 65,535."""
    return Feedback.prediction_id == any_(literal(list(ids), ARRAY(Text)))
