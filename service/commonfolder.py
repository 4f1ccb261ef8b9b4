"""The folder in which processes behind one socket share their counts.

Who made it removes it at the end. Who is killed does not, so the next one does.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_PREFIX = "lure-metrics-"
_OWNER = "owner"  # a file in it, locked for as long as its process lives, however that ends
_YOUNG_S = 60.0


class CommonFolder:
    """A new one; those of the dead go.

    Attributes:
        owned: The descriptor of a lock. Whoever inherits it keeps the folder, too.
    """

    def __init__(self) -> None:
        _remove_dead()
        self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
        self.owned = os.open(Path(self.name) / _OWNER, os.O_CREAT | os.O_WRONLY)
        fcntl.flock(self.owned, fcntl.LOCK_EX)

    @property
    def name(self) -> str:
        """Its path."""
        return self._folder.name

    def close(self) -> None:
        """Remove it."""
        os.close(self.owned)
        self._folder.cleanup()


def _remove_dead() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if _is_ours(folder / _OWNER):
            with suppress(OSError), (folder / _OWNER).open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unless its process lives
                shutil.rmtree(folder, ignore_errors=True)


def _is_ours(owner: Path) -> bool:
    """Whether we made it, long enough ago to have locked it: anybody may write to that place."""
    try:
        told = owner.lstat()
    except OSError:
        return False
    is_old = time.time() - told.st_mtime > _YOUNG_S
    return stat.S_ISREG(told.st_mode) and told.st_uid == os.geteuid() and is_old
