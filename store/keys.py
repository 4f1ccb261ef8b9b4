"""API keys: who may do what. Of a key only its hash is kept.

A key is 256 random bits, so one round of SHA-256 is enough: there is nothing to guess that a slow
hash would make slower, and a lookup by digest tells nothing by the time that it takes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store import events
from store.errors import Conflict, NotFound
from store.models import ApiKey, new_id
from store.pages import Page, fetch
from store.schema import has

ADMIN, INGEST, METRICS, PREDICT, READ = SCOPES = ("admin", "ingest", "metrics", "predict", "read")
MOST = 10_000  # keys that are valid at once: each API process has them all in memory
FORGOTTEN = 2_000  # older keys that are not valid any more are unknown ones
PREFIX = "lure_"
_HINT = len(PREFIX) + 4
_KEY = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{40,200}}")
LONGEST = len(PREFIX) + 200


@dataclass(frozen=True)
class NewKey:
    """What a key is to be.

    Attributes:
        name: Who acts with it, in histories and in the audit log.
        scopes: Some of `SCOPES`; `admin` opens everything.
        stream: The only stream that it opens; None: all, and what belongs to none.
        expires_at: Until when; None: until it is revoked.
        requests_per_minute: None: as the service's settings say.
    """

    name: str
    scopes: Sequence[str]
    stream: str | None = None
    expires_at: dt.datetime | None = None
    requests_per_minute: int | None = None


@dataclass(frozen=True)
class Known:
    """A key as the service needs it, `left_s` seconds before it expires (None: never)."""

    id: str
    digest: str
    name: str
    scopes: frozenset[str]
    stream: str | None
    requests_per_minute: int | None
    is_revoked: bool
    left_s: float | None


class Stamp(NamedTuple):
    """How many keys were made and revoked, and the newest one's number."""

    made: int
    revoked: int
    newest: int


def new_text() -> str:
    """A new key's text: 256 random bits."""
    return f"{PREFIX}{secrets.token_urlsafe(32)}"


def is_well_formed(text: str) -> bool:
    """Whether it looks like a key at all."""
    return _KEY.fullmatch(text) is not None


def digest_of(text: str) -> str:
    """What is kept of a key, and what it is found by."""
    return hashlib.sha256(text.encode()).hexdigest()


def create(session: Session, wanted: NewKey, *, who: str) -> tuple[ApiKey, str]:
    """Make a key; its text is known now and never again.

    Raises:
        Conflict: There are `MOST` valid ones; or nobody could make another, because none is an
            administrator's.
    """
    if not (_is_for_administrator(wanted) or _has_administrator(session)):
        raise Conflict(
            "make a key with the scope admin and without a stream first: from the first key on each"
            " request needs one, and without an administrator's there would be no second"
        )
    if _count_valid(session) >= MOST:
        raise Conflict(f"there are {MOST} valid keys; revoke some that are not used any more")
    text = new_text()
    row = _row(wanted, text, who)
    session.add(row)
    session.flush()
    _tell(session, "key.created", row)
    return row, text


def ensure(session: Session, text: str, wanted: NewKey) -> str | None:
    """Make a key known whose text came from outside; one that was revoked stays revoked.

    Returns:
        Its id; None: it was known before.
    """
    row = _row(wanted, text, wanted.name)
    columns = ("id", "name", "digest", "hint", "scopes", "created_by")
    statement = insert(ApiKey).values({name: getattr(row, name) for name in columns})
    added = session.execute(
        statement.on_conflict_do_nothing(index_elements=[ApiKey.digest]).returning(ApiKey.id)
    ).scalar()
    if added is not None:
        _tell(session, "key.created", row)
    return added


def ensure_bootstrap(session: Session, text: str) -> str | None:
    """Make the first administrator's key known; see `ensure`."""
    return ensure(session, text, NewKey("bootstrap", [ADMIN]))


def revoke(session: Session, key_id: str) -> ApiKey:
    """End a key for good; done before, it changes nothing. Its record stays.

    Raises:
        NotFound: There is none of that id.
    """
    row = get(session, key_id)
    revoked = session.execute(
        update(ApiKey)
        .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.clock_timestamp())
        .returning(ApiKey.id)
    ).scalar()
    if revoked is not None:
        session.refresh(row)
        _tell(session, "key.revoked", row)
    return row


