"""What is sent is checked on its way, so that no other bytes get a digest's name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from store.errors import BlobDamaged
from store.failpoint import failpoint


def checked(path: Path, digest: str, *, piece_bytes: int) -> Iterator[bytes]:
    """A file's bytes as they are sent; the last is not given out if they are not the digest's.

    Raises:
        BlobDamaged: They are not; what was sent so far becomes no object.
    """
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(piece_bytes):
            sha256.update(block)
            failpoint("blobs.sending")
            yield block
    if sha256.hexdigest() != digest:
        raise BlobDamaged(f"{path.name} does not have the digest sha256:{digest}")
