"""Zips as they are sent to the service, each a chunk: `<class>/<file>`, or an npz.

They come in the order of their names. Nothing is unpacked to the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch

from lure_core import archive, images
from lure_core.archive import Item, Listing
from lure_core.config import InputSpec
from lure_core.errors import BadArchive, BadImage, ConfigError
from lure_core.experiment.datasets.absent import folder_of, missing
from lure_core.experiment.datasets.decoding import common_input, decoded, fill
from lure_core.experiment.datasets.source import Source, allocate, reader

_HOLDS = "one or more .zip or .npz files of labelled images"
_SOURCE = "In a zip each image lies in a folder named after its class: <class>/<file>."


@dataclass(frozen=True)
class _Zip:
    path: Path
    listing: Listing

    def items(self) -> Iterator[Item]:
        for item in archive.items(self.path, self.listing):
            if item.image is None:
                raise ConfigError(f"experiment.data: {self.path.name}: {item.name}: {item.error}")
            yield item


def load(root: str | None, side: int | None) -> Source:
    """Read all zips of a folder into memory, decoded; none of it is set apart for testing."""
    path = folder_of(root, dataset="zips", holds=_HOLDS, source=_SOURCE)
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in (".zip", ".npz"))
    if not found:
        raise missing(path, dataset="zips", holds=_HOLDS, source=_SOURCE)
    zips = [_opened(path) for path in found]
    input = _input(zips, side)
    total = sum(one.listing.items for one in zips)
    pixels = allocate(total, (input.channels, input.height, input.width))
    named: list[str] = []

    def items() -> Iterator[Item]:
        for item in chain.from_iterable(one.items() for one in zips):
            named.append(item.label)
            yield item

    fill(pixels, items(), lambda item: _pixels(item, input))
    classes = tuple(sorted(set(named)))
    number = {name: at for at, name in enumerate(classes)}
    labels = torch.tensor([number[name] for name in named])
    parts = tuple(one.listing.items for one in zips)
    sizes = tuple(one.path.stat().st_size for one in zips)
    return Source("zips", classes, input, labels, reader(pixels), parts=parts, sizes=sizes)


def _opened(path: Path) -> _Zip:
    try:
        return _Zip(path, archive.check(path, None))
    except BadArchive as fault:
        raise ConfigError(f"experiment.data: {path.name}: {fault}. {fault.remedy}") from fault


def _input(zips: list[_Zip], side: int | None) -> InputSpec:
    first = [item for one in zips for item in islice(one.items(), 1)]
    arrays = [item.image.shape for item in first if isinstance(item.image, np.ndarray)]
    if not arrays:
        return common_input(((i.name, i.image) for i in first if isinstance(i.image, bytes)), side)
    height, width, channels = arrays[0]
    return InputSpec(channels, side or height, side or width)


def _pixels(item: Item, input: InputSpec) -> images.U8:
    if isinstance(item.image, bytes):
        return decoded(item.image, item.name, input)
    assert item.image is not None
    try:
        return images.fit(item.image, input)
    except BadImage as fault:
        raise ConfigError(f"experiment.data: {item.name}: {fault}") from fault
