"""The W3C trace context of chunks and cycles: how a trace gets from one process to the next.

Written in the transaction of the row that it belongs to, whether spans are recorded or not: the
logs tell the trace's id in any case. A database of the release before has no such table, and then
a trace ends with its process.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.models import Trace
from store.schema import has

KEEP_DAYS = 7  # what waits longer to be learned goes on without its trace


def keep(session: Session, subject: str, traceparent: str) -> None:
    """The chunk or cycle of that id goes on from here; what it went on from before is forgotten."""
    if not has(session, Trace):
        return
    values = {"traceparent": traceparent, "at": func.clock_timestamp()}
    session.execute(
        insert(Trace)
        .values(subject=subject, **values)
        .on_conflict_do_update(index_elements=[Trace.subject], set_=values)
    )


def of(session: Session, subjects: Sequence[str]) -> dict[str, str]:
    """The traceparents of those that have one."""
    if not subjects or not has(session, Trace):
        return {}
    rows = session.execute(
        select(Trace.subject, Trace.traceparent).where(Trace.subject.in_(subjects))
    )
    return {row.subject: row.traceparent for row in rows}


def forget_old(session: Session) -> None:
    """Delete those of long ago."""
    if has(session, Trace):
        horizon = func.clock_timestamp() - dt.timedelta(days=KEEP_DAYS)
        session.execute(delete(Trace).where(Trace.at < horizon))


def id_of(traceparent: str) -> str:
    """The trace's id, as logs and problems tell it."""
    return traceparent.split("-")[1]
