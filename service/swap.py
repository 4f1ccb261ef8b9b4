"""Brings the champions of the rows into the slots, and tells the rows what is served."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from lure_core.errors import CoreError
from service.loading import Library, load
from service.meters import Meters
from service.slot import Slots
from store import aliases, replicas
from store.blobs import Blobs
from store.engine import Database
from store.errors import StoreError
from store.models import Stream, Version

_REST_S = (1.0, 60.0)  # after a version could not be loaded: at first, and at most

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Seen:
    """What the rows said: champions, all aliases, and what they think that we serve."""

    champions: list[tuple[Stream, Version]]
    aliases: dict[tuple[str, str], int]
    reported: dict[int, int]


@dataclass(frozen=True)
class Replica:
    """This process among the others: its name and when a silent one counts as dead."""

    id: str
    stale_s: float


class Swapper:
    """Looks for champions, one look at a time."""

    def __init__(
        self, database: Database, blobs: Blobs, *, slots: Slots, library: Library, replica: Replica
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._slots = slots
        self._library = library
        self._replica = replica
        self._resting: dict[tuple[str, int], tuple[float, float]] = {}  # until when, how long
        self.meters = Meters()
        self.looked = False  # every champion was tried once
        self.failing: set[str] = set()  # streams whose champion cannot be loaded

    async def look(self) -> None:
        """Take every new champion into its slot and report it; settle what waited for the dead.

        Raises:
            DatabaseAway: The rows cannot be read or written; what is served stays as it is.
        """
        seen = await asyncio.to_thread(self._read)
        self._library.aliases = seen.aliases
        for name in self._slots.champions().keys() - {stream.name for stream, _ in seen.champions}:
            self._slots.drop(name)
            self.failing.discard(name)
        for stream, version in seen.champions:
            if await self._bring(stream, version):
                await asyncio.to_thread(self._report, stream, version, seen)
        self.looked = True

    async def _bring(self, stream: Stream, version: Version) -> bool:
        """Whether the stream's slot has that version now."""
        now = self._slots.champion(stream.name)
        if now is not None and (now.version, now.digest) == (version.version, version.digest):
            self.failing.discard(stream.name)
            return True
        key = (stream.name, version.version)
        if self._resting.get(key, (0.0, 0.0))[0] > time.monotonic():
            return False
        began = time.monotonic()
        served = self._slots.get(stream.name, version.version)
        try:
            if served is None:
                served = await asyncio.to_thread(load, self._blobs, stream.name, version)
        except (StoreError, CoreError, OSError) as error:
            return self._failed(key, str(error))
        except Exception as error:  # of whatever kind, it must not keep the others from their swap
            log.exception("loading a version failed in an unforeseen way")
            return self._failed(key, str(error))
        self._slots.swap(served)
        self._resting.pop(key, None)
        self.failing.discard(stream.name)
        self.meters.swap_s.observe(time.monotonic() - began)
        log.info("swapped", stream=stream.name, version=version.version)
        return True

    def _failed(self, key: tuple[str, int], error: str) -> bool:
        """Try again later, each time after twice as long."""
        shortest, longest = _REST_S
        last_s = self._resting.get(key, (0.0, shortest / 2))[1]
        rest_s = min(2 * last_s, longest)
        self._resting[key] = (time.monotonic() + rest_s, rest_s)
        self.failing.add(key[0])
        self.meters.load_failures.inc()
        log.error(
            "version cannot be loaded",
            stream=key[0],
            version=key[1],
            error=error,
            retry_after_s=rest_s,
        )
        return False

    def _read(self) -> Seen:
        with self._database.begin() as session:
            return Seen(
                champions=list(aliases.champions(session)),
                aliases=aliases.everywhere(session),
                reported=replicas.reported(session, self._replica.id),
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
