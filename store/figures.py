"""Figures about the whole store for whoever watches it: read by the API's /metrics."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.models import Chunk, Cycle, Stream
from store.states import ACTIVE


@dataclass(frozen=True)
class ActiveCycle:
    """A cycle at work: seconds in its stage so far, and the age of its last heartbeat."""

    stream: str
    stage: str
    stage_s: float
    heartbeat_age_s: float | None


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
        )
        .join(Cycle, Cycle.stream_id == Stream.id)
        .where(Cycle.state.in_(ACTIVE))
    )
    return [
        ActiveCycle(
            name, (stage or state).value, float(stage_s), None if age is None else float(age)
        )
        for name, stage, state, stage_s, age in rows
    ]
