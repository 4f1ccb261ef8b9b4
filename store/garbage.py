"""Garbage collection: the only place where bytes are deleted."""

from __future__ import annotations

import datetime as dt
import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
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
from store.errors import Away
from store.models import Artifact, Blob, Chunk, Cycle, Pack, Rerun, Version
from store.states import ACTIVE, VersionState

_SCRATCH_S = 6 * 3600.0  # longer than any upload may take
_AT_ONCE = 1000
_REFUSED_AT_MOST = 10  # of one collection: after that it is the store, not what is stored

log = logging.getLogger(__name__)


def is_held_back(database: Database) -> bool:
    """Whether nothing can be deleted now: a backup copies what is there."""
    with database.begin() as session:
        return not locks.may_collect(session)


def collect(database: Database, blobs: Blobs, *, limit_s: float = math.inf) -> int:
    """Delete the blobs that no row names and nobody touched for their time.

    Each goes in its own short transaction, under its row's lock: whoever puts the same bytes at
    that moment waits, and writes them anew. Several collectors may be at it at once. One that
    fails holds up no other: it is logged, and the first fault is raised at the end.

    Args:
        database: Where the rows are.
        blobs: Where the bytes are.
        limit_s: Seconds after which what is left is left for the next time.

    Returns:
        How many were deleted.
    """
    each = _Each(blobs.deletes_at_once, limit_s)
    each.do(partial(settle, database, blobs), blobs.discarded())
    deleted, last = 0, ""
    while not each.is_over:
        some = _candidates(database, after=last)
        deleted += each.do(partial(delete_blob, database, blobs), some)
        if len(some) < _AT_ONCE:
            break
        last = some[-1]
    else:
        log.warning("%d blobs were deleted; what is left is left for the next time", deleted)
    clear_scratch(blobs)
    if each.fault is not None:
        raise each.fault
    return deleted


def _candidates(database: Database, *, after: str) -> Sequence[str]:
    """The next blobs that seem to be garbage, by digest: what fails or is held comes once."""
    query = select(Blob.digest).where(Blob.digest > after, _is_garbage())
    with database.begin() as session:
        return session.scalars(query.order_by(Blob.digest).limit(_AT_ONCE)).all()


class _Each:
    """Does some work with each of many digests, in threads.

    Attributes:
        fault: The first that there was.
    """

    def __init__(self, threads: int, limit_s: float) -> None:
        self._threads = threads
        self._end = time.monotonic() + limit_s
        self._refused = 0
        self.fault: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether the time is, or the store refuses so much that the rest is not asked for."""
        return time.monotonic() > self._end or self._refused >= _REFUSED_AT_MOST

    def do(self, work: Callable[[str], object], digests: Sequence[str]) -> int:
        """Do it; how many it was true of."""
        with ThreadPoolExecutor(self._threads) as pool:
            return sum(pool.map(partial(self._one, work), digests))

    def _one(self, work: Callable[[str], object], digest: str) -> bool:
        if self.is_over:
            return False
        try:
            return bool(work(digest))
        except Exception as error:
            log.exception("sha256:%s is not collected", digest)
            self.fault = self.fault or error
            self._refused += isinstance(error, Away)
            return False


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
