"""What the core warns of, said once: a warning of every cycle would hide all else."""

from __future__ import annotations

import logging
import sys


class Once(logging.Handler):
    """Writes a message of each kind to stderr, as it is at that moment."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg not in self._said:
            self._said.add(record.msg)
            sys.stderr.write(f"note: {record.getMessage()} (said once)\n")


def say_once() -> None:
    """In this process, from now on; where the caller shows the core's messages, they stay his."""
    logger = logging.getLogger("lure_core")
    if not logger.hasHandlers():
        logger.addHandler(Once())
