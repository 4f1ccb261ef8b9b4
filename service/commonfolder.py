"""The folder in which processes behind one socket share their counts.

Who made it removes it at the end. Who is killed does not, so the next one does.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_PREFIX = "lure-metrics-"
_OWNER = "owner"  # a file in it, locked for as long as its process lives, however that ends
_YOUNG_S = 60.0


class CommonFolder:
    """A new one; those of the dead go."""

    def __init__(self) -> None:
        _remove_dead()
        self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
        self._owned = (Path(self.name) / _OWNER).open("w")
        fcntl.flock(self._owned, fcntl.LOCK_EX)

    @property
    def name(self) -> str:
        """Its path."""
        return self._folder.name

    def close(self) -> None:
        """Remove it."""
        self._owned.close()
        self._folder.cleanup()


def _remove_dead() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # its process lives, or it is another user's
            if time.time() - (folder / _OWNER).stat().st_mtime < _YOUNG_S:
                continue  # perhaps not yet locked
            with (folder / _OWNER).open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
