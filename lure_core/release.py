"""Which code this is."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

_SOURCES = Path(__file__).parent
_DIGITS = 12  # of the digest, as many as a commit is commonly told by


@cache
def release() -> str:
    """The version of LURE and, behind a `+`, the digest of the algorithm's sources: `0.1.0+3f9c…`.

    The digest tells what a commit would, and also what it cannot: a wheel has none, a checkout may
    have changes that are in none, and most commits leave the algorithm as it is. A checkout that
    was never installed has the version `unknown`.
    """
    try:
        version = metadata.version("lure")
    except metadata.PackageNotFoundError:
        version = "unknown"
    return f"{version}+{_digest(_SOURCES)}"


def _digest(folder: Path) -> str:
    """Of the names and the contents of all Python files in it."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:_DIGITS]
