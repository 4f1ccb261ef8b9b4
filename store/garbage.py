"""Garbage collection: the only place where bytes are deleted."""

from __future__ import annotations

import datetime as dt
import time

from sqlalchemy import ColumnElement, Select, delete, func, or_, select
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
    that moment waits, and writes them anew.

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
            if session.scalar(_garbage_row(digest)) is None:
                return False
            # put aside first: should the lock be lost before the commit, the bytes come back
            blobs.discard(digest)
            session.execute(delete(Blob).where(Blob.digest == digest))
    except BaseException:
        blobs.restore(digest)
        raise
    blobs.forget(digest)
    return True


def _garbage_row(digest: str) -> Select[str]:
    query = select(Blob.digest).where(Blob.digest == digest, _is_garbage())
    return query.with_for_update(skip_locked=True)


def _finish_interrupted(database: Database, blobs: Blobs) -> None:
    """What a collector that died had put aside: back where its row is left, gone otherwise."""
    for digest in blobs.discarded():
        with database.begin() as session:
            row = session.scalar(select(Blob.digest).where(Blob.digest == digest))
        if row is None:
            blobs.forget(digest)
        else:
            blobs.restore(digest)


def _is_garbage() -> ColumnElement[bool]:
    age = func.clock_timestamp() - Blob.touched_at
    old = age > Blob.keep_s * dt.timedelta(seconds=1)
    named = or_(
        select(Chunk.id).where(Chunk.digest == Blob.digest).exists(),
        select(Chunk.id).where(Chunk.file_digest == Blob.digest).exists(),
        select(Version.version)
        .where(Version.digest == Blob.digest, Version.state != VersionState.WEIGHTS_DELETED)
        .exists(),
        select(Version.version).where(Version.sidecar_digest == Blob.digest).exists(),
        select(Version.version).where(Version.mask_digest == Blob.digest).exists(),
        select(Cycle.id)
        .where(Cycle.resume_digest == Blob.digest, Cycle.state.in_(ACTIVE))
        .exists(),
        select(Rerun.id).where(Rerun.resume_digest == Blob.digest).exists(),
        select(Artifact.kind).where(Artifact.digest == Blob.digest).exists(),
        select(Pack.id).where(Pack.digest == Blob.digest).exists(),
    )
    return old & ~named


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
        select(Artifact.digest).where(Artifact.digest.is_not(None)),
        select(Pack.digest),
    )
    return [digest for digest in session.scalars(named) if not blobs.exists(digest)]
