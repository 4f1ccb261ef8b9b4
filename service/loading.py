"""The versions that requests ask for: out of memory, or loaded, each one only once at a time."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

import structlog

from lure_core.errors import CoreError
from service.counters import Counters
from service.errors import Fault, Invalid, ModelAway, NothingServed
from service.loader import Loader
from service.pace import Pace
from service.slot import Served, Slots
from service.threads import Threads
from store import aliases, streams, versions
from store.engine import Database
from store.errors import Conflict, DatabaseAway, DatabaseBusy, StoreError
from store.models import Stream, Version
from store.serving import Key
from store.states import VersionState

_REST_S = (1.0, 60.0)  # after a version could not be loaded: at first, and at most
_PATIENCE_S = 5.0  # for a row that a request asks for
_ASKING = 8  # threads that ask the database
_LOADERS = 2  # versions that are loaded at once; a model may be large

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Rest:
    """Until when a version is not tried again, by the monotonic clock, and how long that is."""

    until: float
    seconds: float


class Library:
    """Finds the version that a request asks for; what is not in memory is loaded and pinned."""

    def __init__(
        self,
        database: Database,
        loader: Loader,
        *,
        slots: Slots,
        counters: Counters,
    ) -> None:
        self._database = database
        self._loader = loader
        self._slots = slots
        self.counters = counters
        self._loading: dict[Key, asyncio.Task[Served]] = {}
        self._resting: dict[Key, Rest] = {}
        self._asking = Threads("ask", _ASKING)
        self._loaders = Threads("load", _LOADERS)
        self._aliases: Mapping[tuple[str, str], int] = {}
        self._learned_at = self._moved_at = -math.inf  # by the monotonic clock

    def learn(self, aliases: Mapping[tuple[str, str], int], *, at: float) -> None:
        """Where each (stream, alias) pointed at that time, by the monotonic clock, or later."""
        self._aliases, self._learned_at = aliases, at

    def doubt(self) -> None:
        """An alias was moved here, which the next look will learn; any thread may tell."""
        self._moved_at = time.monotonic()

    async def find(
        self, stream: str, wanted: str | None, *, as_of: dt.datetime | None = None
    ) -> Served:
        """The champion, or what `wanted` names: `3`, `@alias`.

        Args:
            stream: Its name.
            wanted: None: the champion.
            as_of: What the alias pointed at in that moment, instead of now.

        Raises:
            Invalid: A version's number together with a moment.
            NotFound: No such stream, version or alias, or the alias pointed nowhere then.
            NothingServed: The stream has no version yet.
            Conflict: That version may not be served.
            DatabaseAway: It is not in memory, and the database cannot be asked.
            ModelAway: Its bytes are missing or damaged.
        """
        number = await self._number(stream, wanted or f"@{aliases.CHAMPION}", as_of)
        slots = self._slots
        served = slots.champion(stream) if number is None else slots.get(stream, number)
        return served or await self._fetch(stream, number)

    async def load(self, stream: str, version: Version) -> Served:
        """That version out of memory or the blobs; many who ask at once wait for one reading.

        Raises:
            ModelAway: It cannot be loaded, or could not a moment ago; the rest is twice as long
                after each trial.
        """
        served = self._slots.get(stream, version.version)
        key = (stream, version.version, version.digest)
        if served is not None and served.key == key:
            return served
        if key in self._resting and self._resting[key].until > time.monotonic():
            raise ModelAway(f"version {version.version} could not be loaded a moment ago")
        if key not in self._loading:
            task = asyncio.create_task(self._read(key, version))
            self._loading[key] = task
            task.add_done_callback(lambda _: self._loading.pop(key))
        # a client that goes away must not take the others' model along
        return await asyncio.shield(self._loading[key])

    def close(self) -> None:
        """End the threads."""
        self._asking.close()
        self._loaders.close()

    async def _number(self, stream: str, wanted: str, as_of: dt.datetime | None) -> int | None:
        """The version that is meant; None: the champion of this moment, which may be in memory."""
        if wanted.isdecimal():
            if as_of is not None:
                words = f"version {wanted} is the same at all times; as_of is for aliases"
                raise Invalid(words, [Fault("query:as_of", "not together with a version's number")])
            return int(wanted)
        alias = wanted.removeprefix("@")
        if as_of is not None:
            return await self._ask(self._alias_then, stream, alias, as_of)
        return None if alias == aliases.CHAMPION else await self._resolve(stream, alias)

    async def _resolve(self, stream: str, alias: str) -> int:
        """Where the alias points, as the rows said last.

        They are asked for an alias that is not known, and after a move by this process, so that
        who made it meets it; it may be answered as last seen while the database is away.
        """
        known = self._aliases.get((stream, alias))
        if known is not None and self._moved_at < self._learned_at:
            return known
        try:
            return await self._ask(self._alias_row, stream, alias)
        except DatabaseAway:
            if known is None:
                raise
            return known

    async def _fetch(self, stream: str, number: int | None) -> Served:
        row, version = await self._ask(self._row, stream, number)
        served = await self.load(row.name, version)
        if self._slots.get(row.name, version.version) is not served:
            self._slots.pin(served)
        return served

    async def _ask(self, question: Callable[[*Ts], T], *args: *Ts) -> T:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._asking.run(question, *args)
        except TimeoutError as error:  # a database that hangs must not hang every request
            raise DatabaseBusy(f"the database did not answer within {_PATIENCE_S:g} s") from error

    def _alias_row(self, stream: str, alias: str) -> int:
        with self._database.begin() as session:
            return aliases.get(session, streams.get(session, stream), alias).version

    def _alias_then(self, stream: str, alias: str, at: dt.datetime) -> int:
        with self._database.begin() as session:
            return aliases.version_at(session, streams.get(session, stream), alias, at)

    def _row(self, stream: str, number: int | None) -> tuple[Stream, Version]:
        with self._database.begin() as session:
            row = streams.get(session, stream)
            if number is None:
                number = aliases.version_of(session, row.id, aliases.CHAMPION)
            if number is None:
                raise NothingServed(f"stream {stream} has no version yet; send it a chunk")
            version = versions.get(session, row, number)
        if version.state is not VersionState.READY:
            raise Conflict(f"version {version.version} is {version.state} and cannot be served")
        return row, version

    async def _read(self, key: Key, version: Version) -> Served:
        # before the first champion nobody is answered whom loading could slow down
        pace = Pace() if self._slots.champions() else Pace(pauses_s=0)
        try:
            served = await self._loaders.run(self._loader.load, key[0], version, pace)
        except (StoreError, CoreError, OSError) as error:
            raise self._failed(key, error) from error
        except Exception as error:  # of whatever kind, it must not be tried again at once
            log.exception("loading a version failed in an unforeseen way")
            raise self._failed(key, error) from error
        self._resting.pop(key, None)
        return served

    def _failed(self, key: Key, error: Exception) -> ModelAway:
        before = self._resting.get(key)
        rest_s = _REST_S[0] if before is None else min(2 * before.seconds, _REST_S[1])
        self._resting[key] = Rest(time.monotonic() + rest_s, rest_s)
        self.counters.load_failures.inc()
        stream, version, _ = key
        log.error(
            "version cannot be loaded",
            stream=stream,
            version=version,
            error=str(error),
            retry_after_s=rest_s,
        )
        return ModelAway(f"version {version} cannot be loaded now")
