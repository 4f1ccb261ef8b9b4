"""Short private folders for unix sockets, whose paths may have no more than 107 bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from lure.errors import EmbeddedError

LONGEST_NAME = "/.s.PGSQL.5432.lock"
SOCKET_PATH_BYTES = 107


def sockets_of(data: Path) -> Path:
    """The folder for the sockets of the server whose state is in `data`; not made yet.

    The same `data` gets the same folder each time, so that what a killed run left there is found
    and cleared away instead of piling up.
    """
    digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]
    return _temporary() / f"lure-{os.geteuid()}-{digest}"


def clear(folder: Path) -> None:
    """Makes the folder, or empties it; nobody else can look in.

    That is what lets the servers trust whoever comes in through it.

    Raises:
        EmbeddedError: the name is taken by something that others can write to.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    private = stat.S_ISDIR(found.st_mode) and found.st_mode & 0o077 == 0
    if not private or found.st_uid != os.geteuid():
        message = f"{folder} belongs to someone else; set TMPDIR to a folder of your own"
        raise EmbeddedError(message)
    for left in folder.iterdir():
        left.unlink()


def remove(folder: Path) -> None:
    """Removes a folder of sockets."""
    shutil.rmtree(folder, ignore_errors=True)


def _temporary() -> Path:
    usual = Path(tempfile.gettempdir())
    longest = os.fsencode(usual / "lure-4294967295-0123456789ab") + LONGEST_NAME.encode()
    return usual if len(longest) <= SOCKET_PATH_BYTES else Path("/tmp")  # noqa: S108  (0700 inside)
