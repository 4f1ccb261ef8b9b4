"""The children's log files: one each, bounded."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

LIMIT_BYTES = 16 * 1024 * 1024


def previous(log: Path) -> Path:
    """Where the part before the current one is kept."""
    return log.with_name(f"{log.name}.1")


def rotate(log: Path) -> None:
    """Begins a new file; for a log that nobody writes to yet."""
    with suppress(FileNotFoundError):
        log.replace(previous(log))


def bound(log: Path) -> None:
    """Empties a log that grew too long, while its writer goes on (it appends)."""
    if log.exists() and log.stat().st_size > LIMIT_BYTES:
        shutil.copyfile(log, previous(log))
        with log.open("r+b") as file:
            file.truncate(0)
