"""From images to probabilities: decoded in threads, computed in batches, with bounds on it all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from lure_core.config import InputSpec
from lure_core.errors import BadImage
from lure_core.images import MAX_PIXELS, announced_pixels, decode
from lure_core.precision import answering_threads
from service.batcher import Batcher, Limits, Pixels, Probabilities, values_of
from service.counters import Counters
from service.errors import Fault, Invalid, Overloaded
from service.slot import Served
from service.threads import Threads

_DECODING = 4  # threads that decode, where there are as many cores


def cores() -> int:
    """Those that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Capacity:
    """What the predictor takes on at once, and with how many threads."""

    requests: int = 256  # that are computed or wait for it
    held_bytes: int = 256 << 20  # bodies of all these requests, and their pixels
    cores: int = field(default_factory=cores)
    computing: int = 1  # batches at once; they divide the cores
    batch: Limits = field(default_factory=Limits)

    @property
    def share(self) -> int:
        """Cores of each batch."""
        return max(1, self.cores // self.computing)


class Predictor:
    """Decodes and computes; a few requests at a time, so that none starves the others."""

    def __init__(self, counters: Counters, capacity: Capacity | None = None) -> None:
        self._capacity = capacity or Capacity()
        self._counters = counters
        # a body that is still decoded fills memory, also when nobody wants its images any more
        self.threads = Threads("predict", min(_DECODING, self._capacity.cores), finish=True)
        self._batcher = Batcher(
            self._capacity.batch,
            counters,
            threads=self._capacity.computing,
            prepare=self._take_cores,
        )
        self._left = self._capacity.requests
        self._bytes_left = self._capacity.held_bytes

    def _take_cores(self, served: Served) -> None:
        """As many as pay for that version; torch has a pool for each of our threads."""
        torch.set_num_threads(answering_threads(served.flops, most=self._capacity.share))

    @property
    def waiting(self) -> int:
        """Requests that are computed or wait for it."""
        return self._capacity.requests - self._left

    @contextlib.contextmanager
    def hold(self, size_bytes: int) -> Iterator[Callable[[int], None]]:
        """Room for a body of that size; yields what makes it larger by some bytes.

        The block of a request that is cancelled ends when nothing of it is in memory any more:
        when what was decoded or computed for it meanwhile has ended.

        Raises:
            Overloaded: The bodies that are held already leave none; from the yielded call too.
        """
        held_bytes = 0

        def grow(more_bytes: int) -> None:
            nonlocal held_bytes
            if more_bytes > self._bytes_left:
                raise self._full("the images of other requests fill the memory set aside for them")
            self._bytes_left -= more_bytes
            held_bytes += more_bytes

        try:
            grow(size_bytes)
            yield grow
        finally:
            self._bytes_left += held_bytes

    async def images(
        self, served: Served, encoded: Sequence[bytes], *, max_pixels: int = MAX_PIXELS
    ) -> Probabilities:
        """The probabilities [N, K] of encoded images, by this very model.

        Raises:
            Invalid: Some of them are no images, or they are too large together; all that are at
                fault are named, and none is answered.
            Overloaded: Too many requests wait already.
        """
        with self._turn(), self.hold(len(encoded) * values_of(served.input)):
            pixels = await self.threads.run(_decoded, encoded, served.input, max_pixels)
            return await self._computed(served, pixels)

    async def pixels(self, served: Served, pixels: Pixels) -> Probabilities:
        """The probabilities [N, K] of pixels [N, C, H, W] in the model's input shape.

        Raises:
            Overloaded: Too many requests wait already.
        """
        with self._turn():
            return await self._computed(served, pixels)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """A place among those that wait or are computed."""
        if self._left == 0:
            raise self._full(f"{self._capacity.requests} predictions wait already")
        self._left -= 1
        try:
            yield
        finally:
            self._left += 1

    def _full(self, words: str) -> Overloaded:
        self._counters.refused("full")
        return Overloaded(words)

    async def _computed(self, served: Served, pixels: Pixels) -> Probabilities:
        """Each batch queues by itself: a large request and small ones take turns."""
        at_once = self._batcher.at_once(served)
        parts = [
            await self._batcher.run(served, pixels[start : start + at_once])
            for start in range(0, len(pixels), at_once)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """End the threads when they have finished."""
        self.threads.close()
        self._batcher.close()


def _decoded(images: Sequence[bytes], spec: InputSpec, max_pixels: int) -> Pixels:
    """Uint8 pixels [N,C,H,W], made as admission makes them."""
    if len(images) > 1 or max_pixels < MAX_PIXELS:  # of a single one `decode` reads the header
        _check_pixels(images, max_pixels)
    pixels: list[Pixels] = []
    faults: list[Fault] = []
    for index, data in enumerate(images):
        try:
            pixels.append(decode(data, spec))
        except BadImage as error:
            faults.append(Fault(f"/images/{index}", str(error)))
    if faults:
        raise Invalid(f"{len(faults)} of {len(images)} images cannot be read", faults)
    return np.stack(pixels)


def _check_pixels(images: Sequence[bytes], max_pixels: int) -> None:
    """By the headers alone: a kilobyte can be an image of many megapixels."""
    seen = 0
    for index, data in enumerate(images):
        seen += announced_pixels(data)
        if seen > max_pixels:
            words = f"with this image it is {seen} pixels; one request may have {max_pixels}"
            raise Invalid("the images are too large together", [Fault(f"/images/{index}", words)])
