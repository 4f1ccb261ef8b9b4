"""Packed bodies, undone within bounds."""

from __future__ import annotations

import zlib

from service.errors import Fault, Invalid, TooLarge, UnsupportedMediaType

_WINDOW = {"gzip": 31, "deflate": 15}  # zlib's `wbits`: which envelope is around the data
PLAIN = "identity"


def packing_of(content_encoding: str | None) -> str:
    """How a body is packed: `gzip`, `deflate`, or not at all.

    Raises:
        UnsupportedMediaType: Otherwise.
    """
    packing = (content_encoding or PLAIN).strip().lower()
    if packing not in (*_WINDOW, PLAIN):
        raise UnsupportedMediaType(f"a body packed as {packing} is not understood; send it as gzip")
    return packing


def unpack(data: bytes, packing: str, max_bytes: int) -> bytes:
    """Undo `gzip` or `deflate`.

    Raises:
        TooLarge: More than that many bytes come out.
        Invalid: It is not so packed, or cut off.
    """
    unpacking = zlib.decompressobj(_WINDOW[packing])
    try:
        found = unpacking.decompress(data, max_bytes + 1)
    except zlib.error as error:
        words = f"the body is not {packing}, as its Content-Encoding says"
        raise Invalid(words, [Fault("header:content-encoding", words)]) from error
    if len(found) > max_bytes:
        raise TooLarge(f"a prediction request may have {max_bytes} bytes, unpacked")
    if not unpacking.eof:
        words = f"the {packing} body is cut off"
        raise Invalid(words, [Fault("", words)])
    return found
