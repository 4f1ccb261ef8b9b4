"""Figures about the whole store for whoever watches it: read by the API's /metrics."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from store import aliases, workers
from store.models import (
    Alias,
    Chunk,
    Cycle,
    Feedback,
    Replica,
    Serving,
    Stream,
    Version,
    WorkerLease,
)
from store.schema import has
from store.states import ACTIVE, WAITING, ChunkState
from store.workers import Worker

RECENT = 3  # newest versions whose live accuracy is told, beside the champion's


@dataclass(frozen=True)
class ActiveCycle:
    """A cycle at work: seconds in its stage so far, age of its last heartbeat, pace of training."""

    stream: str
    stage: str
    stage_s: float
    heartbeat_age_s: float | None
    images_per_s: float | None


@dataclass(frozen=True)
class Line:
    """The chunks of a stream that are not learned yet.

    Attributes:
        waiting: How many wait for admission or for their cycle.
        oldest_s: Seconds since the oldest of all that are not learned was accepted.
    """

    stream: str
    waiting: int
    oldest_s: float


@dataclass(frozen=True)
class Champion:
    """What is to be served.

    Attributes:
        accuracy: On the judge images; None where there were none.
        behind: How many of the live replicas do not serve it.
    """

    stream: str
    version: int
    accuracy: float | None
    behind: int


@dataclass(frozen=True)
class Live:
    """A version's answers that got a label, and how many of them were right."""

    stream: str
    version: int
    right: int
    labelled: int


def names(session: Session) -> list[str]:
    """Every stream's name."""
    return list(session.scalars(select(Stream.name).order_by(Stream.id)))


def chunks_by_state(session: Session) -> dict[tuple[str, str], int]:
    """How many chunks each stream has in each state."""
    rows = session.execute(
        select(Stream.name, Chunk.state, func.count())
        .join(Chunk, Chunk.stream_id == Stream.id)
        .group_by(Stream.name, Chunk.state)
    )
    return {(stream, state.value): count for stream, state, count in rows}


def active_cycles(session: Session) -> list[ActiveCycle]:
    """The cycles that are queued or running, at most one a stream."""
    now = func.clock_timestamp()
    rows = session.execute(
        select(
            Stream.name,
            Cycle.stage,
            Cycle.state,
            func.extract("epoch", now - func.coalesce(Cycle.stage_started_at, Cycle.created_at)),
            func.extract("epoch", now - Cycle.heartbeat_at),
            Cycle.progress["images_per_s"].as_float(),
        )
        .join(Cycle, Cycle.stream_id == Stream.id)
        .where(Cycle.state.in_(ACTIVE))
    )
    return [
        ActiveCycle(
            name, (stage or state).value, float(stage_s), None if age is None else float(age), pace
        )
        for name, stage, state, stage_s, age, pace in rows
    ]


def lines(session: Session) -> list[Line]:
    """What waits in each stream that has chunks which are not learned."""
    rows = session.execute(
        select(
            Stream.name,
            func.count().filter(Chunk.state.in_(WAITING)),
            func.extract("epoch", func.clock_timestamp() - func.min(Chunk.received_at)),
        )
        .join(Chunk, Chunk.stream_id == Stream.id)
        .where(Chunk.state.in_((*WAITING, ChunkState.LEARNING)))
        .group_by(Stream.name)
    )
    return [Line(stream, waiting, float(oldest_s)) for stream, waiting, oldest_s in rows]


def live_replicas(session: Session, *, stale_s: float) -> int:
    """How many API processes have a lease that is not stale."""
    return session.scalars(select(func.count()).where(_is_live(stale_s))).one()


def champions(session: Session, *, stale_s: float) -> list[Champion]:
    """Each stream's champion, and how many live replicas are not there yet."""
    serves = (Serving.replica_id == Replica.id) & (Serving.stream_id == Alias.stream_id)
    behind = (
        select(func.count())
        .select_from(Replica)
        .outerjoin(Serving, serves)
        .where(_is_live(stale_s), Serving.version.is_distinct_from(Alias.version))
        .correlate(Alias)
        .scalar_subquery()
    )
    rows = session.execute(
        select(Stream.name, Alias.version, Version.accuracy, behind)
        .join(Alias, (Alias.stream_id == Stream.id) & (Alias.name == aliases.CHAMPION))
        .join(Version, (Version.stream_id == Stream.id) & (Version.version == Alias.version))
    )
    return [Champion(*row) for row in rows]


def every_worker(session: Session) -> list[Worker] | None:
    """The workers that are known; None where the database keeps no leases of them yet."""
    return list(workers.known(session)) if has(session, WorkerLease) else None


def _is_live(stale_s: float) -> ColumnElement[bool]:
    return Replica.seen_at >= func.clock_timestamp() - dt.timedelta(seconds=stale_s)


def prequential_accuracies(session: Session) -> dict[str, float]:
    """Of each stream, how the champion did on the newest chunk before it was learned; 0…1."""
    newest = (
        select(Chunk.prequential_accuracy)
        .where(Chunk.stream_id == Stream.id, Chunk.prequential_accuracy.is_not(None))
        .order_by(Chunk.position.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = session.execute(select(Stream.name, newest))
    return {stream: accuracy for stream, accuracy in rows if accuracy is not None}


def cumulative_errors(session: Session) -> dict[str, float]:
    """The CER of each stream: wrong judge answers of all versions, as a share; see `curves`."""
    rows = session.execute(
        select(Stream.name, func.sum(Version.judged - Version.correct), func.sum(Version.judged))
        .join(Version, Version.stream_id == Stream.id)
        .where(Version.correct.is_not(None))
        .group_by(Stream.name)
    )
    return {stream: float((wrong or 0) / asked) for stream, wrong, asked in rows if asked}


def gate_verdicts(session: Session) -> dict[tuple[str, str], int]:
    """How many versions of each stream the gate gave each outcome."""
    rows = session.execute(
        select(Stream.name, Version.outcome, func.count())
        .join(Version, Version.stream_id == Stream.id)
        .group_by(Stream.name, Version.outcome)
    )
    return {(stream, outcome): count for stream, outcome, count in rows if outcome is not None}


def live_accuracies(session: Session) -> list[Live]:
    """Of each stream's champion and newest versions, as far as their answers got labels."""
    is_champion = and_(Alias.stream_id == Stream.id, Alias.name == aliases.CHAMPION)
    rows = session.execute(
        select(
            Stream.name,
            Feedback.version,
            func.count().filter(Feedback.label == Feedback.answer),
            func.count(),
        )
        .join(Feedback, Feedback.stream_id == Stream.id)
        .outerjoin(Alias, is_champion)
        .where(
            or_(
                Feedback.version >= Stream.next_version - RECENT,
                Feedback.version == Alias.version,
            )
        )
        .group_by(Stream.name, Feedback.version)
    )
    return [Live(*row) for row in rows]
