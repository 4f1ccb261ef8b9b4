"""The blobs: rows in the database, bytes in a place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Self

from store.blobs import belonging, rows
from store.blobs.asking import Told, untold
from store.blobs.opening import place_of
from store.blobs.place import Place, Stored
from store.blobs.rows import KEEP_S
from store.engine import Database
from store.settings import StoreSettings


class Blobs:
    """Bytes under their sha256.

    Args:
        place: Where they lie.
        database: Where the row of each digest is kept.
    """

    def __init__(self, place: Place, database: Database) -> None:
        self._place = place
        self._database = database
        self._is_settled = False

    @classmethod
    def of(cls, settings: StoreSettings, database: Database, told: Told = untold) -> Self:
        """As the settings say; make it after a fork, never before.

        Args:
            settings: Say where the place is.
            database: Where the rows are kept.
            told: Hears of each request to an object store what it was, and whether it failed.
        """
        return cls(place_of(settings, told), database)

    @property
    def root(self) -> Path:
        """The local folder that holds the blobs, or what was fetched of them."""
        return self._place.root

    @property
    def deletes_at_once(self) -> int:
        """How many threads a collector gains from."""
        return self._place.deletes_at_once

    def adopt(self) -> None:
        """Make the place this database's, whose ever it was.

        Raises:
            DatabaseAway, BlobsAway: Do it again.
        """
        belonging.adopt(self._database, self._place)
        self._is_settled = True

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """The path of a new local file; whatever is left of it goes at the end."""
        path = self._place.scratch_path()
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def put_file(self, path: Path, digest: str, *, keep_s: int = KEEP_S) -> None:
        """Move a scratch file to its place under `digest`, its sha256; nothing if it is there.

        Raises:
            DatabaseAway, BlobsAway: Try again, with the same file.
            WrongPlace: The place is another database's.
        """
        size_bytes = path.stat().st_size
        self._put(
            lambda is_new: self._place.put_file(path, digest, is_new=is_new),
            touch=lambda: rows.touch(self._database, digest, size_bytes, keep_s),
        )
        self._place.use_up(path, digest)

    def put_bytes(self, data: bytes, *, keep_s: int = KEEP_S) -> str:
        """Store some bytes; return their digest.

        Raises:
            DatabaseAway, BlobsAway: Try again.
            WrongPlace: The place is another database's.
        """
        digest = hashlib.sha256(data).hexdigest()
        self._put(
            lambda is_new: self._place.put_bytes(data, digest, is_new=is_new),
            touch=lambda: rows.touch(self._database, digest, len(data), keep_s),
        )
        return digest

    def local(self, digest: str, *, check: bool = False) -> Path:
        """The bytes as a local file, for reading and mapping; fetched where they lie elsewhere.

        Open it soon: a file that was fetched is given up some ten minutes later at the earliest.
        With `check` it is read through; what is fetched is checked on arrival anyhow.

        Raises:
            BlobMissing: There are none.
            BlobDamaged: They are not what was stored.
            BlobsAway: They lie elsewhere, and cannot be fetched now.
        """
        return self._place.local(digest, check=check)

    def borrowed(self, digest: str, *, check: bool = True) -> AbstractContextManager[Path]:
        """The bytes as a local file for the time of a block, however long; raises like `local`.

        For what is read once, or late: nothing that was fetched for it stays behind. With `check`,
        what was fetched earlier is read through, and fetched anew if it is damaged.
        """
        return self._place.borrowed(digest, check=check)

    def read(self, digest: str) -> bytes:
        """The bytes, checked against their digest; raises like `local`."""
        return self._place.read(digest)

    def check(self, digest: str) -> None:
        """Read the bytes through where they lie, of any size, without keeping them.

        Raises:
            BlobMissing, BlobDamaged, BlobsAway: As `local`.
        """
        self._place.check(digest)

    def clear_damage(self, digest: str) -> None:
        """Delete what lies there and is damaged, before the right bytes are put."""
        self._place.clear_damage(digest)

    def exists(self, digest: str) -> bool:
        """Whether there are bytes under that digest.

        Raises:
            BlobsAway: They would lie elsewhere, and that cannot be asked now.
        """
        return self._place.size(digest) is not None

    def free_bytes(self) -> int:
        """Free space for scratch files, and for the blobs if they lie in the same folder."""
        stat = os.statvfs(self._place.scratch_path().parent)
        return stat.f_bavail * stat.f_frsize

    def stored(self) -> Iterator[Stored]:
        """All that lies there; a digest may come more than once.

        Raises:
            WrongPlace: It is not this database's.
        """
        self._settle(anew=True)
        return self._place.stored()

    def discard(self, digest: str) -> set[str]:
        """For garbage collection alone: put the bytes aside, under the row's lock; their names."""
        self._settle()
        return self._place.discard(digest)

    def discarded_of(self, digest: str) -> set[str]:
        """The names of what is aside; ask before it is seen that there is no row."""
        return self._place.discarded_of(digest)

    def restore(self, digest: str) -> None:
        """Undo `discard`, under the row's lock, unless the bytes were put anew meanwhile."""
        self._place.restore(digest)

    def forget(self, digest: str, names: set[str]) -> None:
        """Delete what was put aside under these names, after the commit that deleted its row.

        Not what somebody marks later: a collector that was stopped, and has lost its lock.
        """
        self._place.forget(digest, names)

    def discarded(self) -> list[str]:
        """Digests whose bytes were put aside, by collectors that have died or are at it.

        Raises:
            WrongPlace: It is not this database's.
        """
        self._settle(anew=True)
        return self._place.discarded()

    def incoming(self) -> Iterator[Path]:
        """The scratch files, those of dead processes among them."""
        return self._place.incoming()

    def _settle(self, *, anew: bool = False) -> None:
        """Whether this is the place: before the first bytes are put, and before each collection."""
        if anew or not self._is_settled:
            belonging.settle(self._database, self._place)
            self._is_settled = True

    def _put(self, send: Callable[[bool], bool], *, touch: Callable[[], bool]) -> None:
        """Touch, then put; what took its time is put again if its row was collected meanwhile."""
        self._settle()
        is_new = touch()
        while send(is_new) and touch():
            is_new = False  # it lies there, but may have been put aside
