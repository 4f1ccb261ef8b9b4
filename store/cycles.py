"""Cycles: claimed under the stream's lock, fenced by `attempt`, at most one active a stream.

A worker holds a `Claim`. Every write first locks the cycle's row and checks that the claim is
still the newest (`fenced`): a worker that was stopped and comes back writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import false, func, select, true
from sqlalchemy.orm import Session

from store import aliases, chunks, claims, classes, events, streams, totals, versions
from store.errors import NotFound
from store.locks import locked
from store.models import Chunk, Cycle, Json, Stream, new_id
from store.pages import Page, fetch
from store.states import ACTIVE, ChunkState, CycleState, Stage, check_chunk_move, check_cycle_move

LEARN = "learn"  # the strategy of a first version, which has nothing to unlearn


@dataclass(frozen=True)
class Claim:
    """A worker's claim to a cycle; `attempt` is its fence."""

    cycle_id: str
    stream_id: int
    attempt: int


def claim_next(session: Session, stream_id: int, *, worker: str, stale_s: float) -> Claim | None:
    """Claim what the stream has to do next, under the stream's lock.

    A cycle that is active is taken over if nobody holds it. Otherwise the oldest admitted chunk
    begins a new one, unless an older chunk still waits for admission.

    Returns:
        The claim, or None when there is nothing to do now.
    """
    stream = streams.lock(session, stream_id)
    cycle = active(session, stream)
    if cycle is None:
        cycle = _begin(session, stream)
    elif not session.scalar(select(claims.is_free(Cycle, stale_s)).where(Cycle.id == cycle.id)):
        return None
    elif claims.bury(cycle):
        fail(session, stream, cycle, f"{cycle.deaths} workers died in stage {cycle.stage}")
        return None
    if cycle is None:
        return None
    claims.take(cycle, worker)
    cycle.stage_started_at = None  # what the stage before a takeover cost is not known
    if cycle.state is CycleState.QUEUED:
        check_cycle_move(cycle.state, CycleState.RUNNING)
        cycle.state = CycleState.RUNNING
        cycle.started_at = func.clock_timestamp()
    session.flush()
    return Claim(cycle.id, stream.id, cycle.attempt)


def _begin(session: Session, stream: Stream) -> Cycle | None:
    taken = _next_chunks(session, stream)
    if not taken:
        return None
    champion = aliases.version_of(session, stream.id, aliases.CHAMPION)
    parent = None if champion is None else versions.get(session, stream, champion)
    cycle = Cycle(
        id=new_id("cyc"),
        stream_id=stream.id,
        state=CycleState.QUEUED,
        strategy=LEARN if parent is None else stream.policies["unlearn"]["strategy"],
        settings={"recipe": stream.recipe, "policies": stream.policies},
        parent=champion,
        replay=[chunk.id for chunk in chunks.learned(session, stream)],
        seed=stream.seed,
        ordinal=1 if parent is None else parent.ordinal + 1,
    )
    session.add(cycle)
    session.flush()
    for chunk in taken:
        check_chunk_move(chunk.state, ChunkState.LEARNING)
        chunk.state = ChunkState.LEARNING
        chunk.cycle_id = cycle.id
    events.note(
        session,
        "cycle.started",
        stream,
        cycle=cycle.id,
        chunks=[chunk.id for chunk in taken],
        parent=cycle.parent,
    )
    classes.grow(session, stream, taken, cycle_id=cycle.id)
    return cycle


def _next_chunks(session: Session, stream: Stream) -> list[Chunk]:
    """The admitted chunks at the head of the line, as many as the trigger policy takes at once."""
    at_once: int = stream.policies["trigger"]["max_chunks"]
    taken: list[Chunk] = []
    for chunk in chunks.waiting(session, stream, limit=at_once):
        if chunk.state is not ChunkState.ADMITTED:
            break
        taken.append(chunk)
    return taken


def active(session: Session, stream: Stream) -> Cycle | None:
    """The stream's active cycle, locked."""
    return session.scalar(
        locked(select(Cycle).where(Cycle.stream_id == stream.id, Cycle.state.in_(ACTIVE)))
    )


def fenced(session: Session, claim: Claim) -> Cycle:
    """The claimed cycle, locked; FenceLost when it ended or was handed to another worker."""
    return claims.fenced(session, Cycle, claim.cycle_id, claim.attempt)


def beat(session: Session, claim: Claim) -> bool:
    """Renew the claim; False when it is lost."""
    return claims.beat(session, Cycle, claim.cycle_id, claim.attempt)


def enter(session: Session, stream: Stream, claim: Claim, stage: Stage) -> None:
    """The cycle enters a stage; the seconds of the one before are added to its timings.

    Entered for the first time it is progress; a worker that takes over goes through them again.
    """
    cycle = fenced(session, claim)
    if cycle.stage is not stage and stage not in cycle.timings:
        cycle.deaths = 0
    _close_stage(session, cycle)
    cycle.stage = stage
    cycle.progress = None
    events.note(session, "cycle.stage", stream, cycle=cycle.id, stage=stage)


def report(
    session: Session,
    stream: Stream,
    claim: Claim,
    progress: Json,
    *,
    resume_digest: str | None = None,
) -> None:
    """Progress within a stage, and the resume state if one was stored."""
    cycle = fenced(session, claim)
    cycle.progress = progress
    claims.keep_resume(session, cycle, resume_digest)
    events.note(session, "cycle.progress", stream, cycle=cycle.id, **progress)


