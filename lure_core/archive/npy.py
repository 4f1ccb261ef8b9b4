"""Reads the header of one `.npy` member, and its rows as they come out of the archive.

numpy's own reader evaluates the header as Python and warns about old files; here it is matched
against the one form that writers use, so that hostile bytes are refused and nothing is ever
unpickled.

Source: numpy.lib.format, versions 1.0 to 3.0.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from lure_core.archive import members
from lure_core.archive.listing import shown
from lure_core.errors import BadArchive

_MAX_HEADER_BYTES = 10_000
_ENTRY = re.compile(
    r"['\"](?P<key>descr|fortran_order|shape)['\"]\s*:\s*"
    r"(?:['\"](?P<text>[^'\"]*)['\"]|(?P<flag>True|False)|\((?P<sizes>[0-9,\s]*)\))\s*,?\s*"
)
_FIELDS = (("descr", "text"), ("fortran_order", "flag"), ("shape", "sizes"))
_SIZE = re.compile(r"\d{1,18}")
_DESCR = re.compile(r"[<>|=]?(?P<kind>[biufcmMOSUV])(?P<size>\d{1,9})?(\[\w+\])?")


@dataclass(frozen=True)
class Array:
    """One array inside an npz: how its bytes are to be read.

    Attributes:
        member: The file in the archive.
        descr: numpy's type string, such as `|u1` or `<U7`.
        kind: numpy's kind letter.
        item_bytes: Size of one element.
        fortran: Whether the first axis runs fastest.
        shape: Its sizes.
        data_offset: Length of the header in bytes.
    """

    member: zipfile.ZipInfo
    descr: str
    kind: str
    item_bytes: int
    fortran: bool
    shape: tuple[int, ...]
    data_offset: int

    @property
    def data_bytes(self) -> int:
        return math.prod(self.shape) * self.item_bytes

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.item_bytes

    def rows(self, archive: zipfile.ZipFile) -> Iterator[bytes]:
        """Yield the bytes of each element of the first axis (not of an array in Fortran order).

        Raises:
            One of members.READ_FAULTS: The stream is damaged, as far as can be told at this row.
        """
        with archive.open(self.member) as stream:
            stream.read(self.data_offset)
            for index in range(self.shape[0]):
                row = stream.read(self.row_bytes)
                if len(row) != self.row_bytes:
                    raise EOFError(f"the data ends at row {index} of {self.shape[0]}")
                yield row


def header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """Read an array's header: the only bytes of it that are unpacked.

    Raises:
        BadArchive: Damaged, pickled, of a structured type, or of another size than its shape tells.
    """
    try:
        with archive.open(member) as stream:
            text, data_offset = _header_text(stream)
    except members.READ_FAULTS as fault:
        raise _bad(member, f"its header cannot be read: {shown(str(fault))}") from fault
    descr, fortran, shape = _fields(member, text)
    if "O" in descr:
        raise _bad(member, "it holds pickled Python objects, which are never loaded")
    found = _DESCR.fullmatch(descr)
    if found is None or found["size"] is None:
        raise _bad(member, f"its values are of the type {shown(descr)!r}, which is not read")
    size = int(found["size"]) * (4 if found["kind"] == "U" else 1)
    array = Array(member, descr, found["kind"], size, fortran, shape, data_offset)
    if array.data_offset + array.data_bytes != member.file_size:
        raise _bad(member, f"its shape {list(shape)} does not fit its {member.file_size} bytes")
    return array


def _header_text(stream: IO[bytes]) -> tuple[str, int]:
    """Give the header's text and where the data begins."""
    start = stream.read(8)
    if start[:6] != b"\x93NUMPY" or start[6:7] not in (b"\1", b"\2", b"\3"):
        raise ValueError("it is not an .npy file")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > _MAX_HEADER_BYTES:
        raise ValueError(f"its header takes {length} bytes")
    text = stream.read(length)
    if len(text) != length:
        raise ValueError("it is cut off")
    return text.decode("latin-1"), 8 + width + length


def _fields(member: zipfile.ZipInfo, text: str) -> tuple[str, bool, tuple[int, ...]]:
    body = text.strip()
    found = {entry["key"]: entry for entry in _ENTRY.finditer(body)}
    values = [found[key][group] for key, group in _FIELDS if key in found]
    if len(values) != len(_FIELDS) or None in values or _ENTRY.sub("", body) != "{}":
        is_structured = "[(" in body
        what = "it holds records, not plain values" if is_structured else "its header is damaged"
        raise _bad(member, what)
    descr, fortran, sizes = values
    return descr, fortran == "True", _shape(member, sizes)


def _shape(member: zipfile.ZipInfo, sizes: str) -> tuple[int, ...]:
    stripped = [size.strip() for size in sizes.split(",")]
    if stripped[-1] == "":  # the comma that ends a tuple of one, or no sizes at all
        stripped.pop()
    if not all(_SIZE.fullmatch(size) for size in stripped):
        raise _bad(member, "its shape is damaged")
    return tuple(map(int, stripped))


def _bad(member: zipfile.ZipInfo, what: str) -> BadArchive:
    remedy = "save plain arrays with numpy.savez(path, images=…, labels=…)"
    return BadArchive(what, where=shown(member.filename), remedy=remedy)
