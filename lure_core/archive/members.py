"""What every member of an upload must be, and how one is read."""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence

from lure_core.archive.listing import Item, Limits, shown
from lure_core.errors import BadArchive

READ_FAULTS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)
"""What reading a damaged member raises (an OSError would be the disk's fault, not the upload's)."""

_HARMLESS_BYTES = 1 << 20
_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8_NAME = 0x800
_REPARSE_POINT = 0x400
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")


def check(infos: Sequence[zipfile.ZipInfo], *, limits: Limits, archive_bytes: int) -> int:
    """Refuse members that are unsafe by what the directory says of them.

    Args:
        infos: The directory.
        limits: What is too much.
        archive_bytes: Where the members' bytes end: the start of the directory.

    Returns:
        The declared size of everything unpacked.

    Raises:
        BadArchive: The first fault, naming the member.
    """
    seen: set[str] = set()
    total = 0
    for info in infos:
        _check_name(info)
        _check_kind(info)
        _check_size(info, limits)
        key = unicodedata.normalize("NFC", "/".join(parts(info)))
        if key in seen:
            raise _bad(info, "the archive holds this name twice", "give each file its own name")
        seen.add(key)
        total += info.file_size
    _check_total(total, limits, archive_bytes)
    _check_overlap(infos, archive_bytes)
    return total


def parts(info: zipfile.ZipInfo) -> list[str]:
    """Split a member's name into its folders and its file, leaving out `.` and empty steps."""
    return [part for part in _name(info).split("/") if part not in ("", ".")]


def counts(info: zipfile.ZipInfo) -> bool:
    """Whether it may be an image: leave out folders, hidden files and what a Mac adds."""
    return not info.is_dir() and not any(
        part.startswith(".") or part == "__MACOSX" for part in parts(info)
    )


def item(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, label: str) -> Item:
    """One member as an item of that name and label; with an error if it cannot be read."""
    if info.file_size == 0:
        return Item(name, label, None, "the file is empty")
    try:
        return Item(name, label, read(archive, info))
    except READ_FAULTS as damage:
        return Item(name, label, None, f"the file is damaged in the archive: {shown(str(damage))}")


def read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Unpack one member, never more than its declared size, and check its checksum.

    Raises:
        One of READ_FAULTS: It is damaged.
    """
    with archive.open(info) as stream:
        data = stream.read(info.file_size)
    if len(data) != info.file_size:
        raise EOFError(f"{len(data)} of {info.file_size} bytes are there")
    return data


def _name(info: zipfile.ZipInfo) -> str:
    """Give the name in UTF-8, which some tools write without saying so."""
    if info.flag_bits & _UTF8_NAME or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _bad(info: zipfile.ZipInfo, what: str, remedy: str) -> BadArchive:
    return BadArchive(what, where=shown(info.orig_filename), remedy=remedy)


def _check_name(info: zipfile.ZipInfo) -> None:
    for name in {info.orig_filename, info.filename, _name(info)}:
        if fault := _name_fault(name):
            raise _bad(info, fault, "name the files <class>/<file>, with forward slashes")
    if not parts(info):
        raise _bad(info, "a member has no name", "name the files <class>/<file>")


def _name_fault(name: str) -> str | None:
    if _CONTROL.search(name):
        return "the name holds control characters"
    if "\\" in name:
        return "the name holds a backslash"
    if name.startswith("/") or _DRIVE.match(name):
        return "the name is an absolute path"
    if ".." in name.split("/"):
        return "the name climbs out of the archive"
    return None


def _check_kind(info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    allowed = (0, stat.S_IFREG, stat.S_IFDIR) if info.is_dir() else (0, stat.S_IFREG)
    if kind not in allowed or info.external_attr & _REPARSE_POINT:
        raise _bad(info, f"this is {_kind_name(kind)}, not a plain file", "send plain files only")
    if info.flag_bits & _ENCRYPTED:
        raise _bad(info, "this is encrypted", "send the archive without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        what = f"its compression (method {info.compress_type}) is not read"
        raise _bad(info, what, "pack with deflate, or store")


def _kind_name(kind: int) -> str:
    names = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", 0: "a link"}
    return names.get(kind, "a special file")


def _check_size(info: zipfile.ZipInfo, limits: Limits) -> None:
    if info.file_size > limits.max_member_bytes:
        what = f"{info.file_size} bytes are too many; at most {limits.max_member_bytes} are taken"
        raise _bad(info, what, "send smaller files")
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        raise _bad(info, "its stored size differs from its real size", "write the archive again")
    if info.file_size > max(_HARMLESS_BYTES, limits.max_ratio * info.compress_size):
        what = f"it unpacks to more than {limits.max_ratio} times its packed size"
        raise _bad(info, what, "pack the images with less compression")


def _check_total(total: int, limits: Limits, archive_bytes: int) -> None:
    if total > limits.max_total_bytes:
        what = f"{total} bytes unpacked are too many; at most {limits.max_total_bytes} are taken"
        raise BadArchive(what, remedy="send it as several chunks")
    if total > max(_HARMLESS_BYTES, limits.max_ratio * archive_bytes):
        what = f"the archive unpacks to more than {limits.max_ratio} times its size"
        raise BadArchive(what, remedy="pack the images with less compression")


def _check_overlap(infos: Sequence[zipfile.ZipInfo], archive_bytes: int) -> None:
    """Refuse members that share bytes: a small file could unpack to petabytes (Fifield 2019)."""
    ordered = sorted(infos, key=lambda info: info.header_offset)
    ends = [info.header_offset for info in ordered[1:]] + [archive_bytes]
    for info, end in zip(ordered, ends, strict=True):
        # the local header's name and extra field come on top; this is the least it can take
        if info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size > end:
            raise _bad(info, "it shares bytes with another member", "write the archive again")
