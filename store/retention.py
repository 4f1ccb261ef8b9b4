"""Deletion of weights: by hand, or as a stream's retention says. The record stays.

Only rows change here. The bytes are the collector's, which keeps what another row still names.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session

from store import aliases, events, streams, versions
from store.errors import Conflict
from store.models import Artifact, Cycle, Rerun, Stream, Version
from store.reruns import UNFINISHED
from store.states import ACTIVE, VersionState, check_version_move

_AT_ONCE = 200


def delete_weights(session: Session, stream: Stream, number: int, *, who: str) -> bool:
    """Leave only the version's record; its exports, which hold the same weights, go too.

    Returns:
        False when that was done before.

    Raises:
        NotFound: There is no such version.
        Conflict: A name points at it, or something that runs begins from it.
    """
    stream = streams.lock(session, stream.id)  # no alias moves and no cycle begins meanwhile
    version = versions.get(session, stream, number)
    if version.state is VersionState.WEIGHTS_DELETED:
        return False
    if reason := _needed(session, stream).get(number):
        raise Conflict(f"the weights of version {number} are needed: {reason}")
    check_version_move(version.state, VersionState.WEIGHTS_DELETED)
    _delete(session, stream, [number], who)
    return True


def thin(session: Session, stream: Stream, *, keep: int, who: str) -> list[int]:
    """Delete the weights of versions beyond the youngest `keep`, but for those that are needed.

    Not of all at once: the stream is locked meanwhile. Call it in further transactions until it
    finds none.

    Returns:
        The versions that lost their weights, oldest first.
    """
    stream = streams.lock(session, stream.id)
    gone = session.scalars(_beyond(session, stream, keep).limit(_AT_ONCE)).all()
    _delete(session, stream, gone, who)
    return list(gone)


def beyond(session: Session, stream: Stream, *, keep: int) -> tuple[int, int]:
    """How many versions `thin` would take the weights of, and how many bytes they have."""
    versions_of = select(func.count(), func.coalesce(func.sum(Version.size_bytes), 0)).where(
        Version.stream_id == stream.id,
        Version.version.in_(_beyond(session, stream, keep).order_by(None)),
    )
    count, size_bytes = session.execute(versions_of).one()
    return count, int(size_bytes)


def _beyond(session: Session, stream: Stream, keep: int) -> Select[int]:
    """The versions beyond the youngest that are not needed, oldest first."""
    has_weights = select(Version.version).where(
        Version.stream_id == stream.id, Version.state != VersionState.WEIGHTS_DELETED
    )
    old = has_weights.order_by(Version.version.desc()).offset(keep).subquery()
    unneeded = select(old.c.version).where(old.c.version.not_in(_needed(session, stream)))
    return unneeded.order_by(old.c.version)


def _delete(session: Session, stream: Stream, numbers: Collection[int], who: str) -> None:
    """Any version with weights may lose them, as `states` has it."""
    rows = update(Version).where(Version.stream_id == stream.id, Version.version.in_(numbers))
    session.execute(rows.values(state=VersionState.WEIGHTS_DELETED))
    session.execute(
        delete(Artifact).where(Artifact.stream_id == stream.id, Artifact.version.in_(numbers))
    )
    for number in numbers:
        events.note(session, "version.weights_deleted", stream, version=number, who=who)


def _needed(session: Session, stream: Stream) -> dict[int, str]:
    """The versions whose weights must stay, and why. The stream's row must be locked."""
    cycles = session.execute(
        select(Cycle.parent, Cycle.id).where(Cycle.stream_id == stream.id, Cycle.state.in_(ACTIVE))
    )
    reruns = session.execute(
        select(Version.parent, Rerun.id)
        .join(Rerun, (Rerun.stream_id == Version.stream_id) & (Rerun.version == Version.version))
        .where(Rerun.stream_id == stream.id, Rerun.state.in_(UNFINISHED))
    )
    begun = [
        *((parent, f"rerun {rerun}") for parent, rerun in reruns),
        *((parent, f"cycle {cycle}") for parent, cycle in cycles),
    ]
    found = {parent: f"{who} begins from it" for parent, who in begun if parent is not None}
    for alias in aliases.of_stream(session, stream):
        found[alias.version] = f"alias {alias.name} points at it"
    return found
