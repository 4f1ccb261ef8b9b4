"""The `Range` of a request for a file (RFC 9110, section 14): a wish, which need not be granted."""

from __future__ import annotations

import re

from service.errors import RangeNotSatisfiable

_RANGES = re.compile(r"bytes\s*=([\s\d,-]+)", re.IGNORECASE | re.ASCII)
_PART = re.compile(r"(\d{1,18})-(\d{0,18})|-(\d{1,18})", re.ASCII)


def satisfiable(header: str, size_bytes: int) -> str | None:
    """The header with those ranges that lie in the file; None: the whole file is to be sent.

    A unit that nobody here knows and a malformed header are as if nothing was asked for.

    Raises:
        RangeNotSatisfiable: No range begins within the file.
    """
    told = _RANGES.fullmatch(header.strip())
    parts = [one.strip() for one in told[1].split(",")] if told else []
    found = [_PART.fullmatch(one) for one in parts if one]
    if not found or not all(one and _ascends(one) for one in found):
        return None
    kept = [one[0] for one in found if one and _begins_within(one, size_bytes)]
    if not kept:
        raise RangeNotSatisfiable(size_bytes)
    return f"bytes={','.join(kept)}"


def _ascends(part: re.Match[str]) -> bool:
    return not part[2] or int(part[1]) <= int(part[2])


def _begins_within(part: re.Match[str], size_bytes: int) -> bool:
    """Whether it has a byte of the file; the last N bytes of it are there unless N is 0."""
    return int(part[1]) < size_bytes if part[1] else min(int(part[3]), size_bytes) > 0
