"""Packs: the predictions that a replica made of a stream in one moment, as one blob and one row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.blobs import pin
from store.models import Feedback, Pack, Stream

KEEP_S = 60  # of a pack's bytes once no row names them: images should go when their time is over


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
    holders = select(Pack.stream_id).distinct()
    return session.scalars(select(Stream).where(Stream.id.in_(holders)).order_by(Stream.id)).all()


def expire(session: Session, stream: Stream, *, keep_s: int, max_bytes: int) -> int:
    """Forget the packs older than `keep_s`, and the oldest beyond `max_bytes` of the stream.

    Those that an open label names stay until its image has joined a chunk. The stream's row must
    be locked: labels are given under that lock too.

    Returns:
        How many are forgotten.
    """
    upto = func.sum(Pack.size_bytes).over(order_by=(Pack.made_at.desc(), Pack.id))
    piled = select(Pack.id, upto.label("bytes")).where(Pack.stream_id == stream.id).subquery()
    beyond = select(piled.c.id).where(piled.c.bytes > max_bytes)
    is_needed = (
        select(Feedback.prediction_id)
        .where(
            Feedback.stream_id == stream.id,
            Feedback.pack_id == Pack.id,
            Feedback.chunk_id.is_(None),
        )
        .exists()
    )
    horizon = func.clock_timestamp() - dt.timedelta(seconds=keep_s)
    is_over = (Pack.made_at < horizon) | Pack.id.in_(beyond)
    gone = delete(Pack).where(Pack.stream_id == stream.id, is_over, ~is_needed)
    return len(session.scalars(gone.returning(Pack.id)).all())


def forget(session: Session, pack_id: str) -> None:
    """Forget a pack whose bytes are lost; the labels of its predictions stay, without an image.

    The stream's row must be locked.
    """
    session.execute(delete(Pack).where(Pack.id == pack_id))
