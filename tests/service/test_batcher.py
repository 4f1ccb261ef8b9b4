"""Batches of a model that computes when the test lets it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lure_core.config import InputSpec
from service.batcher import Batcher, Limits, Pixels, Probabilities
from service.counters import Counters
from service.errors import Overloaded
from service.predict import Capacity, Predictor
from service.slot import Served

SPEC = InputSpec(channels=1, height=8, width=8)
FAILING = 255  # a first pixel that the model cannot stand


class Gated:
    """Answers [N, 2]: each image's first pixel, and the model's own number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.classes = ("pixel", "model")
        self.input = SPEC
        self.batches: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()

    def predict(self, images: Any) -> Probabilities:
        firsts = images[:, 0, 0, 0]
        self.batches.append(firsts.tolist())
        self.begun.release()
        assert self.gate.wait(10)
        if FAILING in firsts:
            raise RuntimeError("the model broke")
        return np.stack([firsts, np.full(len(firsts), self.number)], axis=1).astype(np.float32)

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=10)


def served(model: Gated) -> Served:
    return Served("digits", model.number, "0" * 64, model, model.classes, SPEC)


def pixels(*firsts: int) -> Pixels:
    images = np.zeros((len(firsts), 1, 8, 8), np.uint8)
    images[:, 0, 0, 0] = firsts
    return images


@pytest.fixture
def made() -> Iterator[Callable[..., Batcher]]:
    """Makes batchers, and closes them."""
    batchers: list[Batcher] = []

    def make(**limits: Any) -> Batcher:
        batchers.append(Batcher(Limits(**limits), Counters()))
        return batchers[-1]

    yield make
    for batcher in batchers:
        batcher.close()


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


async def queued(*waiting: Awaitable[Probabilities]) -> list[asyncio.Future[Probabilities]]:
    """They are in the queue, in this order."""
    tasks = [asyncio.ensure_future(one) for one in waiting]
    await asyncio.sleep(0)
    return tasks


def test_what_comes_while_a_batch_is_computed_is_the_next_batch(
    made: Callable[..., Batcher],
) -> None:
    batcher, model = made(), Gated(1)
    version = served(model)

    async def scene() -> None:
        first = await queued(batcher.run(version, pixels(7)))
        await model.has_begun()  # alone, and at once
        rest = await queued(*(batcher.run(version, pixels(n, n + 1)) for n in (10, 20, 30)))
        model.gate.set()
        answers = await asyncio.gather(*first, *rest)
        assert model.batches == [[7], [10, 11, 20, 21, 30, 31]]
        told = [answer[:, 0].tolist() for answer in answers]
        assert told == [[7], [10, 11], [20, 21], [30, 31]]  # each has its own, in order

    play(scene)


def test_a_batch_has_no_more_images_than_allowed(made: Callable[..., Batcher]) -> None:
    batcher, model = made(images=4), Gated(1)
    version = served(model)

    async def scene() -> None:
        first = await queued(batcher.run(version, pixels(1)))
        await model.has_begun()
        rest = await queued(*(batcher.run(version, pixels(n, n)) for n in (2, 3, 4)))
        model.gate.set()
        await asyncio.gather(*first, *rest)
        assert model.batches == [[1], [2, 2, 3, 3], [4, 4]]

    play(scene)


def test_with_a_delay_those_who_were_answered_together_are_waited_for(
    made: Callable[..., Batcher],
) -> None:
    batcher, model = made(delay_s=20.0), Gated(1)
    version = served(model)

    async def scene() -> None:
        first = await queued(batcher.run(version, pixels(0)))
        await model.has_begun()  # it was waited for nobody
        pair = await queued(*(batcher.run(version, pixels(n)) for n in (1, 2)))
        model.gate.set()
        await asyncio.gather(*first, *pair)
        early = await queued(batcher.run(version, pixels(3)))
        later = await queued(batcher.run(version, pixels(4)))
        await asyncio.gather(*early, *later)
        assert model.batches == [[0], [1, 2], [3, 4]]

    play(scene)


def test_large_images_make_small_batches(made: Callable[..., Batcher]) -> None:
    version = served(Gated(1))
    assert made(images=100, values=640).at_once(version) == 10
    assert made(images=5, values=640).at_once(version) == 5
    assert made(images=5, values=1).at_once(version) == 1


def test_versions_share_no_batch_and_take_turns(made: Callable[..., Batcher]) -> None:
    batcher, old, new = made(images=2), Gated(1), Gated(2)
    old.batches = new.batches  # in the order in which they are computed
    before, after = served(old), served(new)
    old.gate.set()

    async def scene() -> None:
        first = await queued(batcher.run(after, pixels(20)))
        await new.has_begun()
        flood = await queued(*(batcher.run(after, pixels(n)) for n in range(21, 27)))
        late = await queued(batcher.run(before, pixels(10)))
        new.gate.set()
        answers = await asyncio.gather(*first, *flood, *late)
        assert new.batches == [[20], [21, 22], [10], [23, 24], [25, 26]]
        assert [answer[0].tolist() for answer in answers[:-1]] == [[n, 2] for n in range(20, 27)]
        assert answers[-1].tolist() == [[10, 1]]

    play(scene)


def test_during_swaps_every_answer_is_by_the_version_it_was_asked_of(
    made: Callable[..., Batcher],
) -> None:
    batcher = made(images=8)
    models = [Gated(number) for number in range(20)]
    for model in models:
        model.gate.set()

    async def scene() -> None:
        asked = [(served(model), n) for model in models for n in range(10)]
        answers = await asyncio.gather(*(batcher.run(one, pixels(n)) for one, n in asked))
        for (one, n), answer in zip(asked, answers, strict=True):
            assert answer.tolist() == [[n, one.version]]

    play(scene)


