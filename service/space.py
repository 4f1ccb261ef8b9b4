"""Room for uploads: on the disk, and within the quotas; asked before a byte is taken, and after.

What is stored is added up at most every few seconds, so that uploads that come together may go
beyond a quota by as much as they bring: what each process takes in within `_REMEMBERED_S`, and
what is on its way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from lure_core.policies import Quota, policy
from service.errors import DiskFull, QuotaUsedUp
from service.settings import ServiceSettings
from service.stowage import Stowage
from store import quota
from store.blobs import Blobs
from store.engine import Database, Session
from store.models import Stream

_REMEMBERED_S = 5.0
_ALL = 0  # no stream's id


@dataclass(frozen=True)
class Limit:
    """A quota.

    Attributes:
        kind: `all` or `stream`, as the metric has it.
        name: Whose it is, and where it is set.
        max_bytes: Most that may be stored.
        used_bytes: Stored at the last look.
        remedy: How to get room.
    """

    kind: str
    name: str
    max_bytes: int
    used_bytes: int
    remedy: str


@dataclass(frozen=True)
class Room:
    """What one upload finds."""

    limits: tuple[Limit, ...]
    free_bytes: Callable[[], int]
    least_free_bytes: int
    stowage: Stowage

    def check(self, coming_bytes: int, *, taken_bytes: int = 0) -> None:
        """Refuse what has no room.

        Args:
            coming_bytes: Are to be written.
            taken_bytes: Lie on the disk already.

        Raises:
            DiskFull, QuotaUsedUp: As their names say.
        """
        if self.free_bytes() - coming_bytes < self.least_free_bytes:
            raise DiskFull("too little disk space is left for this upload")
        self.check_quotas(taken_bytes + coming_bytes)

    def check_quotas(self, size_bytes: int) -> None:
        """Refuse an upload of that size where a quota has no room for it."""
        for limit in self.limits:
            if limit.used_bytes + size_bytes > limit.max_bytes:
                self.stowage.refused(limit.kind)
                raise QuotaUsedUp(
                    f"{limit.name} is {limit.max_bytes} bytes, {limit.used_bytes} are used and"
                    f" this upload takes {size_bytes} at least; {limit.remedy}"
                )


class Space:
    """Knows what is used; any thread may ask."""

    def __init__(
        self, settings: ServiceSettings, database: Database, blobs: Blobs, stowage: Stowage
    ) -> None:
        self._settings = settings
        self._database = database
        self._blobs = blobs
        self._stowage = stowage
        self._lock = threading.Lock()
        self._used: dict[int, tuple[float, int]] = {}  # by stream: when it was added up, and bytes

    def room(self, stream: Stream) -> Room:
        """What an upload to that stream finds now."""
        return Room(
            tuple(self._limits(stream)),
            self._blobs.free_bytes,
            self._settings.min_free_bytes,
            self._stowage,
        )

    def took(self, stream: Stream, size_bytes: int) -> None:
        """So many bytes were stored for it: that counts before they are added up again."""
        with self._lock:
            for key in (_ALL, stream.id):
                if key in self._used:
                    at, used = self._used[key]
                    self._used[key] = (at, used + size_bytes)

    def _limits(self, stream: Stream) -> list[Limit]:
        found = []
        if self._settings.quota_bytes is not None:
            remedy = "the operator may raise it; retention frees the weights of old versions"
            used = self._of(_ALL, quota.total_bytes)
            most = self._settings.quota_bytes
            found.append(Limit("all", "the service's quota (LURE_QUOTA_BYTES)", most, used, remedy))
        own = policy(Quota, stream.policies).max_bytes
        if own is not None:
            name = f"the quota of stream {stream.name} (policies.quota.max_bytes)"
            remedy = "PATCH the stream to raise it, or to keep fewer versions (policies.retention)"
            used = self._of(stream.id, lambda session: quota.stream_bytes(session, stream.id))
            found.append(Limit("stream", name, own, used, remedy))
        return found

    def _of(self, key: int, add_up: Callable[[Session], int]) -> int:
        """What is used, as it was a few seconds ago at most; one thread at a time adds it up."""
        with self._lock:
            at, used = self._used.get(key, (0.0, 0))
            if not at or time.monotonic() - at > _REMEMBERED_S:
                with self._database.begin() as session:
                    used = add_up(session)
                self._used[key] = (time.monotonic(), used)
            return used
