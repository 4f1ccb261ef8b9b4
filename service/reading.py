"""Reading what may hang, for a scrape of `/metrics` that must not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from service.threads import Threads

_PATIENCE_S = 2.0
_YOUNG_S = 60.0

T = TypeVar("T")


class Reading(Generic[T]):
    """One source, read in a thread of its own, by one scrape at a time.

    A reading that takes longer than a scrape waits is there for the next one.

    Attributes:
        latest: What was read last; None where it could not be read, or that is too long ago.
    """

    def __init__(self, name: str, read: Callable[[], T | None]) -> None:
        self._read = read
        self._threads = Threads(name, 1)
        self._task: asyncio.Task[None] | None = None
        self._began_at = 0.0
        self.latest: T | None = None

    @property
    def age_s(self) -> float:
        """Seconds since the reading of `latest` began."""
        return time.monotonic() - self._began_at

    async def refresh(self) -> None:
        """Read it anew, or go without when it takes too long; who comes meanwhile waits along."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._renew())
        await asyncio.wait([self._task], timeout=_PATIENCE_S)
        if self._task.done():
            self._task.result()  # what it raised, if it did
        if self.age_s > _YOUNG_S:
            self.latest = None

    async def _renew(self) -> None:
        began_at = time.monotonic()
        latest = await self._threads.run(self._read)
        self.latest, self._began_at = latest, began_at
