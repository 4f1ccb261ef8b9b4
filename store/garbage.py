"""Garbage collection: the only place where bytes are deleted."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, select
from sqlalchemy.orm import Session

from store.blobs import Blobs
from store.engine import Database
from store.models import Artifact, Blob, Chunk, Cycle, Pack, Rerun, Version
from store.states import ACTIVE, VersionState

_SCRATCH_S = 6 * 3600.0  # longer than any upload may take
_AT_ONCE = 1000


def collect(database: Database, blobs: Blobs) -> int:
    """Delete the blobs that no row names and nobody touched for their time.

    Each goes in its own short transaction, under its row's lock: whoever puts the same bytes at
    that moment waits, and writes them anew. Several collectors may be at it at once.

    Returns:
        How many were deleted.
    """
    _finish_interrupted(database, blobs)
    deleted = last = _collect_some(database, blobs)
    while last == _AT_ONCE:  # there may be more; what others hold is left for another time
        last = _collect_some(database, blobs)
        deleted += last
    _clear_scratch(blobs)
    return deleted


def _collect_some(database: Database, blobs: Blobs) -> int:
    with database.begin() as session:
        candidates = session.scalars(select(Blob.digest).where(_is_garbage()).limit(_AT_ONCE)).all()
    return sum(_delete(database, blobs, digest) for digest in candidates)


def _delete(database: Database, blobs: Blobs, digest: str) -> bool:
    try:
        with database.begin() as session:
            if not _lock_garbage(session, digest):
                return False
            # put aside first: should the lock be lost before the commit, the bytes come back
            blobs.discard(digest)
            session.execute(delete(Blob).where(Blob.digest == digest))
    except BaseException:
        _settle(database, blobs, digest)  # it may be the commit's answer alone that was lost
        raise
    blobs.forget(digest)
    return True


def _lock_garbage(session: Session, digest: str) -> bool:
    """Lock a blob's row unless somebody has it, and look again whether the blob is garbage.

    In two statements: one alone would look with a snapshot from before its lock, and miss the name
    that is committed between the two by one who had pinned the blob.
    """
    row = _row(digest)
    if session.scalar(row.with_for_update(skip_locked=True)) is None:
        return False
    return session.scalar(row.where(_is_garbage())) is not None


def _finish_interrupted(database: Database, blobs: Blobs) -> None:
    for digest in blobs.discarded():
        _settle(database, blobs, digest)


def _settle(database: Database, blobs: Blobs, digest: str) -> None:
    """What was put aside: gone if its row is, back in its place if nobody holds the row.

    Whoever holds it may be a collector about to commit: then the next collection settles it.
    """
    with database.begin() as session:
        row = _row(digest)
        if session.scalar(row) is None:
            blobs.forget(digest)
        elif session.scalar(row.with_for_update(skip_locked=True)) is not None:
            blobs.restore(digest)


def _row(digest: str) -> Select[str]:
    return select(Blob.digest).where(Blob.digest == digest)


def _is_garbage() -> ColumnElement[bool]:
    age = func.clock_timestamp() - Blob.touched_at
    old = age > Blob.keep_s * dt.timedelta(seconds=1)
    return and_(old, *(~naming.exists() for naming in _naming()))


def _naming() -> list[Select[Any]]:
    """The rows that name a blob, kind by kind.

    Each is an anti-join with an index on its digest: alternatives within one condition would be
    looked through blob by blob.
    """
    has_weights = Version.state != VersionState.WEIGHTS_DELETED
    return [
        select(Chunk.id).where(Chunk.digest == Blob.digest),
        select(Chunk.id).where(Chunk.file_digest == Blob.digest),
        select(Version.version).where(Version.digest == Blob.digest, has_weights),
        select(Version.version).where(Version.sidecar_digest == Blob.digest),
        select(Version.version).where(Version.mask_digest == Blob.digest),
        select(Version.version).where(Version.scores_digest == Blob.digest),
        select(Cycle.id).where(Cycle.resume_digest == Blob.digest, Cycle.state.in_(ACTIVE)),
        select(Rerun.id).where(Rerun.resume_digest == Blob.digest),
        select(Artifact.kind).where(Artifact.digest == Blob.digest),
        select(Pack.id).where(Pack.digest == Blob.digest),
    ]


def _clear_scratch(blobs: Blobs) -> None:
    for path in blobs.incoming():
        try:
            if time.time() - path.stat().st_mtime > _SCRATCH_S:
                path.unlink(missing_ok=True)
        except FileNotFoundError:  # its owner was quicker
            continue


def missing(session: Session, blobs: Blobs) -> list[str]:
    """Digests that a live row names though no bytes lie under them: always empty, or a defect."""
    named = select(Chunk.digest).union(
        select(Chunk.file_digest).where(Chunk.file_digest.is_not(None)),
        select(Version.digest).where(Version.state != VersionState.WEIGHTS_DELETED),
        select(Version.sidecar_digest),
        select(Version.mask_digest).where(Version.mask_digest.is_not(None)),
        select(Version.scores_digest).where(Version.scores_digest.is_not(None)),
        select(Artifact.digest).where(Artifact.digest.is_not(None)),
        select(Pack.digest),
    )
    return [digest for digest in session.scalars(named) if not blobs.exists(digest)]
