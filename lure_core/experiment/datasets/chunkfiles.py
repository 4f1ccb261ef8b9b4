"""The service's own chunk files: each a chunk, its images in the roles they were given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lure_core import chunkfile, data
from lure_core.config import InputSpec
from lure_core.data import Samples
from lure_core.errors import BadChunkFile, ConfigError
from lure_core.experiment.datasets.absent import folder_of, missing
from lure_core.experiment.datasets.source import Source, allocate
from lure_core.types import Split

_HOLDS = "chunk files and nothing else"
_SOURCE = "The service keeps them; lure_core.chunkfile.write makes them."


def load(root: str | None) -> Source:
    """Map all chunk files of a folder, in the order of their names."""
    path = folder_of(root, dataset="chunkfiles", holds=_HOLDS, source=_SOURCE)
    paths = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    if not paths:
        raise missing(path, dataset="chunkfiles", holds=_HOLDS, source=_SOURCE)
    try:
        classes = sorted({name for p in paths for name in chunkfile.open_chunk(p).names})
        chunks = data.load(paths, classes)
    except BadChunkFile as fault:
        raise ConfigError(f"experiment.data: {path}: {fault}") from fault
    splits = torch.cat([chunk.splits for chunk in chunks])
    if not bool((splits == int(Split.JUDGE)).any()):
        raise ConfigError(f"experiment.data: the chunk files in {path} hold no image that judges")
    return Source(
        "chunkfiles",
        tuple(classes),
        _input(paths, chunks),
        torch.cat([chunk.labels for chunk in chunks]),
        _reader([chunk.images for chunk in chunks]),
        parts=tuple(map(len, chunks)),
        splits=splits,
        sizes=tuple(p.stat().st_size for p in paths),
    )


def _input(paths: Sequence[Path], chunks: Sequence[Samples]) -> InputSpec:
    shapes = [tuple(chunk.images.shape[1:]) for chunk in chunks]
    for path, shape in zip(paths, shapes, strict=True):
        if shape != shapes[0]:
            raise ConfigError(
                f"experiment.data: the images of {path.name} are {shape}, "
                f"those of {paths[0].name} {shapes[0]}"
            )
    return InputSpec(*shapes[0])


def _reader(parts: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """Rows of several mapped tensors as if they were one."""
    starts = torch.tensor([0, *map(len, parts)]).cumsum(0)

    def read(rows: Tensor) -> Tensor:
        out = allocate(len(rows), parts[0].shape[1:])
        part_of = torch.bucketize(rows, starts, right=True) - 1
        for number, images in enumerate(parts):
            at = (part_of == number).nonzero().flatten()
            out[at] = images[rows[at] - starts[number]]
        return out

    return read
