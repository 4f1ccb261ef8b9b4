"""The canonical chunk file: what admission writes once and every later cycle reads by memory map.

A safetensors file with three tensors in this order, N images long::

    labels  U32  [N]           each image's place in `names`
    images  U8   [N, C, H, W]
    splits  U8   [N]           a `Split`

and the metadata::

    format   "lure-chunk"
    version  "1"
    names    the class names that occur, sorted, as JSON

The same content gives the same bytes, so the file can be kept under its digest.

Source: the safetensors format; https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
import shutil
import struct
import tempfile
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeGuard

import numpy as np
import numpy.typing as npt

from lure_core.errors import BadChunkFile
from lure_core.types import Split

FORMAT = "lure-chunk"
VERSION = "1"

_LENGTH = struct.Struct("<Q")
_MAX_HEADER_BYTES = 100_000_000  # safetensors' own bound
_MAX_NAME_CHARACTERS = 255


@dataclass(frozen=True)
class ChunkFile:
    """A chunk read by memory map: what is not looked at takes no memory; the file never changes.

    Attributes:
        images: uint8 [N,C,H,W].
        index: uint32 [N], each image's place in `names`.
        names: The class names that occur, sorted.
        splits: uint8 [N], each image's `Split`.
    """

    images: npt.NDArray[np.uint8]
    index: npt.NDArray[np.uint32]
    names: tuple[str, ...]
    splits: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> list[str]:
        """The class name of each image."""
        return [self.names[at] for at in self.index.tolist()]

    @property
    def class_counts(self) -> dict[str, int]:
        counts = np.bincount(self.index, minlength=len(self.names))
        return dict(zip(self.names, counts.tolist(), strict=True))

    @property
    def split_counts(self) -> dict[Split, int]:
        counts = np.bincount(self.splits, minlength=len(Split))
        return {split: int(counts[split]) for split in Split}


class Writer:
    """Writes a chunk file one image at a time; the pixels wait in a temporary file beside it.

    A context manager: `path` comes into being when the block ends well, and not at all otherwise.

    Raises:
        FileExistsError: `path` exists already.
        BadChunkFile: No image was appended, or one does not fit those before it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shape: tuple[int, ...] | None = None
        self._numbers: dict[str, int] = {}  # by first appearance; sorted at the end
        self._index = array("I")
        self._splits = bytearray()
        self._pixels: IO[bytes] = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def append(self, image_CHW: npt.NDArray[np.uint8], label: str, split: Split | int) -> None:
        """Add one image; all must have the first one's shape."""
        shape = image_CHW.shape
        if image_CHW.dtype != np.uint8 or len(shape) != 3 or 0 in shape:
            raise BadChunkFile(f"an image must be uint8 [C,H,W], not {image_CHW.dtype} {shape}")
        if self._shape not in (None, shape):
            raise BadChunkFile(f"an image of shape {shape} among images of {self._shape}")
        _check_name(label)
        self._shape = shape
        self._pixels.write(np.ascontiguousarray(image_CHW).data)
        self._index.append(self._numbers.setdefault(label, len(self._numbers)))
        self._splits.append(Split(split))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._pixels:
            if kind is None:
                self._finish()

    def _finish(self) -> None:
        if self._shape is None:
            raise BadChunkFile("a chunk file needs at least one image")
        names = sorted(self._numbers)
        place = {name: at for at, name in enumerate(names)}
        order = np.array([place[name] for name in self._numbers], dtype="<u4")
        header = _header(names, (len(self._index), *self._shape))
        with self._path.open("xb") as file:
            try:
                file.write(header)
                file.write(order[np.frombuffer(self._index, np.uintc)].data)
                self._pixels.seek(0)
                shutil.copyfileobj(self._pixels, file, 1 << 20)
                file.write(self._splits)
            except BaseException:
                self._path.unlink()
                raise


def write(
    path: Path,
    images_NCHW: npt.NDArray[np.uint8],
    labels: Sequence[str],
    splits: Iterable[Split | int],
) -> None:
    """Write a new chunk file from arrays at hand; see `Writer` for one image at a time.

    Raises:
        FileExistsError: `path` exists already.
        BadChunkFile: There is no image, or it is not uint8 [N,C,H,W].
    """
    with Writer(path) as writer:
        for image_CHW, label, split in zip(images_NCHW, labels, splits, strict=True):
            writer.append(image_CHW, label, split)


