"""Reruns: the cycle of a version once more, from its stored inputs, when nothing else is to do.

As it was ("reproduce": do the same weights come out?), or with another strategy in the place of
its own: what would have been, for the same recipe, epochs and data. A rerun makes no version and
moves no alias. It is claimed and fenced like a cycle, and gives way to every cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store import claims, cycles, events, streams, versions
from store.errors import Conflict, NotFound
from store.locks import locked
from store.models import Chunk, Json, Rerun, Stream, Version, new_id
from store.pages import Page, fetch
from store.states import ChunkState, RerunState, VersionState, check_rerun_move

REPRODUCE = "reproduce"
ASKED, COUNTERFACTUAL = "asked", "counterfactual"  # why there is one
UNFINISHED = (RerunState.QUEUED, RerunState.RUNNING)


@dataclass(frozen=True)
class Claim:
    """A worker's claim to a rerun; `attempt` is its fence."""

    rerun_id: str
    stream_id: int
    attempt: int


def add(session: Session, stream: Stream, number: int, *, method: str = REPRODUCE) -> Rerun:
    """Ask for a rerun of a version.

    Args:
        session: Of the transaction.
        stream: The stream.
        number: The version's.
        method: "reproduce", or the strategy to take in the place of the version's own.

    Raises:
        NotFound: There is no such version.
        Conflict: What it was made from is not there any more, or the method makes no sense.
    """
    stream = streams.lock(session, stream.id)  # no weights are deleted meanwhile
    version = versions.get(session, stream, number)
    if reason := obstacle(session, stream, version, method):
        raise Conflict(f"version {number} cannot be run again: {reason}")
    rerun = Rerun(
        id=new_id("rer"),
        stream_id=stream.id,
        version=number,
        method=method,
        reason=ASKED,
        state=RerunState.QUEUED,
    )
    session.add(rerun)
    session.flush()
    return rerun


def obstacle(session: Session, stream: Stream, version: Version, method: str) -> str | None:
    """Why a version's cycle cannot be run again in this way, in words; None where it can."""
    if version.config is None:
        return "it was made before versions kept their configuration"
    if method != REPRODUCE and version.parent is None:
        return "it was learned from the start, so there was nothing to unlearn"
    if method == version.strategy:
        return f"{method} is how it was made; ask for {REPRODUCE}"
    return _lost_parent(session, stream, version) or _lost_chunk(session, stream, version)


def _lost_parent(session: Session, stream: Stream, version: Version) -> str | None:
    if version.parent is None:
        return None
    parent = versions.get(session, stream, version.parent)
    if parent.state is VersionState.WEIGHTS_DELETED:
        return f"the weights of version {parent.version}, from which it began, are deleted"
    if parent.state is VersionState.CONTAMINATED:
        return f"version {parent.version}, from which it began, saw a chunk that was retracted"
    return None


def _lost_chunk(session: Session, stream: Stream, version: Version) -> str | None:
    ids = [*cycles.get(session, stream, version.cycle_id).replay, *version.chunks]
    usable = select(Chunk.id).where(Chunk.id.in_(ids), Chunk.state != ChunkState.RETRACTED)
    if lost := set(ids) - set(session.scalars(usable)):
        return f"chunk {min(lost)} was retracted"
    return None


def waiting(session: Session, *, stale_s: float) -> bool:
    """Whether there is one that no live worker holds, and nothing to learn before it."""
    free = select(Rerun.id).where(Rerun.state.in_(UNFINISHED), claims.is_free(Rerun, stale_s))
    return session.scalar(free.limit(1)) is not None and not must_wait(session, stale_s=stale_s)


def must_wait(session: Session, *, stale_s: float) -> bool:
    """Whether a stream has something to learn and nobody who does it: reruns give way to it."""
    return bool(cycles.unattended(session, stale_s=stale_s))


def claim_next(session: Session, *, worker: str, stale_s: float) -> Claim | None:
    """Claim the next rerun that nobody holds: those that were asked for first, then the oldest.

    One that cannot be run any more fails, with the reason.

    Returns:
        The claim, or None when there is nothing to run, or something to learn before it.
    """
    if must_wait(session, stale_s=stale_s):
        return None
    free = (
        select(Rerun)
        .where(Rerun.state.in_(UNFINISHED), claims.is_free(Rerun, stale_s))
        .order_by(Rerun.reason != ASKED, Rerun.number)
        .limit(1)
    )
    while rerun := session.scalar(locked(free, skip=True)):
        stream = session.get_one(Stream, rerun.stream_id)
        reason = _end_of(session, stream, rerun)
        if reason is None:
            return _claim(session, stream, rerun, worker)
        fail(session, stream, rerun, reason)
    return None


