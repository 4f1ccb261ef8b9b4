"""The keys in memory: looked at for every request, and kept in step with the database.

Predictions go on while PostgreSQL is away: what was known last counts. What has an end ends by this
process's own clock.
"""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from dataclasses import dataclass

from service.access import Principal
from store import keys
from store.engine import Database
from store.keys import Known, Stamp

_WRITE_EVERY_S = 10.0


@dataclass(frozen=True)
class Entry:
    """A key in memory."""

    principal: Principal
    requests_per_minute: int | None
    is_revoked: bool
    until: float | None  # by `time.monotonic`

    @property
    def fault(self) -> str | None:
        """Why it opens nothing any more: `revoked` or `expired`."""
        if self.is_revoked:
            return "revoked"
        if self.until is not None and self.until <= time.monotonic():
            return "expired"
        return None


class Keyring:
    """Every key that is valid, and those that were not long ago.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries: dict[str, Entry] = {}  # by digest
        self._by_id: dict[str, Entry] = {}
        self._stamp: Stamp | None = None
        self._refreshing = threading.Lock()  # an older look must not come behind a newer one
        self._used: dict[str, dt.datetime] = {}
        self._written_at = time.monotonic()

    @property
    def is_known(self) -> bool:
        """Whether the keys were read once: before that nobody can be told from anybody else."""
        return self._stamp is not None

    @property
    def has_any(self) -> bool:
        """Whether there was ever a key."""
        return self._stamp is not None and self._stamp.made > 0

    def find(self, text: str) -> Entry | None:
        """The key of that text; None: there is none."""
        if len(text) > keys.LONGEST:  # hashing it would be work that a stranger asks for
            return None
        return self._entries.get(keys.digest_of(text))

    def opens(self, key_id: str) -> bool:
        """Whether the key of that id opens anything now."""
        entry = self._by_id.get(key_id)
        return entry is not None and entry.fault is None

    def used(self, key_id: str) -> None:
        """It opened something just now; written down with the others, later."""
        self._used[key_id] = dt.datetime.now(dt.UTC)

    def refresh(self) -> None:
        """Read what changed, and write down what was used.

        Raises:
            DatabaseAway: What is in memory stays.
        """
        with self._refreshing:
            used = self._taken()
            with self._database.begin() as session:
                keys.note_used(session, used)
                stamp = keys.stamp(session)
                found = keys.known(session) if stamp != self._stamp else None
            if found is not None:
                self._take(found)
            self._stamp = stamp

    def _taken(self) -> dict[str, dt.datetime]:
        """The uses that are due to be written; lost if that fails, as the next ones tell more."""
        now = time.monotonic()
        if not self._used or now - self._written_at < _WRITE_EVERY_S:
            return {}
        self._written_at = now
        used, self._used = self._used, {}
        return used

    def flush(self) -> None:
        """Write down all uses, because this process ends."""
        self._written_at = -math.inf
        self.refresh()

    def _take(self, found: list[Known]) -> None:
        now = time.monotonic()
        entries = {one.digest: _entry(one, now) for one in found}
        self._by_id = {entry.principal.key_id or "": entry for entry in entries.values()}
        self._entries = entries


def _entry(one: Known, now: float) -> Entry:
    return Entry(
        principal=Principal(one.id, one.name, one.scopes, one.stream),
        requests_per_minute=one.requests_per_minute,
        is_revoked=one.is_revoked,
        until=None if one.left_s is None else now + one.left_s,
    )
