"""Keeps this process in step: new champions, its lease among the replicas, and events.

Promotions are heard over Redis, and seen by polling when Redis is away. When PostgreSQL is away the
models in memory go on answering and every step is tried again at the next poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Collection

import structlog
from redis import RedisError

from service.access.keeper import Keeper
from service.counters import Counters
from service.gauges import Gauges
from service.loader import Loader, Manner
from service.loading import Library
from service.predict import Capacity, Predictor
from service.recorder import Recorder
from service.slot import Room, Slots
from service.swap import Replica, Swapper
from service.tail import Tail
from service.threads import Threads
from store import bus, replicas
from store.blobs import Blobs
from store.engine import Database
from store.errors import DatabaseAway
from store.settings import StoreSettings

_THREADS = 5  # one for each step, and one to spare
_FLUSH_S = 2.0  # for the last predictions to be written when it must stop
_STEPS_S = 3.0  # for the steps to end when it must stop: PostgreSQL may hang
_LEAVE_S = 2.0  # for giving the lease back
_MOVES = {"alias.moved", "version.weights_deleted"}  # events that change what is served

log = structlog.get_logger(__name__)


class Watch:
    """The serving half of the process: what it serves, and the tasks that keep it fresh."""

    def __init__(
        self,
        *,
        settings: StoreSettings,
        database: Database,
        blobs: Blobs,
        capacity: Capacity | None = None,
        manner: Manner | None = None,
        room: Room | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self.replica_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.slots = Slots(room)
        self.counters = Counters()
        self.gauges = Gauges()
        self.keeper = Keeper(database, self.counters.access)
        self.library = Library(
            database, Loader(blobs, manner), slots=self.slots, counters=self.counters
        )
        self._threads = Threads("watch", _THREADS)
        self.tail = Tail(database, threads=self._threads, poll_s=settings.poll_s)
        self.predictor = Predictor(self.counters, capacity)
        self.recorder = Recorder(database, blobs, counters=self.counters)
        self._swapper = Swapper(
            database,
            slots=self.slots,
            library=self.library,
            replica=Replica(self.replica_id, settings.stale_s),
            threads=self._threads,
        )
        self._leased_at = time.monotonic()
        self._redis_heard = False
        self._without_database: set[str] = set()  # steps that could not reach it at their last try
        self._stopping = asyncio.Event()
        self._champions_moved = asyncio.Event()
        self._events_came = asyncio.Event()
        self._keys_changed = asyncio.Event()
        self._steps: list[asyncio.Task[None]] = []
        self._ear: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether champions and keys were looked for once: before, an answer would be a guess."""
        return self._swapper.looked and self.keeper.keyring.is_known

    @property
    def degraded(self) -> list[str]:
        """What is away, though predictions go on: `database`, `redis`, `models`."""
        lease_s = time.monotonic() - self._leased_at
        found = {
            # a database that hangs raises nothing, but the lease grows old
            "database": bool(self._without_database) or lease_s > 2 * self._settings.stale_s,
            "redis": not self._redis_heard,
            "models": bool(self._swapper.failing),
        }
        return [name for name, bad in found.items() if bad]

    async def start(self) -> None:
        """Begin; returns at once, `ready` tells when the champions are there."""
        self.recorder.start()
        self._steps = [
            asyncio.create_task(self._repeat("lease", self._hold_lease, asyncio.Event())),
            asyncio.create_task(
                self._repeat("champions", self._swapper.look, self._champions_moved)
            ),
            asyncio.create_task(self._repeat("events", self.tail.look, self._events_came)),
            asyncio.create_task(self._repeat("keys", self._look_at_keys, self._keys_changed)),
        ]
        self._ear = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """End the tasks after the step they are at, and give the lease back; in bounded time."""
        self.tail.close()
        self._stopping.set()
        await asyncio.to_thread(self.recorder.stop, _FLUSH_S)
        assert self._ear is not None
        while not self._ear.done():  # redis-py loses a cancellation now and then while it connects
            self._ear.cancel()
            await asyncio.wait([self._ear], timeout=0.1)
        # a step is not cancelled: its thread would go on, and renew the lease after it was given up
        hanging = [*await _late(self._steps), *await _late(self._swapper.bringing)]
        if hanging:
            log.warning("the database or the disk hangs; the lease runs out by itself")
            for task in hanging:
                task.cancel()
        else:
            await self._give_lease_back()
        for pool in (
            *(self.predictor, self.library, self._swapper),
            *(self.tail.readers, self._threads),
        ):
            pool.close()
        self.keeper.close()
        self.counters.versions.publish()  # who takes this place over counts on from here

    async def _give_lease_back(self) -> None:
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._threads.run(self._leave)
                await self._threads.run(self.keeper.flush)
        except (DatabaseAway, TimeoutError) as error:
            log.warning("the lease runs out by itself", error=str(error) or "no answer in time")
        except Exception:  # the process must end in good order
            log.exception("not all was written down at the end")

    def show(self) -> None:
        """Set the gauges, and write down for other processes what they cannot see."""
        self.gauges.show(
            champions=self.slots.champions(),
            listeners=self.tail.listeners,
            degraded=self.degraded,
            ready=self.ready,
        )
        self.counters.versions.publish()

    def note(self, events: Collection[str]) -> None:
        """Events of these names were made by this process; any thread may tell."""
        if _MOVES.intersection(events):
            self.library.doubt()

    def end_streams(self) -> None:
        """End every stream of events: a server that must stop waits for open connections."""
        self.tail.close()

    async def _repeat(
        self, name: str, step: Callable[[], Awaitable[None]], woken: asyncio.Event
    ) -> None:
        """The step again and again: when woken, and at every poll."""
        while not self._stopping.is_set():
            woken.clear()
            try:
                await step()
                self._without_database.discard(name)
            except DatabaseAway as error:
                if name not in self._without_database:
                    log.warning("the database is away, trying on", step=name, error=str(error))
                self._without_database.add(name)
            except Exception:  # a watch that ended would serve an old version for ever
                self._without_database.discard(name)  # it answered, if only with an error
                log.exception("a step failed, trying on", step=name)
            await self._pause(woken)

    async def _pause(self, *until: asyncio.Event) -> None:
        waits = [asyncio.create_task(one.wait()) for one in (self._stopping, *until)]
        await asyncio.wait(
            waits, timeout=self._settings.poll_s, return_when=asyncio.FIRST_COMPLETED
        )
        for wait in waits:
            wait.cancel()

    async def _listen(self) -> None:
        while True:
            try:
                async with contextlib.aclosing(bus.listen(self._settings)) as rung:
                    async for names in rung:
                        self._redis_heard = True
                        self._hear(names)
            except (RedisError, OSError) as error:
                if self._redis_heard:
                    log.warning("redis is away, polling", error=str(error))
            except Exception:  # as above: deaf for ever is worse than a line in the log
                log.exception("listening failed, trying on")
            self._redis_heard = False
            await self._pause()

    def _hear(self, names: list[str]) -> None:
        """An empty list: the line is open, and something may have been missed before."""
        self._events_came.set()
        if not names or _MOVES.intersection(names):
            self._champions_moved.set()
        if not names or self.keeper.is_about(names):
            self._keys_changed.set()

    async def _look_at_keys(self) -> None:
        await self._threads.run(self.keeper.refresh)

    async def _hold_lease(self) -> None:
        try:
            await self._threads.run(self._renew)
            self._leased_at = time.monotonic()
        finally:
            self.show()  # also while the database is away

    def _renew(self) -> None:
        with self._database.begin() as session:
            replicas.renew(session, self.replica_id)
            replicas.bury(session, stale_s=self._settings.stale_s)

    def _leave(self) -> None:
        with self._database.begin() as session:
            replicas.leave(session, self.replica_id)


async def _late(tasks: Collection[asyncio.Task[None]]) -> Collection[asyncio.Task[None]]:
    """Those that do not end in time."""
    return (await asyncio.wait(tasks, timeout=_STEPS_S))[1] if tasks else ()