def _end_of(session: Session, stream: Stream, rerun: Rerun) -> str | None:
    """Why a rerun that is free cannot go on."""
    if claims.bury(rerun):
        return f"{rerun.deaths} workers died of it"
    version = versions.get(session, stream, rerun.version)
    return obstacle(session, stream, version, rerun.method)


def _claim(session: Session, stream: Stream, rerun: Rerun, worker: str) -> Claim:
    claims.take(rerun, worker)
    if rerun.state is RerunState.QUEUED:
        check_rerun_move(rerun.state, RerunState.RUNNING)
        rerun.state = RerunState.RUNNING
        rerun.started_at = func.clock_timestamp()
        _tell(session, "rerun.started", stream, rerun)
    session.flush()
    return Claim(rerun.id, stream.id, rerun.attempt)


def fenced(session: Session, claim: Claim) -> Rerun:
    """The claimed rerun, locked; FenceLost when it ended or was handed to another worker."""
    return claims.fenced(session, Rerun, claim.rerun_id, claim.attempt)


def beat(session: Session, claim: Claim) -> bool:
    """Renew the claim; False when it is lost."""
    return claims.beat(session, Rerun, claim.rerun_id, claim.attempt)


def hand_back(session: Session, claim: Claim) -> None:
    """End the claim on purpose: the rerun is free at once, and nobody died."""
    claims.hand_back(session, Rerun, claim.rerun_id, claim.attempt)


def report(
    session: Session, claim: Claim, progress: Json, *, resume_digest: str | None = None
) -> None:
    """How far it is, and the resume state if one was stored."""
    rerun = fenced(session, claim)
    rerun.progress = progress
    claims.keep_resume(session, rerun, resume_digest)


def succeed(session: Session, stream: Stream, claim: Claim, result: Json) -> None:
    """Store what came out."""
    rerun = fenced(session, claim)
    rerun.result = result
    rerun.error = None  # of an attempt before
    _end(session, stream, rerun, RerunState.SUCCEEDED)


def fail(session: Session, stream: Stream, rerun: Rerun, error: str) -> None:
    """The rerun gives up. Its row must be locked."""
    rerun.error = error
    _end(session, stream, rerun, RerunState.FAILED)


def cancel(session: Session, stream: Stream, rerun_id: str) -> Rerun:
    """Stop a rerun that is not over; its worker loses its claim. A counterfactual stays undone.

    Raises:
        NotFound: There is no such rerun.
        Conflict: It is over.
    """
    rerun = session.scalar(
        locked(select(Rerun).where(Rerun.id == rerun_id, Rerun.stream_id == stream.id))
    )
    if rerun is None:
        raise NotFound("rerun", rerun_id)
    _end(session, stream, rerun, RerunState.CANCELLED)
    return rerun


def record_exception(session: Session, claim: Claim, error: str) -> None:
    """The rerun raised: free it to be tried again, or fail it at its last exception."""
    rerun = fenced(session, claim)
    if claims.count_exception(rerun, error):
        fail(session, session.get_one(Stream, claim.stream_id), rerun, error)


def record_death(session: Session, claim: Claim, error: str) -> bool:
    """A process that shared the work died, and the claim's worker lives.

    Returns:
        Whether that was one too many: then the rerun has failed.
    """
    rerun = fenced(session, claim)
    if not claims.count_death(rerun):
        return False
    words = f"{rerun.deaths} processes died of it: {error}"
    fail(session, session.get_one(Stream, claim.stream_id), rerun, words)
    return True


def get(session: Session, stream: Stream, rerun_id: str) -> Rerun:
    """The rerun of that id in that stream, or NotFound."""
    rerun = session.get(Rerun, rerun_id)
    if rerun is None or rerun.stream_id != stream.id:
        raise NotFound("rerun", rerun_id)
    return rerun


def page(
    session: Session,
    stream: Stream,
    *,
    size: int,
    before: int | None = None,
    state: RerunState | None = None,
) -> Page[Rerun]:
    """The stream's reruns, newest first."""
    query = select(Rerun).where(Rerun.stream_id == stream.id)
    if state is not None:
        query = query.where(Rerun.state == state)
    return fetch(session, query, Rerun.number, size=size, before=before)


def _end(session: Session, stream: Stream, rerun: Rerun, state: RerunState) -> None:
    check_rerun_move(rerun.state, state)
    rerun.state = state
    rerun.heartbeat_at = rerun.resume_digest = None
    rerun.finished_at = func.clock_timestamp()
    _tell(session, "rerun.finished", stream, rerun, state=state)


def _tell(session: Session, name: str, stream: Stream, rerun: Rerun, **data: str) -> None:
    events.note(
        session,
        name,
        stream,
        rerun=rerun.id,
        version=rerun.version,
        method=rerun.method,
        **data,
    )
