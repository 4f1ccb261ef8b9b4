"""A small pool of threads whose results come in the order of their arguments, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ordered_map(work: Callable[[A], B], arguments: Iterable[A], *, threads: int) -> Iterator[B]:
    """Yield `work(a)` for each argument in order, reading at most `2 * threads` ahead."""
    pending: deque[Future[B]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        try:
            for argument in arguments:
                pending.append(pool.submit(work, argument))
                if len(pending) >= 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
