"""Reads a zip in ImageFolder layout: `<class>/<file>`, perhaps inside one folder that wraps all."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

from lure_core.archive import members
from lure_core.archive.listing import Item, Limits, Listing, class_name, shown
from lure_core.errors import BadArchive

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_REMEDY = "put each image into a folder named after its class: <class>/<file>"


def check(archive: zipfile.ZipFile, limits: Limits) -> Listing:
    """List a zip of images without unpacking any.

    Raises:
        BadArchive: An unsafe member, or no file in a class folder at all.
    """
    infos = archive.infolist()
    total = members.check(infos, limits=limits, archive_bytes=archive.start_dir)
    files = [members.parts(info) for info in infos if members.counts(info)]
    if not files:
        raise BadArchive("the archive holds no image", remedy=_REMEDY)
    top = _top(files)
    depth = 2 if top is None else 3
    names = [class_name(path[-2]) for path in files if len(path) == depth]
    if not names:
        remedy = "send it as application/x-npz" if _only_arrays(files) else _REMEDY
        raise BadArchive("no file lies in a class folder", remedy=remedy)
    classes = tuple(sorted({name for name, fault in names if fault is None}))
    return Listing("zip", len(files), total, classes, top)


def items(archive: zipfile.ZipFile, listing: Listing) -> Iterator[Item]:
    """Yield each file with its folder's name as its label."""
    for info in archive.infolist():
        if members.counts(info):
            yield _item(archive, info, listing.top)


def _item(archive: zipfile.ZipFile, info: zipfile.ZipInfo, top: str | None) -> Item:
    path = members.parts(info)
    name = shown("/".join(path))
    inner = path if top is None else path[1:]
    if len(inner) != 2:
        return Item(name, "", None, "not in a class folder: <class>/<file> is needed")
    label, fault = class_name(inner[0])
    if fault is not None:
        return Item(name, "", None, fault)
    return members.item(archive, info, name, label)


def _top(files: list[list[str]]) -> str | None:
    """Find the one folder that wraps the class folders.

    All files lie in it, some deeper by two, and no image directly: else it is itself a class, with
    some images too deep, and taking it off would invent labels.
    """
    first = files[0][0]
    if any(path[0] != first for path in files) or max(map(len, files)) < 3:
        return None
    images = any(len(path) == 2 and path[1].lower().endswith(_IMAGE_SUFFIXES) for path in files)
    return None if images else first


def _only_arrays(files: list[list[str]]) -> bool:
    return all(path[-1].endswith(".npy") for path in files)
