"""What may be wrong between rows and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from store.naming import Kind, Name


class What(StrEnum):
    """One sentence each is what a fault of that kind means."""

    MISSING = "missing"  # a row names bytes that are not there
    DAMAGED = "damaged"  # the bytes that a row names are others
    ASIDE = "aside"  # a collector died between putting the bytes aside and its commit
    UNLISTED = "unlisted"  # a row names bytes that have no row of their own
    ORPHAN = "orphan"  # bytes lie there, long since, and have no row
    EMPTY = "empty"  # the row of a blob that nobody names, without bytes
    SCRATCH = "scratch"  # a file that a dead process has left


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        what: Of which kind.
        digest: The sha256, or the name of a scratch file.
        names: The rows that name the bytes.
        mended: What was done, if that is all that was to be done.
        remedy: What else is to be done, by whom.
    """

    what: What
    digest: str
    size_bytes: int | None = None
    names: tuple[Name, ...] = ()
    mended: str | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        of_what = ", ".join(map(str, self.names))
        said = f"{self.what}: {self.digest}{f' ({of_what})' if of_what else ''}"
        return f"{said}; {self.mended or self.remedy}"

    def shown(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "what": self.what,
            "digest": self.digest,
            "size_bytes": self.size_bytes,
            "named_by": [
                {"kind": name.kind, "stream": name.stream, "key": name.key} for name in self.names
            ],
            "mended": self.mended,
            "remedy": self.remedy,
        }


_BACKUP = "bring the bytes back with --from and the folder of a backup"
REMEDIES = {
    Kind.UPLOAD: "send the same file again; a chunk that was admitted is learned without it",
    Kind.CHUNK_FILE: f"{_BACKUP}; cycles that replay the chunk fail until then",
    Kind.WEIGHTS: f"{_BACKUP}; or point its aliases at another version and delete its weights",
    Kind.SIDECAR: f"{_BACKUP}; the version cannot be used until then",
    Kind.MASK: f"{_BACKUP}; nothing but the picture of what was unlearned needs them",
    Kind.SCORES: f"{_BACKUP}; nothing but the figures by chunk needs them",
    Kind.EXPORT: "--repair has it made again",
    Kind.PREDICTIONS: "--repair forgets them; labels that were given stay, without an image",
    Kind.RESUME_STATE: "--repair forgets it; the cycle begins anew",
    Kind.RERUN_STATE: "--repair forgets it; the rerun begins anew",
}
"""What to do where the bytes that a row names are lost."""
