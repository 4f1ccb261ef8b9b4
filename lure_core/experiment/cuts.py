"""Which images come in which chunk: rows only, no pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lure_core.data import stratified
from lure_core.errors import ConfigError
from lure_core.rng import derive_seed, generator

DEFAULT_CHUNKS = 8


@dataclass(frozen=True)
class Wanted:
    """How a data set shall be cut; None: see `cut`.

    Attributes:
        chunks: How many chunks.
        size: Images a chunk.
        shots: Images a class and chunk.
    """

    chunks: int | None = None
    size: int | None = None
    shots: int | None = None


def cut(labels: Tensor, parts: Sequence[Tensor], wanted: Wanted, *, seed: int) -> list[Tensor]:
    """Rows of each chunk, in an order drawn by `seed`.

    A data set that comes in several parts keeps them as its chunks, thinned class by class to
    `wanted.size`, unless a number of chunks or shots is wanted: then, as with one that comes in
    one piece, all rows are shuffled and cut into chunks of `wanted.size`, or else evenly.

    Args:
        labels: int64 [N], of all images.
        parts: Rows to be cut, part by part.
        wanted: Number and size of the chunks.
        seed: Of the draw.

    Raises:
        ConfigError: There are too few images.
    """
    if wanted.shots is not None:
        return _few_shot(labels, torch.cat(list(parts)), wanted, seed=seed)
    if len(parts) > 1 and wanted.chunks is None:
        return [
            _thinned(labels, rows, wanted.size, seed=derive_seed(seed, t, "thin"))
            for t, rows in enumerate(parts)
        ]
    return _even(torch.cat(list(parts)), wanted, seed=seed)


def _even(rows: Tensor, wanted: Wanted, *, seed: int) -> list[Tensor]:
    count = wanted.chunks or DEFAULT_CHUNKS
    size = wanted.size or len(rows) // count
    if not 0 < size * count <= len(rows):
        raise ConfigError(
            f"experiment.chunks: {count} chunks of {size} images are wanted, "
            f"but there are {len(rows)} images to learn from"
        )
    shuffled = rows[torch.randperm(len(rows), generator=_draws(seed))]
    if wanted.size is not None:
        return list(torch.split(shuffled[: size * count], size))
    return list(shuffled.tensor_split(count))


def _few_shot(labels: Tensor, rows: Tensor, wanted: Wanted, *, seed: int) -> list[Tensor]:
    count, shots = wanted.chunks or DEFAULT_CHUNKS, wanted.shots
    assert shots is not None
    shuffled = rows[torch.randperm(len(rows), generator=_draws(seed))]
    of_classes = [
        shuffled[labels[shuffled] == label] for label in torch.unique(labels[rows]).tolist()
    ]
    fewest = min(map(len, of_classes))
    if fewest < count * shots:
        raise ConfigError(
            f"experiment.shots: {count} chunks of {shots} images a class are wanted, "
            f"but the smallest class has {fewest} images to learn from"
        )
    chunks = [
        torch.cat([of_class[t * shots : (t + 1) * shots] for of_class in of_classes])
        for t in range(count)
    ]
    return [
        _thinned(labels, c, None, seed=derive_seed(seed, t, "thin")) for t, c in enumerate(chunks)
    ]


def _thinned(labels: Tensor, rows: Tensor, size: int | None, *, seed: int) -> Tensor:
    """So many of the rows, each class in proportion, shuffled."""
    draws = generator(seed)
    if size is not None:
        if size > len(rows):
            raise ConfigError(
                f"experiment.chunk_size: {size} images are wanted, but a chunk has {len(rows)}"
            )
        rows = rows[stratified(labels[rows], size, draws)]
    return rows[torch.randperm(len(rows), generator=draws)]


def _draws(seed: int) -> torch.Generator:
    return generator(derive_seed(seed, 0, "chunks"))
