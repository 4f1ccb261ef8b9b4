"""What of the past is learned again: rows of the past chunks, never copies of them.

Which rows a buffer holds follows from the stream's seed and the chunks' names alone. Each image
has a number that never changes, and a buffer of n images holds those with the n lowest. So

- nothing has to be stored or carried along: a restart finds the same rows;
- over time it is a reservoir: every image seen is in it with equal chance, and one that a later
  chunk has driven out does not come back while the chunks stay;
- a chunk that is taken out is gone, and the buffer is what it would be had it never come.

Judge images are never replayed and never forgotten: they are no part of any of this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lure_core.config import Replay
from lure_core.data import Samples, collect, gather, rows_of
from lure_core.rng import derive_seed, generator
from lure_core.types import Split


@dataclass(frozen=True, eq=False)
class CycleData:
    """The data of one cycle, chunk by chunk, so that they can stay in their mapped files.

    Attributes:
        new: The chunks to learn, in order.
        past: All chunks learned before, oldest first; none for the first cycle.
    """

    new: Sequence[Samples]
    past: Sequence[Samples] = ()

    @property
    def parts(self) -> list[Samples]:
        """All chunks, oldest first."""
        return [*self.past, *self.new]

    def judged(self) -> Samples:
        """The judge images of every chunk, whatever is replayed."""
        return gather(self.parts, Split.JUDGE)


@dataclass(frozen=True, eq=False)
class Replayed:
    """What one cycle relearns from: all of the new chunks, and these rows of the past ones.

    Attributes:
        past_rows: For each past chunk the rows of training and select images, rising.
    """

    data: CycleData
    past_rows: tuple[Tensor, ...]

    @property
    def parts(self) -> list[Samples]:
        return self.data.parts

    def rows(self, split: Split) -> list[Tensor]:
        """For each of `parts`, its rows of one role (training or select)."""
        past = zip(self.data.past, self.past_rows, strict=True)
        kept = [rows[samples.splits[rows] == int(split)] for samples, rows in past]
        return [*kept, *(rows_of(samples, split) for samples in self.data.new)]

    def collect(self, split: Split) -> Samples:
        return collect(self.parts, self.rows(split))

    def to_dict(self) -> dict[str, int | str]:
        """How many past images, and a digest that names them and their chunks."""
        hashed = hashlib.sha256()
        for samples, rows in zip(self.data.past, self.past_rows, strict=True):
            hashed.update(_name(samples).encode())
            hashed.update(rows.numpy().data)
        images = sum(len(rows) for rows in self.past_rows)
        return {"images": images, "sha256": hashed.hexdigest()}


def choose(data: CycleData, policy: Replay, *, seed: int) -> Replayed:
    """Apply a policy to the past.

    Args:
        data: Its chunks lie on the CPU.
        policy: What to keep.
        seed: The stream's, the same in every cycle.
    """
    able = [(samples.splits != int(Split.JUDGE)).nonzero().flatten() for samples in data.past]
    nothing = torch.empty(0, dtype=torch.long)
    match policy.kind:
        case "full":
            kept = able
        case "none":
            kept = [nothing for _ in able]
        case "one":
            kept = [*(nothing for _ in able[:-1]), *able[-1:]]
        case "buffer":
            kept = _buffer(data.past, able, policy, seed=seed)
    return Replayed(data, tuple(kept))


def _buffer(
    past: Sequence[Samples], able: Sequence[Tensor], policy: Replay, *, seed: int
) -> list[Tensor]:
    """The rows of the images with the lowest numbers."""
    if not past:
        return []
    numbers = torch.cat([_numbers(s, seed)[rows] for s, rows in zip(past, able, strict=True)])
    order = torch.argsort(numbers, stable=True)
    if policy.keep == "class-balanced":
        labels = torch.cat([s.labels[rows] for s, rows in zip(past, able, strict=True)])
        order = _balanced(order, labels, policy.capacity)
    kept = torch.zeros(len(numbers), dtype=torch.bool)
    kept[order[: policy.capacity]] = True
    by_chunk = torch.split(kept, [len(rows) for rows in able])
    return [rows[mask] for rows, mask in zip(able, by_chunk, strict=True)]


def _numbers(samples: Samples, seed: int) -> Tensor:
    """Each image's own number, float64 [N], evenly drawn from 0…1."""
    draws = generator(derive_seed(seed, 0, "replay", _name(samples)))
    return torch.rand(len(samples), generator=draws, dtype=torch.float64)


def _balanced(order: Tensor, labels: Tensor, capacity: int) -> Tensor:
    """The part of the order in which no class has more than its share.

    Classes with fewer images than an equal share leave the rest to the others; what whole numbers
    leave over goes to the first classes that have more.
    """
    sizes = torch.bincount(labels)
    quota, left = torch.zeros_like(sizes), min(capacity, len(labels))
    while left:
        open_classes = (quota < sizes).nonzero().flatten()
        share = left // len(open_classes)
        if not share:
            quota[open_classes[:left]] += 1
            break
        given = (sizes - quota)[open_classes].clamp(max=share)
        quota[open_classes] += given
        left -= int(given.sum())
    by_class = order[torch.argsort(labels[order], stable=True)]
    place = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    return by_class[place < quota.repeat_interleave(sizes)]


def _name(samples: Samples) -> str:
    return samples.name or samples.digest()
