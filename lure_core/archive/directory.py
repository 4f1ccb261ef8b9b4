"""Opens a zip whose directory was measured first.

`zipfile.ZipFile` reads the whole directory and makes an object of every member: 540 MB for a
million of them, and it believes the directory's size, not its stated count. So the end record is
read here, and the entries are counted in a small buffer, before it gets to see the file. Where two
readers could disagree about where the directory is (bytes before or after the archive, several end
records), it is refused.

Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lure_core.archive.listing import Limits
from lure_core.errors import BadArchive

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_ENTRY_BYTES = 46
_MAX_COMMENT_BYTES = 0xFFFF
_AGAIN = "write the archive again with a common zip tool and send it whole"


@dataclass(frozen=True)
class Directory:
    """Where the list of members lies: `count` entries in `size` bytes from `offset` on."""

    count: int
    size: int
    offset: int


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[zipfile.ZipFile]:
    """Open a zip for reading after its directory was found to be whole and within the limits.

    Raises:
        BadArchive: Not a zip, truncated, ambiguous, empty, or too many members.
    """
    with path.open("rb") as file:
        directory = _find(file)
        _bound(directory, limits)
        _count(file, directory)
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as fault:
            raise BadArchive("the archive's directory is damaged", remedy=_AGAIN) from fault
        with archive:
            yield archive


def _find(file: IO[bytes]) -> Directory:
    end_at, record = _end_record(file)
    _, disk, first_disk, here, count, size, offset, _ = record
    directory = Directory(count, size, offset)
    file.seek(max(0, end_at - _LOCATOR_64.size))
    locator = file.read(_LOCATOR_64.size)
    if end_at >= _LOCATOR_64.size and locator.startswith(b"PK\x06\x07"):
        end_at, directory = _find_64(file, locator, end_at - _LOCATOR_64.size)
    elif (disk, first_disk) != (0, 0) or here != count:
        raise BadArchive("the archive is split over several files", remedy="send it as one file")
    if directory.offset + directory.size != end_at:
        raise BadArchive("the archive's directory is not where its end record says", remedy=_AGAIN)
    return directory


def _end_record(file: IO[bytes]) -> tuple[int, tuple[int, ...]]:
    """Find the record that closes the file, as `zipfile` does: its position and fields."""
    size = file.seek(0, os.SEEK_END)
    tail_at = max(0, size - _END.size - _MAX_COMMENT_BYTES)
    file.seek(tail_at)
    tail = file.read()
    bare = tail[-_END.size :]
    if bare.startswith(b"PK\x05\x06") and bare.endswith(b"\0\0"):
        at = len(tail) - len(bare)
    else:
        at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise _no_end(file)
    record = _END.unpack_from(tail, at)
    if at + _END.size + record[-1] != len(tail):
        raise BadArchive("the file does not end where the archive does", remedy=_AGAIN)
    return tail_at + at, record


def _no_end(file: IO[bytes]) -> BadArchive:
    file.seek(0)
    if file.read(4) == b"PK\x03\x04":
        return BadArchive("the archive is cut off: its end is missing", remedy="send it whole")
    return BadArchive("this is not a zip archive", remedy="send a zip or npz file")


def _find_64(file: IO[bytes], locator: bytes, locator_at: int) -> tuple[int, Directory]:
    """Read the zip64 end record, which must stand right before its locator."""
    _, disk, record_at, disks = _LOCATOR_64.unpack(locator)
    if record_at + _END_64.size != locator_at or disk != 0 or disks > 1:
        raise BadArchive("the archive's zip64 end record is not in its place", remedy=_AGAIN)
    file.seek(record_at)
    fields = _END_64.unpack(file.read(_END_64.size))
    signature, _, _, _, disk, first_disk, here, count, size, offset = fields
    if signature != b"PK\x06\x06" or (disk, first_disk) != (0, 0) or here != count:
        raise BadArchive("the archive's zip64 end record is damaged", remedy=_AGAIN)
    return record_at, Directory(count, size, offset)


def _bound(directory: Directory, limits: Limits) -> None:
    if directory.count == 0:
        raise BadArchive("the archive is empty", remedy="put at least one image into it")
    if directory.count > limits.max_members:
        what = f"{directory.count} members are too many; at most {limits.max_members} are taken"
        raise BadArchive(what, remedy="send it as several chunks")
    if directory.size > limits.max_directory_bytes:
        what = (
            f"the list of names takes {directory.size} bytes; at most {limits.max_directory_bytes}"
        )
        raise BadArchive(what, remedy="send it as several chunks, or with shorter names")


def _count(file: IO[bytes], directory: Directory) -> None:
    """Walk the entries without keeping them: as many as stated, filling the directory."""
    file.seek(directory.offset)
    left = directory.size
    for _ in range(directory.count):
        entry = file.read(_ENTRY_BYTES)
        if len(entry) < _ENTRY_BYTES or not entry.startswith(b"PK\x01\x02"):
            raise BadArchive("the archive's directory is damaged", remedy=_AGAIN)
        variable = sum(struct.unpack_from("<3H", entry, 28))  # name, extra field, comment
        left -= _ENTRY_BYTES + variable
        if left < 0:
            break
        file.seek(variable, os.SEEK_CUR)
    if left != 0:
        raise BadArchive(
            "the archive holds another number of members than it states", remedy=_AGAIN
        )
