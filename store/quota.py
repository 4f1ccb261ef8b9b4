"""How many bytes are stored, in all, for a stream, and as what.

A blob counts once in each sum, whoever else names it; in the sum of all also while nobody does,
until it is collected. The rows are added up when somebody asks: 10⁵ take some tens of
milliseconds (docs/storage.md), so who asks often remembers the answer for a while.
"""

from __future__ import annotations

from sqlalchemy import Subquery, func, select
from sqlalchemy.orm import Session

from store.models import Blob
from store.naming import Kind, names

UNNAMED = "unnamed"


def total_bytes(session: Session) -> int:
    """All that the blobs take."""
    return int(session.scalars(select(func.coalesce(func.sum(Blob.size_bytes), 0))).one())


def stream_bytes(session: Session, stream_id: int) -> int:
    """What the rows of a stream name; what several streams name counts for each."""
    return _named_bytes(session, names(stream_id=stream_id))


def bytes_by_kind(session: Session) -> dict[str, int]:
    """By what they are; what is of two kinds counts for both, what nobody names is `UNNAMED`."""
    named = names()
    kinds = select(named.c.kind, named.c.digest).distinct().subquery()
    rows = session.execute(
        select(kinds.c.kind, func.sum(Blob.size_bytes))
        .join(Blob, Blob.digest == kinds.c.digest)
        .group_by(kinds.c.kind)
    )
    found = dict.fromkeys(Kind, 0) | {Kind(kind): int(size) for kind, size in rows}
    unnamed = total_bytes(session) - _named_bytes(session, named)
    return {**{kind.value: size for kind, size in found.items()}, UNNAMED: max(0, unnamed)}


def _named_bytes(session: Session, named: Subquery) -> int:
    size = func.coalesce(func.sum(Blob.size_bytes), 0)
    return int(session.scalars(select(size).where(Blob.digest.in_(select(named.c.digest)))).one())
