"""Telling webhooks what happened: in the events' order, each event at least once.

A worker holds a claim, fenced by `attempt` and alive by its heartbeat, as with cycles. Every write
is behind the fence: a worker that was stopped and comes back moves no cursor, nor does one whose
webhook was paused or deleted meanwhile.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from store import events, webhooks
from store.errors import FenceLost
from store.locks import locked
from store.models import Event, Webhook
from store.schema import has

_ALL = "*"  # after a dot: every event of that kind


@dataclass(frozen=True)
class Claim:
    """A worker's claim to tell a webhook; `attempt` is its fence.

    Attributes:
        has_news: Whether events are to be told now; otherwise it was claimed for a test alone.
    """

    webhook_id: str
    attempt: int
    has_news: bool


@dataclass(frozen=True)
class Failure:
    """A trial to tell an event that came to nothing.

    Attributes:
        event_id: The event.
        status: What was answered; None: nothing was.
        error: In words.
        rest_s: How long to wait before the next trial.
        gives_up: Whether there is to be none, until somebody resumes it.
    """

    event_id: int
    status: int | None
    error: str
    rest_s: float
    gives_up: bool


def due(session: Session, *, stale_s: float, limit: int) -> list[str]:
    """Ids of the webhooks that have something to tell and that no live worker tells."""
    if not has(session, Webhook):
        return []
    newest = events.last_id(session)
    found = session.scalars(
        select(Webhook.id)
        .where(_is_due(newest, stale_s))
        .order_by(Webhook.next_try_at)
        .limit(limit)
    )
    return list(found)


def claim(session: Session, webhook_id: str, *, stale_s: float) -> tuple[Claim, Webhook] | None:
    """Claim one that is due; None when there is nothing to tell now, or another one tells it."""
    newest = events.last_id(session)
    query = select(Webhook).where(Webhook.id == webhook_id, _is_due(newest, stale_s))
    row = session.scalar(locked(query, skip=True))
    if row is None:
        return None
    has_news = session.scalars(select(_has_news(newest)).where(Webhook.id == row.id)).one()
    row.attempt += 1
    row.heartbeat_at = func.clock_timestamp()
    session.flush()
    return Claim(row.id, row.attempt, has_news), row


def beat(session: Session, held: Claim) -> bool:
    """Renew the claim; False when it is lost."""
    return _write(session, held, heartbeat_at=func.clock_timestamp())


def hand_back(session: Session, held: Claim) -> None:
    """End the claim on purpose: the webhook is free at once."""
    _write(session, held, heartbeat_at=None, attempt=Webhook.attempt + 1)


def pending(session: Session, row: Webhook, *, after: int, limit: int) -> tuple[list[Event], int]:
    """What is to be told next, oldest first, and how far that was looked for.

    The second number is the id up to which there is nothing else: with an empty page the cursor may
    move there.
    """
    # before the page is read: no event up to it can become visible later
    newest = events.last_id(session)
    query = select(Event).where(Event.id > after).order_by(Event.id).limit(limit)
    if row.stream is not None:
        query = query.where(Event.stream_id == webhooks.stream_id(session, row.stream))
    if row.names is not None:
        query = query.where(or_(*(_is_named(name) for name in row.names)))
    page = list(session.scalars(query))
    return page, max([after, newest, *(event.id for event in page)])


def move(session: Session, held: Claim, event_id: int) -> None:
    """Nothing up to that event is to be told; the others that are due come before it now.

    Raises:
        FenceLost: The claim was handed to another, or somebody paused or deleted the webhook.
    """
    moved = func.greatest(Webhook.after_event, event_id)
    now = func.clock_timestamp()
    _must(_write(session, held, after_event=moved, next_try_at=now), held)


def delivered(session: Session, held: Claim, event_id: int, status: int) -> None:
    """The receiver has taken that event.

    Raises:
        FenceLost: As above.
    """
    now = func.clock_timestamp()
    written = _write(
        session,
        held,
        after_event=event_id,
        delivered=Webhook.delivered + 1,
        failures=0,
        next_try_at=now,
        last_status=status,
        last_error=None,
        last_success_at=now,
        heartbeat_at=now,
    )
    _must(written, held)


def failed(session: Session, held: Claim, failure: Failure) -> None:
    """The receiver has not taken that event; this ends the claim.

    Raises:
        FenceLost: As above.
    """
    written = _write(
        session,
        held,
        # so the first event behind the cursor is the one that waits
        after_event=func.greatest(Webhook.after_event, failure.event_id - 1),
        failed=Webhook.failed + 1,
        failures=Webhook.failures + 1,
        next_try_at=func.clock_timestamp() + dt.timedelta(seconds=failure.rest_s),
        last_status=failure.status,
        last_error=failure.error,
        is_paused=failure.gives_up,
        heartbeat_at=None,
        attempt=Webhook.attempt + 1,
    )
    _must(written, held)


def pinged(
    session: Session, held: Claim, ping_id: str, *, status: int | None, error: str | None
) -> None:
    """What came of the test; an older one that was asked for again has no outcome."""
    row = session.scalar(locked(select(Webhook).where(_is_held(held))))
    if row is None:
        raise FenceLost(f"webhook {held.webhook_id} was handed to another worker")
    if row.ping is not None and row.ping["id"] == ping_id:
        at = session.scalars(select(func.clock_timestamp())).one()
        row.ping = {"id": ping_id, "status": status, "error": error, "at": at.isoformat()}


def _is_due(newest: int, stale_s: float) -> ColumnElement[bool]:
    is_asked = and_(Webhook.ping.is_not(None), Webhook.ping.has_key("at").is_(False))
    horizon = func.clock_timestamp() - dt.timedelta(seconds=stale_s)
    is_free = or_(Webhook.heartbeat_at.is_(None), Webhook.heartbeat_at < horizon)
    return and_(is_free, or_(_has_news(newest), is_asked))


def _has_news(newest: int) -> ColumnElement[bool]:
    return and_(
        Webhook.is_paused.is_(False),
        Webhook.next_try_at <= func.clock_timestamp(),
        Webhook.after_event < newest,
    )


def _is_named(name: str) -> ColumnElement[bool]:
    kind, _, rest = name.partition(".")
    return (
        Event.name.startswith(f"{kind}.", autoescape=True) if rest == _ALL else Event.name == name
    )


def _is_held(held: Claim) -> ColumnElement[bool]:
    return and_(Webhook.id == held.webhook_id, Webhook.attempt == held.attempt)


def _write(session: Session, held: Claim, **values: Any) -> bool:
    statement = update(Webhook).where(_is_held(held)).values(**values).returning(Webhook.id)
    return session.scalar(statement) is not None


def _must(written: bool, held: Claim) -> None:
    if not written:
        raise FenceLost(f"webhook {held.webhook_id} was paused, deleted, or handed to another")
