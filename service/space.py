"""Room for uploads: on the disk, and within the quotas; asked before a byte is taken, and after.

What is stored is added up at most every few seconds, so that uploads that come together may go
beyond a quota by as much as they bring: what each process takes in within `_REMEMBERED_S`, and
what is on its way.
"""

from __future__ import annotations

import math
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
from store.errors import Away
from store.models import Stream

_REMEMBERED_S = 5.0
_FAULT_REMEMBERED_S = 1.0
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
        self._sums: dict[int, _Sum] = {}  # by stream

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
        for key in (_ALL, stream.id):
            self._sum(key).add(size_bytes)

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
        def ask() -> int:
            with self._database.begin() as session:
                return add_up(session)

        return self._sum(key).value(ask)

    def _sum(self, key: int) -> _Sum:
        with self._lock:
            return self._sums.setdefault(key, _Sum())


class _Sum:
    """What is used of one quota, added up by one thread at a time.

    Who comes meanwhile has the last value, and waits only where there is none. A database that is
    away is asked once a second, however many want to know: all of them hear the same.
    """

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._at = self._failed_at = -math.inf
        self._used: int | None = None
        self._meanwhile = 0  # bytes that were stored since the sum was begun
        self._fault: Away | None = None

    def add(self, size_bytes: int) -> None:
        """So much more is stored."""
        with self._lock:
            self._meanwhile += size_bytes
            if self._used is not None:
                self._used += size_bytes

    def value(self, ask: Callable[[], int]) -> int:
        """What is used, as it was a few seconds ago at most, unless asking takes longer.

        Raises:
            Away: As `ask` raised it, less than a second ago.
        """
        if self._used is not None and time.monotonic() - self._at < _REMEMBERED_S:
            return self._used
        if not self._asking.acquire(blocking=self._used is None):
            return self._used or 0
        try:
            if time.monotonic() - self._at > _REMEMBERED_S:
                self._renew(ask)
            assert self._used is not None
            return self._used
        finally:
            self._asking.release()

    def _renew(self, ask: Callable[[], int]) -> None:
        if self._fault is not None and time.monotonic() - self._failed_at < _FAULT_REMEMBERED_S:
            raise type(self._fault)(*self._fault.args)
        with self._lock:
            self._meanwhile = 0
        try:
            used = ask()
        except Away as error:
            self._fault, self._failed_at = error, time.monotonic()
            raise
        with self._lock:  # what came meanwhile may count twice until the next time
            self._used, self._at = used + self._meanwhile, time.monotonic()
