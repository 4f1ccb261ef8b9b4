"""Class lists: fixed, or open: such a list grows, only ever at its end, as new labels are learned.

So the list of an older version is the beginning of every newer one's, whatever was rolled back.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store import events
from store.models import Chunk, Stream, Version
from store.states import LEARNABLE

MAX_CLASSES = 10_000
_TOLD = 100  # names in one event


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels in the order of a head: numbers by size, anything else by spelling."""
    found = list(labels)
    are_numbers = all(label.isascii() and label.isdecimal() for label in found)
    return sorted(found, key=lambda label: (int(label) if are_numbers else 0, label))


def taken(session: Session, stream: Stream) -> frozenset[str]:
    """Every class that the stream has, or will have once all that is admitted is learned."""
    if stream.classes is not None and not stream.open_classes:
        return frozenset(stream.classes)
    coming = session.scalars(
        select(func.jsonb_object_keys(Chunk.report["classes"]))
        .where(Chunk.stream_id == stream.id, Chunk.state.in_(LEARNABLE))
        .distinct()
    )
    return frozenset(stream.classes or ()) | frozenset(coming)


def grow(session: Session, stream: Stream, chunks: Iterable[Chunk], *, cycle_id: str) -> None:
    """Append to an open list what the chunks that are to be learned have beyond it.

    The stream's row must be locked.
    """
    if not stream.open_classes:
        return
    assert stream.classes is not None, "the first admission gives an open list its beginning"
    labels = {label for chunk in chunks for label in (chunk.report or {}).get("classes", ())}
    added = in_order(labels.difference(stream.classes))
    if not added:
        return
    stream.classes = [*stream.classes, *added]
    events.note(
        session,
        "stream.classes_grown",
        stream,
        cycle=cycle_id,
        added=added[:_TOLD],
        omitted=len(added[_TOLD:]),
        classes=len(stream.classes),
    )


def of_version(stream: Stream, version: Version) -> list[str]:
    """The classes that the version knows, in the order of its head.

    All of the list, for a version made before lists could grow (see migration 0002).
    """
    return (stream.classes or [])[: version.known_classes]
