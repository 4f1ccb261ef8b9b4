"""Blobs in a bucket of an S3-compatible store.

    sha256/ab/<digest>/<name>    the bytes, as an object whose name is new each time
    trash/<digest>/<name>        a mark: that object was put aside by a collector
    lure-store/<id>              another: the whole is of the database of that id

An object is written once, whole, and its name never comes again: so nothing is ever overwritten,
on stores without conditional writes too, and a deletion that comes late, by a collector that was
stopped, hits what it was meant for or nothing. A marked object can still be read, but who puts its
digest does not rely on it and writes another: its deletion may be committed. It is deleted when
there is no row, or when there is another object beside it.

That needs a store whose lists and heads show every write that was answered, as S3 does.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import obstore

from store.blobs.asking import Told, asking, untold
from store.blobs.cache import Cache
from store.blobs.checked import checked
from store.blobs.place import FOLDER, MARKS, Stored, is_digest, is_mark
from store.errors import BlobDamaged, BlobMissing

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_TRASH = "trash"
_PART = 8 << 20  # bytes of one request; a larger file is sent in as many parts as it takes
_PARTS_AT_ONCE = 4
_DIGEST = "sha256"  # the metadatum that says what an object was when it was sent

T = TypeVar("T")


@dataclass(frozen=True)
class _Object:
    """One object of a digest."""

    key: str
    size_bytes: int

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]


class _Gone(Exception):
    """An object is not there any more."""


class Bucket:
    """A place; see `Place`.

    Args:
        store: The bucket, or what lies below a prefix of it.
        cache: Local files of what lies there.
        told: Hears of each request what it was, and whether it failed.
    """

    deletes_at_once = 16  # each has a connection to the database too, of twenty

    def __init__(self, store: ObjectStore, cache: Cache, told: Told = untold) -> None:
        self._store = store
        self._cache = cache
        self._told = told

    @property
    def root(self) -> Path:
        return self._cache.root

    def marks(self) -> set[str]:
        return set(filter(is_mark, (key.rpartition("/")[2] for key in self._keys(MARKS))))

    def mark(self, store: str) -> None:
        with asking("put", self._told):
            obstore.put(self._store, f"{MARKS}/{store}", b"")

    def unmark(self, store: str) -> None:
        self._delete(f"{MARKS}/{store}")

    def scratch_path(self) -> Path:
        return self._cache.scratch_path()

    def incoming(self) -> Iterator[Path]:
        return self._cache.incoming()

    def put_file(self, path: Path, digest: str, *, is_new: bool) -> bool:
        size_bytes = path.stat().st_size

        def send() -> None:
            blocks = checked(path, digest, piece_bytes=_PART)
            if size_bytes <= _PART:
                self._send(b"".join(blocks), digest)
            else:
                self._send(blocks, digest)

        return self._put(digest, size_bytes, send, is_new=is_new)

    def put_bytes(self, data: bytes, digest: str, *, is_new: bool) -> bool:
        return self._put(digest, len(data), lambda: self._send(data, digest), is_new=is_new)

    def use_up(self, path: Path, digest: str) -> None:
        self._cache.adopt(path, digest, is_handed_out=False)

    def local(self, digest: str, *, check: bool = False) -> Path:
        here = self._cache.check(digest) if check else self._cache.find(digest)
        if here is not None:
            return here
        path = self.scratch_path()
        try:
            self._first_good(digest, lambda one: self._fetch(one, digest, path))
            return self._cache.adopt(path, digest, is_handed_out=True)
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def borrowed(self, digest: str, *, check: bool = True) -> Iterator[Path]:
        path = self.scratch_path()
        try:
            if not self._cache.lend(digest, path, check=check):
                self._first_good(digest, lambda one: self._fetch(one, digest, path))
            yield path
        finally:
            path.unlink(missing_ok=True)

    def read(self, digest: str) -> bytes:
        here = self._cache.read(digest)
        if here is not None:
            return here
        [data] = self._first_good(digest, lambda one: self._read(one, digest))
        return data

    def check(self, digest: str) -> None:
        self._first_good(digest, lambda one: self._read_through(one, digest))

    def clear_damage(self, digest: str) -> None:
        for one in self._objects(digest):
            with suppress(_Gone):
                if not self._read_through(one, digest):
                    self._delete(one.key)
        self._cache.check(digest)

    def size(self, digest: str) -> int | None:
        return next((one.size_bytes for one in self._objects(digest)), None)

    def stored(self) -> Iterator[Stored]:
        with asking("list", self._told):
            for some in obstore.list(self._store, FOLDER, chunk_size=1000):
                for one in some:
                    digest = one["path"].split("/")[-2]
                    if is_digest(digest):
                        yield Stored(digest, one["size"], one["last_modified"])

    def discard(self, digest: str) -> set[str]:
        names = {one.name for one in self._objects(digest)}
        for name in names:
            with asking("put", self._told):
                obstore.put(self._store, f"{_TRASH}/{digest}/{name}", b"")
        return names

    def restore(self, digest: str) -> None:
        marked = self.discarded_of(digest)
        others = [one for one in self._objects(digest) if one.name not in marked]
        if any(self._is_whole(one, digest, one.size_bytes) for one in others):
            self.forget(digest, marked)

    def forget(self, digest: str, names: set[str]) -> None:
        """The objects before their marks: while there is an object, there is its mark."""
        for name in names:
            self._delete(f"{_of(digest)}/{name}")
            self._delete(f"{_TRASH}/{digest}/{name}")
        self._cache.give_up(digest)

    def discarded(self) -> list[str]:
        return sorted(filter(is_digest, {key.split("/")[-2] for key in self._keys(_TRASH)}))

    def _put(self, digest: str, size_bytes: int, send: Callable[[], None], *, is_new: bool) -> bool:
        """Send it unless there is an object to rely upon; wrong ones go afterwards.

        They are looked up after the row was touched. An object whose deletion is committed has its
        mark until it is gone: whether it has none, and then whether it is still there, is asked in
        that order.
        """
        found = [] if is_new else self._objects(digest)
        marked = self.discarded_of(digest) if found else set()
        wrong = []
        for one in found:
            if not self._is_whole(one, digest, size_bytes):
                wrong.append(one)
            elif one.name not in marked:
                return False
        send()
        for one in wrong:
            self._delete(one.key)
        return True

    def _is_whole(self, one: _Object, digest: str, size_bytes: int) -> bool:
        """Whether it is what was sent; it came in requests whose content the store has checked."""
        try:
            with asking("head", self._told):
                found = obstore.get(self._store, one.key, options={"head": True})
        except FileNotFoundError:
            return False
        return one.size_bytes == size_bytes and found.attributes.get(_DIGEST) == digest

    def _send(self, content: bytes | Iterator[bytes], digest: str) -> None:
        """In one request, or in parts: then there is no object before the last one was checked."""
        with asking("put", self._told):
            obstore.put(
                self._store,
                f"{_of(digest)}/{secrets.token_hex(16)}",
                content,
                attributes={_DIGEST: digest},
                chunk_size=_PART,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def _first_good(self, digest: str, take: Callable[[_Object], T]) -> T:
        """What `take` makes of an object; what is false is damage, then of the next one."""
        is_damaged = False
        for _ in range(2):  # one may be collected in the moment in which another comes
            for one in self._objects(digest):
                with suppress(_Gone):
                    if taken := take(one):
                        return taken
                    is_damaged = True
        if is_damaged:
            raise BlobDamaged(f"the bytes under sha256:{digest} are damaged")
        raise BlobMissing(f"no bytes under sha256:{digest}")

    def _fetch(self, one: _Object, digest: str, path: Path) -> bool:
        """Write it into a file; whether it has its digest."""
        sha256 = hashlib.sha256()
        with path.open("wb") as file:
            for piece in self._pieces(one):
                sha256.update(piece)
                file.write(piece)
        return sha256.hexdigest() == digest

    def _read(self, one: _Object, digest: str) -> list[bytes]:
        """Its bytes, if they have their digest; a list, for they may be none."""
        data = b"".join(self._pieces(one))
        return [data] if hashlib.sha256(data).hexdigest() == digest else []

    def _read_through(self, one: _Object, digest: str) -> bool:
        sha256 = hashlib.sha256()
        for piece in self._pieces(one):
            sha256.update(piece)
        return sha256.hexdigest() == digest

    def _pieces(self, one: _Object) -> Iterator[memoryview]:
        """In requests of their own, each of which is bounded in time and tried again by itself."""
        for start in range(0, one.size_bytes, _PART):
            end = min(start + _PART, one.size_bytes)
            try:
                with asking("get", self._told):
                    piece = obstore.get_range(self._store, one.key, start=start, end=end)
            except FileNotFoundError as error:
                raise _Gone from error
            yield memoryview(piece)

    def _objects(self, digest: str) -> list[_Object]:
        assert len(digest) == 64
        with asking("list", self._told):
            found = obstore.list(self._store, _of(digest)).collect()
        return [_Object(one["path"], one["size"]) for one in found]

    def discarded_of(self, digest: str) -> set[str]:
        return {key.rpartition("/")[2] for key in self._keys(f"{_TRASH}/{digest}")}

    def _keys(self, below: str) -> list[str]:
        with asking("list", self._told):
            return [one["path"] for one in obstore.list(self._store, below).collect()]

    def _delete(self, key: str) -> None:
        with asking("delete", self._told), suppress(FileNotFoundError):
            obstore.delete(self._store, key)


def _of(digest: str) -> str:
    return f"{FOLDER}/{digest[:2]}/{digest}"
