"""Aliases point at versions; every move is a row, and a rollback is one more move.

`champion` is served by default, `candidate` is the newest version that went through the gate,
`previous` the champion before this one, `latest` the newest version. The last three move by
themselves.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from store import events, streams, versions
from store.errors import Conflict, NotFound, PreconditionFailed
from store.locks import locked
from store.models import Alias, AliasMove, Stream, Version
from store.pages import Page, fetch
from store.states import VersionState

CHAMPION, CANDIDATE, PREVIOUS, LATEST = "champion", "candidate", "previous", "latest"
AUTOMATIC = (CANDIDATE, PREVIOUS, LATEST)


@dataclass(frozen=True)
class Move:
    """Where an alias is to point, by whom and why; `hold` bars automatic promotion."""

    to: int
    who: str
    reason: str
    hold: bool = False


def get(session: Session, stream: Stream, name: str) -> Alias:
    """The alias of that name in that stream, or NotFound."""
    alias = session.get(Alias, (stream.id, name))
    if alias is None:
        raise NotFound("alias", name)
    return alias


def of_stream(session: Session, stream: Stream) -> Sequence[Alias]:
    """Every alias of the stream, by name."""
    query = select(Alias).where(Alias.stream_id == stream.id).order_by(Alias.name)
    return session.scalars(query).all()


def version_of(session: Session, stream_id: int, name: str) -> int | None:
    """The version that the alias points at, None while there is no such alias."""
    return session.scalar(
        select(Alias.version).where(Alias.stream_id == stream_id, Alias.name == name)
    )


def version_at(session: Session, stream: Stream, name: str, at: dt.datetime) -> int:
    """The version that the alias pointed at in that moment, by its history.

    A moment that is still to come is answered as now.

    Raises:
        NotFound: The alias pointed nowhere: it was not made yet, or deleted.
    """
    moves = select(AliasMove).where(AliasMove.stream_id == stream.id, AliasMove.alias == name)
    last = session.scalar(moves.where(AliasMove.at <= at).order_by(AliasMove.id.desc()).limit(1))
    if last is not None and last.to_version is not None:
        return last.to_version
    if last is not None:
        raise NotFound("alias", f"{name} as of {at.isoformat()}: deleted {last.at.isoformat()}")
    first = session.scalar(moves.order_by(AliasMove.id).limit(1))
    if first is None:
        raise NotFound("alias", name)
    raise NotFound("alias", f"{name} as of {at.isoformat()}: made {first.at.isoformat()}")


def champion_versions(session: Session, rows: Sequence[Stream]) -> dict[int, int]:
    """The champion's version of each of those streams that has one, by stream id."""
    ids = [stream.id for stream in rows]
    query = select(Alias.stream_id, Alias.version).where(
        Alias.name == CHAMPION, Alias.stream_id.in_(ids)
    )
    return {row.stream_id: row.version for row in session.execute(query)}


def champion(session: Session, stream: Stream) -> Alias | None:
    """The champion's row, locked; None before the first version."""
    return _locked(session, stream, CHAMPION)


def move(session: Session, stream: Stream, name: str, to: Move) -> Alias:
    """Point an alias at a version and write the move into its history.

    The stream's row must be locked. Moving `champion` moves `previous` too.

    Raises:
        NotFound: There is no such version.
        Conflict: The version may not be served.
    """
    version = versions.get(session, stream, to.to)
    if version.state is not VersionState.READY:
        raise Conflict(f"version {to.to} is {version.state} and cannot be pointed at")
    return _point(session, stream, name, to)


def _point(session: Session, stream: Stream, name: str, to: Move) -> Alias:
    alias = _locked(session, stream, name)
    before = None if alias is None else alias.version
    if alias is None:
        alias = Alias(
            stream_id=stream.id,
            name=name,
            version=to.to,
            hold=to.hold,
            revision=_moves(session, stream, name) + 1,
        )
        session.add(alias)
    else:
        alias.version, alias.hold = to.to, to.hold
        alias.revision += 1
        alias.updated_at = func.clock_timestamp()
    _record(session, stream, _entry(name, before, to))
    if name == CHAMPION and before is not None and before != to.to:
        # whatever has become of it: a champion that may not be served any more can be left
        _point(session, stream, PREVIOUS, Move(before, to.who, to.reason))
    return alias


