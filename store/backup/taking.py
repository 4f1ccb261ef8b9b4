"""`take`: a backup, while everything goes on."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import cast

from sqlalchemy import select
from sqlalchemy.engine import make_url

from store import garbage
from store.backup import link, manifest, rows, several
from store.backup.folder import Folder
from store.backup.manifest import Bytes, Manifest
from store.backup.rows import Link
from store.blobs import Blobs
from store.errors import BackupRefused, BlobDamaged, BlobMissing
from store.failpoint import failpoint
from store.models import Blob
from store.settings import StoreSettings

_POSTGRESQL = make_url("postgresql+psycopg://").get_dialect()()
_DIGEST = garbage.named().subquery().c[0]
_QUERY = select(_DIGEST, Blob.size_bytes).outerjoin(Blob, Blob.digest == _DIGEST)
_NAMED = str(_QUERY.compile(dialect=_POSTGRESQL, compile_kwargs={"literal_binds": True})).encode()

log = logging.getLogger(__name__)


def take(
    settings: StoreSettings, blobs: Blobs, target: Path, *, keep: int | None = None
) -> Manifest:
    """Write a backup into a folder; of the bytes only what no earlier one there has.

    Killed at any moment it leaves nothing that counts as a backup; the next one goes on with the
    bytes that it copied.

    Args:
        settings: Where the database is.
        blobs: Where the bytes are.
        target: A folder of backups, or one that is empty or not there.
        keep: Delete all but so many backups at the end, unless this one lacks bytes; None keeps
            all.

    Raises:
        BackupRefused: The folder or the database is not fit for it; the message says why.
        DatabaseAway: PostgreSQL cannot be reached, or left.
    """
    folder = Folder(target)
    with folder.opened(), link.connect(settings) as held:
        link.keep_all_bytes(held)
        moment = _Moment()
        with link.one_schema(held), _snapshot(held):
            moment.read(held, folder)
        failpoint("backup.rows")
        copied = _copy(blobs, folder, moment.named)
        made = moment.manifest(folder, copied)
        failpoint("backup.blobs")
        link.must_still_keep_all_bytes(held)
        folder.finish(made)
        if keep is not None:
            _prune(folder, made, keep)
    return made


def _prune(folder: Folder, made: Manifest, keep: int) -> None:
    if made.blobs.missing:  # older ones may have them
        log.warning("no older backup is deleted: %s lacks bytes", made.id)
    else:
        log.info("deleted %d older backups", len(folder.prune(keep)))


@contextmanager
def _snapshot(held: Link) -> Iterator[None]:
    """All that is read within is of one moment, and nothing is locked."""
    with held.transaction():
        held.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


class _Moment:
    """What the database says at one moment, and the files with it."""

    id: str
    revision: str
    taken_at: dt.datetime
    tables: tuple[manifest.Table, ...]
    sequences: tuple[manifest.Sequence, ...]
    named: dict[str, int | None]  # digests, and how many bytes each should have, where it is known

    def read(self, held: Link, folder: Folder) -> None:
        """Write all rows, and find out which bytes they name."""
        known = rows.tables(held)
        if "alembic_version" not in known:
            raise BackupRefused("the database has no schema of LURE's; is it the right one?")
        asked = "SELECT version_num, clock_timestamp() FROM alembic_version"
        revision, now = held.execute(asked).fetchall()[0]
        self.revision, self.taken_at = cast("str", revision), cast("dt.datetime", now)
        self.id = self.taken_at.astimezone(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        folder.begin(self.id)
        names = [name for name in known if name not in rows.LEFT_OUT]
        self.tables = tuple(rows.write(held, name, folder.table(self.id, name)) for name in names)
        self.sequences = tuple(rows.sequences(held, names))
        named = cast("list[tuple[str, int | None]]", held.execute(_NAMED).fetchall())
        self.named = dict(sorted(named))

    def manifest(self, folder: Folder, copied: dict[str, int | None]) -> Manifest:
        """What the backup says of itself; writes the list of its blobs."""
        sizes = {digest: size for digest, size in copied.items() if size is not None}
        told = Bytes(
            count=len(sizes),
            size_bytes=sum(sizes.values()),
            sha256=folder.write_list(self.id, sizes.items()),
            missing=tuple(digest for digest, size in copied.items() if size is None),
        )
        return Manifest(
            format=manifest.FORMAT,
            id=self.id,
            lure=version("lure"),
            revision=self.revision,
            taken_at=self.taken_at,
            tables=self.tables,
            sequences=self.sequences,
            blobs=told,
        )


def _copy(blobs: Blobs, folder: Folder, named: dict[str, int | None]) -> dict[str, int | None]:
    """Copy the bytes that are not there, or cut off; sizes, None where there are none."""
    sizes: dict[str, int | None] = {digest: folder.size(digest) for digest in named}
    new = [
        digest
        for digest, size in sizes.items()
        if size is None or named[digest] not in (size, None)
    ]
    copied = several.each(partial(_copy_one, blobs, folder), new)
    sizes.update(zip(new, copied, strict=True))
    log.info("%d of %d blobs were new", len(new), len(named))
    return sizes


def _copy_one(blobs: Blobs, folder: Folder, digest: str) -> int | None:
    try:
        with blobs.borrowed(digest) as path, path.open("rb") as source:
            size = folder.keep(source, digest)
    except (BlobMissing, BlobDamaged) as error:
        log.error("%s", error)
        return None
    if size is None:
        log.error("the bytes under sha256:%s are damaged", digest)
    return size
