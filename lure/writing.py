"""Files that a person asked for."""

from __future__ import annotations

from pathlib import Path

from lure.errors import LureError


def write(path: Path, content: bytes) -> None:
    """Writes a file.

    Raises:
        LureError: it cannot be written there.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise LureError(f"{path} cannot be written", detail=error.strerror or "") from error
