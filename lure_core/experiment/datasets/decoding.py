"""Encoded images to pixels, several at a time, through the one place that decodes images.

Legend: C channels, H height, W width.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from lure_core import images
from lure_core.config import InputSpec
from lure_core.errors import BadImage, ConfigError
from lure_core.experiment.datasets.source import allocate

_BATCH = 64
"""Images that a thread decodes in one go: small ones take less time than handing them over."""

_AHEAD = 8
"""Batches read before they are decoded."""

T = TypeVar("T")


def fill(out_NCHW: Tensor, items: Iterable[T], pixels: Callable[[T], images.U8]) -> None:
    """Turn each item into pixels and lay them into its row, several at a time."""

    def put(first: int, batch: list[T]) -> None:
        for at, item in enumerate(batch, first):
            out_NCHW[at] = torch.from_numpy(pixels(item))

    waiting: deque[Future[None]] = deque()
    rest, at = iter(items), 0
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as threads:
        while batch := list(islice(rest, _BATCH)):
            waiting.append(threads.submit(put, at, batch))
            at += len(batch)
            if len(waiting) > _AHEAD:
                waiting.popleft().result()  # a fault of any thread is raised here
        for last in waiting:
            last.result()


def decoded(data: bytes, name: str, input: InputSpec | None) -> images.U8:
    """Pixels uint8 [C, H, W].

    Raises:
        ConfigError: It is not an image; names the file.
    """
    try:
        return images.decode(data, input)
    except BadImage as fault:
        raise ConfigError(f"experiment.data: {name}: {fault}") from fault


def file_reader(paths: Sequence[Path], input: InputSpec) -> Callable[[Tensor], Tensor]:
    """Reads and decodes files when their rows are asked for; keeps nothing."""

    def read(rows: Tensor) -> Tensor:
        out = allocate(len(rows), (input.channels, input.height, input.width))

        fill(
            out,
            (paths[row] for row in rows.tolist()),
            lambda path: decoded(path.read_bytes(), str(path), input),
        )
        return out

    return read


def common_input(first: Iterable[tuple[str, bytes]], side: int | None) -> InputSpec:
    """The shape that all images are brought to, from a few of them.

    Colour if any is in colour; `side` pixels square, or the size of the images themselves.

    Raises:
        ConfigError: They differ in size, and no side was given.
    """
    shapes = [decoded(data, name, None).shape for name, data in first]
    channels = max(shape[0] for shape in shapes)
    if side is not None:
        return InputSpec(channels, side, side)
    sizes = {shape[1:] for shape in shapes}
    if len(sizes) > 1:
        raise ConfigError(
            f"experiment.side: the images differ in size ({_sizes(sizes)}); "
            "say which they shall be brought to, such as 224"
        )
    height, width = sizes.pop()
    return InputSpec(channels, height, width)


def _sizes(sizes: Iterable[tuple[int, ...]]) -> str:
    told = [f"{width} x {height}" for height, width in sorted(sizes)]
    return ", ".join(told[:3]) + (", …" if len(told) > 3 else "")
