"""Local files of blobs that lie elsewhere: fetched once, checked on arrival, the oldest given up.

A file comes by a rename, so what is there is whole. Several processes may share the folder, and
fetch the same at once: the later one takes the place of the other, with the same bytes. When there
is too much, what was not handed out for longest goes first, but never what was handed out within
`_IN_HAND_S`: whoever was given a path has that long to open it. Opened or mapped, it stays readable
until it is closed.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from store.blobs.place import FOLDER

_IN_HAND_S = 600.0
_INCOMING = "incoming"
_SCRATCH_S = 6 * 3600.0  # longer than any upload may take
_LOOK_EVERY_S = 1.0
_SHARE = 64  # of the most that is kept: so much may come before it is counted again


class Cache:
    """A folder of checked files, by digest.

    Args:
        root: The folder; made if it is not there, for this user alone.
        max_bytes: Beyond it the oldest files go.
        free_bytes: So much of the disk the files leave free, whoever else fills it.
        in_hand_s: Seconds that a file stays at least after it was handed out.
    """

    def __init__(
        self, root: Path, max_bytes: int, *, free_bytes: int = 0, in_hand_s: float = _IN_HAND_S
    ) -> None:
        self._root = root.resolve()
        self._max_bytes = max_bytes
        self._free_bytes = free_bytes
        self._in_hand_s = in_hand_s
        self._looked_at = -math.inf  # when room was made because the disk was full
        self._arrived = max_bytes  # bytes since the files were counted; not counted yet
        for folder in (self._root, self._root / _INCOMING, self._root / FOLDER):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clear_scratch()

    @property
    def root(self) -> Path:
        return self._root

    def scratch_path(self) -> Path:
        """A new name beside the files; some of them go where the disk is nearly full."""
        folder = self._incoming()
        is_due = time.monotonic() - self._looked_at > _LOOK_EVERY_S
        if is_due and self._lacks() > 0:
            self._looked_at = time.monotonic()
            self._make_room()
        return folder / secrets.token_hex(16)

    def incoming(self) -> Iterator[Path]:
        """The scratch files."""
        return self._incoming().iterdir()

    def find(self, digest: str) -> Path | None:
        """The file, if it is here; it stays for a while from now."""
        path = self._path(digest)
        with self._locked(fcntl.LOCK_SH):
            try:
                os.utime(path)
            except FileNotFoundError:
                return None
        return path

    def check(self, digest: str) -> Path | None:
        """The file, if it is here and right; a damaged one goes."""
        path = self.find(digest)
        if path is None:
            return None
        with suppress(FileNotFoundError):
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                    return path
            path.unlink()
        return None

    def read(self, digest: str) -> bytes | None:
        """The bytes, if they are here and right; a damaged file goes."""
        path = self.find(digest)
        if path is None:
            return None
        with suppress(FileNotFoundError):
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == digest:
                return data
            path.unlink()
        return None

    def lend(self, digest: str, path: Path, *, check: bool) -> bool:
        """Give the file another name that stays when this one goes; whether it is here and right.

        Args:
            digest: Of the file.
            path: A scratch path.
            check: Read it through; a damaged one goes.
        """
        here = self.check(digest) if check else self.find(digest)
        if here is None:
            return False
        with suppress(FileNotFoundError):
            try:
                path.hardlink_to(here)
            except PermissionError:  # a file system without hard links
                shutil.copyfile(here, path)
            return True
        return False

    def adopt(self, path: Path, digest: str, *, is_handed_out: bool) -> Path:
        """Take a scratch file, whose digest was checked, for the file of that digest.

        One that nobody was given the path of is the first to go.
        """
        size_bytes, target = path.stat().st_size, self._path(digest)
        handed_out = time.time() - (0 if is_handed_out else self._in_hand_s)
        with path.open("rb") as file:  # a name without its bytes must not outlive a loss of power
            os.fsync(file)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked(fcntl.LOCK_EX):
            if not target.exists():
                os.utime(path, (handed_out, handed_out))
                path.rename(target)
            elif is_handed_out:
                os.utime(target)
        self._arrived += size_bytes
        if self._arrived > self._max_bytes // _SHARE:
            self._make_room()
        return target

    def give_up(self, digest: str) -> None:
        """Have a file no longer, unless somebody was given it just now."""
        path = self._path(digest)
        with self._locked(fcntl.LOCK_EX), suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime >= self._in_hand_s:
                path.unlink()

    def _incoming(self) -> Path:
        """The folder of scratch files; all of the cache may be deleted at any time."""
        folder = self._root / _INCOMING
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _path(self, digest: str) -> Path:
        assert len(digest) == 64
        return self._root / FOLDER / digest[:2] / digest

    def _make_room(self) -> None:
        self._arrived = 0
        found: list[tuple[float, int, str]] = []
        for path in self._root.glob(f"{FOLDER}/*/*"):
            with suppress(FileNotFoundError):
                told = path.stat()
                found.append((told.st_mtime, told.st_size, path.name))
        over = max(sum(size for _, size, _ in found) - self._max_bytes, self._lacks())
        for handed_out, size, digest in sorted(found):
            if over <= 0 or time.time() - handed_out < self._in_hand_s:
                return
            self.give_up(digest)
            over -= size

    def _lacks(self) -> int:
        """Bytes of the disk that should be free and are not."""
        return self._free_bytes - shutil.disk_usage(self._root).free

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Shared: files are handed out; exclusive: one is deleted. Held for an instant only."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def _clear_scratch(self) -> None:
        """What processes of this machine that died have left; the collector may run elsewhere."""
        for path in self.incoming():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _SCRATCH_S:
                    path.unlink()
