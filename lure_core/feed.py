"""Training images, batch by batch on the device: resident there, or streamed from mapped files.

Both give the same batches bit for bit, so that where the images lie is a question of memory alone.

Legend: N images, B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lure_core import parallel
from lure_core.data import Samples

AHEAD = 3
"""Batches read before they are asked for; each costs its images' bytes of (pinned) memory."""

_MIB = 2**20
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


class Feed(Protocol):
    """Images to learn from, known by their row: their place in the order of all parts."""

    @property
    def labels(self) -> Tensor:
        """int64 [N], on the CPU."""
        ...

    def __len__(self) -> int: ...

    def batches(self, rows: Iterable[Tensor]) -> Generator[Samples, None, None]:
        """The images of each batch of rows (int64 [B], on the CPU), on the device, in that order.

        Close it (`contextlib.closing`) where it may be left early: a thread may read ahead.
        """
        ...


def open_feed(
    parts: Sequence[Samples],
    rows: Sequence[Tensor],
    *,
    device: torch.device,
    resident_mib: int | None,
) -> Feed:
    """A feed of the chosen rows of each part.

    Args:
        parts: Mapped files or anything else on the CPU; a streamed feed goes on reading them.
        rows: What to learn from of each part, int64 on the CPU.
        device: Where the batches are wanted.
        resident_mib: The most that may lie on the device; what takes more is streamed. None: half
            of the device's free memory. Processes that train together on a CPU share it.
    """
    assert len(parts) == len(rows) > 0
    size_bytes = sum(len(r) * p.images[:1].nbytes for p, r in zip(parts, rows, strict=True))
    budget = _free_bytes(device) // 2 if resident_mib is None else resident_mib * _MIB
    sharing = parallel.world().size if device.type == "cpu" else 1
    if size_bytes * sharing <= budget:
        return Resident.of(parts, rows, device)
    return Streamed.of(parts, rows, device)


@dataclass(frozen=True, eq=False)
class Resident:
    """All images in one piece on the device."""

    samples: Samples
    labels: Tensor

    @classmethod
    def of(cls, parts: Sequence[Samples], rows: Sequence[Tensor], device: torch.device) -> Resident:
        """Copied part by part: beside the result it takes the memory of one part."""
        labels, splits = _labels(parts, rows), _splits(parts, rows)
        images = torch.empty(
            (len(labels), *parts[0].images.shape[1:]), dtype=torch.uint8, device=device
        )
        for part, chosen, span in zip(parts, rows, _spans(rows), strict=True):
            images[span] = part.images[chosen].to(device)
        return cls(Samples(images, labels.to(device), splits.to(device)), labels)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, rows: Iterable[Tensor]) -> Generator[Samples, None, None]:
        device = self.samples.labels.device
        for wanted in rows:
            yield self.samples.take(wanted.to(device, non_blocking=True))


@dataclass(frozen=True, eq=False)
class Streamed:
    """Images read from their parts as they are wanted, a few batches ahead, by one thread."""

    parts: Sequence[Samples]
    rows: Sequence[Tensor]
    labels: Tensor
    splits: Tensor
    device: torch.device

    @classmethod
    def of(cls, parts: Sequence[Samples], rows: Sequence[Tensor], device: torch.device) -> Streamed:
        return cls(parts, rows, _labels(parts, rows), _splits(parts, rows), device)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, rows: Iterable[Tensor]) -> Generator[Samples, None, None]:
        """As `Feed` says; `rows` is walked by the thread that asks, not by the one that reads."""
        ahead: deque[Future[Samples]] = deque()
        with ThreadPoolExecutor(1, "feed") as reader:
            try:
                for wanted in rows:
                    ahead.append(reader.submit(self._read, wanted))
                    if len(ahead) > AHEAD:
                        yield self._placed(ahead.popleft().result())
                while ahead:
                    yield self._placed(ahead.popleft().result())
            finally:
                for late in ahead:
                    late.cancel()

    def _placed(self, batch: Samples) -> Samples:
        to = self.device
        images = batch.images.to(to, non_blocking=True)
        return Samples(images, batch.labels.to(to), batch.splits.to(to))

    def _read(self, wanted: Tensor) -> Samples:
        """The rows' images, part by part and within a part in rising order, as a disk likes it."""
        pinned = self.device.type == "cuda"  # torch keeps and reuses what it once pinned
        shape = (len(wanted), *self.parts[0].images.shape[1:])
        images = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        # numpy, because its gathers take one thread only: torch would start a second team of them.
        place = wanted.numpy().argsort(kind="stable")
        sorted_rows = wanted.numpy()[place]
        for part, chosen, span in zip(self.parts, self.rows, _spans(self.rows), strict=True):
            a, b = np.searchsorted(sorted_rows, [span.start, span.stop])
            if a < b:
                of_part = chosen.numpy()[sorted_rows[a:b] - span.start]
                images.numpy()[place[a:b]] = part.images.numpy()[of_part]
        return Samples(images, self.labels[wanted], self.splits[wanted])


@dataclass(frozen=True, eq=False)
class View:
    """Some rows of another feed, in the order given."""

    whole: Feed
    rows: Tensor

    @property
    def labels(self) -> Tensor:
        return self.whole.labels[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, rows: Iterable[Tensor]) -> Generator[Samples, None, None]:
        return self.whole.batches(self.rows[wanted] for wanted in rows)


def _labels(parts: Sequence[Samples], rows: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.labels[chosen] for part, chosen in zip(parts, rows, strict=True)])


def _splits(parts: Sequence[Samples], rows: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.splits[chosen] for part, chosen in zip(parts, rows, strict=True)])


def _spans(rows: Sequence[Tensor]) -> list[slice]:
    """Where each part's rows lie among all."""
    ends = accumulate((len(chosen) for chosen in rows), initial=0)
    return [slice(a, b) for a, b in pairwise(ends)]


def _free_bytes(device: torch.device) -> int:
    """Memory that could still be had; without bound where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = 2**63
    if _MEMINFO.exists():
        lines = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    limit, stat = _CGROUP / "memory.max", _CGROUP / "memory.stat"
    if limit.exists() and (bound := limit.read_text().strip()) != "max":  # a container's own bound
        used = dict(line.split() for line in stat.read_text().splitlines())
        free = min(free, int(bound) - int(used["anon"]))
    return max(0, free)
