"""Which version came of which, what it learned, and what became of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session, load_only

from store import aliases, chunks, versions
from store.models import AliasMove, Chunk, Rerun, Stream, Version

_SHOWN = (
    *(Version.version, Version.parent, Version.chunks, Version.strategy),
    *(Version.state, Version.accuracy, Version.outcome),
)


@dataclass(frozen=True)
class Node:
    """A version in the graph.

    Attributes:
        version: Its row, without what the graph does not show.
        aliases: The names that point at it now.
        promoted: Whether it has ever been champion, by the gate or by hand.
        reruns: How often its cycle was run again.
    """

    version: Version
    aliases: tuple[str, ...]
    promoted: bool
    reruns: int


@dataclass(frozen=True)
class Origin:
    """What a version's cycle began from, beside its configuration.

    Attributes:
        parent: None for the first of a lineage.
        new: The chunks that it learned first.
        past: Those of earlier cycles, which it replayed; of each no more than what names it.
    """

    parent: Version | None
    new: Sequence[Chunk]
    past: Sequence[Chunk]


def origin(session: Session, stream: Stream, version: Version) -> Origin:
    """What a version was made from, out of rows that keep their names and digests for good."""
    return Origin(
        parent=None if version.parent is None else versions.get(session, stream, version.parent),
        new=chunks.by_ids(session, version.chunks),
        past=chunks.replayed(session, version.cycle_id),
    )


def newest(session: Session, stream: Stream, *, limit: int) -> list[Node]:
    """The stream's newest versions, oldest first."""
    query = select(Version).where(Version.stream_id == stream.id)
    query = query.options(load_only(*_SHOWN, raiseload=True))
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
