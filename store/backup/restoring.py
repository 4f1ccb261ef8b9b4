"""`restore`: a backup into an empty database."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from store.backup import checking, link, rows, several
from store.backup.folder import Folder, digest_of
from store.backup.manifest import Manifest
from store.backup.rows import Link
from store.blobs import Blobs
from store.errors import BackupRefused
from store.failpoint import failpoint
from store.settings import StoreSettings

_LEASES = ("replicas", "workers")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Restorer:
    """Where a backup goes.

    Attributes:
        settings: Where the database is.
        blobs: Where the bytes go; what lies there under the right digest stays.
        migrate: Brings the empty database to a revision of the schema, up or down.
        takes_place: Whether the blobs' place is taken from the database that it was of.
    """

    settings: StoreSettings
    blobs: Blobs
    migrate: Callable[[str], None]
    takes_place: bool = False

    def restore(self, source: Path, backup: str | None = None) -> Manifest:
        """Fill an empty database, and put the bytes that its rows name.

        First the bytes, then all rows in one transaction: interrupted before its end it may be
        begun again, and the database is still empty. Claims of the workers of then are free, and
        numbers go on where they had come to; those of events far behind that.

        Args:
            source: A folder of backups.
            backup: Its id; the newest unless stated.

        Raises:
            BackupRefused: The backup is not whole, or the database is not empty or in use.
            WrongPlace: The blobs' place is another database's.
            DatabaseAway: PostgreSQL cannot be reached, or left.
        """
        folder = Folder(source)
        made = folder.get(backup)
        if found := checking.faults_of_rows(folder, made):
            raise BackupRefused("; ".join(found))
        with link.connect(self.settings) as held:
            link.keep_all_bytes(held)
            _refuse_unless_empty(held, self.settings.stale_s)
            self.migrate(made.revision)
            if self.takes_place:
                self.blobs.adopt()
            self._put(folder, made)
            failpoint("restore.blobs")
            with link.one_schema(held), held.transaction():
                _fill(held, folder, made)
                failpoint("restore.rows")
            held.execute("ANALYZE")
        return made

    def _put(self, folder: Folder, made: Manifest) -> None:
        for _ in several.each(partial(self._put_one, folder), [*folder.read_list(made.id)]):
            pass
        for digest in made.blobs.missing:
            log.warning("sha256:%s had no bytes when the backup was taken", digest)

    def _put_one(self, folder: Folder, digest: str) -> None:
        path = folder.blob(digest)
        if not path.exists():
            raise BackupRefused(f"{path} is missing")
        with self.blobs.scratch() as scratch:
            shutil.copyfile(path, scratch)
            if digest_of(scratch) != digest:
                raise BackupRefused(f"{path} is damaged")
            self.blobs.put_file(scratch, digest)


def _refuse_unless_empty(held: Link, stale_s: float) -> None:
    known = rows.tables(held)
    if known and "alembic_version" not in known:
        raise BackupRefused("the database holds something else than LURE's schema")
    lasting = [name for name in known if name not in rows.LEFT_OUT]
    if full := rows.filled(held, lasting):
        raise BackupRefused(f"the database is not empty; it has rows in {', '.join(full)}")
    for table in _LEASES:
        if table in known and (count := rows.seen_lately(held, table, stale_s)):
            raise BackupRefused(
                f"{count} processes of LURE work on the database ({table}); stop them first"
            )


def _fill(held: Link, folder: Folder, made: Manifest) -> None:
    names = [table.name for table in made.tables]
    # again, and now for good: whoever writes in between waits for the end, or is found
    rows.lock(held, names)
    if full := rows.filled(held, names):
        raise BackupRefused(f"the database was written to meanwhile: {', '.join(full)}")
    for table in made.tables:
        rows.read(held, table, folder.table(made.id, table.name))
    for sequence in made.sequences:
        rows.go_on(held, sequence)
    rows.free_claims(held, names)
