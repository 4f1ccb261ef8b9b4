"""What every replica must know to serve, read whenever an alias moves."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session, load_only

from store import aliases
from store.models import Alias, Stream, Version
from store.states import VersionState

Key = tuple[str, int, str]  # a version: stream, number, digest of its weights

_TO_SERVE = (
    *(Version.version, Version.digest, Version.sidecar_digest),
    *(Version.agreement, Version.served_at, Version.cycle_id),
)


def champions(session: Session) -> Sequence[tuple[Stream, Version]]:
    """Every stream that has a champion, and the version that it is.

    Of both only what serving needs: a version's record can be long, and every replica reads here
    whenever an alias moves.
    """
    rows = session.execute(
        select(Stream, Version)
        .options(load_only(Stream.id, Stream.name, raiseload=True))
        .options(load_only(*_TO_SERVE, raiseload=True))
        .join(Alias, (Alias.stream_id == Stream.id) & (Alias.name == aliases.CHAMPION))
        .join(Version, (Version.stream_id == Stream.id) & (Version.version == Alias.version))
        .order_by(Stream.id)
    )
    return [(stream, version) for stream, version in rows]


def everywhere(session: Session) -> dict[tuple[str, str], int]:
    """The version behind each (stream, alias)."""
    rows = session.execute(
        select(Stream.name, Alias.name, Alias.version).join(Alias, Alias.stream_id == Stream.id)
    )
    return {(stream, alias): version for stream, alias, version in rows}


def withdrawn(session: Session, held: Collection[Key]) -> set[Key]:
    """Those of these versions that may not be served any more, or are not there at all."""
    if not held:
        return set()
    key = tuple_(Stream.name, Version.version, Version.digest)
    rows = session.execute(
        select(Stream.name, Version.version, Version.digest)
        .join(Stream, Version.stream_id == Stream.id)
        .where(key.in_(held), Version.state == VersionState.READY)
    )
    return set(held) - {(stream, version, digest) for stream, version, digest in rows}
