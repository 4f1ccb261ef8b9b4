"""Reads a zip of images with `labels.csv` beside them, perhaps inside one folder that wraps all.

The table's first line names its columns; `file` and `label` must be among them. A file is named as
it lies beside the table, in folders or not. So a label may be anything that a class may be called,
where a folder's name may not (`a/b`, `..`).
"""

from __future__ import annotations

import csv
import io
import unicodedata
import zipfile
from collections.abc import Iterator

from lure_core.archive import members
from lure_core.archive.listing import Item, Limits, Listing, class_name, shown
from lure_core.errors import BadArchive

NAME = "labels.csv"
_REMEDY = "write labels.csv with a first line file,label and a line for each image"


def find(archive: zipfile.ZipFile) -> zipfile.ZipInfo | None:
    """The table, beside all other files or in the one folder that wraps them; None without one."""
    files = [info for info in archive.infolist() if members.counts(info)]
    paths = [members.parts(info) for info in files]
    tops = {tuple(path[:1]) for path in paths}  # a name may have no part, until it is checked
    for info, path in zip(files, paths, strict=True):
        if path == [NAME] or (len(tops) == 1 and path[1:] == [NAME]):
            return info
    return None


def check(archive: zipfile.ZipFile, table: zipfile.ZipInfo, limits: Limits) -> Listing:
    """List what the table and the archive name, without unpacking an image.

    Raises:
        BadArchive: An unsafe member, or a table that cannot be read to its end.
    """
    infos = archive.infolist()
    total = members.check(infos, limits=limits, archive_bytes=archive.start_dir)
    if table.file_size > limits.max_directory_bytes:
        what = f"it has {table.file_size} bytes; at most {limits.max_directory_bytes} are taken"
        raise BadArchive(what, where=NAME, remedy="send it as several chunks")
    labels = _labels(archive, table, most=limits.max_members)
    names = labels.keys() | {name for _, name in _files(archive, table)}
    if not names:
        raise BadArchive("the archive holds no image", remedy=_REMEDY)
    if len(names) > limits.max_members:
        raise _too_many(limits.max_members)
    named = [class_name(label) for label in labels.values()]
    classes = tuple(sorted({name for name, fault in named if fault is None}))
    return Listing("table", len(names), total, classes)


def items(archive: zipfile.ZipFile, listing: Listing) -> Iterator[Item]:
    """Yield each file with its label, then what the table names and the archive does not hold."""
    table = find(archive)
    assert table is not None, "`check` found one"
    labels = _labels(archive, table, most=listing.items)
    for info, name in _files(archive, table):
        yield _item(archive, info, name, labels.pop(name, None))
    for name in labels:
        yield Item(shown(name), "", None, f"{NAME} names it, and the archive does not hold it")


def _item(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, label: str | None) -> Item:
    if label is None:
        return Item(shown(name), "", None, f"{NAME} has no line for it")
    label, fault = class_name(label)
    if fault is not None:
        return Item(shown(name), "", None, fault)
    return members.item(archive, info, shown(name), label)


def _files(
    archive: zipfile.ZipFile, table: zipfile.ZipInfo
) -> Iterator[tuple[zipfile.ZipInfo, str]]:
    """Every other file, with its name as the table spells it."""
    depth = len(members.parts(table)) - 1
    for info in archive.infolist():
        if info is not table and members.counts(info):
            yield info, unicodedata.normalize("NFC", "/".join(members.parts(info)[depth:]))


def _labels(archive: zipfile.ZipFile, table: zipfile.ZipInfo, *, most: int) -> dict[str, str]:
    """The label of each file that the table names."""
    try:
        text = members.read(archive, table).decode("utf-8-sig")
    except members.READ_FAULTS as fault:  # a UnicodeDecodeError is a ValueError
        raise BadArchive("it is damaged, or no UTF-8", where=NAME, remedy=_REMEDY) from fault
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    labels: dict[str, str] = {}
    try:
        if not {"file", "label"}.issubset(rows.fieldnames or ()):
            raise BadArchive("it has no columns file and label", where=NAME, remedy=_REMEDY)
        for row in rows:
            file, label = row["file"], row["label"]
            if not file or label is None or None in row:
                raise _bad(rows.line_num, "it is not of as many columns as the first line")
            name = unicodedata.normalize("NFC", file.removeprefix("./"))
            if name in labels:
                raise _bad(rows.line_num, "it names a file for the second time")
            if len(labels) == most:
                raise _too_many(most)
            labels[name] = label
    except csv.Error as fault:
        raise _bad(rows.line_num, str(fault)) from fault
    return labels


def _too_many(most: int) -> BadArchive:
    what = f"more images than the {most} that are taken"
    return BadArchive(what, where=NAME, remedy="send it as several chunks")


def _bad(line: int, what: str) -> BadArchive:
    return BadArchive(f"line {line}: {what}", where=NAME, remedy=_REMEDY)
