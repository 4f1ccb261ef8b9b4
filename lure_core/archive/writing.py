"""Writes labelled images as an upload: a zip of files with `labels.csv` beside them.

The same images in the same order give the same bytes.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

from lure_core.archive.table import NAME

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can tell
_UNIX = 3
_PLAIN_FILE = 0o100644 << 16


def write(path: Path, images: Iterable[tuple[str, str, bytes]]) -> int:
    """Write a new file of images, each with its file name, its label and its bytes.

    Args:
        path: The file; made anew.
        images: Read one at a time. No name may come twice, nor be that of the table.

    Returns:
        How many images were written.
    """
    table = io.StringIO(newline="")
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("file", "label"))
    count = 0
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED) as archive:
        for name, label, data in images:
            archive.writestr(_member(name), data)
            rows.writerow((name, label))
            count += 1
        archive.writestr(_member(NAME), table.getvalue().encode())
    return count


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.create_system = _UNIX
    member.external_attr = _PLAIN_FILE
    return member
