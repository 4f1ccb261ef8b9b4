"""What the worker raises on purpose, beside the errors of the store and of the core.

WorkerError
├── Interrupted  the worker is told to stop; what was done is saved, the claim is handed back
└── Refused      a chunk holds nothing that can be learned; the message says why
"""

from __future__ import annotations

import errno

_PASSING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE}
)


class WorkerError(Exception):
    """A decision, not a fault."""


class Interrupted(WorkerError):
    """The worker is told to stop: whoever holds a claim saves what it has and hands it back."""


class Refused(WorkerError):
    """The chunk is to be rejected; the message is the reason shown to its owner."""


def is_of_the_machine(error: BaseException) -> bool:
    """Whether a fault is the machine's (a full disk, no file handle left), not the data's.

    It passes when somebody mends the machine; no chunk and no cycle may be given up for it.
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno in _PASSING
    )
