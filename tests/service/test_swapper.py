"""Champions of several streams, some of which take their time."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from service.counters import Counters
from service.loader import Loader
from service.loading import Library
from service.pace import Pace
from service.slot import Served, Slots
from service.swap import Replica, Swapper
from service.threads import Threads
from store import replicas
from store.blobs import Blobs
from store.engine import Database
from store.models import Stream, Version
from tests.service.serving import digits_stream, learned
from tests.service.test_watch import until


class Watched(Loader):
    """Tells of each load before it begins."""

    def __init__(self, blobs: Blobs, before: Callable[[str], object]) -> None:
        super().__init__(blobs)
        self._before = before

    def load(self, stream: str, version: Version, pace: Pace | None = None) -> Served:
        self._before(stream)
        return super().load(stream, version, pace)


@asynccontextmanager
async def swapping(database: Database, loader: Loader) -> AsyncIterator[tuple[Swapper, Slots]]:
    slots, threads = Slots(), Threads("test", 2)
    library = Library(database, loader, slots=slots, counters=Counters())
    replica = Replica("test", stale_s=60)
    swapper = Swapper(database, slots=slots, library=library, replica=replica, threads=threads)
    yield swapper, slots
    await until(lambda: not swapper.bringing)
    for one in (swapper, library, threads):
        one.close()


def reported(database: Database, stream: Stream) -> list[int | None]:
    with database.begin() as session:
        return list(replicas.of_stream(session, stream, stale_s=60).values())


def test_streams_that_are_promoted_together_are_loaded_together(
    database: Database, blobs: Blobs
) -> None:
    for name in ("a", "b"):
        learned(database, blobs, digits_stream(database, name), architecture="mlp")
    both = threading.Barrier(2, timeout=10)

    async def scene() -> None:
        async with swapping(database, Watched(blobs, lambda _: both.wait())) as (swapper, slots):
            await swapper.look()
            await until(lambda: swapper.looked)
            assert slots.champions() == {"a": 1, "b": 1}
            assert not swapper.failing

    asyncio.run(scene())


def test_a_disk_that_hangs_under_one_stream_holds_up_no_other(
    database: Database, blobs: Blobs
) -> None:
    stuck, good = (digits_stream(database, name) for name in ("stuck", "good"))
    for stream in (stuck, good):
        learned(database, blobs, stream, architecture="mlp")
    gate = threading.Event()

    def hang(stream: str) -> None:
        if stream == "stuck":
            assert gate.wait(20)

    async def scene() -> None:
        async with swapping(database, Watched(blobs, hang)) as (swapper, slots):
            await swapper.look()
            await until(lambda: reported(database, good) == [1])
            await asyncio.to_thread(learned, database, blobs, good, seed=1, architecture="mlp")
            await swapper.look()
            await until(lambda: reported(database, good) == [2])
            assert slots.champions() == {"good": 2}
            assert not swapper.looked
            gate.set()
            await until(lambda: swapper.looked)
            assert slots.champions() == {"stuck": 1, "good": 2}

    asyncio.run(scene())


def test_what_is_no_champion_any_more_when_it_is_loaded_is_not_served(
    database: Database, blobs: Blobs
) -> None:
    stream = digits_stream(database)
    learned(database, blobs, stream, architecture="mlp")
    gate, loads = threading.Event(), list[str]()

    def hang(stream: str) -> None:
        loads.append(stream)
        if len(loads) == 1:
            assert gate.wait(20)

    async def scene() -> None:
        async with swapping(database, Watched(blobs, hang)) as (swapper, slots):
            await swapper.look()
            await until(lambda: len(loads) == 1)
            await asyncio.to_thread(learned, database, blobs, stream, seed=1, architecture="mlp")
            await swapper.look()
            await until(lambda: slots.champions() == {"digits": 2})
            gate.set()
            await until(lambda: not swapper.bringing)
            assert slots.champions() == {"digits": 2}

    asyncio.run(scene())


def test_loading_gives_way_only_where_somebody_is_answered(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = digits_stream(database)
    learned(database, blobs, stream, architecture="mlp")
    naps: list[float] = []
    slow = SimpleNamespace(monotonic=itertools.count().__next__, sleep=naps.append)
    monkeypatch.setattr("service.pace.time", slow)

    async def scene() -> None:
        async with swapping(database, Loader(blobs)) as (swapper, slots):
            await swapper.look()
            await until(lambda: slots.champions() == {"digits": 1})
            assert sum(naps) == 0
            await asyncio.to_thread(learned, database, blobs, stream, seed=1, architecture="mlp")
            await swapper.look()
            await until(lambda: slots.champions() == {"digits": 2})
            assert sum(naps) > 0

    asyncio.run(scene())
