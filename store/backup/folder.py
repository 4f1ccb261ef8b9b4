"""Where backups lie.

    TARGET/
      lure-backups           the mark of such a folder; locked by whoever works on it
      blobs/ab/<digest>      bytes, shared by all backups in the folder
      backups/<id>/          one backup: tables/<name>.copy.gz, blobs.gz, and last manifest.json

What lies there is as secret as the database: nobody but the owner may look in.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from store.backup import manifest
from store.backup.manifest import Manifest
from store.errors import BackupRefused

MARK = "lure-backups"
_INCOMING = "incoming"
_MANIFEST = "manifest.json"
_LIST = "blobs.gz"
_ID = re.compile(r"\d{8}T\d{6}\.\d{6}Z")
_OF_FILE_SYSTEMS = {"lost+found"}  # a new one is not empty
_PIECE = 1 << 20


class Folder:
    """A folder of backups.

    Args:
        root: Where it is, or is to be.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make it if it is not there, and keep others from writing to it.

        Raises:
            BackupRefused: It holds something else, cannot be written, or another is at it.
        """
        try:
            self._make()
            mark = os.open(self.root / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BackupRefused(f"{self.root} cannot be written: {error.strerror}") from error
        try:
            self._lock(mark)
            self._clear()
            yield
        finally:
            os.close(mark)

    def ids(self) -> list[str]:
        """The whole backups, oldest first."""
        found = (path.parent.name for path in self.root.glob(f"backups/*/{_MANIFEST}"))
        return sorted(name for name in found if _ID.fullmatch(name))

    def get(self, backup: str | None = None) -> Manifest:
        """A backup's manifest; that of the newest unless another is named.

        Raises:
            BackupRefused: There is none, or it cannot be read.
        """
        if not (known := self.ids()):
            raise BackupRefused(f"there is no whole backup in {self.root}")
        wanted = backup or known[-1]
        if wanted not in known:
            raise BackupRefused(f"{self.root} has no backup {wanted}, but {', '.join(known)}")
        try:
            return manifest.read(self._of(wanted) / _MANIFEST)
        except ValueError as error:
            raise BackupRefused(
                f"backup {wanted} is damaged, or of a later LURE: {error}"
            ) from error

    def table(self, backup: str, name: str) -> Path:
        """The file with a table's rows."""
        return self._of(backup) / "tables" / f"{name}.copy.gz"

    def names(self, backup: str) -> Path:
        """The file that names a backup's blobs."""
        return self._of(backup) / _LIST

    def blob(self, digest: str) -> Path:
        """The file with those bytes."""
        return self.root / "blobs" / digest[:2] / digest

    def size(self, digest: str) -> int | None:
        """How many bytes that file has; None if it is not there."""
        try:
            return self.blob(digest).stat().st_size
        except FileNotFoundError:
            return None

    def begin(self, backup: str) -> None:
        """Make the folder of a new backup; it counts for nothing before `finish`."""
        for folder in (self._of(backup), self._of(backup) / "tables"):
            folder.mkdir(mode=0o700)

    def write_list(self, backup: str, blobs: Iterable[tuple[str, int]]) -> str:
        """Write which blobs a backup has, and their sizes; the sha256 of the file."""
        lines = "".join(f"{digest} {size}\n" for digest, size in blobs)
        packed = gzip.compress(lines.encode(), mtime=0)
        with create(self.names(backup)) as file:
            file.write(packed)
        return hashlib.sha256(packed).hexdigest()

    def read_list(self, backup: str) -> dict[str, int]:
        """A backup's blobs, and how many bytes each has."""
        lines = gzip.decompress(self.names(backup).read_bytes()).decode().splitlines()
        return {digest: int(size) for digest, size in (line.split() for line in lines)}

    def keep(self, source: BinaryIO, digest: str) -> int | None:
        """Copy a blob here, over what was; its size, None if the bytes are not the digest's."""
        part = self.root / _INCOMING / digest
        with create(part) as file:
            found, size = _copy(source, file)
        if found != digest:
            part.unlink()
            return None
        target = self.blob(digest)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.rename(target)
        return size

    def finish(self, made: Manifest) -> None:
        """Everything is written: from now on it is a backup."""
        blobs, mine = self.root / "blobs", self._of(made.id)
        for path in (*blobs.iterdir(), blobs, mine / "tables", mine):
            _fsync(path)
        part = self.root / _INCOMING / _MANIFEST
        with create(part) as file:
            file.write(made.model_dump_json(indent=2).encode())
        part.rename(self._of(made.id) / _MANIFEST)
        for path in (self._of(made.id), self.root / "backups", self.root):
            _fsync(path)

    def prune(self, keep: int) -> list[str]:
        """Delete all backups but the newest `keep`, and the bytes that no other one has.

        Returns:
            Which were deleted.
        """
        old = self.ids()[:-keep]
        for backup in old:
            (self._of(backup) / _MANIFEST).unlink()  # first: half of a backup is none
            shutil.rmtree(self._of(backup))
        if old:
            named = set[str]().union(*(self.read_list(backup) for backup in self.ids()))
            for path in self.root.glob("blobs/*/*"):
                if path.name not in named:
                    path.unlink()
        return old

    def _of(self, backup: str) -> Path:
        return self.root / "backups" / backup

    def _make(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        others = {path.name for path in self.root.iterdir()} - _OF_FILE_SYSTEMS
        if others and MARK not in others:
            raise BackupRefused(f"{self.root} holds something else; name an empty or new folder")
        for name in (_INCOMING, "blobs", "backups"):
            (self.root / name).mkdir(mode=0o700, exist_ok=True)

    def _lock(self, mark: int) -> None:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupRefused(f"another backup is being written to {self.root}") from error

    def _clear(self) -> None:
        """Remove what a backup that was killed left behind; its whole blobs are of use."""
        for path in (self.root / _INCOMING).iterdir():
            path.unlink()
        for path in (self.root / "backups").iterdir():
            if not (path / _MANIFEST).exists():
                shutil.rmtree(path)


@contextmanager
def create(path: Path) -> Iterator[BinaryIO]:
    """A new file that only its owner may read, fsynced at the end."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def digest_of(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: BinaryIO, target: BinaryIO) -> tuple[str, int]:
    """The digest and the size of what was copied."""
    digest, size = hashlib.sha256(), 0
    while piece := source.read(_PIECE):
        digest.update(piece)
        target.write(piece)
        size += len(piece)
    return digest.hexdigest(), size


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
