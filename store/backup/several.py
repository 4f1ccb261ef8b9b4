"""Some at once of what is mostly waiting: for a disk, or for an object store's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_AT_ONCE = 4  # each may need a scratch file of a blob's size
_AHEAD = 1000  # how many are planned, of a million

Item = TypeVar("Item")
Done = TypeVar("Done")


def each(work: Callable[[Item], Done], items: Sequence[Item]) -> Iterator[Done]:
    """What comes of each item, in their order; the first error ends it, and begins no other."""
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="backup")
    try:
        for first in range(0, len(items), _AHEAD):
            yield from pool.map(work, items[first : first + _AHEAD])
    finally:
        pool.shutdown(cancel_futures=True)
