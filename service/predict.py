"""From encoded images to probabilities, in threads of its own and with a bound on what waits."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from lure_core.config import InputSpec
from lure_core.errors import BadImage
from lure_core.images import decode
from service.errors import Fault, Invalid, Overloaded
from service.slot import Served

Probabilities = npt.NDArray[np.float32]

WAITING = 256  # requests that are computed or wait for it
HELD_BYTES = 256 << 20  # bodies of all these requests
_THREADS = 4
_BATCH_VALUES = 4 << 20  # pixels x channels that go through the model at once


class Predictor:
    """Decodes and computes; a few requests at a time, so that none starves the others."""

    def __init__(self, *, waiting: int = WAITING, held_bytes: int = HELD_BYTES) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        threads = min(_THREADS, cores or 1)
        # torch has a pool for each of our threads: together they should have the cores once
        self._threads = ThreadPoolExecutor(
            threads,
            thread_name_prefix="predict",
            initializer=torch.set_num_threads,
            initargs=(max(1, (cores or 1) // threads),),
        )
        self._waiting = waiting
        self._left = waiting
        self._bytes_left = held_bytes

    @contextlib.contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        """Room for a body of that size.

        Raises:
            Overloaded: The bodies that are held already leave none.
        """
        if size_bytes > self._bytes_left:
            raise Overloaded("the images of other requests fill the memory set aside for them")
        self._bytes_left -= size_bytes
        try:
            yield
        finally:
            self._bytes_left += size_bytes

    async def predict(self, served: Served, images: Sequence[bytes]) -> Probabilities:
        """The probabilities [N, K] of `images`, by this very model.

        Raises:
            Invalid: Some of them are no images; all of these are named, and none is answered.
            Overloaded: Too many requests wait already.
        """
        if self._left == 0:
            raise Overloaded(f"{self._waiting} predictions wait already")
        self._left -= 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, _compute, served, images)
        finally:
            self._left += 1

    def close(self) -> None:
        """End the threads when they have finished."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _compute(served: Served, images: Sequence[bytes]) -> Probabilities:
    pixels = _decoded(images, served.input)
    spec = served.input
    at_once = max(1, _BATCH_VALUES // (spec.channels * spec.height * spec.width))
    return np.concatenate(
        [
            served.classifier.predict(pixels[start : start + at_once])
            for start in range(0, len(pixels), at_once)
        ]
    )


def _decoded(images: Sequence[bytes], spec: InputSpec) -> npt.NDArray[np.uint8]:
    """Uint8 pixels [N,C,H,W], made as admission makes them."""
    pixels: list[npt.NDArray[np.uint8]] = []
    faults: list[Fault] = []
    for index, data in enumerate(images):
        try:
            pixels.append(decode(data, spec))
        except BadImage as error:
            faults.append(Fault(f"/images/{index}", str(error)))
    if faults:
        raise Invalid(f"{len(faults)} of {len(images)} images cannot be read", faults)
    return np.stack(pixels)
