"""Webhooks: each is a cursor into the events, moved on by what its receiver has taken.

So nothing is written for an event that is to be told, nothing is lost with a worker, and the order
is the events' own. An event is told again if the worker died before it could write that it was
taken: under the same id.

`store.deliveries` is what workers do with them.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store import events
from store.errors import Conflict, NotFound
from store.locks import locked
from store.models import Event, Stream, Webhook, new_id
from store.pages import Page, fetch
from store.schema import has, require

MOST = 100  # each is a series in /metrics
SECRET = "whsec_"  # noqa: S105  (what a secret begins with, by the Standard Webhooks specification)
_SECRET_BYTES = (24, 64)  # by the same; ours are in the middle
_NEW_SECRET_BYTES = 32


@dataclass(frozen=True)
class Wanted:
    """A webhook that is to be made.

    Attributes:
        url: Where to call; see `store.outside.check_url`.
        secret: See `secret_bytes`.
        stream: The only stream whose events are told; None: all, and those of no stream.
        names: Of events, such as `cycle.finished` and `chunk.*`; None: all.
        from_event: Behind which it begins; None: now.
    """

    url: str
    secret: str
    stream: str | None = None
    names: Sequence[str] | None = None
    from_event: int | None = None


@dataclass(frozen=True)
class State:
    """How a webhook does: trials of either outcome, and the age of what waits to be told."""

    id: str
    delivered: int
    failed: int
    is_paused: bool
    waits_s: float


def new_secret() -> str:
    """A secret of 256 random bits."""
    return SECRET + base64.b64encode(secrets.token_bytes(_NEW_SECRET_BYTES)).decode()


def secret_bytes(secret: str) -> bytes:
    """What signs.

    Raises:
        ValueError: It is not `whsec_` and the base64 of 24 to 64 bytes.
    """
    least, most = _SECRET_BYTES
    try:
        key = base64.b64decode(secret.removeprefix(SECRET), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(SECRET) or not least <= len(key) <= most:
        raise ValueError(f"should be {SECRET} and the base64 of {least} to {most} random bytes")
    return key


def add(session: Session, wanted: Wanted, *, who: str) -> Webhook:
    """Make a webhook; it tells what comes from now on, or behind an event.

    Raises:
        SchemaOlder: There is no such table yet.
        NotFound: No such stream.
        Conflict: There are too many.
    """
    require(session, Webhook)
    if wanted.stream is not None and stream_id(session, wanted.stream) is None:
        raise NotFound("stream", wanted.stream)
    # two that are made at once are counted one after the other
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(Webhook.__tablename__))))
    if session.scalars(select(func.count()).select_from(Webhook)).one() >= MOST:
        raise Conflict(f"there are {MOST} webhooks already; delete one that is not used any more")
    newest = events.last_id(session)
    row = Webhook(
        id=new_id("whk"),
        url=wanted.url,
        secret=wanted.secret,
        stream=wanted.stream,
        names=None if wanted.names is None else list(wanted.names),
        after_event=newest if wanted.from_event is None else min(newest, wanted.from_event),
        created_by=who,
    )
    session.add(row)
    session.flush()
    return row


def get(session: Session, webhook_id: str) -> Webhook:
    """The webhook of that id, or NotFound."""
    require(session, Webhook)
    row = session.get(Webhook, webhook_id)
    if row is None:
        raise NotFound("webhook", webhook_id)
    return row


def page(session: Session, *, size: int, before: int | None = None) -> Page[Webhook]:
    """Webhooks, newest first."""
    require(session, Webhook)
    return fetch(session, select(Webhook), Webhook.number, size=size, before=before)


def delete(session: Session, webhook_id: str) -> None:
    """Tell nothing more."""
    session.delete(_locked(session, webhook_id))


def pause(session: Session, webhook_id: str) -> Webhook:
    """Tell nothing until it is resumed; what happens meanwhile is told then."""
    row = _locked(session, webhook_id)
    row.is_paused = True
    _end_claim(row)
    return row


def resume(session: Session, webhook_id: str) -> Webhook:
    """Go on where it stopped, at once."""
    row = _locked(session, webhook_id)
    row.is_paused = False
    row.failures = 0
    row.next_try_at = func.clock_timestamp()
    session.flush()
    return row


def ask_ping(session: Session, webhook_id: str) -> Webhook:
    """Have a worker call it once, whatever else there is to tell, also while it is paused."""
    row = _locked(session, webhook_id)
    row.ping = {"id": new_id("png")}
    return row


def states(session: Session) -> list[State]:
    """How each one does, for whoever watches."""
    if not has(session, Webhook):
        return []
    waiting = (
        select(Event.at)
        .where(Event.id > Webhook.after_event)
        .order_by(Event.id)
        .limit(1)
        .scalar_subquery()
    )
    age_s = func.coalesce(func.extract("epoch", func.clock_timestamp() - waiting), 0)
    rows = session.execute(
        select(Webhook.id, Webhook.delivered, Webhook.failed, Webhook.is_paused, age_s).order_by(
            Webhook.number
        )
    )
    return [
        State(webhook_id, delivered, failed, paused, float(waits_s))
        for webhook_id, delivered, failed, paused, waits_s in rows
    ]


def _end_claim(row: Webhook) -> None:
    row.attempt += 1
    row.heartbeat_at = None


def _locked(session: Session, webhook_id: str) -> Webhook:
    require(session, Webhook)
    row = session.scalar(locked(select(Webhook).where(Webhook.id == webhook_id)))
    if row is None:
        raise NotFound("webhook", webhook_id)
    return row


def stream_id(session: Session, name: str) -> int | None:
    return session.scalar(select(Stream.id).where(Stream.name == name))
