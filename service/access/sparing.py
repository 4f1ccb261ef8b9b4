"""What is told of each only some times in a minute, however often it happens."""

from __future__ import annotations

import time

_MOST_NAMES = 10_000


class Sparing:
    """Counts by name, anew in each minute.

    Args:
        most: So many times a name is told of in a minute.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._minute = -1
        self._counts: dict[str, int] = {}

    def allows(self, name: str) -> bool:
        """Whether this time is one of those; of too many names none is told of any more."""
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        if name not in self._counts and len(self._counts) >= _MOST_NAMES:
            return False
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return count <= self._most
