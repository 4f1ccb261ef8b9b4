"""The audit log, as it is written: each entry before the answer that it tells of goes out.

What cannot be written because the database is away stays in memory and follows; each entry has a
line in the process's log too, then at the level `warning`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import re
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.types import Message, Scope, Send

from service.access import Principal, needs
from service.access.counters import AccessCounters
from service.access.needs import Need
from service.access.sparing import Sparing
from service.params import NAME
from service.threads import Threads
from store import audit
from store.audit import Entry
from store.engine import Database
from store.errors import DatabaseAway
from store.models import Json
from store.redact import Redactor

DATA = "lure.audit"  # in a request's scope: what an endpoint adds to its entry
_THREADS = 2
_PATIENCE_S = 5.0  # for the database; then the answer goes out and the entry waits
_WAITING = 10_000
_AT_ONCE = 500
_REFUSALS = 60  # of one key that are written down, in a minute
_TARGET = 500
_NAME = re.compile(NAME)
_LOST = "an audit entry is lost"

log = structlog.get_logger(__name__)
_masked = Redactor()  # knows secrets by their form


def note(scope: Scope, **data: Any) -> None:
    """Add small data without secrets to the entry of a request."""
    scope.setdefault(DATA, {}).update(data)


class Journal:
    """Writes the audit log.

    Args:
        database: Where it is kept.
        counters: Told how each entry fared.
    """

    def __init__(self, database: Database, counters: AccessCounters) -> None:
        self._database = database
        self._counters = counters
        self._threads = Threads("audit", _THREADS)
        self._waiting: deque[Entry] = deque()
        self._working: set[asyncio.Future[None]] = set()  # asyncio itself holds them weakly
        self._refusals = Sparing(_REFUSALS)

    async def write(self, entry: Entry) -> None:
        """Write it down; when this returns it is safe, or the database was away."""
        claim = threading.Lock()  # whose it is: its thread's, or that of what waits; never both's
        work = asyncio.ensure_future(self._threads.run(self._add_claimed, entry, claim))
        self._working.add(work)
        work.add_done_callback(functools.partial(self._ended, entry))
        try:
            await asyncio.wait([work], timeout=_PATIENCE_S)
        finally:
            if not work.done() and claim.acquire(blocking=False):  # no thread was free for it
                work.cancel()
                self._wait(entry, "no answer in time")

    async def refused(
        self, need: Need, scope: Scope, principal: Principal, status: int, reason: str
    ) -> None:
        """Write down that a known key was refused; of many in a minute only some."""
        assert principal.key_id is not None
        if self._refusals.allows(principal.key_id):
            log.info("refused", key=principal.key_id, who=principal.name, reason=reason)
            await self.write(entry_of(need, scope, principal, status, {"refused": reason}))

    def recording(self, need: Need, scope: Scope, principal: Principal, send: Send) -> Recording:
        """Stands between an operation and its client."""
        return Recording(self, need, scope, principal, send)

    def flush(self) -> None:
        """Write what waits, some of it at once; called again and again.

        One that cannot be stored is lost, and holds up none behind it.

        Raises:
            DatabaseAway: It goes on waiting.
        """
        while self._waiting:
            some = [self._waiting[k] for k in range(min(_AT_ONCE, len(self._waiting)))]
            try:
                self._add(some)
            except DatabaseAway:
                raise
            except Exception:  # which of them it was, is found one by one
                log.exception("an audit entry cannot be stored", among=len(some))
                self._flush_singly(len(some))
            else:
                for _ in some:
                    self._waiting.popleft()
                self._counters.audited("late", len(some))

    def close(self) -> None:
        """What waits still is lost, but for its lines in the process's log."""
        if self._waiting:
            self._counters.audited("lost", len(self._waiting))
            log.error("audit entries are lost", entries=len(self._waiting))
        self._threads.close()

    def _flush_singly(self, count: int) -> None:
        for _ in range(count):
            entry = self._waiting[0]
            outcome = "late"
            try:
                self._add([entry])
            except DatabaseAway:
                raise
            except Exception:
                log.exception(_LOST, action=entry.action, target=entry.target)
                outcome = "lost"
            self._waiting.popleft()
            self._counters.audited(outcome)

    def _ended(self, entry: Entry, work: asyncio.Future[None]) -> None:
        """Count what came of it, also when the answer was not held back any longer."""
        self._working.discard(work)
        if work.cancelled():
            return
        error = work.exception()
        if error is None:
            self._counters.audited("written")
        elif isinstance(error, DatabaseAway):
            self._wait(entry, str(error))
        else:  # the answer must not fail by what is written about it
            log.error(_LOST, action=entry.action, target=entry.target, exc_info=error)
            self._counters.audited("lost")

    def _wait(self, entry: Entry, why: str) -> None:
        told = {"who": entry.who, "action": entry.action, "target": entry.target}
        log.warning("an audit entry waits for the database", error=why, **told)
        if len(self._waiting) >= _WAITING:
            self._counters.audited("lost")
        else:
            self._waiting.append(entry)

    def _add_claimed(self, entry: Entry, claim: threading.Lock) -> None:
        if claim.acquire(blocking=False):
            self._add([entry])

    def _add(self, entries: list[Entry]) -> None:
        with self._database.begin() as session:
            audit.add(session, entries)


class Recording:
    """Holds the beginning of an answer back until its entry is written."""

    def __init__(
        self, journal: Journal, need: Need, scope: Scope, principal: Principal, send: Send
    ) -> None:
        self._journal = journal
        self._need = need
        self._scope = scope
        self._principal = principal
        self._send = send
        self._is_written = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self.write(message["status"], message.get("headers", ()))
        await self._send(message)

    async def write(self, status: int, headers: Any = ()) -> None:
        """Write the entry, once."""
        if self._is_written:
            return
        self._is_written = True
        made = [value.decode("latin-1") for name, value in headers if name.lower() == b"location"]
        data: dict[str, Any] = {"location": made[0]} if made else {}
        data |= self._scope.get(DATA, {})
        entry = entry_of(self._need, self._scope, self._principal, status, data)
        await self._journal.write(entry)


def entry_of(
    need: Need, scope: Scope, principal: Principal, status: int, data: Mapping[str, Any]
) -> Entry:
    """The entry of a request that is answered with that status."""
    client = scope.get("client")
    kept: Json | None = dict(data) or None
    return Entry(
        at=dt.datetime.now(dt.UTC),
        who=principal.name,
        key_id=principal.key_id,
        action=need.action,
        stream=_stream(scope),
        target=_storable(scope["path"]),
        status=status,
        request_id=str(structlog.contextvars.get_contextvars().get("request_id", "")),
        address=client[0] if client else None,
        data=kept,
    )


def _stream(scope: Scope) -> str | None:
    """The stream of the path; what cannot be the name of one stands in the target alone."""
    named = needs.stream_of(scope.get("path_params", {}))
    return named if named is not None and _NAME.fullmatch(named) else None


def _storable(path: str) -> str:
    """PostgreSQL stores no NUL, and no half of a surrogate pair; nobody may store a key's text."""
    return _masked(path.encode("utf-8", "replace").decode().replace("\x00", "�"))[:_TARGET]
