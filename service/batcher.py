"""Requests that wait for the same version are computed together.

A batch begins as soon as a thread is free to compute it: a request that is alone waits for nobody,
and what comes while the threads compute makes the next batch. Where a delay is allowed, those who
were answered together are waited for that long, as they may ask together again. Versions never
share a batch; they take turns, so that a flood on one does not starve the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import structlog

from lure_core.config import InputSpec
from service.counters import Counters
from service.slot import Served
from service.threads import unheard
from store import tracing

Pixels = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]

log = structlog.get_logger(__name__)


def values_of(spec: InputSpec) -> int:
    """How many numbers an image is; as pixels, as many bytes."""
    return spec.channels * spec.height * spec.width


@dataclass(frozen=True)
class Limits:
    """How large a batch may be, and how long it may wait to become so.

    On two cores batches of 4 to 6 images of 224 px are computed as fast, per image, as those of 16
    or 27, or faster, and of 32 px 32 as fast as 128: larger ones make everybody wait longer.
    """

    images: int = 32
    values: int = 1 << 20  # pixels x channels; a model's activations are many times that
    delay_s: float = 0.0


@dataclass(eq=False)
class _Waiting:
    """Images of one request, and who waits for their answer."""

    served: Served
    pixels: Pixels
    answer: asyncio.Future[Probabilities]
    since: float = field(default_factory=time.monotonic)
    trail: str | None = field(default_factory=tracing.current)  # None unless its client traces it


class Batcher:
    """Threads that compute, and the requests that wait for them.

    Args:
        threads: How many batches are computed at once.
        prepare: Called before each batch, in its thread, with the version that answers.
    """

    def __init__(
        self,
        limits: Limits,
        counters: Counters,
        *,
        threads: int = 1,
        prepare: Callable[[Served], None] = lambda _: None,
    ) -> None:
        self._limits = limits
        self._counters = counters
        self._prepare = prepare
        self._changed = threading.Condition()
        # by the version's identity; the one whose turn it is comes first
        self._queues: OrderedDict[int, deque[_Waiting]] = OrderedDict()
        self._expected = 1  # requests, as many as in the last batch
        self._closing = False
        for number in range(threads):
            threading.Thread(target=self._work, name=f"compute_{number}", daemon=True).start()

    def at_once(self, served: Served) -> int:
        """The most images of that version in one batch."""
        return max(1, min(self._limits.images, self._limits.values // values_of(served.input)))

    async def run(self, served: Served, pixels: Pixels) -> Probabilities:
        """The probabilities [N, K] of pixels [N, C, H, W], N at most `at_once`.

        Whoever is cancelled while waiting is not computed, and while it is computed is so at its
        end: until then its pixels fill memory. An error of the model reaches those of its batch,
        and nobody else.
        """
        assert len(pixels) <= self.at_once(served)
        one = _Waiting(served, pixels, asyncio.get_running_loop().create_future())
        one.answer.add_done_callback(unheard)
        with self._changed:
            self._queues.setdefault(id(served), deque()).append(one)
            self._changed.notify()
        try:
            return await asyncio.shield(one.answer)
        except asyncio.CancelledError:
            if not self._withdraw(one):
                await asyncio.wait([one.answer])
            raise

    def close(self) -> None:
        """Begin no further batch."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _work(self) -> None:
        while not self._closing:
            try:
                self._step()
            except Exception:  # a thread that ended would leave all who come to wait in vain
                log.exception("a batch went wrong, computing on")

    def _step(self) -> None:
        """One batch.

        In a frame of its own: a thread that waits must not hold on to a model it once computed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._queues or self._closing)
            if self._expected > 1 and self._limits.delay_s:
                self._changed.wait_for(self._is_worth_it, self._limits.delay_s)
            batch = self._take() if self._queues and not self._closing else []
        if batch:
            self._compute(batch)

    def _is_worth_it(self) -> bool:
        return self._closing or any(len(one) >= self._expected for one in self._queues.values())

    def _withdraw(self, one: _Waiting) -> bool:
        """Whether it was still in its queue, where it is no more."""
        key = id(one.served)
        with self._changed:
            queue = self._queues.get(key)
            if queue is None or one not in queue:
                return False
            queue.remove(one)
            if not queue:
                del self._queues[key]
            return True

    def _take(self) -> list[_Waiting]:
        """The next batch; the lock is held."""
        key, queue = self._queues.popitem(last=False)
        room = self.at_once(queue[0].served)
        batch: list[_Waiting] = []
        while queue and room >= len(queue[0].pixels):
            batch.append(queue.popleft())
            room -= len(batch[-1].pixels)
        if queue:
            self._queues[key] = queue
        self._expected = len(batch)
        return batch

    def _compute(self, batch: list[_Waiting]) -> None:
        served, loop = batch[0].served, batch[0].answer.get_loop()
        began = time.monotonic()
        try:
            self._prepare(served)
            pixels = np.concatenate([one.pixels for one in batch])
            found: Probabilities | Exception = served.classifier.predict(pixels)
        except Exception as error:  # noqa: BLE001  (whatever it is, those who wait must hear of it)
            found = error
        seconds = time.monotonic() - began
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it who waited
            loop.call_soon_threadsafe(_settle, batch, found)
        self._counters.computed(served, sum(len(one.pixels) for one in batch), seconds)
        for one in batch:
            self._counters.waited(began - one.since)
            if one.trail is not None:
                _trace(one, began, began + seconds, images=sum(len(each.pixels) for each in batch))


def _trace(one: _Waiting, began: float, ended: float, *, images: int) -> None:
    """Where the time of a request went that its client traces."""
    assert one.trail is not None
    tracing.record("predict.queue", one.trail, began=one.since, ended=began)
    tracing.record(
        "predict.compute",
        one.trail,
        began=began,
        ended=ended,
        stream=one.served.stream,
        version=one.served.version,
        batch_images=images,
    )


def _settle(batch: list[_Waiting], found: Probabilities | Exception) -> None:
    start = 0
    for one in batch:
        end = start + len(one.pixels)
        if isinstance(found, Exception):
            one.answer.set_exception(found)
        else:
            one.answer.set_result(found[start:end])
        start = end
