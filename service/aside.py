"""Where to do work that grows with a request: a thread costs more than a little of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from service.threads import Threads

_AT_ONCE = 64 << 10  # bytes of JSON or of floats that take less than a millisecond

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def aside(threads: Threads, size_bytes: int, work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Do it here where there is little of it, else in a thread: others wait for the event loop."""
    if size_bytes <= _AT_ONCE:
        return work(*args)
    return await threads.run(work, *args)
