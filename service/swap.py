"""Brings the champions of the rows into the slots, and tells the rows what is served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Set
from dataclasses import dataclass

import structlog

from service.errors import ModelAway
from service.loading import Library
from service.slot import Slots
from service.threads import Threads
from store import replicas, serving, traces, tracing
from store.engine import Database
from store.errors import DatabaseAway
from store.models import Stream, Version
from store.serving import Key

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Seen:
    """What the rows said.

    Attributes:
        champions: What is to be served.
        aliases: Where each points.
        reported: What they think that we serve.
        withdrawn: Of what is pinned, what must not be served any more.
        trails: The traceparents of cycles whose versions are to be served for the first time.
    """

    champions: list[tuple[Stream, Version]]
    aliases: dict[tuple[str, str], int]
    reported: dict[int, int]
    withdrawn: set[Key]
    trails: dict[str, str]


@dataclass(frozen=True)
class Replica:
    """This process among the others: its name and when a silent one counts as dead."""

    id: str
    stale_s: float


class Swapper:
    """Looks for champions; each is brought by a task of its own.

    So what hangs, be it the disk under one model, holds up no other stream's swap.
    """

    def __init__(
        self,
        database: Database,
        *,
        slots: Slots,
        library: Library,
        replica: Replica,
        threads: Threads,
    ) -> None:
        self._database = database
        self._slots = slots
        self._library = library
        self._replica = replica
        self._threads = threads
        self._reporting = Threads("report", 1)  # a row that is locked must not keep the lease
        self._wanted: set[Key] = set()  # what the rows said last
        self._bringing: dict[Key, asyncio.Task[None]] = {}
        self._first: Set[asyncio.Task[None]] | None = None  # begun by the first look
        self.failing: set[str] = set()  # streams whose champion cannot be loaded

    @property
    def looked(self) -> bool:
        """Whether every champion was tried once."""
        return self._first is not None and all(task.done() for task in self._first)

    @property
    def bringing(self) -> Set[asyncio.Task[None]]:
        """Champions that are being loaded and reported."""
        return set(self._bringing.values())

    async def look(self) -> None:
        """Begin to bring every champion into its slot, and to report what is there.

        Raises:
            DatabaseAway: The rows cannot be read; what is served stays as it is.
        """
        began = time.monotonic()
        here = set(self._slots.champions().items())
        seen = await self._threads.run(self._read, self._slots.pinned(), here)
        self._library.learn(seen.aliases, at=began)
        names = {stream.name for stream, _ in seen.champions}
        for name in self._slots.champions().keys() - names:
            self._slots.drop(name)
        self.failing &= names
        self._slots.withdraw(seen.withdrawn)
        self._wanted = {_key(stream, version) for stream, version in seen.champions}
        for stream, version in seen.champions:
            self._begin(stream, version, seen)
        if self._first is None:
            self._first = self.bringing

    def close(self) -> None:
        """Report nothing more."""
        self._reporting.close()

    def _begin(self, stream: Stream, version: Version, seen: Seen) -> None:
        key = _key(stream, version)
        if key not in self._bringing:
            task = asyncio.create_task(self._bring(stream, version, seen))
            self._bringing[key] = task
            task.add_done_callback(lambda _: self._bringing.pop(key))

    async def _bring(self, stream: Stream, version: Version, seen: Seen) -> None:
        """Have it in the slot and reported; what fails is tried again at the next look."""
        trail = seen.trails.get(version.cycle_id)
        named = {} if trail is None else {"trace_id": traces.id_of(trail)}
        # this task's own, so nobody has to take it back
        structlog.contextvars.bind_contextvars(
            stream=stream.name, version=version.version, cycle=version.cycle_id, **named
        )
        try:
            told = seen.reported.get(stream.id) == version.version
            if await self._swap(stream, version, trail) and not (
                told and version.served_at is not None
            ):
                await self._reporting.run(self._report, stream, version.version, told)
        except ModelAway:
            self.failing.add(stream.name)
        except DatabaseAway as error:
            log.warning("what is served could not be reported", error=str(error))
        except Exception:
            log.exception("a champion was not brought")

    async def _swap(self, stream: Stream, version: Version, trail: str | None) -> bool:
        """Whether the stream's slot has that version now: it may be champion no more."""
        key = _key(stream, version)
        now = self._slots.champion(stream.name)
        if now is None or now.key != key:
            told = {"stream": stream.name, "replica": self._replica.id}
            with tracing.span("model.swap", parent=trail, version=version.version, **told) as span:
                began = time.monotonic()
                with tracing.span("model.load"):
                    served = await self._library.load(stream.name, version)
                if key not in self._wanted:
                    span.fail("it is champion no more")
                    return False
                self._slots.swap(served)
                self._library.counters.swap_s.observe(time.monotonic() - began)
            log.info("swapped", seconds=round(time.monotonic() - began, 3))
        self.failing.discard(stream.name)
        return True

    def _read(self, pinned: set[Key], here: set[tuple[str, int]]) -> Seen:
        with self._database.begin() as session:
            champions = list(serving.champions(session))
            # a trace ends where every replica has its version; who starts later is no part of it
            new = [
                version.cycle_id
                for stream, version in champions
                if version.served_at is None and (stream.name, version.version) not in here
            ]
            return Seen(
                champions=champions,
                trails=traces.of(session, new),
                aliases=serving.everywhere(session),
                reported=replicas.reported(session, self._replica.id),
                withdrawn=serving.withdrawn(session, pinned),
            )

    def _report(self, stream: Stream, version: int, told: bool) -> None:
        stale_s = self._replica.stale_s
        with self._database.begin() as session:
            if told:
                replicas.settle(session, stream, version, stale_s=stale_s)
            else:
                replicas.report(session, stream, self._replica.id, version, stale_s=stale_s)


def _key(stream: Stream, version: Version) -> Key:
    return stream.name, version.version, version.digest
