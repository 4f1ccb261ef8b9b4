"""Chunks: received, admitted, and handed to a cycle in the order of their stream."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session, load_only

from store import events, streams
from store.blobs import pin
from store.errors import Conflict, FenceLost, NotFound
from store.locks import locked
from store.models import Chunk, Cycle, Json, Stream, new_id
from store.pages import Page, fetch
from store.states import DEAD, WAITING, ChunkState, check_chunk_move

MAX_DEATHS = 5  # workers that died decoding one chunk before the chunk is to blame


@dataclass(frozen=True)
class Payload:
    """An upload whose bytes are stored: its sha256, media type and size in bytes."""

    digest: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True)
class Admission:
    """A worker's claim to admit a chunk; `attempt` is its fence."""

    chunk_id: str
    stream_id: int
    attempt: int


def add(session: Session, stream: Stream, payload: Payload) -> tuple[Chunk, bool]:
    """Give the payload its place at the stream's end.

    Returns:
        The chunk, and whether it was there already: the same bytes are the same chunk, unless
        that one is rejected, failed or retracted.
    """
    stream = streams.lock(session, stream.id)
    if known := _live(session, stream.id, payload.digest):
        return known, True
    pin(session, payload.digest)
    chunk = Chunk(
        id=new_id("chk"),
        stream_id=stream.id,
        position=stream.next_position,
        state=ChunkState.RECEIVED,
        digest=payload.digest,
        media_type=payload.media_type,
        size_bytes=payload.size_bytes,
    )
    stream.next_position += 1
    session.add(chunk)
    session.flush()
    events.note(session, "chunk.received", stream, chunk=chunk.id, position=chunk.position)
    return chunk, False


def _live(session: Session, stream_id: int, digest: str) -> Chunk | None:
    return session.scalar(
        select(Chunk).where(
            Chunk.stream_id == stream_id, Chunk.digest == digest, Chunk.state.not_in(DEAD)
        )
    )


def get(session: Session, stream: Stream, chunk_id: str) -> Chunk:
    """The chunk of that id in that stream, or NotFound."""
    chunk = session.get(Chunk, chunk_id)
    if chunk is None or chunk.stream_id != stream.id:
        raise NotFound("chunk", chunk_id)
    return chunk


def page(
    session: Session,
    stream: Stream,
    *,
    size: int,
    before: int | None = None,
    state: ChunkState | None = None,
) -> Page[Chunk]:
    """The stream's chunks, newest first."""
    query = select(Chunk).where(Chunk.stream_id == stream.id)
    if state is not None:
        query = query.where(Chunk.state == state)
    return fetch(session, query, Chunk.position, size=size, before=before)


def learned(session: Session, stream: Stream) -> Sequence[Chunk]:
    """The chunks that a version has seen, in the order in which they came."""
    return session.scalars(
        select(Chunk)
        .where(Chunk.stream_id == stream.id, Chunk.state == ChunkState.LEARNED)
        .order_by(Chunk.position)
    ).all()


def by_ids(session: Session, ids: Sequence[str]) -> list[Chunk]:
    """Those chunks, in that order."""
    return _in_order(session, select(Chunk), ids)


def replayed(session: Session, cycle_id: str) -> list[Chunk]:
    """The learned chunks that a cycle replays, oldest first; of each no more than what names it."""
    ids = session.scalars(select(Cycle.replay).where(Cycle.id == cycle_id)).one()
    names = load_only(Chunk.state, Chunk.digest, Chunk.file_digest, raiseload=True)
    return _in_order(session, select(Chunk).options(names), ids)


def ids_by_cycle(session: Session, cycle_ids: Sequence[str]) -> dict[str, list[str]]:
    """The ids of the chunks that each of those cycles claimed, in order."""
    found: dict[str, list[str]] = {cycle_id: [] for cycle_id in cycle_ids}
    rows = select(Chunk.cycle_id, Chunk.id).where(Chunk.cycle_id.in_(cycle_ids))
    for cycle_id, chunk_id in session.execute(rows.order_by(Chunk.position)):
        assert cycle_id is not None
        found[cycle_id].append(chunk_id)
    return found


def waiting(session: Session, stream: Stream, *, limit: int) -> Sequence[Chunk]:
    """The oldest chunks that still have to be admitted or learned."""
    return session.scalars(
        select(Chunk)
        .where(Chunk.stream_id == stream.id, Chunk.state.in_(WAITING))
        .order_by(Chunk.position)
        .limit(limit)
    ).all()


def claim_admission(session: Session, chunk_id: str, *, stale_s: float) -> Admission | None:
    """Claim a received chunk for this worker.

    None when there is nothing to do now: it is admitted already, another worker's heartbeat is
    fresh, or the stream's shape is not fixed yet and an older chunk comes first.
    """
    stream = streams.lock(session, _stream_of(session, chunk_id))
    chunk = _locked(session, chunk_id)
    if chunk.state is not ChunkState.RECEIVED or _held(session, chunk, stale_s):
        return None
    if not streams.shape_is_fixed(stream) and waiting(session, stream, limit=1) != [chunk]:
        return None
    if chunk.heartbeat_at is not None:  # a heartbeat that went stale is a death
        chunk.deaths += 1
    if chunk.deaths >= MAX_DEATHS:
        reject(session, stream, chunk, _last_words(chunk), report=None)
        return None
    chunk.attempt += 1
    chunk.heartbeat_at = func.clock_timestamp()
    return Admission(chunk.id, stream.id, chunk.attempt)