def open_chunk(path: Path, *, private: bool = False) -> ChunkFile:
    """Map a chunk file into memory after checking its header, its bounds, indices and splits.

    Args:
        path: The file; it may be removed while it is mapped.
        private: Copy on write instead of read-only, for torch, which knows no read-only tensor. The
            file stays as it is either way.

    Raises:
        BadChunkFile: Not a chunk file, damaged, or of another version.
    """
    with path.open("rb") as file:
        header, data_offset = _read_header(file)
    names, shape = _checked(header)
    raw = np.memmap(path, np.uint8, mode="c" if private else "r")
    count, pixels = shape[0], math.prod(shape)
    if raw.size != data_offset + 5 * count + pixels:
        raise BadChunkFile(f"{path.name} has {raw.size} bytes, not those its header tells of")
    labels, images, splits = np.split(raw[data_offset:], [4 * count, 4 * count + pixels])
    chunk = ChunkFile(images.reshape(shape), labels.view("<u4"), names, splits)
    if chunk.index.max() >= len(names):
        raise BadChunkFile(f"{path.name} holds a label that has no name")
    if chunk.splits.max() > max(Split):
        raise BadChunkFile(f"{path.name} holds an unknown split")
    return chunk


def _entries(shape: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    """Describe the three tensors as safetensors does."""
    count, pixels = shape[0], math.prod(shape)
    at = [0, 4 * count, 4 * count + pixels, 5 * count + pixels]
    return {
        "labels": {"dtype": "U32", "shape": [count], "data_offsets": at[0:2]},
        "images": {"dtype": "U8", "shape": list(shape), "data_offsets": at[1:3]},
        "splits": {"dtype": "U8", "shape": [count], "data_offsets": at[2:4]},
    }


def _header(names: list[str], shape: tuple[int, ...]) -> bytes:
    listed = json.dumps(names, ensure_ascii=False)
    metadata = {"format": FORMAT, "version": VERSION, "names": listed}
    whole = {"__metadata__": metadata, **_entries(shape)}
    text = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begins aligned
    return _LENGTH.pack(len(text)) + text


def _read_header(file: IO[bytes]) -> tuple[dict[str, Any], int]:
    start = file.read(_LENGTH.size)
    length = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else 0
    if not 2 <= length <= _MAX_HEADER_BYTES:
        raise BadChunkFile("this is not a chunk file: its header has no sensible length")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError) as fault:
        raise BadChunkFile("this is not a chunk file: its header is no JSON") from fault
    if not isinstance(header, dict):
        raise BadChunkFile("this is not a chunk file: its header is no object")
    return header, _LENGTH.size + length


def _checked(header: dict[str, Any]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Give the names and the images' shape of a header that is ours to the letter."""
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise BadChunkFile("this safetensors file is not a chunk file")
    if metadata.get("version") != VERSION:
        told = metadata.get("version")
        raise BadChunkFile(f"chunk file version {told!r} is not known; this reads {VERSION}")
    images = header.get("images")
    shape: object = images.get("shape") if isinstance(images, dict) else None
    if not _is_shape(shape) or header != _entries(tuple(shape)):
        raise BadChunkFile("the chunk file's tensors are not labels, images and splits")
    return _names(metadata.get("names")), tuple(shape)


def _is_shape(shape: object) -> TypeGuard[list[int]]:
    return (
        isinstance(shape, list)
        and len(shape) == 4
        and all(type(size) is int and size > 0 for size in shape)
    )


def _names(listed: object) -> tuple[str, ...]:
    try:
        names = json.loads(listed) if isinstance(listed, str) else None
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadChunkFile("the chunk file's class names are no list of names")
    if names != sorted(set(names)):
        raise BadChunkFile("the chunk file's class names are not sorted and distinct")
    return tuple(names)


def _check_name(label: str) -> None:
    if not 0 < len(label) <= _MAX_NAME_CHARACTERS or not label.isprintable():
        what = f"a class name must have 1 to {_MAX_NAME_CHARACTERS} printable characters"
        raise BadChunkFile(what)
