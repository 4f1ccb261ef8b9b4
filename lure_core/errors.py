"""Every error that `lure_core` raises on purpose.

CoreError
├── ConfigError           a setting is out of its range; names the field and the remedy
├── UnknownArchitecture   no model of that name; lists the near ones
├── BadArchive            an upload whose envelope is unsafe or unreadable
├── BadImage              one item that cannot become an image of the stream
├── BadChunkFile          a canonical chunk file that is damaged or of another version
├── BadCheckpoint         weights, sidecar or resume state that do not fit or fail their digest
└── PeerLost              a process that trained beside this one is gone
"""

from __future__ import annotations


class CoreError(Exception):
    """Something the caller gave cannot be worked with; the message says what and how to mend it."""


class ConfigError(CoreError, ValueError):
    """A setting is out of its range."""


class UnknownArchitecture(CoreError, ValueError):
    """No model is registered under that name."""

    def __init__(self, name: str, near: list[str]) -> None:
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"unknown architecture {name!r}{hint}")
        self.name = name
        self.near = near


class BadArchive(CoreError):
    """An upload's envelope is unsafe or unreadable: nothing of it is kept.

    Args:
        what: The fault in one sentence.
        where: The member's name, where one is to blame.
        remedy: How to mend it.
    """

    def __init__(self, what: str, *, where: str | None = None, remedy: str = "") -> None:
        super().__init__(what if where is None else f"{where}: {what}")
        self.what = what
        self.where = where
        self.remedy = remedy


class BadImage(CoreError):
    """One item cannot become an image of the stream; its owner is shown the message."""


class BadChunkFile(CoreError):
    """A canonical chunk file is damaged or of another version."""


class BadCheckpoint(CoreError):
    """Weights, sidecar or resume state do not fit together or fail their digest."""


class PeerLost(CoreError):
    """A process that trained beside this one is gone: all of them begin again."""
