"""Replicas: each API process keeps a lease and reports the version that it serves.

A promotion is *served* when every live replica reports it. Reporting locks the version's row
first, so that two replicas that report together see each other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, load_only

from store import events, totals
from store.locks import locked
from store.models import Chunk, Replica, Serving, Stream, Version
from store.states import ChunkState


def renew(session: Session, replica_id: str) -> None:
    """Open or renew the lease."""
    now = func.clock_timestamp()
    session.execute(
        insert(Replica)
        .values(id=replica_id)
        .on_conflict_do_update(index_elements=[Replica.id], set_={"seen_at": now})
    )


def leave(session: Session, replica_id: str) -> None:
    """Give the lease back."""
    session.execute(delete(Replica).where(Replica.id == replica_id))


def bury(session: Session, *, stale_s: float) -> None:
    """Forget the replicas whose lease has been out for long."""
    session.execute(delete(Replica).where(Replica.seen_at < _horizon(10 * stale_s)))


def report(
    session: Session, stream: Stream, replica_id: str, version: int, *, stale_s: float
) -> bool:
    """This replica serves `version` now.

    Returns:
        True when with this report every live replica serves it, for the first time.
    """
    row = _locked_version(session, stream, version)
    renew(session, replica_id)
    now = func.clock_timestamp()
    session.execute(
        insert(Serving)
        .values(replica_id=replica_id, stream_id=stream.id, version=version)
        .on_conflict_do_update(
            index_elements=[Serving.replica_id, Serving.stream_id],
            set_={"version": version, "since": now},
        )
    )
    events.note(session, "model.swapped", stream, version=version, replica=replica_id)
    return _settle(session, stream, row, stale_s)


def settle(session: Session, stream: Stream, version: int, *, stale_s: float) -> bool:
    """Mark a version served that waited only for a replica that has died since.

    Returns:
        Whether it is marked now for the first time.
    """
    return _settle(session, stream, _locked_version(session, stream, version), stale_s)


def reported(session: Session, replica_id: str) -> dict[int, int]:
    """What the rows say that this replica serves: version by stream id.

    Nothing, after a replica that was away for long came back: its lease was buried.
    """
    rows = session.execute(
        select(Serving.stream_id, Serving.version).where(Serving.replica_id == replica_id)
    )
    return {row.stream_id: row.version for row in rows}


def of_stream(session: Session, stream: Stream, *, stale_s: float) -> dict[str, int | None]:
    """The live replicas and the version of this stream that each one serves."""
    rows = session.execute(
        select(Replica.id, Serving.version)
        .outerjoin(Serving, (Serving.replica_id == Replica.id) & (Serving.stream_id == stream.id))
        .where(Replica.seen_at >= _horizon(stale_s))
        .order_by(Replica.id)
    )
    return {row.id: row.version for row in rows}


def by_stream(
    session: Session, rows: Sequence[Stream], *, stale_s: float
) -> dict[int, dict[str, int | None]]:
    """`of_stream` for several streams, by stream id."""
    ids = [stream.id for stream in rows]
    live = session.scalars(
        select(Replica.id).where(Replica.seen_at >= _horizon(stale_s)).order_by(Replica.id)
    ).all()
    serving = session.execute(
        select(Serving.stream_id, Serving.replica_id, Serving.version).where(
            Serving.stream_id.in_(ids), Serving.replica_id.in_(live)
        )
    )
    found: dict[int, dict[str, int | None]] = {one: dict.fromkeys(live) for one in ids}
    for row in serving:
        found[row.stream_id][row.replica_id] = row.version
    return found


def _locked_version(session: Session, stream: Stream, version: int) -> Version:
    query = select(Version).where(Version.stream_id == stream.id, Version.version == version)
    query = query.options(load_only(Version.version, Version.served_at, raiseload=True))
    return session.scalars(locked(query)).one()


def _settle(session: Session, stream: Stream, row: Version, stale_s: float) -> bool:
    if row.served_at is not None or not _all_serve(session, stream, row.version, stale_s):
        return False
    row.served_at = func.clock_timestamp()
    _mark_served(session, stream, row.version)
    events.note(session, "model.served", stream, version=row.version)
    return True


def _all_serve(session: Session, stream: Stream, version: int, stale_s: float) -> bool:
    served = of_stream(session, stream, stale_s=stale_s).values()
    return bool(served) and all(one == version for one in served)


def _mark_served(session: Session, stream: Stream, version: int) -> None:
    """Each version has learned every chunk before it, those of refused versions too."""
    wait_s = func.extract("epoch", Chunk.served_at - Chunk.received_at)
    served = session.scalars(
        update(Chunk)
        .where(
            Chunk.stream_id == stream.id,
            Chunk.state == ChunkState.LEARNED,
            Chunk.version <= version,
            Chunk.served_at.is_(None),
        )
        .values(served_at=func.clock_timestamp())
        .returning(wait_s)
        .execution_options(synchronize_session=False)
    )
    totals.add_served(session, stream, [float(seconds) for seconds in served])


def _horizon(age_s: float) -> ColumnElement[dt.datetime]:
    return func.clock_timestamp() - dt.timedelta(seconds=age_s)
