"""The audit log: what was asked for that changes something, and what was refused to a known key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from store.keys import NewKey
from store.models import AuditEntry, Json
from store.pages import Page, fetch
from store.schema import has

BESIDE = "store.admin"  # who acts where the service was not asked
_AT_ONCE = 10_000


@dataclass(frozen=True)
class Entry:
    """One line of it; see the columns of `AuditEntry`."""

    at: dt.datetime
    who: str
    key_id: str | None
    action: str
    stream: str | None
    target: str
    status: int
    request_id: str
    address: str | None
    data: Json | None = None


def add(session: Session, entries: Iterable[Entry]) -> None:
    """Write the entries down; into a schema that has no audit log they are not written."""
    rows = [asdict(entry) for entry in entries]
    if rows and has(session, AuditEntry):
        session.execute(insert(AuditEntry), rows)


def add_key_made(session: Session, key_id: str, made: NewKey) -> None:
    """Write down a key that was made beside the service, in the transaction that makes it."""
    told = {"key": key_id, "name": made.name, "scopes": sorted(set(made.scopes))}
    entry = Entry(
        at=dt.datetime.now(dt.UTC),
        who=BESIDE,
        key_id=None,
        action="create_key",
        stream=made.stream,
        target="/v1/keys",
        status=201,
        request_id="",
        address=None,
        data=told,
    )
    add(session, [entry])


def page(
    session: Session, *, size: int, before: int | None = None, stream: str | None = None
) -> Page[AuditEntry]:
    """Entries, newest first; of one stream, or of all."""
    query = select(AuditEntry)
    if stream is not None:
        query = query.where(AuditEntry.stream == stream)
    return fetch(session, query, AuditEntry.id, size=size, before=before)


def forget_old(session: Session, *, days: int) -> int:
    """Delete some of what is older than that; how many there were, at most 10,000."""
    if not has(session, AuditEntry):
        return 0
    old = AuditEntry.at < func.clock_timestamp() - dt.timedelta(days=days)
    some = select(AuditEntry.id).where(old).order_by(AuditEntry.id).limit(_AT_ONCE)
    gone = session.execute(
        delete(AuditEntry).where(AuditEntry.id.in_(some)).returning(AuditEntry.id)
    )
    return len(gone.all())
