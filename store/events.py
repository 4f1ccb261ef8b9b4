"""What happened, for whoever listens.

Events are noted during a transaction and written by `engine.begin` just before the commit: their
ids are handed out under one advisory lock, so that no id becomes visible after a higher one was
streamed, and that lock comes last in the order stream, cycle, version, chunk, alias, events.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, literal_column, select
from sqlalchemy.orm import Session

from store.models import Cycle, Event, Json, Stream, Webhook
from store.schema import has

NAMES = frozenset(
    {
        "alias.moved",
        "chunk.admitted",
        "chunk.learned",
        "chunk.received",
        "chunk.rejected",
        "chunk.released",
        "cycle.finished",
        "cycle.progress",
        "cycle.stage",
        "cycle.started",
        "feedback.closed",
        "gate.failed",
        "gate.passed",
        "key.created",
        "key.revoked",
        "model.served",
        "model.swapped",
        "rerun.finished",
        "rerun.started",
        "stream.changed",
        "stream.classes_grown",
        "stream.created",
        "version.created",
        "version.weights_deleted",
    }
)
_LOCK = 0x4C555245  # "LURE"
_PENDING = "lure.events"
_PROGRESS = "cycle.progress"
_KEPT = dt.timedelta(days=1)


def note(
    session: Session,
    name: str,
    stream: Stream | None = None,
    *,
    cycle: str | None = None,
    **data: Any,
) -> None:
    """Record that `name` happened; it becomes visible with the commit."""
    shown: dict[str, Any] = {} if stream is None else {"stream": stream.name}
    if cycle is not None:
        shown["cycle"] = cycle
    event = Event(
        name=name,
        stream_id=None if stream is None else stream.id,
        cycle_id=cycle,
        data=shown | data,
    )
    session.info.setdefault(_PENDING, []).append(event)


def flush(session: Session) -> list[str]:
    """Write the noted events, as the last act before the commit; return their names."""
    pending: list[Event] = session.info.pop(_PENDING, [])
    if pending:
        session.flush()
        session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        for event in pending:
            session.add(event)
            session.flush()
    return [event.name for event in pending]


def shown(event: Event) -> Json:
    """An event as listeners have it, whichever way it comes to them."""
    return {"id": event.id, "name": event.name, **event.data, "at": event.at}


def after(
    session: Session,
    last_id: int,
    *,
    stream_id: int | None = None,
    cycle_id: str | None = None,
    limit: int = 500,
) -> Sequence[Event]:
    """The events behind `last_id`, oldest first."""
    query = select(Event).where(Event.id > last_id).order_by(Event.id).limit(limit)
    if stream_id is not None:
        query = query.where(Event.stream_id == stream_id)
    if cycle_id is not None:
        query = query.where(Event.cycle_id == cycle_id)
    return session.scalars(query).all()


def last_id(session: Session) -> int:
    """The id of the newest visible event, 0 if there is none."""
    return session.scalar(select(func.max(Event.id))) or 0


def forget_old(session: Session, *, limit: int) -> int:
    """Forget how far cycles were that ended long ago; all else that happened is kept.

    What a webhook still has to be told stays, however long it is paused.

    Args:
        session: A transaction.
        limit: Most that are forgotten at once, the oldest first.

    Returns:
        How many were: with `limit`, there may be more.
    """
    of_ended = select(Cycle.id).where(Cycle.finished_at < func.clock_timestamp() - _KEPT)
    # a literal: a plan that is kept for any name would read all events instead of the index
    is_progress = Event.name == literal_column(f"'{_PROGRESS}'")
    old = select(Event.id).where(is_progress, Event.cycle_id.in_(of_ended))
    if has(session, Webhook):
        told = session.scalar(select(func.min(Webhook.after_event)))
        old = old if told is None else old.where(Event.id <= told)
    few = old.order_by(Event.id).limit(limit)
    gone = session.scalars(delete(Event).where(Event.id.in_(few)).returning(Event.id))
    return len(gone.all())
