"""The row of each digest, which makes deletion safe.

Whoever puts bytes touches the row and commits *before* it writes, and `store.garbage` deletes
bytes and row under that row's lock, never within `keep_s` of a touch. Whoever writes a row that
names a digest pins it in the same transaction: if the collector was quicker, nothing is named that
is not there.
"""

from __future__ import annotations

from sqlalchemy import Boolean, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from store.engine import Database, Session
from store.errors import BlobMissing
from store.locks import locked
from store.models import Blob

KEEP_S = 3600  # between the bytes and the row that names them
KEEP_RESUME_S = 120  # resume states are large and follow one another


def pin(session: Session, *digests: str) -> None:
    """Hold blobs until the commit of the row that names them.

    Raises:
        BlobMissing: One was collected; put its bytes again.
    """
    if lost := set(digests) - held(session, *digests):
        raise BlobMissing(f"no bytes under sha256:{', '.join(sorted(lost))}")


def held(session: Session, *digests: str) -> set[str]:
    """Hold those of the blobs that there are until the commit; their digests."""
    query = select(Blob.digest).where(Blob.digest.in_(digests)).order_by(Blob.digest)
    return set(session.scalars(locked(query)))


def touch(database: Database, digest: str, size_bytes: int, keep_s: int) -> bool:
    """Make a digest's row young, in a transaction of its own.

    Returns:
        Whether there was none.
    """
    row = insert(Blob).values(digest=digest, size_bytes=size_bytes, keep_s=keep_s)
    touched = {
        "touched_at": func.clock_timestamp(),
        "keep_s": func.greatest(Blob.keep_s, keep_s),
    }
    upsert = row.on_conflict_do_update(index_elements=[Blob.digest], set_=touched)
    # only a row that was there before has a transaction that it is the successor of
    is_new = literal_column("xmax = 0", Boolean())
    with database.begin() as session:
        return bool(session.scalar(upsert.returning(is_new)))
