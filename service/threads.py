"""Threads for one purpose: what hangs in one pool keeps nobody else from their work."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Threads:
    """A pool of its own, for awaiting what blocks.

    Who is cancelled before a thread was free leaves nothing behind: the pool itself has no queue.

    Args:
        name: How its threads are called.
        count: How many there are.
        finish: Who is cancelled later waits for the end of what was begun, so that the memory is
            free that it works on; otherwise the thread is left behind with it.
    """

    def __init__(self, name: str, count: int, *, finish: bool = False) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._free = asyncio.Semaphore(count)
        self._finish = finish

    async def run(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Do it in one of the threads, under the caller's log context."""
        call = functools.partial(contextvars.copy_context().run, work, *args)
        await self._free.acquire()
        begun = asyncio.get_running_loop().run_in_executor(self._pool, call)
        begun.add_done_callback(lambda _: self._free.release())
        begun.add_done_callback(unheard)
        return await (to_its_end(begun) if self._finish else asyncio.shield(begun))

    def close(self) -> None:
        """Begin nothing more; what hangs is left alone."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def to_its_end(begun: asyncio.Future[T]) -> T:
    """What comes of it; who is cancelled meanwhile is so when it has ended."""
    try:
        return await asyncio.shield(begun)
    except asyncio.CancelledError:
        await asyncio.wait([begun])
        raise


def unheard(ended: asyncio.Future[Any]) -> None:
    """An error that came when nobody waited any more; asyncio would complain of it."""
    if not ended.cancelled():
        ended.exception()