def get(session: Session, key_id: str) -> ApiKey:
    """The key's record, or NotFound."""
    row = session.get(ApiKey, key_id)
    if row is None:
        raise NotFound("key", key_id)
    return row


def page(session: Session, *, size: int, before: int | None = None) -> Page[ApiKey]:
    """Keys, newest first, revoked ones too."""
    return fetch(session, select(ApiKey), ApiKey.number, size=size, before=before)


def any_made(session: Session) -> bool:
    """Whether there was ever a key; none in a schema from before there were any."""
    return has(session, ApiKey) and session.scalar(select(ApiKey.id).limit(1)) is not None


def stamp(session: Session) -> Stamp:
    """Something that is another whenever a key was made or revoked."""
    if not has(session, ApiKey):
        return Stamp(0, 0, 0)
    newest = func.coalesce(func.max(ApiKey.number), 0)
    query = select(func.count(), func.count(ApiKey.revoked_at), newest).select_from(ApiKey)
    return Stamp(*session.execute(query).one())


def known(session: Session) -> list[Known]:
    """The newest of the keys that are not valid any more, then every valid one."""
    if not has(session, ApiKey):
        return []
    ended = _newest(session, ~_is_valid(), FORGOTTEN)
    return [*ended, *_newest(session, _is_valid(), MOST)]


def active(session: Session) -> list[Known]:
    """Every valid key."""
    return _newest(session, _is_valid(), MOST) if has(session, ApiKey) else []


def note_used(session: Session, used: Mapping[str, dt.datetime]) -> None:
    """When keys were used last, by id; what is known to be newer stays."""
    if not used:
        return
    seen = bindparam("seen", type_=ApiKey.last_used_at.type)
    session.connection().execute(
        update(ApiKey.__table__)  # type: ignore[arg-type]
        .where(
            ApiKey.id == bindparam("key"),
            or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < seen),
        )
        .values(last_used_at=seen),
        # in one order: two processes that write together do not wait for each other
        [{"key": key, "seen": used[key]} for key in sorted(used)],
    )


def _row(wanted: NewKey, text: str, who: str) -> ApiKey:
    return ApiKey(
        id=new_id("key"),
        name=wanted.name,
        digest=digest_of(text),
        hint=text[:_HINT],
        scopes=sorted(set(wanted.scopes)),
        stream=wanted.stream,
        requests_per_minute=wanted.requests_per_minute,
        created_by=who,
        expires_at=wanted.expires_at,
    )


def _is_valid() -> ColumnElement[bool]:
    alive = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.clock_timestamp())
    return and_(ApiKey.revoked_at.is_(None), alive)


def _newest(session: Session, which: ColumnElement[bool], most: int) -> list[Known]:
    left = func.extract("epoch", ApiKey.expires_at - func.clock_timestamp())
    # columns, not rows of the ORM: a process that changes a key reads all that are valid
    columns = (ApiKey.id, ApiKey.digest, ApiKey.name, ApiKey.scopes, ApiKey.stream)
    more = (ApiKey.requests_per_minute, ApiKey.revoked_at.is_not(None), left)
    query = select(*columns, *more).where(which).order_by(ApiKey.number.desc()).limit(most)
    return [
        Known(
            id=key_id,
            digest=digest,
            name=name,
            scopes=frozenset(scopes),
            stream=stream,
            requests_per_minute=per_minute,
            is_revoked=is_revoked,
            left_s=None if left_s is None else float(left_s),
        )
        for key_id, digest, name, scopes, stream, per_minute, is_revoked, left_s in (
            session.execute(query)
        )
    ]


def _is_for_administrator(wanted: NewKey) -> bool:
    return ADMIN in wanted.scopes and wanted.stream is None


def _has_administrator(session: Session) -> bool:
    """Whether somebody can make keys."""
    able = and_(_is_valid(), ApiKey.scopes.contains([ADMIN]), ApiKey.stream.is_(None))
    return session.scalar(select(ApiKey.id).where(able).limit(1)) is not None


def _count_valid(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ApiKey).where(_is_valid())) or 0


def _tell(session: Session, name: str, row: ApiKey) -> None:
    events.note(session, name, key=row.id, holder=row.name)
