"""What the worker raises on purpose, beside the errors of the store and of the core.

WorkerError
├── Interrupted  the worker is told to stop; what was done is saved, the claim is handed back
└── Refused      a chunk holds nothing that can be learned; the message says why
"""

from __future__ import annotations


class WorkerError(Exception):
    """A decision, not a fault."""


class Interrupted(WorkerError):
    """The worker is told to stop: whoever holds a claim saves what it has and hands it back."""


class Refused(WorkerError):
    """The chunk is to be rejected; the message is the reason shown to its owner."""
