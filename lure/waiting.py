"""Waiting for something to come true, bounded."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.02


def until(condition: Callable[[], bool], *, timeout_s: float, poll_s: float = POLL_S) -> bool:
    """Whether `condition` came true within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_s)
    return True
