"""Every error that the store raises on purpose. It knows no HTTP; the service maps it.

StoreError
├── NotFound          no such row
├── Conflict          the row is not in a state that allows this
│   └── AlreadyExists
├── PreconditionFailed  the row changed since the caller read it
├── KeyReused         an idempotency key came back with another payload
├── FenceLost         this worker's claim was handed to another; it must write nothing
├── BlobMissing       no bytes under that digest
├── BlobDamaged       the bytes do not have their digest
├── BadPack           bytes that are no pack of predictions
├── BackupRefused     a backup cannot be taken, or not be restored there
├── SchemaOlder       the database has no such table yet; the migration brings it
└── Away              what the store leans on cannot be reached (try again)
    ├── DatabaseAway      PostgreSQL (a commit may have happened: read, then try)
    │   └── DatabaseBusy  a lock or a connection was not had in time
    └── BlobsAway         the object store; what was put may lie there
        └── WrongPlace    it is there, and is another database's
"""

from __future__ import annotations


class StoreError(Exception):
    """The message is fit to be shown to the caller."""


class NotFound(StoreError):
    """No such row."""

    def __init__(self, kind: str, name: object) -> None:
        super().__init__(f"there is no {kind} {name!s}")
        self.kind = kind
        self.name = name


class Conflict(StoreError):
    """The row is not in a state that allows this."""


class AlreadyExists(Conflict):
    """The name is taken."""


class PreconditionFailed(StoreError):
    """The row changed since the caller read it."""


class KeyReused(StoreError):
    """An idempotency key came back with another payload."""


class FenceLost(StoreError):
    """This worker's claim was handed to another; it must write nothing more."""


class BlobMissing(StoreError):
    """No bytes under that digest."""


class BlobDamaged(StoreError):
    """The stored bytes do not have their digest."""


class BadPack(StoreError):
    """Bytes that are no pack of predictions, or a damaged one."""


class SchemaOlder(StoreError):
    """The database is of the release before, and has no such table yet."""


class BackupRefused(StoreError):
    """A backup cannot be taken, or cannot be restored there; what to do about it is said."""


class Away(StoreError):
    """What the store leans on cannot be reached; try again."""


class BlobsAway(Away):
    """The object store cannot be reached or refuses us; what was to be put may lie there."""


class WrongPlace(BlobsAway):
    """What LURE_BLOBS names is not where this database's bytes are; nothing is put or deleted."""


class DatabaseAway(Away):
    """PostgreSQL cannot be reached; a commit that it left unanswered may have happened."""


class DatabaseBusy(DatabaseAway):
    """A lock or a connection was not had in time; nothing was decided, try again."""
