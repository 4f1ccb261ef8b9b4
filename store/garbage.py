"""Garbage collection: the only place where bytes are deleted."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, delete, func, select, union
from sqlalchemy.orm import Session

from store import locks
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
    clear_scratch(blobs)
    return deleted


def _collect_some(database: Database, blobs: Blobs) -> int:
    with database.begin() as session:
        candidates = session.scalars(select(Blob.digest).where(_is_garbage()).limit(_AT_ONCE)).all()
    with ThreadPoolExecutor(blobs.deletes_at_once) as pool:
        return sum(pool.map(partial(delete_blob, database, blobs), candidates))


def delete_blob(database: Database, blobs: Blobs, digest: str) -> bool:
    """Delete bytes and row; False, with nothing done, if it is no garbage or somebody has it."""
    try:
        with database.begin() as session:
            if not _lock_garbage(session, digest):
                return False
            # put aside first: should the lock be lost before the commit, the bytes come back
            names = blobs.discard(digest)
            session.execute(delete(Blob).where(Blob.digest == digest))
    except BaseException:
        settle(database, blobs, digest)  # it may be the commit's answer alone that was lost
        raise
    blobs.forget(digest, names)
    return True


def _lock_garbage(session: Session, digest: str) -> bool:
    """Lock a blob's row unless somebody has it, and look again whether the blob is garbage.

    In two statements: one alone would look with a snapshot from before its lock, and miss the name
    that is committed between the two by one who had pinned the blob.
    """
    if not locks.may_collect(session):
        return False
    row = _row(digest)
    if session.scalar(row.with_for_update(skip_locked=True)) is None:
        return False
    return session.scalar(row.where(_is_garbage())) is not None


def _finish_interrupted(database: Database, blobs: Blobs) -> None:
    for digest in blobs.discarded():
        settle(database, blobs, digest)


def settle(database: Database, blobs: Blobs, digest: str) -> None:
    """What was put aside: gone if its row is, back in its place if nobody holds the row.

    Whoever holds it may be a collector about to commit: then the next collection settles it.
    """
    names = blobs.discarded_of(digest)
    with database.begin() as session:
        row = _row(digest)
        if session.scalar(row) is None:
            blobs.forget(digest, names)
        elif session.scalar(row.with_for_update(skip_locked=True)) is not None:
            blobs.restore(digest)


def _row(digest: str) -> Select[str]:
    return select(Blob.digest).where(Blob.digest == digest)


def unnamed(session: Session) -> list[tuple[int, bool, int, int]]:
    """The blobs that no row names, by how many seconds they are kept, and whether that is over.

    Returns:
        Seconds, whether they are over, how many blobs, how many bytes.
    """
    query = select(Blob.keep_s, _is_over().label("over"), Blob.size_bytes).where(_is_unnamed())
    found = query.subquery().c
    groups = select(found.keep_s, found.over, func.count(), func.sum(found.size_bytes))
    rows = session.execute(groups.group_by(found.keep_s, found.over).order_by(found.keep_s))
    return [(keep_s, over, count, int(size)) for keep_s, over, count, size in rows]


def among(session: Session, digests: Collection[str]) -> set[str]:
    """Those of the digests, a thousand at most, whose blobs are garbage."""
    return set(session.scalars(select(Blob.digest).where(Blob.digest.in_(digests), _is_garbage())))


def _is_garbage() -> ColumnElement[bool]:
    return and_(_is_over(), _is_unnamed())


def _is_over() -> ColumnElement[bool]:
    """Whether a blob's time without a name is over."""
    age = func.clock_timestamp() - Blob.touched_at
    return age > Blob.keep_s * dt.timedelta(seconds=1)


def _is_unnamed() -> ColumnElement[bool]:
    return and_(*(~naming.exists() for naming in _naming()))


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


def named() -> CompoundSelect[str]:
    """The digests that rows name, those of resume states among them; no bytes but theirs matter."""
    active = Cycle.state.in_(ACTIVE), Cycle.resume_digest.is_not(None)
    return union(
        _named_by_lasting_rows(),
        select(Cycle.resume_digest).where(*active),
        select(Rerun.resume_digest).where(Rerun.resume_digest.is_not(None)),
    )


def _named_by_lasting_rows() -> CompoundSelect[str]:
    return union(
        select(Chunk.digest),
        select(Chunk.file_digest).where(Chunk.file_digest.is_not(None)),
        select(Version.digest).where(Version.state != VersionState.WEIGHTS_DELETED),
        select(Version.sidecar_digest),
        select(Version.mask_digest).where(Version.mask_digest.is_not(None)),
        select(Version.scores_digest).where(Version.scores_digest.is_not(None)),
        select(Artifact.digest).where(Artifact.digest.is_not(None)),
        select(Pack.digest),
    )


def clear_scratch(blobs: Blobs) -> None:
    """Delete what dead processes have left on this machine."""
    for path, _ in stale_scratch(blobs):
        path.unlink(missing_ok=True)


def stale_scratch(blobs: Blobs) -> list[tuple[Path, int]]:
    """The scratch files on this machine whose processes must have died, and their sizes."""
    found = []
    for path in blobs.incoming():
        with suppress(FileNotFoundError):  # its owner was quicker
            told = path.stat()
            if time.time() - told.st_mtime > _SCRATCH_S:
                found.append((path, told.st_size))
    return found


def missing(session: Session, blobs: Blobs) -> list[str]:
    """Digests that a live row names though no bytes lie under them: always empty, or a defect."""
    rows = session.scalars(_named_by_lasting_rows())
    return [digest for digest in rows if not blobs.exists(digest)]
