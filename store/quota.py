"""How many bytes are stored, in all, for a stream, and as what.

A blob counts once in the sum of all, also while nobody names it, until it is collected; in a
stream's sum once for each kind of thing that it is there. The rows are added up when somebody asks:
who asks often remembers the answer for a while; docs/storage.md tells what it takes.
"""

from __future__ import annotations

from sqlalchemy import func, literal, select, union_all
from sqlalchemy.orm import Session

from store import garbage
from store.models import Blob
from store.naming import Kind, parts

UNNAMED = "unnamed"


def total_bytes(session: Session) -> int:
    """All that the blobs take."""
    return int(session.scalars(select(func.coalesce(func.sum(Blob.size_bytes), 0))).one())


def stream_bytes(session: Session, stream_id: int) -> int:
    """What the rows of a stream name; what several streams name counts for each."""
    return sum(_by_kind(session, stream_id=stream_id).values())


def bytes_by_kind(session: Session) -> dict[str, int]:
    """By what they are; what is of two kinds counts for both, what nobody names is `UNNAMED`."""
    found = {kind.value: size for kind, size in _by_kind(session).items()}
    return found | {UNNAMED: sum(size for *_, size in garbage.unnamed(session))}


def _by_kind(session: Session, *, stream_id: int | None = None) -> dict[Kind, int]:
    """Kind by kind: of all names at once PostgreSQL knows no figures, and looks each digest up."""
    size = func.coalesce(func.sum(Blob.size_bytes), 0)
    sums = [
        select(literal(kind.value), size).where(
            Blob.digest.in_(select(part.subquery(kind.value).c.digest))
        )
        for kind, part in parts(stream_id=stream_id).items()
    ]
    return {Kind(kind): int(found) for kind, found in session.execute(union_all(*sums))}