def move_if(
    session: Session, stream: Stream, name: str, to: Move, *, revision: int | None
) -> Alias:
    """Move an alias that the caller has read at `revision` (None: it was not there).

    Raises:
        PreconditionFailed: It moved since.
        Conflict: It moves by itself.
    """
    if name in AUTOMATIC:
        raise Conflict(f"{name} moves by itself; move champion or an alias of your own")
    stream = streams.lock(session, stream.id)
    alias = _locked(session, stream, name)
    now = None if alias is None else alias.revision
    if now != revision:
        raise PreconditionFailed(f"alias {name} changed since you read it; read it and decide anew")
    return move(session, stream, name, to)


def remove(session: Session, stream: Stream, name: str, *, who: str, reason: str) -> None:
    """Delete an alias of the user's own; its history stays, with the deletion as one more row.

    The stream's row must be locked.

    Raises:
        NotFound: There is no such alias.
        Conflict: It is not the user's to delete.
    """
    alias = get(session, stream, name)
    if name in (CHAMPION, *AUTOMATIC):
        raise Conflict(f"{name} is the service's own and stays; only aliases of your own go")
    session.delete(alias)
    gone = AliasMove(
        alias=name,
        from_version=alias.version,
        to_version=None,
        hold=False,
        who=who,
        reason=reason,
    )
    _record(session, stream, gone)


def rollback(session: Session, stream: Stream, *, who: str, reason: str) -> Alias:
    """Point `champion` at the newest older version that has been champion, and hold it there.

    Raises:
        NotFound: Nothing is served yet.
        Conflict: No older version has been champion, or none of those can be served any more.
    """
    stream = streams.lock(session, stream.id)
    now = champion(session, stream)
    if now is None:
        raise NotFound("alias", CHAMPION)
    older = select(func.max(AliasMove.to_version)).where(
        AliasMove.stream_id == stream.id,
        AliasMove.alias == CHAMPION,
        AliasMove.to_version < now.version,
    )
    target = session.scalar(older.where(AliasMove.to_version.in_(_ready(stream))))
    if target is None:
        reason = f"no version older than {now.version} has been champion"
        if (last := session.scalar(older)) is not None:
            state = versions.get(session, stream, last).state
            reason += f" and can still be served; the last, {last}, is {state}"
        raise Conflict(reason)
    return move(session, stream, CHAMPION, Move(target, who, reason, hold=True))


def release(session: Session, stream: Stream, *, who: str, reason: str) -> Alias:
    """Lift the hold: later cycles may promote again."""
    stream = streams.lock(session, stream.id)
    alias = champion(session, stream)
    if alias is None:
        raise NotFound("alias", CHAMPION)
    if alias.hold:
        alias.hold = False
        alias.revision += 1
        alias.updated_at = func.clock_timestamp()
        released = Move(alias.version, who, reason)
        _record(session, stream, _entry(CHAMPION, alias.version, released))
    return alias


def history(
    session: Session, stream: Stream, name: str, *, size: int, before: int | None = None
) -> Page[AliasMove]:
    """The moves of an alias, newest first; also of one that was deleted since.

    Raises:
        NotFound: There never was such an alias.
    """
    if _moves(session, stream, name) == 0:
        raise NotFound("alias", name)
    query = select(AliasMove).where(AliasMove.stream_id == stream.id, AliasMove.alias == name)
    return fetch(session, query, AliasMove.id, size=size, before=before)


def _locked(session: Session, stream: Stream, name: str) -> Alias | None:
    return session.scalar(
        locked(select(Alias).where(Alias.stream_id == stream.id, Alias.name == name))
    )


def _ready(stream: Stream) -> Select[int]:
    return select(Version.version).where(
        Version.stream_id == stream.id, Version.state == VersionState.READY
    )


def _moves(session: Session, stream: Stream, name: str) -> int:
    """How often it was moved.

    No revision of an alias that was deleted is higher: made again it goes on from here, or an ETag
    that was read before would fit it.
    """
    query = select(func.count()).where(AliasMove.stream_id == stream.id, AliasMove.alias == name)
    return session.scalars(query).one()


def _entry(name: str, before: int | None, to: Move) -> AliasMove:
    return AliasMove(
        alias=name,
        from_version=before,
        to_version=to.to,
        hold=to.hold,
        who=to.who,
        reason=to.reason,
    )


def _record(session: Session, stream: Stream, move: AliasMove) -> None:
    move.stream_id = stream.id
    session.add(move)
    session.flush()
    events.note(
        session,
        "alias.moved",
        stream,
        alias=move.alias,
        version=move.to_version,
        before=move.from_version,
        hold=move.hold,
        who=move.who,
        reason=move.reason,
    )
