"""The newest events in memory: read from the database once, for however many clients listen.

A client is a cursor. Behind the tail's floor it is served from the database, page by page; beyond
it from memory. Ids become visible in their order (`store.events`), so a cursor never skips one.
While nobody listens nothing is read: one promotion makes many events.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from service.errors import Overloaded
from service.threads import Threads
from store import events
from store.engine import Database
from store.errors import DatabaseAway
from store.models import Event

LISTENERS = 200
OF_A_KEY = 50  # of these: one key leaves room for others
_HELD = 2000
_PAGE = 200
_READERS = 4  # clients that catch up from the database at once
_PATIENCE_S = 2.0  # in which a client is told that its stream is open


@dataclass(frozen=True)
class Topic:
    """Which events a client wants: all, a stream's, or a cycle's."""

    stream_id: int | None = None
    cycle_id: str | None = None

    def has(self, event: Event) -> bool:
        """Whether the event belongs to it."""
        return (self.stream_id is None or event.stream_id == self.stream_id) and (
            self.cycle_id is None or event.cycle_id == self.cycle_id
        )


class Tail:
    """The newest events, and the clients that wait for more."""

    def __init__(self, database: Database, *, threads: Threads, poll_s: float) -> None:
        self._database = database
        self._threads = threads  # of the watch: `look` is one of its steps
        self.readers = Threads("events", _READERS)
        self._poll_s = poll_s
        self._held: deque[Event] = deque()
        self._floor: int | None = None  # every event behind it and up to `_last` is held
        self._last = 0
        self._moved = asyncio.Event()
        self._closed = asyncio.Event()
        self.listeners = 0
        self._of_keys: Counter[str] = Counter()

    @contextlib.contextmanager
    def place(self, key_id: str | None = None) -> Iterator[None]:
        """Room for one client, who shows that key.

        Raises:
            Overloaded: There are as many as this process serves, or as many with that key.
        """
        if self.listeners >= LISTENERS:
            raise Overloaded(f"{self.listeners} clients listen to events already")
        if key_id is not None and self._of_keys[key_id] >= OF_A_KEY:
            raise Overloaded(f"{OF_A_KEY} clients listen to events with this key already")
        self.listeners += 1
        with self._counted(key_id):
            try:
                yield
            finally:
                self.listeners -= 1

    @contextlib.contextmanager
    def _counted(self, key_id: str | None) -> Iterator[None]:
        if key_id is None:
            yield
            return
        self._of_keys[key_id] += 1
        try:
            yield
        finally:
            self._of_keys[key_id] -= 1
            if not self._of_keys[key_id]:
                del self._of_keys[key_id]

    def close(self) -> None:
        """End every client's stream, now and from now on."""
        self._closed.set()
        self._moved.set()

    async def look(self) -> None:
        """Take in what became visible, and wake the clients."""
        if not self.listeners:
            self._floor = None
            self._held.clear()
            return
        if self._floor is None:
            self._floor = self._last = await self._threads.run(self._newest)
            self._wake()
        while fresh := await self._threads.run(self._page, self._last, Topic()):
            self._held.extend(fresh)
            self._last = fresh[-1].id
            while len(self._held) > _HELD:
                self._floor = self._held.popleft().id
            self._wake()
            if len(fresh) < _PAGE:
                break

    async def now(self) -> int | None:
        """The cursor of a client who has a place and wants nothing of before.

        None while the database is away and nobody else listens: to be known when it is back.
        """
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self.readers.run(self._newest)
        except (DatabaseAway, TimeoutError):
            return None if self._floor is None else self._last

    async def follow(
        self, topic: Topic, cursor: int | None, *, once: bool = False
    ) -> AsyncIterator[Sequence[Event]]:
        """Pages of the topic's events behind `cursor`, of which `now` tells, until closed.

        The database may go and come back meanwhile: the stream goes on where it was. With `once`
        it ends when it has given what is there; it then asks the database, not its memory.
        """
        while not self._closed.is_set():
            moved = self._moved  # taken before the look: what comes during it is not slept over
            if cursor is None and self._floor is not None:
                cursor = self._floor
            if cursor is not None:
                before = cursor
                page, cursor = await self._behind(topic, cursor, in_memory=not once)
                if page:
                    yield page
                if page or cursor != before:
                    continue
                if once:
                    return
            await moved.wait()

    async def _behind(
        self, topic: Topic, cursor: int, *, in_memory: bool
    ) -> tuple[Sequence[Event], int]:
        """The next events behind the cursor, and the cursor behind them."""
        if in_memory and self._floor is not None and cursor >= self._floor:
            behind = takewhile(lambda event: event.id > cursor, reversed(self._held))
            found = [event for event in behind if topic.has(event)]
            return found[::-1], max(cursor, self._last)
        while not self._closed.is_set():
            try:
                return await self.readers.run(self._catch_up, topic, cursor)
            except DatabaseAway:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closed.wait(), self._poll_s)
        return [], cursor

    def _catch_up(self, topic: Topic, cursor: int) -> tuple[Sequence[Event], int]:
        # before the page is read: no event up to it can become visible later
        newest = self._newest()
        page = self._page(cursor, topic)
        if len(page) == _PAGE:
            return page, page[-1].id
        return page, max([cursor, newest, *(event.id for event in page)])

    def _newest(self) -> int:
        with self._database.begin() as session:
            return events.last_id(session)

    def _page(self, cursor: int, topic: Topic) -> Sequence[Event]:
        with self._database.begin() as session:
            return events.after(
                session, cursor, stream_id=topic.stream_id, cycle_id=topic.cycle_id, limit=_PAGE
            )

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