def beat(session: Session, claim: Admission) -> bool:
    """Renew the claim; False when it was handed to another."""
    beaten = session.scalar(
        update(Chunk)
        .where(Chunk.id == claim.chunk_id, Chunk.attempt == claim.attempt)
        .where(Chunk.state == ChunkState.RECEIVED)
        .values(heartbeat_at=func.clock_timestamp())
        .returning(Chunk.id)
    )
    return beaten is not None


def hand_back(session: Session, claim: Admission, *, error: str | None = None) -> None:
    """End the claim on purpose: the chunk is free at once. An error counts as a death.

    It ends the claim, so that a second try, after a commit whose answer was lost, does nothing.
    """
    failure = {} if error is None else {"error": error, "deaths": Chunk.deaths + 1}
    session.execute(
        update(Chunk)
        .where(Chunk.id == claim.chunk_id, Chunk.attempt == claim.attempt)
        .where(Chunk.state == ChunkState.RECEIVED)
        .values(heartbeat_at=None, attempt=Chunk.attempt + 1, **failure)
    )


def fenced(session: Session, claim: Admission) -> Chunk:
    """The claimed chunk, locked; FenceLost when the claim was handed to another."""
    chunk = _locked(session, claim.chunk_id)
    if chunk.attempt != claim.attempt or chunk.state is not ChunkState.RECEIVED:
        raise FenceLost(f"the admission of {claim.chunk_id} was handed to another worker")
    return chunk


def admit(
    session: Session, stream: Stream, chunk: Chunk, *, file_digest: str, report: Json
) -> None:
    """The chunk's canonical file is written; it waits for its cycle."""
    check_chunk_move(chunk.state, ChunkState.ADMITTED)
    pin(session, file_digest)
    chunk.state = ChunkState.ADMITTED
    chunk.file_digest = file_digest
    chunk.error = None
    chunk.report = report
    chunk.images, chunk.refused = report["images"], report["refused"]
    chunk.admitted_at = func.clock_timestamp()
    chunk.heartbeat_at = None
    events.note(
        session,
        "chunk.admitted",
        stream,
        chunk=chunk.id,
        images=chunk.images,
        refused=chunk.refused,
    )


def reject(
    session: Session, stream: Stream, chunk: Chunk, reason: str, *, report: Json | None
) -> None:
    """The chunk holds nothing that can be learned."""
    check_chunk_move(chunk.state, ChunkState.REJECTED)
    chunk.state = ChunkState.REJECTED
    chunk.error = reason
    chunk.report = report
    chunk.images = 0
    chunk.refused = report["refused"] if report else None
    chunk.heartbeat_at = None
    events.note(session, "chunk.rejected", stream, chunk=chunk.id, reason=reason)


def release(session: Session, stream: Stream, chunk_id: str) -> Chunk:
    """Put a failed chunk back in line, at the stream's end.

    Raises:
        Conflict: It is in another state, or a live chunk has its bytes.
    """
    stream = streams.lock(session, stream.id)
    chunk = get(session, stream, chunk_id)
    check_chunk_move(chunk.state, ChunkState.ADMITTED)
    if chunk.file_digest is None:
        raise Conflict(f"chunk {chunk_id} was never admitted; send its data again")
    if other := _live(session, stream.id, chunk.digest):
        raise Conflict(f"chunk {other.id} has the same bytes and is {other.state}")
    chunk.state = ChunkState.ADMITTED
    chunk.position = stream.next_position
    chunk.cycle_id = chunk.error = None
    stream.next_position += 1
    events.note(session, "chunk.released", stream, chunk=chunk.id, position=chunk.position)
    return chunk


def unattended(session: Session, *, stale_s: float, per_stream: int = 8) -> Sequence[str]:
    """Ids of the received chunks that no live worker holds: the oldest few of each stream."""
    place = func.row_number().over(partition_by=Chunk.stream_id, order_by=Chunk.position)
    free = (
        select(Chunk.id, Chunk.stream_id, place.label("place"))
        .where(Chunk.state == ChunkState.RECEIVED, _is_free(stale_s))
        .subquery()
    )
    return session.scalars(
        select(free.c.id).where(free.c.place <= per_stream).order_by(free.c.place, free.c.stream_id)
    ).all()


def _in_order(session: Session, query: Select[Chunk], ids: Sequence[str]) -> list[Chunk]:
    found = {chunk.id: chunk for chunk in session.scalars(query.where(Chunk.id.in_(ids)))}
    return [found[chunk_id] for chunk_id in ids]


def _last_words(chunk: Chunk) -> str:
    if chunk.error is None:
        return f"decoding it killed {chunk.deaths} workers"
    return f"admitting it failed {chunk.deaths} times, the last time with: {chunk.error}"


def _held(session: Session, chunk: Chunk, stale_s: float) -> bool:
    return not session.scalar(select(_is_free(stale_s)).where(Chunk.id == chunk.id))


def _is_free(stale_s: float) -> ColumnElement[bool]:
    horizon = func.clock_timestamp() - dt.timedelta(seconds=stale_s)
    return (Chunk.heartbeat_at.is_(None)) | (Chunk.heartbeat_at < horizon)


def _stream_of(session: Session, chunk_id: str) -> int:
    stream_id = session.scalar(select(Chunk.stream_id).where(Chunk.id == chunk_id))
    if stream_id is None:
        raise NotFound("chunk", chunk_id)
    return stream_id


def _locked(session: Session, chunk_id: str) -> Chunk:
    return session.scalars(locked(select(Chunk).where(Chunk.id == chunk_id))).one()
