"""What every replica must know to serve, read whenever an alias moves."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, load_only

from store import aliases
from store.models import Alias, Stream, Version

_TO_SERVE = (
    *(Version.version, Version.digest, Version.sidecar_digest),
    *(Version.metrics, Version.served_at),
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
