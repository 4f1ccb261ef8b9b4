"""One owner per data folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lure.errors import EmbeddedError

FILE = "lure.lock"


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Holds the folder's lock; the kernel lets go of it when this process ends, however it does.

    Raises:
        EmbeddedError: another process holds it, or the folder cannot be made or written to.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        file = os.open(data / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise EmbeddedError(f"cannot use {data} as data folder: {error.strerror}") from error
    try:
        _take(file, data)
        yield
    finally:
        os.close(file)


def _take(file: int, data: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
        message = f"another `lure up` (process {owner}) runs on {data}; stop it or use --data"
        raise EmbeddedError(message) from None
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
