"""Packs: the predictions that a replica made of a stream in one moment, as one blob and one row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.blobs import pin
from store.models import Feedback, Pack, Stream

KEEP_S = 60  # of a pack's bytes once no row names them: images should go when their time is over
LEAST_BYTES = 8192  # that a pack is counted as: a block of the disk, and rows in the database
AT_ONCE = 1000  # are forgotten in one transaction, which holds up the stream


def add(session: Session, pack: Pack) -> None:
    """Write the row of a pack whose bytes are stored, once.

    Raises:
        BlobMissing: Its bytes were collected meanwhile.
    """
    pin(session, pack.digest)
    row = insert(Pack).values(
        id=pack.id,
        stream_id=pack.stream_id,
        digest=pack.digest,
        size_bytes=pack.size_bytes,
        predictions=pack.predictions,
    )
    session.execute(row.on_conflict_do_nothing())  # a commit whose answer was lost comes again


def by_ids(session: Session, ids: Collection[str]) -> dict[str, Pack]:
    """Those packs that there are, by their ids."""
    return {pack.id: pack for pack in session.scalars(select(Pack).where(Pack.id.in_(ids)))}


def owners(session: Session) -> Sequence[Stream]:
    """The streams that have packs."""
    has_packs = select(Pack.id).where(Pack.stream_id == Stream.id).exists()
    return session.scalars(select(Stream).where(has_packs).order_by(Stream.id)).all()


def horizon(session: Session, stream: Stream, *, keep_s: int, max_bytes: int) -> dt.datetime:
    """The moment up to which a stream's packs have had their time.

    That is `keep_s` ago, or later where those made since are more than `max_bytes`, each counted as
    `LEAST_BYTES` at least. It looks at no more packs than find room there.
    """
    size = func.greatest(Pack.size_bytes, LEAST_BYTES)
    youngest_first = Pack.made_at.desc()
    piled = select(Pack.made_at, func.sum(size).over(order_by=youngest_first).label("bytes"))
    kept = piled.where(Pack.stream_id == stream.id).subquery()
    beyond = select(kept.c.made_at).where(kept.c.bytes > max_bytes)
    first = beyond.order_by(kept.c.made_at.desc()).limit(1).scalar_subquery()
    long_ago = func.clock_timestamp() - dt.timedelta(seconds=keep_s)
    found = session.scalar(select(func.greatest(long_ago, first)))  # which passes over null
    assert isinstance(found, dt.datetime)
    return found


def expire(session: Session, stream: Stream, until: dt.datetime) -> int:
    """Forget some of the packs made up to that moment, the oldest first.

    Those that an open label names stay until its image has joined a chunk. The stream's row must
    be locked: labels are given under that lock too.

    Returns:
        How many are forgotten; fewer than `AT_ONCE` when no more are left.
    """
    over = select(Pack.id).where(_is_over(stream, until))
    some = over.order_by(Pack.made_at).limit(AT_ONCE)
    gone = delete(Pack).where(Pack.id.in_(some)).returning(Pack.id)
    return len(session.scalars(gone).all())


def over(session: Session, stream: Stream, until: dt.datetime) -> tuple[int, int]:
    """How many packs `expire` would forget, and how many bytes they have."""
    size = func.coalesce(func.sum(Pack.size_bytes), 0)
    query = select(func.count(), size).where(_is_over(stream, until))
    count, size_bytes = session.execute(query).one()
    return count, int(size_bytes)


def _is_over(stream: Stream, until: dt.datetime) -> ColumnElement[bool]:
    is_needed = (
        select(Feedback.prediction_id)
        .where(
            Feedback.stream_id == stream.id,
            Feedback.pack_id == Pack.id,
            Feedback.chunk_id.is_(None),
        )
        .exists()
    )
    return and_(Pack.stream_id == stream.id, Pack.made_at <= until, ~is_needed)


def forget(session: Session, pack_id: str) -> None:
    """Forget a pack whose bytes are lost; the labels of its predictions stay, without an image.

    The stream's row must be locked.
    """
    session.execute(delete(Pack).where(Pack.id == pack_id))
