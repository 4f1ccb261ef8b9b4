"""Brings the champions of the rows into the slots, and tells the rows what is served."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from service.errors import ModelAway
from service.loading import Library
from service.slot import Slots
from service.threads import Threads
from store import replicas, serving
from store.engine import Database
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
    """

    champions: list[tuple[Stream, Version]]
    aliases: dict[tuple[str, str], int]
    reported: dict[int, int]
    withdrawn: set[Key]


@dataclass(frozen=True)
class Replica:
    """This process among the others: its name and when a silent one counts as dead."""

    id: str
    stale_s: float


class Swapper:
    """Looks for champions, one look at a time."""

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
        self.looked = False  # every champion was tried once
        self.failing: set[str] = set()  # streams whose champion cannot be loaded

    async def look(self) -> None:
        """Take every new champion into its slot and report it; settle what waited for the dead.

        Raises:
            DatabaseAway: The rows cannot be read or written; what is served stays as it is.
        """
        seen = await self._threads.run(self._read, self._slots.pinned())
        self._library.aliases = seen.aliases
        for name in self._slots.champions().keys() - {stream.name for stream, _ in seen.champions}:
            self._slots.drop(name)
            self.failing.discard(name)
        self._slots.withdraw(seen.withdrawn)
        for stream, version in seen.champions:
            if await self._bring(stream, version):
                await self._threads.run(self._report, stream, version, seen)
        self.looked = True

    async def _bring(self, stream: Stream, version: Version) -> bool:
        """Whether the stream's slot has that version now."""
        now = self._slots.champion(stream.name)
        if now is not None and (now.version, now.digest) == (version.version, version.digest):
            self.failing.discard(stream.name)
            return True
        began = time.monotonic()
        try:
            served = await self._library.load(stream.name, version)
        except ModelAway:  # it must not keep the others from their swap
            self.failing.add(stream.name)
            return False
        self._slots.swap(served)
        self.failing.discard(stream.name)
        self._library.counters.swap_s.observe(time.monotonic() - began)
        log.info("swapped", stream=stream.name, version=version.version)
        return True

    def _read(self, pinned: set[Key]) -> Seen:
        with self._database.begin() as session:
            return Seen(
                champions=list(serving.champions(session)),
                aliases=serving.everywhere(session),
                reported=replicas.reported(session, self._replica.id),
                withdrawn=serving.withdrawn(session, pinned),
            )

    def _report(self, stream: Stream, version: Version, seen: Seen) -> None:
        told = seen.reported.get(stream.id) == version.version
        if told and version.served_at is not None:
            return
        with self._database.begin() as session:
            if told:
                replicas.settle(session, stream, version.version, stale_s=self._replica.stale_s)
            else:
                replicas.report(
                    session,
                    stream,
                    self._replica.id,
                    version.version,
                    stale_s=self._replica.stale_s,
                )
