"""Threads for one purpose: what hangs in one pool keeps nobody else from their work."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Threads:
    """A pool of its own, for awaiting what blocks.

    Args:
        name: How its threads are called.
        count: How many there are.
        prepare: Called in each thread when it begins.
    """

    def __init__(self, name: str, count: int, *, prepare: Callable[[], None] | None = None) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name, initializer=prepare)

    async def run(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Do it in one of the threads, under the caller's log context."""
        call = functools.partial(contextvars.copy_context().run, work, *args)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Begin nothing more; what hangs is left alone."""
        self._pool.shutdown(wait=False, cancel_futures=True)
