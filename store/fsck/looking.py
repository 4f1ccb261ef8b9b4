"""Finds what is wrong, beside everything that goes on.

The bytes are listed first and the rows read afterwards, so that what comes and goes meanwhile only
makes a suspect: each is looked at once more by itself.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import select

from store import garbage, naming
from store.blobs import Blobs
from store.engine import Database, Session
from store.errors import Away, BlobDamaged, BlobMissing
from store.fsck.faults import REMEDIES, Fault, What
from store.models import Blob
from store.naming import Name

GRACE_S = 86_400.0  # bytes without a row are let be that long: longer than any upload may take
_TOLD_EVERY_S = 60.0
_PATIENCE_S = 120.0
_REST_S = 0.5
_AT_ONCE = 1000  # rows that are asked for in one query

log = logging.getLogger(__name__)


@dataclass
class Found:
    """What was looked at, and what is wrong with it."""

    named: int = 0
    stored: int = 0
    stored_bytes: int = 0
    read_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)


@dataclass
class _Picture:
    """Bytes and rows, as they were listed.

    Attributes:
        stored: By digest, the sizes of what lies there, and when the youngest of it was written.
        ledger: The rows of blobs, with their sizes.
        named: By digest, the rows that name it.
    """

    stored: dict[str, tuple[set[int], dt.datetime]]
    ledger: dict[str, int]
    named: dict[str, list[Name]]


def look(database: Database, blobs: Blobs, *, quick: bool, grace_s: float = GRACE_S) -> Found:
    """Everything that is wrong; see `faults`."""
    found = Found()
    found.faults += faults(database, blobs, found, quick=quick, grace_s=grace_s)
    return found


def faults(
    database: Database, blobs: Blobs, found: Found, *, quick: bool, grace_s: float = GRACE_S
) -> Iterator[Fault]:
    """What is wrong, one after the other as it is found; each may be mended before the next.

    Args:
        database: Where the rows are.
        blobs: Where the bytes are.
        found: Is told what was looked at; the faults are the caller's to keep.
        quick: Believe the sizes; else each byte that a row names is read.
        grace_s: Age of bytes without a row that are nobody's any more.

    Raises:
        DatabaseAway, BlobsAway: Not all could be looked at; one that comes back soon is waited for.
    """
    stored = _list(blobs)
    with database.begin() as session:
        ledger = _ledger(session)
        named = _names(session)
    picture = _Picture(stored, ledger, named)
    found.named, found.stored = len(named), len(stored)
    found.stored_bytes = sum(sum(sizes) for sizes, _ in stored.values())
    yield from _of_names(database, blobs, picture, found, quick=quick)
    yield from _of_bytes(database, blobs, picture, grace_s)
    yield from _of_ledger(database, blobs, picture)
    yield from _of_scratch(blobs)


def _list(blobs: Blobs) -> dict[str, tuple[set[int], dt.datetime]]:
    stored: dict[str, tuple[set[int], dt.datetime]] = {}
    for one in blobs.stored():
        sizes, at = stored.get(one.digest, (set(), one.at))
        stored[one.digest] = (sizes | {one.size_bytes}, max(at, one.at))
    return stored


def _ledger(session: Session) -> dict[str, int]:
    rows = session.execute(select(Blob.digest, Blob.size_bytes).execution_options(yield_per=5000))
    return {row.digest: row.size_bytes for row in rows}


def _names(session: Session) -> dict[str, list[Name]]:
    named: dict[str, list[Name]] = defaultdict(list)
    for digest, name in naming.every(session):
        named[digest].append(name)
    return named


def _of_names(
    database: Database, blobs: Blobs, picture: _Picture, found: Found, *, quick: bool
) -> Iterator[Fault]:
    """Of the bytes that rows name."""
    told_at = time.monotonic()
    for number, (digest, names) in enumerate(picture.named.items()):
        if time.monotonic() - told_at > _TOLD_EVERY_S:
            told_at = time.monotonic()
            gib = found.read_bytes / (1 << 30)
            log.info("%d of %d looked at, %.1f GiB read", number, found.named, gib)
        sizes = picture.stored.get(digest, (set(), None))[0]
        size = picture.ledger.get(digest)
        fits = bool(sizes) and (size is None or size in sizes)
        if not (fits and quick):
            found.read_bytes += max(sizes, default=0)
            if fault := _patiently(partial(_read, database, blobs, digest, names)):
                yield fault
                continue
        if size is None and _is_unlisted(database, digest):
            what = Fault(What.UNLISTED, digest, max(sizes, default=0), tuple(names))
            yield Fault(**vars(what) | {"remedy": "--repair gives them a row again"})


def _patiently(look: Callable[[], Fault | None]) -> Fault | None:
    """Look again while what it leans on is away: hours of reading may lie behind."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return look()
        except Away as error:
            if time.monotonic() > deadline:
                raise
            log.warning("waiting: %s", error)
            time.sleep(_REST_S)


def _read(database: Database, blobs: Blobs, digest: str, names: list[Name]) -> Fault | None:
    """What is wrong with some bytes, if rows that named them before still do."""
    what = What.DAMAGED
    try:
        blobs.check(digest)
        return None
    except BlobDamaged:
        pass
    except BlobMissing:
        what = What.ASIDE if digest in blobs.discarded() else What.MISSING
    with database.begin() as session:
        still = [name for name in naming.of(session, digest) if name in names]
    if not still:
        return None
    if what is What.ASIDE:
        remedy = "the next collection of garbage puts them back, or --repair"
    else:
        remedy = "; ".join(dict.fromkeys(REMEDIES[name.kind] for name in still))
    return Fault(what, digest, names=tuple(still), remedy=remedy)


def _is_unlisted(database: Database, digest: str) -> bool:
    with database.begin() as session:
        return session.get(Blob, digest) is None and bool(naming.of(session, digest))


def _of_bytes(
    database: Database, blobs: Blobs, picture: _Picture, grace_s: float
) -> Iterator[Fault]:
    """Of the bytes that nobody knows of."""
    horizon = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=grace_s)
    for digest, (sizes, at) in picture.stored.items():
        if digest in picture.ledger or digest in picture.named or at > horizon:
            continue
        if not blobs.exists(digest):
            continue
        with database.begin() as session:
            if session.get(Blob, digest) is not None:
                continue
        remedy = "--repair gives them a row, and the collector deletes them in an hour"
        yield Fault(What.ORPHAN, digest, max(sizes), remedy=remedy)


def _of_ledger(database: Database, blobs: Blobs, picture: _Picture) -> Iterator[Fault]:
    """Of the blobs' rows that nobody names, and that have no bytes."""
    suspects = sorted(picture.ledger.keys() - picture.stored.keys() - picture.named.keys())
    for first in range(0, len(suspects), _AT_ONCE):
        with database.begin() as session:
            over = garbage.among(session, suspects[first : first + _AT_ONCE])
        for digest in sorted(over):
            if blobs.exists(digest):
                continue
            remedy = "the next collection of garbage deletes the row, or --repair"
            yield Fault(What.EMPTY, digest, picture.ledger[digest], remedy=remedy)


def _of_scratch(blobs: Blobs) -> Iterator[Fault]:
    for path, size_bytes in garbage.stale_scratch(blobs):
        remedy = "the next collection of garbage on this machine deletes it, or --repair"
        yield Fault(What.SCRATCH, path.name, size_bytes, remedy=remedy)
