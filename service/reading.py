"""Reading what may hang, for a scrape of `/metrics` that must not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from service.threads import Threads

_PATIENCE_S = 2.0

T = TypeVar("T")


class Reading(Generic[T]):
    """One source, read in a thread of its own, by one scrape at a time.

    Attributes:
        latest: What was read last; None where it could not be read in a moment.
    """

    def __init__(self, name: str, read: Callable[[], T | None]) -> None:
        self._read = read
        self._threads = Threads(name, 1)
        self._task: asyncio.Task[T | None] | None = None
        self.latest: T | None = None

    async def refresh(self) -> None:
        """Read it anew, or go without when it takes too long; who comes meanwhile waits along."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._threads.run(self._read))
        await asyncio.wait([self._task], timeout=_PATIENCE_S)
        self.latest = self._task.result() if self._task.done() else None
