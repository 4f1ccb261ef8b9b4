"""Images as uint8 tensors on a device, and batches of them.

Legend: N images, C channels, H height, W width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from lure_core import chunkfile
from lure_core.config import Normalisation
from lure_core.errors import BadChunkFile
from lure_core.types import Split


@dataclass(frozen=True, eq=False)
class Samples:
    """Labelled images with their roles.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: int64 [N], indices into the class list.
        splits: uint8 [N], values of `Split`.
        name: What tells these images from all others for as long as they live, such as the chunk
            file's digest; "" where nothing leans on it.
    """

    images: Tensor
    labels: Tensor
    splits: Tensor
    name: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, split: Split) -> Samples:
        return self.take(rows_of(self, split))

    def take(self, index: Tensor) -> Samples:
        return replace(
            self, images=self.images[index], labels=self.labels[index], splits=self.splits[index]
        )

    def put(self, other: Samples, *, at: slice) -> None:
        """Overwrite a stretch of these with others."""
        self.images[at], self.labels[at], self.splits[at] = other.images, other.labels, other.splits

    def to(self, device: torch.device) -> Samples:
        return replace(
            self,
            images=self.images.to(device),
            labels=self.labels.to(device),
            splits=self.splits.to(device),
        )

    def digest(self) -> str:
        """SHA-256 over shape, pixels, labels and roles."""
        hashed = hashlib.sha256(str(tuple(self.images.shape)).encode())
        for tensor in (self.images, self.labels, self.splits):
            hashed.update(tensor.contiguous().cpu().numpy().data)
        return hashed.hexdigest()


def gather(parts: Sequence[Samples], split: Split | None = None) -> Samples:
    """All images (of one role, if given), in the order of the parts, as one copy."""
    return collect(parts, [rows_of(part, split) for part in parts])


def collect(parts: Sequence[Samples], rows: Sequence[Tensor]) -> Samples:
    """The chosen rows of each part, in order, as one copy.

    Filled part by part: the memory it takes beside the result is that of one part.
    """
    first = parts[0]
    count = sum(len(chosen) for chosen in rows)
    whole = Samples(
        first.images.new_empty(count, *first.images.shape[1:]),
        first.labels.new_empty(count),
        first.splits.new_empty(count),
    )
    ends = accumulate((len(chosen) for chosen in rows), initial=0)
    for part, chosen, span in zip(parts, rows, pairwise(ends), strict=True):
        whole.put(part.take(chosen), at=slice(*span))
    return whole


def rows_of(samples: Samples, split: Split | None = None) -> Tensor:
    """The rows of one role, or all of them."""
    if split is None:
        return torch.arange(len(samples), device=samples.splits.device)
    return (samples.splits == int(split)).nonzero().flatten()


def load(paths: Sequence[Path], classes: Sequence[str]) -> list[Samples]:
    """Map chunk files into memory: what is not looked at takes none.

    Raises:
        BadChunkFile: A file is damaged, or a label is not among the classes.
    """
    index_of = {name: index for index, name in enumerate(classes)}
    return [_load_one(path, index_of) for path in paths]


def _load_one(path: Path, index_of: dict[str, int]) -> Samples:
    chunk = chunkfile.open_chunk(path, private=True)
    if unknown := sorted(set(chunk.names) - set(index_of)):
        raise BadChunkFile(f"{path.name}: label {unknown[0]!r} is not in the class list")
    class_of_name = np.array([index_of[name] for name in chunk.names], dtype=np.int64)
    labels = torch.from_numpy(class_of_name[chunk.index])
    images, splits = torch.from_numpy(chunk.images), torch.from_numpy(chunk.splits)
    return Samples(images, labels, splits, name=path.name)


def normalisation(*parts: Samples) -> Normalisation:
    """Mean and deviation of each channel over the training images, on a scale of 0…1.

    Counted by pixel value and therefore exact, whatever the order of the images.

    Raises:
        BadChunkFile: There is no training image.
    """
    counts = sum(_pixel_counts(part.of(Split.TRAIN).images) for part in parts)
    assert isinstance(counts, Tensor)
    if not counts.any():
        raise BadChunkFile("no training image among the data: nothing to learn from")
    values = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for count in counts:
        share = count.double() / count.sum()
        centre = float((share * values).sum())
        spread = float((share * (values - centre) ** 2).sum()) ** 0.5
        mean.append(centre)
        std.append(min(1.0, max(spread, 1 / 255)))  # a constant channel must not divide by zero
    return Normalisation(tuple(mean), tuple(std))


def _pixel_counts(images_NCHW: Tensor) -> Tensor:
    """How often each value occurs in each channel, int64 [C, 256]."""
    channels = images_NCHW.cpu().unbind(dim=1)
    return torch.stack([torch.bincount(c.flatten(), minlength=256) for c in channels])


def normalise(images_NCHW: Tensor, by: Normalisation) -> Tensor:
    """Raw pixels as the float32 that a model takes; the pixels stay as they are."""
    scale, shift = _scale_and_shift(by, images_NCHW.device)
    return images_NCHW.to(torch.float32, copy=True).mul_(scale).sub_(shift)


@lru_cache(maxsize=64)
def _scale_and_shift(by: Normalisation, device: torch.device) -> tuple[Tensor, Tensor]:
    """Kept, because to copy them to a GPU makes it wait, and every step would."""
    with torch.inference_mode(mode=False):  # or else no gradient could ever go through
        mean = torch.tensor(by.mean, device=device).view(1, -1, 1, 1)
        std = torch.tensor(by.std, device=device).view(1, -1, 1, 1)
        return 1 / (255 * std), mean / std


def spans(count: int, size: int) -> list[slice]:
    """Cut `count` into batches of `size`; one left over joins the last (BatchNorm needs two)."""
    starts = list(range(0, count, size))
    if size > 1 and len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [slice(a, b) for a, b in pairwise([*starts, count])]


_BATCH_VALUES = 256 * 3 * 64 * 64
"""Pixel values in a batch: what follows from one, gradients too, must fit beside a training."""


@dataclass(frozen=True)
class Batches:
    """Normalised batches (x float32 [N, C, H, W], labels [N]) in order; may be read repeatedly.

    Attributes:
        size: Images a batch; None: 256, or fewer where they are larger than 64 px.
        device: Where the batches are wanted; None: where the samples lie.
        parts: Lengths of the chunks that the samples came in, in order; () where they are one.
    """

    samples: Samples
    normalisation: Normalisation
    size: int | None = None
    parts: tuple[int, ...] = ()
    device: torch.device | None = None

    def __len__(self) -> int:
        return len(self._spans())

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        device = self.device or self.samples.labels.device
        for span in self._spans():
            images = self.samples.images[span].to(device)
            yield normalise(images, self.normalisation), self.samples.labels[span].to(device)

    def _spans(self) -> list[slice]:
        pixels = self.samples.images.shape[1:].numel()
        return spans(len(self.samples), self.size or min(256, max(2, _BATCH_VALUES // pixels)))

    def images_of(self, batches: slice) -> slice:
        """Which images some of the batches hold; taken alone they make the same batches again."""
        ends = [span.stop for span in self._spans()]
        first, last = ([0, *ends][at] for at in (batches.start, batches.stop))
        return slice(first, last)

    def take(self, index: Tensor) -> Batches:
        taken = self.samples.take(index.to(self.samples.labels.device))
        return replace(self, samples=taken, parts=())

    def showing(self, images: Tensor) -> Batches:
        """Other pixels under the same labels."""
        return replace(self, samples=replace(self.samples, images=images))

    def sized(self, size: int) -> Batches:
        return replace(self, size=size)


def stratified(labels: Tensor, count: int, generator: Generator) -> Tensor:
    """Indices of `count` samples, in rising order, each class in proportion to its share.

    What whole numbers leave over goes to the classes with the largest remainders, the first of
    equals. Within a class the draw is random.
    """
    labels = labels.cpu()
    sizes = torch.bincount(labels)
    exact = sizes.double() * count / max(1, len(labels))
    quota = exact.floor().long()
    remainder_order = torch.argsort(exact - quota, descending=True, stable=True)
    quota[remainder_order[: count - int(quota.sum())]] += 1

    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[torch.argsort(labels[shuffled], stable=True)]
    starts = sizes.cumsum(0) - sizes
    place_in_class = torch.arange(len(labels)) - starts.repeat_interleave(sizes)
    return by_class[place_in_class < quota.repeat_interleave(sizes)].sort().values
