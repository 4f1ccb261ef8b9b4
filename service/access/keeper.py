"""Keeps the keyring and the audit log in step with the database."""

from __future__ import annotations

from collections.abc import Collection

import structlog

from service.access.counters import AccessCounters
from service.access.journal import Journal
from service.access.keyring import Keyring
from store.engine import Database
from store.errors import DatabaseAway

_CHANGES = ("key.created", "key.revoked")

log = structlog.get_logger(__name__)


class Keeper:
    """What of the gate outlives a request.

    Args:
        database: Where keys and audit log are.
        counters: Told of what is refused and written.
    """

    def __init__(self, database: Database, counters: AccessCounters) -> None:
        self.counters = counters
        self.keyring = Keyring(database)
        self.journal = Journal(database, counters)

    @staticmethod
    def is_about(events: Collection[str]) -> bool:
        """Whether one of these events changed a key."""
        return any(name in _CHANGES for name in events)

    def changed(self) -> None:
        """This process changed a key: its next request is judged by that already."""
        try:
            self.keyring.refresh()
        except DatabaseAway as error:  # it was committed; the next look has it
            log.warning("the keys are read later", error=str(error))

    def refresh(self) -> None:
        """One look: what changed, and what waits to be written.

        Raises:
            DatabaseAway: What is in memory stays.
        """
        self.keyring.refresh()
        self.journal.flush()

    def flush(self) -> None:
        """The last look of a process that ends.

        Raises:
            DatabaseAway: What was not written is lost.
        """
        self.keyring.flush()
        self.journal.flush()

    def close(self) -> None:
        """Write nothing more."""
        self.journal.close()
