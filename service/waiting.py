"""`Prefer: wait=N` (RFC 7240): the answer once it has come about, or as it is when time is over."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from store.errors import DatabaseAway

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", re.IGNORECASE)
_MAX_WAIT_S = 60
_LOOK_EVERY_S = 0.1

Shape = TypeVar("Shape")


def seconds_of(prefer: str | None) -> int | None:
    """How long the caller would wait, at most 60 s; None: not at all."""
    match = _WAIT.search(prefer or "")
    return None if match is None else min(int(match.group(1)), _MAX_WAIT_S)


async def settled(
    read: Callable[[], Shape], is_settled: Callable[[Shape], bool], *, seconds: float
) -> Shape | None:
    """Read again and again, until it is settled or the time is over.

    Returns:
        What was read last. None when the database left meanwhile, which ends the waiting and
        nothing else.
    """
    now = asyncio.get_running_loop().time
    end = now() + seconds
    while True:
        try:
            found = await run_in_threadpool(read)
        except DatabaseAway:
            return None
        if is_settled(found) or now() >= end:
            return found
        await asyncio.sleep(_LOOK_EVERY_S)
