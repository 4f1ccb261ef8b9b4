"""What there is to predict with, across all streams."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import aliases, versions
from store.models import Alias, Stream, Version
from store.states import VersionState

LISTED = 1000  # versions of one list, the newest


@dataclass(frozen=True)
class Entry:
    """A version of a stream, and whether it may be served."""

    stream: str
    version: int
    state: VersionState


def models(session: Session) -> list[str]:
    """The streams that serve something, by name."""
    query = select(Stream.name).join(Alias, Alias.stream_id == Stream.id)
    return list(session.scalars(query.where(Alias.name == aliases.CHAMPION).order_by(Stream.name)))


def numbers(session: Session, stream: Stream) -> list[int]:
    """The versions that can be asked for by number, oldest first."""
    query = select(Version.version).where(
        Version.stream_id == stream.id, Version.state == VersionState.READY
    )
    return sorted(session.scalars(query.order_by(Version.version.desc()).limit(LISTED)))


def entries(session: Session, *, only_ready: bool) -> list[Entry]:
    """Every version, by stream and number; of very many the newest."""
    query = select(Stream.name, Version.version, Version.state).join(
        Stream, Stream.id == Version.stream_id
    )
    if only_ready:
        query = query.where(Version.state == VersionState.READY)
    newest = session.execute(query.order_by(Version.created_at.desc()).limit(LISTED))
    return sorted((Entry(*row) for row in newest), key=lambda one: (one.stream, one.version))


def pointed_at(session: Session, stream: Stream, wanted: str) -> Version:
    """The version behind `3` or `@alias`, whatever its state.

    Raises:
        NotFound: There is no such version or alias.
    """
    if wanted.startswith("@"):
        return versions.get(session, stream, aliases.get(session, stream, wanted[1:]).version)
    return versions.get(session, stream, int(wanted))
