"""Which version came of which, what it learned, and what became of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store import aliases
from store.models import AliasMove, Rerun, Stream, Version


@dataclass(frozen=True)
class Node:
    """A version in the graph.

    Attributes:
        version: Its row.
        aliases: The names that point at it now.
        promoted: Whether it has ever been champion, by the gate or by hand.
        reruns: How often its cycle was run again.
    """

    version: Version
    aliases: tuple[str, ...]
    promoted: bool
    reruns: int


def newest(session: Session, stream: Stream, *, limit: int) -> list[Node]:
    """The stream's newest versions, oldest first."""
    query = select(Version).where(Version.stream_id == stream.id)
    rows = session.scalars(query.order_by(Version.version.desc()).limit(limit)).all()
    names = defaultdict(list)
    for alias in aliases.of_stream(session, stream):
        names[alias.version].append(alias.name)
    promoted = _champions(session, stream)
    reruns = _reruns(session, stream)
    return [
        Node(row, tuple(names[row.version]), row.version in promoted, reruns[row.version])
        for row in reversed(rows)
    ]


def _champions(session: Session, stream: Stream) -> set[int | None]:
    query = select(AliasMove.to_version).where(
        AliasMove.stream_id == stream.id, AliasMove.alias == aliases.CHAMPION
    )
    return set(session.scalars(query.distinct()))


def _reruns(session: Session, stream: Stream) -> Counter[int]:
    query = select(Rerun.version, func.count()).where(Rerun.stream_id == stream.id)
    return Counter({row[0]: row[1] for row in session.execute(query.group_by(Rerun.version))})
