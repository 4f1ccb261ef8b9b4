"""Workers: each process that takes tasks keeps a lease and tells of its machine with it.

The leases decide nothing, for the claims have heartbeats of their own: they are for people and for
`/metrics`. Callers ask `store.schema.has` first; an older database has no such table.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.models import WorkerLease

_GRAVE_S = 3600.0  # a silent worker is shown for so long: an alert takes its time
_GRAVE = 10  # and for so many times the age at which it counts as dead


@dataclass(frozen=True)
class Worker:
    """A worker as it told of itself last.

    Attributes:
        age_s: Seconds since then, by the database's clock.
        clock_offset_s: How far its clock was ahead of the database's; None if it told no time.
    """

    id: str
    queue: str
    started_at: dt.datetime
    age_s: float
    clock_offset_s: float | None
    facts: dict[str, Any]


def renew(session: Session, worker_id: str, *, queue: str, facts: dict[str, Any]) -> None:
    """Open or renew the lease."""
    told = {"queue": queue, "facts": facts}
    now = func.clock_timestamp()
    session.execute(
        insert(WorkerLease)
        .values(id=worker_id, **told)
        .on_conflict_do_update(index_elements=[WorkerLease.id], set_={**told, "seen_at": now})
    )


def leave(session: Session, worker_id: str) -> None:
    """Give the lease back."""
    session.execute(delete(WorkerLease).where(WorkerLease.id == worker_id))


def alive(session: Session, *, stale_s: float) -> Sequence[Worker]:
    """Those that were heard of within `stale_s`, by queue and age."""
    return [worker for worker in known(session) if worker.age_s <= stale_s]


def known(session: Session) -> Sequence[Worker]:
    """Those that were not buried yet, the silent ones too; by queue, the oldest first."""
    age_s = func.extract("epoch", func.clock_timestamp() - WorkerLease.seen_at)
    seen_s = func.extract("epoch", WorkerLease.seen_at)
    rows = session.execute(
        select(WorkerLease, age_s, seen_s).order_by(WorkerLease.queue, WorkerLease.started_at)
    )
    return [
        Worker(
            row.id, row.queue, row.started_at, float(age), _offset_s(row, float(seen)), row.facts
        )
        for row, age, seen in rows
    ]


def bury(session: Session, *, stale_s: float) -> None:
    """Forget the workers that were silent for long."""
    shown_s = max(_GRAVE_S, _GRAVE * stale_s)
    session.execute(delete(WorkerLease).where(WorkerLease.seen_at < _horizon(shown_s)))


def _offset_s(row: WorkerLease, seen_s: float) -> float | None:
    clock = row.facts.get("clock")
    return None if clock is None else float(clock) - seen_s


def _horizon(age_s: float) -> ColumnElement[dt.datetime]:
    return func.clock_timestamp() - dt.timedelta(seconds=age_s)
