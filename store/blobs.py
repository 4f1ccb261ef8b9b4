"""Bytes under their sha256: written once, fsynced, deleted by garbage collection alone.

A row per digest makes deletion safe: `put` touches the row and commits *before* it writes, and
`store.garbage` deletes bytes and row under that row's lock, never within `keep_s` of a touch.
Whoever writes a row that names a digest pins it in the same transaction: if the collector was
quicker, nothing is named that is not there.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from store.engine import Database, Session
from store.errors import BlobDamaged, BlobMissing
from store.locks import locked
from store.models import Blob

KEEP_S = 3600  # between the bytes and the row that names them
KEEP_RESUME_S = 120  # resume states are large and follow one another
_INCOMING = "incoming"
_TRASH = "trash"


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


class Blobs:
    """The blobs in a local folder.

    Args:
        root: The folder; made if it is not there.
        database: Where the row of each digest is kept.
    """

    def __init__(self, root: Path, database: Database) -> None:
        self._root = root.resolve()
        for folder in (_INCOMING, _TRASH):
            (self._root / folder).mkdir(parents=True, exist_ok=True)
        self._store = LocalStore(self._root)
        self._database = database

    @property
    def root(self) -> Path:
        """The folder that holds the blobs."""
        return self._root

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """The path of a new file beside the blobs; whatever is left of it goes at the end."""
        path = self._root / _INCOMING / secrets.token_hex(16)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def put_file(self, path: Path, digest: str, *, keep_s: int = KEEP_S) -> None:
        """Move a scratch file to its place under `digest`, its sha256; nothing if it is there."""
        self._touch(digest, path.stat().st_size, keep_s)
        target = self.path(digest)
        _fsync(path)
        try:
            obstore.rename(self._store, f"{_INCOMING}/{path.name}", _key(digest), overwrite=False)
        except AlreadyExistsError:
            self._mend_if_damaged(path, digest)
        # obstore does not fsync; the rename is safe only when every folder on the way is
        for folder in (target.parent, target.parent.parent, self._root):
            _fsync(folder)

    def put_bytes(self, data: bytes, *, keep_s: int = KEEP_S) -> str:
        """Store some bytes; return their digest."""
        digest = hashlib.sha256(data).hexdigest()
        with self.scratch() as path:
            path.write_bytes(data)
            self.put_file(path, digest, keep_s=keep_s)
        return digest

    def path(self, digest: str) -> Path:
        """Where the bytes lie, for reading and mapping."""
        return self._root / _key(digest)

    def read(self, digest: str) -> bytes:
        """The bytes, checked against their digest.

        Raises:
            BlobMissing: There are none.
            BlobDamaged: They are not what was stored.
        """
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError as error:
            raise BlobMissing(f"no bytes under sha256:{digest}") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise BlobDamaged(f"the bytes under sha256:{digest} are damaged")
        return data

    def check(self, digest: str) -> None:
        """Read the bytes through, of any size, without keeping them.

        Raises:
            BlobMissing: There are none.
            BlobDamaged: They are not what was stored.
        """
        try:
            with self.path(digest).open("rb") as stored:
                found = hashlib.file_digest(stored, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise BlobMissing(f"no bytes under sha256:{digest}") from error
        if found != digest:
            raise BlobDamaged(f"the bytes under sha256:{digest} are damaged")

    def exists(self, digest: str) -> bool:
        """Whether there are bytes under that digest."""
        return self.path(digest).is_file()

    def free_bytes(self) -> int:
        """Free space where the blobs lie."""
        stat = os.statvfs(self._root)
        return stat.f_bavail * stat.f_frsize

    def discard(self, digest: str) -> None:
        """For garbage collection alone: put the bytes aside, under the row's lock."""
        with suppress(FileNotFoundError):
            self.path(digest).rename(self._root / _TRASH / digest)

    def restore(self, digest: str) -> None:
        """Undo `discard`, under the row's lock, unless the bytes were put anew meanwhile."""
        with suppress(FileExistsError, FileNotFoundError):
            self.path(digest).hardlink_to(self._root / _TRASH / digest)
        self.forget(digest)

    def forget(self, digest: str) -> None:
        """Delete what `discard` put aside, after the commit that deleted its row."""
        (self._root / _TRASH / digest).unlink(missing_ok=True)

    def discarded(self) -> list[str]:
        """Digests whose bytes were put aside, by collectors that have died or are at it."""
        return [path.name for path in (self._root / _TRASH).iterdir()]

    def incoming(self) -> Iterator[Path]:
        """The scratch files, those of dead processes among them."""
        return (self._root / _INCOMING).iterdir()

    def _touch(self, digest: str, size_bytes: int, keep_s: int) -> None:
        row = insert(Blob).values(digest=digest, size_bytes=size_bytes, keep_s=keep_s)
        touched = {
            "touched_at": func.clock_timestamp(),
            "keep_s": func.greatest(Blob.keep_s, keep_s),
        }
        with self._database.begin() as session:
            session.execute(row.on_conflict_do_update(index_elements=[Blob.digest], set_=touched))

    def _mend_if_damaged(self, path: Path, digest: str) -> None:
        try:
            self.check(digest)
        except BlobDamaged:
            path.replace(self.path(digest))
        else:
            _fsync(self.path(digest))


def _key(digest: str) -> str:
    assert len(digest) == 64
    return f"sha256/{digest[:2]}/{digest}"


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
