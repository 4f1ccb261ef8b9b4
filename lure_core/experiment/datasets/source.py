"""A data set before it is cut into chunks: its labels at hand, its pixels read when asked for.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lure_core.config import InputSpec

MAPPED_FROM_BYTES = 2 << 30
"""Pixels of this size or more lie in an unnamed temporary file instead of in memory."""

Role = Literal["learn", "test"]


@dataclass(frozen=True, eq=False)
class Source:
    """What a data set's folder holds.

    Attributes:
        name: Of the data set.
        classes: Their names, in the order of the labels.
        input: The shape of every image.
        labels: int64 [N], of the images to learn from.
        read: Pixels uint8 [n, C, H, W] of these rows of `labels`, in the order asked for.
        test_labels: int64, of the data set's own test images; None where it has none.
        read_test: As `read`, for the test images.
        parts: Lengths of the chunks it comes in, in order; () where it comes in one piece.
        splits: uint8 [N], the roles its images were given for life; None where chunks give them.
        sizes: Of the files it was read from, in bytes, in their order.
    """

    name: str
    classes: tuple[str, ...]
    input: InputSpec
    labels: Tensor
    read: Callable[[Tensor], Tensor]
    test_labels: Tensor | None = None
    read_test: Callable[[Tensor], Tensor] | None = None
    parts: tuple[int, ...] = ()
    splits: Tensor | None = None
    sizes: tuple[int, ...] = ()

    def fingerprint(self) -> str:
        """SHA-256 of all but name, place and pixels: the pixels' files are told by their sizes."""
        plain = [self.classes, asdict(self.input), self.parts, self.sizes]
        hashed = hashlib.sha256(json.dumps(plain).encode())
        for tensor in (self.labels, self.test_labels, self.splits):
            hashed.update(b"-" if tensor is None else str(len(tensor)).encode())
            if tensor is not None:
                hashed.update(tensor.contiguous().numpy().data)
        return hashed.hexdigest()


def reader(images_NCHW: Tensor) -> Callable[[Tensor], Tensor]:
    """Of pixels that are at hand already; the rows come as a copy."""

    def read(rows: Tensor) -> Tensor:
        out = allocate(len(rows), images_NCHW.shape[1:])
        return torch.index_select(images_NCHW, 0, rows, out=out)

    return read


def allocate(count: int, shape_CHW: tuple[int, ...]) -> Tensor:
    """Room for images, uint8 [count, C, H, W]: in memory, or in a mapped file where it is much.

    The file has no name and is gone with the tensor; it lies where `TMPDIR` says.
    """
    shape = (count, *shape_CHW)
    if np.prod(shape, dtype=np.int64) < MAPPED_FROM_BYTES:
        return torch.empty(shape, dtype=torch.uint8)
    with tempfile.TemporaryFile() as file:
        return torch.from_numpy(np.memmap(file, np.uint8, mode="r+", shape=shape))
