"""Work that gives way: spread over time, so that whoever is answered meanwhile hardly notices."""

from __future__ import annotations

import time

_SHARE = 0.25  # of the time that is worked
_SLICE_S = 0.001  # worked at a stretch, at least: a pause has its price too
_PAUSES_S = 0.4  # in all: a promotion is to be served within a second


class Pace:
    """Takes a breath after each slice of work, three times as long as the slice was.

    Args:
        pauses_s: In all; 0 where there is nobody to give way to.
    """

    def __init__(self, pauses_s: float = _PAUSES_S) -> None:
        self._left_s = pauses_s
        self._began = time.monotonic()

    def breathe(self) -> None:
        """To be called between two steps of the work."""
        worked_s = time.monotonic() - self._began
        if worked_s < _SLICE_S:
            return
        pause_s = min(worked_s * (1 / _SHARE - 1), self._left_s)
        time.sleep(pause_s)
        self._left_s -= pause_s
        self._began = time.monotonic()
