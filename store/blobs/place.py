"""Where bytes lie, and what garbage collection does with them there."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

FOLDER = "sha256"  # everything below it is named by its digest
MARKS = "lure-store"  # what lies below it names the databases that the place is of: one


def is_mark(name: str) -> bool:
    """Whether it may be the id of a database."""
    return re.fullmatch("[0-9a-f]{32}", name) is not None


def is_digest(name: str) -> bool:
    """Whether it may be the name of bytes of ours."""
    return re.fullmatch("[0-9a-f]{64}", name) is not None


@dataclass(frozen=True)
class Stored:
    """Bytes that lie under a digest, whatever they are.

    Attributes:
        digest: What they should have.
        size_bytes: How many they are.
        at: When they were written.
    """

    digest: str
    size_bytes: int
    at: dt.datetime


class Place(Protocol):
    """A folder or a bucket.

    The digest's row is touched before anything is put. `discard`, `restore` and `forget` are the
    collector's: it discards under the row's lock, and forgets once the row's deletion is committed,
    or restores when there is a row nevertheless. Until it forgets, nothing is lost.

    Attributes:
        deletes_at_once: How many threads a collector gains from.

    Raises (each method):
        BlobsAway: The place cannot be reached; what was asked for may have happened.
    """

    deletes_at_once: int

    @property
    def root(self) -> Path:
        """The local folder: of the blobs themselves, or of their cache."""

    def marks(self) -> set[str]:
        """The ids of the databases that it is of; see `belonging`."""

    def mark(self, store: str) -> None:
        """It is of the database of that id."""

    def unmark(self, store: str) -> None:
        """It is not."""

    def scratch_path(self) -> Path:
        """A new name for a local file that can be put without being copied."""

    def put_file(self, path: Path, digest: str, *, is_new: bool) -> bool:
        """Give a scratch file its place; a folder moves it there.

        Args:
            path: The file.
            digest: Its sha256.
            is_new: There was no row, so that nothing that lies there is to be relied upon.

        Returns:
            Whether it was sent away, which may have taken longer than an unnamed row is kept.

        Raises:
            BlobDamaged: The file does not have its digest; a bucket notices.
        """

    def put_bytes(self, data: bytes, digest: str, *, is_new: bool) -> bool:
        """The same with bytes out of memory."""

    def use_up(self, path: Path, digest: str) -> None:
        """Nobody needs a file any more that was put, and is still there."""

    def local(self, digest: str, *, check: bool = False) -> Path:
        """The bytes as a local file, read through if they are to be checked.

        Raises:
            BlobMissing: There are none.
            BlobDamaged: They are not what was stored.
        """

    def borrowed(self, digest: str, *, check: bool = True) -> AbstractContextManager[Path]:
        """The bytes as a local file that may be gone after the block; raises like `local`.

        With `check`, what was fetched earlier is read through, and fetched anew if it is damaged.
        """

    def read(self, digest: str) -> bytes:
        """The bytes, checked; raises like `local`."""

    def check(self, digest: str) -> None:
        """Read the bytes through where they lie; raises like `local`."""

    def clear_damage(self, digest: str) -> None:
        """Have no damaged bytes there that would keep the right ones from being put."""

    def size(self, digest: str) -> int | None:
        """How many bytes lie there; None if there are none."""

    def stored(self) -> Iterator[Stored]:
        """All that lies there; of a bucket, a digest may come more than once."""

    def discard(self, digest: str) -> set[str]:
        """Put the bytes aside; the names of what was."""

    def discarded_of(self, digest: str) -> set[str]:
        """The names of what is aside; ask before it is seen that there is no row."""

    def restore(self, digest: str) -> None:
        """There is a row: the bytes are not to go, unless others were put since."""

    def forget(self, digest: str, names: set[str]) -> None:
        """Delete what was put aside under these names, and nothing that was since."""

    def discarded(self) -> list[str]:
        """Digests whose bytes were put aside, by collectors that have died or are at it."""

    def incoming(self) -> Iterator[Path]:
        """The local scratch files, those of dead processes among them."""