def test_an_error_reaches_those_of_its_batch_alone(made: Callable[..., Batcher]) -> None:
    batcher, model = made(images=2), Gated(1)
    version = served(model)

    async def scene() -> None:
        first = await queued(batcher.run(version, pixels(1)))
        await model.has_begun()
        rest = await queued(*(batcher.run(version, pixels(n)) for n in (2, FAILING, 4, 5)))
        model.gate.set()
        assert (await first[0])[0, 0] == 1
        answers = await asyncio.gather(*rest, return_exceptions=True)
        assert model.batches == [[1], [2, FAILING], [4, 5]]
        assert [isinstance(answer, RuntimeError) for answer in answers] == [1, 1, 0, 0]

    play(scene)


def test_a_batch_for_which_there_is_no_memory_ends_no_thread(
    made: Callable[..., Batcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher, model = made(), Gated(1)
    version = served(model)
    model.gate.set()

    def full(_: Any) -> Any:
        raise MemoryError("one batch finds no memory")

    async def scene() -> None:
        with monkeypatch.context() as patch:
            patch.setattr("service.batcher.np.concatenate", full)
            with pytest.raises(MemoryError):
                await batcher.run(version, pixels(1))
        assert (await batcher.run(version, pixels(2)))[0, 0] == 2

    play(scene)


def test_counters_that_fail_keep_nobody_from_an_answer(
    made: Callable[..., Batcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise OSError("no space left for counting")

    monkeypatch.setattr(Counters, "computed", failing)
    batcher, model = made(), Gated(1)
    version = served(model)
    model.gate.set()

    async def scene() -> None:
        for number in (1, 2):
            assert (await batcher.run(version, pixels(number)))[0, 0] == number

    play(scene)


def test_whoever_gave_up_is_not_computed(made: Callable[..., Batcher]) -> None:
    batcher, model = made(), Gated(1)
    version = served(model)

    async def scene() -> None:
        first = await queued(batcher.run(version, pixels(1)))
        await model.has_begun()
        gone, stays = await queued(*(batcher.run(version, pixels(n)) for n in (2, 3)))
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        model.gate.set()
        await asyncio.gather(*first, stays)
        assert model.batches == [[1], [3]]

    play(scene)


def test_giving_up_while_it_is_computed_harms_nobody(made: Callable[..., Batcher]) -> None:
    batcher, model = made(), Gated(1)
    version = served(model)

    async def scene() -> None:
        (gone,) = await queued(batcher.run(version, pixels(1)))
        await model.has_begun()
        gone.cancel()
        done, _ = await asyncio.wait([gone], timeout=0)
        assert not done  # its pixels are still in memory
        model.gate.set()
        assert (await batcher.run(version, pixels(2)))[0, 0] == 2
        assert gone.cancelled()

    play(scene)


def test_a_thread_that_waits_keeps_no_model_alive(made: Callable[..., Batcher]) -> None:
    batcher = made()
    freed = threading.Event()

    class Watched(Gated):
        def __del__(self) -> None:
            freed.set()

    async def scene() -> None:
        watched = Watched(2)
        watched.gate.set()
        await batcher.run(served(watched), pixels(1))

    play(scene)
    assert freed.wait(10)


def test_a_large_request_is_computed_in_parts_and_lets_others_through() -> None:
    model = Gated(1)
    version = served(model)
    predictor = Predictor(Counters(), Capacity(batch=Limits(images=4)))

    async def scene() -> None:
        (large,) = await queued(predictor.pixels(version, pixels(*range(10))))
        await model.has_begun()
        (small,) = await queued(predictor.pixels(version, pixels(99)))
        model.gate.set()
        assert (await small)[0, 0] == 99
        assert (await large)[:, 0].tolist() == list(range(10))
        assert model.batches[0] == [0, 1, 2, 3]
        assert 99 in model.batches[1]  # ahead of what is left of the large one

    play(scene)
    predictor.close()


@pytest.mark.parametrize(("flops", "threads"), [(10**6, 1), (10**9, 3)])
def test_a_thin_network_answers_with_one_thread_and_a_large_one_with_its_share(
    flops: int, threads: int
) -> None:
    seen: list[int] = []

    class Counting(Gated):
        def predict(self, images: Any) -> Probabilities:
            seen.append(torch.get_num_threads())
            return super().predict(images)

    model = Counting(1)
    model.gate.set()
    predictor = Predictor(Counters(), Capacity(cores=6, computing=2))

    async def scene() -> None:
        await predictor.pixels(replace(served(model), flops=flops), pixels(1))

    play(scene)
    predictor.close()
    assert seen == [threads]


def test_more_than_may_wait_are_refused_and_counted() -> None:
    model = Gated(1)
    version, counters = served(model), Counters()
    predictor = Predictor(counters, Capacity(requests=3))

    async def scene() -> None:
        waiting = await queued(*(predictor.pixels(version, pixels(n)) for n in range(3)))
        with pytest.raises(Overloaded):
            await predictor.pixels(version, pixels(3))
        model.gate.set()
        await asyncio.gather(*waiting)
        assert (await predictor.pixels(version, pixels(4)))[0, 0] == 4

    play(scene)
    predictor.close()
    samples = [sample for metric in counters.collect() for sample in metric.samples]
    assert ("lure_predict_dropped_total", {"reason": "full"}, 1.0) in [
        (sample.name, sample.labels, sample.value) for sample in samples
    ]
