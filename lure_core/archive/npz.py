"""Reads an npz: `images` uint8 [N,H,W,C], [N,C,H,W] or [N,H,W] and `labels` [N], row by row.

The channel axis is the one of size 1 or 3. Where the second and the last axis both are (images 1
or 3 pixels wide, too small for any stream) it is the last. Labels are integers, which become their
decimal strings, unicode, or bytes in UTF-8. Images in Fortran order have no rows to stream: they
are unpacked at once, up to 256 MiB.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lure_core.archive import members
from lure_core.archive.listing import Item, Limits, Listing, class_name, shown
from lure_core.archive.npy import Array, header
from lure_core.errors import BadArchive

_MAX_LABEL_BYTES = 1 << 16
_MAX_FORTRAN_BYTES = 256 << 20
_REMEDY = "save it with numpy.savez(path, images=<uint8 [N,H,W,C]>, labels=<[N]>)"


def looks_like(archive: zipfile.ZipFile) -> bool:
    """Tell an npz from a zip of images: nothing but `.npy` members."""
    return all(info.filename.endswith(".npy") for info in archive.infolist())


def check(archive: zipfile.ZipFile, limits: Limits) -> Listing:
    """Read the two arrays' headers and refuse what cannot be labelled images.

    Raises:
        BadArchive: An unsafe member, a missing, pickled or mis-shaped array.
    """
    # one array is one member, so only the total bounds it; the images in it are bounded below
    whole = replace(limits, max_member_bytes=limits.max_total_bytes)
    total = members.check(archive.infolist(), limits=whole, archive_bytes=archive.start_dir)
    images, labels = _array(archive, "images"), _array(archive, "labels")
    _check_images(images, limits)
    _check_labels(labels, images.shape[0])
    return Listing("npz", images.shape[0], total, None)


def items(archive: zipfile.ZipFile) -> Iterator[Item]:
    """Yield each row; after a fault in either array, every further one with that fault."""
    images, labels = _array(archive, "images"), _array(archive, "labels")
    pixels, names = _image_rows(archive, images), labels.rows(archive)
    fault: str | None = None
    for index in range(images.shape[0]):
        if fault is None:
            try:
                row, name = next(pixels), next(names)
            except members.READ_FAULTS as damage:
                fault = f"the archive is damaged from here on: {shown(str(damage))}"
        where = f"images[{index}]"
        yield Item(where, "", None, fault) if fault else _item(where, row, _text(labels, name))


def _item(where: str, row: npt.NDArray[np.uint8], text: str | None) -> Item:
    if text is None:
        return Item(where, "", None, "the class name is not valid text")
    label, fault = class_name(text)
    return Item(where, label, row if fault is None else None, fault)


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise BadArchive(f"the npz holds no array named {name!r}", remedy=_REMEDY) from None
    return header(archive, info)


def _check_images(images: Array, limits: Limits) -> None:
    if images.kind != "u" or images.item_bytes != 1:
        raise _bad("images", f"the values are {images.descr}, not uint8")
    if len(images.shape) not in (3, 4) or 0 in images.shape:
        raise _bad("images", f"the shape is {list(images.shape)}, not [N,H,W,C]")
    if len(images.shape) == 4 and not {images.shape[1], images.shape[3]} & {1, 3}:
        raise _bad("images", f"the shape {list(images.shape)} has no axis of 1 or 3 channels")
    if images.shape[0] > limits.max_members:
        raise _bad(
            "images", f"{images.shape[0]} are too many; at most {limits.max_members} are taken"
        )
    if images.row_bytes > limits.max_member_bytes:
        raise _bad(
            "images", f"one takes {images.row_bytes} bytes; at most {limits.max_member_bytes}"
        )
    if images.fortran and images.data_bytes > _MAX_FORTRAN_BYTES:
        raise _bad("images", "too large for Fortran order; apply numpy.ascontiguousarray first")


def _check_labels(labels: Array, count: int) -> None:
    if labels.kind not in "iuUS" or labels.item_bytes > _MAX_LABEL_BYTES:
        raise _bad("labels", f"the values are {labels.descr}, not integers or strings")
    if len(labels.shape) != 1:
        raise _bad("labels", f"the shape is {list(labels.shape)}, not [N]")
    if labels.shape[0] != count:
        raise _bad("labels", f"there are {labels.shape[0]} for {count} images")


def _bad(name: str, what: str) -> BadArchive:
    return BadArchive(what, where=name, remedy=_REMEDY)


def _image_rows(archive: zipfile.ZipFile, images: Array) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield uint8 [H,W,C] for each image."""
    shape = images.shape[1:]
    if images.fortran:
        data = members.read(archive, images.member)[images.data_offset :]
        whole = np.frombuffer(data, np.uint8).reshape(images.shape, order="F")
        yield from (_channels_last(row) for row in whole)
    else:
        for raw in images.rows(archive):
            yield _channels_last(np.frombuffer(raw, np.uint8).reshape(shape))


def _channels_last(row: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if row.ndim == 2:
        return row[:, :, None]
    return row if row.shape[2] in (1, 3) else row.transpose(1, 2, 0)


def _text(labels: Array, raw: bytes) -> str | None:
    """Give one label as a string; None where its bytes are no text."""
    order = "big" if labels.descr.startswith(">") else "little"
    if labels.kind in "iu":
        return str(int.from_bytes(raw, order, signed=labels.kind == "i"))  # type: ignore[arg-type]
    codec = "utf-8" if labels.kind == "S" else f"utf-32-{order[0]}e"
    try:
        return raw.decode(codec).rstrip("\0")  # numpy pads with zeros
    except UnicodeDecodeError:
        return None
