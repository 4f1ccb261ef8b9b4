"""From encoded images to probabilities, in threads of its own and with a bound on what waits."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from lure_core.config import InputSpec
from lure_core.errors import BadImage
from lure_core.images import announced_pixels, decode
from service.errors import Fault, Invalid, Overloaded
from service.slot import Served
from service.threads import Threads

Pixels = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]

WAITING = 256  # requests that are computed or wait for it
HELD_BYTES = 256 << 20  # bodies of all these requests
MAX_PIXELS = 64_000_000  # width x height of one request's images, about a second of decoding
_THREADS = 4
_BATCH_VALUES = 4 << 20  # pixels x channels that go through the model at once


class Predictor:
    """Decodes and computes; a few requests at a time, so that none starves the others."""

    def __init__(self, *, waiting: int = WAITING, held_bytes: int = HELD_BYTES) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        threads = min(_THREADS, cores or 1)
        # torch has a pool for each of our threads: together they should have the cores once
        share = max(1, (cores or 1) // threads)
        self.threads = Threads("predict", threads, prepare=partial(torch.set_num_threads, share))
        self._waiting = waiting
        self._left = waiting
        self._bytes_left = held_bytes

    @contextlib.contextmanager
    def hold(self, size_bytes: int) -> Iterator[Callable[[int], None]]:
        """Room for a body of that size; yields what makes it larger by some bytes.

        Raises:
            Overloaded: The bodies that are held already leave none; from the yielded call too.
        """
        held_bytes = 0

        def grow(more_bytes: int) -> None:
            nonlocal held_bytes
            if more_bytes > self._bytes_left:
                raise Overloaded("the images of other requests fill the memory set aside for them")
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
        with self._turn():
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
            raise Overloaded(f"{self._waiting} predictions wait already")
        self._left -= 1
        try:
            yield
        finally:
            self._left += 1

    async def _computed(self, served: Served, pixels: Pixels) -> Probabilities:
        """Each batch queues for a thread by itself: a large request and small ones take turns."""
        spec = served.input
        at_once = max(1, _BATCH_VALUES // (spec.channels * spec.height * spec.width))
        batches = [
            await self.threads.run(served.classifier.predict, pixels[start : start + at_once])
            for start in range(0, len(pixels), at_once)
        ]
        return np.concatenate(batches)

    def close(self) -> None:
        """End the threads when they have finished."""
        self.threads.close()


def _decoded(images: Sequence[bytes], spec: InputSpec, max_pixels: int) -> Pixels:
    """Uint8 pixels [N,C,H,W], made as admission makes them."""
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
