"""What is left in memory of requests that nobody waits for any more."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest

from service import predict
from service.counters import Counters
from service.errors import Overloaded
from service.predict import Capacity, Predictor
from service.threads import Threads
from tests.service.test_batcher import Gated, pixels, play, queued, served


class Decoding:
    """Takes the place of decoding, and ends when the test lets it."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        self.calls = 0

    def __call__(self, *_: Any) -> Any:
        self.calls += 1
        self.begun.release()
        assert self.gate.wait(10)
        return pixels(1)


async def request(predictor: Predictor, body: bytes) -> Any:
    model = Gated(1)
    model.gate.set()
    with predictor.hold(len(body)):
        return await predictor.images(served(model), [body])


def test_of_a_cancelled_request_only_what_a_thread_is_at_stays_and_keeps_its_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoding = Decoding()
    monkeypatch.setattr(predict, "_decoded", decoding)
    predictor = Predictor(Counters(), Capacity(held_bytes=1000, cores=1))

    async def scene() -> None:
        (decoded,) = await queued(request(predictor, bytes(600)))
        assert await asyncio.to_thread(decoding.begun.acquire, timeout=10)
        for _ in range(20):  # each finds the room that the one before gave back
            (waits,) = await queued(request(predictor, bytes(200)))
            assert waits.cancel()
            await asyncio.wait([waits])
        decoded.cancel()
        done, _ = await asyncio.wait([decoded], timeout=0)
        assert not done
        assert predictor.waiting == 1
        with pytest.raises(Overloaded), predictor.hold(600):
            pass
        decoding.gate.set()
        await asyncio.wait([decoded])
        assert decoded.cancelled()
        assert predictor.waiting == 0
        with predictor.hold(1000):
            pass

    play(scene)
    predictor.close()
    assert decoding.calls == 1  # the pool had no queue in which the others' bodies might stay


def test_pixels_that_nobody_waits_for_leave_their_queue() -> None:
    model = Gated(1)
    version = served(model)
    predictor = Predictor(Counters())

    async def scene() -> None:
        (first,) = await queued(predictor.pixels(version, pixels(1)))
        await model.has_begun()
        images = pixels(2)
        kept = weakref.ref(images)
        (waits,) = await queued(predictor.pixels(version, images))
        waits.cancel()
        await asyncio.wait([waits])
        del images, waits
        gc.collect()
        assert kept() is None
        model.gate.set()
        await first

    play(scene)
    predictor.close()


@pytest.mark.parametrize("finish", [True, False])
def test_an_error_of_which_nobody_hears_is_no_line_in_the_log(finish: bool) -> None:
    begun, gate = threading.Event(), threading.Event()
    threads = Threads("test", 1, finish=finish)
    complaints: list[Any] = []

    def fail() -> None:
        begun.set()
        assert gate.wait(10)
        raise OSError("too late for anybody")

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        (asked,) = await queued(threads.run(fail))
        assert await asyncio.to_thread(begun.wait, 10)
        asked.cancel()
        await asyncio.wait([asked], timeout=0)
        gate.set()
        await asyncio.wait([asked])
        await threads.run(int)  # when its thread is free again
        del asked
        gc.collect()
        await asyncio.sleep(0)

    play(scene)
    threads.close()
    assert complaints == []