def succeed(
    session: Session, stream: Stream, cycle: Cycle, *, version: int, prequential: float | None
) -> None:
    """The cycle has made its version, and its chunks are learned. Both rows must be locked."""
    _end(session, cycle, CycleState.SUCCEEDED)
    cycle.version = version
    for chunk in of_cycle(session, cycle.id, for_update=True):
        check_chunk_move(chunk.state, ChunkState.LEARNED)
        chunk.state = ChunkState.LEARNED
        chunk.version = version
        chunk.prequential_accuracy = prequential
        chunk.learned_at = func.clock_timestamp()
        events.note(
            session, "chunk.learned", stream, cycle=cycle.id, chunk=chunk.id, version=version
        )
    events.note(
        session, "cycle.finished", stream, cycle=cycle.id, state=cycle.state, version=version
    )


def fail(session: Session, stream: Stream, cycle: Cycle, error: str) -> None:
    """The cycle gives up, and its chunks with it. Both rows must be locked."""
    _end(session, cycle, CycleState.FAILED)
    cycle.error = error
    for chunk in of_cycle(session, cycle.id, for_update=True):
        check_chunk_move(chunk.state, ChunkState.FAILED)
        chunk.state = ChunkState.FAILED
        chunk.error = error.strip().splitlines()[-1]
    events.note(session, "cycle.finished", stream, cycle=cycle.id, state=cycle.state, error=error)


def record_exception(session: Session, claim: Claim, error: str) -> None:
    """The cycle raised: free it to be tried again, or fail it at its last exception."""
    stream = streams.lock(session, claim.stream_id)
    cycle = fenced(session, claim)
    if claims.count_exception(cycle, error):
        fail(session, stream, cycle, error)


def record_death(session: Session, claim: Claim, error: str) -> bool:
    """A process that shared the work died, and the claim's worker lives.

    Returns:
        Whether that was one too many: then the cycle has failed.
    """
    stream = streams.lock(session, claim.stream_id)
    cycle = fenced(session, claim)
    if not claims.count_death(cycle):
        return False
    fail(session, stream, cycle, f"{cycle.deaths} processes died in stage {cycle.stage}: {error}")
    return True


def hand_back(session: Session, claim: Claim) -> None:
    """End the claim on purpose: the cycle is free at once, and nobody died."""
    claims.hand_back(session, Cycle, claim.cycle_id, claim.attempt)


def get(session: Session, stream: Stream, cycle_id: str) -> Cycle:
    """The cycle of that id in that stream, or NotFound."""
    cycle = session.get(Cycle, cycle_id)
    if cycle is None or cycle.stream_id != stream.id:
        raise NotFound("cycle", cycle_id)
    return cycle


def page(
    session: Session,
    stream: Stream,
    *,
    size: int,
    before: int | None = None,
    state: CycleState | None = None,
) -> Page[Cycle]:
    """The stream's cycles, newest first."""
    query = select(Cycle).where(Cycle.stream_id == stream.id)
    if state is not None:
        query = query.where(Cycle.state == state)
    return fetch(session, query, Cycle.number, size=size, before=before)


def of_cycle(session: Session, cycle_id: str, *, for_update: bool = False) -> Sequence[Chunk]:
    """The chunks that a cycle claimed, in order."""
    query = select(Chunk).where(Chunk.cycle_id == cycle_id).order_by(Chunk.position)
    return session.scalars(locked(query) if for_update else query).all()


def unattended(session: Session, *, stale_s: float) -> Sequence[int]:
    """Ids of the streams that have work and no live worker, who waits longest first.

    Cycles whose worker died or was stopped come before all others: they had their turn. A stream
    waits since its oldest chunk was admitted, but not for longer than since its last
    cycle ended: so streams take turns, however many chunks one of them has.
    """
    free_cycles = select(
        Cycle.stream_id,
        true().label("has_begun"),
        func.coalesce(Cycle.heartbeat_at, Cycle.created_at).label("since"),
    ).where(Cycle.state.in_(ACTIVE), claims.is_free(Cycle, stale_s))
    busy = select(Cycle.stream_id).where(Cycle.state.in_(ACTIVE))
    oldest = (
        select(Chunk.stream_id, func.min(Chunk.admitted_at).label("admitted_at"))
        .where(Chunk.state == ChunkState.ADMITTED, Chunk.stream_id.not_in(busy))
        .group_by(Chunk.stream_id)
        .subquery()
    )
    last_turn = (
        select(Cycle.finished_at)
        .where(Cycle.stream_id == oldest.c.stream_id)
        .order_by(Cycle.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    since = func.greatest(oldest.c.admitted_at, last_turn)  # of nulls it takes no notice
    waiting = select(oldest.c.stream_id, false(), since)
    found = free_cycles.union_all(waiting).subquery()
    order = (found.c.has_begun.desc(), found.c.since)
    return session.scalars(select(found.c.stream_id).order_by(*order)).all()


def _end(session: Session, cycle: Cycle, state: CycleState) -> None:
    check_cycle_move(cycle.state, state)
    _close_stage(session, cycle)
    cycle.state = state
    cycle.heartbeat_at = cycle.resume_digest = None
    cycle.finished_at = func.clock_timestamp()
    totals.add_cycle(session, cycle)


def _close_stage(session: Session, cycle: Cycle) -> None:
    now = session.scalars(select(func.clock_timestamp())).one()
    if cycle.stage is not None and cycle.stage_started_at is not None:
        seconds = (now - cycle.stage_started_at).total_seconds()
        spent = cycle.timings.get(cycle.stage, 0.0) + seconds
        cycle.timings = {**cycle.timings, cycle.stage: round(spent, 3)}
    cycle.stage_started_at = now
