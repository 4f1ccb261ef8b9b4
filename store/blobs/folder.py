"""Blobs in a folder, of this machine or shared by all."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from store.blobs.place import FOLDER, MARKS, Stored, is_digest, is_mark
from store.errors import BlobDamaged, BlobMissing

_INCOMING = "incoming"
_TRASH = "trash"


class Folder:
    """A place; see `Place`.

    Args:
        root: The folder; made if it is not there.
    """

    deletes_at_once = 1

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        for folder in (_INCOMING, _TRASH):
            (self._root / folder).mkdir(parents=True, exist_ok=True)

    @property
    def root(self) -> Path:
        return self._root

    def marks(self) -> set[str]:
        try:
            return {path.name for path in (self._root / MARKS).iterdir() if is_mark(path.name)}
        except FileNotFoundError:
            return set()

    def mark(self, store: str) -> None:
        marks = self._root / MARKS
        marks.mkdir(exist_ok=True)
        (marks / store).touch()
        for path in (marks / store, marks, self._root):
            _fsync(path)

    def unmark(self, store: str) -> None:
        (self._root / MARKS / store).unlink(missing_ok=True)

    def scratch_path(self) -> Path:
        return self._root / _INCOMING / secrets.token_hex(16)

    def put_file(self, path: Path, digest: str, *, is_new: bool) -> bool:  # noqa: ARG002
        target = self._path(digest)
        _fsync(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(path)  # a rename would take the place of what is there
            path.unlink()
        except FileExistsError:
            self._mend_if_damaged(path, digest)
        # the name is safe only when every folder on the way is
        for folder in (target.parent, target.parent.parent, self._root):
            _fsync(folder)
        return False

    def put_bytes(self, data: bytes, digest: str, *, is_new: bool) -> bool:
        path = self.scratch_path()
        try:
            path.write_bytes(data)
            return self.put_file(path, digest, is_new=is_new)
        finally:
            path.unlink(missing_ok=True)

    def use_up(self, path: Path, digest: str) -> None:
        """It was moved."""

    def local(self, digest: str, *, check: bool = False) -> Path:
        path = self._path(digest)
        if check:
            self.check(digest)
        elif not path.is_file():
            raise _missing(digest)
        return path

    @contextmanager
    def borrowed(self, digest: str, *, check: bool = True) -> Iterator[Path]:  # noqa: ARG002
        yield self.local(digest)

    def read(self, digest: str) -> bytes:
        with self._open(digest) as stored:
            data = stored.read()
        if hashlib.sha256(data).hexdigest() != digest:
            raise _damaged(digest)
        return data

    def check(self, digest: str) -> None:
        with self._open(digest) as stored:
            found = hashlib.file_digest(stored, "sha256").hexdigest()
        if found != digest:
            raise _damaged(digest)

    def clear_damage(self, digest: str) -> None:
        """A put reads what is there, and takes its place if it is damaged."""

    def size(self, digest: str) -> int | None:
        path = self._path(digest)
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def stored(self) -> Iterator[Stored]:
        for path in self._root.glob(f"{FOLDER}/*/*"):
            if not is_digest(path.name):  # what a file server or a person has left there
                continue
            with suppress(FileNotFoundError):  # put aside in this moment
                told = path.stat()
                at = dt.datetime.fromtimestamp(told.st_mtime, dt.UTC)
                yield Stored(path.name, told.st_size, at)

    def discard(self, digest: str) -> set[str]:
        with suppress(FileNotFoundError):
            self._path(digest).rename(self._root / _TRASH / digest)
        return set()

    def discarded_of(self, digest: str) -> set[str]:  # noqa: ARG002
        return set()

    def restore(self, digest: str) -> None:
        with suppress(FileExistsError, FileNotFoundError):
            self._path(digest).hardlink_to(self._root / _TRASH / digest)
        self.forget(digest, set())

    def forget(self, digest: str, names: set[str]) -> None:  # noqa: ARG002
        (self._root / _TRASH / digest).unlink(missing_ok=True)

    def discarded(self) -> list[str]:
        return [path.name for path in (self._root / _TRASH).iterdir() if is_digest(path.name)]

    def incoming(self) -> Iterator[Path]:
        return (self._root / _INCOMING).iterdir()

    def _path(self, digest: str) -> Path:
        return self._root / _key(digest)

    def _open(self, digest: str) -> BufferedReader:
        try:
            return self._path(digest).open("rb")
        except FileNotFoundError as error:
            raise _missing(digest) from error

    def _mend_if_damaged(self, path: Path, digest: str) -> None:
        try:
            self.check(digest)
        except BlobDamaged:
            path.replace(self._path(digest))
        else:
            _fsync(self._path(digest))


def _key(digest: str) -> str:
    assert len(digest) == 64
    return f"{FOLDER}/{digest[:2]}/{digest}"


def _missing(digest: str) -> BlobMissing:
    return BlobMissing(f"no bytes under sha256:{digest}")


def _damaged(digest: str) -> BlobDamaged:
    return BlobDamaged(f"the bytes under sha256:{digest} are damaged")


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
