"""Labelled images in a zip or npz: is the envelope safe, and what is in it, one item at a time.

`check` runs in the API on an untrusted upload before a byte of it is unpacked; `items` in the
worker. Nothing is ever extracted to the disk, and nothing is unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from lure_core.archive import folder, npz, table
from lure_core.archive.directory import opened
from lure_core.archive.listing import DEFAULT_LIMITS, Item, Limits, Listing

__all__ = ["DEFAULT_LIMITS", "NPZ", "ZIP", "Item", "Limits", "Listing", "check", "items"]

ZIP = "application/zip"
NPZ = "application/x-npz"


def check(path: Path, media_type: str | None, limits: Limits = DEFAULT_LIMITS) -> Listing:
    """Look at an upload's envelope in bounded time and memory.

    Read are the end record, the directory (bounded before it is parsed), and of an npz the two
    arrays' headers of a few hundred bytes, or a `labels.csv`.

    Args:
        path: The upload, complete and at rest.
        media_type: `ZIP` or `NPZ`; anything else: an archive of nothing but `.npy` members is an
            npz.
        limits: What is refused as too much.

    Raises:
        BadArchive: The first fault found, with the member to blame and the remedy.
    """
    with opened(path, limits) as archive:
        if media_type == NPZ or (media_type != ZIP and npz.looks_like(archive)):
            return npz.check(archive, limits)
        if found := table.find(archive):
            return table.check(archive, found, limits)
        return folder.check(archive, limits)


def items(path: Path, listing: Listing) -> Iterator[Item]:
    """Yield what a checked archive holds, in its own order, one at a time.

    An item that cannot be read carries its `error`. Where a compressed array breaks off, the items
    before the fault are good and each after it says so. An array's checksum is known at its end
    only: flipped bits that still unpack are blamed on the last items, in the last few kilobytes.
    Reading is bounded by the sizes that `check` accepted.
    """
    with zipfile.ZipFile(path) as archive:
        if listing.kind == "npz":
            yield from npz.items(archive)
        elif listing.kind == "table":
            yield from table.items(archive, listing)
        else:
            yield from folder.items(archive, listing)
